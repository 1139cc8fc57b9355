//! The router: what changes (health, breakers, open calls) beside what does not (the snapshot).
//!
//! `decide` only reads. `begin` and `finish` own permits, probes and the age of open calls.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::breaker::{Breaker, BreakerView, Phase, Signal, Trip};
use crate::clock::Clock;
use crate::counters::{Counted, Tallies};
use crate::decide::{Decision, Question, decide};
use crate::error::{Code, Error};
use crate::facts::{Facts, Segments};
use crate::flights::{Flight, Flights};
use crate::health::{Answers, TechnicalHealth};
use crate::limits::{AdaptiveCap, Bucket, Load};
use crate::live::Live;
use crate::outcome::Outcome;
use crate::record::{Recorded, replay, try_ruleset};
use crate::scores::{Answer, Declined, Scores};
use crate::snapshot::Snapshot;

/// What is kept of one account. Slots outlive snapshots, so that a reload loses nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub id: String,
    pub generation: u32,
    pub technical: TechnicalHealth,
    pub answers: Answers,
    pub breaker: Breaker,
    pub flights: Flights,
    pub bucket: Bucket,
    pub adaptive: AdaptiveCap,
    pub tallies: Tallies,
}

#[derive(Debug)]
pub struct Router {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) clock: Clock,
    pub(crate) slots: Vec<Slot>,
    pub(crate) slot_of: HashMap<String, u32>,
    /// The slot of each of the snapshot's accounts.
    pub(crate) columns: Vec<u32>,
    pub(crate) free: Vec<u32>,
    pub(crate) scores: Scores,
    pub(crate) next_permit: u64,
}

/// The right to make one call at one account, until it is finished.
#[derive(Clone, Debug)]
pub struct Permit {
    pub id: u64,
    pub account_id: String,
    pub probe: bool,
    slot: u32,
    generation: u32,
    begun_s: f64,
    segments: Option<Segments>,
    counted: Option<Counted>,
    declined: Option<Arc<Mutex<Declined>>>,
}

/// Why a call may not begin. Nothing was sent, so the next account may be tried at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    UnknownAccount,
    AtCapacity,
    RateLimited { retry_in_s: f64 },
    ProbesBusy,
    BreakerOpen { reason: Trip, retry_in_s: f64 },
}

impl Refusal {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::AtCapacity => "at_capacity",
            Self::RateLimited { .. } => "rate_limited",
            Self::ProbesBusy => "probes_busy",
            Self::BreakerOpen { .. } => "breaker_open",
        }
    }
}

/// One account as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountHealth {
    pub account_id: String,
    pub breaker: BreakerView,
    pub approval: f64,
    pub answers: f64,
    pub failure_rate: f64,
    pub latency_ms: f64,
    pub in_flight: u32,
    pub overdue: u32,
    pub max_in_flight: u32,
}

impl Slot {
    /// Calls that may be open at once; 0 means no cap.
    pub fn cap(&self, snapshot: &Snapshot, account: u16) -> u32 {
        let most = snapshot.max_in_flight[account as usize];
        match (snapshot.adaptive[account as usize], most) {
            (false, _) => most,
            (true, 0) => self.adaptive.at_once(),
            (true, _) => most.min(self.adaptive.at_once()),
        }
    }
}

impl Router {
    pub fn new(config_json: &[u8]) -> Result<Self, Error> {
        Ok(Self::over(Arc::new(Snapshot::compile(config_json)?)))
    }

    /// A router that knows nothing yet, over a configuration that has been compiled.
    #[must_use]
    pub fn over(snapshot: Arc<Snapshot>) -> Self {
        let mut router = Self {
            snapshot: Arc::clone(&snapshot),
            clock: Clock::default(),
            slots: Vec::new(),
            slot_of: HashMap::new(),
            columns: Vec::new(),
            free: Vec::new(),
            scores: Scores::new(&snapshot.settings.learning),
            next_permit: 1,
        };
        router.install(snapshot);
        router
    }

    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Switches to another configuration. Accounts that stay keep all that was learnt.
    pub fn install(&mut self, snapshot: Arc<Snapshot>) {
        let gone: Vec<u32> = (0..self.slots.len() as u32)
            .filter(|slot| {
                let id = &self.slots[*slot as usize].id;
                !id.is_empty() && !snapshot.by_id.contains_key(id.as_str())
            })
            .collect();
        for index in gone {
            let slot = &mut self.slots[index as usize];
            self.slot_of.remove(&slot.id);
            // Permits of the account that was here must not speak for the one that comes next.
            *slot = Slot {
                generation: slot.generation.wrapping_add(1),
                ..Slot::default()
            };
            let kinds = &snapshot.model.kinds;
            self.scores.table.clear_column(index as usize, kinds);
            self.free.push(index);
        }
        let columns = snapshot.ids.iter().map(|id| match self.slot_of.get(&**id) {
            Some(slot) => *slot,
            None => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.slots.push(Slot::default());
                    self.slots.len() as u32 - 1
                });
                self.slots[slot as usize].id = id.to_string();
                self.slot_of.insert(id.to_string(), slot);
                slot
            }
        });
        self.columns = columns.collect();
        for slot in &mut self.slots {
            slot.tallies.keep(&snapshot.counted);
        }
        self.snapshot = snapshot;
    }

    pub fn decide(
        &self,
        profile: &str,
        facts: &Facts<'_>,
        now_ns: i64,
        seed: u64,
    ) -> Result<Decision, Error> {
        facts.check()?;
        let segments = Segments::of(facts);
        let question = Question {
            profile,
            facts,
            now_ns,
            wall_ns: self.clock.wall_ns(now_ns),
            seed,
        };
        let mut sight = Live::new(self, &segments, &question);
        decide(&self.snapshot, &question, segments, &mut sight)
    }

    /// Makes a recorded decision again from its record and this router's snapshot.
    pub fn replay(&self, record: &[u8]) -> Result<Decision, Error> {
        replay(&self.snapshot, record)
    }

    /// Decides a recorded payment under a profile of this router's snapshot, by what was known
    /// of its accounts then: how a changed ruleset is tried on payments of the past.
    pub fn try_ruleset(&self, record: &[u8], profile: &str) -> Result<Decision, Error> {
        try_ruleset(&self.snapshot, record, profile)
    }

    /// Asks to begin a call. A `required` call can go nowhere else (say, the capture of a payment
    /// that this account authorized): breaker and cap do not refuse it, it is only counted.
    pub fn begin(
        &mut self,
        account_id: &str,
        decision: Option<&Decision>,
        required: bool,
        now_ns: i64,
    ) -> Result<Permit, Refusal> {
        let now_s = self.clock.advance(now_ns);
        let index = *self
            .slot_of
            .get(account_id)
            .ok_or(Refusal::UnknownAccount)?;
        let account = self
            .snapshot
            .by_id
            .get(account_id)
            .ok_or(Refusal::UnknownAccount)?;
        let rate = self.snapshot.rate_limits[*account as usize];
        let set = &self.snapshot.settings;
        let slot = &mut self.slots[index as usize];
        let cap = slot.cap(&self.snapshot, *account);
        slot.flights.forget_lost(now_s, set.health.permit_lost_s);
        let overdue = slot.flights.overdue(now_s, set.health.overdue_ms * 1e-3);
        slot.breaker.settle(overdue, now_s, &set.breaker);
        if cap > 0 && slot.flights.len() >= cap as usize && !required {
            return Err(Refusal::AtCapacity);
        }
        let retry_in_s = slot.bucket.wait_s(rate, now_s);
        if retry_in_s > 0.0 && !required {
            return Err(Refusal::RateLimited { retry_in_s });
        }
        let view = slot.breaker.view(overdue, now_s, &set.breaker);
        // Where all were ill when the payment was decided, the least ill serves.
        let forced = required || decision.is_some_and(|d| d.degraded);
        let probe = match view.phase {
            Phase::Closed => false,
            Phase::HalfOpen if slot.flights.probes() < set.breaker.probes => true,
            _ if forced => false,
            Phase::HalfOpen => return Err(Refusal::ProbesBusy),
            Phase::Open => {
                return Err(Refusal::BreakerOpen {
                    reason: view.reason,
                    retry_in_s: view.retry_in_s,
                });
            }
        };
        slot.bucket.take(rate, now_s);
        let permit = self.next_permit;
        self.next_permit += 1;
        slot.flights.begin(Flight {
            permit,
            begun_s: now_s,
            probe,
            orphan: false,
        });
        Ok(Permit {
            id: permit,
            account_id: account_id.to_owned(),
            probe,
            slot: index,
            generation: slot.generation,
            begun_s: now_s,
            segments: decision.map(|d| d.segments),
            counted: decision.map(|d| d.counted),
            declined: decision.map(|d| Arc::clone(&d.declined)),
        })
    }

    /// Ends a call and learns from it. A permit can be finished once.
    pub fn finish(
        &mut self,
        permit: &Permit,
        outcome: Outcome,
        latency_ms: f64,
        now_ns: i64,
    ) -> Result<(), Error> {
        let wall_ns = self.clock.wall_ns(now_ns);
        let now_s = self.clock.advance(now_ns);
        let set = &self.snapshot.settings;
        let Some(slot) = self.slots.get_mut(permit.slot as usize) else {
            let what = format!("permit {} is not of this router", permit.id);
            return Err(Error::new(Code::UnknownPermit, what));
        };
        if slot.generation != permit.generation {
            // A reload took the account away in the meantime: nobody is left to learn of it.
            return Ok(());
        }
        if slot.flights.finish(permit.id).is_none() {
            let lost = now_s - permit.begun_s > set.health.permit_lost_s;
            if !lost {
                let what = format!("permit {} was finished before", permit.id);
                return Err(Error::new(Code::UnknownPermit, what));
            }
        }
        if let Some(failed) = outcome.technical_failure() {
            let load = Load {
                failed,
                latency_ms,
                usual_ms: slot.technical.latency_ms,
                begun_s: permit.begun_s,
                at_once: slot.flights.len() + 1,
            };
            slot.adaptive.learn(load, now_s);
        }
        slot.technical
            .learn(outcome, latency_ms, now_s, &set.health);
        if let Some(failed) = outcome.technical_failure() {
            let was_open = slot.breaker.opened_s.is_some();
            let signal = Signal {
                failed,
                timeout: outcome == Outcome::Timeout,
                slow: latency_ms.is_finite() && latency_ms > set.breaker.slow_ms,
                probe: permit.probe,
                begun_s: permit.begun_s,
            };
            slot.breaker.learn(signal, now_s, &set.breaker);
            if was_open && slot.breaker.opened_s.is_none() {
                slot.technical.recover();
            }
        }
        self.count(permit.slot, outcome, permit.counted, wall_ns);
        if let Some(segments) = permit.segments {
            self.learn(
                permit.slot,
                &segments,
                outcome,
                permit.declined.as_deref(),
                now_s,
            );
        }
        Ok(())
    }

    /// Counts an approved authorization for caps and commitments.
    fn count(&mut self, slot: u32, outcome: Outcome, counted: Option<Counted>, wall_ns: i64) {
        let known = |c: &Counted| self.snapshot.counted.contains_key(&c.profile);
        let approved = counted.filter(|_| outcome == Outcome::Approved);
        if let Some(counted) = approved.filter(known) {
            self.slots[slot as usize].tallies.add(counted, wall_ns);
        }
    }

    fn learn(
        &mut self,
        slot: u32,
        segments: &Segments,
        outcome: Outcome,
        declined: Option<&Mutex<Declined>>,
        now_s: f64,
    ) {
        let Some(approved) = outcome.issuer_approved() else {
            return;
        };
        let (set, model) = (&self.snapshot.settings.health, &self.snapshot.model);
        let mut before = [0; Declined::MOST];
        let mut count = 0;
        if let Some(declined) = declined {
            // Nothing panics while it is held; a poisoned lock would still hold a whole value.
            let mut declined = declined.lock().unwrap_or_else(PoisonError::into_inner);
            for (column, generation) in declined.iter() {
                // A reload may have given the column to another account.
                let same = self.slots.get(column as usize);
                if same.is_some_and(|s| s.generation == generation) && column != slot {
                    before[count] = column as usize;
                    count += 1;
                }
            }
            if outcome == Outcome::IssuerDeclinedSoft {
                declined.push(slot, self.slots[slot as usize].generation);
            }
        }
        let answer = Answer {
            segments,
            column: slot as usize,
            approved,
            hard: outcome == Outcome::IssuerDeclinedHard,
            declined: &before[..count],
        };
        self.scores.learn(&answer, now_s, model);
        self.slots[slot as usize]
            .answers
            .learn(approved, now_s, set);
    }

    /// Learns an issuer's answer that came late, after its call had ended as unknown. The record
    /// is that of the payment's decision. Late answers say nothing about the account's calls.
    pub fn observe(
        &mut self,
        account_id: &str,
        record: &[u8],
        outcome: Outcome,
        now_ns: i64,
    ) -> Result<(), Error> {
        let (segments, counted) = Recorded::read(record)?.learnable();
        let wall_ns = self.clock.wall_ns(now_ns);
        let now_s = self.clock.advance(now_ns);
        let Some(slot) = self.slot_of.get(account_id).copied() else {
            let what = format!("there is no account {account_id:?}");
            return Err(Error::new(Code::UnknownAccount, what));
        };
        self.count(slot, outcome, Some(counted), wall_ns);
        self.learn(slot, &segments, outcome, None, now_s);
        Ok(())
    }

    #[must_use]
    pub fn health(&self, now_ns: i64) -> Vec<AccountHealth> {
        let now_s = self.clock.peek(now_ns);
        let set = &self.snapshot.settings;
        let accounts = self.snapshot.ids.iter().enumerate();
        let views = accounts.map(|(account, id)| {
            let column = self.columns[account] as usize;
            let slot = &self.slots[column];
            let (approval, answers) = slot.answers.rate(now_s, &set.health);
            let overdue = slot.flights.overdue(now_s, set.health.overdue_ms * 1e-3);
            AccountHealth {
                account_id: id.to_string(),
                breaker: slot.breaker.view(overdue, now_s, &set.breaker),
                approval,
                answers,
                failure_rate: slot.technical.failure_rate(overdue, now_s, &set.health),
                latency_ms: slot.technical.latency_ms,
                in_flight: slot.flights.len() as u32,
                overdue,
                max_in_flight: slot.cap(&self.snapshot, account as u16),
            }
        });
        views.collect()
    }

    /// Segments in memory: at most `settings.health.max_segments`.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.scores.table.len()
    }

    /// Bytes of the learnt table: rows x (accounts + 2) cells.
    #[must_use]
    pub fn segment_bytes(&self) -> usize {
        self.scores.table.len() * self.scores.table.row_bytes()
    }
}
