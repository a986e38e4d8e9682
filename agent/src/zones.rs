//! The zone database that decides about windows: the system's or the one inside this program, whichever is newer.

use jiff::tz::TimeZoneDatabase;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use tidegate_core::calendar::{SystemZones, Zones};

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
        tidegate_core::calendar::ZoneOrigin::Bundled => "bundled",
        tidegate_core::calendar::ZoneOrigin::System => "system",
    };
    format!("{origin} {}", source.version)
}

/// A system's database, if it says which version it is.
fn system(folder: &Path) -> Option<SystemZones> {
    let file = std::fs::File::open(folder.join("tzdata.zi")).ok()?;
    let mut version_line = String::new();
    BufReader::new(file.take(LINE_MAX_BYTES)).read_line(&mut version_line).ok()?;
    Some(SystemZones { database: TimeZoneDatabase::from_dir(folder).ok()?, version_line })
}
