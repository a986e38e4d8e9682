//! A hold that is forgotten reminds its owner, once a day.
//!
//! The key of a reminder names the hold and the day, so that a restart, or a look every minute, tells nothing twice; a hold
//! that was lifted or has ended is not there to remind of.

use super::Room;
use crate::notice::News;
use tidegate_core::lock::Hold;

const DAY_SECS: i64 = 24 * 3_600;

impl Room {
    /// Tells the owners of holds that have stood for another day.
    pub(super) fn remind(&mut self) {
        let Some(lock) = self.picture.lock() else { return };
        let now = self.now();
        let due: Vec<(Hold, i64)> = lock
            .holds
            .iter()
            .filter(|hold| hold.by.is_some() && hold.until.is_none_or(|until| now < until) && self.still_stops(hold))
            .filter_map(|hold| {
                let days = (now.as_second() - hold.at.as_second()).div_euclid(DAY_SECS);
                (days > 0).then(|| (hold.clone(), days))
            })
            .collect();
        for (hold, days) in due {
            let what = hold.stack.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
            let content = hold.content.as_ref().map(|content| content.short().to_owned()).unwrap_or_default();
            let key = format!("hold:{what}:{content}:{}:{days}", hold.at);
            self.tell(key, News::HoldReminder { hold, days });
        }
    }

    /// What a rollback left is held for good, and that is right: it is forgotten only while the branch still holds it.
    fn still_stops(&self, hold: &Hold) -> bool {
        let Some(content) = &hold.content else { return true };
        self.picture.comparison.held.values().any(|held| held.hold.content.as_ref() == Some(content) && held.hold.stack == hold.stack)
    }
}
