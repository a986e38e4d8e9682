//! Merging against a model of its own, for the attributes whose rules are their own: logging, depends_on, ulimits,
//! env_file, tmpfs, configs, secrets, extra_hosts, sysctls, devices, security_opt; and for tags below an attribute. The
//! others are in `compose_model.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failing test")]

mod support;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::files;
use tidegate_core::compose::{Condition, MountSource, StackModel, resolve_stack};
use tidegate_core::findings::Finding;

/// A tag of an override file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Plain,
    Reset,
    Override,
}

impl How {
    fn tag(self, tags: bool) -> &'static str {
        match self {
            _ if !tags => "",
            How::Plain => "",
            How::Reset => "!reset ",
            How::Override => "!override ",
        }
    }
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![6 => Just(How::Plain), 1 => Just(How::Reset), 1 => Just(How::Override)]
}

/// Entries by key, in the mapping or the list form. Only an entry of a mapping can have a tag of its own.
#[derive(Debug, Clone)]
struct Keyed<V> {
    entries: Vec<(&'static str, V, How)>,
    list: bool,
    how: How,
}

fn keyed<V: std::fmt::Debug + Clone>(
    keys: &'static [&'static str],
    value: impl Strategy<Value = V> + Clone,
) -> impl Strategy<Value = Option<Keyed<V>>> {
    let entries = vec((prop::sample::select(keys), value, how()), 0..4).prop_map(|entries| {
        let mut seen = BTreeSet::new();
        entries.into_iter().filter(|(key, ..)| seen.insert(*key)).collect()
    });
    of((entries, any::<bool>(), how()).prop_map(|(entries, list, how)| Keyed { entries, list, how }))
}

impl<V: Clone> Keyed<V> {
    fn mapping(&self, tags: bool, show: impl Fn(&V) -> String) -> String {
        let entry = |(key, value, how): &(&str, V, How)| format!("\"{key}\": {}{}", how.tag(tags), show(value));
        format!("{}{{ {} }}", self.how.tag(tags), self.entries.iter().map(entry).collect::<Vec<_>>().join(", "))
    }

    fn list(&self, tags: bool, show: impl Fn(&str, &V) -> String) -> String {
        let items: Vec<String> = self.entries.iter().map(|(key, value, _)| show(key, value)).collect();
        format!("{}[{}]", self.how.tag(tags), items.join(", "))
    }

    /// Lays it over what is there; `join` is how two values of one key become one.
    fn over(&self, found: &mut BTreeMap<String, V>, tags: bool, join: impl Fn(&V, &V) -> V) {
        let how = if tags { self.how } else { How::Plain };
        if how != How::Plain {
            found.clear();
        }
        for (key, value, entry) in self.entries.iter().filter(|_| how != How::Reset) {
            let value = match (if tags && !self.list { *entry } else { How::Plain }, found.get(*key)) {
                (How::Reset, _) => {
                    found.remove(*key);
                    continue;
                }
                (How::Plain, Some(earlier)) => join(earlier, value),
                (How::Plain | How::Override, _) => value.clone(),
            };
            found.insert((*key).to_owned(), value);
        }
    }
}

fn later<V: Clone>(_: &V, later: &V) -> V {
    later.clone()
}

/// Driver, options, and the tag of the whole.
type LoggingSaid = (Option<&'static str>, Option<Keyed<u8>>, How);

/// What one file says.
#[derive(Debug, Clone)]
struct Layer {
    logging: Option<LoggingSaid>,
    depends_on: Option<Keyed<(Option<u8>, Option<bool>)>>,
    ulimits: Option<Keyed<(u8, Option<u8>)>>,
    env_file: Option<(Vec<(u8, bool)>, How)>,
    tmpfs: Option<Keyed<u8>>,
    configs: Option<Keyed<u8>>,
    secrets: Option<Keyed<u8>>,
    extra_hosts: Option<Keyed<Vec<u8>>>,
    sysctls: Option<Keyed<u8>>,
    devices: Option<Keyed<(u8, &'static str)>>,
    security_opt: Option<(Vec<&'static str>, How)>,
}

prop_compose! {
    fn layer()(
        logging in of((of(prop::sample::select(vec!["json-file", "journald"])), keyed(&["max-size", "tag"], 1_u8..9), how())),
        depends_on in keyed(&["db", "cache"], (of(0_u8..3), of(any::<bool>()))),
        ulimits in keyed(&["nofile", "nproc"], (1_u8..5, of(5_u8..9))),
        env_file in of((vec((0_u8..3, any::<bool>()), 0..3), how())),
        tmpfs in keyed(&["/run", "/tmp"], 1_u8..9),
        configs in keyed(&["/one", "/etc/two", "/three/"], 0_u8..2),
        secrets in keyed(&["one", "two", "/run/secrets/one", "/abs"], 0_u8..2),
        extra_hosts in keyed(&["one", "two"], vec(1_u8..9, 1..3)),
        sysctls in keyed(&["net.core.somaxconn", "net.ipv4.tcp_syncookies"], 1_u8..9),
        devices in keyed(&["/dev/a", "/dev/b"], (0_u8..3, prop::sample::select(vec!["r", "rw", "rwm"]))),
        security_opt in of((vec(prop::sample::select(vec!["no-new-privileges:true", "label=disable"]), 0..3), how())),
    ) -> Layer {
        Layer { logging, depends_on, ulimits, env_file, tmpfs, configs, secrets, extra_hosts, sysctls, devices, security_opt }
    }
}

const CONDITIONS: [(&str, Condition); 3] = [
    ("service_started", Condition::ServiceStarted),
    ("service_healthy", Condition::ServiceHealthy),
    ("service_completed_successfully", Condition::ServiceCompletedSuccessfully),
];

/// Where a secret ends up.
fn secret_at(target: &str) -> String {
    if target.starts_with('/') { target.to_owned() } else { format!("/run/secrets/{target}") }
}

impl Layer {
    /// As it can be written: two secrets of one file at one place are a mistake, which is not the matter of this test, and
    /// most attributes have one form only.
    fn writable(mut self) -> Layer {
        if let Some(secrets) = &mut self.secrets {
            let mut seen = BTreeSet::new();
            secrets.entries.retain(|(target, ..)| seen.insert(secret_at(target)));
        }
        for list in [&mut self.tmpfs, &mut self.configs, &mut self.secrets].into_iter().flatten() {
            list.list = true;
        }
        self.devices.iter_mut().for_each(|devices| devices.list = true);
        // These have no list form.
        self.ulimits.iter_mut().for_each(|ulimits| ulimits.list = false);
        self.logging.iter_mut().flat_map(|(_, options, _)| options).for_each(|options| options.list = false);
        if let Some(depends_on) = self.depends_on.as_mut().filter(|depends_on| depends_on.list) {
            depends_on.entries.iter_mut().for_each(|(_, meant, _)| *meant = (Some(0), Some(true)));
        }
        self
    }

    fn lines(&self, tags: bool) -> String {
        let mut out = String::new();
        let mut add = |name: &str, text: Option<String>| out.extend(text.map(|text| format!("    {name}: {text}\n")));
        add("logging", self.logging.as_ref().map(|logging| logging_text(logging, tags)));
        add("depends_on", self.depends_on.as_ref().map(|found| dependencies_text(found, tags)));
        let ulimit = |(soft, hard): &(u8, Option<u8>)| match hard {
            Some(hard) => format!("{{ soft: {soft}, hard: {hard} }}"),
            None => soft.to_string(),
        };
        add("ulimits", self.ulimits.as_ref().map(|found| found.mapping(tags, ulimit)));
        add("env_file", self.env_file.as_ref().map(|(files, how)| env_files_text(files, how.tag(tags))));
        add("tmpfs", self.tmpfs.as_ref().map(|found| found.list(tags, |target, size| format!("\"{target}:size={size}m\""))));
        let mounted = |target: &str, source: &u8| format!("{{ source: f{source}, target: {target} }}");
        add("configs", self.configs.as_ref().map(|found| found.list(tags, mounted)));
        add("secrets", self.secrets.as_ref().map(|found| found.list(tags, mounted)));
        add("extra_hosts", self.extra_hosts.as_ref().map(|found| hosts_text(found, tags)));
        let sysctl = |key: &str, value: &u8| format!("{key}={value}");
        let sysctls = |found: &Keyed<u8>| if found.list { found.list(tags, sysctl) } else { found.mapping(tags, u8::to_string) };
        add("sysctls", self.sysctls.as_ref().map(sysctls));
        let device = |target: &str, (host, rights): &(u8, &str)| format!("\"/dev/h{host}:{target}:{rights}\"");
        add("devices", self.devices.as_ref().map(|found| found.list(tags, device)));
        add("security_opt", self.security_opt.as_ref().map(|(options, how)| format!("{}[{}]", how.tag(tags), quoted(options))));
        out
    }
}

fn quoted(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

fn logging_text((driver, options, how): &LoggingSaid, tags: bool) -> String {
    let driver = driver.map(|driver| format!("driver: {driver}"));
    let options = options.as_ref().map(|options| format!("options: {}", options.mapping(tags, |value| format!("\"{value}\""))));
    format!("{}{{ {} }}", how.tag(tags), [driver, options].into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn dependencies_text(found: &Keyed<(Option<u8>, Option<bool>)>, tags: bool) -> String {
    let entry = |(condition, required): &(Option<u8>, Option<bool>)| {
        let condition = condition.map(|at| format!("condition: {}", CONDITIONS[usize::from(at)].0));
        let required = required.map(|required| format!("required: {required}"));
        format!("{{ {} }}", [condition, required].into_iter().flatten().collect::<Vec<_>>().join(", "))
    };
    if found.list { found.list(tags, |name, _| name.to_owned()) } else { found.mapping(tags, entry) }
}

fn env_files_text(files: &[(u8, bool)], tag: &str) -> String {
    let file = |(number, long): &(u8, bool)| if *long { format!("{{ path: e{number}.env }}") } else { format!("e{number}.env") };
    match files {
        [(number, false)] => format!("{tag}e{number}.env"),
        files => format!("{tag}[{}]", files.iter().map(file).collect::<Vec<_>>().join(", ")),
    }
}

fn hosts_text(found: &Keyed<Vec<u8>>, tags: bool) -> String {
    let addresses = |numbers: &Vec<u8>| numbers.iter().map(|number| format!("192.0.2.{number}")).collect::<Vec<_>>();
    if found.list {
        found.list(tags, |name, numbers| {
            addresses(numbers).into_iter().map(|address| format!("\"{name}:{address}\"")).collect::<Vec<_>>().join(", ")
        })
    } else {
        found.mapping(tags, |numbers| format!("[{}]", addresses(numbers).join(", ")))
    }
}

/// What all files say together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Together {
    driver: Option<String>,
    options: BTreeMap<String, u8>,
    depends_on: BTreeMap<String, (Option<u8>, Option<bool>)>,
    ulimits: BTreeMap<String, (u8, Option<u8>)>,
    env_files: Vec<u8>,
    tmpfs: BTreeMap<String, u8>,
    /// Configs and secrets by where they end up, with their source.
    files: BTreeMap<String, u8>,
    configs: BTreeMap<String, u8>,
    secrets: BTreeMap<String, u8>,
    extra_hosts: BTreeMap<String, Vec<u8>>,
    sysctls: BTreeMap<String, u8>,
    devices: BTreeMap<String, (u8, &'static str)>,
    security_opt: BTreeSet<String>,
}

impl Together {
    fn lay_over(&mut self, layer: &Layer, tags: bool) {
        self.logging(layer, tags);
        if let Some(found) = &layer.depends_on {
            found.over(&mut self.depends_on, tags, |earlier, later| (later.0.or(earlier.0), later.1.or(earlier.1)));
        }
        layer.ulimits.iter().for_each(|found| found.over(&mut self.ulimits, tags, later));
        layer.tmpfs.iter().for_each(|found| found.over(&mut self.tmpfs, tags, later));
        layer.configs.iter().for_each(|found| found.over(&mut self.configs, tags, later));
        layer.extra_hosts.iter().for_each(|found| found.over(&mut self.extra_hosts, tags, later));
        layer.sysctls.iter().for_each(|found| found.over(&mut self.sysctls, tags, later));
        layer.devices.iter().for_each(|found| found.over(&mut self.devices, tags, later));
        if let Some(found) = &layer.secrets {
            let mut placed = found.clone();
            let places: Vec<String> = placed.entries.iter().map(|(target, ..)| secret_at(target)).collect();
            placed.entries.clear();
            placed.over(&mut self.secrets, tags, later);
            if !(tags && found.how == How::Reset) {
                self.secrets.extend(places.into_iter().zip(found.entries.iter().map(|(_, source, _)| *source)));
            }
        }
        if let Some((files, how)) = &layer.env_file {
            let how = if tags { *how } else { How::Plain };
            if how != How::Plain {
                self.env_files.clear();
            }
            self.env_files.extend(files.iter().filter(|_| how != How::Reset).map(|(number, _)| *number));
        }
        if let Some((options, how)) = &layer.security_opt {
            let how = if tags { *how } else { How::Plain };
            if how != How::Plain {
                self.security_opt.clear();
            }
            self.security_opt.extend(options.iter().filter(|_| how != How::Reset).map(|option| (*option).to_owned()));
        }
    }

    /// Options belong to a driver: another driver takes none over.
    fn logging(&mut self, layer: &Layer, tags: bool) {
        let Some((driver, options, how)) = &layer.logging else { return };
        let how = if tags { *how } else { How::Plain };
        let other = driver.is_some_and(|driver| self.driver.as_deref().is_some_and(|earlier| earlier != driver));
        if how != How::Plain || other {
            (self.driver, self.options) = (None, BTreeMap::new());
        }
        if how != How::Reset {
            self.driver = driver.map(str::to_owned).or(self.driver.take());
            options.iter().for_each(|options| options.over(&mut self.options, tags, later));
        }
    }

    /// In the words of the model.
    fn finished(mut self) -> Together {
        let trimmed = |(target, source): (String, u8)| (target.trim_end_matches('/').to_owned(), source);
        self.files = std::mem::take(&mut self.configs).into_iter().chain(std::mem::take(&mut self.secrets)).map(trimmed).collect();
        self.depends_on.values_mut().for_each(|(condition, required)| {
            *condition = condition.or(Some(0));
            *required = required.or(Some(true));
        });
        self.ulimits.values_mut().for_each(|(soft, hard)| *hard = hard.or(Some(*soft)));
        // Values are compared, which later files give.
        let mut environment: BTreeMap<u8, u8> = BTreeMap::new();
        self.env_files.iter().for_each(|number| environment.extend([(*number, *number), (100, *number)]));
        self.env_files = environment.into_iter().flat_map(|(key, value)| [key, value]).collect();
        self.extra_hosts
            .values_mut()
            .for_each(|numbers| *numbers = numbers.iter().copied().collect::<BTreeSet<u8>>().into_iter().collect());
        self
    }

    fn of(model: &StackModel) -> Together {
        let service = &model.services["web"];
        let container = &service.container;
        let number = |text: &str| text.parse::<u8>().unwrap();
        let condition = |condition| CONDITIONS.iter().position(|(_, known)| *known == condition).and_then(|at| u8::try_from(at).ok());
        let mut found = Together {
            driver: container.logging.as_ref().map(|logging| logging.driver.clone()),
            depends_on: service
                .depends_on
                .iter()
                .map(|(name, on)| (name.to_string(), (condition(on.condition), Some(on.required))))
                .collect(),
            sysctls: container.sysctls.iter().map(|(key, value)| (key.clone(), number(value))).collect(),
            security_opt: container.security_opt.clone(),
            ..Together::default()
        };
        let options = container.logging.iter().flat_map(|logging| &logging.options);
        found.options = options.map(|(key, value)| (key.clone(), number(value))).collect();
        let small = |limit: i64| u8::try_from(limit).unwrap();
        found.ulimits =
            container.ulimits.iter().map(|(name, limit)| (name.clone(), (small(limit.soft), Some(small(limit.hard))))).collect();
        let variable = |name: &str| if name == "X" { 100 } else { number(&name[1..]) };
        found.env_files =
            container.environment.iter().map(|(name, value)| [variable(name), number(value)]).collect::<BTreeSet<_>>().into_flattened();
        for mount in &container.mounts {
            match &mount.source {
                MountSource::Tmpfs { size_bytes, .. } => {
                    found.tmpfs.insert(mount.target.clone(), u8::try_from(size_bytes.unwrap() >> 20).unwrap());
                }
                MountSource::Repo { path, .. } => drop(found.files.insert(mount.target.clone(), number(&path.file_name()[1..]))),
                other => panic!("{other:?}"),
            }
        }
        for (name, address) in container.extra_hosts.iter().map(|host| host.split_once(':').unwrap()) {
            found.extra_hosts.entry(name.to_owned()).or_default().push(number(address.rsplit('.').next().unwrap()));
        }
        for device in &container.devices {
            let rights = ["r", "rw", "rwm"].into_iter().find(|rights| *rights == device.permissions).unwrap();
            found.devices.insert(device.container.clone(), (number(&device.host["/dev/h".len()..]), rights));
        }
        found
    }
}

trait Flattened {
    fn into_flattened(self) -> Vec<u8>;
}

impl Flattened for BTreeSet<[u8; 2]> {
    fn into_flattened(self) -> Vec<u8> {
        self.into_iter().flatten().collect()
    }
}

const HEAD: &str = "services:\n  db: { image: d }\n  cache: { image: c }\n";
const TAIL: &str = "configs: { f0: { file: ./f0 }, f1: { file: ./f1 } }\nsecrets: { f0: { file: ./f0 }, f1: { file: ./f1 } }\n";

fn resolve(listed: &[(&str, &str)]) -> Result<StackModel, Vec<Finding>> {
    let mut all = vec![("stacks/shop/f0", "0"), ("stacks/shop/f1", "1")];
    all.extend([("stacks/shop/e0.env", "E0=0\nX=0\n"), ("stacks/shop/e1.env", "E1=1\nX=1\n"), ("stacks/shop/e2.env", "E2=2\nX=2\n")]);
    all.extend(listed);
    resolve_stack(&files(&all), &"production".parse().unwrap(), &"shop".parse().unwrap())
}

/// What is expected; none: options without a driver, which is an error of its own.
fn expected(base: &Layer, over: &Layer) -> Option<Together> {
    let mut together = Together::default();
    together.lay_over(base, false);
    together.lay_over(over, true);
    (together.driver.is_some() || together.options.is_empty()).then(|| together.finished())
}

fn check(found: Result<StackModel, Vec<Finding>>, expected: Option<Together>, written: &str) -> Result<(), TestCaseError> {
    match (found, expected) {
        (Ok(model), Some(expected)) => prop_assert_eq!(Together::of(&model), expected, "{}", written),
        (Err(findings), None) => prop_assert!(findings.iter().all(|f| f.message.contains("logging.driver")), "{findings:#?}\n{written}"),
        (found, expected) => prop_assert!(false, "{found:#?}\nexpected {expected:#?}\n{written}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_override_file_is_laid_over_as_plain_data_would_be(base in layer(), over in layer()) {
        let (base, over) = (base.writable(), over.writable());
        let compose = format!("{HEAD}  web:\n    image: x\n{}{TAIL}", base.lines(false));
        let over_text = format!("services:\n  web:\n    image: x\n{}", over.lines(true));
        let found = resolve(&[("stacks/shop/compose.yaml", &compose), ("stacks/shop/compose.production.yaml", &over_text)]);
        check(found, expected(&base, &over), &format!("{compose}\n{over_text}"))?;
    }

    #[test]
    fn a_service_is_laid_over_what_it_extends_in_the_same_way(base in layer(), over in layer()) {
        let (base, over) = (base.writable(), over.writable());
        let part = format!("{HEAD}  base:\n    image: x\n{}{TAIL}", base.lines(false));
        let compose = format!("{HEAD}  web:\n    extends: {{ file: part.yaml, service: base }}\n{}{TAIL}", over.lines(true));
        let found = resolve(&[("stacks/shop/compose.yaml", &compose), ("stacks/shop/part.yaml", &part)]);
        check(found, expected(&base, &over), &format!("{part}\n{compose}"))?;
    }
}
