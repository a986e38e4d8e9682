//! Every word that the agent says to people: steps, reasons, waits, ends. Code elsewhere passes enums.

pub mod calendar;
pub mod import;
pub mod preview;

use crate::driver::{Rolled, Way};
use crate::settings::TrustPin;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::error::Error;
use tidegate_core::calendar::{Decision, State};
use tidegate_core::desired::StopFirstBecause;
use tidegate_core::events::{Event, Outcome, ReleaseOf, Restored};
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, PersonName, RoleName};
use tidegate_core::plan::{Action, OperationClass, Overridden, Reason, Step, Waiting};
use tidegate_core::trust::{Refusal, Signer, TRUST_FILE};
use tidegate_git::Judged;

/// A number with its noun: `1 step`, `2 steps`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// What runs while a failed rollout is being taken back.
pub const BEING_TAKEN_BACK: &str = "it is being taken back";
/// A rollout that had to stop, without a failure, and cannot be taken back.
pub const WAS_TO_BE_TAKEN_BACK: &str = "it had to stop before it was done";

/// The agent has never seen a config.
pub const NO_CONFIG_YET: &str = "the agent has not read the config repo yet";
/// A command without the mirror.
pub const NO_GIT_HERE: &str = "the mirror of the config repo cannot be read";
/// A command while the agent is down.
pub const AGENT_IS_DOWN: &str = "no agent is running here; this command does the work itself";
/// The kernel says that nothing synchronises the clock.
pub const CLOCK_ADRIFT: &str = "nothing keeps it right: it is not synchronised";
/// Somebody said no.
pub const NOTHING_DONE: &str = "nothing was done";
/// A rollback by hand that is not there yet.
pub const GOES_ON: &str = "the agent goes on with it by itself; `tidegate why` says what it waits for";
/// A held removal was confirmed.
pub const LIFTED_REMOVAL: &str = "its removal is confirmed";

/// A commit does not count by the signer policy.
pub fn trust_refused(refusal: &Refusal, good: &CommitId) -> String {
    format!(
        "{refusal}. Nothing after {} is followed and everything keeps running. Push a branch that goes on from {} without \
         that commit, by somebody who may",
        good.short(),
        good.short()
    )
}

/// A signer policy to begin with.
pub fn trust_policy(signers: &str) -> String {
    format!(
        "schema: 1\nversion: 1 # one more with every change of this file\nsigners:\n{signers}roles:\n  owner: {{ paths: [/] }}\n  \
         engineer: {{ paths: [stacks/, environments/, hosts/] }}\n  bot: {{ paths: [releases/] }}\nmerges: exact # or `signed`\n"
    )
}

/// What to do with it.
pub const TRUST_BEGUN: &str = "Commit it as trust.yaml, signed by an owner (git config gpg.format ssh; git commit -S), push it, \
                               and put what `tidegate trust pin` prints into the settings of every agent.";
/// What a pin means.
pub const TRUST_PINNED: &str = "These belong into /etc/tidegate/agent.toml. The host begins at this commit and follows only what these \
                                signers, and those whom they name later, may change.";

/// A signer in one line.
pub fn trust_signer(name: &PersonName, signer: &Signer) -> String {
    let roles: Vec<&str> = signer.roles.iter().map(RoleName::as_str).collect();
    let until = signer.until.map(|until| format!(", until {}", moment(until))).unwrap_or_default();
    format!("{name} ({}{until}): {}", roles.join(", "), signer.key)
}

/// What an agent would say of a range.
pub fn trust_judged(judged: &Judged) -> String {
    match (&judged.refused, judged.policy_version) {
        (Some(refusal), _) => trust_refused(refusal, &judged.good),
        (None, Some(version)) => format!("every commit up to {} counts; {TRUST_FILE} is at version {version} there", judged.good),
        (None, None) => format!("there is no {TRUST_FILE} up to {}: whoever may push is followed", judged.good),
    }
}

/// A policy, and nothing that says where it begins.
pub fn trust_unpinned(tip: &CommitId) -> String {
    format!(
        "the config repo has a {TRUST_FILE} at {}, and this agent does not know which commit to begin with. Look at the repo, \
         and put what `tidegate trust pin` prints into the agent's settings",
        tip.short()
    )
}

/// The pin names a commit of another repo, or of a branch that was rewritten.
pub fn pin_not_in_history(pin: &CommitId, tip: &CommitId) -> String {
    format!("the branch at {} does not descend from {pin}, which the settings pin; look at both", tip.short())
}

/// The pin names a commit from before the policy.
pub fn pin_without_policy(pin: &CommitId) -> String {
    format!("there is no {TRUST_FILE} at {pin}, which the settings pin; pin a commit that has one")
}

/// The pinned policy is broken.
pub fn pin_unusable(pin: &CommitId, cause: &str) -> String {
    format!("at {pin}, which the settings pin: {cause}; pin a later commit that mends it")
}

/// The pinned version is not the one there.
pub fn pin_version(pin: &TrustPin, version: u64) -> String {
    format!("{TRUST_FILE} at {} has version {version}, and the settings pin {}; look at both", pin.commit.short(), pin.version)
}

/// The branch was rewritten.
pub fn history_rewritten(tip: &CommitId, trusted: &CommitId) -> String {
    format!(
        "the branch points to {}, which does not descend from {}; it is not followed and everything keeps running. \
         Push a commit that descends from {} to go on",
        tip.short(),
        trusted.short(),
        trusted.short()
    )
}

/// The host moved to another environment.
pub fn environment_changed(known: &EnvironmentName, now: &EnvironmentName) -> String {
    format!(
        "the host's file says {now}, and this agent made its containers for {known}; they keep running. Put the file back, or stop the \
         agent, remove its stacks and its state folder, and start it again"
    )
}

/// The host's file is missing.
pub fn host_unknown(host: &HostName) -> String {
    format!("hosts/{host}.yaml is not in the config repo; what runs keeps running. Add the file, or mend `host` in the settings")
}

/// More findings than are told.
pub fn more_findings(more: usize) -> String {
    format!("… and {more} more")
}

/// A rollback by hand failed.
pub fn rollback_failed(to: &ReleaseOf, cause: &str) -> String {
    format!("{} did not work any more ({cause}); what ran before was put back", release(to))
}

/// A rollback by hand is lifted.
pub fn lifted_rollback(by: &str) -> String {
    format!("the rollback by {by} is over")
}

/// Failures are forgotten.
pub fn lifted_failures(count: usize) -> String {
    format!("{count} failed contents may be tried again")
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some libraries repeat their source's words.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

/// A step, as a short sentence without a full stop.
pub fn step(step: &Step) -> String {
    let what = action(&step.action);
    match reason(&step.reason) {
        Some(why) => format!("{what} ({why})"),
        None => what,
    }
}

/// What a step does.
pub fn action(action: &Action) -> String {
    match action {
        Action::Pull { image, .. } => format!("pull {}", image.for_people()),
        Action::CreateNetwork { name, network } if network.external => format!("look for the network {name}"),
        Action::CreateNetwork { name, .. } => format!("create the network {name}"),
        Action::CreateVolume { name, volume } if volume.external => format!("look for the volume {name}"),
        Action::CreateVolume { name, .. } => format!("create the volume {name}"),
        Action::Create { container, .. } => format!("create {} from {}", container.name, container.model.image.for_people()),
        Action::Start { container, .. } => format!("start {container}"),
        Action::AwaitReady { container, .. } => format!("wait until {container} is ready"),
        Action::AwaitExit { container, .. } => format!("wait until {container} has finished"),
        Action::Stop { container, .. } => format!("stop {container}"),
        Action::Remove { container, .. } => format!("remove {container}"),
        Action::RemoveNetwork { name } => format!("remove the network {name}"),
    }
}

/// Why, where it is worth saying.
pub fn reason(reason: &Reason) -> Option<String> {
    match reason {
        Reason::Missing => Some("it is missing".into()),
        Reason::Changed { fields } if fields.is_empty() => Some("it changed".into()),
        Reason::Changed { fields } => Some(fields.join("; ")),
        Reason::NotRunning { state } => Some(format!("it is {state}")),
        Reason::Needed => None,
        Reason::MakesRoom { because } => Some(format!("makes room: {}", because_of(*because))),
        Reason::Replaced => Some("its successor is ready".into()),
        Reason::NotDesired => Some("it is not in the config any more".into()),
        Reason::ScaledDown => Some("one copy too many".into()),
    }
}

fn because_of(because: StopFirstBecause) -> &'static str {
    match because {
        StopFirstBecause::HostPort => "both publish the same port",
        StopFirstBecause::NamedVolume => "both write the same volume",
        StopFirstBecause::FixedName => "both have the same fixed name",
        StopFirstBecause::Asked => "stop-first was asked for",
    }
}

/// A class of operation.
pub fn class(class: OperationClass) -> &'static str {
    match class {
        OperationClass::Release => "release",
        OperationClass::Rollback => "rollback",
        OperationClass::Repair => "repair",
        OperationClass::Abort => "abort",
    }
}

/// Why a stack does not move on, as one sentence with the next moment and what helps.
pub fn waiting(waiting: &Waiting) -> String {
    match waiting {
        Waiting::NoRelease => "there is no release for this environment yet; the bot makes one when it is approved".into(),
        Waiting::ConfigRefused { cause } => format!("the config repo cannot be used: {cause}"),
        Waiting::WindowClosed { opens_at: Some(at), rule } => format!("no window is open ({rule}); the next one opens {}", moment(*at)),
        Waiting::WindowClosed { opens_at: None, rule } => format!("no window is open ({rule}), and none will open by itself"),
        Waiting::MissedWindow { opened_at, closed_at, opens_at, .. } => {
            let next = opens_at.map_or("none will open by itself".to_owned(), |at| format!("the next one opens {}", moment(at)));
            format!("the window from {} to {} passed while this host was off; {next}", moment(*opened_at), moment(*closed_at))
        }
        Waiting::Splay { opened_at, until } => {
            format!("the window opened {}; this host starts {}, so that not all start at once", moment(*opened_at), moment(*until))
        }
        Waiting::DoesNotFit { needs_secs, closes_at, opens_at } => {
            let next = opens_at.map_or(String::new(), |at| format!("; the next one opens {}", moment(at)));
            format!("it may take {needs_secs} s, and the window closes {}{next}", moment(*closes_at))
        }
        Waiting::Frozen { until: Some(until), rule } => format!("frozen by {rule}; a release may start {}", moment(*until)),
        Waiting::Frozen { until: None, rule } => format!("frozen by {rule}, without a known end"),
        Waiting::Held { reason, by, until } => {
            let by = by.as_ref().map_or("automation".to_owned(), Clone::clone);
            let until = until.map_or("until somebody resumes it".to_owned(), |at| format!("until {}", moment(at)));
            format!("held by {by} {until}: {reason}")
        }
        Waiting::FailedHere { cause, at, .. } => {
            format!("this content failed here {}: {cause}; it is tried again when it differs or somebody resumes it", moment(*at))
        }
        Waiting::Diverged { since, by } => format!("rolled back by hand by {by} {}; git does not know yet", moment(*since)),
        Waiting::RemovalHeld { containers } => {
            format!("nothing of it is left in git; its {containers} containers stay until `tidegate resume` confirms the removal")
        }
        Waiting::ContentMismatch { locked, computed } => {
            format!("the lock names content {} and this agent computes {}; update the agent or the bot", locked.short(), computed.short())
        }
        Waiting::Backoff { until } => format!("it did not work; tried again {}", moment(*until)),
        Waiting::ExternalMissing { missing, until } => {
            let (kind, name) = (missing.kind.word(), &missing.name);
            format!(
                "the external {kind} {name} is not on this host; create it with `docker {kind} create {name}`; looked for again {}",
                moment(*until)
            )
        }
        Waiting::ClockUntrusted { cause } => format!("the host's clock cannot be trusted: {cause}; releases wait until it is steady"),
    }
}

/// A moment for people: UTC, to the second.
pub fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A release for people: `shop #7 (3f2a… at 1234567890)`.
pub fn release(of: &ReleaseOf) -> String {
    let number = of.release.map_or(String::new(), |number| format!(" #{number}"));
    format!("{}{number} (content {}, commit {})", of.stack, of.content.short(), of.commit.short())
}

/// News for the log; none: too small, or told elsewhere.
pub fn event(event: &Event) -> Option<String> {
    match event {
        Event::Started(started) => {
            let pass = started.overridden.as_ref().map_or(String::new(), |given| format!("; {}", overridden(given)));
            let numbers: Vec<String> = started.skipped.iter().map(ToString::to_string).collect();
            let skipped = if numbers.is_empty() { String::new() } else { format!("; skips {}", numbers.join(", ")) };
            Some(format!("{} of {} begins, {} steps{pass}{skipped}", class(started.class), release(&started.of), started.steps))
        }
        Event::Finished(finished) => {
            Some(format!("{} of {}: {}", class(finished.class), release(&finished.of), outcome(&finished.outcome)))
        }
        Event::Overran(news) => {
            let (of, closed) = (release(&news.of), moment(news.closed_at));
            Some(format!("{of} ended {} s after its window closed {closed}", news.overrun_secs))
        }
        Event::LocalRollback(news) => Some(format!("{} rolled back to {}: {}", news.by, release(&news.to), news.reason)),
        Event::Repaired(repaired) => Some(format!("{} repaired: {}", repaired.stack, repaired.found.join("; "))),
        Event::Status(_) | Event::Progress(_) | Event::ConfigRefused(_) | Event::Trouble(_) | Event::Recovered(_) => None,
    }
}

/// An override that was used: what it passed, who gave it, why.
pub fn overridden(given: &Overridden) -> String {
    format!("{} was overridden by {}: {}", given.code, given.by, given.reason)
}

/// How a rollout ended.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Verified => "verified".into(),
        Outcome::Superseded => "superseded by a newer one".into(),
        Outcome::TakenBack { because } => format!("taken back: {}", waiting(because)),
        Outcome::Failed(failure) => format!("failed: {}; {}", failure.cause, restored(&failure.restored)),
        Outcome::Error(failure) => format!("could not be done: {}; {}", failure.cause, restored(&failure.restored)),
    }
}

fn restored(restored: &Restored) -> String {
    match restored {
        Restored::Previous { release: Some(number), .. } => format!("release {number} was put back"),
        Restored::Previous { release: None, content } => format!("content {} was put back", content.short()),
        Restored::Nothing => "nothing of it ran before".into(),
        Restored::Not { cause } => format!("the way back failed too: {cause}"),
    }
}

/// What a rollback would do.
pub fn rollback_shown(way: &Way) -> String {
    let from = way.from.as_ref().map_or("nothing released".to_owned(), release);
    format!(
        "from {from}\nto   {}\nThe release that is left is not taken up again until git or `tidegate resume` says so.",
        release(&way.to)
    )
}

/// What a command did.
pub fn rolled(done: &Rolled) -> String {
    match done {
        Rolled::Back { from, to } => {
            let from = from.as_ref().map_or(String::new(), |from| format!(", back from {}", release(from)));
            format!("{} runs{from}", release(to))
        }
        Rolled::AlreadyThere { to } => format!("{} runs already; nothing was done", release(to)),
        Rolled::UnderWay { to, cause } => format!("{} is under way: {cause}", release(to)),
        Rolled::Resumed { lifted } if lifted.is_empty() => "there was nothing to lift".into(),
        Rolled::Resumed { lifted } => format!("git decides again: {}", lifted.join("; ")),
    }
}

/// A sign for a step in a plan.
pub fn mark(action: &Action) -> &'static str {
    match action {
        Action::Create { .. } | Action::CreateNetwork { .. } | Action::CreateVolume { .. } => "+",
        Action::Remove { .. } | Action::RemoveNetwork { .. } => "-",
        Action::Start { .. } | Action::Stop { .. } => "~",
        Action::Pull { .. } | Action::AwaitReady { .. } | Action::AwaitExit { .. } => " ",
    }
}

/// What the calendar says, for a plan.
pub fn calendar(decision: &Decision) -> String {
    let next = decision.next_start.map_or("no known time".to_owned(), moment);
    let rule = &decision.rule.name;
    match decision.state {
        State::Open => match decision.open_until {
            Some(until) => format!("the window {rule} is open until {}", moment(until)),
            None => "releases may start now".to_owned(),
        },
        State::Closing => format!("the window {rule} is about to close; the next start is {next}"),
        State::Closed => format!("no window is open ({rule}); the next start is {next}"),
        State::Frozen => format!("frozen by {rule}; the next start is {next}"),
    }
}
