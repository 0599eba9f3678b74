//! A million packets through the real pipeline and a worker, after warm-up, and not one allocation: eight tables, ten
//! thousand flows, every family of actions, groups, recirculation, learning. Frames count apart: here the heap plays the
//! pool, and all are back at the end.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use base::clock::Instant;
use datapath::control::{Queues, Serve};
use datapath::{Control, Limits};
use dpif::PortNo;
use openflow::OfPort;
use openflow::flow_mod::Command;
use openflow::group_mod::GroupCommand;
use openflow::text::{NoNames, parse_flow, parse_group};
use packet::device::{RxQueue, TxCaps, TxQueue};
use packet::{Burst, Frame};
use pipeline::{BridgeConfig, Config, Manager, PortConfig};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FRAMES: AtomicI64 = AtomicI64::new(0);

mod counting {
    //! The system allocator with counters in front.
    #![expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::Ordering;

    /// Frames alone are aligned so.
    const FRAME: usize = 64;

    struct Counting;

    // SAFETY: every call goes to the system allocator with what the caller gave.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() == FRAME {
                super::FRAMES.fetch_add(1, Ordering::Relaxed);
            } else {
                super::ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            }
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            if layout.align() == FRAME {
                super::FRAMES.fetch_sub(1, Ordering::Relaxed);
            }
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(at, layout) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;
}

/// One destination for each family, that table 7 acts on.
const FAMILIES: &[&str] = &[
    "output:2",
    "mod_dl_src:02:00:00:00:00:aa,mod_dl_dst:02:00:00:00:00:bb,dec_ttl,mod_nw_tos:32,output:2",
    "set_field:10.9.9.9->nw_src,set_field:10.8.8.0/255.255.255.0->nw_dst,mod_tp_src:7,set_field:9->udp_dst,output:2",
    "push_vlan:0x8100,set_field:4106->vlan_vid,mod_vlan_pcp:3,output:2",
    "push_vlan:0x8100,set_field:4106->vlan_vid,output:3,pop_vlan,output:2",
    "group:1",
    "group:2",
    "group:3",
    "ct(table=8)",
    "push:NXM_OF_IP_SRC[],move:NXM_OF_IP_DST[]->NXM_OF_IP_SRC[],pop:NXM_OF_IP_DST[],output:2",
    "load:0x5->NXM_NX_REG15[],move:NXM_NX_REG15[0..7]->NXM_OF_IP_TOS[],output:NXM_NX_REG14[]",
    "clear_actions,write_actions(set_field:1->udp_src,output:2),write_metadata:0x17/0xff,goto_table:8",
    "NORMAL",
    "FLOOD",
    "ALL",
    "IN_PORT",
    "LOCAL",
    "drop",
];

const GROUPS: &[&str] = &[
    "group_id=1,type=all,bucket=output:2,bucket=mod_dl_src:02:00:00:00:00:cc,output:3",
    "group_id=2,type=select,bucket=output:2,bucket=output:3",
    "group_id=3,type=indirect,bucket=dec_ttl,output:2",
];

/// Seven tables on the way, registers loaded in each.
fn flows() -> Vec<String> {
    let mut out = vec!["table=0,in_port=1,ip,actions=load:2->NXM_NX_REG14[],resubmit(,1)".to_owned()];
    for table in 1..7 {
        let next = table + 1;
        out.push(format!("table={table},priority=1,actions=load:{next}->NXM_NX_REG{table}[],resubmit(,{next})"));
        out.push(format!(
            "table={table},priority=9,udp,tp_src={table},reg{}={table},actions=set_field:{next}->reg{table},resubmit(,{next})",
            table - 1
        ));
    }
    for (n, actions) in FAMILIES.iter().enumerate() {
        out.push(format!("table=7,priority=5,udp,nw_dst=10.1.0.{n},actions={actions}"));
    }
    out.push("table=8,priority=7,ct_state=+trk,ip,actions=dec_ttl,output:2".to_owned());
    out.push("table=8,priority=6,metadata=0x17,actions=mod_dl_src:02:00:00:00:00:dd".to_owned());
    // a source of its own for each flow, so that there are ten thousand megaflows
    out.extend((0..SOURCES).map(|n| {
        let [_, _, a, b] = n.to_be_bytes();
        format!("table=6,priority=20,ip,nw_src=10.0.{a}.{b},actions=load:{n}->NXM_NX_REG6[],resubmit(,7)")
    }));
    out
}

/// Sources times families make the flows: 10,008.
const SOURCES: u32 = 556;

struct Feed {
    frame: [u8; 60],
    at: u32,
}

impl RxQueue for Feed {
    fn receive(&mut self, burst: &mut Burst) -> usize {
        for _ in 0..32 {
            self.at = (self.at + 7) % (SOURCES * FAMILIES.len() as u32);
            let (source, family) = (self.at % SOURCES, self.at / SOURCES);
            self.frame[26..30].copy_from_slice(&(0x0a00_0000 | source).to_be_bytes());
            self.frame[30..34].copy_from_slice(&(0x0a01_0000 | family).to_be_bytes());
            burst.push(Frame::from_slice(&self.frame)).ok().unwrap();
        }
        32
    }
}

struct Sink;

impl TxQueue for Sink {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        let n = burst.len();
        burst.clear();
        n
    }
    fn capabilities(&self) -> TxCaps {
        TxCaps::ALL
    }
}

#[test]
fn a_million_packets_of_ten_thousand_flows_through_eight_tables_allocate_nothing() {
    let frames = FRAMES.load(Ordering::Relaxed);
    let (mut manager, translate) = Manager::new(&Config::default()).unwrap();
    let start = Instant::from_millis(1000);
    manager.add_bridge(&BridgeConfig { name: "br0".into(), ..BridgeConfig::default() }, start).unwrap();
    manager.add_port("br0", PortConfig::device("br0", OfPort::LOCAL, PortNo(4))).unwrap();
    for i in 1..4 {
        manager.add_port("br0", PortConfig::device(&format!("p{i}"), OfPort(i), PortNo(i))).unwrap();
    }
    for text in GROUPS {
        let group = parse_group(text, GroupCommand::Add, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}"));
        manager.group_mod("br0", &group, start).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
    for text in flows() {
        let flow = parse_flow(&text, Command::Add, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}")).flow;
        manager.flow_mod("br0", &flow, start).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
    manager.publish();

    let mut control = Control::new(translate, Limits::default(), 7).unwrap();
    let (_, mut worker) = control.add_worker("w", true).unwrap();
    let mut frame = [0u8; 60];
    frame[..24].copy_from_slice(&[2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
    frame[34..40].copy_from_slice(&[0x30, 0x39, 0, 53, 0, 26]);
    for i in 1..5 {
        let rx: Vec<Box<dyn RxQueue>> = if i == 1 { vec![Box::new(Feed { frame, at: 0 })] } else { Vec::new() };
        let queues = Queues { rx, tx: vec![Box::new(Sink)] };
        control.add_port(PortNo(i), queues, Serve::Fast).map_err(|e| e.0).unwrap();
    }
    let mut now = start.as_nanos();
    let mut step = |worker: &mut datapath::Worker| {
        now += 20_000;
        worker.step(Instant::from_nanos(now));
    };
    // what is learned and reported is taken in meanwhile
    for _ in 0..200 {
        (0..200).for_each(|_| step(&mut worker));
        control.poll();
        manager.process(start);
        manager.publish();
    }
    let figures = |control: &Control| {
        let (_, _, c) = control.workers().next().unwrap();
        (c.megaflows.get(), c.miss.get(), c.recirculated.get())
    };
    let (_, misses, recirculated) = figures(&control);
    let before = control.totals();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    (0..1_000_000 / 32).for_each(|_| step(&mut worker));
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - allocations, 0, "allocations");
    let after = control.totals();
    let received = after.received - before.received;
    assert!(received >= 999_968, "{received}");
    assert_eq!(after.received, after.forwarded + after.consumed + after.drops());
    let now = figures(&control);
    assert!(now.0 >= 10_008, "{} megaflows", now.0);
    assert_eq!(now.1, misses, "misses");
    assert!(now.2 > recirculated + 50_000, "{} recirculations", now.2 - recirculated);
    drop((worker, control, manager));
    assert_eq!(FRAMES.load(Ordering::Relaxed), frames, "frames in use are what they were");
}
