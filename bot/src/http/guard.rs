//! What keeps a browser from being used against its owner: a strict content security policy and its companions,
//! a check of the `Host` header (a foreign name that resolves to loopback must not reach the page), and a check
//! that a form was sent by this page and by no other site.

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The policy: own script, own style, own connections, and nothing else at all.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     form-action 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

/// Headers that every answer carries.
const SECURITY_HEADERS: [(&str, &str); 8] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-robots-tag", "noindex"),
];

/// Names under which a browser may reach the page, beside IP addresses and `localhost`.
///
/// A rebinding attack needs a name that its owner can point at loopback; an address or `localhost` is no such name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    names: BTreeSet<String>,
}

impl AllowedHosts {
    /// Addresses, `localhost` and these names; a name counts without its port and whatever its case.
    pub fn with_names(names: impl IntoIterator<Item = String>) -> AllowedHosts {
        AllowedHosts { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// May a request with this `Host` header be answered?
    pub fn allows(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let name = name.to_ascii_lowercase();
        let is_address = name.parse::<Ipv4Addr>().is_ok() || ipv6(&name).is_some();
        is_address || name == "localhost" || self.names.contains(&name)
    }
}

fn ipv6(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// `name:port`, `[v6]:port` or either without a port; none: it is neither.
fn without_port(host: &str) -> Option<&str> {
    let end_of_name = host.rfind(']').map_or(0, |at| at + 1);
    match host[end_of_name..].find(':').map(|at| at + end_of_name) {
        None => Some(host),
        Some(colon) if host[colon + 1..].bytes().all(|b| b.is_ascii_digit()) => Some(&host[..colon]),
        Some(_) => None,
    }
}

/// Why a request was refused before anything looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The `Host` header is missing, doubled or names somebody else.
    #[error(
        "This page does not answer to that host name. Use the address it listens on, or `localhost`, or add the name to `page_hosts` in the bot's settings."
    )]
    ForeignHost,
    /// The form came from another site.
    #[error("This form was not sent by this page, so nothing was done. Open the page itself and press the button there.")]
    ForeignForm,
}

/// Refuses requests for foreign host names, and changing requests that another site sent; adds the security headers.
pub async fn guard(State(hosts): State<Arc<AllowedHosts>>, request: Request, next: Next) -> Response {
    let mut answer = match check(&hosts, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(%refusal, path = request.uri().path(), "refused a request");
            (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response()
        }
    };
    for (name, value) in SECURITY_HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn check(hosts: &AllowedHosts, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = only(headers, &HOST).filter(|host| hosts.allows(host)).ok_or(Refusal::ForeignHost)?;
    let changes_nothing = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes_nothing || is_own_form(headers, host) { Ok(()) } else { Err(Refusal::ForeignForm) }
}

/// Browsers say where a form comes from: in `Sec-Fetch-Site`, older ones in `Origin`. A client that says neither is
/// not a browser, and no site can send through it with somebody's cookie. (The rule of Go's `CrossOriginProtection`.)
fn is_own_form(headers: &HeaderMap, host: &str) -> bool {
    if headers.contains_key("sec-fetch-site") {
        let site = only(headers, &HeaderName::from_static("sec-fetch-site"));
        return matches!(site, Some("same-origin" | "none"));
    }
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let origin = only(headers, &ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// The one value of a header; none when it is missing, doubled or not text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_answered_and_others_are_not() {
        let hosts = AllowedHosts::with_names(["Releases.example.org".to_owned()]);
        for good in ["127.0.0.1", "127.0.0.1:9190", "localhost:1", "LOCALHOST", "[::1]:9190", "[::1]", "releases.example.org:443"] {
            assert!(hosts.allows(good), "{good}");
        }
        let bad =
            ["", "evil.example", "evil.example:9190", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1:x", "[::1", "a:b:c"];
        for bad in bad {
            assert!(!hosts.allows(bad), "{bad}");
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn forms_of_other_sites_are_refused_and_links_to_the_page_are_not() {
        let hosts = AllowedHosts::default();
        let own = ("host", "127.0.0.1:9190");
        let ok = |method: Method, pairs: &[(&'static str, &'static str)]| check(&hosts, &method, &headers(pairs));
        assert_eq!(ok(Method::POST, &[own, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(ok(Method::POST, &[own, ("sec-fetch-site", "cross-site")]), Err(Refusal::ForeignForm));
        // Another port of the same machine is the same site and another origin.
        assert_eq!(ok(Method::POST, &[own, ("sec-fetch-site", "same-site")]), Err(Refusal::ForeignForm));
        assert_eq!(ok(Method::POST, &[own, ("origin", "http://127.0.0.1:9190")]), Ok(()));
        assert_eq!(ok(Method::POST, &[own, ("origin", "http://127.0.0.1:9191")]), Err(Refusal::ForeignForm));
        assert_eq!(ok(Method::POST, &[own, ("origin", "null")]), Err(Refusal::ForeignForm));
        assert_eq!(ok(Method::POST, &[own]), Ok(()), "not a browser");
        assert_eq!(ok(Method::GET, &[own, ("sec-fetch-site", "cross-site")]), Ok(()), "a link");
        assert_eq!(ok(Method::GET, &[("host", "evil.example")]), Err(Refusal::ForeignHost));
        assert_eq!(ok(Method::GET, &[]), Err(Refusal::ForeignHost));
    }
}
