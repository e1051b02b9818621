//! The sink against servers that answer in every way.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{Bus, Device};
use crate::health::Link;
use crate::sinks::{Config, Sinks};
use crate::testing::server::{Asked, Server};
use crate::testing::site;
use crate::view::testing::{device, read};

struct World {
    bus: Arc<Bus>,
    one: Arc<Device>,
    dir: tempfile::TempDir,
}

fn world() -> World {
    let (bus, one) = (Arc::new(Bus::default()), device("one"));
    bus.put("c", vec![Arc::clone(&one)]);
    let dir = tempfile::tempdir().unwrap();
    World { bus, one, dir }
}

impl World {
    fn start(&self, server: &Server, more: &str) -> Sinks {
        let text = format!("url = \"http://{}\"\n{more}", server.address);
        let config = Config {
            influxdb: Some(toml::from_str(&text).unwrap()),
            ..Config::default()
        };
        config.check().unwrap();
        Sinks::start(&config, &site(&self.bus, self.dir.path()))
    }

    fn says(&self, value: f64) {
        read(&self.bus, &self.one, 0, value);
    }
}

/// The values in lines, in their order.
fn values(asked: &Asked) -> Vec<i64> {
    let number = |line: &String| {
        let (_, rest) = line.split_once(" value=").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    asked.lines.iter().map(number).collect()
}

fn secret(dir: &Path) -> String {
    let path = dir.join("token");
    std::fs::write(&path, "s3cret\n").unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn each_version_is_asked_in_its_own_way() {
    for (more, path, authorization) in [
        ("database = \"d\"", "/write?db=d&precision=ms", "Token s3cret"),
        (
            "bucket = \"b\"\norg = \"o\"",
            "/api/v2/write?org=o&bucket=b&precision=ms",
            "Token s3cret",
        ),
        (
            "version = 3\ndatabase = \"d\"",
            "/api/v3/write_lp?db=d&precision=millisecond",
            "Bearer s3cret",
        ),
    ] {
        let (world, mut server) = (world(), Server::start(|_| Some((204, ""))).await);
        let token = secret(world.dir.path());
        let sinks = world.start(&server, &format!("{more}\ntoken_file = \"{token}\""));
        world.says(42.0);
        let asked = server.asked().await;
        assert_eq!(
            (asked.path.as_str(), asked.authorization.as_deref()),
            (path, Some(authorization))
        );
        assert!(
            asked.lines[0].starts_with("power,connection=c,device=one,key=power,"),
            "{asked:?}"
        );
        assert_eq!(values(&asked), [42]);
        let health = sinks.health();
        sinks.stop().await;
        let report = health[0].report();
        assert_eq!((report.sent, report.dropped, report.link), (1, 0, Link::Up));
    }
}

#[tokio::test]
async fn what_a_server_that_is_away_misses_is_told_later_in_order() {
    let (world, mut server) = (world(), Server::start(|_| Some((503, "later"))).await);
    let sinks = world.start(&server, "database = \"d\"");
    world.says(1000.0);
    assert_eq!(values(&server.asked().await), [1000]);
    world.says(2000.0);
    // Not before it was asked again: then both are on the disk.
    server.asked().await;
    server.now(|_| Some((204, "")));
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(values(&server.asked().await));
    }
    world.says(3000.0);
    told.extend(values(&server.asked().await));
    assert_eq!(told, [1000, 2000, 3000]);
    let health = sinks.health();
    sinks.stop().await;
    let report = health[0].report();
    assert_eq!((report.sent, report.dropped, report.waiting), (3, 0, 0));
}

#[tokio::test]
async fn what_was_not_told_before_the_end_is_told_after_the_next_start() {
    let (world, mut server) = (world(), Server::start(|_| Some((500, ""))).await);
    let sinks = world.start(&server, "database = \"d\"");
    world.says(1000.0);
    server.asked().await;
    world.says(2000.0);
    sinks.stop().await;
    server.now(|_| Some((204, "")));
    let sinks = world.start(&server, "database = \"d\"");
    let mut told = BTreeSet::new();
    while !(told.contains(&1000) && told.contains(&2000)) {
        told.extend(values(&server.asked().await));
    }
    sinks.stop().await;
}

#[tokio::test]
async fn a_line_that_is_not_taken_costs_only_itself() {
    let bad = |asked: &Asked| values(asked).contains(&7);
    let server = Server::start(move |asked| {
        Some(if bad(asked) {
            (400, "unable to parse")
        } else {
            (204, "")
        })
    });
    let (world, mut server) = (world(), server.await);
    let others: Vec<_> = (0..100).map(|i| device(&format!("d{i}"))).collect();
    world.bus.put("d", others.clone());
    let sinks = world.start(&server, "database = \"d\"");
    others
        .iter()
        .enumerate()
        .for_each(|(i, one)| read(&world.bus, one, 0, i as f64));
    let mut taken = BTreeSet::new();
    while taken.len() < 99 {
        let asked = server.asked().await;
        if !bad(&asked) {
            taken.extend(values(&asked));
        }
    }
    let health = sinks.health();
    sinks.stop().await;
    let report = health[0].report();
    assert_eq!((report.sent, report.dropped, report.waiting), (99, 1, 0));
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up_and_fills_no_memory() {
    let (world, mut server) = (world(), Server::start(|_| None).await);
    let sinks = world.start(&server, "database = \"d\"\nspool = \"1MiB\"");
    let health = sinks.health();
    world.says(0.0);
    server.asked().await;
    // A poll hands over what it read and goes on; it has no way to wait for a sink.
    let mut longest = Duration::ZERO;
    for round in 0..300u32 {
        let began = Instant::now();
        for i in 0..100 {
            world.says(f64::from(1000 * (round * 100 + i)));
        }
        longest = longest.max(began.elapsed());
        tokio::task::yield_now().await;
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let began = Instant::now();
    sinks.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let report = health[0].report();
    assert_eq!(report.sent, 0);
    let spool: u64 = std::fs::read_dir(world.dir.path().join("influxdb"))
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(spool > 0 && spool <= 1 << 20, "{spool}");
}
