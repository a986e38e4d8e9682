//! The parts of a rendered file. Models are taken apart field by field, so that a new field cannot be forgotten here.

use super::Entries;
use super::yaml::Out;
use crate::compose::model::*;

/// A service.
pub(super) fn service(stack: &StackModel, service: &Service) -> Out {
    let Service { container, replicas, depends_on, pull_policy, update, rollback, constraints, labels, release } = service;
    let mut out = container_entries(stack, container);
    out.map("depends_on", depends_on.iter().map(|(name, dependency)| (name.to_string(), dependency_entry(dependency))));
    out.some(
        "pull_policy",
        match pull_policy {
            PullPolicy::Missing => None,
            PullPolicy::Always => Some(Out::text("always")),
            PullPolicy::Never => Some(Out::text("never")),
        },
    );
    let mut deploy = Entries::default();
    deploy.some("replicas", (*replicas != 1).then(|| Out::plain(replicas)));
    deploy.texts("labels", labels);
    deploy.some("update_config", update_config(update));
    deploy.some("rollback_config", update_config(rollback));
    let rules = constraints.iter().map(|rule| {
        let sign = if rule.equal { "==" } else { "!=" };
        Out::text(format!("node.labels.{} {sign} {}", rule.label, rule.value))
    });
    let mut placement = Entries::default();
    placement.list("constraints", rules);
    deploy.some("placement", placement.finish_some());
    out.some("deploy", deploy.finish_some());
    let ReleaseKnobs { bake_ms, health_timeout_ms } = release;
    let mut knobs = Entries::default();
    knobs.some("bake", bake_ms.map(duration));
    knobs.some("health_timeout", health_timeout_ms.map(duration));
    out.some("x-tidegate", knobs.finish_some());
    out.finish()
}

fn dependency_entry(dependency: &Dependency) -> Out {
    let condition = match dependency.condition {
        Condition::ServiceStarted => "service_started",
        Condition::ServiceHealthy => "service_healthy",
        Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
    };
    let mut out = Entries::default();
    out.add("condition", Out::text(condition));
    out.some("required", (!dependency.required).then(|| Out::plain(false)));
    out.finish()
}

fn update_config(update: &UpdateModel) -> Option<Out> {
    let UpdateModel { parallelism, delay_ms, order, monitor_ms } = update;
    let mut out = Entries::default();
    out.some("parallelism", parallelism.map(Out::plain));
    out.some("delay", (*delay_ms > 0).then(|| duration(*delay_ms)));
    out.some(
        "order",
        order.map(|order| match order {
            UpdateOrder::StartFirst => Out::text("start-first"),
            UpdateOrder::StopFirst => Out::text("stop-first"),
        }),
    );
    out.some("monitor", monitor_ms.map(duration));
    out.finish_some()
}

fn duration(ms: u64) -> Out {
    if ms.is_multiple_of(1000) { Out::text(format!("{}s", ms / 1000)) } else { Out::text(format!("{ms}ms")) }
}

fn bytes(bytes: u64) -> Out {
    Out::text(format!("{bytes}b"))
}

fn container_entries(stack: &StackModel, container: &ContainerModel) -> Entries {
    let ContainerModel {
        image,
        command,
        entrypoint,
        environment,
        working_dir,
        user,
        hostname,
        container_name,
        labels,
        init,
        read_only,
        stop_signal,
        stop_grace_period_ms,
        healthcheck,
        restart,
        ports,
        expose,
        networks,
        mounts,
        extra_hosts,
        dns,
        ulimits,
        cap_add,
        cap_drop,
        security_opt,
        devices,
        shm_size_bytes,
        sysctls,
        logging,
        memory_bytes,
        memory_reservation_bytes,
        nano_cpus,
        pids_limit,
        unshown: _,
    } = container;
    let mut out = Entries::default();
    out.add("image", Out::text(image.to_string()));
    out.some("command", command.as_ref().map(Out::texts));
    out.some("entrypoint", entrypoint.as_ref().map(Out::texts));
    out.texts("environment", environment);
    for (key, text) in [("working_dir", working_dir), ("user", user), ("hostname", hostname), ("container_name", container_name)] {
        out.text(key, text.as_ref());
    }
    out.texts("labels", labels);
    out.some("init", init.map(Out::plain));
    out.some("read_only", read_only.then(|| Out::plain(true)));
    out.text("stop_signal", stop_signal.as_ref());
    out.some("stop_grace_period", stop_grace_period_ms.map(duration));
    out.some("healthcheck", healthcheck.as_ref().map(health));
    out.some("restart", restart_policy(*restart));
    out.list("ports", ports.iter().map(port));
    out.list("expose", expose.iter().map(Out::text));
    out.some("networks", attachments(networks));
    volumes(&mut out, stack, mounts);
    out.list("extra_hosts", extra_hosts.iter().map(Out::text));
    out.list("dns", dns.iter().map(Out::text));
    out.map("ulimits", ulimits.iter().map(|(name, limit)| (name.clone(), ulimit(limit))));
    for (key, words) in [("cap_add", cap_add), ("cap_drop", cap_drop), ("security_opt", security_opt)] {
        out.list(key, words.iter().map(Out::text));
    }
    out.list("devices", devices.iter().map(|device| Out::text(format!("{}:{}:{}", device.host, device.container, device.permissions))));
    out.some("shm_size", shm_size_bytes.map(bytes));
    out.texts("sysctls", sysctls);
    out.some("logging", logging.as_ref().map(log));
    out.some("mem_limit", memory_bytes.map(bytes));
    out.some("mem_reservation", memory_reservation_bytes.map(bytes));
    out.some("cpus", nano_cpus.map(cpus));
    out.some("pids_limit", pids_limit.map(Out::plain));
    out
}

/// Billionths of a core as a decimal number, exactly.
fn cpus(nano: u64) -> Out {
    let fraction = format!("{:09}", nano % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    Out::plain(format!("{}.{}", nano / 1_000_000_000, if fraction.is_empty() { "0" } else { fraction }))
}

fn health(check: &Healthcheck) -> Out {
    let Healthcheck { test, interval_ms, timeout_ms, retries, start_period_ms, start_interval_ms } = check;
    let mut out = Entries::default();
    let words = |first: &str, rest: &[String]| Out::List(std::iter::once(Out::text(first)).chain(rest.iter().map(Out::text)).collect());
    match test {
        HealthTest::Disabled => out.add("disable", Out::plain(true)),
        HealthTest::Inherit => {}
        HealthTest::Cmd(parts) => out.add("test", words("CMD", parts)),
        HealthTest::Shell(line) => out.add("test", words("CMD-SHELL", std::slice::from_ref(line))),
    }
    out.some("interval", interval_ms.map(duration));
    out.some("timeout", timeout_ms.map(duration));
    out.some("retries", retries.map(Out::plain));
    out.some("start_period", start_period_ms.map(duration));
    out.some("start_interval", start_interval_ms.map(duration));
    out.finish()
}

fn restart_policy(restart: Restart) -> Option<Out> {
    Some(match restart {
        Restart::No => return None,
        Restart::Always => Out::text("always"),
        Restart::UnlessStopped => Out::text("unless-stopped"),
        Restart::OnFailure(None) => Out::text("on-failure"),
        Restart::OnFailure(Some(attempts)) => Out::text(format!("on-failure:{attempts}")),
    })
}

fn port(port: &Port) -> Out {
    let Port { target, protocol, published, host_ip } = port;
    let published = published.map_or(String::new(), |port| port.to_string());
    let host = match host_ip {
        Some(address) if address.contains(':') => format!("[{address}]:{published}:"),
        Some(address) => format!("{address}:{published}:"),
        None if published.is_empty() => String::new(),
        None => format!("{published}:"),
    };
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    Out::text(format!("{host}{target}/{protocol}"))
}

/// The default network alone, without aliases, is what a service gets that says nothing.
fn attachments(networks: &std::collections::BTreeMap<String, Attachment>) -> Option<Out> {
    let silent = networks.iter().all(|(key, attachment)| key == "default" && *attachment == Attachment::default());
    let entry = |attachment: &Attachment| {
        let Attachment { aliases } = attachment;
        let mut out = Entries::default();
        out.list("aliases", aliases.iter().map(Out::text));
        out.finish_some().unwrap_or(Out::Nothing)
    };
    (!silent).then(|| Out::Map(networks.iter().map(|(key, attachment)| (key.clone(), entry(attachment))).collect()))
}

fn volumes(out: &mut Entries, stack: &StackModel, mounts: &[Mount]) {
    // In the short form every version of Compose reads the mode.
    let short = |mount: &&Mount| matches!(mount.source, MountSource::Tmpfs { .. }) && !mount.target.contains(':');
    out.list("volumes", mounts.iter().filter(|mount| !short(mount)).map(|mount| volume_entry(stack, mount)));
    out.list("tmpfs", mounts.iter().filter(short).map(tmpfs));
}

fn tmpfs(mount: &Mount) -> Out {
    let mut options = Vec::new();
    if let MountSource::Tmpfs { size_bytes, mode, options: more } = &mount.source {
        options.extend(size_bytes.map(|size| format!("size={size}")));
        options.extend(mode.map(|mode| format!("mode={mode:o}")));
        options.extend(mount.read_only.then(|| "ro".to_owned()));
        options.extend(more.iter().cloned());
    }
    Out::text(if options.is_empty() { mount.target.clone() } else { format!("{}:{}", mount.target, options.join(",")) })
}

fn volume_entry(stack: &StackModel, mount: &Mount) -> Out {
    let Mount { target, source, read_only } = mount;
    let (kind, source, memory) = match source {
        MountSource::Volume { key } => ("volume", Some(key.clone()), None),
        MountSource::Anonymous => ("volume", None, None),
        MountSource::Bind { path } => ("bind", Some(path.clone()), None),
        MountSource::Repo { path, .. } => ("bind", Some(relative(stack, path.as_str())), None),
        // More options are written in the short form only, which has no target with a colon.
        MountSource::Tmpfs { size_bytes, mode, options: _ } => {
            let mut memory = Entries::default();
            memory.some("size", size_bytes.map(bytes));
            memory.some("mode", mode.map(|mode| Out::plain(format!("0o{mode:o}"))));
            ("tmpfs", None, memory.finish_some())
        }
    };
    let mut out = Entries::default();
    out.add("type", Out::text(kind));
    out.some("source", source.map(Out::text));
    out.add("target", Out::text(target));
    out.some("read_only", read_only.then(|| Out::plain(true)));
    out.some("tmpfs", memory);
    out.finish()
}

/// A file of the repo as the stack's own file names it.
fn relative(stack: &StackModel, path: &str) -> String {
    let inside = path.strip_prefix(&format!("stacks/{}", stack.name)).unwrap_or(path);
    format!("./{}", inside.trim_start_matches('/'))
}

fn ulimit(limit: &Ulimit) -> Out {
    let Ulimit { soft, hard } = limit;
    let mut out = Entries::default();
    out.add("soft", Out::plain(soft));
    out.add("hard", Out::plain(hard));
    out.finish()
}

fn log(logging: &Logging) -> Out {
    let Logging { driver, options } = logging;
    let mut out = Entries::default();
    out.add("driver", Out::text(driver));
    out.texts("options", options);
    out.finish()
}

/// A network at the top.
pub(super) fn network(network: &NetworkModel) -> Out {
    let NetworkModel { name, external, driver, driver_opts, internal, labels } = network;
    let mut out = Entries::default();
    out.text("name", name.as_ref());
    out.some("external", external.then(|| Out::plain(true)));
    out.text("driver", driver.as_ref());
    out.texts("driver_opts", driver_opts);
    out.some("internal", internal.then(|| Out::plain(true)));
    out.texts("labels", labels);
    out.finish()
}

/// A volume at the top.
pub(super) fn volume(volume: &VolumeModel) -> Out {
    let VolumeModel { name, external, driver, driver_opts, labels } = volume;
    let mut out = Entries::default();
    out.text("name", name.as_ref());
    out.some("external", external.then(|| Out::plain(true)));
    out.text("driver", driver.as_ref());
    out.texts("driver_opts", driver_opts);
    out.texts("labels", labels);
    out.finish()
}
