//! Durations as people write them: `1d2h30m`. A day is 24 hours of elapsed time.

use super::error::Problem;

/// Shortest duration, in minutes.
pub const DURATION_MINUTES_MIN: i64 = 1;
/// Longest duration, in minutes: 31 days.
pub const DURATION_MINUTES_MAX: i64 = 31 * MINUTES_PER_DAY;

const MINUTES_PER_HOUR: i64 = 60;
const MINUTES_PER_DAY: i64 = 24 * MINUTES_PER_HOUR;
/// The units in the order in which they are written, with their minutes.
const UNITS: [(char, i64); 3] = [('d', MINUTES_PER_DAY), ('h', MINUTES_PER_HOUR), ('m', 1)];
/// Most digits of one number.
const DIGITS_MAX: usize = 5;
const HINT: &str = "write days, hours and minutes in this order, e.g. `2h`, `1d2h30m`";

/// Elapsed time in whole minutes, from one minute to 31 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(i64);

impl Minutes {
    /// Reads `1d2h30m`.
    pub(super) fn parse(text: &str) -> Result<Minutes, Problem> {
        let minutes = count(text).ok_or_else(|| Problem::new("duration_form", format!("`{text}` is no duration")).hint(HINT))?;
        match minutes {
            DURATION_MINUTES_MIN..=DURATION_MINUTES_MAX => Ok(Minutes(minutes)),
            0 => Err(Problem::new("duration_zero", format!("`{text}` is no time at all")).hint("the shortest duration is `1m`")),
            _ => Err(Problem::new("duration_long", format!("`{text}` is longer than 31 days")).hint("the longest duration is `31d`")),
        }
    }

    /// In minutes.
    pub fn get(self) -> i64 {
        self.0
    }

    /// In seconds.
    pub fn as_secs(self) -> i64 {
        self.0 * 60
    }
}

impl std::fmt::Display for Minutes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut left = self.0;
        for (unit, minutes) in UNITS {
            if left >= minutes {
                write!(formatter, "{}{unit}", left / minutes)?;
                left %= minutes;
            }
        }
        Ok(())
    }
}

/// The minutes of a text of the right form.
fn count(text: &str) -> Option<i64> {
    let mut units = UNITS.iter();
    let mut digits = String::new();
    let mut minutes = None;
    for letter in text.chars() {
        if letter.is_ascii_digit() && digits.len() < DIGITS_MAX {
            digits.push(letter);
            continue;
        }
        let (_, per_unit) = units.find(|(unit, _)| *unit == letter)?;
        let number: i64 = digits.parse().ok()?;
        minutes = Some(minutes.unwrap_or(0) + number * per_unit);
        digits.clear();
    }
    if digits.is_empty() { minutes } else { None }
}
