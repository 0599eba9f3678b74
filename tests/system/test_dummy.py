"""Deterministic mode: ports in memory, time by command, answers when everything has settled."""
import os
import pathlib
import re
import signal
import struct
import subprocess

from . import packets
from .switch import Case, Control, Refused, run, until

PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
FLOW = ("in_port({}),eth(src=50:54:00:00:00:0{},dst=50:54:00:00:00:0a),eth_type(0x0800),"
        "ipv4(src=10.0.0.2,dst=10.0.0.1,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)")


class Daemon(Case):
    """The daemon as Open vSwitch's own tests start it, every program the one under test."""

    def setUp(self):
        super().setUp()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in PROGRAMS:
            (self.bin / name).symlink_to(os.environ["IRONBRIDGE_BIN"])
        self.env = {**os.environ, **{f"OVS_{kind}DIR": str(self.folder) for kind in ("RUN", "LOG", "DB", "SYSCONF")}}
        schema = pathlib.Path(__file__).parents[2] / "src/bridge/vswitch.ovsschema"
        self.do("ovsdb-tool", "create", self.folder / "conf.db", schema)
        self.spawn("ovsdb-server", f"--remote=punix:{self.folder}/db.sock", self.folder / "conf.db")
        until("the database", (self.folder / "db.sock").exists)
        self.vsctl("--no-wait", "init")

    def do(self, name, *words):
        return run(self.bin / name, *words, env=self.env)

    def vsctl(self, *words):
        return self.do("ovs-vsctl", "--timeout=30", *words).stdout.strip()

    def spawn(self, name, *words):
        process = subprocess.Popen([str(w) for w in (self.bin / name, *words)], env=self.env, cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.finish, process)
        return process

    def finish(self, process):
        process.terminate()
        self.assertIn(process.wait(15), (0, -signal.SIGTERM))

    def begin(self, *options):
        socket = self.folder / "control"
        self.spawn("ovs-vswitchd", "--unixctl", socket, "--log-file", "--disable-system", *(options or ["--enable-dummy"]))
        until("the control socket", socket.exists)
        self.control = Control(socket)
        self.addCleanup(self.control.close)
        self.ctl = self.control.call

    def bridge(self, name="br0", ports=(1, 2), **options):
        words = ["add-br", name, "--", "set", "bridge", name, "datapath-type=dummy"]
        for n in ports:
            words += ["--", "add-port", name, f"p{n}", "--", "set", "interface", f"p{n}", "type=dummy", f"ofport_request={n}",
                      *(f"options:{key}={value}" for key, value in options.items())]
        self.vsctl(*words)


class Dummy(Daemon):
    def ages(self, bridge="br0"):
        rows = self.ctl("fdb/show", bridge).splitlines()[1:]
        return {row.split()[2]: int(row.split()[3]) for row in rows}

    def test_time(self):
        self.begin()
        self.bridge()
        self.ctl("time/stop")
        self.ctl("netdev-dummy/receive", "p1", FLOW.format(1, 1))
        # the answer comes when the address is learned, and no time passes but what is asked for
        self.assertEqual(self.ages(), {"50:54:00:00:00:01": 0})
        self.assertEqual(self.ctl("time/warp", "5000"), "warped\n")
        self.ctl("netdev-dummy/receive", "p2", FLOW.format(2, 2))
        self.assertEqual(self.ages(), {"50:54:00:00:00:01": 5, "50:54:00:00:00:02": 0})
        self.ctl("time/warp", "297000", "1000")
        self.assertEqual(self.ages(), {"50:54:00:00:00:02": 297})
        # statistics are in the database by the time that they are due
        received = lambda port: int(self.vsctl("get", "interface", port, "statistics:rx_packets"))
        self.assertEqual((received("p1"), received("p2")), (1, 1))
        self.ctl("netdev-dummy/receive", "p1", *[FLOW.format(1, 1)] * 9)
        self.assertEqual(received("p1"), 1)
        self.ctl("time/warp", "6000", "500")
        self.assertEqual(received("p1"), 10)
        for bad in (["x"], ["0"], ["5", "0"]):
            with self.assertRaisesRegex(Refused, "invalid MSECS"):
                self.ctl("time/warp", *bad)

    def test_addresses(self):
        self.begin()
        self.bridge()
        self.ctl("time/stop")
        seen = lambda: {tuple(row.split()) for row in self.ctl("fdb/show", "br0").splitlines()[1:]}
        self.assertEqual(self.ctl("fdb/add", "br0", "p1", "0", "50:54:00:00:00:01"), "")
        self.assertEqual(self.ctl("fdb/add", "br0", "p2", "5", "50:54:00:00:00:02"), "")
        # a static address does not move, by packets
        self.ctl("netdev-dummy/receive", "p2", FLOW.format(2, 1), FLOW.format(2, 3), FLOW.format(2, 4))
        self.ctl("netdev-dummy/receive", "p1", FLOW.format(1, 4))
        static = {("1", "0", "50:54:00:00:00:01", "static"), ("2", "5", "50:54:00:00:00:02", "static")}
        learned = {("2", "0", "50:54:00:00:00:03", "0"), ("1", "0", "50:54:00:00:00:04", "0")}
        self.assertEqual(seen(), static | learned)
        self.assertEqual(self.ctl("coverage/read-counter", "mac_learning_static_none_move"), "1\n")
        # what the megaflow of the earlier packet tells does not move the address back
        self.ctl("time/warp", "900", "100")
        self.assertEqual(seen(), static | learned)
        stats = lambda: [int(n) for n in re.findall(r": (\d+)(?:/8192)?$", self.ctl("fdb/stats-show", "br0"), re.M)]
        self.assertEqual(stats(), [4, 2, 2, 0, 0, 1])
        self.assertEqual(self.ctl("fdb/add", "br0", "p1", "0", "50:54:00:00:00:03"),
                         "Overriding already existing dynamic entry on 2\n")
        self.ctl("time/warp", "300000", "1000")
        static |= {("1", "0", "50:54:00:00:00:03", "static")}
        self.assertEqual(seen(), static)
        self.assertEqual(stats(), [3, 3, 2, 1, 0, 1])
        self.assertEqual(self.ctl("fdb/stats-clear"), "statistics successfully cleared\n")
        self.assertEqual(stats(), [3, 3, 0, 0, 0, 0])
        self.ctl("netdev-dummy/receive", "p2", FLOW.format(2, 5))
        self.assertEqual(self.ctl("fdb/flush", "br0"), "table successfully flushed\n")
        self.assertEqual(seen(), static)
        self.assertEqual(self.ctl("fdb/del", "br0", "5", "50:54:00:00:00:02"), "")
        self.assertEqual(stats(), [2, 2, 1, 0, 0, 0])
        for wrong, words in (("could not find static mac entry", ["br0", "5", "50:54:00:00:00:02"]),
                             ("bad MAC address", ["br0", "5", "50:54"]), ("no bridge named br9", ["br9", "0", "50:54:00:00:00:01"])):
            with self.assertRaisesRegex(Refused, wrong):
                self.ctl("fdb/del", *words)
        # with its port, a static address goes too
        self.vsctl("del-port", "p1")
        self.assertEqual(seen(), set())

    def test_mirrors(self):
        self.begin()
        self.bridge(ports=(1, 2, 3))
        sent = lambda n: len(self.ctl("netdev-dummy/sent", f"p{n}").split())  # noqa: E731
        receive = lambda: self.ctl("netdev-dummy/receive", "p1", FLOW.format(1, 1))  # noqa: E731
        self.vsctl("--", "--id=@p1", "get", "port", "p1", "--", "--id=@p3", "get", "port", "p3", "--", "--id=@m", "create", "mirror",
                   "name=m", "select_src_port=@p1", "output_port=@p3", "snaplen=20", "--", "set", "bridge", "br0", "mirrors=@m")
        self.ctl("netdev-dummy/sent", "p3")
        receive()
        # a copy for the mirror, as it came and cut; its port has no part in flooding
        self.assertEqual((len(self.ctl("netdev-dummy/sent", "p3").split()[0]), sent(2)), (40, 1))
        trace = self.ctl("ofproto/trace", "br0", "in_port=1,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:09", "--names")
        self.assertEqual(trace.splitlines()[-1], "Datapath actions: trunc(20),p3,br0,p2")
        # what comes by a mirror's port goes nowhere
        trace = self.ctl("ofproto/trace", "br0", "in_port=3,dl_src=50:54:00:00:00:03")
        self.assertIn("reserved exclusively for mirroring", trace)
        self.vsctl("clear", "bridge", "br0", "mirrors")
        receive()
        self.assertEqual((sent(2), sent(3)), (1, 1))
        out = self.ctl("ofproto/trace-packet-out", "br0", "in_port=1,ip", "mod_vlan_vid:5,output:2")
        self.assertEqual(out.splitlines()[-1], "Datapath actions: push_vlan(vid=5,pcp=0),2")
        for wrong, words in (("unknown bridge", ["none", "in_port=1"]), ("Cannot find the datapath", ["br0", "in_port(1)"]),
                             ("unknown connection tracking state", ["br0", "ip", "--ct-next", "odd"])):
            with self.assertRaisesRegex(Refused, wrong):
                self.ctl("ofproto/trace", *words)

    def test_megaflows(self):
        self.begin("--enable-dummy", "--dummy-numa=0,0")
        self.bridge()
        self.vsctl("add-port", "br0", "p3", "--", "set", "interface", "p3", "type=dummy-pmd")
        for port, source in ((1, 1), (2, 2), (1, 1), (3, 3)):
            self.ctl("netdev-dummy/receive", f"p{port}", FLOW.format(port, source))
        rest = r"packet_type\(ns=0,id=0\),eth\(src=50:54:00:00:00:01,dst=50:54:00:00:00:0a\).*, packets:\d, bytes:\d+, used:\S+, "
        lines = self.ctl("dpctl/dump-flows").splitlines()
        self.assertEqual([line for line in lines if line.startswith("flow-dump")],
                         ["flow-dump from the main thread:", "flow-dump from pmd on cpu core: 0"])
        self.assertRegex("\n".join(lines), rf"(?m)^recirc_id\(0\),in_port\(1\),{rest}actions:100,2,3$")
        named = rf"^ufid:([-0-9a-f]{{36}}), recirc_id\(0\),in_port\(p1\),{rest}dp:ovs, actions:br0,p2,p3$"
        more = self.ctl("dpctl/dump-flows", "-m", "dummy@ovs-dummy", "filter=in_port=p1,dl_src=50:54:00:00:00:01", "pmd=-1")
        self.assertRegex(more, named)
        ufid = re.match(named, more)[1]
        one = self.ctl("dpctl/get-flow", f"ufid:{ufid}")
        plain = more.partition(", packets:")[0].replace(f"ufid:{ufid}, ", "").replace("in_port(p1)", "in_port(1)")
        self.assertEqual(one.partition(", packets:")[0], plain)
        ours = lambda *words: len([line for line in self.ctl("dpctl/dump-flows", *words).splitlines() if "packets:" in line])
        self.assertEqual((ours(), ours("pmd=0"), ours("pmd=1"), ours("pmd=-1"), ours("type=ovs"), ours("type=tc")), (3, 1, 0, 2, 3, 0))
        self.assertEqual(self.ctl("dpif/dump-flows", "br0").count("packets:"), 3)
        self.assertEqual(self.ctl("upcall/show").splitlines()[1][:30], "  flows         : (current 3) ")
        self.ctl("dpctl/del-flows")
        self.assertEqual(self.ctl("dpctl/dump-flows"), "")
        for wrong, words in (("Failed to parse filter", ["filter=nonsense=1"]), ("Failed to parse type", ["type=x"]),
                             ("opening datapath", ["dummy@none"]), ("expected the number of a core", ["pmd=x"])):
            with self.assertRaisesRegex(Refused, wrong):
                self.ctl("dpctl/dump-flows", *words)

    def test_ports(self):
        self.begin()
        self.bridge("br0", rxq_pcap=f"{self.folder}/rx", tx_pcap=f"{self.folder}/tx", ports=[1])
        self.bridge("br1", ports=[7])
        self.assertEqual(self.ctl("dpif/show").splitlines(), [
            "dummy@ovs-dummy: hit:0 missed:0",
            "  br0:", "    br0 65534/100: (dummy-internal)", "    p1 1/1: (dummy)",
            "  br1:", "    br1 65534/101: (dummy-internal)", "    p7 7/7: (dummy)"])
        self.ctl("netdev-dummy/receive", "p1", packets.udp4().hex())
        self.ctl("netdev-dummy/receive", "br0", FLOW.format(65534, 3), "--len", "80")
        frame = (self.folder / "rx").read_bytes()[24 + 16:]
        self.assertEqual(frame, packets.udp4())
        sent = (self.folder / "tx").read_bytes()[24:]
        self.assertEqual(struct.unpack("=4I", sent[:16])[2:], (80, 80))
        self.assertEqual(sent[16:22], bytes.fromhex("50540000000a"))
        self.assertEqual(self.ctl("netdev-dummy/sent", "p1").strip(), sent[16:].hex())
        self.assertEqual(self.vsctl("get", "interface", "p1", "mac_in_use")[:17], '"aa:55:aa:55:00:0')
        self.ctl("netdev-dummy/set-admin-state", "p1", "down")
        self.vsctl("wait-until", "interface", "p1", "admin_state=down")
        # what was taken out of the datapath comes again with the next change
        self.ctl("dpctl/del-if", "dummy@ovs-dummy", "p1")
        self.assertNotIn("p1", self.ctl("dpif/show"))
        self.vsctl("set", "bridge", "br1", "fail_mode=secure")
        self.assertIn("p1 1/1: (dummy)", self.ctl("dpif/show"))
        for words, said in ((["p9", "00"], "no such dummy netdev"), (["p1", "eth(src=1)"], "syntax error at eth"),
                            (["p1", "--qid", "3", "00"], "bad rx queue id"), (["p1", FLOW.format(1, 1), "--len", "20"], "small")):
            with self.assertRaisesRegex(Refused, said):
                self.ctl("netdev-dummy/receive", *words)

    def test_cable(self):
        self.begin()
        socket = self.folder / "cable"
        self.bridge("br0", ports=[1])
        self.vsctl("add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", f"options:pstream=punix:{socket}")
        self.vsctl("add-br", "br1", "--", "set", "bridge", "br1", "datapath-type=dummy", "--", "add-port", "br1", "p3", "--",
                   "set", "interface", "p3", "type=dummy", f"options:stream=unix:{socket}")
        state = lambda: set(self.ctl("netdev-dummy/conn-state").split("\n")) - {""}
        until("the cable", lambda: state() == {"p2: connected", "p3: connected"})
        self.ctl("time/stop")
        self.ctl("netdev-dummy/receive", "p1", FLOW.format(1, 1))
        # across the cable before the answer, though it goes by the kernel
        self.assertEqual(self.ages("br1"), {"50:54:00:00:00:01": 0})
        self.vsctl("del-port", "p2")
        until("the other end to see it", lambda: state() == {"p3: disconnected"})

    def test_in_place_of_others(self):
        self.begin("--enable-dummy=override")
        self.vsctl("add-br", "br0", "--", "add-port", "br0", "eth0", "--", "add-port", "br0", "t1", "--", "set", "interface", "t1", "type=tap")
        shown = self.ctl("dpif/show")
        self.assertRegex(shown, r"br0 65534/100: \(dummy-internal\)")
        self.assertRegex(shown, r"eth0 \d+/\d+: \(system\)")
        self.assertRegex(shown, r"t1 \d+/\d+: \(tap\)")
        self.assertFalse(re.search(r"^\d+: (br0|t1)", run("ip", "-o", "link").stdout, re.M))

    def test_the_kernel_is_left_alone(self):
        self.begin()
        self.bridge()
        self.vsctl("--no-wait", "add-port", "br0", "lo")
        self.vsctl("wait-until", "interface", "lo", "error!=[]")
        self.assertIn("--disable-system", self.vsctl("get", "interface", "lo", "error"))
        with self.assertRaisesRegex(Refused, "no such dummy netdev"):
            self.ctl("netdev-dummy/receive", "lo", "00")
