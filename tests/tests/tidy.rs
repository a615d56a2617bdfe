//! The house as it is planned: who may import whom, and where unsafe code may stand.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms of ours it may depend on.
const ROOMS: [(&str, &[&str]); 8] = [
    ("nvx", &[]),
    ("engine", &["wirebahn-nvx"]),
    ("wamp", &["wirebahn"]),
    ("tuning", &[]),
    (
        "bench",
        &[
            "wirebahn-wamp",
            "wirebahn",
            "wirebahn-nvx",
            "wirebahn-tuning",
        ],
    ),
    (
        "cli",
        &[
            "wirebahn-bench",
            "wirebahn-wamp",
            "wirebahn-tuning",
            "wirebahn",
            "wirebahn-nvx",
        ],
    ),
    ("examples", &["wirebahn-wamp", "wirebahn"]),
    (
        "tests",
        &[
            "wirebahn-bench",
            "wirebahn-cli",
            "wirebahn-wamp",
            "wirebahn-tuning",
            "wirebahn",
            "wirebahn-nvx",
        ],
    ),
];

/// Rooms that hand memory to vectors or to the kernel; everywhere else unsafe code is denied. An
/// allocator that counts cannot be had without either.
const UNSAFE: [&str; 5] = [
    "nvx/src/",
    "engine/src/driver/",
    "bench/src/raw/",
    "bench/src/bin/",
    "tests/tests/allocation.rs",
];

/// The modules of the engine, in order of import: each imports only from those before it. What
/// composes the public face stands last.
const ENGINE: [&str; 12] = [
    "tick", "error", "message", "close", "config", "proto", "driver", "handler", "shard", "remote",
    "server", "sim",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "node_modules" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for (room, _) in ROOMS {
        sources(&root.join(room), &mut found);
    }
    assert!(found.len() > 50, "this is not the whole house");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let name = path
                .strip_prefix(&root)
                .expect("below the root")
                .display()
                .to_string();
            (name, text)
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    for (room, allowed) in ROOMS {
        let manifest =
            fs::read_to_string(root().join(room).join("Cargo.toml")).expect("a manifest");
        // What tests and benches of a room need is not what the room imports.
        let normal = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        let ours = normal.lines().filter_map(|line| {
            let name = line.split(['=', '.', ' ']).next()?;
            (name == "wirebahn" || name.starts_with("wirebahn-")).then_some(name)
        });
        for name in ours {
            assert!(allowed.contains(&name), "{room} must not import {name}");
        }
    }
}

#[test]
fn unsafe_code_stands_in_its_rooms_and_says_why() {
    // Put together, so that this file does not name what it looks for.
    let block = ["unsafe", " {"].concat();
    let mut blocks = 0;
    for (name, text) in all_sources() {
        let here = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let count = here.filter(|line| line.contains(&block)).count();
        blocks += count;
        assert!(
            count == 0 || UNSAFE.iter().any(|room| name.starts_with(room)),
            "{name} has {count} unsafe blocks"
        );
    }
    assert!(
        blocks > 0,
        "the engine hands memory to the kernel, and that was not seen"
    );
    let core = fs::read_to_string(root().join("engine/src/proto/mod.rs")).expect("the core");
    assert!(core.contains("#![forbid(unsafe_code)]"));
}

/// The paved road (`lib.rs`) and what only names types in its documentation are left out.
#[test]
fn the_protocol_core_knows_nothing_above_it() {
    let order = |module: &str| ENGINE.iter().position(|known| *known == module);
    let core = order("proto").expect("it is listed");
    for (name, text) in all_sources() {
        let Some(path) = name.strip_prefix("engine/src/proto/") else {
            continue;
        };
        if path.contains("tests/") {
            continue;
        }
        // Tests stand at the bottom of a file, and may do as they like.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for import in line.split("crate::").skip(1) {
                let module = import
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next();
                let Some(rank) = module.and_then(order) else {
                    continue;
                };
                assert!(rank <= core, "proto/{path} imports {module:?}");
            }
            for word in ["std::net", "std::thread", "Instant", "SystemTime", "mio::"] {
                assert!(
                    !line.contains(word),
                    "proto/{path}: {word} in the protocol core"
                );
            }
        }
    }
}
