//! MPLS labels and hop counts: `push_mpls`, `pop_mpls`, `set_mpls_*`, `dec_mpls_ttl`, `dec_ttl`, `dec_nsh_ttl`.

use super::{Action, Printer, Reader};
use crate::text::error::{Result, bail};
use crate::text::number;
use crate::text::scan::{Item, Items};
use flow::fields::prereq::eth_type;

pub(super) fn parse(name: &str, item: &Item, _: &Reader) -> Option<Result<Action>> {
    let arg = item.value;
    Some(match name {
        "push_mpls" => push(arg),
        "pop_mpls" => number::u16_named(arg, "ethertype").map(Action::PopMpls),
        "set_mpls_label" => label(arg),
        "set_mpls_tc" => tc(arg),
        "set_mpls_ttl" => ttl(arg),
        "dec_mpls_ttl" => Ok(Action::DecMplsTtl),
        "dec_ttl" => dec_ttl(arg),
        "dec_nsh_ttl" => Ok(Action::DecNshTtl),
        _ => return None,
    })
}

fn push(arg: &str) -> Result<Action> {
    let ethertype = number::u16_named(arg, "ethertype")?;
    if !matches!(ethertype, eth_type::MPLS | eth_type::MPLS_MULTICAST) {
        bail!("{arg}: not a valid MPLS ethertype (OFPBAC_BAD_ARGUMENT)");
    }
    Ok(Action::PushMpls(ethertype))
}

fn label(arg: &str) -> Result<Action> {
    if arg.is_empty() {
        bail!("set_mpls_label: expected label.");
    }
    match number::u32_plain(arg)? {
        n @ 0..=0xf_ffff => Ok(Action::SetMplsLabel(n)),
        _ => bail!("{arg}: not a valid MPLS label"),
    }
}

fn tc(arg: &str) -> Result<Action> {
    if arg.is_empty() {
        bail!("set_mpls_tc: expected tc.");
    }
    match number::u8_named(arg, "MPLS TC")? {
        n @ 0..=7 => Ok(Action::SetMplsTc(n)),
        _ => bail!("{arg}: not a valid MPLS TC"),
    }
}

fn ttl(arg: &str) -> Result<Action> {
    if arg.is_empty() {
        bail!("set_mpls_ttl: expected ttl.");
    }
    number::u8_named(arg, "MPLS TTL").map(Action::SetMplsTtl)
}

fn dec_ttl(arg: &str) -> Result<Action> {
    let ids = Items::new(arg).map(|i| number::u16_named(i.key, "controller id")).collect::<Result<Vec<_>>>()?;
    // No list means the controllers with id 0, and prints without one.
    Ok(Action::DecTtl(ids))
}

pub(super) fn format(action: &Action, _: &Printer) -> Option<String> {
    Some(match action {
        Action::PushMpls(ethertype) => format!("push_mpls:{ethertype:#06x}"),
        Action::PopMpls(ethertype) => format!("pop_mpls:{ethertype:#06x}"),
        Action::SetMplsLabel(n) => format!("set_mpls_label({n})"),
        Action::SetMplsTc(n) => format!("set_mpls_tc({n})"),
        Action::SetMplsTtl(n) => format!("set_mpls_ttl({n})"),
        Action::DecTtl(ids) if ids.is_empty() => "dec_ttl".to_owned(),
        Action::DecTtl(ids) => {
            format!("dec_ttl({})", ids.iter().map(u16::to_string).collect::<Vec<_>>().join(","))
        }
        _ => return None,
    })
}
