// A page without a kernel: recordings answer the questions that the microscope otherwise asks of Python.

const NEEDS_MODEL = "This needs the model: it works in the notebooks of the course.";

/** What stands in the place of a widget's model; see anywidget's `model`. */
function recordedModel(recordings, { text, off, skipped, ...shown }) {
  const listeners = new Map();
  const values = {
    texts: [recordings.find((each) => each.text === text) ?? recordings[0]],
    now: { off: off ? [off.split(".").map(Number)] : [], skipped: skipped ? [Number(skipped)] : [] },
    piece: {},
    shown,
    state: { examples: recordings.map((each) => each.text), error: "" },
  };
  /** What is seen stands in the address. */
  const remember = () => {
    const { off: heads = [], skipped: layers = [] } = values.now;
    const all = { text: values.texts[0].text, ...values.shown, off: heads.map((pair) => pair.join(".")).join(), skipped: layers.join() };
    const told = Object.entries(all).filter(([, value]) => value !== "");
    history.replaceState(null, "", `#${new URLSearchParams(told)}`);
  };
  const change = (changes) => {
    Object.assign(values, changes);
    if (changes.texts || changes.now) remember();
    for (const name of Object.keys(changes)) for (const listener of listeners.get(`change:${name}`) ?? []) listener();
  };
  const answers = {
    read({ text }) {
      const found = recordings.find((each) => each.text === text);
      if (!found) throw new Error(NEEDS_MODEL);
      return { texts: [found], now: {} };
    },
    off({ heads, layers }) {
      if (heads.length + layers.length > 1) throw new Error(`Several at once? ${NEEDS_MODEL}`);
      return { now: { off: heads, skipped: layers } };
    },
  };
  return {
    widget_manager: {},
    get: (name) => (name === "state" ? { ...values.state, link: location.href } : values[name]),
    set(name, value) {
      values[name] = value;
      if (name === "shown") remember();
    },
    save_changes() {},
    on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
    off: (name, listener) => listeners.set(name, (listeners.get(name) ?? []).filter((each) => each !== listener)),
    send({ request, kind, ...fields }) {
      let [changes, error] = [{}, ""];
      try {
        changes = answers[kind] ? answers[kind](fields) : { state: values.state };
        if (!answers[kind]) error = NEEDS_MODEL;
      } catch (refusal) {
        error = refusal.message;
      }
      change({ ...changes, state: { ...values.state, answered: request, error } });
    },
  };
}

/** What a link says is to be shown. */
function linked() {
  const numbers = new Set(["layer", "head", "token", "key", "temperature", "topK", "topP"]);
  return Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].map(([name, value]) => [name, numbers.has(name) ? Number(value) : value]));
}

const recordings = JSON.parse(document.getElementById("recordings").textContent);
render({ model: recordedModel(recordings, { ...FIRST, layer: 23, head: 4, token: 4, key: 3, ...linked() }), el: document.getElementById("microscope") });
