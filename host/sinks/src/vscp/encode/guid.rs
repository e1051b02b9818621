//! The 16 bytes that tell a sensor from all others.

use std::fmt;

/// What every GUID that is made of a MAC address begins with.
const ETHERNET: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE];

/// A GUID, most significant byte first. The two last bytes are the id of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid([u8; 16]);

impl Guid {
    /// That of the machine with this MAC address, for sensor 0.
    pub fn of_mac(mac: [u8; 6]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&ETHERNET);
        bytes[8..14].copy_from_slice(&mac);
        Guid(bytes)
    }

    /// The GUID of this text: 16 pairs of hexadecimal digits with `:` between them.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs: Vec<&str> = text.split(':').collect();
        let byte = |pair: &&str| match pair.len() {
            2 if pair.bytes().all(|b| b.is_ascii_hexdigit()) => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        bytes.map(Guid).ok_or_else(|| {
            format!(
                "\"{text}\" is no GUID: write 16 pairs of hexadecimal digits with : between them, such as \
                 00:00:00:00:00:00:00:00:00:00:00:00:00:01:00:00"
            )
        })
    }

    /// The same for another sensor.
    pub fn with_id(self, id: u16) -> Self {
        let Guid(mut bytes) = self;
        bytes[14..].copy_from_slice(&id.to_be_bytes());
        Guid(bytes)
    }

    /// The sensor's id: the two last bytes.
    pub fn id(self) -> u16 {
        u16::from_be_bytes([self.0[14], self.0[15]])
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

/// The MAC address of this text, `02:00:00:00:00:01`; `None` where it is none, or nobody's (all zeros, or a broadcast).
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .trim()
        .split([':', '-'])
        .map(|pair| {
            (pair.len() == 2)
                .then(|| u8::from_str_radix(pair, 16).ok())
                .flatten()
        })
        .collect();
    let mac = <[u8; 6]>::try_from(bytes?).ok()?;
    (mac != [0; 6] && mac[0] & 1 == 0).then_some(mac)
}

/// For a machine without a MAC address one of its own, made of what tells it from others: in the range that nobody gives
/// out.
pub fn mac_of(host_id: &str) -> [u8; 6] {
    // FNV-1a: stands still for good, which is all that is asked of it.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in host_id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    [0x02, a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_two_last_bytes_of_the_ethernet_form() {
        let guid = Guid::of_mac(mac("02:00:00:00:00:01").unwrap());
        assert_eq!(
            guid.with_id(26).to_string(),
            "FF:FF:FF:FF:FF:FF:FF:FE:02:00:00:00:00:01:00:1A"
        );
        assert_eq!(guid.with_id(0x1234).id(), 0x1234);
    }

    #[test]
    fn texts_are_guids_or_say_what_one_is() {
        let text = "00:11:22:33:44:55:66:77:88:99:aa:bb:CC:DD:00:00";
        assert_eq!(Guid::parse(text).unwrap().to_string(), text.to_uppercase());
        let long = "00:11:22:33:44:55:66:77:88:99:aa:bb:CC:DD:00:00:00";
        for bad in [
            "",
            "''",
            "00:11",
            long,
            "+0:11:22:33:44:55:66:77:88:99:aa:bb:CC:DD:00:00",
        ] {
            assert!(Guid::parse(bad).unwrap_err().contains("16 pairs"), "{bad}");
        }
    }

    #[test]
    fn a_mac_is_somebodys() {
        assert_eq!(mac("AA-bb-00-00-00-01\n"), Some([0xAA, 0xBB, 0, 0, 0, 1]));
        for nobodys in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00", "", "lo"] {
            assert_eq!(mac(nobodys), None, "{nobodys}");
        }
        assert_eq!(mac_of("a")[0], 2);
        assert_ne!(mac_of("a"), mac_of("b"));
    }
}
