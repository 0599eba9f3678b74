"""The control socket by ovs-appctl and by hand, and the metrics by HTTP."""
import json
import re
import socket
import urllib.error
import urllib.request

from . import packets
from .switch import NO_WORKERS, Case, Control, Refused, dummy_ports, run, until


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 3)).ready()

    def test_ovs_appctl(self):
        """What an operator of ovs-vswitchd types."""
        app = lambda *a: self.switch.appctl(*a).stdout
        self.assertRegex(app("version"), r"^ironbridge \d+\.\d+\.\d+\n")
        listed = app("list-commands")
        for name in ("version", "vlog/list", "vlog/set", "dpif/show", "fdb/show", "ofproto/trace", "exit"):
            self.assertRegex(listed, rf"(?m)^  {name}\b")
        self.assertRegex(app("vlog/list"), r"(?m)^bridge +INFO +OFF +INFO$")
        app("vlog/set", "bridge:console:dbg")
        self.assertRegex(app("vlog/list"), r"(?m)^bridge +DBG +OFF +INFO$")
        app("vlog/set", "warn")
        self.assertRegex(app("vlog/list"), r"(?m)^switch +WARN +WARN +WARN$")
        self.assertRegex(app("dpif/show"), r"(?m)^    p2 2/\d+: \(dummy")
        self.switch.ctl("ofctl/add-flow", "br0", "table=0,in_port=1,ip,actions=dec_ttl,resubmit(,4)")
        self.switch.ctl("ofctl/add-flow", "br0", "table=4,priority=7,udp,actions=output:3")
        trace = app("ofproto/trace", "br0", "in_port=1,udp,nw_ttl=64")
        for wanted in (r"(?m)^ 0\. ip,in_port=1", r"(?m)^ *4\. udp, priority 7", r"(?m)^Final flow: .*nw_ttl=63",
                       r"(?m)^Megaflow: .*in_port=1.*", r"(?m)^Datapath actions: .*3$"):
            self.assertRegex(trace, wanted)

    def test_errors_end_with_a_newline_and_code_2(self):
        for arguments, said in [(["nonsense"], "is not a valid command"), (["vlog/set", "bogus"], "bogus"),
                                (["ofctl/add-flow", "nobridge", "actions=drop"], "nobridge"),
                                (["ofctl/add-flow", "br0", "actions=what"], "what"),
                                (["ofctl/add-flow"], "requires at least 2 arguments"),
                                (["version", "x"], "takes at most 0 arguments"),
                                (["ofproto/trace", "br0", "in_port=fish"], "fish"),
                                (["fdb/show", "br9"], "br9"), (["port/del", "p9"], "p9")]:
            done = self.switch.appctl(*arguments, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(said, done.stderr)
            self.assertIn("\novs-appctl:", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_the_programs_own_client(self):
        own = lambda *a: run(self.switch.binary, *a, check=False)
        there = ["--run-dir", self.switch.run_dir]
        self.assertIn("ironbridge", own("ctl", *there, "version").stdout)
        self.assertIn("p1 1/", own("ctl", *there, "dpif/show").stdout)
        self.assertIn("Datapath actions", own("trace", *there, "br0", "in_port=1").stdout)
        failed = own("ctl", *there, "nonsense")
        self.assertNotEqual(failed.returncode, 0)
        self.assertEqual(len(failed.stderr.strip().splitlines()), 1, failed.stderr)
        nobody = own("ctl", "--run-dir", self.folder / "nowhere", "version")
        self.assertNotEqual(nobody.returncode, 0)
        self.assertIn("is a switch running", nobody.stderr)

    def test_exit_answers_and_leaves_nothing(self):
        self.assertEqual(self.switch.appctl("exit").stdout, "")
        self.assertEqual(self.switch.process.wait(10), 0)
        self.assertEqual(list(self.switch.run_dir.glob("*")), [])

    def test_answers_come_in_order(self):
        """300 requests ahead of their answers, some of which wait for workers; each sees what came before it and nothing later."""
        control = Control(self.switch.socket)
        self.addCleanup(control.close)
        for n in range(300):
            if n % 3 == 0:
                control.send("ofctl/barrier")
            elif n % 3 == 1:
                control.send("ofctl/add-flow", "br0", f"priority={n},in_port=1,actions=2")
            else:
                control.send("ofctl/dump-flows", "br0", "table=0")
        for n in range(300):
            answer = control.answer()
            if n % 3 == 2:
                self.assertEqual(answer.count("priority="), n // 3 + 1)

    def test_one_request_in_many_pieces(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.switch.socket))
            for byte in b'{"id":[1,"x"],"method":"version","params":[]}':
                s.sendall(bytes([byte]))
            text = b""
            while not text.endswith(b"}"):
                text += s.recv(4096)
        answer = json.loads(text)
        self.assertEqual((answer["id"], answer["error"]), ([1, "x"], None))

    def test_log_goes_to_a_file(self):
        path = self.folder / "x.log"
        other = self.start(f'{NO_WORKERS}[log]\nfile = "{path}"\n' + dummy_ports("br0", 1), name="b").ready()
        until("a line in the log file", lambda: "added interface p1" in path.read_text())
        path.rename(self.folder / "old.log")
        other.ctl("vlog/reopen")
        other.ctl("port/add", "br0", "p7", "dummy")
        until("a line in the new log file", lambda: path.exists() and "added interface p7" in path.read_text())
        self.assertRegex(path.read_text(), r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z\|\d{5}\|bridge\|INFO\|bridge br0: ")

    def test_metrics_agree_with_commands(self):
        switch = self.switch
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,udp,actions=2,3")
        switch.ctl("ofctl/barrier")
        frames = [packets.udp4(sport=n + 1) for n in range(40)] + [packets.tcp4()] * 3 + [b"\1\2\3"]
        for frame in frames:
            switch.ctl("netdev-dummy/receive", "p1", frame.hex())
        until("all frames", lambda: switch.fates()["all"]["received"] == len(frames))
        fates, metrics = switch.settled(), switch.metrics()
        port = lambda name, p: metrics[f"ironbridge_port_{name}_total", (("bridge", "br0"), ("port", p))]
        for p in ("p1", "p2", "p3"):
            self.assertEqual(port("rx_packets", p), fates[p]["received"])
            self.assertEqual(port("rx_forwarded", p), fates[p]["forwarded"])
            self.assertEqual(port("rx_dropped", p), fates[p]["dropped"])
            self.assertEqual(port("tx_packets", p), fates[p]["sent"])
        self.assertEqual(port("tx_packets", "p3"), 40)
        self.assertEqual(port("tx_bytes", "p3"), 40 * 60)
        for reason, n in fates["all"]["reasons"].items():
            self.assertEqual(metrics["ironbridge_dropped_total", (("reason", reason),)], n)
        self.assertEqual(sum(v for (k, _), v in metrics.items() if k == "ironbridge_dropped_total"), fates["all"]["dropped"])
        self.assertEqual(metrics["ironbridge_flows", (("bridge", "br0"),)], 1)
        lookups = sum(v for (k, _), v in metrics.items() if k == "ironbridge_lookups_total")
        self.assertGreaterEqual(lookups, 43)
        self.assertIn(("ironbridge_worker_busy_ratio", (("worker", "slow"),)), metrics)

    def test_http_refuses_politely(self):
        base = f"http://127.0.0.1:{self.switch.metrics_port}"
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{base}/nothing", timeout=10)
        self.assertEqual(refused.exception.code, 404)
        with socket.create_connection(("127.0.0.1", self.switch.metrics_port), 10) as s:
            s.sendall(b"\0\xff" * 5000 + b"\r\n\r\n")
            s.settimeout(10)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        self.assertTrue(self.switch.metrics())


class Configurations(Case):
    def check(self, text):
        path = self.folder / "c.toml"
        path.write_text(text)
        return run(self.binary, "check", path, check=False)

    def setUp(self):
        super().setUp()
        import os
        self.binary = os.environ["IRONBRIDGE_BIN"]

    def test_check_names_file_line_and_key(self):
        self.assertEqual(self.check(dummy_ports("br0", 2)).returncode, 0)
        wrong = self.check("[switch]\nrun-dir = \"/x\"\n[cpu]\nworker = [1]\n")
        self.assertNotEqual(wrong.returncode, 0)
        self.assertRegex(wrong.stderr, r"c\.toml:4: cpu\.worker: ")
        (self.folder / "f.txt").write_text("in_port=1,actions=2\n\n# a comment\nin_port=p2,actions=outputt:1\n")
        wrong = self.check(dummy_ports("br0", 2, more='flows = "f.txt"'))
        self.assertNotEqual(wrong.returncode, 0)
        self.assertRegex(wrong.stderr, r"f\.txt:4: .*outputt")

    def test_flows_and_groups_of_files(self):
        (self.folder / "a").mkdir()
        (self.folder / "a" / "f.txt").write_text("in_port=p1,actions=group:5\n")
        (self.folder / "a" / "g.txt").write_text("group_id=5,type=all,bucket=output:2,bucket=output:3\n")
        from .switch import Switch
        body = NO_WORKERS + dummy_ports("br0", 3, more='flows = "f.txt"\ngroups = "g.txt"')
        switch = Switch(self.folder / "a", body)
        self.addCleanup(self.end, switch)
        switch.ready()
        switch.ctl("netdev-dummy/receive", "p1", packets.udp4().hex())
        for port in ("p2", "p3"):
            until(port, lambda: switch.ctl("netdev-dummy/sent", port) == packets.udp4().hex() + "\n")
