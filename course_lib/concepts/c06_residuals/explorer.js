// The depth explorer's page: walks through layers and tokens with what Python sent, and asks for another text and for
// changes that are not yet computed.

const ROW = 20; // CSS pixels of a layer's line, as .cx-layer
const NORMS = { width: 180, left: 10, right: 166 }; // the drawing of the norms, as .cx-layer
const LEAST_NORM = 1e-3; // 0 has no logarithm
const PANEL = { width: 210, height: 110, margin: 14 }; // one addition
const TIP = 8; // length of an arrow's head

/** The path of an arrow, with its head. */
function arrow([x0, y0], [x1, y1]) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length === 0) return `M${x0} ${y0}`;
  const [dx, dy] = [(x1 - x0) / length, (y1 - y0) / length];
  const side = Math.min(TIP, length);
  const wing = (turn) => `${x1 - side * (dx - turn * 0.5 * dy)} ${y1 - side * (dy + turn * 0.5 * dx)}`;
  return `M${x0} ${y0}L${x1} ${y1}M${wing(1)}L${x1} ${y1}L${wing(-1)}`;
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Depth", textLabel: "The layer as text" });
  const { body, ask, askAfter, set } = box;

  const view = () => model.get("views")[model.get("model")];
  const layer = () => Math.min(model.get("layer"), view().n_layers - 1);
  const token = () => Math.min(model.get("token"), view().tokens.length - 1);
  const lens = () => (model.get("lens") in view().lenses ? model.get("lens") : "plain");
  // A model that is not as deep as another one passes over what it has no layers for.
  const skipped = () => model.get("skipped").filter((l) => l < view().n_layers);
  const exchanged = () => model.get("exchanged").filter((l) => l + 1 < view().n_layers);
  const key = (off, swapped) => `${off.join(",")};${swapped.join(",")}`;
  const effects = () => model.get("effects")[model.get("model")];
  const effect = () => effects()[key(skipped(), exchanged())];

  // Unpacked once for each text.
  let unpackedView = null;
  let norms = null; // (L + 1, T)
  let additions = null; // (L, T, 4)
  const norm = (place, t) => norms[place * view().tokens.length + t];

  // ------------------------------------------------------------------------------------------------ the parts
  const select = (name, choose) => h("select", { id: uniqueId(name), class: "cx-select", onchange: (event) => choose(event.target.value) });
  const name = select("model", (value) => set("model", value));
  const lenses = select("lens", (value) => set("lens", value));
  const nameField = labelled("Model", name);
  const lensField = labelled("Lens", lenses);
  const text = h("textarea", { id: uniqueId("text"), class: "cx-prompt", rows: 1, spellcheck: "false", dir: "auto" });
  const typing = typedText(text, (value) => ask("text", { text: value }));
  const note = h("p", { class: "cx-note", role: "status" });
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });
  const tokens = h("ol", { class: "cx-words cx-tokens", "aria-label": "Tokens: choose the one to follow" });

  const drawing = svg("svg", { class: "cx-norms", width: NORMS.width });
  const rows = h("div", {});
  const layers = h(
    "div",
    { class: "cx-layers", role: "slider", tabindex: "0", "aria-label": "Layer", "aria-orientation": "vertical", "aria-valuemin": "0", "aria-describedby": about.id },
    h("div", { class: "cx-layer cx-layer-head" }, h("span", {}, "layer"), h("span", {}, "the stream's length"), h("span", {}, "the lens reads")),
    h("div", { class: "cx-layer-rows" }, rows, drawing),
  );

  const walk = h("p", { class: "cx-trace", role: "status" });
  const panels = [
    ["attention", "Attention adds"],
    ["mlp", "The MLP adds"],
  ].map(([kind, words]) => {
    const lines = {
      before: svg("path", { class: "cx-arrow-stream" }),
      after: svg("path", { class: "cx-arrow-after" }),
      addition: svg("path", { class: `cx-arrow-${kind}` }),
    };
    const picture = svg("svg", { viewBox: `0 0 ${PANEL.width} ${PANEL.height}` }, ...Object.values(lines));
    return { lines, node: h("div", { class: "cx-addition" }, h("p", {}, h("span", { class: `cx-swatch cx-${kind}` }), words), picture) };
  });
  const legend = h(
    "p",
    { class: "cx-note" },
    h("span", { class: "cx-swatch cx-stream" }),
    "the stream before; dashed: after. Lengths and angles are true within a picture.",
  );

  const read = nextTokens("", "");
  const final = nextTokens("", "all layers, in order", "now");
  const button = (press, words = "") => h("button", { type: "button", class: "cx-button", onclick: press }, words);
  const skip = button(() => change("skipped", layer()));
  const exchange = button(() => change("exchanged", layer()));
  const restore = button(() => putBack(), "All back");
  const changes = h("p", { role: "status" });
  const turned = h("p", {});

  body.append(
    h("div", { class: "cx-bar" }, nameField, lensField),
    h("div", { class: "cx-cut" }, h("label", { for: text.id, class: "cx-label" }, "Your text"), text),
    note,
    about,
    tokens,
    h(
      "div",
      { class: "cx-row" },
      h("div", { class: "cx-layers-side" }, layers),
      h(
        "div",
        { class: "cx-depth-side" },
        walk,
        h("div", { class: "cx-additions", "aria-hidden": "true" }, ...panels.map(({ node }) => node)),
        legend,
        read.node,
        h("div", { class: "cx-bar" }, skip, exchange, restore),
        changes,
        final.node,
        turned,
      ),
    ),
  );

  // ------------------------------------------------------------------------------------------------ what is asked
  const toggled = (list, l) => (list.includes(l) ? list.filter((other) => other !== l) : [...list, l].sort((a, b) => a - b));

  /** Skip a layer or exchange it with the next, or put it back: at once where this is computed, else by Python. */
  function change(what, l) {
    if (what === "exchanged" && l + 1 >= view().n_layers) return;
    const next = { skipped: skipped(), exchanged: exchanged() };
    next[what] = toggled(next[what], l);
    if (key(next.skipped, next.exchanged) in effects()) set(what, next[what]);
    else askAfter("change", { name: what, layers: next[what] });
  }
  function putBack() {
    model.set("skipped", []);
    set("exchanged", []);
  }
  const walkTo = (l) => set("layer", Math.min(Math.max(l, 0), view().n_layers - 1));
  const follow = (t) => {
    const next = Math.min(Math.max(t, 0), view().tokens.length - 1);
    if (next !== token()) set("token", next);
  };

  const onKey = (event) => {
    if (event.altKey || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const pressed = event.key.toLowerCase();
    if (pressed === "arrowup") walkTo(layer() - 1);
    else if (pressed === "arrowdown") walkTo(layer() + 1);
    else if (pressed === "s") change("skipped", layer());
    else if (pressed === "x") change("exchanged", layer());
    // A token's button has these keys from `grid`.
    else if (event.currentTarget === tokens) return;
    else if (pressed === "arrowleft") follow(token() - 1);
    else if (pressed === "arrowright") follow(token() + 1);
    else if (pressed === "home") walkTo(0);
    else if (pressed === "end") walkTo(view().n_layers - 1);
    else return;
    event.preventDefault();
  };
  for (const part of [layers, tokens]) part.addEventListener("keydown", onKey);

  // ------------------------------------------------------------------------------------------------ what is drawn
  let buttons = [];
  let lines = []; // of each layer
  let paths = []; // of each token
  const dot = svg("circle", { class: "cx-norm-dot", r: 5 });
  let across = null; // from a norm to pixels

  /** New tokens, rows and lines, where text or model are others. */
  function rebuild() {
    const { tokens: pieces, n_layers: nLayers } = view();
    buttons = pieces.map((piece, t) =>
      h("button", { type: "button", class: "cx-word", onclick: () => follow(t), onfocus: () => follow(t) }, h("span", { class: "cx-run" }, h("bdi", {}, piece))),
    );
    tokens.replaceChildren(...buttons.map((part) => h("li", {}, part)));
    grid([buttons]);

    lines = Array.from({ length: nLayers }, (_, l) => {
      const parts = { piece: h("bdi", {}), share: h("span", { class: "cx-probability" }), mark: h("span", {}) };
      const row = h("div", { class: "cx-layer" }, h("span", {}, l), h("span", {}), parts.piece, parts.share, parts.mark);
      row.addEventListener("pointerdown", () => walkTo(l));
      return { row, ...parts };
    });
    rows.replaceChildren(h("div", { class: "cx-layer cx-layer-in" }, h("span", {}, "in")), ...lines.map(({ row }) => row));

    const logarithm = (value) => Math.log10(Math.max(value, LEAST_NORM));
    const low = Math.floor(norms.reduce((least, value) => Math.min(least, logarithm(value)), Infinity));
    const high = Math.max(Math.ceil(norms.reduce((most, value) => Math.max(most, logarithm(value)), -Infinity)), low + 1);
    const { left, right } = NORMS;
    across = (value) => left + ((logarithm(value) - low) / (high - low)) * (right - left);
    const height = (nLayers + 1) * ROW;
    drawing.setAttribute("height", height + ROW);
    const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).flatMap((value) => [
      svg("line", { class: "cx-tick", x1: across(value), x2: across(value), y1: 0, y2: height }),
      svg("text", { x: across(value), y: height + 14, "text-anchor": "middle" }, value >= 1000 ? `${value / 1000}k` : String(Number(value.toPrecision(1)))),
    ]);
    paths = pieces.map((_, t) => {
      const points = Array.from({ length: nLayers + 1 }, (__, place) => `${across(norm(place, t)).toFixed(1)} ${(place + 0.5) * ROW}`);
      return svg("path", { d: `M${points.join("L")}` });
    });
    drawing.replaceChildren(...ticks, ...paths, dot);
  }

  function drawLayers() {
    const [l, t] = [layer(), token()];
    const off = skipped();
    const swapped = exchanged();
    lines.forEach(({ row, piece, share, mark }, at) => {
      const [likeliest, first] = view().lenses[lens()][at][t][0];
      setText(piece, likeliest);
      setText(share, first);
      const other = swapped.includes(at) ? at + 1 : swapped.includes(at - 1) ? at - 1 : null;
      setText(mark, [off.includes(at) ? "off" : "", other === null ? "" : `⇅ ${other}`].filter(Boolean).join(", "));
      setAttribute(row, "data-off", off.includes(at) ? "" : null);
      setAttribute(row, "data-current", at === l ? "" : null);
    });
    paths.forEach((path, other) => setAttribute(path, "class", other === t ? "cx-norm-followed" : "cx-norm-other"));
    // The followed line lies on top.
    if (dot.previousSibling !== paths[t]) drawing.insertBefore(paths[t], dot);
    setAttribute(dot, "cx", across(norm(l + 1, t)));
    setAttribute(dot, "cy", (l + 1.5) * ROW);
    buttons.forEach((part, at) => {
      setAttribute(part, "aria-current", at === t ? "true" : null);
      part.tabIndex = at === t ? 0 : -1;
    });
  }

  /** The stream, what is added at its tip, and their sum, as large as the picture allows. */
  function drawAdditions() {
    const [l, t] = [layer(), token()];
    let before = norm(l, t);
    panels.forEach(({ lines: parts }, i) => {
      const [length, cosine] = additions.subarray(4 * (l * view().tokens.length + t) + 2 * i);
      const turn = Math.acos(Math.min(Math.max(cosine, -1), 1));
      const sum = [before + length * Math.cos(turn), length * Math.sin(turn)];
      const { width, height, margin } = PANEL;
      const [from, to] = [Math.min(0, sum[0]), Math.max(before, sum[0])];
      const scale = Math.min((width - 2 * margin) / Math.max(to - from, 1e-9), (height - 2 * margin) / Math.max(sum[1], 1e-9));
      const start = (width - (to - from) * scale) / 2;
      const point = ([x, y]) => [start + (x - from) * scale, height - margin - y * scale].map((part) => Number(part.toFixed(1)));
      setAttribute(parts.before, "d", arrow(point([0, 0]), point([before, 0])));
      setAttribute(parts.addition, "d", arrow(point([before, 0]), point(sum)));
      setAttribute(parts.after, "d", `M${point([0, 0]).join(" ")}L${point(sum).join(" ")}`);
      before = Math.hypot(...sum);
    });
  }

  function drawWords() {
    const [l, t] = [layer(), token()];
    const followed = view().names[t];
    const where = `Layer ${l}, token ${followed}`;
    setAttribute(layers, "aria-valuemax", view().n_layers - 1);
    setAttribute(layers, "aria-valuenow", l);
    setAttribute(layers, "aria-valuetext", where);
    const found = view().lenses[lens()][l][t];
    const end = view().final[t];
    const listed = (pairs) => pairs.map((pair) => pair.join(" ")).join(", ");
    const lensText = `The ${lens()} lens reads there: ${listed(found)}.`;
    setText(walk, `${view().walk[l][t]} The lens reads ${found[0].join(" ")}.`);
    setText(read.words, `After layer ${l} the ${lens()} lens reads`);
    read.fill(0, found);

    setText(skip, skipped().includes(l) ? `Run layer ${l} again` : `Skip layer ${l}`);
    const isLast = l + 1 >= view().n_layers;
    setAttribute(exchange, "aria-disabled", isLast ? "true" : null);
    if (isLast) setText(exchange, "No next layer");
    else setText(exchange, exchanged().includes(l) ? `Put ${l} and ${l + 1} back` : `Exchange ${l} and ${l + 1}`);
    const { text: changed, now, turned: sentences } = effect();
    setAttribute(restore, "aria-disabled", now.length === 0 ? "true" : null);
    setText(changes, changed);
    setText(final.words, `What the model says after ${followed}`);
    final.fill(0, end);
    final.fill(1, now[t] ?? []);
    final.hide(1, now.length === 0);
    setText(turned, sentences[t] ?? "");

    setText(
      box.text,
      [
        view().text,
        "",
        view().walk[l][t],
        lensText,
        view().norms_text[t],
        "",
        changed,
        `After ${followed}, with all layers in order: ${listed(end)}.`,
        ...(now.length ? [`Now: ${listed(now[t])}.`, sentences[t]] : []),
      ].join("\n"),
    );
  }

  function drawChoices() {
    const { names, text: given, about: words } = model.get("state");
    setOptions(name, names.map((option) => [option, option]));
    setOptions(lenses, view().lens_names.map((option) => [option, option]));
    name.value = model.get("model");
    lenses.value = lens();
    nameField.hidden = name.options.length === 1;
    lensField.hidden = lenses.options.length === 1;
    typing.show(given);
    setText(about, words);
    setText(note, view().note);
  }

  function draw() {
    // A change by Python may come before its effect does.
    if (!effect()) return;
    drawChoices();
    if (unpackedView !== view()) {
      unpackedView = view();
      norms = unpacked(unpackedView.norms, Float32Array);
      additions = unpacked(unpackedView.additions, Float32Array);
      rebuild();
    }
    drawLayers();
    drawAdditions();
    drawWords();
    box.settle();
  }

  box.watch(draw, "state", "views", "effects", "model", "lens", "layer", "token", "skipped", "exchanged");
  return () => {
    typing.cancel();
    box.close();
  };
}

export default { render };
