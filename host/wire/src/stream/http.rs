//! The newest telegram, fetched again and again from a gateway that gives it as text.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};

use super::owner::Owner;
use crate::endpoint::HttpPlace;
use crate::error::WireError;
use crate::open::Connect;
use crate::tcp::Tcp;

/// The longest answer that can be a telegram.
const MOST: usize = 64 * 1024;
/// The longest that a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is often enough.
const OFTEN: Duration = Duration::from_secs(1);

/// Fetches until the stream is closed.
pub(super) async fn run(mut owner: Owner, place: HttpPlace) {
    let mut tcp = Tcp::new(place.host.clone());
    loop {
        let began = Instant::now();
        let endpoint = Arc::clone(&owner.shared.endpoint);
        let fetched = tokio::select! {
            biased;
            () = owner.is_closed() => return,
            fetched = timeout(PATIENCE, fetch(&owner, &mut tcp, &place)) => fetched,
        };
        let fetched = fetched.unwrap_or_else(|_| {
            Err(WireError::NoTelegram {
                endpoint,
                reason: format!("no answer within {} s", PATIENCE.as_secs()),
            })
        });
        match fetched {
            Ok(body) => {
                owner.began();
                owner.shared.stats().bytes += body.len() as u64;
                owner.hand_out((body.into(), true), true);
                let next = began + owner.options.every.max(OFTEN);
                loop {
                    tokio::select! {
                        biased;
                        () = owner.is_closed() => return,
                        () = owner.is_told() => {
                            owner.is_good();
                        }
                        () = sleep_until(next) => break,
                    }
                }
            }
            Err(cause) => {
                owner.shared.stats().failed_connects += 1;
                if !owner.pause(cause, || false).await {
                    return;
                }
            }
        }
    }
}

async fn fetch(owner: &Owner, tcp: &mut Tcp, place: &HttpPlace) -> Result<Bytes, WireError> {
    let began = Instant::now();
    let no_telegram = |reason: String| WireError::NoTelegram {
        endpoint: Arc::clone(&owner.shared.endpoint),
        reason,
    };
    let broken = |error: hyper::Error| no_telegram(format!("it does not answer in HTTP ({error})"));
    let stream = tcp
        .connect()
        .await
        .map_err(|error| owner.refused(error, began.elapsed()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(&place.path)
        .header(HOST, place.host.to_string())
        .header(USER_AGENT, concat!("busbar/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "text/plain")
        .body(Empty::<Bytes>::new())
        .map_err(|error| no_telegram(format!("it cannot be asked: {error}")))?;
    // The connection does its work only while somebody waits for it; what it ends with, the answer says, too.
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(no_telegram(format!(
                "it answers with HTTP status {}",
                status.as_u16()
            )));
        }
        let body = Limited::new(answer.into_body(), MOST).collect().await;
        let body = body.map_err(|error| no_telegram(format!("its answer cannot be read: {error}")))?;
        match body.to_bytes() {
            body if body.is_empty() => Err(no_telegram("its answer is empty".to_owned())),
            body => Ok(body),
        }
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(broken(error)),
        },
    }
}
