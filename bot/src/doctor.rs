//! `tidegate-bot doctor`: from the settings over the repo to Discord, each thing by itself. Changes nothing, and can run
//! beside the bot.

use crate::platforms::discord::{self, Token};
use crate::settings::{DiscordSettings, Settings};
use crate::tips::chain;
use crate::words::doctor::{Check, Found, Verdict};
use std::os::unix::fs::PermissionsExt as _;
use tidegate_core::repo;
use tidegate_git::Mirror;

/// Bits of a file's mode that let others read it.
const OTHERS_READ: u32 = 0o077;

/// Everything, in the order in which it is needed.
pub async fn examine(settings: &Settings) -> Vec<Check> {
    let Some(discord) = &settings.discord else { return vec![Check::new(Found::Settings, Verdict::Bad)] };
    let mut checks = Vec::new();
    let token = token(discord, &mut checks);
    let repo = repo(settings, &mut checks).await;
    let authority = discord.ca_file.as_deref().map(discord::authority).transpose();
    let authority = match authority {
        Ok(authority) => authority,
        Err(cause) => {
            checks.push(Check::new(Found::NotReached { cause }, Verdict::Bad));
            return checks;
        }
    };
    if let (Some(token), Some(repo)) = (token, repo) {
        let address = discord::Address { base: discord.api_base.clone(), authority };
        checks.extend(discord::examine(&address, token, &repo).await);
    }
    checks
}

fn token(discord: &DiscordSettings, checks: &mut Vec<Check>) -> Option<Token> {
    let path = discord.token_file.display().to_string();
    let text = std::fs::read_to_string(&discord.token_file);
    let cause = match &text {
        Err(error) => Some(error.to_string()),
        Ok(text) if Token::read(text).is_none() => Some("it holds no token of Discord".to_owned()),
        Ok(_) => None,
    };
    let verdict = if cause.is_none() { Verdict::Good } else { Verdict::Bad };
    checks.push(Check::new(Found::TokenFile { path: path.clone(), cause }, verdict));
    let mode = std::fs::metadata(&discord.token_file).map(|data| data.permissions().mode()).unwrap_or(0);
    if mode & OTHERS_READ != 0 {
        checks.push(Check::new(Found::OpenFile { path }, Verdict::Warning));
    }
    Token::read(&text.ok()?)
}

/// Read into a folder of its own, so that a running bot is not disturbed.
async fn repo(settings: &Settings, checks: &mut Vec<Check>) -> Option<repo::Settings> {
    let folder = settings.state_dir.join(format!("doctor-{}", std::process::id()));
    let read = read(settings, &folder).await;
    let _ = std::fs::remove_dir_all(&folder); // nothing of it is needed; what stays is found by the next one
    let verdict = if read.is_ok() { Verdict::Good } else { Verdict::Bad };
    checks.push(Check::new(Found::Repo { cause: read.as_ref().err().cloned() }, verdict));
    read.ok()
}

async fn read(settings: &Settings, folder: &std::path::Path) -> Result<repo::Settings, String> {
    let words = |error: tidegate_git::GitError| chain(&error);
    let mirror = Mirror::open(folder, settings.remote.clone()).await.map_err(words)?;
    let tip = mirror.fetch().await.map_err(words)?;
    let files = mirror.files(&tip).await.map_err(words)?;
    let loaded = repo::load(&files);
    let first = loaded.findings.iter().find(|finding| finding.severity == tidegate_core::findings::Severity::Error);
    match (loaded.repo, first) {
        (Some(repo), _) => Ok(repo.settings),
        (None, Some(finding)) => Err(finding.message.clone()),
        (None, None) => Err("it cannot be read".to_owned()),
    }
}
