"""The program under test: started with a configuration of its own run folder, driven by its control socket."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request


def until(what, condition, seconds=15):
    """Waits for a condition and returns what it returned; a deadline makes it fail."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


def run(*command, check=True, **more):
    """A finished command; its output on failure."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **{"timeout": 60, **more})
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}: {done.stdout}{done.stderr}")
    return done


class Refused(Exception):
    """The switch answered with an error."""


class Control:
    """One connection to a control socket; requests may be sent ahead of their answers."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.buffer, self.decoder = "", json.JSONDecoder()

    def close(self):
        self.socket.close()

    def send(self, method, *parameters):
        text = json.dumps({"method": method, "params": [str(p) for p in parameters], "id": 0})
        self.socket.sendall(text.encode())

    def answer(self):
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer)
            except json.JSONDecodeError:
                more = self.socket.recv(1 << 20)
                if not more:
                    raise ConnectionError("the control socket was closed") from None
                self.buffer += more.decode()
                continue
            self.buffer = self.buffer[end:].lstrip()
            if value.get("error"):
                raise Refused(value["error"])
            return value["result"]

    def call(self, method, *parameters):
        self.send(method, *parameters)
        return self.answer()


class Switch:
    """A running switch. `body` is what its configuration says besides run folder and metrics."""

    def __init__(self, folder, body, binary=None, env=None, prefix=()):
        self.folder = pathlib.Path(folder)
        self.run_dir = self.folder / "run"
        self.binary = binary or os.environ["IRONBRIDGE_BIN"]
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.metrics_port = s.getsockname()[1]
        self.config = self.folder / "switch.toml"
        self.config.write_text(f'[switch]\nrun-dir = "{self.run_dir}"\n'
                               f'[metrics]\nlisten = "127.0.0.1:{self.metrics_port}"\n{body}')
        self.log_path = self.folder / "log"
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([*prefix, self.binary, "run", "--config", str(self.config)], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=env)
        self.control = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def socket(self):
        return self.run_dir / f"ironbridge.{self.pid}.ctl"

    def log(self):
        return self.log_path.read_text()

    def ready(self):
        """Waits until it answers."""
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the switch ended with {self.process.returncode}:\n{self.log()}")
            try:
                self.control = Control(self.socket)
            except OSError:
                return False
            return True
        until("the control socket", answers)
        return self

    def ctl(self, method, *parameters):
        return self.control.call(method, *parameters)

    def appctl(self, *arguments, check=True):
        return run("ovs-appctl", "--timeout=20", "-t", self.socket, *arguments, check=check)

    def stop(self, how=signal.SIGTERM):
        """Ends it and gives its exit code."""
        if self.control:
            self.control.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"did not end within 15 s of {how}:\n{self.log()}") from None
        return self.process.returncode

    # what it counted

    def fates(self):
        """Its account of packets: {port or "all": {column: count}}, and the names of reasons of drops."""
        rows, reasons = {}, {}
        for line in self.ctl("demo/report").splitlines():
            words = line.split()
            found = re.match(r"\s+dropped, ([\w-]+): (\d+)", line)
            if found:
                reasons[found[1]] = int(found[2])
            elif len(words) in (5, 6) and words[1].isdigit():
                names = ["received", "forwarded", "consumed", "dropped", "sent"]
                rows[words[0]] = dict(zip(names, map(int, words[1:])))
        rows["all"]["reasons"] = reasons
        return rows

    def settled(self):
        """The account when two readings agree and nothing is on its way."""
        last = [None]

        def same():
            now = self.fates()
            a = now["all"]
            whole = a["received"] == a["forwarded"] + a["consumed"] + a["dropped"]
            same = whole and now == last[0]
            last[0] = now
            return now if same else None
        return until("received = forwarded + consumed + dropped", same)

    def flow_counts(self, bridge, match=None):
        """{"table=N,priority...match": packets} of the flows."""
        out = {}
        for line in self.ctl("ofctl/dump-flows", bridge, *([match] if match else [])).splitlines():
            table = re.search(r"table=(\d+)", line)[1]
            head, _ = line.split(" actions=")
            out[f"table={table} {head.split(', ')[-1].split(' ')[-1]}"] = int(re.search(r"n_packets=(\d+)", line)[1])
        return out

    def metrics(self):
        """A scrape: {(name, ((label, value), ...)): number}."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return parse_metrics(answer.read().decode())


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    """Prometheus' text format, strictly: every sample of a declared family, none twice."""
    types, out = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types, f"{name} is declared twice"
            types[name] = kind
        elif line and not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            assert found, f"not a sample: {line!r}"
            family = re.sub("_(bucket|sum|count)$", "", found[1])
            assert found[1] in types or types.get(family) == "histogram", f"{found[1]} has no type"
            key = (found[1], tuple(sorted(LABEL.findall(found[2] or ""))))
            assert key not in out, f"{key} comes twice"
            out[key] = float(found[3])
    return out


class Case(unittest.TestCase):
    """A test with a folder of its own; whatever it starts is ended, whatever it makes is removed."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ironbridge-test-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def start(self, body, name="a", **more):
        folder = self.folder / name
        folder.mkdir()
        switch = Switch(folder, body, **more)
        self.addCleanup(self.end, switch)
        return switch

    def agree(self, switch):
        """Each packet has one fate, and commands and metrics say the same, whatever the test did; readings are retried while
        packets still come."""
        try:
            control = Control(switch.socket)
        except OSError:
            return
        control.close()
        switch.control.close()
        switch.control = Control(switch.socket)

        def same():
            # a scrape by the control socket: the one by HTTP may ask for a token
            before, metrics, after = switch.fates(), parse_metrics(switch.ctl("metrics/show")), switch.fates()
            now = before["all"]
            whole = now["received"] == now["forwarded"] + now["consumed"] + now["dropped"]
            if before != after or not whole:
                return False
            for fate in ("received", "forwarded", "consumed", "dropped"):
                self.assertEqual(metrics["ironbridge_packets_total", (("fate", fate),)], now[fate], fate)
            named = {dict(labels)["reason"]: n for (name, labels), n in metrics.items() if name == "ironbridge_dropped_total" and n}
            self.assertEqual(named, now["reasons"])
            return True
        if not getattr(switch, "endless", False):
            until("received = forwarded + consumed + dropped", same)

    def end(self, switch):
        """A switch that was not ended by its test ends well, or the test has failed."""
        ended_before = switch.process.poll() is not None
        if not ended_before and switch.control:
            self.agree(switch)
        code = switch.stop()
        log = switch.log()
        self.assertNotIn("panic", log)
        if not ended_before:
            self.assertEqual(code, 0, log)



def dummy_ports(bridge, count, fail_mode="secure", more=""):
    """A bridge with dummy ports p1, p2, …"""
    out = f'[[bridge]]\nname = "{bridge}"\nfail_mode = "{fail_mode}"\nlocal = false\n{more}\n'
    for n in range(1, count + 1):
        out += f'[[bridge.port]]\nname = "p{n}"\ntype = "dummy"\nofport_request = {n}\n'
    return out


NO_WORKERS = "[cpu]\nworkers = []\n"
