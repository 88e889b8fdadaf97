// The gap explorer's page: hides tokens, walks over what Python has answered, and asks for other texts and gaps.

const MOST_BITS = 8; // from here on the colour is the strongest
const STRONGEST = 50; // per cent of it that still lets text be read in both themes
const HIDDEN = "___";

function render({ model, el }) {
  const box = frame({ model, el, title: "Gap", textLabel: "The gap as text" });
  const { body, ask, askAfter } = box;

  const view = (name = model.get("model")) => model.get("views")[name];
  /** Of these places those that a model's text has; one token stays. */
  const fitting = (name, places) => places.filter((place) => place < view(name).tokens.length).slice(0, view(name).tokens.length - 1);
  const choice = () => {
    const name = model.get("model");
    return { model: name, hidden: fitting(name, model.get("hidden")), token: Math.min(model.get("token"), view().tokens.length - 1) };
  };
  // The keys are made as by `_key` in Python.
  const answered = (name, { hidden }) => model.get("answers")[name][hidden.join(",")];
  const tried = (name, { hidden, token }) => model.get("tried")[name][`${hidden.join(",")};${token}`];
  /** The models that cut the text as this one does. */
  const group = (name) => {
    const isLike = (other) => JSON.stringify(view(other).tokens) === JSON.stringify(view(name).tokens);
    return model.get("state").names.filter(isLike);
  };
  /** Whether Python has answered all that a choice shows. */
  const isAnswered = (chosen) =>
    group(chosen.model).every(
      (name) => answered(name, chosen) && (!chosen.hidden.includes(chosen.token) || !view(name).is_causal || tried(name, chosen)),
    );

  // ------------------------------------------------------------------------------------------------ the parts
  const name = h("select", { id: uniqueId("model"), class: "cx-select", onchange: () => choose({ model: name.value }) });
  const nameField = labelled("Model", name);
  const text = h("textarea", { id: uniqueId("text"), class: "cx-prompt", rows: 1, spellcheck: "false", dir: "auto" });
  const typing = typedText(text, (value) => busy(ask("text", { text: value })));
  const note = h("p", { class: "cx-note", role: "status" });
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });
  const tokens = h("ol", { class: "cx-words cx-tokens cx-gap", "aria-label": "Tokens: follow one, hide it or show it again", "aria-describedby": about.id });
  const scale = h("p", { class: "cx-note", "aria-hidden": "true" }, "surprise: 0 bits", h("span", { class: "cx-scale" }), `${MOST_BITS} bits or more`);
  const trace = h("p", { class: "cx-trace", role: "status" });
  const gaps = h("div", { class: "cx-gaps" });
  const showAll = h("button", { type: "button", class: "cx-button", onclick: () => choose({ hidden: [] }) }, "Show all");

  body.append(
    h("div", { class: "cx-bar" }, nameField),
    h("div", { class: "cx-cut" }, h("label", { for: text.id, class: "cx-label" }, "Your text"), text),
    note,
    about,
    tokens,
    h("div", { class: "cx-bar" }, scale, showAll),
    trace,
    gaps,
  );

  // ------------------------------------------------------------------------------------------------ what is asked
  /** Say that it takes a moment. */
  function busy(asked) {
    setText(trace, "Waiting for Python: the models compute.");
    return asked;
  }

  /** Choose at once what is answered, else ask Python. */
  function choose(changes) {
    const next = { ...choice(), ...changes };
    if (changes.model) next.hidden = fitting(next.model, next.hidden);
    next.token = Math.min(next.token, view(next.model).tokens.length - 1);
    if (!isAnswered(next)) {
      busy(askAfter("choose", next));
      return;
    }
    for (const [trait, value] of Object.entries(next)) model.set(trait, value);
    model.save_changes();
  }
  const follow = (token) => {
    if (token !== choice().token) choose({ token });
  };
  const toggle = (token) => {
    const { hidden } = choice();
    const others = hidden.filter((other) => other !== token);
    choose({ token, hidden: others.length < hidden.length ? others : [...hidden, token].sort((a, b) => a - b) });
  };

  // ------------------------------------------------------------------------------------------------ what is drawn
  let buttons = []; // of each token
  const tables = []; // of each answer
  let built = null;

  function rebuild() {
    buttons = view().tokens.map((_, place) => {
      const parts = { piece: h("bdi", {}), bits: h("small", {}) };
      let wasFollowed = true;
      const button = h("button", { type: "button", class: "cx-word" }, h("span", { class: "cx-run" }, parts.piece, parts.bits));
      // A click on a gap follows it first: only the next one shows its token again.
      button.addEventListener("pointerdown", () => {
        const { hidden, token } = choice();
        wasFollowed = place === token || !hidden.includes(place);
      });
      button.addEventListener("focus", () => follow(place));
      button.addEventListener("click", () => {
        if (wasFollowed) toggle(place);
        wasFollowed = true;
      });
      button.addEventListener("keydown", (event) => {
        if (event.altKey || event.metaKey || event.ctrlKey || event.shiftKey || event.key.toLowerCase() !== "h") return;
        event.preventDefault();
        toggle(place);
      });
      return { button, ...parts };
    });
    tokens.replaceChildren(...buttons.map(({ button }) => h("li", {}, button)));
    grid([buttons.map(({ button }) => button)]);
  }

  function drawTokens(chosen) {
    const { bits } = answered(chosen.model, chosen);
    const { tokens: pieces, names } = view();
    buttons.forEach(({ button, piece, bits: number }, place) => {
      const isHidden = chosen.hidden.includes(place);
      const shown = bits[place] === null ? "–" : bits[place].toFixed(1);
      setText(piece, isHidden ? HIDDEN : pieces[place]);
      setText(number, shown);
      button.style.setProperty("--cx-surprise", `${(STRONGEST * Math.min(bits[place] ?? 0, MOST_BITS)) / MOST_BITS}%`);
      setAttribute(button, "aria-pressed", isHidden ? "true" : "false");
      setAttribute(button, "aria-label", `${isHidden ? `hidden token ${place + 1}` : names[place]}, ${shown} bits`);
      setAttribute(button, "aria-current", place === chosen.token ? "true" : null);
      button.tabIndex = place === chosen.token ? 0 : -1;
    });
    setAttribute(showAll, "aria-disabled", chosen.hidden.length === 0 ? "true" : null);
  }

  function drawGaps(chosen) {
    const { model: shown, token } = chosen;
    const isHidden = chosen.hidden.includes(token);
    const found = isHidden ? group(shown).flatMap((other) => [answered(other, chosen).gaps[token], tried(other, chosen)].filter(Boolean)) : [];
    while (tables.length < found.length) {
      const table = nextTokens();
      const own = h("p", {});
      const node = h("div", {}, table.node, own);
      tables.push({ table, own, node });
      gaps.append(node);
    }
    tables.forEach(({ table, own, node }, i) => {
      node.hidden = i >= found.length;
      if (node.hidden) return;
      setText(table.words, found[i].title);
      table.fill(found[i].rows);
      setText(own, found[i].own);
    });

    const name = view().names[token];
    const bits = answered(shown, chosen).bits[token];
    const surprise = bits === null ? "nothing stands before it to go by" : `a surprise of ${bits.toFixed(1)} bits by ${shown}`;
    const first = found.map(({ title, rows }) => `${title}: ${rows[0]?.join(" ") ?? "no answer"}`);
    setText(trace, isHidden ? `${name} is hidden. Likeliest by ${first.join("; by ")}.` : `${name}: ${surprise}. Space hides it.`);
    const listed = (rows) => rows.map((row) => row.join(" ")).join(", ") || "no answer";
    const lines = isHidden ? found.map(({ title, rows, own }) => `${title}: ${listed(rows)}. ${own}`) : [`${name} is not hidden.`];
    setText(box.text, [view().text, "", answered(shown, chosen).text, "", ...lines].join("\n"));
  }

  function draw() {
    // A choice by Python may come before its answer does.
    const chosen = choice();
    if (!isAnswered(chosen)) return;
    const { names, text: given, about: words } = model.get("state");
    setOptions(name, names.map((option) => [option, option]));
    name.value = model.get("model");
    nameField.hidden = name.options.length === 1;
    typing.show(given);
    setText(about, words);
    setText(note, view().note);
    if (built !== view()) {
      built = view();
      rebuild();
    }
    drawTokens(chosen);
    drawGaps(chosen);
    box.settle();
  }

  box.watch(draw, "state", "views", "answers", "tried", "model", "hidden", "token");
  return () => {
    typing.cancel();
    box.close();
  };
}

export default { render };
