//! Everything that needs DPDK running: one EAL without huge pages, virtual devices, one case after another.
//!
//! A harness of our own, because EAL starts once per process and the ports of one case must be gone before the next.
//! `cargo test -p dpdk --test devices -- NAME` runs the cases whose name contains NAME.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test binary")]

mod pools;
mod ports;
mod start;
mod traffic;

use dpdk::{Eal, EalConfig, EalError, Huge, LcoreGuard, Pool, PoolConfig, Port, PortConfig, PortError, vdev};
use packet::Burst;
use packet::Frame;
use packet::frame::Offload;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

/// What was logged under target `dpdk`, for the case that looks at it.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "dpdk" {
            LOGGED.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }
    fn flush(&self) {}
}

fn logged(part: &str) -> bool {
    LOGGED.lock().unwrap().iter().any(|line| line.contains(part))
}

/// A pool for two small ports.
fn pool(eal: &Eal) -> Pool {
    Pool::create(eal, &PoolConfig { frames: 4096, least: 4096, mtu: 1500, node: None }).unwrap()
}

fn small() -> PortConfig {
    PortConfig { rx_descriptors: 256, tx_descriptors: 256, ..PortConfig::default() }
}

/// `count` frames of `pool` with distinct contents.
fn burst(pool: &Pool, count: u8) -> Burst {
    let mut burst = Burst::new();
    for i in 0..count {
        burst.push(pool.frame(&[i; 60]).unwrap()).unwrap();
    }
    burst
}

type Case = fn(&Eal);

const CASES: &[(&str, Case)] = &[
    ("second_start_is_refused", start::second_start_is_refused),
    ("log_arrives", start::log_arrives),
    ("starts_of_other_kinds", start::starts),
    ("threads_register", start::threads_register),
    ("pool_counts", pools::pool_counts),
    ("pool_lingers_until_frames_are_back", pools::pool_lingers),
    ("pool_shrinks_when_memory_is_short", pools::pool_shrinks),
    ("copies_and_chains", pools::copies_and_chains),
    ("copies_of_any_shape", pools::copies_of_any_shape),
    ("ring_loops_frames", traffic::ring_loops_frames),
    ("ring_full_leaves_the_rest", traffic::ring_full),
    ("heap_frames_become_mbufs", traffic::heap_frames),
    ("no_memory_for_heap_frames_is_counted", traffic::heap_frames_dropped),
    ("wanted_offloads_pass_the_driver", traffic::offloads_pass),
    ("pcap_to_null", traffic::pcap_to_null),
    ("bad_devargs_name_themselves", ports::bad_devargs),
    ("device_has_one_user", ports::one_user),
    ("port_is_busy_while_queues_live", ports::busy),
    ("fewer_queues_than_asked", ports::fewer_queues),
    ("jumbo_and_mtu", ports::jumbo),
    ("configuration_errors", ports::configuration_errors),
    ("info_list_stats_link", ports::info_list_stats),
    ("hot_plug_leaks_nothing", ports::hot_plug),
    ("queues_move_between_threads", traffic::threads),
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    if std::env::args().any(|a| a == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    log::set_logger(&Recorder).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    if let Some(kind) = filter.strip_prefix("child-") {
        return start::child(kind);
    }
    let config = EalConfig { huge: Huge::No, memory: 256, no_pci: true, ..EalConfig::default() };
    let eal = Eal::start(&config).unwrap();
    let mut failed = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&filter)) {
        let ok = catch_unwind(AssertUnwindSafe(|| {
            case(&eal);
            assert_eq!(dpdk::port::list(&eal), [], "ports are left over");
            eal.sweep();
            eal.sweep();
            assert_eq!(eal.lingering_pools(), 0, "frames are lost");
        }))
        .is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += usize::from(!ok);
    }
    drop(eal);
    println!("{failed} failed");
    assert!(!logged("clean-up failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn burst_of(frame: Frame) -> Burst {
    let mut burst = Burst::new();
    burst.push(frame).unwrap();
    burst
}

/// A classic capture file of `count` frames of 60 bytes.
fn capture(name: &str, count: u8) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ironbridge-dpdk-{}-{name}.pcap", std::process::id()));
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for i in 0..count {
        for word in [0, 0, 60, 60_u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend([i; 60]);
    }
    std::fs::write(&path, file).unwrap();
    path
}
