//! The common tongue of the formats: a reader gives tokens, a writer takes them. Messages are
//! parsed and written, values built and payloads transcoded once, over these two traits, and
//! compiled once for each format. Knows nothing of messages.
//!
//! Everything here is iterative: nesting costs a frame in a stack the reader or writer owns,
//! never one of the thread's.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::rules::DEPTH_LIMIT;
use crate::serializer::Format;
use crate::value::{Dict, Value};

/// What a reader finds, one at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Only beyond the range of `Int`.
    Uint(u64),
    Float(f64),
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// A list begins; its length if the format says it beforehand.
    List(Option<usize>),
    /// A dictionary begins; [`Reader::key`] until it gives none.
    Dict(Option<usize>),
    /// The list ends. Dictionaries end by [`Reader::key`].
    End,
}

/// What comes next, without taking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peek {
    List,
    Dict,
    Scalar,
    End,
}

/// A whole value, passed over and not looked into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether it is a list or dictionary without items.
    pub(crate) empty: bool,
}

/// Reads one message of one format. The caller keeps to the grammar: within a dictionary, each
/// [`key`](Self::key) is followed by one value.
pub(crate) trait Reader<'a> {
    /// The format, as raw payloads are labelled.
    fn format(&self) -> Format;

    /// What comes next.
    fn peek(&mut self) -> Result<Peek, DecodeError>;

    /// The next value, or its beginning, or the end of the list around it.
    fn token(&mut self) -> Result<Token<'a>, DecodeError>;

    /// The next key of the dictionary, or its end.
    fn key(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError>;

    /// Where the next value begins, after separators.
    fn offset(&mut self) -> Result<usize, DecodeError>;

    /// The octets between two offsets.
    fn between(&self, from: usize) -> &'a [u8];

    /// While skimming, types that cannot be carried over pass as null: what is not looked into
    /// is not judged.
    fn skim(&mut self, on: bool);

    /// That nothing follows.
    fn finish(&mut self) -> Result<(), DecodeError>;

    /// Passes over one whole value. Its structure, its strings' encoding and its nesting are
    /// checked all the same: what is forwarded unseen must not break who receives it.
    fn skip(&mut self) -> Result<Raw<'a>, DecodeError> {
        self.skim(true);
        let raw = skip_tokens(self);
        self.skim(false);
        raw
    }
}

fn skip_tokens<'a, R: Reader<'a> + ?Sized>(reader: &mut R) -> Result<Raw<'a>, DecodeError> {
    let from = reader.offset()?;
    let mut open = OpenKinds::default();
    let mut tokens = 0_usize;
    loop {
        let ended = if open.in_dict() && reader.key()?.is_none() {
            true
        } else {
            tokens += 1;
            match reader.token()? {
                Token::List(_) => {
                    open.push(false);
                    continue;
                }
                Token::Dict(_) => {
                    open.push(true);
                    continue;
                }
                Token::End => {
                    tokens -= 1;
                    true
                }
                _ => false,
            }
        };
        if ended {
            open.pop();
        }
        if open.depth == 0 {
            return Ok(Raw {
                bytes: reader.between(from),
                empty: ended && tokens == 1,
            });
        }
    }
}

/// Which of the open containers are dictionaries: a bit each, as deep as any reader goes.
#[derive(Default)]
struct OpenKinds {
    dicts: u128,
    depth: usize,
}

const _: () = assert!(
    DEPTH_LIMIT <= u128::BITS as usize,
    "a bit for every depth a reader accepts"
);

impl OpenKinds {
    fn push(&mut self, dict: bool) {
        self.dicts = (self.dicts << 1) | u128::from(dict);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.dicts >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }

    fn in_dict(&self) -> bool {
        self.depth > 0 && self.dicts & 1 == 1
    }
}

/// Refuses keys that come twice: by comparing while there are few, by hashing beyond.
#[derive(Default)]
pub(crate) struct KeySet<'a> {
    few: smallvec::SmallVec<[Cow<'a, str>; 8]>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> KeySet<'a> {
    /// Up to here comparing is faster than hashing with a seeded hash.
    const FEW: usize = 16;

    /// Adds a key, and says whether it is new.
    pub(crate) fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if self.many.is_empty() {
            if self.few.contains(&key) {
                return false;
            }
            if self.few.len() < Self::FEW {
                self.few.push(key);
                return true;
            }
            self.many.extend(self.few.drain(..));
        }
        self.many.insert(key)
    }
}

/// The most room made for a declared number of items before any of them is seen.
const ROOM_MAX: usize = 256;

/// Builds the value that comes next.
pub(crate) fn value<'a, R: Reader<'a> + ?Sized>(reader: &mut R) -> Result<Value, DecodeError> {
    let first = reader.token()?;
    value_from(first, reader)
}

/// Builds the value that begins with a token taken already.
pub(crate) fn value_from<'a, R: Reader<'a> + ?Sized>(
    first: Token<'a>,
    reader: &mut R,
) -> Result<Value, DecodeError> {
    enum Open<'a> {
        List(Vec<Value>),
        Dict(UniqueDict, Cow<'a, str>),
    }
    let mut open: smallvec::SmallVec<[Open<'a>; 4]> = smallvec::SmallVec::new();
    let mut token = first;
    loop {
        let mut done = match token {
            Token::Null => Value::Null,
            Token::Bool(value) => Value::Bool(value),
            Token::Int(value) => Value::Int(value),
            Token::Uint(value) => Value::Uint(value),
            Token::Float(value) => Value::Float(value),
            Token::Str(value) => Value::Str(value.into_owned()),
            Token::Bytes(value) => Value::Bytes(value.into_owned()),
            Token::List(len) => {
                let room = len.unwrap_or(0).min(ROOM_MAX);
                open.push(Open::List(Vec::with_capacity(room)));
                token = reader.token()?;
                continue;
            }
            Token::Dict(_) => match reader.key()? {
                None => Value::Dict(Dict::new()),
                Some(key) => {
                    open.push(Open::Dict(UniqueDict::default(), key));
                    token = reader.token()?;
                    continue;
                }
            },
            Token::End => match open.pop() {
                Some(Open::List(values)) => Value::List(values),
                // A reader ends lists only, and those it began.
                _ => return Err(DecodeErrorKind::Syntax.at(reader.offset()?)),
            },
        };
        // Put the finished value where it belongs, and close what it completes.
        loop {
            match open.last_mut() {
                None => return Ok(done),
                Some(Open::List(values)) => {
                    values.push(done);
                    break;
                }
                Some(Open::Dict(unique, key)) => {
                    if !unique.push(std::mem::take(key), done) {
                        return Err(DecodeErrorKind::DuplicateKey.at(reader.offset()?));
                    }
                    if let Some(key_next) = reader.key()? {
                        *key = key_next;
                        break;
                    }
                    let Some(Open::Dict(unique, _)) = open.pop() else {
                        unreachable!("the last was a dictionary, a few lines above");
                    };
                    done = Value::Dict(unique.dict);
                }
            }
        }
        token = reader.token()?;
    }
}

/// A dictionary being built, which takes a key once: compared while there are few, hashed beyond.
#[derive(Default)]
struct UniqueDict {
    dict: Dict,
    seen: Option<HashSet<String>>,
}

impl UniqueDict {
    fn push(&mut self, key: Cow<'_, str>, value: Value) -> bool {
        if self.dict.len() < KeySet::FEW {
            if self.dict.get(&key).is_some() {
                return false;
            }
        } else {
            let dict = &self.dict;
            let seen = self
                .seen
                .get_or_insert_with(|| dict.iter().map(|(key, _)| key.to_owned()).collect());
            if !seen.insert(key.clone().into_owned()) {
                return false;
            }
        }
        self.dict.push_unique(key.into_owned(), value);
        true
    }
}

/// Writes one message of one format.
///
/// Lists and dictionaries may be begun without their length; formats that put it in front make
/// room for the shortest form and move what follows if it does not fit.
pub(crate) trait Writer {
    /// The format, to tell which raw payloads need no transcoding.
    fn format(&self) -> Format;
    fn null(&mut self);
    fn bool(&mut self, value: bool);
    fn int(&mut self, value: i64);
    fn uint(&mut self, value: u64);
    fn float(&mut self, value: f64) -> Result<(), EncodeError>;
    fn str(&mut self, value: &str) -> Result<(), EncodeError>;
    fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError>;
    fn list(&mut self, len: Option<usize>) -> Result<(), EncodeError>;
    fn dict(&mut self, len: Option<usize>) -> Result<(), EncodeError>;
    fn key(&mut self, key: &str) -> Result<(), EncodeError>;
    /// Ends the innermost list or dictionary.
    fn end(&mut self) -> Result<(), EncodeError>;
    /// A whole value that is in this format already.
    fn raw(&mut self, bytes: &[u8]);

    /// A whole value.
    fn value(&mut self, value: &Value) -> Result<(), EncodeError>
    where
        Self: Sized,
    {
        write_value(self, value)
    }
}

/// Writes a value. Recursion is bounded by the writer, which refuses to nest deeper than
/// [`DEPTH_LIMIT`].
fn write_value<W: Writer>(writer: &mut W, value: &Value) -> Result<(), EncodeError> {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.bool(*value),
        Value::Int(value) => writer.int(*value),
        Value::Uint(value) => writer.uint(*value),
        Value::Float(value) => writer.float(*value)?,
        Value::Str(value) => writer.str(value)?,
        Value::Bytes(value) => writer.bytes(value)?,
        Value::List(values) => write_list(writer, values)?,
        Value::Dict(dict) => write_dict(writer, dict)?,
    }
    Ok(())
}

pub(crate) fn write_list<W: Writer>(writer: &mut W, values: &[Value]) -> Result<(), EncodeError> {
    writer.list(Some(values.len()))?;
    for value in values {
        write_value(writer, value)?;
    }
    writer.end()
}

pub(crate) fn write_dict<W: Writer>(writer: &mut W, dict: &Dict) -> Result<(), EncodeError> {
    writer.dict(Some(dict.len()))?;
    for (key, value) in dict.iter() {
        writer.key(key)?;
        write_value(writer, value)?;
    }
    writer.end()
}

/// Copies the value that comes next from one format into another. Nothing is built in between:
/// what the reader borrows, the writer copies. Keys that come twice pass, as they do when octets
/// are forwarded unseen: who asks for the values refuses them.
pub(crate) fn transcode<'a, R: Reader<'a>, W: Writer>(
    reader: &mut R,
    writer: &mut W,
) -> Result<(), EncodeError> {
    let mut open = OpenKinds::default();
    loop {
        let key = if open.in_dict() { reader.key()? } else { None };
        let dict_ended = open.in_dict() && key.is_none();
        if let Some(key) = key {
            writer.key(&key)?;
        }
        let token = if dict_ended {
            Token::End
        } else {
            reader.token()?
        };
        match token {
            Token::Null => writer.null(),
            Token::Bool(value) => writer.bool(value),
            Token::Int(value) => writer.int(value),
            Token::Uint(value) => writer.uint(value),
            Token::Float(value) => writer.float(value)?,
            Token::Str(value) => writer.str(&value)?,
            Token::Bytes(value) => writer.bytes(&value)?,
            Token::List(len) => {
                writer.list(len)?;
                open.push(false);
            }
            Token::Dict(len) => {
                writer.dict(len)?;
                open.push(true);
            }
            Token::End => {
                writer.end()?;
                open.pop();
            }
        }
        if open.depth == 0 {
            return Ok(());
        }
    }
}

/// The containers a writer has open, and where their lengths belong.
#[derive(Debug, Default)]
pub(crate) struct WriterStack {
    frames: smallvec::SmallVec<[WriterFrame; 8]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterFrame {
    /// Where its head stands.
    pub(crate) at: usize,
    /// Items so far; in a dictionary, keys.
    pub(crate) items: usize,
    pub(crate) dict: bool,
    /// Whether the head awaits its length.
    pub(crate) unknown: bool,
}

impl WriterStack {
    pub(crate) fn push(&mut self, at: usize, dict: bool, unknown: bool) -> Result<(), EncodeError> {
        if self.frames.len() >= DEPTH_LIMIT {
            return Err(EncodeError::TooDeep);
        }
        self.frames.push(WriterFrame {
            at,
            items: 0,
            dict,
            unknown,
        });
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<WriterFrame> {
        self.frames.pop()
    }

    /// Counts a value of a list, and returns how many stood before it; none in a dictionary,
    /// where keys are counted, or outside of any.
    pub(crate) fn item(&mut self) -> usize {
        match self.frames.last_mut() {
            Some(frame) if !frame.dict => {
                frame.items += 1;
                frame.items - 1
            }
            _ => 0,
        }
    }

    /// Counts a key, and returns how many stood before it.
    pub(crate) fn key(&mut self) -> usize {
        match self.frames.last_mut() {
            Some(frame) => {
                frame.items += 1;
                frame.items - 1
            }
            None => 0,
        }
    }
}

/// Puts a head in front of what was written since, where one octet was left for it.
pub(crate) fn patch_head(out: &mut Vec<u8>, at: usize, head: &[u8]) {
    let (Some((first, rest)), true) = (head.split_first(), at < out.len()) else {
        return;
    };
    if let Some(place) = out.get_mut(at) {
        *place = *first;
    }
    if !rest.is_empty() {
        let from = at + 1;
        let len = out.len();
        out.resize(len + rest.len(), 0);
        out.copy_within(from..len, from + rest.len());
        if let Some(place) = out.get_mut(from..from + rest.len()) {
            place.copy_from_slice(rest);
        }
    }
}
