// The microscope on a page of its own: all recordings, no kernel, and what is seen stands in the address.

/** What the address says is to be shown. */
function linked() {
  const numbers = new Set(["layer", "head", "token", "key", "temperature", "topK", "topP"]);
  return Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].map(([name, value]) => [name, numbers.has(name) ? Number(value) : value]));
}

/** What stands in the place of a widget's model; see anywidget's `model`. */
function plainModel(values) {
  const listeners = new Map();
  const of = (name) => listeners.get(name) ?? [];
  return {
    widget_manager: { kernel: null },
    get: (name) => values[name],
    set(name, value) {
      values[name] = value;
      for (const listener of of(`change:${name}`)) listener();
    },
    save_changes() {},
    on: (name, listener) => listeners.set(name, [...of(name), listener]),
    off: (name, listener) => listeners.set(name, of(name).filter((each) => each !== listener)),
  };
}

const recordings = JSON.parse(document.getElementById("recordings").textContent);
const { text, off, skipped, ...shown } = { ...FIRST, layer: 23, head: 4, token: 4, key: 3, ...linked() };
const state = { examples: recordings.map((each) => each.text), hasLink: true, error: "" };
const now = { off: off ? [off.split(".").map(Number)] : [], skipped: skipped ? [Number(skipped)] : [] };
const chosen = recordings.find((each) => each.text === text) ?? recordings[0];
const texts = [chosen, ...recordings.filter((each) => each !== chosen)];
render({ model: plainModel({ texts, now, piece: {}, shown, state, asked: {} }), el: document.getElementById("microscope") });
