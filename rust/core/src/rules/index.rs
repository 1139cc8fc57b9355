//! Bitmaps of rules: which of them hold for a word, or for a number.
//!
//! For one fact every rule has a bit: whether all its conditions on that fact hold (a rule that
//! asks nothing of it holds always). Most words concern few rules, so a word's set is kept as
//! what differs from the set of "any other word", unless that would be the larger one.
use std::collections::HashMap;
use std::hash::Hash;

use crate::rules::intervals::{Interval, WHOLE};
use crate::snapshot::SymbolMap;

pub(crate) type Bits = Box<[u64]>;

/// The bytes that one index over numbers may take; beyond it neighbours share a set.
const MOST_BYTES: usize = 1 << 20;

/// A set of rules, told against a base set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Set {
    /// The words of 64 rules that differ from the base, by their place.
    Few(Box<[(u16, u64)]>),
    All(Bits),
}

impl Set {
    fn pack(base: &[u64], full: &[u64]) -> Self {
        let differs = || {
            base.iter()
                .zip(full)
                .zip(0_u16..)
                .filter(|((b, f), _)| b != f)
        };
        // Past a quarter the plain AND is faster, and at half it is smaller too.
        if differs().count() * 4 > base.len() {
            return Self::All(full.into());
        }
        Self::Few(differs().map(|((_, full), at)| (at, *full)).collect())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Few(few) => size_of_val(&**few),
            Self::All(all) => size_of_val(&**all),
        }
    }

    /// Narrows the part of the rules that begins at word `from`.
    fn narrow(&self, base: &[u64], from: usize, held: &mut [u64]) {
        let few = match self {
            Self::All(all) => return and(held, &all[from..]),
            Self::Few(few) => few,
        };
        let base = &base[from..from + held.len()];
        let begin = few.partition_point(|(at, _)| (*at as usize) < from);
        let within = |(at, _): &&(u16, u64)| (*at as usize) < from + base.len();
        let mut next = 0;
        for (at, word) in few[begin..].iter().take_while(within) {
            let at = *at as usize - from;
            and(&mut held[next..at], &base[next..at]);
            held[at] &= word;
            next = at + 1;
        }
        and(&mut held[next..], &base[next..]);
    }
}

/// The answer of one index to one payment.
pub(crate) struct Part<'a> {
    base: &'a [u64],
    /// None where it is the base itself.
    set: Option<&'a Set>,
}

impl Part<'_> {
    pub fn narrow(&self, from: usize, held: &mut [u64]) {
        match self.set {
            Some(set) => set.narrow(self.base, from, held),
            None => and(held, &self.base[from..]),
        }
    }
}

fn and(held: &mut [u64], set: &[u64]) {
    for (held, set) in held.iter_mut().zip(set) {
        *held &= set;
    }
}

pub(crate) fn flip(bits: &mut [u64], rule: u16) {
    bits[rule as usize / 64] ^= 1 << (rule % 64);
}

pub(crate) fn put(bits: &mut [u64], rule: u16, on: bool) {
    let bit = 1 << (rule % 64);
    let word = &mut bits[rule as usize / 64];
    *word = if on { *word | bit } else { *word & !bit };
}

/// Each set once, however many words lead to it.
struct Pool<'a> {
    base: &'a [u64],
    sets: Vec<Set>,
    known: HashMap<Set, u32>,
    bytes: usize,
}

impl<'a> Pool<'a> {
    fn new(base: &'a [u64]) -> Self {
        Self {
            base,
            sets: Vec::new(),
            known: HashMap::new(),
            bytes: 0,
        }
    }

    fn keep(&mut self, full: &[u64]) -> u32 {
        let set = Set::pack(self.base, full);
        if let Some(at) = self.known.get(&set) {
            return *at;
        }
        let at = self.sets.len() as u32;
        self.bytes += set.bytes();
        self.known.insert(set.clone(), at);
        self.sets.push(set);
        at
    }
}

/// What one rule asks of a fact that is a word.
pub(crate) struct WordRule {
    pub rule: u16,
    /// Whether it holds for a word that it does not name, and where the word is unknown.
    pub other: bool,
    pub unknown: bool,
    /// The words for which it answers otherwise than for `other`.
    pub flips: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct WordIndex {
    other: Bits,
    unknown: Set,
    by_word: SymbolMap<u32>,
    sets: Vec<Set>,
}

impl WordIndex {
    pub fn new(all: &[u64], rules: &[WordRule]) -> Self {
        let mut other: Bits = all.into();
        let mut unknown: Bits = all.into();
        let mut flips: SymbolMap<Vec<u16>> = SymbolMap::default();
        for rule in rules {
            put(&mut other, rule.rule, rule.other);
            put(&mut unknown, rule.rule, rule.unknown);
            for word in &rule.flips {
                flips.entry(*word).or_default().push(rule.rule);
            }
        }
        let mut pool = Pool::new(&other);
        let mut by_word = SymbolMap::default();
        let mut full = other.clone();
        for (word, rules) in flips {
            rules.iter().for_each(|rule| flip(&mut full, *rule));
            by_word.insert(word, pool.keep(&full));
            rules.iter().for_each(|rule| flip(&mut full, *rule));
        }
        Self {
            unknown: Set::pack(&other, &unknown),
            by_word,
            sets: pool.sets,
            other,
        }
    }

    pub fn find(&self, word: u64) -> Part<'_> {
        let named = || self.by_word.get(&word).map(|set| &self.sets[*set as usize]);
        Part {
            base: &self.other,
            set: if word == 0 {
                Some(&self.unknown)
            } else {
                named()
            },
        }
    }
}

/// What one rule asks of a fact that is a number.
pub(crate) struct NumberRule {
    pub rule: u16,
    pub unknown: bool,
    /// Where it holds: sorted and disjoint.
    pub parts: Vec<Interval>,
}

/// The number line cut where sets change: `at[i]` is that of the numbers from `points[i - 1]` on.
#[derive(Debug)]
struct Line {
    points: Box<[i64]>,
    at: Box<[u32]>,
    sets: Vec<Set>,
}

#[derive(Debug)]
pub(crate) struct NumberIndex {
    base: Bits,
    unknown: Set,
    line: Line,
    /// Whether the sets are exact; otherwise they may also hold rules that do not match.
    pub exact: bool,
}

impl NumberIndex {
    pub fn new(all: &[u64], rules: &[NumberRule]) -> Self {
        let mut base: Bits = all.into();
        let mut unknown: Bits = all.into();
        let mut turns: Vec<(i64, u16)> = Vec::new();
        for rule in rules {
            put(&mut unknown, rule.rule, rule.unknown);
            let from_start = rule.parts.first().is_some_and(|part| part.0 == WHOLE.0);
            put(&mut base, rule.rule, from_start);
            for (first, last) in &rule.parts {
                let ends = [Some(*first), last.checked_add(1)];
                let ends = ends.into_iter().flatten().filter(|end| *end != WHOLE.0);
                turns.extend(ends.map(|end| (end, rule.rule)));
            }
        }
        turns.sort_unstable();
        let (line, exact) = match Line::cut(&base, &turns, 1, MOST_BYTES) {
            Some(line) => (line, true),
            None => {
                // As many sets as fit when each is written out.
                let sets = (MOST_BYTES / size_of_val(&*base)).max(2);
                let step = turns.len().div_ceil(sets - 1).max(2);
                let line = Line::cut(&base, &turns, step, usize::MAX);
                (line.expect("nothing is too large here"), false)
            }
        };
        Self {
            unknown: Set::pack(&base, &unknown),
            line,
            exact,
            base,
        }
    }

    pub fn find(&self, value: Option<i64>) -> Part<'_> {
        Part {
            base: &self.base,
            set: Some(value.map_or(&self.unknown, |value| self.line.set(value))),
        }
    }
}

impl Line {
    /// Walks along the turns, `step` of them for each set, which is then the union of what holds
    /// between them. None where the sets take more than `most` bytes.
    fn cut(base: &[u64], turns: &[(i64, u16)], step: usize, most: usize) -> Option<Self> {
        let mut pool = Pool::new(base);
        let mut now: Bits = base.into();
        let (mut points, mut at) = (Vec::new(), vec![pool.keep(base)]);
        let mut next = 0;
        while let Some((point, _)) = turns.get(next).copied() {
            // All turns at one number belong together.
            let last = turns[(next + step).min(turns.len()) - 1].0;
            let turn = |next: usize, upto: i64| turns.get(next).filter(|t| t.0 <= upto);
            while let Some((_, rule)) = turn(next, point) {
                flip(&mut now, *rule);
                next += 1;
            }
            let mut union: Bits = now.clone();
            while let Some((_, rule)) = turn(next, last) {
                flip(&mut now, *rule);
                let word = *rule as usize / 64;
                union[word] |= now[word];
                next += 1;
            }
            points.push(point);
            at.push(pool.keep(&union));
            if pool.bytes + points.len() * size_of::<(i64, u32)>() > most {
                return None;
            }
        }
        Some(Self {
            points: points.into(),
            at: at.into(),
            sets: pool.sets,
        })
    }

    fn set(&self, value: i64) -> &Set {
        let segment = self.points.partition_point(|point| *point <= value);
        &self.sets[self.at[segment] as usize]
    }
}
