//! A service of the merged tree as a typed one: what its containers are. Parts with many forms have their own files.

use super::forms::{Separator, listed, named, pairs};
use super::load::Scope;
use super::model::{Condition, ContainerModel, Dependency, ImageRef, PullPolicy, ReleaseKnobs, Restart, Service};
use super::objects::Objects;
use super::support::{Section, judge};
use super::units::{UnitError, duration_ms};
use super::{deploy, env, health, limits, mounts, networks, ports, shell};
use crate::ids::ServiceName;
use crate::yaml::{Fields, Key, Node, Sink, Value, boolean, did_you_mean, integer, items, parsed, text};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Most copies of a service on one host.
pub(super) const REPLICAS_MAX: i64 = 100;

/// What the parts of a service need to know.
pub(super) struct Context<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) objects: &'a Objects,
    pub(super) name: &'a ServiceName,
    pub(super) env_files: &'a RefCell<env::EnvFiles>,
}

/// Reads a service. What is wrong is in the sink; `None` only when there is no image to build on.
pub(super) fn read(context: &Context<'_>, (key, node): (&Key, &Node), sink: &mut Sink) -> Option<Service> {
    let title = format!("the service `{}`", context.name);
    if node.is_null() {
        sink.push(key.span.error("missing_key", format!("`image` is missing in {title}")));
        return None;
    }
    let mut fields = Fields::of(node, &title, sink)?;
    let image = image(&mut fields, key, sink);
    let mut container = ContainerModel::new(image.clone().unwrap_or_else(placeholder));
    process(&mut fields, &mut container, sink);
    environment(context, &mut fields, &mut container, sink);
    container.labels = labels(&mut fields, sink);
    container.healthcheck = fields.with("healthcheck", sink, health::read);
    ports::read(&mut fields, &mut container, sink);
    networks::attach(context, &mut fields, &mut container, sink);
    mounts::read(context, &mut fields, &mut container, sink);
    limits::read(&mut fields, &mut container, sink);
    let depends_on = fields.with("depends_on", sink, depends_on).unwrap_or_default();
    let pull_policy = fields.with("pull_policy", sink, pull_policy).unwrap_or_default();
    let release = fields.with("x-tidegate", sink, knobs).unwrap_or_default();
    let deployed = deploy::read(&mut fields, &mut container, sink);
    let replicas = replicas(&mut fields, deployed.replicas, sink);
    container_name(&mut fields, replicas, &mut container, sink);
    fields.some("profiles");
    fields.finish_with(|entry| judge(Section::Service, entry), sink);
    image?;
    Some(Service {
        container,
        replicas,
        depends_on,
        pull_policy,
        update: deployed.update,
        rollback: deployed.rollback,
        constraints: deployed.constraints,
        labels: deployed.labels,
        release,
    })
}

/// Stands for an image that could not be read; never leaves this file, because its absence is an error.
fn placeholder() -> ImageRef {
    ImageRef { registry: String::new(), repository: String::new(), tag: None, digest: None }
}

fn image(fields: &mut Fields<'_>, key: &Key, sink: &mut Sink) -> Option<ImageRef> {
    match fields.some("image") {
        Some(node) => parsed(node, "bad_image", sink),
        None => {
            let finding = key.span.error("missing_key", format!("`image` is missing in the service `{}`", key.text));
            sink.push(finding.hint("name the image that runs, such as `registry.example.org/shop/web:1.4.2`"));
            None
        }
    }
}

/// What runs and as whom.
fn process(fields: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) {
    container.command = fields.with("command", sink, command);
    container.entrypoint = fields.with("entrypoint", sink, command);
    container.working_dir = fields.with("working_dir", sink, absolute);
    container.user = fields.text("user", sink);
    container.hostname = fields.with("hostname", sink, hostname);
    container.init = fields.boolean("init", sink);
    container.read_only = fields.boolean("read_only", sink).unwrap_or_default();
    container.stop_signal = fields.with("stop_signal", sink, signal);
    container.stop_grace_period_ms = fields.with("stop_grace_period", sink, duration);
    container.restart = fields.with("restart", sink, restart).unwrap_or_default();
}

/// A duration in milliseconds.
pub(super) fn duration(node: &Node, sink: &mut Sink) -> Option<u64> {
    by_unit(node, duration_ms, sink)
}

/// A value with a unit.
pub(super) fn by_unit<T>(node: &Node, read: fn(&str) -> Result<T, UnitError>, sink: &mut Sink) -> Option<T> {
    match read(text(node, sink)?) {
        Ok(value) => Some(value),
        Err(error) => {
            sink.push(node.span.error("bad_value", error.to_string()));
            None
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(node: &Node, words: &[(&str, T)], sink: &mut Sink) -> Option<T> {
    let written = text(node, sink)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == written) {
        return Some(*value);
    }
    let listed: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let finding = node.span.error("bad_value", format!("`{}` is not one of {}", cut(written), listed.join(", ")));
    let near = did_you_mean(written, words.iter().map(|(word, _)| *word));
    sink.push(finding.hint_if(near.map(|near| format!("did you mean `{near}`?"))));
    None
}

/// At most 60 characters of a text, for messages.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A command as one line or as a list.
fn command(node: &Node, sink: &mut Sink) -> Option<Vec<String>> {
    if let Value::Sequence(parts) = &node.value {
        return parts.iter().map(|part| scalar_or_empty(part, sink)).collect();
    }
    let line = text(node, sink)?;
    match shell::split(line) {
        Ok(words) => Some(words),
        Err(reason) => {
            let hint = "write it as a list, or run a shell: `[\"sh\", \"-c\", \"…\"]`";
            sink.push(node.span.error("bad_command", format!("this command cannot be split into words: {reason}")).hint(hint));
            None
        }
    }
}

/// Text, also an empty one in quotes.
pub(super) fn scalar_or_empty(node: &Node, sink: &mut Sink) -> Option<String> {
    text(node, sink).map(str::to_owned)
}

/// An absolute path inside a container.
pub(super) fn absolute(node: &Node, sink: &mut Sink) -> Option<String> {
    let path = text(node, sink)?;
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    sink.push(node.span.error("bad_value", format!("`{}` is not an absolute path", cut(path))).hint("begin with `/`"));
    None
}

fn hostname(node: &Node, sink: &mut Sink) -> Option<String> {
    let name = text(node, sink)?;
    let label =
        |part: &str| !part.is_empty() && part.len() <= 63 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if name.len() <= 253 && name.split('.').all(label) {
        return Some(name.to_owned());
    }
    sink.push(node.span.error("bad_value", format!("`{}` is not a host name", cut(name))));
    None
}

fn signal(node: &Node, sink: &mut Sink) -> Option<String> {
    let name = text(node, sink)?;
    let number = name.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let upper = name.to_ascii_uppercase();
    let word = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = word.len() <= 12 && word.starts_with(|c: char| c.is_ascii_alphabetic());
    if number {
        return Some(name.to_owned());
    }
    if known && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-')) {
        return Some(format!("SIG{word}"));
    }
    sink.push(node.span.error("bad_value", format!("`{}` is not a signal", cut(name))).hint("use a name such as `SIGTERM`, or a number"));
    None
}

fn restart(node: &Node, sink: &mut Sink) -> Option<Restart> {
    let written = text(node, sink)?;
    if let Some(attempts) = written.strip_prefix("on-failure:") {
        if let Ok(attempts) = attempts.parse() {
            return Some(Restart::OnFailure(Some(attempts)));
        }
        let finding = node.span.error("bad_value", "after `on-failure:` comes the number of attempts");
        sink.push(finding.hint("write `on-failure:3`, for example"));
        return None;
    }
    let words = [
        ("no", Restart::No),
        ("always", Restart::Always),
        ("unless-stopped", Restart::UnlessStopped),
        ("on-failure", Restart::OnFailure(None)),
    ];
    word(node, &words, sink)
}

fn environment(context: &Context<'_>, fields: &mut Fields<'_>, container: &mut ContainerModel, sink: &mut Sink) {
    if let Some(node) = fields.some("env_file") {
        container.environment = env::files(context, node, sink);
    }
    container.unshown.0 = container.environment.keys().cloned().collect();
    if let Some(node) = fields.some("environment") {
        let inline = env::inline(context, node, sink);
        container.unshown.0.retain(|name| !inline.contains_key(name));
        container.environment.extend(inline);
    }
}

/// `labels` as a list or mapping; what is ours may not be set.
pub(super) fn labels(fields: &mut Fields<'_>, sink: &mut Sink) -> BTreeMap<String, String> {
    let Some(node) = fields.some("labels") else { return BTreeMap::new() };
    let mut labels = BTreeMap::new();
    for (key, value) in pairs(node, Separator::Equals, sink) {
        if ["tidegate.", "com.docker.compose."].iter().any(|prefix| key.text.starts_with(prefix)) {
            let finding = key.span.error("reserved_label", format!("the label `{}` is reserved", cut(&key.text)));
            sink.push(finding.hint("labels that begin with `tidegate.` or `com.docker.compose.` are set by Tidegate"));
        } else if key.text.is_empty() {
            sink.push(key.span.error("bad_value", "a label needs a name"));
        } else if value.is_null() {
            labels.insert(key.text, String::new());
        } else if let Some(value) = text(&value, sink) {
            labels.insert(key.text, value.to_owned());
        }
    }
    labels
}

fn depends_on(node: &Node, sink: &mut Sink) -> Option<BTreeMap<ServiceName, Dependency>> {
    let mut dependencies = BTreeMap::new();
    for (key, value) in named(node, sink) {
        let dependency = match value.is_null() {
            true => Some(Dependency { condition: Condition::ServiceStarted, required: true }),
            false => dependency(&value, sink),
        };
        match ServiceName::try_from(key.text.as_str()) {
            Ok(name) => dependencies.extend(dependency.map(|dependency| (name, dependency))),
            Err(error) => sink.push(key.span.error("bad_name", error.to_string())),
        }
    }
    Some(dependencies)
}

fn dependency(node: &Node, sink: &mut Sink) -> Option<Dependency> {
    let mut fields = Fields::of(node, "an entry of `depends_on`", sink)?;
    let words = [
        ("service_started", Condition::ServiceStarted),
        ("service_healthy", Condition::ServiceHealthy),
        ("service_completed_successfully", Condition::ServiceCompletedSuccessfully),
    ];
    let condition = match fields.some("condition") {
        Some(node) => word(node, &words, sink)?,
        None => Condition::ServiceStarted,
    };
    let required = fields.boolean("required", sink).unwrap_or(true);
    if let Some(node) = fields.some("restart")
        && boolean(node, sink) == Some(true)
    {
        let finding = node.span.error("refused_attribute", "`restart: true` of `depends_on` is not supported");
        sink.push(finding.hint("remove it: a service is replaced when its own definition changes"));
    }
    fields.finish(sink);
    Some(Dependency { condition, required })
}

fn pull_policy(node: &Node, sink: &mut Sink) -> Option<PullPolicy> {
    let written = text(node, sink)?;
    if written == "build" {
        let finding = node.span.error("refused_attribute", "`pull_policy: build` is refused: images come from a registry");
        sink.push(finding.hint("use `missing`, `always` or `never`"));
        return None;
    }
    if let Some(every) = written.strip_prefix("every_") {
        return match duration_ms(every) {
            Ok(_) => Some(PullPolicy::Always),
            Err(error) => {
                sink.push(node.span.error("bad_value", error.to_string()));
                None
            }
        };
    }
    let words = [
        ("missing", PullPolicy::Missing),
        ("if_not_present", PullPolicy::Missing),
        ("always", PullPolicy::Always),
        // The registry is asked whenever a container is made, and so at least that often.
        ("daily", PullPolicy::Always),
        ("weekly", PullPolicy::Always),
        ("never", PullPolicy::Never),
    ];
    word(node, &words, sink)
}

fn knobs(node: &Node, sink: &mut Sink) -> Option<ReleaseKnobs> {
    let mut fields = Fields::of(node, "`x-tidegate`", sink)?;
    let bake_ms = fields.with("bake", sink, duration);
    let health_timeout_ms = fields.with("health_timeout", sink, duration);
    fields.finish(sink);
    Some(ReleaseKnobs { bake_ms, health_timeout_ms })
}

fn replicas(fields: &mut Fields<'_>, deployed: Option<u32>, sink: &mut Sink) -> u32 {
    let scale: Option<(&Node, u32)> = fields.some("scale").and_then(|node| Some((node, integer(node, 0..=REPLICAS_MAX, sink)?)));
    match (scale, deployed) {
        (Some((node, scale)), Some(replicas)) if scale != replicas => {
            let finding = node.span.error("conflict", format!("`scale` says {scale}, `deploy.replicas` says {replicas}"));
            sink.push(finding.hint("keep one of them"));
            replicas
        }
        (_, Some(replicas)) | (Some((_, replicas)), None) => replicas,
        (None, None) => 1,
    }
}

fn container_name(fields: &mut Fields<'_>, replicas: u32, container: &mut ContainerModel, sink: &mut Sink) {
    let Some(node) = fields.some("container_name") else { return };
    let Some(name) = text(node, sink) else { return };
    let fine = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (2..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !fine {
        sink.push(node.span.error("bad_value", format!("`{}` is not a container name", cut(name))));
    } else if replicas > 1 {
        let finding = node.span.error("conflict", format!("one name for {replicas} containers"));
        sink.push(finding.hint("remove `container_name`, or run one copy"));
    } else {
        container.container_name = Some(name.to_owned());
    }
}

/// A list of texts as a set; duplicates are one.
pub(super) fn text_set(node: &Node, sink: &mut Sink) -> BTreeSet<String> {
    items(node, sink).iter().filter_map(|item| scalar_or_empty(item, sink)).collect()
}

/// One text or a list, in order, without duplicates.
pub(super) fn text_list(node: &Node, sink: &mut Sink) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for item in listed(node) {
        found.extend(scalar_or_empty(&item, sink).filter(|text| !found.contains(text)));
    }
    found
}
