//! The gateway: sessions that outlive their connections, the budget of IDENTIFYs, and what can go wrong with both.

mod budget;
mod connection;
mod frames;
mod receive;

pub(super) use budget::Budget;
pub(super) use connection::connect;

use super::state::State;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Intents that need a permission of their own: members, presences, contents.
const PRIVILEGED: u64 = (1 << 1) | (1 << 8) | (1 << 15);
/// Members of guilds.
const MEMBERS: u64 = 1 << 1;
/// Guilds, channels, threads, roles.
const GUILDS: u64 = 1 << 0;
/// Messages in guilds.
const MESSAGES: u64 = 1 << 9;
/// All intents there are.
const ALL_INTENTS: u64 = 0x3_37FF_FFFF & ((1 << 26) - 1);
/// Events kept for a session that comes back.
const KEPT_MAX: usize = 5_000;
/// A session can be taken up again for so long after its connection was lost.
const RESUMABLE: Duration = Duration::from_secs(5 * 60);

/// What a connection is told to do.
#[derive(Debug, Clone)]
pub(super) enum Out {
    /// Send this, compressed as agreed.
    Frame(String),
    /// Send this as it is.
    RawText(String),
    /// Send these bytes as they are.
    RawBinary(Vec<u8>),
    /// Close with a code, or without any.
    Close(Option<u16>),
    /// Be gone without a word.
    Cut,
}

/// What the client said about itself when it came.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub sequence: u64,
    pub kept: VecDeque<(u64, String)>,
    pub intents: u64,
    pub connection: Option<u64>,
    pub lost: Option<Duration>,
}

/// What goes wrong at the gateway until it is mended.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// Heartbeats are not acknowledged.
    pub no_acks: bool,
    /// Connections are accepted and hear nothing.
    pub silent: bool,
    /// So many upgrades are refused with this status.
    pub refuse: Option<(u32, u16)>,
    /// So many IDENTIFYs are answered with this close code.
    pub refuse_identify: Option<(u32, u16)>,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Text frames even where a client asks for compressed payloads; Discord compresses at will.
    pub plain: bool,
}

/// All sessions and connections.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub all: BTreeMap<String, Session>,
    pub live: BTreeMap<u64, UnboundedSender<Out>>,
    pub budget: Budget,
    pub trouble: Trouble,
    pub privileged: u64,
    /// The last close code after which nobody may come back.
    pub fatal: Option<u16>,
    pub connections: u64,
    pub identifies: u64,
    pub resumes: u64,
    pub heartbeats: u64,
    pub closes: Vec<Option<u16>>,
}

impl Default for Trouble {
    fn default() -> Self {
        Trouble {
            no_acks: false,
            silent: false,
            refuse: None,
            refuse_identify: None,
            heartbeat: Duration::from_millis(41_250),
            plain: false,
        }
    }
}

impl Sessions {
    /// The application's flags: which privileged intents it has.
    pub fn flags(&self) -> u64 {
        [(1 << 1, 15), (1 << 8, 13), (1 << 15, 19)].iter().filter(|(bit, _)| self.privileged & bit != 0).map(|(_, flag)| 1 << flag).sum()
    }

    /// May the list of members be read?
    pub fn may_list_members(&self) -> bool {
        self.privileged & MEMBERS != 0
    }

    /// Sends to every open connection.
    pub fn everywhere(&self, out: &Out) {
        for connection in self.live.values() {
            // A connection that is just ending hears nothing more.
            let _ = connection.send(out.clone());
        }
    }

    /// Is anybody there who hears an event now?
    pub fn anybody(&self) -> bool {
        self.all.values().any(|session| session.connection.is_some())
    }
}

impl State {
    /// Sends an event to every session that wants it (`intent` 0: all do), and keeps it for those that are away.
    pub(super) fn tell(&mut self, intent: u64, name: &str, data: &Value) {
        let ids: Vec<String> =
            self.sessions.all.iter().filter(|(_, s)| intent == 0 || s.intents & intent != 0).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.tell_session(&id, name, data);
        }
    }

    pub(super) fn tell_session(&mut self, id: &str, name: &str, data: &Value) {
        let Some(session) = self.sessions.all.get_mut(id) else { return };
        session.sequence += 1;
        let frame = json!({ "op": 0, "s": session.sequence, "t": name, "d": data }).to_string();
        session.kept.push_back((session.sequence, frame.clone()));
        if session.kept.len() > KEPT_MAX {
            session.kept.pop_front();
        }
        if let Some(connection) = session.connection.and_then(|connection| self.sessions.live.get(&connection)) {
            let _ = connection.send(Out::Frame(frame));
        }
    }

    /// An event about a message: its text only for who may read contents, or wrote it.
    pub(super) fn tell_message(&mut self, name: &str, channel: super::Id, mut shown: Value) {
        if let Some(guild) = self.channels.get(&channel).and_then(|channel| channel.guild) {
            shown["guild_id"] = json!(guild);
        }
        self.tell(MESSAGES, name, &shown);
    }

    pub(super) fn tell_guild(&mut self, name: &str, shown: &Value) {
        self.tell(GUILDS, name, shown);
    }

    /// What is still unanswered when a fault begins is not held against the bot.
    pub(super) fn excuse_waiting(&mut self) {
        self.interactions.values_mut().filter(|one| one.ack.is_none()).for_each(|one| one.excused = true);
    }

    /// A session cannot be taken up again.
    pub(super) fn end_sessions(&mut self) {
        self.sessions.all.clear();
    }
}
