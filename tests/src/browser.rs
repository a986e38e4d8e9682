//! A real browser: headless Chromium behind chromedriver, gone again after the test, also after one that panics.

use crate::client;
use crate::ports::free_port;
use crate::wait::wait_until;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use thirtyfour::{Capabilities, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};

/// Variable that says where `axe.min.js` lies; `tests/run.sh` fetches it and sets this.
pub const AXE_VARIABLE: &str = "TIDEGATE_TEST_AXE";
/// Variable that names a folder for screenshots; without it none are kept.
pub const SCREENSHOTS_VARIABLE: &str = "TIDEGATE_TEST_SCREENSHOTS";
/// Longest time until chromedriver answers, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for everything that a test does in one browser.
const USE_LIMIT: Duration = Duration::from_secs(180);

/// Headless, able to run as root, and unable to reach anything but loopback.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// chromedriver in a process group of its own, so that nothing of it is left.
struct Driver {
    child: Child,
    address: String,
}

impl Driver {
    async fn start() -> Result<Driver> {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("starting chromedriver (package chromium-driver)")?;
        let driver = Driver { child, address: format!("http://127.0.0.1:{port}") };
        let status = format!("{}/status", driver.address);
        wait_until(START_LIMIT, "chromedriver answers", || async { client::get_json(&status).await.map_err(|e| format!("{e:#}")) }).await;
        Ok(driver)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _reaped = self.child.wait();
    }
}

/// Opens a browser, does something in it, and closes it whatever comes of it.
///
/// # Errors
/// The browser cannot be started, takes too long, or the operation says so.
pub async fn in_browser<T>(operation: impl AsyncFnOnce(Browser) -> Result<T>) -> Result<T> {
    let driver = Driver::start().await?;
    let profile = tempfile::tempdir()?;
    let mut capabilities = DesiredCapabilities::chrome();
    for flag in FLAGS {
        capabilities.add_arg(flag)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
    let session = WebDriver::new(&driver.address, Capabilities::from(capabilities)).await?;
    let work = async |driver: WebDriver| {
        let browser = Browser { driver };
        tokio::time::timeout(USE_LIMIT, operation(browser)).await.map_err(|_| anyhow!("the browser took longer than {USE_LIMIT:?}"))?
    };
    session.run_and_quit(work).await.map_err(|error| anyhow!("{error:#}"))
}

/// An open browser.
#[derive(Debug, Clone)]
pub struct Browser {
    /// WebDriver's own interface.
    pub driver: WebDriver,
}

/// What the person at the browser prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on light ground.
    Light,
    /// Light text on dark ground.
    Dark,
}

impl Scheme {
    /// The word for it in CSS.
    pub fn word(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

impl Browser {
    /// A DevTools command.
    ///
    /// # Errors
    /// The browser says no.
    pub async fn command(&self, name: &str, parameters: Value) -> Result<Value> {
        self.driver.cdp().send_raw(name, parameters).await.with_context(|| format!("DevTools command {name}"))
    }

    /// Runs a script in the page; what it returns.
    ///
    /// # Errors
    /// It throws.
    pub async fn script(&self, script: &str) -> Result<Value> {
        Ok(self.driver.execute(script, Vec::new()).await.with_context(|| format!("script {script}"))?.json().clone())
    }

    /// Makes the window as wide as that and as high as a screen.
    ///
    /// # Errors
    /// The browser says no.
    pub async fn width(&self, pixels: u32) -> Result<()> {
        let size = json!({"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": pixels < 500});
        self.command("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Prefers light or dark.
    ///
    /// # Errors
    /// The browser says no.
    pub async fn prefer(&self, scheme: Scheme) -> Result<()> {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme.word()}]});
        self.command("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Looks until a script returns true.
    ///
    /// # Panics
    /// When it does not within `limit`: that is a failed test.
    pub async fn until(&self, limit: Duration, what: &str, script: &str) {
        wait_until(limit, what, || async {
            match self.script(&format!("return {script}")).await {
                Ok(Value::Bool(true)) => Ok(()),
                Ok(other) => Err(format!("{script} is {other}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
    }

    /// The accessibility violations that axe-core finds, each as its rule, its help and the places.
    ///
    /// # Errors
    /// `axe.min.js` is not there or fails.
    pub async fn accessibility_violations(&self) -> Result<Vec<String>> {
        let path = std::env::var_os(AXE_VARIABLE).map(PathBuf::from);
        let path = path.with_context(|| format!("{AXE_VARIABLE} is not set: tests/run.sh sets it"))?;
        let axe = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        self.driver.execute(axe, Vec::new()).await?;
        let run = "const done = arguments[0]; axe.run(document).then(r => done(r.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.target.join(' ')).join(', ')}`)), e => done([String(e)]))";
        let found = self.driver.execute_async(run, Vec::new()).await?;
        Ok(serde_json::from_value(found.json().clone())?)
    }

    /// Keeps a picture of the whole page where [`SCREENSHOTS_VARIABLE`] says, if it says so.
    ///
    /// # Errors
    /// It cannot be taken or written.
    pub async fn picture(&self, name: &str) -> Result<()> {
        let Some(folder) = std::env::var_os(SCREENSHOTS_VARIABLE) else { return Ok(()) };
        let size = self.script("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]").await?;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let taken = self.command("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true, "clip": clip})).await?;
        let data = taken["data"].as_str().context("a picture")?;
        std::fs::create_dir_all(&folder)?;
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), thirtyfour::support::base64_decode(data)?)?;
        Ok(())
    }
}
