//! `/api/v1` and `/healthz`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{ApiError, Shared};
use crate::bus::Availability;
use crate::view::{self, Devices, Entities, EntityView};

/// Alive, and how its devices are.
pub async fn health(State(shared): State<Shared>) -> Json<Value> {
    let devices = shared.bus.devices();
    let online = devices
        .iter()
        .filter(|d| d.state().availability == Availability::Online)
        .count();
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": shared.started.elapsed().as_secs(),
        "devices": devices.len(),
        "devices_online": online,
    }))
}

/// All devices with their entities.
pub async fn devices(State(shared): State<Shared>) -> Json<Devices> {
    Json(view::devices(&shared.bus))
}

/// `?device=ID`
#[derive(Debug, Deserialize)]
pub struct Filter {
    device: Option<String>,
}

/// All entities, or those of one device.
pub async fn entities(
    State(shared): State<Shared>,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Entities>, ApiError> {
    let Query(filter) = filter.map_err(|e| ApiError {
        status: StatusCode::BAD_REQUEST,
        code: "bad_query",
        message: e.body_text(),
        hint: "Write /api/v1/entities or /api/v1/entities?device=ID.".to_owned(),
    })?;
    if let Some(id) = filter.device.as_deref()
        && shared.bus.device(id).is_none()
    {
        return Err(ApiError::not_found(
            format!("there is no device {id:?}"),
            "GET /api/v1/devices lists them.",
        ));
    }
    Ok(Json(view::entities(&shared.bus, filter.device.as_deref())))
}

/// One entity.
pub async fn entity(
    State(shared): State<Shared>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Json<EntityView>, ApiError> {
    let Path(id) = id.map_err(|e| ApiError {
        status: StatusCode::BAD_REQUEST,
        code: "bad_path",
        message: e.body_text(),
        hint: "GET /api/v1/entities lists the ids.".to_owned(),
    })?;
    let found = id.split_once('.').and_then(|(device, _)| {
        let device = shared.bus.device(device)?;
        view::entities_of(&device).into_iter().find(|e| e.entity.id == id)
    });
    found.map(Json).ok_or_else(|| {
        ApiError::not_found(
            format!("there is no entity {id:?}"),
            "GET /api/v1/entities lists them.",
        )
    })
}

/// Readings as they come: one event a device and poll, `{"device", "availability", "entities": […]}`.
///
/// # Errors
/// Refused when too many streams are open.
pub async fn events(
    State(shared): State<Shared>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Ok(place) = shared.streams.try_acquire_owned() else {
        return Err(ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "busy",
            message: "too many streams of events are open".to_owned(),
            hint: "Close some pages, or try again in a moment.".to_owned(),
        });
    };
    let feed = shared.bus.subscribe();
    let bus = Arc::clone(&shared.bus);
    let events = stream::unfold((feed, place, bus), |(mut feed, place, bus)| async move {
        let update = loop {
            match feed.recv().await {
                Ok(update) => break update,
                // A reader that fell behind goes on with the newest; its page shows ages.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        };
        let device = view::device(&bus, &update.device);
        let changed: Vec<_> = {
            let keys = &update.device.meta.ledger.points;
            let read: std::collections::HashSet<&str> = update
                .points
                .iter()
                .filter_map(|i| keys.get(*i))
                .map(|p| p.key.as_str())
                .collect();
            device
                .entities
                .into_iter()
                .filter(|e| read.contains(e.entity.key.as_str()))
                .collect()
        };
        let body = json!({
            "device": device.id, "availability": device.availability, "reason": device.reason,
            "time_ms": update.at_ms, "entities": changed,
        });
        Some((
            Ok(Event::default().event("readings").data(body.to_string())),
            (feed, place, bus),
        ))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Nothing is served here.
pub async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(
        format!("there is nothing at {}", uri.path()),
        "GET /api/v1/devices or /api/v1/entities.",
    )
}

/// Something is served here, but not this way.
pub async fn not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        message: format!("{} does not take {method}", uri.path()),
        hint: "This interface is read-only: use GET. Settings are written with `busbar set`.".to_owned(),
    }
}
