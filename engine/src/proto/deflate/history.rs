//! The last octets of plain text of one direction, kept instead of a codec.
//!
//! A codec that takes its context over holds 47 KB to receive and 137 to 380 KB to send, nearly
//! all of it tables that could be made anew; what cannot is the text itself. So a connection keeps
//! the text, at most the window, and a pooled codec is primed with it for each message. Nothing on
//! the wire tells the difference, in either direction.

use std::collections::VecDeque;

/// The last octets of what was sent, or received, compressed.
#[derive(Debug)]
pub(super) struct History {
    octets: VecDeque<u8>,
    window: usize,
}

impl History {
    /// An empty history that owns nothing yet.
    pub(super) fn new(window_bits: u8) -> Self {
        Self {
            octets: VecDeque::new(),
            window: 1 << window_bits,
        }
    }

    /// Adds text; what falls out of the window is forgotten.
    pub(super) fn push(&mut self, text: &[u8]) {
        let text = text
            .len()
            .checked_sub(self.window)
            .and_then(|from| text.get(from..))
            .unwrap_or(text);
        let excess = (self.octets.len() + text.len()).saturating_sub(self.window);
        self.octets.drain(..excess);
        let len = self.octets.len() + text.len();
        if len > self.octets.capacity() {
            // Doubling, but never beyond the window: both are powers of two.
            let capacity = len.next_power_of_two().min(self.window);
            self.octets
                .reserve_exact(capacity.saturating_sub(self.octets.len()));
        }
        self.octets.extend(text);
    }

    /// The text, in order, in two pieces.
    pub(super) fn pieces(&self) -> (&[u8], &[u8]) {
        self.octets.as_slices()
    }

    /// Octets it occupies.
    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_window_and_no_more_than_that() {
        let mut seen = Vec::new();
        let mut history = History::new(9);
        let mut number = 1_u32;
        for _ in 0..2000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = match number >> 28 {
                0 => 513,
                1 => 512,
                2 => 511,
                3 => 2000,
                4 => 0,
                _ => (number >> 20) as usize % 60,
            };
            let text: Vec<u8> = (0..len).map(|n| (n as u32 ^ number >> 8) as u8).collect();
            seen.extend_from_slice(&text);
            history.push(&text);
            let (front, back) = history.pieces();
            let kept = [front, back].concat();
            assert_eq!(kept, seen[seen.len().saturating_sub(512)..]);
            assert!(history.capacity() <= 512, "{}", history.capacity());
        }
    }

    #[test]
    fn it_holds_little_while_there_is_little() {
        let mut history = History::new(15);
        assert_eq!(history.capacity(), 0);
        history.push(&[1; 93]);
        assert_eq!(history.capacity(), 128);
    }
}
