//! Whether serenity begins its session anew, which it does by itself and tells nobody: read from its list of shards.

use serenity::all::ConnectionStage;

/// What is seen of serenity's session. A resumed one keeps its place in serenity's list; one that is begun anew is
/// taken out of it and put back as disconnected.
#[derive(Debug, Default)]
pub struct Session {
    was_listed: bool,
    was_connected: bool,
}

impl Session {
    /// Is the session over, given what is listed now?
    pub fn begins_anew(&mut self, stage: Option<ConnectionStage>) -> bool {
        let is_over = match stage {
            None => self.was_listed,
            Some(stage) => self.was_connected && stage == ConnectionStage::Disconnected,
        };
        self.was_listed |= stage.is_some();
        self.was_connected |= stage == Some(ConnectionStage::Connected);
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_begins_anew_is_told_from_one_that_is_resumed() {
        use ConnectionStage::{Connected, Disconnected, Resuming};
        let anew = |stages: &[Option<ConnectionStage>]| {
            let mut session = Session::default();
            stages.iter().any(|stage| session.begins_anew(*stage))
        };
        assert!(!anew(&[None, None, Some(Disconnected), Some(Connected), Some(Resuming), Some(Connected)]));
        assert!(anew(&[None, Some(Disconnected), None]), "never greeted");
        assert!(anew(&[Some(Disconnected), Some(Connected), None]));
        assert!(anew(&[Some(Disconnected), Some(Connected), Some(Disconnected)]), "too quick to be seen gone");
    }
}
