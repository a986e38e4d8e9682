//! What is accepted, what is refused, and that every mistake is found and named.

use serde_json::{Value, json};
use tidegate_core::calendar::{
    Calendar, CalendarError, DURATION_MINUTES_MAX, FREEZES_MAX, Item, RECURRING_MAX, RawCalendar, SystemZones, TzdataVersion, WINDOWS_MAX,
    Windows, ZoneOrigin, Zones,
};

pub(crate) fn parse(policy: Value) -> Result<Calendar, Vec<CalendarError>> {
    let raw: RawCalendar = serde_json::from_value(policy).unwrap();
    Calendar::new(&raw, &Zones::bundled())
}

fn window(cron: &str) -> Value {
    json!({ "windows": [{ "cron": cron, "duration": "1h", "tz": "UTC" }] })
}

fn with(field: &str, value: Value) -> Value {
    let mut window = json!({ "cron": "0 10 * * *", "duration": "1h", "tz": "Europe/Berlin" });
    window[field] = value;
    json!({ "windows": [window] })
}

fn the_error(policy: Value) -> CalendarError {
    let errors = parse(policy.clone()).expect_err(&policy.to_string());
    assert_eq!(errors.len(), 1, "{policy}: {errors:?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn unix_expressions_are_accepted() {
    let accepted = [
        "* * * * *",
        "0 10 * * 1-4",
        "*/15 2 * * *",
        "0 22 * * MON-FRI",
        "0 2 * * mon,Wed,FRI",
        "5-59/20 8-10 * * *",
        "0 0 1 */3 *",
        "0 2 29 2 *",
        "0 0 31 JAN,mar *",
        "0 2 * * 7",
        "0 2 * * 5-7",
        "00 02 * * 0",
        " 0\t2  * * * ",
        "0 2 * * 0-7",
        "*/59 * * * *",
    ];
    for cron in accepted {
        assert!(parse(window(cron)).is_ok(), "`{cron}`: {:?}", parse(window(cron)));
    }
}

#[test]
fn everything_else_is_refused_with_a_code_and_the_place_in_the_text() {
    let refused = [
        ("", "cron_fields", None),
        ("0 2 * *", "cron_fields", None),
        ("0 0 2 * * *", "cron_fields", None),
        ("0 0 2 * * * 2027", "cron_fields", None),
        ("@daily", "cron_macro", None),
        ("******", "cron_fields", None),
        ("60 2 * * *", "cron_value", Some("60")),
        ("0 24 * * *", "cron_value", Some("24")),
        ("0 2 0 * *", "cron_value", Some("0")),
        ("0 2 32 * *", "cron_value", Some("32")),
        ("0 2 * 13 *", "cron_value", Some("13")),
        ("0 2 * * 8", "cron_value", Some("8")),
        ("0 2 * * 5L", "cron_value", Some("5L")),
        ("0 2 L * *", "cron_value", Some("L")),
        ("0 2 15W * *", "cron_value", Some("15W")),
        ("0 2 ? * *", "cron_value", Some("?")),
        ("0 2 * * MON#1", "cron_value", Some("MON#1")),
        ("0 2 * Foo *", "cron_value", Some("Foo")),
        ("0 2 * MON *", "cron_value", Some("MON")),
        ("0 2 * * MONDAY", "cron_value", Some("MONDAY")),
        ("0 2 * * MON,", "cron_value", None),
        ("0,,5 2 * * *", "cron_value", None),
        ("-5 2 * * *", "cron_value", Some("-5")),
        ("+5 2 * * *", "cron_value", Some("+5")),
        ("005 2 * * *", "cron_value", Some("005")),
        ("0 22-2 * * *", "cron_range", Some("22-2")),
        ("0 2 * * FRI-MON", "cron_range", Some("FRI-MON")),
        ("0 1-2-3 * * *", "cron_value", Some("1-2-3")),
        ("5/15 * * * *", "cron_step", Some("5/15")),
        ("0,5/15 * * * *", "cron_step", Some("5/15")),
        ("*/0 * * * *", "cron_step", Some("*/0")),
        ("*/60 * * * *", "cron_step", Some("*/60")),
        ("0 */24 * * *", "cron_step", Some("*/24")),
        ("*/x * * * *", "cron_step", Some("*/x")),
        ("*/ * * * *", "cron_step", Some("*/")),
        ("** * * * *", "cron_value", Some("**")),
        ("0 2 30 2 *", "cron_never", Some("30 2")),
        ("0 2 31 4,6,9,11 *", "cron_never", Some("31 4,6,9,11")),
        ("0 2 1 * MON", "cron_both_days", Some("1 * MON")),
        ("0 2 * * *; rm", "cron_fields", None),
        ("٠ 2 * * *", "cron_value", Some("٠")),
    ];
    for (cron, code, part) in refused {
        let error = the_error(window(cron));
        assert_eq!((error.item, error.field, error.code), (Item::Window(0), "cron", code), "`{cron}`: {error}");
        if let Some(part) = part {
            let span = error.span.clone().unwrap();
            let found: String = cron.chars().skip(span.start).take(span.len()).collect();
            assert_eq!(found, part, "`{cron}`: {error}");
        }
    }
}

#[test]
fn both_day_fields_need_a_word() {
    let mut policy = with("cron", json!("0 10 1-7 * MON"));
    assert_eq!(the_error(policy.clone()).code, "cron_both_days");
    policy["windows"][0]["day_match"] = json!("all");
    assert!(parse(policy.clone()).is_ok());
    policy["windows"][0]["day_match"] = json!("any");
    assert_eq!(the_error(policy).code, "day_match");
}

#[test]
fn durations_are_days_hours_and_minutes_in_this_order() {
    for (text, minutes) in [("1m", 1), ("90m", 90), ("1h", 60), ("1d2h30m", 1590), ("31d", 44_640), ("0d1m", 1), ("744h", 44_640)] {
        let calendar = parse(with("duration", json!(text))).unwrap();
        let Windows::Listed(windows) = calendar.windows() else { unreachable!("one window") };
        assert_eq!(windows[0].duration().get(), minutes, "{text}");
    }
    let refused = [
        ("", "duration_form"),
        ("90", "duration_form"),
        ("1h30", "duration_form"),
        ("30m1h", "duration_form"),
        ("1h1h", "duration_form"),
        ("h", "duration_form"),
        ("1H", "duration_form"),
        ("1 h", "duration_form"),
        (" 1h", "duration_form"),
        ("30s", "duration_form"),
        ("1.5h", "duration_form"),
        ("-1h", "duration_form"),
        ("PT1H", "duration_form"),
        ("999999m", "duration_form"),
        ("0m", "duration_zero"),
        ("32d", "duration_long"),
        ("31d1m", "duration_long"),
    ];
    for (text, code) in refused {
        let error = the_error(with("duration", json!(text)));
        assert_eq!((error.field, error.code), ("duration", code), "`{text}`");
        let error = the_error(json!({ "cutoff": text }));
        assert_eq!((error.item, error.code), (Item::Cutoff, code), "`{text}`");
    }
    assert_eq!(DURATION_MINUTES_MAX, 44_640);
}

#[test]
fn zones_are_exact_names_of_the_database() {
    for (tz, code, hint) in [
        ("europe/berlin", "zone_case", "write `Europe/Berlin`"),
        ("utc", "zone_case", "write `UTC`"),
        ("Europe/Berln", "unknown_zone", "did you mean `Europe/Berlin`?"),
        ("+02:00", "unknown_zone", "write an IANA name"),
        ("", "unknown_zone", "write an IANA name"),
        ("Etc/Unknown", "unknown_zone", "write an IANA name"),
        ("CET-1CEST", "unknown_zone", "write an IANA name"),
        ("../../etc/passwd", "unknown_zone", "write an IANA name"),
        ("right/Europe/Berlin", "unknown_zone", "write an IANA name"),
    ] {
        let error = the_error(with("tz", json!(tz)));
        assert_eq!((error.field, error.code), ("tz", code), "`{tz}`: {error}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "`{tz}`: {:?}", error.hint);
    }
    for tz in ["UTC", "Etc/UTC", "Europe/Berlin", "US/Pacific", "Asia/Calcutta", "GMT", "America/Argentina/Ushuaia"] {
        assert!(parse(with("tz", json!(tz))).is_ok(), "{tz}");
    }
}

#[test]
fn a_freeze_is_one_off_or_recurring() {
    let once = json!({ "from": "2026-12-20T00:00", "until": "2027-01-03 09:00", "tz": "Europe/Berlin", "blocks": ["release", "rollback"] });
    let recurring = json!({ "cron": "0 16 * * FRI", "duration": "2d16h", "tz": "Europe/Berlin", "reason": "weekend" });
    let calendar = parse(json!({ "freezes": [once, recurring] })).unwrap();
    assert_eq!(calendar.freezes()[0].label(), "2026-12-20T00:00 until 2027-01-03 09:00 Europe/Berlin");
    assert_eq!(calendar.freezes()[1].label(), "0 16 * * FRI for 2d16h Europe/Berlin");
    assert_eq!(calendar.freezes()[1].reason(), Some("weekend"));

    let change = |field: &str, value: Value| {
        let mut freeze = once.clone();
        freeze[field] = value;
        the_error(json!({ "freezes": [freeze] }))
    };
    for text in ["2026-12-20", "2026-12-20T00:00Z", "2026-12-20T00:00:00", "2026-13-01T00:00", "20.12.2026 00:00", "2026-12-20T24:00", ""] {
        let error = change("from", json!(text));
        assert_eq!((error.item, error.field, error.code), (Item::Freeze(0), "from", "civil_time"), "`{text}`");
    }
    assert_eq!(change("until", json!("2026-12-20T00:00")).code, "freeze_empty");
    assert_eq!(change("cron", json!("0 1 * * *")).code, "freeze_form");
    assert_eq!(change("blocks", json!(["rollback"])).code, "freeze_blocks");
    assert_eq!(change("blocks", json!(["release", "repair"])).code, "freeze_blocks");
    assert_eq!(change("name", json!("  ")).code, "text_empty");
    assert_eq!(change("reason", json!("a\u{7}b")).code, "text_control");
    assert_eq!(the_error(json!({ "freezes": [{ "tz": "UTC" }] })).code, "freeze_form");
}

#[test]
fn every_mistake_is_found_at_once() {
    let windows = json!([
        { "cron": "0 25 * * *", "duration": "1x", "tz": "Mars/Olympus" },
        {},
        { "cron": "0 1 * * *", "duration": "1h", "tz": "UTC" },
    ]);
    let freezes = json!([{ "from": "gestern", "until": "2027-01-01T00:00" }]);
    let errors = parse(json!({ "windows": windows, "freezes": freezes, "cutoff": "ten" })).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.item, error.field, error.code)).collect();
    let expected = [
        (Item::Window(0), "cron", "cron_value"),
        (Item::Window(0), "duration", "duration_form"),
        (Item::Window(0), "tz", "unknown_zone"),
        (Item::Window(1), "", "missing_field"),
        (Item::Window(1), "", "missing_field"),
        (Item::Window(1), "", "missing_field"),
        (Item::Freeze(0), "from", "civil_time"),
        (Item::Freeze(0), "", "missing_field"),
        (Item::Cutoff, "", "duration_form"),
    ];
    assert_eq!(found, expected, "{errors:#?}");
    assert_eq!(errors[0].to_string(), "windows[0].cron: 25 is no hour (0 to 23)");
}

#[test]
fn always_and_nothing_are_told_apart() {
    assert_eq!(*parse(json!({})).unwrap().windows(), Windows::None);
    assert_eq!(*parse(json!({ "windows": [] })).unwrap().windows(), Windows::None);
    assert_eq!(*parse(json!({ "windows": "always" })).unwrap().windows(), Windows::Always);
    assert_eq!(the_error(json!({ "windows": "never" })).code, "windows_form");
}

#[test]
fn there_are_not_more_items_than_a_calendar_can_answer_quickly() {
    let window = json!({ "cron": "0 10 * * *", "duration": "1h", "tz": "UTC" });
    let windows = |count: usize| json!({ "windows": vec![window.clone(); count] });
    assert!(parse(windows(WINDOWS_MAX)).is_ok());
    assert_eq!(the_error(windows(WINDOWS_MAX + 1)).code, "too_many");
    let once = json!({ "from": "2026-12-20T00:00", "until": "2027-01-03T00:00", "tz": "UTC" });
    let freezes = |count: usize| json!({ "freezes": vec![once.clone(); count] });
    assert!(parse(freezes(FREEZES_MAX)).is_ok());
    assert_eq!(the_error(freezes(FREEZES_MAX + 1)).code, "too_many");
    // What repeats is counted together, what happens once is not.
    let both = |windows: usize, recurring: usize, others: usize| {
        let freezes: Vec<_> = std::iter::repeat_n(window.clone(), recurring).chain(std::iter::repeat_n(once.clone(), others)).collect();
        json!({ "windows": vec![window.clone(); windows], "freezes": freezes })
    };
    assert!(parse(both(15, RECURRING_MAX - 15, 50)).is_ok());
    let error = the_error(both(15, RECURRING_MAX - 14, 0));
    assert_eq!((error.code, error.item), ("too_many", Item::AllFreezes));
}

#[test]
fn the_newer_zone_database_is_used() {
    let system = |line: &str| {
        let database = jiff::tz::TimeZoneDatabase::bundled();
        Zones::newest(Some(SystemZones { database, version_line: line.to_owned() })).source().clone()
    };
    let bundled = Zones::bundled().source().clone();
    assert_eq!(system("# version 2025b"), bundled);
    assert_eq!(system("# version 2099a").origin, ZoneOrigin::System);
    assert_eq!(system("# version 2099a").version, "2099a");
    assert_eq!(system("no version at all"), bundled);
    assert_eq!(Zones::newest(None).source(), &bundled);
    let nothing = SystemZones { database: jiff::tz::TimeZoneDatabase::none(), version_line: "# version 2099a".to_owned() };
    assert_eq!(Zones::newest(Some(nothing)).source(), &bundled);
}

#[test]
fn versions_of_the_zone_database_are_ordered() {
    let order = ["2025b", "2026a", "2026e", "2026f", "2026z", "2026za", "2027a"];
    let versions: Vec<TzdataVersion> = order.iter().map(|text| TzdataVersion::find(text).unwrap()).collect();
    assert!(versions.is_sorted());
    assert_eq!(TzdataVersion::find("# version 2026f-rearguard").unwrap().to_string(), "2026f");
    assert_eq!(TzdataVersion::find("tzdata 26f"), None);
}
