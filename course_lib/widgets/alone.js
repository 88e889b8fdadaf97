// Widgets on a page without a kernel: each stands where its notebook shows it, as it was saved with the notebook.

const JUPYTER = "application/vnd.jupyter.widget";
const MINE = "Your prediction";
const NEEDS_KERNEL = "As it was saved: another input needs the notebook's kernel.";

const saved = JSON.parse(document.querySelector(`script[type="${JUPYTER}-state+json"]`)?.textContent ?? '{"state":{}}').state;
const models = new Map();
const modules = new Map();
const styles = new Set();

function modelOf(id) {
  if (!models.has(id)) models.set(id, new SavedModel(saved[id].state));
  return models.get(id);
}

/** A module from its text; the same text is one module. */
function moduleOf(text) {
  if (!modules.has(text)) modules.set(text, import(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))));
  return modules.get(text);
}

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== false) node.setAttribute(name, value === true ? "" : value);
  node.append(...children);
  return node;
}

async function explorer(id, el) {
  const model = modelOf(id);
  const style = model.get("_css") ?? "";
  if (!styles.has(style)) document.head.append(made("style", {}, style));
  styles.add(style);
  const found = await moduleOf(model.get("_esm"));
  const widget = typeof found.default === "function" ? await found.default() : (found.default ?? found);
  await widget.initialize?.({ model });
  await widget.render({ model, el });
  numberAlike(el.querySelector("section[aria-label]"));
}

/** Explorers of one name are told apart by their number on the page, whichever is there first. */
function numberAlike(shown) {
  shown.dataset.name = shown.getAttribute("aria-label");
  const alike = [...document.querySelectorAll("section[data-name]")].filter(({ dataset }) => dataset.name === shown.dataset.name);
  for (const [i, each] of alike.entries()) each.setAttribute("aria-label", i > 0 ? `${each.dataset.name}, ${i + 1}` : each.dataset.name);
}

// ---------------------------------------------------------------------------------------------- predictions

const outcomes = [...document.querySelectorAll(".course-outcome[data-asked]")];
const choices = new Map(); // by question: what is said of the answer that is chosen

const line = ({ text, at }) => made("li", { style: "list-style:none" }, made("a", { href: `#${at.id}` }, text));

/** Say beside its outcome what was chosen, and count it where the notebook counts. */
function tell(id, answer) {
  for (const box of outcomes.filter((each) => each.dataset.asked === id)) {
    const said = { ...JSON.parse(box.dataset.says)[answer], at: box };
    box.id ||= `result-of-${box.dataset.name}`;
    box.textContent = said.text;
    box.style.borderLeftColor = said.colour;
    choices.set(id, said);
    forget.hidden = false;
  }
  const all = [...new Set(outcomes.map((box) => choices.get(box.dataset.asked)))].filter(Boolean);
  if (all.length === 0) return;
  const held = all.filter(({ held }) => held).length;
  const first = `You made ${all.length} prediction${all.length > 1 ? "s" : ""}; ${held} held.`;
  for (const box of document.querySelectorAll(".course-predictions")) {
    box.replaceChildren(made("p", {}, made("strong", {}, first)), made("ul", {}, ...all.map(line)));
  }
}

/** Where a choice is kept for when the page is opened again. A browser may forbid it. */
function kept(name) {
  const key = `prediction ${name} of ${location.pathname}`;
  const attempt = (act) => {
    try {
      return act();
    } catch {
      return null;
    }
  };
  return {
    get: () => attempt(() => localStorage.getItem(key)),
    set: (answer) => attempt(() => localStorage.setItem(key, answer)),
    forget: () => attempt(() => localStorage.removeItem(key)),
  };
}

const forget = made("button", { type: "button", class: "course-skip", hidden: true }, "Forget my predictions on this page");
forget.addEventListener("click", () => {
  for (const { dataset } of outcomes) kept(dataset.name).forget();
  location.reload();
});
(document.querySelector(".course-predictions") ?? outcomes.at(-1))?.after(forget);

function prediction(id, el) {
  const { _options_labels: answers, index } = saved[id].state;
  const outcome = outcomes.find((each) => each.dataset.asked === id);
  const store = outcome && kept(outcome.dataset.name);
  const before = [store?.get(), answers[index ?? -1]].find((answer) => answers.includes(answer));
  const waiting = outcome ? [...document.querySelectorAll(".course-waits")].filter(({ dataset }) => dataset.for === outcome.dataset.name) : [];
  const skip = made("button", { type: "button", class: "course-skip" }, "Show it without a guess");
  const open = () => {
    for (const part of waiting) part.classList.add("is-open");
    skip.remove();
  };
  skip.addEventListener("click", open);
  const group = made("div", { class: "course-answers", role: "radiogroup", "aria-label": MINE });
  for (const answer of answers) {
    const button = made("input", { type: "radio", name: id, checked: answer === before });
    button.addEventListener("change", () => {
      store?.set(answer);
      tell(id, answer);
      open();
    });
    group.append(made("label", {}, button, answer));
  }
  el.append(group);
  if (waiting.length > 0) el.append(skip);
  if (before === undefined) return;
  tell(id, before);
  open();
}

// ---------------------------------------------------------------------------------------------- controls

/** A control as it was saved: what it would change, only the kernel knows. */
function control({ model_name: kind, state }) {
  const { value, min, max, step } = state;
  if (kind === "HTMLModel") {
    const node = made("div");
    node.innerHTML = value;
    return node;
  }
  if (kind === "FloatProgressModel" || kind === "IntProgressModel") return made("progress", { value: value - min, max: max - min });
  const shown = state._options_labels ? state._options_labels[state.index] : value;
  const isSlider = typeof value === "number" && kind.endsWith("SliderModel");
  const field = made("input", { disabled: true, ...(isSlider ? { type: "range", min, max, step, value } : { value: shown ?? "" }) });
  return made("label", { class: "course-control" }, state.description ?? "", field, isSlider ? String(value) : "");
}

const referred = (text) => text.replace("IPY_MODEL_", "");

async function mount(id, el) {
  const { model_name: kind, state } = saved[id];
  if (saved[referred(state.layout ?? "")]?.state.visibility === "hidden") return;
  if (kind === "AnyModel") await explorer(id, el);
  else if (kind === "RadioButtonsModel") prediction(id, el);
  else if (state.children) {
    const box = el.appendChild(made("div", { class: kind === "HBoxModel" ? "course-row" : "course-column" }));
    for (const child of state.children) await mount(referred(child), box.appendChild(made("div")));
  } else el.append(control(saved[id]));
}

for (const script of document.querySelectorAll(`script[type="${JUPYTER}-view+json"]`)) {
  const el = made("div", { class: "course-widget" });
  script.after(el);
  mount(JSON.parse(script.textContent).model_id, el).then(() => {
    if (el.querySelector(".course-control")) el.append(made("p", {}, NEEDS_KERNEL));
  });
}

// Who is led to a cell wants to see it.
const sought = document.getElementById(decodeURIComponent(location.hash.slice(1)));
for (let part = sought?.closest(".course-waits"); part; part = part.parentElement.closest(".course-waits")) part.classList.add("is-open");
sought?.scrollIntoView();
