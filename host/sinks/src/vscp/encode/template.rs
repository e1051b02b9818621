//! The topic of an event: a text with names in braces, checked once when it is loaded.

use std::fmt::Write;

use super::event::Event;

/// The longest topic that MQTT carries, in bytes.
const LONGEST: usize = 65_535;

/// A topic with places for what differs from event to event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// What may stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Guid,
    Class,
    Type,
    Nickname,
    SensorIndex,
    Zone,
    Subzone,
    Name,
}

const PLACES: [(&str, Place); 8] = [
    ("xguid", Place::Guid),
    ("xclass", Place::Class),
    ("xtype", Place::Type),
    ("xnickname", Place::Nickname),
    ("xsensorindex", Place::SensorIndex),
    ("xzone", Place::Zone),
    ("xsubzone", Place::Subzone),
    ("xname", Place::Name),
];

impl Template {
    /// The template of this text. `{{` and `}}` are braces themselves.
    ///
    /// # Errors
    /// A name that is not known, a brace without its other, and what a topic must not have.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "is empty, and nothing can be published: write vscp/{xguid}/{xclass}/{xtype}".to_owned(),
            );
        }
        check_topic(text)?;
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            let doubled = ["{{", "}}"].into_iter().find(|two| brace.starts_with(two));
            if let Some(two) = doubled {
                literal.push_str(&two[..1]);
                rest = &brace[2..];
                continue;
            }
            let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = inner else {
                return Err(format!(
                    "\"{text}\" has a brace without its other; for a brace itself write two"
                ));
            };
            let Some((_, place)) = PLACES.iter().find(|(known, _)| *known == name) else {
                let known: Vec<String> = PLACES.iter().map(|(known, _)| format!("{{{known}}}")).collect();
                return Err(format!(
                    "\"{text}\": {{{name}}} is not known; known are {}",
                    known.join(", ")
                ));
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Place(*place));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template(parts))
    }

    /// The topic of one event.
    pub fn fill(&self, event: &Event) -> String {
        let mut topic = String::new();
        for part in &self.0 {
            // Writing to a text cannot fail.
            let _ = match part {
                Part::Text(text) => topic.write_str(text),
                Part::Place(Place::Guid) => write!(topic, "{}", event.guid),
                Part::Place(Place::Class) => write!(topic, "{}", event.class),
                Part::Place(Place::Type) => write!(topic, "{}", event.ty),
                Part::Place(Place::Nickname) => write!(topic, "{}", event.guid.id()),
                Part::Place(Place::SensorIndex) => write!(topic, "{}", event.measured.sensor_index),
                Part::Place(Place::Zone) => write!(topic, "{}", event.measured.zone),
                Part::Place(Place::Subzone) => write!(topic, "{}", event.measured.subzone),
                Part::Place(Place::Name) => topic.write_str(event.name),
            };
        }
        topic
    }
}

/// Whether something can be published under this topic.
///
/// # Errors
/// What it must not have.
pub fn check_topic(topic: &str) -> Result<(), String> {
    if topic.is_empty() {
        return Err("is empty: a topic has at least one character".to_owned());
    }
    if let Some(bad) = topic.chars().find(|c| matches!(c, '+' | '#' | '\0')) {
        return Err(format!(
            "{topic:?} has a {bad:?}, which no topic may have that something is published under: leave it out"
        ));
    }
    if topic.starts_with('$') {
        return Err(format!(
            "{topic:?} begins with $, which is the broker's own: leave it out"
        ));
    }
    if topic.len() > LONGEST / 2 {
        return Err(format!(
            "has {} bytes: write at most {}",
            topic.len(),
            LONGEST / 2
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::event::testing::event;
    use super::*;

    fn fill(template: &str) -> String {
        Template::parse(template).unwrap().fill(&event())
    }

    #[test]
    fn each_place_is_filled() {
        let guid = "FF:FF:FF:FF:FF:FF:FF:FE:02:00:00:00:00:01:01:02";
        assert_eq!(
            fill("vscp/{xguid}/{xclass}/{xtype}"),
            format!("vscp/{guid}/1040/13")
        );
        assert_eq!(
            fill("{xnickname}/{xsensorindex}/{xzone}/{xsubzone}/{xname}"),
            "258/1/2/3/sum_active_energy_out"
        );
        assert_eq!(fill("a{{xguid}}b/ö"), "a{xguid}b/ö");
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (template, word) in [
            ("vscp/{guid}", "{guid} is not known; known are {xguid}"),
            ("vscp/{xtype:03d}", "{xtype:03d} is not known"),
            ("vscp/{}", "{} is not known"),
            ("vscp/{xguid", "brace without"),
            ("vscp/xguid}", "brace without"),
            ("", "is empty"),
            ("vscp/+/{xtype}", "'+'"),
            ("vscp/#", "'#'"),
            ("vscp/\0", "'\\0'"),
            ("$SYS/{xguid}", "begins with $"),
        ] {
            let fault = Template::parse(template).unwrap_err();
            assert!(fault.contains(word), "{template}: {fault}");
        }
    }
}
