//! A question to the owner loop, asked on behalf of any number of clients: one at a time, and those who wait share the answer
//! of the first call that began after they came. However many ask, the loop has at most one such call to execute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::server::within;
use crate::control::Call;

/// How long management may take to answer: less than a scrape may take (Prometheus's default is 10 s).
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Arc<Result<String, String>>;

/// One kind of question.
pub(super) struct Ask {
    calls: mpsc::Sender<Call>,
    method: &'static str,
    /// Calls begun so far.
    begun: AtomicU64,
    /// The last answer, and the number of its call.
    last: Mutex<(u64, Answer)>,
}

impl Ask {
    pub(super) fn new(calls: mpsc::Sender<Call>, method: &'static str) -> Ask {
        let none = Arc::new(Err("not asked yet".to_owned()));
        Ask { calls, method, begun: AtomicU64::new(0), last: Mutex::new((0, none)) }
    }

    /// The answer of a call that began now or later.
    pub(super) async fn ask(&self) -> Answer {
        let wanted = self.begun.load(Relaxed) + 1;
        let mut last = self.last.lock().await;
        if last.0 < wanted {
            let number = self.begun.fetch_add(1, Relaxed) + 1;
            let answer = within(PATIENCE, Call::send(&self.calls, self.method, Vec::new())).await;
            *last = (number, Arc::new(answer.unwrap_or_else(|| Err("management does not answer".to_owned()))));
        }
        last.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn those_who_wait_share_an_answer() {
        let (calls, mut inbox) = mpsc::channel(8);
        let ask = Arc::new(Ask::new(calls, "m"));
        let asked = |n: usize| {
            let tasks = (0..n).map(|_| {
                let ask = ask.clone();
                tokio::spawn(async move { ask.ask().await })
            });
            tasks.collect::<Vec<_>>()
        };
        let first = asked(1);
        let call = inbox.recv().await.unwrap();
        let later = asked(50);
        // the others come while the first call is out: its answer may be older than their question
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(inbox.try_recv().is_err(), "one call at a time");
        call.answer(Ok("old".into()));
        inbox.recv().await.unwrap().answer(Ok("new".into()));
        for task in first {
            assert_eq!(*task.await.unwrap(), Ok("old".into()));
        }
        for task in later {
            assert_eq!(*task.await.unwrap(), Ok("new".into()));
        }
        assert!(inbox.try_recv().is_err(), "one call for all that waited");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_loop_that_is_gone_is_an_error() {
        let (calls, inbox) = mpsc::channel(8);
        drop(inbox);
        assert_eq!(*Ask::new(calls, "m").ask().await, Err("the switch is stopping".into()));
    }
}
