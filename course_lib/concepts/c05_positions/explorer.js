// The positions explorer's page: draws patterns, curves and hands from the numbers that Python sent, and asks nothing.

const UNITS = 10000; // as in Python
const ALL_INK = 30000;
const PAPER = [247, 247, 247]; // of the pattern, in both themes; below 0 brown and above it violet, as in `plots`
const BELOW = [179, 88, 6];
const ABOVE = [84, 39, 136];
const CURVE = { width: 390, height: 250, left: 6, right: 384, top: 24, bottom: 206 };
const CLOCK = { side: 200, middle: 100, rim: 88, query: 78, key: 56, between: 32 };

const number = (units) => String(units / UNITS).replace("-", "−");
const degrees = (angle) => `${(Math.floor(10 * angle + 0.5) / 10).toFixed(1)}°`;
/** An angle from 0 to 360 degrees. */
const around = (angle) => ((angle % 360) + 360) % 360;

function render({ model, el }) {
  const box = frame({ model, el, title: "Positions", textLabel: "The places as text" });
  const { body, set } = box;
  const view = () => model.get("views")[model.get("scheme")];
  const { n_places: n, trained } = model.get("state");
  const head = () => (view().n_heads ? model.get("head") : 0);

  // Unpacked once for each scheme.
  let products = null;
  let table = null;
  /** The product of a query's place with a key's. */
  const product = (query, key) =>
    products[view().is_offset_only ? head() * (2 * n - 1) + key - query + n - 1 : (head() * n + query) * n + key];

  // ------------------------------------------------------------------------------------------------ the choices
  const select = (name, choose) => h("select", { id: uniqueId(name), class: "cx-select", onchange: (event) => choose(event.target.value) });
  const scheme = select("scheme", (value) => set("scheme", value));
  const pair = select("pair", (value) => set("pair", Number(value)));
  const heads = select("head", (value) => set("head", Number(value)));
  const pairField = labelled("Pair", pair);
  const headField = labelled("Head", heads);
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });

  const move = (name, place) => set(name, Math.min(Math.max(place, 0), n - 1));
  const canMoveBoth = (step) => ["query", "key"].every((name) => model.get(name) + step >= 0 && model.get(name) + step < n);
  const moveBoth = (step) => {
    if (!canMoveBoth(step)) return;
    model.set("query", model.get("query") + step);
    set("key", model.get("key") + step);
  };
  const slider = (name, label) => {
    const input = h("input", { id: uniqueId(name), type: "range", class: "cx-slider", min: 0, max: n - 1, "aria-describedby": about.id });
    const output = h("span", { class: "cx-output" });
    input.addEventListener("input", () => move(name, Number(input.value)));
    input.addEventListener("keydown", (event) => {
      if (!(event.key in MOVES) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      // Down goes on to the next place, as in the pattern.
      const [down, right] = MOVES[event.key];
      if (event.shiftKey) moveBoth(down + right);
      else move(name, model.get(name) + down + right);
    });
    const node = h("div", { class: "cx-setting" }, h("label", { for: input.id }, h("span", { class: `cx-swatch cx-${name}` }), label), input, output);
    return { input, output, node };
  };
  const places = { query: slider("query", "Query"), key: slider("key", "Key") };
  const together = (step, text) => h("button", { type: "button", class: "cx-button", onclick: () => moveBoth(step) }, text);
  const buttons = new Map([[-1, together(-1, "Both one back")], [1, together(1, "Both one on")]]);

  // ------------------------------------------------------------------------------------------------ the pattern
  const origin = h("p", {});
  const patternTitle = h("p", { class: "cx-title" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const mark = (kind, ...content) => h("div", { class: `cx-place ${kind}` }, ...content);
  const marks = {
    beyond: mark("cx-untrained"),
    beyondKeys: mark("cx-untrained"),
    pair: mark("cx-pair-mark"),
    query: mark("cx-query-mark", h("span", {}, "Q")),
    key: mark("cx-key-mark", h("span", {}, "K")),
  };
  const pattern = h("div", { class: "cx-pattern", "aria-hidden": "true" }, canvas, ...Object.values(marks));
  const legend = h("p", { class: "cx-note" });

  /** Put a mark over a part of the pattern, in shares of its height and width. */
  const cover = (node, [top, height], [left, width]) => {
    const share = (value) => `${100 * value}%`;
    Object.assign(node.style, { top: share(top), height: share(height), left: share(left), width: share(width) });
  };

  function choose(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const at = (share, many) => Math.min(Math.max(Math.floor(share * many), 0), many - 1);
    const row = at((event.clientY - top) / height, n);
    const column = at((event.clientX - left) / width, view().columns || n);
    if (view().columns === 0) {
      model.set("query", row);
      set("key", column);
    } else set(event.shiftKey ? "key" : "query", row);
    places.query.input.focus({ preventScroll: true });
  }
  /** Act on a press and on every move until it ends. */
  const whilePressed = (node, act) => {
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      node.setPointerCapture(event.pointerId);
      act(event);
    });
    node.addEventListener("pointermove", (event) => {
      if (node.hasPointerCapture(event.pointerId)) act(event);
    });
  };
  whilePressed(pattern, choose);

  function paint() {
    const columns = view().columns || n;
    const image = new ImageData(columns, n);
    const values = view().columns ? table : Int32Array.from({ length: n * n }, (_, i) => product(Math.floor(i / n), i % n));
    const largest = view().columns ? ALL_INK : values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    values.forEach((value, i) => {
      const ink = value < 0 ? BELOW : ABOVE;
      const share = Math.abs(value) / largest;
      image.data.set([...PAPER.map((paper, c) => paper + share * (ink[c] - paper)), 255], 4 * i);
    });
    canvas.width = columns;
    canvas.height = n;
    canvas.getContext("2d").putImageData(image, 0, 0);
    const most = number(view().columns ? view().strongest : largest);
    const hatched = trained < n ? ` Hatched: places from ${trained} on, beyond training.` : "";
    setText(patternTitle, view().pattern);
    setText(legend, `Brown is below 0 and violet above, strongest from ${most} on.${hatched}`);
  }

  // ------------------------------------------------------------------------------------------------ the curve
  const curveTitle = h("p", { class: "cx-title" });
  const { width, height, left, right, top, bottom } = CURVE;
  const across = (offset) => left + ((offset + n - 1) / Math.max(2 * n - 2, 1)) * (right - left);
  const label = (x, y, text, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);
  const curves = { query: svg("path", { class: "cx-query-curve" }), key: svg("path", { class: "cx-key-curve" }) };
  const dot = svg("circle", { class: "cx-dot", r: 5 });
  const [least, most] = [label(left, bottom + 14, "", "start"), label(left, top - 6, "", "start")];
  const far = trained < n ? [[1 - n, -trained], [trained, n - 1]] : [];
  const half = (right - left) / Math.max(4 * n - 4, 1); // of a place
  const curve = svg(
    "svg",
    { class: "cx-curve", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    ...far.map(([from, to]) => {
      const start = Math.max(across(from) - half, left);
      return svg("rect", { class: "cx-far", x: start, y: top, width: Math.min(across(to) + half, right) - start, height: bottom - top });
    }),
    svg("path", { class: "cx-axis", d: `M${left} ${bottom}H${right}M${across(0)} ${top}V${bottom + 5}` }),
    curves.key,
    curves.query,
    dot,
    least,
    most,
    label(across(0), bottom + 18, "same place"),
    label(left, bottom + 32, `${n - 1} before`, "start"),
    label(right, bottom + 32, `${n - 1} after`, "end"),
    ...(far.length ? [label(right, top - 6, "shaded: longer than in training", "end")] : []),
  );
  whilePressed(curve, (event) => {
    const { left: start, width: wide } = curve.getBoundingClientRect();
    const x = ((event.clientX - start) / wide) * width;
    move("key", model.get("query") + Math.round(((x - left) / (right - left)) * (2 * n - 2)) - (n - 1));
    places.key.input.focus({ preventScroll: true });
  });
  const curveNote = h("p", { class: "cx-note" });
  const dependence = h("p", {});

  function drawCurve() {
    const [query, key] = [model.get("query"), model.get("key")];
    const seenFrom = (place) => Array.from({ length: n }, (_, other) => product(place, other));
    const drawn = { query: seenFrom(query), key: seenFrom(key) };
    // Where each place has products of its own, some are far larger than those that are drawn.
    const all = view().is_offset_only ? view().ends : [...drawn.query, ...drawn.key];
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const up = (units) => bottom - ((units - low) / Math.max(high - low, 1)) * (bottom - top);
    for (const [name, path] of Object.entries(curves)) {
      const points = drawn[name].map((units, other) => `${across(other - model.get(name)).toFixed(1)} ${up(units).toFixed(1)}`);
      setAttribute(path, "d", `M${points.join("L")}`);
    }
    setAttribute(dot, "cx", across(key - query));
    setAttribute(dot, "cy", up(product(query, key)));
    setText(least, number(low));
    setText(most, number(high));
    setText(curveTitle, `${productName()} over distance`);
    setText(curveNote, `Thin: seen from place ${query}, where the query stands. Thick: seen from place ${key}, where the key stands. The dot: the key, seen by the query.`);
  }

  // ------------------------------------------------------------------------------------------------ the clock
  const { side, middle, rim, between } = CLOCK;
  /** A point of the clock; hands start at the top and go to the right. */
  const point = (angle, length) => {
    const radians = (angle * Math.PI) / 180;
    return [middle + length * Math.sin(radians), middle - length * Math.cos(radians)].map((part) => part.toFixed(2));
  };
  const arc = (from, turn, radius) => `M${point(from, radius)}A${radius} ${radius} 0 ${Math.abs(turn) > 180 ? 1 : 0} ${turn < 0 ? 0 : 1} ${point(from + turn, radius)}`;
  const hand = (name, tip) => svg("g", { class: `cx-hand-${name}` }, svg("line", { x1: middle, y1: middle, x2: middle, y2: middle - CLOCK[name] }), tip);
  const hands = {
    query: hand("query", svg("circle", { cx: middle, cy: middle - CLOCK.query, r: 6 })),
    key: hand("key", svg("rect", { x: middle - 5, y: middle - CLOCK.key - 5, width: 10, height: 10 })),
  };
  const seen = svg("path", { class: "cx-seen" });
  const angle = svg("path", { class: "cx-angle" });
  const clockTitle = h("p", { class: "cx-title" });
  const handsText = h("p", {});
  const clock = h(
    "div",
    { class: "cx-clock" },
    svg(
      "svg",
      { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" },
      svg("circle", { class: "cx-face", cx: middle, cy: middle, r: rim }),
      seen,
      angle,
      hands.query,
      hands.key,
    ),
    h("div", { class: "cx-clock-words" }, clockTitle, handsText, h("p", { class: "cx-note" }, "Round tip: query. Square tip: key. The thick rim: where the hand came in training.")),
  );

  function drawClock() {
    const step = view().steps[model.get("pair")];
    clock.hidden = step === undefined;
    if (clock.hidden) return;
    const [query, key] = [model.get("query"), model.get("key")];
    for (const [name, node] of Object.entries(hands)) setAttribute(node, "transform", `rotate(${around(model.get(name) * step)} ${middle} ${middle})`);
    const turned = (trained - 1) * step;
    setAttribute(seen, "d", turned >= 360 ? `${arc(0, 180, rim)}${arc(180, 180, rim)}` : arc(0, turned, rim));
    const turn = around((key - query) * step);
    setAttribute(angle, "d", arc(query * step, turn > 180 ? turn - 360 : turn, between));
    setText(clockTitle, `Pair ${model.get("pair")} as the hand of a clock`);
  }

  // ------------------------------------------------------------------------------------------------ the words
  const trace = h("p", { class: "cx-trace", role: "status" });
  const productName = () => view().product + (view().n_heads ? ` by head ${head()}` : "");

  const scoreText = () => {
    const [query, key] = [model.get("query"), model.get("key")];
    const distance = Math.abs(key - query);
    const where = `${distance} ${distance === 1 ? "place" : "places"} ${key < query ? "before" : "after"} the query`;
    return `Query at place ${query}, key at place ${key}, ${distance ? where : "the same"}. ${productName()}: ${number(product(query, key))}.`;
  };
  const dependenceText = () => {
    if (view().is_offset_only) return view().dependence;
    const offset = model.get("key") - model.get("query");
    const same = Array.from({ length: n - Math.abs(offset) }, (_, i) => product(Math.max(-offset, 0) + i, Math.max(offset, 0) + i));
    const [low, high] = [Math.min(...same), Math.max(...same)].map(number);
    return `It depends on the places themselves: at this distance it goes from ${low} to ${high}, according to where the query stands.`;
  };
  const handsSentence = () => {
    const step = view().steps[model.get("pair")];
    const [query, key] = [model.get("query"), model.get("key")];
    const turn = around((key - query) * step);
    const apart = Math.min(turn, 360 - turn);
    const cosine = number(Math.floor(UNITS * Math.cos((apart * Math.PI) / 180) + 0.5));
    const turned = (trained - 1) * step;
    const came = turned >= 360 ? "it went all the way round" : `it came to ${degrees(turned)}`;
    return (
      `Pair ${model.get("pair")} turns by ${degrees(step)} from place to place; in training ${came}. The query's hand stands at ` +
      `${degrees(around(query * step))} and the key's at ${degrees(around(key * step))}: ${degrees(apart)} apart, cosine ${cosine}.`
    );
  };
  const beyondText = () => {
    const beyond = ["query", "key"].filter((name) => model.get(name) >= trained);
    const all = trained === 1 ? "1 place" : `${trained} places`;
    if (beyond.length === 0) return `Both places are among the ${all} of training.`;
    const who = beyond.length === 2 ? "Query and key lie" : `The ${beyond[0]} lies`;
    const isFar = Math.abs(model.get("key") - model.get("query")) >= trained;
    return `${who} beyond the ${all} of training. ${view().beyond[isFar ? 1 : 0]}`;
  };

  function drawWords() {
    setText(origin, view().text);
    setText(trace, `${scoreText()} ${beyondText()}`);
    setText(dependence, dependenceText());
    const hasHands = view().steps.length > 0;
    if (hasHands) setText(handsText, handsSentence());
    setText(box.text, [view().text, "", scoreText(), dependenceText(), ...(hasHands ? [handsSentence()] : []), beyondText()].join("\n"));
  }

  // ------------------------------------------------------------------------------------------------ all of it
  body.append(
    h("div", { class: "cx-bar" }, labelled("Scheme", scheme), pairField, headField, ...buttons.values()),
    h("div", { class: "cx-settings", role: "group", "aria-label": "Places" }, places.query.node, places.key.node),
    about,
    h("div", { class: "cx-cut" }, origin),
    h(
      "div",
      { class: "cx-sides" },
      h("div", { class: "cx-side" }, patternTitle, pattern, legend),
      h("div", { class: "cx-side" }, curveTitle, curve, curveNote, dependence),
    ),
    clock,
    trace,
  );

  function drawChoices() {
    setOptions(scheme, model.get("state").schemes.map((name) => [name, model.get("views")[name].label]));
    setOptions(pair, view().steps.map((step, i) => [i, `${i}: ${degrees(step)} a place`]));
    setOptions(heads, Array.from({ length: view().n_heads }, (_, i) => [i, i]));
    scheme.value = model.get("scheme");
    pair.value = model.get("pair");
    heads.value = model.get("head");
    pairField.hidden = view().steps.length === 0;
    headField.hidden = view().n_heads === 0;
    setText(about, model.get("state").about);
    for (const [name, { input, output }] of Object.entries(places)) {
      const place = model.get(name);
      input.value = place;
      setText(output, `place ${place}`);
      setAttribute(input, "aria-valuetext", `place ${place}`);
    }
    for (const [step, button] of buttons) setAttribute(button, "aria-disabled", canMoveBoth(step) ? null : "true");
  }

  function drawMarks() {
    const all = [0, 1];
    const [query, key] = [model.get("query"), model.get("key")];
    const { columns, per_pair: perPair } = view();
    cover(marks.beyond, [trained / n, 1 - trained / n], all);
    cover(marks.beyondKeys, [0, trained / n], [trained / n, 1 - trained / n]);
    marks.beyondKeys.hidden = columns > 0;
    cover(marks.query, [query / n, 1 / n], all);
    if (columns > 0) cover(marks.key, [key / n, 1 / n], all);
    else cover(marks.key, all, [key / n, 1 / n]);
    setAttribute(marks.key, "data-column", columns > 0 ? null : "");
    marks.pair.hidden = perPair === 0;
    cover(marks.pair, all, [(model.get("pair") * perPair) / columns, perPair / columns]);
  }

  let painted = "";
  function draw() {
    const picture = `${model.get("scheme")} ${head()}`;
    if (picture !== painted) {
      painted = picture;
      products = unpacked(view().products, Int32Array);
      table = unpacked(view().table, Int16Array);
      paint();
    }
    drawChoices();
    drawMarks();
    drawCurve();
    drawClock();
    drawWords();
    box.settle();
  }

  box.watch(draw, "state", "views", "scheme", "query", "key", "pair", "head");
  return box.close;
}

export default { render };
