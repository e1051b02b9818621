//! The store on real files: used, damaged, killed, refused, filled up.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test")]

mod accounts;
mod approvals;
mod audit;
mod backup;
mod child;
mod damage;
mod disk;
mod history;
mod journey;
mod kill;
mod killed;
mod owner;
mod refused;
mod restore;
mod scans;
mod tampered;

use std::path::Path;

use busbar_store::{NewConnection, Registry};

/// A connection with this name, as they all are.
fn connection(name: &str) -> NewConnection {
    NewConnection {
        name: name.into(),
        url: "modbus+tcp://gx.local:502".into(),
        plugin: None,
        options: "".into(),
    }
}

async fn open(dir: &Path) -> Registry {
    Registry::open(dir).await.expect("it opens").0
}

async fn names(registry: &Registry) -> Vec<String> {
    registry
        .connections()
        .await
        .expect("it answers")
        .into_iter()
        .map(|c| c.name)
        .collect()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = dir
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
