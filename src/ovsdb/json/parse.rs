//! A strict reader of RFC 8259, and the cutter of a byte stream into values. Depth and size are bounded.

use super::{Json, Object};
use std::fmt;
use std::sync::Arc;

/// How deep values may nest.
pub const MAX_DEPTH: usize = 1000;

/// How many values a text may have beyond one for each eight bytes: an empty array takes more memory than text.
const VALUES_MIN: usize = 1 << 22;

/// What is wrong with a text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub byte: usize,
    pub what: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, byte, what } = self;
        write!(f, "line {line}, column {column}, byte {byte}: {what}")
    }
}

impl std::error::Error for ParseError {}

/// Reads one value that is all of `text`.
pub fn parse(text: &[u8]) -> Result<Json, ParseError> {
    let mut reader = Reader { text, at: 0, values: VALUES_MIN + text.len() / 8 };
    let result = reader.value(0).and_then(|json| {
        reader.space();
        match reader.at == text.len() {
            true => Ok(json),
            false => Err("trailing garbage at end of input"),
        }
    });
    result.map_err(|what| {
        let before = &text[..reader.at.min(text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count();
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        ParseError { line, column: before.len() - start, byte: before.len(), what }
    })
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Values that may come.
    values: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, &'static str> {
        if depth > MAX_DEPTH {
            return Err("input exceeds maximum nesting depth 1000");
        }
        self.values = self.values.checked_sub(1).ok_or("input has too many values")?;
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Str(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Json::Bool(true)),
            Some(b'f') => self.word(b"false", Json::Bool(false)),
            Some(b'n') => self.word(b"null", Json::Null),
            Some(_) => Err("syntax error parsing value"),
            None => Err("unexpected end of input"),
        }
    }

    fn word(&mut self, word: &[u8], json: Json) -> Result<Json, &'static str> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(json)
        } else {
            Err("invalid keyword")
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, &'static str> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return Err("syntax error expecting ']' or ','"),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, &'static str> {
        self.at += 1;
        let mut members = Object::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err("syntax error parsing object expecting string");
            }
            let name = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err("syntax error parsing object expecting ':'");
            }
            self.at += 1;
            members.insert(name, self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return Err("syntax error expecting '}' or ','"),
            }
        }
    }

    fn number(&mut self) -> Result<Json, &'static str> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while let Some(b'0'..=b'9') = reader.peek() {
                reader.at += 1;
            }
            reader.at - from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        match digits(self) {
            0 => return Err("'-' must be followed by digit"),
            1 => {}
            _ if first == Some(b'0') => return Err("leading zeros not allowed"),
            _ => {}
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            whole = false;
            if digits(self) == 0 {
                return Err("decimal point must be followed by digit");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            whole = false;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err("exponent must contain at least one digit");
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).map_err(|_| "syntax error in number")?;
        if whole && let Ok(i) = text.parse() {
            return Ok(Json::Int(i));
        }
        let r: f64 = text.parse().map_err(|_| "syntax error in number")?;
        if !r.is_finite() {
            return Err("number outside valid range");
        }
        // exact in both types
        if r.fract() == 0.0 && r.abs() < 9.2e18 { Ok(Json::Int(r as i64)) } else { Ok(Json::Real(r)) }
    }

    fn string(&mut self) -> Result<Arc<str>, &'static str> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = std::str::from_utf8(&self.text[start..self.at]).map_err(|_| "invalid UTF-8 sequence")?;
                    self.at += 1;
                    return Ok(Arc::from(text));
                }
                Some(b'\\') => return self.escaped(start),
                Some(32..) => self.at += 1,
                Some(_) => return Err("unescaped control character in string"),
                None => return Err("unexpected end of input in quoted string"),
            }
        }
    }

    /// A string with escapes in it; `at` is at the first.
    fn escaped(&mut self, start: usize) -> Result<Arc<str>, &'static str> {
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            let byte = self.peek().ok_or("unexpected end of input in quoted string")?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map(Arc::from).map_err(|_| "invalid UTF-8 sequence"),
                b'\\' => {
                    let c = match self.peek() {
                        Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode()?,
                        _ => return Err("bad escape"),
                    };
                    self.at += 1;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..32 => return Err("unescaped control character in string"),
                other => bytes.push(other),
            }
        }
    }

    /// `u` and four hexadecimal digits, or two of that; leaves `at` at the last digit.
    fn unicode(&mut self) -> Result<char, &'static str> {
        let unit = self.hex4()?;
        let code = match unit {
            0 => return Err("null bytes not supported in quoted strings"),
            0xd800..0xdc00 => {
                if self.text.get(self.at + 1..self.at + 3) != Some(b"\\u") {
                    return Err("malformed escaped surrogate pair");
                }
                self.at += 2;
                match self.hex4()? {
                    low @ 0xdc00..0xe000 => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err("second half of escaped surrogate pair is not trailing surrogate"),
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or("malformed escaped surrogate pair")
    }

    fn hex4(&mut self) -> Result<u32, &'static str> {
        let digits = self.text.get(self.at + 1..self.at + 5).ok_or("unexpected end of input in quoted string")?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |value, &d| Some(value * 16 + char::from(d).to_digit(16)?))
            .ok_or("malformed \\u escape")
    }
}

/// Cuts a byte stream into objects and arrays. Each byte is looked at once, however the stream is cut.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    used: usize,
    /// Bytes behind `used` that were looked at, and what is open there.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Framer {
    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
            self.bytes.shrink_to(1 << 20);
        } else if self.used > 1 << 16 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are kept.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next value; None when its end has not come yet.
    ///
    /// # Errors
    /// What follows is neither an object nor an array, or is malformed. Nothing sensible can come after it.
    pub fn next_value(&mut self) -> Result<Option<Json>, ParseError> {
        let end = self.find_end().map_err(|what| ParseError { line: 0, column: self.seen, byte: self.seen, what })?;
        if !end {
            return Ok(None);
        }
        let until = self.used + self.seen;
        let json = parse(&self.bytes[self.used..until]);
        (self.used, self.seen) = (until, 0);
        json.map(Some)
    }

    fn find_end(&mut self) -> Result<bool, &'static str> {
        for &byte in &self.bytes[self.used + self.seen..] {
            self.seen += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'"' if self.depth > 0 => self.in_string = true,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(true);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.depth == 0 => return Err("syntax error at beginning of input"),
                _ => {}
            }
            if self.depth > MAX_DEPTH {
                return Err("input exceeds maximum nesting depth 1000");
            }
        }
        Ok(false)
    }
}
