//! Extraction against what the stock switch says of the same frames, and against a slow twin.
use super::naive::naive;
use super::*;
use crate::layout as l;
use crate::text::NoNames;
use crate::text::format::format_flow;
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Frames in hexadecimal, each with the flow that ofproto/trace of Open vSwitch 3.1 shows for it (vlan-limit 1). A line
/// that begins with `!` is where we differ on purpose: an NSH header that says it is shorter than it is has no fields.
#[test]
fn frames_as_the_stock_switch_sees_them() {
    let mut bad = Vec::new();
    for line in include_str!("../tests/transcripts/packets.txt").lines() {
        let line = line.strip_prefix("! ").unwrap_or(line);
        let (hex, want) = line.split_once(' ').unwrap();
        let got = format_flow(&extract_flow(&unhex(hex), 1, &Metadata::default()).unwrap(), &NoNames);
        if got != want {
            bad.push(format!("{hex}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(bad.is_empty(), "{} differ:\n{}", bad.len(), bad.join("\n"));
}

/// Frames of the transcript, cut, with bytes changed: what is nearly right.
fn near() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<Vec<u8>> = include_str!("../tests/transcripts/packets.txt")
        .lines()
        .map(|line| unhex(line.strip_prefix("! ").unwrap_or(line).split_once(' ').unwrap().0))
        .collect();
    let edits = prop::collection::vec((0usize..100, any::<u8>()), 0..4);
    (prop::sample::select(all), edits, prop::option::of(0usize..120), any::<bool>()).prop_map(
        |(mut f, edits, cut, eth)| {
            for (at, byte) in edits {
                // Half of the frames keep what makes them IP over Ethernet.
                if at < f.len() && (!eth || at > 16) {
                    f[at] = byte;
                }
            }
            f.truncate(cut.unwrap_or(f.len()));
            f
        },
    )
}

fn at(frame: &[u8], depth: Depth, md: &Metadata<'_>) -> Option<(Flow, Layers)> {
    // A key that was used before: nothing of it may be seen again.

    let mut dirty = Flow { w: [0xdead_beef_dead_beef; l::WORDS] };
    dirty.w[l::TIERS_WORD] &= !l::TIERS_BITS;
    let (mut key, mut layers) = (Key::from(&dirty), Layers { l2_5: 1, l3: 2, l4: 3, l2_pad: 4 });
    extract(frame, depth, 7, md, &mut key, &mut layers).ok()?;
    Some((key.to_flow(), layers))
}

fn check(frame: &[u8]) {
    for vlan_limit in 0..3 {
        let md = Metadata { vlan_limit, ..Metadata::default() };
        let all = at(frame, Depth::L4, &md);
        assert_eq!(all, naive(frame, 7, vlan_limit));
        let Some((all, layers)) = all else { return };
        let mut before = Flow::default();
        for depth in [Depth::Simple, Depth::L2, Depth::L3, Depth::L4] {
            let (flow, there) = at(frame, depth, &md).unwrap();
            assert_eq!(there, layers);
            for (i, w) in flow.w.iter().enumerate() {
                // What a shallower parse says stays; nothing is said that is not so.
                assert_eq!(w & before.w[i], before.w[i], "word {i} at {depth:?}");
                assert_eq!(w & all.w[i], *w, "word {i} at {depth:?}");
            }
            before = flow;
        }
        let (simple, _) = at(frame, Depth::Simple, &md).unwrap();
        for slot in [l::ETH_TYPE, l::VLAN_TCI, l::VLAN_TPID, l::VLAN1_TCI, l::VLAN1_TPID, l::NW_FRAG, l::IN_PORT] {
            assert_eq!(simple.get(slot), all.get(slot));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_slow_twin(frame in near()) {
        check(&frame);
    }

    #[test]
    fn any_bytes(frame in prop::collection::vec(any::<u8>(), 0..200), kind in prop::sample::select(vec![
        0x0800u16, 0x86dd, 0x0806, 0x8847, 0x894f, 0x8100, 0x0010])) {
        let mut frame = frame;
        if let Some(k) = frame.get_mut(12..14) {
            k.copy_from_slice(&kind.to_be_bytes());
        }
        check(&frame);
    }

    /// Cut into segments at any place behind the headers, a packet is the same.
    #[test]
    fn chained(frame in near(), keep in 0usize..200) {
        let md = Metadata::default();
        let (mut key, mut layers) = (Key::default(), Layers::default());
        if let Some((flow, whole)) = at(&frame, Depth::L4, &md) {
            let head = &frame[..keep.min(frame.len())];
            let done = extract_chained(head, frame.len() - head.len(), Depth::L4, 7, &md, &mut key, &mut layers);
            if whole.l4 != NO_LAYER && head.len() >= usize::from(whole.l4) + 64 {
                prop_assert_eq!(done, Ok(()));
                prop_assert_eq!(key.to_flow(), flow);
                prop_assert_eq!(layers, whole);
            }
        }
    }
}

/// Every file of the corpus: frames that once were, or could be, trouble.
#[test]
fn corpus() {
    let mut n = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/extract")).unwrap() {
        check(&std::fs::read(file.unwrap().path()).unwrap());
        n += 1;
    }
    assert!(n >= 10);
}

#[test]
fn runts_are_refused() {
    for n in 0..14 {
        assert_eq!(extract_flow(&vec![0; n], 1, &Metadata::default()), Err(Runt));
    }
    assert!(extract_flow(&[0; 14], 1, &Metadata::default()).is_ok());
}

#[test]
fn packets_without_ethernet() {
    let mut frame = vec![0; 14];
    frame.extend(unhex("4500001c000000004011000001020304050607080001000200080000"));
    let md = Metadata { packet_type: 0x1_0800, ..Metadata::default() };
    let flow = extract_flow(&frame[14..], 1, &md).unwrap();
    assert_eq!((flow.get(l::NW_SRC), flow.get(l::TP_DST), flow.get(l::ETH_TYPE)), (0x01020304, 2, 0x800));
    assert_eq!((flow.get(l::PACKET_TYPE), flow.get(l::ETH_DST)), (0x1_0800, 0));
}

#[test]
fn metadata_is_stored() {
    let tunnel = Tunnel { id: 5, dst: 6, ttl: 7, tp_dst: 8, options_map: 1, options: [9; 32], ..Tunnel::default() };
    let src = "1.2.3.4".parse().unwrap();
    let tuple = CtTuple { src, dst: src, proto: 6, tp_src: 1, tp_dst: 2 };
    let more = More {
        dp_hash: 1,
        skb_priority: 2,
        ct_mark: 3,
        ct_label: 4 << 64 | 5,
        ct_tuple: Some(tuple),
        tunnel: Some(tunnel.clone()),
    };
    let md = Metadata { recirc_id: 1, pkt_mark: 2, ct_state: 3, ct_zone: 4, more: Some(&more), ..Metadata::default() };
    for frame in [&[0; 14][..], &unhex(include_str!("../tests/transcripts/packets.txt").split(' ').next().unwrap())] {
        let flow = extract_flow(frame, 1, &md).unwrap();
        let get = |s| flow.get(s);
        assert_eq!([get(l::RECIRC_ID), get(l::PKT_MARK), get(l::CT_STATE), get(l::CT_ZONE)], [1, 2, 3, 4]);
        assert_eq!([get(l::DP_HASH), get(l::SKB_PRIORITY), get(l::CT_MARK), get(l::CT_LABEL)], [1, 2, 3, 4 << 64 | 5]);
        assert_eq!([get(l::CT_NW_SRC), get(l::CT_NW_PROTO), get(l::CT_TP_DST)], [0x01020304, 6, 2]);
        assert_eq!(Tunnel::of(&flow), tunnel);
    }
}
