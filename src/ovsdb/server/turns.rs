//! Who is served next. Clients share the server's time, not its requests: each has a clock that goes on by what its requests
//! cost; who is furthest behind is next, counting what has come of it as done. So one who asks for little waits for the request
//! that is in work, whatever others ask for. A round has a bound as well; what is left is for the next one, and nothing is read
//! of a client that has something left.

use super::session::{REQUEST_MAX, Session, SessionId};
use super::{Now, Server};
use std::collections::BTreeSet;

/// What one round may cost, in about bytes read and made.
const ROUND: usize = 1 << 20;

/// What a client's turn may cost.
const TURN: usize = 1 << 15;

/// The least that a request costs.
const LEAST: usize = 100;

/// Commits that one round writes together.
const MUCH: usize = 1 << 12;

/// Sessions with requests, by their places.
#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: BTreeSet<(u64, SessionId)>,
    /// The clock of who was served last: nobody who comes anew is further behind.
    now: u64,
}

impl Server {
    /// A session has something to work on.
    pub(super) fn queue(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|s| !s.waiting && !self.held.contains(&id)) else {
            return;
        };
        session.waiting = true;
        session.clock = session.clock.max(self.turns.now);
        session.place = session.clock + session.framer.len() as u64;
        self.turns.queue.insert((session.place, id));
    }

    pub(super) fn unqueue(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| session.waiting) {
            session.waiting = false;
            self.turns.queue.remove(&(session.place, id));
        }
    }

    /// Whether there is something to work on, without any input.
    pub fn can_resume(&self) -> bool {
        let can_go_on = |id| self.sessions.get(id).is_some_and(|session: &Session| !session.is_full());
        !self.turns.queue.is_empty() || self.held.iter().any(can_go_on)
    }

    /// Serves clients until the round is over.
    pub(super) fn work(&mut self, now: Now) {
        for id in std::mem::take(&mut self.held) {
            if self.sessions.get(&id).is_some_and(Session::is_full) {
                self.held.insert(id);
            } else {
                self.queue(id);
            }
        }
        let mut left = ROUND;
        while left > 0
            && !self.databases.values().any(|hosted| hosted.unwritten() > MUCH)
            && let Some((_, id)) = self.turns.queue.pop_first()
        {
            let clock = self.sessions.get(&id).map_or(0, |session| session.clock);
            self.turns.now = self.turns.now.max(clock);
            let (spent, more) = self.serve(id, now);
            left = left.saturating_sub(spent);
            self.active.insert(id);
            if let Some(session) = self.sessions.get_mut(&id) {
                session.waiting = false;
                session.clock += spent as u64;
                if more {
                    self.queue(id);
                }
            }
        }
    }

    /// A client's turn: what it cost, and whether there may be more to do.
    fn serve(&mut self, id: SessionId, now: Now) -> (usize, bool) {
        let mut spent = 0;
        while spent < TURN {
            let Some(session) = self.sessions.get_mut(&id).filter(|s| s.closing().is_none()) else {
                return (spent, false);
            };
            if session.is_full() {
                self.held.insert(id);
                return (spent, false);
            }
            let (before, queued) = (session.framer.len(), session.queued());
            let next = session.framer.next_value();
            let read = before - session.framer.len();
            self.buffered -= read;
            match next {
                Ok(None) if session.framer.len() > REQUEST_MAX => {
                    session.close("request is too long");
                    return (spent, false);
                }
                Ok(None) => return (spent, false),
                Ok(Some(message)) => {
                    self.cost = 0;
                    self.message(id, message, now);
                    let queued_now = self.sessions.get(&id).map_or(0, Session::queued);
                    spent += LEAST + read + self.cost + queued_now.saturating_sub(queued);
                }
                Err(error) => {
                    log::warn!(target: "jsonrpc", "{}: error parsing stream: {error}", session.peer.name);
                    session.close("Protocol error");
                    spent += LEAST + read;
                }
            }
        }
        (spent, true)
    }
}
