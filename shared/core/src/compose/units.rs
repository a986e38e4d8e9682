//! Durations, sizes and fractions as Compose writes them, parsed exactly: no floating point decides what changed.

/// Why a text is no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("`{0}` is not a duration: write numbers with units, such as `1m30s` or `500ms`")]
    Duration(String),
    /// Not a size.
    #[error("`{0}` is not a size: write a number with a unit, such as `512m` or `2gb`")]
    Size(String),
    /// Not a number of CPUs.
    #[error("`{0}` is not a number of CPUs: write a number such as `0.5` or `2`")]
    Cpus(String),
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A duration in milliseconds: `1h30m`, `1.5s`, `500ms`, `7d`, `2w`; one unit after the other.
pub fn duration_ms(text: &str) -> Result<u64, UnitError> {
    let bad = || UnitError::Duration(cut(text));
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number = &rest[..end];
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| end + at);
        let unit_ns: u64 = match &rest[end..unit_end] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(bad()),
        };
        total_ns = total_ns.saturating_add(scaled(number, unit_ns).ok_or_else(bad)?);
        rest = &rest[unit_end..];
    }
    let whole_ms = total_ns / 1_000_000;
    if text.is_empty() || !total_ns.is_multiple_of(1_000_000) { Err(bad()) } else { u64::try_from(whole_ms).map_err(|_| bad()) }
}

/// A size in bytes: `512m`, `2gb`, `1.5g`, `64k`, `100b`, `100`; units are powers of 1024, in any case.
pub fn size_bytes(text: &str) -> Result<u64, UnitError> {
    let bad = || UnitError::Size(cut(text));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let shift = match text[end..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(bad()),
    };
    let bytes = scaled(&text[..end], 1 << shift).ok_or_else(bad)?;
    u64::try_from(bytes).ok().filter(|&bytes| i64::try_from(bytes).is_ok()).ok_or_else(bad)
}

/// CPUs in billionths of a core: `0.5`, `2`.
pub fn nano_cpus(text: &str) -> Result<u64, UnitError> {
    let bad = || UnitError::Cpus(cut(text));
    let nano = scaled(text, 1_000_000_000).ok_or_else(bad)?;
    u64::try_from(nano).ok().filter(|&nano| nano > 0 && i64::try_from(nano).is_ok()).ok_or_else(bad)
}

/// A decimal number times a unit, cut to whole units.
fn scaled(number: &str, unit: u64) -> Option<u128> {
    const DIGITS_MAX: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.len() <= DIGITS_MAX && part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |part: &str| if part.is_empty() { Some(0_u128) } else { part.parse::<u128>().ok() };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let unit = u128::from(unit);
    part(whole)?.checked_mul(unit)?.checked_add(part(fraction)?.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_durations_written_differently_are_equal() {
        for (text, ms) in [
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("1.5m", 90_000),
            ("500ms", 500),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("0", 0),
            ("0s", 0),
            ("1w", 604_800_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("2000us", 2),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for bad in ["", "10", "s", "1x", "-1s", "1s ", "1 s", "1.2.3s", "1us", "1sm", "99999999999999999999s", "é"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_cpus_are_exact() {
        for (text, bytes) in
            [("512m", 536_870_912), ("512MB", 536_870_912), ("0.5g", 536_870_912), ("64k", 65_536), ("7", 7), ("7b", 7), ("1 gb", 1 << 30)]
        {
            assert_eq!(size_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "m", "1x", "-1", "1e3", "9999999999t", "1..2m", "é"] {
            assert!(size_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(nano_cpus("0.5"), Ok(500_000_000));
        assert_eq!(nano_cpus("2"), Ok(2_000_000_000));
        for bad in ["", "0", "-1", "x", "1.2.3"] {
            assert!(nano_cpus(bad).is_err(), "{bad}");
        }
    }
}
