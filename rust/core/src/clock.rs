//! Steady time made of clock readings that cannot be trusted.
//!
//! The caller's clock may stand still, go back, or be wrong by years. Health decays in time, so
//! one absurd reading must not wipe out all that was learnt, nor freeze it until the clock has
//! caught up. So time here is the sum of the plausible steps between readings: a step back
//! counts nothing, and so does a step longer than anyone's pause.

/// A longer step is a broken clock, not a pause: a process that slept for a month has nothing
/// left worth decaying exactly.
const LONGEST_STEP_NS: i64 = 31 * 24 * 3600 * 1_000_000_000;
/// Readings of several threads arrive slightly out of order; only a step back beyond this is a
/// clock that was set back, from which steps are then counted anew.
const DISORDER_NS: i64 = 60 * 1_000_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Clock {
    /// Seconds since the first reading.
    pub steady_s: f64,
    pub last_ns: Option<i64>,
    /// The last reading that could be believed: what calendars go by.
    pub trusted_ns: Option<i64>,
}

impl Clock {
    /// The steady time at `now_ns`, without taking the reading into account.
    pub fn peek(&self, now_ns: i64) -> f64 {
        self.steady_s + self.step_s(now_ns)
    }

    /// The reading where it can be believed, the last believable one otherwise: a calendar has to
    /// be read off one reading, so one that jumps is believed when the next one follows it.
    pub fn wall_ns(&self, now_ns: i64) -> i64 {
        let follows = |before: i64| {
            let step_ns = now_ns.saturating_sub(before);
            (0..=LONGEST_STEP_NS).contains(&step_ns)
        };
        match self.trusted_ns {
            Some(trusted) if !follows(trusted) && !self.last_ns.is_some_and(follows) => trusted,
            _ => now_ns,
        }
    }

    pub fn advance(&mut self, now_ns: i64) -> f64 {
        self.trusted_ns = Some(self.wall_ns(now_ns));
        self.steady_s += self.step_s(now_ns);
        let back_ns = self.last_ns.map_or(0, |last| last.saturating_sub(now_ns));
        if self.last_ns.is_none() || !(0..=DISORDER_NS).contains(&back_ns) {
            self.last_ns = Some(now_ns);
        }
        self.steady_s
    }

    fn step_s(&self, now_ns: i64) -> f64 {
        let step_ns = self.last_ns.map_or(0, |last| now_ns.saturating_sub(last));
        if (0..=LONGEST_STEP_NS).contains(&step_ns) {
            step_ns as f64 * 1e-9
        } else {
            0.0
        }
    }
}

/// What is left of a weight after `age_s`, fading with a half-life.
pub(crate) fn fade(age_s: f64, half_life_s: f64) -> f64 {
    if age_s <= 0.0 {
        1.0
    } else {
        (-age_s / half_life_s).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const TEN_YEARS: i64 = 10 * 365 * 24 * 3600 * S;

    #[test]
    fn plausible_steps_add_up() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(5 * S), 0.0);
        assert_eq!(clock.advance(7 * S), 2.0);
        assert_eq!(clock.peek(8 * S), 3.0);
        assert_eq!(clock.advance(8 * S), 3.0);
    }

    #[test]
    fn absurd_readings_count_nothing_and_time_goes_on() {
        for absurd in [-TEN_YEARS, TEN_YEARS, i64::MIN, i64::MAX] {
            let mut clock = Clock::default();
            clock.advance(100 * S);
            clock.advance(110 * S);
            assert_eq!(clock.advance(absurd), 10.0);
            assert_eq!(clock.advance(111 * S), 10.0);
            assert_eq!(clock.advance(113 * S), 12.0);
        }
    }

    #[test]
    fn disorder_between_threads_does_not_inflate_time() {
        let mut clock = Clock::default();
        for k in 0..1000 {
            clock.advance(k * S);
            clock.advance(k * S - S / 2);
        }
        assert_eq!(clock.steady_s, 999.0);
    }

    #[test]
    fn the_calendar_believes_a_jump_when_it_stays() {
        let mut clock = Clock::default();
        assert_eq!(clock.wall_ns(7 * S), 7 * S);
        clock.advance(100 * S);
        for absurd in [TEN_YEARS, -TEN_YEARS, i64::MIN, i64::MAX] {
            let mut clock = clock;
            assert_eq!(clock.wall_ns(absurd), 100 * S);
            clock.advance(absurd);
            assert_eq!(clock.wall_ns(101 * S), 101 * S);
            clock.advance(101 * S);
            assert_eq!(clock.wall_ns(99 * S), 101 * S, "disorder between threads");
        }
        clock.advance(TEN_YEARS);
        clock.advance(TEN_YEARS + S);
        assert_eq!(clock.wall_ns(TEN_YEARS + S), TEN_YEARS + S);
        clock.advance(200 * S);
        clock.advance(201 * S);
        assert_eq!(clock.wall_ns(201 * S), 201 * S);
    }
}
