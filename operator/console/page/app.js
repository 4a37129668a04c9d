// The page: a list of Pipelines, and one Pipeline with its picture, its last hour and a look inside. It asks again every
// two seconds, and only for what is new.

import { Answer } from "./answer.js";
import { Chart, duration, format } from "./chart.js";
import { GLYPHS, graph } from "./graph.js";

const ASK_AGAIN = 2000;
const HOUR = 1800;
/** A list with more Pipelines than this has a field to find one by its name. */
const MANY = 12;
const SPANS = [[150, "5 min"], [450, "15 min"], [HOUR, "1 h"]];
const main = document.getElementById("main");
const live = document.getElementById("live");
const where = document.getElementById("where");
let view = null;
let silentSince = null;

/** An element with properties and children. */
function h(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(12_000) });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.detail ?? `the console answered ${answer.status}`), { status: answer.status });
  return body;
}

function ago(millis, now) {
  return now - millis < 1000 ? "just now" : `${duration(now - millis)} ago`;
}

/** The list of Pipelines, those in trouble first. */
class List {
  constructor() {
    this.find = h("input", { type: "search", autocomplete: "off", placeholder: "name or namespace", oninput: () => this.ask().catch(() => {}) });
    this.filter = h("p", { className: "bar", hidden: true }, h("label", {}, "Find", this.find));
    this.note = h("div", { ariaLive: "polite" });
    this.body = h("tbody");
    this.more = h("p", { className: "soft" });
    const heads = ["State", "Pipeline", "Namespace", "Stages ready", "Rows in", "Stored", "Since", "What it says"];
    const head = h("tr", {}, ...heads.map((text, at) => h("th", { scope: "col", className: at > 2 && at < 6 ? "number" : "", textContent: text })));
    main.replaceChildren(h("h1", { textContent: "Pipelines" }), this.note, this.filter,
      h("section", { className: "scroll" }, h("table", { className: "list" }, h("thead", {}, head), this.body), this.more));
    where.textContent = "";
    document.title = "Penstock";
  }

  async ask() {
    const filter = this.find.value;
    const { pipelines, leftOut, all, trouble } = await ask(`api/pipelines?${new URLSearchParams({ filter })}`);
    // Somebody has typed on.
    if (filter !== this.find.value) return;
    // With one Pipeline there is nothing to choose.
    if (all === 1 && pipelines.length === 1 && !this.seen) location.hash = `#/${pipelines[0].namespace}/${pipelines[0].name}`;
    this.seen = true;
    this.filter.hidden = all <= MANY;
    tell(this.note, trouble);
    const now = Date.now(), focused = document.activeElement?.getAttribute("href");
    this.body.replaceChildren(...pipelines.map((pipeline) => h("tr", {},
      h("td", {}, h("span", { className: `state ${pipeline.is}`, textContent: `${GLYPHS[pipeline.is]} ${pipeline.word}` })),
      h("td", {}, h("a", { href: `#/${pipeline.namespace}/${pipeline.name}`, textContent: pipeline.name })),
      h("td", { textContent: pipeline.namespace }),
      h("td", { className: "number", textContent: `${pipeline.ready}/${pipeline.stages}` }),
      h("td", { className: "number", textContent: format(pipeline.rowsIn, "/s") }),
      h("td", { className: "number", textContent: format(pipeline.rowsOut, "/s") }),
      h("td", { className: "since", textContent: pipeline.since === null ? "" : ago(new Date(pipeline.since).getTime(), now) }),
      h("td", { textContent: pipeline.because ?? "" }))));
    // Whoever is on a link by keyboard stays on it.
    if (focused) [...this.body.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
    if (pipelines.length === 0) this.body.append(h("tr", {}, h("td", { colSpan: 8, className: "empty", textContent: all === 0 ? "There is no Pipeline yet." : "No Pipeline is called so." })));
    this.more.textContent = leftOut > 0 ? `${leftOut} more, in no greater trouble: find them by name.` : "";
  }
}

/** A note that something of what is shown may be old, and why. */
function tell(place, trouble) {
  if ((trouble ?? "") !== place.textContent) place.replaceChildren(...(trouble ? [h("p", { className: "note", textContent: trouble })] : []));
}

/** One Pipeline. */
class Pipeline {
  constructor(namespace, name) {
    Object.assign(this, { namespace, name, since: 0, span: SPANS[0][0], charts: new Map(), answers: [] });
    this.path = `api/pipelines/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
    this.note = h("div", { ariaLive: "polite" });
    this.troubles = h("div", { ariaLive: "polite" });
    this.watched = h("span", { className: "soft" });
    this.picture = h("section", { className: "scroll" });
    this.grid = h("div", { className: "charts flowing" });
    this.answered = h("div");
    this.conditions = h("div");
    this.inside = new Inside(this.path);
    const spans = SPANS.map(([ticks, text]) => h("button", { type: "button", textContent: text, ariaPressed: String(ticks === this.span), onclick: (event) => {
      this.span = ticks;
      for (const button of event.target.parentElement.querySelectorAll("button")) button.ariaPressed = String(button === event.target);
      this.show();
    } }));
    main.replaceChildren(h("h1", { textContent: name }), this.note, this.troubles, this.picture,
      h("div", { className: "bar" }, h("h2", {}, "The last hour ", this.watched), ...spans), this.grid,
      this.answered, this.inside.element, this.conditions);
    where.textContent = `${namespace} / ${name}`;
    document.title = `${name} – Penstock`;
  }

  async ask() {
    const seen = await ask(`${this.path}?since=${this.since}`);
    // The console began again: so does the hour.
    if (seen.next < this.since) { this.since = 0; this.charts.clear(); this.grid.replaceChildren(); return this.ask(); }
    this.since = seen.next;
    this.seen = seen;
    for (const { id, title, unit, lines } of seen.charts) {
      if (!this.charts.has(id)) {
        const chart = new Chart(title, unit);
        this.charts.set(id, chart);
        this.grid.append(chart.element);
      }
      this.charts.get(id).add(lines, HOUR);
    }
    this.inside.know(seen);
    this.know(seen);
    this.show();
  }

  /** The charts of what apis answer: made anew only when the Pipeline has others. */
  know({ answers }) {
    const key = JSON.stringify(answers);
    if (key !== this.drawn) {
      this.answers = answers.map((told) => new Answer(told, (parameters) => ask(`${this.path}/answers/${encodeURIComponent(told.api)}/${told.route}?${new URLSearchParams(parameters)}`)));
      this.answered.replaceChildren(...(answers.length > 0 ? [h("div", { className: "bar" }, h("h2", { textContent: "What was stored" })),
        h("div", { className: "charts answers" }, ...this.answers.map((answer) => answer.element))] : []));
    }
    this.drawn = key;
    for (const answer of this.answers) answer.tick();
  }

  show() {
    const { seen } = this;
    if (!seen) return;
    this.picture.replaceChildren(graph(seen.nodes, seen.edges, window.innerWidth < 760));
    for (const chart of this.charts.values()) chart.show(this.span, seen.tickMillis, seen.now);
    for (const answer of this.answers) answer.fit();
    tell(this.note, seen.trouble);
    const isWhole = seen.now - seen.watchedSince > HOUR * seen.tickMillis;
    this.watched.textContent = isWhole ? "" : `– as far as it was watched, since ${new Date(seen.watchedSince).toLocaleTimeString()}`;
    this.tellTroubles(seen);
    this.tellConditions(seen);
  }

  tellTroubles({ nodes, now }) {
    const told = nodes.filter((node) => ["waits", "silent", "absent"].includes(node.state.is)).map((node) =>
      h("div", { className: node.state.is === "waits" ? "note" : "trouble" },
        h("p", {}, h("b", { textContent: `${node.title} ${{ waits: "waits", silent: "does not answer", absent: "is not running" }[node.state.is]}` }),
          node.state.since ? `, since ${new Date(node.state.since).toLocaleTimeString()} (${ago(node.state.since, now)})` : ""),
        ...(node.state.because ?? "").split("\n").filter(Boolean).map((line) => h("p", { textContent: line }))));
    const text = told.map((element) => element.textContent).join();
    if (text !== this.told) this.troubles.replaceChildren(...told);
    this.told = text;
  }

  tellConditions({ conditions, events, eventsTrouble, urls, now }) {
    const parts = [];
    if (urls.length > 0) parts.push(h("section", {}, h("h2", { textContent: "Where it answers" }), h("table", {}, h("tbody", {}, ...urls.map(({ stage, url }) =>
      h("tr", {}, h("td", { textContent: stage }), h("td", {}, h("code", { textContent: url }))))))));
    if (conditions.length > 0) parts.push(h("section", { className: "scroll" }, h("h2", { textContent: "Conditions" }), table(["Condition", "Status", "Reason", "Since", "What it says"],
      conditions.map((condition) => [condition.type, condition.status, condition.reason, ago(Date.parse(condition.lastTransitionTime), now), condition.message]), "", "conditions")));
    if (eventsTrouble) parts.push(h("section", {}, h("h2", { textContent: "Events" }), h("p", { className: "note", textContent: eventsTrouble })));
    if (events.length > 0) parts.push(h("section", { className: "scroll" }, h("h2", { textContent: "Events" }), table(["When", "Kind", "Reason", "Times", "What it says"],
      events.map((event) => [ago(Date.parse(event.last), now), event.isWarning ? "⚠ warning" : "normal", event.reason, String(event.times), event.message]), "", "conditions")));
    const text = parts.map((part) => part.textContent).join();
    if (text !== this.said) this.conditions.replaceChildren(...parts);
    this.said = text;
  }
}

/** A look inside: what is asked for is asked once, when somebody asks. */
class Inside {
  constructor(path) {
    this.path = path;
    this.tabs = h("div", { className: "bar", role: "tablist", ariaLabel: "What to look at" });
    this.shown = h("div", { className: "scroll looked", tabIndex: -1 });
    this.element = h("section", {}, h("h2", { textContent: "A look inside" }), this.tabs, this.shown);
  }

  know({ buffers, sinks, inside }) {
    const key = JSON.stringify([buffers, sinks, inside]);
    if (key === this.known) return;
    this.known = key;
    this.tabs.hidden = !inside;
    if (!inside) {
      this.shown.replaceChildren(h("p", { className: "soft" }, "The operator has no right to read what a Pipeline stores, so there are no records, objects or items here. ", h("code", { textContent: "penstock run" }), " shows them, for a Pipeline that it runs."));
      return;
    }
    const letters = sinks.map((sink) => sink.name);
    const looks = [
      ...buffers.map((name) => [`Records of ${name}`, () => this.records(name)]),
      ...sinks.filter((sink) => sink.objects).map(({ name }) => [`Objects of ${name}`, () => this.objects(name)]),
      ...sinks.flatMap((sink) => sink.tables).map((table) => [`Items of ${table.name}`, () => this.items(table)]),
      ...letters.map((name) => [`Dead letters of ${name}`, () => this.letters(name)]),
    ];
    this.tabs.replaceChildren(...looks.map(([text, look]) => h("button", { type: "button", role: "tab", ariaSelected: "false", textContent: text, onclick: (event) => {
      for (const tab of this.tabs.children) tab.ariaSelected = String(tab === event.target);
      look();
    } })));
    this.shown.replaceChildren(h("p", { className: "soft", textContent: "Choose what to look at. It is read now, and only what is shown." }));
  }

  /** Asks, and shows the answer or what went wrong. */
  async look(path, show) {
    this.shown.replaceChildren(h("p", { className: "soft", textContent: "reading…" }));
    try {
      this.shown.replaceChildren(...show(await ask(`${this.path}/${path}`)), h("p", {}, h("button", { type: "button", textContent: "Look again", onclick: () => this.look(path, show) })));
    } catch (error) {
      this.shown.replaceChildren(h("p", { className: "trouble", textContent: error.message }));
    }
  }

  records(name) {
    return this.look(`records/${encodeURIComponent(name)}`, ({ records, shards, looked }) => [
      looked < shards ? h("p", { className: "soft", textContent: `of ${looked} shards of ${shards}` }) : null,
      table(["Arrived", "Key", "Shard", "Record"], records.map((record) => [
        new Date(record.arrival).toLocaleString(), record.key, String(Number(record.shard.replace(/^.*-/, ""))), pretty(record.data)]), "Nothing arrived in the last day.", "records"),
    ].filter(Boolean));
  }

  objects(name) {
    return this.look(`objects/${encodeURIComponent(name)}`, ({ bucket, folder, objects }) => [
      h("p", { className: "soft", textContent: `s3://${bucket}/${folder}` }),
      table(["Object", "Size", "Written"], objects.map((object) => [
        object.key.slice(folder.length), format(object.bytes, "B"), new Date(object.modified).toLocaleString()]), "No object yet: one is written when it is large or old enough.", "objects"),
    ]);
  }

  items({ name, partition, sort }) {
    const first = h("input", { required: true, ariaLabel: partition, autocomplete: "off" });
    const second = sort ? h("input", { ariaLabel: sort, autocomplete: "off", placeholder: "begins with" }) : null;
    const answer = h("div", { className: "scroll" });
    const find = async () => {
      if (!first.value) return first.focus();
      const query = new URLSearchParams({ partition: first.value, ...(second?.value ? { sort: second.value } : {}) });
      try {
        const { items, more } = await ask(`${this.path}/items/${encodeURIComponent(name)}?${query}`);
        const fields = [...new Set(items.flatMap((item) => Object.keys(item)))].sort((a, b) => (b === partition) - (a === partition) || (b === sort) - (a === sort) || a.startsWith("_") - b.startsWith("_") || a.localeCompare(b));
        answer.replaceChildren(table(fields, items.map((item) => fields.map((field) => pretty(item[field] ?? ""))), "There is no such item.", "items"),
          more ? h("p", { className: "soft", textContent: "There are more." }) : "");
      } catch (error) {
        answer.replaceChildren(h("p", { className: "trouble", textContent: error.message }));
      }
    };
    const onEnter = (event) => { if (event.key === "Enter") find(); };
    first.onkeydown = onEnter;
    if (second) second.onkeydown = onEnter;
    this.shown.replaceChildren(h("div", { className: "bar" }, h("label", {}, partition, first), second ? h("label", {}, sort, second) : null,
      h("button", { type: "button", textContent: "Find", onclick: find })), answer);
    first.focus();
  }

  letters(name) {
    return this.look(`dead-letters/${encodeURIComponent(name)}`, ({ bucket, folder, letters }) => [
      h("p", { className: "soft", textContent: `s3://${bucket}/${folder}` }),
      table(["Why", "What it says", "Where it was", "The record"], letters.map((letter) => typeof letter === "string" ? ["", "", "", letter] : [
        letter.reason ?? "", says(letter), [letter.shard, letter.sequence].filter(Boolean).join(" "), original(letter)]), "No dead letters.", "letters"),
    ]);
  }
}

/** What is said of a dead letter, with its field where the message does not begin with that. */
function says({ field, message }) {
  return !field || message?.startsWith(`${field}:`) ? message ?? "" : [field, message].filter(Boolean).join(": ");
}

/** The record of a dead letter as text, where it is some. */
function original(letter) {
  return typeof letter.data === "string" ? pretty(letter.data) : `as base64: ${letter.dataBase64 ?? ""}`;
}

function pretty(value) {
  if (typeof value !== "string") return typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
  try {
    const parsed = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null ? JSON.stringify(parsed, null, 1) : value;
  } catch {
    return value;
  }
}

/** A table; on a phone each of its rows is a card, where every value has its heading before it. */
function table(heads, rows, empty, className = "") {
  if (rows.length === 0) return h("p", { className: "empty", textContent: empty });
  const cell = (text, column) => {
    const element = h("td", {}, text.includes("\n") ? h("pre", { textContent: text }) : text);
    element.dataset.head = heads[column];
    return element;
  };
  return h("table", { className: `cards ${className}` }, h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col", textContent: text })))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map(cell)))));
}

function route() {
  const [namespace, name] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  view = namespace && name ? new Pipeline(namespace, name) : new List();
  tick(view);
}

/** Asks for the view's sake, for as long as it is the one that is shown. */
async function tick(shown) {
  if (shown !== view) return;
  try {
    await shown.ask();
    silentSince = null;
    live.className = "";
    live.textContent = `live, ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    silentSince ??= Date.now();
    live.className = "bad";
    live.textContent = error.status ? error.message : `the console does not answer since ${new Date(silentSince).toLocaleTimeString()}; what is shown is from then`;
  }
  setTimeout(() => tick(shown), ASK_AGAIN);
}

addEventListener("hashchange", route);
addEventListener("resize", () => view?.show?.());
route();
