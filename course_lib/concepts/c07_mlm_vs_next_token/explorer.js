// The gap explorer's page: a text with a gap, and side by side what fills it, from the left alone and from both sides.

const MOST_HIDDEN = 8;
const PAUSE_MS = 250; // a token that is only passed over is not asked about
const SLOTS = 8; // lines of a list: the likeliest tokens, and all others together
const SETTLED = 0.8; // a share from which on a token is settled
const LOST = 0.2; // below it the left side alone does not help
const WAYS = {
  left: { title: "The left side alone", short: "Left alone", said: ["from the left alone", "from the left"], named: "from the left" },
  tried: { title: "Both sides, by trying", short: "By trying", said: ["after trying it", "after trying"], named: "by trying" },
  both: { title: "Both sides at once", short: "Both sides", said: ["", ""], named: "from both sides" },
};
const NO_START = {
  left: "No token stands before it, so there is nothing to go by.",
  tried: "What is tried comes from the list to the left, and that is empty: nothing stands before the gap.",
};
const MEASURE = ` (${100 * SETTLED} % or more)`;
const QUESTIONS = {
  "left both": `Which token does the left side settle alone${MEASURE}, and which only both together?`,
  left: `Which token does the left side settle alone${MEASURE}?`,
  both: `Which token do only both sides settle${MEASURE}?`,
  "": "Both are found.",
};
const HOW = [
  "Hide a token: the lists show what a model puts into the gap, and how likely it finds each. The framed one is what stood there.",
  "From the left alone it reads what stands before the gap, in one pass. By trying it uses the right side, too: each of its likeliest tokens " +
    "goes into the gap, and the whole text is scored, a pass for each. What stood there is tried as well, to see its share among these.",
  "A model that was trained to read both sides answers in one pass. Point at a word of a list to see it in the gap, with its shares.",
  "Over the text: the surprise at each token if it is hidden, −log₂ of its share, in bits: a coin toss has 1. " +
    "With several gaps, who reads one side fills each gap with its own likeliest token before it reads on.",
];
const NOT_HERE = ["Several gaps and own texts need Python.", "Own texts need Python."]; // on a page without it
const KEYS = [["←", "→", "walk through the text"], ["H", "or Space hides, and shows again"], ["Esc", "closes"]];

class Gap extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.several = false;
    this.passing = null; // the token that is pointed at
    this.pointed = null; // a piece of a list
    this.asked = new Map(); // whether each question has been answered
    this.solved = new Set(); // who settles the tokens that were kept: left, both
    this.looked = new Set(); // the places that were chosen or pointed at
    this.frame();
  }

  // ---------------------------------------------------------------------------------------------- what came
  get(trait) {
    return this.model.get(trait);
  }

  view(name = this.get("model")) {
    return this.get("views")[name];
  }

  /** The models that cut the text as this one does. */
  group(name = this.get("model")) {
    const tokens = JSON.stringify(this.view(name).tokens);
    return this.get("state").names.filter((other) => JSON.stringify(this.view(other).tokens) === tokens);
  }

  /** How each of them answers. */
  ways() {
    return this.group().flatMap((name) => (this.view(name).is_causal ? ["left", "tried"] : ["both"]).map((kind) => ({ name, kind, ...WAYS[kind] })));
  }

  /** What was answered in this way at a token while the others are hidden; null: nothing can be; undefined: nobody has yet. */
  found({ name, kind }, others, token) {
    if (kind !== "tried") return this.get("answers")[name][keyOf(others)]?.[token];
    return this.get("tried")[name][keyOf(others.filter((place) => place !== token), token)];
  }

  /** Whether the page can ask somebody: Python, or the small readers, which it holds itself. */
  canAsk(names = this.group()) {
    const { widget_manager: manager } = this.model;
    const isAlone = manager.kernel === null || this.outer.root.closest(".jupyter-widgets-disconnected") !== null;
    return !isAlone || names.every((name) => this.get("weights")[name]);
  }

  /** Whether there is an answer to a choice of gaps, or somebody to ask. */
  canShow(hidden, token, several) {
    const others = several || hidden.length > 1 ? hidden : [];
    return hidden.length === 0 || this.canAsk() || this.ways().some((way) => this.found(way, others, token) !== undefined);
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  /** The gaps that the text has; the one that is followed; the others that stay where another token is hidden. */
  current() {
    const { tokens } = this.view();
    const kept = this.get("hidden").filter((place) => place < tokens.length).slice(0, Math.min(MOST_HIDDEN, tokens.length - 1));
    const several = this.several || kept.length > 1;
    const others = several ? kept : [];
    const passing = this.passing < tokens.length ? this.passing : null;
    const own = kept.includes(this.get("token")) ? this.get("token") : kept[0] ?? null;
    const token = passing ?? own;
    const hidden = token === null ? [] : [...new Set([...others, token])].sort((a, b) => a - b);
    return { tokens, several, others, hidden, token, kept, own };
  }

  set(choice) {
    this.full = false;
    this.pointed = null;
    if (choice.hidden?.length !== 0 && choice.token !== undefined) this.looked.add(choice.token);
    for (const [trait, value] of Object.entries(choice)) this.model.set(trait, value);
    this.model.save_changes();
  }

  /** Hide a token or show it again. */
  toggle(place) {
    const { kept, own, several, tokens } = this.current();
    const left = kept.filter((other) => other !== place);
    this.passing = null;
    const choose = (hidden, token) => this.canShow(hidden, token, several) && this.set({ hidden, token });
    if (place === own) choose(several ? left : [], (several ? left.find((other) => other > place) ?? left.at(-1) : null) ?? place);
    else if (!several) choose(tokens.length > 1 ? [place] : [], place);
    else if (kept.includes(place)) choose(kept, place);
    else if (kept.length < Math.min(MOST_HIDDEN, tokens.length - 1)) choose([...kept, place].sort((a, b) => a - b), place);
    else this.full = true;
    this.draw();
  }

  /** The gap before or behind; a single one moves on. */
  step(by) {
    const { kept, own, several, tokens } = this.current();
    if (several) this.set({ token: kept[(kept.indexOf(own) + by + kept.length) % kept.length] });
    else {
      const place = (own + by + tokens.length) % tokens.length;
      this.set({ hidden: [place], token: place });
    }
  }

  manyGaps(several) {
    this.several = several;
    const { kept, own } = this.current();
    if (!several && kept.length > 1) this.set({ hidden: [own], token: own });
    this.draw();
  }

  preview(place) {
    if (this.passing === place) return;
    this.passing = place;
    if (place !== null) this.looked.add(place);
    this.pointed = null;
    this.full = false;
    this.soon();
  }

  /** What is not yet answered is asked; what is only pointed at, a moment later. */
  ask(c, ways) {
    clearTimeout(this.waiting);
    if (c.token === null || !this.canAsk() || ways.every((way) => this.found(way, c.others, c.token) !== undefined)) return;
    const question = { text: this.get("state").text, model: this.get("model"), others: c.others, token: c.token };
    const name = JSON.stringify(question);
    if (this.asked.has(name)) return;
    const send = async () => {
      this.asked.set(name, false);
      await this.outer.ask("find", question, { quiet: this.passing !== null });
      this.asked.set(name, true);
      this.soon();
    };
    if (this.passing === null) send();
    else this.waiting = setTimeout(send, PAUSE_MS);
  }

  /** Whether nobody knows it. */
  isRefused(c) {
    return this.asked.get(JSON.stringify({ text: this.get("state").text, model: this.get("model"), others: c.others, token: c.token })) === true;
  }

  // ---------------------------------------------------------------------------------------------- the frame
  frame() {
    this.models = h("select", { "aria-label": "Models", onchange: () => this.set({ model: this.models.value }) });
    const options = [["one", ["One gap", "One gap"]], ["several", ["Several", "Several"]]];
    this.gaps = tabs({ label: "Gaps", role: "radio", options, choose: (name) => this.manyGaps(name === "several") });
    this.showAll = quiet("Show all", "All", () => this.set({ hidden: [] }));
    this.edit = quiet("Own text", "Own text", () => {
      this.writing.node.style.height = `${this.words.offsetHeight}px`; // nothing moves
      this.writing.open(this.get("state").text);
    });
    this.lead = h("span");
    const arrow = (by, sign) => h("button", { type: "button", tabindex: -1, "aria-hidden": "true", onclick: () => this.step(by) }, sign);
    this.followed = h("b", { class: "of-token", dir: "auto" });
    this.stepper = h("span", { class: "step" }, arrow(-1, "‹"), this.followed, arrow(1, "›"));
    this.words = h("div", { class: "text", role: "group", "aria-label": "The text: hide a token" });
    this.words.addEventListener("pointerleave", () => this.preview(null));
    this.words.addEventListener("pointermove", () => setAttribute(this.words, "data-pointed", ""));
    this.words.addEventListener("keydown", () => setAttribute(this.words, "data-pointed", null));
    this.words.addEventListener("focusout", () => this.preview(null));
    const closed = () => {
      setText(this.outer.message, ""); // what was refused is given up
      this.edit.focus();
      this.soon();
    };
    this.writing = writing({ label: "Your text", send: (text) => this.outer.ask("text", { text }), instead: this.words, closed });
    this.thread = svg("svg", { class: "threads", "aria-hidden": "true" });
    this.build({
      name: "gx",
      top: [this.models, this.gaps.node, h("span", { class: "space" }), this.showAll, this.edit],
      place: [this.lead, this.stepper],
      between: [this.words, this.writing.node],
    });
    // The lines begin at the numbers, which move with their bars.
    this.lists = h("div", { class: "lists", ontransitionend: () => this.drawThreads(this.current()) });
    this.hint = h("p", { class: "hint", "aria-live": "polite" });
    this.stage.append(this.lists, this.hint, this.thread);
    this.tell(HOW, KEYS);
    this.outer.root.addEventListener("keydown", (event) => event.key === "Escape" && this.writing.close());
    this.watch = onWidth(this.stage, () => this.draw());
  }

  /** Several changes at once are drawn once. */
  soon() {
    if (this.isDue) return;
    this.isDue = true;
    queueMicrotask(() => {
      this.isDue = false;
      this.draw();
    });
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  draw() {
    if (this.stage.clientWidth === 0) return;
    const c = this.current();
    const ways = this.ways();
    this.ask(c, ways);
    this.drawChoices(c);
    this.drawText(c, ways);
    this.drawLists(c, ways);
    this.drawSentence(c, ways);
    this.drawNotes(c);
    this.drawThreads(c);
    setText(this.outer.text, this.asText(c, ways).join("\n"));
  }

  drawChoices(c) {
    const { names } = this.get("state");
    const groups = [...new Map(names.map((name) => [this.group(name).join(", "), name]))].map(([all, name]) => [name, all]);
    setOptions(this.models, groups);
    this.models.value = groups.find(([, all]) => all.split(", ").includes(this.get("model")))[0];
    this.models.hidden = groups.length === 1;
    this.gaps.show(c.several ? "several" : "one");
    this.showAll.hidden = !c.several;
    this.gaps.node.hidden = !this.canAsk() && !c.several;
    this.edit.hidden = !this.canAsk(names);
    const top = this.models.parentNode;
    top.hidden = [...top.children].every((each) => each.hidden || each.className === "space");
  }

  makeText(tokens, ways) {
    const isCharacters = tokens.every((piece) => piece.length === 1);
    this.words.classList.toggle("characters", isCharacters);
    this.words.style.setProperty("--bar", `${isCharacters ? Math.max(6 - ways.length, 2) : Math.max(11 - 2 * ways.length, 3)}px`);
    setAttribute(this.words, "dir", this.view().is_rtl ? "rtl" : "ltr");
    this.tokens = tokens.map((piece, place) => {
      const bars = ways.map(({ kind }) => h("i", { class: kind }));
      const shown = /^ +$/.test(piece) ? "\u00a0" : seen(piece);
      const button = h("button", { type: "button", class: "t", onclick: () => this.toggle(place) },
        h("span", { class: "bits", dir: "ltr", "aria-hidden": "true" }, bars), h("b", { dir: "auto" }, shown));
      setAttribute(button, "data-gap", !isCharacters && tokens[place + 1]?.startsWith(" ") && "");
      // Where letters of one word are spread over wide tokens they stay together.
      setAttribute(button, "data-ends", place > 0 && !piece.startsWith(" ") && "");
      setAttribute(button, "data-goes-on", place + 1 < tokens.length && !tokens[place + 1].startsWith(" ") && "");
      button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.preview(place));
      button.addEventListener("focus", () => button.matches(":focus-visible") && this.preview(place));
      button.addEventListener("keydown", (event) => {
        if (event.altKey || event.metaKey || event.ctrlKey || event.shiftKey || event.key.toLowerCase() !== "h") return;
        event.preventDefault();
        this.toggle(place);
      });
      return { button, bars };
    });
    this.axes = ways.map(({ name: model, kind, named }) => {
      const whose = ways.filter((way) => way.kind === kind).length > 1 ? `${model} ` : "";
      const number = h("b");
      return { number, node: h("span", {}, h("i", { class: kind }), number, h("span", { class: "long" }, whose + named)) };
    });
    const unit = ways.length > 3 ? "bits" : "surprise in bits (1 bit: a coin toss)";
    const axis = h("span", { class: "axis", dir: "ltr", "aria-hidden": "true" }, h("span", {}, unit), this.axes.map(({ node }) => node));
    axis.classList.toggle("several", ways.length > 3); // the lists have their names
    this.words.replaceChildren(...this.tokens.map(({ button }) => button), axis);
    grid([this.tokens.map(({ button }) => button)]);
  }

  drawText(c, ways) {
    const built = JSON.stringify([c.tokens, ways.map(({ kind }) => kind)]);
    if (this.built !== built) {
      this.makeText(c.tokens, ways);
      this.solved.clear();
      this.looked.clear();
    }
    this.built = built;
    this.fit(built);
    const most = Math.ceil(Math.log2(this.view().vocab_size));
    this.axes.forEach(({ node, number }, i) => {
      const found = c.token === null ? null : this.found(ways[i], c.others, c.token);
      setText(number, found ? found.bits.toFixed(1) : "");
      setAttribute(node, "data-none", c.token !== null && !found && "");
    });
    this.tokens.forEach(({ button, bars }, place) => {
      const all = ways.map((way) => this.found(way, c.others, place));
      bars.forEach((bar, i) => {
        bar.style.height = `${(100 * Math.min(all[i]?.bits ?? 0, most)) / most}%`;
        bar.hidden = !all[i];
        setAttribute(bar, "data-over", all[i]?.bits > most && "");
      });
      const told = ways.flatMap(({ named }, i) => (all[i] ? `${all[i].bits.toFixed(1)} bits ${named}` : []));
      const surprise = told.length ? `: surprise ${told.join(", ")}` : "";
      const isHidden = c.hidden.includes(place);
      setAttribute(button, "data-hidden", isHidden && "");
      setAttribute(button, "data-followed", place === c.token && "");
      const hasRoom = this.pointed !== null && seen(this.pointed).length <= c.tokens[place].length + 2; // else it lay over the words beside it
      setAttribute(button, "data-tried", place === c.token && hasRoom && seen(this.pointed));
      setAttribute(button, "aria-pressed", String(c.kept.includes(place)));
      setAttribute(button, "aria-label", `${bare(c.tokens[place])}, token ${place + 1}${surprise}`);
      if (!this.words.contains(document.activeElement)) button.tabIndex = place === (c.own ?? 0) ? 0 : -1;
    });
  }

  /** A text that needs more than a line is written smaller. */
  fit(built) {
    const fitted = `${built} ${this.words.clientWidth}`;
    if (this.fitted === fitted) return;
    this.fitted = fitted;
    this.words.classList.remove("small");
    this.words.classList.toggle("small", this.tokens[0].button.offsetTop < this.tokens.at(-1).button.offsetTop);
  }

  makeLists(ways) {
    this.columns = ways.map(({ kind }, way) => {
      const [title, under] = range(2).map(() => [h("span", { class: "long" }), h("span", { class: "short" })]);
      const [none, passes] = [h("p", { class: "none" }), h("span", { class: "passes long" })];
      const rows = range(SLOTS).map((n) => {
        const [name, bar, number] = [h("span", { class: "name", dir: "auto" }), h("i", { class: kind }), h("span", { class: "share" })];
        const row = h("li", {}, name, h("span", { class: "bar" }, bar, number));
        const point = (event) => this.point(event, this.columns[way].lines[n]?.piece);
        for (const type of ["pointerenter", "pointerleave", "click"]) row.addEventListener(type, point);
        return { name, bar, number, row };
      });
      const list = h("ol", {}, rows.map(({ row }) => row));
      const head = h("p", { class: "head" }, h("i", { class: kind }), title, passes);
      return { title, under, passes, none, rows, list, node: h("div", {}, head, h("small", {}, under), list, none) };
    });
    this.lists.replaceChildren(...this.columns.map(({ node }) => node));
  }

  /** A word of a list, while a mouse is there or until the next touch: it stands in the gap, and the line below has its shares. */
  point({ type, pointerType }, piece) {
    if (type !== "click" && pointerType !== "mouse") return;
    this.pointed = type === "pointerleave" ? null : (piece ?? null);
    this.draw();
  }

  /** The lines of a list: [token, share, rank of what stood there]; the last one is of all others. */
  lines(way, c) {
    const found = this.found(way, c.others, c.token);
    if (!found) return [];
    const own = 2 ** -found.bits;
    const rows = found.rows.map(([piece, p], i) => ({ piece, p, isOwn: i + 1 === found.rank }));
    const most = SLOTS - 1;
    const isBehind = found.rank > Math.min(most, rows.length);
    const shown = isBehind ? [...rows.slice(0, most - 1), { piece: c.tokens[c.token], p: own, isOwn: true, rank: found.rank }] : rows;
    const n = (found.tried ?? this.view(way.name).vocab_size) - shown.length;
    return n > 0 ? [...shown, { rest: n, p: Math.max(0, 1 - sum(shown.map(({ p }) => p))) }] : shown;
  }

  named(line, way) {
    if (line.rest) return this.stage.clientWidth > 860 ? `${count(line.rest)} others` : "others";
    return this.view(way.name).tokens.every((piece) => piece.length === 1) ? bare(line.piece) : word(line.piece);
  }

  drawLists(c, ways) {
    const built = JSON.stringify(ways);
    if (this.listed !== built) this.makeLists(ways);
    this.listed = built;
    const aLine = this.isWide() ? 6 : 3;
    this.lists.style.gridTemplateColumns = `repeat(${Math.min(ways.length, aLine)}, minmax(0, 1fr))`;
    this.lists.classList.toggle("many", ways.length > 3);
    this.lists.classList.toggle("wrapped", ways.length > aLine);
    this.columns.forEach((column, i) => {
      const way = ways[i];
      const found = c.token === null ? undefined : this.found(way, c.others, c.token);
      const lines = found ? this.lines(way, c) : [];
      column.lines = lines;
      const passes = found ? many(found.passes, "pass", "passes") : "";
      [way.title, way.short].forEach((words, n) => setText(column.title[n], words));
      setText(column.passes, passes);
      const under = found ? this.howFound(c, way, found) : [way.name, way.name];
      setText(column.under[0], under[0]);
      setText(column.under[1], [under[1], passes].filter(Boolean).join(": "));
      setText(column.none, this.nothing(c, ways, way, found));
      column.none.hidden = Boolean(found);
      column.list.hidden = !found;
      column.rows.forEach(({ row, name, bar, number }, n) => {
        const line = lines[n];
        row.hidden = !line;
        if (!line) return;
        setText(name, this.named(line, way));
        bar.style.width = `${100 * line.p}%`;
        number.style.left = `${100 * line.p}%`;
        setText(number, told(line.p) + (line.rank ? `, ${nth(line.rank)}` : ""));
        setAttribute(row, "data-own", Boolean(line.isOwn) && "");
        setAttribute(row, "data-pointed", line.piece !== undefined && line.piece === this.pointed && "");
        setAttribute(row, "data-rest", Boolean(line.rest) && "");
      });
    });
  }

  /** Who answers, and what its shares are of; and in short. */
  howFound(c, { name, kind }, { tried }) {
    if (kind === "left") return [name, name];
    if (kind === "both") return range(2).map(() => `${name}, trained to read both sides`);
    const most = this.nTried(name);
    const among = `${most} likeliest${tried > most ? `, ${bare(c.tokens[c.token])} added` : " and what stood there"}`;
    return [`${name}: ${among}`, among];
  }

  /** How many of its likeliest tokens a model tries. */
  nTried(name) {
    return Math.min(this.get("state").n_tried, this.view(name).vocab_size);
  }

  /** What stands where there is no list. */
  nothing(c, ways, way, found) {
    if (c.token === null) return way === ways[0] ? "Click on a word to hide it." : "";
    if (found === null) return NO_START[way.kind];
    if (found !== undefined) return "";
    if (way.kind === "tried" && !this.canAsk()) return "On this page nothing was tried at this token.";
    return this.canAsk() && !this.isRefused(c) ? "…" : "Nobody has answered this.";
  }

  drawSentence(c, ways) {
    this.stepper.hidden = c.token === null;
    const [first] = ways;
    if (c.token === null) {
      const bits = c.tokens.map((_, place) => this.found(first, [], place)?.bits ?? 0);
      const most = bits.indexOf(Math.max(...bits));
      setText(this.lead, "Nothing is hidden. ");
      setText(this.followed, "");
      if (bits[most] === 0) this.say();
      else this.say(mark(bare(c.tokens[most]), "token"), ` surprises ${first.name} most, ${first.named}: `, em(`${bits[most].toFixed(1)} bits`, "token"), ".");
      return;
    }
    const found = ways.map((way) => this.found(way, c.others, c.token));
    const isWaiting = found.includes(undefined) && this.canAsk() && !this.isRefused(c);
    const own = bare(c.tokens[c.token]);
    const unseen = h("span", { class: "unseen" }, own); // the stepper's, to be read aloud
    setText(this.followed, own);
    if (!isWaiting && found.every((each) => each === undefined)) {
      setText(this.lead, "Nobody has answered yet what share goes to ");
      this.say(unseen, ".");
      return;
    }
    const isLong = this.stage.clientWidth > 932;
    setText(this.lead, `${first.name[0].toUpperCase()}${first.name.slice(1)} gives `);
    const shares = ways.flatMap((way, i) => {
      if (!found[i] && (i > 0 || !isWaiting)) return [];
      const isNew = i > 0 && way.name !== ways[i - 1].name;
      const said = way.said[isLong ? 0 : 1];
      const share = found[i] ? em(told(2 ** -found[i].bits), "token") : "…";
      return [i === 0 ? " " : isNew ? `; ${way.name} ` : ", ", share, said && ` ${said}`];
    });
    const start = found[0] === null ? " no share, as nothing stands before it" : "";
    this.say(unseen, start, shares, isWaiting && found[0] !== undefined ? "; …" : ".");
    this.keepHigh();
  }

  /** A sentence that needs one more line keeps it, so that nothing moves to and fro below a pointer. */
  keepHigh() {
    const line = this.said.closest(".say");
    const key = `${this.built} ${this.stage.clientWidth}`;
    if (this.keeps !== key) line.style.minHeight = "";
    this.keeps = key;
    line.style.minHeight = `${Math.max(line.offsetHeight, parseFloat(line.style.minHeight) || 0)}px`;
  }

  drawNotes(c) {
    const { unknown, n_tokens: n } = this.view();
    const letters = unknown.slice(0, 10).map(visible).join(" ") + (unknown.length > 10 ? " …" : "");
    const notes = [
      unknown.length ? `Left out, as the model knows only the signs of an English keyboard: ${letters}.` : "",
      n > c.tokens.length ? `The first ${c.tokens.length} of ${n} tokens are read.` : "",
    ].filter(Boolean);
    const most = Math.min(MOST_HIDDEN, c.tokens.length - 1);
    const full = this.full || c.tokens.length === 1 ? `At most ${most} of these tokens can be hidden; one must stay.` : "";
    setText(this.hint, this.sharesOf(c) || full || notes.join(" ") || this.question(c));
    const names = this.group().join(", ");
    const [long, short] = this.canAsk(this.get("state").names) ? ["", ""] : NOT_HERE;
    this.source.replaceChildren(
      h("span", { class: "long" }, `${names}: ${count(this.view().vocab_size)} tokens to choose from. ${long}`),
      h("span", { class: "short" }, short || names),
    );
  }

  /** The shares of the word that is pointed at, in every list. */
  sharesOf(c) {
    const shown = this.columns.map(({ lines }) => lines.find(({ piece }) => piece !== undefined && piece === this.pointed));
    if (c.token === null || !shown.some(Boolean)) return "";
    const parts = this.ways().flatMap((way, i) => {
      const found = this.found(way, c.others, c.token);
      if (!found) return [];
      // What is not among the likeliest has less than the last of them.
      const least = Math.max(found.rows.at(-1)[1], 0.001);
      const named = this.ways().filter(({ kind }) => kind === way.kind).length > 1 ? `${way.name} ${way.named}` : way.named;
      return [`${shown[i] ? told(shown[i].p) : `< ${percent(least)}`} ${named}`];
    });
    return `${bare(this.pointed)}: ${parts.join(", ")}.`;
  }

  /** What can be found out here, and what the token that is followed has to do with it. */
  question(c) {
    const ways = this.ways();
    const known = range(c.tokens.length).filter((place) => ways.every((way) => this.found(way, c.others, place) !== undefined));
    const isAll = this.canAsk() || known.length === c.tokens.length;
    const names = ways[0].kind !== "left" ? [] : ways.length > 1 && isAll ? ["left", "both"] : ["left"];
    const verdict = this.looked.has(c.token) ? this.verdict(c, ways) : null;
    if (verdict?.answers && this.passing === null) this.solved.add(verdict.answers);
    const open = QUESTIONS[names.filter((name) => !this.solved.has(name)).join(" ")];
    const isPassing = verdict && this.passing !== null && this.passing !== c.own;
    const how = `${matchMedia("(hover: none)").matches ? "Tap" : "Point at"} one; a click keeps it.`;
    const kept = known.length ? known.map((place) => bare(c.tokens[place])).join(", ") : "no token";
    const next = isPassing ? (this.solved.size === 0 ? "A click keeps it." : "") : names.length === 0 ? "" : verdict ? open.replace(MEASURE, "") : `${open} ${how}`;
    return [verdict?.said, next, isAll ? "" : `Both sides are recorded at ${kept}.`].filter(Boolean).join(" ");
  }

  /** Who settles a token: `answers` names the question that this answers. */
  verdict(c, ways) {
    const found = ways.map((way) => this.found(way, c.others, c.token));
    if (ways[0].kind !== "left" || !found[0]) return null;
    const [left, ...both] = found.map((each) => (each ? 2 ** -each.bits : 0));
    const most = Math.max(0, ...both);
    const isAdded = (found, { kind, name }) => kind === "tried" && found?.tried > this.nTried(name);
    const unaided = Math.max(0, ...both.filter((_, i) => !isAdded(found[i + 1], ways[i + 1])));
    const own = bare(c.tokens[c.token]);
    if (left >= SETTLED) return { answers: "left", said: `✓ ${own}: the left side settles it, ${told(left)}.` };
    if (!found.slice(1).some(Boolean)) return { said: `${own}: the left side does not settle it, ${told(left)}.` };
    if (unaided < SETTLED && most >= SETTLED) {
      return { said: `${own}: not among the likeliest; added to them by us it has ${told(most)}, ${told(left)} from the left.` };
    }
    if (most < SETTLED) {
      const best = ways[1 + both.indexOf(most)];
      return { said: `${own}: neither settles it, ${told(left)} from the left, ${told(most)} ${best.named}.` };
    }
    if (left >= LOST) return { said: `${own}: both sides settle it, ${told(most)}, but the left side has ${told(left)}.` };
    return { answers: "both", said: `✓ ${own}: only both sides settle it, ${told(left)} to ${told(most)}.` };
  }

  /** From the gap down to the lists, and from list to list what stands in both. */
  drawThreads(c) {
    this.thread.replaceChildren();
    if (c.token === null || this.words.hidden) return;
    const { left, top } = this.stage.getBoundingClientRect();
    const at = (node) => {
      const box = node.getBoundingClientRect();
      const from = { left: box.left - left, right: box.right - left, top: box.top - top, bottom: box.bottom - top };
      return { ...from, x: (from.left + from.right) / 2, y: (from.top + from.bottom) / 2 };
    };
    const gap = at(this.tokens[c.token].button);
    const isNear = this.tokens.at(-1).button.offsetTop === this.tokens[c.token].button.offsetTop;
    const lines = [
      svg("path", { class: "stem", "stroke-opacity": isNear ? 1 : 0.4, d: `M${gap.x},${gap.bottom}V0` }),
      svg("path", { class: "stem", d: `M0,0H${this.stage.clientWidth}` }),
    ];
    this.columns.slice(1).forEach((column, i) => {
      const before = this.columns[i];
      const [from, to] = [at(before.node), at(column.node)];
      if (to.top !== from.top || !this.isWide()) return;
      before.lines.forEach((line, n) => {
        const other = column.lines.findIndex(({ piece }) => piece !== undefined && piece === line.piece);
        if (other < 0) return;
        const [one, next] = [before.rows[n], column.rows[other]];
        // Where bars stand below the words, lines go from word to word.
        const isBelow = at(one.number).top > at(one.name).y;
        const begin = at(isBelow ? one.name : one.number).right + 8;
        const [y, z] = [one, next].map((row) => at(isBelow ? row.name : row.row).y);
        const turn = Math.max(begin, from.right);
        const middle = (turn + to.left) / 2;
        const isMarked = line.isOwn || line.piece === this.pointed;
        lines.push(svg("path", { class: isMarked ? "same" : "", d: `M${begin},${y}H${turn}C${middle},${y} ${middle},${z} ${to.left},${z}` }));
      });
    });
    this.thread.append(...lines);
  }

  asText(c, ways) {
    const shown = c.tokens.map((piece, place) => (c.hidden.includes(place) ? piece.replace(/\S+|^ $/, "▢") : piece)).join("");
    const lists = c.token === null ? [] : ways.map((way, i) => {
      const { lines, under, passes, none } = this.columns[i];
      const listed = lines.map((line) => `${this.named(line, way)} ${told(line.p)}${line.rank ? ` (${nth(line.rank)})` : ""}`).join(", ");
      const by = [under[0].textContent, passes.textContent].filter(Boolean).join(", ");
      return `${way.title}, ${by}: ${listed || none.textContent}`;
    });
    const surprises = ways.map((way) => {
      const bits = c.tokens.map((piece, place) => `${bare(piece)} ${this.found(way, c.others, place)?.bits.toFixed(1) ?? "–"}`);
      return `Surprise in bits, ${way.name} ${way.named}: ${bits.join(" | ")}`;
    });
    return [shown, this.lead.textContent + this.said.textContent, ...lists, ...surprises, this.hint.textContent];
  }

  /** Without its arrows. */
  copyPicture() {
    this.root.classList.add("still");
    const done = super.copyPicture();
    this.root.classList.remove("still");
    return done;
  }
}

/** A share to read; what rounds to nothing is still something. */
const told = (p) => (p < 0.0005 ? "< 0.1 %" : percent(p));

/** A letter that may have nothing to stand on, or no shape. */
function visible(letter) {
  if (/\p{M}/u.test(letter)) return `◌${letter}`;
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(letter) ? letter : `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Gap", textLabel: "The gap as text", answers: readersOf(model) });
  const page = new Gap(model, box);
  box.watch(() => page.soon(), "views", "answers", "tried", "model", "hidden", "token");
  box.watch(() => {
    page.soon();
    box.settle();
  }, "state");
  return () => {
    page.watch.disconnect();
    clearTimeout(page.waiting);
    box.close();
  };
}

export default { render };
