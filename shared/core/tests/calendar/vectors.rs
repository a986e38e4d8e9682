//! Every vector of `windows-vectors.json`: made by brute force with an independent implementation.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::calendar::{Calendar, RawCalendar, State, TzdataVersion, Windows, Zones};

#[derive(Deserialize)]
struct Vectors {
    starts: Vec<Starts>,
    states: Vec<StateVector>,
    invalid_cron: Vec<InvalidCron>,
    invalid_other: Vec<InvalidOther>,
}

#[derive(Deserialize)]
struct Starts {
    id: String,
    cron: String,
    tz: String,
    day_match: Option<String>,
    from: Timestamp,
    to: Timestamp,
    starts: Vec<Timestamp>,
    needs_tzdata: Option<String>,
}

#[derive(Deserialize)]
struct StateVector {
    id: String,
    policy: Value,
    at: Timestamp,
    expect: Expect,
    needs_tzdata: Option<String>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Expect {
    state: State,
    open_until: Option<Timestamp>,
    next_start: Option<Timestamp>,
}

#[derive(Deserialize)]
struct InvalidCron {
    cron: String,
    why: String,
}

#[derive(Deserialize)]
struct InvalidOther {
    field: String,
    value: Value,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../windows-vectors.json")).unwrap()
}

fn calendar(policy: Value) -> Result<Calendar, String> {
    let raw: RawCalendar = serde_json::from_value(policy).map_err(|error| error.to_string())?;
    Calendar::new(&raw, &Zones::bundled()).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Vectors that need a newer zone database than the one in use are asked too, but may differ.
#[derive(Default)]
struct Tally {
    passed: usize,
    stale: Vec<String>,
    wrong: Vec<String>,
}

impl Tally {
    fn note(&mut self, id: &str, needs: Option<&str>, difference: Option<String>) {
        let have = TzdataVersion::find(&Zones::bundled().source().version);
        let stale = needs.is_some_and(|needs| TzdataVersion::find(needs) > have);
        match difference {
            None => self.passed += 1,
            Some(_) if stale => self.stale.push(id.to_owned()),
            Some(difference) => self.wrong.push(format!("{id}: {difference}")),
        }
    }

    fn conclude(self, what: &str, count: usize) {
        let version = Zones::bundled().source().version.clone();
        println!(
            "{what}: {} of {count} agree; {} differ because the zone database is {version}: {:?}",
            self.passed,
            self.stale.len(),
            self.stale
        );
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert_eq!(self.passed + self.stale.len(), count);
    }
}

#[test]
fn every_state_vector_agrees() {
    let vectors = vectors().states;
    let count = vectors.len();
    let mut tally = Tally::default();
    for vector in vectors {
        let decision = calendar(vector.policy).unwrap().decide(vector.at);
        let got = Expect { state: decision.state, open_until: decision.open_until, next_start: decision.next_start };
        let difference = (got != vector.expect).then(|| format!("at {}: {got:?}, expected {:?}", vector.at, vector.expect));
        tally.note(&vector.id, vector.needs_tzdata.as_deref(), difference);
    }
    tally.conclude("states", count);
}

#[test]
fn every_start_vector_agrees() {
    let vectors = vectors().starts;
    let count = vectors.len();
    let mut tally = Tally::default();
    for vector in vectors {
        let mut window = serde_json::json!({ "cron": vector.cron, "tz": vector.tz, "duration": "1m" });
        if let Some(day_match) = &vector.day_match {
            window["day_match"] = day_match.as_str().into();
        }
        let calendar = calendar(serde_json::json!({ "windows": [window] })).unwrap();
        let Windows::Listed(windows) = calendar.windows() else { panic!("one window") };
        let got: Vec<Timestamp> = windows[0].starts(vector.from, vector.to).collect();
        let difference = (got != vector.starts).then(|| format!("{got:?}, expected {:?}", vector.starts));
        tally.note(&vector.id, vector.needs_tzdata.as_deref(), difference);
    }
    tally.conclude("starts", count);
}

#[test]
fn every_invalid_expression_is_refused() {
    for vector in vectors().invalid_cron {
        let policy = serde_json::json!({ "windows": [{ "cron": vector.cron, "tz": "UTC", "duration": "1h" }] });
        assert!(calendar(policy).is_err(), "`{}` is accepted: {}", vector.cron, vector.why);
    }
}

#[test]
fn every_other_invalid_value_is_refused() {
    for vector in vectors().invalid_other {
        let mut window = serde_json::json!({ "cron": "0 2 * * *", "tz": "UTC", "duration": "1h" });
        let policy = if vector.field == "freeze" {
            serde_json::json!({ "freezes": [vector.value] })
        } else {
            window[&vector.field] = vector.value.clone();
            serde_json::json!({ "windows": [window] })
        };
        assert!(calendar(policy).is_err(), "{} `{}` is accepted", vector.field, vector.value);
    }
}
