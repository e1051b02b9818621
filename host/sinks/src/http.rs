//! HTTP and HTTPS to servers of the owner's choice: bounded in time and in what is read. No redirects are followed.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// What a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// What an exchange may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer.
const MOST: usize = 64 << 10;
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A client. Cheap to clone; connections are kept and used again.
#[derive(Clone, Debug)]
pub struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The beginning of what it said.
    pub body: String,
}

impl Http {
    /// A client for one server. With `secure`, certificates are checked against those that the system trusts, or, where a
    /// file is named, against that one alone.
    ///
    /// # Errors
    /// No certificates: which are missing, and what to do.
    pub fn new(secure: bool, ca_file: Option<&Path>) -> Result<Self, String> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS cannot be used: {e}"))?;
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(CONNECT));
        http.enforce_http(false);
        let config = match (secure, ca_file) {
            (false, _) => config
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth(),
            (true, Some(path)) => config.with_root_certificates(roots(path)?).with_no_client_auth(),
            (true, None) => {
                use hyper_rustls::ConfigBuilderExt;
                let config = config.with_native_roots().map_err(|e| {
                    format!("the system has no certificates to check a server with ({e}): install ca-certificates, or name a ca_file")
                })?;
                config.with_no_client_auth()
            }
        };
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Ok(Http(client))
    }

    /// One exchange.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|e| causes(&e))?;
            let status = answer.status().as_u16();
            let header = answer.headers().get(hyper::header::RETRY_AFTER);
            let seconds = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let retry_after = seconds.map(|s| Duration::from_secs(s).min(LONGEST_PAUSE));
            // What is longer than that is cut off: the status says enough.
            let body = Limited::new(answer.into_body(), MOST).collect().await;
            let body = body.map(|all| String::from_utf8_lossy(&all.to_bytes()).into_owned());
            Ok(Answer {
                status,
                retry_after,
                body: body.unwrap_or_default(),
            })
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let place = path.display();
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path).map_err(|e| format!("cannot read {place}: {e}"))?;
    for one in all {
        let one = one.map_err(|e| format!("{place} is no list of certificates in PEM: {e}"))?;
        roots
            .add(one)
            .map_err(|e| format!("{place} holds no usable certificate: {e}"))?;
    }
    match roots.is_empty() {
        true => Err(format!(
            "{place} holds no certificate: it has to be a file in PEM"
        )),
        false => Ok(roots),
    }
}

/// An error with everything that caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}
