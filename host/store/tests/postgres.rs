//! Against a server of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

#[path = "postgres/server.rs"]
mod server;

use busbar_store::{Postgres, PostgresError, PostgresRow, PostgresUrl};

use server::Server;

fn row(entity: &str, time_ms: i64, value: Option<f64>) -> PostgresRow {
    PostgresRow {
        entity: entity.to_owned(),
        device: "one".to_owned(),
        key: "power".to_owned(),
        name: "Power".to_owned(),
        unit: Some("W".to_owned()),
        class: Some("power".to_owned()),
        ledger: "test/one".to_owned(),
        connection: "c".to_owned(),
        unit_id: 1,
        time_ms,
        value,
        text: None,
        quality: "good".to_owned(),
    }
}

#[tokio::test]
async fn readings_are_stored_once_whatever_they_hold_and_survive_the_server() {
    let mut server = Server::start();
    let url = PostgresUrl::parse(&server.url())
        .unwrap()
        .with(Some("hunter2"), None);
    let database = Postgres::connect(&url).await.unwrap();
    assert!(!database.hypertable);
    let rows: Vec<_> = (0..3000)
        .map(|i| row("one.power", 1_700_000_000_000 + i, Some(i as f64 + 0.1)))
        .collect();
    database.store(&rows).await.unwrap();
    database.store(&rows).await.unwrap();
    assert_eq!(database.newest("one.power").await.unwrap(), (3000, Some(2999.1)));

    let mut odd = row("one.\0'; DROP TABLE reading; --\\u0000", 1, None);
    odd.text = Some("a\0b\\u0000".to_owned());
    database
        .store(&[odd.clone(), row("one.power", 1, None)])
        .await
        .unwrap();
    assert_eq!(
        database
            .newest(&odd.entity.replace('\0', "\u{fffd}"))
            .await
            .unwrap(),
        (1, None)
    );

    // Within one batch, too.
    let twice = [row("two.power", 5, Some(1.0)), row("two.power", 5, Some(2.0))];
    database.store(&twice).await.unwrap();
    assert_eq!(database.newest("two.power").await.unwrap().0, 1);

    server.stop();
    let error = database.store(&rows[..1]).await.unwrap_err();
    assert!(matches!(error, PostgresError::Away(_)), "{error}");
    server.run();
    let database = Postgres::connect(&url).await.unwrap();
    assert_eq!(database.newest("one.power").await.unwrap().0, 3001);
    database.close().await;
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why() {
    let server = Server::start();
    let url = PostgresUrl::parse(&server.url()).unwrap();
    let error = Postgres::connect(&url.clone().with(Some("wrong"), None))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("check user and password"), "{error}");
    let none = PostgresUrl::parse(&server.url().replace("/postgres", "/none")).unwrap();
    let error = Postgres::connect(&none.with(Some("hunter2"), None))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("make the database"), "{error}");
}
