//! Locks of RFC 7047, 4.1.8: who owns a name, who waits for it in line.

use super::SessionId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Names with their lines; the owner is at the front.
#[derive(Debug, Default)]
pub(super) struct Locks(HashMap<Arc<str>, VecDeque<SessionId>>);

impl Locks {
    pub(super) fn owns(&self, id: SessionId, name: &str) -> bool {
        self.0.get(name).and_then(VecDeque::front) == Some(&id)
    }

    /// Whether the client waits for it or owns it.
    pub(super) fn has(&self, id: SessionId, name: &str) -> bool {
        self.0.get(name).is_some_and(|line| line.contains(&id))
    }

    /// Joins the line. True when it is the client's now.
    pub(super) fn lock(&mut self, id: SessionId, name: &str) -> bool {
        let line = self.0.entry(Arc::from(name)).or_default();
        line.push_back(id);
        line.len() == 1
    }

    /// Goes before all. Returns whose it was.
    pub(super) fn steal(&mut self, id: SessionId, name: &str) -> Option<SessionId> {
        let line = self.0.entry(Arc::from(name)).or_default();
        let victim = line.front().copied();
        line.push_front(id);
        victim
    }

    /// Leaves the line. Returns whose it is now, if that changed.
    pub(super) fn unlock(&mut self, id: SessionId, name: &str) -> Option<SessionId> {
        let line = self.0.get_mut(name)?;
        let owned = line.front() == Some(&id);
        line.retain(|&waiting| waiting != id);
        let next = line.front().copied();
        if next.is_none() {
            self.0.remove(name);
        }
        next.filter(|_| owned)
    }

    /// Leaves all lines. Returns who owns what now.
    pub(super) fn disconnect(&mut self, id: SessionId) -> Vec<(SessionId, Arc<str>)> {
        let mut names: Vec<Arc<str>> =
            self.0.iter().filter(|(_, l)| l.contains(&id)).map(|(name, _)| name.clone()).collect();
        names.sort();
        names.into_iter().filter_map(|name| self.unlock(id, &name).map(|next| (next, name))).collect()
    }
}
