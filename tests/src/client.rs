//! HTTP as the tests speak it: short deadlines, JSON, answers kept whole for the failure message.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest time for one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// One client for the whole process, without proxies.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // A second installation in the same process is no harm.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().timeout(REQUEST_LIMIT).build().expect("a client without special settings")
    })
}

/// GET; the body of a 2xx answer.
///
/// # Errors
/// No answer, or another status; the body is in the message.
pub async fn get(url: &str) -> Result<String> {
    let answer = client().get(url).send().await.with_context(|| format!("GET {url}"))?;
    let status = answer.status();
    let body = answer.text().await?;
    if !status.is_success() {
        bail!("GET {url} answered {status}: {body}");
    }
    Ok(body)
}

/// GET; the JSON of a 2xx answer.
///
/// # Errors
/// No answer, another status, or no JSON.
pub async fn get_json(url: &str) -> Result<Value> {
    let body = get(url).await?;
    serde_json::from_str(&body).with_context(|| format!("GET {url} is not JSON: {body}"))
}

/// POST of one form field, with a cookie; the body of a 2xx answer.
///
/// # Errors
/// No answer, or another status; the body is in the message.
pub async fn post_form(url: &str, cookie: &str, field: (&str, &str)) -> Result<String> {
    let body = format!("{}={}", field.0, encoded(field.1));
    let request = client().post(url).header("content-type", "application/x-www-form-urlencoded").header("cookie", cookie);
    // The page's own script asks like this: the answer is the outcome alone and not a redirect.
    let answer = request.header("tidegate-live", "1").body(body).send().await.with_context(|| format!("POST {url}"))?;
    let status = answer.status();
    let body = answer.text().await?;
    if !status.is_success() {
        bail!("POST {url} answered {status}: {body}");
    }
    Ok(body)
}

/// A form value: letters and digits as they are, all else as `%XX`.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
