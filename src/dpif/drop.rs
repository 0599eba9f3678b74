//! Why a packet was dropped: one row per reason, in the order of the counters that index by it.

macro_rules! reasons {
    ($($name:ident, $text:literal, $doc:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $(#[doc = $doc] $name,)* }

        impl DropReason {
            /// All reasons, each at the index that its counter has.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];

            /// The name used in counters, metrics and text.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$name => $text,)* }
            }

            /// What it means, a sentence for people.
            pub const fn describe(self) -> &'static str {
                match self { $(DropReason::$name => $doc,)* }
            }
        }
    };
}

reasons! {
    Runt, "runt", "Shorter than an Ethernet header.";
    Malformed, "malformed", "An action needs a header that is truncated or inconsistent.";
    Oversized, "oversized", "Longer than the output port's MTU and not segmentable.";
    NoBridge, "no_bridge", "Received on a port that belongs to no bridge.";
    Rule, "rule", "The matching rule says drop, or has no action.";
    TableMiss, "table_miss", "No rule matched and the table's miss behaviour is drop.";
    InPortOutput, "in_port_output", "The only output is the port it came from.";
    NoSuchPort, "no_such_port", "Output to a port that does not exist or is down.";
    Vlan, "vlan", "The port's VLAN configuration does not admit it.";
    ReservedMac, "reserved_mac", "A reserved multicast destination (802.1D) that the bridge does not forward.";
    MirrorPort, "mirror_port", "Received on, or for, a port that is reserved for a mirror's copies.";
    OwnMac, "own_mac", "Sent by this bridge's own address through another of its ports.";
    Fragment, "fragment", "An IP fragment, and the bridge drops these.";
    Depth, "depth", "Resubmitted too deep (64 levels) or too often (4096 lookups).";
    StackTooDeep, "stack", "The translation's stack outgrew 64 kB or was popped empty.";
    Recirculation, "recirculation", "Recirculated more often than allowed, or the frozen state is gone.";
    TtlExceeded, "ttl_exceeded", "The IP or MPLS TTL reached 0.";
    NoController, "no_controller", "Only for a controller, and none is connected.";
    ControllerFull, "controller_full", "Only for a controller, and too many packets wait for controllers.";
    Group, "group", "The group does not exist, has no bucket to take or loops.";
    Meter, "meter", "Above a rate of a meter.";
    Translation, "translation", "Translation failed for another reason; the log has it.";
    Budget, "budget", "Too many packets of new flows wait on this port.";
    Rings, "rings", "The ring to another worker was full.";
    TxFull, "tx_full", "The output device's queue was full.";
    NoGuest, "no_guest", "The guest behind the output port is not there, or has no ring on to receive by.";
    TxError, "tx_error", "The output device refused the frame.";
    NoBuffer, "no_buffer", "No packet buffer was free to copy into.";
    Unsupported, "unsupported", "An action that this datapath does not execute.";
    PortGone, "port_gone", "The output port was removed while the packet was on its way.";
    Internal, "internal", "A panic was caught while the burst was processed.";
}
