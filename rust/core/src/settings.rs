//! What may be tuned, with defaults whose reasons stand in `docs/routing.md`.
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Error;

/// What may be tuned. The defaults are explained in `docs/routing.md`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub health: HealthSettings,
    pub breaker: BreakerSettings,
    pub choice: ChoiceSettings,
    pub learning: LearningSettings,
    /// Rates of currencies against one of them, for fees in other currencies than the payment's.
    pub exchange_rates: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// How fast answers fade from the counts that operators see.
    pub issuer_half_life_s: f64,
    /// How fast technical failures fade.
    pub technical_half_life_s: f64,
    /// What is believed of an account that nothing is known of.
    pub prior_approval: f64,
    pub prior_technical: f64,
    pub prior_technical_strength: f64,
    /// Open calls older than this count as failing before their timeout arrives.
    pub overdue_ms: f64,
    /// Segments kept in memory; the stalest quarter goes when they are full.
    pub max_segments: u32,
    /// A call that nobody finished is forgotten after this long.
    pub permit_lost_s: f64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            issuer_half_life_s: 3600.0,
            technical_half_life_s: 120.0,
            prior_approval: 0.85,
            prior_technical: 0.005,
            prior_technical_strength: 20.0,
            overdue_ms: 5_000.0,
            max_segments: 20_000,
            permit_lost_s: 600.0,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// The technical failure rates that a well and an ill account are told apart by.
    pub well_error_rate: f64,
    pub ill_error_rate: f64,
    /// Log-likelihood ratio (nats) in favour of "ill" that opens the breaker.
    pub trip_evidence: f64,
    pub evidence_half_life_s: f64,
    /// A call slower than this is a slow one.
    pub slow_ms: f64,
    pub well_slow_rate: f64,
    pub ill_slow_rate: f64,
    /// How long the breaker stays open at first, and at most after repeated openings.
    pub open_s: f64,
    pub max_open_s: f64,
    /// Half-open: probes at once, and good probes until it closes.
    pub probes: u32,
    pub probes_to_close: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            well_error_rate: 0.01,
            ill_error_rate: 0.4,
            trip_evidence: 12.0,
            evidence_half_life_s: 300.0,
            slow_ms: 8_000.0,
            well_slow_rate: 0.02,
            ill_slow_rate: 0.5,
            open_s: 5.0,
            max_open_s: 60.0,
            probes: 1,
            probes_to_close: 2,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChoiceSettings {
    /// The exploration budget: an account may take the first place only where its score is at
    /// most this much below its tier's best.
    pub near_best: f64,
    /// Temperature of the softmax among them; 0 always takes the best.
    pub temperature: f64,
    /// What an account's uncertainty adds to its score, in standard deviations: for the first
    /// place, and for the second (which costs no first attempt and tells the most).
    pub optimism: f64,
    pub cascade_optimism: f64,
}

impl Default for ChoiceSettings {
    fn default() -> Self {
        Self {
            near_best: 0.02,
            temperature: 0.001,
            optimism: 0.5,
            cascade_optimism: 1.5,
        }
    }
}

/// How the learner's weights are spread (standard deviations of logits) and how long they last.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningSettings {
    pub account_sd: f64,
    pub network_sd: f64,
    pub funding_sd: f64,
    pub amount_sd: f64,
    pub country_sd: f64,
    /// Issuer country x network.
    pub segment_sd: f64,
    pub bin_sd: f64,
    pub account_memory_s: f64,
    pub country_memory_s: f64,
    pub segment_memory_s: f64,
    /// The memory of what hardly changes: networks, funding, amounts, BINs.
    pub trait_memory_s: f64,
    /// What issuers are like for every account, and a BIN's issuer beyond that.
    pub issuer_sd: f64,
    pub issuer_bin_sd: f64,
    pub issuer_memory_s: f64,
    /// What issuers do for the time being (country, country x network, BIN).
    pub weather_sd: f64,
    pub weather_memory_s: f64,
    /// A segment whose weather is beyond this teaches nothing about accounts.
    pub quarantine_logit: f64,
    /// Recent surprise, in standard deviations, that makes a belief uncertain again.
    pub alarm_sigmas: f64,
    pub alarm_half_life_s: f64,
    pub account_jump_sd: f64,
    pub segment_jump_sd: f64,
    pub weather_jump_sd: f64,
    /// A hard decline's weight beside another answer's.
    pub hard_decline_weight: f64,
    /// How much of what made one account's issuer decline another account meets again.
    pub cascade_correlation: f64,
    pub cascade_correlation_sd: f64,
}

impl Default for LearningSettings {
    fn default() -> Self {
        Self {
            account_sd: 0.3,
            network_sd: 0.25,
            funding_sd: 0.05,
            amount_sd: 0.15,
            country_sd: 0.35,
            segment_sd: 0.1,
            bin_sd: 0.3,
            account_memory_s: 6.0 * 3600.0,
            country_memory_s: 24.0 * 3600.0,
            segment_memory_s: 4.0 * 3600.0,
            trait_memory_s: 7.0 * 86_400.0,
            issuer_sd: 0.3,
            issuer_bin_sd: 0.5,
            issuer_memory_s: 86_400.0,
            weather_sd: 0.3,
            weather_memory_s: 600.0,
            quarantine_logit: 0.7,
            alarm_sigmas: 4.0,
            alarm_half_life_s: 120.0,
            account_jump_sd: 0.5,
            segment_jump_sd: 1.5,
            weather_jump_sd: 3.0,
            hard_decline_weight: 0.2,
            cascade_correlation: 0.6,
            cascade_correlation_sd: 0.1,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (h, b, c) = (&self.health, &self.breaker, &self.choice);
        for (key, value, low, high) in [
            ("health.issuer_half_life_s", h.issuer_half_life_s, 1.0, 1e8),
            (
                "health.technical_half_life_s",
                h.technical_half_life_s,
                1.0,
                1e8,
            ),
            ("health.prior_approval", h.prior_approval, 1e-3, 0.999),
            ("health.prior_technical", h.prior_technical, 0.0, 0.5),
            (
                "health.prior_technical_strength",
                h.prior_technical_strength,
                1e-3,
                1e6,
            ),
            ("health.overdue_ms", h.overdue_ms, 1.0, 1e7),
            ("health.max_segments", f64::from(h.max_segments), 16.0, 1e7),
            ("health.permit_lost_s", h.permit_lost_s, 1.0, 1e6),
            ("breaker.well_error_rate", b.well_error_rate, 1e-4, 0.4),
            ("breaker.ill_error_rate", b.ill_error_rate, 1e-3, 0.99),
            ("breaker.trip_evidence", b.trip_evidence, 1.0, 1e3),
            (
                "breaker.evidence_half_life_s",
                b.evidence_half_life_s,
                1.0,
                1e6,
            ),
            ("breaker.slow_ms", b.slow_ms, 1.0, 1e7),
            ("breaker.well_slow_rate", b.well_slow_rate, 1e-4, 0.4),
            ("breaker.ill_slow_rate", b.ill_slow_rate, 1e-3, 0.99),
            ("breaker.open_s", b.open_s, 1e-3, 1e5),
            ("breaker.max_open_s", b.max_open_s, b.open_s, 1e6),
            ("breaker.probes", f64::from(b.probes), 1.0, 100.0),
            (
                "breaker.probes_to_close",
                f64::from(b.probes_to_close),
                1.0,
                100.0,
            ),
            ("choice.near_best", c.near_best, 0.0, 1.0),
            ("choice.temperature", c.temperature, 0.0, 1.0),
            ("choice.optimism", c.optimism, 0.0, 10.0),
            ("choice.cascade_optimism", c.cascade_optimism, 0.0, 10.0),
        ] {
            if !(low..=high).contains(&value) {
                let what = format!("{value} is not within {low} to {high}");
                return Err(Error::config(&format!("settings.{key}"), what));
            }
        }
        check_rates(&self.exchange_rates)?;
        self.learning.check()?;
        for (key, well, ill) in [
            ("error_rate", b.well_error_rate, b.ill_error_rate),
            ("slow_rate", b.well_slow_rate, b.ill_slow_rate),
        ] {
            if well >= ill {
                let key = format!("settings.breaker.ill_{key}");
                return Err(Error::config(&key, format!("is not above well_{key}")));
            }
        }
        Ok(())
    }
}

fn check_rates(rates: &BTreeMap<String, f64>) -> Result<(), Error> {
    for (currency, rate) in rates {
        if !(1e-9..=1e9).contains(rate) {
            let key = format!("settings.exchange_rates.{currency}");
            return Err(Error::config(&key, format!("{rate} is no rate")));
        }
    }
    Ok(())
}

impl LearningSettings {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let l = self;
        for (key, value, low, high) in [
            ("account_sd", l.account_sd, 0.0, 5.0),
            ("network_sd", l.network_sd, 0.0, 5.0),
            ("funding_sd", l.funding_sd, 0.0, 5.0),
            ("amount_sd", l.amount_sd, 0.0, 5.0),
            ("country_sd", l.country_sd, 0.0, 5.0),
            ("segment_sd", l.segment_sd, 0.0, 5.0),
            ("bin_sd", l.bin_sd, 0.0, 5.0),
            ("issuer_sd", l.issuer_sd, 0.0, 5.0),
            ("issuer_bin_sd", l.issuer_bin_sd, 0.0, 5.0),
            ("weather_sd", l.weather_sd, 0.0, 5.0),
            ("account_memory_s", l.account_memory_s, 1.0, 1e9),
            ("country_memory_s", l.country_memory_s, 1.0, 1e9),
            ("segment_memory_s", l.segment_memory_s, 1.0, 1e9),
            ("trait_memory_s", l.trait_memory_s, 1.0, 1e9),
            ("issuer_memory_s", l.issuer_memory_s, 1.0, 1e9),
            ("weather_memory_s", l.weather_memory_s, 1.0, 1e9),
            ("quarantine_logit", l.quarantine_logit, 0.01, 1e6),
            ("alarm_sigmas", l.alarm_sigmas, 1.0, 1e6),
            ("alarm_half_life_s", l.alarm_half_life_s, 1.0, 1e6),
            ("account_jump_sd", l.account_jump_sd, 0.0, 5.0),
            ("segment_jump_sd", l.segment_jump_sd, 0.0, 5.0),
            ("weather_jump_sd", l.weather_jump_sd, 0.0, 5.0),
            ("hard_decline_weight", l.hard_decline_weight, 0.01, 1.0),
            ("cascade_correlation", l.cascade_correlation, 0.05, 0.95),
            ("cascade_correlation_sd", l.cascade_correlation_sd, 0.0, 0.5),
        ] {
            if !(low..=high).contains(&value) {
                let what = format!("{value} is not within {low} to {high}");
                return Err(Error::config(&format!("settings.learning.{key}"), what));
            }
        }
        Ok(())
    }
}
