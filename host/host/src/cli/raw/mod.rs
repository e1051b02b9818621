//! `busbar raw`: registers as they are, with every plausible meaning.

mod table;

use std::path::Path;

use busbar_ledger::span::Span;
use busbar_wire::{Link, Priority, ReadPlan};
use serde::{Deserialize, Serialize};

use super::args::RawArgs;
use super::endpoint;
use super::output::Output;
use crate::control::RawCall;
use crate::error::{HostError, Result};
use crate::interpret::{Interpretation, TYPES, interpret, sunspec_at, text_of, type_name};

/// The document that `busbar raw --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawReport {
    /// Where it was read.
    pub connection: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// The address space.
    pub function: String,
    /// The first address.
    pub at: u16,
    /// The words, or the bits as 0 and 1.
    pub words: Vec<u16>,
    /// The same bytes as text, where they look like one.
    pub text: Option<String>,
    /// Where a SunSpec map begins in it.
    pub sunspec_at: Option<u16>,
    /// What they could mean, by address, the likeliest first.
    pub interpretations: Vec<Interpretation>,
}

/// What to read, checked.
///
/// # Errors
/// A usage error for a length that Modbus cannot read, or a type that does not exist or does not fit.
pub fn checked(args: &RawArgs) -> Result<Span> {
    let function = args.function.function();
    let span = Span {
        function,
        at: args.at,
        count: args.count,
    };
    let most = if function.is_bit() { 2000 } else { 125 };
    if args.count > most {
        return Err(HostError::usage(
            format!("--count {} is more than one read can carry", args.count),
            format!("Write at most {most} for {function} registers."),
        ));
    }
    if span.end() > 0x1_0000 {
        return Err(HostError::usage(
            format!(
                "{} registers from {} run past 65535, the last address",
                args.count, args.at
            ),
            "Begin earlier or read fewer.",
        ));
    }
    Ok(span)
}

/// The type that was asked for, by its short name.
///
/// # Errors
/// A usage error for a type that does not exist.
fn asked_type(args: &RawArgs) -> Result<Option<&'static str>> {
    let Some(name) = &args.ty else {
        return Ok(None);
    };
    type_name(name).map(Some).ok_or_else(|| {
        let known: Vec<&str> = TYPES
            .iter()
            .map(|(short, _, _, _)| *short)
            .chain(["text"])
            .collect();
        HostError::usage(
            format!("--type {name} is no type"),
            format!("Types are {}; INT16 to FLOAT64 will do, too.", known.join(", ")),
        )
    })
}

/// Runs the command: through the running host where it owns the endpoint.
pub async fn run(args: &RawArgs, data_dir: &Path, output: Output) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    let span = checked(args)?;
    let url = endpoint.to_string();
    let ty = asked_type(args)?;
    let found = match endpoint::owner(data_dir, &url).await? {
        Some(mut host) => {
            let call = RawCall {
                url,
                unit: args.unit,
                span,
                ty: ty.map(str::to_owned),
            };
            host.post("/control/raw", &call).await?
        }
        None => {
            let link = Link::open(endpoint, endpoint::one_shot(args.timeout));
            report(&link, args.unit, span, ty).await?
        }
    };
    table::show(&found, ty, output)
}

/// Reads and interprets.
///
/// # Errors
/// The wire's.
pub async fn report(link: &Link, unit: u8, span: Span, ty: Option<&str>) -> Result<RawReport> {
    let words = link
        .read(ReadPlan {
            unit,
            span,
            priority: Priority::Poll,
        })
        .await?;
    Ok(RawReport {
        connection: link.endpoint().to_string(),
        unit_id: unit,
        function: span.function.name().to_owned(),
        at: span.at,
        text: text_of(&words, span.function),
        sunspec_at: sunspec_at(span, &words),
        interpretations: interpret(span, &words, ty),
        words,
    })
}
