//! News as messages: to whom, in whose words, and who is mentioned. Only what needs a person becomes a message of its
//! own; everything else is an edit of a card.

use super::posts::{Posts, link};
use super::text::{cut_lines, escape, line, relative};
use super::wire::{Embed, Mentions, Message};
use crate::chat::Tone;
use crate::notice::{News, Notice};
use crate::room::Picture;
use crate::words::{self, discord as said};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::ids::{EnvironmentName, ReleaseNumber, StackName};
use tidegate_core::lock::ReleaseKind;
use tidegate_core::repo::{Digest, DiscordChat, Person};

/// Authors mentioned by one failure.
const AUTHORS_MAX: usize = 5;
/// Releases looked at for a day.
const DIGEST_MAX: usize = 100;

/// A message and its channel.
#[derive(Debug)]
pub struct Addressed {
    /// Where.
    pub channel: u64,
    /// What.
    pub message: Message,
}

/// What decides about a message.
#[derive(Debug)]
pub struct Known<'a> {
    /// The rooms.
    pub chat: &'a DiscordChat,
    /// What is known of each environment.
    pub pictures: &'a [Arc<Picture>],
    /// Where cards are.
    pub posts: &'a Posts,
}

impl Known<'_> {
    fn picture(&self, name: Option<&EnvironmentName>) -> Option<&Arc<Picture>> {
        self.pictures.iter().find(|picture| Some(&picture.name) == name)
    }

    /// Stakeholders hear of the last environment in promotion order.
    fn is_production(&self, name: Option<&EnvironmentName>) -> bool {
        self.pictures.last().is_some_and(|picture| Some(&picture.name) == name)
    }

    fn link_of(&self, picture: &Picture, release: ReleaseNumber) -> Option<String> {
        let card = picture.cards.iter().rev().find(|card| card.release == release)?;
        self.posts.get(&format!("{}/{}", card.environment, card.id)).map(|post| link(self.chat.guild.0, post))
    }
}

/// The messages of some news; none: the card says it.
pub fn messages(notice: &Notice, known: &Known<'_>) -> Vec<Addressed> {
    let picture = known.picture(notice.environment.as_ref());
    let production = known.is_production(notice.environment.as_ref());
    let on_call = known.chat.on_call.filter(|_| production).map(|role| role.to_string());
    let any_on_call = known.chat.on_call.map(|role| role.to_string());
    let (mentions, release) = match &notice.news {
        // Shown by the card, whose first sight is a message of its own.
        News::NeedsApproval { candidate, .. } => {
            let shown = picture.and_then(|picture| {
                let card = picture.cards.iter().rev().find(|card| card.release == candidate.release)?;
                known.posts.get(&format!("{}/{}", card.environment, card.id))
            });
            if shown.is_none_or(|post| post.about == candidate.commit.as_str()) {
                return Vec::new();
            }
            (Mentions::default(), Some(candidate.release))
        }
        News::Released { .. } | News::Live { .. } => return Vec::new(),
        News::FailedRolledBack { failure, .. } | News::FailedHeld { failure, .. } => {
            let authors = picture.map(|picture| authors(picture, &failure.stack, failure.release)).unwrap_or_default();
            let roles = on_call.into_iter().collect();
            (Mentions { users: authors, roles, ..Mentions::default() }, failure.release)
        }
        News::RolledBack { to, .. } => (Mentions { roles: any_on_call.into_iter().collect(), ..Mentions::default() }, Some(*to)),
        News::LocalRollbackAndGitMoved { .. } => (Mentions { roles: any_on_call.into_iter().collect(), ..Mentions::default() }, None),
        News::CouldNotTell { failure } => (Mentions::default(), failure.release),
        News::Overran(late) => (Mentions::default(), late.release),
        News::HoldReminder { .. } => (Mentions { users: owner(notice, picture.map(Arc::as_ref)), ..Mentions::default() }, None),
        News::CannotRelease { candidate, .. } => (Mentions::default(), Some(candidate.release)),
        News::LockMissing { .. } => (Mentions { roles: any_on_call.into_iter().collect(), ..Mentions::default() }, None),
        News::BrokenTip { .. } | News::TipMended { .. } | News::HostTrouble { .. } | News::HostRecovered { .. } => {
            (Mentions::default(), None)
        }
    };
    let link = picture.zip(release).and_then(|(picture, release)| known.link_of(picture, release));
    vec![Addressed { channel: known.chat.engineers.0, message: message(notice, mentions, link) }]
}

/// The identity here of whom the news concern.
fn owner(notice: &Notice, picture: Option<&Picture>) -> Vec<String> {
    let person = notice.news.concerns().and_then(|name| picture?.settings()?.people.get(name));
    person.and_then(|person| person.chat.get(super::serve::NAME).cloned()).into_iter().collect()
}

fn message(notice: &Notice, mentions: Mentions, link: Option<String>) -> Message {
    let words = words::notice(notice);
    let color = match words::notice_tone(notice) {
        Tone::Good => 0x0022_a559,
        Tone::Warning => 0x00e0_7b1a,
        Tone::Bad => 0x00da_373c,
        Tone::Plain => 0x00f0_b232,
    };
    let (first, rest) = words.split_once('\n').unwrap_or((&words, ""));
    let who: Vec<String> =
        mentions.users.iter().map(|user| format!("<@{user}>")).chain(mentions.roles.iter().map(|role| format!("<@&{role}>"))).collect();
    let link = link.map(|link| format!("\n{link}")).unwrap_or_default();
    let description = format!("{}{link}", escape(rest)).trim().to_owned();
    let embeds = if description.is_empty() { Vec::new() } else { vec![Embed { description, color: Some(color), ..Embed::default() }] };
    // The names come first, so that no cut of a long sentence takes them away.
    let content = format!("{} {}", who.join(" "), line(first)).trim().to_owned();
    Message { content, embeds, allowed_mentions: mentions, ..Message::default() }
}

/// The people on Discord who wrote what a release brought.
fn authors(picture: &Picture, stack: &StackName, release: Option<ReleaseNumber>) -> Vec<String> {
    let is_it = |card: &&crate::card::Card| release.is_none_or(|number| card.release == number) && card.changes.contains_key(stack);
    let Some(card) = picture.cards.iter().rev().find(is_it) else { return Vec::new() };
    let emails: BTreeSet<&str> = card.commits.iter().flat_map(|commit| &commit.emails).map(String::as_str).collect();
    let settings = picture.settings().or_else(|| picture.seen.tip.as_ref().map(|tip| &tip.repo.settings));
    let wrote = |person: &&Person| emails.iter().any(|email| email.eq_ignore_ascii_case(&person.email));
    let people = settings.into_iter().flat_map(|settings| settings.people.values());
    people.filter(wrote).filter_map(|person| person.chat.get(super::serve::NAME).cloned()).take(AUTHORS_MAX).collect()
}

/// The last moment at which the daily list was due; none: its zone is gone.
pub fn digest_due(digest: Option<&Digest>, now: Timestamp) -> Option<Timestamp> {
    let (at, zone) = match digest {
        Some(digest) => (digest.at, TimeZone::get(&digest.tz).ok()?),
        None => (jiff::civil::Time::constant(17, 0, 0, 0), TimeZone::UTC),
    };
    let today = now.to_zoned(zone.clone()).date();
    let of = |date: jiff::civil::Date| zone.to_timestamp(date.to_datetime(at)).ok();
    of(today).filter(|due| *due <= now).or_else(|| of(today.yesterday().ok()?))
}

/// What went live in the day before; none: nothing.
pub fn digest(picture: &Picture, due: Timestamp) -> Option<Message> {
    let from = due.checked_sub(SignedDuration::from_hours(24)).ok()?;
    let lines: Vec<String> = picture
        .history
        .lines(DIGEST_MAX)
        .into_iter()
        .filter(|release| release.at > from && release.at <= due && !release.stacks.is_empty())
        .filter_map(|release| {
            let undone = match release.kind {
                ReleaseKind::Release => false,
                ReleaseKind::Rollback | ReleaseKind::AutomaticRollback => true,
                _ => return None,
            };
            let live = picture.cards.iter().any(|card| card.release == release.release && picture.is_live(card));
            let what = crate::releases::stack_list(release.stacks.iter());
            (live || undone || is_old(picture, release.release))
                .then(|| format!("• {}", said::digest_line(&line(&what), &relative(release.at), undone)))
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let embed = Embed { title: line(&said::digest(picture.name.as_str())), description: cut_lines(&lines, 3_500), ..Embed::default() };
    Some(Message::embed(embed))
}

/// A release that a later one took the place of was live, as far as anybody can tell now.
fn is_old(picture: &Picture, release: ReleaseNumber) -> bool {
    let card = picture.cards.iter().rev().find(|card| card.release == release);
    card.is_some_and(|card| card.stage == crate::card::Stage::Superseded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daily_list_is_due_once_a_day_in_its_own_zone() {
        let digest = Digest { at: jiff::civil::Time::constant(9, 0, 0, 0), tz: "Europe/Berlin".into() };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(digest_due(Some(&digest), at("2026-11-21T07:59:00Z")), Some(at("2026-11-20T08:00:00Z")));
        assert_eq!(digest_due(Some(&digest), at("2026-11-21T08:00:00Z")), Some(at("2026-11-21T08:00:00Z")));
        assert_eq!(digest_due(None, at("2026-11-21T16:59:59Z")), Some(at("2026-11-20T17:00:00Z")));
    }
}
