"""What controllers send: packets in bundles, with fields beside them, before barriers; changes of ports in bundles."""
import struct
import unittest

from .packets import udp4
from .switch import NO_WORKERS, Case, dummy_ports, run, until
from .test_openflow import ERROR, HELLO, OFCTL, Raw, message

PACKET_IN, PACKET_OUT, PORT_MOD, BARRIER_REQUEST, BARRIER_REPLY = 10, 13, 16, 20, 21
BUNDLE_CONTROL, BUNDLE_ADD = 33, 34
OPEN, COMMIT, COMMIT_REPLY = 0, 4, 5
FLAGS = 3
NO_BUFFER, TO_CONTROLLER, PORT_ANY = 0xffffffff, 0xfffffffd, 0xffffffff


def of14(kind, body=b"", xid=1):
    return message(kind, body, xid, 5)


def packet_out(actions, packet, xid=1):
    return of14(PACKET_OUT, struct.pack("!IIH6x", NO_BUFFER, 1, len(actions)) + actions + packet, xid)


def output(port):
    return struct.pack("!HHIH6x", 0, 16, port, 0xffff)


def control(what, xid=1):
    return of14(BUNDLE_CONTROL, struct.pack("!IHH", 7, what, FLAGS), xid)


def add(inner, xid=1):
    return of14(BUNDLE_ADD, struct.pack("!I2xH", 7, FLAGS) + inner, xid)


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class PacketOuts(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 3)).ready()
        self.path = self.switch.run_dir / "br0.mgmt"
        until("the bridge's socket", self.path.exists)
        self.peer = Raw(self.path)
        self.addCleanup(self.peer.close)
        self.peer.socket.sendall(of14(HELLO) + of14(9, struct.pack("!HH", 0, 128)))
        self.assertEqual(self.peer.next()[1], HELLO)

    def of(self, command, *words, version="OpenFlow15", check=True):
        return run(OFCTL, "--timeout=20", f"--protocols={version}", command, f"unix:{self.path}", *words, check=check)

    def kinds(self, count):
        return [self.peer.next()[1] for _ in range(count)]

    def test_a_packet_comes_back_before_the_barrier(self):
        for xid in range(200):
            self.peer.socket.sendall(packet_out(output(TO_CONTROLLER), udp4()) + of14(BARRIER_REQUEST, xid=xid))
            self.assertEqual(self.kinds(2), [PACKET_IN, BARRIER_REPLY])

    def test_a_packet_in_a_bundle_finds_the_tables_of_its_place(self):
        bundle = self.folder / "bundle"
        out = "packet-out in_port=1,packet=" + udp4().hex() + ",actions=table\n"
        bundle.write_text("flow priority=9,in_port=1,cookie=5,actions=controller\n" + out + "flow delete\n")
        self.of("bundle", str(bundle), version="OpenFlow14")
        _, kind, _, body = self.peer.next()
        self.assertEqual((kind, struct.unpack("!Q", body[8:16])[0]), (PACKET_IN, 5))
        self.assertNotIn("cookie", self.of("dump-flows").stdout)
        # one that fails sends none
        bundle.write_text(out + "flow actions=group:77\n")
        self.assertNotEqual(self.of("bundle", str(bundle), version="OpenFlow14", check=False).returncode, 0)
        self.of("add-flow", "actions=controller")
        self.peer.socket.sendall(of14(BARRIER_REQUEST))
        self.assertEqual(self.kinds(1), [BARRIER_REPLY])

    def port(self, number):
        lines = self.of("dump-ports-desc").stdout.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith(f" {number}("))
        return lines[at].split("addr:")[1], lines[at + 1].split(":")[1].strip()

    def test_ports_change_with_a_bundle(self):
        mac, config = self.port(2)
        self.assertEqual(config, "0")
        no_flood = 1 << 5  # OFPPC_NO_FWD in OpenFlow 1.4

        def change(number, address):
            head = struct.pack("!I4x", number) + bytes.fromhex(address.replace(":", "")) + bytes(2)
            return of14(PORT_MOD, head + struct.pack("!II", no_flood, no_flood), 0x44)

        self.peer.socket.sendall(control(OPEN) + add(change(2, mac), 0x44) + control(COMMIT))
        for _ in range(2):
            _, kind, _, body = self.peer.next()
            self.assertEqual(kind, BUNDLE_CONTROL, body)
        self.assertEqual(self.port(2)[1], "NO_FWD")
        # a port that is not there: nothing changes, and the error is about it
        self.peer.socket.sendall(control(OPEN) + add(change(3, self.port(3)[0]), 0x44) + add(change(9, mac), 0x44) + control(COMMIT, 0x45))
        while True:
            _, kind, xid, body = self.peer.next()
            if kind == ERROR:
                break
        self.assertEqual((xid, struct.unpack("!HH", body[:4])), (0x44, (7, 0)))
        self.assertEqual(self.peer.next()[1:3], (ERROR, 0x45))
        self.assertEqual(self.port(3)[1], "0")

    def test_fields_beside_the_packet(self):
        self.of("add-flow", "table=0,metadata=0x33,reg3=7,tun_id=0x11,actions=output:2,controller")
        sent = "in_port=1 metadata=0x33 reg3=7 tun_id=0x11 packet=" + udp4().hex() + " actions=table"
        self.of("packet-out", sent)
        self.peer.socket.sendall(of14(BARRIER_REQUEST))
        self.assertEqual(self.kinds(2), [PACKET_IN, BARRIER_REPLY])
        # otherwise the flow is not for it
        self.of("packet-out", sent.replace("reg3=7", "reg3=8"))
        self.peer.socket.sendall(of14(BARRIER_REQUEST))
        self.assertEqual(self.kinds(1), [BARRIER_REPLY])
