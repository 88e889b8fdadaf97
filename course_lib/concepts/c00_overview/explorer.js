// The next-word explorer's page: shows the probabilities that Python computed and asks for text, settings and steps.

const SLIDING_MS = 60;

function render({ model, el }) {
  const box = frame({ model, el, title: "Next word", textLabel: "The bars as text" });
  const { body, ask } = box;

  const textId = uniqueId("text");
  const hint = h("p", { id: uniqueId("hint"), class: "cx-about" }, "Type a beginning of your own. Ctrl+Enter lets the model write on, and stops it.");
  const field = h("textarea", { id: textId, class: "cx-prompt", rows: 3, spellcheck: "false", "aria-describedby": hint.id });
  const pieces = h("p", { class: "cx-pieces" });
  const about = h("p", { class: "cx-about" });
  const status = h("p", { class: "cx-status", role: "status" });
  const count = h("input", { id: uniqueId("count"), class: "cx-count", type: "number", min: 1, max: 200, value: 20 });
  const step = h("button", { type: "button", class: "cx-button cx-primary" }, "Step: draw one token");
  const write = h("button", { type: "button", class: "cx-button" }, "Write on");
  const reset = h("button", { type: "button", class: "cx-button" }, "Reset text");
  // For the eye only: a screen reader would read out every count.
  const progress = h("span", { class: "cx-progress", "aria-hidden": "true" });

  const sliders = {
    temperature: slider("Temperature", { min: 0, max: 2, step: 0.1 }, (x) => (x === 0 ? "0: always the likeliest" : x.toFixed(1))),
    top_k: slider("Top-k", { min: 0, max: 50, step: 1 }, (x) => (x === 0 ? "off: all tokens" : `the ${x} likeliest`)),
    top_p: slider("Top-p", { min: 0.05, max: 1, step: 0.05 }, (x) => (x === 1 ? "off: all tokens" : x.toFixed(2))),
  };

  function slider(label, range, write) {
    const id = uniqueId("slider");
    const input = h("input", { id, type: "range", class: "cx-slider", ...range });
    // No <output>: it would be read out on top of aria-valuetext.
    const output = h("span", { class: "cx-output" });
    const show = () => {
      const text = write(Number(input.value));
      setText(output, text);
      setAttribute(input, "aria-valuetext", text);
    };
    input.addEventListener("input", () => {
      show();
      settings.later();
    });
    return { input, show, node: h("div", { class: "cx-setting" }, h("label", { for: id }, label), input, output) };
  }

  // Each row: the token, a bar before and a bar after the settings, both numbers. The last one is all other tokens.
  const shown = model.get("state").rows.length;
  const rows = Array.from({ length: shown + 1 }, (_, i) => {
    const parts = {
      piece: h("span", { class: "cx-piece" }),
      beforeBar: h("span", { class: "cx-bar-fill cx-before" }),
      afterBar: h("span", { class: "cx-bar-fill cx-after" }),
      before: h("span"),
      after: h("span"),
    };
    const content = [
      parts.piece,
      h("span", { class: "cx-bars", "aria-hidden": "true" }, parts.beforeBar, parts.afterBar),
      h("span", { class: "cx-probability" }, h("span", { class: "cx-hidden" }, ", before "), parts.before),
      h("span", { class: "cx-probability" }, h("span", { class: "cx-hidden" }, ", after "), parts.after),
    ];
    const last = i === shown;
    const button = last ? h("div", { class: "cx-next cx-rest" }, ...content) : h("button", { type: "button", class: "cx-next" }, ...content);
    if (!last) button.addEventListener("click", () => choose(i));
    return { ...parts, button };
  });
  grid(rows.slice(0, shown).map(({ button }) => [button]));

  body.append(
    h("label", { for: textId, class: "cx-label" }, "Your text"),
    field,
    hint,
    pieces,
    about,
    h("div", { class: "cx-settings", role: "group", "aria-label": "Settings" }, ...Object.values(sliders).map(({ node }) => node)),
    h(
      "div",
      { class: "cx-next cx-head", "aria-hidden": "true" },
      h("span", {}, "Likeliest next tokens, before and after the settings; choose one to append it"),
      h("span", { class: "cx-probability" }, h("span", { class: "cx-swatch cx-before" }), "before"),
      h("span", { class: "cx-probability" }, h("span", { class: "cx-swatch cx-after" }), "after"),
    ),
    h("ol", { class: "cx-list", "aria-label": "Likeliest next tokens; choosing one appends it" }, ...rows.map(({ button }) => h("li", {}, button))),
    h(
      "div",
      { class: "cx-bar cx-actions" },
      step,
      h("span", { class: "cx-field" }, write, count, h("label", { for: count.id }, "tokens")),
      reset,
      progress,
    ),
    status,
  );

  let running = false;

  const settings = debounce(() => ask("settings", values()), SLIDING_MS);
  const values = () => Object.fromEntries(Object.entries(sliders).map(([name, { input }]) => [name, Number(input.value)]));
  const typing = debounce(sendText, TYPING_MS);

  async function sendText() {
    const text = field.value;
    const state = await ask("text", { text });
    if (field.value === text) setAttribute(field, "aria-invalid", state.error ? "true" : null);
    return state;
  }

  /** What the reader typed or slid last goes first; false when Python refused the text. */
  async function flush() {
    settings.now();
    typing.cancel();
    if (field.value === field.dataset.value) return true;
    return !(await sendText()).error;
  }

  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!event.repeat) writeOn();
  });

  field.addEventListener("input", () => {
    running = false;
    typing.later();
  });

  async function choose(i) {
    running = false;
    const { id } = model.get("state").rows[i];
    // The bars belong to the text that Python has: if another one was typed, only show its bars.
    if (field.value !== field.dataset.value) await flush();
    else await ask("choose", { token: id });
  }

  step.addEventListener("click", async () => {
    running = false;
    if (await flush()) await ask("step");
  });

  write.addEventListener("click", writeOn);

  async function writeOn() {
    if (running) {
      running = false;
      return;
    }
    const wanted = Math.round(Number(count.value));
    if (!(wanted >= 1 && wanted <= 200)) {
      setText(status, `Write on takes a number from 1 to 200; got “${count.value}”.`);
      setAttribute(count, "aria-invalid", "true");
      return;
    }
    setAttribute(count, "aria-invalid", null);
    running = true;
    drawRunning(0, wanted);
    let written = 0;
    if (await flush()) {
      // One question for each token: the page shows each as it comes, and Python is free in between, so that
      // Stop and the sliders work.
      while (running && written < wanted) {
        const state = await ask("step");
        if (state.error || state.ended) break;
        written += 1;
        drawRunning(written, wanted);
      }
    }
    running = false;
    drawRunning();
    const { note, ended } = model.get("state");
    setText(status, `Wrote ${written} ${written === 1 ? "token" : "tokens"}.${ended ? ` ${note}` : ""}`);
  }

  reset.addEventListener("click", () => {
    running = false;
    typing.cancel();
    // Whatever was typed is given up.
    field.value = field.dataset.value;
    setAttribute(field, "aria-invalid", null);
    ask("reset");
  });

  function drawRunning(written = 0, wanted = 0) {
    setText(write, running ? "Stop" : "Write on");
    setText(progress, running ? `writing: ${written} of ${wanted}` : "");
    setAttribute(box.root, "data-running", running);
  }

  function drawRow(row, { piece, label, before, after, before_text: beforeText, after_text: afterText }) {
    setText(row.piece, piece ?? label);
    setText(row.before, beforeText);
    setText(row.after, afterText);
    row.beforeBar.style.width = `${100 * before}%`;
    row.afterBar.style.width = `${100 * after}%`;
    setAttribute(row.button, "data-out", after === 0);
  }

  /** The tokens of the text; what the model wrote is marked. */
  function drawPieces({ pieces: shownPieces, n_tokens: count, n_written: written }) {
    const line = h("p");
    const skipped = count - shownPieces.length;
    line.append(`${count} ${count === 1 ? "token" : "tokens"}: ${skipped > 0 ? "… | " : ""}`);
    shownPieces.forEach((piece, i) => {
      const isWritten = skipped + i >= count - written;
      line.append(i > 0 ? " | " : "", isWritten ? h("span", { class: "cx-written" }, piece) : piece);
    });
    if (line.innerHTML === pieces.innerHTML) return;
    pieces.replaceChildren(...line.childNodes);
    pieces.scrollTop = pieces.scrollHeight;
  }

  function draw() {
    const state = model.get("state");
    if (field.value === (field.dataset.value ?? "") || field.value === state.text) {
      if (field.value !== state.text) {
        field.value = state.text;
        field.scrollTop = field.scrollHeight;
      }
    }
    field.dataset.value = state.text;
    drawPieces(state);
    setText(about, state.about);
    for (const [name, { input, show }] of Object.entries(sliders)) {
      // Python may have set more than the slider reaches.
      if (name === "top_k") setAttribute(input, "max", Math.max(50, state.settings.top_k));
      // A slider under the reader's hand is ahead of what Python has answered.
      if (document.activeElement !== input) input.value = state.settings[name];
      show();
    }
    rows.forEach((row, i) => drawRow(row, i < shown ? state.rows[i] : state.rest));
    // While it writes, screen readers are told at the end only.
    if (!running) setText(status, state.note);
    setText(box.text, state.description);
    box.settle();
  }

  model.on("change:state", draw);
  draw();
  drawRunning();
  return () => {
    running = false;
    model.off("change:state", draw);
    box.close();
  };
}

export default { render };
