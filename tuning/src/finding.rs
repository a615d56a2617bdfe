//! What a check says about one setting: the present value, the needed one,
//! the arithmetic between them, and how to get from one to the other.
//!
//! This room knows the form of a finding; the rooms under `check` fill it in.

use std::fmt::Display;

use serde::Serialize;

use crate::{explain::explain, root::Unread};

/// How much a finding matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The setting carries the load.
    Fine,
    /// The setting could not be read; nothing is claimed about it.
    Unknown,
    /// The load is carried, but slower, with more memory, or with more risk
    /// than need be.
    Advice,
    /// The stated load will not fit.
    Limits,
}

impl Severity {
    /// The word it is shown as, also in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Fine => "fine",
            Severity::Unknown => "unknown",
            Severity::Advice => "advice",
            Severity::Limits => "limits",
        }
    }
}

/// Which part of the machine a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Limits of processes and of the whole system on files.
    Limits,
    /// Network settings of the kernel.
    Network,
    /// What the kernel can do.
    Kernel,
    /// Processors and who may use them.
    Cpu,
    /// Network cards, their queues and interrupts.
    Nic,
    /// Memory.
    Memory,
}

impl Area {
    /// All of them, in the order they are shown.
    pub const ALL: [Area; 6] = [
        Area::Limits,
        Area::Network,
        Area::Kernel,
        Area::Cpu,
        Area::Nic,
        Area::Memory,
    ];

    /// The word it is shown as, also in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Area::Limits => "limits",
            Area::Network => "network",
            Area::Kernel => "kernel",
            Area::Cpu => "cpu",
            Area::Nic => "nic",
            Area::Memory => "memory",
        }
    }
}

/// The present value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// What was read, as text.
    Known(String),
    /// Why it could not be read.
    Unknown(String),
}

/// Something `tune apply` knows how to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A sysctl: written at once, and into a file under `/etc/sysctl.d`.
    Sysctl {
        /// Its name with dots.
        key: String,
        /// The value to write.
        value: String,
    },
    /// The limit on open files: goes into limits.d and the systemd unit.
    Nofile {
        /// Files a process may have open.
        files: u64,
    },
    /// Files of the kernel that lose their value at the next boot: written at
    /// once, and by a script that systemd runs at boot.
    Values {
        /// Each of them.
        writes: Vec<ValueWrite>,
    },
}

/// A value to be written into a file of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueWrite {
    /// The file, without the leading slash.
    pub path: String,
    /// The text to write.
    pub value: String,
    /// The name of the interrupt it is about, if it is: the number in the
    /// path may be another at the next boot, the name stays.
    pub irq: Option<String>,
}

/// What is to be said about one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Its name: a sysctl's own name, or `area.what`. `tune explain` takes it.
    pub key: String,
    /// The part of the machine it belongs to.
    pub area: Area,
    /// How much it matters.
    pub severity: Severity,
    /// What is there now.
    pub present: Reading,
    /// What the load needs, for example `≥ 10144`.
    pub needed: String,
    /// How the need was computed, with the numbers.
    pub arithmetic: String,
    /// Why a WebSocket server cares.
    pub why: String,
    /// How to change it by hand.
    pub how: String,
    /// What `tune apply` would do; `None` where it can or should do nothing.
    pub change: Option<Change>,
}

impl Finding {
    /// A finding from a reading. One that could not be read is
    /// [`Severity::Unknown`]; one that was is fine if `good` says so, and
    /// otherwise as bad as `otherwise`.
    pub(crate) fn of<T: Display>(
        key: &str,
        area: Area,
        read: &Result<T, Unread>,
        otherwise: Severity,
        good: impl FnOnce(&T) -> bool,
    ) -> Finding {
        let (present, severity) = match read {
            Ok(value) if good(value) => (Reading::Known(value.to_string()), Severity::Fine),
            Ok(value) => (Reading::Known(value.to_string()), otherwise),
            Err(why) => (Reading::Unknown(why.to_string()), Severity::Unknown),
        };
        Finding {
            key: key.to_owned(),
            area,
            severity,
            present,
            needed: String::new(),
            arithmetic: String::new(),
            why: explain(key).map_or_else(String::new, |it| it.why.to_owned()),
            how: String::new(),
            change: None,
        }
    }

    /// What is needed, and the arithmetic that says so.
    pub(crate) fn needs(self, needed: impl Into<String>, arithmetic: impl Into<String>) -> Finding {
        Finding {
            needed: needed.into(),
            arithmetic: arithmetic.into(),
            ..self
        }
    }

    /// How to change it by hand.
    pub(crate) fn how(self, how: impl Into<String>) -> Finding {
        Finding {
            how: how.into(),
            ..self
        }
    }

    /// What `apply` would do. Only a finding that has been read and is not
    /// fine keeps it: we do not write over what we could not read.
    pub(crate) fn change(self, change: Change) -> Finding {
        let wanted = matches!(self.severity, Severity::Advice | Severity::Limits);
        Finding {
            change: wanted.then_some(change),
            ..self
        }
    }

    /// Sets a sysctl: the hand's way and apply's.
    pub(crate) fn sysctl(self, key: &str, value: impl Into<String>) -> Finding {
        let value = value.into();
        let how = format!("sysctl -w {key}=\"{value}\", and the same line in /etc/sysctl.d");
        self.how(how).change(Change::Sysctl {
            key: key.to_owned(),
            value,
        })
    }

    /// Whether `tune apply` can change it.
    pub fn applyable(&self) -> bool {
        self.change.is_some()
    }

    /// Whether it is worth a line in a server's log: the load does not fit, or
    /// is carried worse than need be.
    pub fn matters(&self) -> bool {
        self.severity >= Severity::Advice
    }

    /// The present value, or `unknown`.
    pub fn present_word(&self) -> &str {
        match &self.present {
            Reading::Known(value) => value,
            Reading::Unknown(_) => "unknown",
        }
    }

    /// The finding in one line, for a log.
    ///
    /// ```
    /// use wirebahn_tuning::{Load, quick_check};
    ///
    /// for finding in quick_check(&Load::new(100_000)) {
    ///     eprintln!("warning: {}", finding.one_line());
    /// }
    /// ```
    pub fn one_line(&self) -> String {
        match &self.present {
            Reading::Known(value) => format!(
                "{} is {value}, needed {} ({}); `wirebahn tune explain {}` says more",
                self.key, self.needed, self.arithmetic, self.key
            ),
            Reading::Unknown(why) => format!("{} could not be read: {why}", self.key),
        }
    }
}

/// A number with commas between thousands, for sentences.
pub(crate) fn n(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Octets in the largest unit that divides them, or that keeps two digits
/// before the point.
pub(crate) fn octets(octets: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        let whole = octets > 0 && octets.is_multiple_of(1 << shift);
        if whole || octets >= 10 << shift {
            return format!("{} {unit}", n(octets >> shift));
        }
    }
    format!("{} B", n(octets))
}

/// `one`, or `many` with the number before either: "1 worker", "2 workers".
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", n(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(n(0), "0");
        assert_eq!(n(999), "999");
        assert_eq!(n(1_000), "1,000");
        assert_eq!(n(1_234_567), "1,234,567");
        assert_eq!(octets(9_000), "9,000 B");
        assert_eq!(octets(20 << 20), "20 MiB");
        assert_eq!(octets(9 << 30), "9 GiB");
        assert_eq!(octets((9 << 30) + 1), "9,216 MiB");
        assert_eq!(plural(1, "worker", "workers"), "1 worker");
        assert_eq!(plural(0, "worker", "workers"), "0 workers");
    }

    #[test]
    fn what_could_not_be_read_is_unknown_and_never_changed() {
        let finding = Finding::of::<u64>(
            "net.core.somaxconn",
            Area::Network,
            &Err(Unread::Denied),
            Severity::Limits,
            |_| true,
        )
        .sysctl("net.core.somaxconn", "4096");
        assert_eq!(finding.severity, Severity::Unknown);
        assert_eq!(finding.change, None);
        assert_eq!(finding.present_word(), "unknown");
        assert!(finding.one_line().contains("permission denied"));
    }
}
