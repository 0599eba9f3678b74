"""Long requests hold nobody up: files of flows, bundles, dumps."""
import os
import threading
import time

from .switch import NO_WORKERS, Case, Control, Refused, dummy_ports, until

MANY = int(os.environ.get("IRONBRIDGE_MANY", 40_000))
LEFT = MANY - MANY // 4


def lines(count, action, more=""):
    return "\n".join(f"{more}ip,nw_dst=10.{n >> 16}.{n >> 8 & 255}.{n & 255},actions={action}" for n in range(count))


class Long(Case):
    def setUp(self):
        super().setUp()
        self.switch = self.start(NO_WORKERS + dummy_ports("br0", 3)).ready()

    def connect(self):
        control = Control(self.switch.socket)
        self.addCleanup(control.close)
        return control

    def while_asked(self, *long, ask=("version",)):
        """Asks something again and again until the answer to `long` is there: that answer, how long it took, and how long each
        of the others did."""
        control, done, took = self.connect(), threading.Event(), []
        control.socket.settimeout(240)
        answers = []

        def wait():
            try:
                answers.append(control.call(*long))
            except (Refused, OSError) as e:
                answers.append(e)
            done.set()
        thread = threading.Thread(target=wait)
        start = time.monotonic()
        thread.start()
        while not done.is_set():
            before = time.monotonic()
            self.switch.ctl(*ask)
            took.append(time.monotonic() - before)
        thread.join()
        return answers[0], time.monotonic() - start, took

    def check_took(self, whole, took, least=20):
        # on a machine of any speed: many answers in between, and none that took a good part of the whole
        said = f"{whole:.2f} s in all, {len(took)} answers meanwhile, the slowest after {max(took) * 1000:.0f} ms"
        self.assertGreater(len(took), least, said)
        self.assertLess(max(took), max(whole / 2, 1), said)
        if os.environ.get("IRONBRIDGE_FIGURES"):
            print(f"        {said}", flush=True)

    def count(self):
        return self.switch.metrics()[("ironbridge_flows", (("bridge", "br0"),))]

    def test_flows_bundles_and_dumps(self):
        flows = lines(LEFT, "output:2") + "\n" + lines(MANY - LEFT, "output:2", "nw_src=1.2.3.4,")
        answer, whole, took = self.while_asked("ofctl/add-flows", "br0", flows)
        self.assertEqual((answer, self.count()), ("", MANY))
        self.check_took(whole, took)
        answer, whole, took = self.while_asked("ofctl/dump-flows", "br0")
        self.assertEqual(answer.count("actions=output:2\n"), MANY)
        self.check_took(whole, took)
        # a bundle is there at once: while it is made, whoever looks sees what was
        bundle = lines(MANY // 2, "output:3") + "\ndelete ip,nw_src=1.2.3.4\npriority=1,actions=drop"
        answer, whole, took = self.while_asked("ofctl/bundle", "br0", bundle)
        self.assertEqual((answer, self.count()), ("", LEFT + 1))
        self.check_took(whole, took)
        # one that fails at its end is undone
        answer, whole, took = self.while_asked("ofctl/bundle", "br0", bundle + "\ncheck_overlap,priority=1,tcp,actions=drop")
        self.assertIsInstance(answer, Refused)
        self.assertIn(f"change {MANY // 2 + 3}: another flow of the same priority overlaps", str(answer))
        self.assertEqual(self.count(), LEFT + 1)
        self.check_took(whole, took)

    def test_many_flows_are_removed(self):
        # a flow is removed in about a microsecond: as many as make it last
        few = 1000
        self.switch.ctl("ofctl/add-flows", "br0", lines(few, "output:2"))
        for tos in range(0, 20, 4):
            self.switch.ctl("ofctl/add-flows", "br0", lines(MANY, "output:2", f"nw_src=1.2.3.4,nw_tos={tos},"))
        for match, left in (("ip,nw_src=1.2.3.4", few), ("", 0)):
            answer, whole, took = self.while_asked("ofctl/del-flows", "br0", match)
            self.assertEqual((answer, self.count()), ("", left))
            if match:
                self.check_took(whole, took, 2)
        self.switch.ctl("ofctl/add-flows", "br0", lines(1000, "output:2"))
        with self.assertRaisesRegex(Refused, "^unknown keyword nonsense"):
            self.switch.ctl("ofctl/del-flows", "br0", "nonsense=1")
        self.switch.ctl("ofctl/del-flows", "br0", "--strict", lines(1, "").split(",actions")[0])
        self.assertEqual(self.count(), 999)

    def test_many_flows_are_modified(self):
        few = 1000
        self.switch.ctl("ofctl/add-flows", "br0", lines(few, "output:2"))
        self.switch.ctl("ofctl/add-flows", "br0", lines(MANY, "output:2", "nw_src=1.2.3.4,"))
        answer, whole, took = self.while_asked("ofctl/mod-flows", "br0", "ip,nw_src=1.2.3.4,actions=output:3")
        self.assertEqual(answer, "")
        self.check_took(whole, took, 2)
        actions = lambda match: self.switch.ctl("ofctl/dump-flows", "br0", match).count("actions=output:3\n")
        self.assertEqual((actions("ip,nw_src=1.2.3.4"), actions("ip"), self.count()), (MANY, MANY, MANY + few))
        # all or nothing, and in the words that a short one has
        for wrong, words in (("^unknown keyword nonsense", "nonsense=1,actions=drop"),
                             ("^an action sends to group 7, which does not exist", "ip,actions=group:7")):
            with self.assertRaisesRegex(Refused, wrong):
                self.switch.ctl("ofctl/mod-flows", "br0", words)
        self.assertEqual(actions("ip"), MANY)

    def test_a_bundle_is_seen_whole(self):
        self.switch.ctl("ofctl/add-flows", "br0", lines(1000, "output:2"))
        bundle = "delete\n" + lines(20_000, "output:3")
        seen = []
        control = self.connect()
        control.send("ofctl/bundle", "br0", bundle)
        # on the same connection whatever comes later comes after it
        control.send("ofctl/add-flow", "br0", "priority=7,actions=drop")
        control.send("ofctl/dump-flows", "br0", "udp")
        until("the bundle", lambda: seen.append(self.count()) or seen[-1] > 1000)
        self.assertLessEqual(set(seen), {1000, 20_000, 20_001})
        self.assertEqual([control.answer(), control.answer()], ["", ""])
        control.answer()
        self.assertEqual(self.count(), 20_001)

    def test_changes_by_others(self):
        # Files of flows let changes by others through; what is wrong with a file is told by line, and nothing of it is done.
        control, other = self.connect(), self.connect()
        control.send("ofctl/add-flows", "br0", lines(20_000, "output:2") + "\nthis is wrong")
        other.call("ofctl/add-flow", "br0", "priority=7,actions=drop")
        with self.assertRaisesRegex(Refused, "^20001: "):
            control.answer()
        self.assertEqual(self.count(), 1)
        # Two files and a bundle at once: each whole, one after the other; a removal of a bridge does not get in between.
        connections = [self.connect() for _ in range(3)]
        connections[0].send("ofctl/add-flows", "br0", lines(5000, "output:2", "table=1,"))
        connections[1].send("ofctl/bundle", "br0", lines(5000, "output:2", "table=2,"))
        connections[2].send("ofctl/add-flows", "br0", lines(5000, "output:2", "table=3,"))
        self.assertEqual([c.answer() for c in connections], [""] * 3)
        self.assertEqual(self.count(), 15_001)
        control.send("ofctl/bundle", "br0", lines(5000, "output:2", "table=4,"))
        control.send("bridge/add", "br1")
        control.send("bridge/del", "br1")
        self.assertEqual([control.answer() for _ in range(3)], [""] * 3)
        for command in ("ofctl/add-flows", "ofctl/bundle"):
            with self.assertRaisesRegex(Refused, "no bridge named br9"):
                self.switch.ctl(command, "br9", lines(1000, "output:2"))
