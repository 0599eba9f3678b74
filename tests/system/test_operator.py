"""What an operator looks at: snapshot, show, stats, flows, top, captures; figures agree with each other."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

from . import packets
from .switch import NO_WORKERS, Case, Refused, dummy_ports, run, until


class Shown(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 4) + dummy_ports("br1", 0) + '[[bridge.port]]\n'
                                 'name = "q1"\ntype = "dummy"\n').ready()
        for flow in ("in_port=1,udp,actions=2,3,4", "in_port=2,actions=dec_ttl,1", "in_port=3,actions=drop"):
            self.switch.ctl("ofctl/add-flow", "br0", flow)
        self.switch.ctl("ofctl/barrier")
        self.frames = {"p1": 40, "p2": 7, "p3": 5, "q1": 2}
        for port, n in self.frames.items():
            self.switch.ctl("netdev-dummy/receive", port, *(packets.udp4(sport=i + 1).hex() for i in range(n)))
        self.switch.ctl("netdev-dummy/receive", "p1", "010203")
        until("all frames", lambda: self.switch.fates()["all"]["received"] == sum(self.frames.values()) + 1)
        self.fates = self.switch.settled()

    def snapshot(self, *arguments):
        return json.loads(self.switch.ctl("ironbridge/snapshot", *arguments))

    def test_a_snapshot_agrees_with_the_account_and_the_metrics(self):
        shown, metrics = self.snapshot(), self.switch.metrics()
        ports = {p["name"]: p for p in shown["ports"]}
        self.assertEqual(set(ports), {"p1", "p2", "p3", "p4", "q1"})
        for name, port in ports.items():
            mine, theirs = port["received"], self.fates[name]
            for column in ("forwarded", "consumed", "dropped"):
                self.assertEqual(mine[column], theirs[column], (name, column))
            self.assertEqual((mine["packets"], port["sent"]["packets"]), (theirs["received"], theirs["sent"]))
            self.assertEqual(mine["packets"], mine["forwarded"] + mine["consumed"] + mine["dropped"])
            self.assertEqual(mine["dropped"], sum(d["packets"] for d in mine["drops"]))
            self.assertEqual(sum(q["packets"] for q in port["queues"]), mine["packets"])
            self.assertEqual(sum(q["bytes"] for q in port["queues"]), mine["bytes"])
        totals = shown["totals"]
        self.assertEqual({d["reason"]: d["packets"] for d in totals["drops"]}, self.fates["all"]["reasons"])
        self.assertEqual(sum(w["received"]["packets"] for w in shown["workers"]), totals["packets"])
        matrix = {(t["from"], t["to"]): t["packets"] for t in shown["matrix"]}
        self.assertEqual(matrix, {("p1", "p2"): 40, ("p1", "p3"): 40, ("p1", "p4"): 40, ("p2", "p1"): 7})
        for (a, b), n in matrix.items():
            self.assertEqual(metrics["ironbridge_matrix_packets_total", (("from", a), ("to", b))], n)
        for name, port in ports.items():
            self.assertEqual(sum(n for (_, to), n in matrix.items() if to == name), port["sent"]["packets"])
        self.assertEqual({b["name"] for b in shown["bridges"]}, {"br0", "br1"})
        self.assertEqual(sum(b["flows"] for b in shown["bridges"]), 3)
        self.assertEqual(shown["hottest"][0]["matching"][:10], "in_port=p1")
        self.assertEqual(self.snapshot("0")["hottest"], [])
        self.assertEqual(len(self.snapshot("2")["hottest"]), 2)

    def test_a_port_that_goes_is_kept_in_the_totals(self):
        self.switch.ctl("port/del", "p1")
        shown = self.snapshot()
        self.assertEqual(shown["gone"]["packets"], 41)
        self.assertEqual(shown["totals"]["packets"], 41 + sum(p["received"]["packets"] for p in shown["ports"]))
        self.assertEqual({t["from"] for t in shown["matrix"]}, set())

    def test_megaflows_by_match_order_and_bridge(self):
        flows = lambda *a: json.loads(self.switch.ctl("ironbridge/flows", *a))
        self.assertEqual([f["in_port"] for f in flows("bridge=br0", "match=in_port=2,udp")], ["p2"])
        self.assertEqual([f["in_port"] for f in flows("bridge=br0", "match=in_port=p2")], ["p2"])
        self.assertEqual([f["in_port"] for f in flows("bridge=br1")], ["q1"])
        everything = flows()
        self.assertEqual([f["packets"] for f in everything], sorted((f["packets"] for f in everything), reverse=True))
        self.assertEqual(flows("sort=bytes", "top=1")[0]["packets"], 40)
        self.assertEqual(flows("bridge=br0", "match=in_port=1,udp")[0]["actions"], "p2,p3,p4")
        for wrong, said in (("sort=fish", "sort=fish"), ("match=nw_dst=fish", "fish"), ("bridge=br9", "br9"), ("top=x", "top=x"),
                            ("match=reg0=1", "registers"), ("x", "key=value")):
            with self.assertRaises(Refused) as refused:
                flows(wrong)
            self.assertIn(said, str(refused.exception))

    def own(self, *arguments, check=True, **more):
        """The program as an operator runs it."""
        command, *rest = arguments
        return run(self.switch.binary, command, "--run-dir", self.switch.run_dir, *rest, check=check, **more)

    def test_commands_agree_with_each_other(self):
        """show, stats, flows, top, the metrics and ovs-appctl, to the packet."""
        shown, metrics = self.own("show").stdout, self.switch.metrics()
        for port in ("p1", "p2", "p3", "p4", "q1"):
            f = self.fates[port]
            at = shown.index(f"Port {port} ")
            self.assertRegex(shown[at:], rf"\A.*\n +received {f['received']} packets.*\n +sent {f['sent']} packets")
        self.assertIn("dropped 1 (runt 1)", shown)
        stats = self.own("stats").stdout
        for port in ("p1", "p2", "p3", "p4", "q1", "all"):
            f = self.fates[port]
            self.assertRegex(stats, rf"(?m)^  {port} +{f['received']} +{f['forwarded']} +{f['consumed']} +{f['dropped']} +0\b")
        total = self.fates["all"]
        self.assertIn(f"{total['received']} received = {total['forwarded']} forwarded + 0 consumed + {total['dropped']} dropped"
                      " + 0 waiting: as it should be", stats)
        for reason, n in total["reasons"].items():
            self.assertRegex(stats, rf"(?m)^  {reason} +{n} ")
        top = self.own("top", "--once", "-i", "0.05").stdout
        frame = json.loads(self.own("top", "--batch", "1", "-i", "0.05", "--json").stdout)
        for port in frame["ports"]:
            self.assertEqual((port["received"], port["sent"]), (self.fates[port["name"]]["received"], self.fates[port["name"]]["sent"]))
            self.assertRegex(top, rf"(?m)^  {port['name']} .* {port['received']} +{port['sent']} +{port['dropped']}$")
        self.assertEqual({(t["from"], t["to"]): t["sent"] for t in frame["matrix"]},
                         {("p1", "p2"): 40, ("p1", "p3"): 40, ("p1", "p4"): 40, ("p2", "p1"): 7})
        self.assertEqual({d["reason"]: d["dropped"] for d in frame["drops"]}, total["reasons"])
        dumped = self.switch.appctl("dpctl/dump-flows").stdout
        flows = json.loads(self.own("flows", "--json").stdout)
        # the packet that a megaflow was made for did not find it: what the stock program's dump leaves out
        self.assertEqual(sorted(f["packets"] - 1 for f in flows), sorted(int(n) for n in re.findall(r"packets:(\d+)", dumped)))
        self.assertEqual(sum(f["packets"] for f in flows), sum(self.frames.values()))
        self.assertEqual(metrics["ironbridge_packets_total", (("fate", "received"),)], total["received"])
        text = self.own("flows", "in_port=p1,udp", "--bridge", "br0", "--top", "1").stdout
        self.assertRegex(text, r"(?m)^ +40 +2400 .* in_port=p1,udp.* p2,p3,p4$")
        wrong = self.own("flows", "nonsense=1", check=False)
        self.assertEqual((wrong.returncode, len(wrong.stderr.splitlines())), (1, 1), wrong.stderr)

    def test_top_needs_a_terminal_or_a_number_of_frames(self):
        self.assertEqual(self.own("top", "--batch", "3", "-i", "0.02").stdout.count("ports by rx"), 3)
        with subprocess.Popen([self.switch.binary, "top", "--run-dir", self.switch.run_dir, "--batch", "1000", "-i", "0.02"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as top:
            top.stdout.readline()
            top.stdout.close()
            self.assertEqual((top.wait(10), top.stderr.read()), (0, b""))

    def test_top_on_a_terminal(self):
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        top = subprocess.Popen([self.switch.binary, "top", "--run-dir", self.switch.run_dir, "-i", "0.1"], stdin=other, stdout=other,
                               stderr=other, env={**os.environ, "TERM": "xterm-256color"})
        os.close(other)
        self.addCleanup(os.close, main)
        self.addCleanup(top.kill)
        seen = b""

        def whole():
            nonlocal seen
            if select.select([main], [], [], 0.1)[0]:
                seen += os.read(main, 65536)
            return all(word in seen for word in (b"Packets/s", b"Hottest", b"quit", b"in_port=p1"))
        until("the screen", whole)
        os.write(main, b"tuq")
        self.assertEqual(top.wait(10), 0)


class Captures(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 3)).ready()
        for flow in ("in_port=1,udp,actions=mod_vlan_vid:7,2", "in_port=1,tcp,actions=drop", "in_port=2,actions=1,3"):
            self.switch.ctl("ofctl/add-flow", "br0", flow)
        self.switch.ctl("ofctl/barrier")

    def capture(self, *arguments, stdout=subprocess.PIPE, ready=True):
        """A running capture that is connected."""
        started = subprocess.Popen([self.switch.binary, "capture", "--run-dir", self.switch.run_dir, *map(str, arguments)],
                                   stdout=stdout, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.finish, started)
        if ready:
            self.assertIn("capturing", started.stderr.readline())
        return started

    def finish(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def feed(self, port, *frames):
        for frame in frames:
            self.switch.ctl("netdev-dummy/receive", port, frame.hex())

    def interrupted(self, capture):
        """Ctrl-C, and what it said."""
        capture.send_signal(signal.SIGINT)
        said = capture.stderr.read()
        self.assertEqual(capture.wait(20), 0, said)
        return said

    def tshark(self, path, *fields):
        out = run("tshark", "-n", "-r", path, "-T", "fields", *(x for f in fields for x in ("-e", f))).stdout
        return [tuple(line.split("\t")) for line in out.splitlines()]

    def nothing_is_left(self):
        until("the capture's socket to go", lambda: not list(self.switch.run_dir.glob("*.capture.*")))
        until("the capture's thread to go", lambda: not any("capture" in p.read_text() for p in self.threads()))

    def threads(self):
        return [p for p in pathlib.Path(f"/proc/{self.switch.pid}/task").glob("*/comm") if p.exists()]

    def test_points_directions_and_reasons(self):
        path = self.folder / "all.pcapng"
        capture = self.capture("-w", path, "--points", "ingress,egress,drops")
        udp = [packets.udp4(sport=n + 1) for n in range(5)]
        self.feed("p1", *udp, packets.tcp4(), packets.tcp4())
        until("all frames", lambda: self.switch.fates()["all"]["received"] == 7)
        fates = self.switch.settled()
        self.assertIn("14 packets captured, 0 missed", self.interrupted(capture))
        rows = self.tshark(path, "frame.interface_name", "frame.packet_flags_direction", "frame.len", "frame.comment", "vlan.id")
        rows = [(name, str(int(way, 0)), *more) for name, way, *more in rows]
        self.assertEqual(rows.count(("p1", "1", "60", "", "")), 7)
        self.assertEqual(rows.count(("p2", "2", "64", "", "7")), 5)
        drops = [r for r in rows if r[3]]
        self.assertEqual(len(drops), fates["p1"]["dropped"])
        self.assertTrue(all(r[0] == "p1" and r[3].startswith("dropped: rule: ") for r in drops), drops)
        times = [float(t) for (t,) in self.tshark(path, "frame.time_epoch")]
        self.assertEqual(times, sorted(times))
        self.assertLess(abs(times[-1] - time.time()), 60)
        self.assertEqual(self.tshark(path, "udp.srcport")[0], ("1",))
        self.nothing_is_left()

    def test_filter_snaplen_and_count(self):
        path = self.folder / "some.pcapng"
        capture = self.capture("p1", "-w", path, "--points", "ingress", "-f", "udp,tp_src=3", "-s", "42", "-c", "2")
        for _ in range(3):
            self.feed("p1", *(packets.udp4(sport=n + 1) for n in range(5)))
            self.feed("p2", packets.udp4(sport=3))
        said = capture.stderr.read()
        self.assertEqual((capture.wait(20), said.split()[0]), (0, "2"), said)
        rows = self.tshark(path, "udp.srcport", "frame.len", "frame.cap_len", "frame.interface_name")
        self.assertEqual(rows, [("3", "60", "42", "p1")] * 2)

    def test_tshark_reads_while_it_runs(self):
        capture = self.capture("p1", "-w", "-", "--seconds", "60")
        tshark = subprocess.Popen(["tshark", "-n", "-l", "-r", "-", "-T", "fields", "-e", "udp.srcport"], stdin=capture.stdout,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(self.finish, tshark)
        capture.stdout.close()
        for n in (11, 12):
            self.feed("p1", packets.udp4(sport=n))
            self.assertEqual(tshark.stdout.readline(), f"{n}\n")
        # it goes, and the capture with it
        tshark.kill()
        tshark.wait()
        self.feed("p1", packets.udp4(sport=13))
        self.assertEqual(capture.wait(20), 0)
        self.nothing_is_left()

    def test_text_and_json(self):
        text = self.capture("p1", "--points", "drops", "--count", "1", ready=False)
        lines = self.capture("p1", "--json", "--count", "1", "--points", "ingress", ready=False)
        until("both", lambda: sum("capture" in p.read_text() for p in self.threads()) == 2)
        feed = lambda: self.feed("p1", packets.tcp4())
        until("both to end", lambda: feed() or (text.poll() is not None and lines.poll() is not None))
        self.assertRegex(text.stdout.read(), r"\A\d\d:\d\d:\d\d\.\d{9} p1 dropped \(rule\) 60 bytes: tcp,.*nw_src=")
        packet = json.loads(lines.stdout.readline())
        self.assertEqual((packet["port"], packet["point"], packet["bytes"]), ("p1", "ingress", packets.tcp4().hex()))

    def test_what_is_wrong_is_said(self):
        for arguments, said in ((["p9"], "no port named p9"), (["-f", "nw_dst=fish"], "fish"), (["-s", "0"], "snaplen"),
                                (["--bridge", "br9"], "br9"), (["-f", "reg1=1"], "registers"),
                                (["-w", self.folder / "no" / "such"], "No such file")):
            capture = self.capture(*arguments, ready=False)
            error = capture.stderr.read()
            self.assertEqual((capture.wait(20), len(error.splitlines())), (1, 1), error)
            self.assertIn(said, error)
        self.nothing_is_left()

    def test_clients_that_stall_or_die(self):
        """One does not read, one is killed, nine are too many; packets go on, and nothing is left at the end."""
        ask = lambda *a: json.loads(self.switch.ctl("ironbridge/capture", *a))
        where = ask()["socket"]
        self.assertEqual(os.stat(where).st_mode & 0o777, 0o600)
        stalled = socket.socket(socket.AF_UNIX)
        self.addCleanup(stalled.close)
        stalled.connect(where)
        killed = self.capture("-w", "/dev/null")
        big = packets.udp4(payload=bytes(1400)).hex()
        sent = 0
        while sent < 6000:
            self.switch.ctl("netdev-dummy/receive", "p1", *[big] * 200)
            sent += 200
        until("all frames", lambda: self.switch.fates()["all"]["received"] == sent)
        self.assertEqual(self.switch.settled()["p1"]["forwarded"], sent)
        killed.kill()
        killed.wait()
        for _ in range(6):
            ask()
        def another():
            try:
                return ask()
            except Refused:
                return None
        until("the place of the one that was killed", another)
        with self.assertRaises(Refused) as refused:
            ask()
        self.assertIn("8 captures", str(refused.exception))
        # what was missed is said: 4 MB of chunks and a socket's buffer hold less than 17 MB
        stalled.shutdown(socket.SHUT_WR)
        stalled.settimeout(20)
        text = b""
        while more := stalled.recv(1 << 20):
            text = (text + more)[-200:]
        last = json.loads(text[text.rindex(b'{"captured"'):])
        self.assertEqual(last["captured"] + last["missed"], 2 * sent)
        self.assertGreater(last["missed"], 0)
        # the others have no client: the switch ends all the same
        self.assertEqual(self.switch.stop(), 0)
        self.assertEqual(list(self.switch.run_dir.glob("*")), [])
