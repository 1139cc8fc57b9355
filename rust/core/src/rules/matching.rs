//! Which rules a payment matches, and what they ask for.
use crate::facts::Facts;
use crate::rules::compile::{BIN_LENGTHS, Ruleset};
use crate::rules::condition::{Ask, Asked};
use crate::rules::document::RULE_WORDS;
use crate::rules::outcomes::Verdict;

/// What stands for `otherwise` where a rule's id is told.
const OTHERWISE: &str = "otherwise";

impl Ruleset {
    pub fn rule_id(&self, rule: u16) -> &str {
        &self.ids[rule as usize]
    }

    /// What the rules that match ask for, or `otherwise` where none does.
    pub fn judge(&self, facts: &Facts<'_>, wall_ns: i64) -> Verdict<'_> {
        let mut verdict = Verdict::default();
        let mut asked = Asked::new(facts, wall_ns, &self.zones);
        self.each_match(&mut asked, |rule| {
            let at = rule as usize;
            verdict.matched.push(rule);
            verdict.add(&self.ids[at], self.seeds[at], &self.outcomes[at]);
            self.accumulate
        });
        if verdict.matched.is_empty() {
            if let Some(otherwise) = &self.otherwise {
                verdict.add(OTHERWISE, 0, otherwise);
            }
        }
        verdict
    }

    /// Calls `found` for each match in order until it says to stop.
    fn each_match(&self, asked: &mut Asked<'_>, mut found: impl FnMut(u16) -> bool) {
        let mut held = [0_u64; RULE_WORDS];
        let held = &mut held[..self.all.len()];
        held.copy_from_slice(&self.all);
        for (fact, index) in &self.words {
            index.narrow(fact.of(asked.facts), held);
        }
        for (fact, index) in &self.numbers {
            index.narrow(fact.of(asked.facts), held);
        }
        let bins_settled = self.narrow_by_bin(asked, held);
        if let Some(index) = &self.metadata {
            index.narrow(&asked.facts.metadata, held);
        }
        for (at, mut word) in (0_u16..).zip(held.iter().copied()) {
            while word != 0 {
                let rule = at * 64 + word.trailing_zeros() as u16;
                word &= word - 1;
                if self.passes_checks(rule, asked, bins_settled) && !found(rule) {
                    return;
                }
            }
        }
    }

    /// Returns whether that settled what the rules ask of the BIN.
    fn narrow_by_bin(&self, asked: &Asked<'_>, held: &mut [u64]) -> bool {
        let Some(bins) = &self.bins else {
            return true;
        };
        let Some(bin) = asked.bin else {
            bins[0].narrow(None, held);
            return true;
        };
        match BIN_LENGTHS.iter().position(|digits| *digits == bin.digits) {
            Some(at) => {
                bins[at].narrow(Some(i64::from(bin.value)), held);
                bins[at].exact
            }
            None => false,
        }
    }

    fn passes_checks(&self, rule: u16, asked: &mut Asked<'_>, bins_settled: bool) -> bool {
        let rule = rule as usize;
        let begin = rule
            .checked_sub(1)
            .map_or(0, |before| self.checks_end[before]);
        let checks = &self.checks[begin as usize..self.checks_end[rule] as usize];
        checks
            .iter()
            .all(|check| (bins_settled && matches!(check.ask, Ask::Bin(_))) || check.holds(asked))
    }
}
