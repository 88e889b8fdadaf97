// How a word became its tokens, step by step: pairs that are merged, or the longest pieces that fit.

const LONGEST_DRAWN = 200; // bytes of a word
const LETTER = 46; // pixels, at most
const ROW = 26;
const TOP = 46; // the tokens with their numbers

/** A part of the figure: its place and size in pixels, and what stands in it. */
function block(kind, [left, top, width, height], ...inside) {
  return h("span", { class: `block ${kind}`, style: `left:${left}px;top:${top}px;width:${width}px;height:${height}px` }, inside);
}

/** What stands left of a row. */
const beside = (top, height, words, more = []) => h("span", { class: "beside", style: `top:${top}px;height:${height}px` }, words, more);
const roomBeside = (width) => (width > 400 ? 104 : 62);

/** Byte pairs. rows[k]: the pieces after k merges, each with its id, its first byte, how many, and whether it is new. */
class Merges {
  constructor(cut, word) {
    const { tokenizer, words } = cut;
    const [text, ids, way] = words[word];
    const bytes = encoded(text).filter((byte) => tokenizer.special.has(text) || tokenizer.ofByte[byte] !== undefined);
    const isLong = bytes.length > LONGEST_DRAWN;
    Object.assign(this, { cut, text, way, bytes, isLong, high: isLong ? 0 : way.length, cells: isLong ? 0 : bytes.length });
    const states = [this.high ? tokenizer.start(text) : ids];
    for (const rank of way.slice(0, this.high)) states.push(tokenizer.merged(states.at(-1), rank));
    let before = null;
    this.rows = states.map((state) => {
      let from = 0;
      const row = state.map((id) => {
        const n = tokenizer.bytes(id).length;
        from += n;
        return { id, n, from: from - n, isNew: before !== null && !before.has(`${from} ${n}`) };
      });
      before = new Set(row.map((piece) => `${piece.from + piece.n} ${piece.n}`));
      return row;
    });
  }

  name(id) {
    return this.cut.name(id).replace(/^⟨(.*)⟩$/, "$1");
  }

  /** The two that a merge joins, what they make, and as which pair it was learned. */
  joined(step) {
    const { merges, made, ids } = this.cut.tokenizer;
    const rank = this.way[step - 1];
    const [left, right] = merges[rank].map((token) => this.name(ids.get(token)));
    return { left, right, both: this.name(made[rank]), learned: nth(rank + 1) };
  }

  lines() {
    return range(this.high).map((k) => {
      const { left, right, both, learned } = this.joined(k + 1);
      return `merge ${k + 1}: ${left} + ${right} → ${both}, the ${learned} pair`;
    });
  }

  stepAt(y) {
    return clamp(this.high - Math.floor((y - TOP) / this.row), 0, this.high);
  }

  draw({ step, width, height, measured }) {
    if (this.isLong) return [h("p", {}, `${many(this.bytes.length, "byte")}: too many to draw. Type a part of it alone.`)];
    const left = roomBeside(width);
    const cell = Math.min(LETTER, (width - left) / this.bytes.length);
    const letters = Array.from(this.text, (letter) => [letter, encoded(letter).length]);
    const hasLetters = letters.length < this.bytes.length && sum(letters.map(([, n]) => n)) === this.bytes.length;
    this.row = Math.min(ROW, (height - TOP - (hasLetters ? 2 : 1) * ROW) / Math.max(this.high, 1));
    const place = ({ from, n }, top, high) => [left + from * cell, top, n * cell, high];
    const fitting = (words, { n }, size = 13, high = this.row) => (high > 13 && measured(words, size) < n * cell - 2 ? words : "");
    const names = Array.from(this.bytes, (byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte === 32 ? "␣" : hex([byte])));
    const areNamed = names.every((name) => fitting(name, { n: 1 }, 13, ROW));
    this.isNamed = areNamed && this.row > 13;
    const now = this.rows[step];
    const nodes = [beside(0, TOP - 4, many(now.length, "token"), h("small", {}, "number"))];
    now.forEach((piece, i) => {
      const number = fitting(String(piece.id), piece, 12, TOP);
      const name = this.name(piece.id);
      const small = h("span", {}, fitting(name, piece, 12, TOP));
      nodes.push(block(`token odd-${i % 2}`, place(piece, 0, TOP - 4), fitting(name, piece, 15, TOP) || small, number && h("small", {}, number)));
    });
    for (let k = step; k > 0; k -= 1) {
      const top = TOP + (this.high - k) * this.row;
      for (const piece of this.rows[k]) {
        const kind = piece.isNew ? `new${k === step ? " last" : ""}` : piece.n > 1 ? "kept" : "bare";
        nodes.push(block(kind, place(piece, top, this.row), fitting(this.name(piece.id), piece)));
      }
      if (this.row > 12) nodes.push(beside(top, this.row, `${left > 80 ? "learned " : ""}${this.joined(k).learned}`));
    }
    const foot = TOP + this.high * this.row;
    names.forEach((name, from) => nodes.push(block("byte", place({ from, n: 1 }, foot, ROW), areNamed ? name : "")));
    nodes.push(beside(foot, ROW, many(this.bytes.length, "byte")));
    let from = 0;
    for (const [letter, n] of hasLetters ? letters : []) {
      nodes.push(block("bare", place({ from, n }, foot + ROW, ROW), fitting(visible(letter).trim() || "␣", { n }, 13, ROW)));
      from += n;
    }
    return nodes;
  }
}

/** WordPiece. matches: each piece with its id, its first letter, how many letters, and how many longer ones were tried. */
class Matches {
  constructor(cut, word) {
    const { tokenizer, words } = cut;
    const [text, ids, way] = words[word];
    const letters = Array.from(text);
    const isWhole = tokenizer.special.has(text);
    this.isTooLong = isWhole && cut.bits[cut.tokens.find((token) => token.word === word).bits[0]]?.text !== text;
    Object.assign(this, { cut, text, letters, isWhole, isLost: cut.isLost(word), matches: [], tops: [], cells: isWhole ? 0 : letters.length });
    let from = 0;
    for (const id of isWhole ? [] : way) {
      const n = Array.from(tokenizer.tokens[id]).length - (from ? 2 : 0);
      this.matches.push({ id, name: cut.name(id), written: letters.slice(from, from + n).join(""), from, n, tried: letters.length - from - n });
      from += n;
    }
    if (this.isLost && !isWhole) this.matches.push({ id: ids[0], name: "[UNK]", written: "[UNK]", from, n: 0, tried: letters.length - from });
    this.high = this.matches.length;
  }

  lines() {
    return this.matches.map(({ name, from, n, tried }, i) => {
      const rest = this.letters.slice(from).join("");
      const found = n ? `${name} is the longest piece that fits at the start of ${rest}` : `nothing fits at the start of ${rest}, so the word is lost`;
      return `match ${i + 1}: ${found}; ${count(tried + (n ? 1 : 0))} tried`;
    });
  }

  stepAt(y) {
    return clamp(this.tops.filter((top) => top <= y).length, 0, this.high);
  }

  draw({ step, width, height, measured }) {
    if (this.isTooLong) return [h("p", {}, `A word of more than ${LONGEST_WORD} letters is lost, without a try: BERT's own limit.`)];
    if (this.isWhole) return [h("p", {}, "A special token: it is never cut.")];
    const left = roomBeside(width);
    const cell = Math.min(LETTER, (width - left) / this.letters.length);
    const tried = sum(this.matches.map((match) => match.tried));
    const room = height - ROW - 30;
    const line = clamp((room - this.high * 18) / Math.max(tried, 1), 0.3, 7);
    const row = Math.min(ROW, (room - tried * line) / this.high);
    const areNamed = this.letters.every((letter) => measured(letter, 13) < cell);
    const nodes = this.letters.map((letter, i) => block("byte", [left + i * cell, 0, cell, ROW], areNamed ? letter : ""));
    nodes.push(beside(0, ROW, many(this.letters.length, "letter")));
    let top = ROW + 4;
    this.tops = this.matches.map((match, i) => {
      const at = top;
      const { id, written: words, from, n } = match;
      const rest = this.letters.length - from;
      const [x, down] = [left + from * cell, match.tried * line];
      top += down + row;
      if (i >= step) return at;
      const wedge = block("tried", [x, at, rest * cell, down]);
      if (line > 2.5) wedge.style.setProperty("--try", `${line}px`);
      wedge.style.clipPath = `polygon(0 0, 100% 0, ${(100 * n) / rest}% 100%, 0 100%)`;
      const wide = Math.max(n * cell, n ? 0 : 56);
      const isNamed = row > 13 && measured(words, 13) < wide - 2;
      const kind = `${n ? "new" : "lost"}${i === step - 1 ? " last" : ""}`;
      nodes.push(wedge, block(kind, [Math.min(x, width - wide), at + down + 1, wide, row - 2], isNamed ? words : ""));
      if (row > 12) nodes.push(beside(at + down, row, left > 80 ? `number ${id}` : String(id)));
      return at;
    });
    const all = many(this.cut.tokenizer.tokens.length, "piece");
    const whole = this.high === 1 ? `The whole word is one of the ${all}.` : "";
    const end = this.isLost ? `Nothing of the ${all} fits here, so the whole word is lost.` : whole;
    if (step === this.high && end) nodes.push(h("p", { style: `left:${left}px;top:${top + 4}px` }, end));
    return nodes;
  }
}

/** How one word of a text grew; kept, since it knows where its rows stand. */
function grown(cut, word) {
  if (!cut.grown.has(word)) cut.grown.set(word, cut.isBytes ? new Merges(cut, word) : new Matches(cut, word));
  return cut.grown.get(word);
}
