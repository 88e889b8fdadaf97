// Of what the stepper's figures are made: tables of numbers, names, bars, and how they stand together.

const LEAST_PX = 31; // what a number of one decimal takes
const FULL = 3; // times a number in the middle a cell is full, so that one large number does not empty all others
/** What is chosen where a query or a key is pointed at. */
const QUERY = { list: (c) => c.queries, pick: (t) => ({ t }), at: (c) => c.t, kind: "query" };
const KEY = { list: (c) => c.keys, pick: (s) => ({ s }), at: (c) => c.s, kind: "key" };

const brief = (name, most = 12) => ([...name].length > most ? `${[...name].slice(0, most - 1).join("")}…` : name);
const styled = (sizes) => Object.entries(sizes).map(([name, value]) => `--${name}:${value}px;`).join("");

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

/** How high names along the top stand, slanted where one is wider than its column, and how far they stand out at the end. */
function heading(list, w) {
  const wide = list.map((name) => widthOf(brief(name)));
  const most = Math.max(...wide);
  if (most <= w - 2) return [22, 0];
  return [most * 0.77 + 12, Math.max(0, ...wide.map((own, i) => own * 0.64 + 14 - (list.length - i - 0.5) * w))];
}

/**
 * A table of numbers that keep their places. data(c): the numbers; at(c): the chosen row and column, where both are given
 * with a ring around their crossing; pick(r, i): what is chosen there; place(c, r, i): [array, row, column] of a number
 * that can be changed, without which they cannot; act(r, i): what a click does; isShare: each number is a bar.
 */
function numbers(p, { kind, label, rows, columns, w, tall, data, pick, at, place, act, isShare = false }) {
  const size = w >= 64 ? 17 : w >= 48 ? 15 : w >= 42 ? 13 : 12;
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
  const style = `${styled({ w, tall, size })}--columns:${columns}`;
  const isDragged = Boolean(place) && w >= 56 && "";
  const node = h("div", { class: `numbers as-${kind}`, role, "aria-label": label, style, "data-share": isShare, "data-dragged": isDragged }, lines, ring);
  grid(cells);
  const draw = (c) => {
    const values = data(c);
    const all = values.flat().filter(Number.isFinite);
    const digits = [3, 2, 1, 0].find((most) => all.every((x) => widthOf(written(x, most), size) <= w - (place || w > 40 ? 6 : 3))) ?? -1;
    const sizes = all.map(Math.abs).filter(Boolean).sort((a, b) => a - b);
    const largest = isShare ? 1 : Math.min(sizes.at(-1) ?? 1, FULL * (sizes[sizes.length >> 1] ?? 1));
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
      setAttribute(cell, "aria-label", place ? p.nameOf(c, ...place(c, r, i)) : [p.placeOf(c, pick(r, i)), told].filter(Boolean).join(": "));
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
    if (side) p.fill(node, name, brief(name));
    else setText(node.firstChild, top ? brief(name) : name);
    if (side) node.tabIndex = i === at(c) ? 0 : -1;
    setAttribute(node, "title", name);
    setAttribute(node, "data-lit", i === at(c) && "");
  });
  const slant = { "data-slanted": top > 22 && "", style: top && styled({ high: top }) };
  return { node: h("div", { class: `${top ? "heads" : "names"} as-${kind}`, ...slant }, nodes), draw };
}

/** A row of shares as one bar that is cut; w: how wide it is; only: the one part that is seen, as a stair. */
function bar(p, { n, w = 0, t = null, only = null, isNamed = false }) {
  const parts = range(n).map((s) => p.chooses(h("span", { "data-only": only === s }, h("span")), t === null ? { s } : { t, s }));
  const node = h("div", { class: "bar", style: `--only:${only}` }, parts);
  const draw = (c, own) => {
    setAttribute(node, "data-lit", (t === null || t === c.t) && "");
    setAttribute(node, "data-empty", only === null && !sum(own) && "");
    parts.forEach((part, s) => {
      const told = [...(isNamed ? [`${brief(c.keys[s])} ${percent(own[s])}`] : []), percent(own[s]), `${Math.round(100 * own[s])}`];
      const fitting = told.find((text) => widthOf(text, 13) + 12 < own[s] * w) ?? "";
      setText(part.firstChild, only === null ? fitting : only === s ? percent(own[s]) : "");
      part.style.flexGrow = own[s];
      setAttribute(part, "data-none", own[s] === 0 && "");
      setAttribute(part, "data-side", fitting !== told.at(-2) && (sum(own.slice(0, s)) + own[s] / 2 > 0.5 ? "end" : "start"));
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
  const isTight = fits < LEAST_PX;
  const free = isTight ? (width - name) / columns : fits;
  const [top, out] = heading(list(p.current()), free);
  const w = Math.min(108, free - out / (isTight ? columns : inner + columns));
  const tall = Math.min(46, (high - top - (isTight ? 74 : 22)) / ((isTight ? 3 : inner) + rows));
  const size = { w, tall };
  const heads = labels(p, { list, n: columns, pick, at, kind, top });
  const side = labels(p, { ...QUERY, n: rows, side: "tokens", kind: left.kind });
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

/** Scores, a row for each query, with what a softmax makes of each row; one block above the other; below(c): what is said there. */
function scored(p, blocks, below = null) {
  const [width, high] = p.room();
  const { T, S, keys } = p.current();
  const name = p.nameWidth();
  const most = (width - name - 6) / S; // without bars
  const free = clamp((width - name - (p.isWide() ? 150 : 110)) / S, Math.min(LEAST_PX, most), 76);
  const [top, out] = heading(keys, free);
  const w = Math.min(free, most - out / S);
  const rest = Math.min(width - name - w * S - 14, 420);
  const tall = Math.min(60, (high - top - 42 * (blocks.length - 1) - (below ? 24 : 0)) / (blocks.length * T));
  const heads = labels(p, { ...KEY, n: S, top });
  const draws = [heads];
  const lines = blocks.map(({ title, sign, own, ...block }, i) => {
    const side = labels(p, { ...QUERY, n: T });
    const table = numbers(p, { kind: "attention", rows: T, columns: S, w, tall, pick: (t, s) => ({ t, s }), at: (c) => [c.t, c.s], ...block });
    const bars = range(rest < 90 ? 0 : T).map((t) => bar(p, { n: S, t, w: rest }));
    draws.push(side, table, { draw: (c) => bars.forEach((each, t) => each.draw(c, own(c, t))) });
    const head = h("p", { class: "small" }, bars.length ? title : "");
    const looks = h("div", { class: "bars", style: bars.length ? `width:${rest}px` : "margin:0" }, bars.map((each) => each.node));
    return [h("i"), i ? h("p", { class: "sign" }, sign) : heads.node, head, side.node, table.node, looks];
  });
  const foot = h("p", { class: "small below" });
  const draw = (c) => foot.replaceChildren(...below(c));
  if (below) draws.push({ draw });
  return { node: h("div", { class: "scored", style: styled({ w, tall }) }, lines, below ? foot : null), draws };
}

