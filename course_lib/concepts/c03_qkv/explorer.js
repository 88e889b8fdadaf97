// The attention stepper's page: one step of attention at a time, and above it what comes of all of them.

const GOAL = 0.9;
const STEP = 0.5; // what one drag or one press of Shift and an arrow adds
const DRAG_PX = 12;
const LEAST_PX = 28; // what a number of one decimal takes
const PADDING_PX = 12; // of the panel
const MADE = { q: "query", k: "key", v: "value" };
const PURPOSE = { q: "what each token looks for", k: "what each token is found by", v: "what each token hands over" };
const MASK_NAMES = { off: "No mask", causal: "Causal mask", custom: "Own mask" };
const CHANGE = "Numbers in a frame can be changed: type, or drag sideways. The bar above says what comes of it.";
const KEYS = [
  ["1", "to", "6", "steps"],
  ["←", "→", "↑", "↓", "numbers"],
  ["Shift", "↑", "↓", `${STEP} more or less`],
  ["Enter", "keeps"],
  ["Esc", "takes back"],
];

const brief = (name, most = 14) => ([...name].length > most ? `${[...name].slice(0, most - 1).join("")}…` : name);
const isExact = (x) => Math.abs(x - Math.round(1000 * x) / 1000) < 1e-12;
const styled = (sizes) => Object.entries(sizes).map(([name, value]) => `--${name}:${value}px;`).join("");
const inked = (kind) => `--hue:var(--cx-${kind});--ink:var(--${kind}-ink);`;
const undivided = (c, t) => shares(powers(c.scores[t], c.allowed[t]).of);
const columnsOf = (table) => table[0].map((_, j) => String(j + 1));

/** A number to read: at most so many decimals, a true minus; powers of ten where that says too little. */
function written(x, digits = 3) {
  if (!Number.isFinite(x)) return "−∞";
  const [size, decimals] = [Math.abs(x), Math.max(digits, 0)];
  let text = "0"; // also what rounding leaves of a difference of equal numbers
  if (size >= 1e6 || (digits < 0 && size >= 1000)) text = x.toExponential(Math.max(digits - 1, 0)).replace("+", "");
  else if (size >= 0.5 * 10 ** -decimals) text = String(Number(x.toFixed(decimals)));
  else if (size > 1e-12) text = digits < 3 ? "≈0" : x.toExponential(2);
  return text.replaceAll("-", "−");
}

let ruler = null;

/** How many pixels a text takes in the page's letters. */
function widthOf(text, size = 14) {
  ruler ??= h("canvas").getContext("2d");
  ruler.font = `${size}px "Segoe UI", "Helvetica Neue", Arial, sans-serif`;
  return ruler.measureText(text).width;
}

/** How high names along the top stand, slanted where one is wider than its column, and how far they stand out at the end. */
function heading(list, w) {
  const wide = list.map((name) => widthOf(brief(name, 11)));
  const most = Math.max(...wide);
  if (most <= w - 2) return [22, 0];
  return [most * 0.77 + 12, Math.max(0, ...wide.map((own, i) => own * 0.64 + 14 - (list.length - i - 0.5) * w))];
}

// ------------------------------------------------------------------------------------------------ parts of figures
/**
 * A table of numbers that keep their places. data(c): the numbers; at(c): the chosen row and column, where both are given
 * with a ring around their crossing; pick(r, i): what is chosen there; place(c, r, i): [array, row, column] of a number
 * that can be changed, without which they cannot; act(r, i): what a click does; isShare: each number is a bar.
 */
function numbers(p, { kind, label, rows, columns, w, tall, data, pick, at, place, act, isShare = false }) {
  const size = w >= 48 ? 15 : w >= 42 ? 13 : 12;
  let stop = [0, 0]; // where Tab comes in: at what is chosen
  const cells = range(rows).map((r) => range(columns).map((i) => {
    const cell = place ? h("input", { class: "n" }) : h("div", { class: "n", role: "gridcell" });
    const send = (text) => {
      const [array, row, column] = place(p.current(), r, i);
      return p.ask("edit", { array, row, column, text });
    };
    const now = () => place(p.current(), r, i).reduce((part, name) => part[name], p.current().inputs);
    if (place) p.editable(cell, send, now);
    cell.addEventListener("focus", () => (stop = [r, i]));
    p.chooses(cell, pick(r, i));
    if (act) {
      cell.addEventListener("click", () => act(r, i));
      cell.addEventListener("keydown", (event) => {
        if (event.key !== " " && event.key !== "Enter") return;
        event.preventDefault();
        act(r, i);
      });
    }
    return cell;
  }));
  const ring = h("i", { class: "ring" });
  const lines = place ? cells : cells.map((line) => h("div", { role: "row" }, line));
  const role = place ? "group" : "grid";
  const style = `${styled({ w, tall, size })}--columns:${columns};${inked(kind)}`;
  const node = h("div", { class: "numbers", role, "aria-label": label, style, "data-share": isShare }, lines, ring);
  grid(cells);
  const draw = (c) => {
    const values = data(c);
    const all = values.flat().filter(Number.isFinite);
    const digits = [3, 2, 1, 0].find((most) => all.every((x) => widthOf(written(x, most), size) <= w - (place || w > 40 ? 6 : 3))) ?? -1;
    const largest = isShare ? 1 : Math.max(...all.map(Math.abs), 1e-12);
    const [row, column] = at(c);
    stop = [row ?? stop[0], column ?? stop[1]];
    ring.hidden = row === null || column === null;
    ring.style.setProperty("--row", row);
    ring.style.setProperty("--column", column);
    cells.forEach((line, r) => line.forEach((cell, i) => {
      const x = values[r][i];
      cell.tabIndex = r === stop[0] && i === stop[1] ? 0 : -1;
      const told = isShare ? percent(x) : written(x, digits);
      if (place) p.fill(cell, written(x, 17), told);
      else setText(cell, told);
      setAttribute(cell, "aria-label", place ? p.nameOf(c, ...place(c, r, i)) : `${p.placeOf(c, pick(r, i))}: ${told}`);
      setAttribute(cell, "data-lit", (row === null || r === row) && (column === null || i === column) && "");
      setAttribute(cell, "data-off", x === null && "");
      cell.style.setProperty("--part", clamp((x ?? 0) / largest, 0, 1));
    }));
  };
  return { node, draw };
}

/** Names along a side, or along the top; side: which of them can be changed here. */
function labels(p, { list, n, pick, at, kind, side = null, top = null }) {
  const nodes = range(n).map((i) => {
    const label = { "aria-label": `Name of token ${i + 1}`, maxlength: 24 };
    const node = side ? h("input", { class: "name", dir: "auto", ...label }) : h("div", { class: top ? "head" : "name" }, h("span", { dir: "auto" }));
    if (side) p.editable(node, (text) => p.ask("name", { side, row: i, text }));
    p.chooses(node, pick(i));
    return node;
  });
  if (side) grid(nodes.map((node) => [node]));
  const draw = (c) => nodes.forEach((node, i) => {
    const name = list(c)[i];
    if (side) p.fill(node, name, name);
    else setText(node.firstChild, top ? brief(name, 11) : name);
    if (side) node.tabIndex = i === at(c) ? 0 : -1;
    setAttribute(node, "title", name);
    setAttribute(node, "data-lit", i === at(c) && "");
  });
  const slant = { "data-slanted": top > 22 && "", style: inked(kind) + (top ? styled({ high: top }) : "") };
  return { node: h("div", { class: top ? "heads" : "names", ...slant }, nodes), draw };
}

/** A row of shares as one bar that is cut; w: how wide it is; only: the one part that is seen, as a stair. */
function bar(p, { n, w = 0, t = null, only = null, isNamed = false }) {
  const parts = range(n).map((s) => p.chooses(h("span", { "data-only": only === s }, h("span")), t === null ? { s } : { t, s }));
  const node = h("div", { class: "bar", style: `--only:${only}` }, parts);
  const draw = (c, own) => {
    setAttribute(node, "data-lit", (t === null || t === c.t) && "");
    parts.forEach((part, s) => {
      const told = [...(isNamed ? [`${brief(c.keys[s])} ${percent(own[s])}`] : []), percent(own[s]), `${Math.round(100 * own[s])}`];
      const fitting = told.find((text) => widthOf(text, 13) + 12 < own[s] * w) ?? "";
      setText(part.firstChild, only === null ? fitting : only === s ? percent(own[s]) : "");
      part.style.flexGrow = own[s];
      setAttribute(part, "data-end", sum(own.slice(0, s)) + own[s] / 2 > 0.5 && "");
      setAttribute(part, "data-lit", s === c.s && "");
    });
  };
  return { node, draw };
}

/** Behind a figure: the chosen row, and the chosen column. */
function bands(where) {
  const nodes = Object.keys(where).map((name) => h("i", { class: `band ${name}` }));
  return { nodes, draw: (c) => Object.values(where).forEach((at, i) => nodes[i].style.setProperty("--at", at(c))) };
}

/** Two tables that meet: the number in a crossing comes of the row at its left and the column above it. */
function crossing(p, { left, above, result, list, kind, rows, inner, columns, pick, at }) {
  const [width, high] = p.room();
  const name = p.nameWidth();
  const fits = (width - name - 26) / (inner + columns);
  const isTight = fits < LEAST_PX + 3;
  const free = isTight ? (width - name) / columns : fits;
  const [top, out] = heading(list(p.current()), free);
  const w = Math.min(92, free - out / (isTight ? columns : inner + columns));
  const tall = Math.min(40, (high - top - (isTight ? 74 : 22)) / ((isTight ? 3 : inner) + rows));
  const size = { w, tall };
  const heads = labels(p, { list, n: columns, pick, at, kind, top });
  const side = labels(p, { list: (c) => c.queries, n: rows, pick: (t) => ({ t }), at: (c) => c.t, side: "tokens", kind: left.kind });
  const made = numbers(p, { ...result, ...size, rows, columns, pick: (t, i) => ({ t, ...pick(i) }), at: (c) => [c.t, at(c)] });
  if (isTight) {
    // Only the chosen row and column, one below the other.
    const one = { rows: 1, columns: inner, w: Math.min(64, width / inner), tall, pick: () => ({}), at: () => [0, null] };
    const line = (part, more) => numbers(p, { ...part, ...one, ...more });
    const lines = [
      line(left, { data: (c) => [left.data(c)[c.t]], place: left.place && ((c, _, i) => left.place(c, c.t, i)) }),
      line(above, { data: (c) => [above.data(c).map((row) => row[at(c)])], place: above.place && ((c, _, i) => above.place(c, i, at(c))) }),
      line(result, { label: "Products", data: (c) => [left.data(c)[c.t].map((x, i) => x * above.data(c)[i][at(c)])] }),
    ];
    const words = [[em(left.word, left.kind)], ["times ", em(above.word, above.kind)], ["="]];
    const pair = h("div", { class: "pair" }, lines.map((part, i) => [h("p", { class: "small" }, words[i]), part.node]));
    const table = h("div", { class: "crossing tight", style: styled(size) }, h("i"), heads.node, side.node, made.node);
    return { node: h("div", {}, pair, table), draws: [...lines, heads, side, made] };
  }
  const band = bands({ across: (c) => c.t, down: at });
  const first = numbers(p, { ...left, ...size, rows, columns: inner, pick: (t) => ({ t }), at: (c) => [c.t, null] });
  const second = numbers(p, { ...above, ...size, rows: inner, columns, pick: (_, i) => pick(i), at: (c) => [null, at(c)] });
  const title = [above, left].map(({ label, kind: of, told }) => h("p", {}, em(label, of), told && inner * tall > (p.isWide() ? 70 : 100) ? `, ${told}` : ""));
  const parts = [h("i"), h("i"), heads.node, h("div", { class: "corner" }, title), second.node, side.node, first.node, made.node];
  return { node: h("div", { class: "crossing", style: styled(size) }, band.nodes, parts), draws: [band, heads, second, side, first, made] };
}

/** Scores, a row for each query, with what a softmax makes of each row; one block above the other. */
function scored(p, blocks, below = "") {
  const [width, high] = p.room();
  const { T, S, keys } = p.current();
  const name = p.nameWidth();
  const most = (width - name - 6) / S; // without bars
  const free = clamp((width - name - (p.isWide() ? 150 : 110)) / S, Math.min(LEAST_PX + 3, most), 76);
  const [top, out] = heading(keys, free);
  const w = Math.min(free, most - out / S);
  const rest = Math.min(width - name - w * S - 14, 420);
  const tall = Math.min(44, (high - top - 42 * (blocks.length - 1) - (below ? 24 : 0)) / (blocks.length * T));
  const heads = labels(p, { list: (c) => c.keys, n: S, pick: (s) => ({ s }), at: (c) => c.s, kind: "key", top });
  const draws = [heads];
  const lines = blocks.map(({ title, sign, own, ...block }, i) => {
    const side = labels(p, { list: (c) => c.queries, n: T, pick: (t) => ({ t }), at: (c) => c.t, kind: "query" });
    const table = numbers(p, { kind: "attention", rows: T, columns: S, w, tall, pick: (t, s) => ({ t, s }), at: (c) => [c.t, c.s], ...block });
    const bars = range(rest < 90 ? 0 : T).map((t) => bar(p, { n: S, t, w: rest }));
    draws.push(side, table, { draw: (c) => bars.forEach((each, t) => each.draw(c, own(c, t))) });
    const head = h("p", { class: "small" }, bars.length ? title : "");
    const looks = h("div", { class: "bars", style: bars.length ? `width:${rest}px` : "margin:0" }, bars.map((each) => each.node));
    return [h("i"), i ? h("p", { class: "sign" }, sign) : heads.node, head, side.node, table.node, looks];
  });
  return { node: h("div", { class: "scored", style: styled({ w, tall }) }, lines, below ? h("p", { class: "small below" }, below) : null), draws };
}

// ------------------------------------------------------------------------------------------------ the steps
const VIEWS = {
  project: {
    title: "Project",
    how: "Three matrices make a query, a key and a value of each token's vector. They are the same for all tokens.",
    build(p) {
      const { made, T, C, inputs } = p.current();
      const matrix = `w_${made}`;
      const of = { kind: MADE[made], told: `makes the ${MADE[made]}: ${PURPOSE[made]}` };
      return crossing(p, {
        left: { kind: "stream", word: "x", label: "x", told: "the tokens", data: (c) => c.inputs.x, place: (_, r, i) => ["x", r, i] },
        above: { ...of, word: matrix.toUpperCase(), label: matrix.toUpperCase(), data: (c) => c.inputs[matrix], place: (_, r, i) => [matrix, r, i] },
        result: { ...of, label: made, data: (c) => c[made] },
        list: (c) => columnsOf(c[made]), kind: MADE[made],
        rows: T, inner: C, columns: inputs[matrix][0].length, pick: (j) => ({ j }), at: (c) => c.j,
      });
    },
    where: (p) => ["Number ", p.column.node, " of the ", p.maker, " of ", p.asker, ": "],
    say: (p, c) => p.sum(c.inputs.x[c.t], c.inputs[`w_${c.made}`].map((row) => row[c.j]), ["stream", MADE[c.made], MADE[c.made]]),
    table: (c) => [columnsOf(c[c.made]), c[c.made]],
  },
  scores: {
    title: "Scores",
    how: "A score: query times key, number by number, all added up. It is large where both are large in the same places.",
    build(p) {
      const { T, S, K, inputs } = p.current();
      return crossing(p, {
        left: { kind: "query", word: "query", label: "queries", told: PURPOSE.q, data: (c) => c.q, place: inputs.q && ((_, r, i) => ["q", r, i]) },
        above: { kind: "key", word: "key", label: "keys", told: PURPOSE.k, data: (c) => turned(c.k), place: inputs.k && ((_, r, i) => ["k", i, r]) },
        result: { kind: "attention", label: "scores", data: (c) => c.scores },
        list: (c) => c.keys, kind: "key",
        rows: T, inner: K, columns: S, pick: (s) => ({ s }), at: (c) => c.s,
      });
    },
    where: (p) => ["Query of ", p.asker, " times key of ", p.found, ": "],
    say: (p, c) => p.sum(c.q[c.t], c.k[c.s], ["query", "key", "attention"]),
    table: (c) => [c.keys, c.scores],
  },
  scale: {
    title: "Scale",
    how: "The longer the keys, the larger the scores, by nothing but their length. Dividing by its root undoes that.",
    build: (p) => scored(p, [
      { label: "scores", title: "if undivided", data: (c) => c.scores, own: undivided },
      { label: "scaled scores", title: "divided", data: (c) => c.scale, own: (c, t) => c.softmax[t], sign: `↓ ÷ √${p.current().K}` },
    ]),
    where: (p) => [p.asker, " and ", p.found, ": "],
    say(p, c) {
      const [score, scaled] = [c.scores[c.t][c.s], c.scale[c.t][c.s]];
      const [before, now] = [undivided(c, c.t)[c.s], c.softmax[c.t][c.s]].map(percent);
      const effect = before === now ? [" Its share stays ", em(now), "."] : [" Undivided, its share would be ", em(before), ", not ", em(now), "."];
      return [em(written(score)), ` ÷ √${c.K}`, isExact(scaled) ? " = " : " ≈ ", em(written(scaled)), ".", effect];
    },
    table: (c) => [c.keys, c.scale],
  },
  mask: {
    title: "Mask",
    how: "What is forbidden gets the score −∞, and so no share. A causal mask hides what comes later.",
    build: (p) => scored(p, [
      { label: "masked scores", title: "shares", data: (c) => c.masked, own: (c, t) => c.softmax[t], act: (row, column) => p.ask("toggle", { row, column }) },
    ], "Click a score to forbid or allow it."),
    where: (p) => [p.asker, " ", p.may, " look at ", p.found, ": "],
    say: (p, c) => (c.allowed[c.t][c.s] ? ["its score stays ", em(written(c.scale[c.t][c.s])), "."] : ["its score becomes ", em("−∞"), ", its share 0."]),
    table: (c) => [c.keys, c.masked],
  },
  softmax: {
    title: "Softmax",
    how: "Powers of e are positive and keep the order. Laid end to end they are one whole, and each has its share of it.",
    build(p) {
      const { T, S } = p.current();
      const [width, high] = p.room();
      const line = T > 4 ? 16 : 22;
      const [w, tall] = [p.numberWidth(), Math.min(38, (high - 50 - (T > 1 ? line * T + 22 : 0)) / (S + 1))];
      const rest = width - p.nameWidth() - 2 * w - 3;
      const side = labels(p, { list: (c) => c.keys, n: S, pick: (s) => ({ s }), at: (c) => c.s, kind: "key" });
      const table = numbers(p, {
        kind: "attention", label: "Scores and powers", rows: S, columns: 2, w, tall,
        data: (c) => c.masked[c.t].map((x, s) => [x, c.powers.of[s]]), pick: (s) => ({ s }), at: (c) => [c.s, null],
      });
      const stairs = range(S).map((only) => bar(p, { n: S, only }));
      const [power, whole] = [h("span"), h("b")];
      const others = range(T > 1 ? T : 0).map((t) => bar(p, { n: S, t, w: line > 16 ? rest : 0 }));
      const asking = labels(p, { list: (c) => c.queries, n: others.length, pick: (t) => ({ t }), at: (c) => c.t, kind: "query" });
      const band = bands({ across: (c) => c.s });
      const all = h("div", { class: "all", style: styled({ tall: line }) },
        h("p", { class: "small" }, "shares of all"), asking.node, h("div", { class: "bars" }, others.map((each) => each.node)));
      const node = h("div", { class: "softmax", style: styled({ tall, w }) },
        h("i"), h("p", { class: "two small" }, h("span", {}, "score"), power), h("p", { class: "small" }, "end to end"),
        band.nodes, side.node, table.node, h("div", { class: "bars stairs" }, stairs.map((each) => each.node)),
        h("p", { class: "name small" }, "sum"), h("p", { class: "two" }, h("i"), whole), others.length ? all : null);
      const draw = (c) => {
        power.replaceChildren(...(c.powers.less ? ["power"] : ["e", h("sup", {}, "score")]));
        setText(whole, written(sum(c.powers.of), p.isWide() ? 3 : 2));
        for (const each of stairs) each.draw(c, c.softmax[c.t]);
        others.forEach((each, t) => each.draw(c, c.softmax[t]));
      };
      return { node, draws: [band, side, table, asking, { draw }] };
    },
    where: (p) => [p.asker, " looks at ", p.found, " with "],
    say(p, c) {
      const { of, less } = c.powers;
      const isEmpty = !c.allowed[c.t].some(Boolean);
      if (!c.allowed[c.t][c.s]) return [em("0 %"), isEmpty ? ": everything is forbidden, so all shares are 0." : ": it is forbidden."];
      const power = ["e", h("sup", {}, written(c.scale[c.t][c.s] - less)), " ≈ ", em(written(of[c.s])), ", of ", em(written(sum(of))), " in all"];
      return [em(percent(c.softmax[c.t][c.s])), ": ", power, less ? `. (First ${written(less)} is subtracted from all.)` : "."];
    },
    table: (c) => [c.keys, c.softmax],
    write: percent,
  },
  mix: {
    title: "Mix",
    how: "Each value counts as much as its share. The sum is what the token gets.",
    build(p) {
      const { S, D, inputs, key_tokens: own, j } = p.current();
      const [width, high] = p.room();
      const [name, share] = [p.nameWidth(), p.isWide() ? 150 : 62];
      const fits = (n) => (width - name - share - 44) / (2 * n);
      // Where there is no room for all numbers of a value, only the chosen one is shown.
      const shown = fits(D) < LEAST_PX + 3 ? [j] : range(D);
      const [w, tall] = [Math.min(84, fits(shown.length)), Math.min(44, (high - 50) / (S + 1))];
      const at = (c) => [null, shown.indexOf(c.j)];
      const of = (rows) => rows.map((row) => shown.map((i) => row[i]));
      const common = { rows: S, columns: shown.length, w, tall, kind: "value", pick: (s, i) => ({ s, j: shown[i] }), at };
      const side = labels(p, { list: (c) => c.keys, n: S, pick: (s) => ({ s }), at: (c) => c.s, kind: "key", side: own ? "key_tokens" : "tokens" });
      const weights = numbers(p, {
        ...common, kind: "attention", label: "shares", columns: 1, w: share, isShare: true,
        data: (c) => c.softmax[c.t].map((x) => [x]), pick: (s) => ({ s }), at: (c) => [c.s, null],
      });
      const values = numbers(p, { ...common, label: "values", data: (c) => of(c.v), place: inputs.v && ((_, s, i) => ["v", s, shown[i]]) });
      const parts = numbers(p, { ...common, label: "share × value", data: (c) => of(c.v).map((row, s) => row.map((x) => c.softmax[c.t][s] * x)) });
      const sums = { rows: 1, data: (c) => of([c.mix[c.t]]), pick: (_, i) => ({ j: shown[i] }), at: (c) => [0, shown.indexOf(c.j)] };
      const result = numbers(p, { ...common, ...sums, label: "mix" });
      const band = bands({ across: (c) => c.s });
      const who = h("p", { class: "gets" });
      const last = shown.length * w > 90 ? "share × value" : "product";
      const titles = [["share", "attention"], ["", "value"], ["value", "value"], ["", "value"], [last, "value"]];
      const sign = (text) => h("span", { class: "sign" }, text);
      const node = h("div", { class: "mix", style: styled({ w, tall }) },
        h("i"), titles.map((title) => h("p", {}, em(...title))),
        band.nodes, side.node, weights.node, sign("×"), values.node, sign("="), parts.node, who, result.node);
      const draw = (c) => who.replaceChildren(mark(brief(c.queries[c.t]), "query"), " gets");
      return { node, draws: [band, side, weights, values, parts, result, { draw }] };
    },
    where: (p) => ["Number ", p.column.node, " of what ", p.asker, " gets: "],
    say: (p, c) => p.sum(c.softmax[c.t], c.v.map((row) => row[c.j]), ["attention", "value", "value"]),
    table: (c) => [columnsOf(c.mix), c.mix],
  },
};

class Stepper extends Instrument {
  constructor(model, box) {
    super(box);
    this.model = model;
    this.passing = null;
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

  preview(change) {
    this.passing = change;
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.draw());
  }

  /** What a mouse points at is seen while it points there; a click or the focus keeps it. */
  chooses(node, change) {
    node.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && event.buttons === 0 && this.preview(change));
    node.addEventListener("pointerleave", () => this.preview(null));
    node.addEventListener("mousedown", () => node.tabIndex < 0 || node.focus());
    node.addEventListener("focus", () => this.set(change));
    node.addEventListener("click", () => this.set(change));
    return node;
  }

  go(stage) {
    this.outer.set("stage", stage);
  }

  stages() {
    return Object.keys(VIEWS).filter((name) => name !== "project" || this.model.get("state").inputs.x);
  }

  // ---------------------------------------------------------------------------------------------- what is changed
  ask(kind, fields) {
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
      if (field.value !== text) return;
      if (error) setAttribute(field, "aria-invalid", "true");
      else this.takeBack(field);
    };
    const step = (by, from = now()) => send(String(Math.round(1e6 * (from + STEP * by)) / 1e6));
    field.addEventListener("focus", () => (field.value === field.dataset.shown ? this.takeBack(field) : field.select()));
    field.addEventListener("blur", () => (field.value === field.dataset.full ? this.takeBack(field) : commit()));
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
      if (event.button === 0 && !field.matches(":focus")) drag = { x: event.clientX, from: now(), by: 0 };
    });
    field.addEventListener("mousedown", (event) => {
      if (!drag) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    });
    field.addEventListener("pointermove", (event) => {
      const by = drag ? Math.round((event.clientX - drag.x) / DRAG_PX) : 0;
      if (!drag || by === drag.by) return;
      if (!drag.isMoving) {
        field.setPointerCapture(event.pointerId);
        field.click();
      }
      Object.assign(drag, { isMoving: true, by });
      step(by, drag.from);
    });
    field.addEventListener("pointerup", () => {
      if (drag && !drag.isMoving) field.focus();
      drag = null;
    });
    field.addEventListener("pointercancel", () => (drag = null));
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
    setOptions(select, options.map(([own, text]) => [own, brief(text, 18)]));
    select.className = `tk of-${kind}`;
    select.value = value;
    select.disabled = options.length < 2;
    for (const option of select.options) setAttribute(option, "selected", option.selected);
  }

  frame() {
    const options = this.stages().map((name, i) => [name, [`${i + 1} ${VIEWS[name].title}`, VIEWS[name].title]]);
    this.tabs = tabs({ label: "Steps", options, choose: (name) => this.go(name) });
    this.mask = h("select", { "aria-label": "Mask", onchange: () => this.ask("mask", { choice: this.mask.value }) });
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
    const top = [this.tabs.node, h("span", { class: "space" }), this.undo, this.mask];
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
    return clamp(Math.max(...[...queries, ...keys].map((name) => widthOf(name) + 18)), 42, most);
  }

  numberWidth() {
    return this.isWide() ? 66 : 44;
  }

  /** Of all steps the tallest decides, so that nothing moves from one to the next. */
  height() {
    const { T, S, K, C } = this.current();
    const rows = Math.max(K + T, C ? C + T : 0, S + 2, S + 1 + (T > 1 ? 0.7 * T + 0.6 : 0));
    return Math.round(clamp(38 * rows + 78, 220, 410));
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
    this.tell([view.how, CHANGE], KEYS);
    if (focused) [...this.stage.querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === focused)?.focus();
  }

  draw() {
    if (!this.stage.clientWidth) return;
    const c = this.current();
    this.fit(c);
    const view = VIEWS[c.stage];
    this.tabs.show(c.stage);
    this.mask.value = c.mask;
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
    this.source.replaceChildren(many, h("span", { class: "long" }, ": numbers to play with."));
    this.drawText(c, view);
  }

  /** Where the chosen query looks, where it looked at first, and what there is to find. */
  drawStrip(c) {
    const own = c.softmax[c.t];
    this.who.replaceChildren(mark(brief(c.queries[c.t], this.isWide() ? 14 : 6), "query"), h("span", { class: "long" }, " looks at"));
    const before = attended(c.first, c.first.mask).softmax[c.t] ?? [];
    const differs = before.length === c.S && before.some((share, s) => Math.abs(share - own[s]) > 0.0005);
    this.bars[0].draw(c, own);
    this.bars[1].draw(c, differs ? before : own);
    for (const node of [this.once, this.bars[1].node]) node.style.visibility = differs ? "" : "hidden";
    const changed = ([name, table]) => table.flat().filter((x, i) => x !== c.first.inputs[name].flat()[i]).length;
    const n = sum(Object.entries(c.inputs).map(changed));
    const [first] = this.stages();
    const way = c.stage === first ? "Drag a framed number, or type." : h("button", { class: "link", onclick: () => this.go(first) }, "Try it in step 1.");
    const told = () => {
      if (!c.allowed[c.t][c.s]) return [" is forbidden: no number helps."];
      if (c.allowed[c.t].filter(Boolean).length === 1) return [": the only one that is left gets all, whatever its score."];
      if (own[c.s] < GOAL) return [" above 90\u00a0%? ", way];
      const much = [" has ", em(percent(own[c.s]))];
      if (!n) return [much, ". Choose a pair with less: can one number bring it there?"];
      return [much, " ✓", `, with ${n} number${n > 1 ? "s" : ""} changed. Is there another way?`];
    };
    const more = told();
    const pair = [mark(brief(c.queries[c.t]), "query"), " → ", mark(brief(c.keys[c.s]), "key")];
    this.find.replaceChildren(more.includes(way) ? "Can one number bring " : "", ...pair, ...more.flat());
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
