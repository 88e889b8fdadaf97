// The steps of attention: a figure for each, the sentence above it, and the same as text.

const MADE = { q: "query", k: "key", v: "value" };
const PURPOSE = { q: "what each token looks for", k: "what each token is found by", v: "what each token hands over" };

const isExact = (x) => Math.abs(x - Math.round(1000 * x) / 1000) < 1e-12;
// The scale comes before the mask.
const unmasked = (scores) => shares(powers(scores, scores.map(() => true)).of);
const undivided = (c, t) => unmasked(c.scores[t]);
const divided = (c, t) => unmasked(c.scale[t]);
const columnsOf = (table) => table[0].map((_, j) => String(j + 1));

/** Where a mask takes nothing from the chosen query. */
const unhindered = (c) => (c.mask !== "off" && c.allowed[c.t].every(Boolean) ? " To this query nothing is forbidden." : "");

const causal = (p) => h("button", { class: "link", onclick: () => p.ask("mask", { choice: "causal" }) }, "the causal mask");

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
        list: (c) => columnsOf(c[made]), pick: (j) => ({ j }), at: (c) => c.j, kind: MADE[made],
        rows: T, inner: C, columns: inputs[matrix][0].length,
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
        ...KEY, rows: T, inner: K, columns: S,
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
      { label: "scaled scores", title: "divided", data: (c) => c.scale, own: divided, sign: `↓ ÷ √${p.current().K}` },
    ], p.isWide() && p.current().T < 5 ? ({ K }) => [`√${K}: a key has ${K}. With more numbers scores grow: undivided, the largest share would run to 100 %.`] : null),
    where: (p) => [p.asker, " and ", p.found, ": "],
    say(p, c) {
      const [score, scaled] = [c.scores[c.t][c.s], c.scale[c.t][c.s]];
      const [before, now] = [undivided(c, c.t)[c.s], divided(c, c.t)[c.s]].map(percent);
      const would = p.isWide() ? " Undivided, its share would be " : " Undivided: ";
      const effect = before === now ? [" Its share stays ", em(now), "."] : [would, em(before), ", not ", em(now), "."];
      return [em(written(score)), ` ÷ √${c.K}`, isExact(scaled) ? " = " : " ≈ ", em(written(scaled)), ".", effect];
    },
    table: (c) => [c.keys, c.scale],
  },
  mask: {
    title: "Mask",
    how: "What is forbidden gets the score −∞, and so no share. A causal mask hides what comes later.",
    build: (p) => scored(p, [
      { label: "masked scores", title: "shares", data: (c) => c.masked, own: (c, t) => c.softmax[t], act: (row, column) => p.ask("toggle", { row, column }) },
    ], (c) => {
      if (c.mask !== "off") return ["Click a score to forbid or allow it."];
      return [p.isWide() ? "Click a score to forbid or allow it. Or take " : "Click a score, or take ", causal(p), "."];
    }),
    where: (p) => [p.asker, " ", p.may, " look at ", p.found, ": "],
    say: (p, c) => (c.allowed[c.t][c.s] ? ["its score stays ", em(written(c.scale[c.t][c.s])), ".", unhindered(c)] : ["its score becomes ", em("−∞"), ", its share 0."]),
    table: (c) => [c.keys, c.masked],
  },
  softmax: {
    title: "Softmax",
    how: "Powers of e are positive and keep the order. Laid end to end they are one whole, and each has its share of it.",
    build(p) {
      const { T, S } = p.current();
      const [width, high] = p.room();
      const line = T > 4 ? 16 : T > 3 ? 22 : 28;
      const [w, tall] = [p.numberWidth(), Math.min(44, (high - 50 - (T > 1 ? line * T + 22 : 0)) / (S + 1))];
      const rest = width - p.nameWidth() - 2 * w - 3;
      const side = labels(p, { ...KEY, n: S });
      const table = numbers(p, {
        kind: "attention", label: "Scores and powers", rows: S, columns: 2, w, tall,
        data: (c) => c.masked[c.t].map((x, s) => [x, c.powers.of[s]]), pick: (s) => ({ s }), at: (c) => [c.s, null],
      });
      const stairs = range(S).map((only) => bar(p, { n: S, only, w: rest }));
      const [power, whole] = [h("span"), h("b")];
      const others = range(T > 1 ? T : 0).map((t) => bar(p, { n: S, t, w: line > 16 ? rest : 0 }));
      const asking = labels(p, { ...QUERY, n: others.length });
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
      const [name, share, signs] = [p.nameWidth(), ...(p.isWide() ? [150, 44] : [46, 34])];
      const fits = (n) => (width - name - share - signs) / (2 * n);
      // Where there is no room for all numbers of a value, only the chosen one is shown.
      const shown = fits(D) < LEAST_PX ? [j] : range(D);
      const [w, tall] = [Math.min(84, fits(shown.length)), Math.min(60, (high - 50) / (S + 1))];
      const at = (c) => [null, shown.indexOf(c.j)];
      const of = (rows) => rows.map((row) => shown.map((i) => row[i]));
      const common = { rows: S, columns: shown.length, w, tall, kind: "value", pick: (s, i) => ({ s, j: shown[i] }), at };
      const side = labels(p, { ...KEY, n: S, side: own ? "key_tokens" : "tokens" });
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
      const titles = [["share", "attention"], ["", "value"], ["value", "value", `, ${PURPOSE.v}`], ["", "value"], [last, "value"]];
      const titled = ([word, kind, told = ""]) => h("p", {}, em(word, kind), shown.length * w > 200 ? told : "");
      const sign = (text) => h("span", { class: "sign" }, text);
      const node = h("div", { class: "mix", style: styled({ w, tall }) },
        h("i"), titles.map(titled),
        band.nodes, side.node, weights.node, sign("×"), values.node, sign("="), parts.node, who, result.node);
      const draw = (c) => who.replaceChildren(mark(brief(c.queries[c.t]), "query"), " gets");
      return { node, draws: [band, side, weights, values, parts, result, { draw }] };
    },
    where: (p) => ["Number ", p.column.node, " of what ", p.asker, " gets: "],
    say: (p, c) => p.sum(c.softmax[c.t], c.v.map((row) => row[c.j]), ["attention", "value", "value"]),
    table: (c) => [columnsOf(c.mix), c.mix],
  },
};
