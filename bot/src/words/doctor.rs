//! What the doctor found, and how to mend it: one line each, so that a line can be pasted into a question.

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and could be better.
    Warning,
    /// It does not work.
    Bad,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was found.
    pub found: Found,
    /// How it is.
    pub verdict: Verdict,
}

impl Check {
    /// A check.
    pub fn new(found: Found, verdict: Verdict) -> Check {
        Check { found, verdict }
    }

    /// The line.
    pub fn words(&self) -> String {
        let sign = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Bad => "FAIL",
        };
        let (what, how) = self.found.words(self.verdict);
        if how.is_empty() || self.verdict == Verdict::Good { format!("{sign} {what}") } else { format!("{sign} {what}\n       {how}") }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is one sentence below, with its fields")]
pub enum Found {
    Settings,
    TokenFile { path: String, cause: Option<String> },
    OpenFile { path: String },
    Repo { cause: Option<String> },
    Rooms,
    NotReached { cause: String },
    TokenUnknown,
    Token { name: String },
    Endpoint,
    PublicBot,
    Starts { left: u64 },
    Intents,
    Guild { name: String },
    NotInGuild { invite: String },
    Commands { count: usize },
    NoCommands { invite: String },
    Channel { which: &'static str, name: String },
    NoChannel { which: &'static str, channel: String },
    WrongChannel { which: &'static str, name: String },
    Missing { which: &'static str, channel: String, permissions: Vec<&'static str> },
    TooMuch { channel: String },
    OnCall { name: String },
    NotMentionable { name: String },
    NoRole { key: &'static str, id: String },
    NoMember { person: String, id: String },
    People { known: usize, of: usize },
}

const PORTAL: &str = "https://discord.com/developers/applications";

impl Found {
    /// What it is, and how to mend it.
    fn words(&self, verdict: Verdict) -> (String, String) {
        let good = verdict == Verdict::Good;
        let same = |what: &str, how: &str| (what.to_owned(), how.to_owned());
        match self {
            Found::Settings => same("`discord.token_file` is not set: the bot does not speak on Discord", "set it in the settings file"),
            Found::TokenFile { path, cause: None } => (format!("the token's file {path} can be read"), String::new()),
            Found::TokenFile { path, cause: Some(cause) } => (
                format!("the token's file {path} cannot be used: {cause}"),
                format!("{PORTAL} → your application → Bot → Reset Token → Copy; write it into the file, alone"),
            ),
            Found::OpenFile { path } => (format!("others on this machine can read {path}"), format!("chmod 600 {path}")),
            Found::Repo { cause: None } => same("the config repo can be read", ""),
            Found::Repo { cause: Some(cause) } => {
                (format!("the config repo cannot be used: {cause}"), "`tidegate validate` says more".into())
            }
            Found::Rooms if good => same("tidegate.yaml names rooms on Discord", ""),
            Found::Rooms => same(
                "tidegate.yaml names no room on Discord",
                "add `chat: { discord: { guild: \"…\", engineers: \"…\" } }`: see docs/discord.md",
            ),
            Found::NotReached { cause } => {
                (format!("Discord cannot be reached: {cause}"), "outgoing HTTPS to discord.com and gateway.discord.gg must be open".into())
            }
            Found::TokenUnknown => (
                "Discord does not know the token".into(),
                format!("{PORTAL} → your application → Bot → Reset Token → Copy; write it into the token's file and restart the bot"),
            ),
            Found::Token { name } if good => (format!("the token is that of the bot {name}"), String::new()),
            Found::Token { name } => (format!("the token is that of {name}, which is no bot"), format!("{PORTAL} → New Application → Bot")),
            Found::Endpoint => (
                "Discord sends what people press to a web address instead of to the bot".into(),
                format!("{PORTAL} → your application → General Information → Interactions Endpoint URL: empty it → Save Changes"),
            ),
            Found::PublicBot => (
                "anybody can invite the bot to another server; it would not listen there".into(),
                format!("{PORTAL} → your application → Installation → Install Link: None; then Bot → Public Bot: off"),
            ),
            Found::Starts { left } => {
                (format!("{left} connections are left for today"), "something starts the bot again and again: look at its log".into())
            }
            Found::Intents => same("no privileged intent is needed, and none is asked for", ""),
            other => other.words_of_the_guild(good),
        }
    }

    fn words_of_the_guild(&self, good: bool) -> (String, String) {
        match self {
            Found::Guild { name } => (format!("the bot is in the server {name}"), String::new()),
            Found::NotInGuild { invite } => ("the bot is not in the server that tidegate.yaml names".into(), format!("open {invite}")),
            Found::Commands { count } => (format!("commands may be registered ({count} are)"), String::new()),
            Found::NoCommands { invite } => (
                "the bot may not register commands in the server".into(),
                format!("open {invite} once more: it adds the scope applications.commands"),
            ),
            Found::Channel { which, name } => (format!("{which}: #{name}, with all that is needed there"), String::new()),
            Found::NoChannel { which, channel } => (
                format!("{which}: there is no channel {channel}"),
                "right-click the channel → Copy Channel ID (Developer Mode must be on)".into(),
            ),
            Found::WrongChannel { which, name } => {
                (format!("{which}: #{name} is no text channel of that server"), "name a text channel of the same server".into())
            }
            Found::Missing { which, channel, permissions } => (
                format!("{which}: {channel} does not allow the bot: {}", permissions.join(", ")),
                "right-click the channel → Edit Channel → Permissions → add the bot's role → allow these".into(),
            ),
            Found::TooMuch { channel } => (
                format!("the bot may more than it needs in #{channel} (Administrator, or mentioning everyone)"),
                "Server Settings → Roles → the bot's role → take it away".into(),
            ),
            Found::OnCall { name } => (format!("on_call: the role {name}, which can be mentioned"), String::new()),
            Found::NotMentionable { name } => (
                format!("on_call: the role {name} cannot be mentioned, so nobody would be called"),
                "Server Settings → Roles → that role → Allow anyone to @mention this role: on".into(),
            ),
            Found::NoRole { key, id } => (format!("{key}: there is no role {id}"), "Server Settings → Roles → … → Copy Role ID".into()),
            Found::NoMember { person, id } => {
                (format!("{person} ({id}) is not a member of the server"), "right-click the person → Copy User ID, and compare".into())
            }
            Found::People { known, of } if good => (format!("{known} of {of} people have an id of Discord"), String::new()),
            Found::People { of, .. } => (
                format!("none of {of} people has an id of Discord: nobody can say anything"),
                "people: { alice: { …, chat: { discord: \"…\" } } }".into(),
            ),
            _ => Default::default(),
        }
    }
}

/// At the end.
pub fn verdict(checks: &[Check]) -> String {
    match checks.iter().filter(|check| check.verdict == Verdict::Bad).count() {
        0 => "All that is needed is there.".to_owned(),
        bad => format!("{} to mend.", super::count(u32::try_from(bad).unwrap_or(u32::MAX), "thing")),
    }
}
