// What the page is made of: numbers in words, rates of counters, and rows that stay the same elements from one look to the
// next. Text from the switch gets into the page as text, never as markup.

const units = ["", " k", " M", " G", " T"];

/** A rate for people: 950, 1.23 k, 45.6 M. */
export function short(n) {
  if (!Number.isFinite(n)) return "…";
  let at = 0;
  while (n >= 999.5 && at < units.length - 1) { n /= 1000; at++; }
  const digits = at === 0 ? (n > 0 && n < 9.95 ? 1 : 0) : n < 9.995 ? 2 : n < 99.95 ? 1 : 0;
  return n.toFixed(digits) + units[at];
}

/** A count, all of its digits. */
export const whole = (n) => n.toLocaleString("en-US");

export const percent = (share) => Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "…";

export function duration(seconds) {
  const s = Math.floor(seconds), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${s % 60} s` : `${s} s`;
}

/** Counters of this look and the one before, and what they grew by each second. */
export class Rates {
  constructor() { this.now = new Map(); this.before = new Map(); this.seconds = NaN; this.at = NaN; }

  /** A new look, taken at a time of the switch's clock (nanoseconds). Looks of an earlier run of it don't count. */
  look(at) {
    this.before = at > this.at ? this.now : new Map();
    this.seconds = (at - this.at) / 1e9;
    this.now = new Map();
    this.at = at;
  }

  /** The growth of a counter each second; NaN at its first look. */
  of(key, value) {
    this.now.set(key, value);
    const last = this.before.get(key);
    return last === undefined || value < last ? NaN : (value - last) / this.seconds;
  }

  /** The growth alone, for shares of counters that grow together. */
  growth(key, value) { return this.of(key, value) * this.seconds; }
}

/** An element with text or children in it. */
export function make(tag, name, ...inside) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  e.append(...inside);
  return e;
}

/** Sets text only where it differs: what reads the page aloud or has it selected is left in peace. */
export function text(e, value) {
  if (e.textContent !== value) e.textContent = value;
}

/** An element's class, when it differs. */
export function mark(e, name) {
  if (e.className !== name) e.className = name;
}

/** Shows a count with its exact value. */
export function figure(e, n) {
  let data = e.firstElementChild;
  if (!data) { data = make("data"); e.append(data); }
  if (data.value !== String(n)) { data.value = n; data.textContent = whole(n); }
}

/** What each parent shows, by key. */
const shown = new WeakMap();

/**
 * Makes `parent`'s children those of `items`, in their order; an item's element lives as long as its key.
 * `create(item)` makes one and `fill(element, item)` brings it up to date.
 */
export function list(parent, items, key, create, fill) {
  const old = shown.get(parent) ?? new Map(), rows = new Map();
  let after = null;
  for (const item of items) {
    const k = key(item);
    if (rows.has(k)) continue;
    const e = old.get(k) ?? create(item);
    old.delete(k);
    rows.set(k, e);
    const wanted = after ? after.nextSibling : parent.firstChild;
    if (e !== wanted) parent.insertBefore(e, wanted);
    fill(e, item);
    after = e;
  }
  for (const e of old.values()) e.remove();
  shown.set(parent, rows);
}

/** The same for a table's body, with a line that says so when there is nothing. */
export function table(body, items, key, create, fill, nothing) {
  const columns = body.parentElement.tHead.rows[0]?.cells.length ?? 1;
  const none = { none: true };
  list(body, items.length ? items : [none], (i) => i.none ? "" : key(i),
    (i) => {
      if (!i.none) return create(i);
      const cell = make("td", "", nothing);
      cell.colSpan = columns;
      return make("tr", "empty", cell);
    },
    (e, i) => { if (!i.none) fill(e, i); });
}

/** A row of cells: "h" a row's heading, "n" a number, anything else a class. */
export function row(...kinds) {
  const tr = make("tr");
  for (const kind of kinds) {
    const cell = make(kind.startsWith("h") ? "th" : "td", kind === "h" ? "" : kind.replace(/^h /, ""));
    if (cell.tagName === "TH") cell.scope = "row";
    tr.append(cell);
  }
  return tr;
}

/** A share as a bar and in words. */
export function bar(cell, share, words) {
  if (!cell.firstChild) {
    const track = make("span", "bar", make("i"));
    track.setAttribute("aria-hidden", "true");
    cell.append(track, make("span"));
  }
  const [track, said] = cell.children, s = Number.isFinite(share) ? Math.min(Math.max(share, 0), 1) : 0;
  mark(track, s > .9 ? "bar high" : "bar");
  track.firstChild.style.width = `${(100 * s).toFixed(1)}%`;
  text(said, words);
}

/** The last minute of a rate as a line. */
export function line(svg, values) {
  const known = values.filter(Number.isFinite), top = Math.max(...known, 1e-9), n = 60;
  const at = (v, i) => `${((n - known.length + i) * 100 / (n - 1)).toFixed(1)},${(31 - 30 * v / top).toFixed(1)}`;
  svg.firstChild.setAttribute("points", known.map(at).join(" "));
}

export function lineOf() {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 100 32");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(ns, "polyline"));
  return svg;
}
