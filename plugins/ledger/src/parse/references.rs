//! What refers to what: groups, conditions, operands; unknown names and circles.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use toml::de::DeTable;

use super::Draft;
use super::common::{self, MAX_TEXT};
use super::explain::nearest;
use super::head::Head;
use super::section;
use crate::diagnostics::{Diagnostic, MAX_SHOWN, Sink};
use crate::format::{self, At};
use crate::model::{Condition, Group, PointSource, Test, ValueType};

/// What kind of thing a reference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A point of any kind.
    Any,
    /// A point whose value is a number: an operand.
    Operand,
    /// A point whose value is a number: what a condition asks.
    Condition,
    /// A point whose value is a number: what an interlock asks.
    Interlock,
    /// A point in which the device says a bound of another, in the same unit.
    Bound,
    /// A writable point that is the same setting in another register.
    Alias,
    /// A point that holds a power of ten.
    Scale,
    /// A presence group.
    Group,
}

/// A name that must lead somewhere.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) target: Target,
    pub(super) name: String,
    pub(super) span: Range<usize>,
}

impl Reference {
    pub(super) fn new(target: Target, name: String, span: Range<usize>) -> Self {
        Reference { target, name, span }
    }
}

/// Names that the file gives, also those of entries that are at fault.
#[derive(Default)]
pub(super) struct Known {
    points: HashMap<String, Range<usize>>,
    lost: HashSet<String>,
    /// A repeated point is at fault: any name might be one of its.
    lost_pattern: bool,
    groups: HashSet<String>,
}

impl Known {
    /// An entry that could not be read.
    pub(super) fn lose(&mut self, name: String) {
        self.lost_pattern |= name.contains('{');
        self.lost.insert(name);
    }

    /// Adds a point; refuses a second one of the same key.
    pub(super) fn add_point(&mut self, name: &str, span: Range<usize>, sink: &mut Sink) -> bool {
        let Some(first) = self.points.get(name) else {
            self.points.insert(name.to_owned(), span);
            return true;
        };
        sink.push(Diagnostic {
            code: "duplicate-key",
            message: format!("two points have the key `{name}`"),
            help: Some("give each point, computed ones too, a key of its own".to_owned()),
            span: Some(span),
            related: Some((first.clone(), "the first".to_owned())),
        });
        false
    }

    fn has_point(&self, name: &str) -> bool {
        self.points.contains_key(name) || self.lost.contains(name) || self.lost_pattern
    }
}

/// A group and what it refers to.
pub(super) struct GroupDraft {
    pub(super) name: String,
    pub(super) group: Group,
    references: Vec<Reference>,
}

/// Reads `[groups]`.
pub(super) fn read_groups(section: DeTable<'_>, known: &mut Known, sink: &mut Sink) -> Vec<GroupDraft> {
    let mut groups = Vec::with_capacity(section.len());
    for (key, value) in section {
        let place = key.span();
        common::key(key.get_ref(), place.clone(), "group", sink);
        let name = key.into_inner().into_owned();
        known.groups.insert(name.clone());
        let read = section::read::<format::Group>(value, &name, sink);
        let complete = read.struck.is_empty();
        let Some(group) = read.value else { continue };
        if complete && group.when.is_none() && group.requires.is_none() && group.proven_by.is_none() {
            sink.add(
                "group",
                place,
                format!("group `{name}` does not say what proves it"),
                "add when = { point = \"…\", above = 50 }, requires = { … } or proven_by = \"sibling\"",
            );
        }
        let mut references = Vec::new();
        let group = Group {
            title: common::text(group.title, "title", MAX_TEXT, sink),
            when: group
                .when
                .and_then(|when| condition(when, complete, &mut references, sink)),
            requires: group
                .requires
                .and_then(|requires| condition(requires, complete, &mut references, sink)),
            proven_by_sibling: group.proven_by.is_some(),
        };
        groups.push(GroupDraft {
            name,
            group,
            references,
        });
    }
    groups
}

/// Checks that a condition asks exactly one thing. `complete`: nothing around it was at fault.
pub(super) fn condition(
    condition: At<format::Condition>,
    complete: bool,
    references: &mut Vec<Reference>,
    sink: &mut Sink,
) -> Option<Condition> {
    let At {
        value: condition,
        span,
    } = condition;
    references.push(Reference::new(
        Target::Condition,
        condition.point.value.clone(),
        condition.point.span,
    ));
    let bounds = match (condition.at_least.map(|n| n.0), condition.below.map(|n| n.0)) {
        (Some(from), Some(below)) if from < below => Some(Test::Between(from, below)),
        (Some(_), Some(_)) => {
            let help = "write the smaller number at at_least and the larger at below";
            sink.add("condition", span, "a condition that nothing can meet", help);
            return None;
        }
        (Some(from), None) => Some(Test::AtLeast(from)),
        (None, below) => below.map(Test::Below),
    };
    let tests = [
        condition.above.map(|n| Test::Above(n.0)),
        bounds,
        condition
            .one_of
            .filter(|all| !all.is_empty() && all.len() <= 256)
            .map(Test::In),
        condition
            .not_in
            .filter(|all| !all.is_empty() && all.len() <= 256)
            .map(Test::NotIn),
        condition.non_zero.filter(|yes| *yes).map(|_| Test::NonZero),
        condition.bits.filter(|&bits| bits != 0).map(Test::Bits),
    ];
    let mut tests = tests.into_iter().flatten();
    match (tests.next(), tests.next()) {
        (Some(test), None) => Some(Condition {
            point: condition.point.value,
            test,
        }),
        (None, _) if !complete => None,
        (first, _) => {
            let message = if first.is_some() {
                "a condition with two tests"
            } else {
                "a condition that tests nothing"
            };
            sink.add(
                "condition",
                span,
                message,
                "write one of above = n, below = n, at_least = n (or both of these), in = [n], not_in = [n], non_zero = true, bits = n",
            );
            None
        }
    }
}

/// Checks that every name leads to something that fits.
pub(super) fn check(drafts: &[Draft], groups: &[GroupDraft], head: &Head, known: &Known, sink: &mut Sink) {
    let points: HashMap<&str, &Draft> = drafts
        .iter()
        .map(|draft| (draft.point.key.as_str(), draft))
        .collect();
    let of_points = drafts.iter().flat_map(|draft| {
        draft
            .references
            .iter()
            .map(move |reference| (Some(draft), reference))
    });
    let of_others = groups
        .iter()
        .flat_map(|group| &group.references)
        .chain(&head.references)
        .map(|reference| (None, reference));
    for (from, reference) in of_points.chain(of_others) {
        if reference.target == Target::Group {
            if !known.groups.contains(&reference.name) {
                unknown(reference, "group", known.groups.iter().map(String::as_str), sink);
            }
        } else if let Some(point) = points.get(reference.name.as_str()) {
            if let Some((message, help)) = misfit(from, reference, point) {
                sink.add("reference", reference.span.clone(), message, help);
            }
        } else if !known.has_point(&reference.name) {
            unknown(reference, "point", known.points.keys().map(String::as_str), sink);
        }
    }
}

fn unknown<'a>(reference: &Reference, what: &str, names: impl Iterator<Item = &'a str>, sink: &mut Sink) {
    // The search costs a look at every name: not worth it for faults that nobody will see.
    let near = if sink.len() < MAX_SHOWN {
        nearest(&reference.name, names)
    } else {
        None
    };
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if what == "group" => "add it as [groups.NAME]".to_owned(),
        None => "write the key of a point of this file".to_owned(),
    };
    let name: String = reference.name.chars().take(80).collect();
    sink.add(
        "unknown-reference",
        reference.span.clone(),
        format!("there is no {what} `{name}`"),
        help,
    );
}

/// Why a reference, which stands in `from`, does not fit the point that it leads to.
fn misfit(from: Option<&Draft>, reference: &Reference, point: &Draft) -> Option<(String, &'static str)> {
    let key = &reference.name;
    let register = point.point.register();
    let is_text = register.is_some_and(|register| register.ty == ValueType::Text);
    match reference.target {
        Target::Operand | Target::Condition | Target::Interlock | Target::Bound if is_text => Some((
            format!("`{key}` is a text, not a number"),
            "name a point of a number type",
        )),
        Target::Bound | Target::Alias if from.is_some_and(|from| from.point.key == *key) => Some((
            format!("`{key}` names itself"),
            "name another point, or leave this out",
        )),
        Target::Bound | Target::Alias if from.is_some_and(|from| from.point.unit != point.point.unit) => {
            let unit = |draft: &Draft| draft.point.unit.clone().unwrap_or_else(|| "no unit".to_owned());
            let own = from.map(unit).unwrap_or_default();
            Some((
                format!("`{key}` counts in {}, this point in {own}", unit(point)),
                "name a point of the same unit",
            ))
        }
        // A write table at fault was told already.
        Target::Alias if point.write.is_none() => Some((
            format!("`{key}` has no `write` of its own"),
            "name the point that carries the limits, budget and interval of both",
        )),
        Target::Alias if is_alias(point) => Some((
            format!("`{key}` is itself an alias"),
            "name the point that it is an alias of",
        )),
        Target::Scale
            if register.is_none_or(|r| {
                r.scale_point.is_some() || matches!(r.ty, ValueType::Text | ValueType::F32 | ValueType::F64)
            }) =>
        {
            Some((
                format!("`{key}` cannot hold a power of ten"),
                "name a measured point of an integer type",
            ))
        }
        _ => None,
    }
}

/// Whether a point says that it is another one's setting in another register.
fn is_alias(draft: &Draft) -> bool {
    draft
        .references
        .iter()
        .any(|reference| reference.target == Target::Alias)
}

/// The order in which points can be evaluated: measured ones as in the file, then each that may be computed behind
/// what it is computed from. `None` when something depends on itself; that is reported.
pub(super) fn evaluation_order(drafts: &[Draft], sink: &mut Sink) -> Option<Vec<usize>> {
    let index: HashMap<&str, usize> = drafts
        .iter()
        .enumerate()
        .map(|(i, d)| (d.point.key.as_str(), i))
        .collect();
    // What a value needs before it is known. Its own validity may hang on itself (`valid_when` above 0).
    let needs: Vec<Vec<(usize, &Range<usize>)>> = drafts
        .iter()
        .enumerate()
        .map(|(i, draft)| {
            let edges = draft.references.iter().filter_map(|reference| {
                let to = *index.get(reference.name.as_str())?;
                let counts = match reference.target {
                    Target::Group | Target::Any => false,
                    // Asked when something is written, not when this value is worked out.
                    Target::Interlock | Target::Bound | Target::Alias => false,
                    Target::Condition => to != i,
                    Target::Operand | Target::Scale => true,
                };
                counts.then_some((to, &reference.span))
            });
            edges.collect()
        })
        .collect();

    let is_computed = |i: usize| {
        drafts.get(i).is_some_and(|d| {
            matches!(
                d.point.source,
                PointSource::Computed(_) | PointSource::Integrated(_)
            ) || d.point.otherwise.is_some()
        })
    };
    let mut order: Vec<usize> = (0..drafts.len()).filter(|&i| !is_computed(i)).collect();
    let mut state = vec![State::New; drafts.len()];
    let mut circles = 0;
    for start in 0..drafts.len() {
        // A walk with a stack of its own: chains may be long.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((node, edge)) = path.pop() {
            let Some(node_state) = state.get_mut(node) else {
                continue;
            };
            if edge == 0 {
                if *node_state != State::New {
                    continue;
                }
                *node_state = State::Open;
            }
            let Some(&(next, span)) = needs.get(node).and_then(|edges| edges.get(edge)) else {
                *node_state = State::Done;
                if is_computed(node) {
                    order.push(node);
                }
                continue;
            };
            path.push((node, edge + 1));
            match state.get(next) {
                Some(State::New) => path.push((next, 0)),
                Some(State::Open) => {
                    circles += 1;
                    circle(drafts, &path, next, span, sink);
                }
                _ => {}
            }
        }
    }
    (circles == 0).then_some(order)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Says how a value depends on itself.
fn circle(drafts: &[Draft], path: &[(usize, usize)], back_to: usize, span: &Range<usize>, sink: &mut Sink) {
    let name = |i: usize| drafts.get(i).map_or("", |draft| draft.point.key.as_str());
    let from = path.iter().position(|&(node, _)| node == back_to).unwrap_or(0);
    let round: Vec<&str> = path.iter().skip(from).map(|&(node, _)| name(node)).collect();
    let text = match round.as_slice() {
        [first, .., last] if round.len() > 8 => format!("`{first}` → … → `{last}` → `{first}`"),
        _ => round
            .iter()
            .chain(round.first())
            .map(|key| format!("`{key}`"))
            .collect::<Vec<_>>()
            .join(" → "),
    };
    sink.add(
        "circle",
        span.clone(),
        format!("`{}` depends on itself: {text}", name(back_to)),
        "take one of them out of the circle",
    );
}
