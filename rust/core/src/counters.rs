//! What accounts were approved in the present day and month, for caps and commitments.
//!
//! Days and months are UTC's. Only the present ones are kept, so memory is bounded by accounts x
//! profiles x currencies.
use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::snapshot::SymbolMap;

const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// There are some 180 currencies; more words than this are none.
const MOST_CURRENCIES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Period {
    Day = 0,
    Month = 1,
}

/// A moment's day and month as numbers, and how much of each has passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Calendar {
    /// Since 1970-01-01.
    pub day: i32,
    /// Since the year 0.
    pub month: i32,
    of_day: f64,
    of_month: f64,
}

impl Calendar {
    pub fn at(wall_ns: i64) -> Self {
        let day = wall_ns.div_euclid(DAY_NS) as i32;
        let of_day = wall_ns.rem_euclid(DAY_NS) as f64 / DAY_NS as f64;
        let date = date(day);
        let length = f64::from(date.days_in_month());
        Self {
            day,
            month: month(date),
            of_day,
            of_month: (f64::from(date.day() - 1) + of_day) / length,
        }
    }

    pub fn passed(&self, per: Period) -> f64 {
        match per {
            Period::Day => self.of_day,
            Period::Month => self.of_month,
        }
    }
}

fn date(day: i32) -> Date {
    // Nanoseconds in 64 bits span the years 1677 to 2262, all of which are dates.
    Date::constant(1970, 1, 1)
        .checked_add(day.days())
        .unwrap_or(Date::MAX)
}

fn month(date: Date) -> i32 {
    i32::from(date.year()) * 12 + i32::from(date.month()) - 1
}

/// What is counted of an approved authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The profile's number, whichever version of its rules decided.
    pub profile: u64,
    /// 0 where it is unknown.
    pub currency: u64,
    pub amount_minor: i64,
}

/// What one account was approved in one profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub day: i32,
    pub month: i32,
    /// By currency, with its sums of the day and the month; payments are counted under 0.
    pub sums: Vec<(u64, [u64; 2])>,
}

impl Tally {
    fn roll(&mut self, now: &Calendar) {
        // A call that ends a moment after midnight by another thread's clock counts today; a
        // tally that is days ahead was made by a clock that was wrong.
        if self.day == now.day + 1 {
            return;
        }
        if self.month != now.month {
            self.sums.clear();
        } else if self.day != now.day {
            self.sums.iter_mut().for_each(|(_, sums)| sums[0] = 0);
        }
        (self.day, self.month) = (now.day, now.month);
    }

    fn add(&mut self, currency: u64, count: u64) {
        let known = self.sums.iter().position(|(word, _)| *word == currency);
        let at = match known {
            Some(at) => at,
            None if self.sums.len() < MOST_CURRENCIES => {
                self.sums.push((currency, [0; 2]));
                self.sums.len() - 1
            }
            None => return,
        };
        for sum in &mut self.sums[at].1 {
            *sum = sum.saturating_add(count);
        }
    }

    fn count(&self, currency: u64, per: Period, now: &Calendar) -> u64 {
        let present = match per {
            Period::Day => self.day == now.day,
            Period::Month => self.month == now.month,
        };
        let found = self.sums.iter().find(|(word, _)| *word == currency);
        found
            .filter(|_| present)
            .map_or(0, |(_, sums)| sums[per as usize])
    }
}

/// One account's tallies by profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    by_profile: SymbolMap<Tally>,
}

impl Tallies {
    pub fn add(&mut self, counted: Counted, wall_ns: i64) {
        let tally = self.by_profile.entry(counted.profile).or_default();
        tally.roll(&Calendar::at(wall_ns));
        tally.add(0, 1);
        let amount = u64::try_from(counted.amount_minor).unwrap_or(0);
        if counted.currency != 0 && amount != 0 {
            tally.add(counted.currency, amount);
        }
    }

    pub fn count(&self, profile: u64, currency: u64, per: Period, now: &Calendar) -> u64 {
        let tally = self.by_profile.get(&profile);
        tally.map_or(0, |tally| tally.count(currency, per, now))
    }

    /// Forgets profiles that are gone.
    pub fn keep(&mut self, profiles: &SymbolMap<()>) {
        self.by_profile
            .retain(|profile, _| profiles.contains_key(profile));
    }

    pub fn put(&mut self, profile: u64, tally: Tally) {
        self.by_profile.insert(profile, tally);
    }

    /// In an order that does not depend on how they came.
    pub fn sorted(&self) -> Vec<(u64, &Tally)> {
        let mut found: Vec<_> = self.by_profile.iter().map(|(p, t)| (*p, t)).collect();
        found.sort_unstable_by_key(|(profile, _)| *profile);
        found
    }
}

/// A profile's number for counting: versions of one profile (`shop/live#7`) count together.
pub(crate) fn profile_key(id: &str) -> u64 {
    crate::wire::hash64(id.split_once('#').map_or(id, |(name, _)| name).as_bytes())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const EUR: u64 = 7;

    fn at(utc: &str) -> i64 {
        utc.parse::<Timestamp>().unwrap().as_nanosecond() as i64
    }

    fn add(tallies: &mut Tallies, utc: &str) {
        let counted = Counted {
            profile: 1,
            currency: EUR,
            amount_minor: 500,
        };
        tallies.add(counted, at(utc));
    }

    fn counts(tallies: &Tallies, utc: &str) -> [u64; 4] {
        let now = Calendar::at(at(utc));
        let count = |currency, per| tallies.count(1, currency, per, &now);
        [
            count(0, Period::Day),
            count(0, Period::Month),
            count(EUR, Period::Day),
            count(EUR, Period::Month),
        ]
    }

    #[test]
    fn days_and_months_begin_anew() {
        let mut tallies = Tallies::default();
        add(&mut tallies, "2026-01-30T23:59:59Z");
        add(&mut tallies, "2026-01-31T00:00:00Z");
        add(&mut tallies, "2026-01-31T10:00:00Z");
        assert_eq!(counts(&tallies, "2026-01-31T11:00:00Z"), [2, 3, 1000, 1500]);
        assert_eq!(counts(&tallies, "2026-02-01T00:00:00Z"), [0; 4]);
        add(&mut tallies, "2026-02-01T00:00:00Z");
        assert_eq!(counts(&tallies, "2026-02-01T00:00:00Z"), [1, 1, 500, 500]);
        // Another thread's reading from before midnight.
        add(&mut tallies, "2026-01-31T23:59:59Z");
        assert_eq!(counts(&tallies, "2026-02-01T00:00:00Z"), [2, 2, 1000, 1000]);
        assert_eq!(tallies.count(2, 0, Period::Day, &Calendar::at(0)), 0);
    }

    #[test]
    fn a_clock_that_was_years_ahead_does_not_stop_the_count() {
        let mut tallies = Tallies::default();
        add(&mut tallies, "2200-01-01T00:00:00Z");
        add(&mut tallies, "2026-01-31T10:00:00Z");
        assert_eq!(counts(&tallies, "2026-01-31T11:00:00Z"), [1, 1, 500, 500]);
    }

    #[test]
    fn the_pace_of_a_period() {
        let noon = Calendar::at(at("2026-02-15T12:00:00Z"));
        assert_eq!(noon.passed(Period::Day), 0.5);
        assert_eq!(noon.passed(Period::Month), 14.5 / 28.0);
        for absurd in [i64::MIN, i64::MAX, -1] {
            let calendar = Calendar::at(absurd);
            assert!((0.0..=1.0).contains(&calendar.passed(Period::Month)));
        }
    }

    #[test]
    fn versions_of_a_profile_count_together() {
        assert_eq!(profile_key("shop/live#7"), profile_key("shop/live"));
        assert_ne!(profile_key("shop/test"), profile_key("shop/live"));
    }

    #[test]
    fn currencies_are_bounded() {
        let mut tally = Tally::default();
        (0..10_000).for_each(|word| tally.add(word, 1));
        assert_eq!(tally.sums.len(), MOST_CURRENCIES);
    }
}
