//! The journal of one `apply`: what was there and what was put in its place,
//! written before anything is changed. Knows files; changes none of them.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::root::Meta;

/// The schema of the file, and the only one that is read.
pub(super) const SCHEMA: &str = "wirebahn-tune-journal/1";

/// All that `undo` needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) schema: String,
    /// Seconds since 1970, for people.
    pub(super) at_unix_s: u64,
    /// Which boot it was: values of interrupts mean nothing after the next.
    pub(super) boot_id: Option<String>,
    pub(super) state: State,
    /// Directories made for it, outermost first.
    pub(super) dirs: Vec<String>,
    /// What is changed, in order.
    pub(super) changes: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Begun; how far it came is seen from the files.
    Applying,
    /// Done.
    Applied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A file, replaced as a whole.
    File,
    /// A value in a file of the kernel.
    Value,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: Kind,
    /// Whether the path may mean something else after the next boot.
    pub(super) volatile: bool,
    /// What was there; nothing, if the file was not.
    pub(super) old: Option<Content>,
    pub(super) new: Content,
    /// What a value read as after it was written, where that is not `new`.
    pub(super) after: Option<Octets>,
}

/// A file's octets, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) octets: Octets,
    pub(super) mode: u32,
    pub(super) owner: Option<(u32, u32)>,
}

impl Content {
    pub(super) fn meta(&self) -> Meta {
        Meta {
            mode: self.mode,
            owner: self.owner,
        }
    }
}

/// Octets: as text where they are text, so that people can read the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Octets {
    Text(String),
    Base64(String),
}

impl Octets {
    pub(super) fn new(octets: &[u8]) -> Octets {
        match str::from_utf8(octets) {
            Ok(text) => Octets::Text(text.to_owned()),
            Err(_) => Octets::Base64(STANDARD.encode(octets)),
        }
    }

    pub(super) fn octets(&self) -> Result<Vec<u8>, String> {
        match self {
            Octets::Text(text) => Ok(text.as_bytes().to_vec()),
            Octets::Base64(code) => STANDARD.decode(code).map_err(|e| e.to_string()),
        }
    }

    /// For people: the text, or how long it is.
    pub(super) fn shown(&self) -> String {
        match self {
            Octets::Text(text) => text.trim().replace('\t', " "),
            Octets::Base64(code) => format!("({} octets that are not text)", code.len() / 4 * 3),
        }
    }
}

/// Whether two values are one to the kernel, which writes tabs for blanks and
/// a line's end behind.
pub(super) fn same_value(a: &[u8], b: &[u8]) -> bool {
    let words = |octets: &[u8]| -> Vec<Vec<u8>> {
        octets
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    words(a) == words(b)
}
