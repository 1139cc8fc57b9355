//! The learner: how likely an issuer is to approve this payment at each account.
//!
//! The logit of an approval is a sum of weights: what issuers do (shared by all accounts, so that
//! an issuer's bad day moves no payment) and each account's deviations for everything, network,
//! funding, amount band, issuer country, country x network and BIN. Each answer moves the weights
//! that it touches by an extended Kalman filter with independent beliefs (assumed density
//! filtering: Opper 1998; Graepel et al., adPredictor, ICML 2010).
//!
//! Two things make the most of few answers. A second attempt is compared with the declined first
//! one of the same payment: what both have in common, the issuer's opinion of the payment, falls
//! out (`normal::after_decline`). And a hard decline says little of the account: the card is
//! stolen wherever it is shown.
use crate::facts::{LEVELS, Segments};
use crate::normal::{Echo, after_decline, logistic, logit};
use crate::settings::LearningSettings;
use crate::weights::{Cell, Dynamics, FAST, Kinds, SHARED, SLOW, TICKS_PER_S, WeightTable, ticks};

/// A payment is tried at a few accounts at most; later declines say nothing new.
const MOST_DECLINED: usize = 4;
/// Predictions beyond these logits are no better founded, and slopes vanish there.
const LARGEST_LOGIT: f64 = 7.0;
/// pi / 8: the logistic's mean under a normal logit (MacKay 1992).
const LOGISTIC_SPREAD: f64 = std::f64::consts::FRAC_PI_8;

/// The settings as the learner uses them, made once per configuration.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub kinds: [Kinds; LEVELS],
    prior_logit: f64,
    set: LearningSettings,
    most: usize,
}

impl Model {
    pub fn new(prior_approval: f64, set: &LearningSettings, most: u32) -> Self {
        let l = set;
        let own = |sd, memory_s, jump_sd| Dynamics::new(sd, memory_s, jump_sd);
        let none = Dynamics::new(0.0, 1.0, 0.0);
        let slow = |sd| Dynamics::new(sd, l.issuer_memory_s, 0.0);
        let fast = Dynamics::new(l.weather_sd, l.weather_memory_s, l.weather_jump_sd);
        Self {
            kinds: [
                [
                    none,
                    slow(l.issuer_sd),
                    own(l.account_sd, l.account_memory_s, l.account_jump_sd),
                ],
                [none, none, own(l.network_sd, l.trait_memory_s, 0.0)],
                [none, none, own(l.funding_sd, l.trait_memory_s, 0.0)],
                [none, none, own(l.amount_sd, l.trait_memory_s, 0.0)],
                [
                    fast,
                    none,
                    own(l.country_sd, l.country_memory_s, l.segment_jump_sd),
                ],
                [
                    fast,
                    none,
                    own(l.segment_sd, l.segment_memory_s, l.segment_jump_sd),
                ],
                [
                    fast,
                    slow(l.issuer_bin_sd),
                    own(l.bin_sd, l.trait_memory_s, 0.0),
                ],
            ],
            prior_logit: logit(prior_approval),
            set: set.clone(),
            most: most as usize,
        }
    }
}

/// What is believed of one account for one payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub approval: f64,
    /// Standard deviations of the approval: of all that is the account's own, and of the part
    /// that other payments would profit from knowing (all but the BIN's).
    pub sd: f64,
    pub learnable_sd: f64,
}

/// The rows that one payment reads, and what its issuer contributes.
pub(crate) struct Reading<'a> {
    /// None where the payment's fact is unknown: the level says nothing then.
    own: [Option<&'a [Cell]>; LEVELS],
    shared_logit: f64,
    now: u32,
}

/// Earlier declines of the same payment: the columns of the accounts, with their generations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declined {
    accounts: [(u32, u32); MOST_DECLINED],
    count: usize,
}

impl Declined {
    pub const MOST: usize = MOST_DECLINED;

    pub fn push(&mut self, column: u32, generation: u32) {
        if self.count < MOST_DECLINED {
            self.accounts[self.count] = (column, generation);
            self.count += 1;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.accounts[..self.count].iter().copied()
    }
}

/// One issuer's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub segments: &'a Segments,
    pub column: usize,
    pub approved: bool,
    pub hard: bool,
    /// Columns that declined the same payment before.
    pub declined: &'a [usize],
}

#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub table: WeightTable,
    /// How much of a decline a second attempt meets again, and its variance.
    pub correlation: (f64, f64),
}

/// A weight that an answer touches.
#[derive(Clone, Copy, Default)]
struct Touch {
    row: usize,
    index: usize,
    level: usize,
    slope: f64,
    alarmed: bool,
}

const MOST_TOUCHES: usize = LEVELS * (SHARED + 2);

struct Touches {
    all: [Touch; MOST_TOUCHES],
    count: usize,
}

impl Scores {
    pub fn new(set: &LearningSettings) -> Self {
        Self {
            table: WeightTable::default(),
            correlation: (set.cascade_correlation, set.cascade_correlation_sd.powi(2)),
        }
    }

    pub fn read(&self, segments: &Segments, now_s: f64, model: &Model) -> Reading<'_> {
        let now = ticks(now_s);
        let mut reading = Reading {
            own: [None; LEVELS],
            shared_logit: model.prior_logit,
            now,
        };
        for (level, key) in segments.0.iter().enumerate() {
            if *key == 0 {
                continue;
            }
            let Some(row) = self.table.find(*key) else {
                reading.own[level] = Some(&[]);
                continue;
            };
            let (shared, own) = self.table.row(row);
            reading.own[level] = Some(own);
            for (cell, kind) in shared.iter().zip(&model.kinds[level]) {
                if kind.variance > 0.0 {
                    reading.shared_logit += kind.view(cell, now).0;
                }
            }
        }
        reading
    }

    pub fn learn(&mut self, answer: &Answer<'_>, now_s: f64, model: &Model) {
        let (now, set) = (ticks(now_s), &model.set);
        let keys = &answer.segments.0;
        let widest = answer.declined.iter().fold(answer.column, |a, b| a.max(*b));
        self.table.widen(widest + 1, &model.kinds);
        self.table.make_room(keys, now, model.most);
        let mut rows = [usize::MAX; LEVELS];
        for (level, key) in keys.iter().enumerate().filter(|(_, key)| **key != 0) {
            rows[level] = self.table.open(level, *key, now, &model.kinds[level]);
        }
        for (level, row) in rows.iter().enumerate().filter(|(_, r)| **r != usize::MAX) {
            let kinds = &model.kinds[level];
            for index in (0..SHARED).chain([SHARED + answer.column]) {
                self.settle(*row, index, &kinds[index.min(SHARED)], now, set);
            }
            for column in answer.declined {
                self.settle(*row, SHARED + column, &kinds[SHARED], now, set);
            }
        }
        let (shared, weather) = self.shared(&rows, model);
        let (echo, first) = self.predict(answer, shared, &rows);
        let expected = echo.approval;
        let hard = if answer.hard {
            set.hard_decline_weight
        } else {
            1.0
        };
        let noise = expected * (1.0 - expected) / hard;
        let surprise = f64::from(u8::from(answer.approved)) - expected;
        // While a segment's weather is extraordinary its answers tell of the weather alone.
        let calm = 1.0 / (1.0 + (weather / set.quarantine_logit).powi(4));
        let mut touches = Touches {
            all: [Touch::default(); MOST_TOUCHES],
            count: 0,
        };
        for (level, row) in rows.iter().enumerate().filter(|(_, r)| **r != usize::MAX) {
            let mut touch = |index, slope, alarmed| {
                touches.push(Touch {
                    row: *row,
                    index,
                    level,
                    slope,
                    alarmed,
                });
            };
            touch(FAST, echo.by_first + echo.by_second, !answer.hard);
            touch(SLOW, echo.by_first + echo.by_second, false);
            touch(SHARED + answer.column, echo.by_second * calm, !answer.hard);
            if let Some(column) = first {
                touch(SHARED + column, echo.by_first * calm, false);
            }
        }
        self.update(&touches, surprise, noise, echo.by_correlation, now, model);
    }

    /// The answer's probability and slopes; and the declined account that it is compared with.
    fn predict(
        &self,
        answer: &Answer<'_>,
        shared: f64,
        rows: &[usize; LEVELS],
    ) -> (Echo, Option<usize>) {
        let of = |column| (shared + self.own(rows, column)).clamp(-LARGEST_LOGIT, LARGEST_LOGIT);
        let second = of(answer.column);
        // The decline that was least expected says the most about what the issuer sees.
        let first = answer.declined.iter().map(|column| (*column, of(*column)));
        match first.max_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((column, first)) => {
                let echo = after_decline(first, second, self.correlation.0);
                (echo, Some(column))
            }
            None => {
                let approval = logistic(second);
                let echo = Echo {
                    approval,
                    by_first: 0.0,
                    by_second: approval * (1.0 - approval),
                    by_correlation: 0.0,
                };
                (echo, None)
            }
        }
    }

    /// Brings a cell's belief to the present.
    fn settle(
        &mut self,
        row: usize,
        index: usize,
        kind: &Dynamics,
        now: u32,
        set: &LearningSettings,
    ) {
        let cell = self.table.cell_mut(row, index);
        let (mean, variance) = kind.view(cell, now);
        (cell.mean, cell.variance) = (mean as f32, variance as f32);
        if kind.jump_variance > 0.0 && now > cell.at {
            let age_s = f64::from(now - cell.at) / TICKS_PER_S;
            let left = crate::clock::fade(age_s, set.alarm_half_life_s) as f32;
            cell.surprise *= left;
            cell.expected *= left * left;
        }
        cell.at = cell.at.max(now);
    }

    /// What all accounts share, and the fast part of it. The cells are settled.
    fn shared(&self, rows: &[usize; LEVELS], model: &Model) -> (f64, f64) {
        let (mut all, mut weather) = (model.prior_logit, 0.0);
        for row in rows.iter().filter(|row| **row != usize::MAX) {
            let cells = self.table.row(*row).0;
            all += f64::from(cells[FAST].mean) + f64::from(cells[SLOW].mean);
            weather += f64::from(cells[FAST].mean);
        }
        (all, weather)
    }

    fn own(&self, rows: &[usize; LEVELS], column: usize) -> f64 {
        let rows = rows.iter().filter(|row| **row != usize::MAX);
        rows.map(|row| f64::from(self.table.row(*row).1[column].mean))
            .sum()
    }

    /// The Kalman step: each weight moves by its share of the uncertainty.
    fn update(
        &mut self,
        touches: &Touches,
        surprise: f64,
        noise: f64,
        by_correlation: f64,
        now: u32,
        model: &Model,
    ) {
        let alarm = model.set.alarm_sigmas;
        let mut total = noise + by_correlation * by_correlation * self.correlation.1;
        for touch in touches.iter() {
            let jump = model.kinds[touch.level][touch.index.min(SHARED)].jump_variance;
            let cell = self.table.cell_mut(touch.row, touch.index);
            if touch.alarmed && jump > 0.0 {
                cell.surprise += surprise as f32;
                cell.expected += noise as f32;
                let (seen, due) = (f64::from(cell.surprise), f64::from(cell.expected));
                // Half an answer's worth of variance is too little to speak of an alarm.
                if due > 0.5 && seen * seen > alarm * alarm * due {
                    cell.variance += jump as f32;
                    (cell.surprise, cell.expected) = (0.0, 0.0);
                }
            }
            total += touch.slope * touch.slope * f64::from(cell.variance);
        }
        for touch in touches.iter() {
            let cell = self.table.cell_mut(touch.row, touch.index);
            let variance = f64::from(cell.variance);
            let gain = variance * touch.slope / total;
            cell.mean += (gain * surprise) as f32;
            cell.variance = (variance - gain * touch.slope * variance) as f32;
            cell.at = cell.at.max(now);
        }
        if by_correlation != 0.0 {
            let (mean, variance) = self.correlation;
            let gain = variance * by_correlation / total;
            // A trickle of variance lets it follow, over some ten thousand cascades.
            let least = (model.set.cascade_correlation_sd * 0.1).powi(2);
            self.correlation = (
                (mean + gain * surprise).clamp(0.05, 0.95),
                (variance - gain * by_correlation * variance).max(least),
            );
        }
    }
}

impl Touches {
    fn push(&mut self, touch: Touch) {
        self.all[self.count] = touch;
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = &Touch> {
        self.all[..self.count].iter()
    }
}

impl Reading<'_> {
    pub fn estimate(&self, column: usize, model: &Model) -> Estimate {
        let (mut mean, mut wide, mut narrow) = (self.shared_logit, 0.0, 0.0);
        for (level, own) in self.own.iter().enumerate() {
            let Some(own) = own else { continue };
            let kind = &model.kinds[level][SHARED];
            let (m, v) = match own.get(column) {
                Some(cell) => kind.view(cell, self.now),
                None => (0.0, kind.variance),
            };
            mean += m;
            if level + 1 == LEVELS {
                narrow = v;
            } else {
                wide += v;
            }
        }
        let mean = mean.clamp(-LARGEST_LOGIT, LARGEST_LOGIT);
        let variance = wide + narrow;
        let approval = logistic(mean / (1.0 + LOGISTIC_SPREAD * variance).sqrt());
        let slope = approval * (1.0 - approval);
        Estimate {
            approval,
            sd: slope * variance.sqrt(),
            learnable_sd: slope * wide.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests;
