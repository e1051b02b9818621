//! RTU: on a line of pseudo terminals, and behind a gateway.

#![allow(clippy::unwrap_used, reason = "what cannot be set up fails the test")]

use std::time::{Duration, Instant};

use busbar_zoo::simulate::Running;
use busbar_zoo::{Fault, LinePeer, Pair, Peer, Record, peer, site};
use serial2_tokio::SerialPort;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for an answer that is not going to come.
const A_WHILE: Duration = Duration::from_millis(200);
/// Reads the register that says what the meter is, at unit 7.
const MODEL: [u8; 8] = [7, 3, 0x01, 0x00, 0, 1, 0x85, 0x90];
const IS_7: [u8; 7] = [7, 3, 2, 0xB5, 0xBA, 0xC7, 0x67];

const NOTHING: [u8; 0] = [];

/// Units 7 and 9, as two devices on one line.
fn two_on(listen: &str, options: &str) -> String {
    let device = |name: &str, unit: u8| {
        format!(
            "[[device]]\nname = \"{name}\"\nkind = \"ledger\"\nlisten = \"{listen}\"\n{options}\
             unit = [{{ unit = {unit}, ledger = \"generic/demo-meter\", values = {{ serial = \"{name}\" }} }}]\n"
        )
    };
    device("first", 7) + &device("second", 9)
}

/// What comes until it is silent.
async fn hear(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut heard = Vec::new();
    while let Ok(Ok(1..)) = timeout(A_WHILE, from.read_buf(&mut heard)).await {}
    heard
}

async fn ask(wire: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> Vec<u8> {
    wire.write_all(request).await.unwrap();
    hear(wire).await
}

async fn check_rtu(wire: &mut (impl AsyncRead + AsyncWrite + Unpin), running: &Running) {
    assert_eq!(ask(wire, &MODEL).await, IS_7);
    // Nobody at unit 8, nobody for a broadcast, a wrong check sum, half a request: silence.
    assert_eq!(ask(wire, &[8, 3, 1, 0, 0, 1, 0x85, 0x6F]).await, NOTHING);
    assert_eq!(ask(wire, &[0, 3, 1, 0, 0, 1, 0x84, 0x27]).await, NOTHING);
    assert_eq!(ask(wire, &[7, 3, 1, 0, 0, 1, 0x85, 0x91]).await, NOTHING);
    assert_eq!(ask(wire, &MODEL[..5]).await, NOTHING);
    // Noise before a request spoils it, and after a silence all is well.
    assert_eq!(ask(wire, &[&[0x55; 3], &MODEL[..]].concat()).await, NOTHING);
    assert_eq!(ask(wire, &[0xEE; 700]).await, NOTHING);
    assert_eq!(ask(wire, &MODEL).await, IS_7);
    // A function that only the silence ends.
    assert_eq!(ask(wire, &[7, 0x41, 0xC3, 0xB0]).await, [7, 0xC1, 1, 0x50, 0x51]);
    assert_eq!(running.stats("first").unwrap().requests, 3);
    // The other device on the line.
    assert_eq!(
        ask(wire, &[9, 3, 1, 0, 0, 1, 0x84, 0xBE]).await[..5],
        [9, 3, 2, 0xB5, 0xBA]
    );
    assert_eq!(running.stats("second").unwrap().requests, 1);
    // It dies, and the first does not care.
    running.change("second", |options| options.hide.push((None, 9)));
    assert_eq!(ask(wire, &[9, 3, 1, 0, 0, 1, 0x84, 0xBE]).await, NOTHING);
    assert_eq!(ask(wire, &MODEL).await, IS_7);
}

#[tokio::test]
async fn two_devices_behind_a_gateway() {
    let running = site(&two_on("modbus+rtu+tcp://127.0.0.1:4001", "")).await;
    assert_eq!(running.url("first"), running.url("second"));
    assert!(
        running
            .url("first")
            .unwrap()
            .starts_with("modbus+rtu+tcp://127.0.0.1:")
    );
    let mut wire = TcpStream::connect(running.address("second").unwrap())
        .await
        .unwrap();
    check_rtu(&mut wire, &running).await;
}

#[tokio::test]
async fn two_devices_on_a_serial_line() {
    let Some(pair) = Pair::new().await else { return };
    let url = pair.device_url("baud=115200&parity=even");
    let running = site(&two_on(&url, "")).await;
    assert_eq!(running.url("second").unwrap(), url);
    assert_eq!(running.address("second"), None);
    let mut wire = SerialPort::open(pair.client(), 115_200).unwrap();
    check_rtu(&mut wire, &running).await;
}

#[tokio::test]
async fn characters_take_the_time_that_the_baud_rate_gives_them() {
    let Some(pair) = Pair::new().await else { return };
    let on_line = site(&two_on(&pair.device_url("baud=19200"), "")).await;
    let behind_gateway = site(&two_on("modbus+rtu+tcp://127.0.0.1:4001", "baud = 19200\n")).await;
    let mut line = SerialPort::open(pair.client(), 19_200).unwrap();
    let mut gateway = TcpStream::connect(behind_gateway.address("first").unwrap())
        .await
        .unwrap();
    // 8 characters there, 3.5 of silence, 21 characters back: 10 bits each at 19,200 are 16.9 ms.
    let serial = [7, 3, 0x01, 0x02, 0, 8, 0xE4, 0x56];
    let least = Duration::from_micros(16_900);
    for _ in 0..3 {
        let began = Instant::now();
        line.write_all(&serial).await.unwrap();
        let mut answer = [0; 21];
        line.read_exact(&mut answer).await.unwrap();
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
        let began = Instant::now();
        gateway.write_all(&serial).await.unwrap();
        gateway.read_exact(&mut answer).await.unwrap();
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }
    drop(on_line);
}

#[tokio::test]
async fn a_line_that_was_unplugged_comes_back() {
    let Some(mut pair) = Pair::new().await else { return };
    let running = site(&two_on(&pair.device_url("baud=115200"), "")).await;
    let mut wire = SerialPort::open(pair.client(), 115_200).unwrap();
    assert_eq!(ask(&mut wire, &MODEL).await, IS_7);
    pair.unplug().await;
    assert!(!pair.client().exists() && !pair.device().exists());
    let mut nothing = [0; 8];
    assert!(!matches!(wire.read(&mut nothing).await, Ok(1..)));
    pair.replug().await.unwrap();
    let mut wire = SerialPort::open(pair.client(), 115_200).unwrap();
    // The device looks for its port now and then.
    let back = async { while ask(&mut wire, &MODEL).await != IS_7 {} };
    timeout(Duration::from_secs(10), back).await.unwrap();
    running.stop().await;
}

/// A device with a peer before it, on a wire that a client holds the other end of.
async fn check_faults<W: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut W,
    record: &Record,
    turn: impl AsyncFn(Fault),
) {
    let answers = |record: &Record| {
        record
            .exchanges()
            .iter()
            .map(|e| e.answer.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(ask(wire, &MODEL).await, IS_7);
    for fault in [
        Fault::Drip(Duration::from_millis(1)),
        Fault::Late(Duration::from_millis(30)),
    ] {
        turn(fault.clone()).await;
        assert_eq!(ask(wire, &MODEL).await, IS_7, "{fault:?}");
    }
    turn(Fault::Noise(3)).await;
    assert_eq!(ask(wire, &MODEL).await, [&[0xAA; 3][..], &IS_7].concat());
    turn(Fault::Echo).await;
    assert_eq!(ask(wire, &MODEL).await, [&MODEL[..], &IS_7].concat());
    turn(Fault::Twice).await;
    assert_eq!(ask(wire, &MODEL).await, IS_7.repeat(2));
    turn(Fault::Exception(6)).await;
    assert_eq!(ask(wire, &MODEL).await[..3], [7, 0x83, 6]);
    assert_eq!(answers(record), [true; 7]);
    for fault in [
        Fault::WrongUnit,
        Fault::WrongFunction,
        Fault::ShortAnswer,
        Fault::WrongCheckSum,
    ] {
        turn(fault.clone()).await;
        let came = ask(wire, &MODEL).await;
        assert!(!came.is_empty() && came != IS_7, "{fault:?}: {came:?}");
    }
    turn(Fault::HalfFrame).await;
    assert_eq!(ask(wire, &MODEL).await, IS_7[..4]);
    turn(Fault::Garbled).await;
    assert_eq!(ask(wire, &MODEL).await.len(), 7);
    turn(Fault::BlackHole).await;
    assert_eq!(ask(wire, &MODEL).await, NOTHING);
    assert_eq!(answers(record)[7..], [false; 7]);
    turn(Fault::None).await;
    // A request that is no request is nobody's.
    assert_eq!(ask(wire, &[7, 3, 1, 0, 0, 1, 0, 0]).await, NOTHING);
    assert_eq!(ask(wire, &MODEL).await, IS_7);
    assert_eq!(record.requests(), 15);
}

#[tokio::test]
async fn faults_behind_a_gateway() {
    let running = site(&two_on("modbus+rtu+tcp://127.0.0.1:4001", "")).await;
    let peer: Peer = peer(&running, "first").await;
    assert!(peer.url().starts_with("modbus+rtu+tcp://127.0.0.1:"));
    let mut wire = TcpStream::connect(peer.address()).await.unwrap();
    check_faults(&mut wire, peer.record(), async |fault| peer.turn(fault).await).await;
}

#[tokio::test]
async fn faults_on_a_serial_line() {
    let Some(mut pair) = Pair::new().await else { return };
    let running = site(&two_on("modbus+rtu+tcp://127.0.0.1:4001", "")).await;
    let peer = LinePeer::on(&pair, running.address("first").unwrap()).unwrap();
    let mut wire = SerialPort::open(pair.client(), 9600).unwrap();
    check_faults(&mut wire, peer.record(), async |fault| peer.turn(fault).await).await;
    // The converter is pulled out and put back.
    pair.unplug().await;
    pair.replug().await.unwrap();
    let mut wire = SerialPort::open(pair.client(), 9600).unwrap();
    let back = async { while ask(&mut wire, &MODEL).await != IS_7 {} };
    timeout(Duration::from_secs(10), back).await.unwrap();
    assert_eq!(peer.record().connections(), 2);
}
