//! The few productions of RFC 9110 that the handshake is made of: tokens, field values, lists, wildcards.
//! Every function passes over its input once. It must not know what any field means.

use memchr::memmem;

/// An octet of a token (RFC 9110 section 5.6.2).
#[inline]
pub(super) const fn is_tchar(octet: u8) -> bool {
    matches!(
        octet,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~'
    )
}

/// An octet of a field value (RFC 9110 section 5.5): visible, space, tab, or above ASCII. No CR, LF, NUL.
#[inline]
pub(super) const fn is_field_octet(octet: u8) -> bool {
    matches!(octet, b'\t' | b' '..=b'~' | 0x80..)
}

/// The octets as a token, or nothing when they are none. An empty token is none.
#[inline]
pub(super) fn token(octets: &[u8]) -> Option<&str> {
    if octets.is_empty() || !octets.iter().copied().all(is_tchar) {
        return None;
    }
    std::str::from_utf8(octets).ok()
}

/// Whether the octets may stand as a field value that a program gave us.
#[inline]
pub(super) fn is_field_value(octets: &[u8]) -> bool {
    octets.iter().copied().all(is_field_octet)
}

/// Without the optional whitespace (RFC 9110 section 5.6.3) at both ends.
#[inline]
pub(super) fn trim_ows(octets: &[u8]) -> &[u8] {
    let mut rest = octets;
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    while let [head @ .., b' ' | b'\t'] = rest {
        rest = head;
    }
    rest
}

/// The elements of a comma-separated list. Empty elements are passed over: RFC 9110 section 5.6.1.2 asks
/// that of recipients, and so does the `#rule` of RFC 2616 by which RFC 6455 is written.
#[inline]
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&octet| octet == b',')
        .map(trim_ows)
        .filter(|element| !element.is_empty())
}

/// Whether `text` fits `pattern`, where `*` stands for any octets, none included, and all else for itself.
///
/// The text before the first `*` must begin it, that after the last must end it, and between them each part
/// is looked for from where the one before ended. Taking the leftmost place each time never loses a match, so
/// nothing is tried twice, and the substring search is linear: the whole is linear in both lengths.
pub(super) fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|&octet| octet == b'*');
    let Some(first) = parts.next() else {
        return text.is_empty();
    };
    let Some(last) = parts.next_back() else {
        return first == text;
    };
    let Some(mut rest) = text
        .strip_prefix(first)
        .and_then(|rest| rest.strip_suffix(last))
    else {
        return false;
    };
    for part in parts {
        let Some(after) = memmem::find(rest, part)
            .and_then(|at| rest.get(at..))
            .and_then(|found| found.strip_prefix(part))
        else {
            return false;
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, with no thought of speed.
    fn wildcard_naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', pattern_rest @ ..], _) => {
                wildcard_naive(pattern_rest, text)
                    || matches!(text, [_, text_rest @ ..] if wildcard_naive(pattern, text_rest))
            }
            ([p, pattern_rest @ ..], [t, text_rest @ ..]) if p == t => {
                wildcard_naive(pattern_rest, text_rest)
            }
            _ => false,
        }
    }

    #[test]
    fn tchar_is_the_list_of_rfc_9110() {
        let listed =
            b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for octet in 0..=u8::MAX {
            assert_eq!(
                is_tchar(octet),
                listed.contains(&octet),
                "octet {octet:#04x}"
            );
        }
    }

    #[test]
    fn field_octets_exclude_controls_and_del() {
        for octet in 0..=u8::MAX {
            let allowed = octet == b'\t' || (octet >= 0x20 && octet != 0x7F);
            assert_eq!(is_field_octet(octet), allowed, "octet {octet:#04x}");
        }
    }

    #[test]
    fn lists_lose_whitespace_and_empty_elements() {
        let got: Vec<_> = elements(b" a ,,\tb\t, ,c").collect();
        assert_eq!(got, [&b"a"[..], b"b", b"c"]);
        assert_eq!(elements(b" , ,").count(), 0);
        assert_eq!(elements(b"").count(), 0);
    }

    #[test]
    fn whitespace_inside_stays() {
        assert_eq!(trim_ows(b" \ta b\t "), b"a b");
        assert_eq!(trim_ows(b" \t "), b"");
    }

    proptest! {
        #[test]
        fn wildcard_agrees_with_its_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,12}") {
            prop_assert_eq!(
                wildcard(pattern.as_bytes(), text.as_bytes()),
                wildcard_naive(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
