//! What receiving and sending alone cost: net_pcap (endless) to net_null in one loop, as testpmd's `io` forwarding.
//!
//! `cargo run --release -p dpdk --example io -- FILE.pcap [SECONDS [CPU]]` prints a line per second, and the median.
//! Needs a quiet CPU, and huge pages for figures that compare.

use dpdk::{Eal, EalConfig, LcoreGuard, Pool, PoolConfig, Port, PortConfig, vdev};
use packet::Burst;
use std::error::Error;
use std::path::PathBuf;

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}", record.level(), record.args());
    }
    fn flush(&self) {}
}

/// Frames that the pool has: the capture is held in memory by the driver.
const FRAMES: u32 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = PathBuf::from(args.next().ok_or("usage: io FILE.pcap [SECONDS [CPU]]")?);
    let seconds: usize = args.next().map_or(Ok(5), |text| text.parse())?;
    let cpu: usize = args.next().map_or(Ok(1), |text| text.parse())?;
    log::set_logger(&Stderr)?;
    log::set_max_level(log::LevelFilter::Warn);

    let eal = Eal::start(&EalConfig { no_pci: true, memory: 640, main_cpu: Some(0), ..EalConfig::default() })?;
    let pool = Pool::create(&eal, &PoolConfig { frames: FRAMES, least: FRAMES / 2, mtu: 1500, node: None })?;
    let source = Port::attach(&eal, &vdev::endless_pcap(0, &file))?;
    let sink = Port::attach(&eal, &vdev::sink(1))?;
    let config = PortConfig { rx_descriptors: 1024, tx_descriptors: 1024, ..PortConfig::default() };
    let mut from = source.start(&config, &pool)?;
    let mut to = sink.start(&config, &pool)?;
    let (mut rx, mut tx) = (from.rx.remove(0), to.tx.remove(0));

    let rates = std::thread::scope(|scope| {
        let worker = scope.spawn(|| -> Result<Vec<(f64, f64)>, String> {
            pin(cpu)?;
            let _lcore = LcoreGuard::register(&eal).map_err(|e| e.to_string())?;
            let mut burst = Burst::new();
            Ok((0..seconds).map(|_| one_second(&mut rx, &mut tx, &mut burst)).collect())
        });
        worker.join().map_err(|_| "the worker died".to_string())?
    })?;
    for (mpps, cycles) in &rates {
        println!("{mpps:8.2} Mpps {cycles:6.1} cycles/packet");
    }
    let mut sorted = rates;
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((mpps, cycles)) = sorted.get(sorted.len() / 2) {
        println!("median {mpps:.2} Mpps {cycles:.1} cycles/packet");
    }
    Ok(())
}

/// Forwards for about a second; million packets per second and time stamp counts per packet.
#[expect(clippy::disallowed_methods, reason = "a measuring program reads the clock")]
fn one_second(rx: &mut dpdk::RxQueue, tx: &mut dpdk::TxQueue, burst: &mut Burst) -> (f64, f64) {
    let start = std::time::Instant::now();
    let first = cycles();
    let mut packets = 0;
    loop {
        for _ in 0..10_000 {
            rx.receive(burst);
            packets += tx.transmit(burst);
        }
        let elapsed = start.elapsed();
        if elapsed.as_secs() >= 1 {
            let packets = packets as f64;
            return (packets / elapsed.as_secs_f64() / 1e6, (cycles() - first) as f64 / packets);
        }
    }
}

#[expect(unsafe_code, reason = "reads the time stamp counter")]
fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has it.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    return 0;
}

#[expect(unsafe_code, reason = "pins the thread")]
fn pin(cpu: usize) -> Result<(), String> {
    // SAFETY: all zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(format!("there is no CPU {cpu}"));
    }
    // SAFETY: the number is within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: a set of the stated size; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(format!("cannot pin to CPU {cpu}: {}", std::io::Error::last_os_error())),
    }
}
