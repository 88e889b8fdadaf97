// The patch explorer's page: a picture cut into tokens, and one of them followed to its numbers and its vector.

const OWN = "your own picture"; // names, as in Python
const DRAW = "draw";
const COLOURS = { 1: ["grey"], 3: ["red", "green", "blue"] };
const TONES = [[226, 122, 112], [122, 184, 132], [132, 160, 232]]; // of each colour alone, at its brightest: calm beside the picture
const MOST_TINTED = 45; // % of a tone behind the largest number
const LEAST_FOR_LINES = 5; // CSS pixels of a patch
const LEAST_FOR_EDGES = 9; // and for lines with edges, which are seen on white
const MOST_TERMS = 4; // of a product that is written out
const LEAST_FOR_NUMBERS = 17; // CSS pixels of a patch whose number in the order is written on it
const FILTERS = [34, 46]; // CSS pixels of a small picture of what a number tells, at most: of colours, and of greys on wide pages
const MOST_ON_A_PHONE = 178; // CSS pixels of the picture's height
const MOST_ON_A_SMALL_ONE = 136;
const FLY_MS = 250;
const MOST_FLYING = 2000;
const COST_SIDES = [54, 70, 86]; // CSS pixels of the largest square whose area is looks, on narrow and on wide pages
const COST_SLOTS = [38, 44, 50]; // at least for each of them
const ALIKE = [0.05, 0.15]; // of the scale: so far apart the numbers of two tokens may lie that look alike, or roughly so
const MOST_MIXED = 5000; // tokens
const STEPS = { "+": 1, "=": 1, "-": -1 };
const HOW = [
  "Each square becomes a token: its numbers stand in one row, colour after colour and line after line, and one matrix makes every row a vector.",
  "Where no matrix was given it is the page's own: the mean, five waves, two contrasts of colour. Models learn theirs, for hundreds of numbers.",
  "Each small picture is the patch that makes its number largest. Dashed: the patch whose vector is nearest. The squares are as large as the looks are many.",
  "Point to look, click to keep. Drop or paste a picture of yours.",
];
const KEYS = [
  ["←", "→", "↑", "↓", "patches, or pixels"],
  ["−", "+", "size"],
  ["s", "shuffles"],
  ["Space", "d", "l", "ink or none, darker, lighter"],
  ["Ctrl V", "your picture"],
  ["Esc", "closes"],
];

/** Where a picture was moved to. */
function placeName([down, right]) {
  const ways = [[down, down > 0 ? "down" : "up"], [right, right > 0 ? "right" : "left"]].filter(([n]) => n);
  return ways.map(([n, way]) => `${Math.abs(n)} ${way}`).join(", ") || "in its place";
}

/** Before the heading of what comes next. */
const leads = () => h("span", { class: "down", "aria-hidden": "true" }, "↓ ");
/** A number whose sign can be read; nothing is less than 0 only by rounding. */
const written = (x, digits) => x.toFixed(digits).replace(/^-(?=0.0*$)/, "").replace("-", "−");
const long = (words) => h("span", { class: "long" }, words);

class Patches extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.passing = {}; // what is only pointed at: token, pixel
    this.pixel = 0; // of the opened token
    this.isTold = false; // how like the opened token and its nearest are
    this.visited = new Map(); // by picture, the places where it was
    this.frame();
  }

  // ---------------------------------------------------------------------------------------------- what is chosen
  get(name) {
    return this.model.get(name);
  }

  set(changes) {
    this.passing = {};
    if (["source", "cut", "opened"].some((name) => name in changes && changes[name] !== this.get(name))) this.isTold = false;
    if (this.isRefused) setText(this.outer.message, this.get("state").error);
    this.isRefused = false;
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.model.save_changes();
    this.open(); // the next choice may come before the page is drawn
  }

  /** Another picture, in order, and not in rows, which may be hundreds there; a drawing in its usual size, not as one patch. */
  show(source) {
    this.set({ opened: null, source, shuffled: false, cut: source === DRAW || this.get("cut") === ROWS ? "" : this.get("cut") });
  }

  isDrawing() {
    return this.get("source") === DRAW;
  }

  /** The picture and how it is cut, made anew where one of them is another. */
  open() {
    const source = this.get("source");
    const view = source === DRAW ? this.get("state").sheet : this.get("pictures")[source];
    const moved = this.get("moved")[source] ?? [0, 0];
    const sizes = sizesOf(view.shape, Number(this.get("cut")) || 0);
    const usual = sizes.findLast((size) => size === 1 || 4 * size <= Math.min(view.shape[1], view.shape[2]));
    const size = [...sizes, ROWS].find((each) => String(each) === this.get("cut")) ?? usual;
    const key = [view, ...moved, this.greys, size];
    if (this.key && key.every((part, i) => part === this.key[i])) return;
    const inPlace = this.greys ?? unpacked(view.pixels, Uint8Array);
    const numbers = moved.some(Boolean) ? shifted(inPlace, view.shape, moved) : inPlace;
    Object.assign(this, { key, view, moved, sizes, image: null, jumbled: null, best: null, isBlank: !inPlace.some(Boolean) });
    this.cut = new Cut({ ...view, numbers }, size, this.get("state").projection);
    this.pixel = Math.min(this.pixel, this.cut.area - 1);
  }

  opened() {
    return Math.min(this.get("opened") ?? (this.best ??= this.cut.telling()), this.cut.n - 1);
  }

  /** The token at a place of the picture, and back. */
  tokenAt(place) {
    return this.get("shuffled") ? this.cut.shuffled().order[place] : place;
  }

  placeOf(token) {
    return this.get("shuffled") ? this.cut.shuffled().places[token] : token;
  }

  choose(token, pixel = this.pixel) {
    this.pixel = pixel;
    this.set({ opened: token });
    this.drawSoon();
  }

  /** Another size; the token that is opened then lies where the last one lay: from size to size around the same spot. */
  resize(size) {
    if (size === undefined) return;
    const { cut } = this;
    const [top, left] = [Math.floor(this.opened() / cut.columns) * cut.tall, (this.opened() % cut.columns) * cut.wide];
    const isInside = ([y, x]) => y >= top && y < top + cut.tall && x >= left && x < left + cut.wide;
    if (!this.spot || !isInside(this.spot)) this.spot = [top + cut.tall / 2, left + cut.wide / 2];
    const [tall, wide] = size === ROWS ? [1, cut.width] : [size, size];
    const at = (n, side, whole) => Math.min(Math.floor(n / side), Math.floor(whole / side) - 1);
    this.pixel = 0;
    const opened = at(this.spot[0], tall, cut.height) * Math.floor(cut.width / wide) + at(this.spot[1], wide, cut.width);
    this.set({ cut: String(size), opened });
  }

  step(by) {
    const all = [...this.sizes, ROWS];
    this.resize(all[all.indexOf(this.cut.size) + by]);
  }

  shuffle() {
    const before = this.cut.n > MOST_FLYING || calm() ? null : range(this.cut.n).map((token) => this.placeOf(token));
    this.set({ shuffled: !this.get("shuffled") });
    if (before) this.fly(before);
  }

  moveTo(place) {
    const to = place.map((n) => clamp(n, -FARTHEST, FARTHEST));
    this.set({ opened: this.opened(), moved: { ...this.get("moved"), [this.get("source")]: to } });
  }

  // ---------------------------------------------------------------------------------------------- what is given
  async read(file) {
    if (!file) return;
    try {
      const { error } = await this.outer.ask("picture", await squareOf(file));
      if (!error) this.set({ opened: null, cut: "", shuffled: false });
    } catch (refusal) {
      setText(this.outer.message, refusal.message);
      this.isRefused = true;
    }
    this.file.value = ""; // so that the same file can be chosen again
  }

  /** The sheet as the page has it; Python is told one state at a time, however fast the pen is. */
  async keep(greys) {
    this.visited.delete(DRAW);
    const isTelling = Boolean(this.greys);
    this.greys = greys;
    const others = Object.entries(this.get("moved")).filter(([name]) => name !== DRAW);
    this.set({ opened: this.opened(), moved: Object.fromEntries(others) });
    this.draw();
    if (isTelling) return;
    let told = null;
    while (this.greys !== told) {
      told = this.greys;
      await this.outer.ask("draw", { greys: told });
    }
    this.greys = null;
    this.draw();
  }

  // ---------------------------------------------------------------------------------------------- the frame
  frame() {
    const button = (attributes, ...words) => h("button", { type: "button", ...attributes }, words);
    const arrow = (by, sign) => button({ tabindex: -1, "aria-hidden": "true", onclick: () => this.step(by) }, sign);
    this.pick = h("select", { "aria-label": "Picture", onchange: () => this.show(this.pick.value) });
    const read = () => this.read(this.file.files[0]);
    this.file = h("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "A picture's file", onchange: read });
    const rub = () => setAttribute(this.rubber, "aria-pressed", String(!this.isRubbing()));
    this.rubber = button({ class: "switch", "aria-pressed": "false", onclick: rub }, "Rub out");
    this.clear = button({ class: "quiet", onclick: () => this.keep(Array(SHEET ** 2).fill(0)) }, "Clear");
    this.mix = button({ class: "switch", onclick: () => this.shuffle() }, "Shuffle");
    this.size = h("select", { "aria-label": "Cut into", onchange: () => this.resize([...this.sizes, ROWS][this.size.selectedIndex]) });
    this.sizeName = h("input", { type: "hidden" }); // for a copied picture
    this.reading = h("p", { class: "reading", role: "status" });
    this.lines = svg("svg", { class: "threads", "aria-hidden": "true" });
    this.build({
      name: "px",
      top: [this.pick, quiet("Your picture", "Your picture", () => this.file.click()), this.file, h("span", { class: "space" }), this.rubber, this.clear, this.mix],
      place: ["Cut into ", h("span", { class: "spin" }, arrow(-1, "‹"), this.size, arrow(1, "›"), this.sizeName), ", "],
      between: [this.reading],
    });
    this.tell(HOW, KEYS);

    this.canvas = h("canvas");
    this.over = svg("svg", { "aria-hidden": "true" });
    this.board = h("div", { class: "picture", role: "slider", tabindex: "0", "aria-label": "Opened token", "aria-valuemin": "1" }, this.canvas, this.over);
    this.caption = h("p", { class: "caption" });
    this.area = h("canvas", { "aria-hidden": "true" });
    this.area.addEventListener("click", ({ offsetX }) => this.resize(this.squares.find(({ until }) => offsetX < until)?.size ?? this.cut.size));
    this.areaSays = h("small", {}, "Looks, as area, by size of patch");
    this.looks = h("p", {});
    this.pad = h("div", { class: "pad", role: "group", "aria-label": "Move the picture" }, range(25).map((i) => {
      const place = [Math.floor(i / 5) - FARTHEST, (i % 5) - FARTHEST];
      return button({ "aria-label": `Move: ${placeName(place)}`, onclick: () => this.moveTo(place) });
    }));

    this.title = h("p", { class: "head" });
    this.patch = h("canvas");
    this.close = h("div", { class: "patch", role: "slider", tabindex: "0", "aria-label": "Pixel of the token", "aria-valuemin": "1" }, this.patch, h("i"));
    this.at = h("p", {});
    this.twin = h("canvas");
    this.twinSays = h("span");
    const tell = () => {
      this.isTold = !this.isTold;
      this.drawSoon();
    };
    this.toTwin = button({ class: "twin", onclick: tell }, this.twin, this.twinSays);
    this.rowSays = h("p");
    this.rowHead = h("div", { class: "head way-on" }, this.rowSays, this.at);
    this.alone = h("p", { class: "alone" });
    this.channels = range(3).map((c) => {
      const cells = range(64).map((i) => h("i", { onpointerenter: () => this.preview({ pixel: this.from + i }) }));
      const parts = { cells, plane: h("canvas"), name: h("b"), part: h("span") };
      parts.frame = h("div", { class: "plane" }, parts.plane, h("i"));
      parts.box = h("div", { class: "cells", onpointerleave: () => this.preview({}) }, parts.cells);
      parts.node = h("div", { class: `channel of-${c}` }, parts.frame, h("p", {}, parts.name, " ", parts.part), parts.box);
      return parts;
    });
    this.entries = range(8).map((k) => {
      const parts = { filter: h("canvas"), number: h("b"), name: h("small"), bar: h("u") };
      const pointing = { onpointerenter: () => this.preview({ pattern: k }), onpointerleave: () => this.preview({}) };
      parts.node = h("li", pointing, parts.filter, parts.number, parts.bar, parts.name);
      return parts;
    });
    this.list = h("ol", {}, this.entries.map(({ node }) => node));
    this.weights = h("p", { class: "head way-on" });
    this.stage.append(
      h("div", { class: "left" }, this.board),
      this.caption,
      h("div", { class: "cost" }, this.pad, h("div", { class: "areas" }, this.area, this.areaSays), this.looks),
      h("div", { class: "panel" },
        h("div", { class: "token" }, this.title, this.close, this.toTwin, this.alone),
        h("div", {}, this.rowHead, this.channels.map(({ node }) => node)),
        h("div", {}, this.weights, this.list)),
      this.lines,
    );
    this.listen();
    this.watch = onWidth(this.stage, () => this.draw());
  }

  // ---------------------------------------------------------------------------------------------- gestures
  isRubbing() {
    return this.rubber.getAttribute("aria-pressed") === "true";
  }

  listen() {
    const { root } = this.outer;
    root.addEventListener("keydown", (event) => this.onKey(event));
    root.addEventListener("paste", (event) => this.read(event.clipboardData.files[0]));
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.read(event.dataTransfer.files[0]);
    });
    this.pad.addEventListener("keydown", (event) => {
      const way = MOVES[event.key];
      if (!way) return;
      event.preventDefault();
      this.moveTo(this.moved.map((n, i) => n + way[i]));
      this.draw();
      this.pad.querySelector('[aria-pressed="true"]').focus();
    });
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) this.board.addEventListener(type, (event) => this.onPen(event));
    this.board.addEventListener("pointerleave", () => this.preview({}));
    this.toTwin.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.preview({ isTold: true }));
    this.toTwin.addEventListener("pointerleave", () => this.preview({}));
    this.board.addEventListener("click", (event) => this.choose(this.under(event)));
    for (const node of [this.close, ...this.channels.map((each) => each.frame)]) {
      const pixel = (event) => this.share(event, node, this.cut.wide, this.cut.tall);
      node.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.preview({ pixel: pixel(event) }));
      node.addEventListener("pointerleave", () => this.preview({}));
      node.addEventListener("click", (event) => this.choose(this.opened(), pixel(event)));
    }
  }

  /** Which of so many columns and rows of a node the pointer is in. */
  share(event, node, columns, rows) {
    const { left, top, width, height } = node.getBoundingClientRect();
    const at = (share, n) => clamp(Math.floor(share * n), 0, n - 1);
    return at((event.clientY - top) / height, rows) * columns + at((event.clientX - left) / width, columns);
  }

  under(event) {
    const { cut } = this;
    const at = this.share(event, this.canvas, cut.width, cut.height);
    const [row, column] = [Math.floor(Math.floor(at / cut.width) / cut.tall), Math.floor((at % cut.width) / cut.wide)];
    return this.tokenAt(Math.min(row, cut.rows - 1) * cut.columns + Math.min(column, cut.columns - 1));
  }

  onPen(event) {
    const { type } = event;
    const { left, top, width } = this.canvas.getBoundingClientRect();
    const spot = [event.clientX - left, event.clientY - top].map((x) => (x * SHEET) / width);
    const isDown = type === "pointerdown" && this.isDrawing() && event.button === 0;
    if (isDown) {
      this.board.setPointerCapture(event.pointerId);
      this.set({ shuffled: false });
    }
    const points = isDown ? [spot] : this.pen ? [this.pen, spot] : null;
    this.pen = points && type !== "pointerup" && type !== "pointercancel" ? spot : null;
    if (event.pointerType === "mouse") this.preview({ token: this.under(event) });
    if (points) this.keep(inked(Array.from(this.cut.numbers), points, this.isRubbing()));
  }

  onKey(event) {
    const { key, target, ctrlKey } = event;
    if (event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA|PRE|SUMMARY)$/.test(target.tagName)) return;
    const isPicture = target === this.board;
    const isWalked = (isPicture || target === this.close) && this.walk(key, ctrlKey, isPicture);
    if (isWalked || (isPicture && this.isDrawing() && this.write(key))) event.preventDefault();
    else if (ctrlKey) return;
    else if (key === "s") this.shuffle();
    else if (key in STEPS) this.step(STEPS[key]);
  }

  /** One token further, or one pixel: in the token, and on the sheet. */
  walk(key, ctrlKey, isPicture) {
    const { cut, pixel } = this;
    const far = ctrlKey ? Infinity : 0;
    const [down, right] = MOVES[key] ?? { Home: [-far, -Infinity], End: [far, Infinity] }[key] ?? [0, 0];
    if (!down && !right) return false;
    const to = (at, rows, columns) => clamp(Math.floor(at / columns) + down, 0, rows - 1) * columns + clamp((at % columns) + right, 0, columns - 1);
    if (!isPicture) this.choose(this.opened(), to(pixel, cut.tall, cut.wide));
    else if (this.isDrawing()) {
      this.set({ shuffled: false });
      const broad = cut.columns * cut.wide;
      const [row, column] = [Math.floor(this.opened() / cut.columns), this.opened() % cut.columns];
      const cell = to((row * cut.tall + Math.floor(pixel / cut.wide)) * broad + column * cut.wide + (pixel % cut.wide), cut.rows * cut.tall, broad);
      const [y, x] = [Math.floor(cell / broad), cell % broad];
      this.choose(Math.floor(y / cut.tall) * cut.columns + Math.floor(x / cut.wide), (y % cut.tall) * cut.wide + (x % cut.wide));
    } else this.choose(this.tokenAt(to(this.placeOf(this.opened()), cut.rows, cut.columns)));
    return true;
  }

  /** Ink by a key, at the chosen pixel. */
  write(key) {
    const { numbers, offsets } = this.cut;
    const at = this.cut.start(this.opened()) + offsets[this.pixel];
    const change = { d: 1, l: -1, " ": numbers[at] === INK ? -INK : INK }[key.toLowerCase()];
    if (change) this.keep(Array.from(numbers, (number, i) => (i === at ? clamp(number + change, 0, INK) : number)));
    return Boolean(change);
  }

  // ---------------------------------------------------------------------------------------------- what is drawn
  /** What colour each of these numbers has on the screen: of all channels together, or of one alone. */
  coloursOf(numbers, area, channel = null) {
    const { full, channels } = this.cut;
    const light = (number) => Math.round((255 * (full === INK ? full - number : number)) / full);
    if (channels === 1) return (i) => Array(3).fill(light(numbers[i]));
    if (channel === null) return (i) => [numbers[i], numbers[area + i], numbers[2 * area + i]];
    return (i) => TONES[channel].map((tone) => Math.round((tone * numbers[channel * area + i]) / full));
  }

  /** Pixels as a small picture. */
  painted(height, width, colour) {
    const image = new ImageData(width, height);
    for (let i = 0; i < height * width; i += 1) image.data.set([...colour(i), 255], 4 * i);
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(image, 0, 0);
    return small;
  }

  /** A token, or what has its shape, enlarged. */
  enlarge(canvas, colour, width = canvas.parentElement.clientWidth, height = width) {
    const { tall, wide } = this.cut;
    const pen = sized(canvas, width, height);
    pen.imageSmoothingEnabled = wide > width;
    pen.drawImage(this.painted(tall, wide, colour), 0, 0, width, height);
  }

  /** Which pixel of the picture stands at pixel i of the shuffled one. */
  comesFrom(i) {
    const { cut } = this;
    const [y, x] = [Math.floor(i / cut.width), i % cut.width];
    const [row, column] = [Math.floor(y / cut.tall), Math.floor(x / cut.wide)];
    if (row >= cut.rows || column >= cut.columns) return i;
    return cut.start(this.tokenAt(row * cut.columns + column)) + (y % cut.tall) * cut.width + (x % cut.wide);
  }

  /** From the places where the tokens stood before to where they stand now. */
  fly(before) {
    const { n, columns, tall, wide } = this.cut;
    const corner = (place) => [(place % columns) * wide, Math.floor(place / columns) * tall];
    cancelAnimationFrame(this.flying);
    const start = performance.now();
    const frame = (now) => {
      const part = clamp((now - start) / FLY_MS, 0, 1);
      this.drawPicture(part === 1 ? null : (pen) => {
        for (let token = 0; token < n; token += 1) {
          const [from, to] = [corner(before[token]), corner(this.placeOf(token))];
          pen.drawImage(this.image, ...corner(token), wide, tall, ...from.map((x, i) => x + (to[i] - x) * part * (2 - part)), wide, tall);
        }
      });
      if (part < 1) this.flying = requestAnimationFrame(frame);
    };
    frame(start);
  }

  /** The picture's height at most. */
  mostHigh() {
    const { clientWidth: width } = this.stage;
    return this.isWide() ? 280 : width > 310 ? MOST_ON_A_PHONE : MOST_ON_A_SMALL_ONE;
  }

  drawPicture(flight = null) {
    const { cut, canvas } = this;
    const { height, width, rows, columns, tall, wide } = cut;
    const colour = this.coloursOf(cut.numbers, height * width);
    this.image ??= this.painted(height, width, colour);
    if (this.get("shuffled")) this.jumbled ??= this.painted(height, width, (i) => colour(this.comesFrom(i)));
    const side = Math.min(this.board.parentElement.clientWidth / width, this.mostHigh() / height);
    const [x1, y1] = [Math.max(side, 4 / width), Math.max(side, 4 / height)];
    const pen = sized(canvas, width * x1, height * y1);
    pen.scale(x1, y1);
    pen.imageSmoothingEnabled = side < 1;
    pen.globalAlpha = 0.3; // what is left out
    pen.drawImage(this.image, 0, 0);
    pen.globalAlpha = 1;
    pen.clearRect(0, 0, columns * wide, rows * tall);
    if (flight) flight(pen);
    else pen.drawImage(this.get("shuffled") ? this.jumbled : this.image, 0, 0, columns * wide, rows * tall, 0, 0, columns * wide, rows * tall);
    this.drawOver(wide * x1, tall * y1, flight);
  }

  /** Lines over the picture: the grid, how far it is read, the opened token and the one that is nearest. */
  drawOver(w, t, flight) {
    const { cut, over, canvas, shown: { token } } = this;
    const { rows, columns } = cut;
    for (const side of ["width", "height"]) setAttribute(over, side, parseFloat(canvas.style[side]));
    const parts = [];
    if (Math.min(w, t) >= LEAST_FOR_LINES) {
      const lines = [...range(columns + 1).map((c) => `M${c * w},0V${rows * t}`), ...range(rows + 1).map((r) => `M0,${r * t}H${columns * w}`)];
      const kinds = Math.min(w, t) < LEAST_FOR_EDGES ? ["grid"] : ["grid under", "grid"];
      parts.push(...kinds.map((kind) => svg("path", { class: kind, d: lines.join("") })));
    }
    const ring = (each, name) => {
      const [x, y] = [(this.placeOf(each) % columns) * w, Math.floor(this.placeOf(each) / columns) * t];
      return [`${name} under`, name].map((kind) => svg("rect", { class: kind, x, y, width: w, height: t }));
    };
    // Their order, while one points: up to here the patches are counted.
    if (Math.min(w, t) >= LEAST_FOR_NUMBERS && this.passing.token !== undefined && !this.isDrawing() && !flight) {
      const name = (place) => {
        const [x, y, words] = [(place % columns) * w, Math.floor(place / columns) * t, String(this.tokenAt(place) + 1)];
        const wide = 7 * words.length + 4;
        return [svg("rect", { class: "chip", x: x + 1, y: y + 1, width: wide, height: 15, rx: 3 }), svg("text", { x: x + 1 + wide / 2, y: y + 13 }, words)];
      };
      parts.push(range(this.placeOf(token) + 1).flatMap(name));
    }
    if (!flight) parts.push(this.nearest ? ring(this.nearest.token, "near") : [], ring(token, "chosen"));
    over.replaceChildren(...parts.flat());
  }

  /** The token and its numbers; returns them as text. */
  drawToken() {
    const { cut, shown: { token, pixel } } = this;
    const { tall, wide, area, channels, length } = cut;
    const row = cut.row(token);
    const page = channels === 1 ? 64 : 12;
    const from = page * Math.floor(pixel / page);
    const to = Math.min(from + page, area);
    this.from = from;
    this.title.replaceChildren(h("b", {}, `${this.kind} ${count(token + 1)}`), cut.n > 9999 ? "" : h("span", { class: "long" }, ` of ${count(cut.n)}`));
    setText(this.at, `Pixel ${count(pixel + 1)} of ${count(area)}`);
    this.rowSays.replaceChildren(leads(), h("b", {}, "one row"), ` of ${many(length, "number")}`, long(channels > 1 ? ", colour after colour" : ""));
    this.enlarge(this.patch, this.coloursOf(row, area));
    const place = { left: (pixel % wide) / wide, top: Math.floor(pixel / wide) / tall, width: 1 / wide, height: 1 / tall };
    for (const node of [this.close, ...this.channels.map((each) => each.frame)]) {
      for (const [name, share] of Object.entries(place)) node.lastChild.style[name] = `${100 * share}%`;
    }
    this.channels.forEach(({ node }, c) => (node.hidden = c >= channels)); // before they are drawn, which takes their width
    const told = this.channels.slice(0, channels).map(({ plane, name, part, cells }, c) => {
      const colour = this.coloursOf(row, area, c);
      if (channels > 1) this.enlarge(plane, colour);
      setText(name, COLOURS[channels][c]);
      setText(part, `${count(c * area + from + 1)}${to - from > 1 ? `–${count(c * area + to)}` : ""}${to < area ? " …" : ""}`);
      cells.forEach((cell, i) => {
        cell.hidden = from + i >= to;
        if (cell.hidden) return;
        const number = row[c * area + from + i];
        const [grey] = colour(from + i);
        setText(cell, number);
        // A grey is what it is; of a colour there is so little that its number can be read.
        const tint = `color-mix(in srgb, rgb(${TONES[c]}) ${(MOST_TINTED * number) / cut.full}%, var(--cx-back))`;
        const [background, color] = channels > 1 ? [tint, ""] : [`rgb(${grey} ${grey} ${grey})`, grey > 116 ? "#000" : "#fff"];
        Object.assign(cell.style, { background, color });
        setAttribute(cell, "data-chosen", from + i === pixel && "");
      });
      return `${COLOURS[channels][c]}, ${part.textContent}: ${row.slice(c * area + from, c * area + to).join(" ")}`;
    });
    setAttribute(this.root, "data-dense", to - from > 16 && "");
    setAttribute(this.root, "data-few", to - from <= 8 && "");
    const at = this.placeOf(token);
    const where = cut.columns > 1 ? `: row ${Math.floor(at / cut.columns) + 1}, column ${(at % cut.columns) + 1}` : "";
    return [`${this.kind} ${count(token + 1)} of ${count(cut.n)}${where}`, `Its row has ${many(length, "number")}.`, ...told];
  }

  /** Its vector, and whose vector is nearest. */
  drawVector() {
    const { cut, nearest: found, shown: { token } } = this;
    const { weights, names, width } = cut.matrix;
    const vector = cut.vector(token);
    const far = Math.max(...vector.map(Math.abs));
    const numbers = vector.map((x) => written(x, far && far < 0.2 ? 3 : 2));
    this.list.style.setProperty("--n", Math.max(weights.length, 4)); // before what stands in the columns is drawn
    const most = FILTERS[Number(this.isWide() && cut.channels === 1)];
    const side = Math.min(most, Math.floor(this.list.clientWidth / Math.max(weights.length, 4)) - 4);
    this.entries.forEach(({ node, filter, number, name, bar }, k) => {
      node.hidden = k >= weights.length;
      if (node.hidden) return;
      setText(number, numbers[k]);
      bar.style.setProperty("--v", Math.abs(vector[k]) / (names ? 1 : far || 1));
      setAttribute(bar, "data-below", vector[k] < 0 && "");
      if (this.filtered?.matrix === cut.matrix && this.filtered.side === side) return;
      const loudest = weights[k].reduce((far, x) => Math.max(far, Math.abs(x)), 1e-12) * (cut.full === INK ? -1 : 1);
      // A contrast of colours alone would be the loudest thing here.
      const isColour = names && weights[k].some((x) => x !== weights[k][0]) && weights[k].every((x, j) => x === weights[k][j - (j % cut.area)]);
      const strength = isColour ? 0.5 : 1;
      const of = (j) => 127.5 * (1 + (strength * weights[k][j]) / loudest);
      this.enlarge(filter, (i) => range(3).map((c) => of((cut.channels === 1 ? 0 : c * cut.area) + i)), side);
      setText(name, names?.[k] ?? "");
    });
    this.filtered = { matrix: cut.matrix, side };
    const isPart = width > weights.length;
    setText(this.alone, cut.n === 1 ? "The whole picture is one token: there is no other to compare with. Cut it smaller." : "");
    this.toTwin.hidden = !found;
    let says = "";
    if (found) {
      const other = `${this.kind.toLowerCase()} ${count(found.token + 1)}`;
      const isTold = this.passing.isTold || (this.isTold && token === this.opened());
      says = isTold ? this.comparison(token) : `Nearest vector: ${other}. Do they look alike?`;
      if (found.same) says = `${many(found.same, "other has", "others have")} the very same vector${found.same > 1 ? "; the first is" : ":"} ${other}.`;
      this.enlarge(this.twin, this.coloursOf(cut.row(found.token), cut.area), this.close.clientWidth);
    }
    const [fact, question] = says.split(/(?<=\.) (?=Do they)/);
    this.twinSays.replaceChildren(fact, ...(question ? [" ", h("span", { class: "ask" }, question)] : []));
    const [which, rest] = isPart ? [`, the first ${weights.length}`, " drawn"] : ["", ", how much of each pattern"];
    const matrix = ["times one matrix", long(" for all"), `, ${count(cut.length)} × ${count(width)}: `];
    const { pattern } = this.passing;
    const way = pattern < weights.length ? this.product(token, pattern, numbers[pattern]) : [...matrix, h("b", {}, "one vector"), which, long(rest)];
    this.weights.replaceChildren(leads(), ...way);
    const by = names ? ", by the page's own matrix" : isPart ? `, the first ${weights.length} of ${count(width)} numbers` : "";
    return [`Its vector${by}: ${numbers.map((x, k) => (names ? `${names[k]} ${x}` : x)).join(names ? ", " : " ")}`, says];
  }

  /** How a number of the vector comes about. */
  product(token, k, number) {
    const { row, matrix, full } = { row: this.cut.row(token), ...this.cut };
    const weights = matrix.weights[k];
    if (weights.length > MOST_TERMS || matrix.bias[k]) return [`${count(weights.length)} products of the row and this pattern, added up: `, h("b", {}, number)];
    const terms = weights.map((x, j) => `${j || x < 0 ? ` ${x < 0 ? "−" : "+"} ` : ""}${written(Math.abs(x), 2)}·${row[j]}`).join("");
    return [`(${terms.trim()}) ÷ ${full} ≈ `, h("b", {}, number)];
  }

  /** How like the opened token and the one that is nearest are, and why. */
  comparison(token) {
    const { cut, nearest } = this;
    const { weights, width } = cut.matrix;
    const apart = cut.apart(token, nearest.token);
    const verdict = apart < ALIKE[0] ? "Yes" : apart < ALIKE[1] ? "Roughly" : "Hardly";
    const facts = `${verdict}: their numbers lie ${percent(apart).replace(" ", "\u00a0")} apart, cosine ${written(cut.cosine(token, nearest.token), 2)}`;
    if (width > weights.length) return `${facts} in ${weights.length} of ${count(width)} numbers. The others may tell them apart.`;
    if (cut.length <= width) return `${facts}. The vector keeps all ${many(cut.length, "number")}.`;
    return `${facts}. The vector keeps ${width} of ${count(cut.length)} numbers.`;
  }

  /** Looks as an area, or, where a picture can be moved, what it is read as; returns both as text. */
  drawCost() {
    const { cut, sizes, view: { readings, shape } } = this;
    const source = this.get("source");
    const all = sizes.map((size) => [size, cut.count(size)]);
    const [size, n] = all.findLast((each) => each[0] < cut.size) ?? [0, 0];
    const looks = `${count(cut.n)} × ${count(cut.n)} = ${many(cut.n ** 2, "look")}`;
    const half = n ? `At ${size} × ${size}: ${count(n ** 2)}, ${count(Math.round((n / cut.n) ** 2))} times as many.` : "";
    const isRead = this.get("state").is_reading && shape.join() === `1,${SHEET},${SHEET}`;
    this.reading.hidden = this.pad.hidden = !isRead;
    this.area.parentElement.hidden = isRead;
    setAttribute(this.root, "data-read", isRead && "");
    const told = [`In attention each looks at each: ${looks}. ${half}`];
    if (isRead) {
      const here = 5 * (this.moved[0] + FARTHEST) + this.moved[1] + FARTHEST;
      const visited = (this.visited.get(source) ?? new Set([12])).add(here);
      this.visited.set(source, visited);
      const read = (i) => (!this.isBlank && visited.has(i) && readings?.[i].match(/\d+/)?.[0].slice(0, 2)) || "";
      setText(this.reading, this.isBlank ? "Nothing is drawn yet." : readings?.[here] ?? `What is it read as? ${NEEDS_PYTHON}`);
      [...this.pad.children].forEach((button, i) => {
        setText(button, read(i));
        setAttribute(button, "data-same", read(i) !== "" && read(i) === read(12) && "");
        setAttribute(button, "aria-pressed", String(i === here));
        button.tabIndex = i === here ? 0 : -1;
      });
      this.looks.replaceChildren("Each square moves it, the middle one back. Is it still read the same?", h("br"), "Then the square is blue.");
      return [this.reading.textContent, this.moved.some(Boolean) ? `Moved ${placeName(this.moved)}.` : "In its place.", ...told];
    }
    if (this.get("shuffled") && cut.n <= MOST_MIXED) {
      this.area.parentElement.hidden = true;
      return [...told, this.drawMixed()];
    }
    this.looks.replaceChildren("In attention each looks at each:", h("br"), em(looks), h("br"), half);
    this.drawAreas(all);
    return told;
  }

  /** What the token gets from attention, a bar a number, in both orders; returns it as text. */
  drawMixed() {
    const { cut, kind, shown: { token } } = this;
    const [before, after] = [range(cut.n), cut.shuffled().order].map((order) => [...cut.mixture(token, order)]);
    const most = Math.max(...before.map(Math.abs)) || 1;
    const high = (x) => Math.sqrt(Math.abs(x) / most); // small numbers are seen, too
    const bar = (x) => h("i", { style: `--top: ${x > 0 ? high(x) : 0}; --size: ${high(x)}` });
    const bars = (name, numbers) => h("span", { class: "mixed" }, h("small", {}, name), numbers.slice(0, this.entries.length).map(bar));
    const what = `What ${kind.toLowerCase()} ${count(token + 1)} gets from attention, number by number:`;
    const apart = `Farthest apart: ${written(Math.max(...before.map((x, i) => Math.abs(x - after[i]))), 3)}.`;
    this.looks.replaceChildren(what, bars("in order", before), bars("shuffled", after), h("b", {}, apart));
    const listed = (numbers) => numbers.map((x) => written(x, 3)).join(" ");
    return `${what} in order ${listed(before)}; shuffled ${listed(after)}. ${apart}`;
  }

  /** The looks of this cut and of its neighbours, as squares side by side. */
  drawAreas(all) {
    const { cut } = this;
    const others = all.filter(([size]) => size !== cut.size && this.cut.count(size) !== cut.n);
    const cuts = [...others, [cut.size, cut.n]].sort((a, b) => a[1] - b[1]);
    const at = clamp(cuts.findIndex(([size]) => size === cut.size) - 1, 0, Math.max(cuts.length - 3, 0));
    const shown = cuts.slice(at, at + 3);
    const breadth = [720, 940].filter((width) => this.stage.clientWidth > width).length;
    const most = COST_SIDES[breadth];
    const sides = shown.map(([, n]) => Math.max((most * n) / shown.at(-1)[1], 2));
    const slots = sides.map((side) => Math.max(side, COST_SLOTS[breadth]));
    const pen = sized(this.area, sum(slots) + 8 * (slots.length - 1), most + 18);
    pen.font = "12px sans-serif";
    pen.textAlign = "center";
    let left = 0;
    this.squares = [];
    shown.forEach(([size], i) => {
      this.squares.push({ size, until: left + slots[i] + 4 });
      const isThis = size === cut.size;
      pen.fillStyle = this.colour(isThis ? "--cx-attention" : "--edge");
      pen.fillRect(left + (slots[i] - sides[i]) / 2, most - sides[i], sides[i], sides[i]);
      pen.fillStyle = this.colour(isThis ? "--cx-text" : "--cx-soft");
      pen.fillText(size === ROWS ? ROWS : `${size}×${size}`, left + slots[i] / 2, most + 14);
      left += slots[i] + 8;
    });
  }

  /** Returns where the picture comes from, and how it is cut, as text. */
  drawChoices() {
    const { cut, view } = this;
    const source = this.get("source");
    const names = [...this.get("state").names, ...(OWN in this.get("pictures") ? [OWN] : [])];
    setOptions(this.pick, [...names.map((each) => [each, each]), [DRAW, "draw one"]]);
    this.pick.value = source;
    setOptions(this.size, [...this.sizes.map((size) => [size, `${size} × ${size}`]), [ROWS, "rows of pixels"]]);
    this.size.value = cut.size;
    setAttribute(this.sizeName, "data-value", this.size.selectedOptions[0].textContent);
    this.rubber.hidden = this.clear.hidden = !this.isDrawing();
    this.mix.hidden = cut.n === 1;
    setAttribute(this.mix, "aria-pressed", String(this.get("shuffled")));
    const is = { drawing: this.isDrawing(), ink: cut.full === INK, grey: cut.channels === 1 };
    for (const [name, value] of Object.entries(is)) setAttribute(this.root, `data-${name}`, value && "");
    const n = em(many(cut.n, ...(cut.size === ROWS ? ["row", "rows"] : ["patch", "patches"])), "token");
    if (this.get("shuffled")) this.say("the ", n, " are the same in another order: attention alone cannot tell.");
    else {
      const [each, numbers] = [cut.n === 1 ? ": one row of " : ": each becomes one row of ", cut.length === 1 ? " number." : " numbers."];
      this.say("this picture is ", n, each, h("b", {}, count(cut.length)), numbers);
    }
    const lost = [[cut.lost[0], "row", "at the bottom"], [cut.lost[1], "column", "at the right"]].filter(([some]) => some);
    const { name, height, width } = view.file ?? {};
    const leaves = (what) => lost.map(([some, line, where]) => `${many(some, line)}${what(where)}`).join(" and ");
    const side = Math.min(height, width);
    const middle = height === width ? "" : `Cropped to its middle, ${count(side)} × ${count(side)} pixels of a picture ${count(width)} wide and ${count(height)} high`;
    let cropped = lost.length ? `Left out: ${leaves((where) => ` of pixels ${where}`)}.` : "";
    if (middle) cropped = lost.length ? `Cropped to its middle. Left out: ${leaves(() => " of pixels")}.` : `${middle}.`;
    setText(this.caption, this.isDrawing() ? "Draw here, with the mouse or with keys." : cropped);
    const extent = (w, t) => (w === t ? `${count(w)} × ${count(t)} pixels` : `${count(w)} pixels wide, ${count(t)} high`);
    const file = name ? `, the middle of ${name}, ${extent(width, height)}` : "";
    const ends = cut.full === INK ? `0, paper, to ${INK}, ink` : `0, dark, to ${cut.full}, bright`;
    const pixels = `${extent(cut.width, cut.height)}${cut.channels === 3 ? ", red, green and blue" : ""}`;
    const told = `${source === DRAW ? "your drawing" : source}${file}: ${pixels}; numbers from ${ends}.`;
    const brief = `${extent(cut.width, cut.height)}, 0 to ${cut.full}.`;
    this.source.replaceChildren(long(told), h("span", { class: "short" }, brief));
    const product = (...parts) => parts.filter((part) => part > 1 || parts.length === 1).map(count).join(" × ") || "1";
    const equal = (parts, result) => (parts === count(result) ? parts : `${parts} = ${count(result)}`);
    const [tokens, numbers] = [equal(product(cut.rows, cut.columns), cut.n), equal(product(cut.channels, cut.tall, cut.wide), cut.length)];
    return [told, `${tokens} ${cut.n === 1 ? "token" : "tokens"} of ${numbers} ${cut.length === 1 ? "number" : "numbers"}. ${cropped}`];
  }

  isWide() {
    return this.stage.clientWidth > 632;
  }

  /** From the opened token to the same, enlarged, to its row, and to its vector. */
  drawLines() {
    const stage = this.box(this.stage);
    const at = (node) => {
      const { left, right, top, bottom } = this.box(node);
      return { left: left - stage.left, right: right - stage.left, top: top - stage.top, bottom: bottom - stage.top };
    };
    const [a, b, row, heading, matrix, whole] = [this.over.lastChild, this.close, this.channels[0].node, this.rowHead, this.weights, this.canvas].map(at);
    const { bottom } = at(this.channels[this.cut.channels - 1].node);
    // As broad as what is written there.
    row.right = Math.max(...this.channels[0].cells.filter((node) => !node.hidden).map((node) => at(node).right));
    const way = (d) => svg("path", { class: "way", d });
    const down = (from, y, to) => way(`M${from.left},${y}L${to.left},${to.top}H${to.right}L${from.right},${y}Z`);
    // The way from the token to its enlargement begins at the picture's edge, so that it covers nothing there.
    const from = Math.max(a.right, whole.right + 1);
    const leaving = (side) => a[side] + ((b[side] - a[side]) * (from - a.right)) / Math.max(b.left - a.right, 1);
    const zoom = way(`M${from},${leaving("top")}L${b.left},${b.top}V${b.bottom}L${from},${leaving("bottom")}Z`);
    this.lines.replaceChildren(...(this.isWide() ? [zoom] : []), down(b, b.bottom, heading), down(row, bottom, matrix));
  }

  /** Once, however many choices change together. */
  drawSoon() {
    if (!this.isDue) queueMicrotask(() => this.isDue && this.draw());
    this.isDue = true;
  }

  draw() {
    this.isDue = false;
    if (this.stage.clientWidth === 0) return;
    this.forget();
    this.open();
    const { cut } = this;
    const token = Math.min(this.passing.token ?? this.opened(), cut.n - 1);
    this.shown = { token, pixel: Math.min(this.passing.pixel ?? this.pixel, cut.area - 1) };
    this.kind = cut.size === ROWS ? "Row" : "Patch";
    this.nearest = cut.nearest(token);
    const [source, counts] = this.drawChoices();
    const costs = this.drawCost();
    this.drawPicture();
    const told = this.drawToken();
    const vector = this.drawVector();
    this.drawLines();
    const first = range(Math.min(cut.n, 16)).map((place) => this.tokenAt(place) + 1).join(", ");
    const order = this.get("shuffled") ? `Shuffled, always the same way: ${first}${cut.n > 16 ? " …" : ""}` : "In reading order.";
    const lines = [source, counts, ...costs, order, ...told, ...vector];
    setText(this.outer.text, lines.map((line) => line.trim()).filter(Boolean).join("\n"));
    for (const [node, now, max, words] of [[this.board, token, cut.n, told[0]], [this.close, this.shown.pixel, cut.area, this.at.textContent]]) {
      setAttribute(node, "aria-valuemax", max);
      setAttribute(node, "aria-valuenow", now + 1);
      setAttribute(node, "aria-valuetext", words);
    }
  }
}

/** Without Python the page keeps what is drawn and what comes from a file; what it would be read as it cannot know. */
function answers(model) {
  return {
    picture({ pixels, ...file }) {
      const view = { pixels, shape: [3, OWN_SIDE, OWN_SIDE], full: 255, readings: null, file };
      return { pictures: { ...model.get("pictures"), [OWN]: view }, source: OWN };
    },
    draw({ greys }) {
      return { source: DRAW, state: { sheet: { pixels: packedBytes(greys), shape: [1, SHEET, SHEET], full: INK, readings: null } } };
    },
  };
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Patches", textLabel: "The tokens as text", answers: answers(model) });
  const page = new Patches(model, box);
  box.watch(() => {
    page.drawSoon();
    box.settle();
  }, "state", "source", "cut", "shuffled", "opened", "moved", "pictures");
  return () => {
    page.watch.disconnect();
    box.close();
  };
}

export default { render };
