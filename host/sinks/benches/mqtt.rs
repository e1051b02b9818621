//! What publishing costs: 1,000 entities that change each second, through a real mosquitto, beside a plain client of the
//! same library that publishes as many messages of the same size: `cargo bench -p busbar-sinks --bench mqtt`, with
//! `-- 5` for five seconds of each instead of 20.
//!
//! All of this process is one thread, so its time on the processor is that of the sink, the bus and the line together.
//! Compare the ratios; the times differ from machine to machine.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up ends the measurement, loudly"
)]

#[path = "../tests/common/broker.rs"]
mod broker;
#[path = "../tests/common/house.rs"]
mod house;

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::value::{Quality, Reading, Value};
use busbar_sinks::bus::{Device, Update};
use busbar_sinks::health::Health;
use busbar_sinks::mqtt::{self, MqttConfig, encode};
use rumqttc_v5::mqttbytes::QoS;
use rumqttc_v5::{AsyncClient, MqttOptions, PublishOptions};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use broker::Broker;
use house::{House, device};

/// Entities in all.
const ENTITIES: usize = 1000;
/// How the entities may lie: devices, and entities of each.
const LAYOUTS: [(usize, usize); 2] = [(20, 50), (1000, 1)];
/// Seconds of each measurement, unless told otherwise.
const SECONDS: usize = 20;
/// The first seconds of each, in which everything is said that is said once.
const WARM_UP: usize = 2;

fn main() {
    let seconds = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .next()
        .unwrap_or(SECONDS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        println!(
            "1,000 entities that change each second, for {seconds} s; CPU of one core, growth of memory"
        );
        for (devices, each) in LAYOUTS {
            assert_eq!(devices * each, ENTITIES);
            let ours = sink(devices, each, seconds).await;
            let plain = plain(devices, each, seconds).await;
            println!("{devices} devices with {each} entities each, {devices} messages a second:");
            println!("  the sink       {ours}");
            println!("  a plain client {plain}");
            println!("  ratio          {:.2}", ours.core / plain.core);
        }
    });
}

/// What a measurement gave.
struct Cost {
    /// Part of one core.
    core: f64,
    /// Kilobytes that were not there after the warm-up.
    growth: i64,
    messages: u64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:6.2} %  {:+6} kB  {} messages",
            self.core * 100.0,
            self.growth,
            self.messages
        )
    }
}

/// Calls `change` each second, and measures from the end of the warm-up.
async fn measure(seconds: usize, mut change: impl AsyncFnMut(usize)) -> (f64, i64) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut from = None;
    for second in 0..WARM_UP + seconds {
        ticks.tick().await;
        if second == WARM_UP {
            from = Some((cpu(), memory(), Instant::now()));
        }
        change(second).await;
    }
    ticks.tick().await;
    let (before, held, began) = from.unwrap();
    let core = (cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    (core, memory() - held)
}

async fn sink(devices: usize, each: usize, seconds: usize) -> Cost {
    let broker = Broker::start().await;
    let house = House::new();
    let devices = meters(devices, each);
    house.bus.put("c", devices.clone());
    let config: MqttConfig = toml::from_str(&format!("url = \"{}\"", broker.url())).unwrap();
    let health = Health::new("mqtt", "");
    let cancel = CancellationToken::new();
    let run = mqtt::run::run(config, house.site(), health.clone(), cancel.clone());
    let task = tokio::spawn(run);
    let (core, growth) = measure(seconds, async |second| {
        for device in &devices {
            set(device, second);
            house.bus.publish(Update {
                device: Arc::clone(device),
                points: (0..each).collect(),
                at_ms: 0,
            });
        }
    })
    .await;
    let report = health.report();
    assert_eq!(report.dropped, 0, "{report:?}");
    let expected = (devices.len() * (seconds + WARM_UP - 1)) as u64;
    assert!(report.sent >= expected, "{report:?}: fewer than {expected}");
    cancel.cancel();
    task.await.unwrap();
    Cost {
        core,
        growth,
        messages: report.sent,
    }
}

/// The same number of messages with the same bytes, each kept by the broker and acknowledged; nothing else.
async fn plain(devices: usize, each: usize, seconds: usize) -> Cost {
    let broker = Broker::start().await;
    let mut options = MqttOptions::new("plain", ("127.0.0.1", broker.port()));
    options.set_keep_alive(15);
    let (client, mut line) = AsyncClient::builder(options).capacity(128).build();
    let driver = tokio::spawn(async move { while line.poll().await.is_ok() {} });
    let devices = meters(devices, each);
    let mut messages = 0;
    let (core, growth) = measure(seconds, async |second| {
        for device in &devices {
            set(device, second);
            let topic = format!("busbar/{}/state", device.meta.id);
            let how = PublishOptions::new(QoS::AtLeastOnce).retained();
            client.publish(topic, encode::state(device), how).await.unwrap();
            messages += 1;
        }
    })
    .await;
    driver.abort();
    Cost {
        core,
        growth,
        messages,
    }
}

fn meters(count: usize, each: usize) -> Vec<Arc<Device>> {
    let points: String = (0..each)
        .map(|n| format!("power_{n} = {{ at = {n}, type = \"i16\", unit = \"W\", class = \"power\" }}\n"))
        .collect();
    let ledger = format!("ledger = \"test/bench\"\ntitle = \"Bench\"\n[points]\n{points}");
    (0..count)
        .map(|n| device(&format!("meter_{n}"), &ledger))
        .collect()
}

/// Every value of a device is another one than a second ago.
fn set(device: &Device, second: usize) {
    for (index, slot) in device.state().slots.iter_mut().enumerate() {
        slot.reading = Reading {
            value: Some(Value::Number((second * 10 + index) as f64)),
            quality: Quality::Good,
            ..Reading::unavailable()
        };
    }
}

/// The time that this thread, which is all of this process, has been on a processor.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Kilobytes of memory that this process holds.
fn memory() -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
