// Lines over time as SVG, with units on the axis, a legend with the latest values, and the values under the pointer.

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 8;
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [176, 54, 8, 10, 22];
/** How wide a picture is drawn that is not seen yet. */
const WIDTH = 400;

/** An element of SVG with attributes. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** How wide a picture is seen. Drawn so wide, its text is of the same size in every card. */
export function widthOf(picture) {
  return Math.round(picture.getBoundingClientRect().width) || WIDTH;
}

/** A number as people read it: three digits, the unit with its prefix. */
export function format(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "ms") return duration(value);
  const bytes = unit.startsWith("B");
  const steps = bytes ? ["", "k", "M", "G", "T"] : ["", "k", "M", "G"];
  let scaled = Math.abs(value), step = 0;
  while (scaled >= 999.5 && step < steps.length - 1) { scaled /= 1000; step += 1; }
  const digits = scaled >= 99.5 || (step === 0 && Number.isInteger(value)) ? 0 : scaled >= 9.95 ? 1 : 2;
  const number = (value < 0 ? "−" : "") + scaled.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  if (bytes) return `${number} ${steps[step]}${unit}`;
  return unit.startsWith("/") ? `${number}${steps[step]}${unit}` : `${number}${steps[step]} ${unit}`.trimEnd();
}

/** With one digit after the point, where that is not zero. */
function tenths(value) {
  return value.toFixed(1).replace(".0", "");
}

/** Milliseconds as people read them. */
export function duration(millis) {
  if (millis < 999.5) return `${millis < 9.95 ? tenths(millis) : Math.round(millis)} ms`;
  const seconds = millis / 1000;
  if (seconds < 59.95) return `${seconds < 9.95 ? tenths(seconds) : Math.round(seconds)} s`;
  const minutes = seconds / 60;
  if (minutes < 59.5) return `${minutes < 9.95 ? tenths(minutes) : Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 47.5 ? `${hours < 9.95 ? tenths(hours) : Math.round(hours)} h` : `${Math.round(hours / 24)} days`;
}

/** Steps of 1, 2 or 5 for about four lines of the grid. */
export function ticks(most) {
  const rough = most / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const all = [];
  for (let at = 0; at <= most + step / 1000; at += step) all.push(at);
  if (all[all.length - 1] < most) all.push(all[all.length - 1] + step);
  return all;
}

export class Chart {
  constructor(title, unit) {
    this.unit = unit;
    this.lines = new Map();
    this.heading = Object.assign(document.createElement("h2"), { textContent: `${title}, ` });
    this.heading.append(Object.assign(document.createElement("span"), { className: "soft", textContent: unit }));
    // On the axis the prefix is enough, but bytes and times need their own.
    this.axis = unit.startsWith("B") || unit === "ms" ? unit.replace("/s", "") : "";
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    this.width = WIDTH;
    this.legend = Object.assign(document.createElement("ul"), { className: "legend" });
    const frame = Object.assign(document.createElement("div"), { className: "chart" });
    frame.append(this.picture);
    this.element = document.createElement("section");
    this.element.append(this.heading, frame, this.legend);
    this.picture.addEventListener("pointermove", (event) => { this.pointer = event; this.draw(); });
    this.picture.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
  }

  /** Takes what is new: lines by name, each with its values up to the same last tick. */
  add(lines, ticksKept) {
    for (const { name, values } of lines) {
      const line = this.lines.get(name) ?? [];
      line.push(...values);
      line.splice(0, line.length - ticksKept);
      this.lines.set(name, line);
    }
  }

  /** Draws the last so many ticks. */
  show(shown, tickMillis, now) {
    Object.assign(this, { shown, tickMillis, now });
    this.draw();
  }

  draw() {
    const lines = [...this.lines].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    const { shown, tickMillis, now } = this;
    const width = widthOf(this.picture);
    this.width = width;
    const inside = { width: width - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM };
    const windows = lines.map(([name, values]) => [name, values.slice(-shown)]);
    const most = Math.max(0, ...windows.flatMap(([, values]) => values.filter((value) => value !== null)));
    const grid = ticks(most > 0 ? most : 1), top = grid[grid.length - 1];
    const x = (place) => LEFT + (inside.width * place) / Math.max(1, shown - 1);
    const y = (value) => TOP + inside.height * (1 - value / top);
    const drawn = grid.flatMap((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value, this.axis)),
    ]);
    for (const share of [0, 0.5, 1]) {
      const ago = (1 - share) * shown * tickMillis;
      const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
      drawn.push(svg("text", { x: LEFT + share * inside.width, y: HEIGHT - 6, "text-anchor": anchor }, share === 1 ? "now" : `${duration(ago)} ago`));
    }
    windows.forEach(([, values], number) => {
      const offset = shown - values.length;
      drawn.push(svg("path", { class: style(number), d: path(values, (place) => x(place + offset), y, inside.width) }));
    });
    const at = this.pointed(inside.width);
    if (at !== null) drawn.push(svg("line", { class: "cursor", x1: x(at), x2: x(at), y1: TOP, y2: TOP + inside.height }));
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.picture.replaceChildren(...drawn);
    this.tell(windows, at, now);
  }

  /** The tick under the pointer. */
  pointed(width) {
    if (!this.pointer) return null;
    const box = this.picture.getBoundingClientRect();
    const place = (((this.pointer.clientX - box.left) / box.width) * this.width - LEFT) / width;
    return place < 0 || place > 1 ? null : Math.round(place * (this.shown - 1));
  }

  /** The legend, with the values under the pointer or the latest ones. */
  tell(windows, at) {
    const value = (values) => (at === null ? values[values.length - 1] : values[at - (this.shown - values.length)]);
    const entries = windows.map(([name, values], number) => {
      const item = document.createElement("li");
      const key = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, svg("line", { class: style(number), x1: 0, x2: 26, y1: 5, y2: 5 }));
      item.append(key, `${name} `, Object.assign(document.createElement("b"), { textContent: format(value(values), this.unit) }));
      return item;
    });
    if (entries.length === 0) entries.push(Object.assign(document.createElement("li"), { className: "soft", textContent: "nothing so far" }));
    this.legend.replaceChildren(...entries);
    const words = windows.map(([name, values]) => `${name}: ${format(values[values.length - 1], this.unit)}`);
    this.picture.setAttribute("aria-label", `${this.heading.textContent}. ${words.join(", ") || "nothing so far"}`);
  }
}

/** Colours that the colour-blind tell apart, and another pattern once they are used up. */
function style(number) {
  return `s${number % COLOURS} d${Math.floor(number / COLOURS) % 4}`;
}

/** A path with gaps where nothing was measured; of several values for one pixel the greatest. */
function path(values, x, y, width) {
  const step = Math.max(1, Math.floor(values.length / width));
  let text = "", open = false;
  for (let place = 0; place < values.length; place += step) {
    const here = values.slice(place, place + step).filter((value) => value !== null);
    if (here.length === 0) { open = false; continue; }
    text += `${open ? "L" : "M"}${x(place).toFixed(1)} ${y(Math.max(...here)).toFixed(1)}`;
    // A value alone is a dash.
    if (!open && (values[place + step] ?? null) === null) text += "m-2 0h4";
    open = true;
  }
  return text;
}
