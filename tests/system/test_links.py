"""Links that go and come: what watches a port goes another way, controllers and rows are told."""
import shutil
import unittest

from . import packets
from .net import Host, afpacket_ports
from .switch import Case, run, until
from .test_dummy import Daemon
from .test_openflow import HELLO, Raw, message

OFCTL = shutil.which("ovs-ofctl")
FAILOVER = "group_id=1,type=ff,bucket=watch_port=2,actions=2,bucket=watch_port=3,actions=3"


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class Memory(Daemon):
    def of(self, command, *words, version="OpenFlow13"):
        return run(OFCTL, "--timeout=30", f"--protocols={version}", command, f"unix:{self.folder}/br0.mgmt", *words).stdout

    def sent(self, sport):
        """Which ports a packet leaves by."""
        for port in (2, 3):
            self.ctl("netdev-dummy/sent", f"p{port}")
        self.ctl("netdev-dummy/receive", "p1", packets.udp4(sport=sport).hex())
        return [port for port in (2, 3) if self.ctl("netdev-dummy/sent", f"p{port}")]

    def state(self, port):
        """config and state of a port, as ovs-ofctl says them."""
        lines = self.of("dump-ports-desc", str(port), version="OpenFlow15").splitlines()
        return [line.split(":", 1)[1].strip() for line in lines if line.strip().startswith(("config:", "state:"))]

    def test_what_watches_a_port_goes_another_way(self):
        self.begin()
        self.bridge(ports=(1, 2, 3))
        self.of("del-flows", "")
        self.of("add-group", FAILOVER)
        self.of("add-flow", "in_port=1,actions=group:1")
        # the same packet each time: what was cached must not be what is done
        self.assertEqual(self.sent(7), [2])
        self.ctl("netdev-dummy/set-admin-state", "p2", "down")
        self.assertEqual(self.state(2), ["PORT_DOWN", "LINK_DOWN"])
        self.assertEqual(self.sent(7), [3])
        self.ctl("netdev-dummy/set-admin-state", "p3", "down")
        self.assertEqual(self.sent(7), [])
        self.ctl("netdev-dummy/set-admin-state", "up")
        self.assertEqual(self.state(2), ["0", "LIVE"])
        self.assertEqual(self.sent(7), [2])
        # a controller takes ports down as well
        self.of("mod-port", "p2", "down")
        self.assertEqual(self.sent(7), [3])
        self.vsctl("wait-until", "interface", "p2", "admin_state=down", "link_state=down")
        self.of("mod-port", "p2", "up")
        self.assertEqual(self.sent(7), [2])
        self.vsctl("wait-until", "interface", "p2", "admin_state=up", "link_state=up")

    def test_whoever_names_a_port_without_link_sends_there(self):
        self.begin()
        self.bridge(ports=(1, 2, 3))
        self.of("del-flows", "")
        self.of("add-flow", "in_port=1,actions=2,3")
        self.assertEqual(self.sent(1), [2, 3])
        self.ctl("netdev-dummy/set-admin-state", "p2", "down")
        self.assertEqual(self.sent(1), [2, 3])


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class Kernel(Case):
    def test_a_cable_is_pulled(self):
        hosts = [Host(self) for _ in range(3)]
        switch = self.start(afpacket_ports(*hosts, fail_mode="secure")).ready()
        path = switch.run_dir / "br0.mgmt"
        until("the bridge's socket", path.exists)
        of = lambda *words: run(OFCTL, "--timeout=30", "--protocols=OpenFlow14", words[0], f"unix:{path}", *words[1:]).stdout
        of("add-group", FAILOVER)
        of("add-flow", "in_port=1,actions=group:1")
        until("the link", lambda: "LIVE" in of("dump-ports-desc", "2"))
        controller = Raw(path)
        self.addCleanup(controller.close)
        controller.socket.sendall(message(HELLO))
        self.assertEqual(controller.next()[1], HELLO)
        # SET_CONFIG: who takes whole packets at this socket is told of what happens
        controller.socket.sendall(message(9, b"\0\0\xff\xff"))
        sender, *receivers = [host.raw(self) for host in hosts]
        frame = packets.udp4(sport=7)

        def arrives_at(receiver):
            sender.send(frame)
            while receiver.recv(2000) != frame:
                pass

        arrives_at(receivers[0])
        hosts[1].ip("link", "set", "eth0", "down")
        # OpenFlow 1.0: a port-status (12) that says modified (2) of port 2, its state LINK_DOWN
        _, kind, _, body = controller.next()
        self.assertEqual((kind, body[0], body[8:10]), (12, 2, b"\0\2"))
        self.assertEqual(int.from_bytes(body[8 + 28:8 + 32], "big"), 1)
        arrives_at(receivers[1])
        hosts[1].ip("link", "set", "eth0", "up")
        _, kind, _, body = controller.next()
        self.assertEqual((kind, int.from_bytes(body[8 + 28:8 + 32], "big")), (12, 0))
        receivers[0].close()
        arrives_at(hosts[1].raw(self))
        self.agree(switch)
