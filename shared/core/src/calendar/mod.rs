//! Windows and freezes: when a release may start. One evaluation function for every program; time is an argument.
//!
//! [`RawCalendar`] is what people wrote, [`Calendar`] cannot be wrong, [`Calendar::new`] goes between and collects every mistake.
//! [`Calendar::decide`] answers for an instant. Zones come from [`Zones`], which the program's edge chooses once.

mod check;
mod cron;
mod decision;
mod duration;
mod error;
mod evaluate;
mod explain;
mod feed;
mod lint;
mod minutes;
mod model;
mod periods;
mod raw;
mod view;
mod zone;

pub use check::{FREEZES_MAX, NAME_CHARS_MAX, REASON_CHARS_MAX, RECURRING_MAX, WINDOWS_MAX};
pub use decision::{Blocked, Decision, Rule, RuleKind, State};
pub use duration::{DURATION_MINUTES_MAX, DURATION_MINUTES_MIN, Minutes};
pub use error::{CalendarError, Item};
pub use evaluate::{HORIZON_DAYS, MERGE_DAYS};
pub use explain::{ClockChange, Explanation, Occurrence, Shift};
pub use feed::{FEED_DAYS, FEED_EVENTS_MAX, FeedInputs};
pub use lint::{LINT_DAYS, Lint, LintInputs, OPEN_MINUTES_PER_MONTH_MIN};
pub use model::{AddedFreeze, Calendar, Freeze, Gated, Window, Windows};
pub use raw::{RawCalendar, RawFreeze, RawWindow, RawWindows};
pub use view::{FrozenStretch, Opening};
pub use zone::{SystemZones, TzdataVersion, ZoneOrigin, ZoneSource, Zones, bundled_tzdata_version};
