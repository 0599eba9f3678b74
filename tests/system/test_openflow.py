"""OpenFlow connections: the stock ovs-ofctl at a bridge's socket, several versions, packets both ways, peers that misbehave."""
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import unittest

from .packets import udp4
from .switch import NO_WORKERS, Case, dummy_ports, run, until

OFCTL = shutil.which("ovs-ofctl")
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES, BARRIER = 0, 1, 2, 3, 5, 18


def message(kind, body=b"", xid=1, version=1):
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


class Raw:
    """A peer by hand."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))

    def close(self):
        self.socket.close()

    def exactly(self, n):
        out = b""
        while len(out) < n:
            more = self.socket.recv(n - len(out))
            if not more:
                raise ConnectionError("closed")
            out += more
        return out

    def next(self):
        """(version, kind, xid, body)"""
        version, kind, length, xid = struct.unpack("!BBHI", self.exactly(8))
        return version, kind, xid, self.exactly(length - 8)

    def ended(self):
        try:
            while True:
                self.next()
        except (ConnectionError, OSError):
            return True


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class OpenFlow(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 3)).ready()
        self.path = self.switch.run_dir / "br0.mgmt"
        until("the bridge's socket", self.path.exists)

    def of(self, command, *words, version=None, check=True, limit=30):
        options = [f"--protocols={version}"] if version else []
        return run(OFCTL, f"--timeout={limit}", *options, command, f"unix:{self.path}", *words, check=check,
                   timeout=2 * limit)

    def flows(self, *words, version=None):
        """What the stock program prints of the flows, without times."""
        lines = self.of("dump-flows", *words, version=version).stdout.splitlines()[1:]
        return [re.sub(r" duration=[0-9.]+s,| (idle|hard)_age=\d+,", "", line).strip() for line in lines]

    def raw(self, hello=True):
        peer = Raw(self.path)
        self.addCleanup(peer.close)
        if hello:
            peer.socket.sendall(message(HELLO))
            self.assertEqual(peer.next()[1], HELLO)
        return peer

    def test_flows_by_the_stock_program(self):
        self.of("add-flow", "in_port=1,actions=2")
        self.of("add-flow", "priority=5,ip,nw_dst=10.0.0.0/8,cookie=0x7,idle_timeout=60,actions=mod_nw_tos:8,resubmit(,3)")
        self.assertEqual(self.flows(), [
            "cookie=0x0, table=0, n_packets=0, n_bytes=0, in_port=1 actions=output:2",
            "cookie=0x7, table=0, n_packets=0, n_bytes=0, idle_timeout=60, priority=5,ip,nw_dst=10.0.0.0/8 "
            "actions=mod_nw_tos:8,resubmit(,3)"])
        self.assertEqual(self.flows("ip"), self.flows()[1:])
        self.assertEqual(self.flows("cookie=0x7/-1"), self.flows()[1:])
        self.assertEqual(self.flows("out_port=2"), self.flows()[:1])
        self.assertEqual(self.flows(version="OpenFlow13")[1],
                         "cookie=0x7, table=0, n_packets=0, n_bytes=0, idle_timeout=60, reset_counts priority=5,ip,"
                         "nw_dst=10.0.0.0/8 actions=set_field:2->ip_dscp,resubmit(,3)")
        self.assertEqual(self.of("dump-aggregate").stdout.split("): ")[1].strip(),
                         "packet_count=0 byte_count=0 flow_count=2")
        # what one way makes, the other sees
        self.assertIn("priority=5,ip,nw_dst=10.0.0.0/8", self.switch.ctl("ofctl/dump-flows", "br0"))
        self.of("mod-flows", "ip,actions=drop")
        self.assertTrue(self.flows("ip")[0].endswith("actions=drop"))
        self.of("del-flows", "ip")
        self.assertEqual(len(self.flows()), 1)
        refused = self.of("add-flow", "table=0,actions=group:9", version="OpenFlow11", check=False)
        self.assertIn("OFPBAC_BAD_OUT_GROUP", refused.stderr)

    def test_counters_are_those_of_the_packets(self):
        self.of("add-flow", "in_port=1,actions=2,3")
        frames = [udp4(sport=n) for n in range(1, 21)]
        self.switch.ctl("netdev-dummy/receive", "p1", *(f.hex() for f in frames))
        size = sum(map(len, frames))
        until("the flow's counters", lambda: f"n_packets=20, n_bytes={size}, in_port=1" in self.flows()[0])
        shown = self.of("dump-ports").stdout
        self.assertRegex(shown, rf"port +1: rx pkts=20, bytes={size},")
        self.assertRegex(shown, rf"port +2: rx pkts=0, .*\n +tx pkts=20, bytes={size},")
        self.assertRegex(self.of("dump-tables").stdout, r"table 0:\n    active=1, lookup=20, matched=20")

    def test_what_the_switch_is(self):
        shown = self.of("show").stdout
        for part in ("n_tables:254, n_buffers:0", "FLOW_STATS TABLE_STATS PORT_STATS", " 1(p1): addr:", " 3(p3): addr:",
                     "frags=normal miss_send_len=0"):
            self.assertIn(part, shown)
        self.assertNotIn("dpid:0000000000000000", shown)
        self.of("mod-port", "p2", "no-flood")
        self.assertRegex(self.of("dump-ports-desc").stdout, r" 2\(p2\).*\n +config: +NO_FLOOD")
        self.of("mod-port", "p2", "flood")
        self.assertNotIn("NO_FLOOD", self.of("dump-ports-desc").stdout)
        self.assertIn("Open vSwitch", self.of("dump-desc").stdout)
        for version in ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"):
            self.of("probe", version=version)
            self.assertEqual(len(self.of("dump-flows", version=version).stdout.splitlines()), 1)

    def test_queues(self):
        for n in range(10, 16):
            version = f"OpenFlow{n}"
            self.assertIn("port 2 queue 0: bytes=?, pkts=?, errors=?", self.of("queue-stats", "2", version=version).stdout)
            self.assertIn("OFPQOFC_BAD_QUEUE", self.of("queue-stats", "2", "7", version=version).stdout)
            self.assertRegex(self.of("queue-get-config", "2", version=version).stdout, r"port=2\nqueue 0:")
            self.assertIn("OFPQOFC_BAD_PORT", self.of("queue-get-config", "9", version=version).stdout)

    def test_modifications_that_find_no_flow(self):
        for version, adds in (("OpenFlow10", True), ("OpenFlow11", True), ("OpenFlow12", False)):
            self.of("del-flows", version=version)
            self.of("mod-flows", "in_port=1,cookie=3,actions=2", version=version)
            self.assertEqual(len(self.flows(version=version)), adds)
            # what a refused message was is told as a whole
        refused = self.of("add-flow", "tcp,actions=group:77", version="OpenFlow11", check=False).stderr
        self.assertIn("ADD tcp actions=group:77", refused)

    def test_others_are_told_of_groups(self):
        def agreed():
            peer = self.raw(hello=False)
            peer.socket.sendall(message(HELLO, version=5))
            self.assertEqual(peer.next()[1], HELLO)
            return peer

        def done(peer):
            """What comes before the answer to a barrier."""
            peer.socket.sendall(message(20, version=5, xid=99))
            got = []
            while (one := peer.next())[1] != 21:
                got.append(one)
            return got

        first, second = agreed(), agreed()
        # OFPT_SET_ASYNC: changes of groups and meters by others
        first.socket.sendall(message(28, struct.pack("!HHI", 11, 8, 3), version=5))
        self.assertEqual(done(first), [])
        group = message(15, struct.pack("!HBBI", 0, 0, 0, 7), version=5, xid=5)
        second.socket.sendall(group)
        self.assertEqual(done(second), [])
        [(_, kind, _, body)] = done(first)
        self.assertEqual((kind, body), (32, group))
        # its own changes it is not told of
        first.socket.sendall(message(15, struct.pack("!HBBI", 2, 0, 0, 7), version=5))
        self.assertEqual(done(first), [])

    def test_statistics_of_openflow_15(self):
        v = "OpenFlow15"
        self.of("add-flow", "priority=7,in_port=1,idle_timeout=60,actions=2", version=v)
        self.of("add-flow", "ip,nw_dst=10.0.0.0/8,importance=3,actions=3", version=v)
        frame = udp4()
        self.switch.ctl("netdev-dummy/receive", "p1", *[frame.hex()] * 5)
        want = [f"cookie=0x0, table=0, n_packets=0, n_bytes=0, importance=3, ip,nw_dst=10.0.0.0/8 actions=output:3",
                f"cookie=0x0, table=0, n_packets=5, n_bytes={5 * len(frame)}, idle_timeout=60, "
                "priority=7,in_port=1 actions=output:2"]
        until("the counters", lambda: sorted(self.flows(version=v)) == want)
        self.assertEqual(self.of("dump-aggregate", version=v).stdout.split("): ")[1].strip(),
                         f"packet_count=5 byte_count={5 * len(frame)} flow_count=2")
        path = self.folder / "bundled"
        path.write_text("delete ip\nadd table=1,tcp,actions=drop\nadd table=2,udp,actions=1\n")
        run(OFCTL, "--timeout=30", "--bundle", f"--protocols={v}", "add-flows", f"unix:{self.path}", str(path))
        self.assertEqual(len(self.flows("table=1", version=v)), 1)
        self.assertEqual(len(self.flows(version=v)), 3)

    def test_packets_both_ways(self):
        frame = udp4()
        self.of("packet-out", f"in_port=controller,packet={frame.hex()},actions=2,resubmit(,0)")
        sent = lambda port: self.switch.ctl("netdev-dummy/sent", port).split()  # noqa: E731
        until("the frame", lambda: sent("p2") == [frame.hex()])
        self.of("add-flow", "actions=3")
        self.of("packet-out", f"in_port=1,packet={frame.hex()},actions=table")
        until("the frame", lambda: sent("p3") == [frame.hex()])
        # it was received by no port
        self.assertEqual(self.switch.fates()["all"]["received"], 0)
        self.of("add-flow", "priority=40000,in_port=2,actions=controller(max_len=20)")
        monitor = subprocess.Popen([OFCTL, "monitor", f"unix:{self.path}", "65534"], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, env={**os.environ, "OVS_RUNDIR": str(self.folder)})
        self.addCleanup(monitor.wait)
        self.addCleanup(monitor.kill)
        # it asks for packets before it takes some
        until("the monitor", lambda: self.taken(monitor, frame))
        text = monitor.stdout.readline() + monitor.stdout.readline()
        self.assertRegex(text, rf"PACKET_IN.*total_len={len(frame)} in_port=2 \(via action\) data_len=20")

    def test_a_packet_waits_for_a_controller_and_goes_on(self):
        """Both programs give back what waits, and what is left of the actions runs then."""
        frame = udp4()
        self.of("add-flow", "in_port=1,actions=controller(pause),2")
        ours = self.folder / "ovs-ofctl"
        ours.symlink_to(os.path.abspath(os.environ["IRONBRIDGE_BIN"]))
        # those since it was asked last
        sent = lambda: self.switch.ctl("netdev-dummy/sent", "p2").split()  # noqa: E731
        for n, program in enumerate((OFCTL, ours)):
            log, ctl = self.folder / f"told{n}", self.folder / f"told{n}.ctl"
            with open(log, "w") as out:
                subprocess.run([program, "monitor", f"unix:{self.path}", "resume", "--detach", "--no-chdir",
                                f"--pidfile={log}.pid", f"--unixctl={ctl}"], stdin=subprocess.DEVNULL, stdout=out,
                               stderr=out, check=True, timeout=60, env={**os.environ, "OVS_RUNDIR": str(self.folder)})
            self.switch.ctl("netdev-dummy/receive", "p1", frame.hex())
            until("the frame", lambda: sent() == [frame.hex()])
            run("ovs-appctl", "-t", str(ctl), "exit", timeout=60)
            self.assertEqual(log.read_text().count("send: NXT_RESUME"), 1)

    def taken(self, monitor, frame):
        """Sends a frame; whether it went to a controller."""
        before = self.switch.fates()["all"]
        self.switch.ctl("netdev-dummy/receive", "p2", frame.hex())
        after = until("its fate", lambda: (now := self.switch.fates()["all"])["received"] == now["forwarded"] +
                      now["consumed"] + now["dropped"] > before["received"] and now)
        self.assertIsNone(monitor.poll())
        return after["consumed"] > before["consumed"]

    def test_a_flow_that_goes_is_told(self):
        peer = self.raw()
        # OFPT_SET_CONFIG: what it did not ask for from now on
        peer.socket.sendall(message(9, struct.pack("!HH", 0, 128)) + message(BARRIER))
        self.assertEqual(peer.next()[1], BARRIER + 1)
        self.of("add-flow", "send_flow_rem,priority=77,in_port=1,cookie=0x99,actions=2")
        self.of("del-flows")
        _, kind, _, body = peer.next()
        self.assertEqual(kind, 11)
        self.assertEqual(struct.unpack("!QHB", body[40:51]), (0x99, 77, 2))
        self.of("mod-port", "p3", "down")
        _, kind, _, body = peer.next()
        self.assertEqual((kind, body[0], body[16:18]), (12, 2, b"p3"))

    def test_order_and_barriers(self):
        peer = self.raw()
        requests = [message(ECHO_REQUEST, bytes([n]), xid=n) + message(BARRIER, xid=1000 + n) for n in range(100)]
        peer.socket.sendall(b"".join(requests))
        for n in range(100):
            self.assertEqual(peer.next(), (1, ECHO_REPLY, n, bytes([n])))
            self.assertEqual(peer.next()[1:3], (BARRIER + 1, 1000 + n))

    def test_peers_that_misbehave(self):
        first = self.raw(hello=False)
        first.socket.sendall(message(FEATURES))
        self.assertTrue(first.ended())
        other = self.raw(hello=False)
        other.socket.sendall(message(HELLO, version=0x63, body=struct.pack("!HHI", 1, 8, 1 << 30)))
        self.assertEqual(other.next()[1], HELLO)
        _, kind, _, body = other.next()
        self.assertEqual((kind, body[:4]), (ERROR, b"\0\0\0\0"))
        self.assertTrue(other.ended())
        short = self.raw()
        short.socket.sendall(struct.pack("!BBHI", 1, ECHO_REQUEST, 4, 1))
        self.assertTrue(short.ended())
        # what is refused is told, and the connection goes on
        peer = self.raw()
        for request, numbers in ((message(200), (1, 1)), (message(ECHO_REQUEST, version=4), (1, 0)),
                                 (message(14, b"\0" * 10), (1, 6))):
            peer.socket.sendall(request)
            _, kind, _, body = peer.next()
            self.assertEqual((kind, struct.unpack("!HH", body[:4]), body[4:]), (ERROR, numbers, request))
        # one that asks and never reads is not served for ever, and holds nobody up
        greedy = self.raw()
        greedy.socket.settimeout(0.3)
        try:
            while True:
                greedy.socket.sendall(message(ECHO_REQUEST, b"x" * 60_000))
        except OSError:
            pass
        self.of("add-flow", "in_port=3,actions=1")
        self.assertEqual(len(self.flows()), 1)
        # connections that come and go leave nothing
        for _ in range(50):
            self.raw().close()
        self.assertEqual(len(self.flows()), 1)

    def test_bridges_come_and_go(self):
        self.switch.ctl("bridge/add", "br9")
        other = self.switch.run_dir / "br9.mgmt"
        until("its socket", other.exists)
        peer = Raw(other)
        self.addCleanup(peer.close)
        self.switch.ctl("bridge/del", "br9")
        until("its socket to go", lambda: not other.exists())
        self.assertTrue(peer.ended())

    def test_errors_in_bundles_quote_the_flow(self):
        path = self.folder / "wrong"
        path.write_text("table=3,tcp,actions=group:99\n")
        for version in ("OpenFlow13", "OpenFlow14"):
            said = run(OFCTL, "--timeout=30", "--bundle", f"--protocols={version}", "add-flows", f"unix:{self.path}", path,
                       check=False).stderr
            self.assertIn("OFPBAC_BAD_OUT_GROUP", said)
            self.assertRegex(said, r"OFPT_FLOW_MOD \(OF1\.[34]\) \(xid=0x[0-9a-f]+\): ADD table:3 .*tcp actions=group:99")

    def test_groups_are_shown(self):
        self.of("add-group", "group_id=1,type=all,bucket=output:2,bucket=output:3", version="OpenFlow13")
        self.of("add-group", "group_id=2,type=select,bucket=weight:5,output:2", version="OpenFlow13")
        self.of("add-flow", "in_port=1,actions=group:1", version="OpenFlow13")
        frames = [udp4(sport=n) for n in range(1, 6)]
        self.switch.ctl("netdev-dummy/receive", "p1", *(f.hex() for f in frames))
        n = f"packet_count=5,byte_count={sum(map(len, frames))}"
        stats = lambda: self.of("dump-group-stats", version="OpenFlow13").stdout  # noqa: E731
        until("the counters", lambda: n in stats())
        self.assertRegex(stats(), rf"group_id=1,duration=[0-9.]+s,ref_count=1,{n},bucket0:{n},bucket1:{n}\n")
        self.assertRegex(stats(), "group_id=2,duration=[0-9.]+s,ref_count=0,packet_count=0,byte_count=0,bucket0:packet_count=0")
        self.assertEqual(self.of("dump-groups", version="OpenFlow13").stdout.splitlines()[1:],
                         [" group_id=1,type=all,bucket=actions=output:2,bucket=actions=output:3",
                          " group_id=2,type=select,bucket=weight:5,actions=output:2"])
        features = self.of("dump-group-features", version="OpenFlow13").stdout
        for part in ("Types:  0xf", "Capabilities:  0x7", "max_groups=0xffffff00",
                     "actions: output group set_field strip_vlan push_vlan mod_nw_ttl dec_ttl set_mpls_ttl dec_mpls_ttl push_mpls "
                     "pop_mpls set_queue"):
            self.assertIn(part, features)

    def test_what_a_controller_asks_to_be_told(self):
        peer = self.raw(hello=False)
        version = 4
        peer.socket.sendall(message(HELLO, version=version))
        self.assertEqual(peer.next()[1], HELLO)

        def masks():
            peer.socket.sendall(message(26, version=version))
            _, kind, _, body = peer.next()
            self.assertEqual(kind, 27)
            return struct.unpack("!6I", body)
        self.assertEqual(masks(), (3, 0, 7, 7, 15, 0))
        # packets alone, and those of any role
        peer.socket.sendall(message(28, struct.pack("!6I", 3, 3, 0, 0, 0, 0), version=version)
                            + message(9, struct.pack("!HH", 0, 128), version=version))
        self.assertEqual(masks(), (3, 3, 0, 0, 0, 0))
        self.of("mod-port", "p2", "no-flood")
        self.of("add-flow", "actions=controller")
        self.switch.ctl("netdev-dummy/receive", "p1", udp4().hex())
        self.assertEqual(peer.next()[1], 10)

    def test_a_bundle_holds_nobody_up(self):
        version, count = 5, 20_000
        first, second = self.raw(hello=False), self.raw(hello=False)
        for peer in (first, second):
            peer.socket.sendall(message(HELLO, version=version))
            self.assertEqual(peer.next()[1], HELLO)

        def control(kind):
            return message(33, struct.pack("!IHH", 7, kind, 0), version=version)
        first.socket.sendall(control(0))
        self.assertEqual(first.next()[1], 33)
        for start in range(0, count, 1000):
            out = b""
            for n in range(start, start + 1000):
                oxm = struct.pack("!HHHBBHHBBI", 1, 22, 0x8000, 10, 2, 0x0800, 0x8000, 24, 4, n)[:22]
                flow = struct.pack("!QQBBHHHIIIHH", 0, 0, 0, 0, 0, 0, 9, 0xffffffff, 0xffffffff, 0xffffffff, 0, 0)
                flow = message(14, flow + oxm.ljust(24, b"\0"), version=version)
                out += message(34, struct.pack("!IHH", 7, 0, 0) + flow, version=version)
            first.socket.sendall(out)
        first.socket.sendall(message(ECHO_REQUEST, version=version))
        self.assertEqual(first.next()[1], ECHO_REPLY)
        self.assertEqual(self.flows(version="OpenFlow14"), [])
        # the commit is on its way: others are answered again and again, and what changes flows waits for it
        first.socket.sendall(control(4))
        answered = 0
        while not select.select([first.socket], [], [], 0)[0]:
            second.socket.sendall(message(ECHO_REQUEST, b"1", version=version))
            self.assertEqual(second.next()[1], ECHO_REPLY)
            answered += 1
        self.assertGreater(answered, 1)
        self.of("add-flow", "table=9,actions=drop", version="OpenFlow14")
        self.assertEqual(first.next()[1], 33)
        self.assertEqual(self.of("dump-aggregate", version="OpenFlow14").stdout.split("flow_count=")[1].strip(), str(count + 1))
        # a removal of many too
        self.of("del-flows", "ip", version="OpenFlow14")
        self.assertEqual(self.of("dump-aggregate", version="OpenFlow14").stdout.split("flow_count=")[1].strip(), "1")

    def test_many_flows(self):
        count = 20_000
        file = self.folder / "flows"
        file.write_text("".join(f"ip,nw_dst=10.{n >> 16}.{n >> 8 & 255}.{n & 255},actions=2\n" for n in range(count)))
        # ovs-ofctl asks and waits for each
        self.of("add-flows", str(file), limit=120)
        self.assertEqual(self.of("dump-flows").stdout.count("actions=output:2"), count)
        self.of("add-flow", "table=3,tcp,actions=write_actions(output:2),goto_table:4", version="OpenFlow13")
        self.assertEqual(self.flows("table=3", version="OpenFlow13"),
                         ["cookie=0x0, table=3, n_packets=0, n_bytes=0, tcp actions=write_actions(output:2),goto_table:4"])
        # all at once, and everything that is not in the file goes
        one = self.folder / "one"
        one.write_text("in_port=1,actions=3\n")
        run(OFCTL, "--timeout=60", "--bundle", "--protocols=OpenFlow14", "replace-flows", f"unix:{self.path}", one)
        self.assertEqual(self.flows(version="OpenFlow14"),
                         ["cookie=0x0, table=0, n_packets=0, n_bytes=0, in_port=1 actions=output:3"])
