"""What goes wrong around the program: it says so in a sentence, goes on forwarding, and leaves nothing behind."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from . import packets
from .net import Host, afpacket_ports, token
from .packets import udp4
from .switch import NO_WORKERS, Case, Control, Refused, dummy_ports, run, until

A, B = "192.0.2.1", "192.0.2.2"


class Starting(Case):
    def fails(self, body, **more):
        """Its one sentence, when it does not start."""
        switch = self.start(body, **more)
        try:
            code = switch.process.wait(20)
        except subprocess.TimeoutExpired:
            self.fail(f"it runs: {switch.log()}")
        self.assertNotEqual(code, 0)
        self.assertNotIn("panicked", switch.log())
        return switch.log()

    def test_second_instance_is_refused_by_name(self):
        first = self.start(NO_WORKERS + dummy_ports("br0", 1)).ready()
        done = run(first.binary, "run", "--config", first.config, check=False, timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"process {first.pid}", done.stderr + done.stdout)
        self.assertIn(str(first.run_dir), done.stderr + done.stdout)
        # the first is none the worse
        self.assertIn("p1", first.ctl("dpif/show"))
        self.assertEqual((first.run_dir / "ironbridge.pid").read_text().strip(), str(first.pid))

    def test_stale_files_do_not_matter(self):
        first = self.start(NO_WORKERS + dummy_ports("br0", 1)).ready()
        first.stop(signal.SIGKILL)
        left = sorted(p.name for p in first.run_dir.iterdir())
        self.assertEqual(left, ["br0.mgmt", "br0.snoop", f"ironbridge.{first.pid}.ctl", "ironbridge.pid"])
        done = subprocess.Popen([first.binary, "run", "--config", first.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (done.kill(), done.wait()))
        path = first.run_dir / f"ironbridge.{done.pid}.ctl"
        until("the next one", path.exists)
        Control(path).close()
        done.terminate()
        self.assertEqual(done.wait(15), 0)

    def test_no_such_interface(self):
        body = NO_WORKERS + dummy_ports("br0", 2) + '[[bridge.port]]\nname = "nosuchif0"\ntype = "afpacket"\n'
        switch = self.start(body).ready()
        self.assertRegex(switch.log(), r"ERR.*nosuchif0")
        self.assertRegex(switch.ctl("dpif/show"), r"(?m)^ +nosuchif0: .*error: .*nosuchif0")
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,actions=2")
        switch.ctl("ofctl/barrier")
        switch.ctl("netdev-dummy/receive", "p1", udp4().hex())
        until("forwarding", lambda: switch.ctl("netdev-dummy/sent", "p2"))
        with self.assertRaises(Refused) as refused:
            switch.ctl("port/add", "br0", "nosuchif1", "afpacket")
        self.assertIn("nosuchif1", str(refused.exception))
        self.assertNotIn("nosuchif1", switch.ctl("dpif/show"))

    def test_wrong_devargs(self):
        body = NO_WORKERS + '[dpdk]\nhugepages = "no"\nfile-prefix = ""\n' + dummy_ports("br0", 2) + \
            '[[bridge.port]]\nname = "bad"\ntype = "dpdk"\noptions = { dpdk-devargs = "net_nonsense0,x=y" }\n' \
            '[[bridge.port]]\nname = "worse"\ntype = "dpdk"\noptions = { dpdk-devargs = "0000:99:00.0" }\n'
        switch = self.start(body).ready()
        shown = switch.ctl("dpif/show")
        self.assertRegex(shown, r"(?m)^ +bad: .*error: .*net_nonsense0")
        self.assertRegex(shown, r"(?m)^ +worse: .*error: ")
        with self.assertRaises(Refused):
            switch.ctl("port/add", "br0", "third", "dpdk", "options:dpdk-devargs=net_pcap0,rx_pcap=/nonexistent.pcap")
        switch.ctl("port/add", "br0", "good", "dpdk", "options:dpdk-devargs=net_null3,no-rx=1")
        self.assertRegex(switch.ctl("dpif/show"), r"good 3/\d+: \(dpdk: up")

    def test_no_hugepages(self):
        """"auto" falls back with a warning, "yes" refuses. The kernel has none for a mount namespace without hugetlbfs."""
        null = dummy_ports("br0", 1) + '[[bridge.port]]\nname = "n"\ntype = "dpdk"\noptions = { dpdk-devargs = "net_null0,no-rx=1" }\n'
        dpdk = '[dpdk]\nhugepages = "{}"\nsocket-mem = 64\nfile-prefix = "t' + token() + '"\n'
        # /sys/kernel/mm/hugepages is empty in this mount namespace
        prefix = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/kernel/mm/hugepages && exec \"$@\"", "sh"]
        switch = self.start(NO_WORKERS + dpdk.format("auto") + null, name="auto", prefix=prefix).ready()
        self.assertRegex(switch.log(), r"WARN.*[Hh]uge ?pages?")
        self.assertRegex(switch.ctl("dpif/show"), r" n 2/\d+: \(dpdk: up")
        said = self.fails(NO_WORKERS + dpdk.format("yes") + null, name="yes", prefix=prefix)
        self.assertRegex(said.splitlines()[-1], r"[Hh]uge ?page")

    def test_nobody(self):
        """An unprivileged user is told what is missing; nothing panics."""
        world = pathlib.Path(self.folder)
        world.chmod(0o755)
        binary = world / "ironbridge"
        shutil.copy(os.environ["IRONBRIDGE_BIN"], binary)
        binary.chmod(0o755)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        said = self.fails(NO_WORKERS + dummy_ports("br0", 1), name="a", binary=str(binary), prefix=nobody)
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        self.assertIn(str(world / "a" / "run"), said)
        self.assertIn("ermission denied", said)
        # with a folder of its own it runs, without what needs privileges
        (world / "b").mkdir()
        host = Host(self, A)
        (world / "b" / "run").mkdir()
        os.chown(world / "b" / "run", 65534, 65534)
        from .switch import Switch
        switch = Switch(world / "b", NO_WORKERS + afpacket_ports(host, local=True, bridge="ibnobody0"), binary=str(binary), prefix=nobody)
        self.addCleanup(self.end, switch)
        switch.ready()
        self.assertRegex(switch.log(), rf"{host.port}: .*CAP_NET_RAW")
        self.assertRegex(switch.log(), r"ibnobody0: .*CAP_NET_ADMIN")

    def test_a_wrong_file_of_flows(self):
        (self.folder / "f.txt").write_text("in_port=1,actions=2\nin_port=1,actions=nonsense\n")
        said = self.fails(NO_WORKERS + dummy_ports("br0", 2, more='flows = "../f.txt"'))
        self.assertRegex(said.splitlines()[-1], r"f\.txt:2: .*nonsense")

    def test_duplicate_names(self):
        twice = dummy_ports("br0", 1) + dummy_ports("br1", 1)
        self.assertRegex(self.fails(NO_WORKERS + twice, name="x"), r"switch\.toml:\d+: bridge\.port\.name: \"p1\"")
        switch = self.start(NO_WORKERS + dummy_ports("br0", 2) + '[[bridge]]\nname = "br1"\nlocal = false\n').ready()
        before = switch.ctl("dpif/show")
        for command in [("port/add", "br0", "p1", "dummy"), ("port/add", "br1", "p1", "dummy"), ("bridge/add", "br0"),
                        ("port/add", "br9", "p3", "dummy"), ("port/add", "br0", "p3", "what"), ("bridge/del", "br9")]:
            with self.assertRaises(Refused, msg=command):
                switch.ctl(*command)
        self.assertEqual(switch.ctl("dpif/show"), before)


def answers(question):
    """Whether it is answered."""
    try:
        return bool(question())
    except OSError:
        return False


class Running(Case):
    def test_interface_deleted_under_traffic(self):
        a, b, c = Host(self, A), Host(self, B), Host(self, "192.0.2.3")
        switch = self.start(NO_WORKERS + afpacket_ports(a, b, c)).ready()
        self.assertEqual(a.ping(B), 3)
        flood = a.popen("ping", "-f", "-q", "192.0.2.3")
        self.addCleanup(lambda: (flood.kill(), flood.wait()))
        run("ip", "link", "del", c.port)
        until("the port to be shown gone", lambda: f"{c.port} 3/3: (afpacket: gone" in switch.ctl("dpif/show"))
        self.assertEqual(a.ping(B), 3)
        switch.ctl("port/del", c.port)
        self.assertNotIn(c.port, switch.ctl("dpif/show"))
        self.assertEqual(a.ping(B), 3)

    def test_garbage_on_the_control_socket(self):
        switch = self.start(NO_WORKERS + dummy_ports("br0", 2)).ready()
        for junk in (b"\0" * 100, b"]", b"{}", b"[1,2]", b'{"method":5,"params":[],"id":0}', b'{"method":"version"}', b"\xff\xfe" * 999,
                     b'{"method":"' + b"x" * (9 << 20), b"[" * 100_000, b'{"a":' * 50_000):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(str(switch.socket))
                try:
                    s.sendall(junk)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
            self.assertIn("ironbridge", switch.ctl("version"))
        # a request of a megabyte is fine
        flows = "\n".join(f"priority={n},in_port=1,actions=2" for n in range(1, 30001))
        switch.ctl("ofctl/add-flows", "br0", flows)
        self.assertEqual(switch.metrics()["ironbridge_flows", (("bridge", "br0"),)], 30000)

    def test_a_client_that_does_not_read(self):
        """Forwarding and other clients go on while one asks for much and takes nothing."""
        switch = self.start(NO_WORKERS + dummy_ports("br0", 2)).ready()
        switch.ctl("ofctl/add-flows", "br0", "\n".join(f"priority={n},in_port=1,actions=2" for n in range(1, 2001)))
        switch.ctl("ofctl/barrier")
        lazy = socket.socket(socket.AF_UNIX)
        self.addCleanup(lazy.close)
        lazy.connect(str(switch.socket))
        lazy.setblocking(False)
        request = b'{"method":"ofctl/dump-flows","params":["br0"],"id":0}' * 200
        sent, end, frame = 0, time.monotonic() + float(os.environ.get("IRONBRIDGE_STALL", "3")), udp4().hex()
        passed = 0
        while time.monotonic() < end:
            try:
                sent += lazy.send(request)
            except BlockingIOError:
                pass
            switch.ctl("netdev-dummy/receive", "p1", *[frame] * 10)
            passed += 10
            until("forwarding", lambda: switch.fates()["p2"]["sent"] >= passed, 5)
            switch.ctl("netdev-dummy/sent", "p2")
        self.assertGreater(sent, 10_000)
        status = pathlib.Path(f"/proc/{switch.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        self.assertLess(resident, 600_000, "kB")

    def test_many_connections(self):
        switch = self.start(NO_WORKERS + dummy_ports("br0", 1)).ready()
        # its thread starts beside the others, and has descriptors of its own
        until("the page's thread", lambda: answers(switch.metrics))
        before = len(os.listdir(f"/proc/{switch.pid}/fd"))
        open_ones = []
        for _ in range(300):
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(switch.socket))
            s.sendall(b'{"method":"ver')
            open_ones.append(s)
        self.assertIn("ironbridge", switch.ctl("version"))
        for s in open_ones:
            s.close()
        until("descriptors to be closed", lambda: len(os.listdir(f"/proc/{switch.pid}/fd")) <= before)

    def test_sigterm_leaves_nothing(self):
        host, name = Host(self, A), f"lo{token()}"[:15]
        flags = lambda: pathlib.Path(f"/sys/class/net/{host.port}/flags").read_text()
        before = flags()
        for how in (signal.SIGTERM, signal.SIGINT):
            switch = self.start(NO_WORKERS + afpacket_ports(host, bridge=name, local=True) + '[[bridge.port]]\nname = "' + name[:13]
                                + 't"\ntype = "tap"\n', name=f"s{int(how)}").ready()
            self.assertIn(name, run("ip", "-br", "link").stdout)
            self.assertEqual(switch.stop(how), 0)
            self.assertNotIn(name, run("ip", "-br", "link").stdout)
            self.assertEqual(list(switch.run_dir.iterdir()), [])
            self.assertEqual(flags(), before)
        self.assertEqual(host.ip("-br", "link").stdout.count("eth0"), 1)


class Ports(Case):
    def test_ports_come_and_go_under_traffic(self):
        """200 rounds of a port added and removed; between two others nothing is lost, nothing leaks."""
        rounds = int(os.environ.get("IRONBRIDGE_ROUNDS", "200"))
        switch = self.start(NO_WORKERS + dummy_ports("br0", 2)).ready()
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,actions=2")
        switch.ctl("ofctl/barrier")
        host, sent = Host(self, A), 0
        noise = Control(switch.socket)
        self.addCleanup(noise.close)
        frames = [udp4(sport=n + 1).hex() for n in range(20)]
        fds = lambda: len(os.listdir(f"/proc/{switch.pid}/fd"))
        before = None
        for n in range(rounds):
            noise.send("netdev-dummy/receive", "p1", *frames)
            kind = n % 3
            if kind == 0:
                switch.ctl("port/add", "br0", f"x{n}", "dummy")
                switch.ctl("netdev-dummy/receive", f"x{n}", frames[0])
                switch.ctl("port/del", f"x{n}")
            elif kind == 1:
                switch.ctl("port/add", "br0", host.port, "afpacket")
                switch.ctl("port/del", host.port)
            else:
                tap = f"{host.name[:10]}t"
                switch.ctl("port/add", "br0", tap, "tap")
                switch.ctl("port/del", tap)
                self.assertFalse(os.path.exists(f"/sys/class/net/{tap}"))
            noise.answer()
            sent += len(frames)
            if n == 5:
                before = fds()
        until("all frames", lambda: switch.fates()["p2"]["sent"] == sent)
        fates = switch.settled()
        self.assertEqual(fates["p1"]["forwarded"], sent, fates)
        self.assertEqual(fds(), before)
        self.assertEqual(switch.ctl("dpif/show").count("dummy"), 2)
        self.assertNotIn("panic", switch.log())


class SlowDevices(Case):
    """A device that takes its time: a capture that is a FIFO, whose opening waits until somebody writes it."""

    def setUp(self):
        super().setUp()
        body = NO_WORKERS + '[dpdk]\nenable = "yes"\nhugepages = "no"\nsocket-mem = 128\nfile-prefix = ""\n' + dummy_ports("br0", 2)
        self.switch = self.start(body).ready()
        self.fifo = self.folder / "fifo"
        os.mkfifo(self.fifo)
        self.other = Control(self.switch.socket)
        self.addCleanup(self.other.close)
        # whatever comes of the test, nothing waits for the FIFO afterwards
        self.addCleanup(lambda: self.open_fifo().close())

    def open_fifo(self):
        return os.fdopen(os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK), "wb", 0)

    def add_slow(self):
        self.other.send("port/add", "br0", "late", "dpdk", f"options:dpdk-devargs=net_pcap7,rx_pcap={self.fifo}")
        until("the port to be shown", lambda: "late: (dpdk: being added)" in self.switch.ctl("dpif/show"))

    def shown(self, text):
        return text in self.switch.ctl("dpif/show")

    def feed(self):
        """The capture's header and its end: then libpcap goes on, and whoever reads packets is not held up."""
        header = self.folder / "header"
        packets.write_pcap(header, [])
        with self.open_fifo() as fifo:
            fifo.write(header.read_bytes())

    def jobs(self):
        return self.switch.metrics()["ironbridge_device_jobs", ()]

    def test_management_goes_on(self):
        """While one is opened, commands are answered, packets forwarded, other ports come and go, and names are taken."""
        self.add_slow()
        switch = self.switch
        switch.ctl("ofctl/add-flow", "br0", "in_port=1,actions=2")
        switch.ctl("ofctl/barrier")
        switch.ctl("netdev-dummy/receive", "p1", udp4().hex())
        until("forwarding", lambda: switch.ctl("netdev-dummy/sent", "p2"))
        host = Host(self, A)
        switch.ctl("port/add", "br0", host.port, "afpacket")
        switch.ctl("port/del", host.port)
        with self.assertRaises(Refused) as refused:
            switch.ctl("port/add", "br0", "late", "dummy")
        self.assertIn("late is being added", str(refused.exception))
        with self.assertRaises(Refused) as refused:
            switch.ctl("bridge/del", "br0")
        # the device of the port that came and went is closed after the answer
        until("the slow one alone", lambda: self.jobs() == 1)
        self.assertTrue(self.shown("late: (dpdk: being added)"))
        self.feed()
        self.assertEqual(self.other.answer(), "")
        self.assertRegex(switch.ctl("dpif/show"), r"late 3/\d+: \(dpdk: up")
        until("no work on devices", lambda: self.jobs() == 0)

    def test_removed_while_it_is_added(self):
        self.add_slow()
        third = Control(self.switch.socket)
        self.addCleanup(third.close)
        third.send("port/del", "late")
        until("the removal to wait", lambda: self.jobs() == 2)
        # the device is still taken: who asks for it now waits, and gets it in the end
        fourth = Control(self.switch.socket)
        self.addCleanup(fourth.close)
        good = self.folder / "good.pcap"
        packets.write_pcap(good, [])
        fourth.send("port/add", "br0", "next", "dpdk", f"options:dpdk-devargs=net_pcap7,rx_pcap={good}")
        until("both to wait", lambda: self.shown("next: (dpdk: being added)"))
        self.feed()
        self.assertEqual(self.other.answer(), "")
        self.assertEqual(third.answer(), "")
        self.assertEqual(fourth.answer(), "")
        self.assertRegex(self.switch.ctl("dpif/show"), r"next 3/\d+: \(dpdk: up")
        self.assertNotIn("late", self.switch.ctl("dpif/show"))

    def test_a_device_asked_for_at_once_again(self):
        """Removal and addition of one device by requests sent ahead: in order, 20 times."""
        switch, ask = self.switch, self.other
        file = self.folder / "f.pcap"
        packets.write_pcap(file, [udp4()])
        add = lambda name: ask.send("port/add", "br0", name, "dpdk", f"options:dpdk-devargs=net_pcap1,rx_pcap={file}")
        add("n0")
        for n in range(20):
            ask.send("port/del", f"n{n}")
            add(f"n{n + 1}")
        for n in range(41):
            self.assertEqual(ask.answer(), "", n)
        self.assertRegex(switch.ctl("dpif/show"), r"n20 3/\d+: \(dpdk: up")

    def test_exit_while_a_device_is_opened(self):
        """It waits for the device as long as it takes up to ten seconds, and leaves nothing."""
        self.add_slow()
        self.switch.process.terminate()
        until("it to stop", lambda: "stopping" in self.switch.log())
        self.feed()
        self.assertEqual(self.switch.process.wait(15), 0, self.switch.log())
        self.assertEqual(list(self.switch.run_dir.iterdir()), [])
