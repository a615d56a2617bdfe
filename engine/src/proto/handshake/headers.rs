//! The header fields of a head, as they were sent. It must not know what any of them means.

use std::fmt;

use super::grammar::{elements, trim_ows};

/// The most header fields a head may have. A browser sends about twenty; 3,000 are an attack.
pub const HEADER_FIELDS_MAX: usize = 100;

/// The header fields of a request or response, in the order they came, borrowed from the head.
///
/// Names are tokens; values are octets without CR, LF, NUL or other controls but tab, and without whitespace
/// at their ends. RFC 9110 section 5.5 lets values hold octets above ASCII without saying what they mean, so
/// a value is octets first and text on request.
#[derive(Clone, Default)]
pub struct Headers<'a> {
    fields: Vec<httparse::Header<'a>>,
}

impl<'a> Headers<'a> {
    /// The fields, copied out of the parser's room: one allocation of just the length needed.
    pub(super) fn new(fields: &[httparse::Header<'a>]) -> Self {
        Self {
            fields: fields.to_vec(),
        }
    }

    /// The value of the first field of that name, in any case of letters.
    ///
    /// ```
    /// # use wirebahn::proto::handshake::{Parsed, RequestRules, parse_request};
    /// let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Trace: 7\r\n\r\n";
    /// let Ok(Parsed::Plain(request)) = parse_request(head, &RequestRules::default()) else {
    ///     panic!("a plain request");
    /// };
    /// assert_eq!(request.headers().get("x-trace"), Some(&b"7"[..]));
    /// assert_eq!(request.headers().text("x-other"), None);
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The value of the first field of that name, if there is one and it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The values of all fields of that name, in the order they came.
    pub fn get_all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + use<'s, 'a> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// All fields as name and value, in the order they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'_, 'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The elements of a list that may be spread over several fields of that name.
    pub(super) fn list<'s>(
        &'s self,
        name: &'s str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'s, 'a> {
        self.get_all(name).flat_map(elements)
    }

    /// The cookies of all `Cookie` fields as name and value, in order (RFC 6265 section 5.4). What is not
    /// `name=value` in UTF-8 is passed over; quotes around a value are part of it, as they are for the
    /// browser that stored it.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'_, 'a> {
        self.get_all("cookie")
            .flat_map(|value| value.split(|&octet| octet == b';'))
            .filter_map(|pair| std::str::from_utf8(trim_ows(pair)).ok()?.split_once('='))
            .filter(|(name, _)| !name.is_empty())
    }
}

impl fmt::Debug for Headers<'_> {
    /// Names and the length of values: cookies and credentials do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, value.len())))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(fields: &[(&'a str, &'a [u8])]) -> Headers<'a> {
        let fields: Vec<_> = fields
            .iter()
            .map(|&(name, value)| httparse::Header { name, value })
            .collect();
        Headers::new(&fields)
    }

    #[test]
    fn names_match_in_any_case_and_order_is_kept() {
        let headers = headers(&[("A", b"1"), ("b", b"2"), ("a", b"3")]);
        assert_eq!(headers.get("a"), Some(&b"1"[..]));
        assert_eq!(headers.get_all("A").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers.iter().nth(1), Some(("b", &b"2"[..])));
    }

    #[test]
    fn octets_above_ascii_are_kept_but_are_text_only_as_utf8() {
        let headers = headers(&[("latin", b"caf\xE9"), ("utf8", "café".as_bytes())]);
        assert_eq!(headers.get("latin"), Some(&b"caf\xE9"[..]));
        assert_eq!(headers.text("latin"), None);
        assert_eq!(headers.text("utf8"), Some("café"));
    }

    #[test]
    fn cookies_come_apart() {
        let headers = headers(&[
            ("Cookie", b"a=1; b=\"2\";c=x=y ; =lost; lost;;"),
            ("cookie", b"d="),
        ]);
        assert_eq!(
            headers.cookies().collect::<Vec<_>>(),
            [("a", "1"), ("b", "\"2\""), ("c", "x=y"), ("d", "")]
        );
    }

    #[test]
    fn debug_shows_no_values() {
        let shown = format!("{:?}", headers(&[("Cookie", b"secret")]));
        assert_eq!(shown, r#"{"Cookie": 6}"#);
    }
}
