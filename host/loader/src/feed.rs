//! A piece of a stream on its way to a worker.

use std::fmt;

use busbar_plugin_sdk::Feed;
use serde::{Deserialize, Serialize};

/// [`Feed`], with its bytes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OwnedFeed {
    bytes: Vec<u8>,
    key: Vec<u8>,
    auth_key: Vec<u8>,
    whole: bool,
    standard_offset: Option<i16>,
}

impl OwnedFeed {
    pub(crate) fn of(feed: &Feed<'_>) -> OwnedFeed {
        OwnedFeed {
            bytes: feed.bytes.to_vec(),
            key: feed.key.to_vec(),
            auth_key: feed.auth_key.to_vec(),
            whole: feed.whole,
            standard_offset: feed.standard_offset,
        }
    }

    pub(crate) fn lend(&self) -> Feed<'_> {
        Feed {
            bytes: &self.bytes,
            key: &self.key,
            auth_key: &self.auth_key,
            whole: self.whole,
            standard_offset: self.standard_offset,
        }
    }

    /// How many bytes of the stream there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Without the keys.
impl fmt::Debug for OwnedFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lend().fmt(f)
    }
}
