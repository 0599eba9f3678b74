"""Kinds of DPDK devices that need no hardware, each end to end: what is sent by one comes in by its other end."""
import struct

from .net import Host
from .packets import udp4, write_pcap
from .switch import NO_WORKERS, Case, Refused, dummy_ports, until
from .test_dpdk import DPDK, dpdk_port

FRAMES = [udp4(struct.pack("!I", n) + b"d" * (n * 7 % 1400), sport=1 + n % 11) for n in range(200)]


class Devices(Case):
    def begin(self, ports, *flows):
        """A bridge with dummy ports 1 and 2, and `ports`."""
        switch = self.start(NO_WORKERS + DPDK + dummy_ports("br0", 2) + ports).ready()
        for flow in flows:
            switch.ctl("ofctl/add-flow", "br0", flow)
        switch.ctl("ofctl/barrier")
        self.assertNotIn("error", switch.ctl("dpif/show"))
        return switch

    def through(self, switch, frames=FRAMES):
        """Puts frames in by p1; they come out by p2."""
        for at in range(0, len(frames), 50):
            switch.ctl("netdev-dummy/receive", "p1", *[frame.hex() for frame in frames[at:at + 50]])
        out = []
        until("all frames", lambda: out.extend(switch.ctl("netdev-dummy/sent", "p2").split()) or len(out) >= len(frames))
        self.assertEqual(sorted(out), sorted(frame.hex() for frame in frames))
        fates = switch.settled()
        self.assertEqual(fates["all"]["dropped"], 0, fates)
        return fates

    def test_ring(self):
        """What is sent to a ring comes back from it."""
        switch = self.begin(dpdk_port("ring", 3, "net_ring0"), "in_port=1,actions=3", "in_port=3,actions=2")
        fates = self.through(switch)
        self.assertEqual((fates["ring"]["sent"], fates["ring"]["received"]), (200, 200))

    def test_memif(self):
        """Both ends of one: the one that listens, and the one that connects."""
        def end(role):
            return f"role={role},socket={self.folder}/memif,socket-abstract=no"
        switch = self.begin(dpdk_port("server", 3, f"net_memif0,{end('server')}"), "in_port=1,actions=3", "in_port=4,actions=2")
        switch.ctl("port/add", "br0", "client", "dpdk", f"options:dpdk-devargs=net_memif1,{end('client')}")
        until("both ends to be up", lambda: switch.ctl("dpif/show").count("(dpdk: up") == 2)
        fates = self.through(switch)
        self.assertEqual((fates["server"]["sent"], fates["client"]["received"]), (200, 200))
        switch.ctl("port/del", "client")
        until("the other end to notice", lambda: "(dpdk: down" in switch.ctl("dpif/show"))

    def test_memif_without_its_other_end(self):
        switch = self.begin("")
        with self.assertRaises(Refused) as refused:
            switch.ctl("port/add", "br0", "m", "dpdk", f"options:dpdk-devargs=net_memif0,role=client,socket={self.folder}/no,socket-abstract=no")
        self.assertIn("Failed to connect socket", str(refused.exception))

    def test_null(self):
        """Takes everything, and makes packets when told to."""
        switch = self.begin(dpdk_port("null", 3, "net_null0,no-rx=1"), "in_port=1,actions=3,2")
        self.assertEqual(self.through(switch)["null"]["sent"], 200)
        switch.ctl("ofctl/add-flow", "br0", "in_port=4,actions=drop")
        switch.ctl("port/add", "br0", "source", "dpdk", "options:dpdk-devargs=net_null1,size=100")
        until("its packets", lambda: switch.fates()["source"]["dropped"] > 1000)
        switch.ctl("port/del", "source")

    def test_pcap(self):
        write_pcap(self.folder / "in.pcap", FRAMES)
        switch = self.begin("", "in_port=3,actions=2", "in_port=1,actions=3")
        switch.ctl("port/add", "br0", "pcap", "dpdk", f"options:dpdk-devargs=net_pcap0,rx_pcap={self.folder}/in.pcap,tx_pcap={self.folder}/out.pcap")
        out = []
        until("all of the capture", lambda: out.extend(switch.ctl("netdev-dummy/sent", "p2").split()) or len(out) >= 200)
        self.assertEqual(out, [frame.hex() for frame in FRAMES])

    def test_af_packet(self):
        """DPDK's driver for a kernel interface, both ways."""
        host = Host(self)
        switch = self.begin(dpdk_port("kernel", 3, f"net_af_packet0,iface={host.port}"), "in_port=1,actions=3", "in_port=3,actions=2")
        raw = host.raw(self)
        for frame in FRAMES[:20]:
            raw.send(frame)
        out = []
        until("its frames", lambda: out.extend(switch.ctl("netdev-dummy/sent", "p2").split()) or len(out) >= 20)
        self.assertEqual(out, [frame.hex() for frame in FRAMES[:20]])
        switch.ctl("netdev-dummy/receive", "p1", *[frame.hex() for frame in FRAMES[20:40]])
        self.assertEqual([raw.recv(4096) for _ in range(20)], FRAMES[20:40])

    def test_af_xdp(self):
        """Where kernel and driver have it, frames come through; else the error says which device and why."""
        host = Host(self)
        switch = self.begin("", "in_port=1,actions=3", "in_port=3,actions=2")
        try:
            switch.ctl("port/add", "br0", "xdp", "dpdk", f"options:dpdk-devargs=net_af_xdp0,iface={host.port}")
        except Refused as e:
            self.assertIn("net_af_xdp0", str(e))
            self.assertRegex(str(e), r"DPDK: .*\w")
            # and nothing of it is left
            self.assertNotIn("xdp", switch.ctl("dpif/show"))
            return
        raw = host.raw(self)
        raw.send(FRAMES[0])
        until("its frame", lambda: FRAMES[0].hex() in switch.ctl("netdev-dummy/sent", "p2"))
        switch.ctl("netdev-dummy/receive", "p1", FRAMES[1].hex())
        self.assertEqual(raw.recv(4096), FRAMES[1])
