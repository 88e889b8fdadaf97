// Where the tokens of a text stand in it, and how a token is written.

const encoded = (text) => new TextEncoder().encode(text);
const isRightToLeft = (text) => /^[^\p{L}]*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/u.test(text);
const JOINED = /[\p{sc=Arab}\p{sc=Deva}\p{sc=Beng}\p{sc=Guru}\p{sc=Syrc}\p{sc=Mong}]/u;
const short = (text, most) => (text.length > most ? `${Array.from(text).slice(0, most - 1).join("")}…` : text);
const LETTERS = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Of each byte that a `BytePairs` reads: where its character stands in the text, and the place of its token (-1: left out). */
function unitsOfBytes(tokenizer, words) {
  const units = [];
  let [at, token] = [0, 0];
  for (const [word, ids] of words) {
    const left = ids.map((id) => tokenizer.bytes(id).length);
    let i = 0;
    for (const character of word) {
      for (const byte of encoded(character)) {
        const isRead = tokenizer.special.has(word) || tokenizer.ofByte[byte] !== undefined;
        units.push([at, isRead ? token + i : -1]);
        if (isRead) left[i] -= 1;
        if (left[i] === 0) i += 1;
      }
      at += character.length;
    }
    token += ids.length;
  }
  return units;
}

/** The same of each letter that a `WordPieces` reads; what it drops has none. */
function unitsOfLetters(tokenizer, text, words) {
  let [read, from, offset] = ["", [], 0];
  tokenizer.parts(text).forEach((part, i) => {
    const found = i % 2 ? { read: part, from: range(part.length) } : tokenizer.read(part);
    read += found.read;
    from = from.concat(found.from.map((at) => at + offset));
    offset += part.length;
  });
  const units = [];
  let [at, token] = [0, 0];
  for (const [word, ids] of words) {
    BERT_WORDS.lastIndex = at;
    const next = BERT_WORDS.exec(read);
    if (!next) break;
    at = next.index;
    // A word that is too long comes as [UNK].
    const length = read.startsWith(word, at) ? word.length : next[0].length;
    ids.forEach((id, i) => {
      const its = ids.length === 1 ? length : tokenizer.tokens[id].length - (i ? 2 : 0);
      for (const place of from.slice(at, at + its)) units.push([place, token + i]);
      at += its;
    });
    token += ids.length;
  }
  return units;
}

/**
 * One text as one tokenizer cuts it. words: [word, ids, way] each. tokens: id, word, and `at`, where it begins in the text,
 * but for white space. bits: the text in pieces, each with the tokens that it belongs to: mostly one; none for what is
 * dropped; several, with their shares, where a letter lies in several.
 */
class Cutting {
  constructor(title, tokenizer, text, words) {
    Object.assign(this, { title, tokenizer, text, words, grown: new Map() });
    this.isBytes = tokenizer instanceof BytePairs;
    this.tokens = words.flatMap(([, ids], word) => ids.map((id) => ({ id, word, bits: [] })));
    const units = this.isBytes ? unitsOfBytes(tokenizer, words) : unitsOfLetters(tokenizer, text, words);
    for (const [at, token] of units) {
      const found = this.tokens[token];
      if (found && (found.at === undefined || (!found.isSolid && /\S/.test(text[at])))) Object.assign(found, { at, isSolid: /\S/.test(text[at]) });
    }
    this.bits = [];
    let u = 0;
    for (const { segment, index } of LETTERS.segment(text)) {
      const parts = [];
      for (; u < units.length && units[u][0] < index + segment.length; u += 1) {
        if (parts.at(-1)?.token === units[u][1]) parts.at(-1).share += 1;
        else parts.push({ token: units[u][1], share: 1 });
      }
      const before = this.bits.at(-1);
      const goesOn = before && Math.max(parts.length, before.parts.length) < 2 && before.parts[0]?.token === parts[0]?.token;
      if (goesOn) {
        before.text += segment;
        if (parts.length) before.parts[0].share += parts[0].share;
      } else this.bits.push({ at: index, text: segment, parts });
    }
    this.bits.forEach(({ parts }, bit) => parts.forEach(({ token }) => this.tokens[token]?.bits.push(bit)));
  }

  /** How a token is written. */
  name(id) {
    return readable(this.tokenizer.bytes(id));
  }

  /** The token where one of another tokenizer begins. */
  tokenAt(other) {
    const bit = this.bits.findLast(({ at }) => at <= other?.at);
    return this.tokens[bit?.parts.find(({ token }) => token >= 0)?.token];
  }

  /** Whether [UNK] stands for a word. */
  isLost(word) {
    return !this.isBytes && this.words[word][1][0] === this.tokenizer.special.get("[UNK]");
  }

  /** How many tokens the text takes, and how many of its words are lost. */
  price() {
    return { n: this.tokens.length, lost: this.words.filter((_, word) => this.isLost(word)).length, words: this.words.length };
  }
}

/** A letter as it stands in the running text: what cannot be seen gets a sign. */
function visible(letter) {
  if (letter === " ") return letter;
  if (letter in INVISIBLE) return INVISIBLE[letter] + (letter === "\n" ? "\n" : "");
  return /^[\p{C}\p{Z}]+$/u.test(letter) ? readable(encoded(letter)) : letter;
}

/** Neighbours are told apart. */
const tint = (token) => (token < 0 ? "transparent" : `var(--tint-${token % 2})`);

/** The tints of a letter that lies in several tokens, side by side, with a line between them. */
function stripes(parts, isRight) {
  const whole = sum(parts.map(({ share }) => share));
  let done = 0;
  const each = parts.map(({ token, share }) => {
    const from = `${(100 * done) / whole}%`;
    done += share;
    const edge = `calc(${from} + 1.5px)`;
    return `${from === "0%" ? tint(token) : "var(--cx-token)"} ${from} ${edge}, ${tint(token)} ${edge} ${(100 * done) / whole}%`;
  });
  return `linear-gradient(${isRight ? 270 : 90}deg, ${each.join(", ")})`;
}
