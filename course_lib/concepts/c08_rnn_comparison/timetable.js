// Who waits for whom and when each box works, as `course_lib.costs` has it in Python. Boxes are numbered layer by layer.

/** For each box those whose results it needs: `recurrent_cells` and `attention_cells`. */
function waiting(isRecurrent, words, layers, isWriting) {
  return range(layers * words).map((box) => {
    const word = box % words;
    const left = isRecurrent && word > 0 ? [box - 1] : [];
    // The word itself comes first: of chains that are equally long the one straight down is shown.
    if (box >= words) return [...left, ...(isRecurrent ? [box - words] : range(word + 1).map((back) => box - words - back))];
    // Of one layer only, the box to the left is also the one that writes the word.
    return isWriting && word > 0 ? [...new Set([...left, (layers - 1) * words + word - 1])] : left;
  });
}

/** The tick of each box, from 1, if at every tick the processors take, in this order, what was ready before it: `timetable`. */
function timetable(waits, order, processors) {
  const ticks = waits.map(() => 0);
  for (let tick = 1; ticks.includes(0); tick += 1) {
    const ready = order.filter((box) => ticks[box] === 0 && waits[box].every((needed) => ticks[needed] > 0));
    for (const box of ready.slice(0, processors)) ticks[box] = tick;
  }
  return ticks;
}

/** One network's whole run; in `chains` for each box how many it must wait for in a row, and itself. */
function schedule({ isRecurrent, words, layers, processors, isWriting }) {
  const waits = waiting(isRecurrent, words, layers, isWriting);
  const early = (box) => Math.floor(box / words) + (box % words);
  const order = range(waits.length);
  if (isRecurrent) order.sort((a, b) => early(a) - early(b));
  const ticks = timetable(waits, order, processors);
  // Each processor would be free: the tick is then the chain.
  return { waits, ticks, end: Math.max(...ticks), chains: timetable(waits, order, waits.length) };
}

/** A longest chain that ends in a box, from its start on. */
function chain({ waits, chains }, box) {
  const before = waits[box].find((needed) => chains[needed] === chains[box] - 1);
  return [...(before === undefined ? [] : chain({ waits, chains }, before)), box];
}

/** All that a box waits for, directly or not, and itself. */
function needed({ waits }, box, found = new Set()) {
  if (!found.has(box)) {
    found.add(box);
    for (const other of waits[box]) needed({ waits }, other, found);
  }
  return found;
}

/** The words of a text as Python's `split` finds them. */
// oxlint-disable-next-line no-control-regex -- Python's spaces are Unicode's and these four.
const wordsIn = (text) => text.split(/[\p{White_Space}\x1c-\x1f]+/u).filter(Boolean);

/** Those of its words that are read, the first; refuses a text without any. */
function wordsOf(text, limits) {
  const letters = [...text].length;
  if (letters > limits.characters) throw new Error(`The text has ${count(letters)} characters, the explorer takes ${count(limits.characters)}: shorten it.`);
  const words = wordsIn(text);
  if (!words.length) throw new Error("The text has no word: type one.");
  return words.slice(0, limits.words);
}
