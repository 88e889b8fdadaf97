// The heads explorer's page: draws all heads from the weights that Python sent, one of them enlarged, and asks for
// another text and for heads to be off.

const LARGEST_PICTURE = 40; // CSS pixels of one head on the sheet
const SMALLEST_PICTURE = 12;
const GAP = 3;
const MARGIN = 22; // for the numbers of layers and heads
const LEAST_FOR_EACH_NUMBER = 17; // narrower pictures have every fifth number
const ROW = 20; // CSS pixels of a token's line, as .cx-from
const LEAST_CELL = 10; // width of a weight in the matrix
const LEAST_DRAWN = 10; // thousandths: a line for a smaller weight would not be seen
const SHOWN_OF_TOKEN = 5; // weights in the sentence
const INK = 0x005ed5; // blue, green, red, as --cx-attention
const GROUND = "#80808026"; // behind each head, in both themes

const percent = (thousandths) => `${(thousandths / 10).toFixed(1)} %`;

function render({ model, el }) {
  const box = frame({ model, el, title: "Heads", textLabel: "The head as text" });
  const { body, ask, set } = box;

  const view = () => model.get("views")[model.get("model")];
  const attention = () => (model.get("attention") in view().sheets ? model.get("attention") : view().attentions[0]);
  const sheet = () => view().sheets[attention()];
  const opened = () => model.get("opened").map((at, axis) => Math.min(at, sheet().shape[axis] - 1));
  const followed = () => Math.min(model.get("token"), sheet().shape[2] - 1);
  const isOff = ([layer, head]) => sheet().off.some(([l, n]) => l === layer && n === head);

  // Unpacked once for each sheet.
  let unpackedSheet = null;
  let weights = null;
  let small = null; // all heads, one pixel for each weight
  let side = 0; // CSS pixels of a head on the sheet, with the gap

  /** The weights of the opened head, all queries after each other. */
  const openedWeights = () => {
    const [, nHeads, nQueries, nKeys] = sheet().shape;
    const [layer, head] = opened();
    const from = (layer * nHeads + head) * nQueries * nKeys;
    return weights.subarray(from, from + nQueries * nKeys);
  };

  // ------------------------------------------------------------------------------------------------ the parts
  const select = (name, choose) => h("select", { id: uniqueId(name), class: "cx-select", onchange: (event) => choose(event.target.value) });
  const area = (name) => h("textarea", { id: uniqueId(name), class: "cx-prompt", rows: 1, spellcheck: "false", dir: "auto" });
  const name = select("model", (value) => set("model", value));
  const which = select("attention", (value) => set("attention", value));
  const drawn = select("drawn", (value) => set("drawn_as", value));
  setOptions(drawn, [["lines", "lines"], ["matrix", "a matrix"]]);
  const whichField = labelled("Attention", which);
  const text = area("text");
  const other = area("other");
  const otherLabel = h("label", { for: other.id, class: "cx-label" });
  const otherField = h("div", { class: "cx-cut" }, otherLabel, other);
  const typing = typedText(text, (value) => ask("text", { text: value }));
  const typingOther = typedText(other, (value) => ask("other", { text: value }));
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });
  const note = h("p", { class: "cx-note", role: "status" });

  const canvas = h("canvas", {});
  const marks = h("div", {});
  const numbers = h("div", {});
  const pictures = h("div", { class: "cx-heads-pictures" }, canvas, marks);
  const heads = h(
    "div",
    { class: "cx-heads", role: "slider", tabindex: "0", "aria-label": "Opened head", "aria-valuemin": "1", "aria-describedby": about.id },
    numbers,
    pictures,
  );
  const change = h("button", { type: "button", class: "cx-button", onclick: () => switchHead() });
  const restore = h("button", { type: "button", class: "cx-button", onclick: () => restoreAll() }, "All heads on");
  const off = h("p", { class: "cx-note", role: "status" });

  const title = h("p", { class: "cx-title" });
  const from = h("ol", { class: "cx-from-all", "aria-label": "Tokens that look: choose one to follow it" });
  const to = h("ol", { class: "cx-to-all", "aria-label": "How much the followed token looks at each" });
  const lines = svg("svg", { class: "cx-lines", "aria-hidden": "true", preserveAspectRatio: "none" });
  const matrix = h("canvas", { "aria-hidden": "true" });
  const names = h("div", { class: "cx-names", "aria-hidden": "true" });
  const row = h("div", { class: "cx-followed-row" });
  const asLines = h("div", { class: "cx-as-lines" }, lines, to);
  const asMatrix = h("div", { class: "cx-as-matrix" }, names, h("div", { class: "cx-heads-pictures" }, matrix, row));
  const legend = h(
    "p",
    { class: "cx-note" },
    h("span", { class: "cx-swatch cx-query" }),
    "looks, with its query ",
    h("span", { class: "cx-swatch cx-key" }),
    "is looked at, by its key",
  );
  const large = h("div", { class: "cx-large" }, from, asLines, asMatrix);
  const sentence = h("p", { class: "cx-trace", role: "status" });

  const cells = Array.from({ length: SHOWN_NEXT }, () => Array.from({ length: 4 }, () => h("td", {})));
  const now = h("th", { scope: "col", colspan: "2" });
  const next = h(
    "table",
    { class: "cx-next-tokens" },
    h("caption", {}, "The likeliest next tokens"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", colspan: "2" }, "all heads on"), now)),
    h("tbody", {}, ...cells.map((line) => h("tr", {}, ...line))),
  );
  const effect = h("p", { role: "status" });

  body.append(
    h("div", { class: "cx-bar" }, labelled("Model", name), whichField, labelled("Drawn as", drawn)),
    h("div", { class: "cx-cut" }, h("label", { for: text.id, class: "cx-label" }, "Your text"), text),
    otherField,
    note,
    about,
    heads,
    h("div", { class: "cx-bar cx-cut" }, change, restore, off),
    h(
      "div",
      { class: "cx-row" },
      h("div", { class: "cx-large-side" }, title, legend, large, sentence),
      h("div", { class: "cx-next-side" }, next, effect),
    ),
  );

  // ------------------------------------------------------------------------------------------------ what is asked
  const switchHead = () => {
    const [layer, head] = opened();
    ask("switch", { model: model.get("model"), attention: attention(), layer, head });
  };
  const restoreAll = () => {
    if (restore.getAttribute("aria-disabled") !== "true") ask("restore", { model: model.get("model") });
  };

  canvas.addEventListener("pointerdown", (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    const [nLayers, nHeads] = sheet().shape;
    const at = (length, n) => Math.min(Math.max(Math.floor(length / side), 0), n - 1);
    set("opened", [at(event.clientX - left, nLayers), at(event.clientY - top, nHeads)]);
  });
  heads.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey || event.shiftKey) return;
    const last = [sheet().shape[0] - 1, sheet().shape[1] - 1];
    let [layer, head] = opened();
    if (event.key in MOVES && !event.ctrlKey) {
      const [down, right] = MOVES[event.key];
      layer = Math.min(Math.max(layer + right, 0), last[0]);
      head = Math.min(Math.max(head + down, 0), last[1]);
    } else if (event.key === "Home") [layer, head] = [0, event.ctrlKey ? 0 : head];
    else if (event.key === "End") [layer, head] = [last[0], event.ctrlKey ? last[1] : head];
    else if (event.key === "Enter") {
      event.preventDefault();
      buttons[followed()].focus();
      return;
    } else return;
    event.preventDefault();
    set("opened", [layer, head]);
  });
  for (const part of [heads, from]) {
    part.addEventListener("keydown", (event) => {
      if (event.altKey || event.metaKey || event.ctrlKey) return;
      const key = event.key.toLowerCase();
      if (key === "o") switchHead();
      else if (key === "l") set("drawn_as", model.get("drawn_as") === "lines" ? "matrix" : "lines");
      else return;
      event.preventDefault();
    });
  }

  // ------------------------------------------------------------------------------------------------ what is drawn
  let buttons = [];
  let shares = [];
  let edges = [];
  let shownTokens = "";

  /** New lists and lines, where the tokens are others. */
  function rebuild() {
    const { query_tokens: queries, key_tokens: keys } = sheet();
    const tokens = JSON.stringify([queries, keys]);
    if (tokens === shownTokens) return;
    shownTokens = tokens;
    buttons = queries.map((token, t) =>
      h("button", { type: "button", class: "cx-from", onclick: () => follow(t), onfocus: () => follow(t) }, h("bdi", {}, token)),
    );
    from.replaceChildren(...buttons.map((button) => h("li", {}, button)));
    grid(buttons.map((button) => [button]));
    shares = keys.map(() => h("span", { class: "cx-share" }));
    to.replaceChildren(...keys.map((token, s) => h("li", {}, h("bdi", {}, token), shares[s])));
    names.replaceChildren(...keys.map((token) => h("bdi", {}, token)));
    edges = queries.map((_, t) =>
      keys.map((_, s) =>
        svg("line", { x1: 0, y1: (t + 0.5) * ROW, x2: 100, y2: (s + 0.5) * ROW, "vector-effect": "non-scaling-stroke" }),
      ),
    );
    lines.replaceChildren(...edges.flat());
    const height = Math.max(queries.length, keys.length) * ROW;
    lines.setAttribute("viewBox", `0 0 100 ${height}`);
    lines.style.height = `${height}px`;
    names.style.gridTemplateColumns = `repeat(${keys.length}, 1fr)`;
  }

  const follow = (token) => {
    if (token !== followed()) set("token", token);
  };

  /** All weights as an image: a head's queries downwards and its keys to the right, layers to the right of each other. */
  function painted() {
    const [nLayers, nHeads, nQueries, nKeys] = sheet().shape;
    const [width, height] = [nLayers * nKeys, nHeads * nQueries];
    const image = new ImageData(width, height);
    // The square root shows small weights, too. One number for each point: alpha, blue, green, red.
    const ink = Uint32Array.from({ length: 1001 }, (_, n) => (Math.round(255 * Math.sqrt(n / 1000)) << 24) | INK);
    const points = new Uint32Array(image.data.buffer);
    let at = 0;
    for (let layer = 0; layer < nLayers; layer += 1) {
      for (let y = 0; y < height; y += 1) {
        for (let x = layer * nKeys; x < (layer + 1) * nKeys; x += 1) {
          points[y * width + x] = ink[weights[at]];
          at += 1;
        }
      }
    }
    const painting = new OffscreenCanvas(width, height);
    painting.getContext("2d").putImageData(image, 0, 0);
    return painting;
  }

  function drawSheet() {
    const [nLayers, nHeads, nQueries, nKeys] = sheet().shape;
    const room = heads.clientWidth - MARGIN;
    side = Math.min(Math.max(Math.floor(room / nLayers), SMALLEST_PICTURE), LARGEST_PICTURE);
    const inner = side - GAP;
    const pen = sized(canvas, nLayers * side, nHeads * side);
    pen.imageSmoothingEnabled = inner * (window.devicePixelRatio || 1) < Math.max(nQueries, nKeys);
    pen.imageSmoothingQuality = "high";
    pen.fillStyle = GROUND;
    for (let layer = 0; layer < nLayers; layer += 1) {
      for (let head = 0; head < nHeads; head += 1) {
        const place = [layer * side, head * side, inner, inner];
        pen.fillRect(...place);
        pen.drawImage(small, layer * nKeys, head * nQueries, nKeys, nQueries, ...place);
      }
    }
    const number = (n, style) => {
      const label = h("span", { class: "cx-heads-number" }, n);
      Object.assign(label.style, style);
      return label;
    };
    const all = (n, style) =>
      Array.from({ length: n }, (_, i) => i)
        .filter((i) => side >= LEAST_FOR_EACH_NUMBER || i % 5 === 0)
        .map((i) => number(i, style(i * side + inner / 2)));
    numbers.replaceChildren(
      ...all(nLayers, (at) => ({ left: `${MARGIN + at}px`, top: `${MARGIN / 2}px` })),
      ...all(nHeads, (at) => ({ left: `${MARGIN / 2}px`, top: `${MARGIN + at}px` })),
    );
  }

  function drawMarks() {
    const mark = ([layer, head], kind) => {
      const node = h("div", { class: kind });
      Object.assign(node.style, { left: `${layer * side}px`, top: `${head * side}px`, width: `${side - GAP}px`, height: `${side - GAP}px` });
      return node;
    };
    marks.replaceChildren(...sheet().off.map((place) => mark(place, "cx-heads-off")), mark(opened(), "cx-heads-opened"));
  }

  function drawLarge() {
    const [, , nQueries, nKeys] = sheet().shape;
    const token = followed();
    const all = openedWeights();
    const isMatrix = model.get("drawn_as") === "matrix";
    asLines.hidden = isMatrix;
    asMatrix.hidden = !isMatrix;
    setAttribute(large, "data-drawn", model.get("drawn_as"));
    buttons.forEach((button, t) => {
      setAttribute(button, "aria-current", t === token ? "true" : null);
      button.tabIndex = t === token ? 0 : -1;
    });
    if (isMatrix) drawMatrix(token);
    else {
      shares.forEach((share, s) => {
        const n = all[token * nKeys + s];
        setText(share, percent(n));
        share.style.setProperty("--cx-share", `${n / 10}%`);
      });
      edges.forEach((line, t) =>
        line.forEach((edge, s) => {
          const n = all[t * nKeys + s];
          const share = n / 1000;
          setAttribute(edge, "visibility", n < LEAST_DRAWN ? "hidden" : null);
          setAttribute(edge, "stroke-opacity", t === token ? Math.max(share, 0.35) : 0.45 * Math.sqrt(share));
          setAttribute(edge, "stroke-width", t === token ? 1 + 4 * share : 1.5);
        }),
      );
    }
    return Array.from({ length: nQueries }, (_, t) => all.subarray(t * nKeys, (t + 1) * nKeys));
  }

  function drawMatrix(token) {
    const [, , nQueries, nKeys] = sheet().shape;
    const [layer, head] = opened();
    const room = (large.clientWidth - from.clientWidth - 16) / nKeys;
    const cell = Math.min(Math.max(room, LEAST_CELL), ROW);
    const pen = sized(matrix, cell * nKeys, ROW * nQueries);
    pen.fillStyle = GROUND;
    pen.fillRect(0, 0, cell * nKeys, ROW * nQueries);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, layer * nKeys, head * nQueries, nKeys, nQueries, 0, 0, cell * nKeys, ROW * nQueries);
    names.style.width = `${cell * nKeys}px`;
    Object.assign(row.style, { left: 0, top: `${token * ROW}px`, width: `${cell * nKeys}px`, height: `${ROW}px` });
  }

  function drawWords(rows) {
    const { query_names: queries, key_names: keys } = sheet();
    const [layer, head] = opened();
    const [, nHeads] = sheet().shape;
    const token = followed();
    const where = `Layer ${layer}, head ${head}${isOff([layer, head]) ? ", off" : ""}`;
    setText(title, where);
    setAttribute(heads, "aria-valuemax", sheet().shape[0] * nHeads);
    setAttribute(heads, "aria-valuenow", layer * nHeads + head + 1);
    setAttribute(heads, "aria-valuetext", where);
    const most = Array.from(rows[token].keys())
      .filter((s) => rows[token][s] > 0)
      .sort((a, b) => rows[token][b] - rows[token][a]);
    const more = most.length > SHOWN_OF_TOKEN ? ` and ${most.length - SHOWN_OF_TOKEN} more` : "";
    const first = most.slice(0, SHOWN_OF_TOKEN).map((s) => `${keys[s]} ${percent(rows[token][s])}`);
    setText(sentence, `${where}: from ${queries[token]} to ${first.join(", ")}${more}.`);
    setText(change, `Switch ${layer}.${head} ${isOff([layer, head]) ? "on" : "off"}`);
    const nOff = Object.values(view().sheets).reduce((n, { off: heads }) => n + heads.length, 0);
    setAttribute(restore, "aria-disabled", nOff === 0 ? "true" : null);
    setText(off, view().off_text);

    const { before, after, text: turned, description } = view().effect;
    next.hidden = before.length === 0;
    setText(now, nOff === 0 ? "" : `without ${nOff === 1 ? "one head" : `${nOff} heads`}`);
    for (const part of [now, ...cells.flatMap((line) => line.slice(2))]) part.hidden = nOff === 0;
    cells.forEach((line, i) => [...(before[i] ?? ["", ""]), ...(after[i] ?? ["", ""])].forEach((part, j) => setText(line[j], part)));
    setText(effect, turned);

    const largest = (values) => values.indexOf(Math.max(...values));
    const seen = [...rows[token]].flatMap((n, s) => (n > 0 ? [`${keys[s]} ${percent(n)}`] : []));
    setText(
      box.text,
      [
        sheet().text,
        "",
        `${where}. Each token, and the one that it looks at most:`,
        ...rows.map((values, t) => `${queries[t]} → ${keys[largest(values)]} ${percent(Math.max(...values))}`),
        `All that ${queries[token]} looks at: ${seen.join(", ")}.`,
        "",
        description,
      ].join("\n"),
    );
  }

  function drawChoices() {
    const { names, text: read, other_text: second, about: words } = model.get("state");
    setOptions(name, names.map((key) => [key, key]));
    setOptions(which, view().attentions.map((key) => [key, key]));
    name.value = model.get("model");
    which.value = attention();
    drawn.value = model.get("drawn_as");
    whichField.hidden = which.options.length === 1;
    otherField.hidden = view().second === "";
    setText(otherLabel, view().second);
    typing.show(read);
    typingOther.show(second);
    setText(about, words);
    setText(note, view().note);
  }

  function draw() {
    drawChoices();
    if (unpackedSheet !== sheet()) {
      unpackedSheet = sheet();
      weights = unpacked(unpackedSheet.weights, Uint16Array);
      small = painted();
      rebuild();
      drawSheet();
    }
    drawMarks();
    drawWords(drawLarge());
    box.settle();
  }

  box.watch(draw, "state", "views", "model", "attention", "opened", "token", "drawn_as");
  const watch = onWidth(heads, () => {
    drawSheet();
    draw();
  });
  return () => {
    watch.disconnect();
    typing.cancel();
    typingOther.cancel();
    box.close();
  };
}

export default { render };
