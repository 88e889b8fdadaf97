// The microscope's page: one text, one chosen layer, head and token, and four views of them.

const ALL_VIEWS = { next: nextView, look: lookView, say: sayView, way: wayView };
const ATLAS = "The capital of France is"; // the text of the tour
const TOUR = [
  [{ view: "next" }, "Five tokens went in; chances for the next come out. Point at another token: what did the model expect there?"],
  [{ view: "look" }, "How does it know? This head, one of 270, looks back at “France”. Point at the map: which others do?"],
  [{ view: "look", off: { heads: [[23, 4]], layers: [] } }, "We switch that head off. Watch the word at the end of the text."],
  [{ view: "say" }, "Read every layer as if it were the last. Where does “Paris” begin to climb, and who pushes it?"],
  [{ view: "way", part: "attention", step: MIX }, "And inside that head: a query meets keys, a softmax makes shares, and values are mixed by them."],
];
const KEYS = [
  ["1", "to", "4", "views"],
  ["←", "→", "tokens"],
  ["Shift", "←", "→", "what it looks at"],
  ["↑", "↓", "layers"],
  ["[", "]", "heads"],
  ["o", "switches off"],
  ["Esc", "closes"],
];
const ALL_ON = { heads: [], layers: [] };
/** What a link may say. */
const KNOWN = { view: Object.keys(ALL_VIEWS), mode: Object.keys(MODES), part: ["", "start", "attention", "mlp", "end"] };
const FIRST = { view: "look", mode: "pair", part: "", step: 2, temperature: 1, topK: 0, topP: 1, map: false };

class Microscope extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.hasLink = Boolean(model.get("state").hasLink); // on a page of its own
    this.passing = null;
    this.asked = new Set();
    this.pending = null; // what is to be off, until somebody has answered
    this.state = { ...FIRST, layer: 0, head: 0, token: 0, key: 0, n: 1 };
    this.frame();
  }

  // ---------------------------------------------------------------------------------------------- what came
  /** Another text came, from Python or from a file. */
  async open() {
    const [saved] = this.model.get("texts");
    if (!saved || saved === this.saved) return;
    const isFirst = !this.saved;
    this.saved = saved;
    const D = await Recording.open(saved);
    const N = await this.opened(D);
    if (saved !== this.saved) return;
    const before = this.D;
    Object.assign(this, { D, N, pending: null });
    this.asked.clear();
    this.drawn = this.one = null;
    const goesOn = before && before.writes && before.n === D.n && D.T > this.state.n && before.ids.slice(0, this.state.n).every((id, i) => id === D.ids[i]);
    const n = goesOn ? this.state.n + 1 : D.n;
    const part = D.writes || this.state.part !== "end" ? this.state.part : "";
    const shown = isFirst ? this.model.get("shown") : {};
    const { taken = 0, ...linked } = shown;
    this.state = { ...this.state, n, token: n - 1, part, ...linked, ...(shown.part ? { step: MIX } : {}) };
    for (const name of ["view", "mode", "part"]) if (!KNOWN[name].includes(this.state[name])) this.state[name] = FIRST[name];
    if (isFirst && D.writes) this.state.n = clamp(D.n + (taken || 0), D.n, D.T);
    for (const [name, many] of Object.entries({ layer: D.L, head: D.H, token: this.state.n })) this.state[name] = clamp(this.state[name] || 0, 0, many - 1);
    this.state.key = shown.key ?? (goesOn ? this.state.key : this.most(this.state));
    if (before && !goesOn) this.seek();
    if (!D.writes && (this.state.view === "next" || this.state.view === "say")) this.state.view = "look";
    if (!D.writes && this.state.mode === "need") this.state.mode = "pair";
    this.choose(this.state.view);
    const { load } = this.model.get("state");
    if (isFirst && load?.wanted && !load.isHere) this.write(load.wanted);
  }

  /** The same text with something off; null where all is on, or only that is known. */
  async opened(D) {
    const saved = this.model.get("now");
    return saved.arrays && saved.ids.join() === D.ids.join() ? Recording.open(saved) : null;
  }

  async openNow() {
    const [{ D }, saved] = [this, this.model.get("now")];
    const N = await this.opened(D);
    if (D !== this.D || saved !== this.model.get("now")) return;
    Object.assign(this, { N, pending: null });
    this.asked.clear();
    this.draw();
  }

  off() {
    const { off = [], skipped = [] } = this.model.get("now");
    return this.pending ?? { heads: off, layers: skipped };
  }

  /** More of the text's recording came. */
  async receive(piece) {
    const { D, N } = this;
    if (piece.lens) await D.add(piece.lens, (arrays, _, found) => D.addLens(found, arrays));
    if (piece.now && N) await N.add(piece.now, (arrays, _, found) => N.addLens(found, arrays));
    if (piece.needs) await D.add(piece.needs, (arrays, _, found) => D.addNeeds(found, arrays));
    if (piece.words) {
      await D.add(piece.words, ({ words }, pieces) => {
        const each = words.length / D.T;
        D.heads.set(`${piece.layer}.${piece.head}`, range(D.T).map((t) => Array.from(words.subarray(t * each, (t + 1) * each), (i) => pieces[i])));
      });
    }
    if (piece.draws) this.drawn = { ...piece, at: this.state.n - 1 };
    if (piece.one) {
      const { place, n } = piece.one;
      if (n !== this.state.n) return;
      if (place !== null && this.isRecorded(place)) this.take(place);
      else this.one = piece.one;
    }
    this.draw();
  }

  /** Whether Python answers, or the page's own model may be loaded: without them only recordings do. */
  canCompute() {
    const { widget_manager: manager } = this.model;
    const isAlive = manager.kernel !== null && !this.outer.root.closest(".jupyter-widgets-disconnected");
    return isAlive || Boolean(this.model.get("state").load);
  }

  /** A refusal is taken back with the next thing that is done. */
  forgive() {
    const state = this.model.get("state");
    if (!state.error || this.outer.message.textContent !== state.error) return;
    setText(this.outer.message, "");
    if (this.model.widget_manager.kernel === null) this.model.set("state", { ...state, error: "" });
  }

  ask(kind, fields, options) {
    return this.outer.ask(kind, fields, options);
  }

  /** Ask once; what comes is drawn when it comes. */
  once(name, kind, fields, options) {
    if (this.asked.has(name)) return null;
    this.asked.add(name);
    this.ask(kind, fields, options);
    return null;
  }

  /** What each layer would say at a token, with what is off now; null until it is known. */
  lensOf(c, t) {
    const found = c.N.lens(t);
    if (found !== null) return found;
    // A token that is only passed over is not asked about.
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.once(`lens ${t} ${c.N !== c.D}`, "lens", { token: t }), this.passing ? 200 : 0);
    return null;
  }

  askWords(layer, head) {
    return this.once(`words ${layer}.${head}`, "words", { layer, head });
  }

  /** Each head off, alone, layer by layer, as long as somebody wants to see it. */
  async askNeeds() {
    const { D } = this;
    if (this.needing === D) return;
    this.needing = D;
    const isWanted = () => this.D === D && this.state.mode === "need" && this.state.view === "look";
    while (isWanted() && !D.knowsNeeds()) {
      // Two layers at once, the last ones first: they take the least time.
      const first = Math.max(0, (D.needs?.findLastIndex((layer) => !layer.p) ?? D.L - 1) - 1);
      const answer = await this.ask("needs", { first });
      if (answer.error) break;
      // What came is unpacked a moment later.
      while (isWanted() && !D.needs?.[first]?.p) await new Promise((done) => setTimeout(done, 10));
    }
    this.needing = null;
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  current() {
    const c = { ...this.state, ...this.passing, D: this.D, N: this.N ?? this.D, off: this.off() };
    c.token = clamp(c.token, 0, c.n - 1);
    if (this.passing?.token !== undefined && this.passing.key === undefined && c.token !== this.state.token) c.key = this.most(c);
    c.key = clamp(c.key, 0, this.D.sees(c.token, c.n) - 1);
    return c;
  }

  most(c) {
    const w = (this.N ?? this.D).shares(c.layer, c.head, clamp(c.token, 0, c.n - 1)).slice(0, c.n);
    return w.indexOf(Math.max(...w));
  }

  set(change, byItself = false) {
    if (!byItself) {
      this.stop();
      this.forgive();
    }
    this.passing = null;
    this.one = null;
    const before = this.state;
    this.state = { ...before, ...change };
    if (change.token !== undefined && change.key === undefined && change.token !== before.token) this.state.key = this.most(this.state);
    if (change.temperature !== undefined || change.topK !== undefined || change.topP !== undefined || change.n !== undefined) this.drawn = null;
    this.draw();
    this.remember();
  }

  toggle(part) {
    const isByKeys = this.stage.contains(document.activeElement);
    this.set({ part: this.state.part === part ? "" : part, step: calm() ? MIX : 1 });
    if (isByKeys && this.state.part === "attention") this.stage.querySelector(`[data-at="step ${this.state.step}"]`)?.focus();
  }

  /** Attention unfolds one step after the other, until somebody stops it or chooses something; after the last from the first. */
  play() {
    if (this.unfolding) {
      this.stop();
      this.draw();
      return;
    }
    const next = () => {
      const { step, part } = this.state;
      if (step + 1 >= STEPS.length || part !== "attention") this.stop();
      this.set({ step: Math.min(step + 1, STEPS.length) }, true);
    };
    this.unfolding = setInterval(next, UNFOLDING_MS);
    this.set({ step: this.state.step < STEPS.length ? this.state.step + 1 : 1 }, true);
  }

  stop() {
    clearInterval(this.unfolding);
    this.unfolding = null;
  }

  /** The i-th likeliest next token. */
  next(i) {
    return this.D.a.next_tokens[(this.state.n - 1) * this.D.shown + i];
  }

  /** Whether what follows it was recorded, too. */
  isRecorded(i) {
    const { D } = this;
    const { n } = this.state;
    return n < D.T && D.ids[n] === this.next(i);
  }

  canTake(i) {
    return this.isRecorded(i) || this.canCompute();
  }

  /** Take a token as the next one: at once where it is the one that was recorded. */
  take(i, t = this.state.token) {
    const { n } = this.state;
    if (t < n - 1 || !this.canTake(i)) return;
    if (this.isRecorded(i)) this.set({ n: n + 1, token: n, key: this.state.key });
    else this.ask("append", { token: this.next(i), n });
  }

  takeBack() {
    const { n } = this.state;
    if (n > this.D.n) this.set({ n: n - 1, token: n - 2 });
  }

  settings() {
    const { n, temperature, topK, topP } = this.state;
    return { n, temperature, topK, topP };
  }

  /** Draw the next token, or, to see how often each comes, many times. */
  drawTokens(times = 0) {
    this.set({ token: this.state.n - 1 });
    if (times) this.ask("draws", { times, ...this.settings() });
    else this.ask("draw", this.settings());
  }

  // ---------------------------------------------------------------------------------------------- what is off
  isOff({ off }) {
    return off.heads.length + off.layers.length > 0;
  }

  /** The chances of the watched tokens with what is off; null while all is on, or nobody has answered yet. */
  without(c, t) {
    const { heads, layers } = c.off;
    if (!this.isOff(c) || !c.D.writes) return null;
    if (this.N && !this.pending) return this.N.kept10(t);
    if (heads.length + layers.length > 1) return null;
    return heads.length ? c.D.alone(...heads[0], t) : c.D.alone(layers[0], c.D.H, t);
  }

  named({ heads, layers }) {
    const names = [...heads.map(([l, n]) => `head ${l}.${n}`), ...layers.map((l) => `layer ${l}`)];
    if (names.length < 3) return names.join(" and ");
    const kinds = [[heads, "head"], [layers, "layer"]].filter(([list]) => list.length);
    return kinds.map(([list, kind]) => `${list.length} ${kind}${list.length > 1 ? "s" : ""}`).join(" and ");
  }

  told(c) {
    const { D, token: t } = c;
    const name = this.named(c.off);
    if (!D.writes) {
      if (!this.N || this.pending) return [`${name} goes off …`];
      return [`with ${name} off, the vector of `, tok(D.tokens[t], "query"), " turns: its cosine with what it was is ", em(this.N.a.turned[t].toFixed(3)), "."];
    }
    const w = this.without(c, t);
    if (!w) return [`${name} goes off …`];
    const best = D.answer(t);
    const then = w.best === best ? ["."] : ["; ", tok(w.best, "token"), " is first."];
    const [now, before] = [percent(w.p[0]), percent(D.chances(t).p[0])];
    const changed = now === before ? [" still gets ", em(now)] : [" gets ", em(now), ` instead of ${before}`];
    return [`with ${name} off, `, tok(best, "token"), ...changed, ...then];
  }

  /** Whether the chosen head (in the view of layers the layer) is off. */
  chosenIsOff(c) {
    if (c.view === "say") return c.off.layers.includes(c.layer);
    return c.off.heads.some(([l, n]) => l === c.layer && n === c.head);
  }

  /** Whether switching off first switches on what is off: of several at once nothing was recorded. */
  onlyOne(c) {
    return this.isOff(c) && !this.chosenIsOff(c) && !this.canCompute();
  }

  switchOff() {
    const c = this.current();
    const { heads, layers } = this.onlyOne(c) ? ALL_ON : c.off;
    const isOff = this.chosenIsOff(c);
    if (c.view === "next") this.setOff(ALL_ON);
    else if (c.view === "say") this.setOff({ heads, layers: isOff ? layers.filter((l) => l !== c.layer) : [...layers, c.layer].sort((a, b) => a - b) });
    else {
      const others = heads.filter(([l, n]) => l !== c.layer || n !== c.head);
      const more = [...others, [c.layer, c.head]].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      this.setOff({ layers, heads: isOff ? others : more });
    }
  }

  async setOff(off) {
    this.pending = off;
    this.draw();
    // What is known already is shown; the rest of the picture follows if somebody is there.
    const isKnown = !this.isOff({ off }) || Boolean(this.without({ ...this.current(), off }, this.state.token));
    await this.ask("off", off, { quiet: isKnown });
    if (this.pending !== off) return;
    this.pending = null;
    this.draw();
  }

  // ---------------------------------------------------------------------------------------------- the frame
  frame() {
    const views = Object.entries(ALL_VIEWS).map(([name, { title }]) => [name, title]);
    this.tabs = tabs({ label: "Views", options: views, choose: (name) => this.choose(name, true) });
    this.models = h("select", { "aria-label": "Model", onchange: () => this.read(this.D.text, this.models.value) });
    this.pick = h("select", { "aria-label": "Text", onchange: () => this.read(this.pick.value) });
    this.edit = quiet("Own text", "Own", () => this.write(this.D.text));
    this.placeText = [h("span", {}, "Layer "), h("span", {}, " head ")];
    this.spins = Object.fromEntries(["layer", "head"].map((name) => [name, this.spin(name)]));
    this.button = h("button", { class: "switch", onclick: () => this.switchOff() });
    this.allOn = h("button", { class: "quiet", onclick: () => this.setOff(ALL_ON) }, "All on");
    this.words = h("div", { class: "text", role: "group", "aria-label": "The text: choose a token", dir: "auto" });
    const closed = () => {
      if (this.isLoading()) this.ask("stop");
      this.edit.focus();
      this.forgive();
      this.draw();
    };
    this.writing = writing({ label: "Your text", send: (text) => this.readOwn(text), instead: this.words, closed });
    this.bar = h("progress", { "aria-label": "Loaded so far" });
    if (this.hasLink) this.writing.push.before(this.bar);
    this.thread = svg("svg", { class: "threads", "aria-hidden": "true" });
    // The tour begins beside the texts, or, where there is no room, below.
    this.tours = ["wide", "narrow"].map((name) => named("Tour", "Tour", { class: `push ${name}`, onclick: () => this.tour(0) }));
    this.guide = h("p", { class: "tour", hidden: true });
    this.link = this.hasLink ? quiet("Copy link", "Link", () => this.copyLink()) : quiet("Copy as code", "Code", () => this.copyLink());
    const { layer, head } = this.spins;
    this.build({
      name: "mx",
      top: [this.tabs.node, h("span", { class: "space" }), this.models, this.pick, this.edit, this.tours[0]],
      place: [this.placeText[0], layer.node, this.placeText[1], head.node],
      switches: [this.allOn, this.button],
      between: [this.guide, this.words, this.writing.node, this.thread],
      tools: [this.tours[1], this.link],
      role: "tabpanel",
    });
    this.outer.root.addEventListener("keydown", (event) => this.onKey(event));
    // What has the focus is framed for those who use keys.
    const byMouse = (is) => setAttribute(this.root, "data-mouse", is && "");
    for (const type of ["keydown", "keyup"]) this.outer.root.addEventListener(type, () => byMouse(false), true);
    this.outer.root.addEventListener("pointerdown", () => byMouse(true), true);
    this.outer.root.addEventListener("pointermove", (event) => (event.movementX || event.movementY) && byMouse(true));
    // A page that is hidden for a moment has no width.
    this.watch = onWidth(this.stage, () => this.D && this.stage.clientWidth && this.choose(this.state.view));
    this.words.addEventListener("pointerleave", () => this.preview(null));
  }

  spin(name) {
    return spin({
      label: name === "layer" ? "Layer" : "Head",
      high: () => (this.D ? this.last(name) : 0),
      get: () => this.shown?.[name] ?? this.state[name],
      set: (value) => this.set({ [name]: value }),
    });
  }

  last(name) {
    return (name === "layer" ? this.D.L : this.D.H) - 1;
  }

  read(text, model = null) {
    return this.ask("read", model ? { text, model } : { text });
  }

  write(text) {
    this.forgive();
    this.writing.open(text);
    this.draw();
  }

  /** A text of one's own; on a page of its own the model is loaded first, if it is not there yet. */
  async readOwn(text) {
    const { load } = this.model.get("state");
    if (load && !load.isHere) {
      const state = await this.ask("load");
      if (state.error || this.writing.node.hidden) return state;
    }
    return this.read(text);
  }

  isLoading() {
    return (this.model.get("state").load?.at ?? null) !== null;
  }

  onKey(event) {
    if (!this.D || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event;
    if (key === "Escape") {
      if (!this.guide.hidden) this.tour(null);
      this.writing.close();
      this.set({ part: "" });
      return;
    }
    if (/^(INPUT|SELECT|TEXTAREA|PRE|SUMMARY)$/.test(target.tagName)) return;
    const { token, n, layer, head, key: looked } = this.state;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1, "[": -1, "]": 1 }[key];
    if (/^[1-4]$/.test(key)) {
      const name = Object.keys(ALL_VIEWS)[key - 1];
      if (!this.tabs.buttons[key - 1].hidden) this.choose(name, true);
    } else if (event.shiftKey && (key === "ArrowLeft" || key === "ArrowRight")) this.set({ key: clamp(looked + step, 0, this.D.sees(token, n) - 1) });
    else if (key === "ArrowLeft" || key === "ArrowRight") {
      this.set({ token: clamp(token + step, 0, n - 1) });
      if (target.classList.contains("t")) this.tokens[this.state.token].focus();
    } else if (key === "ArrowUp" || key === "ArrowDown") this.set({ layer: clamp(layer + step, 0, this.D.L - 1) });
    else if (key === "[" || key === "]") this.set({ head: clamp(head + step, 0, this.D.H - 1) });
    else if (key === "o") this.switchOff();
    else return;
    event.preventDefault();
  }

  choose(view, keep = false) {
    this.state = { ...this.state, view };
    this.passing = null;
    this.root.dataset.view = view;
    const focused = document.activeElement;
    const isInside = this.root.contains(focused);
    this.stage.replaceChildren();
    this.parts = null;
    this.drawText(this.current());
    this.parts = ALL_VIEWS[view].build(this);
    setAttribute(this.stage, "aria-labelledby", `${this.tabs.id}-${view}`);
    this.tell(ALL_VIEWS[view].how, KEYS);
    this.draw();
    // What was left may not stand in this view.
    if (isInside && !focused.checkVisibility({ visibilityProperty: true })) this.tabs.buttons.find((tab) => tab.dataset.name === view).focus();
    if (!keep) return;
    this.forgive();
    this.remember();
  }

  /** Five states of the microscope itself, one after the other. */
  async tour(i) {
    this.guide.hidden = i === null;
    setAttribute(this.root, "data-tour", i !== null && "");
    if (i === null) {
      this.draw();
      this.tours.find((each) => each.offsetWidth)?.focus();
      return;
    }
    if (this.D.text !== ATLAS) {
      const { error } = await this.read(ATLAS);
      if (error) return this.tour(null);
      while (this.D.text !== ATLAS) await new Promise((done) => setTimeout(done, 20));
    }
    const [{ off = ALL_ON, ...state }, words] = TOUR[i];
    const { D } = this;
    this.state = { ...this.state, ...FIRST, n: D.n, token: D.n - 1, key: 3, layer: 23, head: 4, step: MIX, ...state };
    const isLast = i + 1 === TOUR.length;
    const next = h("button", { onclick: () => this.tour(isLast ? null : i + 1) }, isLast ? "Done" : "Next");
    const leave = isLast ? null : h("button", { class: "quiet", onclick: () => this.tour(null) }, "End");
    this.guide.replaceChildren(...[h("b", {}, `${i + 1} of ${TOUR.length}`), next, leave, h("span", {}, words)].filter(Boolean));
    this.pending = off;
    this.choose(state.view, true);
    this.setOff(off);
    next.focus({ preventScroll: true });
  }

  // ---------------------------------------------------------------------------------------------- what is taken away
  /** In a new text, where the chosen head finds nothing: of those that do the one that the next word needs most. */
  seek() {
    const { D, state } = this;
    if (!D.writes || !D.knowsNeeds()) return;
    const at = (i) => ({ layer: Math.floor(i / D.H), head: i % D.H });
    // At the first token a head rests; one that looks at itself, or always one back, finds nothing in this text either.
    const finds = ({ layer, head }) => {
      const w = D.shares(layer, head, state.token);
      const most = w.indexOf(Math.max(...w));
      return most > 0 && most < state.token && w[most] > 0.5 && follows(D, D.n, layer, head, rules(D).before) < 0.5;
    };
    const left = ({ layer, head }) => D.alone(layer, head, state.token).p[0];
    const heads = range(D.L * D.H).map(at).filter(finds);
    if (finds(state) || heads.length === 0) return;
    Object.assign(state, heads.reduce((best, head) => (left(head) < left(best) ? head : best)));
    state.key = this.most(state);
  }

  /** What is chosen goes where a link or Python finds it. */
  remember() {
    this.outer.set("shown", this.chosen());
  }

  chosen() {
    const { view, layer, head, token, key, mode, part, temperature, topK, topP } = this.state;
    return { view, layer, head, token, key, mode, part, temperature, topK, topP };
  }

  /** On a page of its own the address says what is seen. */
  address() {
    const { heads, layers } = this.off();
    const taken = this.state.n - this.D.n || "";
    const all = { text: this.D.text, ...this.chosen(), taken, off: heads.map((pair) => pair.join(".")).join(), skipped: layers.join() };
    const told = `#${new URLSearchParams(Object.entries(all).filter(([, value]) => value !== ""))}`;
    if (told !== location.hash) history.replaceState(null, "", told);
  }

  /** On a page of its own the link; in a notebook the line that opens this. */
  async copyLink() {
    const { view, layer, head, token, key, mode, part } = this.state;
    const { heads, layers } = this.off();
    const more = { mode: mode === "pair" ? "" : mode, part };
    const listed = [
      `view="${view}", layer=${layer}, head=${head}, token=${token}, key=${key}`,
      ...Object.entries(more).filter(([, value]) => value).map(([name, value]) => `${name}="${value}"`),
      ...(heads.length ? [`off=[${heads.map((pair) => `(${pair.join(", ")})`).join(", ")}]`] : []),
      ...(layers.length ? [`skipped=[${layers.join(", ")}]`] : []),
    ];
    const line = `Microscope(model, tokenizer, ${JSON.stringify(this.D.text)}, ${listed.join(", ")})`;
    await this.copied(this.link, navigator.clipboard?.writeText(this.hasLink ? location.href : line));
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  drawText(c) {
    const { D } = c;
    const kept = `${D.ids} ${c.n} ${this.stage.clientWidth}`;
    const isNew = this.textDrawn !== kept;
    if (isNew) this.makeText(c, kept);
    const shares = c.view === "look" || c.view === "way" ? c.N.shares(c.layer, c.head, c.token) : null;
    this.tokens.forEach((token, i) => {
      const [, , small, line] = token.children;
      setAttribute(token, "data-chosen", i === c.token && "");
      setAttribute(token, "data-key", Boolean(shares) && i === c.key && "");
      setAttribute(token, "data-later", Boolean(shares) && D.causal && i > c.token && "");
      setAttribute(token, "aria-pressed", String(i === c.token));
      token.tabIndex = i === this.state.token ? 0 : -1;
      token.style.setProperty("--w", shares?.[i] ?? 0);
      const isTold = shares && (shares[i] >= 0.1 || (i === c.key && shares[i] >= 0.01)) && (i === c.key || D.tokens[i].trim().length > 1);
      setText(small, isTold ? percent(shares[i]) : "");
      line.hidden = c.view !== "next" || i === 0;
      if (D.writes) line.style.setProperty("--own", `${100 * D.a.own[i]}%`);
    });
    this.ghost.hidden = !D.writes;
    if (D.writes) this.drawGhost(c);
    if (isNew) this.fit();
  }

  /** The likeliest next word, at the end of the text. */
  drawGhost(c) {
    const { D } = c;
    const last = c.n - 1;
    const best = D.answer(last);
    const w = this.without(c, last);
    const shown = w ? w.best : best;
    const p = D.chances(last, w ? {} : c).p[0];
    setAttribute(this.tokens[last], "data-gap", shown.startsWith(" ") && "");
    const [words, small] = this.ghost.children;
    setText(words, seen(shown));
    // Another one than before may have had a chance that was not recorded.
    const before = shown === best ? p : D.chanceOf(last, shown);
    const was = before === null ? "" : `${percent(before)} → `;
    setText(small, w ? was + percent(shown === best ? w.p[0] : w.bestP) : percent(p));
    setAttribute(this.ghost, "aria-disabled", (Boolean(w) || !this.canTake(0)) && "true");
    setAttribute(this.ghost, "title", !w && this.canTake(0) && "Take it");
    // Two numbers side by side, not one over the other.
    small.style.left = this.tokens[last].children[2].textContent ? "26px" : "0";
    this.ghost.style.visibility = c.view === "next" ? "hidden" : "";
  }

  makeText(c, kept) {
    const { D } = c;
    this.textDrawn = kept;
    const isInside = this.words.contains(document.activeElement);
    this.tokens = D.tokens.slice(0, c.n).map((piece, i) => {
      const onclick = () => this.set({ token: i });
      const token = h("button", { class: "t", "aria-label": bare(piece), onclick }, h("i"), h("b", {}, seen(piece)), h("small"), h("u"));
      setAttribute(token, "data-gap", (D.tokens[i + 1]?.startsWith(" ") ?? false) && "");
      setAttribute(token, "data-written", i >= D.n && "");
      token.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.preview({ token: i }));
      token.addEventListener("focus", () => token.matches(":focus-visible") && this.state.token !== i && this.set({ token: i }));
      return token;
    });
    this.ghost = h("button", { class: "ghost", onclick: () => this.isOff(this.current()) || this.take(0, c.n - 1) }, h("i"), h("small"));
    // A line breaks between words; within one that is longer than the line.
    const words = [];
    this.tokens.forEach((token, i) => (i && !D.tokens[i].startsWith(" ") ? words.at(-1).push(token) : words.push([token])));
    this.words.replaceChildren(...words.map((tokens) => h("span", { class: "word" }, tokens)), this.ghost);
    if (isInside) this.tokens[Math.min(this.state.token, c.n - 1)].focus();
  }

  /** A text that needs two lines is written smaller. */
  fit() {
    this.words.classList.remove("small");
    this.words.classList.toggle("small", this.words.clientHeight > 70);
  }

  placeAfter(t) {
    const box = this.box(this.tokens[t].children[0]);
    return { x: box.right, y: box.bottom };
  }

  foot(t) {
    const box = this.box(this.tokens[t].children[0]);
    return { x: (box.left + box.right) / 2, y: box.bottom + 20, line: box.bottom };
  }

  draw() {
    if (!this.parts || this.stage.clientWidth === 0) return;
    this.forget();
    const c = this.current();
    const { D } = c;
    const view = ALL_VIEWS[c.view];
    this.tabs.show(c.view);
    for (const tab of this.tabs.buttons) tab.hidden = !D.writes && ["next", "say"].includes(tab.dataset.name);
    this.drawChoices(D);
    this.drawText(c);
    view.draw(this, c, this.parts);
    this.drawPlace(c, typeof view.place === "function" ? view.place(c) : view.place);
    this.say(view.say(this, c));
    const some = this.isOff(c);
    const isOff = this.chosenIsOff(c);
    const instead = this.onlyOne(c) ? " instead" : "";
    const [what, verb] = c.view === "say" ? [`Layer ${c.layer}`, `Skip layer ${c.layer}`] : [`Head ${c.layer}.${c.head}`, `Switch ${c.layer}.${c.head} off`];
    this.button.hidden = c.view === "next" && !some;
    setText(this.button, c.view === "next" ? "All on again" : isOff ? `${what} on again` : verb + instead);
    setAttribute(this.button, "aria-pressed", String(isOff || (c.view === "next" && some)));
    this.allOn.hidden = !some || c.view === "next" || (isOff && c.off.heads.length + c.off.layers.length === 1);
    this.thread.replaceChildren(...(this.words.hidden ? [] : view.threads(this, c)));
    const by = !this.hasLink ? "" : D.a.off_p ? " Recorded: no kernel needed." : " Computed by this page.";
    this.source.replaceChildren(D.model, h("span", { class: "long" }, `, ${D.L} layers of ${D.H} heads.${by}`));
    const place = [`Layer ${c.layer}`, ` head ${c.head}`].slice(0, typeof view.place === "function" ? view.place(c) : view.place).join("");
    const told = `${view.title[0]}. ${place}${this.said.textContent}`;
    const off = this.isOff(c) ? `Off: ${this.named(c.off)}.` : "";
    const lines = [D.tokens.slice(0, c.n).map(bare).join(" | "), told, off, ...view.text(this, c)];
    setText(this.outer.text, lines.filter(Boolean).join("\n"));
    if (this.hasLink) this.address();
  }

  drawChoices(D) {
    const { models = [], examples = [], load } = this.model.get("state");
    setOptions(this.models, models.map((name) => [name, name]));
    this.models.value = D.model;
    this.models.hidden = models.length < 2;
    const known = this.model.get("texts").map(({ text }) => text);
    const open = this.canCompute() ? examples : examples.filter((text) => known.includes(text) || text in beside());
    const texts = [...new Set([D.text, ...open])];
    setOptions(this.pick, texts.map((text) => [text, text.length > 34 ? `${text.slice(0, 32)}…` : text]));
    this.pick.value = D.text;
    this.pick.hidden = texts.length < 2;
    const hasTour = D.writes && D.L === 30 && D.H === 9;
    for (const each of this.tours) each.hidden = !hasTour;
    this.edit.hidden = !this.canCompute();
    this.bar.hidden = !this.isLoading();
    if (load) this.drawLoad(load);
  }

  /** What it costs to read a text of one's own, and how much of the model has come. */
  drawLoad({ size, at, isHere }) {
    const { push } = this.writing;
    const [all, some] = [size, at ?? 0].map((bytes) => (bytes / 1e6).toFixed(size < 1e7 ? 1 : 0));
    const [long, short] =
      at !== null ? [`${some} of ${all} MB`, `${some} MB`] : isHere ? ["Read", "Read"] : [`Load the model: ${all} MB, once`, `Load ${all} MB`];
    push.replaceChildren(h("span", { class: "long" }, long), h("span", { class: "short" }, short));
    push.disabled = at !== null;
    this.bar.value = (at ?? 0) / size;
  }

  drawPlace(c, place) {
    this.placeText[0].hidden = this.spins.layer.node.hidden = place < 1;
    this.placeText[1].hidden = this.spins.head.node.hidden = place < 2;
    this.shown = c;
    for (const each of Object.values(this.spins)) each.show();
  }

  credit() {
    return ` “${this.D.text}”.`;
  }
}

/** Recordings that lie beside a page: of each text the address of its script, as a page from disk may load no other file. */
const beside = () => JSON.parse(document.getElementById("course-recordings")?.textContent ?? "{}");

/** One of them; undefined where it does not come. */
function fetched(src, text) {
  return new Promise((resolve) => {
    const script = h("script", { src });
    script.onload = () => resolve(globalThis.courseRecordings[text]);
    script.onerror = () => resolve();
    document.head.append(script);
  });
}

/** Recordings answer what they know; chances are recorded, so that the page itself can draw by them. */
function recorded(model) {
  const chosen = () => Recording.open(model.get("texts")[0]);
  return {
    async read({ text }) {
      const texts = model.get("texts");
      const found = texts.find((each) => each.text === text) ?? (text in beside() && (await fetched(beside()[text], text)));
      if (!found) throw new Error(NEEDS_PYTHON);
      return { texts: [found, ...texts.filter((each) => each !== found)], now: {} };
    },
    off({ heads, layers }) {
      if (heads.length + layers.length > 1) throw new Error(`Several at once? ${NEEDS_PYTHON}`);
      return { now: { off: heads, skipped: layers } };
    },
    async draw({ n, ...settings }) {
      const place = (await chosen()).drawn(n - 1, settings);
      return { piece: { one: { place, n, id: uniqueId("draw") } } };
    },
    async draws({ times, n, ...settings }) {
      return { piece: { draws: (await chosen()).draws(n - 1, times, settings), times, id: uniqueId("draws") } };
    },
  };
}

function render({ model, el, answers = recorded(model) }) {
  const box = frame({ model, el, title: "Microscope", textLabel: "The picture as text", answers });
  const page = new Microscope(model, box);
  const isNow = () => page.D && model.get("texts")[0] === page.saved;
  box.watch(() => page.open(), "texts");
  box.watch(() => isNow() && page.openNow(), "now");
  box.watch(() => page.D && page.receive(model.get("piece")), "piece");
  box.watch(() => {
    if (!page.D) return;
    const { view, ...chosen } = { ...page.state, ...model.get("shown") };
    const isOther = view !== page.state.view;
    page.state = { ...page.state, ...chosen, view };
    if (isOther) page.choose(view);
    else page.draw();
  }, "shown");
  box.watch(() => {
    page.draw();
    box.settle();
  }, "state");
  return () => {
    page.watch.disconnect();
    clearInterval(page.unfolding);
    clearTimeout(page.soon);
    box.close();
  };
}

export default { render };
