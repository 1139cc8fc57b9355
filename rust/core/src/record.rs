//! Decisions as bytes: what one was made from, to be made again, or under other rules.
use std::sync::Arc;

use crate::VERSION;
use crate::choose::{Evidence, Gate};
use crate::counters::{Counted, Period, profile_key};
use crate::decide::{Decision, Question, Sight, decide};
use crate::error::{Code, Error};
use crate::facts::{Facts, Segments, symbol};
use crate::snapshot::{Place, Snapshot};
use crate::wire::{Reader, Writer};

/// The record's layout; a new layout gets a new number.
const LAYOUT: u8 = 3;

/// What an account had been approved in a period when a decision asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub account_key: u64,
    pub per: Period,
    pub currency: u64,
    pub value: u64,
}

pub(crate) fn write_question(out: &mut Writer, version: u64, question: &Question<'_>) {
    out.u8(LAYOUT);
    out.text(VERSION);
    out.u64(version);
    out.i64(question.now_ns);
    out.i64(question.wall_ns);
    out.u64(question.seed);
    out.text(question.profile);
    question.facts.write(out);
}

pub(crate) fn write_evidence(out: &mut Writer, account_key: u64, seen: &Evidence) {
    out.u64(account_key);
    for value in [
        seen.approval,
        seen.approval_sd,
        seen.learnable_sd,
        seen.failure,
        seen.latency_ms,
    ] {
        out.f32(value);
    }
    out.u8(seen.gate as u8);
}

pub(crate) fn write_counts(out: &mut Writer, counts: &[Count]) {
    out.u32(counts.len() as u32);
    for count in counts {
        out.u64(count.account_key);
        out.u8(count.per as u8);
        out.u64(count.currency);
        out.u64(count.value);
    }
}

/// A record taken apart.
pub(crate) struct Recorded<'a> {
    build: &'a str,
    version: u64,
    now_ns: i64,
    wall_ns: i64,
    seed: u64,
    profile: &'a str,
    facts: Facts<'a>,
    evidence: Vec<(u64, Evidence)>,
    counts: Vec<Count>,
    digest: u64,
}

impl<'a> Recorded<'a> {
    pub fn read(record: &'a [u8]) -> Result<Self, Error> {
        let mut from = Reader::unseal(record, Code::CorruptRecord)?;
        let layout = from.u8()?;
        if layout != LAYOUT {
            return Err(from.fail(&format!("has layout {layout}, this build reads {LAYOUT}")));
        }
        let recorded = Self {
            build: from.text()?,
            version: from.u64()?,
            now_ns: from.i64()?,
            wall_ns: from.i64()?,
            seed: from.u64()?,
            profile: from.text()?,
            facts: Facts::read(&mut from)?,
            evidence: (0..from.u8()?)
                .map(|_| read_evidence(&mut from))
                .collect::<Result<_, _>>()?,
            counts: (0..from.u32()?)
                .map(|_| read_count(&mut from))
                .collect::<Result<_, _>>()?,
            digest: from.u64()?,
        };
        from.end()?;
        recorded.facts.check()?;
        Ok(recorded)
    }

    /// The payment's segments and what an approval of it counts as, for an outcome that is late.
    pub fn learnable(&self) -> (Segments, Counted) {
        let counted = Counted {
            profile: profile_key(self.profile),
            currency: symbol(self.facts.currency),
            amount_minor: self.facts.amount_minor.unwrap_or(0),
        };
        (Segments::of(&self.facts), counted)
    }

    fn decide(&self, snapshot: &Arc<Snapshot>, profile: &str) -> Result<Decision, Error> {
        let question = Question {
            profile,
            facts: &self.facts,
            now_ns: self.now_ns,
            wall_ns: self.wall_ns,
            seed: self.seed,
        };
        let mut sight = Hindsight {
            recorded: self,
            account_keys: &snapshot.account_keys,
        };
        decide(snapshot, &question, Segments::of(&self.facts), &mut sight)
    }
}

fn read_evidence(from: &mut Reader<'_>) -> Result<(u64, Evidence), Error> {
    let key = from.u64()?;
    let evidence = Evidence {
        approval: from.f32()?,
        approval_sd: from.f32()?,
        learnable_sd: from.f32()?,
        failure: from.f32()?,
        latency_ms: from.f32()?,
        gate: Gate::ALL
            .get(from.u8()? as usize)
            .copied()
            .ok_or_else(|| from.fail("names a gate that does not exist"))?,
    };
    Ok((key, evidence))
}

fn read_count(from: &mut Reader<'_>) -> Result<Count, Error> {
    Ok(Count {
        account_key: from.u64()?,
        per: match from.u8()? {
            0 => Period::Day,
            1 => Period::Month,
            _ => return Err(from.fail("names a period that does not exist")),
        },
        currency: from.u64()?,
        value: from.u64()?,
    })
}

/// What a record says was known.
struct Hindsight<'a> {
    recorded: &'a Recorded<'a>,
    account_keys: &'a [u64],
}

impl Sight for Hindsight<'_> {
    fn evidence(&mut self, place: Place) -> Option<Evidence> {
        let key = self.account_keys[place.account as usize];
        let mut known = self.recorded.evidence.iter();
        known.find(|(account, _)| *account == key).map(|(_, e)| *e)
    }

    /// What nobody counted then counts as nothing.
    fn count(&mut self, account: u16, per: Period, currency: u64) -> u64 {
        let key = self.account_keys[account as usize];
        let same = |c: &&Count| (c.account_key, c.per, c.currency) == (key, per, currency);
        let found = self.recorded.counts.iter().find(same);
        found.map_or(0, |count| count.value)
    }
}

/// Makes a recorded decision again: the same snapshot, facts, evidence, time and seed.
pub(crate) fn replay(snapshot: &Arc<Snapshot>, record: &[u8]) -> Result<Decision, Error> {
    let recorded = Recorded::read(record)?;
    if recorded.version != snapshot.version {
        let what = format!(
            "the record was made from snapshot {:016x}, this router holds {:016x}",
            recorded.version, snapshot.version
        );
        return Err(Error::new(Code::OtherSnapshot, what));
    }
    let decision = recorded.decide(snapshot, recorded.profile)?;
    if recorded.digest != decision.digest() {
        let what = format!("build {} decided otherwise than {VERSION}", recorded.build);
        return Err(Error::new(Code::CorruptRecord, what));
    }
    Ok(decision)
}

/// Decides a recorded payment under another profile: its accounts and rules, but what was known
/// of accounts then. Accounts of which nothing is recorded are left out.
pub(crate) fn try_ruleset(
    snapshot: &Arc<Snapshot>,
    record: &[u8],
    profile: &str,
) -> Result<Decision, Error> {
    Recorded::read(record)?.decide(snapshot, profile)
}
