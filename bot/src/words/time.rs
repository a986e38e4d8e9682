//! Moments and spans for people.

use jiff::{Timestamp, tz::TimeZone};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn span(secs: i64) -> String {
    match secs.max(0) {
        s if s < MINUTE => format!("{s} s"),
        s if s < HOUR => format!("{} min", s / MINUTE),
        s if s < 2 * DAY => match (s / HOUR, (s % HOUR) / MINUTE) {
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        },
        s => format!("{} days", s / DAY),
    }
}

/// `3 min ago`, `just now`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    const JUST_NOW_SECS: i64 = 10;
    let secs = now.as_second().saturating_sub(at.as_second());
    if secs < JUST_NOW_SECS { "just now".to_owned() } else { format!("{} ago", span(secs)) }
}

/// `in 2 h 5 min`; `now` for what is not ahead.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    let secs = at.as_second().saturating_sub(now.as_second());
    if secs <= 0 { "now".to_owned() } else { format!("in {}", span(secs)) }
}

/// The same sentence without what [`ago`] and [`until`] wrote into it: for what stands longer than a minute, where the
/// moment itself is shown beside it.
pub fn timeless(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut kept: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match fleeting(&words[at..]) {
            0 => {
                kept.push(words[at].to_owned());
                at += 1;
            }
            count => {
                let end: String = words[at + count - 1].chars().filter(|c| matches!(c, '.' | ',' | ':' | ';')).collect();
                if let Some(last) = kept.last_mut().filter(|_| !end.is_empty()) {
                    *last = format!("{}{end}", last.trim_end_matches([',', ':']));
                }
                at += count;
            }
        }
    }
    kept.join(" ").trim_end_matches(',').to_owned()
}

/// How many of these words are a span of [`ago`] or [`until`]; 0: none.
fn fleeting(words: &[&str]) -> usize {
    let bare = |at: usize| words.get(at).map(|word| word.trim_end_matches(['.', ',', ':', ';']));
    let number = |at: usize| bare(at).is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()));
    let span = |at: usize| match (number(at), bare(at + 1)) {
        (true, Some("h")) if number(at + 2) && bare(at + 3) == Some("min") => 4,
        (true, Some("s" | "min" | "h" | "days")) => 2,
        _ => 0,
    };
    match bare(0) {
        Some("in") if span(1) > 0 => 1 + span(1),
        Some("just") if bare(1) == Some("now") => 2,
        _ if span(0) > 0 && bare(span(0)) == Some("ago") => span(0) + 1,
        _ => 0,
    }
}

/// `Sat 21 Nov 2026, 17:00 UTC`.
pub fn when(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a %-d %b %Y, %H:%M UTC").to_string()
}

/// `Sat 2 Jan 2027, 09:00 Europe/Berlin (08:00 UTC, in 41 days)`: in full, so that nobody has to guess which clock is meant.
pub fn full(at: Timestamp, zone: &str, now: Timestamp) -> String {
    if zone == "UTC" {
        return format!("{} ({})", when(at), until(at, now));
    }
    format!("{} {zone} ({}, {})", civil(at, zone), at.strftime("%H:%M UTC"), until(at, now))
}

/// `Sat 2 Jan 2027, 09:00`, as the clock of a zone shows it; a zone that this machine lacks is shown in UTC.
pub fn civil(at: Timestamp, zone: &str) -> String {
    match TimeZone::get(zone) {
        Ok(known) => at.to_zoned(known).strftime("%a %-d %b %Y, %H:%M").to_string(),
        Err(_) => when(at),
    }
}

/// The end of something that began: without the day, if it is the same one.
pub fn civil_end(from: Timestamp, until: Timestamp, zone: &str) -> String {
    let Ok(known) = TimeZone::get(zone) else { return when(until) };
    let (begins, ends) = (from.to_zoned(known.clone()), until.to_zoned(known));
    if begins.date() == ends.date() { ends.strftime("%H:%M").to_string() } else { civil(until, zone) }
}

/// `0.4 s`, `12 s`, `3 min 5 s`.
pub fn took(ms: u64) -> String {
    match ms {
        0..=9_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..=59_999 => format!("{} s", ms / 1000),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn whatever_moves_with_the_clock_can_be_taken_out() {
        for secs in [0, 3, 59, 60, 3_599, 7_200, 7_500, 90_000, 200_000] {
            for text in [ago(at(0), at(secs)), until(at(secs + 1), at(0))] {
                assert_eq!(timeless(&format!("Next opening: Sat, {text}.")), "Next opening: Sat.", "{text}");
                assert_eq!(timeless(&format!("It failed {text}: port 80 in use")), "It failed: port 80 in use", "{text}");
            }
        }
        assert_eq!(timeless("runs 2 of 3 in production, 5 min"), "runs 2 of 3 in production, 5 min");
    }

    #[test]
    fn spans_are_short_and_never_negative() {
        assert_eq!(ago(at(0), at(5)), "just now");
        assert_eq!(ago(at(0), at(125)), "2 min ago");
        assert_eq!(ago(at(50), at(0)), "just now");
        assert_eq!(until(at(2 * HOUR + 300), at(0)), "in 2 h 5 min");
        assert_eq!(until(at(0), at(1)), "now");
        assert_eq!(ago(at(0), at(3 * DAY)), "3 days ago");
        assert_eq!(when(at(1_795_273_200)), "Sat 21 Nov 2026, 15:00 UTC");
        assert_eq!(
            full(at(1_795_273_200), "Europe/Berlin", at(1_795_273_200 - 7200)),
            "Sat 21 Nov 2026, 16:00 Europe/Berlin (15:00 UTC, in 2 h)"
        );
        assert_eq!(full(at(1_795_273_200), "UTC", at(0)).split(" (").next(), Some("Sat 21 Nov 2026, 15:00 UTC"));
        assert_eq!(civil_end(at(1_795_273_200), at(1_795_276_800), "Europe/Berlin"), "17:00");
        assert_eq!(took(412), "0.4 s");
        assert_eq!(took(185_000), "3 min 5 s");
    }
}
