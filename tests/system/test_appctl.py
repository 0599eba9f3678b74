"""ovs-appctl beside Open vSwitch's own: same words, same output, same exit status."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

PROGRAM = os.environ.get("IRONBRIDGE_BIN", "")
STOCK = "/usr/bin/ovs-appctl"
# what they print and who they say they are differs
ANSWERED = (
    ("list-commands",), ("version",), ("version", "x"), ("nosuch",), ("vlog/list-pattern",), ("vlog/list",),
    ("coverage/read-counter", "zz"), ("ovsdb-server/list-dbs",), ("ovsdb-server/add-remote",), ("vlog/set", "a:b:c:d"),
)
REFUSED = (
    (), ("--bogus",), ("-t",), ("-T", "x", "version"), ("-T", "0", "version"), ("-t", "nope", "version"),
    ("-t", "stale", "version"), ("-t", "/nope/x.ctl", "version"), ("version",),
)
REPLIES = (
    b"", b'{]', b'{"id":0,"result":"as it is","error":null}', b'{"id":0,"result":null,"error":"bad"}',
    b'{"id":7,"result":"x","error":null}', b'{"id":0,"result":5,"error":null}',
)


class AppCtl(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="appctl."))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.env = {**os.environ, "OVS_RUNDIR": str(self.dir)}
        for name in ("ovs-appctl", "ovsdb-server", "ovsdb-tool"):
            (self.dir / name).symlink_to(os.path.abspath(PROGRAM))

    def call(self, program, *words):
        done = subprocess.run([pathlib.Path(program).name, *words], executable=program, env=self.env, capture_output=True, text=True, timeout=60)
        # lines of the log have the time in them
        errors = [line for line in done.stderr.splitlines() if "|WARN|" not in line]
        return done.returncode, done.stdout, errors

    def same(self, *words):
        ours = self.call(self.dir / "ovs-appctl", *words)
        self.assertEqual(ours, self.call(STOCK, *words), words)
        return ours

    def test_commands(self):
        schema = self.dir / "schema"
        schema.write_text('{"name":"db","version":"1.0.0","tables":{"t":{"columns":{"n":{"type":"integer"}}}}}')
        self.assertEqual(self.call(self.dir / "ovsdb-tool", "create", f"{self.dir}/db", str(schema))[0], 0)
        started = self.call(self.dir / "ovsdb-server", "--detach", "--no-chdir", f"--pidfile={self.dir}/ovsdb-server.pid",
                            "-vconsole:off", f"--remote=punix:{self.dir}/db.sock", f"{self.dir}/db")
        self.assertEqual(started[0], 0, started)
        pid = int((self.dir / "ovsdb-server.pid").read_text())
        self.addCleanup(os.kill, pid, signal.SIGTERM)
        path = str(self.dir / f"ovsdb-server.{pid}.ctl")
        for words in ANSWERED:
            for target in ("ovsdb-server", path):
                self.same("-t", target, "-T", "30", *words)
        self.assertEqual(self.same("-t", path, "nosuch")[0], 2)
        self.assertEqual(self.same("-t", path, "-e", "version")[0], 0)
        self.assertEqual(self.same("--execute", "-t", path, "version")[0], 0)
        self.assertEqual(self.same("-t", path, "list-commands")[0], 0)

    def test_refused(self):
        (self.dir / "stale.pid").write_text("1\n")
        for words in REFUSED:
            self.assertEqual(self.same(*words)[0], 1)

    def test_replies(self):
        path = str(self.dir / "s.ctl")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        asked = []

        def serve():
            for reply in REPLIES:
                for _ in range(2):
                    peer, _ = listener.accept()
                    asked.append(peer.recv(4096))
                    peer.sendall(reply)
                    peer.close()

        server = threading.Thread(target=serve)
        server.start()
        codes = [self.same("-t", path, "hello", "a", "-m", "--", "--x")[0] for _ in REPLIES]
        server.join()
        self.assertEqual(codes, [1, 1, 0, 2, 1, 1])
        self.assertEqual(set(asked), {asked[0]})

    def test_timeout(self):
        path = str(self.dir / "s.ctl")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            self.assertEqual(self.same("-t", path, "-T", "1", "version")[0], -signal.SIGALRM)
