"""Frames made and checked by hand, without the program's code: Ethernet, VLAN, IPv4, IPv6, TCP, UDP, ICMP, ARP, pcap."""
import ipaddress
import struct

A_MAC, B_MAC = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ones(data):
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def eth(payload, kind=0x0800, src=A_MAC, dst=B_MAC, vlan=None, pcp=0, tpid=0x8100):
    tag = b"" if vlan is None else struct.pack("!HH", tpid, pcp << 13 | vlan)
    return mac(dst) + mac(src) + tag + struct.pack("!H", kind) + payload


def ipv4(payload, proto, src="192.0.2.1", dst="192.0.2.2", ttl=64, tos=0, fragment=0, more=False, options=b"", ident=7):
    length = 20 + len(options) + len(payload)
    flags = (0x2000 if more else 0) | fragment
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), tos, length, ident, flags, ttl, proto, 0,
                       ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed) + options
    return head[:10] + struct.pack("!H", ones(head)) + head[12:] + payload


def ipv6(payload, proto, src="2001:db8::1", dst="2001:db8::2", hops=64):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, hops) + ipaddress.ip_address(src).packed + \
        ipaddress.ip_address(dst).packed + payload


def pseudo(src, dst, proto, length):
    a, b = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    if len(a) == 4:
        return a + b + struct.pack("!BBH", 0, proto, length)
    return a + b + struct.pack("!II", length, proto)


def l4(proto, body, at, src, dst):
    """`body` with its checksum put in at offset `at`."""
    value = ones(pseudo(src, dst, proto, len(body)) + body)
    if proto == UDP and value == 0:
        value = 0xFFFF
    return body[:at] + struct.pack("!H", value) + body[at + 2:]


def udp(payload=b"", sport=1000, dport=2000, src="192.0.2.1", dst="192.0.2.2"):
    return l4(UDP, struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload, 6, src, dst)


def tcp(payload=b"", sport=1000, dport=80, flags=0x10, src="192.0.2.1", dst="192.0.2.2"):
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 2, 5 << 4, flags, 1024, 0, 0)
    return l4(TCP, head + payload, 16, src, dst)


def udp4(payload=b"x" * 18, sport=1000, dport=2000, src="192.0.2.1", dst="192.0.2.2", **more):
    """A whole UDP over IPv4 frame; keywords for `ipv4` and `eth` alike."""
    of_eth = {k: more.pop(k) for k in ("vlan", "pcp", "tpid") if k in more}
    for k in ("src", "dst"):
        if f"dl_{k}" in more:
            of_eth[k] = more.pop(f"dl_{k}")
    return eth(ipv4(udp(payload, sport, dport, src, dst), UDP, src, dst, **more), **of_eth)


def tcp4(payload=b"x" * 6, sport=1000, dport=80, src="192.0.2.1", dst="192.0.2.2", flags=0x10, vlan=None, **more):
    return eth(ipv4(tcp(payload, sport, dport, flags, src, dst), TCP, src, dst, **more), vlan=vlan)


def arp(src_ip, dst_ip, src=A_MAC, op=1):
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac(src) + ipaddress.ip_address(src_ip).packed + b"\0" * 6 + \
        ipaddress.ip_address(dst_ip).packed
    return eth(body, 0x0806, src=src, dst="ff:ff:ff:ff:ff:ff")


def checksums(frame):
    """What is wrong with a frame's checksums; None when nothing is. Fragments are checked at IP level only."""
    at = 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    kind, body = struct.unpack("!H", frame[at:at + 2])[0], frame[at + 2:]
    if kind == 0x0800:
        size = (body[0] & 15) * 4
        if ones(body[:size]):
            return "IPv4 header"
        total, flags = struct.unpack("!H", body[2:4])[0], struct.unpack("!H", body[6:8])[0]
        if flags & 0x3FFF:
            return None
        src, dst = (str(ipaddress.ip_address(body[n:n + 4])) for n in (12, 16))
        proto, segment = body[9], body[size:total]
    elif kind == 0x86DD:
        src, dst = (str(ipaddress.ip_address(body[n:n + 16])) for n in (8, 24))
        proto, segment = body[6], body[40:40 + struct.unpack("!H", body[4:6])[0]]
    else:
        return None
    if proto == ICMP:
        return "ICMP" if ones(segment) else None
    if proto not in (TCP, UDP, ICMP6):
        return None
    if proto == UDP and segment[6:8] == b"\0\0":
        return None if kind == 0x0800 else "UDP without checksum over IPv6"
    return "transport" if ones(pseudo(src, dst, proto, len(segment)) + segment) else None


def write_pcap(path, frames):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for n, frame in enumerate(frames):
            f.write(struct.pack("<IIII", 1, n, len(frame), len(frame)) + frame)


def read_pcap(path):
    """The frames of a capture; what is cut off at its end is left out."""
    with open(path, "rb") as f:
        data = f.read()
    out, at = [], 24
    while at + 16 <= len(data):
        size = struct.unpack("<I", data[at + 8:at + 12])[0]
        if at + 16 + size > len(data):
            break
        out.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return out
