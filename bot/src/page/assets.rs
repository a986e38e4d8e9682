//! The style and the script, embedded in the program. Their path holds their content's identity, so that a browser
//! keeps them for good and an upgraded bot is never seen through an old style.

use std::sync::OnceLock;
use tidegate_core::ids::ContentId;

/// A file that browsers fetch.
#[derive(Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: String,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// What it holds.
    pub text: &'static str,
}

/// The tab's icon: two posts and the tide between them.
pub const FAVICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' \
    stroke='%230b7285' stroke-width='2.4' stroke-linecap='round'%3E%3Cpath d='M3 4v16M21 4v16M3 11c2-2 4-2 6 0s4 2 6 0 4-2 6 0M3 16c2-2 4-2 6 0s4 2 6 0 4-2 6 0'/%3E%3C/svg%3E";

fn asset(name: &str, media_type: &'static str, text: &'static str) -> Asset {
    Asset { path: format!("/assets/{}-{name}", ContentId::of_bytes(text.as_bytes()).short()), media_type, text }
}

/// The style.
pub fn style() -> &'static Asset {
    static STYLE: OnceLock<Asset> = OnceLock::new();
    STYLE.get_or_init(|| asset("page.css", "text/css; charset=utf-8", include_str!("../../assets/page.css")))
}

/// The script.
pub fn script() -> &'static Asset {
    static SCRIPT: OnceLock<Asset> = OnceLock::new();
    SCRIPT.get_or_init(|| asset("page.js", "text/javascript; charset=utf-8", include_str!("../../assets/page.js")))
}
