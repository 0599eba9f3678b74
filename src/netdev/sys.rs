//! The system calls that have no safe wrapper: packet socket options, bursts with control messages, tun and interface
//! ioctls. Everything public here is safe to call with any arguments.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use libc::{c_int, c_void};

use packet::virtio::SHORT_LEN;

/// Frames in one call.
pub(crate) const BATCH: usize = 32;

/// Room for one `tpacket_auxdata` control message.
const CONTROL: usize = 64;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set<T>(fd: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of a live value; the kernel only reads it.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, option, (value as *const T).cast::<c_void>(), size_of::<T>() as u32)
    })
    .map(drop)
}

/// A non-blocking packet socket bound to interface `index`: virtio headers, auxiliary data, promiscuous, without what this
/// host sends through the interface.
pub(crate) fn packet_socket(index: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers. Protocol 0 receives nothing until bound, so no frame of another interface slips in.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the call above just made it and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let one: c_int = 1;
    set(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &one)?;
    set(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &one)?;
    const PACKET_IGNORE_OUTGOING: c_int = 23;
    set(&fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &one)?;
    // A burst of 64 kB frames must fit; without the privilege the ordinary limit holds.
    let bytes: c_int = 8 << 20;
    if set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes).is_err() {
        set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes)?;
    }
    if set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes).is_err() {
        set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes)?;
    }
    // SAFETY: an all-zero value is a valid packet_mreq.
    let mut membership: libc::packet_mreq = unsafe { zeroed() };
    membership.mr_ifindex = index as c_int;
    membership.mr_type = libc::PACKET_MR_PROMISC as u16;
    set(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
    // SAFETY: an all-zero value is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as c_int;
    // SAFETY: address and length are those of a live sockaddr_ll.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) })?;
    Ok(fd)
}

/// (received, dropped) by the socket since the last call.
pub(crate) fn packet_statistics(fd: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    // SAFETY: an all-zero value is a valid tpacket_stats.
    let mut stats: libc::tpacket_stats = unsafe { zeroed() };
    let mut len = size_of::<libc::tpacket_stats>() as u32;
    // SAFETY: pointer and length are those of a live value of the type that the option has.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut len,
        )
    })?;
    Ok((stats.tp_packets, stats.tp_drops))
}

/// One received message.
pub(crate) struct Message<'a> {
    /// The virtio header, and the frame behind it.
    pub(crate) bytes: &'a [u8],
    /// (TPID, TCI) of the tag that the kernel took out.
    pub(crate) tag: Option<(u16, u16)>,
    /// The frame was longer than the buffer.
    pub(crate) truncated: bool,
}

/// Buffers for receiving bursts.
pub(crate) struct Batch {
    data: Box<[u8]>,
    control: Box<[[u64; CONTROL / 8]]>,
    received: Vec<(usize, usize, c_int)>,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch {
            data: vec![0; BATCH * Self::SLOT].into_boxed_slice(),
            control: vec![[0; CONTROL / 8]; BATCH].into_boxed_slice(),
            received: Vec::with_capacity(BATCH),
        }
    }

    const SLOT: usize = (SHORT_LEN + crate::FRAME_MAX).next_multiple_of(64);

    /// Receives up to `max` frames. `WouldBlock` when there are none.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        self.received.clear();
        let n = max.min(BATCH);
        // SAFETY: all-zero iovec and mmsghdr are valid: null pointers with length 0.
        let (mut iov, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { (zeroed(), zeroed()) };
        for (((slot, control), v), m) in
            self.data.chunks_exact_mut(Self::SLOT).zip(self.control.iter_mut()).zip(&mut iov).zip(&mut messages).take(n)
        {
            v.iov_base = slot.as_mut_ptr().cast();
            v.iov_len = slot.len();
            m.msg_hdr.msg_iov = v;
            m.msg_hdr.msg_iovlen = 1;
            m.msg_hdr.msg_control = control.as_mut_ptr().cast();
            m.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: the first n headers point to disjoint live buffers of self with their lengths; a null time-out is allowed.
        let got = check(unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                messages.as_mut_ptr(),
                n as u32,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                null_mut(),
            )
        })?;
        for m in messages.iter().take(got as usize) {
            self.received.push((m.msg_len as usize, m.msg_hdr.msg_controllen, m.msg_hdr.msg_flags));
        }
        Ok(got as usize)
    }

    /// The messages of the last call.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.received.iter().zip(self.data.chunks_exact(Self::SLOT)).zip(self.control.iter()).map(
            |((&(len, control_len, flags), slot), control)| {
                let bytes = slot.get(..len.min(slot.len())).unwrap_or_default();
                Message {
                    bytes,
                    tag: tag(control, control_len),
                    truncated: flags & libc::MSG_TRUNC != 0 || len > slot.len(),
                }
            },
        )
    }
}

/// The tag in a control buffer of `len` bytes, written by the kernel.
fn tag(control: &[u64; CONTROL / 8], len: usize) -> Option<(u16, u16)> {
    // one cmsghdr (16 bytes on 64-bit machines: length, level, type) followed by tpacket_auxdata
    let bytes: &[u8; CONTROL] = {
        // SAFETY: CONTROL / 8 words are CONTROL bytes, any of which is a valid u8.
        unsafe { &*(control.as_ptr().cast::<[u8; CONTROL]>()) }
    };
    let head = size_of::<libc::cmsghdr>();
    if len < head + size_of::<libc::tpacket_auxdata>() {
        return None;
    }
    // SAFETY: the buffer is aligned for u64 and longer than a cmsghdr, whose fields may have any bits.
    let message: libc::cmsghdr = unsafe { bytes.as_ptr().cast::<libc::cmsghdr>().read() };
    if message.cmsg_level != libc::SOL_PACKET || message.cmsg_type != libc::PACKET_AUXDATA {
        return None;
    }
    // SAFETY: head + size_of::<tpacket_auxdata>() <= len <= CONTROL was checked; its fields may have any bits.
    let aux: libc::tpacket_auxdata =
        unsafe { bytes.as_ptr().add(head).cast::<libc::tpacket_auxdata>().read_unaligned() };
    if aux.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID == 0 { 0x8100 } else { aux.tp_vlan_tpid };
    Some((tpid, aux.tp_vlan_tci))
}

/// Sends messages, each a virtio header and the frame's segments; returns how many went. `WouldBlock` when none did for
/// want of room.
pub(crate) fn send<'a>(
    fd: BorrowedFd<'_>,
    frames: impl Iterator<Item = (&'a [u8; SHORT_LEN], packet::frame::Segments<'a>)>,
) -> io::Result<usize> {
    const SEGMENTS: usize = 8 * BATCH;
    // SAFETY: all-zero iovec and mmsghdr are valid: null pointers with length 0.
    let (mut iov, mut messages): ([libc::iovec; SEGMENTS], [libc::mmsghdr; BATCH]) = unsafe { (zeroed(), zeroed()) };
    let (mut used, mut count) = (0, 0);
    for (header, segments) in frames.take(BATCH) {
        let first = used;
        for bytes in std::iter::once(header.as_slice()).chain(segments) {
            let Some(v) = iov.get_mut(used) else { break };
            v.iov_base = bytes.as_ptr().cast_mut().cast();
            v.iov_len = bytes.len();
            used += 1;
        }
        if used == SEGMENTS && count > 0 {
            break; // perhaps cut short: for the next call
        }
        let Some(m) = messages.get_mut(count) else { break };
        m.msg_hdr.msg_iov = iov.as_mut_ptr().wrapping_add(first);
        m.msg_hdr.msg_iovlen = used - first;
        count += 1;
    }
    // SAFETY: the first `count` headers point to vectors in `iov`, which point to live bytes that are only read.
    let sent = check(unsafe {
        libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    })?;
    Ok(sent as usize)
}

/// Makes (or joins) the tap device `name` with virtio headers.
pub(crate) fn tap(name: &str) -> io::Result<OwnedFd> {
    let path = c"/dev/net/tun";
    // SAFETY: a constant string that ends in 0.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
    // SAFETY: the call above just made it and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
    // SAFETY: TUNSETIFF takes an ifreq, which is live.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let offloads = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    // SAFETY: TUNSETOFFLOAD takes a number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, offloads as libc::c_ulong) })?;
    Ok(fd)
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an all-zero value is a valid ifreq.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// A request about an interface, to be sent by [`interface_ioctl`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Mtu,
    Flags,
    Mac,
    SetMtu(u32),
    SetFlags(u16),
    SetMac([u8; 6]),
}

/// The answer to an [`Ask`] that reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) number: u32,
    pub(crate) mac: [u8; 6],
}

/// Reads or sets something of the interface `name` of this thread's network namespace.
pub(crate) fn interface_ioctl(name: &str, ask: Ask) -> io::Result<Answer> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the call above just made it and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut r = request(name)?;
    let code = match ask {
        Ask::Mtu => libc::SIOCGIFMTU,
        Ask::Flags => libc::SIOCGIFFLAGS,
        Ask::Mac => libc::SIOCGIFHWADDR,
        Ask::SetMtu(mtu) => {
            r.ifr_ifru.ifru_mtu = mtu as c_int;
            libc::SIOCSIFMTU
        }
        Ask::SetFlags(flags) => {
            r.ifr_ifru.ifru_flags = flags as i16;
            libc::SIOCSIFFLAGS
        }
        Ask::SetMac(mac) => {
            // SAFETY: an all-zero value is a valid sockaddr.
            let mut address: libc::sockaddr = unsafe { zeroed() };
            address.sa_family = libc::ARPHRD_ETHER;
            for (to, from) in address.sa_data.iter_mut().zip(mac) {
                *to = from as libc::c_char;
            }
            r.ifr_ifru.ifru_hwaddr = address;
            libc::SIOCSIFHWADDR
        }
    };
    // SAFETY: all of these take an ifreq, which is live.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), code as libc::Ioctl, &raw mut r) })?;
    let mut answer = Answer::default();
    match ask {
        // SAFETY: SIOCGIFMTU has written this member; any bits are a valid int.
        Ask::Mtu => answer.number = unsafe { r.ifr_ifru.ifru_mtu } as u32,
        // SAFETY: SIOCGIFFLAGS has written this member; any bits are a valid short.
        Ask::Flags => answer.number = u32::from(unsafe { r.ifr_ifru.ifru_flags } as u16),
        Ask::Mac => {
            // SAFETY: SIOCGIFHWADDR has written this member; any bits are a valid sockaddr.
            let address = unsafe { r.ifr_ifru.ifru_hwaddr };
            for (to, from) in answer.mac.iter_mut().zip(address.sa_data) {
                *to = from as u8;
            }
        }
        Ask::SetMtu(_) | Ask::SetFlags(_) | Ask::SetMac(_) => {}
    }
    Ok(answer)
}
