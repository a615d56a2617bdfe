//! Every tier this CPU has against a naive twin: octet by octet, written here
//! from RFC 6455 section 5.3 and RFC 3629 section 4 and nothing else.
//!
//! Tiers the CPU lacks are skipped; each test prints those it ran. Under Miri
//! the sizes shrink, the cases stay.

use proptest::prelude::*;
use wirebahn_nvx::{InvalidAt, Kernels, Tier, Utf8};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Longer than a group of the widest tier and some registers, so each loop of
/// each kernel is entered and left at each place.
const LEN_MAX: usize = if cfg!(miri) { 80 } else { 300 };
const ALIGN_MAX: usize = if cfg!(miri) { 3 } else { 64 };

fn tiers() -> impl Iterator<Item = &'static Kernels> {
    Tier::available().filter_map(Kernels::of)
}

#[test]
fn lists_the_tiers_tested() {
    let names: Vec<_> = tiers().map(|kernels| kernels.tier().name()).collect();
    println!("tiers tested: {}", names.join(", "));
    let left_out = Tier::ALL.iter().filter(|tier| !tier.is_available());
    let left_out: Vec<_> = left_out.map(|tier| tier.name()).collect();
    println!("tiers this CPU or build lacks: {}", left_out.join(", "));
    assert_eq!(names.first(), Some(&"scalar"));
    assert_eq!(names.len() + left_out.len(), Tier::ALL.len());
}

fn naive_mask(data: &mut [u8], key: [u8; 4]) {
    for (index, octet) in data.iter_mut().enumerate() {
        *octet ^= key[index % 4];
    }
}

fn rotated(key: [u8; 4], places: usize) -> [u8; 4] {
    [0, 1, 2, 3].map(|index| key[(index + places) % 4])
}

/// What is left due of a character, octet by octet: the ranges of the next ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Due {
    count: u8,
    low: u8,
    high: u8,
}

const NOTHING: Due = Due {
    count: 0,
    low: 0,
    high: 0,
};

/// The index of the first bad octet, or what is left due at the end.
fn naive_utf8(text: &[u8], mut due: Due) -> Result<Due, usize> {
    for (index, &octet) in text.iter().enumerate() {
        if due.count > 0 {
            if octet < due.low || octet > due.high {
                return Err(index);
            }
            due = Due {
                count: due.count - 1,
                low: 0x80,
                high: 0xBF,
            };
        } else {
            let (count, low, high) = match octet {
                0x00..=0x7F => (0, 0, 0),
                0xC2..=0xDF => (1, 0x80, 0xBF),
                0xE0 => (2, 0xA0, 0xBF),
                0xE1..=0xEC | 0xEE | 0xEF => (2, 0x80, 0xBF),
                0xED => (2, 0x80, 0x9F),
                0xF0 => (3, 0x90, 0xBF),
                0xF1..=0xF3 => (3, 0x80, 0xBF),
                0xF4 => (3, 0x80, 0x8F),
                _ => return Err(index),
            };
            due = Due { count, low, high };
        }
    }
    Ok(due)
}

/// Octets without a pattern, the same ones on every run.
fn noise(len: usize) -> Vec<u8> {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    (0..len)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 32) as u8
        })
        .collect()
}

/// Texts of one kind each, long enough to be cut to any length.
fn scripts() -> Vec<String> {
    let fill = |pattern: &str| pattern.chars().cycle().take(1200).collect::<String>();
    vec![
        fill("The quick brown fox jumps over the lazy dog. "),
        fill("Zwölf Boxkämpfer jagen Víktor über den Sylter Deich. "),
        fill("ςκέψου τον τόπο που ζεις και τα δίκαια της Γης"),
        fill("以呂波耳本部止千利奴流乎和加餘多連曽津祢那良牟"),
        fill("😀🦀🌍𝄞𐍈🂡"),
        fill("aé世😀"),
        fill("\u{7F}\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}\0"),
    ]
}

/// Runs a kernel's validator over pieces; the index counts from the start.
fn validate_pieces(kernels: &Kernels, pieces: &[&[u8]]) -> Result<bool, usize> {
    let mut utf8 = Utf8::new();
    let mut done = 0;
    for piece in pieces {
        kernels
            .validate(piece, &mut utf8)
            .map_err(|error| done + error.index)?;
        done += piece.len();
    }
    Ok(utf8.is_boundary())
}

/// The same over masked pieces, in place; checks the plain text too.
fn fused_pieces(kernels: &Kernels, plain: &[u8], cuts: &[usize]) -> Result<bool, usize> {
    let mut masked = plain.to_vec();
    naive_mask(&mut masked, KEY);
    let (mut utf8, mut key, mut start) = (Utf8::new(), KEY, 0);
    for &cut in cuts.iter().chain([&plain.len()]) {
        match kernels.mask_validate(&mut masked[start..cut], key, &mut utf8) {
            Ok(next) => key = next,
            Err(InvalidAt { index }) => {
                let bad = start + index;
                assert_eq!(masked[..bad], plain[..bad]);
                return Err(bad);
            }
        }
        assert_eq!(key, rotated(KEY, cut));
        start = cut;
    }
    assert_eq!(masked, plain);
    Ok(utf8.is_boundary())
}

fn fused_extend(kernels: &Kernels, plain: &[u8]) -> Result<bool, usize> {
    let mut masked = plain.to_vec();
    naive_mask(&mut masked, KEY);
    let mut utf8 = Utf8::new();
    let mut target = b"before".to_vec();
    match kernels.mask_validate_extend(&mut target, &masked, KEY, &mut utf8) {
        Ok(key) => {
            assert_eq!(key, rotated(KEY, plain.len()));
            assert_eq!(&target[..6], b"before");
            assert_eq!(&target[6..], plain);
            Ok(utf8.is_boundary())
        }
        Err(InvalidAt { index }) => {
            assert_eq!(target, b"before");
            Err(index)
        }
    }
}

/// One text through every way of one tier.
fn judge(kernels: &Kernels, text: &[u8]) {
    let expected = naive_utf8(text, NOTHING).map(|due| due.count == 0);
    let tier = kernels.tier();
    assert_eq!(
        validate_pieces(kernels, &[text]),
        expected,
        "{tier} {text:x?}"
    );
    assert_eq!(
        fused_pieces(kernels, text, &[]),
        expected,
        "{tier} {text:x?}"
    );
    assert_eq!(fused_extend(kernels, text), expected, "{tier} {text:x?}");
}

#[test]
fn masks_every_length_at_every_alignment_and_phase() {
    let plain = noise(LEN_MAX + ALIGN_MAX);
    for kernels in tiers() {
        for len in 0..=LEN_MAX {
            for align in 0..ALIGN_MAX {
                for phase in 0..4 {
                    let key = rotated(KEY, phase);
                    let mut expected = plain.clone();
                    naive_mask(&mut expected[align..align + len], key);

                    let mut data = plain.clone();
                    let next = kernels.mask(&mut data[align..align + len], key);
                    // Nothing outside the slice was touched, either.
                    assert_eq!(data, expected, "{} {len} {align} {phase}", kernels.tier());
                    assert_eq!(next, rotated(key, len));

                    // The source stays where it is, so the two differ in
                    // alignment most of the time.
                    let mut data = plain.clone();
                    let source = &plain[align..align + len];
                    let start = (align * 7) % (ALIGN_MAX);
                    kernels.mask_copy(source, &mut data[start..start + len], key);
                    let mut expected = plain.clone();
                    expected[start..start + len].copy_from_slice(source);
                    naive_mask(&mut expected[start..start + len], key);
                    assert_eq!(data, expected, "{} {len} {align} {phase}", kernels.tier());
                }
            }
        }
    }
}

#[test]
fn masks_long_data_at_every_alignment() {
    let lens = if cfg!(miri) {
        vec![513, 700]
    } else {
        vec![511, 512, 513, 640, 777, 1023, 1024, 4099, 65_536, 70_001]
    };
    for kernels in tiers() {
        for &len in &lens {
            let plain = noise(len + ALIGN_MAX);
            for align in 0..ALIGN_MAX {
                let mut expected = plain.clone();
                naive_mask(&mut expected[align..align + len], KEY);
                let mut data = plain.clone();
                kernels.mask(&mut data[align..align + len], KEY);
                assert_eq!(data, expected, "{} {len} {align}", kernels.tier());
            }
        }
    }
}

/// Long texts are unmasked with aligned stores, so where they begin matters.
#[test]
fn unmasks_long_text_at_every_alignment() {
    let lens: &[usize] = if cfg!(miri) {
        &[600]
    } else {
        &[128, 255, 256, 511, 512, 513, 576, 600, 1024, 1091]
    };
    for kernels in tiers() {
        for text in scripts() {
            for &len in lens {
                for align in 0..ALIGN_MAX {
                    // A fault in the head, in what overlaps it, in the midst and
                    // in the tail; and none.
                    let places = [1, 63, 64, 66, 127, 130, len / 2, len - 65, len - 1];
                    let faults = places.map(Some).into_iter().chain([None]);
                    for fault in faults.step_by(if cfg!(miri) { 9 } else { 1 }) {
                        let mut plain = vec![0; align];
                        plain.extend_from_slice(&text.as_bytes()[..len]);
                        if let Some(place) = fault {
                            plain[align + place % len] = 0xFF;
                        }
                        let expected =
                            naive_utf8(&plain[align..], NOTHING).map(|due| due.count == 0);
                        let mut data = plain.clone();
                        naive_mask(&mut data[align..], KEY);
                        let mut utf8 = Utf8::new();
                        let found = kernels
                            .mask_validate(&mut data[align..], KEY, &mut utf8)
                            .map(|key| assert_eq!(key, rotated(KEY, len)))
                            .map(|()| utf8.is_boundary())
                            .map_err(|error| error.index);
                        assert_eq!(
                            found,
                            expected,
                            "{} {len} {align} {fault:?}",
                            kernels.tier()
                        );
                        let good = expected.err().map_or(plain.len(), |index| align + index);
                        assert_eq!(data[..good], plain[..good]);
                    }
                }
            }
        }
    }
}

/// The functions of the crate, which choose between in line and dispatched.
#[test]
fn the_front_door_agrees_with_the_twin() {
    let texts = scripts();
    let plain = noise(LEN_MAX + 3);
    for len in 0..=LEN_MAX {
        for align in 0..4 {
            let source = &plain[align..];
            let source = &source[..len.min(source.len())];
            let mut expected = source.to_vec();
            naive_mask(&mut expected, KEY);

            let mut data = source.to_vec();
            assert_eq!(wirebahn_nvx::mask(&mut data, KEY), rotated(KEY, data.len()));
            assert_eq!(data, expected);
            let mut copy = vec![0; source.len()];
            wirebahn_nvx::mask_copy(source, &mut copy, KEY);
            assert_eq!(copy, expected);
            let mut extended = b"x".to_vec();
            wirebahn_nvx::mask_extend(&mut extended, source, KEY);
            assert_eq!(extended[1..], expected);
        }
        for text in &texts {
            let text = &text.as_bytes()[..len];
            let expected = naive_utf8(text, NOTHING).map(|due| due.count == 0);
            let mut utf8 = Utf8::new();
            let found = utf8.validate(text).map(|()| utf8.is_boundary());
            assert_eq!(found.map_err(|error| error.index), expected);
            let whole = wirebahn_nvx::validate_whole(text);
            assert_eq!(whole.is_ok(), std::str::from_utf8(text).is_ok());

            let mut masked = text.to_vec();
            naive_mask(&mut masked, KEY);
            let mut utf8 = Utf8::new();
            let mut target = Vec::new();
            wirebahn_nvx::mask_validate_extend(&mut target, &masked, KEY, &mut utf8)
                .expect("the text is valid as far as it goes");
            assert_eq!(target, text);
            let mut utf8 = Utf8::new();
            let key = wirebahn_nvx::mask_validate(&mut masked, KEY, &mut utf8)
                .expect("the text is valid as far as it goes");
            assert_eq!(key, rotated(KEY, len));
            assert_eq!(masked, text);
            assert_eq!(Ok(utf8.is_boundary()), expected);
        }
    }
}

/// A bad octet in place of a good one, at every place of texts of every kind and
/// some lengths: the first proof must be found, whatever it hides behind.
#[test]
fn finds_the_first_bad_octet_anywhere() {
    let lens: &[usize] = if cfg!(miri) {
        &[70]
    } else {
        &[5, 31, 64, 127, 130, 257, 300, 540]
    };
    let bad = [
        0x80, 0xBF, 0xC0, 0xC1, 0xC3, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0xFF, b'x',
    ];
    for kernels in tiers() {
        for text in scripts() {
            for &len in lens {
                for at in (0..len).step_by(if cfg!(miri) { 17 } else { 1 }) {
                    for bad in bad {
                        let mut text = text.as_bytes()[..len].to_vec();
                        text[at] = bad;
                        let expected = naive_utf8(&text, NOTHING).map(|due| due.count == 0);
                        let found = validate_pieces(kernels, &[&text]);
                        assert_eq!(found, expected, "{} {at} {text:x?}", kernels.tier());
                        let found = fused_pieces(kernels, &text, &[]);
                        assert_eq!(found, expected, "{} {at} {text:x?}", kernels.tier());
                    }
                }
            }
        }
    }
}

/// Every sequence that shows a rule, at every place around the registers.
#[test]
fn names_the_octet_that_proves_it_at_every_place() {
    let cases: &[(&[u8], usize)] = &[
        (b"\x80", 0),
        (b"\xc0\x80", 0),
        (b"\xc1\xbf", 0),
        (b"\xc2A", 1),
        (b"\xc2\xc2", 1),
        (b"\xe0\x9f\x80", 1),
        (b"\xe1\x80A", 2),
        (b"\xed\xa0\x80", 1),
        (b"\xed\xbf\xbf", 1),
        (b"\xef\xbf\xc0", 2),
        (b"\xf0\x8f\x80\x80", 1),
        (b"\xf1\x80\x80A", 3),
        (b"\xf4\x90\x80\x80", 1),
        (b"\xf5\x80\x80\x80", 0),
        (b"\xf8\x88\x80\x80\x80", 0),
        (b"\xff", 0),
        ("é\u{80}\u{800}".as_bytes(), usize::MAX),
        (b"\xf4\x8f\xbf\xbf\x80", 4),
    ];
    let places = if cfg!(miri) { 70 } else { 530 };
    for kernels in tiers() {
        for &(sequence, bad) in cases {
            for place in (0..places).step_by(if cfg!(miri) { 11 } else { 1 }) {
                // Behind nothing, and in front of a torn and of an ASCII tail.
                for tail in [
                    "",
                    "€",
                    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
                ] {
                    let mut text = vec![b'a'; place];
                    text.extend_from_slice(sequence);
                    text.extend_from_slice(tail.as_bytes());
                    let expected = if bad == usize::MAX {
                        Ok(true)
                    } else {
                        Err(place + bad)
                    };
                    let found = validate_pieces(kernels, &[&text]);
                    assert_eq!(found, expected, "{} {place} {sequence:x?}", kernels.tier());
                    let found = fused_pieces(kernels, &text, &[]);
                    assert_eq!(found, expected, "{} {place} {sequence:x?}", kernels.tier());
                }
            }
        }
    }
}

#[test]
fn torn_in_two_at_every_place() {
    let lens: &[usize] = if cfg!(miri) {
        &[67]
    } else {
        &[9, 66, 130, 300]
    };
    for kernels in tiers() {
        for text in scripts() {
            for &len in lens {
                let text = &text.as_bytes()[..len];
                let expected = naive_utf8(text, NOTHING).map(|due| due.count == 0);
                for cut in (0..=len).step_by(if cfg!(miri) { 7 } else { 1 }) {
                    let (first, second) = text.split_at(cut);
                    let found = validate_pieces(kernels, &[first, second]);
                    assert_eq!(found, expected, "{} {cut}", kernels.tier());
                    assert_eq!(fused_pieces(kernels, text, &[cut]), expected);

                    // The same with a fault right at the tear.
                    for bad in [0x80, 0xC0, 0xF4, b'x'] {
                        let mut text = text.to_vec();
                        if let Some(octet) = text.get_mut(cut) {
                            *octet = bad;
                        }
                        let expected = naive_utf8(&text, NOTHING).map(|due| due.count == 0);
                        let (first, second) = text.split_at(cut);
                        let found = validate_pieces(kernels, &[first, second]);
                        assert_eq!(found, expected, "{} {cut} {text:x?}", kernels.tier());
                        assert_eq!(fused_pieces(kernels, &text, &[cut]), expected);
                    }
                }
            }
        }
    }
}

/// Octets that stand for all of their kind: both ends of each range that
/// RFC 3629 tells apart.
const KINDS: [u8; 16] = [
    0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xE1, 0xED, 0xF0, 0xF4, 0xFF,
];

/// Every pair of octets, followed by every kind in third and fourth place: whole,
/// in the midst of a register, and torn across two calls.
#[test]
fn every_sequence_of_four() {
    if cfg!(miri) {
        return; // half a million texts a tier: the cases above must do there
    }
    for kernels in tiers() {
        for first in 0..=255 {
            for second in 0..=255 {
                for third in KINDS {
                    for fourth in KINDS {
                        let text = [first, second, third, fourth];
                        let expected = naive_utf8(&text, NOTHING).map(|due| due.count == 0);
                        let found = validate_pieces(kernels, &[&text]);
                        assert_eq!(found, expected, "{} {text:x?}", kernels.tier());
                    }
                }
            }
        }
    }
}

/// Every sequence of up to three octets, and all that can follow a valid start of
/// three, in the midst of registers: many sequences a text, told apart by `a`.
#[test]
fn every_sequence_inside_a_register() {
    if cfg!(miri) {
        return;
    }
    for kernels in tiers() {
        for first in 0x80..=255u8 {
            for second in 0..=255u8 {
                // At places that move through all lanes, so that all tables and
                // all ways of carrying over are met.
                let place = usize::from(first) * 3 + usize::from(second);
                let place = place % 140;
                let mut text = [b'a'; 160];
                text[place] = first;
                text[place + 1] = second;
                for third in 0..=255u8 {
                    text[place + 2] = third;
                    text[place + 3] = b'a';
                    let expected = naive_utf8(&text, NOTHING).map(|due| due.count == 0);
                    let found = validate_pieces(kernels, &[&text]);
                    assert_eq!(
                        found,
                        expected,
                        "{} {place} {:x?}",
                        kernels.tier(),
                        [first, second, third]
                    );
                }
                if naive_utf8(&[first, second], NOTHING).is_ok_and(|due| due.count == 2) {
                    text[place + 2] = 0xBF;
                    for fourth in 0..=255u8 {
                        text[place + 3] = fourth;
                        judge(kernels, &text);
                    }
                }
            }
        }
    }
}

#[test]
fn every_character_passes() {
    if cfg!(miri) {
        return;
    }
    let all: String = ('\0'..=char::MAX).collect();
    for kernels in tiers() {
        judge(kernels, all.as_bytes());
        // And one by one, with nothing around to hide behind.
        let mut buffer = [0; 4];
        for character in '\0'..=char::MAX {
            let text = character.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(validate_pieces(kernels, &[text]), Ok(true), "{character:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn torn_at_random(
        text in ".{0,200}",
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut text = text.into_bytes();
        if !text.is_empty() {
            for (index, octet) in flips {
                let index = index.index(text.len());
                text[index] = octet;
            }
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for &cut in cuts.iter().chain([&text.len()]) {
            pieces.push(&text[start..cut]);
            start = cut;
        }
        let expected = naive_utf8(&text, NOTHING).map(|due| due.count == 0);
        prop_assert_eq!(expected == Ok(true), std::str::from_utf8(&text).is_ok());
        for kernels in tiers() {
            prop_assert_eq!(validate_pieces(kernels, &pieces), expected);
            prop_assert_eq!(fused_pieces(kernels, &text, &cuts), expected);
            judge(kernels, &text);
        }
    }

    #[test]
    fn noise_is_refused_where_the_twin_refuses_it(text in prop::collection::vec(any::<u8>(), 0..300)) {
        for kernels in tiers() {
            judge(kernels, &text);
        }
    }
}

#[test]
fn a_failed_validator_stays_failed() {
    for kernels in tiers() {
        for len in [0, 1, 16, 64, 300] {
            let mut utf8 = Utf8::new();
            assert!(kernels.validate(b"\xFF", &mut utf8).is_err());
            let failed = Err(InvalidAt { index: 0 });
            let mut data = vec![b'a'; len];
            assert_eq!(kernels.validate(&data, &mut utf8), failed);
            assert!(kernels.mask_validate(&mut data, KEY, &mut utf8).is_err());
            assert!(utf8.is_failed());
            utf8.reset();
            assert_eq!(kernels.validate(b"a", &mut utf8), Ok(()));
        }
    }
}

#[test]
#[should_panic(expected = "of one length")]
fn a_copy_of_unequal_lengths_is_an_error_of_the_program() {
    wirebahn_nvx::mask_copy(b"abc", &mut [0; 2], KEY);
}

/// A test that must fail shows that the gate works: the twin tells a validator
/// that lets surrogates pass from one that does not.
#[test]
#[should_panic(expected = "surrogate")]
fn the_twin_catches_a_validator_without_surrogates() {
    let lenient = |text: &[u8]| -> Result<bool, usize> {
        let text: Vec<u8> = text
            .iter()
            .map(|&octet| if octet == 0xED { 0xEC } else { octet })
            .collect();
        naive_utf8(&text, NOTHING).map(|due| due.count == 0)
    };
    let text = b"\xED\xA0\x80";
    let expected = naive_utf8(text, NOTHING).map(|due| due.count == 0);
    assert_eq!(lenient(text), expected, "surrogate");
}
