//! Which rules hold for a payment's metadata, where any rule may ask for any key.
//!
//! Every key has bitmaps of only those rules that ask for it, and all keys together have one set
//! for "no key is there". So a payment costs what its own few keys cost, however many keys the
//! rules know between them.
use std::collections::HashMap;

use crate::rules::condition::{Ask, Condition, Metadata};
use crate::rules::index::{Bits, put};

#[derive(Debug)]
pub(crate) struct MetadataIndex {
    /// What holds where none of the keys is there.
    absent: Bits,
    keys: HashMap<Box<str>, KeyIndex>,
}

/// Of 64 rules: their place, those that ask for a key, and what they answer for a value that none
/// of them names.
type Asking = (u16, u64, u64);
/// What they answer for a value that some of them name: their place, and answers.
type Named = (u16, u64);

#[derive(Debug, Default)]
struct KeyIndex {
    asking: Vec<Asking>,
    by_value: HashMap<Box<str>, Vec<Named>>,
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

    pub fn find(&self, metadata: &[(&str, &str)]) -> MetadataPart<'_> {
        let known = metadata.iter().filter_map(|(key, value)| {
            let key = self.keys.get(*key)?;
            Some((
                &*key.asking,
                key.by_value.get(*value).map_or(&[][..], |named| named),
            ))
        });
        MetadataPart {
            absent: &self.absent,
            known: known.collect(),
        }
    }
}

/// The answer to one payment's metadata: for each of its keys that rules ask for, who asks, and
/// what those say that name its value.
pub(crate) struct MetadataPart<'a> {
    absent: &'a [u64],
    known: Vec<(&'a [Asking], &'a [Named])>,
}

impl MetadataPart<'_> {
    /// What the 64 rules at word `at` answer.
    pub fn answers(&self, at: usize) -> u64 {
        let place = at as u16;
        let mut answers = self.absent[at];
        for (all, named) in &self.known {
            let Ok(found) = all.binary_search_by_key(&place, |asking| asking.0) else {
                continue;
            };
            let (_, asking, others) = all[found];
            let found = named.binary_search_by_key(&place, |named| named.0);
            let said = found.map_or(others, |found| named[found].1);
            answers = (answers & !asking) | said;
        }
        answers
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
        for value in rule.asks.iter().flat_map(|(_, m)| &m.words) {
            let holds = rule.holds_for(value);
            if holds == rule.holds_for_others() {
                continue;
            }
            let named = self.by_value.entry(value.clone()).or_default();
            if named.last().is_none_or(|last| last.0 != at) {
                named.push((at, others));
            }
            if let Some(last) = named.last_mut() {
                last.1 = if holds { last.1 | bit } else { last.1 & !bit };
            }
        }
    }
}
