"""The three that are measured on the same core, capture and devices: testpmd's io forwarding (the ceiling), Open vSwitch
with DPDK (the peer) and Ironbridge. Each knows how to start, send a case's traffic, measure and stop what it started."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

CORE = 1


def run(*command, check=True, **more):
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **{"timeout": 60, **more})
    except subprocess.TimeoutExpired as e:
        raise RuntimeError(f"{' '.join(map(str, command))}: no answer within {e.timeout:.0f} s") from None
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def until(what, condition, seconds=30):
    """Waits for a condition of another process."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rate(count, seconds, settle):
    """Packets per second of a cumulative count, once packets come out and `settle` seconds are over."""
    start, end = count(), time.monotonic() + 20
    while count() - start < 1000:
        if time.monotonic() > end:
            raise RuntimeError("no packets come out")
        time.sleep(0.05)
    time.sleep(settle)
    return running(count, seconds)


def running(count, seconds):
    """Packets per second of a cumulative count, from now on."""
    a, t0 = count(), time.monotonic_ns()
    time.sleep(seconds)
    b, t1 = count(), time.monotonic_ns()
    return (b - a) * 1e9 / (t1 - t0)


def device(devargs):
    """Type, option and value of a port."""
    if devargs.startswith("vhost:"):
        return "dpdkvhostuserclient", "vhost-server-path", devargs.removeprefix("vhost:")
    return "dpdk", "dpdk-devargs", devargs


class Generator:
    """testpmd's flowgen behind a memif socket, on the other core. The switch is memif's server, and the generator comes
    when the switch's port is there: a client asks once when it starts, and a switch may start a port several times."""

    def __init__(self, case, folder):
        self.case, self.socket, self.process = case, folder / "memif.sock", None

    def start(self):
        """Does nothing for the cases that read a capture."""
        if self.case.generator != "flowgen":
            return
        until("the memif socket", self.socket.exists)
        self.process = subprocess.Popen(
            ["dpdk-testpmd", "--lcores", "0@0,1@0", "--main-lcore", "0", "-n", "1", "--no-pci", "--in-memory", "--vdev",
             f"net_memif0,role=client,socket={self.socket},socket-abstract=no,bsize=2048,rsize=11", "--", "--nb-cores=1",
             "--forward-mode=flowgen", f"--flowgen-flows={self.case.flows}", "--total-num-mbufs=20000",
             "--no-lsc-interrupt", "--stats-period", "3600"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def close(self):
        if self.process:
            stop(self.process)
        self.socket.unlink(missing_ok=True)


def source(case, capture, folder):
    """The receiving device of a case."""
    if case.generator == "flowgen":
        return f"net_memif0,role=server,socket={folder}/memif.sock,socket-abstract=no,bsize=2048,rsize=11"
    return f"net_pcap0,rx_pcap={capture},infinite_rx=1"


class Testpmd:
    name = "testpmd io"

    def __init__(self, folder):
        self.folder = folder

    def measure(self, case, capture, seconds, generator):
        # the count of packets sent, second by second, is what it prints
        process = subprocess.Popen(
            ["dpdk-testpmd", "-l", f"0,{CORE}", "--main-lcore", "0", "-n", "1", "--no-pci", "--in-memory", "--vdev",
             source(case, capture, self.folder), "--vdev", "net_null1,no-rx=1", "--", "--nb-cores=1", "--stats-period", "1",
             "--forward-mode=io", "--total-num-mbufs=200000", "--no-lsc-interrupt"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
        rates, end = [], time.monotonic() + seconds + 20
        for line in process.stdout:
            # the first statistics say that its ports are started
            if "Port statistics" in line and not generator.process:
                generator.start()
            found = re.search(r"Tx-pps:\s+([1-9]\d*)", line)
            if found:
                rates.append(int(found[1]))
            if len(rates) > seconds + 1 or time.monotonic() > end:
                break
        stop(process)
        if len(rates) < 3:
            raise RuntimeError("testpmd sent nothing")
        best = sorted(rates[1:])
        return best[len(best) // 2]

    def close(self):
        pass


class Peer:
    name = "OVS-DPDK"

    def __init__(self, folder):
        self.folder = folder / "ovs"
        self.folder.mkdir()
        self.env = dict(os.environ, OVS_RUNDIR=self.folder, OVS_LOGDIR=self.folder, OVS_DBDIR=self.folder,
                        OVS_SYSCONFDIR=self.folder)
        self.pids = []
        self.start()

    def start(self):
        conf, self.db = self.folder / "conf.db", f"unix:{self.folder}/db.sock"
        conf.unlink(missing_ok=True)
        run("ovsdb-tool", "create", conf, "/usr/share/openvswitch/vswitch.ovsschema")
        run("ovsdb-server", conf, f"--remote=punix:{self.folder}/db.sock", "--pidfile", "--detach", "--log-file",
            env=self.env)
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   "other_config:dpdk-extra=--no-pci --in-memory -n 1", "other_config:dpdk-lcore-mask=0x1",
                   f"other_config:pmd-cpu-mask={1 << CORE:#x}", "other_config:dpdk-socket-mem=1024",
                   "other_config:flow-limit=400000")
        run("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk", self.db, "--pidfile", "--detach", "--log-file",
            env=self.env)
        self.pids = [int((self.folder / f).read_text()) for f in ("ovs-vswitchd-dpdk.pid", "ovsdb-server.pid")]

    def vsctl(self, *arguments):
        return run("ovs-vsctl", f"--db={self.db}", "--timeout=30", *arguments, env=self.env)

    def ofctl(self, *arguments):
        return run("ovs-ofctl", "-O", "OpenFlow13", *arguments, env=self.env)

    def app(self, *arguments):
        return run("ovs-appctl", "-t", self.folder / f"ovs-vswitchd-dpdk.{self.pids[0]}.ctl", *arguments, env=self.env)

    def setup(self, ports, rules, statics=(), flow_limit=200_000):
        """Makes br0 anew with `ports`, (name, devargs) each, numbered from 1; "vhost:PATH" is a vhost-user client."""
        self.vsctl("--if-exists", "del-br", "br0")
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure",
                   "other-config:mac-table-size=50000")
        for number, (name, devargs) in enumerate(ports, 1):
            kind, key, value = device(devargs)
            self.vsctl("add-port", "br0", name, "--", "set", "interface", name, f"type={kind}",
                       f"ofport_request={number}", f"options:{key}={value}")
        for port, vlan, mac in statics:
            self.app("fdb/add", "br0", port, vlan, mac)
        flows = self.folder / "flows.txt"
        flows.write_text("\n".join(rules) + "\n")
        until("the peer's bridge", lambda: (self.folder / "br0.mgmt").exists())
        self.ofctl("del-flows", "br0")
        self.ofctl("add-flows", "br0", flows)
        if flow_limit > 200_000:
            # the peer's limit begins low and grows by a thousand each half second otherwise
            self.app("upcall/set-flow-limit", str(flow_limit))

    def clear(self):
        """Takes the bridge away; a peer that does not answer any more is started anew."""
        try:
            self.vsctl("--if-exists", "del-br", "br0")
        except RuntimeError as e:
            print(f"{self.name} is started anew: {e}", flush=True)
            self.close()
            self.start()

    def measure(self, case, capture, seconds, generator):
        try:
            self.setup([("p0", source(case, capture, self.folder.parent)), ("p1", "net_null1,no-rx=1")], case.rules(),
                       case.statics, case.flow_limit)
            generator.start()
            result = rate(self.sent, seconds, case.settle)
            self.held = int(re.search(r"current (\d+)", self.app("upcall/show"))[1])
            return result
        finally:
            self.clear()

    def sent(self, number=2):
        """Packets that port `number` sent."""
        return int(re.search(r"tx pkts=(\d+)", self.ofctl("dump-ports", "br0", str(number)))[1])

    def close(self):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        there = lambda: [p for p in self.pids if os.path.exists(f"/proc/{p}")]
        try:
            until("the peer to stop", lambda: not there())
        except RuntimeError:
            for pid in there():
                os.kill(pid, signal.SIGKILL)
            until("the peer to end", lambda: not there())


CONFIG = """[switch]
run-dir = "{folder}"
[cpu]
management = 0
workers = [{core}]
[dpdk]
hugepages = "yes"
socket-mem = 1024
file-prefix = ""
extra = []
[metrics]
enable = false
[limits]
flow-limit = {flow_limit}
[[bridge]]
name = "br0"
fail_mode = "secure"
local = false
flows = "flows.txt"
other_config = {{ mac-table-size = "50000" }}
"""

PORT = """[[bridge.port]]
name = "{name}"
type = "{kind}"
ofport_request = {number}
options = {{ {key} = "{value}" }}
"""


class Control:
    """One connection to a control socket; requests may be sent ahead of their answers."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.buffer, self.decoder = "", json.JSONDecoder()

    def send(self, method, *parameters):
        self.socket.sendall(json.dumps({"method": method, "params": list(parameters), "id": 0}).encode())

    def answer(self):
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer)
                self.buffer = self.buffer[end:].lstrip()
                if value.get("error"):
                    raise RuntimeError(value["error"])
                return value["result"]
            except json.JSONDecodeError:
                more = self.socket.recv(1 << 20)
                if not more:
                    raise RuntimeError("the control socket was closed") from None
                self.buffer += more.decode()

    def call(self, method, *parameters):
        self.send(method, *parameters)
        return self.answer()


class Churn(threading.Thread):
    """Adds and removes rules beside those that the traffic hits, so many changes a second, in batches of 10 ms."""

    def __init__(self, path, each_second):
        super().__init__(daemon=True)
        self.control, self.each_second, self.done, self.count = Control(path), each_second, threading.Event(), 0
        self.failed = None

    def run(self):
        try:
            batch, due, n = self.each_second // 100, time.monotonic(), 0
            while not self.done.is_set():
                for _ in range(batch):
                    i = n // 2 % 5000
                    match = f"udp,nw_src=172.16.{i >> 8}.{i & 255},nw_dst=192.168.1.1,tp_src={1024 + i},tp_dst=53"
                    if n % 2 == 0:
                        self.control.send("ofctl/add-flow", "br0", f"priority=100,{match},actions=output:2")
                    else:
                        self.control.send("ofctl/del-flows", "br0", f"--strict priority=100,{match}")
                    n += 1
                for _ in range(batch):
                    self.control.answer()
                    self.count += 1
                due += 0.01
                self.done.wait(max(0, due - time.monotonic()))
        except (RuntimeError, OSError) as e:
            self.failed = e


class Ironbridge:
    name = "Ironbridge"

    def __init__(self, folder, binary):
        self.folder, self.binary, self.process = folder / "ironbridge", binary, None
        self.folder.mkdir()

    def setup(self, ports, rules, statics=(), flow_limit=200_000):
        """Starts it with `ports`, (name, devargs) each, numbered from 1; "vhost:PATH" is a vhost-user client."""
        (self.folder / "flows.txt").write_text("\n".join(rules) + "\n")
        text = CONFIG.format(folder=self.folder, core=CORE, flow_limit=flow_limit)
        for number, (name, devargs) in enumerate(ports, 1):
            kind, key, value = device(devargs)
            text += PORT.format(name=name, number=number, kind=kind, key=key, value=value)
        config = self.folder / "bench.toml"
        config.write_text(text)
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([self.binary, "run", "--config", config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        self.path = self.folder / f"ironbridge.{self.process.pid}.ctl"
        until("the control socket", lambda: self.path.exists() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])
        self.control = Control(self.path)
        for port, vlan, mac in statics:
            self.control.call("fdb/add", "br0", port, str(vlan), mac)

    def clear(self):
        if self.process:
            stop(self.process)
        self.process = None

    def measure(self, case, capture, seconds, generator):
        try:
            self.setup([("p0", source(case, capture, self.folder.parent)), ("p1", "net_null1,no-rx=1")], case.rules(),
                       case.statics, case.flow_limit)
            generator.start()
            result = rate(self.sent, seconds, case.settle)
            self.held = self.metric(r"ironbridge_megaflows\{[^}]*\}")
            if case.churn:
                self.quiet, result = self.alternate(case.churn, seconds)
            return result
        finally:
            self.clear()

    def alternate(self, changes, seconds, times=3):
        """The best rates without and with `changes` a second, in turn on the same process."""
        quiet, busy = [], []
        for _ in range(times):
            quiet.append(running(self.sent, seconds))
            churn = Churn(self.path, changes)
            churn.start()
            try:
                before, t0 = churn.count, time.monotonic()
                busy.append(running(self.sent, seconds))
                made = (churn.count - before) / (time.monotonic() - t0)
            finally:
                churn.done.set()
                churn.join(5)
            if churn.failed:
                raise RuntimeError(f"flow changes: {churn.failed}")
            if made < 0.95 * changes:
                raise RuntimeError(f"{made:.0f} flow changes a second were made, not {changes}")
        return max(quiet), max(busy)

    def metric(self, pattern):
        """The sum of the series whose name and labels match."""
        found = re.findall(rf"^{pattern} ([0-9.e+]+)$", self.control.call("metrics/show"), re.M)
        return int(sum(map(float, found)))

    def sent(self, number=2):
        """Packets that port `number` sent."""
        return self.metric(rf'ironbridge_port_tx_packets_total\{{[^}}]*port="p{number - 1}"[^}}]*\}}')

    def close(self):
        self.clear()
