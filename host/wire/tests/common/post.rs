//! Datagrams in memory, and a meter that answers them, under a clock that a test owns.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use busbar_wire::{Bind, ConnectError, Datagrams, Link, Options};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

use super::{Asked, frame, ms, read};

/// The link's side: each socket hands its other end to the test.
pub struct Post(UnboundedSender<Meter>);

/// A socket of the link.
pub struct Socket {
    to: UnboundedSender<Vec<u8>>,
    from: UnboundedReceiver<io::Result<Vec<u8>>>,
}

impl Bind for Post {
    type Socket = Socket;

    async fn bind(&mut self) -> Result<Socket, ConnectError> {
        let (to, requests) = unbounded_channel();
        let (answers, from) = unbounded_channel();
        // Nobody there is no error: datagrams go into the void.
        let _ = self.0.send(Meter { requests, answers });
        Ok(Socket { to, from })
    }
}

impl Datagrams for Socket {
    fn poll_send(&mut self, _: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        let _ = self.to.send(datagram.to_vec());
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.from.poll_recv(cx) {
            Poll::Ready(Some(Ok(datagram))) => {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// The meter's side of one socket.
pub struct Meter {
    requests: UnboundedReceiver<Vec<u8>>,
    answers: UnboundedSender<io::Result<Vec<u8>>>,
}

impl Meter {
    /// The next request; `None` when the link has closed its socket.
    pub async fn try_asked(&mut self) -> Option<Asked> {
        let datagram = self.requests.recv().await?;
        Some(Asked::parse(&datagram))
    }

    pub async fn asked(&mut self) -> Asked {
        self.try_asked().await.expect("the link closed its socket")
    }

    /// Sends a datagram; that the socket is gone is no matter.
    pub fn send(&self, datagram: impl AsRef<[u8]>) {
        let _ = self.answers.send(Ok(datagram.as_ref().to_vec()));
    }

    /// The system says that nobody listens.
    pub fn refuse(&self) {
        let _ = self.answers.send(Err(io::ErrorKind::ConnectionRefused.into()));
    }

    /// A way to send later.
    pub fn later(&self, after: std::time::Duration, datagram: Vec<u8>) {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            sleep(after).await;
            let _ = answers.send(Ok(datagram));
        });
    }

    /// Answers everything rightly, to the end.
    pub async fn serve(mut self) {
        while let Some(asked) = self.try_asked().await {
            self.send(asked.answer());
        }
    }

    /// Says nothing, to the end.
    pub async fn silent(mut self) {
        while self.try_asked().await.is_some() {}
    }
}

/// A link over datagrams, and the place where its sockets arrive.
pub fn post(options: Options) -> (Link, UnboundedReceiver<Meter>) {
    let (tx, rx) = unbounded_channel();
    (
        Link::over_datagrams("modbus+udp://meter:502", options, Post(tx)),
        rx,
    )
}

/// A link to a meter that runs the same script on each socket.
pub fn meter<F>(options: Options, script: impl Fn(Meter) -> F + Send + 'static) -> Link
where
    F: Future<Output = ()> + Send + 'static,
{
    let (link, mut sockets) = post(options);
    tokio::spawn(async move {
        while let Some(meter) = sockets.recv().await {
            tokio::spawn(script(meter));
        }
    });
    link
}

/// Numbers that look random and are the same each time.
#[derive(Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// True that often of a hundred times.
    pub fn chance(&mut self, percent: u64) -> bool {
        // The low bits of such numbers are the worse ones.
        (self.roll() >> 33) % 100 < percent
    }
}

/// What happens to datagrams on the way, each in percent.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// Lost, on each way.
    pub loss: u64,
    /// Doubled on the way back.
    pub doubled: u64,
    /// Late, by 30 to 1500 ms; so others overtake it.
    pub late: u64,
    /// Held back, and sent in one datagram with the next.
    pub merged: u64,
    /// An answer to somebody else comes before, in the same datagram or its own.
    pub foreign: u64,
    /// A broken datagram comes before.
    pub broken: u64,
}

/// What a meter sent: for each stamp the request it was for and when that came.
#[derive(Clone, Default)]
pub struct Sent(Arc<Mutex<HashMap<u16, (Asked, Instant)>>>);

/// A meter in bad weather. The first register of each answer is its own stamp, so that a reading shows which
/// answer it was taken from.
pub async fn stormy(mut meter: Meter, weather: Weather, seed: u64, sent: Sent) {
    let mut dice = Dice(seed);
    let mut held: Vec<u8> = vec![];
    let mut stamp = 0u16;
    while let Some(asked) = meter.try_asked().await {
        if dice.chance(weather.loss) {
            continue;
        }
        stamp = stamp.wrapping_add(1);
        sent.0.lock().unwrap().insert(stamp, (asked, Instant::now()));
        let mut answer = asked.answer();
        answer[9..11].copy_from_slice(&stamp.to_be_bytes());
        if dice.chance(weather.loss) {
            continue;
        }
        let mut datagram = std::mem::take(&mut held);
        if dice.chance(weather.broken) {
            meter.send(&answer[..dice.roll() as usize % answer.len()]);
        }
        if dice.chance(weather.foreign) {
            // Right in all but the id, and wrong in its registers.
            let mut foreign = Asked {
                id: asked.id ^ 0x4000,
                ..asked
            }
            .answer();
            foreign[9..11].copy_from_slice(&[0xff; 2]);
            if dice.chance(50) {
                datagram.extend(foreign);
            } else {
                meter.send(foreign);
            }
        }
        datagram.extend(&answer);
        if dice.chance(weather.merged) {
            held = datagram;
        } else if dice.chance(weather.late) {
            meter.later(ms(30 + dice.roll() % 1470), datagram);
        } else {
            meter.send(&datagram);
            if dice.chance(weather.doubled) {
                meter.send(&datagram);
            }
        }
    }
}

/// Reads `count` times, one each second, and checks that each reading was sent in answer to that very read. How
/// many came.
pub async fn read_in_storm(weather: Weather, options: Options, count: u32) -> (u32, Link) {
    let sent = Sent::default();
    let seen = sent.clone();
    let link = meter(options, move |meter| {
        stormy(meter, weather, 0x2545_f491_4f6c_dd1d, sent.clone())
    });
    let mut came = 0;
    for n in 0..count {
        let begun = Instant::now();
        // The same few blocks over and over: a wrong match would go unnoticed but for the stamp.
        let at = (n % 3) as u16 * 100;
        match read(&link, 1, at, 4).await {
            Ok(got) => {
                came += 1;
                let sent = seen.0.lock().unwrap();
                let (asked, when) = sent.get(&got[0]).expect("a stamp that the meter gave");
                assert_eq!(
                    (asked.unit, asked.at, asked.count),
                    (1, at, 4),
                    "for another request"
                );
                assert!(*when >= begun, "it was asked by an earlier read");
                assert_eq!(got[1..], super::words(1, at, 4)[1..]);
            }
            Err(error) => assert!(
                matches!(
                    error.code(),
                    "silent" | "bad_answer" | "not_modbus" | "unit_resting"
                ),
                "{error}"
            ),
        }
        tokio::time::sleep_until(begun + ms(1000)).await;
    }
    (came, link)
}

/// A foreign message: an answer that nobody here asked for.
pub fn foreign(asked: Asked, n: u16) -> Vec<u8> {
    frame(
        asked.id.wrapping_add(0x4000).wrapping_add(n),
        asked.unit,
        &[3, 2, 0xde, 0xad],
    )
}
