"""Receive queues and workers: who polls what, what it costs, and workers that come and go under traffic."""
import os
import re
import unittest

from .packets import udp4
from .switch import NO_WORKERS, Case, Refused, dummy_ports, until
from .test_dpdk import BRIDGE, DPDK, dpdk_port

CORES = sorted(os.sched_getaffinity(0))


def assignment(text):
    """{core: (isolated, [(port, queue), ...])} of pmd-rxq-show."""
    out, core = {}, None
    for line in text.splitlines():
        if found := re.fullmatch(r"pmd thread numa_id \d+ core_id (\d+):", line):
            core = out.setdefault(int(found[1]), [None, []])
        elif found := re.fullmatch(r"  isolated : (true|false)", line):
            core[0] = found[1] == "true"
        elif found := re.fullmatch(r"  port: (.{16})  queue-id: ( \d|\d\d) \(enabled\)   pmd usage: (NOT AVAIL|[ \d]\d %|100 %)", line):
            core[1].append((found[1].strip(), int(found[2])))
        elif not re.fullmatch(r"Displaying last \d+ seconds pmd usage %|  overhead: (NOT AVAIL|[ \d]\d %|100 %)", line):
            raise AssertionError(f"not a line of pmd-rxq-show: {line!r}")
    return {core: tuple(v) for core, v in out.items()}


class Displays(Case):
    """What the commands say, on a switch whose only worker is the one that sleeps."""

    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 2)).ready()
        self.switch.ctl("ofctl/add-flow", "br0", "in_port=1,udp,actions=2")
        self.switch.ctl("ofctl/barrier")

    def send(self, n):
        before = self.switch.fates()["all"]["received"]
        self.switch.ctl("netdev-dummy/receive", "p1", *[udp4().hex()] * n)
        until("frames", lambda: self.switch.fates()["all"]["received"] == before + n)

    def stats(self):
        lines = self.switch.ctl("dpif-netdev/pmd-stats-show").splitlines()
        self.assertEqual(lines[0], "main thread:")
        return {key.strip(): value for key, value in (line.split(": ", 1) for line in lines[1:])}

    def test_stats_are_shown_and_cleared(self):
        self.send(100)
        stats = self.stats()
        self.assertEqual(list(stats), [
            "packets received", "packet recirculations", "avg. datapath passes per packet", "phwol hits", "mfex opt hits",
            "simple match hits", "emc hits", "smc hits", "megaflow hits", "avg. subtable lookups per megaflow hit",
            "miss with success upcall", "miss with failed upcall", "avg. packets per output batch"])
        self.assertEqual((stats["packets received"], stats["miss with success upcall"]), ("100", "1"))
        hits = sum(int(stats[k]) for k in ("simple match hits", "smc hits", "megaflow hits", "miss with success upcall"))
        self.assertEqual(hits, 100)
        self.assertEqual(self.switch.ctl("dpif-netdev/pmd-stats-clear"), "")
        self.assertEqual(self.stats()["packets received"], "0")
        # what is not a display's goes on
        self.assertEqual(self.switch.fates()["all"]["received"], 100)
        self.send(5)
        self.assertEqual(self.stats()["packets received"], "5")

    def test_histograms_add_up(self):
        for n in (1, 32, 70):
            self.send(n)
        metrics = self.switch.metrics()
        get = lambda name, **labels: metrics[name, tuple(sorted({"worker": "slow", **labels}.items()))]
        self.assertEqual(get("ironbridge_worker_burst_packets_sum"), 103)
        for name in ("burst_packets", "packet_cycles", "miss_cycles"):
            last = get(f"ironbridge_worker_{name}_bucket", le="+Inf")
            self.assertEqual(last, get(f"ironbridge_worker_{name}_count"))
        self.assertEqual(get("ironbridge_worker_packet_cycles_count"), 103)
        self.assertEqual(get("ironbridge_worker_miss_cycles_count"), 1)
        queue = (("bridge", "br0"), ("port", "p1"), ("queue", "0"), ("worker", "slow"))
        self.assertEqual(metrics["ironbridge_queue_rx_packets_total", queue], 103)
        cycles = metrics["ironbridge_queue_rx_cycles_total", queue]
        self.assertLessEqual(cycles, get("ironbridge_worker_busy_cycles_total"))
        self.assertGreaterEqual(cycles, get("ironbridge_worker_packet_cycles_sum"))

    def test_what_is_refused(self):
        def refused(*command):
            with self.assertRaises(Refused) as e:
                self.switch.ctl(*command)
            return str(e.exception).strip()
        self.assertEqual(refused("dpif-netdev/pmd-stats-show", "nope"), "please specify an existing datapath")
        self.assertIn("expected a number", refused("dpif-netdev/pmd-rxq-show", "-secs", "x"))
        self.assertIn("not logged", refused("dpif-netdev/pmd-perf-log-set", "on"))
        self.assertIn("not there yet", refused("other-config/set", "hw-offload=true"))
        self.assertIn("pmd-cpu-mask", refused("other-config/set", "pmd-cpu-mask=fish"))
        self.assertIn("not among the cores", refused("other-config/set", "pmd-cpu-mask=0x" + "8" + "0" * 60))
        self.assertIn("where there were none", refused("other-config/set", f"pmd-cpu-mask={1 << CORES[0]:x}"))
        self.assertEqual(self.switch.ctl("dpif-netdev/pmd-rxq-show", "-secs", "7"), "Displaying last 10 seconds pmd usage %\n")


@unittest.skipIf(len(CORES) < 2, "one core")
class Workers(Case):
    """Two ports of several queues on polling workers that may sleep, so that two of them fit anywhere."""

    def start_with(self, workers, port=""):
        (self.folder / "flows.txt").write_text("in_port=1,actions=2\nin_port=2,actions=1\n")
        switch = self.start(f'[other_config]\npmd-maxsleep = "1000"\n[cpu]\nworkers = {workers}\n{DPDK}'
                          + BRIDGE.replace("flows.txt", "../flows.txt")
                          + dpdk_port("p1", 1, "net_null0,size=64", "n_rxq = 3\n" + port)
                          + dpdk_port("p2", 2, "net_null1,no-rx=1", "n_rxq = 2\n")).ready()
        # net_null makes packets without end
        switch.endless = True
        return switch

    def shown(self, switch):
        return assignment(switch.ctl("dpif-netdev/pmd-rxq-show"))

    def test_queues_are_spread_pinned_and_moved(self):
        a, b = CORES[0], CORES[-1]
        switch = self.start_with(f"[{a}, {b}]", f'other_config = {{ pmd-rxq-affinity = "1:{a}" }}\n')
        # core a has the pinned queue and nothing else
        self.assertEqual(self.shown(switch), {a: (True, [("p1", 1)]), b: (False, [("p1", 0), ("p1", 2), ("p2", 0), ("p2", 1)])})
        until("packets of all queues", lambda: all(self.queue(switch, q) > 1000 for q in range(3)))
        switch.ctl("other-config/set", "pmd-rxq-assign=group", "pmd-rxq-isolate=false")
        shown = self.shown(switch)
        self.assertEqual({core: isolated for core, (isolated, _) in shown.items()}, {a: False, b: False})
        self.assertIn(("p1", 1), shown[a][1])
        # one worker less: all queues on the other, and nothing stops
        switch.ctl("other-config/set", f"pmd-cpu-mask={1 << b:x}")
        until("one worker", lambda: f"core id: {a:2} destroyed" in switch.log())
        self.assertEqual(list(self.shown(switch)), [b])
        self.assertEqual(len(self.shown(switch)[b][1]), 5)
        before = [self.queue(switch, q) for q in range(3)]
        until("packets of all queues", lambda: all(self.queue(switch, q) > n for q, n in enumerate(before)))
        # and back, several times
        for n in range(2, 5):
            switch.ctl("other-config/set", f"pmd-cpu-mask={1 << a | 1 << b:x}")
            until("two workers", lambda: len(self.shown(switch)) == 2)
            switch.ctl("other-config/set", f"pmd-cpu-mask={1 << a:x}")
            until("one worker", lambda: len(re.findall("core id: .* destroyed", switch.log())) == n)
        self.assertEqual(self.threads(switch), [f"worker{a}"])
        switch.ctl("port/del", "p1")
        fates = switch.settled()
        self.assertEqual(fates["all"]["dropped"], 0, fates)
        self.assertEqual(fates["all"]["received"], fates["all"]["forwarded"])

    def threads(self, switch):
        names = [open(f"/proc/{switch.pid}/task/{t}/comm").read().strip() for t in os.listdir(f"/proc/{switch.pid}/task")]
        return [n for n in names if re.fullmatch(r"worker\d+", n)]

    def queue(self, switch, number):
        mine = {("port", "p1"), ("queue", str(number))}
        found = [n for (name, labels), n in switch.metrics().items()
                 if name == "ironbridge_queue_rx_packets_total" and mine <= set(labels)]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_usage_and_rebalance(self):
        a, b = CORES[0], CORES[-1]
        switch = self.start_with(f"[{a}, {b}]")
        # after two samples of five seconds there are figures
        until("usage", lambda: "NOT AVAIL" not in switch.ctl("dpif-netdev/pmd-rxq-show", "-secs", "5"), seconds=30)
        shown = switch.ctl("dpif-netdev/pmd-rxq-show", "-secs", "5")
        usage = [int(n) for n in re.findall(r"p1 .*pmd usage: +(\d+) %", shown)]
        self.assertTrue(all(1 <= n <= 100 for n in usage), shown)
        self.assertEqual([int(n) for n in re.findall(r"p2 .*pmd usage: +(\d+) %", shown)], [0, 0])
        self.assertEqual(switch.ctl("dpif-netdev/pmd-rxq-rebalance"), "pmd rxq rebalance requested.\n")
        queues = [queue for _, queues in self.shown(switch).values() for queue in queues]
        self.assertEqual(sorted(queues), [("p1", 0), ("p1", 1), ("p1", 2), ("p2", 0), ("p2", 1)])
        # the costliest go to different cores
        self.assertTrue(all(any(p == "p1" for p, _ in queues) for _, queues in self.shown(switch).values()))
        perf = switch.ctl("dpif-netdev/pmd-perf-show", "-pmd", a)
        self.assertRegex(perf, r"pmd thread numa_id \d+ core_id %d:\n\n  Iterations: +\d+  \([\d.]+ us/it\)\n" % a)
        self.assertIn("cycles/upcall", perf)
        switch.ctl("port/del", "p1")
        stats = switch.ctl("dpif-netdev/pmd-stats-show", "-pmd", b)
        self.assertRegex(stats, r"\A.*core_id %d:\n(  .*\n){13}  idle cycles: \d+ \(.*%%\)\n  processing cycles: \d+ \(.*%%\)\n" % b)

    def test_idle_workers_sleep(self):
        switch = self.start(f'[cpu]\nworkers = [{CORES[-1]}]\n[dpdk]\nenable = "no"\n[other_config]\npmd-maxsleep = "10000"\n'
                            + dummy_ports("br0", 1)).ready()
        worker = (("worker", f"worker{CORES[-1]}"),)
        until("sleeps", lambda: switch.metrics()["ironbridge_worker_sleeps_total", worker] > 200)
        switch.ctl("other-config/set", "pmd-maxsleep=0")
        # commands still reach it, and it polls again
        switch.ctl("ofctl/barrier")
        sleeps = lambda: switch.metrics()["ironbridge_worker_sleeps_total", worker]
        loops = lambda: switch.metrics()["ironbridge_worker_loops_total", worker]
        last, start = sleeps(), loops()
        until("many loops", lambda: loops() > start + 10000)
        self.assertLessEqual(sleeps(), last + 1)
