//! A client as plain as can be.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    pub fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|l| l.eq_ignore_ascii_case(line))
    }
}

/// Sends a request under the server's own name and takes the whole answer.
pub async fn ask(server: SocketAddr, method: &str, path: &str) -> Answer {
    ask_as(server, &server.to_string(), method, path).await
}

/// The same under another host name.
pub async fn ask_as(server: SocketAddr, host: &str, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("an answer in time")
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A GET that must succeed with a document.
pub async fn get(server: SocketAddr, path: &str) -> Value {
    let answer = ask(server, "GET", path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:#?}");
    answer.json()
}
