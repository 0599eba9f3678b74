"""The cases: what traffic, which rules, and the floor against the peer. Rules are ovs-ofctl lines; port 1 is where the
traffic comes in, port 2 is the sink."""
import random
import socket

from . import pcap


class Case:
    def __init__(self, key, title, rules, flows=1000, kind="udp", size=60, floor=None, vlans=0, macs=0, **more):
        self.key, self.title, self.rules = key, title, rules
        self.flows, self.kind, self.size, self.floor = flows, kind, size, floor
        self.vlans, self.macs = vlans, macs
        self.churn = more.get("churn", 0)
        self.statics = more.get("statics", [])
        self.generator = more.get("generator", "pcap")
        self.flow_limit = more.get("flow_limit", 200_000)
        # seconds from the first packet that came out until the rate is read: every flow has been met by then
        self.settle = more.get("settle", 4 if flows > 20_000 else 2)

    def capture(self, folder):
        """The capture's path, written when it is not there yet."""
        path = folder / f"{self.kind}-{self.flows}-{self.size}-{self.vlans}-{self.macs}.pcap"
        if not path.exists():
            pcap.write(path, self.flows, self.kind, self.size, vlans=self.vlans, macs=self.macs)
        return path


def dotted(address):
    return socket.inet_ntoa(address)


def port_rule():
    return ["in_port=1,actions=output:2"]


def three_rules():
    return [
        "priority=30,udp,tp_dst=53,actions=dec_ttl,output:2",
        "priority=20,ip,nw_dst=192.168.0.0/17,actions=output:2",
        "priority=10,ip,nw_dst=192.168.128.0/17,actions=output:2",
    ]


def five_tuples(count):
    return [
        f"priority=100,udp,nw_src={dotted(s)},nw_dst={dotted(d)},tp_src={sp},tp_dst={dp},actions=output:2"
        for s, d, sp, dp in pcap.flows(count)
    ]


def access_list(count=400, seed=7):
    """Prefix and port rules of many masks; most traffic falls through several of them."""
    rng, seen, out = random.Random(seed), set(), []
    while len(out) < count:
        parts = []
        if rng.random() < 0.7:
            bits = rng.choice([16, 18, 20, 22, 23, 24, 25, 26, 28, 32])
            address = 0xC0A80000 | rng.randrange(1 << 16)
            parts.append(f"nw_dst={dotted((address >> (32 - bits) << (32 - bits)).to_bytes(4, 'big'))}/{bits}")
        if rng.random() < 0.5:
            bits = rng.choice([12, 16, 20, 22, 24, 27, 30, 32])
            address = 0x0A000000 | rng.randrange(20000)
            parts.append(f"nw_src={dotted((address >> (32 - bits) << (32 - bits)).to_bytes(4, 'big'))}/{bits}")
        if rng.random() < 0.6:
            parts.append(f"tp_dst={rng.choice([22, 25, 53, 80, 443, 8080, 11211, 5001, 3306])}")
        elif rng.random() < 0.3:
            parts.append(f"tp_src={rng.randrange(1024, 65536) & 0xFF00}/0xff00")
        if len(parts) < 2 or tuple(parts) in seen:
            continue
        seen.add(tuple(parts))
        out.append(f"priority={10 + rng.randrange(1000)},tcp,{','.join(parts)},actions=output:2")
    return out + ["priority=1,actions=output:2"]


def chain():
    """Eight tables that load registers and branch, then rewrite MAC and TTL."""
    rules = ["table=0,ip,actions=load:0x1->NXM_NX_REG0[],resubmit(,1)"]
    matches = ["nw_proto=17", "nw_dst=192.168.0.0/16", "nw_src=10.0.0.0/8", "reg0=1", "reg3=4", "tp_dst=53"]
    for i, match in enumerate(matches, 1):
        base = "udp," if "tp_" in match else "ip,"
        for kind in ([match, "tp_dst=80"] if match == "tp_dst=53" else [match]):
            rules.append(f"table={i},priority=10,{base}{kind},actions=load:{i + 1}->NXM_NX_REG{i}[],resubmit(,{i + 1})")
        rules.append(f"table={i},priority=1,actions=load:{i + 1}->NXM_NX_REG{i}[],resubmit(,{i + 1})")
    last = "mod_dl_src:02:00:00:00:00:aa,mod_dl_dst:02:00:00:00:00:bb,dec_ttl,output:2"
    return rules + [f"table=7,ip,actions={last}"]


def quarters(count):
    """/30 destinations for the generator's flows, which count up from 10.253.0.0."""
    start = 0x0AFD0000
    return [
        f"priority=10,ip,nw_dst={dotted((start + 4 * i).to_bytes(4, 'big'))}/30,actions=output:2" for i in range(count // 4)
    ]


def all_cases():
    out = []
    for n in (1, 1000, 10_000, 100_000):
        out.append(Case(f"a-{n}", f"one port rule, {n:,} flows", port_rule, n, floor=1.2))
    for n, floor in ((1000, 1.5), (10_000, 2.0), (100_000, 2.0)):
        out.append(Case(f"b-{n}", f"three overlapping rules, {n:,} flows", three_rules, n, floor=floor))
    out.append(Case("c", "10,000 five-tuple rules, 10,000 flows", lambda: five_tuples(10_000), 10_000, floor=2.5))
    out.append(Case("d", "access list of 400 rules, 20,000 TCP flows", access_list, 20_000, kind="tcp", floor=3.0))
    statics = [("p1", vlan, "02:00:00:00:00:02") for vlan in range(1, 101)]
    out.append(Case("e", "NORMAL, 100 VLANs, 1,000 MACs", lambda: ["actions=NORMAL"], 10_000, floor=1.5, vlans=100,
                    macs=1000, statics=statics))
    out.append(Case("f", "chain of eight tables, 50,000 flows", chain, 50_000, floor=2.0))
    out.append(Case("g", "VLAN push and MAC rewrite, 1,000 flows", lambda: [
        "in_port=1,actions=push_vlan:0x8100,set_field:4196->vlan_vid,mod_dl_dst:02:00:00:00:00:cc,output:2"], floor=1.5))
    for size, floor in ((128, 1.2), (512, 1.0), (1518, 1.0)):
        out.append(Case(f"h-{size}", f"one port rule, 1,000 flows, {size} bytes", port_rule, size=size, floor=floor))
    out.append(Case("k", "a million flows, 250,000 megaflows", lambda: quarters(1_000_000), 1_000_000, floor=2.0,
                    generator="flowgen", flow_limit=400_000, settle=15))
    out.append(Case("l", "(c) with 10,000 flow changes a second", lambda: five_tuples(10_000), 10_000, churn=10_000,
                    floor=0.9))
    return out
