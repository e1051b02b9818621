//! Readings in PostgreSQL or TimescaleDB, beside the files of the data directory: for owners who want them in a database
//! of their own. Everything lies in the schema `busbar`, with migrations of its own.

mod error;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, SqlSafeStr};

pub use error::PostgresError;

/// What a connection, and then any one exchange, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the server gives a statement, a little less, so that it is the one that says so.
const STATEMENT_MS: &str = "8000";

const MIGRATIONS: &[(i64, &str, &str)] = &[(
    1,
    "begin",
    include_str!("../../../../migrations/postgres/0001_begin.sql"),
)];

/// One reading with everything that is to be known of its entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostgresRow {
    /// The entity's id.
    pub entity: String,
    /// The device's id.
    pub device: String,
    /// The point's key.
    pub key: String,
    /// What the owner, else the ledger calls it.
    pub name: String,
    /// Unit of measurement.
    pub unit: Option<String>,
    /// What kind of quantity it is.
    pub class: Option<String>,
    /// The ledger that describes the device.
    pub ledger: String,
    /// The connection that the device is on.
    pub connection: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// The number; never NaN.
    #[serde(with = "exact")]
    pub value: Option<f64>,
    /// The text, or what the number means.
    pub text: Option<String>,
    /// `good`, `stale`, `invalid`, `unavailable`.
    pub quality: String,
}

/// Numbers as texts: JSON's readers are quick, and may miss the last digit.
mod exact {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|number| number.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// How the server is reached, checked.
#[derive(Clone, Debug)]
pub struct PostgresUrl(PgConnectOptions);

impl PostgresUrl {
    /// Reads `postgres://user@host:5432/database?sslmode=verify-full`. Pure.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(url: &str) -> Result<Self, String> {
        let expected = "write a URL such as \"postgres://busbar@127.0.0.1:5432/busbar\"";
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(expected.to_owned());
        }
        // The parser's own words could hold what stands in the URL.
        let options = PgConnectOptions::from_str(url).map_err(|_| expected.to_owned())?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(format!("no database is named: {expected}"));
        }
        Ok(PostgresUrl(options))
    }

    /// With a password, and, where one is named, a file in PEM with the certificates that sign the server's.
    #[must_use]
    pub fn with(self, password: Option<&str>, ca_file: Option<&Path>) -> Self {
        let mut options = self.0;
        if let Some(password) = password {
            options = options.password(password);
        }
        if let Some(path) = ca_file {
            options = options.ssl_root_cert(path);
        }
        PostgresUrl(options)
    }
}

/// The database, open.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
    /// Whether readings lie in a hypertable.
    pub hypertable: bool,
}

impl Postgres {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// Why not, and whether it is worth trying again.
    pub async fn connect(url: &PostgresUrl) -> Result<Self, PostgresError> {
        let options = url
            .0
            .clone()
            .application_name("busbar")
            .options([
                ("search_path", "busbar,public"),
                ("statement_timeout", STATEMENT_MS),
                ("lock_timeout", STATEMENT_MS),
                ("timezone", "UTC"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None);
        in_time(async {
            let pool = pool.connect_with(options).await?;
            prepare(&pool).await?;
            let hypertable = hypertable(&pool).await;
            Ok(Postgres { pool, hypertable })
        })
        .await
    }

    /// Stores readings, all or none; those that are there already stay as they are.
    ///
    /// # Errors
    /// Why not, and whether it is worth trying again.
    pub async fn store(&self, rows: &[PostgresRow]) -> Result<(), PostgresError> {
        in_time(self.store_all(rows)).await
    }

    async fn store_all(&self, rows: &[PostgresRow]) -> Result<(), PostgresError> {
        // The newest word on each entity.
        let entities: std::collections::BTreeMap<&str, &PostgresRow> =
            rows.iter().map(|row| (row.entity.as_str(), row)).collect();
        let each = || entities.values();
        let texts_of = |of: fn(&PostgresRow) -> &str| each().map(|row| text(of(row))).collect::<Vec<_>>();
        let some_of =
            |of: fn(&PostgresRow) -> Option<&str>| each().map(|row| of(row).map(text)).collect::<Vec<_>>();
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO entity (entity, device, key, name, unit, class, ledger, connection, unit_id) \
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::text[], $9::integer[]) \
             ON CONFLICT (entity) DO UPDATE SET name = excluded.name, unit = excluded.unit, class = excluded.class, \
             ledger = excluded.ledger, connection = excluded.connection, unit_id = excluded.unit_id \
             WHERE (entity.name, entity.unit, entity.class, entity.ledger, entity.connection, entity.unit_id) \
             IS DISTINCT FROM (excluded.name, excluded.unit, excluded.class, excluded.ledger, excluded.connection, \
             excluded.unit_id)",
        )
        .bind(texts_of(|row| &row.entity))
        .bind(texts_of(|row| &row.device))
        .bind(texts_of(|row| &row.key))
        .bind(texts_of(|row| &row.name))
        .bind(some_of(|row| row.unit.as_deref()))
        .bind(some_of(|row| row.class.as_deref()))
        .bind(texts_of(|row| &row.ledger))
        .bind(texts_of(|row| &row.connection))
        .bind(each().map(|row| i32::from(row.unit_id)).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        let names: Vec<String> = rows.iter().map(|row| text(&row.entity)).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.time_ms).collect();
        let values: Vec<Option<f64>> = rows.iter().map(|row| row.value).collect();
        let texts: Vec<Option<String>> = rows.iter().map(|row| row.text.as_deref().map(text)).collect();
        let qualities: Vec<&str> = rows.iter().map(|row| row.quality.as_str()).collect();
        sqlx::query(
            "INSERT INTO reading (time, entity_id, value, text, quality) \
             SELECT TIMESTAMPTZ 'epoch' + row.at * INTERVAL '1 millisecond', e.id, row.value, row.text, row.quality \
             FROM UNNEST($1::text[], $2::bigint[], $3::float8[], $4::text[], $5::text[]) \
             AS row (entity, at, value, text, quality) JOIN entity e ON e.entity = row.entity \
             ON CONFLICT DO NOTHING",
        )
        .bind(names)
        .bind(times)
        .bind(values)
        .bind(texts)
        .bind(qualities)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// How many readings of an entity there are, and the newest number: for whoever checks.
    ///
    /// # Errors
    /// The server's.
    pub async fn newest(&self, entity: &str) -> Result<(i64, Option<f64>), PostgresError> {
        let found = sqlx::query_as(
            "SELECT count(*), (SELECT value FROM readings WHERE entity = $1 ORDER BY time DESC LIMIT 1) \
             FROM readings WHERE entity = $1",
        );
        in_time(async { Ok(found.bind(entity).fetch_one(&self.pool).await?) }).await
    }

    /// Lets go of the connection.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.pool.close()).await;
    }
}

async fn prepare(pool: &PgPool) -> Result<(), PostgresError> {
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'busbar')");
    // Who may only use the schema need not be able to make one.
    if !exists.fetch_one(pool).await? {
        pool.execute("CREATE SCHEMA IF NOT EXISTS busbar").await?;
    }
    let one = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    let migrator = Migrator::with_migrations(MIGRATIONS.iter().map(one).collect());
    Ok(migrator.run(pool).await?)
}

/// Readings lie in a hypertable where TimescaleDB is there; without, or where that fails, in a plain table.
async fn hypertable(pool: &PgPool) -> bool {
    let there =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'timescaledb')");
    if !there.fetch_one(pool).await.unwrap_or(false) {
        return false;
    }
    let made = pool
        .execute(
            "SELECT create_hypertable('busbar.reading', 'time', if_not_exists => TRUE, migrate_data => TRUE)",
        )
        .await;
    if let Err(error) = &made {
        tracing::warn!("readings stay in a plain table: TimescaleDB made no hypertable of it: {error}");
    }
    made.is_ok()
}

/// PostgreSQL takes every character but one.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

async fn in_time<T>(work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, PostgresError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(PostgresError::Away(format!(
            "no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server_and_a_database() {
        PostgresUrl::parse("postgres://busbar@db:5432/busbar?sslmode=require").unwrap();
        for bad in [
            "",
            "db",
            "http://db/x",
            "postgres://u:hunter2@db:99999/x",
            "postgres://u:hunter2@db",
        ] {
            let error = PostgresUrl::parse(bad).unwrap_err();
            assert!(
                error.contains("postgres://busbar@127.0.0.1") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
