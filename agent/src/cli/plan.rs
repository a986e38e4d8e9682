//! `tidegate plan`: what a change would do, host by host, by the same planner as the agent's.
//!
//! Offline, the hosts are taken to run what the lock says (or what a recorded observation says), and the calendar is
//! shown beside the steps instead of stopping them: the question before a merge is *what*, then *when*.

use super::exit::UsageError;
use super::{ConfigArgs, Exit, Output, agent, print, print_json, runtime, source, table, tell};
use crate::config::{ConfigReader, ConfigView};
use crate::engine::Engine;
use crate::reconcile::facts::{Seen, present, settle};
use crate::store::Store;
use crate::{words, zones};
use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidegate_core::calendar::{Calendar, Decision};
use tidegate_core::desired::{DesiredStack, Naming};
use tidegate_core::findings::{Style, has_errors, render};
use tidegate_core::ids::{CommitId, EnvironmentName, HostName, StackName};
use tidegate_core::observed::{ContainerState, ObservedContainer, ObservedHost, ObservedNetwork};
use tidegate_core::offers::{Basis, ForHost, Present, offers};
use tidegate_core::plan::{Gates, HostInputs, Offer, Plan, Released, StackInputs, StackRecord, plan};
use tidegate_core::repo::{Environment, Host, Repo, load_with};
use tidegate_git::Mirror;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// A folder, a git repository (bare or not), or its URL; `@COMMIT` names a commit
    #[arg(default_value = ".", conflicts_with = "live")]
    path: String,
    /// The branch, in a git repository
    #[arg(long, default_value = "main")]
    branch: String,
    /// Only this host
    #[arg(long)]
    host: Option<HostName>,
    /// Only the hosts of this environment
    #[arg(long)]
    environment: Option<EnvironmentName>,
    /// What the host has: a recorded observation (JSON); needs --host
    #[arg(long, value_name = "FILE", requires = "host")]
    observed: Option<PathBuf>,
    /// Take the hosts to be empty instead of running what the lock says
    #[arg(long, conflicts_with = "observed")]
    empty: bool,
    /// Put before each stack's name, as in the agent's settings
    #[arg(long, default_value = "")]
    name_prefix: String,
    /// This host, as it is: its agent's config and engine
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Exit with 2 when there are changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// The plan of one host, with when it would go out.
struct HostPlan {
    host: HostName,
    environment: EnvironmentName,
    plan: Plan,
    calendar: Decision,
}

pub(super) fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    tidegate_git::init();
    let runtime = runtime()?;
    let plans = if args.live { vec![runtime.block_on(live(args))?] } else { runtime.block_on(offline(args))? };
    let Some(plans) = Some(plans).filter(|plans| !plans.is_empty()) else { return Ok(Exit::Findings) };
    match args.output {
        Output::Json => print_json(&json(&plans)),
        Output::Human => print(&plans.iter().map(shown).collect::<String>()),
    }
    let changes = plans.iter().any(|host| host.plan.stacks.iter().any(|stack| !stack.steps.is_empty()));
    Ok(if changes && args.detailed_exitcode { Exit::Changes } else { Exit::Fine })
}

fn json(plans: &[HostPlan]) -> serde_json::Value {
    let hosts: Vec<_> = plans
        .iter()
        .map(|host| serde_json::json!({ "host": host.host, "environment": host.environment, "plan": host.plan, "calendar": host.calendar }))
        .collect();
    serde_json::json!({ "format": 1, "hosts": hosts })
}

/// This host: what its agent would do now, by its own memory. Changes nothing.
async fn live(args: &PlanArgs) -> anyhow::Result<HostPlan> {
    let settings = args.config.load()?;
    let memory = Store::open_to_read(&settings.database())?.memory().await?;
    let (Some(commit), Some(environment)) = (memory.trusted.clone(), memory.environment.clone()) else {
        return Err(UsageError(words::NO_CONFIG_YET.to_owned()).into());
    };
    let mirror = Mirror::open(&settings.mirror(), agent::remote(&settings)).await?;
    let view = ConfigReader { mirror: &mirror, host: &settings.host, zones: &zones::newest() }.view(&commit, memory.valid.as_ref()).await?;
    let observed = agent::connect(&settings)(&environment).observe().await?;
    let now = Timestamp::now();
    let naming = Naming { prefix: settings.name_prefix.clone() };
    let present = present(&memory.stacks, &observed);
    let offers = view.offers(&ForHost { host: &settings.host, environment: &environment, naming: &naming, present: &present });
    let settled = settle(&environment, &memory.stacks, offers, &Seen { observed: &observed, now });
    let stacks = settled.iter().map(|(name, settled)| (name.clone(), settled.inputs())).collect();
    let plan = plan(&HostInputs { stacks, observed: &observed, gates: view.gates(now, None) }, now);
    Ok(HostPlan { host: settings.host, environment, plan, calendar: view.decide(now) })
}

async fn offline(args: &PlanArgs) -> anyhow::Result<Vec<HostPlan>> {
    let source = source::read(&args.path, &args.branch).await?;
    let loaded = load_with(&source.files, &zones::newest());
    let Some(repo) = loaded.repo.filter(|_| !has_errors(&loaded.findings)) else {
        tell(&render(&loaded.findings, &source.files, Style::Plain));
        return Ok(Vec::new());
    };
    if let Some(host) = args.host.as_ref().filter(|host| !repo.hosts.contains_key(*host)) {
        let known: Vec<String> = repo.hosts.keys().map(ToString::to_string).collect();
        return Err(UsageError(format!("there is no hosts/{host}.yaml; there are: {}", known.join(", "))).into());
    }
    let asked = |host: &&Host| {
        args.host.as_ref().is_none_or(|name| *name == host.name) && args.environment.as_ref().is_none_or(|name| *name == host.environment)
    };
    let mut plans = Vec::new();
    for host in repo.hosts.values().filter(asked) {
        let Some(environment) = repo.environment(&host.environment) else { continue };
        let now = Now { repo: &repo, host, environment, source: &source, args };
        plans.push(now.plan().await?);
    }
    if plans.is_empty() {
        return Err(UsageError("no host matches; see hosts/*.yaml".into()).into());
    }
    Ok(plans)
}

/// One host, offline.
struct Now<'a> {
    repo: &'a Repo,
    host: &'a Host,
    environment: &'a Environment,
    source: &'a source::Source,
    args: &'a PlanArgs,
}

impl Now<'_> {
    async fn plan(&self) -> anyhow::Result<HostPlan> {
        let now = Timestamp::now();
        let released = if self.args.empty { BTreeMap::new() } else { self.released().await };
        let observed = match &self.args.observed {
            Some(path) => read_observed(path)?,
            None => as_released(&released),
        };
        let present: BTreeMap<StackName, Present> = released.keys().map(|name| (name.clone(), Present::default())).collect();
        let naming = Naming { prefix: self.args.name_prefix.clone() };
        let commit = self.source.commit.clone().map_or_else(|| "0".repeat(40).parse::<CommitId>(), Ok)?;
        let repo = self.pinned();
        let basis = Basis::Tip { commit: &commit, repo: &repo };
        let for_host = ForHost { host: &self.host.name, environment: &self.host.environment, naming: &naming, present: &present };
        let stacks =
            offers(&basis, &for_host).into_iter().map(|(name, offer)| (name.clone(), inputs(name, offer, &released, now))).collect();
        let calendar = self.environment.calendar.decide(now);
        let plan = plan(&HostInputs { stacks, observed: &observed, gates: open(now) }, now);
        Ok(HostPlan { host: self.host.name.clone(), environment: self.host.environment.clone(), plan, calendar })
    }

    /// The repo with the lock's digests filled in, as far as image names are the same: an unchanged tag is then no change.
    fn pinned(&self) -> Repo {
        let mut repo = self.repo.clone();
        if let Some(lock) = self.repo.locks.get(&self.environment.name) {
            for ((environment, stack), model) in &mut repo.stacks {
                if let Some(locked) = lock.stacks.get(stack).filter(|_| *environment == self.environment.name) {
                    *model = model.clone().pinned(&locked.images);
                }
            }
        }
        repo
    }

    /// What the lock says this host runs, if the history is at hand.
    async fn released(&self) -> BTreeMap<StackName, DesiredStack> {
        let (Some(mirror), Some(_)) = (&self.source.history, self.repo.locks.get(&self.environment.name)) else { return BTreeMap::new() };
        let Ok(Some(tip)) = mirror.local_tip().await else { return BTreeMap::new() };
        let view: ConfigView = match (ConfigReader { mirror, host: &self.host.name, zones: &zones::newest() }).view(&tip, None).await {
            Ok(view) => view,
            Err(error) => {
                tell(&format!("what is released now could not be read ({}); the plan starts from an empty host", words::chain(&error)));
                return BTreeMap::new();
            }
        };
        let (naming, present) = (Naming { prefix: self.args.name_prefix.clone() }, BTreeMap::new());
        let host = ForHost { host: &self.host.name, environment: &self.host.environment, naming: &naming, present: &present };
        let stacks = view.offers(&host).into_iter().filter_map(|(name, offer)| match offer {
            Offer::Stack(desired) => Some((name, *desired)),
            Offer::Nothing(_) | Offer::Unknown(_) => None,
        });
        stacks.collect()
    }
}

fn inputs(name: StackName, offer: Offer, released: &BTreeMap<StackName, DesiredStack>, now: Timestamp) -> StackInputs {
    let released = released.get(&name).map(|desired| Released { release: desired.release, desired: desired.clone(), verified_at: now });
    StackInputs { name, offer, record: StackRecord { released, ..StackRecord::default() } }
}

fn read_observed(path: &PathBuf) -> anyhow::Result<ObservedHost> {
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not a recorded observation", path.display()))
}

/// A host that has exactly what is released to it.
fn as_released(released: &BTreeMap<StackName, DesiredStack>) -> ObservedHost {
    let mut host = ObservedHost::default();
    for desired in released.values() {
        for (name, _) in desired.networks.iter().filter(|(_, network)| !network.external) {
            host.networks.insert(name.clone(), ObservedNetwork { stack: desired.stack.clone() });
        }
        host.volumes.extend(desired.volumes.iter().filter(|(_, volume)| !volume.external).map(|(name, _)| name.clone()));
        for (service, container) in desired.services.iter().flat_map(|service| service.containers.iter().map(move |c| (service, c))) {
            let state = if service.one_shot { ContainerState::Exited(0) } else { ContainerState::Running };
            let observed = ObservedContainer {
                id: container.name.clone(),
                stack: desired.stack.clone(),
                service: service.name.clone(),
                replica: container.replica,
                hash: container.hash.clone(),
                release: desired.release,
                commit: Some(desired.commit.clone()),
                state,
                health: None,
                started_at: None,
                image: container.model.image.for_engine(),
                held_ports: Default::default(),
            };
            host.containers.insert(container.name.clone(), observed);
        }
    }
    host
}

/// The gates are shown, not applied: a calendar without windows is always open.
fn open(now: Timestamp) -> Gates {
    Gates { calendar: Calendar::default().decide(now), holds: Vec::new(), clock_fault: None, calendar_fault: None }
}

/// A host's plan for people.
fn shown(host: &HostPlan) -> String {
    let mut text = format!("{} ({})\n", host.host, host.environment);
    let mut steps = 0;
    for stack in &host.plan.stacks {
        let class = stack.class.filter(|_| !stack.steps.is_empty()).map_or("nothing to do", words::class);
        text.push_str(&format!("  {}: {class}\n", stack.stack));
        if let Some(waiting) = &stack.waiting {
            text.push_str(&format!("    waits: {}\n", words::waiting(waiting)));
        }
        let rows: Vec<Vec<String>> =
            stack.steps.iter().map(|step| vec![format!("    {}", words::mark(&step.action)), words::step(step)]).collect();
        text.push_str(&table(&rows));
        steps += stack.steps.len();
    }
    let when = words::calendar(&host.calendar);
    text.push_str(&match steps {
        0 => format!("  nothing changes; {when}\n"),
        _ => {
            let stacks = host.plan.stacks.iter().filter(|s| !s.steps.is_empty()).count();
            format!("  {} in {}; {when}\n", words::count(steps, "step"), words::count(stacks, "stack"))
        }
    });
    text
}
