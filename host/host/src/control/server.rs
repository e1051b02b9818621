//! The host's side of the door.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use busbar_ledger::span::Span;
use busbar_plugin_sdk::Mode;
use busbar_wire::{Endpoint, EndpointError, Link, LinkState, Options};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::backup;
use super::place;
use super::setup::{HeldScans, KeepCall};
use super::writes::{self, Peer};
use crate::capture::{self, Wanted};
use crate::cli::plugin::PluginReport;
use crate::cli::scan_report::SavedAs;
use crate::cli::{self, raw};
use crate::discover::progress::{Event, Progress};
use crate::discover::{self, Pause, Request};
use crate::doctor::LinkReport;
use crate::error::{HostError, Result};
use crate::explain;
use crate::host::Host;
use crate::one_device::OneDevice;
use crate::registry::change::Change;
use crate::registry::{self, Home};
use crate::setup::work::{Kept, Order};
use crate::web::server::{Listener, serve};
use crate::web::{self, Shared};

/// Progress that a slow reader may lag behind; older news is of no use.
const PROGRESS: usize = 64;

/// The longest capture, and the longest pause in one.
const LONGEST_MS: u64 = 24 * 3_600_000;

/// `POST /control/read`
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadCall {
    /// Canonical URL of an endpoint that the host owns.
    pub url: String,
    /// The ledger's name or the file's absolute path, or a plugin's name.
    pub ledger: String,
    /// The ledger itself, where it has no file: one that a register list became.
    #[serde(default)]
    pub text: Option<String>,
    /// The unit; the ledger's only one, or the one that the plugin finds, when left out.
    pub unit: Option<u8>,
}

/// `POST /control/raw`
#[derive(Debug, Serialize, Deserialize)]
pub struct RawCall {
    /// Canonical URL of an endpoint that the host owns.
    pub url: String,
    /// The unit.
    pub unit: u8,
    /// The registers.
    pub span: Span,
    /// Only this type.
    pub ty: Option<String>,
}

/// `POST /control/move`
#[derive(Debug, Serialize, Deserialize)]
pub struct MoveCall {
    /// The connection's name.
    pub connection: String,
    /// Canonical URL of where its devices were found.
    pub url: String,
}

/// `POST /control/scan`
#[derive(Debug, Serialize, Deserialize)]
pub struct ScanCall {
    /// Canonical URL.
    pub url: String,
    /// The name to save it under.
    pub name: Option<String>,
    /// Whether to save it.
    pub save: bool,
    /// Ask only this plugin.
    pub plugin: Option<String>,
    /// Look only for this ledger.
    pub ledger: Option<String>,
    /// How far to look.
    pub mode: Mode,
    /// With listed mode: where.
    pub units: Vec<u8>,
}

/// `POST /control/capture`
#[derive(Debug, Serialize, Deserialize)]
pub struct CaptureCall {
    /// Canonical URL of an endpoint that the host owns.
    pub url: String,
    /// Only these units.
    pub units: Vec<u8>,
    /// Look only for this ledger.
    pub ledger: Option<String>,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// How often what was found is read, in milliseconds.
    pub every_ms: u64,
    /// Whether texts that no ledger describes stay as they are.
    pub keep_texts: bool,
}

#[derive(Clone)]
struct Door {
    host: Arc<Host>,
    /// One scan at a time comes through the door; the token stops it.
    scan: Arc<Mutex<()>>,
    stop_scan: Arc<std::sync::Mutex<CancellationToken>>,
    /// Holds the scan up that is being made.
    pause: Arc<std::sync::Mutex<Pause>>,
    held: HeldScans,
}

/// A socket that is removed when the host ends, unless it is another host's by then: the directory may have been
/// removed and made anew.
pub struct Listening {
    path: PathBuf,
    made: (u64, u64),
}

impl Drop for Listening {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|is| is == self.made) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// The listener, for those who may: whatever the umask gave others before the socket was made private, the owner of
/// a connection is asked for.
struct OwnersOnly {
    listener: UnixListener,
    owner: u32,
}

impl Listener for OwnersOnly {
    type Io = UnixStream;
    type Who = Peer;
    async fn accept(&self) -> std::io::Result<(Self::Io, Self::Who)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if peer == self.owner || peer == 0 {
                return Ok((stream, Peer { uid: peer }));
            }
            warn!("user {peer} tried to open the control socket and was turned away");
        }
    }
}

/// Opens the door. The host holds the data directory's lock, so a socket that lies there is a dead host's.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(host: &Arc<Host>, data_dir: &Path, cancel: CancellationToken) -> Result<Listening> {
    let path = place::socket(data_dir);
    let _ = std::fs::remove_file(&path);
    let hint =
        "Commands like `busbar devices` cannot reach this host; check the permissions of the directory.";
    let cannot =
        |e: std::io::Error| HostError::io(format_args!("cannot listen on {}", path.display()), &e, hint);
    let listener = UnixListener::bind(&path).map_err(cannot)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    let made = identity(&path).map_err(cannot)?;
    let owner = std::fs::symlink_metadata(&path).map_err(cannot)?.uid();
    let listener = OwnersOnly { listener, owner };
    let shared = Shared::of(host);
    let door = Door {
        host: Arc::clone(host),
        scan: Arc::default(),
        stop_scan: Arc::default(),
        pause: Arc::default(),
        held: HeldScans::default(),
    };
    let router = Router::new()
        .route("/control/urls", get(urls))
        .route("/control/links", get(links))
        .route("/control/plugins", get(plugins))
        .route("/control/explain/{id}", get(explain_entity))
        .route("/control/read", post(read))
        .route("/control/raw", post(read_raw))
        .route("/control/move", post(relocate))
        .route("/control/change", post(change))
        .route("/control/scan", post(scan).delete(stop_scan))
        .route("/control/scan/pause", post(pause_scan))
        .route("/control/setup/scan", post(scan_and_hold))
        .route("/control/setup/keep", post(keep))
        .route("/control/setup/held/{held}", axum::routing::delete(forget))
        .route("/control/capture", post(capture))
        .with_state(door)
        .merge(writes::routes(Arc::clone(host)))
        .merge(backup::routes(Arc::clone(host)))
        .merge(web::api(shared));
    tokio::spawn(serve(listener, router, cancel));
    Ok(Listening { path, made })
}

/// An error on its way to the command line: as the contract has it, with the exit code beside.
struct Refusal(HostError);

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        Refusal(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal(&self.0))).into_response()
    }
}

fn refusal(error: &HostError) -> Value {
    let mut body = error.to_json();
    body["exit"] = (error.exit() as u8).into();
    body
}

async fn urls(State(door): State<Door>) -> Json<Vec<String>> {
    Json(door.host.urls())
}

async fn links(State(door): State<Door>) -> Json<Vec<LinkReport>> {
    Json(door.host.links())
}

async fn plugins(State(door): State<Door>) -> Json<PluginReport> {
    Json(PluginReport::of(&door.host.catalog))
}

async fn explain_entity(
    State(door): State<Door>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<explain::Explanation>, Refusal> {
    let host = &door.host;
    let writing = explain::Writing {
        policy: host.policy(),
        host: Some(host),
    };
    let explanation = explain::explain(&host.registry, &host.catalog, Some(&host.bus), writing, &id).await?;
    Ok(Json(explanation))
}

fn owned(door: &Door, url: &str) -> Result<Link> {
    let own = door.host.link(url).ok_or_else(|| {
        HostError::failed(
            "not_owned",
            format!("the running host does not poll {url}"),
            "Ask it directly.",
        )
    })?;
    // Whoever asks while the host waits before its next attempt wants to know how it stands now, not how it stood. A
    // serial port cannot be opened twice.
    let down = matches!(*own.state().borrow(), LinkState::Down { attempts: 1.., .. });
    match url.parse::<Endpoint>() {
        Ok(endpoint) if down && endpoint.line().is_none() => Ok(Link::open(endpoint, Options::one_shot())),
        _ => Ok(own),
    }
}

async fn read(State(door): State<Door>, Json(call): Json<ReadCall>) -> Result<Json<Value>, Refusal> {
    let link = owned(&door, &call.url)?;
    let (device, snapshot) = match &call.text {
        Some(text) => {
            let faulty = |faults| HostError::ledger(&call.ledger, &faults);
            let ledger = Arc::new(busbar_ledger::parse(&call.ledger, text).map_err(faulty)?);
            let (device, first) = OneDevice::open(link, call.unit.unwrap_or(1), ledger).await?;
            (device.of_list(), first)
        }
        None => OneDevice::named(link, &door.host.catalog, &call.ledger, call.unit).await?,
    };
    let report = serde_json::to_value(device.report(&snapshot))
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
    Ok(Json(report))
}

async fn read_raw(
    State(door): State<Door>,
    Json(call): Json<RawCall>,
) -> Result<Json<raw::RawReport>, Refusal> {
    let link = owned(&door, &call.url)?;
    Ok(Json(
        raw::report(&link, call.unit, call.span, call.ty.as_deref()).await?,
    ))
}

async fn relocate(State(door): State<Door>, Json(call): Json<MoveCall>) -> Result<Json<Value>, Refusal> {
    door.host.relocate(&call.connection, &call.url).await?;
    Ok(Json(json!({})))
}

async fn change(State(door): State<Door>, Json(change): Json<Change>) -> Result<Json<Value>, Refusal> {
    door.host.change(&change).await?;
    Ok(Json(json!({})))
}

async fn stop_scan(State(door): State<Door>) -> StatusCode {
    door.pause
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .end();
    door.stop_scan
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .cancel();
    StatusCode::NO_CONTENT
}

async fn pause_scan(State(door): State<Door>, Json(on): Json<bool>) -> Json<Value> {
    let pause = door
        .pause
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match on {
        true => pause.begin(),
        false => pause.end(),
    }
    Json(json!({}))
}

async fn scan_and_hold(State(door): State<Door>, Json(order): Json<Order>) -> Response {
    told_as_it_goes(|tell| async move {
        let gone = tell.0.clone();
        tokio::select! {
            held = run_held(&door, &order, &tell) => held,
            // What is held for nobody would only be in the way.
            () = gone.closed() => Err(HostError::failed("gone", "nobody waits for this scan", "")),
        }
    })
}

async fn run_held(door: &Door, order: &Order, tell: &Tell) -> Result<Value> {
    let (_one, cancel) = the_only(door)?;
    let pause = Pause::default();
    *door
        .pause
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = pause.clone();
    let held = door.held.scan(&door.host, order, tell, &cancel, &pause).await?;
    serde_json::to_value(held)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))
}

async fn keep(State(door): State<Door>, Json(call): Json<KeepCall>) -> Result<Json<Kept>, Refusal> {
    Ok(Json(door.held.keep(&door.host, call).await?))
}

async fn forget(State(door): State<Door>, UrlPath(held): UrlPath<u64>) -> StatusCode {
    door.held.forget(held).await;
    StatusCode::NO_CONTENT
}

async fn scan(State(door): State<Door>, Json(call): Json<ScanCall>) -> Response {
    told_as_it_goes(|tell| async move { run_scan(&door, call, &tell).await })
}

async fn capture(State(door): State<Door>, Json(call): Json<CaptureCall>) -> Response {
    told_as_it_goes(|tell| async move {
        let gone = tell.0.clone();
        tokio::select! {
            captured = run_capture(&door, call, &tell) => captured,
            // A capture is for who asked for it, and for nobody else.
            () = gone.closed() => Err(HostError::failed("gone", "nobody waits for this capture", "")),
        }
    })
}

/// Hands progress on as far as it is read in time; the result is not dropped.
struct Tell(mpsc::Sender<Value>);

impl Progress for Tell {
    fn event(&self, event: Event) {
        let _ = self.0.try_send(json!({ "progress": event }));
    }
}

/// One JSON document a line: events, then `{"done": …}` or `{"failed": …}`.
fn told_as_it_goes<F>(work: impl FnOnce(Tell) -> F) -> Response
where
    F: Future<Output = Result<Value>> + Send + 'static,
{
    let (tell, told) = mpsc::channel::<Value>(PROGRESS);
    let work = work(Tell(tell.clone()));
    tokio::spawn(async move {
        let last = match work.await {
            Ok(done) => json!({ "done": done }),
            Err(error) => json!({ "failed": refusal(&error) }),
        };
        let _ = tell.send(last).await;
    });
    let lines = stream::unfold(told, |mut told| async move {
        let line = told.recv().await?;
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(format!("{line}\n"))),
            told,
        ))
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}

async fn run_capture(door: &Door, call: CaptureCall, progress: &dyn Progress) -> Result<Value> {
    let (_one, cancel) = the_only(door)?;
    let host = &door.host;
    let link = owned(door, &call.url)?;
    let request = cli::capture::request(&call.url, &host.catalog, call.ledger.as_deref(), call.units)?;
    let wanted = Wanted {
        request: &request,
        duration: Duration::from_millis(call.for_ms.min(LONGEST_MS)),
        interval: Duration::from_millis(call.every_ms.clamp(100, LONGEST_MS)),
        keep_texts: call.keep_texts,
        others: host.on_the_wire(&call.url),
    };
    let captured = capture::capture(&link, &host.catalog, &wanted, progress, &cancel).await?;
    serde_json::to_value(captured)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))
}

/// One scan or capture at a time comes through the door: its turn, and what stops it.
fn the_only(door: &Door) -> Result<(tokio::sync::OwnedMutexGuard<()>, CancellationToken)> {
    let Ok(turn) = Arc::clone(&door.scan).try_lock_owned() else {
        return Err(HostError::failed(
            "already_in_progress",
            "the host is scanning already",
            "Wait for it to end.",
        ));
    };
    let cancel = CancellationToken::new();
    let mut stop = door
        .stop_scan
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    *stop = cancel.clone();
    Ok((turn, cancel))
}

async fn run_scan(door: &Door, call: ScanCall, progress: &dyn Progress) -> Result<Value> {
    let (_one, cancel) = the_only(door)?;
    let host = &door.host;
    let ledger = call
        .ledger
        .as_deref()
        .map(|l| host.catalog.ledger_or_file(l))
        .transpose()?;
    let known = registry::known(&host.registry, &call.url, call.name.as_deref()).await?;
    let found_before = match &known {
        Some(connection) => registry::known_devices(&host.registry, &connection.id).await?,
        None => Vec::new(),
    };
    let request = Request {
        connection: known
            .as_ref()
            .map_or_else(|| call.url.clone(), |c| c.name.clone()),
        connection_id: known.map_or_else(|| registry::UNSAVED.to_owned(), |c| c.id),
        plugin: call.plugin.clone(),
        ledger,
        mode: call.mode,
        units: call.units,
        known: found_before,
    };
    let (link, own) = match host.link(&call.url) {
        Some(link) => (link, false),
        None => {
            let endpoint: Endpoint = call
                .url
                .parse()
                .map_err(|e: EndpointError| HostError::usage(e.to_string(), e.hint()))?;
            let options = request.considerate(Options::one_shot());
            (Link::open(endpoint, options), true)
        }
    };
    let mut scan = discover::scan(&link, &host.catalog, &request, progress, &cancel).await?;
    if own {
        link.close().await;
    }
    let mut saved = None;
    if call.save && !(scan.cancelled && scan.devices.is_empty()) {
        let plugin = scan.report.plugin.as_deref();
        let name = call.name.as_deref();
        let (connection, moved_from) = match registry::home(&host.registry, &call.url, name, &scan).await? {
            Home::Usual => {
                let connection = registry::connection(&host.registry, &call.url, name, plugin).await?;
                (connection, None)
            }
            Home::Moved(old) => {
                let moved = registry::relocate(&host.registry, &old.id, &call.url).await?;
                (moved, Some(old.url))
            }
        };
        let done = registry::save(&host.registry, &host.catalog, connection, &mut scan).await?;
        host.take_up(&done).await?;
        let diff = serde_json::to_value(&done.diff)
            .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
        saved = Some(SavedAs {
            name: done.connection.name,
            moved_from,
            diff,
            ledgers: done.ledgers,
        });
    }
    Ok(json!({ "report": scan.report, "saved": saved }))
}
