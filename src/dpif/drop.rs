//! Why a packet was dropped: one row per reason, in the order of the counters that index by it.

macro_rules! reasons {
    ($($name:ident, $text:literal, $stock:literal, $doc:literal;)*) => {
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

            /// The counter of Open vSwitch's that has it, in the words of `coverage/show`; `None` for what is ours alone.
            pub const fn stock(self) -> Option<&'static str> {
                let name = match self { $(DropReason::$name => $stock,)* };
                if name.is_empty() { None } else { Some(name) }
            }

            /// What it means, a sentence for people.
            pub const fn describe(self) -> &'static str {
                match self { $(DropReason::$name => $doc,)* }
            }
        }
    };
}

reasons! {
    Runt, "runt", "datapath_drop_rx_invalid_packet", "Shorter than an Ethernet header.";
    Malformed, "malformed", "", "An action needs a header that is truncated or inconsistent.";
    Oversized, "oversized", "", "Longer than the output port's MTU and not segmentable.";
    NoBridge, "no_bridge", "drop_action_bridge_not_found", "Received on a port that belongs to no bridge.";
    Rule, "rule", "drop_action_of_pipeline", "The matching rule says drop, or has no action.";
    TableMiss, "table_miss", "drop_action_of_pipeline", "No rule matched and the table's miss behaviour is drop.";
    InPortOutput, "in_port_output", "drop_action_of_pipeline", "The only output is the port it came from.";
    NoSuchPort, "no_such_port", "drop_action_of_pipeline", "Output to a port that does not exist or is down.";
    Vlan, "vlan", "drop_action_of_pipeline", "The port's VLAN configuration does not admit it.";
    ReservedMac, "reserved_mac", "drop_action_of_pipeline", "A reserved multicast destination (802.1D) that the bridge does not forward.";
    MirrorPort, "mirror_port", "drop_action_of_pipeline", "Received on, or for, a port that is reserved for a mirror's copies.";
    OwnMac, "own_mac", "drop_action_of_pipeline", "Sent by this bridge's own address through another of its ports.";
    Fragment, "fragment", "drop_action_of_pipeline", "An IP fragment, and the bridge drops these.";
    Depth, "depth", "drop_action_recursion_too_deep", "Resubmitted too deep (64 levels).";
    Resubmits, "resubmits", "drop_action_too_many_resubmit", "Looked up too often (4096 times).";
    StackTooDeep, "stack", "drop_action_stack_too_deep", "The translation's stack outgrew 64 kB or was popped empty.";
    MplsLabels, "mpls_labels", "drop_action_too_many_mpls_labels", "A label too many was pushed, of more than translation follows.";
    Recirculation, "recirculation", "drop_action_no_recirculation_context", "Recirculated more often than allowed, or the frozen state is gone.";
    TtlExceeded, "ttl_exceeded", "drop_action_of_pipeline", "The IP or MPLS TTL reached 0.";
    NoController, "no_controller", "datapath_drop_userspace_action_error", "Only for a controller, and none is connected.";
    ControllerFull, "controller_full", "datapath_drop_userspace_action_error", "Only for a controller, and too many packets wait for controllers.";
    Group, "group", "drop_action_of_pipeline", "The group does not exist, has no bucket to take or loops.";
    Meter, "meter", "datapath_drop_meter", "Above a rate of a meter.";
    Translation, "translation", "", "Translation failed for another reason; the log has it.";
    Budget, "budget", "datapath_drop_upcall_error", "Too many packets of new flows wait on this port.";
    Rings, "rings", "", "The ring to another worker was full.";
    TxFull, "tx_full", "", "The output device's queue was full.";
    NoGuest, "no_guest", "", "The guest behind the output port is not there, or has no ring on to receive by.";
    TxError, "tx_error", "", "The output device refused the frame.";
    NoBuffer, "no_buffer", "", "No packet buffer was free to copy into.";
    Unsupported, "unsupported", "", "An action that this datapath does not execute.";
    PortGone, "port_gone", "datapath_drop_invalid_port", "The output port was removed while the packet was on its way.";
    Internal, "internal", "", "A panic was caught while the burst was processed.";
}
