//! The HTTP interface and the live page, on loopback.
//!
//! Everything served here is read-only. Whoever asks by another host name than a loopback one is turned away, so that
//! a web site cannot read the house through its visitor's browser.

mod api;
mod error;
mod guard;
mod metrics;
mod page;
mod reading;
pub mod server;

use std::sync::{Arc, Weak};

use axum::Router;
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::bus::Bus;
use crate::host::Host;

pub use error::ApiError;

/// What the routes share.
#[derive(Clone)]
pub struct Shared {
    /// What is served.
    pub bus: Arc<Bus>,
    /// When the host started, for `/healthz`.
    pub started: tokio::time::Instant,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
    /// Places for scrapes.
    scrapes: Arc<Semaphore>,
    /// The host itself, for its health.
    host: Weak<Host>,
}

impl Shared {
    /// Serves a host.
    pub fn of(host: &Arc<Host>) -> Self {
        Shared {
            host: Arc::downgrade(host),
            ..Shared::new(Arc::clone(&host.bus), host.started)
        }
    }

    /// Serves this bus.
    pub fn new(bus: Arc<Bus>, started: tokio::time::Instant) -> Self {
        Shared {
            bus,
            started,
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            scrapes: Arc::new(Semaphore::new(MOST_SCRAPES)),
            host: Weak::new(),
        }
    }
}

/// Streams of events at once; they leave half of the connections to everything else.
const MOST_STREAMS: usize = 32;

/// Scrapes at once.
const MOST_SCRAPES: usize = 4;

/// What every listener serves.
pub fn api(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(api::health))
        .route("/metrics", get(metrics::metrics))
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
        .method_not_allowed_fallback(api::not_allowed)
        .layer(axum::middleware::from_fn(guard::guard))
}
