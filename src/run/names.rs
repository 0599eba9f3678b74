//! Port names of one bridge, for reading and printing flows.

use openflow::OfPort;
use openflow::text::PortNames;
use pipeline::Snapshot;

/// Names as the tables have them.
pub(super) struct Names<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) bridge: &'a str,
}

impl PortNames for Names<'_> {
    fn number(&self, name: &str) -> Option<OfPort> {
        self.snapshot.bridge_named(self.bridge)?.port_named(name).map(|p| p.number)
    }

    /// Ports are printed as numbers, as ovs-ofctl does without `--names`.
    fn name(&self, _port: OfPort) -> Option<String> {
        None
    }
}

/// The same for the text of matches.
pub(super) struct FlowNames<'a>(pub(super) &'a Names<'a>);

impl flow::text::Names for FlowNames<'_> {
    fn port(&self, name: &str) -> Option<u16> {
        self.0.number(name).and_then(|p| u16::try_from(p.0 & 0xffff).ok())
    }
}
