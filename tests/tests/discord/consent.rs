//! Conversations about consent: who agrees to what, once, and to exactly what was shown.

use anyhow::Result;
use tidegate_core::ids::PersonName;
use tidegate_tests::ops_room::{OpsRoom, Wish};

/// Two must agree.
const TWO: &str = "{ count: 2, roles: [engineer] }";

fn approvers(lock: &tidegate_core::lock::Lock) -> Vec<String> {
    lock.approvals.iter().map(|approval| PersonName::to_string(&approval.by)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_approves_on_the_card_and_the_card_tells_it_in_place() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    assert!(card.pinged.nobody(), "a card calls nobody: {:?}", card.pinged);
    let pressed = room.person("alice").press(&card, "Approve")?;
    let answer = pressed.answer().await?;
    assert!(answer.text().contains("is released"), "{}", answer.text());
    let lock = room.wait_release(1).await?;
    assert_eq!(approvers(&lock), ["alice"]);
    assert_eq!(room.newest_commit()?.1, "Alice Example");
    room.verified().await?;
    let live = room.wait_live(1).await?;
    assert_eq!(live.id, card.id, "one card for a release, edited in place");
    assert!(!live.offers("Approve") && live.edits > 0);
    assert!(live.thread.is_some(), "details hang on the card");
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_approvals_at_once_make_one_release() -> Result<()> {
    let room = OpsRoom::new(Wish { approvals: TWO, ..Wish::default() }).await?;
    let card = room.wait_candidate(1).await?;
    let (alice, bob) = (room.person("alice").press(&card, "Approve")?, room.person("bob").press(&card, "Approve")?);
    let (alice, bob) = (alice.answer().await?, bob.answer().await?);
    let mut both = approvers(&room.wait_release(1).await?);
    both.sort();
    assert_eq!(both, ["alice", "bob"], "{}\n{}", alice.text(), bob.text());
    assert_eq!(room.commits_of_bot()?.len(), 1);
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_press_counts_once() -> Result<()> {
    let room = OpsRoom::new(Wish { approvals: TWO, ..Wish::default() }).await?;
    let card = room.wait_candidate(1).await?;
    let alice = room.person("alice");
    let (first, second) = (alice.press(&card, "Approve")?, alice.press(&card, "Approve")?);
    let answers = [first.answer().await?.text(), second.answer().await?.text()];
    assert_eq!(room.release()?, 0, "one person is not two: {answers:?}");
    room.person("bob").press(&room.wait_candidate(1).await?, "Approve")?.answer().await?;
    assert_eq!(room.wait_release(1).await?.approvals.len(), 2);
    assert_eq!(room.commits_of_bot()?.len(), 1);
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_means_what_stood_on_the_card_and_nothing_that_came_after() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    let old = card.buttons().into_iter().find(|button| button.label == "Approve").and_then(|button| button.custom_id);
    let commit = room.merge("2")?;
    room.wait_card(&[&commit[..10]]).await?;
    let answer = room.person("alice").forge_press(card.id, &old.expect("a button"))?.answer().await?;
    assert!(answer.text().contains("not what is offered any more"), "{}", answer.text());
    assert!(!answer.is_public(), "a refusal is private");
    assert_eq!(room.release()?, 0);
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn authors_do_not_approve_their_own_change() -> Result<()> {
    let approvals = "{ count: 1, roles: [engineer], authors: false }";
    let room = OpsRoom::new(Wish { approvals, ..Wish::default() }).await?;
    room.approve("alice", 1).await?;
    room.merge("2")?;
    let card = room.wait_candidate(2).await?;
    let answer = room.person("dave").press(&card, "Approve")?.answer().await?;
    assert!(!answer.is_public() && answer.text().contains("wants somebody else to agree"), "{}", answer.text());
    assert_eq!(room.release()?, 1);
    room.discord.assert_obeyed();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_needs_a_reason_and_is_a_veto() -> Result<()> {
    let room = OpsRoom::new(Wish::default()).await?;
    let card = room.wait_candidate(1).await?;
    let bob = room.person("bob");
    let modal = bob.press(&card, "Reject…")?.modal().await?;
    let fields = modal.fields();
    assert_eq!(fields.len(), 1);
    assert!(bob.submits(&modal, &[(&fields[0], "")]).is_err(), "a reason is required");
    let answer = bob.submits(&modal, &[(&fields[0], "the prices\nare <@&1> wrong")])?.answer().await?;
    assert!(answer.text().contains("is turned down"), "{}", answer.text());
    let rejected = room.wait_card(&["production · release 1", "the prices are"]).await?;
    assert!(rejected.pinged.nobody() && !rejected.source().contains("<@&"), "{}", rejected.source());
    assert!(!rejected.offers("Approve"), "{}", rejected.text());
    assert_eq!(room.release()?, 0);
    room.discord.assert_obeyed();
    Ok(())
}
