//! The router's configuration as it comes in: JSON, checked, with errors that name the key.
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Code, Error};
use crate::limits::RateLimit;
use crate::objective::{FeeConfig, ObjectiveConfig};
use crate::rules::Document;
use crate::settings::Settings;

/// More accounts per merchant than anyone has; it bounds what one decision costs.
const MOST_ACCOUNTS: usize = 4096;
const LONGEST_ID: usize = 128;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub accounts: Vec<AccountConfig>,
    #[serde(default)]
    pub profiles: Vec<ProfileConfig>,
    #[serde(default)]
    pub settings: Settings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountConfig {
    pub id: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Empty lists mean "any".
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub networks: Vec<String>,
    #[serde(default)]
    pub currencies: Vec<String>,
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// By currency; a currency without an entry has no limit.
    #[serde(default)]
    pub amount_limits: BTreeMap<String, AmountLimit>,
    /// Calls that may be open at once; 0 means no limit.
    #[serde(default)]
    pub max_in_flight: u32,
    /// Lowers the cap below `max_in_flight` while the account bears its load badly.
    #[serde(default)]
    pub adaptive_in_flight: bool,
    #[serde(default)]
    pub rate_limit: RateLimit,
    /// Facts that this account wants to know: with one of them unknown it is left out.
    #[serde(default)]
    pub require_known: Vec<FactName>,
    /// What an approved payment costs there.
    #[serde(default)]
    pub fees: FeeConfig,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmountLimit {
    #[serde(default)]
    pub min_minor: Option<i64>,
    #[serde(default)]
    pub max_minor: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FactName {
    Amount,
    Currency,
    Method,
    Network,
    IssuerCountry,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileConfig {
    pub id: String,
    /// Accounts in tiers, the preferred tier first; accounts of one tier compete by their score.
    pub tiers: Vec<Vec<String>>,
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// Whether payments may be used for finding out which account is best.
    #[serde(default = "yes")]
    pub explore: bool,
    /// The merchant's rules for it, by docs/rules.md.
    #[serde(default)]
    pub ruleset: Option<Document>,
}

fn yes() -> bool {
    true
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let mut from = serde_json::Deserializer::from_slice(json);
        let config: Self = serde_path_to_error::deserialize(&mut from).map_err(|error| {
            // A key without a name makes a path without one.
            let path = Some(error.path().to_string()).filter(|path| !path.is_empty());
            Error::config(path.as_deref().unwrap_or("."), error.inner())
        })?;
        from.end()
            .map_err(|error| Error::new(Code::InvalidConfig, format!(".: {error}")))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        if self.accounts.len() > MOST_ACCOUNTS {
            return Err(Error::config(
                "accounts",
                format!("more than {MOST_ACCOUNTS}"),
            ));
        }
        let mut seen = std::collections::HashSet::new();
        for (i, account) in self.accounts.iter().enumerate() {
            check_id(&format!("accounts[{i}].id"), &account.id)?;
            if !seen.insert(account.id.as_str()) {
                let what = format!("{:?} is there twice", account.id);
                return Err(Error::config(&format!("accounts[{i}].id"), what));
            }
            account.check(i)?;
            account
                .rate_limit
                .check(&format!("accounts[{i}].rate_limit"))?;
            let key = format!("accounts[{i}].fees");
            account.fees.check(&key, &self.settings.exchange_rates)?;
        }
        let mut profiles = std::collections::HashSet::new();
        for (i, profile) in self.profiles.iter().enumerate() {
            check_id(&format!("profiles[{i}].id"), &profile.id)?;
            if !profiles.insert(profile.id.as_str()) {
                let what = format!("{:?} is there twice", profile.id);
                return Err(Error::config(&format!("profiles[{i}].id"), what));
            }
            profile.check(i, &seen)?;
            profile
                .objective
                .check(&format!("profiles[{i}].objective"))?;
        }
        self.settings.check()
    }
}

impl AccountConfig {
    fn check(&self, i: usize) -> Result<(), Error> {
        for (currency, limit) in &self.amount_limits {
            let key = format!("accounts[{i}].amount_limits.{currency}");
            if let (Some(min), Some(max)) = (limit.min_minor, limit.max_minor) {
                if min > max {
                    return Err(Error::config(&key, "min_minor is above max_minor"));
                }
            }
            if limit.min_minor.is_some_and(|v| v < 0) || limit.max_minor.is_some_and(|v| v < 0) {
                return Err(Error::config(&key, "a limit is negative"));
            }
        }
        let lists = [
            ("methods", &self.methods),
            ("networks", &self.networks),
            ("currencies", &self.currencies),
            ("countries", &self.countries),
            ("capabilities", &self.capabilities),
        ];
        for (name, list) in lists {
            for (k, word) in list.iter().enumerate() {
                if word.is_empty() || word.len() > 64 {
                    let key = format!("accounts[{i}].{name}[{k}]");
                    return Err(Error::config(&key, "is empty or longer than 64 bytes"));
                }
            }
        }
        Ok(())
    }
}

impl ProfileConfig {
    fn check(&self, i: usize, known: &std::collections::HashSet<&str>) -> Result<(), Error> {
        let mut seen = std::collections::HashSet::new();
        for (t, tier) in self.tiers.iter().enumerate() {
            for (k, id) in tier.iter().enumerate() {
                let key = format!("profiles[{i}].tiers[{t}][{k}]");
                if !known.contains(id.as_str()) {
                    return Err(Error::config(&key, format!("there is no account {id:?}")));
                }
                if !seen.insert(id.as_str()) {
                    return Err(Error::config(&key, format!("{id:?} is there twice")));
                }
            }
        }
        if self.tiers.len() > 255 || seen.len() > 255 {
            let key = format!("profiles[{i}].tiers");
            return Err(Error::config(&key, "more than 255 tiers or accounts"));
        }
        Ok(())
    }
}

fn check_id(key: &str, id: &str) -> Result<(), Error> {
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(Error::config(key, "is empty or longer than 128 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> String {
        let error = Config::parse(json.as_bytes()).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfig);
        error.message
    }

    #[test]
    fn errors_name_the_key() {
        assert!(message(r#"{"accounts":[{"id":"a","netwroks":[]}]}"#).contains("accounts[0]"));
        assert!(message(r#"{"accounts":[{"id":"a"},{"id":"a"}]}"#).starts_with("accounts[1].id"));
        let gone = r#"{"accounts":[],"profiles":[{"id":"p","tiers":[["x"]]}]}"#;
        assert!(message(gone).starts_with("profiles[0].tiers[0][0]"));
        let zero = r#"{"accounts":[],"settings":{"health":{"issuer_half_life_s":0}}}"#;
        assert!(message(zero).starts_with("settings.health.issuer_half_life_s"));
        let turned = r#"{"accounts":[],"settings":{"breaker":{"ill_error_rate":0.005}}}"#;
        assert!(message(turned).starts_with("settings.breaker.ill_error_rate"));
        let limit =
            r#"{"accounts":[{"id":"a","amount_limits":{"EUR":{"min_minor":5,"max_minor":1}}}]}"#;
        assert!(message(limit).starts_with("accounts[0].amount_limits.EUR"));
        assert!(!message("{").is_empty());
        assert!(!message("").is_empty());
        assert!(message(r#"{"accounts":[]} x"#).starts_with('.'));
    }

    #[test]
    fn the_defaults_are_valid() {
        Settings::default().check().unwrap();
    }
}
