//! `[influxdb]` of `busbar.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::encode::{Precision, Template};
use crate::samples::Rhythm;
use crate::select::Select;
use crate::size::parse_size;
use crate::span::parse_span;
use crate::tags;

/// The room of the spool where nobody says otherwise.
const SPOOL: u64 = 256 << 20;

/// `[influxdb]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfluxConfig {
    /// Where it is: `http://127.0.0.1:8086`.
    pub url: String,
    /// 1, 2 or 3; left out: 2 with `bucket`, else 1.
    pub version: Option<u8>,
    /// The database, of versions 1 and 3.
    pub database: Option<String>,
    /// The bucket, of version 2.
    pub bucket: Option<String>,
    /// The organisation that the bucket is of.
    pub org: Option<String>,
    /// Who logs in, for version 1. The password comes from `BUSBAR_INFLUXDB_PASSWORD` or `password_file`.
    pub user: Option<String>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// A file that holds the token, unless `BUSBAR_INFLUXDB_TOKEN` does.
    pub token_file: Option<PathBuf>,
    /// A file in PEM with the certificates that sign the server's.
    pub ca_file: Option<PathBuf>,
    /// What a measurement is called; may hold `{class}`, `{device}`, `{ledger}`, `{key}`, `{connection}` and `{unit}`.
    pub measurement: Option<String>,
    /// The precision of times: `s`, `ms`, `us` or `ns`.
    pub precision: Option<Precision>,
    /// Tags that stand on every line.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Which entities; none means every one.
    #[serde(default)]
    pub entities: Vec<String>,
    /// The shortest time between two values of one entity.
    pub interval: Option<String>,
    /// Whether a value that stands still is not sent once a minute all the same.
    #[serde(default)]
    pub changes_only: bool,
    /// How much is kept on the disk while the server is away.
    pub spool: Option<String>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where lines are sent to, with everything in its query.
    pub write: Url,
    /// The version of the server's interface.
    pub version: u8,
    /// What measurements are called.
    pub measurement: Template,
    /// The precision of times.
    pub precision: Precision,
    /// Which entities.
    pub select: Select,
    /// How often.
    pub rhythm: Rhythm,
    /// Bytes of the spool.
    pub spool: u64,
}

impl InfluxConfig {
    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<Checked, String> {
        let version = self.version()?;
        let precision = self.precision.unwrap_or_default();
        let interval = self.interval.as_deref().map(parse_span).transpose();
        let spool = self.spool.as_deref().map(parse_size).transpose();
        tags::check(&self.tags).map_err(|e| format!("influxdb.{e}"))?;
        if self.user.is_some() && version != 1 {
            return Err(format!(
                "influxdb.user: version {version} knows no users: write a token into a file, and its name into token_file"
            ));
        }
        Ok(Checked {
            write: self.write_url(version, precision)?,
            version,
            measurement: Template::of(self.measurement.as_deref().unwrap_or("{class}"))
                .map_err(|e| format!("influxdb.measurement: {e}"))?,
            precision,
            select: Select::of(&self.entities).map_err(|e| format!("influxdb.{e}"))?,
            rhythm: Rhythm {
                interval: interval
                    .map_err(|e| format!("influxdb.interval: {e}"))?
                    .unwrap_or(Duration::ZERO),
                changes_only: self.changes_only,
            },
            spool: spool
                .map_err(|e| format!("influxdb.spool: {e}"))?
                .unwrap_or(SPOOL),
        })
    }

    fn version(&self) -> Result<u8, String> {
        let version = self.version.unwrap_or(if self.bucket.is_some() { 2 } else { 1 });
        let (needs, has, lacks) = match version {
            1 | 3 => (
                "database",
                self.database.is_some(),
                self.bucket.is_none() && self.org.is_none(),
            ),
            2 => (
                "bucket and org",
                self.bucket.is_some() && self.org.is_some(),
                self.database.is_none(),
            ),
            other => return Err(format!("influxdb.version = {other}: write 1, 2 or 3")),
        };
        if has && lacks {
            return Ok(version);
        }
        Err(format!(
            "influxdb: version {version} needs {needs} and nothing else of its kind; write database = \"busbar\" for version 1 \
             (and 3, with version = 3), or bucket and org for version 2"
        ))
    }

    fn write_url(&self, version: u8, precision: Precision) -> Result<Url, String> {
        let mut url = Url::parse(&self.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                format!(
                    "influxdb.url = {:?}: write a URL such as \"http://127.0.0.1:8086\"",
                    crate::secret::hidden(&self.url)
                )
            })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "influxdb.url: no user and password here; write user = \"…\", and the password into BUSBAR_INFLUXDB_PASSWORD \
                 or a file that password_file names"
                    .to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "influxdb.url: end it before the `?`; database, bucket and org have keys of their own"
                    .to_owned(),
            );
        }
        let base = url.path().trim_end_matches('/').to_owned();
        let path = match version {
            1 => "write",
            2 => "api/v2/write",
            _ => "api/v3/write_lp",
        };
        url.set_path(&format!("{base}/{path}"));
        let mut query = url.query_pairs_mut();
        match version {
            2 => query
                .append_pair("org", self.org.as_deref().unwrap_or_default())
                .append_pair("bucket", self.bucket.as_deref().unwrap_or_default()),
            _ => query.append_pair("db", self.database.as_deref().unwrap_or_default()),
        };
        query.append_pair("precision", precision.word(version));
        drop(query);
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Checked, String> {
        let text = format!("url = \"http://db:8086\"\n{text}");
        toml::from_str::<InfluxConfig>(&text).unwrap().check()
    }

    #[test]
    fn the_version_is_recognised_from_what_is_given() {
        for (text, url) in [
            ("database = \"a b\"", "http://db:8086/write?db=a+b&precision=ms"),
            (
                "bucket = \"b\"\norg = \"o\"\nprecision = \"s\"",
                "http://db:8086/api/v2/write?org=o&bucket=b&precision=s",
            ),
            (
                "version = 3\ndatabase = \"d\"\nprecision = \"us\"",
                "http://db:8086/api/v3/write_lp?db=d&precision=microsecond",
            ),
        ] {
            assert_eq!(config(text).unwrap().write.as_str(), url);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (text, word) in [
            ("", "database ="),
            ("bucket = \"b\"", "org"),
            ("database = \"d\"\nbucket = \"b\"\norg = \"o\"", "nothing else"),
            ("version = 4", "1, 2 or 3"),
            ("bucket = \"b\"\norg = \"o\"\nuser = \"u\"", "token"),
            ("database = \"d\"\nmeasurement = \"{nonsense}\"", "{class}"),
            ("database = \"d\"\nspool = \"many\"", "10MiB"),
            ("database = \"d\"\ninterval = \"soon\"", "10s"),
            ("database = \"d\"\ntags = { device = \"x\" }", "already"),
            ("database = \"d\"\nentities = [\"x\"]", "*.power*"),
        ] {
            let error = config(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        for url in ["db:8086", "ftp://db", "http://u:hunter2@db", "http://db/?x=1"] {
            let config = InfluxConfig {
                url: url.to_owned(),
                database: Some("d".to_owned()),
                ..InfluxConfig::default()
            };
            let error = config.check().unwrap_err();
            assert!(
                error.starts_with("influxdb.url") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
