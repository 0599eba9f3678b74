//! Running a program on a packet: outputs, copies, recirculation, copies to management; header rewrites are in the files
//! beside this one.

mod l2;
mod l3;
mod l4;
mod locate;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use base::clock::Instant;
use dpif::action::{HashAlgorithm, Userspace};
use dpif::{Action, DropReason, PortNo, Reader, Set};
use flow::Key;
use flow::extract::Layers;
use flow::layout::{CT_STATE, CT_ZONE, IN_PORT, IPV6_DST, IPV6_SRC, NW_DST, NW_PROTO, NW_SRC, TP_DST, TP_SRC};
use packet::Frame;

use crate::fate::COPY;
use crate::meta::{Meta, Waiting, extract_all};
use crate::program::MAX_NESTING;
use crate::tx::Tx;

/// Recirculations of one packet.
pub(crate) const MAX_RECIRCULATIONS: u8 = 6;
/// Packets that wait for recirculation on a worker.
const MAX_WORK: usize = 4096;
/// ct_state while there is no connection tracker: tracked and invalid.
const CT_INVALID: u32 = 0x20 | 0x10;

/// Where actions put packets.
pub(crate) struct Out {
    pub(crate) tx: Tx,
    /// Recirculated packets, oldest first.
    pub(crate) work: VecDeque<Waiting>,
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) vlan_limit: u8,
    key: Box<Key>,
}

/// A packet while a program runs on it.
pub(crate) struct Packet {
    /// Slot of its in_port; stays known for copies.
    pub(crate) slot: u16,
    pub(crate) in_port: PortNo,
    pub(crate) primary: bool,
    pub(crate) meta: Meta,
    /// Bytes that the next output sends, at most.
    trunc: Option<u32>,
}

impl Packet {
    pub(crate) fn new(slot: u16, in_port: PortNo, primary: bool, meta: Meta) -> Packet {
        Packet { slot, in_port, primary, meta, trunc: None }
    }

    /// The slot whose counters its fate goes to.
    fn fate(&self) -> u16 {
        if self.primary { self.slot } else { self.slot | COPY }
    }
}

/// A header rewrite that could not be done: the packet is dropped for this reason.
pub(crate) type Done = Result<(), DropReason>;

impl Out {
    pub(crate) fn new(tx: Tx, reader: Box<dyn Reader>) -> Out {
        Out { tx, work: VecDeque::with_capacity(64), reader, vlan_limit: 1, key: Box::default() }
    }

    /// Runs the steps. The packet ends here: sent, queued, consumed, or dropped for `otherwise` when no step took it.
    pub(crate) fn run(&mut self, steps: &[Action], frame: Frame, p: &mut Packet, otherwise: DropReason, now: Instant) {
        self.nested(steps, frame, p, otherwise, now, 0);
    }

    fn nested(
        &mut self,
        steps: &[Action],
        mut frame: Frame,
        p: &mut Packet,
        otherwise: DropReason,
        now: Instant,
        nesting: usize,
    ) {
        // a copy went on: management's is one more, not what became of the packet
        let mut sent = false;
        for (i, step) in steps.iter().enumerate() {
            let last = i + 1 == steps.len();
            let done = match step {
                Action::Output(port) if last => {
                    if let Some(n) = p.trunc.take() {
                        frame.trim(n as usize);
                    }
                    self.tx.output(port.0, frame, p.fate());
                    return;
                }
                Action::Output(port) => {
                    self.copy_out(*port, &frame, p);
                    sent = true;
                    Ok(())
                }
                Action::Recirc(id) if last => {
                    let primary = p.primary;
                    self.recirculate(frame, id.0, p, primary);
                    return;
                }
                Action::Recirc(id) => {
                    match frame.try_clone() {
                        Some(copy) => self.recirculate(copy, id.0, p, false),
                        None => self.tx.fates.worker.lost.add(1),
                    }
                    Ok(())
                }
                Action::Userspace(what) => {
                    let taken = self.upcall(*what, &frame, p, now);
                    match (last, sent, taken) {
                        (false, ..) => Ok(()),
                        (true, true, _) => return self.tx.fates.went_on(p.fate()),
                        (true, false, Ok(())) => return self.tx.fates.consumed(p.fate()),
                        (true, false, Err(reason)) => Err(reason),
                    }
                }
                Action::Drop(reason) => Err(*reason),
                Action::Clone(inner) if nesting < MAX_NESTING => {
                    if let Some(copy) = frame.try_clone() {
                        let mut q = Packet { primary: false, ..*p };
                        self.nested(inner, copy, &mut q, otherwise, now, nesting + 1);
                    } else {
                        self.tx.fates.worker.lost.add(1);
                    }
                    Ok(())
                }
                Action::Clone(_) => Err(DropReason::Unsupported),
                Action::CheckLen { size, more, other } if nesting < MAX_NESTING => {
                    let branch = if frame.len() > usize::from(*size) { more } else { other };
                    if last {
                        return self.nested(branch, frame, p, otherwise, now, nesting + 1);
                    }
                    if let Some(copy) = frame.try_clone() {
                        let mut q = Packet { primary: false, ..*p };
                        self.nested(branch, copy, &mut q, otherwise, now, nesting + 1);
                    } else {
                        self.tx.fates.worker.lost.add(1);
                    }
                    Ok(())
                }
                Action::CheckLen { .. } => Err(DropReason::Unsupported),
                Action::Trunc(n) => {
                    p.trunc = Some(*n);
                    Ok(())
                }
                Action::Meter(meter) if meter.admit(frame.len() as u64, now) => Ok(()),
                Action::Meter(_) => Err(DropReason::Meter),
                Action::PushVlan { tpid, tci } => l2::push_vlan(&mut frame, *tpid, *tci),
                Action::PopVlan => l2::pop_vlan(&mut frame),
                Action::PushMpls { lse, ethertype } => l2::push_mpls(&mut frame, *lse, *ethertype, self.vlan_limit),
                Action::PopMpls { ethertype } => l2::pop_mpls(&mut frame, *ethertype),
                Action::Set(set) => apply(set, &mut frame, &mut p.meta),
                Action::Hash { algorithm, basis } => {
                    p.meta.dp_hash = self.hash(*algorithm, *basis, &frame, p);
                    Ok(())
                }
                Action::Ct(ct) => {
                    p.meta.ct_state = CT_INVALID;
                    p.meta.ct_zone = ct.zone;
                    Ok(())
                }
                Action::CtClear => {
                    p.meta = Meta { ct_state: 0, ct_zone: 0, ct_mark: 0, ct_label: 0, ..p.meta };
                    Ok(())
                }
            };
            if let Err(reason) = done {
                self.tx.fates.lost(p.fate(), reason, &frame);
                return;
            }
        }
        self.tx.fates.lost(p.fate(), otherwise, &frame);
    }

    fn copy_out(&mut self, port: PortNo, frame: &Frame, p: &mut Packet) {
        let Some(mut copy) = frame.try_clone() else {
            self.tx.fates.worker.lost.add(1);
            return;
        };
        if let Some(n) = p.trunc.take() {
            copy.trim(n as usize);
        }
        self.tx.output(port.0, copy, p.slot | COPY);
    }

    fn recirculate(&mut self, frame: Frame, id: u32, p: &Packet, primary: bool) {
        if p.meta.depth >= MAX_RECIRCULATIONS || self.work.len() >= MAX_WORK {
            self.tx.fates.lost(if primary { p.slot } else { p.slot | COPY }, DropReason::Recirculation, &frame);
            return;
        }
        let meta = Meta { recirc_id: id, depth: p.meta.depth + 1, ..p.meta };
        self.tx.fates.worker.recirculated.add(1);
        self.work.push_back(Waiting { frame, slot: p.slot, primary, meta });
    }

    /// A copy to management: the key as it is now and the bytes.
    #[cold]
    fn upcall(&mut self, what: Userspace, frame: &Frame, p: &mut Packet, now: Instant) -> Done {
        let mut layers = Layers::default();
        if extract_all(frame, p.in_port.0, &p.meta, self.vlan_limit, &mut self.key, &mut layers).is_err() {
            return Err(DropReason::Runt);
        }
        let mut bytes = std::borrow::Cow::Borrowed(frame.data());
        if !frame.is_linear() {
            bytes = frame.to_vec().into();
        }
        let most = p.trunc.take().map_or(bytes.len(), |n| n as usize).min(bytes.len());
        let bytes = bytes.get(..most).unwrap_or_default();
        let taken = self.reader.upcall(what, &self.key.to_flow(), bytes, now);
        self.tx.fates.worker.lost.add(u64::from(taken.is_err()));
        taken
    }

    /// dp_hash of the packet; never 0, which means "not computed".
    fn hash(&mut self, algorithm: HashAlgorithm, basis: u32, frame: &Frame, p: &Packet) -> u32 {
        let mut layers = Layers::default();
        let in_port = p.in_port.0;
        if extract_all(frame, in_port, &p.meta, self.vlan_limit, &mut self.key, &mut layers).is_err() {
            return 1;
        }
        self.key.set(IN_PORT, 0);
        self.key.set(CT_STATE, 0);
        self.key.set(CT_ZONE, 0);
        (dp_hash(&self.key, algorithm, basis) as u32).max(1)
    }
}

fn dp_hash(key: &Key, algorithm: HashAlgorithm, basis: u32) -> u64 {
    let get = |slot| key.get(slot);
    let ip = |v4, v6| get(v4) << 64 ^ get(v6);
    let (mut src, mut dst) = (ip(NW_SRC, IPV6_SRC), ip(NW_DST, IPV6_DST));
    let (mut sport, mut dport) = (get(TP_SRC), get(TP_DST));
    if algorithm == HashAlgorithm::SymmetricL4 && (src, sport) > (dst, dport) {
        (src, dst, sport, dport) = (dst, src, dport, sport);
    }
    let base = [
        (src >> 64) as u64,
        src as u64,
        (dst >> 64) as u64,
        dst as u64,
        (sport << 16 | dport) as u64,
        get(NW_PROTO) as u64,
        0,
        0,
    ];
    crate::cache::hash::masked(&base, &[u64::MAX; 8], u64::from(basis))
}

/// Rewrites a header, or the metadata.
fn apply(set: &Set, frame: &mut Frame, meta: &mut Meta) -> Done {
    match set {
        Set::Eth { src, src_mask, dst, dst_mask } => l2::set_eth(frame, src, src_mask, dst, dst_mask),
        Set::Vlan { tci, mask } => l2::set_vlan(frame, *tci, *mask),
        Set::Mpls { lse, mask } => l2::set_mpls(frame, *lse, *mask),
        Set::Ipv4 { .. } => l3::set_ipv4(frame, set),
        Set::Ipv6 { .. } => l3::set_ipv6(frame, set),
        Set::Arp { .. } => l3::set_arp(frame, set),
        Set::Nd { .. } => l3::set_nd(frame, set),
        Set::Tcp(ports) => l4::set_ports(frame, 6, ports),
        Set::Udp(ports) => l4::set_ports(frame, 17, ports),
        Set::Sctp(ports) => l4::set_ports(frame, 132, ports),
        Set::Icmp { kind, kind_mask, code, code_mask } => l4::set_icmp(frame, *kind, *kind_mask, *code, *code_mask),
        Set::Nsh { .. } => l4::set_nsh(frame, set),
        Set::PktMark { value, mask } => {
            meta.pkt_mark = meta.pkt_mark & !mask | value & mask;
            Ok(())
        }
        Set::SkbPriority { value, mask } => {
            meta.skb_priority = meta.skb_priority & !mask | value & mask;
            Ok(())
        }
    }
}

/// What rewriting steps make of a frame that a program then sends; None when a step fails.
#[cfg(test)]
pub(crate) fn rewritten(program: &crate::program::Program, mut frame: Frame) -> Option<Vec<u8>> {
    for step in &program.0 {
        match step {
            Action::Set(set) => apply(set, &mut frame, &mut Meta::default()).ok()?,
            Action::PushVlan { tpid, tci } => l2::push_vlan(&mut frame, *tpid, *tci).ok()?,
            _ => return Some(frame.to_vec()),
        }
    }
    None
}
