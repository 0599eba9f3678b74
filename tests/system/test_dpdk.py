"""DPDK ports on captures: what comes out is byte for byte what the flows say."""
import os
import struct

from . import packets
from .net import Host
from .packets import checksums, eth, ipv4, ipv6, read_pcap, tcp4, udp4, write_pcap
from .switch import Case, until

# ordinary pages, so that it runs anywhere and beside anything
DPDK = '[dpdk]\nhugepages = "no"\nsocket-mem = 256\nfile-prefix = ""\n'


def dpdk_port(name, number, devargs, more=""):
    return f'[[bridge.port]]\nname = "{name}"\ntype = "dpdk"\nofport_request = {number}\n' \
           f'options = {{ dpdk-devargs = "{devargs}" }}\n{more}\n'


BRIDGE = '[[bridge]]\nname = "br0"\nfail_mode = "secure"\nlocal = false\nflows = "flows.txt"\n'


class Pcap(Case):
    def through(self, frames, flows, workers="[]"):
        """Runs frames of a capture through flows; (frames at port 2, the account)."""
        folder = self.folder / f"f{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        write_pcap(folder / "in.pcap", frames)
        name = folder.name
        (self.folder / f"flows-{name}.txt").write_text("\n".join(flows) + "\n")
        # ends of a capture's first burst must not be lost: the sending port comes last
        body = f'[cpu]\nworkers = {workers}\n{DPDK}{BRIDGE.replace("flows.txt", f"../flows-{name}.txt")}' \
            + dpdk_port("out", 2, f"net_pcap1,rx_pcap={self.empty()},tx_pcap={folder}/out.pcap") \
            + dpdk_port("in", 1, f"net_pcap0,rx_pcap={folder}/in.pcap,tx_pcap={folder}/back.pcap")
        switch = self.start(body, name=f"s{name}").ready()
        until("all frames", lambda: switch.fates()["in"]["received"] >= len(frames))
        fates = switch.settled()
        metrics = switch.metrics()
        switch.stop()
        return read_pcap(folder / "out.pcap"), fates, metrics

    def empty(self):
        path = self.folder / "empty.pcap"
        write_pcap(path, [])
        return path

    def test_bytes_are_what_the_flows_say(self):
        src, dst = "2001:db8::1", "2001:db8::2"
        u6 = eth(ipv6(packets.udp(b"six" * 5, src=src, dst=dst), 17, src, dst), 0x86DD)
        flows = ["priority=9,udp,tp_dst=1,actions=push_vlan:0x8100,mod_vlan_vid:42,mod_dl_dst:02:00:00:00:00:77,dec_ttl,2",
                 "priority=8,ip,nw_frag=later,actions=dec_ttl,2", "priority=7,udp,actions=2", "priority=7,tcp,actions=dec_ttl,2",
                 "priority=7,udp6,actions=dec_ttl,2", "priority=6,dl_vlan=5,actions=strip_vlan,2"]
        to = {"dl_dst": "02:00:00:00:00:77"}
        cases = [(udp4(dport=1), udp4(dport=1, ttl=63, vlan=42, **to)), (udp4(b"z" * 1400, dport=1), udp4(b"z" * 1400, dport=1, ttl=63, vlan=42, **to)),
                 (udp4(dport=2), udp4(dport=2)), (tcp4(), tcp4(ttl=63)), (tcp4(b"w" * 1400, sport=5), tcp4(b"w" * 1400, sport=5, ttl=63)),
                 (u6, u6[:21] + b"\x3f" + u6[22:]),
                 (eth(ipv4(b"later part" * 9, 17, fragment=40)), eth(ipv4(b"later part" * 9, 17, fragment=40, ttl=63))),
                 # a first fragment's ports are not looked at, unless set-frags says so
                 (udp4(dport=1, more=True), udp4(dport=1, more=True)),
                 (packets.arp("192.0.2.1", "192.0.2.2"), None), (tcp4(ttl=1), None), (udp4(dport=1, ttl=1), None)]
        out, fates, _ = self.through([a for a, _ in cases] * 50, flows)
        wanted = [b for _, b in cases if b] * 50
        self.assertEqual(len(out), len(wanted))
        # frames of one flow keep their order; flows may overtake one another
        self.assertEqual(sorted(out), sorted(wanted))
        for frame in out:
            if frame[12:14] != b"\x81\x00" and frame[20:22] == b"\0\0":
                self.assertIsNone(checksums(frame))
        self.assertEqual(fates["all"]["received"], len(cases) * 50)
        # no rule for ARP; no controller to tell of the TTL
        self.assertEqual((fates["all"]["dropped"], fates["all"]["consumed"]), (3 * 50, 0), fates)
        self.assertEqual(fates["all"]["reasons"], {"table_miss": 50, "ttl_exceeded": 2 * 50}, fates)

    def test_order_within_a_flow(self):
        frames = [udp4(struct.pack("!I", n) + b"f" * 20, sport=1000 + n % 7) for n in range(3000)]
        out, _, metrics = self.through(frames, ["udp,tp_src=1003,actions=mod_nw_tos:8,2", "actions=2"])
        self.assertEqual(len(out), 3000)
        for flow in range(7):
            numbers = [n for f in out for n in struct.unpack("!I", f[42:46]) if n % 7 == flow]
            self.assertEqual(numbers, sorted(numbers))

    def test_garbage(self):
        whole = udp4(b"whole" * 8)
        frames = [whole[:n] for n in range(1, len(whole))] + [eth(b"\x4f" + bytes(19)), eth(b"\x60" + b"\xff" * 39, 0x86DD), b"\xff" * 1500,
                  eth(b"\x81\0" * 40, 0x8100), eth(ipv6(b"\0\xff" * 30, 0), 0x86DD), whole]
        out, fates, _ = self.through(frames, ["udp,actions=dec_ttl,2", "actions=2"])
        self.assertEqual(fates["all"]["received"], len(frames))
        self.assertEqual(len(out), fates["all"]["forwarded"])
        self.assertIn(udp4(b"whole" * 8, ttl=63), out)

    def test_pools_are_whole_afterwards(self):
        folder = self.folder / "p"
        folder.mkdir()
        write_pcap(folder / "in.pcap", [udp4(sport=n + 1) for n in range(500)])
        (self.folder / "flows.txt").write_text("actions=2\n")
        body = '[cpu]\nworkers = []\n' + DPDK + BRIDGE.replace("flows.txt", "../flows.txt") + dpdk_port("out", 2, f"net_null1,no-rx=1")
        switch = self.start(body).ready()
        used = lambda: {k: v for k, v in switch.metrics().items() if k[0] == "ironbridge_mempool_in_use_frames"}
        start = used()
        for n in range(5):
            switch.ctl("port/add", "br0", "in", "dpdk", f"options:dpdk-devargs=net_pcap{n},rx_pcap={folder}/in.pcap,tx_pcap={folder}/b.pcap")
            until("500 frames", lambda: switch.fates()["out"]["sent"] == 500 * (n + 1))
            switch.ctl("port/del", "in")
        until("frames to be back", lambda: used() == start)

    def test_worker_on_a_core(self):
        """The same with a polling worker, and a tap on the slow one: frames cross between threads."""
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one core")
        core = max(os.sched_getaffinity(0))
        frames = [udp4(struct.pack("!I", n) + b"w" * 20, sport=1 + n % 50) for n in range(2000)]
        out, fates, metrics = self.through(frames, ["udp,actions=dec_ttl,2"], workers=f"[{core}]")
        self.assertEqual(sorted(out), sorted(udp4(struct.pack("!I", n) + b"w" * 20, sport=1 + n % 50, ttl=63) for n in range(2000)))
        received = metrics["ironbridge_worker_received_total", (("worker", f"worker{core}"),)]
        self.assertEqual(received, 2000)


class Marked(Case):
    def test_marked_packets_obey_the_newest_rule_under_load(self):
        """Rounds of flow change, barrier, marked packet, on a worker that a capture played without end keeps busy: the mark
        is always the newest rule's. The marked packet comes and goes by other DPDK ports of the same worker."""
        rounds = int(os.environ.get("IRONBRIDGE_ROUNDS", "1000"))
        a, b = Host(self), Host(self)
        write_pcap(self.folder / "load.pcap", [udp4(sport=1000 + n) for n in range(256)])
        (self.folder / "flows.txt").write_text("priority=1,in_port=1,udp,actions=dec_ttl,4\n")
        core = max(os.sched_getaffinity(0))
        body = f"[cpu]\nworkers = [{core}]\n{DPDK}{BRIDGE.replace('flows.txt', '../flows.txt')}" \
            + dpdk_port("load", 1, f"net_pcap0,rx_pcap={self.folder}/load.pcap,infinite_rx=1", "n_rxq_desc = 512") \
            + dpdk_port("in", 2, f"net_af_packet0,iface={a.port}") + dpdk_port("out", 3, f"net_af_packet1,iface={b.port}") \
            + dpdk_port("sink", 4, "net_null1,no-rx=1")
        switch = self.start(body).ready()
        switch.endless = True
        sender, receiver = a.raw(self), b.raw(self)
        frame = udp4(b"marked packet" * 3, sport=9)
        until("load", lambda: switch.fates()["sink"]["sent"] > 10_000)
        before = switch.fates()["sink"]["sent"]
        for n in range(rounds):
            mark = f"02:00:00:00:{n // 256:02x}:{n % 256:02x}"
            switch.ctl("ofctl/add-flow", "br0", f"priority=9,in_port=2,udp,tp_src=9,actions=mod_dl_src:{mark},3")
            switch.ctl("ofctl/barrier", "br0")
            sender.send(frame)
            while True:
                got = receiver.recv(2048)
                if got[12:] == frame[12:]:
                    break
            self.assertEqual(got[6:12], packets.mac(mark), f"round {n}")
        # the load went on all the time
        self.assertGreater(switch.fates()["sink"]["sent"] - before, rounds * 100)
