// The whole way: what every layer adds to a token's stream, and one layer enlarged, down to its numbers.

const STEPS = ["q, k, v", "q meets k", "÷ √d", "mask", "softmax", "mix", "join"];
const STEP_COLOURS = ["query", "key", "key", "attention", "attention", "value", "attention"];
const MIX = 6; // what the tour opens, and who wants no motion
const [MEET, SCALE, MASK, SOFTMAX] = [2, 3, 4, 5];
const UNFOLDING_MS = 2600; // to read each step
const BENDING_MS = 700;
const PER_KEY_MS = 120;

const wayView = {
  title: ["The whole way", "Way"],
  how: [
    "Left: how much attention and MLP add in each layer, as a share of the stream." +
      " Its ends open, too: where the vectors begin, and where chances are made of the last one.",
    "Right: one layer, enlarged. Attention and MLP open when you choose them; from a step of attention ← and → go on." +
      " Below the stream stands what it would say if it were read there.",
    "Attention and MLP read the stream through a norm and add to it: the residual connection. What stands in it stays.",
    "Strips are vectors, a stripe for each number: coloured above 0, grey below. What a head adds, read as an output, is often noise.",
  ],
  build(m) {
    const picture = svg("svg", { class: "way", role: "group", "aria-label": "One layer" });
    const codes = h("div", { "aria-hidden": "true" });
    m.stage.append(picture, codes);
    return { picture, codes, step: 0 };
  },

  /** The picture: p holds what all its parts need, places among it. */
  draw(m, c, v) {
    const wide = m.isWide();
    const W = m.stage.clientWidth;
    const [px, pw] = wide ? [166, W - 166] : [0, W];
    const H = wide ? 430 : 448;
    const top = 66;
    const step = c.part === "attention" ? c.step : 0;
    const isTable = step >= MEET && step < MIX;
    const isBelow = isTable && !wide; // the table of all pairs stands below the keys, not beside them
    const pitch = isBelow ? 20 : Math.min((H - top - 88) / c.n, 48);
    const every = Math.ceil(11.5 / pitch); // of many tokens not all have room for a word
    const isNear = (i, at) => i !== at && Math.abs(i - at) < every;
    const parts = [];
    const p = { m, c, v, wide, W, px, pw, H, top, pitch, step, isTable, isBelow, codes: [], f: pw / 802, fresh: v.step !== step };
    // Where there is no room for all keys, only the chosen one stands above the table.
    p.keys = isBelow && c.n > 5 ? [c.key] : range(c.n);
    p.add = (...nodes) => parts.push(...nodes.flat(Infinity).filter(Boolean));
    p.text = (x, y, words, look = "", more = {}) => svg("text", { x, y, class: look, ...more }, words);
    p.isTold = (i) => i === c.token || (!isNear(i, c.token) && (i === c.key || (i % every === 0 && !isNear(i, c.key))));
    p.Y = (i) => top + (Math.max(p.keys.indexOf(i), 0) + 0.5) * pitch;
    p.y = p.Y(c.token);
    p.rows = c.D.writes ? m.lensOf(c, c.token) : null;
    p.shares = c.N.shares(c.layer, c.head, c.token);
    p.size = pitch > 20 ? "s15" : "s12";
    p.nameRight = px + (wide ? 92 * Math.min(1, p.f ** 0.5) : 62);
    if (wide) this.rail(p);
    p.add(svg("rect", { x: px, y: 0, width: pw, height: H, rx: 10, class: "panel" }));
    if (c.part === "start") this.start(p);
    else if (c.part === "end") this.end(p);
    else if (step === 1) this.making(p);
    else if (step === STEPS.length) this.join(p);
    else this.layer(p);
    const held = v.picture.contains(document.activeElement) ? document.activeElement.dataset.at : null;
    v.picture.replaceChildren(...parts);
    const found = (name) => v.picture.querySelector(name);
    if (held) (found(`[data-at="${held}"]`) ?? found("[data-at=back]") ?? found(`[data-at="${v.part}"]`) ?? found("[tabindex]"))?.focus();
    v.part = c.part;
    v.codes.replaceChildren(...p.codes);
    if (step === MEET && p.fresh && !calm()) {
      if (v.step < 2 && v.bent) this.bend(p, v.bent);
      this.slide(p);
    }
    if (p.ribbons) v.bent = p.ribbons;
    v.step = step;
  },

  /** Something that can be pressed: in a zone, which is x, y, width and height. */
  button({ m }, name, label, change, [x, y, width, height], ...nodes) {
    const press = () => (typeof change === "function" ? change() : m.set(change));
    const onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      press();
    };
    const zone = svg("rect", { class: "zone", x, y, width, height, rx: 7 });
    return svg("g", { class: "open", role: "button", tabindex: 0, "data-at": name, "aria-label": label, onclick: press, onkeydown }, zone, nodes);
  },
  pill: (p, x, y, words) => [svg("rect", { class: "pill", x, y, width: 54, height: 22, rx: 7 }), p.text(x + 27, y + 11, words, "mid")],

  /** What is pressed besides, by the mouse: the keys have other ways. */
  area: (x, y, width, height, onclick) => svg("rect", { x, y, width, height, fill: "transparent", class: "hit", onclick }),

  /** A vector as a strip, a stripe for each number. */
  strip(p, vector, x, y, colour, { width = 64 * (p.wide ? 2 * p.f : 0.9), height = 16, opacity = 1, coming = false, delay = 0 } = {}) {
    const canvas = h("canvas", { width: vector.length, height: 1, class: coming && "fade" });
    const place = { left: `${x}px`, top: `${y - height / 2}px`, width: `${width}px`, height: `${height}px` };
    Object.assign(canvas.style, place, { opacity, animationDelay: `${delay}ms` });
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
    const stroke = `var(--cx-${colour})`;
    const hand = { x1: x, y1: y, x2: x + r * Math.sin(place), y2: y - r * Math.cos(place) };
    p.add(svg("circle", { cx: x, cy: y, r, fill: "none", stroke }), svg("line", { ...hand, stroke, "stroke-width": 1.5 }));
  },
  plus({ y }, x, name, r = 9) {
    const d = `M${x - r / 2},${y} h${r} M${x},${y - r / 2} v${r}`;
    return [svg("circle", { cx: x, cy: y, r, fill: `var(--cx-${name})` }), svg("path", { d, stroke: "var(--cx-back)", "stroke-width": 2 })];
  },
  stroke: (d, colour, width, more = {}) => svg("path", { d, fill: "none", stroke: `var(--cx-${colour})`, "stroke-width": width, ...more }),

  // ---------------------------------------------------------------------------------------------- the rail
  rail(p) {
    const { m, c, add, text, rows, H, px } = p;
    const { D, N, token: t, layer } = c;
    const tall = clamp(366 / D.L, 6, 40);
    const [top, mid, most] = [40, 72, 42];
    const y = (l) => top + l * tall;
    const isLayer = c.part !== "start" && c.part !== "end";
    const [y1, y2] = isLayer ? [y(layer), y(layer) + tall] : c.part === "start" ? [0, 16] : [H - 17, H];
    add(svg("path", { d: `M124,${y1} L${px + 2},8 V${H - 8} L124,${y2} Z`, class: "panel", opacity: 0.75 }));
    add(svg("rect", { x: 0, y: y1, width: 125, height: y2 - y1, class: "panel", rx: 3 }));
    const end = (name, y0, words, kind, label) => {
      const change = { part: c.part === name ? "" : name };
      const edge = svg("rect", { class: "pill end", x: 4, y: y0 - 8.5, width: 136, height: 17, rx: 7 });
      add(this.button(p, name, label, change, [4, y0 - 9, 136, 18], edge, text(mid, y0, words, `mid b s14 of-${kind}`)));
    };
    end("start", 8, bare(D.tokens[t]), "query", "Where the vector begins");
    add(text(mid - 6, 28, "attention", "end of-attention plain"), text(mid + 6, 28, "MLP", "of-mlp plain"));
    add(this.stroke(`M${mid},18 V${y(D.L) + 4}`, "stream", 3));
    const chance = D.writes && percent(m.isOff(c) ? (rows?.at(-1).pa ?? D.chances(t).p[0]) : D.chances(t, c).p[0]);
    if (D.writes) end("end", H - 8, `${bare(D.answer(t)).slice(0, 10)} ${chance}`, "token", "How the last vector becomes chances");
    range(D.L).forEach((l) => {
      const share = N.share(l, t);
      const [a, b] = [share.attention, share.mlp].map((each) => Math.min(each, 1) * most);
      const bar = (x, width, name) => svg("rect", { x, y: y(l) + tall / 4, width, height: tall / 2, fill: `var(--cx-${name})`, rx: 1 });
      add(bar(mid - 3 - a, a, "attention"), bar(mid + 3, b, "mlp"));
      const isNamed = D.L <= 12 || l === layer || (l % 5 === 0 && Math.abs(l - layer) > 1);
      if (isNamed) add(text(18, y(l) + tall / 2, String(l), l === layer && isLayer ? "end ink b" : "end"));
      add(this.area(0, y(l), 124, tall, () => m.set({ layer: l, part: isLayer ? c.part : "" })));
    });
  },

  // ---------------------------------------------------------------------------------------------- one layer
  /** Where attention and MLP stand: a from a0 to a1, its plus at p1, m from m0 to m1, its plus at p2. */
  zones({ wide, px, pw, f, step, gates, nameRight }) {
    const wides = {
      closed: [100, 396, 408, 446, 640, 668],
      unfolded: [100, 668, 692, 712, 762, 780],
      gates: [100, 232, 240, 262, 690, 712],
    };
    const narrows = {
      closed: [66, 0.536 * pw, 0.563 * pw, 0.617 * pw, 0.858 * pw, 0.9 * pw],
      unfolded: [66, pw - 14, pw - 8, 0, 0, pw - 8],
      gates: [66, 90, 96, 110, pw - 30, pw - 18],
    };
    const [a0, a1, p1, m0, m1, p2] = (wide ? wides : narrows)[step ? "unfolded" : gates ? "gates" : "closed"].map((x) => px + x * (wide ? f : 1));
    return { a0: Math.max(a0, nameRight + 4), a1, p1, m0, m1, p2, out: px + pw };
  },
  layer(p) {
    const { m, c, wide, add, text, Y, y, pitch, top, step, nameRight } = p;
    const { D, token: t, n } = c;
    p.gates = c.part === "mlp";
    const X = this.zones(p);
    Object.assign(p, { X, end: top + n * pitch });
    p.read = Math.max(p.end + 26, p.H - (wide ? 60 : 78)); // there stands what the stream would say
    p.foot = p.rows ? p.read - 13 : p.H - 2; // the zones that open end above it
    p.keys.forEach((i) => {
      const piece = D.tokens[i];
      const later = D.causal && i > t;
      const look = i === t ? "of-query b" : i === c.key ? "of-key b" : later ? "later" : "ink";
      if (p.isTold(i)) add(text(nameRight, Y(i), bare(piece).slice(0, 12), `end hit ${p.size} ${look}`, { onclick: () => m.set({ token: i }) }));
      if (i === t || step) return;
      const opacity = later ? 0.1 : p.gates || pitch < 20 ? 0.12 : 0.25;
      add(this.stroke(`M${nameRight + 6},${Y(i)} H${p.gates ? X.a1 : X.out - 8}`, "stream", 1.5, { "stroke-opacity": opacity }));
    });
    // What is open hides the stream, whose line would strike its numbers out.
    const goesOn = step && wide && !p.isTable;
    if (goesOn || !step) add(this.stroke(`M${goesOn ? X.p1 : nameRight + 6},${y} H${X.out - 10}`, "stream", 4));
    if (step) {
      this.unfold(p);
      return;
    }
    p.whole = p.gates && !wide ? 8 : Math.min(26, Math.max(9, pitch * 0.75)); // so thick are all ribbons together
    this.ribbons(p);
    this.attention(p);
    this.mlp(p);
    this.norms(p);
    if (D.writes) this.reads(p);
    if (p.gates) this.units(p);
    const told = p.gates ? this.mlpFor(c, wide && p.f < 0.85) : "Both read the stream through a norm and add to it: the residual connection.";
    if (wide) add(text(p.px + p.pw / 2, p.H - 13, told, "mid"));
    else if (p.gates && (p.read - y > 78 || y > 310)) {
      const at = p.read - y > 78 ? y + 26 : y - 60;
      const lines = this.wrapped(told, (p.pw - X.m0 - 16) / 6);
      lines.forEach((words, i) => add(text(X.m0 + 6, at + 15 * i, words, "s12")));
    }
    if (!wide) this.doors(p);
  },
  /** Attention and MLP each read the stream through a norm: a bar across what they read. */
  norms(p) {
    const { c, add, text, X, Y, y, wide, gates, pitch } = p;
    const last = c.D.causal ? y : Y(c.n - 1);
    const half = Math.min(12, pitch / 2);
    const bar = (x, from, to) => add(svg("rect", { x: x - 2, y: from, width: 4, height: to - from, rx: 2, class: "norm" }));
    bar(X.a0 + 6, Y(0) - half, last + half);
    const x = X.m0 - (wide && !gates ? 12 : 2);
    bar(x, y - 12, y + 12);
    if (gates && !wide) return;
    add(text(X.a0 + (wide ? 12 : 8), last + half + 9, "norm", "s12"), text(x, wide ? y + 22 : y - 22, "norm", "s12 mid"));
  },
  /** Where there is no room for the rail: its two ends. */
  doors(p) {
    const { c, pw, H, text, add } = p;
    const y = H - 17;
    const door = (name, label, x, width, words) => {
      const edge = svg("rect", { class: "pill", x, y: y - 13, width, height: 26, rx: 7 });
      add(this.button(p, name, label, { part: name }, [x - 2, y - 15, width + 4, 30], edge, text(x + width / 2, y, words, "mid ink s13")));
    };
    door("start", "Where the vector begins", 8, 98, "← Embedding");
    if (c.D.writes) door("end", "How the last vector becomes chances", pw - 96, 88, "Chances →");
  },
  /** From the tokens that are looked at: together as thick as one whole. */
  ribbons(p) {
    const { c, add, text, Y, y, pitch, shares, X, whole } = p;
    const [from, to] = [X.a0 + 10, X.p1];
    let done = -whole / 2;
    p.ribbons = [];
    for (let k = 0; k < shares.length && k < c.n; k += 1) {
      const thick = shares[k] * whole;
      const ribbon = { k, from, to, y1: Y(k), y2: y + done + thick / 2, a: Math.max(thick, 1) / 2, b: Math.max(thick, 0.6) / 2 };
      done += thick;
      if (shares[k] < 0.002) continue;
      p.ribbons.push(ribbon);
      add(svg("path", { d: this.band(ribbon), fill: "var(--cx-attention)", "fill-opacity": k === c.key ? 0.95 : 0.5 }));
      const isTold = k === c.key && k !== c.token && pitch > 20 && !p.gates;
      if (!isTold) continue;
      // Above its ribbon; on it where the squares of the heads are in the way.
      const isOn = ribbon.y1 - 10 - ribbon.a < 71 && ribbon.a > 7;
      const look = isOn ? "on-attention s14" : "of-attention b s15";
      add(text(from + 6, isOn ? ribbon.y1 + 0.5 : Math.max(ribbon.y1 - 10 - ribbon.a, 71), percent(shares[k]), look));
    }
  },
  /** A band from one height to another, 2 a thick at its start and 2 b at its end. */
  band({ from, to, y1, y2, a, b }) {
    const middle = (from + to) / 2;
    const there = `M${from},${y1 - a} C${middle},${y1 - a} ${middle},${y2 - b} ${to},${y2 - b}`;
    return `${there} V${y2 + b} C${middle},${y2 + b} ${middle},${y1 + a} ${from},${y1 + a} Z`;
  },
  attention(p) {
    const { m, c, add, text, X, gates, wide, foot } = p;
    const { D, N, layer, head } = c;
    const isOpen = wide && !gates;
    const nodes = [
      !gates || wide ? text(X.a0 + 10, 20, "Attention", "title of-attention") : null,
      isOpen ? text(X.a0 + 10, 38, D.causal ? "gathers from the tokens before" : "gathers from all tokens") : null,
      gates ? null : wide ? this.pill(p, X.a1 - 52, 9, "open") : this.pill(p, X.a0 + 9, 31, "open"),
    ];
    add(this.button(p, "attention", "Attention: open", () => m.toggle("attention"), [X.a0, 2, X.a1 - X.a0 + 12, foot - 2], nodes));
    add(this.plus(p, X.p1, "attention", gates && !wide ? 9 : p.whole / 2 + 2));
    if (!isOpen) return;
    const group = D.H / D.G;
    const size = clamp(Math.floor(124 / D.H), 6, 13);
    const x = (n) => X.a0 + 10 + n * (size + 2) + (group > 1 ? Math.floor(n / group) * 5 : 0);
    range(D.H).forEach((n) => {
      const share = 100 * N.shares(layer, n, c.token)[c.key];
      const onclick = (event) => {
        event.stopPropagation();
        m.set({ head: n });
      };
      const edge = n === head ? { stroke: "var(--cx-text)", "stroke-width": 2 } : { stroke: "var(--line)" };
      const style = `fill: color-mix(in srgb, var(--cx-attention) ${share.toFixed(0)}%, var(--cx-back))`;
      add(svg("rect", { x: x(n), y: 50, width: size, height: size, rx: 2, class: "square", style, ...edge, onclick }, svg("title", {}, `head ${n}`)));
    });
    add(text(x(D.H) + 8, 57, `its ${D.H} heads`));
  },
  mlp(p) {
    const { m, c, add, text, X, gates, wide, foot, pitch, y } = p;
    const { D } = c;
    const [m0, m1] = [X.m0, X.m1];
    const thick = gates ? 15 : Math.min(30, Math.max(9, pitch * 0.6));
    const w = Math.min(60, (m1 - m0) * 0.28);
    const [i0, i1] = [m0 + w, m1 - w];
    const there = `M${m0},${y - 3} C${m0 + w * 0.7},${y - 3} ${m0 + w * 0.5},${y - thick} ${i0},${y - thick} H${i1}`;
    const end = `C${m1 - w * 0.5},${y - thick} ${m1 - w * 0.7},${y - 3} ${m1},${y - 3}`;
    const down = `${end} V${y + 3} C${m1 - w * 0.7},${y + 3} ${m1 - w * 0.5},${y + thick} ${i1},${y + thick}`;
    const back = `H${i0} C${m0 + w * 0.5},${y + thick} ${m0 + w * 0.7},${y + 3} ${m0},${y + 3} Z`;
    const widens = `widens ${p.f > 0.9 ? "what the norm gives " : ""}to ${count(D.F)} numbers: these six are strongest`;
    const nodes = [
      text(m0 + 4, 20, "MLP", "title of-mlp"),
      wide ? text(m0 + 4, 38, gates ? widens : "works on each token alone") : null,
      this.pill(p, wide ? m1 - 54 : m0 + 3, wide ? 9 : 31, gates ? "close" : "open"),
      svg("path", { d: `${there} ${down} ${back}`, class: "mlp" }),
      wide && thick > 14 && (gates || p.f > 0.7) ? text((m0 + m1) / 2, y, `${D.D} → ${count(D.F)} → ${D.D}`, "mid on-mlp") : null,
    ];
    const label = gates ? "MLP: close" : "MLP: open";
    add(this.button(p, "mlp", label, () => m.toggle("mlp"), [m0 - 8, 2, m1 - m0 + 14, foot - 2], nodes), this.plus(p, X.p2, "mlp"));
  },
  /** What it is for. */
  mlpFor({ D }, isShort) {
    const bent = isShort ? "" : ` ${D.gated ? "The gate bends" : "It bends"}: two matrices in a row would be one.`;
    return `It works on what has arrived, at each token alone.${bent}`;
  },
  /** Three places where the stream could be read. */
  reads(p) {
    const { c, add, text, X, gates, wide, W, rows, y, nameRight, read: y0 } = p;
    if (!rows) return;
    const [before, here] = [rows[c.layer - 1] ?? null, rows[c.layer]];
    const answer = bare(c.D.answer(c.token));
    const reads = [
      [wide ? nameRight + 8 : 8, "", before, "before: ", nameRight + 12],
      [X.p1, "mid", here.mid, "after attention: ", X.p1],
      [X.out - (wide ? 12 : 6), "end", here, "after the MLP: ", X.p2 + (wide ? 60 : 12)],
    ];
    reads.forEach(([x, anchor, read, words, at], i) => {
      if (read === null || (gates && i === 0)) return;
      add(svg("path", { d: `M${at},${y + (i === 1 ? 18 : 5)} V${y0 - 10}`, class: "dots" }));
      add(text(x, y0, wide ? `${p.f > 0.7 ? words : ""}${bare(read.word)} ${percent(read.p)}` : bare(read.word), anchor));
      add(text(x, y0 + 20, `${answer} ${nth(read.rank)}`, `${anchor} b of-token ${W < 350 ? "s12" : "s15"}`));
    });
  },
  /** The MLP's strongest units: each number that came up, let through by its gate. */
  units(p) {
    const { c, add, text, X, y, wide } = p;
    const { gated } = c.D;
    const units = c.N.units(c.layer, c.token);
    const x = X.m0 + 10;
    const tall = clamp((y - 100) / 6.4, 15, 26);
    const isDeep = wide && y > 230;
    const top = y < 190 ? y + 50 : isDeep ? 98 : 78;
    if (isDeep) {
      add(text(X.m0 + 4, 60, "after the norm"));
      this.strip(p, c.N.vector("mlp_read", c.layer, 0, c.token), X.m0 + 4 + 92, 60, "stream", { height: 12 });
    }
    const squeezed = wide ? Math.min(1, p.f + 0.05) : Math.min(1, p.pw / 362) ** 1.5;
    const [n, gate, up, is, bar] = (wide ? [64, 146, 212, 286, 300] : [30, 68, 110, 154, 160]).map((at) => x + at * squeezed);
    const room = X.m1 - 10 - bar;
    const most = Math.max(...units.map((each) => Math.abs(each.hidden)), 1e-9);
    const heads = [[n, "unit"], [gate, gated ? "gate" : ""], [up, "up"], [is, wide ? (gated ? "product" : "bent") : ""]];
    for (const [at, words] of heads) add(text(at, top - 12, words, "end"));
    units.forEach((unit, i) => {
      const yy = top + (i + 0.5) * tall;
      add(text(n, yy, String(unit.n), "end s14"), text(up, yy, fixed(unit.up), "end ink s14"));
      if (gated) add(text(gate, yy, fixed(unit.gate), "end ink s14"), text((gate + up - 34) / 2 + 2, yy, p.pw > 340 ? "×" : "", "mid"));
      if (gated && wide) add(text((up + is - 34) / 2 + 4, yy, "=", "mid"));
      add(text(is, yy, fixed(unit.hidden), `end ink s14 ${i ? "" : "b"}`));
      const box = { x: bar, y: yy - tall * 0.32, width: (room * Math.abs(unit.hidden)) / most, height: tall * 0.64, rx: 2 };
      add(svg("rect", { ...box, class: "unit", "data-below": unit.hidden < 0 && "" }));
    });
  },

  // ---------------------------------------------------------------------------------------------- attention, unfolded
  /** The steps of attention, each a button. */
  steps(p) {
    const { m, c, v, add, text, wide, px, pw, f, step } = p;
    const [edge, hasPlay] = [wide ? 16 : 6, wide && f > 0.8];
    const room = pw - 2 * edge - (hasPlay ? 62 : 0);
    // The longest words that have room, at equal distances.
    const short = STEPS.map((label) => label.replace("q meets k", "q · k"));
    const back = `← Layer ${c.layer}`;
    const rows = [[back, ...STEPS.map((label, i) => `${i + 1} ${label}`)], [back, ...STEPS], [back, ...short], ["←", ...short]];
    const widths = (row) => row.map((words, i) => widthOf(words, 13, i ? 600 : 400));
    const row = rows.find((each) => sum(widths(each)) + 14 * STEPS.length < room) ?? rows.at(-1);
    const gap = Math.min((room - sum(widths(row))) / STEPS.length, 26);
    let x = px + edge;
    const zones = widths(row).map((width) => {
      const zone = [x - Math.min(gap / 2, 8), 8, width + Math.min(gap, 16), 24];
      x += width + gap;
      return zone;
    });
    const walk = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      m.set({ step: clamp(step + by, 1, STEPS.length) });
      v.picture.querySelector(`[data-at="step ${m.state.step}"]`).focus();
    };
    const put = (i, look, name, label, change) => {
      const zone = zones[i];
      const node = this.button(p, name, label, change, zone, text(zone[0] + Math.min(gap / 2, 8), 20, row[i], look));
      add(node);
      return node;
    };
    STEPS.forEach((label, i) => {
      const look = `title ${i + 1 <= step ? `of-${STEP_COLOURS[i]}` : "later"} ${i + 1 === step ? "now" : ""}`;
      const node = put(i + 1, look, `step ${i + 1}`, `${label}, step ${i + 1} of ${STEPS.length}`, { step: i + 1 });
      setAttribute(node, "aria-pressed", String(i + 1 === step));
      node.addEventListener("keydown", walk);
    });
    if (hasPlay) {
      const [label, at] = [m.unfolding ? "Pause" : "Play", px + pw - edge - 38];
      add(this.button(p, "play", `${label} the steps`, () => m.play(), [at - 8, 8, 54, 24], text(at, 20, label, "ink b s13")));
    }
    put(0, "s13", "back", "Close attention", { part: "" });
  },
  /** One row for each key: its product with the query, that divided, what the softmax makes of it, and its value. */
  unfold(p) {
    const { m, c, add, text, X, Y, y, px, pw, pitch, end, step, shares, wide, nameRight, fresh, f, isTable, keys } = p;
    const { D, N, token: t, layer, head } = c;
    const isNarrow = wide ? f < 0.8 : pw < 340;
    const u = wide ? 2 * f : isNarrow ? 0.7 : 0.9;
    const places = wide
      ? { k: 112 * f, product: 312 * f, s: 366 * f, soft: 378 * f, long: 30 * f, v: 520 * f }
      : isTable
        ? { k: 68, product: pw * 0.51, s: pw * 0.64, soft: pw * 0.685, long: pw * 0.315 - 48, v: pw - 8 - 64 * u }
        : { k: 68, product: null, s: 178, soft: 186, long: 30, v: pw - 8 - 64 * u };
    const cols = Object.fromEntries(Object.entries(places).map(([name, x]) => [name, x === null || name === "long" ? x : px + x]));
    const tall = clamp(pitch - 4, Math.min(pitch - 1, 8), 18);
    const size = pitch > 20 ? "s14" : "s12";
    const turns = D.base !== null && wide && !isNarrow;
    const isRoomy = wide || isTable;
    Object.assign(p, { cols, tall, u });
    this.steps(p);
    const heading = (from, x, words, look) => isRoomy && x !== null && step >= from && add(text(x, 48, words, look));
    heading(MEET, cols.product, (wide ? f < 0.85 : isNarrow) ? "q · k" : "product", "end");
    heading(SCALE, cols.s, `÷ ${this.root(D)}`, "end");
    heading(SOFTMAX, cols.soft, "share");
    if (wide) heading(MIX, cols.v, "value times share");
    const query = N.vector("q", layer, head, t);
    p.query = this.strip(p, query, cols.k, 48, "query", { height: 14 });
    add(text(cols.k - 8, 48, wide ? "its query" : "q", "end of-query"));
    if (turns) this.dial(p, cols.k + 64 * u + 10, 48, t, "query");
    for (const k of keys) {
      const yy = Y(k);
      const later = D.causal && k > t;
      const isHidden = later && step >= MASK;
      const key = N.vector("k", layer, head, k);
      const delay = PER_KEY_MS * k + 200;
      const splits = (step === MEET || step === SCALE) && tall > 14;
      const keyLook = { height: splits ? tall * 0.6 : tall, opacity: isHidden ? 0.3 : k === c.key ? 1 : 0.75 };
      this.strip(p, key, cols.k, splits ? yy - tall * 0.2 : yy, "key", keyLook);
      // Number by number: what fits pushes the score up, what does not, down.
      const products = key.map((x, i) => x * query[i]);
      if (splits) this.strip(p, products, cols.k, yy + tall * 0.38, "attention", { height: tall * 0.4, coming: fresh && step === MEET, delay });
      if (turns && pitch > 9) this.dial(p, cols.k + 64 * u + 10, yy, k, "key");
      const point = isTable ? { onpointermove: (event) => this.isPointed(event) && p.point(t, k), onpointerleave: () => p.point() } : {};
      const area = this.area(nameRight - 60, yy - pitch / 2, cols.soft + 84 - nameRight + 60, pitch, () => m.set({ key: k, token: t }));
      const isTold = p.isTold(k);
      const bold = k === c.key ? "b" : "";
      const ink = isHidden ? "later" : "ink";
      const comes = (at) => (fresh && step === at ? "fade" : "");
      const { product, score } = this.pair(c, t, k);
      const delayed = { style: `animation-delay: ${delay}ms` };
      const meets = `end ${ink} ${size} ${step === MEET ? bold : ""} ${comes(MEET)}`;
      if (isTold && cols.product !== null) add(text(cols.product, yy, fixed(product), meets, delayed));
      const divided = isHidden ? "hidden" : fixed(score);
      if (isTold && step >= SCALE) add(text(cols.s, yy, divided, `end ${ink} ${size} ${bold} ${comes(later ? MASK : SCALE)}`));
      if (step >= SOFTMAX && !later) {
        const long = Math.max(1, shares[k] * cols.long);
        const isSmall = shares[k] < 0.005;
        const box = { x: cols.soft, y: yy - tall / 2 + 1, width: long, height: tall - 2, rx: 2 };
        add(svg("rect", { ...box, class: comes(SOFTMAX), fill: "var(--cx-attention)", "fill-opacity": bold ? 1 : 0.6 }));
        const words = isSmall ? "0 %" : percent(shares[k]);
        const look = `${size} ${bold || "plain"} ${comes(SOFTMAX)} ${isSmall ? "later" : "of-attention"}`;
        if (isTold || shares[k] >= 0.1) add(text(cols.soft + long + 6, yy, words, look));
      }
      if (step === MIX && !later) {
        const look = { height: tall, opacity: 0.06 + 0.94 * shares[k], coming: fresh };
        this.strip(p, N.vector("v", layer, head, k), cols.v, yy, "value", look);
      }
      if (!isHidden) add(filled(area, point));
    }
    if (step === MIX) this.mix(p);
    else this.table(p);
    const group = D.H / D.G;
    const others = range(D.H).filter((each) => each !== head && Math.floor(each / group) === Math.floor(head / group));
    const shared = group > 1 && wide ? ` Head ${head} shares its keys and values with ${others.join(" and ")}.` : "";
    const hands = turns && step === MEET ? " The small hands: by how much its place turns each." : "";
    const left = wide ? px + 16 : px + 8;
    const lines = this.wrapped(`${this.purpose(c)}${step === MIX ? shared : hands}`, (px + pw - left) / (f > 0.9 && wide ? 5.95 : 6.4));
    const first = p.H - 16 * lines.length;
    const taken = step === MIX ? Math.max(end + 22, 330) + 45 : 0;
    if (taken < first) lines.forEach((words, i) => add(text(left, first + 16 * i, words, "s13")));
    if (!wide || isTable) return;
    const box = { x: X.m0 + 6, y: y - 12, width: X.m1 - X.m0 - 12, height: 24, rx: 10 };
    add(this.plus(p, X.p1, "attention"), svg("rect", { ...box, class: "mlp hit", onclick: () => m.set({ part: "mlp" }) }));
    add(text((X.m0 + X.m1) / 2, y, "MLP", "mid on-mlp"), this.plus(p, X.p2, "mlp"));
  },
  /** Whether the mouse moved there, and not the drawing beneath it. */
  isPointed: (event) => event.pointerType === "mouse" && (event.movementX !== 0 || event.movementY !== 0),
  root: ({ K }) => String(+Math.sqrt(K).toFixed(1)),
  /** The numbers of one pair; a share of null: the mask hides it. */
  pair({ D, N, layer, head }, q, k) {
    const score = N.score(layer, head, q, k);
    return { product: Math.sqrt(D.K) * score, score, share: D.causal && k > q ? null : N.shares(layer, head, q)[k] };
  },
  told(c, q, k) {
    const { product, score, share } = this.pair(c, q, k);
    const gets = share === null ? "hidden, as it comes later" : `share ${percent(share)}`;
    return `product ${fixed(product)}, ÷ ${this.root(c.D)}: ${fixed(score)}, ${gets}`;
  },
  /** What each step is for. */
  purpose({ D, N, token: t, layer, head, step }) {
    const shares = N.shares(layer, head, t);
    const first = shares.indexOf(Math.max(...shares));
    const undivided = softmaxed(shares.map((_, k) => Math.sqrt(D.K) * N.score(layer, head, t, k)))[first];
    const root = `√${D.K} = ${this.root(D)}`;
    const change = `${bare(D.tokens[first])} would get ${percent(undivided)} instead of ${percent(shares[first])}`;
    return [
      `The better a key fits the query, the larger the sum of their ${D.K} products.`,
      `A sum of ${D.K} products grows with ${root}: hence the division. Without it ${change}, and a sure softmax hardly learns.`,
      D.causal
        ? "It learns to say the next token, so it must not see it: a hidden score counts as −∞, and its share will be 0."
        : "It fills gaps, so it may look to both sides.",
      "Shares are above 0 and sum to 1 in each row, so that what is mixed by them stays of one size.",
      "Each token hands over its value, and its share says how much of that is mixed in.",
    ][step - MEET];
  },
  /** What all tokens ask of all, at this step: a row for each query, a column for each key. */
  table(p) {
    const { m, c, add, text, px, pw, f, wide, step, H, keys, top, pitch } = p;
    const { D, n, token: t } = c;
    const y0 = wide ? 112 : top + keys.length * pitch + 48;
    const room = Math.min(wide ? 268 * f : pw - 80, H - y0 - (wide ? 54 : 98));
    const x0 = px + (wide ? 520 * f : Math.max(66, (pw - room) / 2));
    const size = room / n;
    const pairs = range(n).map((q) => range(n).map((k) => this.pair(c, q, k)));
    const most = Math.max(...pairs.flat().map(({ score }) => Math.abs(score)));
    const gap = size > 10 ? 1 : 0;
    const isWordy = size > 11.6;
    const isTight = wide && f < 0.85 && step === SOFTMAX; // the shares reach up to the table
    const deep = m.isDark() ? { stream: 0.55, key: 0.65, attention: 0.95 } : { stream: 0.55, key: 0.5, attention: 0.5 }; // from here on another ink
    const name = (i) => bare(D.tokens[i]).slice(0, 12);
    const asked = (q, k) => (q === k ? "itself" : name(k));
    const cells = pairs.flatMap((row, q) => row.flatMap(({ product, score, share }, k) => {
      const isHidden = share === null && step >= MASK;
      const isShare = step === SOFTMAX;
      const depth = isShare ? (share ?? 0) : Math.abs(score) / most;
      const kind = isShare ? "attention" : score < 0 ? "stream" : "key";
      const mixed = `color-mix(in srgb, var(--cx-${kind}) ${(100 * depth).toFixed(0)}%, var(--cx-back))`;
      const fill = isHidden ? "color-mix(in srgb, var(--edge) 30%, var(--panel))" : mixed;
      const [x, y] = [x0 + k * size, y0 + q * size];
      const shown = step === MEET ? (size > 34 ? fixed(product) : String(Math.round(product)).replace("-", "−")) : fixed(score);
      const number = isHidden ? (isShare ? "0" : "−∞") : isShare ? (100 * share).toFixed(0) : shown;
      const box = svg("rect", { x, y, width: size - gap, height: size - gap, style: `fill: ${fill}`, class: "square" });
      if (size < (isShare ? 18 : 25)) return [box];
      const ink = depth > deep[kind] ? (kind === "stream" ? "on-stream" : "on-attention") : "ink";
      const look = isHidden ? "later" : ink;
      return [box, text(x + (size - gap) / 2, y + (size - gap) / 2, number, `pair mid plain ${size > 40 ? "s14" : "s12"} ${look}`)];
    }));
    range(n).forEach((i) => {
      const isOn = [i === t, i === c.key];
      const names = [isOn[0] ? "of-query b" : "ink", isOn[1] ? "of-key b" : "ink"].map((look) => `s12 ${look}`);
      if ((isWordy && !isTight) || isOn[0]) add(text(x0 - 6, y0 + (i + 0.5) * size, name(i), `end ${names[0]}`));
      if (isWordy || isOn[1]) add(text(0, 0, name(i), names[1], { transform: `translate(${x0 + (i + 0.5) * size}, ${y0 - 8}) rotate(-52)` }));
    });
    if (wide) add(text(x0 + room, 48, step === SOFTMAX ? "each row: 100 %" : "row: query, column: key", "end"));
    const row = { x: x0 - 2, y: y0 + t * size - 1.5, width: room + 3, height: size + 2, rx: 3 };
    const frame = svg("rect", { width: size - gap, height: size - gap, fill: "none", stroke: "var(--cx-text)", "stroke-width": 2 });
    const [sx, sy] = wide ? [px + 16, H - 66] : [px + 8, H - 82];
    const [who, what] = [text(sx, sy, "", "slot ink s14"), text(sx, sy + 17, "", "slot ink s14")];
    /** The numbers of a pair that is pointed at, else of the chosen one: words and a frame only, nothing is drawn anew. */
    p.point = (q = t, k = c.key) => {
      filled(frame, { x: x0 + k * size, y: y0 + q * size });
      who.replaceChildren(svg("tspan", { class: "of-query b" }, name(q)), " asks ", svg("tspan", { class: "of-key b" }, asked(q, k)));
      setText(what, this.told(c, q, k));
    };
    p.point();
    const at = (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      const place = (from, whole) => clamp(Math.floor((from / whole) * n), 0, n - 1);
      return [place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width)];
    };
    const choose = (q, k) => m.set({ token: q, key: Math.min(k, D.sees(q, n) - 1) });
    const hit = svg("rect", {
      x: x0, y: y0, width: room, height: room, class: "hit", fill: "transparent",
      onpointermove: (event) => this.isPointed(event) && p.point(...at(event)),
      onpointerleave: () => p.point(),
      onclick: (event) => choose(...at(event)),
    });
    const onkeydown = (event) => {
      if (!(event.key in MOVES) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      const [down, right] = MOVES[event.key];
      choose(clamp(t + down, 0, n - 1), clamp(c.key + right, 0, n - 1));
    };
    const told = `${name(t)} asks ${asked(t, c.key)}: ${this.told(c, t, c.key)}`;
    const slider = {
      role: "slider", tabindex: 0, "data-at": "pairs", "aria-label": "Query and key",
      "aria-valuemin": 1, "aria-valuemax": n * n, "aria-valuenow": t * n + c.key + 1, "aria-valuetext": told,
    };
    const zone = svg("rect", { class: "zone", x: x0 - 4, y: y0 - 4, width: room + 8, height: room + 8, rx: 5 });
    const looks = svg("rect", { ...row, fill: "none", stroke: "var(--cx-query)", "stroke-width": 1.5 });
    add(svg("g", { class: "open", ...slider, onkeydown }, zone, cells, looks, frame, hit), who, what);
  },
  /** The heads side by side, times W_o: what attention adds to the stream. */
  join(p) {
    const { m, c, add, text, wide, px, pw, f, H } = p;
    const { D, N, token: t, layer, head } = c;
    this.steps(p);
    const [x, width] = wide ? [px + 112 * f, 200 * f] : [px + 40, pw * 0.4];
    const pitch = Math.min(30, 268 / D.H);
    const y = (n) => 84 + (n + 0.5) * pitch;
    add(text(x, 60, wide ? `what its ${D.H} heads gathered, ${D.K} numbers each` : `${D.H} heads`));
    range(D.H).forEach((n) => {
      this.strip(p, N.mixed(layer, n, t), x, y(n), "value", { width, height: Math.min(18, pitch - 3), opacity: n === head ? 1 : 0.6 });
      add(text(x - 10, y(n), String(n), `end s14 ${n === head ? "of-value b" : "ink"}`));
      add(this.area(x - 34, y(n) - pitch / 2, width + 44, pitch, () => m.set({ head: n })));
    });
    const [top, bottom, middle] = [84, 84 + D.H * pitch, 84 + (D.H * pitch) / 2];
    const [from, to] = [x + width + 8, x + width + (wide ? 130 * f : 66)];
    add(svg("path", {
      d: `M${from},${top} C${from + 40},${top} ${to - 50},${middle} ${to},${middle} C${to - 50},${middle} ${from + 40},${bottom} ${from},${bottom} Z`,
      fill: "var(--cx-attention)",
      "fill-opacity": 0.25,
    }));
    add(text((from + to) / 2 - 6, middle, wide ? "times W_o" : "W_o", "mid of-attention b"));
    add(this.stroke(`M${to + 12},60 V${bottom + 24}`, "stream", 4), this.plus({ y: middle }, to + 12, "attention", 10));
    const added = percent(N.share(layer, t).attention);
    const told = wide ? [`${D.D} numbers are added`, `to the stream: ${added}`, "of its length"] : ["adds", added];
    told.forEach((words, i) => add(text(to + 30, middle + 18 * (i - (told.length - 1) / 2), words, "ink s14")));
    const joined = `What the ${D.H} heads found is put side by side: ${D.H} times ${D.K} = ${count(D.H * D.K)} numbers.`;
    const left = wide ? x : px + 8;
    const lines = this.wrapped(`${joined} W_o, a matrix found by training, lets each head write anywhere in the stream.`, (px + pw - left) / 6.1);
    lines.forEach((words, i) => add(text(left, H - 14 - 17 * (lines.length - 1 - i), words, "s13")));
  },
  mix(p) {
    const { m, c, add, text, X, y, pw, end, wide, cols, u, fresh } = p;
    const { D, N, token: t, layer, head } = c;
    const ym = Math.min(Math.max(end + 22, 330), 384);
    const right = cols.v + 64 * u;
    this.strip(p, N.mixed(layer, head, t), cols.v, ym, "value", { height: 18, coming: fresh });
    add(svg("line", { x1: cols.v, x2: right, y1: ym - 16, y2: ym - 16, stroke: "var(--cx-soft)" }));
    add(text(cols.v - 8, ym, wide ? "the sum of all, by their shares" : "sum", "end"));
    const side = y < ym ? 1 : -1;
    if (wide) add(this.stroke(`M${right},${ym} H${X.p1 - 14} Q${X.p1},${ym} ${X.p1},${ym - 14 * side} V${y + 9 * side}`, "attention", 2.5));
    if (!D.writes) return;
    const words = D.words(layer, head, t) ?? m.askWords(layer, head);
    const said = svg("tspan", { class: "of-value b" }, words ? words.slice(0, pw < 340 ? 3 : 4).map(word).join(" · ") : "…");
    add(text(wide ? right : pw - 8, ym + 27, [wide && p.f > 0.8 ? `What head ${head} adds, read as an output: ` : "reads ", said], "end s14"));
  },
  /** The ribbons of the closed layer become the rows of the table. */
  bend(p, ribbons) {
    const { c, v, cols, Y, tall } = p;
    const shade = (k) => ({ fill: "var(--cx-attention)", "fill-opacity": k === c.key ? 0.95 : 0.5 });
    const made = ribbons.map((ribbon) => ({ ...ribbon, node: svg("path", shade(ribbon.k)) }));
    v.picture.append(...made.map((each) => each.node));
    const began = performance.now();
    const frame = (now) => {
      const s = Math.min((now - began) / BENDING_MS, 1);
      const eased = s < 0.5 ? 2 * s * s : 1 - 2 * (1 - s) * (1 - s);
      const go = (a, b) => a + (b - a) * eased;
      for (const { k, from, to, y1, y2, a, b, node } of made) {
        const [start, stop] = [go(from, cols.k), go(to, cols.soft + 58)];
        const now_ = { from: start, to: stop, y1: go(y1, Y(k)), y2: go(y2, Y(k)), a: go(a, tall / 2), b: go(b, tall / 2) };
        node.setAttribute("d", this.band(now_));
        node.style.opacity = s < 0.6 ? 1 : (1 - s) / 0.4;
      }
      if (s < 1 && v.picture.isConnected) requestAnimationFrame(frame);
      else for (const { node } of made) node.remove();
    };
    frame(began);
  },
  /** The query goes down from key to key. */
  slide({ c, v, Y, query }) {
    const moving = query.cloneNode();
    moving.getContext("2d").drawImage(query, 0, 0);
    v.codes.append(moving);
    const rows = c.D.causal ? c.token + 1 : c.n;
    const stops = range(rows).map((k) => ({ top: `${Y(k) - 12}px`, opacity: 0.9 }));
    const frames = [{ top: query.style.top, opacity: 1 }, ...stops, { top: `${Y(rows - 1)}px`, opacity: 0 }];
    const gone = () => moving.remove();
    moving.animate(frames, { duration: PER_KEY_MS * rows + 300, easing: "ease-in-out" }).finished.then(gone, gone);
  },

  // ---------------------------------------------------------------------------------------------- q, k, v; start and end
  /** From the stream over the norm to query, key and value, and how two of them are turned. */
  making(p) {
    const { c, add, text, wide, px, f, pw } = p;
    const { D, N, token: t, layer, head } = c;
    const isLong = wide && f > 0.8;
    this.steps(p);
    const size = { width: wide ? 128 * f : 76, height: 18 };
    const { width } = size;
    const [x0, x1, x2] = wide ? [px + 40 * f, px + 330 * f, px + 600 * f] : [px + 10, px + pw * 0.38, px + pw * 0.74];
    const label = (x, y, words, look = "") => add(text(x, y, words, `s13 ${look}`));
    const chosen = svg("tspan", { class: "of-query b" }, bare(D.tokens[t]));
    label(x0, 84, [chosen, wide ? ` enters layer ${layer}` : ""]);
    this.strip(p, N.vector("x", layer, 0, t), x0, 108, "stream", size);
    label(x0, 130, `length ${fixed(N.length(layer, t))}`);
    add(this.stroke(`M${x0 + 10},142 v36`, "stream", 2.5));
    if (isLong) ["the norm makes", "it one size"].forEach((words, i) => label(x0 + 20, 152 + 16 * i, words, "ink"));
    else label(x0 + 20, 160, "norm", "ink");
    this.strip(p, N.vector("read", layer, 0, t), x0, 196, "stream", size);
    if (wide) label(x0, 220, `${isLong ? "the first " : ""}${Math.min(64, D.D)} of ${D.D}`);
    const kinds = [["q", "query", "what it asks for"], ["k", "key", "what it can be found by"], ["v", "value", "what it gives"]];
    const thin = { "stroke-opacity": 0.7 };
    kinds.forEach(([kind, name, meaning], i) => {
      const y = 108 + 88 * i;
      const turned = N.vector(kind, layer, head, t);
      const turns = kind !== "v" && D.base !== null;
      const from = x0 + width + 6;
      add(this.stroke(`M${from},196 C${from + 54 * f},196 ${x1 - 60 * f},${y} ${x1 - 8},${y}`, name, 2.5, thin));
      if (wide) label(x1 - 12, kind === "v" ? y + 14 : y - 12, isLong ? `times W_${kind}` : `W_${kind}`, `end plain of-${name}`);
      label(x1, y - 22, [svg("tspan", { class: `of-${name}` }, `${name} `), wide ? meaning : ""]);
      this.strip(p, turns ? N.unturned(kind, layer, head, t) : turned, x1, y, name, size);
      if (!turns) return;
      add(this.stroke(`M${x1 + width + 8},${y} H${x2 - 8}`, name, 2.5, thin));
      this.dial(p, (x1 + width + x2) / 2, y, t, name, 10);
      if (wide) label(x2, y - 22, isLong ? `turned by its place, ${t}` : "turned");
      this.strip(p, turned, x2, y, name, size);
    });
    const shared = D.G < D.H ? `, ${D.G} keys and ${D.G} values` : ", keys and values";
    const hand = D.base === null ? "" : " The hand shows the first pair of numbers: at place t it is turned by t radians, the others by less.";
    const told = [`${D.H} queries${shared} of ${D.K} numbers each; this is head ${head}.`, hand];
    const lines = told.flatMap((words) => this.wrapped(words, (px + pw - x0) / 6.1));
    lines.filter(Boolean).forEach((words, i) => label(x0, 372 + 20 * i - (wide ? 0 : 24), words));
  },
  /** Where the vectors begin: rows of the table. */
  start(p) {
    const { m, c, add, text, wide, px, pw, f, Y, pitch, nameRight, H } = p;
    const { D, N, token: t } = c;
    const [row, x] = wide ? [nameRight + 66, px + 190 * f] : [px + 108, px + 116];
    const width = wide ? 470 * f : pw - 128;
    const height = clamp(pitch - 4, Math.min(pitch - 1, 8), 24);
    const numbers = wide ? `in a table of ${count(D.vocabulary)} rows: ${D.D} numbers, of which 64 are shown` : `${D.D} numbers`;
    this.closing(p, "Embedding");
    add(text(nameRight, 48, "token", "end"), text(row, 48, wide ? "its row" : "row", "end"), text(x, 48, numbers));
    range(c.n).forEach((i) => {
      const isOn = i === t;
      const name = text(nameRight, Y(i), bare(D.tokens[i]).slice(0, 12), `end ${p.size} ${isOn ? "of-query b" : "ink"}`);
      if (p.isTold(i)) add(name, text(row, Y(i), count(D.ids[i]), `end ${p.size}`));
      this.strip(p, N.vector("x", 0, 0, i), x, Y(i), "stream", { width, height, opacity: isOn ? 1 : 0.55 });
      add(this.area(px, Y(i) - pitch / 2, pw, pitch, () => m.set({ token: i })));
    });
    if (!wide) return;
    const turned = "Equal tokens begin equal: their places come in later, where queries and keys are turned.";
    const where = D.base === null ? "A vector for its place is added: so equal tokens differ." : turned;
    const lengths = `At the start its length is ${fixed(N.length(0, t))}; after ${D.L} layers have added to it, ${fixed(N.length(D.L, t))}.`;
    const lines = this.wrapped(`${where} ${lengths}`, (pw - 60 * f) / 6.3);
    lines.forEach((words, i) => add(text(px + 40 * f, H - 14 - 20 * (lines.length - 1 - i), words, "s13")));
  },
  /** How the last vector becomes chances: the norm, a score for each token, the softmax. */
  end(p) {
    const { c, add, text, wide, px, pw } = p;
    const { D, token: t } = c;
    this.closing(p, "Norm, scores, softmax");
    const f = wide ? p.f : 1;
    const x = px + (wide ? 40 * f : 12);
    const product = `Its product with each of the ${count(D.vocabulary)} rows of the table is a score`;
    const how = wide
      ? `The last vector goes through a norm. ${product}; softmax raises e to the power of each and divides by the sum.`
      : "A norm, then a score for each token; softmax makes chances of them.";
    const lines = this.wrapped(how, (pw - (wide ? 50 * f : 12)) / 6.9);
    lines.forEach((words, i) => add(text(x, 62 + 20 * i, words, "ink s14")));
    const shown = Math.min(10, D.shown);
    const { p: chances } = D.chances(t, c, shown);
    const scores = range(shown).map((i) => D.a.next_logits[t * D.shown + i]);
    const isTempered = c.temperature > 0 && (wide || c.temperature !== 1);
    const cols = wide
      ? { score: 150, bar: 166, room: 110, bent: 330, p: 420, end: 436, width: 240 }
      : isTempered
        ? { score: 100, bar: 106, room: 34, bent: 192, p: 246, end: 252, width: pw - 276 }
        : { score: 100, bar: 108, room: 70, p: 222, end: 228, width: pw - 252 };
    const at = (value) => x + value * f;
    add(text(at(cols.score), 132, "score", "end"), text(at(cols.p), 132, "chance", "end"));
    const isCut = (i) => chances[i] === 0;
    if (isTempered) add(text(at(cols.bent), 132, `÷ ${c.temperature.toFixed(1)}`, "end"));
    if (c.temperature === 0) add(text(at(cols.end), 132, wide ? "at temperature 0 the likeliest gets all" : "at temperature 0"));
    scores.forEach((score, i) => {
      const y = 154 + 24 * i;
      const name = word(D.pieces[D.a.next_ids[t * D.shown + i]]).slice(0, wide ? 18 : 8);
      const bar = (from, long, height, look) => svg("rect", { x: at(from), y: y - height / 2, width: Math.max(1, long * f), height, rx: 2, class: look });
      add(text(x, y, name, `s14 ${isCut(i) ? "later" : i ? "ink" : "of-token b"}`));
      add(text(at(cols.score), y, fixed(score), `end s14 ${isCut(i) ? "later" : "ink"}`));
      add(bar(cols.bar, (cols.room * (score - D.low)) / (scores[0] - D.low), 12, "edge"));
      if (isTempered) add(text(at(cols.bent), y, fixed(score / c.temperature), `end s14 ${isCut(i) ? "later" : "ink"}`));
      if (isCut(i)) add(text(at(cols.p), y, "cut", "end s14 later"));
      else add(text(at(cols.p), y, percent(chances[i]), "end s14 ink"), bar(cols.end, chances[i] * cols.width, 16, "token"));
    });
    const settings = f > 0.9 && wide ? " Temperature, top-k and top-p are set in “What comes next”." : "";
    add(text(x, 410, `${wide ? "The lowest of all scores" : "The lowest score"} is ${fixed(D.low)} or a little more.${settings}`, "s14"));
  },
  closing(p, title) {
    const { px, add, text, c } = p;
    const words = [text(px + 16, 20, `← Layer ${c.layer}`), text(px + 112, 20, title, "title ink")];
    add(this.button(p, "back", "Close", { part: "" }, [px + 8, 8, 84, 24], words));
  },
  /** Words in lines of so many letters. */
  wrapped(words, most) {
    const lines = [""];
    for (const each of words.trim().split(/ (?!%)/)) {
      if (lines.at(-1) && lines.at(-1).length + each.length >= most) lines.push("");
      lines.push(`${lines.pop()} ${each}`.trim());
    }
    return lines;
  },

  place: (c) => ({ start: 0, mlp: 1, end: 0 })[c.part] ?? 2,
  say(m, c) {
    const { D, N, token: t, layer, head, step } = c;
    const q = tok(D.tokens[t], "query");
    const key = tok(D.tokens[c.key], "key");
    if (m.isOff(c) && c.part !== "start") return [this.place(c) ? ": " : "", ...m.told(c)];
    if (c.part === "start") return ["At the start ", q, " becomes ", em(String(D.D), "stream"), ` numbers: row ${count(D.ids[t])} of a table.`];
    if (c.part === "end") {
      const chance = em(percent(D.chances(t, c).p[0]), "token");
      return [`Of ${count(D.vocabulary)} scores softmax makes chances: `, tok(D.answer(t), "token"), " gets ", chance, "."];
    }
    const share = em(percent(N.shares(layer, head, t)[c.key]));
    const score = N.score(layer, head, t, c.key);
    if (c.part === "attention") {
      const later = c.n - 1 - t;
      const masked = later
        ? [": what comes after ", q, ` is hidden: ${later} of ${c.n} tokens.`]
        : [": nothing comes after ", q, " yet, so the mask hides nothing from it."];
      return [
        [": ", q, " asks with a query, is found by a key, and gives a value."],
        [": the query of ", q, " times the key of ", key, " is ", em(fixed(Math.sqrt(D.K) * score), "key"), "."],
        [": the product ", fixed(Math.sqrt(D.K) * score), ` divided by √${D.K} is the score `, em(fixed(score), "key"), "."],
        D.causal ? masked : [": no mask: ", q, " looks to both sides."],
        [": softmax makes of the score ", em(fixed(score), "key"), " a share of ", share, "."],
        [": ", share, " of what ", q, " gets is the value of ", tok(D.tokens[c.key], "value"), "."],
        [`: one of ${D.H}; together they add `, em(percent(N.share(layer, t).attention)), " of the stream’s length."],
      ][step - 1];
    }
    if (c.part === "mlp") {
      const [unit] = N.units(layer, t);
      const how = D.gated ? `: gate ${fixed(unit.gate)} times ${fixed(unit.up)} is ${fixed(unit.hidden)}.` : `, with ${fixed(unit.hidden)}.`;
      return [`: of ${count(D.F)} units, `, em(String(unit.n), "mlp"), " answers ", q, " most", how];
    }
    const rows = D.writes ? m.lensOf(c, t) : null;
    const [before, mid] = [rows?.[layer - 1]?.rank ?? null, rows?.[layer].mid.rank];
    const moves = `; all heads ${mid < before ? "lift" : "lower"} `;
    const moved = before === null || before === mid ? [] : [moves, tok(D.answer(t), "token"), " to ", em(nth(mid), "token")];
    return [": ", q, " gathers ", share, " from ", c.key === t ? "itself" : key, ...moved, "."];
  },
  text(m, c) {
    const { D, N, token: t, layer, head, n } = c;
    const name = (i) => bare(D.tokens[i]);
    if (c.part === "start") {
      return [`At the start each token is a row of a table, ${D.D} numbers:`, ...range(n).map((i) => `${name(i)}: row ${count(D.ids[i])}`)];
    }
    if (c.part === "end") return ["Of the highest scores these chances are made:", ...this.cuts(c)];
    const { attention, mlp } = N.share(layer, t);
    const pairs = range(n).map((q) => {
      const seen = range(D.sees(q, n)).map((k) => (q === t ? `${name(k)}: ${this.told(c, q, k)}` : `${name(k)} ${percent(this.pair(c, q, k).share)}`));
      const later = D.causal && q + 1 < n ? ` Hidden, as they come later: ${range(n).slice(q + 1).map(name).join(", ")}.` : "";
      return `${name(q)} asks ${seen.join("; ")}.${later}`;
    });
    const product = (unit) => (D.gated ? `${fixed(unit.gate)} × ${fixed(unit.up)} = ` : "");
    const units = N.units(layer, t).map((unit) => `unit ${unit.n}: ${product(unit)}${fixed(unit.hidden)}`);
    const words = D.writes ? (D.words(layer, head, t)?.map(word).join(", ") ?? "") : "";
    return [
      `Attention adds ${percent(attention)} of the stream's length, the MLP ${percent(mlp)}. Both read the stream through a norm.`,
      `Head ${head}, all pairs of query and key:`,
      ...pairs,
      `Its values are mixed by the shares.${words && ` Read as an output, what it adds says ${words}.`}`,
      `Joined, ${D.H} heads of ${D.K} numbers are ${count(D.H * D.K)}; times W_o they are added to the stream.`,
      `The MLP widens ${D.D} numbers to ${count(D.F)}. Strongest of these units:`,
      ...units,
    ];
  },
  /** The next tokens in words: score, what the temperature makes of it, and chance; or that they are cut. */
  cuts(c) {
    const { D, token: t } = c;
    const shown = Math.min(10, D.shown);
    const { p } = D.chances(t, c, shown);
    return p.map((chance, i) => {
      const score = D.a.next_logits[t * D.shown + i];
      const bent = c.temperature > 0 && c.temperature !== 1 ? `, ÷ ${c.temperature.toFixed(1)}: ${fixed(score / c.temperature)}` : "";
      return `${word(D.pieces[D.a.next_ids[t * D.shown + i]])}: score ${fixed(score)}${bent}, ${chance ? percent(chance) : "cut"}`;
    });
  },
  threads: () => [],
};
