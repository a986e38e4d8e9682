//! The table of our own files. `shared/core/tests/schema.rs` holds it against the reader: each key is read, and the reader
//! reads no other.

use super::Kind::{Boolean, Either, Form, List, Map, Nothing, Number, Text, Word};
use super::Need::{Optional, Required};
use super::{Key, Kind, Object};

/// Environments, stacks, hosts, people, roles.
const NAME: &str = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$";
const LABEL: &str = "^[A-Za-z0-9._/-]{1,63}$";
const DURATION: &str = "^([0-9]+(\\.[0-9]+)?(w|d|h|m|s|ms))+$";
const CIVIL: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?$";
const MOMENT: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}";
const COMMIT: &str = "^[0-9a-f]{40}$";
const CONTENT: &str = "^[0-9a-f]{64}$";
const DIGEST: &str = "^sha256:[0-9a-f]{64}$";
/// An id of Discord, in quotes: as a number most programs would round it.
const SNOWFLAKE: &str = "^[1-9][0-9]{14,19}$";
const PUBLIC_KEY: &str = "^ssh-ed25519 ";
/// `/`, a folder with a slash at its end, or a file, from the top of the repo.
const SCOPE: &str = "^(/|[^/*?]+(/[^/*?]+)*/?)$";
const RELEASE_MAX: i64 = i64::MAX;

const fn key(name: &'static str, need: super::Need, kind: Kind, about: &'static str) -> Key {
    Key { name, about, need, kind }
}

const SCHEMA: Key = key("schema", Required, Number(1, 1), "The version of the format: 1.");

/// The files, by the name of their schema.
pub(super) const FILES: [(&str, &Object); 5] =
    [("tidegate", &SETTINGS), ("environment", &ENVIRONMENT), ("host", &HOST), ("lock", &LOCK), ("trust", &TRUST)];

/// Every object, for the test that compares with the reader.
pub fn objects() -> Vec<&'static Object> {
    vec![
        &SETTINGS,
        &PERSON,
        &BOT,
        &CHAT,
        &DISCORD,
        &DAILY,
        &ENVIRONMENT,
        &PLACEMENT,
        &WINDOW,
        &FREEZE,
        &APPROVALS,
        &HOST,
        &HOST_KEYS,
        &LOCK,
        &LOCKED_STACK,
        &APPROVAL,
        &HOLD,
        &LOCKED_FREEZE,
        &OVERRIDE,
        &TRUST,
        &SIGNER,
        &ROLE,
    ]
}

static SETTINGS: Object = Object {
    about: "tidegate.yaml",
    keys: &[
        SCHEMA,
        key("environments", Required, List(&Form(NAME)), "The environments, in the order in which a change is promoted."),
        key("people", Optional, Map(NAME, &Kind::Object(&PERSON)), "The people, by the name that approvals carry."),
        key("bot", Optional, Kind::Object(&BOT), "The bot in commits."),
        key("chat", Optional, Kind::Object(&CHAT), "The rooms that the bot speaks in."),
    ],
};

static PERSON: Object = Object {
    about: "a person",
    keys: &[
        key("name", Required, Text, "The name in commits."),
        key("email", Required, Form("@"), "The e-mail address in commits."),
        key("roles", Optional, List(&Form(NAME)), "The roles that approvals ask for."),
        key("chat", Optional, Map(".", &Text), "Who the person is on each chat platform."),
    ],
};

static BOT: Object = Object {
    about: "the bot",
    keys: &[
        key("name", Optional, Text, "The name in commits; `tidegate-bot` unless given."),
        key("email", Optional, Form("@"), "The e-mail address in commits."),
        key("keys", Optional, List(&Form(PUBLIC_KEY)), "The public keys that sign the bot's commits."),
    ],
};

static CHAT: Object = Object { about: "`chat`", keys: &[key("discord", Optional, Kind::Object(&DISCORD), "Rooms on Discord.")] };

static DISCORD: Object = Object {
    about: "`chat.discord`",
    keys: &[
        key("guild", Required, Form(SNOWFLAKE), "The server."),
        key("engineers", Required, Form(SNOWFLAKE), "The engineers' channel."),
        key("stakeholders", Optional, Form(SNOWFLAKE), "The stakeholders' channel."),
        key("on_call", Optional, Form(SNOWFLAKE), "The role that is mentioned when something fails."),
        key("roles", Optional, List(&Form(SNOWFLAKE)), "Roles of which a member must have one."),
        key("digest", Optional, Kind::Object(&DAILY), "When the stakeholders are told what went live."),
    ],
};

static DAILY: Object = Object {
    about: "`digest`",
    keys: &[
        key("at", Required, Form("^[0-9]{1,2}:[0-9]{2}$"), "The time of the day, such as \"17:00\"."),
        key("tz", Required, Text, "An IANA zone, such as Europe/Berlin."),
    ],
};

static ENVIRONMENT: Object = Object {
    about: "environments/<name>.yaml",
    keys: &[
        SCHEMA,
        key("stacks", Optional, Map(NAME, &Either(&[Kind::Object(&PLACEMENT), Nothing])), "The stacks that run here, and where."),
        key("windows", Optional, Either(&[Word(&["always"]), List(&Kind::Object(&WINDOW))]), "When a release may start."),
        key("freezes", Optional, List(&Kind::Object(&FREEZE)), "When a release may not start; wins over windows."),
        key("cutoff", Optional, Form(DURATION), "Nothing is started in this time before a window closes."),
        key("approvals", Optional, Either(&[Word(&["none"]), Kind::Object(&APPROVALS)]), "Who must agree to a release."),
        key("holds", Optional, List(&Kind::Object(&HOLD)), "Stops that were written by hand."),
        key("overrides", Optional, List(&Kind::Object(&OVERRIDE)), "Passes through freezes and windows that were written by hand."),
    ],
};

static PLACEMENT: Object = Object {
    about: "a placement",
    keys: &[key("hosts", Optional, Map(LABEL, &Text), "Labels that a host must have, all of them; none: every host.")],
};

static WINDOW: Object = Object {
    about: "a window",
    keys: &[
        key("name", Optional, Text, "A name for people."),
        key("cron", Required, Text, "When it opens: minute, hour, day, month, weekday."),
        key("duration", Required, Form(DURATION), "How long it is open."),
        key("tz", Required, Text, "An IANA zone, such as Europe/Berlin."),
        key("day_match", Optional, Word(&["all"]), "Day and weekday must both match."),
    ],
};

static FREEZE: Object = Object {
    about: "a freeze: `from` and `until`, or `cron` and `duration`",
    keys: &[
        key("name", Optional, Text, "A name for people."),
        key("reason", Optional, Text, "Why."),
        key("from", Optional, Form(CIVIL), "Begins then, in local time."),
        key("until", Optional, Form(CIVIL), "Ends before then, in local time."),
        key("tz", Required, Text, "An IANA zone, such as Europe/Berlin."),
        key("cron", Optional, Text, "Begins whenever this fires."),
        key("duration", Optional, Form(DURATION), "How long, with `cron`."),
        key("day_match", Optional, Word(&["all"]), "Day and weekday must both match."),
        key("blocks", Optional, List(&Word(&["release", "rollback"])), "What it stops; `[release]` unless given."),
    ],
};

static APPROVALS: Object = Object {
    about: "`approvals`",
    keys: &[
        key("count", Optional, Number(1, 20), "How many people; 1 unless given."),
        key("roles", Optional, List(&Form(NAME)), "Each must have one of these roles; none: anyone in `people`."),
        key("authors", Optional, Boolean, "May those who wrote the change approve it? `true` unless given."),
        key("expires", Optional, Form(DURATION), "How long an approval holds; none: until the candidate changes."),
    ],
};

static HOST: Object = Object {
    about: "hosts/<name>.yaml",
    keys: &[
        SCHEMA,
        key("environment", Required, Form(NAME), "The environment that it belongs to."),
        key("labels", Optional, Map(LABEL, &Text), "Labels that placements and constraints ask for."),
        key("keys", Optional, Kind::Object(&HOST_KEYS), "The host's public keys."),
    ],
};

static HOST_KEYS: Object =
    Object { about: "`keys`", keys: &[key("events", Optional, Form(PUBLIC_KEY), "The public key that signs its events.")] };

static LOCK: Object = Object {
    about: "releases/<environment>.yaml, written by the bot alone",
    keys: &[
        SCHEMA,
        key("environment", Required, Form(NAME), "The environment; equals the file's name."),
        key("release", Required, Number(1, RELEASE_MAX), "The release's number."),
        key("kind", Required, Word(&["release", "rollback", "automatic_rollback", "hold", "freeze", "override"]), "What made it."),
        key("commit", Required, Form(COMMIT), "The commit that placement and policy are read at."),
        key("plan", Required, Form(CONTENT), "The identity of what people approved."),
        key("created_at", Required, Form(MOMENT), "When the bot made it."),
        key("requested_by", Optional, Form(NAME), "Who asked for it."),
        key("reason", Optional, Text, "Why, in the person's words."),
        key("stacks", Required, Map(NAME, &Kind::Object(&LOCKED_STACK)), "The stacks."),
        key("approvals", Optional, List(&Kind::Object(&APPROVAL)), "Who agreed."),
        key("holds", Optional, List(&Kind::Object(&HOLD)), "Stops on stacks or the environment."),
        key("freezes", Optional, List(&Kind::Object(&LOCKED_FREEZE)), "Freezes that were asked for in chat."),
        key("overrides", Optional, List(&Kind::Object(&OVERRIDE)), "One-time passes."),
    ],
};

static LOCKED_STACK: Object = Object {
    about: "a stack of a lock",
    keys: &[
        key("release", Required, Number(1, RELEASE_MAX), "The release that brought this content."),
        key("commit", Required, Form(COMMIT), "The commit that its files are read at."),
        key("content", Required, Form(CONTENT), "Its identity with digests."),
        key("images", Optional, Map(".", &Form(DIGEST)), "Digests by image name."),
    ],
};

static APPROVAL: Object =
    Object { about: "an approval", keys: &[key("by", Required, Form(NAME), "Who."), key("at", Required, Form(MOMENT), "When.")] };

static HOLD: Object = Object {
    about: "a hold",
    keys: &[
        key("stack", Optional, Form(NAME), "The stack; none: the environment."),
        key("content", Optional, Form(CONTENT), "Only this content is held."),
        key("release", Optional, Number(1, RELEASE_MAX), "The number of the held release, for people."),
        key("by", Optional, Form(NAME), "Owner; none: automation."),
        key("reason", Required, Text, "Why."),
        key("at", Required, Form(MOMENT), "Since when."),
        key("until", Optional, Form(MOMENT), "Ends by itself then."),
    ],
};

static LOCKED_FREEZE: Object = Object {
    about: "a freeze of a lock",
    keys: &[
        key("by", Optional, Form(NAME), "Owner; none: automation."),
        key("reason", Required, Text, "Why."),
        key("at", Required, Form(MOMENT), "When it was asked for."),
        key("from", Optional, Form(MOMENT), "Begins then."),
        key("until", Optional, Form(MOMENT), "Ends by itself then."),
        key("blocks", Optional, List(&Word(&["release", "rollback"])), "What it stops."),
    ],
};

static OVERRIDE: Object = Object {
    about: "an override",
    keys: &[
        key("release", Required, Number(1, RELEASE_MAX), "The stack's release that may pass."),
        key("stack", Optional, Form(NAME), "The stack; none: every stack of that release."),
        key("by", Required, Form(NAME), "Who."),
        key("reason", Required, Text, "Why."),
        key("at", Required, Form(MOMENT), "When it was given."),
        key("until", Required, Form(MOMENT), "Ends by itself then; at most a day after `at`."),
    ],
};

static TRUST: Object = Object {
    about: "trust.yaml",
    keys: &[
        SCHEMA,
        key("version", Required, Number(1, RELEASE_MAX), "One more with every change of this file."),
        key("signers", Required, Map(NAME, &Kind::Object(&SIGNER)), "Who signs commits, by name; no two have the same key."),
        key("roles", Required, Map(NAME, &Kind::Object(&ROLE)), "What each role may change."),
        key("merges", Optional, Word(&["signed", "exact"]), "What is asked of a merge commit; `signed` unless given."),
    ],
};

static SIGNER: Object = Object {
    about: "a signer",
    keys: &[
        key("key", Required, Form(PUBLIC_KEY), "The public key, as in a `.pub` file."),
        key("roles", Required, List(&Form(NAME)), "Roles of this policy."),
        key("until", Optional, Form(MOMENT), "The key counts until then."),
    ],
};

static ROLE: Object = Object {
    about: "a role of the signer policy",
    keys: &[key("paths", Required, List(&Form(SCOPE)), "`/` for everything, a folder with a slash at its end, or a file; no patterns.")],
};
