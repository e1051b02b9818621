//! Points that are worked out from others.

use std::collections::HashMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::Draft;
use super::common::{self, MAX_NOTE, MAX_TEXT};
use super::references::{self, Known, Reference, Target};
use super::section;
use crate::classes::{default_label, default_rate};
use crate::diagnostics::Sink;
use crate::format::{self, At, Formula, Operand};
use crate::model::{Expression, Point, PointSource};

/// Below this magnitude of the divisor a ratio says nothing.
const MIN_DENOMINATOR: f64 = 1e-9;

/// The keys of which a formula has exactly one.
const FORMULAS: [&str; 9] = [
    "sum",
    "difference",
    "product",
    "ratio",
    "sum_abs_products",
    "absolute",
    "sign",
    "sum_present",
    "first_valid",
];

/// Reads `[computed]` behind the measured points, whose formulas for devices without a register it gives, too.
pub(super) fn read_all(section: DeTable<'_>, drafts: &mut Vec<Draft>, known: &mut Known, sink: &mut Sink) {
    let measured = drafts.iter().enumerate();
    let mut waiting: HashMap<String, usize> = measured
        .filter(|(_, draft)| draft.otherwise.is_some())
        .map(|(i, draft)| (draft.point.key.clone(), i))
        .collect();
    for (key, value) in section {
        let key = At {
            span: key.span(),
            value: key.into_inner().into_owned(),
        };
        if let Some(draft) = waiting.remove(&key.value).and_then(|i| drafts.get_mut(i)) {
            stand_in(draft, value, &key, sink);
            continue;
        }
        let sound = common::key(&key.value, key.span.clone(), "point", sink);
        let fresh = known.add_point(&key.value, key.span.clone(), sink);
        let read = section::read::<format::Computed>(value, &key.value, sink);
        let complete = read.struck.is_empty();
        let Some(computed) = read.value else { continue };
        let draft = draft(computed, key, complete, sink);
        drafts.extend(draft.filter(|_| sound && fresh));
    }
    let mut missing: Vec<(String, usize)> = waiting.into_iter().collect();
    missing.sort_unstable_by_key(|(_, i)| *i);
    for (key, i) in missing {
        if let Some(span) = drafts.get(i).and_then(|draft| draft.otherwise.clone()) {
            sink.add(
                "else",
                span,
                format!("there is no `{key}` in [computed]"),
                format!("add it: {key} = {{ ratio = [\"a\", \"b\"] }}, or leave `else` out"),
            );
        }
    }
}

/// Gives a measured point the formula for devices that have no register of it. All else the point says itself.
fn stand_in(draft: &mut Draft, value: toml::Spanned<DeValue<'_>>, key: &At<String>, sink: &mut Sink) {
    let read = section::read::<format::Computed>(value, &key.value, sink);
    let complete = read.struck.is_empty();
    let Some(mut computed) = read.value else { return };
    let formula = formula_of(&mut computed);
    let said = [
        computed.unit.map(|unit| (unit.span, "unit")),
        computed.class.map(|class| (class.span, "class")),
        computed.decimals.map(|decimals| (decimals.span, "decimals")),
        computed.valid_when.map(|when| (when.span, "valid_when")),
        computed.group.map(|group| (group.span, "group")),
        computed.label.map(|label| (label.span, "label")),
        computed.origin.map(|origin| (origin.span, "origin")),
        computed.note.map(|note| (note.span, "note")),
        computed.total.map(|_| (key.span.clone(), "total")),
        computed.rate.map(|_| (key.span.clone(), "rate")),
    ];
    for (span, name) in said.into_iter().flatten() {
        sink.add(
            "else",
            span,
            format!("the {name} of `{}` is said in [points]", key.value),
            format!("leave `{name}` out here: this is only its formula"),
        );
    }
    let mut builder = Builder {
        references: &mut draft.references,
        complete,
        sink,
    };
    draft.point.otherwise = builder.formula(formula, &key.span);
}

/// The formula of a computed point, taken out of it.
fn formula_of(computed: &mut format::Computed) -> Formula {
    Formula {
        sum: computed.sum.take(),
        difference: computed.difference.take(),
        product: computed.product.take(),
        ratio: computed.ratio.take(),
        sum_abs_products: computed.sum_abs_products.take(),
        absolute: computed.absolute.take(),
        sign: computed.sign.take(),
        sum_present: computed.sum_present.take(),
        first_valid: computed.first_valid.take(),
        clamp: computed.clamp.take(),
        min_denominator: computed.min_denominator.take(),
    }
}

fn draft(mut computed: format::Computed, key: At<String>, complete: bool, sink: &mut Sink) -> Option<Draft> {
    let mut references = Vec::new();
    let formula = formula_of(&mut computed);
    let mut builder = Builder {
        references: &mut references,
        complete,
        sink,
    };
    let expression = builder.formula(formula, &key.span);
    if let Some(group) = &computed.group {
        references.push(Reference::new(
            Target::Group,
            group.value.clone(),
            group.span.clone(),
        ));
    }
    let valid_when = computed
        .valid_when
        .and_then(|when| references::condition(when, complete, &mut references, sink));
    let unit = common::unit(computed.unit, computed.class.as_ref(), !complete, sink);
    let decimals = common::decimals(computed.decimals.as_ref(), sink);
    let label = common::text(computed.label, "label", MAX_TEXT, sink);
    let origin = common::text(computed.origin, "origin", MAX_TEXT, sink);
    let note = common::text(computed.note, "note", MAX_NOTE, sink);
    let class = computed.class.map(|class| class.value);
    common::no_wrap(computed.total.as_ref(), sink);
    Some(Draft {
        point: Point {
            label: label.unwrap_or_else(|| default_label(&key.value)),
            rate: computed
                .rate
                .unwrap_or_else(|| default_rate(class, false, &key.value)),
            source: PointSource::Computed(expression?),
            otherwise: None,
            key: key.value,
            unit,
            class,
            total: computed.total.map(|total| total.value),
            labels: Default::default(),
            unlisted: None,
            valid_when,
            group: computed.group.map(|group| group.value),
            since: None,
            writable: false,
            write: None,
            not_written: None,
            decimals: decimals.unwrap_or(0),
            origin,
            note,
            internal: false,
            absent: None,
        },
        key: key.span,
        overlap: false,
        at: Vec::new(),
        references,
        since: Vec::new(),
        otherwise: None,
        models: Vec::new(),
        decimals_given: decimals.is_some(),
        write: None,
    })
}

/// Turns formulas into expressions and notes what they refer to.
struct Builder<'a> {
    references: &'a mut Vec<Reference>,
    /// Whether nothing of the section was at fault: only then can something be said to be missing.
    complete: bool,
    sink: &'a mut Sink,
}

impl Builder<'_> {
    fn formula(&mut self, formula: Formula, place: &Range<usize>) -> Option<Expression> {
        let is_ratio = formula.ratio.is_some();
        let under = self.min_denominator(formula.min_denominator, is_ratio);
        let mut found: Vec<Option<Expression>> = Vec::new();
        if let Some(operands) = formula.sum {
            found.push(self.list(operands, "sum", place).map(Expression::Sum));
        }
        if let Some(operands) = formula.difference {
            let pair = self.pair(operands, "difference", place);
            found.push(pair.map(|(a, b)| Expression::Difference(Box::new(a), Box::new(b))));
        }
        if let Some(operands) = formula.product {
            found.push(self.list(operands, "product", place).map(Expression::Product));
        }
        if let Some(operands) = formula.ratio {
            found.push(
                self.pair(operands, "ratio", place)
                    .map(|(a, b)| Expression::Ratio {
                        over: Box::new(a),
                        under: Box::new(b),
                        min_denominator: under,
                    }),
            );
        }
        if let Some(lists) = formula.sum_abs_products {
            let products = self
                .not_empty(lists, "sum_abs_products", place)
                .and_then(|lists| {
                    lists
                        .into_iter()
                        .map(|list| self.list(list, "sum_abs_products", place))
                        .collect::<Option<Vec<_>>>()
                });
            found.push(products.map(Expression::SumAbsProducts));
        }
        if let Some(operand) = formula.absolute {
            found.push(self.operand(operand).map(|a| Expression::Absolute(Box::new(a))));
        }
        if let Some(operand) = formula.sign {
            found.push(self.operand(operand).map(|a| Expression::Sign(Box::new(a))));
        }
        if let Some(operands) = formula.sum_present {
            found.push(
                self.list(operands, "sum_present", place)
                    .map(Expression::SumPresent),
            );
        }
        if let Some(operands) = formula.first_valid {
            found.push(
                self.list(operands, "first_valid", place)
                    .map(Expression::FirstValid),
            );
        }
        if found.len() != 1 {
            if self.complete {
                let message = if found.is_empty() {
                    "a computed value without a formula"
                } else {
                    "more than one formula"
                };
                self.sink.add(
                    "formula",
                    place.clone(),
                    message,
                    format!("write one of {}", FORMULAS.join(", ")),
                );
            }
            return None;
        }
        let expression = found.pop().flatten()?;
        match formula.clamp {
            None => Some(expression),
            Some(At { value, span }) => match value.as_slice() {
                [low, high] if low.0 <= high.0 => {
                    Some(Expression::Clamp(Box::new(expression), low.0, high.0))
                }
                _ => {
                    self.sink.add(
                        "formula",
                        span,
                        "a clamp without a range",
                        "write [low, high]: [-1, 1]",
                    );
                    None
                }
            },
        }
    }

    fn min_denominator(&mut self, given: Option<At<format::Number>>, is_ratio: bool) -> f64 {
        let Some(At { value, span }) = given else {
            return MIN_DENOMINATOR;
        };
        if !is_ratio {
            self.sink.add(
                "formula",
                span,
                "only a ratio has a denominator",
                "leave `min_denominator` out",
            );
        } else if value.0 < MIN_DENOMINATOR {
            self.sink.add(
                "formula",
                span,
                format!("a denominator of {} is too small", value.0),
                "write at least 1e-9",
            );
        }
        value.0
    }

    fn not_empty<T>(&mut self, list: Vec<T>, name: &str, place: &Range<usize>) -> Option<Vec<T>> {
        if list.is_empty() {
            if self.complete {
                self.sink.add(
                    "formula",
                    place.clone(),
                    format!("`{name}` of nothing"),
                    "name at least one operand",
                );
            }
            return None;
        }
        Some(list)
    }

    fn list(
        &mut self,
        operands: Vec<At<Operand>>,
        name: &str,
        place: &Range<usize>,
    ) -> Option<Vec<Expression>> {
        let operands = self.not_empty(operands, name, place)?;
        // Every operand is looked at, also behind one that is at fault.
        let all: Vec<_> = operands
            .into_iter()
            .map(|operand| self.operand(operand))
            .collect();
        all.into_iter().collect()
    }

    fn pair(
        &mut self,
        operands: Vec<At<Operand>>,
        name: &str,
        place: &Range<usize>,
    ) -> Option<(Expression, Expression)> {
        let count = operands.len();
        let mut all = self.list(operands, name, place)?.into_iter();
        match (all.next(), all.next(), all.next()) {
            (Some(a), Some(b), None) => Some((a, b)),
            _ => {
                if self.complete {
                    let message = format!("`{name}` needs two operands, not {count}");
                    self.sink.add("formula", place.clone(), message, "write [a, b]");
                }
                None
            }
        }
    }

    fn operand(&mut self, operand: At<Operand>) -> Option<Expression> {
        let At { value, span } = operand;
        match value {
            Operand::Key(key) => {
                self.references
                    .push(Reference::new(Target::Operand, key.clone(), span));
                Some(Expression::Point(key))
            }
            Operand::Constant(number) => Some(Expression::Constant(number)),
            Operand::Formula(formula) => self.formula(*formula, &span),
        }
    }
}

/// Gives a computed point the decimals of what it is computed from. `points` are those before it.
pub(super) fn default_decimals(point: &mut Point, points: &[Point], index: &HashMap<String, usize>) {
    if let PointSource::Computed(expression) = &point.source {
        point.decimals = decimals(expression, points, index);
    }
}

fn decimals(expression: &Expression, points: &[Point], index: &HashMap<String, usize>) -> u8 {
    let of = |operand: &Expression| decimals(operand, points, index);
    match expression {
        Expression::Point(key) => index
            .get(key)
            .and_then(|&i| points.get(i))
            .map_or(0, |point| point.decimals),
        Expression::Constant(_) | Expression::Sign(_) => 0,
        Expression::Sum(all)
        | Expression::Product(all)
        | Expression::FirstValid(all)
        | Expression::SumPresent(all) => all.iter().map(of).max().unwrap_or(0),
        Expression::SumAbsProducts(all) => all.iter().flatten().map(of).max().unwrap_or(0),
        Expression::Difference(a, b) => of(a).max(of(b)),
        Expression::Ratio { .. } => 3,
        Expression::Clamp(a, _, _) | Expression::Absolute(a) => of(a),
    }
}
