"""Guests that mean harm, on a port of their own: the switch lives, two good guests lose nothing, everything is counted."""
import os
import random
import select
import socket
import struct
import time

from . import guest as vu
from .guest import USER, GuestCase, bridge, message
from .packets import udp4
from .switch import NO_WORKERS, until


class Hostile(GuestCase):
    def setUp(self):
        super().setUp()
        body = NO_WORKERS + bridge([("a", "dpdkvhostuser", "", ""), ("b", "dpdkvhostuser", "", ""), ("evil", "dpdkvhostuser", "", "")])
        self.switch = self.start(body).ready()
        for flow in ("in_port=1,actions=2", "in_port=2,actions=1", "in_port=3,actions=drop"):
            self.flow(self.switch, flow)
        self.a, self.b = self.guest(self.switch.run_dir / "a"), self.guest(self.switch.run_dir / "b")
        self.up(self.switch, "a", "b")
        self.path, self.sent = self.switch.run_dir / "evil", 0

    def others_are_well(self):
        frames = [udp4(struct.pack("!I", n) + b"well" * 20, sport=1 + n % 5) for n in range(100)]
        self.a.send(frames)
        self.assertEqual([f for _, f in self.collect(self.b, 100)], frames)
        self.sent += 100

    def finish(self):
        """After any of it the port works for a guest that behaves, and the account is whole."""
        self.others_are_well()
        good = self.guest(self.path, start=False)

        def connects():
            try:
                good.start()
                return "evil" in self.line(self.switch, "evil") and until("up", lambda: ": up" in self.line(self.switch, "evil"), 3)
            except (OSError, ConnectionError, AssertionError):
                good.hang_up()
                return False
        until("the port to work again", connects)
        before = self.switch.settled()["evil"]["received"]
        good.send([udp4()] * 10)
        until("its frames", lambda: self.switch.fates()["evil"]["received"] == before + 10)
        fates = self.switch.settled()
        self.assertEqual((fates["a"]["received"], fates["b"]["sent"]), (self.sent, self.sent))
        self.assertNotIn("panic", self.switch.log())

    def connection(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        self.addCleanup(s.close)
        until("the socket to be free", lambda: self.free())
        s.connect(str(self.path))
        return s

    def free(self):
        return "evil:\n  server" in self.switch.ctl("vhost/show", "evil") and "disconnected" in self.switch.ctl("vhost/show", "evil")

    def test_garbage(self):
        dice = random.Random(7)
        null = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, null)
        for n in range(150):
            s = self.connection()
            try:
                if n % 3 == 0:
                    s.sendall(dice.randbytes(dice.randrange(1, 2000)))
                for _ in range(dice.randrange(20)):
                    request, flags = dice.randrange(0, 45), dice.choice([1, 1, 1, 9, 5, 0, 0xffffffff])
                    payload = dice.choice([b"", struct.pack("<Q", dice.randrange(1 << 64)), struct.pack("<II", dice.randrange(300), dice.randrange(1 << 16)),
                                           dice.randbytes(dice.randrange(400)), struct.pack("<IIQQQQ", 1, 0, 0, 1 << 20, USER, 0)])
                    socket.send_fds(s, [message(request, payload, flags)], [null] * dice.randrange(10))
            except OSError:
                pass
            s.close()
            if n % 50 == 0:
                self.others_are_well()
        self.finish()

    def test_half_a_message(self):
        """vhost's thread serves all guests: one that never ends its message must not keep others from coming."""
        s = self.connection()
        s.sendall(message(vu.SET_FEATURES, bytes(8))[:-3])
        self.a.start_again()
        self.up(self.switch, "a")
        self.others_are_well()
        self.assertTrue(select.select([s], [], [], 10)[0])
        s.close()
        self.finish()

    def test_answers_that_nobody_reads(self):
        s = self.connection()
        s.settimeout(0.5)
        try:
            for _ in range(1000):
                s.sendall(message(vu.GET_FEATURES))
        except OSError:
            pass
        self.a.start_again()
        self.up(self.switch, "a")
        s.close()
        self.finish()

    def test_memory_tables(self):
        fd, pipe = os.memfd_create("evil"), os.pipe()
        os.ftruncate(fd, 1 << 20)
        for f in (fd, *pipe):
            self.addCleanup(os.close, f)
        huge = (1 << 64) - 4096
        region = lambda *numbers: struct.pack("<IIQQQQ", 1, 0, *numbers)
        for payload, fds in [(region(0, 1 << 20, USER, 0), []), (region(0, 1 << 20, USER, 0), [pipe[0]]),
                             (region(0, huge, USER, 0), [fd]), (region(0, 1 << 20, USER, huge), [fd]), (region(0, 1 << 45, USER, 0), [fd]),
                             (region(huge, 1 << 20, huge, 4096), [fd]), (region(0, 0, USER, 0), [fd]), (struct.pack("<II", 0, 0), []),
                             (struct.pack("<II", 0xffffffff, 0) + bytes(256), [fd]), (struct.pack("<II", 8, 0) + bytes(256), [fd] * 8),
                             (struct.pack("<II", 2, 0) + struct.pack("<QQQQ", 0, 1 << 20, USER, 0) * 2, [fd, fd])]:
            s = self.connection()
            try:
                s.sendall(message(vu.SET_OWNER) + message(vu.SET_FEATURES, struct.pack("<Q", vu.VERSION_1 | vu.PROTOCOL)))
                socket.send_fds(s, [message(vu.SET_MEM_TABLE, payload)], fds)
                for i in range(2):
                    s.sendall(message(vu.SET_VRING_NUM, struct.pack("<II", i, 256)) + message(vu.SET_VRING_ADDR, struct.pack("<IIQQQQ", i, 0, USER, USER + 8192, USER + 4096, 0))
                              + message(vu.SET_VRING_ENABLE, struct.pack("<II", i, 1)))
            except OSError:
                pass
            s.close()
        self.finish()

    def evil(self):
        until("the socket to be free", self.free)
        return self.guest(self.path)

    def test_rings(self):
        """Indexes that jump, descriptors that lead astray, addresses outside."""
        def jump(g, r):
            r.words[r.avail // 2 + 1] = 40000

        def back(g, r):
            g.send([udp4()] * 20)
            r.words[r.avail // 2 + 1] = 3

        def outside(g, r):
            r.describe(0, 1 << 40, 500, 0)
            r.offer(0)

        def long(g, r):
            r.describe(0, r.buffers, 0xffffffff, 0)
            r.offer(0)

        def loop(g, r):
            r.describe(0, r.buffers, 100, 1, 1)
            r.describe(1, r.buffers, 100, 1, 0)
            r.offer(0)

        def far(g, r):
            r.offer(0xfff0)
            r.describe(1, r.buffers, 100, 1, 0xfffe)
            r.offer(1)

        def short(g, r):
            r.describe(0, r.buffers, 5, 0)
            r.offer(0)

        def indirect(g, r):
            r.describe(0, 1 << 50, 4096, 4)
            r.offer(0)
            r.describe(1, r.buffers, 16 * 300, 4)
            r.offer(1)

        def churn(g, r):
            dice = random.Random(3)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                at = dice.randrange(r.desc, r.desc + 65536 - 8)
                g.memory[at:at + 8] = dice.randbytes(8)

        for harm in (jump, back, outside, long, loop, far, short, indirect, churn):
            with self.subTest(harm.__name__):
                g = self.evil()
                self.up(self.switch, "evil")
                for r in (g.rings[1], g.rings[0]):
                    harm(g, r)
                    self.others_are_well()
                # frames for it, into a ring that is broken
                self.flow(self.switch, "in_port=2,actions=3")
                self.b.send([udp4(b"into it" * 30)] * 40)
                until("all taken", self.b.drained)
                self.flow(self.switch, "in_port=2,actions=1")
                g.close()
        self.finish()

    def test_memory_taken_away(self):
        """ftruncate(2) under the switch: SIGBUS does not end it; the port rests until another guest comes."""
        for n in range(3):
            g = self.evil()
            self.up(self.switch, "evil")
            g.send([udp4()] * 5)
            os.ftruncate(g.memory_fd, 0)
            until("the harm to be seen", lambda: "broken: " in self.switch.ctl("vhost/show", "evil"))
            self.others_are_well()
            g.close()
        self.assertGreaterEqual(self.switch.metrics()["ironbridge_vhost_holes_total", (("port", "evil"),)], 3)
        self.finish()

    def test_second_connection(self):
        """Two guests cannot share a port: the first keeps it."""
        g = self.evil()
        self.up(self.switch, "evil")
        other = socket.socket(socket.AF_UNIX)
        self.addCleanup(other.close)
        other.connect(str(self.path))
        self.assertTrue(select.select([other], [], [], 10)[0])
        self.assertEqual(other.recv(10), b"")
        self.assertIn("refused: 1", self.switch.ctl("vhost/show", "evil"))
        g.send([udp4()] * 5)
        until("its frames", lambda: self.switch.fates()["evil"]["received"] == 5)
        g.close()
        self.finish()
