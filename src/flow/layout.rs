//! Where each field lives in a flow's words.
//!
//! A flow is an array of 64-bit words in native integers (an address is one number, most significant bit first), cut
//! into tiers of eight words, one cache line each. Tier 0 holds everything that a plain TCP over IPv4 packet has; the
//! others are touched only when a packet or a mask has something there. Words from [`KEY_WORDS`] on exist only while a
//! packet is being translated (registers, metadata): the datapath's key ends before them.

/// Words in a tier: 64 bytes, one cache line.
pub const TIER_WORDS: usize = 8;
/// Words that the datapath's key has.
pub const KEY_WORDS: usize = 80;
/// Tiers that the datapath's key has.
pub const KEY_TIERS: usize = KEY_WORDS / TIER_WORDS;
/// Words of a whole flow, registers included.
pub const WORDS: usize = 104;

/// A run of bits in a flow: `width` bits that end `shift` bits above the end of word `word`. Widths above 64 bits span
/// consecutive words, the first holding the most significant bits, and have `shift` 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub word: u8,
    pub shift: u8,
    pub width: u16,
}

impl Slot {
    /// A run of bits; checked at compile time where it is a constant.
    pub const fn new(word: usize, shift: usize, width: usize) -> Slot {
        assert!(word < WORDS && (width <= 64 && shift + width <= 64 || shift == 0 && width.is_multiple_of(64)));
        Slot { word: word as u8, shift: shift as u8, width: width as u16 }
    }

    /// How many words it touches.
    pub const fn words(self) -> usize {
        if self.width <= 64 { 1 } else { self.width as usize / 64 }
    }

    /// The mask of its bits in its (first) word.
    pub const fn bits(self) -> u64 {
        if self.width >= 64 { u64::MAX } else { ((1u64 << self.width) - 1) << self.shift }
    }
}

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident = $word:expr, $shift:expr, $width:expr;)*) => {
        $($(#[$doc])* pub const $name: Slot = Slot::new($word, $shift, $width);)*
    };
}

slots! {
    // Tier 0: one line for Ethernet, VLAN, IPv4 and its transport.
    /// Recirculation id; 0 for a packet as received.
    RECIRC_ID = 0, 32, 32;
    /// Datapath port in the datapath's key, OpenFlow port while translating.
    IN_PORT = 0, 0, 32;
    ETH_DST = 1, 16, 48;
    /// Ethertype behind all VLAN tags that the key has room for (two).
    ETH_TYPE = 1, 0, 16;
    ETH_SRC = 2, 16, 48;
    /// Outer tag: PCP, DEI's place taken by "present" (0x1000), VID. 0 means no tag.
    VLAN_TCI = 2, 0, 16;
    /// IPv4 source, or ARP's sender protocol address.
    NW_SRC = 3, 32, 32;
    /// IPv4 destination, or ARP's target protocol address.
    NW_DST = 3, 0, 32;
    /// TCP, UDP or SCTP source port, ICMP or IGMP type.
    TP_SRC = 4, 48, 16;
    /// TCP, UDP or SCTP destination port, ICMP or IGMP code.
    TP_DST = 4, 32, 16;
    /// IP protocol (the last IPv6 next header), or the low byte of ARP's opcode.
    NW_PROTO = 4, 24, 8;
    /// DSCP and ECN: the whole traffic class byte.
    NW_TOS = 4, 16, 8;
    NW_TTL = 4, 8, 8;
    /// [`FRAG_ANY`] and [`FRAG_LATER`].
    NW_FRAG = 4, 0, 8;
    /// Ethertype of the outer tag (0x8100 or 0x88a8); 0 means no tag.
    VLAN_TPID = 5, 48, 16;
    VLAN1_TPID = 5, 32, 16;
    /// Inner tag as VLAN_TCI.
    VLAN1_TCI = 5, 16, 16;
    TCP_FLAGS = 5, 0, 16;
    /// Name space (16 bits) and type; 0 is Ethernet.
    PACKET_TYPE = 6, 32, 32;
    PKT_MARK = 6, 0, 32;
    CT_STATE = 7, 32, 32;
    CT_ZONE = 7, 16, 16;

    // Tier 1: IPv6, ARP and ND hardware addresses.
    IPV6_SRC = 8, 0, 128;
    IPV6_DST = 10, 0, 128;
    IPV6_LABEL = 12, 32, 32;
    IGMP_GROUP = 12, 0, 32;
    ND_RESERVED = 13, 32, 32;
    ND_OPTIONS_TYPE = 13, 24, 8;
    /// ARP sender hardware address, or ND source link-layer address.
    ARP_SHA = 14, 16, 48;
    /// ARP target hardware address, or ND target link-layer address.
    ARP_THA = 15, 16, 48;

    // Tier 2: ND target, MPLS, conntrack's marks, hash.
    ND_TARGET = 16, 0, 128;
    /// Outermost label stack entry, then the next two; 0 means none.
    MPLS0 = 18, 32, 32;
    MPLS1 = 18, 0, 32;
    MPLS2 = 19, 32, 32;
    DP_HASH = 19, 0, 32;
    SKB_PRIORITY = 20, 32, 32;
    CT_MARK = 20, 0, 32;
    CT_LABEL = 21, 0, 128;
    CT_NW_SRC = 23, 32, 32;
    CT_NW_DST = 23, 0, 32;

    // Tier 3: conntrack's original tuple, NSH.
    CT_IPV6_SRC = 24, 0, 128;
    CT_IPV6_DST = 26, 0, 128;
    CT_TP_SRC = 28, 48, 16;
    CT_TP_DST = 28, 32, 16;
    CT_NW_PROTO = 28, 24, 8;
    NSH_FLAGS = 29, 56, 8;
    NSH_TTL = 29, 48, 8;
    NSH_MDTYPE = 29, 40, 8;
    NSH_NP = 29, 32, 8;
    NSH_SPI = 29, 8, 24;
    NSH_SI = 29, 0, 8;
    NSH_C1 = 30, 32, 32;
    NSH_C2 = 30, 0, 32;
    NSH_C3 = 31, 32, 32;
    NSH_C4 = 31, 0, 32;

    // Tiers 4 and 5: tunnel.
    TUN_ID = 32, 0, 64;
    TUN_SRC = 33, 32, 32;
    TUN_DST = 33, 0, 32;
    TUN_IPV6_SRC = 34, 0, 128;
    TUN_IPV6_DST = 36, 0, 128;
    TUN_FLAGS = 38, 48, 16;
    TUN_TOS = 38, 40, 8;
    TUN_TTL = 38, 32, 8;
    TUN_TP_SRC = 38, 16, 16;
    TUN_TP_DST = 38, 0, 16;
    TUN_GBP_ID = 39, 48, 16;
    TUN_GBP_FLAGS = 39, 40, 8;
    TUN_ERSPAN_VER = 39, 32, 8;
    TUN_ERSPAN_DIR = 39, 24, 8;
    TUN_ERSPAN_HWID = 39, 16, 8;
    TUN_GTPU_FLAGS = 39, 8, 8;
    TUN_GTPU_MSGTYPE = 39, 0, 8;
    TUN_ERSPAN_IDX = 40, 32, 32;
    /// Which of tun_metadata0 to 63 are there.
    TUN_METADATA_MAP = 41, 0, 64;
    // Tiers 6 to 9: words 48 to 79 hold 256 bytes of tunnel options; the TLV table says which field is where.

    // From here on only while translating.
    METADATA = 80, 0, 64;
    ACTSET_OUTPUT = 97, 32, 32;
    CONJ_ID = 97, 0, 32;
}

/// First of 16 words of registers: reg0 is the upper half of the first, reg1 its lower half, and so on.
pub const REGS_WORD: usize = 81;
/// First of 32 words of tunnel options.
pub const TUN_METADATA_WORD: usize = 48;
/// The low bits of this word of a [`crate::Key`] say which tiers are valid; no mask covers them.
pub const TIERS_WORD: usize = 7;
/// The bits of [`TIERS_WORD`] that hold the tier bitmap (bit n: tier n).
pub const TIERS_BITS: u64 = 0xffff;

/// "Present" in VLAN_TCI: a tag is there (the bit that is DEI on the wire).
pub const VLAN_PRESENT: u16 = 0x1000;
/// NW_FRAG: the packet is a fragment.
pub const FRAG_ANY: u8 = 1;
/// NW_FRAG: not the first fragment, so there are no transport ports.
pub const FRAG_LATER: u8 = 2;

/// The slot of 32-bit register `n` (0 to 31).
pub const fn reg(n: usize) -> Slot {
    Slot::new(REGS_WORD + n / 2, if n.is_multiple_of(2) { 32 } else { 0 }, 32)
}
