//! The grammar of Sec-WebSocket-Extensions (RFC 6455 section 9.1): extensions with parameters, borrowed.
//! It must not know any extension by name; what a name or a parameter means is for its own room to say.
//!
//! ```text
//! extension-list = 1#extension
//! extension      = extension-token *( ";" extension-param )
//! extension-param = token [ "=" ( token | quoted-string ) ]   ; unescaped, the value must be a token
//! ```
//!
//! One cursor, never set back: every octet is looked at once for checking and once more when its parameters are read.

use std::{borrow::Cow, fmt, str};

use super::grammar::{is_tchar, token};

/// The most extensions taken in one message, all fields together. Browsers offer one; there are but a few.
pub const EXTENSIONS_MAX: usize = 32;

/// The most parameters taken of one extension. The registered ones have at most four.
pub const EXTENSION_PARAMS_MAX: usize = 32;

/// The value of a Sec-WebSocket-Extensions field does not follow its grammar, or lists too much. A server
/// answers 400, a client fails the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionsError;

impl fmt::Display for ExtensionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed Sec-WebSocket-Extensions")
    }
}

impl std::error::Error for ExtensionsError {}

/// The extensions in one field value, in order.
///
/// ```
/// use wirebahn::proto::handshake::extensions_in;
///
/// let mut extensions = extensions_in(b"permessage-deflate; client_max_window_bits; x=\"10\", other");
/// let first = extensions.next().unwrap().unwrap();
/// assert_eq!(first.name(), "permessage-deflate");
/// let params: Vec<_> = first.params().map(|param| (param.name, param.value)).collect();
/// assert_eq!(params, [("client_max_window_bits", None), ("x", Some("10".into()))]);
/// assert_eq!(extensions.next().unwrap().unwrap().name(), "other");
/// assert!(extensions.next().is_none());
/// ```
#[must_use]
pub fn extensions_in(value: &[u8]) -> Extensions<'_> {
    Extensions {
        cursor: Cursor { rest: value },
        failed: false,
    }
}

/// Iterator over the extensions of one field value; ends after the first error.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    cursor: Cursor<'a>,
    failed: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Result<Extension<'a>, ExtensionsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        // Empty elements are passed over, as in every list.
        self.cursor
            .skip(|octet| matches!(octet, b' ' | b'\t' | b','));
        if self.cursor.rest.is_empty() {
            return None;
        }
        let extension = self.cursor.extension().ok_or(ExtensionsError);
        self.failed = extension.is_err();
        Some(extension)
    }
}

/// One extension, offered or agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    name: &'a str,
    /// What follows the name, found to be parameters and nothing else.
    params: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The extension's name, as sent.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Its parameters in order, doubled ones included: whether those are allowed is for the extension to say.
    pub fn params(&self) -> impl Iterator<Item = ExtensionParam<'a>> + use<'a> {
        let mut cursor = Cursor { rest: self.params };
        std::iter::from_fn(move || cursor.param().flatten()).map(|raw| ExtensionParam {
            name: raw.name,
            value: raw.value.map(RawValue::text),
        })
    }
}

/// One parameter of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionParam<'a> {
    /// Its name, as sent.
    pub name: &'a str,
    /// Its value, a token, if it has one. Borrowed, unless it was quoted with a backslash in it.
    pub value: Option<Cow<'a, str>>,
}

/// Checks all fields of one message together.
pub(super) fn check_all<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<(), ExtensionsError> {
    let mut extensions_count = 0_usize;
    let mut fields_count = 0_usize;
    for value in values {
        fields_count = fields_count.saturating_add(1);
        for extension in extensions_in(value) {
            extension?;
            extensions_count = extensions_count.saturating_add(1);
            if extensions_count > EXTENSIONS_MAX {
                return Err(ExtensionsError);
            }
        }
    }
    // `1#extension`: a field that lists nothing is not a list.
    if fields_count > 0 && extensions_count == 0 {
        return Err(ExtensionsError);
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct RawParam<'a> {
    name: &'a str,
    value: Option<RawValue<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum RawValue<'a> {
    Token(&'a str),
    /// What stood between the quotes; some of it escaped.
    Escaped(&'a [u8]),
}

impl<'a> RawValue<'a> {
    fn text(self) -> Cow<'a, str> {
        match self {
            Self::Token(text) => Cow::Borrowed(text),
            // A backslash is no token character, so each one here begins an escape and none was escaped.
            Self::Escaped(octets) => Cow::Owned(
                octets
                    .iter()
                    .filter(|&&octet| octet != b'\\')
                    .map(|&octet| char::from(octet))
                    .collect(),
            ),
        }
    }
}

/// What is left to read. Methods take from its front; those that give `None` have met a violation.
#[derive(Debug, Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// One extension and the comma or end after it.
    fn extension(&mut self) -> Option<Extension<'a>> {
        let name = self.token()?;
        let from = self.rest;
        let mut params_count = 0_usize;
        while self.param()?.is_some() {
            params_count = params_count.saturating_add(1);
            if params_count > EXTENSION_PARAMS_MAX {
                return None;
            }
        }
        let params_len = from.len().checked_sub(self.rest.len())?;
        self.skip_whitespace();
        if !(self.rest.is_empty() || self.eat(b',')) {
            return None;
        }
        Some(Extension {
            name,
            params: from.get(..params_len)?,
        })
    }

    /// A semicolon and one parameter; `Some(None)` where no semicolon follows.
    fn param(&mut self) -> Option<Option<RawParam<'a>>> {
        self.skip_whitespace();
        if !self.eat(b';') {
            return Some(None);
        }
        self.skip_whitespace();
        let name = self.token()?;
        self.skip_whitespace();
        let value = if self.eat(b'=') {
            self.skip_whitespace();
            Some(if self.eat(b'"') {
                self.quoted()?
            } else {
                RawValue::Token(self.token()?)
            })
        } else {
            None
        };
        Some(Some(RawParam { name, value }))
    }

    /// The rest of a quoted string, whose content must be a token once unescaped.
    fn quoted(&mut self) -> Option<RawValue<'a>> {
        let from = self.rest;
        let mut escaped = false;
        let mut characters = 0_usize;
        loop {
            let (&octet, tail) = self.rest.split_first()?;
            let (character, tail) = match octet {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    let (&octet, tail) = tail.split_first()?;
                    (octet, tail)
                }
                _ => (octet, tail),
            };
            if !is_tchar(character) {
                return None;
            }
            characters = characters.saturating_add(1);
            self.rest = tail;
        }
        let inside_len = from.len().checked_sub(self.rest.len())?;
        let inside = from.get(..inside_len)?;
        self.eat(b'"');
        if characters == 0 {
            return None;
        }
        Some(if escaped {
            RawValue::Escaped(inside)
        } else {
            RawValue::Token(str::from_utf8(inside).ok()?)
        })
    }

    fn token(&mut self) -> Option<&'a str> {
        let from = self.rest;
        self.skip(is_tchar);
        let token_len = from.len().checked_sub(self.rest.len())?;
        token(from.get(..token_len)?)
    }

    fn skip_whitespace(&mut self) {
        self.skip(|octet| matches!(octet, b' ' | b'\t'));
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while let Some((&octet, tail)) = self.rest.split_first()
            && wanted(octet)
        {
            self.rest = tail;
        }
    }

    fn eat(&mut self, wanted: u8) -> bool {
        match self.rest.split_first() {
            Some((&octet, tail)) if octet == wanted => {
                self.rest = tail;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = Vec<(String, Vec<(String, Option<String>)>)>;

    fn read(value: &[u8]) -> Result<Read, ExtensionsError> {
        extensions_in(value)
            .map(|extension| {
                let extension = extension?;
                let params = extension
                    .params()
                    .map(|param| (param.name.to_owned(), param.value.map(Cow::into_owned)))
                    .collect();
                Ok((extension.name().to_owned(), params))
            })
            .collect()
    }

    fn one(name: &str, params: &[(&str, Option<&str>)]) -> (String, Vec<(String, Option<String>)>) {
        let params = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect();
        (name.to_owned(), params)
    }

    #[test]
    fn examples_of_the_rfcs() {
        assert_eq!(
            read(b"deflate-stream"),
            Ok(vec![one("deflate-stream", &[])])
        );
        assert_eq!(
            read(b"mux; max-channels=4; flow-control, deflate-stream"),
            Ok(vec![
                one(
                    "mux",
                    &[("max-channels", Some("4")), ("flow-control", None)]
                ),
                one("deflate-stream", &[]),
            ])
        );
        assert_eq!(
            read(b"permessage-deflate; client_max_window_bits; server_max_window_bits=10"),
            Ok(vec![one(
                "permessage-deflate",
                &[
                    ("client_max_window_bits", None),
                    ("server_max_window_bits", Some("10"))
                ]
            )])
        );
    }

    #[test]
    fn whitespace_empty_elements_and_doubled_parameters() {
        assert_eq!(
            read(b" ,\ta ;\tx = 1 ; x ,, b , "),
            Ok(vec![
                one("a", &[("x", Some("1")), ("x", None)]),
                one("b", &[])
            ])
        );
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn quoted_values_are_tokens_once_unescaped() {
        assert_eq!(
            read(br#"a; x="10""#),
            Ok(vec![one("a", &[("x", Some("10"))])])
        );
        assert_eq!(
            read(br#"a; x="\1\0""#),
            Ok(vec![one("a", &[("x", Some("10"))])])
        );
        assert_eq!(
            read(br#"a; x="1\0";y, b"#),
            Ok(vec![
                one("a", &[("x", Some("10")), ("y", None)]),
                one("b", &[])
            ])
        );
    }

    #[test]
    fn violations() {
        for wrong in [
            &b"a;"[..],
            b"a; ;b",
            b";a",
            b"a;=1",
            b"a; x=",
            b"a; x=,b",
            b"a; x==1",
            b"a b",
            b"a; x y",
            b"a; x=1 2",
            b"a; x=\"\"",
            b"a; x=\"1",
            b"a; x=\"1\\",
            b"a; x=\"1\\\"",
            b"a; x=\"1 2\"",
            b"a; x=\"1,2\"",
            b"a; x=\"\\\"\"",
            b"a; x=\"\\\\\"",
            b"a; x=\"1\"2",
            b"a; \"x\"=1",
            b"\"a\"",
            b"a/b",
            b"a=1",
            b"a; x=\xC3\xA4",
            b"\x00",
            b"a(b)",
        ] {
            assert_eq!(
                read(wrong),
                Err(ExtensionsError),
                "{}",
                wrong.escape_ascii()
            );
        }
    }

    #[test]
    fn an_error_ends_the_iteration() {
        let mut extensions = extensions_in(b"a;, b, c");
        assert_eq!(extensions.next(), Some(Err(ExtensionsError)));
        assert_eq!(extensions.next(), None);
    }

    #[test]
    fn counts_are_bounded() {
        let params = |count| format!("a{}", ";x".repeat(count));
        assert!(read(params(EXTENSION_PARAMS_MAX).as_bytes()).is_ok());
        assert!(read(params(EXTENSION_PARAMS_MAX + 1).as_bytes()).is_err());
        let list = "a,".repeat(EXTENSIONS_MAX);
        assert_eq!(check_all([list.as_bytes()].into_iter()), Ok(()));
        assert_eq!(
            check_all([list.as_bytes(), b"a"].into_iter()),
            Err(ExtensionsError)
        );
        assert_eq!(check_all([].into_iter()), Ok(()));
        assert_eq!(check_all([&b""[..]].into_iter()), Err(ExtensionsError));
        assert_eq!(check_all([&b" , "[..]].into_iter()), Err(ExtensionsError));
        assert_eq!(check_all([&b""[..], b"a"].into_iter()), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_grammar_is_read_back(
            list in proptest::collection::vec(
                ("[a-z-]{1,8}", proptest::collection::vec(
                    ("[a-z_]{1,6}", proptest::option::of(("[0-9a-z]{1,4}", 0..3_usize))), 0..4)),
                1..4),
            space in "[ \t]{0,2}",
        ) {
            let mut text = String::new();
            let mut expected = Read::new();
            for (name, params) in &list {
                if !text.is_empty() {
                    text += &format!("{space},{space}");
                }
                text += name;
                let mut read = Vec::new();
                for (name, value) in params {
                    text += &format!("{space};{space}{name}");
                    if let Some((value, style)) = value {
                        text += &match style {
                            0 => format!("={value}"),
                            1 => format!("{space}={space}\"{value}\""),
                            _ => format!("=\"{}\"", value.chars().map(|c| format!("\\{c}")).collect::<String>()),
                        };
                    }
                    read.push((name.clone(), value.as_ref().map(|(value, _)| value.clone())));
                }
                expected.push((name.clone(), read));
            }
            prop_assert_eq!(read(text.as_bytes()), Ok(expected));
        }

        #[test]
        fn nothing_panics_and_every_value_is_a_token(value: Vec<u8>) {
            for extension in extensions_in(&value).flatten() {
                prop_assert!(token(extension.name().as_bytes()).is_some());
                for param in extension.params() {
                    prop_assert!(token(param.name.as_bytes()).is_some());
                    if let Some(value) = param.value {
                        prop_assert!(token(value.as_bytes()).is_some());
                    }
                }
            }
        }
    }
}
