//! Choosing by hash: `multipath`, `bundle`, `bundle_load`.

use super::{Action, Printer, Reader};
use crate::subfield::Subfield;
use crate::text::error::{Result, bail};
use crate::text::names::parse_port;
use crate::text::scan::Item;
use crate::text::{field, number};
use crate::types::OfPort;

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashFields {
    EthSrc,
    SymmetricL4,
    SymmetricL3L4,
    SymmetricL3L4Udp,
    NwSrc,
    NwDst,
    SymmetricL3,
}

/// How a link is made of the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MultipathAlgorithm {
    ModuloN,
    HashThreshold,
    Hrw,
    IterHash,
}

/// Stores a link number in a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    pub fields: HashFields,
    /// Seeds the hash.
    pub basis: u16,
    pub algorithm: MultipathAlgorithm,
    pub n_links: u32,
    /// For [`MultipathAlgorithm::IterHash`].
    pub arg: u32,
    pub dst: Subfield,
}

/// How a member is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleAlgorithm {
    ActiveBackup,
    /// Highest random weight.
    Hrw,
}

/// Sends to one of several ports, or stores its number in a field (`bundle_load`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    pub fields: HashFields,
    pub basis: u16,
    pub algorithm: BundleAlgorithm,
    pub members: Vec<OfPort>,
    pub dst: Option<Subfield>,
}

const FIELDS: [(HashFields, &str); 7] = [
    (HashFields::EthSrc, "eth_src"),
    (HashFields::SymmetricL4, "symmetric_l4"),
    (HashFields::SymmetricL3L4, "symmetric_l3l4"),
    (HashFields::SymmetricL3L4Udp, "symmetric_l3l4+udp"),
    (HashFields::NwSrc, "nw_src"),
    (HashFields::NwDst, "nw_dst"),
    (HashFields::SymmetricL3, "symmetric_l3"),
];

const MULTIPATH_ALGORITHMS: [(MultipathAlgorithm, &str); 4] = [
    (MultipathAlgorithm::ModuloN, "modulo_n"),
    (MultipathAlgorithm::HashThreshold, "hash_threshold"),
    (MultipathAlgorithm::Hrw, "hrw"),
    (MultipathAlgorithm::IterHash, "iter_hash"),
];

const BUNDLE_ALGORITHMS: [(BundleAlgorithm, &str); 2] =
    [(BundleAlgorithm::ActiveBackup, "active_backup"), (BundleAlgorithm::Hrw, "hrw")];

fn by_name<T: Copy>(table: &[(T, &str)], name: &str) -> Option<T> {
    table.iter().find(|(_, n)| *n == name).map(|(t, _)| *t)
}

fn name_of<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|(t, _)| *t == value).map_or("", |(_, n)| n)
}

pub(super) fn parse(name: &str, item: &Item, cx: &Reader) -> Option<Result<Action>> {
    Some(match name {
        "multipath" => multipath(item.value),
        "bundle" => bundle(item.value, false, cx),
        "bundle_load" => bundle(item.value, true, cx),
        _ => return None,
    })
}

fn multipath(arg: &str) -> Result<Action> {
    let mut parts = arg.split([',', ' ']).filter(|p| !p.is_empty());
    let mut next = || parts.next();
    let (Some(fields), Some(basis), Some(algorithm), Some(n_links), Some(extra), Some(dst)) =
        (next(), next(), next(), next(), next(), next())
    else {
        bail!("{arg}: not enough arguments to multipath action");
    };
    let Some(fields) = by_name(&FIELDS, fields) else {
        bail!("{arg}: unknown fields `{fields}'");
    };
    let Some(algorithm) = by_name(&MULTIPATH_ALGORITHMS, algorithm) else {
        bail!("{arg}: unknown algorithm `{algorithm}'");
    };
    let n_links = number::u32_plain(n_links)?;
    if !(1..=65536).contains(&n_links) {
        bail!("{arg}: n_links {n_links} is not in valid range 1 to 65536");
    }
    let dst = field::parse(dst)?;
    if dst.n_bits < 16 && n_links > 1 << dst.n_bits {
        bail!(
            "{arg}: {}-bit destination field has {} possible values, less than specified n_links {n_links}",
            dst.n_bits,
            1 << dst.n_bits
        );
    }
    let basis = number::u16_named(basis, "basis")?;
    let extra = number::u32_plain(extra)?;
    Ok(Action::Multipath(Box::new(Multipath { fields, basis, algorithm, n_links, arg: extra, dst })))
}

fn bundle(arg: &str, load: bool, cx: &Reader) -> Result<Action> {
    let name = if load { "bundle_load" } else { "bundle" };
    let (head, members) = arg.split_once(':').map_or((arg, None), |(h, m)| (h, Some(m)));
    let mut parts = head.split([',', ' ']).filter(|p| !p.is_empty());
    let mut next = || parts.next();
    let (Some(fields), Some(basis), Some(algorithm), Some(kind)) = (next(), next(), next(), next()) else {
        bail!("{arg}: not enough arguments to {name} action");
    };
    let dst = if load { next() } else { None };
    let (Some(delimiter), true) = (next(), dst.is_some() || !load) else {
        bail!("{arg}: not enough arguments to {name} action");
    };
    if !matches!(delimiter, "members" | "slaves") {
        bail!("{arg}: missing member delimiter, expected `members', got `{delimiter}'");
    }
    let Some(fields) = by_name(&FIELDS, fields) else {
        bail!("{arg}: unknown fields `{fields}'");
    };
    let Some(algorithm) = by_name(&BUNDLE_ALGORITHMS, algorithm) else {
        bail!("{arg}: unknown algorithm `{algorithm}'");
    };
    if kind != "ofport" {
        bail!("{arg}: unknown member_type `{kind}'");
    }
    let members = members.unwrap_or("");
    // in brackets or without
    let members = members.strip_prefix('[').map_or(members, |m| m.strip_suffix(']').unwrap_or(m));
    let ports = members.split([',', ' ']).filter(|p| !p.is_empty());
    let members = ports
        .map(|m| match parse_port(m, cx.names) {
            Some(port) => Ok(port),
            None => bail!("{m}: bad port number"),
        })
        .collect::<Result<Vec<_>>>()?;
    let dst = dst.map(field::parse).transpose()?;
    let basis = number::u16_named(basis, "basis")?;
    Ok(Action::Bundle(Box::new(Bundle { fields, basis, algorithm, members, dst })))
}

pub(super) fn format(action: &Action, p: &Printer) -> Option<String> {
    Some(match action {
        Action::Multipath(m) => format!(
            "multipath({},{},{},{},{},{})",
            name_of(&FIELDS, m.fields),
            m.basis,
            name_of(&MULTIPATH_ALGORITHMS, m.algorithm),
            m.n_links,
            m.arg,
            field::text(m.dst)
        ),
        Action::Bundle(b) => {
            let (name, dst) = match b.dst {
                Some(dst) => ("bundle_load", format!("{},", field::text(dst))),
                None => ("bundle", String::new()),
            };
            let members = b.members.iter().map(|m| p.port(*m)).collect::<Vec<_>>().join(",");
            let (fields, algorithm) = (name_of(&FIELDS, b.fields), name_of(&BUNDLE_ALGORITHMS, b.algorithm));
            format!("{name}({fields},{},{algorithm},ofport,{dst}members:{members})", b.basis)
        }
        _ => return None,
    })
}
