//! What the router knows of its accounts at the moment of a decision.
use crate::breaker::Phase;
use crate::choose::{Evidence, Gate};
use crate::counters::{Calendar, Period};
use crate::decide::{Question, Sight};
use crate::facts::Segments;
use crate::router::Router;
use crate::scores::Reading;
use crate::snapshot::Place;

pub(crate) struct Live<'a> {
    router: &'a Router,
    reading: Reading<'a>,
    now_s: f64,
    wall_ns: i64,
    profile_id: &'a str,
}

impl<'a> Live<'a> {
    pub fn new(router: &'a Router, segments: &Segments, question: &Question<'a>) -> Self {
        let now_s = router.clock.peek(question.now_ns);
        let model = &router.snapshot.model;
        Self {
            router,
            reading: router.scores.read(segments, now_s, model),
            now_s,
            wall_ns: question.wall_ns,
            profile_id: question.profile,
        }
    }
}

impl Sight for Live<'_> {
    fn evidence(&mut self, place: Place) -> Option<Evidence> {
        let (router, now_s) = (self.router, self.now_s);
        let snapshot = &router.snapshot;
        let set = &snapshot.settings;
        let column = router.columns[place.account as usize] as usize;
        let slot = &router.slots[column];
        let estimate = self.reading.estimate(column, &snapshot.model);
        let overdue = slot.flights.overdue(now_s, set.health.overdue_ms * 1e-3);
        let cap = slot.cap(snapshot, place.account);
        let rate = snapshot.rate_limits[place.account as usize];
        let gate = match slot.breaker.view(overdue, now_s, &set.breaker).phase {
            Phase::Open => Gate::BreakerOpen,
            Phase::HalfOpen if slot.flights.probes() >= set.breaker.probes => Gate::BreakerOpen,
            _ if cap > 0 && slot.flights.len() >= cap as usize => Gate::AtCapacity,
            _ if slot.bucket.wait_s(rate, now_s) > 0.0 => Gate::RateLimited,
            Phase::HalfOpen => Gate::Probe,
            Phase::Closed => Gate::Closed,
        };
        let failure = slot.technical.failure_rate(overdue, now_s, &set.health);
        Some(Evidence {
            approval: estimate.approval as f32,
            approval_sd: estimate.sd as f32,
            learnable_sd: estimate.learnable_sd as f32,
            failure: failure as f32,
            latency_ms: slot.technical.latency_ms as f32,
            gate,
        })
    }

    fn count(&mut self, account: u16, per: Period, currency: u64) -> u64 {
        let column = self.router.columns[account as usize] as usize;
        let profile = crate::counters::profile_key(self.profile_id);
        let tallies = &self.router.slots[column].tallies;
        tallies.count(profile, currency, per, &Calendar::at(self.wall_ns))
    }
}
