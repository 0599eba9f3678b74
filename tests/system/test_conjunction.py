"""Conjunctive match (ovs-fields(7)): flows that count only together, on packets, as flows come and go."""
import itertools

from .packets import udp4
from .test_flows import Flows


class Conjunction(Flows):
    def where(self, src, dst):
        out = self.send(udp4(src=f"10.0.0.{src}", dst=f"10.0.0.{dst}"))
        return ",".join(sorted(out))

    def test_clauses_count_together(self):
        sources, destinations = {1, 4, 6}, {2, 5, 6}
        self.flows("conj_id=1,actions=3", "priority=0,actions=2", "priority=100,ip,ip_src=10.0.0.1,ip_dst=10.0.0.4,actions=4",
                   *(f"priority=100,ip,ip_src=10.0.0.{n},actions=conjunction(1,1/2)" for n in sources),
                   *(f"priority=100,ip,ip_dst=10.0.0.{n},actions=conjunction(1,2/2)" for n in destinations))
        wanted = {(a, b): "p4" if (a, b) == (1, 4) else "p3" if a in sources and b in destinations else "p2"
                  for a, b in itertools.product(range(8), repeat=2)}
        # the second round meets caches
        for _ in range(2):
            for pair, port in wanted.items():
                with self.subTest(pair):
                    self.assertEqual(self.where(*pair), port)

    def test_changes_take_effect_at_once(self):
        self.flows("conj_id=7,actions=3", "priority=0,actions=2", "priority=9,ip,ip_src=10.0.0.1,actions=conjunction(7,1/2)")
        self.assertEqual(self.where(1, 2), "p2")
        self.flows("priority=9,ip,ip_dst=10.0.0.2,actions=conjunction(7,2/2)")
        self.assertEqual(self.where(1, 2), "p3")
        # one of its own at the same priority wins, and goes again
        self.flows("priority=9,ip,ip_src=10.0.0.1,ip_dst=10.0.0.2,actions=4")
        self.assertEqual(self.where(1, 2), "p4")
        self.change("ofctl/del-flows", "br0", "--strict priority=9,ip,ip_src=10.0.0.1,ip_dst=10.0.0.2")
        self.assertEqual(self.where(1, 2), "p3")
        # what the condition leads to changes
        self.flows("conj_id=7,actions=1,4")
        self.assertEqual(self.where(1, 2), "p4")
        self.change("ofctl/del-flows", "br0", "conj_id=7")
        self.assertEqual(self.where(1, 2), "p2")
        self.flows("conj_id=7,actions=3")
        self.assertEqual(self.where(1, 2), "p3")
        self.change("ofctl/del-flows", "br0", "--strict priority=9,ip,ip_src=10.0.0.1")
        self.assertEqual(self.where(1, 2), "p2")

    def test_a_lower_priority_when_clauses_lack(self):
        self.flows("conj_id=1,actions=3", "conj_id=2,actions=4", "priority=9,ip,ip_src=10.0.0.1,actions=conjunction(1,1/3),conjunction(2,1/2)",
                   "priority=9,ip,ip_dst=10.0.0.2,actions=conjunction(1,2/3),conjunction(2,2/2)", "priority=5,ip,actions=2")
        self.assertEqual(self.where(1, 2), "p4")
        self.assertEqual(self.where(1, 3), "p2")
        self.flows("priority=9,udp,actions=conjunction(1,3/3)")
        self.assertEqual(self.where(1, 2), "p3")
