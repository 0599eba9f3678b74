//! The actions of OpenFlow 1.0 (OpenFlow 1.0.0, section 5.2.4).
#![deny(clippy::indexing_slicing)]

use super::{plain, port16, to_port16};
use crate::action::{Action, SetField, SetStyle};
use crate::subfield::FieldId;
use crate::types::OfPort;
use crate::wire::bytes::{Bytes, Put};
use crate::wire::codes::*;
use crate::wire::error::{Result, refuse};

/// Actions that write a field: type, field, bytes of the value, bytes after it.
const SETS: [(u16, FieldId, usize, usize); 7] = [
    (4, FieldId::EthSrc, 6, 6),
    (5, FieldId::EthDst, 6, 6),
    (6, FieldId::IpSrc, 4, 0),
    (7, FieldId::IpDst, 4, 0),
    (8, FieldId::NwTos, 1, 3),
    (9, FieldId::TcpSrc, 2, 2),
    (10, FieldId::TcpDst, 2, 2),
];

/// Ports that an output of OpenFlow 1.0 may name.
fn output_port(port: OfPort) -> Result<OfPort> {
    let reserved = matches!(
        port,
        OfPort::IN_PORT
            | OfPort::TABLE
            | OfPort::NORMAL
            | OfPort::FLOOD
            | OfPort::ALL
            | OfPort::CONTROLLER
            | OfPort::LOCAL
            | OfPort::UNSET
    );
    if port < OfPort::MAX || reserved { Ok(port) } else { refuse(OFPBAC_BAD_OUT_PORT) }
}

pub(super) fn read(kind: u16, b: &mut Bytes) -> Result<Action> {
    if let Some((_, field, bytes, after)) = SETS.iter().find(|(k, ..)| *k == kind) {
        let value = crate::wire::bytes::number(b.take(*bytes)?);
        b.skip(*after)?;
        return super::standard::modify(*field, value);
    }
    Ok(match kind {
        0 => {
            let (port, max_len) = (output_port(port16(b)?)?, b.u16()?);
            Action::Output { port, max_len }
        }
        1 => {
            let vid = b.u16()?;
            b.skip(2)?;
            if vid > 0xfff {
                return refuse(OFPBAC_BAD_ARGUMENT);
            }
            Action::SetVlanVid { vid, push: true }
        }
        2 => {
            let pcp = b.u8()?;
            b.skip(3)?;
            if pcp > 7 {
                return refuse(OFPBAC_BAD_ARGUMENT);
            }
            Action::SetVlanPcp { pcp, push: true }
        }
        3 => {
            b.skip(4)?;
            Action::StripVlan
        }
        11 => {
            let port = port16(b)?;
            b.skip(6)?;
            let queue = b.u32()?;
            if port >= OfPort::MAX && !matches!(port, OfPort::IN_PORT | OfPort::LOCAL) {
                return refuse(OFPBAC_BAD_OUT_PORT);
            }
            Action::Enqueue { port, queue }
        }
        _ => return refuse(OFPBAC_BAD_TYPE),
    })
}

/// Writes what OpenFlow 1.0 has an action for; false when it is an extension's.
pub(super) fn write(out: &mut Vec<u8>, action: &Action) -> bool {
    match action {
        Action::Output { port, max_len } => plain(out, 0, |o| {
            o.u16(to_port16(*port));
            o.u16(*max_len);
        }),
        Action::SetVlanVid { vid, .. } => plain(out, 1, |o| o.u16(*vid)),
        Action::SetVlanPcp { pcp, .. } => plain(out, 2, |o| o.u8(*pcp)),
        Action::StripVlan => plain(out, 3, |_| {}),
        // a tag comes with the VID or the priority that is set
        Action::PushVlan(_) => true,
        Action::Enqueue { port, queue } => plain(out, 11, |o| {
            o.u16(to_port16(*port));
            o.zeros(6);
            o.u32(*queue);
        }),
        Action::SetField(SetField { field, value, style: SetStyle::Mod, .. }) => {
            let Some((kind, _, bytes, after)) = SETS.iter().find(|(_, f, ..)| f == field) else { return false };
            plain(out, *kind, |o| {
                o.number(*value, *bytes);
                o.zeros(*after);
            })
        }
        _ => false,
    }
}
