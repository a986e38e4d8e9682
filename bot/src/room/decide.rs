//! Approve and reject: what a person says about what is offered, and the release that follows.

use super::commit::{Draft, Landed, TRIES_MAX};
use super::picture::{authors, candidate_ref};
use super::{Meant, Room};
use crate::card::{Card, Happened, Stage};
use crate::history::LockRecord;
use crate::notice::News;
use crate::releases::{self, NotBuilt, ReleaseInputs, Told, change_lines, person_identity, signed_off, stack_list};
use crate::request::{ApprovalCounted, CandidateRef, Committed, GateRefusal, Outcome, Refusal, Trouble};
use crate::tips::chain;
use jiff::Timestamp;
use tidegate_core::calendar::State;
use tidegate_core::candidate::{Candidate, Desired};
use tidegate_core::ids::PersonName;
use tidegate_core::lock::Lock;
use tidegate_core::plan::Waiting;
use tidegate_core::policy::{self, Consent, Tally};
use tidegate_core::repo::Person;

/// A candidate that took another's place less than this before a typed `approve` was hardly read by who typed it, in seconds.
const READ_SECS: i64 = 10;

/// Why a release was not made.
enum NotReleased {
    /// People are missing (again).
    Missing,
    /// Something else is offered now, or nothing.
    Superseded,
    /// It cannot be made now.
    Trouble(Trouble),
}

/// Somebody who decides, and when they said so.
pub(super) struct Asked<'a> {
    pub(super) person: &'a Person,
    pub(super) at: Timestamp,
}

impl Room {
    /// A person agrees. The approval is durable before the release is tried.
    pub(super) async fn approve(&mut self, asked: &Asked<'_>, meant: &Meant) -> Outcome {
        let person = asked.person;
        let card = match self.meant_card(meant) {
            Ok(card) => card.clone(),
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let may = self.may_approve(&card, person);
        if matches!(may, Ok(Counts::New))
            && let Err(refusal) = self.was_seen(&card, asked, (meant, "approve"))
        {
            return Outcome::Refused(refusal);
        }
        if let (Ok(_), Some(hold)) = (&may, self.picture.hold_of(&card)) {
            let (candidate, home, hold) = (candidate_ref(&card), self.picture.home_of(hold), Box::new(hold.clone()));
            return Outcome::Refused(Refusal::Gate(GateRefusal::CandidateHeld { candidate, hold, home }));
        }
        match may {
            Ok(Counts::New) => {}
            Ok(Counts::Already) => return self.release_for(person, card.id, AfterApproval::Repeated).await,
            Err(refusal) => return Outcome::Refused(refusal),
        }
        let now = self.now();
        self.change(card.id, |card| card.approve(&person.name, now));
        if let Err(cause) = self.keep().await {
            self.change(card.id, |known| *known = card.clone());
            return Outcome::Refused(Refusal::Failed { command: "approve", cause });
        }
        self.release_for(person, card.id, AfterApproval::Fresh).await
    }

    fn may_approve(&self, card: &Card, person: &Person) -> Result<Counts, Refusal> {
        if let Stage::Rejected { by, reason } = &card.stage
            && *by != person.name
        {
            return Err(Refusal::RejectedBefore { candidate: candidate_ref(card), by: by.clone(), reason: reason.clone() });
        }
        let authors = authors(card);
        let rules = self.picture.rules(&authors).ok_or(Refusal::NotReady)?;
        policy::may_approve(&rules, &person.name).map_err(|why| Refusal::MayNot { why, command: "approve" })?;
        let tally = policy::tally(&rules, &card.subject, &card.approvals, self.now());
        let already = tally.counted.iter().any(|approval| approval.by == person.name);
        Ok(if already { Counts::Already } else { Counts::New })
    }

    /// Releases if there is enough consent, and says how it stands.
    async fn release_for(&mut self, person: &Person, id: u64, after: AfterApproval) -> Outcome {
        match self.release(id, Some(person)).await {
            Ok((record, candidate)) => {
                let waiting = self.calendar_wait();
                Outcome::Released(Committed { candidate, lock_commit: record.commit, waiting })
            }
            Err(NotReleased::Missing) => self.counted(id, after),
            Err(NotReleased::Superseded) => Outcome::Refused(self.superseded()),
            Err(NotReleased::Trouble(cause)) => {
                self.release_failed(id, &cause);
                match self.picture.cards.iter().find(|card| card.id == id) {
                    Some(card) => Outcome::Refused(Refusal::KeptButNotReleased { candidate: candidate_ref(card), cause }),
                    None => Outcome::Refused(Refusal::Failed { command: "approve", cause }),
                }
            }
        }
    }

    fn counted(&self, id: u64, after: AfterApproval) -> Outcome {
        let card = self.picture.cards.iter().find(|card| card.id == id);
        let counted = card.and_then(|card| {
            let tally = self.picture.tally(card, self.now())?;
            Some(ApprovalCounted { candidate: candidate_ref(card), tally })
        });
        match (counted, after) {
            (Some(counted), AfterApproval::Fresh) => Outcome::Approved(counted),
            (Some(counted), AfterApproval::Repeated) => Outcome::Refused(Refusal::AlreadyApproved { counted: Box::new(counted) }),
            (None, _) => Outcome::Refused(Refusal::NotReady),
        }
    }

    /// The open card, if it is the one that was meant; else what is the case now.
    fn meant_card(&self, meant: &Meant) -> Result<&Card, Refusal> {
        let Some(card) = self.picture.open_card() else { return Err(self.nothing_open(meant)) };
        let is_meant = match meant {
            Meant::Current => true,
            Meant::Prefix(prefix) => card.subject.commit.as_str().starts_with(prefix.as_str()),
            Meant::Exactly(subject) => card.subject == *subject,
        };
        if is_meant {
            Ok(card)
        } else {
            Err(self.released_before(meant).unwrap_or_else(|| Refusal::Superseded { now: candidate_ref(card) }))
        }
    }

    /// A typed `approve` names no commit: it means what the person saw. What took another candidate's place a moment ago they
    /// may not have seen. Who ended that other one themselves knows.
    fn was_seen(&self, card: &Card, asked: &Asked<'_>, (meant, command): (&Meant, &'static str)) -> Result<(), Refusal> {
        if *meant != Meant::Current {
            return Ok(());
        }
        let unread = |at: &Timestamp| asked.at.as_second().saturating_sub(at.as_second()) < READ_SECS;
        let replaced = card.replaced_at.filter(|at| unread(at));
        let ended = self.picture.cards.iter().filter(|other| other.id != card.id && !other.knows(&asked.person.name));
        match replaced.or_else(|| ended.filter_map(Card::ended_at).filter(|at| unread(at)).max()) {
            Some(at) => Err(Refusal::ChangedJustNow { now: candidate_ref(card), at, command }),
            None => Ok(()),
        }
    }

    fn nothing_open(&self, meant: &Meant) -> Refusal {
        self.released_before(meant).unwrap_or_else(|| {
            let newest = self.picture.lock().and_then(|lock| self.picture.history.release(lock.release));
            let current = newest.map(|record| Box::new(self.picture.history.line(record)));
            Refusal::NothingToDecide { environment: Some(self.picture.name.clone()), current }
        })
    }

    /// A late press on something that is released already.
    fn released_before(&self, meant: &Meant) -> Option<Refusal> {
        let mut records = self.picture.history.records().iter();
        let record = match meant {
            Meant::Current => None,
            Meant::Prefix(prefix) => records.find(|record| record.lock.commit.as_str().starts_with(prefix.as_str())),
            Meant::Exactly(subject) => records.find(|record| record.lock.commit == subject.commit && record.lock.plan == subject.plan),
        }?;
        Some(Refusal::AlreadyReleased { release: Box::new(self.picture.history.line(record)), environment: self.picture.name.clone() })
    }

    fn superseded(&self) -> Refusal {
        match self.picture.open_card() {
            Some(card) => Refusal::Superseded { now: candidate_ref(card) },
            None => self.nothing_open(&Meant::Current),
        }
    }

    /// What the calendar says about a release made now.
    pub(super) fn calendar_wait(&self) -> Option<Waiting> {
        let decision = self.calendar().decide(self.now());
        let rule = decision.rule.name;
        match decision.state {
            State::Open => None,
            State::Frozen => Some(Waiting::Frozen { until: decision.next_start, rule }),
            State::Closed | State::Closing => Some(Waiting::WindowClosed { opens_at: decision.next_start, rule }),
        }
    }

    /// Releases an open card that needs nobody (any more). Called at each turn.
    pub(super) async fn release_if_agreed(&mut self) {
        let Some(card) = self.picture.open_card().filter(|card| card.stage == Stage::Candidate) else { return };
        let is_held = self.picture.hold_of(card).is_some();
        if is_held || self.picture.seen.broken.is_some() || self.picture.waiting(self.now()).is_some() {
            return;
        }
        let id = card.id;
        match self.release(id, None).await {
            Ok((record, candidate)) => self.released_unasked(&record, candidate),
            Err(NotReleased::Missing | NotReleased::Superseded) => {}
            Err(NotReleased::Trouble(cause)) => self.release_failed(id, &cause),
        }
    }

    fn released_unasked(&mut self, record: &LockRecord, candidate: CandidateRef) {
        let what = format!("released {} of {} without asking", candidate.release, candidate.environment);
        self.note(what, Some(record.commit.clone()));
        let changes = self
            .picture
            .cards
            .iter()
            .find(|card| card.lock_commit.as_ref() == Some(&record.commit))
            .map(|card| change_lines(&card.changes));
        self.tell(format!("released:{}", record.lock.release), News::Released { candidate, changes: changes.unwrap_or_default() });
    }

    fn release_failed(&mut self, id: u64, cause: &Trouble) {
        self.retry.failed();
        let now = self.now();
        let known = self.picture.cards.iter().find(|card| card.id == id).is_some_and(|card| card.trouble.as_ref() == Some(cause));
        if known {
            return;
        }
        self.change(id, |card| {
            card.trouble = Some(cause.clone());
            card.tell(now, None, Happened::NotLocked { cause: cause.clone() });
        });
        if let Some(card) = self.picture.cards.iter().find(|card| card.id == id) {
            let candidate = candidate_ref(card);
            let key = format!("cannot:{}:{}", card.subject.plan, trouble_key(cause));
            self.tell(key, News::CannotRelease { candidate, cause: cause.clone() });
        }
    }

    /// Commits the lock of a card, if what is offered is still the card's and enough people agree.
    async fn release(&mut self, id: u64, asked_by: Option<&Person>) -> Result<(LockRecord, CandidateRef), NotReleased> {
        for _ in 0..TRIES_MAX {
            let (draft, candidate) = self.draft_release(id, asked_by).await?;
            match self.commit(draft).await.map_err(NotReleased::Trouble)? {
                Landed::Yes(record) => return Ok((*record, candidate)),
                Landed::Moved => {}
            }
        }
        Err(NotReleased::Trouble(Trouble::Git { cause: format!("the branch moved {TRIES_MAX} times in a row") }))
    }

    /// Everything that is checked just before a release, from the newest look.
    async fn draft_release(&self, id: u64, asked_by: Option<&Person>) -> Result<(Draft, CandidateRef), NotReleased> {
        if let Some(broken) = &self.picture.seen.broken {
            let finding = broken.findings.first().cloned().unwrap_or_default();
            return Err(NotReleased::Trouble(Trouble::BrokenTip { finding }));
        }
        let open = self.picture.open_card().filter(|card| card.id == id && card.stage == Stage::Candidate);
        let (Some(card), Some(offered)) = (open, &self.picture.comparison.candidate) else { return Err(NotReleased::Superseded) };
        if offered.plan != card.subject.plan {
            return Err(NotReleased::Superseded);
        }
        let consent = self.consent(card).map_err(|_| NotReleased::Missing)?;
        let candidate = Candidate { commit: card.subject.commit.clone(), ..offered.clone() };
        let lock = self.build_release(&candidate, &consent, asked_by).await.map_err(NotReleased::Trouble)?;
        let message = self.release_message(&lock, &candidate, &consent);
        Ok((Draft { message, author: self.author(asked_by, &consent), lock }, candidate_ref(card)))
    }

    fn consent(&self, card: &Card) -> Result<Consent, Option<Tally>> {
        let authors = authors(card);
        let rules = self.picture.rules(&authors).ok_or(None)?;
        policy::consent(&rules, &card.subject, &card.approvals, self.now()).map_err(Some)
    }

    async fn build_release(&self, candidate: &Candidate, consent: &Consent, asked_by: Option<&Person>) -> Result<Lock, Trouble> {
        let not_read = || Trouble::BrokenTip { finding: "the environment is not in it".into() };
        let tip = self.picture.seen.tip.as_ref().ok_or_else(not_read)?;
        let desired = Desired::of(&tip.repo, &self.picture.name, &candidate.commit).ok_or_else(not_read)?;
        let base = self.picture.lock();
        let images = releases::images_to_resolve(base, &desired, candidate);
        let resolved = self.context.registry.resolve(&candidate.commit, &images).await;
        let digests = resolved.map_err(|error| Trouble::Image { image: error.image().to_owned(), cause: chain(&error) })?;
        let requested_by = asked_by.map(|person| &person.name);
        let inputs = ReleaseInputs { base, desired: &desired, candidate, consent, digests: &digests, requested_by };
        releases::release(&inputs, self.now()).map_err(|not_built| match not_built {
            NotBuilt::Held(hold) => Trouble::Held { hold },
            NotBuilt::Unresolved(image) => Trouble::Image { image, cause: "it has no digest".into() },
        })
    }

    fn release_message(&self, lock: &Lock, candidate: &Candidate, consent: &Consent) -> String {
        let known = |by: &PersonName| self.picture.settings()?.people.get(by).map(person_identity);
        let told = Told {
            subject: format!("release {} ({})", lock.release, stack_list(candidate.stacks.keys())),
            changes: candidate.stacks.clone(),
            approved_by: consent.approvals().iter().filter_map(|approval| known(&approval.by)).collect(),
            requested_by: lock.requested_by.as_ref().and_then(known).map(|identity| signed_off(&identity)),
            went_back: None,
        };
        releases::message(lock, &told)
    }

    /// The author is who asked; without one, the last to agree; else the bot.
    fn author(&self, asked_by: Option<&Person>, consent: &Consent) -> tidegate_git::Identity {
        let last = consent.approvals().last().and_then(|approval| self.picture.settings()?.people.get(&approval.by));
        match asked_by.or(last) {
            Some(person) => person_identity(person),
            None => self.bot_identity(),
        }
    }

    pub(super) fn bot_identity(&self) -> tidegate_git::Identity {
        let at_tip = self.picture.seen.tip.as_ref().map(|tip| &tip.repo.settings.bot);
        let bot = at_tip.or_else(|| self.picture.settings().map(|settings| &settings.bot));
        bot.map_or_else(|| tidegate_git::Identity::new("tidegate-bot", "tidegate-bot@localhost"), releases::bot_identity)
    }

    /// A person says no.
    pub(super) async fn reject(&mut self, asked: &Asked<'_>, meant: &Meant, reason: &str) -> Outcome {
        let person = asked.person;
        let card = match self.meant_card(meant) {
            Ok(card) => card.clone(),
            Err(refusal) => return Outcome::Refused(refusal),
        };
        if let Err(refusal) = self.may_decide(person, "reject").and_then(|()| self.was_seen(&card, asked, (meant, "reject"))) {
            return Outcome::Refused(refusal);
        }
        if let Stage::Rejected { by, reason } = &card.stage {
            let refusal = Refusal::RejectedBefore { candidate: candidate_ref(&card), by: by.clone(), reason: reason.clone() };
            return Outcome::Refused(refusal);
        }
        let now = self.now();
        self.change(card.id, |card| card.reject(&person.name, reason, now));
        if let Err(cause) = self.keep().await {
            self.change(card.id, |known| *known = card.clone());
            return Outcome::Refused(Refusal::Failed { command: "reject", cause });
        }
        Outcome::Rejected(candidate_ref(&card))
    }

    pub(super) fn may_decide(&self, person: &Person, command: &'static str) -> Result<(), Refusal> {
        let nobody = std::collections::BTreeSet::new();
        let rules = self.picture.rules(&nobody).ok_or(Refusal::NotReady)?;
        policy::may_decide(&rules, &person.name).map_err(|why| Refusal::MayNot { why, command })
    }
}

/// Does an approval change anything?
enum Counts {
    New,
    Already,
}

/// Was an approval just given, or is it the same again?
#[derive(Clone, Copy)]
enum AfterApproval {
    Fresh,
    Repeated,
}

fn trouble_key(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Image { .. } => "image",
        Trouble::Git { .. } => "git",
        Trouble::BrokenTip { .. } => "broken",
        Trouble::Held { .. } => "held",
        Trouble::Store { .. } => "store",
        Trouble::Stopping => "stopping",
    }
}
