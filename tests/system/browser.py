"""A headless Chromium, driven by chromedriver over the WebDriver protocol (W3C); nothing but the standard library."""
import json
import shutil
import socket
import subprocess
import urllib.request

from .net import end
from .switch import until

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


class Browser:
    """One window. `errors()` has what the page complained about."""

    def __init__(self, case, *more):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.at = f"http://127.0.0.1:{s.getsockname()[1]}"
        self.process = subprocess.Popen(["chromedriver", f"--port={self.at.rsplit(':', 1)[1]}"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        case.addCleanup(end, self.process)
        until("chromedriver", self.is_up, 30)
        options = {"binary": shutil.which("chromium"), "args": [*ARGUMENTS, f"--user-data-dir={case.folder}/chromium", *more]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}, "acceptInsecureCerts": True}
        self.session = ""
        self.session = "/session/" + self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        case.addCleanup(self.ask, "DELETE", "")

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.at + self.session + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def is_up(self):
        try:
            return urllib.request.urlopen(self.at + "/status", timeout=5).status == 200
        except OSError:
            return False

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """What a script's `return` gives."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def scheme(self, name):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def size(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def errors(self):
        return [e for e in self.ask("POST", "/se/log", {"type": "browser"}) if e["level"] in ("SEVERE", "WARNING")]
