//! A copy of the registry through the door: the host that writes it makes it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::HostError;
use crate::host::Host;

/// The longest request: a path is no longer.
const MOST_BYTES: usize = 16 * 1024;

/// `POST /control/backup`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupCall {
    /// Where to, an absolute path; among the backups when left out.
    pub to: Option<PathBuf>,
    /// Whether a file that is there may be written over.
    pub overwrite: bool,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Copied {
    /// The copy.
    pub path: PathBuf,
}

/// The route. Who comes in is the owner, or root: they may write where the host may.
pub fn routes(host: Arc<Host>) -> Router {
    Router::new()
        .route("/control/backup", post(backup))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(host)
}

async fn backup(State(host): State<Arc<Host>>, call: Result<Json<BackupCall>, JsonRejection>) -> Response {
    let call = match call {
        Ok(Json(call)) => call,
        Err(error) => return (error.status(), error.body_text()).into_response(),
    };
    let to = call.to.as_deref();
    match host.registry.backup(to, call.overwrite, clock::now_ms()).await {
        Ok(path) => Json(Copied { path }).into_response(),
        Err(error) => {
            let error = HostError::from(error);
            let mut body = error.to_json();
            body["exit"] = (error.exit() as u8).into();
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    }
}
