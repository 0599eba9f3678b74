//! Reading what is neither a flow nor a group: meters, packets to send, where tunnel options are (ovs-ofctl(8), "Meter
//! Syntax", "Packet-Out Syntax" and "OpenFlow Switch Geneve Option Mapping").

use flow::text::parse::MatchBuilder;

use super::error::{Result, bail};
use super::names::{ForFlow, PortNames};
use super::number::{hex_bytes, u8_named, u16_named, u32_plain};
use super::scan::Items;
use crate::action::parse_actions;
use crate::types::{MeterId, OfPort};
use crate::wire::meter::{Band, BandKind, MeterCommand, MeterMod, meter_flag};
use crate::wire::packet::{PacketOut, is_pipeline, port_metadata};
use crate::wire::tlv::TlvMap;
use flow::layout::IN_PORT;

/// Meters that have names in place of numbers.
pub const RESERVED_METERS: [(&str, MeterId); 3] =
    [("all", MeterId(u32::MAX)), ("controller", MeterId(u32::MAX - 1)), ("slowpath", MeterId(u32::MAX - 2))];

/// Reads a meter: `meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100`. Deletions need no bands.
pub fn parse_meter(text: &str, command: MeterCommand) -> Result<MeterMod> {
    let (settings, bands) = match text.find("band") {
        Some(at) => {
            let (settings, rest) = text.split_at(at);
            (settings, rest.split_once('=').map(|(_, bands)| bands))
        }
        None => (text, None),
    };
    let needs = command != MeterCommand::Delete;
    if needs && bands.is_none() {
        bail!("must specify bands");
    }
    let mut meter = MeterMod { command, ..MeterMod::default() };
    let (mut id, mut unit) = (None, false);
    for item in Items::new(settings) {
        let flag = match item.key {
            "kbps" => meter_flag::KBPS,
            "pktps" => meter_flag::PKTPS,
            "burst" => meter_flag::BURST,
            "stats" => meter_flag::STATS,
            "meter" => {
                let named = RESERVED_METERS.iter().find(|(name, _)| *name == item.value);
                id = Some(match named {
                    Some((_, id)) => *id,
                    None => MeterId(u32_plain(item.value)?),
                });
                continue;
            }
            other => bail!("unknown keyword {other}"),
        };
        unit |= flag & (meter_flag::KBPS | meter_flag::PKTPS) != 0;
        meter.meter.flags |= flag;
    }
    let Some(id) = id else { bail!("must specify 'meter'") };
    meter.meter.id = id;
    if needs && !unit {
        bail!("meter must specify either 'kbps' or 'pktps'");
    }
    let mut rate = true;
    for item in Items::new(bands.unwrap_or("")) {
        if item.key == "type" {
            if !rate {
                bail!("band must have 'rate'");
            }
            rate = false;
            let kind = match item.value {
                "drop" => BandKind::Drop,
                "dscp_remark" => BandKind::DscpRemark(0),
                other => bail!("field type unknown value {other}"),
            };
            meter.meter.bands.push(Band { kind, ..Band::default() });
            continue;
        }
        let Some(band) = meter.meter.bands.last_mut() else { bail!("band must start with the 'type' keyword") };
        match item.key {
            "rate" => {
                band.rate = u32_plain(item.value)?;
                rate = true;
            }
            "burst_size" => band.burst = u32_plain(item.value)?,
            "prec_level" => band.kind = BandKind::DscpRemark(u8_named(item.value, "prec_level")?),
            other => bail!("unknown keyword {other}"),
        }
    }
    if !rate {
        bail!("band must have 'rate'");
    }
    Ok(meter)
}

/// Reads a packet to send: `in_port=1, packet=HEX, actions=…`.
pub fn parse_packet_out(text: &str, names: &dyn PortNames) -> Result<PacketOut> {
    let (fields, actions) = match text.find("action") {
        Some(at) => {
            let (fields, rest) = text.split_at(at);
            (fields, rest.split_once('=').map(|(_, actions)| actions))
        }
        None => (text, None),
    };
    let for_flow = ForFlow(names);
    let mut metadata = MatchBuilder::new(&for_flow);
    let mut packet = None;
    for item in Items::new(fields) {
        let (key, value) = (item.key, item.value);
        if matches!(key, "packet") {
            packet = Some(packet_of(value)?);
            continue;
        }
        let pipeline = super::field::by_any_name(key).is_none() || is_pipeline(key);
        let bare = item.whole == key;
        if !pipeline {
            bail!("{key} is not a valid pipeline field for PACKET_OUT");
        }
        // this one keeps its parentheses
        let typed = (key == "packet_type" && !value.starts_with('(')).then(|| format!("({value})"));
        let value = typed.as_deref().unwrap_or(value);
        if !metadata.pair(key, (!bare).then_some(value))? {
            bail!("unknown keyword {key}");
        }
    }
    let Some(packet) = packet else { bail!("must specify packet") };
    let mut metadata = metadata.finish()?.matching;
    if metadata.get(IN_PORT).1 == 0 {
        let none = port_metadata(OfPort::NONE);
        let (value, mask) = none.get(IN_PORT);
        metadata = metadata.with(IN_PORT, value, mask);
    }
    let actions = actions.map_or(Ok(Vec::new()), |text| parse_actions(text, names))?;
    Ok(PacketOut { packet, buffer: None, metadata, actions })
}

/// An Ethernet frame in hexadecimal.
fn packet_of(text: &str) -> Result<Vec<u8>> {
    let Some(packet) = hex_bytes(text) else { bail!("packet: Trailing garbage in packet data") };
    if packet.len() < 14 {
        bail!("packet: Packet data too short for Ethernet");
    }
    Ok(packet)
}

/// Reads where tunnel options are: `{class=0xffff,type=0,len=4}->tun_metadata0`, several separated by commas.
pub fn parse_tlv_maps(text: &str) -> Result<Vec<TlvMap>> {
    let mut maps = Vec::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let Some((option, after)) = rest.strip_prefix('{').and_then(|r| r.split_once("}->tun_metadata")) else {
            bail!("invalid tlv mapping");
        };
        let end = after.find([',', ' ']).unwrap_or(after.len());
        let (index, tail) = after.split_at(end);
        let mut map = TlvMap { class: 0, kind: 0, len: 0, index: u16_named(index, "tun_metadata")? };
        for item in Items::new(option) {
            match item.key {
                "class" => map.class = u16_named(item.value, "class")?,
                "type" => map.kind = u8_named(item.value, "type")?,
                "len" => map.len = u8_named(item.value, "len")?,
                _ => bail!("invalid tlv mapping"),
            }
        }
        maps.push(map);
        rest = tail.trim_start_matches([',', ' ']);
    }
    Ok(maps)
}
