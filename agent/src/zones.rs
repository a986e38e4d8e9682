//! The zone database that decides about windows: the system's or the one inside this program, whichever is newer.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jiff::tz::TimeZoneDatabase;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use tidegate_core::calendar::{SystemZones, TzdataVersion, ZoneOrigin, Zones, bundled_tzdata_version};

/// Where systems keep theirs.
const SYSTEM: &str = "/usr/share/zoneinfo";
/// Most bytes of its first line.
const LINE_MAX_BYTES: u64 = 256;

/// The newer of both.
pub fn newest() -> Zones {
    Zones::newest(system(Path::new(SYSTEM)))
}

/// Which one, for people: `bundled 2026a`.
pub fn in_words(zones: &Zones) -> String {
    let source = zones.source();
    let origin = match source.origin {
        ZoneOrigin::Bundled => "bundled",
        ZoneOrigin::System => "system",
    };
    format!("{origin} {}", source.version)
}

/// Both databases beside each other, for `tidegate doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Which one decides.
    pub origin: ZoneOrigin,
    /// The one inside this program.
    pub bundled: TzdataVersion,
    /// The system's; none: it has none, or does not say how old it is.
    pub system: Option<TzdataVersion>,
}

/// Whole years without news after which countries have certainly changed something.
const YEARS_OLD: i16 = 2;

impl Compared {
    /// What this host has.
    pub fn here() -> Option<Compared> {
        let system = system(Path::new(SYSTEM)).and_then(|system| TzdataVersion::find(&system.version_line));
        let bundled = TzdataVersion::find(bundled_tzdata_version())?;
        Some(Compared { origin: newest().source().origin, bundled, system })
    }

    /// The one that decides.
    pub fn used(&self) -> &TzdataVersion {
        match (self.origin, &self.system) {
            (ZoneOrigin::System, Some(system)) => system,
            _ => &self.bundled,
        }
    }

    /// Is the one that decides so old that windows may open at wrong times?
    pub fn is_old(&self, now: Timestamp) -> bool {
        let year = now.to_zoned(TimeZone::UTC).year();
        i32::from(year) >= i32::from(self.used().year()) + i32::from(YEARS_OLD)
    }

    /// Is the system's older than the one that decides? Then other programs here may tell other times.
    pub fn is_system_older(&self) -> bool {
        self.system.as_ref().is_some_and(|system| system < &self.bundled)
    }
}

/// A system's database, if it says which version it is.
fn system(folder: &Path) -> Option<SystemZones> {
    let file = std::fs::File::open(folder.join("tzdata.zi")).ok()?;
    let mut version_line = String::new();
    BufReader::new(file.take(LINE_MAX_BYTES)).read_line(&mut version_line).ok()?;
    Some(SystemZones { database: TimeZoneDatabase::from_dir(folder).ok()?, version_line })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(origin: ZoneOrigin, bundled: &str, system: Option<&str>) -> Compared {
        let version = |text: &str| TzdataVersion::find(text).unwrap();
        Compared { origin, bundled: version(bundled), system: system.map(version) }
    }

    #[test]
    fn the_database_that_decides_is_old_from_the_second_new_year_on() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let bundled = compared(ZoneOrigin::Bundled, "2026e", Some("2024a"));
        assert!(bundled.is_system_older() && bundled.used().to_string() == "2026e");
        assert!(!bundled.is_old(at("2027-12-31T23:59:59Z")) && bundled.is_old(at("2028-01-01T00:00:00Z")));
        let system = compared(ZoneOrigin::System, "2026e", Some("2027b"));
        assert!(!system.is_system_older() && !system.is_old(at("2028-12-31T23:59:59Z")));
        assert!(!compared(ZoneOrigin::Bundled, "2026e", None).is_system_older());
    }
}
