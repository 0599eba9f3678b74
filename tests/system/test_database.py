"""The switch as the database's: the stock ovs-vsctl configures it, by the embedded server or another one."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from .net import Host, token
from .switch import NO_WORKERS, Case, run, until

@unittest.skipUnless(shutil.which("ovs-vsctl"), "needs ovs-vsctl")
class Followed(Case):
    """A switch with a database; bridges have names of their own, since their own ports are the kernel's interfaces."""

    def setUp(self):
        super().setUp()
        self.br = token()
        self.state = self.folder / "state"
        self.addCleanup(self.remove_taps)

    def remove_taps(self):
        for name in (self.br, f"{self.br}b"):
            run("ip", "link", "del", name, check=False)

    def body(self, more=""):
        return f'{NO_WORKERS}[database]\nfile = "{self.state}/conf.db"\n{more}'

    def vsctl(self, *words, db=None, check=True):
        words = [w.replace("BR", self.br) for word in words for w in word.split(" ")]
        db = db or f"unix:{self.switch.run_dir}/db.sock"
        return run("ovs-vsctl", "--timeout=30", f"--db={db}", *words, check=check)

    def begin(self, name="a", **more):
        self.switch = self.start(self.body(), name=name, **more).ready()
        return self.switch

    def get(self, table, record, column):
        out = self.vsctl("--format=json --columns=" + column, "list", table, record.replace("BR", self.br)).stdout
        return json.loads(out)["data"][0][0]

    def three(self):
        """A bridge with p1 to p3."""
        words = ["add-br BR -- set bridge BR datapath_type=netdev fail_mode=secure"]
        for n in (1, 2, 3):
            words += [f"-- add-port BR p{n} -- set interface p{n} type=dummy"]
        self.vsctl(*words)


def frame(n):
    """A frame to all, so that it is flooded."""
    return bytes(6 * [255]) + bytes([2, 0, 0, 0, 0, n]) + b"\x88\xb5" + bytes(46)


class Configured(Followed):
    def test_bridges_and_ports(self):
        switch = self.begin()
        self.three()
        # what ovs-vsctl waited for is there
        self.assertEqual([self.get("interface", f"p{n}", "ofport") for n in (1, 2, 3)], [1, 2, 3])
        self.assertEqual(self.get("interface", "BR", "ofport"), 65534)
        self.assertEqual(self.get("interface", "p1", "link_state"), "up")
        root = json.loads(self.vsctl("--format=json list open_vswitch").stdout)
        root = dict(zip(root["headings"], root["data"][0]))
        self.assertEqual(root["cur_cfg"], root["next_cfg"])
        self.assertIn("dummy", root["iface_types"][1])
        self.assertTrue(root["ovs_version"] and root["system_type"])
        switch.ctl("ofctl/add-flow", self.br, "in_port=1,actions=2")
        switch.ctl("ofctl/barrier")
        switch.ctl("netdev-dummy/receive", "p1", frame(1).hex())
        until("the frame", lambda: switch.ctl("netdev-dummy/sent", "p2").split() == [frame(1).hex()])
        # VLANs change in place: the flow's port is the same one
        self.vsctl("set bridge BR fail_mode=standalone -- set port p2 tag=7 -- set port p3 tag=7")
        self.vsctl("set port p1 tag=8")
        switch.ctl("netdev-dummy/receive", "p1", frame(2).hex())
        until("the frame's end", lambda: switch.fates()["p1"]["received"] == 2)
        switch.settled()
        self.vsctl("set port p1 tag=7")
        switch.ctl("netdev-dummy/receive", "p1", frame(3).hex())
        for port in ("p2", "p3"):
            # of the second nothing: it was in another VLAN
            until("the frame", lambda: switch.ctl("netdev-dummy/sent", port).split() == [frame(3).hex()])
        self.vsctl("del-port BR p2")
        self.assertNotIn("p2", switch.ctl("dpif/show"))
        self.vsctl("add-port BR p4 -- set interface p4 type=dummy")
        self.assertEqual(self.get("interface", "p4", "ofport"), 4)
        self.vsctl("del-br BR")
        self.assertNotIn("p1", switch.ctl("dpif/show"))
        self.assertNotEqual(run("ip", "link", "show", self.br, check=False).returncode, 0)
        self.assertEqual(switch.stop(), 0, switch.log())

    def test_numbers_and_settings_outlive_a_restart(self):
        self.begin()
        self.three()
        self.vsctl("set interface p2 ofport_request=77 -- del-port p1 -- set bridge BR other_config:datapath-id=00000000000000aa")
        self.vsctl("set open_vswitch . other_config:max-idle=20000")
        before = {p: self.get("interface", p, "ofport") for p in ("p2", "p3", "BR")}
        self.assertEqual((before["p2"], before["p3"]), (77, 3))
        self.assertEqual(self.switch.stop(signal.SIGKILL), -signal.SIGKILL)
        self.begin("b")
        until("the ports", lambda: "p3" in self.switch.ctl("dpif/show"))
        self.vsctl("set bridge BR external_ids:x=y")
        self.assertEqual({p: self.get("interface", p, "ofport") for p in before}, before)
        self.assertEqual(self.get("bridge", "BR", "datapath_id"), "00000000000000aa")
        shown = self.switch.ctl("dpif/show")
        self.assertIn("p2 77/", shown)
        self.assertIn("p3 3/", shown)

    def test_what_cannot_be_is_said(self):
        switch = self.begin()
        missing = token()
        done = self.vsctl(f"add-br BR -- add-port BR {missing} -- add-port BR odd -- set interface odd type=bogus")
        self.assertIn("bogus", done.stderr)
        self.assertEqual(self.get("interface", "odd", "ofport"), -1)
        self.assertEqual(self.get("interface", "odd", "error"), 'odd: type "bogus" is not supported')
        self.assertIn(missing, self.get("interface", missing, "error"))
        self.vsctl("set interface odd type=dummy")
        self.assertEqual(self.get("interface", "odd", "error"), ["set", []])
        self.assertGreater(self.get("interface", "odd", "ofport"), 0)
        # an interface that comes later is taken when it comes
        run("ip", "link", "add", missing, "type", "veth", "peer", "name", f"{missing}p")
        self.addCleanup(run, "ip", "link", "del", missing, check=False)
        until("the interface", lambda: self.get("interface", missing, "error") == ["set", []])
        until("its number", lambda: self.get("interface", missing, "ofport") > 0)
        # half of a patch has no peer
        self.vsctl("add-port BR half -- set interface half type=patch options:peer=other")
        self.assertIn("no usable peer 'other'", self.get("interface", "half", "error"))
        self.vsctl("add-port BR other -- set interface other type=patch options:peer=half")
        until("the peer", lambda: self.get("interface", "half", "error") == ["set", []])
        self.vsctl("set bridge BR stp_enable=true -- set open_vswitch . other_config:magic=1")
        lines = switch.ctl("ironbridge/unsupported").splitlines()
        self.assertEqual(lines, [f"Bridge {self.br}: stp_enable", "Open_vSwitch: other_config:magic"])
        until("the log", lambda: "stp_enable is set and not supported yet" in switch.log())

    def test_fake_bridges_taps_and_counters(self):
        switch = self.begin()
        fake, tap = f"{self.br}b", token()
        self.addCleanup(run, "ip", "link", "del", tap, check=False)
        self.vsctl("add-br BR", f"-- add-br {fake} BR 12 -- add-port BR {tap} -- set interface {tap} type=internal mtu_request=1400")
        self.assertEqual(self.vsctl(f"br-to-vlan {fake}").stdout.strip(), "12")
        self.assertIn("tag 12", run(switch.binary, "show", "--run-dir", switch.run_dir).stdout)
        self.assertEqual(self.get("interface", tap, "mtu"), 1400)
        # as the stock switch leaves it; what others do to it is heard of
        self.assertEqual((self.get("interface", tap, "admin_state"), self.get("interface", tap, "link_state")), ("down", "down"))
        run("ip", "link", "set", tap, "address", "02:00:00:00:55:66", "up")
        until("the link", lambda: (self.get("interface", tap, "admin_state"), self.get("interface", tap, "link_state")) == ("up", "up"))
        run("ip", "link", "set", tap, "down")
        until("no link", lambda: self.get("interface", tap, "link_state") == "down")
        self.assertEqual(self.get("interface", tap, "link_resets"), 2)
        self.vsctl(f"set interface {tap} mtu_request=1300 mac=\"02:00:00:00:11:22\"")
        until("the MTU", lambda: self.get("interface", tap, "mtu") == 1300)
        until("the address", lambda: self.get("interface", tap, "mac_in_use") == "02:00:00:00:11:22")
        self.vsctl("set bridge BR other_config:hwaddr=02:00:00:00:33:44")
        until("the bridge's address", lambda: self.get("interface", "BR", "mac_in_use") == "02:00:00:00:33:44")
        until("its ID", lambda: self.get("bridge", "BR", "datapath_id") == "0000020000003344")
        self.vsctl("add-port BR d -- set interface d type=dummy")
        for n in range(5):
            switch.ctl("netdev-dummy/receive", "d", frame(n).hex())
        until("counters", lambda: dict((self.get("interface", "d", "statistics") or ["map", []])[1]).get("rx_packets") == 5)

    def test_two_hosts(self):
        a, b = Host(self, "198.51.100.1"), Host(self, "198.51.100.2")
        self.begin()
        self.vsctl(f"add-br BR -- add-port BR {a.port} -- add-port BR {b.port}")
        self.assertEqual(a.ping("198.51.100.2"), 3)

    def test_many_ports_come_and_go_beside_traffic(self):
        switch = self.begin()
        self.three()
        switch.ctl("ofctl/add-flow", self.br, "in_port=1,actions=2")
        switch.ctl("ofctl/barrier")
        names = [f"m{n}" for n in range(300)]
        add = " ".join(f"-- add-port BR {n} -- set interface {n} type=dummy" for n in names)
        remove = " ".join(f"-- del-port BR {n}" for n in names)
        sent = 0
        for words in (add, remove, add, remove):
            sent += 1
            switch.ctl("netdev-dummy/receive", "p1", frame(sent).hex())
            self.vsctl("--may-exist add-br BR " + words)
            self.assertEqual("m299" in switch.ctl("dpif/show"), words is add)
        until("all frames", lambda: switch.fates()["p2"]["sent"] == sent)
        self.assertNotIn("m1", switch.ctl("dpif/show"))

    def test_the_file_seeds_a_new_database_once(self):
        flows = self.folder / "flows.txt"
        flows.write_text("in_port=s1,actions=drop\n")
        seed = (f'[other_config]\npmd-rxq-assign = "group"\n[[bridge]]\nname = "{self.br}"\nfail_mode = "secure"\n'
                f'flows = "{flows}"\n[[bridge.port]]\nname = "s1"\ntype = "dummy"\ntag = 5\nofport_request = 4\n')
        self.switch = self.start(self.body(seed)).ready()
        until("the port", lambda: "s1 4/" in self.switch.ctl("dpif/show"))
        until("its flows", lambda: "in_port=4" in self.switch.ctl("ofctl/dump-flows", self.br))
        self.assertEqual((self.get("port", "s1", "tag"), self.get("bridge", "BR", "fail_mode")), (5, "secure"))
        self.assertEqual(self.get("open_vswitch", ".", "other_config"), ["map", [["pmd-rxq-assign", "group"]]])
        self.vsctl("del-port s1 -- add-port BR s2 -- set interface s2 type=dummy")
        self.assertEqual(self.switch.stop(), 0)
        # what the database says is what counts from then on
        self.switch = self.start(self.body(seed.replace("flows =", "# flows =")), name="b").ready()
        until("the port", lambda: "s2" in self.switch.ctl("dpif/show"))
        self.assertNotIn("s1", self.switch.ctl("dpif/show"))

    @unittest.skipUnless(shutil.which("ovs-appctl") and shutil.which("ovsdb-tool"), "needs ovs-appctl and ovsdb-tool")
    def test_the_embedded_server_by_ovs_appctl(self):
        """`ovs-appctl -t ovsdb-server` finds it by its pid file, as it finds the stock program."""
        switch = self.begin()
        env = {**os.environ, "OVS_RUNDIR": str(switch.run_dir)}
        def appctl(*words, check=True):
            done = run("ovs-appctl", "-t", "ovsdb-server", *words, env=env, check=check)
            return done.stdout if check else done.stderr
        self.three()
        self.assertEqual(appctl("ovsdb-server/list-dbs").split(), ["Open_vSwitch", "_Server"])
        self.assertIn("punix:", appctl("ovsdb-server/list-remotes"))
        self.assertEqual(appctl("ovsdb-server/sync-status"), "state: active\n")
        self.assertIn("atoms:", appctl("memory/show"))
        self.assertIn("no database by that name", appctl("ovsdb-server/get-db-storage-status", "nope", check=False))
        file = self.state / "conf.db"
        lines = lambda: file.read_text().count("\n")
        for n in range(5):
            self.vsctl(f"--no-wait set bridge BR external_ids:n={n}")
        before = lines()
        appctl("ovsdb-server/compact", "Open_vSwitch")
        # the schema and one record of all rows; the switch may have written since
        self.assertIn("compacting database online", file.read_text())
        self.assertLess(lines(), before)
        self.assertEqual(self.get("bridge", "BR", "external_ids"), ["map", [["n", "4"]]])
        other = self.folder / "other.sock"
        appctl("ovsdb-server/add-remote", f"punix:{other}")
        self.vsctl("--no-wait set bridge BR external_ids:n=other", db=f"unix:{other}")
        appctl("ovsdb-server/remove-remote", f"punix:{other}")
        self.assertFalse(other.exists())
        second = self.folder / "second.db"
        schema = self.folder / "second.schema"
        schema.write_text('{"name": "second", "tables": {"t": {"columns": {"n": {"type": "integer"}}}}}')
        run("ovsdb-tool", "create", second, schema)
        appctl("ovsdb-server/add-db", str(second))
        self.assertIn("second", appctl("ovsdb-server/list-dbs").split())
        appctl("ovsdb-server/remove-db", "second")
        self.assertNotIn("second", appctl("ovsdb-server/list-dbs").split())
        self.assertIn("no such table", appctl("ovsdb-server/tlog-set", "Open_vSwitch:Nope", "on", check=False))
        appctl("ovsdb-server/tlog-set", "Open_vSwitch:Bridge", "on")
        self.assertRegex(appctl("ovsdb-server/tlog-list"), r"Bridge +ON")
        self.vsctl("--no-wait set bridge BR external_ids:n=logged")
        until("its line", lambda: "table:Bridge,op:updated" in switch.log() and "external_ids:{n=logged}" in switch.log())
        self.assertIn("part of the switch", appctl("exit", check=False))
        # clients are sent away and come again, the switch's own among them
        appctl("ovsdb-server/reconnect")
        self.vsctl("add-port BR p9 -- set interface p9 type=dummy")
        self.assertIn("p9", switch.ctl("dpif/show"))
        self.assertEqual(switch.stop(), 0, switch.log())
        self.assertEqual([p.name for p in switch.run_dir.glob("ovsdb-server.*")], [])


class External(Followed):
    """The database of another server, which comes and goes."""

    def serve(self, *options):
        words = ["ovsdb-server", f"--remote=punix:{self.socket}", str(self.file), "--no-chdir",
                 f"--unixctl={self.folder}/ovsdb.ctl", *options]
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.addCleanup(self.finish, server)
        until("the server", self.socket.exists)
        return server

    def finish(self, server):
        server.terminate()
        server.wait(10)

    def test_a_stock_server_that_goes_and_comes(self):
        self.socket, self.file = self.folder / "db.sock", self.folder / "conf.db"
        schema = pathlib.Path(__file__).parents[2] / "src/bridge/vswitch.ovsschema"
        run("ovsdb-tool", "create", self.file, schema)
        server = self.serve()
        remote = f"unix:{self.socket}"
        folder = self.folder / "a"
        self.vsctl("--no-wait init", db=remote)
        self.switch = self.start(f'{NO_WORKERS}[database]\nremotes = ["unix:{folder}/none.sock", "{remote}"]\n').ready()
        self.vsctl("add-br BR -- add-port BR p1 -- set interface p1 type=dummy", db=remote)
        self.assertIn("p1", self.switch.ctl("dpif/show"))
        self.finish(server)
        self.socket.unlink(missing_ok=True)
        # the switch forwards as before
        self.assertIn("p1", self.switch.ctl("dpif/show"))
        self.serve()
        self.vsctl("add-port BR p2 -- set interface p2 type=dummy -- del-port p1", db=remote)
        self.assertIn("p2", self.switch.ctl("dpif/show"))
        self.assertNotIn("p1", self.switch.ctl("dpif/show"))

    @unittest.skipUnless(shutil.which("ovs-pki"), "needs ovs-pki")
    def test_by_tls(self):
        """Stock ovsdb-server and ovs-vsctl, ours in between: everybody by certificates of ovs-pki."""
        pki = self.folder / "pki"
        pki.mkdir()
        make = lambda *words: run("ovs-pki", f"--dir={pki}/authority", f"--log={pki}/log", *words, cwd=pki)
        make("init")
        make("req+sign", "server", "controller")
        make("req+sign", "switch", "switch")
        name = lambda who: (f"{pki}/{who}-privkey.pem", f"{pki}/{who}-cert.pem")
        trust = lambda kind: f"{pki}/authority/{kind}ca/cacert.pem"
        flags = ("private-key", "certificate", "ca-cert")
        options = lambda who, ca: [f"--{o}={v}" for o, v in zip(flags, (*name(who), trust(ca)))]
        keys = lambda who, ca: "".join(f'tls-{k} = "{v}"\n' for k, v in zip(("key", "cert", "ca"), (*name(who), trust(ca))))
        self.socket, self.file = self.folder / "db.sock", self.folder / "conf.db"
        run("ovsdb-tool", "create", self.file, pathlib.Path(__file__).parents[2] / "src/bridge/vswitch.ovsschema")
        log = self.folder / "ovsdb.log"
        self.serve("--remote=pssl:0:127.0.0.1", f"--log-file={log}", *options("server", "switch"))
        until("its port", lambda: log.exists() and "listening on port " in log.read_text())
        remote = f"ssl:127.0.0.1:{log.read_text().split('listening on port ')[1].split()[0]}"
        vsctl = lambda words: self.vsctl(*options("switch", "controller"), words, db=remote)
        vsctl("--no-wait init")
        # the server's certificate is not of this authority
        body = f'{NO_WORKERS}[database]\nremotes = ["{remote}"]\n'
        other = self.start(body + keys("switch", "switch"), name="other")
        until("it says why", lambda: re.search(r"ssl:.*certificate", other.log()))
        other.stop()
        self.switch = self.start(body + keys("switch", "controller")).ready()
        vsctl("add-br BR -- add-port BR p1 -- set interface p1 type=dummy")
        self.assertIn("p1", self.switch.ctl("dpif/show"))
        # more than a socket takes at once
        vsctl(" ".join(f"-- add-port BR q{n} -- set interface q{n} type=dummy" for n in range(300))[3:])
        self.assertIn("q299", self.switch.ctl("dpif/show"))

    def test_as_the_stock_daemon(self):
        self.socket, self.file = self.folder / "db.sock", self.folder / "conf.db"
        schema = pathlib.Path(__file__).parents[2] / "src/bridge/vswitch.ovsschema"
        run("ovsdb-tool", "create", self.file, schema)
        self.serve()
        remote = f"unix:{self.socket}"
        self.vsctl("--no-wait init", db=remote)
        daemon = self.folder / "ovs-vswitchd"
        daemon.symlink_to(pathlib.Path(os.environ["IRONBRIDGE_BIN"]).resolve())
        env = {**os.environ, "OVS_RUNDIR": str(self.folder), "OVS_LOGDIR": str(self.folder)}
        self.assertIn("(Open vSwitch)", run(daemon, "--version", env=env).stdout)
        self.assertIn("expected system or override", run(daemon, "--enable-dummy=x", env=env, check=False).stderr)
        # it comes back when it is ready
        run(daemon, "--detach", "--pidfile", "--log-file", "--mlockall", "-vconsole:off", env=env)
        pid = int((self.folder / "ovs-vswitchd.pid").read_text())
        self.addCleanup(lambda: (pathlib.Path(f"/proc/{pid}").exists() and os.kill(pid, signal.SIGKILL)))
        self.vsctl("add-br BR -- add-port BR p1 -- set interface p1 type=dummy", db=remote)
        shown = run("ovs-appctl", "-t", "ovs-vswitchd", "dpif/show", env=env).stdout
        self.assertIn("p1 1/", shown)
        run("ovs-appctl", "-t", "ovs-vswitchd", "exit", env=env)
        until("its end", lambda: not (self.folder / "ovs-vswitchd.pid").exists())
        self.assertIn("stopped", (self.folder / "ovs-vswitchd.log").read_text())
