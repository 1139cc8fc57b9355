//! Ranks the eligible accounts and draws the first place: a pure function of what was seen.
//!
//! Order: accounts that may be called, by tier and then by score; then accounts at their
//! concurrency cap; then those with an open breaker. Within the first tier the accounts whose
//! score is within `near_best` of the best share the first place by a softmax, so each choice
//! has an exact probability that can be logged and used later to judge another policy
//! (inverse propensity scoring needs a choice rule that has propensities).
use crate::objective::{Objective, Worth};
use crate::rules::Preference;
use crate::settings::ChoiceSettings;
use crate::snapshot::Place;
use crate::wire::mix64;

/// Whether an account may be called now. The number is what records hold: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Gate {
    Closed = 0,
    /// Half-open with a probe to spare.
    Probe = 1,
    AtCapacity = 2,
    BreakerOpen = 3,
    /// Its token bucket is empty.
    RateLimited = 4,
}

impl Gate {
    pub(crate) const ALL: [Self; 5] = [
        Self::Closed,
        Self::Probe,
        Self::AtCapacity,
        Self::BreakerOpen,
        Self::RateLimited,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "healthy",
            Self::Probe => "probe",
            Self::AtCapacity => "at_capacity",
            Self::BreakerOpen => "breaker_open",
            Self::RateLimited => "rate_limited",
        }
    }

    const fn class(self) -> u8 {
        match self {
            Self::Closed | Self::Probe => 0,
            Self::AtCapacity | Self::RateLimited => 1,
            Self::BreakerOpen => 2,
        }
    }
}

/// What gave an account the first place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBy {
    /// The usual draw among the nearly best of the first tier.
    Draw,
    Split,
    Commit,
    Cheapest,
    /// No account may be called: all breakers are open or all caps reached.
    LeastIll,
}

impl FirstBy {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Split => "split",
            Self::Commit => "commit",
            Self::Cheapest => "cheapest_within_points",
            Self::LeastIll => "least_ill",
        }
    }
}

/// What the router knew of an account when it decided. Kept in the record, so in 32 bits each:
/// the decision is made from these rounded values, and a replay from the same ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Evidence {
    pub approval: f32,
    /// Standard deviation of `approval`, and of the part of it that is worth finding out.
    pub approval_sd: f32,
    pub learnable_sd: f32,
    pub failure: f32,
    pub latency_ms: f32,
    pub gate: Gate,
}

impl Evidence {
    /// The probability that a call now reaches the issuer. A probe's technical past is the
    /// outage that the probe asks about.
    pub fn works(self) -> f64 {
        match self.gate {
            Gate::Probe => 1.0,
            _ => 1.0 - f64::from(self.failure),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub place: Place,
    pub evidence: Evidence,
    pub worth: Worth,
    pub score: f64,
    /// What a point of approval adds to the score, and what waiting takes from it.
    pub slope: f64,
    pub waiting: f64,
    /// What rules add to the score.
    pub weight: f64,
    /// What one standard deviation of what is worth finding out adds to the score.
    pub hope: f64,
    /// The probability of being ranked first.
    pub propensity: f64,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        (self.account, self.tier) == (other.account, other.tier)
    }
}

impl Candidate {
    pub fn new(place: Place, evidence: Evidence, worth: Worth, weight: f64) -> Self {
        Self {
            place,
            evidence,
            worth,
            score: 0.0,
            slope: 0.0,
            waiting: 0.0,
            weight,
            hope: 0.0,
            propensity: 0.0,
        }
    }

    /// The issuer's approval at which this account's score would equal another one.
    pub fn approval_to_reach(&self, score: f64) -> Option<f64> {
        let approval = (score + self.waiting - self.weight) / self.slope;
        (self.slope > 0.0 && approval <= 1.0).then_some(approval)
    }

    fn hoped(&self, optimism: f64) -> f64 {
        self.score + optimism * self.hope
    }
}

/// Scores the candidates by what the profile wants.
pub(crate) fn score(candidates: &mut [Candidate], objective: &Objective) {
    let best_gain = candidates.iter().map(|c| c.worth.gain).fold(0.0, f64::max);
    let scale = objective.scale(best_gain);
    for c in candidates {
        c.slope = c.evidence.works() * c.worth.gain / scale;
        c.waiting = c.worth.waiting / scale;
        c.score = f64::from(c.evidence.approval) * c.slope - c.waiting + c.weight;
        c.hope = f64::from(c.evidence.learnable_sd) * c.slope.max(0.0);
    }
}

/// Sorts the candidates into their ranking and sets their propensities. Returns what gave the
/// first place.
///
/// The first place is drawn among those whose score is within the budget of the best, by a
/// softmax over score + optimism x hope, unless `preference` says who leads; the others follow by
/// the cascade's own optimism.
pub(crate) fn rank(
    candidates: &mut [Candidate],
    seed: u64,
    set: &ChoiceSettings,
    explore: bool,
    preference: &Preference<'_>,
) -> FirstBy {
    let (first_optimism, next_optimism, temperature) = if explore {
        (set.optimism, set.cascade_optimism, set.temperature)
    } else {
        (0.0, 0.0, 0.0)
    };
    // A stable sort: equals keep the profile's own order.
    candidates.sort_by(|a, b| {
        let class = |c: &Candidate| c.evidence.gate.class();
        // Among the ill the merchant's preference yields: the least ill goes first.
        let tier = |c: &Candidate| if class(c) == 2 { 0 } else { c.place.tier };
        let optimism = if class(a) == 0 { next_optimism } else { 0.0 };
        (class(a), tier(a))
            .cmp(&(class(b), tier(b)))
            .then(b.hoped(optimism).total_cmp(&a.hoped(optimism)))
    });
    let Some(first) = candidates.first().copied() else {
        return FirstBy::Draw;
    };
    if first.evidence.gate.class() != 0 {
        candidates[0].propensity = 1.0;
        return FirstBy::LeastIll;
    }
    let callable = candidates
        .iter()
        .take_while(|c| c.evidence.gate.class() == 0);
    let same_tier = |c: &&Candidate| c.place.tier == first.place.tier;
    let together = callable.clone().take_while(same_tier).count();
    let callable = callable.count();
    if let Some((winner, by)) = preference.lead(&mut candidates[..callable], together) {
        candidates[..=winner].rotate_right(1);
        return by;
    }
    let tier = &mut candidates[..together];
    let winner = draw(tier, unit(seed), set.near_best, first_optimism, temperature);
    tier[..=winner].rotate_right(1);
    FirstBy::Draw
}

/// Draws the first of a tier by `at` in [0, 1), and sets the propensities.
fn draw(
    tier: &mut [Candidate],
    at: f64,
    near_best: f64,
    optimism: f64,
    temperature: f64,
) -> usize {
    let best = tier.iter().map(|c| c.score).fold(f64::MIN, f64::max);
    let near = |c: &Candidate| c.score >= best - near_best;
    let hoped = |c: &Candidate| c.hoped(optimism);
    let top = tier.iter().filter(|c| near(c)).map(hoped);
    let top = top.fold(f64::MIN, f64::max);
    if temperature <= 0.0 {
        let first = tier.iter().position(|c| near(c) && hoped(c) >= top);
        let winner = first.unwrap_or(0);
        tier[winner].propensity = 1.0;
        return winner;
    }
    let mut total = 0.0;
    for c in tier.iter_mut().filter(|c| near(c)) {
        c.propensity = ((hoped(c) - top) / temperature).exp();
        total += c.propensity;
    }
    let (mut winner, mut left) = (0, at * total);
    for (i, c) in tier.iter_mut().enumerate() {
        if left >= 0.0 && c.propensity > 0.0 {
            winner = i;
        }
        left -= c.propensity;
        c.propensity /= total;
    }
    winner
}

/// A number in [0, 1) from a seed.
pub(crate) fn unit(seed: u64) -> f64 {
    let mixed = mix64(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
    (mixed >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::ObjectiveConfig;

    fn candidate(account: u16, tier: u8, approval: f32, gate: Gate) -> Candidate {
        let evidence = Evidence {
            approval,
            approval_sd: 0.0,
            learnable_sd: 0.0,
            failure: 0.0,
            latency_ms: 0.0,
            gate,
        };
        let worth = approvals().worth(None, 0.0, 0.0);
        let index = account as u8;
        let place = Place {
            account,
            tier,
            index,
        };
        let mut made = [Candidate::new(place, evidence, worth, 0.0)];
        score(&mut made, &approvals());
        made[0]
    }

    fn approvals() -> Objective {
        Objective::new(&ObjectiveConfig::default())
    }

    fn order(candidates: &[Candidate]) -> Vec<u16> {
        candidates.iter().map(|c| c.place.account).collect()
    }

    #[test]
    fn tiers_come_before_scores_and_open_breakers_last() {
        let mut all = [
            candidate(0, 0, 0.9, Gate::BreakerOpen),
            candidate(1, 1, 0.5, Gate::Closed),
            candidate(2, 2, 0.95, Gate::Closed),
            candidate(3, 1, 0.7, Gate::Closed),
            candidate(4, 0, 0.9, Gate::AtCapacity),
        ];
        let first_by = rank(
            &mut all,
            7,
            &ChoiceSettings::default(),
            true,
            &Preference::default(),
        );
        assert_eq!(first_by, FirstBy::Draw);
        assert_eq!(order(&all), [3, 1, 2, 4, 0]);
        assert_eq!(all[0].propensity, 1.0);
    }

    #[test]
    fn the_least_ill_serves_when_all_are_ill() {
        let mut all = [
            candidate(0, 0, 0.2, Gate::BreakerOpen),
            candidate(1, 1, 0.6, Gate::BreakerOpen),
        ];
        let first_by = rank(
            &mut all,
            7,
            &ChoiceSettings::default(),
            true,
            &Preference::default(),
        );
        assert_eq!(first_by, FirstBy::LeastIll);
        assert_eq!(order(&all), [1, 0]);
    }

    #[test]
    fn draws_follow_the_propensities() {
        let set = ChoiceSettings {
            temperature: 0.004,
            ..ChoiceSettings::default()
        };
        let mut firsts = [0_u32; 3];
        let mut said = [0.0; 3];
        let draws = 200_000;
        for seed in 0..draws {
            let mut all = [
                candidate(0, 0, 0.900, Gate::Closed),
                candidate(1, 0, 0.897, Gate::Closed),
                candidate(2, 0, 0.840, Gate::Closed),
            ];
            rank(&mut all, seed, &set, true, &Preference::default());
            firsts[all[0].place.account as usize] += 1;
            for c in all {
                said[c.place.account as usize] = c.propensity;
            }
        }
        assert_eq!((firsts[2], said[2]), (0, 0.0), "beyond the budget");
        for k in 0..2 {
            let share = f64::from(firsts[k]) / draws as f64;
            assert!((share - said[k]).abs() < 0.005, "{share} {}", said[k]);
        }
    }
}
