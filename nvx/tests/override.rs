//! `WIREBAHN_NVX` chooses the tier, and what cannot be honoured is told.
//!
//! The choice is made once a process, so each case runs in one of its own: this
//! test's own program, told to run nothing but [`child`].

#![cfg(not(miri))] // Miri starts no programs

use std::process::Command;

use wirebahn_nvx::{Tier, Utf8, mask, requested, tier};

/// Not a test of its own: what the others start. It prints what it finds.
#[test]
#[ignore = "started by the other tests, with an environment of their choice"]
fn child() {
    let mut data = *b"some text";
    mask(&mut data, [0; 4]);
    assert!(Utf8::new().validate(&data).is_ok());
    println!("tier {} requested {:?};", tier(), requested());
}

fn told(value: &str) -> String {
    let program = std::env::current_exe().expect("a test knows its program");
    let output = Command::new(program)
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("WIREBAHN_NVX", value)
        .output()
        .expect("the test's own program starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let start = text.find("tier ").expect("the child prints its tier");
    let end = text[start..]
        .find(';')
        .expect("the child ends with a semicolon");
    text[start..start + end].to_owned()
}

#[test]
fn the_environment_chooses_among_what_there_is() {
    for tier in Tier::available() {
        let expected = format!("tier {tier} requested {:?}", Ok::<_, ()>(Some(tier)));
        assert_eq!(told(tier.name()), expected);
    }
}

#[test]
fn what_cannot_be_honoured_is_passed_over_and_told() {
    let fastest = Tier::available().last().expect("scalar is always there");
    let expected = format!("tier {fastest} requested Err(Unknown)");
    assert_eq!(told("warp"), expected);
    let expected = format!("tier {fastest} requested Ok(None)");
    assert_eq!(told(""), expected);
    for missing in Tier::ALL {
        if !missing.is_available() {
            let expected = format!("tier {fastest} requested Err(Unavailable({missing:?}))");
            assert_eq!(told(missing.name()), expected);
        }
    }
}
