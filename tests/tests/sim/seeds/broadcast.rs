//! Broadcast: every subscriber on every shard gets each publisher's messages in order, once, and
//! all of them, unless the policy for slow ones says otherwise.

use wirebahn::{CloseCode, UseError};

use super::*;

/// Sends every message to everyone.
struct ToAll;

impl Act for ToAll {
    fn act(&mut self, _: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        context.broadcast(message);
        Sent::Accepted
    }
}

/// What was asked for from outside.
struct Posted {
    /// Of one client, or of all.
    target: Option<usize>,
    /// Not a message: the end of that client, which comes behind all that was posted before.
    close: bool,
    /// Every shard it concerns had room for it.
    sure: bool,
}

/// The code for clients that are closed from outside.
const FROM_OUTSIDE: u16 = 4002;

/// Who published a message: a client, or the world outside.
const OUTSIDE: u32 = u32::MAX;

/// A message: who published it, its number, and padding that follows from both.
fn compose(publisher: u32, number: u32, len: usize) -> Vec<u8> {
    let mut message = [publisher.to_be_bytes(), number.to_be_bytes()].concat();
    let mut padding = Random::new(u64::from(publisher) << 32 | u64::from(number));
    message.extend((0..len).map(|_| padding.number() as u8));
    message
}

fn parse(message: &[u8]) -> Result<(u32, u32), String> {
    let head = message.get(..8).ok_or("a message that was cut")?;
    let publisher = u32::from_be_bytes(head[..4].try_into().unwrap());
    let number = u32::from_be_bytes(head[4..].try_into().unwrap());
    require(
        compose(publisher, number, message.len() - 8) == message,
        || format!("message {number} of {publisher} was changed"),
    )?;
    Ok((publisher, number))
}

pub(super) fn run(seed: u64) -> Result<Tally, String> {
    let mut random = Random::new(seed ^ 0xB0AD);
    let setup = setup(seed, &mut random);
    let policy = match random.index(2) {
        0 => SlowPolicy::Close,
        _ => SlowPolicy::Skip,
    };
    let config = config(&mut random)
        .slow_policy(policy)
        .build()
        .map_err(|e| e.to_string())?;
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let mut world = World::new(&setup, &config, |_| Logged::new(&log, ToAll));
    let shards: Vec<usize> = (0..2 + random.size(6))
        .map(|_| random.index(setup.shards))
        .collect();
    let mut peers: Vec<Peer> = shards
        .iter()
        .map(|&shard| {
            let mut peer = Peer::new(world.connect(shard), random.number());
            peer.open();
            peer
        })
        .collect();
    rest(&mut world, &mut peers)?;

    // Who was there from the beginning, and is to get everything.
    let subscribed: Vec<bool> = peers.iter().map(Peer::is_open).collect();
    let remote = world.remote();
    let mut outside: Vec<Posted> = Vec::new();
    let mut paused = 0;
    for _ in 0..peers.len() * 6 {
        a_while(&mut world, &mut random)?;
        let index = random.index(peers.len());
        let peer = &mut peers[index];
        peer.hear()?;
        if random.chance(2_000) {
            peer.client().stall(random.chance(5_000));
        }
        let len = random.size(1_500);
        if world.audit().iter().any(|audit| audit.paused > 0) {
            paused = 1;
        }
        let peer = &mut peers[index];
        if random.chance(1_500) {
            let message = compose(OUTSIDE, outside.len() as u32, len);
            let opened = &log.borrow().opened;
            let target = opened.iter().find(|_| random.chance(1_000));
            let close = target.is_some() && random.chance(2_000);
            let posted = match target {
                Some((id, _)) if close => remote.close(*id, CloseCode(FROM_OUTSIDE), ""),
                Some((id, _)) => remote.send(*id, &message),
                None => remote.broadcast(&message),
            };
            let sure = match posted {
                Ok(()) => true,
                // Some shard had no room; others may have sent it.
                Err(UseError::MailboxFull) => false,
                Err(error) => return Err(error.to_string()),
            };
            outside.push(Posted {
                target: target.map(|&(_, client)| client),
                close,
                sure,
            });
        } else if peer.is_open() {
            for _ in 0..random.size(4) {
                let number = peer.sent().len() as u32;
                peer.binary(compose(index as u32, number, len));
            }
        }
    }
    world.calm();
    for peer in &peers {
        peer.client().stall(false);
    }
    rest(&mut world, &mut peers)?;

    let mut received = Vec::new();
    for peer in &peers {
        let messages = peer.messages().iter();
        let parsed: Result<Vec<_>, _> = messages.map(|(_, message)| parse(message)).collect();
        received.push(parsed?);
    }
    let fullest = (0..peers.len())
        .filter(|&index| subscribed[index])
        .max_by_key(|&index| received[index].len());
    for index in 0..peers.len() {
        check(&peers[index], &received[index], policy)
            .map_err(|problem| format!("client {index}: {problem}"))?;
        let sound = subscribed[index]
            && peers[index].client().befallen().is_none()
            && policy == SlowPolicy::Close;
        let code = peers[index]
            .closed()
            .map(|close| close.as_ref().map(|c| c.0));
        if sound && matches!(code, None | Some(Some(FROM_OUTSIDE))) {
            from_outside(index, &received[index], &outside)
                .map_err(|problem| format!("client {index}: {problem}"))?;
        }
        if !sound || code.is_some() {
            continue;
        }
        // Nobody got more than who got everything; and of each publisher that was not kept from
        // publishing, everything is all it has sent.
        for publisher in 0..peers.len() as u32 {
            let of = |list: &[(u32, u32)]| list.iter().filter(|m| m.0 == publisher).count();
            let (got, most) = (
                of(&received[index]),
                fullest.map_or(0, |i| of(&received[i])),
            );
            let sent = match &peers[publisher as usize] {
                peer if peer.client().befallen().is_some() => most,
                // What came while the closing had begun was published all the same.
                peer => peer.sent().len(),
            };
            require(got >= most && got == sent, || {
                format!("client {index}: got {got} of {sent} messages of {publisher}")
            })?;
        }
    }
    // What one shard broadcasts arrives in one order everywhere.
    if policy == SlowPolicy::Close
        && let Some(fullest) = fullest
    {
        for shard in 0..setup.shards {
            let from_here = |list: &[(u32, u32)]| -> Vec<(u32, u32)> {
                let here =
                    |&&(publisher, _): &&(u32, u32)| shards.get(publisher as usize) == Some(&shard);
                list.iter().filter(here).copied().collect()
            };
            let reference = from_here(&received[fullest]);
            for (index, list) in received.iter().enumerate().filter(|(i, _)| subscribed[*i]) {
                let list = from_here(list);
                require(
                    reference.starts_with(&list) || list.starts_with(&reference),
                    || {
                        format!(
                            "clients {index} and {fullest} differ on the order of shard {shard}"
                        )
                    },
                )?;
            }
        }
    }
    end(&mut world, &mut peers, &log, &mut random)?;
    Ok(Tally {
        paused,
        ..Tally::of(&world, &log.borrow(), &peers)
    })
}

/// What was posted to a client, or to all, in that order and up to its end.
fn from_outside(client: usize, received: &[(u32, u32)], outside: &[Posted]) -> Result<(), String> {
    let mine = |posted: &&Posted| posted.target.is_none_or(|target| target == client);
    let end = outside.iter().position(|p| p.close && p.sure && mine(&p));
    let due: Vec<u32> = (0..)
        .zip(&outside[..end.unwrap_or(outside.len())])
        .filter(|(_, posted)| posted.sure && mine(posted))
        .map(|(number, _)| number)
        .collect();
    let got: Vec<u32> = received
        .iter()
        .filter(|m| m.0 == OUTSIDE && outside[m.1 as usize].sure)
        .map(|m| m.1)
        .collect();
    require(got == due, || {
        format!("got {got:?} from outside, not {due:?}")
    })
}

/// Each publisher's messages in order, none twice; without a gap unless skipping is the policy.
fn check(peer: &Peer, received: &[(u32, u32)], policy: SlowPolicy) -> Result<(), String> {
    let mut next: std::collections::HashMap<u32, u32> = Default::default();
    for &(publisher, number) in received {
        let expected = next.entry(publisher).or_insert(0);
        let gapless = policy == SlowPolicy::Close && publisher != OUTSIDE;
        require(
            number == *expected || !gapless && number > *expected,
            || format!("message {number} of {publisher} came instead of {expected}"),
        )?;
        *expected = number + 1;
    }
    if policy == SlowPolicy::Close && peer.client().befallen().is_none() {
        let code = peer
            .closed()
            .map(|close| close.as_ref().map(|close| close.0));
        return require(
            matches!(code, None | Some(Some(1013 | FROM_OUTSIDE))),
            || format!("closed with {code:?}"),
        );
    }
    Ok(())
}
