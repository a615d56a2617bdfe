//! The load a server is meant to carry: the numbers every "needed" is
//! computed from. Knows no machine.

use serde::Serialize;

/// What a server is meant to carry.
///
/// Every field has a default that suits a first look; say more and the
/// findings get sharper. Values of any size are accepted: the arithmetic on
/// them saturates.
///
/// ```
/// use wirebahn_tuning::Load;
///
/// let load = Load::new(1_000_000).workers(8).port(443);
/// assert_eq!(load.arrivals_or_default(), 100_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Load {
    /// Connections open at the same time. Default 10,000.
    pub connections: u64,
    /// Worker threads, one a core. Default 0: one for each physical core that
    /// may be used, or fewer where a CPU quota says so.
    pub workers: u32,
    /// The TCP port listened on. Default 9000.
    pub port: u16,
    /// What the server passes to `listen`, for each of its listeners. Default
    /// 4096.
    pub backlog: u32,
    /// New connections a second in the worst second. Default 0: a tenth of
    /// `connections`, at least 100; everyone comes back within ten seconds
    /// after a restart.
    pub arrivals: u64,
    /// Octets that wait in the kernel for an average connection, both
    /// directions together. Default 2048: most connections idle, some with
    /// a burst under way.
    pub queued: u64,
    /// Connections this machine opens to one and the same address and port:
    /// a proxy's to its backend, a load driver's to its server. Default 0.
    pub outgoing: u64,
}

impl Default for Load {
    fn default() -> Load {
        Load::new(10_000)
    }
}

impl Load {
    /// A load of so many connections, everything else by default.
    pub fn new(connections: u64) -> Load {
        Load {
            connections,
            workers: 0,
            port: 9000,
            backlog: 4096,
            arrivals: 0,
            queued: 2048,
            outgoing: 0,
        }
    }

    /// Sets [`Load::workers`].
    #[must_use]
    pub fn workers(self, workers: u32) -> Load {
        Load { workers, ..self }
    }

    /// Sets [`Load::port`].
    #[must_use]
    pub fn port(self, port: u16) -> Load {
        Load { port, ..self }
    }

    /// Sets [`Load::backlog`].
    #[must_use]
    pub fn backlog(self, backlog: u32) -> Load {
        Load { backlog, ..self }
    }

    /// Sets [`Load::arrivals`].
    #[must_use]
    pub fn arrivals(self, arrivals: u64) -> Load {
        Load { arrivals, ..self }
    }

    /// Sets [`Load::queued`].
    #[must_use]
    pub fn queued(self, queued: u64) -> Load {
        Load { queued, ..self }
    }

    /// Sets [`Load::outgoing`].
    #[must_use]
    pub fn outgoing(self, outgoing: u64) -> Load {
        Load { outgoing, ..self }
    }

    /// [`Load::arrivals`], or what stands for it when it is 0.
    pub fn arrivals_or_default(&self) -> u64 {
        match self.arrivals {
            0 => (self.connections / 10).max(100),
            stated => stated,
        }
    }
}
