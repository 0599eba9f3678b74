//! A worker's handle on the tables: pins a version, translates under it, takes effects.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::clock::Instant;
use base::rcu::{OfflineReader, Reader as RcuReader, Registry};
use dpif::action::Userspace;
use dpif::{Change, DropReason, Effect, Input, PortNo, Reader, Translate, Translation};
use flow::Flow;
use flow::layout::KEY_WORDS;
use openflow::OfPort;

use crate::normal::fdb::FdbKey;
use crate::recirc::Shared;
use crate::snapshot::Snapshot;
use crate::translate::{Silent, State};

/// What the root hands to the datapath.
pub(crate) struct Translator {
    pub(crate) versions: Registry<Snapshot>,
    pub(crate) shared: Arc<Shared>,
}

impl Translate for Translator {
    fn reader(&self, name: &str) -> Box<dyn Reader> {
        Box::new(PipelineReader {
            pin: Pin::Online(self.versions.reader(name)),
            shared: self.shared.clone(),
            state: Box::default(),
        })
    }
}

enum Pin {
    Online(RcuReader<Snapshot>),
    Offline(OfflineReader<Snapshot>),
    /// Only while changing from one to the other.
    Moving,
}

struct PipelineReader {
    pin: Pin,
    shared: Arc<Shared>,
    state: Box<State>,
}

impl PipelineReader {
    fn online(&mut self) {
        if !matches!(self.pin, Pin::Online(_)) {
            self.pin = match std::mem::replace(&mut self.pin, Pin::Moving) {
                Pin::Offline(reader) => Pin::Online(reader.online()),
                pin => pin,
            };
        }
    }

    fn current(&self) -> Option<&Snapshot> {
        match &self.pin {
            Pin::Online(reader) => Some(reader.current()),
            _ => None,
        }
    }
}

impl Reader for PipelineReader {
    fn refresh(&mut self) -> u64 {
        self.online();
        match &mut self.pin {
            Pin::Online(reader) => reader.refresh().version,
            _ => 0,
        }
    }

    fn offline(&mut self) {
        self.pin = match std::mem::replace(&mut self.pin, Pin::Moving) {
            Pin::Online(reader) => Pin::Offline(reader.into_offline()),
            pin => pin,
        };
    }

    fn changes(&self, since: u64, visit: &mut dyn FnMut(&Change)) -> bool {
        self.current().is_some_and(|s| s.log.visit(since, visit))
    }

    fn translate(&mut self, input: &Input<'_>, out: &mut Translation) {
        self.online();
        if let Pin::Online(reader) = &self.pin {
            crate::translate::run(reader.current(), &self.shared, input, &mut self.state, out, Silent);
            if self.shared.exact.load(Ordering::Relaxed) {
                out.mask.w.iter_mut().take(KEY_WORDS).for_each(|word| *word = u64::MAX);
            }
        }
    }

    fn apply(&mut self, effect: &Effect, now: Instant) -> bool {
        self.online();
        if let Effect::Learn { bridge, vlan, mac, port, .. } = effect {
            let entry = self
                .current()
                .and_then(|s| s.bridge(*bridge))
                .and_then(|b| b.fdb.get(FdbKey { vlan: *vlan, mac: *mac }))
                .filter(|e| e.port == OfPort(*port));
            if let Some(entry) = entry {
                entry.touch(now);
                return true;
            }
        }
        self.shared.effects.push((effect.clone(), now)).is_ok()
    }

    fn upcall(&mut self, what: Userspace, flow: &Flow, frame: &[u8], _now: Instant) -> Result<(), DropReason> {
        match what {
            Userspace::Controller(packet) => self.shared.tell(packet.id, flow, frame),
            _ => Err(DropReason::Unsupported),
        }
    }

    fn port_known(&self, port: PortNo) -> bool {
        self.current().is_some_and(|s| s.port(port).is_some())
    }
}
