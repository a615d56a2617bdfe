//! What can be configured, with its defaults, and the one place that refuses nonsense.
//!
//! A configuration is plain data until [`ServerConfigBuilder::build`] has checked the relations
//! between its parts; what comes out of it is shared by every connection and never changes.

use std::time::Duration;

use crate::error::ConfigError;
use crate::proto::handshake::{OriginPolicy, RequestRules};

/// How much a peer may send and how much may wait to leave. Octets unless the name says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest frame taken, as it travels, compressed or not; a longer one ends in 1009 at its
    /// header. Default 16 MiB, from 125
    /// (control frames are always taken) to 2^63 - 1.
    pub frame_size_max: u64,
    /// The longest message taken, all its frames together; a longer one ends in 1009 at the header
    /// that proves it. A compressed one is measured by its text, to the octet, while it is
    /// inflated. Default 16 MiB.
    pub message_size_max: u64,
    /// The most frames one message may have, empty ones included; one more ends in 1008. Default
    /// 131,072: room for 16 MiB in pieces of 128 octets. Memory does not grow with the count.
    pub fragments_max: u32,
    /// The longest HTTP head taken; a longer one is answered 431. Default 16 KiB.
    pub head_size_max: usize,
    /// Above this much waiting to leave, a connection is not read from, and a broadcast follows its
    /// [`SlowPolicy`]. Default 1 MiB.
    pub outbound_high: usize,
    /// At or below this much waiting, reading goes on and `writable` is told. Default 256 KiB;
    /// below `outbound_high`.
    pub outbound_low: usize,
    /// A message is dropped, and `send` says so, when more than this waits already. Default 64 MiB;
    /// not below `outbound_high`.
    pub outbound_max: usize,
    /// Opening handshakes under way on a worker at once; for one more, the oldest is cut. Default
    /// 10,000: about 5 MiB, and far more than a worker can open within the deadline of one.
    pub opening_max: usize,
    /// Connections a worker holds at once, opening ones included; one more is answered 503.
    /// Default 1,000,000: descriptors run out first, which is survived as well.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_size_max: 16 << 20,
            message_size_max: 16 << 20,
            fragments_max: 1 << 17,
            head_size_max: 16 << 10,
            outbound_high: 1 << 20,
            outbound_low: 256 << 10,
            outbound_max: 64 << 20,
            opening_max: 10_000,
            connections_max: 1_000_000,
        }
    }
}

/// The deadlines of a connection. Every state has one; precision is about 50 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From accepting the transport to the end of the opening handshake. Absolute: octets that
    /// drip in do not move it. Default 10 s.
    pub opening: Duration,
    /// From sending a Close frame to its answer, then the transport is cut. Default 5 s.
    pub closing: Duration,
    /// After a failed connection got its Close frame (or its HTTP error) and our side of the
    /// transport is shut: how long what still comes in is read and thrown away, so that the frame
    /// is not lost to a reset. Default 2 s.
    pub linger: Duration,
    /// Without a message either way for this long, the connection is closed with 1000. Default
    /// none.
    pub idle: Option<Duration>,
    /// A ping is sent when nothing came for this long. Default 20 s; jittered by up to a quarter
    /// so that connections opened together do not ping together.
    pub ping_interval: Option<Duration>,
    /// After a ping, something must come within this. Default 20 s.
    pub pong: Duration,
    /// While something waits to leave, the peer must take some of it within this. Default 60 s.
    pub write_stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(10),
            closing: Duration::from_secs(5),
            linger: Duration::from_secs(2),
            idle: None,
            ping_interval: Some(Duration::from_secs(20)),
            pong: Duration::from_secs(20),
            write_stall: Duration::from_secs(60),
        }
    }
}

/// What happens to a subscriber of a broadcast that has more than
/// [`Limits::outbound_high`] waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// It is closed with 1013, so that no subscriber ever misses a message without knowing.
    #[default]
    Close,
    /// It misses the message; the drop is counted.
    Skip,
}

/// How messages are compressed (permessage-deflate, RFC 7692), and what memory that may take.
///
/// Begin with one of the presets and change what differs:
///
/// ```
/// use wirebahn::{Compression, ServerConfig};
///
/// let mut compression = Compression::history();
/// compression.level = 1;
/// let config = ServerConfig::builder().compression(compression).build()?;
/// # assert_eq!(config.compression().level, 1);
/// # Ok::<(), wirebahn::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Whether, and with what kept from message to message.
    pub mode: CompressionMode,
    /// How hard is tried, from 1 (fast) to 9 (small). Default 5: on messages of a kilobyte about
    /// as small as zlib's usual 6, in two thirds of its time.
    pub level: u8,
    /// The memory of a compressor, from 1 to 9, each step twice the buffers. Default 8; lower ones
    /// save memory in [`CompressionMode::Dedicated`] only, and little there: see
    /// [`CompressionMode`].
    pub mem_level: u8,
    /// The largest window compressed with, as a power of two from 9 to 15. A client may ask for
    /// less. Default 15; [`Compression::history`] 12.
    pub send_window_bits: u8,
    /// The largest window whose text is kept to receive with context takeover, as a power of two
    /// from 9 to 15. A client that cannot limit its window to it is asked to do without context.
    /// Default 15; [`Compression::history`] 12.
    pub receive_window_bits: u8,
    /// Shorter messages are sent as they are: octets, at least 1. Default 256 where nothing is kept
    /// from message to message, since a short message alone hardly shrinks; 32 where something is.
    pub threshold: usize,
    /// What contexts may come to occupy in one worker, in octets, counted when a connection opens
    /// by the most it can hold. When it is spent, new connections are answered without context
    /// takeover, and work as with [`CompressionMode::Shared`]. Default 64 MiB: about 8,000
    /// connections with [`Compression::history`], about 150 with [`Compression::dedicated`].
    pub budget: usize,
}

/// What a connection keeps from message to message.
///
/// Keeping nothing is cheapest and compresses messages of a kilobyte and more well. Short messages
/// that resemble one another become far smaller with what came before in mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CompressionMode {
    /// Nothing is compressed.
    #[default]
    Off,
    /// Nothing is kept: no context takeover either way. All connections of a worker share its
    /// codecs.
    Shared,
    /// The last octets of text, at most the window each way; the worker's codecs are primed with
    /// them. A connection holds at most both windows.
    History,
    /// A decompressor of 47 KB and a compressor of 137 to 380 KB (windows of 9 to 15 bits), as
    /// other servers keep them, made by the first message that needs them. The fastest for few
    /// connections with many short messages; with many, contexts do not stay in the caches, and
    /// [`History`](Self::History) is faster.
    Dedicated,
}

impl Compression {
    /// Nothing is compressed. The default of the library, as it is of most peers: compressing costs
    /// more processor time than all else a message needs, and octets that an attacker chooses,
    /// compressed together with secrets, betray them by their length (RFC 7692 section 8). Both
    /// are for the program to weigh.
    #[must_use]
    pub fn off() -> Self {
        Self {
            mode: CompressionMode::Off,
            level: 5,
            mem_level: 8,
            send_window_bits: 15,
            receive_window_bits: 15,
            threshold: 256,
            budget: 64 << 20,
        }
    }

    /// [`CompressionMode::Shared`].
    #[must_use]
    pub fn shared() -> Self {
        Self {
            mode: CompressionMode::Shared,
            ..Self::off()
        }
    }

    /// [`CompressionMode::History`] with windows of 4 KiB: a longer history costs more to prime a
    /// compressor with than it saves.
    #[must_use]
    pub fn history() -> Self {
        Self {
            mode: CompressionMode::History,
            send_window_bits: 12,
            receive_window_bits: 12,
            threshold: 32,
            ..Self::off()
        }
    }

    /// [`CompressionMode::Dedicated`] with full windows.
    #[must_use]
    pub fn dedicated() -> Self {
        Self {
            mode: CompressionMode::Dedicated,
            threshold: 32,
            ..Self::off()
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::off()
    }
}

/// Options of the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Connections the kernel queues per listening socket before they are accepted; it cuts the
    /// figure to `net.core.somaxconn`. Default 4096, from 1.
    pub backlog: u32,
    /// Sends small segments at once (`TCP_NODELAY`). Default true: replies of a turn leave in one
    /// write anyway.
    pub nodelay: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            nodelay: true,
        }
    }
}

/// How workers are placed on processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Placement {
    /// Worker `i` runs on the `i`-th processor this process may use, and nowhere else.
    #[default]
    Pinned,
    /// The kernel decides.
    Free,
}

/// Which driver moves the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DriverChoice {
    /// epoll: io_uring measured a little better for small messages, worse for larger ones (see
    /// `bench/README.md`).
    #[default]
    Auto,
    /// Readiness events by epoll.
    Epoll,
    /// Completions by io_uring. Where the kernel has none, or forbids it, epoll takes its place;
    /// [`Worker::refused`](crate::Worker::refused) tells.
    Uring,
}

/// Everything a server is told; made by [`ServerConfig::builder`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerConfig {
    pub(crate) protocol: ProtocolConfig,
    pub(crate) sockets: SocketOptions,
    pub(crate) placement: Placement,
    pub(crate) driver: DriverChoice,
    pub(crate) workers: usize,
}

/// The part of a configuration the protocol core works by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolConfig {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) slow: SlowPolicy,
    pub(crate) compression: Compression,
    pub(crate) request: RequestRules,
    pub(crate) fail_by_drop: bool,
    pub(crate) echo_close: bool,
    pub(crate) server_name: Option<String>,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            slow: SlowPolicy::default(),
            compression: Compression::default(),
            request: RequestRules::default(),
            fail_by_drop: false,
            echo_close: true,
            server_name: Some("Wirebahn".to_owned()),
        }
    }
}

impl ServerConfig {
    /// Begins with the defaults.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirebahn::{Limits, ServerConfig};
    ///
    /// let config = ServerConfig::builder()
    ///     .workers(2)
    ///     .limits(|limits| limits.message_size_max = 64 << 10)
    ///     .timeouts(|timeouts| timeouts.opening = Duration::from_secs(3))
    ///     .build()?;
    /// # assert_eq!(config.limits().message_size_max, 64 << 10);
    ///
    /// let nonsense = ServerConfig::builder().limits(|limits| limits.outbound_low = 2 << 20).build();
    /// assert_eq!(nonsense.unwrap_err().setting, "limits.outbound_low");
    /// # Ok::<(), wirebahn::ConfigError>(())
    /// ```
    #[must_use]
    pub fn builder() -> ServerConfigBuilder {
        ServerConfigBuilder {
            config: Self::default(),
        }
    }

    /// The part that the protocol core works by, for programs that bring their own transport.
    #[must_use]
    pub fn protocol(&self) -> &ProtocolConfig {
        &self.protocol
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.protocol.limits
    }

    /// The deadlines in force.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.protocol.timeouts
    }

    /// The compression in force.
    #[must_use]
    pub fn compression(&self) -> &Compression {
        &self.protocol.compression
    }
}

/// Builds a [`ServerConfig`]; every setting has a default.
#[derive(Debug, Clone)]
pub struct ServerConfigBuilder {
    config: ServerConfig,
}

impl ServerConfigBuilder {
    /// How many workers run, one thread and one listening socket each. 0, the default: one for
    /// each processor this process may use. At most 1024.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// Changes limits; see [`Limits`] for the defaults.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.config.protocol.limits);
        self
    }

    /// Changes deadlines; see [`Timeouts`] for the defaults.
    #[must_use]
    pub fn timeouts(mut self, change: impl FnOnce(&mut Timeouts)) -> Self {
        change(&mut self.config.protocol.timeouts);
        self
    }

    /// Changes options of the sockets; see [`SocketOptions`] for the defaults.
    #[must_use]
    pub fn sockets(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.config.sockets);
        self
    }

    /// Where workers run. Default [`Placement::Pinned`].
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.config.placement = placement;
        self
    }

    /// Which driver moves the octets. Default [`DriverChoice::Auto`].
    #[must_use]
    pub fn driver(mut self, driver: DriverChoice) -> Self {
        self.config.driver = driver;
        self
    }

    /// What happens to a subscriber that does not keep up. Default [`SlowPolicy::Close`].
    #[must_use]
    pub fn slow_policy(mut self, policy: SlowPolicy) -> Self {
        self.config.protocol.slow = policy;
        self
    }

    /// How messages are compressed. Default [`Compression::off`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.protocol.compression = compression;
        self
    }

    /// Which Origins may connect; others are answered 403. Default [`OriginPolicy::SameOrigin`]:
    /// a page may connect to the host it came from, and a request without an Origin, which no
    /// browser sends, passes. It is the guard against cross-site WebSocket hijacking.
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.config.protocol.request.origins.policy = policy;
        self
    }

    /// Whether the Origin `null`, sent by files and sandboxed pages, may connect. Default false.
    #[must_use]
    pub fn allow_null_origin(mut self, allow: bool) -> Self {
        self.config.protocol.request.origins.allow_null = allow;
        self
    }

    /// Changes what is asked of opening handshakes beyond the protocol's own rules: the versions
    /// spoken, the hosts answered for, the public port; see [`RequestRules`].
    #[must_use]
    pub fn request_rules(mut self, change: impl FnOnce(&mut RequestRules)) -> Self {
        change(&mut self.config.protocol.request);
        self
    }

    /// What a violation by the peer leads to: false, the default, a Close frame with its code and
    /// an orderly end; true, the transport is cut without one, as Autobahn's `failByDrop` does.
    #[must_use]
    pub fn fail_by_drop(mut self, drop: bool) -> Self {
        self.config.protocol.fail_by_drop = drop;
        self
    }

    /// Whether a Close frame is answered with the peer's own code and reason (RFC 6455 section
    /// 5.5.1: "typically echos the status code it received"). Default true; false answers 1000
    /// without a reason, as Autobahn's `echoCloseCodeReason` does when it is off.
    #[must_use]
    pub fn echo_close_code_reason(mut self, echo: bool) -> Self {
        self.config.protocol.echo_close = echo;
        self
    }

    /// The `Server` header of every response; `None` sends none. Default `Wirebahn`.
    #[must_use]
    pub fn server_name(mut self, name: Option<&str>) -> Self {
        self.config.protocol.server_name = name.map(str::to_owned);
        self
    }

    /// Checks every value and every relation between values.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that is wrong and says what would be right.
    pub fn build(self) -> Result<ServerConfig, ConfigError> {
        check(&self.config)?;
        Ok(self.config)
    }
}

/// More threads than any machine has processors for; a larger count is a slip.
const WORKERS_MAX: usize = 1024;

/// Lengths above this cannot be expressed in a frame (RFC 6455 section 5.2).
const LEN_MAX: u64 = (1 << 63) - 1;

fn check(config: &ServerConfig) -> Result<(), ConfigError> {
    let limits = &config.protocol.limits;
    let timeouts = &config.protocol.timeouts;
    let require = |holds: bool, setting: &'static str, problem: &str| {
        if holds {
            Ok(())
        } else {
            Err(ConfigError::new(setting, problem))
        }
    };
    require(config.workers <= WORKERS_MAX, "workers", "at most 1024")?;
    require(
        (125..=LEN_MAX).contains(&limits.frame_size_max),
        "limits.frame_size_max",
        "from 125 (control frames) to 2^63 - 1",
    )?;
    require(
        (1..=LEN_MAX).contains(&limits.message_size_max),
        "limits.message_size_max",
        "from 1 to 2^63 - 1",
    )?;
    require(
        limits.fragments_max >= 1,
        "limits.fragments_max",
        "at least 1",
    )?;
    require(
        (256..=1 << 20).contains(&limits.head_size_max),
        "limits.head_size_max",
        "from 256 octets, the shortest useful head, to 1 MiB",
    )?;
    require(
        limits.outbound_high >= 1,
        "limits.outbound_high",
        "at least 1",
    )?;
    require(
        limits.outbound_low < limits.outbound_high,
        "limits.outbound_low",
        "must be below limits.outbound_high",
    )?;
    require(
        limits.outbound_max >= limits.outbound_high,
        "limits.outbound_max",
        "must not be below limits.outbound_high",
    )?;
    require(
        limits.connections_max >= 1,
        "limits.connections_max",
        "at least 1",
    )?;
    let compression = &config.protocol.compression;
    for (setting, value, least, most, problem) in [
        ("compression.level", compression.level, 1, 9, "from 1 to 9"),
        (
            "compression.mem_level",
            compression.mem_level,
            1,
            9,
            "from 1 to 9",
        ),
        (
            "compression.send_window_bits",
            compression.send_window_bits,
            9,
            15,
            "from 9 to 15",
        ),
        (
            "compression.receive_window_bits",
            compression.receive_window_bits,
            9,
            15,
            "from 9 to 15",
        ),
    ] {
        require((least..=most).contains(&value), setting, problem)?;
    }
    require(
        compression.threshold >= 1,
        "compression.threshold",
        "at least 1: there is nothing to compress in an empty message",
    )?;
    for (setting, duration) in [
        ("timeouts.opening", Some(timeouts.opening)),
        ("timeouts.closing", Some(timeouts.closing)),
        ("timeouts.linger", Some(timeouts.linger)),
        ("timeouts.idle", timeouts.idle),
        ("timeouts.ping_interval", timeouts.ping_interval),
        ("timeouts.pong", Some(timeouts.pong)),
        ("timeouts.write_stall", Some(timeouts.write_stall)),
    ] {
        require(
            duration.is_none_or(|d| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&d)),
            setting,
            "from 50 ms, the precision of the timer, to 30 days",
        )?;
    }
    require(
        config
            .protocol
            .server_name
            .as_deref()
            .is_none_or(is_field_value),
        "server_name",
        "printable ASCII without line breaks",
    )?;
    require(
        (1..=i32::MAX as u32).contains(&config.sockets.backlog),
        "sockets.backlog",
        "from 1 to 2^31 - 1",
    )?;
    Ok(())
}

const TIMEOUT_MIN: Duration = Duration::from_millis(50);
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

fn is_field_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (0x20..0x7F).contains(&b)) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(ServerConfigBuilder) -> ServerConfigBuilder) -> &'static str {
        change(ServerConfig::builder())
            .build()
            .expect_err("nonsense was taken")
            .setting
    }

    #[test]
    fn the_defaults_are_sound_and_nonsense_is_refused_by_name() {
        assert!(ServerConfig::builder().build().is_ok());
        assert_eq!(refused(|b| b.workers(1025)), "workers");
        assert_eq!(
            refused(|b| b.limits(|l| l.frame_size_max = 124)),
            "limits.frame_size_max"
        );
        assert_eq!(
            refused(|b| b.limits(|l| l.message_size_max = 1 << 63)),
            "limits.message_size_max"
        );
        assert_eq!(
            refused(|b| b.limits(|l| l.fragments_max = 0)),
            "limits.fragments_max"
        );
        assert_eq!(
            refused(|b| b.limits(|l| l.outbound_low = l.outbound_high)),
            "limits.outbound_low"
        );
        assert_eq!(
            refused(|b| b.limits(|l| l.outbound_max = 1)),
            "limits.outbound_max"
        );
        assert_eq!(
            refused(|b| b.timeouts(|t| t.idle = Some(Duration::ZERO))),
            "timeouts.idle"
        );
        assert_eq!(refused(|b| b.server_name(Some("a\r\nb"))), "server_name");
        let changed = |change: fn(&mut Compression)| {
            refused(|b| {
                let mut compression = Compression::shared();
                change(&mut compression);
                b.compression(compression)
            })
        };
        assert_eq!(changed(|c| c.level = 0), "compression.level");
        assert_eq!(changed(|c| c.mem_level = 10), "compression.mem_level");
        assert_eq!(
            changed(|c| c.send_window_bits = 8),
            "compression.send_window_bits"
        );
        assert_eq!(
            changed(|c| c.receive_window_bits = 16),
            "compression.receive_window_bits"
        );
        assert_eq!(changed(|c| c.threshold = 0), "compression.threshold");
        assert_eq!(refused(|b| b.sockets(|s| s.backlog = 0)), "sockets.backlog");
    }
}
