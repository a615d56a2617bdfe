//! Checks that never fail check nothing: here each is shown something that is wrong.

use std::cell::RefCell;
use std::rc::Rc;

use wirebahn::sim::{Fault, Faults, Setup, World};
use wirebahn::{Context, Message, Sent, ServerConfig};
use wirebahn_tests::peer::Peer;

use crate::common::{Act, Echo, Log, Logged, Shared, check_end, check_rest, require};

/// Loses the last octet of one message.
struct Lossy(usize);

impl Act for Lossy {
    fn act(&mut self, _: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        self.0 += 1;
        let octets = message.as_bytes();
        let len = octets.len() - usize::from(self.0 == 17);
        context.send(&octets[..len])
    }
}

/// Sends one message twice.
struct Doubling(usize);

impl Act for Doubling {
    fn act(&mut self, _: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        self.0 += 1;
        if self.0 == 17 {
            let _ = context.send(message);
        }
        context.send(message)
    }
}

/// Sends to everyone, which two shards need the wake-up between them for.
struct ToAll;

impl Act for ToAll {
    fn act(&mut self, _: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        context.broadcast(message);
        Sent::Accepted
    }
}

/// Two clients on two shards, of which the first sends thirty messages; what both got must be what
/// it sent, `copies` of them in all.
fn thirty_messages<A: Act>(
    faults: Faults,
    copies: usize,
    mut make: impl FnMut() -> A,
) -> Result<(), String> {
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let setup = Setup {
        shards: 2,
        faults,
        ..Setup::default()
    };
    let config = ServerConfig::builder().build().unwrap();
    let mut world = World::new(&setup, &config, |_| Logged::new(&log, make()));
    let mut peers: Vec<Peer> = (0..2)
        .map(|shard| {
            let mut peer = Peer::new(world.connect(shard), shard as u64);
            peer.open();
            peer
        })
        .collect();
    let rest = |world: &mut World<_>, peers: &mut [Peer]| {
        for _ in 0..20 {
            world.settle().map_err(|trouble| trouble.to_string())?;
            for peer in &mut *peers {
                peer.hear()?;
            }
        }
        Ok::<_, String>(())
    };
    rest(&mut world, &mut peers)?;
    for number in 0..30_u8 {
        peers[0].binary(vec![number; 100]);
        rest(&mut world, &mut peers)?;
        for peer in &peers[..copies] {
            // At once, not when something else wakes the shard.
            require(peer.messages().len() == peers[0].sent().len(), || {
                format!("message {number} is late")
            })?;
        }
    }
    check_rest(&world, &peers)?;
    let sent: Vec<_> = peers[0].sent().iter().map(|sent| &sent.payload).collect();
    for peer in &peers[..copies] {
        let came: Vec<_> = peer.messages().iter().map(|(_, payload)| payload).collect();
        require(came == sent, || "not what was sent".to_owned())?;
    }
    for peer in &mut peers {
        peer.shut();
    }
    rest(&mut world, &mut peers)?;
    check_end(&world, &log.borrow())
}

#[test]
fn what_is_right_passes() {
    assert_eq!(thirty_messages(Faults::none(), 1, || Echo), Ok(()));
    assert_eq!(thirty_messages(Faults::none(), 2, || ToAll), Ok(()));
}

#[test]
fn a_handler_that_loses_an_octet_is_caught() {
    thirty_messages(Faults::none(), 1, || Lossy(0)).expect_err("nobody noticed");
}

#[test]
fn a_handler_that_sends_twice_is_caught() {
    thirty_messages(Faults::none(), 1, || Doubling(0)).expect_err("nobody noticed");
}

#[test]
fn a_kernel_that_loses_an_octet_is_caught() {
    let faults = Faults::none().with(Fault::LostOctet, 1_000);
    thirty_messages(faults, 1, || Echo).expect_err("nobody noticed");
}

#[test]
fn a_wake_up_that_is_lost_is_caught() {
    let faults = Faults::none().with(Fault::LostWake, 5_000);
    thirty_messages(faults, 2, || ToAll).expect_err("nobody noticed");
}
