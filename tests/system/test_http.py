"""Who may ask over HTTP, what hostile clients can take, and what answers say."""
import contextlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import time

from . import packets
from .switch import NO_WORKERS, Case, dummy_ports, run, until

TOKEN = "0123456789abcdef-test"


class Http(Case):
    def serve(self, *keys, name="a"):
        """A switch; `keys` are further ones of [metrics], with which the helper's file begins."""
        body = "\n".join(keys) + "\n" + NO_WORKERS + dummy_ports("br0", 2, "standalone")
        return self.start(body, name=name).ready()

    def get(self, switch, path="/metrics", headers=None, tls=None, source=None, port=None):
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        more = {"context": tls} if tls else {}
        c = kind("127.0.0.1", port or switch.metrics_port, timeout=20, source_address=source and (source, 0), **more)
        with contextlib.closing(c):
            c.request("GET", path, headers=headers or {})
            answer = c.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()


class Access(Http):
    def test_headers_and_methods(self):
        switch = self.serve()
        for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/draw.js", "text/javascript"),
                           ("/page.css", "text/css"), ("/icon.svg", "image/svg+xml"), ("/metrics", "text/plain"),
                           ("/api/snapshot", "application/json"), ("/nothing", None)):
            status, headers, _ = self.get(switch, path)
            headers = {k.lower(): v for k, v in headers.items()}
            self.assertEqual(status, 200 if kind else 404, path)
            self.assertIn(kind or "", headers.get("content-type", ""))
            policy = headers["content-security-policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["cache-control"], "no-store")
        self.assertEqual(switch.metrics()["ironbridge_management_responding", ()], 1)
        c = http.client.HTTPConnection("127.0.0.1", switch.metrics_port, timeout=10)
        c.request("POST", "/metrics", body="x" * 100)
        self.assertEqual(c.getresponse().status, 405)
        c.close()

    def test_a_name_that_points_here_is_refused(self):
        switch = self.serve()
        self.assertEqual(self.get(switch, headers={"Host": "rebound.example"})[0], 403)
        self.assertEqual(self.get(switch, headers={"Host": f"localhost:{switch.metrics_port}"})[0], 200)

    def test_token(self):
        file = self.folder / "token"
        file.write_text(TOKEN + "\n")
        switch = self.serve(f'token-file = "{file}"')
        for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong"}, {"Cookie": "ironbridge_token=no"},
                        {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/", "/metrics", "/api/snapshot", "/page.js", "/?token=wrong"):
                status, got, text = self.get(switch, path, headers)
                self.assertEqual(status, 401, (path, headers))
                self.assertIn("Bearer", got["www-authenticate"])
                self.assertEqual(got["connection"], "close")
                self.assertNotIn("ironbridge_packets", text)
        self.assertEqual(self.get(switch, headers={"Authorization": f"Bearer {TOKEN}"})[0], 200)
        status, got, _ = self.get(switch, f"/?token={TOKEN}")
        self.assertEqual((status, got["location"]), (303, "/"))
        cookie = got["set-cookie"]
        self.assertIn("HttpOnly", cookie)
        self.assertIn("SameSite=Strict", cookie)
        status, _, text = self.get(switch, "/api/snapshot", {"Cookie": cookie.split(";")[0]})
        self.assertEqual(status, 200)
        self.assertEqual([b["name"] for b in json.loads(text)["bridges"]], ["br0"])
        self.assertNotIn(TOKEN, switch.log())

    def test_reachable_without_proof_is_refused(self):
        config = self.folder / "open.toml"
        config.write_text('[metrics]\nlisten = "0.0.0.0:9475"\n')
        binary = os.environ["IRONBRIDGE_BIN"]
        for command in ("check", "run"):
            done = run(binary, command, *(["--config"] if command == "run" else []), config, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("open.toml:2: metrics.listen:", done.stderr)
            self.assertIn("metrics.token-file", done.stderr)
        config.write_text(f'[metrics]\ntoken-file = "{self.folder}/none"\n')
        done = run(binary, "check", config, check=False)
        self.assertIn("metrics.token-file:", done.stderr)
        self.assertIn("No such file", done.stderr)

    def certificates(self):
        """A signer, a server's certificate and a client's; and another signer's client."""
        def made(*command):
            run("openssl", *command, cwd=self.folder)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        for ca in ("ca", "other-ca"):
            made("req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}")
        for name, ca, more in (("server", "ca", "subjectAltName=IP:127.0.0.1"), ("client", "ca", "extendedKeyUsage=clientAuth"),
                               ("stranger", "other-ca", "extendedKeyUsage=clientAuth")):
            made("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-addext", more,
                 "-addext", "basicConstraints=critical,CA:FALSE", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key")

    def test_client_certificates(self):
        done = run("openssl", "req", "-help", check=False)
        if "-CAkey" not in done.stderr + done.stdout:
            self.skipTest("openssl is too old to sign")
        self.certificates()
        f = self.folder
        switch = self.serve(f'tls-cert = "{f}/server.pem"', f'tls-key = "{f}/server.key"', f'tls-client-ca = "{f}/ca.pem"')
        def context(name):
            c = ssl.create_default_context(cafile=f / "ca.pem")
            if name:
                c.load_cert_chain(f / f"{name}.pem", f / f"{name}.key")
            return c
        self.assertEqual(self.get(switch, tls=context("client"))[0], 200)
        for name in (None, "stranger"):
            with self.assertRaises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                self.get(switch, tls=context(name))
        with self.assertRaises((ConnectionError, http.client.HTTPException)):
            self.get(switch)
        self.assertEqual(self.get(switch, tls=context("client"))[0], 200)


class Bounds(Http):
    def test_off_the_workers_cores(self):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            self.skipTest("one core")
        body = f"[cpu]\nworkers = [{cores[-1]}]\n" + dummy_ports("br0", 1)
        switch = self.start(body).ready()
        self.assertEqual(self.get(switch)[0], 200)
        allowed = {}
        for task in pathlib.Path(f"/proc/{switch.pid}/task").iterdir():
            allowed[(task / "comm").read_text().strip()] = os.sched_getaffinity(int(task.name))
        self.assertEqual(allowed["http"], set(cores[:-1]), allowed)
        self.assertEqual(allowed[f"worker{cores[-1]}"], {cores[-1]})

    def test_hostile_clients(self):
        """Clients that say nothing, say it slowly, say too much or never read: others are served, forwarding goes on."""
        switch = self.serve()
        port = switch.metrics_port
        opened = []
        self.addCleanup(lambda: [s.close() for s in opened])

        def connect(say=b""):
            s = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.66", 0))
            opened.append(s)
            with contextlib.suppress(OSError):
                s.sendall(say)
            return s
        began = time.monotonic()
        silent = [connect() for _ in range(10)]
        slow = [connect(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ") for _ in range(10)]
        many = [connect() for _ in range(60)]
        with self.subTest("one address has its share, and no more"):
            def ended(s):
                s.settimeout(5)
                with contextlib.suppress(ConnectionError):
                    return s.recv(10) == b""
                return True
            self.assertTrue(ended(many[-1]))
        with self.subTest("others are served meanwhile"):
            for _ in range(5):
                before = time.monotonic()
                self.assertEqual(self.get(switch)[0], 200)
                self.assertLess(time.monotonic() - before, 3)
            self.assertIn("br0", switch.ctl("ofproto/list"))
            switch.ctl("netdev-dummy/receive", "p1", *[packets.udp4().hex()] * 64)
            until("packets to be forwarded", lambda: switch.fates()["all"]["forwarded"] == 64)
        with self.subTest("who dawdles is cut off"):
            for s in (silent[0], slow[0]):
                s.settimeout(20)
                with contextlib.suppress(ConnectionError):
                    said = s.recv(1000)
                    while said and s.recv(1000):
                        pass
            self.assertLess(time.monotonic() - began, 12)
        for s in opened:
            s.close()
        with self.subTest("too much is refused"):
            for request in (b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
                            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(200)) + b"\r\n",
                            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff" + b"\x00" * 200,
                            b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
                s = connect(request)
                s.settimeout(20)
                got = b""
                with contextlib.suppress(ConnectionError):
                    got = s.recv(100)
                self.assertRegex(got, rb"^(HTTP/1.1 4\d\d.*)?", request[:20])
                self.assertNotIn(b" 200 ", got)
        self.assertEqual(self.get(switch)[0], 200)
