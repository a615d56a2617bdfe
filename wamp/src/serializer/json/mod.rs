//! JSON (RFC 8259, as WAMP uses it): texts are borrowed where they hold no escape, integers keep
//! all 64 bits, and binary travels as a string of NUL and Base64 (Advanced Profile, "Binary
//! support in JSON"). Knows nothing of messages.
//!
//! One pass finds the end of the message and checks all of it; payloads are passed over without
//! making a string or a number of anything.

mod read;
mod write;

pub(crate) use read::JsonReader;
pub(crate) use write::JsonWriter;

/// The escape a binary string begins with.
const BINARY_ESCAPE: &str = "\\u0000";

/// The index of the next octet that ends or escapes a string, or may not stand in one: a quote,
/// a backslash, or below 0x20. Eight at a time.
fn special(octets: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let rest = octets.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Exact for the lowest octet found, which is the one that counts: a borrow can only
        // spoil octets above it.
        let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES) & !(word ^ (ONES * 0x22));
        let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES) & !(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGHS;
        if found != 0 {
            return from + index * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let tail_at = from + words.len() * 8;
    tail.iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
        .map_or(octets.len(), |index| tail_at + index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DecodeErrorKind, EncodeError};
    use crate::rules::Rules;
    use crate::serializer::Format;
    use crate::serializer::{decode_value, encode_value};
    use crate::token::Reader;
    use crate::value::Value;

    fn read(text: &str) -> Result<Value, DecodeErrorKind> {
        decode_value(Format::Json, text.as_bytes(), Rules::default()).map_err(|error| error.kind)
    }

    fn write(value: &Value) -> Result<String, EncodeError> {
        let mut out = Vec::new();
        encode_value(Format::Json, value, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn special_agrees_with_a_plain_search() {
        // Every octet value at every position of three words and a tail.
        for byte in 0..=255_u8 {
            for at in 0..29 {
                for noise in [b'a', 0x80, 0xff, 0x21, 0x23, 0x5b, 0x5d] {
                    let mut octets = vec![noise; 29];
                    octets[at] = byte;
                    let wanted = octets
                        .iter()
                        .position(|&b| b < 0x20 || b == b'"' || b == b'\\')
                        .unwrap_or(29);
                    assert_eq!(special(&octets, 0), wanted, "{byte:#x} at {at}");
                    if at > 3 {
                        assert_eq!(special(&octets, 3), wanted);
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_keep_their_kind_and_their_value() {
        assert!(matches!(read("0"), Ok(Value::Int(0))));
        assert!(matches!(read("-0"), Ok(Value::Int(0))));
        assert!(matches!(
            read("9223372036854775808"),
            Ok(Value::Uint(9_223_372_036_854_775_808))
        ));
        assert!(matches!(
            read("-9223372036854775808"),
            Ok(Value::Int(i64::MIN))
        ));
        assert!(matches!(
            read("18446744073709551615"),
            Ok(Value::Uint(u64::MAX))
        ));
        assert!(matches!(read("1.0"), Ok(Value::Float(1.0))));
        assert!(matches!(read("1e2"), Ok(Value::Float(100.0))));
        for beyond in [
            "18446744073709551616",
            "-9223372036854775809",
            "1e400",
            "99999999999999999999999999",
        ] {
            assert_eq!(read(beyond), Err(DecodeErrorKind::NumberRange), "{beyond}");
        }
        for bad in [
            "01", "+1", ".5", "1.", "1e", "1e+", "0x10", "--1", "NaN", "-",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_with_a_fraction_stay_such() {
        for value in [1.0, -0.0, 1e16, 1e300, 5e-324, 0.1, f64::MAX] {
            let text = write(&Value::Float(value)).unwrap();
            assert!(
                matches!(read(&text), Ok(Value::Float(again)) if again.to_bits() == value.to_bits()),
                "{text}"
            );
        }
        assert_eq!(write(&Value::Float(f64::NAN)), Err(EncodeError::NotFinite));
        assert_eq!(
            write(&Value::Float(f64::INFINITY)),
            Err(EncodeError::NotFinite)
        );
    }

    #[test]
    fn the_example_of_binary_in_the_specification() {
        let octets: Vec<u8> = vec![
            0x10, 0xe3, 0xff, 0x90, 0x53, 0x07, 0x5c, 0x52, 0x6f, 0x5f, 0xc0, 0x6d, 0x4f, 0xe3,
            0x7c, 0xdb,
        ];
        let text = "\"\\u0000EOP/kFMHXFJvX8BtT+N82w==\"";
        assert_eq!(write(&Value::Bytes(octets.clone())).unwrap(), text);
        assert_eq!(read(text), Ok(Value::Bytes(octets.clone())));
        assert_eq!(
            read("\"\\u0000EOP/kFMHXFJvX8BtT+N82w\""),
            Ok(Value::Bytes(octets))
        );
        assert_eq!(read("\"\\u0000\""), Ok(Value::Bytes(Vec::new())));
        assert_eq!(read("\"\\u0000!\""), Err(DecodeErrorKind::Base64));
        assert_eq!(
            write(&Value::from("\0text")),
            Err(EncodeError::NulString),
            "it would come back as binary"
        );
    }

    #[test]
    fn escapes() {
        assert_eq!(
            read(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#),
            Ok(Value::from("\"\\/\u{8}\u{c}\n\r\té😀"))
        );
        for bad in [
            r#""\x""#,
            r#""\u12""#,
            r#""\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            "\"\n\"",
            "\"",
            "\"\\",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let all: String = (0..0x80_u8).skip(1).map(char::from).collect();
        let text = write(&Value::from(all.as_str())).unwrap();
        assert_eq!(read(&text), Ok(Value::from(all)));
    }

    #[test]
    fn grammar() {
        for bad in [
            "",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,}",
            "{1:1}",
            "{\"a\" 1}",
            "[1}",
            "{\"a\":1]",
            "1 1",
            "[] []",
            "nul",
            "tru",
            "falsey",
            "]",
            "}",
            "[\u{a0}]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(
            read(" [ 1 , { \"a\" : null , \"b\" : [ ] } , true ] "),
            read("[1,{\"a\":null,\"b\":[]},true]")
        );
        assert_eq!(
            read("{\"a\":1,\"a\":2}"),
            Err(DecodeErrorKind::DuplicateKey)
        );
        assert_eq!(
            read("{\"\\u0000AA==\":1}"),
            Err(DecodeErrorKind::KeyNotString)
        );
    }

    #[test]
    fn skipping_is_as_strict_as_reading() {
        for text in [
            "[1,[2,{\"a\":[\"x\\n\",\"\\u0000AA==\"]}],true,null,1.5e3]",
            "{\"k\":{}}",
            "[\"\\ud83d\"]",
            "[\"\\u0000!\"]",
            "[\"a\nb\"]",
            "[01]",
            "{\"a\":1 \"b\":2}",
            "{\"\\u0000AA==\":1}",
            "[[[]",
        ] {
            let rules = Rules::default();
            let mut reader = JsonReader::from_text(text, &rules);
            let skipped = reader.skip().and_then(|raw| {
                reader.finish()?;
                Ok(raw.bytes)
            });
            assert_eq!(skipped.is_ok(), read(text).is_ok(), "{text}");
            if let Ok(bytes) = skipped {
                assert_eq!(bytes, text.as_bytes());
            }
        }
    }
}
