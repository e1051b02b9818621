//! A session over MQTT 3.1.1.

use rumqttc_v4::mqttbytes::{self, QoS};
use rumqttc_v4::{
    AsyncClient, Broker, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, LastWill,
    MqttOptions, PublishOptions, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    Transport,
};

use super::fault::{Fault, not_let_in, not_this_id, not_this_version, quoted};
use super::publisher::Outcome;
use super::server::Version;
use super::session::{self, Client, Heard, Line, Setup, Terms};
use super::{Message, Qos, Received};

/// The largest packet that MQTT has, in bytes.
const MAX_PACKET: usize = 256 * 1024 * 1024;
/// Publications that a broker may leave unanswered; it cannot say itself how many it takes.
const UNANSWERED: u16 = 20;

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
    let (client, mut line) = AsyncClient::builder(options)
        .capacity(session::QUEUE)
        .try_build()
        .map_err(|e| Fault::again(e.to_string()))?;
    let mut network = line.network_options();
    network.set_connection_timeout(session::CONNECT_SECONDS);
    line.set_network_options(network);
    Ok((Client::V4(client), Line::V4(Box::new(line), about)))
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
        .set_clean_session(true)
        .set_max_packet_size(session::MAX_INCOMING as usize, MAX_PACKET)
        .set_inflight(UNANSWERED);
    if let Some((user, password)) = setup.login {
        options.set_credentials(user, password);
    }
    if let Some(will) = setup.will {
        options.set_last_will(LastWill::new(
            will.topic,
            will.payload,
            qos(will.qos),
            will.retain,
        ));
    }
    Ok(options)
}

pub(super) async fn publish(client: &AsyncClient, message: Message) -> Outcome {
    let how = PublishOptions::new(qos(message.qos)).retain(message.retain);
    use rumqttc_v4::ClientError::RequestChannelDisconnected;
    let notice = match client.publish_tracked(message.topic, message.payload, how).await {
        Ok(notice) => notice,
        Err(RequestChannelDisconnected(_)) => return Outcome::Lost,
        Err(error) => return session::local(&error),
    };
    match notice.wait_async().await {
        Ok(_) => Outcome::Taken,
        Err(_) => Outcome::Lost,
    }
}

pub(super) async fn subscribe(client: &AsyncClient, filters: &[String]) -> Option<Vec<Option<String>>> {
    let wanted = filters.iter().map(|filter| SubscribeFilter {
        path: filter.clone(),
        qos: QoS::AtLeastOnce,
    });
    let notice = client.subscribe_many_tracked(wanted).await.ok()?;
    let answer = notice.wait_async().await.ok()?;
    let why = |code: SubscribeReasonCode| match code {
        SubscribeReasonCode::Success(_) => None,
        SubscribeReasonCode::Failure => Some("it does not say why".to_owned()),
    };
    Some(answer.return_codes.into_iter().map(why).collect())
}

pub(super) async fn next(line: &mut EventLoop, about: &mut About) -> Result<Heard, Fault> {
    match line.poll().await {
        Ok(Event::Incoming(Incoming::ConnAck(_))) => {
            about.begun = true;
            Ok(Heard::Begun(Terms::default()))
        }
        Ok(Event::Incoming(Incoming::Publish(publish))) => {
            // A topic that is not UTF-8 is none, and nobody asked for it.
            let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
                return Ok(Heard::Nothing);
            };
            Ok(Heard::Message(Received {
                topic,
                payload: publish.payload.to_vec(),
                retain: publish.retain,
                dup: publish.dup,
                correlation: None,
            }))
        }
        Ok(_) => Ok(Heard::Nothing),
        Err(error) => Err(fault(error, about)),
    }
}

fn fault(error: ConnectionError, about: &About) -> Fault {
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                not_let_in(about.user.as_deref())
            }
            ConnectReturnCode::RefusedProtocolVersion => not_this_version(Version::V4),
            ConnectReturnCode::BadClientId => not_this_id(&about.client_id),
            other => Fault::again(format!("the broker refuses: {other:?}")),
        },
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => session::silent(),
        ConnectionError::Io(error) => closed(&error, about),
        ConnectionError::MqttState(state) => match state {
            StateError::AwaitPingResp => session::silent(),
            StateError::ConnectionAborted if about.begun => Fault::again("it closed the connection"),
            StateError::ConnectionAborted => session::closed_at_the_door(),
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
                closed(&error, about)
            }
            StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded { .. }) => Fault::again(
                "it has a message on a topic that Busbar listens to which is too large for a command: remove it \
                     (an empty retained message on the same topic does that)",
            ),
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

fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::Sent => QoS::AtMostOnce,
        Qos::Acknowledged => QoS::AtLeastOnce,
    }
}
