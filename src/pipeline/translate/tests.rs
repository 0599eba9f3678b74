//! Translations of single packets: tables and packet in, actions and mask out.

use std::sync::Arc;

use base::clock::Instant;
use dpif::text::Actions;
use dpif::{Input, PortNo, Reader, Translate, Translation};
use flow::layout as l;
use flow::{Flow, Match};
use openflow::{Action, FlowMod, OfPort, TableId};

use crate::manager::{BridgeConfig, Config, Manager};
use crate::snapshot::port::PortConfig;

struct World {
    m: Manager,
    reader: Box<dyn Reader>,
    now: Instant,
}

impl World {
    /// br0 with ports 1 to 4 on datapath ports 1 to 4, LOCAL on 100.
    fn new() -> World {
        let (mut m, translate) = Manager::new(&Config::default()).unwrap();
        let now = Instant::from_millis(1000);
        m.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, now).unwrap();
        m.add_port("br0", PortConfig::device("br0", OfPort::LOCAL, PortNo(100))).unwrap();
        for i in 1..5 {
            m.add_port("br0", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(i))).unwrap();
        }
        m.publish();
        let translate: Arc<dyn Translate> = translate;
        World { reader: translate.reader("test"), m, now }
    }

    fn flow(&mut self, table: u8, priority: u16, matching: Match, actions: Vec<Action>) {
        let table = Some(TableId(table));
        self.m
            .flow_mod("br0", &FlowMod { table, priority, matching, actions, ..FlowMod::default() }, self.now)
            .unwrap();
    }

    fn send(&mut self, flow: &Flow) -> Translation {
        self.m.publish();
        self.reader.refresh();
        let mut out = Translation::default();
        self.reader.translate(&Input { flow, frame: None, now: self.now }, &mut out);
        for effect in &out.effects {
            assert!(self.reader.apply(effect, self.now));
        }
        self.m.process(self.now);
        out
    }
}

fn output(port: OfPort) -> Action {
    Action::Output { port, max_len: 0 }
}

fn packet(in_port: u32, src: u64, dst: u64) -> Flow {
    let mut flow = Flow::default();
    flow.set(l::IN_PORT, in_port.into());
    flow.set(l::ETH_SRC, src.into());
    flow.set(l::ETH_DST, dst.into());
    flow.set(l::ETH_TYPE, 0x1234);
    flow
}

#[test]
fn normal_learns_and_forwards() {
    let mut w = World::new();
    w.flow(0, 0, Match::default(), vec![output(OfPort::NORMAL)]);
    let out = w.send(&packet(1, 0xa, 0xb));
    assert_eq!(Actions(&out.actions).to_string(), "100,2,3,4");
    let out = w.send(&packet(2, 0xb, 0xa));
    assert_eq!(Actions(&out.actions).to_string(), "1");
    let out = w.send(&packet(1, 0xa, 0xb));
    assert_eq!(Actions(&out.actions).to_string(), "2");
    assert!(out.mask.get64(l::ETH_SRC) == 0xffff_ffff_ffff && out.cacheable);
}
