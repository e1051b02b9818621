//! Which answer belongs to which request. Pure.

use super::{Frame, Line, Seen};

/// A request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When it was sent, in microseconds since the beginning.
    pub us: u64,
    /// To whom.
    pub unit: u8,
    /// The request's PDU.
    pub request: Vec<u8>,
    /// The answer's PDU, and how many microseconds it took; `None` where none came.
    pub answer: Option<(Vec<u8>, u64)>,
    /// Where the answer stands among the lines.
    pub answered_at: Option<usize>,
}

/// How many requests may be open at once; a wire has far fewer.
const MOST_OPEN: usize = 256;

/// Every request with its answer. By its transaction id where there is one, else by being the next answer of that unit
/// to that function. A request that was sent again counts once more.
pub fn exchanges(lines: &[Line]) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    // Places in `all`, with the id of each.
    let mut open: Vec<(usize, Option<u16>)> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        match &line.seen {
            Seen::Sent(frame) => {
                if open.len() == MOST_OPEN {
                    open.remove(0);
                }
                if frame.id.is_none() {
                    // A wire without ids has one request at a time.
                    open.clear();
                }
                open.push((all.len(), frame.id));
                all.push(Exchange {
                    us: line.us,
                    unit: frame.unit,
                    request: frame.pdu.0.clone(),
                    answer: None,
                    answered_at: None,
                });
            }
            Seen::Got(frame) => {
                let fits =
                    |(request, id): &(usize, Option<u16>)| *id == frame.id && answers(&all[*request], frame);
                // The newest: ids come round again, and an old request may never have been answered.
                let Some(found) = open.iter().rposition(fits) else {
                    continue;
                };
                let (request, _) = open.remove(found);
                if let Some(exchange) = all.get_mut(request) {
                    exchange.answer = Some((frame.pdu.0.clone(), line.us.saturating_sub(exchange.us)));
                    exchange.answered_at = Some(place);
                }
            }
            Seen::Noise(_) => {}
        }
    }
    all
}

/// Whether a frame can be the answer to a request.
fn answers(exchange: &Exchange, frame: &Frame) -> bool {
    let function = |pdu: &[u8]| pdu.first().map(|code| code & 0x7F);
    exchange.unit == frame.unit && function(&exchange.request) == function(&frame.pdu.0)
}

#[cfg(test)]
mod tests {
    use super::super::Hex;
    use super::*;

    fn frame(id: Option<u16>, unit: u8, pdu: &[u8]) -> Frame {
        Frame {
            id,
            unit,
            pdu: Hex(pdu.to_vec()),
        }
    }

    fn sent(us: u64, id: Option<u16>, unit: u8, at: u8) -> Line {
        let seen = Seen::Sent(frame(id, unit, &[3, 0, at, 0, 1]));
        Line { us, seen }
    }

    fn got(us: u64, id: Option<u16>, unit: u8, pdu: &[u8]) -> Line {
        let seen = Seen::Got(frame(id, unit, pdu));
        Line { us, seen }
    }

    #[test]
    fn answers_find_their_requests_by_id() {
        let lines = [
            sent(0, Some(1), 1, 10),
            sent(5, Some(2), 1, 20),
            got(50, Some(2), 1, &[3, 2, 0, 20]),
            got(60, Some(9), 1, &[3, 2, 0, 99]),
            got(70, Some(1), 1, &[0x83, 2]),
        ];
        let found = exchanges(&lines);
        assert_eq!(found[0].answer, Some((vec![0x83, 2], 70)));
        assert_eq!(found[1].answer, Some((vec![3, 2, 0, 20], 45)));
        assert_eq!(found[1].answered_at, Some(2));
    }

    #[test]
    fn an_id_that_comes_round_is_the_newest_requests() {
        let lines = [
            sent(0, Some(1), 1, 10),
            sent(5, Some(1), 1, 20),
            got(50, Some(1), 1, &[3, 2, 0, 20]),
        ];
        let found = exchanges(&lines);
        assert_eq!(found[0].answer, None);
        assert!(found[1].answer.is_some());
    }

    #[test]
    fn on_a_wire_without_ids_an_answer_is_the_next_requests_own_or_nobodys() {
        let lines = [
            sent(0, None, 1, 10),
            sent(1000, None, 2, 20),
            got(1100, None, 1, &[3, 2, 0, 10]),
            got(1200, None, 2, &[3, 2, 0, 20]),
        ];
        let found = exchanges(&lines);
        assert_eq!(found[0].answer, None, "too late");
        assert_eq!(found[1].answer, Some((vec![3, 2, 0, 20], 200)));
    }
}
