//! Names of a switch's ports and tables, asked for when the first is needed.

use std::cell::OnceCell;

use openflow::text::PortNames;
use openflow::wire::port::PortDesc;
use openflow::wire::stats::TableStats;
use openflow::wire::{Message, Version, Versions};
use openflow::{OfPort, TableId};

use super::link::{Link, value};

/// What a switch calls its ports and tables. A file of flows has no switch, and no names.
#[derive(Default)]
pub(super) struct Names {
    /// The switch, and the versions that may be spoken with it.
    switch: Option<(String, Versions)>,
    /// Names are printed too, not only read.
    shown: bool,
    ports: OnceCell<Vec<PortDesc>>,
    tables: OnceCell<Vec<TableStats>>,
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
    link.ask_all(&Message::TableFeaturesRequest, |part| {
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
