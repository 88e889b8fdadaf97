// The small readers of `course_lib.readers` in the page, and what they answer in Python's place: the same as explorer.py.

const ALPHABET = ["\n", ...range(95).map((i) => String.fromCharCode(32 + i))];
const MASK_ID = ALPHABET.length;
const LONGEST_TEXT = 2000;
const ONE_TEXT = "This text needs Python: another one can be read in the notebooks of the course.";
const UNKNOWN = "The model knows none of these letters: it reads those of an English keyboard. Type another text.";

/** Rows x, each `inner` long, times the transpose of a matrix of weights. */
function times(x, weights, inner) {
  const [rows, outer] = [x.length / inner, weights.length / inner];
  const y = new Float32Array(rows * outer);
  for (let r = 0; r < rows; r += 1) {
    const row = x.subarray(r * inner, (r + 1) * inner);
    for (let o = 0, at = 0; o < outer; o += 1) {
      let total = 0;
      for (let i = 0; i < inner; i += 1, at += 1) total += row[i] * weights[at];
      y[r * outer + o] = total;
    }
  }
  return y;
}

/** The logarithms of the shares. */
function logShares(scores) {
  const top = Math.max(...scores);
  const whole = Math.log(sum(scores.map((score) => Math.exp(score - top)))) + top;
  return scores.map((score) => score - whole);
}

/** The places of the largest, from the largest on. */
const largest = (values, n) => range(values.length).sort((a, b) => values[b] - values[a]).slice(0, n);

/** A Llama of two layers, as Python's `_Reader.packed` packed it. */
class SmallReader {
  static async open(saved) {
    const it = Object.assign(new SmallReader(), saved);
    const names = Object.keys(saved.arrays);
    const arrays = await Promise.all(names.map((name) => inflated(saved.arrays[name])));
    it.weights = Object.fromEntries(names.map((name, i) => [name, arrays[i]]));
    it.width = it.weights["stack.final_norm.weight"].length;
    it.layers = names.filter((name) => name.endsWith("q_proj.weight")).length;
    return it;
  }

  norm(x, name) {
    const { width, weights } = this;
    const y = new Float32Array(x.length);
    for (let at = 0; at < x.length; at += width) {
      let square = 0;
      for (let i = 0; i < width; i += 1) square += x[at + i] ** 2;
      const scale = 1 / Math.sqrt(square / width + this.eps);
      for (let i = 0; i < width; i += 1) y[at + i] = x[at + i] * scale * weights[`${name}.weight`][i];
    }
    return y;
  }

  /** Turn each pair of coordinates by its angle; the first row stands at place `start`. */
  turned(x, start) {
    const { width } = this;
    const d = width / this.n_heads;
    const y = new Float32Array(x.length);
    for (let at = 0; at < x.length; at += 2) {
      const angle = (start + Math.floor(at / width)) / this.base ** ((at % d) / d);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      y[at] = x[at] * cos - x[at + 1] * sin;
      y[at + 1] = x[at] * sin + x[at + 1] * cos;
    }
    return y;
  }

  mixed(q, k, v, start) {
    const { width } = this;
    const d = width / this.n_heads;
    const mix = new Float32Array(q.length);
    for (let row = 0; row < q.length / width; row += 1) {
      for (let head = 0; head < width; head += d) {
        const seen = this.is_causal ? start + row + 1 : k.length / width;
        const scores = range(seen).map((s) => {
          let total = 0;
          for (let i = 0; i < d; i += 1) total += q[row * width + head + i] * k[s * width + head + i];
          return total / Math.sqrt(d);
        });
        logShares(scores).forEach((log, s) => {
          for (let i = 0; i < d; i += 1) mix[row * width + head + i] += Math.exp(log) * v[s * width + head + i];
        });
      }
    }
    return mix;
  }

  /** The scores at each token, and the keys and values; `past`: those of the tokens before. */
  read(ids, past = null) {
    const { width, weights } = this;
    const table = weights["token_embedding.weight"];
    const start = past ? past[0][0].length / width : 0;
    const kept = [];
    let x = Float32Array.from(ids.flatMap((id) => Array.from(table.subarray(id * width, (id + 1) * width))));
    const add = (change) => (x = x.map((value, i) => value + change[i]));
    for (let layer = 0; layer < this.layers; layer += 1) {
      const block = `stack.blocks.${layer}`;
      const through = (y, name, inner = width) => times(y, weights[`${block}.${name}_proj.weight`], inner);
      const read = this.norm(x, `${block}.attention_norm`);
      const q = this.turned(through(read, "attention.q"), start);
      const own = [this.turned(through(read, "attention.k"), start), through(read, "attention.v")];
      const [k, v] = own.map((rows, i) => (past ? Float32Array.from([...past[layer][i], ...rows]) : rows));
      kept.push([k, v]);
      add(through(this.mixed(q, k, v, start), "attention.out"));
      const next = this.norm(x, `${block}.feed_forward_norm`);
      const up = through(next, "feed_forward.up");
      const hidden = through(next, "feed_forward.gate").map((gate, i) => (gate / (1 + Math.exp(-gate))) * up[i]);
      add(through(hidden, "feed_forward.down", hidden.length / (x.length / width)));
    }
    const all = times(this.norm(x, "stack.final_norm"), table, width);
    const n = table.length / width;
    return { scores: range(ids.length).map((t) => Array.from(all.subarray(t * n, (t + 1) * n))), past: kept };
  }

  /** As Python's `_Reader`, and so are the others: the likeliest tokens, the hidden one's surprise and rank. */
  gap(scores, own) {
    const logs = logShares(scores);
    const rows = largest(logs, this.n_shown).map((i) => [[...ALPHABET, "▢"][i], Number(Math.exp(logs[i]).toFixed(6))]);
    return { rows, bits: Number((-logs[own] / Math.LN2).toFixed(4)), rank: logs.filter((log) => log > logs[own]).length + 1 };
  }

  written(ids, hidden) {
    const start = range(ids.length).find((place) => !hidden.includes(place));
    const written = [...ids];
    let { scores } = this.read(written.slice(start));
    for (const place of hidden.filter((each) => each > start)) {
      [written[place]] = largest(scores[place - start - 1], 1);
      ({ scores } = this.read(written.slice(start)));
    }
    return { start, written, scores };
  }

  answer(ids, hidden) {
    if (!this.is_causal) {
      const masked = (place) => ids.map((id, i) => (i === place || hidden.includes(i) ? MASK_ID : id));
      return ids.map((id, place) => ({ ...this.gap(this.read(masked(place)).scores[place], id), passes: 1 }));
    }
    const { start, scores } = this.written(ids, hidden);
    const passes = (place) => 1 + hidden.filter((gap) => start < gap && gap < place).length;
    return ids.map((id, place) => (place <= start ? null : { ...this.gap(scores[place - start - 1], id), passes: passes(place) }));
  }

  attempt(ids, others, place) {
    const hidden = [...others, place].sort((a, b) => a - b);
    if (hidden.length === ids.length) return null;
    const { start, written, scores } = this.written(ids, hidden);
    if (place < start) return null;
    const before = logShares(scores[place - start - 1]);
    const tokens = largest(before, this.n_tried);
    if (!tokens.includes(ids[place])) tokens.push(ids[place]);
    const { past } = this.read(written.slice(start, place));
    const tried = before.map(() => -Infinity);
    for (const token of tokens) {
      const after = this.read([token, ...written.slice(place + 1)], past).scores;
      const agrees = range(ids.length).slice(place + 1).filter((n) => !hidden.includes(n));
      tried[token] = before[token] + sum(agrees.map((n) => logShares(after[n - place - 1])[written[n]]));
    }
    const passes = 1 + others.filter((gap) => start < gap && gap < place).length + tokens.length;
    return { ...this.gap(tried, ids[place]), passes, tried: tokens.length };
  }
}

const keyOf = (hidden, token = null) => `${hidden}${token === null ? "" : `;${token}`}`;

/** What a page without a kernel answers: other texts and gaps for the small readers. */
function readersOf(model) {
  const opened = new Map();
  const open = async (name) => {
    const saved = model.get("weights")[name];
    if (!opened.has(name)) opened.set(name, await SmallReader.open({ ...saved, is_causal: model.get("views")[name].is_causal }));
    return opened.get(name);
  };
  /** Put into `found` what is not yet there, of the models that can read here. */
  const find = async ({ model: shown, others, token }, { views, answers, tried }) => {
    const found = { answers: { ...answers }, tried: { ...tried } };
    const put = (into, name, key, answer) => {
      if (!(key in into[name])) into[name] = { ...into[name], [key]: answer() };
    };
    const alike = Object.keys(views).filter((name) => `${views[name].tokens}` === `${views[shown].tokens}` && model.get("weights")[name]);
    for (const name of alike) {
      const reader = await open(name);
      const ids = views[name].tokens.map((piece) => ALPHABET.indexOf(piece));
      const gaps = others.filter((gap) => gap < ids.length).slice(0, ids.length - 1);
      const left = gaps.filter((gap) => gap !== token);
      put(found.answers, name, keyOf(gaps), () => reader.answer(ids, gaps));
      if (reader.is_causal) put(found.tried, name, keyOf(left, token), () => reader.attempt(ids, left, token));
    }
    return found;
  };
  /** What Python's `_Reader.cut` makes of a text. */
  const cut = (text, name) => {
    const letters = [...text];
    const known = letters.filter((letter) => ALPHABET.includes(letter));
    const unknown = [...new Set(letters)].filter((letter) => !ALPHABET.includes(letter));
    if (unknown.length && !known.join("").trim()) throw new Error(UNKNOWN);
    return { ...model.get("views")[name], tokens: known.slice(0, model.get("weights")[name].most), n_tokens: known.length, unknown, is_rtl: false };
  };
  const read = async ({ text }) => {
    const n = [...text].length;
    if (n === 0) throw new Error("The text is empty: type at least one character.");
    if (n > LONGEST_TEXT) throw new Error(`The text has ${count(n)} characters, the explorer takes ${count(LONGEST_TEXT)}: shorten it.`);
    const names = Object.keys(model.get("views"));
    if (!names.every((name) => model.get("weights")[name])) throw new Error(ONE_TEXT);
    const views = Object.fromEntries(names.map((name) => [name, cut(text, name)]));
    const empty = Object.fromEntries(names.map((name) => [name, {}]));
    const shown = model.get("model");
    const { length } = views[shown].tokens;
    const token = Math.floor(length / 2);
    const found = await find({ model: shown, others: [], token }, { views, answers: empty, tried: empty });
    return { views, ...found, hidden: length > 1 ? [token] : [], token, state: { text } };
  };
  return {
    text: read,
    find: (asked) => find(asked, { views: model.get("views"), answers: model.get("answers"), tried: model.get("tried") }),
  };
}
