//! The model behind a simulated site: named signals that follow the clock and each other.
//!
//! Time comes in as an argument and counts in whole ticks of one second, so that everything that is read within
//! one tick fits together (a meter and the system's sum of it), and so that the same seed and the same time
//! always give the same values. Nothing is worked out until somebody asks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Seconds in a day, simulated or not.
const DAY: f64 = 86_400.0;

/// A number that may change with time. Made by [`crate::expression`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Constant(f64),
    /// A named signal, by its place.
    Signal(usize),
    /// An accumulated value, by its place.
    State(usize),
    Sum(Box<[Node]>),
    Product(Box<[Node]>),
    Difference(Box<(Node, Node)>),
    /// Dividend and divisor; 0 where the divisor is 0.
    Ratio(Box<(Node, Node)>),
    /// Value, lower bound, upper bound.
    Clamp(Box<(Node, Node, Node)>),
    /// Period in seconds, phase as a part of the period.
    Sine {
        mean: f64,
        amplitude: f64,
        period: f64,
        phase: f64,
    },
    /// A bell between two times of the day (in seconds), 0 outside.
    Day {
        peak: f64,
        dawn: f64,
        dusk: f64,
    },
    /// Wanders smoothly within `mean` ± `spread`, with a new aim each `every` seconds.
    Wander {
        mean: f64,
        spread: f64,
        every: f64,
        salt: u64,
    },
    /// `high` for `lasts` seconds of each `every`, `low` otherwise.
    Pulse {
        low: f64,
        high: f64,
        every: f64,
        lasts: f64,
        after: f64,
    },
}

/// A value that accumulates: a counter, a state of charge.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Integral {
    pub(crate) of: Node,
    /// What one second of `of` = 1 adds.
    pub(crate) rate: f64,
    pub(crate) start: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The checked model of a site.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Time of the simulated day at the start, in seconds.
    pub(crate) begins: f64,
    /// How many simulated seconds pass in a real one, for the time of day only.
    pub(crate) haste: f64,
    pub(crate) signals: Vec<Node>,
    /// Places of `signals`, each behind what it depends on.
    pub(crate) order: Vec<usize>,
    pub(crate) integrals: Vec<Integral>,
}

/// A running model. Cheap while nobody asks: a tick that nobody saw costs some arithmetic when the next one is
/// asked for, and nothing before.
#[derive(Debug)]
pub(crate) struct House {
    plan: Plan,
    memo: Mutex<Memo>,
}

#[derive(Debug)]
struct Memo {
    tick: u64,
    signals: Vec<f64>,
    states: Vec<f64>,
}

impl House {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut memo = Memo {
            tick: 0,
            signals: vec![0.0; plan.signals.len()],
            states: Vec::new(),
        };
        memo.restart(&plan);
        House {
            plan,
            memo: Mutex::new(memo),
        }
    }

    /// The site at this time since its start. Hold the answer for one request only: it blocks the others.
    pub(crate) fn at(&self, elapsed: Duration) -> Now<'_> {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = elapsed.as_secs();
        if tick < memo.tick {
            memo.restart(&self.plan);
        }
        while memo.tick < tick {
            memo.advance(&self.plan);
        }
        Now {
            request: 0,
            plan: &self.plan,
            memo,
        }
    }
}

impl Memo {
    fn restart(&mut self, plan: &Plan) {
        self.tick = 0;
        self.states = plan.integrals.iter().map(|i| i.start).collect();
        self.settle(plan);
    }

    fn advance(&mut self, plan: &Plan) {
        let next = plan.integrals.iter().zip(&self.states).map(|(integral, state)| {
            let grown = state + integral.rate * self.value(plan, &integral.of);
            grown.max(integral.min).min(integral.max)
        });
        self.states = next.collect();
        self.tick += 1;
        self.settle(plan);
    }

    /// Works out the signals of this tick from its states.
    fn settle(&mut self, plan: &Plan) {
        for &place in &plan.order {
            self.signals[place] = self.value(plan, &plan.signals[place]);
        }
    }

    fn value(&self, plan: &Plan, node: &Node) -> f64 {
        let value = |node| self.value(plan, node);
        let t = self.tick as f64;
        match node {
            Node::Constant(number) => *number,
            Node::Signal(place) => self.signals[*place],
            Node::State(place) => self.states[*place],
            Node::Sum(terms) => terms.iter().map(value).sum(),
            Node::Product(factors) => factors.iter().map(value).product(),
            Node::Difference(pair) => value(&pair.0) - value(&pair.1),
            Node::Ratio(pair) => match value(&pair.1) {
                0.0 => 0.0,
                divisor => value(&pair.0) / divisor,
            },
            // Not `f64::clamp`, which panics when computed bounds cross.
            Node::Clamp(triple) => value(&triple.0).max(value(&triple.1)).min(value(&triple.2)),
            Node::Sine {
                mean,
                amplitude,
                period,
                phase,
            } => mean + amplitude * (std::f64::consts::TAU * (t / period + phase)).sin(),
            Node::Day { peak, dawn, dusk } => {
                let time = (plan.begins + t * plan.haste) % DAY;
                if time <= *dawn || time >= *dusk {
                    return 0.0;
                }
                peak * (std::f64::consts::PI * (time - dawn) / (dusk - dawn))
                    .sin()
                    .powf(1.3)
            }
            Node::Wander {
                mean,
                spread,
                every,
                salt,
            } => {
                let aim = |step: u64| noise(plan.seed, *salt, step);
                let step = (t / every).floor();
                let part = t / every - step;
                let smooth = part * part * (3.0 - 2.0 * part);
                let (from, to) = (aim(step as u64), aim(step as u64 + 1));
                mean + spread * (from + (to - from) * smooth)
            }
            Node::Pulse {
                low,
                high,
                every,
                lasts,
                after,
            } => {
                if (t - after).rem_euclid(*every) < *lasts {
                    *high
                } else {
                    *low
                }
            }
        }
    }
}

/// One moment of a site.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    /// Counts the device's requests.
    pub(crate) request: u64,
    plan: &'a Plan,
    memo: MutexGuard<'a, Memo>,
}

impl Now<'_> {
    pub(crate) fn value(&self, node: &Node) -> f64 {
        self.memo.value(self.plan, node)
    }
}

/// A number from -1 to 1 that looks random and depends on nothing but the arguments.
fn noise(seed: u64, salt: u64, step: u64) -> f64 {
    let mixed = mix(mix(mix(seed) ^ salt) ^ step);
    (mixed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// SplitMix64's finisher (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(signals: Vec<Node>, integrals: Vec<Integral>) -> Plan {
        let order = (0..signals.len()).collect();
        Plan {
            seed: 7,
            begins: 36_000.0,
            haste: 1.0,
            signals,
            order,
            integrals,
        }
    }

    fn value(house: &House, second: u64, node: &Node) -> f64 {
        house.at(Duration::from_secs(second)).value(node)
    }

    #[test]
    fn the_same_time_gives_the_same_value_whatever_was_asked_before() {
        let wander = Node::Wander {
            mean: 500.0,
            spread: 200.0,
            every: 10.0,
            salt: 3,
        };
        let counter = Integral {
            of: Node::Signal(0),
            rate: 1.0,
            start: 5.0,
            min: f64::NEG_INFINITY,
            max: f64::INFINITY,
        };
        let fresh = || House::new(plan(vec![wander.clone()], vec![counter.clone()]));
        let straight = value(&fresh(), 1000, &Node::State(0));
        let house = fresh();
        for second in [1, 17, 18, 999, 3, 1000] {
            value(&house, second, &Node::State(0));
        }
        assert_eq!(value(&house, 1000, &Node::State(0)), straight);
        for second in 0..1000 {
            let number = value(&house, second, &Node::Signal(0));
            assert!((300.0..=700.0).contains(&number), "{number} at {second}");
        }
    }

    #[test]
    fn a_counter_of_what_is_never_negative_never_falls() {
        let counter = Integral {
            of: Node::Pulse {
                low: 0.0,
                high: 1800.0,
                every: 30.0,
                lasts: 5.0,
                after: 3.0,
            },
            rate: 0.001 / 3600.0,
            start: 12.0,
            min: f64::NEG_INFINITY,
            max: f64::INFINITY,
        };
        let house = House::new(plan(vec![], vec![counter]));
        let mut last = 12.0;
        for second in 0..300 {
            let now = value(&house, second, &Node::State(0));
            assert!(now >= last);
            last = now;
        }
        // Ten pulses of 5 s at 1,800 W are 25 Wh.
        assert!((last - 12.025).abs() < 1e-9, "{last}");
    }

    #[test]
    fn the_sun_is_up_by_day_only() {
        let sun = Node::Day {
            peak: 1000.0,
            dawn: 6.0 * 3600.0,
            dusk: 20.0 * 3600.0,
        };
        let house = House::new(plan(vec![], vec![]));
        assert_eq!(value(&house, 3 * 3600, &sun), 1000.0);
        assert_eq!(value(&house, 11 * 3600, &sun), 0.0);
    }

    #[test]
    fn bounds_that_cross_do_no_harm() {
        let clamp = Node::Clamp(Box::new((
            Node::Constant(5.0),
            Node::Constant(9.0),
            Node::Constant(2.0),
        )));
        assert_eq!(value(&House::new(plan(vec![], vec![])), 0, &clamp), 2.0);
    }
}
