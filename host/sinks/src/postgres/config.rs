//! `[postgres]` of `busbar.toml`.

use std::path::PathBuf;
use std::time::Duration;

use busbar_store::PostgresUrl;
use serde::Deserialize;

use crate::samples::Rhythm;
use crate::select::Select;
use crate::size::parse_size;
use crate::span::parse_span;

/// The room of the spool where nobody says otherwise.
const SPOOL: u64 = 256 << 20;

/// `[postgres]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Where it is: `postgres://busbar@127.0.0.1:5432/busbar`. The password comes from `BUSBAR_POSTGRES_PASSWORD` or
    /// `password_file`.
    pub url: String,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// A file in PEM with the certificates that sign the server's; `sslmode` in the URL says how strict that is.
    pub ca_file: Option<PathBuf>,
    /// Which entities; none means every one.
    #[serde(default)]
    pub entities: Vec<String>,
    /// The shortest time between two values of one entity.
    pub interval: Option<String>,
    /// Whether a value that stands still is not stored once a minute all the same.
    #[serde(default)]
    pub changes_only: bool,
    /// How much is kept on the disk while the server is away.
    pub spool: Option<String>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub struct Ready {
    /// How the server is reached.
    pub url: PostgresUrl,
    /// Which entities.
    pub select: Select,
    /// How often.
    pub rhythm: Rhythm,
    /// Bytes of the spool.
    pub spool: u64,
}

impl PostgresConfig {
    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<Ready, String> {
        let parsed = url::Url::parse(&self.url).ok();
        let in_query = |url: &url::Url| url.query_pairs().any(|(key, _)| key == "password");
        if parsed.is_some_and(|url| url.password().is_some() || in_query(&url)) {
            return Err(
                "postgres.url: no password here; write it into BUSBAR_POSTGRES_PASSWORD, or into a file that password_file names"
                    .to_owned(),
            );
        }
        let interval = self.interval.as_deref().map(parse_span).transpose();
        let spool = self.spool.as_deref().map(parse_size).transpose();
        Ok(Ready {
            url: PostgresUrl::parse(&self.url).map_err(|e| format!("postgres.url: {e}"))?,
            select: Select::of(&self.entities).map_err(|e| format!("postgres.{e}"))?,
            rhythm: Rhythm {
                interval: interval
                    .map_err(|e| format!("postgres.interval: {e}"))?
                    .unwrap_or(Duration::ZERO),
                changes_only: self.changes_only,
            },
            spool: spool
                .map_err(|e| format!("postgres.spool: {e}"))?
                .unwrap_or(SPOOL),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_and_no_password_is_repeated() {
        let check = |text: &str| toml::from_str::<PostgresConfig>(text).unwrap().check();
        check("url = \"postgres://busbar@db/busbar\"").unwrap();
        for (text, word) in [
            ("url = \"db\"", "postgres://busbar@127.0.0.1"),
            ("url = \"postgres://u:hunter2@db/x\"", "password_file"),
            ("url = \"postgres://u@db/x?password=hunter2\"", "password_file"),
            ("url = \"postgres://u@db/x\"\nspool = \"1\"", "10MiB"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(word) && !error.contains("hunter2"), "{error}");
        }
    }
}
