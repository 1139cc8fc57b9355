//! The technical channel of one account: whether its calls work, however issuers answer.
use crate::clock::fade;
use crate::outcome::Outcome;
use crate::settings::HealthSettings;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TechnicalHealth {
    /// Faded counts of finished calls, of failures among them, and of timeouts among those.
    pub calls: f64,
    pub failures: f64,
    pub timeouts: f64,
    pub at_s: f64,
    /// Exponentially weighted mean latency of calls that were answered.
    pub latency_ms: f64,
}

/// What issuers answered of late, plainly counted: what people look at beside the estimates,
/// which are made for one payment each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Answers {
    pub faded: f64,
    pub approvals: f64,
    pub at_s: f64,
}

/// Answers that the prior is worth: below this many, a rate says little.
const PRIOR_ANSWERS: f64 = 10.0;

impl Answers {
    pub fn learn(&mut self, approved: bool, now_s: f64, set: &HealthSettings) {
        let left = self.left(now_s, set);
        self.faded = self.faded * left + 1.0;
        self.approvals = self.approvals * left + f64::from(u8::from(approved));
        self.at_s = now_s;
    }

    /// The share of approvals, and how many answers it rests on.
    pub fn rate(&self, now_s: f64, set: &HealthSettings) -> (f64, f64) {
        let left = self.left(now_s, set);
        let answers = self.faded * left;
        let approvals = self.approvals * left + PRIOR_ANSWERS * set.prior_approval;
        (approvals / (answers + PRIOR_ANSWERS), answers)
    }

    fn left(&self, now_s: f64, set: &HealthSettings) -> f64 {
        fade(now_s - self.at_s, set.issuer_half_life_s)
    }
}

/// Weight of the newest latency: about the last 20 calls count.
const LATENCY_WEIGHT: f64 = 0.05;

/// A longer wait is a broken clock: a day.
const LONGEST_LATENCY_MS: f64 = 86_400_000.0;

impl TechnicalHealth {
    pub fn learn(&mut self, outcome: Outcome, latency_ms: f64, now_s: f64, set: &HealthSettings) {
        let Some(failed) = outcome.technical_failure() else {
            return;
        };
        let left = fade(now_s - self.at_s, set.technical_half_life_s);
        self.at_s = now_s;
        self.calls = self.calls * left + 1.0;
        self.failures = self.failures * left + f64::from(u8::from(failed));
        let timeout = f64::from(u8::from(outcome == Outcome::Timeout));
        self.timeouts = self.timeouts * left + timeout;
        if !failed && (0.0..=LONGEST_LATENCY_MS).contains(&latency_ms) {
            let first = self.latency_ms == 0.0;
            let weight = if first { 1.0 } else { LATENCY_WEIGHT };
            self.latency_ms += weight * (latency_ms - self.latency_ms);
        }
    }

    /// The probability that the next call fails technically. Calls that are open for too long
    /// count as failures: the timeout that will say so has not arrived yet.
    pub fn failure_rate(&self, overdue: u32, now_s: f64, set: &HealthSettings) -> f64 {
        let left = fade(now_s - self.at_s, set.technical_half_life_s);
        let overdue = f64::from(overdue);
        let failures = self.failures * left + overdue;
        let strength = set.prior_technical_strength;
        (failures + strength * set.prior_technical) / (self.calls * left + overdue + strength)
    }

    /// After an outage ended, its failures say nothing about the account any more.
    pub fn recover(&mut self) {
        *self = Self {
            at_s: self.at_s,
            latency_ms: self.latency_ms,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_declines_do_not_count_as_failures() {
        let set = HealthSettings::default();
        let mut health = TechnicalHealth::default();
        for _ in 0..100 {
            health.learn(Outcome::IssuerDeclinedSoft, 300.0, 0.0, &set);
        }
        assert!(health.failure_rate(0, 0.0, &set) < set.prior_technical);
        health.learn(Outcome::Abandoned, 300.0, 0.0, &set);
        assert_eq!(health.calls, 100.0);
    }

    #[test]
    fn overdue_calls_count_before_their_timeout() {
        let set = HealthSettings::default();
        let health = TechnicalHealth::default();
        let rates: Vec<f64> = (0..5).map(|k| health.failure_rate(k, 0.0, &set)).collect();
        assert!(rates.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn latencies_that_are_no_numbers_change_nothing() {
        let set = HealthSettings::default();
        let mut health = TechnicalHealth::default();
        health.learn(Outcome::Approved, 100.0, 0.0, &set);
        for bad in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
            health.learn(Outcome::Approved, bad, 0.0, &set);
        }
        assert_eq!(health.latency_ms, 100.0);
    }
}
