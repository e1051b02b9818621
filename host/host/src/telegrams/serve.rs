//! What a meter says, passed on to other programs over TCP, byte for byte, what is damaged too: for software that would
//! like to have the port for itself.

use std::net::SocketAddr;
use std::time::Duration;

use busbar_wire::{Piece, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Programs that listen at once; more are turned away.
const CLIENTS: usize = 8;
/// One that does not take what is said for so long is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// An address that is taken is tried again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// Serves until cancelled.
pub async fn serve(stream: Stream, address: SocketAddr, cancel: CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = listen(&stream, address) => {}
    }
}

async fn listen(stream: &Stream, address: SocketAddr) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => {
                told = true;
                warn!(
                    "{} cannot be passed on at {address} yet: {error}",
                    stream.endpoint()
                );
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    };
    let at = listener.local_addr().unwrap_or(address);
    info!("{} is passed on at {at}", stream.endpoint());
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((client, _)) if clients.len() < CLIENTS => {
                    clients.spawn(pass_on(stream.clone(), client));
                }
                // Turned away by being dropped.
                Ok(_) => {}
                // Out of file descriptors, most likely: they come back when connections end.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

async fn pass_on(stream: Stream, client: TcpStream) {
    let _ = client.set_nodelay(true);
    let mut listener = stream.listen();
    let (mut from, mut to) = client.into_split();
    let mut ignored = [0; 256];
    loop {
        let piece = tokio::select! {
            piece = listener.next() => piece,
            // What a client says is nobody's business; that it leaves is.
            read = from.read(&mut ignored) => match read {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return,
            },
        };
        match piece {
            None => return,
            Some(Piece::Lost(_)) => {}
            Some(Piece::Bytes(chunk)) => {
                let Ok(Ok(())) = timeout(PATIENCE, to.write_all(&chunk.bytes)).await else {
                    return;
                };
            }
        }
    }
}
