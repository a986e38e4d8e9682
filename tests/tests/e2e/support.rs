//! What several tests begin with.

use anyhow::Result;
use tidegate_tests::fleet::{Approvals, Environment};
use tidegate_tests::world::{Plan, World};

/// A world with one environment, its window open.
pub async fn one_environment(name: &str, approvals: Approvals) -> Result<World> {
    World::new(Plan::new(vec![Environment::new(name, approvals)])).await
}
