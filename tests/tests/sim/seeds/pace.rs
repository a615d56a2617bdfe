//! A server that sends as much as the marks allow and goes on when it is told it may: `writable`
//! comes whenever it was promised.

use std::collections::HashMap;

use super::*;

/// Sends as many numbered messages as it is asked for, never past the high mark.
#[derive(Default)]
struct Pacer {
    /// What each client still gets: the next number and the last.
    owed: HashMap<usize, (u32, u32)>,
}

impl Pacer {
    fn pump(&mut self, client: usize, context: &mut Context<'_>) -> Sent {
        let Some((next, last)) = self.owed.get_mut(&client) else {
            return Sent::Accepted;
        };
        while *next < *last {
            let payload = next.to_be_bytes().repeat(1 + *next as usize % 60);
            let sent = context.send(&payload);
            if sent == Sent::Dropped {
                return Sent::Dropped;
            }
            *next += 1;
            if sent == Sent::Buffered {
                break;
            }
        }
        Sent::Accepted
    }
}

impl Act for Pacer {
    fn act(&mut self, client: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        let many = message.len() as u32;
        let owed = self.owed.entry(client).or_default();
        let idle = owed.0 == owed.1;
        owed.1 += many;
        if idle {
            return self.pump(client, context);
        }
        Sent::Accepted
    }

    fn go_on(&mut self, client: usize, context: &mut Context<'_>) -> Sent {
        self.pump(client, context)
    }
}

pub(super) fn run(seed: u64) -> Result<Counts, String> {
    let mut random = Random::new(seed ^ 0x9ACE);
    let setup = setup(seed, &mut random);
    let config = config(&mut random).build().map_err(|e| e.to_string())?;
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let mut world = World::new(&setup, &config, |_| Logged::new(&log, Pacer::default()));
    let mut peers: Vec<Peer> = (0..1 + random.size(4))
        .map(|_| {
            let client = world.connect(random.index(setup.shards));
            let mut peer = Peer::new(client, random.number());
            peer.open();
            peer
        })
        .collect();
    let mut asked = vec![0_u32; peers.len()];
    for _ in 0..peers.len() * 12 {
        a_while(&mut world, &mut random)?;
        let index = random.index(peers.len());
        let peer = &mut peers[index];
        peer.hear()?;
        peer.client().stall(random.chance(3_000));
        if peer.is_open() && random.chance(3_000) {
            let many = random.size(100);
            peer.binary(vec![0; many]);
            asked[index] += many as u32;
        }
    }
    world.calm();
    for peer in &peers {
        peer.client().stall(false);
    }
    rest(&mut world, &mut peers)?;
    for (peer, asked) in peers.iter().zip(asked) {
        let number = peer.client().number();
        for (expected, (_, payload)) in (0_u32..).zip(peer.messages()) {
            let payload_expected = expected.to_be_bytes().repeat(1 + expected as usize % 60);
            require(*payload == payload_expected, || {
                format!("client {number}: message {expected} is not what it should be")
            })?;
        }
        let came = peer.messages().len();
        require(
            came == asked as usize || peer.client().befallen().is_some(),
            || format!("client {number}: {came} of {asked} messages came"),
        )?;
    }
    end(&mut world, &mut peers, &log, &mut random)?;
    require(log.borrow().dropped == 0, || "messages dropped".to_owned())?;
    Ok(world.counts())
}
