//! A server that answers as a test says, and tells what it was asked.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// With its query.
    pub path: String,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The lines of its body, unpacked.
    pub lines: Vec<String>,
}

/// What is answered: a status and a body; nothing at all, for ever.
pub type Answer = Option<(u16, &'static str)>;
type Script = Box<dyn FnMut(&Asked) -> Answer + Send>;

/// The server.
pub struct Server {
    pub address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    script: Arc<Mutex<Script>>,
}

impl Server {
    pub async fn start(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = mpsc::unbounded_channel();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let answers = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, answers) = (told.clone(), Arc::clone(&answers));
                let service = service_fn(move |request| answer(request, told.clone(), Arc::clone(&answers)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Server {
            address,
            asked,
            script,
        }
    }

    /// Answers otherwise from now on.
    pub fn now(&self, script: impl FnMut(&Asked) -> Answer + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// The next request.
    pub async fn asked(&mut self) -> Asked {
        let next = tokio::time::timeout(PATIENCE, self.asked.recv());
        next.await.expect("a request in time").unwrap()
    }
}

async fn answer(
    request: Request<Incoming>,
    told: mpsc::UnboundedSender<Asked>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut text = String::new();
    assert_eq!(head.headers["content-encoding"], "gzip");
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut text)
        .unwrap();
    let authorization = head.headers.get("authorization");
    let asked = Asked {
        path: head.uri.to_string(),
        authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
        lines: text.lines().map(str::to_owned).collect(),
    };
    let said = script.lock().unwrap()(&asked);
    let _ = told.send(asked);
    let Some((status, body)) = said else {
        return std::future::pending().await;
    };
    let answer = Response::builder()
        .status(status)
        .body(Full::new(Bytes::from(body)));
    Ok(answer.unwrap())
}
