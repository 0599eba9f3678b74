"""The page in a browser: its figures are the API's, names are text, colours can be read, phones have room."""
import base64
import json
import os
import pathlib
import urllib.request

from . import packets
from .browser import Browser
from .switch import NO_WORKERS, Case, dummy_ports, until

# a port's name is the configuration's, and markup where a page would take it for that
NASTY = '<b>"x"&\'</b>'.replace("/", "")
NASTY_PORT = f"[[bridge.port]]\nname = '''{NASTY}'''\ntype = \"dummy\"\nofport_request = 9\n"
PATCHES = ('[[bridge.port]]\nname = "to-br1"\ntype = "patch"\noptions = { peer = "to-br0" }\n'
           '[[bridge]]\nname = "br1"\nfail_mode = "secure"\nlocal = false\n'
           '[[bridge.port]]\nname = "to-br0"\ntype = "patch"\noptions = { peer = "to-br1" }\n'
           '[[bridge.port]]\nname = "not-there"\ntype = "afpacket"\n')

# every figure of the page: {what it is: value}
FIGURES = """
const out = {}, data = (e) => Number(e.querySelector("data").value);
for (const t of document.querySelectorAll(".tile")) out[`total ${t.dataset.key}`] = data(t.querySelector(".count"));
for (const r of document.querySelectorAll("#ports tbody tr[data-port]")) {
  for (const [at, name] of [[7, "received"], [8, "forwarded"], [9, "dropped"], [10, "sent"], [11, "not sent"]])
    out[`port ${r.dataset.port} ${name}`] = data(r.cells[at]);
}
for (const r of document.querySelectorAll("#drops tr[data-reason]")) out[`drop ${r.dataset.reason}`] = data(r.cells[1]);
for (const c of document.querySelectorAll("#matrix td[data-to]"))
  if (c.dataset.packets !== "0") out[`talk ${c.parentElement.dataset.from} ${c.dataset.to}`] = Number(c.dataset.packets);
for (const r of document.querySelectorAll("#load tr[data-worker]")) out[`worker ${r.dataset.worker} megaflows`] = data(r.cells[6]);
return out;
"""

# contrast of all text with what is behind it (WCAG 2, 1.4.3): the texts that have less than 4.5
CONTRAST = """
const numbers = (c) => c.match(/[\\d.]+/g).map(Number);
const lum = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
const behind = (e) => {
  const layers = [];
  for (; e; e = e.parentElement) {
    const c = numbers(getComputedStyle(e).backgroundColor);
    layers.push(c);
    if (c[3] === undefined || c[3] === 1) break;
  }
  return layers.reverse().reduce((under, [r, g, b, a = 1]) => [r, g, b].map((v, i) => v * a + (under[i] ?? 255) * (1 - a)), []);
};
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length || e.closest("noscript, .skip")) continue;
  const a = lum(numbers(getComputedStyle(e).color)), b = lum(behind(e));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) bad.push(`${e.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return bad;
"""


def api(switch):
    with urllib.request.urlopen(f"http://127.0.0.1:{switch.metrics_port}/api/snapshot", timeout=10) as answer:
        return json.load(answer)


def figures(s):
    """The same of an answer of the API."""
    t = s["totals"]
    out = {f"total {k}": t[v] for k, v in (("received", "packets"), ("forwarded", "forwarded"), ("consumed", "consumed"),
                                          ("dropped", "dropped"))}
    for p in s["ports"]:
        if not p["peer"] and not p["error"]:
            r, x = p["received"], p["sent"]
            for name, n in (("received", r["packets"]), ("forwarded", r["forwarded"]), ("dropped", r["dropped"]),
                            ("sent", x["packets"]), ("not sent", x["dropped"] + x["errors"])):
                out[f"port {p['name']} {name}"] = n
    out.update({f"drop {d['reason']}": d["packets"] for d in t["drops"] if d["packets"]})
    out.update({f"talk {m['from']} {m['to']}": m["packets"] for m in s["matrix"] if m["packets"]})
    out.update({f"worker {w['name']} megaflows": w["megaflows"] for w in s["workers"]})
    return out


class Page(Case):
    def setUp(self):
        super().setUp()
        body = NO_WORKERS + dummy_ports("br0", 3) + NASTY_PORT + PATCHES
        self.switch = self.start(body).ready()
        self.switch.ctl("ofctl/add-flows", "br0", "in_port=1,udp,actions=2\nin_port=2,actions=1,3\nin_port=3,actions=drop\n"
                        "in_port=1,tcp,actions=9")
        self.switch.ctl("ofctl/barrier", "br0")
        self.sent = 0

    def traffic(self, rounds=20):
        for port, frame, n in (("p1", packets.udp4(), 7), ("p2", packets.udp4(), 3), ("p3", packets.udp4(), 5),
                               ("p1", packets.tcp4(b"x"), 2)):
            for _ in range(rounds):
                self.switch.ctl("netdev-dummy/receive", port, *[frame.hex()] * n)
            self.sent += n * rounds
        until("the packets' fates", lambda: self.switch.settled()["all"]["received"] == self.sent)

    def test_page(self):
        """One browser for all of it: starting one is what takes time."""
        switch = self.switch
        self.traffic()
        browser = Browser(self)
        browser.size(1280, 1600)
        browser.open(f"http://127.0.0.1:{switch.metrics_port}/")
        until("figures", lambda: browser.run("return document.documentElement.dataset.at"))
        with self.subTest("rates while packets come"):
            def moving():
                self.traffic(1)
                return browser.run("return document.querySelector('.tile[data-key=received] .rate').textContent") not in ("…/s", "0/s")
            until("a rate", moving)
        with self.subTest("figures are the API's"):
            wanted = figures(api(switch))
            self.assertEqual(wanted["total received"], self.sent)
            self.assertEqual(wanted["total received"], sum(wanted[f"total {f}"] for f in ("forwarded", "consumed", "dropped")))
            self.assertEqual(wanted["talk p1 p2"], wanted["port p2 sent"])
            until("the page to show them", lambda: browser.run(FIGURES) == wanted or self.last(browser, wanted))
            account = switch.settled()
            self.assertEqual(wanted["drop rule"], account["all"]["reasons"]["rule"])
            scraped = switch.metrics()
            self.assertEqual(wanted["total forwarded"], scraped["ironbridge_packets_total", (("fate", "forwarded"),)])
        with self.subTest("names are text"):
            self.assertIn(NASTY, browser.run("return [...document.querySelectorAll('.port .name')].map((e) => e.textContent)"))
            self.assertEqual(browser.run("return document.querySelectorAll('main b').length"), 0)
            self.assertIn(f"talk p1 {NASTY}", browser.run(FIGURES))
        with self.subTest("topology"):
            shown = browser.run("return [...document.querySelectorAll('.bridge')].map((b) => [b.dataset.bridge, "
                                "[...b.querySelectorAll('.port')].map((p) => [p.dataset.port, p.querySelector('.state').textContent])])")
            shown = {bridge: dict(ports) for bridge, ports in shown}
            self.assertEqual(shown["br0"], {"p1": "up", "p2": "up", "p3": "up", NASTY: "up", "to-br1": "up"})
            self.assertEqual(shown["br1"], {"to-br0": "up", "not-there": "error"})
        with self.subTest("flows"):
            rows = browser.run("return [...document.querySelectorAll('#flows tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))")
            self.assertTrue(any("in_port=p1" in r[0] and "udp" in r[0] and r[1] == "p2" for r in rows), rows)
        with self.subTest("queues"):
            shown = browser.run("return document.querySelector('#ports tr[data-port=p1]').cells[12].textContent")
            self.assertRegex(shown, r"^0 on slow: [\d.]+( k)?/s$")
        with self.subTest("screen readers"):
            self.assertEqual(browser.run("return [...document.querySelectorAll('table')].filter((t) => !t.querySelector('th[scope=row]') "
                                         "&& !t.querySelector('.empty')).map((t) => t.id)"), [])
            headings = browser.run("return [...document.querySelectorAll('section')].map((s) => document.getElementById("
                                   "s.getAttribute('aria-labelledby'))?.textContent)")
            self.assertEqual(len(headings), 8)
            self.assertNotIn(None, headings)
            tree = browser.devtools("Accessibility.getFullAXTree")["nodes"]
            said = [n["name"]["value"] for n in tree if n.get("name") and not n.get("ignored")]
            for name in ("Packets", "Load by core", "Who talks to whom", "Pause", "p1"):
                self.assertIn(name, said)
        with self.subTest("colours"):
            for scheme in ("light", "dark"):
                browser.scheme(scheme)
                self.assertEqual(browser.run(CONTRAST), [], scheme)
                self.picture(browser, scheme)
        with self.subTest("phone"):
            browser.size(360, 740)
            self.assertLessEqual(browser.run("return document.documentElement.scrollWidth"), 360)
            self.picture(browser, "phone")
        with self.subTest("pause"):
            browser.run("document.getElementById('pause').click()")
            at = browser.run("return document.documentElement.dataset.at")
            self.traffic(1)
            self.assertEqual(browser.run("return document.documentElement.dataset.at"), at)
            browser.run("document.getElementById('pause').click()")
            until("later figures", lambda: browser.run("return document.documentElement.dataset.at") != at)
        self.assertEqual(browser.errors(), [])
        with self.subTest("the switch goes"):
            switch.stop()
            until("that to be said", lambda: "no figures" in browser.run("return document.getElementById('status').textContent"))

    def last(self, browser, wanted):
        """What differs, for the message when the wait is over."""
        shown = browser.run(FIGURES)
        self.differ = {k: (shown.get(k), wanted.get(k)) for k in shown.keys() | wanted.keys() if shown.get(k) != wanted.get(k)}
        return not self.differ

    def picture(self, browser, name):
        """IRONBRIDGE_PICTURES names a folder to keep screenshots in."""
        folder = os.environ.get("IRONBRIDGE_PICTURES")
        if folder:
            pathlib.Path(folder, f"{name}.png").write_bytes(base64.b64decode(browser.ask("GET", "/screenshot")))
