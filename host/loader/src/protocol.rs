//! What host and worker say to each other: postcard in frames with a length before them. Each question has a number, which
//! its answer repeats: a plugin can write to the channel, too, and what it leaves there must not be taken for the answer to
//! the next question.

use std::io::{self, Read, Write};

use busbar_plugin_sdk::{Conversation, Heard, Step, Telegram, Verdict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::feed::OwnedFeed;
use crate::{Described, Protection};

/// The largest frame, either way. A full scan's evidence has about 300 KB, all GX ledgers about 1 MB.
pub(crate) const MAX_FRAME: usize = 5 * 1024 * 1024;
/// A larger one is taken apart beside the thread that polls.
const SMALL: usize = 64 * 1024;

/// What the host asks, one at a time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// First: close all other descriptors and take on the limits. Answered with [`Reply::Began`].
    /// `files` are the libraries themselves, `keep` all descriptors of libraries.
    Begin { keep: Vec<i32>, files: Vec<i32> },
    /// Load a library; it gets the next number, from 0. Answered with [`Reply::Done`].
    Load(Load),
    /// Answered with [`Reply::Described`].
    Describe { plugin: usize },
    /// Answered with [`Reply::Stepped`].
    Discover {
        plugin: usize,
        conversation: Conversation,
    },
    /// Answered with [`Reply::Heard`].
    Telegram { plugin: usize, feed: OwnedFeed },
    /// Answered with [`Reply::Recognised`].
    Recognise { plugin: usize, telegram: Telegram },
}

/// What to load.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// The sealed copy.
    pub(crate) sealed: Option<i32>,
    /// The file, for where the copy cannot be loaded.
    pub(crate) file: i32,
    /// What the file must still hold then.
    pub(crate) hash: [u8; 32],
    /// The record that was inspected; the one in memory must be equal.
    pub(crate) record: Vec<u8>,
    /// Size of its function table.
    pub(crate) vtable_size: u32,
    /// Nothing else will be loaded: no file may be opened from now on.
    pub(crate) alone: bool,
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Began(Protection),
    Done,
    Described(Described),
    Stepped(#[serde(deserialize_with = "crate::bounded::step")] Step),
    Heard(#[serde(deserialize_with = "crate::bounded::heard")] Heard),
    Recognised(#[serde(deserialize_with = "crate::bounded::verdict")] Verdict),
    /// The call failed, for this reason; the worker is well.
    Failed(String),
}

/// Why a message did not come through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a message of {0} bytes; at most {MAX_FRAME} are taken")]
    TooLarge(usize),
    #[error("a message that makes no sense")]
    Garbage,
    #[error("an answer to another question than the one that was asked")]
    Other,
}

fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(|_| FrameError::Garbage)?;
    let len = frame.len() - 4;
    let prefix = u32::try_from(len)
        .ok()
        .filter(|_| len <= MAX_FRAME)
        .ok_or(FrameError::TooLarge(len))?;
    frame[..4].copy_from_slice(&prefix.to_le_bytes());
    Ok(frame)
}

fn length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let len = u32::from_le_bytes(prefix) as usize;
    if len > MAX_FRAME {
        Err(FrameError::TooLarge(len))
    } else {
        Ok(len)
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Garbage),
    }
}

/// Reads a message; none at the end of the stream.
pub(crate) fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut prefix = [0; 4];
    match from.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; length(prefix)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// Writes a message.
pub(crate) fn write(to: &mut impl Write, message: &impl Serialize) -> Result<(), FrameError> {
    Ok(to.write_all(&encode(message)?)?)
}

/// Sends a message under this number and waits for the answer of the same number. The buffer grows with what really
/// arrives, not with what was announced.
pub(crate) async fn exchange<S, T>(
    stream: &mut S,
    number: u64,
    message: &impl Serialize,
) -> Result<T, FrameError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: DeserializeOwned + Send + 'static,
{
    stream.write_all(&encode(&(number, message))?).await?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await?;
    let len = length(prefix)?;
    let mut body = Vec::with_capacity(len.min(64 * 1024));
    stream.take(len as u64).read_to_end(&mut body).await?;
    if body.len() < len {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let (answered, answer): (u64, T) = if body.len() <= SMALL {
        decode(&body)?
    } else {
        let apart = tokio::task::spawn_blocking(move || decode(&body));
        apart.await.map_err(io::Error::other)??
    };
    if answered == number {
        Ok(answer)
    } else {
        Err(FrameError::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Request::Describe { plugin: 7 }).unwrap();
        write(
            &mut pipe,
            &Request::Begin {
                keep: vec![3],
                files: vec![],
            },
        )
        .unwrap();
        let mut pipe = &pipe[..];
        assert!(matches!(
            read(&mut pipe),
            Ok(Some(Request::Describe { plugin: 7 }))
        ));
        assert!(matches!(read(&mut pipe), Ok(Some(Request::Begin { .. }))));
        assert!(matches!(read::<Request>(&mut pipe), Ok(None)));
    }

    #[test]
    fn garbage_is_an_error() {
        let read = |mut bytes: &[u8]| read::<Request>(&mut bytes).unwrap_err();
        assert!(matches!(read(&[0xFF; 8]), FrameError::TooLarge(_)));
        assert!(matches!(read(&[4, 0, 0, 0, 1]), FrameError::Io(_)));
        assert!(matches!(read(&[1, 0, 0, 0, 0xFF]), FrameError::Garbage));
        assert!(
            matches!(read(&[3, 0, 0, 0, 2, 7, 7]), FrameError::Garbage),
            "something is left over"
        );
        // A list that claims to be longer than its message.
        assert!(matches!(
            read(&[6, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
            FrameError::Garbage
        ));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error() {
        let (mut here, mut there) = tokio::io::duplex(64);
        there.write_all(&[200, 0, 0, 0, 1, 2, 3]).await.unwrap();
        there.shutdown().await.unwrap();
        let answer = exchange::<_, Reply>(&mut here, 0, &Request::Describe { plugin: 0 }).await;
        assert!(matches!(answer, Err(FrameError::Io(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn only_the_answer_to_this_question_is_one() {
        let (mut here, mut there) = tokio::io::duplex(256);
        let answers = [(7_u64, Reply::Done), (7, Reply::Done)];
        for answer in answers {
            there.write_all(&encode(&answer).unwrap()).await.unwrap();
        }
        let ask = Request::Describe { plugin: 0 };
        assert!(matches!(exchange(&mut here, 7, &ask).await, Ok(Reply::Done)));
        let late = exchange::<_, Reply>(&mut here, 8, &ask).await;
        assert!(matches!(late, Err(FrameError::Other)), "{late:?}");
    }
}
