//! Command lines in GNU style: long options that may be shortened, short ones that may be joined, anywhere between the
//! arguments up to `--`.

/// Whether an option has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
    /// With `=` or joined alone.
    Maybe,
}

/// An option; without a short form it is `'\0'`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub long: &'static str,
    pub short: char,
    pub takes: Takes,
}

/// A table row.
pub const fn option(long: &'static str, short: char, takes: Takes) -> Known {
    Known { long, short, takes }
}

/// A command line taken apart.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// In order, by long name.
    pub options: Vec<(&'static str, Option<String>)>,
    pub arguments: Vec<String>,
}

impl Parsed {
    /// Whether an option was given.
    pub fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// The last value given to an option.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| *name == long).and_then(|(_, value)| value.as_deref())
    }

    /// All values given to an option.
    pub fn values<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(name, _)| *name == long).filter_map(|(_, value)| value.as_deref())
    }
}

/// Takes a command line apart.
///
/// # Errors
/// An option that is unknown, ambiguous, or has a value where it takes none or none where it takes one.
pub fn parse(known: &[Known], arguments: Vec<String>) -> Result<Parsed, String> {
    take_apart(known, arguments, false)
}

/// The same with options before the first argument only; what follows is somebody else's.
///
/// # Errors
/// As [`parse`].
pub fn parse_leading(known: &[Known], arguments: Vec<String>) -> Result<Parsed, String> {
    take_apart(known, arguments, true)
}

fn take_apart(known: &[Known], arguments: Vec<String>, leading: bool) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            parsed.arguments.extend(rest.by_ref());
        } else if let Some(long) = argument.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let option = find(known, name)?;
            let value = match (option.takes, value) {
                (Takes::Nothing, Some(_)) => {
                    return Err(format!("option '--{}' doesn't allow an argument", option.long));
                }
                (Takes::Value, None) => {
                    let missing = || format!("option '--{}' requires an argument", option.long);
                    Some(rest.next().ok_or_else(missing)?)
                }
                (_, value) => value,
            };
            parsed.options.push((option.long, value));
        } else if argument.len() > 1 && argument.starts_with('-') {
            let mut letters = argument[1..].chars();
            while let Some(letter) = letters.next() {
                let option = known.iter().find(|o| o.short == letter && letter != '\0');
                let option = option.ok_or_else(|| format!("invalid option -- '{letter}'"))?;
                if option.takes == Takes::Nothing {
                    parsed.options.push((option.long, None));
                    continue;
                }
                let joined = letters.as_str().to_owned();
                let value = match (option.takes, joined.is_empty()) {
                    (_, false) => Some(joined),
                    (Takes::Value, true) => {
                        let missing = || format!("option requires an argument -- '{letter}'");
                        Some(rest.next().ok_or_else(missing)?)
                    }
                    _ => None,
                };
                parsed.options.push((option.long, value));
                break;
            }
        } else {
            parsed.arguments.push(argument);
            if leading {
                parsed.arguments.extend(rest.by_ref());
            }
        }
    }
    Ok(parsed)
}

fn find<'k>(known: &'k [Known], name: &str) -> Result<&'k Known, String> {
    if let Some(exact) = known.iter().find(|o| o.long == name) {
        return Ok(exact);
    }
    let mut near = known.iter().filter(|o| o.long.starts_with(name) && !name.is_empty());
    match (near.next(), near.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(format!("option '--{name}' is ambiguous")),
        _ => Err(format!("unrecognized option '--{name}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Known; 4] = [
        option("verbose", 'v', Takes::Maybe),
        option("timeout", 't', Takes::Value),
        option("version", 'V', Takes::Nothing),
        option("more", 'm', Takes::Nothing),
    ];

    fn run(line: &str) -> Result<(String, String), String> {
        let parsed = parse(&KNOWN, line.split(' ').map(str::to_owned).collect())?;
        let options = parsed.options.iter().map(|(n, v)| format!("{n}={}", v.as_deref().unwrap_or("")));
        Ok((options.collect::<Vec<_>>().join(" "), parsed.arguments.join(" ")))
    }

    #[test]
    fn as_gnu() {
        assert_eq!(
            run("a -vx --time 5 b -mmt6 -- -v"),
            Ok(("verbose=x timeout=5 more= more= timeout=6".into(), "a b -v".into()))
        );
        assert_eq!(run("-v a --verbose=q -"), Ok(("verbose= verbose=q".into(), "a -".into())));
        let line = ["-m", "a", "-m", "--", "-x"].map(str::to_owned).to_vec();
        let leading = parse_leading(&KNOWN, line).unwrap();
        assert_eq!((leading.options.len(), leading.arguments.join(" ").as_str()), (1, "a -m -- -x"));
        assert_eq!(run("--ver"), Err("option '--ver' is ambiguous".into()));
        assert_eq!(run("--foo"), Err("unrecognized option '--foo'".into()));
        assert_eq!(run("-x"), Err("invalid option -- 'x'".into()));
        assert_eq!(run("-t"), Err("option requires an argument -- 't'".into()));
        assert_eq!(run("--more=1"), Err("option '--more' doesn't allow an argument".into()));
    }
}
