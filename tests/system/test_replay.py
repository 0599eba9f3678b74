"""`--record` and `--replay` of the database programs: a run, and the same again without sockets."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

from . import test_ovsdb
from .test_ovsdb import Client


def insert(n, **row):
    return ["db", {"op": "insert", "table": "t", "row": {"n": n, **row}}]


class Replay(test_ovsdb.Base):
    def setUp(self):
        super().setUp()
        self.ours("ovsdb-tool", "create", "conf.db", "schema")
        shutil.copy(self.dir / "conf.db", self.dir / "before.db")
        self.path, self.recording = str(self.dir / "db.sock"), self.dir / "recording"
        self.recording.mkdir()
        self.server = None
        self.addCleanup(self.kill)

    def kill(self):
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()

    def record(self, *words):
        """The server, recorded, with a control socket; when it listens."""
        log = self.dir / "ovsdb-server.log"
        self.server = subprocess.Popen(
            [self.bin / "ovsdb-server", f"--record={self.recording}", "--no-chdir", "-vconsole:off", "--log-file",
             "--unixctl=ctl", "--remote=punix:db.sock", *words, "conf.db"], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL)
        while not (log.exists() and "ovsdb-server (Open vSwitch)" in log.read_text()):
            self.assertIsNone(self.server.poll())
        return log

    def replay(self, *words, code=0):
        """The database that a replay leaves, in a folder where nothing else is to appear; what it said."""
        folder = self.dir / "again"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(self.dir / "before.db", folder / "conf.db")
        env = {**self.env, "OVS_RUNDIR": str(folder), "OVS_LOGDIR": str(folder)}
        done = subprocess.run(
            [self.bin / "ovsdb-server", f"--replay={self.recording}", "--no-chdir", "-vconsole:off", "--unixctl=ctl",
             "--remote=punix:db.sock", *words, "conf.db"], env=env, cwd=folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertLessEqual({p.name for p in folder.iterdir()}, {"conf.db", ".conf.db.~lock~"})
        return (folder / "conf.db").read_bytes(), done.stderr

    def test_a_server_does_the_same_again(self):
        """Clients of all sorts at once; the replay leaves the same file to the byte, times and names of rows included."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            remotes = (f"--remote=ptcp:{taken.getsockname()[1]}:127.0.0.1", "--remote=ptcp:0:127.0.0.1")
            log = self.record(*remotes)
            port = int(re.search(r"listening on port (\d+)", log.read_text())[1])
            deaf = Client(self.path)
            deaf.send("monitor", ["db", "all", {"t": {}}], 1)
            watcher = Client(self.path)
            watcher.call("monitor_cond", ["db", "some", {"t": {"where": [["n", "<", 1000]]}}])
            owner, waiter = Client(self.path), Client(self.path)
            for lock in ("a", "b", "c"):
                owner.call("lock", [lock])
                waiter.call("lock", [lock])
            waiter.send("transact", ["db", {"op": "wait", "table": "t", "timeout": 60_000, "where": [["n", "==", 1]],
                                            "columns": ["n"], "until": "==", "rows": [{"n": 1}]}, insert(-1)[1]], "wait")
            waiter.send("transact", ["db", {"op": "wait", "table": "t", "timeout": 30, "where": [], "columns": ["n"],
                                            "until": "==", "rows": [{"n": -7}]}], "late")

            def work(k):
                client = Client(self.path)
                if k == 3:
                    client.socket = socket.create_connection(("127.0.0.1", port), 20)
                for n in range(100):
                    client.call("transact", insert(k * 1000 + n, s=["set", [n, k]], m=["map", [["k", "x" * 2000]]]))
                    if n % 3 == 0:
                        client.call("transact", ["db", {"op": "delete", "table": "t", "where": [["n", "==", k * 1000 + n // 2]]}])

            workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            replies = {}
            while len(replies) < 2:
                message = waiter.receive()
                replies[message["id"]] = message["result"]
            self.assertIn("uuid", replies["wait"][1])
            self.assertEqual(replies["late"][0]["error"], "timed out")
            # its locks go to who waits for them
            owner.socket.close()
            self.assertEqual({waiter.receive()["params"][0] for _ in range(3)}, {"a", "b", "c"})
            ctl = f"{self.dir}/ctl"
            control = Client(ctl)
            self.assertEqual(control.call("ovsdb-server/compact", []), "")
            watcher.call("transact", insert(5000))
            control.send("exit", [], 2)
            self.server.wait(20)
            after = (self.dir / "conf.db").read_bytes()
            self.assertIn(b"_date", after)
            for _ in range(2):
                self.assertEqual(self.replay(*remotes), (after, ""))
        # with the port free it would go on as if it were not
        self.assertEqual(self.replay(*remotes), (after, ""))

    def test_a_server_that_was_killed(self):
        """The recording of one that was killed at some moment is whole as far as it goes."""
        self.record()
        client, sure = Client(self.path), []
        for n in range(50):
            client.call("transact", insert(n))
            sure.append(n)
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        after, said = self.replay()
        self.assertEqual((after, said), ((self.dir / "conf.db").read_bytes(), ""))
        # also where it breaks off
        file = self.recording / "ovsdb-server.replay"
        whole = file.read_bytes()
        for n in range(0, 60):
            file.write_bytes(whole[:len(whole) - n])
            self.assertTrue(after.startswith(self.replay()[0]))
        for n in (10, 100, 1000):
            file.write_bytes(whole[:n] + b"#" + whole[n:])
            said = self.replay(code=1)[1]
            self.assertIn(str(file), said)
            self.assertRegex(said, "entry|not a recording of ovsdb-server")

    def test_what_is_not_that_run(self):
        """Other options than recorded, what does not go together, files that are none: each is named."""
        self.record()
        Client(f"{self.dir}/ctl").send("exit", [], 1)
        self.server.wait(20)
        self.assertRegex(self.replay("--remote=ptcp:0:127.0.0.1", code=1)[1], "entry .*: the program asks for .* was recorded")
        for words, said in ((["--monitor"], "--replay and --monitor do not go together"),
                            (["--run=true"], "--replay and --run do not go together"),
                            (["--record"], "--record and --replay exclude each other")):
            self.assertIn(said, self.replay(*words, code=1)[1])
        self.recording.joinpath("ovsdb-server.replay").unlink()
        self.assertIn("ovsdb-server.replay: No such file", self.replay(code=1)[1])

    def test_a_client_prints_the_same_again(self):
        """A monitor with times: the replay prints the same bytes, though there is no server."""
        pid = self.start()
        words = [self.bin / "ovsdb-client", "--timestamp", "monitor", f"unix:{self.path}", "db", "t", "n"]
        again = [words[0], "--replay=recording", *words[1:]]
        words[1:1] = ["--record=recording"]
        monitor = subprocess.Popen(words, env=self.env, cwd=self.dir, stdout=subprocess.PIPE, text=True)
        self.addCleanup(monitor.stdout.close)
        client = Client(self.path)
        seen = ""
        for n in range(3):
            # the monitor says what is new from when it is there
            client.call("transact", insert(n))
            while seen.count("\n") < 1 or f" {n}\n" not in seen:
                seen += monitor.stdout.readline()
        self.stop(pid)
        seen += monitor.stdout.read()
        monitor.wait(20)
        done = subprocess.run(again, env=self.env, cwd=self.dir, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.returncode), (seen, monitor.returncode))
        dump = ["--replay=recording", "dump", f"unix:{self.path}", "db"]
        done = subprocess.run([self.bin / "ovsdb-client", *dump], env=self.env, cwd=self.dir, capture_output=True, text=True,
                              timeout=60)
        self.assertNotEqual(done.returncode, 0)
