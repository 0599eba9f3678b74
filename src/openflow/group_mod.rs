//! A request to change groups.

use crate::action::Action;
use crate::subfield::FieldId;
use crate::types::{GroupId, OfPort};

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    #[default]
    Add,
    Modify,
    /// Modifies, or adds when there is none.
    AddOrModify,
    Delete,
    /// Adds buckets after `command_bucket`.
    InsertBuckets,
    RemoveBuckets,
}

/// How buckets are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// Every bucket gets a copy.
    #[default]
    All,
    /// One bucket, by weight and hash.
    Select,
    /// The only bucket.
    Indirect,
    /// The first bucket that is live.
    FastFailover,
}

/// Which bucket a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BucketRef {
    Id(u32),
    First,
    Last,
    All,
}

/// How a select group chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SelectionMethod {
    /// Not said: the switch chooses (`dp_hash`).
    #[default]
    Default,
    /// The hash of the group's `fields`.
    Hash,
    /// The datapath's hash.
    DpHash,
}

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub id: u32,
    /// Relative, of select groups, 1 unless said; 0 is never chosen. 0 in other groups.
    pub weight: u16,
    /// What must be up for the bucket to be live; `None`: nothing.
    pub watch_port: Option<OfPort>,
    pub watch_group: Option<GroupId>,
    /// Executed as an action set in OVS's order of listing.
    pub actions: Vec<Action>,
}

/// A field that is hashed, and which of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashField {
    pub field: FieldId,
    pub mask: u128,
}

/// A request to add, modify or delete a group or its buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    pub command: GroupCommand,
    /// [`GroupId::ALL`] in a deletion of all.
    pub id: GroupId,
    pub kind: GroupKind,
    pub buckets: Vec<Bucket>,
    pub command_bucket: Option<BucketRef>,
    pub selection_method: SelectionMethod,
    /// For the selection method.
    pub selection_param: u64,
    /// Empty: all of the five-tuple.
    pub fields: Vec<HashField>,
}
