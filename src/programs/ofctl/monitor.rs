//! `monitor` and `snoop`: connections that stay, and print what comes until they are told to end. What comes goes to standard
//! error; a control socket takes commands (ovs-ofctl(8), "Runtime management commands").

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use openflow::flow_mod::Command as FlowCommand;
use openflow::text::message::Teller;
use openflow::text::{PortNames, parse_flow, parse_packet_out, parse_port, parse_table};
use openflow::wire::monitor::{MonitorRequest, watch};
use openflow::wire::packet::PacketInFormat;
use openflow::wire::switch::FlowFormat;
use openflow::wire::{Message, Version, Xid, decode};

use super::bytes::parse;
use super::flows::unread;
use super::link::{Link, ON, header, is_error, log};
use super::names::Names;
use super::ports::configuration;
use super::{Call, Done};
use crate::daemon::{self, Keep};
use crate::replay::wait::Signals;
use crate::setup;
use crate::unixctl::{self, Command, Connection, Control, command};

const PROGRAM: &str = "ovs-ofctl";

const COMMANDS: [Command; 8] = [
    command("exit", "", 0, usize::MAX),
    command("ofctl/barrier", "", 0, 0),
    command("ofctl/block", "", 0, 0),
    command("ofctl/packet-out", "\"in_port=<port> packet=<hex data> actions=...\"", 1, 1),
    command("ofctl/send", "OFMSG...", 1, usize::MAX),
    command("ofctl/set-output-file", "FILE", 1, 1),
    command("ofctl/unblock", "", 0, 0),
    command("memory/show", "", 0, 0),
];

/// Who waits for a barrier, and its transaction.
struct Waiting {
    caller: usize,
    call: unixctl::Call,
    xid: Xid,
}

struct Monitor<'a> {
    call: &'a Call<'a>,
    link: Link,
    names: Names,
    control: Option<Control>,
    callers: Vec<(usize, Connection)>,
    next_caller: usize,
    waiting: Vec<Waiting>,
    /// What comes is left where it is.
    blocked: bool,
    /// Packets are given back.
    resumes: bool,
    /// Echo requests are answered; who looks on says nothing.
    answers: bool,
}

/// What an argument `watch:…` asks for.
fn watched(text: &str, names: &dyn PortNames) -> Result<MonitorRequest, String> {
    let all = watch::INITIAL | watch::ADD | watch::DELETE | watch::MODIFY | watch::ACTIONS | watch::OWN;
    let mut request = MonitorRequest { flags: all, ..MonitorRequest::default() };
    let mut fields = Vec::new();
    for item in openflow::text::scan::Items::new(text) {
        let bit = match item.whole {
            "!initial" => watch::INITIAL,
            "!add" => watch::ADD,
            "!delete" => watch::DELETE,
            "!modify" => watch::MODIFY,
            "!actions" => watch::ACTIONS,
            "!own" => watch::OWN,
            _ => 0,
        };
        if bit != 0 {
            request.flags &= !bit;
            continue;
        }
        match item.key {
            "table" => {
                let unknown = || format!("unknown table \"{}\"", item.value);
                request.table = Some(parse_table(item.value, names).ok_or_else(unknown)?);
            }
            "out_port" => {
                let unknown = || format!("{}: out_port is not a valid port", item.value);
                request.out_port = Some(parse_port(item.value, names).ok_or_else(unknown)?);
            }
            "out_group" => {
                let bad = |_| format!("invalid group ID \"{}\"", item.value);
                request.out_group = Some(item.value.parse().map(openflow::GroupId).map_err(bad)?);
            }
            _ => fields.push(item.whole),
        }
    }
    let flow = parse_flow(&fields.join(","), FlowCommand::Delete, names).map_err(|e| unread(&e))?.flow;
    request.matching = flow.matching;
    Ok(request)
}

pub(super) fn monitor(call: &Call) -> Done {
    if let Some(exit) = background(call) {
        return exit;
    }
    let versions = call.formats.versions();
    let wants_ttl = call.arguments.iter().any(|a| a == "invalid_ttl");
    let old = openflow::text::Formats::of_versions(Version::Of10..=Version::Of12).versions();
    if wants_ttl && versions.0 & old.0 == 0 {
        return Err(
            "invalid_ttl requires one of the OpenFlow versions OpenFlow10, OpenFlow11, OpenFlow12 but none is enabled (use -O)"
                .to_owned(),
        );
    }
    let names = call.names();
    let mut link = call.link()?;
    let (mut miss, mut resumes, mut watches) = (None, false, Vec::new());
    for argument in call.arguments.iter().skip(1) {
        match argument.as_str() {
            "invalid_ttl" => {}
            "resume" => resumes = true,
            text if text.starts_with("watch:") => {
                watches.push(watched(text.strip_prefix("watch:").unwrap_or(""), &names)?);
            }
            text => {
                let bad = || format!("{text}: unsupported \"monitor\" argument");
                miss = Some(text.parse::<u16>().map_err(|_| bad())?);
            }
        }
    }
    // packets come to who says how much of them it wants
    let miss = miss.or(resumes.then_some(u16::MAX));
    if miss.is_some() || wants_ttl {
        let mut config = configuration(&mut link)?;
        config.miss_send_len = miss.unwrap_or(config.miss_send_len);
        if wants_ttl {
            config.invalid_ttl_to_controller = Some(true);
        }
        link.change(&[Message::SetConfig(config)])?;
    }
    if !watches.is_empty() && link.version == Version::Of10 {
        link.change(&[Message::SetFlowFormat(FlowFormat::Nxm)])?;
    }
    for (id, request) in (0..).zip(watches) {
        link.send(&Message::FlowMonitorRequest(vec![MonitorRequest { id, ..request }]))?;
    }
    packet_in_format(call, &mut link)?;
    stay(call, link, names, resumes, true)
}

pub(super) fn snoop(call: &Call) -> Done {
    if let Some(exit) = background(call) {
        return exit;
    }
    let link = Link::snoop(call.argument(0), call.formats.versions())?;
    stay(call, link, call.names(), false, false)
}

/// Goes into the background where that is asked for. What this process ends with, if it is the one in front.
fn background(call: &Call) -> Option<Done> {
    match daemon::start(PROGRAM, call.parsed) {
        Ok(started) => {
            *call.daemon.borrow_mut() = Some(started);
            None
        }
        Err(code) => Some(if code == std::process::ExitCode::SUCCESS { Ok(()) } else { Err(String::new()) }),
    }
}

/// Has packets come in the form that says most, or the one that is asked for.
fn packet_in_format(call: &Call, link: &mut Link) -> Done {
    let named = match call.parsed.value("packet-in-format") {
        None => None,
        Some("standard" | "openflow10") => Some(PacketInFormat::Standard),
        Some("nxt_packet_in" | "nxm") => Some(PacketInFormat::Nxt),
        Some("nxt_packet_in2") => Some(PacketInFormat::Nxt2),
        Some(other) => return Err(format!("unknown packet-in format \"{other}\"")),
    };
    if let Some(format) = named {
        return link.change(&[Message::SetPacketInFormat(format)]);
    }
    for format in [PacketInFormat::Nxt2, PacketInFormat::Nxt] {
        if link.try_change(&Message::SetPacketInFormat(format))? {
            return Ok(());
        }
    }
    Ok(())
}

fn stay(call: &Call, link: Link, names: Names, resumes: bool, answers: bool) -> Done {
    let control = Control::listen(PROGRAM, call.parsed.value("unixctl"), &COMMANDS);
    let control = control.map_err(|e| format!("control socket: {}", ovsdb::error::strerror(&e)))?;
    let signals =
        Signals::new([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]).map_err(|e| format!("signals: {e}"))?;
    let (callers, waiting) = (Vec::new(), Vec::new());
    let mut monitor =
        Monitor { call, link, names, control, callers, next_caller: 0, waiting, blocked: false, resumes, answers };
    if let Some(daemon) = &mut *call.daemon.borrow_mut() {
        daemon.ready(Keep::Output);
    }
    loop {
        while !monitor.blocked && monitor.link.has_arrived() {
            let Some(message) = monitor.link.take() else { break };
            monitor.message(&message)?;
        }
        if !monitor.serve()? || signals.next().is_some() {
            return Ok(());
        }
        monitor.wait(&signals)?;
    }
}

impl Monitor<'_> {
    fn tell(&self, before: &str, bytes: &[u8]) {
        let told = Teller { names: &self.names, verbosity: self.call.verbosity.saturating_add(2), on: ON }.tell(bytes);
        log(&told.log);
        let time = match self.call.parsed.has("timestamp") {
            true => format!("{}: ", setup::date(setup::wall_ms()).replace('T', " ").trim_end_matches('Z')),
            false => String::new(),
        };
        let _ = write!(std::io::stderr(), "{time}{before}{}", told.text);
    }

    /// Something came.
    fn message(&mut self, bytes: &[u8]) -> Done {
        let decoded = decode(bytes, ON);
        if self.answers
            && let Ok((_, xid, Message::EchoRequest(data))) = decoded
        {
            return self.link.reply(&Message::EchoReply(data), xid);
        }
        self.tell("", bytes);
        let xid = header(bytes)?.xid;
        if let Some(at) = self.waiting.iter().position(|w| w.xid == xid) {
            let Waiting { caller, call, .. } = self.waiting.remove(at);
            if let Some((_, connection)) = self.callers.iter_mut().find(|(number, _)| *number == caller) {
                let answer =
                    if is_error(bytes) { Err("the barrier was refused".to_owned()) } else { Ok(String::new()) };
                connection.answer(call, answer);
            }
        }
        if self.resumes
            && let Ok((_, _, Message::PacketIn(packet))) = decoded
            && packet.continuation.is_some()
        {
            return self.send(&Message::Resume(packet), Xid(0));
        }
        Ok(())
    }

    /// Sends a message, and says so.
    fn send(&mut self, message: &Message, xid: Xid) -> Done {
        let bytes = self.link.encoded(message, xid)?;
        self.tell("send: ", &bytes);
        self.link.send_bytes(&bytes)
    }

    /// Does what callers want; false when it is to end.
    fn serve(&mut self) -> Result<bool, String> {
        let mut calls = Vec::new();
        for (number, connection) in &mut self.callers {
            while let Some(call) = connection.next_call() {
                calls.push((*number, call));
            }
        }
        for (number, call) in calls {
            if call.command == "exit" {
                self.answer(number, call, Ok(String::new()));
                for (_, connection) in self.callers.drain(..) {
                    connection.finish();
                }
                return Ok(false);
            }
            if call.command == "ofctl/barrier" {
                let xid = self.link.send(&Message::BarrierRequest)?;
                self.waiting.push(Waiting { caller: number, call, xid });
                continue;
            }
            let result = self.execute(&call);
            self.answer(number, call, result);
        }
        self.callers.retain(|(_, connection)| !connection.is_done());
        Ok(true)
    }

    fn answer(&mut self, caller: usize, call: unixctl::Call, result: Result<String, String>) {
        if let Some((_, connection)) = self.callers.iter_mut().find(|(number, _)| *number == caller) {
            connection.answer(call, result);
        }
    }

    fn execute(&mut self, call: &unixctl::Call) -> Result<String, String> {
        let first = call.arguments.first().map_or("", String::as_str);
        match call.command {
            "ofctl/send" => {
                for hex in &call.arguments {
                    let bytes = parse(hex)?;
                    self.tell("send: ", &bytes);
                    self.link.send_bytes(&bytes)?;
                }
                Ok("sent".to_owned())
            }
            "ofctl/packet-out" => {
                let packet = parse_packet_out(first, &self.names).map_err(|e| unread(&e))?;
                let xid = self.link.fresh();
                let bytes = self.link.encoded(&Message::PacketOut(packet), xid)?;
                let told = Teller { names: &self.names, verbosity: self.call.verbosity, on: ON }.tell(&bytes);
                // the packet itself is known to who sends it
                let _ = writeln!(std::io::stderr(), "{}", told.text.lines().next().unwrap_or_default());
                self.link.send_bytes(&bytes)?;
                Ok(String::new())
            }
            "ofctl/set-output-file" => {
                let file = OpenOptions::new().create(true).write(true).truncate(true).open(first);
                let file = file.map_err(|e| format!("{first}: {}", ovsdb::error::strerror(&e)))?;
                nix::unistd::dup2_stderr(&file).map_err(|e| format!("{first}: {e}"))?;
                Ok(String::new())
            }
            "ofctl/block" | "ofctl/unblock" => {
                let block = call.command == "ofctl/block";
                if block == self.blocked {
                    return Err(if block { "already blocking" } else { "already unblocked" }.to_owned());
                }
                self.blocked = block;
                Ok(String::new())
            }
            _ => Ok(String::new()),
        }
    }

    /// Waits for the switch, a caller or a signal.
    fn wait(&mut self, signals: &Signals) -> Done {
        let mut fds = vec![PollFd::new(self.link.stream().as_fd(), PollFlags::POLLIN)];
        if self.blocked {
            fds.clear();
        }
        fds.extend(signals.fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.control.iter().map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.callers.iter().map(|(_, c)| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
        let ready = crate::replay::wait::poll(&mut fds, PollTimeout::NONE);
        let readable = !self.blocked && ready.first() == Some(&true);
        if let Some(control) = &self.control {
            while let Ok(connection) = control.accept() {
                self.next_caller += 1;
                self.callers.push((self.next_caller, connection));
            }
            self.callers.iter_mut().for_each(|(_, connection)| control.receive(connection));
        }
        if readable {
            let ended = |e: std::io::Error| format!("vconn_recv ({})", ovsdb::error::strerror(&e));
            self.link.read().map_err(ended)?;
        }
        Ok(())
    }
}
