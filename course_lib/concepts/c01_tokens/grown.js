// How a word became its tokens, step by step: pairs that are merged, or the longest pieces that fit.

const LONGEST_DRAWN = 200; // bytes of a word
const LETTER = 46; // pixels, at most
const ROW = 26;
const TALLEST = 38; // a row, where there are few
const LEAST = 15; // a row, so that it has letters: the first ones lie in one row instead
const TOP = 46; // the tokens with their numbers

/** A part of the figure: its place and size in pixels, and what stands in it. */
function block(kind, [left, top, width, height], ...inside) {
  return h("span", { class: `block ${kind}`, style: `left:${left}px;top:${top}px;width:${width}px;height:${height}px` }, inside);
}

/** A byte that is a letter, or its two digits. */
const byteName = (byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte === 32 ? "␣" : hex([byte]));

/** What stands left of a row. */
const beside = (top, height, words, more = []) => h("span", { class: "beside", style: `top:${top}px;height:${height}px` }, words, more);
const roomBeside = (width) => (width > 400 ? 104 : 62);

/** A sentence below: where it begins, and how much room it needs. */
const noteAt = (left) => (left > 80 ? left : 0);
const noteHeight = (words, width, measured) => (words ? 8 + 19 * Math.ceil((1.02 * measured(words, 13)) / (width - noteAt(roomBeside(width)))) : 0);

/** Byte pairs. rows[k]: the pieces after k merges, each with its id, its first byte, how many, and whether it is new. */
class Merges {
  constructor(cut, word) {
    const { tokenizer, words } = cut;
    const [text, ids, way] = words[word];
    const bytes = encoded(text).filter((byte) => tokenizer.special.has(text) || tokenizer.ofByte[byte] !== undefined);
    const isLong = bytes.length > LONGEST_DRAWN;
    const names = Array.from(bytes, byteName);
    const cells = isLong ? 0 : names.join("").length; // two signs for a byte that is no letter
    Object.assign(this, { cut, text, way, bytes, names, isLong, high: isLong ? 0 : way.length, cells });
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
    const at = this.high - Math.floor((y - TOP) / this.row);
    return at > this.folded ? Math.min(at, this.high) : at === this.folded ? at : 0;
  }

  /** Of what was merged to a single token: why. A merge is always of the commonest pair that is left. */
  reason() {
    const later = this.cut.tokenizer.merges.length - 1 - this.way.at(-1);
    if (this.isLong || this.rows.at(-1).length > 1 || !(later > 0)) return "";
    const { left, right } = this.joined(this.high);
    const than = later > 1 ? `any of the ${count(later)} pairs learned later` : "the one pair learned later";
    return `One token: in the text it learned from, ${left} and ${right} met at least as often as ${than}.`;
  }

  draw({ step, width, height, measured }) {
    if (this.isLong) return [h("p", {}, `${many(this.bytes.length, "byte")}: too many to draw. Type a part of it alone.`)];
    const left = roomBeside(width);
    const cell = Math.min(LETTER, (width - left) / this.bytes.length);
    const letters = Array.from(this.text, (letter) => [letter, encoded(letter).length]);
    const hasLetters = letters.length < this.bytes.length && sum(letters.map(([, n]) => n)) === this.bytes.length;
    const reason = this.high ? this.reason() : "";
    const room = height - TOP - (hasLetters ? 2 : 1) * ROW - noteHeight(reason, width, measured);
    this.folded = this.high * LEAST > room ? this.high + 1 - Math.floor(room / LEAST) : 0;
    const drawn = this.high - this.folded;
    this.row = Math.min(TALLEST, room / Math.max(drawn + (this.folded ? 1 : 0), 1));
    const place = ({ from, n }, top, high) => [left + from * cell, top, n * cell, high];
    const fitting = (words, { n }, size = 13, high = this.row) => (high > 13 && measured(words, size) < n * cell - 2 ? words : "");
    const areNamed = this.names.every((name) => measured(name, cell < 16 ? 12 : 13) <= cell);
    const now = this.rows[step];
    // The tokens stand on what was merged so far, and rise with it.
    const crown = (this.high - Math.max(step, this.folded)) * this.row;
    const nodes = [beside(crown, TOP - 4, many(now.length, "token"), h("small", {}, "number"))];
    now.forEach((piece, i) => {
      const number = fitting(String(piece.id), piece, 12, TOP);
      const name = this.name(piece.id);
      const small = h("span", {}, fitting(name, piece, 12, TOP));
      nodes.push(block(`token odd-${i % 2}`, place(piece, crown, TOP - 4), fitting(name, piece, 15, TOP) || small, number && h("small", {}, number)));
    });
    const rowAt = (k, at, words) => {
      const top = TOP + (this.high - at) * this.row;
      for (const piece of this.rows[k]) {
        const kind = piece.isNew && k ? `new${k === step ? " last" : ""}` : piece.n > 1 ? "kept" : "bare";
        nodes.push(block(kind, place(piece, top, this.row), fitting(this.name(piece.id), piece)));
      }
      nodes.push(beside(top, this.row, words));
    };
    for (let k = step; k > this.folded; k -= 1) rowAt(k, k, `${left > 80 ? "learned " : ""}${this.joined(k).learned}`);
    if (this.folded) rowAt(Math.min(step, this.folded), this.folded, `first ${left > 80 ? many(this.folded, "merge") : this.folded}`);
    const foot = TOP + (drawn + (this.folded ? 1 : 0)) * this.row;
    if (areNamed) this.names.forEach((name, from) => nodes.push(block("byte", place({ from, n: 1 }, foot, ROW), name)));
    nodes.push(beside(foot, ROW, many(this.bytes.length, "byte")));
    const below = letters.map(([letter, n]) => fitting(visible(letter).trim() || "␣", { n }, 13, ROW));
    if (hasLetters ? !below.every(Boolean) : !areNamed) nodes.push(block("whole", [left, foot, width - left, ROW], this.text));
    else if (hasLetters) {
      let from = 0;
      letters.forEach(([, n], i) => {
        nodes.push(block("bare", place({ from, n }, foot + ROW, ROW), below[i]));
        from += n;
      });
    }
    const note = reason || (this.bytes.length === 1 ? "One byte, which is a token: there is nothing to merge." : "");
    if (step === this.high && note) nodes.push(h("p", { style: `left:${noteAt(left)}px;top:${foot + (hasLetters ? 2 : 1) * ROW + 6}px` }, note));
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
    // Shorter pieces that a whole word begins with, too.
    const begins = range(this.high === 1 && !this.isLost ? letters.length : 0).map((n) => ({ n, id: tokenizer.ids.get(letters.slice(0, n).join("")) }));
    this.shorter = begins.filter(({ id }) => id !== undefined).reverse();
  }

  lines() {
    const shorter = this.shorter.map(({ id }) => `${this.cut.name(id)} ${id}`).join(", ");
    const found = this.matches.map(({ name, from, n, tried }, i) => {
      const rest = this.letters.slice(from).join("");
      const what = n ? `${name} is the longest piece that fits at the start of ${rest}` : `nothing fits at the start of ${rest}, so the word is lost`;
      return `match ${i + 1}: ${what}; ${count(tried + (n ? 1 : 0))} tried`;
    });
    return shorter ? [...found, `shorter ones that fit: ${shorter}`] : found;
  }

  stepAt(y) {
    return clamp(this.tops.filter((top) => top <= y).length, 0, this.high);
  }

  /** The sentence below. */
  ends() {
    const all = many(this.cut.tokenizer.tokens.length, "piece");
    if (this.isLost) return `Nothing of the ${all} fits here, so the whole word is lost.`;
    const beaten = this.shorter.length ? ": shorter ones fit, too, but the longest is taken" : "";
    return this.high === 1 ? `The whole word is one of the ${all}${beaten}.` : "";
  }

  draw({ step, width, height, measured }) {
    if (this.isTooLong) return [h("p", {}, `A word of more than ${LONGEST_WORD} letters is lost, without a try: BERT's own limit.`)];
    if (this.isWhole) return [h("p", {}, "A special token: it is never cut.")];
    const left = roomBeside(width);
    const cell = Math.min(LETTER, (width - left) / this.letters.length);
    const ends = this.ends();
    const room = height - ROW - 4 - noteHeight(ends, width, measured);
    // What stands in one row: the first pieces, which lie side by side.
    const folded = this.high * LEAST > room ? this.high + 1 - Math.floor(room / LEAST) : 0;
    const drawn = this.high - folded + (folded ? 1 : 0);
    const tried = sum(this.matches.slice(folded).map((match) => match.tried));
    const line = clamp((room - drawn * 22) / Math.max(tried, 1), 0, 7);
    const shorter = this.shorter.slice(0, Math.floor(room / LEAST) - 1);
    const row = Math.min(TALLEST, (room - tried * line) / (drawn + shorter.length));
    const numbered = (id) => (left > 80 ? `number ${id}` : String(id));
    const areNamed = this.letters.every((letter) => measured(letter, cell < 16 ? 12 : 13) <= cell);
    const nodes = areNamed ? this.letters.map((letter, i) => block("byte", [left + i * cell, 0, cell, ROW], letter)) : [];
    nodes.push(beside(0, ROW, many(this.letters.length, "letter")));
    if (!areNamed) nodes.push(block("whole", [left, 0, width - left, ROW], this.text));
    let top = ROW + 4;
    this.tops = this.matches.map((match, i) => {
      const at = top;
      const { id, written: words, from, n } = match;
      const rest = this.letters.length - from;
      const [x, down] = [left + from * cell, i < folded ? 0 : match.tried * line];
      if (i >= folded - 1) top += down + row;
      if (i >= step) return at;
      if (i >= folded) {
        const wedge = block("tried", [x, at, rest * cell, down]);
        if (line > 2.5) wedge.style.setProperty("--try", `${line}px`);
        wedge.style.clipPath = `polygon(0 0, 100% 0, ${(100 * n) / rest}% 100%, 0 100%)`;
        nodes.push(wedge);
      }
      const wide = Math.max(n * cell, n ? 0 : 56);
      const isNamed = measured(words, 13) < wide - 2;
      const kind = `${n ? "new" : "lost"}${i === step - 1 ? " last" : ""}`;
      nodes.push(block(kind, [Math.min(x, width - wide), at + down + 1, wide, row - 2], isNamed ? words : ""));
      const first = `first ${left > 80 ? many(folded, "piece") : folded}`;
      if (i === 0 || i >= folded) nodes.push(beside(at + down, row, i < folded ? first : numbered(id)));
      return at;
    });
    for (const { id, n } of step ? shorter : []) {
      const words = this.cut.name(id);
      nodes.push(block("kept", [left, top + 1, n * cell, row - 2], measured(words, 13) < n * cell - 2 ? words : ""), beside(top, row, numbered(id)));
      top += row;
    }
    if (step === this.high && ends) nodes.push(h("p", { style: `left:${noteAt(left)}px;top:${top + 6}px` }, ends));
    return nodes;
  }
}

/** How one word of a text grew; kept, since it knows where its rows stand. */
function grown(cut, word) {
  if (!cut.grown.has(word)) cut.grown.set(word, cut.isBytes ? new Merges(cut, word) : new Matches(cut, word));
  return cut.grown.get(word);
}
