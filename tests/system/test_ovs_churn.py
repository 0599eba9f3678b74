"""Ports added and removed by the stock ovs-vsctl while two virtual machines exchange frames: not one is lost, and nothing is left
behind. A hundred ports; IRONBRIDGE_PORTS=2000 is the long run."""
import os
import pathlib
import threading
import time

from .guest import DPDK, Guest
from .net import token
from .packets import udp4
from .switch import NO_WORKERS, run, until
from .test_database import Followed

PORTS = int(os.environ.get("IRONBRIDGE_PORTS", "100"))
ROUNDS = 3
# ports that one transaction adds or removes
BATCH = 50


class Traffic(threading.Thread):
    """Frames there and back, the next when the last have come: each one that is lost is missed."""

    def __init__(self, there, back):
        super().__init__(daemon=True)
        self.ends, self.exchanged, self.slowest, self.failed, self.ending = (there, back), 0, 0.0, None, False

    def run(self):
        try:
            while not self.ending:
                for sender, receiver in (self.ends, self.ends[::-1]):
                    frames = [udp4(sport=1 + (self.exchanged + n) % 60_000) for n in range(32)]
                    begun, got = time.monotonic(), []
                    sender.send(frames)
                    until("the frames", lambda: got.extend(receiver.frames()) or len(got) >= 32, seconds=20)
                    assert got == frames, "other frames, or in another order"
                    self.exchanged += 32
                    self.slowest = max(self.slowest, time.monotonic() - begun)
        except Exception as e:  # told by the test's thread
            self.failed = e

    def finish(self):
        self.ending = True
        self.join()
        if self.failed:
            raise self.failed


class Churn(Followed):
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.switch.pid}/fd"))

    def memory(self):
        """kB."""
        return int(pathlib.Path(f"/proc/{self.switch.pid}/status").read_text().split("VmRSS:")[1].split()[0])

    def test_ports_come_and_go(self):
        switch = self.switch = self.start(f'{NO_WORKERS}{DPDK}enable = "yes"\n[database]\nfile = "{self.state}/conf.db"\n').ready()
        self.vsctl("add-br BR -- set bridge BR datapath_type=netdev fail_mode=secure",
                   "-- add-port BR a -- set interface a type=dpdkvhostuser ofport_request=1",
                   "-- add-port BR b -- set interface b type=dpdkvhostuser ofport_request=2")
        for flow in ("in_port=1,actions=2", "in_port=2,actions=1"):
            switch.ctl("ofctl/add-flow", self.br, flow)
        switch.ctl("ofctl/barrier")
        guests = [Guest(switch.run_dir / name) for name in "ab"]
        for guest in guests:
            self.addCleanup(guest.close)
            guest.start()
        for name in "ab":
            until("the link", lambda: self.get("interface", name, "link_state") == "up")
        # of each ten: six of tests, two of virtual machines, two of the kernel
        kinds = ["dummy"] * 6 + ["dpdkvhostuser"] * 2 + ["tap"] * 2
        prefix = token()
        names = [(f"{prefix}n{n}", kinds[n % 10]) for n in range(PORTS)]
        batches = [names[n:n + BATCH] for n in range(0, PORTS, BATCH)]
        traffic = Traffic(*guests)
        traffic.start()
        before, sizes, begun = None, [], time.monotonic()
        try:
            for _ in range(ROUNDS):
                for batch in batches:
                    self.vsctl(" -- ".join(f"add-port BR {name} -- set interface {name} type={kind}" for name, kind in batch))
                shown = switch.ctl("dpif/show")
                self.assertEqual([name for name, _ in names if f"{name} " not in shown], [])
                # all are there, none has an error
                self.assertEqual(self.vsctl("--columns=name,error find interface error!=[]").stdout, "")
                for batch in reversed(batches):
                    self.vsctl(" -- ".join(f"del-port BR {name}" for name, _ in batch))
                self.assertNotIn(prefix, switch.ctl("dpif/show"))
                # the first round makes what is kept for later ones
                before = before or self.descriptors()
                until("descriptors to be as before", lambda: self.descriptors() <= before)
                sizes.append(self.memory())
        finally:
            traffic.finish()
        took = time.monotonic() - begun
        fates = switch.settled()
        # the kernel sends by the taps what nobody has asked for, also while they go; of the two nothing is lost
        self.assertEqual([fates[p][k] for p in "ab" for k in ("sent", "received", "dropped")], [traffic.exchanged // 2] * 2 + [0] + [traffic.exchanged // 2] * 2 + [0])
        self.assertLessEqual(set(fates["all"]["reasons"]), {"table_miss", "no_bridge"})
        self.assertGreater(traffic.exchanged, 32 * ROUNDS)
        until("frames to be back in their pools", lambda: set(
            v for k, v in switch.metrics().items() if k[0] == "ironbridge_mempool_in_use_frames") == {0.0})
        self.assertEqual([p for p in os.listdir(switch.run_dir) if p.startswith(prefix)], [])
        # the kernel may finish a tap's end after the descriptor was closed
        until("no tap to be left", lambda: prefix not in run("ip", "-o", "link").stdout)
        print(f"{ROUNDS} x {PORTS} ports in {took:.1f} s; {traffic.exchanged} frames, 32 took {1000 * traffic.slowest:.0f} ms "
              f"at the most; kB after each round: {sizes}")
        self.assertLess(sizes[-1] - sizes[0], 4096 + 4 * (ROUNDS - 1) * PORTS, "kB")
