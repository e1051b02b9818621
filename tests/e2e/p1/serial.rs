//! A meter at a serial port: what comes over a bad line, and an adapter that is pulled out.

use busbar_zoo::Pair;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::{METER, flipped, is, telegram, tells};
use crate::common::peers::Ser2net;
use crate::common::{Home, list, text, until};

/// The meter's end of the line.
async fn meter(line: &Pair) -> File {
    OpenOptions::new().write(true).open(line.device()).await.unwrap()
}

async fn say(meter: &mut File, bytes: &[u8]) {
    meter.write_all(bytes).await.unwrap();
    meter.flush().await.unwrap();
}

/// A gateway of the usual kind before the port, with Telnet and without.
#[tokio::test]
async fn ser2net_hands_telegrams_on() {
    for accepter in ["tcp", "telnet,tcp"] {
        let Some(line) = Pair::new().await else { return };
        let home = Home::new();
        let Some(gateway) = Ser2net::before(&line.client(), accepter, home.path()).await else {
            return;
        };
        // It listens once it can be connected to.
        until("ser2net to listen", async || {
            tokio::net::TcpStream::connect(gateway.address).await.ok()
        })
        .await;
        let mut end = meter(&line).await;
        let url = format!("p1+tcp://{}", gateway.address);
        let read = ["read", &url, "--ledger", "dsmr/p1", "--json"];
        let reading = home.run(&read);
        tokio::pin!(reading);
        let mut often = tokio::time::interval(std::time::Duration::from_millis(50));
        let report = loop {
            tokio::select! {
                run = &mut reading => break run.json(),
                _ = often.tick() => say(&mut end, &telegram(2_000, 234)).await,
            }
        };
        assert_eq!(
            report["points"]["power_import"]["value"], 234.0,
            "{accepter}: {report:#}"
        );
    }
}

/// Noise, half telegrams, turned bits and a replugged adapter cost what was damaged, and nothing else.
#[tokio::test]
async fn a_bad_line_loses_only_what_was_damaged() {
    let Some(mut line) = Pair::new().await else { return };
    let home = Home::new();
    let url = format!("p1://{}", line.client().display());
    let mut end = meter(&line).await;
    let scan = home.command(&["scan", &url, "--save", "--json"]).spawn().unwrap();
    let scanned = crate::common::finish(scan);
    tokio::pin!(scanned);
    let mut often = tokio::time::interval(std::time::Duration::from_millis(50));
    let scan = loop {
        tokio::select! {
            run = &mut scanned => break run.json(),
            _ = often.tick() => say(&mut end, &telegram(1_000, 1)).await,
        }
    };
    assert_eq!(text(&list(&scan, "devices")[0], "id"), METER);

    let host = home.host().await;
    // The port is open once the host has taken a telegram.
    until("the host to hear the meter", async || {
        say(&mut end, &telegram(1_000, 2)).await;
        let device = host.device(METER).await;
        (text(&device, "availability") == "online").then_some(())
    })
    .await;
    let heard = super::told(&home).await;
    assert!(heard.contains("at 115200 8N1"), "the setting was found: {heard}");
    let before: u32 = heard.split(' ').next().unwrap().parse().unwrap();
    let mut whole = 0;
    for n in 0..20_u32 {
        say(&mut end, b"\0\xFF\x7F").await;
        match n % 4 {
            1 => say(&mut end, &flipped(telegram(1_000 + n, 100 + n))).await,
            2 => say(&mut end, &telegram(1_000 + n, 100 + n)[..150]).await,
            _ => {
                whole += 1;
                say(&mut end, &telegram(1_000 + n, 100 + n)).await;
            }
        }
    }
    is(&host, "power_import", 119.0).await;
    tells(
        &home,
        &format!("{} telegrams at 115200 8N1, 10 damaged", before + whole),
    )
    .await;

    // Pulled out in the middle of a telegram.
    say(&mut end, &telegram(1_050, 300)[..100]).await;
    line.unplug().await;
    host.process.logs("connection lost").await;
    line.replug().await.unwrap();
    let mut end = meter(&line).await;
    until("the host to hear the meter again", async || {
        say(&mut end, &telegram(1_051, 310)).await;
        let power = super::value(&host, METER, "power_import").await;
        (power["value"] == 310.0).then_some(())
    })
    .await;
    let again = ["scan", &url, "--json"];
    let other = home.run(&again);
    tokio::pin!(other);
    // The host owns the port: who scans meanwhile listens through it.
    let scan = loop {
        tokio::select! {
            run = &mut other => break run.json(),
            _ = often.tick() => say(&mut end, &telegram(1_052, 311)).await,
        }
    };
    assert_eq!(text(&list(&scan, "devices")[0], "id"), METER);
    host.stop().await;
}
