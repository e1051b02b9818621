//! A session over MQTT 5.

use rumqttc_v5::mqttbytes::QoS;
use rumqttc_v5::{
    AsyncClient, Broker, ConnectReturnCode, ConnectionError, DisconnectReasonCode, Event, EventLoop,
    Incoming, LastWill, MqttOptions, PubAckReason, PublishNoticeError, PublishOptions, PublishProperties,
    PublishResult, StateError, SubscribeFilterInput, SubscribeReasonCode, TlsConfiguration, Transport,
    mqttbytes,
};

use super::fault::{Fault, Kind, not_let_in, not_this_id, not_this_version, quoted};
use super::publisher::Outcome;
use super::server::Version;
use super::session::{self, Client, Heard, Line, Setup, Terms};
use super::{Message, Qos, Received};

/// What its faults are told with.
pub(crate) struct About {
    user: Option<String>,
    client_id: String,
    begun: bool,
}

pub(super) fn open(setup: Setup) -> Result<(Client, Line), Fault> {
    let about = About {
        user: setup.user(),
        client_id: setup.client_id.clone(),
        begun: false,
    };
    let options = options(setup).map_err(Fault::again)?;
    let (client, line) = AsyncClient::builder(options)
        .capacity(session::QUEUE)
        .try_build()
        .map_err(|e| Fault::again(e.to_string()))?;
    Ok((Client::V5(client), Line::V5(Box::new(line), about)))
}

fn options(setup: Setup) -> Result<MqttOptions, String> {
    let url = setup.websocket_url();
    let (host, port) = (setup.server.host, setup.server.port);
    let mut options = match (url, setup.tls) {
        (Some(url), Some(tls)) => {
            MqttOptions::websocket_with_tls_config(setup.client_id, url, TlsConfiguration::Rustls(tls))
                .map_err(|e| e.to_string())?
        }
        (Some(url), None) => {
            let broker = Broker::websocket(url).map_err(|e| e.to_string())?;
            MqttOptions::new(setup.client_id, broker)
        }
        (None, tls) => {
            let mut options = MqttOptions::new(setup.client_id, Broker::tcp(host.clone(), port));
            if let Some(tls) = tls {
                options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
            }
            options
        }
    };
    options
        .set_socket_connector(move |_, _| session::dial(host.clone(), port))
        .set_keep_alive(session::KEEP_ALIVE_SECONDS)
        .set_clean_start(true)
        .set_connect_timeout(std::time::Duration::from_secs(session::CONNECT_SECONDS))
        .set_max_packet_size(Some(session::MAX_INCOMING));
    if let Some((user, password)) = setup.login {
        options.set_credentials(user, password);
    }
    if let Some(will) = setup.will {
        options.set_last_will(LastWill::new(
            will.topic,
            will.payload,
            qos(will.qos),
            will.retain,
            None,
        ));
    }
    Ok(options)
}

pub(super) async fn publish(client: &AsyncClient, message: Message) -> Outcome {
    let mut how = PublishOptions::new(qos(message.qos)).retain(message.retain);
    if let Some(correlation) = message.correlation {
        how = how.properties(PublishProperties {
            correlation_data: Some(correlation.into()),
            ..PublishProperties::default()
        });
    }
    use rumqttc_v5::ClientError::RequestChannelDisconnected;
    let notice = match client.publish_tracked(message.topic, message.payload, how).await {
        Ok(notice) => notice,
        Err(RequestChannelDisconnected(_)) => return Outcome::Lost,
        Err(error) => return session::local(&error),
    };
    match notice.wait_async().await {
        Ok(PublishResult::Qos1(answer)) => match answer.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Outcome::Taken,
            reason => Outcome::Rejected(format!("{reason:?}")),
        },
        Ok(_) => Outcome::Taken,
        Err(PublishNoticeError::V5PubAck(reason)) => Outcome::Rejected(format!("{reason:?}")),
        Err(PublishNoticeError::RetainNotSupported) => {
            Outcome::Rejected("it keeps no retained messages, and Busbar's readers need them".to_owned())
        }
        Err(_) => Outcome::Lost,
    }
}

pub(super) async fn subscribe(client: &AsyncClient, filters: &[String]) -> Option<Vec<Option<String>>> {
    let wanted = filters.iter().map(|filter| {
        SubscribeFilterInput::new(filter.clone(), QoS::AtLeastOnce)
            .no_local(true)
            .preserve_retain(true)
    });
    let notice = client.subscribe_many_tracked(wanted).await.ok()?;
    let answer = notice.wait_async().await.ok()?;
    let why = |code: SubscribeReasonCode| match code {
        SubscribeReasonCode::Success(_) => None,
        refused => Some(format!("{refused:?}")),
    };
    Some(answer.return_codes.into_iter().map(why).collect())
}

pub(super) async fn next(line: &mut EventLoop, about: &mut About) -> Result<Heard, Fault> {
    match line.poll().await {
        Ok(Event::Incoming(Incoming::ConnAck(answer))) => {
            about.begun = true;
            let said = answer.properties.as_ref();
            let max_packet = said.and_then(|p| p.max_packet_size).map(|most| most as usize);
            Ok(Heard::Begun(Terms {
                max_packet: max_packet.unwrap_or(usize::MAX),
                acknowledges: said.and_then(|p| p.max_qos) != Some(0),
            }))
        }
        Ok(Event::Incoming(Incoming::Publish(publish))) => {
            // A topic that is not UTF-8 is none, and nobody asked for it.
            let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
                return Ok(Heard::Nothing);
            };
            let correlation = publish.properties.and_then(|p| p.correlation_data);
            Ok(Heard::Message(Received {
                topic,
                payload: publish.payload.to_vec(),
                retain: publish.retain,
                dup: publish.dup,
                correlation: correlation.map(|data| data.to_vec()),
            }))
        }
        Ok(_) => Ok(Heard::Nothing),
        Err(error) => Err(fault(error, about)),
    }
}

fn fault(error: ConnectionError, about: &About) -> Fault {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(code, about),
        ConnectionError::Timeout(_) => session::silent(),
        ConnectionError::Io(error) => closed(&error, about),
        ConnectionError::MqttState(state) => match state {
            StateError::AwaitPingResp => session::silent(),
            StateError::ConnectionAborted if about.begun => Fault::again("it closed the connection"),
            StateError::ConnectionAborted => session::closed_at_the_door(),
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
                closed(&error, about)
            }
            StateError::ServerDisconnect {
                reason_code,
                reason_string,
            } => ended(reason_code, reason_string.as_deref(), about),
            StateError::OutgoingPacketTooLarge { .. }
            | StateError::Deserialization(mqttbytes::Error::OutgoingPacketTooLarge { .. }) => {
                Fault::of(Kind::TooLarge, "a message is larger than it takes")
            }
            StateError::IncomingPacketTooLarge { .. }
            | StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded { .. }) => Fault::again(
                "it sends a message that is too large for a command, although it was told the limit",
            ),
            // An answer of a broker that knows MQTT 3.1.1 only looks broken.
            StateError::Deserialization(_) if !about.begun => not_this_version(Version::V5),
            other => Fault::again(quoted(&other.to_string())),
        },
        ConnectionError::Tls(error) => {
            Fault::again(format!("TLS: {error}; mqtt.ca_file says whom to believe"))
        }
        other => Fault::again(quoted(&other.to_string())),
    }
}

fn closed(error: &std::io::Error, about: &About) -> Fault {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        ConnectionAborted | ConnectionReset | UnexpectedEof if !about.begun => session::closed_at_the_door(),
        _ => Fault::again(error.to_string()),
    }
}

fn refused(code: ConnectReturnCode, about: &About) -> Fault {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            not_let_in(about.user.as_deref())
        }
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
            not_this_version(Version::V5)
        }
        ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => {
            not_this_id(&about.client_id)
        }
        other => Fault::again(format!("the broker refuses: {other:?}")),
    }
}

fn ended(code: DisconnectReasonCode, why: Option<&str>, about: &About) -> Fault {
    match code {
        DisconnectReasonCode::SessionTakenOver => Fault::again(format!(
            "another client came with the client id {:?}, and a broker has only one of each: give one of them another \
             mqtt.client_id",
            about.client_id
        )),
        DisconnectReasonCode::PacketTooLarge => {
            Fault::of(Kind::TooLarge, "a message is larger than it takes")
        }
        code => {
            let why = why.map(|why| format!(" ({})", quoted(why))).unwrap_or_default();
            Fault::again(format!("it ended the session: {code:?}{why}"))
        }
    }
}

fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::Sent => QoS::AtMostOnce,
        Qos::Acknowledged => QoS::AtLeastOnce,
    }
}
