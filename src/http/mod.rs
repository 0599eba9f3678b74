//! The HTTP side: the page at `/`, what it polls at `/api/snapshot`, and `/metrics` for Prometheus. It reads, and never writes.
//!
//! [`settings`] is what the configuration asks for, checked and loaded; [`server`] accepts and bounds connections on a thread
//! of its own, so that no client can hold up the owner loop; [`access`] says who may ask; [`ask`] puts a question to the owner
//! loop, one at a time for each kind; [`page`] has the page's files; [`metrics`] writes Prometheus's text.

mod access;
mod ask;
pub mod metrics;
mod page;
mod server;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::mpsc;

use crate::control::Call;
use ask::Ask;
pub use server::Server;
pub use settings::Settings;

/// What requests share.
struct Shared {
    metrics: Ask,
    snapshot: Ask,
}

/// All routes, behind [`access`].
fn router(settings: &Settings, calls: mpsc::Sender<Call>) -> Router {
    let shared = Arc::new(Shared {
        metrics: Ask::new(calls.clone(), "metrics/show"),
        snapshot: Ask::new(calls, "ironbridge/snapshot"),
    });
    let access = Arc::new(access::Access::of(settings));
    page::routes()
        .route("/metrics", get(metrics))
        .route("/api/snapshot", get(snapshot))
        .with_state(shared)
        .layer(middleware::from_fn_with_state(access, access::check))
        .layer(middleware::map_response(harden))
}

/// A scrape also succeeds while management is stuck, and says that it is.
async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let result = shared.metrics.ask().await;
    let mut more = metrics::Scrape::default();
    let help = "Whether the loop that owns the tables answered this scrape; forwarding does not need it.";
    more.gauge("ironbridge_management_responding", help, &[], f64::from(u8::from(result.is_ok())));
    let text = more.text().map(|more| match &*result {
        Ok(text) => format!("{text}{more}"),
        Err(_) => more,
    });
    answer(Arc::new(text), prometheus::TEXT_FORMAT)
}

async fn snapshot(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.snapshot.ask().await, "application/json")
}

fn answer(result: Arc<Result<String, String>>, kind: &'static str) -> Response {
    match &*result {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text.clone()).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
    }
}

/// What every answer says, refusals too: nothing but our own files, in nobody's frame, never kept.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_scrape_says_that_management_is_gone() {
        let (calls, inbox) = mpsc::channel(1);
        drop(inbox);
        let shared = Shared { metrics: Ask::new(calls.clone(), "m"), snapshot: Ask::new(calls, "s") };
        let shared = Arc::new(shared);
        let response = metrics(State(shared.clone())).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("\nironbridge_management_responding 0\n"));
        assert_eq!(snapshot(State(shared)).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
