"""Hosts behind kernel interfaces: what they say to each other, and with which checksums it arrives."""
import struct

from . import packets
from .net import Host, afpacket_ports, bad_checksums
from .packets import read_pcap
from .switch import NO_WORKERS, Case, run, until

# two hosts on a learning bridge
A, B = "192.0.2.1", "192.0.2.2"
# a transfer that is captured: thousands of packets are enough to look at
SLOWLY = ("-b", "40M")


class Learning(Case):
    def setUp(self):
        super().setUp()
        self.a, self.b = Host(self, A), Host(self, B)

    def both(self, **more):
        return self.start(NO_WORKERS + afpacket_ports(self.a, self.b, **more)).ready()

    def test_ping_and_learning(self):
        switch = self.both()
        self.assertEqual(self.a.ping(B), 3)
        neighbours = self.a.ip("neigh", "show", B).stdout
        self.assertIn(self.b.mac, neighbours)
        fdb = [line.split()[:3] for line in switch.ctl("fdb/show", "br0").splitlines()]
        self.assertIn(["1", "0", self.a.mac], fdb)
        self.assertIn(["2", "0", self.b.mac], fdb)
        fates = switch.settled()
        self.assertGreaterEqual(fates["all"]["received"], 8)
        self.assertEqual(fates["all"]["dropped"], 0, fates)
        self.assertEqual(fates[self.a.port]["sent"], fates[self.b.port]["forwarded"])

    def test_tcp_both_ways_adds_up(self):
        switch = self.both()
        self.assertGreater(self.a.iperf(self, self.b), 1_000_000)
        self.assertGreater(self.a.iperf(self, self.b, "-R"), 1_000_000)
        all_of_them = switch.settled()
        metrics = switch.metrics()
        fates = all_of_them["all"]
        for fate in ("received", "forwarded", "consumed", "dropped"):
            self.assertEqual(metrics["ironbridge_packets_total", (("fate", fate),)], fates[fate], fate)
        self.assertGreater(fates["forwarded"], 100)

    def test_no_bad_checksum_arrives(self):
        self.both()
        for host in (self.a, self.b):
            host.real_checksums()
        captures = [h.capture(self, "tcp or udp or icmp") for h in (self.a, self.b)]
        self.assertEqual(self.a.ping(B), 3)
        self.assertGreater(self.a.iperf(self, self.b, *SLOWLY), 1_000_000)
        self.assertGreater(self.a.iperf(self, self.b, "-u", "-b", "20M"), 100_000)
        for capture in captures:
            path = capture.stop()
            self.assertGreater(len(read_pcap(path)), 20)
            self.assertEqual(bad_checksums(path), [])

    def test_rewritten_partial_checksums(self):
        """Addresses and ports change under checksums that the sender left to the hardware."""
        switch = self.both(fail_mode="secure")
        virtual = "198.51.100.7"
        self.a.ip("route", "add", f"{virtual}/32", "dev", "eth0")
        self.a.ip("neigh", "add", virtual, "lladdr", "02:00:00:00:00:77", "dev", "eth0", "nud", "permanent")
        self.b.ip("neigh", "add", A, "lladdr", self.a.mac, "dev", "eth0", "nud", "permanent")
        switch.ctl("ofctl/add-flow", "br0", f"in_port=1,tcp,nw_dst={virtual},actions=mod_dl_dst:{self.b.mac},"
                   f"mod_nw_dst:{B},mod_nw_tos:32,dec_ttl,2")
        switch.ctl("ofctl/add-flow", "br0", f"in_port=2,tcp,nw_src={B},actions=mod_nw_src:{virtual},dec_ttl,1")
        self.a.real_checksums()
        self.b.real_checksums()
        captures = [h.capture(self, "tcp") for h in (self.a, self.b)]
        self.assertGreater(self.a.iperf(self, self.b, *SLOWLY, to=virtual), 1_000_000)
        for capture in captures:
            path = capture.stop()
            self.assertEqual(bad_checksums(path), [])
            for frame in read_pcap(path):
                self.assertEqual(frame[22], 63)

    def test_frames_without_offload_are_untouched(self):
        switch = self.both(fail_mode="secure")
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,actions=2")
        sender, receiver = self.a.raw(self), self.b.raw(self)
        frames = [packets.udp4(bytes([n % 256]) * n) for n in (18, 19, 100, 1400)] + [packets.tcp4(b"z" * 999)]
        for frame in frames:
            sender.send(frame)
        for frame in frames:
            self.assertEqual(receiver.recv(2000), frame)

    def test_interface_down_and_up(self):
        switch = self.both()
        self.assertEqual(self.a.ping(B), 3)
        run("ip", "link", "set", self.b.port, "down")
        self.assertEqual(self.a.ping(B, 1), 0)
        run("ip", "link", "set", self.b.port, "up")
        until("traffic after the interface came up", lambda: self.a.ping(B, 1) == 1)
        # the kernel says so a moment after frames pass
        until("the link", lambda: f"{self.b.port} 2/2: (afpacket: up" in switch.ctl("dpif/show"))


class Vlans(Case):
    def test_access_and_trunk(self):
        """Two bridges joined by a trunk over a veth pair: hosts of one VLAN talk, TCP included, others do not."""
        a, b, other = Host(self, A), Host(self, B), Host(self, "192.0.2.3")
        x = Host(self).port
        y = f"{x}y"
        self.addCleanup(run, "ip", "link", "del", y, check=False)
        run("ip", "link", "del", x)
        run("ip", "link", "add", x, "type", "veth", "peer", "name", y)
        for end in (x, y):
            run("sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            run("ip", "link", "set", end, "arp", "off", "up")
        trunk = '[[bridge.port]]\nname = "{}"\ntype = "afpacket"\ntrunks = [10, 20]\n'
        switch = self.start(NO_WORKERS + afpacket_ports(a, more=["tag = 10"]) + trunk.format(x)
                            + afpacket_ports(b, other, bridge="br1", more=["tag = 10", "tag = 20"]) + trunk.format(y)).ready()
        self.assertEqual(a.ping(B), 3)
        self.assertEqual(a.ping("192.0.2.3", 1), 0)
        self.assertIn(["2", "10", b.mac], [line.split()[:3] for line in switch.ctl("fdb/show", "br0").splitlines()])
        b.real_checksums()
        a.real_checksums()
        captures = [h.capture(self, "tcp") for h in (a, b)]
        self.assertGreater(a.iperf(self, b, *SLOWLY), 500_000)
        self.assertGreater(a.iperf(self, b, *SLOWLY, "-R"), 500_000)
        for capture in captures:
            path = capture.stop()
            self.assertGreater(len(read_pcap(path)), 20)
            self.assertEqual(bad_checksums(path), [])

    def test_stripped_tag_is_restored(self):
        """The kernel takes the tag out of what it receives; it has to come out at the other side, both kinds of it."""
        a, b = Host(self), Host(self)
        switch = self.start(NO_WORKERS + afpacket_ports(a, b, fail_mode="secure")).ready()
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,dl_vlan=7,actions=2")
        capture = b.capture(self)
        sender = a.raw(self)
        good = [packets.udp4(vlan=7, pcp=5), packets.udp4(b"q" * 60, vlan=7, tpid=0x88A8),
                packets.eth(struct.pack("!HH", 9, 0x0800) + packets.ipv4(packets.udp(b"inner" * 9), 17), 0x8100, vlan=7)]
        for frame in [packets.udp4(vlan=8), packets.udp4(), *good]:
            sender.send(frame)
        until("three frames", lambda: len(capture.frames()) >= 3)
        capture.stop()
        self.assertEqual(capture.frames(), good)


class Local(Case):
    def test_the_bridges_own_port(self):
        """The tap of the bridge's name has an address; a host reaches it, and it the host; it goes when the switch goes."""
        host, name = Host(self, A), f"t{Host.__name__[0].lower()}{self.folder.name[-8:]}"
        switch = self.start(NO_WORKERS + afpacket_ports(host, bridge=name, local=True)).ready()
        inside = Host(self)
        # the tap moves into a namespace of its own, so that nobody's addresses collide
        run("ip", "link", "set", name, "netns", inside.name)
        inside.ip("addr", "add", f"{B}/24", "dev", name)
        inside.ip("link", "set", name, "up")
        inside.address = B
        self.assertEqual(host.ping(B), 3)
        self.assertEqual(inside.ping(A), 3)
        self.assertGreater(host.iperf(self, inside), 500_000)
        self.assertGreater(host.iperf(self, inside, "-R"), 500_000)
        self.assertIn(f"{name} 65534/", switch.ctl("dpif/show"))
        switch.settled()
        switch.stop()
        self.assertNotIn(name, inside.ip("link").stdout)
