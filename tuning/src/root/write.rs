//! The writing half of [`Root`]: replace a file so that a crash leaves the old
//! or the new one, write a value into a file of the kernel, remove, make and
//! remove directories, lock. Knows nothing of journals.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use super::{Root, is_plain};

/// Whose a file is and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The permission bits, for example 0o644.
    pub(crate) mode: u32,
    /// The owner; `None` leaves it as it falls out.
    pub(crate) owner: Option<(u32, u32)>,
}

/// An exclusive lock, held until dropped; the kernel drops it with the process,
/// so a crash leaves none behind.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held for its Drop")] File);

impl Root {
    /// Permissions and owner of a plain file. A symbolic link or a directory
    /// is an error: replacing either would destroy something else than a file.
    pub(crate) fn meta(&self, path: &str) -> io::Result<Meta> {
        let meta = fs::symlink_metadata(self.target(path)?)?;
        if !meta.is_file() {
            return Err(io::Error::other("is not a plain file"));
        }
        Ok(Meta {
            mode: meta.permissions().mode() & 0o7777,
            owner: Some((meta.uid(), meta.gid())),
        })
    }

    /// Puts a file in place as a whole: written beside it, synced, renamed over
    /// it, and the directory synced, so that a crash leaves old or new.
    pub(crate) fn replace(&self, path: &str, octets: &[u8], meta: Meta) -> io::Result<()> {
        let target = self.target(path)?;
        let parent = parent(&target)?;
        let draft = draft(&target)?;
        // A draft left by a crash is ours by its name; create_new after the
        // removal keeps a planted link from being followed.
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        let written = (|| {
            file.write_all(octets)?;
            if let Some((user, group)) = meta.owner {
                let now = file.metadata()?;
                if (now.uid(), now.gid()) != (user, group) {
                    chown(&draft, Some(user), Some(group))?;
                }
            }
            // After the change of owner, which clears bits of the mode, and in
            // spite of the umask.
            file.set_permissions(fs::Permissions::from_mode(meta.mode))?;
            file.sync_all()?;
            fs::rename(&draft, &target)?;
            sync_dir(parent)
        })();
        if written.is_err() {
            // The draft may be gone already; what matters is the first error.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Removes what a crash in the middle of [`Root::replace`] has left.
    pub(crate) fn remove_draft(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(draft(&self.target(path)?)?) {
            Err(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(e)
            }
            _ => Ok(()),
        }
    }

    /// Writes into a file that must be there already, in one write: the way
    /// the kernel wants its values.
    pub(crate) fn write_value(&self, path: &str, octets: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.target(path)?)?;
        file.write_all(octets)
    }

    /// Removes a file; that it is not there is fine.
    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        let target = self.target(path)?;
        match fs::remove_file(&target) {
            Ok(()) => sync_dir(parent(&target)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The directories above `path` that are not there yet, outermost first.
    pub(crate) fn missing_dirs(&self, path: &str) -> io::Result<Vec<String>> {
        self.target(path)?;
        let mut missing = Vec::new();
        let mut dir = Path::new(path).parent();
        while let Some(above) = dir {
            let name = above.to_string_lossy();
            if name.is_empty() || self.dir.join(above).exists() {
                break;
            }
            missing.push(name.into_owned());
            dir = above.parent();
        }
        missing.reverse();
        Ok(missing)
    }

    /// Makes one directory; that it is there is fine.
    pub(crate) fn make_dir(&self, path: &str) -> io::Result<()> {
        let target = self.target(path)?;
        match DirBuilder::new().mode(0o755).create(&target) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => sync_dir(parent(&target)?),
        }
    }

    /// Removes a directory if it is there and empty; a directory someone else
    /// has put something into stays.
    pub(crate) fn remove_empty_dir(&self, path: &str) -> io::Result<()> {
        match fs::remove_dir(self.target(path)?) {
            Err(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(e)
            }
            _ => Ok(()),
        }
    }

    /// Locks a directory; `None` when another process holds it.
    pub(crate) fn lock(&self, path: &str) -> io::Result<Option<Lock>> {
        let dir = File::open(self.target(path)?)?;
        match dir.try_lock() {
            Ok(()) => Ok(Some(Lock(dir))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn target(&self, path: &str) -> io::Result<PathBuf> {
        if is_plain(path) {
            Ok(self.dir.join(path))
        } else {
            Err(io::Error::other("the path climbs out of the root"))
        }
    }
}

/// Where the new contents of a file are written before they take its place.
fn draft(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::other("has no file name"))?
        .to_string_lossy();
    Ok(parent(target)?.join(format!(".{name}.wirebahn-new")))
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::other("has no directory above it"))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
