// Text to tokens as `course_lib.bpe.WordPiece` does it; `bpe.js` has byte pairs.

// BERT: punctuation marks and ideographs one by one, and what white space separates; what it drops.
const BY_ITSELF =
  "\\p{P}$+<=>^`|~\\u4e00-\\u9fff\\u3400-\\u4dbf\\uf900-\\ufaff\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2b73f}" +
  "\\u{2b740}-\\u{2b81f}\\u{2b920}-\\u{2ceaf}\\u{2f800}-\\u{2fa1f}";
const BERT_WORDS = new RegExp(`[${BY_ITSELF}]|[^\\p{White_Space}${BY_ITSELF}]+`, "gu");
const BERT_DROPS = /[^\P{C}\p{Cn}\t\n\r]|\ufffd/u;
const LONGEST_WORD = 100;

/** WordPiece of "uncased" models: the way is the ids that were matched, which [UNK] replaces where it ends too soon. */
class WordPieces extends Vocabulary {
  /** A text as it is read, with the place in it from which each code unit comes. */
  read(text) {
    const [read, from] = [[], []];
    const add = (characters, at) => {
      read.push(characters);
      for (let i = 0; i < characters.length; i += 1) from.push(at);
    };
    // A letter and the marks over it: these change their order.
    for (const { 0: letter, index } of text.matchAll(/\P{M}?\p{M}*/gsu)) {
      const kept = Array.from(letter).filter((character) => !BERT_DROPS.test(character));
      for (const character of kept.join("").normalize("NFD").replace(/\p{Mn}/gu, "")) add(character.toLowerCase(), index);
    }
    return { read: read.join(""), from };
  }

  split(text) {
    return (this.read(text).read.match(BERT_WORDS) ?? []).map((word) => (Array.from(word).length <= LONGEST_WORD ? word : "[UNK]"));
  }

  cut(word) {
    if (this.special.has(word)) return [[this.special.get(word)], []];
    const way = [];
    let letters = Array.from(word);
    while (letters.length) {
      let n = letters.length;
      const token = () => this.ids.get((way.length ? "##" : "") + letters.slice(0, n).join(""));
      while (n && token() === undefined) n -= 1;
      if (!n) return [[this.special.get("[UNK]")], way];
      way.push(token());
      letters = letters.slice(n);
    }
    return [way, way];
  }

  bytes(id) {
    return new TextEncoder().encode(this.tokens[id]);
  }
}

/** A tokenizer as Python's `packed_vocabulary` packed it. */
async function tokenizerOf(saved) {
  const stream = new Blob([unpacked(saved, Uint8Array)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const { steps, lengths, ...rest } = await new Response(stream).json();
  if (!lengths) return new WordPieces(rest);
  let made = 0;
  const merges = lengths.map((length, rank) => {
    made += steps[rank];
    return [rest.tokens[made].slice(0, length), rest.tokens[made].slice(length)];
  });
  return new BytePairs({ ...rest, merges });
}
