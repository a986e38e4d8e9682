//! What gets lost on the way, and must be neither lost nor doubled for people: answers, minutes, messages, the bot.

use anyhow::{Context as _, Result};
use std::time::Duration;
use tidegate_tests::client;
use tidegate_tests::discord::{Discord, Fault, Rule, Seen, TOKEN_LIFE};
use tidegate_tests::git_server::Mode;
use tidegate_tests::ops_room::{Git, LIMIT, OpsRoom, Wish};

/// How many messages in the engineers' channel are cards of a release of production.
fn cards(room: &OpsRoom, release: u64) -> usize {
    let title = format!("production · release {release} ·");
    room.discord.messages(room.room.channel).iter().filter(|seen| seen.content.replace('\\', "").contains(&title)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_that_hangs_delays_no_first_answer_and_a_dead_token_no_last_one() -> Result<()> {
    let room = OpsRoom::new(Wish { git: Git::Http, ..Wish::default() }).await?;
    let card = room.wait_candidate(1).await?;
    let git = room.git.as_ref().context("git over HTTP")?;
    git.set_mode(Mode::Hang);
    let pressed = room.person("alice").press(&card, "Approve")?;
    assert!(pressed.ack().await?.after < Duration::from_secs(1), "{:?}", pressed.acked());
    client::get(&format!("{}/healthz", room.url)).await?;
    let asked = room.person("bob").says("/status")?.answer().await?;
    assert!(asked.text().contains("production"), "questions are answered meanwhile");
    assert!(pressed.answered().is_none(), "nobody is told of what is not done yet");
    // The interaction's token dies meanwhile: what came of it is told in the channel, and the bot's own token is still good.
    room.discord.advance(TOKEN_LIFE + Duration::from_secs(60));
    git.set_mode(Mode::Normal);
    room.wait_release(1).await?;
    room.discord.wait_message(room.room.channel, "the result, as a message", |seen| seen.text().contains("is released")).await?;
    assert!(room.person("bob").says("/status")?.answer().await?.text().contains("production"));
    let broken = room.discord.broken();
    assert!(broken.iter().all(|broken| broken.rule == Rule::TokenAge), "only the one that the bot could not know of: {broken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_on_their_way_back_double_nothing() -> Result<()> {
    for fault in [Fault::AppliedThen(500), Fault::AppliedThenCut] {
        let mut room = OpsRoom::without_bot(Wish::default())?;
        room.discord.fail_times("POST", "/messages$", (fault.clone(), 2));
        room.discord.fail("POST", "/threads", fault.clone());
        room.discord.fail("PUT", "/commands", fault.clone());
        room.start().await?;
        let card = room.wait_candidate(1).await?;
        room.discord.fail("POST", "/callback", fault.clone());
        room.discord.fail("PATCH", "/@original", fault.clone());
        room.discord.fail("PATCH", "/messages/", fault.clone());
        let pressed = room.person("alice").press(&card, "Approve")?;
        let answer = pressed.answer().await?;
        assert!(answer.text().contains("is released"), "{fault:?}: {}", answer.text());
        room.wait_release(1).await?;
        room.verified().await?;
        room.wait_live(1).await?;
        assert_eq!((cards(&room, 1), room.commits_of_bot()?.len()), (1, 1), "{fault:?}");
        // News, too: the one that calls somebody calls once.
        room.merge("2")?;
        room.approve("bob", 2).await?;
        room.verified().await?;
        room.wait_live(2).await?;
        let carol = room.person("carol");
        let asked = carol.says("/rollback stack:shop")?.answer().await?;
        room.discord.fail_times("POST", "/messages$", (fault.clone(), 2));
        carol.press(&asked, "Roll back shop to 1")?.answer().await?;
        room.wait_release(3).await?;
        let calls = |seen: &Seen| !seen.pinged.roles.is_empty();
        room.discord.wait_message(room.room.channel, "the news", calls).await?;
        room.wait_card(&["production · release 3"]).await?;
        let called = room.discord.messages(room.room.channel).iter().filter(|seen| calls(seen)).count();
        assert_eq!((called, cards(&room, 3)), (1, 1), "{fault:?}");
        room.discord.assert_obeyed();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_killed_and_comes_back_goes_on_with_the_same_card() -> Result<()> {
    let mut room = OpsRoom::new(Wish::default()).await?;
    room.discord.set_identify_pace(Duration::ZERO);
    let card = room.wait_candidate(1).await?;
    let approve =
        card.buttons().into_iter().find(|button| button.label == "Approve").and_then(|button| button.custom_id).context("an id")?;
    room.bot.kill()?;
    room.discord.wait(LIMIT, "the line to be gone", |discord| (!discord.gateway().connected()).then_some(())).await?;
    // Whatever people press now is lost; Discord tells them so.
    assert!(room.person("bob").forge_press(card.id, &approve)?.answered().is_none());
    room.bot.start()?;
    room.discord.wait(LIMIT, "a new session", |discord| discord.gateway().connected().then_some(())).await?;
    let answer = room.person("alice").forge_press(card.id, &approve)?.answer().await?;
    assert!(answer.text().contains("is released"), "a button outlives a restart: {}", answer.text());
    room.wait_release(1).await?;
    room.bot.kill()?;
    room.bot.start()?;
    room.discord
        .wait(LIMIT, "another session", |discord| (discord.gateway().identifies() >= 3 && discord.gateway().connected()).then_some(()))
        .await?;
    room.verified().await?;
    let live = room.wait_live(1).await?;
    assert_eq!((live.id, cards(&room, 1), room.commits_of_bot()?.len()), (card.id, 1, 1));
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_too_old_to_be_edited_is_continued_by_one_that_links_back() -> Result<()> {
    let room = OpsRoom::new(Wish { approvals: "{ count: 3, roles: [engineer] }", ..Wish::default() }).await?;
    let old = room.wait_candidate(1).await?;
    room.discord.advance(Duration::from_secs(2 * 3_600));
    for (name, part) in [("alice", "1 of 3"), ("bob", "2 of 3"), ("carol", "3 of 3")] {
        room.person(name).forge_press(old.id, &approve_id(&room, old.id)?)?.answer().await?;
        room.wait_card(&["production · release 1", part]).await?;
    }
    room.verified().await?;
    let new = room.wait_live(1).await?;
    assert_ne!(new.id, old.id);
    assert!(new.text().contains(&format!("/{}/{}", room.room.channel, old.id)), "{}", new.text());
    let broken = room.discord.broken();
    assert!(broken.is_empty(), "{broken:?}");
    Ok(())
}

fn approve_id(room: &OpsRoom, card: tidegate_tests::discord::Id) -> Result<String> {
    let seen = room.discord.seen(card).context("the card is gone")?;
    seen.buttons().into_iter().find(|button| button.label == "Approve").and_then(|button| button.custom_id).context("no Approve")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_somebody_deletes_is_made_anew_and_a_locked_thread_stops_nothing() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    let thread = room.discord.wait(LIMIT, "a thread", |discord| discord.seen(card.id)?.thread).await?;
    room.discord.set_thread(thread, true, true);
    room.approve("alice", 1).await?;
    room.discord.delete(card.id);
    room.verified().await?;
    let anew = room.wait_live(1).await?;
    assert_ne!(anew.id, card.id);
    room.merge("2")?;
    room.wait_candidate(2).await?;
    let broken = room.discord.broken();
    assert!(broken.is_empty(), "{broken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discord_that_is_away_delays_neither_git_nor_the_page() -> Result<()> {
    let mut room = OpsRoom::without_bot(Wish { approvals: "none", ..Wish::default() })?;
    room.discord.fail_always("*", "/", Fault::Hang);
    room.discord.gateway().be_silent();
    room.bot.start()?;
    room.wait_release(1).await?;
    room.merge("2")?;
    room.wait_release(2).await?;
    client::get(&format!("{}/healthz", room.url)).await?;
    room.discord.mend();
    let up = |discord: &Discord| discord.gateway().connected().then_some(());
    room.discord.wait(Duration::from_secs(60), "the bot to come when Discord is back", up).await?;
    room.wait_card(&["production · release 2"]).await?;
    room.discord.assert_obeyed();
    Ok(())
}
