//! Lines on their way to stdout or stderr.
//!
//! A reader that has stopped, a full disk or a closed pipe must not hold up the program, so one
//! thread for each stream does the writing, behind a bounded queue. What does not fit is dropped,
//! counted, and told as soon as something fits again. Knows nothing of what the lines say.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Texts that wait for the writer. A log line has some 200 octets, a block of statistics a few
/// thousand, so a stuck reader costs well below a megabyte.
const QUEUE_LEN: usize = 256;

/// The way to one stream; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Job {
    Text(Vec<u8>),
    /// Everything before has been dealt with once this sender is dropped.
    Finish(SyncSender<()>),
}

impl Output {
    pub(crate) fn stdout() -> Self {
        Self::start("stdout", io::stdout())
    }

    pub(crate) fn stderr() -> Self {
        Self::start("stderr", io::stderr())
    }

    fn start(name: &str, stream: impl Write + Send + 'static) -> Self {
        let (queue, jobs) = sync_channel(QUEUE_LEN);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        // Without a thread there is no output: the queue is closed then, and all is dropped.
        let _ = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(stream, &jobs, &counter));
        Self { queue, dropped }
    }

    /// Writes whole lines, soon; never waits.
    pub(crate) fn write(&self, text: impl Into<Vec<u8>>) {
        if self.queue.try_send(Job::Text(text.into())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was written before has left, but not longer than `most`.
    pub(crate) fn finish(&self, most: Duration) {
        let deadline = Instant::now() + most;
        let (done, finished) = sync_channel(1);
        let mut job = Job::Finish(done);
        // A full queue may empty yet; its kind of channel cannot wait with a deadline.
        while let Err(TrySendError::Full(back)) = self.queue.try_send(job) {
            if Instant::now() >= deadline {
                return;
            }
            job = back;
            thread::sleep(ROOM_RETRY);
        }
        // Disconnected is the good news, a timeout means that nobody reads.
        let _ = finished.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// How often a full queue is looked at when the program ends.
const ROOM_RETRY: Duration = Duration::from_millis(1);

/// The writing thread.
fn write_all(mut stream: impl Write, jobs: &Receiver<Job>, dropped: &AtomicU64) {
    let mut closed = false;
    for job in jobs {
        let text = match job {
            Job::Text(text) => text,
            Job::Finish(done) => {
                drop(done);
                continue;
            }
        };
        if closed {
            continue;
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        let outcome = if lost > 0 {
            writeln!(stream, "({lost} writes dropped: nobody took them)")
                .and_then(|()| stream.write_all(&text))
        } else {
            stream.write_all(&text)
        }
        .and_then(|()| stream.flush());
        match outcome {
            Ok(()) => {}
            // The reader is gone and will not come back.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => closed = true,
            // Perhaps the disk has room again later.
            Err(_) => {
                dropped.fetch_add(lost + 1, Ordering::Relaxed);
            }
        }
    }
}

/// One event of the log: the subscriber writes a whole line at once.
impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Self::write(self, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc;

    /// Hands on what was written; waits for permission before each write.
    struct Gate {
        permits: Receiver<io::Result<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            if let Ok(outcome) = self.permits.recv() {
                outcome?;
            }
            self.written.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Permits = mpsc::Sender<io::Result<()>>;

    fn gate() -> (Output, Permits, Arc<Mutex<Vec<u8>>>) {
        let (permit, permits) = mpsc::channel();
        let written = Arc::default();
        let stream = Gate {
            permits,
            written: Arc::clone(&written),
        };
        (Output::start("test", stream), permit, written)
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_no_time() {
        let (output, permit, written) = gate();
        for line in 0..QUEUE_LEN + 10 {
            output.write(format!("{line}\n"));
        }
        output.finish(Duration::from_millis(20)); // finds no room, and returns
        drop(permit); // from now on every write passes
        output.finish(Duration::from_secs(10));
        output.write("after\n");
        output.finish(Duration::from_secs(10));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let notices: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("dropped"))
            .collect();
        assert_eq!(notices.len(), 1, "{text}");
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("dropped"))
            .collect();
        assert!((QUEUE_LEN..QUEUE_LEN + 3).contains(&kept.len()), "{text}");
        for (number, line) in kept.iter().enumerate().take(QUEUE_LEN) {
            assert_eq!(*line, number.to_string(), "what is kept is in order");
        }
        assert!(text.ends_with("after\n"), "{text}");
    }

    #[test]
    fn a_full_disk_is_tried_again_and_a_closed_pipe_is_not() {
        let (output, permit, written) = gate();
        permit.send(Err(ErrorKind::StorageFull.into())).unwrap();
        output.write("lost\n");
        output.finish(Duration::from_secs(10));
        drop(permit); // from now on every write passes
        output.write("kept\n");
        output.finish(Duration::from_secs(10));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "(1 writes dropped: nobody took them)\nkept\n");

        let (output, permit, written) = gate();
        permit.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        drop(permit);
        output.write("lost\n");
        output.write("not even tried\n");
        output.finish(Duration::from_secs(10));
        assert!(written.lock().unwrap().is_empty());
    }
}
