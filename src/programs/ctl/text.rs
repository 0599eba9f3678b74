//! Values as people write them, ovs-vsctl(8), "Database Values": read under a column's type, and arguments
//! `COLUMN[:KEY][OPERATOR VALUE]`.

use super::Symbols;
use ovsdb::data::{Atom, AtomKind, BaseType, Datum, Type};
use ovsdb::json;
use ovsdb::{Json, Uuid};

/// The most members that a range stands for.
const RANGE_MAX: i64 = 4096;

const DELIMITERS: &str = ":=, []{}!<>";

/// One word, or a string in quotes, off the front of `rest`. Whether it was in quotes.
fn token(rest: &mut &str) -> Result<(String, bool), String> {
    if !rest.starts_with('"') {
        let end = rest.find(|c| DELIMITERS.contains(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        *rest = behind;
        return Ok((word.to_owned(), false));
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (text, behind) = rest.split_at(at + 1);
                *rest = behind;
                return match json::parse(format!("[{text}]").as_bytes()) {
                    Ok(Json::Array(all)) => match &all[..] {
                        [Json::Str(s)] => Ok((s.to_string(), true)),
                        _ => Err(format!("{text}: not a string")),
                    },
                    Ok(_) => Err(format!("{text}: not a string")),
                    Err(e) => Err(format!("{text}: {e}")),
                };
            }
            _ => {}
        }
    }
    Err(format!("{rest}: missing closing \""))
}

fn atom(base: &BaseType, word: &str, quoted: bool, symbols: &mut Symbols) -> Result<Atom, String> {
    let bad = |what: &str| format!("\"{word}\" is not a valid {what}");
    let parsed = match base.kind {
        AtomKind::Integer => Atom::Integer(word.parse().map_err(|_| bad("integer or range"))?),
        AtomKind::Real => {
            let value: f64 = word.parse().map_err(|_| bad("real number"))?;
            Atom::Real(if value.is_finite() { value } else { return Err(bad("real number")) })
        }
        AtomKind::Boolean => match word {
            "true" | "yes" | "on" | "1" => Atom::Boolean(true),
            "false" | "no" | "off" | "0" => Atom::Boolean(false),
            _ => return Err(format!("\"{word}\" is not a valid boolean (use \"true\" or \"false\")")),
        },
        AtomKind::String if word.is_empty() && !quoted => {
            return Err("An empty string is not valid as input; use \"\" to represent the empty string".into());
        }
        AtomKind::String => Atom::String(word.into()),
        AtomKind::Uuid => match word.strip_prefix('@') {
            Some(_) => {
                let symbol = symbols.refer(word);
                match base.reference.as_ref().is_some_and(|r| r.weak) {
                    true => symbol.weak = true,
                    false => symbol.strong = true,
                }
                Atom::Uuid(symbol.uuid)
            }
            None => {
                let uuid = Uuid::parse(word).ok_or_else(|| bad("UUID"))?;
                symbols.note(uuid, base.reference.as_ref().is_some_and(|r| r.weak));
                Atom::Uuid(uuid)
            }
        },
    };
    base.check(&parsed).map_err(|e| e.to_string())?;
    Ok(parsed)
}

/// `A-B` as integers, when it is that.
fn range(word: &str) -> Option<(i64, i64)> {
    let dash = word.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
    Some((word[..dash].parse().ok()?, word[dash + 1..].parse().ok()?))
}

fn atoms(base: &BaseType, rest: &mut &str, ranges: bool, symbols: &mut Symbols) -> Result<Vec<Atom>, String> {
    let (word, quoted) = token(rest)?;
    if ranges
        && !quoted
        && let Some((from, to)) = range(&word)
    {
        if to < from {
            return Err(format!("\"{word}\" is not a valid range. Range end cannot be before start."));
        }
        if to - from >= RANGE_MAX {
            return Err(format!("\"{word}\" is not a valid range. A range has at most {RANGE_MAX} members."));
        }
        for end in [from, to] {
            base.check(&Atom::Integer(end)).map_err(|e| e.to_string())?;
        }
        return Ok((from..=to).map(Atom::Integer).collect());
    }
    Ok(vec![atom(base, &word, quoted, symbols)?])
}

/// Whether more follows, behind spaces and at most one comma.
fn separator(rest: &mut &str) {
    *rest = rest.trim_start_matches(' ');
    if let Some(behind) = rest.strip_prefix(',') {
        *rest = behind.trim_start_matches(' ');
    }
}

/// Reads a value of that type.
pub(super) fn datum(ty: &Type, text: &str, symbols: &mut Symbols) -> Result<Datum, String> {
    let (open, close) = if ty.is_map() { ('{', '}') } else { ('[', ']') };
    let mut rest = text.trim_start_matches(' ');
    let bracketed = rest.starts_with(open);
    if bracketed {
        rest = rest[1..].trim_start_matches(' ');
    } else if rest.is_empty() {
        return Err("An empty string is not valid as input; use \"\" to represent the empty string".into());
    }
    let (mut set, mut pairs) = (Vec::new(), Vec::new());
    while !rest.is_empty() && !rest.starts_with(close) {
        match &ty.value {
            None => set.extend(atoms(&ty.key, &mut rest, ty.key.kind == AtomKind::Integer, symbols)?),
            Some(value) => {
                let before = rest;
                let key = atoms(&ty.key, &mut rest, false, symbols)?.remove(0);
                let Some(behind) = rest.strip_prefix('=') else {
                    return Err(format!("{text}: syntax error at \"{before}\" expecting \"=\""));
                };
                rest = behind;
                pairs.push((key, atoms(value, &mut rest, false, symbols)?.remove(0)));
            }
        }
        let before = rest;
        separator(&mut rest);
        if !rest.is_empty() && before == rest && !rest.starts_with(close) {
            let at = rest.chars().next().unwrap_or(' ');
            let what = match &ty.value {
                None => format!("set of {}s", ty.key.kind.name()),
                Some(value) => format!("map of ({}, {}) pairs", ty.key.kind.name(), value.kind.name()),
            };
            return Err(format!("{text}: unexpected \"{at}\" parsing {what}"));
        }
    }
    match (bracketed, rest.strip_prefix(close)) {
        (true, Some(behind)) => rest = behind.trim_start_matches(' '),
        (true, None) => return Err(format!("{text}: missing \"{close}\" at end")),
        (false, _) => {}
    }
    if !rest.is_empty() {
        return Err(format!("{text}: trailing garbage \"{rest}\""));
    }
    let (given, datum, what) = match ty.is_map() {
        true => (pairs.len(), Datum::map(pairs), "pair(s)"),
        false => (set.len(), Datum::set(set), "value(s)"),
    };
    if datum.len() < given {
        let twice = if ty.is_map() { "map contains duplicate key" } else { "set contains duplicate value" };
        return Err(format!("{text}: {twice}"));
    }
    if given < ty.min as usize {
        return Err(format!("{text}: {given} {what} specified but the minimum number is {}", ty.min));
    }
    if given > ty.max as usize {
        return Err(format!("{text}: {given} {what} specified but the maximum number is {}", ty.max));
    }
    Ok(datum)
}

/// Reads one atom that is all of a text: the value of a key.
pub(super) fn whole_value(base: &BaseType, text: &str, symbols: &mut Symbols) -> Result<Atom, String> {
    if !text.starts_with('"') {
        return atom(base, text, false, symbols);
    }
    let mut rest = text;
    let (word, quoted) = token(&mut rest)?;
    match rest {
        "" => atom(base, &word, quoted, symbols),
        _ => Err(format!("{text}: trailing garbage \"{rest}\"")),
    }
}

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    SetEqual,
    SetNotEqual,
    ProperSubset,
    ProperSuperset,
    Subset,
    Superset,
    In,
    NotIn,
}

impl Operator {
    /// Longer ones before those that they begin with.
    const ALL: [(&'static str, Operator); 14] = [
        ("{=}", Operator::SetEqual),
        ("{!=}", Operator::SetNotEqual),
        ("{<=}", Operator::Subset),
        ("{>=}", Operator::Superset),
        ("{<}", Operator::ProperSubset),
        ("{>}", Operator::ProperSuperset),
        ("{in}", Operator::In),
        ("{not-in}", Operator::NotIn),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];

    /// Whether it compares sets rather than orders.
    pub(super) fn is_of_sets(self) -> bool {
        use Operator as O;
        !matches!(self, O::Equal | O::NotEqual | O::Less | O::Greater | O::LessOrEqual | O::GreaterOrEqual)
    }
}

/// An argument taken apart.
#[derive(Debug)]
pub(super) struct Argument<'a> {
    pub(super) column: String,
    pub(super) key: Option<(String, bool)>,
    pub(super) value: Option<(Operator, &'a str)>,
}

impl Argument<'_> {
    /// The key under the type of keys.
    pub(super) fn key(&self, base: &BaseType, symbols: &mut Symbols) -> Result<Option<Atom>, String> {
        self.key.as_ref().map(|(word, quoted)| atom(base, word, *quoted, symbols)).transpose()
    }
}

/// What an argument ends in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The column and the key are all.
    Column,
    Assignment,
    Condition,
}

/// Takes `COLUMN[:KEY]` apart, or with a value.
pub(super) fn argument(text: &str, ends: Ends) -> Result<Argument<'_>, String> {
    let mut rest = text;
    let (column, _) = token(&mut rest).map_err(|e| format!("{text}: {e}"))?;
    if column.is_empty() {
        return Err(format!("{text}: missing column name"));
    }
    let mut key = None;
    if let Some(behind) = rest.strip_prefix(':') {
        rest = behind;
        key = Some(token(&mut rest).map_err(|e| format!("{text}: {e}"))?);
    }
    if ends == Ends::Column {
        return match rest {
            "" => Ok(Argument { column, key, value: None }),
            _ => Err(format!("{text}: trailing garbage \"{rest}\" in argument")),
        };
    }
    let allowed = |o: &&(&str, Operator)| ends == Ends::Condition || o.1 == Operator::Equal;
    let found = Operator::ALL.iter().filter(allowed).find(|(name, _)| rest.starts_with(name));
    let found = found.and_then(|(name, operator)| Some((*operator, rest.strip_prefix(name)?)));
    match found.filter(|(_, value)| !value.is_empty()) {
        Some(value) => Ok(Argument { column, key, value: Some(value) }),
        None if ends == Ends::Assignment => Err(format!("{text}: argument does not end in \"=\" followed by a value.")),
        None => Err(format!(
            "{text}: argument does not end in \"=\", \"!=\", \"<\", \">\", \"<=\", \">=\", \"{{=}}\", \"{{!=}}\", \"{{<}}\", \"{{>}}\", \"{{<=}}\", \"{{>=}}\", \"{{in}}\", or \"{{not-in}}\" followed by a value."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ty: &Type, text: &str) -> Result<String, String> {
        let datum = datum(ty, text, &mut Symbols::default())?;
        Ok(ovsdb::data::text::datum(&datum, ty.is_map()))
    }

    #[test]
    fn sets_and_maps() {
        let set = |kind| Type { key: BaseType::any(kind), value: None, min: 0, max: u32::MAX };
        let ints = set(AtomKind::Integer);
        for (text, want) in
            [("1-3,7", "[1, 2, 3, 7]"), ("[]", "[]"), ("[5]", "5"), ("2 1", "[1, 2]"), ("-4--2", "[-4, -3, -2]")]
        {
            assert_eq!(read(&ints, text), Ok(want.to_owned()), "{text}");
        }
        for bad in ["5-3", "1,1", "x", "1-9999", "[1", "", "1;2"] {
            assert!(read(&ints, bad).is_err(), "{bad}");
        }
        let map = Type { value: Some(BaseType::any(AtomKind::String)), ..set(AtomKind::String) };
        assert_eq!(read(&map, "{a=\"b c\",d=e}"), Ok("{a=\"b c\", d=e}".to_owned()));
        assert_eq!(read(&map, "a=b=c").unwrap_err(), "a=b=c: unexpected \"=\" parsing map of (string, string) pairs");
        assert_eq!(read(&map, "a b").unwrap_err(), "a b: syntax error at \"a b\" expecting \"=\"");
        assert!(read(&map, "a=1,a=2").is_err());
    }

    #[test]
    fn arguments() {
        let parsed = argument("other-config:x>=y", Ends::Condition).unwrap();
        assert_eq!(parsed.value, Some((Operator::GreaterOrEqual, "y")));
        assert_eq!(parsed.key, Some(("x".to_owned(), false)));
        assert!(argument("a:x>=y", Ends::Assignment).is_err());
        assert_eq!(argument(":y=z", Ends::Column).unwrap_err(), ":y=z: missing column name");
        assert_eq!(argument("d::", Ends::Column).unwrap_err(), "d::: trailing garbage \":\" in argument");
    }
}
