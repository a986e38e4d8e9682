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
    /// Value of the label `tidegate.test`, by which leftovers are found.
    pub run: String,
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
}

impl ShopService {
    /// One copy without anything special.
    pub fn new(name: &str, image: &str) -> ShopService {
        ShopService { name: name.to_owned(), image: image.to_owned(), lines: Vec::new(), replicas: 1 }
    }

    /// Adds a line of YAML.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> ShopService {
        self.lines.push(line.into());
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
    /// The Compose file.
    pub fn to_yaml(&self) -> String {
        let mut text = String::from("services:\n");
        for service in &self.services {
            // Writing to a string cannot fail.
            let _written = write!(
                text,
                "  {}:\n    image: {}\n    labels: {{ tidegate.test: {} }}\n    stop_grace_period: 3s\n    \
                 healthcheck: {{ test: [CMD, /app, healthcheck], interval: 300ms, timeout: 3s, retries: 3 }}\n    \
                 deploy: {{ replicas: {} }}\n",
                service.name, service.image, self.run, service.replicas
            );
            for line in &service.lines {
                let _written = writeln!(text, "    {line}");
            }
        }
        let _written = write!(text, "networks:\n  default: {{ labels: {{ tidegate.test: {} }} }}\n", self.run);
        text
    }
}
