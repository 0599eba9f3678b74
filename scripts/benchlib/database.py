"""The database server beside the stock one, in turn: transactions, monitors, ten thousand ports.

Clients write precomputed requests and count replies, several requests ahead of the replies, so that the server is what is
measured. The figure beside a rate is the server's own processor time for each transaction, whatever else the machine does."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SCHEMA = TOP / "src/bridge/vswitch.ovsschema"
DB = "Open_vSwitch"
PORTS = 10_000
TICKS = os.sysconf("SC_CLK_TCK")


class Connection:
    """A socket with requests to send and replies to count."""

    def __init__(self, path, mark=b'"result"'):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(path))
        self.mark, self.tail, self.count = mark, b"", 0
        self.todo, self.at, self.backlog = [], 0, b""

    def call(self, method, *params):
        """One request and its reply, before or after anything else."""
        self.socket.sendall(json.dumps({"method": method, "params": params, "id": "call"}).encode())
        text, decoder = "", json.JSONDecoder()
        while True:
            more = self.socket.recv(1 << 20)
            if not more:
                raise RuntimeError(f"{method}: the server closed the connection")
            text += more.decode()
            try:
                while text:
                    message, end = decoder.raw_decode(text)
                    text = text[end:].lstrip()
                    if message.get("id") == "call":
                        if message["error"] is not None:
                            raise RuntimeError(f"{method}: {message['error']}")
                        return message["result"]
            except json.JSONDecodeError:
                pass

    def receive(self):
        """Counts what came."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the server closed a connection")
        text = self.tail + data
        if b'"error":"' in text:
            raise RuntimeError(text[:400].decode(errors="replace"))
        self.count += text.count(self.mark)
        self.tail = text[-(len(self.mark) - 1):]

    def send(self, upto):
        """Requests up to that number, as far as the socket takes them."""
        if self.at < min(upto, len(self.todo)):
            self.backlog += b"".join(self.todo[self.at:upto])
            self.at = min(upto, len(self.todo))
        if self.backlog:
            try:
                self.backlog = self.backlog[self.socket.send(self.backlog):]
            except BlockingIOError:
                pass

    def close(self):
        self.socket.close()


def drive(connections, window, seconds=None, watchers=()):
    """Sends each connection's requests, `window` ahead of its replies, until all are answered or time is over. Watchers only
    count. Returns replies and seconds."""
    poller, by = select.epoll(), {}
    for c in [*connections, *watchers]:
        c.socket.setblocking(False)
        c.count = 0
        by[c.socket.fileno()] = c
        poller.register(c.socket, select.EPOLLIN)
    senders = set(map(id, connections))
    started = time.monotonic()
    for c in connections:
        c.send(window)
    while any(c.count < len(c.todo) for c in connections):
        for fd, _ in poller.poll(10):
            c = by[fd]
            c.receive()
            # half a window at once: few system calls, and the server never waits
            if id(c) in senders and (c.backlog or c.at - c.count <= window // 2):
                c.send(c.count + window)
        if seconds and time.monotonic() - started > seconds:
            break
    took = time.monotonic() - started
    done = sum(c.count for c in connections)
    if not done:
        raise RuntimeError("no reply")
    poller.close()
    # what is still on its way
    for c in connections:
        c.socket.setblocking(True)
        while c.backlog:
            c.send(0)
        while c.count < c.at:
            c.receive()
    for c in watchers:
        c.socket.setblocking(True)
    return done, took


def transact(number, *operations):
    return json.dumps({"method": "transact", "id": number, "params": [DB, *operations]}, separators=(",", ":")).encode()


def where(uuid):
    return [["_uuid", "==", ["uuid", uuid]]]


class Instance:
    """A server of either kind with a file of its own."""

    def __init__(self, folder, programs):
        self.folder, self.programs, self.process = folder, programs, None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.socket, self.file = folder / "db.sock", folder / "conf.db"
        self.env = {**os.environ, "OVS_RUNDIR": str(folder), "OVS_LOGDIR": str(folder)}
        # one and the same for both
        subprocess.run(["/usr/bin/ovsdb-tool", "create", str(self.file), str(SCHEMA)], check=True)

    def start(self):
        """Seconds until the first answer."""
        self.socket.unlink(missing_ok=True)
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [self.programs["ovsdb-server"], "--no-chdir", "-vconsole:off", f"--remote=punix:{self.socket}",
             f"--unixctl={self.folder}/ctl", str(self.file)], env=self.env, stdin=subprocess.DEVNULL)
        while True:
            try:
                client = Connection(self.socket)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - begun > 60:
                    raise RuntimeError("the server does not start") from None
                time.sleep(0.0005)
        client.call("transact", DB, {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]})
        took = time.monotonic() - begun
        client.close()
        return took

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu(self):
        words = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def memory(self):
        """MB that are resident."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def begin(self):
        """An empty bridge: its row's and the root's UUID."""
        client = Connection(self.socket)
        root, bridge = (r["uuid"][1] for r in client.call(
            "transact", DB, {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}},
            {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br0"}}))
        client.close()
        return root, bridge

    def add_ports(self, n):
        """As ovs-vsctl adds them, a transaction for each. Returns what `drive` does."""
        root, bridge = self.begin()
        client = Connection(self.socket)
        client.todo = [add_port(root, bridge, i) for i in range(n)]
        done = drive([client], 32)
        client.close()
        return done


def add_port(root, bridge, n):
    return transact(
        n, {"op": "wait", "table": "Bridge", "timeout": 0, "where": where(bridge), "columns": ["name"], "until": "==",
            "rows": [{"name": "br0"}]},
        {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": f"p{n}", "type": "dummy"}},
        {"op": "insert", "table": "Port", "uuid-name": "p", "row": {"name": f"p{n}", "interfaces": ["named-uuid", "i"]}},
        {"op": "mutate", "table": "Bridge", "where": where(bridge),
         "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]]},
        {"op": "mutate", "table": "Open_vSwitch", "where": where(root), "mutations": [["next_cfg", "+=", 1]]},
        {"op": "select", "table": "Open_vSwitch", "where": where(root), "columns": ["next_cfg"]},
        {"op": "comment", "comment": f"ovs-vsctl add-port br0 p{n}"})


class Case:
    """What is measured: the figure, the processor time for each transaction if there is one."""

    def __init__(self, key, title, unit, measure, floor=None, less=False):
        self.key, self.title, self.unit, self.measure, self.floor, self.less = key, title, unit, measure, floor, less


def updates(clients, window, durable=False, seconds=2.0):
    def measure(instance):
        instance.start()
        instance.add_ports(1000)
        reader = Connection(instance.socket)
        rows = reader.call("transact", DB, {"op": "select", "table": "Interface", "where": [], "columns": ["_uuid"]})[0]["rows"]
        rows = [r["_uuid"][1] for r in rows]
        reader.close()
        connections = []
        for k in range(clients):
            c = Connection(instance.socket)
            commit = [{"op": "commit", "durable": True}] if durable else []
            some = [transact(n, {"op": "update", "table": "Interface", "where": where(rows[(k + n * clients) % 1000]),
                                 "row": {"external_ids": ["map", [["iface-id", f"vm-{n}-{k}"], ["iface-status", "active"]]]}},
                             *commit) for n in range(2000)]
            c.todo = some * max(1, 200_000 // (2000 * clients))
            connections.append(c)
        before = instance.cpu()
        done, took = drive(connections, window, seconds)
        used = instance.cpu() - before
        for c in connections:
            c.close()
        return done / took, used / done * 1e6
    return measure


def ports(instance):
    instance.start()
    before = instance.cpu()
    done, took = instance.add_ports(PORTS)
    return done / took, (instance.cpu() - before) / done * 1e6


def filled(instance):
    """A file with all ports, written by this server and then at rest."""
    instance.start()
    instance.add_ports(PORTS)


def memory_grown(instance):
    filled(instance)
    return instance.memory(), None


def memory_loaded(instance):
    filled(instance)
    instance.stop()
    instance.start()
    return instance.memory(), None


def load(instance):
    filled(instance)
    instance.stop()
    took = instance.start()
    return took * 1000, None


def monitors(instance, n=1000):
    instance.start()
    instance.add_ports(n)
    reader = Connection(instance.socket)
    rows = reader.call("transact", DB, {"op": "select", "table": "Interface", "where": [], "columns": ["_uuid", "name"]})[0]["rows"]
    reader.close()
    watchers = []
    for row in rows:
        c = Connection(instance.socket, b'"update2"')
        c.call("monitor_cond", DB, row["name"], {"Interface": {"columns": ["name", "external_ids"],
                                                               "where": [["name", "==", row["name"]]]}})
        watchers.append(c)
    writer = Connection(instance.socket)
    writer.todo = [transact(k, {"op": "update", "table": "Interface", "where": where(rows[k % n]["_uuid"][1]),
                                "row": {"external_ids": ["map", [["iface-id", f"vm-{k}"]]]}}) for k in range(20_000)]
    before = instance.cpu()
    done, took = drive([writer], 8, 2.0, watchers)
    used = instance.cpu() - before
    # each gets what its own row's changes come to at most, and nothing else
    for w in watchers[:min(n, writer.count)]:
        w.socket.settimeout(20)
        while not w.count:
            w.receive()
    if any(w.count > writer.count // n + 1 for w in watchers):
        raise RuntimeError("a monitor saw what is not its own")
    for c in [writer, *watchers]:
        c.close()
    return done / took, used / done * 1e6


def vsctl(instance):
    """One more port by ovs-vsctl, median of nine."""
    filled(instance)
    took = []
    for n in range(9):
        begun = time.monotonic()
        subprocess.run([instance.programs["ovs-vsctl"], "--no-wait", f"--db=unix:{instance.socket}", "add-port", "br0", f"x{n}",
                        "--", "set", "Interface", f"x{n}", "type=dummy"], check=True, env=instance.env, timeout=60)
        took.append(time.monotonic() - begun)
    return statistics.median(took) * 1000, None


def vsctl_many(instance, n=2000):
    """Two thousand ports in one run of ovs-vsctl."""
    instance.start()
    instance.begin()
    words = [instance.programs["ovs-vsctl"], "--no-wait", f"--db=unix:{instance.socket}"]
    for k in range(n):
        words += ["--", "add-port", "br0", f"p{k}"]
    begun = time.monotonic()
    subprocess.run(words, check=True, env=instance.env, timeout=120)
    return (time.monotonic() - begun) * 1000, None


def all_cases():
    return [
        Case("o-1", "updates of a row, 1 client", "transactions/s", updates(1, 32), 2.0),
        Case("o-50", "updates of a row, 50 clients", "transactions/s", updates(50, 8), 2.0),
        Case("o-durable-1", "the same, durable, 1 client that waits for each", "transactions/s", updates(1, 1, True)),
        Case("o-durable-50", "the same, durable, 50 clients that wait for each", "transactions/s", updates(50, 1, True), 1.2),
        Case("o-add-port", "add-port, from none to 10,000 ports", "transactions/s", ports, 2.0),
        Case("o-monitors", "1,000 conditional monitors, each of its own row", "transactions/s", monitors, 2.0),
        Case("o-load", "10,000 ports: start until the first answer", "ms", load, 2.0, True),
        Case("o-memory", "10,000 ports: memory after loading them", "MB", memory_loaded, 1.0, True),
        Case("o-grown", "10,000 ports: memory after adding them", "MB", memory_grown, 1.0, True),
        Case("o-vsctl", "ovs-vsctl add-port at 10,000 ports", "ms", vsctl, 2.0, True),
        Case("o-vsctl-many", "2,000 add-port in one run of ovs-vsctl", "ms", vsctl_many, 2.0, True),
    ]


def programs(folder, binary):
    """The names that a server is run by, stock and ours."""
    links = folder / "links"
    links.mkdir(exist_ok=True)
    ours = {}
    for name in ("ovsdb-server", "ovs-vsctl"):
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(binary)
        ours[name] = str(link)
    return {"Open vSwitch": {"ovsdb-server": "/usr/sbin/ovsdb-server", "ovs-vsctl": "/usr/bin/ovs-vsctl"}, "Ironbridge": ours}


def both(folder, binary):
    """How an instance of each kind is made."""
    return {name: (lambda at, p=p: Instance(at, p)) for name, p in programs(folder, binary).items()}


def run(cases, rounds, folder, kinds, only=()):
    """Measures each case in turn: [(case, {name: [(figure, processor time)]})], and what failed."""
    out, missed = [], []
    kinds = {name: make for name, make in kinds.items() if not only or name in only}
    for case in cases:
        found = {}
        for n in range(rounds):
            for name, make in kinds.items():
                instance = make(folder / "instance")
                try:
                    figure, cost = case.measure(instance)
                    found.setdefault(name, []).append((figure, cost))
                    said = f"{figure:,.0f} {case.unit}" + (f", {cost:.1f} us of the server" if cost is not None else "")
                except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                    said = f"failed: {e}"
                    missed.append(f"{case.key}, {name}: {e}")
                finally:
                    instance.close()
                print(f"{case.key:13} round {n + 1}  {name:13} {said}", flush=True)
        result = summary(case, found)
        if result["ratio"]:
            verdict = "" if not case.floor else "  reached" if result["ratio"] >= case.floor else "  MISSED"
            print(f"{case.key:13} {result['ratio']:.2f}x{verdict}", flush=True)
        out.append(result)
    return out, missed


def summary(case, found):
    """The best of the rounds, and how many times better: what else the machine does makes rounds worse, never better."""
    pick = min if case.less else max
    best = {name: pick(f for f, _ in rounds) for name, rounds in found.items()}
    costs = {name: min(c for _, c in rounds) for name, rounds in found.items() if rounds[0][1] is not None}
    ours, stock = best.get("Ironbridge"), best.get("Open vSwitch")
    ratio = (stock / ours if case.less else ours / stock) if ours and stock else None
    return {"key": case.key, "title": case.title, "unit": case.unit, "floor": case.floor, "ratio": ratio,
            "best": best, "microseconds": costs, "rounds": {n: [f for f, _ in r] for n, r in found.items()}}
