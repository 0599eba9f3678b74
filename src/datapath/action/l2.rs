//! Ethernet addresses, VLAN tags, MPLS labels.

use packet::Frame;

use super::Done;
use super::locate::{BAD, be16, be32, behind_tags, headers, l3, put};

fn merge6(data: &mut [u8], at: usize, value: &[u8; 6], mask: &[u8; 6]) -> Option<()> {
    let to = data.get_mut(at..at + 6)?;
    for ((t, v), m) in to.iter_mut().zip(value).zip(mask) {
        *t = *t & !m | v & m;
    }
    Some(())
}

pub(super) fn set_eth(frame: &mut Frame, src: &[u8; 6], src_mask: &[u8; 6], dst: &[u8; 6], dst_mask: &[u8; 6]) -> Done {
    let data = headers(frame);
    merge6(data, 0, dst, dst_mask).and_then(|()| merge6(data, 6, src, src_mask)).ok_or(BAD)
}

/// Puts a tag behind the addresses. DEI of the tag is 0: its place says "present" in the flow.
pub(super) fn push_vlan(frame: &mut Frame, tpid: u16, tci: u16) -> Done {
    insert(frame, 12, 4, |tag| {
        let _ = put(tag, 0, &tpid.to_be_bytes());
        let _ = put(tag, 2, &(tci & !0x1000).to_be_bytes());
    })
}

/// Makes room for `n` bytes at `at` by moving what is before it forward.
fn insert(frame: &mut Frame, at: usize, n: usize, fill: impl FnOnce(&mut [u8])) -> Done {
    if headers(frame).len() < at {
        return Err(BAD);
    }
    frame.prepend(n).ok_or(dpif::DropReason::NoBuffer)?;
    let data = headers(frame);
    if data.len() < at + n {
        return Err(BAD);
    }
    data.copy_within(n..n + at, 0);
    fill(data.get_mut(at..at + n).ok_or(BAD)?);
    Ok(())
}

/// Takes `n` bytes at `at` out.
fn cut(frame: &mut Frame, at: usize, n: usize) -> Done {
    let data = headers(frame);
    if data.len() < at + n {
        return Err(BAD);
    }
    data.copy_within(..at, n);
    if frame.pull(n) { Ok(()) } else { Err(BAD) }
}

pub(super) fn pop_vlan(frame: &mut Frame) -> Done {
    match be16(headers(frame), 12) {
        Some(0x8100 | 0x88a8) => cut(frame, 12, 4),
        Some(_) => Ok(()),
        None => Err(BAD),
    }
}

pub(super) fn set_vlan(frame: &mut Frame, tci: u16, mask: u16) -> Done {
    let data = headers(frame);
    let (Some(0x8100 | 0x88a8), Some(old)) = (be16(data, 12), be16(data, 14)) else { return Err(BAD) };
    // the bit beside them (DEI) is not one that flows know: like with a tag that is pushed, it is 0 in what is written
    put(data, 14, &((old & !mask | tci & mask) & !0x1000).to_be_bytes()).ok_or(BAD)
}

/// Puts a label behind the `tags` tags that flows look at.
pub(super) fn push_mpls(frame: &mut Frame, lse: u32, ethertype: u16, tags: u8) -> Done {
    let at = behind_tags(headers(frame), tags).ok_or(BAD)?.at;
    insert(frame, at, 4, |label| {
        let _ = put(label, 0, &lse.to_be_bytes());
    })?;
    put(headers(frame), at - 2, &ethertype.to_be_bytes()).ok_or(BAD)
}

pub(super) fn pop_mpls(frame: &mut Frame, ethertype: u16) -> Done {
    let l3 = l3(headers(frame)).ok_or(BAD)?;
    if l3.kind != 0x8847 && l3.kind != 0x8848 {
        return Err(BAD);
    }
    cut(frame, l3.at, 4)?;
    put(headers(frame), l3.at - 2, &ethertype.to_be_bytes()).ok_or(BAD)
}

pub(super) fn set_mpls(frame: &mut Frame, lse: u32, mask: u32) -> Done {
    let data = headers(frame);
    let l3 = l3(data).ok_or(BAD)?;
    if l3.kind != 0x8847 && l3.kind != 0x8848 {
        return Err(BAD);
    }
    let old = be32(data, l3.at).ok_or(BAD)?;
    put(data, l3.at, &(old & !mask | lse & mask).to_be_bytes()).ok_or(BAD)
}
