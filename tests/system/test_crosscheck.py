"""Our database programs with Open vSwitch's, each with each: the same commands to both servers by both clients say the same,
files go both ways, the stock daemon runs on our server, the stock bindings configure our switch."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from .net import token
from .packets import udp4
from .switch import NO_WORKERS, Case, run, until

PROGRAM = os.path.abspath(os.environ.get("IRONBRIDGE_BIN", ""))
VSWITCH = pathlib.Path("/usr/share/openvswitch/vswitch.ovsschema")
SCRIPTS = pathlib.Path(__file__).resolve().parent / "peers"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SCHEMA = {
    "name": "db",
    "version": "1.2.3",
    "cksum": "1 2",
    "tables": {
        "t": {
            "columns": {
                "name": {"type": "string"},
                "n": {"type": {"key": {"type": "integer", "minInteger": -5, "maxInteger": 1000}}},
                "e": {"type": {"key": {"type": "string", "enum": ["set", ["red", "blue"]]}, "min": 0, "max": 1}},
                "s": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
                "r": {"type": {"key": "real", "min": 0, "max": 3}},
                "m": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
                "u": {"type": {"key": {"type": "uuid", "refTable": "u"}, "min": 0, "max": "unlimited"}},
                "w": {"type": {"key": {"type": "uuid", "refTable": "t", "refType": "weak"}, "min": 0, "max": "unlimited"}},
                "x": {"type": "integer", "ephemeral": True},
            },
            "indexes": [["name"]],
            "isRoot": True,
        },
        "u": {"columns": {"b": {"type": "boolean"}}, "maxRows": 3},
    },
}


def alike(text):
    """The text with row names, which differ, counted in the order of their first appearance."""
    # of two rows in each other's way either may be named first
    text = re.sub(r'(First|Second) row, with UUID (\S+), ([^.]*)\.', "ROW.", text)
    names = {}
    return UUID.sub(lambda m: names.setdefault(m[0], f"<{len(names)}>"), text)


@unittest.skipUnless(all(map(shutil.which, ("ovsdb-server", "ovsdb-client", "ovsdb-tool", "ovs-vsctl"))) and VSWITCH.exists(),
                     "needs Open vSwitch's database programs")
class Cross(Case):
    def setUp(self):
        super().setUp()
        self.env = {**os.environ, "OVS_RUNDIR": str(self.folder), "OVS_LOGDIR": str(self.folder)}
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in ("ovsdb-server", "ovsdb-client", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"):
            (self.bin / name).symlink_to(PROGRAM)
        (self.folder / "schema").write_text(json.dumps(SCHEMA))

    def program(self, whose, name):
        return str(self.bin / name) if whose == "our" else shutil.which(name)

    def call(self, whose, name, *words, **more):
        """A program's exit code, output and errors, in which files of one whose have the same names as the other's."""
        done = subprocess.run([self.program(whose, name), *map(str, words)], env=self.env, cwd=self.folder,
                              capture_output=True, text=True, timeout=60, **more)
        return done.returncode, done.stdout, re.sub(r"^\S*/", "", done.stderr, flags=re.M)

    def ok(self, whose, name, *words, **more):
        code, out, err = self.call(whose, name, *words, **more)
        self.assertEqual(code, 0, f"{whose} {name} {words}: {out}{err}")
        return out

    def serve(self, whose, file, *more, name=None):
        """A server in the background; where it listens."""
        name = name or f"{whose}{len(list(self.folder.iterdir()))}"
        self.ok(whose, "ovsdb-server", "--detach", "--no-chdir", f"--pidfile={self.folder}/{name}.pid",
                f"--log-file={self.folder}/{name}.log", "-vconsole:off", f"--unixctl={self.folder}/{name}.ctl",
                f"--remote=punix:{self.folder}/{name}.sock", *more, file)
        pid = int((self.folder / f"{name}.pid").read_text())
        self.addCleanup(self.stop, pid)
        return f"unix:{self.folder}/{name}.sock", pid

    def stop(self, pid, how=signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        until("the server's end", lambda: not pathlib.Path(f"/proc/{pid}").exists()
              or "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text())

    def four(self, schema):
        """A fresh database at each server for each client: {(server, client): where}."""
        out = {}
        for server in ("our", "stock"):
            for client in ("our", "stock"):
                file = f"{server}-{client}.db"
                self.ok(client, "ovsdb-tool", "create", file, schema)
                out[server, client], _ = self.serve(server, file, name=f"{server}-{client}")
        return out

    def same(self, what, said):
        """All four say what the stock client was told by the stock server."""
        wanted = said["stock", "stock"]
        for pair, got in said.items():
            with self.subTest(f"{what}: server, client: {pair}"):
                self.assertEqual(got, wanted)


class Programs(Cross):
    def test_ovs_vsctl(self):
        databases = self.four(VSWITCH)
        for line in (
            "init", "show", "add-br br0 -- set bridge br0 datapath_type=netdev",
            "add-port br0 p1 tag=9 trunks=1,2 -- set interface p1 type=dpdk options:dpdk-devargs=net_null0 options:n_rxq=2",
            "add-port br0 p1", "--may-exist add-port br0 p1", "add-port br0 p2 -- add-port br0 p2", "add-port nope p3",
            "add-br v br0 7", "add-port v p4", "list-br", "list-ports br0", "list-ports v", "br-to-vlan v", "br-to-parent v",
            "port-to-br p4", "iface-to-br p1", "set port p1 vlan_mode=native-tagged", "set port p1 vlan_mode=odd",
            "set interface p1 mtu_request=9000 ofport_request=7 mac=\"00:11:22:33:44:55\"",
            "set interface p1 ofport_request=70000", "get interface p1 mtu_request ofport_request mac options",
            "--columns=name,type,options,mtu_request list interface p1", "-f json --columns=name,tag,trunks list port p1",
            "-f csv --columns=name,tag,trunks,vlan_mode list port p1", "-f html --columns=name,tag list port p1",
            "-f table --no-headings --columns=name,tag list port p1", "--data=bare --columns=trunks list port p1",
            "add port p1 trunks 3 4", "remove port p1 trunks 1", "get port p1 trunks", "clear port p1 trunks -- get port p1 trunks",
            "set open_vswitch . other_config:pmd-cpu-mask=0x6 other_config:dpdk-init=true",
            "get open_vswitch . other_config", "get open_vswitch . other_config:nope", "--if-exists get open_vswitch . other_config:nope",
            "set-manager ptcp:6640:127.0.0.1 ssl:1.2.3.4", "get-manager", "del-manager -- get-manager",
            "set-controller br0 tcp:127.0.0.1 -- get-controller br0", "set-fail-mode br0 secure", "get-fail-mode br0",
            "--id=@s create sflow agent=eth0 targets=\"1.2.3.4\" -- set bridge br0 sflow=@s", "--columns=agent,targets list sflow",
            "--id=@q0 create queue other_config:max-rate=1 -- --id=@q create qos type=linux-htb queues:0=@q0 -- set port p1 qos=@q",
            "--columns=type,other_config list qos", "find interface type=dpdk name=p1", "--columns=name find port tag>8",
            "--columns=name find port trunks{>=}1", "wait-until bridge br0 fail_mode=secure", "show", "destroy port p1",
            "--if-exists del-port br0 nope", "del-port br0 nope", "del-port br0 p4", "del-port p1", "--all destroy qos",
            "comment hello world -- get bridge br0 name", "--oneline list-br", "--dry-run add-br br7 -- list-br", "list-br",
            "--bogus", "bogus", "get bridge", "get bridge br0 bogus", "list bogus", "set bridge br0 ports=@x", "del-br v", "del-br br0",
            "emer-reset", "show",
        ):
            said = {}
            for (server, client), where in databases.items():
                words = ["--no-wait", "-t", "30", f"--db={where}", "-vconsole:off", *line.split()]
                code, out, err = self.call(client, "ovs-vsctl", *words)
                # ports are in any order
                lines = sorted(UUID.sub("ROW", out).splitlines()) if line == "show" else alike(out)
                said[server, client] = code, lines, alike(err)
            self.same(line, said)

    def test_ovsdb_client(self):
        databases = self.four("schema")
        insert = [{"op": "insert", "table": "t", "row": {"name": "a", "n": 1, "e": "red", "s": ["set", [3, 1]], "r": ["set", [1.5, 2]],
                                                          "m": ["map", [["k", "v w"]]], "u": ["set", [["named-uuid", "b"]]]}},
                  {"op": "insert", "table": "u", "row": {"b": True}, "uuid-name": "b"}]
        wrong = [{"op": "insert", "table": "t", "row": {"name": "a"}}, {"op": "select", "table": "nope", "where": []},
                 {"op": "insert", "table": "t", "row": {"name": "b", "n": 5000}}, {"op": "insert", "table": "t", "row": {"e": "green"}},
                 {"op": "update", "table": "t", "where": [["nope", "==", 1]], "row": {}}, {"op": "abort"},
                 {"op": "mutate", "table": "t", "where": [], "mutations": [["n", "/=", 0]]}, {"op": "nope"}, 5,
                 {"op": "wait", "table": "t", "where": [], "columns": ["n"], "until": "==", "rows": [], "timeout": 0},
                 {"op": "assert", "lock": "nope"}, {"op": "insert", "table": "t", "row": {"u": ["uuid", "a" * 8 + "-0000" * 3 + "-" + "0" * 12]}}]
        several = [{"op": "insert", "table": "u", "row": {"b": False}, "uuid-name": f"n{n}"} for n in range(4)]
        steps = [("transact", json.dumps(["db", *insert]))]
        steps += [("transact", json.dumps(["db", one])) for one in wrong]
        steps += [("transact", json.dumps(["db", *several])), ("transact", json.dumps(["nope"])),
                  ("transact", json.dumps(["db", {"op": "mutate", "table": "t", "where": [["name", "==", "a"]], "mutations": [
                      ["n", "+=", 4], ["s", "insert", ["set", [8, 9]]], ["s", "delete", 3], ["m", "insert", ["map", [["a", "b"]]]]]}])),
                  ("list-dbs",), ("get-schema", "db"), ("get-schema-version", "db"), ("get-schema-cksum", "db"), ("list-tables", "db"),
                  ("list-columns", "db"), ("list-columns", "db", "u"), ("dump", "db"), ("dump", "db", "t", "name", "n", "s", "m"),
                  ("-f", "json", "dump", "db", "t", "name", "r"), ("query", json.dumps(["db", {"op": "select", "table": "t", "where": []}])),
                  ("get-schema", "nope"), ("dump", "db", "nope"), ("needs-conversion", "schema"),
                  ("-t", "20", "wait", "db", "connected"), ("nope",)]
        for step in steps:
            said = {}
            for (server, client), where in databases.items():
                split = next(i for i, w in enumerate(step) if w in COMMANDS)
                words = [*step[:split + 1], where, *step[split + 1:]]
                code, out, err = self.call(client, "ovsdb-client", "-vconsole:off", *words)
                # which column comes first is anybody's choice
                lines = sorted(alike(out).splitlines()) if "list-columns" in step else alike(out)
                said[server, client] = code, lines, alike(err).replace(where, "WHERE")
            self.same(step, said)
        self.backups(databases)

    def backups(self, databases):
        """What one client saved of one server, the other restores at the other."""
        saved = {}
        for (server, client), where in databases.items():
            saved[server, client] = self.ok(client, "ovsdb-client", "backup", where, "db")
            self.ok(client, "ovsdb-client", "transact", where, json.dumps(["db", {"op": "delete", "table": "t", "where": []}]))
        other = {"our": "stock", "stock": "our"}
        said = {}
        for (server, client), where in databases.items():
            (self.folder / "saved").write_text(saved[other[server], other[client]])
            with open(self.folder / "saved") as file:
                self.ok(client, "ovsdb-client", "restore", where, "db", stdin=file)
            said[server, client] = alike(self.ok(client, "ovsdb-client", "dump", where, "db"))
            self.assertIn('"v w"', said[server, client])
        self.same("restored", said)
        newer = {**SCHEMA, "version": "2.0.0", "tables": {"t": {"columns": {"name": {"type": "string"}, "more": {"type": "integer"}}}}}
        (self.folder / "newer").write_text(json.dumps(newer))
        for (server, client), where in databases.items():
            self.assertEqual(self.ok(client, "ovsdb-client", "needs-conversion", where, "newer"), "yes\n")
            self.ok(client, "ovsdb-client", "convert", where, "newer")
            said[server, client] = alike(self.ok(client, "ovsdb-client", "dump", where, "db")
                                         + self.ok(client, "ovsdb-client", "get-schema-version", where, "db"))
        self.same("converted", said)

    def test_monitors(self):
        """All kinds of monitors of both clients, at both servers, while rows come, change and go."""
        databases = self.four("schema")
        kinds = {"plain": ("monitor", "db", "t", "name", "n", "s"), "initial": ("monitor", "db", "t", "name,!initial,!modify"),
                 "cond": ("monitor-cond", "db", '[["n",">",2]]', "t", "name,n,m"),
                 "since": ("monitor-cond-since", "db", '[["n",">",2]]', "t", "name,n,m"), "all": ("monitor", "db", "ALL")}
        row = lambda name, n: {"op": "insert", "table": "t", "row": {"name": name, "n": n, "m": ["map", [["a", name], ["b", "c"]]]}}
        change = lambda name, more: {"op": "update", "table": "t", "where": [["name", "==", name]], "row": more}
        said = {}
        for (server, client), where in databases.items():
            transact = lambda *ops: self.ok(client, "ovsdb-client", "transact", where, json.dumps(["db", *ops]))
            transact(row("one", 1), row("three", 3))
            begun = {}
            for kind, (command, *words) in kinds.items():
                out = open(self.folder / f"{server}-{client}-{kind}", "w+")
                self.addCleanup(out.close)
                process = subprocess.Popen([self.program(client, "ovsdb-client"), "-f", "csv", command, where, *words], stdout=out,
                                           stderr=subprocess.STDOUT, env=self.env)
                self.addCleanup(self.finish, process)
                begun[kind] = out
            read = lambda kind: pathlib.Path(begun[kind].name).read_text()
            for kind in begun:
                until(f"what there is at first: {kind}", lambda: "three" in read(kind) if kind != "initial" else True)
            # one whose first answer says nothing: it is there when it says of a row
            for n in range(100):
                transact(row(f"x{n}", -1))
                with contextlib.suppress(AssertionError):
                    until("the monitor", lambda: f"x{n}" in read("initial"), seconds=0.5)
                    break
            for kind in ("plain", "all", "initial"):
                until(f"row x{n} by {kind}", lambda: f"x{n}" in read(kind))
            skip = len(read("initial"))
            starts = {kind: len(read(kind)) for kind in begun if kind != "initial"}
            transact(change("one", {"n": 5}))
            transact(change("three", {"n": 4, "m": ["map", [["a", "z"]]]}), change("one", {"s": ["set", [1, 2]]}))
            transact(change("three", {"n": 0}), row("new", 9))
            transact({"op": "delete", "table": "t", "where": [["name", "==", "one"]]})
            transact(row("last", 10))
            for kind in begun:
                until(f"the last change by {kind}", lambda: "last" in read(kind)[starts.get(kind, skip):])
            said[server, client] = {kind: self.table(read(kind)[starts.get(kind, skip):]) for kind in begun}
        self.same("monitors", said)

    def table(self, text):
        """Lines without row names, sorted within an update: rows come in any order."""
        return [sorted(UUID.sub("ROW", part).splitlines()) for part in text.split("\n\n")]

    def finish(self, process):
        process.terminate()
        process.wait(10)

    def test_files(self):
        """What one tool writes the other reads; a server takes over what the other server wrote, whole or torn."""
        insert = lambda n: json.dumps(["db", {"op": "insert", "table": "t", "row": {"name": f"r{n}", "n": n, "r": 0.1, "m": ["map", [["a", "é\n"]]]}},
                                       {"op": "comment", "comment": f"by {n}"}])
        query = json.dumps(["db", {"op": "select", "table": "t", "where": [], "columns": ["name", "n", "r", "m"], "sort": ["name"]}])
        order = ("our", "stock", "stock", "our")
        for first in range(2):
            file = f"f{first}.db"
            self.ok(order[first], "ovsdb-tool", "create", file, "schema")
            for n, whose in enumerate(order):
                self.ok(whose, "ovsdb-tool", "transact", file, insert(n))
            for n, whose in enumerate(order, 10):
                where, pid = self.serve(whose, file, name=f"{first}{n}")
                self.ok(whose, "ovsdb-client", "transact", where, insert(n))
                if n % 2:
                    run("ovs-appctl", "-t", self.folder / f"{first}{n}.ctl", "ovsdb-server/compact")
                    self.ok(whose, "ovsdb-client", "transact", where, insert(n + 50))
                self.stop(pid)
            said = {}
            for whose in order[:2]:
                for command in (["query", file, query], ["db-name", file], ["db-version", file], ["db-cksum", file], ["db-is-standalone", file],
                                ["schema-name", "schema"], ["schema-version", "schema"], ["schema-cksum", "schema"],
                                ["needs-conversion", file, "schema"], ["show-log", file], ["-mm", "show-log", file], ["db-cid", file],
                                ["list-columns"]):
                    code, out, err = self.call(whose, "ovsdb-tool", *command)
                    # rows of a record come in any order
                    said.setdefault(str(command), []).append((code, sorted(out.splitlines()), err))
            for command, (a, b) in said.items():
                with self.subTest(command):
                    self.assertEqual(a, b)
            self.assertEqual(len(json.loads(said[str(["query", file, query])][0][1][0])[0]["rows"]), 4 + 4 + 2)
            # torn in its last record: both cut it off and go on
            whole = (self.folder / file).read_bytes()
            for whose in order[:2]:
                (self.folder / "torn.db").write_bytes(whole[:-7])
                where, pid = self.serve(whose, "torn.db", name=f"torn{first}{whose}")
                rows = json.loads(self.ok("stock", "ovsdb-client", "query", where, query))[0]["rows"]
                self.ok("stock", "ovsdb-client", "transact", where, insert(99))
                self.stop(pid)
                self.assertEqual(len(rows), 9)
                for reader in order[:2]:
                    again = json.loads(self.ok(reader, "ovsdb-tool", "query", "torn.db", query))[0]["rows"]
                    self.assertEqual(len(again), 10)
            self.ok("stock", "ovsdb-tool", "compact", file, f"a{first}.db")
            self.ok("our", "ovsdb-tool", "compact", file, f"b{first}.db")
            self.assertEqual(self.ok("our", "ovsdb-tool", "query", f"a{first}.db", query), self.ok("stock", "ovsdb-tool", "query", f"b{first}.db", query))


COMMANDS = ("transact", "list-dbs", "get-schema", "get-schema-version", "get-schema-cksum", "list-tables", "list-columns", "dump",
            "query", "needs-conversion", "backup", "wait", "nope")


def interpreters():
    """Pythons that have Open vSwitch's bindings, by their version: Debian's, and the newest with ovsdbapp beside it, which
    `scripts/setup test` gets."""
    out = {}
    tools = pathlib.Path(os.environ.get("IRONBRIDGE_TOOLS", pathlib.Path.home() / ".cache/ironbridge/tools"))
    for python, path in (("/usr/bin/python3", None), (sys.executable, tools / "ovsdbapp")):
        env = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
        words = [python, "-c", "import ovs.db.idl, ovs.version; print(ovs.version.VERSION)"]
        if shutil.which(python) and (path is None or path.is_dir()):
            done = subprocess.run(words, env=env, capture_output=True, text=True)
            if done.returncode == 0:
                out[done.stdout.strip()] = python, env
    return out


class Bindings(Cross):
    """Open vSwitch's Python bindings, as they are."""

    def script(self, name, python, env, *words):
        done = run(python, pathlib.Path(__file__).parent / "bindings" / name, *words, env=env, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stderr[-2000:])

    def switch(self, name):
        body = f'{NO_WORKERS}[database]\nfile = "{self.folder}/{name}.conf.db"\n'
        switch = self.start(body, name=name).ready()
        return switch, f"unix:{switch.run_dir}/db.sock"

    def test_idl(self):
        """At each server, at the switch."""
        found = interpreters()
        if not found:
            self.skipTest("python3-openvswitch is not installed")
        for version, (python, env) in found.items():
            for server in ("our", "stock"):
                file = f"{server}{version}.db"
                self.ok("our", "ovsdb-tool", "create", file, VSWITCH)
                where, _ = self.serve(server, file)
                self.script("idl.py", python, env, where, "br0")
            br = token()
            self.addCleanup(run, "ip", "link", "del", br, check=False)
            switch, where = self.switch(f"s{version}")
            self.script("idl.py", python, env, where, br, "dummy")
            self.assertNotIn(br, switch.ctl("dpif/show"))

    def test_ovsdbapp(self):
        for python, env in interpreters().values():
            if run(python, "-c", "import ovsdbapp", env=env, check=False).returncode == 0:
                break
        else:
            self.skipTest("ovsdbapp is not installed (scripts/setup test gets it from PyPI)")
        br = token()
        self.addCleanup(run, "ip", "link", "del", br, check=False)
        switch, where = self.switch("app")
        self.script("app.py", python, env, where, br, "dummy")
        self.assertNotIn("a1", switch.ctl("dpif/show"))


@unittest.skipUnless(shutil.which("ovs-vswitchd"), "needs ovs-vswitchd")
class Daemon(Cross):
    """Open vSwitch's daemon on our server."""

    def test_ovs_vswitchd(self):
        self.ok("our", "ovsdb-tool", "create", "conf.db", VSWITCH)
        where, pid = self.serve("our", "conf.db", name="db")
        vsctl = lambda *words: self.ok("our", "ovs-vsctl", f"--db={where}", "-t", "30", *words)
        vsctl("--no-wait", "init")
        run("ovs-vswitchd", "--detach", "--no-chdir", f"--pidfile={self.folder}/vswitchd.pid", "--log-file", "-vconsole:off", "--disable-system",
            f"--unixctl={self.folder}/vswitchd.ctl", "--enable-dummy=override", where, env=self.env)
        daemon = int((self.folder / "vswitchd.pid").read_text())
        self.addCleanup(self.stop, daemon)
        appctl = lambda *words: run("ovs-appctl", "-T", "20", "-t", self.folder / "vswitchd.ctl", *words).stdout
        # without --no-wait: the daemon's word that it is done comes by our server
        vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "datapath_type=dummy", "--", "add-port", "br0", "p1", "--", "set", "interface", "p1",
              "ofport_request=1", "--", "add-port", "br0", "p2", "tag=7", "--", "set", "interface", "p2", "ofport_request=2")
        self.assertEqual(vsctl("get", "interface", "p1", "ofport", "--", "get", "interface", "p2", "ofport").split(), ["1", "2"])
        run("ovs-ofctl", "add-flow", f"unix:{self.folder}/br0.mgmt", "in_port=1,actions=2")
        for n in range(3):
            appctl("netdev-dummy/receive", "p1", udp4(sport=n + 1).hex())
        self.assertIn("Datapath actions: 2", appctl("ofproto/trace", "br0", "in_port=1"))
        until("frames at the daemon's port", lambda: "tx pkts=3," in run("ovs-ofctl", "dump-ports", f"unix:{self.folder}/br0.mgmt", "p2").stdout)
        self.assertEqual(vsctl("get", "interface", "p2", "link_state", "--", "get", "bridge", "br0", "datapath_version").split(), ["up", '"<built-in>"'])
        vsctl("add-port", "br0", "bad", "--", "set", "interface", "bad", "type=bogus")
        self.assertIn("bad", vsctl("--columns=name", "find", "interface", "ofport=-1"))
        vsctl("del-port", "p2")
        self.assertNotIn("p2", appctl("dpif/show"))
        # a bridge that it cannot have, and ovs-vsctl's word of that
        failed = [self.call(whose, "ovs-vsctl", f"--db={where}", "add-br", f"{whose}br", "--", "set", "bridge", f"{whose}br", "datapath_type=odd")
                  for whose in ("our", "stock")]
        self.assertIn("Error detected while setting up 'ourbr'", failed[0][2])
        self.assertEqual([(code, out, err.replace("stock", "our")) for code, out, err in failed], [failed[0]] * 2)
        vsctl("del-br", "ourbr", "--", "del-br", "stockbr")
        # the server goes and comes: the daemon follows again
        self.stop(pid, signal.SIGKILL)
        where, _ = self.serve("our", "conf.db", name="db")
        vsctl("add-port", "br0", "p3")
        self.assertIn("p3", appctl("dpif/show"))
        self.assertEqual(vsctl("list-ports", "br0").split(), ["bad", "p1", "p3"])


if __name__ == "__main__":
    unittest.main()
