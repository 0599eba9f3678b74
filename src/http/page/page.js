// Asks for a snapshot each second and shows it.
import { Rates, bar, duration, figure, line, lineOf, list, make, mark, percent, row, short, table, text } from "./draw.js";

const id = (name) => document.getElementById(name);
const body = (name) => id(name).tBodies[0];
const EVERY = 1000, PATIENCE = 8000;
// ports that the matrix shows: the busiest
const WIDE = 20;
// queues that a port's line shows
const QUEUES = 8;

const rates = new Rates();
const history = new Map();
let timer = 0, failed = 0;

function tiles(s) {
  const t = s.totals;
  const all = [
    ["received", "Received", t.packets], ["forwarded", "Forwarded", t.forwarded],
    ["consumed", "Consumed", t.consumed], ["dropped", "Dropped", t.dropped],
  ].map(([key, name, count]) => ({ key, name, count, rate: rates.of(`total ${key}`, count) }));
  list(id("tiles"), all, (i) => i.key, (i) => {
    const tile = make("div", "tile", make("dt", "", i.name), make("dd", "rate"), make("dd", "count"));
    tile.dataset.key = i.key;
    tile.append(make("dd", "", lineOf()));
    return tile;
  }, (e, i) => {
    const past = history.get(i.key) ?? [];
    past.push(i.rate);
    while (past.length > 60) past.shift();
    history.set(i.key, past);
    mark(e, i.key === "dropped" && i.rate > 0 ? "tile bad" : "tile");
    const [, rate, count, past60] = e.children;
    text(rate, `${short(i.rate)}/s`);
    if (!count.firstChild) count.append(make("span"), " in all");
    figure(count.firstChild, i.count);
    line(past60.firstChild, past);
  });
  text(id("sum"), t.waiting ? `${t.waiting} packets wait for translation. ` : "Received is the sum of forwarded, consumed and dropped.");
}

const portKey = (p) => `${p.bridge} ${p.name}`;

/** What each port does each second. */
function portRates(s) {
  return new Map(s.ports.map((p) => {
    const of = (what, n) => rates.of(`port ${portKey(p)} ${what}`, n);
    return [portKey(p), {
      rx: of("rx", p.received.packets), rxBits: 8 * of("rx bytes", p.received.bytes),
      tx: of("tx", p.sent.packets), txBits: 8 * of("tx bytes", p.sent.bytes),
    }];
  }));
}

function topology(s, speed) {
  list(id("topology"), s.bridges, (b) => b.name, (b) => {
    const li = make("li", "bridge", make("h3", "", b.name), make("p"), make("ul"));
    li.dataset.bridge = b.name;
    return li;
  }, (e, b) => {
    const [, about, ports] = e.children;
    text(about, `${b.flows} flows, ${b.groups} groups, ${b.macs} MAC addresses`);
    list(ports, s.ports.filter((p) => p.bridge === b.name), (p) => p.name, (p) => {
      const li = make("li", "port", make("span", "name", p.name), " ", make("span", "state"), make("span", "what"), make("span", "flow"));
      li.dataset.port = p.name;
      return li;
    }, (li, p) => {
      const [, state, what, flow] = li.children, r = speed.get(portKey(p));
      text(state, p.state);
      mark(state, `state ${p.state}`);
      const words = [p.kind];
      if (p.number !== null) words.push(p.number === 65534 ? "LOCAL" : `port ${p.number}`);
      if (p.tag !== null) words.push(`VLAN ${p.tag}`);
      if (p.mtu !== null) words.push(`MTU ${p.mtu}`);
      text(what, p.error ?? words.join(", "));
      text(flow, p.peer ? `joined to ${p.peer.port}${p.peer.bridge ? ` of ${p.peer.bridge}` : ""}`
        : p.error ? "" : `in ${short(r.rx)}/s, out ${short(r.tx)}/s`);
    });
  });
}

function ports(s, speed) {
  const shown = s.ports.filter((p) => !p.peer && !p.error);
  table(body("ports"), shown, portKey, (p) => {
    const tr = row("h", "", "", "n", "n", "n", "n", "n", "n", "n", "n", "n", "queues");
    tr.dataset.port = p.name;
    text(tr.cells[0], p.name);
    text(tr.cells[1], p.bridge);
    tr.cells[2].append(make("span"));
    return tr;
  }, (tr, p) => {
    const c = tr.cells, r = speed.get(portKey(p));
    text(c[2].firstChild, p.state);
    mark(c[2].firstChild, `state ${p.state}`);
    text(c[3], short(r.rx));
    text(c[4], short(r.rxBits));
    text(c[5], short(r.tx));
    text(c[6], short(r.txBits));
    figure(c[7], p.received.packets);
    figure(c[8], p.received.forwarded);
    figure(c[9], p.received.dropped);
    figure(c[10], p.sent.packets);
    figure(c[11], p.sent.dropped + p.sent.errors);
    const queues = p.queues.map((q) => `${q.number} on ${q.worker}: ${short(rates.of(`queue ${portKey(p)} ${q.number}`, q.packets))}/s`);
    text(c[12], queues.slice(0, QUEUES).join("\n") + (queues.length > QUEUES ? `\nand ${queues.length - QUEUES} more` : ""));
  }, "No ports.");
}

function load(s) {
  table(body("load"), s.workers, (w) => w.name, (w) => {
    const tr = row("h", "", "", "n", "n", "n", "n");
    tr.dataset.worker = w.name;
    text(tr.cells[0], w.name);
    return tr;
  }, (tr, w) => {
    const of = (what, n) => rates.growth(`worker ${w.name} ${what}`, n), c = tr.cells;
    const busy = of("busy", w.busy) / of("time", w.time);
    const packets = of("packets", w.received.packets), bursts = of("bursts", w.bursts);
    const missed = of("miss", w.miss);
    const lookups = of("lookups", w.hit_simple + w.hit_signature + w.hit_megaflow + w.miss);
    text(c[1], w.core === null ? "not pinned" : String(w.core));
    bar(c[2], busy, percent(busy));
    text(c[3], short(packets / rates.seconds));
    text(c[4], bursts > 0 ? (packets / bursts).toFixed(1) : "–");
    text(c[5], lookups > 0 ? percent(missed / lookups) : "–");
    figure(c[6], w.megaflows);
  }, "No workers.");
}

function drops(s) {
  const most = (reason) => {
    const had = s.ports.map((p) => [p.name, p.received.drops.find((d) => d.reason === reason)?.packets ?? 0]);
    return had.filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]).slice(0, 2).map(([name]) => name).join(", ");
  };
  const sorted = s.totals.drops.filter((d) => d.packets > 0).sort((a, b) => b.packets - a.packets);
  table(body("drops"), sorted, (d) => d.reason, (d) => {
    const tr = row("h reason", "n", "n", "wrap");
    tr.dataset.reason = d.reason;
    tr.cells[0].append(d.reason, make("small", "", d.meaning));
    return tr;
  }, (tr, d) => {
    figure(tr.cells[1], d.packets);
    text(tr.cells[2], short(rates.of(`drop ${d.reason}`, d.packets)));
    text(tr.cells[3], most(d.reason) || "a port that is gone");
  }, "No packet was dropped.");
}

function matrix(s) {
  const pair = (from, to) => `${from} ${to}`;
  const cells = new Map(), busy = new Map();
  for (const t of s.matrix) {
    const rate = rates.of(`talk ${pair(t.from, t.to)}`, t.packets);
    cells.set(pair(t.from, t.to), { packets: t.packets, rate });
    for (const name of [t.from, t.to]) busy.set(name, (busy.get(name) ?? 0) + t.packets);
  }
  const busiest = [...busy.keys()].sort((a, b) => busy.get(b) - busy.get(a)).slice(0, WIDE);
  const order = new Map(s.ports.map((p, i) => [p.name, i]));
  const names = busiest.sort((a, b) => (order.get(a) ?? 1e9) - (order.get(b) ?? 1e9) || (a < b ? -1 : 1));
  text(id("matrix-note"), "Packets each second from the port of the row to the port of the column." +
    (busy.size > WIDE ? ` The ${WIDE} busiest of ${busy.size} ports.` : ""));
  const head = id("matrix").tHead, tbody = body("matrix");
  if (!head.rows.length) head.append(make("tr"));
  list(head.rows[0], ["", ...names], (n) => n && `port ${n}`, (n) => {
    const th = make("th", "", n || "from \\ to");
    th.scope = "col";
    return th;
  }, () => {});
  const top = Math.max(1, ...[...cells.values()].map((c) => c.rate || 0));
  table(tbody, names, (n) => n, (n) => {
    const tr = make("tr");
    tr.dataset.from = n;
    return tr;
  }, (tr, from) => {
    list(tr, ["", ...names], (n) => n && `port ${n}`, (to) => {
      const e = make(to ? "td" : "th", "", to ? "" : from);
      if (to) e.dataset.to = to; else e.scope = "row";
      return e;
    }, (e, to) => {
      if (!to) return;
      const cell = cells.get(pair(from, to));
      mark(e, from === to ? "self" : "");
      e.dataset.packets = cell?.packets ?? 0;
      text(e, cell ? short(cell.rate) : "–");
      e.style.setProperty("--h", cell && cell.rate > 0 ? (.15 + .85 * cell.rate / top).toFixed(3) : "0");
    });
  }, "Nobody has talked yet.");
}

function flows(s) {
  table(body("flows"), s.hottest, (f) => `${f.worker} ${f.matching}`, (f) => {
    const tr = row("h text", "text", "", "n", "n", "n");
    text(tr.cells[0], f.matching);
    return tr;
  }, (tr, f) => {
    const c = tr.cells;
    text(c[1], f.drop ? `${f.actions} (${f.drop})` : f.actions);
    text(c[2], f.worker);
    text(c[3], short(f.packet_rate));
    text(c[4], short(8 * f.byte_rate));
    figure(c[5], f.packets);
  }, "No flows are cached.");
}

function pools(s) {
  table(body("pools"), s.pools, (p) => p.name, (p) => {
    const tr = row("h", "", "n", "n");
    text(tr.cells[0], p.name);
    return tr;
  }, (tr, p) => {
    const share = p.frames ? p.used / p.frames : 0;
    bar(tr.cells[1], share, percent(share));
    figure(tr.cells[2], p.used);
    figure(tr.cells[3], p.frames);
  }, "No pools: no port needs DPDK.");
}

function show(s) {
  rates.look(s.at);
  const dpdk = s.dpdk === "none" ? "without DPDK" : s.dpdk;
  text(id("about"), `${s.version}, ${dpdk}, up ${duration((s.at - s.started) / 1e9)}`);
  const speed = portRates(s);
  tiles(s);
  topology(s, speed);
  load(s);
  drops(s);
  ports(s, speed);
  matrix(s);
  flows(s);
  pools(s);
  document.documentElement.dataset.at = s.at;
}

function status(words, bad) {
  text(id("status"), words);
  mark(id("status"), bad ? "bad" : "");
}

const paused = () => id("pause").getAttribute("aria-pressed") === "true";

async function poll() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/api/snapshot", { signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.status === 401 ? "a token is needed: open /?token=…" : (await answer.text()).trim());
    show(await answer.json());
    failed = 0;
    status(paused() ? "paused" : "live", false);
  } catch (e) {
    failed++;
    status(`no figures: ${e.name === "TimeoutError" ? "no answer" : e.message}`, true);
  }
  if (!paused() && !document.hidden) timer = setTimeout(poll, Math.min(EVERY * 2 ** Math.min(failed, 4), 10000));
}

id("pause").addEventListener("click", () => {
  id("pause").setAttribute("aria-pressed", String(!paused()));
  if (paused()) { clearTimeout(timer); status("paused", false); } else poll();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused()) poll(); });
poll();
