// Attention on a few tokens, as Python computes it: what the page answers where no kernel is there.

const NUMBER = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i;

const turned = (table) => table[0].map((_, j) => table.map((row) => row[j]));
const product = (left, right) => left.map((row) => turned(right).map((column) => dot(row, column)));

/** Powers of e of one row of scores; the largest is subtracted first where e^x has too many digits to read. */
function powers(scores, allowed) {
  const kept = scores.filter((_, s) => allowed[s]);
  const largest = kept.length ? Math.max(...kept) : 0;
  const less = Math.abs(largest) > 10 ? largest : 0;
  return { less, of: scores.map((score, s) => (allowed[s] ? Math.exp(score - less) : 0)) };
}

/** Each one's part of the whole; of nothing it is 0. */
function shares(parts) {
  const whole = sum(parts) || 1;
  return parts.map((part) => part / whole);
}

/** Who may look at whom: (T, S). The last query stands at the last key, as in Python. */
function allowedBy(mask, custom, n_queries, n_keys) {
  if (mask === "custom" && custom) return custom;
  return range(n_queries).map((t) => range(n_keys).map((s) => mask !== "causal" || s <= t + n_keys - n_queries));
}

/** All that follows from the inputs. */
function attended({ inputs, custom_mask: custom }, mask) {
  const [q, k, v] = ["q", "k", "v"].map((name) => inputs[name] ?? product(inputs.x, inputs[`w_${name}`]));
  const scores = product(q, turned(k));
  const scale = scores.map((row) => row.map((score) => score / Math.sqrt(k[0].length)));
  const allowed = allowedBy(mask, custom, q.length, k.length);
  const softmax = scale.map((row, t) => shares(powers(row, allowed[t]).of));
  return { q, k, v, scores, scale, allowed, softmax, mix: product(softmax, v) };
}

/** The first letters of what somebody typed, for a sentence that refuses it. */
const typed = (text) => `“${[...text].slice(0, 20).join("")}”`;

function number(text) {
  const cleaned = text.trim().replaceAll("−", "-").replaceAll(",", ".");
  if (!NUMBER.test(cleaned)) throw new Error(`Type a number such as 0.5; got ${typed(text)}.`);
  if (Math.abs(Number(cleaned)) >= 1e6) throw new Error(`Type a number below a million; got ${typed(text)}.`);
  return Number(cleaned);
}

/** A table with one cell changed. */
const changedAt = (table, row, column, value) =>
  table.map((line, r) => (r === row ? line.map((x, c) => (c === column ? value : x)) : line));

/** Answers in Python's place. */
function answersOf(model) {
  const after = (changes, mask = model.get("mask")) => {
    const parts = { ...model.get("state"), ...changes };
    return { mask, state: { ...changes, ...attended(parts, mask) } };
  };
  return {
    edit({ array, row, column, text }) {
      const { inputs } = model.get("state");
      return after({ inputs: { ...inputs, [array]: changedAt(inputs[array], row, column, number(text)) } });
    },
    name({ side, row, text }) {
      if (!text.trim()) throw new Error(`A token needs a name of at least one visible character; got “${text}”.`);
      const names = model.get("state")[side].with(row, text.trim());
      return after({ [side]: names });
    },
    toggle({ row, column }) {
      const { allowed } = model.get("state");
      return after({ custom_mask: changedAt(allowed, row, column, !allowed[row][column]) }, "custom");
    },
    mask: ({ choice }) => after({}, choice),
    reset() {
      const { mask, ...first } = model.get("state").first;
      return after(first, mask);
    },
  };
}
