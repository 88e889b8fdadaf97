// The positions explorer's page: two schemes side by side, and for both one place of a query and one of a key.

const TRAITS = ["left", "right", "pairs", "query", "key", "pair", "head", "parts"];
const SHOWN_PARTS = 7; // hands or heads below a curve
const SHOWN_PAIRS = 32; // of rows in a pattern
const TURNING = 2; // of many hands, those that need more than so many times all places for a round have no row in a picture
const SLOW = 10; // hands that need more than so many times all places for a round are left out
const VIOLET = [118, 84, 196]; // of a table: above 0, as in the figures; brown below
const BROWN = [179, 98, 26];
const VERMILION = [213, 94, 0]; // of scores
const LEFT = 32; // of the plots: room for what stands beside them
const RIGHT = 8;
// Heights; when the parts of a score are shown below, what is above makes room for them: where it is narrow, the whole pattern.
const TALL = { flags: 22, pattern: 158, axis: 16, title: 22, value: 22, curve: 172, ticks: 18, clock: 48, parts: 84 };
const LOW = { flags: 20, pattern: 62, axis: 14, title: 18, value: 17, curve: 76, ticks: 16, clock: 28, parts: 46 };
const SAME = 1e-6; // scores that differ less have stayed
const REPEAT_MS = [400, 110]; // of a button that is held: before it goes on, and from step to step
const ROUND = 2 * Math.PI;
const KEYS = [
  ["←", "→", "the key; Home and End: its first and last place"],
  ["↑", "↓", "the query"],
  ["Shift", "with an arrow: both"],
];
const HOW = [
  "Words play no part here: take all to be alike, so that only the places of query and key count.",
  "Above: what each place gets, a column of numbers (violet above 0, brown below). All pairs: each query, a row, with each key.",
  "Below: the query with a key at each place. Alike is a cosine, 1 where both vectors are the same. Grey: the same distances, seen from all other places.",
  "How it comes about: a clock for two numbers; its round tip is the query, the square one the key. On the thick rim the key's hand came in training.",
  "Point to look, click to keep. Drag a flag, or the line between both.",
];
const PATTERNS = [
  ["places", ["What a place gets", "Places"]],
  ["pairs", ["All pairs", "All pairs"]],
];
const CAPTIONS = {
  sinusoidal: () => "adds waves to the word's vector",
  learned: ({ d_model: width, isGiven }) => `adds ${width} numbers, ${isGiven ? "found by training" : "by chance"}`,
  rotary: () => "turns query and key by their place",
  ALiBi: () => "takes off a slope times the distance",
  relative: () => "adds a number for each distance, by chance",
};
const alike = ({ query }, isShort) => (isShort ? `alike to place ${query} (cosine)` : `how alike place ${query} and each are (cosine; 1: the same)`);
const added = ({ head, query }) => `what head ${head} adds to scores of place ${query}`;
const turned = ({ query }) => `score of place ${query} with each (same word: 1)`;
const TITLES = { sinusoidal: alike, learned: alike, rotary: turned, ALiBi: added, relative: added };
const VERBS = { sinusoidal: "alike", learned: "alike", rotary: "scores", ALiBi: "adds", relative: "adds" };
const NEIGHBOURS = 2; // that look alike by being near
const SEEN = 0.01; // how high a hump is at least
const FOUND = 2; // humps, the highest, one to each side
const NEARLY = 0.05; // of the largest score: a change that a reader hardly sees
const PAIRS_PX = [60, 20]; // by which all pairs, wide and narrow, are higher than a table

const places = (many) => `${many} ${many === 1 ? "place" : "places"}`;
/** An angle from half a turn back to half a turn on. */
const around = (angle) => angle - ROUND * Math.round(angle / ROUND);
const degrees = (angle) => `${(Math.round((angle * 360) / ROUND) % 360 + 360) % 360}°`;

const signed = (number) => `${number}`.replace("-", "−");
/** A score as it is written. */
function written(score, more = 0) {
  const text = score.toFixed((Math.abs(score) < 0.0995 ? 3 : 2) + more);
  return Number(text) === 0 ? "0" : signed(text);
}

/** In how many places a hand goes round. */
function roundOf(speed) {
  const many = ROUND / speed;
  return many < 9.95 ? fixed(many) : count(Math.round(many));
}

/** At most so many of n, evenly, the chosen one among them. */
function few(n, most, chosen) {
  const shown = n <= most ? range(n) : range(most).map((i) => Math.round((i * (n - 1)) / (most - 1)));
  if (!shown.includes(chosen)) shown[shown.findLastIndex((each) => each < chosen)] = chosen;
  return shown;
}

/** Fill a canvas, a pixel for each cell; the ground shines through, so that the colours follow the theme. */
function fill(canvas, rows, columns, colour) {
  const image = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i += 1) {
    const [ink, share] = colour(Math.floor(i / columns), i % columns);
    image.data.set(ink, 4 * i);
    image.data[4 * i + 3] = 255 * clamp(share, 0, 1);
  }
  Object.assign(canvas, { width: columns, height: rows });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

class Positions extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.sizes = model.get("state");
    this.last = this.sizes.n_places - 1;
    this.schemes = new Map();
    this.passing = null;
    this.held = null; // what the pointer drags
    this.began = null; // where both stood before they went on together
    this.hasChosen = false; // a place, since the page was opened
    this.frame();
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  current() {
    return { ...Object.fromEntries(TRAITS.map((name) => [name, this.model.get(name)])), ...this.passing };
  }

  scheme(name) {
    if (!this.schemes.has(name)) this.schemes.set(name, schemeOf(name, this.sizes, this.model.get("tables")));
    return this.schemes.get(name);
  }

  called(name) {
    return name === "learned" && !this.sizes.isGiven ? "random" : name;
  }

  set(change, together = false) {
    this.passing = null;
    const { query, key } = this.current();
    if (together) this.began ??= { query, key };
    else if ("query" in change || "key" in change) this.began = null;
    this.hasChosen ||= "query" in change || "key" in change;
    this.isSetting = true;
    for (const [name, value] of Object.entries(change)) if (this.model.get(name) !== value) this.outer.set(name, value);
    this.isSetting = false;
    this.draw();
  }

  moveBoth(step) {
    const [query, key] = ["query", "key"].map((name) => this.model.get(name));
    const by = clamp(step, -Math.min(query, key), this.last - Math.max(query, key));
    if (by) this.set({ query: query + by, key: key + by }, true);
  }

  // ---------------------------------------------------------------------------------------------- the frame
  frame() {
    const place = (name) =>
      spin({ label: `Place of the ${name}`, high: () => this.last, get: () => this.current()[name], set: (value) => this.set({ [name]: value }) });
    this.spins = { query: place("query"), key: place("key") };
    const { query, key } = this.spins;
    this.both = [this.stepper(-1, "Move both one back", "‹"), this.stepper(1, "Move both one on", "Move both ›")];
    this.patterns = tabs({ label: "Upper picture", role: "radio", options: PATTERNS, choose: (value) => this.choosePattern(value) });
    const why = ["Neither adds numbers to a place", "Neither adds numbers"];
    this.unable = h("span", { class: "unable" }, ["long", "short"].map((name, i) => h("span", { class: name }, why[i])));
    this.opens = named("How the number comes about", "Details", { class: "switch", onclick: () => this.set({ parts: !this.model.get("parts") }) });
    this.question = h("p", { "aria-live": "polite" });
    this.build({
      name: "po",
      top: [this.patterns.node, this.unable, h("span", { class: "space" }), this.opens],
      place: ["A ", em("query", "query"), " at ", h("span", { class: "long" }, "place "), query.node, " meets a ", em("key", "key"), " at ", key.node],
      between: [h("div", { class: "ask" }, h("span", { class: "both switches" }, this.both), this.question)],
      role: "group",
    });
    setAttribute(this.stage, "aria-label", "Two schemes. Arrow keys move the key and the query");
    setAttribute(this.stage, "tabindex", "0");
    this.tell(HOW, KEYS);
    this.sides = ["left", "right"].map((name) => this.side(name));
    this.stage.append(...this.sides.map((side) => side.node));
    this.outer.root.addEventListener("keydown", (event) => this.onKey(event));
    this.watch = onWidth(this.stage, () => this.draw());
  }

  /** A button that moves both places, and goes on while it is held. */
  stepper(step, label, sign) {
    let timer = null;
    let hasRun = false;
    const stop = () => clearTimeout(timer);
    const go = () => {
      hasRun = true;
      this.moveBoth(step);
      timer = button.isConnected ? setTimeout(go, REPEAT_MS[1]) : null;
    };
    const onpointerdown = (event) => {
      stop();
      hasRun = false;
      if (event.button === 0) timer = setTimeout(go, REPEAT_MS[0]);
    };
    const onclick = () => {
      if (!hasRun) this.moveBoth(step);
      hasRun = false;
    };
    const stops = { onpointerup: stop, onpointerleave: stop, onpointercancel: stop };
    const button = h("button", { type: "button", class: "push", "aria-label": label, onpointerdown, onclick, ...stops }, sign);
    return button;
  }

  choosePattern(value) {
    const parts = this.isWide() && this.model.get("parts");
    if (value === "pairs" || this.hasTable()) this.set({ pairs: value === "pairs", parts });
  }

  /** Whether one of both schemes gives numbers to a place. */
  hasTable() {
    const { left, right } = this.current();
    return [left, right].some((name) => isAdded(this.scheme(name)));
  }

  side(name) {
    const other = name === "left" ? "right" : "left";
    // The one that stands on the other side changes places with this.
    const choose = (value) => this.set({ ...(value === this.model.get(other) ? { [other]: this.model.get(name) } : {}), [name]: value });
    const pick = h("select", { "aria-label": `Scheme on the ${name}`, onchange: () => choose(pick.value) });
    setOptions(pick, Object.keys(CAPTIONS).map((each) => [each, this.called(each) === "random" ? "random rows" : each]));
    const [caption, scale, parts] = [h("span", { class: "caption" }), h("span", { "aria-hidden": "true" }), h("div", { class: "parts" })];
    const note = h("p", { class: "note", hidden: this.sizes.trained > this.last });
    const [canvas, hatched, over] = [h("canvas"), h("div"), svg("svg")];
    const plot = h("div", { class: "plot", "aria-hidden": "true" }, canvas, hatched, over);
    const node = h("div", { class: "side" }, h("div", { class: "head" }, pick, caption, scale), plot, parts, note);
    const side = { name, pick, caption, scale, canvas, hatched, over, plot, parts, note, node };
    plot.addEventListener("pointerdown", (event) => this.onPress(side, event));
    plot.addEventListener("pointermove", (event) => this.onMove(side, event));
    plot.addEventListener("pointerup", () => (this.held = null));
    // A finger that scrolls the page has chosen nothing.
    plot.addEventListener("pointercancel", () => {
      if (this.held) this.set(this.held.before);
      this.held = null;
    });
    plot.addEventListener("pointerleave", () => this.passing && this.preview(null));
    return side;
  }

  // ---------------------------------------------------------------------------------------------- pointing
  /** The places that a point of a plot stands for. */
  at({ plot, m, isTable }, event) {
    const { left, top } = plot.getBoundingClientRect();
    const place = (share) => clamp(Math.floor(share * this.sizes.n_places), 0, this.last);
    const key = place((event.clientX - left - LEFT) / m.wide);
    const row = (event.clientY - top - m.flags) / m.pattern;
    return isTable || row > 1 ? { key } : { query: place(row), key };
  }

  onPress(side, event) {
    if (event.button !== 0) return;
    side.plot.setPointerCapture(event.pointerId);
    this.passing = null;
    const { query, key } = this.current();
    const there = this.at(side, event);
    this.held = { what: event.target.dataset.hold ?? "", from: there.key, before: { query, key } };
    if (!this.held.what) this.set(there);
  }

  onMove(side, event) {
    const there = this.at(side, event);
    if (!this.held) {
      if (event.pointerType === "mouse") this.preview(event.target.dataset.hold ? null : there);
      return;
    }
    const { what, from } = this.held;
    this.held.from = there.key;
    if (what === "both") this.moveBoth(there.key - from);
    else if (what === "query") this.set({ query: side.isTable ? there.key : (there.query ?? this.last) });
    else this.set(what === "key" ? { key: there.key } : there);
  }

  onKey(event) {
    const end = { Home: 0, End: this.last }[event.key];
    if (end !== undefined && event.target === this.stage) {
      this.set({ key: end });
      event.preventDefault();
    }
    const move = MOVES[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|PRE)$/.test(event.target.tagName)) return;
    const step = move[0] + move[1];
    const name = move[0] ? "query" : "key";
    if (event.shiftKey) this.moveBoth(step);
    else if (event.target === this.stage) this.set({ [name]: clamp(this.model.get(name) + step, 0, this.last) });
    else return;
    event.preventDefault();
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  draw() {
    if (this.isSetting || this.stage.clientWidth === 0) return;
    const c = this.current();
    const { n_places: n, d_model: width } = this.sizes;
    for (const each of Object.values(this.spins)) each.show();
    setAttribute(this.both[0], "aria-disabled", Math.min(c.query, c.key) === 0 && "true");
    setAttribute(this.both[1], "aria-disabled", Math.max(c.query, c.key) === this.last && "true");
    const shown = [c.left, c.right].map((name) => this.scheme(name));
    const hasTable = this.hasTable();
    this.patterns.show(c.pairs || !hasTable ? "pairs" : "places");
    this.patterns.buttons[0].disabled = !hasTable;
    this.unable.hidden = hasTable;
    setAttribute(this.opens, "aria-pressed", String(c.parts));
    this.ask(shown, c);
    const offset = c.key - c.query;
    const isAlike = shown.every(({ name }) => VERBS[name] === "alike");
    const verbs = isAlike ? ["alike by", "by"] : shown.map(({ name }) => VERBS[name]);
    const score = (scheme, i) => [`${this.called(scheme.name)} `, h("span", { class: "long" }, `${verbs[i]} `), em(written(scheme.score(c.query, c.key, c.head)))];
    const many = [`, ${Math.abs(offset)} `, h("span", { class: "long" }, Math.abs(offset) === 1 ? "place " : "places "), offset < 0 ? "back" : "on"];
    this.say(offset ? many : ", the same place", ": ", score(shown[0], 0), ", ", score(shown[1], 1), ".");
    this.sides.forEach((side, i) => this.drawSide(side, shown[i], c));
    this.source.replaceChildren(`${places(n)}, `, h("span", { class: "long" }, "vectors of "), `${width} numbers.`);
    setText(this.outer.text, this.told(shown, c));
  }

  /** Beside the buttons: a question, and what answers it once both have moved, or the key alone. */
  ask(shown, c) {
    const by = this.hasMoved(c) ? c.query - this.began.query : 0;
    const answer = by ? this.moved(shown, c, by) : this.found(shown, c);
    const parts = answer ?? [this.questionOf(shown, c)];
    this.question.className = answer ? "answer" : "";
    if (this.question.textContent !== parts.flat().map((part) => part.textContent ?? part).join("")) this.question.replaceChildren(...parts.flat());
  }

  questionOf(shown, c) {
    const { n_places: n, trained } = this.sizes;
    const names = shown.map(({ name }) => name);
    if (trained < n) return `${trained} of ${places(n)} were trained; hatched is new. Move the query past ${trained - 1}: what is new to each?`;
    if (names.includes("learned") || shown.every(isAdded)) {
      return `Which places look most like place ${c.query}, besides its neighbours? And moved both, which number stays exactly?`;
    }
    if (names.includes("relative")) return "Move the key away: from which distance on does relative no longer tell places apart?";
    if (names.includes("ALiBi")) return "Move the key away: which of both is sure to get less and less?";
    if (names.includes("sinusoidal")) return "Twice the same curve. Why then turn, where one can add? (To which vector is something added?)";
    return "Move both: what happens to the number?";
  }

  /** What both numbers did when query and key went on together; of one that moved, how far it goes elsewhere. */
  moved(shown, c, by) {
    const answers = shown.map((scheme) => {
      const [least, most] = scheme.spread(c.key - c.query, c.head);
      const name = this.called(scheme.name);
      if (most - least < SAME) return [`${name} `, em(this.shownScore(scheme, c))];
      const [before, now] = [this.began, c].map(({ query, key }) => scheme.score(query, key, c.head));
      const nearly = Math.abs(now - before) < NEARLY * Math.max(...scheme.ends.map(Math.abs)) ? " nearly," : "";
      return [`${name}${nearly} `, em(this.shownScore(scheme, c)), `; elsewhere ${written(least)} to ${written(most)}`];
    });
    return [`Both ${Math.abs(by)} ${by < 0 ? "back" : "on"}: `, ...answers[0], ", ", ...answers[1], "."];
  }

  /** What a reader has found by moving the key. */
  found(shown, c) {
    if (!this.hasChosen || this.sizes.trained < this.sizes.n_places) return null;
    const { farthest } = this.sizes;
    const names = shown.map(({ name }) => name);
    if (!names.includes("learned") && names.includes("relative") && Math.abs(c.key - c.query) >= farthest) {
      return [`From ${farthest} on: relative adds the same, however far.`];
    }
    // Random rows look alike by chance.
    for (const scheme of shown.filter((each) => isAdded(each) && this.called(each.name) !== "random").reverse()) {
      const found = humps(scheme, c.query, this.sizes.n_places);
      const at = found.indexOf(c.key);
      const words = `(${this.called(scheme.name)} ${written(scheme.score(c.query, c.key))})`;
      if (at >= 0 && at < FOUND) return ["✓ ", `Place ${c.key} looks ${at ? "nearly as much" : "most"} like ${c.query}, besides its neighbours ${words}.`];
      if (at >= 0) return [`A hump: place ${c.key} looks like ${c.query} ${words}, but others do more.`];
    }
    return null;
  }

  drawSide(side, scheme, c) {
    const all = this.isWide() ? TALL : LOW;
    side.isBare = c.parts && all === LOW; // without a pattern
    side.isTable = side.isBare || (isAdded(scheme) && !c.pairs);
    side.pick.value = scheme.name;
    for (const option of side.pick.options) setAttribute(option, "selected", option.value === scheme.name);
    setText(side.caption, CAPTIONS[scheme.name](this.sizes));
    const less = c.parts ? all.parts / 2 : 0;
    const more = (side.isTable || c.parts ? 0 : PAIRS_PX[all === LOW ? 1 : 0]) - Math.ceil(less * 0.9);
    const m = { ...all, pattern: all.pattern + more, curve: all.curve - 2 * less - more };
    if (side.isBare) Object.assign(m, { pattern: 0, axis: 0, curve: all.pattern + all.axis + all.curve - all.parts });
    const wide = side.plot.clientWidth - LEFT - RIGHT;
    const top = m.flags + m.pattern + m.axis + m.title;
    side.m = { ...m, wide, end: LEFT + wide, cell: wide / this.sizes.n_places, top, bottom: top + m.curve, height: top + m.curve + m.ticks };
    side.limits = this.limits(scheme, c);
    side.scale.hidden = side.canvas.hidden = side.isBare;
    if (!side.isBare) {
      this.drawScale(side, scheme);
      this.paint(side, scheme, c);
    }
    side.hatched.replaceChildren(...unmet(side, scheme, c, this.sizes));
    const shownScore = this.hasMoved(c) ? this.shownScore(scheme, c) : `${VERBS[scheme.name]} ${this.shownScore(scheme, c)}`;
    side.over.replaceChildren(...drawing(side, scheme, c, this.sizes, shownScore));
    side.plot.style.height = `${side.m.height}px`;
    side.parts.hidden = !c.parts;
    if (c.parts) this.drawParts(side, scheme, c);
    if (!side.note.hidden) setText(side.note, this.note(scheme, c));
  }

  /** From where to where a curve goes: the same for both sides where both are cosines. */
  limits(scheme, c) {
    const outward = (x) => {
      const parts = Math.abs(x) >= 1 ? 1 : 10 ** -Math.floor(Math.log10(Math.abs(x) || 1));
      return (Math.sign(x) * Math.ceil(Math.abs(x) * parts - 1e-9)) / parts;
    };
    if (scheme.heads) {
      const [low, high] = [outward(Math.min(scheme.ends[0], 0)), outward(Math.max(scheme.ends[1], 0))];
      return low < high ? [low, high] : [0, 1];
    }
    const least = [c.left, c.right].map((name) => this.scheme(name)).filter((each) => !each.heads).map((each) => each.ends[0]);
    return [Math.min(Math.floor(4 * Math.min(...least) + 1e-9) / 4, 0), 1];
  }

  /** What the colours of the upper picture mean. */
  drawScale({ scale, isTable }, { ends }) {
    const [least, most] = isTable ? ["−", "+"] : ends.map((each) => written(each));
    scale.className = `scale ${isTable ? "both" : "up"}`;
    if (scale.textContent !== least + most) scale.replaceChildren(least, h("i"), most);
  }

  paint(side, scheme, c) {
    const { m, canvas, isTable } = side;
    const [low, high] = scheme.ends; // each picture's own, so that its pattern is seen
    const { n_places: n, d_model: width } = this.sizes;
    Object.assign(canvas.style, { left: `${LEFT}px`, top: `${m.flags}px`, width: `${m.wide}px`, height: `${m.pattern}px` });
    // Of many numbers only some pairs are drawn, as each needs a pixel at least; of hands those that turn.
    const turning = scheme.speeds.filter((speed) => ROUND / speed < TURNING * n).length;
    const drawn = () => few(turning > SHOWN_PAIRS ? turning : width / 2, SHOWN_PAIRS, c.parts ? c.pair : 0);
    side.rows = isTable ? drawn().flatMap((pair) => [2 * pair, 2 * pair + 1]) : range(n);
    const kept = [scheme.name, isTable, scheme.heads && c.head, side.rows].join(";");
    if (side.painted === kept) return;
    side.painted = kept;
    if (isTable) fill(canvas, side.rows.length, n, (row, place) => this.ink(scheme, place, side.rows[row]));
    else fill(canvas, n, n, (query, key) => [VERMILION, (scheme.score(query, key, c.head) - low) / (high - low || 1)]);
    canvas.style.imageRendering = side.rows.length > m.pattern ? "auto" : "pixelated";
  }

  /** Colour and strength of a number that a place gets. */
  ink(scheme, place, i) {
    const { n_places: n, d_model: width } = this.sizes;
    if (!scheme.strongest) {
      const all = Float64Array.from({ length: n * width }, (_, at) => Math.abs(scheme.numbers(Math.floor(at / width), at % width))).sort();
      // Not the largest: one number of MiniLM's table is ten times as large as nearly all others.
      scheme.strongest = all[Math.floor(0.99 * (all.length - 1))] || 1;
    }
    const x = scheme.numbers(place, i);
    return [x < 0 ? BROWN : VIOLET, Math.abs(x) / scheme.strongest];
  }

  /** Below the curve: hands that turn, what each head adds, or both vectors. */
  drawParts(side, scheme, c) {
    const isHand = scheme.speeds.length > 0;
    const name = isHand ? "pair" : "head";
    const chosen = this.model.get(name);
    const kept = `${scheme.name} ${side.m.clock}`;
    // A row that has the chosen one stays, and with it the focus.
    if (side.kept !== kept || (side.list.length && !side.list.includes(chosen))) {
      side.kept = kept;
      const quick = scheme.speeds.filter((speed) => ROUND / speed < SLOW * this.sizes.n_places).length;
      side.list = isHand || scheme.heads ? few(scheme.heads || quick, SHOWN_PARTS, chosen) : [];
      this.makeParts(side, scheme, name);
    }
    side.choice.show(c[name]);
    if (isHand) {
      const all = `mean cosine, all ${scheme.speeds.length} clocks: ${written(scheme.score(c.query, c.key))}`;
      setText(side.parts.firstChild, `round in ${roundOf(scheme.speeds[c.pair])} places (dotted); ${all}`);
    }
    side.choice.buttons.forEach((button, i) => {
      const part = isHand ? clockFace(scheme, scheme.speeds[side.list[i]], c, this.sizes) : [this.slope(side, scheme, side.list[i])];
      button.firstChild.replaceChildren(...part);
    });
    for (const [each, canvas] of side.strips) fill(canvas, 1, this.sizes.d_model, (_, i) => this.ink(scheme, c[each], i));
  }

  makeParts(side, scheme, name) {
    const isHand = name === "pair";
    const words = (i) => (isHand ? roundOf(scheme.speeds[i]) : `head ${i}`);
    const options = side.list.map((i) => [i, [words(i), words(i)]]);
    side.choice = tabs({ label: isHand ? "Hand" : "Head", role: "radio", options, choose: (value) => this.set({ [name]: Number(value) }) });
    side.choice.buttons.forEach((button, i) => {
      button.prepend(svg("svg", { viewBox: "-24 -24 48 48", height: side.m.clock, "aria-hidden": "true" }));
      if (isHand) setAttribute(button, "aria-label", `Hand ${side.list[i]}: a round takes ${words(side.list[i])} places`);
      button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.preview({ [name]: side.list[i] }));
      button.addEventListener("pointerleave", () => this.passing && this.preview(null));
    });
    side.strips = side.list.length ? [] : ["query", "key"].map((each) => [each, h("canvas", { class: "strip" })]);
    const vectors = side.strips.map(([each, canvas]) => h("p", { class: "stripes" }, em(each, each), canvas));
    const title = isHand ? "" : vectors.length ? "both vectors, number under number" : "what each head adds";
    side.parts.replaceChildren(h("p", {}, title), ...(vectors.length ? vectors : [side.choice.node]));
  }

  slope({ limits: [low, high] }, scheme, head) {
    const y = (offset) => 18 - (36 * (scheme.score(Math.max(-offset, 0), Math.max(offset, 0), head) - low)) / (high - low);
    const points = range(2 * this.last + 1).map((i) => `${(20 * (i - this.last)) / (this.last || 1)},${y(i - this.last)}`);
    return svg("path", { class: "score", d: `M${points.join("L")}` });
  }

  // ---------------------------------------------------------------------------------------------- words
  /** Whether both have gone on together, and the distance is still the same. */
  hasMoved({ query, key }) {
    return this.began !== null && key - query === this.began.key - this.began.query && query !== this.began.query;
  }

  /** The score; where both have gone on together also what it was before. */
  shownScore(scheme, c) {
    const { query, key, head } = c;
    const { began } = this;
    const now = scheme.score(query, key, head);
    if (!this.hasMoved(c)) return written(now);
    const before = scheme.score(began.query, began.key, head);
    if (Math.abs(now - before) < SAME) return `still ${written(now)}`;
    // As many digits as tell them apart.
    const more = range(4).find((each) => written(now, each) !== written(before, each));
    return `${written(before, more)} → ${written(now, more)}`;
  }

  /** What is new to the scheme. */
  note(scheme, { query, key }) {
    const { trained, farthest } = this.sizes;
    const beyond = Object.entries({ query, key }).filter(([, place]) => place >= trained).map(([name]) => name);
    if (isAdded(scheme)) return ["Both places were trained.", `New: the vector of the ${beyond[0]}.`, "New: the vectors of both places."][beyond.length];
    const distance = Math.abs(key - query);
    if (distance < trained) return `Distance ${distance} was trained: nothing is new.`;
    const hands = scheme.speeds.filter((speed) => Math.abs(around(distance * speed)) > (trained - 1) * speed).length;
    const then = { rotary: `${hands} of ${scheme.speeds.length} hands are at new angles`, ALiBi: "the line goes on", relative: `it counts as ${farthest}` };
    return `Distance ${distance} is new: ${then[scheme.name]}.`;
  }

  told(shown, c) {
    const side = (scheme) => {
      const [least, most] = scheme.spread(c.key - c.query, c.head).map((each) => written(each));
      const speed = scheme.speeds[c.pair];
      const angles = () => `query at ${degrees(c.query * speed)}, key at ${degrees(c.key * speed)}.`;
      return [
        `${this.called(scheme.name)}: ${CAPTIONS[scheme.name](this.sizes)}; ${TITLES[scheme.name](c)}: ${this.shownScore(scheme, c)}.`,
        `From all places, at this distance: ${least === most ? least : `${least} to ${most}`}.`,
        speed && `Hand ${c.pair}, a round in ${roundOf(speed)} places: ${angles()}`,
        this.sizes.trained <= this.last && this.note(scheme, c),
      ];
    };
    return [`Query at place ${c.query}, key at place ${c.key}${this.said.textContent}`, ...shown.flatMap(side)].filter(Boolean).join("\n");
  }
}

/** Whether a scheme adds something to vectors, so that what counts is each place; for others it is the distance. */
const isAdded = (scheme) => scheme.numbers !== null;

/** Places that a table finds more alike to one than those around them, and so that it can be seen; the most alike first. */
function humps(scheme, query, n) {
  const score = (place) => scheme.score(query, place);
  const rises = (place, by) => score(place) > score(place + by) && score(place) - score(place + 2 * by) > SEEN;
  const all = range(n).filter((place) => place > 1 && place < n - 2 && Math.abs(place - query) > NEIGHBOURS && rises(place, 1) && rises(place, -1));
  return all.sort((one, other) => score(other) - score(one));
}

/** What training never met, hatched: places, or distances. */
function unmet({ m, isTable }, scheme, { query }, { n_places: n, trained }) {
  if (trained === n) return [];
  const x = (place) => LEFT + place * m.cell;
  const y = (place) => m.flags + (place / n) * m.pattern;
  const shape = (from, to, top, bottom, ...corners) => {
    const cut = corners.length ? `;clip-path:polygon(${corners.join()})` : "";
    return h("div", { class: "new", style: `left:${from}px;width:${to - from}px;top:${top}px;height:${bottom - top}px${cut}` });
  };
  const curve = (from, to) => shape(x(from), x(to), m.top, m.bottom);
  if (isAdded(scheme)) {
    const rest = isTable ? [] : [shape(LEFT, x(trained), y(trained), y(n))];
    return [shape(x(trained), m.end, m.flags, y(n)), ...rest, curve(query < trained ? trained : 0, n)];
  }
  return [
    shape(x(trained), m.end, m.flags, y(n - trained), "0 0", "100% 0", "100% 100%"),
    shape(LEFT, x(n - trained), y(trained), y(n), "0 0", "0 100%", "100% 100%"),
    ...(query >= trained ? [curve(0, query - trained + 1)] : []),
    ...(query + trained < n ? [curve(query + trained, n)] : []),
  ];
}

/** What is drawn over a pattern, and the curve below it. */
function drawing({ m, isTable, isBare, rows, limits }, scheme, c, { n_places: n, d_model: width, trained }, shownScore) {
  const { query, key } = c;
  const nodes = [];
  const x = (place) => LEFT + (place + 0.5) * m.cell;
  const down = (place) => m.flags + (place / n) * m.pattern;
  const y = (score) => m.bottom - 4 - ((score - limits[0]) / (limits[1] - limits[0])) * (m.curve - 8 - m.value); // above it room for the value
  const write = (at, height, words, anchor = "middle", name = null) => svg("text", { x: at, y: height, "text-anchor": anchor, class: name }, words);
  const path = (name, d, more = {}) => svg("path", { class: name, d, ...more });

  // The curve, its shade, and where the chosen hand comes round; close together these lines would hide the curve.
  const points = (score) => range(n).map((place) => `${x(place).toFixed(1)},${y(score(place)).toFixed(1)}`);
  const end = (i) => points((place) => scheme.spread(place - query, c.head)[i]);
  const line = points((place) => scheme.score(query, place, c.head));
  const isMet = (place) => (isAdded(scheme) ? Math.max(query, place) : Math.abs(place - query)) < trained;
  const steps = (met) => range(n - 1).filter((i) => (isMet(i) && isMet(i + 1)) === met).map((i) => `M${line[i]}L${line[i + 1]}`).join("");
  const round = c.parts && scheme.speeds.length ? (ROUND / scheme.speeds[c.pair]) * m.cell : 0;
  const back = Math.floor((x(query) - LEFT) / round);
  const rounds = round < 16 ? [] : range(Math.floor((m.end - x(query)) / round) + back + 1).map((i) => x(query) + (i - back) * round);
  nodes.push(
    path("axis", `M${LEFT},${y(0)}H${m.end}`),
    path("round", rounds.map((at) => `M${at.toFixed(1)},${m.bottom}V${m.top + m.value}`).join("")),
    svg("polygon", { class: "shade", points: [...end(0), ...end(1).reverse()].join(" ") }),
    path("score", steps(true)),
    path("score is-new", steps(false)),
    write(LEFT, m.top - 5, TITLES[scheme.name](c, m.wide < 400), "start"),
  );
  if (scheme.name === "learned") nodes.push(write(m.end, m.top - 5, "grey: other places", "end"));

  // What the upper picture's sides are: to the right, and downwards.
  const below = m.flags + m.pattern + 13;
  const isLow = m.pattern < 100;
  const downwards = isTable ? `${isLow ? "" : `${rows.length === width ? "its" : `${rows.length} of`} ${width} `}numbers` : "query";
  const words = isLow ? downwards : `${downwards} →`;
  // Beside the flag of a row, where there is more room.
  const free = [down(query + 0.5) - 10 - m.flags, m.flags + m.pattern - down(query + 0.5) - 10];
  const isBelow = free[1] > free[0];
  const [at, anchor] = isTable ? [m.flags + m.pattern / 2, "middle"] : isBelow ? [m.flags + m.pattern, "end"] : [m.flags, "start"];
  if (!isBare && (isTable || Math.max(...free) > 6 * words.length)) {
    nodes.push(svg("text", { transform: `translate(7 ${at}) rotate(90)`, "text-anchor": anchor }, words));
  }
  if (!isBare) {
    nodes.push(write(LEFT, below, "0", "start"), write(LEFT + m.wide / 2, below, isTable ? "place →" : "place of the key →"));
    if (n > 1) nodes.push(write(m.end, below, n - 1, "end"));
  }
  for (const score of new Set([0, ...limits])) if (score >= 0 || scheme.heads) nodes.push(write(LEFT - 5, y(score) + 4, signed(score), "end"));
  const step = [1, 2, 5, 10, 20, 50, 100].find((each) => each * m.cell > 44) ?? 200;
  for (let at = query % step; at < n; at += step) {
    nodes.push(write(x(at), m.bottom + 15, at === query ? "same" : `${at > query ? "+" : ""}${signed(at - query)}`));
  }

  // Both places.
  const column = (place) => ({ x: x(place) - Math.max(m.cell, 3) / 2, y: m.flags - 1, width: Math.max(m.cell, 3), height: m.pattern + 2 });
  const tall = Math.max(m.pattern / n, 3);
  const row = { x: LEFT - 1, y: down(query + 0.5) - tall / 2, width: m.wide + 2, height: tall };
  const framed = (name, box) => [svg("rect", { class: "halo", ...box }), svg("rect", { class: `line ${name}`, ...box })];
  nodes.push(path("line query", `M${x(query)},${m.top + m.value}V${m.bottom}`), path("line key dashed", `M${x(key)},${m.top}V${m.bottom}`));
  if (!isBare) nodes.push(...framed("query", isTable ? column(query) : row), ...framed("key", column(key)));
  if (c.parts && isTable && !isBare && scheme.speeds.length) {
    const pair = (2 * m.pattern) / rows.length;
    nodes.push(path("bracket", `M${LEFT - 5},${m.flags + (pair * rows.indexOf(2 * c.pair)) / 2}v${pair}`));
  }

  // Their flags, to be dragged; they make room for each other.
  const apart = isTable ? (Math.max(30 - Math.abs(x(key) - x(query)), 0) / 2) * (key < query ? -1 : 1) : 0;
  const ideal = [x(query) - apart, x(key) + apart];
  const inward = Math.max(LEFT + 6 - Math.min(...ideal), 0) - Math.max(Math.max(...ideal) - m.end + 6, 0);
  const [queryX, keyX] = ideal.map((at) => at + inward);
  const flag = (name, at, height) => [
    svg("rect", { class: `full ${name}`, "data-hold": name, x: at - 14, y: height - 9, width: 28, height: 18, rx: name === "query" ? 9 : 3 }),
    write(at, height + 4, c[name], "middle", `flag ${name}`),
  ];
  if (isTable) nodes.push(...["link", "hit"].map((kind) => path(kind, `M${queryX},10H${keyX}`, { "data-hold": "both" })));
  nodes.push(...(isTable ? flag("query", queryX, 10) : flag("query", 15, down(query + 0.5))), ...flag("key", keyX, 10));

  // The score, above the curve, on the side that is away from the query where there is room.
  const score = scheme.score(query, key, c.head);
  const room = 7.5 * shownScore.length + 10;
  const isLeft = key < query ? x(key) > room : x(key) > m.end - room;
  nodes.push(svg("rect", { class: "dot", x: x(key) - 4.5, y: y(score) - 4.5, width: 9, height: 9, rx: 1 }));
  nodes.push(write(x(key) + (isLeft ? -9 : 9), m.top + m.value - 6, shownScore, isLeft ? "end" : "start", "value"));
  return nodes;
}

/** The hands of query and key, and the rim where the key's came in training. */
function clockFace(scheme, speed, { query, key }, { trained }) {
  const point = (angle, r) => `${(r * Math.sin(angle)).toFixed(2)},${(-r * Math.cos(angle)).toFixed(2)}`;
  const arc = (from, to) => `M${point(from, 20)}A20,20 0 ${to - from > Math.PI ? 1 : 0} 1 ${point(to, 20)}`;
  // Added, each place was trained or not; turned, what counts is how far the key's hand is from the query's.
  const reach = (trained - 1) * speed;
  const [from, to] = isAdded(scheme) ? [0, reach] : [query * speed - reach, query * speed + reach];
  const hand = (name, angle, tip, size) => [
    svg("path", { class: `line ${name}`, d: `M0,0L${point(angle, 15)}` }),
    svg(tip, { class: `full ${name}`, transform: `translate(${point(angle, 15)})`, ...size }),
  ];
  return [
    svg("circle", { class: "face", r: 20 }),
    svg("path", { class: "rim", d: to - from < ROUND ? arc(from, to) : `${arc(0, Math.PI)}${arc(Math.PI, ROUND)}` }),
    ...hand("query", query * speed, "circle", { r: 3.4 }),
    ...hand("key", key * speed, "rect", { x: -3, y: -3, width: 6, height: 6 }),
  ];
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Positions", textLabel: "The picture as text" });
  const page = new Positions(model, box);
  const draw = () => {
    page.draw();
    box.settle();
  };
  box.watch(draw, "state", ...TRAITS);
  return () => {
    page.watch.disconnect();
    cancelAnimationFrame(page.waiting);
    box.close();
  };
}

export default { render };
