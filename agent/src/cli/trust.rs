//! `tidegate trust`: begin a signer policy, pin it on hosts, and see what an agent would say of a range of commits.

use super::exit::UsageError;
use super::source::Temporary;
use super::{Exit, Output, print, print_json, runtime, schema, tell};
use crate::words;
use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::path::Path;
use tidegate_core::ids::{CommitId, PersonName, RepoPath};
use tidegate_core::trust::{self, TRUST_FILE};
use tidegate_git::{Mirror, RemoteSettings};

#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// Write a signer policy to begin with to stdout
    Init(InitArgs),
    /// Write what an agent's settings need to begin at a commit to stdout
    Pin(PinArgs),
    /// Judge every commit of a range, as an agent does
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Who may change everything, the policy included: `NAME=FILE.pub`; can be given several times
    #[arg(long, value_name = "NAME=FILE", required = true)]
    owner: Vec<String>,
    /// The bot's public key, as it prints it when it starts: `ssh-ed25519 AAAA…`, or a file with it
    #[arg(long, value_name = "KEY")]
    bot: Option<String>,
}

#[derive(Debug, Args)]
struct Where {
    /// A git repository (bare or not), or its URL
    #[arg(default_value = ".")]
    repo: String,
    /// The branch
    #[arg(long, default_value = "main")]
    branch: String,
}

#[derive(Debug, Args)]
struct PinArgs {
    #[command(flatten)]
    place: Where,
    /// The commit to begin at [default: the branch's tip]
    #[arg(long)]
    commit: Option<CommitId>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    place: Where,
    /// A commit that is trusted, in full: what an agent pins, or follows now (`tidegate status`)
    #[arg(long, value_name = "COMMIT")]
    from: CommitId,
    /// Judge up to this commit, in full [default: the branch's tip]
    #[arg(long, value_name = "COMMIT")]
    to: Option<CommitId>,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &TrustArgs) -> anyhow::Result<Exit> {
    match &args.command {
        TrustCommand::Init(args) => init(args),
        TrustCommand::Pin(args) => runtime()?.block_on(pin(args)),
        TrustCommand::Check(args) => runtime()?.block_on(check(args)),
    }
}

fn init(args: &InitArgs) -> anyhow::Result<Exit> {
    let mut signers = String::new();
    for owner in &args.owner {
        let (name, file) = owner.split_once('=').ok_or_else(|| UsageError(format!("`{owner}`: write NAME=FILE, e.g. alice=alice.pub")))?;
        let name: PersonName = name.parse().map_err(|error| UsageError(format!("{error}")))?;
        signers += &format!("  {name}: {{ key: \"{}\", roles: [owner] }}\n", key(file)?);
    }
    if let Some(bot) = &args.bot {
        signers += &format!("  tidegate-bot: {{ key: \"{}\", roles: [bot] }}\n", key(bot)?);
    }
    let policy = schema::headed(TRUST_FILE, &words::trust_policy(&signers));
    let path: RepoPath = TRUST_FILE.parse()?;
    if let Err(findings) = trust::read(&path, policy.as_bytes()) {
        return Err(UsageError(findings.first().map_or_else(String::new, |finding| finding.message.clone())).into());
    }
    print(&policy);
    tell(words::TRUST_BEGUN);
    Ok(Exit::Fine)
}

/// A public key, or the file that holds it; without its comment.
fn key(text: &str) -> anyhow::Result<String> {
    let text = match text.starts_with("ssh-") {
        true => text.to_owned(),
        false => std::fs::read_to_string(text).with_context(|| format!("could not read {text}"))?,
    };
    let key: tidegate_git::keys::PublicKey = text.parse()?;
    Ok(key.to_string())
}

/// A copy of our own of the repository, with all of its history.
async fn copy(place: &Where) -> anyhow::Result<(Mirror, CommitId, Temporary)> {
    if !place.repo.contains("://") && !Path::new(&place.repo).is_dir() {
        return Err(UsageError(format!("{} is not there; name a git repository or its URL", place.repo)).into());
    }
    let temporary = Temporary::new()?;
    let mirror = Mirror::open(&temporary.path().join("mirror.git"), RemoteSettings::new(&place.repo, &place.branch)).await?;
    let tip = mirror.fetch().await?;
    mirror.whole_history().await?;
    Ok((mirror, tip, temporary))
}

async fn pin(args: &PinArgs) -> anyhow::Result<Exit> {
    let (mirror, tip, _temporary) = copy(&args.place).await?;
    let commit = args.commit.as_ref().unwrap_or(&tip);
    let fault = match mirror.policy_at(commit).await? {
        Some(Ok(policy)) => {
            print(&format!("[trust]\ncommit = \"{commit}\"\nversion = {}", policy.version));
            policy.signers.iter().for_each(|(name, signer)| tell(&words::trust_signer(name, signer)));
            tell(words::TRUST_PINNED);
            return Ok(Exit::Fine);
        }
        Some(Err(cause)) => words::pin_unusable(commit, &cause),
        None => words::pin_without_policy(commit),
    };
    tell(&fault);
    Ok(Exit::Findings)
}

async fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let (mirror, tip, _temporary) = copy(&args.place).await?;
    let to = args.to.as_ref().unwrap_or(&tip);
    if !mirror.descends(to, &args.from).await? {
        tell(&words::history_rewritten(to, &args.from));
        return Ok(Exit::Findings);
    }
    let judged = mirror.judge(&args.from, to, Timestamp::now()).await?;
    match args.output {
        Output::Json => print_json(&serde_json::json!({
            "format": 1,
            "good": judged.good,
            "policy_version": judged.policy_version,
            "refused": judged.refused.as_ref().map(|refusal| serde_json::json!({
                "commit": refusal.commit,
                "reason": refusal.rule.to_string(),
            })),
        })),
        Output::Human => print(&words::trust_judged(&judged)),
    }
    Ok(if judged.refused.is_some() { Exit::Findings } else { Exit::Fine })
}
