//! VLAN tags: `push_vlan`, `strip_vlan`, `mod_vlan_vid`, `mod_vlan_pcp`.

use super::{Action, Printer, Reader};
use crate::text::error::{Result, bail};
use crate::text::number;
use crate::text::scan::Item;
use crate::view::Version;
use flow::fields::prereq::eth_type;

pub(super) fn parse(name: &str, item: &Item, _: &Reader) -> Option<Result<Action>> {
    let arg = item.value;
    Some(match name {
        "mod_vlan_vid" => vid(arg, true),
        "set_vlan_vid" => vid(arg, false),
        "mod_vlan_pcp" => pcp(arg, true),
        "set_vlan_pcp" => pcp(arg, false),
        "strip_vlan" | "pop_vlan" => Ok(Action::StripVlan),
        "push_vlan" => push(arg),
        _ => return None,
    })
}

fn vid(arg: &str, push: bool) -> Result<Action> {
    let vid = number::u16_named(arg, "VLAN VID")?;
    if vid > 0xfff {
        bail!("{arg}: not a valid VLAN VID");
    }
    Ok(Action::SetVlanVid { vid, push })
}

fn pcp(arg: &str, push: bool) -> Result<Action> {
    let pcp = number::u8_named(arg, "VLAN PCP")?;
    if pcp > 7 {
        bail!("{arg}: not a valid VLAN PCP");
    }
    Ok(Action::SetVlanPcp { pcp, push })
}

fn push(arg: &str) -> Result<Action> {
    let ethertype = number::u16_named(arg, "ethertype")?;
    if !matches!(ethertype, eth_type::VLAN | eth_type::QINQ) {
        bail!("{arg}: not a valid VLAN ethertype");
    }
    Ok(Action::PushVlan(ethertype))
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    let verb = |push: bool| if push { "mod" } else { "set" };
    Some(match action {
        Action::SetVlanVid { vid, push } => format!("{}_vlan_vid:{vid}", verb(*push)),
        Action::SetVlanPcp { pcp, push } => format!("{}_vlan_pcp:{pcp}", verb(*push)),
        // OpenFlow 1.0's name for it, and that of the later ones.
        Action::StripVlan if p.version == Version::Of15 => "pop_vlan".to_owned(),
        Action::PushVlan(ethertype) => format!("push_vlan:{ethertype:#06x}"),
        _ => return None,
    })
}
