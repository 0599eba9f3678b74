//! Extraction and hashing per packet: bursts of 32 frames over 1024 in memory, so that nothing is predicted by its bytes.
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flow::{Depth, Key, Layers, Metadata, extract};
use std::hint::black_box;

/// A frame of 60 bytes: Ethernet, perhaps a tag, IPv4, UDP or TCP; addresses and ports from `n`.
fn frame(n: u32, vlan: bool, proto: u8) -> Vec<u8> {
    let mut f = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    if vlan {
        f.extend([0x81, 0, 0, 100]);
    }
    f.extend([8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, proto, 0, 0]);
    f.extend((0x0a00_0000 + n).to_be_bytes());
    f.extend((0x0b00_0000 + n).to_be_bytes());
    f.extend((n as u16).to_be_bytes());
    f.extend([0, 53, 0, 26, 0, 0]);
    f.resize(if vlan { 64 } else { 60 }, 0);
    f
}

fn ipv6(n: u32) -> Vec<u8> {
    let mut f = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64];
    f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
    f.extend(n.to_be_bytes());
    f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
    f.extend((!n).to_be_bytes());
    f.resize(74, 7);
    f
}

fn benches(c: &mut Criterion) {
    let sets: [(&str, Vec<Vec<u8>>); 4] = [
        ("udp", (0..1024).map(|n| frame(n, false, 17)).collect()),
        ("vlan_udp", (0..1024).map(|n| frame(n, true, 17)).collect()),
        ("tcp_udp_mixed", (0..1024).map(|n| frame(n, n % 3 == 0, if n % 7 < 3 { 6 } else { 17 })).collect()),
        ("ipv6_tcp", (0..1024).map(ipv6).collect()),
    ];
    let md = Metadata::default();
    let mut keys = vec![Key::default(); 32];
    let mut layers = [Layers::default(); 32];
    for (name, frames) in &sets {
        let mut g = c.benchmark_group(format!("extract/{name}"));
        g.throughput(Throughput::Elements(1024));
        for depth in [Depth::Simple, Depth::L2, Depth::L3, Depth::L4] {
            g.bench_function(format!("{depth:?}"), |b| {
                b.iter(|| {
                    for burst in frames.chunks(32) {
                        for ((f, key), l) in burst.iter().zip(&mut keys).zip(&mut layers) {
                            let _ = extract(black_box(f), depth, 1, &md, key, l);
                        }
                        black_box((&keys, &layers));
                    }
                });
            });
        }
        g.finish();
    }
    let mut g = c.benchmark_group("hash");
    g.throughput(Throughput::Elements(32));
    let mask = [u64::MAX, u64::MAX, 0, u64::MAX, u64::MAX, 0, 0, 0];
    g.bench_function("hash_masked", |b| {
        b.iter(|| keys.iter().fold(0, |h, k| h ^ flow::hash::hash_masked(k.base(), black_box(&mask), 1)));
    });
    g.finish();
}

criterion_group! { name = all; config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_millis(800)).warm_up_time(std::time::Duration::from_millis(200)); targets = benches }
criterion_main!(all);
