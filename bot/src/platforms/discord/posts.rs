//! Where the messages of a release are: one for each audience, remembered in the store, edited in place. A message that
//! Discord lets nobody edit any more is continued by a new one that links back; one that somebody deleted is made anew.

use super::rest::{Call, Rest, RestError, THREADS, code};
use super::text::cut;
use super::wire::{Message, THREAD_NAME_MAX};
use crate::store::{Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Releases whose messages are remembered.
const POSTS_MAX: u32 = 2_000;
const SPACE: &str = "discord.posts";
/// A thread is put away after so many minutes of silence.
const ARCHIVE_AFTER_MINS: u32 = 1_440;

/// Where threads may not be begun it is tried again after this.
const NO_THREADS: Duration = Duration::from_secs(600);

/// A message of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Where.
    pub channel: u64,
    /// Which.
    pub message: u64,
    /// The thread for details; none: not begun.
    pub thread: Option<u64>,
    /// What stands there.
    pub hash: String,
    /// When it was posted.
    pub at: Timestamp,
    /// Which one of its release: an old message is continued by the next.
    pub part: u32,
    /// What the first sight of it was about: the commit.
    pub about: String,
    /// Lines of the timeline that the thread has.
    pub told: usize,
    /// A link to the one before.
    pub before: Option<String>,
}

/// Why a post is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Discord.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Our own store.
    #[error("the store cannot keep where a message is")]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// What belongs into a room.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The release and the audience.
    pub key: &'a str,
    /// The room.
    pub channel: u64,
    /// The guild, for links.
    pub guild: u64,
    /// What it is about.
    pub about: &'a str,
}

/// All posts, in memory and in the store.
#[derive(Debug)]
pub struct Posts {
    rest: Arc<Rest>,
    store: Store,
    known: BTreeMap<String, Post>,
    /// Threads may not be begun; not tried before this.
    no_threads_until: Option<Instant>,
}

impl Posts {
    /// With what the store remembers.
    pub async fn open(rest: Arc<Rest>, store: Store) -> Result<Posts, StoreError> {
        let known = store.all_kept::<Post>(SPACE).await?.into_iter().collect();
        Ok(Posts { rest, store, known, no_threads_until: None })
    }

    /// The post of a release for an audience.
    pub fn get(&self, key: &str) -> Option<&Post> {
        self.known.get(key)
    }

    /// Makes the room show this. `message` gets the link of the post before, if one is continued.
    pub async fn show(&mut self, wanted: &Wanted<'_>, message: impl Fn(Option<&str>) -> Message) -> Result<(), PostError> {
        let known = self.known.get(wanted.key).filter(|post| post.channel == wanted.channel).cloned();
        let Some(post) = known else { return self.post(wanted, &message, None).await };
        let edited = message(post.before.as_deref()).fitted();
        let hash = hash_of(&edited);
        if post.hash == hash {
            return Ok(());
        }
        let path = format!("/channels/{}/messages/{}", post.channel, post.message);
        match self.rest.send(Call::patch("PATCH /messages", post.channel, path, json!(edited))).await {
            Ok(_) => self.keep(wanted.key, Post { hash, ..post }).await,
            // Of an application that the bot had before: its message stays, and is continued as an old one is.
            Err(error) if matches!(error.code(), code::OLD_MESSAGE | code::FOREIGN) => self.post(wanted, &message, Some(&post)).await,
            Err(error) if error.code() == code::UNKNOWN_MESSAGE => {
                let gone = Post { before: None, ..post };
                self.post(wanted, &message, Some(&Post { message: 0, ..gone })).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn post(&mut self, wanted: &Wanted<'_>, message: &impl Fn(Option<&str>) -> Message, old: Option<&Post>) -> Result<(), PostError> {
        let part = old.map_or(1, |old| old.part + 1);
        let before = old.filter(|old| old.message != 0).map(|old| link(wanted.guild, old));
        let body = message(before.as_deref()).fitted();
        let hash = hash_of(&body);
        let nonce = nonce(&format!("{}/{part}/{}", wanted.key, wanted.channel));
        let path = format!("/channels/{}/messages", wanted.channel);
        let made: Made = self.rest.call(Call::post("POST /messages", wanted.channel, path, json!(body.once(&nonce)))).await?;
        let message = made.id.parse().map_err(|_| RestError::Away("it names no message".into()))?;
        let post = Post {
            channel: wanted.channel,
            message,
            // Details stay in one thread, whichever message shows the state.
            thread: old.and_then(|old| old.thread),
            hash,
            at: Timestamp::now(),
            part,
            about: wanted.about.to_owned(),
            told: old.map_or(0, |old| old.told),
            before,
        };
        self.keep(wanted.key, post).await
    }

    /// Adds lines to the thread of a release; begins it if there is none. `lines` is the whole timeline.
    pub async fn tell(&mut self, key: &str, name: &str, lines: &[String]) -> Result<(), PostError> {
        let Some(post) = self.known.get(key).cloned() else { return Ok(()) };
        if post.told >= lines.len() {
            return Ok(());
        }
        let thread = match post.thread {
            Some(thread) => thread,
            None if self.no_threads_until.is_some_and(|until| until > Instant::now()) => return Ok(()),
            None => match self.thread(&post, name).await {
                Ok(thread) => thread,
                // A channel with as many threads as there may be: the card says what matters.
                Err(PostError::Rest(error)) if matches!(error.code(), code::THREADS_MAX | code::LOCKED) => {
                    tracing::warn!(%error, "no further thread may be begun there for now");
                    self.no_threads_until = Some(Instant::now() + NO_THREADS);
                    return Ok(());
                }
                // The card says what matters; the details follow once threads are allowed.
                Err(PostError::Rest(RestError::Refused { status: 403, message, .. })) => {
                    tracing::error!(message, "no threads may be begun there: Create Public Threads is missing");
                    self.no_threads_until = Some(Instant::now() + NO_THREADS);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        let mut post = Post { thread: Some(thread), ..post };
        self.keep(key, post.clone()).await?;
        while post.told < lines.len() {
            let (text, count) = fill(&lines[post.told..]);
            // The same first line has the same nonce: said again after a crash, it stands there once.
            let body = Message { content: text, ..Message::default() }.fitted().once(&nonce(&format!("{key}/line/{}", post.told)));
            let path = format!("/channels/{thread}/messages");
            match self.rest.send(Call::post("POST /messages", thread, path, json!(body))).await {
                Ok(_) => {}
                // Somebody locked or deleted it: the details stay on the page.
                Err(error) if matches!(error.code(), code::UNKNOWN_CHANNEL | code::ARCHIVED | code::LOCKED) => {
                    post.told = lines.len();
                    return self.keep(key, post).await;
                }
                Err(error) => return Err(error.into()),
            }
            post.told += count;
            self.keep(key, post.clone()).await?;
        }
        Ok(())
    }

    async fn thread(&self, post: &Post, name: &str) -> Result<u64, PostError> {
        let path = format!("/channels/{}/messages/{}/threads", post.channel, post.message);
        let body = json!({"name": cut(name, THREAD_NAME_MAX), "auto_archive_duration": ARCHIVE_AFTER_MINS});
        match self.rest.call::<Made>(Call::post(THREADS, post.channel, path, body)).await {
            Ok(made) => Ok(made.id.parse().map_err(|_| RestError::Away("it names no thread".into()))?),
            // A thread has the id of the message that it hangs on.
            Err(error) if error.code() == code::HAS_THREAD => Ok(post.message),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep(&mut self, key: &str, post: Post) -> Result<(), PostError> {
        self.store.keep(SPACE, key, &post).await?;
        if self.known.insert(key.to_owned(), post).is_none() {
            self.store.trim_kept(SPACE, POSTS_MAX).await?;
        }
        Ok(())
    }
}

/// As many lines as one message holds, and how many they are.
fn fill(lines: &[String]) -> (String, usize) {
    let (mut text, mut count) = (String::new(), 0);
    for line in lines {
        let line = cut(line, super::wire::CONTENT_MAX - 1);
        if count > 0 && super::text::length(&text) + super::text::length(&line) + 1 > super::wire::CONTENT_MAX {
            break;
        }
        if count > 0 {
            text.push('\n');
        }
        text.push_str(&line);
        count += 1;
    }
    (text, count)
}

/// A link to a post.
pub fn link(guild: u64, post: &Post) -> String {
    format!("https://discord.com/channels/{guild}/{}/{}", post.channel, post.message)
}

fn hash_of(message: &Message) -> String {
    hex::encode(&Sha256::digest(json!(message).to_string())[..12])
}

/// At most 25 characters that are the same for the same thing.
pub fn nonce(of: &str) -> String {
    hex::encode(&Sha256::digest(of)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fill_messages_and_none_is_lost() {
        let lines: Vec<String> = (0..50).map(|n| format!("{n} {}", "x".repeat(150))).collect();
        let (mut at, mut messages) = (0, 0);
        while at < lines.len() {
            let (text, count) = fill(&lines[at..]);
            assert!(count > 0 && text.len() <= 2_000);
            (at, messages) = (at + count, messages + 1);
        }
        assert_eq!((at, messages), (50, 5));
        assert!(nonce("x").len() <= super::super::wire::NONCE_MAX);
    }
}
