// What the sentence says, and the picture as text.

/** In a row of pieces each keeps its place, whatever its direction. */
const isolated = (text) => (isRightToLeft(text) ? `\u2068${text}\u2069` : text);
const written = (text, most = 20) => short(readable(encoded(text)), most);

/** A token: its number, and what it consists of. */
function told(cut, { id, word }, most = 60) {
  const bytes = cut.tokenizer.bytes(id);
  const consists = cut.isBytes ? `, ${many(bytes.length, "byte")}: ${short(hex(bytes), most)}` : "";
  const of = cut.isLost(word) ? `, in the place of ${written(cut.words[word][0])}` : consists;
  return [mark(short(cut.name(id), 40), "token"), ` number ${count(id)}${of}`];
}

/** Punctuation and white space are no words to choose. */
const isWord = (text) => /[\p{L}\p{N}\p{M}\p{So}]/u.test(text);

/** How many tokens the dearest words of a text take, and which words these are. */
function dearest(cut) {
  const words = cut.words.filter(([text, ids]) => ids.length && isWord(text));
  const most = Math.max(...words.map(([, ids]) => ids.length));
  return { most, words: [...new Set(words.filter(([, ids]) => ids.length === most).map(([text]) => written(text)))] };
}

/** Whether the open word is what costs most. */
function costSaid({ cuts, side, tokens, isWide }) {
  const [cut, token] = [cuts[side], tokens[side]];
  const [text, ids] = cut.words[token.word];
  const { most, words } = dearest(cut);
  if (!isWord(text)) return null;
  if (most < 2) return [`No word here costs ${cut.title} more than 1 token.`];
  const [word, n] = [written(text), many(ids.length, "token")];
  if (ids.length < most) return [`${word} costs ${cut.title} ${n}: another costs more.`];
  const others = words.filter((each) => each !== word);
  const tie = others.length ? `, as ${others.length > 1 ? `${others.length} others do` : `${others[0]} does`}` : "";
  return [em("✓ ", "token"), `${word} costs ${cut.title} most: ${n}${isWide ? tie : ""}.`];
}

/** How the sentence begins, the chosen word, and the rest, while not all steps are shown. */
function stepSaid({ cuts, grown: all, steps, side }) {
  const [{ title, isBytes, tokenizer }, found, step] = [cuts[side], all[side], steps[side]];
  const { text, high, bytes, matches } = found;
  const word = written(text);
  if (!isBytes && step === 0) return [`${title} looks for `, word, ` among its ${many(tokenizer.tokens.length, "piece")}.`];
  if (!isBytes) return [`${title} cuts `, word, ", from the left: ", mark(matches[step - 1].name, "token"), ` is piece ${step} of ${high}.`];
  if (step === 0) return [`${title} begins `, word, ` with ${many(bytes.length, "byte")}.`];
  const { left, right, both, learned } = found.joined(step);
  const joined = [mark(left, "token"), " and ", mark(right, "token"), " make ", mark(both, "token")];
  return [`${title} builds `, word, ": ", joined, `, the ${learned} pair it learned.`];
}

/** The same when the word has become its tokens: what each tokenizer makes of it. */
function cutSaid({ text, cuts, tokens, isWide }) {
  const [most, few, long] = isWide ? [5, 3, 20] : [3, 0, 12];
  const words = cuts.map((cut, side) => tokens[side] && cut.words[tokens[side].word]);
  const [own] = words.find(Boolean) ?? [text];
  const all = cuts.map((cut, side) => {
    const [word, ids] = words[side] ?? ["", []];
    if (!ids.length) return { verb: "drops", rest: [] };
    const [mine, others] = [word.trim(), own.trim()];
    // Where they do not agree on what a word is.
    const extent = others.includes(mine) ? " as a word of its own" : mine.includes(others) ? " as one word" : "";
    const reads = mine === others || word === "[UNK]" ? [] : ["reads ", mark(written(word, long - 6), "stream"), `${extent} and `];
    if (cut.isLost(tokens[side].word)) return { reads, verb: "loses", rest: [": ", mark("[UNK]", "token")] };
    if (ids.length === 1) return { reads, verb: "keeps", rest: [" whole"] };
    const names = ids.slice(0, ids.length > most ? few : most).flatMap((id) => [" ", mark(short(cut.name(id), 12), "token")]);
    const [colon, more] = names.length ? [":", ids.length > most ? " and so on" : ""] : ["", ""];
    return { reads, verb: "cuts", rest: [` into ${ids.length} tokens${colon}`, names, more] };
  });
  const [first, second] = all;
  const then = second ? [". ", cuts[1].title, " ", second.reads ?? [], second.verb, " it", second.rest] : [];
  return [`${cuts[0].title} ${first.verb} `, written(own, long), ...first.rest, ...then, "."];
}

/** What the sentence says of a language. */
function priceSaid({ cuts, prices, language }) {
  const { sides } = prices.find((each) => each.language === language);
  const said = sides.map(({ n, lost, words, times }, side) => {
    // What is lost makes a text no cheaper.
    const gone = lost === words ? "all of it" : `${lost} of ${many(words, "word")}`;
    const beside = lost ? `, and loses ${gone}` : times === 1 ? "" : `, ${times.toFixed(1)} times English`;
    return [side ? "; " : " ", cuts[side].title, " needs ", em(many(n, "token"), "token"), beside];
  });
  return ["In ", "", ...said, "."];
}

const priceTold = ({ cuts }, { language, sides }) =>
  `${language}: ${sides.map(({ n, lost }, side) => `${cuts[side].title} ${many(n, "token")}${lost ? `, ${many(lost, "word")} lost` : ""}`).join("; ")}`;

/** The picture as text. */
function asText(c) {
  const lines = [`Text: ${c.text}`, ...(c.prices ?? []).map((each) => priceTold(c, each))];
  c.cuts.forEach((cut, side) => {
    const each = cut.tokens.map(({ id, word }) => `${isolated(cut.name(id))} ${id}${cut.isLost(word) ? ` (lost: ${cut.words[word][0]})` : ""}`);
    lines.push("", `${cut.title}: ${many(cut.tokens.length, "token")}`, each.join(" | "));
    if (c.view === "cut" && c.grown[side]) lines.push(`${written(c.grown[side].text)}:`, ...c.grown[side].lines());
  });
  return lines.join("\n");
}
