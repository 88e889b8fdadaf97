// The whole way: what every layer adds to a token's stream, and one layer enlarged, down to its numbers.

const STEPS = ["q, k, v", "q meets k", "mask", "softmax", "mix"];
const UNFOLDING_MS = 1100;
const BENDING_MS = 700;

const wayView = {
  title: ["The whole way", "Way"],
  how: [
    "Left: how much attention and MLP add in each layer, as a share of the stream. Its ends open, too: where the vectors begin, and where chances are made of the last one.",
    "Right: one layer, enlarged. Attention and MLP open when you choose them. Below the stream stands what it would say if it were read there.",
    "Strips are vectors, a stripe for each number: coloured above 0, grey below. What a head adds, read as an output, is often noise.",
  ],
  build(m) {
    const picture = svg("svg", { class: "way", role: "group", "aria-label": "One layer" });
    const codes = h("div", { "aria-hidden": "true" });
    m.stage.append(picture, codes);
    return { picture, codes, step: 0 };
  },
  draw(m, c, v) {
    const wide = m.isWide();
    const W = m.stage.clientWidth;
    const [px, pw] = wide ? [166, W - 166] : [0, W];
    const H = wide ? 430 : 448;
    const top = 66;
    const pitch = Math.min((H - top - 88) / c.n, 48);
    const every = Math.ceil(11.5 / pitch); // of many tokens not all have room for a word
    const isNear = (i, at) => i !== at && Math.abs(i - at) < every;
    const parts = [];
    const p = {
      m, c, v, wide, W, px, pw, H, top, pitch, parts, codes: [],
      f: pw / 802,
      add: (...nodes) => parts.push(...nodes.flat().filter(Boolean)),
      text: (x, y, words, more = {}) => svg("text", { x, y, "dominant-baseline": "central", ...more }, words),
      Y: (i) => top + (i + 0.5) * pitch,
      isTold: (i) => i === c.token || (i === c.key && !isNear(i, c.token)) || (i % every === 0 && !isNear(i, c.token) && !isNear(i, c.key)),
      rows: c.D.writes ? m.lensOf(c, c.token) : null,
      shares: c.N.shares(c.layer, c.head, c.token),
      step: c.part === "attention" ? c.step : 0,
      fresh: v.step !== (c.part === "attention" ? c.step : 0),
    };
    p.y = p.Y(c.token);
    p.nameRight = px + (wide ? 92 * Math.min(1, p.f ** 0.5) : 62);
    if (wide) this.rail(p);
    p.add(svg("rect", { x: px, y: 0, width: pw, height: H, rx: 10, class: "panel" }));
    if (c.part === "start") this.start(p);
    else if (c.part === "end") this.end(p);
    else if (p.step === 1) this.making(p);
    else this.layer(p);
    const held = v.picture.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    v.picture.replaceChildren(...parts);
    if (held) (v.picture.querySelector(`[data-at="${held}"]`) ?? v.picture.querySelector("[data-back]") ?? v.picture.querySelector("[tabindex]"))?.focus();
    v.codes.replaceChildren(...p.codes);
    if (v.step === 0 && p.step === 2 && v.bent && !calm()) this.bend(p, v.bent);
    if (p.step === 2 && p.fresh && !calm()) this.slide(p);
    v.bent = p.ribbons;
    v.step = p.step;
  },
  /** Something that can be pressed. */
  button({ m }, name, label, change, ...nodes) {
    const press = () => (typeof change === "function" ? change() : m.set(change));
    const onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      press();
    };
    return svg("g", { class: "open", role: "button", tabindex: 0, "data-at": name, "aria-label": label, onclick: press, onkeydown }, nodes);
  },
  pill(p, x, y, words, width = 52) {
    return [svg("rect", { class: "pill", x, y, width, height: 22, rx: 7 }), p.text(x + width / 2, y + 11, words, { "text-anchor": "middle" })];
  },
  /** A vector as a strip, a stripe for each number. */
  strip(p, vector, x, y, colour, { width = 64 * (p.wide ? 2 * p.f : 0.9), height = 16, opacity = 1, coming = false, delay = 0 } = {}) {
    const canvas = h("canvas", { width: vector.length, height: 1, class: coming ? "fade" : false });
    Object.assign(canvas.style, { left: `${x}px`, top: `${y - height / 2}px`, width: `${width}px`, height: `${height}px`, opacity, animationDelay: `${delay}ms` });
    const pen = canvas.getContext("2d");
    const most = Math.max(...vector.map(Math.abs), 1e-9);
    vector.forEach((value, i) => {
      pen.globalAlpha = Math.sqrt(Math.abs(value) / most);
      pen.fillStyle = p.m.colour(value < 0 ? "--edge" : `--cx-${colour}`);
      pen.fillRect(i, 0, 1, 1);
    });
    p.codes.push(canvas);
    return canvas;
  },
  /** A small hand: by how much a query or key is turned. */
  dial(p, x, y, place, colour, r = Math.min(6, p.pitch * 0.42)) {
    p.add(svg("circle", { cx: x, cy: y, r, fill: "none", stroke: `var(--cx-${colour})` }), svg("line", { x1: x, y1: y, x2: x + r * Math.sin(place), y2: y - r * Math.cos(place), stroke: `var(--cx-${colour})`, "stroke-width": 1.5 }));
  },
  plus: ({ y }, x, name, r = 9) => [svg("circle", { cx: x, cy: y, r, fill: `var(--cx-${name})` }), svg("path", { d: `M${x - r / 2},${y} h${r} M${x},${y - r / 2} v${r}`, stroke: "var(--cx-back)", "stroke-width": 2 })],

  // ---------------------------------------------------------------------------------------------- the rail
  rail(p) {
    const { m, c, add, text, rows, H, px } = p;
    const { D, N, token: t, layer } = c;
    const tall = clamp(366 / D.L, 6, 40);
    const [top, mid, most] = [40, 72, 42];
    const y = (l) => top + l * tall;
    const isLayer = c.part !== "start" && c.part !== "end";
    const [y1, y2] = isLayer ? [y(layer), y(layer) + tall] : c.part === "start" ? [0, 16] : [H - 17, H];
    add(svg("path", { d: `M124,${y1} L${px + 2},8 V${H - 8} L124,${y2} Z`, class: "panel", style: "opacity: .75" }), svg("rect", { x: 0, y: y1, width: 125, height: y2 - y1, class: "panel", rx: 3 }));
    const end = (name, y0, words, style, label) => add(this.button(p, name, label, { part: c.part === name ? "" : name }, svg("rect", { class: "zone", x: 4, y: y0 - 9, width: 136, height: 18, rx: 4 }), text(mid, y0, words, { "text-anchor": "middle", style: `${style}; font-weight: 700; font-size: 14px` })));
    end("start", 8, bare(D.tokens[t]), "fill: var(--query-ink)", "Where the vector begins");
    add(text(mid - 6, 28, "attention", { "text-anchor": "end", style: "fill: var(--attention-ink)" }), text(mid + 6, 28, "MLP", { style: "fill: var(--mlp-ink)" }));
    add(svg("line", { x1: mid, x2: mid, y1: 18, y2: y(D.L) + 4, stroke: "var(--cx-stream)", "stroke-width": 3 }));
    if (D.writes) end("end", H - 8, `${bare(D.answer(t))} ${percent(rows?.at(-1).pa ?? D.chances(t).p[0])}`, "fill: var(--token-ink)", "How the last vector becomes chances");
    range(D.L).forEach((l) => {
      const share = N.share(l, t);
      const bar = (x, width, name) => svg("rect", { x, y: y(l) + tall * 0.25, width, height: tall / 2, fill: `var(--cx-${name})`, rx: 1 });
      const [a, b] = [share.attention, share.mlp].map((each) => Math.min(each, 1) * most);
      add(bar(mid - 3 - a, a, "attention"), bar(mid + 3, b, "mlp"));
      if (l === layer || (l % (D.L > 12 ? 5 : 1) === 0 && (D.L <= 12 || Math.abs(l - layer) > 1))) add(text(18, y(l) + tall / 2, String(l), { "text-anchor": "end", style: l === layer && isLayer ? "fill: var(--cx-text); font-weight: 700" : "" }));
      add(svg("rect", { x: 0, y: y(l), width: 124, height: tall, fill: "transparent", style: "cursor: pointer", onclick: () => m.set({ layer: l, part: isLayer ? c.part : "" }) }));
    });
  },

  // ---------------------------------------------------------------------------------------------- one layer
  layer(p) {
    const { m, c, wide, px, pw, add, text, Y, y, pitch, top, step } = p;
    const { D, token: t, n } = c;
    const gates = c.part === "mlp";
    const scaled = (zones) => Object.fromEntries(Object.entries(zones).map(([name, x]) => [name, px + x * p.f]));
    const narrow = { a0: px + 66, a1: px + pw - 14, p1: px + pw - 8, m0: 0, m1: 0, p2: px + pw - 8, out: px + pw };
    const X = wide
      ? scaled(step ? { a0: 100, a1: 668, p1: 692, m0: 712, m1: 762, p2: 780, out: 802 } : gates ? { a0: 100, a1: 232, p1: 240, m0: 262, m1: 690, p2: 712, out: 802 } : { a0: 100, a1: 396, p1: 408, m0: 446, m1: 640, p2: 668, out: 802 })
      : step ? narrow
        : gates ? { ...narrow, a1: px + 90, p1: px + 96, m0: px + 110, m1: px + pw - 30, p2: px + pw - 18 }
          : { ...narrow, a1: px + 0.536 * pw, p1: px + 0.563 * pw, m0: px + 0.617 * pw, m1: px + 0.858 * pw, p2: px + 0.9 * pw };
    Object.assign(p, { X, end: top + n * pitch, gates });
    D.tokens.slice(0, n).forEach((piece, i) => {
      const later = D.causal && i > t;
      const colour = i === t ? "fill: var(--query-ink); font-weight: 700" : i === c.key ? "fill: var(--key-ink); font-weight: 700" : later ? "fill: var(--faint)" : "";
      if (p.isTold(i)) add(text(p.nameRight, Y(i), bare(piece).slice(0, 12), { "text-anchor": "end", class: "big", style: `font-size: ${pitch > 20 ? 15 : 12}px; ${colour}; cursor: pointer`, onclick: () => m.set({ token: i }) }));
      if (i !== t && !(step && !wide)) add(svg("line", { x1: p.nameRight + 6, x2: step ? p.nameRight + 6 : gates ? X.a1 : X.out - 8, y1: Y(i), y2: Y(i), stroke: "var(--cx-stream)", "stroke-opacity": later ? 0.1 : step || gates || pitch < 20 ? 0.12 : 0.25, "stroke-width": 1.5 }));
    });
    add(svg("path", { d: `M${p.nameRight + 6},${y} H${X.out - 10}`, stroke: "var(--cx-stream)", "stroke-width": 4, fill: "none", "stroke-opacity": step ? 0.14 : 1 }));
    if (step) return this.unfold(p);
    this.ribbons(p);
    this.attention(p);
    this.mlp(p);
    if (D.writes) this.reads(p);
    if (gates) this.units(p);
    return null;
  },
  /** From the tokens that are looked at: together as thick as one whole. */
  ribbons(p) {
    const { c, add, text, Y, y, pitch, shares, X, gates, wide } = p;
    const whole = gates && !wide ? 8 : Math.min(26, Math.max(9, pitch * 0.75));
    const [from, to] = [X.a0 + 10, X.p1];
    let done = -whole / 2;
    p.ribbons = [];
    for (let k = 0; k < shares.length && k < c.n; k += 1) {
      const thick = shares[k] * whole;
      const [y1, y2, bend] = [Y(k), y + done + thick / 2, (to - from) * 0.5];
      done += thick;
      if (shares[k] < 0.002) continue;
      const [a, b] = [Math.max(thick, 1) / 2, Math.max(thick, 0.6) / 2];
      p.ribbons.push({ k, from, to, y1, y2, a, b });
      add(svg("path", { d: `M${from},${y1 - a} C${from + bend},${y1 - a} ${to - bend},${y2 - b} ${to},${y2 - b} V${y2 + b} C${to - bend},${y2 + b} ${from + bend},${y1 + a} ${from},${y1 + a} Z`, fill: "var(--cx-attention)", "fill-opacity": k === c.key ? 0.95 : 0.5 }));
      if (k === c.key && k !== c.token && pitch > 20 && !gates) add(text(from + 6, y1 - 10 - a, percent(shares[k]), { style: "fill: var(--attention-ink); font-weight: 700; font-size: 15px" }));
    }
  },
  attention(p) {
    const { m, c, add, text, X, gates, wide, H, pitch } = p;
    const { D, N, layer, head } = c;
    const nodes = [svg("rect", { class: "zone", x: X.a0, y: 2, width: X.a1 - X.a0 + 12, height: H - 4, rx: 8 })];
    if (!gates || wide) nodes.push(text(X.a0 + 10, 20, "Attention", { class: "title", style: "fill: var(--attention-ink)" }));
    if (!gates) nodes.push(text(X.a0 + 10, 38, wide ? (D.causal ? "gathers from the tokens before" : "gathers from all tokens") : "gathers"));
    if (wide && !gates) nodes.push(...this.pill(p, X.a1 - 52, 9, "open"));
    add(this.button(p, "attention", "Attention: open", () => m.toggle("attention"), nodes));
    if (wide && !gates) {
      const group = D.H / D.G;
      const size = clamp(Math.floor(124 / D.H), 6, 13);
      const x = (n) => X.a0 + 10 + n * (size + 2) + (group > 1 ? Math.floor(n / group) * 5 : 0);
      range(D.H).forEach((n) => {
        const share = N.shares(layer, n, c.token)[c.key];
        const press = (event) => {
          event.stopPropagation();
          m.set({ head: n });
        };
        add(svg("rect", { x: x(n), y: 50, width: size, height: size, rx: 2, style: `fill: color-mix(in srgb, var(--cx-attention) ${(100 * share).toFixed(0)}%, var(--cx-back)); cursor: pointer`, stroke: n === head ? "var(--cx-text)" : "var(--line)", "stroke-width": n === head ? 2 : 1, onclick: press }, svg("title", {}, `head ${n}`)));
      });
      add(text(x(D.H) + 8, 57, `its ${D.H} heads`));
    }
    add(this.plus(p, X.p1, "attention", gates && !wide ? 9 : Math.min(26, Math.max(9, pitch * 0.75)) / 2 + 2));
  },
  mlp(p) {
    const { m, c, add, text, X, gates, wide, H, pitch, y } = p;
    const { D, N } = c;
    const [m0, m1] = [X.m0, X.m1];
    const thick = gates ? 15 : Math.min(30, Math.max(9, pitch * 0.6));
    const w = Math.min(60, (m1 - m0) * 0.28);
    const half = (side) => [`C${m0 + w * 0.7},${y + side * 3} ${m0 + w * 0.5},${y + side * thick} ${m0 + w},${y + side * thick} H${m1 - w} C${m1 - w * 0.5},${y + side * thick} ${m1 - w * 0.7},${y + side * 3} ${m1},${y + side * 3}`];
    const back = `C${m1 - w * 0.7},${y + 3} ${m1 - w * 0.5},${y + thick} ${m1 - w},${y + thick} H${m0 + w} C${m0 + w * 0.5},${y + thick} ${m0 + w * 0.7},${y + 3} ${m0},${y + 3}`;
    const words = gates && wide ? `widens to ${count(D.F)} numbers: these six are strongest` : wide ? "works on each token alone" : "alone";
    const nodes = [
      svg("rect", { class: "zone", x: m0 - 8, y: 2, width: m1 - m0 + 14, height: H - 4, rx: 8 }),
      text(m0 + 4, 20, "MLP", { class: "title", style: "fill: var(--mlp-ink)" }),
      text(m0 + 4, 38, words),
      wide ? this.pill(p, m1 - 54, 9, gates ? "close" : "open", 54) : null,
      svg("path", { d: `M${m0},${y - 3} ${half(-1)} V${y + 3} ${back} Z`, class: "mlp" }),
      wide && thick > 14 ? text((m0 + m1) / 2, y, `${D.D} → ${count(D.F)} → ${D.D}`, { "text-anchor": "middle", style: "fill: #1a1e24; font-weight: 600" }) : null,
    ];
    add(this.button(p, "mlp", gates ? "MLP: close" : "MLP: open", () => m.toggle("mlp"), nodes), this.plus(p, X.p2, "mlp"));
    p.read = N.vector("mlp_read", c.layer, 0, c.token);
  },
  /** Three places where the stream could be read. */
  reads(p) {
    const { c, add, text, X, gates, wide, H, rows, y, nameRight } = p;
    if (!rows) return;
    const { layer } = c;
    const [before, here] = [rows[layer - 1] ?? null, rows[layer]];
    const answer = bare(c.D.answer(c.token));
    const reads = [[wide ? nameRight + 8 : 8, "start", before, "before: "], [X.p1, "middle", here.mid, "after attention: "], [X.out - (wide ? 12 : 6), "end", here, "after the MLP: "]];
    const y0 = Math.max(p.end + 26, H - 60);
    reads.forEach(([x, anchor, read, words], i) => {
      if (read === null || (gates && i === 0)) return;
      const at = [nameRight + 12, X.p1, X.p2 + (wide ? 60 : 12)][i];
      add(svg("path", { d: `M${at},${y + (i === 1 ? 18 : 5)} V${y0 - 10}`, stroke: "var(--edge)", "stroke-opacity": 0.6, "stroke-width": 1.5, "stroke-dasharray": "2 3" }));
      add(text(x, y0, [wide ? words : "", bare(read.word), wide ? ` ${percent(read.p)}` : ""], { "text-anchor": anchor }), text(x, y0 + 20, `${answer} ${nth(read.rank)}`, { "text-anchor": anchor, style: `fill: var(--token-ink); font-weight: 700; font-size: ${p.W < 350 ? 12 : 15}px` }));
    });
  },
  /** The MLP's strongest units: each number that came up, let through by its gate. */
  units(p) {
    const { c, add, text, X, y, wide } = p;
    const units = c.N.units(c.layer, c.token);
    const x = X.m0 + 10;
    const tall = clamp((y - 100) / 6.4, 15, 26);
    const top = y < 190 ? y + 50 : 78;
    const squeezed = wide ? Math.min(1, p.f + 0.05) : Math.min(1, p.pw / 362) ** 1.5;
    const at = (wide ? [64, 146, 212, 286, 300] : [30, 68, 110, 154, 160]).map((each) => each * squeezed);
    const [n, gate, up, is, bar] = at.map((each) => x + each);
    const cols = { n, gate, up, is, bar };
    const room = X.m1 - 10 - cols.bar;
    const most = Math.max(...units.map((each) => Math.abs(each.hidden)), 1e-9);
    const end = { "text-anchor": "end" };
    const { gated } = c.D;
    [[cols.n, "unit"], [cols.gate, gated ? "gate" : ""], [cols.up, "up"], [cols.is, wide ? (gated ? "product" : "bent") : ""]].forEach(([at, words]) => add(text(at, top - 12, words, end)));
    units.forEach((unit, i) => {
      const yy = top + (i + 0.5) * tall;
      const style = "fill: var(--cx-text); font-size: 14px";
      add(text(cols.n, yy, String(unit.n), { ...end, style: "font-size: 14px" }), text(cols.up, yy, fixed(unit.up), { ...end, style }));
      if (gated) add(text(cols.gate, yy, fixed(unit.gate), { ...end, style }), text((cols.gate + cols.up - 34) / 2 + 2, yy, "×", { "text-anchor": "middle" }));
      if (gated && wide) add(text((cols.up + cols.is - 34) / 2 + 4, yy, "=", { "text-anchor": "middle" }));
      add(text(cols.is, yy, fixed(unit.hidden), { ...end, style: `${style}; font-weight: ${i ? 400 : 700}` }));
      add(svg("rect", { x: cols.bar, y: yy - tall * 0.32, width: (room * Math.abs(unit.hidden)) / most, height: tall * 0.64, rx: 2, fill: unit.hidden < 0 ? "none" : "var(--cx-mlp)", stroke: "var(--cx-mlp)", "stroke-width": 1.5 }));
    });
  },

  // ---------------------------------------------------------------------------------------------- attention, unfolded
  /** The steps of attention, each a button. */
  steps(p, at) {
    const { m, c, add, text, wide, px, step } = p;
    const colours = ["query", "key", "attention", "attention", "value"];
    STEPS.forEach((label, i) => {
      const isOn = i + 1 <= step;
      const words = wide ? `${i + 1} ${label}` : label;
      const style = `fill: ${isOn ? `var(--${colours[i]}-ink)` : "var(--faint)"}; ${i + 1 === step ? "text-decoration: underline; text-underline-offset: 4px" : ""}`;
      const node = this.button(p, `step ${i + 1}`, `${label}, step ${i + 1} of 5`, { step: i + 1 }, svg("rect", { class: "zone", x: at[i] - 6, y: 8, width: words.length * 7 + 14, height: 24, rx: 6 }), text(at[i], 20, words, { class: "title", style }));
      setAttribute(node, "aria-pressed", String(i + 1 === step));
      add(node);
    });
    const back = this.button(p, "back", "Close attention", { part: "" }, svg("rect", { class: "zone", x: px + (wide ? 8 : 0), y: 8, width: p.f > 0.85 ? 84 : 42, height: 24, rx: 6 }), text(px + (wide ? 16 : 6), 20, p.f > 0.85 ? `← Layer ${c.layer}` : "←", { style: "fill: var(--cx-soft)" }));
    setAttribute(back, "data-back", "");
    add(back);
    return m;
  },
  places({ wide, px, pw, f }) {
    const k = px + 112 * f;
    return wide ? [k, k + 86 * f, px + 320 * f, px + 408 * f, px + 520 * f] : [0.12, 0.28, 0.5, 0.62, 0.83].map((share) => px + share * pw);
  },
  /** One row for each key: its score, what the softmax makes of it, and its value. */
  unfold(p) {
    const { m, c, add, text, X, Y, y, px, pw, pitch, end, step, shares, wide, nameRight, fresh, f } = p;
    const { D, N, token: t, layer, head, n } = c;
    const u = wide ? 2 * f : 0.9;
    const cols = wide ? { k: px + 112 * f, s: px + 272 * f, soft: px + 408 * f, v: px + 520 * f } : { k: px + 68, s: px + 132, soft: px + 186, v: px + pw - 104 };
    const tall = clamp(pitch - 4, Math.min(pitch - 1, 8), 18);
    Object.assign(p, { cols, tall, u });
    this.steps(p, this.places(p));
    if (wide) {
      add(text(cols.s + 46, 48, "score", { "text-anchor": "end" }));
      if (step >= 4) add(text(cols.soft, 48, "share"));
      if (step >= 5) add(text(cols.v, 48, "value times share"));
    }
    const query = N.vector("q", layer, head, t);
    p.query = this.strip(p, query, cols.k, 48, "query", { height: 14 });
    add(text(cols.k - 8, 48, wide ? "its query" : "q", { "text-anchor": "end", style: "fill: var(--query-ink); font-weight: 600" }));
    const turns = D.base !== null && wide;
    if (turns) this.dial(p, cols.k + 64 * u + 10, 48, t, "query");
    const size = pitch > 20 ? "font-size: 14px" : "font-size: 12px";
    range(n).forEach((k) => {
      const yy = Y(k);
      const later = D.causal && k > t;
      const key = N.vector("k", layer, head, k);
      const splits = step === 2 && !later && tall > 14;
      this.strip(p, key, cols.k, splits ? yy - tall * 0.2 : yy, "key", { height: splits ? tall * 0.6 : tall, opacity: later ? 0.3 : k === c.key ? 1 : 0.75 });
      // Number by number: what fits pushes the score up, what does not, down.
      if (splits) this.strip(p, key.map((x, i) => x * query[i]), cols.k, yy + tall * 0.38, "attention", { height: tall * 0.4, coming: fresh, delay: 120 * k + 200 });
      if (turns && pitch > 9) this.dial(p, cols.k + 64 * u + 10, yy, k, "key");
      if (later) {
        if (step >= 3 && p.isTold(k)) add(text(cols.s + 46, yy, "hidden", { "text-anchor": "end", style: "fill: var(--faint)" }));
        return;
      }
      const bold = k === c.key ? 700 : 400;
      if (p.isTold(k)) add(text(cols.s + 46, yy, fixed(N.score(layer, head, t, k)), { "text-anchor": "end", style: `fill: var(--cx-text); font-weight: ${bold}; ${size}; animation-delay: ${120 * k + 200}ms`, class: fresh && step === 2 ? "fade" : "" }));
      if (step >= 4) {
        const room = wide ? 58 : 30;
        const fade = fresh && step === 4 ? "fade" : "";
        const isSmall = shares[k] < 0.005;
        add(svg("rect", { class: fade, x: cols.soft, y: yy - tall / 2 + 1, width: Math.max(1, shares[k] * room), height: tall - 2, rx: 2, fill: "var(--cx-attention)", "fill-opacity": k === c.key ? 1 : 0.6 }));
        if (p.isTold(k) || shares[k] >= 0.1) add(text(cols.soft + Math.max(1, shares[k] * room) + 6, yy, isSmall ? "0 %" : percent(shares[k]), { class: fade, style: `fill: var(${isSmall ? "--faint" : "--attention-ink"}); font-weight: ${bold}; ${size}` }));
      }
      if (step >= 5) this.strip(p, N.vector("v", layer, head, k), cols.v, yy, "value", { height: tall, opacity: 0.06 + 0.94 * shares[k], coming: fresh });
      add(svg("rect", { x: nameRight - 60, y: yy - pitch / 2, width: cols.v - nameRight + 60 + 64 * u, height: pitch, fill: "transparent", style: "cursor: pointer", onclick: () => m.set({ key: k, token: t }) }));
    });
    if (step >= 5) this.mix(p);
    if (!wide) return;
    add(this.plus(p, X.p1, "attention"), svg("rect", { x: X.m0 + 6, y: y - 12, width: X.m1 - X.m0 - 12, height: 24, rx: 10, class: "mlp", style: "cursor: pointer", onclick: () => m.set({ part: "mlp" }) }), text((X.m0 + X.m1) / 2, y, "MLP", { "text-anchor": "middle", style: "fill: #1a1e24; font-weight: 600; pointer-events: none" }), this.plus(p, X.p2, "mlp"));
    const group = D.H / D.G;
    const with_ = range(D.H).filter((n0) => n0 !== head && Math.floor(n0 / group) === Math.floor(head / group));
    const notes = [group > 1 ? `Head ${head} shares its keys and values with ${with_.join(" and ")}.` : "", turns ? "The small hands: queries and keys are turned by their place." : ""];
    const lines = this.wrapped(notes.filter(Boolean).join(" "), (px + pw - cols.k) / 6);
    const first = 435 - 16 * lines.length;
    if (step < 5 || Math.max(end + 22, 330) + 45 < first) lines.forEach((words, i) => add(text(cols.k, first + 16 * i, words)));
  },
  mix(p) {
    const { m, c, add, text, X, y, pw, end, shares, wide, cols, u, fresh } = p;
    const { N, token: t, layer, head } = c;
    const values = range(shares.length).map((k) => N.vector("v", layer, head, k));
    const mix = values[0].map((_, i) => sum(shares.map((w, k) => w * values[k][i])));
    const ym = Math.min(Math.max(end + 22, 330), 384);
    this.strip(p, mix, cols.v, ym, "value", { height: 18, coming: fresh });
    add(svg("line", { x1: cols.v, x2: cols.v + 64 * u, y1: ym - 16, y2: ym - 16, stroke: "var(--cx-soft)" }), text(cols.v - 8, ym, wide ? "the sum of all, by their shares" : "sum", { "text-anchor": "end" }));
    if (wide) add(svg("path", { d: `M${cols.v + 64 * u},${ym} H${X.p1 - 14} Q${X.p1},${ym} ${X.p1},${ym + (y < ym ? -14 : 14)} V${y + (y < ym ? 9 : -9)}`, stroke: "var(--cx-attention)", "stroke-width": 2.5, fill: "none" }));
    if (!c.D.writes) return;
    const words = c.D.words(layer, head, t) ?? m.askWords(layer, head);
    const said = words ? words.map(word).join(" · ") : "…";
    add(text(wide ? cols.v + 64 * u : pw - 8, ym + 27, [wide ? `What head ${head} adds, read as an output: ` : "reads ", svg("tspan", { style: "fill: var(--value-ink); font-weight: 700" }, said)], { "text-anchor": "end", style: "font-size: 14px" }));
  },
  /** The ribbons of the closed layer become the rows of the table. */
  bend(p, ribbons) {
    const { v, cols, Y, tall } = p;
    const made = ribbons.map((each) => ({ ...each, node: svg("path", { fill: "var(--cx-attention)", "fill-opacity": each.k === p.c.key ? 0.95 : 0.5 }) }));
    v.picture.append(...made.map((each) => each.node));
    const began = performance.now();
    const frame = (now) => {
      const s = Math.min((now - began) / BENDING_MS, 1);
      const e = s < 0.5 ? 2 * s * s : 1 - 2 * (1 - s) * (1 - s);
      const go = (a, b) => a + (b - a) * e;
      for (const { k, from, to, y1, y2, a, b, node } of made) {
        const [x1, x2] = [go(from, cols.k), go(to, cols.soft + 58)];
        const [l, r] = [go(y1, Y(k)), go(y2, Y(k))];
        const [p1, p2] = [go(a, tall / 2), go(b, tall / 2)];
        const bend = (x2 - x1) / 2;
        node.setAttribute("d", `M${x1},${l - p1} C${x1 + bend},${l - p1} ${x2 - bend},${r - p2} ${x2},${r - p2} V${r + p2} C${x2 - bend},${r + p2} ${x1 + bend},${l + p1} ${x1},${l + p1} Z`);
        node.style.opacity = s < 0.6 ? 1 : (1 - s) / 0.4;
      }
      if (s < 1 && v.picture.isConnected) requestAnimationFrame(frame);
      else for (const { node } of made) node.remove();
    };
    frame(began);
  },
  /** The query goes down from key to key. */
  slide(p) {
    const { c, v, Y } = p;
    const moving = p.query.cloneNode();
    moving.getContext("2d").drawImage(p.query, 0, 0);
    v.codes.append(moving);
    const rows = c.D.causal ? c.token + 1 : c.n;
    const frames = [{ top: p.query.style.top, opacity: 1 }, ...range(rows).map((k) => ({ top: `${Y(k) - 12}px`, opacity: 0.9 })), { top: `${Y(rows - 1)}px`, opacity: 0 }];
    moving.animate(frames, { duration: 120 * rows + 300, easing: "ease-in-out" }).finished.then(() => moving.remove(), () => {});
  },

  // ---------------------------------------------------------------------------------------------- q, k, v; start and end
  /** From the stream over the norm to query, key and value, and how two of them are turned. */
  making(p) {
    const { m, c, add, text, wide, px, f, pw } = p;
    const { D, N, token: t, layer, head } = c;
    p.X = null;
    this.steps(p, this.places(p));
    const width = wide ? 128 * f : 76;
    const [x0, x1, x2] = wide ? [px + 40 * f, px + 330 * f, px + 600 * f] : [px + 10, px + pw * 0.38, px + pw * 0.74];
    const label = (x, y, words, style = "") => add(text(x, y, words, { style: `font-size: 13px; ${style}` }));
    label(x0, 84, [tok_(D.tokens[t], "query"), wide ? ` enters layer ${layer}` : ""]);
    this.strip(p, N.vector("x", layer, 0, t), x0, 108, "stream", { width, height: 18 });
    label(x0, 130, `length ${fixed(N.length(layer, t))}`, "fill: var(--cx-soft)");
    add(svg("path", { d: `M${x0 + 10},142 v36`, stroke: "var(--cx-stream)", "stroke-width": 2.5, "marker-end": "" }));
    label(x0 + 20, 160, wide ? "the norm makes it one size" : "norm", "fill: var(--cx-text)");
    this.strip(p, N.vector("read", layer, 0, t), x0, 196, "stream", { width, height: 18 });
    if (wide) label(x0, 220, `the first ${64} of ${D.D} numbers`, "fill: var(--cx-soft)");
    const kinds = [["q", "query", "W_q", "what it asks for"], ["k", "key", "W_k", "what it can be found by"], ["v", "value", "W_v", "what it gives"]];
    kinds.forEach(([kind, name, matrix, meaning], i) => {
      const y = 108 + 88 * i;
      const unturned = kind === "v" ? N.vector(kind, layer, head, t) : (N.unturned(kind, layer, head, t) ?? N.vector(kind, layer, head, t));
      add(svg("path", { d: `M${x0 + width + 6},196 C${x0 + width + 60 * f},196 ${x1 - 60 * f},${y} ${x1 - 8},${y}`, stroke: `var(--cx-${name})`, "stroke-width": 2.5, fill: "none", "stroke-opacity": 0.7 }));
      if (wide) label((x0 + width + x1) / 2 - 24, (196 + y) / 2 - 10, `times ${matrix}`, `fill: var(--${name}-ink)`);
      label(x1, y - 22, [`${name} `, wide ? svg("tspan", { style: "fill: var(--cx-soft); font-weight: 400" }, meaning) : ""], `fill: var(--${name}-ink); font-weight: 600`);
      this.strip(p, unturned, x1, y, name, { width, height: 18 });
      if (kind === "v" || D.base === null) return;
      add(svg("path", { d: `M${x1 + width + 8},${y} H${x2 - 8}`, stroke: `var(--cx-${name})`, "stroke-width": 2.5, "stroke-opacity": 0.7 }));
      this.dial(p, (x1 + width + x2) / 2, y, t, name, 10);
      if (wide) label(x2, y - 22, `turned by its place, ${t}`, "fill: var(--cx-soft)");
      this.strip(p, N.vector(kind, layer, head, t), x2, y, name, { width, height: 18 });
    });
    const group = D.H / D.G;
    const lines = [`${D.H} queries${group > 1 ? `, ${D.G} keys and ${D.G} values` : ", keys and values"} of ${D.K} numbers each; this is head ${head}.`, D.base === null ? "" : "The hand shows the first pair of numbers: at place t it is turned by t radians, the others by less."];
    if (wide) lines.forEach((words, i) => label(x0, 372 + 22 * i, words, "fill: var(--cx-soft)"));
    return m;
  },
  /** Where the vectors begin: rows of the table. */
  start(p) {
    const { m, c, add, text, wide, px, pw, f, Y, pitch, nameRight, H } = p;
    const { D, N, token: t } = c;
    const [row, x] = wide ? [nameRight + 66, px + 190 * f] : [px + 108, px + 116];
    const width = wide ? 470 * f : pw - 128;
    this.closing(p);
    add(text(nameRight, 48, "token", { "text-anchor": "end" }), text(row, 48, wide ? "its row" : "row", { "text-anchor": "end" }), text(x, 48, wide ? `in a table of ${count(D.vocabulary)} rows: ${D.D} numbers, of which 64 are shown` : `${D.D} numbers`));
    range(c.n).forEach((i) => {
      const isOn = i === t;
      const size = `font-size: ${pitch > 20 ? 15 : 12}px`;
      if (p.isTold(i)) add(text(nameRight, Y(i), bare(D.tokens[i]).slice(0, 12), { "text-anchor": "end", style: `${size}; fill: var(${isOn ? "--query-ink" : "--cx-text"}); font-weight: ${isOn ? 700 : 400}` }), text(row, Y(i), count(D.ids[i]), { "text-anchor": "end", style: size }));
      this.strip(p, N.vector("x", 0, 0, i), x, Y(i), "stream", { width, height: clamp(pitch - 4, Math.min(pitch - 1, 8), 24), opacity: isOn ? 1 : 0.55 });
      add(svg("rect", { x: px, y: Y(i) - pitch / 2, width: pw, height: pitch, fill: "transparent", style: "cursor: pointer", onclick: () => m.set({ token: i }) }));
    });
    const where = D.base === null ? "A vector for its place is added: so equal tokens differ." : "Equal tokens begin equal: their places come in later, where queries and keys are turned.";
    const lengths = `At the start its length is ${fixed(N.length(0, t))}; after ${D.L} layers have added to it, ${fixed(N.length(D.L, t))}.`;
    const lines = this.wrapped(`${where} ${lengths}`, (pw - 60 * f) / 6.3);
    if (wide) lines.forEach((words, i) => add(text(px + 40 * f, H - 14 - 20 * (lines.length - 1 - i), words, { style: "font-size: 13px" })));
  },
  /** How the last vector becomes chances: the norm, a score for each token, the softmax. */
  end(p) {
    const { c, add, text, wide, px, pw, f } = p;
    const { D, token: t } = c;
    this.closing(p);
    const x = px + (wide ? 40 * f : 12);
    const label = (y, words, style = "") => add(text(x, y, words, { style: `font-size: 14px; ${style}` }));
    const how = `The last vector goes through a norm. Its product with each of the ${count(D.vocabulary)} rows of the table is a score; softmax raises e to the power of each and divides by the sum.`;
    this.wrapped(wide ? how : "A norm, then a score for each token; softmax makes chances of them.", (pw - (wide ? 50 * f : 12)) / 6.9).forEach((words, i) => label(62 + 20 * i, words, "fill: var(--cx-text)"));
    const shown = Math.min(10, D.shown);
    const { p: chances } = D.chances(t, c, shown);
    const scores = range(shown).map((i) => D.a.next_logits[t * D.shown + i]);
    const [least, most] = [D.low, scores[0]];
    const cols = wide ? { score: 150, bar: 166, room: 180, p: 420, end: 436, width: 240 } : { score: 100, bar: 108, room: 70, p: 222, end: 228, width: pw - 252 };
    const at = (value) => x + value * (wide ? f : 1);
    const end = { "text-anchor": "end" };
    add(text(at(cols.score), 132, "score", end), text(at(cols.p), 132, "chance", end));
    if (c.temperature !== 1) add(text(at(cols.end), 132, `at temperature ${c.temperature.toFixed(1)}`));
    scores.forEach((score, i) => {
      const y = 154 + 24 * i;
      const style = { ...end, style: "fill: var(--cx-text); font-size: 14px" };
      add(text(x, y, word(D.pieces[D.a.next_ids[t * D.shown + i]]).slice(0, wide ? 18 : 8), { style: `fill: var(${i ? "--cx-text" : "--token-ink"}); font-size: 14px; font-weight: ${i ? 400 : 700}` }));
      add(text(at(cols.score), y, fixed(score), style), svg("rect", { x: at(cols.bar), y: y - 6, width: Math.max(1, (cols.room * (wide ? f : 1) * (score - least)) / (most - least)), height: 12, rx: 2, fill: "var(--edge)", "fill-opacity": 0.5 }));
      add(text(at(cols.p), y, percent(chances[i]), style), svg("rect", { x: at(cols.end), y: y - 8, width: Math.max(1, chances[i] * cols.width * (wide ? f : 1)), height: 16, rx: 2, fill: "var(--cx-token)" }));
    });
    label(410, `${wide ? "The lowest of all scores" : "The lowest score"} is ${fixed(D.low)} or a little more.`);
  },
  /** Words in lines of so many letters. */
  wrapped(words, most) {
    const lines = [""];
    for (const each of words.split(" ")) {
      if (lines.at(-1) && lines.at(-1).length + each.length >= most) lines.push("");
      lines.push(`${lines.pop()} ${each}`.trim());
    }
    return lines;
  },
  closing(p) {
    const { px, add, text, c } = p;
    const back = this.button(p, "back", "Close", { part: "" }, svg("rect", { class: "zone", x: px + 8, y: 8, width: 84, height: 24, rx: 6 }), text(px + 16, 20, `← Layer ${c.layer}`, { style: "fill: var(--cx-soft)" }), text(px + 112, 20, c.part === "start" ? "Embedding" : "Norm, scores, softmax", { class: "title" }));
    setAttribute(back, "data-back", "");
    add(back);
  },

  place: (c) => ({ start: 0, mlp: 1, end: 0 })[c.part] ?? 2,
  say(m, c) {
    const { D, N, token: t, layer, head, step } = c;
    const q = tok(D.tokens[t], "query");
    if (m.isOff(c) && c.part !== "start") return [this.place(c) ? ": " : "", ...m.told(c)];
    if (c.part === "start") return ["At the start ", q, " becomes ", em(String(D.D), "stream"), ` numbers: row ${count(D.ids[t])} of a table.`];
    if (c.part === "end") return [`Of ${count(D.vocabulary)} scores softmax makes chances: `, tok(D.answer(t), "token"), " gets ", em(percent(D.chances(t, c).p[0]), "token"), "."];
    const share = () => em(percent(N.shares(layer, head, t)[c.key]));
    const score = N.score(layer, head, t, c.key);
    const key = tok(D.tokens[c.key], "key");
    if (c.part === "attention") {
      const later = c.n - 1 - t;
      return [
        [": ", q, " asks with a query, is found by a key, and gives a value."],
        [": the query of ", q, " times the key of ", key, ` is ${fixed(Math.sqrt(D.K) * score)}; divided by √${D.K}: `, em(fixed(score), "key"), "."],
        !D.causal ? [": no mask: ", q, " looks to both sides."] : later ? [": what comes after ", q, ` is hidden: ${later} of ${c.n} tokens.`] : [": nothing comes after ", q, " yet, so the mask hides nothing from it."],
        [": softmax makes of the score ", em(fixed(score), "key"), " a share of ", share(), "."],
        [": ", share(), " of what ", q, " gets is the value of ", tok(D.tokens[c.key], "value"), "."],
      ][step - 1];
    }
    if (c.part === "mlp") {
      const [unit] = N.units(layer, t);
      const how = D.gated ? `: gate ${fixed(unit.gate)} times ${fixed(unit.up)} is ${fixed(unit.hidden)}.` : `, with ${fixed(unit.hidden)}.`;
      return [`: of ${count(D.F)} units, `, em(String(unit.n), "mlp"), " answers ", q, " most", how];
    }
    const rows = D.writes ? m.lensOf(c, t) : null;
    const [before, mid] = [rows?.[layer - 1]?.rank ?? null, rows?.[layer].mid.rank];
    const moved = before === null || before === mid ? [] : [`; all ${D.H} heads ${mid < before ? "lift" : "lower"} `, tok(D.answer(t), "token"), " to ", em(nth(mid), "token")];
    return [": ", q, " gathers ", share(), " from ", c.key === t ? "itself" : key, ...moved, "."];
  },
  text(m, c) {
    const { D, N, token: t, layer, head } = c;
    const { attention, mlp } = N.share(layer, t);
    const looks = N.shares(layer, head, t).slice(0, c.n).map((p, k) => `${bare(D.tokens[k])}: score ${fixed(N.score(layer, head, t, k))}, share ${percent(p)}`);
    const units = N.units(layer, t).map((unit) => `unit ${unit.n}: ${D.gated ? `${fixed(unit.gate)} × ${fixed(unit.up)} = ` : ""}${fixed(unit.hidden)}`);
    return [`Attention adds ${percent(attention)} of the stream's length, the MLP ${percent(mlp)}.`, ...looks, ...units];
  },
  threads: () => [],
};

const tok_ = (piece, kind) => svg("tspan", { style: `fill: var(--${kind}-ink); font-weight: 700` }, bare(piece));
