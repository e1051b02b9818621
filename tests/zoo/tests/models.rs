//! A device made from a ledger can be any of the models that its `[identify]` names.

use std::io;

use busbar_ledger::identify::matches;
use busbar_zoo::simulate::{Running, Site, start};
use busbar_zoo::{connect, ledgers};

/// The words that a device answers to a read.
async fn words(
    running: &Running,
    device: &str,
    unit: u8,
    function: u8,
    at: u16,
    count: u16,
) -> io::Result<Vec<u16>> {
    let mut client = connect(running, device).await;
    let (at, count) = (at.to_be_bytes(), count.to_be_bytes());
    let pdu = client
        .ask(unit, &[function, at[0], at[1], count[0], count[1]])
        .await?;
    assert_eq!(pdu[0], function, "{pdu:?}");
    let pairs = pdu[2..].chunks(2);
    Ok(pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
}

#[tokio::test]
async fn every_answer_that_a_ledger_takes_can_be_given() {
    let mut given = 0;
    for ledger in ledgers() {
        let Some((identify, probe)) = ledger
            .identify
            .as_ref()
            .and_then(|identify| Some((identify, identify.probe.as_ref()?)))
        else {
            continue;
        };
        let unit = ledger.transports.first().map_or(1, |way| way.units[0]);
        for (place, (value, model)) in probe.equals.iter().enumerate() {
            let site = Site::of_model(ledger, place, "modbus+tcp://127.0.0.1:0").unwrap();
            let running = start(&site, ledgers()).await.unwrap_or_else(|e| panic!("{e}"));
            let span = probe.span;
            let (device, _) = running.devices().next().unwrap();
            let function = span.function.code();
            let said = words(&running, device, unit, function, span.at, span.count).await;
            assert_eq!(
                matches(identify, &said.unwrap()).as_ref(),
                Some(model),
                "{} {value:?}",
                ledger.name
            );
            given += 1;
            running.stop().await;
        }
        let beyond = Site::of_model(ledger, probe.equals.len(), "modbus+tcp://127.0.0.1:0").unwrap();
        assert!(start(&beyond, ledgers()).await.is_err(), "{}", ledger.name);
    }
    assert!(given > 20, "{given}");
}

#[tokio::test]
async fn a_site_names_the_model() {
    let site = |model: &str| {
        let text = format!(
            "[[device]]\nname = \"m\"\nkind = \"ledger\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\n\
             unit = [{{ unit = 7, ledger = \"victron/vm-3p75ct\", model = \"{model}\" }}]\n"
        );
        Site::parse("site.toml", &text).unwrap()
    };
    let running = start(&site("VM-3P5A"), ledgers()).await.unwrap();
    assert_eq!(words(&running, "m", 7, 3, 0x1000, 1).await.unwrap(), [0xA1B2]);
    let error = start(&site("VM-3P9"), ledgers()).await.unwrap_err().to_string();
    assert!(
        error.contains("VM-3P9") && error.contains("VM-3P75CT, VM-3P5A"),
        "{error}"
    );
}
