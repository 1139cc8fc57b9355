//! Saves and restores what was learnt, so that a restart is not a cold start.
//!
//! A saved state names accounts by their ids, so it fits a configuration that has changed:
//! accounts that are gone are passed over, new ones start fresh. It is read whole and checked
//! before anything changes.
use crate::breaker::{Breaker, Trip};
use crate::clock::Clock;
use crate::counters::{Tallies, Tally};
use crate::error::{Code, Error};
use crate::facts::LEVELS;
use crate::flights::{Flight, Flights};
use crate::health::{Answers, TechnicalHealth};
use crate::limits::{AdaptiveCap, Bucket};
use crate::router::Router;
use crate::scores::Scores;
use crate::weights::{Cell, SHARED};
use crate::wire::{Reader, Writer};

const MAGIC: u32 = u32::from_le_bytes(*b"TRNS");
/// The layout; a new layout gets a new number.
const LAYOUT: u8 = 3;

struct SavedAccount {
    id: String,
    technical: TechnicalHealth,
    answers: Answers,
    breaker: Breaker,
    flights: Flights,
    bucket: Bucket,
    adaptive: AdaptiveCap,
    tallies: Tallies,
}

impl Router {
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(MAGIC);
        out.u8(LAYOUT);
        write_clock(&mut out, &self.clock);
        out.u32(self.columns.len() as u32);
        for column in &self.columns {
            let slot = &self.slots[*column as usize];
            out.text(&slot.id);
            write_technical(&mut out, &slot.technical);
            out.f64(slot.answers.faded);
            out.f64(slot.answers.approvals);
            out.f64(slot.answers.at_s);
            write_breaker(&mut out, &slot.breaker);
            // Orphans are not handed on: whoever begot them has been dead for two lives.
            let own = || slot.flights.iter().filter(|f| !f.orphan);
            out.u32(own().count() as u32);
            for flight in own() {
                out.f64(flight.begun_s);
            }
            write_limits(&mut out, &slot.bucket, &slot.adaptive);
            write_tallies(&mut out, &slot.tallies);
        }
        let (correlation, variance) = self.scores.correlation;
        out.f64(correlation);
        out.f64(variance);
        out.u32(self.scores.table.len() as u32);
        for (level, key, touched, cells) in self.scores.table.iter() {
            out.u8(level);
            out.u64(key);
            out.u32(touched);
            let fresh = self.snapshot.model.kinds[level as usize][SHARED].fresh(touched);
            cells[..SHARED]
                .iter()
                .for_each(|cell| write_cell(&mut out, cell));
            for column in &self.columns {
                let cell = cells.get(SHARED + *column as usize).unwrap_or(&fresh);
                write_cell(&mut out, cell);
            }
        }
        out.seal()
    }

    pub fn restore(&mut self, saved: &[u8], now_ns: i64) -> Result<(), Error> {
        let mut from = Reader::unseal(saved, Code::CorruptState)?;
        if from.u32()? != MAGIC {
            return Err(from.fail("is no saved routing state"));
        }
        let layout = from.u8()?;
        if layout != LAYOUT {
            return Err(from.fail(&format!("has layout {layout}, this build reads {LAYOUT}")));
        }
        let clock = read_clock(&mut from)?;
        let mut accounts = Vec::new();
        for _ in 0..from.u32()? {
            accounts.push(read_account(&mut from)?);
        }
        let columns: Vec<Option<usize>> = accounts
            .iter()
            .map(|account| self.slot_of.get(&account.id).map(|slot| *slot as usize))
            .collect();
        let scores = self.read_scores(&mut from, &columns)?;
        from.end()?;

        self.clock = clock;
        self.scores = scores;
        for slot in &mut self.slots {
            slot.technical = TechnicalHealth::default();
            slot.answers = Answers::default();
            slot.breaker = Breaker::default();
            // Open calls of this process stay: their permits are out. Their age starts anew,
            // because it was told in the time that this state replaces.
            slot.flights = slot.flights.begun_at(clock.steady_s);
            slot.bucket = Bucket::default();
            slot.adaptive = AdaptiveCap::default();
            slot.tallies = Tallies::default();
        }
        for (account, column) in accounts.into_iter().zip(columns) {
            if let Some(column) = column {
                let slot = &mut self.slots[column];
                slot.technical = account.technical;
                slot.answers = account.answers;
                slot.breaker = account.breaker;
                slot.flights.prepend(account.flights);
                slot.bucket = account.bucket;
                slot.adaptive = account.adaptive;
                slot.tallies = account.tallies;
                slot.tallies.keep(&self.snapshot.counted);
            }
        }
        self.clock.advance(now_ns);
        Ok(())
    }

    fn read_scores(
        &self,
        from: &mut Reader<'_>,
        columns: &[Option<usize>],
    ) -> Result<Scores, Error> {
        let (snapshot, mut keys) = (&self.snapshot, 0);
        let most = snapshot.settings.health.max_segments as usize;
        let mut scores = Scores::new(&snapshot.settings.learning);
        scores.correlation = (from.f64()?, from.f64()?);
        if !(0.0..1.0).contains(&scores.correlation.0) || scores.correlation.1 < 0.0 {
            return Err(from.fail("has a correlation that is none"));
        }
        let mut own = Vec::with_capacity(columns.len());
        for _ in 0..from.u32()? {
            let (level, key, touched) = (from.u8()?, from.u64()?, from.u32()?);
            if level as usize >= LEVELS {
                return Err(from.fail("names a level that does not exist"));
            }
            let mut shared = [Cell::default(); SHARED];
            for cell in &mut shared {
                *cell = read_cell(from)?;
            }
            own.clear();
            for column in columns {
                let cell = read_cell(from)?;
                if let Some(column) = column {
                    own.push((*column, cell));
                }
            }
            // A table that was allowed to be larger is cut: what is left is learnt again.
            keys += 1;
            if keys <= most {
                let row = (level, key, touched);
                scores.table.put(row, shared, &own, &snapshot.model.kinds);
            }
        }
        Ok(scores)
    }
}

fn write_clock(out: &mut Writer, clock: &Clock) {
    out.f64(clock.steady_s);
    for reading_ns in [clock.last_ns, clock.trusted_ns] {
        out.u8(u8::from(reading_ns.is_some()));
        out.i64(reading_ns.unwrap_or(0));
    }
}

fn read_clock(from: &mut Reader<'_>) -> Result<Clock, Error> {
    let steady_s = from.f64()?;
    let mut reading_ns = || -> Result<Option<i64>, Error> {
        let known = from.u8()? != 0;
        let reading_ns = from.i64()?;
        Ok(known.then_some(reading_ns))
    };
    Ok(Clock {
        steady_s,
        last_ns: reading_ns()?,
        trusted_ns: reading_ns()?,
    })
}

fn write_limits(out: &mut Writer, bucket: &Bucket, adaptive: &AdaptiveCap) {
    for value in [
        bucket.taken,
        bucket.at_s,
        adaptive.at_once,
        adaptive.decreased_s,
    ] {
        out.f64(value);
    }
}

fn write_tallies(out: &mut Writer, tallies: &Tallies) {
    let tallies = tallies.sorted();
    out.u32(tallies.len() as u32);
    for (profile, tally) in tallies {
        out.u64(profile);
        out.i64(tally.day.into());
        out.i64(tally.month.into());
        out.u32(tally.sums.len() as u32);
        for (currency, sums) in &tally.sums {
            out.u64(*currency);
            sums.iter().for_each(|sum| out.u64(*sum));
        }
    }
}

fn read_tallies(from: &mut Reader<'_>) -> Result<Tallies, Error> {
    let mut tallies = Tallies::default();
    for _ in 0..from.u32()? {
        let profile = from.u64()?;
        let mut tally = Tally::default();
        for number in [&mut tally.day, &mut tally.month] {
            let read = i32::try_from(from.i64()?);
            *number = read.map_err(|_| from.fail("counts a day that does not exist"))?;
        }
        for _ in 0..from.u32()? {
            tally.sums.push((from.u64()?, [from.u64()?, from.u64()?]));
        }
        tallies.put(profile, tally);
    }
    Ok(tallies)
}

fn write_cell(out: &mut Writer, cell: &Cell) {
    for value in [cell.mean, cell.variance, cell.surprise, cell.expected] {
        out.f32(value);
    }
    out.u32(cell.at);
}

fn read_cell(from: &mut Reader<'_>) -> Result<Cell, Error> {
    let cell = Cell {
        mean: from.f32()?,
        variance: from.f32()?,
        surprise: from.f32()?,
        expected: from.f32()?,
        at: from.u32()?,
    };
    if cell.variance < 0.0 || cell.expected < 0.0 {
        return Err(from.fail("has a negative variance"));
    }
    Ok(cell)
}

fn write_technical(out: &mut Writer, technical: &TechnicalHealth) {
    let t = technical;
    for value in [t.calls, t.failures, t.timeouts, t.at_s, t.latency_ms] {
        out.f64(value);
    }
}

fn write_breaker(out: &mut Writer, breaker: &Breaker) {
    let b = breaker;
    out.u8(u8::from(b.opened_s.is_some()));
    let opened_s = b.opened_s.unwrap_or(0.0);
    for value in [
        opened_s,
        b.open_for_s,
        b.closed_s,
        b.errors,
        b.slowness,
        b.timeouts,
        b.at_s,
    ] {
        out.f64(value);
    }
    out.u32(b.good_probes);
    out.u8(b.reason as u8);
}

fn read_account(from: &mut Reader<'_>) -> Result<SavedAccount, Error> {
    let id = from.text()?.to_owned();
    let technical = TechnicalHealth {
        calls: from.f64()?,
        failures: from.f64()?,
        timeouts: from.f64()?,
        at_s: from.f64()?,
        latency_ms: from.f64()?,
    };
    let answers = Answers {
        faded: from.f64()?,
        approvals: from.f64()?,
        at_s: from.f64()?,
    };
    let open = from.u8()? != 0;
    let opened_s = from.f64()?;
    let breaker = Breaker {
        opened_s: open.then_some(opened_s),
        open_for_s: from.f64()?,
        closed_s: from.f64()?,
        errors: from.f64()?,
        slowness: from.f64()?,
        timeouts: from.f64()?,
        at_s: from.f64()?,
        good_probes: from.u32()?,
        reason: {
            let reason = from.u8()? as usize;
            let known = Trip::ALL.get(reason).copied();
            known.ok_or_else(|| from.fail("names a reason that does not exist"))?
        },
    };
    let mut flights = Flights::default();
    for _ in 0..from.u32()? {
        flights.begin(Flight {
            permit: 0,
            begun_s: from.f64()?,
            probe: false,
            orphan: true,
        });
    }
    let bucket = Bucket {
        taken: from.f64()?,
        at_s: from.f64()?,
    };
    let adaptive = AdaptiveCap {
        at_once: from.f64()?,
        decreased_s: from.f64()?,
    };
    if !adaptive.is_possible() || bucket.taken < 0.0 {
        return Err(from.fail("has a limit that is none"));
    }
    Ok(SavedAccount {
        id,
        technical,
        answers,
        breaker,
        flights,
        bucket,
        adaptive,
        tallies: read_tallies(from)?,
    })
}
