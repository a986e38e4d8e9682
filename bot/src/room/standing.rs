//! Freezes, holds and overrides: each a commit of a person's, with a reason and mostly an end.
//!
//! Anybody who is known may stop something: a freeze or a hold does no harm that cannot be lifted. Letting something
//! through again (unfreeze, resume, override) needs the right to decide.

use super::Room;
use super::commit::{Draft, Landed, TRIES_MAX};
use super::picture::candidate_ref;
use crate::command::when::{End, Moment};
use crate::history::LockRecord;
use crate::moments::{self, Edge, NoMoment};
use crate::releases::standing::{self, By, CONTENT_HOLDS_MAX};
use crate::releases::{self, Told, person_identity, signed_off};
use crate::request::{FrozenNow, GateRefusal, HeldNow, HoldHome, Outcome, OverriddenNow, Refusal, Resumed, Trouble, Unfrozen};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use tidegate_core::calendar::{Calendar, Gated, State};
use tidegate_core::ids::{ReleaseNumber, StackName};
use tidegate_core::lock::{Hold, Lock, LockedFreeze, LockedStack, OVERRIDE_DEFAULT_SECS, OVERRIDE_MAX_SECS, Override, STANDING_MAX};
use tidegate_core::repo::Person;

/// An end that is later than a known one by no more than this says nothing new.
const SAME_AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// A freeze as it is asked for.
pub(super) struct FreezeWish<'a> {
    pub(super) from: Option<&'a Moment>,
    pub(super) until: &'a End,
    pub(super) blocks: &'a BTreeSet<Gated>,
    pub(super) reason: &'a str,
}

/// A hold as it is asked for.
pub(super) struct HoldWish<'a> {
    pub(super) stack: Option<&'a StackName>,
    pub(super) until: Option<&'a End>,
    pub(super) reason: &'a str,
}

/// An override as it is asked for.
pub(super) struct OverrideWish<'a> {
    pub(super) stack: Option<&'a StackName>,
    pub(super) release: ReleaseNumber,
    pub(super) until: Option<&'a End>,
    pub(super) reason: &'a str,
}

/// A lock to be committed, and what to say of it.
struct Drafted<T> {
    draft: Draft,
    of: T,
}

impl Room {
    /// No release starts until a moment.
    pub(super) async fn freeze(&mut self, person: &Person, wish: &FreezeWish<'_>) -> Outcome {
        match self.commit_anew("freeze", |room| room.draft_freeze(person, wish)).await {
            Ok((record, freeze)) => {
                let (environment, zone) = (self.picture.name.clone(), self.zone());
                Outcome::Frozen(FrozenNow { environment, freeze, zone, lock_commit: record.commit })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn draft_freeze(&self, person: &Person, wish: &FreezeWish<'_>) -> Result<Drafted<LockedFreeze>, Refusal> {
        let now = self.now();
        let calendar = self.calendar();
        let lock = self.lock_for("freeze")?;
        let from = wish.from.map(|from| moments::instant(from, Edge::From, &calendar, now)).transpose();
        let from = from.map_err(|why| self.no_moment(why))?.filter(|from| *from > now);
        let until = moments::end(wish.until, &calendar, from.filter(|_| matches!(wish.until, End::After(_))).unwrap_or(now));
        let until = until.map_err(|why| self.no_moment(why))?;
        if from.is_some_and(|from| from >= until) {
            return Err(self.no_moment(NoMoment::EndsFirst));
        }
        let begins = from.unwrap_or(now);
        let says_it_all = |known: &&LockedFreeze| {
            known.begins() <= begins && known.until.is_none_or(|end| until <= later(end)) && known.blocks.is_superset(wish.blocks)
        };
        if let Some(known) = lock.freezes.iter().filter(|known| !known.is_over(now)).find(says_it_all) {
            let (environment, freeze, zone) = (self.picture.name.clone(), Box::new(known.clone()), self.zone());
            return Err(Refusal::Gate(GateRefusal::AlreadyFrozen { environment, freeze, zone }));
        }
        room_for("freeze", (lock.freezes.iter().filter(|known| !known.is_over(now)).count(), STANDING_MAX / 2))?;
        let by = By { person: &person.name, now };
        let freeze = LockedFreeze {
            by: Some(person.name.clone()),
            reason: wish.reason.to_owned(),
            at: now,
            from,
            until: Some(until),
            // A freeze that blocks no release could not be read back.
            blocks: wish.blocks.iter().copied().chain([Gated::Release]).collect(),
        };
        let subject = format!("freeze until {until}");
        Ok(drafted(standing::freeze(lock, freeze.clone(), by), subject, (person, freeze)))
    }

    /// Ends the freezes that were made by command. Those in the environment's file are for a commit of people's.
    pub(super) async fn unfreeze(&mut self, person: &Person) -> Outcome {
        match self.commit_anew("unfreeze", |room| room.draft_unfreeze(person)).await {
            Ok((record, freezes)) => Outcome::Unfrozen(Unfrozen {
                environment: self.picture.name.clone(),
                freezes,
                waiting: self.calendar_wait(),
                lock_commit: record.commit,
            }),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn draft_unfreeze(&self, person: &Person) -> Result<Drafted<Vec<LockedFreeze>>, Refusal> {
        self.may_decide(person, "unfreeze")?;
        let now = self.now();
        let lock = self.lock_for("unfreeze")?;
        let (lock, ended) = standing::unfreeze(lock, By { person: &person.name, now });
        if ended.is_empty() {
            return Err(Refusal::Gate(GateRefusal::NotFrozen { environment: self.picture.name.clone(), written: self.written_freezes() }));
        }
        Ok(drafted(lock, "unfreeze".to_owned(), (person, ended)))
    }

    /// The freezes of the environment's file that are in force.
    fn written_freezes(&self) -> Vec<(String, Option<tidegate_core::findings::Place>)> {
        let now = self.now();
        let Some(environment) = self.picture.at_tip() else { return Vec::new() };
        let soon = Timestamp::from_second(now.as_second() + 1).unwrap_or(now);
        let stretches = environment.calendar.frozen_stretches(now, soon);
        stretches.map(|stretch| (stretch.name.clone(), environment.calendar.place(stretch.item).cloned())).collect()
    }

    /// Nothing new of a stack, or of the environment, until somebody resumes.
    pub(super) async fn hold(&mut self, person: &Person, wish: &HoldWish<'_>) -> Outcome {
        match self.commit_anew("hold", |room| room.draft_hold(person, wish)).await {
            Ok((record, hold)) => {
                let (environment, zone) = (self.picture.name.clone(), self.zone());
                Outcome::Held(HeldNow { environment, hold, zone, lock_commit: record.commit })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn draft_hold(&self, person: &Person, wish: &HoldWish<'_>) -> Result<Drafted<Hold>, Refusal> {
        let now = self.now();
        let environment = self.picture.name.clone();
        let lock = self.lock_for("hold")?;
        if let Some(stack) = wish.stack.filter(|stack| !self.picture.knows(stack)) {
            let known = self.picture.stacks().into_keys().collect();
            return Err(Refusal::UnknownStack { environment: Some(environment), stack: stack.clone(), known });
        }
        let until = wish.until.map(|end| moments::end(end, &self.calendar(), now)).transpose().map_err(|why| self.no_moment(why))?;
        let covers = |known: &&Hold| {
            known.content.is_none()
                && (known.stack.is_none() || known.stack.as_ref() == wish.stack)
                && known.until.is_none_or(|end| until.is_some_and(|until| until <= later(end)))
        };
        if let Some(known) = in_force(&self.picture.holds(), now).find(covers) {
            return Err(self.already_held(known));
        }
        room_for("hold", (lock.holds.iter().filter(|hold| hold.content.is_none()).count(), STANDING_MAX - CONTENT_HOLDS_MAX))?;
        let hold = Hold {
            stack: wish.stack.cloned(),
            content: None,
            release: None,
            by: Some(person.name.clone()),
            reason: wish.reason.to_owned(),
            at: now,
            until,
        };
        let subject = match wish.stack {
            Some(stack) => format!("hold {stack}"),
            None => "hold everything".to_owned(),
        };
        Ok(drafted(standing::hold_new(lock, hold.clone(), By { person: &person.name, now }), subject, (person, hold)))
    }

    /// Lifts the holds on a stack, or those on the whole environment.
    pub(super) async fn resume(&mut self, person: &Person, stack: Option<&StackName>) -> Outcome {
        match self.commit_anew("resume", |room| room.draft_resume(person, stack)).await {
            Ok((record, holds)) => {
                let concerns = |card: &&crate::card::Card| stack.is_none_or(|stack| card.changes.contains_key(stack));
                let candidate = self.picture.open_card().filter(concerns).map(candidate_ref);
                let environment = self.picture.name.clone();
                Outcome::Resumed(Resumed { environment, stack: stack.cloned(), holds, lock_commit: record.commit, candidate })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn draft_resume(&self, person: &Person, stack: Option<&StackName>) -> Result<Drafted<Vec<Hold>>, Refusal> {
        self.may_decide(person, "resume")?;
        let lock = self.lock_for("resume")?;
        let (lock, lifted) = standing::resume(lock, stack, By { person: &person.name, now: self.now() });
        if lifted.is_empty() {
            return Err(self.not_held(stack));
        }
        let subject = format!("resume {}", stack.map_or("everything", StackName::as_str));
        Ok(drafted(lock, subject, (person, lifted)))
    }

    fn already_held(&self, known: &Hold) -> Refusal {
        let (environment, hold) = (self.picture.name.clone(), Box::new(known.clone()));
        Refusal::Gate(match self.picture.home_of(known) {
            HoldHome::Lock => GateRefusal::AlreadyHeld { environment, hold },
            HoldHome::File => GateRefusal::HoldIsWritten { environment, hold },
        })
    }

    fn not_held(&self, stack: Option<&StackName>) -> Refusal {
        let environment = self.picture.name.clone();
        let holds = self.picture.holds();
        let mut held = in_force(&holds, self.now());
        if let Some(hold) = held.clone().find(|hold| hold.stack.as_ref() == stack) {
            return Refusal::Gate(GateRefusal::HoldIsWritten { environment, hold: Box::new(hold.clone()) });
        }
        match stack {
            Some(stack) if held.any(|hold| hold.stack.is_none()) => {
                let whole = in_force(&holds, self.now()).find(|hold| hold.stack.is_none()).cloned();
                let held = holds.iter().filter_map(|hold| hold.stack.clone()).collect();
                let not_held = Refusal::NotHeld { environment: Some(environment), stack: stack.clone(), held };
                whole.map_or(not_held, |hold| self.already_held(&hold))
            }
            Some(stack) => {
                let held = holds.iter().filter_map(|hold| hold.stack.clone()).collect();
                Refusal::NotHeld { environment: Some(environment), stack: stack.clone(), held }
            }
            None => {
                let held: BTreeSet<StackName> = holds.iter().filter_map(|hold| hold.stack.clone()).collect();
                Refusal::Gate(GateRefusal::EnvironmentNotHeld { environment, held: held.into_iter().collect() })
            }
        }
    }

    /// Lets one release that waits pass window, freeze and hold.
    pub(super) async fn override_release(&mut self, person: &Person, wish: &OverrideWish<'_>) -> Outcome {
        match self.commit_anew("override", |room| room.draft_override(person, wish)).await {
            Ok((record, (given, stacks))) => {
                let (environment, zone) = (self.picture.name.clone(), self.zone());
                Outcome::Overridden(OverriddenNow { environment, given, stacks, zone, lock_commit: record.commit })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn draft_override(&self, person: &Person, wish: &OverrideWish<'_>) -> Result<Drafted<(Override, Vec<StackName>)>, Refusal> {
        self.may_decide(person, "override")?;
        let now = self.now();
        let environment = self.picture.name.clone();
        let lock = self.lock_for("override")?;
        let stacks = self.overridable(lock, wish)?;
        let until = match wish.until {
            Some(end) => moments::end(end, &self.calendar(), now).map_err(|why| self.no_moment(why))?,
            None => Timestamp::from_second(now.as_second() + OVERRIDE_DEFAULT_SECS).unwrap_or(now),
        };
        if until.as_second() - now.as_second() > OVERRIDE_MAX_SECS {
            return Err(Refusal::Gate(GateRefusal::OverrideTooLong { hours_max: OVERRIDE_MAX_SECS / 3_600 }));
        }
        let holds = self.picture.holds();
        // One that was given before a hold does not pass it: it is to be given again.
        let is_outdone = |known: &Override| {
            let concerns = |hold: &Hold| hold.stack.as_ref().is_none_or(|held| stacks.contains(held));
            in_force(&holds, now).any(|hold| concerns(hold) && hold.at.as_second() > known.at.as_second())
        };
        let passes = |known: &&Override| {
            let reaches = later(known.until) >= until && stacks.iter().all(|stack| known.passes(stack, Some(wish.release), now));
            reaches && !is_outdone(known)
        };
        let written = self.picture.at_tip().into_iter().flat_map(|environment| &environment.overrides);
        if let Some(known) = lock.overrides.iter().chain(written).find(passes) {
            let (given, zone) = (Box::new(known.clone()), self.zone());
            return Err(Refusal::Gate(GateRefusal::AlreadyOverridden { environment, given, zone }));
        }
        room_for("override", (lock.overrides.iter().filter(|known| known.is_in_force(now)).count(), STANDING_MAX / 2))?;
        let given = Override {
            release: wish.release,
            stack: wish.stack.cloned(),
            by: person.name.clone(),
            reason: wish.reason.to_owned(),
            at: Timestamp::from_second(now.as_second()).unwrap_or(now),
            until,
        };
        let subject = format!("override for release {} ({})", wish.release, releases::stack_list(stacks.iter()));
        let lock = standing::override_release(lock, given.clone(), By { person: &person.name, now });
        Ok(drafted(lock, subject, (person, (given, stacks))))
    }

    /// The stacks that this release brought, that wait for something an override passes.
    fn overridable(&self, lock: &Lock, wish: &OverrideWish<'_>) -> Result<Vec<StackName>, Refusal> {
        let (environment, release) = (self.picture.name.clone(), wish.release);
        let named = |stack: &StackName| wish.stack.is_none_or(|wanted| wanted == stack);
        let at_it = lock.stacks.iter().filter(|(stack, locked)| locked.release == release && named(stack));
        let at_it: Vec<(&StackName, &LockedStack)> = at_it.collect();
        if at_it.is_empty() {
            let current = lock.stacks.iter().map(|(stack, locked)| (stack.clone(), locked.release)).collect();
            let stack = wish.stack.cloned();
            return Err(Refusal::Gate(GateRefusal::NotCurrent { environment, asked: release, stack, current }));
        }
        let open: Vec<(&StackName, &LockedStack)> =
            at_it.into_iter().filter(|(stack, locked)| !self.picture.is_everywhere(stack, locked)).collect();
        if open.is_empty() {
            return Err(Refusal::Gate(GateRefusal::LiveEverywhere { environment, release }));
        }
        if let Some((stack, _)) = open.iter().find(|(stack, locked)| self.picture.has_failed(stack, locked)) {
            return Err(Refusal::Gate(GateRefusal::ReleaseFailed { environment, release, stack: (*stack).clone() }));
        }
        let stopped: Vec<StackName> =
            open.into_iter().filter(|(stack, locked)| self.is_stopped(stack, locked)).map(|(stack, _)| stack.clone()).collect();
        if stopped.is_empty() {
            return Err(Refusal::Gate(GateRefusal::NothingStops { environment, release }));
        }
        Ok(stopped)
    }

    /// Does something stand in its way that an override passes?
    fn is_stopped(&self, stack: &StackName, locked: &LockedStack) -> bool {
        let now = self.now();
        let held = self.picture.holds().iter().any(|hold| hold.stops(stack, &locked.content, now));
        let says = |host: &crate::store::HostRow| {
            let waiting = host.report.status.as_ref().and_then(|status| status.stacks.get(stack)).and_then(|stack| stack.waiting.as_ref());
            waiting.is_some_and(tidegate_core::plan::Waiting::can_be_overridden)
        };
        held || self.calendar().decide(now).state != State::Open || self.picture.hosts.values().any(says)
    }

    /// Builds a lock and commits it, anew whenever the branch has moved.
    async fn commit_anew<T>(
        &mut self,
        command: &'static str,
        draft: impl Fn(&Room) -> Result<Drafted<T>, Refusal>,
    ) -> Result<(LockRecord, T), Refusal> {
        for _ in 0..TRIES_MAX {
            let Drafted { draft, of } = draft(self)?;
            match self.commit(draft).await {
                Ok(Landed::Yes(record)) => return Ok((*record, of)),
                Ok(Landed::Moved) => {}
                Err(cause) => return Err(Refusal::Failed { command, cause }),
            }
        }
        let cause = Trouble::Git { cause: format!("the branch moved {TRIES_MAX} times in a row") };
        Err(Refusal::Failed { command, cause })
    }

    fn lock_for(&self, command: &'static str) -> Result<&Lock, Refusal> {
        let environment = self.picture.name.clone();
        self.picture.lock().ok_or(Refusal::Gate(GateRefusal::NoLock { environment, command }))
    }

    /// Windows and freezes, of the file and of the lock.
    pub(super) fn calendar(&self) -> Calendar {
        self.picture.standing().map(|standing| standing.calendar).unwrap_or_default()
    }

    fn zone(&self) -> String {
        moments::zone(&self.calendar())
    }

    fn no_moment(&self, why: NoMoment) -> Refusal {
        Refusal::Gate(GateRefusal::BadMoment { why, zone: self.zone() })
    }
}

fn in_force(holds: &[Hold], now: Timestamp) -> impl Iterator<Item = &Hold> + Clone {
    holds.iter().filter(move |hold| hold.until.is_none_or(|until| now < until))
}

/// `for 2h` said again a moment later is the same again.
fn later(end: Timestamp) -> Timestamp {
    end.checked_add(SAME_AGAIN).unwrap_or(end)
}

/// What the reader of locks would refuse is never written.
fn room_for(command: &'static str, (there, max): (usize, usize)) -> Result<(), Refusal> {
    if there < max { Ok(()) } else { Err(Refusal::Gate(GateRefusal::TooMany { command, max })) }
}

fn drafted<T>(lock: Lock, subject: String, (person, of): (&Person, T)) -> Drafted<T> {
    let author = person_identity(person);
    let told = Told { subject, requested_by: Some(signed_off(&author)), ..Told::default() };
    Drafted { draft: Draft { message: releases::message(&lock, &told), author, lock }, of }
}
