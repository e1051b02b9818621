//! The rules of a GX's Modbus TCP server, one by one, over a real socket.

use busbar_ledger::value::Value;
use busbar_zoo::simulate::{Content, Running};
use busbar_zoo::{Raw, connect, gx};

/// A small house whose services show every rule of addressing.
const HOUSE: &str = r#"
[[device.service]]
service = "system"
[device.service.values]
serial = "c0619ab2d1e4"
firmware_version = 222719
ac_grid_l1_power = -35000.5
dc_battery_power = -35000.0

[[device.service]]
service = "settings"
invalid = ["settings_cgwacs_max_feed_in_power"]
[device.service.values]
settings_cgwacs_ac_power_set_point = 30.0
settings_cgwacs_battery_life_minimum_soc_limit = 10.0
settings_cgwacs_hub4_mode = 1

[[device.service]]
service = "hub4"
[device.service.values]
overrides_setpoint = 70000.0

# through the map: unit 225 is instance 512
[[device.service]]
service = "battery"
instance = 512
invalid = ["dc_0_temperature"]
[device.service.values]
dc_0_voltage = 51.2
soc = 66.6
custom_name = "CAN"

# an instance goes before the map: unit 226 is instance 226, and then 279
[[device.service]]
service = "solarcharger"
instance = 279
[device.service.values]
pv_v = 100.0
yield_power = 1000.0
[[device.service]]
service = "solarcharger"
instance = 226
[device.service.values]
pv_v = 50.0
yield_power = 1000.0

# no unit leads here
[[device.service]]
service = "vebus"
instance = 300
[device.service.values]
ac_number_of_phases = 3

# two services of different kinds at one unit
[[device.service]]
service = "tank"
instance = 20
[device.service.values]
product_id = 41313
level = 41.0
custom_name = ""
[[device.service]]
service = "pvinverter"
instance = 20
[device.service.values]
position = 65535
ac_l1_voltage = 231
"#;

async fn house() -> (Running, Raw) {
    let running = gx(HOUSE).await;
    let client = connect(&running, "gx").await;
    (running, client)
}

#[tokio::test]
async fn units_are_instances_first_and_then_the_map() {
    let (_running, mut client) = house().await;
    let mut read = async |unit, at| client.read(unit, at, 1).await.unwrap();
    assert_eq!(read(225, 259).await, Ok(vec![5120]));
    assert_eq!(read(226, 776).await, Ok(vec![5000]));
    assert_eq!(read(100, 800).await, Ok(vec![0x6330]));
    assert_eq!(read(0, 800).await, Ok(vec![0x6330]));
    assert_eq!(read(100, 2902).await, Ok(vec![1]));
    assert_eq!(read(20, 3004).await, Ok(vec![410]));
    assert_eq!(read(20, 1027).await, Ok(vec![2310]));
    for unit in 0..=255 {
        assert_eq!(read(unit, 28).await, Err(10), "unit {unit}");
    }
}

#[tokio::test]
async fn exceptions_tell_what_is_missing() {
    let (running, mut client) = house().await;
    let mut read = async |unit, at, count| client.read(unit, at, count).await.unwrap();
    // No service of that kind there, or nothing at all.
    assert_eq!(read(225, 800, 1).await, Err(10));
    assert_eq!(read(99, 259, 1).await, Err(10));
    // No such register in any service.
    assert_eq!(read(100, 2, 1).await, Err(2));
    assert_eq!(read(99, 60_000, 1).await, Err(2));
    assert_eq!(read(100, 65_535, 2).await, Err(2));
    // Into a hole: 2900 to 2903 are all there is.
    assert_eq!(read(100, 2900, 4).await.map(|words| words.len()), Ok(4));
    assert_eq!(read(100, 2900, 5).await, Err(2));
    // From one service into the next, which the unit has, or lacks: hub4's 2709 lies between settings.
    assert_eq!(read(100, 2708, 3).await.map(|words| words.len()), Ok(3));
    // Quantities.
    assert_eq!(read(100, 800, 0).await, Err(3));
    assert_eq!(read(100, 800, 126).await, Err(3));
    assert_eq!(read(99, 60_000, 126).await, Err(3));
    let exceptions = running.stats("gx").unwrap().exceptions;
    assert_eq!(
        exceptions.into_iter().collect::<Vec<_>>(),
        [(2, 4), (3, 3), (10, 2)]
    );
    // The second service is missing now.
    let mut client = connect(&running, "gx").await;
    assert!(running.change("gx", |options| options.hide.push((Some("hub4".to_owned()), 100))));
    assert_eq!(client.read(100, 2708, 3).await.unwrap(), Err(2));
    assert_eq!(client.read(100, 2709, 1).await.unwrap(), Err(10));
}

#[tokio::test]
async fn functions_three_and_four_are_the_same_and_others_unknown() {
    let (_running, mut client) = house().await;
    assert_eq!(
        client.ask(20, &[3, 4, 3, 0, 1]).await.unwrap(),
        [3, 2, 0x09, 0x06]
    );
    assert_eq!(
        client.ask(20, &[4, 4, 3, 0, 1]).await.unwrap(),
        [4, 2, 0x09, 0x06]
    );
    for function in [1, 2, 5, 7, 15, 17, 22, 23, 43] {
        assert_eq!(
            client.ask(100, &[function, 0, 0, 0, 1]).await.unwrap(),
            [function | 0x80, 1]
        );
    }
}

#[tokio::test]
async fn what_has_no_value_reads_zero_and_reserved_runs_read_ones() {
    let (running, mut client) = house().await;
    // Invalid, absent, and a text that is absent.
    assert_eq!(client.read(225, 262, 1).await.unwrap(), Ok(vec![0]));
    assert_eq!(client.read(225, 261, 1).await.unwrap(), Ok(vec![0]));
    assert_eq!(client.read(225, 1328, 8).await.unwrap(), Ok(vec![0; 8]));
    assert_eq!(client.read(20, 3010, 8).await.unwrap(), Ok(vec![0; 8]));
    assert_eq!(client.read(225, 1336, 2).await.unwrap(), Ok(vec![0x4341, 0x4E00]));
    assert_eq!(client.read(100, 827, 3).await.unwrap(), Ok(vec![0xFFFF; 3]));
    // A value may come and go.
    let set = |content| running.set("gx", 225, "victron/gx-battery", "dc_0_temperature", content);
    set(Content::Value(Value::Number(-3.25))).unwrap();
    assert_eq!(client.read(225, 262, 1).await.unwrap(), Ok(vec![(-33i16) as u16]));
    set(Content::Absent).unwrap();
    assert_eq!(client.read(225, 262, 1).await.unwrap(), Ok(vec![0]));
}

#[tokio::test]
async fn fractions_wrap_and_whole_numbers_stop_one_short() {
    let (_running, mut client) = house().await;
    let mut read = async |unit, at, count| client.read(unit, at, count).await.unwrap();
    assert_eq!(read(100, 842, 1).await, Ok(vec![30_536]));
    // The wide twin has it whole, the narrow one of the same path wraps.
    assert_eq!(read(100, 908, 2).await, Ok(vec![0xFFFF, 0x7747]));
    assert_eq!(read(100, 820, 1).await, Ok(vec![0x7747]));
    assert_eq!(read(20, 1026, 1).await, Ok(vec![65_534]));
}

#[tokio::test]
async fn some_registers_are_filled_by_the_server_itself() {
    let (_running, mut client) = house().await;
    assert_eq!(client.read(100, 834, 2).await.unwrap(), Ok(vec![0x0365, 0x00FF]));
    assert_eq!(client.read(226, 777, 1).await.unwrap(), Ok(vec![200]));
    let clock = client.read(100, 830, 4).await.unwrap().unwrap();
    let clock = clock
        .iter()
        .fold(0u64, |seconds, &word| seconds << 16 | u64::from(word));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(now.abs_diff(clock) <= 10, "{clock} at {now}");
}

#[tokio::test]
async fn old_firmware_lacks_single_registers() {
    let (running, mut client) = house().await;
    assert_eq!(
        client.read(100, 825, 15).await.unwrap().map(|words| words.len()),
        Ok(15)
    );
    running.change("gx", |options| options.drop.push(830..=834));
    assert_eq!(client.read(100, 825, 15).await.unwrap(), Err(2));
    assert_eq!(client.read(100, 834, 1).await.unwrap(), Err(2));
    assert_eq!(client.read(100, 826, 1).await.unwrap(), Ok(vec![0]));
}

#[tokio::test]
async fn writes_are_taken_item_by_item_and_recorded() {
    let (running, mut client) = house().await;
    // Both functions.
    assert_eq!(
        client.ask(100, &[6, 0x0B, 0x55, 0, 150]).await.unwrap(),
        [6, 0x0B, 0x55, 0, 150]
    );
    let two = [16, 0x0A, 0x9C, 0, 2, 4, 0xFF, 0xFF, 0xFF, 0x38];
    assert_eq!(client.ask(100, &two).await.unwrap(), two[..5]);
    assert_eq!(client.read(100, 2901, 1).await.unwrap(), Ok(vec![150]));
    assert_eq!(client.read(100, 2716, 2).await.unwrap(), Ok(vec![0xFFFF, 0xFF38]));
    // Half of a pair merges with the other half.
    client.ask(100, &[6, 0x0A, 0x9D, 0, 1]).await.unwrap();
    assert_eq!(client.read(100, 2716, 2).await.unwrap(), Ok(vec![0xFFFF, 1]));
    // Registers that share a path share the value: 2703 counts in steps of 100 W.
    client.ask(100, &[6, 0x0A, 0x8F, 0, 7]).await.unwrap();
    assert_eq!(client.read(100, 2700, 1).await.unwrap(), Ok(vec![700]));
    // Read-only, reserved, and a path that the service lacks.
    assert_eq!(client.ask(100, &[6, 0x03, 0x4A, 0, 1]).await.unwrap(), [0x86, 2]);
    assert_eq!(client.ask(100, &[6, 0x03, 0x3B, 0, 1]).await.unwrap(), [0x86, 2]);
    assert_eq!(client.ask(100, &[6, 0x0A, 0x8D, 0, 1]).await.unwrap(), [0x86, 10]);
    // 2900 is missing on this system, 2901 is not: nothing before the missing one, so nothing is written.
    let pair = [16, 0x0B, 0x54, 0, 2, 4, 0, 1, 0, 99];
    assert_eq!(client.ask(100, &pair).await.unwrap(), [0x90, 10]);
    assert_eq!(client.read(100, 2901, 1).await.unwrap(), Ok(vec![150]));
    // A wrong byte count.
    assert_eq!(
        client.ask(100, &[16, 0x0A, 0x9C, 0, 2, 2, 0, 1]).await.unwrap(),
        [0x90, 3]
    );
    // Switched off.
    running.change("gx", |options| options.writes = false);
    assert_eq!(client.ask(100, &[6, 0x0B, 0x55, 0, 99]).await.unwrap(), [0x86, 2]);
    assert_eq!(client.read(100, 2901, 1).await.unwrap(), Ok(vec![150]));

    let writes = running.stats("gx").unwrap().writes;
    let seen: Vec<_> = writes.iter().map(|write| (write.at, write.exception)).collect();
    assert_eq!(
        seen,
        [
            (2901, None),
            (2716, None),
            (2717, None),
            (2703, None),
            (842, Some(2)),
            (827, Some(2)),
            (2701, Some(10)),
            (2900, Some(10)),
            (2716, Some(3)),
            (2901, Some(2))
        ]
    );
    assert_eq!(writes[1].words, [0xFFFF, 0xFF38]);
}
