//! The wires that misbehave do so as they say, and the record tells the truth about it.

use std::time::Duration;

use busbar_ledger::span::Function;
use busbar_zoo::simulate::Running;
use busbar_zoo::{Fault, Part, Peer, Raw, closed_port, gx, unreachable};

const TANKS: &str = "[[device.service]]\nservice = \"tank\"\ninstance = 20\nvalues = { level = 41.0 }\n\
                     [[device.service]]\nservice = \"tank\"\ninstance = 21\nvalues = { level = 42.0 }\n";
const LEVEL: [u8; 5] = [3, 0x0B, 0xBC, 0, 1];
/// Long enough for an answer on loopback that is not going to come.
const A_WHILE: Duration = Duration::from_millis(150);

async fn peer() -> (Running, Peer) {
    let running = gx(TANKS).await;
    let peer = busbar_zoo::peer(&running, "gx").await;
    (running, peer)
}

#[tokio::test]
async fn a_faithful_peer_changes_nothing_and_notes_all() {
    let (_running, peer) = peer().await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    assert_eq!(client.read(20, 3004, 1).await.unwrap(), Ok(vec![410]));
    assert_eq!(client.read(22, 3004, 1).await.unwrap(), Err(10));
    let record = peer.record();
    assert_eq!((record.requests(), record.connections()), (2, 1));
    assert!(record.was_sent(20, Function::Holding, 3004, &[410]));
    assert!(!record.was_sent(20, Function::Holding, 3004, &[411]));
    assert!(!record.was_sent(21, Function::Holding, 3004, &[410]));
    assert_eq!(record.exchanges()[1].answer.as_deref(), Some(&[0x83, 10][..]));
}

#[tokio::test]
async fn answers_that_are_right_but_odd() {
    let (_running, peer) = peer().await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    for fault in [
        Fault::OneByteSegments,
        Fault::Drip(Duration::from_millis(2)),
        Fault::Late(Duration::from_millis(30)),
        Fault::Twice,
    ] {
        peer.turn(fault.clone()).await;
        assert_eq!(
            client.read(20, 3004, 1).await.unwrap(),
            Ok(vec![410]),
            "{fault:?}"
        );
    }
    let twin = client.frame().await.unwrap();
    assert_eq!(twin.2, [3, 2, 0x01, 0x9A]);
    peer.turn(Fault::ForeignFirst).await;
    let asked = client.request(20, &LEVEL).await.unwrap();
    let (foreign, own) = (client.frame().await.unwrap(), client.frame().await.unwrap());
    assert!(foreign.0 != asked && foreign.2 != own.2);
    assert_eq!((own.0, own.2.as_slice()), (asked, &[3, 2, 0x01, 0x9A][..]));
    peer.turn(Fault::Exception(6)).await;
    assert_eq!(client.read(20, 3004, 1).await.unwrap(), Err(6));
    peer.turn(Fault::TrailingBytes(3)).await;
    client.request(20, &LEVEL).await.unwrap();
    assert_eq!(client.frame().await.unwrap().2, [3, 2, 0x01, 0x9A]);
    assert_eq!(client.bytes_within(A_WHILE).await.unwrap(), [0xAA; 3]);
    assert!(
        peer.record()
            .exchanges()
            .iter()
            .all(|exchange| exchange.answer.is_some())
    );
}

#[tokio::test]
async fn answers_that_are_wrong_are_not_noted_as_answers() {
    let (_running, peer) = peer().await;
    for fault in [
        Fault::WrongTransaction,
        Fault::WrongUnit,
        Fault::WrongFunction,
        Fault::ExceptionForOtherFunction,
        Fault::LyingByteCount(1),
        Fault::ShortAnswer,
        Fault::LongAnswer,
        Fault::OddAnswer,
        Fault::Length(0),
        Fault::Length(1),
        Fault::Length(255),
        Fault::Length(65_535),
        Fault::Protocol(1),
        Fault::PaddedFrame,
    ] {
        peer.turn(fault.clone()).await;
        let mut client = Raw::connect(peer.address()).await.unwrap();
        let asked = client.request(20, &LEVEL).await.unwrap();
        let bytes = client.bytes_within(Duration::from_secs(5)).await.unwrap();
        let right = [&asked.to_be_bytes()[..], &[0, 0, 0, 5, 20, 3, 2, 0x01, 0x9A]].concat();
        assert!(!bytes.is_empty() && bytes != right, "{fault:?}");
    }
    assert!(!peer.record().was_sent(20, Function::Holding, 3004, &[410]));
    assert!(
        peer.record()
            .exchanges()
            .iter()
            .all(|exchange| exchange.answer.is_none())
    );
}

#[tokio::test]
async fn silence_of_all_or_of_one_unit() {
    let (_running, peer) = peer().await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    peer.turn(Fault::DeadUnit(20)).await;
    client.request(20, &LEVEL).await.unwrap();
    assert_eq!(client.read(21, 3004, 1).await.unwrap(), Ok(vec![420]));
    peer.turn(Fault::BlackHole).await;
    client.request(21, &LEVEL).await.unwrap();
    assert!(client.bytes_within(A_WHILE).await.unwrap().is_empty());
    peer.turn(Fault::None).await;
    assert_eq!(client.read(21, 3004, 1).await.unwrap(), Ok(vec![420]));
    assert_eq!(peer.record().requests(), 4);
}

#[tokio::test]
async fn connections_that_end_badly() {
    let (_running, peer) = peer().await;
    for fault in [Fault::CloseAfterRequest, Fault::ResetMidFrame, Fault::HttpBanner] {
        peer.turn(fault.clone()).await;
        let mut client = Raw::connect(peer.address()).await.unwrap();
        assert!(client.read(20, 3004, 1).await.is_err(), "{fault:?}");
    }
    peer.turn(Fault::AcceptThenClose).await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    assert!(client.read(20, 3004, 1).await.is_err());
    peer.turn(Fault::RandomBytes).await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    assert!(
        !client
            .bytes_within(Duration::from_secs(5))
            .await
            .unwrap()
            .is_empty()
    );
    // Refused, and back on the same port.
    peer.turn(Fault::Refuse).await;
    assert!(Raw::connect(peer.address()).await.is_err());
    peer.turn(Fault::None).await;
    let mut client = Raw::connect(peer.address()).await.unwrap();
    assert_eq!(client.read(20, 3004, 1).await.unwrap(), Ok(vec![410]));
}

#[tokio::test]
async fn a_write_is_done_although_its_answer_is_lost_late_or_wrong() {
    let running = gx("[[device.service]]\nservice = \"hub4\"\nvalues = { overrides_setpoint = 0.0 }\n").await;
    let peer = busbar_zoo::peer(&running, "gx").await;
    let write = |value| [16, 0x0A, 0x9C, 0, 2, 4, 0, 0, 0, value];
    let mut client = Raw::connect(peer.address()).await.unwrap();
    peer.turn(Fault::WrongEcho(Part::Count)).await;
    assert_eq!(client.ask(100, &write(1)).await.unwrap(), [16, 0x0A, 0x9C, 0, 3]);
    assert_eq!(client.read(100, 2716, 2).await.unwrap(), Ok(vec![0, 1]));
    peer.turn(Fault::LoseAcknowledgement).await;
    client.request(100, &write(2)).await.unwrap();
    // The next answer on the wire is the read's.
    assert_eq!(client.read(100, 2716, 2).await.unwrap(), Ok(vec![0, 2]));
    peer.turn(Fault::LateAcknowledgement(A_WHILE)).await;
    let asked = client.request(100, &write(3)).await.unwrap();
    assert_eq!(client.read(100, 2716, 2).await.unwrap(), Ok(vec![0, 3]));
    assert_eq!(client.frame().await.unwrap().0, asked);
    peer.turn(Fault::CloseBeforeAcknowledgement).await;
    assert!(client.ask(100, &write(4)).await.is_err());
    let mut client = Raw::connect(peer.address()).await.unwrap();
    assert_eq!(client.read(100, 2716, 2).await.unwrap(), Ok(vec![0, 4]));
    // Only the late one was an answer that a client may take for its own.
    let exchanges = peer.record().exchanges();
    let writes: Vec<_> = exchanges
        .iter()
        .filter(|exchange| exchange.request[0] == 16)
        .collect();
    let answered: Vec<_> = writes.iter().map(|exchange| exchange.answer.is_some()).collect();
    assert_eq!(answered, [false, false, true, false]);
    assert_eq!(running.stats("gx").unwrap().writes.len(), 4);
}

#[tokio::test]
async fn addresses_where_nobody_is() {
    assert!(Raw::connect(closed_port().await).await.is_err());
    let nobody = unreachable().await;
    assert!(
        tokio::time::timeout(A_WHILE, Raw::connect(nobody.address))
            .await
            .is_err()
    );
    let alone = Peer::alone(Fault::HttpBanner).await.unwrap();
    let mut client = Raw::connect(alone.address()).await.unwrap();
    client.request(1, &LEVEL).await.unwrap();
    assert!(
        client
            .bytes_within(Duration::from_secs(5))
            .await
            .unwrap()
            .starts_with(b"HTTP/1.1 400")
    );
}
