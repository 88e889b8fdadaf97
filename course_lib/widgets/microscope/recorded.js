// The microscope on a page of its own: all recordings, no kernel, and what is seen stands in the address.
// Where the page is served with the model's file beside it, the model itself answers what was not recorded.

const NEEDS_MODEL = "This needs the model itself: “Own text” loads it.";

/** What the address says is to be shown. */
function linked() {
  const numbers = new Set(["layer", "head", "token", "key", "taken", "temperature", "topK", "topP"]);
  return Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].map(([name, value]) => [name, numbers.has(name) ? Number(value) : value]));
}

/** A worker of the page, and the answers to what it is asked. tell(at): so many bytes of the model have come. */
function working(source, tell) {
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const waiting = new Map();
  const end = (reason) => {
    worker.terminate();
    for (const { reject } of waiting.values()) reject(new Error(reason));
  };
  worker.onmessage = ({ data: { id, found, error, at } }) => {
    if (!id) return tell(at);
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    return error ? reject(new Error(error)) : resolve(found);
  };
  worker.onerror = ({ message }) => end(`The model stopped: ${message}`);
  const ask = (kind, fields) =>
    new Promise((resolve, reject) => {
      const id = uniqueId("question");
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, kind, fields });
    });
  return { ask, end };
}

/** The model answers in a worker, as Python does: once it is loaded, which somebody must want, or has wanted before. */
function answering(model, recordings, { source, url, size }) {
  const show = (load) => model.set("state", { ...model.get("state"), load: { ...model.get("state").load, ...load } });
  let worker = null;
  let loading = null;
  const load = () => {
    show({ at: 0 });
    worker = working(source, (at) => show({ at }));
    const ready = worker.ask("load", { url, size, name: recordings[0].model });
    return ready.then(() => show({ at: null, isHere: true }), ({ message }) => {
      stop();
      throw new Error(message && `The model was not loaded: ${message}`);
    });
  };
  const stop = () => {
    worker?.end("");
    loading = worker = null;
    show({ at: null });
    return {};
  };
  const ask = async (kind, fields) => {
    if (!loading && !model.get("state").load.isHere) throw new Error(NEEDS_MODEL);
    await (loading ??= load());
    return worker.ask(kind, fields);
  };

  const here = () => {
    const [{ ids, n: given }] = model.get("texts");
    return { ids, given };
  };
  const changes = () => {
    const { off = [], skipped = [] } = model.get("now");
    return { off, skipped };
  };
  const isOff = ({ off, skipped }) => off.length + skipped.length > 0;
  const switched = async (text, changed) => (isOff(changed) ? ask("recording", { ...text, ...changed }) : {});
  const opened = async (found) => {
    const now = await switched({ ids: found.ids, given: found.n }, changes());
    return { now, texts: [found, ...recordings.filter((each) => each !== found)] };
  };
  const others = recorded(model);
  /** Whether the page itself can draw, without loading anything. */
  const isRecorded = () => !loading && !model.get("state").load.isHere && recordings.includes(model.get("texts")[0]);
  return {
    async load() {
      await (loading ??= load());
      return {};
    },
    stop,
    async read({ text }) {
      const found = recordings.find((each) => each.text === text);
      if (found) return loading ? opened(found) : others.read({ text });
      const ids = await ask("encode", { text });
      return opened(await ask("recording", { ids, given: ids.length }));
    },
    async off({ heads, layers }) {
      const isKnown = heads.length + layers.length < 2 && recordings.includes(model.get("texts")[0]);
      if (isKnown && !loading) return others.off({ heads, layers });
      return { now: await switched(here(), { off: heads, skipped: layers }) };
    },
    async append({ token, n }) {
      const { ids, given } = here();
      return opened(await ask("recording", { ids: [...ids.slice(0, n), token], given }));
    },
    async draw(settings) {
      if (isRecorded()) return others.draw(settings);
      const [token] = await ask("drawn", { ...here(), ...settings, times: 1 });
      return this.append({ token, n: settings.n });
    },
    async draws(asked) {
      if (isRecorded()) return others.draws(asked);
      return { piece: { draws: await ask("draws", { ...here(), ...asked }), times: asked.times } };
    },
    async lens({ token }) {
      const found = await ask("lens", { ...here(), ...changes(), token });
      return { piece: isOff(changes()) ? { now: found } : { lens: found } };
    },
    async words({ layer, head }) {
      return { piece: { words: await ask("words", { ...here(), layer, head }), layer, head } };
    },
    /** Each head of two layers alone off, as in Python; nothing once the reader has turned to something else. */
    async needs({ first }) {
      const [text] = model.get("texts");
      const layers = [first, first + 1].filter((layer) => layer < text.L);
      const rows = [];
      for (const layer of layers) {
        for (const head of range(text.H + 1)) {
          rows.push(...(await ask("need", { ...here(), layer, head })));
          const { mode, view } = model.get("shown");
          if (text !== model.get("texts")[0] || mode !== "need" || view !== "look") throw new Error("");
        }
      }
      const pieces = [...new Set(rows.map(({ best }) => best))];
      const off_p = { data: Uint16Array.from(rows.flatMap(({ p }) => p), (p) => Math.round(p * 65535)) };
      const off_id = { data: Uint16Array.from(rows, ({ best }) => pieces.indexOf(best)) };
      return { piece: { needs: { layers, pieces, arrays: { off_p, off_id } } } };
    },
  };
}

/** What the address says is off: "23.4,22.1" and "7,8". */
function switchedOff({ off = "", skipped = "" }, { L, H }) {
  const listed = (list, limits) => {
    const places = list.split(",").map((each) => each.split(".").map((part) => parseInt(part, 10)));
    return places.filter((each) => each.length === limits.length && each.every((place, i) => range(limits[i]).includes(place)));
  };
  return { off: listed(off, [L, H]), skipped: listed(skipped, [L]).flat() };
}

async function start() {
  const recordings = JSON.parse(document.getElementById("recordings").textContent);
  const worker = document.getElementById("worker");
  const el = document.getElementById("microscope");
  const { text, off, skipped, ...shown } = { ...FIRST, layer: 23, head: 4, token: 4, key: 3, ...linked() };
  const chosen = recordings.find((each) => each.text === text) ?? recordings[0];
  const state = { examples: recordings.map((each) => each.text), hasLink: true, error: "" };
  const now = switchedOff({ off, skipped }, chosen);
  const texts = [chosen, ...recordings.filter((each) => each !== chosen)];
  const model = new SavedModel({ texts, now, piece: {}, shown, state, asked: {} });
  const isOwn = text !== undefined && chosen.text !== text;
  const areMany = now.off.length + now.skipped.length > 1;
  let answers = recorded(model);
  if (worker && location.protocol.startsWith("http")) {
    const { file, bytes } = worker.dataset;
    const url = new URL(file, location.href).href;
    const isHere = Boolean(await self.caches?.match(url));
    state.load = { size: Number(bytes), at: null, isHere, wanted: isOwn ? text : "" };
    answers = answering(model, recordings, { source: worker.textContent, url, size: Number(bytes) });
    if (isHere && (isOwn || areMany)) {
      el.append("The model reads …");
      const found = await (isOwn ? answers.read({ text }) : answers.off({ heads: now.off, layers: now.skipped })).catch(() => ({ now: {} }));
      for (const [name, value] of Object.entries(found)) model.set(name, value);
      el.replaceChildren();
    }
  }
  if (areMany && !model.get("now").arrays) model.set("now", {});
  render({ model, el, answers });
}

start();
