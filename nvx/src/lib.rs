//! SIMD kernels for WebSocket: masking, UTF-8 validation, and both in one pass.
//!
//! The room turns bytes into bytes and bytes into verdicts. It must not know
//! what a frame, a message or a socket is: keys, slices and a validator's state
//! go in, keys and verdicts come out. Nothing here allocates, except that the
//! `*_extend` functions grow the `Vec` they were given.
//!
//! ```
//! use wirebahn_nvx::{Utf8, mask, mask_validate};
//!
//! let key = [0x37, 0xfa, 0x21, 0x3d];
//! let mut payload = *b"Hello, \xe4\xb8\x96\xe7\x95\x8c"; // "Hello, 世界"
//! mask(&mut payload, key); // what a client does before sending
//!
//! // A server gets the frame in two pieces, torn inside a character. Each
//! // piece is unmasked and tested where it lies, in one pass.
//! let (first, second) = payload.split_at_mut(9);
//! let mut utf8 = Utf8::new();
//! let key = mask_validate(first, key, &mut utf8)?;
//! assert!(!utf8.is_boundary()); // half a character is not a message
//! mask_validate(second, key, &mut utf8)?;
//! assert!(utf8.is_boundary());
//! assert_eq!(payload, *b"Hello, \xe4\xb8\x96\xe7\x95\x8c");
//! # Ok::<(), wirebahn_nvx::InvalidAt>(())
//! ```
//!
//! # Tiers
//!
//! Each kernel exists once per [`Tier`]; the best one this CPU has is chosen at
//! the first call and kept.
//!
//! | tier | needs | masking | UTF-8 |
//! |---|---|---|---|
//! | [`Tier::Scalar`] | nothing | 8 octets a step | 16 ASCII octets a step, else one character a step |
//! | [`Tier::Sse2`] | x86-64 | 16 octets | 64 ASCII octets a step, else as scalar |
//! | [`Tier::Sse41`] | SSSE3, SSE4.1 | 16 octets | table look-ups, 16 octets |
//! | [`Tier::Avx2`] | AVX2 | 32 octets | table look-ups, 32 octets |
//! | [`Tier::Avx512`] | AVX-512 F, BW, VL, VBMI; BMI2 | 64 octets | table look-ups, 64 octets |
//! | [`Tier::Neon`] | AArch64, little endian | 16 octets | table look-ups, 16 octets |
//!
//! With the feature `std` the CPU is asked at run time, and the environment
//! variable `WIREBAHN_NVX` (`scalar`, `sse2`, `sse41`, `avx2`, `avx512`,
//! `neon`) overrides the answer; [`requested`] says whether it could be
//! honoured. Without `std` the features the crate was compiled for decide.
//! Inputs shorter than 128 octets are handled in line by the baseline of the
//! architecture where that is faster than a call, whatever the tier; to run one
//! tier and nothing else, ask [`Kernels::of`] for it.
//!
//! # Features
//!
//! - `std` (default): run-time detection and the override. Implies `alloc`.
//! - `alloc`: [`mask_extend`], [`mask_validate_extend`] and [`Buffer`].

#![cfg_attr(not(any(feature = "std", test)), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
#[allow(unsafe_code)] // instructions of a tier
mod aarch64;
#[allow(unsafe_code)] // calls kernels by pointer: the CPU must have the tier
mod dispatch;
#[allow(unsafe_code)] // raw pointers, so that source and target may be one
mod fused;
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
#[allow(unsafe_code)] // raw pointers, so that source and target may be one
mod generic;
#[allow(unsafe_code)] // raw pointers, so that source and target may be one
mod mask;
#[allow(unsafe_code)] // raw pointers, so that source and target may be one
mod scalar;
#[allow(unsafe_code)] // turns octets that were just validated into text
mod text;
mod utf8;
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
#[allow(unsafe_code)] // instructions of a tier
mod vector;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // instructions of a tier
mod x86_64;

pub use dispatch::{Kernels, NvxKind, Refused, Tier, requested, tier};
pub use fused::mask_validate;
#[cfg(feature = "alloc")]
pub use fused::mask_validate_extend;
#[cfg(feature = "alloc")]
pub use mask::mask_extend;
pub use mask::{mask, mask_copy};
#[cfg(feature = "alloc")]
pub use text::Buffer;
pub use text::{mask_validate_str, validate_str};
pub use utf8::{InvalidAt, Utf8, validate_whole};
