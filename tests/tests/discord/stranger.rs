//! Who is not listened to, and how they are told.

use anyhow::Result;
use serde_json::json;
use tidegate_tests::discord::Room;
use tidegate_tests::ops_room::{OpsRoom, Wish};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_guests_other_guilds_channels_and_direct_messages_change_nothing() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    let approve = card.buttons().into_iter().find(|button| button.label == "Approve").and_then(|button| button.custom_id).expect("an id");
    let discord = &room.discord;
    let command = json!({ "id": "1", "name": "approve", "type": 1, "options": [] });

    let mallory = discord.person(room.room, "alice"); // the name of another
    let answer = mallory.press(&card, "Approve")?.answer().await?;
    assert!(!answer.is_public() && answer.text().contains("do not know you") && answer.text().contains(&mallory.user.to_string()));

    let guest = room.person("greta").press(&card, "Approve")?.answer().await?;
    assert!(!guest.is_public() && guest.text().contains("engineer"), "{}", guest.text());

    let direct = discord.in_private(room.person("alice").user);
    let answer = direct.forge_slash(&command)?.answer().await?;
    assert!(answer.text().contains("direct messages"), "{}", answer.text());

    let other = discord.add_room("Elsewhere", "releases");
    discord.add_member(other.guild, room.person("alice").user, &[]);
    let abroad = discord.as_person(room.person("alice").user, other);
    assert!(abroad.forge_slash(&command)?.answer().await?.text().contains("another server"));
    assert!(abroad.forge_press(card.id, &approve)?.answer().await?.text().contains("another server"));

    let lobby = discord.add_channel(room.room.guild, "lobby");
    let away = discord.as_person(room.person("alice").user, Room { channel: lobby, ..room.room });
    let answer = away.says("/approve")?.answer().await?;
    assert!(answer.text().contains("release channel"), "{}", answer.text());

    let forged = room.person("alice").forge_press(card.id, "t1:aaaaaaaaaaaaaaaaaaaa")?.answer().await?;
    assert!(!forged.is_public() && forged.text().contains("production"), "the state is the answer: {}", forged.text());
    room.person("alice").forge_press(card.id, &"x".repeat(100))?.answer().await?;
    let unopened = room.person("alice").forge_modal(&json!({ "custom_id": "t1:x", "components": [] }), None)?.answer().await?;
    assert!(!unopened.is_public(), "{}", unopened.text());

    assert_eq!(room.release()?, 0, "nothing was released");
    assert!(room.commits_of_bot()?.is_empty());
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_discord_narrow_and_never_widen() -> Result<()> {
    let mut room = OpsRoom::without_bot(Wish::default())?;
    let release_managers = room.discord.add_role(room.room.guild, "release-managers");
    let text = room.checkout.remote_file("tidegate.yaml")?.unwrap_or_default();
    let narrowed = text.replace("people:\n", &format!("    roles: [\"{release_managers}\"]\npeople:\n"));
    room.push("Narrow who may speak", &[("tidegate.yaml", &narrowed)])?;
    room.start().await?;
    let card = room.wait_candidate(1).await?;
    let alice = room.person("alice");
    let answer = alice.press(&card, "Approve")?.answer().await?;
    assert!(answer.text().contains("one of the roles"), "{}", answer.text());
    room.discord.add_member(room.room.guild, alice.user, &[release_managers]);
    let greta = room.person("greta");
    room.discord.add_member(room.room.guild, greta.user, &[release_managers]);
    let answer = greta.press(&card, "Approve")?.answer().await?;
    assert!(answer.text().contains("engineer"), "a role of Discord makes nobody an engineer: {}", answer.text());
    alice.press(&card, "Approve")?.answer().await?;
    room.wait_release(1).await?;
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_of_the_channel_are_the_channel() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    let thread = room.discord.wait(tidegate_tests::ops_room::LIMIT, "a thread", |discord| discord.seen(card.id)?.thread).await?;
    let answer = room.person("alice").in_channel(thread).says("/status")?.answer().await?;
    assert!(answer.text().contains("production"), "{}", answer.text());
    room.discord.assert_obeyed();
    Ok(())
}
