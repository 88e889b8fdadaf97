// What comes next: the likeliest tokens after the chosen one, and what the sampler makes of them.

const ROWS = 10;
const DRAWS = 100;
const ALL = 41; // where the slider of top-k ends
const KNOBS = {
  temperature: ["Temperature", { min: 0, max: 2, step: 0.1 }, (x) => (x === 0 ? "0: the likeliest" : x.toFixed(1))],
  topK: ["Top-k", { min: 1, max: ALL, step: 1 }, (x) => (x ? `the ${x} likeliest` : "all")],
  topP: ["Top-p", { min: 0.05, max: 1, step: 0.05 }, (x) => (x === 1 ? "all" : percent(x))],
};

/** Pieces in a list: two that would look the same are told apart by the space before one of them. */
function listed(pieces) {
  const names = pieces.map(word);
  const isTwice = (name) => names.indexOf(name) !== names.lastIndexOf(name);
  return names.map((name, i) => (isTwice(name) && /^ ./s.test(pieces[i]) ? `␣${name}` : name));
}

const nextView = {
  title: ["What comes next", "Next"],
  how: [
    "The bars are the likeliest next tokens after the chosen one. Choose a bar to take its token.",
    "The line under a token: how likely the model held it before it came. Names are surprises once, and not twice.",
    "Temperature divides the scores before chances are made of them; top-k and top-p then leave out the rest." +
      " Outlined: before. “Draw” takes one by chance.",
  ],
  build(m) {
    const bars = (row, parts) => row.append(parts.word, h("span", { class: "bar" }, parts.before, parts.after, parts.drawn, parts.number));
    const made = (tag, attributes) => {
      const parts = { word: h("span"), before: h("em"), after: h("b"), drawn: h("u"), number: h("span") };
      const row = h(tag, attributes);
      bars(row, parts);
      return { row, ...parts };
    };
    const rows = range(Math.min(ROWS, m.D.watched)).map((i) => made("button", { class: "row", onclick: () => m.take(i) }));
    const rest = made("div", { class: "row rest" });
    const list = h("div", { class: "list", role: "group", "aria-label": "Likeliest next tokens: choose one to take it" }, rows.map((r) => r.row), rest.row);
    const knobs = Object.entries(KNOBS).map(([name, [label, limits, write]]) => {
      const output = h("span");
      const oninput = () => m.set({ [name]: name === "topK" ? Number(input.value) % ALL : Number(input.value) });
      const input = h("input", { type: "range", ...limits, "aria-label": label, oninput });
      const draw = (value) => {
        input.value = name === "topK" ? value || ALL : value;
        setText(output, write(value));
        setAttribute(input, "aria-valuetext", write(value));
      };
      return { name, draw, node: h("div", { class: "knob" }, h("label", {}, label, output), input) };
    });
    const take = h("button", { class: "take", onclick: () => m.take(0, m.state.n - 1) });
    const drawOne = h("button", { class: "push", onclick: () => m.drawTokens() }, "Draw one");
    const drawMany = h("button", { class: "push", onclick: () => m.drawTokens(DRAWS) }, `Draw ${DRAWS}`);
    const back = h("button", { class: "quiet", onclick: () => m.takeBack() }, "Take one back");
    const hint = h("p", {}, "The lines under the text: how likely each token was before it came.");
    const acts = h("div", { class: "acts" }, take, h("div", { class: "draws" }, drawOne, drawMany), back);
    m.stage.append(list, h("div", { class: "knobs" }, knobs.map((k) => k.node), acts, hint));
    return { rows, rest, list, knobs, take, drawOne, drawMany, back };
  },
  draw(m, c, v) {
    const { D, token: t } = c;
    const w = m.without(c, t);
    const plain = D.chances(t, {}, v.rows.length);
    const now = w ? { p: w.p, rest: Math.max(0, 1 - sum(w.p)), kept: null } : D.chances(t, c, v.rows.length);
    const changed = Boolean(w) || c.temperature !== 1 || c.topK > 0 || c.topP < 1;
    const comes = t + 1 < c.n ? D.tokens[t + 1] : null;
    const wide = m.isWide();
    const caret = m.placeAfter(c.n - 1).x + 2;
    const [left, words] = wide ? [caret > 240 && caret < 340 ? caret - 3 : 264, 150] : [10, 104];
    Object.assign(v.list.style, { left: `${left}px` });
    v.list.style.setProperty("--word", `${words}px`);
    v.list.style.setProperty("--pitch", wide ? "37px" : "30px");
    const drawn = m.drawn?.at === t && !w ? m.drawn : null;
    const one = w ? null : this.one(m, c);
    const most = m.stage.clientWidth - left - words - (changed ? 126 : 66) - (drawn ? 100 : one ? 46 : 0);
    const isOne = (i) => one !== null && (one.place === i || (i === v.rows.length && (one.place === null || one.place >= i)));
    const show = (row, p, before, text, times, i) => {
      row.after.style.width = `${p * most}px`;
      row.before.style.width = `${before * most}px`;
      row.before.hidden = !changed;
      row.drawn.hidden = times === null;
      row.drawn.style.left = `${((times ?? 0) / (drawn?.times ?? 1)) * most}px`;
      row.number.style.left = `${Math.max(p, changed ? before : 0, times === null ? 0 : times / drawn.times) * most}px`;
      const was = changed ? [h("s", {}, `${percent(before)} → `)] : [];
      const came = times === null ? (isOne(i) ? [h("s", {}, ", drawn")] : []) : [h("s", {}, `, drawn ${times === 1 ? "once" : `${times} times`}`)];
      row.number.replaceChildren(...was, percent(p), ...came);
      setText(row.word, text);
      setAttribute(row.row, "data-drawn", isOne(i) && "");
    };
    const pieces = v.rows.map((_, i) => D.pieces[D.a.next_ids[t * D.shown + i]]);
    const names = listed(pieces);
    v.rows.forEach((row, i) => {
      show(row, now.p[i], plain.p[i], names[i], drawn ? drawn.draws[i] : null, i);
      setAttribute(row.row, "data-first", i === 0 && "");
      setAttribute(row.row, "data-comes", pieces[i] === comes && "");
      setAttribute(row.row, "data-out", changed && !w && now.p[i] === 0 && "");
      setAttribute(row.row, "aria-disabled", (t < c.n - 1 || !m.canTake(i)) && "true");
    });
    const more = Math.max(0, (now.kept ?? D.vocabulary) - v.rows.length);
    const kept = more ? `${now.isCounted ? "" : "some "}${count(more)} others kept` : "no others kept";
    const others = now.kept === null ? `${count(more)} others` : kept;
    show(v.rest, now.rest, plain.rest, others, drawn ? drawn.times - sum(drawn.draws) : null, v.rows.length);
    for (const knob of v.knobs) {
      knob.draw(c[knob.name]);
      knob.node.hidden = Boolean(w);
    }
    const name = bare(D.answer(c.n - 1));
    setText(v.take, `Take ${/^(“|a )/.test(name) ? name : `“${name}”`}`);
    for (const button of [v.take, v.drawOne, v.drawMany]) button.hidden = Boolean(w);
    v.take.hidden ||= !m.canTake(0);
    v.back.hidden = c.n <= D.n;
  },
  place: 0,
  /** The token that was drawn and could not be taken, while its place in the text is chosen. */
  one: (m, c) => (m.one && c.token === c.n - 1 ? m.one : null),
  say(m, c) {
    const { D, token: t } = c;
    const best = D.answer(t);
    const w = m.without(c, t);
    if (w) {
      const then = w.best === best ? ["."] : [": now ", tok(w.best, "token"), " is first."];
      const [now, before] = [percent(w.p[0]), percent(D.chances(t).p[0])];
      const changed = now === before ? [" still gets ", em(now)] : [" gets ", em(now), `, not ${before}`];
      return ["Without ", m.named(c.off), " ", tok(best, "token"), ...changed, ...then];
    }
    const one = this.one(m, c);
    if (one) {
      const { rest } = D.chances(t, c, Math.min(ROWS, D.watched));
      const { p } = D.chances(t, c, D.shown);
      const others = count(D.vocabulary - Math.min(ROWS, D.watched));
      const which = one.place === null ? `one of ${others} others` : tok(D.pieces[D.a.next_ids[t * D.shown + one.place]], "token");
      return ["Drawn: ", which, ", with ", em(percent(one.place === null ? rest : p[one.place]), "token"), ". To go on from it needs the model."];
    }
    const said = ["After ", tok(D.tokens[t], "query"), " the model expects ", tok(best, "token"), ", with ", em(percent(D.chances(t, c).p[0]), "token")];
    if (t + 1 >= c.n) return [...said, "."];
    const own = D.a.own_rank[t + 1];
    return own === 1 ? [...said, ", and is right."] : [...said, ". What comes is ", tok(D.tokens[t + 1], "stream"), ", its ", nth(own), " choice."];
  },
  text(m, c) {
    const { D, token: t } = c;
    const now = m.without(c, t) ?? D.chances(t, c, Math.min(ROWS, D.watched));
    const names = listed(now.p.map((_, i) => D.pieces[D.a.next_ids[t * D.shown + i]]));
    return now.p.map((p, i) => `${names[i]}: ${percent(p)}`);
  },
  /** From the end of the chosen token to the list of what may follow it. */
  threads(m, c) {
    const { x, y } = m.placeAfter(c.token);
    const list = m.box(m.parts.list);
    const [from, to, top, bottom] = [x + 2, list.left - 11, list.top - 9, list.bottom - 18];
    const r = Math.min(8, Math.abs(from - to) / 2);
    const side = Math.sign(to - from) * r;
    const bend = `V${top - r} Q${from},${top} ${from + side},${top} H${to - side} Q${to},${top} ${to},${top + r} V${bottom}`;
    const d = `M${from},${y - 30} ${r < 1 ? `V${bottom}` : bend}`;
    return [svg("path", { d, stroke: "var(--cx-token)", "stroke-width": 2.5 })];
  },
};
