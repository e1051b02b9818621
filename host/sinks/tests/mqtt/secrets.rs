//! Who is let in, and whom one believes.

use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::broker::Broker;
use crate::house::House;
use crate::sink::{Sink, VERSIONS};

/// A broker that knows `me` with the password `geheim`.
async fn guarded() -> Broker {
    Broker::with(|dir, _| {
        let file = dir.join("users");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&file)
            .args(["me", "geheim"])
            .output()
            .expect("mosquitto_passwd is not installed (apt install mosquitto)");
        assert!(made.status.success(), "{made:?}");
        format!("allow_anonymous false\npassword_file {}\n", file.display())
    })
    .await
}

#[tokio::test]
async fn a_password_comes_from_a_file_and_a_wrong_one_can_be_corrected() {
    for version in VERSIONS {
        let broker = guarded().await;
        let (house, _devices) = House::with(&["one"]);
        let file = broker.file("password");
        std::fs::write(&file, "wrong\n").unwrap();
        let lines = format!(
            "url = \"mqtt://me@127.0.0.1:{}\"\npassword_file = \"{}\"\n{version}",
            broker.port(),
            file.display()
        );
        let sink = Sink::start(&house, &lines);
        let cause = sink.cause().await;
        assert!(
            cause.contains("refuses the user \"me\"") && cause.contains("password_file"),
            "{cause}"
        );
        assert!(!cause.contains("wrong"), "{cause}");
        std::fs::write(&file, "geheim\n").unwrap();
        sink.report(|report| report.sent >= 3).await;
        sink.stop().await;
    }
}

#[tokio::test]
async fn who_comes_without_a_user_is_told_what_to_write() {
    let broker = guarded().await;
    let (house, _devices) = House::with(&["one"]);
    let sink = Sink::start(&house, &format!("url = \"{}\"", broker.url()));
    let cause = sink.cause().await;
    assert!(cause.contains("mqtt.user"), "{cause}");
    sink.stop().await;
}

#[tokio::test]
async fn a_password_file_that_is_missing_is_named() {
    let broker = guarded().await;
    let (house, _devices) = House::with(&["one"]);
    let lines = format!(
        "url = \"mqtt://me@127.0.0.1:{}\"\npassword_file = \"/nowhere/at/all\"",
        broker.port()
    );
    let sink = Sink::start(&house, &lines);
    let cause = sink.cause().await;
    assert!(cause.contains("mqtt.password_file: /nowhere/at/all"), "{cause}");
    sink.stop().await;
}

/// An authority, the broker's certificate by it, and a client's.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "An authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    for (name, subject) in [("server", "127.0.0.1"), ("client", "busbar")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![subject.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &ca).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn encrypted(dir: &Path) -> String {
    certificates(dir);
    let dir = dir.display();
    format!(
        "allow_anonymous true\ncafile {dir}/ca.pem\ncertfile {dir}/server.pem\nkeyfile {dir}/server.key\n"
    )
}

#[tokio::test]
async fn the_line_can_be_encrypted_and_only_the_right_broker_is_believed() {
    let broker = Broker::with(|dir, _| encrypted(dir)).await;
    let (house, _devices) = House::with(&["one"]);
    let url = format!("url = \"mqtts://127.0.0.1:{}\"", broker.port());
    for version in VERSIONS {
        let ca = broker.file("ca.pem");
        let sink = Sink::start(
            &house,
            &format!("{url}\nca_file = \"{}\"\n{version}", ca.display()),
        );
        sink.report(|report| report.sent >= 3).await;
        sink.stop().await;
    }
    // Another authority than the one that this broker has its certificate from.
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let ca = other.path().join("ca.pem");
    let sink = Sink::start(&house, &format!("{url}\nca_file = \"{}\"", ca.display()));
    let cause = sink.cause().await;
    assert!(cause.contains("certificate"), "{cause}");
    assert_eq!(sink.health.report().sent, 0);
    sink.stop().await;
}

#[tokio::test]
async fn a_client_certificate_says_who_comes() {
    let broker = Broker::with(|dir, _| format!("{}require_certificate true\n", encrypted(dir))).await;
    let (house, _devices) = House::with(&["one"]);
    let (ca, cert, key) = (
        broker.file("ca.pem"),
        broker.file("client.pem"),
        broker.file("client.key"),
    );
    let lines = format!(
        "url = \"mqtts://127.0.0.1:{}\"\nca_file = \"{}\"",
        broker.port(),
        ca.display()
    );
    let without = Sink::start(&house, &lines);
    without.cause().await;
    without.stop().await;
    for version in VERSIONS {
        let lines = format!(
            "{lines}\nclient_cert_file = \"{}\"\nclient_key_file = \"{}\"\n{version}",
            cert.display(),
            key.display()
        );
        let sink = Sink::start(&house, &lines);
        sink.report(|report| report.sent >= 3).await;
        sink.stop().await;
    }
}

#[tokio::test]
async fn a_websocket_will_do_plain_and_encrypted() {
    // This mosquitto wants one listener of the other kind.
    let plain =
        |_: &Path, port| format!("allow_anonymous true\nlistener {port} 127.0.0.1\nprotocol websockets\n");
    let secure = |dir: &Path, port| {
        format!(
            "listener {port} 127.0.0.1\nprotocol websockets\n{}",
            encrypted(dir)
        )
    };
    let (plain, secure) = (Broker::with(plain).await, Broker::with(secure).await);
    let ca = secure.file("ca.pem");
    let ways = [
        format!("url = \"ws://127.0.0.1:{}\"", plain.second_port()),
        format!(
            "url = \"wss://127.0.0.1:{}/mqtt\"\nca_file = \"{}\"",
            secure.second_port(),
            ca.display()
        ),
    ];
    for way in ways {
        for version in VERSIONS {
            let (house, _devices) = House::with(&["one"]);
            let sink = Sink::start(&house, &format!("{way}\n{version}"));
            sink.report(|report| report.sent >= 3).await;
            sink.stop().await;
        }
    }
}
