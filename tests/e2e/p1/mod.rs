//! Meters that speak by themselves, heard over every way there is.

mod gateway;
mod keys;
mod serial;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as Turn, Notify};
use tokio::task::JoinHandle;

use crate::common::host::Host;
use crate::common::{Home, list, text, until};

/// The id of the meter whose telegrams these are.
pub const METER: &str = "p1_e001";

/// What a Swedish meter says, with the sum behind it.
pub fn telegram(energy_wh: u32, power_w: u32) -> Vec<u8> {
    let (kwh, kw) = (f64::from(energy_wh) / 1000.0, f64::from(power_w) / 1000.0);
    with_sum(&format!(
        "/HST5\\100000001_A\r\n\r\n0-0:96.1.0(45303031)\r\n1-0:1.8.0({kwh:012.3}*kWh)\r\n\
         1-0:2.8.0(00000987.654*kWh)\r\n1-0:1.7.0({kw:08.3}*kW)\r\n1-0:2.7.0(0000.000*kW)\r\n\
         1-0:32.7.0(231.4*V)\r\n!"
    ))
}

/// A text up to its `!`, with its sum.
pub fn with_sum(text: &str) -> Vec<u8> {
    let sum = text.bytes().fold(0_u16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0xA001
            } else {
                sum >> 1
            }
        })
    });
    format!("{text}{sum:04X}\r\n").into_bytes()
}

/// The same telegram with one bit turned over.
pub fn flipped(mut telegram: Vec<u8>) -> Vec<u8> {
    let middle = telegram.len() / 2;
    telegram[middle] ^= 0x04;
    telegram
}

/// A gateway before a meter. It takes one client at a time, as many do.
pub struct Gateway {
    pub address: SocketAddr,
    client: Arc<Turn<Option<TcpStream>>>,
    connected: Arc<Notify>,
    clients: Arc<Mutex<u32>>,
    accepting: JoinHandle<()>,
}

impl Gateway {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client: Arc<Turn<Option<TcpStream>>> = Arc::default();
        let (connected, clients) = (Arc::new(Notify::new()), Arc::new(Mutex::new(0)));
        let (theirs, notify, count) = (Arc::clone(&client), Arc::clone(&connected), Arc::clone(&clients));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *theirs.lock().await = Some(stream);
                *count.lock().unwrap() += 1;
                notify.notify_one();
            }
        });
        Gateway {
            address,
            client,
            connected,
            clients,
            accepting,
        }
    }

    pub fn url(&self) -> String {
        format!("p1+tcp://{}", self.address)
    }

    /// How many have connected so far.
    pub fn clients(&self) -> u32 {
        *self.clients.lock().unwrap()
    }

    /// Says something to whoever is connected, or connects next.
    pub async fn say(&self, bytes: &[u8]) {
        loop {
            let mut client = self.client.lock().await;
            if let Some(stream) = client.as_mut() {
                match stream.write_all(bytes).await {
                    Ok(()) => return,
                    Err(_) => *client = None,
                }
            }
            drop(client);
            self.connected.notified().await;
        }
    }

    /// Ends the connection.
    pub async fn hang_up(&self) {
        *self.client.lock().await = None;
    }

    /// Says this again and again while something is done.
    pub async fn while_saying<T>(&self, bytes: &[u8], work: impl Future<Output = T>) -> T {
        let mut often = tokio::time::interval(Duration::from_millis(50));
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = often.tick() => {
                    let said = self.say(bytes);
                    tokio::select! {
                        done = &mut work => return done,
                        () = said => {}
                    }
                }
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A value of an entity, as a host shows it.
pub async fn value(host: &Host, device: &str, key: &str) -> Value {
    let entities = host.get(&format!("/api/v1/entities?device={device}")).await;
    let id = format!("{device}.{key}");
    let entity = list(&entities, "entities").iter().find(|e| e["id"] == *id);
    entity
        .unwrap_or_else(|| panic!("no {id} in {entities:#}"))
        .clone()
}

/// Waits until an entity has this value and is good.
pub async fn is(host: &Host, key: &str, wanted: f64) {
    until(&format!("{key} to be {wanted}"), async || {
        let entity = value(host, METER, key).await;
        (entity["value"] == wanted && entity["quality"] == "good").then_some(())
    })
    .await;
}

/// What the doctor says of the only connection.
pub async fn told(home: &Home) -> String {
    let report = home.run(&["doctor", "--json"]).await.document();
    let findings = list(&report, "findings");
    let of_connection = |f: &&Value| text(f, "area").starts_with("connection");
    let finding = findings.iter().find(of_connection);
    let finding = finding.unwrap_or_else(|| panic!("nothing of a connection: {report:#}"));
    text(finding, "message").to_owned()
}

/// Waits until the doctor says this of the only connection.
pub async fn tells(home: &Home, wanted: &str) {
    until(&format!("the doctor to say {wanted}"), async || {
        let told = told(home).await;
        told.contains(wanted).then_some(())
    })
    .await;
}
