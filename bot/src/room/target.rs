//! Where one goes back to: asked before a rollback, and again when it is done.

use super::Picture;
use crate::history::LockRecord;
use crate::request::Refusal;
use jiff::Timestamp;
use tidegate_core::ids::{ReleaseNumber, StackName};
use tidegate_core::lock::{Lock, LockedStack};

impl Picture {
    /// Where a person goes back to, or why not. The same for the question whether to go back and for going there.
    pub fn way_back(&self, wanted: &StackName, to: Option<ReleaseNumber>, now: Timestamp) -> Result<LockedStack, Refusal> {
        let (environment, stack) = (self.name.clone(), wanted.clone());
        let lock = self.lock().ok_or_else(|| Refusal::NoRelease { environment: environment.clone() })?;
        let Some(current) = lock.stacks.get(wanted) else {
            let known = lock.stacks.keys().cloned().collect();
            return Err(Refusal::UnknownStack { environment: Some(environment), stack, known });
        };
        let ways = self.ways_back(wanted, now).ok_or_else(|| Refusal::NoRelease { environment: environment.clone() })?;
        let Some(asked) = to else {
            let target = ways.last_verified();
            if let Some(brought) = self.way_back_to(wanted) {
                let (by, further) = (brought.lock.requested_by.clone(), target.map(|target| target.locked.release));
                return Err(Refusal::BackAlready { environment, stack, at: current.release, by, further });
            }
            return target.map(|target| target.locked).ok_or(Refusal::NothingEarlier { environment, stack });
        };
        let targets = ways.open_numbers();
        let Some(locked) = ways.at_release(asked) else { return Err(Refusal::UnknownRelease { environment, stack, asked, targets }) };
        if locked.content == current.content {
            return Err(Refusal::AlreadyThere { environment, stack, release: locked.release });
        }
        match ways.targets().into_iter().find(|target| target.locked.content == locked.content) {
            Some(target) if !target.verified => Err(Refusal::NeverVerified { environment, stack, asked, targets }),
            Some(target) => match target.hold {
                Some(hold) => Err(Refusal::TargetHeld { stack, asked, hold: Box::new(hold) }),
                None => Ok(locked),
            },
            None => Err(Refusal::UnknownRelease { environment, stack, asked, targets }),
        }
    }

    /// The way back that put the locked content of this stack in place, if it was one.
    pub(super) fn way_back_to(&self, stack: &StackName) -> Option<&LockRecord> {
        let content = |lock: &Lock| lock.stacks.get(stack).map(|locked| locked.content.clone());
        let current = content(self.lock()?);
        let records = self.history.records().iter();
        let brought = records.take_while(|record| content(&record.lock) == current).last();
        brought.filter(|record| crate::history::is_way_back(record.lock.kind))
    }
}
