//! What the audit costs when it is long: `cargo bench -p busbar-store`.
//!
//! Each row is a transaction of its own, on the disk that holds the temporary directory: most of an append is the disk.

use std::error::Error;
use std::time::{Duration, Instant};

use busbar_store::{AuditKind, NewAudit, Registry};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes of one stage: an intent and an outcome each.
const WRITES: i64 = 25_000;
const STAGES: i64 = 4;
const ENTITIES: i64 = 20;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (registry, _) = Registry::open(dir.path()).await?;
    for stage in 0..STAGES {
        let mut appends = Vec::new();
        for number in stage * WRITES..(stage + 1) * WRITES {
            let entity = Some(format!("tower.setpoint_{}", number % ENTITIES));
            let intent = NewAudit {
                entity: entity.clone(),
                words: vec![number as u16],
                wanted: Some(number.to_string()),
                ..NewAudit::new(AuditKind::Intent, number, "ann", "http")
            };
            let began = Instant::now();
            let intent = registry.audit(intent).await?;
            appends.push(began.elapsed());
            let outcome = NewAudit {
                entity,
                intent: Some(intent.seq),
                outcome: Some("applied".into()),
                ..NewAudit::new(AuditKind::Outcome, number, "ann", "http")
            };
            registry.audit(outcome).await?;
        }
        appends.sort();
        let began = Instant::now();
        let proof = registry.verify_audit().await?;
        let verify = began.elapsed();
        println!("{} rows", proof.rows);
        println!("  append          {}", spread(&appends));
        println!("  verify          {verify:.1?}");
        let began = Instant::now();
        registry.open_intents().await?;
        println!("  open intents    {:.1?}", began.elapsed());
        let began = Instant::now();
        let last_day = registry
            .intents_since(&["tower.setpoint_3".into()], stage * WRITES)
            .await?;
        println!("  intents since   {:.1?} for {}", began.elapsed(), last_day.len());
        let began = Instant::now();
        registry.audit_rows(Some("tower.setpoint_3"), None, 100).await?;
        println!("  newest 100      {:.1?}", began.elapsed());
        let copy = dir.path().join("copy.db");
        let began = Instant::now();
        registry.copy_to(&copy, 1, true).await?;
        println!(
            "  backup          {:.1?} for {} kB",
            began.elapsed(),
            copy.metadata()?.len() / 1000
        );
    }
    registry.close().await?;
    drop(registry);
    let began = Instant::now();
    Registry::open(dir.path()).await?;
    println!("start with all of them: {:.1?}", began.elapsed());
    Ok(())
}

fn spread(sorted: &[Duration]) -> String {
    let at = |part: usize| {
        sorted
            .get(sorted.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    format!(
        "median {:.1?}, 99 % below {:.1?}, 99.9 % below {:.1?}",
        at(500),
        at(990),
        at(999)
    )
}
