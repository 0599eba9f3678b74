"""vhost-user ports: frames both ways, guests that come and go, several rings, offload, guests that mean harm."""
import os
import re
import signal
import struct

from .guest import (CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, MRG_RXBUF, OFFLOADS, VERSION_1, GuestCase,
                    bridge)
from .packets import checksums, tcp4, udp4
from .switch import NO_WORKERS, until


class Vhost(GuestCase):
    def test_both_ways(self):
        switch, a, b = self.two()
        there = [udp4(struct.pack("!I", n) + b"x" * (n % 1400), sport=1 + n % 9) for n in range(600)]
        for n in range(0, 600, 200):
            a.send(there[n:n + 200])
            self.assertEqual([f for _, f in self.collect(b, 200)], there[n:n + 200])
        b.send(there[:100])
        self.assertEqual([f for _, f in self.collect(a, 100)], there[:100])
        fates = switch.settled()
        self.assertEqual(fates["all"]["received"], 700)
        self.assertEqual(fates["all"]["forwarded"], 700)
        self.assertEqual((fates["b"]["sent"], fates["a"]["sent"]), (600, 100))
        shown = switch.ctl("vhost/show", "b")
        self.assertIn(f"tx 0: packets 600, bytes {sum(map(len, there))}, overruns 0", shown)
        self.assertIn("rx 0: packets 100, ", shown)

    def test_guest_that_does_not_look(self):
        """Its ring fills; what does not fit is dropped and counted, and nobody else is held up."""
        switch, a, b = self.two()
        for _ in range(4):
            a.send([udp4(sport=7)] * 250)
            until("all taken", a.drained)
        fates = switch.settled()
        self.assertEqual(fates["b"]["sent"], 256)
        self.assertEqual(fates["all"]["reasons"], {"tx_full": 1000 - 256})
        self.assertIn(f"overruns {1000 - 256}", switch.ctl("vhost/show", "b"))
        m = switch.metrics()
        self.assertEqual(m["ironbridge_vhost_overruns_total", (("pair", "0"), ("port", "b"))], 1000 - 256)
        self.assertEqual(len(b.frames()), 256)

    def test_guest_killed_and_back(self):
        """Both kinds of port, many times; the switch keeps its descriptors and frames."""
        switch, a, b = self.two()
        descriptors = lambda: len(os.listdir(f"/proc/{switch.pid}/fd"))
        before = descriptors()
        for n in range(20):
            # the one that listens is found again within a second, which adds up: not each time
            for guest in (a, b) if n % 5 == 0 else (b,):
                guest.send([udp4(sport=7)] * 20)
                guest.start_again()
            self.up(switch, "a", "b")
            a.receive(), b.receive()
            until("frames again", lambda: a.send([udp4(sport=9)]) or udp4(sport=9) in b.frames())
            until("frames back", lambda: b.send([udp4(sport=8)]) or udp4(sport=8) in a.frames())
        until("descriptors to be as before", lambda: descriptors() == before)
        self.assertIn("connections: 5, refused: 0, ", switch.ctl("vhost/show", "a"))
        a.hang_up()
        until("down", lambda: ": down" in self.line(switch, "a"))
        b.send([udp4(sport=1)] * 3)
        fates = switch.settled()
        self.assertIn("sent while no ring was on: ", switch.ctl("vhost/show", "a"))
        self.assertGreaterEqual(fates["all"]["reasons"]["no_guest"], 3)
        until("frames to be back in the pool", lambda: set(
            v for k, v in switch.metrics().items() if k[0] == "ironbridge_mempool_in_use_frames") == {0.0})

    def test_switch_restarted(self):
        """A guest that listens finds the new switch connecting; a socket left by a killed switch is taken over."""
        path, run = self.folder / "a.sock", self.folder / "run"
        run.mkdir()
        a = self.guest(path, start=False, listen=True)
        body = NO_WORKERS + bridge([("a", "dpdkvhostuserclient", f'vhost-server-path = "{path}"', ""),
                                    ("b", "dpdkvhostuser", "", "")], f'vhost-sock-dir = "{run}"\n')
        for n, how in enumerate([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM]):
            switch = self.start(body, name=f"r{n}").ready()
            self.flow(switch, "in_port=1,actions=2")
            a.start()
            b = self.guest(run / "b")
            self.up(switch, "a", "b")
            a.send([udp4(sport=n + 1)])
            self.assertEqual([f for _, f in self.collect(b, 1)], [udp4(sport=n + 1)])
            switch.stop(how)
            self.assertTrue(a.hung_up())
            a.hang_up(), b.hang_up()
            self.assertEqual((run / "b").exists(), how == signal.SIGKILL)

    def test_several_rings(self):
        """Rings beyond the first, turned on and off: frames go by those that are on."""
        switch, a, b = self.two(pairs=4)
        for pair in range(4):
            a.send([udp4(sport=pair + 1)] * 10, pair)
        self.assertEqual(len(self.collect(b, 40)), 40)
        b.enable(0, False)
        until("another ring", lambda: a.send([udp4()], 3) or b.frames(1))
        switch.settled(), b.receive()
        a.send([udp4()] * 5, 3)
        self.assertEqual((len(self.collect(b, 5, 1)), b.frames(0)), (5, []))
        b.enable(0)
        until("the first ring", lambda: a.send([udp4()], 3) or b.frames(0))
        switch.settled()
        self.assertIn("ring pairs: 4", switch.ctl("vhost/show", "a"))
        for pair in range(4):
            self.assertRegex(switch.ctl("vhost/show", "a"), f"rx {pair}: packets [1-9]")

    def test_queues_without_a_ring_are_shown(self):
        """On a polling worker: a receive queue that no guest sends by is disabled."""
        core = max(os.sched_getaffinity(0))
        switch, a, b = self.two(workers=f'[other_config]\npmd-maxsleep = "1000"\n[cpu]\nworkers = [{core}]\n')
        shown = lambda state: re.search(rf"  port: a {{15}}  queue-id:  0 \({state}\) +pmd usage: ", switch.ctl("dpif-netdev/pmd-rxq-show"))
        self.assertTrue(shown("enabled"))
        a.send([udp4(sport=7)] * 5)
        self.collect(b, 5)
        a.enable(1, False)
        until("the queue to be disabled", lambda: shown("disabled"))
        a.enable(1)
        until("the queue to be enabled", lambda: shown("enabled"))
        a.hang_up()
        until("the queue to be disabled", lambda: shown("disabled"))

    def test_checksum_and_segmentation_are_passed_on(self):
        switch, a, b = self.two(more="userspace-tso-enable = true\n", rest="mtu_request = 9000\n",
                                features=VERSION_1 | MRG_RXBUF | OFFLOADS)
        self.assertEqual(a.features & OFFLOADS, OFFLOADS)
        frame = bytearray(tcp4(b"data" * 300))
        frame[50:52] = pseudo(frame)
        a.send([bytes(frame)], header=struct.pack("<BBHHHHH", 1, 0, 54, 0, 34, 16, 0))
        (header, got), = self.collect(b, 1)
        self.assertEqual((header[:10], got), (struct.pack("<BBHHHH", 1, 0, 0, 0, 34, 16), bytes(frame)))
        long = bytearray(tcp4(b"q" * 40000))
        long[50:52] = pseudo(long)
        a.send([bytes(long)], header=struct.pack("<BBHHHHH", 1, 1, 54, 1448, 34, 16, 0))
        (header, got), = self.collect(b, 1)
        self.assertEqual(struct.unpack("<BBHHHH", header[:10]), (1, 1, 54, 1448, 34, 16))
        self.assertEqual(got[54:], bytes(long)[54:])

    def test_checksum_and_segmentation_are_made(self):
        """For a guest that does neither, by a switch that offers both."""
        path = self.folder / "a.sock"
        a = self.guest(path, start=False, listen=True, features=VERSION_1 | MRG_RXBUF | OFFLOADS)
        body = NO_WORKERS + bridge([("a", "dpdkvhostuserclient", f'vhost-server-path = "{path}"', ""),
                                    ("b", "dpdkvhostuser", "", "")], "userspace-tso-enable = true\n")
        switch = self.start(body).ready()
        self.flow(switch, "in_port=1,actions=2")
        a.start()
        b = self.guest(switch.run_dir / "b")
        self.up(switch, "a", "b")
        long = bytearray(tcp4(bytes(range(256)) * 100))
        long[50:52] = pseudo(long)
        a.send([bytes(long)] * 2, header=struct.pack("<BBHHHHH", 1, 1, 54, 1000, 34, 16, 0))
        got = self.collect(b, 2 * 26)
        for header, frame in got:
            self.assertEqual(header[:10], bytes(10))
            self.assertIsNone(checksums(frame))
        self.assertEqual(b"".join(f[54:] for _, f in got), bytes(long)[54:] * 2)
        self.assertEqual(switch.settled()["all"]["forwarded"], 2)

    def test_segmentation_is_offered_only_when_wanted(self):
        _, a, _ = self.two()
        self.assertEqual(a.offered & (HOST_TSO4 | GUEST_TSO4 | GUEST_TSO6), 0)
        self.assertEqual(a.offered & (CSUM | GUEST_CSUM), CSUM | GUEST_CSUM)

    def test_jumbo(self):
        switch, a, b = self.two(rest="mtu_request = 9000\n")
        frame = udp4(bytes(range(256)) * 35)
        a.send([frame] * 5 + [udp4(b"!" * 9100)])
        self.assertEqual([f for _, f in self.collect(b, 5)], [frame] * 5)
        self.assertEqual(switch.settled()["all"]["reasons"], {"oversized": 1})


def pseudo(frame):
    """The sum of TCP's pseudo header, as a sender leaves it to the card: not complemented."""
    length = len(frame) - 34
    words = struct.unpack("!4H", frame[26:34]) + (6, length)
    total = sum(words)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("!H", total)
