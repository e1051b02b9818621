//! Sends lines to a server.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::config::{Checked, InfluxConfig};
use super::encode::{Precision, Template, line};
use crate::health::Health;
use crate::http::{Answer, Http};
use crate::samples::{Gatherer, Sample};
use crate::secret::Secret;
use crate::ship::{self, Carrier, Delivered, Plan};
use crate::sinks::Site;

/// Lines of a batch.
const BATCH: usize = 5000;
/// How long a batch waits to be full.
const LINGER: Duration = Duration::from_secs(1);
/// Requests that one batch may cost when it is cut to find the lines that a server does not take.
const MOST_REQUESTS: usize = 64;

/// Where this sink sends to, for people.
pub fn target(config: &InfluxConfig) -> String {
    crate::secret::hidden(&config.url)
}

/// Sends until the host ends.
pub async fn run(config: InfluxConfig, site: Site, health: Health, cancel: CancellationToken) {
    let carrier = config
        .check()
        .and_then(|checked| Ok((Lines::of(&config, &checked)?, checked)));
    let (carrier, checked) = match carrier {
        Ok(ready) => ready,
        Err(cause) => {
            health.down(format!("influxdb: {cause}"));
            return;
        }
    };
    let plan = Plan {
        batch: BATCH,
        linger: LINGER,
        spool_dir: site.data_dir.join("influxdb"),
        spool_room: checked.spool,
    };
    let gatherer = Gatherer::new(checked.select, checked.rhythm);
    ship::run(Arc::clone(&site.bus), gatherer, carrier, plan, health, cancel).await;
}

struct Lines {
    http: Http,
    write: Url,
    authorization: Option<Secret>,
    measurement: Template,
    tags: BTreeMap<String, String>,
    precision: Precision,
}

impl Lines {
    fn of(config: &InfluxConfig, checked: &Checked) -> Result<Self, String> {
        let token = Secret::find("BUSBAR_INFLUXDB_TOKEN", config.token_file.as_deref())?;
        let password = Secret::find("BUSBAR_INFLUXDB_PASSWORD", config.password_file.as_deref())?;
        let authorization = match (&config.user, token, password) {
            (Some(user), _, password) => {
                let password = password.as_ref().map(Secret::reveal).unwrap_or_default();
                let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                Some(Secret::new(format!("Basic {both}")))
            }
            (None, Some(token), _) if checked.version == 3 => {
                Some(Secret::new(format!("Bearer {}", token.reveal())))
            }
            (None, Some(token), _) => Some(Secret::new(format!("Token {}", token.reveal()))),
            (None, None, _) => None,
        };
        Ok(Lines {
            http: Http::new(checked.write.scheme() == "https", config.ca_file.as_deref())?,
            write: checked.write.clone(),
            authorization,
            measurement: checked.measurement.clone(),
            tags: config.tags.clone(),
            precision: checked.precision,
        })
    }

    async fn post(&self, lines: &[u8]) -> Result<Answer, String> {
        let lines = lines.to_vec();
        // Packing a large batch takes a while, and polls share this thread.
        let packed = tokio::task::spawn_blocking(move || {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&lines).and_then(|()| packer.finish())
        });
        let packed = packed.await.map_err(|e| e.to_string())?;
        let mut request = Request::post(self.write.as_str())
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(header::CONTENT_ENCODING, "gzip")
            .header(header::USER_AGENT, concat!("busbar/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            let mut value = header::HeaderValue::from_str(authorization.reveal())
                .map_err(|_| "the token holds characters that a token cannot have".to_owned())?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = Full::new(Bytes::from(packed.map_err(|e| e.to_string())?));
        self.http
            .send(request.body(body).map_err(|e| e.to_string())?)
            .await
    }
}

impl Carrier for Lines {
    fn pack(&self, samples: &[Sample]) -> (Vec<u8>, u64) {
        let mut out = String::with_capacity(samples.len() * 200);
        let lines = samples
            .iter()
            .filter(|sample| line(&mut out, sample, &self.measurement, &self.tags, self.precision))
            .count();
        (out.into_bytes(), lines as u64)
    }

    async fn deliver(&self, body: &[u8]) -> Delivered {
        // A batch with lines that are not taken is cut in two, again and again: what is left of it are those lines.
        let mut rest = vec![body];
        let (mut refused, mut why) = (0, String::new());
        let mut requests = 0;
        while let Some(lines) = rest.pop() {
            requests += 1;
            let answer = match self.post(lines).await {
                Ok(answer) => answer,
                Err(cause) => return Delivered::Later { cause, after: None },
            };
            match judge(&answer) {
                Verdict::Taken => {}
                Verdict::Partly(lost) => {
                    refused += lost.min(count(lines));
                    why = said(&answer);
                }
                Verdict::Refused => match halves(lines).filter(|_| requests < MOST_REQUESTS) {
                    Some((first, second)) => rest.extend([second, first]),
                    None => {
                        refused += count(lines);
                        why = said(&answer);
                    }
                },
                Verdict::Later => {
                    return Delivered::Later {
                        cause: said(&answer),
                        after: answer.retry_after,
                    };
                }
            }
        }
        Delivered::Done { refused, cause: why }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// Taken but for so many lines.
    Partly(u64),
    /// None of it will ever be taken as it is.
    Refused,
    /// Perhaps another time.
    Later,
}

fn judge(answer: &Answer) -> Verdict {
    let body = &answer.body;
    match answer.status {
        200..=299 => Verdict::Taken,
        // Version 1 says how many it dropped, version 3 shows each line.
        400 | 422 if body.contains("partial write") => match body.split_once("dropped=") {
            Some((_, rest)) => {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                Verdict::Partly(digits.parse().unwrap_or(1))
            }
            None => Verdict::Partly(body.matches("original_line").count().max(1) as u64),
        },
        400 | 413 | 422 => Verdict::Refused,
        _ => Verdict::Later,
    }
}

/// What a server said, in one line for people.
fn said(answer: &Answer) -> String {
    let status = answer.status;
    let hint = match status {
        401 | 403 => " (is the token or the password right, and may it write there?)",
        404 => " (is there such a database or bucket? Busbar makes none)",
        _ => "",
    };
    let text: String = answer.body.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    format!("it answered {status}{hint}: {text}")
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Two halves of whole lines; `None` for a single one.
fn halves(lines: &[u8]) -> Option<(&[u8], &[u8])> {
    let total = count(lines);
    if total < 2 {
        return None;
    }
    let mut ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let (middle, _) = ends.nth(usize::try_from(total / 2).ok()? - 1)?;
    Some(lines.split_at(middle + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            retry_after: None,
            body: body.to_owned(),
        }
    }

    #[test]
    fn each_version_says_in_its_own_way_what_it_did_not_take() {
        for (status, body, verdict) in [
            (204, "", Verdict::Taken),
            (
                400,
                "{\"error\":\"partial write: field type conflict: … dropped=3\"}",
                Verdict::Partly(3),
            ),
            (
                400,
                "{\"error\":\"partial write of line protocol occurred\",\"data\":[{\"original_line\":\"a\"},{\"original_line\":\"b\"}]}",
                Verdict::Partly(2),
            ),
            (
                400,
                "{\"code\":\"invalid\",\"message\":\"unable to parse\"}",
                Verdict::Refused,
            ),
            (413, "", Verdict::Refused),
            (401, "", Verdict::Later),
            (404, "database not found", Verdict::Later),
            (302, "", Verdict::Later),
            (503, "", Verdict::Later),
        ] {
            assert_eq!(judge(&answer(status, body)), verdict, "{status} {body}");
        }
        assert!(said(&answer(401, "x\n\u{7}y")).contains("token"));
    }

    #[test]
    fn halves_are_whole_lines() {
        assert_eq!(halves(b"a\nbb\nc\n"), Some((&b"a\n"[..], &b"bb\nc\n"[..])));
        assert_eq!(halves(b"a\n"), None);
        assert_eq!(halves(b""), None);
    }
}
