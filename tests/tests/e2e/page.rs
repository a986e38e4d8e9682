//! The page in a real browser, with made-up data behind it.

#[path = "../../../bot/examples/page-preview/sample.rs"]
mod sample;

use anyhow::Result;
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thirtyfour::{By, WebElement};
use tidegate_bot::http::{Limits, serve};
use tidegate_bot::page::{Page, Settings, router};
use tidegate_bot::request::{Ask, Reply, Request};
use tidegate_bot::view::{Stage, View};
use tidegate_tests::browser::{Browser, Scheme, in_browser};
use tidegate_tests::wait::wait_until;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(20);
const APPROVE: &str = "button[value=approve]";

/// A running page with the sample behind it.
struct Served {
    address: SocketAddr,
    view: watch::Sender<Arc<View>>,
    asked: watch::Receiver<Vec<Ask>>,
    settings: Settings,
    server: JoinHandle<()>,
    answering: JoinHandle<()>,
}

impl Served {
    async fn start() -> Result<Served> {
        Served::listen("127.0.0.1:0".parse()?).await
    }

    async fn listen(address: SocketAddr) -> Result<Served> {
        let listener = TcpListener::bind(address).await?;
        let (view, snapshots) = watch::channel(Arc::new(sample::view(Timestamp::now())));
        let (desk, requests) = mpsc::channel(4);
        let (notes, asked) = watch::channel(Vec::new());
        let settings = Settings::default();
        let page = Page::new(snapshots, desk, settings.clone());
        let address = listener.local_addr()?;
        let server = tokio::spawn(serve(listener, router(page), Limits::default(), settings.stop.clone()));
        let answering = tokio::spawn(answer(requests, view.clone(), notes));
        Ok(Served { address, view, asked, settings, server, answering })
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view.borrow());
        change(&mut view);
        self.view.send_replace(Arc::new(view));
    }

    async fn stop(self) -> Result<SocketAddr> {
        self.settings.stop.cancel();
        self.answering.abort();
        self.server.await?;
        Ok(self.address)
    }
}

async fn answer(
    mut requests: mpsc::Receiver<(Request, oneshot::Sender<Reply>)>,
    view: watch::Sender<Arc<View>>,
    asked: watch::Sender<Vec<Ask>>,
) {
    while let Some((request, reply)) = requests.recv().await {
        let mut next = View::clone(&view.borrow());
        let answer = sample::answer(&mut next, &request);
        view.send_replace(Arc::new(next));
        asked.send_modify(|asked| asked.push(request.ask));
        let _ = reply.send(answer); // the browser may have gone
    }
}

/// Opens the page and says to be alice.
async fn open_as_alice(browser: &Browser, page: &Served) -> Result<()> {
    browser.driver.goto(page.url()).await?;
    element(browser, "#person option[value=alice]").await?.click().await?;
    element(browser, "form.person button").await?.click().await?;
    browser.until(SOON, "alice is chosen", "document.getElementById('person').value === 'alice'").await;
    Ok(())
}

async fn until_live(browser: &Browser) {
    browser.until(SOON, "the page is live", "document.documentElement.dataset.live === 'on'").await;
}

async fn element(browser: &Browser, css: &str) -> Result<WebElement> {
    Ok(browser.driver.find(By::Css(css)).await?)
}

/// Waits until an element shows a text, without a script in the page.
async fn shown(browser: &Browser, css: &str, text: &str) {
    wait_until(SOON, &format!("{css} shows {text}"), || async {
        let element = element(browser, css).await.map_err(|error| format!("{error:#}"))?;
        let seen = element.text().await.map_err(|error| format!("{error:#}"))?;
        if seen.contains(text) { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approving_on_the_page_shows_the_change_without_a_reload() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        open_as_alice(&browser, &page).await?;
        until_live(&browser).await;
        browser.script("window.sameDocument = true").await?;
        element(&browser, "#said").await?.send_keys("half a comm").await?;
        element(&browser, "article.attention .more summary").await?.click().await?;
        element(&browser, APPROVE).await?.click().await?;
        browser
            .until(SOON, "the outcome is shown", "document.querySelector('#outcome .good')?.textContent.includes('Approved; waits')")
            .await;
        browser.until(SOON, "the button is gone", "!document.querySelector('button[value=approve]')").await;
        let shown = element(&browser, "article.waiting .badge").await?.text().await?;
        assert_eq!(shown, "waiting");
        assert!(!element(&browser, "#waits").await?.text().await?.contains("needs_approval"));
        assert_eq!(browser.script("return window.sameDocument").await?, true, "no reload");
        assert_eq!(browser.script("return document.getElementById('said').value").await?, "half a comm", "typed text stays");
        assert_eq!(browser.script("return document.querySelector('article.waiting .more details').open").await?, true, "open stays open");
        let focus = "return document.activeElement === document.querySelector('article.waiting')";
        assert_eq!(browser.script(focus).await?, true, "the card has the focus that its button had");
        Ok(())
    })
    .await?;
    let asked = page.asked.borrow().clone();
    let [Ask::Command { expected, .. }] = asked.as_slice() else { panic!("one press is one request: {asked:?}") };
    assert_eq!(*expected, Some(sample::candidate(Timestamp::now()).expected));
    page.stop().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_the_answer_and_keeps_the_focus() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        open_as_alice(&browser, &page).await?;
        until_live(&browser).await;
        element(&browser, "#said").await?.send_keys("status <b>now</b>\u{e007}").await?;
        let answered = "document.getElementById('transcript').textContent.includes('nothing is behind this page')";
        browser.until(SOON, "the answer stands in the transcript", answered).await;
        assert!(element(&browser, "#transcript").await?.text().await?.contains("status <b>now</b>"), "text, not markup");
        assert_eq!(browser.script("return document.activeElement.id").await?, "said");
        assert_eq!(browser.script("return document.getElementById('said').value").await?, "", "sent and gone");
        let newest = "const box = document.getElementById('transcript').getBoundingClientRect(); \
            return document.querySelector('#transcript li:last-child').getBoundingClientRect().bottom <= box.bottom";
        assert_eq!(browser.script(newest).await?, true, "the newest line is in sight");
        Ok(())
    })
    .await?;
    page.stop().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_that_has_just_appeared_cannot_be_pressed_by_accident() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        open_as_alice(&browser, &page).await?;
        until_live(&browser).await;
        // A newer candidate takes the place of the one on the page, and the press meant for the old one lands on its button.
        let newer = tidegate_core::ids::ContentId::of_bytes(b"newer");
        let press = format!(
            "new MutationObserver((_, observer) => {{
                const button = document.querySelector('article[id$=\"{}\"] button[value=approve]');
                if (button) {{ observer.disconnect(); button.click(); window.pressedAt = performance.now(); }}
            }}).observe(document.getElementById('releases'), {{ childList: true, subtree: true }})",
            newer.short()
        );
        browser.script(&press).await?;
        page.change(|view| view.cards[0].expected.plan = newer);
        browser.until(SOON, "it was pressed at once", "window.pressedAt > 0").await;
        browser.until(SOON, "it says so", "document.querySelector('#outcome')?.textContent.includes('appeared as you pressed')").await;
        browser.until(SOON, "the button counts again", "performance.now() > window.pressedAt + 1000").await;
        assert!(page.asked.borrow().is_empty(), "the accident asked for nothing");
        element(&browser, APPROVE).await?.click().await?;
        browser.until(SOON, "a press later counts", "document.querySelector('#outcome .good') !== null").await;
        Ok(())
    })
    .await?;
    assert_eq!(page.asked.borrow().len(), 1);
    page.stop().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_when_it_is_cut_off_and_comes_back_by_itself() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        browser.driver.goto(page.url()).await?;
        until_live(&browser).await;
        let address = page.stop().await?;
        browser.until(SOON, "it says so", "document.querySelector('.freshness').innerText.includes('Cut off')").await;
        let again = Served::listen(address).await?;
        again.change(|view| view.cards[0].stage = Stage::Held);
        until_live(&browser).await;
        browser.until(SOON, "it shows what changed meanwhile", "document.querySelector('#releases .badge').textContent === 'held'").await;
        again.stop().await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_a_script() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        browser.command("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true})).await?;
        browser.driver.goto(page.url()).await?;
        assert!(element(&browser, ".freshness").await?.text().await?.starts_with("Snapshot of"));
        element(&browser, "#person option[value=alice]").await?.click().await?;
        element(&browser, "form.person button").await?.click().await?;
        shown(&browser, "label[for=said]", "As Alice Example").await;
        element(&browser, "article.attention .act summary").await?.click().await?;
        element(&browser, "article.attention .act input[name=reason]").await?.send_keys("prices are wrong").await?;
        element(&browser, "button[value=reject]").await?.click().await?;
        shown(&browser, "#outcome", "Rejected.").await;
        assert!(browser.driver.find_all(By::Css(APPROVE)).await?.is_empty());
        browser.picture("without-script").await
    })
    .await?;
    page.stop().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_readable_by_everyone_at_every_width_in_light_and_dark() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        for scheme in [Scheme::Light, Scheme::Dark] {
            for width in [1280, 390] {
                browser.prefer(scheme).await?;
                browser.width(width).await?;
                open_as_alice(&browser, &page).await?;
                until_live(&browser).await;
                let name = format!("{}-{width}", scheme.word());
                browser.picture(&name).await?;
                browser.script("document.querySelectorAll('details').forEach(details => details.open = true)").await?;
                browser.script("document.querySelector('#outcome').innerHTML = '<div class=\"outcome bad\"><p>An outcome.</p><a href=\"/\">Dismiss</a></div>'").await?;
                browser.picture(&format!("{name}-opened")).await?;
                assert_eq!(browser.accessibility_violations().await?, Vec::<String>::new(), "{name}");
                let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(browser.script(overflow).await?, 0, "{name}: no sideways scroll");
            }
        }
        Ok(())
    })
    .await?;
    page.stop().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_is_readable_by_everyone_at_every_width_in_light_and_dark() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        for scheme in [Scheme::Light, Scheme::Dark] {
            for width in [1280, 390] {
                browser.prefer(scheme).await?;
                browser.width(width).await?;
                browser.driver.goto(format!("{}calendar", page.url())).await?;
                let counted =
                    "/in (\\d+ h )?\\d+ min \\d+ s/.test(document.querySelector('#calendar-production [data-countdown]').textContent)";
                browser.until(SOON, "the countdown runs", counted).await;
                browser
                    .until(SOON, "times are the reader's", "document.querySelector('[data-zone-note]').textContent.includes('your own')")
                    .await;
                let name = format!("calendar-{}-{width}", scheme.word());
                browser.picture(&name).await?;
                assert_eq!(browser.accessibility_violations().await?, Vec::<String>::new(), "{name}");
                let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(browser.script(overflow).await?, 0, "{name}: no sideways scroll");
            }
        }
        Ok(())
    })
    .await?;
    page.stop().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_counts_down_to_its_opening_and_the_calendar_works_without_a_script() -> Result<()> {
    let page = Served::start().await?;
    in_browser(async |browser| {
        browser.driver.goto(page.url()).await?;
        until_live(&browser).await;
        let left = "document.querySelector('article.attention [data-countdown]').textContent";
        let before = browser.script(&format!("return {left}")).await?;
        browser.until(SOON, "it counts down", &format!("{left} !== {before} && /\\d+ s$/.test({left})")).await;
        browser.command("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true})).await?;
        browser.driver.goto(page.url()).await?;
        let plain = element(&browser, "article.attention .countdown").await?.text().await?;
        assert!(plain.starts_with("Opens ") && plain.contains(" UTC, in "), "{plain}");
        element(&browser, "nav a[href='/calendar']").await?.click().await?;
        shown(&browser, "#calendar-production", "frozen from").await;
        shown(&browser, "[data-zone-note]", "as the clock of each environment shows them").await;
        element(&browser, "a[rel=next]").await?.click().await?;
        shown(&browser, "#month", "staging").await;
        browser.picture("calendar-without-script").await
    })
    .await?;
    page.stop().await.map(drop)
}
