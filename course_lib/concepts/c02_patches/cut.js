// How a picture is cut, and what follows from that: numbers only, no page.

const ROWS = "rows"; // a token is a row of pixels, in place of a square
const SIZES = [1, 2, 4, 8, 16, 32, 64];
// As in Python.
const SHEET = 8;
const INK = 16;
const FARTHEST = 2;
const OWN_SIDE = 224;
// Cells from the pen: up to here full ink, from here on none.
const DARK = 0.35;
const REACH = 1.1;
const MOST_COMPARED = 300_000; // tokens

// The page's own matrix: waves of light down and right over the patch, and two contrasts of colour.
const LIGHT = [1 / 3, 1 / 3, 1 / 3];
const WAVES = [
  ["mean", LIGHT, 0, 0],
  ["left–right", LIGHT, 0, 1],
  ["up–down", LIGHT, 1, 0],
  ["corners", LIGHT, 1, 1],
  ["sides", LIGHT, 0, 2],
  ["ends", LIGHT, 2, 0],
  ["red–blue", [1, 0, -1], 0, 0],
  ["green", [-0.5, 1, -0.5], 0, 0],
];

/** The matrix for tokens of this shape: for each number of the vector its weights, and what it tells. */
function waves(channels, tall, wide) {
  const fit = WAVES.filter(([, colours, down, right]) => down < tall && right < wide && (channels === 3 || colours === LIGHT));
  const weights = fit.map(([, colours, down, right]) =>
    Float64Array.from({ length: channels * tall * wide }, (_, j) => {
      const [y, x] = [Math.floor(j / wide) % tall, j % wide];
      const wave = Math.cos((Math.PI * down * (y + 0.5)) / tall) * Math.cos((Math.PI * right * (x + 0.5)) / wide);
      return ((down + right ? 2 : 1) * wave * (channels === 3 ? colours[Math.floor(j / (tall * wide))] : 1)) / (tall * wide);
    }));
  return { weights, bias: fit.map(() => 0), names: fit.map(([name]) => name), width: fit.length };
}

/** Python's matrix, as far as it is shown. */
function given({ weights, bias, width }, length) {
  const all = unpacked(weights, Float32Array);
  return { weights: range(all.length / length).map((k) => all.subarray(k * length, (k + 1) * length)), bias: unpacked(bias, Float32Array), names: null, width };
}

/** The patch sizes for a picture of this shape, among them the one that is wanted. */
function sizesOf([, height, width], wanted) {
  const fitting = [...new Set([...SIZES, wanted])].filter((size) => size >= 1 && size <= Math.min(height, width));
  return fitting.sort((a, b) => a - b);
}

/** How far the numbers lie from their mean. */
function spread(numbers) {
  const mean = sum(numbers) / numbers.length;
  return Math.sqrt(sum(numbers.map((x) => (x - mean) ** 2)) / numbers.length);
}

/** One way to cut one picture. Number j of token t stands at start(t) + offsets[j] in the picture. */
class Cut {
  /** numbers: those of the picture, from 0 to full, channel by channel; size: a square's side, or ROWS. */
  constructor({ numbers, shape: [channels, height, width], full }, size, projection = null) {
    const [tall, wide] = size === ROWS ? [1, width] : [Number(size), Number(size)];
    const [rows, columns] = [Math.floor(height / tall), Math.floor(width / wide)];
    const area = tall * wide;
    Object.assign(this, { numbers, channels, height, width, full, size, tall, wide, rows, columns, area, n: rows * columns, length: channels * area });
    this.lost = [height - rows * tall, width - columns * wide];
    this.offsets = Int32Array.from({ length: this.length }, (_, j) => (Math.floor(j / area) * height + (Math.floor(j / wide) % tall)) * width + (j % wide));
    const fits = projection && String(projection.size) === String(size) && projection.n_channels === channels;
    this.matrix = fits ? given(projection, this.length) : waves(channels, tall, wide);
  }

  start(t) {
    return Math.floor(t / this.columns) * this.tall * this.width + (t % this.columns) * this.wide;
  }

  /** All numbers of a token: colour by colour, line by line. */
  row(t) {
    const start = this.start(t);
    return Array.from(this.offsets, (offset) => this.numbers[start + offset]);
  }

  vector(t) {
    const { numbers, offsets, matrix, full } = this;
    const start = this.start(t);
    return matrix.weights.map((weights, k) => {
      let all = 0;
      for (let j = 0; j < offsets.length; j += 1) all += weights[j] * numbers[start + offsets[j]];
      return all / full + matrix.bias[k];
    });
  }

  /** Each token's vector. */
  all() {
    this.vectors ??= range(this.n).map((t) => this.vector(t));
    return this.vectors;
  }

  /** The cosine of two tokens' vectors. */
  cosine(t, other) {
    const [a, b] = [t, other].map((each) => this.all()[each]);
    return dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), 1e-12);
  }

  /** How far the numbers of two tokens lie apart on average, as a share of the whole scale. */
  apart(t, other) {
    const [a, b] = [this.row(t), this.row(other)];
    return sum(a.map((number, j) => Math.abs(number - b[j]))) / (this.length * this.full);
  }

  /** What attention alone gives to token t: the mean of all vectors, each by the softmax of its product with t's; added up in this order. */
  mixture(t, order) {
    const vectors = this.all();
    const scores = order.map((other) => dot(vectors[t], vectors[other]) / Math.sqrt(vectors[t].length));
    const most = scores.reduce((a, b) => Math.max(a, b));
    const weights = scores.map((score) => Math.exp(score - most));
    const all = sum(weights);
    return vectors[t].map((_, k) => sum(order.map((other, i) => (weights[i] * vectors[other][k]) / all)));
  }

  /** The first of those tokens whose vector is nearest, and how many have the very same; null if there is none. */
  nearest(t) {
    if (this.n === 1 || this.n > MOST_COMPARED) return null;
    const own = this.all()[t];
    let [token, least, same] = [null, Infinity, 0];
    this.vectors.forEach((vector, other) => {
      if (other === t) return;
      let distance = 0;
      for (let k = 0; k < own.length; k += 1) distance += (vector[k] - own[k]) ** 2;
      if (distance < 1e-18) same += 1;
      if (distance < least) [token, least] = [other, distance];
    });
    return { token, same };
  }

  /** A token with edges and colours, to begin with. */
  telling() {
    if (this.area === 1) return this.n >> 1;
    const contrasts = range(this.n).map((t) => {
      const row = this.row(t);
      return spread(row.slice(0, this.area).map((red, i) => 2 * red - row[this.length - this.area + i]));
    });
    return contrasts.reduce((best, contrast, t) => (contrast > contrasts[best] + 1e-9 ? t : best), 0);
  }

  /** Which token stands at each place when they are shuffled, always the same way; and where each token stands. */
  shuffled() {
    if (!this.order) {
      let seed = 1;
      this.order = range(this.n);
      for (let i = this.n - 1; i > 0; i -= 1) {
        seed = (seed * 48271) % 2147483647;
        const j = seed % (i + 1);
        [this.order[i], this.order[j]] = [this.order[j], this.order[i]];
      }
      this.places = new Int32Array(this.n);
      this.order.forEach((token, place) => (this.places[token] = place));
    }
    return this;
  }

  /** How many tokens another size makes. */
  count(size) {
    return Math.floor(this.height / size) * Math.floor(this.width / size);
  }
}

/** The numbers of a picture that was moved over white paper, which is 0. */
function shifted(numbers, [, height, width], [down, right]) {
  return numbers.map((_, i) => {
    const [y, x] = [Math.floor(i / width) - down, (i % width) - right];
    return y < 0 || y >= height || x < 0 || x >= width ? 0 : numbers[y * width + x];
  });
}

/** The sheet's greys after a pen, or a rubber, went from point to point, x and y in cells. */
function inked(greys, points, erases) {
  return greys.map((grey, i) => {
    const [x, y] = [(i % SHEET) + 0.5, Math.floor(i / SHEET) + 0.5];
    const distances = points.map(([x0, y0], k) => {
      const [x1, y1] = points[k + 1] ?? points[k];
      const [dx, dy] = [x1 - x0, y1 - y0];
      const along = clamp(((x - x0) * dx + (y - y0) * dy) / Math.max(dx * dx + dy * dy, 1e-12), 0, 1);
      return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
    });
    const ink = Math.round(INK * clamp((REACH - Math.min(...distances)) / (REACH - DARK), 0, 1));
    return erases ? Math.min(grey, INK - ink) : Math.max(grey, ink);
  });
}

/** Bytes as `unpacked` reads them. */
const packedBytes = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

/** A file's picture as a square: its middle, on white, scaled. */
async function squareOf(file) {
  const picture = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} holds no picture that can be read: try a PNG or JPEG file.`);
  });
  const { height, width } = picture;
  const [side, n] = [Math.min(height, width), OWN_SIDE ** 2];
  const pen = new OffscreenCanvas(OWN_SIDE, OWN_SIDE).getContext("2d");
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, OWN_SIDE, OWN_SIDE);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, (width - side) / 2, (height - side) / 2, side, side, 0, 0, OWN_SIDE, OWN_SIDE);
  const { data } = pen.getImageData(0, 0, OWN_SIDE, OWN_SIDE);
  return { name: file.name, height, width, pixels: packedBytes(range(3 * n).map((i) => data[4 * (i % n) + Math.floor(i / n)])) };
}
