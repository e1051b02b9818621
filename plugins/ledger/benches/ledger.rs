//! What the pure work behind a poll and a start costs: `cargo bench -p busbar-ledger`.
//!
//! A large GX site is every GX ledger once. There is no peer for this work: the figures are of one core and one run.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use busbar_ledger::image::Image;
use busbar_ledger::model::Ledger;
use busbar_ledger::parse;
use busbar_ledger::plan::{PlanRules, declared, plan, wants};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::span::Span;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long each piece of work is repeated.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// A device as a poll meets it.
struct Device {
    ledger: Ledger,
    readable: Ranges,
    wants: Vec<Span>,
    blocks: Vec<Span>,
    image: Image,
}

fn main() -> Result<()> {
    let texts = texts()?;
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let took = time(|| {
        for (name, text) in &texts {
            black_box(parse(name, text).is_ok());
        }
    });
    println!(
        "parse {} ledgers, {} kB: {:.1} ms",
        texts.len(),
        bytes / 1000,
        took.as_secs_f64() * 1e3
    );
    let mut site = Vec::new();
    for (name, text) in texts.iter().filter(|(name, _)| name.contains("gx-")) {
        site.push(device(parse(name, text).map_err(|faults| faults.to_string())?));
    }
    let points: usize = site.iter().map(|device| device.ledger.points.len()).sum();
    let blocks: usize = site.iter().map(|device| device.blocks.len()).sum();
    let took = time(|| {
        for device in &site {
            black_box(plan(
                &device.wants,
                &device.readable,
                &PlanRules::of(&device.ledger),
            ));
        }
    });
    println!(
        "plan {points} points of {} services into {blocks} reads: {:.3} ms",
        site.len(),
        took.as_secs_f64() * 1e3
    );
    let took = time(|| {
        for device in &site {
            let facts = Facts {
                readable: Some(&device.readable),
                ..Facts::default()
            };
            black_box(readings(&device.ledger, &device.image, &facts));
        }
    });
    println!(
        "readings of {points} points: {:.3} ms, {:.0} ns a point",
        took.as_secs_f64() * 1e3,
        took.as_nanos() as f64 / points as f64
    );
    Ok(())
}

fn device(ledger: Ledger) -> Device {
    let readable = declared(&ledger, &Facts::default());
    let facts = Facts {
        readable: Some(&readable),
        ..Facts::default()
    };
    let wants = wants(&ledger, 0..ledger.points.len(), &facts);
    let blocks = plan(&wants, &readable, &PlanRules::of(&ledger));
    let mut image = Image::default();
    for block in &blocks {
        image.insert(*block, (0..block.count).map(|n| 16 + n % 64).collect());
    }
    Device {
        ledger,
        readable,
        wants,
        blocks,
        image,
    }
}

/// The name and text of every ledger that ships.
fn texts() -> Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers");
    let mut texts = Vec::new();
    for maker in std::fs::read_dir(root)? {
        let maker = maker?.path();
        if !maker.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(maker)? {
            let path = file?.path();
            let name = path.display().to_string();
            let is_table = name.ends_with(".toml") && !name.ends_with(".sample.toml");
            let text = std::fs::read_to_string(path)?;
            // Tables of facts lie among them; they have no `ledger` key.
            if is_table && text.lines().any(|line| line.starts_with("ledger")) {
                texts.push((name, text));
            }
        }
    }
    Ok(texts)
}

/// The mean time of one go.
fn time(mut work: impl FnMut()) -> Duration {
    work();
    let (start, mut times) = (Instant::now(), 0);
    while start.elapsed() < LONG_ENOUGH {
        work();
        times += 1;
    }
    start.elapsed() / times
}
