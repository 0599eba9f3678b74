"""Ports of every kind added and removed between two others that exchange packets all the time: these lose nothing, and
nothing is left behind. A few rounds; IRONBRIDGE_ROUNDS=2000 is the long run (about ten minutes)."""
import os
import pathlib

from .guest import GuestCase, bridge
from .net import Host
from .packets import udp4, write_pcap
from .switch import NO_WORKERS, Control, dummy_ports, until

ROUNDS = int(os.environ.get("IRONBRIDGE_ROUNDS", "12"))
# rounds after which memory that is kept for later use has been taken
WARM = 12


class Churn(GuestCase):
    def setUp(self):
        super().setUp()
        body = NO_WORKERS + bridge([("a", "dpdkvhostuser", "", ""), ("b", "dpdkvhostuser", "", "")]) + dummy_ports("br1", 2)
        self.switch = self.start(body).ready()
        self.flow(self.switch, "in_port=1,actions=2")
        self.switch.ctl("ofctl/add-flow", "br1", "in_port=1,actions=2")
        self.switch.ctl("ofctl/barrier")
        self.a, self.b = self.guest(self.switch.run_dir / "a"), self.guest(self.switch.run_dir / "b")
        self.up(self.switch, "a", "b")
        self.host = Host(self)
        self.capture = self.folder / "some.pcap"
        write_pcap(self.capture, [udp4(sport=n + 1) for n in range(64)])
        self.noise = Control(self.switch.socket)
        self.addCleanup(self.noise.close)

    def device(self, name, devargs):
        self.switch.ctl("port/add", "br0", name, "dpdk", f"options:dpdk-devargs={devargs}")
        self.switch.ctl("port/del", name)

    def with_guest(self, name, guest):
        """A guest sends by a port, which then goes away under it."""
        self.up(self.switch, name)
        self.flow(self.switch, f"in_port={name},actions=drop")
        guest.send([udp4(sport=3)] * 50)
        self.switch.ctl("port/del", name)
        self.assertTrue(guest.hung_up())
        guest.close()

    def server(self, n):
        self.switch.ctl("port/add", "br0", f"s{n}", "dpdkvhostuser")
        if n % 3 == 0:
            self.with_guest(f"s{n}", self.guest(self.switch.run_dir / f"s{n}"))
        else:
            self.switch.ctl("port/del", f"s{n}")

    def client(self, n):
        path = self.folder / f"c{n}.sock"
        guest = self.guest(path, start=False, listen=True) if n % 3 == 0 else None
        self.switch.ctl("port/add", "br0", f"c{n}", "dpdkvhostuserclient", f"options:vhost-server-path={path}")
        if guest:
            self.with_guest(f"c{n}", guest.start())
        else:
            self.switch.ctl("port/del", f"c{n}")

    def kernel(self, kind, name):
        self.switch.ctl("port/add", "br0", name, kind)
        self.switch.ctl("port/del", name)

    def one(self, n):
        """Round `n`: a kind of port after the other. Not memif and net_ring, whose drivers keep a
        listener's descriptor and rings' memory."""
        kinds = [lambda: self.server(n), lambda: self.device("n", f"net_null{n},no-rx=1"), lambda: self.client(n),
                 lambda: self.device("p", f"net_pcap{n},rx_pcap={self.capture},tx_pcap=/dev/null"),
                 lambda: self.kernel("tap", f"{self.host.name[:10]}t"),
                 lambda: self.kernel("afpacket", self.host.port)]
        kinds[n % len(kinds)]()

    def held(self):
        """What the process has: descriptors, threads, mappings, pools and what is out of them, memory in kB."""
        process = pathlib.Path(f"/proc/{self.switch.pid}")
        pools = {k: v for k, v in self.switch.metrics().items() if k[0].startswith("ironbridge_mempool")}
        memory = next(int(line.split()[1]) for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
        sockets = sorted(str(p) for p in self.switch.run_dir.iterdir() if p.is_socket())
        counts = [len(os.listdir(process / "fd")), len(os.listdir(process / "task"))]
        return {"counts": counts, "pools": pools, "sockets": sockets}, memory

    def test_ports_come_and_go_beside_two_guests(self):
        switch, before = self.switch, None
        frames = [udp4(sport=n + 1) for n in range(20)]
        texts = [frame.hex() for frame in frames]
        for n in range(ROUNDS + WARM):
            if n == WARM:
                before = self.held()
            self.noise.send("netdev-dummy/receive", "p1", *texts)
            self.a.send(frames)
            self.one(n)
            self.noise.answer()
            self.assertEqual(self.collect(self.b, len(frames)), [(bytes(10) + b"\x01\x00", frame) for frame in frames])
            out = []
            until("frames of p1", lambda: out.extend(switch.ctl("netdev-dummy/sent", "p2").split()) or len(out) >= len(texts))
            self.assertEqual(out, texts)
        fates = switch.settled()
        self.assertEqual([fates[name]["forwarded"] for name in ("a", "p1")], [(ROUNDS + WARM) * len(frames)] * 2, fates)
        try:
            until("all to be as before", lambda: self.held()[0] == before[0])
        except AssertionError:
            self.assertEqual(self.held()[0], before[0])
        grown = self.held()[1] - before[1]
        print(f"        {ROUNDS} rounds: {grown} kB more", flush=True) if ROUNDS > 100 else None
        # pages of 2 MB come and go
        self.assertLess(grown, 8192 + ROUNDS)
