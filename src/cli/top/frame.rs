//! One frame of `top`: rates between two looks at the switch, sorted, as values and as tables.

use serde::Serialize;

use crate::cli::table::{Column, Table, short, span};
use crate::view::rates::Rates;
use crate::view::{Megaflow, Snapshot};

/// What the first port is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Sort {
    /// The one that receives most.
    #[default]
    Rx,
    /// The one that sends most.
    Tx,
    /// The one whose packets are dropped most.
    Drops,
    /// By name.
    Name,
}

impl Sort {
    pub(super) fn name(self) -> &'static str {
        match self {
            Sort::Rx => "rx",
            Sort::Tx => "tx",
            Sort::Drops => "drops",
            Sort::Name => "name",
        }
    }
}

/// Rates are per second.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Frame {
    /// Nanoseconds since the switch started, and between the two looks.
    uptime: u64,
    interval: u64,
    sort: &'static str,
    total: Port,
    ports: Vec<Port>,
    queues: Vec<Queue>,
    pub(super) workers: Vec<Worker>,
    drops: Vec<Drop>,
    matrix: Vec<Talk>,
    flows: Vec<Megaflow>,
}

#[derive(Debug, Default, Serialize)]
struct Port {
    name: String,
    rx_packets: u64,
    rx_bits: u64,
    tx_packets: u64,
    tx_bits: u64,
    drops: u64,
    /// Since the start.
    received: u64,
    sent: u64,
    dropped: u64,
}

#[derive(Debug, Serialize)]
struct Queue {
    port: String,
    number: u32,
    worker: String,
    packets: u64,
    bits: u64,
    /// Packets in a burst, on average.
    burst: f64,
    received: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Worker {
    pub(super) name: String,
    core: Option<usize>,
    /// 0 to 1.
    pub(super) load: f64,
    pub(super) packets: u64,
    misses: u64,
    megaflows: u64,
    masks: u64,
}

#[derive(Debug, Serialize)]
struct Drop {
    reason: String,
    packets: u64,
    /// Since the start.
    dropped: u64,
    meaning: String,
}

#[derive(Debug, Serialize)]
struct Talk {
    from: String,
    to: String,
    packets: u64,
    /// Since the start.
    sent: u64,
}

impl Frame {
    pub(super) fn between(before: &Snapshot, after: &Snapshot, sort: Sort) -> Frame {
        let rates = Rates::between(before, after);
        let mut ports = ports(&rates, after);
        let sum = |of: fn(&Port) -> u64| ports.iter().map(of).sum();
        let total = Port {
            name: "all".into(),
            rx_packets: sum(|p| p.rx_packets),
            rx_bits: sum(|p| p.rx_bits),
            tx_packets: sum(|p| p.tx_packets),
            tx_bits: sum(|p| p.tx_bits),
            drops: sum(|p| p.drops),
            received: after.totals.packets,
            sent: sum(|p| p.sent),
            dropped: after.totals.dropped,
        };
        let key = |p: &Port| match sort {
            Sort::Rx => (p.rx_packets, p.received),
            Sort::Tx => (p.tx_packets, p.sent),
            Sort::Drops => (p.drops, p.dropped),
            Sort::Name => (0, 0),
        };
        ports.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
        let mut matrix: Vec<Talk> = (after.matrix.iter())
            .map(|t| Talk { from: t.from.clone(), to: t.to.clone(), packets: rates.talk(t), sent: t.packets })
            .collect();
        matrix.sort_by_key(|t| std::cmp::Reverse((t.packets, t.sent)));
        let mut drops: Vec<Drop> = (after.totals.drops.iter())
            .map(|d| Drop {
                reason: d.reason.clone(),
                packets: rates.drop(d),
                dropped: d.packets,
                meaning: d.meaning.clone(),
            })
            .collect();
        drops.sort_by_key(|d| std::cmp::Reverse((d.packets, d.dropped)));
        Frame {
            uptime: after.at.saturating_sub(after.started),
            interval: after.at.saturating_sub(before.at),
            sort: sort.name(),
            total,
            ports,
            queues: queues(&rates, after),
            workers: workers(&rates, after),
            drops,
            matrix,
            flows: after.hottest.clone(),
        }
    }

    /// What stands above everything.
    pub(super) fn headline(&self) -> String {
        let t = &self.total;
        format!(
            "up {}, rx {} packet/s {} bit/s, tx {} packet/s {} bit/s, drops {} packet/s; ports by {}",
            span(self.uptime),
            short(t.rx_packets),
            short(t.rx_bits),
            short(t.tx_packets),
            short(t.tx_bits),
            short(t.drops),
            self.sort
        )
    }

    pub(super) fn tables(&self) -> Vec<Table> {
        let all = [self.port_table(), self.queue_table(), self.worker_table(), self.flow_table()];
        all.into_iter().chain([self.drop_table(), self.talk_table()]).filter(|t| !t.rows.is_empty()).collect()
    }

    pub(super) fn port_table(&self) -> Table {
        use Column::{Number, Text};
        let rates =
            ["rx pkt/s", "rx bit/s", "tx pkt/s", "tx bit/s", "drop/s", "received", "sent", "dropped"].map(Number);
        let mut table = Table::new("Ports", &[&[Text("port")][..], &rates].concat());
        for p in &self.ports {
            let rates = [p.rx_packets, p.rx_bits, p.tx_packets, p.tx_bits, p.drops].map(short);
            let counts = [p.received, p.sent, p.dropped].map(|n| n.to_string());
            table.row(std::iter::once(p.name.clone()).chain(rates).chain(counts));
        }
        table
    }

    pub(super) fn queue_table(&self) -> Table {
        use Column::{Number, Text};
        let columns = [Text("port"), Number("queue"), Text("worker")];
        let numbers = ["pkt/s", "bit/s", "burst", "received"].map(Number);
        let mut table = Table::new("Queues", &[&columns[..], &numbers].concat());
        for q in &self.queues {
            table.row([
                q.port.clone(),
                q.number.to_string(),
                q.worker.clone(),
                short(q.packets),
                short(q.bits),
                format!("{:.1}", q.burst),
                q.received.to_string(),
            ]);
        }
        table
    }

    pub(super) fn worker_table(&self) -> Table {
        use Column::{Number, Text};
        let numbers = ["load", "pkt/s", "miss/s", "megaflows", "masks"].map(Number);
        let mut table = Table::new("Cores", &[&[Text("worker"), Text("core")][..], &numbers].concat());
        for w in &self.workers {
            table.row([
                w.name.clone(),
                w.core.map_or_else(|| "-".into(), |c| c.to_string()),
                format!("{:.0}%", 100.0 * w.load),
                short(w.packets),
                short(w.misses),
                w.megaflows.to_string(),
                w.masks.to_string(),
            ]);
        }
        table
    }

    pub(super) fn flow_table(&self) -> Table {
        use Column::{Number, Text};
        let numbers = ["pkt/s", "bit/s", "packets"].map(Number);
        let mut table = Table::new("Hottest megaflows", &[&numbers[..], &[Text("match"), Text("actions")]].concat());
        for f in &self.flows {
            let rates = [short(f.packet_rate), short(f.byte_rate.saturating_mul(8)), f.packets.to_string()];
            table.row(rates.into_iter().chain([f.matching.clone(), f.actions.clone()]));
        }
        table
    }

    pub(super) fn drop_table(&self) -> Table {
        use Column::{Number, Text};
        let mut table = Table::new("Drops", &[Text("reason"), Number("drop/s"), Number("dropped"), Text("meaning")]);
        for d in &self.drops {
            table.row([d.reason.clone(), short(d.packets), d.dropped.to_string(), d.meaning.clone()]);
        }
        table
    }

    pub(super) fn talk_table(&self) -> Table {
        use Column::{Number, Text};
        let mut table =
            Table::new("Who sends to whom", &[Text("from"), Text("to"), Number("pkt/s"), Number("packets")]);
        for t in &self.matrix {
            table.row([t.from.clone(), t.to.clone(), short(t.packets), t.sent.to_string()]);
        }
        table
    }

    /// The same as a square, for the ports that most goes between: rows send, columns receive.
    pub(super) fn square(&self, most: usize) -> (Vec<&str>, Vec<Vec<u64>>) {
        let mut names: Vec<&str> = Vec::new();
        for name in self.matrix.iter().flat_map(|t| [&t.from, &t.to]) {
            if names.len() < most && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        let cell = |from: &str, to: &str| {
            let found = self.matrix.iter().find(|t| t.from == from && t.to == to);
            found.map_or(0, |t| t.packets)
        };
        let rows = names.iter().map(|from| names.iter().map(|to| cell(from, to)).collect()).collect();
        (names, rows)
    }
}

fn ports(rates: &Rates<'_>, after: &Snapshot) -> Vec<Port> {
    let one = |p: &crate::view::Port| Port {
        name: p.name.clone(),
        rx_packets: rates.port(p, |p| p.received.packets),
        rx_bits: rates.port(p, |p| p.received.bytes).saturating_mul(8),
        tx_packets: rates.port(p, |p| p.sent.packets),
        tx_bits: rates.port(p, |p| p.sent.bytes).saturating_mul(8),
        drops: rates.port(p, |p| p.received.dropped),
        received: p.received.packets,
        sent: p.sent.packets,
        dropped: p.received.dropped,
    };
    after.ports.iter().filter(|p| p.datapath.is_some()).map(one).collect()
}

fn queues(rates: &Rates<'_>, after: &Snapshot) -> Vec<Queue> {
    let mut all = Vec::new();
    for p in &after.ports {
        for q in &p.queues {
            let packets = rates.queue(p, q, |q| q.packets);
            let bursts = rates.queue(p, q, |q| q.bursts);
            all.push(Queue {
                port: p.name.clone(),
                number: q.number,
                worker: q.worker.clone(),
                packets,
                bits: rates.queue(p, q, |q| q.bytes).saturating_mul(8),
                burst: if bursts == 0 { 0.0 } else { packets as f64 / bursts as f64 },
                received: q.packets,
            });
        }
    }
    all.sort_by_key(|q| std::cmp::Reverse((q.packets, q.received)));
    all
}

fn workers(rates: &Rates<'_>, after: &Snapshot) -> Vec<Worker> {
    let one = |w: &crate::view::Worker| Worker {
        name: w.name.clone(),
        core: w.core,
        load: rates.load(w),
        packets: rates.worker(w, |w| w.received.packets),
        misses: rates.worker(w, |w| w.miss),
        megaflows: w.megaflows,
        masks: w.masks,
    };
    after.workers.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Fates, Sent, Talk as Pair};

    fn look(at: u64, a: u64, b: u64) -> Snapshot {
        let port = |name: &str, packets: u64, sent: u64| crate::view::Port {
            name: name.into(),
            datapath: Some(1),
            received: Fates { packets, ..Fates::default() },
            sent: Sent { packets: sent, ..Sent::default() },
            ..crate::view::Port::default()
        };
        let pair = |from: &str, to: &str, packets| Pair { from: from.into(), to: to.into(), packets };
        Snapshot {
            at,
            ports: vec![port("a", a, b), port("b", b, a)],
            matrix: vec![pair("a", "b", a), pair("b", "a", b)],
            ..Snapshot::default()
        }
    }

    #[test]
    fn ports_are_sorted_and_summed() {
        let (before, after) = (look(0, 0, 0), look(2_000_000_000, 2000, 8000));
        let names = |sort| {
            let frame = Frame::between(&before, &after, sort);
            frame.ports.iter().map(|p| p.name.clone()).collect::<String>()
        };
        assert_eq!([Sort::Rx, Sort::Tx, Sort::Drops, Sort::Name].map(names), ["ba", "ab", "ab", "ab"]);
        let frame = Frame::between(&before, &after, Sort::Rx);
        assert_eq!((frame.total.rx_packets, frame.total.tx_packets), (5000, 5000));
        assert!(frame.port_table().text().contains("4.00k"));
        assert_eq!(frame.square(8), (vec!["a", "b"], vec![vec![0, 1000], vec![4000, 0]]));
    }
}
