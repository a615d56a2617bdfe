//! Which processors this process may use, and pinning a thread to one.
//!
//! The crate that sets the affinity reports only the calling thread's mask and hides errors, so
//! the list is read once, at the start, and the outcome of pinning is checked.

use core_affinity::CoreId;

/// The processors this process may use, in order of their number. Empty when the system does not
/// say.
pub(crate) fn allowed() -> Vec<usize> {
    let mut ids: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect();
    ids.sort_unstable();
    ids
}

/// Pins the calling thread; says whether it really is. A processor this thread may not use is
/// never asked for: the crate aborts on numbers above its own mask.
pub(crate) fn pin(processor: usize) -> bool {
    allowed().contains(&processor)
        && core_affinity::set_for_current(CoreId { id: processor })
        && allowed() == [processor]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_was_pinned() {
        let allowed = allowed();
        let Some(&processor) = allowed.first() else {
            return;
        };
        let pinned = std::thread::spawn(move || pin(processor)).join().unwrap();
        assert!(pinned);
        assert!(!pin(100_000));
    }
}
