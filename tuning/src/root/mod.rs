//! The one door to the file system: everything the crate reads or writes goes
//! through a [`Root`], a directory that stands for `/`.
//!
//! Tests hand in a tree made by hand, an image builder the tree of an image,
//! and everyone else the real thing. This room knows paths and bytes; it must
//! not know what any of the files means.

mod write;

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

pub(crate) use write::{Lock, Meta};

/// The most octets read from one file.
///
/// The longest file of interest is `/proc/interrupts`: one column of 11 octets
/// a CPU and a row an interrupt, so 512 CPUs with 1,000 interrupts come to
/// less than 6 MiB.
pub const FILE_LEN_MAX: usize = 8 << 20;

/// The most entries listed of one directory; a kernel's default `pid_max` on
/// small machines is 32,768, and no other directory of interest comes near.
pub const ENTRIES_MAX: usize = 65_536;

/// Why a fact could not be had. Nothing is guessed in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// There is no such file.
    Absent,
    /// The file is there and this process may not read it.
    Denied,
    /// The file could be read and does not have the expected shape; the text
    /// says what was wrong with it.
    Malformed(String),
    /// Any other failure, in the words of the operating system.
    Failed(String),
}

impl Unread {
    fn of(error: &io::Error) -> Unread {
        match error.kind() {
            // ENOTDIR: a parent is a plain file, so the path names nothing.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::Absent,
            io::ErrorKind::PermissionDenied => Unread::Denied,
            _ => Unread::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Absent => f.write_str("there is no such file"),
            Unread::Denied => f.write_str("permission denied"),
            Unread::Malformed(why) => write!(f, "not understood: {why}"),
            Unread::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unread {}

/// A directory that stands for `/`.
///
/// Paths given to it are written without a leading slash and never climb:
/// `proc/sys/net/core/somaxconn`.
///
/// ```
/// use wirebahn_tuning::{Root, Unread};
///
/// let root = Root::new("/a/directory/that/is/not/there");
/// assert_eq!(root.read("proc/self/limits"), Err(Unread::Absent));
/// ```
#[derive(Debug, Clone)]
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// The tree below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Root {
        Root { dir: dir.into() }
    }

    /// The machine this process runs on.
    pub fn host() -> Root {
        Root::new("/")
    }

    /// Whether this is the machine this process runs on, so that what system
    /// calls say belongs to the same machine as what the files say.
    pub fn is_host(&self) -> bool {
        self.dir == Path::new("/")
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How `path` is called outside, for messages.
    pub fn shown(&self, path: &str) -> String {
        self.dir.join(path).display().to_string()
    }

    /// The text of a file. Octets that are not UTF-8 become U+FFFD: they occur
    /// in names of threads only.
    ///
    /// # Errors
    /// [`Unread`], when the file is not there, may not be read, is longer than
    /// [`FILE_LEN_MAX`], or the kernel refuses the reading.
    pub fn read(&self, path: &str) -> Result<String, Unread> {
        Ok(String::from_utf8_lossy(&self.octets(path)?).into_owned())
    }

    /// The octets of a file.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn octets(&self, path: &str) -> Result<Vec<u8>, Unread> {
        let file = File::open(self.resolve(path)?).map_err(|e| Unread::of(&e))?;
        let mut octets = Vec::new();
        file.take(FILE_LEN_MAX as u64 + 1)
            .read_to_end(&mut octets)
            .map_err(|e| Unread::of(&e))?;
        if octets.len() > FILE_LEN_MAX {
            return Err(Unread::Malformed(format!(
                "longer than {FILE_LEN_MAX} octets"
            )));
        }
        Ok(octets)
    }

    /// The text of a file without the white space around it.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn word(&self, path: &str) -> Result<String, Unread> {
        Ok(self.read(path)?.trim().to_owned())
    }

    /// A file that holds one number.
    ///
    /// # Errors
    /// As [`Root::read`], and [`Unread::Malformed`] when it holds anything else.
    pub fn number(&self, path: &str) -> Result<u64, Unread> {
        number(&self.word(path)?)
    }

    /// A file that holds numbers between white space.
    ///
    /// # Errors
    /// As [`Root::number`].
    pub fn numbers(&self, path: &str) -> Result<Vec<u64>, Unread> {
        self.read(path)?.split_whitespace().map(number).collect()
    }

    /// The names in a directory, sorted; numbers inside a name count as
    /// numbers, so `rx-2` stands before `rx-10`.
    ///
    /// # Errors
    /// [`Unread`], when the directory is not there, may not be read, or has
    /// more than [`ENTRIES_MAX`] entries.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Unread> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.resolve(path)?).map_err(|e| Unread::of(&e))? {
            let entry = entry.map_err(|e| Unread::of(&e))?;
            if names.len() == ENTRIES_MAX {
                return Err(Unread::Malformed(format!("over {ENTRIES_MAX} entries")));
            }
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_by_cached_key(|name| natural(name));
        Ok(names)
    }

    /// Whether the path leads to something.
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path).is_ok_and(|full| full.exists())
    }

    /// Whether the file is one that anyone may write to: the kernel shows as
    /// read-only what a namespace may look at and not change.
    pub(crate) fn is_writable(&self, path: &str) -> bool {
        self.resolve(path)
            .ok()
            .and_then(|full| fs::metadata(full).ok())
            .is_some_and(|meta| meta.permissions().mode() & 0o222 != 0)
    }

    /// The last part of where a symbolic link leads: the driver's name of a
    /// device, for example.
    ///
    /// # Errors
    /// [`Unread`], when the path leads nowhere.
    pub fn target_name(&self, path: &str) -> Result<String, Unread> {
        let full = fs::canonicalize(self.resolve(path)?).map_err(|e| Unread::of(&e))?;
        full.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .ok_or(Unread::Absent)
    }

    /// The full path. A path that is absolute or climbs is a mistake in this
    /// crate or a forged journal, and is refused.
    fn resolve(&self, path: &str) -> Result<PathBuf, Unread> {
        if is_plain(path) {
            Ok(self.dir.join(path))
        } else {
            Err(Unread::Malformed(format!("the path {path:?} climbs")))
        }
    }
}

/// Whether a path is relative and made of names alone.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// A decimal number, nothing else around it.
pub(crate) fn number(word: &str) -> Result<u64, Unread> {
    word.parse().map_err(|_| {
        let head: String = word.chars().take(40).collect();
        Unread::Malformed(format!("{head:?} is not a number"))
    })
}

/// A sort key in which runs of digits count as numbers.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_len = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_len);
        let digits_len = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_len);
        key.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_climb_are_refused() {
        let root = Root::new("/tmp");
        for path in ["/etc/passwd", "../etc/passwd", "a/../../b", "", "./a"] {
            assert!(
                matches!(root.read(path), Err(Unread::Malformed(_))),
                "{path}"
            );
        }
    }

    #[test]
    fn names_sort_by_their_numbers() {
        let mut names = ["rx-10", "rx-2", "tx-0", "rx-0"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["rx-0", "rx-2", "rx-10", "tx-0"]);
    }

    #[test]
    fn a_number_is_a_number_and_nothing_else() {
        assert_eq!(number("9223372036854775807"), Ok(i64::MAX as u64));
        for word in ["", "-1", "1k", "99999999999999999999999"] {
            assert!(
                matches!(number(word), Err(Unread::Malformed(_))),
                "{word:?}"
            );
        }
    }
}
