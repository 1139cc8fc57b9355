//! The calls that are open at one account: its concurrency cap and its overdue calls.
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Flight {
    pub permit: u64,
    pub begun_s: f64,
    pub probe: bool,
    /// Begun by a process that is gone: nobody will finish it, and it says nothing of the account.
    pub orphan: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Flights {
    /// In the order of their beginning, so that the overdue stand in front.
    open: VecDeque<Flight>,
}

impl Flights {
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.open.iter()
    }

    pub fn begin(&mut self, flight: Flight) {
        self.open.push_back(flight);
    }

    pub fn finish(&mut self, permit: u64) -> Option<Flight> {
        let at = self.open.iter().position(|f| f.permit == permit)?;
        self.open.remove(at)
    }

    pub fn overdue(&self, now_s: f64, after_s: f64) -> u32 {
        let old = self.open.iter().take_while(|f| now_s - f.begun_s > after_s);
        old.filter(|f| !f.orphan).count() as u32
    }

    pub fn probes(&self) -> u32 {
        self.open.iter().filter(|f| f.probe && !f.orphan).count() as u32
    }

    /// This process' own open calls, begun at another time.
    pub fn begun_at(&self, begun_s: f64) -> Self {
        let own = self.open.iter().filter(|f| !f.orphan);
        let moved = own.map(|f| Flight { begun_s, ..*f });
        Self {
            open: moved.collect(),
        }
    }

    /// Puts older calls in front.
    pub fn prepend(&mut self, mut older: Self) {
        older.open.append(&mut self.open);
        self.open = older.open;
    }

    /// Forgets calls that nobody finished, so that a lost permit does not hold its place for ever.
    pub fn forget_lost(&mut self, now_s: f64, after_s: f64) {
        while self
            .open
            .front()
            .is_some_and(|f| now_s - f.begun_s > after_s)
        {
            self.open.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(permit: u64, begun_s: f64) -> Flight {
        Flight {
            permit,
            begun_s,
            probe: false,
            orphan: false,
        }
    }

    #[test]
    fn overdue_and_lost() {
        let mut flights = Flights::default();
        for k in 0..10 {
            flights.begin(flight(k, k as f64));
        }
        assert_eq!(flights.overdue(9.5, 5.0), 5);
        assert!(flights.finish(2).is_some());
        assert!(flights.finish(2).is_none());
        assert_eq!(flights.overdue(9.5, 5.0), 4);
        flights.forget_lost(9.5, 5.0);
        assert_eq!(flights.len(), 5);
    }

    #[test]
    fn orphans_hold_their_place_but_accuse_nobody() {
        let mut flights = Flights::default();
        flights.begin(Flight {
            orphan: true,
            probe: true,
            ..flight(1, 0.0)
        });
        assert_eq!(
            (flights.len(), flights.overdue(99.0, 5.0), flights.probes()),
            (1, 0, 0)
        );
    }
}
