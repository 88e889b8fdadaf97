// Five schemes of positions: what a place gets, and the score of a query's place with a key's. Formulas, and two small tables.

const BASE = 10000;

/** By how much each hand turns from place to place, in radians, the quickest first. */
const speedsOf = (width) => range(width / 2).map((i) => BASE ** ((-2 * i) / width));

/** ALiBi's slope of each head: a number of heads between powers of two takes some from the next power. */
function slopesOf(heads) {
  const power = 2 ** Math.floor(Math.log2(heads));
  const more = range(heads - power).map((i) => 2 ** ((-4 * (2 * i + 1)) / power));
  return [...range(power).map((i) => 2 ** ((-8 * (i + 1)) / power)), ...more];
}

/** Scores that the offset of the key from the query decides alone: at(offset, head). */
function evenScores(n, at, heads = 1) {
  const kept = range(heads).map((head) => Float64Array.from({ length: 2 * n - 1 }, (_, i) => at(i - n + 1, head)));
  const score = (query, key, head = 0) => kept[head % heads][key - query + n - 1];
  const spread = (offset, head = 0) => Array(2).fill(kept[head % heads][offset + n - 1]);
  return { score, spread, ends: [Math.min(...kept.map((each) => Math.min(...each))), Math.max(...kept.map((each) => Math.max(...each)))] };
}

/** Scores of a table of vectors: the cosine of two rows. */
function cosines(table, n, width) {
  const rows = range(n).map((t) => {
    const row = table.subarray(t * width, (t + 1) * width);
    const length = Math.hypot(...row) || 1; // a row of zeros is like no other
    return row.map((x) => x / length);
  });
  const kept = new Float64Array(n * n);
  const [least, most] = [new Float64Array(2 * n - 1).fill(Infinity), new Float64Array(2 * n - 1).fill(-Infinity)];
  for (let t = 0; t < n; t += 1) {
    for (let s = 0; s <= t; s += 1) {
      let cosine = 0;
      for (let i = 0; i < width; i += 1) cosine += rows[t][i] * rows[s][i];
      for (const [query, key] of [[t, s], [s, t]]) {
        kept[query * n + key] = cosine;
        const at = key - query + n - 1;
        least[at] = Math.min(least[at], cosine);
        most[at] = Math.max(most[at], cosine);
      }
    }
  }
  const spread = (offset) => [least[offset + n - 1], most[offset + n - 1]];
  return { score: (query, key) => kept[query * n + key], spread, ends: [Math.min(...least), Math.max(...most)] };
}

/**
 * A scheme by its name. sizes: the explorer's state; tables: what Python packed.
 * score(query, key, head); spread(offset, head): the least and the largest score so far apart; ends: of all scores;
 * speeds: of its hands; heads: how many differ; numbers(place, i): what a place gets, null where nothing is added to vectors.
 */
function schemeOf(name, sizes, tables) {
  const { n_places: n, d_model: width, n_heads: heads, farthest } = sizes;
  const turned = (offset) => sum(speedsOf(width).map((speed) => Math.cos(offset * speed))) / (width / 2);
  const none = { name, speeds: [], heads: 0, numbers: null };
  if (name === "sinusoidal" || name === "rotary") {
    const speeds = speedsOf(width);
    const wave = (place, i) => (i % 2 ? Math.cos : Math.sin)(place * speeds[i >> 1]);
    return { ...none, speeds, ...evenScores(n, turned), numbers: name === "sinusoidal" ? wave : null };
  }
  if (name === "learned") {
    const table = Float64Array.from(unpacked(tables.learned, Int16Array));
    return { ...none, ...cosines(table, n, width), numbers: (place, i) => table[place * width + i] * tables.unit };
  }
  if (name === "ALiBi") {
    const slopes = slopesOf(heads);
    return { ...none, heads, slopes, ...evenScores(n, (offset, head) => -slopes[head] * Math.abs(offset), heads) };
  }
  const added = unpacked(tables.relative, Float32Array);
  const at = (offset, head) => added[head * (2 * farthest + 1) + clamp(offset, -farthest, farthest) + farthest];
  return { ...none, heads, ...evenScores(n, at, heads) };
}
