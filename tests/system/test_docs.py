"""Commands of the documents, as they stand there."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import unittest

from .net import token
from .switch import Case, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def commands(page):
    """The shell's part of a page, one script."""
    return "".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S))


@unittest.skipUnless(shutil.which("openssl") and os.path.exists("/usr/sbin/ovsdb-server"), "needs openssl and openvswitch-switch")
class Docs(Case):
    def test_database(self):
        """All of docs/database.md, in a folder, at a port and with bridges of the test's own."""
        names = [token(), token()]
        for name in names:
            self.addCleanup(run, "ip", "link", "del", name, check=False)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        work = self.folder / "w"
        text = commands("docs/database.md").replace("/tmp/tour-db", str(work)).replace("6640", str(port))
        for old, new in zip(("br0", "br1"), names):
            text = re.sub(rf"\b{old}\b", new, text)
        binary = self.folder / "bin"
        binary.mkdir()
        (binary / "ironbridge").symlink_to(os.path.abspath(os.environ["IRONBRIDGE_BIN"]))
        # whatever it has started ends with it
        script = f"set -eu\ntrap 'kill $(cat {work}/*.pid) $(jobs -p) 2>/dev/null || true' EXIT\n{text}"
        env = {**os.environ, "PATH": f"{binary}:{os.environ['PATH']}"}
        with open(self.folder / "out", "w") as out:
            done = subprocess.run(["bash", "-xc", script], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=240)
        said = (self.folder / "out").read_text()
        self.assertEqual(done.returncode, 0, said[-3000:])
        lines = said.splitlines()
        # what the page says that one sees
        self.assertIn("7", lines)
        self.assertIn(f"Bridge {names[0]}: stp_enable", lines)
        self.assertIn("Error detected while setting up 'nope'", said)
        self.assertEqual(lines.count(f"  {names[1]}:"), 2)
        self.assertIn(f'[{{"rows":[{{"name":"{names[0]}"}}]}}]', lines)
