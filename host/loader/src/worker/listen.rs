//! Lets a plugin find telegrams in a stream, and devices in a telegram.
#![allow(unsafe_code, reason = "calls C functions")]

use busbar_plugin_sdk::abi::{NO_OFFSET, RawFeed, RawHeard, RawTelegram, RawText, Tag, Vtable};
use busbar_plugin_sdk::{Checked, Feed, Heard, Telegram, Verdict};

use super::call::{verdict, with_sink};

/// Hands a plugin a piece of a stream.
pub(crate) fn telegram(vtable: Vtable, feed: &Feed<'_>) -> Result<Heard, String> {
    let hook = vtable.telegram.ok_or("it takes no telegrams")?;
    let raw = RawFeed {
        bytes: feed.bytes.as_ptr(),
        bytes_len: feed.bytes.len(),
        key: feed.key.as_ptr(),
        key_len: feed.key.len(),
        auth_key: feed.auth_key.as_ptr(),
        auth_key_len: feed.auth_key.len(),
        whole: feed.whole.into(),
        standard_offset: feed.standard_offset.map_or(NO_OFFSET, Into::into),
    };
    let mut numbers = RawHeard::default();
    // SAFETY: the slices behind `raw`, `numbers` and the sink are valid for the length of the call.
    let texts = with_sink(|sink| unsafe { hook(&raw const raw, &raw mut numbers, sink) })?;
    let mut heard = Heard {
        consumed: numbers.consumed,
        telegrams: Vec::new(),
        damaged: numbers.damaged,
        unchecked: numbers.unchecked,
        dropped: numbers.dropped,
        repeated: numbers.repeated,
        note: None,
    };
    for (tag, text) in texts {
        match tag {
            Tag::HEARD_NOTE => heard.note = Some(text),
            Tag::TELEGRAM => heard.telegrams.push(Telegram {
                checked: Checked::of(&text)
                    .ok_or_else(|| format!("it gave {text:?} as how a telegram was checked"))?,
                ..Telegram::default()
            }),
            _ => {
                let Some(telegram) = heard.telegrams.last_mut() else {
                    continue;
                };
                match tag {
                    Tag::TELEGRAM_TIME => {
                        let time = text.parse();
                        telegram.time_ms =
                            Some(time.map_err(|_| format!("it gave {text:?} as a telegram's time"))?);
                    }
                    Tag::TELEGRAM_LINE => telegram.lines.push(text),
                    Tag::TELEGRAM_VARIANT => telegram.variant = text,
                    Tag::TELEGRAM_IDENT => telegram.ident = text,
                    _ => {}
                }
            }
        }
    }
    Ok(heard)
}

/// Asks a plugin whose telegram this is.
pub(crate) fn recognise(vtable: Vtable, telegram: &Telegram) -> Result<Verdict, String> {
    let hook = vtable.recognise.ok_or("it recognises no telegrams")?;
    let lend = |text: &String| RawText {
        data: text.as_ptr(),
        len: text.len(),
    };
    let lines: Vec<RawText> = telegram.lines.iter().map(lend).collect();
    let checked = Checked::ALL.iter().position(|each| *each == telegram.checked);
    let raw = RawTelegram {
        checked: u32::try_from(checked.unwrap_or_default()).unwrap_or(u32::MAX),
        has_time: telegram.time_ms.is_some().into(),
        time_ms: telegram.time_ms.unwrap_or_default(),
        lines: lines.as_ptr(),
        lines_len: lines.len(),
        variant: lend(&telegram.variant),
        ident: lend(&telegram.ident),
    };
    // SAFETY: what lies behind `raw`, and the sink, are valid for the length of the call.
    let texts = with_sink(|sink| unsafe { hook(&raw const raw, sink) })?;
    Ok(verdict(texts)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use busbar_plugin_sdk::{Description, Found, Plugin};

    use super::*;

    #[derive(Default)]
    struct Echo;

    impl Plugin for Echo {
        const NAME: &'static str = "echo";
        const VERSION: &'static str = "1";

        fn describe(&self) -> Description {
            Description::default()
        }

        fn telegram(&self, feed: &Feed<'_>) -> Heard {
            let said = Telegram {
                checked: Checked::Restored,
                time_ms: Some(-1),
                lines: vec![String::new(), format!("{:?} {:?}", feed.key, feed.auth_key)],
                variant: format!("{:?}", feed.standard_offset),
                ident: String::from_utf8_lossy(feed.bytes).into_owned(),
            };
            Heard {
                consumed: 2,
                telegrams: vec![Telegram::default(), said],
                damaged: 3,
                unchecked: 4,
                dropped: 5,
                repeated: 6,
                note: feed.whole.then(|| "näh".to_owned()),
            }
        }

        fn recognise(&self, telegram: &Telegram) -> Verdict {
            let device = Found {
                name: Some(format!("{telegram:?}")),
                ..Found::default()
            };
            Verdict {
                devices: vec![Found::default(), device],
                note: String::new(),
            }
        }
    }

    const VTABLE: Vtable = busbar_plugin_sdk::private::Shim::<Echo>::VTABLE;

    #[test]
    fn all_that_is_heard_crosses_the_border() {
        let feeds = [
            Feed::default(),
            Feed {
                bytes: b"/ABC5",
                key: &[1; 16],
                auth_key: &[2; 16],
                whole: true,
                standard_offset: Some(-1440),
            },
        ];
        for feed in feeds {
            assert_eq!(telegram(VTABLE, &feed), Ok(Echo.telegram(&feed)));
        }
    }

    #[test]
    fn all_of_a_telegram_crosses_the_border() {
        let said = Telegram {
            checked: Checked::Crc,
            time_ms: Some(i64::MIN),
            lines: vec!["1-0:1.7.0(1*kW)".into(), String::new()],
            variant: "nl5".into(),
            ident: "ö".into(),
        };
        for telegram in [Telegram::default(), said] {
            assert_eq!(recognise(VTABLE, &telegram), Ok(Echo.recognise(&telegram)));
        }
    }

    #[test]
    fn a_plugin_without_the_hooks_says_so() {
        assert!(telegram(Vtable::default(), &Feed::default()).is_err());
        assert!(recognise(Vtable::default(), &Telegram::default()).is_err());
    }
}
