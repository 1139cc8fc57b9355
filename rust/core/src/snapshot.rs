//! One compiled configuration: accounts as small numbers, what they accept as bitsets.
//!
//! For every dimension (method, network, currency, issuer country, capability) a word leads to
//! the set of accounts that take it, so that eligibility is a few ANDs of machine words however
//! many accounts there are. The filter's reason is looked for only where an account fell out.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::config::{AccountConfig, AmountLimit, Config, FactName, ProfileConfig};
use crate::counters::profile_key;
use crate::error::{Code, Error};
use crate::facts::{Facts, symbol};
use crate::limits::RateLimit;
use crate::objective::{Fees, Objective, Rates};
use crate::rules::{Ruleset, places_of};
use crate::scores::Model;
use crate::settings::Settings;
use crate::wire::hash64;

/// Why an account cannot take a payment. The number is what records hold: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FilterReason {
    Disabled = 1,
    Excluded = 2,
    Method = 3,
    Network = 4,
    Currency = 5,
    IssuerCountry = 6,
    AmountBelowMin = 7,
    AmountAboveMax = 8,
    Capability = 9,
    UnknownFact = 10,
    RuleOnly = 11,
    RuleExclude = 12,
    RuleCap = 13,
    /// Only where a recorded decision is tried under other rules.
    NoEvidence = 14,
}

impl FilterReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Excluded => "excluded",
            Self::Method => "method",
            Self::Network => "network",
            Self::Currency => "currency",
            Self::IssuerCountry => "issuer_country",
            Self::AmountBelowMin => "amount_below_min",
            Self::AmountAboveMax => "amount_above_max",
            Self::Capability => "capability",
            Self::UnknownFact => "unknown_fact",
            Self::RuleOnly => "rule_only",
            Self::RuleExclude => "rule_exclude",
            Self::RuleCap => "rule_cap",
            Self::NoEvidence => "no_evidence",
        }
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Disabled => "the account is disabled",
            Self::Excluded => "the caller excluded the account",
            Self::Method => "the account does not take this payment method",
            Self::Network => "the account does not take this card network",
            Self::Currency => "the account does not take this currency",
            Self::IssuerCountry => "the account does not take cards from this issuer country",
            Self::AmountBelowMin => "the amount is below the account's minimum in this currency",
            Self::AmountAboveMax => "the amount is above the account's maximum in this currency",
            Self::Capability => "the account lacks a capability that the payment needs",
            Self::UnknownFact => "a fact that the account wants to know is unknown",
            Self::RuleOnly => "a rule keeps other accounts only",
            Self::RuleExclude => "a rule leaves the account out",
            Self::RuleCap => "the account has reached a rule's cap for the day or month",
            Self::NoEvidence => "the record says nothing of the account at that time",
        }
    }
}

/// Keys are hashes already; hashing them again would be work for nothing.
#[derive(Default)]
pub(crate) struct KeptHash(u64);

impl Hasher for KeptHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash64(bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

pub(crate) type SymbolMap<V> = HashMap<u64, V, BuildHasherDefault<KeptHash>>;

type Bits = Box<[u64]>;

/// Which accounts take which words of one fact.
#[derive(Debug)]
struct Dimension {
    by_word: SymbolMap<Bits>,
    /// Accounts that take any word: what a word that no account names leads to.
    any: Bits,
    /// Accounts that also take a payment where this fact is unknown.
    unknown: Bits,
}

impl Dimension {
    fn set(&self, word: u64) -> &[u64] {
        if word == 0 {
            return &self.unknown;
        }
        self.by_word.get(&word).unwrap_or(&self.any)
    }
}

/// A profile's account: where it stands, and in which tier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub account: u16,
    pub tier: u8,
    /// Its number in the profile, which rules know it by.
    pub index: u8,
}

#[derive(Debug)]
pub(crate) struct Profile {
    pub places: Vec<Place>,
    pub objective: Objective,
    pub explore: bool,
    pub ruleset: Option<Ruleset>,
    /// What its approved payments are counted under.
    pub counted: u64,
}

#[derive(Debug)]
pub struct Snapshot {
    /// The configuration's content as a number: equal content, equal version.
    pub version: u64,
    pub settings: Settings,
    pub(crate) ids: Vec<Box<str>>,
    pub(crate) by_id: HashMap<Box<str>, u16>,
    pub(crate) max_in_flight: Vec<u32>,
    pub(crate) adaptive: Vec<bool>,
    pub(crate) rate_limits: Vec<RateLimit>,
    /// Each account's number in records: the same in every configuration.
    pub(crate) account_keys: Vec<u64>,
    pub(crate) profiles: Vec<Profile>,
    profile_by_id: HashMap<Box<str>, u32>,
    /// What approved payments are counted under, of all profiles.
    pub(crate) counted: SymbolMap<()>,
    pub(crate) model: Model,
    pub(crate) fees: Vec<Fees>,
    pub(crate) rates: Rates,
    enabled: Bits,
    want_amount: Bits,
    dimensions: [(Dimension, FilterReason); 4],
    capabilities: SymbolMap<Bits>,
    none: Bits,
    limits: Limits,
}

impl Snapshot {
    pub fn compile(json: &[u8]) -> Result<Self, Error> {
        let config = Config::parse(json)?;
        let count = config.accounts.len();
        let limits = compile_limits(&config.accounts);
        let wants = |i: usize, fact| config.accounts[i].require_known.contains(&fact);
        let dimension = |list: fn(&AccountConfig) -> &Vec<String>, fact| {
            let words = |i: usize| list(&config.accounts[i]).as_slice();
            compile_dimension(count, &words, &|i| wants(i, fact))
        };
        let by = |list, fact, reason| (dimension(list, fact), reason);
        let dimensions = [
            by(|a| &a.methods, FactName::Method, FilterReason::Method),
            by(|a| &a.networks, FactName::Network, FilterReason::Network),
            by(
                |a| &a.currencies,
                FactName::Currency,
                FilterReason::Currency,
            ),
            by(
                |a| &a.countries,
                FactName::IssuerCountry,
                FilterReason::IssuerCountry,
            ),
        ];
        let able = |i: usize| config.accounts[i].capabilities.as_slice();
        let capabilities = compile_words(count, &able);
        let ids: Vec<Box<str>> = config
            .accounts
            .iter()
            .map(|a| a.id.as_str().into())
            .collect();
        let by_id: HashMap<Box<str>, u16> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.clone(), i as u16))
            .collect();
        let profiles = compile_profiles(&config.profiles, &by_id)?;
        let profile_ids = config.profiles.iter().map(|p| p.id.as_str().into());
        let set = &config.settings;
        let rates = compile_rates(set);
        let health = &set.health;
        let accounts = config.accounts.iter();
        Ok(Self {
            version: hash64(json),
            max_in_flight: config.accounts.iter().map(|a| a.max_in_flight).collect(),
            adaptive: accounts.clone().map(|a| a.adaptive_in_flight).collect(),
            rate_limits: accounts.clone().map(|a| a.rate_limit).collect(),
            enabled: bits(count, |i| config.accounts[i].enabled),
            want_amount: bits(count, |i| wants(i, FactName::Amount)),
            none: bits(count, |_| false),
            model: Model::new(health.prior_approval, &set.learning, health.max_segments),
            fees: accounts.map(|a| Fees::new(&a.fees, &rates)).collect(),
            rates,
            settings: config.settings.clone(),
            account_keys: ids.iter().map(|id| hash64(id.as_bytes())).collect(),
            ids,
            by_id,
            profile_by_id: profile_ids.zip(0..).collect(),
            counted: profiles.iter().map(|p| (p.counted, ())).collect(),
            profiles,
            dimensions,
            capabilities,
            limits,
        })
    }

    #[must_use]
    pub fn account_id(&self, account: u16) -> &str {
        &self.ids[account as usize]
    }

    /// A profile's number among `profiles`.
    pub(crate) fn profile(&self, id: &str) -> Result<u32, Error> {
        let profile = self.profile_by_id.get(id).copied();
        profile
            .ok_or_else(|| Error::new(Code::UnknownProfile, format!("there is no profile {id:?}")))
    }

    /// Sorts a profile's accounts into those that can take the payment and those that cannot.
    pub(crate) fn filter(
        &self,
        places: &[Place],
        facts: &Facts<'_>,
        mut eligible: impl FnMut(Place),
        mut filtered: impl FnMut(u16, FilterReason),
    ) {
        let words = [
            symbol(facts.method),
            symbol(facts.network),
            symbol(facts.currency),
            symbol(facts.issuer_country),
        ];
        let sets = [0, 1, 2, 3].map(|d| self.dimensions[d].0.set(words[d]));
        let limits = self.limits.get(&words[2]).map_or(&[][..], Vec::as_slice);
        'places: for place in places {
            let id = place.account as usize;
            let (word, bit) = (id / 64, id % 64);
            let has = |set: &[u64]| set[word] >> bit & 1 == 1;
            if !has(&self.enabled) {
                filtered(place.account, FilterReason::Disabled);
                continue;
            }
            if facts.excluded.iter().any(|x| **x == *self.ids[id]) {
                filtered(place.account, FilterReason::Excluded);
                continue;
            }
            for (d, set) in sets.iter().enumerate() {
                if !has(set) {
                    let unknown = words[d] == 0;
                    let reason = self.dimensions[d].1;
                    let reason = if unknown {
                        FilterReason::UnknownFact
                    } else {
                        reason
                    };
                    filtered(place.account, reason);
                    continue 'places;
                }
            }
            for capability in &facts.capabilities {
                let set = self.capabilities.get(&symbol(Some(capability)));
                if !has(set.unwrap_or(&self.none)) {
                    filtered(place.account, FilterReason::Capability);
                    continue 'places;
                }
            }
            match self.amount_reason(place.account, facts.amount_minor, limits) {
                Some(reason) => filtered(place.account, reason),
                None => eligible(*place),
            }
        }
    }

    fn amount_reason(
        &self,
        account: u16,
        amount_minor: Option<i64>,
        limits: &[(u16, AmountLimit)],
    ) -> Option<FilterReason> {
        let Some(amount) = amount_minor else {
            let id = account as usize;
            let wants = self.want_amount[id / 64] >> (id % 64) & 1 == 1;
            return wants.then_some(FilterReason::UnknownFact);
        };
        let found = limits.binary_search_by_key(&account, |(id, _)| *id).ok()?;
        let limit = limits[found].1;
        if limit.min_minor.is_some_and(|min| amount < min) {
            return Some(FilterReason::AmountBelowMin);
        }
        let above = limit.max_minor.is_some_and(|max| amount > max);
        above.then_some(FilterReason::AmountAboveMax)
    }
}

/// By currency, each with its accounts in their order.
type Limits = SymbolMap<Vec<(u16, AmountLimit)>>;

fn compile_limits(accounts: &[AccountConfig]) -> Limits {
    let mut limits = Limits::default();
    for (account, i) in accounts.iter().zip(0_u16..) {
        for (currency, limit) in &account.amount_limits {
            let key = symbol(Some(currency));
            limits.entry(key).or_default().push((i, *limit));
        }
    }
    limits
}

fn compile_rates(set: &Settings) -> Rates {
    let rates = set.exchange_rates.iter();
    rates
        .map(|(currency, rate)| (symbol(Some(currency)), *rate))
        .collect()
}

fn compile_profiles(
    profiles: &[ProfileConfig],
    by_id: &HashMap<Box<str>, u16>,
) -> Result<Vec<Profile>, Error> {
    let compile = |(i, profile): (usize, &ProfileConfig)| {
        // Empty tiers are dropped: the numbers say how preferred a tier is among those there are.
        let tiers = profile.tiers.iter().filter(|t| !t.is_empty());
        let places = tiers
            .zip(0_u8..)
            .flat_map(|(ids, tier)| ids.iter().map(move |id| (id, tier)));
        let places = places.zip(0_u8..).map(|((id, tier), index)| Place {
            account: by_id[id.as_str()],
            tier,
            index,
        });
        let ids = profile.tiers.iter().flatten().map(String::as_str);
        let key = format!("profiles[{i}].ruleset");
        let ruleset = profile.ruleset.as_ref();
        let ruleset = ruleset.map(|doc| Ruleset::compile(doc, &key, &places_of(ids)));
        let ruleset = ruleset.transpose()?;
        let objective = ruleset.as_ref().and_then(|ruleset| ruleset.objective);
        Ok(Profile {
            places: places.collect(),
            objective: objective.unwrap_or_else(|| Objective::new(&profile.objective)),
            explore: profile.explore,
            ruleset,
            counted: profile_key(&profile.id),
        })
    };
    profiles.iter().enumerate().map(compile).collect()
}

fn bits(count: usize, test: impl Fn(usize) -> bool) -> Bits {
    let mut out = vec![0_u64; count.div_ceil(64)].into_boxed_slice();
    for i in (0..count).filter(|i| test(*i)) {
        out[i / 64] |= 1 << (i % 64);
    }
    out
}

fn compile_words<'a>(count: usize, words: &dyn Fn(usize) -> &'a [String]) -> SymbolMap<Bits> {
    let mut sets: SymbolMap<Bits> = SymbolMap::default();
    for i in 0..count {
        for word in words(i) {
            let set = sets.entry(symbol(Some(word)));
            set.or_insert_with(|| bits(count, |_| false))[i / 64] |= 1 << (i % 64);
        }
    }
    sets
}

fn compile_dimension<'a>(
    count: usize,
    words: &dyn Fn(usize) -> &'a [String],
    wanted: &dyn Fn(usize) -> bool,
) -> Dimension {
    let any = bits(count, |i| words(i).is_empty());
    let mut by_word = compile_words(count, words);
    for set in by_word.values_mut() {
        for (word, open) in set.iter_mut().zip(&any) {
            *word |= open;
        }
    }
    Dimension {
        by_word,
        any,
        unknown: bits(count, |i| !wanted(i)),
    }
}
