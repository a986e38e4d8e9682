//! From the raw calendar to the checked one: one function between the two layers, and it collects every mistake.

use super::cron::{CronExpression, DayMatch};
use super::duration::Minutes;
use super::error::{CalendarError, Item, Problem};
use super::model::{Calendar, Freeze, Gated, Once, Recurring, When, Window, Windows};
use super::raw::{RawCalendar, RawFreeze, RawWindow, RawWindows};
use super::zone::{Civil, Zone, Zones};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use std::collections::BTreeSet;

/// Most windows in a calendar.
pub const WINDOWS_MAX: usize = 24;
/// Most windows and recurring freezes of an environment together: what a decision costs grows with them.
pub const RECURRING_MAX: usize = 24;
/// Most freezes in a calendar.
pub const FREEZES_MAX: usize = 128;
/// Longest name of a window or freeze, in characters.
pub const NAME_CHARS_MAX: usize = 80;
/// Longest reason of a freeze, in characters.
pub const REASON_CHARS_MAX: usize = 500;

impl Calendar {
    /// Checks what people wrote. Every mistake is in the error, in the order of the items.
    pub fn new(raw: &RawCalendar, zones: &Zones) -> Result<Calendar, Vec<CalendarError>> {
        let mut check = Check { zones, errors: Vec::new() };
        let windows = check.windows(&raw.windows);
        let freezes = check.freezes(&raw.freezes);
        check.recurring_count(raw);
        let cutoff = check.cutoff(raw.cutoff.as_deref());
        if check.errors.is_empty() {
            Ok(Calendar { windows, freezes, cutoff, zones: Some(zones.source().clone()) })
        } else {
            Err(check.errors)
        }
    }
}

/// What has been found so far.
struct Check<'a> {
    zones: &'a Zones,
    errors: Vec<CalendarError>,
}

/// The fields that windows and recurring freezes share.
struct RawRecurring<'a> {
    cron: Option<&'a str>,
    duration: Option<&'a str>,
    tz: Option<&'a str>,
    day_match: Option<&'a str>,
}

impl Check<'_> {
    fn windows(&mut self, raw: &RawWindows) -> Windows {
        match raw {
            RawWindows::Absent => Windows::None,
            RawWindows::Word(word) if word == "always" => Windows::Always,
            RawWindows::Word(word) => {
                let problem = Problem::new("windows_form", format!("`{word}` is neither `always` nor a list of windows"))
                    .hint("write `windows: always`, or a list with `cron`, `duration` and `tz`");
                self.errors.push(problem.at(Item::AllWindows, ""));
                Windows::None
            }
            RawWindows::List(list) if list.is_empty() => Windows::None,
            RawWindows::List(list) => {
                self.count(Item::AllWindows, list.len(), WINDOWS_MAX);
                Windows::Listed(list.iter().take(WINDOWS_MAX).enumerate().filter_map(|(index, raw)| self.window(index, raw)).collect())
            }
        }
    }

    fn freezes(&mut self, raw: &[RawFreeze]) -> Vec<Freeze> {
        self.count(Item::AllFreezes, raw.len(), FREEZES_MAX);
        raw.iter().take(FREEZES_MAX).enumerate().filter_map(|(index, raw)| self.freeze(index, raw)).collect()
    }

    /// Too many windows alone are told as such.
    fn recurring_count(&mut self, raw: &RawCalendar) {
        let windows = match &raw.windows {
            RawWindows::List(list) => list.len(),
            RawWindows::Absent | RawWindows::Word(_) => 0,
        };
        let freezes = raw.freezes.iter().filter(|freeze| freeze.cron.is_some()).count();
        if windows <= WINDOWS_MAX && windows + freezes > RECURRING_MAX {
            let found = format!("{windows} windows and {freezes} recurring freezes, at most {RECURRING_MAX} are allowed together");
            let problem =
                Problem::new("too_many", found).hint("unite windows and freezes that belong together; one-off freezes do not count");
            self.errors.push(problem.at(Item::AllFreezes, ""));
        }
    }

    fn count(&mut self, item: Item, found: usize, allowed: usize) {
        if found > allowed {
            let problem = Problem::new("too_many", format!("{found} {item}, at most {allowed} are allowed"))
                .hint("unite windows that belong together, remove freezes that are over");
            self.errors.push(problem.at(item, ""));
        }
    }

    fn cutoff(&mut self, raw: Option<&str>) -> Option<Minutes> {
        self.note(Item::Cutoff, "", Minutes::parse(raw?))
    }

    fn window(&mut self, index: usize, raw: &RawWindow) -> Option<Window> {
        let item = Item::Window(index);
        let named = self.text(item, "name", (raw.name.as_deref(), NAME_CHARS_MAX));
        let (cron, duration) = (raw.cron.as_deref(), raw.duration.as_deref());
        let recurring = self.recurring(item, &RawRecurring { cron, duration, tz: raw.tz.as_deref(), day_match: raw.day_match.as_deref() });
        Some(Window { name: named?, recurring: recurring?, place: raw.place.clone() })
    }

    fn freeze(&mut self, index: usize, raw: &RawFreeze) -> Option<Freeze> {
        let item = Item::Freeze(index);
        let named = self.text(item, "name", (raw.name.as_deref(), NAME_CHARS_MAX));
        let reason = self.text(item, "reason", (raw.reason.as_deref(), REASON_CHARS_MAX));
        let blocks = self.blocks(item, raw.blocks.as_deref());
        let when = self.when(item, raw);
        Some(Freeze { name: named?, reason: reason?, when: when?, blocks: blocks?, place: raw.place.clone(), asked_at: None })
    }

    fn when(&mut self, item: Item, raw: &RawFreeze) -> Option<When> {
        let once = raw.from.is_some() || raw.until.is_some();
        let recurring = raw.cron.is_some() || raw.duration.is_some() || raw.day_match.is_some();
        match (once, recurring) {
            (true, false) => self.once(item, raw).map(When::Once),
            (false, true) => {
                let (cron, duration) = (raw.cron.as_deref(), raw.duration.as_deref());
                let raw = RawRecurring { cron, duration, tz: raw.tz.as_deref(), day_match: raw.day_match.as_deref() };
                self.recurring(item, &raw).map(|recurring| When::Recurring(Box::new(recurring)))
            }
            (true, true) => self.wrong(item, "", Problem::new("freeze_form", "the freeze is both one-off and recurring").hint(FREEZE_HINT)),
            (false, false) => self.wrong(item, "", Problem::new("freeze_form", "the freeze does not say when").hint(FREEZE_HINT)),
        }
    }

    fn recurring(&mut self, item: Item, raw: &RawRecurring<'_>) -> Option<Recurring> {
        let day_match = self.day_match(item, raw.day_match);
        let cron = self.given(item, "cron", raw.cron);
        let expression = cron.and_then(|cron| self.note(item, "cron", CronExpression::parse(cron, day_match)));
        let duration = self.given(item, "duration", raw.duration);
        let duration = duration.and_then(|duration| self.note(item, "duration", Minutes::parse(duration)));
        let zone = self.zone(item, raw.tz);
        Some(Recurring { expression: expression?, zone: zone?, duration: duration? })
    }

    /// An unknown value counts as `all`, so that it brings one error and not two.
    fn day_match(&mut self, item: Item, raw: Option<&str>) -> DayMatch {
        match raw {
            None => DayMatch::Unsaid,
            Some("all") => DayMatch::All,
            Some(other) => {
                let problem = Problem::new("day_match", format!("`{other}` is no way to match days"))
                    .hint("`all` is the only one: a day must match both fields; for days that match either write two windows");
                self.errors.push(problem.at(item, "day_match"));
                DayMatch::All
            }
        }
    }

    fn once(&mut self, item: Item, raw: &RawFreeze) -> Option<Once> {
        let from = self.given(item, "from", raw.from.as_deref());
        let until = self.given(item, "until", raw.until.as_deref());
        let from_civil = from.and_then(|text| self.note(item, "from", civil_time(text)));
        let until_civil = until.and_then(|text| self.note(item, "until", civil_time(text)));
        let zone = self.zone(item, raw.tz.as_deref())?;
        let (from_secs, until_secs) = (zone.start(from_civil?), zone.end(until_civil?));
        if from_secs >= until_secs {
            let hint = "`until` is the first moment at which releases may start again";
            return self.wrong(item, "until", Problem::new("freeze_empty", "the freeze ends before it begins").hint(hint));
        }
        Some(Once { from_secs, until_secs, text: format!("{} until {} {}", from?, until?, zone.name()) })
    }

    fn zone(&mut self, item: Item, raw: Option<&str>) -> Option<Zone> {
        let name = self.given(item, "tz", raw)?;
        let zone = self.zones.zone(name);
        self.note(item, "tz", zone)
    }

    fn blocks(&mut self, item: Item, raw: Option<&[String]>) -> Option<BTreeSet<Gated>> {
        let Some(words) = raw else { return Some(BTreeSet::from([Gated::Release])) };
        let mut blocks = BTreeSet::new();
        let errors_before = self.errors.len();
        for word in words {
            match word.as_str() {
                "release" => _ = blocks.insert(Gated::Release),
                "rollback" => _ = blocks.insert(Gated::Rollback),
                other => {
                    let problem = Problem::new("freeze_blocks", format!("a freeze cannot block `{other}`"))
                        .hint("it blocks `release`, or `release` and `rollback`; repair and abort are never blocked");
                    self.errors.push(problem.at(item, "blocks"));
                }
            }
        }
        if self.errors.len() > errors_before {
            return None;
        }
        if !blocks.contains(&Gated::Release) {
            let problem = Problem::new("freeze_blocks", "a freeze always blocks releases").hint("write `blocks: [release, rollback]`");
            return self.wrong(item, "blocks", problem);
        }
        Some(blocks)
    }

    /// An optional text of a person, with its greatest length in characters.
    fn text(&mut self, item: Item, field: &'static str, (raw, chars_max): (Option<&str>, usize)) -> Option<Option<String>> {
        let Some(text) = raw else { return Some(None) };
        if text.trim().is_empty() {
            return self.wrong(item, field, Problem::new("text_empty", format!("the {field} is empty")).hint("leave it out or fill it in"));
        }
        if text.chars().any(char::is_control) {
            return self.wrong(item, field, Problem::new("text_control", format!("the {field} has control characters")));
        }
        if text.chars().count() > chars_max {
            return self.wrong(item, field, Problem::new("text_long", format!("the {field} is longer than {chars_max} characters")));
        }
        Some(Some(text.to_owned()))
    }

    /// A value that must be there.
    fn given<'r>(&mut self, item: Item, field: &'static str, raw: Option<&'r str>) -> Option<&'r str> {
        if raw.is_none() {
            self.errors.push(Problem::new("missing_field", format!("`{field}` is missing")).at(item, ""));
        }
        raw
    }

    fn note<T>(&mut self, item: Item, field: &'static str, found: Result<T, Problem>) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(problem) => self.wrong(item, field, problem),
        }
    }

    fn wrong<T>(&mut self, item: Item, field: &'static str, problem: Problem) -> Option<T> {
        self.errors.push(problem.at(item, field));
        None
    }
}

const FREEZE_HINT: &str = "once: `from`, `until` and `tz`; again and again: `cron`, `duration` and `tz`";

/// A civil time to the minute: `2026-12-20T18:00`, also with a blank in place of the `T`.
fn civil_time(text: &str) -> Result<Civil, Problem> {
    let wrong = || {
        Problem::new("civil_time", format!("`{text}` is no civil time")).hint("write year, month, day and time, e.g. `2026-12-20T18:00`")
    };
    let shape: String = text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    if shape != "0000-00-00T00:00" && shape != "0000-00-00 00:00" {
        return Err(wrong());
    }
    let civil: DateTime = text.replace(' ', "T").parse().map_err(|_| wrong())?;
    let labelled_utc = Offset::UTC.to_timestamp(civil).map_err(|_| wrong())?;
    Ok(Civil(labelled_utc.as_second()))
}
