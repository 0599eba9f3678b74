"""A port that misbehaves beside one that does not, on one worker: the other loses nothing, and counters say whose fault it is."""
import struct

from .packets import udp4
from .switch import NO_WORKERS, Case, dummy_ports, until

LIMITS = "[limits]\nflow-limit = 100\nmasks = 8\nmiss-budget = 4\npark = 16\n"
VICTIM, SERVER = "02:00:00:00:00:01", "02:00:00:00:00:03"


def mac(n):
    return ":".join(f"{b:02x}" for b in b"\x06\x66" + struct.pack("!I", n * 2654435761 % 2**32))


class Fairness(Case):
    """Port 1 talks to port 3; port 2 attacks."""

    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + LIMITS + dummy_ports("br0", 3, "standalone", 'other_config = { mac-table-size = "20" }')).ready()
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
