//! What happens to devices and their data happens as it says, and is undone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up fails the test"
)]

use busbar_ledger::codec::{Decoded, decode};
use busbar_ledger::value::Value;
use busbar_zoo::simulate::{Content, Running};
use busbar_zoo::{Raw, connect, device, ledgers, site};

const METER: &str = "generic/demo-meter";
const VM: &str = "victron/vm-3p75ct";

const SITE: &str = r#"
[[device]]
name   = "line"
kind   = "ledger"
listen = "modbus+tcp://127.0.0.1:0"
hide   = ["@8"]

[[device.unit]]
unit   = 7
ledger = "generic/demo-meter"
values = { serial = "A1", energy_scale = -2, energy_forward = 1234.5, energy_reverse = 10, power = 500.0, power_factor = 0.9, wiring = 2 }

[[device.unit]]
unit   = 8
ledger = "generic/demo-meter"
values = { serial = "A1", power = 500.0 }

[[device]]
name   = "vm"
kind   = "ledger"
listen = "modbus+tcp://127.0.0.1:0"
zeros  = true

[[device.unit]]
unit     = 1
ledger   = "victron/vm-3p75ct"
firmware = "0.1.7.255"
values   = { serial = "HQ1", phase_config = 3, power_total = -614, power_factor = -0.5, current_neutral = 0.1 }
"#;

/// What a client reads for a point, in one request; `Err` is an exception.
async fn read(client: &mut Raw, unit: u8, ledger: &str, key: &str) -> Result<Decoded, u8> {
    let ledger = ledgers().iter().find(|known| known.name == ledger).unwrap();
    let register = ledger.point(key).unwrap().register().unwrap();
    let words = words(
        client,
        unit,
        register.span.function.code(),
        register.span.at,
        register.span.count,
    )
    .await?;
    Ok(decode(
        register,
        &words,
        register.scale_point.is_some().then_some(-2),
    ))
}

async fn words(client: &mut Raw, unit: u8, function: u8, at: u16, count: u16) -> Result<Vec<u16>, u8> {
    let [[a0, a1], [c0, c1]] = [at.to_be_bytes(), count.to_be_bytes()];
    let pdu = client.ask(unit, &[function, a0, a1, c0, c1]).await.unwrap();
    match pdu.as_slice() {
        [_, code] => Err(*code),
        [_, _, data @ ..] => Ok(data
            .chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect()),
        _ => panic!("{pdu:?}"),
    }
}

async fn number(client: &mut Raw, key: &str) -> f64 {
    match read(client, 7, METER, key).await {
        Ok(Decoded::Value(value)) => value.as_f64().unwrap(),
        other => panic!("{key}: {other:?}"),
    }
}

async fn start() -> (Running, Raw) {
    let running = site(SITE).await;
    let client = connect(&running, "line").await;
    (running, client)
}

#[tokio::test]
async fn counters_fall_to_0_and_come_back_or_begin_anew_or_wrap() {
    let (running, mut client) = start().await;
    let meter = device::target(&running, "line", 7, METER);
    device::reboot(meter);
    assert_eq!(number(&mut client, "energy_forward").await, 0.0);
    assert_eq!(number(&mut client, "energy_reverse").await, 0.0);
    assert_eq!(number(&mut client, "power").await, 500.0);
    device::recover(meter);
    assert_eq!(number(&mut client, "energy_forward").await, 1234.5);
    device::reset(meter, "energy_forward", 0.25);
    assert_eq!(number(&mut client, "energy_forward").await, 0.25);
    for (left, raw) in [(2, 0xFFFF_FFFE_u32), (0, 0), (-3, 3)] {
        device::wrap(meter, "energy_forward", left);
        assert_eq!(
            number(&mut client, "energy_forward").await,
            f64::from(raw) / 100.0
        );
    }
}

#[tokio::test]
async fn values_that_are_none() {
    let (running, mut client) = start().await;
    let meter = device::target(&running, "line", 7, METER);
    let pattern = async |client: &mut Raw| words(client, 7, 4, 0x0012, 2).await.unwrap();
    device::nan(meter, "power");
    assert!(matches!(
        read(&mut client, 7, METER, "power").await,
        Ok(Decoded::Invalid(_))
    ));
    assert_eq!(pattern(&mut client).await, [0x7FC0, 0]);
    device::infinity(meter, "power");
    assert!(matches!(
        read(&mut client, 7, METER, "power").await,
        Ok(Decoded::Invalid(_))
    ));
    assert_eq!(pattern(&mut client).await, [0x7F80, 0]);
    device::sentinel(meter, "power_factor");
    assert_eq!(words(&mut client, 7, 4, 0x0016, 1).await, Ok(vec![0x7FFF]));
    device::zeros(meter);
    assert_eq!(words(&mut client, 7, 4, 0x0012, 2).await, Ok(vec![0, 0]));
    assert_eq!(words(&mut client, 7, 3, 0x0200, 5).await, Ok(vec![0; 5]));
    assert_eq!(words(&mut client, 7, 3, 0x0101, 1).await, Ok(vec![0x4131]));
    device::recover(meter);
    assert_eq!(number(&mut client, "power").await, 500.0);
    assert_eq!(number(&mut client, "power_factor").await, 0.9);
}

#[tokio::test]
async fn devices_are_exchanged_added_removed_and_renumbered() {
    let (running, mut client) = start().await;
    let (old, new) = (
        device::target(&running, "line", 7, METER),
        device::target(&running, "line", 8, METER),
    );
    let serial = async |client: &mut Raw| read(client, 7, METER, "serial").await;
    assert_eq!(
        serial(&mut client).await,
        Ok(Decoded::Value(Value::Text("A1".to_owned())))
    );
    device::exchange(old, "B2");
    assert_eq!(
        serial(&mut client).await,
        Ok(Decoded::Value(Value::Text("B2".to_owned())))
    );
    // By itself and within a longer read.
    assert_eq!(words(&mut client, 7, 3, 0x0101, 2).await, Ok(vec![0x4232, 0]));
    assert_eq!(words(&mut client, 8, 3, 0x0101, 1).await, Err(11));
    device::renumber(old, new);
    assert_eq!(words(&mut client, 7, 3, 0x0101, 1).await, Err(11));
    assert_eq!(words(&mut client, 8, 3, 0x0101, 1).await, Ok(vec![0x4131]));
    device::vanish(new);
    device::vanish(new);
    assert_eq!(words(&mut client, 8, 3, 0x0101, 1).await, Err(11));
    device::appear(new);
    assert_eq!(words(&mut client, 8, 3, 0x0101, 1).await, Ok(vec![0x4131]));
}

#[tokio::test]
async fn a_firmware_changes_the_map() {
    let (running, _) = start().await;
    let mut client = connect(&running, "vm").await;
    let vm = device::target(&running, "vm", 1, VM);
    let factor = async |client: &mut Raw| words(client, 1, 4, 0x303A, 1).await;
    // What came later is a hole, which reads 0; its map is the same for either function.
    assert_eq!(factor(&mut client).await, Ok(vec![0]));
    for function in [3, 4] {
        let block = words(&mut client, 1, function, 0x3032, 90).await.unwrap();
        assert_eq!(
            (block[0x3039 - 0x3032], block[0x3081 - 0x3032]),
            (1, (-614_i16) as u16)
        );
    }
    // The currents of the other model are a hole in this one.
    running
        .set("vm", 1, VM, "current_l1", Content::Value(Value::Number(-3.06)))
        .unwrap();
    assert_eq!(
        words(&mut client, 1, 4, 0x3041, 1).await,
        Ok(vec![(-306_i16) as u16])
    );
    assert_eq!(words(&mut client, 1, 4, 0x3058, 2).await, Ok(vec![0, 0]));
    running
        .set("vm", 1, VM, "product_id", Content::Value(Value::Integer(0xA1B2)))
        .unwrap();
    assert_eq!(words(&mut client, 1, 4, 0x3041, 1).await, Ok(vec![0]));
    assert_eq!(
        words(&mut client, 1, 4, 0x3058, 2).await,
        Ok(vec![0xFFFF, (-306_i16) as u16])
    );
    // Far away is nothing.
    assert_eq!(words(&mut client, 1, 3, 0x5000, 1).await, Err(2));
    assert_eq!(
        words(&mut client, 1, 4, 0x1009, 2).await,
        Ok(vec![0x0001, 0x07FF])
    );
    device::upgrade(vm, "0.1.9.255");
    assert_eq!(factor(&mut client).await, Ok(vec![(-500_i16) as u16]));
    assert_eq!(
        words(&mut client, 1, 4, 0x1009, 2).await,
        Ok(vec![0x0001, 0x09FF])
    );
    device::upgrade(vm, "0.1.5.255");
    assert_eq!(words(&mut client, 1, 4, 0x3039, 2).await, Ok(vec![0, 0]));
    // Without `zeros` it refuses them, and without function 4 that.
    running.change("vm", |options| options.zeros = false);
    assert_eq!(factor(&mut client).await, Err(2));
    running.change("vm", |options| options.holding_only = true);
    assert_eq!(words(&mut client, 1, 4, 0x1000, 1).await, Err(1));
    assert!(words(&mut client, 1, 3, 0x1000, 1).await.is_ok());
    let wrong = running.set_firmware("vm", 1, "1.9").unwrap_err();
    assert!(wrong.contains("0.1.16.255"), "{wrong}");
}

#[tokio::test]
async fn a_value_is_torn_between_two_requests() {
    let (running, mut client) = start().await;
    let meter = device::target(&running, "line", 7, METER);
    device::tear(meter, "energy_forward");
    for _ in 0..4 {
        let whole = words(&mut client, 7, 3, 0x0201, 2).await.unwrap();
        assert!(whole == [0, 0xFFFF] || whole == [1, 0], "{whole:?}");
        let high = words(&mut client, 7, 3, 0x0201, 1).await.unwrap();
        let low = words(&mut client, 7, 3, 0x0202, 1).await.unwrap();
        let torn = [high[0], low[0]];
        assert!(torn == [0, 0] || torn == [1, 0xFFFF], "{torn:?}");
    }
    let wrong = running
        .set("line", 7, METER, "current", Content::Raw(1))
        .unwrap_err();
    assert!(wrong.contains("current"), "{wrong}");
}
