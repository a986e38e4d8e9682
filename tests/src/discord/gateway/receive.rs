//! What clients say: heartbeat, IDENTIFY, RESUME, and everything that must not be said.

use super::super::refusal::Rule;
use super::super::state::State;
use super::budget::Spent;
use super::connection::End;
use super::{ALL_INTENTS, GUILDS, Out, PRIVILEGED, RESUMABLE, Session};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Longest payload of a client, in bytes.
const PAYLOAD_MAX: usize = 4_096;
/// Close codes after which a client must not come back by itself.
const FATAL: [u16; 6] = [4004, 4010, 4011, 4012, 4013, 4014];

/// What a connection does about a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    Fine,
    /// The heart beats.
    Beat,
    /// Payloads are compressed from now on.
    Compressed,
    Close(u16),
}

impl State {
    /// Takes a payload of a connection. What is to be sent goes through the connection's orders.
    pub(super) fn receive(&mut self, connection: u64, bytes: &[u8]) -> Came {
        if bytes.len() > PAYLOAD_MAX {
            return self.shut(4002, format!("a payload of {} bytes", bytes.len()));
        }
        let Ok(payload) = serde_json::from_slice::<Value>(bytes) else {
            return self.shut(4002, "a payload that is no JSON".to_owned());
        };
        let known = self.sessions.all.values().any(|session| session.connection == Some(connection));
        match payload["op"].as_u64() {
            Some(1) => self.beat(connection),
            Some(2) if known => self.shut(4005, "a second IDENTIFY".to_owned()),
            Some(2) => self.identify(connection, &payload["d"]),
            Some(6) => self.resume(connection, &payload["d"]),
            Some(3 | 4 | 8 | 31) if known => Came::Fine,
            Some(op @ (3 | 4 | 8 | 31)) => self.shut(4003, format!("op {op} before IDENTIFY")),
            _ => self.shut(4001, format!("no such op: {}", payload["op"])),
        }
    }

    fn shut(&mut self, code: u16, how: String) -> Came {
        self.breaks(Rule::Gateway, how);
        Came::Close(code)
    }

    fn order(&self, connection: u64, out: Out) {
        if let Some(orders) = self.sessions.live.get(&connection) {
            // The connection may just be ending.
            let _ = orders.send(out);
        }
    }

    fn beat(&mut self, connection: u64) -> Came {
        self.sessions.heartbeats += 1;
        if !self.sessions.trouble.no_acks {
            self.order(connection, Out::Frame(json!({ "op": 11, "d": null }).to_string()));
        }
        Came::Beat
    }

    fn token_fits(&self, said: &Value) -> bool {
        self.token_good && said.as_str().is_some_and(|said| said.trim_start_matches("Bot ") == self.token)
    }

    fn identify(&mut self, connection: u64, said: &Value) -> Came {
        let now = self.now();
        self.sessions.identifies += 1;
        if let Some(code) = self.sessions.fatal {
            self.breaks(Rule::FatalClose, format!("IDENTIFY again after {code}"));
        }
        if let Some((left, code)) = &mut self.sessions.trouble.refuse_identify
            && *left > 0
        {
            *left -= 1;
            return Came::Close(*code);
        }
        match self.sessions.budget.spend(now) {
            Spent::Fine => {}
            Spent::TooSoon => {
                self.breaks(Rule::IdentifyPace, "two IDENTIFYs within five seconds");
                self.order(connection, Out::Frame(json!({ "op": 9, "d": false }).to_string()));
                return Came::Fine;
            }
            Spent::Nothing => {
                self.breaks(Rule::IdentifyBudget, "the day's IDENTIFYs are used up: the token is reset");
                self.token_good = false;
                self.sessions.everywhere(&Out::Close(Some(4004)));
                return Came::Fine;
            }
        }
        if let Some(code) = self.refuses_identity(said) {
            return Came::Close(code);
        }
        self.begin(connection, said);
        if said["compress"] == true && !self.sessions.trouble.plain { Came::Compressed } else { Came::Fine }
    }

    /// The close code for an identity that is not taken.
    fn refuses_identity(&mut self, said: &Value) -> Option<u16> {
        let intents = said["intents"].as_u64();
        let shard = said["shard"].as_array().map(|shard| (shard.first().and_then(Value::as_u64), shard.get(1).and_then(Value::as_u64)));
        if !self.token_fits(&said["token"]) {
            Some(4004)
        } else if !said["properties"].is_object() {
            self.breaks(Rule::Gateway, "IDENTIFY without properties");
            Some(4002)
        } else if shard.is_some_and(|shard| shard != (Some(0), Some(1))) {
            Some(4010)
        } else if intents.is_none_or(|intents| intents & !ALL_INTENTS != 0) {
            Some(4013)
        } else if intents.is_some_and(|intents| intents & PRIVILEGED & !self.sessions.privileged != 0) {
            Some(4014)
        } else {
            None
        }
    }

    fn begin(&mut self, connection: u64, said: &Value) {
        let id = format!("session-{}", self.clock.id());
        let intents = said["intents"].as_u64().unwrap_or_default();
        let session = Session { sequence: 0, kept: VecDeque::new(), intents, connection: Some(connection), lost: None };
        self.sessions.all.insert(id.clone(), session);
        let mine: Vec<super::super::Id> =
            self.guilds.values().filter(|guild| guild.members.contains_key(&self.bot)).map(|guild| guild.id).collect();
        let guilds: Vec<Value> = mine.iter().map(|guild| json!({ "id": guild, "unavailable": true })).collect();
        let ready = json!({
            "v": 10, "user": self.show_user(self.bot), "guilds": guilds, "session_id": id, "resume_gateway_url": self.gateway_url,
            "shard": [0, 1], "application": { "id": self.application, "flags": self.sessions.flags() }, "session_type": "normal",
            "private_channels": [], "presences": [], "relationships": [], "user_settings": {}, "geo_ordered_rtc_regions": [], "_trace": [],
        });
        self.tell_session(&id, "READY", &ready);
        if intents & GUILDS != 0 {
            let whole: Vec<Value> =
                mine.iter().filter_map(|guild| self.guilds.get(guild)).map(|guild| self.show_whole_guild(guild)).collect();
            whole.iter().for_each(|guild| self.tell_session(&id, "GUILD_CREATE", guild));
        }
    }

    fn resume(&mut self, connection: u64, said: &Value) -> Came {
        self.sessions.resumes += 1;
        if !self.token_fits(&said["token"]) {
            return Came::Close(4004);
        }
        let now = self.now();
        let id = said["session_id"].as_str().unwrap_or_default().to_owned();
        let seq = said["seq"].as_u64();
        let alive = |session: &&mut Session| session.lost.is_none_or(|lost| now < lost + RESUMABLE);
        let Some(session) = self.sessions.all.get_mut(&id).filter(alive) else {
            self.sessions.all.remove(&id);
            self.order(connection, Out::Frame(json!({ "op": 9, "d": false }).to_string()));
            return Came::Fine;
        };
        let Some(seq) = seq.filter(|seq| *seq <= session.sequence) else {
            self.sessions.all.remove(&id);
            return self.shut(4007, format!("RESUME with sequence {}", said["seq"]));
        };
        let before = session.connection.replace(connection);
        session.lost = None;
        let missed: Vec<String> = session.kept.iter().filter(|(number, _)| *number > seq).map(|(_, frame)| frame.clone()).collect();
        if let Some(before) = before.filter(|before| *before != connection) {
            self.order(before, Out::Cut);
        }
        missed.into_iter().for_each(|frame| self.order(connection, Out::Frame(frame)));
        self.tell_session(&id, "RESUMED", &json!({ "_trace": [] }));
        Came::Fine
    }

    /// A connection has ended. Closing with 1000 or 1001 ends the session, too; so do some of our codes.
    pub(super) fn gone(&mut self, connection: u64, end: End) {
        let now = self.now();
        self.sessions.live.remove(&connection);
        let (code, ends_session) = match end {
            End::ByClient(code) => (code, matches!(code, Some(1000 | 1001))),
            End::ByServer(code) => (code, code.is_some_and(|code| FATAL.contains(&code) || matches!(code, 4007 | 4009))),
            End::Lost => (None, false),
        };
        self.sessions.closes.push(code);
        if let End::ByServer(Some(code)) = end
            && FATAL.contains(&code)
        {
            self.sessions.fatal = Some(code);
        }
        if ends_session {
            self.sessions.all.retain(|_, session| session.connection != Some(connection));
        }
        for session in self.sessions.all.values_mut().filter(|session| session.connection == Some(connection)) {
            session.connection = None;
            session.lost = Some(now);
        }
    }
}
