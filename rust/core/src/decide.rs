//! One decision: filter, rank, draw; and its record, from which it can be made again.
use std::sync::{Arc, Mutex};

use crate::VERSION;
use crate::choose::{Candidate, Evidence, Gate, rank, score};
use crate::error::{Code, Error};
use crate::facts::{Facts, Segments};
use crate::objective::FeeFacts;
use crate::scores::Declined;
use crate::snapshot::{FilterReason, Place, Snapshot};
use crate::wire::{Reader, Writer, hash64};

/// The record's layout; a new layout gets a new number.
const LAYOUT: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    pub account: u16,
    pub tier: u8,
    pub gate: Gate,
    /// What it is ranked by: the objective's worth of a call, scaled to about 0 to 1. With the
    /// approval objective this is the probability of approval, both channels together.
    pub score: f64,
    /// The exact probability that this account was ranked first.
    pub propensity: f64,
    /// The issuer's channel and the technical one, apart.
    pub approval: f32,
    pub failure: f32,
    /// Standard deviation of `approval`.
    pub approval_sd: f32,
    pub latency_ms: f32,
    /// The fee of an approved payment, in minor units of its currency.
    pub fee_minor: f64,
    /// What would have changed the choice: the issuer's approval at which this account's score
    /// would have equalled the first one's. None where no approval would have been enough.
    pub approval_to_lead: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filtered {
    pub account: u16,
    pub reason: FilterReason,
}

#[derive(Clone, Debug)]
pub struct Decision {
    pub snapshot: Arc<Snapshot>,
    pub ranked: Vec<Ranked>,
    pub filtered: Vec<Filtered>,
    /// No account may be called: all breakers are open or all caps reached.
    pub degraded: bool,
    pub now_ns: i64,
    pub seed: u64,
    pub(crate) segments: Segments,
    /// Which accounts have declined this payment: what a second attempt is compared with. It is
    /// no part of the decision, and so of no record.
    pub(crate) declined: Arc<Mutex<Declined>>,
    inputs: Vec<u8>,
}

impl Decision {
    /// Everything that the decision was made from, and a checksum of what came out.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.inputs.len() + 16);
        out.bytes.extend_from_slice(&self.inputs);
        out.u64(self.digest());
        out.seal()
    }

    #[must_use]
    pub fn account_id(&self, account: u16) -> &str {
        self.snapshot.account_id(account)
    }

    fn digest(&self) -> u64 {
        let mut out = Writer::with_capacity(self.ranked.len() * 32);
        for r in &self.ranked {
            out.u16(r.account);
            out.u8(r.gate as u8);
            out.f64(r.score);
            out.f64(r.propensity);
        }
        for f in &self.filtered {
            out.u16(f.account);
            out.u8(f.reason as u8);
        }
        out.u8(u8::from(self.degraded));
        hash64(&out.bytes)
    }
}

/// What a decision is asked for.
pub(crate) struct Question<'a> {
    pub profile: &'a str,
    pub facts: &'a Facts<'a>,
    pub now_ns: i64,
    pub seed: u64,
}

/// Decides; `evidence` tells what is known of an eligible account for these segments.
pub(crate) fn decide(
    snapshot: &Arc<Snapshot>,
    question: &Question<'_>,
    segments: Segments,
    mut evidence: impl FnMut(Place) -> Result<Evidence, Error>,
) -> Result<Decision, Error> {
    let profile = snapshot.profile(question.profile)?;
    let places = &profile.places;
    let mut eligible = Vec::with_capacity(places.len());
    let mut filtered = Vec::new();
    snapshot.filter(
        places,
        question.facts,
        |place| eligible.push(place),
        |account, reason| filtered.push(Filtered { account, reason }),
    );
    let mut inputs = Writer::with_capacity(112 + 21 * eligible.len());
    write_question(&mut inputs, snapshot.version, question);
    inputs.u8(eligible.len() as u8);
    let mut candidates = Vec::with_capacity(eligible.len());
    let fee_facts = FeeFacts::of(question.facts, &snapshot.rates);
    let amount = question.facts.amount_minor;
    for place in eligible {
        let seen = evidence(place)?;
        for value in [
            seen.approval,
            seen.approval_sd,
            seen.learnable_sd,
            seen.failure,
            seen.latency_ms,
        ] {
            inputs.f32(value);
        }
        inputs.u8(seen.gate as u8);
        let fee_minor = snapshot.fees[place.account as usize].fee_minor(&fee_facts);
        let latency_ms = f64::from(seen.latency_ms);
        let worth = profile.objective.worth(amount, fee_minor, latency_ms);
        candidates.push(Candidate::new(place, seen, worth));
    }
    score(&mut candidates, &profile.objective);
    let explore = profile.explore && !question.facts.no_exploring;
    let choice = &snapshot.settings.choice;
    let degraded = rank(&mut candidates, question.seed, choice, explore);
    let first = candidates.first().map_or(0.0, |c| c.score);
    let ranked = candidates.iter().map(|c| Ranked {
        account: c.place.account,
        tier: c.place.tier,
        gate: c.evidence.gate,
        score: c.score,
        propensity: c.propensity,
        approval: c.evidence.approval,
        failure: c.evidence.failure,
        approval_sd: c.evidence.approval_sd,
        latency_ms: c.evidence.latency_ms,
        fee_minor: c.worth.fee_minor,
        approval_to_lead: c.approval_to_reach(first),
    });
    Ok(Decision {
        snapshot: Arc::clone(snapshot),
        ranked: ranked.collect(),
        filtered,
        degraded,
        now_ns: question.now_ns,
        seed: question.seed,
        segments,
        declined: Arc::default(),
        inputs: inputs.bytes,
    })
}

fn write_question(out: &mut Writer, version: u64, question: &Question<'_>) {
    out.u8(LAYOUT);
    out.text(VERSION);
    out.u64(version);
    out.i64(question.now_ns);
    out.u64(question.seed);
    out.text(question.profile);
    question.facts.write(out);
}

/// A record taken apart as far as its facts.
struct Opened<'a> {
    build: &'a str,
    version: u64,
    now_ns: i64,
    seed: u64,
    profile: &'a str,
    facts: Facts<'a>,
    rest: Reader<'a>,
}

fn open(record: &[u8]) -> Result<Opened<'_>, Error> {
    let mut from = Reader::unseal(record, Code::CorruptRecord)?;
    let layout = from.u8()?;
    if layout != LAYOUT {
        return Err(from.fail(&format!("has layout {layout}, this build reads {LAYOUT}")));
    }
    let build = from.text()?;
    let (version, now_ns, seed) = (from.u64()?, from.i64()?, from.u64()?);
    let profile = from.text()?;
    let facts = Facts::read(&mut from)?;
    Ok(Opened {
        build,
        version,
        now_ns,
        seed,
        profile,
        facts,
        rest: from,
    })
}

/// The segments of a recorded decision's payment, so that a late outcome can still be learnt.
pub(crate) fn segments_of(record: &[u8]) -> Result<Segments, Error> {
    Ok(Segments::of(&open(record)?.facts))
}

/// Makes a recorded decision again: the same snapshot, facts, evidence, time and seed.
pub(crate) fn replay(snapshot: &Arc<Snapshot>, record: &[u8]) -> Result<Decision, Error> {
    let opened = open(record)?;
    if opened.version != snapshot.version {
        let what = format!(
            "the record was made from snapshot {:016x}, this router holds {:016x}",
            opened.version, snapshot.version
        );
        return Err(Error::new(Code::OtherSnapshot, what));
    }
    let question = Question {
        profile: opened.profile,
        facts: &opened.facts,
        now_ns: opened.now_ns,
        seed: opened.seed,
    };
    let mut rest = opened.rest;
    let count = rest.u8()?;
    let mut read = 0;
    let segments = Segments::of(&opened.facts);
    let decision = decide(snapshot, &question, segments, |_| {
        read += 1;
        Ok(Evidence {
            approval: rest.f32()?,
            approval_sd: rest.f32()?,
            learnable_sd: rest.f32()?,
            failure: rest.f32()?,
            latency_ms: rest.f32()?,
            gate: Gate::ALL
                .get(rest.u8()? as usize)
                .copied()
                .ok_or_else(|| rest.fail("names a gate that does not exist"))?,
        })
    })?;
    let digest = rest.u64()?;
    rest.end()?;
    if read != count || digest != decision.digest() {
        let what = format!("build {} decided otherwise than {VERSION}", opened.build);
        return Err(Error::new(Code::CorruptRecord, what));
    }
    Ok(decision)
}
