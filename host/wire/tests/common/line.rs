//! A scripted device on the other end of an in-memory line.

use std::future::Future;
use std::sync::{Arc, Mutex};

use busbar_wire::{Link, Options, Parity, SerialLine};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Dial, Peer, ms, words};

/// A line of so many baud, 10 bits a character.
pub fn baud(baud: u32) -> SerialLine {
    SerialLine {
        baud,
        parity: Parity::None,
        ..SerialLine::new("/dev/ttyUSB0")
    }
}

/// A frame with its CRC, worked out bit by bit: not by the code under test.
pub fn rtu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    let mut sum = 0xffff_u16;
    for byte in &frame {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = sum & 1;
            sum >>= 1;
            if carry == 1 {
                sum ^= 0xa001;
            }
        }
    }
    frame.extend(sum.to_le_bytes());
    frame
}

/// A request as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnLine {
    pub unit: u8,
    pub function: u8,
    pub at: u16,
    pub count: u16,
}

impl OnLine {
    pub fn request(self) -> Vec<u8> {
        let [at, count] = [self.at, self.count].map(u16::to_be_bytes);
        rtu(self.unit, &[self.function, at[0], at[1], count[0], count[1]])
    }

    /// The right answer: each register holds its address plus 1000 times its unit.
    pub fn answer(self) -> Vec<u8> {
        let mut pdu = vec![self.function, (self.count * 2) as u8];
        let words = words(self.unit, self.at, self.count);
        pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        rtu(self.unit, &pdu)
    }

    pub fn exception(self, code: u8) -> Vec<u8> {
        rtu(self.unit, &[self.function | 0x80, code])
    }
}

impl Peer {
    /// The next request on a line; `None` when the client has closed.
    pub async fn try_heard(&mut self) -> Option<OnLine> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes).await.ok()?;
        assert_eq!(rtu(bytes[0], &bytes[1..6]), bytes, "a request is whole and right");
        let word = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
        Some(OnLine {
            unit: bytes[0],
            function: bytes[1],
            at: word(2),
            count: word(4),
        })
    }

    pub async fn heard(&mut self) -> OnLine {
        self.try_heard().await.expect("the client closed the line")
    }

    /// Answers everything on a line rightly, to the end.
    pub async fn serve_line(mut self) {
        while let Some(asked) = self.try_heard().await {
            self.send(asked.answer()).await;
        }
    }

    /// Loses what was asked until now.
    pub async fn forget(&mut self) {
        let mut bytes = [0; 64];
        while let Ok(Ok(1..)) = tokio::time::timeout(ms(1), self.0.read(&mut bytes)).await {}
    }

    /// Sends as a line does: byte for byte, each in its time.
    pub async fn send_paced(&mut self, line: &SerialLine, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            tokio::time::sleep(line.character()).await;
            let _ = self.0.write_all(&[*byte]).await;
        }
    }
}

/// A link to a line on which the same script runs each time that it is opened.
pub fn line<F>(options: Options, settings: &SerialLine, script: impl Fn(Peer) -> F + Send + 'static) -> Link
where
    F: Future<Output = ()> + Send + 'static,
{
    let (tx, mut rx) = mpsc::unbounded_channel();
    let link = Link::over_line("modbus+rtu:///dev/ttyUSB0", options, settings, Dial(tx));
    tokio::spawn(async move {
        while let Some(stream) = rx.recv().await {
            tokio::spawn(script(Peer(stream)));
        }
    });
    link
}

/// What a script notes for its test.
pub type Notes<T> = Arc<Mutex<Vec<T>>>;

pub fn notes<T>() -> Notes<T> {
    Arc::default()
}

pub fn note<T>(notes: &Notes<T>, what: T) {
    notes.lock().expect("a test failed").push(what);
}
