//! Measures the bot on Discord: how soon it acknowledges with fifty interactions in flight while a push to git hangs, and
//! how long a confirmed rollback takes to be a commit in the repo. `docs/performance.md` has figures and what they mean.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};
use tidegate_tests::discord::Doing;
use tidegate_tests::git_server::Mode;
use tidegate_tests::ops_room::{Git, OpsRoom, Wish};

/// Interactions in flight at once: begun, and not answered yet.
const IN_FLIGHT: usize = 50;
/// The push hangs for so long.
const HANG: Duration = Duration::from_secs(10);
/// Rollbacks measured.
const ROLLBACKS: usize = 10;
/// What is asked, in turn.
const QUESTIONS: [&str; 4] = ["/status", "/why", "/history", "/diff environment:production"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    acknowledgements().await?;
    rollbacks().await
}

async fn acknowledgements() -> Result<()> {
    let room = OpsRoom::new(Wish { git: Git::Http, ..Wish::default() }).await?;
    room.two_verified().await?;
    room.merge("3")?;
    let card = room.wait_candidate(3).await?;
    let git = room.git.as_ref().context("git over HTTP")?;
    git.set_mode(Mode::Hang);
    let approval = room.person("alice").press(&card, "Approve")?;
    let mut times = vec![approval.ack().await?.after];
    let began = Instant::now();
    let mut open: Vec<Doing<'_>> = Vec::new();
    let mut asked = 0;
    while began.elapsed() < HANG {
        open.retain(|doing| match (doing.acked(), doing.answered()) {
            (Some(ack), Some(_)) => {
                times.push(ack.after);
                false
            }
            _ => true,
        });
        while open.len() < IN_FLIGHT {
            open.push(room.person("bob").says(QUESTIONS[asked % QUESTIONS.len()])?);
            asked += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ensure!(room.release()? == 2, "the push did not hang");
    for doing in open {
        times.push(doing.ack().await?.after);
    }
    git.set_mode(Mode::Normal);
    room.wait_release(3).await?;
    tell(&format!("acknowledged, {IN_FLIGHT} in flight, push hanging {HANG:?}"), times);
    room.discord.assert_obeyed();
    Ok(())
}

/// From the press of the button that confirms to the commit in the repo.
async fn rollbacks() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.two_verified().await?;
    let carol = room.person("carol");
    let (mut times, mut release) = (Vec::new(), 2);
    for _ in 0..ROLLBACKS {
        let asked = carol.says("/rollback stack:shop")?.answer().await?;
        let buttons = asked.buttons();
        let button = buttons.iter().find(|button| button.label.starts_with("Roll back shop to")).with_context(|| asked.text())?;
        let before = head(&room)?;
        let began = Instant::now();
        let pressed = carol.press(&asked, &button.label)?;
        while head(&room)? == before {
            ensure!(began.elapsed() < Duration::from_secs(10), "no commit: {:?}", pressed.answered().map(|seen| seen.text()));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.push(began.elapsed());
        pressed.answer().await?;
        // Something new goes out and is verified, so that there is something to go back from.
        release += 2;
        room.merge(&release.to_string())?;
        room.approve("alice", release).await?;
        room.verified().await?;
        room.wait_live(release).await?;
    }
    tell("rollback, from the press to the commit in the repo", times);
    Ok(())
}

/// The branch at the remote, read without a process.
fn head(room: &OpsRoom) -> Result<String> {
    std::fs::read_to_string(room.repository().join("refs/heads/main")).context("reading the branch")
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{what}: {} times, median {:?}, p99 {:?}, longest {:?}", times.len(), at(50), at(99), at(100));
}
