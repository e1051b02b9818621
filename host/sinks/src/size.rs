//! Sizes as owners write them: `10MiB`. Pure.

/// Reads `64KiB`, `10MiB`, `1GiB`, or the same with `kB`, `MB`, `GB` (1000 instead of 1024).
///
/// # Errors
/// What to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => 0,
    };
    let size = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    size.filter(|size| *size > 0)
        .ok_or_else(|| format!("{text:?} is no size: write a number and KiB, MiB or GiB, such as \"10MiB\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_number_and_a_unit() {
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("2 kB"), Ok(2000));
        for bad in [
            "",
            "10",
            "MiB",
            "0MiB",
            "-1MiB",
            "1.5MiB",
            "99999999999999999999GiB",
            "18446744073709551615KiB",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
