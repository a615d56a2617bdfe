//! What can go wrong in the simulated world, how likely it is, and how often it did.

use std::fmt;
use std::ops::{Add, AddAssign};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Something that goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every one there is.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];
        }
    };
}

faults! {
    /// A read brings only some of the octets that are there; the rest comes later.
    TornRead,
    /// A write takes fewer octets than there is room for.
    ShortWrite,
    /// A read is interrupted by a signal (EINTR).
    InterruptedRead,
    /// A write is interrupted by a signal (EINTR).
    InterruptedWrite,
    /// A wait is interrupted by a signal (EINTR).
    InterruptedWait,
    /// What a client sends stays on its way for up to half a second.
    StallUp,
    /// A client takes nothing for up to half a second.
    StallDown,
    /// A client says no more, from some octet on (FIN). Befalls a client.
    HalfClose,
    /// A client is gone, from some octet on, sent or received (RST). Befalls a client.
    Reset,
    /// The process is out of descriptors, for up to 200 ms. A client that is answered 503 because
    /// of it was befallen by it.
    OutOfDescriptors,
    /// The system is out of descriptors (ENFILE), for up to 200 ms.
    OutOfFiles,
    /// The system is out of buffers (ENOBUFS), for up to 200 ms.
    OutOfBuffers,
    /// The system is out of memory (ENOMEM), for up to 200 ms.
    OutOfMemory,
    /// A connection is gone before it is accepted (ECONNABORTED). Befalls a client.
    Aborted,
    /// A connection cannot be accepted for a failure of the protocol (EPROTO). Befalls a client.
    ProtocolFailure,
    /// Accepting is interrupted by a signal (EINTR).
    InterruptedAccept,
    /// A connection was accepted, but there is no memory to watch it. Befalls a client.
    Unwatched,
    /// Readiness is told up to 20 ms late.
    LateReadiness,
    /// Readiness is told again, whether it is still so or not.
    SpuriousReadiness,
    /// Connections are held back, to come all at once.
    Burst,
    /// The whole process stands still for hours.
    Freeze,
    /// A shard wakes up to 900 ms late, as on a busy machine, while the others run on.
    LateShard,
    /// The clock stands still for a hundred steps.
    StoppedClock,

    /// Sabotage: an octet that came is lost. No system does this; it shows that checks work.
    LostOctet,
    /// Sabotage: all wake-ups during a turn are lost. It shows that checks work.
    LostWake,
}

/// How likely each [`Fault`] is at every opportunity, in ten-thousandths.
///
/// ```
/// use wirebahn::sim::{Fault, Faults};
///
/// let faults = Faults::default().with(Fault::TornRead, 2_500).with(Fault::Reset, 0);
/// assert_eq!(faults.chance(Fault::TornRead), 2_500);
/// assert_eq!(Faults::none().chance(Fault::TornRead), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults([u16; Fault::ALL.len()]);

impl Faults {
    /// A world where nothing goes wrong.
    #[must_use]
    pub const fn none() -> Self {
        Self([0; Fault::ALL.len()])
    }

    /// The same, but for one fault.
    #[must_use]
    pub const fn with(mut self, fault: Fault, chance: u16) -> Self {
        self.0[fault as usize] = chance;
        self
    }

    /// How likely a fault is, in ten-thousandths.
    #[must_use]
    pub const fn chance(&self, fault: Fault) -> u16 {
        self.0[fault as usize]
    }
}

impl Default for Faults {
    /// A rough but possible world: everything happens now and then, nothing that is sabotage.
    fn default() -> Self {
        Self::none()
            .with(Fault::TornRead, 2_000)
            .with(Fault::ShortWrite, 1_500)
            .with(Fault::InterruptedRead, 100)
            .with(Fault::InterruptedWrite, 100)
            .with(Fault::InterruptedWait, 100)
            .with(Fault::StallUp, 100)
            .with(Fault::StallDown, 100)
            .with(Fault::HalfClose, 700)
            .with(Fault::Reset, 700)
            .with(Fault::OutOfDescriptors, 50)
            .with(Fault::OutOfFiles, 50)
            .with(Fault::OutOfBuffers, 50)
            .with(Fault::OutOfMemory, 50)
            .with(Fault::Aborted, 100)
            .with(Fault::ProtocolFailure, 100)
            .with(Fault::InterruptedAccept, 200)
            .with(Fault::Unwatched, 100)
            .with(Fault::LateReadiness, 300)
            .with(Fault::SpuriousReadiness, 500)
            .with(Fault::Burst, 2_000)
            .with(Fault::Freeze, 5)
            .with(Fault::LateShard, 30)
            .with(Fault::StoppedClock, 10)
    }
}

/// How often each [`Fault`] happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Fault::ALL.len()]);

impl Counts {
    /// How often this one happened.
    #[must_use]
    pub const fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(crate) const fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

impl fmt::Display for Counts {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "{:>10}  {fault:?}", self.of(fault))?;
        }
        Ok(())
    }
}
