//! The owner loop: the one place where tables change. Connections, scrapes, workers and packets that taught something all
//! come to it; nothing in it waits but the loop itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::ring::Waker;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::service::Service;
use super::switch::Switch;
use super::{RunError, commands};
use crate::control::{Call, Server};
use crate::http;

/// Calls that wait for the loop; more wait in their connections.
const CALLS: usize = 1024;
/// Calls taken in one turn, so that a flood of them does not keep workers' events waiting.
const CALLS_AT_ONCE: usize = 256;

/// Threads for work beside the loop: long texts are read and written there.
const ASIDE: usize = 2;

/// How long a service manager waits for what the database asks for.
const PATIENCE: Duration = Duration::from_secs(15);

#[expect(unsafe_code, reason = "tokio wants a promise about the descriptor's life")]
fn registered(waker: Arc<Waker>) -> Result<AsyncFd<Arc<Waker>>, RunError> {
    // SAFETY: a waker has one descriptor for its whole life, and the AsyncFd keeps the waker alive.
    let registered = unsafe { AsyncFd::register(waker) };
    registered.map_err(|e| RunError::io("waker")(e.into()))
}

/// Serves until a signal or `exit`.
pub(super) fn serve(
    switch: &mut Switch,
    socket: &Path,
    hello: Option<&str>,
    ready: &mut dyn FnMut(),
    http: Option<http::Settings>,
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(ASIDE)
        .build()
        .map_err(RunError::io("starting management"))?;
    let result = runtime.block_on(serve_async(switch, socket, hello, ready, http));
    // connections that are still open must not keep the process
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

async fn serve_async(
    switch: &mut Switch,
    path: &Path,
    hello: Option<&str>,
    tell_ready: &mut dyn FnMut(),
    http: Option<http::Settings>,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::io("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::io("SIGINT"))?;
    let (calls, mut inbox) = mpsc::channel(CALLS);
    let _http = http.and_then(|settings| {
        let listen = settings.listen;
        let workers: Vec<usize> = switch.threads.iter().filter_map(|t| t.core).collect();
        match http::Server::start(settings, calls.clone(), &workers) {
            Ok(server) => Some(server),
            Err(e) => {
                log::error!(target: "http", "{listen}: no page and no metrics: {e}");
                None
            }
        }
    });
    let server = Arc::new(Server::bind(path).map_err(RunError::io(path.display().to_string()))?);
    let accepting = server.clone();
    let accept = tokio::spawn(async move { accepting.serve(calls).await });
    let datapath = registered(switch.control.waker().clone())?;
    let pipeline = registered(switch.manager.waker().clone())?;
    if let Some(hello) = hello {
        log::info!(target: "switch", "{hello}");
    }

    // with a database: when the first of what it asks for is there, or it keeps us waiting
    let mut service = None;
    let patience = switch.clock.now() + PATIENCE;
    while switch.exit.is_none() {
        let now = switch.clock.now();
        switch.turn(now);
        let ready = now >= patience || switch.database.as_ref().is_none_or(|d| d.is_ready());
        if service.is_none() && ready {
            tell_ready();
            service = Some(Service::ready(now, switch.ports.len(), switch.failed.len()));
        }
        if let Some(service) = &mut service {
            service.turn(now);
        }
        let idle = switch.control.prepare_sleep() & switch.manager.prepare_sleep();
        let wait = Duration::from_nanos(switch.deadline(now).as_nanos().saturating_sub(now.as_nanos()));
        tokio::select! {
            call = inbox.recv() => {
                let Some(call) = call else { break };
                take(switch, call, &mut inbox);
            }
            ready = datapath.readable() => if let Ok(mut ready) = ready { ready.clear_ready() },
            ready = pipeline.readable() => if let Ok(mut ready) = ready { ready.clear_ready() },
            order = switch.orders.next() => if let Some(order) = order { switch.take_order(order) },
            outcome = switch.jobs.outcome() => if let Some(then) = outcome { then(switch) },
            () = switch.openflow.rung() => {}
            () = tokio::task::yield_now(), if switch.longs.is_ready() || switch.openflow.is_ready() => {}
            () = pause(if idle { wait } else { Duration::ZERO }) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        switch.control.waker().awake();
        switch.manager.waker().awake();
    }
    log::log!(target: "switch", switch.end_level(), "stopping");
    if let Some(service) = service {
        service.stopping();
    }
    accept.abort();
    if let Some(call) = switch.exit.take() {
        call.answer(Ok(String::new()));
        // its connection's tasks get their turn to write the answer
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// The loop's own timer: wakes it, and nothing else in the program waits by it.
#[expect(clippy::disallowed_methods, reason = "the driver of the loop, which asks the clock what is due")]
async fn pause(d: Duration) {
    tokio::time::sleep(d).await;
}

/// Executes a call and those that have come meanwhile.
fn take(switch: &mut Switch, first: Call, inbox: &mut mpsc::Receiver<Call>) {
    commands::execute(switch, first);
    for _ in 1..CALLS_AT_ONCE {
        match inbox.try_recv() {
            Ok(call) => commands::execute(switch, call),
            Err(_) => break,
        }
    }
}
