//! Moments for people: `3 min ago` with the exact moment in the title, both from one place.

use jiff::Timestamp;
use maud::{Markup, html};

const MINUTE_SECS: i64 = 60;
const HOUR_SECS: i64 = 60 * MINUTE_SECS;
const DAY_SECS: i64 = 24 * HOUR_SECS;
/// Younger than this is `just now`: the page is not redrawn every second.
const NOW_SECS: i64 = 10;

/// A moment relative to `now`. Announced by no screen reader when it ages.
pub fn relative(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(seconds(at)) title=(absolute(at)) aria-live="off" { (distance(at, now)) } }
}

/// How long something has lasted.
pub fn lasting(since: Timestamp, now: Timestamp) -> Markup {
    let secs = now.as_second().saturating_sub(since.as_second()).max(0);
    html! { time datetime=(seconds(since)) title={ "since " (absolute(since)) } aria-live="off" { "for " (span(secs)) } }
}

/// A moment as a clock shows it.
pub fn clock(at: Timestamp) -> Markup {
    html! { time datetime=(seconds(at)) title=(absolute(at)) { (at.strftime("%H:%M:%S")) } }
}

/// A moment as some clock shows it; the script shows it by the reader's own.
pub fn local(at: Timestamp, shown: &str) -> Markup {
    html! { time datetime=(seconds(at)) title=(absolute(at)) data-local { (shown) } }
}

/// Something ahead: when, and how long until then. The script counts down.
pub fn countdown(at: Timestamp, now: Timestamp) -> Markup {
    let secs = at.as_second().saturating_sub(now.as_second()).max(0);
    html! {
        span.countdown {
            "Opens " (local(at, &at.strftime("%a %-d %b %Y, %H:%M UTC").to_string())) ", "
            time datetime=(seconds(at)) data-countdown aria-live="off" { "in " (span(secs)) }
        }
    }
}

/// A moment in full, in UTC.
pub fn absolute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn distance(at: Timestamp, now: Timestamp) -> String {
    let secs = now.as_second().saturating_sub(at.as_second());
    if secs.saturating_abs() < NOW_SECS {
        "just now".to_owned()
    } else if secs > 0 {
        format!("{} ago", span(secs))
    } else {
        format!("in {}", span(secs.saturating_neg()))
    }
}

fn span(secs: i64) -> String {
    match secs {
        ..MINUTE_SECS => format!("{secs} s"),
        MINUTE_SECS..HOUR_SECS => format!("{} min", secs / MINUTE_SECS),
        HOUR_SECS..DAY_SECS => format!("{} h", secs / HOUR_SECS),
        _ => format!("{} d", secs / DAY_SECS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_read_like_speech_in_both_directions() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |text: &str| distance(text.parse().unwrap(), now);
        assert_eq!(at("2026-11-21T11:59:55Z"), "just now");
        assert_eq!(at("2026-11-21T12:00:05Z"), "just now");
        assert_eq!(at("2026-11-21T11:59:20Z"), "40 s ago");
        assert_eq!(at("2026-11-21T11:57:00Z"), "3 min ago");
        assert_eq!(at("2026-11-21T09:00:00Z"), "3 h ago");
        assert_eq!(at("2026-11-19T09:00:00Z"), "2 d ago");
        assert_eq!(at("2026-11-21T17:30:00Z"), "in 5 h");
        assert!(distance(Timestamp::MIN, now).ends_with(" d ago") && distance(Timestamp::MAX, now).starts_with("in "));
    }
}
