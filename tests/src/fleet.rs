//! The config repo of a test, as text: environments, hosts, people, and a stack on the demo service.

use std::fmt::Write as _;

/// `approvals:` of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approvals {
    /// The key is absent: the agents follow the tip.
    FollowTip,
    /// `approvals: none`: the bot releases at once.
    None,
    /// One engineer must agree.
    One,
    /// Two engineers must agree.
    Two,
}

/// An environment with one host, which has the environment's name with `-1`, unique to the run.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Who must agree.
    pub approvals: Approvals,
    /// `windows:`, as YAML.
    pub windows: String,
}

impl Environment {
    /// An environment whose window is always open.
    pub fn new(name: &str, approvals: Approvals) -> Environment {
        Environment { name: name.to_owned(), approvals, windows: "always".into() }
    }

    /// Its file.
    pub fn to_yaml(&self) -> String {
        let mut text = format!("schema: 1\nstacks:\n  shop: {{ hosts: {{ role: web }} }}\nwindows: {}\n", self.windows);
        match self.approvals {
            Approvals::FollowTip => {}
            Approvals::None => text.push_str("approvals: none\n"),
            Approvals::One => text.push_str("approvals: { count: 1, roles: [engineer], authors: true }\n"),
            Approvals::Two => text.push_str("approvals: { count: 2, roles: [engineer], authors: true }\n"),
        }
        text
    }
}

/// `tidegate.yaml`.
pub fn settings(environments: &[Environment], bot_key: &str) -> String {
    let names: Vec<&str> = environments.iter().map(|environment| environment.name.as_str()).collect();
    format!(
        "schema: 1\nenvironments: [{}]\npeople:\n\
         \x20 alice: {{ name: Alice Example, email: alice@example.org, roles: [engineer], chat: {{ local: alice }} }}\n\
         \x20 bob: {{ name: Bob Example, email: bob@example.org, roles: [engineer], chat: {{ local: bob }} }}\n\
         \x20 carol: {{ name: Carol Example, email: carol@example.org, roles: [stakeholder], chat: {{ local: carol }} }}\n\
         bot: {{ name: tidegate-bot, email: bot@example.org, keys: [\"{bot_key}\"] }}\n",
        names.join(", ")
    )
}

/// `hosts/<name>.yaml`.
pub fn host(environment: &str, events_key: &str) -> String {
    format!("schema: 1\nenvironment: {environment}\nlabels: {{ role: web }}\nkeys: {{ events: \"{events_key}\" }}\n")
}

/// `stacks/shop/compose.yaml`: services on the demo image.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Services in order.
    pub services: Vec<ShopService>,
}

/// A service of the shop.
#[derive(Debug, Clone)]
pub struct ShopService {
    /// Name.
    pub name: String,
    /// Image with tag.
    pub image: String,
    /// More lines of YAML for the service, each `key: value`.
    pub lines: Vec<String>,
    /// How many copies.
    pub replicas: u32,
    /// `healthcheck:`, as YAML; empty: the service has none.
    pub healthcheck: String,
}

/// A check every 300 ms with the demo service's own command.
const HEALTHCHECK: &str = "{ test: [CMD, /app, healthcheck], interval: 300ms, timeout: 3s, retries: 3 }";

impl ShopService {
    /// One copy without anything special.
    pub fn new(name: &str, image: &str) -> ShopService {
        ShopService { name: name.to_owned(), image: image.to_owned(), lines: Vec::new(), replicas: 1, healthcheck: HEALTHCHECK.into() }
    }

    /// Adds a line of YAML.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> ShopService {
        self.lines.push(line.into());
        self
    }

    /// Takes the health check away.
    #[must_use]
    pub fn without_healthcheck(mut self) -> ShopService {
        self.healthcheck.clear();
        self
    }

    /// Sets the number of copies.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> ShopService {
        self.replicas = replicas;
        self
    }
}

impl Shop {
    /// A shop of these services.
    pub fn of(services: Vec<ShopService>) -> Shop {
        Shop { services }
    }

    /// The Compose file.
    pub fn to_yaml(&self) -> String {
        let mut text = String::from("services:\n");
        for service in &self.services {
            // Writing to a string cannot fail.
            let _written = write!(
                text,
                "  {}:\n    image: {}\n    stop_grace_period: 3s\n    \
                 deploy: {{ replicas: {} }}\n",
                service.name, service.image, service.replicas
            );
            if !service.healthcheck.is_empty() {
                let _written = writeln!(text, "    healthcheck: {}", service.healthcheck);
            }
            for line in &service.lines {
                let _written = writeln!(text, "    {line}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::files::RepoFiles;
    use tidegate_core::findings::{Style, render};
    use tidegate_core::repo;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfZ4K4m9Wk4n6dX3Ih4dMvXk2W1mX3y1o6Yx3rJ0Z1B";

    #[test]
    fn the_config_repo_of_a_world_has_no_findings() {
        let environments = [Environment::new("staging", Approvals::None), Environment::new("production", Approvals::Two)];
        let services =
            vec![ShopService::new("web", "127.0.0.1:5000/app:1").line("depends_on: [db]"), ShopService::new("db", "demo:2").replicas(3)];
        let mut files = RepoFiles::default();
        let mut add = |path: &str, text: &str| files.insert_text(path.parse().expect("a good path"), text);
        add("tidegate.yaml", &settings(&environments, KEY));
        for environment in &environments {
            add(&format!("environments/{}.yaml", environment.name), &environment.to_yaml());
            add(&format!("hosts/{}-1.yaml", environment.name), &host(&environment.name, KEY));
        }
        add("stacks/shop/compose.yaml", &Shop::of(services).to_yaml());
        let loaded = repo::load(&files);
        assert!(loaded.findings.is_empty(), "{}", render(&loaded.findings, &files, Style::Plain));
    }
}
