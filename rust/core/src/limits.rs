//! How many calls an account may have: so many a second (a token bucket) and so many at once (a
//! cap that follows how the account bears its load).
//!
//! The adaptive cap is additive increase, multiplicative decrease (Chiu & Jain 1989), as Netflix'
//! concurrency-limits and Envoy's filter do it: it grows while calls come back as fast as usual,
//! and shrinks where they fail or take several times as long.
use serde::Deserialize;

use crate::error::Error;

/// Calls a second; `per_s` 0 means no limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RateLimit {
    pub per_s: f64,
    /// Calls that may come at once after a pause; 0 means one second's worth.
    pub burst: f64,
}

impl RateLimit {
    fn size(&self) -> f64 {
        let burst = if self.burst > 0.0 {
            self.burst
        } else {
            self.per_s
        };
        burst.max(1.0)
    }

    pub fn check(&self, key: &str) -> Result<(), Error> {
        for (name, value) in [("per_s", self.per_s), ("burst", self.burst)] {
            if !(0.0..=1e9).contains(&value) {
                let what = format!("{value} is not within 0 to 1e9");
                return Err(Error::config(&format!("{key}.{name}"), what));
            }
        }
        Ok(())
    }
}

/// The bucket counts what was taken, so that a fresh one is full.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    pub taken: f64,
    pub at_s: f64,
}

impl Bucket {
    fn taken_at(&self, limit: RateLimit, now_s: f64) -> f64 {
        let refilled = (now_s - self.at_s).max(0.0) * limit.per_s;
        (self.taken - refilled).max(0.0)
    }

    /// Seconds until a call may go; 0 where one may go now.
    pub fn wait_s(&self, limit: RateLimit, now_s: f64) -> f64 {
        if limit.per_s <= 0.0 {
            return 0.0;
        }
        let missing = self.taken_at(limit, now_s) + 1.0 - limit.size();
        // A billionth of a call is rounding, not a limit.
        if missing > 1e-9 {
            missing / limit.per_s
        } else {
            0.0
        }
    }

    /// Takes a call; a required one may overdraw, by one size at most.
    pub fn take(&mut self, limit: RateLimit, now_s: f64) {
        if limit.per_s > 0.0 {
            let taken = self.taken_at(limit, now_s) + 1.0;
            *self = Self {
                taken: taken.min(2.0 * limit.size()),
                at_s: now_s,
            };
        }
    }
}

/// Below this many calls at once there is nothing to adapt.
const LEAST_AT_ONCE: f64 = 4.0;
const FIRST_AT_ONCE: f64 = 32.0;
const MOST_AT_ONCE: f64 = 10_000.0;
/// Calls that take this many times the usual are a queue at the provider.
const CONGESTED: f64 = 3.0;
const DECREASE: f64 = 0.8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdaptiveCap {
    pub at_once: f64,
    /// Calls that began before the last decrease say nothing about what came after it.
    pub decreased_s: f64,
}

impl Default for AdaptiveCap {
    fn default() -> Self {
        Self {
            at_once: FIRST_AT_ONCE,
            decreased_s: f64::MIN,
        }
    }
}

/// A finished call, as the cap sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub failed: bool,
    pub latency_ms: f64,
    pub usual_ms: f64,
    pub begun_s: f64,
    /// Calls that were open when it ended, itself included.
    pub at_once: usize,
}

impl AdaptiveCap {
    /// Whether calls could have led to it: a saved cap of nonsense would stop an account.
    pub fn is_possible(&self) -> bool {
        (LEAST_AT_ONCE..=MOST_AT_ONCE).contains(&self.at_once)
    }

    pub fn at_once(&self) -> u32 {
        self.at_once as u32
    }

    pub fn learn(&mut self, load: Load, now_s: f64) {
        let slow = load.usual_ms > 0.0 && load.latency_ms > CONGESTED * load.usual_ms;
        if load.failed || slow {
            if load.begun_s >= self.decreased_s {
                self.at_once = (self.at_once * DECREASE).max(LEAST_AT_ONCE);
                self.decreased_s = now_s;
            }
        } else if load.at_once as f64 * 2.0 >= self.at_once {
            // Only a cap that is used may grow: an idle account says nothing about load.
            self.at_once = (self.at_once + 1.0 / self.at_once).min(MOST_AT_ONCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_the_rate_through_and_no_more() {
        let limit = RateLimit {
            per_s: 10.0,
            burst: 5.0,
        };
        let mut bucket = Bucket::default();
        let mut passed = 0;
        for ms in 0..10_000 {
            let now_s = f64::from(ms) * 1e-3;
            if bucket.wait_s(limit, now_s) == 0.0 {
                bucket.take(limit, now_s);
                passed += 1;
            }
        }
        assert!((104..=105).contains(&passed), "{passed}");
        let wait_s = bucket.wait_s(limit, 9.999);
        assert!(wait_s > 0.0 && wait_s <= 0.1);
        assert_eq!(bucket.wait_s(RateLimit::default(), 9.999), 0.0);
    }

    #[test]
    fn the_cap_shrinks_under_failures_and_recovers_under_load() {
        let mut cap = AdaptiveCap::default();
        let load = |failed, latency_ms, begun_s, at_once| Load {
            failed,
            latency_ms,
            usual_ms: 300.0,
            begun_s,
            at_once,
        };
        for k in 0..100 {
            cap.learn(load(true, 300.0, f64::from(k), 32), f64::from(k) + 0.5);
        }
        assert_eq!(cap.at_once(), LEAST_AT_ONCE as u32);
        // One burst of failures is one decrease.
        let mut burst = AdaptiveCap::default();
        for _ in 0..50 {
            burst.learn(load(false, 2_000.0, 1.0, 32), 2.0);
        }
        assert_eq!(burst.at_once(), (FIRST_AT_ONCE * DECREASE) as u32);
        for _ in 0..1_000 {
            cap.learn(load(false, 300.0, 200.0, 40), 200.0);
        }
        assert!(cap.at_once() > 40);
        let idle = cap;
        cap.learn(load(false, 300.0, 200.0, 1), 200.0);
        assert_eq!(cap, idle);
    }
}
