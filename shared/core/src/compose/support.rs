//! What Tidegate does with every attribute of the Compose Specification: the one table that the reader asks before
//! it refuses a key, and that `docs/compose-support.md` is generated from.

use crate::findings::Finding;
use crate::yaml::{Key, Node};

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// At the top of the file.
    Top,
    /// In a service.
    Service,
    /// In a service's `healthcheck`.
    Healthcheck,
    /// In a service's `deploy`.
    Deploy,
    /// In `deploy.resources.limits`.
    Limits,
    /// In `deploy.resources.reservations`.
    Reservations,
    /// In `deploy.restart_policy`.
    RestartPolicy,
    /// In `deploy.update_config` and `deploy.rollback_config`.
    UpdateConfig,
    /// In a long-form port.
    Port,
    /// In a long-form volume of a service.
    Mount,
    /// In an attachment to a network.
    Attachment,
    /// In a network at the top.
    Network,
    /// In a volume at the top.
    Volume,
    /// In a config or secret at the top.
    FileObject,
    /// In a long-form config or secret of a service.
    FileMount,
    /// In `x-tidegate` of a service.
    Knobs,
}

impl Section {
    /// Every section, in the order of the documentation.
    pub const ALL: [Section; 16] = [
        Section::Top,
        Section::Service,
        Section::Healthcheck,
        Section::Deploy,
        Section::Limits,
        Section::Reservations,
        Section::RestartPolicy,
        Section::UpdateConfig,
        Section::Port,
        Section::Mount,
        Section::Attachment,
        Section::FileMount,
        Section::Network,
        Section::Volume,
        Section::FileObject,
        Section::Knobs,
    ];

    /// As the documentation heads it.
    fn heading(self) -> String {
        let title = self.title();
        let title = title.strip_prefix("a ").unwrap_or(title);
        let mut letters = title.chars();
        letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
    }

    /// As messages name it.
    pub fn title(self) -> &'static str {
        match self {
            Section::Top => "a Compose file",
            Section::Service => "a service",
            Section::Healthcheck => "`healthcheck`",
            Section::Deploy => "`deploy`",
            Section::Limits => "`deploy.resources.limits`",
            Section::Reservations => "`deploy.resources.reservations`",
            Section::RestartPolicy => "`deploy.restart_policy`",
            Section::UpdateConfig => "`deploy.update_config`",
            Section::Port => "a port in long form",
            Section::Mount => "a volume in long form",
            Section::Attachment => "a network of a service",
            Section::Network => "a network",
            Section::Volume => "a volume",
            Section::FileObject => "a config or secret",
            Section::FileMount => "a config or secret of a service",
            Section::Knobs => "`x-tidegate`",
        }
    }
}

/// What happens to an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// As Compose does it.
    Works,
    /// Taken, with a difference.
    Differs(&'static str),
    /// Refused: the reason, and what to do instead.
    Refused(&'static str, &'static str),
    /// Taken only with this value, which changes nothing; else refused: value, reason, what to do instead.
    OnlyAs(&'static str, &'static str, &'static str),
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Where.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// What happens to it.
    pub support: Support,
}

/// The row of an attribute.
pub fn attribute(section: Section, name: &str) -> Option<&'static Attribute> {
    super::support_table::ATTRIBUTES.iter().find(|row| row.section == section && row.name == name)
}

/// Every row.
pub fn attributes() -> &'static [Attribute] {
    super::support_table::ATTRIBUTES
}

/// The judgement on a key that no typed field took: an extension passes, a refused one says why, the rest is unknown.
pub(super) fn judge(section: Section, (key, node): &(Key, Node)) -> Option<Result<(), Finding>> {
    let name = key.text.as_str();
    if name.starts_with("x-") && !(name == "x-tidegate" && section != Section::Service) {
        return Some(Ok(()));
    }
    if name == "x-tidegate" {
        let finding = key.span.error("refused_attribute", "`x-tidegate` has no meaning here");
        return Some(Err(finding.hint("it belongs into a service")));
    }
    match attribute(section, name)?.support {
        Support::Works | Support::Differs(_) => None,
        Support::OnlyAs(value, ..) if node.scalar() == Some(value) || node.is_null() => Some(Ok(())),
        Support::Refused(reason, hint) | Support::OnlyAs(_, reason, hint) => {
            Some(Err(key.span.error("refused_attribute", format!("`{name}` is refused: {reason}")).hint(hint)))
        }
    }
}

/// The table as a page of the documentation.
pub fn support_page() -> String {
    let mut page = String::from(PAGE_HEAD);
    for section in Section::ALL {
        page.push_str(&format!("\n## {}\n\n| attribute | | |\n|---|---|---|\n", section.heading()));
        for row in attributes().iter().filter(|row| row.section == section) {
            page.push_str(&row.line());
        }
    }
    page
}

const PAGE_HEAD: &str = "\
# Compose support

<!-- Generated from the table in shared/core/src/compose/support_table.rs; a test compares. Do not edit. -->

What Tidegate does with each attribute of a Compose file. **works**: as in the Compose Specification. **differs**: taken,
with the difference that is named. **refused**: an error with its place and this reason; nothing is ever ignored in
silence. Keys that begin with `x-` are taken everywhere and mean nothing, except `x-tidegate` in a service.

Beside attributes: YAML anchors, aliases and merge keys (`<<`) within a budget; `${X}` with `:-`, `-`, `:?`, `?`, `:+`, `+`, nested, and
`$$`; one override file per environment, `compose.<environment>.yaml`, by Compose's merge rules with `!reset` and
`!override`; `extends` and `include` of files inside the stack's folder. Variables come from `.env` and
`.env.<environment>` of the stack and from nowhere else; one that is not set and has no default is an error.
`compose.override.yaml` is for laptops and is not read.
Values stay the text that was written: `VERSION: 1.10` is `1.10`, where Compose makes `1.1` of it.
";

impl Attribute {
    fn line(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        let (word, text) = match self.support {
            Support::Works => ("works", String::new()),
            Support::Differs(how) => ("differs", cell(how)),
            Support::Refused(reason, hint) => ("refused", format!("{}; {}", cell(reason), cell(hint))),
            Support::OnlyAs(value, reason, hint) => ("refused", format!("except `{value}`: {}; {}", cell(reason), cell(hint))),
        };
        format!("| `{}` | {word} | {text} |\n", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_attribute_stands_in_the_table_once() {
        let mut seen = BTreeSet::new();
        for row in attributes() {
            assert!(seen.insert((row.section.title(), row.name)), "{} in {}", row.name, row.section.title());
        }
    }
}
