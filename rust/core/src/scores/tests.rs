//! The learner, tried on small made-up histories.
use super::*;
use crate::facts::Facts;

const DAY_S: f64 = 86_400.0;

struct World {
    scores: Scores,
    model: Model,
}

fn segments(country: &str, bin: &str) -> Segments {
    Segments::of(&Facts {
        amount_minor: Some(1_000),
        network: Some("visa"),
        issuer_country: Some(country),
        bin: Some(bin),
        ..Facts::default()
    })
}

impl World {
    fn new(most: u32) -> Self {
        let set = LearningSettings::default();
        Self {
            scores: Scores::new(&set),
            model: Model::new(0.85, &set, most),
        }
    }

    fn answer(&mut self, of: &Segments, column: usize, approved: bool, now_s: f64) {
        self.cascade(of, column, approved, &[], now_s);
    }

    fn cascade(
        &mut self,
        of: &Segments,
        column: usize,
        approved: bool,
        declined: &[usize],
        now_s: f64,
    ) {
        let answer = Answer {
            segments: of,
            column,
            approved,
            hard: false,
            declined,
        };
        self.scores.learn(&answer, now_s, &self.model);
    }

    fn estimate(&self, of: &Segments, column: usize, now_s: f64) -> Estimate {
        let reading = self.scores.read(of, now_s, &self.model);
        reading.estimate(column, &self.model)
    }
}

#[test]
fn a_new_bin_begins_from_its_parents_and_a_new_account_from_the_prior() {
    let mut world = World::new(1_000);
    let (known, sibling) = (segments("GB", "400000"), segments("GB", "499999"));
    let prior = world.estimate(&known, 0, 0.0);
    assert!((prior.approval - 0.85).abs() < 0.02, "{prior:?}");
    for k in 0..400 {
        world.answer(&known, 0, k % 2 == 0, 1.0);
        world.answer(&known, 1, k % 10 != 0, 1.0);
    }
    let same = world.estimate(&known, 0, 1.0);
    let other = world.estimate(&sibling, 0, 1.0);
    assert!(
        same.approval < 0.6 && other.approval < 0.75,
        "{same:?} {other:?}"
    );
    assert!(same.approval < other.approval && same.sd < prior.sd);
    let unseen = world.estimate(&known, 7, 1.0);
    assert!(unseen.sd > same.sd && unseen.approval > same.approval);
}

#[test]
fn what_was_learnt_fades_and_uncertainty_comes_back() {
    let mut world = World::new(1_000);
    let of = segments("GB", "400000");
    for _ in 0..100 {
        world.answer(&of, 0, false, 0.0);
    }
    let (soon, late) = (
        world.estimate(&of, 0, 0.0),
        world.estimate(&of, 0, 90.0 * DAY_S),
    );
    let prior = World::new(16).estimate(&of, 0, 0.0);
    assert!(soon.approval < 0.4 && soon.sd < late.sd);
    assert!((late.approval - prior.approval).abs() < 1e-3, "{late:?}");
}

/// The heart of "an issuer that declines everywhere does not spoil an account".
#[test]
fn an_issuers_outage_is_no_accounts_fault() {
    let mut world = World::new(1_000);
    let (ill, well) = (segments("FR", "400000"), segments("GB", "411111"));
    for k in 0..600 {
        for column in 0..2 {
            world.answer(&ill, column, k % 8 != 0, f64::from(k));
            world.answer(&well, column, k % 8 != column as i32, f64::from(k));
        }
    }
    let gap = |world: &World, now_s| {
        let [a, b] = [0, 1].map(|column| world.estimate(&well, column, now_s).approval);
        b - a
    };
    let before = gap(&world, 600.0);
    for k in 600..700 {
        world.answer(&ill, 0, false, f64::from(k));
        world.cascade(&ill, 1, false, &[0], f64::from(k));
    }
    let after = gap(&world, 700.0);
    assert!((after - before).abs() < 0.005, "{before} {after}");
    let ill = [0, 1].map(|column| world.estimate(&ill, column, 700.0).approval);
    assert!(ill[0] < 0.3 && ill[1] < 0.3, "{ill:?}");
}

/// While an issuer's weather is extraordinary, its answers teach nothing about accounts.
#[test]
fn a_segment_in_a_storm_is_in_quarantine() {
    let mut world = World::new(1_000);
    let (ill, well) = (segments("FR", "400000"), segments("GB", "411111"));
    for k in 0..300 {
        for column in 0..2 {
            world.answer(&ill, column, k % 8 != 0, f64::from(k));
            world.answer(&well, column, k % 8 != 0, f64::from(k));
        }
    }
    for k in 300..330 {
        world.answer(&ill, 0, false, f64::from(k));
    }
    let gap = |world: &World| {
        let [a, b] = [0, 1].map(|column| world.estimate(&well, column, 330.0).approval);
        b - a
    };
    let before = gap(&world);
    // The storm is known; what still surprises in it, one account's luck, must not count.
    for k in 0..200 {
        world.answer(&ill, 1, k % 2 == 0, 330.0);
    }
    assert!(
        (gap(&world) - before).abs() < 0.002,
        "{before} {}",
        gap(&world)
    );
}

#[test]
fn a_second_attempt_compares_two_accounts() {
    let mut alone = World::new(1_000);
    let of = segments("GB", "400000");
    for k in 0..200 {
        let now_s = f64::from(k);
        alone.answer(&of, 0, false, now_s);
        alone.cascade(&of, 1, true, &[0], now_s);
    }
    let (declined, saved) = (alone.estimate(&of, 0, 200.0), alone.estimate(&of, 1, 200.0));
    assert!(
        saved.approval - declined.approval > 0.3,
        "{saved:?} {declined:?}"
    );
    assert!(alone.scores.correlation.0 < 0.6);
}

#[test]
fn hard_declines_say_little() {
    let of = segments("GB", "400000");
    let learnt = |hard| {
        let mut world = World::new(1_000);
        let answer = Answer {
            segments: &of,
            column: 0,
            approved: false,
            hard,
            declined: &[],
        };
        world.scores.learn(&answer, 1.0, &world.model);
        world.estimate(&of, 0, 1.0).approval
    };
    let prior = World::new(16).estimate(&of, 0, 1.0).approval;
    assert!(prior - learnt(true) < 0.3 * (prior - learnt(false)));
    assert!(learnt(true) < prior);
}

#[test]
fn memory_is_bounded_and_the_stalest_go() {
    let mut world = World::new(64);
    for k in 0..1_000 {
        let of = segments("GB", &format!("{k:06}"));
        world.answer(&of, 0, true, f64::from(k));
        assert!(world.scores.table.len() <= 64);
    }
    let keys: Vec<u64> = world.scores.table.iter().map(|row| row.1).collect();
    assert!(keys.contains(&segments("GB", "000999").0[LEVELS - 1]));
    assert!(keys.contains(&segments("GB", "000999").0[0]));
    assert!(!keys.contains(&segments("GB", "000000").0[LEVELS - 1]));
    assert!(world.scores.table.row_bytes() < 200);
}

#[test]
fn another_accounts_column_changes_nothing_and_a_cleared_one_is_new() {
    let mut world = World::new(1_000);
    let of = segments("GB", "400000");
    world.answer(&of, 0, false, 0.0);
    let before = world.estimate(&of, 0, 0.0);
    world.scores.table.widen(38, &world.model.kinds);
    assert_eq!(world.estimate(&of, 0, 0.0), before);
    world.scores.table.clear_column(0, &world.model.kinds);
    assert_eq!(world.estimate(&of, 0, 0.0), world.estimate(&of, 37, 0.0));
}
