//! Datapaths: timeouts of conntrack zones, capabilities.

use crate::ctl::{Command, Context, Given, Needs, Stop};
use ovsdb::Uuid;
use ovsdb::data::{Atom, Datum};

const fn command(
    name: &'static str,
    (least, most): (usize, usize),
    options: &'static [&'static str],
    run: fn(&mut Context<'_>, &Given) -> Result<(), Stop>,
) -> Command {
    Command { name, least, most, arguments: "", options, needs, run }
}

pub(super) const COMMANDS: [Command; 4] = [
    command("add-zone-tp", (2, usize::MAX), &["--may-exist"], add_zone),
    command("del-zone-tp", (2, 2), &["--if-exists"], del_zone),
    command("list-zone-tp", (1, 1), &[], list_zones),
    command("list-dp-cap", (1, 1), &[], list_capabilities),
];

fn needs(needs: &mut Needs<'_>, _: &Given) -> Result<(), String> {
    needs.named("Open_vSwitch", &["datapaths"]);
    needs.named("Datapath", &["ct_zones", "capabilities"]);
    needs.named("CT_Zone", &["timeout_policy"]);
    needs.named("CT_Timeout_Policy", &["timeouts"]);
    Ok(())
}

/// The datapath of that name.
fn datapath(context: &Context<'_>, name: &str) -> Result<Option<(usize, Uuid)>, Stop> {
    let (roots, table) = (context.state.table("Open_vSwitch")?, context.state.table("Datapath")?);
    let Some(root) = context.state.rows(roots).next() else { return Ok(None) };
    let datapaths = context.state.datum(roots, root, "datapaths");
    let uuid = datapaths.value(&Atom::String(name.into())).and_then(Atom::uuid);
    Ok(uuid.map(|uuid| (table, uuid)))
}

/// `zone=ID`.
fn zone(text: &str) -> Result<i64, Stop> {
    let id = text.strip_prefix("zone=").and_then(|id| id.parse().ok()).filter(|id| (0..=65535).contains(id));
    id.ok_or_else(|| Stop::Fatal(format!("{text}: invalid zone, zone=ID with an ID of 0 to 65535 is expected")))
}

/// `KEY=VALUE…` as a map.
fn policies(words: &[String]) -> Result<Datum, Stop> {
    let mut pairs = Vec::new();
    for word in words {
        let pair = word.split_once('=').and_then(|(key, value)| Some((key, value.parse::<i64>().ok()?)));
        let (key, value) = pair.ok_or_else(|| Stop::Fatal(format!("{word}: a policy is KEY=SECONDS")))?;
        pairs.push((Atom::String(key.into()), Atom::Integer(value)));
    }
    Ok(Datum::map(pairs))
}

fn add_zone(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let name = given.argument(0);
    let id = zone(given.argument(1))?;
    let timeouts = policies(&given.arguments[2..])?;
    let Some((table, row)) = datapath(context, name)? else {
        return Err(Stop::Fatal(format!("datapath {name} does not exist")));
    };
    let column = context.state.column(table, "ct_zones")?;
    let zones = context.state.get(table, row).map_or(Datum::Empty, |r| r.columns[column].clone());
    if zones.contains_key(&Atom::Integer(id)) {
        return match given.has("--may-exist") {
            true => Ok(()),
            false => Err(Stop::Fatal(format!("zone id {id} already exists"))),
        };
    }
    let (policies, own) = (context.state.table("CT_Timeout_Policy")?, context.state.table("CT_Zone")?);
    let policy = context.state.insert(policies);
    context.state.set_named(policies, policy, "timeouts", timeouts)?;
    let new = context.state.insert(own);
    context.state.set_named(own, new, "timeout_policy", Datum::One(Atom::Uuid(policy)))?;
    let pair = Datum::map(vec![(Atom::Integer(id), Atom::Uuid(new))]);
    context.state.change(table, row, column, zones.union(&pair));
    Ok(())
}

fn del_zone(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let name = given.argument(0);
    let id = zone(given.argument(1))?;
    let Some((table, row)) = datapath(context, name)? else {
        return Err(Stop::Fatal(format!("datapath {name} does not exist")));
    };
    let column = context.state.column(table, "ct_zones")?;
    let zones = context.state.get(table, row).map_or(Datum::Empty, |r| r.columns[column].clone());
    if !zones.contains_key(&Atom::Integer(id)) {
        return match given.has("--if-exists") {
            true => Ok(()),
            false => Err(Stop::Fatal(format!("zone id {id} does not exist"))),
        };
    }
    let left = zones.subtract(&Datum::One(Atom::Integer(id)));
    context.state.change(table, row, column, left);
    Ok(())
}

fn pairs(datum: &Datum) -> Vec<String> {
    let text = |atom: &Atom| match atom {
        Atom::String(text) => text.to_string(),
        other => other.to_json().to_string(),
    };
    datum.pairs().iter().map(|(key, value)| format!("{}={}", text(key), text(value))).collect()
}

fn list_zones(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let name = given.argument(0);
    let Some((table, row)) = datapath(context, name)? else {
        return Err(Stop::Fatal(format!("datapath: {name} record not found")));
    };
    let (policies, own) = (context.state.table("CT_Timeout_Policy")?, context.state.table("CT_Zone")?);
    let zones = context.state.get(table, row).map_or(Datum::Empty, |r| context.state.datum(table, r, "ct_zones"));
    for (id, zone) in zones.pairs() {
        let policy = zone.uuid().map_or_else(Vec::new, |uuid| context.state.references(own, uuid, "timeout_policy"));
        let timeouts = policy.first().and_then(|uuid| context.state.get(policies, *uuid));
        let text = match timeouts.map(|row| context.state.datum(policies, row, "timeouts")) {
            Some(timeouts) => pairs(&timeouts).join(" "),
            None => "system default".into(),
        };
        context.line(&format!("Zone:{}, Timeout Policies: {text}", id.to_json()));
    }
    Ok(())
}

fn list_capabilities(context: &mut Context<'_>, given: &Given) -> Result<(), Stop> {
    let name = given.argument(0);
    let Some((table, row)) = datapath(context, name)? else {
        return Err(Stop::Fatal(format!("datapath \"{name}\" record not found")));
    };
    let all = context.state.get(table, row).map_or(Datum::Empty, |r| context.state.datum(table, r, "capabilities"));
    context.line(&pairs(&all).join(" "));
    Ok(())
}
