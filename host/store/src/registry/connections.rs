//! Connections and what their endpoints cope with.

use sqlx::SqliteConnection;

use crate::Registry;
use crate::error::StoreError;
use crate::model::{Connection, NewConnection};

const BY_NAME_OR_ID: &str = "SELECT * FROM connection WHERE name = ?1 OR id = ?1 ORDER BY name <> ?1 LIMIT 1";
const UPDATE: &str = "UPDATE connection SET name = ?2, url = ?3, plugin = ?4, options = ?5 WHERE id = ?1";

impl Registry {
    /// All connections, by name.
    pub async fn connections(&self) -> Result<Vec<Connection>, StoreError> {
        sqlx::query_as("SELECT * FROM connection ORDER BY name")
            .fetch_all(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// The connection of this name, or of this id.
    pub async fn connection(&self, name_or_id: &str) -> Result<Option<Connection>, StoreError> {
        sqlx::query_as(BY_NAME_OR_ID)
            .bind(name_or_id)
            .fetch_optional(self.db.read())
            .await
            .map_err(|e| self.db.error(e))
    }

    /// Sets a connection up, with a new id.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]; [`StoreError::Invalid`] for a name that could not be named in the config.
    pub async fn add_connection(&self, new: NewConnection, now_ms: i64) -> Result<Connection, StoreError> {
        let connection = Connection {
            id: random_id(),
            name: new.name,
            url: new.url,
            plugin: new.plugin,
            options: new.options,
            created_ms: now_ms,
        };
        self.put_connection(
            "INSERT INTO connection (id, name, url, plugin, options, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &connection,
        )
        .await?;
        Ok(connection)
    }

    /// Changes name, URL, plugin and options of the connection with this id.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]; otherwise as [`Registry::add_connection`].
    pub async fn update_connection(&self, connection: &Connection) -> Result<(), StoreError> {
        match self.put_connection(UPDATE, connection).await? {
            0 => Err(unknown(&connection.id)),
            _ => Ok(()),
        }
    }

    /// Changes the connection of this name or id as it is at that moment: what others change meanwhile is neither lost nor
    /// brought back. Gives it as it is then.
    ///
    /// # Errors
    /// As [`Registry::update_connection`], and whatever `edit` says; then nothing is changed.
    pub async fn edit_connection<E: From<StoreError>>(
        &self,
        name_or_id: &str,
        edit: impl FnOnce(&mut Connection) -> Result<(), E>,
    ) -> Result<Connection, E> {
        let mut tx = self.db.begin().await?;
        let known: Option<Connection> = sqlx::query_as(BY_NAME_OR_ID)
            .bind(name_or_id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(|e| self.db.error(e))?;
        let mut connection = known.ok_or_else(|| unknown(name_or_id))?;
        edit(&mut connection)?;
        if self.put_in(&mut tx, UPDATE, &connection).await? == 0 {
            return Err(unknown(&connection.id).into());
        }
        self.db.commit(tx).await?;
        Ok(connection)
    }

    async fn put_connection(&self, sql: &'static str, connection: &Connection) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let rows = self.put_in(&mut tx, sql, connection).await?;
        self.db.commit(tx).await?;
        Ok(rows)
    }

    async fn put_in(
        &self,
        db: &mut SqliteConnection,
        sql: &'static str,
        connection: &Connection,
    ) -> Result<u64, StoreError> {
        check_name(&connection.name)?;
        let taken = || StoreError::NameTaken {
            name: connection.name.clone(),
        };
        // Connections are looked for by name or id: a name that is another's id would lead to the wrong one.
        let is_id: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM connection WHERE id = ?1 AND id <> ?2)")
                .bind(&connection.name)
                .bind(&connection.id)
                .fetch_one(&mut *db)
                .await
                .map_err(|e| self.db.error(e))?;
        if is_id {
            return Err(taken());
        }
        let done = sqlx::query(sql)
            .bind(&connection.id)
            .bind(&connection.name)
            .bind(&connection.url)
            .bind(&connection.plugin)
            .bind(self.db.json(&connection.options)?)
            .bind(connection.created_ms)
            .execute(db)
            .await
            .map_err(|e| match &e {
                sqlx::Error::Database(d) if d.is_unique_violation() => taken(),
                _ => self.db.error(e),
            })?;
        Ok(done.rows_affected())
    }

    /// What was learned about a connection's endpoint, as the host wrote it.
    pub async fn profile(&self, connection_id: &str) -> Result<Option<serde_json::Value>, StoreError> {
        let text: Option<String> = sqlx::query_scalar("SELECT body FROM profile WHERE connection_id = ?1")
            .bind(connection_id)
            .fetch_optional(self.db.read())
            .await
            .map_err(|e| self.db.error(e))?;
        let parse =
            |t: String| serde_json::from_str(&t).map_err(|e| self.db.error(sqlx::Error::Decode(e.into())));
        text.map(parse).transpose()
    }

    /// Stores what was learned about a connection's endpoint, in the place of what was there.
    pub async fn put_profile(&self, connection_id: &str, body: &serde_json::Value) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO profile (connection_id, body) VALUES (?1, ?2) \
             ON CONFLICT (connection_id) DO UPDATE SET body = excluded.body",
        )
        .bind(connection_id)
        .bind(self.db.json(body)?)
        .execute(&mut *tx)
        .await
        .map_err(|e| self.unknown_connection(connection_id, e))?;
        self.db.commit(tx).await
    }

    pub(super) fn unknown_connection(&self, id: &str, error: sqlx::Error) -> StoreError {
        match &error {
            sqlx::Error::Database(d) if d.is_foreign_key_violation() => StoreError::Unknown {
                what: "connection",
                id: id.to_owned(),
            },
            _ => self.db.error(error),
        }
    }
}

fn unknown(id: &str) -> StoreError {
    StoreError::Unknown {
        what: "connection",
        id: id.to_owned(),
    }
}

/// `c` and seven of 32 letters and digits: no vowel trouble, no case, and 35 bits against meeting again.
pub(super) fn random_id() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits: u64 = rand::random();
    let letters = (0..7).map(|i| char::from(ALPHABET[(bits >> (5 * i)) as usize & 31]));
    std::iter::once('c').chain(letters).collect()
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let length = name.chars().count();
    if (1..=64).contains(&length) && !name.chars().any(|c| c == '/' || c.is_control()) && name.trim() == name
    {
        return Ok(());
    }
    Err(StoreError::Invalid {
        what: "connection name",
        value: name.to_owned(),
        expected: "1 to 64 characters, without `/`, control characters or spaces around them",
    })
}
