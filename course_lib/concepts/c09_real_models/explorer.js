// The flow explorer's page: draws a whole model from the numbers of one pass, opens blocks and parts, and asks Python
// for another text, a block that is not yet there, other settings and one more token.

const FLOW = { head: 22, cell: 4, squares: 5, top: 4, rows: 260, least: 24, most: 38 }; // CSS pixels: symbols, squares, rows of tokens
const LEAST_WEIGHT = { followed: 0.005, other: 0.08 }; // of a ribbon
const SLIDING_MS = 60;
const STAGE_NAMES = { products: "q · k", scores: "scores", weights: "softmax" };
const ZOOM_NAMES = { model: "Whole model", block: "One layer" };
// What is drawn of an open block, left to right: numbers, symbol, colour, heads, part, how much wider than others.
const COLUMNS = [
  ["stream", "x", "stream", "", "stream"],
  ["turned_q", "q", "query", "q", "qkv"],
  ["turned_k", "k", "key", "kv", "qkv"],
  ["v", "v", "value", "kv", "qkv"],
  ["mix", "mix", "value", "q", "mix"],
  ["attention", "out", "attention", "", "attention"],
  ["middle", "+", "stream", "", "middle"],
  ["hidden", "MLP", "mlp", "", "mlp", 1.7],
  ["feed_forward", "down", "mlp", "", "mlp"],
  ["output", "+", "stream", "", "output"],
];

function render({ model, el }) {
  const box = frame({ model, el, title: "Flow", textLabel: "The flow as text" });
  const { body, ask, askAfter, set } = box;

  const view = () => model.get("view");
  const block = () => model.get("blocks")[String(model.get("layer"))];
  const end = () => model.get("state").end;
  const last = () => view().names.length - 1;
  const token = () => Math.min(model.get("token"), last());
  const key = () => Math.min(model.get("key"), last());
  const head = () => Math.min(model.get("head"), view().n_heads - 1);
  const part = () => view().parts.find(({ id }) => id === model.get("part")) ?? view().parts[0];
  const number = (value) => {
    const text = value.toFixed(3);
    return (text === "-0.000" ? "0.000" : text).replace("-", "−");
  };

  // Unpacked once for each text and block.
  const kept = new Map();
  const floats = (text) => {
    if (!kept.has(text)) kept.set(text, unpacked(text, Float32Array));
    return kept.get(text);
  };
  const numbersOf = (name) => floats(view().numbers[name] ?? block().numbers[name]);
  /** Length and first coordinates of one token's vector; of a head's where there are heads. */
  function row(name, heads, t) {
    const numbers = numbersOf(name);
    const own = { "": 0, q: head(), kv: Math.floor(head() / view().group) }[heads];
    const width = numbers.length / (view().names.length * { "": 1, q: view().n_heads, kv: view().n_heads / view().group }[heads]);
    const at = (own * view().names.length + t) * width;
    return [numbers[at], [...numbers.subarray(at + 1, at + 1 + view().shown)]];
  }
  const cellOf = (stage, t, s) => floats(block()[stage])[(head() * view().names.length + t) * view().names.length + s];
  const isMasked = (t, s) => view().causal && s > t;

  // ------------------------------------------------------------------------------------------------ the parts
  const button = (words, press) => h("button", { type: "button", class: "cx-button", onclick: press }, words);
  const select = (name, choose) => h("select", { id: uniqueId(name), class: "cx-select", onchange: (event) => choose(event.target.value) });
  const text = h("textarea", { id: uniqueId("text"), class: "cx-prompt", rows: 2, spellcheck: "false", dir: "auto" });
  const typing = typedText(text, (value) => ask("text", { text: value }));
  const examples = select("examples", (value) => {
    if (value !== "") ask("text", { text: model.get("state").examples[Number(value)] });
  });
  const examplesField = labelled("Examples", examples);
  const note = h("p", { class: "cx-note", role: "status" });
  const about = h("p", { class: "cx-about" });

  const answers = h("span", { class: "cx-bar" });
  const revealed = h("p", { role: "status" });
  const question = h("fieldset", { class: "cx-flow-question" }, h("legend", {}, "First a guess: which of these holds most of this model’s parameters?"), answers, revealed);

  const zooms = Object.entries(ZOOM_NAMES).map(([zoom, words]) => {
    const node = button(words, () => set("zoom", zoom));
    node.classList.add("cx-step");
    return { zoom, node };
  });
  const slide = h("input", { id: uniqueId("block"), class: "cx-slider", type: "range", min: 0, oninput: () => openBlock(Number(slide.value)) });
  const slideNow = h("span", { class: "cx-tick-now" });
  const heads = select("head", (value) => set("head", Number(value)));
  const parts = h("ol", { class: "cx-flow-parts", "aria-label": "Parts of the model, in the order of the flow: choose the one to open" });
  const tokens = h("ol", { class: "cx-flow-tokens", "aria-label": "Tokens: choose the one to follow" });
  const picture = svg("svg", { class: "cx-flow-picture", "aria-hidden": "true" });
  const stage = h("div", { class: "cx-flow-stage" }, picture);
  const next = h("ol", { class: "cx-flow-next", "aria-label": "What comes out" });
  const nextRows = Array.from({ length: 10 }, () => {
    const cells = { piece: h("bdi", {}), share: h("span", { class: "cx-probability" }) };
    const line = h("li", {}, cells.piece, cells.share);
    next.append(line);
    return { ...cells, line };
  });
  const nextTitle = h("p", { class: "cx-flow-title" });
  const flow = h("div", { class: "cx-flow" }, tokens, stage, h("div", {}, nextTitle, next));
  const hint = h("p", { class: "cx-flow-hint", "aria-hidden": "true" });
  const where = h("p", { class: "cx-trace cx-lines-kept", role: "status" });
  const legend = h(
    "p",
    { class: "cx-note", "aria-hidden": "true" },
    ...[
      ["stream", "stream"],
      ["query", "queries"],
      ["key", "keys"],
      ["value", "values"],
      ["attention", "attention"],
      ["mlp", "MLP"],
    ].flatMap(([kind, words]) => [h("span", { class: `cx-swatch cx-of-${kind}` }), `${words} `]),
    "· Bars in a closed layer: the length of what attention and MLP add, as a share of the stream’s.",
  );

  const write = button("Write one more: draw it", () => askForToken("write", { likeliest: false }));
  write.classList.add("cx-primary");
  const writeLikeliest = button("Take the likeliest", () => askForToken("write", { likeliest: true }));
  const back = button("Take one back", () => ask("back"));
  const drawn = h("span", { role: "status" });
  const actions = h("div", { class: "cx-bar cx-actions" }, write, writeLikeliest, back, drawn);

  const title = h("h4", { class: "cx-flow-part-title" });
  const words = h("p", {});
  const formula = h("p", { class: "cx-flow-formula" });
  const shapes = h("p", { class: "cx-note" });
  const said = h("p", { class: "cx-trace", role: "status" });
  const rows = h("tbody", {});
  const numbers = h("table", { class: "cx-sums" }, h("caption", {}), h("thead", {}, h("tr", {})), rows);
  const stages = Object.entries(STAGE_NAMES).map(([name, label]) => {
    const node = button(label, () => set("stage", name));
    node.classList.add("cx-step");
    return { name, node };
  });
  const heading = h("tr", {});
  const lines = h("tbody", {});
  const matrix = h("table", { class: "cx-flow-matrix", role: "grid", "aria-label": "Attention: rows look, columns are looked at" }, h("thead", {}, heading), lines);
  const trace = h("p", { class: "cx-trace", role: "status" });
  const looks = h("p", {});
  const weights = h("div", {}, h("div", { class: "cx-steps", role: "group", "aria-label": "Stage of the matrix" }, ...stages.map(({ node }) => node)), h("div", { class: "cx-flow-scroll" }, matrix), trace, looks);

  const sliders = {
    temperature: slider("Temperature", { min: 0, max: 2, step: 0.1 }, (x) => (x === 0 ? "0: always the likeliest" : x.toFixed(1))),
    top_k: slider("Top-k", { min: 0, max: 50, step: 1 }, (x) => (x === 0 ? "off: all tokens" : `the ${x} likeliest`)),
    top_p: slider("Top-p", { min: 0.05, max: 1, step: 0.05 }, (x) => (x === 1 ? "off: all tokens" : x.toFixed(2))),
  };
  const settings = debounce(() => ask("settings", Object.fromEntries(Object.entries(sliders).map(([name, { input }]) => [name, Number(input.value)]))), SLIDING_MS);
  function slider(label, range, say) {
    const input = h("input", { id: uniqueId("slider"), type: "range", class: "cx-slider", ...range });
    const output = h("span", { class: "cx-output" });
    const show = () => {
      setText(output, say(Number(input.value)));
      setAttribute(input, "aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => {
      show();
      settings.later();
    });
    return { input, show, node: h("div", { class: "cx-setting" }, h("label", { for: input.id }, label), input, output) };
  }
  const sampleHeads = ["next token", "logit", "÷ temperature", "softmax", "top-k", "top-p", "probability"];
  const sampleRows = Array.from({ length: 11 }, () => h("tr", {}, h("th", { scope: "row" }), ...Array.from({ length: 6 }, () => h("td", {}))));
  const samples = h(
    "div",
    {},
    h("div", { class: "cx-settings", role: "group", "aria-label": "Settings" }, ...Object.values(sliders).map(({ node }) => node)),
    h(
      "div",
      { class: "cx-flow-scroll" },
      h(
        "table",
        { class: "cx-sums" },
        h("caption", {}, "From score to draw"),
        h("thead", {}, h("tr", {}, ...sampleHeads.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, ...sampleRows),
      ),
    ),
  );
  const endWords = h("p", { class: "cx-note" });

  body.append(
    h("div", { class: "cx-bar" }, examplesField),
    h("div", { class: "cx-cut" }, h("label", { for: text.id, class: "cx-label" }, "Your text"), text),
    note,
    question,
    h(
      "div",
      { class: "cx-bar cx-actions" },
      h("div", { class: "cx-steps", role: "group", "aria-label": "Zoom" }, ...zooms.map(({ node }) => node)),
      h("span", { class: "cx-flow-slide" }, h("label", { for: slide.id }, "Layer"), slide, slideNow),
      labelled("Head", heads),
    ),
    parts,
    flow,
    hint,
    where,
    legend,
    actions,
    h("div", { class: "cx-flow-part", role: "region", "aria-label": "The chosen part" }, title, words, formula, shapes, said, numbers, weights, samples, endWords),
    about,
  );

  // ------------------------------------------------------------------------------------------------ what is asked
  let wanted = 0;
  // A handle that is pulled passes over blocks that nobody wants to see.
  const opening = debounce(() => askAfter("open", { layer: wanted }), SLIDING_MS);
  function openBlock(layer, isZoomed = false) {
    if (isZoomed) set("zoom", "block");
    opening.cancel();
    if (layer === model.get("layer")) return;
    wanted = layer;
    if (String(layer) in model.get("blocks")) set("layer", layer);
    else opening.later();
  }
  /** Another token, after the text that was typed last. */
  async function askForToken(kind, fields = {}) {
    if (text.value !== text.dataset.value) {
      typing.cancel();
      const { error } = await ask("text", { text: text.value });
      if (error) return;
    }
    ask(kind, fields);
  }
  function follow(t, s = null) {
    if (t !== token()) model.set("token", t);
    if (s !== null && s !== key()) model.set("key", s);
    model.save_changes();
  }
  const choose = (id) => {
    if (view().parts.find((each) => each.id === id).zone === "block") model.set("zoom", "block");
    set("part", id);
  };

  // ------------------------------------------------------------------------------------------------ the picture
  let buttons = [];
  let partButtons = [];
  let cells = [];
  let layout = null;
  let drawnFor = null;
  let wide = 0; // of the picture's place in the page

  const squares = () => Math.min(view().shown, FLOW.squares);

  /** Where everything stands: blocks [left, right], columns of the open one, the strips outside. */
  function layOut(width) {
    const { n_layers: nLayers } = view();
    const strip = squares() * FLOW.cell;
    const [from, to] = [strip + 20, width - (view().is_decoder ? strip + 22 : 16)];
    const open = model.get("zoom") === "block" ? model.get("layer") : -1;
    const all = to - from;
    const closed = open < 0 ? all / nLayers : Math.min(18, (0.22 * all) / Math.max(nLayers - 1, 1));
    const opened = all - closed * (nLayers - 1);
    const blocks = [];
    let x = from;
    for (let l = 0; l < nLayers; l += 1) {
      const wide = l === open ? opened : closed;
      blocks.push([x, x + wide]);
      x += wide;
    }
    const columns = [];
    if (open >= 0) {
      const ribbons = Math.max(0.17 * opened, 40);
      const strips = COLUMNS.reduce((sum, [, , , , , wider = 1]) => sum + wider * strip, 0);
      const gap = (opened - 16 - strips - ribbons) / (COLUMNS.length - 1);
      let at = blocks[open][0] + 8;
      for (const [name, symbol, kind, ofHeads, id, wider = 1] of COLUMNS) {
        if (name === "mix") at += ribbons;
        columns.push({ name, symbol, kind, heads: ofHeads, id, left: at, right: at + wider * strip });
        at += wider * strip + gap;
      }
    }
    const outside = [{ name: "entered", symbol: "x", kind: "token", heads: "", id: "embedding", left: 8, right: 8 + strip }];
    if (view().is_decoder) outside.push({ name: "norm", symbol: "norm", kind: "stream", heads: "", id: "norm", left: width - strip - 8, right: width - 8 });
    const tall = Math.min(Math.max(Math.floor(FLOW.rows / view().names.length), FLOW.least), FLOW.most);
    return { width, height: FLOW.head + view().names.length * tall + 4, blocks, columns, outside, open, tall, high: tall - 14, rail: tall - 5 };
  }
  const top = (t) => FLOW.head + t * layout.tall;

  const band = svg("rect", { class: "cx-flow-band" });
  const pulse = svg("path", { class: "cx-flow-pulse" });
  let strips = []; // { column, t, cells }
  let ribbons = []; // { t, s, path }
  let frames = [];
  let rails = [];
  let branches = [];

  /** Lines, strips and ribbons anew, for another text, block, zoom or width. */
  function rebuildPicture(width) {
    const n = view().names.length;
    layout = layOut(Math.max(width, 400));
    const { height, blocks, columns, outside, open } = layout;
    flow.style.setProperty("--cx-row", `${layout.tall}px`);
    setAttribute(picture, "width", layout.width);
    setAttribute(picture, "height", height);
    frames = blocks.map(([left, right], l) =>
      svg("rect", { class: l === open ? "cx-flow-open" : "cx-flow-closed", x: left + 1, y: FLOW.head - 4, width: Math.max(right - left - 2, 1), height: height - FLOW.head + 2, rx: 3 }),
    );
    const shares = floats(view().shares);
    const bars = blocks.flatMap(([left, right], l) =>
      l === open
        ? []
        : ["attention", "mlp"].map((kind, i) => {
            const wide = Math.min((right - left) * 0.36, 14);
            const x = (left + right) / 2 + (i - 1) * wide;
            const paths = Array.from({ length: n }, (_, t) => {
              const tall = Math.max(Math.min(shares[(2 * l + i) * n + t], 1.2) * (layout.rail - 6) / 1.2, 0.5).toFixed(1);
              return `M${x.toFixed(1)} ${top(t) + layout.rail - 2}v-${tall}h${(wide * 0.9).toFixed(1)}v${tall}z`;
            });
            return svg("path", { class: `cx-of-${kind}`, d: paths.join("") });
          }),
    );
    rails = Array.from({ length: n }, (_, t) => svg("line", { x1: 4, x2: layout.width - 4, y1: top(t) + layout.rail, y2: top(t) + layout.rail }));
    const at = (name) => columns.find((column) => column.name === name);
    const middle = FLOW.top + layout.high / 2;
    const branch = (t, from, to, kind) => {
      const [y, rail] = [top(t) + middle, top(t) + layout.rail];
      return svg("path", { "data-kind": kind, d: `M${from.right} ${rail}L${from.right + 5} ${y}H${to.left - 5}L${to.left} ${rail}` });
    };
    branches = open < 0 ? [] : Array.from({ length: n }, (_, t) => [branch(t, at("stream"), at("middle"), "attention"), branch(t, at("middle"), at("output"), "mlp")]);
    ribbons = [];
    if (open >= 0) {
      const [from, to] = [at("v").right + 1, at("mix").left - 1];
      const bend = (to - from) / 2;
      for (let t = 0; t < n; t += 1) {
        for (let s = 0; s < n; s += 1) {
          if (isMasked(t, s)) continue;
          const [y0, y1] = [top(s) + middle, top(t) + middle];
          ribbons.push({ t, s, path: svg("path", { d: `M${from} ${y0}C${from + bend} ${y0} ${to - bend} ${y1} ${to} ${y1}` }) });
        }
      }
    }
    const cell = (column) => (column.right - column.left) / squares();
    strips = [...outside, ...columns].flatMap((column) =>
      Array.from({ length: n }, (_, t) => {
        const bars = Array.from({ length: squares() }, (__, i) => svg("rect", { x: column.left + i * cell(column) + 0.25, width: cell(column) - 0.5 }));
        const node = svg("g", { class: `cx-flow-strip cx-of-${column.kind}` }, svg("rect", { class: "cx-flow-paper", x: column.left, y: top(t) + FLOW.top, width: column.right - column.left, height: layout.high }), ...bars);
        return { column, t, bars, node };
      }),
    );
    const symbols = [...outside, ...columns].map(({ symbol, left, right }) => svg("text", { x: (left + right) / 2, y: 13, "text-anchor": "middle" }, symbol));
    if (open >= 0) symbols.push(svg("text", { x: (at("v").right + at("mix").left) / 2, y: 13, "text-anchor": "middle" }, "weights"));
    else {
      const step = Math.ceil(26 / (blocks[0][1] - blocks[0][0]));
      blocks.forEach(([left, right], l) => l % step === 0 && symbols.push(svg("text", { x: (left + right) / 2, y: 13, "text-anchor": "middle" }, l)));
    }
    picture.replaceChildren(
      ...frames,
      band,
      ...rails,
      ...branches.flat(),
      ...ribbons.map(({ path }) => path),
      ...bars,
      ...strips.map(({ node }) => node),
      ...symbols,
      pulse,
    );
  }

  /** What changes with head, token and part: attributes only. */
  function drawPicture() {
    const t = token();
    for (const { column, t: at, bars, node } of strips) {
      const [, values] = row(column.name, column.heads, at);
      // By its own largest: some models have a first token that would flatten all others.
      const most = Math.max(1e-9, ...values.slice(0, squares()).map(Math.abs));
      const zero = top(at) + FLOW.top + layout.high / 2;
      bars.forEach((bar, i) => {
        const tall = (Math.abs(values[i]) / most) * (layout.high / 2);
        setAttribute(bar, "y", (values[i] < 0 ? zero : zero - tall).toFixed(1));
        setAttribute(bar, "height", tall.toFixed(1));
      });
      setAttribute(node, "data-followed", at === t ? "" : null);
    }
    rails.forEach((rail, at) => setAttribute(rail, "class", at === t ? "cx-flow-rail cx-flow-followed" : "cx-flow-rail"));
    branches.forEach((pair, at) => pair.forEach((path) => setAttribute(path, "class", `cx-flow-branch${at === t ? " cx-flow-followed" : ""}`)));
    for (const { t: at, s, path } of ribbons) {
      const weight = cellOf("weights", at, s);
      const isSeen = weight >= LEAST_WEIGHT[at === t ? "followed" : "other"];
      setAttribute(path, "class", at === t ? "cx-flow-ribbon cx-flow-followed" : "cx-flow-ribbon");
      setAttribute(path, "stroke-width", isSeen ? (0.4 + 7 * weight).toFixed(2) : 0);
    }
    const found = [...layout.columns, ...layout.outside].filter(({ id }) => id === part().id);
    let [left, right] = found.length ? [Math.min(...found.map((column) => column.left)), Math.max(...found.map((column) => column.right))] : [0, 0];
    const at = (name) => layout.columns.find((column) => column.name === name);
    if (layout.open >= 0 && part().id === "weights") [left, right] = [at("v").right + 8, at("mix").left - 8];
    if (layout.open >= 0 && part().id === "rotation") [left, right] = [at("turned_q").left, at("turned_k").right];
    setAttribute(band, "x", left - 3);
    setAttribute(band, "y", 1);
    setAttribute(band, "width", right > left ? right - left + 6 : 0);
    setAttribute(band, "height", layout.height - 2);
    const rail = top(t) + layout.rail;
    const own = ribbons.filter((ribbon) => ribbon.t === t && cellOf("weights", t, ribbon.s) >= LEAST_WEIGHT.followed).map(({ path }) => path.getAttribute("d"));
    frames.forEach((each, l) => setAttribute(each, "data-current", l === model.get("layer") ? "" : null));
    setAttribute(pulse, "d", [`M4 ${rail}H${layout.width - 4}`, ...(branches[t] ?? []).map((path) => path.getAttribute("d")), ...own].join(""));
  }

  /** One wave of light along the followed row, where the reader likes motion. */
  function move() {
    picture.removeAttribute("data-moving");
    picture.getBoundingClientRect();
    picture.setAttribute("data-moving", "");
  }
  pulse.addEventListener("animationend", () => picture.removeAttribute("data-moving"));

  /** The token and the part or block at a point of the picture. */
  function under(event) {
    const { left, top: above } = picture.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - above];
    const t = Math.min(Math.max(Math.floor((y - FLOW.head) / layout.tall), 0), last());
    const l = layout.blocks.findIndex(([from, to]) => x >= from && x < to);
    if (l >= 0 && l !== layout.open) return { t, l };
    const all = [...layout.outside, ...layout.columns];
    const hit = all.find((column) => x >= column.left - 4 && x <= column.right + 4);
    if (hit) return { t, id: hit.id };
    const at = (name) => layout.columns.find((column) => column.name === name);
    if (l >= 0 && x > at("v").right && x < at("mix").left) return { t, id: "weights" };
    return { t };
  }
  picture.addEventListener("click", (event) => {
    const { t, l, id } = under(event);
    if (l !== undefined) openBlock(l, true);
    else if (id) choose(id);
    follow(t);
  });
  picture.addEventListener("pointermove", (event) => {
    const { l, id } = under(event);
    const found = view().parts.find((each) => each.id === id);
    setText(hint, l !== undefined ? `Layer ${l}: click to open it.` : found ? `${found.title}: ${found.words}` : "");
  });
  picture.addEventListener("pointerleave", () => setText(hint, ""));

  // ------------------------------------------------------------------------------------------------ lists and tables
  function rebuildLists() {
    const { tokens: pieces, ids, parts: all, n_heads: nHeads, n_layers: nLayers, parameters } = view();
    const firstWritten = pieces.length - model.get("state").n_written;
    buttons = pieces.map((piece, t) =>
      h(
        "button",
        { type: "button", class: "cx-flow-token", onclick: () => follow(t), onfocus: () => follow(t), "data-written": t >= firstWritten ? "" : null },
        h("bdi", {}, piece),
        h("small", {}, ids[t]),
      ),
    );
    tokens.replaceChildren(...buttons.map((each) => h("li", {}, each)));
    grid(buttons.map((each) => [each]));
    partButtons = all.map(({ id, title: name, words: why }) => h("button", { type: "button", class: "cx-step", title: why, onclick: () => choose(id) }, name));
    parts.replaceChildren(...partButtons.map((each, i) => h("li", { "data-zone": all[i].zone }, each)));
    grid([partButtons]);
    setOptions(heads, Array.from({ length: nHeads }, (_, i) => [i, i]));
    slide.max = nLayers - 1;
    const name = uniqueId("guess");
    answers.replaceChildren(
      ...parameters.map(([kind]) => {
        const input = h("input", { type: "radio", id: uniqueId("answer"), name, value: kind, onchange: () => set("guess", kind) });
        return h("span", { class: "cx-field" }, input, h("label", { for: input.id }, kind));
      }),
    );
    cells = [];
  }

  function rebuildMatrix() {
    const { names } = view();
    heading.replaceChildren(h("td", { role: "presentation" }), ...names.map((name, s) => h("th", { scope: "col", role: "columnheader", "aria-label": name, title: name }, h("bdi", {}, view().tokens[s].slice(0, 3)))));
    cells = names.map((query, t) =>
      names.map((_, s) => {
        const cell = h("td", { role: "gridcell" });
        for (const type of ["focus", "mouseenter"]) cell.addEventListener(type, () => follow(t, s));
        return cell;
      }),
    );
    lines.replaceChildren(...cells.map((line, t) => h("tr", {}, h("th", { scope: "row", role: "rowheader" }, h("bdi", {}, names[t])), ...line)));
    grid(cells);
  }

  function drawMatrix() {
    if (!cells.length) rebuildMatrix();
    const name = model.get("stage");
    let most = 1e-9;
    cells.forEach((line, t) => line.forEach((_, s) => (isMasked(t, s) && name !== "products" ? null : (most = Math.max(most, Math.abs(cellOf(name, t, s)))))));
    cells.forEach((line, t) =>
      line.forEach((cell, s) => {
        const masked = isMasked(t, s) && name !== "products";
        const value = cellOf(name, t, s);
        setAttribute(cell, "data-masked", masked ? "" : null);
        setAttribute(cell, "data-below", !masked && value < 0 ? "" : null);
        setAttribute(cell, "data-mark", t === token() && s === key() ? "result" : t === token() ? "row" : null);
        cell.style.setProperty("--cx-share", `${(100 * Math.sqrt(Math.abs(value) / most)).toFixed(0)}%`);
        setAttribute(cell, "aria-label", `${view().names[t]} → ${view().names[s]}: ${masked ? "masked" : number(value)}`);
        cell.tabIndex = t === token() && s === key() ? 0 : -1;
      }),
    );
    stages.forEach(({ name: each, node }) => {
      setAttribute(node, "aria-current", each === name ? "true" : null);
      if (each === "scores") setText(node, view().causal ? "scores, masked" : "scores");
    });
  }

  function cellText() {
    const [t, s] = [token(), key()];
    const { names } = view();
    const [product, score, weight] = ["products", "scores", "weights"].map((name) => number(cellOf(name, t, s)));
    if (isMasked(t, s)) return `${names[t]} → ${names[s]}: q · k = ${product}; masked, because it comes later: weight 0.`;
    return `${names[t]} → ${names[s]}: q · k = ${product}; score ${score}; after softmax ${weight} of the row.`;
  }

  function drawPart() {
    const now = part();
    const t = token();
    const name = view().names[t];
    setText(title, now.title);
    setText(words, now.words);
    setText(formula, now.formula);
    setText(shapes, `Sizes here: ${now.shapes}.`);
    const sentence = { ...view().said, ...block().part_said }[now.id]?.[t] ?? "";
    setText(said, sentence);
    said.hidden = sentence === "";
    const found = now.rows.map(([label, numbersName, ofHeads]) => [label, ...row(numbersName, ofHeads, t)]);
    const ofHead = now.rows.some(([, , ofHeads]) => ofHeads !== "") ? `, head ${head()}` : "";
    numbers.hidden = found.length === 0;
    setText(numbers.caption, `The first ${view().shown} numbers of ${name}${ofHead}`);
    const columns = ["", ...Array.from({ length: view().shown }, (_, i) => i), "length"];
    const heads = numbers.tHead.rows[0];
    if (heads.children.length !== columns.length) heads.replaceChildren(...columns.map((column) => (column === "" ? h("td", {}) : h("th", { scope: "col" }, column))));
    rows.replaceChildren(...found.map(([label, length, values]) => h("tr", {}, h("th", { scope: "row" }, label), ...values.map((value) => h("td", {}, number(value))), h("td", {}, number(length)))));
    weights.hidden = now.id !== "weights";
    if (!weights.hidden) {
      drawMatrix();
      setText(trace, cellText());
      setText(looks, block().looks[head()][t]);
    }
    samples.hidden = now.id !== "probabilities";
    endWords.hidden = now.id !== "sentence";
    setText(endWords, view().is_decoder ? "" : end().text);
    const described = found.map(([label, length, values]) => `${label}: ${values.map(number).join(", ")}, ...; length ${number(length)}`);
    return [
      `${now.title}. ${now.words}`,
      now.formula,
      now.shapes,
      ...(sentence ? [sentence] : []),
      ...described,
      ...(now.id === "weights" ? [block().looks[head()][t], cellText()] : []),
    ];
  }

  function drawEnd() {
    const { rows: found, rest, settings: chosen } = end();
    setText(nextTitle, view().is_decoder ? "next token" : "sentence vector");
    const [, vector] = view().is_decoder ? [0, []] : row("sentence", "", 0);
    nextRows.forEach(({ piece, share, line }, i) => {
      const [name, value] = found.length ? [found[i]?.[0], found[i]?.[6]] : [i < vector.length ? `e[${i}]` : undefined, i < vector.length ? number(vector[i]) : ""];
      line.hidden = name === undefined;
      setText(piece, name ?? "");
      setText(share, value ?? "");
      line.style.setProperty("--cx-share", found.length ? (value ?? "0").replace(" ", "") : "0%");
    });
    actions.hidden = !view().is_decoder;
    [...found, rest].forEach((cellsOf, i) => cellsOf.forEach((value, column) => setText(sampleRows[i].children[column], value)));
    sampleRows.forEach((line, i) => (line.hidden = i >= found.length + (rest.length ? 1 : 0)));
    if (!found.length) return;
    found.forEach((cellsOf, i) => setAttribute(sampleRows[i], "data-out", cellsOf[5] === "out" ? "" : null));
    for (const [name, { input, show }] of Object.entries(sliders)) {
      if (name === "top_k") setAttribute(input, "max", Math.max(50, chosen.top_k));
      if (document.activeElement !== input) input.value = chosen[name];
      show();
    }
  }

  /** What the guess was, beside what is so; "" where there was none. */
  function drawGuess() {
    question.hidden = !model.get("asks");
    const counts = view().parameters;
    const guess = !question.hidden && counts.some(([kind]) => kind === model.get("guess")) ? model.get("guess") : "";
    answers.querySelectorAll("input").forEach((input) => (input.checked = input.value === guess));
    if (guess === "") {
      setText(revealed, "");
      return [];
    }
    const total = counts.reduce((sum, [, n]) => sum + n, 0);
    const most = counts.reduce((best, pair) => (pair[1] > best[1] ? pair : best))[0];
    const listed = counts.map(([kind, n]) => `${kind} ${n.toLocaleString("en-US")} (${((100 * n) / total).toFixed(1)} %)`).join(", ");
    setText(revealed, `You said ${guess}; most parameters are in: ${most}. Of ${total.toLocaleString("en-US")}: ${listed}.`);
    return [revealed.textContent];
  }

  function draw() {
    // A block may come after the wish to see it.
    if (!view().names || !block()) return;
    const state = model.get("state");
    typing.show(state.text);
    setOptions(examples, [["", "choose one"], ...state.examples.map((example, i) => [i, example.length > 60 ? `${example.slice(0, 57)}...` : example])]);
    examples.value = String(state.examples.indexOf(state.text));
    if (examples.selectedIndex < 0) examples.value = "";
    examplesField.hidden = state.examples.length < 2;
    setText(about, state.about);
    setText(note, view().note);
    setText(drawn, state.note);
    setAttribute(back, "aria-disabled", state.n_written === 0 ? "true" : null);
    const isNew = drawnFor?.view !== view();
    if (isNew) {
      kept.clear();
      rebuildLists();
    }
    const now = { view: view(), block: block(), zoom: model.get("zoom"), width: wide };
    const isOther = isNew || Object.keys(now).some((each) => drawnFor[each] !== now[each]);
    if (isOther) rebuildPicture(now.width);
    const followed = `${model.get("layer")},${head()},${token()}`;
    const isMoved = isOther || drawnFor.followed !== followed;
    drawnFor = { ...now, followed };
    drawPicture();
    if (isMoved) move();
    buttons.forEach((each, t) => {
      setAttribute(each, "aria-current", t === token() ? "true" : null);
      each.tabIndex = t === token() ? 0 : -1;
    });
    partButtons.forEach((each, i) => {
      const isOpen = view().parts[i] === part();
      setAttribute(each, "aria-current", isOpen ? "true" : null);
      each.tabIndex = isOpen ? 0 : -1;
    });
    zooms.forEach(({ zoom, node }) => setAttribute(node, "aria-current", zoom === model.get("zoom") ? "true" : null));
    if (document.activeElement !== slide) slide.value = model.get("layer");
    setText(slideNow, `${model.get("layer")} of ${view().n_layers}`);
    setAttribute(slide, "aria-valuetext", `Layer ${model.get("layer")}`);
    heads.value = head();
    drawEnd();
    const guessed = drawGuess();
    const place = [
      `Layer ${model.get("layer")} of ${view().n_layers}, head ${head()}, token ${view().names[token()]}.`,
      block().said[token()],
      ...view().lens.slice(model.get("layer"), model.get("layer") + 1),
    ];
    setText(where, place.join(" "));
    const opened = drawPart();
    setText(
      box.text,
      [
        view().text,
        ...guessed,
        "",
        ...place,
        "",
        ...opened,
        "",
        end().text,
      ].join("\n"),
    );
    box.settle();
  }

  box.watch(draw, "state", "view", "blocks", "layer", "head", "token", "key", "part", "stage", "zoom", "guess", "asks");
  // The width as reported: read later, it may be that of a page which is hidden for a moment.
  const watch = new ResizeObserver(([{ contentRect }]) =>
    requestAnimationFrame(() => {
      if (contentRect.width === 0 || contentRect.width === wide) return;
      wide = contentRect.width;
      draw();
    }),
  );
  watch.observe(stage);
  return () => {
    watch.disconnect();
    typing.cancel();
    settings.cancel();
    opening.cancel();
    box.close();
  };
}

export default { render };
