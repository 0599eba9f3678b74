//! What rows ask for of OpenFlow's connections: tables Controller and SSL (ovs-vswitchd.conf.db(5)).

use crate::desired::Reading;
use crate::rows;
use ovsdb::Uuid;
use ovsdb::table::Database;
use std::collections::BTreeMap;
use std::time::Duration;

/// DSCP of connections that ask for none.
pub const DSCP: u8 = 48;

/// A controller, or where controllers may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    pub uuid: Uuid,
    /// Connection method: `tcp:HOST:PORT` and others.
    pub target: String,
    /// One for people's tools: without it a bridge does as if it had none.
    pub service: bool,
    pub in_band: bool,
    /// The longest wait between two tries.
    pub max_backoff: Duration,
    /// Silence before a sign of life is asked for; none for never.
    pub probe: Option<Duration>,
    /// Whether it is told what it did not ask for before it has said what it wants.
    pub async_messages: bool,
    /// Packets that wait for it at most.
    pub queue: usize,
    /// Packets in a second, and how many of those in excess wait.
    pub rate: Option<(u32, u32)>,
    pub dscp: u8,
}

/// Files of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub private_key: String,
    pub certificate: String,
    pub ca_cert: String,
    pub bootstrap: bool,
}

impl From<rows::Ssl> for Tls {
    fn from(row: rows::Ssl) -> Tls {
        Tls {
            private_key: row.private_key,
            certificate: row.certificate,
            ca_cert: row.ca_cert,
            bootstrap: row.bootstrap_ca_cert,
        }
    }
}

/// Whether a method waits for connections.
fn is_passive(target: &str) -> bool {
    ["punix:", "ptcp:", "pssl:"].iter().any(|kind| target.starts_with(kind))
}

const METHODS: [&str; 6] = ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"];

impl Reading {
    /// The controllers of a bridge; several rows of one target are one.
    pub(crate) fn controllers(&mut self, db: &Database, bridge: &rows::Bridge) -> BTreeMap<String, Controller> {
        let mut out = BTreeMap::new();
        let queue = bridge.other_config.get("controller-queue-size").and_then(|text| text.parse().ok());
        for mut row in bridge.controllers.iter().filter_map(|uuid| rows::Controller::get(db, *uuid)) {
            let mut warn = |text: String| self.warnings.push(format!("bridge {}: controller: {text}", bridge.name));
            if !METHODS.iter().any(|method| row.target.starts_with(method)) {
                warn(format!("{:?} is no connection method", row.target));
                continue;
            }
            row.queue_size = row.queue_size.or(queue);
            let controller = controller(row, &mut warn);
            out.insert(controller.target.clone(), controller);
        }
        out
    }
}

fn controller(row: rows::Controller, warn: &mut dyn FnMut(String)) -> Controller {
    let passive = is_passive(&row.target);
    let millis = |n: Option<i64>, least: u64, default: u64| {
        Duration::from_millis(n.map_or(default, |n| u64::try_from(n).unwrap_or(0).max(least)))
    };
    let within = |n: Option<i64>, least: u32, default: u32| {
        n.map_or(default, |n| u32::try_from(n.max(0)).unwrap_or(u32::MAX).max(least))
    };
    let dscp = row.other_config.get("dscp").map(|text| (text, text.parse::<u8>().ok().filter(|n| *n < 64)));
    if let Some((text, None)) = dscp {
        warn(format!("other_config:dscp {text:?} is no number from 0 to 63"));
    }
    let rate = row.rate_limit.filter(|rate| *rate > 0).map(|rate| {
        let rate = within(Some(rate), 100, 0);
        (rate, within(row.burst_limit, 25, rate / 4))
    });
    Controller {
        uuid: row.uuid,
        service: row.kind.as_deref().map_or(passive, |kind| kind == "service"),
        in_band: !passive && row.connection_mode.as_deref() != Some("out-of-band"),
        max_backoff: millis(row.max_backoff, 1000, 8000),
        // who connects is asked less often than who was connected to
        probe: Some(millis(row.inactivity_probe, 0, if passive { 60_000 } else { 5000 })).filter(|p| !p.is_zero()),
        async_messages: row.enable_async_messages.unwrap_or(true),
        queue: within(row.queue_size, 1, 100).min(512) as usize,
        rate,
        dscp: dscp.and_then(|(_, n)| n).unwrap_or(DSCP),
        target: row.target,
    }
}
