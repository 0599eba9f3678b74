"""The database programs: our server and tool, with our client and, where it is installed, Open vSwitch's own."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

PROGRAM = os.environ.get("IRONBRIDGE_BIN", "")
SCHEMA = {
    "name": "db",
    "tables": {
        "t": {
            "columns": {
                "n": {"type": "integer"},
                "s": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
                "m": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            },
            "indexes": [["n"]],
        }
    },
}


class Client:
    """A connection that sends requests and reads what comes."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.buffer, self.decoder = "", json.JSONDecoder()

    def send(self, method, params, id):
        self.socket.sendall(json.dumps({"method": method, "params": params, "id": id}).encode())

    def receive(self):
        while True:
            try:
                message, end = self.decoder.raw_decode(self.buffer)
                self.buffer = self.buffer[end:].lstrip()
                return message
            except json.JSONDecodeError:
                more = self.socket.recv(1 << 16)
                if not more:
                    raise EOFError from None
                self.buffer += more.decode()

    def call(self, method, params, id=1):
        self.send(method, params, id)
        while True:
            message = self.receive()
            if message.get("id") == id:
                return message["result"]


class Base(unittest.TestCase):
    """A folder with the programs and a schema."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ovsdb."))
        self.addCleanup(shutil.rmtree, self.dir)
        self.env = {**os.environ, "OVS_RUNDIR": str(self.dir), "OVS_LOGDIR": str(self.dir)}
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for name in ("ovsdb-server", "ovsdb-client", "ovsdb-tool"):
            (self.bin / name).symlink_to(os.path.abspath(PROGRAM))
        (self.dir / "schema").write_text(json.dumps(SCHEMA))

    def run_(self, *words, check=True):
        done = subprocess.run(words, env=self.env, cwd=self.dir, capture_output=True, text=True, timeout=60)
        if check:
            self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def ours(self, name, *words, check=True):
        return self.run_(str(self.bin / name), *words, check=check)

    def start(self):
        """The server in the background; ready when the command comes back."""
        self.ours("ovsdb-server", "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off",
                  "--remote=punix:db.sock", "conf.db")
        return int((self.dir / "ovsdb-server.pid").read_text())

    def stop(self, pid, how=signal.SIGTERM):
        """Ends it, and waits until its lock of the file is free, which the next one needs."""
        try:
            os.kill(pid, how)
            while "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text():
                pass
        except (FileNotFoundError, ProcessLookupError):
            # gone, and whoever adopted it knows
            pass

    def rows(self):
        client = Client(str(self.dir / "db.sock"))
        select = {"op": "select", "table": "t", "where": [], "columns": ["n", "s"]}
        return {row["n"]: row["s"] for row in client.call("transact", ["db", select])[0]["rows"]}


class Ovsdb(Base):
    def test_files_and_clients_of_open_vswitch(self):
        """The same file by both tools, our server by both clients."""
        if not shutil.which("ovsdb-tool") or not shutil.which("ovsdb-client"):
            self.skipTest("Open vSwitch's ovsdb-tool and ovsdb-client are not installed")
        self.run_("ovsdb-tool", "create", "conf.db", "schema")
        insert = ["db", {"op": "insert", "table": "t", "row": {"n": 1, "m": ["map", [["a", "b c"]]], "s": ["set", [1, 2]]}},
                  {"op": "comment", "comment": "one"}]
        self.ours("ovsdb-tool", "transact", "conf.db", json.dumps(insert))
        insert[1]["row"]["n"] = 2
        self.run_("ovsdb-tool", "transact", "conf.db", json.dumps(insert))
        mutate = ["db", {"op": "mutate", "table": "t", "where": [["n", "==", 1]], "mutations": [["s", "insert", ["set", [5]]]]}]
        self.run_("ovsdb-tool", "transact", "conf.db", json.dumps(mutate))
        mutate[1]["mutations"] = [["s", "delete", 2], ["m", "insert", ["map", [["x", "y"]]]]]
        self.ours("ovsdb-tool", "transact", "conf.db", json.dumps(mutate))
        query = json.dumps(["db", {"op": "select", "table": "t", "where": [], "columns": ["n", "s", "m"], "sort": ["n"]}])
        both = self.run_("ovsdb-tool", "query", "conf.db", query)
        self.assertEqual(self.ours("ovsdb-tool", "query", "conf.db", query), both)
        self.assertIn('"s":["set",[1,5]]', both)
        self.assertEqual(self.ours("ovsdb-tool", "-mm", "show-log", "conf.db").count("record"),
                         self.run_("ovsdb-tool", "-mm", "show-log", "conf.db").count("record"))
        pid = self.start()
        where = f"unix:{self.dir}/db.sock"
        for words in (["dump", where, "db"], ["-f", "csv", "dump", where, "db"], ["get-schema", where, "db"],
                      ["--pretty", "-f", "json", "dump", where, "db", "t", "n", "m"], ["list-dbs", where],
                      ["transact", where, query], ["-f", "html", "dump", where, "db", "t", "n"]):
            self.assertEqual(self.ours("ovsdb-client", *words), self.run_("ovsdb-client", *words), words)
        self.assertIn("atoms:", self.run_("ovs-appctl", "-t", "ovsdb-server", "memory/show"))
        self.run_("ovs-appctl", "-t", "ovsdb-server", "ovsdb-server/compact")
        self.stop(pid)
        self.assertEqual(self.run_("ovsdb-tool", "query", "conf.db", query), both)

    def test_a_hostile_client_is_cut_off(self):
        """Garbage and depth end a connection; one that never reads does not slow another or fill memory."""
        self.ours("ovsdb-tool", "create", "conf.db", "schema")
        pid = self.start()
        path = str(self.dir / "db.sock")
        for text in (b"x", b"[" * 100_000, b'{"method":"echo"}', b'{"a":"\xff"}'):
            client = Client(path)
            client.socket.sendall(text)
            self.assertEqual(client.socket.recv(100), b"", text[:20])
        deaf, good = Client(path), Client(path)
        deaf.call("monitor", ["db", "m", {"t": {}}])
        text = "x" * 10_000
        good.call("transact", ["db", {"op": "insert", "table": "t", "row": {"n": 1}}])
        for k in range(2000):
            mutate = {"op": "update", "table": "t", "where": [], "row": {"m": ["map", [["k", f"{k}{text}"]]]}}
            self.assertEqual(good.call("transact", ["db", mutate]), [{"count": 1}])
        memory = pathlib.Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]
        self.assertLess(int(memory), 200_000, "kB")
        self.stop(pid)
