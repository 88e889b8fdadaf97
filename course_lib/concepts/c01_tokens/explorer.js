// The token explorer's page: a text in the tokens of two tokenizers; how a word became its tokens, or what languages cost.

const LONGEST_TEXT = 2000; // as in Python
const MOST_KEPT = 300; // texts that were cut
const MOST_BESIDE = 34; // letters of a word, with two tokenizers side by side
const PLAY_MS = 600; // a step
const SIZES = [25, 22, 19, 16, 14];
const HOW = {
  cut: [
    "A text in its tokens, each with a tint; the open word is underlined. A letter in stripes lies in several; what has no tint is dropped.",
    "Byte pairs (GPT) begin with the bytes of a word. Of all neighbours, the pair that was learned first is merged, again and again.",
    "WordPiece (BERT) takes the longest piece that fits, from the left; grey are the longer ones that it tried.",
    "A token's number counts what was there before the pairs, too: bytes and marks. ␣ is a space, ↵ a new line (type it so). E2 98 are bytes of no whole character. ## goes on with a word, [UNK] stands for a lost one.",
  ],
  price: [
    "One sentence in 20 languages, the cheapest first; each cell of a bar is a token. Choose a language to see its cuts.",
    "Of a script that is rare in its training text a tokenizer has learned few pairs: a token is a byte or two.",
    "WordPiece knows no bytes: hatched are words that it loses, [UNK].",
  ],
};
const KEYS = [["←", "→", "Home", "End", "tokens"], ["↑", "↓", "steps, languages"], ["Esc", "closes"]];

class Tokens extends Instrument {
  constructor(model, box, tokenizers) {
    super(box);
    Object.assign(this, { model, tokenizers, cuttings: new Map(), passing: null });
    // token: of the text on this side; steps: how many are shown on each side, null: all; isTold, isAsked: somebody chose
    // the token, or its word.
    this.state = { view: "cut", side: 0, token: 0, steps: [], isTold: false, isAsked: false };
    this.make();
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  /** A text by one tokenizer. */
  cutting(view, name) {
    const key = `${name}\n${view.text}`;
    if (this.cuttings.size > MOST_KEPT) this.cuttings.clear();
    if (!this.cuttings.has(key)) this.cuttings.set(key, new Cutting(name, this.tokenizers.get(name), view.text, view.cuts[name]));
    return this.cuttings.get(key);
  }

  /** Every sentence with what it costs each tokenizer, cheapest first. */
  prices(shown) {
    const found = this.model.get("sentences").map(([language, view]) => ({ language, sides: shown.map((name) => this.cutting(view, name).price()) }));
    const [{ sides: english }] = found;
    for (const { sides } of found) sides.forEach((side, i) => (side.times = side.n / english[i].n));
    return found.sort((a, b) => a.sides[0].n - b.sides[0].n);
  }

  /** All that is to be seen. */
  current() {
    const c = { language: this.model.get("language"), isWide: this.isWide(), ...this.state, ...this.passing };
    const shown = this.model.get("shown");
    if (c.view === "price") {
      c.prices = this.prices(shown);
      c.language ||= c.prices.at(-1).language;
    }
    const view = this.model.get("sentences").find(([name]) => name === c.language)?.[1] ?? this.model.get("state").view;
    c.text = view.text;
    c.cuts = shown.map((name) => this.cutting(view, name));
    const { tokens } = c.cuts[c.side];
    c.token = clamp(c.token, 0, tokens.length - 1);
    // The token whose number is told: the one that is pointed at, or else that was chosen.
    c.told = c.pointed ?? (c.isTold && c.view === "cut" ? { side: c.side, token: c.token } : null);
    // Of each side: the token at this place, how its word grew, and how many steps of that are shown.
    c.tokens = c.cuts.map((cut, side) => (side === c.side ? tokens[c.token] : cut.tokenAt(tokens[c.token])) ?? null);
    c.grown = c.tokens.map((token, side) => token && grown(c.cuts[side], token.word));
    c.steps = c.grown.map((each, side) => Math.min(c.steps[side] ?? Infinity, each?.high ?? 0));
    return c;
  }

  /** What came may be another text, of which the first token is chosen. */
  show() {
    const before = this.now;
    this.set({});
    if (before && before.text === this.now.text && before.cuts.every((cut, side) => cut === this.now.cuts[side])) return;
    this.set({ side: 0, token: 0, steps: [], isTold: false, isAsked: false });
  }

  set(change) {
    this.passing = null;
    this.state = { ...this.state, ...change };
    this.draw();
    this.reveal();
  }

  chooseToken(side, token) {
    const { view, language } = this.now;
    if (view === "price") this.outer.set("language", language);
    this.set({ view: "cut", side, token, steps: [], isTold: true, isAsked: true });
  }

  chooseLanguage(language) {
    this.typing.giveUp();
    this.outer.forgive();
    this.outer.set("language", language);
  }

  /** The word before or the next one; after the last comes the first. */
  turn(by) {
    const { side, cuts, tokens } = this.now;
    const all = [...new Set(cuts[side].tokens.map(({ word }) => word))];
    const words = all.filter((word) => isWord(cuts[side].words[word][0]));
    const open = tokens[side]?.word ?? 0;
    const next = by > 0 ? (words.find((word) => word > open) ?? words[0]) : (words.findLast((word) => word < open) ?? words.at(-1));
    if (next === undefined) return;
    this.set({ token: cuts[side].tokens.findIndex(({ word }) => word === next), steps: [], isTold: false, isAsked: true });
  }

  /** The same word on the other side. */
  turnTo(side) {
    const { cuts, tokens } = this.now;
    this.set({ side, token: cuts[side].tokens.indexOf(tokens[side]), steps: [] });
    this.sides[side].other.focus();
  }

  /** How many steps of a side are shown. */
  stepped(side, step) {
    const { cuts, tokens } = this.now;
    return { side, token: cuts[side].tokens.indexOf(tokens[side]), steps: Object.assign([...this.state.steps], { [side]: step }) };
  }

  /** All steps, one after the other, until somebody chooses another one. */
  play(side) {
    clearInterval(this.playing);
    let step = 0;
    this.set(this.stepped(side, step));
    this.playing = setInterval(() => {
      const { high } = this.now.grown[side] ?? { high: 0 };
      if (this.state.steps[side] !== step || step >= high) return clearInterval(this.playing);
      step += 1;
      return this.set(this.stepped(side, step));
    }, PLAY_MS);
  }

  // ---------------------------------------------------------------------------------------------- the frame
  make() {
    const languages = this.model.get("sentences").map(([language]) => [language, language]);
    const select = (label, options) => {
      const node = h("select", { "aria-label": label, onchange: () => this.chooseLanguage(node.value) });
      setOptions(node, options);
      return node;
    };
    this.tabs = tabs({
      label: "Views",
      options: [["cut", ["How a word is cut", "Cut"]], ["price", ["What a language costs", "Cost"]]],
      choose: (view) => this.set({ view }),
    });
    this.field = h("input", { class: "typed", "aria-label": "Your text", placeholder: "Type anything", spellcheck: "false", dir: "auto" });
    this.field.addEventListener("blur", () => {
      if (this.field.value) return;
      this.typing.giveUp();
      this.outer.forgive();
    });
    this.typing = typedText(this.field, (text) => this.outer.ask("text", { text: text.replaceAll("↵", "\n") }));
    this.sentence = select("One sentence in", [["", "your text"], ...languages]);
    this.priced = select("Language", languages);
    const turn = (by, sign, label) => h("button", { type: "button", "aria-label": label, title: label, onclick: () => this.turn(by) }, sign);
    this.lead = h("span");
    this.word = h("b", { dir: "auto" });
    const turns = [turn(-1, "‹", "Word before"), turn(1, "›", "Next word")];
    this.sides = this.model.get("shown").map((_, side) => this.makeSide(side));
    this.texts = h("div", { class: "texts" }, this.sides.map(({ line }) => line));
    this.asked = h("span", { role: "status" });
    this.number = h("span", { class: "number" });
    this.info = h("p", { class: "info" }, this.asked, this.number);
    this.build({
      name: "tx",
      top: [this.tabs.node, this.field, this.sentence],
      place: [this.lead, this.word, this.priced],
      switches: turns,
      between: [this.texts, this.info],
      role: "tabpanel",
    });
    this.chart = h("div", { class: "chart", role: "radiogroup", "aria-label": "Languages", onkeydown: (event) => this.onChartKey(event) });
    this.titles = this.sides.map(() => h("span", { class: "bar" }));
    this.chart.append(h("div", { class: "titles" }, h("span", { class: "name" }), this.titles));
    this.rows = languages.map(([language]) => this.makeRow(language));
    this.stage.append(...this.sides.map(({ panel }) => panel), this.chart);
    this.watch = onWidth(this.stage, () => this.draw());
  }

  /** A tokenizer: its text, and how the chosen word grew. */
  makeSide(side) {
    const { names } = this.model.get("state");
    const options = names.map((name) => h("option", { value: name }, name));
    const title = names.length > 2 ? h("select", { "aria-label": `Tokenizer ${side + 1}` }, options) : h("b");
    title.addEventListener("change", () => this.outer.set("shown", this.model.get("shown").with(side, title.value)));
    const size = h("span");
    const text = h("p", { class: "text", role: "group", dir: "auto", onkeydown: (event) => this.onTextKey(event, side) });
    const turnPage = () => text.scrollTo({ top: this.isBelow(side) ? text.scrollTop + text.clientHeight : 0 });
    const more = h("button", { type: "button", class: "more", hidden: true, onclick: turnPage });
    text.addEventListener("scroll", () => this.drawRest(side));
    const [head, of] = [h("span"), h("span")];
    const spinner = spin({
      label: `Steps of text ${side + 1}`,
      high: () => this.now?.grown[side]?.high ?? 0,
      get: () => this.now?.steps[side] ?? 0,
      set: (step) => this.set(this.stepped(side, step)),
    });
    const figure = h("div", { class: "grown", "aria-hidden": "true" });
    const play = h("button", { type: "button", class: "quiet", "aria-label": `Play text ${side + 1}`, onclick: () => this.play(side) }, "Play");
    const stepper = h("span", { class: "stepper" }, spinner.node, of, play);
    const other = h("button", { type: "button", class: "quiet", onclick: () => this.turnTo(1 - side) });
    const panel = h("div", { class: "grows" }, h("div", { class: "head" }, head, other, stepper), figure);
    const line = h("div", { class: "line" }, h("div", { class: "who" }, title, size, more), text);
    const all = { line, title, size, text, more, panel, head, other, of, play, spinner, stepper, figure };
    // What is pointed at: a token, or a step.
    const pointed = {
      text: (event) => {
        const token = this.aimed(side, event);
        return token === null ? null : { pointed: { side, token }, language: this.now.language };
      },
      figure: (event) => {
        const found = this.now.grown[side];
        return found?.high ? this.stepped(side, found.stepAt(event.clientY - figure.getBoundingClientRect().top)) : null;
      },
    };
    for (const [name, at] of Object.entries(pointed)) {
      const node = all[name];
      node.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.preview(at(event)));
      node.addEventListener("pointerleave", () => this.preview(null));
      node.addEventListener("click", (event) => {
        const found = at(event);
        if (found && name === "text") this.chooseToken(side, found.pointed.token);
        else if (found) this.set(found);
      });
    }
    return all;
  }

  makeRow(language) {
    const bars = this.sides.map(() => h("span", { class: "bar" }, h("b"), h("i"), h("span")));
    const node = h("button", { type: "button", role: "radio", onclick: () => this.chooseLanguage(language) }, h("span", { class: "name" }, language), bars);
    node.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.preview({ language }));
    node.addEventListener("pointerleave", () => this.preview(null));
    this.chart.append(node);
    return { language, node, bars };
  }

  /** The token that is pointed at: a letter may lie in several. */
  aimed(side, { target, clientX }) {
    const bit = target.closest(".bit");
    if (!bit) return null;
    const { parts } = this.now.cuts[side].bits[bit.dataset.bit];
    const { left, right, width } = bit.getBoundingClientRect();
    let share = ((isRightToLeft(bit.textContent) ? right - clientX : clientX - left) / width) * sum(parts.map((part) => part.share));
    const { token } = parts.find((part) => (share -= part.share) <= 0) ?? parts.at(-1);
    return token < 0 ? null : token;
  }

  onTextKey(event, side) {
    const by = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity, Enter: 0, " ": 0 }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { tokens } = this.now.cuts[side];
    const isTurned = event.key.startsWith("Arrow") && getComputedStyle(event.currentTarget).direction === "rtl";
    const onwards = isTurned ? -by : by;
    this.chooseToken(side, clamp(tokens.indexOf(this.now.tokens[side]) + onwards, 0, tokens.length - 1));
    event.currentTarget.querySelector('[tabindex="0"]')?.focus();
  }

  onChartKey(event) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const { prices, language } = this.now;
    const next = prices[clamp(prices.findIndex((each) => each.language === language) + by, 0, prices.length - 1)].language;
    this.chooseLanguage(next);
    this.rows.find((row) => row.language === next).node.focus();
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  draw() {
    if (this.stage.clientWidth === 0) return;
    const c = this.current();
    this.now = c;
    this.root.dataset.view = c.view;
    setAttribute(this.stage, "aria-labelledby", `${this.tabs.id}-${c.view}`);
    this.tabs.show(c.view);
    this.tell(HOW[c.view], KEYS);
    const isPrice = c.view === "price";
    this.field.hidden = this.sentence.hidden = isPrice;
    if (!this.passing) this.typing.show(c.text.replaceAll("\n", "↵"));
    this.sentence.value = this.model.get("language");
    for (const option of this.priced.options) setAttribute(option, "selected", option.value === c.language && "");
    this.priced.value = c.language;
    // A long word needs the room of both.
    const isOne = !this.isWide() || Math.max(...c.grown.map((each) => each?.cells ?? 0)) > MOST_BESIDE;
    const isHidden = (side) => isPrice || (isOne && side !== c.side);
    this.sides.forEach(({ panel }, side) => (panel.hidden = isHidden(side)));
    this.sides.forEach((side, n) => {
      this.drawText(c, side, n);
      if (!isHidden(n)) this.drawPanel(c, side, n);
      side.other.hidden = !isOne || !c.tokens[1 - n];
      setText(side.other, c.cuts[1 - n]?.title ?? "");
    });
    this.fit(c);
    if (isPrice) this.drawPrices(c);
    const isOneWord = c.text.trim().split(/\s+/).length < 2;
    const which = isOneWord ? "Type a sentence: which word costs most?" : `Which word costs ${c.cuts[c.side].title} most? Choose a token.`;
    const answer = c.isAsked && !isPrice && !isOneWord && c.tokens[c.side] ? costSaid(c) : null;
    this.asked.replaceChildren(...(answer ?? [isPrice ? "Why so many? Choose a letter of the text." : which]));
    const token = c.told && c.cuts[c.told.side].tokens[c.told.token];
    const point = isPrice || answer ? "" : h("span", { class: "long" }, "Point at a token for its number");
    this.number.replaceChildren(...(token ? told(c.cuts[c.told.side], token, answer ? 23 : 60) : [point]));
    this.word.hidden = isPrice;
    this.priced.hidden = !isPrice;
    const [lead, word, ...said] = isPrice ? priceSaid(c) : c.steps[c.side] < (c.grown[c.side]?.high ?? 0) ? stepSaid(c) : cutSaid(c);
    setText(this.lead, lead);
    setText(this.word, word);
    this.say(...said);
    const known = ({ title, tokenizer }) => `${title}: ${tokenizer.merges ? many(tokenizer.merges.length, "merge") : many(tokenizer.tokens.length, "piece")}. `;
    const size = `${many(Array.from(c.text).length, "character")}, ${many(encoded(c.text).length, "byte")}.`;
    this.source.replaceChildren(h("span", { class: "long" }, [...new Set(c.cuts.map(known))].join("")), size);
    setText(this.outer.text, asText(c));
  }

  drawText(c, side, n) {
    const [cut, token] = [c.cuts[n], c.tokens[n]];
    if (side.title.tagName === "SELECT") side.title.value = cut.title;
    else setText(side.title, cut.title);
    setText(side.size, many(cut.tokens.length, "token"));
    setAttribute(side.text, "aria-label", `${cut.title}: the text, choose a token`);
    if (side.drawn !== cut) this.makeText(side, cut);
    const marked = n === c.told?.side ? cut.tokens[c.told.token] : null;
    const chosen = n === c.side && c.isTold && c.view === "cut" ? token : null;
    side.bits.forEach((node, i) => {
      const { parts } = cut.bits[i];
      const tokens = parts.map((part) => cut.tokens[part.token]);
      setAttribute(node, "data-word", c.view === "cut" && token && tokens.some((each) => each?.word === token.word) && "");
      setAttribute(node, "data-on", marked && tokens.includes(marked) && "");
      if (!parts.length) return;
      node.tabIndex = i === (token?.bits[0] ?? cut.tokens[0]?.bits[0]) ? 0 : -1;
      setAttribute(node, "aria-pressed", String(chosen !== null && tokens.includes(chosen)));
    });
  }

  /** The text, with a tint for each token and stripes where a letter lies in several. */
  makeText(side, cut) {
    const isInside = side.text.contains(document.activeElement);
    side.drawn = cut;
    setAttribute(side.text, "data-joined", JOINED.test(cut.text) && "");
    side.bits = cut.bits.map(({ text, parts }, i) => {
      const shown = Array.from(LETTERS.segment(text), ({ segment }) => visible(segment)).join("");
      if (!parts.length) return h("span", {}, shown);
      const tokens = parts.map(({ token }) => cut.tokens[token]);
      const label = tokens.map((each) => (each ? cut.name(each.id) : "left out")).join(", ");
      const node = h("span", { class: "bit", role: "button", "data-bit": i, "aria-label": label }, shown);
      setAttribute(node, "data-whole", tokens.length === 1 && tokens[0]?.bits.length === 1 && "");
      setAttribute(node, "data-lost", tokens.some((each) => !each || cut.isLost(each.word)) && "");
      node.style.setProperty("--tint", parts.length > 1 ? stripes(parts, isRightToLeft(text)) : tint(parts[0].token));
      return node;
    });
    side.text.replaceChildren(...side.bits);
    if (isInside) requestAnimationFrame(() => side.text.querySelector('[tabindex="0"]')?.focus());
  }

  /** A long text is written smaller; what still has no room is scrolled to, on each side by itself. */
  fit({ text, cuts }) {
    const fitted = [text, cuts.map(({ title }) => title), this.stage.clientWidth].join("\n");
    if (this.fitted === fitted) return;
    this.fitted = fitted;
    for (const size of this.isWide() ? SIZES : SIZES.slice(2)) {
      this.texts.style.setProperty("--size", `${size}px`);
      if (this.sides.every(({ text: node }) => node.scrollHeight <= node.clientHeight + 1)) break;
    }
    this.sides.forEach(({ text: node }, side) => {
      node.scrollTop = 0;
      this.drawRest(side);
    });
  }

  /** Whether a text goes on below what is seen of it, and how many tokens begin there. */
  isBelow(side) {
    const { text } = this.sides[side];
    return text.scrollHeight - text.clientHeight - text.scrollTop > 2;
  }

  rest(side) {
    const { text, bits } = this.sides[side];
    if (!this.isBelow(side)) return 0;
    const { bottom } = text.getBoundingClientRect();
    const first = bits.findIndex((node) => node.getClientRects()[0]?.top > bottom - 6);
    return first < 0 ? 0 : this.now.cuts[side].tokens.filter(({ bits: [bit] }) => bit >= first).length;
  }

  drawRest(side) {
    const { text, more } = this.sides[side];
    const [rest, isBelow] = [this.rest(side), this.isBelow(side)];
    more.hidden = !isBelow && text.scrollTop < 2;
    setText(more, isBelow ? `${rest ? `${count(rest)} ` : ""}more ↓` : "to the top ↑");
    setAttribute(more, "aria-label", `Text ${side + 1}: ${isBelow ? many(rest, "more token", "more tokens") : "to the top"}`);
  }

  /** The open word is in sight on both sides. */
  reveal() {
    this.sides.forEach(({ text, bits = [] }, side) => {
      const token = this.now?.tokens[side];
      const [rect] = (token?.bits.length && bits[token.bits[0]]?.getClientRects()) || [];
      if (!rect) return;
      const { top, bottom } = text.getBoundingClientRect();
      if (rect.top < top) text.scrollTop -= top - rect.top + 2;
      else if (rect.bottom > bottom) text.scrollTop += rect.bottom - bottom + 2;
    });
  }

  drawPanel(c, side, n) {
    const [{ title, isBytes, text }, found, step] = [c.cuts[n], c.grown[n], c.steps[n]];
    side.stepper.hidden = !found?.high;
    side.spinner.show();
    const high = found?.high ?? 0;
    const { clientWidth: width, clientHeight: height } = side.figure;
    const isRoomy = width > 420;
    setText(side.of, ` of ${isRoomy ? many(high, ...(isBytes ? ["merge"] : ["match", "matches"])) : high}`);
    side.play.hidden = high < 2;
    const word = [title, text, c.tokens[n]?.word, width, height].join();
    const told = () => {
      const isLong = width > 520;
      if (isRightToLeft(c.cuts[n].words[c.tokens[n]?.word]?.[0] ?? "")) return "as it is stored: first letter left";
      if (isRoomy && found?.matches?.some(({ tried }) => tried)) return "takes the longest piece; grey: tried";
      if (!isBytes || !(found?.high > 1)) return isBytes ? "merges neighbours" : "takes the longest piece";
      return `${isLong ? "merges neighbours " : ""}↑ ${isRoomy ? "merge by merge " : ""}from below`;
    };
    if (side.grownTo === `${word} ${step}`) return;
    setAttribute(side.figure, "data-new", side.word !== word && "");
    Object.assign(side, { word, grownTo: `${word} ${step}` });
    side.figure.style.setProperty("--beside", `${roomBeside(width) - 8}px`);
    const measured = (words, size) => widthOf(words, size, 600);
    side.figure.replaceChildren(...(found?.draw({ step, width, height, measured }) ?? [h("p", {}, "Nothing of it is read.")]));
    setText(side.head, `${title} ${told()}`);
  }

  drawPrices(c) {
    const [name, beside] = this.isWide() ? [92, 84] : [78, 34];
    const most = Math.max(...c.prices.flatMap(({ sides }) => sides.map(({ n }) => n)));
    const room = ((this.chart.clientWidth - name) / c.cuts.length - beside) / most;
    const cell = room > 2.5 ? Math.floor(room) : room;
    const sizes = { "--name": `${name}px`, "--cell-width": `${cell}px`, "--gap": cell > 2.5 ? "1px" : "0px" };
    for (const [property, value] of Object.entries(sizes)) this.chart.style.setProperty(property, value);
    this.titles.forEach((node, side) => setText(node, `${c.cuts[side].title}${this.isWide() ? ": tokens, beside English" : ""}`));
    for (const { language, node, bars } of this.rows) {
      const place = c.prices.findIndex((each) => each.language === language);
      const { sides } = c.prices[place];
      const isChosen = language === c.language;
      node.style.setProperty("--place", place + 1);
      node.tabIndex = isChosen ? 0 : -1;
      setAttribute(node, "aria-checked", String(isChosen));
      setAttribute(node, "aria-label", priceTold(c, c.prices[place]));
      bars.forEach((bar, side) => {
        const { n, lost, times } = sides[side];
        const [kept, hatched, words] = bar.children;
        kept.style.setProperty("--n", n - lost);
        hatched.style.setProperty("--n", lost);
        // What is lost makes a text no cheaper.
        const more = lost ? (lost === sides[side].words ? "all lost" : `${many(lost, "word")} lost`) : times === 1 ? "" : `${times.toFixed(1)} ×`;
        words.replaceChildren(count(n), this.isWide() ? h("s", {}, `  ${more}`) : "");
      });
    }
  }
}

/** In Python's place, where there is none. */
function answers(model, opened) {
  return {
    async text({ text }) {
      const length = Array.from(text).length;
      if (!length) throw new Error("The text is empty: type at least one character.");
      if (length > LONGEST_TEXT) throw new Error(`The text has ${count(length)} characters, the explorer takes ${count(LONGEST_TEXT)}: shorten it.`);
      const cuts = {};
      for (const [name, tokenizer] of await opened) cuts[name] = tokenizer.words(text).map((word) => [word, ...tokenizer.cut(word)]);
      return { language: "", state: { view: { text, cuts } } };
    },
  };
}

function render({ model, el }) {
  const saved = Object.entries(model.get("vocabularies"));
  const opened = Promise.all(saved.map(async ([name, each]) => [name, await tokenizerOf(each)]));
  const box = frame({ model, el, title: "Tokens", textLabel: "The tokens as text", answers: answers(model, opened) });
  let page = null;
  const show = () => page?.show();
  box.watch(show, "shown", "language");
  box.watch(() => {
    show();
    box.settle();
  }, "state");
  opened.then((tokenizers) => {
    page = new Tokens(model, box, new Map(tokenizers));
    show();
  });
  return () => {
    page?.watch.disconnect();
    page?.typing.cancel();
    clearInterval(page?.playing);
    box.close();
  };
}

export default { render };
