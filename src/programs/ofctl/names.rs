//! Names of a switch's ports and tables, asked for when the first is needed.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use openflow::text::PortNames;
use openflow::wire::port::PortDesc;
use openflow::wire::stats::TableStats;
use openflow::wire::{Connection, Message, Version, Versions};
use openflow::{OfPort, TableId, TlvTable};

use super::link::{Link, ON, value};

/// What a switch calls its ports and tables. A file of flows has no switch, and no names.
#[derive(Default)]
pub(super) struct Names {
    /// The switch, and the versions that may be spoken with it.
    switch: Option<(String, Versions)>,
    /// Names are printed too, not only read.
    shown: bool,
    ports: OnceCell<Vec<PortDesc>>,
    tables: OnceCell<Vec<TableStats>>,
    /// Where tunnel options are, for what says nothing of a switch.
    options: TlvTable,
}

/// Room for each tunnel option that a text names, as wide as its widest value there.
fn options_in(text: &str) -> TlvTable {
    let mut widths = BTreeMap::<u8, u8>::new();
    for after in text.split("tun_metadata").skip(1) {
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (index, rest) = after.split_at(digits);
        let Ok(index) = index.parse() else { continue };
        let value = rest.strip_prefix("=0x").or_else(|| rest.strip_prefix(":0x")).unwrap_or("");
        let digits = value.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(value.len());
        let width = digits.div_ceil(8).clamp(1, 31) as u8 * 4;
        let known = widths.entry(index).or_default();
        *known = width.max(*known);
    }
    let mut table = TlvTable::default();
    for (index, width) in widths {
        // what is too much is told where it is read
        let _ = table.add(u16::MAX, index, width, index);
    }
    table
}

/// All ports of a switch.
pub(super) fn ports(link: &mut Link) -> Result<Vec<PortDesc>, String> {
    let mut ports = Vec::new();
    if link.version < Version::Of13 {
        if let Message::FeaturesReply(features) = link.value(&Message::FeaturesRequest)? {
            ports = features.ports;
        }
        return Ok(ports);
    }
    let mut bad = None;
    link.ask_all(&Message::PortDescRequest(OfPort::NONE), |part| match value(part) {
        Ok(Message::PortDescReply(part)) => ports.extend(part.entries),
        Ok(_) => {}
        Err(e) => bad = Some(e),
    })?;
    bad.map_or(Ok(ports), Err)
}

/// The names of tables, where the version has them.
fn tables(link: &mut Link) -> Result<Vec<TableStats>, String> {
    let mut tables = Vec::new();
    if link.version < Version::Of13 {
        link.ask_all(&Message::TableStatsRequest, |part| {
            if let Ok(Message::TableStatsReply(part)) = value(part) {
                tables.extend(part.entries);
            }
        })?;
        return Ok(tables);
    }
    link.ask_all(&Message::TableFeaturesRequest(openflow::wire::message::Part::all(Vec::new())), |part| {
        let body = part.get(16..).unwrap_or_default();
        let named = openflow::wire::table::names(body);
        tables.extend(named.into_iter().map(|(table, name)| TableStats { table, name, ..TableStats::default() }));
    })?;
    Ok(tables)
}

impl Names {
    /// Those of a switch; `shown` if they are printed too.
    pub(super) fn of(switch: &str, versions: Versions, shown: bool) -> Names {
        Names { switch: Some((switch.to_owned(), versions)), shown, ..Names::default() }
    }

    /// None, for a text of flows that go nowhere.
    pub(super) fn nowhere(text: &str) -> Names {
        Names { options: options_in(text), ..Names::default() }
    }

    /// How messages with these options are read.
    pub(super) fn on(&self) -> Connection<'_> {
        Connection { tlv: Some(&self.options), ..ON }
    }

    fn ask<T>(&self, what: impl Fn(&mut Link) -> Result<Vec<T>, String>) -> Vec<T> {
        let Some((switch, versions)) = &self.switch else { return Vec::new() };
        // what is wrong with the switch shows when it is asked for what matters
        Link::open(switch, *versions).and_then(|mut link| what(&mut link)).unwrap_or_default()
    }

    fn ports(&self) -> &[PortDesc] {
        self.ports.get_or_init(|| self.ask(ports))
    }

    fn tables(&self) -> &[TableStats] {
        self.tables.get_or_init(|| self.ask(tables))
    }
}

impl PortNames for Names {
    fn number(&self, name: &str) -> Option<OfPort> {
        self.ports().iter().find(|p| p.name == name).map(|p| p.port)
    }

    fn name(&self, port: OfPort) -> Option<String> {
        if !self.shown {
            return None;
        }
        self.ports().iter().find(|p| p.port == port).map(|p| p.name.clone())
    }

    fn tlv(&self) -> Option<&TlvTable> {
        Some(&self.options)
    }

    fn table_number(&self, name: &str) -> Option<TableId> {
        self.tables().iter().find(|t| t.name == name).map(|t| t.table)
    }

    fn table_name(&self, table: TableId) -> Option<String> {
        if !self.shown {
            return None;
        }
        let own = format!("table{}", table.0);
        let named = self.tables().iter().find(|t| t.table == table).map(|t| t.name.clone());
        named.filter(|name| !name.is_empty() && *name != own)
    }
}
