//! The network that misbehaves does so as it says, and the record tells the truth about it.

#![allow(clippy::unwrap_used, reason = "what cannot be set up fails the test")]

use std::time::Duration;

use busbar_ledger::span::Function;
use busbar_zoo::simulate::Running;
use busbar_zoo::{Air, Fault, UdpPeer, site, udp_peer};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const METER: &str = "[[device]]\nname = \"meter\"\nkind = \"ledger\"\nlisten = \"modbus+udp://127.0.0.1:0\"\n\
                     unit = [{ unit = 1, ledger = \"generic/demo-meter\" }]\n";
/// Long enough for an answer on loopback that is not going to come.
const A_WHILE: Duration = Duration::from_millis(150);
const ANSWER: [u8; 5] = [1, 3, 2, 0xB5, 0xBA];

struct Client {
    _running: Running,
    peer: UdpPeer,
    socket: UdpSocket,
}

async fn client() -> Client {
    let running = site(METER).await;
    let peer = udp_peer(&running, "meter").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    Client {
        _running: running,
        peer,
        socket,
    }
}

impl Client {
    async fn send(&self, id: u16) {
        let [high, low] = id.to_be_bytes();
        let request = [high, low, 0, 0, 0, 6, 1, 3, 0x01, 0x00, 0, 1];
        self.socket.send_to(&request, self.peer.address()).await.unwrap();
    }

    /// The next datagram, and whether it came from where it should.
    async fn datagram(&self) -> Option<(Vec<u8>, bool)> {
        let mut buffer = vec![0; 70_000];
        let received = timeout(A_WHILE, self.socket.recv_from(&mut buffer)).await.ok()?;
        let (length, from) = received.unwrap();
        buffer.truncate(length);
        Some((buffer, from == self.peer.address()))
    }

    /// Asks once and takes everything that comes for it.
    async fn ask(&self, id: u16) -> Vec<(Vec<u8>, bool)> {
        self.send(id).await;
        let mut all = Vec::new();
        while let Some(datagram) = self.datagram().await {
            all.push(datagram);
        }
        all
    }

    /// Whether the record says that this request was answered.
    fn is_answered(&self, id: u16) -> bool {
        let exchanges = self.peer.record().exchanges();
        let exchange = exchanges
            .iter()
            .rfind(|exchange| exchange.transaction == id)
            .unwrap();
        exchange.answer.is_some()
    }
}

fn answer(id: u16) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[0, 0, 0, 5], &ANSWER].concat()
}

#[tokio::test]
async fn a_fair_network_changes_nothing() {
    let client = client().await;
    assert!(client.peer.url().starts_with("modbus+udp://127.0.0.1:"));
    assert_eq!(client.ask(0x0102).await, [(answer(0x0102), true)]);
    assert!(client.is_answered(0x0102));
    let record = client.peer.record();
    assert!(record.was_sent(1, Function::Holding, 0x0100, &[0xB5BA]));
    assert_eq!((record.requests(), record.connections()), (1, 1));
}

#[tokio::test]
async fn datagrams_come_twice_late_from_elsewhere_and_with_others() {
    let client = client().await;
    let air = Air::default();
    client
        .peer
        .turn(Air {
            double: 1.0,
            ..air.clone()
        })
        .await;
    assert_eq!(client.ask(1).await, [(answer(1), true), (answer(1), true)]);
    client
        .peer
        .turn(Air {
            foreign: 1.0,
            stranger: 1.0,
            ..air.clone()
        })
        .await;
    let came = client.ask(2).await;
    let [foreign, strange, own] = came.as_slice() else {
        panic!("{came:?}")
    };
    assert_eq!(foreign.0[..2], [0x40, 2]);
    assert_eq!(foreign.0[9..], [!0xB5, !0xBA]);
    assert!(foreign.1 && !strange.1 && strange.0[..2] == [0, 2] && strange.0[9..] == [!0xB5, !0xBA]);
    assert_eq!(*own, (answer(2), true));
    client
        .peer
        .turn(Air {
            oversize: 1.0,
            garbage: 1.0,
            ..air.clone()
        })
        .await;
    let lengths: Vec<_> = client.ask(3).await.iter().map(|(bytes, _)| bytes.len()).collect();
    assert_eq!(lengths, [65_507, 40, 11]);
    let lateness = Duration::from_millis(60);
    client
        .peer
        .turn(Air {
            late: 1.0,
            lateness,
            ..air.clone()
        })
        .await;
    let began = std::time::Instant::now();
    client.send(4).await;
    assert_eq!(client.datagram().await, Some((answer(4), true)));
    assert!(began.elapsed() >= lateness);
    client
        .peer
        .turn(Air {
            fault: Fault::Twice,
            ..air.clone()
        })
        .await;
    assert_eq!(client.ask(5).await, [(answer(5).repeat(2), true)]);
    assert!((1..=5).all(|id| client.is_answered(id)));
}

#[tokio::test]
async fn datagrams_are_lost_cut_and_refused() {
    let client = client().await;
    let air = Air::default();
    for (id, air) in [
        Air {
            lose_requests: 1.0,
            ..air.clone()
        },
        Air {
            lose_answers: 1.0,
            ..air.clone()
        },
        Air {
            fault: Fault::BlackHole,
            ..air.clone()
        },
        Air {
            fault: Fault::DeadUnit(1),
            ..air.clone()
        },
    ]
    .into_iter()
    .enumerate()
    {
        client.peer.turn(air).await;
        assert_eq!(client.ask(id as u16).await, []);
        assert!(!client.is_answered(id as u16));
    }
    client
        .peer
        .turn(Air {
            truncate: 1.0,
            ..air.clone()
        })
        .await;
    assert_eq!(client.ask(10).await, [(answer(10)[..5].to_vec(), true)]);
    assert!(!client.is_answered(10));
    client
        .peer
        .turn(Air {
            closed: true,
            ..air.clone()
        })
        .await;
    let refused = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    refused.connect(client.peer.address()).await.unwrap();
    refused.send(&[0]).await.unwrap();
    let mut buffer = [0; 8];
    let error = timeout(A_WHILE, refused.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    client.peer.turn(air).await;
    assert_eq!(client.ask(11).await, [(answer(11), true)]);
}

#[tokio::test]
async fn answers_overtake_each_other_or_share_a_datagram() {
    let client = client().await;
    // Some are held back until the next that is not.
    for (merge, reorder) in [(0.5, 0.0), (0.0, 0.5)] {
        client
            .peer
            .turn(Air {
                merge,
                reorder,
                ..Air::default()
            })
            .await;
        for id in 0..20 {
            client.send(id).await;
        }
        let mut came = Vec::new();
        while let Some((bytes, _)) = client.datagram().await {
            came.push(bytes);
        }
        let ids: Vec<u8> = came
            .iter()
            .flat_map(|bytes| bytes.chunks(11).map(|one| one[1]))
            .collect();
        let asked: Vec<u8> = (0..20).collect();
        assert_ne!(ids, asked);
        let shared = came.iter().filter(|bytes| bytes.len() == 22).count();
        assert_eq!(shared > 0, merge > 0.0, "{came:?}");
        assert!(
            came.iter()
                .all(|bytes| bytes.chunks(11).all(|one| one[6..] == ANSWER))
        );
        // The last may still be held.
        assert!(ids.len() >= 17, "{ids:?}");
    }
}

#[tokio::test]
async fn the_same_seed_loses_the_same_datagrams() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let client = client().await;
        client
            .peer
            .turn(Air {
                seed,
                ..Air::lossy(0.3)
            })
            .await;
        for id in 0..100 {
            client.send(id).await;
        }
        let mut ids = Vec::new();
        while let Some((bytes, _)) = client.datagram().await {
            ids.push(bytes[1]);
        }
        ids.sort_unstable();
        // 0.7 of 0.7 of them.
        assert!((30..70).contains(&ids.len()), "{ids:?}");
        runs.push(ids);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
