"""Completion of command lines, by bash itself, and manual pages."""
import os
import pathlib
import shutil
import subprocess
import unittest

from .switch import Case, run
from .test_crosscheck import PROGRAM, VSWITCH, Cross


class Completion(Cross):
    def completed(self, line, script):
        """What bash offers for the end of a line."""
        program = line.split()[0]
        ask = (f"source {script}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; read -ra COMP_WORDS <<<\"$COMP_LINE\"; "
               f"[[ $COMP_LINE == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
               f"f=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
               f"$f {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        env = {**self.env, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", ask], env=env, capture_output=True, text=True, timeout=60)
        return done.stdout.split()

    def test_bash(self):
        (self.folder / "own").write_text(run(PROGRAM, "completion", "bash").stdout)
        (self.folder / "ovs").write_text(run(PROGRAM, "completion", "ovs").stdout)
        own = lambda line: self.completed(line, self.folder / "own")
        self.assertEqual(own("ironbridge sta"), ["stats"])
        self.assertIn("--unsupported", own("ironbridge show --"))
        self.ok("our", "ovsdb-tool", "create", "conf.db", VSWITCH)
        where, _ = self.serve("our", "conf.db", name="db")
        self.ok("our", "ovs-vsctl", "--no-wait", f"--db={where}", "init", "--", "add-br", "brx", "--", "add-port", "brx", "p77")
        ovs = lambda line: self.completed(line, self.folder / "ovs")
        vsctl = lambda line: ovs(f"ovs-vsctl --db={where} {line}")
        self.assertEqual(vsctl("add-p"), ["add-port"])
        self.assertEqual(vsctl("-t 5 add-port b"), ["brx"])
        self.assertEqual(vsctl("list-br -- del-port brx p7"), ["p77"])
        self.assertEqual(vsctl("set Int"), ["Interface"])
        self.assertEqual(vsctl("set Interface p"), ["p77"])
        self.assertEqual(vsctl("get Open_vSwitch "), ["."])
        self.assertEqual(vsctl("list-br -- --may"), ["--may-exist"])
        self.assertEqual(ovs("ovsdb-tool create-c"), ["create-cluster"])
        self.assertEqual(ovs("ovsdb-server --remo"), ["--remote="])
        self.assertEqual(ovs("vtep-ctl list-p"), ["list-ps", "list-ports"])
        self.assertEqual(ovs("ovs-vswitchd --deta"), ["--detach"])

    @unittest.skipUnless(shutil.which("man"), "needs man")
    def test_manual_pages(self):
        for name in ("", "ovs-vsctl", "vtep-ctl", "ovsdb-server", "ovsdb-client", "ovsdb-tool", "ovs-vswitchd"):
            page = self.folder / "page.8"
            page.write_text(run(PROGRAM, "man", *[name] * bool(name)).stdout)
            done = run("man", "--warnings", "-l", page)
            self.assertEqual(done.stderr, "", name)
            self.assertIn("SYNOPSIS", done.stdout)
            if name:
                usage = run(PROGRAM, name, "--help").stdout.splitlines()
                self.assertIn(usage[-1].split()[0], done.stdout)
