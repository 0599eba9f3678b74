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

/// Bytes received and not used yet.
#[derive(Default)]
pub(super) struct Framer {
    bytes: Vec<u8>,
    used: usize,
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
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<Request>();
        match stream.next() {
            None => Ok(None),
            Some(Ok(request)) => {
                self.used += stream.byte_offset();
                Ok(Some(request))
            }
            Some(Err(e)) if e.is_eof() && rest.len() < REQUEST_MAX => Ok(None),
            Some(Err(e)) if e.is_eof() => Err(format!("request is longer than {REQUEST_MAX} bytes")),
            Some(Err(e)) => Err(format!("not a JSON-RPC request: {e}")),
        }
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
