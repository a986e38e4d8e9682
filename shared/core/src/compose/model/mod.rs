//! A stack after interpolation, merge and checks: the layer that cannot be wrong.
//!
//! Equal meaning is equal value: durations are milliseconds, sizes are bytes, lists that are sets are sorted, and
//! list and map forms have become one. Fields at their default are left out when serialised, so that the
//! identity of what exists does not change when the product learns a new attribute.
//!
//! Here the stack with its networks and volumes; `service` is how containers are run together, `container` what each is,
//! `parts` what a container is made of.

mod container;
mod image;
mod parts;
mod service;

pub use container::{ContainerModel, Unshown};
pub use image::ImageRef;
pub use parts::*;
pub use service::*;

use crate::ids::{ContentId, Digest, ServiceName, StackName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shorthand for `skip_serializing_if`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A stack as one environment sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackModel {
    /// The stack's name: its folder below `stacks/`.
    pub name: StackName,
    /// Its services.
    pub services: BTreeMap<ServiceName, Service>,
    /// The networks that services use, by Compose key; always holds `default` when a service uses it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub networks: BTreeMap<String, NetworkModel>,
    /// The named volumes that services use, by Compose key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub volumes: BTreeMap<String, VolumeModel>,
}

/// A network of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkModel {
    /// A fixed engine name instead of `<project>_<key>`.
    #[serde(skip_serializing_if = "is_default")]
    pub name: Option<String>,
    /// Exists already and is not ours.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// `bridge` unless given.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: Option<String>,
    /// Options for the driver.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// No way out.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

/// A named volume of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeModel {
    /// A fixed engine name instead of `<project>_<key>`.
    #[serde(skip_serializing_if = "is_default")]
    pub name: Option<String>,
    /// Exists already and is not ours.
    #[serde(skip_serializing_if = "is_default")]
    pub external: bool,
    /// `local` unless given.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: Option<String>,
    /// Options for the driver. With the local driver these can be a bind mount in disguise.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

impl StackModel {
    /// The identity of the stack: everything that was decided, with the digests filled in so far.
    pub fn content(&self) -> ContentId {
        ContentId::of(self)
    }

    /// Fills in digests from a lock's `images` (by [`ImageRef::name`]); images already pinned stay as they are.
    #[must_use]
    pub fn pinned(mut self, images: &BTreeMap<String, Digest>) -> StackModel {
        for service in self.services.values_mut() {
            let image = &mut service.container.image;
            if image.digest.is_none() && service.pull_policy != PullPolicy::Never {
                image.digest = images.get(&image.name()).cloned();
            }
        }
        self
    }

    /// The images that a registry must resolve before this stack can be released, by [`ImageRef::name`].
    pub fn unresolved_images(&self) -> BTreeMap<String, ImageRef> {
        let open = |s: &&Service| s.container.image.digest.is_none() && s.pull_policy != PullPolicy::Never;
        self.services.values().filter(open).map(|s| (s.container.image.name(), s.container.image.clone())).collect()
    }
}
