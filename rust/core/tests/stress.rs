//! Four threads on one router: nothing is lost, nothing grows, and what is learnt is true.
//!
//! Two million decisions and outcomes with `cargo test --release`; a fiftieth of that in a debug
//! build, so that the everyday run stays short.
use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, Ordering};

use turnout_core::{Facts, Outcome, Router};

const THREADS: u64 = 4;
const DECISIONS: u64 = if cfg!(debug_assertions) {
    40_000
} else {
    2_000_000
};
const MOST_SEGMENTS: usize = 500;
/// True approval rates of the two accounts, in percent.
const TRUTH: [u64; 2] = [92, 80];
const COUNTRIES: [&str; 4] = ["GB", "US", "DE", "FR"];

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn work(router: &RwLock<Router>, clock: &AtomicI64, thread: u64) {
    for k in 0..DECISIONS / THREADS {
        let draw = mix(thread << 40 | k);
        let now_ns = clock.fetch_add(1_000_000, Ordering::Relaxed);
        // Ever new BINs: the table must forget, or it would grow for ever.
        let bin = format!("{:08}", draw % 50_000);
        let facts = Facts {
            amount_minor: Some((draw % 90_000) as i64),
            currency: Some("EUR"),
            network: Some("visa"),
            issuer_country: Some(COUNTRIES[(draw >> 20) as usize % 4]),
            bin: Some(&bin),
            ..Facts::default()
        };
        let decision = router.read().unwrap().decide("p", &facts, now_ns, draw);
        let decision = decision.unwrap();
        for ranked in &decision.ranked {
            let account = ranked.account;
            let id = decision.account_id(account);
            let permit = router
                .write()
                .unwrap()
                .begin(id, Some(&decision), false, now_ns);
            let Ok(permit) = permit else { continue };
            let approved = mix(draw ^ u64::from(account)) % 100 < TRUTH[account as usize];
            let outcome = if approved {
                Outcome::Approved
            } else {
                Outcome::IssuerDeclinedSoft
            };
            let mut router = router.write().unwrap();
            router.finish(&permit, outcome, 250.0, now_ns).unwrap();
            assert!(router.segment_count() <= MOST_SEGMENTS);
            drop(router);
            if approved {
                break;
            }
        }
    }
}

#[test]
fn four_threads_lose_nothing_and_learn_the_truth() {
    let json = format!(
        r#"{{"accounts":[{{"id":"a"}},{{"id":"b"}}],
        "profiles":[{{"id":"p","tiers":[["a","b"]]}}],
        "settings":{{"health":{{"max_segments":{MOST_SEGMENTS}}}}}}}"#
    );
    let router = RwLock::new(Router::new(json.as_bytes()).unwrap());
    let clock = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (router, clock) = (&router, &clock);
            scope.spawn(move || work(router, clock, thread));
        }
    });
    let router = router.into_inner().unwrap();
    let now_ns = clock.into_inner();
    let facts = Facts {
        network: Some("visa"),
        issuer_country: Some("GB"),
        ..Facts::default()
    };
    for health in router.health(now_ns) {
        assert_eq!(health.in_flight, 0, "{health:?}");
    }
    let decision = router.decide("p", &facts, now_ns, 1).unwrap();
    let best = &decision.ranked[0];
    assert_eq!(decision.account_id(best.account), "a");
    assert!((f64::from(best.approval) - 0.92).abs() < 0.03, "{best:?}");
    // What is saved is what is in memory: bounded, however much passed through.
    assert!(router.save().len() < MOST_SEGMENTS * 200);
}
