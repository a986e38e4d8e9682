//! What an environment's worker knows: it alone changes it, everybody else sees copies.

use crate::card::{Card, Stage};
use crate::history::{History, Target, WaysBack};
use crate::request::{ApprovalCounted, CandidateRef, HoldHome, Trouble};
use crate::store::{HostRow, Store, StoreError};
use crate::tips::Seen;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::candidate::Comparison;
use tidegate_core::compose::StackModel;
use tidegate_core::ids::{CommitId, ContentId, EnvironmentName, HostName, PersonName, ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, Lock, LockedStack};
use tidegate_core::plan::Waiting;
use tidegate_core::policy::{self, Rules, Tally};
use tidegate_core::repo::{ApprovalPolicy, Environment, Person, Settings, Standing};

/// An environment as its worker knows it.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its name.
    pub name: EnvironmentName,
    /// The branch when it was looked at last.
    pub seen: Arc<Seen>,
    /// The lock with what it points to.
    pub locked: Option<Arc<Locked>>,
    /// What git remembers.
    pub history: Arc<History>,
    /// What differs from the lock.
    pub comparison: Comparison,
    /// Cards, oldest first.
    pub cards: Vec<Card>,
    /// Hosts by name.
    pub hosts: BTreeMap<HostName, HostRow>,
    /// Contents that passed on a host.
    pub verified: BTreeSet<(StackName, ContentId)>,
}

/// A lock with what it points to.
#[derive(Debug, Clone)]
pub struct Locked {
    /// The lock.
    pub lock: Lock,
    /// Placement and policy at the lock's commit.
    pub environment: Option<Environment>,
    /// People at the lock's commit.
    pub settings: Settings,
    /// The stacks at their commits, without digests.
    pub models: BTreeMap<StackName, StackModel>,
    /// The held contents, without digests.
    pub held: BTreeMap<ContentId, StackModel>,
    /// Commits that the lock names and the config repo does not hold: somebody wrote the lock by hand.
    pub missing: BTreeSet<CommitId>,
}

impl Picture {
    /// What the store remembers; git comes with the first look.
    pub(super) async fn remembered(name: EnvironmentName, store: &Store) -> Result<Picture, StoreError> {
        let cards = store.cards(&name).await?;
        let hosts = store.hosts(&name).await?.into_iter().map(|row| (row.host.clone(), row)).collect();
        let verified = store.verified(&name).await?.into_iter().collect();
        Ok(Picture {
            name,
            seen: Arc::default(),
            locked: None,
            history: Arc::default(),
            comparison: Comparison { candidate: None, held: BTreeMap::new() },
            cards,
            hosts,
            verified,
        })
    }

    /// The environment at the tip.
    pub fn at_tip(&self) -> Option<&Environment> {
        self.seen.tip.as_ref()?.repo.environment(&self.name)
    }

    /// The lock.
    pub fn lock(&self) -> Option<&Lock> {
        self.locked.as_ref().map(|locked| &locked.lock)
    }

    /// What gates releases: windows, freezes, holds and overrides, of the environment's file and of the lock.
    pub fn standing(&self) -> Option<Standing> {
        Some(self.at_tip()?.standing(self.lock()))
    }

    /// The holds of the lock and of the environment's file.
    pub fn holds(&self) -> Vec<Hold> {
        let of_lock = || self.lock().map(|lock| lock.holds.clone()).unwrap_or_default();
        self.standing().map_or_else(of_lock, |standing| standing.holds)
    }

    /// Where a hold stands. One that stands in both is lifted in both.
    pub fn home_of(&self, hold: &Hold) -> HoldHome {
        let is_written = self.at_tip().is_some_and(|environment| environment.holds.contains(hold));
        if is_written { HoldHome::File } else { HoldHome::Lock }
    }

    /// What keeps an open card from being released: all its stacks are held.
    pub fn hold_of(&self, card: &Card) -> Option<&Hold> {
        let held = |stack: &StackName| self.comparison.held.get(stack).map(|held| &held.hold).filter(|hold| hold.content.is_none());
        let first = card.changes.keys().next().and_then(held)?;
        card.changes.keys().all(|stack| held(stack).is_some()).then_some(first)
    }

    /// Is this stack locked, or placed at the tip?
    pub fn knows(&self, stack: &StackName) -> bool {
        self.stacks().contains_key(stack) || self.at_tip().is_some_and(|environment| environment.stacks.contains_key(stack))
    }

    /// Does every host of a stack run what is locked?
    pub fn is_everywhere(&self, stack: &StackName, locked: &LockedStack) -> bool {
        let hosts = self.hosts_of(stack);
        !hosts.is_empty() && hosts.iter().all(|host| self.runs(host, stack, &locked.content))
    }

    /// Did what is locked fail on a host?
    pub fn has_failed(&self, stack: &StackName, locked: &LockedStack) -> bool {
        let says = |row: &HostRow| {
            let waiting = row.report.status.as_ref().and_then(|status| status.stacks.get(stack)).and_then(|on| on.waiting.as_ref());
            matches!(waiting, Some(Waiting::FailedHere { release, .. }) if release.is_none_or(|number| number == locked.release))
        };
        let on_card = |card: &Card| card.release == locked.release && card.failures().any(|(_, failed, _)| failed == stack);
        self.hosts.values().any(says) || self.card_of(stack, &locked.content).is_some_and(on_card)
    }

    /// The people who count: those of the released commit; before the first release, those of the tip.
    pub fn settings(&self) -> Option<&Settings> {
        match &self.locked {
            Some(locked) => Some(&locked.settings),
            None => self.seen.tip.as_ref().map(|tip| &tip.repo.settings),
        }
    }

    /// The policy in force, found like the people.
    pub fn policy(&self) -> Option<&ApprovalPolicy> {
        let released = self.locked.as_ref().and_then(|locked| locked.environment.as_ref());
        released.or_else(|| self.at_tip()).map(|environment| &environment.approvals)
    }

    /// A person's name for people.
    pub fn full_name(&self, name: &PersonName) -> String {
        let known = |settings: &Settings| settings.people.get(name).map(|person| person.full_name.clone());
        let at_tip = || self.seen.tip.as_ref().and_then(|tip| known(&tip.repo.settings));
        self.settings().and_then(known).or_else(at_tip).unwrap_or_else(|| name.to_string())
    }

    /// The card of what is offered or turned down.
    pub fn open_card(&self) -> Option<&Card> {
        self.cards.iter().rev().find(|card| card.is_open())
    }

    /// The number of the next release.
    pub fn next_number(&self) -> ReleaseNumber {
        crate::releases::next_number(self.lock())
    }

    /// How far consent to a card has come.
    pub fn tally(&self, card: &Card, now: Timestamp) -> Option<Tally> {
        let authors = authors(card);
        let rules = self.rules(&authors)?;
        Some(policy::tally(&rules, &card.subject, &card.approvals, now))
    }

    /// What decides about consent, given the authors of a card.
    pub fn rules<'a>(&'a self, authors: &'a BTreeSet<String>) -> Option<Rules<'a>> {
        let people: &BTreeMap<PersonName, Person> = &self.settings()?.people;
        Some(Rules { policy: self.policy()?, people, authors })
    }

    /// What waits for people, if something does.
    pub fn waiting(&self, now: Timestamp) -> Option<ApprovalCounted> {
        let card = self.open_card().filter(|card| card.stage == Stage::Candidate && self.hold_of(card).is_none())?;
        let tally = self.tally(card, now)?;
        (tally.missing() > 0).then(|| ApprovalCounted { candidate: candidate_ref(card), tally })
    }

    /// The trouble of an agreed release.
    pub fn trouble(&self) -> Option<(&Card, &Trouble)> {
        let card = self.open_card()?;
        card.trouble.as_ref().map(|trouble| (card, trouble))
    }

    /// The hosts that a stack is placed on: by the lock's commit, or by the tip where agents follow it.
    pub fn hosts_of(&self, stack: &StackName) -> BTreeSet<HostName> {
        let environment = match &self.locked {
            Some(locked) => locked.environment.as_ref(),
            None => self.at_tip(),
        };
        let Some(placement) = environment.and_then(|environment| environment.stacks.get(stack)) else { return BTreeSet::new() };
        let Some(tip) = &self.seen.tip else { return BTreeSet::new() };
        tip.repo.hosts_of(&self.name).filter(|host| placement.matches(&host.labels)).map(|host| host.name.clone()).collect()
    }

    /// The stacks of the environment with their locked release.
    pub fn stacks(&self) -> BTreeMap<StackName, Option<ReleaseNumber>> {
        match (self.lock(), self.at_tip()) {
            (Some(lock), _) => lock.stacks.iter().map(|(name, locked)| (name.clone(), Some(locked.release))).collect(),
            (None, Some(environment)) => environment.stacks.keys().map(|name| (name.clone(), None)).collect(),
            (None, None) => BTreeMap::new(),
        }
    }

    /// The ways back of a stack; none: it is not locked.
    pub fn ways_back<'a>(&'a self, stack: &'a StackName, now: Timestamp) -> Option<WaysBack<'a>> {
        let lock = self.lock()?;
        lock.stacks.contains_key(stack).then_some(WaysBack { history: &self.history, lock, stack, verified: &self.verified, now })
    }

    /// Where a stack can go back to, the last good one first.
    pub fn targets(&self, stack: &StackName, now: Timestamp) -> Vec<Target> {
        let Some(ways) = self.ways_back(stack, now) else { return Vec::new() };
        ways.targets().into_iter().filter(Target::is_open).collect()
    }

    /// Does a host say that it runs this content by right? Then it was verified there, perhaps long ago: a host that has
    /// put an earlier release back by itself has nothing left to do for the lock that follows it.
    pub fn runs(&self, host: &HostName, stack: &StackName, content: &ContentId) -> bool {
        let status = self.hosts.get(host).and_then(|row| row.report.status.as_ref());
        let released = status.and_then(|status| status.stacks.get(stack)).and_then(|stack| stack.released.as_ref());
        released.is_some_and(|of| of.content == *content)
    }

    /// Did every host of every stack of this card verify it?
    pub fn is_live(&self, card: &Card) -> bool {
        let verified = |stack: &StackName, host: &HostName| {
            card.progress.iter().any(|progress| {
                progress.stack == *stack
                    && progress.host == *host
                    && matches!(progress.state, crate::card::ProgressState::Ended { outcome: tidegate_core::events::Outcome::Verified, .. })
            })
        };
        !card.contents.is_empty()
            && card.contents.iter().all(|(stack, content)| {
                let hosts = self.hosts_of(stack);
                !hosts.is_empty() && hosts.iter().all(|host| verified(stack, host) || self.runs(host, stack, content))
            })
    }
}

/// The addresses of those who wrote what a card releases.
pub fn authors(card: &Card) -> BTreeSet<String> {
    card.commits.iter().flat_map(|commit| commit.emails.iter().cloned()).collect()
}

/// A card's candidate, for words.
pub fn candidate_ref(card: &Card) -> CandidateRef {
    CandidateRef {
        environment: card.environment.clone(),
        release: card.release,
        commit: card.subject.commit.clone(),
        stacks: card.changes.keys().cloned().collect(),
    }
}
