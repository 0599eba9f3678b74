//! Captures: `ofp-parse-pcap`, OpenFlow messages out of TCP streams, and `parse-pcap`, the flows that packets have.

use super::link::tell;
use super::{Call, Done};
use crate::setup::{self, print};
use flow::extract::{Metadata, extract_flow};
use flow::text::NoNames;
use flow::text::format::format_flow;
use openflow::wire::Frames;
use packet::locate::{L4, layers_of};
use packet::{pcap, tcp};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;

/// TCP ports of OpenFlow: before it had one, and IANA's.
const PORTS: [u16; 2] = [6633, 6653];
/// A packet of a file came by no port: OFPP_NONE.
pub(super) const NO_PORT: u32 = 0xffff;
/// Bytes that may wait for what was lost or comes late; more end the stream.
const WAITING: usize = 1 << 20;

/// One direction of a connection.
struct Stream {
    /// The next byte's sequence number; None before the first segment.
    next: Option<u32>,
    /// Segments that came too early, by how far they are ahead.
    early: BTreeMap<u32, Vec<u8>>,
    frames: Frames,
    broken: bool,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream { next: None, early: BTreeMap::new(), frames: Frames::new(), broken: false }
    }
}

impl Stream {
    /// Takes a segment's bytes, in whatever order they come.
    fn segment(&mut self, seq: u32, data: &[u8]) {
        let next = *self.next.get_or_insert(seq);
        let ahead = seq.wrapping_sub(next);
        if ahead != 0 && ahead < 1 << 31 {
            self.broken |= self.early.values().map(Vec::len).sum::<usize>() + data.len() > WAITING;
            self.early.entry(seq).or_insert_with(|| data.to_vec());
            return;
        }
        self.take(seq, data);
        while let Some(seq) = self.early.keys().copied().find(|seq| self.behind(*seq) < 1 << 31) {
            let data = self.early.remove(&seq).unwrap_or_default();
            self.take(seq, &data);
        }
    }

    /// How far the next byte is behind `seq`, going round.
    fn behind(&self, seq: u32) -> u32 {
        self.next.unwrap_or(seq).wrapping_sub(seq)
    }

    /// Takes what is new of bytes that begin at the next one or before it.
    fn take(&mut self, seq: u32, data: &[u8]) {
        let known = self.behind(seq) as usize;
        let Some(new) = data.get(known..).filter(|new| !new.is_empty()) else { return };
        self.frames.push(new);
        self.next = Some(seq.wrapping_add(data.len() as u32));
    }
}

pub(super) fn ofp_parse_pcap(call: &Call) -> Done {
    let (path, ports) = call.arguments.split_first().ok_or("a file is missing")?;
    let port = |text: &String| text.parse::<u16>().map_err(|_| format!("{text}: not a port of TCP"));
    let mut ports = ports.iter().map(port).collect::<Result<Vec<_>, _>>()?;
    if ports.is_empty() {
        ports.extend(PORTS);
    }
    let open = |e: &std::io::Error| format!("{path}: open failed ({})", ovsdb::error::strerror(e));
    let file = File::open(path).map_err(|e| open(&e))?;
    let mut capture = pcap::Reader::new(BufReader::new(file)).map_err(|e| format!("{path}: {e}"))?;
    let mut streams: HashMap<(SocketAddr, SocketAddr), Stream> = HashMap::new();
    let mut first = true;
    while let Some(record) = capture.record().map_err(|e| format!("{path}: {e}"))? {
        let Some(at) = layers_of(&record.data, record.data.len()).filter(|l| matches!(l.l4, L4::Tcp { .. })) else {
            continue;
        };
        let Some(Ok(segment)) = record.data.get(at.l4_at..at.end).map(tcp::View::parse) else { continue };
        let (src, dst) = (segment.header.src.get(), segment.header.dst.get());
        if !ports.contains(&src) && !ports.contains(&dst) {
            continue;
        }
        let ends = (SocketAddr::new(at.src, src), SocketAddr::new(at.dst, dst));
        let (stream, flags) = (streams.entry(ends).or_default(), segment.header.flags());
        let mut seq = segment.header.seq.get();
        if flags.has(tcp::Flags::SYN) {
            // a connection begins, perhaps another one between the same ports
            *stream = Stream { next: Some(seq.wrapping_add(1)), ..Stream::default() };
            seq = seq.wrapping_add(1);
        }
        stream.segment(seq, segment.payload);
        while !stream.broken {
            let bytes = match stream.frames.message() {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(e) => {
                    log::warn!(target: "ofctl", "{} > {}: {e}; the rest of it is passed over", ends.0, ends.1);
                    stream.broken = true;
                    break;
                }
            };
            if !std::mem::take(&mut first) {
                print("\n");
            }
            let time = match call.parsed.has("timestamp") {
                true => time(record.nanos),
                false => String::new(),
            };
            let end = |a: SocketAddr| format!("{}.{}", a.ip(), a.port());
            print(&format!("{time}{} > {}:\n{}", end(ends.0), end(ends.1), tell(bytes, call.verbosity)));
        }
    }
    Ok(())
}

/// The time of day, and a blank.
fn time(nanos: u64) -> String {
    let date = setup::date(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX));
    let time = date.split_once(['T', ' ']).map_or(&*date, |(_, time)| time);
    format!("{} ", time.trim_end_matches('Z'))
}

/// Prints the flow that each packet of captures has, a line each.
pub(super) fn parse_pcap(call: &Call) -> Done {
    let metadata = Metadata { vlan_limit: 2, ..Metadata::default() };
    for path in call.arguments {
        let file = File::open(path).map_err(|e| format!("{path}: open failed ({})", ovsdb::error::strerror(&e)))?;
        let mut capture = pcap::Reader::new(BufReader::new(file)).map_err(|e| format!("{path}: {e}"))?;
        while let Some(record) = capture.record().map_err(|e| format!("{path}: {e}"))? {
            // what is too short for an Ethernet header has no flow
            if let Ok(flow) = extract_flow(&record.data, NO_PORT, &metadata) {
                print(&format!("{}\n", format_flow(&flow, &NoNames)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes come once and in order, whatever became of the segments on their way.
    #[test]
    fn segments_late_twice_and_overlapping() {
        let message = |xid: u8| vec![1, 5, 0, 8, 0, 0, 0, xid];
        let bytes: Vec<u8> = (1..=3).flat_map(message).collect();
        for first in [100, u32::MAX - 5] {
            let mut stream = Stream { next: Some(first), ..Stream::default() };
            for (from, to) in [(12, 20), (0, 5), (0, 5), (20, 24), (3, 13)] {
                stream.segment(first.wrapping_add(from as u32), &bytes[from..to]);
            }
            let mut xids = Vec::new();
            while let Some(message) = stream.frames.message().unwrap() {
                xids.push(message[7]);
            }
            assert_eq!((xids, stream.broken), (vec![1, 2, 3], false), "{first}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut stream = Stream { next: Some(0), ..Stream::default() };
        (1..20u32).for_each(|n| stream.segment(n << 16, &[0; 1 << 16]));
        assert!(stream.broken);
    }

    #[test]
    fn a_packet_has_no_port() {
        let frame =
            packet::hex::parse("50540000000a505400000001080600010800060400015054000000010a0000020000000000000a000001");
        let flow = extract_flow(&frame.unwrap(), NO_PORT, &Metadata { vlan_limit: 2, ..Metadata::default() }).unwrap();
        assert_eq!(
            format_flow(&flow, &NoNames),
            "arp,in_port=ANY,vlan_tci=0x0000,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:0a,arp_spa=10.0.0.2,\
             arp_tpa=10.0.0.1,arp_op=1,arp_sha=50:54:00:00:00:01,arp_tha=00:00:00:00:00:00"
        );
    }
}
