//! TCP headers (RFC 9293 section 3.1) and options.
#![deny(clippy::indexing_slicing)]

use crate::checksum::Sum;
use crate::wire::{Error, Wire, put, put_bytes, split, split_bytes};
use std::fmt;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Most bytes of options.
pub const OPTIONS_MAX: usize = 40;

/// The twelve bits behind the data offset: reserved and flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x001);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x002);
    /// Reset.
    pub const RST: Flags = Flags(0x004);
    /// Push.
    pub const PSH: Flags = Flags(0x008);
    /// Acknowledgement number counts.
    pub const ACK: Flags = Flags(0x010);
    /// Urgent pointer counts.
    pub const URG: Flags = Flags(0x020);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x040);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x080);
    /// Nonce sum (RFC 3540, historic); accurate ECN.
    pub const NS: Flags = Flags(0x100);

    /// Whether all of `flags` are set.
    #[inline]
    pub const fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Both sets.
    #[inline]
    pub const fn with(self, flags: Flags) -> Flags {
        Flags(self.0 | flags.0)
    }

    /// Without those of `flags`.
    #[inline]
    pub const fn without(self, flags: Flags) -> Flags {
        Flags(self.0 & !flags.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 9] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
        let mut sep = "";
        for (i, name) in NAMES.iter().enumerate() {
            if self.0 >> i & 1 != 0 {
                write!(f, "{sep}{name}")?;
                sep = "|";
            }
        }
        if self.0 >> 9 != 0 {
            write!(f, "{sep}[{:#x}]", self.0 & !0x1ff)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#05x}", self.0)
    }
}

/// The header as it lies in the packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Sequence number.
    pub seq: U32,
    /// Acknowledgement number.
    pub ack: U32,
    /// Data offset in units of 4 bytes (4 bits), reserved and flags (12).
    pub offset_flags: U16,
    /// Window, unscaled.
    pub window: U16,
    /// Checksum.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl Header {
    /// Bytes of the header with options as it says; less than 20 in a malformed one.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.offset_flags.get() >> 12) * 4
    }

    /// Reserved bits and flags.
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(self.offset_flags.get() & 0xfff)
    }

    /// Sets reserved bits and flags.
    #[inline]
    pub fn set_flags(&mut self, flags: Flags) {
        self.offset_flags = (self.offset_flags.get() & 0xf000 | flags.0 & 0xfff).into();
    }
}

/// A segment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The fixed part of the header.
    pub header: &'a Header,
    /// Options, a multiple of 4 bytes.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
}

impl<'a> View<'a> {
    /// Checks the header's length, not the checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>, Error> {
        let (header, rest) = split::<Header>(bytes)?;
        let options = header.header_len().checked_sub(HEADER_LEN).ok_or(Error::Length)?;
        let (options, payload) = split_bytes(rest, options)?;
        Ok(View { header, options, payload })
    }

    /// The options, up to the end marker or the first that is malformed.
    pub fn options(&self) -> Options<'a> {
        Options(self.options)
    }

    /// Whether the checksum is right under the sum of the pseudo header.
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        pseudo.bytes(self.header.as_bytes()).bytes(self.options).bytes(self.payload).finish() == 0
    }
}

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Maximum segment size (RFC 9293 section 3.7.1).
    Mss(u16),
    /// Window scale shift (RFC 7323 section 2).
    WindowScale(u8),
    /// Selective acknowledgements may be sent (RFC 2018 section 2).
    SackPermitted,
    /// Selective acknowledgements: blocks of two sequence numbers (RFC 2018 section 3).
    Sack(&'a [u8]),
    /// Timestamps, value and echo reply (RFC 7323 section 3).
    Timestamps(u32, u32),
    /// Any other kind with its content.
    Unknown(u8, &'a [u8]),
}

impl TcpOption<'_> {
    /// Appends the option; the caller pads the whole to a multiple of 4 bytes, with 1 (no operation) or 0 (end).
    pub fn emit(&self, out: &mut Vec<u8>) {
        let mut put = |kind, content: &[u8]| {
            out.extend([kind, content.len() as u8 + 2]);
            out.extend(content);
        };
        match self {
            TcpOption::Mss(mss) => put(2, &mss.to_be_bytes()),
            TcpOption::WindowScale(shift) => put(3, &[*shift]),
            TcpOption::SackPermitted => put(4, &[]),
            TcpOption::Sack(blocks) => put(5, blocks),
            TcpOption::Timestamps(value, echo) => put(8, &[value.to_be_bytes(), echo.to_be_bytes()].concat()),
            TcpOption::Unknown(kind, content) => put(*kind, content),
        }
    }
}

/// Iterator over options. Padding is left out.
#[derive(Clone, Debug)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        loop {
            match self.0 {
                [] | [0, ..] | [_] => return None,
                [1, rest @ ..] => self.0 = rest,
                [kind, len, ..] => {
                    let (option, rest) = self.0.split_at_checked(usize::from(*len))?;
                    self.0 = rest;
                    let content = option.get(2..)?;
                    return Some(match (kind, content) {
                        (2, [a, b]) => TcpOption::Mss(u16::from_be_bytes([*a, *b])),
                        (3, [shift]) => TcpOption::WindowScale(*shift),
                        (4, []) => TcpOption::SackPermitted,
                        (5, blocks) if !blocks.is_empty() && blocks.len().is_multiple_of(8) => TcpOption::Sack(blocks),
                        (8, [a, b, c, d, e, f, g, h]) => TcpOption::Timestamps(
                            u32::from_be_bytes([*a, *b, *c, *d]),
                            u32::from_be_bytes([*e, *f, *g, *h]),
                        ),
                        _ => TcpOption::Unknown(*kind, content),
                    });
                }
            }
        }
    }
}

/// The header as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Reserved bits and flags, 12 bits.
    pub flags: Flags,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options: a multiple of 4 bytes, at most [`OPTIONS_MAX`].
    pub options: Vec<u8>,
}

impl Wire for Value {
    fn parse(bytes: &[u8]) -> Result<(Value, &[u8]), Error> {
        let View { header, options, payload } = View::parse(bytes)?;
        let value = Value {
            src: header.src.get(),
            dst: header.dst.get(),
            seq: header.seq.get(),
            ack: header.ack.get(),
            flags: header.flags(),
            window: header.window.get(),
            urgent: header.urgent.get(),
            options: options.to_vec(),
        };
        Ok((value, payload))
    }

    fn wire_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    fn emit<'a>(&self, out: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let len = self.wire_len();
        if self.options.len() > OPTIONS_MAX || !len.is_multiple_of(4) || self.flags.0 > 0xfff {
            return Err(Error::Unrepresentable);
        }
        let header = Header {
            src: self.src.into(),
            dst: self.dst.into(),
            seq: self.seq.into(),
            ack: self.ack.into(),
            offset_flags: ((len as u16 / 4) << 12 | self.flags.0).into(),
            window: self.window.into(),
            checksum: 0.into(),
            urgent: self.urgent.into(),
        };
        put_bytes(put(out, &header)?, &self.options)
    }
}

/// Makes the checksum of a whole segment right under the sum of its pseudo header.
pub fn fill_checksum(segment: &mut [u8], pseudo: Sum) -> Result<(), Error> {
    let (header, _) = crate::wire::split_mut::<Header>(segment)?;
    header.checksum = 0.into();
    let sum = pseudo.bytes(segment).finish();
    let (header, _) = crate::wire::split_mut::<Header>(segment)?;
    header.checksum = sum.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::check;
    use proptest::prelude::*;

    const BYTES: [u8; 25] = [
        0xd4, 0x31, 0x00, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 0x6a, 0xd2, 0xfa, 0xf0, 0xab, 0xcd, 0x00, 0x09, 2, 4, 5, 0xb4,
        77,
    ];

    #[test]
    fn each_field_is_where_it_belongs() {
        let view = View::parse(&BYTES).unwrap();
        assert_eq!((view.header.src.get(), view.header.dst.get()), (54_321, 80));
        assert_eq!((view.header.seq.get(), view.header.ack.get()), (0x0102_0304, 0x0506_0708));
        assert_eq!(view.header.flags(), Flags(0xad2));
        assert_eq!(view.header.flags().to_string(), "syn|ack|ece|cwr|[0xa00]");
        assert_eq!(view.header.window.get(), 64_240);
        assert_eq!(view.header.checksum.get(), 0xabcd);
        assert_eq!(view.header.urgent.get(), 9);
        assert_eq!(view.options().collect::<Vec<_>>(), [TcpOption::Mss(1460)]);
        assert_eq!(view.payload, [77]);
        let mut header = *view.header;
        header.set_flags(Flags::FIN);
        assert_eq!((header.header_len(), header.flags()), (24, Flags::FIN));
    }

    #[test]
    fn contradictions_are_refused() {
        let mut bytes = BYTES;
        bytes[12] = 0x40;
        assert_eq!(View::parse(&bytes).map(|_| ()), Err(Error::Length));
        bytes[12] = 0x70;
        assert_eq!(View::parse(&bytes).map(|_| ()), Err(Error::Truncated));
        for value in [
            Value { options: vec![0; 2], ..Value::default() },
            Value { options: vec![0; 44], ..Value::default() },
            Value { flags: Flags(0x1000), ..Value::default() },
        ] {
            assert_eq!(value.to_bytes(), Err(Error::Unrepresentable));
        }
    }

    #[test]
    fn options_round_trip_and_junk_ends_them() {
        let options = [
            TcpOption::Mss(1460),
            TcpOption::WindowScale(7),
            TcpOption::SackPermitted,
            TcpOption::Sack(&[1; 16]),
            TcpOption::Timestamps(1, 2),
            TcpOption::Unknown(254, &[9, 8, 7]),
            TcpOption::Unknown(2, &[1]),
        ];
        let mut bytes = vec![];
        for option in options {
            option.emit(&mut bytes);
            bytes.push(1);
        }
        bytes.extend([0, 2, 4, 5, 180]);
        assert_eq!(Options(&bytes).collect::<Vec<_>>(), options);
        for junk in [&[2][..], &[2, 0], &[2, 1, 0], &[2, 5, 0, 0], &[1, 1, 1]] {
            assert_eq!(Options(junk).count(), 0, "{junk:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            ports: (u16, u16), seq: u32, ack: u32, flags in 0..0x1000u16, window: u16, urgent: u16,
            options in prop::collection::vec(any::<[u8; 4]>(), 0..=10), payload: Vec<u8>, pseudo: u16,
        ) {
            let value = Value {
                src: ports.0, dst: ports.1, seq, ack, flags: Flags(flags), window, urgent, options: options.concat(),
            };
            check(&value, &payload);
            let mut bytes = value.to_bytes().unwrap();
            bytes.extend(&payload);
            let pseudo = Sum::new().word(pseudo);
            fill_checksum(&mut bytes, pseudo).unwrap();
            prop_assert!(View::parse(&bytes).unwrap().checksum_ok(pseudo));
        }
    }
}
