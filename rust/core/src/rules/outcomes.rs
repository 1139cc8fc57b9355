//! What rules ask for, with a profile's accounts as places; and what one payment's rules ask for
//! together.
//!
//! A ruleset may name accounts that the profile has not, say because they were taken away after
//! it was written: they are never eligible, so naming them asks for nothing.
use std::collections::HashMap;

use crate::counters::Period;
use crate::error::Error;
use crate::facts::symbol;
use crate::rules::document::{
    CapDocument, CommitDocument, MOST_WORDS, OutcomesDocument, PeriodWord,
};

/// A set of a profile's places, of which there are at most 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlaceSet([u64; 4]);

impl PlaceSet {
    pub fn add(&mut self, place: u8) {
        self.0[place as usize / 64] |= 1 << (place % 64);
    }

    pub fn has(self, place: u8) -> bool {
        self.0[place as usize / 64] >> (place % 64) & 1 == 1
    }

    fn keep(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= b);
    }

    fn unite(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
    }
}

/// No more than so much through an account in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capped {
    pub place: u8,
    pub per: Period,
    /// 0 where payments are counted, otherwise whose amounts are.
    pub currency: u64,
    pub most: u64,
}

/// So many payments were promised to an account in a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Committed {
    pub place: u8,
    pub per: Period,
    pub payments: u64,
    /// How far below the best score it may stand and still come first.
    pub within: f64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    only: Option<PlaceSet>,
    exclude: PlaceSet,
    /// The tier of each place.
    tiers: Option<Box<[u8]>>,
    split: Option<Box<[(u8, f64)]>>,
    weight: Box<[(u8, f64)]>,
    caps: Box<[Capped]>,
    commits: Box<[Committed]>,
    cheapest_within: Option<f64>,
    block: Option<Box<str>>,
    require_three_ds: bool,
}

/// A volume split: the seed that its draw begins with, and its shares by place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Split<'a> {
    pub seed: u64,
    pub shares: &'a [(u8, f64)],
}

/// What all rules that a payment matched ask for together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict<'a> {
    /// In their order; none where `otherwise` was taken, or nothing.
    pub matched: Vec<u16>,
    /// The rule that refuses the payment and its reason.
    pub block: Option<(&'a str, &'a str)>,
    only: Option<PlaceSet>,
    exclude: PlaceSet,
    pub tiers: Option<&'a [u8]>,
    pub split: Option<Split<'a>>,
    pub weight: Vec<(u8, f64)>,
    pub caps: Vec<Capped>,
    pub commits: Vec<Committed>,
    pub cheapest_within: Option<f64>,
    pub require_three_ds: bool,
}

impl<'a> Verdict<'a> {
    /// Adds what one rule asks for: sets narrow, sums add up, of the rest the first is kept.
    pub fn add(&mut self, rule_id: &'a str, rule_seed: u64, outcomes: &'a Outcomes) {
        if let Some(only) = outcomes.only {
            match &mut self.only {
                Some(kept) => kept.keep(only),
                None => self.only = Some(only),
            }
        }
        self.exclude.unite(outcomes.exclude);
        for (place, weight) in &outcomes.weight {
            match self.weight.iter_mut().find(|(known, _)| known == place) {
                Some((_, sum)) => *sum += weight,
                None => self.weight.push((*place, *weight)),
            }
        }
        for cap in &outcomes.caps {
            let same = |c: &&mut Capped| {
                (c.place, c.per, c.currency) == (cap.place, cap.per, cap.currency)
            };
            match self.caps.iter_mut().find(same) {
                Some(known) => known.most = known.most.min(cap.most),
                None => self.caps.push(*cap),
            }
        }
        self.commits.extend_from_slice(&outcomes.commits);
        self.require_three_ds |= outcomes.require_three_ds;
        let block = outcomes.block.as_deref().map(|why| (rule_id, why));
        self.block = self.block.or(block);
        self.tiers = self.tiers.or(outcomes.tiers.as_deref());
        let shares = outcomes.split.as_deref();
        self.split = self.split.or(shares.map(|shares| Split {
            seed: rule_seed,
            shares,
        }));
        self.cheapest_within = self.cheapest_within.or(outcomes.cheapest_within);
    }

    pub fn leaves_out(&self, place: u8) -> bool {
        self.only.is_some_and(|only| !only.has(place))
    }

    pub fn excludes(&self, place: u8) -> bool {
        self.exclude.has(place)
    }

    pub fn weight(&self, place: u8) -> f64 {
        let found = self.weight.iter().find(|(known, _)| *known == place);
        found.map_or(0.0, |(_, weight)| *weight)
    }
}

/// Where a profile's accounts stand.
pub(crate) type Places<'a> = HashMap<&'a str, u8>;

impl Outcomes {
    pub fn read(doc: &OutcomesDocument, key: &str, places: &Places<'_>) -> Result<Self, Error> {
        let list = |name: &str, ids: &Option<Vec<String>>| -> Result<Option<PlaceSet>, Error> {
            let Some(ids) = ids else {
                return Ok(None);
            };
            check_count(&format!("{key}.{name}"), ids.len())?;
            let mut set = PlaceSet::default();
            let known = ids.iter().filter_map(|id| places.get(id.as_str()));
            known.for_each(|place| set.add(*place));
            Ok(Some(set))
        };
        let tiers = doc.priority.as_deref();
        let made = Self {
            only: list("only", &doc.only)?,
            exclude: list("exclude", &doc.exclude)?.unwrap_or_default(),
            tiers: tiers
                .map(|tiers| read_tiers(tiers, key, places))
                .transpose()?,
            split: read_split(doc, key, places)?,
            weight: read_weight(doc, key, places)?,
            caps: read_caps(doc.cap.as_deref(), key, places)?,
            commits: read_commits(doc.commit.as_deref(), key, places)?,
            cheapest_within: match doc.cheapest_within_points {
                Some(points) => Some(within(&format!("{key}.cheapest_within_points"), points)?),
                None => None,
            },
            block: doc.block.as_deref().map(Into::into),
            require_three_ds: doc.require_three_ds == Some(true),
        };
        if doc.block.as_deref().is_some_and(str::is_empty) {
            return Err(Error::config(&format!("{key}.block"), "gives no reason"));
        }
        if is_empty(doc) {
            return Err(Error::config(key, "asks for nothing"));
        }
        Ok(made)
    }
}

fn is_empty(doc: &OutcomesDocument) -> bool {
    doc.only.is_none()
        && doc.exclude.is_none()
        && doc.priority.is_none()
        && doc.split.is_none()
        && doc.weight.is_none()
        && doc.cap.is_none()
        && doc.commit.is_none()
        && doc.cheapest_within_points.is_none()
        && doc.block.is_none()
        && doc.require_three_ds.is_none()
}

fn check_count(key: &str, count: usize) -> Result<(), Error> {
    if count == 0 || count > MOST_WORDS {
        let what = format!("has {count} entries; 1 to {MOST_WORDS} are taken");
        return Err(Error::config(key, what));
    }
    Ok(())
}

/// Percentage points of score as a difference of scores.
fn within(key: &str, points: f64) -> Result<f64, Error> {
    if (0.0..=100.0).contains(&points) {
        return Ok(points * 0.01);
    }
    Err(Error::config(
        key,
        format!("{points} is not within 0 to 100"),
    ))
}

fn read_tiers(tiers: &[Vec<String>], key: &str, places: &Places<'_>) -> Result<Box<[u8]>, Error> {
    let mut seen = std::collections::HashSet::new();
    let key = format!("{key}.priority");
    check_count(&key, tiers.len())?;
    // Those that nobody named come after, as one last tier.
    let mut of_place: Vec<Option<u8>> = vec![None; places.len()];
    let mut next = 0_u8;
    for (t, tier) in tiers.iter().enumerate() {
        check_count(&format!("{key}[{t}]"), tier.len())?;
        let mut used = false;
        for (at, id) in tier.iter().enumerate() {
            if !seen.insert(id.as_str()) {
                let what = format!("{id:?} is there twice");
                return Err(Error::config(&format!("{key}[{t}][{at}]"), what));
            }
            if let Some(place) = places.get(id.as_str()) {
                of_place[*place as usize] = Some(next);
                used = true;
            }
        }
        // A tier that is counted has a place of its own, so there are at most 255.
        next += u8::from(used);
    }
    Ok(of_place
        .into_iter()
        .map(|tier| tier.unwrap_or(next))
        .collect())
}

type Shares = Box<[(u8, f64)]>;

fn read_split(
    doc: &OutcomesDocument,
    key: &str,
    places: &Places<'_>,
) -> Result<Option<Shares>, Error> {
    let Some(split) = &doc.split else {
        return Ok(None);
    };
    check_count(&format!("{key}.split"), split.len())?;
    if let Some((id, _)) = split.iter().find(|(_, share)| *share == 0) {
        let what = "a share is at least 1";
        return Err(Error::config(&format!("{key}.split.{id}"), what));
    }
    Ok(Some(by_place(
        split.iter().map(|(id, s)| (id, f64::from(*s))),
        places,
    )))
}

fn read_weight(doc: &OutcomesDocument, key: &str, places: &Places<'_>) -> Result<Shares, Error> {
    let Some(weight) = &doc.weight else {
        return Ok(Box::default());
    };
    check_count(&format!("{key}.weight"), weight.len())?;
    if let Some((id, weight)) = weight.iter().find(|(_, w)| !(-1.0..=1.0).contains(w)) {
        let what = format!("{weight} is not within -1 to 1");
        return Err(Error::config(&format!("{key}.weight.{id}"), what));
    }
    Ok(by_place(
        weight.iter().map(|(id, weight)| (id, *weight)),
        places,
    ))
}

fn by_place<'a>(
    numbers: impl Iterator<Item = (&'a String, f64)>,
    places: &Places<'_>,
) -> Box<[(u8, f64)]> {
    let mut found: Vec<(u8, f64)> = numbers
        .filter_map(|(id, number)| Some((*places.get(id.as_str())?, number)))
        .collect();
    found.sort_unstable_by_key(|(place, _)| *place);
    found.into()
}

fn period(word: PeriodWord) -> Period {
    match word {
        PeriodWord::Day => Period::Day,
        PeriodWord::Month => Period::Month,
    }
}

fn read_caps(
    caps: Option<&[CapDocument]>,
    key: &str,
    places: &Places<'_>,
) -> Result<Box<[Capped]>, Error> {
    let Some(caps) = caps else {
        return Ok(Box::default());
    };
    check_count(&format!("{key}.cap"), caps.len())?;
    let mut found = Vec::new();
    for (at, cap) in caps.iter().enumerate() {
        let key = format!("{key}.cap[{at}]");
        let (most, currency) = match (cap.payments, cap.amount_minor, &cap.currency) {
            (Some(payments), None, None) => (payments, 0),
            (None, Some(amount), Some(currency)) => {
                let letters = currency.bytes().all(|b| b.is_ascii_alphabetic());
                if currency.len() != 3 || !letters {
                    let what = "is not three letters";
                    return Err(Error::config(&format!("{key}.currency"), what));
                }
                (amount, symbol(Some(currency)))
            }
            _ => {
                let what = "wants payments, or amount_minor and currency, and not both";
                return Err(Error::config(&key, what));
            }
        };
        if most == 0 {
            return Err(Error::config(&key, "the most is at least 1"));
        }
        if let Some(place) = places.get(cap.account.as_str()) {
            found.push(Capped {
                place: *place,
                per: period(cap.per),
                currency,
                most,
            });
        }
    }
    Ok(found.into())
}

fn read_commits(
    commits: Option<&[CommitDocument]>,
    key: &str,
    places: &Places<'_>,
) -> Result<Box<[Committed]>, Error> {
    let Some(commits) = commits else {
        return Ok(Box::default());
    };
    check_count(&format!("{key}.commit"), commits.len())?;
    let mut found = Vec::new();
    for (at, commit) in commits.iter().enumerate() {
        let key = format!("{key}.commit[{at}]");
        if commit.payments == 0 {
            let what = "is at least 1";
            return Err(Error::config(&format!("{key}.payments"), what));
        }
        let within = within(&format!("{key}.within_points"), commit.within_points)?;
        if let Some(place) = places.get(commit.account.as_str()) {
            found.push(Committed {
                place: *place,
                per: period(commit.per),
                payments: commit.payments,
                within,
            });
        }
    }
    Ok(found.into())
}
