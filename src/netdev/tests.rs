//! What is restored from what the kernel hands over.

use packet::frame::L4Sum;
use packet::virtio::SHORT_LEN;

use crate::afpacket::{frame, header};

/// A UDP packet with an unfinished checksum behind its virtio header.
fn partial() -> Vec<u8> {
    let mut out = vec![1, 0, 0, 0, 0, 0, 34, 0, 6, 0];
    out.extend_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    out.extend_from_slice(&[0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend_from_slice(&[0, 1, 0, 2, 0, 12, 0, 0, 1, 2, 3, 4]);
    out
}

#[test]
fn partial_checksum_becomes_metadata_and_goes_back() {
    let bytes = partial();
    let f = frame(&bytes, None).unwrap();
    assert_eq!(f.offload().l4_sum, L4Sum::Udp);
    assert_eq!(f.to_vec(), &bytes[SHORT_LEN..]);
    let (head, ok) = header(&f);
    assert!(ok);
    assert_eq!((head[0], head[6], head[8]), (1, 34, 6));
}

#[test]
fn stripped_tag_is_put_back() {
    let bytes = partial();
    let f = frame(&bytes, Some((0x88a8, 0x2005))).unwrap();
    let data = f.to_vec();
    assert_eq!(&data[12..18], &[0x88, 0xa8, 0x20, 0x05, 8, 0]);
    assert_eq!(data.len(), bytes.len() - SHORT_LEN + 4);
    assert_eq!(f.offload().l4_sum, L4Sum::Udp);
    assert_eq!(header(&f).0[6], 38);
}

#[test]
fn every_prefix_is_no_panic() {
    let bytes = partial();
    for n in 0..bytes.len() {
        let _ = frame(&bytes[..n], None);
        let _ = frame(&bytes[..n], Some((0x8100, 1)));
    }
}

#[test]
fn no_such_interface_is_named() {
    let e = crate::afpacket::open("no-such-if").err().unwrap().to_string();
    assert_eq!(e, "no kernel interface is named \"no-such-if\"");
}
