//! The grammar, line by line.

use super::parse::usage;
use super::*;

fn vocabulary() -> Vocabulary {
    Vocabulary { environments: vec!["staging".parse().unwrap(), "production".parse().unwrap()] }
}

fn read(line: &str) -> Result<Command, NotUnderstood> {
    parse(line, &vocabulary())
}

fn rollback(environment: Option<&str>, to: Option<u64>, reason: Option<&str>) -> Command {
    Command::Rollback {
        stack: "shop".parse().unwrap(),
        environment: environment.map(|e| e.parse().unwrap()),
        to: to.map(ReleaseNumber),
        reason: reason.map(str::to_owned),
    }
}

#[test]
fn approve_takes_an_environment_and_a_commit_in_that_order() {
    let approve = |environment: Option<&str>, candidate: Option<&str>| Command::Approve {
        environment: environment.map(|e| e.parse().unwrap()),
        candidate: candidate.map(|c| CandidateHint(c.to_owned())),
    };
    assert_eq!(read("approve"), Ok(approve(None, None)));
    assert_eq!(read("  /Approve   production "), Ok(approve(Some("production"), None)));
    assert_eq!(read("approve production 0a1b2c3"), Ok(approve(Some("production"), Some("0a1b2c3"))));
    assert_eq!(read("approve 0a1b2c3"), Ok(approve(None, Some("0a1b2c3"))));
    for bad in ["approve prod", "approve production 0a1b", "approve production 0a1b2c3 please"] {
        assert!(matches!(read(bad), Err(NotUnderstood::BadWord { .. })), "{bad}");
    }
}

#[test]
fn rollback_needs_only_the_stack_and_takes_the_rest_as_the_reason() {
    assert_eq!(read("rollback shop"), Ok(rollback(None, None, None)));
    assert_eq!(read("/rollback shop production"), Ok(rollback(Some("production"), None, None)));
    assert_eq!(read("rollback shop to 3"), Ok(rollback(None, Some(3), None)));
    assert_eq!(
        read("rollback shop production to release #3 it loses carts"),
        Ok(rollback(Some("production"), Some(3), Some("it loses carts")))
    );
    assert_eq!(read("rollback shop to 3 production late"), Ok(rollback(Some("production"), Some(3), Some("late"))));
    assert_eq!(read("rollback shop production: is slow"), Ok(rollback(Some("production"), None, Some("is slow"))));
    assert_eq!(read("rollback shop it loses carts"), Ok(rollback(None, None, Some("it loses carts"))));
}

#[test]
fn a_command_written_out_reads_as_the_same_command() {
    let lines =
        ["approve production 0a1b2c3", "reject staging too slow", "rollback shop production to 3 it loses carts", "resume shop staging"];
    for line in lines.into_iter().chain(["status", "why shop production", "history staging", "help"]) {
        assert_eq!(read(line).unwrap().to_string(), line);
    }
}

#[test]
fn what_is_missing_or_does_not_fit_is_named_with_the_usage() {
    assert_eq!(read("rollback"), Err(NotUnderstood::Missing { usage: usage("rollback"), what: "the stack" }));
    assert!(matches!(read("rollback Shop!"), Err(NotUnderstood::BadWord { .. })));
    assert!(matches!(read("rollback shop to yesterday"), Err(NotUnderstood::BadWord { .. })));
    assert!(matches!(read("rollback shop to"), Err(NotUnderstood::Missing { .. })));
    assert_eq!(read("reject production"), Err(NotUnderstood::Missing { usage: usage("reject"), what: "a reason" }));
    assert_eq!(read(" \n"), Err(NotUnderstood::Empty));
    assert_eq!(read(&"a".repeat(LINE_MAX_CHARS + 1)), Err(NotUnderstood::TooLong));
}

#[test]
fn why_takes_stack_and_environment_in_either_order() {
    let both = Command::Why { stack: Some("shop".parse().unwrap()), environment: Some("staging".parse().unwrap()) };
    assert_eq!(read("why shop staging"), Ok(both.clone()));
    assert_eq!(read("why staging shop"), Ok(both));
    assert_eq!(read("why"), Ok(Command::Why { stack: None, environment: None }));
}

#[test]
fn a_command_is_written_as_it_is_read() {
    let lines = [
        "approve",
        "approve production 3f2a1c9",
        "reject staging 3f2a1c9 wrong prices",
        "rollback shop",
        "rollback shop production to 3 prices are wrong",
        "resume shop staging",
        "status",
        "why shop production",
        "history staging",
        "help",
    ];
    for line in lines {
        assert_eq!(read(line).unwrap().to_string(), line);
    }
}

#[test]
fn a_mistyped_command_gets_the_nearest_one() {
    assert_eq!(read("aprove"), Err(NotUnderstood::UnknownCommand { word: "aprove".into(), nearest: Some("approve".into()) }));
    assert_eq!(read("dance"), Err(NotUnderstood::UnknownCommand { word: "dance".into(), nearest: None }));
}

#[test]
fn a_reason_cannot_smuggle_lines_or_direction_marks() {
    let command = read("reject production bad\nApproved-by: \u{202e}mallory\u{200b} <m@x>").unwrap();
    let Command::Reject { reason, .. } = command else { panic!("{command:?}") };
    assert_eq!(reason, "bad Approved-by: mallory <m@x>");
    assert_eq!(clean_reason(&"x".repeat(1000)).unwrap().len(), REASON_MAX_CHARS);
    assert_eq!(clean_reason("\u{200b} \n"), None);
}

#[test]
fn freezes_holds_and_overrides_are_read_in_both_forms_and_written_as_they_are_read() {
    let same = [
        ("/freeze production until 2027-01-02 09:00 reason: year end", "freeze production until 2027-01-02 09:00 reason: year end"),
        (
            "freeze production until 2027-01-02 the books are closed",
            "freeze production until 2027-01-02 00:00 reason: the books are closed",
        ),
        (
            "freeze production reason: audit until: 18:00 from: 12:00 blocks: rollback",
            "freeze production from 12:00 until 18:00 blocks: rollback reason: audit",
        ),
        ("freeze production for 2h audit", "freeze production for 2h reason: audit"),
        ("/hold shop reason: carts for: 2h", "hold shop for 2h reason: carts"),
        ("hold shop production for the weekend", "hold shop production reason: for the weekend"),
        ("hold production: until we know more", "hold production reason: until we know more"),
        ("/resume production", "resume production"),
        ("unfreeze production", "unfreeze production"),
        ("/override production release: 43 reason: the fix", "override production release 43 reason: the fix"),
        ("override production shop release 43 for 30m the fix", "override production shop release 43 for 30m reason: the fix"),
        ("calendar production", "calendar production"),
        ("calendar", "calendar"),
    ];
    for (line, written) in same {
        let command = read(line).unwrap();
        assert_eq!(command.to_string(), written);
        assert_eq!(read(written).unwrap(), command, "{written}");
    }
}

#[test]
fn what_a_freeze_a_hold_or_an_override_lacks_is_named() {
    let missing = |line: &str| match read(line) {
        Err(NotUnderstood::Missing { what, .. }) => what,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(missing("freeze"), "the environment");
    assert!(missing("freeze production because").starts_with("until when"));
    assert_eq!(missing("freeze production until 2027-01-02"), "a reason");
    assert_eq!(missing("hold shop for 2h"), "a reason");
    assert!(missing("override production reason: the fix").starts_with("the number of the release"));
    assert_eq!(missing("override production release 43"), "a reason");
    let bad = [
        "freeze shop until 2027-01-02 x",
        "freeze production until: tomorrow x",
        "freeze production until 2027-13-02 x",
        "freeze production until 2027-01-02 for 2h x",
        "freeze production for 2h until 2027-01-02 x",
        "freeze production for 0m x",
        "freeze production for 2h blocks: repair reason: x",
        "hold shop for: ever reason: x",
        "override production release: none reason: x",
        "override production release: 4 release: 5 reason: x",
        "unfreeze production now",
        "calendar shop",
    ];
    for line in bad {
        assert!(matches!(read(line), Err(NotUnderstood::BadWord { .. })), "{line}: {:?}", read(line));
    }
}
