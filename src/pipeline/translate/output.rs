//! Sending: to a port, through a patch, to all.

use std::sync::Arc;

use dpif::{Action as DpAction, DropReason, Thing};
use flow::layout as l;
use openflow::{OfPort, Subfield};

use super::state::from16;
use super::{MAX_NEST, MAX_STEPS, Sink, Walk};
use crate::snapshot::port::{PatchPeer, Port, PortKind};

impl<S: Sink> Walk<'_, S> {
    /// `output:port`, reserved ports included.
    pub(crate) fn output(&mut self, port: OfPort, max_len: u16) {
        match port {
            OfPort::IN_PORT => {
                let in_port = self.st.in_port();
                self.output_port(in_port);
            }
            OfPort::NORMAL => self.normal(),
            OfPort::FLOOD => self.flood(false),
            OfPort::ALL => self.flood(true),
            OfPort::CONTROLLER => self.packet_in(0, max_len, self.st.by.reason, &[], None),
            OfPort::TABLE => self.table(0, false),
            OfPort::NONE | OfPort::UNSET => {}
            port => self.output_numbered(port),
        }
    }

    /// To a port's queue; the packet's own queue is for what follows.
    pub(crate) fn enqueue(&mut self, port: OfPort, queue: u32) {
        let view = &mut self.st.now;
        let before = (view.flow.get(l::SKB_PRIORITY), view.written.get(l::SKB_PRIORITY));
        self.write(l::SKB_PRIORITY, u128::from(queue), u128::MAX);
        self.output(port, 0);
        let view = &mut self.st.now;
        view.flow.set(l::SKB_PRIORITY, before.0);
        view.written.set(l::SKB_PRIORITY, before.1);
    }

    /// Back to the priority that the packet came with.
    pub(crate) fn unset_queue(&mut self) {
        let own = self.input.flow.get(l::SKB_PRIORITY);
        self.st.now.flow.set(l::SKB_PRIORITY, own);
        self.st.now.written.set(l::SKB_PRIORITY, 0);
    }

    fn output_numbered(&mut self, port: OfPort) {
        if port == self.st.in_port() {
            self.warn(|| "skipping output to input port".into());
            self.reason(DropReason::InPortOutput);
        } else {
            self.output_port(port);
        }
    }

    pub(crate) fn output_register(&mut self, src: Subfield, max_len: u16) {
        if let Some(value) = self.load(src)
            && let Ok(number) = u16::try_from(value)
        {
            self.detail(|| format!("output port is {}", from16(number)));
            self.output(from16(number), max_len);
        }
    }

    /// `output(port=N,max_len=M)`: the next output alone is cut.
    pub(crate) fn output_truncated(&mut self, port: OfPort, max_len: u32) {
        let port = if port == OfPort::IN_PORT { self.st.in_port() } else { port };
        let Some(found) = self.bridge.ports.get(&port).filter(|p| p.device().is_some() && p.sends()) else {
            return self.output(port, 0);
        };
        let device = found.device();
        self.commit();
        self.out.actions.push(DpAction::Trunc(max_len));
        self.send(device);
        self.mirror_out(found);
    }

    /// To a port of this bridge, the one that it came from too.
    pub(crate) fn output_port(&mut self, port: OfPort) {
        let bridge = self.bridge;
        let Some(found) = bridge.ports.get(&port) else {
            self.warn(|| "Nonexistent output port".into());
            self.out.deps.things.push(Thing::Bridge(bridge.index));
            self.reason(DropReason::NoSuchPort);
            return;
        };
        self.output_to(found);
    }

    pub(crate) fn output_to(&mut self, port: &Arc<Port>) {
        let of_port = match port.kind {
            PortKind::Device(device) => Thing::Port(device),
            PortKind::Patch { .. } => Thing::Bridge(self.bridge.index),
        };
        self.out.deps.things.push(of_port);
        if !port.sends() {
            self.warn(|| format!("port {} does not forward", port.number));
            self.reason(DropReason::NoSuchPort);
            return;
        }
        match (&port.kind, port.peer) {
            (PortKind::Device(device), _) => {
                self.commit();
                if self.st.snaplen != 0 {
                    self.out.actions.push(DpAction::Trunc(self.st.snaplen.into()));
                }
                self.send(Some(*device));
                self.mirror_out(port);
            }
            (_, Some(peer)) => self.through_patch(peer),
            (_, None) => {
                self.warn(|| "the patch has no peer".into());
                self.reason(DropReason::NoSuchPort);
            }
        }
    }

    fn send(&mut self, device: Option<dpif::PortNo>) {
        if self.out.actions.len() >= MAX_STEPS {
            return self.fail(DropReason::Translation);
        }
        if let Some(device) = device {
            self.out.deps.things.push(Thing::Port(device));
            self.out.actions.push(DpAction::Output(device));
            self.st.outputs += 1;
        }
    }

    /// Goes on in the bridge at the other end. What happens there does not show here.
    fn through_patch(&mut self, peer: PatchPeer) {
        let snap = self.snap;
        let Some(bridge) = snap.bridge(peer.bridge) else { return };
        if self.st.depth >= super::MAX_DEPTH || self.st.nest >= MAX_NEST {
            self.fail(DropReason::Depth);
            return;
        }
        self.out.deps.things.push(Thing::Bridge(peer.bridge));
        self.st.depth += 1;
        let mirrors = std::mem::take(&mut self.st.mirrors);
        self.isolated(|w| {
            w.bridge = bridge;
            w.st.stack.clear();
            w.st.stack_bytes = 0;
            w.st.action_set.clear();
            w.forget_connection();
            w.enter(peer.port);
        });
        self.st.depth = self.st.depth.saturating_sub(1);
        self.st.mirrors = mirrors;
    }

    /// FLOOD (ports that are not set no_flood) or ALL.
    fn flood(&mut self, all: bool) {
        let (bridge, in_port) = (self.bridge, self.st.in_port());
        self.out.deps.things.push(Thing::Bridge(bridge.index));
        self.reason(DropReason::InPortOutput);
        for port in bridge.local_first() {
            if self.failed() {
                break;
            }
            if port.number != in_port && if all { port.sends() } else { port.floods() } {
                self.output_to(port);
            }
        }
    }
}
