//! The flow key, masks, matches, extraction, the field table and their text. Level 2.
//!
//! Bottom up: [`layout`] says where a field's bits are; [`words`] are the arrays (a [`Flow`] of values, a [`Mask`], and
//! the datapath's [`Key`]); [`matching`] is a sparse pair of the two; [`fields`] is the table of what each field is
//! called, where it is and how it is encoded; [`mod@extract`] makes a key of a frame's bytes; [`hash`] hashes keys; [`text`]
//! reads and prints matches as ovs-ofctl; [`compose`] makes a packet of a flow.
#![forbid(unsafe_code)]

pub mod compose;
pub mod extract;
pub mod fields;
#[doc(hidden)]
pub mod fuzz;
pub mod hash;
pub mod layout;
pub mod matching;
pub mod text;
pub mod words;

pub use extract::{Depth, Layers, Metadata, Runt, extract, extract_chained, extract_flow};
pub use fields::{Field, FieldId};
pub use layout::Slot;
pub use matching::{Match, Pair, SparseMask};
pub use words::{Flow, Key, Mask};
