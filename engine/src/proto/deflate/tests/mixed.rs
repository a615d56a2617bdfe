//! Messages at random: every agreement, every mode, whole, fragmented and torn, both roles.

use super::naive::Naive;
use super::*;
use crate::proto::prepared::{Batch, Prepared};

fn any_agreement(dice: &mut Dice) -> Agreed {
    let mut direction = || Direction {
        takeover: dice.below(3) > 0,
        window_bits: 9 + dice.below(7) as u8,
    };
    Agreed {
        send: direction(),
        receive: direction(),
    }
}

fn any_compression(dice: &mut Dice) -> Compression {
    let mut compression = MODES[dice.below(3)]();
    compression.level = 1 + dice.below(9) as u8;
    compression.mem_level = 1 + dice.below(9) as u8;
    compression.threshold = [1, 32, 256][dice.below(3)];
    compression
}

/// Sends one message in one of the ways there are.
fn send(end: &mut End, dice: &mut Dice, all: &mut Vec<(Kind, Vec<u8>)>) {
    let one = dice.message(all);
    let role = end.connection.link().role();
    match dice.below(8) {
        0 => {
            let _ = end.tell(|link, env| link.send_uncompressed(message(&one), env));
        }
        1 => {
            let prepared = Prepared::new(message(&one));
            // Two receivers in one shard: the second finds it made.
            let _ = end.tell(|link, env| link.send_prepared(&prepared, env));
            let _ = end.tell(|link, env| link.send_prepared(&prepared, env));
            all.push(one.clone());
        }
        2 => {
            let prepared = Prepared::uncompressed(message(&one));
            let _ = end.tell(|link, env| link.send_prepared(&prepared, env));
        }
        3 if role == Role::Server => {
            let other = dice.message(all);
            let both = [&other, &one].map(|of| Prepared::new(message(of)));
            let mut batch = Batch::new(both.to_vec(), true);
            end.tell(|link, env| link.send_batch(&mut batch, env));
            all.push(other);
        }
        _ => {
            let _ = end.tell(|link, env| link.send(message(&one), env));
        }
    }
    all.push(one);
}

fn seen(all: &[(Kind, Vec<u8>)]) -> Vec<Seen> {
    all.iter()
        .map(|(kind, octets)| Seen::Message(*kind, octets.clone()))
        .collect()
}

#[test]
fn what_we_send_is_what_a_naive_receiver_reads_within_its_window() {
    for seed in 0..250 {
        let dice = &mut Dice::new(seed);
        let agreed = any_agreement(dice);
        let compression = any_compression(dice);
        let mut end = End::new(Role::Server, compression.clone(), Some(agreed));
        let mut peer = Naive::new(agreed.send.takeover, agreed.send.window_bits);
        let mut all = Vec::new();
        for _ in 0..1 + dice.below(25) {
            send(&mut end, dice, &mut all);
        }
        let got: Vec<Seen> = frames(&end.leave())
            .into_iter()
            .map(|(first, payload)| {
                let kind = match first & 0x0F {
                    1 => Kind::Text,
                    _ => Kind::Binary,
                };
                match first & 0x40 {
                    0 => Seen::Message(kind, payload),
                    _ => {
                        let text = peer.inflate(&payload);
                        assert!(text.len() >= compression.threshold);
                        Seen::Message(kind, text)
                    }
                }
            })
            .collect();
        assert!(
            got == seen(&all),
            "seed {seed}, {agreed:?}, {compression:?}"
        );
        end.finish();
    }
}

#[test]
fn what_an_ordinary_sender_sends_arrives() {
    for seed in 0..250 {
        let dice = &mut Dice::new(1000 + seed);
        let agreed = any_agreement(dice);
        let compression = any_compression(dice);
        let role = [Role::Server, Role::Client][dice.below(2)];
        let frame = match role {
            Role::Server => frame,
            Role::Client => server_frame,
        };
        let mut end = End::new(role, compression.clone(), Some(agreed));
        let mut peer = Ordinary::new(agreed.receive);
        let (mut all, mut expected, mut octets) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + dice.below(25) {
            let one = dice.message(&all);
            let opcode = match one.0 {
                Kind::Text => 1,
                Kind::Binary => 2,
            };
            let (mut first, payload) = match dice.below(5) {
                0 => (opcode, one.1.clone()),
                _ => (opcode | 0x40, peer.deflate(&one.1)),
            };
            let mut rest = &payload[..];
            while dice.below(3) == 0 {
                let (piece, after) = rest.split_at(dice.below(rest.len() + 1));
                octets.extend(frame(first, piece));
                if dice.below(2) == 0 {
                    octets.extend(frame(0x89, b"ping"));
                    expected.push(Seen::Ping(b"ping".to_vec()));
                }
                (rest, first) = (after, 0);
            }
            octets.extend(frame(first | 0x80, rest));
            expected.push(Seen::Message(one.0, one.1.clone()));
            all.push(one);
        }
        let mut got = Vec::new();
        let mut rest = &octets[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + dice.below(3000)).min(rest.len()));
            got.extend(end.feed(piece, usize::MAX));
            rest = after;
        }
        assert!(got == expected, "seed {seed}, {agreed:?}, {compression:?}");
        end.finish();
    }
}

#[test]
fn our_two_ends_understand_each_other_both_ways_at_once() {
    for seed in 0..150 {
        let dice = &mut Dice::new(2000 + seed);
        let agreed = any_agreement(dice);
        let mut server = End::new(Role::Server, any_compression(dice), Some(agreed));
        let mut client = End::new(Role::Client, any_compression(dice), Some(agreed.mirrored()));
        let (mut down, mut up) = (Vec::new(), Vec::new());
        let (mut got_down, mut got_up) = (Vec::new(), Vec::new());
        for _ in 0..1 + dice.below(10) {
            for _ in 0..dice.below(4) {
                send(&mut server, dice, &mut down);
                send(&mut client, dice, &mut up);
            }
            let step = 1 + dice.below(5000);
            got_down.extend(client.feed(&server.leave(), step));
            got_up.extend(server.feed(&client.leave(), step));
        }
        assert!(got_down == seen(&down), "seed {seed} down, {agreed:?}");
        assert!(got_up == seen(&up), "seed {seed} up, {agreed:?}");
        server.finish();
        client.finish();
    }
}

#[test]
fn a_prepared_message_is_compressed_once_for_all_who_share_a_window() {
    let json = "{\"id\":1,\"symbol\":\"WIRE\",\"side\":\"buy\"},".repeat(20);
    let prepared = Prepared::new(Message::Text(&json));
    assert!((513..1024).contains(&json.len()));
    let (config, mut pool) = (Compression::shared(), Pool::new());
    let mut form = |bits| {
        let frame = prepared
            .deflated(bits, &config, pool.codecs())
            .expect("it shrinks");
        (frame.as_ptr(), frame.to_vec())
    };
    let (whole, narrow) = (form(15), form(9));
    assert!(
        (10..15).all(|bits| form(bits) == whole),
        "it fits into all of these"
    );
    assert_eq!(form(9), narrow);
    assert_ne!(narrow.0, whole.0);
    for (bits, takeover, mode) in [
        (15, false, Compression::shared()),
        (10, true, Compression::history()),
        (12, true, Compression::dedicated()),
        (9, true, Compression::history()),
    ] {
        let mut end = End::new(Role::Server, mode, Some(agreed(takeover, bits)));
        let _ = end.tell(|link, env| link.send_prepared(&prepared, env));
        assert!(end.leave() == if bits == 9 { &narrow } else { &whole }.1);
        end.finish();
    }
    // Below the threshold, where it would not shrink, and where it must not, it goes as it is.
    for prepared in [
        Prepared::new(Message::Text("short")),
        Prepared::new(Message::Binary(&(0..=255).collect::<Vec<u8>>())),
        Prepared::uncompressed(Message::Text(&json)),
    ] {
        let mut end = End::new(Role::Server, Compression::shared(), Some(Agreed::STATELESS));
        let _ = end.tell(|link, env| link.send_prepared(&prepared, env));
        assert_eq!(end.leave(), prepared.frame()[..]);
    }
}
