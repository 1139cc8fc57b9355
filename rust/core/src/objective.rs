//! What a payment at an account is worth: approval against fees and waiting.
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Error;
use crate::facts::{Facts, symbol};

/// What a call to this account costs when the payment is approved. All parts add up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FeeConfig {
    pub bps: f64,
    /// In minor units of `currency`, or of the payment's own where that is empty.
    pub fixed_minor: f64,
    pub currency: String,
    /// Added where the issuer is outside `home_country`; an unknown issuer counts as outside.
    pub cross_border_bps: f64,
    pub home_country: String,
    /// Added where the payment's currency is none of these; empty means that all are settled.
    pub conversion_bps: f64,
    pub settlement_currencies: Vec<String>,
    /// Interchange and scheme fees (interchange++): the first line that fits is added.
    pub lines: Vec<FeeLine>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FeeLine {
    /// Empty fits any; an unknown fact fits only an empty one.
    pub network: String,
    pub funding: String,
    pub issuer_country: String,
    /// Fits only issuers outside (true) or inside (false) the account's home country.
    pub cross_border: Option<bool>,
    pub bps: f64,
    pub fixed_minor: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ObjectiveKind {
    /// The most approvals, whatever they cost.
    #[default]
    Approval,
    /// The most money left: P(approved) x (margin - fee) - the price of waiting.
    Value,
    /// As approval, with fees and waiting weighed in; cost and latency are presets of it.
    Weighted,
    Cost,
    Latency,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ObjectiveConfig {
    pub kind: ObjectiveKind,
    /// value: what an approved payment earns before fees, in basis points of its amount.
    pub margin_bps: f64,
    /// value: what a second of waiting costs, in minor units.
    pub latency_minor_per_s: f64,
    /// weighted: points of approval that one basis point of fee, and a second, are worth.
    pub approval_per_fee_bps: f64,
    pub approval_per_latency_s: f64,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::Approval,
            margin_bps: 300.0,
            latency_minor_per_s: 0.0,
            approval_per_fee_bps: 0.0,
            approval_per_latency_s: 0.0,
        }
    }
}

/// cost: five basis points of fee weigh as much as one point of approval.
const COST_PER_BPS: f64 = 0.002;
/// latency: a tenth of a second weighs as much as one point of approval.
const LATENCY_PER_S: f64 = 0.1;

/// A profile's objective as decisions use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Objective {
    value: bool,
    margin: f64,
    latency_minor_per_s: f64,
    per_fee: f64,
    per_latency_s: f64,
}

/// What an account gets for one payment: merit = worth x P(approved) - waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Worth {
    pub fee_minor: f64,
    /// Per unit of approval probability, before scaling.
    pub gain: f64,
    pub waiting: f64,
}

impl Objective {
    pub fn new(config: &ObjectiveConfig) -> Self {
        let (per_fee_bps, per_latency_s) = match config.kind {
            ObjectiveKind::Approval | ObjectiveKind::Value => (0.0, 0.0),
            ObjectiveKind::Weighted => {
                (config.approval_per_fee_bps, config.approval_per_latency_s)
            }
            ObjectiveKind::Cost => (COST_PER_BPS, 0.0),
            ObjectiveKind::Latency => (0.0, LATENCY_PER_S),
        };
        Self {
            value: config.kind == ObjectiveKind::Value,
            margin: config.margin_bps * 1e-4,
            latency_minor_per_s: config.latency_minor_per_s,
            per_fee: per_fee_bps * 1e4,
            per_latency_s,
        }
    }

    /// The amount counts as 100.00 where it is unknown.
    pub fn worth(&self, amount_minor: Option<i64>, fee_minor: f64, latency_ms: f64) -> Worth {
        let amount = amount_minor.map_or(10_000.0, |a| a.max(1) as f64);
        let latency_s = latency_ms * 1e-3;
        let (gain, waiting) = if self.value {
            (
                amount * self.margin - fee_minor,
                self.latency_minor_per_s * latency_s,
            )
        } else {
            (
                1.0 - self.per_fee * fee_minor / amount,
                self.per_latency_s * latency_s,
            )
        };
        Worth {
            fee_minor,
            gain,
            waiting,
        }
    }

    /// Money is scaled to the best that this payment could earn, so that scores are about 0 to 1
    /// and the choice rule's figures mean the same for every objective.
    pub fn scale(&self, best_gain: f64) -> f64 {
        if self.value { best_gain.max(1.0) } else { 1.0 }
    }
}

/// One account's fees, with words as numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fees {
    bps: f64,
    fixed_minor: f64,
    fixed_rate: Option<f64>,
    cross_border_bps: f64,
    home: u64,
    conversion_bps: f64,
    settled: Vec<u64>,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    network: u64,
    funding: u64,
    country: u64,
    cross_border: Option<bool>,
    bps: f64,
    fixed_minor: f64,
}

/// The payment's words that fees look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeeFacts {
    network: u64,
    funding: u64,
    country: u64,
    currency: u64,
    rate: f64,
    amount: f64,
}

/// Rates of currencies against one that the configuration chose, by symbol.
pub(crate) type Rates = BTreeMap<u64, f64>;

impl FeeFacts {
    pub fn of(facts: &Facts<'_>, rates: &Rates) -> Self {
        let currency = symbol(facts.currency);
        Self {
            network: symbol(facts.network),
            funding: symbol(facts.funding),
            country: symbol(facts.issuer_country),
            currency,
            rate: rates.get(&currency).copied().unwrap_or(1.0),
            amount: facts.amount_minor.map_or(10_000.0, |a| a.max(0) as f64),
        }
    }
}

impl Fees {
    pub fn new(config: &FeeConfig, rates: &Rates) -> Self {
        let word = |text: &str| symbol(Some(text));
        let line = |l: &FeeLine| Line {
            network: word(&l.network),
            funding: word(&l.funding),
            country: word(&l.issuer_country),
            cross_border: l.cross_border,
            bps: l.bps,
            fixed_minor: l.fixed_minor,
        };
        Self {
            bps: config.bps,
            fixed_minor: config.fixed_minor,
            fixed_rate: rates.get(&word(&config.currency)).copied(),
            cross_border_bps: config.cross_border_bps,
            home: word(&config.home_country),
            conversion_bps: config.conversion_bps,
            settled: config
                .settlement_currencies
                .iter()
                .map(|c| word(c))
                .collect(),
            lines: config.lines.iter().map(line).collect(),
        }
    }

    /// The fee for an approved payment, in minor units of its currency.
    pub fn fee_minor(&self, facts: &FeeFacts) -> f64 {
        let abroad = facts.country != self.home || facts.country == 0;
        let mut bps = self.bps;
        let mut fixed = self.fixed_minor;
        if abroad {
            bps += self.cross_border_bps;
        }
        if !self.settled.is_empty() && !self.settled.contains(&facts.currency) {
            bps += self.conversion_bps;
        }
        let fits = |wanted: u64, word: u64| wanted == 0 || wanted == word;
        let line = self.lines.iter().find(|line| {
            fits(line.network, facts.network)
                && fits(line.funding, facts.funding)
                && fits(line.country, facts.country)
                && line.cross_border.is_none_or(|wanted| wanted == abroad)
        });
        if let Some(line) = line {
            bps += line.bps;
            fixed += line.fixed_minor;
        }
        let exchange = self.fixed_rate.map_or(1.0, |rate| rate / facts.rate);
        facts.amount * bps * 1e-4 + fixed * exchange
    }
}

impl FeeConfig {
    pub fn check(&self, key: &str, rates: &BTreeMap<String, f64>) -> Result<(), Error> {
        let within = |name: &str, value: f64, high: f64| {
            if (-high..=high).contains(&value) {
                return Ok(());
            }
            let what = format!("{value} is not within -{high} to {high}");
            Err(Error::config(&format!("{key}.{name}"), what))
        };
        within("bps", self.bps, 1e4)?;
        within("fixed_minor", self.fixed_minor, 1e9)?;
        within("cross_border_bps", self.cross_border_bps, 1e4)?;
        within("conversion_bps", self.conversion_bps, 1e4)?;
        for (i, line) in self.lines.iter().enumerate() {
            within(&format!("lines[{i}].bps"), line.bps, 1e4)?;
            within(&format!("lines[{i}].fixed_minor"), line.fixed_minor, 1e9)?;
        }
        let known = self.currency.is_empty() || rates.contains_key(&self.currency);
        if !known {
            let what = format!("{:?} has no rate in settings.exchange_rates", self.currency);
            return Err(Error::config(&format!("{key}.currency"), what));
        }
        if self.cross_border_bps != 0.0 && self.home_country.is_empty() {
            let what = "is needed to tell what crosses a border";
            return Err(Error::config(&format!("{key}.home_country"), what));
        }
        Ok(())
    }
}

impl ObjectiveConfig {
    pub fn check(&self, key: &str) -> Result<(), Error> {
        for (name, value, high) in [
            ("margin_bps", self.margin_bps, 1e4),
            ("latency_minor_per_s", self.latency_minor_per_s, 1e6),
            ("approval_per_fee_bps", self.approval_per_fee_bps, 1.0),
            ("approval_per_latency_s", self.approval_per_latency_s, 10.0),
        ] {
            if !(0.0..=high).contains(&value) {
                let what = format!("{value} is not within 0 to {high}");
                return Err(Error::config(&format!("{key}.{name}"), what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fee(json: &str, facts: &Facts<'_>) -> f64 {
        let rates = Rates::from([(symbol(Some("EUR")), 1.0), (symbol(Some("USD")), 0.8)]);
        let config: FeeConfig = serde_json::from_str(json).unwrap();
        Fees::new(&config, &rates).fee_minor(&FeeFacts::of(facts, &rates))
    }

    #[test]
    fn fees_add_up() {
        let mut facts = Facts {
            amount_minor: Some(10_000),
            currency: Some("USD"),
            network: Some("visa"),
            funding: Some("debit"),
            issuer_country: Some("DE"),
            ..Facts::default()
        };
        assert_eq!(fee(r#"{"bps": 80, "fixed_minor": 10}"#, &facts), 90.0);
        let cross = r#"{"bps": 80, "cross_border_bps": 60, "home_country": "GB"}"#;
        assert_eq!(fee(cross, &facts), 140.0);
        facts.issuer_country = Some("gb");
        assert_eq!(fee(cross, &facts), 80.0);
        // 10 euro cents are 12.5 US cents.
        assert_eq!(
            fee(r#"{"fixed_minor": 10, "currency": "EUR"}"#, &facts),
            12.5
        );
        let settled = r#"{"conversion_bps": 100, "settlement_currencies": ["EUR"]}"#;
        assert_eq!(fee(settled, &facts), 100.0);
        let lines = r#"{"bps": 10, "lines": [
            {"network": "mastercard", "bps": 500},
            {"network": "visa", "funding": "debit", "bps": 20, "fixed_minor": 5},
            {"bps": 180}]}"#;
        assert_eq!(fee(lines, &facts), 35.0);
        facts.funding = None;
        assert_eq!(fee(lines, &facts), 190.0);
    }
}
