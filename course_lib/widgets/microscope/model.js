// The model itself in plain JavaScript, in a worker of the page: what it is asked it answers as Python does.
// Weights stay as the file packs them, and a row is unpacked when it is needed: nearly as quick as with all of them
// unpacked before (12 tokens: 2.5 s for 2.2), in a third of the memory. What is computed says Python's `recording`.

const [SHOWN, BIN, WATCHED, BEST, WORDS, UNITS, NUMBERS] = [48, 0.1, 10, 3, 4, 6, 64]; // as in Python
const [MOST_TOKENS, LONGEST_TEXT] = [48, 2000];

// ------------------------------------------------------------------------------------------------ arithmetic
/** Two rows of a matrix, u and w, times a vector: two numbers of what comes out. */
function timesTwo(u, w, x, output, row) {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < x.length; i += 2) {
    a += u[i] * x[i];
    b += u[i + 1] * x[i + 1];
    c += w[i] * x[i];
    d += w[i + 1] * x[i + 1];
  }
  output[row] = a + b;
  output[row + 1] = c + d;
}

/** A packed matrix times each of these vectors. */
function times(matrix, vectors) {
  if (!vectors.length) return [];
  const even = 2 * Math.ceil(matrix.width / 2);
  const [u, w, ...inputs] = [[], [], ...vectors].map((x) => {
    const found = new Float64Array(even); // what the processor computes with
    found.set(x);
    return found;
  });
  const outputs = vectors.map(() => new Float32Array(matrix.rows));
  for (let row = 0; row < matrix.rows; row += 2) {
    rowOf(matrix, row, u);
    rowOf(matrix, Math.min(row + 1, matrix.rows - 1), w);
    for (let i = 0; i < inputs.length; i += 1) timesTwo(u, w, inputs[i], outputs[i], row);
  }
  return outputs;
}

const plus = (x, y) => x.map((value, i) => value + y[i]);
const norm = (x) => Math.sqrt(x.reduce((total, value) => total + value * value, 0));

/** The logarithm of the sum of the exponentials: a score less this is the logarithm of a chance. */
function whole(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b));
  return most + Math.log(scores.reduce((total, score) => total + Math.exp(score - most), 0));
}

/** The places of the n largest, from the largest on. */
function largest(values, n) {
  const found = [];
  for (let i = 0; i < values.length; i += 1) {
    if (found.length === n && !(values[i] > values[found[n - 1]])) continue;
    let at = found.length;
    while (at > 0 && values[found[at - 1]] < values[i]) at -= 1;
    found.splice(at, 0, i);
    found.length = Math.min(found.length, n);
  }
  return found;
}

// ------------------------------------------------------------------------------------------------ the model
class Model {
  constructor(buffer) {
    const { values, tensors } = readGGUF(buffer);
    const own = (name) => values[`llama.${name}`];
    const kinds = [values["general.architecture"], values["tokenizer.ggml.model"]];
    if (kinds.join() !== "llama,gpt2") throw new Error(`it holds ${kinds}; expected llama and gpt2`);
    this.tokenizer = bytePairsOf(values);
    this.tensors = tensors;
    this.table = tensors["token_embd.weight"];
    this.head = tensors["output.weight"] ?? this.table;
    [this.L, this.D, this.H, this.F] = ["block_count", "embedding_length", "attention.head_count", "feed_forward_length"].map(own);
    this.G = own("attention.head_count_kv") ?? this.H;
    this.K = this.D / this.H;
    this.base = own("rope.freq_base") ?? 10000;
    this.eps = own("attention.layer_norm_rms_epsilon");
  }

  normed(x, name) {
    const weight = rowOf(this.tensors[name], 0);
    const scale = 1 / Math.sqrt(norm(x) ** 2 / this.D + this.eps);
    return x.map((value, i) => value * scale * weight[i]);
  }

  /** The score of every token, for each vector of the stream as if it were the last one's. */
  logits(vectors) {
    return times(this.head, vectors.map((x) => this.normed(x, "output_norm.weight")));
  }

  /** Queries or keys of a token, turned by its place, in pairs of neighbours. */
  turned(x, place) {
    const found = Float32Array.from(x);
    for (let i = 0; i < x.length; i += 2) {
      const angle = place / this.base ** ((i % this.K) / this.K);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      found[i] = x[i] * cos - x[i + 1] * sin;
      found[i + 1] = x[i] * sin + x[i + 1] * cos;
    }
    return found;
  }

  /**
   * One layer on a text: for each token what enters, is computed and leaves. silent: its heads that are off.
   * before: the same of another text whose first tokens, up to start, are these, so that no number of theirs differs.
   */
  layer(l, stream, { silent, isSkipped, before, start }) {
    const weights = (name) => this.tensors[`blk.${l}.${name}.weight`];
    const earlier = (name) => (start ? before[name].slice(0, start) : []);
    const x = stream.slice(start);
    const read = x.map((each) => this.normed(each, `blk.${l}.attn_norm.weight`));
    const turned = (name) => times(weights(name), read).map((each, i) => this.turned(each, start + i));
    const [q, k, v] = [turned("attn_q"), turned("attn_k"), times(weights("attn_v"), read)];
    const [keys, values] = [[...earlier("k"), ...k], [...earlier("v"), ...v]];
    const mix = q.map((each, i) => this.mixed(this.scores(each, keys.slice(0, start + i + 1)), values, silent));
    const attention = times(weights("attn_output"), mix);
    const middle = x.map((each, i) => plus(each, attention[i]));
    const mlpRead = middle.map((each) => this.normed(each, `blk.${l}.ffn_norm.weight`));
    const gate = times(weights("ffn_gate"), mlpRead).map((each) => each.map((value) => value / (1 + Math.exp(-value))));
    const up = times(weights("ffn_up"), mlpRead);
    const hidden = gate.map((each, i) => each.map((value, n) => value * up[i][n]));
    const mlp = times(weights("ffn_down"), hidden);
    const units = hidden.map((each, i) => largest(each.map(Math.abs), UNITS).map((n) => [n, gate[i][n], up[i][n], each[n]]));
    const share = x.map((each, i) => (isSkipped ? [0, 0] : [norm(attention[i]) / norm(each), norm(mlp[i]) / norm(middle[i])]));
    const output = isSkipped ? x : middle.map((each, i) => plus(each, mlp[i]));
    const found = { stream: x, read, q, k, v, mix, middle, mlpRead, units, share, output };
    return Object.fromEntries(Object.entries(found).map(([name, rows]) => [name, [...earlier(name), ...rows]]));
  }

  /** What one token's heads make of these keys. */
  scores(q, keys) {
    return range(this.H).map((head) => {
      const at = Math.floor((head * this.G) / this.H) * this.K;
      const own = q.subarray(head * this.K, (head + 1) * this.K);
      return Float32Array.from(keys, (key) => own.reduce((total, value, i) => total + value * key[at + i], 0) / Math.sqrt(this.K));
    });
  }

  /** What its heads gather, side by side. */
  mixed(scores, values, silent) {
    const mix = new Float32Array(this.D);
    scores.forEach((each, head) => {
      if (silent.includes(head)) return;
      const [at, all] = [Math.floor((head * this.G) / this.H) * this.K, whole(each)];
      each.forEach((score, k) => {
        const share = Math.exp(score - all);
        for (let i = 0; i < this.K; i += 1) mix[head * this.K + i] += share * values[k][at + i];
      });
    });
    return mix;
  }

  /** A whole text. base: another pass with all on; what it has in common with this one is not computed again. */
  run(ids, { off = [], skipped = [] } = {}, base = { ids: [], layers: [], logits: [] }) {
    const differs = ids.findIndex((id, i) => id !== base.ids[i]);
    const common = differs < 0 ? ids.length : differs;
    const first = Math.min(this.L, ...off.map(([l]) => l), ...skipped);
    const layers = [];
    let stream = ids.map((id) => Float32Array.from(rowOf(this.table, id)));
    for (let l = 0; l < this.L; l += 1) {
      const silent = off.filter(([layer]) => layer === l).map(([, head]) => head);
      layers.push(this.layer(l, stream, { silent, isSkipped: skipped.includes(l), before: base.layers[l], start: l < first ? common : 0 }));
      stream = layers[l].output;
    }
    const known = first === this.L ? base.logits.slice(0, common) : [];
    return { ids, layers, logits: [...known, ...this.logits(stream.slice(known.length))] };
  }
}

// ------------------------------------------------------------------------------------------------ what the page asks
/** A list of names, each once, and the number of a token's name in it. */
function namesOf(tokenizer) {
  const numbers = new Map();
  const of = (id) => {
    const name = pieceOf(tokenizer, id);
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return numbers.get(name);
  };
  return { of, pieces: () => [...numbers.keys()] };
}

const array = (type, shape, data) => ({ type, shape, data: KINDS[type].from(data.flat(Infinity)) });

/** Each number of each vector as one of 15 levels, two in a byte, and the largest of each vector. */
function fourBits(vectors) {
  const most = vectors.map((x) => Math.max(1e-9, ...x.map(Math.abs)));
  const levels = vectors.flatMap((x, n) => {
    const level = (i) => Math.round((x[i] ?? 0) / most[n] * 7) + 8;
    return range(Math.ceil(x.length / 2)).map((i) => level(2 * i) + 16 * level(2 * i + 1));
  });
  return [levels, most];
}

/** One text as the model reads it, and all that the page may ask of it. */
class Reading {
  constructor(model, name) {
    Object.assign(this, { model, name, all: undefined, other: null });
  }

  /** The tokens of a text. */
  encode({ text }) {
    if (!text) throw new Error("The text is empty: type at least one character.");
    const { length } = [...text];
    if (length > LONGEST_TEXT) throw new Error(`The text has ${count(length)} characters, the explorer takes ${count(LONGEST_TEXT)}: shorten it.`);
    const ids = this.model.tokenizer.encode(text);
    if (!ids.length) throw new Error("The text has no token that the model knows: type another one.");
    if (ids.length > MOST_TOKENS) throw new Error(`The text has ${ids.length} tokens, the picture holds ${MOST_TOKENS}: shorten it.`);
    return ids;
  }

  /** The text with all on, of which the next is the same text or one that goes on from it, and with something off. */
  pass({ ids, off = [], skipped = [] }) {
    this.all = this.model.run(ids, {}, this.all);
    this.all.watched ??= this.all.logits.map((scores) => largest(scores, WATCHED));
    if (!off.length && !skipped.length) return this.all;
    const name = JSON.stringify([ids, off, skipped]);
    if (this.other?.name !== name) this.other = { ...this.model.run(ids, { off, skipped }, this.all), name };
    return this.other;
  }

  recording({ ids, given, off = [], skipped = [], lensOf = [] }) {
    if (ids.length > MOST_TOKENS) throw new Error(`The picture holds ${MOST_TOKENS} tokens: take some back, or begin anew.`);
    const { L, D, H, G, K, F, base, table, tokenizer } = this.model;
    const names = namesOf(tokenizer);
    const pass = this.pass({ ids, off, skipped });
    const { scale, low, ...arrays } = { ...this.insides(pass), ...this.next(pass, names), ...this.read(pass, lensOf, names) };
    return {
      text: decoded(Uint8Array.from(ids.slice(0, given).flatMap((id) => [...tokenizer.bytes(id)]))),
      tokens: ids.map((id) => pieceOf(tokenizer, id)), ids, n: given,
      L, D, H, G, K, F, vocabulary: table.rows, writes: true, causal: true, base, interleaved: true, gated: true, step: BIN,
      off, skipped, lens_of: lensOf, scale, low, pieces: names.pieces(), arrays, model: this.name,
    };
  }

  /** Scores (as no mask has hidden any yet), vectors and units of every layer, and what both parts add. */
  insides({ ids, layers }) {
    const { L, H, G, K } = this.model;
    const T = ids.length;
    const scores = layers.flatMap(({ q, k }) => {
      const rows = q.map((each) => this.model.scores(each, k));
      return range(H).flatMap((head) => rows.flatMap((each) => [...each[head]]));
    });
    const scale = Math.min(256, 32767 / scores.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9));
    const heads = (name, n) => layers.flatMap((layer) => range(n).flatMap((head) => layer[name].map((x) => x.subarray(head * K, (head + 1) * K))));
    const first = (name) => layers.flatMap((layer) => layer[name].map((x) => x.subarray(0, NUMBERS)));
    const vectors = { q: heads("q", H), k: heads("k", G), v: heads("v", G), x: first("stream"), read: first("read"), mlp_read: first("mlpRead") };
    const shapes = { q: [L, H, T], k: [L, G, T], v: [L, G, T] };
    const found = {};
    for (const [name, each] of Object.entries(vectors)) {
      const [levels, most] = fourBits(each);
      const shape = shapes[name] ?? [L, T];
      found[name] = array("uint8", [...shape, levels.length / each.length], levels);
      found[`${name}_max`] = array("float32", shape, most);
    }
    const units = layers.map((layer) => layer.units);
    const n = units[0][0].length;
    return {
      ...found,
      scale,
      scores: array("int16", [L, H, T, T], scores.map((x) => Math.round(x * scale))),
      length: array("float32", [L + 1, T], [...layers.map((layer) => layer.stream), layers.at(-1).output].map((rows) => rows.map(norm))),
      share: array("float32", [L, T, 2], layers.map((layer) => layer.share)),
      units: array("float32", [L, T, n, 3], units.map((rows) => rows.map((each) => each.map(([, ...values]) => values)))),
      unit_n: array("uint16", [L, T, n], units.map((rows) => rows.map((each) => each.map(([place]) => place)))),
    };
  }

  /** What comes next, and how likely each token was before it came. */
  next({ ids, logits }, names) {
    const T = ids.length;
    const top = logits.map((scores) => largest(scores, SHOWN));
    const low = Math.floor(logits.reduce((least, scores) => scores.reduce((a, b) => Math.min(a, b), least), Infinity));
    const bins = Math.ceil((Math.max(...logits.map((scores, t) => scores[top[t][0]])) - low) / BIN) + 1;
    const rest = logits.map((scores, t) => {
      const found = new Uint16Array(bins);
      for (const score of scores) found[Math.floor((score - low) / BIN)] += 1;
      for (const id of top[t]) found[Math.floor((scores[id] - low) / BIN)] -= 1;
      return [...found];
    });
    const came = logits.slice(0, -1).map((scores, t) => {
      const own = scores[ids[t + 1]];
      return [Math.exp(own - whole(scores)), rankOf(scores, own)];
    });
    const kept = this.kept(logits);
    return {
      low,
      rest: array("uint16", [T, bins], rest),
      next_ids: array("uint16", [T, top[0].length], top.map((each) => each.map(names.of))),
      next_tokens: array("uint32", [T, top[0].length], top),
      next_logits: array("float32", [T, top[0].length], top.map((each, t) => each.map((id) => logits[t][id]))),
      own: array("float32", [T], [0, ...came.map(([p]) => p)]),
      own_rank: array("uint16", [T], [0, ...came.map(([, rank]) => rank)]),
      kept_p: array("float32", [T, kept[0].p.length], kept.map(({ p }) => p)),
      kept_id: array("uint16", [T], kept.map(({ best }) => names.of(best))),
    };
  }

  /** For each token the chances of its ten watched ones and of the likeliest of now, and that one. */
  kept(logits) {
    return logits.map((scores, t) => {
      const [best] = largest(scores, 1);
      const all = whole(scores);
      return { best, p: [...this.all.watched[t], best].map((id) => Math.exp(scores[id] - all)) };
    });
  }

  /** What each layer would say at some tokens, and the place of the word that wins in the end. */
  read({ layers }, tokens, names) {
    const found = {};
    for (const [name, part] of [["lens", "output"], ["mid", "middle"]]) {
      const vectors = layers.flatMap((layer) => tokens.map((t) => layer[part][t]));
      const said = this.model.logits(vectors).map((scores, i) => {
        const own = scores[this.all.watched[tokens[i % tokens.length]][0]];
        const [top, all] = [largest(scores, BEST), whole(scores)];
        return { id: top.map(names.of), p: top.map((id) => Math.exp(scores[id] - all)), rank: rankOf(scores, own), pa: Math.exp(own - all) };
      });
      const shape = [layers.length, tokens.length];
      const column = (kind) => said.map((each) => each[kind]);
      const best = said.length ? [said[0].id.length] : [BEST];
      found[`${name}_id`] = array("uint16", [...shape, ...best], column("id"));
      found[`${name}_p`] = array("float32", [...shape, ...best], column("p"));
      found[`${name}_rank`] = array(this.model.table.rows < 65536 ? "uint16" : "uint32", shape, column("rank"));
      found[`${name}_pa`] = array("float32", shape, column("pa"));
    }
    return found;
  }

  lens({ token, ...text }) {
    const names = namesOf(this.model.tokenizer);
    const arrays = this.read(this.pass(text), [token], names);
    return { lens_of: [token], pieces: names.pieces(), arrays };
  }

  /** What a head adds at each token, read as if it were an output. */
  words({ layer, head, ids }) {
    const { model } = this;
    const names = namesOf(model.tokenizer);
    const alone = this.pass({ ids }).layers[layer].mix.map((x) => x.map((value, i) => (Math.floor(i / model.K) === head ? value : 0)));
    const said = model.logits(times(model.tensors[`blk.${layer}.attn_output.weight`], alone)).map((scores) => largest(scores, WORDS));
    const arrays = { words: array("uint16", [ids.length, WORDS], said.map((each) => each.map(names.of))) };
    return { pieces: names.pieces(), arrays };
  }

  /** What becomes of the watched tokens with one head off (or, head = H, with the layer skipped): for each token. */
  need({ layer, head, ids }) {
    const off = head < this.model.H ? { off: [[layer, head]] } : { skipped: [layer] };
    const { logits } = this.model.run(ids, off, this.pass({ ids }));
    return this.kept(logits).map(({ p, best }) => ({ p, best: pieceOf(this.model.tokenizer, best) }));
  }

  /** So many draws of the token after the first n. */
  drawn({ ids, n, times: many, ...settings }) {
    const listed = nextChances(this.pass({ ids }).logits[n - 1], settings);
    return range(many).map(() => {
      let at = 0;
      for (let left = Math.random() - listed[0][1]; left >= 0 && at < listed.length - 1; left -= listed[at][1]) at += 1;
      return listed[at][0];
    });
  }

  /** How often each of the watched tokens comes. */
  draws(asked) {
    const drawn = this.drawn(asked);
    return this.all.watched[asked.n - 1].map((id) => drawn.filter((each) => each === id).length);
  }
}

const rankOf = (scores, own) => scores.reduce((rank, score) => rank + (score > own), 1);

/** The tokens that may come next, the likeliest first, and their chances; see Python's `next_token_probabilities`. */
function nextChances(scores, { temperature, topK, topP }) {
  const order = range(scores.length).sort((a, b) => scores[b] - scores[a]);
  if (temperature === 0) return [[order[0], 1]];
  let powers = order.map((id) => Math.exp((scores[id] - scores[order[0]]) / temperature));
  if (topK) powers = powers.filter((power) => power >= (powers[topK - 1] ?? 0));
  if (topP < 1) {
    let left = topP * sum(powers);
    powers = powers.filter((power) => {
      left -= power;
      return left + power > 0;
    });
  }
  const all = sum(powers);
  return powers.map((power, i) => [order[i], power / all]);
}

// ------------------------------------------------------------------------------------------------ the worker
const STORE = "microscope";

/** The model in a file beside the page, or in the browser's store, where it is kept once it has come whole. */
async function loaded({ url, size }, tell) {
  const store = await self.caches?.open(STORE); // none where the page came by plain http from another machine
  const kept = await store?.match(url);
  const answer = kept ?? (await fetch(url));
  const file = decodeURI(url.split("/").at(-1));
  if (!answer.ok) throw new Error(`there is no ${file} beside this page.`);
  const bytes = new Uint8Array(size);
  const stream = answer.body.getReader();
  let at = 0;
  try {
    for (let { done, value } = await stream.read(); !done; { done, value } = await stream.read()) {
      bytes.set(value, at);
      at += value.length;
      tell(at);
    }
    if (at < size) throw new Error(`it ends after ${count(at)} bytes of ${count(size)}`);
    const model = new Model(bytes.buffer);
    if (!kept) await store?.put(url, new Response(bytes)).catch(() => {}); // it may be full
    return model;
  } catch (error) {
    await store?.delete(url);
    throw new Error(`${file}: ${error.message}.`);
  }
}

let reading = null;

/** A question of the page. */
async function answered({ data: { id, kind, fields } }) {
  let told = 0;
  const tell = (at) => {
    const part = Math.floor((100 * at) / fields.size);
    if (part > told) postMessage({ at });
    told = part;
  };
  try {
    if (kind === "load") reading = new Reading(await loaded(fields, tell), fields.name);
    postMessage({ id, found: kind === "load" ? true : reading[kind](fields) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
}

if (typeof document === "undefined") self.onmessage = answered;
