//! The live page: every device with its newest values, rendered here and kept fresh by a small script.

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use busbar_ledger::presence::Status;
use busbar_ledger::value::Value;
use maud::{DOCTYPE, Markup, html};

use super::Shared;
use crate::format;
use crate::view::{self, DeviceView, EntityView};

/// Rows of a card that are open from the start.
const OPEN_ROWS: usize = 8;

/// `/`
pub async fn live(State(shared): State<Shared>) -> Html<String> {
    let mut devices = view::devices(&shared.bus).devices;
    // What measures something comes first; a service with nothing but settings can wait below.
    devices.sort_by_key(|d| {
        (
            d.connection.clone(),
            !d.entities.iter().any(is_measured),
            d.unit_id,
        )
    });
    Html(render(&devices).into_string())
}

/// `/assets/busbar.css`
pub async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("assets/busbar.css"),
    )
}

/// `/assets/busbar.js`
pub async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("assets/busbar.js"),
    )
}

fn render(devices: &[DeviceView]) -> Markup {
    let entities: usize = devices.iter().map(|d| d.entities.len()).sum();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Busbar" }
                link rel="stylesheet" href="/assets/busbar.css";
                script src="/assets/busbar.js" defer {}
            }
            body {
                header {
                    h1 { "Busbar" }
                    p.summary { (plural(devices.len(), "device")) ", " (plural(entities, "entity")) }
                    p #link.link role="status" { "connecting" }
                    input #filter type="search" placeholder="Filter devices and values" aria-label="Filter";
                }
                main {
                    @if devices.is_empty() {
                        section.empty {
                            h2 { "Nothing is set up yet" }
                            p { "In a terminal on this machine, step by step:" }
                            pre { "busbar setup" }
                            p { "What is saved there is polled at once; load this page again to see it." }
                        }
                    }
                    @for device in devices { (card(device)) }
                }
            }
        }
    }
}

fn card(device: &DeviceView) -> Markup {
    // What is proven comes first; what never showed a value waits behind the fold.
    let (present, unproven): (Vec<_>, Vec<_>) = device
        .entities
        .iter()
        .partition(|e| e.entity.status == Status::Present);
    let mut rows: Vec<&EntityView> = present;
    rows.sort_by_key(|e| (!is_measured(e), interest(e)));
    let rest = rows.split_off(rows.len().min(OPEN_ROWS));
    html! {
        section.device id=(device.id) data-availability=(device.availability) {
            h2 { (device.name) }
            p.about {
                span.state { (device.availability) }
                " · unit " (device.unit_id) " · " (device.ledger)
                @if let Some(firmware) = &device.firmware { " · " (firmware) }
            }
            p.reason { (device.reason.as_deref().unwrap_or_default()) }
            table { tbody { @for entity in &rows { (row(entity)) } } }
            @if !rest.is_empty() {
                details {
                    summary { (rest.len()) " more" }
                    table { tbody { @for entity in &rest { (row(entity)) } } }
                }
            }
            @if !unproven.is_empty() {
                details {
                    summary { (unproven.len()) " unproven: never more than 0 so far" }
                    table { tbody { @for entity in &unproven { (row(entity)) } } }
                }
            }
        }
    }
}

/// Powers, voltages, currents and the like: what people look for first.
fn is_measured(view: &EntityView) -> bool {
    let entity = &view.entity;
    matches!(entity.value, Some(Value::Number(_) | Value::Integer(_)))
        && entity.status == Status::Present
        && entity.unit.is_some()
        && !entity.writable
}

/// What an owner looks for first comes first; the rest keeps the order of the ledger.
fn interest(view: &EntityView) -> usize {
    const FIRST: [&str; 5] = ["W", "%", "V", "A", "kWh"];
    let unit = view.entity.unit.as_deref().unwrap_or_default();
    FIRST.iter().position(|u| *u == unit).unwrap_or(FIRST.len())
}

fn row(view: &EntityView) -> Markup {
    let entity = &view.entity;
    let shown = format::value(
        view.shown().as_ref(),
        entity.label.as_deref(),
        entity.unit.as_deref(),
        entity.quality,
    );
    html! {
        tr data-entity=(entity.id) data-quality=(entity.quality.name()) title=(entity.id) {
            th scope="row" { (entity.name) }
            td { (shown) }
        }
    }
}

fn plural(n: usize, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {what}s"),
    }
}
