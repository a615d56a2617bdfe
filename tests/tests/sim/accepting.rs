//! Accepting when the system has nothing to accept with: it goes on trying, seldom enough.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wirebahn::ServerConfig;
use wirebahn::sim::{Ended, Fault, Faults, Setup, World};
use wirebahn_tests::wire;

use crate::common::{Echo, Log, Logged, Shared, check_end};

const SECOND: Duration = Duration::from_secs(1);

/// The longest pause between two tries, and what a late start adds to it.
const PAUSE_MAX: Duration = Duration::from_millis(64 + 5);

fn world(faults: Faults) -> (World<Logged<Echo>>, Shared) {
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let config = ServerConfig::builder().build().unwrap();
    let setup = Setup {
        faults,
        ..Setup::default()
    };
    let world = World::new(&setup, &config, |_| Logged::new(&log, Echo));
    (world, log)
}

#[test]
fn starved_of_anything_it_tries_on_seldom_and_recovers_at_once() {
    for fault in [
        Fault::OutOfDescriptors,
        Fault::OutOfFiles,
        Fault::OutOfBuffers,
        Fault::OutOfMemory,
    ] {
        let (mut world, log) = world(Faults::none().with(fault, 10_000));
        let mut turned_away = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let client = world.connect(0);
            client.send(wire::REQUEST);
            match fault {
                Fault::OutOfDescriptors => turned_away.push(client),
                _ => waiting.push(client),
            }
            world.run_for(SECOND).unwrap();
        }
        let errors = world.statistics()[0].accept_errors;
        let (least, most) = match fault {
            // Whoever comes is turned away with the descriptor held back, and then nobody waits.
            Fault::OutOfDescriptors => (10, 40),
            _ => (10_000 / PAUSE_MAX.as_millis() as u64, 10_000 / 64 + 20),
        };
        assert!(
            (least..=most).contains(&errors),
            "{fault:?}: {errors} tries"
        );
        assert!(log.borrow().opened.is_empty());
        for client in &turned_away {
            // Its request was not read, so what it is told may be overtaken by a reset.
            assert!(client.ended().is_some(), "nobody answered");
            assert_eq!(client.befallen(), Some(fault));
        }
        for client in &waiting {
            assert_eq!(client.ended(), None, "{fault:?}");
        }
        // The system has what it takes again.
        world.calm();
        world.run_for(Duration::from_millis(100)).unwrap();
        assert_eq!(log.borrow().opened.len(), waiting.len(), "{fault:?}");
        for client in &waiting {
            assert!(client.take().starts_with(b"HTTP/1.1 101 "), "{fault:?}");
            client.shut();
        }
        world.settle().unwrap();
        check_end(&world, &log.borrow()).unwrap();
    }
}

#[test]
fn who_is_turned_away_before_it_spoke_is_told_why() {
    let (mut world, _) = world(Faults::none().with(Fault::OutOfDescriptors, 10_000));
    let client = world.connect(0);
    world.run_for(SECOND).unwrap();
    assert!(client.take().starts_with(b"HTTP/1.1 503 "));
    assert_eq!(client.ended(), Some(Ended::Fin));
}

#[test]
fn a_connection_that_cannot_be_accepted_costs_nobody_else_anything() {
    let faults = Faults::none()
        .with(Fault::Aborted, 3_000)
        .with(Fault::ProtocolFailure, 3_000)
        .with(Fault::InterruptedAccept, 3_000)
        .with(Fault::Unwatched, 3_000)
        .with(Fault::Burst, 10_000);
    let (mut world, log) = world(faults);
    let clients: Vec<_> = (0..1_000)
        .map(|_| {
            let client = world.connect(0);
            client.send(wire::REQUEST);
            client
        })
        .collect();
    // A burst is served within a second, whatever is in it.
    world.run_for(SECOND).unwrap();
    let mut served = 0;
    for client in &clients {
        let answer = client.take();
        match client.befallen() {
            None => {
                assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
                served += 1;
            }
            Some(_) => assert!(client.ended().is_some()),
        }
        client.shut();
    }
    assert!((100..900).contains(&served), "{served}");
    assert_eq!(log.borrow().opened.len(), served);
    world.settle().unwrap();
    check_end(&world, &log.borrow()).unwrap();
}
