//! The traps of the line to Discord: what serenity 0.12.5 leaves to us, one test for each cure, which fails when the cure
//! is taken out.

use anyhow::Result;
use serde_json::json;
use std::time::Duration;
use tidegate_tests::client;
use tidegate_tests::discord::{Discord, Fault, Rule};
use tidegate_tests::ops_room::{LIMIT, OpsRoom, Wish};

/// The bot must be back after trouble in this time; a heartbeat of Discord is 41 seconds, and nobody waits for it.
const BACK: Duration = Duration::from_secs(30);

/// A question is answered: the bot hears and speaks.
async fn works(room: &OpsRoom) -> Result<()> {
    let answer = room.person("alice").says("/status")?.answer().await?;
    assert!(answer.text().contains("production"), "{}", answer.text());
    Ok(())
}

/// The page answers at once, whatever happens on Discord.
async fn page_is_quick(room: &OpsRoom) -> Result<()> {
    let began = std::time::Instant::now();
    client::get(&format!("{}/healthz", room.url)).await?;
    assert!(began.elapsed() < Duration::from_secs(1), "the page took {:?}", began.elapsed());
    Ok(())
}

async fn sessions(room: &OpsRoom, introductions: u64) -> Result<()> {
    let back = |discord: &Discord| (discord.gateway().identifies() >= introductions && discord.gateway().connected()).then_some(());
    room.discord.wait(BACK, "the bot to come back", back).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_of_serenity_come_here_and_its_own_idea_of_the_gateway_is_not_used() -> Result<()> {
    let mut room = OpsRoom::without_bot(Wish::default())?;
    // Serenity's own question fails: by itself it would now take the token to the real Discord.
    room.discord.fail_always("GET", "/gateway$", Fault::Answer(500));
    room.start().await?;
    works(&room).await?;
    assert!(!room.discord.calls_of("GET", "/gateway").iter().all(|call| call.path == "/gateway/bot"), "serenity asked somebody else");
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_is_given_up_and_tried_again() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.wait_candidate(1).await?;
    room.discord.fail("PATCH", "/messages/", Fault::Hang);
    room.approve("alice", 1).await?;
    room.discord
        .wait(LIMIT, "the card to be edited all the same", |discord| {
            let cards = discord.messages(room.room.channel);
            cards
                .iter()
                .any(|card| card.text().contains("production · release 1") && !card.offers("Approve") && card.edits > 0)
                .then_some(())
        })
        .await?;
    // The first answer has no time for that: it is tried again within the three seconds.
    room.discord.fail("POST", "/callback", Fault::Hang);
    let asked = room.person("alice").says("/status")?;
    assert!(asked.ack().await?.after < Duration::from_secs(3));
    asked.answer().await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_without_a_code_freezes_nothing_and_is_got_over_quickly() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.discord.gateway().close_without_code();
    for _ in 0..10 {
        page_is_quick(&room).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    sessions(&room, 2).await?;
    works(&room).await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_heartbeat_answers_is_left_and_made_anew() -> Result<()> {
    let mut room = OpsRoom::without_bot(Wish::default())?;
    room.discord.gateway().set_heartbeat(Duration::from_secs(1));
    room.start().await?;
    room.discord.gateway().stop_acks();
    let closed = |discord: &Discord| (!discord.gateway().closes().is_empty()).then_some(());
    room.discord.wait(BACK, "the bot to leave the dead line", closed).await?;
    room.discord.mend();
    let back = |discord: &Discord| (discord.gateway().connections() >= 2 && discord.gateway().connected()).then_some(());
    room.discord.wait(BACK, "the bot to come back", back).await?;
    works(&room).await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_while_the_line_was_away_is_answered_when_the_session_is_taken_up_again() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    for (times, trouble) in [(1, "op 7"), (2, "cut"), (3, "4000"), (4, "op 9")] {
        match trouble {
            "op 7" => room.discord.gateway().reconnect(),
            "cut" => room.discord.gateway().cut(),
            "4000" => room.discord.gateway().close(4000),
            _ => room.discord.gateway().invalid_session(true),
        }
        let gone = |discord: &Discord| (discord.gateway().closes().len() >= times).then_some(());
        room.discord.wait(LIMIT, "the line to be gone", gone).await?;
        works(&room).await.map_err(|error| error.context(trouble))?;
    }
    assert_eq!((room.discord.gateway().identifies(), room.discord.gateway().resumes()), (1, 4));
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_is_begun_anew_at_the_pace_that_discord_allows() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.discord.gateway().close(4009);
    sessions(&room, 2).await?;
    works(&room).await?;
    room.discord.gateway().invalid_session(false);
    sessions(&room, 3).await?;
    works(&room).await?;
    room.discord.assert_obeyed();
    Ok(())
}

/// Serenity alone would introduce itself every five seconds, for ever, and count none of it.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_again_and_again_are_begun_anew_ever_more_slowly() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(45) {
        if room.discord.gateway().connected() {
            room.discord.gateway().invalid_session(false);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let introductions = room.discord.gateway().identifies();
    // One every five seconds would be nine or ten.
    assert!((3..=7).contains(&introductions), "{introductions} introductions in 45 seconds");
    page_is_quick(&room).await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_usable_token_everything_but_discord_goes_on() -> Result<()> {
    let mut room = OpsRoom::without_bot(Wish::default())?;
    room.write_token("no token")?;
    room.bot.start()?;
    let began = std::time::Instant::now();
    while client::get(&format!("{}/healthz", room.url)).await.is_err() {
        assert!(began.elapsed() < LIMIT, "the page does not come up:\n{}", room.bot.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(room.bot.tail().contains("works without Discord"), "{}", room.bot.tail());
    assert_eq!(room.discord.gateway().identifies(), 0);
    Ok(())
}

/// Refuses the first introduction with a code and looks at what the bot does for eight seconds; how often it came.
async fn introductions_after(code: u16) -> Result<(u64, Vec<Rule>)> {
    let mut room = OpsRoom::without_bot(Wish::default())?;
    room.discord.gateway().refuse_identifies(u32::MAX, code);
    room.bot.start()?;
    let refused = |discord: &Discord| discord.gateway().closes().contains(&Some(code)).then_some(());
    room.discord.wait(LIMIT, "the refusal", refused).await?;
    for _ in 0..40 {
        page_is_quick(&room).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok((room.discord.gateway().identifies(), room.discord.broken().iter().map(|broken| broken.rule).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refusal_for_good_the_bot_does_not_come_back_and_everything_else_goes_on() -> Result<()> {
    for code in [4004, 4013, 4014] {
        assert_eq!(introductions_after(code).await?, (1, Vec::new()), "after {code}");
    }
    Ok(())
}

/// Serenity spins on these three or tries for ever, and tells nobody the code; what holds is the pace of the budget.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_serenity_does_not_tell_freeze_nothing_and_are_tried_again_slowly() -> Result<()> {
    for code in [4010, 4011, 4012] {
        let (introductions, rules) = introductions_after(code).await?;
        assert!(introductions <= 3, "{introductions} introductions after {code}");
        assert!(!rules.contains(&Rule::IdentifyPace), "after {code}: {rules:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_cannot_be_read_sends_nothing_twice() -> Result<()> {
    let mut room = OpsRoom::without_bot(Wish::default())?;
    room.discord.fail_always("POST", "/messages", Fault::BadHeaders);
    room.start().await?;
    let card = room.wait_candidate(1).await?;
    works(&room).await?;
    let posts = room.discord.calls_of("POST", "/messages").into_iter().filter(|call| call.path.ends_with("/messages"));
    let nonces: Vec<String> = posts.map(|call| call.body["nonce"].to_string()).collect();
    let mut once = nonces.clone();
    once.sort();
    once.dedup();
    assert_eq!(nonces.len(), once.len(), "{nonces:?}");
    assert!(nonces.contains(&json!(card.nonce).to_string()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_make_no_sense_are_passed_over() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let gateway = room.discord.gateway();
    gateway.send_event("INTERACTION_CREATE", &json!({ "id": "no number", "type": 2 }));
    gateway.send_event("INTERACTION_CREATE", &json!({ "type": 99, "data": [] }));
    gateway.send_event("SOMETHING_NEW", &json!({ "x": [1, 2, { "y": null }] }));
    gateway.send_event("GUILD_CREATE", &json!({ "id": "5" }));
    works(&room).await?;
    gateway.send_garbage();
    gateway.send_bytes(&[0x78, 0x9c, 1, 2, 3]);
    works(&room).await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_named_is_nobody() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.wait_candidate(1).await?;
    let command = json!({ "id": "1", "name": "approve", "type": 1, "options": [] });
    let answer = room.person("alice").nobody_says(&command)?.answer().await?;
    assert!(answer.text().contains("Nothing was done"), "{}", answer.text());
    assert_eq!(room.release()?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_twice_is_done_once() -> Result<()> {
    let room = OpsRoom::new(Wish { approvals: "{ count: 2, roles: [engineer] }", ..Wish::default() }).await?;
    let card = room.wait_candidate(1).await?;
    room.person("alice").press(&card, "Approve")?.answer().await?;
    let bob = room.person("bob").press(&room.wait_candidate(1).await?, "Approve")?;
    bob.again();
    bob.again();
    bob.answer().await?;
    room.wait_release(1).await?;
    works(&room).await?;
    assert_eq!(room.commits_of_bot()?.len(), 1);
    let told = room.discord.messages(room.room.channel).iter().filter(|seen| seen.text().contains("is released")).count();
    assert!(told <= 1, "told {told} times");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_any_length_keep_the_limits_of_discord() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.approve("alice", 1).await?;
    // Graphemes of many characters: a cut in the middle would show.
    let family = "👩‍👩‍👧‍👦";
    for number in 0..30 {
        room.checkout.write("README.md", &format!("{number}\n"))?;
        room.checkout.commit(tidegate_tests::checkout::ALICE, &format!("{number} {}", family.repeat(120)))?;
    }
    let services: String = (0..60)
        .map(|at| {
            format!("  service-with-a-long-name-{at}:\n    image: registry.example/{}:{at}\n    pull_policy: never\n", "x".repeat(80))
        })
        .collect();
    room.push("Many services", &[("stacks/shop/compose.yaml", &format!("services:\n{services}"))])?;
    let card = room.wait_candidate(2).await?;
    room.person("alice").press(&card, "Diff")?.answer().await?;
    let reason = format!("{} {}", family.repeat(10), "y".repeat(200));
    let bob = room.person("bob");
    let modal = bob.press(&card, "Reject…")?.modal().await?;
    bob.submits(&modal, &[(&modal.fields()[0], &reason)])?.answer().await?;
    for line in ["/status", "/why", "/history", "/diff environment:production"] {
        room.person("alice").says(line)?.answer().await?;
    }
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_used_no_more_and_a_bad_webhook_is_no_bad_token() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.wait_candidate(1).await?;
    room.discord.fail("PATCH", "/@original", Fault::Answer(401));
    room.person("alice").says("/status")?.ack().await?;
    works(&room).await?;
    room.discord.revoke_token();
    room.merge("2")?;
    for _ in 0..30 {
        page_is_quick(&room).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refused = room.discord.calls().iter().filter(|call| call.status == Some(401)).count();
    assert!(refused <= 3, "{refused} requests with a bad token");
    let broken = room.discord.broken();
    assert!(!broken.iter().any(|broken| broken.rule == Rule::Token || broken.rule == Rule::FatalClose), "{broken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_refuses_is_left_alone_for_a_while() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.wait_candidate(1).await?;
    room.discord.deny_bot(room.room.channel, tidegate_tests::discord::permissions::VIEW_CHANNEL);
    for version in ["2", "3", "4"] {
        room.merge(version)?;
        room.discord.wait_message(room.news, "stakeholders still hear", |seen| seen.text().contains("being prepared")).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(room.discord.invalid_requests() <= 3, "{} refusals", room.discord.invalid_requests());
    works(&room).await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_waited_for_and_nothing_is_lost() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    room.discord.fail("PATCH", "/messages/", Fault::RouteLimited(2));
    room.discord.fail("POST", "/messages", Fault::GlobalLimited(2));
    let pressed = room.person("alice").press(&card, "Approve")?;
    assert!(pressed.ack().await?.after < Duration::from_secs(1), "answers do not wait for channels");
    room.wait_release(1).await?;
    room.verified().await?;
    room.wait_live(1).await?;
    room.discord.assert_obeyed();
    Ok(())
}
