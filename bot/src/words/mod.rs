//! Every sentence that the bot says, in one place. Code elsewhere passes enums.
//!
//! Plain text, one thought per line; names, subjects and reasons stand in it as people wrote them, and whoever renders
//! it for a platform escapes them.

mod cards;
pub mod discord;
pub mod doctor;
mod gates;
mod notices;
mod outcomes;
mod refusals;
mod time;
mod waits;

pub use cards::{PENDING, RELEASED_WAITS, RUNS_IT, entry, missing, progress, stage, target, who};
pub use gates::held_card;
pub use notices::{notice, tone as notice_tone};
pub use outcomes::{outcome, tone as outcome_tone};
pub use refusals::{not_understood, refusal, trouble};
pub use time::{ago, civil, civil_end, full, timeless, took, until, when};
pub use waits::{cleared_by, reason as wait_reason, waiting, window};

use std::fmt::Display;
use tidegate_core::ids::{CommitId, PersonName, RoleName};

/// Why a branch is not followed.
pub fn rewritten(tip: &CommitId, trusted: &CommitId) -> String {
    format!(
        "The branch was rewritten: {} does not descend from {}, so it is not followed and everything stays as it is. Push a commit that descends from {}; if the rewrite was meant, stop the bot, delete `bot.db` in its state folder, and start it.",
        tip.short(),
        trusted.short(),
        trusted.short()
    )
}

/// Why the newest commits of a branch are not followed.
pub fn distrusted(refusal: &tidegate_core::trust::Refusal) -> String {
    format!("The branch is followed only as far as the signer policy allows: {refusal}. The hosts follow no further either.")
}

/// `1 approval`, `2 approvals`.
pub(crate) fn count(number: u32, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either<T: Display>(things: impl IntoIterator<Item = T>) -> String {
    joined(things, "or")
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn all<T: Display>(things: impl IntoIterator<Item = T>) -> String {
    joined(things, "and")
}

fn joined<T: Display>(things: impl IntoIterator<Item = T>, last_word: &str) -> String {
    let things: Vec<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    match things.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, first)) => format!("{} {last_word} {last}", first.join(", ")),
    }
}

/// `needs one of the roles engineer or lead`.
pub(crate) fn role_needed<'a>(roles: impl IntoIterator<Item = &'a RoleName>) -> String {
    let roles: Vec<&RoleName> = roles.into_iter().collect();
    match roles.as_slice() {
        [one] => format!("the role {one}"),
        several => format!("one of the roles {}", either(several)),
    }
}

/// Who may still agree: `alice or bob`; a long list is cut.
pub(crate) fn could<'a>(people: impl IntoIterator<Item = &'a PersonName>) -> String {
    const NAMED_MAX: usize = 5;
    let people: Vec<&PersonName> = people.into_iter().collect();
    match people.len() {
        0..=NAMED_MAX => either(people),
        more => format!("{} or {} others", joined(&people[..NAMED_MAX], ","), more - NAMED_MAX).replace(" , ", ", "),
    }
}
