//! What the wire needs to write: exactly these words, to this place, until then.
//!
//! A [`Permit`] has one constructor, [`Checked::permit`], and a [`Checked`] comes only from [`crate::check`]: there is no
//! other way to a write frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use busbar_ledger::value::Value;

/// What is sent, word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Coils, with function 5 (one) or 15.
    Coils {
        /// The function code.
        function: u8,
        /// The first address.
        at: u16,
        /// What they shall be.
        values: Vec<bool>,
    },
    /// Registers, with function 6 (one) or 16.
    Registers {
        /// The function code.
        function: u8,
        /// The first address.
        at: u16,
        /// What they shall hold.
        words: Vec<u16>,
    },
    /// A register link, with function 23: writes `words` to `at`, and reads as many as `answer` says back from there.
    Link {
        /// Where the link lies.
        at: u16,
        /// Id, length in bytes, data.
        words: Vec<u16>,
        /// How many registers are read back.
        answer: u16,
    },
}

impl Order {
    /// The function code of the request.
    pub fn function(&self) -> u8 {
        match self {
            Order::Coils { function, .. } | Order::Registers { function, .. } => *function,
            Order::Link { .. } => 23,
        }
    }

    /// The first address.
    pub fn at(&self) -> u16 {
        match self {
            Order::Coils { at, .. } | Order::Registers { at, .. } | Order::Link { at, .. } => *at,
        }
    }

    /// The words as they go over the wire; a coil is 0 or 1.
    pub fn words(&self) -> Vec<u16> {
        match self {
            Order::Coils { values, .. } => values.iter().map(|on| u16::from(*on)).collect(),
            Order::Registers { words, .. } | Order::Link { words, .. } => words.clone(),
        }
    }
}

/// The kill switch, as every permit knows it.
#[derive(Clone, Debug, Default)]
pub struct Latch(Arc<AtomicBool>);

impl Latch {
    /// Stops every write that is not on the wire yet, those that wait in a queue too.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Lets writes through again.
    pub fn release(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Whether writes are stopped.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The intent row of a write, which is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted(pub i64);

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody asked for it.
    Set,
    /// It keeps a lease alive.
    KeepAlive,
    /// It ends a lease with the safe value: that passes the kill switch.
    Safe,
}

/// A value that has passed every check of [`crate::check`], as the words that are sent.
///
/// Nobody else can make one, nor change one that there is:
///
/// ```compile_fail,E0451
/// # use busbar_guard::{Checked, Order};
/// # use busbar_ledger::value::Value;
/// # fn order() -> Order { unimplemented!() }
/// let checked = Checked { order: order(), value: Value::Integer(0) };
/// ```
///
/// ```compile_fail,E0624
/// # use busbar_guard::{Checked, Order};
/// # use busbar_ledger::value::Value;
/// # fn order() -> Order { unimplemented!() }
/// let checked = Checked::new(order(), Value::Integer(0));
/// ```
///
/// ```compile_fail,E0616
/// # use busbar_guard::{Checked, Order};
/// # fn order() -> Order { unimplemented!() }
/// fn change(checked: &mut Checked) {
///     checked.order = order();
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    order: Order,
    value: Value,
}

impl Checked {
    /// The only place where one is made is [`crate::check`].
    pub(crate) fn new(order: Order, value: Value) -> Self {
        Checked { order, value }
    }

    /// What is sent.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// What the words mean when they are decoded again.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The permit for one request with these words.
    pub fn permit(&self, unit: u8, noted: Noted, until: Instant, latch: &Latch, purpose: Purpose) -> Permit {
        Permit {
            unit,
            order: self.order.clone(),
            noted,
            until,
            latch: latch.clone(),
            purpose,
        }
    }
}

/// Leave to send one write request, once. It cannot be cloned, and it runs out.
///
/// It comes from a [`Checked`], and from nowhere else:
///
/// ```
/// # use busbar_guard::{Checked, Latch, Noted, Permit, Purpose};
/// fn leave(checked: &Checked, latch: &Latch) -> Permit {
///     checked.permit(100, Noted(1), std::time::Instant::now(), latch, Purpose::Set)
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use busbar_guard::{Latch, Noted, Order, Permit, Purpose};
/// fn leave(order: Order, latch: Latch) -> Permit {
///     Permit { unit: 100, order, noted: Noted(1), until: std::time::Instant::now(), latch, purpose: Purpose::Set }
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use busbar_guard::Permit;
/// fn twice(permit: &Permit) -> Permit {
///     permit.clone()
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    unit: u8,
    order: Order,
    noted: Noted,
    until: Instant,
    latch: Latch,
    purpose: Purpose,
}

impl Permit {
    /// The unit that is written to.
    pub fn unit(&self) -> u8 {
        self.unit
    }

    /// What is sent.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The intent row.
    pub fn noted(&self) -> Noted {
        self.noted
    }

    /// When it runs out.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Why it may not be sent any more. The wire asks in the moment before the frame goes out.
    pub fn void(&self, now: Instant) -> Option<&'static str> {
        if self.latch.is_set() && self.purpose != Purpose::Safe {
            return Some("the kill switch is on");
        }
        (now >= self.until).then_some("it waited too long for its turn")
    }
}
