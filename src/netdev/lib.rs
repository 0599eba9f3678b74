//! Kernel interfaces as ports of the slow worker. Level 2.
//!
//! [`afpacket`] joins an existing interface by a packet socket, [`tap`] makes a tap device. Both speak virtio-net headers
//! with the kernel, so what a local sender left to the hardware (checksums, TCP segmentation) arrives as a frame's
//! offload metadata and leaves the same way. [`link`] reads and sets an interface's MTU, MAC and flags and watches for
//! changes. All descriptors are non-blocking. Only the private module `sys` is unsafe.

pub mod afpacket;
pub mod link;
mod state;
#[expect(unsafe_code, reason = "socket options, recvmmsg with control messages and tun ioctls have no safe wrapper")]
mod sys;
pub mod tap;

pub use state::{Counters, State, Status};

/// Why a kernel interface cannot be used as a port.
#[derive(Debug, thiserror::Error)]
pub enum NetdevError {
    /// There is no such interface in this network namespace.
    #[error("no kernel interface is named \"{0}\"")]
    NoSuchInterface(String),
    /// The process may not do it.
    #[error("{name}: {what} is not permitted (needs {capability})")]
    NotPermitted { name: String, what: &'static str, capability: &'static str },
    /// Something else that the kernel says.
    #[error("{name}: {what}: {source}")]
    System { name: String, what: &'static str, source: std::io::Error },
}

impl NetdevError {
    fn new(name: &str, what: &'static str, capability: &'static str, source: std::io::Error) -> NetdevError {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => NetdevError::NotPermitted { name, what, capability },
            Some(libc::ENODEV | libc::ENXIO) => NetdevError::NoSuchInterface(name),
            _ => NetdevError::System { name, what, source },
        }
    }
}

/// The longest frame that the kernel hands over: a 64 kB IP packet, Ethernet, two tags.
pub(crate) const FRAME_MAX: usize = 65_535 + 14 + 8;

#[cfg(test)]
mod tests;
