//! Gateways that speak Telnet put commands between the bytes. They are taken out where a connection begins with one: in
//! any other stream the same bytes may be the meter's own.

/// What announces a command, and, twice, is a byte of the meter's.
const IAC: u8 = 0xFF;
/// Commands with an option behind them: will, won't, do, don't.
const WITH_OPTION: std::ops::RangeInclusive<u8> = 0xFB..=0xFE;
/// The beginning and the end of what is said of an option.
const SB: u8 = 0xFA;
const SE: u8 = 0xF0;

/// Where in a stream it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Nothing came yet.
    #[default]
    Start,
    /// The first byte announces a command, if the second is one.
    Doubt,
    /// This is no Telnet.
    Plain,
    /// Between commands.
    Data,
    /// Behind the byte that announces one.
    Command,
    /// Before a command's option.
    Option,
    /// Within what is said of an option.
    Said,
    /// The same, behind the byte that announces its end.
    SaidCommand,
}

/// Takes Telnet's commands out of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Telnet(At);

impl Telnet {
    /// Appends what is the meter's.
    pub(super) fn strip(&mut self, bytes: &[u8], to: &mut Vec<u8>) {
        if self.0 == At::Plain {
            to.extend_from_slice(bytes);
            return;
        }
        for &byte in bytes {
            self.0 = match (self.0, byte) {
                (At::Start, IAC) => At::Doubt,
                (At::Start, _) => {
                    to.push(byte);
                    At::Plain
                }
                (At::Doubt, command) if WITH_OPTION.contains(&command) => At::Option,
                (At::Doubt, SB) => At::Said,
                (At::Doubt, _) => {
                    to.extend([IAC, byte]);
                    At::Plain
                }
                (At::Plain, _) => {
                    to.push(byte);
                    At::Plain
                }
                (At::Data, IAC) => At::Command,
                (At::Data, _) => {
                    to.push(byte);
                    At::Data
                }
                (At::Command, IAC) => {
                    to.push(IAC);
                    At::Data
                }
                (At::Command, SB) => At::Said,
                (At::Command, command) if WITH_OPTION.contains(&command) => At::Option,
                (At::Command | At::Option, _) => At::Data,
                (At::Said, IAC) => At::SaidCommand,
                (At::SaidCommand, SE) => At::Data,
                (At::Said | At::SaidCommand, _) => At::Said,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, whole and byte by byte.
    fn stripped(bytes: &[u8]) -> Vec<u8> {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        Telnet::default().strip(bytes, &mut whole);
        let mut telnet = Telnet::default();
        for byte in bytes {
            telnet.strip(&[*byte], &mut pieces);
        }
        assert_eq!(whole, pieces);
        whole
    }

    #[test]
    fn commands_are_taken_out() {
        let said = b"\xFF\xFB\x01\xFF\xFD\x03/XXX5\xFF\xFF\r\n\xFF\xFA\x2C\x01!\xFF\xF0(1)\xFF\xF1!";
        assert_eq!(stripped(said), b"/XXX5\xFF\r\n(1)!");
    }

    #[test]
    fn what_begins_otherwise_is_left_as_it_is() {
        for plain in [
            &b"/XXX5\r\n\xFF\xFB\x01\xFF\xFF"[..],
            b"\xDB\x08\xFF\xFE\x00",
            b"\xFF\xFF\xFB\x01",
            b"",
        ] {
            assert_eq!(stripped(plain), plain);
        }
    }
}
