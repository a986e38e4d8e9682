//! Things that go wrong, from the test's side: at requests and at the gateway.

use super::faults::{Chaos, Fault};
use super::gateway::Out;
use super::{Discord, Id};
use serde_json::{Value, json};
use std::time::Duration;

impl Discord {
    /// The next request of this method (`*`: any) whose path has this part goes wrong; `$` after it: at the path's end.
    pub fn fail(&self, method: &str, part: &str, fault: Fault) {
        self.fail_times(method, part, (fault, 1));
    }

    /// The next requests go wrong, so many.
    pub fn fail_times(&self, method: &str, part: &str, (fault, times): (Fault, u32)) {
        self.shared.with(|state| state.faults.aim(method, part, fault, Some(times)));
    }

    /// All such requests go wrong until [`Discord::mend`].
    pub fn fail_always(&self, method: &str, part: &str, fault: Fault) {
        self.shared.with(|state| state.faults.aim(method, part, fault, None));
    }

    /// Requests go wrong at random.
    pub fn chaos(&self, chaos: Chaos) {
        self.shared.with(|state| state.faults.chaos(Some(chaos)));
    }

    /// Nothing goes wrong any more, at requests and at the gateway.
    pub fn mend(&self) {
        self.shared.changing(|state| {
            state.faults.clear();
            let heartbeat = state.sessions.trouble.heartbeat;
            state.sessions.trouble = super::gateway::Trouble { heartbeat, ..Default::default() };
        });
    }

    /// How many requests went wrong so far.
    pub fn faults_done(&self) -> u64 {
        self.shared.with(|state| state.faults.done)
    }

    /// What goes wrong at the gateway.
    pub fn gateway(&self) -> Gateway<'_> {
        Gateway(self)
    }
}

/// What a test does at the gateway, and what it counts there.
#[derive(Clone, Copy)]
pub struct Gateway<'a>(&'a Discord);

impl Gateway<'_> {
    fn everywhere(self, out: &Out) {
        self.0.shared.changing(|state| {
            state.excuse_waiting();
            state.sessions.everywhere(out);
        });
    }

    /// Closes all connections with a code.
    pub fn close(self, code: u16) {
        self.everywhere(&Out::Close(Some(code)));
    }

    /// Closes all connections with a close frame that has no code.
    pub fn close_without_code(self) {
        self.everywhere(&Out::Close(None));
    }

    /// Cuts all connections without a word.
    pub fn cut(self) {
        self.everywhere(&Out::Cut);
    }

    /// Op 7: come back, please.
    pub fn reconnect(self) {
        self.everywhere(&Out::Frame(json!({ "op": 7, "d": null }).to_string()));
    }

    /// Op 9: the session is not valid (any more); `resumable`: try to take it up again.
    pub fn invalid_session(self, resumable: bool) {
        if !resumable {
            self.0.shared.with(|state| state.end_sessions());
        }
        self.everywhere(&Out::Frame(json!({ "op": 9, "d": resumable }).to_string()));
    }

    /// All sessions are forgotten: who comes back to one is told that it is invalid.
    pub fn forget_sessions(self) {
        self.0.shared.with(|state| state.end_sessions());
    }

    /// Heartbeats are acknowledged no more, until [`Discord::mend`].
    pub fn stop_acks(self) {
        self.0.shared.with(|state| state.sessions.trouble.no_acks = true);
    }

    /// New connections are accepted and hear nothing, until [`Discord::mend`].
    pub fn be_silent(self) {
        self.0.shared.with(|state| state.sessions.trouble.silent = true);
    }

    /// The next upgrades are refused with an HTTP status.
    pub fn refuse_upgrades(self, times: u32, status: u16) {
        self.0.shared.with(|state| state.sessions.trouble.refuse = Some((times, status)));
    }

    /// The next IDENTIFYs are answered with a close code.
    pub fn refuse_identifies(self, times: u32, code: u16) {
        self.0.shared.with(|state| state.sessions.trouble.refuse_identify = Some((times, code)));
    }

    /// New connections are told this time between heartbeats.
    pub fn set_heartbeat(self, every: Duration) {
        self.0.shared.with(|state| state.sessions.trouble.heartbeat = every);
    }

    /// Text even for who asks for compressed payloads.
    pub fn send_plain(self) {
        self.0.shared.with(|state| state.sessions.trouble.plain = true);
    }

    /// A frame that is no JSON.
    pub fn send_garbage(self) {
        self.0.shared.changing(|state| state.sessions.everywhere(&Out::RawText("{\"op\":0,\"t\":".to_owned())));
    }

    /// Bytes that are no compressed frame.
    pub fn send_bytes(self, bytes: &[u8]) {
        self.0.shared.changing(|state| state.sessions.everywhere(&Out::RawBinary(bytes.to_vec())));
    }

    /// Any event, to every session: unknown ones, and known ones with the wrong content.
    pub fn send_event(self, name: &str, data: &Value) {
        self.0.shared.changing(|state| state.tell(0, name, data));
    }

    /// Says a guild is gone: the bot was put out, or the guild is down for a while.
    pub fn drop_guild(self, guild: Id, unavailable: bool) {
        self.0.shared.changing(|state| {
            let mut data = json!({ "id": guild });
            if unavailable {
                data["unavailable"] = json!(true);
            } else {
                let bot = state.bot;
                state.guilds.entry(guild).and_modify(|guild| drop(guild.members.remove(&bot)));
            }
            state.tell_guild("GUILD_DELETE", &data);
        });
    }

    /// Is a client there that hears events?
    pub fn connected(self) -> bool {
        self.0.shared.with(|state| state.sessions.anybody())
    }

    /// Connections so far.
    pub fn connections(self) -> u64 {
        self.0.shared.with(|state| state.sessions.connections)
    }

    /// IDENTIFYs so far.
    pub fn identifies(self) -> u64 {
        self.0.shared.with(|state| state.sessions.identifies)
    }

    /// RESUMEs so far.
    pub fn resumes(self) -> u64 {
        self.0.shared.with(|state| state.sessions.resumes)
    }

    /// Heartbeats so far.
    pub fn heartbeats(self) -> u64 {
        self.0.shared.with(|state| state.sessions.heartbeats)
    }

    /// The close codes of connections so far, in order; none: without a code, or cut.
    pub fn closes(self) -> Vec<Option<u16>> {
        self.0.shared.with(|state| state.sessions.closes.clone())
    }

    /// The intents of the sessions.
    pub fn intents(self) -> Vec<u64> {
        self.0.shared.with(|state| state.sessions.all.values().map(|session| session.intents).collect())
    }
}
