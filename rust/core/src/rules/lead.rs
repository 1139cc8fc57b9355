//! Who takes the first place because rules say so, with exact propensities.
//!
//! Only accounts that may be called are looked at: an ill one never leads because of a rule.
use crate::choose::{Candidate, FirstBy, unit};
use crate::rules::outcomes::Split;
use crate::wire::mix64;

/// What a payment's rules say of the first place; the default says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preference<'a> {
    pub split: Option<Split<'a>>,
    /// The payment's own number: the same payment draws the same.
    pub sticky: u64,
    /// Each account's number, by its place in the snapshot: the same in every configuration.
    pub account_keys: &'a [u64],
    /// Places behind their commitments, the one furthest behind in front, and how far below the
    /// best score each may stand.
    pub lagging: Vec<(u8, f64)>,
    pub cheapest_within: Option<f64>,
}

impl Preference<'_> {
    /// Which of the callable leads and why, with its propensity set; None leaves it to the usual
    /// draw. The first `together` of them are the first tier.
    pub fn lead(&self, callable: &mut [Candidate], together: usize) -> Option<(usize, FirstBy)> {
        if let Some(winner) = self.split.and_then(|split| self.draw(split, callable)) {
            return Some((winner, FirstBy::Split));
        }
        let behind = self.behind(callable).map(|at| (at, FirstBy::Commit));
        let led = behind.or_else(|| {
            let cheapest = self.cheapest(&callable[..together]);
            cheapest.map(|at| (at, FirstBy::Cheapest))
        })?;
        callable[led.0].propensity = 1.0;
        Some(led)
    }

    /// Weighted rendezvous: each account draws an exponential time with its share as the rate,
    /// and the earliest leads. So shares are exact, and where an account falls ill only its own
    /// payments go elsewhere.
    fn draw(&self, split: Split<'_>, callable: &mut [Candidate]) -> Option<usize> {
        let seed = mix64(split.seed ^ mix64(self.sticky));
        let share = |c: &Candidate| {
            let found = split
                .shares
                .binary_search_by_key(&c.place.index, |(place, _)| *place);
            found.ok().map(|at| split.shares[at].1)
        };
        let total: f64 = callable.iter().filter_map(share).sum();
        let mut first: Option<(f64, usize)> = None;
        for (at, candidate) in callable.iter_mut().enumerate() {
            let Some(share) = share(candidate) else {
                continue;
            };
            candidate.propensity = share / total;
            let key = self.account_keys[candidate.place.account as usize];
            let time = -(1.0 - unit(seed ^ key)).ln() / share;
            if first.is_none_or(|(earliest, _)| time < earliest) {
                first = Some((time, at));
            }
        }
        first.map(|(_, at)| at)
    }

    fn behind(&self, callable: &[Candidate]) -> Option<usize> {
        let best = best_score(callable);
        self.lagging.iter().find_map(|(place, within)| {
            let at = callable.iter().position(|c| c.place.index == *place)?;
            (callable[at].score >= best - within).then_some(at)
        })
    }

    fn cheapest(&self, tier: &[Candidate]) -> Option<usize> {
        let least = best_score(tier) - self.cheapest_within?;
        let near = (0..tier.len()).filter(|at| tier[*at].score >= least);
        near.min_by(|a, b| {
            let (a, b) = (&tier[*a], &tier[*b]);
            let fees = a.worth.fee_minor.total_cmp(&b.worth.fee_minor);
            fees.then(b.score.total_cmp(&a.score))
        })
    }
}

fn best_score(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| c.score).fold(f64::MIN, f64::max)
}
