"""Ports as an operator of OVS-DPDK makes them, by the stock ovs-vsctl, with real frames: DPDK devices, virtual machines, VLANs."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import struct
import unittest

from .guest import DPDK, Guest
from .net import token
from .packets import eth, read_pcap, udp4
from .switch import Control, Refused, run, until
from .test_crosscheck import VSWITCH, Cross
from .test_database import Followed

CORES = sorted(os.sched_getaffinity(0))


class Ports(Followed):
    def begin_dpdk(self, workers=()):
        """A switch with DPDK, as after `other_config:dpdk-init=true`."""
        body = (f'[cpu]\nworkers = {list(workers)}\n{DPDK}enable = "yes"\n[database]\nfile = "{self.state}/conf.db"\n')
        self.switch = self.start(body).ready()
        self.vsctl("add-br BR -- set bridge BR datapath_type=netdev fail_mode=secure")
        return self.switch

    def map(self, name, column):
        return dict(self.get("interface", name, column)[1])

    def flows(self, *flows):
        for flow in flows:
            self.switch.ctl("ofctl/add-flow", self.br, flow)
        self.switch.ctl("ofctl/barrier")

    def error(self, words):
        """What the column says of a port d that is made with these words."""
        done = self.vsctl(f"add-port BR d -- set interface d type=dpdk {words}".strip())
        error = self.get("interface", "d", "error")
        self.assertEqual(self.get("interface", "d", "ofport"), -1)
        # ovs-vsctl says so at once
        self.assertIn("Error detected while setting up 'd'", done.stderr)
        self.assertIn(error, done.stderr)
        self.vsctl("del-port d")
        return error

    def test_dpdk_device(self):
        """Frames go out by a device that gives back what it gets, and come in again."""
        switch = self.begin_dpdk()
        self.vsctl("add-port BR a -- set interface a type=dummy ofport_request=1",
                   "-- add-port BR ring -- set interface ring type=dpdk options:dpdk-devargs=net_ring0 ofport_request=2 mtu_request=1400",
                   "-- add-port BR b -- set interface b type=dummy ofport_request=3")
        self.flows("in_port=1,actions=2", "in_port=2,actions=3")
        frames = [udp4(struct.pack("!I", n) + b"x" * n, sport=1 + n % 7) for n in range(300)]
        for n in range(0, 300, 50):
            switch.ctl("netdev-dummy/receive", "a", *[f.hex() for f in frames[n:n + 50]])
        got = []
        until("all frames", lambda: got.extend(switch.ctl("netdev-dummy/sent", "b").split()) or len(got) == 300)
        self.assertEqual(sorted(got), sorted(f.hex() for f in frames))
        self.assertEqual({c: self.get("interface", "ring", c) for c in ("ofport", "link_state", "admin_state", "mtu", "error", "duplex")},
                         {"ofport": 2, "link_state": "up", "admin_state": "up", "mtu": 1400, "error": ["set", []], "duplex": "full"})
        status = self.map("ring", "status")
        self.assertEqual((status["driver_name"], status["n_rxq"]), ("net_ring", "1"))
        self.assertRegex(self.get("interface", "ring", "mac_in_use"), "^[0-9a-f:]{17}$")
        bytes_ = sum(map(len, frames))
        until("statistics", lambda: self.map("ring", "statistics").get("rx_packets") == 300)
        figures = self.map("ring", "statistics")
        self.assertEqual({k: figures[k] for k in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "tx_dropped")},
                         {"rx_packets": 300, "tx_packets": 300, "rx_bytes": bytes_, "tx_bytes": bytes_, "tx_dropped": 0})
        # another MTU while it is there: the port comes again, under its number
        self.vsctl("set interface ring mtu_request=9000")
        self.assertEqual((self.get("interface", "ring", "mtu"), self.get("interface", "ring", "ofport")), (9000, 2))
        switch.ctl("netdev-dummy/receive", "a", frames[0].hex())
        until("the frame", lambda: switch.ctl("netdev-dummy/sent", "b").split() == [frames[0].hex()])
        self.vsctl("del-port ring")
        self.assertNotIn("ring", switch.ctl("dpif/show"))

    def test_what_a_device_cannot(self):
        """Each has its reason in column error; what is set right comes at once."""
        switch = self.begin_dpdk()
        self.assertIn("dpdk-devargs", self.error(""))
        self.assertIn("net_nope0", self.error("options:dpdk-devargs=net_nope0"))
        self.assertIn("0000:ff:1f.7", self.error("options:dpdk-devargs=0000:ff:1f.7"))
        self.assertIn("mtu_request", self.error("options:dpdk-devargs=net_null0,no-rx=1 mtu_request=9999"))
        self.assertIn("n_rxq", self.error("options:dpdk-devargs=net_null0,no-rx=1 options:n_rxq=0"))
        self.assertIn("n_rxq_desc", self.error("options:dpdk-devargs=net_null0,no-rx=1 options:n_rxq_desc=1000"))
        self.vsctl("add-port BR d -- set interface d type=dpdk options:dpdk-devargs=net_null0,no-rx=1")
        self.assertIn("net_null0", self.second())
        self.vsctl("set interface e options:dpdk-devargs=net_null1,no-rx=1")
        self.assertEqual(self.get("interface", "e", "error"), ["set", []])
        # what a database says is not to be had by other ways
        for words in (("port/add", self.br, "x", "dummy"), ("port/del", "d"), ("bridge/add", "other"), ("bridge/del", self.br),
                      ("other-config/set", "pmd-maxsleep=1")):
            with self.assertRaises(Refused) as refused:
                switch.ctl(*words)
            self.assertIn("use ovs-vsctl", str(refused.exception))

    def second(self):
        self.vsctl("add-port BR e -- set interface e type=dpdk options:dpdk-devargs=net_null0,no-rx=1")
        return self.get("interface", "e", "error")

    @unittest.skipIf(len(CORES) < 2, "one core")
    def test_queues_and_pins(self):
        core = CORES[-1]
        switch = self.begin_dpdk([core])
        self.vsctl("set open_vswitch . other_config:pmd-sleep-max=500")
        self.vsctl("add-port BR d -- set interface d type=dpdk options:dpdk-devargs=net_null0,no-rx=1 options:n_rxq=3",
                   f'options:n_rxq_desc=512 options:n_txq_desc=256 other_config:pmd-rxq-affinity="1:{core}"')
        self.assertEqual(self.map("d", "status")["n_rxq"], "3")
        shown = lambda: switch.ctl("dpif-netdev/pmd-rxq-show")
        # a worker with a pinned queue is that queue's alone; there is no other for the rest
        self.assertRegex(shown(), r"isolated : true\n  port: d +queue-id:  1 ")
        self.vsctl("remove interface d other_config pmd-rxq-affinity")
        self.assertEqual(re.findall(r"port: d +queue-id:  (\d)", shown()), ["0", "1", "2"])
        self.assertIn("isolated : false", shown())
        self.vsctl("set interface d options:n_rxq=2")
        self.assertEqual(self.map("d", "status")["n_rxq"], "2")
        self.assertEqual(re.findall(r"port: d +queue-id:  (\d)", shown()), ["0", "1"])
        # one that cannot be read says so and pins nothing
        self.vsctl("set interface d other_config:pmd-rxq-affinity=fish")
        until("the log", lambda: "pmd-rxq-affinity" in switch.log())

    def test_virtual_machines(self):
        """One whose hypervisor makes the socket, one that connects to the switch's: frames both ways, state, figures."""
        switch = self.begin_dpdk()
        path = self.folder / "a.sock"
        a = Guest(path, listen=True)
        self.addCleanup(a.close)
        self.vsctl(f"add-port BR a -- set interface a type=dpdkvhostuserclient options:vhost-server-path={path} ofport_request=1",
                   "-- add-port BR b -- set interface b type=dpdkvhostuser ofport_request=2")
        self.assertEqual((self.get("interface", "a", "link_state"), self.get("interface", "a", "error")), ("down", ["set", []]))
        self.flows("in_port=1,actions=2", "in_port=2,actions=1")
        a.start()
        b = Guest(switch.run_dir / "b")
        self.addCleanup(b.close)
        b.start()
        for name in "ab":
            until(f"the link of {name}", lambda: self.get("interface", name, "link_state") == "up")
        frames = [udp4(struct.pack("!I", n) + b"x" * 20, sport=1 + n % 5) for n in range(100)]
        a.send(frames)
        got = []
        until("frames at b", lambda: got.extend(b.frames()) or len(got) == 100)
        self.assertEqual(got, frames)
        b.send(frames[:10])
        got = []
        until("frames at a", lambda: got.extend(a.frames()) or len(got) == 10)
        self.assertEqual(got, frames[:10])
        status = self.map("a", "status")
        self.assertEqual((status["mode"], status["status"], status["socket"]), ("client", "connected", str(path)))
        self.assertEqual(self.map("b", "status")["mode"], "server")
        a.close()
        until("the link to go", lambda: self.get("interface", "a", "link_state") == "down")
        until("its status", lambda: self.map("a", "status")["status"] == "disconnected")
        self.assertGreaterEqual(self.get("interface", "a", "link_resets"), 2)
        self.vsctl("del-port a -- del-port b")
        self.assertFalse((switch.run_dir / "b").exists())

    def test_ports_that_come_at_once(self):
        """The first vhost-user ports of a process, opened side by side: one thread serves them."""
        switch = self.begin_dpdk()
        names = [f"v{n}" for n in range(8)]
        self.vsctl(" -- ".join(f"add-port BR {name} -- set interface {name} type=dpdkvhostuser" for name in names))
        threads = []
        for task in pathlib.Path(f"/proc/{switch.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                threads.append((task / "comm").read_text().strip())
        self.assertEqual(threads.count("vhost-events"), 1, threads)
        for name in names:
            guest = Guest(switch.run_dir / name)
            self.addCleanup(guest.close)
            guest.start()
        for name in names:
            until("the link", lambda: self.get("interface", name, "link_state") == "up")


def tagged(tags, mark):
    """A frame to all with tags (VID, PCP, TPID), outermost first, that is told from others by its end."""
    head = bytes(6 * [255]) + bytes([2, 0, 0, 0, 0, 9])
    for vid, pcp, tpid in tags:
        head += struct.pack("!HH", tpid, pcp << 13 | vid)
    return head + b"\x88\xb5" + struct.pack("!HI", 0, mark) + bytes(40)


VLAN_PORTS = (
    ("t1", "vlan_mode=dot1q-tunnel tag=100 cvlans=0,5,6"), ("t2", "vlan_mode=dot1q-tunnel tag=100"),
    ("t3", "vlan_mode=dot1q-tunnel tag=100 other_config:qinq-ethtype=802.1q"), ("all", ""), ("some", "trunks=5,100"),
    ("acc", "tag=100"), ("acc5", "tag=5 vlan_mode=access"), ("nat", "tag=100 vlan_mode=native-tagged"),
    ("natu", "tag=100 vlan_mode=native-untagged trunks=5"), ("prio", "other_config:priority-tags=if-nonzero"),
    ("always", "other_config:priority-tags=always"), ("tag7", "tag=7 trunks=5"), ("trunk7", "tag=7 vlan_mode=trunk trunks=7"),
)
# a tag with neither VLAN nor priority is left out: Open vSwitch 3.1 does not keep to its manual there
FRAMES = ([], [(5, 3, 0x8100)], [(7, 0, 0x8100)], [(0, 3, 0x8100)], [(100, 2, 0x8100)], [(100, 1, 0x88a8)], [(4095, 0, 0x8100)])


@unittest.skipUnless(shutil.which("ovs-vswitchd"), "needs ovs-vswitchd")
class Vlans(Cross, Followed):
    """The same ports by the same commands, the same frames: what comes out of each is what Open vSwitch sends."""

    def setUp(self):
        super().setUp()
        self.fake = f"{self.br}f"
        self.addCleanup(run, "ip", "link", "del", self.fake, check=False)

    def stock(self):
        """Open vSwitch's daemon, with ports that write down what they send."""
        self.ok("stock", "ovsdb-tool", "create", "conf.db", VSWITCH)
        where, _ = self.serve("stock", "conf.db", name="db")
        vsctl = lambda *words: self.ok("stock", "ovs-vsctl", f"--db={where}", "-t", "30", *words)
        vsctl("--no-wait", "init")
        run("ovs-vswitchd", "--detach", "--no-chdir", f"--pidfile={self.folder}/vswitchd.pid", "--log-file", "-vconsole:off",
            "--disable-system", f"--unixctl={self.folder}/vswitchd.ctl", "--enable-dummy=override", where, env=self.env)
        self.addCleanup(self.stop, int((self.folder / "vswitchd.pid").read_text()))
        pcap = lambda name: self.folder / f"{name}.pcap"
        control = Control(self.folder / "vswitchd.ctl")
        self.addCleanup(control.close)
        receive = lambda name, frame: control.call("netdev-dummy/receive", name, frame.hex())
        sent = lambda name: [f.hex() for f in read_pcap(pcap(name))] if pcap(name).exists() else []
        return vsctl, lambda name: f"type=dummy options:tx_pcap={pcap(name)}", receive, sent

    def our(self):
        self.begin("switch")
        seen = {}

        def sent(name):
            seen.setdefault(name, []).extend(self.switch.ctl("netdev-dummy/sent", name).split())
            return seen[name]

        receive = lambda name, frame: self.switch.ctl("netdev-dummy/receive", name, frame.hex())
        return lambda *words: self.vsctl(*words), lambda name: "type=dummy", receive, sent

    def test_modes(self):
        ways = {"stock": self.stock(), "our": self.our()}
        names = [name for name, _ in VLAN_PORTS] + ["fak"]
        for whose, (vsctl, kind, _, _) in ways.items():
            dummy = "dummy" if whose == "stock" else "netdev"
            words = ["add-br", self.br, "--", "set", "bridge", self.br, f"datapath_type={dummy}", "--", "add-br", self.fake, self.br, "5"]
            for name, columns in VLAN_PORTS:
                words += ["--", "add-port", self.br, name, *columns.split(), "--", "set", "interface", name, *kind(name).split()]
            words += ["--", "add-port", self.fake, "fak", "--", "set", "interface", "fak", *kind("fak").split()]
            vsctl(*words)
        marks = {}
        for limit in (1, 0):
            for vsctl, _, _, _ in ways.values():
                vsctl("set", "open_vswitch", ".", f"other_config:vlan-limit={limit}")
            frames = list(FRAMES)
            # customers' frames from a trunk. Of three tags, with both outer ones in sight, Open vSwitch keeps two
            double = [[(100, 4, 0x88a8), (6, 1, 0x8100)], [(100, 0, 0x88a8), (7, 1, 0x8100)]]
            for name in names:
                for tags in frames + (double if limit == 1 or name not in ("t1", "t2", "t3") else []):
                    mark = len(marks) + 1
                    marks[mark] = limit, name, tags
                    for _, _, receive, _ in ways.values():
                        receive(name, tagged(tags, mark))
        # the mark is followed by 40 bytes
        mark_of = lambda text: struct.unpack("!I", bytes.fromhex(text)[-44:-40])[0]

        def differences():
            out = []
            for name in names:
                # not what the kernel sends by the bridge's own port
                frames = {whose: {t for t in ways[whose][3](name) if t[12:24] == "020000000009"} for whose in ways}
                stock, our = (sorted(frames[whose], key=mark_of) for whose in ("stock", "our"))
                out += [f"{whose} alone sends by {name}: {text} of {marks[mark_of(text)]}"
                        for whose, mine, theirs in (("stock", stock, our), ("our", our, stock)) for text in mine if text not in theirs]
            self.differences = out
            return not out and all(len(ways["our"][3](name)) for name in names)
        try:
            until("both to send the same", differences)
        except AssertionError as e:
            raise AssertionError("\n".join([str(e), *self.differences])) from None
        self.assertGreater(sum(len(set(ways["our"][3](name))) for name in names), 600)
