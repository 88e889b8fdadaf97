// The patch explorer's page: draws the picture from the bytes and places that Python sent, and asks for what is drawn.

const DRAW = "draw";
const LARGEST_PICTURE = 480; // CSS pixels
const LARGEST_TOKEN = 140;
const LEAST_FOR_NUMBERS = [22, 16]; // width and height of a token, in CSS pixels
const LEAST_FOR_LINES = 4;
const LINE = "#56b4e9"; // as --cx-token: on a picture, in both themes
const WAYS = [
  ["left", 0, -1],
  ["right", 0, 1],
  ["up", -1, 0],
  ["down", 1, 0],
];

function render({ model, el }) {
  const box = frame({ model, el, title: "Patches", textLabel: "The tokens as text" });
  const { body, ask, askAfter, set } = box;

  const sheetView = () => model.get("state").sheet;
  const view = () => (model.get("source") === DRAW ? sheetView() : model.get("pictures")[model.get("source")]);
  const cut = () => view().cuts[model.get("cut")] ?? view().cuts[view().default];

  // Unpacked once for each picture and cut.
  let pixels = null;
  let starts = null;
  let offsets = null;
  let order = null;
  let vectors = null;
  let unpackedView = null;
  let unpackedCut = null;
  const opened = () => Math.min(model.get("opened"), starts.length - 1);

  const source = h("select", { id: uniqueId("source"), class: "cx-select", onchange: () => set("source", source.value) });
  const file = h("input", { id: uniqueId("file"), type: "file", accept: "image/*", class: "cx-file", onchange: () => send(file.files[0]) });
  const size = h("select", { id: uniqueId("cut"), class: "cx-select", onchange: () => set("cut", size.value) });
  const numbered = h("input", { id: uniqueId("numbered"), type: "checkbox", onchange: () => set("numbered", numbered.checked) });
  const shuffle = h("button", { type: "button", class: "cx-button", onclick: () => set("shuffled", !model.get("shuffled")) });
  const about = h("p", { id: uniqueId("about"), class: "cx-about" });
  const reading = h("p", { class: "cx-reading", role: "status" });
  const stands = h("p", { class: "cx-about" });
  const moving = h(
    "div",
    { class: "cx-moving", role: "group", "aria-label": "Move by one pixel" },
    h(
      "div",
      { class: "cx-bar" },
      h(
        "span",
        { class: "cx-field" },
        "Move:",
        ...WAYS.map(([way, down, right]) =>
          h("button", { type: "button", class: "cx-button", "aria-label": `Move ${way}`, onclick: () => move("move", { down, right }) }, way),
        ),
      ),
      h("button", { type: "button", class: "cx-button", onclick: () => move("back") }, "Back in place"),
    ),
    stands,
  );
  const origin = h("p", { class: "cx-note" });
  const counts = h("p", { class: "cx-counts", role: "status" });
  const cost = h("p", {});
  const note = h("p", { class: "cx-note" }, "The tokens are too small here for their numbers.");
  const canvas = h("canvas", {});
  const picture = h(
    "div",
    { class: "cx-picture", role: "slider", tabindex: "0", "aria-label": "Opened token", "aria-valuemin": "1", "aria-describedby": about.id },
    canvas,
  );
  const title = h("p", { class: "cx-title" });
  const close = h("canvas", { class: "cx-token", "aria-hidden": "true" });
  const channels = h("div", { class: "cx-row cx-values" });
  const row = h("p", { class: "cx-numbers" });
  const vector = h("p", { class: "cx-numbers" });
  const excerpt = h("p", { class: "cx-note" });
  const sheet = drawingSheet();
  body.append(
    reading,
    moving,
    h("div", { class: "cx-bar" }, labelled("Picture", source), labelled("or one from a file", file)),
    h(
      "div",
      { class: "cx-bar cx-cut" },
      labelled("One token is", size),
      h("span", { class: "cx-field" }, numbered, h("label", { for: numbered.id }, "order numbers")),
      shuffle,
    ),
    about,
    sheet.node,
    h(
      "div",
      { class: "cx-sides" },
      h("div", { class: "cx-side" }, picture, note, origin, counts, cost),
      h("div", { class: "cx-side" }, title, h("div", { class: "cx-row cx-values" }, h("div", { class: "cx-close" }, close), channels), row, vector, excerpt),
    ),
  );

  async function send(chosen) {
    if (!chosen) return;
    let data = "";
    if (chosen.size <= model.get("state").largest_file) {
      const address = await new Promise((resolve) => {
        const reader = new FileReader();
        reader.onloadend = () => resolve(reader.result ?? "");
        reader.readAsDataURL(chosen);
      });
      data = address.slice(address.indexOf(",") + 1);
    }
    await ask("picture", { name: chosen.name, size: chosen.size, data });
    file.value = ""; // so that the same file can be chosen again
  }

  // One after the other: each goes on from where the last one left the picture.
  let moved = Promise.resolve();
  function move(kind, fields) {
    moved = moved.then(() => askAfter(kind, fields));
  }

  /** The token at a place of the picture, and back. */
  const placeOf = (token) => (model.get("shuffled") ? order.indexOf(token) : token);
  const tokenAt = (place) => (model.get("shuffled") ? order[place] : place);
  const open = (place) => set("opened", tokenAt(place));

  picture.addEventListener("pointerdown", (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const [rows, columns] = cut().grid;
    const at = (share, n) => Math.min(Math.max(Math.floor(share * n), 0), n - 1);
    open(at((event.clientY - top) / height, rows) * columns + at((event.clientX - left) / width, columns));
  });
  picture.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey || event.shiftKey) return;
    const [rows, columns] = cut().grid;
    const place = placeOf(opened());
    let [r, c] = [Math.floor(place / columns), place % columns];
    if (event.key in MOVES && !event.ctrlKey) {
      const [down, right] = MOVES[event.key];
      [r, c] = [r + down, c + right];
      if (r < 0 || r >= rows || c < 0 || c >= columns) [r, c] = [Math.floor(place / columns), place % columns];
    } else if (event.key === "Home") [r, c] = [event.ctrlKey ? 0 : r, 0];
    else if (event.key === "End") [r, c] = [event.ctrlKey ? rows - 1 : r, columns - 1];
    else return;
    event.preventDefault();
    open(r * columns + c);
  });

  /** Paint numbers of the picture, each at its place, as an image of `height` times `width` pixels. */
  function painted(height, width, placesAndNumbers) {
    const image = new ImageData(width, height);
    const { channels: names, full, is_ink: isInk } = view();
    const grey = names.length === 1;
    image.data.fill(255);
    for (const [place, number] of placesAndNumbers) {
      const share = isInk ? 1 - number / full : number / full;
      const at = 4 * (place % (height * width));
      if (grey) image.data.fill(255 * share, at, at + 3);
      else image.data[at + Math.floor(place / (height * width))] = 255 * share;
    }
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(image, 0, 0);
    return small;
  }

  /** Every place of every token, with the number of the token that stands there. */
  function* whole() {
    for (let place = 0; place < starts.length; place += 1) {
      const from = starts[tokenAt(place)];
      for (const offset of offsets) yield [starts[place] + offset, pixels[from + offset]];
    }
  }

  /** Size a canvas to `largest` CSS pixels or to what its box has, and fill it with a part of a small image. */
  function enlarge(target, small, height, width, largest) {
    const room = Math.min(largest, target.parentElement.clientWidth || largest);
    const side = Math.min(room / width, largest / height);
    const pen = sized(target, width * side, height * side);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, width, height, 0, 0, width * side, height * side);
    return { pen, side };
  }

  let small = null; // the picture pixel by pixel, in order or not
  let isSmallShuffled = false;

  function drawPicture() {
    const [rows, columns] = cut().grid;
    const [tall, wide] = cut().tile;
    const { pen, side } = enlarge(canvas, small, rows * tall, columns * wide, LARGEST_PICTURE);
    const [width, height] = [wide * side, tall * side];
    if (Math.min(width, height) >= LEAST_FOR_LINES) {
      pen.strokeStyle = LINE;
      pen.lineWidth = 1;
      pen.beginPath();
      for (let c = 0; c <= columns; c += 1) {
        pen.moveTo(c * width, 0);
        pen.lineTo(c * width, rows * height);
      }
      for (let r = 0; r <= rows; r += 1) {
        pen.moveTo(0, r * height);
        pen.lineTo(columns * width, r * height);
      }
      pen.stroke();
    }
    const fits = width >= LEAST_FOR_NUMBERS[0] && height >= LEAST_FOR_NUMBERS[1];
    if (model.get("numbered") && fits) {
      pen.font = "bold 12px sans-serif";
      pen.textBaseline = "top";
      for (let place = 0; place < starts.length; place += 1) {
        const text = String(tokenAt(place) + 1);
        const [x, y] = [(place % columns) * width, Math.floor(place / columns) * height];
        pen.fillStyle = "#ffffffd9";
        pen.fillRect(x + 1, y + 1, pen.measureText(text).width + 4, 14);
        pen.fillStyle = "#000000";
        pen.fillText(text, x + 3, y + 2);
      }
    }
    note.hidden = fits || !model.get("numbered");
    const place = placeOf(opened());
    const [x, y] = [(place % columns) * width, Math.floor(place / columns) * height];
    // Black around white is seen on every picture.
    for (const [colour, line] of [["#000000", 5], ["#ffffff", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.strokeRect(x, y, width, height);
    }
  }

  /** The opened token: enlarged, its numbers by channel, as one row, and its vector; returns the same as text. */
  function drawToken() {
    const { kind, grid: [, columns], tile: [tall, wide], shown: [lines, line], shown_of_row: most } = cut();
    const token = opened();
    const where = Array.from(offsets, (offset) => starts[token] + offset);
    const numbers = where.map((place) => pixels[place]);
    const place = kind === "Row" ? "" : `: row ${Math.floor(token / columns) + 1}, column ${(token % columns) + 1}`;
    setText(title, `${kind} ${token + 1} of ${starts.length}${place}`);
    enlarge(close, painted(tall, wide, numbers.entries()), tall, wide, LARGEST_TOKEN);
    const squares = view().channels.map((name, c) => ({
      name,
      rows: Array.from({ length: lines }, (_, r) => numbers.slice((c * tall + r) * wide, (c * tall + r) * wide + line)),
    }));
    channels.replaceChildren(
      ...squares.map(({ name, rows }) =>
        h(
          "table",
          { class: "cx-pixels", "data-channel": name },
          h("caption", {}, name),
          h("tbody", {}, ...rows.map((values) => h("tr", {}, ...values.map((value) => h("td", {}, value))))),
        ),
      ),
    );
    const width = vectors.length / starts.length;
    const thousandths = Array.from(vectors.subarray(token * width, (token + 1) * width));
    const texts = {
      row: `Flattened: ${numbers.slice(0, most).join(" ")}${most < numbers.length ? " …" : ""}`,
      vector: `${cut().vector_text}: ${thousandths.map((n) => (n / 1000).toFixed(3).replace("-", "−")).join(" ")}`,
    };
    setText(row, texts.row);
    setText(vector, texts.vector);
    setText(excerpt, cut().excerpt);
    return [
      title.textContent,
      ...squares.flatMap(({ name, rows }) => [`${name}:`, ...rows.map((values) => values.join(" "))]),
      texts.row,
      texts.vector,
      ...(cut().excerpt ? [cut().excerpt] : []),
    ];
  }

  /** The empty sheet: drawn on with the pen, or cell by cell from the keyboard. */
  function drawingSheet() {
    const [, height, width] = sheetView().shape;
    const cells = Array.from({ length: height }, (_, r) =>
      Array.from({ length: width }, (_, c) => {
        const cell = h("td", { role: "gridcell", class: "cx-ink" });
        cell.addEventListener("keydown", (event) => {
          if (event.altKey || event.metaKey || event.ctrlKey) return;
          const full = sheetView().full;
          const change = { d: 1, l: -1, " ": cell.dataset.grey === String(full) ? -full : full }[event.key.toLowerCase()];
          if (change === undefined) return;
          event.preventDefault();
          ask("grey", { row: r, column: c, change });
        });
        return cell;
      }),
    );
    grid(cells);
    const table = h(
      "table",
      { class: "cx-sheet", role: "grid", "aria-label": "Sheet to draw on" },
      h("tbody", {}, ...cells.map((line) => h("tr", {}, ...line))),
    );
    const erase = h("input", { id: uniqueId("erase"), type: "checkbox" });
    const clear = h("button", { type: "button", class: "cx-button", onclick: () => ask("clear") }, "Clear");
    const hint = h("p", { class: "cx-note" }, "Draw with the mouse. Keys: arrows move, D darker, L lighter, Space full ink or none.");
    const node = h(
      "div",
      { class: "cx-row" },
      table,
      h("div", { class: "cx-drawing" }, hint, h("div", { class: "cx-bar cx-cut" }, h("span", { class: "cx-field" }, erase, h("label", { for: erase.id }, "rub out")), clear)),
    );

    // The pen's way since the last answer; one question at a time, however fast the pen is.
    let way = [];
    let isAsking = false;
    const at = (event) => {
      const { left, top, width: wide, height: tall } = table.getBoundingClientRect();
      return [((event.clientX - left) / wide) * width, ((event.clientY - top) / tall) * height];
    };
    async function flush() {
      if (isAsking) return;
      isAsking = true;
      while (way.length > 0) {
        const points = way;
        way = [];
        await ask("stroke", { points, erase: erase.checked });
      }
      isAsking = false;
    }
    let last = null;
    table.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      table.setPointerCapture(event.pointerId);
      last = at(event);
      way.push(last);
      flush();
    });
    table.addEventListener("pointermove", (event) => {
      if (last === null) return;
      if (way.length === 0) way.push(last); // the way goes on where it was cut off
      last = at(event);
      way.push(last);
      flush();
    });
    for (const type of ["pointerup", "pointercancel"]) table.addEventListener(type, () => (last = null));

    const draw = () => {
      const { pixels: packed, full } = sheetView();
      const greys = unpacked(packed, Uint8Array);
      cells.flat().forEach((cell, i) => {
        setAttribute(cell, "data-grey", String(greys[i]));
        setAttribute(cell, "aria-label", `row ${Math.floor(i / width) + 1}, column ${(i % width) + 1}: grey ${greys[i]} of ${full}`);
        cell.style.setProperty("--cx-grey", `${(100 * greys[i]) / full}%`);
      });
    };
    return { node, draw };
  }

  function drawChoices() {
    setOptions(source, [...model.get("state").names.map((name) => [name, name]), [DRAW, "draw one"]]);
    // An object's keys that are numbers come first, in their order.
    setOptions(size, Object.entries(view().cuts).map(([key, { label }]) => [key, label]));
    source.value = model.get("source");
    size.value = model.get("cut") in view().cuts ? model.get("cut") : view().default;
    numbered.checked = model.get("numbered");
    setText(shuffle, model.get("shuffled") ? "Back in order" : "Shuffle");
    sheet.node.hidden = model.get("source") !== DRAW;
  }

  function draw() {
    drawChoices();
    const isNew = unpackedView !== view() || unpackedCut !== cut();
    if (isNew) {
      [unpackedView, unpackedCut] = [view(), cut()];
      pixels = unpacked(view().pixels, Uint8Array);
      [starts, offsets, order, vectors] = ["starts", "offsets", "order", "vectors"].map((name) => unpacked(cut()[name], Int32Array));
    }
    if (isNew || isSmallShuffled !== model.get("shuffled")) {
      isSmallShuffled = model.get("shuffled");
      small = painted(view().shape[1], view().shape[2], whole());
    }
    const { reading: read, place } = view();
    reading.hidden = moving.hidden = read === null;
    setText(reading, read ?? "");
    setText(stands, place);
    setText(about, model.get("state").about);
    setText(origin, view().text);
    setText(counts, cut().text);
    setText(cost, cut().cost);
    sheet.draw();
    drawPicture();
    const token = drawToken();
    setAttribute(picture, "aria-valuemax", starts.length);
    setAttribute(picture, "aria-valuenow", opened() + 1);
    setAttribute(picture, "aria-valuetext", title.textContent);
    const { text_shuffled: isShuffled, text_in_order: inOrder } = cut();
    setText(box.text, [...(read === null ? [] : [read, place]), view().text, cut().text, cut().cost, model.get("shuffled") ? isShuffled : inOrder, "", ...token].join("\n"));
    box.settle();
  }

  const names = ["state", "source", "cut", "numbered", "shuffled", "opened"];
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  const watch = onWidth(picture, draw);
  return () => {
    watch.disconnect();
    for (const name of names) model.off(`change:${name}`, draw);
    box.close();
  };
}

export default { render };
