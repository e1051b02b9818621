//! What a connection needs to know, and where its secrets are. They are read at each attempt, so that a password that
//! was corrected needs no restart, and never kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Message;
use super::server::{Server, Version};
use super::session::Setup;
use super::tls;
use crate::mqtt::config::{MqttConfig, PASSWORD_VARIABLE};

/// A password or a certificate is small; anything larger is a mistake.
const MAX_FILE: u64 = 1 << 20;

/// How a connection says that it is there. `attempt` counts the attempts to connect from 1.
pub trait Presence: Send + Sync + 'static {
    /// What the broker publishes when this connection dies.
    fn will(&self, attempt: u64) -> Option<Message>;

    /// What is published as soon as a session begins, before anything else.
    fn birth(&self, attempt: u64) -> Vec<Message>;

    /// What is published before the connection is closed in an orderly way.
    fn farewell(&self, attempt: u64) -> Vec<Message>;
}

/// What a connection needs to know.
#[derive(Clone)]
pub struct Options {
    /// Where the broker is.
    pub server: Server,
    /// Which MQTT it speaks; `None`: it is found out.
    pub version: Option<Version>,
    /// What the broker knows this connection by. Two connections with the same one end each other.
    pub client_id: String,
    /// How it says that it is there.
    pub presence: Arc<dyn Presence>,
    /// The variable of the environment that may hold the password: each broker has its own.
    pub password_variable: &'static str,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    client_cert: Option<(PathBuf, PathBuf)>,
}

impl Options {
    /// By the configuration, which was checked. `client_id` is used where it names none.
    ///
    /// # Errors
    /// As [`MqttConfig::check`].
    pub fn of(config: &MqttConfig, client_id: String, presence: Arc<dyn Presence>) -> Result<Self, String> {
        Ok(Options {
            server: config.server()?,
            version: config.version()?,
            client_id: config.client_id.clone().unwrap_or(client_id),
            presence,
            password_variable: PASSWORD_VARIABLE,
            user: config.user(),
            password_file: config.password_file.clone(),
            ca_file: config.ca_file.clone(),
            client_cert: config
                .client_cert_file
                .clone()
                .zip(config.client_key_file.clone()),
        })
    }

    /// The user that the broker sees, and the broker: for the audit.
    pub fn who(&self) -> String {
        let user = self.user.as_deref().unwrap_or("nobody");
        format!("user {user} on {}", self.server.host)
    }

    /// Everything for one attempt, with the secrets.
    pub(super) async fn setup(&self, attempt: u64) -> Result<Setup, String> {
        let login = match &self.user {
            Some(user) => Some((user.clone(), self.password().await?)),
            None => None,
        };
        let tls = match self.server.secure {
            true => {
                let ca = read_opt("mqtt.ca_file", self.ca_file.as_deref()).await?;
                let client = match &self.client_cert {
                    Some((cert, key)) => Some((
                        read("mqtt.client_cert_file", cert).await?,
                        read("mqtt.client_key_file", key).await?,
                    )),
                    None => None,
                };
                Some(tls::config(ca, client)?)
            }
            false => None,
        };
        Ok(Setup {
            server: self.server.clone(),
            client_id: self.client_id.clone(),
            login,
            tls,
            will: self.presence.will(attempt),
        })
    }

    async fn password(&self) -> Result<Vec<u8>, String> {
        if let Some(password) = std::env::var_os(self.password_variable) {
            return Ok(password.into_encoded_bytes());
        }
        let mut password = read_opt("mqtt.password_file", self.password_file.as_deref())
            .await?
            .unwrap_or_default();
        // An editor ends a file with a line break; no password does.
        while password.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            password.pop();
        }
        Ok(password)
    }
}

async fn read_opt(key: &str, path: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    match path {
        Some(path) => read(key, path).await.map(Some),
        None => Ok(None),
    }
}

async fn read(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    let fault = |why: String| {
        format!(
            "{key}: {}: {why}; name a file that Busbar may read",
            path.display()
        )
    };
    let meta = tokio::fs::metadata(path)
        .await
        .map_err(|e| fault(e.to_string()))?;
    if !meta.is_file() || meta.len() > MAX_FILE {
        return Err(fault("it is no file of less than 1 MiB".to_owned()));
    }
    tokio::fs::read(path).await.map_err(|e| fault(e.to_string()))
}
