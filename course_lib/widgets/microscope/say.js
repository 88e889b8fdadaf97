// What each layer would say: its words, and the way of the word that wins to the first place.

const cut = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

const sayView = {
  title: ["What each layer would say", "Say"],
  how: [
    "Each layer's stream, read as if it were the last: its likeliest word, and on the right the place of the word that wins in the end.",
    "Orange pieces of the line are attention's work, pink ones the MLP's. Early words are often noise: the head has learned to read the last layer.",
  ],
  build(m) {
    const layers = svg("svg", { class: "layers", role: "img" });
    const choice = h("input", { type: "checkbox", onchange: (event) => m.set({ map: event.target.checked }) });
    const lens = h("label", { class: "maps" }, choice, "through a fitted map");
    m.stage.append(layers, lens);
    return { layers, lens };
  },
  draw(m, c, v) {
    const { D, token: t } = c;
    const W = m.stage.clientWidth;
    const wide = m.isWide();
    const rows = m.lensOf(c, t);
    v.lens.hidden = !D.a.map_id;
    v.lens.firstChild.checked = Boolean(c.map);
    if (!rows) {
      v.layers.replaceChildren(svg("text", { x: 0, y: 40 }, "The layers are read …"));
      return;
    }
    const isMapped = Boolean(c.map) && rows[0].map !== null;
    const [top, tall] = [24, clamp(402 / D.L, 8, 26)];
    const x = wide ? { word: 34, share: 188, bar: 196, bars: 100, from: 336, to: W - 66 } : { word: 24, share: 122, bar: 0, bars: 0, from: 136, to: W - 16 };
    const answer = D.answer(t);
    const read = rows.map((row) => (isMapped ? row.map : row));
    const worst = Math.max(...read.map((r) => r.rank), ...rows.map((r) => r.mid.rank), Math.min(100, D.vocabulary));
    const far = 10 ** Math.min(Math.ceil(Math.log10(worst) - 0.3), Math.floor(Math.log10(D.vocabulary)));
    const at = (rank) => x.to - (x.to - x.from) * (Math.log10(rank) / Math.log10(Math.max(far, worst)));
    const y = (l) => top + l * tall;
    const parts = [svg("rect", { class: "band", x: 0, y: y(c.layer), width: W, height: tall, rx: 4 })];
    const text = (attributes, ...words) => parts.push(svg("text", attributes, ...words));
    const ink = "fill: var(--token-ink); font-weight: 700";
    for (let r = 1; r <= far; r *= 10) {
      const line = r === 1 ? { stroke: "var(--cx-token)", "stroke-width": 2 } : { stroke: "var(--line)" };
      parts.push(svg("path", { d: `M${at(r)},${top - 4} V${y(D.L)}`, ...line }));
      const isNamed = wide || r === 1 || r === far || r === 100;
      if (isNamed) text({ x: at(r), y: 12, "text-anchor": r === far && !wide ? "start" : "middle", style: r === 1 ? ink : "" }, nth(r));
    }
    // With one part off only the answer was recorded: what is drawn is the text with all on.
    const isStale = m.isOff(c) && c.N === c.D;
    const first = isStale ? Math.min(...c.off.layers, ...c.off.heads.map(([l]) => l)) : D.L;
    text({ x: 0, y: 12 }, isStale ? (wide ? "layer said, with all on" : "with all on") : wide ? "layer would say" : "would say");
    if (wide) text({ x: at(far) - 36, y: 12, "text-anchor": "end" }, svg("tspan", { style: ink }, bare(answer)), " is its");
    rows.forEach((_, l) => {
      const { word: piece, p } = read[l];
      const isNew = l === 0 || read[l - 1].word !== piece;
      const base = { y: y(l) + tall / 2, "dominant-baseline": "central", opacity: l < first ? 1 : 0.45 };
      text({ ...base, x: wide ? 20 : 16, "text-anchor": "end", style: l === c.layer ? "fill: var(--cx-text); font-weight: 700" : "" }, l);
      const isAnswer = piece === answer;
      const look = { "data-new": (isNew || l === c.layer) && "", "data-answer": isAnswer && "" };
      text({ ...base, class: "word", x: x.word, ...look }, cut(word(piece), wide ? 18 : 9));
      text({ ...base, x: x.share, "text-anchor": "end" }, percent(p));
      if (c.off.layers.includes(l)) parts.push(svg("path", { d: `M0,${y(l) + tall / 2} H${x.share}`, stroke: "var(--cx-text)", "stroke-width": 1.5 }));
      const bar = { x: x.bar, y: y(l) + 2.5, width: Math.max(1, p * x.bars), height: tall - 5, rx: 1.5 };
      if (x.bars) parts.push(svg("rect", { ...bar, class: isAnswer ? "token" : "edge", opacity: l < first ? 1 : 0.45 }));
    });
    // The way of the answer: attention's part and the MLP's part of each layer.
    const path = isMapped ? this.mapped(read, at, y, tall) : this.way(rows, at, y, tall);
    path.forEach(({ part, line, l }) => parts.push(svg("line", { ...line, class: "step", stroke: `var(--cx-${part})`, opacity: l < first ? 1 : 0.35 })));
    parts.push(svg("circle", { cx: at(read.at(-1).rank), cy: y(D.L), r: 5, fill: "var(--cx-token)" }));
    if (!isMapped) this.nameSteps(path, { x, at, y, tall, wide }, text);
    if (wide) text({ x: at(1) + 10, y: y(D.L) - 2, style: `${ink}; font-size: 14px` }, bare(answer));
    rows.forEach((_, layer) => {
      const onpointermove = (event) => event.pointerType === "mouse" && m.preview({ layer });
      parts.push(svg("rect", { class: "hit", x: 0, y: y(layer), width: W, height: tall, onpointermove, onclick: () => m.set({ layer }) }));
    });
    v.layers.onpointerleave = () => m.preview(null);
    setAttribute(v.layers, "aria-label", this.text(m, c).join(". "));
    v.layers.replaceChildren(...parts);
  },
  way(rows, at, y, tall) {
    let before = rows[0].mid.rank;
    return rows.flatMap((row, l) => {
      const from = before;
      before = row.rank;
      const attention = { part: "attention", l, from, to: row.mid.rank, line: { x1: at(from), y1: y(l), x2: at(row.mid.rank), y2: y(l) + tall / 2 } };
      const mlp = { part: "mlp", l, from: row.mid.rank, to: row.rank, line: { x1: at(row.mid.rank), y1: y(l) + tall / 2, x2: at(row.rank), y2: y(l) + tall } };
      return l > 0 ? [attention, mlp] : [mlp];
    });
  },
  mapped(read, at, y, tall) {
    const ends = read.map((row, l) => [at(row.rank), y(l) + tall]);
    return ends.slice(1).map(([x2, y2], l) => ({ part: "stream", l: l + 1, line: { x1: ends[l][0], y1: ends[l][1], x2, y2 } }));
  },
  /** The largest step of each part is named, where nothing is in the way. */
  nameSteps(path, { x, at, y, tall, wide }, text) {
    const taken = path.map(({ line }) => [Math.min(line.x1, line.x2) - 4, Math.max(line.x1, line.x2) + 4, line.y1 - 8, line.y2 + 8]);
    for (const part of ["attention", "mlp"]) {
      const gain = (step) => Math.log(step.from / step.to);
      const best = path.filter((step) => step.part === part && step.l > 0).reduce((most, step) => (most && gain(most) >= gain(step) ? most : step), null);
      if (!best || gain(best) < 0.6) continue;
      const words = `${part === "mlp" ? "MLP" : "attention"}${wide ? ` of layer ${best.l}` : ""}: ${nth(best.from)} to ${nth(best.to)}`;
      const long = words.length * (wide ? 6.8 : 5.7);
      const [x1, x2, line] = [at(best.from), at(best.to), y(best.l) + (part === "mlp" ? 0.75 : 0.25) * tall];
      const left = x1 - 14 - long;
      const end = at(1) - 10 - long;
      const beside = [[x2 + 14, line], [left, line], [left, line + tall / 2], [x2 + 14, line - tall / 2]];
      const places = [...beside, [end, line + 1.6 * tall], [end, line - 1.3 * tall], [x.from + 4, line]];
      const isTaken = (from, mid) => taken.some(([l, r, t, b]) => l < from + long && r > from && t < mid && b > mid);
      const isFree = ([from, mid]) => from >= x.from - 2 && from + long <= at(1) - 4 && !isTaken(from, mid);
      const place = places.find(isFree);
      if (place) text({ x: place[0], y: place[1], class: `of-${part}`, "dominant-baseline": "central", style: `font-size: ${wide ? 13 : 12}px` }, words);
    }
  },
  place: 1,
  say(m, c) {
    const { D, token: t, layer } = c;
    if (m.isOff(c)) return [": ", ...m.told(c)];
    const rows = m.lensOf(c, t);
    if (!rows) return [" …"];
    const read = rows.map((each) => (c.map && each.map) || each);
    const row = read[layer];
    const from = layer ? read[layer - 1].rank : null;
    const answer = D.answer(t);
    const says = [" would say ", tok(row.word, row.word === answer ? "token" : "stream"), ` (${percent(row.p)})`];
    if (row.rank === 1 && (from === 1 || from === null)) return [...says, ", as the last does."];
    if (row.rank === 1) return [...says, ". Here ", tok(answer, "token"), " takes the lead."];
    const stays = from === null || from === row.rank;
    return [...says, ". ", tok(answer, "token"), stays ? " is " : `${from > row.rank ? " climbs" : " falls"} from ${nth(from)} to `, nth(row.rank), "."];
  },
  text(m, c) {
    const rows = m.lensOf(c, c.token) ?? [];
    return rows.map((each, l) => {
      const row = (c.map && each.map) || each;
      return `Layer ${l}: ${word(row.word)} ${percent(row.p)}, ${bare(c.D.answer(c.token))} ${nth(row.rank)}`;
    });
  },
  threads: () => [],
};
