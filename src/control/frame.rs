//! Cuts a byte stream into JSON-RPC requests. Any bytes give requests, a wish for more, or an error that ends the
//! connection.

use serde::Deserialize;
use serde_json::Value;

/// The longest request in bytes: room for a file of flows as parameters.
pub(super) const REQUEST_MAX: usize = 8 << 20;

/// One call by name with string parameters.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Request {
    pub method: String,
    pub params: Vec<Value>,
    #[serde(default)]
    pub id: Value,
}

impl Request {
    /// Its parameters as strings; numbers and the like in JSON's text.
    pub fn arguments(&self) -> Vec<String> {
        self.params.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect()
    }
}

/// Bytes received and not used yet, and how far the search for the end of a request has come in them.
#[derive(Default)]
pub(super) struct Framer {
    bytes: Vec<u8>,
    used: usize,
    /// Bytes behind `used` that were looked at, and what is open there.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Framer {
    /// Room to read into.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
        } else if self.used > 1 << 16 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        &mut self.bytes
    }

    /// The next request; None when its end has not come yet.
    ///
    /// # Errors
    /// What follows is no JSON-RPC request or is longer than [`REQUEST_MAX`].
    pub(super) fn next(&mut self) -> Result<Option<Request>, String> {
        if !self.find_end()? {
            return match self.seen < REQUEST_MAX {
                true => Ok(None),
                false => Err(format!("request is longer than {REQUEST_MAX} bytes")),
            };
        }
        let end = self.used + self.seen;
        let request = serde_json::from_slice(self.bytes.get(self.used..end).unwrap_or_default());
        (self.used, self.seen) = (end, 0);
        request.map(Some).map_err(|e| format!("not a JSON-RPC request: {e}"))
    }

    /// Looks on from where it stopped for the brace that ends the object. Each byte is looked at once, however the
    /// stream is cut, even inside a number, which a JSON reader would call wrong where it is only unfinished.
    fn find_end(&mut self) -> Result<bool, String> {
        for byte in self.bytes.get(self.used + self.seen..).unwrap_or_default() {
            self.seen += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' if self.depth > 0 => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'[' if self.depth > 0 => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(true);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.depth == 0 => return Err("not a JSON-RPC request: expected an object".into()),
                _ => {}
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = r#"{"method":"version","params":[],"id":0}"#;

    #[test]
    fn back_to_back_and_in_pieces() {
        let mut f = Framer::default();
        let text = format!("{ONE} {}", ONE.replace("version", "exit"));
        let mut got = Vec::new();
        for b in text.bytes() {
            f.buffer().push(b);
            while let Some(r) = f.next().unwrap() {
                got.push(r.method);
            }
        }
        assert_eq!(got, ["version", "exit"]);
    }

    #[test]
    fn every_prefix_asks_for_more() {
        for n in 0..ONE.len() {
            let mut f = Framer::default();
            f.buffer().extend_from_slice(&ONE.as_bytes()[..n]);
            assert_eq!(f.next(), Ok(None), "{n}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for text in ["]", "[1,2]", "{\"method\":5,\"params\":[]}", "{\"params\":[]}"] {
            let mut f = Framer::default();
            f.buffer().extend_from_slice(text.as_bytes());
            assert!(f.next().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_without_end_is_cut_off() {
        let mut f = Framer::default();
        f.buffer().extend_from_slice(b"{\"method\":\"");
        f.buffer().resize(REQUEST_MAX, b'x');
        assert!(f.next().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut f = Framer::default();
            f.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = f.next() {}
        }
    }
}
