"""What one port, or one sender, does to another: cases that measure a victim alone and beside an attacker.

Each gives, for a switch, the share of what the victim sends (or of its rate alone) that still comes out."""
import random
import struct
import subprocess
import threading

from . import pcap, switches


class Streams:
    """The project's own generator: paced streams into memif sockets, on the other core."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.devices = binary, folder, None

    def socket(self, number):
        return self.folder / f"stream{number}.sock"

    def device(self, number, role):
        return (f"net_memif{number},role={role},id={number},socket={self.socket(number)},socket-abstract=no,bsize=2048,"
                "rsize=11")

    def port(self, number):
        """Devargs of the switch's side."""
        return self.device(number, "server")

    def run(self, seconds, streams, mark=None):
        """Sends `streams`, (port, kind, packets a second, count) each. Returns (offered, sent) of each in `seconds`
        after the first; `mark` is called at both ends of these."""
        arguments = []
        for number, kind, rate, count in streams:
            if not self.devices:
                switches.until("a memif socket", self.socket(number).exists)
            device = self.devices[number] if self.devices else self.device(number, "client")
            arguments.append(f"{device};{kind};{int(rate)};{count}")
        process = subprocess.Popen(["taskset", "-c", "0", self.binary, str(seconds + 1), *arguments],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()), daemon=True)
        reader.start()
        first = last = None
        try:
            for line in process.stdout:
                last = list(map(int, line.split()))
                first = first or last
                if mark and last is first:
                    mark()
            if process.wait() or last is first:
                reader.join(5)
                raise RuntimeError(f"generator: {' '.join(errors)[-500:]}")
        finally:
            switches.stop(process)
        if mark:
            mark()
        return [(last[i] - first[i], last[i + 1] - first[i + 1]) for i in range(0, len(last), 2)]


NEW_FLOWS = [
    "in_port=1,actions=output:2",
    # what is moved is matched exactly, so every new source is a flow of its own
    "in_port=3,udp,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG1[0..15],output:4",
]


class Storm:
    """(j) A victim at half of the rate that it reaches alone, and another port that sends only new flows."""
    key, title = "j", "victim at half of its solo rate beside a port that sends only new flows: delivered"
    floor = 0.95

    def measure(self, switch, folder, generator, seconds):
        streams = Streams(generator, folder)
        # what another switch left is nobody's
        for number in (0, 1):
            streams.socket(number).unlink(missing_ok=True)
        ports = [("p0", streams.port(0)), ("p1", "net_null1,no-rx=1"), ("p2", streams.port(1)),
                 ("p3", "net_null3,no-rx=1")]

        def send(*what):
            """What was offered and sent, and what of the victim's came out."""
            counts = []
            try:
                switch.setup(ports, NEW_FLOWS)
                pairs = streams.run(seconds, what, lambda: counts.append(switch.sent(2)))
                return pairs, counts[1] - counts[0]
            finally:
                switch.clear()

        solo = send((0, "flows", 0, 1000))[1] / seconds
        (victim, attacker), delivered = send((0, "flows", solo / 2, 1000), (1, "new", 0, 0))
        return min(1.0, delivered / victim[0]), (
            f"solo {solo / 1e6:.2f} Mpps, victim offers {victim[0] / seconds / 1e6:.2f} "
            f"({victim[1] / seconds / 1e6:.2f} taken), attacker sends "
            f"{attacker[1] / seconds / 1e6:.2f}")


ALLOW = [
    "priority=30,tcp,tp_dst=80,actions=output:2",
    "priority=20,tcp,nw_src=10.0.0.1,actions=output:2",
    "priority=10,tcp,tp_src=12345,actions=output:2",
    "priority=0,actions=drop",
]


class TupleSpace:
    """An allow-list of three rules; one packet in a hundred is crafted so that each needs another mask (CVE-2019-25076)."""
    key, title = "t", "allow-list of three rules, 1 % of packets crafted to need masks of their own: rate kept"
    floor = 0.90
    VICTIMS, CRAFTED, EACH = 1000, 2000, 99

    def capture(self, folder, attacked):
        """The victims' packets, and the crafted ones after every 99th or more victims in their place."""
        path = folder / f"tuples-{attacked}.pcap"
        if path.exists():
            return path
        rng = random.Random(5)
        victims = [(bytes([10, 1, i >> 8, i & 255]), bytes([192, 168, 0, 1]), 20_000 + i, 80)
                   for i in range(self.VICTIMS)]
        bits = [(a, b, c) for a in range(16) for b in range(32) for c in range(16)]
        rng.shuffle(bits)
        frames = [pcap.frame(i, flow, "tcp", 60) for i, flow in enumerate(victims)]
        with open(path, "wb") as out:
            out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            n = 0
            for a, b, c in bits[:self.CRAFTED]:
                for i in range(self.EACH + 1):
                    crafted = attacked and i == self.EACH
                    data = pcap.frame(n, self.near_miss(rng, a, b, c), "tcp", 60) if crafted else frames[n % len(frames)]
                    n += not crafted
                    out.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
        return path

    @staticmethod
    def near_miss(rng, a, b, c):
        """A flow that the rules' values disagree with first at the given bits."""
        def off(value, bit, width):
            low = width - 1 - bit
            return (value ^ 1 << low) >> low << low | rng.randrange(1 << low)
        src = off(0x0A000001, b, 32).to_bytes(4, "big")
        return src, bytes([192, 168, 0, 1]), off(12345, c, 16), off(80, a, 16)

    def measure(self, switch, folder, generator, seconds):
        rates = []
        for attacked in (False, True):
            try:
                source = f"net_pcap0,rx_pcap={self.capture(folder, attacked)},infinite_rx=1"
                switch.setup([("p0", source), ("p1", "net_null1,no-rx=1")], ALLOW)
                rates.append(switches.rate(switch.sent, seconds, 6))
            finally:
                switch.clear()
        alone, beside = rates
        kept = beside / alone * (self.EACH + 1) / self.EACH
        return min(1.0, kept), f"alone {alone / 1e6:.2f} Mpps, beside {beside / 1e6:.2f}"


def all_cases():
    return [Storm(), TupleSpace()]
