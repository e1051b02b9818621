//! What to do about an error.

use crate::check::BadAnswer;
use crate::error::{RTU_OVER_TCP, WireError};
use crate::identity::Asked;

impl WireError {
    /// The next step for a person.
    pub fn hint(&self) -> String {
        if let Some(hint) = self.of_telegrams() {
            return hint.to_owned();
        }
        let hint = match self {
            WireError::Refused { endpoint } if over_udp(endpoint) => {
                "nothing listens on that UDP port: check the port (502 as a rule); many devices speak Modbus TCP only (modbus+tcp://)"
            }
            WireError::Silent { endpoint, .. } | WireError::NothingHeard { endpoint, .. }
                if over_udp(endpoint) =>
            {
                "check the address and the UDP port (502 as a rule), the unit id (1 as a rule), that no other client such as the maker's app is connected, and that no firewall drops UDP"
            }
            WireError::BadAnswer {
                endpoint,
                reason: BadAnswer::Transaction { .. },
                ..
            } if over_udp(endpoint) => {
                "what came answers somebody else: end other clients of the device, such as the maker's app"
            }
            WireError::OtherFraming { endpoint, speaks, .. } => {
                let place = endpoint.split_once("://").map_or("HOST", |(_, place)| place);
                return format!("try {}://{place}", speaks.scheme());
            }
            WireError::NoFrame { endpoint, .. } if on_a_line(endpoint) => {
                "most meters come with 9600 or 19200 baud and parity none or even: try ?baud=19200&parity=even and the like, then swap A and B"
            }
            WireError::NoFrame { .. } => {
                "baud and parity are set in the gateway: compare them with the meter's, then swap A and B"
            }
            WireError::Port { reason, .. } => return reason.hint(),
            WireError::ConnectionLost { endpoint, .. } if on_a_line(endpoint) => {
                "plug the adapter in again; a name under /dev/serial/by-id stays the same then"
            }
            WireError::ConnectTimeout { endpoint, .. } if on_a_line(endpoint) => {
                "see what the system says of the adapter: dmesg | tail"
            }
            WireError::Silent { endpoint, .. }
            | WireError::NothingHeard { endpoint, .. }
            | WireError::UnitResting { endpoint, .. }
                if on_a_line(endpoint) =>
            {
                "check the unit id, baud and parity, that the meter has power, and the wiring (A/B swapped is common)"
            }
            WireError::Silent { endpoint, .. } | WireError::NothingHeard { endpoint, .. }
                if endpoint.starts_with(RTU_OVER_TCP) =>
            {
                "check the unit id, baud and parity in the gateway, and the wiring behind it; a gateway that translates speaks Modbus TCP (modbus+tcp://)"
            }
            WireError::Refused { endpoint } if endpoint.starts_with(RTU_OVER_TCP) => {
                "check the gateway's port, and that it serves TCP clients"
            }
            WireError::BadAnswer {
                reason: BadAnswer::OtherMaster,
                ..
            } => "a serial line has one master: end the other one, or let a gateway share the line",
            WireError::Refused { .. } => {
                "check the port, and that Modbus TCP is switched on at the device (on a GX: Settings, Modbus TCP server)"
            }
            WireError::ConnectTimeout { .. } | WireError::Unreachable { .. } => {
                "check the address, that the device is on, and that no firewall stands between"
            }
            WireError::UnknownHost { .. } => "check the spelling, or give the IP address",
            WireError::ConnectFailed { .. } => "check this machine's limits and network",
            WireError::ConnectionLost { .. } => {
                "the device may allow few connections at a time: end other Modbus clients of it, and try again"
            }
            WireError::NotModbus { .. } => "another service uses this port: check address and port",
            WireError::NothingHeard { .. } => {
                "check that Modbus TCP is switched on, that the unit is right, and that no other client holds the device"
            }
            WireError::Silent { .. } | WireError::UnitResting { .. } => {
                "check the unit id, and the wiring behind a gateway"
            }
            WireError::Exception {
                code,
                asked: Asked::Write { .. },
                ..
            } => match code {
                1 => "the device does not write with this function: another of 5, 6, 15 and 16 may do",
                2 => "the device has no such register to write, or lets nobody write it now",
                3 => "the device does not take this value: see its manual for the range",
                6 => "the device is busy: try it later",
                10 => "the unit is not there: check the unit id, and the wiring behind a gateway",
                _ => "see the device's manual for this exception",
            },
            WireError::Exception { code, .. } => match code {
                1 => "the device does not know this function: try another of 1 to 4",
                2 => "the device lacks one of these registers: read fewer, or check the address",
                3 => "the device refuses this many registers in one read: read fewer",
                5 | 6 => "the device is busy: ask less often",
                10 | 11 => "the unit is not there: check the unit id, and the wiring behind a gateway",
                _ => "see the device's manual for this exception",
            },
            WireError::BadAnswer {
                reason: BadAnswer::Transaction { .. },
                ..
            } => "some gateways answer with a fixed transaction id: set that quirk for this connection",
            WireError::BadAnswer { .. } => {
                "a gateway between may mix up answers: read fewer registers, or ask slower"
            }
            WireError::Down { cause, .. } => return cause.hint(),
            WireError::BadRequest {
                asked: Asked::Write { .. },
                ..
            } => "correct how the ledger has this point written",
            WireError::BadRequest { .. } => "split the read",
            WireError::Void { .. } => "see to that, then ask for it again",
            WireError::Closed { .. } => "open the link again",
            WireError::Quiet { .. } | WireError::NoTelegram { .. } => {
                "check the meter's port and the gateway at it"
            }
            WireError::OnlyHeard { .. } => {
                "`busbar scan` and `busbar read --ledger dsmr/p1` listen to such a meter"
            }
        };
        hint.to_owned()
    }

    /// What is to be done where a meter speaks by itself, as far as that is something else than elsewhere.
    fn of_telegrams(&self) -> Option<&'static str> {
        let over = |scheme: &str, endpoint: &str| endpoint.starts_with(scheme);
        let hint = match self {
            WireError::Refused { endpoint } if over("p1+tcp:", endpoint) => {
                "check the gateway's port (23, 2001 and 20202 are common), and that no other program is connected: some take one client only"
            }
            WireError::Refused { endpoint } | WireError::NoTelegram { endpoint, .. }
                if over("p1+http:", endpoint) =>
            {
                "check the address and the path, and that the local API is switched on in the maker's app (HomeWizard: Settings, Meters, Local API)"
            }
            WireError::ConnectionLost { endpoint, .. } if over("p1:", endpoint) => {
                "plug the adapter in again; a name under /dev/serial/by-id stays the same then"
            }
            WireError::ConnectionLost { endpoint, .. } if over("p1+", endpoint) => {
                "some gateways take one client only: end the other program that listens to it"
            }
            WireError::Quiet { endpoint, .. } if over("p1:", endpoint) => {
                "is the customer port switched on (in some countries the grid operator does that, on request), and is the cable one for it, with its request line at 5 V?"
            }
            WireError::Quiet { endpoint, .. } if over("p1+", endpoint) => {
                "is the gateway plugged in at the meter, is the meter's customer port switched on, and is no other program connected?"
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// Whether an endpoint's URL says UDP.
fn over_udp(endpoint: &str) -> bool {
    endpoint.starts_with("modbus+udp:")
}

/// Whether an endpoint's URL says a serial port.
fn on_a_line(endpoint: &str) -> bool {
    endpoint.starts_with("modbus+rtu:")
}
