// The clock explorer's page: two networks at the same words, on one clock; and the times that Python measured.

const TICK_MS = 400;
const TILE = 5; // pixels
const NETWORKS = [
  { isRecurrent: true, title: "Recurrent network", name: "recurrent network", kind: "stream", waits: "a box waits for the ones left and below" },
  { isRecurrent: false, title: "Transformer", name: "Transformer", kind: "attention", waits: "a box waits for the layer below, at its word and before" },
];
const VIEWS = [
  ["reading", ["Reading", "Reading"]],
  ["writing", ["Writing", "Writing"]],
  ["times", ["On a real machine", "Machine"]],
];
const HOW = [
  "A box is one layer at one word, and takes a processor one tick, even where attention looks at many words. A number is the tick at which it " +
    "worked. Both networks do equally many boxes.",
  "Reading, and in training, all words are there from the start. Writing, the last layer's box at a word makes the next word; " +
    "here the words are given, and only the waiting is shown.",
  "Point at a box, or tap it: bold is the longest chain that it waits for, one of them if several are as long. No number of processors makes it " +
    "shorter. A click keeps it. The tiles at the bottom are the boxes, piled up by the tick at which they worked.",
  "A real machine has no such clock: one core does all boxes in turn, and each call costs a little.",
];
const KEYS = [
  ["p", "plays"],
  ["[", "]", "a tick back, on"],
  ["←", "→", "↑", "↓", "boxes"],
  ["Enter", "keeps one"],
  ["Esc", "lets it go"],
];
const SYMBOLS = { ready: "○", wait: "·" };
const STANDS = { done: "done at tick", work: "works now, tick", ready: "ready", wait: "waits" };

class Clock extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.opened = model.get("tick");
    this.limits = model.get("state").limits;
    this.view = model.get("mode");
    this.kept = null; // a box whose chain stays
    this.passing = {}; // a box or a tick that is pointed at
    this.networks = NETWORKS.map(network);
    this.frame();
    this.listen();
  }

  // ---------------------------------------------------------------------------------------------- what is built
  frame() {
    const { limits, networks } = this;
    const choices = [
      ["tick", 0, () => this.end()],
      ["layers", 1, () => limits.layers],
      ["processors", 1, () => limits.words],
    ];
    this.choices = choices.map(([name, low, high]) => {
      const label = `Number of ${name.replace(/s?$/, "s")}`;
      const unit = h("span");
      const made = spin({ label, low, high, get: () => this.now?.[name] ?? low, set: (value) => this.set({ [name]: value }) });
      return { name, unit, show: made.show, node: h("span", {}, made.node, unit) };
    });
    const [tick, ...settings] = this.choices.map(({ node }) => node);
    this.play = h("button", { class: "switch play", onclick: () => (calm() ? this.turn(1) : this.run(!this.running)) });
    this.place = h("span", {}, "After ", tick, " ");
    this.settings = h("span", { class: "settings" }, settings);
    this.tabs = tabs({ label: "Views", options: VIEWS, choose: (view) => this.choose(view) });
    this.edit = quiet("Own text", "Own text", () => this.writing.open(this.model.get("text")));
    this.measure = h("button", { class: "switch", onclick: () => this.outer.askAfter("measure") }, "Measure here");
    this.hint = h("p", { class: "hint", role: "status" });
    const closed = () => {
      setText(this.outer.message, "");
      this.edit.focus();
    };
    this.writing = writing({ label: "Your text", send: (text) => this.read(text), instead: this.hint, closed });
    this.build({
      name: "clock",
      top: [this.tabs.node, this.edit, this.settings],
      place: [this.place],
      switches: [this.play, this.measure],
      between: [this.hint, this.writing.node],
      role: "tabpanel",
    });
    this.axis = h("div", { class: "axis" });
    const tiles = h("div", { "aria-hidden": "true" }, networks[0].half, this.axis, networks[1].half);
    this.slider = h("div", { class: "line", role: "slider", tabindex: 0, "aria-label": "Clock", "aria-valuemin": 0 }, tiles);
    const names = h("div", { class: "names", "aria-hidden": "true" }, networks[0].label, h("span", {}, "boxes at tick"), networks[1].label);
    const turn = h("div", { class: "turn" }, names, this.slider);
    this.clock = h("div", {}, networks.map(({ node }) => node), turn);
    this.bars = h("div", { class: "bars" });
    this.stage.append(this.clock, this.bars);
    this.tell(HOW, KEYS);
  }

  listen() {
    const { slider } = this;
    const at = (event) => {
      const { left, width } = this.axis.getBoundingClientRect();
      return { tick: clamp(Math.ceil(((event.clientX - left) / width) * this.end()), 0, this.end()) };
    };
    const turn = (event) => {
      slider.setPointerCapture(event.pointerId);
      this.passing = {};
      this.set(at(event));
    };
    slider.addEventListener("pointerdown", turn);
    slider.addEventListener("pointermove", (event) => (event.buttons ? turn(event) : this.preview(at(event))));
    for (const part of [slider, ...this.networks.map(({ grid: boxes }) => boxes)]) part.addEventListener("pointerleave", () => this.preview({}));
    slider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -Infinity, End: Infinity }[event.key];
      if (!step) return;
      event.preventDefault();
      this.turn(step);
    });
    this.outer.root.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Boxes for these words and layers; layers are counted from below. */
  rebuild({ layers, words }) {
    const n = words.length;
    for (const net of this.networks) {
      net.boxes = range(layers * n).map((box) => {
        const node = h("div", { class: "bx", role: "gridcell", onclick: () => this.keep(box), onblur: () => this.preview({}) });
        node.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.preview({ box }));
        node.addEventListener("focus", () => node.matches(":focus-visible") && this.preview({ box }));
        return node;
      });
      const lines = range(layers).map((layer) => net.boxes.slice(layer * n, (layer + 1) * n)).reverse();
      const name = (i) => h("span", { role: "rowheader" }, h("span", { class: "long" }, "layer "), String(layers - 1 - i));
      net.grid.replaceChildren(...lines.map((line, i) => h("div", { class: "layer", role: "row" }, name(i), line)));
      net.words.replaceChildren(h("span"), ...words.map((word) => h("span", { title: word }, h("bdi", {}, word))));
      net.node.style.setProperty("--n", n);
      setAttribute(net.node, "data-many", n > 6 && "");
      setAttribute(net.links, "viewBox", `0 0 ${n} ${layers}`);
      grid(lines);
    }
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  /** Another choice, of which Python is told; the clock stays where it is seen to stand. */
  set(changes) {
    this.stop();
    const tick = Math.min(this.model.get("tick"), this.end());
    for (const [name, value] of Object.entries({ tick, ...changes })) this.outer.set(name, value);
    this.draw();
  }

  choose(view) {
    this.view = view;
    this.kept = null;
    setText(this.outer.message, "");
    this.set(view === "times" ? {} : { mode: view });
  }

  read(text) {
    let error = "";
    try {
      wordsOf(text, this.limits);
      this.kept = null;
      this.set({ text });
    } catch (refusal) {
      error = refusal.message;
    }
    setText(this.outer.message, error);
    return { error };
  }

  preview(passing) {
    if (passing.box === this.passing.box && passing.tick === this.passing.tick) return;
    this.passing = passing;
    this.draw();
  }

  keep(box) {
    this.kept = this.kept === box ? null : box;
    this.draw();
  }

  /** The tick at which both are done. */
  end() {
    return this.now ? Math.max(...this.now.runs.map(({ end }) => end)) : 0;
  }

  turn(step) {
    this.set({ tick: clamp(Math.min(this.model.get("tick"), this.end()) + step, 0, this.end()) });
  }

  stop() {
    clearInterval(this.running);
    this.running = null;
  }

  /** Play from here, or from the start where nothing is left; or pause. */
  run(isOn) {
    this.stop();
    if (isOn) {
      this.kept = null;
      // What it opens with is seen; the race is from the start.
      const isFirst = !this.hasRun && this.model.get("tick") === this.opened;
      this.hasRun = true;
      if (isFirst || this.model.get("tick") >= this.end()) this.outer.set("tick", 0);
      this.running = setInterval(() => {
        this.outer.set("tick", this.model.get("tick") + 1);
        if (this.model.get("tick") >= this.end()) this.stop();
        this.draw();
      }, TICK_MS);
    }
    this.draw();
  }

  onKey(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "Escape") {
      this.writing.close();
      this.kept = null;
      this.draw();
    }
    if (/^(INPUT|PRE|SUMMARY)$/.test(target.tagName) || this.view === "times") return;
    if (key === "[" || key === "]") this.turn(key === "[" ? -1 : 1);
    else if (key === "p") this.play.click();
    else if ((key === "Enter" || key === " ") && target.classList.contains("bx")) target.click();
    else return;
    event.preventDefault();
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  /** What is seen: the choices, what is pointed at, and both networks' runs. */
  current() {
    const { model, limits } = this;
    const [text, layers, processors, mode] = ["text", "layers", "processors", "mode"].map((name) => model.get(name));
    const key = JSON.stringify([text, layers, processors, mode]);
    if (key !== this.now?.key) {
      const words = wordsOf(text, limits).map(shortened);
      const sizes = { words: words.length, layers, processors, isWriting: mode === "writing" };
      const runs = this.networks.map(({ isRecurrent }) => schedule({ ...sizes, isRecurrent }));
      this.now = { key, words, names: numbered(words), layers, processors, mode, runs, most: layers * words.length };
      const shape = JSON.stringify([words, layers]);
      if (shape !== this.shape) this.rebuild(this.now);
      this.shape = shape;
      if (this.kept >= this.now.most) this.kept = null;
      this.passing = {}; // what was pointed at may be gone
    }
    this.now.tick = Math.min(this.passing.tick ?? model.get("tick"), this.end());
    this.now.box = this.passing.box ?? this.kept;
    return this.now;
  }

  draw() {
    const c = this.current();
    const isTimes = this.view === "times";
    if (!isTimes) this.view = c.mode;
    this.tabs.show(this.view);
    setAttribute(this.stage, "aria-labelledby", `${this.tabs.id}-${this.view}`);
    this.root.dataset.view = this.view;
    for (const node of [this.clock, this.place, this.edit, this.settings, this.play]) node.hidden = isTimes;
    this.bars.hidden = !isTimes;
    // On a page without a kernel nobody could measure.
    this.measure.hidden = !isTimes || this.model.widget_manager.kernel === null;
    setText(this.outer.text, (isTimes ? this.drawTimes() : this.drawClock(c)).join("\n"));
  }

  drawClock(c) {
    for (const { name, unit, show } of this.choices) {
      show();
      setText(unit, ` ${name.replace(/s?$/, c[name] === 1 ? "" : "s")}`);
    }
    setText(this.play, calm() ? "Next tick" : this.running ? "Pause" : "Play");
    const told = this.networks.flatMap((net, i) => this.drawNetwork(net, c, c.runs[i]));
    this.networks.forEach((net, i) => this.drawTiles(net, c, c.runs[i]));
    this.drawSlider(c);
    this.say(this.standing(c));
    this.hint.replaceChildren(...this.hinted(c));
    const legend = h("span", { class: "long" }, "Full colour: at work. Pale: done. ○: could work now. A picture, not a measurement.");
    this.source.replaceChildren(legend, h("span", { class: "short" }, "○ could work now, · waits."));
    const settings = `After ${many(c.tick, "tick")} ${this.said.textContent}${this.credit()}`;
    return [`${c.mode === "reading" ? "Reading" : "Writing"}: ${c.names.join(" | ")}`, settings, this.hint.textContent, ...told];
  }

  credit() {
    const { layers, processors } = this.now;
    return this.view === "times" ? "" : ` ${many(layers, "layer")} on ${many(processors, "processor")} in each network.`;
  }

  /** Where both stand, in one sentence. */
  standing({ runs, tick, words, most, mode }) {
    const [recurrent, transformer] = this.networks.map(({ name, kind }) => em(name, kind));
    if (tick === 0) return ["nothing has happened yet."];
    const lead = runs[0].end - runs[1].end;
    if (tick === this.end()) {
      if (lead === 0) return ["both are done, at the same tick: here the ", transformer, " gains nothing."];
      return ["both are done, the ", lead > 0 ? transformer : recurrent, ` ${many(Math.abs(lead), "tick")} earlier.`];
    }
    const [first, second] = runs.map((run, i) => {
      const done = range(most).filter((box) => run.ticks[box] <= tick);
      if (run.end <= tick) return "is done";
      if (i === 1 && mode === "reading") return `has ${done.length} of ${most} boxes done`;
      const finished = done.filter((box) => box >= most - words.length).length; // the last layer's
      return `has finished ${finished || "no"} word${finished > 1 ? "s" : ""} of ${words.length}`;
    });
    if (first === second) return [first.replace("has", "both have"), "."];
    return ["the ", transformer, ` ${second}; the `, recurrent, ` ${first}.`];
  }

  hinted({ runs, box, names, layers }) {
    if (box === null) {
      const all = wordsIn(this.model.get("text")).length;
      const cut = all > names.length ? `The first ${names.length} of ${all} words are read. ` : "";
      return [cut, this.question()];
    }
    const place = layers > 1 ? `, layer ${Math.floor(box / names.length)},` : "";
    const [before, after] = runs.map(({ chains }) => chains[box] - 1);
    const inRow = before === 1 ? ["box"] : ["boxes", h("span", { class: "long" }, " in a row")];
    const word = mark(h("bdi", {}, names[box % names.length]), "token");
    const [first, second] = [em(String(before), "stream"), em(String(after), "attention")];
    const longest = Math.max(...runs.flatMap(({ chains }) => chains));
    const isLongest = Math.max(before, after) + 1 === longest;
    const least = h("span", { class: "least" }, `: ${many(longest, "tick")} at least`);
    return [word, `${place} waits for `, first, " ", ...inRow, " in the recurrent network, for ", second, " in the Transformer.",
      isLongest ? [" ✓ The longest", least, "."] : []].flat(2);
  }

  /** What can be found out here; at the end, where nothing is gained, why. */
  question() {
    const { mode, processors, most, words, tick, runs } = this.now;
    const isWriting = mode === "writing";
    if (!isWriting && processors > 1 && words.length > 1) {
      const how = matchMedia("(hover: none)").matches ? "Tap" : "Point at";
      return `${how} a box to see the chain that it waits for. Which chain is the longest?`;
    }
    const play = calm() ? "Press Next tick." : "Press Play.";
    if (tick < this.end() || runs[0].end !== runs[1].end) return `Does the Transformer gain anything here? ${play}`;
    if (words.length === 1) return "One word waits for no other: in both networks only for the layer below.";
    if (isWriting) return "In both networks each word is made by the top box of the one before: no word can start earlier.";
    return `One processor does one box at a time: ${many(most, "box", "boxes")} take ${many(most, "tick")}, whoever waits for whom.`;
  }

  /** Draw one network; returns its part of the text. */
  drawNetwork({ title, waits, state, boxes, links }, { names, layers, processors, mode, tick, box }, run) {
    const n = names.length;
    const [bold, all] = box === null ? [[], null] : [chain(run, box), needed(run, box)];
    const nameOf = (i) => `${names[i % n]}, layer ${Math.floor(i / n)}`;
    boxes.forEach((node, i) => {
      const at = run.ticks[i];
      const isReady = run.waits[i].every((other) => run.ticks[other] <= tick);
      const standing = at < tick ? "done" : at === tick ? "work" : isReady ? "ready" : "wait";
      setText(node, SYMBOLS[standing] ?? String(at));
      setAttribute(node, "data-standing", standing);
      setAttribute(node, "data-chain", all && (bold.includes(i) ? "bold" : all.has(i) ? "in" : "out"));
      setAttribute(node, "aria-selected", String(i === this.kept));
      setAttribute(node, "aria-label", `${nameOf(i)}: ${STANDS[standing]}${at <= tick ? ` ${at}` : ""}`);
    });
    const thin = all ? run.waits[box].map((other) => [other, box]) : [];
    const thick = bold.slice(1).map((to, i) => [bold[i], to, "thick"]);
    links.replaceChildren(...[...thin, ...thick].map(([from, to, weight = "thin"]) => svg("path", { d: between(from, to, n, layers), class: weight })));
    const worked = run.ticks.filter((at) => at <= tick).length;
    const atOnce = boxes.length / run.end;
    const busy = `${Number.isInteger(atOnce) ? atOnce : `on average ${fixed(atOnce)}`} of ${many(processors, "processor")} busy`;
    const isDone = worked === boxes.length;
    const now = isDone ? `done after ${many(run.end, "tick")}` : `${worked} of ${boxes.length} boxes`;
    const isFull = mode === "writing" && !isDone; // once all is done nothing waits
    const said = [waits, isFull ? "; the next word waits for the top box" : "", now, isDone ? `, ${busy}` : ""];
    state.forEach((part, i) => setText(part, said[i]));
    const rows = range(layers).map((l) => `layer ${l}: ${range(n).map((t) => boxes[l * n + t].textContent).join(" ")}`);
    return ["", `${title}: ${said[2]}${said[3]}.`, ...rows.reverse(), ...(all ? [`Chain: ${bold.map(nameOf).join("; ")}.`] : [])];
  }

  /** The boxes at work at each tick so far, the recurrent network's above the axis. */
  drawTiles({ isRecurrent, tiles, ended }, { tick, names, layers }, { ticks, end }) {
    const [high, last] = [isRecurrent ? layers : names.length, this.end()];
    setAttribute(tiles, "viewBox", `0 0 ${last} ${high}`);
    tiles.style.height = `${TILE * high}px`;
    const pile = (t) => range(ticks.filter((at) => at === t).length).map((k) =>
      svg("rect", { x: t - 0.94, y: isRecurrent ? high - 1 - k : k, width: 0.88, height: 0.8, "data-now": t === tick && "" }));
    tiles.replaceChildren(...range(tick).flatMap((t) => pile(t + 1)));
    setText(ended, end <= tick ? `done at ${end}` : "");
    ended.style.left = `${(100 * end) / last}%`;
  }

  drawSlider({ tick }) {
    const last = this.end();
    const shown = range(last).map((t) => t + 1).filter((t) => last <= 15 || t === 1 || t % 5 === 0);
    const number = (t) => h("span", { style: `left: ${(100 * (t - 0.5)) / last}%`, "data-fine": last > 8 && last <= 15 && t > 1 && t % 3 > 0 }, String(t));
    this.axis.replaceChildren(...shown.map(number));
    setAttribute(this.slider, "aria-valuemax", last);
    setAttribute(this.slider, "aria-valuenow", tick);
    setAttribute(this.slider, "aria-valuetext", `Tick ${tick}`);
  }

  /** What was measured, as bars. */
  drawTimes() {
    const { where, cores, lengths, layers, weights, rows } = this.model.get("measured");
    const longest = Math.max(...rows.flatMap(({ ms }) => ms));
    const times = ({ ms: [short, long] }) => `${fixed(long / short)} times`;
    const [loop, fused, last] = rows;
    const long = ({ ms }) => `${fixed(ms[1])} ms`;
    const why = cores === 1 ? "On one core nothing runs side by side, so waiting less gains nothing" : `On ${cores} cores some work runs side by side`;
    this.say(
      `${why}: for ${lengths[1]} words the `, em("LSTM", "stream"), `, a recurrent network, takes ${long(fused)}, the `,
      em("Transformer", "attention"), ` ${long(last)}.`,
    );
    const grown = `${lengths[1] / lengths[0]} times as many words take the RNN ${times(loop)} as long`;
    const elsewhere = h("span", { class: "least" }, cores === 1 ? " With many cores: see Reading." : "");
    this.hint.replaceChildren(`${grown}, the LSTM ${times(fused)}, the Transformer ${times(last)}.`, elsewhere);
    this.bars.replaceChildren(...rows.map((row) => {
      const bar = (ms, i) =>
        [h("span", {}, `${lengths[i]} words`), h("i", { style: `--share: ${ms / longest}` }), h("b", {}, `${fixed(ms)} ms`), i ? times(row) : ""];
      return h("div", { class: row === last ? "attention" : "stream" }, h("p", {}, row.name), row.ms.map((ms, i) => h("div", {}, bar(ms, i))));
    }));
    const sizes = `: one step of training, ${many(layers, "layer")} of ${count(weights)} weights`;
    const whole = `${where.join("")}${sizes}.`;
    this.bars.append(h("small", { class: "short" }, whole));
    this.source.replaceChildren(h("span", { class: "long" }, whole));
    const listed = rows.map((row) => `${row.name}: ${row.ms.map((ms, i) => `${lengths[i]} words ${fixed(ms)} ms`).join(", ")}, ${times(row)}.`);
    return [this.said.textContent, this.hint.textContent, ...listed, whole];
  }
}

/** A network's place on the page, without its boxes. */
function network(told) {
  const { title, kind, isRecurrent } = told;
  const drawing = () => svg("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
  const [links, tiles, ended, label] = [drawing(), drawing(), h("b", { class: `of-${kind}` }), em(isRecurrent ? "Recurrent" : title, kind)];
  const state = range(4).map(() => h("i"));
  const boxes = h("div", { class: "boxes", role: "grid", "aria-label": `Boxes of the ${title}` });
  const words = h("div", { class: "words", "aria-hidden": "true" });
  const head = h("p", {}, em(title, kind), h("span", { class: "long" }, state.slice(0, 2)), h("span", {}, state.slice(2)));
  const node = h("div", { class: `net ${kind}` }, head, h("div", { class: "area" }, links, boxes), words);
  const half = h("div", { class: `half ${kind}` }, tiles, ended);
  return { ...told, node, state, grid: boxes, links, words, half, label, tiles, ended, boxes: [] };
}

/** A word that fits into the page. */
const shortened = (word) => ([...word].length > 24 ? `${[...word].slice(0, 23).join("")}…` : word);

/** The words to read; those that stand more than once with their places. */
const numbered = (words) => words.map((word, i) => (words.filter((other) => other === word).length > 1 ? `${word} (${i + 1})` : word));

/** A line from box to box, in the gaps between the others. */
function between(from, to, n, layers) {
  const [x1, x2] = [from % n, to % n].map((word) => word + 0.5);
  const [y1, y2] = [from, to].map((box) => layers - Math.floor(box / n) - 0.5);
  if (y1 === y2) return `M${x1} ${y1}H${x2}`;
  // What is written comes in again at the bottom of the next word.
  if (y1 < y2) return `M${x1} ${y1}H${(x1 + x2) / 2}V${y2}H${x2}`;
  return `M${x1} ${y1}V${(y1 + y2) / 2}H${x2}V${y2}`;
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Clock", textLabel: "The picture as text" });
  const page = new Clock(model, box);
  box.watch(() => page.draw(), "text", "layers", "processors", "mode", "tick", "measured");
  box.watch(() => box.settle(), "state");
  return () => {
    page.stop();
    box.close();
  };
}

export default { render };
