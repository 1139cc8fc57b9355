//! The document as it comes in: JSON with the keys of docs/rules.md, and nothing else.
//!
//! Reading checks shapes; what a value may be is checked where it is compiled. Both name the path.
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, de::DeserializeOwned};

use crate::objective::ObjectiveConfig;

pub(crate) const MOST_RULES: usize = 10_000;
pub(crate) const MOST_CONDITIONS: usize = 32;
/// Words, prefixes or ranges in one condition, and accounts or entries in one outcome.
pub(crate) const MOST_WORDS: usize = 1_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub mode: Mode,
    #[serde(default)]
    pub objective: Option<ObjectiveConfig>,
    #[serde(default)]
    pub rules: Vec<RuleDocument>,
    #[serde(default)]
    pub otherwise: Option<OutcomesDocument>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    FirstMatch,
    Accumulate,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleDocument {
    pub id: String,
    /// For people; it decides nothing.
    #[serde(default, rename = "description")]
    pub _description: String,
    #[serde(default)]
    pub when: Vec<ConditionDocument>,
    pub then: OutcomesDocument,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FactWord {
    AmountMinor,
    Currency,
    Method,
    CaptureMethod,
    Network,
    Funding,
    Channel,
    ThreeDs,
    IssuerCountry,
    BillingCountry,
    Bin,
    Recurring,
    RiskScore,
    Metadata,
    Time,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    Match,
    NoMatch,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionDocument {
    pub fact: FactWord,
    #[serde(default)]
    pub missing: Option<Missing>,
    #[serde(default)]
    pub not: bool,
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default, rename = "in")]
    pub words: Option<Vec<String>>,
    #[serde(default)]
    pub prefix: Option<Vec<String>>,
    #[serde(default)]
    pub ranges: Option<Vec<(String, String)>>,
    #[serde(default)]
    pub min: Option<i64>,
    #[serde(default)]
    pub max: Option<i64>,
    #[serde(default)]
    pub is: Option<bool>,
    #[serde(default)]
    pub zone: Option<String>,
    #[serde(default)]
    pub days: Option<Vec<Day>>,
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub until: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutcomesDocument {
    pub only: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub priority: Option<Vec<Vec<String>>>,
    #[serde(deserialize_with = "pairs")]
    pub split: Option<Vec<(String, u32)>>,
    #[serde(deserialize_with = "pairs")]
    pub weight: Option<Vec<(String, f64)>>,
    pub cap: Option<Vec<CapDocument>>,
    pub commit: Option<Vec<CommitDocument>>,
    pub cheapest_within_points: Option<f64>,
    pub block: Option<String>,
    pub require_three_ds: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeriodWord {
    Day,
    Month,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapDocument {
    pub account: String,
    pub per: PeriodWord,
    #[serde(default)]
    pub payments: Option<u64>,
    #[serde(default)]
    pub amount_minor: Option<u64>,
    #[serde(default)]
    pub currency: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommitDocument {
    pub account: String,
    pub per: PeriodWord,
    pub payments: u64,
    pub within_points: f64,
}

/// A JSON object in its order; a key that stands twice is an error, where a map would keep one.
fn pairs<'de, D, T>(from: D) -> Result<Option<Vec<(String, T)>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Pairs<T>(std::marker::PhantomData<T>);
    impl<'de, T: DeserializeOwned> Visitor<'de> for Pairs<T> {
        type Value = Option<Vec<(String, T)>>;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an object of accounts and numbers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found: Vec<(String, T)> = Vec::new();
            let mut seen = std::collections::HashSet::new();
            while let Some(key) = map.next_key::<String>()? {
                if !seen.insert(key.clone()) {
                    return Err(A::Error::custom(format!("{key:?} stands twice")));
                }
                found.push((key, map.next_value()?));
            }
            Ok(Some(found))
        }
    }
    from.deserialize_map(Pairs(std::marker::PhantomData))
}
