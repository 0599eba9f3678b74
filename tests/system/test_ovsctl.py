"""The database over TLS, relayed, in a cluster of one; ovs-vsctl beside Open vSwitch's own."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ.get("IRONBRIDGE_BIN", "")
NAMES = ("ovsdb-server", "ovsdb-client", "ovsdb-tool", "ovs-vsctl", "vtep-ctl")
SCHEMA = {"name": "db", "version": "1.0.0", "tables": {"t": {"columns": {"n": {"type": "integer"}}, "indexes": [["n"]]}}}
VSWITCH = pathlib.Path("/usr/share/openvswitch/vswitch.ovsschema")
VTEP = pathlib.Path("/usr/share/openvswitch/vtep.ovsschema")


class OvsCtl(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ovsctl."))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.env = {**os.environ, "OVS_RUNDIR": str(self.dir), "OVS_LOGDIR": str(self.dir)}
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for name in NAMES:
            (self.bin / name).symlink_to(os.path.abspath(PROGRAM))
        (self.dir / "schema").write_text(json.dumps(SCHEMA))
        self.pids = []
        self.addCleanup(self.stop_all)

    def call(self, *words):
        return subprocess.run(words, env=self.env, cwd=self.dir, capture_output=True, text=True, timeout=60)

    def run_(self, *words):
        done = self.call(*words)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def ours(self, name, *words):
        return self.run_(str(self.bin / name), *words)

    def start(self, name, *words):
        """A server in the background; it is ready when the command comes back."""
        self.ours("ovsdb-server", "--detach", "--no-chdir", f"--pidfile={name}.pid", f"--log-file={self.dir}/{name}.log",
                  "-vconsole:off", f"--unixctl={name}.ctl", *words)
        pid = int((self.dir / f"{name}.pid").read_text())
        self.pids.append(pid)
        return pid

    def stop(self, pid):
        self.pids.remove(pid)
        os.kill(pid, signal.SIGTERM)
        status = pathlib.Path(f"/proc/{pid}/status")
        try:
            while "State:\tZ" not in status.read_text():
                time.sleep(0.01)
        except (FileNotFoundError, ProcessLookupError):
            pass

    def stop_all(self):
        for pid in list(self.pids):
            try:
                self.stop(pid)
            except ProcessLookupError:
                pass

    def wait(self, what, condition):
        end = time.monotonic() + 50
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)

    def transact(self, where, *operations):
        return json.loads(self.ours("ovsdb-client", "transact", where, json.dumps(["db", *operations])))

    def numbers(self, where):
        rows = self.transact(where, {"op": "select", "table": "t", "where": [], "columns": ["n"]})[0]["rows"]
        return sorted(row["n"] for row in rows)

    def insert(self, where, n):
        return self.transact(where, {"op": "insert", "table": "t", "row": {"n": n}})

    def certificates(self, folder):
        """An authority and two names, certificates of the form that has no extensions."""
        folder.mkdir()
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        pki = lambda *words: subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
        pki("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "9", "-subj", "/CN=authority")
        for name in ("server", "client"):
            pki("req", "-new", *key, "-keyout", f"{name}.key", "-out", f"{name}.req", "-subj", f"/CN={name}")
            pki("x509", "-req", "-in", f"{name}.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7",
                "-days", "9", "-out", f"{name}.pem")
        return lambda name: [f"--private-key={folder}/{name}.key", f"--certificate={folder}/{name}.pem",
                             f"--ca-cert={folder}/ca.pem"]

    def port(self, name):
        log = (self.dir / f"{name}.log").read_text()
        return int(log.split("listening on port ")[-1].split()[0])

    def test_tls_by_chain(self):
        """Who has the authority's certificate is let in; a stranger and an old TLS are not; files are read again."""
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        pki, other = self.certificates(self.dir / "pki"), self.certificates(self.dir / "other")
        self.ours("ovsdb-tool", "create", "conf.db", "schema")
        self.start("tls", "--remote=pssl:0:127.0.0.1", *pki("server"), "conf.db")
        where = f"ssl:127.0.0.1:{self.port('tls')}"
        dbs = lambda options: self.call(str(self.bin / "ovsdb-client"), "-t", "30", *options, "list-dbs", where)
        self.assertEqual(dbs(pki("client")).stdout, "_Server\ndb\n")
        self.assertNotEqual(dbs(other("client")).returncode, 0)
        # a stranger who trusts the server is no better off
        stranger = other("client")[:2] + [f"--ca-cert={self.dir}/pki/ca.pem"]
        self.assertNotEqual(dbs(stranger).returncode, 0)
        old = dbs([*pki("client"), "--ssl-protocols=TLSv1.1"])
        self.assertIn("TLSv1.1 is refused", old.stderr)
        # the CA's certificate by the first connection, which ends
        boot = pki("client")[:2] + [f"--bootstrap-ca-cert={self.dir}/got.pem"]
        self.start("boot", "--remote=pssl:0:127.0.0.1", *pki("server"), f"--peer-ca-cert={self.dir}/pki/ca.pem",
                   "relay:none:unix:none")
        where = f"ssl:127.0.0.1:{self.port('boot')}"
        self.assertNotEqual(dbs(boot).returncode, 0)
        self.assertTrue((self.dir / "got.pem").exists())
        self.assertIn("_Server", dbs(boot).stdout)
        # other files under the same names
        where = f"ssl:127.0.0.1:{self.port('tls')}"
        for file in ("ca.pem", "server.pem", "server.key"):
            shutil.copy(self.dir / "other" / file, self.dir / "pki" / f"new-{file}")
            os.replace(self.dir / "pki" / f"new-{file}", self.dir / "pki" / file)
        self.assertEqual(dbs(other("client")).stdout, "_Server\ndb\n")

    def test_relays(self):
        """What is written at the end of a line of relays is everywhere; without its source a relay still shows what it has."""
        self.ours("ovsdb-tool", "create", "conf.db", "schema")
        source = self.start("one", "--remote=punix:1.sock", "conf.db")
        self.start("two", "--remote=punix:2.sock", "relay:db:unix:1.sock")
        self.start("three", "--remote=punix:3.sock", "relay:db:unix:2.sock")
        self.insert("unix:3.sock", 5)
        for k in (1, 2, 3):
            self.assertEqual(self.numbers(f"unix:{k}.sock"), [5])
        self.assertIn("constraint", json.dumps(self.insert("unix:3.sock", 5)))
        self.stop(source)
        state = lambda k: self.ours("ovsdb-client", "-f", "csv", "dump", f"unix:{k}.sock", "_Server", "Database",
                                    "connected", "name")
        self.wait("the source is gone", lambda: "false,db" in state(2))
        self.assertEqual(self.numbers("unix:2.sock"), [5])
        self.start("one", "--remote=punix:1.sock", "conf.db")
        self.insert("unix:1.sock", 6)
        self.wait("relays follow again", lambda: self.numbers("unix:3.sock") == [5, 6])

    def test_a_cluster_of_one(self):
        """Its file goes from server to server, ours and Open vSwitch's, and out of the cluster."""
        self.ours("ovsdb-tool", "create-cluster", "c.db", "schema", "unix:c.raft")
        cid = self.ours("ovsdb-tool", "db-cid", "c.db")
        for n in (1, 2):
            pid = self.start("c", "--remote=punix:c.sock", "c.db")
            self.insert("unix:c.sock", n)
            if n == 2:
                self.insert("unix:c.sock", 3)
            self.stop(pid)
        self.assertEqual(self.ours("ovsdb-tool", "db-cid", "c.db"), cid)
        self.ours("ovsdb-tool", "cluster-to-standalone", "plain.db", "c.db")
        query = json.dumps(["db", {"op": "select", "table": "t", "where": [], "columns": ["n"], "sort": ["n"]}])
        self.assertEqual(self.ours("ovsdb-tool", "query", "plain.db", query), '[{"rows":[{"n":1},{"n":2},{"n":3}]}]\n')
        if shutil.which("ovsdb-tool"):
            self.run_("ovsdb-tool", "check-cluster", "c.db")
            self.run_("ovsdb-tool", "cluster-to-standalone", "stock.db", "c.db")
            self.assertEqual(self.run_("ovsdb-tool", "query", "stock.db", query),
                             self.ours("ovsdb-tool", "query", "plain.db", query))

    def two(self, tool, schema, *options):
        """Two databases: one for our tool, one for Open vSwitch's."""
        if not shutil.which(tool) or not schema.exists():
            self.skipTest(f"Open vSwitch's {tool} is not installed")
        tools = {}
        for name, path in (("a", str(self.bin / tool)), ("b", shutil.which(tool))):
            self.ours("ovsdb-tool", "create", f"{name}.db", str(schema))
            database = json.loads(schema.read_text())["name"]
            if database == "hardware_vtep":
                root = [database, {"op": "insert", "table": "Global", "row": {}}]
                self.ours("ovsdb-tool", "transact", f"{name}.db", json.dumps(root))
            self.start(name, f"--remote=punix:{name}.sock", f"{name}.db")
            tools[name] = [path, f"--db=unix:{self.dir}/{name}.sock", "-t", "30", "-vconsole:off", *options]
        return tools

    def compare(self, tools, line):
        said = {}
        for name, tool in tools.items():
            done = self.call(*tool, *line.split())
            hidden = [len(word) == 36 and word.count("-") == 4 for word in done.stdout.split()]
            words = ["UUID" if h else word for h, word in zip(hidden, done.stdout.split())]
            said[name] = (done.returncode, words, done.stderr)
        self.assertEqual(said["a"], said["b"], line)

    def test_ovs_vsctl_as_open_vswitch(self):
        """The same commands to two databases, by both tools: the same words, the same rows."""
        tools = self.two("ovs-vsctl", VSWITCH, "--no-wait")
        for line in (
            "add-br br0 -- add-port br0 p1 tag=3 -- set interface p1 type=internal options:a=b",
            "add-br br0", "--may-exist add-br br0", "add-br vlan5 br0 5 -- add-port vlan5 p5",
            "add-bond br0 bond0 x y lacp=active -- list-ifaces br0", "del-port br0 p5", "del-port p5 -- list-br",
            "br-set-external-id br0 key value -- br-get-external-id br0", "set-controller br0 tcp:1.2.3.4 tcp:4.3.2.1",
            "get-controller br0", "set-fail-mode br0 secure -- get-fail-mode br0", "set-manager ptcp:6640 -- get-manager",
            "--columns=name,fail_mode,flood_vlans find bridge name=br0", "set bridge br0 flood_vlans=1-3,7",
            "get bridge br0 flood_vlans ports:x", "get bridge br0 other_config:x", "--if-exists get bridge br9 name",
            "set bridge br0 other_config:a=1,b other_config:c=\"x\"", "get bridge br0 other_config",
            "remove bridge br0 other_config a -- get bridge br0 other_config", "clear bridge br0 flood_vlans name",
            "--columns=name,tag,trunks -f csv list port p1 bond0", "list c x", "set port p1 tag=5000", "get port p1 tag",
            "--id=@m create mirror name=m -- set bridge br0 mirrors=@m -- get mirror m select_all",
            "--id=@q create queue dscp=3", "wait-until bridge br0 fail_mode=secure -- port-to-br bond0", "foo", "get x",
            "add-aa-mapping br0 7 8 -- get-aa-mapping br0", "set-ssl k c ca -- get-ssl", "del-br br0 -- list-br", "emer-reset",
        ):
            self.compare(tools, line)

    def test_vtep_ctl_as_open_vswitch(self):
        """The same for hardware VTEPs."""
        tools = self.two("vtep-ctl", VTEP)
        for line in (
            "foo", "add-ps a -- add-port a a1", "add-ps a", "--may-exist add-ps a", "add-ls l -- add-ls m -- list-ls",
            "bind-ls a a1 100 l -- list-bindings a a1", "unbind-ls a a1 100 -- list-bindings a a1", "bind-ls a a9 1 l",
            "add-ucast-local l 00:11:22:33:44:55 1.2.3.4", "add-mcast-remote l 01:11:22:33:44:55 1.2.3.4",
            "add-mcast-remote l 01:11:22:33:44:55 1.2.3.5", "list-local-macs l -- list-remote-macs l",
            "del-mcast-remote l 01:11:22:33:44:55 1.2.3.4 -- list-remote-macs l", "clear-local-macs l -- list-local-macs l",
            "set-replication-mode l source_node -- get-replication-mode l", "set-manager tcp:1.2.3.4 -- get-manager",
            "ls-exists x", "add-lr r -- list-lr -- del-lr r -- list-lr", "del-port a a1 -- list-ports a", "del-ps a -- list-ps",
        ):
            self.compare(tools, line)

    def test_a_server_without_conditions(self):
        """A server that is told to be as one before 2.5 is read by plain `monitor`, changes included."""
        if not VSWITCH.exists():
            self.skipTest("Open vSwitch's schema is not installed")
        self.ours("ovsdb-tool", "create", "conf.db", str(VSWITCH))
        self.start("db", "--remote=punix:db.sock", "conf.db")
        self.run_("ovs-appctl", "-t", f"{self.dir}/db.ctl", "ovsdb-server/disable-monitor-cond")
        vsctl = [str(self.bin / "ovs-vsctl"), "--no-wait", "-t", "50"]
        self.run_(*vsctl, "add-br", "br0", "--", "add-port", "br0", "p1")
        waits = subprocess.Popen([*vsctl, "wait-until", "bridge", "br0", "fail_mode=secure", "--", "list-ports", "br0"],
                                 env=self.env, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        shown = lambda: self.run_("ovs-appctl", "-t", f"{self.dir}/db.ctl", "memory/show")
        self.wait("it reads nothing", lambda: "monitors:1" in shown())
        self.run_(*vsctl, "add-port", "br0", "p2")
        self.run_(*vsctl, "del-port", "p1", "--", "set-fail-mode", "br0", "secure")
        self.assertEqual(waits.communicate(timeout=60), ("p2\n", ""))

    def test_many_at_once(self):
        """Ports are added by many at the same time: none is lost, and of two with one name one is told so."""
        if not VSWITCH.exists():
            self.skipTest("Open vSwitch's schema is not installed")
        self.ours("ovsdb-tool", "create", "conf.db", str(VSWITCH))
        self.start("db", "--remote=punix:db.sock", "conf.db")
        vsctl = [str(self.bin / "ovs-vsctl"), "--no-wait", "-t", "50"]
        self.run_(*vsctl, "add-br", "br0")
        begun = [subprocess.Popen([*vsctl, "add-port", "br0", f"p{k % 15}"], env=self.env, cwd=self.dir,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for k in range(20)]
        refused = [text for _, text in (p.communicate(timeout=60) for p in begun) if text]
        self.assertEqual(len(refused), 5, refused)
        self.assertTrue(all("already exists on bridge br0" in text for text in refused), refused)
        self.assertEqual(len(self.run_(*vsctl, "list-ports", "br0").split()), 15)


if __name__ == "__main__":
    unittest.main()
