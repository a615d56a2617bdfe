//! UTF-8 without a look-up: ASCII by registers, all else by the scalar kernel.
//!
//! For tiers that have vectors but cannot shuffle them by index.

use core::slice;

use super::validate::Feed;
use crate::scalar;
use crate::utf8::{State, Verdict};
use crate::vector::Vector;

/// Registers in a group: one test for ASCII each.
const GROUP: usize = 4;
/// Once a group is not ASCII, this many octets go to the scalar kernel at once:
/// every call may have to finish a torn character octet by octet.
const CHUNK: usize = 512;

/// Validates `len` octets of a feed, coming from `state`; `rest` takes what is
/// left behind the last full group (fewer octets than a group, from the index it
/// is given) and makes it plain.
///
/// # Safety
///
/// - The feed was made for `len` octets.
/// - The CPU has the tier of `V`.
#[inline(always)]
pub(crate) unsafe fn validate<V: Vector, F: Feed<V>>(
    feed: F,
    len: usize,
    mut state: State,
    rest: impl FnOnce(usize),
) -> Verdict {
    let mut at = 0;
    // From here on the text was taken, but not yet found good.
    let mut unread = 0;
    // SAFETY: every register is taken within `len`, and slices cover only
    // octets that were taken.
    unsafe {
        while len - at >= GROUP * V::LANES {
            let four = feed.peek_four(at);
            feed.put_four(at, four);
            let [a, b, c, d] = four;
            let ascii = a.or(b).or(c.or(d)).is_ascii();
            let good = ascii && unread == at && state == State::Boundary;
            at += GROUP * V::LANES;
            if good {
                unread = at;
            } else if at - unread >= CHUNK {
                let text = slice::from_raw_parts(feed.plain().add(unread), at - unread);
                state = scalar::validate_slice(text, state).map_err(|index| unread + index)?;
                unread = at;
            }
        }
        rest(at);
        let text = slice::from_raw_parts(feed.plain().add(unread), len - unread);
        scalar::validate_slice(text, state).map_err(|index| unread + index)
    }
}
