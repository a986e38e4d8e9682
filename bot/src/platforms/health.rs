//! How a platform is doing, for metrics, logs and whoever asks.

use std::sync::{Mutex, PoisonError};

/// The connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Link {
    /// Not begun.
    #[default]
    Off,
    /// A pause before another try.
    Waiting,
    /// Under way.
    Connecting,
    /// It stands.
    Up,
    /// It broke.
    Lost,
    /// Discord refuses this bot for good.
    Refused(String),
}

/// Shared: written by the connection, read by everybody.
#[derive(Debug, Default)]
pub struct Health(Mutex<Link>);

impl Health {
    /// Of a platform that needs nothing from outside.
    pub fn up() -> Health {
        Health(Mutex::new(Link::Up))
    }

    /// Of a platform that is wanted and cannot be begun.
    pub fn refused(why: String) -> Health {
        Health(Mutex::new(Link::Refused(why)))
    }

    /// Sets the connection's state.
    pub fn link(&self, link: Link) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// The connection's state.
    pub fn get(&self) -> Link {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does it stand?
    pub fn is_up(&self) -> bool {
        self.get() == Link::Up
    }
}
