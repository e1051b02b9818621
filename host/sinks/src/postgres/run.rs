//! Stores rows.

use std::sync::Arc;
use std::time::Duration;

use busbar_store::{Postgres, PostgresError, PostgresRow, PostgresUrl};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::config::PostgresConfig;
use super::encode::{pack, unpack};
use crate::health::Health;
use crate::samples::{Gatherer, Sample};
use crate::secret::Secret;
use crate::ship::{self, Carrier, Delivered, Plan};
use crate::sinks::Site;

/// Rows of a batch.
const BATCH: usize = 2000;
/// How long a batch waits to be full.
const LINGER: Duration = Duration::from_secs(1);
/// Statements that one batch may cost when it is cut to find the rows that are not taken.
const MOST_STATEMENTS: usize = 64;

/// Where this sink stores, for people.
pub fn target(config: &PostgresConfig) -> String {
    crate::secret::hidden(&config.url)
}

/// Stores until the host ends.
pub async fn run(config: PostgresConfig, site: Site, health: Health, cancel: CancellationToken) {
    let make = || {
        let checked = config.check()?;
        let password = Secret::find("BUSBAR_POSTGRES_PASSWORD", config.password_file.as_deref())?;
        let password = password.as_ref().map(Secret::reveal);
        let url = checked.url.clone().with(password, config.ca_file.as_deref());
        Ok((url, checked))
    };
    let Some((url, checked)) = ship::prepare(make, &health, &cancel).await else {
        return;
    };
    let carrier = Rows {
        url,
        open: Mutex::new(None),
    };
    let plan = Plan {
        batch: BATCH,
        linger: LINGER,
        spool_dir: site.data_dir.join("postgres"),
        spool_room: checked.spool,
    };
    let gatherer = Gatherer::new(checked.select, checked.rhythm);
    ship::run(Arc::clone(&site.bus), gatherer, carrier, plan, health, cancel).await;
}

struct Rows {
    url: PostgresUrl,
    open: Mutex<Option<Postgres>>,
}

impl Rows {
    async fn store(&self, rows: &[PostgresRow]) -> Result<(), PostgresError> {
        let mut open = self.open.lock().await;
        // Taken out, so that nothing half done is used again when this is given up.
        let database = match open.take() {
            Some(database) => database,
            None => Postgres::connect(&self.url).await?,
        };
        match database.store(rows).await {
            Err(error @ PostgresError::Away(_)) => {
                database.close().await;
                Err(error)
            }
            done => {
                *open = Some(database);
                done
            }
        }
    }
}

impl Carrier for Rows {
    fn pack(&self, samples: &[Sample]) -> (Vec<u8>, u64) {
        (pack(samples), samples.len() as u64)
    }

    async fn deliver(&self, body: &[u8]) -> Delivered {
        let rows = unpack(body);
        // A batch with rows that are not taken is cut in two, again and again: what is left of it are those rows.
        let mut rest = vec![&rows[..]];
        let (mut refused, mut why, mut statements) = (0, String::new(), 0);
        while let Some(rows) = rest.pop() {
            if rows.is_empty() {
                continue;
            }
            statements += 1;
            match self.store(rows).await {
                Ok(()) => {}
                Err(PostgresError::Refused(_)) if rows.len() > 1 && statements < MOST_STATEMENTS => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    rest.extend([second, first]);
                }
                Err(PostgresError::Refused(cause)) => {
                    refused += rows.len() as u64;
                    why = cause;
                }
                Err(error) => {
                    return Delivered::Later {
                        cause: error.to_string(),
                        after: None,
                    };
                }
            }
        }
        Delivered::Done { refused, cause: why }
    }
}
