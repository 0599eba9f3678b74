//! Bounded lock-free queues between threads, with a wake-up for a reader that sleeps.
//!
//! [`Ring`] takes from any number of writers; its one reader busy-polls with `pop`, or sleeps on a file descriptor with
//! epoll, `poll` or tokio's `AsyncFd`. The sleep protocol loses no wake-up, and a push to a reader that is awake makes
//! no system call:
//!
//! ```text
//! loop {
//!     while let Some(item) = ring.pop() { … }
//!     if ring.prepare_sleep() {       // false: something came in meanwhile
//!         wait until ring.waker().as_fd() is readable, or a timer, or another descriptor
//!         ring.waker().awake();       // always, whatever ended the wait; clears the descriptor
//!     }
//! }
//! ```
//!
//! A thread that reads several rings gives them one [`Waker`] and asks it directly.

mod queue;
#[cfg(all(test, not(loom)))]
mod tests;
mod waker;

pub use queue::Ring;
pub use waker::Waker;
