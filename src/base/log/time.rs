//! Dates in lines: strftime(3) with fractions of a second.

#![expect(unsafe_code, reason = "time zones and strftime are the C library's")]

use std::ffi::CString;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whose time of day.
#[derive(Clone, Copy)]
pub(super) enum Zone {
    Utc,
    Local,
}

/// `wall` by the template of strftime(3), in which each run of `#` stands for that many digits of the fraction of a second
/// (milliseconds, then zeros). Empty if the result is longer than 256 bytes.
pub(super) fn format(wall: SystemTime, template: &str, zone: Zone) -> String {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let template = with_fraction(template, since.subsec_millis());
    let (Ok(template), Ok(seconds)) = (CString::new(template), libc::time_t::try_from(since.as_secs())) else {
        return String::new();
    };
    // SAFETY: zero is a valid value of every field of `tm`; its pointer is a nullable C string.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals; the functions write `tm` and keep nothing.
    let made = unsafe {
        match zone {
            Zone::Utc => libc::gmtime_r(&raw const seconds, &raw mut tm),
            Zone::Local => libc::localtime_r(&raw const seconds, &raw mut tm),
        }
    };
    if made.is_null() {
        return String::new();
    }
    let mut text = [0u8; 256];
    // SAFETY: the buffer's length is given, the template ends in a zero byte, `tm` was filled in above.
    let len = unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), template.as_ptr(), &raw const tm) };
    String::from_utf8_lossy(text.get(..len).unwrap_or_default()).into_owned()
}

fn with_fraction(template: &str, millis: u32) -> String {
    let fraction = format!("{millis:03}");
    let mut digits = fraction.chars();
    let mut text = String::with_capacity(template.len());
    for c in template.chars() {
        if c == '#' {
            text.push(digits.next().unwrap_or('0'));
        } else {
            digits = fraction.chars();
            text.push(c);
        }
    }
    text
}
