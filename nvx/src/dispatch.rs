//! Which tier runs: asked of the CPU once, and overridable for tests.
//!
//! Knows the names of the tiers and their tables of kernels, and nothing of
//! what a kernel does inside.

use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use crate::aarch64;
use crate::mask::rotated;
use crate::scalar;
use crate::utf8::{InvalidAt, State, Utf8, Verdict};
#[cfg(target_arch = "x86_64")]
use crate::x86_64;

/// Below this many octets the baseline of the architecture runs in line: the
/// indirect call and the set-up of wide vectors would cost more than they save.
pub(crate) const SHORT: usize = 128;

/// A level of vector instructions, from portable to widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// Portable code on words of eight octets; every machine has it.
    Scalar,
    /// SSE2: every x86-64 CPU has it.
    Sse2,
    /// SSSE3 and SSE4.1.
    Sse41,
    /// AVX2.
    Avx2,
    /// AVX-512 F, BW, VL and VBMI, with BMI2: Ice Lake, Zen 4 and later.
    Avx512,
    /// NEON on little-endian AArch64.
    Neon,
}

impl Tier {
    /// Every tier there is, on any machine, from slowest to fastest of its kind.
    pub const ALL: [Self; 6] = [
        Self::Scalar,
        Self::Sse2,
        Self::Sse41,
        Self::Avx2,
        Self::Avx512,
        Self::Neon,
    ];

    /// The tiers this CPU has, from slowest to fastest; never none.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|tier| tier.is_available())
    }

    /// Whether this CPU has the tier.
    #[must_use]
    pub fn is_available(self) -> bool {
        Kernels::of(self).is_some()
    }

    /// The name, as `WIREBAHN_NVX` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Sse2 => "sse2",
            Self::Sse41 => "sse41",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// The tier of that name, in lower case as [`name`](Self::name) gives it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// The tier behind an implementation id of Autobahn's NVX.
    ///
    /// | id | `XorMask` | `Utf8` |
    /// |---|---|---|
    /// | 0 | optimal: [`tier()`] | optimal: [`tier()`] |
    /// | 1 | scalar: `Scalar` | table automaton: `Scalar` |
    /// | 2 | SSE2: `Sse2` | unrolled automaton: `Scalar` |
    /// | 3 | | SSE2: `Sse2` |
    /// | 4 | | SSE4.1: `Sse41` |
    ///
    /// `None` for an id NVX does not know. The tier may be one this CPU does
    /// not have; [`Kernels::of`] tells.
    ///
    /// ```
    /// use wirebahn_nvx::{NvxKind, Tier, tier};
    ///
    /// assert_eq!(Tier::from_nvx_id(NvxKind::Utf8, 4), Some(Tier::Sse41));
    /// assert_eq!(Tier::from_nvx_id(NvxKind::XorMask, 0), Some(tier()));
    /// assert_eq!(Tier::from_nvx_id(NvxKind::XorMask, 3), None);
    /// ```
    #[must_use]
    pub fn from_nvx_id(kind: NvxKind, id: u32) -> Option<Self> {
        match (kind, id) {
            (_, 0) => Some(tier()),
            (_, 1) | (NvxKind::Utf8, 2) => Some(Self::Scalar),
            (NvxKind::XorMask, 2) | (NvxKind::Utf8, 3) => Some(Self::Sse2),
            (NvxKind::Utf8, 4) => Some(Self::Sse41),
            _ => None,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The two families of Autobahn's NVX, each with implementation ids of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NvxKind {
    /// Masking.
    XorMask,
    /// UTF-8 validation.
    Utf8,
}

/// Why `WIREBAHN_NVX` was not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The value names no tier.
    Unknown,
    /// The value names a tier that this CPU, or this build, does not have.
    Unavailable(Tier),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("WIREBAHN_NVX names no tier"),
            Self::Unavailable(tier) => {
                write!(
                    f,
                    "WIREBAHN_NVX asks for {tier}, which is not available here"
                )
            }
        }
    }
}

impl core::error::Error for Refused {}

/// The tier that the functions of this crate use: chosen at the first call and
/// kept for the life of the process.
///
/// It is the one `WIREBAHN_NVX` asks for if that can be honoured, else the
/// fastest this CPU has.
#[must_use]
pub fn tier() -> Tier {
    active().tier
}

/// The tier that the environment variable `WIREBAHN_NVX` asks for, if any.
///
/// Kernels run on the way of every message and have nowhere to complain, so a
/// request that cannot be honoured is passed over there. A program that wants
/// to be sure asks here when it starts. Without the feature `std` the answer is
/// always `Ok(None)`.
///
/// # Errors
///
/// [`Refused`] says why the request is passed over.
pub fn requested() -> Result<Option<Tier>, Refused> {
    #[cfg(feature = "std")]
    match std::env::var_os("WIREBAHN_NVX") {
        None => Ok(None),
        Some(name) if name.is_empty() => Ok(None),
        Some(name) => {
            let tier = name
                .to_str()
                .and_then(Tier::from_name)
                .ok_or(Refused::Unknown)?;
            if tier.is_available() {
                Ok(Some(tier))
            } else {
                Err(Refused::Unavailable(tier))
            }
        }
    }
    #[cfg(not(feature = "std"))]
    Ok(None)
}

/// The kernels of one tier.
///
/// Handed out only where the CPU has the tier, so calling them is safe. Use
/// them to test or to measure a tier; for everything else the functions of this
/// crate choose better, above all for short inputs.
///
/// ```
/// use wirebahn_nvx::{Kernels, Tier};
///
/// for tier in Tier::available() {
///     let kernels = Kernels::of(tier).expect("the tier is available");
///     let mut data = [0; 100];
///     kernels.mask(&mut data, [1, 2, 3, 4]);
///     assert_eq!(data[98..], [3, 4]);
/// }
/// ```
#[derive(Debug)]
pub struct Kernels {
    tier: Tier,
    raw: Raw,
}

/// The entries of one tier.
///
/// Invariant: whoever holds a reference to a `Kernels` runs on a CPU with the
/// instructions these functions need; [`Kernels::of`] and [`choose`] see to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    /// Masks `len` octets. Source readable, target writable for `len` octets;
    /// the same or disjoint.
    pub(crate) mask: unsafe fn(*const u8, *mut u8, usize, [u8; 4]),
    /// Validates `len` readable octets.
    pub(crate) validate: unsafe fn(*const u8, usize, State) -> Verdict,
    /// Both; pointers as for `mask`. All of the target is written if the
    /// verdict is good.
    pub(crate) mask_validate: unsafe fn(*const u8, *mut u8, usize, [u8; 4], State) -> Verdict,
}

static SCALAR: Kernels = Kernels {
    tier: Tier::Scalar,
    raw: Raw {
        mask: scalar::mask,
        validate: scalar::validate,
        mask_validate: scalar::mask_validate,
    },
};

#[cfg(target_arch = "x86_64")]
static SSE2: Kernels = Kernels {
    tier: Tier::Sse2,
    raw: x86_64::sse2::RAW,
};

#[cfg(target_arch = "x86_64")]
static SSE41: Kernels = Kernels {
    tier: Tier::Sse41,
    raw: x86_64::sse41::RAW,
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    tier: Tier::Avx2,
    raw: x86_64::avx2::RAW,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    tier: Tier::Avx512,
    raw: x86_64::avx512::RAW,
};

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
static NEON: Kernels = Kernels {
    tier: Tier::Neon,
    raw: aarch64::neon::RAW,
};

/// Whether this CPU has all of the features: asked at run time where there is
/// somebody to ask, else what the build may take for granted.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let has = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let has = $(cfg!(target_feature = $feature))&&+;
        has
    }};
}
impl Kernels {
    /// The kernels of a tier, if this CPU has it.
    #[must_use]
    pub fn of(tier: Tier) -> Option<&'static Self> {
        match tier {
            Tier::Scalar => Some(&SCALAR),
            #[cfg(target_arch = "x86_64")]
            Tier::Sse2 => Some(&SSE2),
            #[cfg(target_arch = "x86_64")]
            Tier::Sse41 => has!("ssse3", "sse4.1").then_some(&SSE41),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => has!("avx2").then_some(&AVX2),
            #[cfg(target_arch = "x86_64")]
            Tier::Avx512 => {
                has!("avx512f", "avx512bw", "avx512vl", "avx512vbmi", "bmi2").then_some(&AVX512)
            }
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Tier::Neon => Some(&NEON),
            #[allow(unreachable_patterns)] // all tiers of an architecture may be above
            _ => None,
        }
    }

    /// Whose kernels these are.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// As [`mask`](crate::mask).
    pub fn mask(&self, data: &mut [u8], key: [u8; 4]) -> [u8; 4] {
        let target = data.as_mut_ptr();
        // SAFETY: one slice is source and target; the CPU has the tier, by the
        // invariant of `Raw`.
        unsafe { (self.raw.mask)(target, target, data.len(), key) };
        rotated(key, data.len())
    }

    /// As [`mask_copy`](crate::mask_copy).
    ///
    /// # Panics
    ///
    /// If the two differ in length.
    pub fn mask_copy(&self, source: &[u8], target: &mut [u8], key: [u8; 4]) -> [u8; 4] {
        assert_eq!(
            source.len(),
            target.len(),
            "source and target of a masking copy must be of one length"
        );
        // SAFETY: both slices are good for the length, and a `&mut` overlaps
        // with nothing; the CPU has the tier, by the invariant of `Raw`.
        unsafe { (self.raw.mask)(source.as_ptr(), target.as_mut_ptr(), source.len(), key) };
        rotated(key, source.len())
    }

    /// As [`Utf8::validate`], on the given validator.
    ///
    /// # Errors
    ///
    /// [`InvalidAt`] with the index in `bytes` of the first bad octet.
    pub fn validate(&self, bytes: &[u8], utf8: &mut Utf8) -> Result<(), InvalidAt> {
        utf8.settle(self.run_validate(bytes, utf8.state()))
    }

    /// As [`mask_validate`](crate::mask_validate).
    ///
    /// # Errors
    ///
    /// [`InvalidAt`] with the index in `data` of the first bad octet.
    pub fn mask_validate(
        &self,
        data: &mut [u8],
        key: [u8; 4],
        utf8: &mut Utf8,
    ) -> Result<[u8; 4], InvalidAt> {
        let target = data.as_mut_ptr();
        // SAFETY: one slice is source and target; the CPU has the tier, by the
        // invariant of `Raw`.
        let verdict =
            unsafe { (self.raw.mask_validate)(target, target, data.len(), key, utf8.state()) };
        utf8.settle(verdict)?;
        Ok(rotated(key, data.len()))
    }

    /// As [`mask_validate_extend`](crate::mask_validate_extend).
    ///
    /// # Errors
    ///
    /// [`InvalidAt`] with the index in `source` of the first bad octet; the
    /// length of `target` is then what it was.
    #[cfg(feature = "alloc")]
    pub fn mask_validate_extend(
        &self,
        target: &mut Vec<u8>,
        source: &[u8],
        key: [u8; 4],
        utf8: &mut Utf8,
    ) -> Result<[u8; 4], InvalidAt> {
        target.reserve(source.len());
        // SAFETY: `reserve` made room behind what the vector holds, and that
        // room is the vector's alone; the CPU has the tier, by the invariant of
        // `Raw`.
        let verdict = unsafe {
            let end = target.as_mut_ptr().add(target.len());
            (self.raw.mask_validate)(source.as_ptr(), end, source.len(), key, utf8.state())
        };
        utf8.settle(verdict)?;
        // SAFETY: a good verdict means that all of the room was written.
        unsafe { target.set_len(target.len() + source.len()) };
        Ok(rotated(key, source.len()))
    }

    #[inline]
    pub(crate) fn run_validate(&self, bytes: &[u8], state: State) -> Verdict {
        // SAFETY: a slice is readable; the CPU has the tier, by the invariant
        // of `Raw`.
        unsafe { (self.raw.validate)(bytes.as_ptr(), bytes.len(), state) }
    }
}

/// Masks `len` octets by whatever is fastest here.
///
/// # Safety
///
/// - `source` is readable and `target` writable for `len` octets.
/// - The two are the same, or do not overlap.
#[inline]
pub(crate) unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the pointers are as promised; the CPU has the tier, by the
    // invariant of `Raw`.
    unsafe {
        if len < SHORT {
            baseline::mask::<false>(source, target, len, key);
        } else {
            (active().raw.mask)(source, target, len, key);
        }
    };
}

/// Masks `len` octets and validates the outcome by whatever is fastest here.
///
/// # Safety
///
/// As for [`mask`].
#[inline]
pub(crate) unsafe fn mask_validate(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    state: State,
) -> Verdict {
    // SAFETY: the pointers are as promised; the CPU has the tier, by the
    // invariant of `Raw`. The baseline stored nothing if it says no.
    unsafe {
        if len < SHORT
            && state == State::Boundary
            && baseline::mask::<true>(source, target, len, key)
        {
            return Ok(state);
        }
        (active().raw.mask_validate)(source, target, len, key, state)
    }
}

/// Validates a slice by whatever is fastest here.
#[inline]
pub(crate) fn validate(bytes: &[u8], state: State) -> Verdict {
    // SAFETY: the length is looked at first.
    let ascii =
        unsafe { bytes.len() < SHORT && state == State::Boundary && baseline::is_ascii(bytes) };
    if ascii {
        return Ok(state);
    }
    active().run_validate(bytes, state)
}

/// What runs in line for short inputs: 16 lanes that every CPU of the
/// architecture has.
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
mod baseline {
    #[cfg(target_arch = "aarch64")]
    type Lanes = core::arch::aarch64::uint8x16_t;
    #[cfg(target_arch = "x86_64")]
    type Lanes = core::arch::x86_64::__m128i;

    use super::SHORT;
    use crate::generic::mask::{SHORT_MAX, short, short_is_ascii};

    /// Masks; with `TEXT` only if the outcome is ASCII, and says so.
    ///
    /// # Safety
    ///
    /// As for [`mask`](super::mask), and `len` is below [`SHORT`].
    #[inline(always)]
    pub(super) unsafe fn mask<const TEXT: bool>(
        source: *const u8,
        target: *mut u8,
        len: usize,
        key: [u8; 4],
    ) -> bool {
        const { assert!(SHORT <= SHORT_MAX) }
        // SAFETY: the caller's promise is the one asked for, and these lanes are
        // in every CPU of the architecture.
        unsafe { short::<Lanes, TEXT>(source, target, len, key) }
    }

    /// Whether a slice is ASCII.
    ///
    /// # Safety
    ///
    /// - The slice has fewer than [`SHORT`] octets.
    #[inline(always)]
    pub(super) unsafe fn is_ascii(bytes: &[u8]) -> bool {
        debug_assert!(bytes.len() < SHORT);
        // SAFETY: the caller looked at the length, and these lanes are in every
        // CPU of the architecture.
        unsafe { short_is_ascii::<Lanes>(bytes) }
    }
}

/// What runs in line for short inputs where there are no lanes to count on.
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
)))]
mod baseline {
    use crate::scalar;

    /// Masks; with `TEXT` only if the outcome is ASCII, and says so.
    ///
    /// # Safety
    ///
    /// As for [`mask`](super::mask).
    #[inline(always)]
    pub(super) unsafe fn mask<const TEXT: bool>(
        source: *const u8,
        target: *mut u8,
        len: usize,
        key: [u8; 4],
    ) -> bool {
        if TEXT {
            // No way to know without storing: leave it to the kernel.
            return false;
        }
        // SAFETY: the caller's promise is the one asked for.
        unsafe { scalar::mask(source, target, len, key) };
        true
    }

    /// Whether a slice is ASCII.
    ///
    /// # Safety
    ///
    /// None: it asks for nothing here, but does where there are lanes.
    #[inline(always)]
    pub(super) unsafe fn is_ascii(bytes: &[u8]) -> bool {
        bytes.is_ascii()
    }
}

/// What was chosen; null until the first call.
///
/// Only ever a pointer to one of the tables above, which are constants: there
/// is nothing to publish beside the pointer itself, so `Relaxed` will do.
static ACTIVE: AtomicPtr<Kernels> = AtomicPtr::new(core::ptr::null_mut());

#[inline]
pub(crate) fn active() -> &'static Kernels {
    let chosen = ACTIVE.load(Ordering::Relaxed);
    if chosen.is_null() {
        return choose();
    }
    // SAFETY: by the invariant of `ACTIVE`, a static table.
    unsafe { &*chosen }
}

#[cold]
fn choose() -> &'static Kernels {
    let fastest = Tier::available().last();
    let kernels = requested()
        .ok()
        .flatten()
        .or(fastest)
        .and_then(Kernels::of)
        .unwrap_or(&SCALAR);
    ACTIVE.store(core::ptr::from_ref(kernels).cast_mut(), Ordering::Relaxed);
    kernels
}
