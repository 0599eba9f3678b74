"""The switch on a cluster of three stock servers, whose leader is killed during a stream of changes."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from .switch import NO_WORKERS, run, until
from .test_database import Followed

SCHEMA = pathlib.Path(__file__).parents[2] / "src/bridge/vswitch.ovsschema"


@unittest.skipUnless(shutil.which("ovsdb-server"), "needs ovsdb-server of the package openvswitch-switch")
class Cluster(Followed):
    def setUp(self):
        super().setUp()
        # paths of sockets are short
        self.nodes = {name: self.folder / f"node-{name}" for name in "abc"}
        self.servers = {}
        self.addCleanup(self.end_all)
        address = {name: f"unix:{folder}/raft" for name, folder in self.nodes.items()}
        for name, folder in self.nodes.items():
            folder.mkdir()
            if name == "a":
                run("ovsdb-tool", "create-cluster", folder / "db", SCHEMA, address["a"])
            else:
                run("ovsdb-tool", "join-cluster", folder / "db", "Open_vSwitch", address[name], address["a"])
            self.serve(name)
        for name in self.nodes:
            until("a member of the cluster", lambda: re.search(r"^Role: (leader|follower)$", self.status(name), re.M))
        self.remotes = [f"unix:{folder}/db.sock" for folder in self.nodes.values()]

    def serve(self, name):
        folder = self.nodes[name]
        words = ["ovsdb-server", f"--remote=punix:{folder}/db.sock", "--no-chdir", f"--unixctl={folder}/ctl", "-vconsole:off",
                 str(folder / "db")]
        self.servers[name] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                              env={**os.environ, "OVS_RUNDIR": str(folder)})
        until("the server", lambda: (folder / "ctl").exists() and self.status(name))

    def end_all(self):
        for server in self.servers.values():
            server.kill()
            server.wait(10)

    def status(self, name):
        return run("ovs-appctl", "-t", self.nodes[name] / "ctl", "cluster/status", "Open_vSwitch", check=False).stdout

    def leader(self):
        """The member that leads, as the living see it."""
        living = [name for name, server in self.servers.items() if server.poll() is None]
        found = []

        def one():
            found[:] = [name for name in living if re.search(r"^Role: leader$", self.status(name), re.M)]
            return len(found) == 1
        until("a leader", one)
        return found[0]

    def change(self, *words):
        """A change by ovs-vsctl, again when the leader was lost under it: each may be made twice."""
        done = []

        def made():
            done[:] = [self.vsctl("--timeout=10", "--no-wait", *words, db=",".join(self.remotes), check=False)]
            return done[0].returncode == 0
        until(f"{words}: {done}", made, 60)

    def test_the_leader_is_killed(self):
        self.change("init")
        remotes = ", ".join(f'"{remote}"' for remote in self.remotes)
        self.switch = self.start(f"{NO_WORKERS}[database]\nremotes = [{remotes}]\n").ready()
        self.change("--may-exist add-br BR -- set bridge BR datapath_type=netdev")
        ports = set()
        for n in range(24):
            if n in (6, 14):
                leader = self.leader()
                self.servers[leader].send_signal(signal.SIGKILL)
                self.servers[leader].wait(10)
            if n in (10, 18):
                self.serve(leader)
            self.change(f"--may-exist add-port BR p{n} -- set interface p{n} type=dummy")
            ports.add(f"p{n}")
            if n % 3 == 2:
                self.change(f"--if-exists del-port BR p{n - 2}")
                ports.remove(f"p{n - 2}")

        def shown():
            return set(re.findall(r"^\s+(p\d+) ", self.switch.ctl("dpif/show"), re.M))
        until("the switch's ports", lambda: shown() == ports, 60)
        # what it writes arrives as well, by whoever leads now
        until("their numbers", lambda: all(self.number(port) for port in ports), 60)
        # ours asks the cluster in the same way
        ours = self.folder / "ovs-vsctl"
        ours.symlink_to(pathlib.Path(os.environ["IRONBRIDGE_BIN"]).resolve())
        db = "--db=" + ",".join(self.remotes)
        run(ours, "--timeout=30", db, "add-port", self.br, "last", "--", "set", "interface", "last", "type=dummy")
        self.assertIn("last", shown() | set(run(ours, "--timeout=30", db, "list-ports", self.br).stdout.split()))
        self.assertIn("last", self.switch.ctl("dpif/show"))

    def number(self, port):
        found = self.vsctl("--timeout=10", "get", "interface", port, "ofport", db=",".join(self.remotes), check=False).stdout
        return found.strip().isdigit()
