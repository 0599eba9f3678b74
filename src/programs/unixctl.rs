//! The control socket of a program, for ovs-appctl(8): JSON-RPC with a command and strings, answered with a text.

use crate::setup;
use crate::stream::{Listener, Stream};
use base::log::logger;
use ovsdb::Json;
use ovsdb::json::Framer;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A command: name, usage of its arguments, least and most of them.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    pub name: &'static str,
    pub usage: &'static str,
    pub least: usize,
    pub most: usize,
}

/// A table row.
pub const fn command(name: &'static str, usage: &'static str, least: usize, most: usize) -> Command {
    Command { name, usage, least, most }
}

/// Commands that every program has.
const COMMON: [Command; 10] = [
    command("coverage/read-counter", "COUNTER", 1, 1),
    command("coverage/show", "", 0, 0),
    command("list-commands", "", 0, 0),
    command("version", "", 0, 0),
    command("vlog/close", "", 0, 0),
    command("vlog/disable-rate-limit", "[module]...", 0, usize::MAX),
    command("vlog/list", "", 0, 0),
    command("vlog/list-pattern", "", 0, 0),
    command("vlog/reopen", "", 0, 0),
    command("vlog/set", "{spec | PATTERN:destination:pattern}", 0, usize::MAX),
];

/// One call that is to be answered.
#[derive(Debug)]
pub struct Call {
    pub command: &'static str,
    pub arguments: Vec<String>,
    id: Json,
}

/// One who calls. Calls are answered in order.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    framer: Framer,
    calls: VecDeque<Call>,
    output: Vec<u8>,
    closed: bool,
}

/// The socket.
#[derive(Debug)]
pub struct Control {
    program: &'static str,
    commands: &'static [Command],
    listener: Listener,
}

impl Control {
    /// Listens at `path`, or where ovs-appctl looks for the program. None when it is `none`.
    pub fn listen(
        program: &'static str,
        path: Option<&str>,
        commands: &'static [Command],
    ) -> io::Result<Option<Control>> {
        if path == Some("none") {
            return Ok(None);
        }
        let default = || format!("{program}.{}.ctl", std::process::id());
        let path = setup::in_run_dir(&path.map_or_else(default, str::to_owned));
        let listener = Listener::listen(&format!("punix:{}", path.display()))?;
        Ok(Some(Control { program, commands, listener }))
    }

    pub fn accept(&self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept(&mut 0)?;
        let (framer, calls) = (Framer::default(), VecDeque::new());
        Ok(Connection { stream, framer, calls, output: Vec::new(), closed: false })
    }

    /// Reads what came. What every program answers is answered; the rest waits in [`Connection::next_call`].
    pub fn receive(&self, connection: &mut Connection) {
        let mut buffer = [0; 16384];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => {
                    connection.closed = true;
                    break;
                }
                Ok(n) => connection.framer.push(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    connection.closed = true;
                    break;
                }
            }
        }
        loop {
            match connection.framer.next_value() {
                Ok(None) => break,
                Ok(Some(json)) => self.request(connection, &json),
                Err(e) => {
                    log::warn!(target: "unixctl", "error parsing request: {e}");
                    connection.closed = true;
                    break;
                }
            }
        }
    }

    fn request(&self, connection: &mut Connection, json: &Json) {
        let id = json.get("id").cloned().unwrap_or(Json::Null);
        let method = json.get("method").and_then(Json::as_str).unwrap_or_default();
        let params = json.get("params").and_then(Json::as_array).unwrap_or_default();
        let arguments: Vec<String> = params.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        let known = COMMON.iter().chain(self.commands).find(|c| c.name == method);
        log::debug!(target: "unixctl", "received request {method}{}, id={id}", Json::Array(params.to_vec()));
        let mut call = Call { command: "", arguments, id };
        let Some(command) = known else {
            let text =
                format!("\"{method}\" is not a valid command (use \"list-commands\" to see a list of valid commands)");
            return connection.answer(call, Err(text));
        };
        let n = call.arguments.len();
        if n < command.least || n > command.most {
            let (word, bound) = if n < command.least { ("at least", command.least) } else { ("at most", command.most) };
            let text = format!("\"{method}\" command takes {word} {bound} arguments");
            return connection.answer(call, Err(text));
        }
        call.command = command.name;
        match self.common(&call) {
            Some(result) => connection.answer(call, result),
            None => connection.calls.push_back(call),
        }
    }

    fn common(&self, call: &Call) -> Option<Result<String, String>> {
        let none = || Ok(String::new());
        Some(match call.command {
            "list-commands" => Ok(self.list()),
            "version" => Ok(setup::version(self.program).lines().next().unwrap_or_default().to_owned()),
            "vlog/list" => Ok(logger().map_or(String::new(), base::log::Logger::list)),
            "vlog/list-pattern" => Ok(logger().map_or(String::new(), base::log::Logger::list_pattern)),
            "vlog/close" => {
                if let Some(logger) = logger() {
                    logger.close();
                }
                none()
            }
            "vlog/reopen" => {
                logger().map_or_else(none, |l| l.reopen().map(|()| String::new()).map_err(|e| e.to_string()))
            }
            "vlog/set" if call.arguments.is_empty() => {
                logger().map_or_else(none, |l| l.set("dbg").map(|()| String::new()))
            }
            "vlog/set" => call
                .arguments
                .iter()
                .try_for_each(|spec| logger().map_or(Ok(()), |logger| logger.set(spec)))
                .map(|()| String::new()),
            "vlog/disable-rate-limit" => none(),
            "coverage/show" => {
                Ok("Event coverage, avg rate over last: 5 seconds, last minute, last hour\n0 events never hit\n".into())
            }
            "coverage/read-counter" => Err("No such counter".into()),
            _ => return None,
        })
    }

    fn list(&self) -> String {
        let mut all: Vec<&Command> = COMMON.iter().chain(self.commands).collect();
        all.sort_by_key(|c| c.name);
        let lines = all.iter().map(|c| format!("  {:<23} {}\n", c.name, c.usage));
        format!("The available commands are:\n{}", lines.collect::<String>())
    }

    /// Where it listens.
    pub fn path(&self) -> Option<&Path> {
        self.listener.path()
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// The next call that the program itself answers.
    pub fn next_call(&mut self) -> Option<Call> {
        self.calls.pop_front()
    }

    /// A call that is answered later, before those behind it.
    pub fn put_back(&mut self, call: Call) {
        self.calls.push_front(call);
    }

    pub fn answer(&mut self, call: Call, result: Result<String, String>) {
        let ended = |mut text: String| {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            Json::from(text)
        };
        let kind = if result.is_ok() { "success" } else { "error" };
        log::debug!(target: "unixctl", "replying with {kind}, id={}", call.id);
        let (result, error) = match result {
            Ok(text) => (ended(text), Json::Null),
            Err(text) => (Json::Null, ended(text)),
        };
        let json = Json::object([("id", call.id), ("result", result), ("error", error)]);
        self.output.extend_from_slice(json.to_string().as_bytes());
        self.send();
    }

    /// Sends what can be sent.
    pub fn send(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) => {
                    self.output.drain(..n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    pub fn wants_to_send(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether nothing more comes of it.
    pub fn is_done(&self) -> bool {
        self.closed && self.calls.is_empty()
    }

    /// Waits until all is sent, before the program ends.
    pub fn finish(mut self) {
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.write_all(&self.output);
    }
}
