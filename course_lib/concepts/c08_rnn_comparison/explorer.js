// The clock explorer's page: moves the clock over schedules that Python has made, and asks for texts and times.

const STANDINGS = { work: "at work", done: "done", ready: "ready", wait: "waiting" };

function render({ model, el }) {
  const box = frame({ model, el, title: "Clock", textLabel: "The clock as text" });
  const { body, ask, askAfter } = box;

  const { ways, options } = model.get("state");
  const titles = ways.map(([, title]) => title);
  const names = () => model.get("state").names;
  const layers = () => model.get("layers");
  const processors = () => model.get("processors");
  const plan = () => model.get("plans")[`${layers()},${model.get("mode")}`];
  const ticks = (way) => plan()[way].ticks[processors()];
  const endOf = (numbers) => Math.max(...numbers);
  const end = () => Math.max(...ways.map(([way]) => endOf(ticks(way))));
  const tick = () => Math.min(model.get("tick"), end());
  const layer = () => Math.min(model.get("layer"), layers() - 1);
  const token = () => Math.min(model.get("token"), names().length - 1);
  const settingKey = () => `${layers()},${model.get("mode")},${processors()}`;
  const timesKey = () => `${names().length},${layers()}`;

  // ------------------------------------------------------------------------------------------------ the parts
  const select = (name, choose) => h("select", { id: uniqueId(name), class: "cx-select", onchange: (event) => choose(event.target.value) });
  const layerCount = select("layers", (value) => choose({ layers: Number(value) }));
  const processorCount = select("processors", (value) => choose({ processors: Number(value) }));
  const mode = select("mode", (value) => choose({ mode: value }));
  setOptions(layerCount, options.layers);
  setOptions(processorCount, options.processors);
  setOptions(mode, options.modes);
  const text = h("textarea", { id: uniqueId("text"), class: "cx-prompt", rows: 1, spellcheck: "false", dir: "auto" });
  const typing = typedText(text, (value) => ask("text", { text: value }));
  const note = h("p", { class: "cx-note", role: "status" });
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });

  const guess = h("input", { id: uniqueId("guess"), class: "cx-count", type: "number", min: 1, oninput: () => choose({ guess: Math.max(0, Math.round(Number(guess.value))) }, false) });
  const guessField = labelled("How many ticks will the Transformer need? Your guess", guess);
  const guessed = h("span", { role: "status" });
  const clock = h("input", { id: uniqueId("clock"), class: "cx-slider", type: "range", min: 0, oninput: () => turnTo(Number(clock.value)), "aria-describedby": about.id });
  const now = h("span", { class: "cx-tick-now" });
  const button = (words, press) => h("button", { type: "button", class: "cx-button", onclick: press }, words);
  const back = button("Back", () => turnTo(tick() - 1));
  const next = button("Next tick", () => turnTo(tick() + 1));
  const last = button("To the end", () => turnTo(end()));
  next.classList.add("cx-primary");

  const works = ways.map(([way, title]) => {
    const status = h("p", { class: "cx-summary", role: "status" });
    const heads = h("tr", {});
    const rows = h("tbody", {});
    const table = h("table", { class: "cx-work", role: "grid", "aria-label": `Boxes of the ${title}` }, h("caption", {}, title), h("thead", {}, heads), rows);
    return { way, title, status, heads, rows, cells: [], node: h("div", { class: "cx-work-side" }, table, status) };
  });
  const trace = h("p", { class: "cx-trace cx-lines-kept", role: "status" });
  const legend = h(
    "p",
    { class: "cx-note cx-work-keys", "aria-hidden": "true" },
    ...[
      ["work", "3", "at work"],
      ["done", "3", "done, at this tick"],
      ["ready", "○", "ready"],
      ["wait", "·", "waits"],
    ].flatMap(([standing, symbol, words]) => [h("span", { class: "cx-work-key", "data-standing": standing }, symbol), words]),
    h("span", { class: "cx-work-key", "data-mark": "input" }, ""),
    "what the followed box needs",
  );
  const endedRows = h("tbody", {});
  const endedTable = h(
    "table",
    { class: "cx-sums cx-ended" },
    h("caption", {}, "Ticks, seen to the end"),
    h("thead", {}, h("tr", {}, ...["mode", "layers", "processors", ...titles].map((head) => h("th", { scope: "col" }, head)))),
    endedRows,
  );
  const measure = button("Measure on this machine", () => {
    setText(times.ratio, "Waiting for Python: the networks compute.");
    askAfter("measure", { layers: layers() });
  });
  const times = { heads: [0, 1].map(() => h("th", { scope: "col" })), ratio: h("p", { role: "status" }) };
  times.cells = Array.from({ length: 3 }, () => [h("th", { scope: "row" }), h("td", {}), h("td", {})]);
  times.table = h(
    "table",
    { class: "cx-sums cx-times" },
    h("caption", {}, "Milliseconds, forward and backward"),
    h("thead", {}, h("tr", {}, h("td", {}), ...times.heads)),
    h("tbody", {}, ...times.cells.map((line) => h("tr", {}, ...line))),
  );

  body.append(
    h("div", { class: "cx-bar" }, labelled("Mode", mode), labelled("Layers", layerCount), labelled("Processors of each", processorCount)),
    h("div", { class: "cx-cut" }, h("label", { for: text.id, class: "cx-label" }, "Your text"), text),
    note,
    h("div", { class: "cx-bar cx-actions" }, guessField, guessed),
    h("div", { class: "cx-replay" }, h("label", { for: clock.id }, "Clock"), clock, now, back, next, last),
    ...works.map(({ node }) => node),
    legend,
    trace,
    about,
    h("div", { class: "cx-gaps" }, h("div", {}, endedTable), h("div", {}, measure, times.table, times.ratio)),
  );

  // ------------------------------------------------------------------------------------------------ what is asked
  /** Choose; another setting puts the clock back. */
  function choose(changes, isSetting = true) {
    const all = isSetting ? { ...changes, tick: 0, guess: 0 } : changes;
    for (const [trait, value] of Object.entries(all)) model.set(trait, value);
    model.save_changes();
  }
  function turnTo(wanted) {
    const to = Math.min(Math.max(wanted, 0), end());
    const key = settingKey();
    const isNew = to === end() && !model.get("ended").includes(key);
    choose({ tick: to, ...(isNew ? { ended: [...model.get("ended"), key] } : {}) }, false);
    drawClock(); // the handle may have been pulled past the end, where nothing changes
  }
  const follow = (l, t) => {
    if (l !== layer() || t !== token()) choose({ layer: l, token: t }, false);
  };
  const onSpace = (event) => {
    if (event.key !== " " || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    turnTo(tick() + (event.shiftKey ? -1 : 1));
  };
  for (const part of [clock, ...works.map(({ rows }) => rows)]) part.addEventListener("keydown", onSpace);

  // ------------------------------------------------------------------------------------------------ what is drawn
  let built = null;

  function rebuild() {
    for (const work of works) {
      work.cells = Array.from({ length: layers() }, (_, l) =>
        names().map((__, t) => {
          const cell = h("td", { role: "gridcell" });
          for (const type of ["focus", "mouseenter"]) cell.addEventListener(type, () => follow(l, t));
          return cell;
        }),
      );
      const words = model.get("state").words.map((word) => h("th", { scope: "col", role: "columnheader" }, h("bdi", {}, word)));
      work.heads.replaceChildren(h("td", { role: "presentation" }), ...words);
      work.rows.replaceChildren(...work.cells.map((line, l) => h("tr", {}, h("th", { scope: "row", role: "rowheader" }, `layer ${l}`), ...line)));
      grid(work.cells);
    }
  }

  /** Of each box of a network how it stands at this tick, the symbol of that, and a sentence. */
  function standings(way) {
    const at = ticks(way);
    return at.map((own, i) => {
      const missing = plan()[way].waits[i].filter((needed) => at[needed] > tick()).length;
      if (own < tick()) return ["done", String(own), `It worked at tick ${own}.`];
      if (own === tick()) return ["work", String(own), "It works now."];
      if (missing === 0) return ["ready", "○", "It is ready."];
      return ["wait", "·", `It waits; still missing: ${missing}.`];
    });
  }

  function drawClock() {
    clock.max = names().length * layers(); // all cells in turn: never more
    clock.value = tick();
    setText(now, `Tick ${tick()}`);
    setAttribute(clock, "aria-valuetext", `Tick ${tick()}`);
    setAttribute(back, "aria-disabled", tick() === 0 ? "true" : null);
    for (const part of [next, last]) setAttribute(part, "aria-disabled", tick() === end() ? "true" : null);
  }

  /** Draw one network; returns its part of the text, and what is said of the followed box. */
  function drawWork({ way, title, status, cells }) {
    const found = standings(way);
    const width = names().length;
    const followed = layer() * width + token();
    const needed = plan()[way].waits[followed];
    cells.forEach((line, l) =>
      line.forEach((cell, t) => {
        const i = l * width + t;
        const [standing, symbol] = found[i];
        setText(cell, symbol);
        setAttribute(cell, "data-standing", standing);
        setAttribute(cell, "data-mark", i === followed ? "result" : needed.includes(i) ? "input" : null);
        const worked = standing === "done" || standing === "work" ? ` tick ${symbol}` : "";
        setAttribute(cell, "aria-label", `${names()[t]}, layer ${l}: ${STANDINGS[standing]}${worked}`);
        cell.tabIndex = i === followed ? 0 : -1;
      }),
    );
    const count = (standing) => found.filter(([other]) => other === standing).length;
    const counts = Object.entries(STANDINGS).map(([standing, words]) => `${words}: ${count(standing)}`);
    const isDone = tick() >= endOf(ticks(way));
    const said = isDone ? plan()[way].end[processors()] : `Boxes ${counts.join(", ")}.`;
    setText(status, said);
    const rows = cells.map((_, l) => {
      const line = names().map((name, t) => {
        const [standing, symbol] = found[l * width + t];
        return `${name} ${symbol}${standing === "work" ? " now" : ""}`;
      });
      return `Layer ${l}: ${line.join(" | ")}`;
    });
    return { lines: ["", `${title}: ${said}`, ...rows], followed: `${title}: ${plan()[way].needs[followed]} ${found[followed][2]}` };
  }

  /** The settings that were seen to their end; returns them as text. */
  function drawEnded() {
    const ended = model.get("ended").map((key) => {
      const [n, how, p] = key.split(",");
      const found = ways.map(([way]) => endOf(model.get("plans")[`${n},${how}`][way].ticks[p]));
      return [how, n, p, ...found];
    });
    while (endedRows.children.length < ended.length) endedRows.append(h("tr", {}, ...Array.from({ length: 5 }, () => h("td", {}))));
    [...endedRows.children].forEach((row, i) => {
      row.hidden = i >= ended.length;
      if (!row.hidden) ended[i].forEach((value, column) => setText(row.children[column], String(value)));
    });
    endedTable.hidden = ended.length === 0;
    return ended.map(([how, n, p, ...found]) => `Ticks for ${how}, layers ${n}, processors ${p}: ${titles.map((title, i) => `${title} ${found[i]}`).join(", ")}.`);
  }

  /** What was measured for these sizes; returns it as text. */
  function drawTimes() {
    const measured = model.get("measured")[timesKey()];
    times.table.hidden = !measured;
    setText(times.ratio, measured?.ratio ?? "");
    if (!measured) return "Times: not measured.";
    times.heads.forEach((head, i) => setText(head, measured.heads[i]));
    times.cells.forEach((line, i) => line.forEach((cell, j) => setText(cell, measured.rows[i][j])));
    return measured.text;
  }

  function draw() {
    const { text: given, about: words, note: leftOut } = model.get("state");
    typing.show(given);
    setText(about, words);
    setText(note, leftOut);
    layerCount.value = layers();
    processorCount.value = processors();
    mode.value = model.get("mode");
    const said = model.get("guess");
    guessField.hidden = model.get("told").includes(settingKey()); // nobody is asked what was just answered
    if (said !== Number(guess.value)) guess.value = said || "";
    const shape = JSON.stringify([layers(), model.get("state").words]);
    if (shape !== built) {
      built = shape;
      rebuild();
    }
    drawClock();
    const drawn = works.map(drawWork);
    const followed = [`Followed: ${names()[token()]}, layer ${layer()}.`, ...drawn.map((part) => part.followed)].join("\n");
    setText(trace, followed);
    const needed = endOf(ticks("transformer"));
    const isAnswered = said > 0 && tick() >= needed;
    setText(guessed, isAnswered ? `You said ${said} for the Transformer; it took ${needed}.` : "");
    const settings = `Layers: ${layers()}. Processors: ${processors()}. Mode: ${model.get("mode")}. Tick ${tick()}.`;
    setText(
      box.text,
      [
        `Words (${names().length}): ${names().join(" | ")}`,
        ...(leftOut ? [leftOut] : []),
        settings,
        ...drawn.flatMap(({ lines }) => lines),
        "",
        followed,
        ...(isAnswered ? [guessed.textContent] : []),
        "",
        ...drawEnded(),
        drawTimes(),
      ].join("\n"),
    );
    box.settle();
  }

  box.watch(draw, "state", "plans", "measured", "layers", "processors", "mode", "tick", "layer", "token", "guess", "ended", "told");
  return () => {
    typing.cancel();
    box.close();
  };
}

export default { render };
