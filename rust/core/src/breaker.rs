//! The circuit breaker of one account: closed, open, half-open with probes.
//!
//! What trips it is a sequential test (Page's CUSUM, 1954) and not a rate over a window: each
//! call adds the log-likelihood ratio of "ill" against "well", and the sum never falls below
//! zero. A full outage is seen after the same few calls whether the account has one call a
//! minute or a thousand a second, one stray failure among successes is never enough, and a
//! partial illness is seen as soon as the evidence is there. Slowness has a test of its own.
use crate::clock::fade;
use crate::settings::BreakerSettings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Closed,
    Open,
    HalfOpen,
}

impl Phase {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Why the breaker opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Trip {
    #[default]
    None = 0,
    Errors = 1,
    Timeouts = 2,
    Overdue = 3,
    Slowness = 4,
    Probe = 5,
}

impl Trip {
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Errors,
        Self::Timeouts,
        Self::Overdue,
        Self::Slowness,
        Self::Probe,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Errors => "error_rate",
            Self::Timeouts => "timeouts",
            Self::Overdue => "overdue_calls",
            Self::Slowness => "slowness",
            Self::Probe => "probe_failed",
        }
    }
}

/// What a finished call says to the breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Signal {
    pub failed: bool,
    pub timeout: bool,
    pub slow: bool,
    pub probe: bool,
    pub begun_s: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Breaker {
    /// When it opened; `None` while it is closed.
    pub opened_s: Option<f64>,
    pub open_for_s: f64,
    pub good_probes: u32,
    /// When it last closed: calls from before say nothing about now.
    pub closed_s: f64,
    pub errors: f64,
    pub slowness: f64,
    /// The share of timeouts in the evidence, for the reason only.
    pub timeouts: f64,
    pub at_s: f64,
    pub reason: Trip,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerView {
    pub phase: Phase,
    pub reason: Trip,
    /// Seconds until the next probe may go, while it is open.
    pub retry_in_s: f64,
}

impl Breaker {
    /// The breaker as it stands now. `overdue` calls are evidence that has not become final.
    pub fn view(&self, overdue: u32, now_s: f64, set: &BreakerSettings) -> BreakerView {
        let (phase, reason, retry_in_s) = match self.opened_s {
            Some(opened_s) => {
                let left_s = self.open_for_s - (now_s - opened_s);
                let open = left_s > 0.0;
                let phase = if open { Phase::Open } else { Phase::HalfOpen };
                (phase, self.reason, left_s.max(0.0))
            }
            None if overdue > 0 && self.with_overdue(overdue, now_s, set) >= set.trip_evidence => {
                (Phase::Open, Trip::Overdue, set.open_s)
            }
            None => (Phase::Closed, Trip::None, 0.0),
        };
        BreakerView {
            phase,
            reason,
            retry_in_s,
        }
    }

    /// Opens for good where overdue calls alone are reason enough.
    pub fn settle(&mut self, overdue: u32, now_s: f64, set: &BreakerSettings) {
        if self.opened_s.is_none() && self.view(overdue, now_s, set).phase == Phase::Open {
            self.open(Trip::Overdue, now_s, set);
        }
    }

    pub fn learn(&mut self, signal: Signal, now_s: f64, set: &BreakerSettings) {
        if let Some(opened_s) = self.opened_s {
            // While it is not closed only probes count: the others left before it opened.
            if signal.probe && now_s - opened_s >= 0.0 {
                self.learn_probe(signal, now_s, set);
            }
            return;
        }
        if signal.begun_s < self.closed_s {
            return;
        }
        let left = fade(now_s - self.at_s, set.evidence_half_life_s);
        self.at_s = now_s;
        let step = ratio(signal.failed, set.well_error_rate, set.ill_error_rate);
        self.errors = (self.errors * left + step).max(0.0);
        self.timeouts = self.timeouts * left + if signal.timeout { step } else { 0.0 };
        self.timeouts = self.timeouts.min(self.errors);
        let step = ratio(signal.slow, set.well_slow_rate, set.ill_slow_rate);
        self.slowness = (self.slowness * left + step).max(0.0);
        if self.errors >= set.trip_evidence {
            let timeouts = self.timeouts * 2.0 > self.errors;
            let reason = if timeouts {
                Trip::Timeouts
            } else {
                Trip::Errors
            };
            self.open(reason, now_s, set);
        } else if self.slowness >= set.trip_evidence {
            self.open(Trip::Slowness, now_s, set);
        }
    }

    fn learn_probe(&mut self, signal: Signal, now_s: f64, set: &BreakerSettings) {
        if signal.failed || signal.slow {
            self.open(Trip::Probe, now_s, set);
            return;
        }
        self.good_probes += 1;
        if self.good_probes >= set.probes_to_close {
            *self = Self {
                closed_s: now_s,
                at_s: now_s,
                ..Self::default()
            };
        }
    }

    fn open(&mut self, reason: Trip, now_s: f64, set: &BreakerSettings) {
        // Each failed probe doubles the pause, so that a dead account costs ever fewer payments.
        let again = self.opened_s.is_some();
        let pause_s = if again {
            self.open_for_s * 2.0
        } else {
            set.open_s
        };
        // The first reason says what was wrong; a failed probe only says that it still is.
        let reason = if again && reason == Trip::Probe {
            self.reason
        } else {
            reason
        };
        *self = Self {
            opened_s: Some(now_s),
            open_for_s: pause_s.clamp(set.open_s, set.max_open_s),
            reason,
            closed_s: self.closed_s,
            at_s: now_s,
            ..Self::default()
        };
    }

    fn with_overdue(&self, overdue: u32, now_s: f64, set: &BreakerSettings) -> f64 {
        let left = fade(now_s - self.at_s, set.evidence_half_life_s);
        let step = ratio(true, set.well_error_rate, set.ill_error_rate);
        self.errors * left + f64::from(overdue) * step
    }
}

/// Log-likelihood ratio of one yes/no observation under "ill" against "well".
fn ratio(seen: bool, well: f64, ill: f64) -> f64 {
    if seen {
        (ill / well).ln()
    } else {
        ((1.0 - ill) / (1.0 - well)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Signal = Signal {
        failed: false,
        timeout: false,
        slow: false,
        probe: false,
        begun_s: 1.0,
    };
    const BAD: Signal = Signal {
        failed: true,
        ..GOOD
    };

    fn phase(breaker: &Breaker, now_s: f64) -> Phase {
        breaker.view(0, now_s, &BreakerSettings::default()).phase
    }

    fn tripped(signal: Signal) -> (Breaker, BreakerSettings) {
        let set = BreakerSettings::default();
        let mut breaker = Breaker::default();
        for _ in 0..60 {
            breaker.learn(signal, 1.0, &set);
        }
        assert_eq!(phase(&breaker, 1.0), Phase::Open);
        (breaker, set)
    }

    #[test]
    fn an_outage_trips_after_four_failures_whatever_came_before() {
        let set = BreakerSettings::default();
        let mut breaker = Breaker::default();
        for _ in 0..10_000 {
            breaker.learn(GOOD, 1.0, &set);
        }
        for k in 1..=4 {
            assert_eq!(phase(&breaker, 1.0), Phase::Closed, "after {k} failures");
            breaker.learn(BAD, 1.0, &set);
        }
        assert_eq!(phase(&breaker, 1.0), Phase::Open);
        assert_eq!(breaker.reason, Trip::Errors);
    }

    #[test]
    fn stray_failures_do_not_trip() {
        let set = BreakerSettings::default();
        let mut breaker = Breaker::default();
        for k in 0..100_000 {
            let signal = if k % 50 == 0 { BAD } else { GOOD };
            breaker.learn(signal, 1.0, &set);
        }
        assert_eq!(phase(&breaker, 1.0), Phase::Closed);
    }

    #[test]
    fn slowness_and_timeouts_keep_their_reasons() {
        assert_eq!(
            tripped(Signal { slow: true, ..GOOD }).0.reason,
            Trip::Slowness
        );
        assert_eq!(
            tripped(Signal {
                timeout: true,
                ..BAD
            })
            .0
            .reason,
            Trip::Timeouts
        );
    }

    #[test]
    fn overdue_calls_open_it_before_their_timeout() {
        let set = BreakerSettings::default();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.view(3, 1.0, &set).phase, Phase::Closed);
        assert_eq!(breaker.view(4, 1.0, &set).phase, Phase::Open);
        assert_eq!(phase(&breaker, 1.0), Phase::Closed);
        breaker.settle(4, 1.0, &set);
        assert_eq!(
            (phase(&breaker, 1.0), breaker.reason),
            (Phase::Open, Trip::Overdue)
        );
    }

    #[test]
    fn half_open_closes_after_good_probes_and_forgets_older_calls() {
        let (mut breaker, set) = tripped(BAD);
        assert_eq!(phase(&breaker, 1.0 + set.open_s), Phase::HalfOpen);
        let probe = Signal {
            probe: true,
            ..GOOD
        };
        breaker.learn(probe, 7.0, &set);
        assert_eq!(phase(&breaker, 7.0), Phase::HalfOpen);
        breaker.learn(probe, 8.0, &set);
        assert_eq!(phase(&breaker, 8.0), Phase::Closed);
        for _ in 0..10 {
            breaker.learn(BAD, 9.0, &set);
        }
        assert_eq!(phase(&breaker, 9.0), Phase::Closed);
    }

    #[test]
    fn failed_probes_double_the_pause_up_to_its_limit_and_keep_the_reason() {
        let (mut breaker, set) = tripped(BAD);
        let mut now_s = 1.0;
        for pause_s in [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] {
            assert_eq!(breaker.open_for_s, pause_s);
            now_s += pause_s;
            assert_eq!(phase(&breaker, now_s), Phase::HalfOpen);
            breaker.learn(Signal { probe: true, ..BAD }, now_s, &set);
            assert_eq!(phase(&breaker, now_s), Phase::Open);
        }
        assert_eq!(breaker.reason, Trip::Errors);
    }

    #[test]
    fn late_failures_do_not_prolong_an_open_breaker() {
        let (mut breaker, set) = tripped(BAD);
        let before = breaker;
        breaker.learn(BAD, 3.0, &set);
        assert_eq!(breaker, before);
    }
}
