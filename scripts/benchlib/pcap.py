"""Writes the packet captures that the cases replay; every flow is one packet, checksums are right."""
import random
import struct

SMAC, DMAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(src, dst, proto, payload, ident):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident & 0xFFFF, 0, 64, proto, 0, src, dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(src, dst, sport, dport, body):
    head = struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body
    pseudo = src + dst + struct.pack("!BBH", 0, 17, len(head))
    return head[:6] + struct.pack("!H", checksum(pseudo + head) or 0xFFFF) + head[8:]


def tcp(src, dst, sport, dport, body):
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, 0x10, 8192, 0, 0) + body
    pseudo = src + dst + struct.pack("!BBH", 0, 6, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def flows(count, kind="udp", seed=1):
    """The five-tuples of a mix: (src, dst, sport, dport) with addresses as four bytes."""
    rng = random.Random(seed)
    ports = [53, 80, 443, 8080, 11211, 5001]
    for i in range(count):
        src = bytes([10, i >> 16 & 255, i >> 8 & 255, i & 255])
        dst = bytes([192, 168, rng.randrange(256), rng.randrange(1, 255)])
        yield src, dst, rng.randrange(1024, 65535), rng.choice(ports)


def frame(index, flow, kind, size, vlans=0, macs=0):
    """One Ethernet frame of `size` bytes without FCS."""
    src, dst, sport, dport = flow
    smac = bytes([2, 0]) + struct.pack("!I", 16 + index % macs) if macs else SMAC
    tag = struct.pack("!HH", 0x8100, 1 + index % vlans) if vlans else b""
    fixed = 14 + len(tag) + 20 + (20 if kind == "tcp" else 8)
    body = (tcp if kind == "tcp" else udp)(src, dst, sport, dport, b"x" * max(0, size - fixed))
    data = DMAC + smac + tag + b"\x08\0" + ipv4(src, dst, 6 if kind == "tcp" else 17, body, index)
    return data.ljust(60, b"\0")


def write(path, count, kind="udp", size=60, seed=1, vlans=0, macs=0):
    """Writes a capture of `count` flows to `path`."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, flow in enumerate(flows(count, kind, seed)):
            data = frame(i, flow, kind, size, vlans, macs)
            out.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
