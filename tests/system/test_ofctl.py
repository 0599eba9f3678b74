"""Our ovs-ofctl and the stock one with the stock daemon: the same commands, one after another, say the same."""
import re
import shutil
import subprocess
import unittest

from .net import token
from .test_crosscheck import VSWITCH, Cross

# what is in files of commands
FILES = {
    "refused": "in_port=1,actions=2\ntable=254,actions=drop\nin_port=3,actions=2\n",
    "bad": "in_port=1,actions=2\n\n# x\nbad\n",
    "some": "table=3,cookie=0x5,idle_timeout=700,hard_timeout=900,importance=4,send_flow_rem,priority=5,in_port=p1,tcp,actions=2,3\n"
            "actions=drop\n",
    "other": "table=3,priority=6,actions=1\n",
    "mixed": "group group_id=1,type=all\nflow in_port=3,actions=2\nflow delete in_port=3\n",
}

SCRIPT = """
show br0
-O OpenFlow13 show br0
dump-desc br0
-O OpenFlow14 dump-table-desc br0
add-flows br0 refused
dump-flows br0
-O OpenFlow14 --bundle add-flows br0 refused
-O OpenFlow13 --bundle add-flows br0 refused
add-flow br0 foo=1,actions=2
add-flow br0 in_port=1,actions=output:bar
add-flows br0 nofile
add-flows br0 bad
dump-flows nobr
dump-flows
add-flow br0
dump-flows br0 a b c
-O OpenFlow13 dump-flows br0
--no-stats dump-flows br0
--sort dump-flows br0
--rsort=in_port dump-flows br0
--names dump-flows br0
--names --no-stats dump-flows br0
-F nxm dump-flows br0
-F openflow10 dump-flows br0
-F OXM-OpenFlow13 dump-flows br0
-F foo dump-flows br0
-O foo dump-flows br0
mod-port br0 foo up
mod-port br0 p1 foo
mod-port br0 p1 no-flood
mod-port br0 1 down
dump-ports-desc br0
mod-port br0 p1 up
-O OpenFlow15 mod-port br0 p1 no-forward
add-group br0 group_id=1,type=all,bucket=output:1
add-group br0 group_id=1,type=all,bucket=output:1
dump-groups br0
-O OpenFlow13 dump-groups br0
-O OpenFlow13 dump-group-stats br0
-O OpenFlow15 dump-groups br0 1
-O OpenFlow15 insert-buckets br0 group_id=1,command_bucket_id=last,bucket=bucket_id=7,output:2
-O OpenFlow15 dump-groups br0
-O OpenFlow15 remove-buckets br0 group_id=1,command_bucket_id=7
-O OpenFlow15 dump-groups br0
-O OpenFlow13 dump-group-features br0
dump-group-stats br0 group_id=1
-O OpenFlow13 --may-create mod-group br0 group_id=1,type=select,bucket=weight:3,output:1,bucket=weight:4,output:2
-O OpenFlow13 dump-groups br0
-O OpenFlow13 add-meter br0 meter=1,kbps
-O OpenFlow13 add-meter br0 meter=1,kbps,band=type=drop,rate=10
-O OpenFlow13 add-meter br0 meter=1,kbps,band=type=drop,rate=10
-O OpenFlow13 add-meter br0 meter=2,pktps,burst,stats,bands=type=drop,rate=10,burst_size=5,type=drop,rate=20,burst_size=9
-O OpenFlow13 dump-meters br0
-O OpenFlow13 dump-meter br0 meter=1
-O OpenFlow13 meter-stats br0
-O OpenFlow13 meter-stats br0 meter=9
-O OpenFlow13 meter-features br0
-O OpenFlow13 mod-meter br0 meter=1,pktps,band=type=drop,rate=10
-O OpenFlow15 dump-meters br0
-O OpenFlow13 del-meter br0 meter=2
-O OpenFlow13 dump-meters br0
add-meter br0 meter=1,kbps,band=type=drop,rate=10
dump-ports br0
dump-ports br0 77
dump-ports br0 p1
dump-ports br0 LOCAL
-O OpenFlow15 dump-ports-desc br0 1
probe br0
benchmark br0 10 2
ping br0 2
packet-out br0 in_port=1,actions=2
packet-out br0 1 2 ffffffffffff0000000000010800
packet-out br0 in_port=1,packet=ffffffffffff0000000000010800,actions=2
packet-out br0 in_port=1,packet=ff,actions=2
packet-out br0 in_port=1,nw_src=1.1.1.1,packet=ffffffffffff0000000000010800,actions=2
queue-stats br0
queue-stats br0 1 7
queue-stats br0 55
queue-get-config br0
queue-get-config br0 1
-O OpenFlow14 queue-get-config br0
-O OpenFlow14 queue-get-config br0 1 0
get-frags br0
set-frags br0 foo
set-frags br0 drop
get-frags br0
mod-table br0 0 foo
-O OpenFlow14 mod-table br0 0 vacancy:20,80
-O OpenFlow14 mod-table br0 0 evict
-O OpenFlow14 dump-table-desc br0
-O OpenFlow14 mod-table br0 0 noevict
-O OpenFlow14 mod-table br0 0 novacancy
-O OpenFlow14 dump-table-desc br0
-O OpenFlow11 mod-table br0 0 controller
-O OpenFlow11 mod-table br0 ALL continue
-O OpenFlow13 mod-table br0 0 controller
-O OpenFlow14 add-flows br0 some
diff-flows some other
diff-flows br0 other
--names diff-flows br0 other
-O OpenFlow14 diff-flows br0 other
--no-stats dump-flows br0
-O OpenFlow14 --no-stats --names dump-flows br0
-O OpenFlow14 --sort dump-flows br0
-O OpenFlow14 --sort=in_port --rsort=priority dump-flows br0
-O OpenFlow13 --strict diff-flows br0 other
-O OpenFlow14 --bundle --readd replace-flows br0 some
-O OpenFlow14 replace-flows br0 other
-O OpenFlow14 dump-flows br0
dump-aggregate br0
dump-aggregate br0 table=3
add-flow br0 cookie=5,udp,actions=3
mod-flows br0 udp,actions=4
--strict mod-flows br0 cookie=7,udp,actions=5
dump-flows br0 cookie=5/-1
dump-flows br0 out_port=3
--strict del-flows br0 udp
dump-flows br0 table=3
dump-flows br0 nw_src=1,tcp
del-groups br0 group_id=7
-O OpenFlow13 insert-buckets br0 group_id=1,command_bucket_id=last,bucket=output:2
-O OpenFlow13 add-groups br0 /dev/null
del-flows br0 actions=2
del-flows br0 out_port=2
del-flows br0 cookie=3
add-flow tcp:127.0.0.1:1 actions=2
bundle br0 other
bundle br0 mixed
-O OpenFlow13 bundle br0 mixed
-F openflow10 add-flow br0 reg0=1,actions=2
-O OpenFlow11 add-flow br0 reg0=1,actions=2
add-flow br0 reg0=1,actions=2
-O OpenFlow13 -F nxm add-flow br0 actions=2
dump-tlv-map br0
add-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata3
dump-tlv-map br0
del-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata0
dump-tlv-map br0
del-tlv-map br0
add-tlv-map br0 bad
dump-ipfix-bridge br0
dump-ipfix-flow br0
ct-flush-zone br0 5
dump-table-features br0
dump-table-desc br0
tcp
show
show br0 x
add-flow br0 tcp,tp_src=1
add-flow br0 conj_id=1,actions=conjunction(1,1/2),2
-O OpenFlow14 --bundle replace-flows br0 other
-O OpenFlow14 --no-stats dump-flows br0
packet-out br0 in_port=1,pkt_mark=3,packet=ffffffffffff0000000000010800,actions=2
compose-packet ip,nw_proto=17
compose-packet udp,nw_src=1.2.3.4,nw_ttl=64 0102
compose-packet udp 0102 3
compose-packet udp zz
compose-packet ip,nw_src=1.1.1.1/24
compose-packet dl_vlan=3,dl_type=0x1234
compose-packet in_port=1,ip
compose-packet metadata=3,ip
parse-packet
parse-packet x
print-error OFPBRC_BAD_LEN
parse-flow in_port_oxm=123456,actions=drop
--color=always parse-flow table=3,tcp,in_port=1,nw_src=1.2.3.4,actions=output:2,learn(table=2,hard_timeout=3),resubmit(,3),exit
--color=always dump-flows br0
-O OpenFlow14 --color=always --no-stats dump-flows br0
--color=always --sort dump-flows br0
--color --no-stats dump-flows br0
--color=never --no-stats dump-flows br0
--color=foo dump-flows br0
ofp-print 010000100000000000010008000000f1
"""

# transactions, times and what depends on them
PASSING = (
    (r"\d{4}-\d\d-\d\dT[0-9:]+Z", "date"), (r"xid=(0x)?[0-9a-f]+", "xid"), (r"duration[=:](\x1b\[m\x1b\[K)?[0-9.]+s", "duration"), (r"time=[0-9.]+ ms", "time"), (r" hard_age=\d+,", ""),
    (r"idle_age=(\x1b\[m\x1b\[K)?\d+", "idle_age"), (r"in [0-9.]+ ms \(\d+ packets/s\) \(\d+ bytes/s\)", "soon"), (r"vacancy=\d+%", "vacancy"),
)


@unittest.skipUnless(shutil.which("ovs-vswitchd"), "needs ovs-vswitchd")
class Ofctl(Cross):
    maxDiff = None

    def daemon(self):
        """Open vSwitch's daemon with bridge br0 and a port."""
        self.ok("stock", "ovsdb-tool", "create", "conf.db", VSWITCH)
        where, _ = self.serve("stock", "conf.db", name="db")
        vsctl = lambda *words: self.ok("stock", "ovs-vsctl", f"--db={where}", "-t", "30", *words)
        vsctl("--no-wait", "init")
        self.ok("stock", "ovs-vswitchd", "--detach", "--no-chdir", f"--pidfile={self.folder}/vswitchd.pid", "--log-file",
                "-vconsole:off", "--disable-system", f"--unixctl={self.folder}/vswitchd.ctl", "--enable-dummy", where)
        self.addCleanup(self.stop, int((self.folder / "vswitchd.pid").read_text()))
        versions = "protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
        vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure", versions,
              "other_config:hwaddr=aa:55:aa:55:00:00", "--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy",
              "ofport_request=1")
        return vsctl

    def test_a_script_of_all_commands(self):
        vsctl, said = self.daemon(), {}
        for name, text in FILES.items():
            (self.folder / name).write_text(text)
        for whose in ("stock", "our"):
            for what in ("flows", "groups", "meters"):
                self.ok("stock", "ovs-ofctl", "-O", "OpenFlow14", f"del-{what}", "br0")
            self.ok("stock", "ovs-ofctl", "set-frags", "br0", "normal")
            self.ok("stock", "ovs-ofctl", "mod-port", "br0", "p1", "flood")
            self.ok("stock", "ovs-ofctl", "mod-port", "br0", "p1", "forward")
            said[whose] = [self.call(whose, "ovs-ofctl", *line.split()) for line in SCRIPT.strip().splitlines()]
        self.assertTrue(vsctl("show"))
        for line, wanted, got in zip(SCRIPT.strip().splitlines(), said["stock"], said["our"], strict=True):
            with self.subTest(line):
                self.assertEqual(self.without(got), self.without(wanted))

    def without(self, said):
        """What was said, without what passes."""
        code, *texts = said
        for what, put in PASSING:
            texts = [re.sub(what, put, text) for text in texts]
        return code, *texts

    def test_a_monitor(self):
        """What a monitor in the background tells, and its control socket."""
        self.daemon()
        told = {}
        for whose in ("stock", "our"):
            name = f"{whose}{token()}"
            # what is in the background keeps where it writes
            with open(self.folder / "first", "w") as first:
                subprocess.run([self.program(whose, "ovs-ofctl"), "monitor", "br0", "65534", "--detach", "--no-chdir",
                                f"--pidfile={self.folder}/{name}.pid", f"--unixctl={self.folder}/{name}.ctl", "-vconsole:off"],
                               env=self.env, stdout=first, stderr=first, stdin=subprocess.DEVNULL, check=True, timeout=60)
            control = lambda *words, name=name: self.ok("stock", "ovs-appctl", "-t", f"{self.folder}/{name}.ctl", *words)
            control("ofctl/set-output-file", str(self.folder / f"{name}.log"))
            self.ok("stock", "ovs-ofctl", "add-flow", "br0", "actions=controller")
            self.ok("stock", "ovs-ofctl", "packet-out", "br0", "in_port=1,packet=ffffffffffff00000000000112340000,actions=table")
            control("ofctl/barrier")
            control("ofctl/send", "0100000800000009")
            control("ofctl/block")
            self.ok("stock", "ovs-ofctl", "packet-out", "br0", "in_port=1,packet=ffffffffffff00000000000256780000,actions=table")
            control("ofctl/unblock")
            control("ofctl/barrier")
            control("exit")
            told[whose] = self.without((0, (self.folder / f"{name}.log").read_text()))
        self.assertEqual(told["our"], told["stock"])
        self.assertEqual(told["our"][1].count("NXT_PACKET_IN2"), 2)
