//! The words of the page: what states are called, and what it says when a form cannot be done.

use crate::view::{ProgressState, Stage, Tone, WindowState};
use tidegate_core::lock::ReleaseKind;
use tidegate_core::observed::Health;

/// A state as it is shown: words, icon and tone, so that no state is told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// One or two words.
    pub words: &'static str,
    /// Symbol in `assets/icons.svg`.
    pub icon: &'static str,
    /// Class in `assets/page.css`.
    pub class: &'static str,
}

const fn shown(words: &'static str, icon: &'static str, class: &'static str) -> Shown {
    Shown { words, icon, class }
}

/// Where a card stands.
pub fn stage(stage: Stage) -> Shown {
    match stage {
        Stage::NeedsApproval => shown("needs approval", "hand", "attention"),
        Stage::Waiting => shown("waiting", "clock", "waiting"),
        Stage::RollingOut => shown("rolling out", "arrow", "active"),
        Stage::Live => shown("live", "check", "good"),
        Stage::FailedRolledBack => shown("failed, rolled back", "back", "bad"),
        Stage::Failed => shown("failed", "cross", "bad"),
        Stage::Error => shown("could not be checked", "question", "attention"),
        Stage::Held => shown("held", "pause", "attention"),
        Stage::Rejected => shown("rejected", "cross", "quiet"),
        Stage::Superseded => shown("superseded", "dash", "quiet"),
    }
}

/// How a host does with a release.
pub fn progress(state: ProgressState) -> Shown {
    match state {
        ProgressState::Pending => shown("not begun", "clock", "quiet"),
        ProgressState::Running => shown("under way", "arrow", "active"),
        ProgressState::Verified => shown("verified", "check", "good"),
        ProgressState::Failed => shown("failed", "cross", "bad"),
        ProgressState::Error => shown("could not be done", "question", "attention"),
    }
}

/// What a calendar says.
pub fn window(state: WindowState) -> Shown {
    match state {
        WindowState::Open => shown("open", "check", "good"),
        WindowState::Closing => shown("closing", "clock", "waiting"),
        WindowState::Closed => shown("closed", "clock", "quiet"),
        WindowState::Frozen => shown("frozen", "freeze", "attention"),
    }
}

/// What made a release.
pub fn kind(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Release => "Release",
        ReleaseKind::Rollback => "Rollback",
        ReleaseKind::AutomaticRollback => "Automatic rollback",
        ReleaseKind::Hold => "Hold",
        ReleaseKind::Freeze => "Freeze",
        ReleaseKind::Override => "Override",
    }
}

/// How a service does: copies first, then health.
pub fn service(wanted: u32, running: u32, health: Option<Health>) -> Shown {
    match health {
        _ if running == 0 && wanted > 0 => shown("down", "cross", "bad"),
        Some(Health::Unhealthy) => shown("unhealthy", "cross", "bad"),
        _ if running < wanted => shown("copies missing", "question", "attention"),
        Some(Health::Starting) => shown("starting", "clock", "waiting"),
        Some(Health::Healthy) => shown("healthy", "check", "good"),
        None => shown("running", "check", "good"),
    }
}

/// How a line is to be taken.
pub fn tone(tone: Tone) -> Shown {
    match tone {
        Tone::Plain => shown("", "dot", "quiet"),
        Tone::Good => shown("done", "check", "good"),
        Tone::Warning => shown("note", "question", "attention"),
        Tone::Bad => shown("failed", "cross", "bad"),
    }
}

/// A host that was not heard for longer than the bot allows.
pub const SILENT: Shown = shown("silent", "question", "attention");

/// Nobody is chosen, or somebody whom the console does not know.
pub const CHOOSE_YOURSELF: &str = "Say who you are first: choose your name at the top of the page, then do it again.";
/// The form lacks something or holds what is no name, number or id.
pub const FORM_BROKEN: &str = "This form does not say what it should. Nothing was done; reload the page and try again.";
/// The console was sent without a text.
pub const NOTHING_SAID: &str = "Nothing was typed, so nothing was done. Type a command; `help` lists them.";
/// The bot takes longer than the page waits.
pub const STILL_AT_IT: &str = "The bot is still at it. The result shows below as soon as it is known.";
/// The bot stops or is overloaded.
pub const NOT_LISTENING: &str = "The bot does not take commands at the moment. Nothing was done; try again in a few seconds.";
/// The bot took it and ended before it answered.
pub const NO_ANSWER: &str = "The bot ended before it could answer. Look below for what became of it before you try again.";
/// Shown by the script when a form could not be sent.
pub const NOT_SENT: &str = "The bot could not be reached, so this was not sent. Try again when the page is live.";
/// Shown by the script when a button was pressed in the moment in which its card appeared under the pointer.
pub const TOO_EARLY: &str = "This card appeared as you pressed, so nothing was sent. Look at it, and press again.";
/// Where nothing is known yet.
pub const NOTHING_YET: &str = "The bot has just started and has not read the config repo yet.";
