//! Changes that are made all together or not at all: bundles (OpenFlow 1.4.1 section 6.8, and ONF's extension 230 for 1.3).

use std::io::Write;

use openflow::text::file::Change;
use openflow::wire::message::{BUNDLE_ATOMIC, BUNDLE_ORDERED, Bundle, BundleCommand, kind_of};
use openflow::wire::{Kind, Message, Version, Xid, decode};

use super::flows::{text_of, unread_line};
use super::link::{Link, ON, header, is_error};
use super::{Call, Done};

/// Messages between two looks at what became of them.
const AT_ONCE: usize = 512;

/// Sends a bundle of messages and has it committed.
pub(super) fn send(link: &mut Link, messages: Vec<Message>) -> Done {
    if link.version < Version::Of13 {
        return Err("bundles need OpenFlow 1.3 or later ('-O OpenFlow14')".to_owned());
    }
    let bundle = Bundle { id: 0, flags: BUNDLE_ATOMIC | BUNDLE_ORDERED };
    let control = |command| Message::BundleControl { bundle, command };
    let mut sent = Sent { messages: Vec::new(), failed: false };
    sent.step(link, vec![control(BundleCommand::OpenRequest)], false)?;
    let mut rest = messages.into_iter();
    loop {
        let some: Vec<Message> = rest.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let add = |message| Message::BundleAdd { bundle, message: Box::new(message) };
        sent.step(link, some.into_iter().map(add).collect(), true)?;
    }
    // which closes it too
    sent.step(link, vec![control(BundleCommand::CommitRequest)], false)
}

/// What was sent, in the order of transactions.
struct Sent {
    messages: Vec<(Xid, Vec<u8>)>,
    failed: bool,
}

impl Sent {
    /// Sends messages, and looks what became of them: of those that are answered by their answers, of others by a barrier.
    fn step(&mut self, link: &mut Link, messages: Vec<Message>, barred: bool) -> Done {
        let before = self.messages.len();
        let controls = messages.iter().filter(|m| matches!(m, Message::BundleControl { .. })).count();
        let mut bytes = Vec::new();
        for message in messages {
            let xid = link.fresh();
            let encoded = link.encoded(&message, xid)?;
            bytes.extend_from_slice(&encoded);
            self.messages.push((xid, encoded));
        }
        let barrier = if barred { Some(link.fresh()) } else { None };
        if let Some(barrier) = barrier {
            bytes.extend(link.encoded(&Message::BarrierRequest, barrier)?);
        }
        link.send_bytes(&bytes)?;
        let mut answered = 0;
        let mut passed = !barred;
        while !passed || answered < controls {
            let answer = link.receive()?;
            let xid = header(&answer)?.xid;
            if Some(xid) == barrier {
                passed = true;
                continue;
            }
            let at = self.messages.binary_search_by_key(&xid.0, |(own, _)| own.0).ok();
            let own = at.and_then(|n| self.messages.get(n));
            // a commit may refuse what was added earlier, before it is refused itself
            let now = at.is_some_and(|n| n >= before);
            if is_error(&answer) {
                self.failed = true;
                answered += usize::from(now && controls > 0);
                tell(&answer, own.map(|(_, sent)| sent.as_slice()));
            } else if own.is_some() {
                answered += 1;
            }
        }
        match self.failed {
            true => Err(format!("talking to {} ({})", link.method(), ovsdb::error::strerror(&protocol()))),
            false => Ok(()),
        }
    }
}

fn protocol() -> std::io::Error {
    std::io::Error::from_raw_os_error(nix::libc::EPROTO)
}

/// Says which message was refused, and why.
fn tell(answer: &[u8], sent: Option<&[u8]>) {
    let Ok((_, _, Message::Error(e))) = decode(answer, ON) else { return };
    // what is in a bundle is told for itself: behind the bundle's number and flags, and ONF's numbers before OpenFlow 1.4
    let head = if answer.first().is_some_and(|version| *version < Version::Of14.wire()) { 24 } else { 16 };
    let inner = sent.filter(|s| kind_of(s).is_ok_and(|kind| kind == Kind::BundleAdd));
    let text = match (inner.and_then(|s| s.get(head..)), sent) {
        (Some(inner), _) => super::link::tell(inner, 0),
        (None, Some(sent)) => super::link::tell(sent, 0),
        (None, None) => super::link::tell(&e.data, 0),
    };
    let code = e.code.map_or_else(|| "of unknown numbers".to_owned(), |code| code.to_string());
    let _ = write!(std::io::stderr(), "Error {code} for: {text}");
}

/// `bundle`: a file of changes of all kinds.
pub(super) fn command(call: &Call) -> Done {
    let path = call.argument(1);
    let names = call.names();
    let changes = openflow::text::parse_bundle(&text_of(path)?, &names).map_err(|e| unread_line(path, &e))?;
    let mut link = Link::open(call.argument(0), call.formats.versions())?;
    let message = |change| match change {
        Change::Flow(flow) => super::flows::modern(flow.flow),
        Change::Group(group) => Message::GroupMod { group, nx: false },
        Change::PacketOut(out) => Message::PacketOut(out),
    };
    let messages = changes.into_iter().map(message).collect();
    send(&mut link, messages)
}
