//! Application values, owned: what every serializer can carry. Knows nothing of formats.

use std::collections::HashSet;
use std::fmt;

/// A value of an application payload.
///
/// Integers keep all of 64 bits, signed and unsigned, binary stays apart from text, and
/// dictionaries keep their order. Two integers are equal when they are the same number, whichever
/// variant holds them.
///
/// ```
/// use wirebahn_wamp::{Dict, Value};
///
/// let value = Value::from(Dict::from_iter([
///     ("name", Value::from("Ada")),
///     ("scores", Value::from(vec![Value::from(1), Value::from(2.5)])),
/// ]));
/// let dict = value.as_dict().unwrap();
/// assert_eq!(dict.get("name").and_then(Value::as_str), Some("Ada"));
/// ```
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer that fits 64 bits with a sign.
    Int(i64),
    /// An integer; the formats give this variant only beyond the range of `Int`.
    Uint(u64),
    /// A number with a fraction, or an infinity, or NaN.
    Float(f64),
    /// Text.
    Str(String),
    /// Octets.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary.
    Dict(Dict),
}

impl Value {
    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Int(value) => Some(value),
            Self::Uint(value) => i64::try_from(value).ok(),
            _ => None,
        }
    }

    /// The integer, if it is one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Int(value) => u64::try_from(value).ok(),
            Self::Uint(value) => Some(value),
            _ => None,
        }
    }

    /// The number with a fraction, if it is one; integers are not converted.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The octets, if it is some.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The list's values, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(value) => Some(value),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Int(a), Self::Uint(b)) | (Self::Uint(b), Self::Int(a)) => {
                u64::try_from(*a).is_ok_and(|a| a == *b)
            }
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Dict(a), Self::Dict(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Str(value) => value.fmt(f),
            Self::Bytes(value) => write!(f, "{} octets", value.len()),
            Self::List(value) => value.fmt(f),
            Self::Dict(value) => value.fmt(f),
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr),+ $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $make
            }
        }
    )+};
}

from!(
    bool => |value| Self::Bool(value),
    i8 => |value| Self::Int(value.into()),
    i16 => |value| Self::Int(value.into()),
    i32 => |value| Self::Int(value.into()),
    i64 => |value| Self::Int(value),
    u8 => |value| Self::Int(value.into()),
    u16 => |value| Self::Int(value.into()),
    u32 => |value| Self::Int(value.into()),
    u64 => |value| i64::try_from(value).map_or(Self::Uint(value), Self::Int),
    f32 => |value| Self::Float(value.into()),
    f64 => |value| Self::Float(value),
    &str => |value| Self::Str(value.to_owned()),
    String => |value| Self::Str(value),
    Vec<u8> => |value| Self::Bytes(value),
    &[u8] => |value| Self::Bytes(value.to_vec()),
    Vec<Value> => |value| Self::List(value),
    Dict => |value| Self::Dict(value),
    crate::id::Id => |value| Self::from(value.get()),
);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A dictionary: keys are strings, each once, in the order they came.
///
/// Most hold a handful of keys, so finding one is a walk; who looks up many keys in a large one
/// builds a map from [`iter`](Self::iter) first.
#[derive(Clone, Default)]
pub struct Dict(Vec<(String, Value)>);

impl Dict {
    /// An empty dictionary. Allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a value under a key, and returns what was there.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, there)) => Some(std::mem::replace(there, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }

    /// Takes a key and its value out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(index).1)
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For decoders, which have seen to it that no key comes twice.
    pub(crate) fn push_unique(&mut self, key: String, value: Value) {
        debug_assert!(self.0.len() > 64 || self.get(&key).is_none());
        self.0.push((key, value));
    }
}

/// Order does not count (Basic Profile, "Messages": serialization order is undefined).
impl PartialEq for Dict {
    fn eq(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        // The same order is the usual case, and costs no search.
        if self.0.iter().zip(&other.0).all(|((a, _), (b, _))| a == b) {
            return self.0.iter().zip(&other.0).all(|((_, a), (_, b))| a == b);
        }
        let index: std::collections::HashMap<&str, &Value> = other.iter().collect();
        self.iter()
            .all(|(key, value)| index.get(key).is_some_and(|there| *there == value))
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Of keys that come twice, the last counts.
impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries: Vec<(String, Value)> = entries
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let mut seen = HashSet::with_capacity(entries.len());
        let mut kept: Vec<bool> = entries
            .iter()
            .rev()
            .map(|(key, _)| seen.insert(key.as_str()))
            .collect();
        kept.reverse();
        let mut kept = kept.into_iter();
        let mut entries = entries;
        entries.retain(|_| kept.next().unwrap_or(true));
        Self(entries)
    }
}

impl IntoIterator for Dict {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_compare_by_number() {
        assert_eq!(Value::Int(5), Value::Uint(5));
        assert_ne!(Value::Int(-1), Value::Uint(u64::MAX));
        assert_ne!(Value::Int(5), Value::Float(5.0));
        assert!(matches!(Value::from(5_u64), Value::Int(5)));
        assert!(matches!(Value::from(u64::MAX), Value::Uint(u64::MAX)));
    }

    #[test]
    fn a_dictionary_keeps_order_and_compares_without() {
        let a = Dict::from_iter([("x", 1), ("y", 2)]);
        let b = Dict::from_iter([("y", 2), ("x", 1)]);
        assert_eq!(a, b);
        assert_eq!(a.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["x", "y"]);
        assert_ne!(a, Dict::from_iter([("x", 1), ("y", 3)]));
        assert_ne!(a, Dict::from_iter([("x", 1), ("z", 2)]));
        assert_ne!(a, Dict::from_iter([("x", 1)]));
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let dict = Dict::from_iter([("x", 1), ("y", 2), ("x", 3)]);
        assert_eq!(dict.len(), 2);
        assert_eq!(dict.get("x").and_then(Value::as_i64), Some(3));
        let mut dict = dict;
        assert_eq!(dict.insert("x", 4), Some(Value::Int(3)));
        assert_eq!(dict.remove("x"), Some(Value::Int(4)));
        assert_eq!(dict.remove("x"), None);
    }
}
