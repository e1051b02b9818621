//! The HTTP interface and the live page, on loopback.
//!
//! Everything served here is read-only. Whoever asks by another host name than a loopback one is turned away, so that
//! a web site cannot read the house through its visitor's browser.

mod api;
mod error;
mod guard;
mod page;
pub mod server;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::bus::Bus;

pub use error::ApiError;

/// What the routes share.
#[derive(Clone)]
pub struct Shared {
    /// What is served.
    pub bus: Arc<Bus>,
    /// When the host started, for `/healthz`.
    pub started: tokio::time::Instant,
}

/// What every listener serves.
pub fn api(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(api::health))
        .route("/api/v1/devices", get(api::devices))
        .route("/api/v1/entities", get(api::entities))
        .route("/api/v1/entities/{id}", get(api::entity))
        .route("/api/v1/events", get(api::events))
        .fallback(api::unknown)
        .method_not_allowed_fallback(api::not_allowed)
        .with_state(shared)
}

/// The interface and the page, for browsers.
pub fn site(shared: Shared) -> Router {
    let pages = Router::new()
        .route("/", get(page::live))
        .route("/assets/busbar.css", get(page::style))
        .route("/assets/busbar.js", get(page::script))
        .with_state(shared.clone());
    pages
        .merge(api(shared))
        .layer(axum::middleware::from_fn(guard::guard))
}
