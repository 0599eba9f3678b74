//! What recent versions changed, so that a worker can tell which of its megaflows a new version concerns.

use std::collections::VecDeque;
use std::sync::Arc;

use dpif::Change;

/// Versions that the log goes back. At a version a millisecond a worker that was away for longer takes everything as
/// changed.
const MAX_VERSIONS: usize = 256;
/// Changes that the log holds; a version that makes more by itself says [`Change::Everything`].
const MAX_CHANGES: usize = 8192;

/// The changes of one version.
#[derive(Debug)]
struct Batch {
    version: u64,
    changes: Vec<Change>,
}

/// The changes of the last versions.
#[derive(Clone, Debug, Default)]
pub struct Log {
    batches: VecDeque<Arc<Batch>>,
    len: usize,
    /// The newest version whose changes are no longer known, or the first version of all.
    forgotten: u64,
}

impl Log {
    /// A log that knows everything since `version`.
    pub fn since(version: u64) -> Log {
        Log { forgotten: version, ..Log::default() }
    }

    /// Adds what `version` changed and forgets what is too old.
    pub fn push(&mut self, version: u64, mut changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        if changes.len() > MAX_CHANGES {
            changes = vec![Change::Everything];
        }
        self.len += changes.len();
        self.batches.push_back(Arc::new(Batch { version, changes }));
        while self.batches.len() > MAX_VERSIONS || self.len > MAX_CHANGES {
            let Some(old) = self.batches.pop_front() else { break };
            self.len -= old.changes.len();
            self.forgotten = old.version;
        }
    }

    /// Visits the changes made after version `since`, oldest first. False when some are forgotten.
    pub fn visit(&self, since: u64, visit: &mut dyn FnMut(&Change)) -> bool {
        if since < self.forgotten {
            return false;
        }
        let from = self.batches.partition_point(|b| b.version <= since);
        for batch in self.batches.range(from..) {
            batch.changes.iter().for_each(&mut *visit);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dpif::{PortNo, Thing};

    fn port(n: u32) -> Change {
        Change::Thing(Thing::Port(PortNo(n)))
    }

    fn seen(log: &Log, since: u64) -> Option<Vec<Change>> {
        let mut all = Vec::new();
        log.visit(since, &mut |c| all.push(c.clone())).then_some(all)
    }

    #[test]
    fn tells_what_came_after_and_what_it_forgot() {
        let mut log = Log::since(1);
        assert_eq!((seen(&log, 1), seen(&log, 0)), (Some(vec![]), None));
        log.push(2, vec![port(1), port(2)]);
        log.push(3, vec![]);
        log.push(4, vec![port(3)]);
        assert_eq!(seen(&log, 1), Some(vec![port(1), port(2), port(3)]));
        assert_eq!((seen(&log, 2), seen(&log, 3)), (Some(vec![port(3)]), Some(vec![port(3)])));
        assert_eq!(seen(&log, 4), Some(vec![]));
        for v in 5..5 + MAX_VERSIONS as u64 {
            log.push(v, vec![port(9)]);
        }
        assert_eq!((seen(&log, 3), seen(&log, 4).map(|s| s.len())), (None, Some(MAX_VERSIONS)));
        log.push(1000, vec![port(0); MAX_CHANGES + 1]);
        assert_eq!(seen(&log, 999), Some(vec![Change::Everything]));
        log.push(1001, vec![port(0); MAX_CHANGES]);
        assert_eq!((seen(&log, 999), seen(&log, 1000).map(|s| s.len())), (None, Some(MAX_CHANGES)));
    }
}
