//! Time per packet of a worker's step, over dummy queues that recycle their frames: `io` is receive and transmit alone,
//! what the others take beyond it is the datapath's own.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Instant;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datapath::control::{Queues, Serve};
use datapath::{Control, Limits, Worker};
use dpif::{Action, Change, Deps, Effect, Input, PortNo, Reader, Translate, Translation};
use flow::layout::{ETH_TYPE, IN_PORT, NW_DST, NW_FRAG, NW_PROTO, NW_SRC, PACKET_TYPE, RECIRC_ID, TP_DST, TP_SRC};
use flow::{Mask, Slot};
use nix::sys::time::TimeSpec;
use nix::time::ClockId;
use packet::device::{RxQueue, TxCaps, TxQueue};
use packet::{Burst, Frame};

type Pool = Arc<Mutex<Burst>>;

/// Measures the processor time of the thread, so that others on the machine do not count.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = TimeSpec;
    type Value = Duration;

    fn start(&self) -> TimeSpec {
        ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap()
    }
    fn end(&self, start: TimeSpec) -> Duration {
        (self.start() - start).into()
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Hands out the same few frames again and again, each time with the next headers written into them.
struct Feed {
    pool: Pool,
    headers: Vec<[u8; 60]>,
    at: usize,
}

impl RxQueue for Feed {
    fn receive(&mut self, burst: &mut Burst) -> usize {
        let mut pool = self.pool.lock().unwrap();
        let n = burst.append(&mut pool);
        for frame in burst.iter_mut() {
            frame.data_mut()[..60].copy_from_slice(&self.headers[self.at]);
            self.at = if self.at + 1 == self.headers.len() { 0 } else { self.at + 1 };
        }
        n
    }
}

struct Sink(Pool);

impl TxQueue for Sink {
    fn transmit(&mut self, burst: &mut Burst) -> usize {
        self.0.lock().unwrap().append(burst)
    }

    fn capabilities(&self) -> TxCaps {
        TxCaps::ALL
    }
}

/// Answers with one output and a mask by a function of the flow's destination address.
#[derive(Clone)]
struct Fixed(Vec<Mask>);

impl Translate for Fixed {
    fn reader(&self, _: &str) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Reader for Fixed {
    fn refresh(&mut self) -> u64 {
        1
    }
    fn offline(&mut self) {}
    fn changes(&self, _: u64, _: &mut dyn FnMut(&Change)) -> bool {
        true
    }
    fn translate(&mut self, input: &Input<'_>, out: &mut Translation) {
        *out = Translation { cacheable: true, deps: Deps::default(), ..Translation::default() };
        let n = input.flow.get64(NW_DST) as usize;
        out.mask = self.0[n % self.0.len()].clone();
        out.actions.push(Action::Output(PortNo(2)));
    }
    fn apply(&mut self, _: &Effect, _: Instant) -> bool {
        true
    }
    fn port_known(&self, _: PortNo) -> bool {
        true
    }
}

fn mask(fields: &[(Slot, u64)]) -> Mask {
    let mut mask = Mask::default();
    for slot in [RECIRC_ID, IN_PORT, ETH_TYPE, PACKET_TYPE, NW_FRAG] {
        mask.exact(slot);
    }
    for (slot, bits) in fields {
        mask.set(*slot, u128::from(*bits));
    }
    mask
}

fn headers(flows: u32) -> Vec<[u8; 60]> {
    let header = |i: u32| {
        let mut b = [0u8; 60];
        b[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        b[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
        b[26..30].copy_from_slice(&(0x0a00_0000 + i).to_be_bytes());
        b[30..34].copy_from_slice(&(0x0a00_0000 + i).to_be_bytes());
        b[34..36].copy_from_slice(&(i as u16).to_be_bytes());
        b[36..38].copy_from_slice(&80u16.to_be_bytes());
        b[38..40].copy_from_slice(&26u16.to_be_bytes());
        b
    };
    // flows in an order that no prefetcher guesses
    (0..flows).map(|i| header((u64::from(i) * 7_919 % u64::from(flows)) as u32)).collect()
}

fn rig(flows: u32, masks: Vec<Mask>) -> (Control, Worker, u64) {
    let limits = Limits { masks: 512, megaflows: 1 << 21, ..Limits::default() };
    let mut control = Control::new(Arc::new(Fixed(masks)), limits, 7).unwrap();
    let (_, mut worker) = control.add_worker("bench", true).unwrap();
    let pool: Pool = Arc::default();
    pool.lock().unwrap().extend((0..32).map(|_| Frame::from_slice(&[0; 60])));
    let feed = Box::new(Feed { pool: pool.clone(), headers: headers(flows), at: 0 });
    let queues = Queues { rx: vec![feed], tx: Vec::new() };
    control.add_port(PortNo(1), queues, Serve::Fast).map_err(|e| e.0).unwrap();
    let queues = Queues { rx: Vec::new(), tx: vec![Box::new(Sink(pool))] };
    control.add_port(PortNo(2), queues, Serve::Fast).map_err(|e| e.0).unwrap();
    let mut now = 1_000_000;
    for _ in 0..flows / 8 + 100 {
        now += 1000;
        worker.step(Instant::from_nanos(now));
    }
    (control, worker, now)
}

fn run(c: &mut Criterion<ThreadTime>, name: &str, flows: u32, masks: Vec<Mask>) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(32));
    group.sample_size(20);
    group.measurement_time(Duration::from_millis(700));
    group.warm_up_time(Duration::from_millis(200));
    let mut rig = None;
    group.bench_function(flows.to_string(), |b| {
        let (control, worker, now) = rig.get_or_insert_with(|| rig_of(flows, &masks));
        b.iter(|| {
            *now += 1000;
            black_box(worker.step(Instant::from_nanos(*now)))
        });
        let (_, _, c) = control.workers().next().unwrap();
        black_box(c.received.get());
    });
    if let Some((control, ..)) = rig {
        let (_, _, c) = control.workers().next().unwrap();
        let per = |n: u64| 100.0 * n as f64 / c.received.get() as f64;
        println!(
            "{name}/{flows}: simple {:.1}% signature {:.1}% tuple {:.1}% miss {:.2}%, {} megaflows, {} masks",
            per(c.hit_simple.get()),
            per(c.hit_signature.get()),
            per(c.hit_tuple.get()),
            per(c.miss.get()),
            c.megaflows.get(),
            c.masks.get()
        );
    }
}

fn rig_of(flows: u32, masks: &[Mask]) -> (Control, Worker, u64) {
    rig(flows, masks.to_vec())
}

fn caches(c: &mut Criterion<ThreadTime>) {
    let mut group = c.benchmark_group("io");
    group.throughput(Throughput::Elements(32));
    let pool: Pool = Arc::default();
    pool.lock().unwrap().extend((0..32).map(|_| Frame::from_slice(&[0; 60])));
    let mut feed: Box<dyn RxQueue> = Box::new(Feed { pool: pool.clone(), headers: headers(1000), at: 0 });
    let mut sink: Box<dyn TxQueue> = Box::new(Sink(pool));
    let mut burst = Burst::new();
    group.bench_function("1000", |b| {
        b.iter(|| {
            feed.receive(&mut burst);
            black_box(sink.transmit(&mut burst))
        });
    });
    group.finish();
    let tuple = [(NW_SRC, u64::MAX), (NW_DST, u64::MAX), (NW_PROTO, 255), (TP_SRC, 0xffff), (TP_DST, 0xffff)];
    for flows in [1, 1000, 100_000] {
        run(c, "one rule", flows, vec![mask(&[])]);
    }
    for flows in [1000, 10_000, 100_000] {
        let three = vec![mask(&[(NW_DST, 0xffff_ff00)]), mask(&[(NW_DST, 0xffff_fff0)]), mask(&[(NW_DST, u64::MAX)])];
        run(c, "three masks", flows, three);
    }
    for flows in [1, 1000, 10_000, 100_000, 1_000_000] {
        run(c, "five-tuple", flows, vec![mask(&tuple)]);
    }
    for masks in [16, 256u32] {
        let many = (0..masks).map(|i| {
            mask(&[(NW_DST, u64::MAX), (NW_SRC, u64::from(u32::MAX << (i % 20))), (TP_SRC, u64::from(i / 20))])
        });
        run(c, &format!("{masks} masks"), 10_000, many.collect());
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime);
    targets = caches
}
criterion_main!(benches);
