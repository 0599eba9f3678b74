//! `ofproto/trace` and `ofproto/trace-packet-out`: what would become of a packet, given by a flow of OpenFlow or of the
//! datapath (ovs-vswitchd(8)).

use flow::Flow;
use flow::compose::{compose, compose_with};
use flow::extract::{Metadata, extract_flow};
use flow::layout as l;
use flow::text::odp_parse::parse_packet;
use flow::text::parse::parse_match;
use flow::text::value::CT_STATE;
use openflow::action::parse_actions;
use openflow::{Action, OfPort};
use pipeline::trace::Request;

use super::dpctl;
use super::names::{FlowNames, Names};
use super::ports::shown_number;
use super::switch::Switch;

type Answer = Result<String, String>;

/// What stands among the arguments.
#[derive(Default)]
struct Options {
    generate: bool,
    names: bool,
    /// What a packet of the flow is to carry, and how long that is.
    payload: Option<Vec<u8>>,
    ct_next: Vec<u32>,
}

/// A packet whose way is wanted.
struct Wanted {
    bridge: String,
    flow: Flow,
    frame: Option<Vec<u8>>,
}

/// `ofproto/trace {[DP] ODP_FLOW | BRIDGE FLOW} [OPTIONS] [PACKET]`: with `-generate` as if the packet had come.
pub(super) fn trace(switch: &mut Switch, arguments: &[String]) -> Answer {
    let (options, words) = options(arguments)?;
    let wanted = wanted(switch, &words, &options)?;
    tell(switch, &wanted, None, &options)
}

/// `ofproto/trace-packet-out`: the same with the actions of a controller that sends it, last.
pub(super) fn packet_out(switch: &mut Switch, arguments: &[String]) -> Answer {
    let consistent = |a: &&String| matches!(a.as_str(), "-consistent" | "--consistent");
    // that matters where actions are written for an older protocol, and these are taken as the newest has them
    let rest: Vec<String> = arguments.iter().filter(|a| !consistent(a)).cloned().collect();
    let (options, mut words) = options(&rest)?;
    let text = words.pop().ok_or("actions are missing")?;
    let wanted = wanted(switch, &words, &options)?;
    let names = Names { snapshot: switch.manager.snapshot(), bridge: &wanted.bridge };
    let actions = parse_actions(text, &names).map_err(|e| e.to_string())?;
    tell(switch, &wanted, Some(&actions), &options)
}

/// `explain PORT PACKET`: what becomes of a packet that comes in by a port, why, and why not otherwise.
pub(super) fn explain(switch: &mut Switch, arguments: &[String]) -> Answer {
    let [name, packet] = arguments else { return Err("a port and a packet are expected".into()) };
    let snapshot = switch.manager.snapshot();
    let found = snapshot
        .bridges
        .iter()
        .flatten()
        .find_map(|b| b.port_named(name).map(|port| (b.name.to_string(), port.number)));
    let (bridge, number) = found.ok_or_else(|| format!("{name}: no bridge has such a port"))?;
    let bytes = packet::hex::parse(packet).map_err(|_| "Invalid packet data format")?;
    let number = if number == OfPort::LOCAL { 0xfffe } else { shown_number(number) };
    let mut given = Flow::default();
    given.set(l::IN_PORT, number.into());
    let flow = of_packet(switch, &given, &bytes)?;
    let request = Request { flow, frame: Some(&bytes), names: true, why: true, ..Request::default() };
    switch.manager.trace_request(&bridge, &request, switch.clock.now()).map_err(|e| e.to_string())
}

fn tell(switch: &mut Switch, wanted: &Wanted, actions: Option<&[Action]>, options: &Options) -> Answer {
    let frame = wanted.frame.as_deref();
    let (ct_next, names) = (options.ct_next.as_slice(), options.names);
    let request = Request { flow: wanted.flow.clone(), frame, actions, ct_next, names, acts: false, why: false };
    let now = switch.clock.now();
    let told = match options.generate {
        true => switch.manager.trace_packet(&wanted.bridge, &request, now),
        false => switch.manager.trace_request(&wanted.bridge, &request, now),
    };
    told.map_err(|e| e.to_string())
}

/// Options, and the words that are none.
fn options(arguments: &[String]) -> Result<(Options, Vec<&str>), String> {
    let (mut options, mut words) = (Options::default(), Vec::new());
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(word) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("Missing argument for option {word}"));
        match word {
            "-generate" | "--generate" => options.generate = true,
            "-names" | "--names" => options.names = true,
            "-no-names" | "--no-names" => options.names = false,
            "-ct-next" | "--ct-next" => options.ct_next.push(ct_state(value()?)?),
            "-l7" | "--l7" => {
                let bytes = packet::hex::parse(value()?);
                options.payload = Some(bytes.map_err(|_| "Invalid packet data format")?);
            }
            "-l7-len" | "--l7-len" => {
                let length = value()?.parse::<u16>().map_err(|e| format!("--l7-len: {e}"))?;
                options.payload = Some((0..length).map(|i| i as u8).collect());
            }
            "-consistent" | "--consistent" => {
                return Err("--consistent: there are no actions to check; use ofproto/trace-packet-out".into());
            }
            word => words.push(word),
        }
    }
    Ok((options, words))
}

/// The state of a connection by the names of its flags.
fn ct_state(text: &str) -> Result<u32, String> {
    let mut state = 0;
    for name in text.split([',', '|', ' ']).filter(|name| !name.is_empty()) {
        let flag = CT_STATE.iter().find(|(known, _)| *known == name);
        state |= flag.ok_or_else(|| format!("{name}: unknown connection tracking state flag"))?.1;
    }
    // whatever the tracker says, it has looked
    Ok(state | CT_STATE.iter().find(|(name, _)| *name == "trk").map_or(0, |(_, bit)| *bit))
}

fn wanted(switch: &Switch, words: &[&str], options: &Options) -> Result<Wanted, String> {
    let hex = |text: &str| packet::hex::parse(text).ok().filter(|bytes| !bytes.is_empty());
    let (place, text, packet) = match *words {
        [text] => (None, text, None),
        [text, packet] if hex(packet).is_some() => (None, text, hex(packet)),
        [place, text] => (Some(place), text, None),
        [place, text, packet] => (Some(place), text, Some(hex(packet).ok_or("Trailing garbage in packet data")?)),
        [] => return Err("a flow is missing".into()),
        _ => return Err("too many arguments".into()),
    };
    if packet.is_some() && (options.generate || options.payload.is_some()) {
        return Err("-generate and a packet exclude each other".into());
    }
    let number = |name: &str| switch.ports.iter().find(|(_, p)| p.name == name).map(|(no, _)| no.0);
    let (bridge, mut flow) = match (parse_packet(text, &number), place) {
        (Ok(_), Some(place)) if !dpctl::is_datapath(switch, place) => {
            return Err("Cannot find the datapath".into());
        }
        (Ok(flow), _) => of_datapath(switch, flow)?,
        (Err(e), None) => return Err(format!("{e} (or the bridge name was omitted)")),
        (Err(_), Some(bridge)) => {
            let snapshot = switch.manager.snapshot();
            snapshot.bridge_named(bridge).ok_or_else(|| format!("{bridge}: unknown bridge"))?;
            let names = Names { snapshot, bridge };
            let parsed = parse_match(text, &FlowNames(&names)).map_err(|e| e.to_string())?;
            let (mut flow, mask) = parsed.matching.expand();
            // a packet that nobody says where it comes from comes from no port
            if mask.get(l::IN_PORT) == 0 {
                flow.set(l::IN_PORT, 0xffff);
            }
            (bridge.to_owned(), flow)
        }
    };
    let frame = match packet {
        Some(bytes) => {
            flow = of_packet(switch, &flow, &bytes)?;
            Some(bytes)
        }
        None if options.generate || options.payload.is_some() => {
            let bytes = match &options.payload {
                Some(payload) => compose_with(&flow, payload),
                None => compose(&flow, None),
            };
            Some(bytes.map_err(|e| e.to_string())?)
        }
        None => None,
    };
    Ok(Wanted { bridge, flow, frame })
}

/// The flow of a packet, with what is no part of its bytes as given.
fn of_packet(switch: &Switch, given: &Flow, bytes: &[u8]) -> Result<Flow, String> {
    let metadata = Metadata { vlan_limit: switch.vlan_limit, ..Metadata::default() };
    let port = given.get64(l::IN_PORT) as u32;
    let mut flow = extract_flow(bytes, port, &metadata).map_err(|e| format!("packet: {e:?}"))?;
    for slot in
        [l::RECIRC_ID, l::DP_HASH, l::SKB_PRIORITY, l::PKT_MARK, l::CT_STATE, l::CT_ZONE, l::CT_MARK, l::CT_LABEL]
    {
        flow.set(slot, given.get(slot));
    }
    for slot in [l::TUN_ID, l::TUN_SRC, l::TUN_DST, l::TUN_IPV6_SRC, l::TUN_IPV6_DST] {
        flow.set(slot, given.get(slot));
    }
    Ok(flow)
}

/// A flow of the datapath as one of the bridge that its port is in, or that it goes on in.
fn of_datapath(switch: &Switch, mut flow: Flow) -> Result<(String, Flow), String> {
    let (port, recirc) = (flow.get64(l::IN_PORT) as u32, flow.get64(l::RECIRC_ID) as u32);
    let snapshot = switch.manager.snapshot();
    let (bridge, number) = match recirc {
        0 => {
            let at = snapshot.port(dpif::PortNo(port));
            let at = at.ok_or_else(|| format!("no OpenFlow port for datapath port {port}"))?;
            (at.bridge, at.port)
        }
        id => switch
            .manager
            .recirculated(dpif::RecircId(id))
            .ok_or_else(|| format!("no recirculation data for recirc_id {id:#x}"))?,
    };
    let bridge = snapshot.bridge(bridge).ok_or_else(|| format!("no bridge for datapath port {port}"))?;
    // as 16 bits, which is what matches have
    let number = if number == OfPort::LOCAL { 0xfffe } else { shown_number(number) };
    flow.set(l::IN_PORT, number.into());
    Ok((bridge.name.to_string(), flow))
}
