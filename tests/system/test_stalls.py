"""What stops must not stop the rest: every thread but the worker is held by ptrace, as a debugger would."""
import contextlib
import ctypes
import os
import pathlib
import time

from .net import Host
from .packets import udp4, write_pcap
from .switch import Case, until
from .test_dpdk import BRIDGE, DPDK, dpdk_port

# ptrace(2): requests of linux/ptrace.h
ATTACH, DETACH = 16, 17
WALL = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace of {thread}")


@contextlib.contextmanager
def held(threads):
    """Holds threads of another process, each by itself."""
    attached = []
    try:
        for thread in threads:
            ptrace(ATTACH, thread)
            attached.append(thread)
            os.waitpid(thread, WALL)
        yield
    finally:
        for thread in attached:
            ptrace(DETACH, thread)


class Stalls(Case):
    def test_management_stopped(self):
        """Forwarding goes on for ten seconds without management; buffers and pools do not drain."""
        seconds = float(os.environ.get("IRONBRIDGE_STALL", "10"))
        write_pcap(self.folder / "load.pcap", [udp4(sport=1000 + n) for n in range(256)])
        (self.folder / "flows.txt").write_text("in_port=1,udp,actions=dec_ttl,2\n")
        core = max(os.sched_getaffinity(0))
        body = f"[cpu]\nworkers = [{core}]\n{DPDK}{BRIDGE.replace('flows.txt', '../flows.txt')}" \
            + dpdk_port("load", 1, f"net_pcap0,rx_pcap={self.folder}/load.pcap,infinite_rx=1", "n_rxq_desc = 512") \
            + dpdk_port("sink", 2, "net_null1,no-rx=1")
        switch = self.start(body).ready()
        switch.endless = True
        tasks = pathlib.Path(f"/proc/{switch.pid}/task")
        names = {int(t.name): (t / "comm").read_text().strip() for t in tasks.iterdir()}
        worker = [t for t, name in names.items() if name.startswith("worker")]
        self.assertEqual(len(worker), 1, names)

        def in_use():
            return sum(v for (n, *_), v in switch.metrics().items() if n == "ironbridge_mempool_in_use_frames")

        until("load", lambda: switch.fates()["sink"]["sent"] > 10_000)
        used, sent, start = in_use(), switch.fates()["sink"]["sent"], time.monotonic()
        until("a second of load", lambda: time.monotonic() - start > 1)
        rate = (switch.fates()["sink"]["sent"] - sent) / (time.monotonic() - start)
        sent = switch.fates()["sink"]["sent"]
        with held(t for t in names if t not in worker):
            time.sleep(seconds)
        fates = switch.fates()
        # other work on the machine may slow it down; a stop it cannot be
        self.assertGreater(fates["sink"]["sent"] - sent, rate * seconds / 4)
        self.assertEqual(fates["all"]["dropped"], 0, fates)
        # what is in flight differs by a burst or two and a core's cache
        self.assertLess(abs(in_use() - used), 2048)
        # and management goes on
        self.assertIn("ironbridge", switch.ctl("version"))
        switch.ctl("ofctl/add-flow", "br0", "priority=40000,in_port=1,udp,actions=drop")
        until("the new rule", lambda: switch.fates()["all"]["reasons"].get("rule", 0) > 1000)

    def slow(self, dpdk=DPDK, port=""):
        """A switch whose worker is under load, of which one flow in 256 goes to the slow worker's port: the switch, that
        port, that worker's thread."""
        write_pcap(self.folder / "load.pcap", [udp4(sport=1000 + n) for n in range(256)])
        beside = Host(self).port
        (self.folder / "flows.txt").write_text("priority=9,in_port=1,udp,tp_src=1000,actions=3\npriority=1,in_port=1,udp,actions=2\n")
        core = max(os.sched_getaffinity(0))
        body = f"[cpu]\nworkers = [{core}]\n{dpdk}{BRIDGE.replace('flows.txt', '../flows.txt')}" \
            + dpdk_port("load", 1, f"net_pcap0,rx_pcap={self.folder}/load.pcap,infinite_rx=1", f"n_rxq_desc = 512\n{port}") \
            + dpdk_port("sink", 2, "net_null1,no-rx=1", port) + f'[[bridge.port]]\nname = "{beside}"\ntype = "afpacket"\nofport_request = 3\n'
        switch = self.start(body).ready()
        switch.endless = True
        tasks = pathlib.Path(f"/proc/{switch.pid}/task")
        slow = [int(t.name) for t in tasks.iterdir() if (t / "comm").read_text().strip() == "slow"]
        self.assertEqual(len(slow), 1)
        until("load", lambda: switch.fates()[beside]["sent"] > 1000)
        return switch, beside, slow

    def test_slow_worker_stopped(self):
        """What another thread does not take is dropped by name; the rest of the load does not notice, and afterwards frames
        are back and go there again."""
        switch, beside, slow = self.slow()
        in_use = lambda: sum(v for (n, *_), v in switch.metrics().items() if n == "ironbridge_mempool_in_use_frames")
        rings = lambda: switch.fates()["all"]["reasons"].get("rings", 0)
        switch.ctl("ofctl/mod-flows", "br0", "udp,tp_src=1000,actions=drop")
        until("frames to be back", lambda: switch.fates()["all"]["reasons"].get("rule", 0) > 1000)
        used = in_use()
        switch.ctl("ofctl/mod-flows", "br0", "udp,tp_src=1000,actions=3")
        with held(slow):
            before = rings()
            until("a full ring", lambda: rings() > before + 1000)
            sent, refused = switch.fates()["sink"]["sent"], rings()
            until("the rest", lambda: switch.fates()["sink"]["sent"] > sent + 100_000)
            until("more refused", lambda: rings() > refused)
            # what is held is a ring full
            self.assertLess(in_use() - used, 4096 + 1024)
            reasons = {r for r, n in switch.fates()["all"]["reasons"].items() if n} - {"rule"}
            # the device behind may be slow, too
            self.assertLessEqual(reasons, {"rings", "tx_full"})
        sent = switch.fates()[beside]["sent"]
        until("the beside's share", lambda: switch.fates()[beside]["sent"] > sent + 2000)
        metrics = switch.metrics()
        self.assertGreater(metrics["ironbridge_port_rx_dropped_reason_total", (("bridge", "br0"), ("port", "load"), ("reason", "rings"))], 1000)
        switch.ctl("ofctl/mod-flows", "br0", "udp,tp_src=1000,actions=drop")
        until("frames to be back", lambda: in_use() < used + 512)

    def test_pool_empty(self):
        """Of a pool that had to be made small all frames are held by a thread that stands still: nothing is received and
        nothing breaks; afterwards everything goes on, and the pool is whole."""
        # frames of 9 kB: fewer fit into this memory than the ring to the slow worker takes
        switch, beside, slow = self.slow(DPDK.replace("256", "40"), "mtu_request = 9000")
        def pool():
            metrics = switch.metrics()
            value = lambda name: {labels: v for (n, labels), v in metrics.items() if n == name}
            used, size = value("ironbridge_mempool_in_use_frames"), value("ironbridge_mempool_frames")
            self.assertEqual(len(size), 1, size)
            return sum(used.values()), sum(size.values())
        used, size = pool()
        self.assertLess(size, 4096)
        with held(slow):
            # all but what cores keep for themselves
            until("an empty pool", lambda: pool()[0] > size - 1024)
            before = switch.settled()
            self.assertLessEqual(set(before["all"]["reasons"]), {"rings", "tx_full", "no_buffer"})
            self.assertIn("ironbridge", switch.ctl("version"))
        until("forwarding", lambda: switch.fates()["sink"]["sent"] > before["sink"]["sent"] + 100_000)
        until("the port beside", lambda: switch.fates()[beside]["sent"] > before[beside]["sent"] + 1000)
        switch.ctl("ofctl/mod-flows", "br0", "udp,tp_src=1000,actions=drop")
        until("frames to be back", lambda: pool()[0] < used + 512)
        switch.ctl("port/del", "load")
        until("a whole pool", lambda: pool()[0] == 0)
