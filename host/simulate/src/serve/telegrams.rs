//! A meter that speaks by itself: a telegram each second, to everybody who listens.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Place;
use super::stream::accept;

/// How often a meter speaks.
const EVERY: Duration = Duration::from_secs(1);
/// A listener that does not take what is said for so long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Speaks until told to stop; ends when the last listener has.
pub(crate) async fn serve(listener: TcpListener, mut place: Place) {
    let mut connections = JoinSet::new();
    while let Some(stream) = accept(&listener, &mut place, &mut connections).await {
        connections.spawn(speak(stream, place.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn speak(mut stream: TcpStream, mut place: Place) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = place.stop.changed() => return,
            _ = ticks.tick() => {}
        }
        let Some(telegram) = place.first().telegram(place.clock.moment()) else {
            return;
        };
        tokio::select! {
            _ = place.stop.changed() => return,
            written = timeout(WRITE_TIMEOUT, stream.write_all(telegram.as_bytes())) => {
                let Ok(Ok(())) = written else { return };
            }
        }
    }
}
