//! Who a device says it is, and what is not believed of that.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use busbar_wire::{EngineClient, Identity, Link, Options, Priority, WireError};
use common::{Peer, device, frame, words};
use tokio::io::AsyncReadExt;
use tokio_modbus::client::{Client, Context};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Request, Response};

/// A device that answers each PDU by a function of it; none is silence.
fn answers(pdu: impl Fn(&[u8]) -> Option<Vec<u8>> + Clone + Send + 'static) -> Link {
    device(Options::default(), move |mut peer: Peer| {
        let pdu = pdu.clone();
        async move {
            let mut header = [0; 7];
            while peer.0.read_exact(&mut header).await.is_ok() {
                let mut asked = vec![0; usize::from(header[5]) - 1];
                peer.0.read_exact(&mut asked).await.unwrap();
                if let Some(answer) = pdu(&asked) {
                    let id = u16::from_be_bytes([header[0], header[1]]);
                    peer.send(frame(id, header[6], &answer)).await;
                }
            }
        }
    })
}

/// An answer with these objects; `next` goes on with another.
fn objects(next: Option<u8>, list: &[(u8, &[u8])]) -> Vec<u8> {
    let more = if next.is_some() { 0xff } else { 0 };
    let mut pdu = vec![43, 14, 2, 0x82, more, next.unwrap_or(0), list.len() as u8];
    for (id, value) in list {
        pdu.extend([*id, value.len() as u8]);
        pdu.extend(*value);
    }
    pdu
}

#[tokio::test(start_paused = true)]
async fn a_device_says_who_it_is_over_several_answers() {
    let link = answers(|asked| {
        Some(match asked {
            [43, 14, 2, 0] => objects(Some(2), &[(0, b"Schneider Electric"), (1, b"METSEPM8240\0\0")]),
            [43, 14, 2, 2] => objects(
                None,
                &[(2, b"v1.2"), (4, b"Power\x1b[31mLogic"), (5, b"  "), (77, b"?")],
            ),
            [17] => vec![17, 3, 9, 0xff, b'x'],
            _ => vec![asked[0] | 0x80, 1],
        })
    });
    let identity = link.identify(5).await.unwrap();
    let expected = Identity {
        vendor: Some("Schneider Electric".to_owned()),
        product_code: Some("METSEPM8240".to_owned()),
        revision: Some("v1.2".to_owned()),
        product_name: Some("Power[31mLogic".to_owned()),
        server_id: Some(vec![9, 0xff, b'x']),
        ..Identity::default()
    };
    assert_eq!(identity, expected);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_knows_neither_function_says_nothing() {
    let link = answers(|asked| Some(vec![asked[0] | 0x80, 1]));
    assert_eq!(link.identify(1).await.unwrap(), Identity::default());
}

/// A unit that is not there, or that is silent, is not taken for one without a name.
#[tokio::test(start_paused = true)]
async fn an_absent_unit_is_an_error() {
    let absent = answers(|asked| Some(vec![asked[0] | 0x80, 11]));
    assert!(matches!(
        absent.identify(1).await,
        Err(WireError::Exception { code: 11, .. })
    ));
    let silent = answers(|_| None);
    let error = silent.identify(1).await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("did not answer its identification (function 43/14)"),
        "{message}"
    );
}

/// Fault 15 for identifications: what does not fit is refused, and a list without end has one.
#[tokio::test(start_paused = true)]
async fn fault_15_identifications_that_lie_are_refused() {
    for wrong in [
        vec![43],
        vec![43, 13, 2, 0x82, 0, 0, 0],
        vec![43, 14, 1, 0x82, 0, 0, 0],
        vec![43, 14, 2, 0x82, 0, 0, 1, 0, 9, b'A'],
        vec![43, 14, 2, 0x82, 0, 0, 2, 0, 1, b'A'],
        vec![43, 14, 2, 0x82, 0, 0, 0, 7],
    ] {
        let link = answers(move |_| Some(wrong.clone()));
        assert_eq!(link.identify(1).await.unwrap_err().code(), "bad_answer");
    }
    for wrong in [vec![17], vec![17, 2, 1], vec![17, 0, 1]] {
        let link = answers(move |asked| {
            Some(if asked[0] == 17 {
                wrong.clone()
            } else {
                objects(None, &[])
            })
        });
        assert_eq!(link.identify(1).await.unwrap_err().code(), "bad_answer");
    }
    let turning = answers(|asked| {
        Some(match asked[0] {
            43 => objects(Some(asked[3].wrapping_add(1)), &[(0, b"A")]),
            _ => vec![17, 0],
        })
    });
    assert_eq!(turning.identify(1).await.unwrap().vendor.as_deref(), Some("A"));
    assert!(turning.stats().requests <= 9, "{:?}", turning.stats());
    let back = answers(|asked| {
        Some(match asked[0] {
            43 => objects(Some(0), &[(0, b"A")]),
            _ => vec![17, 0],
        })
    });
    assert!(back.identify(1).await.is_ok());
    assert_eq!(back.stats().requests, 2);
}

#[tokio::test(start_paused = true)]
async fn the_adapter_asks_for_the_server_id() {
    let link = answers(|asked| {
        Some(match asked[0] {
            17 => vec![17, 3, 9, 0xff, b'x'],
            _ => [vec![3, 2], words(4, 0, 1)[0].to_be_bytes().to_vec()].concat(),
        })
    });
    let client: Box<dyn Client> = Box::new(EngineClient::new(link, Priority::Poll));
    let mut context = Context::from(client);
    context.set_slave(Slave(4));
    let answer = context.call(Request::ReportServerId).await.unwrap().unwrap();
    assert_eq!(answer, Response::ReportServerId(9, true, vec![b'x']));
}
