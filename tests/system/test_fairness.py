"""A port that misbehaves beside one that does not, on one worker: the other loses nothing, and counters say whose fault it is."""
import itertools
import random
import struct

from .packets import arp, eth, ipv4, ipv6, tcp, tcp4, udp, udp4
from .switch import NO_WORKERS, Case, dummy_ports, until

LIMITS = "[limits]\nflow-limit = 100\nmasks = 8\nmiss-budget = 4\npark = 16\n"
VICTIM, SERVER = "02:00:00:00:00:01", "02:00:00:00:00:03"


def mac(n):
    return ":".join(f"{b:02x}" for b in b"\x06\x66" + struct.pack("!I", n * 2654435761 % 2**32))


class Ports(Case):
    """Port 1 talks to port 3; port 2 attacks."""

    limits = LIMITS

    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + self.limits + dummy_ports("br0", 3, "standalone", 'other_config = { mac-table-size = "20" }')).ready()
        # both are known from the start
        self.receive("p1", udp4(dl_src=VICTIM, dl_dst=SERVER))
        self.receive("p3", udp4(dl_src=SERVER, dl_dst=VICTIM))
        until("both addresses", lambda: self.switch.ctl("fdb/show", "br0").count("\n") == 3)
        self.receive("p1", udp4(dl_src=VICTIM, dl_dst=SERVER))
        self.given = {"p1": 2, "p2": 0, "p3": 1}

    def receive(self, port, *frames):
        self.switch.ctl("netdev-dummy/receive", port, *(f.hex() for f in frames))

    def attack(self, frames, rounds=20):
        """Rounds of 100 frames from the attacker, with some from the victim before and after."""
        for _ in range(rounds):
            for port, batch in (("p1", [udp4(dl_src=VICTIM, dl_dst=SERVER)] * 5), ("p2", [next(frames) for _ in range(100)]),
                                ("p1", [udp4(dl_src=VICTIM, dl_dst=SERVER)] * 5)):
                self.receive(port, *batch)
                self.given[port] += len(batch)
        until("all frames", lambda: self.switch.fates()["all"]["received"] == sum(self.given.values()))
        fates = self.switch.settled()
        for port, n in self.given.items():
            self.assertEqual(fates[port]["received"], n)
        self.assertEqual((fates["p1"]["forwarded"], fates["p1"]["dropped"]), (self.given["p1"], 0), "the victim loses nothing")
        return fates, self.counters()

    def counters(self):
        """{(port, what): n} of what ports asked of others' share."""
        names = ("misses", "over_budget", "masks_capped", "evictions", "fdb_evictions")
        out = {}
        for (name, labels), n in self.switch.metrics().items():
            for what in names:
                if name == f"ironbridge_port_{what}_total":
                    out[dict(labels)["port"], what] = n
        return out

    def blamed(self, counters, what):
        """Ports with more of it than a few."""
        return {port for (port, w), n in counters.items() if w == what and n > 10}


class Fairness(Ports):
    def test_a_storm_of_new_flows_and_addresses(self):
        frames = (udp4(dl_src=mac(n), dl_dst=mac(n + 10**6)) for n in range(10**5))
        fates, counters = self.attack(frames)
        for what in ("misses", "over_budget", "evictions", "fdb_evictions"):
            self.assertEqual(self.blamed(counters, what), {"p2"}, (what, counters))
        self.assertEqual(counters["p1", "over_budget"], 0)
        self.assertEqual(counters["p1", "fdb_evictions"] + counters["p3", "fdb_evictions"], 0)
        # over budget is what waited and what found no place
        budget = fates["all"]["reasons"]["budget"]
        self.assertEqual(fates["p2"]["dropped"], budget)
        self.assertGreater(counters["p2", "over_budget"], budget)
        self.assertEqual(self.switch.metrics()["ironbridge_port_rx_dropped_reason_total", (("bridge", "br0"), ("port", "p2"), ("reason", "budget"))], budget)
        # the table is full of the attacker's addresses, and the others' are still there
        table = self.switch.ctl("fdb/show", "br0")
        self.assertEqual(table.count("\n"), 21)
        self.assertIn(VICTIM, table)
        self.assertIn(SERVER, table)
        flows = self.switch.metrics()["ironbridge_megaflows", (("worker", "slow"),)]
        self.assertLessEqual(flows, 100)

    def test_a_flood_of_broadcasts(self):
        frames = iter(lambda: udp4(dl_src="06:00:00:00:00:66", dl_dst="ff:ff:ff:ff:ff:ff"), None)
        fates, counters = self.attack(frames)
        self.assertEqual(fates["p2"]["forwarded"], self.given["p2"])
        # one flow, whatever there is of it
        self.assertEqual({w: self.blamed(counters, w) for _, w in counters}, {w: set() for _, w in counters})


def extension(kind, following, broken):
    """An IPv6 extension header of this kind; `broken` says how it lies about itself."""
    if kind == 44:
        # a first fragment, a later one, one whose reserved bits are set
        offset = {None: 1, "long": 0x5551, "short": 0x0006}[broken]
        return struct.pack("!BBHI", following, 0, offset, 7)
    length = {None: 0, "long": 255, "short": 0}[broken]
    body = struct.pack("!BB", following, length) + (b"\xc2\x04\xff\xff\xff\xff" if broken == "short" else b"\x01\x04" + bytes(4))
    return body + bytes(8 if kind == 51 and broken is None else 0)


def chains():
    """Thousands of combinations of IPv6 extension headers: hop by hop, routing, fragment, destination, authentication."""
    kinds = (0, 43, 44, 60, 51)
    for depth in (1, 2, 3, 4):
        for chain in itertools.product(kinds, repeat=depth):
            for broken in (None, "long", "short"):
                for last, payload in ((17, udp(b"x" * 8, src="2001:db8::1", dst="2001:db8::2")), (59, b""), (0, b"\0")):
                    following = [*chain[1:], last]
                    packet = payload
                    for at in reversed(range(depth)):
                        packet = extension(chain[at], following[at], broken if at == depth - 1 else None) + packet
                    yield ipv6(packet, chain[0])


class Crafted(Ports):
    """Frames that nobody sends by accident, at a worker that serves other ports too, where flows look at all of them."""

    limits = "[limits]\nmiss-budget = 64\npark = 512\n"
    flows = ("priority=9,ipv6,ip_frag=later,actions=NORMAL", "priority=9,ip,ip_frag=later,nw_ttl=3,actions=NORMAL",
             "priority=8,udp6,tp_dst=53,actions=NORMAL", "priority=8,tcp,tcp_flags=+syn-ack,tp_dst=80,actions=NORMAL",
             "priority=8,icmp6,icmp_type=135,nd_target=2001:db8::1,actions=NORMAL", "priority=8,arp,arp_tpa=192.0.2.9,actions=NORMAL",
             "priority=7,mpls,mpls_label=5,actions=NORMAL", "priority=7,vlan_tci=0x1005/0x1fff,ip,nw_tos=4,actions=NORMAL",
             "priority=6,sctp,tp_dst=9,actions=dec_ttl,NORMAL", "priority=5,udp,tp_dst=54,actions=dec_ttl,mod_nw_tos:8,NORMAL")

    def check(self, frames, least=0):
        frames = list(frames)
        self.assertGreater(len(frames), least)
        frames += frames[-1:] * (-len(frames) % 100)
        self.switch.ctl("ofctl/add-flows", "br0", "\n".join(self.flows))
        self.switch.ctl("ofctl/barrier")
        fates, counters = self.attack(iter(frames), len(frames) // 100)
        self.assertLessEqual(self.blamed(counters, "misses"), {"p2"}, counters)
        self.assertLessEqual(self.blamed(counters, "over_budget"), {"p2"}, counters)
        # what was dropped, was at the port that it came from, for reasons that say it
        metrics = self.switch.metrics()
        blamed = {dict(labels)["port"]: n for (name, labels), n in metrics.items()
                  if name == "ironbridge_port_rx_dropped_reason_total" and n}
        self.assertLessEqual(set(blamed), {"p2"})
        self.assertNotIn("internal", fates["all"]["reasons"])
        self.assertEqual([n for (name, _), n in metrics.items() if "panic" in name and n], [])
        return fates

    def addressed(self, payload, kind):
        return eth(payload, kind, src="06:00:00:00:00:66", dst=SERVER)

    def test_chains_of_extension_headers(self):
        fates = self.check((self.addressed(packet, 0x86DD) for packet in chains()), 5000)
        self.assertGreater(fates["p2"]["forwarded"], 5000)

    def test_truncated(self):
        whole = [udp4(), tcp4(), udp4(vlan=5, dport=54), eth(arp("192.0.2.1", "192.0.2.9")[14:], 0x0806),
                 eth(ipv4(tcp(), 6, options=b"\x07\x27\x04" + bytes(37)), dst=SERVER),
                 self.addressed(ipv6(struct.pack("!BBHI", 135, 0, 0, 0) + bytes(24), 58), 0x86DD),
                 self.addressed(struct.pack("!II", 5 << 12 | 64, 6 << 12 | 0x140) + ipv4(udp(), 17), 0x8847),
                 self.addressed(struct.pack("!HHHH", 5, 0x8100, 6, 0x0800) + ipv4(udp(), 17), 0x88A8)]
        fates = self.check(frame[:n] for frame in whole for n in range(1, len(frame)))
        self.assertEqual(fates["all"]["reasons"]["runt"], 13 * len(whole))

    def test_fragments_lies_and_noise(self):
        def frames():
            seed = random.Random(5)
            for n in range(1500):
                offset, more = seed.randrange(1 << 13), seed.randrange(2)
                yield self.addressed(ipv4(seed.randbytes(seed.randrange(40)), seed.choice((1, 6, 17, 132)), fragment=offset, more=more), 0x0800)
            for n in range(1000):
                # lengths, versions and header lengths that are not so; tags and labels on top of each other
                packet = bytearray(ipv4(udp(dport=54), 17))
                packet[seed.choice((0, 2, 3))] = seed.randrange(256)
                yield self.addressed(bytes(packet), 0x0800)
                packet = bytearray(ipv6(udp(src="2001:db8::1", dst="2001:db8::2"), 17))
                packet[seed.choice((0, 4, 5, 6))] = seed.randrange(256)
                yield self.addressed(bytes(packet), 0x86DD)
                depth = seed.randrange(1, 200)
                yield self.addressed(struct.pack("!HH", n & 0xFFF, seed.choice((0x8100, 0x88A8))) * depth + b"\x08\0" + ipv4(udp(), 17), 0x88A8)
                yield self.addressed(struct.pack("!I", n << 12 | 64) * depth, 0x8847)
            for _ in range(1000):
                yield seed.randbytes(seed.randrange(1, 200))
                yield self.addressed(seed.randbytes(seed.randrange(100)), seed.choice((0x0800, 0x86DD, 0x0806, 0x8847, 0x894F, 0x8100)))
            for length in (1500, 1519, 2000, 9000, 9216):
                yield udp4(bytes(length), dport=54, dl_dst=SERVER)
        self.check(frames(), 7000)
