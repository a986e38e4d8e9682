//! What people put in the way of a change, or let through: freezes, holds and overrides, of the lock and of the
//! environment's own file, in what `plan` says of when it goes out.

use crate::project::{COMPOSE, Project, lock, proposed, released};
use tidegate_core::lock::{Hold, Lock, LockedFreeze, Override};

/// The lock with something more in it, on `main`, under the change.
fn with_lock(change: impl FnOnce(&mut Lock)) -> Project {
    let project = proposed();
    project.git(&["checkout", "--quiet", "main"]);
    let path = "releases/production.yaml".parse().unwrap();
    let mut lock = tidegate_core::lock::read(&path, &std::fs::read(project.root().join("releases/production.yaml")).unwrap()).unwrap();
    change(&mut lock);
    project.write("releases/production.yaml", &lock.to_yaml());
    project.commit("lock");
    project.git(&["checkout", "--quiet", "change"]);
    project
}

/// Lines for the environment's file, in the change itself.
fn with_file(more: &str) -> Project {
    let project = proposed();
    let file = std::fs::read_to_string(project.root().join("environments/production.yaml")).unwrap();
    project.write("environments/production.yaml", &format!("{file}{more}"));
    project.commit("by hand");
    project
}

/// The lines that say when production's change goes out.
fn said(project: &Project) -> String {
    let (code, out, err) = project.plan(&["--from", "main", "--environment", "production"]);
    assert_eq!(code, 0, "{err}");
    let telling = ["production ", "  goes out: ", "  frozen: ", "  needs: ", "  held: "];
    out.lines().filter(|line| telling.iter().any(|begin| line.starts_with(begin))).map(|line| format!("{line}\n")).collect()
}

/// What stands without anything more.
const PLAIN: &str = "  goes out: 2026-11-24 08:00:00 UTC: no window is open before\n";

#[test]
fn without_anything_more_the_window_and_the_files_own_freeze_decide() {
    let plain = said(&proposed());
    assert!(plain.starts_with("production becomes release 8, after 7\n") && plain.contains(PLAIN), "{plain}");
    assert!(plain.contains("  needs: 1 approval by engineer; not by who wrote it\n") && !plain.contains("held"), "{plain}");
}

#[test]
fn a_freeze_moves_the_day_wherever_it_is_written() {
    let until = "2026-11-26T00:00:00Z".parse().unwrap();
    let at = "2026-11-20T12:00:00Z".parse().unwrap();
    let frozen = LockedFreeze {
        by: None,
        reason: "big sale".into(),
        at,
        from: None,
        until: Some(until),
        blocks: tidegate_core::lock::releases_only(),
    };
    let by_lock = said(&with_lock(|lock| lock.freezes.push(frozen)));
    assert!(by_lock.contains("  goes out: 2026-11-26 08:00:00 UTC") && by_lock.contains("big sale"), "{by_lock}");
    let by_file = said(&Project::refrozen("2026-11-27T00:00"));
    assert!(by_file.contains("  goes out: 2026-11-27 08:00:00 UTC"), "{by_file}");
}

impl Project {
    /// The change, with the freeze of the environment's file ending later.
    fn refrozen(until: &str) -> Project {
        let project = proposed();
        let file = std::fs::read_to_string(project.root().join("environments/production.yaml")).unwrap();
        project.write("environments/production.yaml", &file.replace("until: 2026-11-24T00:00", &format!("until: {until}")));
        project.commit("frozen for longer");
        project
    }
}

const FROM_LAST_NOON: &str = "at: 2026-11-20T19:00:00Z, until: 2026-11-20T20:00:00Z";

fn given(release: u64) -> Override {
    Override {
        release: tidegate_core::ids::ReleaseNumber(release),
        stack: None,
        by: "alice".parse().unwrap(),
        reason: "the shop is down".into(),
        at: "2026-11-20T19:00:00Z".parse().unwrap(),
        until: "2026-11-20T20:00:00Z".parse().unwrap(),
    }
}

#[test]
fn an_override_of_that_release_lets_it_go_out_at_once_and_no_other_does() {
    let at_once = "  goes out: at once, until 2026-11-20 20:00:00 UTC: alice overrides what stands in the way (the shop is down)\n";
    let by_lock = said(&with_lock(|lock| lock.overrides.push(given(8))));
    assert!(by_lock.contains(at_once) && by_lock.contains("  needs: 1 approval"), "an approval is needed all the same: {by_lock}");
    // By hand only for a release that there is: nobody knows yet what will be number 8.
    let early = with_file(&format!("overrides: [{{ release: 8, by: alice, reason: the shop is down, {FROM_LAST_NOON} }}]\n"));
    let (code, _, err) = early.plan(&["--from", "main", "--environment", "production"]);
    assert!(code == 3 && err.contains("override_of_the_future"), "{err}");

    for other in [
        given(7),
        Override { until: "2026-11-20T19:30:00Z".parse().unwrap(), ..given(8) },
        Override { stack: Some("blog".parse().unwrap()), ..given(8) },
    ] {
        let said = said(&with_lock(|lock| lock.overrides.push(other)));
        assert!(said.contains(PLAIN), "{said}");
    }
}

fn hold(stack: Option<&str>) -> Hold {
    let at = "2026-11-20T12:00:00Z".parse().unwrap();
    Hold {
        stack: stack.map(|name| name.parse().unwrap()),
        content: None,
        release: None,
        by: None,
        reason: "it loses carts".into(),
        at,
        until: None,
    }
}

#[test]
fn a_hold_stops_it_wherever_it_is_written_and_one_on_another_stack_does_not() {
    for stack in [None, Some("shop")] {
        let by_lock = said(&with_lock(|lock| lock.holds.push(hold(stack))));
        assert!(by_lock.contains("  goes out: not while shop is held\n") && by_lock.contains("it loses carts"), "{by_lock}");
    }
    let by_file = said(&with_file("holds: [{ stack: shop, by: alice, reason: wait for me, at: 2026-11-20T12:00:00Z }]\n"));
    assert!(by_file.contains("  goes out: not while shop is held\n") && by_file.contains("shop by alice: wait for me"), "{by_file}");
    let over = Hold { until: Some("2026-11-20T13:00:00Z".parse().unwrap()), ..hold(None) };
    for harmless in [hold(Some("blog")), over] {
        let said = said(&with_lock(|lock| lock.holds.push(harmless)));
        assert!(said.contains(PLAIN) && !said.contains("held"), "{said}");
    }
}

#[test]
fn what_is_held_by_hand_becomes_no_release_that_an_override_could_pass() {
    let project = with_lock(|lock| lock.overrides.push(given(8)));
    let file = std::fs::read_to_string(project.root().join("environments/production.yaml")).unwrap();
    let hold = "holds: [{ stack: shop, by: alice, reason: wait for me, at: 2026-11-20T12:00:00Z }]\n";
    project.write("environments/production.yaml", &format!("{file}{hold}"));
    project.commit("held by hand");
    let said = said(&project);
    assert!(said.starts_with("production stays at release 7\n") && said.contains("  goes out: not while shop is held\n"), "{said}");
}

/// Release 8 brought this change, failed, and was rolled back to the content of release 7; it is held by its content.
fn rolled_back(proposal: &str) -> Project {
    let project = released();
    let good = std::fs::read_to_string(project.root().join("releases/production.yaml")).unwrap();
    project.write("stacks/shop/compose.yaml", &COMPOSE.replace("web:1.8.1", "web:1.8.2"));
    let bad = project.commit("Version 1.8.2");
    let failed = lock(&project, &bad);
    project.write("releases/production.yaml", &failed.to_yaml());
    project.commit("release production #8");
    let mut back = tidegate_core::lock::read(&"releases/production.yaml".parse().unwrap(), good.as_bytes()).unwrap();
    let content = failed.stacks.values().next().unwrap().content.clone();
    back.holds.push(Hold { content: Some(content), ..hold(Some("shop")) });
    project.write("releases/production.yaml", &back.to_yaml());
    project.commit("rollback production #9");
    project.git(&["checkout", "--quiet", "-b", "change"]);
    project.write("stacks/shop/compose.yaml", proposal);
    project.commit("Change");
    project
}

#[test]
fn a_content_that_is_held_is_known_again_from_history_and_another_one_goes_out() {
    let again = said(&rolled_back(&format!("# the same, with a comment\n{}", COMPOSE.replace("web:1.8.1", "web:1.8.2"))));
    assert!(again.starts_with("production stays at release 7\n") && again.contains("  goes out: not while shop is held\n"), "{again}");
    let better = said(&rolled_back(&COMPOSE.replace("web:1.8.1", "web:1.8.3")));
    assert!(better.starts_with("production becomes release 8") && better.contains(PLAIN) && !better.contains("held"), "{better}");
}
