"""The virtual machine's end of a vhost-user port, by the protocol alone: memory, rings, messages. Written from QEMU's
"vhost-user protocol" and virtio 1.2; no hypervisor is needed, and it can misbehave where one would not."""
import collections
import mmap
import os
import select
import socket
import struct
import time

from .switch import Case, NO_WORKERS, until

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL = 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18

CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6 = 1 << 0, 1 << 1, 1 << 7, 1 << 8
HOST_TSO4, HOST_TSO6, MRG_RXBUF, MQ = 1 << 11, 1 << 12, 1 << 15, 1 << 22
PROTOCOL, VERSION_1 = 1 << 30, 1 << 32
OFFLOADS = CSUM | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6
PROTOCOL_MQ = 1 << 0

# where the guest's process has its memory; anything will do, the switch translates
USER = 0x7000_0000_0000
BUFFER = 2048
NO_HEADER = bytes(12)


def message(request, payload=b"", flags=1):
    return struct.pack("<III", request, flags, len(payload)) + payload


class Ring:
    """A split ring in the guest's memory; `at` is where its 64 kB begin, buffers follow."""

    def __init__(self, memory, words, at, size, to_guest):
        self.memory, self.words, self.size, self.to_guest = memory, words, size, to_guest
        self.desc, self.avail, self.used = at, at + 16 * size, at + 32 * size
        self.buffers = at + 65536
        self.next, self.seen = 0, 0
        # of a ring that the guest sends by: the next free descriptor, descriptors of each frame under way
        self.place, self.chains = 0, collections.deque()
        memory[at:self.buffers] = bytes(65536)
        for i in range(size):
            self.describe(i, self.buffers + i * BUFFER, BUFFER, 2 if to_guest else 0)
        if to_guest:
            for i in range(size):
                self.offer(i)

    @staticmethod
    def bytes(size):
        return 65536 + size * BUFFER

    def describe(self, i, address, length, flags, following=0):
        struct.pack_into("<QIHH", self.memory, self.desc + 16 * i, address, length, flags, following)

    def offer(self, i):
        # not by `struct`, which writes byte by byte: the switch may look at any time
        self.words[self.avail // 2 + 2 + self.next % self.size] = i
        self.next += 1
        self.words[self.avail // 2 + 1] = self.next & 0xffff

    def used_index(self):
        return self.words[self.used // 2 + 1]

    def taken(self):
        """Descriptors that the switch is done with, with the bytes it wrote."""
        while self.seen & 0xffff != self.used_index():
            yield struct.unpack_from("<II", self.memory, self.used + 4 + 8 * (self.seen % self.size))
            self.seen += 1


class Guest:
    """Connects to a switch that listens, or (`listen`) waits for one that connects."""

    def __init__(self, path, listen=False, pairs=1, size=256, features=VERSION_1 | MRG_RXBUF, timeout=10):
        self.path, self.pairs, self.size, self.timeout = str(path), pairs, size, timeout
        self.wanted = features | PROTOCOL | (MQ if pairs > 1 else 0)
        self.listener = self.socket = self.memory = None
        self.fds = []
        if listen:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(1)

    # messages

    def connect(self):
        if self.listener:
            self.listener.settimeout(self.timeout)
            self.socket = self.listener.accept()[0]
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(self.path)
        self.socket.settimeout(self.timeout)

    def tell(self, request, payload=b"", fds=()):
        socket.send_fds(self.socket, [message(request, payload)], fds)

    def ask(self, request, payload=b""):
        self.tell(request, payload)
        head = self.exactly(12)
        answered, _, size = struct.unpack("<III", head)
        assert answered == request, (answered, request)
        return self.exactly(size)

    def exactly(self, count):
        out = b""
        while len(out) < count:
            more = self.socket.recv(count - len(out))
            if not more:
                raise ConnectionError("the switch hung up")
            out += more
        return out

    def hung_up(self, seconds=10):
        """Whether the switch ends the connection."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.socket], [], [], 0.05)[0]:
                try:
                    if not self.socket.recv(4096):
                        return True
                except ConnectionError:
                    return True
        return False

    # start and end

    def negotiate(self):
        self.tell(SET_OWNER)
        self.offered = struct.unpack("<Q", self.ask(GET_FEATURES))[0]
        self.features = self.wanted & self.offered
        self.tell(SET_FEATURES, struct.pack("<Q", self.features))
        protocol = struct.unpack("<Q", self.ask(GET_PROTOCOL_FEATURES))[0]
        self.tell(SET_PROTOCOL_FEATURES, struct.pack("<Q", protocol & PROTOCOL_MQ))

    def share(self):
        """Makes memory with rings and tells the switch of it."""
        each = Ring.bytes(self.size)
        self.bytes = 2 * self.pairs * each
        fd = os.memfd_create("guest")
        os.ftruncate(fd, self.bytes)
        self.memory_fd, self.memory = fd, mmap.mmap(fd, self.bytes)
        self.fds.append(fd)
        self.words = memoryview(self.memory).cast("H")
        self.rings = [Ring(self.memory, self.words, i * each, self.size, i % 2 == 0) for i in range(2 * self.pairs)]
        self.tell(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, self.bytes, USER, 0), [fd])

    def start_ring(self, i, enable=True):
        ring = self.rings[i]
        self.tell(SET_VRING_NUM, struct.pack("<II", i, ring.size))
        self.tell(SET_VRING_BASE, struct.pack("<II", i, 0))
        self.tell(SET_VRING_ADDR, struct.pack("<IIQQQQ", i, 0, USER + ring.desc, USER + ring.used, USER + ring.avail, 0))
        for request in (SET_VRING_CALL, SET_VRING_KICK):
            fd = os.eventfd(0, os.EFD_NONBLOCK)
            self.fds.append(fd)
            self.tell(request, struct.pack("<Q", i), [fd])
        if enable:
            self.enable(i)

    def enable(self, i, on=True):
        self.tell(SET_VRING_ENABLE, struct.pack("<II", i, int(on)))

    def start(self):
        self.connect()
        self.negotiate()
        self.share()
        for i in range(2 * self.pairs):
            self.start_ring(i)
        return self

    def start_again(self):
        """As a hypervisor that tries until it may: the switch may not have noticed yet that the last one is gone."""
        self.hang_up()
        while True:
            try:
                return self.start()
            except ConnectionError:
                self.hang_up()
                time.sleep(0.01)

    def hang_up(self):
        """As when its process is killed: connection, memory and descriptors go."""
        if self.socket:
            self.socket.close()
            self.socket = None
        if self.memory:
            self.words.release()
            self.memory.close()
            self.memory = None
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def close(self):
        self.hang_up()
        if self.listener:
            self.listener.close()
            os.unlink(self.path)
            self.listener = None

    # packets

    def send(self, frames, pair=0, header=NO_HEADER):
        """Puts frames into a ring, as fast as the switch takes them. A frame may be longer than a buffer."""
        ring = self.rings[2 * pair + 1]
        end = time.monotonic() + self.timeout
        for frame in frames:
            data = header + frame
            parts = [data[i:i + BUFFER] for i in range(0, len(data), BUFFER)]
            while sum(ring.chains) + len(parts) > ring.size:
                for _ in ring.taken():
                    ring.chains.popleft()
                if time.monotonic() > end:
                    raise AssertionError("the switch takes nothing")
            first = ring.place
            for n, part in enumerate(parts):
                i, following = (first + n) % ring.size, (first + n + 1) % ring.size
                at = ring.buffers + i * BUFFER
                self.memory[at:at + len(part)] = part
                last = n + 1 == len(parts)
                ring.describe(i, at, len(part), 0 if last else 1, 0 if last else following)
            ring.place = (first + len(parts)) % ring.size
            ring.chains.append(len(parts))
            ring.offer(first)

    def drained(self, pair=0):
        ring = self.rings[2 * pair + 1]
        return ring.used_index() == ring.next & 0xffff

    def receive(self, pair=None):
        """Frames that came, each with its header; their buffers are offered again."""
        out = []
        for p in range(self.pairs) if pair is None else [pair]:
            ring = self.rings[2 * p]
            data, left = b"", 0
            for i, length in ring.taken():
                at = ring.buffers + i * BUFFER
                part = self.memory[at:at + length]
                if left == 0:
                    left = struct.unpack_from("<H", part, 10)[0] if self.features & MRG_RXBUF else 1
                data += part
                left -= 1
                ring.offer(i)
                if left == 0:
                    out.append((data[:12], data[12:]))
                    data = b""
        return out

    def frames(self, pair=None):
        return [frame for _, frame in self.receive(pair)]


# ordinary pages, so that it runs anywhere and beside anything
DPDK = '[dpdk]\nhugepages = "no"\nsocket-mem = 256\nfile-prefix = ""\n'


def bridge(ports, more=""):
    out = f'{DPDK}{more}[[bridge]]\nname = "br0"\nfail_mode = "secure"\nlocal = false\n'
    for n, (name, kind, options, rest) in enumerate(ports, 1):
        out += f'[[bridge.port]]\nname = "{name}"\ntype = "{kind}"\nofport_request = {n}\n'
        if options:
            out += f"options = {{ {options} }}\n"
        out += rest
    return out


class GuestCase(Case):
    """A test with guests."""

    def guest(self, path, start=True, **more):
        guest = Guest(path, **more)
        self.addCleanup(guest.close)
        return guest.start() if start else guest

    def two(self, more="", rest="", workers=NO_WORKERS, **options):
        """A switch with a port that connects (a, guest listens) and one that listens (b), both guests up."""
        path = self.folder / "a.sock"
        first = self.guest(path, start=False, listen=True, **options)
        body = workers + bridge([("a", "dpdkvhostuserclient", f'vhost-server-path = "{path}"', rest),
                                 ("b", "dpdkvhostuser", "", rest)], more)
        switch = self.start(body, name=f"s{len(list(self.folder.iterdir()))}").ready()
        for flow in ("in_port=1,actions=2", "in_port=2,actions=1"):
            self.flow(switch, flow)
        first.start()
        second = self.guest(switch.run_dir / "b", **options)
        self.up(switch, "a", "b")
        return switch, first, second

    def flow(self, switch, text):
        """Adds a flow and waits until no worker goes by the old ones."""
        switch.ctl("ofctl/add-flow", "br0", text)
        switch.ctl("ofctl/barrier")

    def up(self, switch, *names):
        until("guests to be up", lambda: all(f"{n} " in line and ": up" in line for n in names for line in
                                              [self.line(switch, n)]))

    def line(self, switch, name):
        return next((li for li in switch.ctl("dpif/show").splitlines() if li.strip().startswith(f"{name} ")), "")

    def collect(self, guest, count, pair=None):
        got = []
        until(f"{count} frames", lambda: got.extend(guest.receive(pair)) or len(got) >= count)
        self.assertEqual(len(got), count)
        return got
