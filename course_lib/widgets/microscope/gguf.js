// What a GGUF file holds, in JavaScript: values, byte pairs, and tensors that stay packed; see Python's `gguf_file`.

const READERS = "Uint8 Int8 Uint16 Int16 Uint32 Int32 Float32 Uint8 - - BigUint64 BigInt64 Float64".split(" "); // by kind
const [U32, U64, STRING, ARRAY] = [4, 10, 8, 9];
const SPLITS_DIGITS = { "gpt-2": false, smollm: true };
const CONTROL = 3; // the kind of a special token

/** A float16 as a number, by its bits. */
const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  return (bits >> 15 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
});

/** How weights are packed, by ggml's numbers: how many in how many bytes, and how some blocks, from a byte on, are unpacked into w. */
const PACKINGS = {
  0: { block: 1, size: 4, unpack: (bytes, at, n, w) => w.set(new Float32Array(bytes.buffer, bytes.byteOffset + at, n)) },
  3: { block: 32, size: 20, unpack: unpackQ4 },
  8: { block: 32, size: 34, unpack: unpackQ8 },
};

/** Q4_1: a scale, an offset, and 32 numbers from 0 to 15, of which two share a byte. */
function unpackQ4(bytes, at, n, w) {
  for (let first = 0, i = at; first < n; first += 32, i += 4) {
    const scale = HALVES[bytes[i] | (bytes[i + 1] << 8)];
    const offset = HALVES[bytes[i + 2] | (bytes[i + 3] << 8)];
    for (let k = first; k < first + 16; k += 1, i += 1) {
      const both = bytes[i + 4];
      w[k] = scale * (both & 15) + offset;
      w[k + 16] = scale * (both >> 4) + offset;
    }
  }
}

/** Q8_0: a scale and 32 numbers from -128 to 127. */
function unpackQ8(bytes, at, n, w) {
  for (let first = 0, i = at; first < n; first += 32, i += 2) {
    const scale = HALVES[bytes[i] | (bytes[i + 1] << 8)];
    for (let k = first; k < first + 32; k += 1, i += 1) w[k] = scale * ((bytes[i + 2] << 24) >> 24);
  }
}

/** One row of a packed matrix. */
function rowOf({ unpack, bytes, stride, width }, row, w = new Float64Array(width)) {
  unpack(bytes, row * stride, width, w);
  return w;
}

/** What a GGUF file holds: values by name, and tensors by name, still packed. */
function readGGUF(buffer) {
  const view = new DataView(buffer);
  let at = 4;
  const number = (kind) => {
    const name = READERS[kind];
    if (!name) throw new Error(`a value of unknown kind ${kind}`);
    const value = Number(view[`get${name}`](at, true));
    at += Number(name.replace(/\D+/, "")) / 8;
    return value;
  };
  const string = () => {
    const bytes = new Uint8Array(buffer, at + 8, number(U64));
    at += bytes.length;
    return decoded(bytes);
  };
  const value = (kind) => (kind === STRING ? string() : kind === ARRAY ? list(number(U32), number(U64)) : number(kind));
  const list = (kind, n) => Array.from({ length: n }, () => value(kind));
  if (view.getUint32(0, true) !== 0x46554747 || number(U32) < 2) throw new Error("it does not begin as one");
  const [tensors, values] = [number(U64), number(U64)];
  const named = Object.fromEntries(range(values).map(() => [string(), value(number(U32))]));
  const table = range(tensors).map(() => ({ name: string(), shape: list(U64, number(U32)), kind: number(U32), offset: number(U64) }));
  const alignment = named["general.alignment"] ?? 32;
  const start = Math.ceil(at / alignment) * alignment;
  const packed = table.map(({ name, shape: [width, rows = 1], kind, offset }) => {
    const packing = PACKINGS[kind];
    if (!packing) throw new Error(`${name} is packed in a way that nobody here can read`);
    const stride = (width / packing.block) * packing.size;
    return [name, { rows, width, stride, unpack: packing.unpack, bytes: new Uint8Array(buffer, start + offset, rows * stride) }];
  });
  return { values: named, tensors: Object.fromEntries(packed) };
}

/** The byte pairs in the values of a file. */
function bytePairsOf(values) {
  const [tokens, kinds, merges, pre] = ["tokens", "token_type", "merges", "pre"].map((name) => values[`tokenizer.ggml.${name}`]);
  if (!(pre in SPLITS_DIGITS)) throw new Error(`its tokenizer finds words by ${pre}; expected ${Object.keys(SPLITS_DIGITS).join(" or ")}`);
  const special = Object.fromEntries(tokens.map((token, id) => [token, id]).filter(([, id]) => kinds[id] === CONTROL));
  return new BytePairs({ tokens, merges: merges.map((merge) => merge.split(" ")), special, digits: SPLITS_DIGITS[pre] });
}

const decoded = (bytes, options) => new TextDecoder("utf-8", { ignoreBOM: true, ...options }).decode(bytes);

/** One token as it stands in a running text; bytes that are no letter as ⟨E2⟩. */
function pieceOf(tokenizer, id) {
  try {
    return decoded(tokenizer.bytes(id), { fatal: true });
  } catch {
    return readable(tokenizer.bytes(id));
  }
}
