//! Turnout's deterministic routing core: no I/O, no clock, no global randomness.
//!
//! `Router` owns everything that changes; a `Snapshot` is one compiled configuration; a
//! `Decision` is what a payment gets. Whatever decides is a pure function of (snapshot, facts,
//! evidence, seed), so that a decision can be made again from its record.
#![forbid(unsafe_code)]

mod breaker;
mod choose;
mod clock;
mod config;
mod counters;
mod decide;
mod error;
mod facts;
mod flights;
mod health;
mod limits;
mod live;
mod normal;
mod objective;
mod outcome;
mod record;
mod router;
mod rules;
mod scores;
mod settings;
mod snapshot;
mod state;
mod weights;
mod wire;

pub use breaker::{BreakerView, Phase};
pub use choose::{FirstBy, Gate};
pub use decide::{Blocked, Decision, Filtered, Ranked};
pub use error::{Code, Error};
pub use facts::Facts;
pub use outcome::Outcome;
pub use router::{AccountHealth, Permit, Refusal, Router};
pub use settings::Settings;
pub use snapshot::{FilterReason, Snapshot};

/// The crate's version, so that a decision can name the build that made it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
