//! `compose-packet`, the packet that a flow has, and `parse-packet`, the flow that a packet has.

use super::capture::NO_PORT;
use super::offline::{contents, plain_dump};
use super::{Call, Done};
use crate::setup::print;
use flow::compose::{compose, compose_with};
use flow::extract::{Metadata, extract_flow};
use flow::layout::IN_PORT;
use flow::text::NoNames;
use flow::text::format::{format_flow, format_masked, packet_mask};
use flow::text::parse::{Tokens, parse_match};
use flow::{FieldId, Flow};
use openflow::text::field::by_any_name;
use openflow::text::message::packet_text;

/// A flow of which every field that is said is said whole; one that says no port came by none.
fn exact(text: &str) -> Result<Flow, String> {
    let matching = parse_match(text, &NoNames).map_err(|e| format!("{text}: {e}"))?.matching;
    let (mut flow, mask) = matching.expand();
    for (key, value) in Tokens::new(text) {
        let Some(row) = by_any_name(key).map(FieldId::row) else { continue };
        let (_, bits) = row.get_match(&flow, &mask);
        if bits != row.full_mask() {
            let value = value.unwrap_or_default();
            return Err(format!("{text}: bad value for {key} ({value}: wildcards not allowed here)"));
        }
    }
    if matching.get(IN_PORT).1 == 0 {
        flow.set(IN_PORT, u128::from(NO_PORT));
    }
    Ok(flow)
}

pub(super) fn compose_packet(call: &Call) -> Done {
    let flow = exact(call.argument(0))?;
    let bytes = match call.arguments.get(1) {
        None => compose(&flow, None),
        Some(digits) => {
            let payload =
                packet::hex::parse(digits).map_err(|_| format!("{digits}: trailing garbage in packet data"))?;
            compose_with(&flow, &payload)
        }
    };
    let bytes = bytes.map_err(|e| format!("{}: {e}", call.argument(0)))?;
    print(&plain_dump(&bytes));
    // what headers cannot say is not in the packet
    let told = extract_flow(&bytes, NO_PORT, &Metadata { vlan_limit: 2, ..Metadata::default() }).unwrap_or_default();
    let (asked, got) = (format_flow(&flow, &NoNames), format_flow(&told, &NoNames));
    if got != asked {
        eprint!("specified and extracted flows differ:\nspecified: {asked}\nextracted: {got}");
        return Err(String::new());
    }
    Ok(())
}

pub(super) fn parse_packet(_: &Call) -> Done {
    let bytes = contents("-")?;
    match extract_flow(&bytes, NO_PORT, &Metadata::default()) {
        Ok(_) => print(&packet_text(&bytes)),
        // what is too short for an Ethernet header has nothing in any field
        Err(_) => {
            let flow = Flow::default();
            let mut mask = packet_mask(&flow);
            mask.set(IN_PORT, 0);
            print(&format!("{}\n", format_masked(&flow, &mask, &NoNames)));
        }
    }
    Ok(())
}
