"""What an operator looks at: snapshot, show, stats, flows, top; figures agree with each other."""
import json

from . import packets
from .switch import NO_WORKERS, Case, Refused, dummy_ports, until


class Shown(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 4) + dummy_ports("br1", 0) + '[[bridge.port]]\n'
                                 'name = "q1"\ntype = "dummy"\n').ready()
        for flow in ("in_port=1,udp,actions=2,3,4", "in_port=2,actions=dec_ttl,1", "in_port=3,actions=drop"):
            self.switch.ctl("ofctl/add-flow", "br0", flow)
        self.switch.ctl("ofctl/barrier")
        self.frames = {"p1": 40, "p2": 7, "p3": 5, "q1": 2}
        for port, n in self.frames.items():
            self.switch.ctl("netdev-dummy/receive", port, *(packets.udp4(sport=i + 1).hex() for i in range(n)))
        self.switch.ctl("netdev-dummy/receive", "p1", "010203")
        until("all frames", lambda: self.switch.fates()["all"]["received"] == sum(self.frames.values()) + 1)
        self.fates = self.switch.settled()

    def snapshot(self, *arguments):
        return json.loads(self.switch.ctl("ironbridge/snapshot", *arguments))

    def test_a_snapshot_agrees_with_the_account_and_the_metrics(self):
        shown, metrics = self.snapshot(), self.switch.metrics()
        ports = {p["name"]: p for p in shown["ports"]}
        self.assertEqual(set(ports), {"p1", "p2", "p3", "p4", "q1"})
        for name, port in ports.items():
            mine, theirs = port["received"], self.fates[name]
            for column in ("forwarded", "consumed", "dropped"):
                self.assertEqual(mine[column], theirs[column], (name, column))
            self.assertEqual((mine["packets"], port["sent"]["packets"]), (theirs["received"], theirs["sent"]))
            self.assertEqual(mine["packets"], mine["forwarded"] + mine["consumed"] + mine["dropped"])
            self.assertEqual(mine["dropped"], sum(d["packets"] for d in mine["drops"]))
            self.assertEqual(sum(q["packets"] for q in port["queues"]), mine["packets"])
            self.assertEqual(sum(q["bytes"] for q in port["queues"]), mine["bytes"])
        totals = shown["totals"]
        self.assertEqual({d["reason"]: d["packets"] for d in totals["drops"]}, self.fates["all"]["reasons"])
        self.assertEqual(sum(w["received"]["packets"] for w in shown["workers"]), totals["packets"])
        matrix = {(t["from"], t["to"]): t["packets"] for t in shown["matrix"]}
        self.assertEqual(matrix, {("p1", "p2"): 40, ("p1", "p3"): 40, ("p1", "p4"): 40, ("p2", "p1"): 7})
        for (a, b), n in matrix.items():
            self.assertEqual(metrics["ironbridge_matrix_packets_total", (("from", a), ("to", b))], n)
        for name, port in ports.items():
            self.assertEqual(sum(n for (_, to), n in matrix.items() if to == name), port["sent"]["packets"])
        self.assertEqual({b["name"] for b in shown["bridges"]}, {"br0", "br1"})
        self.assertEqual(sum(b["flows"] for b in shown["bridges"]), 3)
        self.assertEqual(shown["hottest"][0]["matching"][:10], "in_port=p1")
        self.assertEqual(self.snapshot("0")["hottest"], [])
        self.assertEqual(len(self.snapshot("2")["hottest"]), 2)

    def test_a_port_that_goes_is_kept_in_the_totals(self):
        self.switch.ctl("port/del", "p1")
        shown = self.snapshot()
        self.assertEqual(shown["gone"]["packets"], 41)
        self.assertEqual(shown["totals"]["packets"], 41 + sum(p["received"]["packets"] for p in shown["ports"]))
        self.assertEqual({t["from"] for t in shown["matrix"]}, set())

    def test_megaflows_by_match_order_and_bridge(self):
        flows = lambda *a: json.loads(self.switch.ctl("ironbridge/flows", *a))
        self.assertEqual([f["in_port"] for f in flows("match=in_port=2,udp")], ["p2"])
        self.assertEqual([f["in_port"] for f in flows("bridge=br0", "match=in_port=p2")], ["p2"])
        self.assertEqual([f["in_port"] for f in flows("bridge=br1")], ["q1"])
        everything = flows()
        self.assertEqual([f["packets"] for f in everything], sorted((f["packets"] for f in everything), reverse=True))
        self.assertEqual(flows("sort=bytes", "top=1")[0]["packets"], 40)
        self.assertEqual(flows("bridge=br0", "match=in_port=1,udp")[0]["actions"], "p2,p3,p4")
        for wrong, said in (("sort=fish", "sort=fish"), ("match=nw_dst=fish", "fish"), ("bridge=br9", "br9"), ("top=x", "top=x"),
                            ("match=reg0=1", "registers"), ("x", "key=value")):
            with self.assertRaises(Refused) as refused:
                flows(wrong)
            self.assertIn(said, str(refused.exception))
