//! Why PostgreSQL did not do what was asked.

use sqlx::migrate::MigrateError;

/// Nothing that ended in an error was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// It is away, full, or does not let us in: worth trying again, as it is or once its owner has done something.
    #[error("{0}")]
    Away(String),
    /// What was to be stored can never be.
    #[error("{0}")]
    Refused(String),
}

impl From<sqlx::Error> for PostgresError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return PostgresError::Away(match error {
                sqlx::Error::PoolTimedOut => "no connection in time".to_owned(),
                other => other.to_string(),
            });
        };
        let code = database.code().unwrap_or_default().into_owned();
        let said = database.message();
        // The classes of PostgreSQL's Appendix A: data that does not fit, and constraints.
        match code.get(..2) {
            Some("22" | "23") => PostgresError::Refused(format!("{said} ({code})")),
            _ => PostgresError::Away(format!("{said}{} ({code})", hint(&code))),
        }
    }
}

impl From<MigrateError> for PostgresError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::VersionMissing(version) => PostgresError::Away(format!(
                "its schema busbar was made by a newer Busbar (migration {version}): use that one, or another database"
            )),
            other => PostgresError::Away(format!(
                "its schema busbar could not be brought up to date: {other}"
            )),
        }
    }
}

fn hint(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => ": check user and password",
        "3D000" => ": make the database; Busbar makes none",
        "42501" => ": grant the user CREATE on the database, or make the schema busbar and give it to him",
        "53100" => ": its disk is full",
        "57014" => ": the statement took too long",
        _ => "",
    }
}
