//! `tidegate plan --live`: what this host's agent would do now, by its own memory and the engine. Changes nothing.

use super::{PlanArgs, human, machine};
use crate::cli::exit::UsageError;
use crate::cli::{Exit, Output, agent, print, print_json};
use crate::config::{ConfigReader, Surroundings};
use crate::engine::Engine;
use crate::reconcile::facts::{Seen, present, settle};
use crate::store::Store;
use crate::{words, zones};
use jiff::Timestamp;
use serde_json::json;
use tidegate_core::calendar::Decision;
use tidegate_core::desired::Naming;
use tidegate_core::ids::EnvironmentName;
use tidegate_core::offers::ForHost;
use tidegate_core::plan::{HostInputs, plan};
use tidegate_core::preview::{HostPreview, StackPreview, changes_of};
use tidegate_git::Mirror;

/// The plan of this host, with what gates it.
struct Live {
    environment: EnvironmentName,
    host: HostPreview,
    calendar: Decision,
}

pub(super) async fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    let live = live(args).await?;
    match args.output.plain() {
        Some(Output::Json) => {
            let environment = json!({ "environment": live.environment, "calendar": live.calendar, "hosts": [machine::hosts(&live.host)] });
            print_json(&json!({ "format": 1, "live": true, "environments": [environment] }));
        }
        Some(Output::Human) => {
            let nothing = if live.host.stacks.is_empty() { format!("  {}\n", words::preview::NOTHING_CHANGES) } else { String::new() };
            print(&format!("{}\n{}{nothing}  {}\n", live.environment, human::hosts(&live.host), words::calendar(&live.calendar)));
        }
        None => return Err(UsageError("--live is shown as `human` or `json`".into()).into()),
    }
    let changes = live.host.plan.stacks.iter().any(|stack| !stack.steps.is_empty());
    Ok(if changes && args.detailed_exitcode { Exit::Changes } else { Exit::Fine })
}

async fn live(args: &PlanArgs) -> anyhow::Result<Live> {
    let settings = args.config.load()?;
    let memory = Store::open_to_read(&settings.database())?.memory().await?;
    let (Some(commit), Some(environment)) = (memory.trusted.clone(), memory.environment.clone()) else {
        return Err(UsageError(words::NO_CONFIG_YET.to_owned()).into());
    };
    let mirror = Mirror::open(&settings.mirror(), agent::remote(&settings)).await?;
    let view = ConfigReader { mirror: &mirror, host: &settings.host, zones: &zones::newest() }.view(&commit, memory.valid.as_ref()).await?;
    let observed = agent::connect(&settings)(&environment).observe().await?;
    let now = args.now.unwrap_or_else(Timestamp::now);
    let naming = Naming { prefix: settings.name_prefix.clone() };
    let present = present(&memory.stacks, &observed);
    let offers = view.offers(&ForHost { host: &settings.host, environment: &environment, naming: &naming, present: &present });
    let settled = settle(&environment, &memory.stacks, offers, &Seen { observed: &observed, now });
    let stacks = settled.iter().map(|(name, settled)| (name.clone(), settled.inputs())).collect();
    let plan = plan(&HostInputs { stacks, observed: &observed, gates: view.gates(&Surroundings::default()) }, now);
    let stacks = plan.stacks.iter().map(|stack| {
        let released = memory.stacks.get(&stack.stack).and_then(|memory| memory.record.released.as_ref());
        let changes = changes_of(stack, released.map(|released| &released.desired));
        StackPreview { stack: stack.stack.clone(), changes, waiting: stack.waiting.clone() }
    });
    let host = HostPreview { hosts: vec![settings.host.clone()], stacks: stacks.collect(), plan: plan.clone() };
    Ok(Live { environment, host, calendar: view.decide(now) })
}
