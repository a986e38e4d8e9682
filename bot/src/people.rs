//! Who speaks: from an identity on a platform to a person of the config repo.
//!
//! Only the stable identity counts, never a display name. The people are those of the *released* commit, so that a
//! change that is not released yet cannot grant anybody anything.

use serde::{Deserialize, Serialize};
use tidegate_core::repo::{Person, Settings};

/// Somebody on a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The platform's key in `people.*.chat`: `local`, `discord`.
    pub platform: String,
    /// The stable identity there.
    pub user: String,
}

/// The person with this identity. Two people with the same identity are nobody: it cannot be told who speaks.
pub fn resolve<'a>(settings: &'a Settings, actor: &Actor) -> Option<&'a Person> {
    let mut same = settings.people.values().filter(|person| person.chat.get(&actor.platform) == Some(&actor.user));
    match (same.next(), same.next()) {
        (Some(person), None) if !actor.user.is_empty() => Some(person),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::repo::BotIdentity;

    fn settings(chat: &[(&str, &str, &str)]) -> Settings {
        let person = |&(name, platform, user): &(&str, &str, &str)| {
            let name: tidegate_core::ids::PersonName = name.parse().unwrap();
            let chat = [(platform.to_owned(), user.to_owned())].into();
            let person = Person { full_name: name.to_string(), email: String::new(), roles: Default::default(), chat, name: name.clone() };
            (name, person)
        };
        let bot = BotIdentity { name: "bot".into(), email: "bot@example.org".into(), keys: Vec::new() };
        Settings { environments: Vec::new(), people: chat.iter().map(person).collect(), bot, chat: Default::default() }
    }

    fn who(settings: &Settings, platform: &str, user: &str) -> Option<String> {
        resolve(settings, &Actor { platform: platform.into(), user: user.into() }).map(|person| person.name.to_string())
    }

    #[test]
    fn an_identity_counts_on_its_own_platform_only() {
        let settings = settings(&[("alice", "discord", "42"), ("bob", "local", "bob")]);
        assert_eq!(who(&settings, "discord", "42").as_deref(), Some("alice"));
        assert_eq!(who(&settings, "local", "42"), None);
        assert_eq!(who(&settings, "local", "alice"), None);
    }

    #[test]
    fn an_identity_that_two_people_claim_is_nobodys() {
        let settings = settings(&[("alice", "local", "root"), ("mallory", "local", "root"), ("eve", "local", "")]);
        assert_eq!(who(&settings, "local", "root"), None);
        assert_eq!(who(&settings, "local", ""), None);
    }
}
