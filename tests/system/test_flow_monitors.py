"""Flow monitors: what who watches flows is told, in which order, and that one who does not read holds up nobody."""
import struct
import unittest

from .switch import NO_WORKERS, Case, dummy_ports, run, until
from .test_openflow import ERROR, HELLO, OFCTL, Raw, message

MULTIPART, MULTIPART_REPLY, FLOW_MOD, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 14, 20, 21
MONITOR = 16
INITIAL, ADDED, REMOVED, MODIFIED, ABBREV, PAUSED, RESUMED = range(7)
ANY = 0xffffffff
ALL = 0x5f
OWN = 0x40
MATCH_ALL = struct.pack("!HH4x", 1, 4)


def of14(kind, body=b"", xid=1):
    return message(kind, body, xid, 5)


def watch(number=1, flags=ALL, command=0, table=255, xid=7):
    body = struct.pack("!IIIHBB", number, ANY, ANY, flags, table, command) + MATCH_ALL
    return of14(MULTIPART, struct.pack("!HH4x", MONITOR, 0) + body, xid)


def flow_mod(command=0, priority=1, table=0, cookie=0, xid=1):
    head = struct.pack("!QQBBHHHIIIHH", cookie, 0, table, command, 0, 0, priority, ANY, ANY, ANY, 0, 0)
    return of14(FLOW_MOD, head + MATCH_ALL, xid)


class Watcher(Raw):
    """A connection of OpenFlow 1.4, and what it knows of the flows."""

    def __init__(self, path):
        super().__init__(path)
        self.socket.sendall(of14(HELLO))
        assert self.next()[1] == HELLO
        self.flows = {}

    def updates(self, body):
        """(event, key, cookie) of each, or (event, what it is about)"""
        body, out = body[8:], []
        while body:
            length, event = struct.unpack("!HH", body[:4])
            one, body = body[:length], body[length:]
            if event > MODIFIED:
                out.append((event, struct.unpack("!I", one[4:8])[0]))
                continue
            table, reason, _, _, priority, cookie = struct.unpack("!BBHHH4xQ", one[4:24])
            size = struct.unpack("!H", one[26:28])[0]
            key = (table, priority, one[24:24 + size])
            if event == REMOVED:
                del self.flows[key]
            else:
                assert event != MODIFIED or key in self.flows
                self.flows[key] = cookie
            out.append((event, key, cookie))
        return out

    def step(self):
        """The next message: its kind and updates."""
        _, kind, xid, body = self.next()
        if kind == MULTIPART_REPLY and struct.unpack("!H", body[:2])[0] == MONITOR:
            return "updates", self.updates(body)
        return kind, xid

    def events(self, count):
        out = []
        while len(out) < count:
            what, updates = self.step()
            assert what == "updates", (what, updates)
            out += updates
        return out

    def begin(self, **more):
        self.socket.sendall(watch(**more) + of14(BARRIER_REQUEST, xid=9))
        while True:
            what, told = self.step()
            if what != "updates":
                return what, told


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class FlowMonitors(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 3)).ready()
        self.path = self.switch.run_dir / "br0.mgmt"
        until("the bridge's socket", self.path.exists)

    def of(self, command, *words, version="OpenFlow10", check=True):
        return run(OFCTL, "--timeout=60", f"--protocols={version}", command, f"unix:{self.path}", *words, check=check)

    def watcher(self):
        peer = Watcher(self.path)
        self.addCleanup(peer.close)
        return peer

    def load(self, count, table=0, first=0):
        path = self.folder / "flows"
        path.write_text("".join(f"table={table},priority=7,reg1={n},cookie={n},actions=drop\n" for n in range(first, first + count)))
        self.of("add-flows", str(path))

    def cookies(self, peer):
        return sorted(peer.flows.values())

    def test_many_flows_at_first_come_before_what_is_asked_later(self):
        self.load(3000)
        peer = self.watcher()
        self.assertEqual(peer.begin(), (BARRIER_REPLY, 9))
        self.assertEqual(self.cookies(peer), list(range(3000)))
        # one change of all of them, of its own: before the barrier
        peer.socket.sendall(flow_mod(command=3, xid=0x55) + of14(BARRIER_REQUEST, xid=10))
        events = peer.events(3000)
        self.assertTrue(all(e[0] == REMOVED for e in events))
        self.assertEqual((peer.flows, peer.step()), ({}, (BARRIER_REPLY, 10)))

    def test_own_changes_in_short(self):
        peer = self.watcher()
        peer.begin(flags=ALL & ~OWN)
        peer.socket.sendall(flow_mod(xid=0x51) + flow_mod(priority=2, xid=0x52) + flow_mod(command=3, xid=0x53))
        self.assertEqual(peer.events(3), [(ABBREV, 0x51), (ABBREV, 0x52), (ABBREV, 0x53)])
        self.of("add-flow", "priority=3,cookie=8,actions=drop")
        self.assertEqual([e[0] for e in peer.events(1)], [ADDED])
        self.assertEqual(list(peer.flows.values()), [8])

    def test_what_cannot_be_asked(self):
        peer = self.watcher()
        peer.begin()
        for request, error in ((watch(), (16, 1)), (watch(2, command=1), (16, 3)), (watch(2, command=2), (16, 3)),
                               (watch(3, flags=0), (16, 5)), (watch(3, command=9), (16, 4))):
            peer.socket.sendall(request)
            _, kind, xid, body = peer.next()
            self.assertEqual((kind, xid, struct.unpack("!HH", body[:4])), (ERROR, 7, error))
        peer.socket.sendall(watch(command=2, flags=0))
        self.assertEqual(peer.step(), ("updates", []))
        self.of("add-flow", "actions=drop")
        peer.socket.sendall(of14(BARRIER_REQUEST, xid=11))
        self.assertEqual(peer.step(), (BARRIER_REPLY, 11))
        # not without end
        for n in range(1100):
            peer.socket.sendall(watch(100 + n, flags=ALL & ~1))
            _, kind, xid, body = peer.next()
            if kind == ERROR:
                break
        self.assertEqual((kind, n), (ERROR, 1024))

    def test_who_does_not_read_is_told_the_rest_later(self):
        self.load(300)
        slow, quick = self.watcher(), self.watcher()
        for peer in (slow, quick):
            peer.begin()
        # the quick one reads all along
        for first in range(0, 20000, 1000):
            self.load(1000, table=1, first=first)
            quick.events(1000)
        changes = {"del-flows table=1,cookie=0/1": 10000, "mod-flows table=0,cookie=9,actions=2": 300, "add-flow priority=9,actions=drop": 1}
        for what, count in changes.items():
            self.of(*what.split(" "))
            quick.events(count)
        self.assertEqual(len(quick.flows), 10301)
        # the other was told a part, and that it is told no more
        events = []
        while not events or events[-1][0] != RESUMED:
            events += slow.step()[1]
        kinds = [e[0] for e in events]
        self.assertEqual((kinds.count(PAUSED), kinds.count(RESUMED)), (1, 1))
        before = kinds[:kinds.index(PAUSED)]
        self.assertEqual(set(before), {ADDED})
        self.assertLess(len(before), 20000)
        self.assertEqual(slow.flows, quick.flows)
        # and goes on
        self.of("del-flows", "table=1")
        slow.events(10000)
        quick.events(10000)
        self.assertEqual((slow.flows, len(slow.flows)), (quick.flows, 301))

    def test_a_bundle_is_told_once_it_is_committed(self):
        peer = self.watcher()
        peer.begin()
        path = self.folder / "bundle"
        path.write_text("add cookie=1,actions=drop\nadd cookie=2,in_port=2,actions=1\ndelete in_port=2\n")
        self.of("add-flows", "--bundle", str(path), version="OpenFlow14")
        what, updates = peer.step()
        self.assertEqual((what, [e[0] for e in updates]), ("updates", [ADDED, ADDED, REMOVED]))
        # one that fails is told to nobody
        path.write_text("add cookie=4,in_port=3,actions=drop\nadd in_port=3,actions=group:77\n")
        refused = self.of("add-flows", "--bundle", str(path), version="OpenFlow14", check=False)
        self.assertNotEqual(refused.returncode, 0)
        peer.socket.sendall(of14(BARRIER_REQUEST, xid=12))
        self.assertEqual(peer.step(), (BARRIER_REPLY, 12))

    def test_expiry_and_groups(self):
        peer = self.watcher()
        peer.begin()
        self.of("add-flow", "priority=4,hard_timeout=1,actions=drop")
        self.assertEqual([e[0] for e in peer.events(2)], [ADDED, REMOVED])
        self.of("add-group", "group_id=1,type=all,bucket=output:1", version="OpenFlow14")
        self.of("add-flow", "cookie=5,actions=group:1", version="OpenFlow14")
        self.of("del-groups", version="OpenFlow14")
        self.assertEqual([e[0] for e in peer.events(2)], [ADDED, REMOVED])
        self.assertEqual(peer.flows, {})
