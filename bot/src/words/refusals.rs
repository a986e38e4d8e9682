//! Why nothing was done, and what to do next: each of these names the next step.

use super::{all, either, gates, role_needed, time, waits};
use crate::command::{LINE_MAX_CHARS, NotUnderstood};
use crate::request::{ApprovalCounted, CandidateRef, HistoryLine, Refusal, Standing, Trouble};
use crate::words::{could, count};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Display;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::policy::NotCounted;

/// Why a line is no command.
pub fn not_understood(error: &NotUnderstood) -> String {
    match error {
        NotUnderstood::Empty => "Say what to do. `help` lists what can be asked.".to_owned(),
        NotUnderstood::TooLong => format!("That is longer than {LINE_MAX_CHARS} characters. Say it shorter."),
        NotUnderstood::UnknownCommand { word, nearest: Some(nearest) } => {
            format!("There is no command `{word}`. Did you mean `{nearest}`? `help` lists what can be asked.")
        }
        NotUnderstood::UnknownCommand { word, nearest: None } => {
            format!("There is no command `{word}`. `help` lists what can be asked.")
        }
        NotUnderstood::Missing { usage, what } => format!("{} is missing. Write: {usage}", waits::capital(what)),
        NotUnderstood::BadWord { usage, word, expected } => format!("`{word}` does not fit here: {expected} is expected. Write: {usage}"),
    }
}

/// Why nothing was done.
pub fn refusal(refusal: &Refusal, now: Timestamp) -> String {
    match refusal {
        Refusal::UnknownPerson { platform, user, known_at_tip } => unknown_person(platform, user, *known_at_tip),
        Refusal::MayNot { why, command } => may_not(why, command, now),
        Refusal::NotReady => "The config repo has not been read yet. Try again in a moment.".to_owned(),
        Refusal::UnknownEnvironment { asked, known } => format!("There is no environment `{asked}`. There is {}.", all(known)),
        Refusal::WhichEnvironment { command, stack, choices } => {
            let stack = stack.as_ref().map(|stack| format!(" {stack}")).unwrap_or_default();
            let lines: Vec<String> = choices.iter().map(|choice| format!("`{command}{stack} {choice}`")).collect();
            format!("Where? Say {}.", either(lines))
        }
        Refusal::NothingToDecide { environment, current } => nothing_to_decide(environment.as_ref(), current.as_deref(), now),
        Refusal::Superseded { now: current } => format!(
            "That is not what is offered any more, so nothing was done: {} now stands at {}. Look at it, then `approve {} {}`.",
            current.environment,
            waits::candidate(current),
            current.environment,
            current.commit.short()
        ),
        Refusal::ChangedJustNow { now: current, at, command } => changed_just_now(current, &time::ago(*at, now), command),
        Refusal::AlreadyReleased { release, environment } => {
            format!("That is released already: {environment} is at {}.", history_words(release, now))
        }
        Refusal::AlreadyApproved { counted } => already_approved(counted),
        Refusal::RejectedBefore { candidate, by, reason } => format!(
            "{} was turned down by {by}: {reason}\nIf {by} changes their mind, they approve it; otherwise merge a change and a new candidate appears.",
            waits::capital(&waits::candidate(candidate))
        ),
        Refusal::UnknownStack { environment, stack, known } => {
            let place = environment.as_ref().map(|environment| format!(" in {environment}")).unwrap_or_default();
            let known = if known.is_empty() { "No stack is released yet.".to_owned() } else { format!("There is {}.", all(known)) };
            format!("No release holds a stack `{stack}`{place}. {known}")
        }
        Refusal::MovedOn { stack, environment, shown, current } => moved_on((stack, environment), *shown, *current),
        Refusal::NoRelease { environment } => format!(
            "{environment} has no release yet: its agents follow the branch. Set `approvals:` in environments/{environment}.yaml (`none` is enough) and every change becomes a release that can be rolled back; until then, revert the commit in git."
        ),
        Refusal::AlreadyThere { environment, stack, release } => {
            format!("{stack} in {environment} has the content of release {release} already. Nothing was done.")
        }
        Refusal::BackAlready { environment, stack, at, by, further } => {
            let by = by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
            format!(
                "{stack} in {environment} is back on release {at} already{by}. Nothing was done. {}",
                further_back(stack, environment, *further)
            )
        }
        Refusal::UnknownRelease { environment, stack, asked, targets } => {
            format!("Release {asked} of {environment} did not bring any content of {stack}. {}", where_to(targets))
        }
        Refusal::NeverVerified { environment, stack, asked, targets } => format!(
            "Release {asked} of {stack} never passed its checks on a host of {environment}, so going there is no rollback. {}",
            where_to(targets)
        ),
        Refusal::TargetHeld { stack, asked, hold } => {
            format!("Release {asked} of {stack} is held: {}\nIf it is good after all: `resume {stack}` first.", waits::held(hold, now))
        }
        Refusal::NothingEarlier { environment, stack } => format!(
            "There is no earlier release of {stack} that passed its checks in {environment}, so there is nothing to go back to. Fix it forward: merge a change."
        ),
        Refusal::NotHeld { environment, stack, held } => not_held(environment.as_ref(), stack, held),
        Refusal::Gate(refused) => gates::refusal(refused, now),
        Refusal::KeptButNotReleased { candidate, cause } => format!(
            "Your approval counts and is kept, but {} cannot be made yet: {} It is tried again by itself; nobody has to approve again.",
            waits::candidate(candidate),
            trouble(cause)
        ),
        Refusal::Failed { command, cause } => format!("`{command}` could not be done, and nothing changed: {}", trouble(cause)),
    }
}

fn changed_just_now(current: &CandidateRef, ago: &str, command: &str) -> String {
    let CandidateRef { environment, commit, .. } = current;
    let (what, commit) = (waits::candidate(current), commit.short());
    let reason = if command == "reject" { " with the reason" } else { "" };
    format!(
        "Nothing was done: what {environment} offers changed {ago}, and you may not have seen it. It is {what} at {commit} now. Look at it, then `{command} {environment} {commit}`{reason}."
    )
}

fn unknown_person(platform: &str, user: &str, standing: Standing) -> String {
    match standing {
        Standing::AtTipOnly => format!(
            "`{user}` is in tidegate.yaml, but not yet in the released version of it: a change cannot give itself rights. It counts after the next release here, which somebody else has to approve."
        ),
        Standing::Nowhere => {
            format!(
                "I do not know `{user}` on {platform}. Add them to `people` in tidegate.yaml, with `chat: {{ {platform}: \"{user}\" }}`."
            )
        }
    }
}

fn may_not(why: &NotCounted, command: &str, now: Timestamp) -> String {
    match why {
        NotCounted::UnknownPerson => format!("`{command}` is for the people of the released tidegate.yaml, and you are not among them."),
        NotCounted::MissingRole { needs } => {
            format!("`{command}` needs {}. Ask somebody who has it, or have your roles in tidegate.yaml changed.", role_needed(needs))
        }
        NotCounted::IsAuthor => {
            "You wrote some of what would be released, and this environment wants somebody else to agree. Ask a colleague.".to_owned()
        }
        NotCounted::Expired { at } => format!("Your approval ended {}. Give it again.", time::ago(*at, now)),
        NotCounted::OtherCandidate => "Your approval was for an earlier candidate. Look at this one, then approve it.".to_owned(),
    }
}

fn nothing_to_decide(environment: Option<&impl Display>, current: Option<&HistoryLine>, now: Timestamp) -> String {
    let Some(environment) = environment else {
        return "Nothing waits for an approval. `status` shows what runs, `why` what waits.".to_owned();
    };
    let current = current.map(|release| format!(" It is at {}.", history_words(release, now))).unwrap_or_default();
    format!("Nothing waits for an approval in {environment}.{current}")
}

/// `release 2 (shop), approved by alice, 3 min ago`.
pub(super) fn history_words(line: &HistoryLine, now: Timestamp) -> String {
    let what = format!("release {} ({})", line.release, crate::releases::stack_list(line.stacks.iter()));
    let people = if line.people.is_empty() { String::new() } else { format!(", by {}", all(&line.people)) };
    format!("{what}{people}, {}", time::ago(line.at, now))
}

fn already_approved(counted: &ApprovalCounted) -> String {
    let CandidateRef { environment, .. } = &counted.candidate;
    let missing = counted.tally.missing();
    format!(
        "You approved {} of {environment} already. It still needs {}: {}.",
        waits::candidate(&counted.candidate),
        count(missing, "approval"),
        could(&counted.tally.could)
    )
}

fn further_back(stack: &impl Display, environment: &impl Display, further: Option<ReleaseNumber>) -> String {
    match further {
        Some(further) => format!("To go further: `rollback {stack} {environment} to {further}`."),
        None => "There is no earlier verified release to go to.".to_owned(),
    }
}

fn not_held<T: Display>(environment: Option<&impl Display>, stack: &T, held: &BTreeSet<T>) -> String {
    let place = environment.map(|environment| format!(" in {environment}")).unwrap_or_default();
    let held = if held.is_empty() { "Nothing is held.".to_owned() } else { format!("Held: {}.", all(held)) };
    format!("{stack} is not held{place}. {held}")
}

fn where_to(targets: &[ReleaseNumber]) -> String {
    if targets.is_empty() {
        return "No earlier release was verified there.".to_owned();
    }
    format!("You can go back to {}.", either(targets.iter().map(|number| format!("release {number}"))))
}

/// What keeps the bot from making a commit, as a sentence.
pub fn trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Image { image, cause } => format!("the registry gives no digest for {image}: {}.", cause.trim_end_matches('.')),
        Trouble::Git { cause } => format!("the config repo cannot be read or written: {}.", cause.trim_end_matches('.')),
        Trouble::BrokenTip { finding } => format!("the branch cannot be used as it is: {}.", finding.trim_end_matches('.')),
        Trouble::Held { hold } => format!("its content with these image digests is held: {}.", hold.reason.trim_end_matches('.')),
        Trouble::Store { cause } => format!("my own store failed: {}.", cause.trim_end_matches('.')),
        Trouble::Stopping => "I am stopping. Try again in a moment.".to_owned(),
    }
}
fn moved_on((stack, environment): (&StackName, &EnvironmentName), shown: ReleaseNumber, current: Option<ReleaseNumber>) -> String {
    let now = current.map_or_else(|| "none".to_owned(), |number| number.to_string());
    super::discord::moved_on(stack.as_str(), environment.as_str(), &shown.to_string(), &now)
}
