//! Medians of a decision and of an outcome learnt, with criterion's intervals.
//!
//!     cargo bench -p turnout-core --bench medians
//!
//! Criterion keeps each run under `target/criterion` and tells what changed since the last one.
//! Only the call itself is timed; what a payment is made of is not.
mod world;

use std::time::Duration;

use criterion::Criterion;
use world::{ACCOUNTS, RULES, WARM, World, ruleset};

fn total(spent: &[u64]) -> Duration {
    Duration::from_nanos(spent.iter().sum())
}

fn by_accounts(criterion: &mut Criterion) {
    for accounts in ACCOUNTS {
        let mut world = World::new(accounts, "");
        world.run(WARM, false);
        let id = |what: &str| format!("{what}/accounts_{accounts}");
        criterion.bench_function(&id("decide"), |bencher| {
            bencher.iter_custom(|calls| total(&world.run(calls as usize, false).0));
        });
        criterion.bench_function(&id("finish"), |bencher| {
            bencher.iter_custom(|calls| total(&world.run(calls as usize, false).1));
        });
    }
}

fn by_rules(criterion: &mut Criterion) {
    for rules in RULES {
        let mut world = World::new(10, &ruleset(rules));
        world.run(WARM, true);
        let id = format!("decide/rules_{rules}");
        criterion.bench_function(&id, |bencher| {
            bencher.iter_custom(|calls| total(&world.run(calls as usize, true).0));
        });
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    by_accounts(&mut criterion);
    by_rules(&mut criterion);
    criterion.final_summary();
}
