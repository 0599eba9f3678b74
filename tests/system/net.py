"""Hosts in network namespaces, joined to the switch by veth pairs."""
import contextlib
import ctypes
import itertools
import json
import os
import socket
import subprocess

from .packets import read_pcap
from .switch import run, until

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
_names = itertools.count()


def token():
    """A short name that no other test in any process uses."""
    return f"i{os.getpid() % 1_000_000}x{next(_names)}"


class Host:
    """A namespace with `eth0`; `port` is the other end, in the switch's namespace."""

    def __init__(self, case, address=None, own_mac=None):
        name = token()
        self.name, self.port, self.address = name, f"{name}p", address
        case.addCleanup(self.remove)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", self.port, "up")
        # no packets of the kernel's own, and no answers from this machine's own addresses
        run("ip", "link", "set", self.port, "arp", "off")
        self.sysctl("net.ipv6.conf.all.disable_ipv6=1")
        run("sysctl", "-qw", f"net.ipv6.conf.{self.port}.disable_ipv6=1")
        if own_mac:
            self.ip("link", "set", "eth0", "address", own_mac)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "up")
        if address:
            self.ip("addr", "add", f"{address}/24", "dev", "eth0")
        self.mac = json.loads(self.ip("-j", "link", "show", "eth0").stdout)[0]["address"]

    def sysctl(self, setting):
        self.exec("sysctl", "-qw", setting)

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)
        run("ip", "link", "del", self.port, check=False)

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def exec(self, *command, check=True, **more):
        return run("ip", "netns", "exec", self.name, *command, check=check, **more)

    def popen(self, *command, **more):
        defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, command)], **{**defaults, **more})

    def ping(self, address, count=3):
        """How many of `count` came back."""
        out = self.exec("ping", "-q", "-c", str(count), "-i", "0.05", "-W", "2", address, check=False).stdout
        return int(out.split(" received")[0].split()[-1])

    def real_checksums(self):
        """Makes the kernel finish checksums and segments before a frame leaves the switch's end towards this host, as it
        would for a wire; otherwise a capture here sees what the sender left to the hardware."""
        run("ethtool", "-K", self.port, "tx", "off", "tso", "off", "gso", "off", check=False)

    @contextlib.contextmanager
    def inside(self):
        """This thread's namespace is the host's while it lasts."""
        with open("/proc/self/ns/net", "rb") as home, open(f"/var/run/netns/{self.name}", "rb") as there:
            if _libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                _libc.setns(home.fileno(), CLONE_NEWNET)

    def raw(self, case):
        """A packet socket on eth0."""
        with self.inside():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind(("eth0", 0))
        s.settimeout(10)
        case.addCleanup(s.close)
        return s

    def capture(self, case, *expression):
        """Starts to capture what eth0 receives."""
        return Capture(case, self, expression)

    def serve_iperf(self, case):
        server = self.popen("iperf3", "-s", "-1")
        case.addCleanup(end, server)
        until("iperf3's server", lambda: "5201" in self.exec("ss", "-Hltn", "sport = :5201").stdout)
        return server

    def iperf(self, case, other, *more, to=None):
        """Bytes that arrived in a TCP transfer to `other`."""
        server = other.serve_iperf(case)
        done = self.exec("iperf3", "-J", "-c", to or other.address, "-t", "1", *more,
                         "--connect-timeout", "5000", check=False, timeout=30)
        try:
            report = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise AssertionError(f"iperf3: {done.stdout[:200]}{done.stderr[-200:]}") from None
        if "error" in report:
            raise AssertionError(f"iperf3: {report['error']}")
        server.wait(10)
        return report["end"]["sum_received"]["bytes"]


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Capture:
    """tcpdump of what a host receives."""

    def __init__(self, case, host, expression):
        self.path = case.folder / f"{host.name}.pcap"
        self.error = open(case.folder / f"{host.name}.tcpdump", "w+")
        case.addCleanup(self.error.close)
        self.process = host.popen("tcpdump", "-i", "eth0", "-Q", "in", "-s", "0", "-B", "16384", "-U", "-Z", "root", "-w", self.path,
                                  *expression, stderr=self.error)
        case.addCleanup(end, self.process)
        until("tcpdump", self.listening)

    def listening(self):
        self.error.seek(0)
        return "listening on" in self.error.read()

    def stop(self):
        end(self.process)
        return self.path

    def frames(self):
        return read_pcap(self.path)


def bad_checksums(path):
    """What tshark finds wrong: the lines of packets with a bad checksum. The kernel writes 0 as 0xffff for TCP too when it
    finishes a checksum (skb_checksum_help); that is the same number, though tshark does not think so."""
    wanted = "ip.checksum.status == 0 || (tcp.checksum.status == 0 && tcp.checksum != 0xffff) || udp.checksum.status == 0 || icmp.checksum.status == 0"
    out = run("tshark", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o",
              "udp.check_checksum:TRUE", "-Y", wanted).stdout
    return out.splitlines()


def afpacket_ports(*hosts, bridge="br0", fail_mode="standalone", local=False, more=()):
    """A bridge with the hosts' ports, numbered from 1; `more` has further lines for each port."""
    out = f'[[bridge]]\nname = "{bridge}"\nfail_mode = "{fail_mode}"\nlocal = {str(local).lower()}\n'
    for n, host in enumerate(hosts):
        out += f'[[bridge.port]]\nname = "{host.port}"\ntype = "afpacket"\nofport_request = {n + 1}\n'
        out += (more[n] if n < len(more) else "") + "\n"
    return out
