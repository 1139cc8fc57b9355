//! Which rules hold for a payment's metadata, where any rule may ask for any key.
//!
//! Every key has bitmaps of only those rules that ask for it, and all keys together have one set
//! for "no key is there". So a payment costs what its own few keys cost, however many keys the
//! rules know between them.
use std::collections::HashMap;

use crate::rules::condition::{Ask, Condition, Metadata};
use crate::rules::document::RULE_WORDS;
use crate::rules::index::{Bits, put};

#[derive(Debug)]
pub(crate) struct MetadataIndex {
    /// What holds where none of the keys is there.
    absent: Bits,
    keys: HashMap<Box<str>, KeyIndex>,
}

#[derive(Debug, Default)]
struct KeyIndex {
    /// By 64 rules: their place, those of them that ask for this key, and what they answer for a
    /// value that none of them names.
    asking: Vec<(u16, u64, u64)>,
    /// What they answer for a value, where that is something else: place in `asking`, answers.
    by_value: HashMap<Box<str>, Vec<(u16, u64)>>,
}

/// One rule's conditions on metadata.
pub(crate) struct MetadataRule<'a> {
    pub rule: u16,
    pub asks: Vec<(&'a Condition, &'a Metadata)>,
}

impl<'a> MetadataRule<'a> {
    pub fn new(rule: u16, conditions: &'a [Condition]) -> Option<Self> {
        let asks: Vec<_> = conditions
            .iter()
            .filter_map(|c| match &c.ask {
                Ask::Metadata(metadata) => Some((c, &**metadata)),
                _ => None,
            })
            .collect();
        (!asks.is_empty()).then_some(Self { rule, asks })
    }

    /// Whether the index answers for it exactly; otherwise it says "may hold", because beginnings
    /// are no values to look up, and several keys can be there in any mixture.
    pub fn exact(&self) -> bool {
        let key = &self.asks[0].1.key;
        self.asks
            .iter()
            .all(|(_, m)| m.prefixes.is_empty() && m.key == *key)
    }

    fn holds_for(&self, value: &str) -> bool {
        let all = self.asks.iter();
        !self.exact() || all.clone().all(|(c, m)| m.answers(value) != c.not)
    }

    /// A value that no condition names: only negated conditions hold.
    fn holds_for_others(&self) -> bool {
        !self.exact() || self.asks.iter().all(|(c, _)| c.not)
    }
}

impl MetadataIndex {
    pub fn new(all: &[u64], rules: &[MetadataRule<'_>]) -> Self {
        let mut absent: Bits = all.into();
        let mut keys: HashMap<Box<str>, KeyIndex> = HashMap::new();
        for rule in rules {
            put(
                &mut absent,
                rule.rule,
                rule.asks.iter().all(|(c, _)| c.missing),
            );
            for (_, metadata) in &rule.asks {
                keys.entry(metadata.key.clone()).or_default().ask(rule);
            }
        }
        for rule in rules.iter().filter(|rule| rule.exact()) {
            let key = keys.get_mut(&rule.asks[0].1.key);
            key.into_iter().for_each(|key| key.name_values(rule));
        }
        Self { absent, keys }
    }

    pub fn narrow(&self, metadata: &[(&str, &str)], held: &mut [u64]) {
        let mut known = metadata
            .iter()
            .filter_map(|(key, value)| Some((self.keys.get(*key)?, *value)))
            .peekable();
        if known.peek().is_none() {
            held.iter_mut().zip(&self.absent).for_each(|(h, a)| *h &= a);
            return;
        }
        let mut answers = [0_u64; RULE_WORDS];
        let answers = &mut answers[..self.absent.len()];
        answers.copy_from_slice(&self.absent);
        for (key, value) in known {
            for (at, asking, others) in &key.asking {
                let word = &mut answers[*at as usize];
                *word = (*word & !asking) | others;
            }
            for (place, named) in key.by_value.get(value).into_iter().flatten() {
                let (at, asking, _) = key.asking[*place as usize];
                let word = &mut answers[at as usize];
                *word = (*word & !asking) | named;
            }
        }
        held.iter_mut().zip(answers).for_each(|(h, a)| *h &= *a);
    }
}

impl KeyIndex {
    /// Rules come in their order, so the last entry is the rule's own or one before it.
    fn ask(&mut self, rule: &MetadataRule<'_>) {
        let (at, bit) = (rule.rule / 64, 1 << (rule.rule % 64));
        if self.asking.last().is_none_or(|last| last.0 != at) {
            self.asking.push((at, 0, 0));
        }
        if let Some(last) = self.asking.last_mut() {
            last.1 |= bit;
            if rule.holds_for_others() {
                last.2 |= bit;
            }
        }
    }

    fn name_values(&mut self, rule: &MetadataRule<'_>) {
        let (at, bit) = (rule.rule / 64, 1 << (rule.rule % 64));
        let found = self.asking.binary_search_by_key(&at, |asking| asking.0);
        let Ok(place) = found else {
            return;
        };
        let others = self.asking[place].2;
        let place = place as u16;
        for value in rule.asks.iter().flat_map(|(_, m)| &m.words) {
            let holds = rule.holds_for(value);
            if holds == rule.holds_for_others() {
                continue;
            }
            let named = self.by_value.entry(value.clone()).or_default();
            if named.last().is_none_or(|last| last.0 != place) {
                named.push((place, others));
            }
            if let Some(last) = named.last_mut() {
                last.1 = if holds { last.1 | bit } else { last.1 & !bit };
            }
        }
    }
}
