//! Scenario files: which points of the grid, and what a point is.

use std::path::Path;
use std::{fs, io};

use serde::Deserialize;

use crate::load::Content;

/// A scenario, as its file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is for.
    pub about: String,
    /// What points have in common where they do not say otherwise.
    #[serde(default)]
    defaults: Settings,
    #[serde(rename = "point")]
    points: Vec<NamedSettings>,
}

#[derive(Debug, Clone, Deserialize)]
struct NamedSettings {
    name: String,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Settings {
    test: Option<Test>,
    connections: Option<usize>,
    size: Option<Sizes>,
    content: Option<Content>,
    depth: Option<usize>,
    rate: Option<f64>,
    fragment: Option<usize>,
    warmup: Option<f64>,
    seconds: Option<f64>,
    seed: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Sizes {
    One(usize),
    Several(Vec<usize>),
}

/// Which load a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Messages to an echo and back.
    #[default]
    Echo,
    /// Messages from one to all; a figure is for each delivery. Servers that have no command for
    /// it are left out.
    Broadcast,
    /// Open, upgrade, close; a figure is for each handshake. Limits have none.
    Handshake,
    /// Connections that do nothing; the figure is memory for each of them.
    Idle,
}

/// A point of the grid: one load, fully described. Its contents follow from `content`, `size` and
/// `seed`, and are expected back to the octet.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // as in the options of `load`
pub struct Point {
    pub name: String,
    pub test: Test,
    pub connections: usize,
    pub sizes: Vec<usize>,
    pub content: Content,
    pub depth: usize,
    pub rate: Option<f64>,
    pub fragment: usize,
    pub warmup: f64,
    pub seconds: f64,
    pub seed: u64,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not there, or not a scenario; the message says where.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        toml::from_str(&text)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    /// All points, in order.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let defaults = &self.defaults;
        self.points
            .iter()
            .map(|NamedSettings { name, settings: s }| Point {
                name: name.clone(),
                test: s.test.or(defaults.test).unwrap_or_default(),
                connections: s.connections.or(defaults.connections).unwrap_or(200),
                sizes: match s.size.clone().or_else(|| defaults.size.clone()) {
                    Some(Sizes::One(size)) => vec![size],
                    Some(Sizes::Several(sizes)) => sizes,
                    None => vec![16],
                },
                content: s.content.or(defaults.content).unwrap_or(Content::Binary),
                depth: s.depth.or(defaults.depth).unwrap_or(1),
                rate: s.rate.or(defaults.rate),
                fragment: s.fragment.or(defaults.fragment).unwrap_or(0),
                warmup: s.warmup.or(defaults.warmup).unwrap_or(0.3),
                seconds: s.seconds.or(defaults.seconds).unwrap_or(1.0),
                seed: s.seed.or(defaults.seed).unwrap_or(1),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_take_what_they_do_not_say_from_the_defaults() {
        let scenario: Scenario = toml::from_str(
            "about = 'a test'\n[defaults]\nconnections = 7\n\
             [[point]]\nname = 'a'\nsize = 125\ncontent = 'utf8'\n\
             [[point]]\nname = 'b'\nconnections = 8\nsize = [1, 2]\ndepth = 16\n",
        )
        .unwrap();
        let points = scenario.points();
        assert_eq!(
            (points[0].connections, points[0].depth, points[0].content),
            (7, 1, Content::Utf8)
        );
        assert_eq!((points[1].connections, points[1].depth), (8, 16));
        assert_eq!(points[1].sizes, [1, 2]);
    }

    #[test]
    fn every_scenario_of_ours_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let scenario = Scenario::read(&entry.unwrap().path()).unwrap();
            assert!(!scenario.points().is_empty() && !scenario.about.is_empty());
            count += 1;
        }
        assert!(count > 0);
    }

    #[test]
    fn a_slip_of_the_pen_is_not_passed_over() {
        assert!(toml::from_str::<Scenario>("about = ''\npoints = []\n").is_err());
    }
}
