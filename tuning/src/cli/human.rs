//! Reports for people: the worst first, aligned, a healthy machine on one
//! screen, colour only where a person looks.

use std::{
    env,
    io::{self, Write},
};

use crate::{
    Area, Explanation, Finding, Reading, Report, Severity,
    apply::{Applied, Deed, Undone},
    explanations,
    finding::{n, octets, plural},
    pin::Thread,
    topology::format_list,
};

/// The narrowest and the widest lines written.
const WIDTH: std::ops::RangeInclusive<usize> = 60..=120;

/// Where the text of a finding begins.
const INDENT: usize = 9;

/// How to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) colour: bool,
    pub(super) width: usize,
}

impl Style {
    /// Colour on a terminal unless `NO_COLOR` is set and not empty or the
    /// terminal is dumb; as wide as `COLUMNS` says, or 80.
    pub(super) fn of_environment(terminal: bool) -> Style {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok())
            .unwrap_or(80);
        Style {
            colour: terminal && !set("NO_COLOR") && !dumb,
            width: width.clamp(*WIDTH.start(), *WIDTH.end()),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn severity(self, severity: Severity) -> String {
        let word = format!("{:<8}", severity.word());
        match severity {
            Severity::Limits => self.paint("1;31", &word),
            Severity::Advice => self.paint("33", &word),
            Severity::Unknown => self.paint("35", &word),
            Severity::Fine => self.paint("32", &word),
        }
    }
}

pub(super) fn check(
    report: &Report,
    verbose: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let load = &report.load;
    let title = format!(
        "{} connections, {}, port {}",
        n(load.connections),
        plural(u64::from(load.workers), "worker", "workers"),
        load.port
    );
    writeln!(out, "{:<8} {}", "load", style.bold(&title))?;
    writeln!(out, "{:<8} {}", "machine", machine(report))?;
    writeln!(out)?;
    for finding in &report.findings {
        match finding.severity {
            Severity::Fine if !verbose => {}
            Severity::Unknown if !verbose => unknown(finding, style, out)?,
            _ => full(finding, style, out)?,
        }
    }
    if !verbose {
        fine(report, style, out)?;
        if report.exit_status() != 0 || report.count(Severity::Advice) > 0 {
            writeln!(out)?;
        }
    }
    let count = |severity| report.count(severity);
    writeln!(
        out,
        "{}: {} the load, {} advised, {} unknown, {} fine",
        match report.exit_status() {
            0 => style.paint("1;32", "fine"),
            1 => style.paint("1;31", "not enough"),
            _ => style.paint("1;35", "cannot tell"),
        },
        plural(count(Severity::Limits) as u64, "limits", "limit"),
        n(count(Severity::Advice) as u64),
        n(count(Severity::Unknown) as u64),
        n(count(Severity::Fine) as u64),
    )?;
    if report.findings.iter().any(Finding::applyable) {
        let text = "wirebahn tune plan shows what can be changed, wirebahn tune explain KEY what \
                    a setting does";
        writeln!(out, "{}", style.dim(text))?;
    }
    Ok(())
}

fn machine(report: &Report) -> String {
    let it = &report.machine;
    let unknown = || "unknown".to_owned();
    let mut parts = vec![format!(
        "Linux {}",
        it.kernel.clone().unwrap_or_else(unknown)
    )];
    parts.push(match (it.cpus, &it.allowed) {
        (Some(cpus), Some(allowed)) => {
            format!("{} ({allowed} allowed)", plural(cpus as u64, "CPU", "CPUs"))
        }
        _ => "CPUs unknown".to_owned(),
    });
    if let Some(nodes) = it.nodes.filter(|&nodes| nodes > 1) {
        parts.push(format!("{nodes} nodes"));
    }
    parts.push(it.memory.map_or_else(unknown, octets));
    if !it.placement.is_empty() {
        parts.push(format!("workers on {}", format_list(&it.placement)));
    }
    parts.join(", ")
}

fn full(finding: &Finding, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let head = format!(
        "{} = {}, needed {}",
        style.bold(&finding.key),
        finding.present_word(),
        finding.needed
    );
    headed(out, style, finding.severity, &head)?;
    if let Reading::Unknown(why) = &finding.present {
        paragraph(out, style, "", why)?;
    }
    paragraph(out, style, "", &finding.arithmetic)?;
    paragraph(out, style, "why  ", &finding.why)?;
    if finding.severity != Severity::Fine {
        let mark = match finding.applyable() {
            true => " [apply]",
            false => "",
        };
        paragraph(out, style, "how  ", &format!("{}{mark}", finding.how))?;
    }
    writeln!(out)
}

fn unknown(finding: &Finding, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let why = match &finding.present {
        Reading::Unknown(why) | Reading::Known(why) => why,
    };
    let line = format!("{}: {why}", style.bold(&finding.key));
    headed(out, style, finding.severity, &line)
}

/// The fine ones: names and values, a paragraph for each part of the machine.
fn fine(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    if report.count(Severity::Unknown) > 0 {
        writeln!(out)?;
    }
    for area in Area::ALL {
        let items: Vec<String> = report
            .findings
            .iter()
            .filter(|it| it.area == area && it.severity == Severity::Fine)
            .map(|it| format!("{}={}", short(&it.key), brief(it.present_word())))
            .collect();
        if items.is_empty() {
            continue;
        }
        let head = style.paint("32", &format!("{:<8}", area.word()));
        let items = items.iter().map(String::as_str);
        let mut lines = wrap(items, "  ", style.width - INDENT).into_iter();
        writeln!(out, "{head} {}", lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(out, "{:INDENT$}{line}", "")?;
        }
    }
    Ok(())
}

/// A key without the part everyone knows.
fn short(key: &str) -> &str {
    const PREFIXES: [&str; 11] = [
        "net.ipv4.conf.all.",
        "net.ipv4.",
        "net.core.",
        "net.netfilter.",
        "limits.",
        "kernel.",
        "cpu.",
        "memory.",
        "nic.",
        "tcp.",
        "fs.",
    ];
    PREFIXES
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
        .unwrap_or(key)
}

/// A value in one word, as far as that makes sense.
fn brief(value: &str) -> String {
    const BRIEF_MAX: usize = 24;
    let head = value
        .split([';', '('])
        .next()
        .unwrap_or(value)
        .trim()
        .trim_end_matches(',');
    if head.chars().count() <= BRIEF_MAX {
        return head.replace(' ', "\u{a0}");
    }
    let cut: String = head.chars().take(BRIEF_MAX).collect();
    let whole = cut
        .rsplit_once(' ')
        .map_or(cut.as_str(), |(whole, _)| whole);
    format!("{}…", whole.replace(' ', "\u{a0}").trim_end_matches(','))
}

fn paragraph(out: &mut dyn Write, style: Style, label: &str, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let indent = INDENT + label.len();
    for (index, line) in wrapped(text, style.width - indent).iter().enumerate() {
        if index == 0 && !label.is_empty() {
            writeln!(out, "{:INDENT$}{}{line}", "", style.dim(label))?;
        } else {
            writeln!(out, "{:indent$}{line}", "")?;
        }
    }
    Ok(())
}

/// Lines of at most `width` columns; a longer word has a line of its own. A
/// no-break space counts as part of a word and comes out as a blank.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    wrap(text.split(' ').filter(|word| !word.is_empty()), " ", width)
}

/// As [`wrapped`], for words and what goes between two of them.
fn wrap<'a>(words: impl Iterator<Item = &'a str>, between: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words {
        let length = between.len() + columns(word);
        let Some(line) = lines.last_mut() else {
            break;
        };
        if line.is_empty() {
            line.push_str(word);
        } else if columns(line) + length <= width {
            line.push_str(between);
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
        .into_iter()
        .map(|line| line.replace('\u{a0}', " "))
        .collect()
}

/// The severity, and a text beside it that wraps under itself.
fn headed(out: &mut dyn Write, style: Style, severity: Severity, text: &str) -> io::Result<()> {
    for (index, line) in wrapped(text, style.width - INDENT).iter().enumerate() {
        match index {
            0 => writeln!(out, "{} {line}", style.severity(severity))?,
            _ => writeln!(out, "{:INDENT$}{line}", "")?,
        }
    }
    Ok(())
}

/// How wide a text is on the screen: marks of colour are not.
fn columns(text: &str) -> usize {
    let mut escape = false;
    text.chars()
        .filter(|&c| {
            let hidden = escape || c == '\x1b';
            escape = hidden && c != 'm';
            !hidden
        })
        .count()
}

pub(super) fn applied(
    applied: &Applied,
    notes: &[String],
    would: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut changes = 0u64;
    for outcome in &applied.outcomes {
        let path = style.bold(&format!("/{}", outcome.path));
        match &outcome.deed {
            Deed::Created(contents) | Deed::Replaced(contents) => {
                changes += 1;
                let deed = match (&outcome.deed, would) {
                    (Deed::Created(_), true) => "create",
                    (Deed::Created(_), false) => "created",
                    (_, true) => "replace",
                    (_, false) => "replaced",
                };
                writeln!(out, "{deed:<8} {path}")?;
                if would {
                    for line in contents.lines() {
                        writeln!(out, "    {line}")?;
                    }
                }
            }
            Deed::Set(old, new) => {
                changes += 1;
                let deed = if would { "write" } else { "wrote" };
                let old = if old.is_empty() { "(empty)" } else { old };
                writeln!(out, "{deed:<8} {path}: {old} -> {new}")?;
            }
            Deed::Same => writeln!(out, "{:<8} {path}", "same")?,
            Deed::Absent => writeln!(out, "{:<8} {path}: not there", "absent")?,
            Deed::Refused(why) => {
                writeln!(out, "{} {path}: {why}", style.paint("1;31", "refused "))?;
            }
            Deed::Kept(wanted, kept) => writeln!(
                out,
                "{} {path}: {wanted} was written, the kernel made {kept} of it",
                style.paint("33", "kept    ")
            )?,
        }
    }
    if applied.outcomes.is_empty() {
        writeln!(out, "nothing to change")?;
    }
    if !notes.is_empty() {
        writeln!(out)?;
    }
    for note in notes {
        writeln!(out, "note     {note}")?;
    }
    if let Some(journal) = &applied.journal {
        writeln!(
            out,
            "\n{}, recorded in /{journal}; wirebahn tune undo takes it back",
            plural(changes, "change", "changes")
        )?;
    }
    Ok(())
}

pub(super) fn undone(undone: &Undone, out: &mut dyn Write) -> io::Result<()> {
    for path in &undone.restored {
        writeln!(out, "restored /{path}")?;
    }
    for path in &undone.untouched {
        writeln!(out, "as before /{path}")?;
    }
    for conflict in &undone.conflicts {
        writeln!(out, "LEFT     /{}: {}", conflict.path, conflict.why)?;
    }
    if !undone.conflicts.is_empty() {
        writeln!(
            out,
            "\nsettle what is left and undo again, or undo --force to put it back regardless"
        )?;
    }
    Ok(())
}

pub(super) fn pin(
    threads: &[Thread],
    errors: &[String],
    set: bool,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let title = format!(
        "{:>8} {:<16} {:>6} {:<16} {:>4} {:>7}",
        "thread", "name", "worker", "may run on", "last", "planned"
    );
    writeln!(out, "{}", style.bold(&title))?;
    let or_dash = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    for thread in threads {
        let line = format!(
            "{:>8} {:<16} {:>6} {:<16} {:>4} {:>7}",
            thread.tid,
            thread.name,
            or_dash(thread.worker),
            format_list(&thread.allowed),
            or_dash(thread.last_cpu),
            or_dash(thread.planned)
        );
        if thread.placed() {
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}", style.paint("33", &line))?;
        }
    }
    for error in errors {
        writeln!(out, "error: {error}")?;
    }
    let elsewhere = threads.iter().filter(|it| !it.placed()).count();
    if elsewhere > 0 && !set {
        writeln!(
            out,
            "\n{} not bound to the planned CPU; --set does that",
            plural(elsewhere as u64, "worker is", "workers are")
        )?;
    }
    Ok(())
}

pub(super) fn keys(out: &mut dyn Write) -> io::Result<()> {
    for it in explanations() {
        writeln!(out, "{}", it.key)?;
    }
    Ok(())
}

pub(super) fn explanation(it: &Explanation, style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", style.bold(it.key))?;
    for (label, text) in [("does", it.does), ("why", it.why), ("risk", it.risk)] {
        for (index, line) in wrapped(text, style.width - 8).iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            writeln!(out, "  {label:<5} {line}")?;
        }
    }
    Ok(())
}
