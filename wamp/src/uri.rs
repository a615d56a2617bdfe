//! URIs of realms, topics, procedures and errors: the loose and the strict rule, patterns and how
//! they match, and every URI the specification names. Knows nothing of messages.
//!
//! Basic Profile, "URIs"; Advanced Profile, "Pattern-based Subscriptions" and "Pattern-based
//! Registrations".

use std::borrow::Cow;
use std::fmt;

use crate::own::IntoOwned;

/// The longest URI accepted, in octets. A URI is a key of every routing table; names are short.
pub const URI_LEN_MAX: usize = 1024;

/// The most components of a URI. It bounds the work of a wildcard match.
pub const COMPONENTS_MAX: usize = 256;

/// Which characters a URI component may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum UriRule {
    /// Anything but `.`, `#` and whitespace: what the specification demands.
    #[default]
    Loose,
    /// Lower-case letters, digits and `_`: what it recommends.
    Strict,
}

/// How a pattern selects URIs (`match` of SUBSCRIBE and REGISTER).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub enum MatchPolicy {
    /// The URI itself.
    #[default]
    Exact,
    /// Every URI that begins with the pattern, compared as a string.
    Prefix,
    /// Every URI of as many components where each equals the pattern's or the pattern's is empty.
    Wildcard,
}

impl MatchPolicy {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Wildcard => "wildcard",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "exact" => Some(Self::Exact),
            "prefix" => Some(Self::Prefix),
            "wildcard" => Some(Self::Wildcard),
            _ => None,
        }
    }

    /// Whether a pattern of this policy selects a URI.
    ///
    /// Prefixes compare as strings (`a.b` selects `a.bc`): so say the text and its examples, and
    /// so do the routers in use.
    ///
    /// ```
    /// use wirebahn_wamp::uri::MatchPolicy;
    ///
    /// assert!(MatchPolicy::Prefix.selects("com.myapp.topic.emergency", "com.myapp.topic.emergency-low"));
    /// assert!(MatchPolicy::Wildcard.selects("com..create", "com.user.create"));
    /// assert!(!MatchPolicy::Wildcard.selects("com..create", "com.user.admin.create"));
    /// ```
    pub fn selects(self, pattern: &str, uri: &str) -> bool {
        match self {
            Self::Exact => pattern == uri,
            Self::Prefix => uri.starts_with(pattern),
            Self::Wildcard => {
                let mut wanted = pattern.split('.');
                let mut given = uri.split('.');
                loop {
                    match (wanted.next(), given.next()) {
                        (None, None) => return true,
                        (Some(want), Some(have)) if want.is_empty() || want == have => {}
                        _ => return false,
                    }
                }
            }
        }
    }
}

/// Why a text is not a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// A component is empty where that is not allowed.
    #[error("a component of the URI is empty")]
    EmptyComponent,
    /// A component holds `#`, whitespace, or what the strict rule excludes.
    #[error("the URI holds a character that is not allowed")]
    Character,
    /// Longer than [`URI_LEN_MAX`] octets.
    #[error("the URI is longer than {URI_LEN_MAX} octets")]
    TooLong,
    /// More than [`COMPONENTS_MAX`] components.
    #[error("the URI has more than {COMPONENTS_MAX} components")]
    TooManyComponents,
}

/// A text that was checked to be a URI, or a pattern where a pattern is meant.
///
/// It borrows from the frame it came in, until [`into_owned`](Self::into_owned).
///
/// ```
/// use wirebahn_wamp::Uri;
///
/// assert!(Uri::loose("com.myapp.topic-1").is_ok());
/// assert!(Uri::strict("com.myapp.topic-1").is_err());
/// assert!(Uri::loose("com..topic").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uri<'a>(Cow<'a, str>);

impl<'a> Uri<'a> {
    /// Checks a text by the loose rule.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn loose(text: impl Into<Cow<'a, str>>) -> Result<Self, UriError> {
        Self::checked(text.into(), UriRule::Loose, MatchPolicy::Exact)
    }

    /// Checks a text by the strict rule.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn strict(text: impl Into<Cow<'a, str>>) -> Result<Self, UriError> {
        Self::checked(text.into(), UriRule::Strict, MatchPolicy::Exact)
    }

    /// Checks a pattern: empty components are allowed to a wildcard pattern everywhere, to a
    /// prefix at its end.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn pattern(
        text: impl Into<Cow<'a, str>>,
        rule: UriRule,
        policy: MatchPolicy,
    ) -> Result<Self, UriError> {
        Self::checked(text.into(), rule, policy)
    }

    pub(crate) fn checked(
        text: Cow<'a, str>,
        rule: UriRule,
        policy: MatchPolicy,
    ) -> Result<Self, UriError> {
        check(&text, rule, policy)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its components, from the left.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether its first component is `wamp`: such URIs belong to the protocol, and applications
    /// must not register them or publish to them (Basic Profile, "Reserved URIs").
    pub fn is_reserved(&self) -> bool {
        self.components().next() == Some("wamp")
    }

    /// The same, borrowing from nothing.
    pub fn into_owned(self) -> Uri<'static> {
        Uri(Cow::Owned(self.0.into_owned()))
    }

    /// The text itself.
    pub fn into_text(self) -> Cow<'a, str> {
        self.0
    }
}

impl Uri<'static> {
    /// A URI known when the program is built. A text that is none does not compile.
    ///
    /// ```
    /// use wirebahn_wamp::Uri;
    /// const ADD: Uri<'static> = Uri::constant("com.myapp.add2");
    /// assert_eq!(ADD.as_str(), "com.myapp.add2");
    /// ```
    ///
    /// # Panics
    /// When the text does not keep to the strict rule.
    #[expect(
        clippy::manual_assert,
        reason = "the panic is what fails the build in a constant"
    )]
    pub const fn constant(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut index = 0;
        let mut component_len = 0;
        while index < bytes.len() {
            match bytes[index] {
                b'.' if component_len == 0 => panic!("a component of the URI is empty"),
                b'.' => component_len = 0,
                b'a'..=b'z' | b'0'..=b'9' | b'_' => component_len += 1,
                _ => panic!("the URI holds a character that is not allowed"),
            }
            index += 1;
        }
        if component_len == 0 || bytes.len() > URI_LEN_MAX {
            panic!("the URI ends with an empty component or is too long");
        }
        Self(Cow::Borrowed(text))
    }
}

impl IntoOwned for Uri<'_> {
    type Owned = Uri<'static>;
    fn into_owned(self) -> Uri<'static> {
        Uri::into_owned(self)
    }
}

impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Uri<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Uri<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Uri<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// The check, in one pass over the octets; other than ASCII is looked at by character.
fn check(text: &str, rule: UriRule, policy: MatchPolicy) -> Result<(), UriError> {
    if text.len() > URI_LEN_MAX {
        return Err(UriError::TooLong);
    }
    let mut component_len = 0_usize;
    let mut components = 1_usize;
    let mut ascii = true;
    for &byte in text.as_bytes() {
        match byte {
            b'.' => {
                if component_len == 0 && policy != MatchPolicy::Wildcard {
                    return Err(UriError::EmptyComponent);
                }
                component_len = 0;
                components += 1;
                continue;
            }
            b'a'..=b'z' | b'0'..=b'9' | b'_' => {}
            _ if rule == UriRule::Strict => return Err(UriError::Character),
            // What a regular expression's \s takes for whitespace, so that we and peers written
            // with one agree: besides the usual ones, the four separators 0x1c to 0x1f.
            b'#' | b' ' | b'\t'..=b'\r' | 0x1c..=0x1f => return Err(UriError::Character),
            0x80.. => ascii = false,
            _ => {}
        }
        component_len += 1;
    }
    if component_len == 0 && policy == MatchPolicy::Exact {
        return Err(UriError::EmptyComponent);
    }
    if components > COMPONENTS_MAX {
        return Err(UriError::TooManyComponents);
    }
    if !ascii && text.chars().any(char::is_whitespace) {
        return Err(UriError::Character);
    }
    Ok(())
}

/// Every URI the specification predefines, and the few that clients in use rely on.
pub mod known {
    use super::Uri;

    macro_rules! known {
        ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {$(
            $(#[doc = $doc])+
            pub const $name: Uri<'static> = Uri::constant($text);
        )+};
    }

    known! {
        /// A URI attribute of a message is not a URI.
        INVALID_URI = "wamp.error.invalid_uri";
        /// Nobody registered the procedure.
        NO_SUCH_PROCEDURE = "wamp.error.no_such_procedure";
        /// Somebody registered the procedure before.
        PROCEDURE_ALREADY_EXISTS = "wamp.error.procedure_already_exists";
        /// Registered before with another invocation policy (not in the text; clients expect it).
        PROCEDURE_EXISTS_WITH_DIFFERENT_INVOCATION_POLICY =
            "wamp.error.procedure_exists_with_different_invocation_policy";
        /// UNREGISTER of what is not registered.
        NO_SUCH_REGISTRATION = "wamp.error.no_such_registration";
        /// UNSUBSCRIBE of what is not subscribed.
        NO_SUCH_SUBSCRIPTION = "wamp.error.no_such_subscription";
        /// Arguments that the callee, or the router's validation, does not take.
        INVALID_ARGUMENT = "wamp.error.invalid_argument";
        /// A call was canceled.
        CANCELED = "wamp.error.canceled";
        /// A payload too large for the transport of its receiver.
        PAYLOAD_SIZE_EXCEEDED = "wamp.error.payload_size_exceeded";
        /// The peer broke the protocol.
        PROTOCOL_VIOLATION = "wamp.error.protocol_violation";
        /// Not allowed to do so.
        NOT_AUTHORIZED = "wamp.error.not_authorized";
        /// Finding out whether it is allowed failed.
        AUTHORIZATION_FAILED = "wamp.error.authorization_failed";
        /// No such realm.
        NO_SUCH_REALM = "wamp.error.no_such_realm";
        /// No such role.
        NO_SUCH_ROLE = "wamp.error.no_such_role";
        /// No method the client offered is accepted.
        NO_MATCHING_AUTH_METHOD = "wamp.error.no_matching_auth_method";
        /// No such principal.
        NO_SUCH_PRINCIPAL = "wamp.error.no_such_principal";
        /// The authentication is wrong.
        AUTHENTICATION_DENIED = "wamp.error.authentication_denied";
        /// Finding out whether the authentication is right failed.
        AUTHENTICATION_FAILED = "wamp.error.authentication_failed";
        /// Anonymous is not enough.
        AUTHENTICATION_REQUIRED = "wamp.error.authentication_required";
        /// The principal may not do so.
        AUTHORIZATION_DENIED = "wamp.error.authorization_denied";
        /// The principal must be authorized first.
        AUTHORIZATION_REQUIRED = "wamp.error.authorization_required";
        /// A call timed out.
        TIMEOUT = "wamp.error.timeout";
        /// An option the router does not allow.
        OPTION_NOT_ALLOWED = "wamp.error.option_not_allowed";
        /// The router does not disclose its clients.
        OPTION_DISALLOWED_DISCLOSE_ME = "wamp.error.option_disallowed.disclose_me";
        /// The router's network failed.
        NETWORK_FAILURE = "wamp.error.network_failure";
        /// A callee asks for another to be called.
        UNAVAILABLE = "wamp.error.unavailable";
        /// Every callee asked for another.
        NO_AVAILABLE_CALLEE = "wamp.error.no_available_callee";
        /// The callee lacks a feature the call needs.
        FEATURE_NOT_SUPPORTED = "wamp.error.feature_not_supported";
        /// The peer shuts down.
        SYSTEM_SHUTDOWN = "wamp.close.system_shutdown";
        /// The peer leaves the realm.
        CLOSE_REALM = "wamp.close.close_realm";
        /// The answer to GOODBYE.
        GOODBYE_AND_OUT = "wamp.close.goodbye_and_out";
        /// The router ended the session by force.
        KILLED = "wamp.close.killed";
        /// An ordinary end (not in the text; clients send it).
        CLOSE_NORMAL = "wamp.close.normal";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The regular expressions of the specification, written out over components.
    fn oracle(text: &str, rule: UriRule, empty_allowed: bool) -> bool {
        text.split('.').all(|component| {
            (empty_allowed || !component.is_empty())
                && component.chars().all(|c| match rule {
                    UriRule::Loose => {
                        !c.is_whitespace() && c != '#' && !('\u{1c}'..='\u{1f}').contains(&c)
                    }
                    UriRule::Strict => matches!(c, '0'..='9' | 'a'..='z' | '_'),
                })
        })
    }

    #[test]
    fn agrees_with_the_regular_expressions() {
        // Every text of up to five characters over an alphabet that holds each class.
        let alphabet = ['.', '#', ' ', 'a', '_', 'Z', 'é', '\u{2003}', '\u{1c}'];
        let mut texts = vec![String::new()];
        let mut from = 0;
        for _ in 0..5 {
            let to = texts.len();
            for index in from..to {
                for c in alphabet {
                    texts.push(format!("{}{c}", texts[index]));
                }
            }
            from = to;
        }
        for text in &texts {
            for rule in [UriRule::Loose, UriRule::Strict] {
                let exact = Uri::checked(text.as_str().into(), rule, MatchPolicy::Exact).is_ok();
                assert_eq!(exact, oracle(text, rule, false), "{text:?} {rule:?}");
                let wildcard =
                    Uri::checked(text.as_str().into(), rule, MatchPolicy::Wildcard).is_ok();
                assert_eq!(wildcard, oracle(text, rule, true), "{text:?} {rule:?}");
                let prefix = Uri::checked(text.as_str().into(), rule, MatchPolicy::Prefix).is_ok();
                let stem = text.strip_suffix('.').unwrap_or(text);
                let wanted = text.is_empty() || oracle(stem, rule, false);
                assert_eq!(prefix, wanted, "{text:?} {rule:?}");
            }
        }
    }

    #[test]
    fn bounds_hold() {
        assert!(Uri::loose("a".repeat(URI_LEN_MAX)).is_ok());
        assert_eq!(
            Uri::loose("a".repeat(URI_LEN_MAX + 1)),
            Err(UriError::TooLong)
        );
        let most = vec!["a"; COMPONENTS_MAX].join(".");
        assert!(Uri::loose(most.clone()).is_ok());
        assert_eq!(
            Uri::loose(format!("{most}.a")),
            Err(UriError::TooManyComponents)
        );
    }

    #[test]
    fn reserved_is_the_first_component_only() {
        assert!(known::CANCELED.is_reserved());
        assert!(!Uri::loose("wampy.error").unwrap().is_reserved());
        assert!(!Uri::loose("com.wamp").unwrap().is_reserved());
    }

    #[test]
    fn patterns_select_as_the_examples_say() {
        // The examples of "Pattern-based Subscriptions", prefix and wildcard.
        let prefix = "com.myapp.topic.emergency";
        for (uri, selected) in [
            ("com.myapp.topic.emergency.11", true),
            ("com.myapp.topic.emergency-low", true),
            ("com.myapp.topic.emergency.category.severe", true),
            ("com.myapp.topic.emergency", true),
            ("com.myapp.topic.emergenc", false),
            ("com.myapp2.topic.emergency", false),
        ] {
            assert_eq!(MatchPolicy::Prefix.selects(prefix, uri), selected, "{uri}");
        }
        let wildcard = "com.myapp..userevent";
        for (uri, selected) in [
            ("com.myapp.foo.userevent", true),
            ("com.myapp.bar.userevent", true),
            ("com.myapp.a12.userevent", true),
            ("com.myapp.foo.userevent.bar", false),
            ("com.myapp.foo.user", false),
            ("com.myapp2.foo.userevent", false),
        ] {
            assert_eq!(
                MatchPolicy::Wildcard.selects(wildcard, uri),
                selected,
                "{uri}"
            );
        }
    }
}
