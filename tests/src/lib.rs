//! What the tests of this crate share.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub mod peer;
pub mod wire;

/// The program under test: given by `WIREBAHN_BIN`, or built once.
///
/// It is built here, and not by a dependency of this package, because cargo names a
/// package's programs only to that package's own tests. A debug build is what we want:
/// its overflow checks and debug assertions turn silent faults into loud ones.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = env::var_os("WIREBAHN_BIN") {
            return path.into();
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args([
                "build",
                "--quiet",
                "-p",
                "wirebahn-cli",
                "--bin",
                "wirebahn",
            ])
            .args(["--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the program does not build");
        let said = String::from_utf8_lossy(&output.stdout);
        // The last artifact is the program; cargo says where it put it.
        let path = said
            .lines()
            .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
            .next_back();
        path.expect("cargo names the program it built").into()
    })
}
