//! Echo: what a client was not kept from sending comes back once, in order, octet for octet.

use wirebahn::CloseCode;
use wirebahn::close::{Cause, Side};

use super::*;

/// How a client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Close(Option<(u16, &'static str)>),
    Shut,
    Leave,
    Reset,
    Stay,
    /// It asks the server to close.
    Ask,
    /// It is there no more, and nobody says so.
    Vanish,
    /// Octets no client may send, and the code that answers them.
    Misbehave(&'static [u8], u16),
}

/// Echoes; closes with 4000 when it is asked to.
struct EchoUntilAsked;

impl Act for EchoUntilAsked {
    fn act(&mut self, client: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        if message == Message::Text(REQUEST_TO_CLOSE) {
            // 4000 may travel.
            let _ = context.close(CloseCode(4000), "as you wish");
            return Sent::Accepted;
        }
        Echo.act(client, context, message)
    }
}

/// Longer than a text by chance could be and be equal by chance.
const REQUEST_TO_CLOSE: &str = "please close this connection";

const MISBEHAVIOUR: [(&[u8], u16); 7] = [
    (&[0x81, 0x00], 1002),                                     // not masked
    (&[0xA2, 0x80, 0, 0, 0, 0], 1002),                         // a reserved bit
    (&[0x83, 0x80, 0, 0, 0, 0], 1002),                         // a reserved opcode
    (&[0x80, 0x80, 0, 0, 0, 0], 1002),                         // nothing to continue
    (&[0x82, 0xFE, 0, 1, 0, 0, 0, 0, 9], 1002),                // a length too long
    (&[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009), // a terabyte
    (&[0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28], 1007),             // no UTF-8
];

struct Script {
    messages: usize,
    ending: Ending,
    done: bool,
}

pub(super) fn run(seed: u64) -> Result<Tally, String> {
    let mut random = Random::new(seed ^ 0xEC40);
    let setup = setup(seed, &mut random);
    let config = config(&mut random).build().map_err(|e| e.to_string())?;
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let mut world = World::new(&setup, &config, |_| Logged::new(&log, EchoUntilAsked));
    let clients = 1 + random.size(7);
    let mut peers: Vec<Peer> = Vec::new();
    let mut scripts: Vec<Script> = Vec::new();
    let silent_at = random.index(clients * 60);
    for round in 0..clients * 20 {
        a_while(&mut world, &mut random)?;
        if round == silent_at {
            silence(&mut world, &mut peers)?;
        }
        let index = random.index(clients);
        if index < peers.len() {
            peers[index].hear()?;
            act(&mut peers[index], &mut scripts[index], &mut random);
            continue;
        }
        let client = world.connect(random.index(setup.shards));
        let mut peer = Peer::new(client, random.number());
        peer.open();
        peers.push(peer);
        scripts.push(Script {
            messages: random.size(12),
            ending: ending(&mut random),
            done: false,
        });
    }
    world.calm();
    for _ in 0..20 {
        rest(&mut world, &mut peers)?;
        for (peer, script) in peers.iter_mut().zip(&mut scripts) {
            act(peer, script, &mut random);
        }
    }
    rest(&mut world, &mut peers)?;
    if scripts.iter().any(|script| script.ending == Ending::Vanish) {
        // A ping within 20 s and no answer for 20 s more; or, when it was not even read from any
        // more, or is ending, a minute: whoever vanished is found out.
        for _ in 0..3 {
            silence(&mut world, &mut peers)?;
        }
        rest(&mut world, &mut peers)?;
    }
    for (peer, script) in peers.iter().zip(&scripts) {
        check(peer, script, &log.borrow())
            .map_err(|problem| format!("client {}: {problem}", peer.client().number()))?;
    }
    end(&mut world, &mut peers, &log, &mut random)?;
    require(log.borrow().dropped == 0, || "messages dropped".to_owned())?;
    Ok(Tally::of(&world, &log.borrow(), &peers))
}

fn ending(random: &mut Random) -> Ending {
    match random.index(10) {
        0..4 => Ending::Close(match random.index(3) {
            0 => None,
            1 => Some((1000, "")),
            _ => Some((4321, "enough → thanks")),
        }),
        4 => Ending::Shut,
        5 => Ending::Leave,
        6 => Ending::Reset,
        7 => match random.index(2) {
            0 => Ending::Ask,
            _ => Ending::Vanish,
        },
        8 => {
            let (octets, code) = MISBEHAVIOUR[random.index(MISBEHAVIOUR.len())];
            Ending::Misbehave(octets, code)
        }
        _ => Ending::Stay,
    }
}

/// The next thing this client does.
fn act(peer: &mut Peer, script: &mut Script, random: &mut Random) {
    if !peer.is_open() || script.done {
        return;
    }
    if script.messages > 0 {
        script.messages -= 1;
        let len = random.size(3_000) - 1;
        match random.index(8) {
            0 => peer.ping(),
            1..4 => peer.message(true, wire::text(random, len).into_bytes()),
            _ => peer.binary((0..len).map(|_| random.number() as u8).collect()),
        }
        return;
    }
    script.done = true;
    match script.ending {
        Ending::Close(close) => peer.close(close),
        Ending::Shut => peer.shut(),
        Ending::Leave => peer.leave(),
        Ending::Reset => peer.reset(),
        Ending::Stay => {}
        Ending::Ask => peer.frame(true, wire::TEXT, REQUEST_TO_CLOSE.as_bytes()),
        Ending::Vanish => peer.vanish(),
        Ending::Misbehave(octets, _) => peer.misbehave(octets),
    }
}

fn check(peer: &Peer, script: &Script, log: &Log) -> Result<(), String> {
    let read = peer.client().read_so_far();
    let whole = peer.sent().iter().filter(|sent| sent.end <= read).count();
    let (sent, came) = (peer.sent(), peer.messages());
    let befallen = peer.client().befallen();
    for (index, (text, payload)) in came.iter().enumerate() {
        let same = sent[..whole]
            .get(index)
            .is_some_and(|sent| sent.text == *text && sent.payload == *payload);
        require(same, || {
            format!(
                "message {index} of {whole} came back as {} octets, not as {:?}",
                payload.len(),
                sent.get(index).map(|sent| sent.payload.len())
            )
        })?;
    }
    let all = || format!("{} of {whole} whole messages came back", came.len());
    let ended = peer.client().ended();
    let info = log.close_of(peer.client().number());
    require(peer.pongs_are_sound(), || "a pong too many".to_owned())?;
    match befallen {
        Some(Fault::HalfClose)
            if !matches!(
                script.ending,
                Ending::Leave | Ending::Reset | Ending::Vanish
            ) =>
        {
            require(came.len() == whole, all)?;
            return require(ended == Some(Ended::Fin), || {
                format!(
                    "half-closed, ended by {ended:?}: {info:?} {:?}",
                    script.ending
                )
            });
        }
        Some(_) => return Ok(()),
        None => {}
    }
    if matches!(script.ending, Ending::Leave | Ending::Reset) {
        return Ok(());
    }
    require(peer.status() == Some(101), || {
        format!("status {:?}", peer.status())
    })?;
    require(script.done, || {
        format!("interrupted: {:?}, {info:?}", peer.closed())
    })?;
    if script.ending == Ending::Vanish {
        return require(
            info.is_some_and(|info| matches!(info.cause, Cause::Timeout(_)) && !info.clean),
            || format!("vanished, but {info:?}"),
        );
    }
    require(came.len() == sent.len(), all)?;
    require(peer.newest_ping_is_answered(), || {
        format!("no pong before {:?}", script.ending)
    })?;
    if script.ending == Ending::Stay {
        return require(ended.is_none() && info.is_none(), || {
            format!("ended by {ended:?}")
        });
    }
    require(ended == Some(Ended::Fin), || {
        format!("ended by {ended:?}: {info:?} {:?}", script.ending)
    })?;
    let info = info.ok_or("never closed")?;
    let wrong = || format!("closed with {:?}, {info:?}", peer.closed());
    match script.ending {
        Ending::Close(close) => {
            let close = close.map(|(code, reason)| (code, reason.to_owned()));
            let told = (info.code.0, info.reason.clone());
            require(
                peer.closed() == Some(&close)
                    && info.clean
                    && info.by == Side::Remote
                    && info.cause == Cause::Handshake
                    && told == close.clone().unwrap_or((1005, String::new())),
                wrong,
            )
        }
        Ending::Ask => {
            let close = Some((4000, "as you wish".to_owned()));
            require(
                peer.closed() == Some(&close)
                    && info.clean
                    && info.by == Side::Local
                    && info.cause == Cause::Handshake
                    && info.code.0 == 4000,
                wrong,
            )
        }
        Ending::Misbehave(_, code) => {
            let sent = peer.closed().and_then(Option::as_ref).map(|close| close.0);
            require(
                sent == Some(code)
                    && !info.clean
                    && info.by == Side::Local
                    && matches!(info.cause, Cause::Violation(_)),
                wrong,
            )
        }
        _ => require(
            peer.closed().is_none()
                && !info.clean
                && info.by == Side::Remote
                && info.cause == Cause::Ended,
            wrong,
        ),
    }
}
