//! The HTTP side: `/metrics` for Prometheus, by axum. A scrape is a call to the owner loop like any other command.

pub mod metrics;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::control::Call;

/// Serves for ever on `listener`.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(listener: TcpListener, calls: mpsc::Sender<Call>) -> std::io::Result<()> {
    let router = Router::new().route("/metrics", get(scrape)).route("/", get(index)).with_state(calls);
    axum::serve(listener, router).await
}

async fn index() -> &'static str {
    "Ironbridge. Metrics are at /metrics.\n"
}

async fn scrape(State(calls): State<mpsc::Sender<Call>>) -> Response {
    match Call::send(&calls, "metrics/show", Vec::new()).await {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, e).into_response(),
    }
}
