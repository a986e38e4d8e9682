//! The whole way with a person at the page: a push, a button, containers, all seen without a reload.

use crate::support::one_environment;
use anyhow::Result;
use std::time::Duration;
use thirtyfour::By;
use tidegate_tests::browser::{Browser, in_browser};
use tidegate_tests::fleet::Approvals;
use tidegate_tests::world::ROLLOUT_LIMIT;

/// The page shows what the bot knows within this time.
const SOON: Duration = Duration::from_secs(20);
const APPROVE: &str = "button[value=approve]";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_approved_by_its_button_goes_live_on_the_page_without_a_reload() -> Result<()> {
    let mut world = one_environment("production", Approvals::One).await?;
    world.start_with_version_1().await?;
    world.wait_card("production", "needs_approval").await;
    let url = format!("{}/", world.bot.url);
    in_browser(async |browser| {
        browser.driver.goto(&url).await?;
        press(&browser, "#person option[value=bob]").await?;
        press(&browser, "form.person button").await?;
        browser.until(SOON, "bob is chosen", "document.getElementById('person')?.value === 'bob'").await;
        browser.until(SOON, "the page is live", "document.documentElement.dataset.live === 'on'").await;
        browser.script("window.sameDocument = true").await?;

        press(&browser, APPROVE).await?;
        browser.until(SOON, "the outcome is good", "!!document.querySelector('#outcome .good')").await;
        browser.until(SOON, "the button is gone", "!document.querySelector('button[value=approve]')").await;
        browser.until(ROLLOUT_LIMIT, "the card is live", "document.querySelector('article .badge')?.textContent.trim() === 'live'").await;
        assert_eq!(browser.script("return window.sameDocument").await?, true, "no reload");
        Ok(())
    })
    .await?;
    world.wait_serves("production", 1).await;
    let lock = world.lock("production")?.expect("a release");
    assert_eq!(lock.approvals.iter().map(|approval| approval.by.to_string()).collect::<Vec<_>>(), ["bob"]);
    Ok(())
}

async fn press(browser: &Browser, css: &str) -> Result<()> {
    Ok(browser.driver.find(By::Css(css)).await?.click().await?)
}
