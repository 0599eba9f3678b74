//! Insert, lookup and remove at 1,000 to 1,000,000 rules: exact five-tuples (one mask), and an access list of prefixes
//! and ports (about 60 masks). Rates are per rule or per lookup.
//!
//! With `MEMORY=five_tuple` or `MEMORY=access_list` in the environment it prints the resident bytes of a million rules
//! instead; with `CPU=` and one of the two, processor time per operation, for a busy machine.

use std::hint::black_box;
use std::sync::Arc;

use classifier::{Classifier, Rule};
use criterion::{BatchSize, Criterion, Throughput};
use flow::layout::{ETH_TYPE, NW_DST, NW_PROTO, NW_SRC, TP_DST, TP_SRC};
use flow::{Flow, Mask, Match};

struct Plain {
    matching: Match,
    priority: i32,
}

impl Rule for Plain {
    fn matching(&self) -> &Match {
        &self.matching
    }
    fn priority(&self) -> i32 {
        self.priority
    }
}

/// The same numbers on every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

fn tuple(n: &mut Numbers) -> Flow {
    let (a, b) = (n.next(), n.next());
    let mut flow = Flow::default();
    flow.set(ETH_TYPE, 0x800);
    flow.set(NW_PROTO, if b >> 63 == 0 { 6 } else { 17 });
    flow.w[usize::from(NW_SRC.word)] = a;
    flow.set(TP_SRC, u128::from(b as u16));
    flow.set(TP_DST, u128::from((b >> 16) as u16 & 0x3ff));
    flow
}

fn five_tuples(count: usize) -> Vec<Arc<Plain>> {
    let mut n = Numbers(1);
    let mut mask = Mask::default();
    [ETH_TYPE, NW_SRC, NW_DST, NW_PROTO, TP_SRC, TP_DST].into_iter().for_each(|slot| mask.exact(slot));
    (0..count).map(|_| Arc::new(Plain { matching: Match::new(&tuple(&mut n), &mask), priority: 100 })).collect()
}

fn access_list(count: usize) -> Vec<Arc<Plain>> {
    let mut n = Numbers(2);
    let address = |len: u64| if len == 0 { 0 } else { u128::from(u32::MAX << (32 - len)) };
    let rule = |i: usize| {
        let (flow, r) = (tuple(&mut n), n.next());
        let mut mask = Mask::default();
        [ETH_TYPE, NW_PROTO].into_iter().for_each(|slot| mask.exact(slot));
        mask.set(NW_SRC, address([0, 8, 16, 24, 32][r as usize % 5]));
        mask.set(NW_DST, address([16, 24, 28, 32][(r >> 8) as usize % 4]));
        mask.set(TP_DST, [0, 0xffff, 0xfff0][(r >> 16) as usize % 3]);
        Arc::new(Plain { matching: Match::new(&flow, &mask), priority: (i % 60_000) as i32 })
    };
    (0..count).map(rule).collect()
}

fn fill(rules: &[Arc<Plain>]) -> Classifier<Plain> {
    let mut c = Classifier::default();
    rules.iter().for_each(|r| drop(c.insert(Arc::clone(r))));
    c
}

/// Flows that match a rule each, its wildcards filled at random.
fn hits(rules: &[Arc<Plain>]) -> Vec<Flow> {
    let mut n = Numbers(3);
    let one = |_| {
        let rule = &rules[n.next() as usize % rules.len()];
        let (mut flow, (value, mask)) = (tuple(&mut n), rule.matching.expand());
        flow.w.iter_mut().zip(&value.w).zip(&mask.w).for_each(|((f, v), m)| *f = *f & !m | v);
        flow
    };
    (0..4096).map(one).collect()
}

fn bench(c: &mut Criterion, name: &str, make: fn(usize) -> Vec<Arc<Plain>>) {
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let rules = make(count);
        let full = fill(&rules);
        let flows = hits(&rules);
        let mut g = c.benchmark_group(format!("{name}/{count}"));
        g.sample_size(10).warm_up_time(std::time::Duration::from_millis(300));
        g.measurement_time(std::time::Duration::from_secs(1));
        g.throughput(Throughput::Elements(1));
        let mut at = 0;
        let mut next = || {
            at = (at + 1) % flows.len();
            &flows[at]
        };
        g.bench_function("lookup", |b| {
            b.iter(|| {
                let mut wc = Mask::default();
                black_box(full.lookup(next(), &mut wc).is_some())
            });
        });
        g.bench_function("lookup_fast", |b| b.iter(|| black_box(full.lookup_fast(next()).is_some())));
        g.throughput(Throughput::Elements(count as u64));
        g.bench_function("insert", |b| b.iter_batched(|| (), |()| fill(&rules), BatchSize::PerIteration));
        let remove = |mut c: Classifier<Plain>| {
            rules.iter().for_each(|r| drop(c.remove(&r.matching, r.priority)));
            c
        };
        g.bench_function("remove", |b| b.iter_batched(|| fill(&rules), remove, BatchSize::PerIteration));
        // A published copy before each batch: 1,000 rules replaced, then the old version dropped.
        let batch = rules.len().min(1_000);
        g.throughput(Throughput::Elements(2 * batch as u64));
        let mut now = full.clone();
        let mut start = 0;
        g.bench_function("batch_of_1000_after_publish", |b| {
            b.iter(|| {
                let published = now.clone();
                start = (start + batch) % (rules.len() - batch + 1);
                for r in &rules[start..start + batch] {
                    if let Some(r) = now.remove(&r.matching, r.priority) {
                        now.insert(r);
                    }
                }
                drop(published);
            });
        });
        g.finish();
    }
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|t| t.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Nanoseconds that this thread has run for.
fn ran() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// Prints nanoseconds of processor time per operation.
fn processor_time(make: fn(usize) -> Vec<Arc<Plain>>) {
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let rules = make(count);
        let flows = hits(&rules);
        let (mut spent, mut subtables) = ([0; 4], 0);
        let (rounds, looks) = ((500_000 / count).clamp(1, 500), count.min(100_000));
        let mut done = [0, 0, 0, 0];
        for _ in 0..rounds {
            let start = ran();
            let mut c = fill(&rules);
            let filled = ran();
            for f in flows.iter().cycle().take(looks) {
                black_box(c.lookup(f, &mut Mask::default()));
            }
            let looked = ran();
            for f in flows.iter().cycle().take(looks) {
                black_box(c.lookup_fast(f));
            }
            let fast = ran();
            subtables = c.subtables();
            rules.iter().for_each(|r| drop(c.remove(&r.matching, r.priority)));
            let now = [filled - start, looked - filled, fast - looked, ran() - fast];
            spent.iter_mut().zip(now).for_each(|(b, t)| *b += t);
            done.iter_mut().zip([count, looks, looks, count]).for_each(|(n, more)| *n += more as u64);
        }
        let [insert, lookup, fast, remove] = [0, 1, 2, 3].map(|i| spent[i] / done[i]);
        println!(
            "{count} rules, {subtables} masks: insert {insert} lookup {lookup} lookup_fast {fast} remove {remove} ns"
        );
    }
}

fn main() {
    if let Ok(which) = std::env::var("MEMORY") {
        let make = if which == "access_list" { access_list } else { five_tuples };
        let before = resident();
        let rules = make(1_000_000);
        let middle = resident();
        let c = fill(&rules);
        let (after, n) = (resident(), c.len());
        println!("{n} rules, {} B each; classifier {} B each", (middle - before) / n, (after - middle) / n);
        println!("{:?}", c.stats());
        return;
    }
    if let Ok(which) = std::env::var("CPU") {
        return processor_time(if which == "access_list" { access_list } else { five_tuples });
    }
    let mut c = Criterion::default().configure_from_args();
    bench(&mut c, "five_tuple", five_tuples);
    bench(&mut c, "access_list", access_list);
    c.final_summary();
}
