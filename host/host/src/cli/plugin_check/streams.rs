//! A plugin's hearing on trial: with streams in which there is no telegram.

use busbar_loader::Plugins;
use busbar_plugin_sdk::{Feed, MAX_FEED, Telegram};

/// So much noise is handed over, as the most of one feed.
const NOISE: usize = MAX_FEED;
/// A stream that has ended is done with in so many calls, or never.
const CALLS: usize = 1024;

/// A plugin that has failed so often in a row is set aside with the next failure, and says nothing new then.
const ENOUGH: usize = 2;

/// What is wrong with how it hears and recognises.
pub(super) async fn trial(plugins: &Plugins, plugin: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, stream) in streams() {
        if let Err(fault) = listen(plugins, plugin, &stream).await {
            faults.push(format!("its telegram function, with {what}: {fault}"));
        }
        if faults.len() == ENOUGH {
            return faults;
        }
    }
    if let Err(error) = plugins.recognise(plugin, &Telegram::default()).await {
        faults.push(format!(
            "its recognise function, with a telegram without a line: {error}"
        ));
    }
    faults
}

/// What they are called, and what is in them.
fn streams() -> [(&'static str, Vec<u8>); 4] {
    // Each byte follows from the one before: the same noise each time.
    let next = |byte: &u32| Some(byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let noise = std::iter::successors(Some(1_u32), next).map(|n| n.to_be_bytes()[0]);
    [
        ("no bytes", Vec::new()),
        ("zeros", vec![0; NOISE]),
        ("ones", vec![0xFF; NOISE]),
        ("noise", noise.take(NOISE).collect()),
    ]
}

/// Hands a stream over until all of it is done with.
async fn listen(plugins: &Plugins, plugin: &str, stream: &[u8]) -> Result<(), String> {
    let mut rest = stream;
    for _ in 0..CALLS {
        let feed = Feed {
            bytes: rest,
            whole: true,
            ..Feed::default()
        };
        let heard = plugins.telegram(plugin, &feed).await;
        let heard = heard.map_err(|error| error.to_string())?;
        if let Some(telegram) = heard.telegrams.first() {
            return Err(format!(
                "it hears a telegram in it ({} lines)",
                telegram.lines.len()
            ));
        }
        rest = rest.get(heard.consumed..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        if heard.consumed == 0 {
            return Err(format!(
                "it leaves {} bytes of a stream that has ended (`whole` is set), and consumes nothing",
                rest.len()
            ));
        }
    }
    Err(format!(
        "it is not done with {} bytes in {CALLS} calls",
        stream.len()
    ))
}
