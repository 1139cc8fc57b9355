//! One decision: filter, rules, rank, draw.
use std::sync::{Arc, Mutex};

use crate::choose::{Candidate, Evidence, FirstBy, Gate, rank, score};
use crate::counters::{Calendar, Counted, Period};
use crate::error::Error;
use crate::facts::{Facts, Segments, symbol};
use crate::objective::FeeFacts;
use crate::record::{Count, write_counts, write_evidence, write_question};
use crate::rules::{PlaceSet, Preference, Verdict};
use crate::scores::Declined;
use crate::snapshot::{FilterReason, Place, Profile, Snapshot};
use crate::wire::{Writer, hash64};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    pub account: u16,
    pub tier: u8,
    pub gate: Gate,
    /// What it is ranked by: the objective's worth of a call, scaled to about 0 to 1. With the
    /// approval objective this is the probability of approval, both channels together.
    pub score: f64,
    /// The exact probability that this account was ranked first.
    pub propensity: f64,
    /// The issuer's channel and the technical one, apart.
    pub approval: f32,
    pub failure: f32,
    /// Standard deviation of `approval`.
    pub approval_sd: f32,
    pub latency_ms: f32,
    /// The fee of an approved payment, in minor units of its currency.
    pub fee_minor: f64,
    /// What would have changed the choice: the issuer's approval at which this account's score
    /// would have equalled the first one's. None where no approval would have been enough.
    pub approval_to_lead: Option<f64>,
    /// What rules added to the score.
    pub weight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtered {
    pub account: u16,
    pub reason: FilterReason,
}

/// The rule that refuses a payment, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub rule_id: String,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct Decision {
    pub snapshot: Arc<Snapshot>,
    pub ranked: Vec<Ranked>,
    pub filtered: Vec<Filtered>,
    /// No account may be called: all breakers are open or all caps reached.
    pub degraded: bool,
    pub first_by: FirstBy,
    pub now_ns: i64,
    pub seed: u64,
    /// A rule refuses the payment; nothing is ranked then.
    pub blocked: Option<Blocked>,
    pub require_three_ds: bool,
    pub(crate) profile: u32,
    pub(crate) matched: Vec<u16>,
    pub(crate) counted: Counted,
    pub(crate) segments: Segments,
    /// Which accounts have declined this payment: what a second attempt is compared with. It is
    /// no part of the decision, and so of no record.
    pub(crate) declined: Arc<Mutex<Declined>>,
    inputs: Vec<u8>,
}

impl Decision {
    /// Everything that the decision was made from, and a checksum of what came out.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.inputs.len() + 16);
        out.bytes.extend_from_slice(&self.inputs);
        out.u64(self.digest());
        out.seal()
    }

    #[must_use]
    pub fn account_id(&self, account: u16) -> &str {
        self.snapshot.account_id(account)
    }

    /// The rules that the payment matched, in their order.
    pub fn matched_rules(&self) -> impl Iterator<Item = &str> {
        let ruleset = self.snapshot.profiles[self.profile as usize]
            .ruleset
            .as_ref();
        let rules = self.matched.iter();
        rules.filter_map(move |rule| ruleset.map(|ruleset| ruleset.rule_id(*rule)))
    }

    pub(crate) fn digest(&self) -> u64 {
        let mut out = Writer::with_capacity(self.ranked.len() * 32);
        for r in &self.ranked {
            out.u16(r.account);
            out.u8(r.gate as u8);
            out.f64(r.score);
            out.f64(r.propensity);
        }
        for f in &self.filtered {
            out.u16(f.account);
            out.u8(f.reason as u8);
        }
        self.matched.iter().for_each(|rule| out.u16(*rule));
        if let Some(blocked) = &self.blocked {
            out.bytes.extend_from_slice(blocked.rule_id.as_bytes());
        }
        out.u8(u8::from(self.degraded) | u8::from(self.require_three_ds) << 1);
        hash64(&out.bytes)
    }
}

/// What a decision is asked for.
pub(crate) struct Question<'a> {
    pub profile: &'a str,
    pub facts: &'a Facts<'a>,
    pub now_ns: i64,
    /// What calendars go by: `now_ns` where it can be believed.
    pub wall_ns: i64,
    pub seed: u64,
}

/// What is known at the moment of a decision.
pub(crate) trait Sight {
    /// What is known of an eligible account for the payment's segments; None where nothing is.
    fn evidence(&mut self, place: Place) -> Option<Evidence>;

    /// What an account was approved in this profile in the present period: payments where the
    /// currency is 0, otherwise minor units of it.
    fn count(&mut self, account: u16, per: Period, currency: u64) -> u64;
}

/// Decides, by what can be seen.
pub(crate) fn decide(
    snapshot: &Arc<Snapshot>,
    question: &Question<'_>,
    segments: Segments,
    sight: &mut impl Sight,
) -> Result<Decision, Error> {
    let number = snapshot.profile(question.profile)?;
    let profile = &snapshot.profiles[number as usize];
    let facts = question.facts;
    let mut eligible = Vec::with_capacity(profile.places.len());
    let mut filtered = Vec::new();
    snapshot.filter(
        &profile.places,
        facts,
        |place| eligible.push(place),
        |account, reason| filtered.push(Filtered { account, reason }),
    );
    let ruleset = profile.ruleset.as_ref();
    let verdict = ruleset.map_or_else(Verdict::default, |r| r.judge(facts, question.wall_ns));
    let counts = Counts::of(&verdict, snapshot, profile, question.wall_ns, sight);
    let mut inputs = Writer::with_capacity(160 + 29 * eligible.len());
    write_question(&mut inputs, snapshot.version, question);
    let rules = (&verdict, &counts);
    let out = (&mut inputs, &mut filtered);
    let mut candidates = gather(snapshot, profile, facts, &eligible, rules, sight, out);
    write_counts(&mut inputs, &counts.used);
    score(&mut candidates, &profile.objective);
    let explore = profile.explore && !facts.no_exploring;
    let choice = &snapshot.settings.choice;
    let sticky = facts.sticky_key.map(|key| hash64(key.as_bytes()));
    let preference = Preference {
        split: verdict.split,
        sticky: sticky.unwrap_or(question.seed),
        account_keys: &snapshot.account_keys,
        lagging: counts.lagging,
        cheapest_within: verdict.cheapest_within,
    };
    let first_by = rank(&mut candidates, question.seed, choice, explore, &preference);
    Ok(Decision {
        snapshot: Arc::clone(snapshot),
        ranked: ranked(&candidates),
        filtered,
        degraded: first_by == FirstBy::LeastIll,
        first_by,
        now_ns: question.now_ns,
        seed: question.seed,
        blocked: verdict.block.map(|(rule_id, reason)| Blocked {
            rule_id: rule_id.to_owned(),
            reason: reason.to_owned(),
        }),
        require_three_ds: verdict.require_three_ds,
        profile: number,
        matched: verdict.matched,
        counted: Counted {
            profile: profile.counted,
            currency: symbol(facts.currency),
            amount_minor: facts.amount_minor.unwrap_or(0),
        },
        segments,
        declined: Arc::default(),
        inputs: inputs.bytes,
    })
}

/// Gathers what is known of the eligible accounts, on the record too, and leaves out those that
/// rules leave out.
fn gather(
    snapshot: &Snapshot,
    profile: &Profile,
    facts: &Facts<'_>,
    eligible: &[Place],
    (verdict, counts): (&Verdict<'_>, &Counts),
    sight: &mut impl Sight,
    (inputs, filtered): (&mut Writer, &mut Vec<Filtered>),
) -> Vec<Candidate> {
    let known_at = inputs.bytes.len();
    inputs.u8(0);
    let fee_facts = FeeFacts::of(facts, &snapshot.rates);
    let mut candidates = Vec::with_capacity(eligible.len());
    for place in eligible {
        let account = place.account;
        let mut out = |reason| filtered.push(Filtered { account, reason });
        let Some(seen) = sight.evidence(*place) else {
            out(FilterReason::NoEvidence);
            continue;
        };
        // Also of accounts that rules leave out: other rules may be tried on the record.
        write_evidence(inputs, snapshot.account_keys[account as usize], &seen);
        inputs.bytes[known_at] += 1;
        if let Some(reason) = refused(verdict, counts.full, place.index) {
            out(reason);
        } else if verdict.block.is_none() {
            let fee_minor = snapshot.fees[account as usize].fee_minor(&fee_facts);
            let latency_ms = f64::from(seen.latency_ms);
            let worth = profile
                .objective
                .worth(facts.amount_minor, fee_minor, latency_ms);
            let tier = verdict
                .tiers
                .map_or(place.tier, |t| t[place.index as usize]);
            let weight = verdict.weight(place.index);
            candidates.push(Candidate::new(
                Place { tier, ..*place },
                seen,
                worth,
                weight,
            ));
        }
    }
    candidates
}

fn refused(verdict: &Verdict<'_>, full: PlaceSet, place: u8) -> Option<FilterReason> {
    if verdict.leaves_out(place) {
        Some(FilterReason::RuleOnly)
    } else if verdict.excludes(place) {
        Some(FilterReason::RuleExclude)
    } else {
        full.has(place).then_some(FilterReason::RuleCap)
    }
}

fn ranked(candidates: &[Candidate]) -> Vec<Ranked> {
    let first = candidates.first().map_or(0.0, |c| c.score);
    let ranked = candidates.iter().map(|c| Ranked {
        account: c.place.account,
        tier: c.place.tier,
        gate: c.evidence.gate,
        score: c.score,
        propensity: c.propensity,
        approval: c.evidence.approval,
        failure: c.evidence.failure,
        approval_sd: c.evidence.approval_sd,
        latency_ms: c.evidence.latency_ms,
        fee_minor: c.worth.fee_minor,
        approval_to_lead: c.approval_to_reach(first),
        weight: c.weight,
    });
    ranked.collect()
}

/// What caps and commitments make of the counts, and the counts themselves for the record.
#[derive(Default)]
struct Counts {
    used: Vec<Count>,
    /// Accounts that reached a cap.
    full: PlaceSet,
    /// Places behind their commitments and how far below the best they may stand, the one that
    /// is furthest behind in front.
    lagging: Vec<(u8, f64)>,
}

impl Counts {
    fn of(
        verdict: &Verdict<'_>,
        snapshot: &Snapshot,
        profile: &Profile,
        wall_ns: i64,
        sight: &mut impl Sight,
    ) -> Self {
        let mut counts = Self::default();
        if verdict.caps.is_empty() && verdict.commits.is_empty() {
            return counts;
        }
        let now = Calendar::at(wall_ns);
        let mut read = |used: &mut Vec<Count>, place: u8, per: Period, currency: u64| {
            let account = profile.places[place as usize].account;
            let account_key = snapshot.account_keys[account as usize];
            let same =
                |c: &&Count| (c.account_key, c.per, c.currency) == (account_key, per, currency);
            if let Some(known) = used.iter().find(same) {
                return known.value;
            }
            let value = sight.count(account, per, currency);
            used.push(Count {
                account_key,
                per,
                currency,
                value,
            });
            value
        };
        for cap in &verdict.caps {
            if read(&mut counts.used, cap.place, cap.per, cap.currency) >= cap.most {
                counts.full.add(cap.place);
            }
        }
        let mut behind: Vec<(f64, u8, f64)> = Vec::new();
        for commit in &verdict.commits {
            let count = read(&mut counts.used, commit.place, commit.per, 0);
            let lag = now.passed(commit.per) - count as f64 / commit.payments as f64;
            if lag > 0.0 {
                behind.push((lag, commit.place, commit.within));
            }
        }
        // Stable: of those equally far behind the first that a rule names goes first.
        behind.sort_by(|a, b| b.0.total_cmp(&a.0));
        counts.lagging = behind
            .iter()
            .map(|(_, place, within)| (*place, *within))
            .collect();
        counts
    }
}
