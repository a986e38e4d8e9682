//! A container's model as the engine's create request. Every attribute of the model is used here, none is guessed.
//!
//! Mounts go through `HostConfig.Mounts`, never `Binds`: a source that is missing is then an error and not a new empty
//! folder that belongs to root.

use super::labels;
use crate::engine::Belongs;
use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount as EngineMount,
    MountTmpfsOptions, MountType, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tidegate_core::compose::{Attachment, ContainerModel, HealthTest, Healthcheck, Mount, MountSource, Port, Protocol, Restart};
use tidegate_core::desired::DesiredContainer;

/// The engine counts health times in billionths of a second.
const NANOS_PER_MILLI: u64 = 1_000_000;

/// What a request is made with, beside the container.
pub(super) struct Context<'a> {
    pub(super) scope: &'a str,
    pub(super) belongs: &'a Belongs,
    /// Where repo files lie, by content id.
    pub(super) files: &'a Path,
    /// How many networks the engine takes at once; the rest is attached afterwards.
    pub(super) networks_max: usize,
}

pub(super) fn build(container: &DesiredContainer, context: &Context<'_>) -> ContainerCreateBody {
    let model = &container.model;
    ContainerCreateBody {
        image: Some(model.image.for_engine()),
        cmd: model.command.clone(),
        entrypoint: model.entrypoint.clone().map(entrypoint),
        env: some(model.environment.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        working_dir: model.working_dir.clone(),
        user: model.user.clone(),
        hostname: model.hostname.clone(),
        labels: Some(labels::of_container(context.scope, container, context.belongs)),
        stop_signal: model.stop_signal.clone(),
        stop_timeout: model.stop_grace_period_ms.map(|ms| signed(ms.div_ceil(1000))),
        healthcheck: model.healthcheck.as_ref().map(health),
        exposed_ports: some(exposed(model)),
        networking_config: networking(model, context.networks_max),
        host_config: Some(host_config(model, context.files)),
        ..Default::default()
    }
}

fn host_config(model: &ContainerModel, files: &Path) -> HostConfig {
    HostConfig {
        network_mode: Some(model.networks.keys().next().cloned().unwrap_or_else(|| "none".to_owned())),
        init: model.init,
        readonly_rootfs: Some(model.read_only),
        restart_policy: Some(restart(model.restart)),
        port_bindings: (!model.ports.is_empty()).then(|| bindings(&model.ports)),
        mounts: some(model.mounts.iter().filter(|m| tmpfs(m).is_none()).map(|m| mount(m, files)).collect()),
        tmpfs: some_map(&model.mounts.iter().filter_map(tmpfs).collect()),
        extra_hosts: some(model.extra_hosts.iter().cloned().collect()),
        dns: some(model.dns.clone()),
        ulimits: some(ulimits(model)),
        cap_add: some(model.cap_add.iter().cloned().collect()),
        cap_drop: some(model.cap_drop.iter().cloned().collect()),
        security_opt: some(model.security_opt.iter().cloned().collect()),
        devices: some(devices(model)),
        shm_size: model.shm_size_bytes.map(signed),
        sysctls: some_map(&model.sysctls),
        log_config: model
            .logging
            .as_ref()
            .map(|l| HostConfigLogConfig { typ: Some(l.driver.clone()), config: Some(l.options.clone().into_iter().collect()) }),
        memory: model.memory_bytes.map(signed),
        memory_reservation: model.memory_reservation_bytes.map(signed),
        nano_cpus: model.nano_cpus.map(signed),
        pids_limit: model.pids_limit,
        ..Default::default()
    }
}

/// An empty entry point clears the image's; to the engine that is one empty word, for it takes no words as "inherit".
fn entrypoint(words: Vec<String>) -> Vec<String> {
    if words.is_empty() { vec![String::new()] } else { words }
}

fn health(check: &Healthcheck) -> HealthConfig {
    let nanos = |ms: Option<u64>| ms.map(|ms| signed(ms.saturating_mul(NANOS_PER_MILLI)));
    let test = match &check.test {
        HealthTest::Disabled => vec!["NONE".to_owned()],
        HealthTest::Inherit => Vec::new(),
        HealthTest::Cmd(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
        HealthTest::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    HealthConfig {
        test: Some(test),
        interval: nanos(check.interval_ms),
        timeout: nanos(check.timeout_ms),
        retries: check.retries.map(i64::from),
        start_period: nanos(check.start_period_ms),
        start_interval: nanos(check.start_interval_ms),
    }
}

fn restart(policy: Restart) -> RestartPolicy {
    let (name, count) = match policy {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(count) => (RestartPolicyNameEnum::ON_FAILURE, count.map(i64::from)),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: count }
}

fn port_key(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.target)
}

/// Published ports are exposed ones too; an exposed port without a protocol is TCP.
fn exposed(model: &ContainerModel) -> Vec<String> {
    let written = model.expose.iter().map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
    let mut all: Vec<String> = written.chain(model.ports.iter().map(port_key)).collect();
    all.sort();
    all.dedup();
    all
}

fn bindings(ports: &[Port]) -> PortMap {
    let mut map = PortMap::new();
    for port in ports {
        let binding =
            PortBinding { host_ip: port.host_ip.clone(), host_port: Some(port.published.map(|p| p.to_string()).unwrap_or_default()) };
        map.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    map
}

fn mount(mount: &Mount, files: &Path) -> EngineMount {
    let plain = |typ: MountType, source: Option<String>| EngineMount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(typ),
        read_only: Some(mount.read_only),
        ..Default::default()
    };
    match &mount.source {
        MountSource::Volume { key } => plain(MountType::VOLUME, Some(key.clone())),
        MountSource::Anonymous => plain(MountType::VOLUME, None),
        MountSource::Bind { path } => plain(MountType::BIND, Some(path.clone())),
        // What git holds is shared by all who have the same content: nobody may write to it.
        MountSource::Repo { content, .. } => {
            let source = files.join(content.as_str()).to_string_lossy().into_owned();
            EngineMount { read_only: Some(true), ..plain(MountType::BIND, Some(source)) }
        }
        MountSource::Tmpfs { size_bytes, mode, .. } => EngineMount {
            tmpfs_options: Some(MountTmpfsOptions { size_bytes: size_bytes.map(signed), mode: mode.map(i64::from), options: None }),
            ..plain(MountType::TMPFS, None)
        },
    }
}

/// Memory with options that `Mounts` cannot say before API 1.46: target and options of the older form.
fn tmpfs(mount: &Mount) -> Option<(String, String)> {
    let MountSource::Tmpfs { size_bytes, mode, options } = &mount.source else { return None };
    if options.is_empty() {
        return None;
    }
    let size = size_bytes.map(|size| format!("size={size}"));
    let mode = mode.map(|mode| format!("mode={mode:o}"));
    let read_only = mount.read_only.then(|| "ro".to_owned());
    let all: Vec<String> = [size, mode, read_only].into_iter().flatten().chain(options.iter().cloned()).collect();
    Some((mount.target.clone(), all.join(",")))
}

fn ulimits(model: &ContainerModel) -> Vec<ResourcesUlimits> {
    let limit = |(name, limit): (&String, &tidegate_core::compose::Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    model.ulimits.iter().map(limit).collect()
}

fn devices(model: &ContainerModel) -> Vec<DeviceMapping> {
    let device = |device: &tidegate_core::compose::Device| DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    };
    model.devices.iter().map(device).collect()
}

fn networking(model: &ContainerModel, networks_max: usize) -> Option<NetworkingConfig> {
    let endpoints: HashMap<_, _> = model.networks.iter().take(networks_max).map(|(name, a)| (name.clone(), endpoint(a))).collect();
    (!endpoints.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(endpoints) })
}

/// How a container is attached to one network.
pub(super) fn endpoint(attachment: &Attachment) -> EndpointSettings {
    EndpointSettings { aliases: some(attachment.aliases.iter().cloned().collect()), ..Default::default() }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.clone().into_iter().collect())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
