//! Workers of a real process, this one, are found, placed and seen in place.

use std::{
    process,
    sync::{Arc, Barrier},
    thread,
};

use wirebahn_tuning::{
    Machine, pin,
    topology::{Topology, format_list},
};

#[test]
fn workers_of_a_running_process_are_put_on_their_cpus() {
    let machine = Machine::host();
    let Ok(topology) = Topology::host() else {
        println!("this machine does not show its CPUs");
        return;
    };
    let workers = 3;
    let barrier = Arc::new(Barrier::new(workers + 1));
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let barrier = Arc::clone(&barrier);
            thread::Builder::new()
                .name(format!("wirebahn-{worker}"))
                .spawn(move || {
                    barrier.wait();
                    barrier.wait();
                })
                .unwrap()
        })
        .collect();
    barrier.wait();
    let found = pin::threads(&machine, process::id(), None).unwrap();
    let numbers: Vec<_> = found.iter().filter_map(|it| it.worker).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let planned: Vec<_> = found.iter().filter_map(|it| it.planned).collect();
    assert_eq!(planned, topology.placement(workers));
    for (tid, result) in pin::set(&machine, &found) {
        result.unwrap_or_else(|e| panic!("thread {tid}: {e}"));
    }
    let after = pin::threads(&machine, process::id(), None).unwrap();
    for it in after.iter().filter(|it| it.worker.is_some()) {
        assert!(it.placed(), "{it:?}");
        assert_eq!(
            Some(format_list(&it.allowed)),
            it.planned.map(|cpu| cpu.to_string())
        );
    }
    // The others were left alone.
    for it in after.iter().filter(|it| it.worker.is_none()) {
        let was = found.iter().find(|was| was.tid == it.tid);
        assert!(was.is_none_or(|was| was.allowed == it.allowed), "{it:?}");
    }
    // A second time there is nothing to do.
    assert!(
        pin::set(&machine, &after)
            .iter()
            .all(|(_, result)| !result.as_ref().unwrap())
    );
    barrier.wait();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_process_that_is_gone_is_said_to_be() {
    // Above the highest pid_max there is.
    let found = pin::threads(&Machine::host(), 1 << 23, None);
    assert_eq!(found, Err(pin::PinError::NoProcess));
}
