//! A connection to a server, blocking: requests, replies, and what comes in between.

use crate::replay::wait::poll;
use crate::stream::{Listener, Stream, is_passive, split_methods};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use ovsdb::Json;
use ovsdb::error::strerror;
use ovsdb::json::{Framer, ParseError, members, parse};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;

/// A message that came.
#[derive(Debug)]
pub(crate) enum Message {
    /// Method and parameters.
    Notification(String, Json),
    /// Id, and result or error.
    Reply(Json, Result<Json, Json>),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Rpc {
    pub(crate) stream: Stream,
    framer: Framer,
    next: i64,
}

impl Rpc {
    /// Connects to the first that answers of methods with commas between them.
    pub(crate) fn connect(methods: &str) -> Result<Rpc, String> {
        let mut error = String::new();
        if is_passive(methods) {
            let failed = |e: std::io::Error| format!("failed to listen on \"{methods}\" ({})", strerror(&e));
            let listener = Listener::listen(methods).map_err(failed)?;
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::NONE);
            let (stream, _) = listener.accept(&mut 0).map_err(failed)?;
            return Ok(Rpc { stream, framer: Framer::default(), next: 0 });
        }
        for method in split_methods(methods) {
            match Stream::connect(&method) {
                Ok(stream) => return Ok(Rpc { stream, framer: Framer::default(), next: 0 }),
                Err(e) => error = format!("failed to connect to \"{methods}\" ({})", strerror(&e)),
            }
        }
        Err(error)
    }

    /// Sends a request; its id.
    pub(crate) fn send(&mut self, method: &str, params: Json) -> Result<Json, String> {
        let id = Json::Int(self.next);
        self.next += 1;
        let message = Json::object([("id", id.clone()), ("method", method.into()), ("params", params)]);
        self.write(&message)?;
        Ok(id)
    }

    fn write(&mut self, message: &Json) -> Result<(), String> {
        self.stream.set_nonblocking(false).map_err(|e| strerror(&e))?;
        self.stream.write_all(message.to_string().as_bytes()).map_err(|e| strerror(&e))
    }

    /// Reads what is there; false at the end.
    pub(crate) fn fill(&mut self) -> Result<bool, String> {
        self.stream.set_nonblocking(true).map_err(|e| strerror(&e))?;
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.framer.push(&buffer[..n]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(true),
            Err(e) => Err(strerror(&e)),
        }
    }

    /// The next message that came whole. Requests for a sign of life are answered.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, String> {
        loop {
            let Some(json) = self.framer.next_value().map_err(|e| e.to_string())? else { return Ok(None) };
            if let Some(message) = self.message(json)? {
                return Ok(Some(message));
            }
        }
    }

    /// What a message is; none when it was a request for a sign of life.
    fn message(&mut self, json: Json) -> Result<Option<Message>, String> {
        let Json::Object(mut members) = json else { return Err("message is not a JSON object".into()) };
        let mut member = |name: &str| members.remove(name).unwrap_or(Json::Null);
        if let Json::Str(method) = member("method") {
            if &*method == "echo" {
                let answer = [("id", member("id")), ("result", member("params")), ("error", Json::Null)];
                self.write(&Json::object(answer))?;
                return Ok(None);
            }
            return Ok(Some(Message::Notification(method.to_string(), member("params"))));
        }
        let error = member("error");
        let result = if error == Json::Null { Ok(member("result")) } else { Err(error) };
        Ok(Some(Message::Reply(member("id"), result)))
    }

    /// Reads, and waits before where nothing has come.
    fn wait(&mut self) -> Result<(), String> {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE);
        if self.fill()? { Ok(()) } else { Err("End of file".into()) }
    }

    /// Waits for a message.
    pub(crate) fn receive(&mut self) -> Result<Message, String> {
        loop {
            if let Some(message) = self.next()? {
                return Ok(message);
            }
            self.wait()?;
        }
    }

    /// Calls and waits; the error is the server's.
    pub(crate) fn call(&mut self, method: &str, params: Json) -> Result<Result<Json, Json>, String> {
        let wanted = self.send(method, params)?;
        loop {
            if let Message::Reply(id, result) = self.receive()?
                && id == wanted
            {
                return Ok(result);
            }
        }
    }

    /// The same where the result is taken as text: one that has all rows of a database is better not made values of first.
    pub(crate) fn call_for_text<T>(
        &mut self,
        method: &str,
        params: Json,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Result<T, Json>, String> {
        let wanted = self.send(method, params)?;
        loop {
            if let Some(text) = self.framer.next_text().map_err(|e| e.to_string())? {
                match result_of(text, &wanted).map_err(|e| e.to_string())? {
                    Some(result) => return Ok(Ok(take(result))),
                    None => {
                        let json = parse(text).map_err(|e| e.to_string())?;
                        if let Some(Message::Reply(id, Err(error))) = self.message(json)?
                            && id == wanted
                        {
                            return Ok(Err(error));
                        }
                    }
                }
                continue;
            }
            self.wait()?;
        }
    }
}

/// The text of the result in a message; none if it is no reply to that request, or an error.
fn result_of<'t>(text: &'t [u8], wanted: &Json) -> Result<Option<&'t [u8]>, ParseError> {
    let (mut result, mut answers) = (None, true);
    let mut has_id = false;
    members(text, |name, value| {
        match name {
            "id" => {
                has_id = true;
                answers &= parse(value)? == *wanted;
            }
            "error" => answers &= value == b"null",
            "method" => answers = false,
            "result" => result = Some(value),
            _ => {}
        }
        Ok::<_, ParseError>(())
    })?;
    Ok(result.filter(|_| answers && has_id))
}
