//! Small pieces that several sections use.

use super::words::{self, Shown};
use crate::view::WindowView;
use maud::{Markup, PreEscaped, html};
use tidegate_core::ids::CommitId;

/// The symbols that [`icon`] refers to, once per document.
pub fn sprite() -> Markup {
    PreEscaped(include_str!("../../assets/icons.svg").to_owned())
}

/// A symbol beside words that say the same: hidden from screen readers.
pub fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" focusable="false" { use href={ "#i-" (name) } {} } }
}

/// A state with its icon and words.
pub fn badge(shown: Shown) -> Markup {
    html! { span.badge.(shown.class) { (icon(shown.icon)) (shown.words) } }
}

/// What a calendar says, in its tone.
pub fn window(window: &WindowView) -> Markup {
    let shown = words::window(window.state);
    html! { span.badge.(shown.class) title=(shown.words) { (icon(shown.icon)) (window.words) } }
}

/// A state as its icon alone, with its words for screen readers and in the title.
pub fn lamp(shown: Shown) -> Markup {
    html! { span.lamp.(shown.class) title=(shown.words) { (icon(shown.icon)) span.unseen { (shown.words) } } }
}

/// A commit by its first digits.
pub fn commit(id: &CommitId) -> Markup {
    html! { code.commit title=(id) { (id.short()) } }
}

/// A sentence in which `…` marks what can be typed or is a name in a file. Only whole pairs count.
pub fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    let pairs_end = if parts.len() % 2 == 1 { parts.len() } else { parts.len() - 1 };
    html! {
        @for (at, part) in parts.iter().enumerate() {
            @if at >= pairs_end { "`" (part) } @else if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// `1 host`, `2 hosts`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn backticks_become_code_in_pairs_and_markup_stays_text() {
        let shown = |text: &str| prose(text).into_string();
        assert_eq!(shown("say `resume shop` now"), "say <code>resume shop</code> now");
        assert_eq!(shown("`<b>` & `"), "<code>&lt;b&gt;</code> &amp; `");
        assert_eq!(shown("no marks"), "no marks");
        assert_eq!(shown(""), "");
        assert_eq!(shown("a `b"), "a `b");
    }
}
