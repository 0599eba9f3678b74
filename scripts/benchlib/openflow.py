"""OpenFlow beside the stock switch, in turn: tables loaded, changed, dumped and emptied, and what a rule takes.

Both switches run without devices. Requests of the raw client are precomputed and a barrier ends them, so that the switch is
what is measured; `ovs-ofctl` is each one's own, and in one case the stock one for both. The figure beside a rate is the switch's own processor time for each
rule, whatever else the machine does."""
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from .database import SCHEMA, Case

FLOWS, TABLES = 200_000, 10
MILLION = 1_000_000
TICKS = os.sysconf("SC_CLK_TCK")

VERSION = 4  # OpenFlow 1.3
HELLO, ERROR, ECHO, ECHO_REPLY, FEATURES, FLOW_MOD, MULTIPART, MULTIPART_REPLY, BARRIER, BARRIER_REPLY = (
    0, 1, 2, 3, 5, 14, 18, 19, 20, 21)
ADD, MODIFY, DELETE, DELETE_STRICT = 0, 1, 3, 4
MORE = 1


def message(kind, body=b"", xid=0):
    return struct.pack("!BBHI", VERSION, kind, 8 + len(body), xid) + body


class Rule:
    """One of a table of five-tuples: addresses and a port that no other has."""
    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    def fields(self):
        n = self.n
        return n % TABLES, 100 + n % 7, 0x0A000000 | n >> 4, 0xC0A80000 | n * 7919 % 65536, 1024 + n % 60000

    def text(self, port=1):
        table, priority, source, target, service = self.fields()
        dotted = lambda a: ".".join(str(b) for b in a.to_bytes(4, "big"))  # noqa: E731
        return (f"table={table},priority={priority},tcp,nw_src={dotted(source)},nw_dst={dotted(target)},tp_dst={service},"
                f"actions=output:{port}")

    def bytes(self, command=ADD, port=1):
        table, priority, source, target, service = self.fields()
        oxm = struct.pack("!IH IB II II IH", 0x80000A02, 0x0800, 0x80001401, 6, 0x80001604, source, 0x80001804, target,
                          0x80001C02, service)
        match = struct.pack("!HH", 1, 4 + len(oxm)) + oxm
        match += bytes(-len(match) % 8)
        does = b"" if command in (DELETE, DELETE_STRICT) else struct.pack("!HHI HHIHxxxxxx", 4, 24, 0, 0, 16, port, 0)
        return message(FLOW_MOD, flow_mod(table, command, priority) + match + does)


def flow_mod(table, command, priority=0):
    anyone = 0xFFFFFFFF
    return struct.pack("!QQBBHHHIIIHxx", 0, 0, table, command, 0, 0, priority, anyone, anyone, anyone, 0)


EMPTY = message(FLOW_MOD, flow_mod(255, DELETE) + struct.pack("!HHI", 1, 4, 0))


class Controller:
    """A connection that is a raw OpenFlow 1.3 client."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(path))
        self.buffer = bytearray()
        self.socket.sendall(message(HELLO))
        kind, _, body = self.receive()
        if kind != HELLO:
            raise RuntimeError(f"a message of type {kind} in place of a greeting: {body[:40].hex()}")

    def receive(self):
        """Type, transaction and body of the next message but echo requests, which are answered."""
        while True:
            while len(self.buffer) >= 8:
                _, kind, size, xid = struct.unpack_from("!BBHI", self.buffer)
                if len(self.buffer) < size:
                    break
                body = bytes(self.buffer[8:size])
                del self.buffer[:size]
                if kind == ERROR and len(body) >= 4:
                    raise RuntimeError("error of type {} with code {}".format(*struct.unpack_from("!HH", body)))
                if kind != ECHO:
                    return kind, xid, body
                self.socket.sendall(message(ECHO_REPLY, body, xid))
            more = self.socket.recv(1 << 18)
            if not more:
                raise RuntimeError("the switch closed the connection")
            self.buffer += more

    def all_of(self, data):
        """Sends requests and a barrier; returns when it is answered."""
        sender = threading.Thread(target=self.socket.sendall, args=(data + message(BARRIER, xid=7),))
        sender.start()
        while self.receive()[:2] != (BARRIER_REPLY, 7):
            pass
        sender.join()

    def dump(self):
        """How many flows a dump of all has."""
        body = struct.pack("!HHxxxx B xxx II xxxx QQ HH xxxx", 1, 0, 255, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 1, 4)
        self.socket.sendall(message(MULTIPART, body, 9))
        count = 0
        while True:
            kind, _, body = self.receive()
            if kind != MULTIPART_REPLY:
                continue
            flags, at = struct.unpack_from("!H", body, 2)[0], 8
            while at < len(body):
                at += struct.unpack_from("!H", body, at)[0]
                count += 1
            if not flags & MORE:
                return count

    def close(self):
        self.socket.close()


STOCK_CLIENT = "/usr/bin/ovs-ofctl"


class Switch:
    """A switch with bridge br0 without devices; what both kinds have in common."""

    def __init__(self, folder):
        self.folder, self.pid = folder, None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.env = {**os.environ, **{f"OVS_{x}": str(folder) for x in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")}}

    def there(self):
        """Waits for the bridge."""
        self.management, end = self.folder / "br0.mgmt", time.monotonic() + 30
        while not self.management.exists():
            if time.monotonic() > end:
                raise RuntimeError("the bridge does not come")
            time.sleep(0.01)
        client = Controller(self.management)
        client.all_of(EMPTY)
        client.close()

    client = STOCK_CLIENT

    def ofctl(self, *words, client=None):
        done = subprocess.run([client or self.client, "-O", "OpenFlow13", *map(str, words)], env=self.env, timeout=300,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"ovs-ofctl {words[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def cpu(self):
        words = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def memory(self):
        """Bytes that are resident."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def end(self, pid):
        try:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
        except (ProcessLookupError, FileNotFoundError):
            pass


class Stock(Switch):
    def __init__(self, folder):
        super().__init__(folder)
        self.pids = []

    def start(self):
        def run(*words):
            subprocess.run([str(w) for w in words], env=self.env, check=True, timeout=60, stdin=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)

        run("/usr/bin/ovsdb-tool", "create", self.folder / "conf.db", SCHEMA)
        run("/usr/sbin/ovsdb-server", self.folder / "conf.db", f"--remote=punix:{self.folder}/db.sock", "--pidfile", "--detach",
            "-vconsole:off")
        self.pids.append(int((self.folder / "ovsdb-server.pid").read_text()))
        run("/usr/bin/ovs-vsctl", "--no-wait", "init")
        run("/usr/sbin/ovs-vswitchd", "--enable-dummy", "--disable-system", "--pidfile", "--detach", "-vconsole:off")
        self.pid = int((self.folder / "ovs-vswitchd.pid").read_text())
        self.pids.insert(0, self.pid)
        run("/usr/bin/ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure")
        self.there()

    def close(self):
        for pid in self.pids:
            self.end(pid)
        shutil.rmtree(self.folder, ignore_errors=True)


CONFIG = """[switch]
run-dir = "{folder}"
[metrics]
enable = false
[cpu]
workers = []
[[bridge]]
name = "br0"
local = false
fail_mode = "secure"
"""


class Ours(Switch):
    def __init__(self, folder, binary):
        super().__init__(folder)
        self.binary, self.process = binary, None

    def start(self):
        self.client = self.folder / "ovs-ofctl"
        self.client.symlink_to(pathlib.Path(self.binary).resolve())
        config = self.folder / "bench.toml"
        config.write_text(CONFIG.format(folder=self.folder))
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([self.binary, "run", "--config", config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.there()

    def close(self):
        if self.process:
            self.end(self.pid)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def raw(numbers, **how):
    return b"".join(Rule(n).bytes(**how) for n in numbers)


def timed(switch, what, rules):
    """Rules per second of what is done to so many, and microseconds of the switch for each."""
    before, begun = switch.cpu(), time.monotonic()
    what()
    took = time.monotonic() - begun
    return rules / took, (switch.cpu() - before) / rules * 1e6


def check(client, wanted):
    there = client.dump()
    if there != wanted:
        raise RuntimeError(f"{there} flows are there, not {wanted}")


def by_file(*options, program=None):
    """A switch's own `ovs-ofctl`, or another, loads a file."""
    def measure(switch):
        switch.start()
        file = switch.folder / "flows.txt"
        file.write_text("\n".join(Rule(n).text() for n in range(FLOWS)) + "\n")
        out = timed(switch, lambda: switch.ofctl(*options, "add-flows", "br0", file, client=program), FLOWS)
        client = Controller(switch.management)
        check(client, FLOWS)
        client.close()
        return out
    return measure


def with_client(rules, measure):
    """`measure(switch, client)` on a switch with so many rules."""
    def outer(switch):
        switch.start()
        client = Controller(switch.management)
        try:
            if rules:
                client.all_of(raw(range(rules)))
            return measure(switch, client)
        finally:
            client.close()
    return outer


def load(count):
    def measure(switch, client):
        data = raw(range(count))
        out = timed(switch, lambda: client.all_of(data), count)
        check(client, count)
        return out
    return measure


def replace(switch, client):
    data = raw(range(0, FLOWS, 2), port=2)
    out = timed(switch, lambda: client.all_of(data), FLOWS // 2)
    check(client, FLOWS)
    return out


def delete(switch, client):
    out = timed(switch, lambda: client.all_of(EMPTY), FLOWS)
    check(client, 0)
    return out


def dump(switch, client):
    return timed(switch, lambda: check(client, FLOWS), FLOWS)


def memory(switch, client):
    before = switch.memory()
    client.all_of(raw(range(MILLION)))
    check(client, MILLION)
    return (switch.memory() - before) / MILLION, None


def churn(switch, client, changes=200_000):
    """Rules of a table of a million go, and others come."""
    chosen = random.Random(1).sample(range(MILLION), changes // 2)
    data = b"".join(Rule(n).bytes(DELETE_STRICT) + Rule(MILLION + k).bytes() for k, n in enumerate(chosen))
    out = timed(switch, lambda: client.all_of(data), changes)
    check(client, MILLION)
    return out


def all_cases():
    return [
        Case("of-add", "200,000 rules in ten tables by `ovs-ofctl add-flows`", "rules/s", by_file(), 5.0),
        Case("of-wait", "the same by the stock `ovs-ofctl` for both, which waits for each", "rules/s",
             by_file(program=STOCK_CLIENT)),
        Case("of-bundle", "the same by `ovs-ofctl --bundle add-flows`", "rules/s", by_file("--bundle"), 5.0),
        Case("of-raw", "the same by a raw client", "rules/s", with_client(0, load(FLOWS)), 5.0),
        Case("of-replace", "half of them get other actions", "rules/s", with_client(FLOWS, replace)),
        Case("of-delete", "all of them deleted at once", "rules/s", with_client(FLOWS, delete)),
        Case("of-dump", "all of them dumped", "rules/s", with_client(FLOWS, dump)),
        Case("of-million", "a million rules at once", "rules/s", with_client(0, load(MILLION)), 5.0),
        Case("of-memory", "memory of a rule of a million", "bytes", with_client(0, memory), 2.0, True),
        Case("of-churn", "changes of a table of a million", "changes/s", with_client(MILLION, churn)),
    ]


def both(_folder, binary):
    """How a switch of each kind is made."""
    return {"Open vSwitch": Stock, "Ironbridge": lambda folder: Ours(folder, binary)}
