// The attention stepper's page: one step of attention at a time, and above it what comes of all of them.

const GOAL = 0.8;
const STEP = 0.5; // what one drag or one press of Shift and an arrow adds
const DRAG_PX = 12;
const STILL_PX = 24; // after a drag: what lies under the pointer was not pointed at
const PADDING_PX = 12; // of the panel
const MASK_NAMES = { off: "No mask", causal: "Causal mask", custom: "Own mask" };
const MASKED = new Set(["mask", "softmax", "mix"]); // steps at which a mask is seen
const MADE_OF = " In a model, a matrix makes them from each token's vector.";
const CHANGE = "Numbers in a frame can be changed: type, or drag; right and up is more. The bar above shows the shares that Softmax makes in the end, rounded.";
const KEYS = [
  ["←", "→", "↑", "↓", "numbers"],
  ["Shift", "↑", "↓", `${STEP} more or less`],
  ["Enter", "keeps"],
  ["Esc", "takes back"],
];

class Stepper extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.passing = null;
    this.dropped = null; // where a drag has ended
    const { softmax, mix } = model.get("state");
    const most = (row) => row.indexOf(Math.max(...row));
    const t = softmax.length - 1;
    this.chosen = { t, s: most(softmax[t]), j: most(mix[t].map(Math.abs)), made: "q" };
    this.frame();
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  current() {
    const state = this.model.get("state");
    const c = { ...state, ...this.chosen, ...this.passing, stage: this.model.get("stage"), mask: this.model.get("mask") };
    const [T, S, K, D, C] = [c.q.length, c.k.length, c.k[0].length, c.v[0].length, c.inputs.x?.[0].length ?? 0];
    c.width = c.stage === "project" ? c[c.made][0].length : D; // numbers in what is looked at
    Object.assign(c, { T, S, K, D, C, queries: state.tokens, keys: state.key_tokens ?? state.tokens });
    Object.assign(c, { t: Math.min(c.t, T - 1), s: Math.min(c.s, S - 1), j: Math.min(c.j, c.width - 1) });
    c.masked = c.scale.map((row, t) => row.map((x, s) => (c.allowed[t][s] ? x : null)));
    c.powers = powers(c.scale[c.t], c.allowed[c.t]);
    return c;
  }

  set(change) {
    this.passing = null;
    this.chosen = { ...this.chosen, ...change };
    this.draw();
  }

  /** What a mouse points at is seen while it points there; a click or the focus keeps it. */
  chooses(node, change) {
    const isMeant = (event) => event.pointerType === "mouse" && event.buttons === 0 && !this.hasJustDropped(event);
    node.addEventListener("pointerenter", (event) => isMeant(event) && this.preview(change));
    node.addEventListener("pointerleave", () => this.preview(null));
    node.addEventListener("mousedown", () => node.tabIndex < 0 || node.focus());
    node.addEventListener("focus", () => this.set(change));
    node.addEventListener("click", () => this.set(change));
    return node;
  }

  /** Whether the pointer is where a drag has ended. */
  hasJustDropped({ clientX, clientY }) {
    const { dropped } = this;
    this.dropped = dropped && Math.hypot(clientX - dropped[0], clientY - dropped[1]) < STILL_PX ? dropped : null;
    return this.dropped !== null;
  }

  go(stage) {
    this.outer.set("stage", stage);
  }

  /** A causal mask forbids the last query nothing: another is shown then, and a key that it may not look at. */
  chooseMask(choice) {
    const { t, S } = this.current();
    if (choice === "causal" && t >= S - 1 && S > 1) this.set({ t: 0, s: S - 1 });
    this.ask("mask", { choice });
  }

  stages() {
    return Object.keys(VIEWS).filter((name) => name !== "project" || this.model.get("state").inputs.x);
  }

  // ---------------------------------------------------------------------------------------------- what is changed
  ask(kind, fields) {
    this.outer.message.removeAttribute("style");
    return this.outer.ask(kind, fields);
  }

  reset() {
    for (const field of this.stage.querySelectorAll("input")) this.takeBack(field);
    this.ask("reset");
  }

  /** A field sends on Enter or when it is left, Escape takes back; a number, `now()`, can be dragged, too, or stepped. */
  editable(field, send, now = null) {
    for (const [name, value] of Object.entries({ autocomplete: "off", spellcheck: "false" })) field.setAttribute(name, value);
    let [sent, drag] = [null, null];
    const commit = async () => {
      const text = field.value;
      if (text === field.dataset.full || text === sent) return;
      sent = text;
      const { error } = await send(text);
      sent = null;
      if (error) this.refuse(field);
      if (field.value !== text) return;
      if (error && field.matches(":focus")) setAttribute(field, "aria-invalid", "true");
      else this.takeBack(field);
    };
    const step = (by, from = now()) => send(String(Math.round(1e6 * (from + STEP * by)) / 1e6));
    field.addEventListener("focus", () => (field.value === field.dataset.shown ? this.takeBack(field) : field.select()));
    field.addEventListener("blur", () => {
      const isKnown = field.value === field.dataset.full || field.getAttribute("aria-invalid");
      if (isKnown) this.takeBack(field);
      else commit();
    });
    field.addEventListener("input", () => setAttribute(field, "aria-invalid", null));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") commit();
      else if (event.key === "Escape") this.takeBack(field);
      else if (now && event.shiftKey && /^Arrow(Up|Down)$/.test(event.key)) {
        event.preventDefault();
        step(event.key === "ArrowUp" ? 1 : -1);
      }
    });
    if (!now) return;
    field.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      drag = { at: event.clientX - event.clientY, from: now(), by: 0, isTyping: field.matches(":focus") };
      field.setPointerCapture(event.pointerId);
    });
    field.addEventListener("mousedown", (event) => {
      if (!drag || drag.isTyping) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    });
    field.addEventListener("pointermove", (event) => {
      const by = drag ? Math.round((event.clientX - event.clientY - drag.at) / DRAG_PX) : 0;
      if (!drag || by === drag.by) return;
      if (!drag.isMoving) {
        field.blur();
        field.click();
      }
      Object.assign(drag, { isMoving: true, by });
      step(by, drag.from);
    });
    field.addEventListener("pointerup", (event) => {
      if (drag?.isMoving) this.dropped = [event.clientX, event.clientY];
      else if (drag) field.focus();
      drag = null;
    });
    field.addEventListener("pointercancel", () => (drag = null));
    field.addEventListener("dragstart", (event) => event.preventDefault()); // of its selected text
  }

  /** What is wrong is told beside the field. */
  refuse(field) {
    const { message } = this.outer;
    const { left, bottom } = this.box(field);
    const at = { left: clamp(left - 14, 0, this.stage.clientWidth - message.offsetWidth), top: bottom - this.box(message.parentNode).top + 4 };
    for (const [side, value] of Object.entries(at)) message.style[side] = `${value}px`;
  }

  /** What is known stands in a field: rounded, or in full and chosen while somebody is in it. */
  takeBack(field) {
    const isInside = field.matches(":focus");
    field.value = isInside ? field.dataset.full : field.dataset.shown;
    setAttribute(field, "aria-invalid", null);
    if (isInside) field.select();
  }

  /** A reader who types is left alone. */
  fill(field, full, shown) {
    const { full: before, shown: seen } = field.dataset;
    const isTyping = ![before ?? "", seen].includes(field.value);
    Object.assign(field.dataset, { full, shown });
    if (!isTyping && field.value !== (field.matches(":focus") ? full : shown)) this.takeBack(field);
    setAttribute(field, "value", shown); // a copied picture knows attributes only
  }

  // ---------------------------------------------------------------------------------------------- the frame
  /** What is chosen stands in the sentence, and can be chosen there. */
  choice(label, name) {
    const select = h("select", { class: "tk", "aria-label": label });
    select.addEventListener("change", () => this.set({ [name]: name === "made" ? select.value : Number(select.value) }));
    return select;
  }

  showChoice(select, kind, options, value) {
    setOptions(select, options.map(([own, text]) => [own, brief(text)]));
    select.className = `tk of-${kind}`;
    select.value = value;
    select.disabled = options.length < 2;
    for (const option of select.options) setAttribute(option, "selected", option.selected);
  }

  frame() {
    const options = this.stages().map((name, i) => [name, [`${i + 1} ${VIEWS[name].title}`, VIEWS[name].title]]);
    this.tabs = tabs({ label: "Steps", options, choose: (name) => this.go(name) });
    this.mask = h("select", { "aria-label": "Mask", onchange: () => this.chooseMask(this.mask.value) });
    setOptions(this.mask, Object.entries(MASK_NAMES));
    this.undo = quiet("Reset", "Reset", () => this.reset());
    [this.asker, this.found, this.maker] = [["Query", "t"], ["Key", "s"], ["What is made", "made"]].map((each) => this.choice(...each));
    this.may = h("button", { class: "may", onclick: () => this.ask("toggle", { row: this.current().t, column: this.current().s }) });
    this.column = spin({ label: "Number", low: 1, high: () => this.current().width, get: () => this.current().j + 1, set: (j) => this.set({ j: j - 1 }) });
    this.where = h("span");
    this.who = h("span", { class: "small" });
    this.once = h("span", { class: "small" }, "at first");
    this.find = h("p", { class: "find small" });
    this.strip = h("div", { class: "strip" });
    const top = [this.tabs.node, h("span", { class: "space" }), this.mask, this.undo];
    this.build({ name: "at", top, place: [this.where], between: [this.strip], role: "tabpanel" });
    this.outer.root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|PRE)$/.test(event.target.tagName)) return;
      const stage = this.stages()[Number(event.key) - 1];
      if (stage) this.go(stage);
    });
    this.watch = onWidth(this.stage, () => this.draw());
  }

  // ---------------------------------------------------------------------------------------------- sizes
  nameWidth() {
    const { queries, keys, S } = this.current();
    const most = this.isWide() ? 130 : S > 5 && this.stage.clientWidth < 400 ? 42 : 76;
    return clamp(Math.max(...[...queries, ...keys].map((name) => widthOf(brief(name)) + 18)), 42, most);
  }

  numberWidth() {
    return this.isWide() ? 66 : 44;
  }

  /** Of all steps the tallest decides, so that nothing moves from one to the next. */
  height() {
    const { T, S, K, C } = this.current();
    const rows = Math.max(K + T, C ? C + T : 0, S + 2, S + 1 + (T > 1 ? 0.7 * T + 0.6 : 0));
    return Math.round(clamp(38 * rows + 78, 220, 405));
  }

  room() {
    return [this.stage.clientWidth - 2 * PADDING_PX, this.height() - 2 * PADDING_PX];
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  /** Build what the step needs where it is another one, or of another size. */
  fit(c) {
    const { stage, made, T, S, K, D, C, queries, keys, j } = c;
    const { clientWidth: width } = this.stage;
    const own = stage === "project" ? made : stage === "mix" && !this.isWide() ? j : "";
    const shape = JSON.stringify([stage, own, T, S, K, D, C, queries, keys, width]);
    if (shape === this.built) return;
    this.built = shape;
    const view = VIEWS[stage];
    const focused = this.stage.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    const label = this.nameWidth() + (this.isWide() ? 2 * this.numberWidth() + 3 + PADDING_PX : 4);
    this.root.setAttribute("style", styled({ name: this.nameWidth(), label, figure: this.height() }));
    setAttribute(this.root, "data-long", this.isWide() && Math.max(S, K) > 4 && "");
    this.bars = [bar(this, { n: S, isNamed: true, w: width - label - PADDING_PX }), bar(this, { n: S })];
    this.strip.replaceChildren(this.who, this.bars[0].node, this.once, this.bars[1].node, this.find);
    this.parts = view.build(this);
    this.stage.replaceChildren(this.parts.node);
    this.where.replaceChildren(...view.where(this));
    setAttribute(this.stage, "aria-labelledby", `${this.tabs.id}-${stage}`);
    this.tell([view.how, CHANGE], [["1", "to", String(this.stages().length), "steps"], ...KEYS]);
    if (!focused) return;
    const same = [...this.stage.querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === focused);
    (same ?? this.tabs.buttons[this.stages().indexOf(stage)]).focus();
  }

  draw() {
    if (!this.stage.clientWidth) return;
    const c = this.current();
    this.fit(c);
    const view = VIEWS[c.stage];
    this.tabs.show(c.stage);
    this.mask.value = c.mask;
    this.mask.style.visibility = MASKED.has(c.stage) ? "" : "hidden";
    const numbered = (list) => list.map((text, i) => [i, text]);
    this.showChoice(this.asker, "query", numbered(c.queries), c.t);
    this.showChoice(this.found, "key", numbered(c.keys), c.s);
    this.showChoice(this.maker, MADE[c.made], Object.entries(MADE), c.made);
    this.column.show();
    setText(this.may, c.allowed[c.t][c.s] ? "may" : "may not");
    for (const part of this.parts.draws) part.draw(c);
    this.drawStrip(c);
    this.say(view.say(this, c));
    const { first } = c;
    const isFirst = Object.keys(first).every((name) => JSON.stringify(first[name]) === JSON.stringify(c[name]));
    setAttribute(this.undo, "aria-disabled", isFirst && "true");
    const many = `${c.T} ${c.T > 1 ? "queries" : "query"}, ${c.S} key${c.S > 1 ? "s" : ""}`;
    this.source.replaceChildren(many, h("span", { class: "long" }, `: numbers to play with.${c.inputs.x ? "" : MADE_OF}`));
    this.drawText(c, view);
  }

  /** Where the chosen query looks, where it looked at first, and what there is to find. */
  drawStrip(c) {
    const own = c.softmax[c.t];
    this.who.replaceChildren(mark(brief(c.queries[c.t], this.isWide() ? 12 : 6), "query"), h("span", { class: "long" }, " looks at"));
    const before = attended(c.first, c.first.mask).softmax[c.t] ?? [];
    const differs = before.length === c.S && before.some((share, s) => Math.abs(share - own[s]) > 0.0005);
    this.bars[0].draw(c, own);
    this.bars[1].draw(c, differs ? before : own);
    for (const node of [this.once, this.bars[1].node]) node.style.visibility = differs ? "" : "hidden";
    const changed = ([name, table]) => table.flat().filter((x, i) => x !== c.first.inputs[name].flat()[i]).length;
    const n = sum(Object.entries(c.inputs).map(changed));
    const [first] = this.stages();
    const toFirst = () => {
      this.go(first);
      this.tabs.buttons[0].focus();
    };
    const way = c.stage === first ? "Drag a framed number, or type." : h("button", { class: "link", onclick: toFirst }, `Try it in ${VIEWS[first].title}.`);
    const told = () => {
      if (!c.allowed[c.t].some(Boolean)) return [": nothing is left to look at, so all shares are 0."];
      if (!c.allowed[c.t][c.s]) return [" is forbidden: no number helps."];
      if (c.allowed[c.t].filter(Boolean).length === 1) return [": the only one that is left gets all, whatever its score."];
      if (Math.round(100 * own[c.s]) < 100 * GOAL) return [` above ${100 * GOAL}\u00a0%? `, way];
      const much = [" has ", em(percent(own[c.s]))];
      if (!n) return [much, ". Choose a pair with less: can one number bring it there?"];
      return [much, " ✓", `, with ${n} number${n > 1 ? "s" : ""} changed. Is there another way?`];
    };
    const more = told();
    const pair = [mark(brief(c.queries[c.t]), "query"), " → ", mark(brief(c.keys[c.s]), "key")];
    const words = h("span", {}, more.includes(way) ? "Can one number bring " : "", pair, more);
    if (words.textContent !== this.find.textContent) this.find.replaceChildren(words);
  }

  /** "2·1 + 0·0.5 = 2", in the colours of what is multiplied; where there is no room for all only their sum. */
  sum(left, right, kinds) {
    const value = dot(left, right);
    if (!this.isWide() && left.length > 4) return [`${left.length} products add up to `, em(written(value), kinds[2]), "."];
    const factor = (x, kind) => em(x < 0 ? `(${written(x)})` : written(x), kind);
    const terms = left.map((x, i) => [i ? " + " : "", factor(x, kinds[0]), "·", factor(right[i], kinds[1])]);
    return [terms, [...left, ...right, value].every(isExact) ? " = " : " ≈ ", em(written(value), kinds[2]), "."];
  }

  drawText(c, view) {
    const [columns, values] = view.table(c);
    const cells = values.map((row) => row.map((x) => (view.write ?? written)(x)));
    const widths = columns.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i].length)));
    const first = Math.max(...c.queries.map((name) => name.length));
    const line = (name, texts) => name.padEnd(first) + texts.map((text, i) => `  ${text.padStart(widths[i])}`).join("");
    const at = { t: c.t, ...(columns === c.keys ? { s: c.s } : { j: c.j }) };
    const looks = `${c.queries[c.t]} looks at: ${c.keys.map((key, s) => `${key} ${percent(c.softmax[c.t][s])}`).join(", ")}.`;
    const said = `${view.title}. ${this.placeOf(c, at)}: ${this.said.textContent}`;
    setText(this.outer.text, [said, looks, "", line("", columns), ...c.queries.map((name, r) => line(name, cells[r]))].join("\n"));
  }

  placeOf(c, { t, s, j }) {
    return [t !== undefined ? c.queries[t] : [], s !== undefined ? c.keys[s] : [], j !== undefined ? `number ${j + 1}` : []].flat().join(", ");
  }

  nameOf(c, array, row, column) {
    if (array.startsWith("w_")) return `${array.toUpperCase()}, row ${row + 1}, column ${column + 1}`;
    return `${array} of ${(array === "q" || array === "x" ? c.queries : c.keys)[row]}, number ${column + 1}`;
  }
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Attention, step by step", textLabel: "The picture as text", answers: answersOf(model) });
  const page = new Stepper(model, box);
  box.watch(() => page.draw(), "stage");
  box.watch(() => {
    page.draw();
    box.settle();
  }, "state");
  return () => {
    page.watch.disconnect();
    box.close();
  };
}

export default { render };
