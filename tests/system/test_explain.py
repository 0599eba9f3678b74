"""`ironbridge explain`: which rule did what to a packet, why others did not, and what came of it."""
import subprocess

from .packets import tcp4, udp4, write_pcap
from .test_flows import Flows


class Explain(Flows):
    def explain(self, *arguments, code=0):
        done = subprocess.run([str(self.switch.binary), "explain", "--run-dir", str(self.switch.run_dir), *map(str, arguments)],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_words(self):
        self.flows("priority=20,tcp,nw_dst=10.1.0.0/16,actions=3", "priority=30,arp,actions=normal",
                   "priority=10,ip,actions=resubmit(,1)", "priority=0,actions=2",
                   "table=1,priority=9,tcp,tp_dst=443,actions=2", "table=1,priority=5,tcp,actions=4",
                   "table=1,priority=1,udp,actions=drop")
        said = self.explain("p1", tcp4(dport=80).hex())
        for line in ('(not "arp, priority 30": eth_type is 0x0800, not 0x0806)',
                     '(not "tcp,nw_dst=10.1.0.0/16, priority 20": ip_dst is 192.0.0.0/16, not 10.1.0.0/16)',
                     '(without it, "priority 0" would have matched)',
                     '(not "tcp,tp_dst=443, priority 9": tcp_dst is 80, not 443)', "It is sent to p4."):
            self.assertIn(line, said)
        # what really happens is the same
        self.assertEqual(list(self.send(tcp4(dport=80))), ["p4"])
        said = self.explain("p2", udp4().hex())
        self.assertIn('(not "tcp, priority 5": nw_proto is 17, not 6)', said)
        self.assertIn("It is dropped (rule): The matching rule says drop, or has no action.", said)

    def test_captures(self):
        self.flows("udp,actions=2")
        path = self.folder / "in.pcap"
        write_pcap(path, [udp4(dport=n) for n in range(12)] + [tcp4()])
        said = self.explain("p1", path)
        self.assertEqual((said.count("It is sent to p2."), "packet 11" in said), (10, False))
        said = self.explain("p1", path, "--count", "100")
        self.assertEqual(said.count("It is sent to p2."), 12)
        self.assertIn("packet 13, ", said)
        self.assertIn("It is dropped (table_miss)", said)

    def test_what_is_wrong_is_said(self):
        self.assertIn("nope: no bridge has such a port", self.explain("nope", "00", code=1))
        self.assertIn("zz: neither a capture nor a packet", self.explain("p1", "zz", code=1))
        path = self.folder / "short.pcap"
        path.write_bytes(b"\xd4\xc3\xb2\xa1")
        self.assertIn("short.pcap: cut short", self.explain("p1", path, code=1))
        self.assertIn("Runt", self.explain("p1", "0011", code=1))

    def test_a_large_table_says_how_far_it_looked(self):
        self.flows("priority=0,actions=2")
        self.flows(*(f"priority=9,tcp,nw_src=10.{n >> 16}.{n >> 8 & 255}.{n & 255},actions=3" for n in range(20_500)))
        said = self.explain("p1", udp4().hex())
        self.assertIn("20000 of the table's 20501 rules were compared", said)
        self.assertRegex(said, r"nor \d+ more of higher priority, which fit less")
