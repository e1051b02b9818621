//! One session with a broker, whichever MQTT it speaks. It is made for one connection and thrown away with it: what was
//! on its way then is said anew by whoever said it.

use std::sync::Arc;
use std::time::Duration;

use rumqttc_v5::tokio_rustls::rustls::ClientConfig;
use tokio::net::TcpStream;

use super::fault::{Fault, Kind};
use super::publisher::Outcome;
use super::server::{Server, Version};
use super::{Message, Received, v4, v5};

/// How long connecting may take, greeting included, in seconds.
pub(super) const CONNECT_SECONDS: u64 = 10;
/// How long the line may be silent before the broker is asked whether it is still there, in seconds. One that does not
/// answer until the next question is away.
pub(super) const KEEP_ALIVE_SECONDS: u16 = 15;
/// A session from which nothing is heard for so long hangs, also where bytes cannot be got rid of: two questions.
const HANGS: Duration = Duration::from_secs(2 * KEEP_ALIVE_SECONDS as u64 + CONNECT_SECONDS);
/// The largest packet that is taken in, in bytes: commands are small.
pub(super) const MAX_INCOMING: u32 = 256 * 1024;
/// Requests that wait between rooms and the line.
pub(super) const QUEUE: usize = 128;

/// What a session is begun with.
pub(super) struct Setup {
    pub(super) server: Server,
    pub(super) client_id: String,
    pub(super) login: Option<(String, Vec<u8>)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) will: Option<Message>,
}

impl Setup {
    /// The user, for people.
    pub(super) fn user(&self) -> Option<String> {
        self.login.as_ref().map(|(user, _)| user.clone())
    }

    /// The URL of a WebSocket.
    pub(super) fn websocket_url(&self) -> Option<String> {
        self.server.websocket.as_ref().map(|_| self.server.to_string())
    }
}

/// What the broker said when the session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The largest packet that it takes, in bytes.
    pub(super) max_packet: usize,
    /// Whether it acknowledges what is published.
    pub(super) acknowledges: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            max_packet: usize::MAX,
            acknowledges: true,
        }
    }
}

/// What comes over the line.
#[derive(Debug)]
pub(super) enum Heard {
    /// The session begins.
    Begun(Terms),
    /// A message.
    Message(Received),
    /// Something that only the protocol cares for.
    Nothing,
}

/// The sending half.
#[derive(Debug)]
pub(super) enum Client {
    V5(rumqttc_v5::AsyncClient),
    V4(rumqttc_v4::AsyncClient),
}

/// The half that drives the line.
pub(super) enum Line {
    V5(Box<rumqttc_v5::EventLoop>, v5::About),
    V4(Box<rumqttc_v4::EventLoop>, v4::About),
}

/// Both halves of a session that begins when the line is driven.
pub(super) fn open(version: Version, setup: Setup) -> Result<(Client, Line), Fault> {
    match version {
        Version::V5 => v5::open(setup),
        Version::V4 => v4::open(setup),
    }
}

impl Client {
    pub(super) async fn publish(&self, message: Message) -> Outcome {
        match self {
            Client::V5(client) => v5::publish(client, message).await,
            Client::V4(client) => v4::publish(client, message).await,
        }
    }

    /// For each filter why it was refused, if it was; `None` when the session ended before that was said.
    pub(super) async fn subscribe(&self, filters: &[String]) -> Option<Vec<Option<String>>> {
        match self {
            Client::V5(client) => v5::subscribe(client, filters).await,
            Client::V4(client) => v4::subscribe(client, filters).await,
        }
    }

    /// Says goodbye behind everything that was sent before.
    pub(super) async fn disconnect(&self) {
        // A session that is over already needs no goodbye.
        let _ = match self {
            Client::V5(client) => client.disconnect().await.map_err(drop),
            Client::V4(client) => client.disconnect().await.map_err(drop),
        };
    }
}

impl Line {
    /// What comes next over the line. It has to be called again and again for anything to happen at all.
    pub(super) async fn next(&mut self) -> Result<Heard, Fault> {
        let next = async {
            match self {
                Line::V5(line, about) => v5::next(line, about).await,
                Line::V4(line, about) => v4::next(line, about).await,
            }
        };
        tokio::time::timeout(HANGS, next)
            .await
            .unwrap_or_else(|_| Err(silent()))
    }
}

/// The broker says nothing.
pub(super) fn silent() -> Fault {
    Fault::again("it does not answer any more")
}

/// The broker closed the connection before it said that the session begins.
pub(super) fn closed_at_the_door() -> Fault {
    Fault::of(Kind::Version, "it closes the connection without a word")
}

/// Opens the TCP connection, so that small packets are not held back.
pub(super) async fn dial(host: String, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why something was lost between rooms and line; that the line is gone needs no reason.
pub(super) fn local(cause: &impl std::fmt::Display) -> Outcome {
    Outcome::Rejected(format!("it cannot be put into a packet: {cause}"))
}
