//! From findings to a plan: which files would be written and which values of
//! the kernel set. Reads what is there; changes nothing.

mod boot;
mod unit;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    check::{self, Report},
    finding::{Change, Finding, ValueWrite},
    machine::Machine,
    root::Root,
    systemd,
};

/// Where the sysctls go; 90 stands after the distribution's files and before
/// the operator's `99-` ones, who keeps the last word.
pub const SYSCTL_FILE: &str = "etc/sysctl.d/90-wirebahn.conf";

/// Where the limits of logins go.
pub const LIMITS_FILE: &str = "etc/security/limits.d/90-wirebahn.conf";

/// The script that puts back at boot what the kernel forgets.
pub const BOOT_SCRIPT: &str = "etc/wirebahn/irq-affinity.sh";

/// The unit that runs [`BOOT_SCRIPT`].
pub const BOOT_UNIT: &str = "wirebahn-irq.service";

/// A part of a plan, to be left out or taken alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Sysctls: at once and in `/etc/sysctl.d`.
    Sysctl,
    /// The limit on open files in `/etc/security/limits.d`.
    Limits,
    /// The systemd unit, or a drop-in for one that is there.
    Unit,
    /// Interrupts and queues of network cards, and other values the kernel
    /// forgets: at once, and by a script at boot.
    Irq,
}

/// What a plan should contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// The parts. Default: all.
    pub parts: BTreeSet<Part>,
    /// The unit's name. Default `wirebahn.service`.
    pub unit: String,
    /// The command the unit starts. Default none: then a drop-in is written,
    /// for a unit made elsewhere.
    pub exec: Option<String>,
    /// Whom limits.d is about: a user, `@group` or `*`. Default `*`.
    pub user: String,
    /// Whether the unit also locks the server in. Default yes.
    pub hardening: bool,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions {
            parts: [Part::Sysctl, Part::Limits, Part::Unit, Part::Irq].into(),
            unit: systemd::UNIT_DEFAULT.to_owned(),
            exec: None,
            user: "*".to_owned(),
            hardening: true,
        }
    }
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Step {
    /// A file to be put in place as a whole.
    File {
        /// Where, without the leading slash.
        path: String,
        /// What is in it.
        contents: String,
        /// Its permission bits, if it is not there yet.
        mode: u32,
    },
    /// A value to be written into a file of the kernel.
    Value {
        /// Where, without the leading slash.
        path: String,
        /// The value.
        value: String,
        /// Whether the path may mean something else after the next boot.
        volatile: bool,
    },
}

/// What would be done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What the operator should know or do besides.
    pub notes: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// The name of the unit is not one systemd would take.
    Unit(String),
    /// The command of the unit is empty, has a line break, or does not start
    /// with an absolute path.
    Exec(String),
    /// The user of limits.d has white space or a `#` in it, or is empty.
    User(String),
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PlanError::Unit(name) => write!(
                f,
                "{name:?} is not the name of a service: letters, digits, \"-_.@:\", then \
                 \".service\""
            ),
            PlanError::Exec(command) => write!(
                f,
                "{command:?} is not a command for a unit: one line that starts with an absolute \
                 path"
            ),
            PlanError::User(user) => {
                write!(f, "{user:?} is not a user, an @group or * for limits.d")
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// What to change so that the load of `report` is carried well.
///
/// Sysctls and boot-time values that an earlier plan has put into their files
/// stay there, unless this one sets them anew.
///
/// ```
/// use wirebahn_tuning::{Load, Machine, check, plan::{PlanOptions, plan}};
///
/// let machine = Machine::host();
/// let report = check(&machine, &Load::new(100_000));
/// let plan = plan(&machine, &report, &PlanOptions::default())?;
/// println!("{} steps", plan.steps.len());
/// # Ok::<(), wirebahn_tuning::plan::PlanError>(())
/// ```
///
/// # Errors
/// [`PlanError`], when an option cannot be written into a file without meaning
/// something else there.
pub fn plan(machine: &Machine, report: &Report, options: &PlanOptions) -> Result<Plan, PlanError> {
    options.validate()?;
    let root = machine.root();
    let mut plan = Plan::default();
    if options.parts.contains(&Part::Sysctl) {
        sysctls(root, report, &mut plan);
    }
    if options.parts.contains(&Part::Limits) {
        limits(report, options, &mut plan);
    }
    if options.parts.contains(&Part::Unit) {
        // Where systemd does not run (a container), a unit helps no one.
        if systemd::runs(root) || options.exec.is_some() {
            unit::step(root, report, options, &mut plan);
        } else {
            plan.notes.push(
                "systemd does not run here: no unit is written (name a command with --exec to \
                 have one all the same)"
                    .to_owned(),
            );
        }
    }
    if options.parts.contains(&Part::Irq) {
        boot::steps(root, report, &mut plan);
    }
    Ok(plan)
}

impl PlanOptions {
    fn validate(&self) -> Result<(), PlanError> {
        let stem = self.unit.strip_suffix(".service").unwrap_or("");
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:".contains(c);
        if stem.is_empty() || stem.len() > 200 || stem.starts_with('.') || !stem.chars().all(plain)
        {
            return Err(PlanError::Unit(self.unit.clone()));
        }
        if let Some(exec) = &self.exec
            && (!exec.starts_with('/') || exec.contains(['\n', '\r', '\0']) || exec.ends_with('\\'))
        {
            return Err(PlanError::Exec(exec.clone()));
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '#';
        if self.user.is_empty() || self.user.contains(odd) {
            return Err(PlanError::User(self.user.clone()));
        }
        Ok(())
    }
}

fn sysctls(root: &Root, report: &Report, plan: &mut Plan) {
    let mut wanted: Vec<(&Finding, &String, &String)> = Vec::new();
    for finding in &report.findings {
        if let Some(Change::Sysctl { key, value }) = &finding.change {
            wanted.push((finding, key, value));
        }
    }
    if wanted.is_empty() {
        return;
    }
    wanted.sort_by_key(|(_, key, _)| *key);
    let mut text = format!(
        "# Written by `wirebahn tune apply`; `wirebahn tune undo` takes it back.\n\
         # For {} connections and {} workers.\n",
        report.load.connections, report.load.workers
    );
    let new: BTreeSet<&str> = wanted.iter().map(|(_, key, _)| key.as_str()).collect();
    let old = assignments(&root.read(SYSCTL_FILE).unwrap_or_default());
    let kept: Vec<_> = old
        .iter()
        .filter(|(key, _)| !new.contains(key.as_str()))
        .collect();
    if !kept.is_empty() {
        text.push_str("\n# Kept from an earlier run.\n");
        for (key, value) in kept {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    for (finding, key, value) in &wanted {
        text.push_str(&format!(
            "\n# {}\n# {}\n{key} = {value}\n",
            finding.why, finding.arithmetic
        ));
    }
    plan.steps.push(Step::File {
        path: SYSCTL_FILE.to_owned(),
        contents: text,
        mode: 0o644,
    });
    for (_, key, value) in &wanted {
        plan.steps.push(Step::Value {
            path: check::sysctl_path(key),
            value: (*value).clone(),
            volatile: false,
        });
        if let Some((file, theirs)) = overridden(root, key)
            && theirs.split_whitespace().ne(value.split_whitespace())
        {
            plan.notes.push(format!(
                "/{file} sets {key} = {theirs} and is read after /{SYSCTL_FILE}: it wins at boot"
            ));
        }
    }
}

/// The assignments of a sysctl file, by key.
fn assignments(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| {
            // "-" in front means: fail in silence. Slashes may stand for dots.
            let key = key.trim().trim_start_matches('-').replace('/', ".");
            (key, value.trim().to_owned())
        })
        .collect()
}

/// A file that is read after ours and sets the same key.
fn overridden(root: &Root, key: &str) -> Option<(String, String)> {
    let ours = SYSCTL_FILE.rsplit('/').next().unwrap_or_default();
    let mut later: Vec<String> = root
        .list("etc/sysctl.d")
        .unwrap_or_default()
        .into_iter()
        .filter(|name| name.ends_with(".conf") && name.as_str() > ours)
        .map(|name| format!("etc/sysctl.d/{name}"))
        .collect();
    // sysctl(8) reads this one last of all.
    later.push("etc/sysctl.conf".to_owned());
    later.into_iter().rev().find_map(|file| {
        let theirs = assignments(&root.read(&file).ok()?).remove(key)?;
        Some((file, theirs))
    })
}

fn limits(report: &Report, options: &PlanOptions, plan: &mut Plan) {
    let Some(Change::Nofile { files }) = report
        .finding("limits.nofile")
        .and_then(|finding| finding.change.as_ref())
    else {
        return;
    };
    let user = &options.user;
    let mut text = format!(
        "# Written by `wirebahn tune apply`; `wirebahn tune undo` takes it back.\n\
         # For {} connections. Counts for logins (PAM), not for systemd's services.\n\
         {user} soft nofile {files}\n\
         {user} hard nofile {files}\n",
        report.load.connections
    );
    if user == "*" {
        // pam_limits(8): the wildcard is not for root.
        text.push_str(&format!(
            "root soft nofile {files}\nroot hard nofile {files}\n"
        ));
    }
    plan.steps.push(Step::File {
        path: LIMITS_FILE.to_owned(),
        contents: text,
        mode: 0o644,
    });
    plan.notes
        .push("the limit on open files counts from the next login on".to_owned());
}

/// The values the kernel forgets, of all findings.
fn values(report: &Report) -> Vec<&ValueWrite> {
    report
        .findings
        .iter()
        .filter_map(|finding| match &finding.change {
            Some(Change::Values { writes }) => Some(writes),
            _ => None,
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_would_mean_something_else_are_refused() {
        let with = |change: fn(&mut PlanOptions)| {
            let mut options = PlanOptions::default();
            change(&mut options);
            options.validate()
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert!(with(|it| it.unit = "echo.service".to_owned()).is_ok());
        for unit in ["", ".service", "a/b.service", "../x.service", "x.socket"] {
            let options = PlanOptions {
                unit: unit.to_owned(),
                ..PlanOptions::default()
            };
            assert!(options.validate().is_err(), "{unit:?}");
        }
        assert!(with(|it| it.exec = Some("/bin/true\nExecStart=/bin/false".to_owned())).is_err());
        assert!(with(|it| it.exec = Some("wirebahn".to_owned())).is_err());
        assert!(with(|it| it.user = "a b".to_owned()).is_err());
        assert!(with(|it| it.user = "@staff".to_owned()).is_ok());
    }

    #[test]
    fn assignments_are_read_as_sysctl_reads_them() {
        let read = assignments("# a = 1\n; b = 2\nnet.core.somaxconn=4096\n-net/ipv4/x = 1 2 3\n");
        assert_eq!(
            read,
            BTreeMap::from([
                ("net.core.somaxconn".to_owned(), "4096".to_owned()),
                ("net.ipv4.x".to_owned(), "1 2 3".to_owned()),
            ])
        );
    }
}
