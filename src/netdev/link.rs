//! An interface's index, MAC, MTU and flags, and a watch for changes (rtnetlink(7)), all in this network namespace.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};

use crate::NetdevError;
use crate::sys::{self, Ask};

const ADMIN: &str = "CAP_NET_ADMIN";

/// The interface's number.
///
/// # Errors
/// There is no such interface.
pub fn index(name: &str) -> Result<u32, NetdevError> {
    nix::net::if_::if_nametoindex(name).map_err(|_| NetdevError::NoSuchInterface(name.to_owned()))
}

fn ask(name: &str, what: &'static str, ask: Ask) -> Result<sys::Answer, NetdevError> {
    sys::interface_ioctl(name, ask).map_err(|e| NetdevError::new(name, what, ADMIN, e))
}

/// The MTU in bytes.
///
/// # Errors
/// There is no such interface.
pub fn mtu(name: &str) -> Result<u32, NetdevError> {
    ask(name, "reading the MTU", Ask::Mtu).map(|a| a.number)
}

/// Sets the MTU in bytes.
///
/// # Errors
/// There is no such interface, it is not permitted, or the device does not take it.
pub fn set_mtu(name: &str, mtu: u32) -> Result<(), NetdevError> {
    ask(name, "setting the MTU", Ask::SetMtu(mtu)).map(drop)
}

/// The MAC address.
///
/// # Errors
/// There is no such interface.
pub fn mac(name: &str) -> Result<[u8; 6], NetdevError> {
    ask(name, "reading the MAC address", Ask::Mac).map(|a| a.mac)
}

/// Sets the MAC address.
///
/// # Errors
/// There is no such interface, it is not permitted, or the device does not take it.
pub fn set_mac(name: &str, mac: [u8; 6]) -> Result<(), NetdevError> {
    ask(name, "setting the MAC address", Ask::SetMac(mac)).map(drop)
}

/// Whether it is administratively up.
///
/// # Errors
/// There is no such interface.
pub fn is_up(name: &str) -> Result<bool, NetdevError> {
    ask(name, "reading the flags", Ask::Flags).map(|a| a.number & libc::IFF_UP as u32 != 0)
}

/// Whether it is up and has its carrier.
///
/// # Errors
/// There is no such interface.
pub fn is_running(name: &str) -> Result<bool, NetdevError> {
    let both = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
    ask(name, "reading the flags", Ask::Flags).map(|a| a.number & both == both)
}

/// Brings it up or down.
///
/// # Errors
/// There is no such interface, or it is not permitted.
pub fn set_up(name: &str, up: bool) -> Result<(), NetdevError> {
    let now = ask(name, "reading the flags", Ask::Flags)?.number as u16;
    let wanted = if up { now | libc::IFF_UP as u16 } else { now & !(libc::IFF_UP as u16) };
    ask(name, "setting the flags", Ask::SetFlags(wanted)).map(drop)
}

/// Something that happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub index: u32,
    pub name: String,
    pub up: bool,
    pub running: bool,
    /// It was removed.
    pub gone: bool,
}

/// Hears of interfaces that appear, change or go.
pub struct Watch {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Watch {
    /// Starts to listen.
    ///
    /// # Errors
    /// The kernel refuses a netlink socket.
    pub fn new() -> Result<Watch, NetdevError> {
        let fail = |e: nix::Error| NetdevError::new("rtnetlink", "opening a socket", ADMIN, e.into());
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).map_err(fail)?;
        const RTMGRP_LINK: u32 = 1;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK)).map_err(fail)?;
        Ok(Watch { socket, buffer: vec![0; 1 << 16] })
    }

    /// What has happened since the last call.
    ///
    /// # Errors
    /// Something was lost: there was more than the kernel keeps.
    pub fn events(&mut self) -> Result<Vec<Event>, NetdevError> {
        let (mut out, mut lost) = (Vec::new(), None);
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(nix::Error::EAGAIN) => break,
                Ok(n) => parse(self.buffer.get(..n).unwrap_or_default(), &mut out),
                Err(nix::Error::EINTR) => {}
                // the rest is read all the same
                Err(nix::Error::ENOBUFS) => lost = Some(nix::Error::ENOBUFS),
                Err(e) => {
                    lost = Some(e);
                    break;
                }
            }
        }
        match lost {
            None => Ok(out),
            Some(e) => Err(NetdevError::new("rtnetlink", "hearing of interfaces", ADMIN, e.into())),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

/// Messages back to back: `nlmsghdr` (length, type, flags, sequence, port), `ifinfomsg`, attributes.
fn parse(mut bytes: &[u8], out: &mut Vec<Event>) {
    while let (Some(len), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let len = len as usize;
        let Some(message) = bytes.get(16..len.max(16)) else { return };
        if matches!(kind, libc::RTM_NEWLINK | libc::RTM_DELLINK)
            && let (Some(index), Some(flags)) = (u32_at(message, 4), u32_at(message, 8))
        {
            let name = attribute(message.get(16..).unwrap_or_default(), libc::IFLA_IFNAME).unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
            let has = |flag: i32| flags & flag as u32 != 0;
            out.push(Event {
                index,
                name,
                up: has(libc::IFF_UP),
                running: has(libc::IFF_RUNNING),
                gone: kind == libc::RTM_DELLINK,
            });
        }
        match bytes.get(len.max(16).next_multiple_of(4)..) {
            Some(rest) => bytes = rest,
            None => return,
        }
    }
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (len, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        if kind == wanted {
            return bytes.get(4..len);
        }
        bytes = bytes.get(len.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel writes it.
    fn message(kind: u16, index: u32, flags: u32, name: &str) -> Vec<u8> {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        let mut value = name.as_bytes().to_vec();
        value.push(0);
        body.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        body.extend_from_slice(&libc::IFLA_IFNAME.to_ne_bytes());
        body.extend_from_slice(&value);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut out = ((body.len() + 16) as u32).to_ne_bytes().to_vec();
        out.extend_from_slice(&kind.to_ne_bytes());
        out.resize(16, 0);
        out.extend_from_slice(&body);
        out
    }

    #[test]
    fn events_are_read_and_garbage_is_not() {
        let up = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
        let mut bytes = message(libc::RTM_NEWLINK, 7, up, "veth0");
        bytes.extend(message(libc::RTM_DELLINK, 8, 0, "veth1"));
        let mut out = Vec::new();
        parse(&bytes, &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(out[0], Event { index: 7, name: "veth0".into(), up: true, running: true, gone: false });
        assert!(out[1].gone && out[1].name == "veth1");
        for n in 0..bytes.len() {
            parse(&bytes[..n], &mut Vec::new());
        }
    }
}
