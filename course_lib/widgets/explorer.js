// Helpers of every explorer. Python puts this file in front of the explorer's own, so everything here is in scope there.

const PATIENCE_MS = 3000;
const TYPING_MS = 400;
const COMPUTING = "Python is computing. What is shown still belongs to the old input.";
const NEEDS_PYTHON = "This needs Python: it works in the notebooks of the course.";
const NOBODY =
  "No answer from Python: this page has no running kernel that knows this explorer. In JupyterLab, run the cells above it and its own cell again. What is shown still belongs to the old input.";

const TYPED = 'input:not([type="number"])';
const WRONG = ':not(form) > [aria-invalid="true"]'; // what still stands there and is refused

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const range = (n) => Array.from({ length: n }, (_, i) => i);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const percent = (p) => `${p >= 0.9995 ? "100" : p >= 0.99 || p < 0.0995 ? (100 * p).toFixed(1) : Math.round(100 * p)} %`;
const count = (n) => n.toLocaleString("en");
const nth = (n) => count(n) + (n % 100 > 10 && n % 100 < 14 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th"));
const many = (n, one, several = `${one}s`) => `${count(n)} ${n === 1 ? one : several}`;
const dot = (x, y) => sum(x.map((value, i) => value * y[i]));
const fixed = (x) => x.toFixed(1).replace("-", "−");
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** In the sentence: a number or name in the colour of what it is, and a piece of a text on a ground of that colour. */
const em = (text, kind = "attention") => h("b", { class: `em of-${kind}` }, text);
const mark = (text, kind) => h("span", { class: `tk of-${kind}` }, text);

/** A new element: h("button", { class: "push", onclick: f }, "text", child); null and lists are welcome among the children. */
const h = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

/** A new element of a drawing: svg("line", { x1: 0, y1: 0 }). */
const svg = (tag, attributes = {}, ...children) => filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function filled(node, attributes, children = []) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null));
  return node;
}

/** Change text only where it differs, so that screen readers and selections are left alone. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute, or remove it when the value is null or false. */
function setAttribute(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

let created = 0;

/** An id that no other element of the page has. */
function uniqueId(stem) {
  created += 1;
  return `cx-${stem}-${Date.now().toString(36)}-${created}`;
}

let ruler = null;

/** How many pixels a text takes in the page's letters. */
function widthOf(text, size = 14, weight = 400) {
  ruler ??= h("canvas").getContext("2d");
  ruler.font = `${weight} ${size}px "Segoe UI", "Helvetica Neue", Arial, sans-serif`;
  return ruler.measureText(text).width;
}

/**
 * The outer box: a named region with a place for messages and a text alternative.
 * ask(kind, fields) asks Python and resolves with the state that answers; while nobody answers, the message says so,
 * but for a question that is quiet, whose answer nobody waits for.
 * askAfter(kind, fields) is for a question that must not overtake choices which are still on their way.
 * set(name, value) tells Python a choice that the page can make by itself.
 * forgive() takes the last error back, but where what was refused still stands in a field; a press and a key do so.
 * answers: where no kernel is there, answers[kind](fields) gives in Python's place what changes, by trait, or a promise
 * of it; what it throws is shown as Python's errors are.
 */
function frame({ model, el, title, textLabel, answers = {} }) {
  const message = h("p", { class: "cx-message", role: "alert" });
  const text = h("pre", { class: "cx-text", tabindex: "0", "aria-label": textLabel });
  const details = h("details", { class: "cx-details" }, h("summary", {}, textLabel), text);
  const body = h("div", { class: "cx-body" });
  const root = h(
    "section",
    // JupyterLab looks for this attribute before it takes a key for one of its shortcuts.
    { class: "cx", "aria-label": title, "data-lm-suppress-shortcuts": "true" },
    body,
    message,
    details,
  );
  for (const type of ["keydown", "keypress", "keyup"]) root.addEventListener(type, (event) => event.stopPropagation());
  // JupyterLab takes the focus back to the cell on a click that reaches it.
  for (const type of ["mousedown", "contextmenu"]) root.addEventListener(type, (event) => event.stopPropagation());
  // What the reader does next takes an error back; a press comes before the field that it leaves can be refused.
  // Of the focus a mouse leaves no ring, but where something is typed.
  const acted = (isMouse, isAct) => {
    setAttribute(root, "data-pointed", isMouse && "");
    if (isAct) forgive();
  };
  root.addEventListener("pointerdown", () => acted(true, true), { capture: true });
  const onkeydown = ({ key, target }) => acted(false, !/^(Tab|Shift)$/.test(key) && !target.matches(TYPED));
  root.addEventListener("keydown", onkeydown, { capture: true });
  el.append(root);

  /** Whether its notebook was opened again in JupyterLab, with another kernel. */
  const isReopened = () => root.closest(".jupyter-widgets-disconnected") !== null;

  /** Whether no kernel knows this explorer: it was exported, or its notebook opened again. */
  const isAlone = () => model.widget_manager.kernel === null || isReopened();

  /** Whether somebody may still answer: the explorer belongs to a kernel, and this one is at work. */
  const isComputing = () => {
    const { kernel } = model.widget_manager; // JupyterLab's managers have it, or null where it is gone
    return !isAlone() && (kernel === undefined || kernel.status === "busy");
  };

  /** Answer in Python's place. */
  const answer = async ({ request, kind, ...fields }) => {
    let [changes, error] = [{}, ""];
    try {
      if (!answers[kind]) throw new Error(isReopened() ? NOBODY : NEEDS_PYTHON);
      changes = await answers[kind](fields);
    } catch (refusal) {
      error = refusal.message;
    }
    const { state = {}, ...others } = changes;
    for (const [name, value] of Object.entries(others)) model.set(name, value);
    model.set("state", { ...model.get("state"), ...state, answered: request, error });
  };

  const waiting = new Map();
  let silent = false;
  let forgiven = null; // the answer whose error was taken back
  const showMessage = () => {
    const reason = isComputing() ? COMPUTING : NOBODY;
    const { answered, error } = model.get("state");
    const told = silent ? reason : answered === forgiven ? "" : (error ?? "");
    setText(message, told);
    setAttribute(message, "data-limit", told.endsWith(NEEDS_PYTHON) && "");
  };
  const forgive = () => {
    if (silent || root.querySelector(WRONG)) return;
    forgiven = model.get("state").answered;
    setText(message, "");
  };

  const settle = () => {
    const state = model.get("state");
    const pending = waiting.get(state.answered);
    if (pending) {
      // Python answers in order: whatever was asked earlier is answered, too.
      for (const [id, earlier] of waiting) {
        clearInterval(earlier.timer);
        waiting.delete(id);
        earlier.resolve(state);
        if (id === state.answered) break;
      }
      silent = false;
    }
    setAttribute(root, "aria-busy", [...waiting.values()].some((each) => !each.quiet) ? "true" : null);
    showMessage();
  };

  const question = (kind, fields, send, quiet = false) =>
    new Promise((resolve) => {
      const request = uniqueId("request");
      const isOwn = isAlone();
      // Again and again, because a kernel may die while it computes.
      const timer = setInterval(() => {
        silent = true;
        showMessage();
      }, PATIENCE_MS);
      if (quiet || isOwn) clearInterval(timer); // what the page answers itself it answers in the end
      if (!quiet) setAttribute(root, "aria-busy", "true");
      waiting.set(request, { resolve, timer, quiet });
      try {
        if (isOwn) answer({ request, kind, ...fields });
        else send({ request, kind, ...fields });
      } catch {
        // A kernel that has died refuses at once; the timer says so to the reader.
      }
    });

  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const ask = (kind, fields = {}, { quiet = false } = {}) => question(kind, fields, (content) => model.send(content), quiet);
  const askAfter = (kind, fields = {}) => question(kind, fields, (content) => set("asked", content));

  const watched = [];
  /** Draw now, and again whenever one of these traits changes. */
  const watch = (draw, ...traits) => {
    for (const trait of traits) {
      model.on(`change:${trait}`, draw);
      watched.push([trait, draw]);
    }
    draw();
  };

  const close = () => {
    for (const [trait, draw] of watched) model.off(`change:${trait}`, draw);
    for (const { timer } of waiting.values()) clearInterval(timer);
    waiting.clear();
  };
  return { root, body, message, details, text, ask, askAfter, set, settle, forgive, watch, close };
}

/** Call f once, when `delay` ms have passed without another call; now() calls it at once if a call is due. */
function debounce(f, delay) {
  let timer = null;
  const now = () => {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    f();
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(now, delay);
  };
  const cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  return { later, now, cancel };
}

/**
 * A text field that Python reads: send(text) is asked when typing pauses and resolves with the state that answers.
 * show(text) puts in what Python has, unless the reader is ahead of it; giveUp() forgets what is not yet sent.
 */
function typedText(field, send) {
  const typing = debounce(async () => {
    const text = field.value;
    const state = await send(text);
    if (field.value === text) setAttribute(field, "aria-invalid", state.error ? "true" : null);
  }, TYPING_MS);
  field.addEventListener("input", typing.later);
  const show = (text) => {
    if (field.value === (field.dataset.value ?? "")) field.value = text;
    field.dataset.value = text;
  };
  const giveUp = () => {
    typing.cancel();
    field.value = field.dataset.value;
    setAttribute(field, "aria-invalid", null);
  };
  return { show, giveUp, cancel: typing.cancel };
}

/** Give a select these options, [value, text] each, if it has others. */
function setOptions(select, options) {
  if (JSON.stringify(options) === select.dataset.options) return;
  select.dataset.options = JSON.stringify(options);
  select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
}

/** Bytes that Python packed, as numbers of one kind: unpacked(text, Int32Array). */
function unpacked(text, Kind) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  // A million of them: `Uint8Array.from` takes ten times as long.
  for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return new Kind(bytes.buffer);
}

const KINDS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int16: Int16Array, float32: Float32Array };

/** An array of numbers, as Python's `packed_all` packed it. */
async function inflated({ type, data }) {
  const stream = new Blob([unpacked(data, Uint8Array)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new KINDS[type](await new Response(stream).arrayBuffer());
}

const isJoined = (piece) => /^[\p{L}\p{N}]/u.test(piece);

/** A token's name: words as they are; what is hard to see gets a name or quotes. */
function bare(piece) {
  if (piece === "") return "nothing";
  const several = (one, many) => (piece.length === 1 ? one : `${piece.length} ${many}`);
  if (/^ +$/.test(piece)) return several("a space", "spaces");
  if (/^\n+$/.test(piece)) return several("a new line", "new lines");
  if (piece === "\u00a0") return "a hard space";
  const shown = piece.replace(/^ /, "").replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll("\u00a0", "␣");
  return /[\p{L}\p{N}]/u.test(shown) ? shown : `“${shown}”`;
}

/** In a list: a piece that goes on with a word has dots before it. */
const word = (piece) => (isJoined(piece) ? `…${bare(piece)}` : bare(piece));
const tok = (piece, kind) => mark(bare(piece), kind);

/** A token as it stands in the running text. */
const seen = (piece) => (/^\s*$/.test(piece) ? piece.replaceAll("\n", "↵").replaceAll(" ", "␣") : piece.replace(/^ /, "").replaceAll("\n", "↵"));

/** Give a canvas a size in CSS pixels, with all the pixels that the screen has; returns a pen that counts CSS pixels. */
function sized(canvas, width, height) {
  const density = window.devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.max(Math.round(width * density), 1);
  canvas.height = Math.max(Math.round(height * density), 1);
  const pen = canvas.getContext("2d");
  pen.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  return pen;
}

/** Call draw whenever the node has got another width, which is known once it stands in the page; returns the watch. */
function onWidth(node, draw) {
  let width = 0;
  const watch = new ResizeObserver(() =>
    requestAnimationFrame(() => {
      if (node.clientWidth === width) return;
      width = node.clientWidth;
      draw();
    }),
  );
  watch.observe(node);
  return watch;
}

const MOVES = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/**
 * One tab stop for a table of cells, arrow keys inside (roving tabindex).
 * cells: rows of elements. In text fields the left and right arrows move the caret first.
 */
function grid(cells) {
  let current = [0, 0];
  const place = ([row, column], focus) => {
    current = [row, column];
    cells.forEach((line, r) => line.forEach((cell, c) => (cell.tabIndex = r === row && c === column ? 0 : -1)));
    if (focus) cells[row][column].focus();
  };
  cells.forEach((line, row) =>
    line.forEach((cell, column) => {
      cell.addEventListener("focus", () => place([row, column], false));
      cell.addEventListener("keydown", (event) => {
        if (event.altKey || event.metaKey || event.shiftKey) return;
        const last = [cells.length - 1, line.length - 1];
        let target = null;
        if (event.key in MOVES && !event.ctrlKey) {
          const [down, right] = MOVES[event.key];
          if (right !== 0 && cell.matches("input") && caretCanMove(cell, right)) return;
          target = [Math.min(Math.max(row + down, 0), last[0]), Math.min(Math.max(column + right, 0), last[1])];
        } else if (cell.matches("input")) {
          return;
        } else if (event.key === "Home") {
          target = event.ctrlKey ? [0, 0] : [row, 0];
        } else if (event.key === "End") {
          target = event.ctrlKey ? last : [row, last[1]];
        }
        if (target === null) return;
        event.preventDefault();
        place(target, true);
      });
    }),
  );
  place(current, false);
  return { focus: (row, column) => place([row, column], true) };
}

/** Whether an arrow key still has text to cross; a field whose whole text is selected is left at once. */
function caretCanMove(input, direction) {
  const { selectionStart: start, selectionEnd: end, value } = input;
  if (start === 0 && end === value.length) return false;
  return direction < 0 ? end > 0 : start < value.length;
}

/** A button that is named long on wide pages and short on narrow ones. */
function named(long, short, attributes) {
  return h("button", { "aria-label": long, type: "button", ...attributes }, h("span", { class: "long" }, long), h("span", { class: "short" }, short));
}

/** The same without an edge. */
function quiet(long, short, onclick) {
  return named(long, short, { class: "quiet", onclick });
}

/** A number inside the sentence that can be stepped: `set(value)` is called with numbers from `low` to `high()` only. */
function spin({ label, low = 0, high, get, set }) {
  const to = (value) => set(clamp(value, low, high()));
  const input = h("input", { type: "number", min: low, "aria-label": label });
  input.addEventListener("input", () => {
    const value = input.value === "" ? get() : Math.round(Number(input.value));
    setAttribute(node, "data-limit", value !== clamp(value, low, high()) && `${low} to ${high()}`);
    if (input.value !== "") to(value);
  });
  const restore = () => {
    input.value = get();
    show();
  };
  input.addEventListener("keydown", (event) => event.key === "Enter" && restore());
  input.addEventListener("blur", () => {
    setAttribute(node, "data-limit", null);
    restore();
  });
  const arrow = (step, sign) => h("button", { type: "button", tabindex: -1, "aria-hidden": "true", onclick: () => to(get() + step) }, sign);
  const node = h("span", { class: "spin" }, arrow(-1, "‹"), input, arrow(1, "›"));
  /** A field in which somebody types is left alone. */
  const show = () => {
    const value = get();
    const isTyping = document.activeElement === input && (input.value === "" || Number(input.value) === value);
    if (!isTyping) input.value = value;
    setAttribute(input, "placeholder", value);
    setAttribute(input, "max", high());
    setAttribute(input, "data-value", value);
    input.style.setProperty("--digits", String(high()).length);
  };
  return { input, node, show };
}

/** Several choices of which one holds, as tabs or as settings: arrow keys walk. options: [value, [long, short]] each. */
function tabs({ label, options, choose, role = "tab", id = uniqueId("tabs") }) {
  const isTab = role === "tab";
  const buttons = options.map(([value, names]) =>
    named(...names, { role, id: `${id}-${value}`, "data-name": value, onclick: () => choose(value) }));
  const onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    event.preventDefault();
    const shown = buttons.filter((button) => !button.hidden);
    const at = shown.findIndex((button) => button.tabIndex === 0);
    const next = shown[(at + step + shown.length) % shown.length];
    choose(next.dataset.name);
    next.focus();
  };
  const show = (chosen) => {
    for (const button of buttons) {
      const isChosen = button.dataset.name === String(chosen);
      setAttribute(button, isTab ? "aria-selected" : "aria-checked", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
    }
  };
  return { node: h("div", { class: "tabs", role: isTab ? "tablist" : "radiogroup", "aria-label": label, onkeydown }, buttons), buttons, show, id };
}

/** A line in which a text of one's own is typed, in the place of `instead`; send(text) resolves with the state that answers. */
function writing({ label, send, instead, closed }) {
  const own = h("input", { class: "own", "aria-label": label, spellcheck: "false" });
  const cancel = h("button", { type: "button", class: "quiet", onclick: () => close() }, "Cancel");
  const onsubmit = async (event) => {
    event.preventDefault();
    const { error } = await send(own.value);
    setAttribute(own, "aria-invalid", error ? "true" : null);
    if (!error) close();
  };
  const push = h("button", { class: "push" }, "Read");
  const node = h("form", { class: "writing", hidden: true, onsubmit }, own, push, cancel);
  const open = (text) => {
    own.value = text;
    node.hidden = false;
    instead.hidden = true;
    own.focus();
    own.select();
  };
  const close = () => {
    if (node.hidden) return;
    setAttribute(own, "aria-invalid", null);
    node.hidden = true;
    instead.hidden = false;
    closed();
  };
  return { node, push, open, close };
}

/** A page to begin with: one computed sentence above, which is headline and control at once; the figure; a foot. */
class Instrument {
  /** box: what `frame` gave. */
  constructor(box) {
    this.outer = box;
  }

  /**
   * name: a class of the sheet. All else are lists of nodes: top: choices above; place: what the sentence begins with;
   * switches: beside it; between: from there to the figure; tools: more buttons of the foot.
   */
  build({ name, top = [], place = [], switches = [], between = [], tools = [], role = null }) {
    const { outer: box } = this;
    this.said = h("span", { role: "status" });
    this.stage = h("div", { class: "stage", role });
    this.source = h("span", { class: "source" });
    this.how = h("div", { class: "how", hidden: true });
    this.help = quiet("How to read this", "Help", () => this.showHow(this.how.hidden));
    setAttribute(this.help, "aria-expanded", "false");
    this.picture = quiet("Copy picture", "Picture", () => this.copyPicture());
    const asText = quiet("As text", "Text", () => (box.details.open = !box.details.open));
    this.footer = h("div", { class: "foot" }, this.source, h("span", {}, tools, asText, this.picture, this.help));
    this.root = h("div", { class: `ex ${name}` },
      top.length ? h("div", { class: "top" }, top) : null,
      h("div", { class: "busy", "aria-hidden": "true" }),
      h("div", { class: "say" }, h("p", {}, place, this.said), switches.length ? h("span", { class: "switches" }, switches) : null),
      between, h("div", { class: "notice" }, box.message), this.stage, this.footer, this.how,
    );
    box.body.append(this.root);
    box.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.showHow(false);
    });
  }

  /** What the sentence says now: texts, `em` and `mark`. */
  say(...parts) {
    // A number is not parted from its sign.
    const kept = (part) => (typeof part === "string" ? part.replace(/(\d) %/g, "$1\u00a0%") : part);
    this.said.replaceChildren(...parts.flat(Infinity).map(kept));
  }

  /** What is folded behind "How to read this": sentences, then the keys, each [key, ..., what it does]. */
  tell(sentences, keys) {
    const shown = keys.map((names) => [names.slice(0, -1).map((name) => (name === "to" ? " to " : h("kbd", {}, name))), ` ${names.at(-1)}  `]);
    this.how.replaceChildren(...sentences.map((words) => h("p", {}, words)), h("p", { class: "keys" }, shown));
  }

  showHow(isOpen) {
    this.how.hidden = !isOpen;
    setAttribute(this.help, "aria-expanded", String(isOpen));
  }

  isWide() {
    return this.stage.clientWidth > 620;
  }

  /** What a mouse passes over is seen while it is there; null: nothing. */
  preview(change) {
    this.passing = change;
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.draw());
  }

  /** Where a node stands in the root. */
  box(node) {
    const [a, b] = [node.getBoundingClientRect(), this.root.getBoundingClientRect()];
    return { left: a.left - b.left, right: a.right - b.left, top: a.top - b.top, bottom: a.bottom - b.top };
  }

  /** A colour of the sheet as it is now, for a canvas; `forget` when the theme may have changed. */
  colour(name) {
    this.colours ??= new Map();
    if (!this.colours.has(name)) {
      this.probe ??= this.root.appendChild(h("span", { hidden: true }));
      this.probe.style.color = `var(${name})`;
      this.colours.set(name, getComputedStyle(this.probe).color);
    }
    return this.colours.get(name);
  }

  forget() {
    this.colours = null;
  }

  isDark() {
    return this.colour("--cx-text") !== this.colour("--cx-back") && parseInt(this.colour("--cx-back").match(/\d+/)?.[0] ?? "255", 10) < 128;
  }

  async copied(button, done) {
    const before = [...button.children].map((each) => each.textContent);
    const works = await Promise.resolve(done ?? Promise.reject(new Error("no clipboard"))).then(() => true, () => false);
    for (const each of button.children) setText(each, works ? "Copied" : "Not allowed here");
    setTimeout(() => before.forEach((words, i) => setText(button.children[i], words)), 1500);
  }

  /** What stands below a copied picture, after the source. */
  credit() {
    return "";
  }

  /** What is seen, with its sentence as the title and its source below, as a picture. */
  async copyPicture() {
    const copy = this.root.cloneNode(true);
    const canvases = [...this.root.querySelectorAll("canvas")];
    [...copy.querySelectorAll("canvas")].forEach((node, i) => {
      const image = h("img", { src: canvases[i].toDataURL(), style: node.getAttribute("style"), class: node.getAttribute("class") });
      node.replaceWith(image);
    });
    for (const node of copy.querySelectorAll(".top, .busy, .switches, .writing, .notice, .how, .foot > span + span, [hidden]")) node.remove();
    for (const each of copy.querySelectorAll(".spin")) each.replaceWith(h("b", {}, each.querySelector("input").getAttribute("data-value")));
    copy.querySelector(".foot").firstChild.append(`${this.credit()} From “Transformers, one experiment per claim”.`);
    const rules = [...document.styleSheets].flatMap((sheet) => {
      try {
        return [...sheet.cssRules].filter((rule) => rule.cssText.includes(".ex") || rule.cssText.includes(".cx"));
      } catch {
        return []; // of another origin
      }
    });
    const { clientWidth: width } = this.root;
    const height = this.root.clientHeight - (this.root.querySelector(".top")?.offsetHeight ?? 0);
    const style = `width:${width}px;margin:0;max-width:none;border:0;color-scheme:${this.isDark() ? "dark" : "light"}`;
    const outer = h("div", { class: "cx", style }, h("style", {}, rules.map((rule) => rule.cssText).join("\n")), copy);
    const inside = svg("foreignObject", { width: "100%", height: "100%" }, outer);
    const drawing = new XMLSerializer().serializeToString(svg("svg", { width: width, height: height + 10 }, inside));
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing)}`;
    const made = image.decode().then(() => {
      const canvas = h("canvas");
      const pen = sized(canvas, width, height + 10);
      pen.drawImage(image, 0, 0, width, height + 10);
      return new Promise((done) => canvas.toBlob(done, "image/png"));
    });
    await this.copied(this.picture, "ClipboardItem" in window ? navigator.clipboard.write([new ClipboardItem({ "image/png": made })]) : null);
  }
}
