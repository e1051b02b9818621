//! The command line's side of the door.

use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::place;
use super::server::{CaptureCall, ScanCall};
use super::setup::{HeldScan, KeepCall};
use super::writes::SetCall;
use crate::capture::Captured;
use crate::cli::scan_report::SavedAs;
use crate::discover::progress::Progress;
use crate::discover::report::ScanReport;
use crate::error::{HostError, Result};
use crate::registry::change::Change;
use crate::setup::work::{Kept, Order};
use crate::write::Answer;

/// The longest answer that is taken from a host: 50,000 entities fit several times.
const MAX_ANSWER: usize = 256 << 20;

/// A connection to the host that runs on a data directory.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

/// What a scan by the host brought.
pub struct Scanned {
    /// What was found.
    pub report: ScanReport,
    /// Where it was saved, if it was.
    pub saved: Option<SavedAs>,
}

impl Client {
    /// Connects; `None` when no host runs there.
    ///
    /// # Errors
    /// When one runs but cannot be talked to.
    pub async fn connect(data_dir: &Path) -> Result<Option<Self>> {
        let path = place::socket(data_dir);
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            // Who may not even enter the directory is told so by whoever opens the registry.
            Err(e)
                if e.kind() == std::io::ErrorKind::PermissionDenied && path.symlink_metadata().is_err() =>
            {
                return Ok(None);
            }
            Err(e) => {
                let hint = "A host runs here as another user: run this command as that user.";
                return Err(HostError::io(
                    format_args!("cannot open {}", path.display()),
                    &e,
                    hint,
                ));
            }
        };
        // The socket may lie in a directory that others may write to: only one of this user's, or root's, is a host.
        let own = rustix::process::geteuid().as_raw();
        if let Ok(peer) = stream.peer_cred().map(|peer| peer.uid())
            && ![own, 0].contains(&peer)
            && own != 0
        {
            return Err(HostError::failed(
                "control",
                format!(
                    "{} belongs to user {peer}, and so does what answers there",
                    path.display()
                ),
                "Remove it if no host of another user runs on this data directory; else run this command as that user.",
            ));
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        Ok(Some(Client { sender }))
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// The host's own, or that it does not answer properly.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        document(response).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, call: &impl Serialize) -> Result<T> {
        let response = self.send(Method::POST, path, body(call)?).await?;
        document(response).await
    }

    /// Has a change carried out in what was set up.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn change(&mut self, change: &Change) -> Result<()> {
        self.post("/control/change", change).await.map(|_: Value| ())
    }

    /// Asks for a write: what became of it, or what has to be confirmed first.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn set(&mut self, call: &SetCall) -> Result<Answer> {
        let body = body(call)?;
        let response = self
            .send(Method::POST, "/control/set", body)
            .await
            .map_err(|_| cut_off())?;
        Ok(match response.status() {
            StatusCode::ACCEPTED => Answer::Confirm(Box::new(document(response).await?)),
            _ => Answer::Done(Box::new(document(response).await?)),
        })
    }

    /// Has the host scan, telling its progress. A second client is needed to stop it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn scan(&mut self, call: &ScanCall, progress: &dyn Progress) -> Result<Scanned> {
        scanned(self.watch("/control/scan", call, progress).await?)
    }

    /// Has the host capture, telling the progress of its scan. [`Client::stop_scan`] ends it early.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn capture(&mut self, call: &CaptureCall, progress: &dyn Progress) -> Result<Captured> {
        let done = self.watch("/control/capture", call, progress).await?;
        serde_json::from_value(done).map_err(|e| unexpected(&e.to_string()))
    }

    /// Has something done that takes a while, telling its progress, and gives what came of it.
    async fn watch(&mut self, path: &str, call: &impl Serialize, progress: &dyn Progress) -> Result<Value> {
        let response = self.send(Method::POST, path, body(call)?).await?;
        let mut incoming = response.into_body();
        let mut buffer: Vec<u8> = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(broken)?;
            let Some(data) = frame.data_ref() else { continue };
            // A capture is one long line: what was looked through is not looked through again.
            let mut looked = buffer.len();
            buffer.extend_from_slice(data);
            if buffer.len() > MAX_ANSWER {
                return Err(unexpected("an endless answer"));
            }
            while let Some(end) = buffer[looked..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=looked + end).collect();
                looked = 0;
                let mut line: Value =
                    serde_json::from_slice(&line).map_err(|e| unexpected(&e.to_string()))?;
                if let Ok(event) = serde_json::from_value(line["progress"].take()) {
                    progress.event(event);
                } else if line["failed"].is_object() {
                    return Err(remote(&line["failed"]));
                } else if line["done"].is_object() {
                    return Ok(line["done"].take());
                }
            }
        }
        Err(unexpected("no result"))
    }

    /// Stops the scan that the host is making.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn stop_scan(&mut self) -> Result<()> {
        self.send(Method::DELETE, "/control/scan", Bytes::new())
            .await
            .map(|_| ())
    }

    /// Holds the scan up that the host is making, or lets it go on.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn pause_scan(&mut self, on: bool) -> Result<()> {
        self.post("/control/scan/pause", &on).await.map(|_: Value| ())
    }

    /// Has the host scan, and hold what it finds until its owner has decided.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn scan_and_hold(&mut self, order: &Order, progress: &dyn Progress) -> Result<HeldScan> {
        let done = self.watch("/control/setup/scan", order, progress).await?;
        serde_json::from_value(done).map_err(|e| unexpected(&e.to_string()))
    }

    /// Has the host save what it holds.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn keep(&mut self, call: &KeepCall) -> Result<Kept> {
        self.post("/control/setup/keep", call).await
    }

    /// Has the host forget what it holds.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn drop_held(&mut self, held: u64) -> Result<()> {
        self.send(
            Method::DELETE,
            &format!("/control/setup/held/{held}"),
            Bytes::new(),
        )
        .await
        .map(|_| ())
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| unexpected(&e.to_string()))?;
        self.sender.ready().await.map_err(broken)?;
        self.sender.send_request(request).await.map_err(broken)
    }
}

fn scanned(mut done: Value) -> Result<Scanned> {
    let report = serde_json::from_value(done["report"].take()).map_err(|e| unexpected(&e.to_string()))?;
    let saved = serde_json::from_value(done["saved"].take()).map_err(|e| unexpected(&e.to_string()))?;
    Ok(Scanned { report, saved })
}

fn body(call: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(call)
        .map(Bytes::from)
        .map_err(|e| unexpected(&e.to_string()))
}

async fn document<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T> {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|e| unexpected(&e.to_string()))?
        .to_bytes();
    if !status.is_success() {
        let error: Value =
            serde_json::from_slice(&body).map_err(|_| unexpected(&format!("status {status}")))?;
        return Err(remote(&error));
    }
    serde_json::from_slice(&body).map_err(|e| unexpected(&e.to_string()))
}

/// An error as the host said it.
fn remote(body: &Value) -> HostError {
    let text = |key: &str| body["error"][key].as_str().unwrap_or_default().to_owned();
    let exit = body["exit"].as_u64().and_then(|e| u8::try_from(e).ok());
    let exit = exit.unwrap_or(if text("code") == "not_found" { 3 } else { 1 });
    HostError::Remote {
        code: text("code"),
        message: text("message"),
        hint: text("hint"),
        exit,
    }
}

/// A host that ends closes its door at once, and sees to its writes behind it.
fn cut_off() -> HostError {
    HostError::failed(
        "host_ended",
        "the host ended while the write was under way",
        "`busbar audit` tells what became of it.",
    )
}

fn broken(error: hyper::Error) -> HostError {
    unexpected(&error.to_string())
}

fn unexpected(what: &str) -> HostError {
    HostError::failed(
        "control",
        format!("the running host does not answer properly: {what}"),
        "Is it the same version of Busbar? Restart it.",
    )
}
