"""What stops must not stop the rest: every thread but the worker is held by ptrace, as a debugger would."""
import contextlib
import ctypes
import os
import pathlib
import time

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
