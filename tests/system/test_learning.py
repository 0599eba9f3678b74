"""Flows that packets teach, timeouts that connections end, and choices among ports, with real packets in memory."""
import re
import shutil
import unittest

from . import packets
from .switch import run
from .test_dummy import Daemon

OFCTL = shutil.which("ovs-ofctl")
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class Learning(Daemon):
    def setUp(self):
        super().setUp()
        self.begin()
        self.bridge(ports=(1, 2, 3))
        self.of("del-flows")

    def of(self, command, *words, version="OpenFlow13", check=True):
        return run(OFCTL, "--timeout=30", f"--protocols={version}", command, f"unix:{self.folder}/br0.mgmt", *words,
                   check=check)

    def flows(self, table):
        lines = self.of("dump-flows", f"table={table}", version="OpenFlow10").stdout.splitlines()[1:]
        return sorted(re.sub(r"(cookie=0x0, | ?duration=[\d.]+s,| (idle|hard)_age=\d+,)", "", line).strip() for line in lines)

    def send(self, port, frame):
        """Which ports a frame leaves by."""
        for n in (1, 2, 3):
            self.ctl("netdev-dummy/sent", f"p{n}")
        self.ctl("netdev-dummy/receive", f"p{port}", frame.hex())
        return [n for n in (1, 2, 3) if self.ctl("netdev-dummy/sent", f"p{n}")]

    def test_a_switch_made_of_flows(self):
        self.ctl("time/stop")
        self.of("add-flow", "table=0,actions=learn(table=1,hard_timeout=60,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
                "output:NXM_OF_IN_PORT[]),resubmit(,1)")
        self.of("add-flow", "table=1,priority=0,actions=flood")
        to_b = packets.eth(bytes(46), src=A, dst=B, kind=0x1234)
        to_a = packets.eth(bytes(46), src=B, dst=A, kind=0x1234)
        self.assertEqual(self.send(1, to_b), [2, 3])
        # in force for the very next packet
        self.assertEqual(self.send(3, to_a), [1])
        self.assertEqual(self.send(1, to_b), [3])
        learned = "hard_timeout=60, vlan_tci=0x0000/0x0fff,dl_dst=02:00:00:00:00:0a actions=output:1"
        self.assertTrue(any(line.endswith(learned) for line in self.flows(1)), self.flows(1))
        # a host that moved; packets in between go on by the caches
        self.assertEqual(self.send(2, to_b), [3])
        self.assertEqual(self.send(3, to_a), [2])
        # packets keep what they taught; without packets it goes
        self.ctl("time/warp", "50000", "1000")
        self.assertEqual(self.send(2, to_b), [3])
        self.ctl("time/warp", "20000", "1000")
        self.assertEqual(len(self.flows(1)), 2)
        self.ctl("time/warp", "61000", "1000")
        self.assertEqual(len(self.flows(1)), 1)

    def test_limits_and_what_goes_with_its_teacher(self):
        self.of("add-flow", "in_port=1,actions=learn(table=1,cookie=0x7,delete_learned,limit=3,result_dst=NXM_NX_REG0[0],"
                "NXM_OF_ETH_SRC[]),resubmit(,2)")
        self.of("add-flow", "table=2,reg0=1,actions=2")
        self.of("add-flow", "table=2,reg0=0,actions=3")
        frames = [packets.eth(bytes(46), src=f"02:00:00:00:00:{n:02x}", dst=B, kind=0x1234) for n in range(6)]
        self.assertEqual([self.send(1, frame) for frame in frames], [[2]] * 3 + [[3]] * 3)
        self.assertEqual([self.send(1, frame) for frame in frames], [[2]] * 3 + [[3]] * 3)
        self.assertEqual(len(self.flows(1)), 3)
        self.of("del-flows", "in_port=1")
        self.assertEqual(self.flows(1), [])

    def test_fin_timeout(self):
        self.ctl("time/stop")
        self.of("add-flow", "tcp,idle_timeout=60,actions=fin_timeout(idle_timeout=5),2")
        shown = lambda: self.flows(0)[0]
        self.assertEqual(self.send(1, packets.tcp4(flags=0x10)), [2])
        self.assertIn("idle_timeout=60", shown())
        self.assertEqual(self.send(1, packets.tcp4(flags=0x11)), [2])
        self.assertIn("idle_timeout=5,", shown())
        self.ctl("time/warp", "7000", "1000")
        self.assertEqual(self.flows(0), [])

    def test_one_of_several(self):
        self.of("add-flow", "in_port=1,actions=bundle(eth_src,0,active_backup,ofport,members:2,3)")
        frame = packets.udp4(sport=5)
        self.assertEqual(self.send(1, frame), [2])
        self.ctl("netdev-dummy/set-admin-state", "p2", "down")
        self.assertEqual(self.send(1, frame), [3])
        self.ctl("netdev-dummy/set-admin-state", "p2", "up")
        self.assertEqual(self.send(1, frame), [2])
        self.of("mod-flows", "in_port=1,actions=multipath(nw_src,0,hrw,2,0,NXM_NX_REG0[0..3]),resubmit(,1)")
        self.of("add-flow", "table=1,reg0=0,actions=2")
        self.of("add-flow", "table=1,reg0=1,actions=3")
        taken = [tuple(self.send(1, packets.udp4(src=f"10.0.0.{n}"))) for n in range(1, 33)]
        self.assertEqual(set(taken), {(2,), (3,)})
        self.assertEqual(taken, [tuple(self.send(1, packets.udp4(src=f"10.0.0.{n}", sport=9))) for n in range(1, 33)])

    def test_by_length(self):
        self.of("add-flow", "in_port=1,actions=check_pkt_larger(200)->NXM_NX_REG0[0],resubmit(,1)")
        self.of("add-flow", "table=1,reg0=1/1,actions=2")
        self.of("add-flow", "table=1,reg0=0/1,actions=3")
        frame = lambda size: packets.udp4(b"x" * (size - 42))
        self.assertEqual([self.send(1, frame(size)) for size in (100, 200, 201, 1500)], [[3], [3], [2], [2]])
        self.assertIn("actions:check_pkt_len(size=200,gt(2),le(3))", self.ctl("dpctl/dump-flows"))


if __name__ == "__main__":
    unittest.main()
