//! Serves a router with bounds that the plain server lacks: connections, and the time that a request's head, or a peer
//! that does not read, may take.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::reading::Reading;

/// Connections served at once; one more is told so and closed.
const MOST_CONNECTIONS: usize = 64;
/// Connections that are being turned away at once; beyond that they are closed without a word.
const MOST_GOODBYES: usize = 16;
/// How long a connection that is turned away may take to be told.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a peer may leave unread what it asked for.
const UNREAD: Duration = Duration::from_secs(30);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files, say) the next attempt waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Something that brings connections.
pub trait Listener {
    /// What a connection is.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who holds its other end, as far as the listener knows: handlers find it among a request's extensions.
    type Who: Clone + Send + Sync + 'static;
    /// The next one.
    fn accept(&self) -> impl Future<Output = std::io::Result<(Self::Io, Self::Who)>> + Send;
}

impl Listener for TcpListener {
    type Io = tokio::net::TcpStream;
    type Who = ();
    async fn accept(&self) -> std::io::Result<(Self::Io, Self::Who)> {
        TcpListener::accept(self).await.map(|(stream, _)| (stream, ()))
    }
}

/// Serves until cancelled. Connections that are open then are ended.
pub async fn serve(listener: impl Listener, router: Router, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let goodbyes = Arc::new(Semaphore::new(MOST_GOODBYES));
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, who) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!("could not accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if let Ok(goodbye) = Arc::clone(&goodbyes).try_acquire_owned() {
                tokio::spawn(async move {
                    turn_away(stream).await;
                    drop(goodbye);
                });
            }
            continue;
        };
        let inner = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(who.clone());
            inner.call(request)
        });
        let cancel = cancel.clone();
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(64 * 1024)
                .serve_connection(TokioIo::new(Reading::new(stream, UNREAD)), service);
            tokio::select! {
                () = cancel.cancelled() => {}
                // A peer that breaks HTTP or goes away is its own affair.
                _ = connection => {}
            }
            drop(place);
        });
    }
}

/// Says that there is no place.
async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let body = serde_json::json!({ "error": {
        "code": "busy", "message": "too many connections are open", "hint": "Close some pages, or try again in a moment.",
    }})
    .to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with the request unread would reset the connection, and the peer would not hear what it was told.
        let mut request = [0; 1024];
        while stream.read(&mut request).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // A peer that goes away, or does not listen, need not be told.
    let _ = tokio::time::timeout(GOODBYE, told).await;
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::net::TcpStream;

    use super::*;
    use crate::bus::Bus;
    use crate::web::{Shared, site};

    async fn ask(address: SocketAddr, path: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 2048];
        let n = stream.read(&mut head).await.unwrap();
        (stream, String::from_utf8_lossy(&head[..n]).into_owned())
    }

    #[tokio::test]
    async fn streams_leave_room_for_others_and_a_full_house_says_so() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(Arc::new(Bus::default()), tokio::time::Instant::now());
        let cancel = CancellationToken::new();
        tokio::spawn(serve(listener, site(shared), cancel.clone()));

        let mut open = Vec::new();
        for _ in 0..32 {
            let (stream, answer) = ask(address, "/api/v1/events").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            open.push(stream);
        }
        let (stream, answer) = ask(address, "/api/v1/events").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        open.push(stream);
        while open.len() < MOST_CONNECTIONS {
            let (stream, answer) = ask(address, "/healthz").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            open.push(stream);
        }
        let (_, answer) = ask(address, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("\"busy\""), "{answer}");
        cancel.cancel();
    }
}
