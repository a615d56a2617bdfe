//! What a run found, for people and for programs.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::check::Correctness;
use super::crew::Taken;
use super::reel::Content;
use crate::measure::process::{CpuTime, Memory};

/// A share of a processor from which on a thread counts as fully used: the rest are its sleeps
/// between two batches of events, and the rounding of the kernel's clocks.
const BUSY: f64 = 0.95;

/// The driver itself is late when more than one message in a hundred leaves later than this.
const LAG_MAX_US: f64 = 1000.0;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which test.
    pub test: &'static str,
    /// What was asked for.
    pub asked: Asked,
    /// Connections that opened.
    pub opened: u64,
    /// How long that took, in seconds.
    pub opening_s: f64,
    /// The measured window, in seconds.
    pub window_s: f64,
    /// Messages that came back in that window, all of them checked.
    pub messages: u64,
    /// The same per second.
    pub messages_per_s: f64,
    /// From sending (in an open loop: from when it was due) to the last octet of the reply.
    pub latency: Latency,
    /// The server, where its process was named.
    pub server: Option<Server>,
    /// The driver itself.
    pub driver: Driver,
    /// What an open connection costs the server, where its process was named and connecting was
    /// the test.
    pub per_connection: Option<PerConnection>,
    /// What went wrong; a run with any has failed.
    pub faults: u64,
    /// The first of them.
    pub faults_told: Vec<String>,
    #[serde(skip)]
    pub(super) distribution: Option<Histogram<u64>>,
}

/// What a run was asked to do.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Where to.
    pub target: String,
    /// Connections.
    pub connections: usize,
    /// Threads of the driver.
    pub threads: usize,
    /// Payload lengths in octets.
    pub sizes: Vec<usize>,
    /// What they carry.
    pub content: Content,
    /// Messages in flight per connection, in a closed loop.
    pub depth: Option<usize>,
    /// Messages per second, in an open loop.
    pub rate: Option<f64>,
    /// Payload octets a frame; 0: whole messages.
    pub fragment: usize,
    /// How closely replies were looked at.
    pub correctness: Correctness,
    /// Source addresses.
    pub sources: Vec<IpAddr>,
    /// How long to measure.
    pub seconds: f64,
}

/// A distribution of times, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // a number each, named as everyone names them
pub struct Latency {
    pub count: u64,
    pub min_us: f64,
    pub mean_us: f64,
    pub sd_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            min_us: us(histogram.min()),
            mean_us: histogram.mean() / 1e3,
            sd_us: histogram.stdev() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: us(histogram.max()),
        }
    }
}

/// What the server's process used.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Server {
    /// Processor time per message, in microseconds.
    pub cpu_us: f64,
    /// Of it, in the server's own code.
    pub user_us: f64,
    /// Of it, in the kernel.
    pub system_us: f64,
    /// Processors it kept busy: 1.0 is one of them.
    pub share: f64,
    /// At the end of the window.
    pub memory: Memory,
}

impl Server {
    pub(crate) fn of(cpu: CpuTime, memory: Memory, messages: u64, window: Duration) -> Self {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / (messages.max(1) as f64);
        Self {
            cpu_us: each(cpu.total),
            user_us: each(cpu.user),
            system_us: each(cpu.system),
            share: cpu.total.as_secs_f64() / window.as_secs_f64().max(1e-9),
            memory,
        }
    }
}

/// Octets of the server's memory that one connection takes; what the kernel holds for its sockets
/// is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerConnection {
    /// Resident.
    pub resident: f64,
    /// Resident and backed by no file.
    pub anonymous: f64,
}

/// What the driver used, and whether it was in the way.
#[derive(Debug, Clone, Serialize)]
pub struct Driver {
    /// Processor time per message, in microseconds.
    pub cpu_us: f64,
    /// Share of a processor that the busiest thread used.
    pub share: f64,
    /// In an open loop: how late the driver itself sent.
    pub lag: Option<Latency>,
    /// Why the driver may have been what limited the result; none if it was not.
    pub bottleneck: Option<String>,
}

impl Driver {
    pub(crate) fn of(taken: &Taken, lag: Option<Latency>, rate: Option<f64>) -> Self {
        let share = taken.busiest;
        let server = taken
            .server
            .map(|cpu| cpu.total.as_secs_f64() / taken.window.as_secs_f64().max(1e-9));
        let bottleneck = match (rate, server) {
            (Some(_), _) => lag
                .filter(|lag| lag.p99_us > LAG_MAX_US)
                .map(|lag| format!("the driver itself sent late: {:.0} us at p99", lag.p99_us)),
            (None, Some(server)) if share >= BUSY && server < BUSY => Some(format!(
                "the driver's busiest thread used {:.0} % of a processor, the server {:.0} %",
                share * 100.0,
                server * 100.0
            )),
            (None, None) if share >= BUSY => Some(format!(
                "the driver's busiest thread used {:.0} % of a processor; name the server's --pid to see whether that was the limit",
                share * 100.0
            )),
            _ => None,
        };
        Self {
            cpu_us: taken.gained.cpu.as_secs_f64() * 1e6 / (taken.messages.max(1) as f64),
            share,
            lag,
            bottleneck,
        }
    }
}

impl Report {
    /// All opened, everything came back, unchanged.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults == 0 && (self.messages > 0 || (self.test == "connect" && self.opened > 0))
    }

    /// The latencies themselves, in nanoseconds.
    #[must_use]
    pub fn distribution(&self) -> Option<&Histogram<u64>> {
        self.distribution.as_ref()
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has nothing that JSON cannot say")
    }

    /// The names of the columns of [`to_csv`](Self::to_csv).
    pub const CSV_HEADER: &str = "test,target,connections,threads,sizes,content,depth,rate,fragment,seconds,messages,messages_per_s,p50_us,p90_us,p99_us,p999_us,max_us,server_cpu_us,server_user_us,server_system_us,server_share,server_resident,driver_share,faults";

    /// The report as one line of comma-separated values.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let asked = &self.asked;
        let sizes: Vec<_> = asked.sizes.iter().map(ToString::to_string).collect();
        let server = |value: fn(&Server) -> f64| {
            self.server
                .as_ref()
                .map_or(String::new(), |server| format!("{:.4}", value(server)))
        };
        [
            self.test.to_owned(),
            asked.target.clone(),
            asked.connections.to_string(),
            asked.threads.to_string(),
            sizes.join(" "),
            format!("{:?}", asked.content).to_lowercase(),
            asked.depth.map_or(String::new(), |depth| depth.to_string()),
            asked.rate.map_or(String::new(), |rate| rate.to_string()),
            asked.fragment.to_string(),
            format!("{:.3}", self.window_s),
            self.messages.to_string(),
            format!("{:.0}", self.messages_per_s),
            format!("{:.1}", self.latency.p50_us),
            format!("{:.1}", self.latency.p90_us),
            format!("{:.1}", self.latency.p99_us),
            format!("{:.1}", self.latency.p999_us),
            format!("{:.1}", self.latency.max_us),
            server(|s| s.cpu_us),
            server(|s| s.user_us),
            server(|s| s.system_us),
            server(|s| s.share),
            self.server
                .map_or(String::new(), |s| s.memory.resident.to_string()),
            format!("{:.3}", self.driver.share),
            self.faults.to_string(),
        ]
        .join(",")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = &self.asked;
        let sizes: Vec<_> = asked.sizes.iter().map(ToString::to_string).collect();
        let connects = self.test == "connect";
        write!(f, "{}", self.test)?;
        if !connects {
            write!(f, " of {} octets ({:?})", sizes.join(", "), asked.content)?;
        }
        write!(
            f,
            " to {}: {} connections, {} thread{}",
            asked.target,
            asked.connections,
            asked.threads,
            if asked.threads == 1 { "" } else { "s" },
        )?;
        match (asked.depth, asked.rate) {
            (_, Some(rate)) => writeln!(f, ", {rate} messages/s (open loop)")?,
            (Some(depth), None) => writeln!(f, ", {depth} in flight (closed loop)")?,
            (None, None) => writeln!(f)?,
        }
        writeln!(f)?;
        writeln!(
            f,
            "  opened       {:>14}   connections in {:.2} s ({:.0}/s)",
            self.opened,
            self.opening_s,
            self.opened as f64 / self.opening_s.max(1e-9)
        )?;
        if !connects {
            writeln!(
                f,
                "  messages     {:>14}   in {:.2} s",
                self.messages, self.window_s
            )?;
            writeln!(f, "  messages/s   {:>14.0}", self.messages_per_s)?;
        }
        let name = if connects { "opening us" } else { "latency us" };
        let l = &self.latency;
        writeln!(f, "  {name}   {:>14.1}   min", l.min_us)?;
        for (value, name) in [
            (l.mean_us, "mean"),
            (l.sd_us, "SD"),
            (l.p50_us, "p50"),
            (l.p90_us, "p90"),
            (l.p99_us, "p99"),
            (l.p999_us, "p99.9"),
            (l.p9999_us, "p99.99"),
            (l.max_us, "max"),
        ] {
            writeln!(f, "               {value:>14.1}   {name}")?;
        }
        if let Some(server) = &self.server {
            if !connects {
                writeln!(
                    f,
                    "  server       {:>14.3}   us of processor time a message ({:.3} user, {:.3} system), {:.0} % busy",
                    server.cpu_us,
                    server.user_us,
                    server.system_us,
                    server.share * 100.0
                )?;
            }
            writeln!(
                f,
                "  memory       {:>14.1}   MiB resident",
                server.memory.resident as f64 / 1_048_576.0
            )?;
        }
        if let Some(each) = &self.per_connection {
            writeln!(
                f,
                "  a connection {:>14.0}   octets resident, {:.0} of them anonymous",
                each.resident, each.anonymous
            )?;
        }
        writeln!(
            f,
            "  driver       {:>14.3}   us of processor time a message, busiest thread {:.0} % busy",
            self.driver.cpu_us,
            self.driver.share * 100.0
        )?;
        if let Some(lag) = &self.driver.lag {
            writeln!(
                f,
                "  sent late us {:>14.1}   p50, {:.1} p99, {:.1} max",
                lag.p50_us, lag.p99_us, lag.max_us
            )?;
        }
        match &self.driver.bottleneck {
            Some(why) => writeln!(f, "  CAUTION: {why}")?,
            None if connects => {}
            None if self.server.is_some_and(|server| server.share < BUSY)
                && self.driver.share < BUSY
                && asked.rate.is_none() =>
            {
                writeln!(
                    f,
                    "  Neither was busy all the time: both waited for each other, or for a processor."
                )?;
            }
            None => writeln!(f, "  The driver was not the bottleneck.")?,
        }
        if self.faults > 0 {
            writeln!(f, "  FAILED: {} faults", self.faults)?;
            for fault in &self.faults_told {
                writeln!(f, "    {fault}")?;
            }
        } else {
            writeln!(f, "  Every octet that came was checked: no fault.")?;
        }
        Ok(())
    }
}
