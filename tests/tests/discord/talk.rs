//! Conversations in which nobody decides anything: every command answers, privately, and foreign text stays text.

use anyhow::Result;
use tidegate_tests::checkout::Author;
use tidegate_tests::ops_room::{OpsRoom, Wish};

#[tokio::test(flavor = "multi_thread")]
async fn every_question_is_answered_privately() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.two_verified().await?;
    room.push("Write a runbook", &[("stacks/shop/RUNBOOK.md", "# Shop\nTurn it off and on again.\n")])?;
    room.merge("3")?;
    room.wait_candidate(3).await?;
    let alice = room.person("alice");
    for (line, part) in [
        ("/help", "/rollback"),
        ("/status", "production"),
        ("/status environment:production", "release 2"),
        ("/why", "production"),
        ("/why stack:shop environment:production", "approval"),
        ("/releases", "2"),
        ("/history environment:production", "2"),
        ("/diff", "web:3"),
        ("/diff environment:production release:2", "web:2"),
        ("/runbook stack:shop", "off and on again"),
    ] {
        let doing = alice.says(line)?;
        let answer = doing.answer().await?;
        assert!(!answer.is_public() && answer.text().contains(part), "{line}\n{}", answer.text());
        assert!(doing.followups().is_empty(), "{line} says nothing to everybody");
    }
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_neither_calls_nor_links_nor_hides_nor_breaks() -> Result<()> {
    const MALLORY: Author = Author { name: "**Mallory** <@&1> [x](http://evil)", email: "mallory@example.org" };
    let room = OpsRoom::new(Wish::default()).await?;
    room.wait_candidate(1).await?;
    let subject = format!(
        "@everyone <@{}> <@&{}> [free](http://evil.example) ||gone|| `x` # big \u{202e}gpj.exe",
        room.person("bob").user,
        room.on_call
    );
    let compose = "services:\n  web:\n    image: web:2\n    pull_policy: never\n";
    room.push_as(MALLORY, (&subject, &[("stacks/shop/compose.yaml", compose)]))?;
    let card = room.wait_card(&["production · release 1", "Commits since the last release", "free"]).await?;
    assert!(card.pinged.nobody(), "{:?}", card.pinged);
    let text = card.source();
    assert!(text.contains("free"), "the subject is shown: {text}");
    for raw in ["](http", "<@&", "||gone||", "\u{202e}", "@everyone"] {
        assert!(!text.contains(raw), "{raw} stands on the card as it came:\n{text}");
    }
    let all: Vec<_> = room.discord.messages(room.room.channel).into_iter().chain(room.discord.messages(room.news)).collect();
    assert!(all.iter().all(|seen| seen.pinged.nobody()));
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stakeholders_hear_it_in_plain_words() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let coming = room.discord.wait_message(room.news, "what is prepared", |seen| seen.text().contains("being prepared")).await?;
    room.approve("alice", 1).await?;
    room.verified().await?;
    let live = room.discord.wait_message(room.news, "what is live", |seen| seen.text().contains("is live in production")).await?;
    assert_eq!(live.id, coming.id, "one message, edited in place");
    assert!(live.buttons().is_empty() && live.pinged.nobody());
    room.discord.assert_obeyed();
    Ok(())
}
