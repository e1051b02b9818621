//! Why a session ended or did not begin.

/// Why, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// For people.
    pub(super) cause: String,
    /// What follows.
    pub(super) kind: Kind,
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but another attempt.
    Again,
    /// The broker may speak another version.
    Version,
    /// The broker took offence at the size of something.
    TooLarge,
}

impl Fault {
    /// Nothing but another attempt.
    pub(super) fn again(cause: impl Into<String>) -> Self {
        Fault {
            cause: cause.into(),
            kind: Kind::Again,
        }
    }

    /// The same, with what follows.
    pub(super) fn of(kind: Kind, cause: impl Into<String>) -> Self {
        Fault {
            kind,
            ..Fault::again(cause)
        }
    }
}

/// The broker does not let this user in.
pub(super) fn not_let_in(user: Option<&str>) -> Fault {
    Fault::again(match user {
        Some(user) => format!(
            "the broker refuses the user {user:?}: correct the user, or the password in BUSBAR_MQTT_PASSWORD or \
             mqtt.password_file"
        ),
        None => "the broker wants to know who comes: write mqtt.user, and give its password in BUSBAR_MQTT_PASSWORD or \
                 mqtt.password_file"
            .to_owned(),
    })
}

/// The broker does not take the client id.
pub(super) fn not_this_id(id: &str) -> Fault {
    Fault::again(format!(
        "the broker does not take the client id {id:?}: write another mqtt.client_id"
    ))
}

/// The broker does not speak this version.
pub(super) fn not_this_version(version: super::server::Version) -> Fault {
    Fault::of(
        Kind::Version,
        format!("the broker does not speak {version}: leave out mqtt.version, and Busbar finds out"),
    )
}

/// What somebody else wrote, so that it can be shown: short, and without control characters.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 200;
    text.chars().take(MOST).flat_map(char::escape_debug).collect()
}
