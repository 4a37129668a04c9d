// The Pipeline as a picture: a column for sources, buffers, sinks, stores and apis, or a row each on a narrow screen.

import { format, svg } from "./chart.js";

const KINDS = ["source", "buffer", "sink", "store", "api"];
export const GLYPHS = { ready: "●", rests: "‖", waits: "◐", silent: "✕", absent: "○", unknown: "?" };
const WORDS = { ready: "ready", rests: "rests", waits: "waits", silent: "does not answer", absent: "not running", unknown: "not known" };
const BOX = { width: 232, line: 19, head: 46, gap: 26 };
const BETWEEN = 76;
const MARGIN = 14;

/** The picture of nodes and edges. */
export function graph(nodes, edges, narrow) {
  const places = narrow ? rows(nodes) : columns(nodes);
  const width = Math.max(...[...places.values()].map((place) => place.x + BOX.width)) + MARGIN;
  const height = Math.max(...[...places.values()].map((place) => place.y + place.height)) + MARGIN;
  const picture = svg("svg", { class: `graph ${narrow ? "narrow" : ""}`, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": describe(nodes, edges) });
  for (const edge of edges) picture.append(...arrow(places.get(edge.from), places.get(edge.to), edge.rate, narrow));
  for (const node of nodes) picture.append(box(node, places.get(node.id)));
  for (const edge of edges) picture.append(...label(places.get(edge.from), places.get(edge.to), edge.rate, narrow));
  return picture;
}

function heightOf(node) {
  return BOX.head + node.numbers.length * BOX.line + 12;
}

function columns(nodes) {
  const columns = KINDS.map((kind) => nodes.filter((node) => node.kind === kind)).filter((column) => column.length > 0);
  const heights = columns.map((column) => column.reduce((sum, node) => sum + heightOf(node) + BOX.gap, -BOX.gap));
  const tallest = Math.max(...heights);
  const places = new Map();
  columns.forEach((column, number) => {
    let y = MARGIN + 16 + (tallest - heights[number]) / 2;
    for (const node of column) {
      places.set(node.id, { x: MARGIN + number * (BOX.width + BETWEEN), y, height: heightOf(node) });
      y += heightOf(node) + BOX.gap;
    }
  });
  return places;
}

function rows(nodes) {
  const places = new Map();
  let y = MARGIN + 16;
  for (const node of familiesOf(nodes)) {
    places.set(node.id, { x: MARGIN + KINDS.indexOf(node.kind) * 22, y, height: heightOf(node) });
    y += heightOf(node) + BOX.gap;
  }
  return places;
}

/** One below the other, stores right after their sink. */
function familiesOf(nodes) {
  const of = (kind) => nodes.filter((node) => node.kind === kind);
  const storesOf = (sink) => of("store").filter((store) => store.id.startsWith(`store/${sink.title}/`));
  return [...of("source"), ...of("buffer"), ...of("sink").flatMap((sink) => [sink, ...storesOf(sink)]), ...of("api")];
}

function box(node, { x, y, height }) {
  const group = svg("g", { class: node.state.is, transform: `translate(${x} ${y})` });
  group.append(
    svg("text", { class: "kind", x: 2, y: -6 }, node.kind),
    svg("rect", { class: "box", width: BOX.width, height, rx: 10 }),
    svg("text", { class: "title", x: 12, y: 22 }, cut(node.title, 21)),
    svg("text", { class: "soft", x: 12, y: 40 }, shortened(node.detail, 26)),
  );
  if (node.state.is !== "none") {
    // Above the box, where a long name leaves it room.
    group.append(svg("text", { class: `state glyph-${node.state.is}`, x: BOX.width - 2, y: -6 }, `${WORDS[node.state.is]} ${GLYPHS[node.state.is]}`));
  }
  node.numbers.forEach((number, line) => {
    const at = BOX.head + (line + 1) * BOX.line - 3;
    group.append(
      svg("text", { class: "soft", x: 12, y: at }, number.name),
      svg("text", { class: "value", x: BOX.width - 12, y: at }, format(number.value, number.unit)),
    );
  });
  const why = [node.title, node.detail, node.state.because].filter(Boolean).join(" – ");
  group.append(svg("title", {}, why));
  return group;
}

/** From a box's right side to the next one's left, or from below on a narrow screen. */
function ends(from, to, narrow) {
  if (narrow) return [from.x + 10, from.y + from.height, to.x, to.y + to.height / 2];
  return [from.x + BOX.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
}

function arrow(from, to, rate, narrow) {
  if (!from || !to) return [];
  const [x1, y1, x2, y2] = ends(from, to, narrow), middle = (x1 + x2) / 2;
  const d = narrow ? `M${x1} ${y1}V${y2}H${x2}` : `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
  const drawn = [svg("path", { class: "edge", d })];
  if (rate > 0) drawn.push(svg("path", { class: "flow", d }));
  return drawn;
}

function label(from, to, rate, narrow) {
  if (!from || !to || rate === null || narrow) return [];
  const [x1, y1, x2, y2] = ends(from, to, narrow);
  const text = format(rate, "/s"), width = 14 + text.length * 7.2;
  return [svg("g", { class: "label", transform: `translate(${(x1 + x2) / 2} ${(y1 + y2) / 2})` },
    svg("rect", { x: -width / 2, y: -11, width, height: 22, rx: 11 }), svg("text", { y: 4 }, text))];
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** What does not fit ends before the first field of a template, or where there is no more room. */
function shortened(text, length) {
  const field = text.indexOf("{");
  return text.length > length && field > 0 && field < length ? `${text.slice(0, field)}…` : cut(text, length);
}

/** The picture in words. */
function describe(nodes, edges) {
  const of = (node) => `${node.kind} ${node.title}${node.state.is === "none" ? "" : `, ${WORDS[node.state.is]}`}`;
  const flows = edges.map((edge) => `${edge.from} to ${edge.to}: ${format(edge.rate, "/s")}`);
  return `${nodes.map(of).join("; ")}. ${flows.join("; ")}`;
}
