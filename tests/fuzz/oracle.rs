//! What a frame may hold, worked out from the ledger's rule and the owner's numbers alone. It is plain on purpose and shares
//! nothing with the guard: two that reckon differently and agree are seldom both wrong.

use busbar::rehearse::Says;
use busbar_guard::{Order, Owner, Phases, Site, Voltage};
use busbar_ledger::codec::{self, Decoded};
use busbar_ledger::model::{Ledger, Point, ValueType};
use busbar_ledger::span::Function;
use busbar_ledger::value::Value;
use busbar_ledger::write::{Bound, By, SiteLimit, WriteRule};

/// Judges a frame for one point: place, function, length, and what its words mean.
///
/// # Errors
/// What is wrong with it.
pub fn judge(
    ledger: &Ledger,
    point: &Point,
    site: &Site,
    owner: &Owner,
    says: &Says,
    order: &Order,
) -> Result<(), String> {
    let rule = point.write.as_ref().ok_or("a point without a rule")?;
    match meaning(point, rule, order)? {
        Value::Text(text) => {
            let control = text.chars().any(char::is_control);
            (!control)
                .then_some(())
                .ok_or_else(|| format!("control characters in {text:?}"))
        }
        value => number(
            ledger,
            rule,
            site,
            owner,
            says,
            value.as_f64().unwrap_or(f64::NAN),
        ),
    }
}

/// What the words of a frame mean, where it covers exactly what it should.
fn meaning(point: &Point, rule: &WriteRule, order: &Order) -> Result<Value, String> {
    let register = point.register().ok_or("a point without a register")?;
    let wrong = |what: &str| {
        Err(format!(
            "{what}: {order:?} for {} by {:?}",
            register.span, rule.by
        ))
    };
    let words = order.words();
    let words = match (rule.by, order) {
        (By::RegisterLink { at, id, bytes }, Order::Link { at: to, .. }) => {
            let length = words.get(1).map_or(0, |length| usize::from(*length));
            let fits = length <= usize::from(bytes) && words.len() == 2 + length.div_ceil(2);
            if *to != at || words[0] != id || !fits {
                return wrong("another setting, or another length");
            }
            let data: Vec<u8> = words[2..]
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .take(length)
                .collect();
            // As the device shows it afterwards: a text from the left, a number from the right.
            let mut shown = vec![0; 2 * usize::from(register.span.count)];
            let room = shown
                .len()
                .checked_sub(length)
                .ok_or("longer than it is read back")?;
            let from = if register.ty == ValueType::Text { 0 } else { room };
            shown[from..from + length].copy_from_slice(&data);
            shown
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect()
        }
        (
            By::Function(function),
            Order::Registers {
                function: with,
                at,
                words,
            },
        ) => {
            // Several words are never written one by one, and only in one request.
            let whole = words.len() == usize::from(register.span.count) && (words.len() == 1 || *with == 16);
            let right =
                *with == function && matches!(with, 6 | 16) && register.span.function == Function::Holding;
            if !whole || !right || *at != register.span.at {
                return wrong("not its registers, or not by its function");
            }
            words.clone()
        }
        (
            By::Function(function),
            Order::Coils {
                function: with,
                at,
                values,
            },
        ) => {
            let whole =
                values.len() == usize::from(register.span.count) && (values.len() == 1 || *with == 15);
            let right =
                *with == function && matches!(with, 5 | 15) && register.span.function == Function::Coils;
            if !whole || !right || *at != register.span.at {
                return wrong("not its coils, or not by its function");
            }
            words
        }
        _ => return wrong("another kind of request"),
    };
    match codec::decode(register, &words, None) {
        Decoded::Value(value) => Ok(value),
        Decoded::Invalid(why) => Err(format!("{words:?} is no value: {why}")),
    }
}

fn number(
    ledger: &Ledger,
    rule: &WriteRule,
    site: &Site,
    owner: &Owner,
    says: &Says,
    value: f64,
) -> Result<(), String> {
    // More than any step of a register, and less than anybody would notice.
    let slack = |bound: f64| 1e-9 * bound.abs().max(1.0);
    let above = |low: Option<f64>| low.is_none_or(|low| value >= low - slack(low));
    let below = |high: Option<f64>| high.is_none_or(|high| value <= high + slack(high));
    let fault = |what: &str| Err(format!("{value} {what}"));
    if rule.no_limit == Some(value) {
        return if owner.no_limit {
            Ok(())
        } else {
            fault("lifts a limit without leave")
        };
    }
    if !above(owner.min) || !below(owner.max) {
        return fault("is outside what the owner allows");
    }
    if owner.choices.as_ref().is_some_and(|only| !only.contains(&value)) {
        return fault("is none of the owner's choices");
    }
    if rule.choices.contains(&value) {
        return Ok(());
    }
    let mut rules = vec![rule];
    let alias = rule.alias_of.as_deref().and_then(|key| ledger.point(key));
    rules.extend(alias.and_then(|point| point.write.as_ref()));
    for rule in rules {
        let Some((min, max)) = rule.range else {
            return fault("is none of its choices, and it has no range");
        };
        let (Some(min), Some(max)) = (bound(min, false, site), bound(max, true, site)) else {
            return fault("needs a limit that nobody has set");
        };
        if !above(Some(min)) || !below(Some(max)) {
            return Err(format!("{value} is outside {min} to {max}"));
        }
    }
    if !above(says.min) || !below(says.max) {
        return fault("is outside what the device allows");
    }
    if let Some(step) = rule.step {
        let steps = value / step;
        if (steps - steps.round()).abs() > 1e-6 {
            return fault("lies between two steps");
        }
    }
    for most in rule.max_change.into_iter().chain(owner.max_change) {
        let old = says
            .old
            .as_ref()
            .and_then(Value::as_f64)
            .ok_or("a change from nobody knows what")?;
        if (value - old).abs() > most + slack(most.abs().max(old.abs())) {
            return Err(format!("{value} is more than {most} away from {old}"));
        }
    }
    Ok(())
}

/// A bound of a ledger in numbers.
fn bound(bound: Bound, upper: bool, site: &Site) -> Option<f64> {
    match bound {
        Bound::Number(number) => Some(number),
        // The lower end of "both ways" is as far down as the upper end is up.
        Bound::Site {
            limit,
            negative: true,
        } => of_site(limit, true, site).map(|value| -value),
        Bound::Site {
            limit,
            negative: false,
        } => of_site(limit, upper, site),
    }
}

fn of_site(limit: SiteLimit, upper: bool, site: &Site) -> Option<f64> {
    let volts = match site.ac_voltage {
        Some(Voltage::Volts(volts)) => Some(volts),
        _ => None,
    };
    let phases = site.phases.map(|phases| match phases {
        Phases::Single => 1.0,
        Phases::Split => 2.0,
        Phases::Three => 3.0,
    });
    let cells = site.battery.map(|battery| f64::from(battery.cells));
    match limit {
        SiteLimit::AcCurrent => site.ac_current,
        SiteLimit::AcPowerPhase => Some(volts? * site.ac_current?),
        SiteLimit::AcPower => Some(volts? * site.ac_current? * phases?),
        SiteLimit::DcCurrent => site.dc_current,
        SiteLimit::DcPower => Some(cells? * site.battery?.nominal * site.dc_current?),
        SiteLimit::BatteryVoltage if upper => Some(cells? * site.battery?.max),
        SiteLimit::BatteryVoltage => Some(cells? * site.battery?.min),
    }
}
