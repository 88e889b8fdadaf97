// The attention stepper's page: shows the tables that Python computed, which numbers made a number, and asks for edits.

const STAGES = ["scores", "scale", "mask", "softmax", "mix"];
const HINT = "Point at a number, or move to it with Tab and the arrow keys, to see where it comes from.";
const PROJECT = "project";
const QKV = ["q", "k", "v"];

/** The cells that a number of a stage is computed from: [table, row, column], null for a whole row or column. */
function inputsOf(stage, row, column) {
  return {
    scores: [["q", row, null], ["k", column, null]],
    scale: [["scores", row, column]],
    mask: [["scale", row, column]],
    softmax: [["mask", row, null]],
    mix: [["softmax", row, null], ["v", null, column]],
    q: [["x", row, null], ["w_q", null, column]],
    k: [["x", row, null], ["w_k", null, column]],
    v: [["x", row, null], ["w_v", null, column]],
  }[stage];
}

function render({ model, el }) {
  const box = frame({ model, el, title: "Attention, step by step", textLabel: "The tables as text" });
  const { body, ask } = box;
  const trace = h("p", { class: "cx-trace", role: "status" }, HINT);

  const back = h("button", { type: "button", class: "cx-button", onclick: () => go(-1) }, "◀ Back");
  const next = h("button", { type: "button", class: "cx-button cx-primary", onclick: () => go(1) }, "Next ▶");
  // What a reader may change is q, k and v, or x and the matrices that make them: then that is the first step.
  const inputNames = model.get("state").input_names;
  const made = inputNames.includes("x") ? QKV : [];
  const stageNames = made.length ? [PROJECT, ...STAGES] : STAGES;
  const steps = stageNames.map((name, i) =>
    h("button", { type: "button", class: "cx-step", "data-stage": name, onclick: () => setStage(name) }, `${i + 1} ${name[0].toUpperCase()}${name.slice(1)}`),
  );
  const maskId = uniqueId("mask");
  const mask = h(
    "select",
    { id: maskId, class: "cx-select", onchange: () => set("mask", mask.value) },
    h("option", { value: "off" }, "off: all may see all"),
    h("option", { value: "causal" }, "causal: no later tokens"),
    h("option", { value: "custom" }, "custom: choose each pair"),
  );
  const reset = h("button", { type: "button", class: "cx-button", onclick: restart }, "Reset numbers");
  const inputs = h("div", { class: "cx-row cx-inputs" });
  const projections = h("div", { class: "cx-row cx-inputs", hidden: !made.length });
  const outputs = h("div", { class: "cx-row" });
  body.append(
    h(
      "div",
      { class: "cx-bar" },
      h("div", { class: "cx-steps", role: "group", "aria-label": "Stage" }, back, ...steps, next),
      h("span", { class: "cx-field" }, h("label", { for: maskId }, "Mask"), mask),
      reset,
    ),
    inputs,
    projections,
    outputs,
    trace,
  );

  let tables = {};
  let shape = "";
  let selected = null;

  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const setStage = (name) => set("stage", name);
  const go = (by) => setStage(stageNames[Math.min(Math.max(stageNames.indexOf(model.get("stage")) + by, 0), stageNames.length - 1)]);
  const stages = () => model.get("state").stages[model.get("mask")];
  /** The computed tables, each with its sentences: q, k and v where they are made from x, then the stages. */
  const computed = () => [...model.get("state").projections, ...stages()];
  const computedNames = [...made, ...STAGES];
  const drawnNames = () => computedNames.slice(0, stageNames.indexOf(model.get("stage")) + (made.length || 1));

  function restart() {
    for (const name of inputNames) {
      for (const field of [...tables[name].names, ...tables[name].cells].flat()) revert(field);
    }
    ask("reset");
  }

  /** An input table: numbers (and token names) in text fields. */
  function inputTable(name, rows, columns) {
    const state = model.get("state");
    const side = name === "q" || name === "x" ? "tokens" : name === "k" && !state.self_attention ? "key_tokens" : null;
    const names = [];
    const heads = rows.map((_, row) => {
      const head = h("th", { scope: "row" });
      if (side !== null) {
        const field = h("input", { type: "text", class: "cx-name", size: 6, maxlength: 12, "aria-label": `Name of token ${row + 1}`, autocomplete: "off", spellcheck: "false" });
        editable(field, (text) => ask("name", { side, row, text }));
        names.push([field]);
        head.append(field);
      }
      return head;
    });
    const cells = rows.map((_, row) =>
      columns.map((_, column) => {
        const field = h("input", { type: "text", inputmode: "decimal", class: "cx-number", size: 4, autocomplete: "off", spellcheck: "false" });
        editable(field, (text) => ask("edit", { array: name, row, column, text }));
        field.addEventListener("focus", () => select(null));
        return field;
      }),
    );
    grid(cells);
    if (names.length) grid(names);
    const holders = cells.map((line) => line.map((cell) => h("td", {}, cell)));
    const node = h(
      "table",
      { class: "cx-table", "data-table": name },
      h("caption", {}, h("strong", {}, state.roles[name].title), h("span", { class: "cx-formula" }, state.roles[name].meaning)),
      h("thead", {}, h("tr", {}, h("td", {}), ...columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, ...rows.map((_, row) => h("tr", {}, heads[row], ...holders[row]))),
    );
    return { node, heads, cells, holders, names };
  }

  /** Send on Enter or when the field is left; Escape brings the last good text back. */
  function editable(field, send) {
    let sent = null;
    const commit = async () => {
      const text = field.value;
      if (text === field.dataset.value || text === sent) return;
      sent = text;
      const state = await send(text);
      sent = null;
      if (field.value !== text) return;
      if (state.error) {
        setAttribute(field, "aria-invalid", "true");
      } else {
        field.value = field.dataset.value;
        setAttribute(field, "aria-invalid", null);
      }
    };
    field.addEventListener("focus", () => field.select());
    field.addEventListener("blur", commit);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") commit();
      if (event.key !== "Escape") return;
      revert(field);
      field.select();
    });
  }

  function revert(field) {
    field.value = field.dataset.value;
    setAttribute(field, "aria-invalid", null);
  }

  function stageTable(name, rows, columns) {
    const heads = rows.map(() => h("th", { scope: "row", role: "rowheader" }));
    const columnHeads = columns.map(() => h("th", { scope: "col", role: "columnheader" }));
    const cells = rows.map((_, row) =>
      columns.map((_, column) => {
        const cell = h("td", { role: "gridcell", class: "cx-cell" }, h("span", { class: "cx-value" }));
        cell.addEventListener("mouseenter", () => select([name, row, column]));
        cell.addEventListener("mouseleave", () => select(focused()));
        cell.addEventListener("focus", () => select([name, row, column]));
        cell.addEventListener("mousedown", () => cell.focus());
        if (name === "mask") {
          const toggle = () => (model.get("mask") === "custom" ? ask("toggle", { row, column }) : null);
          cell.addEventListener("click", toggle);
          cell.addEventListener("keydown", (event) => {
            if (event.key !== " " && event.key !== "Enter") return;
            event.preventDefault();
            toggle();
          });
        }
        return cell;
      }),
    );
    grid(cells);
    const title = h("strong");
    const formula = h("span", { class: "cx-formula" });
    const node = h(
      "table",
      { class: "cx-table", role: "grid", "data-table": name },
      h("caption", {}, title, formula),
      h("thead", {}, h("tr", {}, h("td", { role: "presentation" }), ...columnHeads)),
      h("tbody", {}, ...rows.map((_, row) => h("tr", {}, heads[row], ...cells[row]))),
    );
    return { node, heads, columnHeads, cells, holders: cells, title, formula };
  }

  function focused() {
    const place = document.activeElement?.closest?.(".cx-cell");
    if (!place || !box.root.contains(place)) return null;
    for (const name of computedNames) {
      for (const [row, line] of (tables[name]?.cells ?? []).entries()) {
        const column = line.indexOf(place);
        if (column >= 0) return [name, row, column];
      }
    }
    return null;
  }

  function select(place) {
    selected = place;
    drawSelection();
  }

  function drawSelection() {
    const marked = new Set();
    let sentence = HINT;
    if (selected !== null) {
      const [name, row, column] = selected;
      const stage = computed()[computedNames.indexOf(name)];
      sentence = stage.traces[row][column];
      if (name === "mask" && model.get("mask") === "custom") sentence += ". Click, Space or Enter changes it.";
      for (const [table, r, c] of inputsOf(name, row, column)) {
        tables[table].holders.forEach((line, i) =>
          line.forEach((cell, j) => ((r === null || r === i) && (c === null || c === j) ? marked.add(cell) : null)),
        );
      }
    }
    for (const [name, table] of Object.entries(tables)) {
      table.holders.forEach((line, row) =>
        line.forEach((cell, column) => {
          const chosen = selected !== null && selected[0] === name && selected[1] === row && selected[2] === column;
          setAttribute(cell, "data-mark", chosen ? "result" : marked.has(cell) ? "input" : null);
        }),
      );
    }
    setText(trace, sentence);
  }

  function build() {
    const state = model.get("state");
    const columns = (rows) => rows[0].map((_, i) => String(i + 1));
    tables = {};
    for (const name of inputNames) tables[name] = inputTable(name, state.inputs[name], columns(state.inputs[name]));
    for (const projection of state.projections) tables[projection.name] = stageTable(projection.name, state.tokens, projection.columns);
    for (const [i, name] of STAGES.entries()) tables[name] = stageTable(name, state.tokens, state.stages.off[i].columns);
    inputs.replaceChildren(...inputNames.map((name) => tables[name].node));
    projections.replaceChildren(...made.map((name) => tables[name].node));
    outputs.replaceChildren(...STAGES.map((name) => tables[name].node));
    selected = null;
  }

  function draw() {
    const state = model.get("state");
    const widths = inputNames.map((name) => [state.inputs[name].length, state.inputs[name][0].length]);
    const now = JSON.stringify([state.tokens.length, state.self_attention, widths]);
    if (now !== shape) {
      shape = now;
      build();
    }
    const last = stageNames.indexOf(model.get("stage"));
    const drawn = drawnNames();
    for (const name of inputNames) drawInputs(name);
    for (const [i, name] of computedNames.entries()) {
      const isCurrent = stageNames[last] === (made.includes(name) ? PROJECT : name);
      drawStage(name, computed()[i], drawn.includes(name), isCurrent);
    }
    steps.forEach((step, i) => {
      setAttribute(step, "aria-current", i === last ? "step" : null);
      setAttribute(step, "data-done", i < last);
    });
    // aria-disabled instead of disabled: a button that vanishes from under the focus leaves the keyboard nowhere.
    setAttribute(back, "aria-disabled", last === 0 ? "true" : null);
    setAttribute(next, "aria-disabled", last === stageNames.length - 1 ? "true" : null);
    mask.value = model.get("mask");
    setText(box.text, computed().slice(0, drawn.length).map((stage) => stage.text).join("\n\n"));
    if (selected !== null && !drawn.includes(selected[0])) selected = null;
    drawSelection();
    box.settle();
  }

  function drawInputs(name) {
    const state = model.get("state");
    const table = tables[name];
    const isMatrix = name.startsWith("w_");
    const names = name === "q" || name === "x" ? state.tokens : state.key_tokens;
    table.heads.forEach((head, row) => {
      const field = table.names[row]?.[0];
      if (field) fill(field, names[row]);
      else setText(head, isMatrix ? String(row + 1) : names[row]);
    });
    table.cells.forEach((line, row) =>
      line.forEach((field, column) => {
        fill(field, state.inputs[name][row][column]);
        const place = isMatrix ? `${state.roles[name].title}, row ${row + 1}, column ${column + 1}` : `${name} of ${names[row]}, dimension ${column + 1}`;
        setAttribute(field, "aria-label", place);
      }),
    );
  }

  function drawStage(name, stage, isDrawn, isCurrent) {
    const table = tables[name];
    table.node.hidden = !isDrawn;
    setAttribute(table.node, "data-current", isCurrent);
    setAttribute(table.node, "aria-label", `${stage.title}, ${stage.formula}`);
    setText(table.title, stage.title);
    setText(table.formula, stage.formula);
    table.heads.forEach((head, row) => setText(head, model.get("state").tokens[row]));
    table.columnHeads.forEach((head, column) => setText(head, stage.columns[column]));
    table.cells.forEach((line, row) =>
      line.forEach((cell, column) => {
        const value = stage.values?.[row][column];
        setText(cell.firstChild, stage.cells[row][column]);
        setAttribute(cell, "data-masked", value === null);
        if (name === "softmax") cell.style.setProperty("--cx-share", `${100 * value}%`);
        setAttribute(cell, "data-toggle", name === "mask" && model.get("mask") === "custom");
      }),
    );
  }

  /** Show the model's text in a field, unless the reader is in the middle of typing another one. */
  function fill(field, text) {
    if (field.value === (field.dataset.value ?? "") || field.value === text) field.value = text;
    field.dataset.value = text;
  }

  for (const name of ["state", "stage", "mask"]) model.on(`change:${name}`, draw);
  draw();
  return () => {
    for (const name of ["state", "stage", "mask"]) model.off(`change:${name}`, draw);
    box.close();
  };
}

export default { render };
