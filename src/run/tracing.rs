//! `ofproto/trace`: what would become of a packet, given by a flow of OpenFlow or of the datapath.

use flow::Flow;
use flow::compose::compose;
use flow::extract::{Metadata, extract_flow};
use flow::layout as l;
use flow::text::odp_parse::parse_packet;
use flow::text::parse::parse_match;
use openflow::OfPort;

use super::dpctl;
use super::names::{FlowNames, Names};
use super::ports::shown_number;
use super::switch::Switch;

type Answer = Result<String, String>;

/// `ofproto/trace {[DP] ODP_FLOW | BRIDGE FLOW} [-generate|PACKET]`: with `-generate` as if the packet had come.
pub(super) fn trace(switch: &mut Switch, arguments: &[String]) -> Answer {
    let generates = |word: &&str| matches!(*word, "-generate" | "--generate");
    let generate = arguments.iter().any(|a| generates(&a.as_str()));
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !generates(a)).collect();
    if let Some(option) = words.iter().skip(1).find(|w| w.starts_with('-')) {
        return Err(format!("{option}: not supported by this trace"));
    }
    let (bridge, mut flow, packet) = match words.as_slice() {
        [bridge, text, packet @ ..] if switch.manager.snapshot().bridge_named(bridge).is_some() => {
            let names = Names { snapshot: switch.manager.snapshot(), bridge };
            let parsed = parse_match(text, &FlowNames(&names)).map_err(|e| e.to_string())?;
            ((*bridge).to_owned(), parsed.matching.expand().0, packet.first())
        }
        [datapath, text, packet @ ..] if dpctl::is_datapath(switch, datapath) => {
            let (bridge, flow) = of_datapath(switch, text)?;
            (bridge, flow, packet.first())
        }
        [text] => {
            let (bridge, flow) = of_datapath(switch, text)?;
            (bridge, flow, None)
        }
        [name, ..] => return Err(format!("{name}: unknown bridge or datapath")),
        [] => return Err("a flow is missing".into()),
    };
    let frame = match packet {
        Some(_) if generate => return Err("-generate and a packet exclude each other".into()),
        Some(hex) => Some(packet::hex::parse(hex).map_err(|e| format!("packet: {e}"))?),
        None if generate => Some(compose(&flow, None).map_err(|e| e.to_string())?),
        None => None,
    };
    if let Some(bytes) = frame.as_ref().filter(|_| !generate) {
        let in_port = flow.get64(l::IN_PORT);
        let metadata = Metadata { vlan_limit: switch.vlan_limit, ..Metadata::default() };
        flow = extract_flow(bytes, in_port as u32, &metadata).map_err(|e| format!("packet: {e:?}"))?;
    }
    let now = switch.clock.now();
    let told = match &frame {
        Some(bytes) if generate => switch.manager.trace_packet(&bridge, &flow, bytes, now),
        frame => switch.manager.trace(&bridge, &flow, frame.as_deref(), now),
    };
    told.map_err(|e| e.to_string())
}

/// A flow of the datapath as one of the bridge that its port is in.
fn of_datapath(switch: &Switch, text: &str) -> Result<(String, Flow), String> {
    let number = |name: &str| switch.ports.iter().find(|(_, p)| p.name == name).map(|(no, _)| no.0);
    let mut flow = parse_packet(text, &number).map_err(|e| format!("bad flow: {e}"))?;
    if flow.get64(l::RECIRC_ID) != 0 {
        return Err("a flow that was recirculated cannot be traced by its datapath flow".into());
    }
    let port = flow.get64(l::IN_PORT) as u32;
    let snapshot = switch.manager.snapshot();
    let at = snapshot.port(dpif::PortNo(port)).ok_or_else(|| format!("no OpenFlow port for datapath port {port}"))?;
    let bridge = snapshot.bridge(at.bridge).ok_or_else(|| format!("no bridge for datapath port {port}"))?;
    // as 16 bits, which is what matches have
    let number = if at.port == OfPort::LOCAL { 0xfffe } else { shown_number(at.port) };
    flow.set(l::IN_PORT, number.into());
    Ok((bridge.name.to_string(), flow))
}
