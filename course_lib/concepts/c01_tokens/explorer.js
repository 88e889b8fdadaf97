// The token explorer's page: shows the tokens and replays that Python computed, and asks for another text.

function render({ model, el }) {
  const box = frame({ model, el, title: "Tokens", textLabel: "The tokens as text" });
  const { body, ask } = box;
  const { names, languages } = model.get("state");

  const textId = uniqueId("text");
  const languageId = uniqueId("language");
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });
  const field = h("textarea", { id: textId, class: "cx-prompt", rows: 2, spellcheck: "false", dir: "auto", "aria-describedby": about.id });
  const language = h(
    "select",
    { id: languageId, class: "cx-select", onchange: () => choose(language.value) },
    h("option", { value: "" }, "no language: your own text"),
    ...languages.map((name) => h("option", { value: name }, name)),
  );
  const size = h("p", { class: "cx-about" });
  const sides = model.get("shown").map((_, side) => panel(side));
  body.append(
    h("label", { for: textId, class: "cx-label" }, "Your text"),
    field,
    h("div", { class: "cx-bar cx-source" }, size, h("span", { class: "cx-field" }, h("label", { for: languageId }, "or one sentence in"), language)),
    about,
    h("div", { class: "cx-sides" }, ...sides.map(({ node }) => node)),
  );

  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const view = () => model.get("sentences")[model.get("language")] ?? model.get("state").view;

  const typing = typedText(field, (text) => ask("text", { text }));

  function choose(name) {
    // Whatever was typed and not yet answered is given up.
    typing.giveUp();
    set("language", name);
  }

  /** One tokenizer: its tokens, word by word, and the replay of the word that is opened. */
  function panel(side) {
    const select = h(
      "select",
      { class: "cx-select", id: uniqueId("tokenizer"), onchange: () => set("shown", model.get("shown").with(side, select.value)) },
      ...names.map((name) => h("option", { value: name }, name)),
    );
    const summary = h("p", { class: "cx-summary", role: "status" });
    const note = h("p", { class: "cx-note" });
    const words = h("ol", { class: "cx-words", "aria-label": "Tokens and ids, word by word: choose a word to replay it" });
    const back = h("button", { type: "button", class: "cx-button", onclick: () => go(step - 1) }, "◀ Back");
    const next = h("button", { type: "button", class: "cx-button cx-primary", onclick: () => go(step + 1) }, "Next ▶");
    const slider = h("input", { id: uniqueId("step"), type: "range", class: "cx-slider", min: 0, oninput: () => go(Number(slider.value)) });
    const controls = h("div", { class: "cx-replay" }, back, h("label", { for: slider.id }, "Replay"), slider, next);
    const sentence = h("p", { class: "cx-trace", role: "status" });
    // The sentence says the same: a screen reader need not hear it twice.
    const pieces = h("p", { class: "cx-words cx-so-far", "aria-hidden": "true" });

    let cut = null;
    let buttons = [];
    let opened = 0;
    let step = 0;

    const steps = () => cut.words[opened]?.steps ?? [];
    const run = (id, i, { lost = "", isNew = false } = {}) => {
      const { text, kind } = cut.tokens[id];
      return h(
        "span",
        { class: "cx-run", "data-kind": kind, "data-odd": i % 2 === 1, "data-new": isNew },
        h("bdi", {}, text),
        lost ? h("span", { class: "cx-lost" }, "for ", h("bdi", {}, lost)) : "",
        h("small", {}, id),
      );
    };

    function go(to) {
      if (to < 0 || to >= steps().length) return;
      step = to;
      drawReplay();
    }

    function open(word) {
      opened = word;
      step = 0;
      drawReplay();
    }

    function draw() {
      const name = model.get("shown")[side];
      const shownView = view();
      select.value = name;
      setText(summary, shownView.cuts[name].summary);
      setText(note, shownView.cuts[name].note);
      setAttribute(words, "dir", shownView.direction);
      setAttribute(pieces, "dir", shownView.direction);
      if (JSON.stringify(cut) === JSON.stringify(shownView.cuts[name])) return;
      cut = shownView.cuts[name];
      buttons = cut.words.map((word, w) =>
        h("button", { type: "button", class: "cx-word", onclick: () => open(w) }, ...word.steps.at(-1).ids.map((id, i) => run(id, i, word))),
      );
      words.replaceChildren(...buttons.map((button) => h("li", {}, button)));
      if (buttons.length) grid([buttons]);
      open(0);
    }

    function drawReplay() {
      buttons.forEach((button, w) => setAttribute(button, "aria-current", w === opened ? "true" : null));
      const last = steps().length - 1;
      const { text, ids, rest, new: made } = steps()[step] ?? { text: "", ids: [], rest: "", new: [] };
      controls.hidden = last < 1;
      setAttribute(slider, "max", Math.max(last, 0));
      slider.value = step;
      setAttribute(slider, "aria-valuetext", `${step} of ${last}`);
      setAttribute(back, "aria-disabled", step === 0 ? "true" : null);
      setAttribute(next, "aria-disabled", step === last ? "true" : null);
      setText(sentence, text);
      pieces.replaceChildren(...ids.map((id, i) => run(id, i, { isNew: made.includes(i) })));
      if (rest) pieces.append(h("span", { class: "cx-run", "data-kind": "rest" }, h("bdi", {}, rest)));
    }

    const node = h(
      "div",
      { class: "cx-side", role: "group", "aria-label": `Tokenizer ${side + 1}` },
      h("div", { class: "cx-field" }, h("label", { for: select.id }, "Tokenizer"), select),
      summary,
      note,
      words,
      controls,
      sentence,
      pieces,
    );
    const asText = () => [cut.description, ...cut.words.flatMap((word) => word.steps.map(({ text }) => text))].join("\n");
    return { node, draw, asText };
  }

  function draw() {
    const { text, size: sizeText } = view();
    typing.show(text);
    language.value = model.get("language");
    setText(size, sizeText);
    setText(about, model.get("state").about);
    for (const side of sides) side.draw();
    setText(box.text, [`Text: ${text}\n${sizeText}`, ...sides.map((side) => side.asText())].join("\n\n"));
    box.settle();
  }

  for (const name of ["state", "shown", "language"]) model.on(`change:${name}`, draw);
  draw();
  return () => {
    typing.cancel();
    for (const name of ["state", "shown", "language"]) model.off(`change:${name}`, draw);
    box.close();
  };
}

export default { render };
