//! The way to one endpoint: a link over which devices are asked, or a stream in which a meter speaks.

use busbar_wire::{Endpoint, Link, LinkState, Options, Setting, Stream, StreamOptions};
use tokio::sync::watch;

use super::keys::Keys;
use crate::profile::Profile;

/// The way to one endpoint.
#[derive(Clone, Debug)]
pub enum Way {
    /// Devices are asked.
    Asked(Link),
    /// A meter is heard.
    Heard(Ear),
}

/// A stream, and what its telegrams are read with.
#[derive(Clone, Debug)]
pub struct Ear {
    /// Where they come from.
    pub stream: Stream,
    /// What they are read with.
    pub keys: Keys,
}

impl Way {
    /// Opens the way to an endpoint.
    pub fn open(endpoint: Endpoint, options: Options, keys: Keys, profile: &Profile) -> Way {
        let listening = StreamOptions {
            quick: options.one_shot,
            first: profile.setting.as_deref().and_then(|text| text.parse().ok()),
            ..StreamOptions::default()
        };
        match Stream::open(endpoint.clone(), listening) {
            Ok(stream) => Way::Heard(Ear { stream, keys }),
            Err(_) => Way::Asked(Link::open(endpoint, options)),
        }
    }

    /// The endpoint's canonical URL.
    pub fn endpoint(&self) -> &str {
        match self {
            Way::Asked(link) => link.endpoint(),
            Way::Heard(ear) => ear.stream.endpoint(),
        }
    }

    /// The link, where devices are asked.
    pub fn link(&self) -> Option<&Link> {
        match self {
            Way::Asked(link) => Some(link),
            Way::Heard(_) => None,
        }
    }

    /// What is known of the connection, now and at each change.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        match self {
            Way::Asked(link) => link.state(),
            Way::Heard(ear) => ear.stream.state(),
        }
    }

    /// Closes the connection, for all who share it, and waits until it is closed.
    pub async fn close(&self) {
        match self {
            Way::Asked(link) => link.close().await,
            Way::Heard(ear) => ear.stream.close().await,
        }
    }

    /// Takes over what was learned about talking to the endpoint.
    pub fn teach(&self, profile: &mut Profile) {
        match self {
            Way::Asked(link) => crate::profile::learn_link(profile, &link.stats()),
            Way::Heard(ear) => {
                let is_up = *ear.stream.state().borrow() == LinkState::Up;
                if let Some(setting) = ear.stream.setting().filter(|_| is_up) {
                    profile.setting = Some(Setting::to_string(&setting));
                }
            }
        }
    }
}

impl From<Link> for Way {
    fn from(link: Link) -> Self {
        Way::Asked(link)
    }
}
