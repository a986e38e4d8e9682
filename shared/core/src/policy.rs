//! Who must agree to a release, who did, and what is missing.
//!
//! Roles and policy are the *released* ones: a change cannot grant itself rights. Consent names one exact candidate;
//! [`Consent`] can only be made here, so that nothing is released without having passed.

use crate::ids::{CommitId, ContentId, PersonName, RoleName};
use crate::lock;
use crate::repo::{ApprovalPolicy, ApprovalsRequired, Person};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an approval is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The commit.
    pub commit: CommitId,
    /// The plan hash.
    pub plan: ContentId,
}

/// A person's consent to one exact candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenApproval {
    /// Who.
    pub by: PersonName,
    /// When.
    pub at: Timestamp,
    /// To what.
    pub subject: Subject,
}

/// What decides about consent.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// The policy at the released commit.
    pub policy: &'a ApprovalPolicy,
    /// The people at the released commit.
    pub people: &'a BTreeMap<PersonName, Person>,
    /// E-mail addresses of the authors of what would be released.
    pub authors: &'a BTreeSet<String>,
}

/// Why a person's approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum NotCounted {
    /// Not among the people of the released commit.
    UnknownPerson,
    /// Has none of the roles asked for.
    MissingRole {
        /// The roles, one of which is needed.
        needs: BTreeSet<RoleName>,
    },
    /// Wrote some of what would be released.
    IsAuthor,
    /// Was given too long ago.
    Expired {
        /// When it ended.
        at: Timestamp,
    },
    /// Was given to another candidate.
    OtherCandidate,
}

/// How far consent has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many distinct people must agree.
    pub needed: u32,
    /// Who does, first come first.
    pub counted: Vec<lock::Approval>,
    /// Who said so and does not count, and why.
    pub not_counted: Vec<(PersonName, NotCounted)>,
    /// Who else could.
    pub could: BTreeSet<PersonName>,
}

impl Tally {
    /// How many are missing.
    pub fn missing(&self) -> u32 {
        self.needed.saturating_sub(u32::try_from(self.counted.len()).unwrap_or(u32::MAX))
    }
}

/// Proof that the policy is satisfied for exactly this subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    subject: Subject,
    approvals: Vec<lock::Approval>,
}

impl Consent {
    /// To what.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Who agreed; empty where nobody must.
    pub fn approvals(&self) -> &[lock::Approval] {
        &self.approvals
    }
}

/// Counts the approvals of a candidate and, when there are enough, gives the proof.
pub fn consent(rules: &Rules<'_>, subject: &Subject, given: &[GivenApproval], now: Timestamp) -> Result<Consent, Tally> {
    let tally = tally(rules, subject, given, now);
    if tally.missing() == 0 { Ok(Consent { subject: subject.clone(), approvals: tally.counted }) } else { Err(tally) }
}

/// Counts the approvals of a candidate.
pub fn tally(rules: &Rules<'_>, subject: &Subject, given: &[GivenApproval], now: Timestamp) -> Tally {
    let ApprovalPolicy::Required(required) = rules.policy else {
        return Tally { needed: 0, counted: Vec::new(), not_counted: Vec::new(), could: BTreeSet::new() };
    };
    let mut counted: Vec<lock::Approval> = Vec::new();
    let mut not_counted = Vec::new();
    for approval in given {
        let first = !counted.iter().any(|earlier| earlier.by == approval.by);
        let verdict = if approval.subject == *subject { counts(rules, required, approval, now) } else { Err(NotCounted::OtherCandidate) };
        match verdict {
            Ok(()) if first => counted.push(lock::Approval { by: approval.by.clone(), at: approval.at }),
            Ok(()) => {}
            Err(why) => not_counted.push((approval.by.clone(), why)),
        }
    }
    not_counted.retain(|(by, _)| !counted.iter().any(|approval| approval.by == *by));
    let has_said = |name: &PersonName| counted.iter().any(|approval| approval.by == *name);
    let could = rules.people.keys().filter(|name| !has_said(name) && may_approve(rules, name).is_ok()).cloned().collect();
    Tally { needed: required.count.max(1), counted, not_counted, could }
}

/// May this person approve what is on offer? Where nobody must agree, everybody known may.
pub fn may_approve(rules: &Rules<'_>, person: &PersonName) -> Result<(), NotCounted> {
    let person = rules.people.get(person).ok_or(NotCounted::UnknownPerson)?;
    let ApprovalPolicy::Required(required) = rules.policy else { return Ok(()) };
    has_role(required, person)?;
    let is_author = rules.authors.iter().any(|email| email.eq_ignore_ascii_case(&person.email));
    if is_author && !required.authors_may_approve { Err(NotCounted::IsAuthor) } else { Ok(()) }
}

/// Has this person a role that approvals ask for? Authors may say no, and may lift a hold, though they may not approve.
pub fn may_decide(rules: &Rules<'_>, person: &PersonName) -> Result<(), NotCounted> {
    let person = rules.people.get(person).ok_or(NotCounted::UnknownPerson)?;
    match rules.policy {
        ApprovalPolicy::Required(required) => has_role(required, person),
        ApprovalPolicy::None | ApprovalPolicy::FollowTip => Ok(()),
    }
}

fn has_role(required: &ApprovalsRequired, person: &Person) -> Result<(), NotCounted> {
    if required.roles.is_empty() || required.roles.iter().any(|role| person.roles.contains(role)) {
        Ok(())
    } else {
        Err(NotCounted::MissingRole { needs: required.roles.clone() })
    }
}

fn counts(rules: &Rules<'_>, required: &ApprovalsRequired, approval: &GivenApproval, now: Timestamp) -> Result<(), NotCounted> {
    may_approve(rules, &approval.by)?;
    match expires_at(required, approval.at) {
        Some(at) if now >= at => Err(NotCounted::Expired { at }),
        _ => Ok(()),
    }
}

/// When an approval given at a moment ends; none: not before the candidate changes.
pub fn expires_at(required: &ApprovalsRequired, given_at: Timestamp) -> Option<Timestamp> {
    let secs = i64::try_from(required.expires_after_secs?).ok()?;
    given_at.checked_add(SignedDuration::from_secs(secs)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> BTreeMap<PersonName, Person> {
        let person = |name: &str, roles: &[&str]| {
            let name: PersonName = name.parse().unwrap();
            let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
            let email = format!("{name}@example.org");
            (name.clone(), Person { full_name: name.to_string(), email, roles, chat: BTreeMap::new(), name })
        };
        [person("alice", &["engineer"]), person("bob", &["engineer", "lead"]), person("carol", &["guest"])].into()
    }

    fn required(count: u32, change: impl FnOnce(&mut ApprovalsRequired)) -> ApprovalPolicy {
        let roles = ["engineer".parse().unwrap()].into();
        let mut required = ApprovalsRequired { count, roles, authors_may_approve: true, expires_after_secs: None };
        change(&mut required);
        ApprovalPolicy::Required(required)
    }

    fn subject(plan: &str) -> Subject {
        Subject { commit: "a".repeat(40).parse().unwrap(), plan: ContentId::of_bytes(plan.as_bytes()) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn given(by: &str, plan: &str, second: i64) -> GivenApproval {
        GivenApproval { by: by.parse().unwrap(), at: at(second), subject: subject(plan) }
    }

    fn check(policy: &ApprovalPolicy, authors: &[&str], approvals: &[GivenApproval], now: i64) -> Result<Consent, Tally> {
        let authors = authors.iter().map(|&a| a.to_owned()).collect();
        consent(&Rules { policy, people: &people(), authors: &authors }, &subject("v2"), approvals, at(now))
    }

    #[test]
    fn nobody_is_asked_where_nobody_must_agree() {
        for policy in [ApprovalPolicy::None, ApprovalPolicy::FollowTip] {
            assert!(check(&policy, &[], &[], 0).unwrap().approvals().is_empty());
        }
    }

    #[test]
    fn one_person_counts_once_however_often_they_press() {
        let twice = [given("alice", "v2", 0), given("alice", "v2", 1)];
        let tally = check(&required(2, |_| ()), &[], &twice, 2).unwrap_err();
        assert_eq!((tally.counted.len(), tally.missing()), (1, 1));
        assert_eq!(tally.could, ["bob".parse().unwrap()].into());
        let both = [given("alice", "v2", 0), given("bob", "v2", 1)];
        assert_eq!(check(&required(2, |_| ()), &[], &both, 2).unwrap().approvals().len(), 2);
    }

    #[test]
    fn an_approval_of_another_candidate_counts_for_nothing() {
        let tally = check(&required(1, |_| ()), &[], &[given("alice", "v1", 0)], 1).unwrap_err();
        assert_eq!(tally.not_counted, [("alice".parse().unwrap(), NotCounted::OtherCandidate)]);
    }

    #[test]
    fn a_role_is_needed_and_named_when_missing() {
        let tally = check(&required(1, |_| ()), &[], &[given("carol", "v2", 0)], 1).unwrap_err();
        assert_eq!(tally.not_counted[0].1, NotCounted::MissingRole { needs: ["engineer".parse().unwrap()].into() });
        let tally = check(&required(1, |_| ()), &[], &[given("mallory", "v2", 0)], 1).unwrap_err();
        assert_eq!(tally.not_counted[0].1, NotCounted::UnknownPerson);
    }

    #[test]
    fn authors_are_left_out_where_the_policy_says_so() {
        let policy = required(1, |r| r.authors_may_approve = false);
        let tally = check(&policy, &["Alice@Example.org"], &[given("alice", "v2", 0)], 1).unwrap_err();
        assert_eq!(tally.not_counted[0].1, NotCounted::IsAuthor);
        assert!(check(&required(1, |_| ()), &["alice@example.org"], &[given("alice", "v2", 0)], 1).is_ok());
    }

    #[test]
    fn an_approval_ends_at_its_expiry_and_can_be_given_again() {
        let policy = required(1, |r| r.expires_after_secs = Some(60));
        assert!(check(&policy, &[], &[given("alice", "v2", 0)], 59).is_ok());
        let tally = check(&policy, &[], &[given("alice", "v2", 0)], 60).unwrap_err();
        assert_eq!(tally.not_counted[0].1, NotCounted::Expired { at: at(60) });
        assert!(check(&policy, &[], &[given("alice", "v2", 0), given("alice", "v2", 61)], 62).is_ok());
    }

    #[test]
    fn a_policy_of_nought_people_still_asks_one() {
        assert_eq!(check(&required(0, |_| ()), &[], &[], 0).unwrap_err().missing(), 1);
    }
}
