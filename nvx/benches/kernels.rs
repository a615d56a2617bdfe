//! The kernels beside what else one would use.
//!
//! Masking stands beside `memcpy`, which is as fast as moving can be, and beside
//! a plain loop; UTF-8 beside `simdutf8` (which is not streaming) and `std`; both
//! in one pass beside two passes and beside masking alone. Payloads lie six
//! octets off any alignment, where they lie behind the header of a short frame
//! from a client (RFC 6455 section 5.2).
//!
//! Cases in place use one buffer again and again, so each call finds what the
//! last one has stored: the hardest case for short inputs, where a load that
//! needs parts of two stores still under way has to wait. `fused` masks with a
//! key of zeros, which costs the same and leaves the text a text.

#![allow(missing_docs)] // the macros of criterion make public items without

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use wirebahn_nvx::{Kernels, Tier, Utf8};

const LENS: [usize; 4] = [16, 125, 1024, 65_536];
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const OFFSET: usize = 6;

const TEXTS: [(&str, &str); 5] = [
    ("ascii", "The quick brown fox jumps over the lazy dog. "),
    ("two", "Съешь ещё этих мягких французских булок"),
    ("three", "以呂波耳本部止千利奴流乎和加餘多連曽津祢那良牟"),
    ("four", "😀🦀🌍𝄞𐍈🂡"),
    ("mixed", "Grüße an die Welt, 世界 und 😀! "),
];

/// A text of exactly `len` octets behind `OFFSET` others; what no character fits
/// into at the end is filled with ASCII.
fn text(pattern: &str, len: usize) -> Vec<u8> {
    let mut text = vec![b' '; OFFSET];
    for character in pattern.chars().cycle() {
        if text.len() + character.len_utf8() > OFFSET + len {
            break;
        }
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    text.resize(OFFSET + len, b'.');
    text
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(40);
    group
}

fn masking(criterion: &mut Criterion) {
    let mut group = group(criterion, "mask");
    for len in LENS {
        group.throughput(Throughput::Bytes(len as u64));
        let source = text("some octets ", len);
        let mut target = source.clone();
        let (source, target) = (&source[OFFSET..], &mut target[OFFSET..]);

        group.bench_function(BenchmarkId::new("memcpy", len), |bencher| {
            bencher.iter(|| black_box(&mut *target).copy_from_slice(black_box(source)));
        });
        group.bench_function(BenchmarkId::new("plain loop", len), |bencher| {
            let key = black_box(KEY);
            bencher.iter(|| {
                for (index, octet) in black_box(&mut *target).iter_mut().enumerate() {
                    *octet ^= key[index & 3];
                }
            });
        });
        group.bench_function(BenchmarkId::new("in place", len), |bencher| {
            bencher.iter(|| wirebahn_nvx::mask(black_box(&mut *target), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("copy", len), |bencher| {
            bencher.iter(|| {
                let target = black_box(&mut *target);
                wirebahn_nvx::mask_copy(black_box(source), target, black_box(KEY))
            });
        });
        for kernels in Tier::available().filter_map(Kernels::of) {
            let name = format!("in place, {}", kernels.tier());
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| kernels.mask(black_box(&mut *target), black_box(KEY)));
            });
        }
    }
    group.finish();
}

fn validation(criterion: &mut Criterion) {
    for (name, pattern) in TEXTS {
        let mut group = group(criterion, &format!("utf8 {name}"));
        for len in LENS {
            group.throughput(Throughput::Bytes(len as u64));
            let text = text(pattern, len);
            let text = &text[OFFSET..];
            assert!(
                std::str::from_utf8(text).is_ok(),
                "a text of the benches is one"
            );

            group.bench_function(BenchmarkId::new("nvx", len), |bencher| {
                bencher.iter(|| black_box(Utf8::new()).validate(black_box(text)).is_ok());
            });
            group.bench_function(BenchmarkId::new("simdutf8", len), |bencher| {
                bencher.iter(|| simdutf8::basic::from_utf8(black_box(text)).is_ok());
            });
            group.bench_function(BenchmarkId::new("std", len), |bencher| {
                bencher.iter(|| std::str::from_utf8(black_box(text)).is_ok());
            });
            for kernels in Tier::available().filter_map(Kernels::of) {
                group.bench_function(BenchmarkId::new(kernels.tier().name(), len), |bencher| {
                    bencher.iter(|| {
                        let mut utf8 = black_box(Utf8::new());
                        kernels.validate(black_box(text), &mut utf8).is_ok()
                    });
                });
            }
        }
        group.finish();
    }
}

fn both(criterion: &mut Criterion) {
    const ZEROS: [u8; 4] = [0; 4];
    for (name, pattern) in TEXTS {
        let mut group = group(criterion, &format!("fused {name}"));
        for len in LENS {
            group.throughput(Throughput::Bytes(len as u64));
            let mut text = text(pattern, len);
            let text = &mut text[OFFSET..];

            group.bench_function(BenchmarkId::new("in place", len), |bencher| {
                bencher.iter(|| {
                    let mut utf8 = black_box(Utf8::new());
                    wirebahn_nvx::mask_validate(black_box(&mut *text), black_box(ZEROS), &mut utf8)
                        .is_ok()
                });
            });
            group.bench_function(BenchmarkId::new("two passes", len), |bencher| {
                bencher.iter(|| {
                    let text = black_box(&mut *text);
                    wirebahn_nvx::mask(text, black_box(ZEROS));
                    black_box(Utf8::new()).validate(text).is_ok()
                });
            });
            group.bench_function(BenchmarkId::new("mask alone", len), |bencher| {
                bencher.iter(|| wirebahn_nvx::mask(black_box(&mut *text), black_box(ZEROS)));
            });
            let mut target = Vec::with_capacity(len);
            group.bench_function(BenchmarkId::new("append", len), |bencher| {
                bencher.iter(|| {
                    let mut utf8 = black_box(Utf8::new());
                    let target = black_box(&mut target);
                    target.clear();
                    wirebahn_nvx::mask_validate_extend(
                        target,
                        black_box(text),
                        black_box(ZEROS),
                        &mut utf8,
                    )
                    .is_ok()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, masking, validation, both);
criterion_main!(benches);
