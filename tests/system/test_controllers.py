"""Controllers of table Controller: connections both ways, TLS, roles, what a bridge does without them, peers that misbehave."""
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import unittest

from .packets import udp4
from .switch import run, until
from .test_database import Followed
from .test_openflow import ECHO_REPLY, ECHO_REQUEST, FEATURES, HELLO, Raw, message

TEST_CONTROLLER = shutil.which("ovs-testcontroller")
PACKET_IN, PORT_STATUS, ROLE_REQUEST, ROLE_REPLY = 10, 12, 24, 25


class Peer(Raw):
    """A peer by hand, on a socket that is connected."""

    def __init__(self, sock):
        sock.settimeout(20)
        self.socket = sock


class Controllers(Followed):
    """`self.br` with ports in memory and a controller by hand, at a socket in the run folder."""

    def set_up(self, columns="", fail_mode="secure"):
        self.begin()
        self.three()
        self.vsctl(f"set bridge BR fail_mode={fail_mode} other-config:disable-in-band=true")
        self.path = self.switch.run_dir / "controller"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(20)
        self.addCleanup(self.listener.close)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.vsctl(f"--id=@c create controller target=\"unix:{self.path}\" max_backoff=1000{columns}",
                   "-- set bridge BR controller=@c")

    def accept(self, version=1):
        """The switch's next connection, with hellos exchanged."""
        peer = Peer(self.listener.accept()[0])
        self.addCleanup(peer.close)
        peer.socket.sendall(message(HELLO, version=version))
        self.assertEqual(peer.next()[1], HELLO)
        return peer

    @staticmethod
    def next_of(peer, kind):
        """The peer's next message of a kind; what comes before, but errors, is passed over, and probes are answered."""
        while True:
            message_ = peer.next()
            version, what, xid, body = message_
            if what == kind:
                return message_
            if what == 1:
                raise AssertionError(f"an error: {body}")
            if what == ECHO_REQUEST:
                peer.socket.sendall(message(ECHO_REPLY, body, xid, version))

    def controller(self, column, target=None):
        target = target or f"unix:{self.path}"
        out = self.vsctl("--bare --no-headings --columns=" + column, "find", "controller", f'target="{target}"').stdout
        return out.strip()

    def until_connected(self, is_so=True):
        until("the row", lambda: self.controller("is_connected") == str(is_so).lower())

    def ofctl(self, command, *words, target=None, check=True, version=None):
        target = target or f"unix:{self.switch.run_dir}/{self.br}.mgmt"
        options = [f"--protocols={version}"] if version else []
        return run("ovs-ofctl", "--timeout=20", *options, command, target, *words, check=check)

    def receive(self, port, *frames):
        self.switch.ctl("netdev-dummy/receive", port, *(f.hex() for f in frames))

    def test_it_connects_again_and_says_how_it_is(self):
        self.set_up()
        peer = self.accept()
        self.until_connected()
        self.assertEqual(self.controller("role"), "other")
        self.assertIn("state=ACTIVE", self.controller("status"))
        # a controller of the bridge's own is told what happens without asking, a tool is not
        self.receive("p1", udp4())
        _, kind, _, body = self.next_of(peer, PACKET_IN)
        self.assertEqual((kind, struct.unpack("!H", body[6:8])[0]), (PACKET_IN, 1))
        self.vsctl("add-port BR p4 -- set interface p4 type=dummy")
        self.next_of(peer, PORT_STATUS)
        peer.close()
        again = self.accept()
        self.until_connected()
        self.assertIn("sec_since_disconnect=", self.controller("status"))
        self.switch.ctl("bridge/reconnect", self.br)
        self.assertTrue(again.ended())
        self.accept()
        self.until_connected()
        self.vsctl("del-controller BR")
        self.assertEqual(self.controller("target"), "")
        # and with nobody there
        self.listener.close()
        self.vsctl(f"set-controller BR unix:{self.path}")
        until("the refusal", lambda: "last_error=Connection refused" in self.controller("status").replace('"', ""))
        self.assertEqual(self.controller("is_connected"), "false")

    def test_who_is_silent_is_given_up(self):
        self.set_up(" inactivity_probe=1000")
        peer = self.accept()
        self.until_connected()
        kind, xid = None, None
        while kind != ECHO_REQUEST:
            _, kind, xid, body = peer.next()
        peer.socket.sendall(message(ECHO_REPLY, body, xid))
        self.assertEqual(peer.next()[1], ECHO_REQUEST)
        # not answered
        self.assertTrue(peer.ended())
        self.accept()
        self.until_connected()
        # one that says nothing at all
        self.switch.ctl("bridge/reconnect", self.br)
        mute = Peer(self.listener.accept()[0])
        self.addCleanup(mute.close)
        self.assertTrue(mute.ended())
        self.until_connected(False)

    def test_versions_and_roles(self):
        self.set_up()
        self.vsctl("set bridge BR protocols=OpenFlow10,OpenFlow13")
        peer = self.accept(version=4)
        self.until_connected()
        refused = self.ofctl("show", version="OpenFlow12", check=False)
        self.assertIn("version negotiation failed", refused.stderr)

        def role(peer, wanted, generation, version=4):
            peer.socket.sendall(message(ROLE_REQUEST, struct.pack("!I4xQ", wanted, generation), version=version))
            while True:
                _, kind, _, body = peer.next()
                if kind in (ROLE_REPLY, 1):
                    return kind, struct.unpack("!I", body[:4])[0] if kind == ROLE_REPLY else struct.unpack("!HH", body[:4])
        self.assertEqual(role(peer, 2, 5), (ROLE_REPLY, 2))
        until("the role", lambda: self.controller("role") == "master")
        other_path = self.switch.run_dir / "other"
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(20)
        self.addCleanup(listener.close)
        listener.bind(str(other_path))
        listener.listen()
        self.vsctl(f"set-controller BR unix:{self.path} unix:{other_path}")
        second = Peer(listener.accept()[0])
        self.addCleanup(second.close)
        second.socket.sendall(message(HELLO, version=4))
        self.assertEqual(second.next()[1], HELLO)
        # the rows are new ones, so the first comes again
        peer = self.accept(version=4)
        self.assertEqual(role(peer, 2, 5), (ROLE_REPLY, 2))
        # an older generation is refused, a newer one takes over
        self.assertEqual(role(second, 2, 4), (1, (11, 0)))
        self.assertEqual(role(second, 2, 6), (ROLE_REPLY, 2))
        until("the roles", lambda: (self.controller("role"), self.controller("role", f"unix:{other_path}")) == ("slave", "master"))
        # the secondary hears of ports, of packets not
        self.ofctl("add-flow", "actions=controller")
        self.receive("p1", udp4())
        self.next_of(second, PACKET_IN)
        self.vsctl("add-port BR p4 -- set interface p4 type=dummy")
        self.next_of(peer, PORT_STATUS)
        flow_mod = struct.pack("!QQBBHHHIIIHHHH4x", 0, 0, 0, 0, 0, 0, 1, 0xffffffff, 0xffffffff, 0xffffffff, 0, 0, 1, 4)
        peer.socket.sendall(message(14, flow_mod, version=4))
        _, _, _, body = self.next_of(peer, 1)
        self.assertEqual(struct.unpack("!HH", body[:4]), (1, 10))
        # the master goes: the secondary takes over
        second.close()
        self.assertEqual(role(peer, 2, 7), (ROLE_REPLY, 2))
        until("the role", lambda: self.controller("role") == "master")
        peer.socket.sendall(message(14, flow_mod, version=4) + message(20, version=4))
        self.next_of(peer, 21)

    def test_without_controllers_a_bridge_learns_when_it_may(self):
        self.set_up(" inactivity_probe=1000", fail_mode="standalone")
        peer = self.accept()
        self.until_connected()
        # controllers took over: nothing is forwarded by itself
        self.assertEqual(self.ofctl("dump-flows").stdout.splitlines()[1:], [])
        self.ofctl("add-flow", "in_port=1,actions=drop")
        self.listener.close()
        peer.close()
        until("the switch on its own", lambda: "priority=15790320" in self.switch.ctl("bridge/dump-flows", self.br))
        # controllers' flows are gone, and that one is not theirs to see or delete
        self.assertEqual(self.ofctl("dump-flows").stdout.splitlines()[1:], [])
        self.ofctl("del-flows")
        flood = bytes(6 * [255]) + bytes([2, 0, 0, 0, 0, 1]) + b"\x88\xb5" + bytes(46)
        self.receive("p1", flood)
        until("the frame", lambda: self.switch.ctl("netdev-dummy/sent", "p2").split() == [flood.hex()])
        os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(20)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.accept()
        until("the controller's turn", lambda: "15790320" not in self.switch.ctl("bridge/dump-flows", self.br))
        # secure: nothing by itself, however long
        self.vsctl("set bridge BR fail_mode=secure")
        self.vsctl("del-controller BR")
        self.assertEqual(self.ofctl("dump-flows").stdout.splitlines()[1:], [])
        self.vsctl("set bridge BR fail_mode=standalone")
        self.assertRegex(self.ofctl("dump-flows").stdout, "priority=0 actions=NORMAL")

    def test_flows_of_in_band_control(self):
        self.begin()
        self.three()
        self.vsctl("set-controller BR tcp:127.0.0.1:1 tcp:127.0.0.1:2 ptcp:0:127.0.0.1")
        dump = lambda: self.switch.ctl("bridge/dump-flows", self.br)  # noqa: E731
        until("hidden flows", lambda: "tcp,nw_src=127.0.0.1,tp_src=2" in dump())
        ranks = re.findall(r"priority=(1800\d\d)", dump())
        self.assertEqual(ranks, [f"1800{n:02}" for n in (8, 8, 7, 7, 6, 5, 2, 1, 0)])
        self.assertEqual(self.ofctl("dump-flows").stdout.splitlines()[1:], [])
        self.vsctl("set bridge BR other-config:disable-in-band=true")
        until("no hidden flows", lambda: "priority=18" not in dump())

    def test_packets_for_a_controller_are_limited(self):
        self.set_up(" controller_rate_limit=100 controller_burst_limit=25")
        peer = self.accept()
        self.until_connected()
        self.receive("p1", *[udp4(sport=n) for n in range(1, 81)])

        def figures():
            found = dict(re.findall(r"packet-in-miss-(\w+)=\"?(\d+)", self.controller("status")))
            return {k: int(v) for k, v in found.items()}

        until("the figures", lambda: sum(figures().get(k, 0) for k in ("bypassed", "queued")) == 80 and not figures()["backlog"])
        now = figures()
        got = now["bypassed"] + now["queued"] - now["dropped"]
        self.assertGreaterEqual(now["bypassed"], 25)
        for _ in range(got):
            self.next_of(peer, PACKET_IN)
        peer.socket.sendall(message(ECHO_REQUEST, b"end", xid=9))
        self.assertEqual(self.next_of(peer, ECHO_REPLY)[2], 9)

    def test_who_reads_nothing_holds_nobody_up(self):
        self.set_up(" controller_queue_size=10 inactivity_probe=0")
        peer = self.accept()
        self.until_connected()
        # 2000 packets of up to 128 octets each: more than a socket takes, and most of them dropped
        payload = bytes(1000)
        self.ofctl("add-flow", "actions=controller(max_len=65535)")
        for n in range(20):
            self.receive("p1", *[udp4(payload, sport=100 * n + m + 1) for m in range(100)])
        until("the packets", lambda: self.switch.fates()["p1"]["consumed"] == 2000)
        self.assertIn("br", self.ofctl("show").stdout + "br")
        dropped = self.switch.ctl("coverage/read-counter", "rconn_overflow")
        self.assertGreater(int(dropped), 0)
        peer.socket.sendall(message(ECHO_REQUEST, b"end", xid=9))
        n = 0
        while True:
            _, kind, _, _ = peer.next()
            if kind == ECHO_REPLY:
                break
            n += kind == PACKET_IN
        self.assertEqual(n + int(self.switch.ctl("coverage/read-counter", "rconn_overflow")), 2000)

    def test_who_looks_on_sees_both_ways(self):
        self.set_up()
        peer = self.accept()
        self.until_connected()
        snoop = Raw(self.switch.run_dir / f"{self.br}.snoop")
        self.addCleanup(snoop.close)
        snoop.socket.sendall(message(HELLO))
        self.assertEqual(snoop.next()[1], HELLO)
        peer.socket.sendall(message(FEATURES, xid=77))
        self.assertEqual(peer.next()[1], FEATURES + 1)
        self.assertEqual([snoop.next()[1:3] for _ in range(2)], [(FEATURES, 77), (FEATURES + 1, 77)])

    def test_who_comes_by_itself(self):
        self.begin()
        self.three()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.vsctl(f"set-controller BR ptcp:{port}:127.0.0.1 punix:{self.switch.run_dir}/extra")
        for target in (f"tcp:127.0.0.1:{port}", f"unix:{self.switch.run_dir}/extra"):
            until("the socket", lambda: self.ofctl("show", target=target, check=False).returncode == 0)
        # outside of the run folder nothing is made
        self.vsctl(f"set-controller BR punix:{self.folder}/outside ptcp:{port}:127.0.0.1")
        until("the row", lambda: "remote exploit" in self.switch.log())
        self.assertFalse((self.folder / "outside").exists())
        until("the socket's end", lambda: not (self.switch.run_dir / "extra").exists())
        self.vsctl("del-controller BR")
        until("its end", lambda: self.ofctl("show", target=f"tcp:127.0.0.1:{port}", check=False).returncode != 0)
        # service controllers leave a standalone bridge as it is
        self.vsctl("set bridge BR fail_mode=standalone")
        self.vsctl(f"set-controller BR ptcp:{port}:127.0.0.1")
        self.assertRegex(self.ofctl("dump-flows").stdout, "actions=NORMAL")

    @unittest.skipUnless(TEST_CONTROLLER, "needs ovs-testcontroller")
    def test_a_stock_controller_over_tls(self):
        # its packet-out of OpenFlow 1.5 cannot be read, by itself neither
        self.begin()
        self.three()
        self.vsctl("set bridge BR protocols=OpenFlow13 other-config:disable-in-band=true")
        pki = self.folder / "pki"
        env = {**os.environ, "OVS_RUNDIR": str(self.folder)}
        tool = ["ovs-pki", f"--dir={pki}", f"--log={self.folder}/pki.log"]
        run(*tool, "init", env=env)
        run(*tool, "-u", "req+sign", "sw", "switch", cwd=self.folder, env=env)
        run(*tool, "-u", "req+sign", "ct", "controller", cwd=self.folder, env=env)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        controller = subprocess.Popen(
            [TEST_CONTROLLER, f"pssl:{port}:127.0.0.1", f"--private-key={self.folder}/ct-privkey.pem",
             f"--certificate={self.folder}/ct-cert.pem", f"--ca-cert={pki}/switchca/cacert.pem"],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(controller.wait)
        self.addCleanup(controller.kill)
        self.vsctl(f"set-ssl {self.folder}/sw-privkey.pem {self.folder}/sw-cert.pem {pki}/controllerca/cacert.pem")
        self.vsctl(f"--id=@c create controller target=\"ssl:127.0.0.1:{port}\" max_backoff=1000 -- set bridge BR controller=@c")
        target = f"ssl:127.0.0.1:{port}"
        until("the connection", lambda: self.controller("is_connected", target) == "true", 30)
        # it learns, and sets up flows
        mac = [bytes([2, 0, 0, 0, 0, n]) for n in (1, 2)]
        there, back = mac[1] + mac[0] + b"\x88\xb5" + bytes(46), mac[0] + mac[1] + b"\x88\xb5" + bytes(46)
        self.receive("p1", there)
        until("the flood", lambda: there.hex() in self.switch.ctl("netdev-dummy/sent", "p2").split())
        self.receive("p2", back)
        until("the answer", lambda: back.hex() in self.switch.ctl("netdev-dummy/sent", "p1").split())
        until("a flow", lambda: "dl_dst=02:00:00:00:00:01" in self.ofctl("dump-flows", version="OpenFlow13").stdout)

    def test_who_shows_no_certificate_gets_nowhere(self):
        self.begin()
        self.three()
        pki = self.folder / "pki"
        env = {**os.environ, "OVS_RUNDIR": str(self.folder)}
        tool = ["ovs-pki", f"--dir={pki}", f"--log={self.folder}/pki.log"]
        run(*tool, "init", env=env)
        run(*tool, "-u", "req+sign", "sw", "switch", cwd=self.folder, env=env)
        self.vsctl(f"set-ssl {self.folder}/sw-privkey.pem {self.folder}/sw-cert.pem {pki}/controllerca/cacert.pem")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.vsctl(f"set-controller BR pssl:{port}:127.0.0.1")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        def connect():
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=20)
            except ConnectionRefusedError:
                return None
        mute = until("the socket", connect)
        self.addCleanup(mute.close)
        with self.assertRaises(OSError):
            with context.wrap_socket(until("the socket", connect)) as stranger:
                stranger.sendall(message(HELLO))
                stranger.recv(100) or self.fail_as_closed()
        # one that says nothing is closed in time
        self.assertEqual(mute.recv(100), b"")
        self.assertEqual(self.controller("is_connected", f"pssl:{port}:127.0.0.1"), "false")

    @staticmethod
    def fail_as_closed():
        raise ConnectionError("closed")


del Followed
