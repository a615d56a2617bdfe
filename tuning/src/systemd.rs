//! What systemd's files say about a unit: read with systemd's own order of
//! precedence, as far as one setting needs it. Starts and asks nothing.

use crate::root::{Root, Unread, number};

/// The unit a server is deployed as unless the caller names another.
pub(crate) const UNIT_DEFAULT: &str = "wirebahn.service";

/// Where units lie, the most important place first (systemd.unit(5)).
const UNIT_DIRS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Where the manager's own configuration lies (systemd-system.conf(5)).
const MANAGER_DIRS: [&str; 4] = [
    "etc/systemd",
    "run/systemd",
    "usr/lib/systemd",
    "lib/systemd",
];

/// The limit on open files a service would be started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nofile {
    /// systemd is not what runs this machine.
    NoSystemd,
    /// No file says anything.
    Unset,
    /// A file says so.
    Set {
        soft: u64,
        text: String,
        file: String,
    },
    /// A file is there and could not be read or understood.
    Unread(Unread),
}

/// Whether systemd runs the machine: the test of sd_booted(3).
pub(crate) fn runs(root: &Root) -> bool {
    root.exists("run/systemd/system")
}

/// Whether the unit is there, from us or from anyone.
pub(crate) fn unit_exists(root: &Root, unit: &str) -> bool {
    UNIT_DIRS
        .iter()
        .any(|dir| root.exists(&format!("{dir}/{unit}")))
}

/// `LimitNOFILE=` of the unit and its drop-ins, or else `DefaultLimitNOFILE=`
/// of the manager.
pub(crate) fn nofile(root: &Root, unit: &str) -> Nofile {
    if !runs(root) {
        return Nofile::NoSystemd;
    }
    let mut found = None;
    if let Some(path) = UNIT_DIRS
        .iter()
        .map(|dir| format!("{dir}/{unit}"))
        .find(|path| root.exists(path))
    {
        look(root, &path, "LimitNOFILE", &mut found);
    }
    let dirs: Vec<String> = UNIT_DIRS
        .iter()
        .map(|dir| format!("{dir}/{unit}.d"))
        .collect();
    for path in drop_ins(root, &dirs) {
        look(root, &path, "LimitNOFILE", &mut found);
    }
    if found.is_none() {
        if let Some(path) = MANAGER_DIRS
            .iter()
            .map(|dir| format!("{dir}/system.conf"))
            .find(|path| root.exists(path))
        {
            look(root, &path, "DefaultLimitNOFILE", &mut found);
        }
        let dirs: Vec<String> = MANAGER_DIRS
            .iter()
            .map(|dir| format!("{dir}/system.conf.d"))
            .collect();
        for path in drop_ins(root, &dirs) {
            look(root, &path, "DefaultLimitNOFILE", &mut found);
        }
    }
    found.unwrap_or(Nofile::Unset)
}

/// The `.conf` files of several directories, by name; of two with one name the
/// one in the earlier directory counts.
fn drop_ins(root: &Root, dirs: &[String]) -> Vec<String> {
    let mut files: Vec<(String, String)> = Vec::new();
    for dir in dirs {
        for name in root.list(dir).unwrap_or_default() {
            if name.ends_with(".conf") && !files.iter().any(|(known, _)| *known == name) {
                files.push((name.clone(), format!("{dir}/{name}")));
            }
        }
    }
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// The last assignment of a file wins, and a later file over an earlier one.
fn look(root: &Root, path: &str, key: &str, found: &mut Option<Nofile>) {
    let text = match root.read(path) {
        Ok(text) => text,
        Err(why) => {
            *found = Some(Nofile::Unread(why));
            return;
        }
    };
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if name.trim() != key {
            continue;
        }
        let value = value.trim();
        let soft = value.split(':').next().unwrap_or(value);
        *found = Some(match soft {
            // An empty assignment takes back what was said before.
            "" => Nofile::Unset,
            "infinity" => set(u64::MAX, value, path),
            soft => match number(soft) {
                Ok(soft) => set(soft, value, path),
                Err(why) => Nofile::Unread(why),
            },
        });
    }
}

fn set(soft: u64, value: &str, path: &str) -> Nofile {
    Nofile::Set {
        soft,
        text: value.to_owned(),
        file: format!("/{path}"),
    }
}
