//! Conversations about going back: at most three interactions, shown before it is done, done once.

use anyhow::{Context as _, Result};
use tidegate_core::lock::ReleaseKind;
use tidegate_tests::discord::{Seen, Slash};
use tidegate_tests::ops_room::{OpsRoom, Wish};

fn confirm(seen: &Seen) -> Result<String> {
    let found = seen.buttons().into_iter().find(|button| button.label.starts_with("Roll back shop to"));
    found.map(|button| button.label).with_context(|| format!("no way to confirm on:\n{}", seen.text()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_takes_two_steps_and_says_before_what_it_undoes() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.two_verified().await?;
    let carol = room.person("carol");
    let asked = carol.says("/rollback stack:shop reason:it loses carts")?.answer().await?;
    assert_eq!(asked.private_to, Some(carol.user), "a question is for who asked");
    for part in ["from release 2 to release 1", "web:2 → ", "Run the shop at version 2", "it loses carts"] {
        assert!(asked.text().contains(part), "{part}\n{}", asked.text());
    }
    let doing = carol.press(&asked, &confirm(&asked)?)?;
    let done = doing.answer().await?;
    assert!(done.buttons().is_empty(), "nothing more to press: {}", done.text());
    let lock = room.wait_release(3).await?;
    assert_eq!((lock.kind, lock.holds.len(), lock.reason.as_deref()), (ReleaseKind::Rollback, 1, Some("it loses carts")));
    assert_eq!(room.newest_commit()?.1, "Carol Example");
    let told = room.discord.wait_message(room.room.channel, "the news of the rollback", |seen| !seen.pinged.roles.is_empty()).await?;
    assert_eq!(told.pinged.roles, [room.on_call], "the on-call role is called: {}", told.text());
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_counts_once_and_only_for_who_asked() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.two_verified().await?;
    let carol = room.person("carol");
    let asked = carol.says("/rollback stack:shop")?.answer().await?;
    let label = confirm(&asked)?;
    let id = asked.buttons().into_iter().find(|button| button.label == label).and_then(|button| button.custom_id).context("an id")?;
    let stolen = room.person("bob").forge_press(asked.id, &id)?.answer().await?;
    assert!(stolen.text().contains("Only the person who asked"), "{}", stolen.text());
    assert_eq!(room.release()?, 2);
    let (first, second) = (carol.forge_press(asked.id, &id)?, carol.forge_press(asked.id, &id)?);
    first.answer().await?;
    second.answer().await?;
    room.wait_release(3).await?;
    let later = carol.forge_press(asked.id, &id)?;
    later.ack().await?;
    room.discord.wait(tidegate_tests::ops_room::LIMIT, "an answer", |_| later.answered()).await?;
    assert_eq!(room.release()?, 3, "a replay does nothing");
    assert_eq!(room.commits_of_bot()?.len(), 3);
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_on_between_question_and_answer_is_not_done() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.two_verified().await?;
    let carol = room.person("carol");
    let asked = carol.says("/rollback stack:shop")?.answer().await?;
    room.merge("3")?;
    room.approve("alice", 3).await?;
    let done = carol.press(&asked, &confirm(&asked)?)?.answer().await?;
    assert!(done.text().contains("was at release 2") && done.text().contains("at release 3 now"), "{}", done.text());
    assert_eq!(room.release()?, 3);
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_tells_releases_apart_and_what_was_typed_is_read_again() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    room.two_verified().await?;
    let alice = room.person("alice");
    let slash = Slash::of("/rollback").with("stack", "shop").with("release", "");
    let choices = alice.types(&slash, "release")?.choices().await?;
    let (label, value) = choices.iter().find(|(_, value)| value == "1").context(format!("{choices:?}"))?;
    assert!(label.starts_with("1 · 1 · ") && label.ends_with(" · alice · verified"), "{label}");
    assert!(!value.is_null());
    for (stack, release) in [("../etc", "1"), ("shop", "41"), ("shop", "soon"), ("blog", "1")] {
        let slash = Slash::of("/rollback").with("stack", stack).with("release", release);
        let answer = alice.slash(&slash)?.answer().await?;
        assert!(!answer.is_public() && answer.buttons().is_empty(), "{stack} {release}: {}", answer.text());
    }
    assert_eq!(room.release()?, 2);
    room.discord.assert_obeyed();
    Ok(())
}
