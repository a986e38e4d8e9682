//! Registers the slash commands in the guild, and only when they differ from what is there: Discord allows few changes a
//! day, and a start must not use them up.

use super::commands;
use super::gateway::Identity;
use super::rest::{Call, Rest, RestError};
use crate::store::Store;
use crate::tips::{Seen, chain};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tried again after this.
const RETRY: Duration = Duration::from_secs(60);
const SPACE: &str = "discord";
const KEY: &str = "commands";

/// Where which commands were registered last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Registered {
    application: u64,
    guild: u64,
    hash: String,
}

#[derive(Deserialize)]
struct There {
    name: String,
}

/// Keeps the commands registered.
#[derive(Debug)]
pub struct Sync {
    /// The way out.
    pub rest: Arc<Rest>,
    /// Remembers what was registered.
    pub store: Store,
    /// Who the bot is.
    pub identity: watch::Receiver<Option<Identity>>,
    /// Where the guild is named.
    pub seen: watch::Receiver<Arc<Seen>>,
}

impl Sync {
    /// Works until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut done = None;
        let mut not_before = Instant::now();
        loop {
            let wanted = self.wanted();
            // Every look at the branch comes by here: a failure is not tried again with each of them.
            let due = not_before <= Instant::now();
            if let Some((me, guild)) = wanted.filter(|wanted| due && Some(*wanted) != done) {
                match self.register(me, guild).await {
                    Ok(()) => done = wanted,
                    Err(error) => {
                        tracing::error!(error = %chain(&error), guild, "the commands cannot be registered; `tidegate-bot doctor` says what is missing");
                        not_before = Instant::now() + RETRY;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.identity.changed() => if changed.is_err() { return },
                changed = self.seen.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    fn wanted(&self) -> Option<(Identity, u64)> {
        let me = (*self.identity.borrow())?;
        let guild = self.seen.borrow().tip.as_ref()?.repo.settings.chat.discord.as_ref()?.guild.0;
        Some((me, guild))
    }

    async fn register(&self, me: Identity, guild: u64) -> Result<(), RestError> {
        let body = json!(commands::all());
        let hash = hex::encode(Sha256::digest(body.to_string()));
        let wanted = Registered { application: me.application, guild, hash };
        let path = format!("/applications/{}/guilds/{guild}/commands", me.application);
        let before: Option<Registered> = self.store.kept(SPACE, KEY).await.unwrap_or_default();
        if before.as_ref() == Some(&wanted) {
            let there: Vec<There> = self.rest.call(Call::get("GET /commands", path.clone())).await?;
            let names: BTreeSet<&str> = there.iter().map(|command| command.name.as_str()).collect();
            if commands::all().iter().map(|command| command.name).collect::<BTreeSet<_>>() == names {
                return Ok(());
            }
        }
        self.rest.send(Call::put("PUT /commands", path, body)).await?;
        tracing::info!(guild, "the commands are registered");
        if let Err(error) = self.store.keep(SPACE, KEY, &wanted).await {
            tracing::warn!(error = %chain(&error), "it cannot be remembered that the commands are registered");
        }
        Ok(())
    }
}
