//! Carries a plan out and takes it back.
//!
//! Order is everything here. First a journal is written with what is there and
//! what will be; then directories, files and values are changed, one at a
//! time; then the journal is marked done. A crash at any point leaves a
//! journal from which `undo` restores every octet, or nothing to restore. A
//! file that cannot be written takes the whole plan back; a value the kernel
//! refuses is reported and the rest goes on, for some drivers refuse some
//! interrupts.
//!
//! `undo` restores only what still is as `apply` left it. What someone else
//! has changed since is reported and left alone, unless forced.

mod journal;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt, io,
    time::{SystemTime, UNIX_EPOCH},
};

use journal::{Content, Entry, Journal, Kind, Octets, SCHEMA, State, same_value};

use crate::{
    plan::{Plan, Step},
    root::{Lock, Meta, Root, Unread},
};

/// Where the journals lie.
pub const STATE_DIR: &str = "var/lib/wirebahn/tune";

/// The most plans that may be applied one over the other; past it, undo first.
pub const JOURNALS_MAX: u64 = 1000;

/// Why a plan was not carried out, or not taken back.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// Another `tune apply` or `tune undo` is at work.
    Busy,
    /// There is nothing to take back.
    Nothing,
    /// [`JOURNALS_MAX`] plans lie one over the other.
    TooMany,
    /// A journal is not one, or from another version; the text says which.
    Journal(String),
    /// A file could not be read or written; where and why. Nothing of the plan
    /// is left in place, unless `left` says otherwise.
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        error: io::Error,
        /// What could not be taken back in turn.
        left: Vec<String>,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Busy => f.write_str("another tune is at work here"),
            ApplyError::Nothing => f.write_str("there is nothing to undo"),
            ApplyError::TooMany => write!(f, "{JOURNALS_MAX} plans are applied: undo some first"),
            ApplyError::Journal(why) => write!(f, "the journal cannot be used: {why}"),
            ApplyError::Io { path, error, left } => {
                write!(f, "{path}: {error}")?;
                if !left.is_empty() {
                    write!(f, "; still changed: {}", left.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ApplyError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

fn failed(root: &Root, path: &str) -> impl FnOnce(io::Error) -> ApplyError {
    let path = root.shown(path);
    move |error| ApplyError::Io {
        path,
        error,
        left: Vec::new(),
    }
}

/// What became of one step, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The file.
    pub path: String,
    /// What was done.
    pub deed: Deed,
}

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// A file that was not there was made, with these contents.
    Created(String),
    /// A file was replaced, with these contents.
    Replaced(String),
    /// A value went from the one to the other.
    Set(String, String),
    /// It was so already.
    Same,
    /// There is no such file of the kernel.
    Absent,
    /// The kernel refused the value, in these words.
    Refused(String),
    /// The kernel took the value and made another of it: wanted, kept.
    Kept(String, String),
}

/// What `apply` did, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Applied {
    /// One for every step of the plan.
    pub outcomes: Vec<Outcome>,
    /// The journal, if anything was changed.
    pub journal: Option<String>,
}

impl Applied {
    /// Whether everything is as planned.
    pub fn complete(&self) -> bool {
        !self.outcomes.iter().any(|outcome| {
            matches!(
                outcome.deed,
                Deed::Refused(_) | Deed::Kept(..) | Deed::Absent
            )
        })
    }
}

/// What [`apply`] would do, without doing it.
///
/// # Errors
/// [`ApplyError::Io`], when something that would be replaced cannot be read.
pub fn dry_run(root: &Root, plan: &Plan) -> Result<Applied, ApplyError> {
    let (_, outcomes) = prepare(root, plan)?;
    Ok(Applied {
        outcomes,
        journal: None,
    })
}

/// Carries out a plan below `root`.
///
/// ```no_run
/// use wirebahn_tuning::{Load, Machine, apply, check, plan};
///
/// let machine = Machine::host();
/// let report = check(&machine, &Load::new(100_000));
/// let plan = plan::plan(&machine, &report, &plan::PlanOptions::default())?;
/// let applied = apply::apply(machine.root(), &plan)?;
/// assert!(applied.complete());
/// apply::undo(machine.root(), false)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ApplyError`]; the plan has then been taken back, as far as the error does
/// not say otherwise.
pub fn apply(root: &Root, plan: &Plan) -> Result<Applied, ApplyError> {
    apply_while(root, plan, &mut || true)
}

/// As [`apply`], asking `alive` before every change: a test that answers
/// "no" stops it there as a crash would.
fn apply_while(
    root: &Root,
    plan: &Plan,
    alive: &mut dyn FnMut() -> bool,
) -> Result<Applied, ApplyError> {
    let state_probe = format!("{STATE_DIR}/journal");
    let mut dirs = root
        .missing_dirs(&state_probe)
        .map_err(failed(root, STATE_DIR))?;
    for dir in &dirs {
        checkpoint(alive)?;
        root.make_dir(dir).map_err(failed(root, dir))?;
    }
    let _lock = lock(root)?;
    let (changes, mut outcomes) = prepare(root, plan)?;
    if changes.is_empty() {
        for dir in dirs.iter().rev() {
            root.remove_empty_dir(dir).map_err(failed(root, dir))?;
        }
        return Ok(Applied {
            outcomes,
            journal: None,
        });
    }
    for entry in &changes {
        for dir in root
            .missing_dirs(&entry.path)
            .map_err(failed(root, &entry.path))?
        {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
    }
    let number = journals(root)?.last().copied().unwrap_or(0) + 1;
    if number > JOURNALS_MAX {
        return Err(ApplyError::TooMany);
    }
    let mut journal = Journal {
        schema: SCHEMA.to_owned(),
        at_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        boot_id: boot_id(root),
        state: State::Applying,
        dirs,
        changes,
    };
    let name = journal_path(number);
    checkpoint(alive)?;
    save(root, &name, &journal)?;
    match change(root, &mut journal, &mut outcomes, alive) {
        Ok(()) => {}
        Err(ApplyError::Io {
            path,
            error,
            mut left,
        }) if !is_crash(&error) => {
            match take_back(root, &name, &journal, false) {
                Ok(undone) => left.extend(undone.conflicts.into_iter().map(|it| it.path)),
                Err(e) => left.push(e.to_string()),
            }
            return Err(ApplyError::Io { path, error, left });
        }
        Err(other) => return Err(other),
    }
    journal.state = State::Applied;
    checkpoint(alive)?;
    save(root, &name, &journal)?;
    Ok(Applied {
        outcomes,
        journal: Some(name),
    })
}

/// What must be changed, and what the outcome is if every change succeeds.
fn prepare(root: &Root, plan: &Plan) -> Result<(Vec<Entry>, Vec<Outcome>), ApplyError> {
    let mut changes = Vec::new();
    let mut outcomes = Vec::new();
    for step in &plan.steps {
        let (path, deed, entry) = match step {
            Step::File {
                path,
                contents,
                mode,
            } => {
                let (deed, entry) = prepare_file(root, path, contents, *mode)?;
                (path, deed, entry)
            }
            Step::Value {
                path,
                value,
                volatile,
            } => {
                let (deed, entry) = prepare_value(root, path, value, *volatile)?;
                (path, deed, entry)
            }
        };
        changes.extend(entry);
        outcomes.push(Outcome {
            path: path.clone(),
            deed,
        });
    }
    Ok((changes, outcomes))
}

fn prepare_file(
    root: &Root,
    path: &str,
    contents: &str,
    mode: u32,
) -> Result<(Deed, Option<Entry>), ApplyError> {
    let old = content(root, path)?;
    if old
        .as_ref()
        .is_some_and(|old| old.octets == Octets::new(contents.as_bytes()))
    {
        return Ok((Deed::Same, None));
    }
    // A file that is there keeps its owner and its permissions.
    let meta = old
        .as_ref()
        .map_or(Meta { mode, owner: None }, Content::meta);
    let deed = match old {
        None => Deed::Created(contents.to_owned()),
        Some(_) => Deed::Replaced(contents.to_owned()),
    };
    let entry = Entry {
        path: path.to_owned(),
        kind: Kind::File,
        volatile: false,
        old,
        new: Content {
            octets: Octets::new(contents.as_bytes()),
            mode: meta.mode,
            owner: meta.owner,
        },
        after: None,
    };
    Ok((deed, Some(entry)))
}

fn prepare_value(
    root: &Root,
    path: &str,
    value: &str,
    volatile: bool,
) -> Result<(Deed, Option<Entry>), ApplyError> {
    let old = match root.octets(path) {
        Ok(old) => old,
        Err(Unread::Absent) => return Ok((Deed::Absent, None)),
        Err(why) => return Err(failed(root, path)(io::Error::other(why))),
    };
    if same_value(&old, value.as_bytes()) {
        return Ok((Deed::Same, None));
    }
    let old = Octets::new(&old);
    let deed = Deed::Set(old.shown(), value.to_owned());
    // Values are written in place: mode and owner are none of our business.
    let content = |octets| Content {
        octets,
        mode: 0,
        owner: None,
    };
    let entry = Entry {
        path: path.to_owned(),
        kind: Kind::Value,
        volatile,
        old: Some(content(old)),
        new: content(Octets::new(format!("{value}\n").as_bytes())),
        after: None,
    };
    Ok((deed, Some(entry)))
}

/// A file as it is now; `None` if there is none.
fn content(root: &Root, path: &str) -> Result<Option<Content>, ApplyError> {
    let meta = match root.meta(path) {
        Ok(meta) => meta,
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(e) => return Err(failed(root, path)(e)),
    };
    let octets = root
        .octets(path)
        .map_err(|why| failed(root, path)(io::Error::other(why)))?;
    Ok(Some(Content {
        octets: Octets::new(&octets),
        mode: meta.mode,
        owner: meta.owner,
    }))
}

/// Makes the directories and the changes of a journal that has been saved.
fn change(
    root: &Root,
    journal: &mut Journal,
    outcomes: &mut [Outcome],
    alive: &mut dyn FnMut() -> bool,
) -> Result<(), ApplyError> {
    for dir in &journal.dirs {
        checkpoint(alive)?;
        root.make_dir(dir).map_err(failed(root, dir))?;
    }
    for entry in &mut journal.changes {
        checkpoint(alive)?;
        let octets = entry.new.octets.octets().map_err(ApplyError::Journal)?;
        match entry.kind {
            Kind::File => root
                .replace(&entry.path, &octets, entry.new.meta())
                .map_err(failed(root, &entry.path))?,
            Kind::Value => {
                let deed = set_value(root, entry, &octets);
                if let Some(deed) = deed
                    && let Some(outcome) = outcomes.iter_mut().find(|it| it.path == entry.path)
                {
                    outcome.deed = deed;
                }
            }
        }
    }
    Ok(())
}

/// Writes a value and reads it back. `None` if it is now as wanted.
fn set_value(root: &Root, entry: &mut Entry, octets: &[u8]) -> Option<Deed> {
    if let Err(e) = root.write_value(&entry.path, octets) {
        return Some(Deed::Refused(e.to_string()));
    }
    match root.octets(&entry.path) {
        Ok(now) if same_value(&now, octets) => None,
        Ok(now) => {
            let kept = Octets::new(&now);
            let deed = Deed::Kept(entry.new.octets.shown(), kept.shown());
            entry.after = Some(kept);
            Some(deed)
        }
        Err(why) => Some(Deed::Refused(format!("written, but not read back: {why}"))),
    }
}

/// What `undo` did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Undone {
    /// Put back, or removed because it was not there before.
    pub restored: Vec<String>,
    /// Was as before already, or is not there any more.
    pub untouched: Vec<String>,
    /// Left alone, with the reason; the journal stays until they are settled.
    pub conflicts: Vec<Conflict>,
}

/// Something `undo` left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The file.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Takes back what the last [`apply`] that is still in place has done. With
/// `force`, also what has been changed since by someone else.
///
/// # Errors
/// [`ApplyError::Nothing`], when nothing is in place; otherwise as [`apply`].
/// After an error it may be called again: what is restored stays restored.
pub fn undo(root: &Root, force: bool) -> Result<Undone, ApplyError> {
    if !root.exists(STATE_DIR) {
        return Err(ApplyError::Nothing);
    }
    let _lock = lock(root)?;
    let number = journals(root)?.last().copied().ok_or(ApplyError::Nothing)?;
    let name = journal_path(number);
    let text = root
        .read(&name)
        .map_err(|why| ApplyError::Journal(format!("{}: {why}", root.shown(&name))))?;
    let journal: Journal = serde_json::from_str(&text)
        .map_err(|e| ApplyError::Journal(format!("{}: {e}", root.shown(&name))))?;
    if journal.schema != SCHEMA {
        return Err(ApplyError::Journal(format!(
            "{}: its schema is {:?}, not {SCHEMA:?}",
            root.shown(&name),
            journal.schema
        )));
    }
    take_back(root, &name, &journal, force)
}

/// Restores from a journal, the last change first, and removes the journal if
/// nothing is left to be settled.
fn take_back(
    root: &Root,
    name: &str,
    journal: &Journal,
    force: bool,
) -> Result<Undone, ApplyError> {
    let mut undone = Undone::default();
    let rebooted = journal.boot_id.is_some() && journal.boot_id != boot_id(root);
    for entry in journal.changes.iter().rev() {
        let result = match entry.kind {
            Kind::File => restore_file(root, entry, force),
            Kind::Value if entry.volatile && rebooted => Ok(Restored::No),
            Kind::Value => restore_value(root, entry, force),
        };
        match result {
            Ok(Restored::Yes) => undone.restored.push(entry.path.clone()),
            Ok(Restored::No) => undone.untouched.push(entry.path.clone()),
            Err(why) => undone.conflicts.push(Conflict {
                path: entry.path.clone(),
                why,
            }),
        }
    }
    if undone.conflicts.is_empty() {
        // Our own directory goes last, after the journal that lies in it.
        let (own, others): (BTreeSet<&String>, BTreeSet<&String>) = journal
            .dirs
            .iter()
            .partition(|dir| STATE_DIR.starts_with(dir.as_str()));
        for dir in others.into_iter().rev() {
            root.remove_empty_dir(dir).map_err(failed(root, dir))?;
        }
        root.remove(name).map_err(failed(root, name))?;
        for dir in own.into_iter().rev() {
            root.remove_empty_dir(dir).map_err(failed(root, dir))?;
        }
    }
    Ok(undone)
}

enum Restored {
    Yes,
    No,
}

fn restore_file(root: &Root, entry: &Entry, force: bool) -> Result<Restored, String> {
    // What a crash in the middle of `replace` leaves behind.
    root.remove_draft(&entry.path).map_err(|e| e.to_string())?;
    let now = content(root, &entry.path).map_err(|e| e.to_string())?;
    if now == entry.old {
        return Ok(Restored::No);
    }
    let ours = now
        .as_ref()
        .is_some_and(|now| now.octets == entry.new.octets);
    if !ours && !force {
        return Err(match now {
            None => "has been removed since".to_owned(),
            Some(_) => "has been changed since by someone else".to_owned(),
        });
    }
    match &entry.old {
        None => root.remove(&entry.path),
        Some(old) => root.replace(&entry.path, &old.octets.octets()?, old.meta()),
    }
    .map_err(|e| e.to_string())?;
    Ok(Restored::Yes)
}

fn restore_value(root: &Root, entry: &Entry, force: bool) -> Result<Restored, String> {
    let Some(old) = &entry.old else {
        return Err("the journal does not tell its old value".to_owned());
    };
    let old = old.octets.octets()?;
    let now = match root.octets(&entry.path) {
        Ok(now) => now,
        // Gone with its module or its card: there is nothing to restore.
        Err(Unread::Absent) => return Ok(Restored::No),
        Err(why) => return Err(why.to_string()),
    };
    if same_value(&now, &old) {
        // In a tree of plain files the same value may stand in other octets
        // (blanks for tabs); they are put back too.
        if now == old {
            return Ok(Restored::No);
        }
    } else {
        let mut ours = same_value(&now, &entry.new.octets.octets()?);
        if let Some(after) = &entry.after {
            ours |= same_value(&now, &after.octets()?);
        }
        if !ours && !force {
            return Err("has been changed since by someone else".to_owned());
        }
    }
    root.write_value(&entry.path, &old)
        .map_err(|e| e.to_string())?;
    match root.octets(&entry.path) {
        Ok(now) if same_value(&now, &old) => Ok(Restored::Yes),
        Ok(now) => Err(format!(
            "was written, and the kernel made {} of it",
            Octets::new(&now).shown()
        )),
        Err(why) => Err(why.to_string()),
    }
}

fn lock(root: &Root) -> Result<Lock, ApplyError> {
    root.lock(STATE_DIR)
        .map_err(failed(root, STATE_DIR))?
        .ok_or(ApplyError::Busy)
}

fn journal_path(number: u64) -> String {
    format!("{STATE_DIR}/journal-{number:06}.json")
}

/// The numbers of the journals that are there, in order.
fn journals(root: &Root) -> Result<Vec<u64>, ApplyError> {
    let names = root
        .list(STATE_DIR)
        .map_err(|why| ApplyError::Journal(format!("{}: {why}", root.shown(STATE_DIR))))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| {
            let digits = name.strip_prefix("journal-")?.strip_suffix(".json")?;
            digits.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn save(root: &Root, name: &str, journal: &Journal) -> Result<(), ApplyError> {
    let mut text =
        serde_json::to_string_pretty(journal).map_err(|e| ApplyError::Journal(e.to_string()))?;
    text.push('\n');
    // Old contents may have been secret: for the owner's eyes alone.
    let meta = Meta {
        mode: 0o600,
        owner: None,
    };
    root.replace(name, text.as_bytes(), meta)
        .map_err(failed(root, name))
}

fn boot_id(root: &Root) -> Option<String> {
    root.word("proc/sys/kernel/random/boot_id").ok()
}

/// The error that stands for a crash in tests.
const CRASH: &str = "stopped before the next change";

fn checkpoint(alive: &mut dyn FnMut() -> bool) -> Result<(), ApplyError> {
    if alive() {
        return Ok(());
    }
    Err(ApplyError::Io {
        path: STATE_DIR.to_owned(),
        error: io::Error::other(CRASH),
        left: Vec::new(),
    })
}

fn is_crash(error: &io::Error) -> bool {
    error.to_string() == CRASH
}
