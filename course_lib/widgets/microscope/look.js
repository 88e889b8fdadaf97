// Who looks where: a map of all heads, which answers one of several questions, and one head enlarged.

/** What most tokens do; narrow pages leave the first word out. */
const most = (does) => [h("span", { class: "long" }, "tokens "), does];

const MODES = {
  pair: (D, c) => [tok(D.tokens[c.token], "query"), " looks at ", c.key === c.token ? "itself" : tok(D.tokens[c.key], "key")],
  need: (D, c) => [tok(D.answer(c.token), "token"), " needs the head"],
  before: () => most("look one back"),
  first: () => most("look at the first"),
  self: () => most("look at themselves"),
  after: () => most("look at what followed them last time"),
  sheet: () => ["each has its own pattern"],
};
const RULED = { before: "at the one before", first: "at the first", self: "at itself", after: "at what followed it last time" };

/** For each rule the one token that q looks at by it, or null. */
function rules(D) {
  const earlier = (q) => range(q).findLast((k) => D.tokens[k] === D.tokens[q]) ?? null;
  const after = (q) => (earlier(q) === null || earlier(q) + 1 > q ? null : earlier(q) + 1);
  return { before: (q) => q - 1, first: () => 0, self: (q) => q, after };
}

/** The share that each token gives, on average, to the one that a rule names. */
function follows(N, n, layer, head, rule) {
  const given = range(n).slice(1).map((q) => [q, rule(q)]).filter(([, k]) => k !== null);
  return given.length ? sum(given.map(([q, k]) => N.shares(layer, head, q)[k])) / given.length : 0;
}

const lookView = {
  title: ["Who looks where", "Look"],
  how: [
    "Each square of the map is a head: layers from top to bottom, heads side by side, both counted from 0. Beside it you choose what makes a square bright.",
    "The dots are the chosen head: each row a token that looks, each column one that is looked at; a dot's area is the share.",
    "What a head looks at does not say whether it is needed: switching it off does.",
  ],
  build(m) {
    const { D } = m;
    const map = h("div", { class: "map", role: "slider", tabindex: 0, "aria-label": "Layer and head", "aria-valuemin": 1, "aria-valuemax": D.L * D.H });
    const cells = range(D.L * D.H).map(() => h("i"));
    const off = h("div");
    const chosen = h("div", { class: "mark" });
    const sheet = h("canvas", { "aria-hidden": "true" });
    const layers = range(D.L).map((l) => h("span", { class: "n" }, l));
    const heads = range(D.H).map((n) => h("span", { class: "n" }, n));
    const moreHeads = range(D.H).map((n) => h("span", { class: "n" }, n));
    map.append(sheet, ...cells, off, chosen, ...layers, ...heads, ...moreHeads);
    const v = { map, cells, off, chosen, sheet, layers, heads, moreHeads };
    const at = (event) => {
      const box = map.getBoundingClientRect();
      return v.at(event.clientX - box.left, event.clientY - box.top);
    };
    map.addEventListener("pointermove", (event) => event.pointerType === "mouse" && m.preview(at(event)));
    map.addEventListener("pointerleave", () => m.preview(null));
    map.addEventListener("click", (event) => m.set(at(event)));
    map.addEventListener("keydown", (event) => {
      if (!(event.key in MOVES) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const [down, right] = MOVES[event.key];
      m.set({ layer: clamp(m.state.layer + down, 0, D.L - 1), head: clamp(m.state.head + right, 0, D.H - 1) });
    });
    // The chosen head, enlarged.
    v.circles = range(D.T).map((q) => range(D.sees(q)).map(() => svg("circle")));
    v.band = svg("rect", { class: "band", rx: 4 });
    v.rowNames = D.tokens.map(() => svg("text", { "text-anchor": "end", "dominant-baseline": "central" }));
    v.columnNames = D.tokens.map(() => svg("text", { "dominant-baseline": "central" }));
    v.hit = svg("rect", { class: "hit" });
    v.ring = svg("rect", { fill: "none", stroke: "var(--cx-text)", "stroke-width": 1.5, rx: 3 });
    v.grid = svg("svg", { class: "grid", "aria-hidden": "true" }, v.band, v.circles.flat(), v.rowNames, v.columnNames, v.ring, v.hit);
    const cell = (event) => {
      const box = v.hit.getBoundingClientRect();
      const { n } = m.current();
      const token = clamp(Math.floor(((event.clientY - box.top) / box.height) * n), 0, n - 1);
      return { token, key: clamp(Math.floor(((event.clientX - box.left) / box.width) * n), 0, D.sees(token, n) - 1) };
    };
    v.hit.addEventListener("pointermove", (event) => event.pointerType === "mouse" && m.preview(cell(event)));
    v.hit.addEventListener("pointerleave", () => m.preview(null));
    v.hit.addEventListener("click", (event) => m.set(cell(event)));
    const group = uniqueId("mode");
    v.modes = Object.keys(MODES).map((name) => {
      const text = h("span");
      const input = h("input", { type: "radio", name: group, value: name, onchange: () => m.set({ mode: name }) });
      return { name, text, input, label: h("label", {}, input, text) };
    });
    v.hint = h("p");
    v.bar = h("progress", { max: 1, "aria-label": "Heads that were switched off" });
    v.aside = h("div", { class: "aside" }, h("fieldset", {}, h("legend", {}, "The map is bright where"), v.modes.map((x) => x.label)), v.bar, v.hint);
    v.map2 = h("button", { class: "quiet back", onclick: () => back() }, "← Back to the map");
    const back = () => {
      m.set({ mode: "pair" });
      v.map.focus();
    };
    v.lens = svg("svg", { class: "lens", "aria-hidden": "true" }, svg("rect"), svg("path"));
    m.stage.append(v.lens, map, v.grid, v.aside, v.map2);
    return v;
  },
  /** Where the squares of the map stand: in one column of layers, or, with patterns in them, in two. */
  layout(m, c) {
    const { D } = c;
    const W = m.stage.clientWidth;
    const wide = m.isWide();
    const isSheet = c.mode === "sheet";
    const columns = isSheet && D.L > 15 ? 2 : 1;
    const per = Math.ceil(D.L / columns);
    const room = wide ? (isSheet ? Math.min(560, W * 0.58) : W > 930 ? 270 : W > 800 && c.n < 13 ? 234 : 180) : isSheet ? W - 20 : 108;
    const y = wide ? 62 : 40;
    const height = clamp(Math.floor(((wide ? 364 : isSheet ? 250 : 364) - 0) / per), 6, 34);
    let width = clamp(Math.floor((room / columns - (columns > 1 ? 24 : 0)) / D.H), 6, 34);
    if (isSheet) width = Math.min(width, height);
    const size = isSheet ? width : height;
    const x = wide ? 46 : 20;
    const place = (l, n) => [Math.floor(l / per) * (D.H * width + 26) + n * width, (l % per) * size];
    return { W, wide, isSheet, columns, per, x, y, cw: width, ch: size, place, right: x + columns * D.H * width + (columns - 1) * 26, bottom: y + per * size };
  },
  draw(m, c, v) {
    const { D } = c;
    const g = this.layout(m, c);
    const { wide, cw, ch, isSheet } = g;
    v.at = (x, y) => {
      const column = clamp(Math.floor((x + 13) / (D.H * cw + 26)), 0, g.columns - 1);
      const layer = column * g.per + clamp(Math.floor(y / ch), 0, g.per - 1);
      return { layer: clamp(layer, 0, D.L - 1), head: clamp(Math.floor((x - column * (D.H * cw + 26)) / cw), 0, D.H - 1) };
    };
    Object.assign(v.map.style, { left: `${g.x}px`, top: `${g.y}px`, width: `${g.right - g.x}px`, height: `${g.bottom - g.y}px` });
    const px = (places) => Object.fromEntries(Object.entries(places).map(([name, value]) => [name, `${value}px`]));
    const set = (node, [left, top], width, height) => Object.assign(node.style, px({ left, top, width, height }));
    v.sheet.hidden = !isSheet;
    const repeats = range(c.n).some((q) => rules(D).after(q) !== null);
    const heads = range(D.L).flatMap((l) => range(D.H).map((n) => [l, n]));
    const bright = isSheet ? [] : heads.map(([l, n]) => this.brightness(m, c, l, n) ?? 0);
    heads.forEach(([l, n], i) => {
      const node = v.cells[i];
      node.hidden = isSheet;
      if (isSheet) return;
      const w = bright[i];
      const [x, y] = g.place(l, n);
      set(node, [x, y], cw, ch);
      node.style.setProperty("--w", clamp(Math.abs(w), 0, 1).toFixed(3));
      node.style.setProperty("--hue", `var(${w < 0 ? "--cx-token" : "--cx-attention"})`);
    });
    if (isSheet) this.drawSheet(m, c, v, g);
    const [mx, my] = g.place(c.layer, c.head);
    set(v.chosen, [mx - 1, my - 1], cw + 2, ch + 2);
    const crossed = [...c.off.heads.map(([l, n]) => [g.place(l, n), cw]), ...c.off.layers.map((l) => [g.place(l, 0), D.H * cw])];
    v.off.replaceChildren(...crossed.map(([place, width]) => {
      const node = h("div", { class: "off" });
      set(node, place, width, ch);
      return node;
    }));
    const every = ch >= 11 ? (D.L > 12 ? 5 : 1) : 5;
    v.layers.forEach((node, l) => {
      const [x, y] = g.place(l, 0);
      const isOn = l === c.layer;
      setAttribute(node, "data-on", isOn && "");
      node.hidden = !isOn && (l % every !== 0 || (every > 1 && Math.abs(l - c.layer) < 2 && l !== g.per)) && !(l === g.per && g.columns > 1);
      setText(node, l || !wide ? String(l) : "layer 0");
      Object.assign(node.style, { right: `calc(100% - ${x - 5}px)`, left: "auto", top: `${y + ch / 2 - 6}px` });
    });
    [v.heads, v.moreHeads].forEach((names, column) => names.forEach((node, n) => {
      const [x] = g.place(column * g.per, n);
      node.hidden = (column && g.columns < 2) || (cw < 12 && n !== c.head && n % 4 !== 0);
      setAttribute(node, "data-on", n === c.head && "");
      const isFirst = wide && n === 0 && column === 0 && cw >= 18;
      setText(node, isFirst ? "head 0" : String(n));
      const above = isFirst ? { left: "auto", right: `calc(100% - ${x + cw / 2 + 4}px)` } : { ...px({ left: x, width: cw }), textAlign: "center" };
      Object.assign(node.style, above, { top: "-15px" });
    }));
    setAttribute(v.map, "aria-valuenow", c.layer * D.H + c.head + 1);
    setAttribute(v.map, "aria-valuetext", `Layer ${c.layer}, head ${c.head}`);
    const canAsk = D.writes && (D.knowsNeeds() || m.canCompute());
    for (const mode of v.modes) {
      mode.input.checked = mode.name === c.mode;
      mode.label.hidden = (mode.name === "after" && !repeats) || (mode.name === "need" && !canAsk);
      if (!mode.label.hidden) mode.text.replaceChildren(...MODES[mode.name](D, c));
    }
    const waits = c.mode === "need" && !D.knowsNeeds();
    v.bar.hidden = !waits;
    v.bar.value = (D.needs?.filter((layer) => layer.p).length ?? 0) / D.L;
    const slow = m.hasLink ? " This takes minutes; another question stops it." : "";
    v.hint.replaceChildren(...(waits ? [`Each head is switched off, one after the other.${slow}`] : isSheet ? [] : this.found(c, bright)));
    this.drawHead(m, c, v, g);
    if (waits) m.askNeeds();
  },
  /** What the map shows now, in a line. */
  found(c, bright) {
    const { D, N, token: t } = c;
    const at = bright.indexOf(Math.max(...bright));
    const [layer, head] = [Math.floor(at / D.H), at % D.H];
    const brightest = em(`${layer}.${head}`);
    const whole = (share) => percent(share).replace(" ", "\u00a0"); // on one line
    if (c.mode === "need") {
      const [before, after] = [D.chances(t).p[0], D.alone(layer, head, t)?.p[0] ?? 0];
      return ["Brightest: ", brightest, `. Without it ${whole(before)} become ${whole(after)}. Blue: likelier without the head.`];
    }
    const most = range(bright.length).filter((i) => {
      const shares = N.shares(Math.floor(i / D.H), i % D.H, t);
      return c.mode === "pair" ? shares[c.key] === Math.max(...shares) : bright[i] > 0.5;
    });
    const many = `${most.length} of ${count(bright.length)} heads`;
    const told = c.mode === "pair" ? [tok(D.tokens[c.key], "key"), ` is what ${many} look at most.`] : [`By more than half: ${many}.`];
    const rests = (c.mode === "pair" && c.key === 0 && t > 0) || c.mode === "first" ? " Where nothing else fits, a head seems to rest at the first token." : "";
    return [...told, " Brightest: ", brightest, `, with ${whole(bright[at])}.`, rests];
  },
  brightness(m, c, layer, head) {
    const { D, N, token: t } = c;
    if (c.mode === "pair") return N.shares(layer, head, t)[c.key];
    if (c.mode !== "need") return follows(N, c.n, layer, head, rules(D)[c.mode]);
    const before = D.chances(t).p[0];
    const alone = D.alone(layer, head, t);
    return alone && (before - alone.p[0]) / before;
  },
  /** Every head as a small table, the stronger the more weight. */
  drawSheet(m, c, v, g) {
    const { D, N, n } = c;
    const colour = m.colour("--cx-attention");
    const name = [g.cw, n, colour, m.colour("--cell")].join();
    if (v.drawn === name && v.of === N) return;
    Object.assign(v, { drawn: name, of: N });
    const pen = sized(v.sheet, g.right - g.x, g.bottom - g.y);
    const ground = m.colour("--cell");
    const side = (g.cw - 2) / n;
    for (let l = 0; l < D.L; l += 1)
      for (let head = 0; head < D.H; head += 1) {
        const [x, y] = g.place(l, head);
        pen.globalAlpha = 1;
        pen.fillStyle = ground;
        pen.fillRect(x, y, g.cw - 2, g.cw - 2);
        pen.fillStyle = colour;
        for (let q = 0; q < n; q += 1) {
          const shares = N.shares(l, head, q);
          for (let k = 0; k < D.sees(q, n); k += 1) {
            if (shares[k] < 0.01) continue;
            pen.globalAlpha = Math.sqrt(shares[k]);
            pen.fillRect(x + k * side, y + q * side, side, side);
          }
        }
      }
  },
  drawHead(m, c, v, g) {
    const { D, N, n } = c;
    const { W, wide, isSheet } = g;
    const names = wide ? 74 : 52;
    const under = isSheet && !wide;
    const edge = under ? 0 : g.right + (wide ? 40 : 8);
    const left = edge + (wide ? 14 : 0) + names;
    const top = under ? g.bottom + 52 : g.y + (wide ? 46 : 40);
    const high = (wide ? 424 : 446) - top;
    const fitting = (across, down) => Math.min(wide ? 56 : 40, Math.floor((10 * Math.min(across, wide ? 336 : across)) / n) / 10, down / n);
    v.aside.hidden = isSheet;
    const beside = { left: `${W - 184}px`, width: "176px", right: "auto" };
    const below = { left: `${wide ? edge + 14 : left - names + 10}px`, width: "auto", right: wide ? "10px" : "4px" };
    const stand = (isBelow) => {
      Object.assign(v.aside.style, isBelow ? below : beside);
      setAttribute(v.aside, "data-pairs", wide && isBelow && "");
    };
    // The questions stand beside the dots, or, in a narrow page, below them, unless many tokens need the height.
    const free = W - left - (wide ? 14 : 6);
    const whole = fitting(free, high);
    const narrowed = fitting(W - left - 196, high);
    stand(W < 800);
    const lowered = fitting(free, high - v.aside.offsetHeight - 16);
    const isBelow = W < 800 && (!wide || lowered > narrowed);
    stand(isBelow);
    const side = isSheet ? whole : isBelow ? lowered : narrowed;
    v.aside.style.top = `${isBelow ? top + side * n + 14 : g.y + 2}px`;
    Object.assign(v.grid.style, { left: `${left}px`, top: `${top}px`, width: `${side * n}px`, height: `${side * n}px` });
    const every = Math.ceil(11.6 / side); // where there is no room for all names, every second stands
    v.circles.forEach((line, q) => {
      const w = q < n ? N.shares(c.layer, c.head, q) : [];
      line.forEach((circle, k) => {
        circle.setAttribute("cx", (k + 0.5) * side);
        circle.setAttribute("cy", (q + 0.5) * side);
        circle.style.r = `${k < n && w[k] >= 0.004 ? Math.sqrt(w[k]) * side * 0.49 : 0}px`;
        circle.style.opacity = q === c.token ? 1 : 0.38;
      });
      const style = (isOn, kind) => (isOn ? `fill: var(--${kind}-ink); font-weight: 700` : "");
      setText(v.rowNames[q], q < n && (q - c.token) % every === 0 ? bare(D.tokens[q]) : "");
      filled(v.rowNames[q], { x: -7, y: (q + 0.5) * side, style: style(q === c.token, "query") });
      setText(v.columnNames[q], q < n && (q - c.key) % every === 0 ? bare(D.tokens[q]) : "");
      filled(v.columnNames[q], { transform: `translate(${(q + 0.5) * side}, -6) rotate(-52)`, style: style(q === c.key, "key") });
    });
    filled(v.band, { x: 0, y: c.token * side, width: side * n, height: side });
    filled(v.ring, { x: c.key * side, y: c.token * side, width: side, height: side });
    filled(v.hit, { width: side * n, height: side * n });
    const [x, y] = g.place(c.layer, c.head);
    const [cx, cy] = [g.x + x + g.cw + 1, g.y + y];
    const [pt, pb] = under ? [g.bottom + 8, 450] : [wide ? g.y - 14 : g.y - 8, wide ? 430 : 448];
    const [panel, beam] = v.lens.children;
    filled(panel, { x: edge, y: pt, width: W - edge, height: pb - pt, rx: 10 });
    const d = under ? "" : `M${cx},${cy - 1} L${edge + 1},${pt + 8} V${pb - 8} L${cx},${cy + g.ch + 1} Z`;
    filled(beam, { d, opacity: isSheet ? 0.3 : 0.75 });
    setAttribute(v.grid, "data-off", m.chosenIsOff(c) && "");
    v.map2.hidden = !isSheet;
    Object.assign(v.map2.style, wide ? { right: "12px", top: `${g.y - 46}px` } : { right: "4px", top: "0px" });
  },
  place: 2,
  say(m, c) {
    const { D, N, token: t, layer, head } = c;
    if (m.isOff(c)) return [": ", ...m.told(c)];
    if (c.mode === "need" && D.knowsNeeds()) {
      const all = range(D.L * D.H).map((i) => D.alone(Math.floor(i / D.H), i % D.H, t).p[0]);
      const p = all[layer * D.H + head];
      const worse = all.filter((x) => x < p).length;
      const place = worse < 5 ? [": ", worse === 0 ? "the head it needs most." : `the ${nth(worse + 1)} of ${D.L * D.H}.`] : ["."];
      const before = D.chances(t).p[0];
      const verb = percent(p) === percent(before) ? " stays at " : p < before ? " falls to " : " rises to ";
      return [": without it ", tok(D.answer(t), "token"), verb, em(percent(p)), ...place];
    }
    if (c.mode in RULED) return [": on average a token looks ", em(percent(follows(N, c.n, layer, head, rules(D)[c.mode]))), ` ${RULED[c.mode]}.`];
    const w = N.shares(layer, head, t);
    const most = w.indexOf(Math.max(...w));
    const at = (k) => (k === t ? ["itself"] : k === 0 && t > 1 ? [tok(D.tokens[k], "key"), ", the first token"] : [tok(D.tokens[k], "key")]);
    const more = most === c.key ? [] : [`, and ${percent(w[most])} at `, ...at(most)];
    return [": ", tok(D.tokens[t], "query"), " looks ", em(percent(w[c.key])), " at ", ...at(c.key), ...more, "."];
  },
  text(m, c) {
    const { D, N, layer, head } = c;
    return range(c.n).map((q) => {
      const w = N.shares(layer, head, q).slice(0, c.n);
      const listed = w.map((p, k) => [p, k]).filter(([p]) => p >= 0.05).sort((a, b) => b[0] - a[0]);
      return `${bare(D.tokens[q])} looks at ${listed.map(([p, k]) => `${bare(D.tokens[k])} ${percent(p)}`).join(", ")}`;
    });
  },
  threads(m, c) {
    const from = m.foot(c.token);
    return c.N.shares(c.layer, c.head, c.token).slice(0, c.n).flatMap((share, k) => {
      if (share < 0.03) return [];
      const to = m.foot(k);
      if (Math.abs(to.line - from.line) > 2) return [];
      const depth = k === c.token ? 18 : clamp(16 + Math.abs(from.x - to.x) * 0.12, 18, 44);
      const round = `M${from.x - 4},${from.y} c-14,${depth} 22,${depth} 8,0`;
      const over = `M${from.x},${from.y} C${from.x},${from.y + depth} ${to.x},${to.y + depth} ${to.x},${to.y}`;
      const dashed = m.chosenIsOff(c) ? { "stroke-dasharray": "1 10" } : {};
      const look = { "stroke-width": 1 + 6 * share, "stroke-opacity": k === c.key ? 0.95 : 0.45, ...dashed };
      return [svg("path", { d: k === c.token ? round : over, stroke: "var(--cx-attention)", ...look })];
    });
  },
};
