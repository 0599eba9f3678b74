//! What a miss costs: translations a second under one rule, 10,000 five-tuple rules, a chain of eight tables, NORMAL;
//! and what a change of the tables costs, published each by itself or a hundred at a time.

use std::hint::black_box;
use std::sync::Arc;

use base::clock::Instant;
use criterion::{Criterion, Throughput};
use dpif::{Input, PortNo, Reader, Translate, Translation};
use flow::Flow;
use flow::layout as l;
use openflow::text::{NoNames, parse_flows};
use pipeline::{BridgeConfig, Config, Manager, PortConfig};

const NOW: Instant = Instant::from_millis(1000);

struct World {
    m: Manager,
    reader: Box<dyn Reader>,
}

impl World {
    fn new(flows: &str) -> Option<World> {
        let (mut m, translate): (_, Arc<dyn Translate>) = Manager::new(&Config::default()).ok()?;
        m.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, NOW).ok()?;
        for i in 1..9 {
            let name = format!("p{i}");
            m.add_port("br0", PortConfig::device(&name, openflow::OfPort(i), PortNo(i))).ok()?;
        }
        for f in parse_flows(flows, &NoNames).ok()? {
            m.flow_mod("br0", &f.flow, NOW).ok()?;
        }
        m.publish();
        let mut reader = translate.reader("bench");
        reader.refresh();
        Some(World { m, reader })
    }
}

fn packet(n: u32) -> Flow {
    let mut flow = Flow::default();
    let fields = [
        (l::IN_PORT, 1),
        (l::ETH_TYPE, 0x800),
        (l::ETH_SRC, 0x0200_0000_0001),
        (l::ETH_DST, 0x0200_0000_0002),
        (l::NW_SRC, 0x0a00_0000 | u128::from(n)),
        (l::NW_DST, 0x0b00_0001),
        (l::NW_PROTO, 17),
        (l::NW_TTL, 64),
        (l::TP_SRC, 1000),
        (l::TP_DST, 2000),
    ];
    for (slot, value) in fields {
        flow.set(slot, value);
    }
    flow
}

fn main() {
    let mut c = Criterion::default().configure_from_args().sample_size(30);
    let chain = (0..8).map(|t| {
        let next = if t < 7 {
            format!("goto_table:{}", t + 1)
        } else {
            "set_field:02:00:00:00:00:09->eth_dst,dec_ttl,2".into()
        };
        format!("table={t},priority=10,ip actions=load:{t}->NXM_NX_REG{t}[],{next}\n")
    });
    let tuples = (0..10_000).map(|n| {
        let (a, b) = (n >> 8, n & 255);
        format!("priority=5,udp,nw_src=10.0.{a}.{b},nw_dst=11.0.0.1,tp_src=1000,tp_dst=2000 actions=2\n")
    });
    let cases = [
        ("one rule", "in_port=1 actions=2".to_owned()),
        ("10k five-tuples", tuples.collect()),
        ("eight tables", chain.collect()),
        ("normal", "actions=NORMAL".to_owned()),
    ];
    let mut group = c.benchmark_group("translate");
    group.throughput(Throughput::Elements(1));
    for (name, flows) in &cases {
        let Some(mut w) = World::new(flows) else { continue };
        let mut out = Translation::default();
        let mut n = 0;
        group.bench_function(*name, |b| {
            b.iter(|| {
                n = (n + 1) % 10_000;
                let flow = packet(n);
                w.reader.translate(&Input { flow: &flow, frame: None, now: NOW }, &mut out);
                black_box(&out);
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("change");
    for batch in [1, 100] {
        let Some(mut w) = World::new(&cases[1].1) else { continue };
        let text = |n: u32| format!("priority=9,udp,nw_src=12.0.{}.{} actions=3", n >> 8 & 255, n & 255);
        let mods: Vec<_> = (0..1000).filter_map(|n| parse_flows(&text(n), &NoNames).ok()?.pop()).collect();
        group.throughput(Throughput::Elements(batch));
        let mut at = 0;
        group.bench_function(format!("{batch} flow-mods and a publication"), |b| {
            b.iter(|| {
                for _ in 0..batch {
                    at = (at + 1) % mods.len();
                    let _ = black_box(w.m.flow_mod("br0", &mods[at].flow, NOW));
                }
                w.m.publish();
                w.reader.refresh();
                w.m.reclaim();
            });
        });
    }
    group.finish();
    c.final_summary();
}
