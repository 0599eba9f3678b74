//! The listening side: one task for each connection frames and answers; calls go to the owner loop by a bounded channel
//! and their answers come back in order.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::frame::{Framer, Request};

/// Calls of one connection that may be in work at once; the next is read when one of them is answered.
const PIPELINE: usize = 256;

/// An answer of more bytes is put into JSON on another thread.
const LONG: usize = 1 << 16;

/// A command on its way to the owner loop. Dropping it unanswered answers with an error.
pub struct Call {
    pub method: String,
    pub arguments: Vec<String>,
    /// Number of its connection; 0 is the process itself.
    pub from: u64,
    reply: oneshot::Sender<Result<String, String>>,
}

impl Call {
    /// Makes a call from inside the process and waits for its answer.
    ///
    /// # Errors
    /// The command's own, or that the owner loop is gone.
    pub async fn send(calls: &mpsc::Sender<Call>, method: &str, arguments: Vec<String>) -> Result<String, String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "the switch is stopping".to_owned();
        calls.send(Call { method: method.to_owned(), arguments, from: 0, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// A call of the owner loop itself, and where its answer comes.
    pub fn own(method: &str) -> (Call, oneshot::Receiver<Result<String, String>>) {
        let (reply, answer) = oneshot::channel();
        (Call { method: method.to_owned(), arguments: Vec::new(), from: 0, reply }, answer)
    }

    /// Sends the answer.
    pub fn answer(self, result: Result<String, String>) {
        // A client that hung up does not want it.
        let _ = self.reply.send(result);
    }
}

/// A bound control socket; removed when dropped.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens at `path`, replacing a stale socket.
    ///
    /// # Errors
    /// The socket cannot be made there.
    pub fn bind(path: &Path) -> io::Result<Server> {
        if let Err(e) = std::fs::remove_file(path)
            && e.kind() != io::ErrorKind::NotFound
        {
            return Err(e);
        }
        Ok(Server { listener: UnixListener::bind(path)?, path: path.to_path_buf() })
    }

    /// Accepts for ever; each call goes to `calls`.
    pub async fn serve(&self, calls: mpsc::Sender<Call>) {
        let mut number = 0;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    number += 1;
                    tokio::spawn(connection(stream, number, calls.clone()));
                }
                Err(e) => {
                    // Out of descriptors, mostly: let those that are open finish.
                    log::warn!(target: "unixctl", "{}: accept failed: {e}", self.path.display());
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Text as clients print it: they add no newline of their own.
fn ended(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn message(id: &Value, answer: Result<String, String>) -> String {
    let message = match answer {
        Ok(text) => json!({"id": id, "result": ended(text), "error": null}),
        Err(text) => json!({"id": id, "result": null, "error": ended(text)}),
    };
    message.to_string()
}

/// An answer that is awaited, with the id of its request.
type Pending = (Value, oneshot::Receiver<Result<String, String>>);

async fn connection(stream: UnixStream, from: u64, calls: mpsc::Sender<Call>) {
    let (mut read, mut write) = stream.into_split();
    let (pending, mut answers) = mpsc::channel::<Pending>(PIPELINE);
    let writer = tokio::spawn(async move {
        let mut out = Vec::new();
        while let Some((id, answer)) = answers.recv().await {
            let answer = answer.await.unwrap_or_else(|_| Err("the switch is stopping".into()));
            let message = if answer.as_ref().is_ok_and(|text| text.len() > LONG) {
                // the loop's thread has better things to do
                let made = tokio::task::spawn_blocking(move || message(&id, answer)).await;
                let Ok(made) = made else { return };
                made
            } else {
                message(&id, answer)
            };
            out.extend_from_slice(message.as_bytes());
            if (answers.is_empty() || out.len() > 1 << 16) && write.write_all(&out).await.is_err() {
                return;
            }
            if answers.is_empty() || out.len() > 1 << 16 {
                out.clear();
            }
        }
    });
    let mut framer = Framer::default();
    'read: loop {
        match read.read_buf(framer.buffer()).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        loop {
            match framer.next() {
                Ok(None) => break,
                Ok(Some(request)) => {
                    let (reply, answer) = oneshot::channel();
                    let arguments = request.arguments();
                    let Request { method, id, .. } = request;
                    if pending.send((id, answer)).await.is_err() {
                        break 'read;
                    }
                    if calls.send(Call { method, arguments, from, reply }).await.is_err() {
                        break 'read;
                    }
                }
                Err(e) => {
                    log::warn!(target: "unixctl", "closing a connection: {e}");
                    break 'read;
                }
            }
        }
    }
    drop(pending);
    let _ = writer.await;
}
