//! Text of groups and of changes to them (ovs-ofctl(8), "Group Syntax").

use super::error::{Result, bail};
use super::names::{PortNames, parse_port, port_text};
use super::number::{u16_named, u32_plain, u64_plain};
use super::scan::{Item, Items};
use super::{field, value};
use crate::action::{actions_text_in, parse_bucket_actions};
use crate::group_mod::{Bucket, BucketRef, GroupCommand, GroupKind, GroupMod, HashField, SelectionMethod};
use crate::types::{GroupId, OfPort};
use crate::view::Version;
use flow::Match;

const KINDS: [(&str, GroupKind); 5] = [
    ("all", GroupKind::All),
    ("select", GroupKind::Select),
    ("indirect", GroupKind::Indirect),
    ("ff", GroupKind::FastFailover),
    ("fast_failover", GroupKind::FastFailover),
];

const COMMANDS: [(&str, GroupCommand); 6] = [
    ("add", GroupCommand::Add),
    ("modify", GroupCommand::Modify),
    ("add_or_mod", GroupCommand::AddOrModify),
    ("delete", GroupCommand::Delete),
    ("insert_bucket", GroupCommand::InsertBuckets),
    ("remove_bucket", GroupCommand::RemoveBuckets),
];

/// A selection method's name is this long at most.
const METHOD_LEN: usize = 15;

impl GroupCommand {
    /// The command called `name` in a file of changes.
    pub fn by_name(name: &str) -> Option<GroupCommand> {
        COMMANDS.iter().find(|(n, _)| *n == name).map(|(_, c)| *c)
    }

    /// It says what the whole group is.
    fn defines(self) -> bool {
        matches!(self, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify)
    }
}

/// The text before the buckets, and each bucket's.
fn split_buckets(text: &str) -> (&str, Vec<&str>) {
    let is_separator = |c: char| matches!(c, ',' | ' ' | '\t' | '\r' | '\n');
    let mut starts = Vec::new();
    let mut depth = 0usize;
    let mut before = ',';
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            'b' if depth == 0 && is_separator(before) => {
                let rest = text.get(i..).unwrap_or("");
                if rest.starts_with("bucket=") || rest.starts_with("bucket:") {
                    starts.push(i);
                }
            }
            _ => {}
        }
        before = c;
    }
    let head = text.get(..starts.first().copied().unwrap_or(text.len())).unwrap_or(text);
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let skip = "bucket=".len();
    (head, starts.iter().zip(ends).filter_map(|(s, e)| text.get(s + skip..e)).collect())
}

/// Reads a group or a change of one: `group_id=1,type=select,bucket=weight:5,actions=output:1`.
pub fn parse_group(text: &str, command: GroupCommand, names: &dyn PortNames) -> Result<GroupMod> {
    let (head, buckets) = split_buckets(text);
    let mut group = GroupMod {
        command,
        id: GroupId::ALL,
        kind: GroupKind::All,
        buckets: Vec::new(),
        command_bucket: None,
        selection_method: SelectionMethod::Default,
        selection_param: 0,
        fields: Vec::new(),
    };
    let seen = head_of_group(&mut group, head, names)?;
    if !seen.id && command != GroupCommand::Delete {
        bail!("must specify a group_id");
    }
    if command.defines() && !seen.kind {
        bail!("must specify a type");
    }
    let needs_bucket = matches!(command, GroupCommand::InsertBuckets | GroupCommand::RemoveBuckets);
    match group.command_bucket {
        // a group loses all its buckets unless it is said which
        None if command == GroupCommand::RemoveBuckets => group.command_bucket = Some(BucketRef::All),
        None if needs_bucket => bail!("must specify a command bucket id"),
        Some(_) if !needs_bucket => bail!("command bucket id is not needed"),
        Some(BucketRef::All) if command == GroupCommand::InsertBuckets => {
            bail!("command_bucket_id=all is not permitted");
        }
        _ => {}
    }
    if !buckets.is_empty() && !command.defines() && command != GroupCommand::InsertBuckets {
        bail!("bucket is not needed");
    }
    for text in buckets {
        let bucket = bucket(text, &group, names)?;
        group.buckets.push(bucket);
    }
    number_buckets(&mut group.buckets)?;
    check(&group, seen.param)?;
    Ok(group)
}

/// What was said of a group.
#[derive(Default)]
struct Seen {
    id: bool,
    kind: bool,
    param: bool,
}

fn head_of_group(group: &mut GroupMod, head: &str, names: &dyn PortNames) -> Result<Seen> {
    let mut seen = Seen::default();
    for item in Items::new(head) {
        match item.key {
            "group_id" => {
                seen.id = true;
                group.id = match item.value {
                    "all" => GroupId::ALL,
                    text => match u32_plain(text)? {
                        n if n > GroupId::MAX.0 => bail!("invalid group id {n}"),
                        n => GroupId(n),
                    },
                };
            }
            "type" if !group.command.defines() => bail!("type is not needed"),
            "type" => match KINDS.iter().find(|(n, _)| *n == item.value) {
                Some((_, kind)) => (seen.kind, group.kind) = (true, *kind),
                None => bail!("invalid group type {}", item.value),
            },
            "command_bucket_id" => {
                group.command_bucket = Some(match item.value {
                    "all" => BucketRef::All,
                    "first" => BucketRef::First,
                    "last" => BucketRef::Last,
                    text => BucketRef::Id(bucket_id(text, "command bucket")?),
                });
            }
            "selection_method" if !group.command.defines() => bail!("selection method is not needed"),
            "selection_method" => group.selection_method = method(item.value)?,
            "selection_method_param" => {
                seen.param = true;
                group.selection_param = u64_plain(item.value)?;
            }
            "fields" => group.fields = hash_fields(item.value, names)?,
            key => bail!("unknown keyword {key}"),
        }
    }
    Ok(seen)
}

fn method(text: &str) -> Result<SelectionMethod> {
    match text {
        "hash" => Ok(SelectionMethod::Hash),
        "dp_hash" => Ok(SelectionMethod::DpHash),
        long if long.len() > METHOD_LEN => bail!("selection method is longer than {METHOD_LEN} bytes long"),
        other => bail!("selection method {other} is not supported (OFPBPC_BAD_VALUE)"),
    }
}

fn hash_fields(text: &str, names: &dyn PortNames) -> Result<Vec<HashField>> {
    let mut fields = Vec::new();
    for item in Items::new(text) {
        let Some(id) = field::by_any_name(item.key) else {
            bail!("unknown field {}", item.key);
        };
        let row = id.row();
        let mask = match item.value {
            "" => row.full_mask(),
            // What is given is the mask, in the form of a value.
            text => match value::parse(text, row, names)? {
                (mask, full) if full == row.full_mask() => mask,
                _ => bail!("{}: invalid mask", item.whole),
            },
        };
        fields.push(HashField { field: id, mask });
    }
    fields.sort_by_key(|f| f.field);
    Ok(fields)
}

fn bucket_id(text: &str, what: &str) -> Result<u32> {
    match u32_plain(text)? {
        n if n > GroupId::MAX.0 => bail!("invalid {what} id {n}"),
        n => Ok(n),
    }
}

/// Stands for an id that the text does not say.
const NO_ID: u32 = u32::MAX;

fn bucket(text: &str, group: &GroupMod, names: &dyn PortNames) -> Result<Bucket> {
    // what is inserted may be of a select group, and weighs nothing unless it is said how much
    let (select, inserted) = (group.kind == GroupKind::Select, !group.command.defines());
    let actions = Vec::new();
    let mut bucket = Bucket { id: NO_ID, weight: u16::from(select), watch_port: None, watch_group: None, actions };
    let mut actions: Vec<Item> = Vec::new();
    let mut weighed = false;
    let mut told = false;
    for item in Items::new(text) {
        match item.key {
            "weight" => (bucket.weight, weighed) = (u16_named(item.value, "weight")?, true),
            "bucket_id" => bucket.id = bucket_id(item.value, "bucket_id")?,
            "watch_port" => match parse_port(item.value, names) {
                Some(port) => bucket.watch_port = Some(port).filter(|p| *p != OfPort::NONE),
                None => bail!("{}: invalid watch_port", item.value),
            },
            "watch_group" => {
                let id = GroupId(u32_plain(item.value)?);
                if id.0 > GroupId::MAX.0 && id != GroupId::ANY {
                    bail!("invalid watch_group id {id}");
                }
                bucket.watch_group = Some(id).filter(|g| *g != GroupId::ANY);
            }
            "actions" | "action" => {
                // The word is optional, and the first action follows it at once.
                told = true;
                actions.extend(Items::new(item.value));
            }
            _ => {
                told = true;
                actions.push(item);
            }
        }
    }
    if !told {
        bail!("bucket must specify actions");
    }
    if weighed && !select && !inserted {
        bail!("Only select groups can have bucket weights.");
    }
    bucket.actions = parse_bucket_actions(actions.into_iter(), names)?;
    Ok(bucket)
}

/// Gives buckets without an id the lowest free ones, in order.
fn number_buckets(buckets: &mut [Bucket]) -> Result<()> {
    let mut used: std::collections::HashSet<u32> = buckets.iter().map(|b| b.id).filter(|id| *id != NO_ID).collect();
    if used.len() != buckets.iter().filter(|b| b.id != NO_ID).count() {
        bail!("two buckets have the same bucket_id (OFPGMFC_BAD_BUCKET)");
    }
    let mut next = 0;
    for b in buckets.iter_mut().filter(|b| b.id == NO_ID) {
        while !used.insert(next) {
            next += 1;
        }
        b.id = next;
    }
    Ok(())
}

fn check(group: &GroupMod, param: bool) -> Result<()> {
    if param && group.selection_method == SelectionMethod::Default {
        bail!("selection_method_param is only allowed with \"selection_method\"");
    }
    if !group.fields.is_empty() && group.selection_method != SelectionMethod::Hash {
        bail!("fields may only be specified with \"selection_method=hash\"");
    }
    if !group.command.defines() {
        return Ok(());
    }
    if group.selection_method != SelectionMethod::Default && group.kind != GroupKind::Select {
        bail!("selection_method is for select groups (OFPBPC_BAD_VALUE)");
    }
    let watched = |b: &Bucket| b.watch_port.is_some() || b.watch_group.is_some();
    match group.kind {
        GroupKind::Indirect if group.buckets.len() > 1 => bail!("Indirect groups can have at most one bucket."),
        GroupKind::Indirect if group.buckets.is_empty() => {
            bail!("Indirect groups must have a bucket (OFPGMFC_INVALID_GROUP)");
        }
        GroupKind::All | GroupKind::Indirect if group.buckets.iter().any(watched) => {
            bail!("a bucket of such a group cannot be watched (OFPGMFC_WATCH_UNSUPPORTED)");
        }
        GroupKind::FastFailover if !group.buckets.iter().all(watched) => {
            bail!("fast failover bucket requires watch_port or watch_group");
        }
        _ => Ok(()),
    }
}

/// A group as `ovs-ofctl dump-groups` prints it, without the line's leading space. Bucket ids, the selection method and
/// fields are OpenFlow 1.5's.
pub fn group_text(group: &GroupMod, version: Version, names: &dyn PortNames) -> String {
    let modern = version != Version::Of10;
    let kind = KINDS.iter().find(|(_, k)| *k == group.kind).map_or("", |(n, _)| n);
    let mut parts = vec![format!("group_id={}", group.id), format!("type={kind}")];
    let method = match group.selection_method {
        SelectionMethod::Default => None,
        SelectionMethod::Hash => Some("hash"),
        SelectionMethod::DpHash => Some("dp_hash"),
    };
    if let Some(method) = method.filter(|_| modern) {
        parts.push(format!("selection_method={method}"));
        if group.selection_param != 0 {
            parts.push(format!("selection_method_param={}", group.selection_param));
        }
        // in the order of the field table, however they came
        let mut sorted: Vec<_> = group.fields.iter().collect();
        sorted.sort_by_key(|f| f.field);
        let fields: Vec<_> = sorted.into_iter().map(|f| hash_field_text(f, names)).collect();
        match fields.as_slice() {
            [] => {}
            [one] => parts.push(format!("fields={one}")),
            many => parts.push(format!("fields({})", many.join(","))),
        }
    }
    parts.extend(group.buckets.iter().map(|b| bucket_text(b, group.kind, version, names)));
    parts.join(",")
}

fn hash_field_text(f: &HashField, names: &dyn PortNames) -> String {
    let row = f.field.row();
    let full = row.full_mask();
    if f.mask == full { row.name.to_owned() } else { format!("{}={}", row.name, value::text(f.mask, full, row, names)) }
}

fn bucket_text(b: &Bucket, kind: GroupKind, version: Version, names: &dyn PortNames) -> String {
    let mut parts = Vec::new();
    if version != Version::Of10 {
        parts.push(format!("bucket_id:{}", b.id));
    }
    if b.weight != u16::from(kind == GroupKind::Select) {
        parts.push(format!("weight:{}", b.weight));
    }
    parts.extend(b.watch_port.map(|p| format!("watch_port:{}", port_text(p, names))));
    parts.extend(b.watch_group.map(|g| format!("watch_group:{g}")));
    parts.push(format!("actions={}", actions_text_in(&b.actions, version, &Match::default(), names)));
    format!("bucket={}", parts.join(","))
}
