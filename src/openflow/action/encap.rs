//! Generic headers: `encap` and `decap`.

/// Adds a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encap {
    /// Packet type of the new header: name space in the upper 16 bits, 0 is Ethernet, 0x1894f is NSH, 0x18847 MPLS.
    pub packet_type: u32,
    pub properties: Vec<EncapProperty>,
}

/// What the new header has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EncapProperty {
    NshMdType(u8),
    NshTlv { class: u16, kind: u8, data: Vec<u8> },
}

/// Removes the outermost header; `packet_type` is what the packet is then, `None`: what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decap {
    pub packet_type: Option<u32>,
}
