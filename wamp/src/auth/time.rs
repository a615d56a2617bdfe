//! The time, as it is told: milliseconds since 1970, written as ISO 8601 where a challenge wants
//! it. No clock is read here.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, to the millisecond, UTC.
///
/// ```
/// use wirebahn_wamp::auth::Timestamp;
///
/// assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_ms: u64,
}

impl Timestamp {
    /// The last moment with a year of four digits.
    const UNIX_MS_MAX: u64 = 253_402_300_799_999;

    /// So many milliseconds after the beginning of 1970; at most the end of 9999.
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self {
            unix_ms: if unix_ms < Self::UNIX_MS_MAX {
                unix_ms
            } else {
                Self::UNIX_MS_MAX
            },
        }
    }

    /// Milliseconds after the beginning of 1970.
    pub const fn unix_ms(self) -> u64 {
        self.unix_ms
    }

    /// How many milliseconds have gone since an earlier moment; none since a later one.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.unix_ms.saturating_sub(earlier.unix_ms)
    }

    /// So many milliseconds later.
    #[must_use]
    pub const fn later_ms(self, ms: u64) -> Self {
        Self::from_unix_ms(self.unix_ms.saturating_add(ms))
    }
}

impl From<SystemTime> for Timestamp {
    /// Times before 1970 count as its beginning.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY_MS: u64 = 86_400_000;
        let (day, ms) = (self.unix_ms / DAY_MS, self.unix_ms % DAY_MS);
        // Days are counted from the first of March, so that the odd one comes last in its year:
        // eras of 400 years, then years, then months of 31, 30, 31, 30, 31 days and again.
        let shifted = day + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, milli) = (ms / 1000 % 60, ms % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970_u64, 1_u64, 1_u64);
        for number in 0..200_000_u64 {
            let text = Timestamp::from_unix_ms(number * 86_400_000).to_string();
            assert_eq!(text, format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z"));
            let days = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > days {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn the_end_of_time_is_four_digits() {
        assert_eq!(
            Timestamp::from_unix_ms(u64::MAX).to_string(),
            "9999-12-31T23:59:59.999Z"
        );
    }
}
