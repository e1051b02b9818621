//! A client that sends what it is told and reports what came: no checks, no retries.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frame::{Frame, Sender, Wire};

/// Longer than anything on loopback takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A raw connection for tests.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    bytes: Vec<u8>,
    transaction: u16,
}

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub async fn connect(address: SocketAddr) -> io::Result<Raw> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Raw {
            stream,
            bytes: Vec::new(),
            transaction: 0,
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As the system says.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a sound request and gives its transaction id.
    ///
    /// # Errors
    /// As the system says.
    pub async fn request(&mut self, unit: u8, pdu: &[u8]) -> io::Result<u16> {
        self.transaction = self.transaction.wrapping_add(1);
        let frame = Frame {
            transaction: self.transaction,
            unit,
            pdu: pdu.to_vec(),
        };
        self.send(&frame.bytes(Wire::Mbap)).await?;
        Ok(self.transaction)
    }

    /// The next whole frame: transaction id, unit, PDU.
    ///
    /// # Errors
    /// The connection ended, nothing came for long, or what came is no frame.
    pub async fn frame(&mut self) -> io::Result<(u16, u8, Vec<u8>)> {
        loop {
            let frame = Wire::Mbap
                .take(Sender::Device, &mut self.bytes)
                .map_err(|()| io::ErrorKind::InvalidData)?;
            if let Some(Frame {
                transaction,
                unit,
                pdu,
            }) = frame
            {
                return Ok((transaction, unit, pdu));
            }
            if timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// What comes within a time, which may be nothing.
    ///
    /// # Errors
    /// As the system says; the end of the stream is one.
    pub async fn bytes_within(&mut self, time: Duration) -> io::Result<Vec<u8>> {
        match timeout(time, self.stream.read_buf(&mut self.bytes)).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Ok(std::mem::take(&mut self.bytes)),
        }
    }

    /// Asks and gives the PDU that came, whatever it is.
    ///
    /// # Errors
    /// As [`Raw::frame`].
    pub async fn ask(&mut self, unit: u8, pdu: &[u8]) -> io::Result<Vec<u8>> {
        self.request(unit, pdu).await?;
        Ok(self.frame().await?.2)
    }

    /// Reads holding registers; the inner error is an exception code.
    ///
    /// # Errors
    /// As [`Raw::frame`].
    pub async fn read(&mut self, unit: u8, at: u16, count: u16) -> io::Result<Result<Vec<u16>, u8>> {
        let (at, count) = (at.to_be_bytes(), count.to_be_bytes());
        let pdu = self.ask(unit, &[3, at[0], at[1], count[0], count[1]]).await?;
        match pdu.as_slice() {
            [3, _, words @ ..] => Ok(Ok(words
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect())),
            [0x83, code] => Ok(Err(*code)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
