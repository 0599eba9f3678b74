//! Packets that go to controllers and come from them, and flows that are gone.

use base::clock::Instant;
use flow::fields::FieldId;
use flow::fields::value::port_from_11;
use flow::layout::{IN_PORT, KEY_WORDS, PACKET_TYPE};
use flow::{Flow, Mask, Match};
use openflow::action::PacketInReason;
use openflow::wire::codes::*;
use openflow::wire::flow::FlowRemoved;
use openflow::wire::packet::{PacketIn, PacketInFormat, PacketOut};
use openflow::wire::{Error, Message, Version};
use openflow::{Cookie, OfPort, TableId};
use packet::Frame;
use pipeline::recirc::Told;

use super::Connection;
use super::handle::told;
use crate::run::switch::{Later, Switch};

/// Packets for controllers that are brought in a turn.
const PACKETS: usize = 256;
/// An Ethernet header.
const SHORTEST: usize = 14;

/// Brings packets to the connections of their bridges that want them.
pub(super) fn bring(switch: &mut Switch, now: Instant) {
    for _ in 0..PACKETS {
        let Some(packet) = switch.manager.take_packet() else { break };
        let Some(bridge) = switch.manager.snapshot().bridge(packet.about.bridge) else { continue };
        let about = &packet.about;
        let openflow = &mut switch.openflow;
        for connection in openflow.connections.values_mut().filter(|c| *c.bridge == *bridge.name) {
            let session = &connection.session;
            if session.wants_packet(about.reason) && session.controller_id == about.controller {
                let message = Message::PacketIn(packet_in(connection, &packet));
                // what a peer does not read is not kept for it without end
                let port = OfPort(about.in_port.0);
                openflow.dropped += u64::from(!connection.bring(&message, port, about.reason, now));
            }
        }
    }
}

fn packet_in(connection: &Connection, packet: &Told) -> PacketIn {
    let about = &packet.about;
    let most = match about.reason {
        PacketInReason::NoMatch => connection.session.miss_send_len,
        _ => about.max_len,
    };
    let (length, most) = (packet.bytes.len(), usize::from(most));
    PacketIn {
        format: connection.session.packet_in_format,
        packet: packet.bytes.get(..most.min(length)).unwrap_or_default().to_vec(),
        total_len: length as u32,
        buffer: None,
        // from OpenFlow 1.3 on, a flow of a table's for what matches no other tells of just that
        reason: match connection.session.version {
            Some(version) if about.table_miss && version >= Version::Of13 => PacketInReason::NoMatch,
            _ => about.reason,
        },
        table: Some(TableId(about.table)),
        cookie: Some(Cookie(about.cookie)),
        metadata: metadata(packet),
        userdata: about.userdata.clone(),
        continuation: about.resume.map(continuation),
    }
}

/// What a controller is told beside a packet, beside the port that it came in by and registers.
const BESIDE: [FieldId; 18] = {
    use FieldId::*;
    [
        Metadata,
        PktMark,
        TunId,
        TunSrc,
        TunDst,
        TunIpv6Src,
        TunIpv6Dst,
        TunGbpId,
        TunGbpFlags,
        CtState,
        CtZone,
        CtMark,
        CtLabel,
        CtNwProto,
        CtNwSrc,
        CtNwDst,
        CtTpSrc,
        CtTpDst,
    ]
};

/// The port that it came in by, and whatever registers and fields beside the packet are not 0.
fn metadata(packet: &Told) -> Match {
    let mut flow = Flow::clone(&packet.flow);
    for (word, value) in flow.w.iter_mut().skip(KEY_WORDS).zip(&packet.about.registers) {
        *word = *value;
    }
    for (word, value, mask) in &packet.about.written {
        if let Some(place) = flow.w.get_mut(usize::from(*word)) {
            *place = *place & !mask | value;
        }
    }
    flow.set(IN_PORT, u128::from(port_from_11(packet.about.in_port.0).unwrap_or(0)));
    let (mut out, mut mask) = (Flow::default(), Mask::default());
    let registers = (0..16).filter_map(FieldId::reg);
    for field in std::iter::once(FieldId::InPort).chain(registers).chain(BESIDE) {
        let row = field.row();
        let value = row.get(&flow);
        if value != 0 || field == FieldId::InPort {
            row.set_match(&mut out, &mut mask, value, row.full_mask());
        }
    }
    Match::new(&out, &mask)
}

/// What is before the number of what a packet waits for: padding to 8 bytes, and the head of a property of this switch's
/// own. ovs-ofctl takes a continuation that has no properties for none, and does not give the packet back.
const GOES_ON: [u8; 8] = [0, 0, 0, 0, 0x80, 0xff, 0, 8];

/// What a controller gives back to have the packet go on.
fn continuation(id: dpif::RecircId) -> Vec<u8> {
    [&GOES_ON[..], &id.0.to_be_bytes()].concat()
}

/// Has a packet go on that a controller gives back.
pub(super) fn resume(switch: &mut Switch, bridge: &str, packet: &PacketIn) -> Result<(), Error> {
    let number = packet.continuation.as_deref().and_then(|bytes| bytes.strip_prefix(&GOES_ON));
    let number = number.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let id = number.map(u32::from_be_bytes).ok_or_else(|| Error::new(NXR_STALE))?;
    if packet.packet.len() < SHORTEST {
        return Err(Error::because(OFPBRC_BAD_PACKET, "ofproto", "the packet is shorter than an Ethernet header"));
    }
    let now = switch.clock.now();
    let resumed = switch.manager.resume(bridge, dpif::RecircId(id), &packet.metadata, now);
    let id = resumed.map_err(|_| Error::new(NXR_STALE))?;
    switch.manager.publish();
    inject(switch, &packet.packet, id);
    Ok(())
}

/// Sends a controller's packet.
pub(super) fn send(switch: &mut Switch, bridge: &str, packet: PacketOut) -> Result<(), Error> {
    check(&packet)?;
    let now = switch.clock.now();
    let recirc = switch.manager.packet_out(bridge, &packet, now).map_err(|e| told(&e))?;
    // what it does is as the tables are with all that was asked before
    switch.manager.publish();
    inject(switch, &packet.packet, recirc);
    Ok(())
}

/// Whether a packet can be sent.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(packet: &PacketOut) -> Result<(), Error> {
    if packet.buffer.is_some() {
        return Err(Error::new(OFPBRC_BUFFER_UNKNOWN));
    }
    if packet.metadata.get(PACKET_TYPE).0 != 0 {
        return Err(Error::because(
            OFPBRC_BAD_PACKET,
            "ofproto",
            "packets without an Ethernet header are not supported",
        ));
    }
    if packet.packet.len() < SHORTEST {
        return Err(Error::because(OFPBRC_BAD_PACKET, "ofproto", "the packet is shorter than an Ethernet header"));
    }
    let port = packet.in_port();
    let real = port.0 < OfPort::MAX.0 && port.0 != 0;
    if !real && !matches!(port, OfPort::CONTROLLER | OfPort::LOCAL | OfPort::NONE) {
        return Err(Error::new(OFPBRC_BAD_PORT));
    }
    Ok(())
}

fn inject(switch: &mut Switch, packet: &[u8], id: dpif::RecircId) {
    switch.openflow.sent.0 += 1;
    switch.control.inject(Frame::from_slice(packet), id);
}

/// How many packets controllers sent so far. Finds out when they have gone their way, and what of them comes back to
/// controllers has been brought.
pub(super) fn follow(switch: &mut Switch) -> u64 {
    let (sent, gone) = switch.openflow.sent;
    if sent > gone {
        let ticket = switch.control.sync();
        let then = move |switch: &mut Switch| {
            let now = switch.clock.now();
            bring(switch, now);
            switch.openflow.sent.1 = switch.openflow.sent.1.max(sent);
            super::barriers(switch);
        };
        switch.tickets.insert(ticket, Later::Then(Box::new(then)));
    }
    sent
}

/// Sends packets of bundles that were committed.
pub(super) fn committed(switch: &mut Switch) {
    let sent = switch.manager.take_sent();
    if !sent.is_empty() {
        switch.manager.publish();
        sent.into_iter().for_each(|s| inject(switch, &s.packet, s.id));
    }
}

/// Tells of flows that went and had asked for it.
pub(super) fn flows_removed(switch: &mut Switch) {
    for gone in switch.manager.take_removed() {
        let Some(bridge) = switch.manager.snapshot().bridge(gone.bridge) else { continue };
        let rule = &gone.rule;
        let (packets, bytes, _) = rule.stats.get();
        let age = switch.clock.now().as_nanos().saturating_sub(rule.created.as_nanos());
        let removed = FlowRemoved {
            matching: rule.matching.clone(),
            cookie: rule.cookie,
            priority: rule.priority(),
            reason: gone.reason.wire(),
            table: Some(gone.table),
            duration: std::time::Duration::from_nanos(age),
            idle_timeout: rule.idle_timeout,
            hard_timeout: rule.hard_timeout,
            packets,
            bytes,
        };
        for connection in switch.openflow.connections.values().filter(|c| *c.bridge == *bridge.name) {
            let session = &connection.session;
            if session.wants_removed(removed.reason) {
                let nx = session.packet_in_format != PacketInFormat::Standard;
                connection.tell(&Message::FlowRemoved { removed: removed.clone(), nx });
            }
        }
    }
}
