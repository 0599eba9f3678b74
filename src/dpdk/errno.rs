//! DPDK's error numbers, with DPDK's text.
use std::ffi::{CStr, c_int};
use std::fmt;

/// A positive error number: the system's, or one of DPDK's own above 1,000.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// Interprets what a DPDK function returned: `-errno`; or -1 where the number is in the per-thread variable.
    pub(crate) fn from_return(code: c_int) -> Errno {
        if code == -1 {
            return Errno::last();
        }
        Errno(code.saturating_abs())
    }

    /// Interprets `-errno`, for functions whose -1 means `EPERM`.
    pub(crate) fn from_negative(code: c_int) -> Errno {
        Errno(code.saturating_abs())
    }

    /// The calling thread's last error.
    pub(crate) fn last() -> Errno {
        // SAFETY: reads a per-thread variable.
        Errno(unsafe { dpdk_sys::ib_errno() })
    }

    /// The number, as in errno(3).
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any number; returns a constant or this thread's buffer, NUL-terminated, valid until the next
        // call on this thread.
        let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self})", self.0)
    }
}

/// Zero or positive is success.
pub(crate) fn check(code: c_int) -> Result<c_int, Errno> {
    if code < 0 { Err(Errno::from_negative(code)) } else { Ok(code) }
}

pub(crate) fn dpdk_version() -> String {
    // SAFETY: returns a pointer to a static NUL-terminated text.
    let text = unsafe { CStr::from_ptr(dpdk_sys::rte_version()) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text() {
        assert_eq!(Errno::from_negative(-libc::ENODEV).to_string(), "No such device");
        assert_eq!(Errno::from_negative(i32::MIN).number(), i32::MAX);
        assert_eq!(check(3), Ok(3));
        assert_eq!(check(-libc::EPERM).map_err(Errno::number), Err(libc::EPERM));
        assert!(dpdk_version().starts_with("DPDK 2"), "{}", dpdk_version());
    }
}
