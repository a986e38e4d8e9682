//! Interpolation and merging against models of their own, written the other way round: the tests make up what is meant,
//! write it as text, and compare what the reader makes of it. And keys in any order are the same stack.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::files;
use tidegate_core::compose::{MountSource, Restart, StackModel, resolve_stack};
use tidegate_core::findings::Finding;

fn resolve(listed: &[(&str, &str)]) -> Result<StackModel, Vec<Finding>> {
    resolve_stack(&files(listed), &"production".parse().unwrap(), &"shop".parse().unwrap())
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

// --- interpolation: a tree of what is meant, written as text and evaluated as a tree

const SET: [(&str, &str); 3] = [("A", "1"), ("EMPTY", ""), ("B_2", "two $words}")];
const ENV: &str = "A=1\nEMPTY=\nB_2='two $words}'\n";
const NAMES: [&str; 5] = ["A", "EMPTY", "B_2", "UNSET", "_x"];

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Dollar,
    Bare(&'static str),
    Braced(&'static str),
    Operator { name: &'static str, colon: bool, sign: char, word: Vec<Part> },
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let name = || prop::sample::select(NAMES.to_vec());
    let leaf = prop_oneof![
        "[a-z :?+=/é{-]{1,4}".prop_map(Part::Literal),
        Just(Part::Dollar),
        name().prop_map(Part::Bare),
        name().prop_map(Part::Braced),
    ];
    let part = leaf.prop_recursive(4, 24, 4, move |inner| {
        (name(), any::<bool>(), prop::sample::select(vec!['-', '?', '+']), vec(inner, 0..4))
            .prop_map(|(name, colon, sign, word)| Part::Operator { name, colon, sign, word })
    });
    vec(part, 0..6)
}

fn written(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Dollar => text.push_str("$$"),
            // What follows must not lengthen the name.
            Part::Bare(name) => text.push_str(&format!("${name}.")),
            Part::Braced(name) => text.push_str(&format!("${{{name}}}")),
            Part::Operator { name, colon, sign, word } => {
                let colon = if *colon { ":" } else { "" };
                text.push_str(&format!("${{{name}{colon}{sign}{}}}", written(word)));
            }
        }
    }
    text
}

/// What the tree means; none: it asks for a variable that is not set.
fn meant(parts: &[Part]) -> Option<String> {
    parts.iter().map(one_meant).collect::<Option<Vec<String>>>().map(|parts| parts.concat())
}

fn one_meant(part: &Part) -> Option<String> {
    let value = |name: &str| SET.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    match part {
        Part::Literal(literal) => Some(literal.clone()),
        Part::Dollar => Some("$".to_owned()),
        Part::Bare(name) => Some(format!("{}.", value(name)?)),
        Part::Braced(name) => value(name),
        Part::Operator { name, colon, sign, word } => {
            let value = value(name);
            let counts = value.as_ref().is_some_and(|value| !(*colon && value.is_empty()));
            match (sign, counts) {
                ('-' | '?', true) => value,
                ('-', false) | ('+', true) => meant(word),
                ('?', false) => None,
                _ => Some(String::new()),
            }
        }
    }
}

// --- merging: layers of plain data, each attribute in either form, laid over each other

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Plain,
    Reset,
    Override,
}

impl How {
    fn tag(self) -> &'static str {
        match self {
            How::Plain => "",
            How::Reset => "!reset ",
            How::Override => "!override ",
        }
    }
}

type Pairs = Vec<(&'static str, &'static str)>;

/// Networks with aliases.
type Attachments = Vec<(&'static str, Vec<&'static str>)>;

/// What one file says of a service.
#[derive(Debug, Clone, Default)]
struct Layer {
    environment: Option<(Pairs, bool, u8)>,
    labels: Option<(Pairs, bool, u8)>,
    ports: Option<(Vec<u16>, bool, u8)>,
    volumes: Option<(Vec<(u8, bool)>, u8)>,
    command: Option<(Vec<&'static str>, u8)>,
    dns: Option<(Vec<u8>, bool, u8)>,
    capabilities: Option<(Vec<&'static str>, u8)>,
    restart: Option<(bool, u8)>,
    interval: Option<u32>,
    retries: Option<u32>,
    memory: Option<u32>,
    networks: Option<(Attachments, bool)>,
}

fn how(number: u8) -> How {
    match number {
        0 => How::Reset,
        1 => How::Override,
        _ => How::Plain,
    }
}

fn pairs() -> impl Strategy<Value = Option<(Pairs, bool, u8)>> {
    let pair = (prop::sample::select(vec!["A", "B", "C", "D"]), prop::sample::select(vec!["1", "x y", "", "true"]));
    of((vec(pair, 0..4).prop_map(unique), any::<bool>(), 0_u8..8))
}

fn unique(pairs: Pairs) -> Pairs {
    let mut seen = BTreeSet::new();
    pairs.into_iter().filter(|(key, _)| seen.insert(*key)).collect()
}

prop_compose! {
    fn layer()(
        environment in pairs(), labels in pairs(), ports in of((prop::collection::btree_set(1_u16..6, 0..4), any::<bool>(), 0_u8..8)),
        volumes in of((prop::collection::btree_map(0_u8..4, any::<bool>(), 0..4), 0_u8..8)), command in of((vec(prop::sample::select(vec!["a", "-b", "c d"]), 1..3), 0_u8..8)),
        dns in of((vec(1_u8..5, 1..3), any::<bool>(), 0_u8..8)), capabilities in of((vec(prop::sample::select(vec!["CHOWN", "KILL"]), 0..3), 0_u8..8)),
        restart in of((any::<bool>(), 0_u8..8)), interval in of(1_u32..9), retries in of(1_u32..9), memory in of(1_u32..9),
        networks in of((prop::collection::btree_map(prop::sample::select(vec!["front", "back"]), vec(prop::sample::select(vec!["w", "v"]), 0..2), 1..3), any::<bool>()))
    ) -> Layer {
        Layer {
            environment, labels, command, dns, capabilities, restart, interval, retries, memory,
            volumes: volumes.map(|(volumes, how)| (volumes.into_iter().collect(), how)),
            ports: ports.map(|(ports, form, how)| (ports.into_iter().collect(), form, how)),
            networks: networks.map(|(networks, form)| (networks.into_iter().collect(), form)),
        }
    }
}

/// The lines of a service, `image` first; only files above others carry tags.
fn lines(layer: &Layer, tags: bool) -> String {
    let tag = |number: u8| if tags { how(number).tag() } else { "" };
    let mut out = String::new();
    let mut add = |text: String| out.push_str(&format!("    {text}\n"));
    for (name, found) in [("environment", &layer.environment), ("labels", &layer.labels)] {
        let Some((pairs, list, number)) = found else { continue };
        let entry =
            |(key, value): &(&str, &str)| if *list { quoted(&format!("{key}={value}")) } else { format!("{key}: {}", quoted(value)) };
        let entries: Vec<String> = pairs.iter().map(entry).collect();
        let body = if *list { format!("[{}]", entries.join(", ")) } else { format!("{{ {} }}", entries.join(", ")) };
        add(format!("{name}: {}{body}", tag(*number)));
    }
    if let Some((ports, long, number)) = &layer.ports {
        let port = |port: &u16| if *long { format!("{{ target: {port}, published: {port} }}") } else { format!("\"{port}:{port}\"") };
        add(format!("ports: {}[{}]", tag(*number), ports.iter().map(port).collect::<Vec<_>>().join(", ")));
    }
    if let Some((volumes, number)) = &layer.volumes {
        let volume = |(target, read_only): &(u8, bool)| format!("\"data:/t{target}{}\"", if *read_only { ":ro" } else { "" });
        add(format!("volumes: {}[{}]", tag(*number), volumes.iter().map(volume).collect::<Vec<_>>().join(", ")));
    }
    if let Some((words, number)) = &layer.command {
        add(format!("command: {}[{}]", tag(*number), words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")));
    }
    if let Some((servers, text, number)) = &layer.dns {
        let servers: Vec<String> = servers.iter().map(|server| format!("192.0.2.{server}")).collect();
        let one = *text && servers.len() == 1;
        add(format!("dns: {}{}", tag(*number), if one { servers[0].clone() } else { format!("[{}]", servers.join(", ")) }));
    }
    if let Some((capabilities, number)) = &layer.capabilities {
        add(format!("cap_add: {}[{}]", tag(*number), capabilities.join(", ")));
    }
    if let Some((always, number)) = &layer.restart {
        add(format!("restart: {}{}", tag(*number), if *always { "always" } else { "unless-stopped" }));
    }
    let health = [layer.interval.map(|secs| format!("interval: {secs}s")), layer.retries.map(|number| format!("retries: {number}"))];
    let health: Vec<String> = health.into_iter().flatten().collect();
    if !health.is_empty() {
        add(format!("healthcheck: {{ {} }}", health.join(", ")));
    }
    if let Some(memory) = layer.memory {
        add(format!("deploy: {{ resources: {{ limits: {{ memory: {memory}g }} }} }}"));
    }
    if let Some((networks, list)) = &layer.networks {
        let entry = |(name, aliases): &(&str, Vec<&str>)| format!("{name}: {{ aliases: [{}] }}", aliases.join(", "));
        let names: Vec<&str> = networks.iter().map(|(name, _)| *name).collect();
        let entries: Vec<String> = networks.iter().map(entry).collect();
        add(if *list { format!("networks: [{}]", names.join(", ")) } else { format!("networks: {{ {} }}", entries.join(", ")) });
    }
    out
}

/// What all layers say together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Together {
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    ports: BTreeSet<u16>,
    volumes: BTreeMap<String, bool>,
    command: Option<Vec<String>>,
    dns: Vec<String>,
    capabilities: BTreeSet<String>,
    restart: Restart,
    health: Option<(Option<u64>, Option<u32>)>,
    memory: Option<u64>,
    networks: BTreeMap<String, BTreeSet<String>>,
}

/// Clears what a tag takes away; true: what the layer says counts.
fn begin<T: Default>(so_far: &mut T, number: u8, tags: bool) -> bool {
    let how = if tags { how(number) } else { How::Plain };
    if how != How::Plain {
        *so_far = T::default();
    }
    how != How::Reset
}

impl Together {
    fn lay_over(&mut self, layer: &Layer, tags: bool) {
        let owned = |pairs: &Pairs| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        if let Some((pairs, _, number)) = &layer.environment
            && begin(&mut self.environment, *number, tags)
        {
            self.environment.extend(owned(pairs));
        }
        if let Some((pairs, _, number)) = &layer.labels
            && begin(&mut self.labels, *number, tags)
        {
            self.labels.extend(owned(pairs));
        }
        if let Some((ports, _, number)) = &layer.ports
            && begin(&mut self.ports, *number, tags)
        {
            self.ports.extend(ports);
        }
        if let Some((volumes, number)) = &layer.volumes
            && begin(&mut self.volumes, *number, tags)
        {
            self.volumes.extend(volumes.iter().map(|(target, read_only)| (format!("/t{target}"), *read_only)));
        }
        if let Some((words, number)) = &layer.command
            && begin(&mut self.command, *number, tags)
        {
            self.command = Some(words.iter().map(|word| (*word).to_owned()).collect());
        }
        if let Some((servers, _, number)) = &layer.dns
            && begin(&mut self.dns, *number, tags)
        {
            for server in servers.iter().map(|server| format!("192.0.2.{server}")) {
                if !self.dns.contains(&server) {
                    self.dns.push(server);
                }
            }
        }
        if let Some((names, number)) = &layer.capabilities
            && begin(&mut self.capabilities, *number, tags)
        {
            self.capabilities.extend(names.iter().map(|name| (*name).to_owned()));
        }
        if let Some((always, number)) = &layer.restart
            && begin(&mut self.restart, *number, tags)
        {
            self.restart = if *always { Restart::Always } else { Restart::UnlessStopped };
        }
        self.lay_over_rest(layer);
    }

    fn lay_over_rest(&mut self, layer: &Layer) {
        if layer.interval.is_some() || layer.retries.is_some() {
            let health = self.health.get_or_insert_default();
            health.0 = layer.interval.map(|secs| u64::from(secs) * 1000).or(health.0);
            health.1 = layer.retries.or(health.1);
        }
        self.memory = layer.memory.map(|gib| u64::from(gib) << 30).or(self.memory);
        for (name, aliases) in layer.networks.iter().flat_map(|(networks, _)| networks) {
            let aliases = aliases.iter().filter(|_| layer.networks.as_ref().is_some_and(|(_, list)| !list));
            self.networks.entry((*name).to_owned()).or_default().extend(aliases.map(|alias| (*alias).to_owned()));
        }
    }

    fn of(model: &StackModel) -> Together {
        let container = &model.services["web"].container;
        let named = |mount: &&tidegate_core::compose::Mount| matches!(&mount.source, MountSource::Volume { .. });
        let networks = container.networks.iter().filter(|(name, _)| *name != "default");
        Together {
            environment: container.environment.clone(),
            labels: container.labels.clone(),
            ports: container.ports.iter().filter(|port| port.published == Some(port.target)).map(|port| port.target).collect(),
            volumes: container.mounts.iter().filter(named).map(|mount| (mount.target.clone(), mount.read_only)).collect(),
            command: container.command.clone(),
            dns: container.dns.clone(),
            capabilities: container.cap_add.clone(),
            restart: container.restart,
            health: container.healthcheck.as_ref().map(|check| (check.interval_ms, check.retries)),
            memory: container.memory_bytes,
            networks: networks.map(|(name, attachment)| (name.clone(), attachment.aliases.clone())).collect(),
        }
    }
}

const TAIL: &str = "volumes: { data: {} }\nnetworks: { front: {}, back: {} }\n";

// --- keys in any order

/// The value with the keys of every mapping in another order.
fn shuffled(value: &serde_yaml::Value, order: &mut impl FnMut(usize) -> usize) -> serde_yaml::Value {
    use serde_yaml::Value;
    match value {
        Value::Mapping(entries) => {
            let mut left: Vec<(Value, Value)> = entries.iter().map(|(key, value)| (key.clone(), shuffled(value, order))).collect();
            let mut mixed = serde_yaml::Mapping::new();
            while !left.is_empty() {
                let (key, value) = left.remove(order(left.len()) % left.len());
                mixed.insert(key, value);
            }
            Value::Mapping(mixed)
        }
        Value::Sequence(items) => Value::Sequence(items.iter().map(|item| shuffled(item, order)).collect()),
        other => other.clone(),
    }
}

const MIXED: &str = r#"
services:
  web:
    image: shop/web:1
    environment: { A: "1", B: "2", C: "3" }
    labels: { x: "1", y: "2" }
    depends_on: { db: { condition: service_healthy }, job: { condition: service_completed_successfully } }
    healthcheck: { test: [CMD, ok], interval: 5s, retries: 2 }
    ports: [{ target: 80, published: 8080 }, { published: 53, protocol: udp, target: 53 }]
    volumes: [{ type: volume, source: data, target: /data, read_only: true }]
    networks: { front: { aliases: [w] }, back: {} }
    ulimits: { nofile: { soft: 1, hard: 2 }, nproc: 3 }
    logging: { driver: json-file, options: { max-size: 1m, max-file: "3" } }
    deploy: { replicas: 1, resources: { limits: { memory: 1g, cpus: "1" } }, labels: { a: b, c: d } }
  db: { image: shop/db:1, restart: always, healthcheck: { test: ok } }
  job: { image: shop/job:1, command: [run] }
networks: { front: { internal: true, labels: { a: b } }, back: {} }
volumes: { data: { labels: { a: b, c: d } } }
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn variables_mean_what_a_tree_of_them_means(parts in parts()) {
        let text = written(&parts);
        let compose = format!("services:\n  web:\n    image: x\n    environment: {{ V: {} }}\n", quoted(&text));
        let found = resolve(&[("stacks/shop/compose.yaml", &compose), ("stacks/shop/.env", ENV)]);
        match (meant(&parts), found) {
            (Some(meant), Ok(model)) => prop_assert_eq!(&model.services["web"].container.environment["V"], &meant, "{}", text),
            (None, Err(findings)) => {
                prop_assert!(findings.iter().all(|finding| finding.code == "unset_variable"), "{text}: {findings:#?}");
                prop_assert!(findings[0].hint.as_ref().is_some_and(|hint| hint.contains("stacks/shop/.env or stacks/shop/.env.production")));
            }
            (meant, found) => prop_assert!(false, "{text}: meant {meant:?}, found {found:#?}"),
        }
    }

    #[test]
    fn an_override_file_is_laid_over_as_plain_data_would_be(base in layer(), over in layer()) {
        let compose = format!("services:\n  web:\n    image: x\n{}{TAIL}", lines(&base, false));
        let over_text = format!("services:\n  web:\n    image: y\n{}", lines(&over, true));
        let files = [("stacks/shop/compose.yaml", compose.as_str()), ("stacks/shop/compose.production.yaml", over_text.as_str())];
        let model = resolve(&files).unwrap_or_else(|findings| panic!("{findings:#?}\n{compose}\n{over_text}"));
        let mut expected = Together::default();
        expected.lay_over(&base, false);
        expected.lay_over(&over, true);
        prop_assert_eq!(Together::of(&model), expected, "{}\n{}", compose, over_text);
        prop_assert_eq!(&model.services["web"].container.image.repository, "library/y");
    }

    #[test]
    fn a_service_is_laid_over_what_it_extends_in_the_same_way(base in layer(), over in layer(), elsewhere in any::<bool>()) {
        let (own, theirs) = (lines(&over, true), lines(&base, false));
        let base_text = format!("  base:\n    image: x\n{theirs}");
        let from = if elsewhere { "{ file: parts/base.yaml, service: base }" } else { "{ service: base }" };
        let inside = if elsewhere { "" } else { base_text.as_str() };
        let compose = format!("services:\n{inside}  web:\n    extends: {from}\n{own}{TAIL}");
        // The base itself must stand beside its extension without a quarrel over ports.
        prop_assume!(elsewhere || base.ports.is_none());
        let part = format!("services:\n{base_text}{TAIL}");
        let model = resolve(&[("stacks/shop/compose.yaml", &compose), ("stacks/shop/parts/base.yaml", &part)]);
        let model = model.unwrap_or_else(|findings| panic!("{findings:#?}\n{compose}\n{part}"));
        let mut expected = Together::default();
        expected.lay_over(&base, false);
        expected.lay_over(&over, true);
        prop_assert_eq!(Together::of(&model), expected, "{}\n{}", compose, part);
    }

    #[test]
    fn keys_in_any_order_are_the_same_stack(seeds in vec(any::<usize>(), 1..40)) {
        let whole: serde_yaml::Value = serde_yaml::from_str(MIXED).unwrap();
        let mut at = 0;
        let mut order = |_| { at += 1; seeds[at % seeds.len()].wrapping_mul(at) };
        let text = serde_yaml::to_string(&shuffled(&whole, &mut order)).unwrap();
        let (as_written, mixed) = (resolve(&[("stacks/shop/compose.yaml", MIXED)]).unwrap(), resolve(&[("stacks/shop/compose.yaml", &text)]).unwrap());
        prop_assert_eq!(as_written.content(), mixed.content(), "{}", text);
        prop_assert_eq!(as_written, mixed);
    }
}
