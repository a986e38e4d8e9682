//! Compose files: untyped interpolation and merge (`load`), then typed and checked (`resolve`). See `model` for the
//! result and `support` for what is taken and what is refused.

mod deploy;
mod dotenv;
mod env;
mod forms;
mod health;
mod image;
mod interpolate;
mod limits;
mod load;
mod merge;
mod model;
mod mounts;
mod networks;
mod objects;
mod ports;
mod render;
mod resolve;
mod service;
mod shell;
mod support;
mod support_table;
mod targets;
mod units;

pub use image::InvalidImage;
pub use model::*;
pub use render::{placed, render};
pub use resolve::{Resolved, resolve_stack, resolve_with_files, resolve_with_warnings};
pub use support::{Attribute, Section, Support, attribute, attributes, support_page};
pub use units::{UnitError, duration_ms, nano_cpus, size_bytes};
