"""Cases with vhost-user ports. The guests are virtio-user devices: testpmd's, which send back what they get, or the
generator's. They run on the other core, so what comes out is never more than a guest on one core can take."""
import re
import subprocess
import time

from . import pcap, switches
from .fairness import Streams


class Guest:
    """testpmd behind a virtio-user device that is the vhost-user server: sends everything back."""

    def __init__(self, path):
        path.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["dpdk-testpmd", "--lcores", "0@0,1@0", "--main-lcore", "0", "-n", "1", "--no-pci", "--in-memory",
             "--single-file-segments", "--socket-mem", "256", "--vdev",
             f"net_virtio_user0,path={path},server=1,queues=1,queue_size=1024", "--", "--nb-cores=1", "--forward-mode=io",
             "--total-num-mbufs=40000", "--no-lsc-interrupt", "--txd=1024", "--rxd=1024", "--stats-period", "3600"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        switches.until("the guest's socket", path.exists)

    def close(self):
        switches.stop(self.process)


class Pvp:
    """(i) From a port to a guest, and from the guest to another port."""
    key, title, floor = "i", "port to guest to port (PVP), 1,000 flows", 1.3
    # as good as the floor: no switch sends more than a guest gives back
    of_ceiling = 0.9
    rules = staticmethod(lambda: ["in_port=1,actions=output:3", "in_port=3,actions=output:2"])

    def measure(self, switch, folder, _generator, seconds):
        path, source = folder / "guest.sock", folder / "pvp.pcap"
        if not source.exists():
            pcap.write(source, 1000)
        device = f"net_pcap0,rx_pcap={source},infinite_rx=1"
        guest = Guest(path)
        try:
            if isinstance(switch, switches.Testpmd):
                return self.ceiling(path, device, seconds)
            switch.setup([("p0", device), ("p1", "net_null1,no-rx=1"), ("p2", f"vhost:{path}")], self.rules())
            return switches.rate(switch.sent, seconds, 2)
        finally:
            if not isinstance(switch, switches.Testpmd):
                switch.clear()
            guest.close()

    @staticmethod
    def ceiling(path, device, seconds):
        """testpmd in the switch's place: source to guest, guest to sink, sink to source, which has nothing."""
        process = subprocess.Popen(
            ["dpdk-testpmd", "-l", f"0,{switches.CORE}", "--main-lcore", "0", "-n", "1", "--no-pci", "--in-memory", "--vdev",
             device, "--vdev", f"net_vhost0,iface={path},client=1,queues=1", "--vdev", "net_null1,no-rx=1", "--",
             "--nb-cores=1", "--stats-period", "1", "--forward-mode=io", "--port-topology=chained",
             "--total-num-mbufs=100000", "--no-lsc-interrupt"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
        rates, end, port = [], time.monotonic() + seconds + 30, None
        for line in process.stdout:
            found = re.search(r"statistics for port (\d+)", line)
            port = int(found[1]) if found else port
            found = re.search(r"Tx-pps:\s+([1-9]\d*)", line)
            if found and port == 2:
                rates.append(int(found[1]))
            if len(rates) > seconds + 2 or time.monotonic() > end:
                break
        switches.stop(process)
        if len(rates) < 3:
            raise RuntimeError("testpmd sent nothing")
        best = sorted(rates[1:])
        return best[len(best) // 2]


class GuestToGuest:
    """(v) From one guest to another: what the second one receives."""
    key, title, floor = "v", "guest to guest, 1,000 flows", None
    rules = staticmethod(lambda: ["in_port=1,actions=output:2"])

    def measure(self, switch, folder, generator, seconds):
        if isinstance(switch, switches.Testpmd):
            return None
        paths = [folder / f"guest{n}.sock" for n in (0, 1)]
        for path in paths:
            path.unlink(missing_ok=True)
        streams = Streams(generator, folder)
        device = "net_virtio_user{},path={},server=1,queues=1,queue_size=1024"
        streams.devices = [device.format(n, path) for n, path in enumerate(paths)]
        try:
            # a guest's device waits for the switch before the next one is made: the switch connects when they come
            switch.setup([(f"p{n}", f"vhost:{path}") for n, path in enumerate(paths)], self.rules())
            _, got = streams.run(seconds, [(0, "flows", 0, 1000), (1, "drain", 0, 0)])
            return got[1] / seconds
        finally:
            switch.clear()


def all_cases():
    return [Pvp(), GuestToGuest()]
