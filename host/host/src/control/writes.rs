//! Writes, leases, limits and the kill switch through the door. Who comes in is its owner, or root: that is asked of the
//! system for each connection.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock;
use crate::error::{HostError, Result};
use crate::host::Host;
use crate::web::ApiError;
use crate::write::lease::{SafeReport, Why};
use crate::write::target::{Target, find};
use crate::write::{self, Answer, Asker, Request, Wanted, limits};

/// The longest request.
const MOST_BYTES: usize = 64 * 1024;

/// Who holds the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their user's number.
    pub uid: u32,
}

impl Peer {
    fn asker(&self, through: &'static str) -> Asker {
        Asker {
            who: format!("user {}", self.uid),
            through,
        }
    }
}

/// `POST /api/v1/entities/{id}/write`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteCall {
    /// A number, a text, or true and false.
    pub value: serde_json::Value,
    /// Only say what would be sent.
    #[serde(default)]
    pub dry_run: bool,
    /// What the first of two steps gave.
    #[serde(default)]
    pub token: Option<String>,
    /// For how long a leased value is held.
    #[serde(default)]
    pub hold_ms: Option<u64>,
}

/// `POST /control/set`: the same for an entity by any of its names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetCall {
    /// The entity's id, or `ledger:key`, or where it stands.
    pub entity: String,
    /// What shall be written.
    pub write: WriteCall,
}

/// `POST /control/leases/end`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndCall {
    /// Which; all when left out.
    pub entity: Option<String>,
}

/// `POST /control/kill-switch`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillCall {
    /// On or off.
    pub on: bool,
    /// Why, for the audit.
    #[serde(default)]
    pub reason: String,
}

/// What the kill switch is.
#[derive(Debug, Serialize, Deserialize)]
pub struct KillState {
    /// Whether it is on.
    pub on: bool,
    /// Why, where somebody said.
    pub reason: Option<String>,
    /// The values that were held when it was switched on, and what became of them.
    #[serde(default)]
    pub ended: Vec<SafeReport>,
}

/// The routes.
pub fn routes(host: Arc<Host>) -> Router {
    Router::new()
        .route("/api/v1/entities/{id}/write", post(write_entity))
        .route("/control/set", post(set))
        .route("/control/limits", get(all_limits))
        .route("/control/limits/confirm", post(confirm))
        .route("/control/leases", get(leases))
        .route("/control/leases/end", post(end_lease))
        .route("/control/kill-switch", get(kill_state).post(kill))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(host)
}

/// A body that is no such call.
fn unreadable(error: &JsonRejection) -> ApiError {
    ApiError {
        status: error.status(),
        code: "bad_body",
        message: error.body_text(),
        hint: "Send JSON such as {\"value\": 500, \"dry_run\": true}.".to_owned(),
    }
}

fn bad_value() -> ApiError {
    ApiError {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        code: "bad_value",
        message: "the value is no number, text, true or false".to_owned(),
        hint: "Send {\"value\": 500}, {\"value\": \"On\"} or {\"value\": true}.".to_owned(),
    }
}

/// A value as JSON has it.
pub fn wanted(value: &serde_json::Value) -> Result<Wanted, ApiError> {
    match value {
        serde_json::Value::Bool(on) => Ok(Wanted::Value(Value::Integer((*on).into()))),
        serde_json::Value::String(text) => Ok(Wanted::Typed(text.clone())),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Wanted::Value(Value::Integer(whole))),
            (None, Some(number)) if number.is_finite() => Ok(Wanted::Value(Value::Number(number))),
            _ => Err(bad_value()),
        },
        _ => Err(bad_value()),
    }
}

/// An error in the form of the interface.
fn told(error: &HostError) -> Response {
    let status = match error {
        HostError::NothingFound { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let mut body = error.to_json();
    body["exit"] = (error.exit() as u8).into();
    (status, Json(body)).into_response()
}

async fn write_entity(
    State(host): State<Arc<Host>>,
    Extension(peer): Extension<Peer>,
    UrlPath(id): UrlPath<String>,
    call: Result<Json<WriteCall>, JsonRejection>,
) -> Response {
    match call {
        Ok(Json(call)) => carry_out(&host, &peer, &id, call, "control API").await,
        Err(error) => unreadable(&error).into_response(),
    }
}

async fn set(
    State(host): State<Arc<Host>>,
    Extension(peer): Extension<Peer>,
    call: Result<Json<SetCall>, JsonRejection>,
) -> Response {
    match call {
        Ok(Json(call)) => carry_out(&host, &peer, &call.entity, call.write, "command line").await,
        Err(error) => unreadable(&error).into_response(),
    }
}

async fn carry_out(
    host: &Arc<Host>,
    peer: &Peer,
    name: &str,
    call: WriteCall,
    through: &'static str,
) -> Response {
    let target = match find(&host.bus.devices(), name) {
        Ok(target) => target,
        Err(error) => return told(&error),
    };
    let value = match wanted(&call.value) {
        Ok(value) => value,
        Err(error) => return error.into_response(),
    };
    let request = Request {
        target,
        value,
        dry_run: call.dry_run,
        hold: call.hold_ms.map(Duration::from_millis),
        token: call.token,
        host_stays: true,
        asker: peer.asker(through),
    };
    match write::write(host, request).await {
        Answer::Done(report) => Json(report).into_response(),
        Answer::Confirm(confirm) => (StatusCode::ACCEPTED, Json(confirm)).into_response(),
    }
}

async fn all_limits(State(host): State<Arc<Host>>) -> Response {
    let killed = host.writer().and_then(|writer| writer.killed());
    let devices = host.bus.devices();
    match limits::limits(&host.registry, host.policy(), &devices, Some(&host), killed).await {
        Ok(limits) => Json(limits).into_response(),
        Err(error) => told(&error.into()),
    }
}

async fn confirm(State(host): State<Arc<Host>>, Extension(peer): Extension<Peer>) -> Response {
    let asker = peer.asker("command line");
    let confirmed = match host.writer() {
        Some(writer) => writer.confirm(&host, &asker).await,
        None => match host.registry.confirm().await {
            Ok(()) => Ok((0, Vec::new())),
            Err(error) => return told(&error.into()),
        },
    };
    match confirmed {
        Ok((entities, changes)) => Json(json!({ "confirmed": entities, "changes": changes })).into_response(),
        Err(refusal) => told(&HostError::refused(&refusal)),
    }
}

async fn leases(State(host): State<Arc<Host>>) -> Response {
    let leases = host
        .writer()
        .map(|writer| writer.leases.views())
        .unwrap_or_default();
    Json(json!({ "leases": leases, "now_ms": clock::now_ms() })).into_response()
}

async fn end_lease(State(host): State<Arc<Host>>, call: Result<Json<EndCall>, JsonRejection>) -> Response {
    let call = match call {
        Ok(Json(call)) => call,
        Err(error) => return unreadable(&error).into_response(),
    };
    let Some(writer) = host.writer() else {
        return Json(json!({ "ended": [] })).into_response();
    };
    let ended = match &call.entity {
        None => writer.leases.end_all(Why::Asked).await,
        Some(name) => {
            let target: Target = match find(&host.bus.devices(), name) {
                Ok(target) => target,
                Err(error) => return told(&error),
            };
            match writer.leases.end(&target, Why::Asked).await {
                Some(report) => vec![report],
                None if writer.is_under_way(&target) => {
                    return told(&HostError::failed(
                        "busy",
                        format!("{} is being written just now", target.id()),
                        "End it in a moment, when it is held; `busbar kill-switch on` stops everything at once.",
                    ));
                }
                None => {
                    return told(&HostError::nothing_found(
                        format!("{} is not held", target.id()),
                        "`busbar lease list` shows what is.",
                    ));
                }
            }
        }
    };
    Json(json!({ "ended": ended })).into_response()
}

async fn kill_state(State(host): State<Arc<Host>>) -> Response {
    match state(&host, Vec::new()) {
        Ok(state) => Json(state).into_response(),
        Err(error) => told(&error),
    }
}

fn state(host: &Host, ended: Vec<SafeReport>) -> Result<KillState> {
    let (on, reason) = match host.writer() {
        Some(writer) => {
            let killed = writer.killed();
            (killed.is_some(), killed.filter(|reason| !reason.is_empty()))
        }
        None => {
            let switch = host.kill_switch()?;
            (switch.is_on(), switch.reason())
        }
    };
    Ok(KillState { on, reason, ended })
}

async fn kill(
    State(host): State<Arc<Host>>,
    Extension(peer): Extension<Peer>,
    call: Result<Json<KillCall>, JsonRejection>,
) -> Response {
    let call = match call {
        Ok(Json(call)) => call,
        Err(error) => return unreadable(&error).into_response(),
    };
    let asker = peer.asker("command line");
    let done = match (host.writer(), call.on) {
        (Some(writer), true) => write::kill::on(&host, &writer, &asker, &call.reason).await,
        (Some(writer), false) => write::kill::off(&host, &writer, &asker)
            .await
            .map(|()| Vec::new()),
        // Nothing can be written now; the file is for the host that may write one day.
        (None, on) => host.kill_switch().and_then(|switch| {
            let switched = if on { switch.on(&call.reason) } else { switch.off() };
            switched.map(|()| Vec::new()).map_err(HostError::from)
        }),
    };
    match done.and_then(|ended| state(&host, ended)) {
        Ok(state) => Json(state).into_response(),
        Err(error) => told(&error),
    }
}
