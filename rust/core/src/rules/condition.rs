//! One question about one fact of a payment, checked and with its words as numbers.
use jiff::tz::TimeZone;

use crate::error::Error;
use crate::facts::{Facts, symbol};
use crate::rules::document::{ConditionDocument, FactWord, MOST_WORDS, Missing};
use crate::rules::intervals::{Interval, complement, union};
use crate::rules::window::{Local, Window, Zones};

#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub not: bool,
    /// What it answers where the fact is unknown; `not` leaves it as it is.
    pub missing: bool,
    pub ask: Ask,
}

#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Word(WordFact, Box<[u64]>),
    Number(NumberFact, i64, i64),
    Bin(Box<[BinRange]>),
    Metadata(Box<Metadata>),
    Time(Window),
}

#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub key: Box<str>,
    pub words: Box<[Box<str>]>,
    pub prefixes: Box<[Box<str>]>,
}

/// Facts that are words. The order is that of the index; `Recurring` has two words of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WordFact {
    Currency,
    Method,
    CaptureMethod,
    Network,
    Funding,
    Channel,
    ThreeDs,
    IssuerCountry,
    BillingCountry,
    Recurring,
}

impl WordFact {
    /// 0 where it is unknown.
    pub fn of(self, facts: &Facts<'_>) -> u64 {
        symbol(match self {
            Self::Currency => facts.currency,
            Self::Method => facts.method,
            Self::CaptureMethod => facts.capture_method,
            Self::Network => facts.network,
            Self::Funding => facts.funding,
            Self::Channel => facts.channel,
            Self::ThreeDs => facts.three_ds,
            Self::IssuerCountry => facts.issuer_country,
            Self::BillingCountry => facts.billing_country,
            Self::Recurring => return facts.recurring.map_or(0, truth),
        })
    }
}

fn truth(is: bool) -> u64 {
    1 + u64::from(is)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NumberFact {
    Amount,
    Risk,
}

impl NumberFact {
    pub fn of(self, facts: &Facts<'_>) -> Option<i64> {
        match self {
            Self::Amount => facts.amount_minor,
            Self::Risk => facts.risk_score.map(i64::from),
        }
    }
}

/// A BIN as a number with its count of digits, so that "0042" and "42" differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bin {
    pub digits: u32,
    pub value: u32,
}

impl Bin {
    /// None where the text is empty, too long or not of digits.
    pub fn read(text: &str) -> Option<Self> {
        let fits = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.bytes().fold(0, |sum, b| sum * 10 + u32::from(b & 15));
        fits.then_some(Self {
            digits: text.len() as u32,
            value: if fits { value } else { 0 },
        })
    }
}

/// The BINs whose leading digits are within first to last; a prefix is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BinRange {
    pub digits: u32,
    pub first: u32,
    pub last: u32,
}

impl BinRange {
    fn holds(self, bin: Bin) -> bool {
        bin.digits >= self.digits && {
            let lead = bin.value / 10_u32.pow(bin.digits - self.digits);
            (self.first..=self.last).contains(&lead)
        }
    }

    /// The same among BINs of `digits` digits.
    pub fn interval(self, digits: u32) -> Option<Interval> {
        let more = 10_i64.pow(digits.checked_sub(self.digits)?);
        let (first, last) = (i64::from(self.first), i64::from(self.last));
        Some((first * more, (last + 1) * more - 1))
    }
}

/// What is asked of one payment, with what is worked out once and used by many conditions.
pub(crate) struct Asked<'a> {
    pub facts: &'a Facts<'a>,
    pub bin: Option<Bin>,
    wall_ns: i64,
    zones: &'a [TimeZone],
    locals: Vec<Option<Local>>,
}

impl<'a> Asked<'a> {
    pub fn new(facts: &'a Facts<'a>, wall_ns: i64, zones: &'a [TimeZone]) -> Self {
        Self {
            facts,
            bin: facts.bin.and_then(Bin::read),
            wall_ns,
            zones,
            locals: vec![None; zones.len()],
        }
    }

    pub fn local(&mut self, zone: u16) -> Local {
        let (zones, wall_ns) = (self.zones, self.wall_ns);
        let known = &mut self.locals[zone as usize];
        *known.get_or_insert_with(|| Local::at(&zones[zone as usize], wall_ns))
    }
}

impl Condition {
    pub fn read(doc: &ConditionDocument, key: &str, zones: &mut Zones) -> Result<Self, Error> {
        check_operators(doc, key)?;
        let word = |fact| {
            Ok(Ask::Word(
                fact,
                words(doc, key)?.iter().map(|w| lower(w)).collect(),
            ))
        };
        let ask = match doc.fact {
            FactWord::AmountMinor => number(doc, key, NumberFact::Amount)?,
            FactWord::RiskScore => number(doc, key, NumberFact::Risk)?,
            FactWord::Currency => word(WordFact::Currency)?,
            FactWord::Method => word(WordFact::Method)?,
            FactWord::CaptureMethod => word(WordFact::CaptureMethod)?,
            FactWord::Network => word(WordFact::Network)?,
            FactWord::Funding => word(WordFact::Funding)?,
            FactWord::Channel => word(WordFact::Channel)?,
            FactWord::ThreeDs => word(WordFact::ThreeDs)?,
            FactWord::IssuerCountry => word(WordFact::IssuerCountry)?,
            FactWord::BillingCountry => word(WordFact::BillingCountry)?,
            FactWord::Bin => bin_ranges(doc, key)?,
            FactWord::Recurring => {
                let is = doc.is.into_iter().map(truth);
                Ask::Word(WordFact::Recurring, is.collect())
            }
            FactWord::Metadata => metadata(doc, key)?,
            FactWord::Time => Ask::Time(Window::read(doc, key, zones)?),
        };
        Ok(Self {
            not: doc.not,
            missing: doc.missing == Some(Missing::Match),
            ask,
        })
    }

    /// The plain answer, without any index.
    pub fn holds(&self, asked: &mut Asked<'_>) -> bool {
        let answer = match &self.ask {
            Ask::Word(fact, words) => {
                let word = fact.of(asked.facts);
                (word != 0).then(|| words.contains(&word))
            }
            Ask::Number(fact, min, max) => {
                let value = fact.of(asked.facts);
                value.map(|value| (*min..=*max).contains(&value))
            }
            Ask::Bin(ranges) => asked.bin.map(|bin| ranges.iter().any(|r| r.holds(bin))),
            Ask::Metadata(m) => {
                let mut pairs = asked.facts.metadata.iter();
                let found = pairs.find(|(key, _)| *key == &*m.key);
                found.map(|(_, value)| m.answers(value))
            }
            Ask::Time(window) => Some(window.holds(asked.local(window.zone))),
        };
        answer.map_or(self.missing, |answer| answer != self.not)
    }

    /// Whether it holds for a word, where the fact is one.
    pub fn holds_for_word(&self, word: u64) -> bool {
        let Ask::Word(_, words) = &self.ask else {
            return false;
        };
        words.contains(&word) != self.not
    }

    /// Where it holds on the number line; BINs are numbers of `digits` digits, and times the
    /// minutes of a week.
    pub fn intervals(&self, digits: u32) -> Vec<Interval> {
        let parts = match &self.ask {
            Ask::Number(_, min, max) => union(vec![(*min, *max)]),
            Ask::Bin(ranges) => union(ranges.iter().filter_map(|r| r.interval(digits)).collect()),
            Ask::Time(window) => union(window.intervals()),
            _ => Vec::new(),
        };
        if self.not { complement(&parts) } else { parts }
    }
}

impl Metadata {
    pub fn answers(&self, value: &str) -> bool {
        self.words.iter().any(|word| **word == *value)
            || self
                .prefixes
                .iter()
                .any(|prefix| value.starts_with(&**prefix))
    }
}

fn lower(word: &str) -> u64 {
    symbol(Some(word))
}

/// The fact's name, the operators that it knows, and whether it may be unknown in a payment.
const fn shape(fact: FactWord) -> (&'static str, &'static [&'static str], Option<bool>) {
    const IN: &[&str] = &["in"];
    const RANGE: &[&str] = &["min", "max"];
    match fact {
        FactWord::AmountMinor => ("amount_minor", RANGE, Some(false)),
        FactWord::Currency => ("currency", IN, Some(false)),
        FactWord::Method => ("method", IN, Some(false)),
        FactWord::CaptureMethod => ("capture_method", IN, Some(false)),
        FactWord::Network => ("network", IN, Some(true)),
        FactWord::Funding => ("funding", IN, Some(true)),
        FactWord::Channel => ("channel", IN, Some(true)),
        FactWord::ThreeDs => ("three_ds", IN, Some(true)),
        FactWord::IssuerCountry => ("issuer_country", IN, Some(true)),
        FactWord::BillingCountry => ("billing_country", IN, Some(true)),
        FactWord::Bin => ("bin", &["prefix", "ranges"], Some(true)),
        FactWord::Recurring => ("recurring", &["is"], Some(true)),
        FactWord::RiskScore => ("risk_score", RANGE, Some(true)),
        FactWord::Metadata => ("metadata", &["in", "prefix"], Some(true)),
        FactWord::Time => ("time", &["days", "from", "until"], None),
    }
}

fn check_operators(doc: &ConditionDocument, key: &str) -> Result<(), Error> {
    let (fact, known, missing) = shape(doc.fact);
    let given = [
        ("in", doc.words.is_some()),
        ("prefix", doc.prefix.is_some()),
        ("ranges", doc.ranges.is_some()),
        ("min", doc.min.is_some()),
        ("max", doc.max.is_some()),
        ("is", doc.is.is_some()),
        ("days", doc.days.is_some()),
        ("from", doc.from.is_some()),
        ("until", doc.until.is_some()),
    ];
    let mut given = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
    if let Some(wrong) = given.clone().find(|name| !known.contains(name)) {
        let what = format!("is no operator of {fact}; it has {}", known.join(", "));
        return Err(Error::config(&format!("{key}.{wrong}"), what));
    }
    if given.next().is_none() {
        let what = format!("asks nothing of {fact}; give one of {}", known.join(", "));
        return Err(Error::config(key, what));
    }
    for (name, given, of) in [
        ("key", doc.key.is_some(), FactWord::Metadata),
        ("zone", doc.zone.is_some(), FactWord::Time),
    ] {
        if given && doc.fact != of {
            let what = format!("does not belong to {fact}");
            return Err(Error::config(&format!("{key}.{name}"), what));
        }
    }
    match (missing, doc.missing) {
        (Some(true), None) => {
            let what = format!("is required for {fact}, which may be unknown: match or no_match");
            Err(Error::config(&format!("{key}.missing"), what))
        }
        (None, Some(_)) => {
            let what = format!("does not belong to {fact}, which is always known");
            Err(Error::config(&format!("{key}.missing"), what))
        }
        _ => Ok(()),
    }
}

fn number(doc: &ConditionDocument, key: &str, fact: NumberFact) -> Result<Ask, Error> {
    let (min, max) = (doc.min.unwrap_or(i64::MIN), doc.max.unwrap_or(i64::MAX));
    if min > max {
        return Err(Error::config(&format!("{key}.min"), "is above max"));
    }
    Ok(Ask::Number(fact, min, max))
}

fn check_count(key: &str, count: usize) -> Result<(), Error> {
    if count == 0 || count > MOST_WORDS {
        let what = format!("has {count} entries; 1 to {MOST_WORDS} are taken");
        return Err(Error::config(key, what));
    }
    Ok(())
}

fn words<'a>(doc: &'a ConditionDocument, key: &str) -> Result<&'a [String], Error> {
    let words = doc.words.as_deref().unwrap_or_default();
    check_count(&format!("{key}.in"), words.len())?;
    check_lengths(&format!("{key}.in"), words, 64)?;
    Ok(words)
}

fn check_lengths(key: &str, words: &[String], most: usize) -> Result<(), Error> {
    let wrong = words.iter().position(|w| w.is_empty() || w.len() > most);
    wrong.map_or(Ok(()), |at| {
        let what = format!("is empty or longer than {most} bytes");
        Err(Error::config(&format!("{key}[{at}]"), what))
    })
}

fn metadata(doc: &ConditionDocument, key: &str) -> Result<Ask, Error> {
    let Some(name) = doc.key.as_deref().filter(|name| !name.is_empty()) else {
        let what = "is required for metadata: whose value is asked for";
        return Err(Error::config(&format!("{key}.key"), what));
    };
    let read = |operator: &str, list: &Option<Vec<String>>| -> Result<Box<[Box<str>]>, Error> {
        let Some(list) = list else {
            return Ok(Box::default());
        };
        let key = format!("{key}.{operator}");
        check_count(&key, list.len())?;
        // An empty value is a value, so it may be asked for; an empty beginning says nothing.
        let most = crate::facts::LONGEST_VALUE;
        let wrong = |w: &String| w.len() > most || (w.is_empty() && operator == "prefix");
        if let Some(at) = list.iter().position(wrong) {
            let what = format!("is empty or longer than {most} bytes");
            return Err(Error::config(&format!("{key}[{at}]"), what));
        }
        Ok(list.iter().map(|word| word.as_str().into()).collect())
    };
    Ok(Ask::Metadata(Box::new(Metadata {
        key: name.into(),
        words: read("in", &doc.words)?,
        prefixes: read("prefix", &doc.prefix)?,
    })))
}

fn bin_ranges(doc: &ConditionDocument, key: &str) -> Result<Ask, Error> {
    let mut found = Vec::new();
    let digits = |key: &str, text: &str| {
        let what = || format!("{text:?} is not 1 to 8 digits");
        Bin::read(text).ok_or_else(|| Error::config(key, what()))
    };
    if let Some(list) = &doc.prefix {
        check_count(&format!("{key}.prefix"), list.len())?;
        for (at, text) in list.iter().enumerate() {
            let bin = digits(&format!("{key}.prefix[{at}]"), text)?;
            found.push((bin, bin));
        }
    }
    if let Some(list) = &doc.ranges {
        check_count(&format!("{key}.ranges"), list.len())?;
        for (at, (first, last)) in list.iter().enumerate() {
            let key = format!("{key}.ranges[{at}]");
            let (first, last) = (
                digits(&format!("{key}[0]"), first)?,
                digits(&format!("{key}[1]"), last)?,
            );
            if first.digits != last.digits || first.value > last.value {
                let what = "the first is above the last, or has another length";
                return Err(Error::config(&key, what));
            }
            found.push((first, last));
        }
    }
    let ranges = found.into_iter().map(|(first, last)| BinRange {
        digits: first.digits,
        first: first.value,
        last: last.value,
    });
    Ok(Ask::Bin(ranges.collect()))
}
