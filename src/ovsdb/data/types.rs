//! What a column allows: kinds of atoms with their constraints, and how many.

use super::members::{Members, kind};
use super::{Atom, AtomKind, Datum};
use crate::error::Error;
use crate::json::{Json, Object};
use std::sync::Arc;

/// To which table a UUID points, and whether it keeps the row alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub table: Arc<str>,
    pub weak: bool,
}

/// `<base-type>`.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    pub kind: AtomKind,
    /// The only values allowed.
    pub choices: Option<Datum>,
    /// Least and greatest integer.
    pub integers: (Option<i64>, Option<i64>),
    /// Least and greatest real.
    pub reals: (Option<f64>, Option<f64>),
    /// Least and greatest number of characters.
    pub length: (u64, u64),
    pub reference: Option<Reference>,
}

impl BaseType {
    /// Any atom of `kind`.
    pub const fn any(kind: AtomKind) -> BaseType {
        let (integers, reals) = ((None, None), (None, None));
        BaseType { kind, choices: None, integers, reals, length: (0, u32::MAX as u64), reference: None }
    }

    fn is_plain(&self) -> bool {
        *self == BaseType::any(self.kind)
    }

    pub fn from_json(json: &Json) -> Result<BaseType, Error> {
        if json.as_str().is_some() {
            return AtomKind::parse(json).map(BaseType::any);
        }
        let mut members = Members::new(json, "ovsdb type");
        let kind_json = members.required("type", kind::STRING);
        members.check()?;
        let mut base = BaseType::any(kind_json.map_or(Ok(AtomKind::String), AtomKind::parse)?);
        let choices = members.optional("enum", kind::ANY);
        match base.kind {
            AtomKind::Integer => {
                base.integers = (members.integer("minInteger"), members.integer("maxInteger"));
                if let (Some(least), Some(most)) = base.integers
                    && least > most
                {
                    return Err(Error::syntax(json, "minInteger exceeds maxInteger"));
                }
            }
            AtomKind::Real => {
                let mut number = |name: &str| match members.optional(name, kind::NUMBER) {
                    Some(Json::Int(i)) => Some(*i as f64),
                    Some(Json::Real(r)) => Some(*r),
                    _ => None,
                };
                base.reals = (number("minReal"), number("maxReal"));
                if let (Some(least), Some(most)) = base.reals
                    && least > most
                {
                    return Err(Error::syntax(json, "minReal exceeds maxReal"));
                }
            }
            AtomKind::Boolean => {}
            AtomKind::String => {
                let mut length = |name: &str, otherwise| match members.integer(name) {
                    None => Ok(otherwise),
                    Some(n) => u32::try_from(n)
                        .map(u64::from)
                        .map_err(|_| Error::syntax(json, format!("{name} out of valid range 0 to {}", u32::MAX))),
                };
                base.length = (length("minLength", 0)?, length("maxLength", u64::from(u32::MAX))?);
                if base.length.0 > base.length.1 {
                    return Err(Error::syntax(json, "minLength exceeds maxLength"));
                }
            }
            AtomKind::Uuid => {
                if let Some(table) = members.optional("refTable", kind::ID).and_then(Json::as_str) {
                    let weak = match members.optional("refType", kind::STRING).and_then(Json::as_str) {
                        None | Some("strong") => false,
                        Some("weak") => true,
                        Some(_) => {
                            let text = "refType must be \"strong\" or \"weak\"";
                            return Err(Error::syntax(json, text));
                        }
                    };
                    base.reference = Some(Reference { table: Arc::from(table), weak });
                }
            }
        }
        let constrained = !base.is_plain();
        members.finish()?;
        if let Some(choices) = choices {
            if constrained && base.reference.is_none() {
                return Err(Error::syntax(json, "enum cannot be combined with other constraints"));
            }
            let any = Type { key: BaseType::any(base.kind), value: None, min: 1, max: u32::MAX };
            base.choices = Some(Datum::from_json(&any, choices, &mut ())?);
        }
        Ok(base)
    }

    pub fn to_json(&self) -> Json {
        if self.is_plain() {
            return Json::from(self.kind.name());
        }
        let mut object = Object::new();
        let mut member = |name: &str, value: Json| object.insert(Arc::from(name), value);
        member("type", Json::from(self.kind.name()));
        if let Some(choices) = &self.choices {
            member("enum", choices.to_json());
        }
        if let Some(least) = self.integers.0 {
            member("minInteger", Json::Int(least));
        }
        if let Some(most) = self.integers.1 {
            member("maxInteger", Json::Int(most));
        }
        if let Some(least) = self.reals.0 {
            member("minReal", Atom::Real(least).to_json());
        }
        if let Some(most) = self.reals.1 {
            member("maxReal", Atom::Real(most).to_json());
        }
        if self.length.0 != 0 {
            member("minLength", Json::Int(self.length.0 as i64));
        }
        if self.length.1 != u64::from(u32::MAX) {
            member("maxLength", Json::Int(self.length.1 as i64));
        }
        if let Some(Reference { table, weak }) = &self.reference {
            member("refTable", Json::Str(table.clone()));
            if *weak {
                member("refType", Json::from("weak"));
            }
        }
        Json::Object(object)
    }

    /// Whether `atom` is allowed.
    pub fn check(&self, atom: &Atom) -> Result<(), Error> {
        if let Some(choices) = &self.choices
            && !choices.contains_key(atom)
        {
            let (value, all) = (super::text::atom(atom), super::text::datum(choices, false));
            let all = all.trim_start_matches('[').trim_end_matches(']');
            return Err(Error::constraint(format!("{value} is not one of the allowed values ([{all}])")));
        }
        let range = |value: String, least: Option<String>, most: Option<String>| {
            Error::constraint(match (least, most) {
                (Some(least), Some(most)) => format!("{value} is not in the valid range {least} to {most} (inclusive)"),
                (Some(least), None) => format!("{value} is less than minimum allowed value {least}"),
                (_, most) => format!("{value} is greater than maximum allowed value {}", most.unwrap_or_default()),
            })
        };
        match atom {
            Atom::Integer(i) => {
                let (least, most) = self.integers;
                if least.is_some_and(|least| *i < least) || most.is_some_and(|most| *i > most) {
                    return Err(range(i.to_string(), least.map(|n| n.to_string()), most.map(|n| n.to_string())));
                }
            }
            Atom::Real(r) => {
                let (least, most) = self.reals;
                if least.is_some_and(|least| *r < least) || most.is_some_and(|most| *r > most) {
                    let text = |r: f64| Atom::Real(r).to_json().to_string();
                    return Err(range(text(*r), least.map(text), most.map(text)));
                }
            }
            Atom::String(s) if self.length != (0, u64::from(u32::MAX)) => {
                let length = s.chars().count() as u64;
                if length < self.length.0 {
                    let text = format!("\"{s}\" length {length} is less than minimum allowed length {}", self.length.0);
                    return Err(Error::constraint(text));
                }
                if length > self.length.1 {
                    let text =
                        format!("\"{s}\" length {length} is greater than maximum allowed length {}", self.length.1);
                    return Err(Error::constraint(text));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `<type>`: a scalar, a set or a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    pub key: BaseType,
    pub value: Option<BaseType>,
    pub min: u32,
    /// `u32::MAX` is "unlimited".
    pub max: u32,
}

impl Type {
    /// Exactly one of any `kind`.
    pub const fn scalar(kind: AtomKind) -> Type {
        Type { key: BaseType::any(kind), value: None, min: 1, max: 1 }
    }

    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// A set or map of at most one.
    pub fn is_optional_scalar(&self) -> bool {
        self.value.is_none() && self.min == 0 && self.max == 1
    }

    pub fn from_json(json: &Json) -> Result<Type, Error> {
        if json.as_str().is_some() {
            return Ok(Type { key: BaseType::from_json(json)?, value: None, min: 1, max: 1 });
        }
        let mut members = Members::new(json, "ovsdb type");
        let key = members.required("key", kind::STRING | kind::OBJECT);
        let value = members.optional("value", kind::STRING | kind::OBJECT);
        let min = members.integer("min").unwrap_or(1);
        let max = members.optional("max", kind::INT | kind::STRING);
        members.finish()?;
        let key = key.map_or_else(|| Err(Error::syntax(json, "no key")), BaseType::from_json)?;
        let value = value.map(BaseType::from_json).transpose()?;
        let range = |name: &str, n: i64| {
            u32::try_from(n).map_err(|_| Error::syntax(json, format!("\"{name}\" must be a non-negative integer")))
        };
        let min = range("min", min)?;
        let max = match max {
            None => 1,
            Some(Json::Int(n)) => range("max", *n)?,
            Some(Json::Str(s)) if &**s == "unlimited" => u32::MAX,
            Some(_) => return Err(Error::syntax(json, "\"max\" must be an integer or \"unlimited\"")),
        };
        if min > 1 || max < 1 || min > max {
            return Err(Error::syntax(json, "ovsdb type fails constraint checks"));
        }
        Ok(Type { key, value, min, max })
    }

    pub fn to_json(&self) -> Json {
        if self.is_scalar() && self.key.is_plain() {
            return self.key.to_json();
        }
        let mut object = Object::new();
        let mut member = |name: &str, value: Json| object.insert(Arc::from(name), value);
        member("key", self.key.to_json());
        if let Some(value) = &self.value {
            member("value", value.to_json());
        }
        if self.min != 1 {
            member("min", Json::Int(i64::from(self.min)));
        }
        if self.max == u32::MAX {
            member("max", Json::from("unlimited"));
        } else if self.max != 1 {
            member("max", Json::Int(i64::from(self.max)));
        }
        Json::Object(object)
    }

    /// In words, as error messages have it.
    pub fn english(&self) -> String {
        let key = self.key.kind.name();
        if self.is_scalar() {
            return key.into();
        }
        let many = match (self.min, self.max) {
            (0, u32::MAX) => String::new(),
            (min, u32::MAX) => format!("{min} or more "),
            (0, max) => format!("up to {max} "),
            (min, max) => format!("{min} to {max} "),
        };
        match &self.value {
            None => format!("set of {many}{key}s"),
            Some(value) => format!("map of {many}{key}-{} pairs", value.kind.name()),
        }
    }

    /// The default of RFC 7047, 5.2.1.
    pub fn default_datum(&self) -> Datum {
        match (self.min, &self.value) {
            (0, _) => Datum::Empty,
            (_, None) => Datum::One(self.key.kind.default_atom()),
            (_, Some(value)) => Datum::map(vec![(self.key.kind.default_atom(), value.kind.default_atom())]),
        }
    }

    /// Whether `datum` is the default.
    pub fn is_default(&self, datum: &Datum) -> bool {
        match (self.min, datum) {
            (0, _) => datum.is_empty(),
            (_, Datum::One(atom)) => atom.is_default(),
            (_, Datum::Map(pairs)) => matches!(&**pairs, [(k, v)] if k.is_default() && v.is_default()),
            _ => false,
        }
    }
}
