"""What a Prometheus sees: names as it wants them, rules and dashboard that ask for what there is."""
import json
import pathlib
import re
import socket
import subprocess
import urllib.parse
import urllib.request

from . import packets
from .net import end
from .switch import Case, dummy_ports, run, until
from .test_dpdk import DPDK, dpdk_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"


class Prometheus(Case):
    def test_files(self):
        run("promtool", "check", "config", CONFIG / "prometheus.yml")
        run("promtool", "test", "rules", ROOT / "tests/alerts.yml")
        # every rule has its unit test
        rules = set(re.findall(r"- alert: (\w+)", (CONFIG / "alerts.yml").read_text()))
        tested = set(re.findall(r"alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:\n", (ROOT / "tests/alerts.yml").read_text()))
        self.assertEqual(rules, tested)

    def test_live(self):
        """A real Prometheus scrapes a switch with every kind of figure; each expression of dashboard and rules finds some."""
        body = f"[cpu]\nworkers = []\n{DPDK}" + dummy_ports("br0", 2, more='[[bridge.port]]\nname = "gone"\ntype = "afpacket"') \
            + dpdk_port("null", 9, "net_null0")
        # what net_null makes is of no use here: its flows drop it
        switch = self.start(body).ready()
        switch.endless = True
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,actions=2")
        url = f"http://127.0.0.1:{switch.metrics_port}/metrics"
        switch.ctl("netdev-dummy/receive", "p1", packets.udp4().hex())
        with urllib.request.urlopen(url, timeout=10) as answer:
            checked = subprocess.run(["promtool", "check", "metrics"], input=answer.read(), capture_output=True)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))

        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        config = self.folder / "prometheus.yml"
        wanted = (CONFIG / "prometheus.yml").read_text().replace("127.0.0.1:9475", f"127.0.0.1:{switch.metrics_port}")
        config.write_text(wanted.replace("15s", "300ms").replace("alerts.yml", str(CONFIG / "alerts.yml")))
        with open(self.folder / "prometheus.log", "w") as log:
            server = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                                       f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(end, server)

        def query(expression):
            text = urllib.parse.urlencode({"query": expression})
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{text}", timeout=10) as answer:
                return json.load(answer)["data"]["result"]

        def scraped():
            try:
                return query('count_over_time(up{job="ironbridge"}[10s]) > 3')
            except OSError:
                return False
        until("scrapes", scraped, 30)
        switch.ctl("netdev-dummy/receive", "p1", *[packets.udp4().hex()] * 10)
        until("a figure that moved", lambda: query('rate(ironbridge_port_tx_packets_total{port="p2"}[10s]) > 0'))
        with self.subTest("dashboard"):
            board = json.loads((CONFIG / "grafana-dashboard.json").read_text())
            expressions = [t["expr"] for p in board["panels"] for t in p.get("targets", [])]
            self.assertGreater(len(expressions), 30)
            for e in expressions:
                plain = e.replace("$__rate_interval", "10s")
                for variable in ("instance", "bridge", "port"):
                    plain = plain.replace(f'"${variable}"', '".+"')
                self.assertNotIn("$", plain)
                selectors = re.findall(r"\w+\{[^}]*\}", plain)
                self.assertTrue(selectors, e)
                for selector in selectors:
                    self.assertTrue(query(selector), f"nothing for {selector} of {e}")
                found = query(plain)
                # a comparison may find nothing for a good reason
                self.assertTrue(found or re.search("> 0|== 0", plain), f"nothing for {e}")
            ids = [p["id"] for p in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
        with self.subTest("dashboard's variables"):
            for v in board["templating"]["list"][1:]:
                name, label = re.match(r"label_values\((.+), (\w+)\)", v["query"]["query"]).groups()
                name = re.sub(r'"\$\w+"', '".+"', name)
                self.assertTrue(all(label in r["metric"] for r in query(name)) and query(name), name)
        with self.subTest("rules"):
            known = set(re.findall(r"ironbridge_\w+", (CONFIG / "alerts.yml").read_text()))
            self.assertGreater(len(known), 8)
            for name in known - {"ironbridge_port_rx_dropped_reason_total"}:
                self.assertTrue(query(name), name)
            down = until("an alert", lambda: query('ALERTS{alertname="IronbridgePortDown"}'))
            self.assertEqual([a["metric"]["port"] for a in down], ["gone"])
            self.assertFalse(query('ALERTS{alertname!="IronbridgePortDown"}'))
