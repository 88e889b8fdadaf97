// What the microscope knows of a text, unpacked. Python computed every number.

const mass = (groups) => sum(groups.map(([n, power]) => n * power));

/** The first groups, as many as make this much together; of the last one only as many as it takes. */
function until(groups, much, weight) {
  const kept = [];
  let left = much;
  for (const [n, power] of groups) {
    if (left <= 0) break;
    const taken = Math.min(n, Math.ceil(left / weight(power) - 1e-9));
    if (taken > 0) kept.push([taken, power]);
    left -= taken * weight(power);
  }
  return kept;
}

/** Of scores the shares that sum to 1. */
function softmaxed(scores) {
  const most = Math.max(...scores);
  const raised = scores.map((score) => Math.exp(score - most));
  const whole = sum(raised);
  return raised.map((each) => each / whole);
}

/** An array as Python packed it, or as the page's own model made it. */
const opened = (array) => (ArrayBuffer.isView(array.data) ? array.data : inflated(array));

/** One text and all that a model computed on it; see Python's `recording`. */
class Recording {
  static async open(saved) {
    const it = Object.assign(new Recording(), saved);
    it.T = saved.tokens.length;
    it.kept = new Map(); // shares, computed once
    it.lenses = new Map(); // of each token
    it.heads = new Map(); // the words that a head brings
    it.a = {};
    const names = Object.keys(saved.arrays);
    const arrays = await Promise.all(names.map((name) => opened(saved.arrays[name])));
    names.forEach((name, i) => (it.a[name] = arrays[i]));
    it.shown = saved.writes ? it.a.next_ids.length / it.T : 0;
    it.watched = saved.writes ? it.a.kept_p.length / it.T - 1 : 0;
    if (saved.writes) it.addLens(saved, it.a);
    return it;
  }

  /** More of it, which came later. */
  async add(more, into) {
    const arrays = {};
    for (const [name, array] of Object.entries(more.arrays)) arrays[name] = await opened(array);
    into(arrays, more.pieces, more);
  }

  addLens(found, arrays) {
    const { lens_of: tokens, pieces } = found;
    const n = tokens.length;
    tokens.forEach((t, i) => {
      const read = (name, layer) => {
        const at = layer * n + i;
        const best = arrays[`${name}_id`].length / (this.L * n);
        const words = range(best).map((b) => [pieces[arrays[`${name}_id`][best * at + b]], arrays[`${name}_p`][best * at + b]]);
        return { words, word: words[0][0], p: words[0][1], rank: arrays[`${name}_rank`][at], pa: arrays[`${name}_pa`][at] };
      };
      const layers = range(this.L).map((layer) => ({ ...read("lens", layer), mid: read("mid", layer), map: arrays.map_id ? read("map", layer) : null }));
      this.lenses.set(t, layers);
    });
  }

  /** What each layer would say at a token; null where nobody has asked yet. */
  lens(t) {
    return this.lenses.get(t) ?? null;
  }

  addNeeds(found, arrays) {
    this.off ??= [];
    const size = (this.H + 1) * this.T;
    this.needs ??= range(this.L);
    found.layers.forEach((layer, i) => {
      const rows = this.watched + 1;
      this.needs[layer] = {
        p: arrays.off_p.subarray(i * size * rows, (i + 1) * size * rows),
        best: Array.from(arrays.off_id.subarray(i * size, (i + 1) * size), (piece) => found.pieces[piece]),
      };
    });
  }

  /** Whether each head was switched off, so that it is known what becomes of the next token. */
  knowsNeeds() {
    return Boolean(this.a.off_p) || (this.needs?.every((layer) => layer.p) ?? false);
  }

  /** The watched tokens with one head off (or, head = H, one layer skipped), and the likeliest then; null: not known. */
  alone(layer, head, t) {
    const rows = this.watched + 1;
    const at = head * this.T + t;
    const all = this.a.off_p;
    const whole = (layer * (this.H + 1) + head) * this.T + t;
    const found = all ? all.subarray(whole * rows, (whole + 1) * rows) : this.needs?.[layer]?.p?.subarray(at * rows, (at + 1) * rows);
    if (!found) return null;
    const p = Array.from(found, (x) => x / 65535);
    return { p: p.slice(0, -1), best: all ? this.pieces[this.a.off_id[whole]] : this.needs[layer].best[at], bestP: p.at(-1) };
  }

  /** The same of a recording with something off. */
  kept10(t) {
    const rows = this.watched + 1;
    const p = Array.from(this.a.kept_p.subarray(t * rows, (t + 1) * rows));
    return { p: p.slice(0, -1), best: this.pieces[this.a.kept_id[t]], bestP: p.at(-1) };
  }

  /** How many tokens one can look at. */
  sees(q, n = this.T) {
    return this.causal ? q + 1 : n;
  }

  /** Query times key, divided by the root of their width: also of the pairs that the mask will hide. */
  score(layer, head, q, k) {
    return this.a.scores[((layer * this.H + head) * this.T + q) * this.T + k] / this.scale;
  }

  /** What token q looks at in one head: a share of each token that it sees. */
  shares(layer, head, q) {
    const name = (layer * this.H + head) * this.T + q;
    if (!this.kept.has(name)) {
      const scores = range(this.sees(q)).map((k) => this.score(layer, head, q, k));
      this.kept.set(name, softmaxed(scores));
    }
    return this.kept.get(name);
  }

  /** Four bits a number: q, k, v of a head, or of a token (x, read, mlp_read). */
  vector(kind, layer, head, t) {
    const heads = { q: this.H, k: this.G, v: this.G }[kind] ?? 1;
    const own = heads === 1 ? 0 : kind === "q" ? head : Math.floor((head * this.G) / this.H);
    const at = (layer * heads + own) * this.T + t;
    const bytes = this.a[kind].length / this.a[`${kind}_max`].length;
    const top = this.a[`${kind}_max`][at] / 7;
    return range(2 * bytes).map((i) => (((this.a[kind][bytes * at + (i >> 1)] >> (i % 2 ? 4 : 0)) & 15) - 8) * top);
  }

  /** What a head gathers at a token: the values of all that it sees, by their shares. */
  mixed(layer, head, t) {
    const shares = this.shares(layer, head, t);
    const values = shares.map((_, k) => this.vector("v", layer, head, k));
    return values[0].map((_, i) => sum(shares.map((share, k) => share * values[k][i])));
  }

  /** A query or key as it was before it was turned by its place; null where nothing turns. */
  unturned(kind, layer, head, t) {
    if (this.base === null) return null;
    const turned = this.vector(kind, layer, head, t);
    const half = turned.length / 2;
    const back = [...turned];
    for (let i = 0; i < half; i += 1) {
      const angle = t / this.base ** (i / half);
      const [a, b] = this.interleaved ? [2 * i, 2 * i + 1] : [i, i + half];
      back[a] = turned[a] * Math.cos(angle) + turned[b] * Math.sin(angle);
      back[b] = turned[b] * Math.cos(angle) - turned[a] * Math.sin(angle);
    }
    return back;
  }

  /** The likeliest next token. */
  answer(t) {
    return this.pieces[this.a.next_ids[t * this.shown]];
  }

  /** Of a token by its piece; null where it is not among the listed ones. */
  chanceOf(t, piece) {
    const place = range(this.shown).find((i) => this.pieces[this.a.next_ids[t * this.shown + i]] === piece);
    return place === undefined ? null : this.chances(t, {}, this.shown).p[place];
  }

  /** The chances of the likeliest next tokens after the settings; of all that are not among the first `shown`. */
  chances(t, { temperature = 1, topK = 0, topP = 1 } = {}, shown = this.watched) {
    const all = this.shown;
    const logits = this.a.next_logits.subarray(t * all, (t + 1) * all);
    if (temperature === 0) return { p: range(shown).map((i) => (i ? 0 : 1)), rest: 0, kept: 1, isCounted: true };
    const raise = (x) => Math.exp((x - logits[0]) / temperature);
    const bins = this.a.rest.length / this.T;
    // From the likeliest on: so many tokens, and the power of each. Those that are not listed are counted in steps of their scores.
    const listed = Array.from(logits, (x) => [1, raise(x)]);
    const others = range(bins).reverse().map((i) => [this.a.rest[t * bins + i], raise(this.low + (i + 0.5) * this.step)]);
    let groups = [...listed, ...others];
    if (topK > 0) groups = until(groups, topK, () => 1);
    if (topP < 1) groups = until(groups, topP * mass(groups), (power) => power);
    const whole = mass(groups);
    const p = range(shown).map((i) => (i < groups.length ? groups[i][1] / whole : 0));
    const isCut = (topK > 0 && topK < this.vocabulary) || topP < 1;
    return { p, rest: Math.max(0, 1 - sum(p)), kept: isCut ? sum(groups.map(([n]) => n)) : null, isCounted: groups.length <= all };
  }

  /** How often each watched token comes in so many draws of the one after t. */
  draws(t, times, settings) {
    const drawn = range(times).map(() => this.drawn(t, settings));
    return range(this.watched).map((i) => drawn.filter((each) => each === i).length);
  }

  /** The place of a drawn token among the listed ones; null: one of the others. */
  drawn(t, settings) {
    let left = Math.random();
    const place = this.chances(t, settings, this.shown).p.findIndex((p) => (left -= p) < 0);
    return place < 0 ? null : place;
  }

  share(layer, t) {
    const at = 2 * (layer * this.T + t);
    return { attention: this.a.share[at], mlp: this.a.share[at + 1] };
  }

  length(place, t) {
    return this.a.length[place * this.T + t];
  }

  /** What a head brings, read as an output; null where nobody has asked yet. */
  words(layer, head, t) {
    const own = this.heads.get(`${layer}.${head}`);
    if (own) return own[t];
    if (!this.a.words) return null;
    const n = this.a.words.length / (this.L * this.H * this.T);
    const at = ((layer * this.H + head) * this.T + t) * n;
    return Array.from(this.a.words.subarray(at, at + n), (piece) => this.pieces[piece]);
  }

  units(layer, t) {
    const n = this.a.unit_n.length / (this.L * this.T);
    const at = (layer * this.T + t) * n;
    return range(n).map((i) => {
      const [gate, up, hidden] = this.a.units.subarray(3 * (at + i), 3 * (at + i) + 3);
      return { n: this.a.unit_n[at + i], gate, up, hidden };
    });
  }
}
