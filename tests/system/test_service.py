"""As a service: what the manager is told, what logrotate does, what the unit says."""
import os
import pathlib
import re
import socket

from .net import Host, afpacket_ports, token
from .switch import NO_WORKERS, Case, dummy_ports, run, until
from .test_dpdk import DPDK, dpdk_port

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Service(Case):
    def test_the_manager_is_told(self):
        """READY when ports are up, WATCHDOG at least as often as asked for, STOPPING before the end."""
        path = self.folder / "notify"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(str(path))
        manager.settimeout(15)
        env = {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"}
        env.pop("WATCHDOG_PID", None)
        body = NO_WORKERS + dummy_ports("br0", 2, more='[[bridge.port]]\nname = "not-there"\ntype = "afpacket"')
        switch = self.start(body, env=env)
        said = manager.recv(1000).decode()
        self.assertIn("READY=1\n", said)
        self.assertIn("STATUS=2 ports, 1 could not be opened\n", said)
        # who is told that it is ready can use it
        switch.ready()
        self.assertIn("p2 2/", switch.ctl("dpif/show"))
        for _ in range(3):
            self.assertEqual(manager.recv(1000), b"WATCHDOG=1\n")
        switch.stop()
        rest = []
        while not rest or rest[-1] != b"STOPPING=1\n":
            rest.append(manager.recv(1000))
        self.assertEqual(set(rest[:-1]) - {b"WATCHDOG=1\n"}, set())

    def test_logrotate(self):
        """The shipped rule, on this folder: the old file keeps its lines, new ones go to a new file."""
        log = self.folder / "logs" / "ironbridge.log"
        log.parent.mkdir()
        switch = self.start(NO_WORKERS + f'[log]\nfile = "{log}"\n' + dummy_ports("br0", 1)).ready()
        rule = (ROOT / "config/logrotate").read_text()
        for packaged, here in (("/var/log/ironbridge", log.parent), ("/run/ironbridge", switch.run_dir),
                               ("/usr/bin/ironbridge", switch.binary)):
            self.assertIn(packaged, rule)
            rule = re.sub(rf"(?<![\w/]){packaged}(?![\w-])", str(here), rule)
        (self.folder / "rule").write_text(rule)
        before = log.read_text()
        self.assertIn("runs (process", before)
        run("logrotate", "--force", "--state", self.folder / "state", self.folder / "rule")
        switch.ctl("port/add", "br0", "later", "dummy")
        until("the new file", lambda: "later" in log.read_text())
        old = log.with_name("ironbridge.log.1").read_text()
        self.assertTrue(old.startswith(before))
        self.assertNotIn("later", old)
        self.assertNotIn("runs (process", log.read_text())

    def test_rights_are_enough(self):
        """Kernel ports, a tap and DPDK with no more capabilities than the unit leaves."""
        unit = (ROOT / "config/systemd/ironbridge.service").read_text()
        left = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].lower().replace("cap_", "").split()
        a, b = Host(self, "192.0.2.1"), Host(self, "192.0.2.2")
        tap = token()
        body = NO_WORKERS + DPDK + afpacket_ports(a, b, fail_mode="secure", more=["", "mtu_request = 1400"]) \
            + f'[[bridge.port]]\nname = "{tap}"\ntype = "tap"\n' + dpdk_port("null", 9, "net_null0")
        limited = ("setpriv", "--no-new-privs", "--inh-caps", "-all", "--bounding-set", ",".join(["-all", *(f"+{c}" for c in left)]))
        switch = self.start(body, prefix=limited).ready()
        # what net_null makes without end goes nowhere
        switch.endless = True
        switch.ctl("ofctl/add-flows", "br0", "in_port=1,actions=2\nin_port=2,actions=1")
        caps = re.search(r"CapEff:\s+(\w+)", pathlib.Path(f"/proc/{switch.pid}/status").read_text())[1]
        self.assertEqual(int(caps, 16).bit_count(), len(left))
        shown = switch.ctl("dpif/show")
        self.assertNotIn("error", shown)
        self.assertRegex(shown, rf"{b.port} .*mtu=1400")
        self.assertIn(f"{tap} ", shown)
        self.assertEqual(a.ping("192.0.2.2"), 3)

    def test_unit(self):
        unit = (ROOT / "config/systemd/ironbridge.service").read_text()
        here = self.folder / "ironbridge.service"
        here.write_text(unit.replace("/usr/bin/ironbridge", os.environ["IRONBRIDGE_BIN"]))
        done = run("systemd-analyze", "verify", "--man=no", here)
        self.assertEqual(done.stdout + done.stderr, "")
        report = run("systemd-analyze", "security", "--offline=true", "--threshold=35", here, check=False)
        self.assertEqual(report.returncode, 0, report.stdout[-300:])
        # capabilities and paths of the unit are those that the files beside it are written for
        self.assertIn("--config /etc/ironbridge/appliance.toml", unit)

    def test_manual(self):
        text = run(os.environ["IRONBRIDGE_BIN"], "man").stdout
        self.assertIn(".TH ironbridge 8", text)
        for section in ("IRONBRIDGE RUN", "IRONBRIDGE CTL", "IRONBRIDGE TRACE"):
            self.assertIn(section, text)
        self.assertNotIn("IRONBRIDGE MAN", text)
