//! Sends streams of frames at given rates: several ports, one thread. For benches of what one port does to another.
//!
//! `generator SECONDS STREAM...` with STREAM `DEVARGS;KIND;RATE;COUNT`: packets a second (0: as many as the device takes)
//! and KIND one of
//!
//! - `flows`: UDP, COUNT five-tuples in turn
//! - `new`: UDP, every packet another source address and port
//! - `broadcast`: ARP requests to all, COUNT senders in turn
//! - `drain`: sends nothing, receives
//!
//! Starts when every port's link is up. Each second a line of `offered sent` for each stream, in order: what was due by
//! the clock and tried, and what the device took; the rest is lost. Of what drains, both are
//! what was received. What comes to other streams' ports is thrown away.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use dpdk::{Eal, EalConfig, LcoreGuard, Pool, PoolConfig, Port, PortConfig, RxQueue, TxQueue};
use packet::burst::BURST;
use packet::{Burst, Frame};

const FRAMES: u32 = 16_384;
const LENGTH: usize = 60;

enum Kind {
    Flows,
    New,
    Broadcast,
    Drain,
}

struct Stream {
    rx: RxQueue,
    tx: TxQueue,
    kind: Kind,
    /// Packets a second; 0: no limit.
    rate: u64,
    count: u32,
    next: u32,
    due: u64,
    offered: u64,
    sent: u64,
    burst: Burst,
}

fn checksum(head: &[u8]) -> u16 {
    let mut sum: u32 = head.chunks_exact(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// The frame with the number `n` of a stream.
fn headers(kind: &Kind, n: u32) -> [u8; LENGTH] {
    let mut f = [0; LENGTH];
    f[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    if let Kind::Broadcast = kind {
        f[..6].fill(0xff);
        f[6..12].copy_from_slice(&[2, 1, (n >> 24) as u8, (n >> 16) as u8, (n >> 8) as u8, n as u8]);
        f[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        return f;
    }
    f[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
    f[26..30].copy_from_slice(&(0x0a00_0000 + n % 0x00ff_ffff).to_be_bytes());
    f[30..34].copy_from_slice(&[192, 168, 1, 1]);
    let sum = checksum(&f[14..34]);
    f[24..26].copy_from_slice(&sum.to_be_bytes());
    f[34..36].copy_from_slice(&(1024 + (n >> 8) as u16 % 60_000).to_be_bytes());
    f[36..40].copy_from_slice(&[0, 80, 0, 26]);
    f
}

impl Stream {
    fn run(&mut self, pool: &Pool, now: u64) {
        let got = self.rx.receive(&mut self.burst) as u64;
        self.burst.clear();
        if let Kind::Drain = self.kind {
            (self.offered, self.sent) = (self.offered + got, self.sent + got);
            return;
        }
        let wanted = if self.rate == 0 {
            BURST as u64
        } else {
            let due = (u128::from(now) * u128::from(self.rate) / 1_000_000_000) as u64;
            let due = due.saturating_sub(self.due);
            // what this thread slept through is not made up for: that would be a burst no port was asked to bear
            if due > 256 {
                self.due += due - 256;
            }
            due.min(BURST as u64)
        };
        if wanted == 0 || (self.rate != 0 && wanted < 8) {
            return;
        }
        self.due += wanted;
        self.offered += wanted;
        for _ in 0..wanted {
            let Some(mut frame) = pool.alloc() else { break };
            if let Some(data) = frame.append(LENGTH) {
                data.copy_from_slice(&headers(&self.kind, self.next));
            }
            self.next = self.next.wrapping_add(1);
            if self.next >= self.count && !matches!(self.kind, Kind::New) {
                self.next = 0;
            }
            let _: Result<(), Frame> = self.burst.push(frame);
        }
        self.sent += self.tx.transmit(&mut self.burst) as u64;
        self.burst.clear();
    }
}

#[expect(clippy::disallowed_methods, reason = "a measuring program reads the clock")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().ok_or("usage: generator SECONDS DEVARGS;KIND;RATE;COUNT...")?.parse()?;
    // virtio-user shares few files with its peer
    let extra = vec!["--single-file-segments".to_owned()];
    let config = EalConfig { no_pci: true, memory: 256, main_cpu: Some(0), extra, ..EalConfig::default() };
    let eal = Eal::start(&config)?;
    let pool = Pool::create(&eal, &PoolConfig { frames: FRAMES, least: FRAMES / 2, mtu: 1500, node: None })?;
    let (mut ports, mut streams) = (Vec::new(), Vec::new());
    for text in args {
        let parts: Vec<&str> = text.split(';').collect();
        let [devargs, kind, rate, count] = parts[..] else { return Err(format!("not a stream: {text}").into()) };
        let kind = match kind {
            "flows" => Kind::Flows,
            "new" => Kind::New,
            "broadcast" => Kind::Broadcast,
            "drain" => Kind::Drain,
            _ => return Err(format!("no such kind of stream: {kind}").into()),
        };
        let port = Port::attach(&eal, devargs)?;
        let config = PortConfig { rx_descriptors: 1024, tx_descriptors: 1024, ..PortConfig::default() };
        let mut queues = port.start(&config, &pool)?;
        let (rx, tx) = (queues.rx.remove(0), queues.tx.remove(0));
        let (rate, count) = (rate.parse()?, count.parse()?);
        let (next, due, offered, sent) = (0, 0, 0, 0);
        streams.push(Stream { rx, tx, kind, rate, count, next, due, offered, sent, burst: Burst::new() });
        ports.push(port);
    }
    let wait = Instant::now();
    while !ports.iter().all(|port| port.link().up) {
        if wait.elapsed() > Duration::from_secs(20) {
            return Err("a link did not come up in 20 s".into());
        }
        std::thread::yield_now();
    }
    let _lcore = LcoreGuard::register(&eal).map_err(|e| e.to_string())?;
    let start = Instant::now();
    for second in 1..=seconds {
        loop {
            let at = start.elapsed().as_nanos() as u64;
            if at >= second * 1_000_000_000 {
                break;
            }
            for stream in &mut streams {
                stream.run(&pool, at);
            }
        }
        let line: Vec<String> = streams.iter().map(|s| format!("{} {}", s.offered, s.sent)).collect();
        println!("{}", line.join(" "));
        std::io::stdout().flush()?;
    }
    Ok(())
}
