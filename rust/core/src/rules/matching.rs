//! Which rules a payment matches, and what they ask for.
use crate::facts::Facts;
use crate::rules::compile::{BIN_LENGTHS, Ruleset};
use crate::rules::condition::{Ask, Asked};
use crate::rules::index::Part;
use crate::rules::outcomes::Verdict;

/// What stands for `otherwise` where a rule's id is told.
const OTHERWISE: &str = "otherwise";
/// Rules are matched so many words of 64 at a time: the first match is mostly an early one, and
/// what a block needs stays in the fastest cache.
const BLOCK: usize = 32;

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
        let words = self
            .words
            .iter()
            .map(|(fact, index)| index.find(fact.of(asked.facts)));
        let numbers = self.numbers.iter();
        let numbers = numbers.map(|(fact, index)| index.find(fact.of(asked.facts)));
        let mut parts: Vec<Part<'_>> = words.chain(numbers).collect();
        let (bins, bins_settled) = self.find_bin(asked);
        parts.extend(bins);
        let times = (0..).zip(&self.times);
        parts.extend(times.map(|(zone, index)| {
            let minute = asked.local(zone).minute_of_week();
            index.find(Some(minute))
        }));
        let metadata = self
            .metadata
            .as_ref()
            .map(|index| index.find(&asked.facts.metadata));
        for (block, all) in self.all.chunks(BLOCK).enumerate() {
            let from = block * BLOCK;
            let mut held = [0_u64; BLOCK];
            let held = &mut held[..all.len()];
            held.copy_from_slice(all);
            parts.iter().for_each(|part| part.narrow(from, held));
            let left = (from..).zip(held.iter().copied());
            for (at, mut word) in left.filter(|(_, word)| *word != 0) {
                if let Some(metadata) = &metadata {
                    word &= metadata.answers(at);
                }
                while word != 0 {
                    let rule = (at * 64 + word.trailing_zeros() as usize) as u16;
                    word &= word - 1;
                    if self.passes_checks(rule, asked, bins_settled) && !found(rule) {
                        return;
                    }
                }
            }
        }
    }

    /// What rules ask of the BIN, and whether that settles it.
    fn find_bin(&self, asked: &Asked<'_>) -> (Option<Part<'_>>, bool) {
        let Some(bins) = &self.bins else {
            return (None, true);
        };
        let Some(bin) = asked.bin else {
            return (Some(bins[0].find(None)), true);
        };
        match BIN_LENGTHS.iter().position(|digits| *digits == bin.digits) {
            Some(at) => {
                let part = bins[at].find(Some(i64::from(bin.value)));
                (Some(part), bins[at].exact)
            }
            None => (None, false),
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
