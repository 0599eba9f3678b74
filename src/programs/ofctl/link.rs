//! A connection to a switch: how its name leads to a socket, the versions that both speak, requests and their answers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;

use openflow::text::NoNames;
use openflow::text::message::Teller;
use openflow::wire::bytes::Bytes;
use openflow::wire::{Connection, Frames, Header, Message, Version, Versions, Xid, decode, encode, encode_all};

use crate::setup;
use crate::stream::Stream;

/// Upper bytes of OpenFlow 1.0's commands are tables, as in all that ovs-ofctl sends.
pub(super) const ON: Connection = Connection { table_id: true, tlv: None };

/// What is read at once.
const CHUNK: usize = 1 << 16;
/// Where `tcp:` and `ssl:` lead without a port (IANA: openflow).
const PORT: u16 = 6653;

/// The text of a message.
pub(super) fn tell(bytes: &[u8], verbosity: u8) -> String {
    let told = Teller { names: &NoNames, verbosity, on: ON }.tell(bytes);
    log(&told.log);
    told.text
}

pub(super) fn log(lines: &[(&'static str, String)]) {
    for (module, text) in lines {
        let level = if *module == "ofp_match" { log::Level::Info } else { log::Level::Warn };
        log::log!(target: module, level, "{text}");
    }
}

/// The kind and transaction in a message's header.
pub(super) fn header(bytes: &[u8]) -> Result<Header, String> {
    Header::read(&mut Bytes::new(bytes)).map_err(|e| e.to_string())
}

/// A connection on which both have said hello.
pub(super) struct Link {
    stream: Stream,
    /// What was asked for, and the socket that it led to, for messages.
    name: String,
    method: String,
    frames: Frames,
    arrived: VecDeque<Vec<u8>>,
    pub(super) version: Version,
    xid: u32,
}

/// The socket that a switch's name leads to. `kind` is `mgmt` or `snoop`.
fn method(name: &str, kind: &str) -> Result<String, String> {
    if let Some((way, rest)) = name.split_once(':')
        && matches!(way, "unix" | "tcp" | "ssl")
    {
        return Ok(with_port(way, rest));
    }
    let is_socket = |path: &std::path::Path| std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket());
    let named = setup::run_dir().join(format!("{name}.{kind}"));
    if is_socket(&named) {
        return Ok(format!("unix:{}", named.display()));
    }
    if is_socket(std::path::Path::new(name)) {
        return Ok(format!("unix:{name}"));
    }
    // what a datapath is called, "system@br0"
    if let Some((_, bridge)) = name.split_once('@') {
        return method(bridge, kind);
    }
    Err(format!("{name} is not a bridge or a socket"))
}

fn with_port(way: &str, rest: &str) -> String {
    let bracketed = rest.starts_with('[');
    let has_port = if bracketed { rest.contains("]:") } else { rest.contains(':') };
    match way {
        "unix" => format!("unix:{rest}"),
        _ if has_port => format!("{way}:{rest}"),
        _ => format!("{way}:{rest}:{PORT}"),
    }
}

impl Link {
    /// Connects, and agrees on one of `versions`.
    pub(super) fn open(name: &str, versions: Versions) -> Result<Link, String> {
        Link::open_as(name, "mgmt", versions)
    }

    /// The same for the socket of who looks on.
    pub(super) fn snoop(name: &str, versions: Versions) -> Result<Link, String> {
        Link::open_as(name, "snoop", versions)
    }

    fn open_as(name: &str, kind: &str, versions: Versions) -> Result<Link, String> {
        let method = method(name, kind)?;
        // a switch that is named by its socket is told so
        let failed = |e: &io::Error| match name == method || name.split_once(':').is_some() {
            true => format!("connecting to {name} ({})", ovsdb::error::strerror(e)),
            false => format!("{name}: failed to connect to socket ({})", ovsdb::error::strerror(e)),
        };
        let stream = Stream::connect(&method).map_err(|e| failed(&e))?;
        let mut link = Link {
            stream,
            name: name.to_owned(),
            method: method.clone(),
            frames: Frames::new(),
            arrived: VecDeque::new(),
            version: versions.latest().unwrap_or(Version::Of10),
            xid: 1,
        };
        let hello = encode(&Message::Hello(versions), link.version, Xid(1)).map_err(|e| e.to_string())?;
        link.stream.write_all(&hello).map_err(|e| failed(&e))?;
        let answer = link.next_bytes().map_err(|e| failed(&e))?;
        let protocol = || failed(&io::Error::from_raw_os_error(nix::libc::EPROTO));
        let theirs = match decode(&answer, ON) {
            Ok((_, _, Message::Hello(theirs))) => theirs,
            _ => {
                log::warn!(target: "vconn", "{method}: received message while expecting hello: {}", tell(&answer, 1));
                return Err(protocol());
            }
        };
        link.version = theirs.common(versions).ok_or_else(|| {
            let text = |v: Versions| {
                let all = (0..32).filter(|n| v.0 >> n & 1 != 0).map(|n: u8| format!("0x{n:02x}"));
                let all: Vec<String> = all.collect();
                match &all[..] {
                    [one] => format!("version {one}"),
                    [first, .., last] if all.len() > 2 => format!("version {last} and earlier (from {first})"),
                    several => format!("versions {}", several.join(", ")),
                }
            };
            log::warn!(
                target: "vconn",
                "{method}: version negotiation failed (we support {}, peer supports {})", text(versions), text(theirs)
            );
            protocol()
        })?;
        Ok(link)
    }

    /// A transaction that no message had.
    pub(super) fn fresh(&mut self) -> Xid {
        self.xid = self.xid.wrapping_add(1);
        Xid(self.xid)
    }

    /// The socket, as a connection method.
    pub(super) fn method(&self) -> &str {
        &self.method
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether a message is there without reading.
    pub(super) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// The next message, whatever it is.
    fn next_bytes(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(message) = self.arrived.pop_front() {
                return Ok(message);
            }
            self.read()?;
        }
    }

    /// Reads once, and cuts out what is whole.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let n = self.stream.read(&mut buffer)?;
        if n == 0 {
            return Err(io::Error::from_raw_os_error(nix::libc::ECONNRESET));
        }
        self.frames.push(buffer.get(..n).unwrap_or_default());
        while let Some(message) = self.frames.message().map_err(|e| io::Error::other(e.to_string()))? {
            self.arrived.push_back(message.to_vec());
        }
        Ok(())
    }

    /// The next message; echo requests are answered here.
    pub(super) fn receive(&mut self) -> Result<Vec<u8>, String> {
        loop {
            let failed = |name: &str, e: &io::Error| match e.raw_os_error() {
                Some(nix::libc::ECONNRESET) => "OpenFlow packet receive failed (End of file)".to_owned(),
                _ => format!("{name}: OpenFlow packet receive failed ({})", ovsdb::error::strerror(e)),
            };
            let message = self.next_bytes().map_err(|e| failed(&self.name, &e))?;
            match decode(&message, ON) {
                Ok((_, xid, Message::EchoRequest(data))) => self.send_as(&Message::EchoReply(data), xid)?,
                _ => return Ok(message),
            }
        }
    }

    /// Sends bytes that are messages.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(bytes)
            .map_err(|e| format!("failed to send packet to switch ({}: {})", self.name, ovsdb::error::strerror(&e)))
    }

    /// Sends a message with a transaction of its own, which is returned.
    pub(super) fn send(&mut self, message: &Message) -> Result<Xid, String> {
        let xid = self.fresh();
        self.send_as(message, xid).map(|()| xid)
    }

    /// Answers a message.
    pub(super) fn reply(&mut self, message: &Message, xid: Xid) -> Result<(), String> {
        self.send_as(message, xid)
    }

    /// The next message that is there already.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.arrived.pop_front()
    }

    /// Makes a change that the switch may refuse: whether it did it.
    pub(super) fn try_change(&mut self, message: &Message) -> Result<bool, String> {
        let own = self.send(message)?;
        let barrier = self.send(&Message::BarrierRequest)?;
        // what came for others is printed later
        let (mut done, mut others) = (true, VecDeque::new());
        loop {
            let answer = self.receive()?;
            match header(&answer)?.xid {
                xid if xid == barrier => break,
                xid if xid == own && is_error(&answer) => done = false,
                _ => others.push_back(answer),
            }
        }
        others.append(&mut self.arrived);
        self.arrived = others;
        Ok(done)
    }

    fn send_as(&mut self, message: &Message, xid: Xid) -> Result<(), String> {
        let bytes = self.encoded(message, xid)?;
        self.send_bytes(&bytes)
    }

    /// A message as bytes in the version that was agreed on.
    pub(super) fn encoded(&self, message: &Message, xid: Xid) -> Result<Vec<u8>, String> {
        encode(message, self.version, xid).map_err(|e| e.to_string())
    }

    /// The answer to a request, in one message.
    pub(super) fn ask(&mut self, message: &Message) -> Result<Vec<u8>, String> {
        let xid = self.send(message)?;
        self.answer(xid)
    }

    /// The next message of a transaction; others are passed over.
    pub(super) fn answer(&mut self, xid: Xid) -> Result<Vec<u8>, String> {
        loop {
            let message = self.receive()?;
            if header(&message)?.xid == xid {
                return Ok(message);
            }
            log::debug!(target: "vconn", "unexpected message: {}", tell(&message, 0));
        }
    }

    /// All parts of the answer to a request.
    pub(super) fn ask_all(&mut self, message: &Message, mut each: impl FnMut(&[u8])) -> Result<(), String> {
        let xid = self.send(message)?;
        loop {
            let part = self.answer(xid)?;
            each(&part);
            if !goes_on(&part) {
                return Ok(());
            }
        }
    }

    /// Asks, and takes the answer apart. An error is told as it is.
    pub(super) fn value(&mut self, message: &Message) -> Result<Message, String> {
        let answer = self.ask(message)?;
        value(&answer)
    }

    /// Sends changes, and waits until all are done. The first error that comes is the result.
    pub(super) fn change(&mut self, messages: &[Message]) -> Result<(), String> {
        let mut bytes = Vec::new();
        for message in messages {
            let xid = self.fresh();
            let parts = encode_all(message, self.version, xid, None).map_err(|e| e.to_string())?;
            bytes.extend(parts.concat());
        }
        self.change_bytes(bytes)
    }

    /// The same for messages as bytes.
    pub(super) fn change_bytes(&mut self, mut bytes: Vec<u8>) -> Result<(), String> {
        let barrier = self.fresh();
        bytes.extend(self.encoded(&Message::BarrierRequest, barrier)?);
        self.send_bytes(&bytes)?;
        let mut refused = None;
        loop {
            let answer = self.receive()?;
            let header = header(&answer)?;
            if header.xid == barrier {
                return refused.map_or(Ok(()), |text: String| {
                    let _ = write!(io::stderr(), "{text}");
                    Err(String::new())
                });
            }
            if is_error(&answer) {
                refused.get_or_insert_with(|| tell(&answer, 2));
            }
        }
    }
}

/// Whether a message is an error.
pub(super) fn is_error(bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&1)
}

/// What a message says; an error's text when it is one.
pub(super) fn value(bytes: &[u8]) -> Result<Message, String> {
    match decode(bytes, ON) {
        Ok((_, _, Message::Error(_))) => Err(tell(bytes, 2).trim_end().to_owned()),
        Ok((_, _, message)) => Ok(message),
        Err(e) => {
            log(&e.log);
            Err(format!("{}: {}", tell(bytes, 0).trim_end(), e.code))
        }
    }
}

/// Whether another part of an answer follows.
pub(super) fn goes_on(bytes: &[u8]) -> bool {
    let Ok(header) = header(bytes) else { return false };
    let reply = match Version::from_wire(header.version) {
        Some(Version::Of10) => 17,
        _ => 19,
    };
    header.kind == reply && bytes.get(11).is_some_and(|flags| flags & 1 != 0)
}
