// Helpers of every explorer. Python puts this file in front of the explorer's own, so everything here is in scope there.

const PATIENCE_MS = 3000;
const TYPING_MS = 400;
const SHOWN_NEXT = 5; // as in Python
const COMPUTING = "Python is computing. What is shown still belongs to the old input.";
const NOBODY =
  "No answer from Python: this page has no running kernel that knows this explorer. In JupyterLab, run the cells above it and its own cell again. What is shown still belongs to the old input.";

/** A new element: h("button", { class: "cx-button", onclick: f }, "text", child); null and lists are welcome among the children. */
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

/**
 * The outer box: a named region with a place for messages and a text alternative.
 * ask(kind, fields) asks Python and resolves with the state that answers; while nobody answers, the message says so,
 * but for a question that is quiet, whose answer nobody waits for.
 * askAfter(kind, fields) is for a question that must not overtake choices which are still on their way.
 * set(name, value) tells Python a choice that the page can make by itself.
 */
function frame({ model, el, title, textLabel }) {
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
  el.append(root);

  /** Whether somebody may still answer: the explorer belongs to a kernel, and this one is at work. */
  const isComputing = () => {
    if (root.closest(".jupyter-widgets-disconnected")) return false;
    const { kernel } = model.widget_manager; // JupyterLab's managers have it, or null where it is gone
    return kernel === undefined || kernel?.status === "busy";
  };

  const waiting = new Map();
  let silent = false;
  const showMessage = () => {
    const reason = isComputing() ? COMPUTING : NOBODY;
    setText(message, silent ? reason : (model.get("state").error ?? ""));
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
      // Again and again, because a kernel may die while it computes.
      const timer = setInterval(() => {
        silent = true;
        showMessage();
      }, PATIENCE_MS);
      if (quiet) clearInterval(timer);
      else setAttribute(root, "aria-busy", "true");
      waiting.set(request, { resolve, timer, quiet });
      try {
        send({ request, kind, ...fields });
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
  return { root, body, message, details, text, ask, askAfter, set, settle, watch, close };
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

/** A label in front of its control. */
function labelled(text, control) {
  return h("span", { class: "cx-field" }, h("label", { for: control.id }, text), control);
}

/** A table of the likeliest next tokens as Python lists them. */
function nextTokens() {
  const cells = Array.from({ length: SHOWN_NEXT }, () => [h("td", {}), h("td", { class: "cx-share" })]);
  const words = h("caption", {});
  const node = h("table", { class: "cx-next-tokens" }, words, h("tbody", {}, cells.map((line) => h("tr", {}, line))));
  const fill = (found) =>
    cells.forEach(([left, right], i) => {
      const [piece, share] = found[i] ?? ["", ""];
      setText(left, piece);
      setText(right, share);
      right.style.setProperty("--cx-share", share.replace(" ", ""));
    });
  return { node, words, fill };
}

/** Bytes that Python packed, as numbers of one kind: unpacked(text, Int32Array). */
function unpacked(text, Kind) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  // A million of them: `Uint8Array.from` takes ten times as long.
  for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return new Kind(bytes.buffer);
}

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
