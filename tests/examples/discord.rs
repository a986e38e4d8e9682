//! The Discord of the tests as a program, to try the bot by hand without Discord: `cargo run -p tidegate-tests --example
//! discord`. It prints what to put into the bot's settings and the config repo, then reads lines like
//! `alice: /rollback stack:shop`, `alice presses Roll back`, `alice types /rollback stack:sh`, `alice fills reason=broken`,
//! and prints what people would see.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tidegate_tests::discord::{Discord, Doing, Id, Modal, Person, Room, Seen, Slash, TOKEN};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Where it listens unless the first argument says otherwise.
const ADDRESS: &str = "127.0.0.1:4430";
/// The people who are there.
const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// How long to look for an answer.
const ANSWER: Duration = Duration::from_secs(15);

const USAGE: &str = "alice: /COMMAND OPTION:VALUE …   alice types /COMMAND OPTION:START   alice presses LABEL   alice fills FIELD=TEXT\n\
                     later 15 (minutes)   broken   quit";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or(ADDRESS).parse().context("the first argument is an address")?;
    let discord = Discord::start_at(address, TOKEN)?;
    let room = discord.add_room("Example", "releases");
    let news = discord.add_channel(room.guild, "news");
    let role = discord.add_role(room.guild, "on-call");
    println!("in place of https://discord.com: {}\ntoken: {TOKEN}\nguild: {}", discord.base(), room.guild);
    println!("channel #releases: {}\nchannel #news: {news}\nrole on-call: {role}", room.channel);
    let people: BTreeMap<&str, Id> = PEOPLE.iter().map(|name| (*name, discord.person(room, name).user)).collect();
    people.iter().for_each(|(name, id)| println!("{name}: {id}"));
    println!("\n{USAGE}\n");
    let mut desk =
        Desk { discord: &discord, room, channels: vec![("releases", room.channel), ("news", news)], shown: BTreeMap::new(), modal: None };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.as_deref().map(str::trim) {
                None | Some("quit") => return Ok(()),
                Some("") => {}
                Some(line) => {
                    if let Err(error) = desk.line(&people, line).await {
                        println!("! {error:#}");
                    }
                }
            },
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
        desk.show();
    }
}

/// What the person at the terminal sees.
struct Desk<'a> {
    discord: &'a Discord,
    room: Room,
    channels: Vec<(&'static str, Id)>,
    shown: BTreeMap<Id, String>,
    /// The last one that was opened.
    modal: Option<Modal>,
}

impl<'a> Desk<'a> {
    async fn line(&mut self, people: &BTreeMap<&str, Id>, line: &str) -> Result<()> {
        match line.split_once(' ') {
            Some(("later", minutes)) => {
                self.discord.advance(Duration::from_secs(60 * minutes.parse::<u64>().context("minutes")?));
                return Ok(());
            }
            None if line == "broken" => {
                self.discord.broken().iter().for_each(|broken| println!("  {broken}"));
                self.discord.careless().iter().for_each(|careless| println!("  {careless}"));
                return Ok(());
            }
            _ => {}
        }
        let (name, rest) = line.split_once([':', ' ']).context(USAGE)?;
        let person = self.discord.as_person(*people.get(name).with_context(|| format!("who is {name}?"))?, self.room);
        let doing = match rest.trim().split_once(' ') {
            Some(("types", typed)) => return types(person, typed).await,
            Some(("presses", label)) => self.press(person, label)?,
            Some(("fills", fields)) => {
                let modal = self.modal.take().context("no modal is open")?;
                let fields: Vec<(&str, &str)> = fields.split(';').filter_map(|field| field.trim().split_once('=')).collect();
                person.submits(&modal, &fields)?
            }
            _ if rest.trim().starts_with('/') => person.says(rest.trim())?,
            _ => bail!(USAGE),
        };
        self.answer(doing).await
    }

    /// The newest message that has the button and that the person sees.
    fn press(&self, person: Person<'a>, label: &str) -> Result<Doing<'a>> {
        let private = self.shown.keys().filter_map(|id| self.discord.seen(*id)).filter(|seen| seen.private_to == Some(person.user));
        let public = self.channels.iter().flat_map(|(_, channel)| self.discord.messages(*channel));
        let found = private.chain(public).filter(|seen| seen.offers(label)).max_by_key(|seen| seen.id);
        person.press(&found.with_context(|| format!("nothing offers `{label}`"))?, label)
    }

    async fn answer(&mut self, doing: Doing<'_>) -> Result<()> {
        let ack = doing.ack().await?;
        println!("  (acknowledged in {:?})", ack.after);
        if ack.kind == 9 {
            let modal = doing.modal().await?;
            println!("  a modal opens: {} with the fields {:?}", modal.title, modal.fields());
            self.modal = Some(modal);
            return Ok(());
        }
        let seen = self.discord.wait(ANSWER, "an answer", |_| doing.answered()).await?;
        self.print("only you", &seen);
        Ok(())
    }

    fn show(&mut self) {
        for (name, channel) in self.channels.clone() {
            let threads = self.discord.threads(channel);
            let messages = std::iter::once(channel).chain(threads).flat_map(|place| self.discord.messages(place));
            messages.collect::<Vec<_>>().iter().for_each(|seen| self.print(name, seen));
        }
    }

    fn print(&mut self, place: &str, seen: &Seen) {
        let text = seen.text();
        if self.shown.get(&seen.id) != Some(&text) && !seen.thinking {
            let place = if seen.is_public() { format!("#{place}") } else { "only you".to_owned() };
            println!("┌ {place} · message {} · edits {}\n│ {}", seen.id, seen.edits, text.replace('\n', "\n│ "));
            self.shown.insert(seen.id, text);
        }
    }
}

async fn types(person: Person<'_>, typed: &str) -> Result<()> {
    let slash = Slash::typed(typed);
    let option = slash.last_option().context("type the start of an option: /COMMAND OPTION:START")?.to_owned();
    for (label, value) in person.types(&slash, &option)?.choices().await? {
        println!("  {label}  ({value})");
    }
    Ok(())
}
