//! What is said only on Discord: who is not listened to, buttons, and plain words for those who are not engineers.

use jiff::Timestamp;

/// Why somebody is not listened to, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// A direct message.
    Direct,
    /// Another guild, or an installation by a user.
    OtherGuild,
    /// A channel that is not ours.
    OtherChannel,
    /// Not a member, or not known as one.
    NoMember,
    /// A role is missing.
    NoRole,
    /// The button is not ours.
    Foreign,
    /// The config repo names no room on Discord.
    NoRoom,
}

/// Why nothing was done for somebody who is not listened to.
pub fn elsewhere(why: Elsewhere) -> &'static str {
    match why {
        Elsewhere::Direct => "Nothing was done. I only listen in the release channel, not to direct messages: say it there.",
        Elsewhere::OtherGuild => "Nothing was done. I belong to another server.",
        Elsewhere::OtherChannel => "Nothing was done. I only listen in the release channel and its threads: say it there.",
        Elsewhere::NoMember => "Nothing was done. Discord does not say who you are in this server.",
        Elsewhere::NoRole => "Nothing was done. You need one of the roles that `chat.discord.roles` in `tidegate.yaml` names.",
        Elsewhere::Foreign => "Nothing was done. That button is not one of mine.",
        Elsewhere::NoRoom => "Nothing was done. The config repo names no room on Discord (`chat.discord` in `tidegate.yaml`).",
    }
}

/// The person is nobody of the config repo.
pub fn stranger(user: u64) -> String {
    format!(
        "Nothing was done. I do not know you: somebody adds you to `people` in `tidegate.yaml` with `chat: {{ discord: \"{user}\" }}`, and it counts once that is released."
    )
}

/// Right after a start.
pub const NOT_READY: &str = "Nothing was done. I have just started and have not read the config repo yet. Try again in a moment.";
/// Too much at once.
pub const BUSY: &str = "Nothing was done. I have more to do than I can take at once. Try again in a moment.";
/// The bot stops.
pub const STOPPING: &str = "I am stopping. If something was done, the card shows it; otherwise ask again in a moment.";
/// It takes long.
pub const TAKES_LONG: &str = "This takes longer than usual. It goes on; the card shows what comes of it.";
/// A button that means nothing any more.
pub const OLD_BUTTON: &str = "Nothing was done. That button is too old or was never mine.";
/// A button that only counts for somebody else.
pub const NOT_YOURS: &str = "Nothing was done. Only the person who asked can confirm this. Ask for it yourself.";
/// A button that was pressed before.
pub const PRESSED: &str = "Nothing more was done. This was confirmed before.";
/// A confirmation that came too late.
pub const TOO_LATE: &str = "Nothing was done. The question is older than ten minutes: ask again.";
/// Said no to a confirmation.
pub const CANCELLED: &str = "Nothing was done.";
/// It was handed in once already.
pub const REPEATED: &str = "Nothing more was done. Discord handed this in a second time.";
/// The bot's store does not work, so that nothing can be promised.
pub const NOT_DURABLE: &str = "Nothing was done. My store cannot be written. The page and the log say why.";
/// Nothing differs.
pub const NO_DIFF: &str = "Nothing is offered there, and no such release is remembered.";
/// A stack without a runbook.
pub fn no_runbook(stack: &str) -> String {
    format!("There is no runbook for `{stack}`: put one at `stacks/{stack}/RUNBOOK.md` in the config repo.")
}

/// A command that Discord should not have let through.
pub fn missing(option: &str) -> String {
    format!("Nothing was done. `{option}` is missing.")
}

/// A value that is none.
pub fn bad_value(option: &str, value: &str) -> String {
    match option {
        "until" | "from" => format!("Nothing was done. `{value}` is no moment: write 2h, 1d12h, 18:00 or 2027-01-02 09:00."),
        "commit" => format!("Nothing was done. `{value}` is no commit: write its first seven digits or more, as the card shows them."),
        _ => format!("Nothing was done. `{value}` is no {option}: choose one of the suggestions."),
    }
}

/// Nobody registered this command.
pub const UNKNOWN_COMMAND: &str = "I do not know that command. /help lists what can be asked.";

/// What stands on a question whether to go back.
pub struct GoingBack<'a> {
    /// Which stack.
    pub stack: &'a str,
    /// Where.
    pub environment: &'a str,
    /// From this release.
    pub from: String,
    /// To this one.
    pub to: String,
}

/// Whether to go back.
pub fn going_back(asked: &GoingBack<'_>) -> String {
    format!("Roll {} in {} back from release {} to release {}?", asked.stack, asked.environment, asked.from, asked.to)
}

/// What follows from going back.
pub const AFTER_GOING_BACK: &str = "What is left is held: merging it again does not bring it back, a different content does.";

/// Jobs ran with the releases that would be undone.
pub fn job_between(jobs: &str) -> String {
    format!(
        "A job stands between ({jobs}): it ran for what would be undone, and going back does not undo what it did, such as a migration of data."
    )
}

/// The state moved on between the question and the answer.
pub fn moved_on(stack: &str, environment: &str, shown: &str, now: &str) -> String {
    format!(
        "Nothing was done: {stack} in {environment} was at release {shown} when you were asked, and is at release {now} now. Look at it, then ask again."
    )
}

/// Where to go back is not clear, for a button that does not say.
pub const WHICH_STACK: &str = "Which stack?";

/// Labels of buttons.
pub mod label {
    /// Agrees.
    pub const APPROVE: &str = "Approve";
    /// Says no.
    pub const REJECT: &str = "Reject…";
    /// Asks why.
    pub const WHY: &str = "Why?";
    /// Shows what changes.
    pub const DIFF: &str = "Diff";
    /// Goes back.
    pub const ROLL_BACK: &str = "Roll back…";
    /// Does nothing.
    pub const CANCEL: &str = "Cancel";
    /// Chooses.
    pub const ANOTHER: &str = "Go back to another release";
    /// Above a form.
    pub const REJECT_TITLE: &str = "Say no to this candidate";
    /// In a form.
    pub const REASON: &str = "Why? Everybody reads it.";
}

/// Titles of the parts of a card.
pub mod part {
    /// From and to.
    pub const CHANGES: &str = "From live to new";
    /// Authors and subjects.
    pub const COMMITS: &str = "Commits since the last release";
    /// Holds.
    pub const NOT_INCLUDED: &str = "Not included";
    /// Consent.
    pub const APPROVALS: &str = "Approvals";
    /// Calendar.
    pub const WINDOW: &str = "Window";
    /// What it waits for.
    pub const WAITS: &str = "Waits for";
    /// Hosts.
    pub const ROLLOUT: &str = "Rollout";
    /// How it ended.
    pub const RESULT: &str = "Result";
    /// What cannot be undone.
    pub const WARNING: &str = "Look first";
    /// What would be undone.
    pub const UNDONE: &str = "Undone by it";
}

/// A release in plain words, for those who do not run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plainly {
    /// It is prepared.
    Coming,
    /// It goes out.
    Going,
    /// It is there.
    There,
    /// It did not work, and what was there before serves.
    WentBack,
    /// It did not work.
    Trouble,
    /// It does not come.
    NotComing,
}

/// One sentence for stakeholders.
pub fn plainly(how: Plainly, what: &str, place: &str) -> String {
    match how {
        Plainly::Coming => format!("A new version of {what} is being prepared for {place}."),
        Plainly::Going => format!("A new version of {what} is on its way to {place}."),
        Plainly::There => format!("A new version of {what} is live in {place}."),
        Plainly::WentBack => format!("The new version of {what} is not in {place}: the version before serves."),
        Plainly::Trouble => format!("The new version of {what} has trouble in {place}. Engineers are looking at it."),
        Plainly::NotComing => format!("The new version of {what} does not go to {place}."),
    }
}

/// Above the list of what went live.
pub fn digest(place: &str) -> String {
    format!("What went live in {place} in the last day")
}

/// A line of it.
pub fn digest_line(what: &str, at: &str, undone: bool) -> String {
    if undone { format!("{what}: back to an earlier version, {at}") } else { format!("{what}, {at}") }
}

/// News that were not told because Discord was away too long.
pub fn untold(count: usize, since: Timestamp) -> String {
    format!(
        "While Discord could not be reached, {} happened that are not repeated here, the first at {}. The page has them all.",
        super::count(u32::try_from(count).unwrap_or(u32::MAX), "thing"),
        super::when(since)
    )
}
