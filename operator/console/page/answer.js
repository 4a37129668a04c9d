// What an api answers, drawn: bars in the order of the answer, or a line from one place to the next. Beside the picture there
// are the parameters that it is asked with, and the same numbers as a table.

import { format, svg, ticks, widthOf } from "./chart.js";

const ASK_AGAIN = 10_000;
const [LEFT, RIGHT, TOP, BOTTOM] = [54, 10, 10, 22];
/** A line, and one that has more room: it is higher, and more of its places have names. */
const LINE = { height: 240, names: [0, 0.5, 1] }, WIDE_LINE = { height: 330, names: [0, 0.25, 0.5, 0.75, 1] };
const WIDE = 480;
/** Each bar with its name and its number above it. */
const BAR = { row: 36, name: 13, bar: 19, thick: 10, letter: 8.6 };

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export class Answer {
  /** `fetch` gives the points for parameters. */
  constructor({ title, unit, kind, by, value, path, parameters, locked, command }, fetch) {
    Object.assign(this, { unit: unit ?? "", kind, by, fetch, asked: 0, at: null, points: [] });
    this.inputs = parameters.map(({ name, value, description }) => element("input", { name, placeholder: value ?? "", title: description ?? "", autocomplete: "off", size: 12, onchange: () => this.refresh() }));
    this.controls = element("p", { className: "bar" }, ...this.inputs.map((input) => element("label", {}, input.name, input)));
    this.controls.hidden = parameters.length === 0 || locked;
    // A line can be walked along by keyboard.
    this.picture = svg("svg", { role: "img", class: `of-${kind}`, ...(kind === "line" ? { tabindex: 0 } : {}) });
    this.told = element("p", { className: "told" });
    this.rows = element("tbody");
    this.table = element("details", { hidden: true }, element("summary", { textContent: "As a table" }),
      element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col", textContent: by }), element("th", { scope: "col", className: "number", textContent: `${value}${this.unit ? `, ${this.unit}` : ""}` }))), this.rows));
    this.heading = element("h2", {}, title);
    if (this.unit) this.heading.append(", ", element("span", { className: "soft", textContent: this.unit }));
    this.frame = element("div", { className: "chart" }, this.picture);
    this.element = element("section", { className: "answer" }, this.heading, this.controls, this.frame, this.told, this.table,
      element("p", { className: "soft", textContent: `GET ${path}` }));
    this.locked = locked;
    if (locked) {
      this.frame.hidden = true;
      this.told.replaceChildren("This api demands a key, which the page does not have. Ask it with one of its Secret: ", element("code", { textContent: command }));
    }
    this.picture.addEventListener("pointermove", (event) => this.point(this.placeOf(event)));
    this.picture.addEventListener("pointerleave", () => this.point(null));
    this.picture.addEventListener("blur", () => this.point(null));
    this.picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || this.points.length === 0) return;
      event.preventDefault();
      const last = this.points.length - 1;
      this.point(this.at === null ? (step > 0 ? 0 : last) : Math.min(last, Math.max(0, this.at + step)));
    });
  }

  /** Asks again when the last answer is old. */
  tick() {
    if (!this.locked && Date.now() - this.asked > ASK_AGAIN) this.refresh();
  }

  async refresh() {
    this.asked = Date.now();
    // An answer that is overtaken by a later question's is not shown.
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const parameters = Object.fromEntries(this.inputs.filter((input) => input.value).map((input) => [input.name, input.value]));
    try {
      const { points, more } = await this.fetch(parameters);
      if (turn !== this.turn) return;
      Object.assign(this, { points, more, failed: null });
    } catch (error) {
      if (turn !== this.turn) return;
      this.failed = error.message;
    }
    this.draw();
  }

  point(at) {
    if (this.kind !== "line" || at === this.at) return;
    this.at = at;
    this.draw();
  }

  placeOf(event) {
    const box = this.picture.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    return share < -0.02 || share > 1.02 || this.points.length === 0 ? null : Math.min(this.points.length - 1, Math.max(0, Math.round(share * (this.points.length - 1))));
  }

  /** Draws again when there is other room for it. */
  fit() {
    if (!this.frame.hidden && widthOf(this.picture) !== this.width) this.draw();
  }

  draw() {
    const { points } = this;
    this.frame.hidden = points.length === 0;
    this.table.hidden = points.length === 0;
    this.width = widthOf(this.picture);
    if (this.kind === "line") this.drawLine(points, this.width); else this.drawBars(points, this.width);
    this.tell(points);
    const text = JSON.stringify(points);
    if (text !== this.drawn) this.rows.replaceChildren(...points.map(([name, value]) => element("tr", {}, element("td", { textContent: name }), element("td", { className: "number", textContent: exact(value) }))));
    this.drawn = text;
    const most = points.reduce((best, point) => ((point[1] ?? -Infinity) > (best?.[1] ?? -Infinity) ? point : best), null);
    this.picture.setAttribute("aria-label", `${this.heading.textContent}: ${points.length} ${this.kind === "line" ? "places" : "bars"}${most ? `, the most ${most[0]} with ${withUnit(format(most[1], ""), this.unit)}` : ""}`);
  }

  tell(points) {
    this.told.className = this.failed ? "trouble" : "told soft";
    if (this.failed) this.told.textContent = this.failed;
    else if (points.length === 0) this.told.textContent = "The answer is empty: nothing of this is stored yet.";
    else if (this.at !== null && points[this.at]) this.told.textContent = `${points[this.at][0]}: ${withUnit(exact(points[this.at][1]), this.unit)}`;
    else if (this.kind === "line") this.told.textContent = `${this.by} ${points[0][0]} to ${points[points.length - 1][0]}, in all ${withUnit(exact(points.reduce((sum, [, value]) => sum + (value ?? 0), 0)), this.unit)}`;
    else this.told.textContent = this.more ? `The first ${points.length}; there are more.` : "";
  }

  drawLine(points, width) {
    const values = points.map(([, value]) => value ?? 0);
    const grid = ticks(Math.max(0, ...values) || 1), top = grid[grid.length - 1];
    const line = width < WIDE ? LINE : WIDE_LINE;
    const low = Math.min(0, ...values), height = line.height - TOP - BOTTOM;
    const x = (place) => LEFT + ((width - LEFT - RIGHT) * place) / Math.max(1, points.length - 1);
    const y = (value) => TOP + height * (1 - (value - low) / (top - low));
    const drawn = grid.flatMap((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value, "")),
    ]);
    for (const place of new Set(line.names.map((share) => Math.round((points.length - 1) * share)))) {
      if (place < 0) continue;
      const anchor = place === 0 ? "start" : place === points.length - 1 ? "end" : "middle";
      drawn.push(svg("text", { x: x(place), y: line.height - 6, "text-anchor": anchor }, cut(points[place][0], 18)));
    }
    drawn.push(svg("path", { class: "s0", d: points.map(([, value], place) => `${place ? "L" : "M"}${x(place).toFixed(1)} ${y(value ?? 0).toFixed(1)}`).join("") }));
    for (const [place, [, value]] of points.length <= 62 ? points.entries() : []) drawn.push(svg("circle", { class: "f0", cx: x(place), cy: y(value ?? 0), r: place === this.at ? 5 : 2.5 }));
    if (this.at !== null && points[this.at]) drawn.push(svg("line", { class: "cursor", x1: x(this.at), x2: x(this.at), y1: TOP, y2: TOP + height }));
    this.picture.setAttribute("viewBox", `0 0 ${width} ${line.height}`);
    this.picture.replaceChildren(...drawn);
  }

  /** A row for each bar: its name and its number above it, so that long names have room on a phone, too. */
  drawBars(points, width) {
    const most = Math.max(0, ...points.map(([, value]) => Math.abs(value ?? 0))) || 1;
    const numbers = points.map(([, value]) => withUnit(format(value, ""), this.unit));
    const room = Math.floor(width / BAR.letter) - Math.max(0, ...numbers.map((number) => number.length)) - 2;
    const rows = points.flatMap(([name, value], row) => {
      const top = row * BAR.row, long = ((width - 2) * Math.abs(value ?? 0)) / most;
      const label = svg("text", { x: 1, y: top + BAR.name }, cut(name, room));
      label.append(svg("title", {}, name));
      return [label, svg("text", { class: "value", x: width - 1, y: top + BAR.name, "text-anchor": "end" }, numbers[row]),
        svg("rect", { class: value < 0 ? "f1" : "f0", x: 1, y: top + BAR.bar, width: Math.max(long, 1).toFixed(1), height: BAR.thick, rx: 2 })];
    });
    this.picture.setAttribute("viewBox", `0 0 ${width} ${Math.max(1, points.length) * BAR.row}`);
    this.picture.replaceChildren(...rows);
  }
}

/** A number with what it counts; the sign of a currency stands before it. */
function withUnit(number, unit) {
  if (!/^\p{Sc}$/u.test(unit)) return `${number} ${unit}`.trimEnd();
  return number.replace(/^[-−]?/, (sign) => `${sign}${unit}`);
}

/** A number with all that it has. */
function exact(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: 3 });
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
