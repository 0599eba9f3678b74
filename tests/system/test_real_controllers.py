"""Controllers that people use, on ports in memory: os-ken's learning switches in all versions and over TLS, its REST
controller in two roles with the master killed, faucet with two bridges, VLANs and an ACL."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import unittest

from . import packets
from .switch import run, until
from .test_dummy import Daemon

TOOLS = pathlib.Path(os.environ.get("IRONBRIDGE_TOOLS", pathlib.Path.home() / ".cache/ironbridge/tools")) / "controllers"
RUNNER = pathlib.Path(__file__).with_name("osken.py")
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
VERSIONS = {"simple_switch": "OpenFlow10", "simple_switch_12": "OpenFlow12", "simple_switch_13": "OpenFlow13",
            "simple_switch_14": "OpenFlow14", "simple_switch_15": "OpenFlow15"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def frame(src, dst, vlan=None, payload=bytes(46)):
    return packets.eth(payload, src=src, dst=dst, kind=0x88b5, vlan=vlan)


class Real(Daemon):
    def setUp(self):
        super().setUp()
        if not TOOLS.is_dir():
            self.skipTest("os-ken and faucet are not there: scripts/setup test gets them")
        self.begin()

    def app(self, *words, env=None):
        """Starts os-ken with applications; where it listens for switches."""
        port = free_port()
        self.log = open(self.folder / f"controller-{port}.log", "w")
        self.addCleanup(self.log.close)
        process = subprocess.Popen(
            [sys.executable, str(RUNNER), str(TOOLS), "--ofp-tcp-listen-port", str(port), "--ofp-listen-host", "127.0.0.1",
             *map(str, words)], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={**os.environ, **(env or {})})
        self.addCleanup(self.stop, process)
        return process, port

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.kill()
        process.wait(15)

    def connected(self, target):
        shown = lambda: self.vsctl("--bare", "--columns=is_connected", "find", "controller", f'target="{target}"')
        until(f"{target} to be connected", lambda: set(shown().split()) == {"true"}, 40)

    def ofctl(self, *words, bridge="br0", version="OpenFlow13", check=True):
        return run("ovs-ofctl", "--timeout=30", f"--protocols={version}", words[0], f"unix:{self.folder}/{bridge}.mgmt",
                   *words[1:], check=check).stdout

    def sent(self, port):
        return [bytes.fromhex(line) for line in self.ctl("netdev-dummy/sent", port).split()]

    def arrives(self, frame_, at, ports):
        """Drains `ports`, sends the frame at one; when it comes out at exactly `ports`' members that are named."""
        for port in ports:
            self.sent(port)
        self.ctl("netdev-dummy/receive", at, frame_.hex())
        seen = {port: [] for port in ports}

        def all_there():
            for port in ports:
                seen[port] += self.sent(port)
            return all(seen.values())

        until(f"the frame at {ports}", all_there)
        return seen


@unittest.skipUnless(shutil.which("ovs-ofctl"), "needs ovs-ofctl")
class Learning(Real):
    def learns(self, version, bridge="br0"):
        """A learning switch: unknown goes everywhere, known goes by a flow."""
        there, back = frame(A, B), frame(B, A)
        self.assertEqual(self.arrives(there, "p1", ["p2", "p3"]), {"p2": [there], "p3": [there]})
        self.assertEqual(self.arrives(back, "p2", ["p1"]), {"p1": [back]})
        flows = lambda: self.ofctl("dump-flows", bridge=bridge, version=version)
        until("the flow back", lambda: f"dl_dst={A}" in flows())
        self.assertEqual(self.arrives(there, "p1", ["p2"]), {"p2": [there]})
        until("the flow there", lambda: f"dl_dst={B}" in flows())
        self.sent("p3")
        self.assertEqual(self.arrives(there, "p1", ["p2"]), {"p2": [there]})
        self.assertEqual(self.sent("p3"), [])

    def test_learning_switches_of_all_versions(self):
        self.bridge(ports=(1, 2, 3))
        for app, version in VERSIONS.items():
            with self.subTest(app=app):
                process, port = self.app(f"os_ken.app.{app}")
                target = f"tcp:127.0.0.1:{port}"
                self.vsctl("set", "bridge", "br0", f"protocols={version}", "fail_mode=secure", "--", "set-controller", "br0",
                           target, "--", "set", "controller", "br0", "max_backoff=1000")
                self.ofctl("del-flows", version=version)
                self.vsctl("del-controller", "br0", "--", "set-controller", "br0", target, "--", "set", "controller", "br0",
                           "max_backoff=1000")
                self.connected(target)
                if version > "OpenFlow12":
                    until("the flow for what is unknown", lambda: "CONTROLLER" in self.ofctl("dump-flows", version=version))
                self.learns(version)
                self.vsctl("del-controller", "br0")
                self.stop(process)

    def test_over_tls(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        made = lambda *words: run("openssl", *words, cwd=self.folder)
        made("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
        for name in ("switch", "controller"):
            made("req", "-new", *key[:-2], "-keyout", f"{name}.key", "-out", f"{name}.req", "-subj", f"/CN={name}")
            made("x509", "-req", "-in", f"{name}.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-days", "2",
                 "-out", f"{name}.pem")
        f, port = self.folder, free_port()
        self.app("--ofp-ssl-listen-port", port, "--ctl-privkey", f / "controller.key", "--ctl-cert", f / "controller.pem",
                 "--ca-certs", f / "ca.pem", "os_ken.app.simple_switch_13")
        self.bridge(ports=(1, 2, 3))
        target = f"ssl:127.0.0.1:{port}"
        self.vsctl("set-ssl", f / "switch.key", f / "switch.pem", f / "ca.pem", "--", "set", "bridge", "br0",
                   "protocols=OpenFlow13", "fail_mode=secure", "--", "set-controller", "br0", target, "--", "set", "controller",
                   "br0", "max_backoff=1000")
        self.connected(target)
        until("the flow for what is unknown", lambda: "CONTROLLER" in self.ofctl("dump-flows"))
        self.learns("OpenFlow13")


@unittest.skipUnless(shutil.which("ovs-ofctl"), "needs ovs-ofctl")
class Roles(Real):
    DPID = 0x2a

    def ask(self, port, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("POST" if body is not None else "GET", path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    @staticmethod
    def listens(port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def test_the_master_is_killed(self):
        self.bridge(ports=(1, 2, 3))
        apps = []
        for _ in range(2):
            web = free_port()
            process, port = self.app("--wsapi-host", "127.0.0.1", "--wsapi-port", web, "os_ken.app.ofctl_rest")
            apps.append((process, port, web))
        targets = [f"tcp:127.0.0.1:{port}" for _, port, _ in apps]
        self.vsctl("set", "bridge", "br0", "protocols=OpenFlow13", "fail_mode=secure", f"other-config:datapath-id={self.DPID:016x}",
                   "--", "set-controller", "br0", *targets)
        for target in targets:
            self.connected(target)
        (first, _, one), (_, _, two) = apps
        for web in (one, two):
            until("the web server", lambda: self.listens(web), 40)
            until("the switch's features", lambda: self.DPID in (self.ask(web, "/stats/switches")[1] or []))
        role = lambda web, name: self.ask(web, "/stats/role", {"dpid": self.DPID, "role": name})
        self.assertEqual(role(one, "MASTER")[0], 200)
        self.assertEqual(role(two, "SLAVE")[0], 200)
        roles = lambda: sorted(self.vsctl("--bare", "--columns=role", "find", "controller").split())
        until("the roles", lambda: roles() == ["master", "slave"])
        rule = lambda n: {"dpid": self.DPID, "priority": n, "match": {"in_port": n}, "actions": [{"type": "OUTPUT", "port": 2}]}
        flows = lambda: self.ofctl("dump-flows")
        self.ask(two, "/stats/flowentry/add", rule(1))
        self.ask(one, "/stats/flowentry/add", rule(3))
        until("the master's flow", lambda: "priority=3,in_port=3" in flows())
        # a slave may ask, and only that; what it asked for before has been answered when its statistics come
        shown = self.ask(two, f"/stats/flow/{self.DPID}")[1][str(self.DPID)]
        self.assertEqual([flow["priority"] for flow in shown], [3])
        first.send_signal(signal.SIGKILL)
        until("the loss", lambda: "false" in self.vsctl("--bare", "--columns=is_connected", "find", "controller"))
        self.assertIn("priority=3,in_port=3", flows())
        self.assertEqual(role(two, "MASTER")[0], 200)
        until("the role", lambda: "master" in roles())
        self.ask(two, "/stats/flowentry/add", rule(1))
        until("the new master's flow", lambda: "priority=1,in_port=1" in flows())
        # what there is to ask for is answered
        for what in ("desc", "flow", "aggregateflow", "table", "tablefeatures", "port", "portdesc", "queue", "groupfeatures",
                     "groupdesc", "group", "meterfeatures", "meterconfig", "meter", "role"):
            status, answer = self.ask(two, f"/stats/{what}/{self.DPID}")
            self.assertEqual((what, status, list(answer)), (what, 200, [str(self.DPID)]))


FAUCET = """
vlans:
  office: {vid: 100}
  guests: {vid: 200}
acls:
  no-telnet:
    - rule: {dl_type: 0x0800, nw_proto: 6, tcp_dst: 23, actions: {allow: 0}}
    - rule: {actions: {allow: 1}}
dps:
  sw1:
    dp_id: 0x1
    hardware: "Open vSwitch"
    interfaces:
      1: {native_vlan: office, acls_in: [no-telnet]}
      2: {native_vlan: office}
      3: {tagged_vlans: [office, guests]}
  sw2:
    dp_id: 0x2
    hardware: "Open vSwitch"
    interfaces:
      1: {native_vlan: guests}
      2: {native_vlan: office}
      3: {tagged_vlans: [office, guests]}
"""


@unittest.skipUnless(shutil.which("ovs-ofctl"), "needs ovs-ofctl")
class Faucet(Real):
    def test_two_bridges_vlans_and_an_acl(self):
        (self.folder / "faucet.yaml").write_text(FAUCET)
        env = {"FAUCET_CONFIG": str(self.folder / "faucet.yaml"), "FAUCET_LOG": str(self.folder / "faucet.log"),
               "FAUCET_EXCEPTION_LOG": str(self.folder / "faucet-exceptions.log"), "FAUCET_PROMETHEUS_PORT": str(free_port()),
               "FAUCET_PROMETHEUS_ADDR": "127.0.0.1"}
        _, port = self.app("faucet.faucet", env=env)
        target = f"tcp:127.0.0.1:{port}"
        for n, name in ((1, "br1"), (2, "br2")):
            words = ["add-br", name, "--", "set", "bridge", name, "datapath-type=dummy", "fail_mode=secure", "protocols=OpenFlow13",
                     f"other-config:datapath-id={n:016x}"]
            for p in (1, 2, 3):
                device = f"{name}p{p}"
                words += ["--", "add-port", name, device, "--", "set", "interface", device, "type=dummy", f"ofport_request={p}"]
                if p == 3:
                    # a cable between the two
                    end = f"pstream=punix:{self.folder}/cable" if n == 1 else f"stream=unix:{self.folder}/cable"
                    words += [f"options:{end}"]
            self.vsctl(*words, "--", "set-controller", name, target, "--", "set", "controller", name, "max_backoff=1000")
        self.connected(target)
        cable = lambda: self.ctl("netdev-dummy/conn-state", "br2p3")
        until("the cable", lambda: "br2p3: connected" in cable())
        flows = lambda bridge: self.ofctl("dump-flows", bridge=bridge)
        for bridge in ("br1", "br2"):
            until("faucet's flows", lambda: "vlan_vid" in flows(bridge) and "CONTROLLER" in flows(bridge), 40)
        until("the ACL", lambda: "tp_dst=23" in flows("br1"))
        # an office across both switches, and who is no guest of it
        there, back = frame(A, B), frame(B, A)
        self.sent("br2p1")
        self.assertEqual(self.arrives(there, "br1p1", ["br1p2", "br2p2"]), {"br1p2": [there], "br2p2": [there]})
        self.assertEqual(self.sent("br2p1"), [])
        self.assertEqual(self.arrives(back, "br2p2", ["br1p1"]), {"br1p1": [back]})

        def known():
            # both are learned once this goes to one port alone
            seen = self.arrives(there, "br1p1", ["br2p2"])
            return seen == {"br2p2": [there]} and not self.sent("br1p2")

        until("both hosts to be learned", known)
        telnet = lambda port: packets.eth(packets.ipv4(packets.tcp(dport=port), 6), src=A, dst=B)
        allowed, refused = telnet(80), telnet(23)
        self.arrives(allowed, "br1p1", ["br2p2"])
        self.ctl("netdev-dummy/receive", "br1p1", refused.hex())
        self.assertEqual(self.arrives(allowed, "br1p1", ["br2p2"]), {"br2p2": [allowed]}, "telnet is refused")
        exceptions = self.folder / "faucet-exceptions.log"
        self.assertEqual(exceptions.read_text() if exceptions.exists() else "", "")


if __name__ == "__main__":
    unittest.main()
