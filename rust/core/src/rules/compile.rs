//! From a document to the bitmaps that `matching` reads: once for each configuration.
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::tz::TimeZone;

use crate::error::Error;
use crate::objective::Objective;
use crate::rules::condition::{Ask, Condition, NumberFact, WordFact};
use crate::rules::document::{
    ConditionDocument, Document, MOST_CONDITIONS, MOST_RULES, Mode, RuleDocument,
};
use crate::rules::index::{Bits, NumberIndex, NumberRule, WordIndex, WordRule, put};
use crate::rules::intervals::{WHOLE, intersection};
use crate::rules::metadata::{MetadataIndex, MetadataRule};
use crate::rules::outcomes::{Outcomes, Places};
use crate::rules::window::Zones;
use crate::wire::hash64;

/// The lengths that BINs have: six digits, and eight since 2022. Others are checked rule by rule.
pub(crate) const BIN_LENGTHS: [u32; 2] = [6, 8];
/// Zones whose times of day have bitmaps; every payment pays for each of them, so that times in
/// further zones are checked rule by rule.
const MOST_TIMES: usize = 4;

/// A ruleset as payments meet it.
#[derive(Debug)]
pub(crate) struct Ruleset {
    pub(super) accumulate: bool,
    pub(super) ids: Box<[Box<str>]>,
    /// One number for each rule, which its split draws with.
    pub(super) seeds: Box<[u64]>,
    pub(super) outcomes: Box<[Outcomes]>,
    pub(super) otherwise: Option<Outcomes>,
    /// A bit for each rule.
    pub(super) all: Bits,
    pub(super) words: Vec<(WordFact, WordIndex)>,
    pub(super) numbers: Vec<(NumberFact, NumberIndex)>,
    /// By the BIN's length.
    pub(super) bins: Option<[NumberIndex; 2]>,
    /// By the zone, for the first of `zones`.
    pub(super) times: Vec<NumberIndex>,
    pub(super) metadata: Option<MetadataIndex>,
    /// What the bitmaps do not answer exactly, for each rule: asked of those that they leave.
    pub(super) checks: Box<[Condition]>,
    pub(super) checks_end: Box<[u32]>,
    pub(super) zones: Vec<TimeZone>,
    pub objective: Option<Objective>,
}

impl Ruleset {
    /// Compiles a document for a profile, `places` being its accounts' places.
    pub fn compile(doc: &Document, key: &str, places: &Places<'_>) -> Result<Self, Error> {
        if doc.rules.len() > MOST_RULES {
            let what = format!("more than {MOST_RULES}");
            return Err(Error::config(&format!("{key}.rules"), what));
        }
        let objective = match &doc.objective {
            Some(objective) => {
                objective.check(&format!("{key}.objective"))?;
                Some(Objective::new(objective))
            }
            None => None,
        };
        check_ids(&doc.rules, key)?;
        let (mut zones, mut conditions, mut outcomes) = (Zones::default(), vec![], vec![]);
        for (r, rule) in doc.rules.iter().enumerate() {
            let key = format!("{key}.rules[{r}]");
            conditions.push(read_conditions(&rule.when, &key, &mut zones)?);
            outcomes.push(Outcomes::read(&rule.then, &format!("{key}.then"), places)?);
        }
        let otherwise = match &doc.otherwise {
            Some(then) => Some(Outcomes::read(then, &format!("{key}.otherwise"), places)?),
            None => None,
        };
        let count = doc.rules.len();
        let mut all: Bits = vec![0; count.div_ceil(64)].into();
        (0..count).for_each(|rule| put(&mut all, rule as u16, true));
        let numbers = compile_numbers(&all, &conditions);
        let times = compile_times(&all, &conditions, zones.zones.len().min(MOST_TIMES));
        let ids: Box<[Box<str>]> = doc.rules.iter().map(|r| r.id.as_str().into()).collect();
        let words = compile_words(&all, &conditions);
        let bins = compile_bins(&all, &conditions);
        let metadata = compile_metadata(&all, &conditions);
        let (checks, checks_end) = leave_checks(conditions, &numbers, &times);
        Ok(Self {
            accumulate: doc.mode == Mode::Accumulate,
            seeds: ids.iter().map(|id| hash64(id.as_bytes())).collect(),
            ids,
            outcomes: outcomes.into(),
            otherwise,
            words,
            numbers,
            bins,
            times,
            metadata,
            checks,
            checks_end,
            zones: zones.zones,
            objective,
            all,
        })
    }
}

fn check_ids(rules: &[RuleDocument], key: &str) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (r, rule) in rules.iter().enumerate() {
        let key = format!("{key}.rules[{r}].id");
        let mut bytes = rule.id.bytes();
        let start = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if !start || rule.id.len() > 64 || !bytes.all(rest) {
            let what = "is not 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit";
            return Err(Error::config(&key, what));
        }
        if !seen.insert(rule.id.as_str()) {
            return Err(Error::config(&key, format!("{:?} is there twice", rule.id)));
        }
    }
    Ok(())
}

fn read_conditions(
    when: &[ConditionDocument],
    key: &str,
    zones: &mut Zones,
) -> Result<Vec<Condition>, Error> {
    if when.len() > MOST_CONDITIONS {
        let what = format!("more than {MOST_CONDITIONS}");
        return Err(Error::config(&format!("{key}.when"), what));
    }
    let read = |(w, condition)| Condition::read(condition, &format!("{key}.when[{w}]"), zones);
    when.iter().enumerate().map(read).collect()
}

/// Conditions as they are kept until the bitmaps are made: by rule.
type ByRule = Vec<Vec<Condition>>;

fn compile_words(all: &[u64], conditions: &ByRule) -> Vec<(WordFact, WordIndex)> {
    let mut facts: BTreeMap<WordFact, Vec<WordRule>> = BTreeMap::new();
    for (rule, conditions) in (0_u16..).zip(conditions) {
        let mut asked: BTreeMap<WordFact, Vec<&Condition>> = BTreeMap::new();
        for condition in conditions {
            if let Ask::Word(fact, _) = condition.ask {
                asked.entry(fact).or_default().push(condition);
            }
        }
        for (fact, asks) in asked {
            // No word has the number 0, so this asks for one that nobody named.
            let other = asks.iter().all(|c| c.holds_for_word(0));
            let mut named: Vec<u64> = asks
                .iter()
                .flat_map(|c| match &c.ask {
                    Ask::Word(_, words) => words.iter().copied(),
                    _ => [].iter().copied(),
                })
                .collect();
            named.sort_unstable();
            named.dedup();
            named.retain(|word| asks.iter().all(|c| c.holds_for_word(*word)) != other);
            facts.entry(fact).or_default().push(WordRule {
                rule,
                other,
                unknown: asks.iter().all(|c| c.missing),
                flips: named,
            });
        }
    }
    let compiled = facts.into_iter();
    compiled
        .map(|(fact, rules)| (fact, WordIndex::new(all, &rules)))
        .collect()
}

/// What each rule asks of the number line, where `of` picks its conditions on one fact.
fn number_rules(
    conditions: &ByRule,
    digits: u32,
    of: impl Fn(&Condition) -> bool,
) -> Vec<NumberRule> {
    let mut found = Vec::new();
    for (rule, conditions) in (0_u16..).zip(conditions) {
        let asks: Vec<&Condition> = conditions.iter().filter(|c| of(c)).collect();
        if !asks.is_empty() {
            let parts = asks.iter().fold(vec![WHOLE], |parts, condition| {
                intersection(&parts, &condition.intervals(digits))
            });
            found.push(NumberRule {
                rule,
                unknown: asks.iter().all(|c| c.missing),
                parts,
            });
        }
    }
    found
}

fn compile_numbers(all: &[u64], conditions: &ByRule) -> Vec<(NumberFact, NumberIndex)> {
    let facts = [NumberFact::Amount, NumberFact::Risk].into_iter();
    let rules = facts.map(|fact| {
        let of = |c: &Condition| matches!(c.ask, Ask::Number(asked, ..) if asked == fact);
        (fact, number_rules(conditions, 0, of))
    });
    let used = rules.filter(|(_, rules)| !rules.is_empty());
    used.map(|(fact, rules)| (fact, NumberIndex::new(all, &rules)))
        .collect()
}

fn compile_bins(all: &[u64], conditions: &ByRule) -> Option<[NumberIndex; 2]> {
    let of = |c: &Condition| matches!(c.ask, Ask::Bin(_));
    conditions.iter().flatten().any(of).then(|| {
        BIN_LENGTHS.map(|digits| NumberIndex::new(all, &number_rules(conditions, digits, of)))
    })
}

fn compile_times(all: &[u64], conditions: &ByRule, zones: usize) -> Vec<NumberIndex> {
    let rules = (0..zones).map(|zone| {
        let of = |c: &Condition| matches!(&c.ask, Ask::Time(w) if usize::from(w.zone) == zone);
        number_rules(conditions, 0, of)
    });
    rules.map(|rules| NumberIndex::new(all, &rules)).collect()
}

fn compile_metadata(all: &[u64], conditions: &ByRule) -> Option<MetadataIndex> {
    let rules: Vec<MetadataRule<'_>> = (0_u16..)
        .zip(conditions)
        .filter_map(|(rule, conditions)| MetadataRule::new(rule, conditions))
        .collect();
    (!rules.is_empty()).then(|| MetadataIndex::new(all, &rules))
}

/// Keeps the conditions that bitmaps leave open.
fn leave_checks(
    conditions: ByRule,
    numbers: &[(NumberFact, NumberIndex)],
    times: &[NumberIndex],
) -> (Box<[Condition]>, Box<[u32]>) {
    let exact = |fact| numbers.iter().all(|(f, index)| *f != fact || index.exact);
    let (mut checks, mut ends) = (Vec::new(), Vec::new());
    for (rule, conditions) in (0_u16..).zip(conditions) {
        let metadata = MetadataRule::new(rule, &conditions).is_none_or(|m| m.exact());
        checks.extend(conditions.into_iter().filter(|c| match c.ask {
            Ask::Word(..) => false,
            Ask::Number(fact, ..) => !exact(fact),
            Ask::Metadata(_) => !metadata,
            // Asked only where the BIN's length has no bitmap, or one that is not exact.
            Ask::Bin(_) => true,
            Ask::Time(window) => {
                let index = times.get(window.zone as usize);
                index.is_none_or(|index| !index.exact)
            }
        }));
        ends.push(checks.len() as u32);
    }
    (checks.into(), ends.into())
}

/// The places of a profile's accounts by id.
pub(crate) fn places_of<'a>(ids: impl Iterator<Item = &'a str>) -> Places<'a> {
    ids.zip(0_u8..).collect::<HashMap<_, _>>()
}
