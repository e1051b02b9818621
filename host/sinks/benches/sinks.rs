//! What sinks cost for 50,000 entities: `cargo bench -p busbar-sinks`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use busbar_ledger::presence::Status;
use busbar_ledger::ranges::Ranges;
use busbar_ledger::value::{Quality, Reading, Value};
use busbar_sinks::bus::{Bus, Device, DeviceMeta, Stamp};
use busbar_sinks::feed::Feed;
use busbar_sinks::file::encode::Format;
use busbar_sinks::influxdb::encode::{Precision, Template, line};
use busbar_sinks::postgres::encode::pack;
use busbar_sinks::prometheus::encode::Scrape;
use busbar_sinks::prometheus::text;
use busbar_sinks::samples::{Gatherer, Rhythm, Sample};
use busbar_sinks::select::Select;
use busbar_sinks::spool::Spool;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DEVICES: usize = 500;
const POINTS: usize = 100;

fn main() -> Result<()> {
    let bus = Arc::new(Bus::default());
    let mut feed = Feed::new(&bus);
    bus.put("c", devices()?);
    let mut gatherer = Gatherer::new(Select::default(), Rhythm::default());
    let mut samples = Vec::new();
    // A runtime's clock is what the pace is measured with.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let changes = feed.now();
        show("samples of everything", DEVICES * POINTS, || {
            samples = gatherer.gather(&bus, &changes, tokio::time::Instant::now());
            0
        });
    });
    encode(&samples);
    scrape(&bus);
    spool(&samples)
}

fn encode(samples: &[Sample]) {
    let count = samples.len();
    let template = Template::of("{class}").unwrap_or_else(|_| unreachable!());
    let tags = BTreeMap::from([("site".to_owned(), "home".to_owned())]);
    show("InfluxDB's line protocol", count, || {
        let mut out = String::new();
        for sample in samples {
            line(&mut out, sample, &template, &tags, Precision::Ms);
        }
        out.len()
    });
    for (name, format) in [("CSV", Format::Csv), ("JSON lines", Format::Jsonl)] {
        show(name, count, || {
            let mut out = String::new();
            samples.iter().for_each(|sample| format.line(&mut out, sample));
            out.len()
        });
    }
    show("PostgreSQL's rows, as they are kept", count, || {
        pack(samples).len()
    });
}

fn scrape(bus: &Bus) {
    let devices = bus.devices();
    let (select, tags) = (Select::default(), BTreeMap::new());
    for (name, format) in [
        ("Prometheus' text", text::Format::Text),
        ("OpenMetrics", text::Format::OpenMetrics),
    ] {
        let mut longest = Duration::ZERO;
        show(name, DEVICES * POINTS, || {
            let mut last = Instant::now();
            let mut bytes = 0;
            for part in Scrape::new(format, &devices, &select, &tags, |_| {}) {
                longest = longest.max(last.elapsed());
                bytes += part.len();
                last = Instant::now();
            }
            bytes
        });
        println!("    the longest part: {longest:.2?}");
    }
}

fn spool(samples: &[Sample]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut spool = Spool::open(dir.path(), 256 << 20)?;
    let batches: Vec<_> = samples.chunks(2000).map(pack).collect();
    let began = Instant::now();
    for batch in &batches {
        spool.put(batch, 2000)?;
    }
    let put = began.elapsed();
    let began = Instant::now();
    while let Some(batch) = spool.oldest()? {
        spool.took(&batch)?;
    }
    println!(
        "spool, {} batches of 2000: put {put:.2?}, taken {:.2?}",
        batches.len(),
        began.elapsed()
    );
    Ok(())
}

fn show(name: &str, count: usize, mut work: impl FnMut() -> usize) {
    let began = Instant::now();
    let bytes = work();
    let took = began.elapsed();
    let each = took.as_nanos() / count.max(1) as u128;
    println!("{name}: {count} in {took:.2?}, {each} ns each, {bytes} bytes");
}

fn devices() -> Result<Vec<Arc<Device>>> {
    let mut text = String::from("ledger = \"test/large\"\ntitle = \"Large\"\n[points]\n");
    for i in 0..POINTS {
        let (unit, class) = [
            ("W", "power"),
            ("V", "voltage"),
            ("A", "current"),
            ("°C", "temperature"),
        ][i % 4];
        writeln!(
            text,
            "p{i} = {{ at = {}, type = \"i32\", scale = \"1/10\", unit = \"{unit}\", class = \"{class}\" }}",
            2 * i
        )?;
    }
    let ledger = Arc::new(busbar_ledger::parse("large", &text).map_err(|e| e.to_string())?);
    let device = |i: usize| {
        let meta = DeviceMeta {
            id: format!("device_{i}"),
            connection: "c".to_owned(),
            connection_id: "c1".to_owned(),
            unit: 1,
            name: format!("Device {i}"),
            model: None,
            serial: None,
            firmware: None,
            ledger: Arc::clone(&ledger),
            missing: false,
            unreadable: None,
        };
        let device = Device::new(meta, Ranges::default(), |_| Some(Status::Present));
        for (j, slot) in device.state().slots.iter_mut().enumerate() {
            let reading = Reading {
                value: Some(Value::Number((i * POINTS + j) as f64 / 10.0)),
                quality: Quality::Good,
                ..Reading::unavailable()
            };
            slot.take(reading, Stamp::now(), Duration::ZERO);
        }
        Arc::new(device)
    };
    Ok((0..DEVICES).map(device).collect())
}
