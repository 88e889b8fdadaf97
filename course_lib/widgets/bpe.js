// Text to tokens, as `course_lib.bpe` does it: words(text), and cut(word), which gives the ids and the way to them.

/** The character that stands for each byte in a vocabulary: those that print for themselves, the others from 256 on. */
const BYTE_CHARACTERS = (() => {
  let others = 256;
  const isPrinted = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrinted(byte) ? byte : others++));
})();
const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

// GPT-2: contractions, words, numbers, punctuation, each with the space before it; white space.
const GPT2_WORDS =
  /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** What both have: tokens, their ids, and special tokens, which stay whole. */
class Vocabulary {
  constructor({ tokens, special = {} }) {
    this.tokens = tokens;
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    this.special = new Map(Object.entries(special));
    const longestFirst = [...this.special.keys()].sort((a, b) => b.length - a.length);
    this.specials = new RegExp(`(${longestFirst.map((token) => token.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|") || "(?!)"})`);
  }

  /** Parts of a text, every other one a special token. */
  parts(text) {
    if (!text.isWellFormed()) throw new Error("the tokenizer encodes valid Unicode; got a lone surrogate");
    return text.split(this.specials);
  }

  words(text) {
    return this.parts(text).flatMap((part, i) => (i % 2 ? [part] : this.split(part)));
  }

  encode(text) {
    return this.words(text).flatMap((word) => this.cut(word)[0]);
  }
}

/**
 * Byte pairs: merges are [left, right]; the way is the ranks of the merges, in their order.
 * isKnown: whether words are split as GPT-2 does it; digits: every digit is a word of its own.
 */
class BytePairs extends Vocabulary {
  constructor({ merges, isKnown = true, digits = false, ...vocabulary }) {
    super(vocabulary);
    Object.assign(this, { merges, isKnown, digits });
    this.ofByte = BYTE_CHARACTERS.map((character) => this.ids.get(character));
    this.made = merges.map(([left, right]) => this.ids.get(left + right));
    this.ranks = new Map(merges.map(([left, right], rank) => [this.pair(this.ids.get(left), this.ids.get(right)), rank]));
  }

  pair(left, right) {
    return left * this.tokens.length + right;
  }

  split(text) {
    if (!this.isKnown) throw new Error(NEEDS_PYTHON);
    const parts = this.digits ? (text.match(/\p{N}|\P{N}+/gu) ?? []) : [text];
    return parts.flatMap((part) => part.match(GPT2_WORDS) ?? []);
  }

  /** The ids of a word's bytes; a byte that the vocabulary lacks is left out. */
  start(word) {
    return Array.from(new TextEncoder().encode(word), (byte) => this.ofByte[byte]).filter((id) => id !== undefined);
  }

  /** The ids after one merge, wherever its pair stands. */
  merged(ids, rank) {
    const after = [];
    for (let i = 0; i < ids.length; i += 1) {
      const isPair = i + 1 < ids.length && this.ranks.get(this.pair(ids[i], ids[i + 1])) === rank;
      after.push(isPair ? this.made[rank] : ids[i]);
      if (isPair) i += 1;
    }
    return after;
  }

  cut(word) {
    if (this.special.has(word)) return [[this.special.get(word)], []];
    let ids = this.start(word);
    const way = [];
    for (;;) {
      let best = Infinity;
      for (let i = 0; i + 1 < ids.length; i += 1) best = Math.min(best, this.ranks.get(this.pair(ids[i], ids[i + 1])) ?? Infinity);
      if (best === Infinity) return [ids, way];
      way.push(best);
      ids = this.merged(ids, best);
    }
  }

  bytes(id) {
    const token = this.tokens[id];
    return this.special.has(token) ? new TextEncoder().encode(token) : Uint8Array.from(token, (character) => BYTES.get(character));
  }
}

// ------------------------------------------------------------------------------------------------ how bytes are written
const INVISIBLE = { " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍" };
const isSeen = (character) => character in INVISIBLE || !/[\p{C}\p{Z}]/u.test(character);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");

/** Bytes to read, as Python's `readable` writes them: whole characters, and what is none or cannot be seen as ⟨bytes⟩. */
function readable(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const parts = [];
  for (let i = 0; i < bytes.length; ) {
    let [length, character] = [bytes[i] < 0xc0 ? 1 : bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4, ""];
    try {
      character = decoder.decode(bytes.subarray(i, i + length));
    } catch {
      length = 1;
    }
    const isText = character !== "" && isSeen(character);
    if (parts.at(-1)?.isText !== isText) parts.push({ isText, from: i, text: "" });
    Object.assign(parts.at(-1), { to: i + length, text: parts.at(-1).text + (INVISIBLE[character] ?? character) });
    i += length;
  }
  // A mark that belongs over or under a letter needs something to stand on.
  const written = ({ isText, from, to, text }) => (isText ? (/^\p{M}/u.test(text) ? "◌" : "") + text : `⟨${hex(bytes.subarray(from, to))}⟩`);
  return parts.map(written).join("");
}
