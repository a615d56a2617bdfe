//! Sizes as people write them: `1024`, `64k`, `16M`, `1G`.

/// A number of octets.
pub(crate) type Size = u64;

/// Reads a size. Units are binary, in either case: k = 1024 octets, M = 1024 k, G = 1024 M.
pub(crate) fn parse_size(text: &str) -> Result<Size, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("expected octets, such as 1024, 64k, 16M or 1G".to_owned());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "more octets than can be counted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("1024"), Ok(1024));
        assert_eq!(parse_size("64k"), Ok(65_536));
        assert_eq!(parse_size("64K"), Ok(65_536));
        assert_eq!(parse_size("16M"), Ok(16_777_216));
        assert_eq!(parse_size("16m"), Ok(16_777_216));
        assert_eq!(parse_size("1G"), Ok(1_073_741_824));
        assert_eq!(parse_size("1g"), Ok(1_073_741_824));
        assert_eq!(parse_size("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for wrong in [
            "",
            "k",
            "1 k",
            "1.5M",
            "-1",
            "+1",
            "1kB",
            "1MiB",
            "0x10",
            "1T",
            "١",
            "1é",
            "18446744073709551616",
            "17179869184G",
        ] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }
}
