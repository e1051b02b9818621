//! Who a device says it is: read device identification (function 43/14) and report server id (function 17).
//!
//! Source: Modbus Application Protocol V1.1b3, sections 6.13 and 6.21.

use std::fmt;

use busbar_ledger::span::{Function, Span};

use crate::check::{self, BadAnswer};

/// The category that is asked for: the basic objects and, where a device has them, its names.
const REGULAR: u8 = 2;
/// The longest list that is followed: a device may spread its objects over several answers.
const ANSWERS: usize = 8;

/// What one request asks of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Registers or bits, with function 1 to 4.
    Span(Span),
    /// The identification's basic and regular objects, from one of them on: function 43/14.
    Identification {
        /// The first object.
        from: u8,
    },
    /// The server's id: function 17.
    ServerId,
    /// To hold other values: function 5, 6, 15, 16 or 23. What it shall hold, only a permit says.
    Write {
        /// The function code.
        function: u8,
        /// The first address.
        at: u16,
        /// How many coils or registers.
        count: u16,
    },
}

impl From<Span> for Asked {
    fn from(span: Span) -> Self {
        Asked::Span(span)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Span(span) => span.fmt(f),
            Asked::Identification { .. } => f.write_str("its identification (function 43/14)"),
            Asked::ServerId => f.write_str("its server id (function 17)"),
            Asked::Write { function: 23, at, .. } => write!(f, "write to the register link at {at}"),
            Asked::Write { function, at, count } => {
                let function = match function {
                    5 | 15 => Function::Coils,
                    _ => Function::Holding,
                };
                write!(
                    f,
                    "write of {}",
                    Span {
                        function,
                        at: *at,
                        count: *count
                    }
                )
            }
        }
    }
}

impl Asked {
    /// The function code.
    pub(crate) fn function(self) -> u8 {
        match self {
            Asked::Span(span) => span.function.code(),
            Asked::Identification { .. } => 43,
            Asked::ServerId => 17,
            Asked::Write { function, .. } => function,
        }
    }

    /// Puts the PDU that asks for it into the buffer. `None` for a write: its PDU comes from a permit.
    pub(crate) fn pdu(self, buffer: &mut [u8; 5]) -> Option<&[u8]> {
        let length = match self {
            Asked::Span(span) => {
                *buffer = check::read_pdu(span);
                5
            }
            Asked::Identification { from } => {
                *buffer = [43, 14, REGULAR, from, 0];
                4
            }
            Asked::ServerId => {
                buffer[0] = 17;
                1
            }
            Asked::Write { .. } => return None,
        };
        Some(&buffer[..length])
    }
}

/// Who a device says it is. What it does not say is `None`; what it says is a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The maker.
    pub vendor: Option<String>,
    /// The maker's code for the product.
    pub product_code: Option<String>,
    /// The version, major and minor.
    pub revision: Option<String>,
    /// The maker's site.
    pub vendor_url: Option<String>,
    /// The product's name.
    pub product_name: Option<String>,
    /// The model's name.
    pub model_name: Option<String>,
    /// The name that its owner or installer gave it.
    pub application_name: Option<String>,
    /// What it answers to function 17, which each maker fills at will.
    pub server_id: Option<Vec<u8>>,
}

impl Identity {
    fn take(&mut self, object: u8, value: &[u8]) {
        let place = match object {
            0 => &mut self.vendor,
            1 => &mut self.product_code,
            2 => &mut self.revision,
            3 => &mut self.vendor_url,
            4 => &mut self.product_name,
            5 => &mut self.model_name,
            6 => &mut self.application_name,
            _ => return,
        };
        // Text for people: what cannot be seen has no place in it.
        let text: String = String::from_utf8_lossy(value)
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let text = text.trim();
        *place = (!text.is_empty()).then(|| text.to_owned());
    }
}

/// One answer to a request for the identification.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Objects<'a> {
    /// The object to go on with; `None` at the end of the list.
    next: Option<u8>,
    /// Each object's number and value.
    list: Vec<(u8, &'a [u8])>,
}

impl<'a> Objects<'a> {
    /// Reads what follows the function code; each length must fit exactly.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, BadAnswer> {
        // Its fourth byte tells how much the device could tell.
        let &[14, REGULAR, _, more, next, count, ref objects @ ..] = data else {
            return Err(BadAnswer::Identification);
        };
        let (mut list, mut rest) = (Vec::new(), objects);
        while let [object, length, tail @ ..] = rest {
            let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else {
                return Err(BadAnswer::Identification);
            };
            list.push((*object, value));
            rest = tail;
        }
        if !rest.is_empty() || list.len() != usize::from(count) {
            return Err(BadAnswer::Identification);
        }
        let next = (more == 0xff).then_some(next);
        Ok(Objects { next, list })
    }
}

/// Asks for the whole identification, through whatever sends a request and gives back its answer's data.
///
/// # Errors
/// Those of `ask`. A refusal is told apart by `refused` and is none.
pub(crate) async fn identify<E>(
    ask: impl AsyncFn(Asked) -> Result<Vec<u8>, E>,
    refused: impl Fn(&E) -> bool,
) -> Result<Identity, E> {
    let mut identity = Identity::default();
    let mut from = 0;
    for _ in 0..ANSWERS {
        let data = match ask(Asked::Identification { from }).await {
            Ok(data) => data,
            Err(error) if refused(&error) => break,
            Err(error) => return Err(error),
        };
        // The engine has parsed it before.
        let Ok(objects) = Objects::parse(&data) else {
            break;
        };
        for (object, value) in &objects.list {
            identity.take(*object, value);
        }
        match objects.next {
            // A list that turns back would never end.
            Some(next) if next > from => from = next,
            _ => break,
        }
    }
    identity.server_id = match ask(Asked::ServerId).await {
        // The first byte counts the others.
        Ok(data) => Some(data[1..].to_vec()),
        Err(error) if refused(&error) => None,
        Err(error) => return Err(error),
    };
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_taken_only_when_every_length_fits() {
        let right = [14, 2, 0x82, 0, 0, 2, 0, 3, b'A', b'B', b'B', 1, 0];
        let objects = Objects::parse(&right).unwrap();
        assert_eq!(objects.list, [(0, &b"ABB"[..]), (1, &b""[..])]);
        assert_eq!(objects.next, None);
        for cut in 0..right.len() {
            assert!(Objects::parse(&right[..cut]).is_err(), "cut at {cut}");
        }
        let mut other = right;
        other[1] = 1;
        assert!(Objects::parse(&other).is_err(), "another category");
        assert!(Objects::parse(&[&right[..], &[9]].concat()).is_err(), "left over");
        let mut more = right;
        (more[3], more[4]) = (0xff, 2);
        assert_eq!(Objects::parse(&more).unwrap().next, Some(2));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..253)) {
            if let Ok(objects) = Objects::parse(&data) {
                let bytes: usize = objects.list.iter().map(|(_, value)| 2 + value.len()).sum();
                prop_assert_eq!(bytes + 6, data.len());
            }
        }
    }
}
