//! The fuzz targets as a library; see [`targets`].

pub mod targets;

/// Runs the target called `name` on `bytes`.
///
/// # Panics
/// There is none, or it finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = targets::all().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no target {name}"));
    target(bytes);
}

/// A decoder with a mistake: it trusts a length that the sender wrote. `scripts/fuzz --self-check` sees the fuzzer find it.
#[cfg(feature = "planted-bug")]
pub fn planted(bytes: &[u8]) {
    if let [b'I', b'B', kind @ 1..=3, length, rest @ ..] = bytes {
        let value = &rest[..usize::from(*length)];
        std::hint::black_box((kind, value));
    }
}
