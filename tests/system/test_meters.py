"""Meters: rates, bursts and counters to the packet, in time that stands still; who uses them, what goes with them."""
import re
import shutil
import unittest

from .switch import run
from .test_dummy import FLOW, Daemon

OFCTL = shutil.which("ovs-ofctl")


@unittest.skipUnless(OFCTL, "needs ovs-ofctl")
class Meters(Daemon):
    def setUp(self):
        super().setUp()
        self.begin()
        self.bridge()
        self.vsctl("set", "bridge", "br0", "fail-mode=secure")
        self.of("del-flows", version=13)
        self.ctl("time/stop")

    def of(self, command, *words, version=13, check=True):
        return run(OFCTL, f"--protocols=OpenFlow{version}", "--timeout=30", command, f"unix:{self.folder}/br0.mgmt", *words,
                   check=check)

    def refused(self, error, command, *words, version=13):
        done = self.of(command, *words, version=version, check=False)
        self.assertIn(error, done.stderr + done.stdout)

    def receive(self, port, count):
        for _ in range(count):
            self.ctl("netdev-dummy/receive", f"p{port}", FLOW.format(port, 1), "--len", "60")

    def stats(self, version=13):
        """(meter, flows, packets, bytes, packets and bytes that each band dropped)"""
        text = self.of("meter-stats", version=version).stdout
        heads = re.findall(r"meter:(\w+) flow_count:(\d+) packet_in_count:(\d+) byte_in_count:(\d+) duration:\S+ bands:\n"
                           r"((?:\d+: packet_count:\d+ byte_count:\d+\n)*)", text)
        return [(name, *map(int, numbers), *(tuple(map(int, b)) for b in re.findall(r"packet_count:(\d+) byte_count:(\d+)", bands)))
                for name, *numbers, bands in heads]

    def dropped(self):
        return int(self.ctl("coverage/read-counter", "drop_meter"))

    def test_rates_to_the_packet(self):
        self.of("add-meter", "meter=1 pktps burst stats bands=type=drop rate=1 burst_size=3")
        self.of("add-meter", "meter=2 kbps burst stats bands=type=drop rate=2 burst_size=2,type=drop rate=1 burst_size=1")
        self.of("add-flow", "in_port=1,actions=meter:1,2")
        self.of("add-flow", "in_port=2,actions=meter:2,1")
        self.receive(1, 5)
        self.receive(2, 5)
        # 60 bytes are 480 bits: 4 fit into 2,000, 2 into 1,000; the band of the higher rate counts what both would drop
        self.assertEqual(self.stats(), [("1", 1, 5, 300, (2, 120)), ("2", 1, 5, 300, (1, 60), (2, 120))])
        self.assertEqual(self.dropped(), 5)
        self.ctl("time/warp", "999")
        self.receive(1, 1)
        self.assertEqual(self.stats()[0], ("1", 1, 6, 360, (3, 180)))
        self.ctl("time/warp", "1")
        self.receive(1, 2)
        for version in (13, 14, 15):
            self.assertEqual(self.stats(version)[0], ("1", 1, 8, 480, (4, 240)))
        self.assertEqual(self.dropped(), 7)
        # one that is changed begins anew; its flows use it as it is now; without a burst it is a second's
        self.of("mod-meter", "meter=1 pktps stats bands=type=drop rate=2", version=15)
        self.assertEqual(self.stats()[0], ("1", 1, 0, 0, (0, 0)))
        self.receive(1, 5)
        self.assertEqual(self.stats()[0], ("1", 1, 5, 300, (3, 180)))

    def test_what_there_is_and_what_is_refused(self):
        for version in (13, 14, 15):
            shown = self.of("meter-features", version=version).stdout.splitlines()[1:]
            self.assertEqual(shown, ["max_meter:262144 max_bands:8 max_color:0", "band_types: drop",
                                     "capabilities: kbps pktps burst stats"])
        band = "bands=type=drop rate=1"
        self.of("add-meter", f"meter=7 kbps {band}")
        self.of("add-meter", f"meter=controller pktps {band}")
        for version in (13, 14, 15):
            self.assertEqual(self.of("dump-meters", version=version).stdout.splitlines()[1:],
                             ["meter=7 kbps bands=", "type=drop rate=1", "", "meter=controller pktps bands=", "type=drop rate=1"])
        self.refused("OFPMMFC_METER_EXISTS", "add-meter", f"meter=7 kbps {band}")
        self.refused("OFPMMFC_UNKNOWN_METER", "mod-meter", f"meter=8 kbps {band}")
        self.refused("OFPMMFC_UNKNOWN_METER", "dump-meter", "meter=8")
        self.refused("OFPMMFC_UNKNOWN_METER", "meter-stats", "meter=8")
        self.refused("OFPMMFC_INVALID_METER", "add-meter", f"meter=all kbps {band}")
        self.refused("OFPMMFC_BAD_BAND", "add-meter", "meter=8 kbps bands=type=dscp_remark rate=1 prec_level=1")
        self.refused("OFPMMFC_OUT_OF_BANDS", "add-meter", "meter=8 kbps bands=" + ",".join(["type=drop rate=1"] * 9))
        self.refused("OFPMMFC_INVALID_METER", "add-flow", "in_port=1,actions=meter:8,2")

    def test_flows_go_with_their_meter(self):
        for n in (1, 2):
            self.of("add-meter", f"meter={n} kbps bands=type=drop rate=1")
            self.of("add-flow", f"in_port={n},actions=meter:{n},LOCAL")
        self.of("add-flow", "in_port=LOCAL,actions=1", version=15)
        self.assertIn("Datapath actions: meter(1),", self.ctl("ofproto/trace", "br0", "in_port=2"))
        self.of("del-meter", "meter=9")
        self.of("del-meter", "meter=1")
        flows = self.of("dump-flows").stdout
        self.assertNotIn("meter:1", flows)
        self.assertIn("meter:2", flows)
        self.of("del-meters")
        self.assertEqual(len(self.of("dump-flows").stdout.splitlines()), 2)
        self.assertEqual(self.stats(), [])
        # the number in the datapath is free again
        self.of("add-meter", "meter=5 kbps bands=type=drop rate=1")
        self.of("add-flow", "in_port=1,actions=meter:5,2", version=15)
        self.assertIn("Datapath actions: meter(0),", self.ctl("ofproto/trace", "br0", "in_port=1"))

    def test_packets_for_controllers(self):
        self.of("add-meter", "meter=controller pktps stats bands=type=drop rate=2")
        self.of("add-meter", "meter=3 pktps stats bands=type=drop rate=1")
        self.of("add-flow", "in_port=1,actions=controller")
        self.of("add-flow", "in_port=2,actions=controller(meter_id=3),1")
        self.receive(1, 5)
        self.receive(2, 4)
        self.assertEqual(self.stats(), [("3", 0, 4, 240, (3, 180)), ("controller", 0, 5, 300, (3, 180))])
        # what a meter takes from a controller goes on to ports
        self.assertEqual(self.dropped(), 3)
        self.assertIn("n_packets=4", self.of("dump-flows", "in_port=2").stdout)
