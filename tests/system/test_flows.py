"""OpenFlow's semantics on packets between dummy ports, and the counters that tell of it."""
import re

from . import packets
from .packets import A_MAC, B_MAC, checksums, eth, ipv4, ipv6, tcp4, udp, udp4
from .switch import NO_WORKERS, Case, Refused, dummy_ports, until


class Flows(Case):
    ports = 4

    def setUp(self):
        super().setUp()
        self.switch = self.start(self.body()).ready()
        self.seen = 0

    def body(self):
        return NO_WORKERS + dummy_ports("br0", self.ports)

    def flows(self, *lines, bridge="br0"):
        self.change("ofctl/add-flows", bridge, "\n".join(lines))

    def change(self, *command):
        """A change, and a barrier: then no packet obeys what was before."""
        self.switch.ctl(*command)
        self.switch.ctl("ofctl/barrier", "br0")

    def send(self, frame, port="p1"):
        """Puts frames into a port, waits until they have their fates; {port: frames that came out}."""
        frames = frame if isinstance(frame, list) else [frame]
        before = self.switch.fates()["all"]["received"]
        for at in range(0, len(frames), 64):
            self.switch.ctl("netdev-dummy/receive", port, *(f.hex() for f in frames[at:at + 64]))

        def done():
            now = self.switch.fates()["all"]
            return now["received"] == before + len(frames) == before + now["forwarded"] + now["consumed"] + now["dropped"] - \
                self.seen and now
        until("the packets' fates", done)
        self.seen += len(frames)
        return self.out()

    def out(self):
        out = {}
        for name in self.dummies():
            sent = [bytes.fromhex(line) for line in self.switch.ctl("netdev-dummy/sent", name).split()]
            if sent:
                out[name] = sent
        return out

    def dummies(self):
        return [f"p{n}" for n in range(1, self.ports + 1)]


class Pipeline(Flows):
    def test_tables_and_counters(self):
        self.flows("table=0,priority=10,in_port=1,udp,actions=load:7->NXM_NX_REG3[],resubmit(,5),output:4",
                   "table=0,priority=5,actions=resubmit(,9)",
                   "table=5,reg3=7,udp,tp_dst=53,actions=mod_tp_dst:5353,output:2",
                   "table=5,priority=1,actions=goto_table:6", "table=6,actions=output:3")
        out = self.send([udp4(dport=53)] * 30 + [udp4(dport=54)] * 20 + [tcp4()] * 7)
        rewritten = udp4(dport=5353)
        # port 4 gets what table 5 left of the packet: changes stay, as resubmit says
        self.assertEqual(out, {"p2": [rewritten] * 30, "p3": [udp4(dport=54)] * 20, "p4": [rewritten] * 30 + [udp4(dport=54)] * 20})
        wanted = {"table=0 priority=10,udp,in_port=1": 50, "table=0 priority=5": 7, "table=5 udp,reg3=0x7,tp_dst=53": 30,
                  "table=5 priority=1": 20, "table=6 table=6": 20}

        def counts():
            got = {}
            for line in self.switch.ctl("ofctl/dump-flows", "br0").splitlines():
                number = int(re.search(r"n_packets=(\d+)", line)[1])
                got[re.search(r"actions=(\S+)", line)[1]] = number
            return got
        until("counters within a second", lambda: sorted(counts().values()) == sorted(wanted.values()), 1)
        by_actions = counts()
        self.assertEqual(by_actions["output:3"], 20)
        self.assertEqual(by_actions["resubmit(,9)"], 7)
        fates = self.switch.settled()
        self.assertEqual(fates["all"]["dropped"], 7, fates)

    def test_bytes_are_counted(self):
        self.flows("in_port=1,actions=2")
        frame = udp4(b"y" * 500)
        self.send([frame] * 11)
        line = self.switch.ctl("ofctl/dump-flows", "br0")
        self.assertIn(f"n_packets=11, n_bytes={11 * len(frame)}", line)

    def test_groups(self):
        self.change("ofctl/add-group", "br0", "group_id=1,type=all,bucket=set_field:02:00:00:00:00:99->eth_dst,output:2,"
                        "bucket=output:3")
        self.change("ofctl/add-group", "br0", "group_id=2,type=select,bucket=weight:100,output:2,bucket=weight:100,output:3,"
                        "bucket=weight:100,output:4")
        self.flows("in_port=1,udp,actions=group:1,output:4", "in_port=1,tcp,actions=group:2")
        frame = udp4()
        # what a bucket changes stays in the bucket
        changed = packets.mac("02:00:00:00:00:99") + frame[6:]
        self.assertEqual(self.send(frame), {"p2": [changed], "p3": [frame], "p4": [frame]})
        # one flow keeps its bucket; many flows use all
        one = self.send([tcp4(sport=77)] * 50)
        self.assertEqual([len(v) for v in one.values()], [50])
        many = self.send([tcp4(sport=1000 + n) for n in range(600)])
        self.assertEqual(set(many), {"p2", "p3", "p4"})
        self.assertEqual(sum(map(len, many.values())), 600)
        for frames in many.values():
            self.assertGreater(len(frames), 100)

    def test_write_actions(self):
        self.flows("table=0,in_port=1,actions=write_actions(set_field:02:00:00:00:00:55->eth_dst,output:2),goto_table:1",
                   "table=1,priority=2,udp,actions=write_actions(output:3)",
                   "table=1,priority=2,tcp,actions=clear_actions",
                   "table=1,priority=1,actions=write_metadata:0x12/0xff,goto_table:2",
                   "table=2,metadata=0x12/0xff,actions=output:4")
        change = lambda f: packets.mac("02:00:00:00:00:55") + f[6:]
        self.assertEqual(self.send(udp4()), {"p3": [change(udp4())]})
        self.assertEqual(self.send(tcp4()), {})
        icmp = eth(ipv4(b"\x08\0\xf7\xff\0\0\0\0", 1))
        self.assertEqual(self.send(icmp), {"p4": [icmp], "p2": [change(icmp)]})

    def test_recirculation_by_ct(self):
        self.flows("table=0,in_port=1,ip,actions=load:9->NXM_NX_REG0[],ct(table=3)", "table=3,reg0=9,udp,actions=mod_nw_tos:64,2",
                   "table=3,priority=1,actions=3")
        out = self.send([udp4(sport=n + 1) for n in range(10)] + [tcp4()])
        self.assertEqual(len(out["p2"]), 10)
        self.assertEqual(out["p3"], [tcp4()])
        for frame in out["p2"]:
            self.assertEqual(frame[15], 64)
            self.assertIsNone(checksums(frame))
        report = self.switch.ctl("dpif-netdev/pmd-stats-show")
        self.assertEqual(re.search(r"recirculations: (\d+)", report)[1], "11")

    def learned(self, port, mac):
        until(f"{mac} at {port}", lambda: re.search(rf"{port} +0 +{mac}", self.switch.ctl("fdb/show", "br0")))
        self.switch.ctl("ofctl/barrier", "br0")

    def test_normal_learns(self):
        self.flows("actions=NORMAL")
        a_to_b, b_to_a = udp4(), udp4(dl_src=B_MAC, dl_dst=A_MAC)
        self.assertEqual(set(self.send(a_to_b, "p1")), {"p2", "p3", "p4"})
        self.learned(1, A_MAC)
        self.assertEqual(self.send(b_to_a, "p2"), {"p1": [b_to_a]})
        self.learned(2, B_MAC)
        self.assertEqual(self.send([a_to_b] * 5, "p1"), {"p2": [a_to_b] * 5})
        # it moves
        self.assertEqual(self.send(b_to_a, "p3"), {"p1": [b_to_a]})
        self.learned(3, B_MAC)
        self.assertEqual(self.send([a_to_b] * 5, "p1"), {"p3": [a_to_b] * 5})
        self.change("fdb/flush", "br0")
        self.assertEqual(set(self.send(a_to_b, "p1")), {"p2", "p3", "p4"})
        # frames for bridges themselves stay (IEEE 802.1D 7.12.6)
        self.assertEqual(self.send(udp4(dl_dst="01:80:c2:00:00:00"), "p1"), {})

    def test_changes_take_effect_at_once(self):
        """Every kind of change, with traffic that has been cached before."""
        frame = udp4()
        self.flows("priority=5,in_port=1,actions=2")
        self.assertEqual(self.send([frame] * 3), {"p2": [frame] * 3})
        self.flows("priority=6,in_port=1,udp,actions=3")
        self.assertEqual(self.send([frame] * 3), {"p3": [frame] * 3})
        self.change("ofctl/mod-flows", "br0", "udp,actions=4")
        self.assertEqual(self.send([frame] * 3), {"p4": [frame] * 3})
        self.change("ofctl/del-flows", "br0", "udp")
        self.assertEqual(self.send([frame] * 3), {"p2": [frame] * 3})
        self.change("ofctl/bundle", "br0", "delete\nadd priority=9,ip,actions=3\nadd priority=1,actions=drop")
        self.assertEqual(self.send([frame] * 3), {"p3": [frame] * 3})
        with self.assertRaises(Refused) as refused:
            self.switch.ctl("ofctl/bundle", "br0", "delete\nadd priority=9,ip,actions=3\nadd actions=nonsense")
        self.assertTrue(str(refused.exception).startswith("3: "), refused.exception)
        self.assertEqual(self.send([frame] * 3), {"p3": [frame] * 3})
        self.change("ofctl/del-flows", "br0", "--strict priority=9,ip")
        self.assertEqual(self.send([frame] * 3), {})
        self.change("ofctl/del-flows", "br0")
        self.assertEqual(self.switch.ctl("ofctl/dump-flows", "br0").count("actions="), 0)

    def test_special_ports(self):
        self.flows("in_port=1,udp,actions=in_port", "in_port=1,tcp,actions=flood", "in_port=2,actions=all",
                   "in_port=3,actions=output:3,output:1")
        f, t = udp4(), tcp4()
        self.assertEqual(self.send(f), {"p1": [f]})
        self.assertEqual(self.send(t), {"p2": [t], "p3": [t], "p4": [t]})
        self.assertEqual(self.send(f, "p2"), {"p1": [f], "p3": [f], "p4": [f]})
        # never back to where it came from unless IN_PORT says so
        self.assertEqual(self.send(f, "p3"), {"p1": [f]})

    def test_rewrites_have_right_checksums(self):
        """Every field that a checksum covers, checked by hand."""
        self.flows("ip,in_port=1,udp,actions=mod_nw_src:10.1.2.3,mod_nw_dst:10.4.5.6,mod_tp_src:7,mod_tp_dst:8,mod_nw_tos:252,dec_ttl,2",
                   "ip,in_port=1,tcp,actions=mod_nw_dst:10.4.5.6,mod_tp_dst:8080,mod_nw_ttl:9,2",
                   "ipv6,in_port=1,udp6,actions=set_field:2001:db8::99->ipv6_src,set_field:5->udp_src,dec_ttl,2",
                   "in_port=1,tcp6,actions=set_field:fe80::1->ipv6_dst,set_field:5->tcp_dst,2",
                   "in_port=1,icmp6,actions=set_field:2001:db8::9->ipv6_src,2",
                   "in_port=1,icmp,actions=mod_nw_src:1.1.1.1,set_field:9->icmp_code,2")
        src, dst = "2001:db8::1", "2001:db8::2"
        echo6 = packets.l4(58, b"\x80\0\0\0\0\1\0\1abc", 2, src, dst)
        body = b"\x08\0\0\0\0\1\0\1ab"
        frames = [udp4(bytes(range(n))) for n in (0, 1, 2, 33)] + [tcp4(b"t" * n) for n in (0, 7, 1000)]
        frames += [eth(ipv6(packets.udp(b"u" * 9, src=src, dst=dst), 17, src, dst), 0x86DD),
                   eth(ipv6(packets.tcp(b"v" * 9, src=src, dst=dst), 6, src, dst), 0x86DD),
                   eth(ipv6(echo6, 58, src, dst), 0x86DD), eth(ipv4(body[:2] + packets.ones(body).to_bytes(2, "big") + body[4:], 1)),
                   udp4(b"opt", options=b"\x94\4\0\0")]
        for frame in frames:
            self.assertIsNone(checksums(frame), "test's own")
        out = self.send(frames)["p2"]
        self.assertEqual(len(out), len(frames))
        for before, after in zip(frames, out):
            self.assertNotEqual(before, after)
            self.assertEqual(len(before), len(after))
            self.assertIsNone(checksums(after), after.hex())
        # no checksum stays none (RFC 768), a wrong one stays wrong
        none = udp4()[:40] + b"\0\0" + udp4()[42:]
        self.assertEqual(self.send(none)["p2"][0][40:42], b"\0\0")
        wrong = tcp4(b"bad")[:-1] + b"!"
        self.assertEqual(checksums(self.send(wrong)["p2"][0]), "transport")

    def test_vlan_push_and_pop(self):
        self.flows("in_port=1,vlan_tci=0x0000/0x1fff,actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp,2",
                   "in_port=1,dl_vlan=9,actions=strip_vlan,3", "in_port=1,dl_vlan=10,actions=push_vlan:0x88a8,mod_vlan_vid:20,4")
        self.assertEqual(self.send(udp4()), {"p2": [udp4(vlan=5, pcp=3)]})
        self.assertEqual(self.send(udp4(vlan=9, pcp=7)), {"p3": [udp4()]})
        inner = udp4(vlan=10, pcp=2)
        out = self.send(inner)["p4"][0]
        self.assertEqual(out[:12] + out[16:], inner)
        self.assertEqual(out[12:16].hex(), "88a80014")

    def test_idle_megaflows_go(self):
        self.flows("in_port=1,udp,tp_dst=1,actions=2", "in_port=1,actions=3")
        self.send([udp4(dport=1), udp4(dport=2)])
        self.assertGreaterEqual(self.switch.ctl("dpctl/dump-flows").count("packets:"), 2)
        self.switch.ctl("revalidator/purge")
        self.assertEqual(self.switch.ctl("dpctl/dump-flows"), "")
        # nothing of what was counted is lost
        self.assertEqual(sum(self.switch.flow_counts("br0").values()), 2)

    def test_garbage_is_counted(self):
        self.flows("in_port=1,actions=2", "priority=1,actions=drop")
        whole = udp4(b"p" * 40)
        prefixes = [whole[:n] for n in range(1, len(whole))]
        lies = [eth(b"\x4f" + bytes(19)), eth(b"\x65" * 20), eth(b"", 0x86DD), eth(b"\x60" + b"\xff" * 39, 0x86DD),
                eth(ipv6(b"\0\xff" * 8, 0), 0x86DD), eth(b"\0" * 4, 0x8847), eth(b"\x81\0" * 40, 0x8100), bytes(1), b"\xff" * 1500,
                eth(ipv4(b"", 6)), eth(ipv4(b"\0" * 19, 6)), eth(b"\0" * 27, 0x0806), eth(b"\x01" * 8, 0x894F)]
        frames = prefixes + lies
        out = self.send(frames)
        fates = self.switch.settled()["all"]
        self.assertEqual(fates["received"], len(frames))
        self.assertEqual(fates["forwarded"], len(out["p2"]))
        self.assertEqual(fates["dropped"], len(frames) - len(out["p2"]))
        # what is passed on is passed on as it was
        for frame in out["p2"]:
            self.assertIn(frame, frames)
        self.assertEqual(self.send(whole)["p2"], [whole])


class ShortIdle(Flows):
    def body(self):
        return "[limits]\nmax-idle = 200\n" + super().body()

    def test_idle_megaflows_are_removed(self):
        self.flows("in_port=1,actions=2")
        self.send(udp4())
        until("the idle megaflow to go", lambda: self.switch.ctl("dpctl/dump-flows") == "", 5)
        self.assertEqual(sum(self.switch.flow_counts("br0").values()), 1)


class Patch(Flows):
    ports = 2

    def body(self):
        def patch(name, peer):
            return f'[[bridge.port]]\nname = "{name}"\ntype = "patch"\noptions = {{ peer = "{peer}" }}\nofport_request = 10\n'
        second = dummy_ports("br1", 2).replace('"p1"', '"q1"').replace('"p2"', '"q2"')
        return NO_WORKERS + dummy_ports("br0", 2) + patch("to-br1", "to-br0") + second + patch("to-br0", "to-br1")

    def dummies(self):
        return ["p1", "p2", "q1", "q2"]

    def test_between_bridges(self):
        self.flows("in_port=1,actions=mod_dl_dst:02:00:00:00:00:31,10,2", "in_port=10,actions=output:1")
        self.flows("in_port=10,udp,actions=dec_ttl,1", "in_port=10,tcp,actions=in_port", "in_port=2,actions=10", bridge="br1")
        changed = lambda f: packets.mac("02:00:00:00:00:31") + f[6:]
        u, t = udp4(), tcp4()
        out = self.send(u)
        self.assertEqual(out["p2"], [changed(u)])
        self.assertEqual(out["q1"], [changed(udp4(ttl=63))])
        self.assertEqual(self.send(t), {"p2": [changed(t)], "p1": [changed(t)]})
        self.assertEqual(self.send(u, "q2"), {"p1": [u]})
        # the rules of both bridges count
        self.assertEqual(sorted(self.switch.flow_counts("br1").values()), [1, 1, 1])

    def test_a_loop_ends(self):
        self.flows("actions=10,2")
        self.flows("actions=in_port,1", bridge="br1")
        self.flows("priority=40000,in_port=10,actions=in_port")
        self.send(udp4())
        fates = self.switch.settled()["all"]
        self.assertEqual(fates["received"], 1)
        self.assertIn("too deep", self.switch.ctl("ofproto/trace", "br0", "in_port=1").lower())


class Ordering(Flows):
    def test_marked_packets_obey_the_newest_rule(self):
        """Rounds of flow change, barrier, marked packet, under other traffic: the mark is always that of the last change."""
        import os
        rounds = int(os.environ.get("IRONBRIDGE_ROUNDS", "200"))
        self.flows("priority=1,in_port=1,actions=3", "priority=1,in_port=2,actions=4")
        marked = udp4(sport=9, dport=9)
        load = [udp4(sport=n) for n in range(100, 140)]
        from .switch import Control
        noise = Control(self.switch.socket)
        self.addCleanup(noise.close)
        for n in range(rounds):
            to = 3 + n % 2
            noise.send("netdev-dummy/receive", "p2", *(f.hex() for f in load))
            noise.send("netdev-dummy/receive", "p1", *(f.hex() for f in [*load, marked]))
            self.switch.ctl("ofctl/add-flow", "br0", f"priority=9,in_port=1,udp,tp_src=9,actions=mod_dl_src:02:00:00:00:{n // 256:02x}:{n % 256:02x},{to}")
            self.switch.ctl("ofctl/barrier", "br0")
            for _ in range(2):
                noise.answer()
            self.switch.ctl("netdev-dummy/sent", "p3")
            self.switch.ctl("netdev-dummy/sent", "p4")
            self.switch.ctl("netdev-dummy/receive", "p1", *([marked.hex()] * 3))
            mark = (marked[:6] + packets.mac(f"02:00:00:00:{n // 256:02x}:{n % 256:02x}") + marked[12:]).hex()
            got = []

            def three():
                got.extend(self.switch.ctl("netdev-dummy/sent", f"p{to}").split())
                return got.count(mark) >= 3
            until(f"the marked packets of round {n}", three)
            ours = [f for f in got if f.endswith(marked[12:].hex())]
            self.assertTrue(all(f == mark for f in ours[-3:]), (n, ours))
            wrong = [f for f in self.switch.ctl("netdev-dummy/sent", f"p{7 - to}").split() if f.endswith(marked[12:].hex())]
            self.assertEqual(wrong, [], f"round {n}")
