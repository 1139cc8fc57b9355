//! Times of day and days of the week by the clock of a time zone.
//!
//! The zones are compiled in, never read from the machine: the same build answers the same
//! everywhere, which a replay needs.
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::error::Error;
use crate::rules::document::ConditionDocument;
use crate::rules::intervals::Interval;

const DAY_MINUTES: u16 = 24 * 60;

/// A weekday (0 is Monday) and minutes since midnight, by a zone's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    day: u8,
    minute: u16,
}

impl Local {
    pub fn at(zone: &TimeZone, wall_ns: i64) -> Self {
        // Every i64 of nanoseconds is within a timestamp's years -9999 to 9999.
        let instant = Timestamp::from_nanosecond(i128::from(wall_ns)).unwrap_or_default();
        let local_s = instant.as_second() + i64::from(zone.to_offset(instant).seconds());
        let days = local_s.div_euclid(86_400);
        Self {
            // 1970-01-01 was a Thursday.
            day: (days + 3).rem_euclid(7) as u8,
            minute: (local_s.rem_euclid(86_400) / 60) as u16,
        }
    }

    /// Minutes since Monday's midnight: what windows are intervals of.
    pub fn minute_of_week(self) -> i64 {
        i64::from(self.day) * i64::from(DAY_MINUTES) + i64::from(self.minute)
    }
}

/// The zones that a ruleset names, each once.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    names: Vec<String>,
    pub zones: Vec<TimeZone>,
}

impl Zones {
    fn find(&mut self, key: &str, name: &str) -> Result<u16, Error> {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return Ok(at as u16);
        }
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| {
            let what = format!("{name:?} is no time zone of the IANA database");
            Error::config(&format!("{key}.zone"), what)
        })?;
        self.names.push(name.to_owned());
        self.zones.push(zone);
        Ok(self.zones.len() as u16 - 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub zone: u16,
    /// Bit 0 is Monday.
    days: u8,
    from: u16,
    /// Exclusive. Below `from` it means the next day.
    until: u16,
}

impl Window {
    pub fn read(doc: &ConditionDocument, key: &str, zones: &mut Zones) -> Result<Self, Error> {
        let Some(zone) = &doc.zone else {
            let what = "is required for time: an IANA name, say \"Europe/Berlin\"";
            return Err(Error::config(&format!("{key}.zone"), what));
        };
        if doc.days.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config(&format!("{key}.days"), "is empty"));
        }
        let days = doc.days.iter().flatten();
        let days = days.fold(0_u8, |set, day| set | 1 << *day as u8);
        let from = clock(doc.from.as_deref(), &format!("{key}.from"), 0)?;
        let until = clock(doc.until.as_deref(), &format!("{key}.until"), DAY_MINUTES)?;
        if from == until || from == DAY_MINUTES {
            let what = "from and until leave no time between them";
            return Err(Error::config(key, what));
        }
        Ok(Self {
            zone: zones.find(key, zone)?,
            days: if doc.days.is_none() { 0x7f } else { days },
            from,
            until,
        })
    }

    pub fn holds(self, local: Local) -> bool {
        let on = |day: u8| self.days >> day & 1 == 1;
        if self.from < self.until {
            return on(local.day) && (self.from..self.until).contains(&local.minute);
        }
        // It spans midnight: the hours after it belong to the day that it began on.
        (local.minute >= self.from && on(local.day))
            || (local.minute < self.until && on((local.day + 6) % 7))
    }

    /// The minutes of the week in it, where some of the intervals may be empty.
    pub fn intervals(self) -> Vec<Interval> {
        let day_minutes = i64::from(DAY_MINUTES);
        let (from, until) = (i64::from(self.from), i64::from(self.until));
        let days = (0..7).filter(|day| self.days >> day & 1 == 1);
        days.flat_map(|day| {
            let (begin, next) = (day * day_minutes, (day + 1) % 7 * day_minutes);
            if from < until {
                return [(begin + from, begin + until - 1), (1, 0)];
            }
            [
                (begin + from, begin + day_minutes - 1),
                (next, next + until - 1),
            ]
        })
        .collect()
    }
}

/// "HH:MM" as minutes.
fn clock(text: Option<&str>, key: &str, absent: u16) -> Result<u16, Error> {
    let Some(text) = text else {
        return Ok(absent);
    };
    let bytes = text.as_bytes();
    let digits = |at: usize| {
        let two = bytes.get(at..at + 2)?;
        let known = two.iter().all(u8::is_ascii_digit);
        known.then(|| u16::from(two[0] - b'0') * 10 + u16::from(two[1] - b'0'))
    };
    let read = (bytes.len() == 5 && bytes[2] == b':')
        .then(|| Some((digits(0)?, digits(3)?)))
        .flatten();
    match read {
        Some((hour, minute)) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        Some((24, 0)) => Ok(DAY_MINUTES),
        _ => Err(Error::config(key, format!("{text:?} is no HH:MM"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &str, from: &str, until: &str) -> Window {
        let json = format!(
            r#"{{"fact":"time","zone":"Europe/Berlin","days":{days},"from":"{from}",
            "until":"{until}"}}"#
        );
        let doc: ConditionDocument = serde_json::from_str(&json).unwrap();
        Window::read(&doc, "when[0]", &mut Zones::default()).unwrap()
    }

    fn berlin(utc: &str) -> Local {
        let instant: Timestamp = utc.parse().unwrap();
        let zone = TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
        Local::at(&zone, instant.as_nanosecond() as i64)
    }

    #[test]
    fn a_zone_has_summer_time() {
        let (monday, minute) = (0, 9 * 60);
        for utc in ["2026-01-05T08:00:00Z", "2026-07-06T07:00:00Z"] {
            assert_eq!(
                berlin(utc),
                Local {
                    day: monday,
                    minute
                }
            );
        }
        let office = window(r#"["mon"]"#, "09:00", "17:30");
        assert!(office.holds(berlin("2026-07-06T07:00:00Z")));
        assert!(!office.holds(berlin("2026-07-06T06:59:59Z")));
        assert!(office.holds(berlin("2026-07-06T15:29:59Z")));
        assert!(!office.holds(berlin("2026-07-06T15:30:00Z")));
        assert!(!office.holds(berlin("2026-07-07T08:00:00Z")));
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began_on() {
        let night = window(r#"["sun"]"#, "22:00", "06:00");
        assert!(night.holds(berlin("2026-01-04T21:00:00Z")), "Sunday, 22:00");
        assert!(night.holds(berlin("2026-01-05T04:59:00Z")), "Monday, 05:59");
        assert!(!night.holds(berlin("2026-01-05T05:00:00Z")));
        assert!(
            !night.holds(berlin("2026-01-04T04:00:00Z")),
            "Sunday, 05:00"
        );
    }

    #[test]
    fn intervals_are_the_minutes_that_it_holds_in() {
        for window in [
            window(r#"["mon","sun"]"#, "09:00", "17:30"),
            window(r#"["wed","sun"]"#, "22:00", "06:00"),
            window(r#"["sun"]"#, "12:00", "00:00"),
            window(r#"["tue"]"#, "00:00", "24:00"),
        ] {
            let parts = window.intervals();
            for (day, minute) in (0..7).flat_map(|day| (0..DAY_MINUTES).map(move |m| (day, m))) {
                let local = Local { day, minute };
                let at = local.minute_of_week();
                let within = parts.iter().any(|part| (part.0..=part.1).contains(&at));
                assert_eq!(within, window.holds(local), "{window:?} {local:?}");
            }
        }
    }

    #[test]
    fn absurd_instants_have_a_local_time_too() {
        let zone = TimeZoneDatabase::bundled().get("Asia/Kathmandu").unwrap();
        for wall_ns in [i64::MIN, i64::MAX, -1, 0] {
            let local = Local::at(&zone, wall_ns);
            assert!(local.day < 7 && local.minute < DAY_MINUTES);
        }
    }

    #[test]
    fn clocks_are_strict() {
        for bad in ["9:00", "24:01", "12:60", "ab:cd", "12-30", "", "12:3\u{e9}"] {
            assert!(clock(Some(bad), "k", 0).is_err(), "{bad}");
        }
        assert_eq!(clock(Some("23:59"), "k", 0).unwrap(), 1439);
    }
}
