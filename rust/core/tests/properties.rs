//! What holds for any configuration, any payment, any history and any clock.
use proptest::prelude::*;
use turnout_core::{Facts, Outcome, Router};

const S: i64 = 1_000_000_000;
const NETWORKS: [&str; 3] = ["visa", "mastercard", "amex"];
const CURRENCIES: [&str; 3] = ["EUR", "USD", "JPY"];
const COUNTRIES: [&str; 3] = ["DE", "US", "JP"];
const OUTCOMES: [Outcome; 6] = [
    Outcome::Approved,
    Outcome::IssuerDeclinedSoft,
    Outcome::IssuerDeclinedHard,
    Outcome::TechnicalError,
    Outcome::Timeout,
    Outcome::Abandoned,
];

#[derive(Clone, Debug)]
struct Account {
    enabled: bool,
    networks: Vec<usize>,
    currencies: Vec<usize>,
    countries: Vec<usize>,
    max_minor: i64,
    wants_network: bool,
    tier: usize,
}

#[derive(Clone, Debug)]
struct Payment {
    amount: Option<i64>,
    network: Option<usize>,
    currency: Option<usize>,
    country: Option<usize>,
    bin: Option<u8>,
    excluded: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Call {
    account: usize,
    payment: Payment,
    outcome: usize,
    latency_ms: f64,
    after_ms: i64,
}

fn some_of() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..3_usize, 0..3)
}

fn account() -> impl Strategy<Value = Account> {
    (
        prop::bool::weighted(0.9),
        some_of(),
        some_of(),
        some_of(),
        0..5000_i64,
        prop::bool::weighted(0.2),
        0..3_usize,
    )
        .prop_map(
            |(enabled, networks, currencies, countries, max_minor, wants, tier)| Account {
                enabled,
                networks,
                currencies,
                countries,
                max_minor,
                wants_network: wants,
                tier,
            },
        )
}

fn payment() -> impl Strategy<Value = Payment> {
    let pick = || proptest::option::weighted(0.8, 0..3_usize);
    (
        proptest::option::weighted(0.8, 0..6000_i64),
        pick(),
        pick(),
        pick(),
        proptest::option::of(0..20_u8),
        proptest::collection::vec(0..8_usize, 0..3),
    )
        .prop_map(
            |(amount, network, currency, country, bin, excluded)| Payment {
                amount,
                network,
                currency,
                country,
                bin,
                excluded,
            },
        )
}

fn call() -> impl Strategy<Value = Call> {
    (
        0..8_usize,
        payment(),
        0..6_usize,
        0.0..20_000.0,
        0..20_000_i64,
    )
        .prop_map(|(account, payment, outcome, latency_ms, after_ms)| Call {
            account,
            payment,
            outcome,
            latency_ms,
            after_ms,
        })
}

fn config(accounts: &[Account]) -> String {
    let words = |list: &[usize], all: [&str; 3]| {
        let words: Vec<String> = list.iter().map(|k| format!("{:?}", all[*k])).collect();
        words.join(",")
    };
    let described = accounts.iter().enumerate().map(|(i, a)| {
        let wants = if a.wants_network { "\"network\"" } else { "" };
        format!(
            r#"{{"id":"acc_{i}","enabled":{},"networks":[{}],"currencies":[{}],"countries":[{}],
            "amount_limits":{{"EUR":{{"max_minor":{}}}}},"require_known":[{wants}]}}"#,
            a.enabled,
            words(&a.networks, NETWORKS),
            words(&a.currencies, CURRENCIES),
            words(&a.countries, COUNTRIES),
            a.max_minor,
        )
    });
    let described: Vec<String> = described.collect();
    let tiers: Vec<String> = (0..3)
        .map(|tier| {
            let ids = accounts.iter().enumerate().filter(|(_, a)| a.tier == tier);
            let ids: Vec<String> = ids.map(|(i, _)| format!("\"acc_{i}\"")).collect();
            format!("[{}]", ids.join(","))
        })
        .collect();
    format!(
        r#"{{"accounts":[{}],"profiles":[{{"id":"p","tiers":[{}]}}]}}"#,
        described.join(","),
        tiers.join(","),
    )
}

/// Eligibility once more, said in the plainest way.
fn takes(index: usize, account: &Account, payment: &Payment) -> bool {
    let any = |list: &[usize], fact: Option<usize>| {
        list.is_empty() || fact.is_none_or(|fact| list.contains(&fact))
    };
    account.enabled
        && !payment.excluded.contains(&index)
        && any(&account.networks, payment.network)
        && any(&account.currencies, payment.currency)
        && any(&account.countries, payment.country)
        && !(account.wants_network && payment.network.is_none())
        && !(payment.currency == Some(0) && payment.amount.is_some_and(|a| a > account.max_minor))
}

fn with_facts<T>(payment: &Payment, run: impl FnOnce(&Facts<'_>) -> T) -> T {
    let bin = payment.bin.map(|bin| format!("4000{bin:02}"));
    let excluded: Vec<String> = payment
        .excluded
        .iter()
        .map(|k| format!("acc_{k}"))
        .collect();
    run(&Facts {
        amount_minor: payment.amount,
        currency: payment.currency.map(|k| CURRENCIES[k]),
        method: Some("card"),
        network: payment.network.map(|k| NETWORKS[k]),
        bin: bin.as_deref(),
        issuer_country: payment.country.map(|k| COUNTRIES[k]),
        excluded: excluded.iter().map(String::as_str).collect(),
        no_exploring: payment.bin == Some(7),
        ..Facts::default()
    })
}

/// Lives through the calls; returns the time at the end.
fn live(router: &mut Router, calls: &[Call]) -> i64 {
    let mut now_ns = 0;
    for call in calls {
        now_ns += call.after_ms * 1_000_000;
        let decision = with_facts(&call.payment, |f| router.decide("p", f, now_ns, 3)).unwrap();
        let id = format!("acc_{}", call.account);
        if let Ok(permit) = router.begin(&id, Some(&decision), false, now_ns) {
            let outcome = OUTCOMES[call.outcome];
            router
                .finish(&permit, outcome, call.latency_ms, now_ns)
                .unwrap();
        }
    }
    now_ns
}

proptest! {
    // PROPTEST_RNG_SEED and PROPTEST_CASES apply; the seed repeats a failure, so no file does.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_names_exactly_the_eligible(
        accounts in proptest::collection::vec(account(), 1..8),
        calls in proptest::collection::vec(call(), 0..60),
        payment in payment(),
        seed in any::<u64>(),
    ) {
        let mut router = Router::new(config(&accounts).as_bytes()).unwrap();
        let now_ns = live(&mut router, &calls);
        let decision = with_facts(&payment, |f| router.decide("p", f, now_ns, seed)).unwrap();
        let mut named: Vec<usize> =
            decision.ranked.iter().map(|r| r.account as usize).collect();
        named.sort_unstable();
        let expected: Vec<usize> = (0..accounts.len())
            .filter(|i| takes(*i, &accounts[*i], &payment))
            .collect();
        prop_assert_eq!(named, expected);
        prop_assert_eq!(decision.ranked.len() + decision.filtered.len(), accounts.len());
        if !decision.ranked.is_empty() {
            let total: f64 = decision.ranked.iter().map(|r| r.propensity).sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
            prop_assert!(decision.ranked[0].propensity > 0.0);
        }
        for r in &decision.ranked {
            prop_assert!((0.0..=1.0).contains(&r.score));
            prop_assert!((0.0..=1.0).contains(&r.propensity));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes_and_a_record_replays(
        accounts in proptest::collection::vec(account(), 1..8),
        calls in proptest::collection::vec(call(), 0..60),
        payment in payment(),
        seed in any::<u64>(),
    ) {
        let json = config(&accounts);
        let mut one = Router::new(json.as_bytes()).unwrap();
        let mut two = Router::new(json.as_bytes()).unwrap();
        let now_ns = live(&mut one, &calls);
        live(&mut two, &calls);
        prop_assert_eq!(one.save(), two.save());
        let decide = |r: &Router| {
            with_facts(&payment, |f| r.decide("p", f, now_ns, seed)).unwrap()
        };
        let record = decide(&one).record();
        prop_assert_eq!(&decide(&two).record(), &record);
        let fresh = Router::new(json.as_bytes()).unwrap();
        let again = fresh.replay(&record).unwrap();
        prop_assert_eq!(again.record(), record);
        prop_assert_eq!(again.ranked, decide(&one).ranked);
    }

    #[test]
    fn a_saved_state_decides_alike(
        accounts in proptest::collection::vec(account(), 1..8),
        calls in proptest::collection::vec(call(), 0..60),
        payment in payment(),
        pause_s in 0..100_000_i64,
    ) {
        let json = config(&accounts);
        let mut router = Router::new(json.as_bytes()).unwrap();
        let now_ns = live(&mut router, &calls) + pause_s * S;
        let mut again = Router::new(json.as_bytes()).unwrap();
        again.restore(&router.save(), now_ns).unwrap();
        let decide = |r: &Router| {
            with_facts(&payment, |f| r.decide("p", f, now_ns, 9)).unwrap()
        };
        prop_assert_eq!(decide(&again).record(), decide(&router).record());
    }

    #[test]
    fn absurd_clocks_and_latencies_change_no_decision(
        calls in proptest::collection::vec(call(), 1..60),
        payment in payment(),
        absurd in proptest::sample::select(vec![
            i64::MIN, i64::MAX, -S, -315_360_000 * S, 315_360_000 * S,
        ]),
        latency_ms in proptest::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX,
        ]),
    ) {
        let accounts = vec![Account {
            enabled: true, networks: vec![], currencies: vec![], countries: vec![],
            max_minor: 9999, wants_network: false, tier: 0,
        }; 4];
        let mut router = Router::new(config(&accounts).as_bytes()).unwrap();
        let now_ns = live(&mut router, &calls);
        let at = |r: &Router, now_ns| {
            let decision = with_facts(&payment, |f| r.decide("p", f, now_ns, 9)).unwrap();
            decision.ranked
        };
        let before = at(&router, now_ns);
        prop_assert_eq!(&at(&router, absurd), &before);
        if let Ok(permit) = router.begin("acc_0", None, false, absurd) {
            router.finish(&permit, Outcome::Abandoned, latency_ms, absurd).unwrap();
        }
        prop_assert_eq!(&at(&router, absurd), &before);
        let saved = router.save();
        Router::new(config(&accounts).as_bytes()).unwrap().restore(&saved, absurd).unwrap();
    }

    /// A dearer account is never chosen more often, whatever was learnt.
    #[test]
    fn a_higher_fee_never_wins_payments(
        calls in proptest::collection::vec(call(), 0..60),
        payment in payment(),
        fees in proptest::collection::vec(0.0..400.0_f64, 4),
        dearer in 0.0..400.0_f64,
        kind in proptest::sample::select(vec!["approval", "value", "cost", "weighted"]),
    ) {
        let made = |first: f64| {
            let accounts: Vec<String> = (0..4)
                .map(|i| {
                    let bps = if i == 0 { first } else { fees[i] };
                    format!(r#"{{"id":"acc_{i}","fees":{{"bps":{bps},"fixed_minor":{bps}}}}}"#)
                })
                .collect();
            let json = format!(
                r#"{{"accounts":[{}],"profiles":[{{"id":"p","objective":{{"kind":"{kind}",
                "margin_bps":300,"approval_per_fee_bps":0.001}},
                "tiers":[["acc_0","acc_1","acc_2","acc_3"]]}}]}}"#,
                accounts.join(",")
            );
            let mut router = Router::new(json.as_bytes()).unwrap();
            let now_ns = live(&mut router, &calls);
            let payment = Payment { excluded: vec![], ..payment.clone() };
            let decision = with_facts(&payment, |f| router.decide("p", f, now_ns, 9)).unwrap();
            let mine = decision.ranked.iter().find(|r| r.account == 0).unwrap();
            (mine.propensity, mine.fee_minor)
        };
        let (cheap, dear) = (made(fees[0]), made(fees[0] + dearer));
        prop_assert!(dear.1 >= cheap.1);
        prop_assert!(dear.0 <= cheap.0 + 1e-9, "{cheap:?} {dear:?}");
    }

    /// One more failure never makes an account more likely to be chosen.
    #[test]
    fn a_failure_never_wins_payments(
        calls in proptest::collection::vec(call(), 0..60),
        payment in payment(),
        timeout in any::<bool>(),
    ) {
        let accounts = vec![Account {
            enabled: true, networks: vec![], currencies: vec![], countries: vec![],
            max_minor: 9999, wants_network: false, tier: 0,
        }; 4];
        let mut router = Router::new(config(&accounts).as_bytes()).unwrap();
        let now_ns = live(&mut router, &calls);
        let payment = Payment { excluded: vec![], amount: Some(100), ..payment };
        let chosen = |router: &Router| {
            let decision = with_facts(&payment, |f| router.decide("p", f, now_ns, 9)).unwrap();
            let mine = decision.ranked.iter().find(|r| r.account == 0).unwrap();
            (decision.degraded, mine.propensity)
        };
        let before = chosen(&router);
        let decision = with_facts(&payment, |f| router.decide("p", f, now_ns, 9)).unwrap();
        if let Ok(permit) = router.begin("acc_0", Some(&decision), true, now_ns) {
            let failed = if timeout { Outcome::Timeout } else { Outcome::TechnicalError };
            router.finish(&permit, failed, 100.0, now_ns).unwrap();
        }
        let after = chosen(&router);
        // Where all are ill the least ill serves, and its failure may change who that is.
        if !before.0 && !after.0 {
            prop_assert!(after.1 <= before.1 + 1e-9, "{before:?} {after:?}");
        }
    }

    /// Whatever callers say of latency, and whatever was answered, estimates stay numbers.
    #[test]
    fn absurd_latencies_leave_every_estimate_finite(
        calls in proptest::collection::vec(call(), 1..60),
        payment in payment(),
        latency_ms in proptest::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX, f64::MIN_POSITIVE,
        ]),
    ) {
        let json = r#"{"accounts":[{"id":"acc_0"},{"id":"acc_1","adaptive_in_flight":true}],
            "profiles":[{"id":"p","tiers":[["acc_0","acc_1"]],"objective":{"kind":"latency"}}]}"#;
        let mut router = Router::new(json.as_bytes()).unwrap();
        let calls: Vec<Call> = calls
            .into_iter()
            .map(|call| Call { latency_ms, account: call.account % 2, ..call })
            .collect();
        let now_ns = live(&mut router, &calls);
        let payment = Payment { excluded: vec![], ..payment };
        let decision = with_facts(&payment, |f| router.decide("p", f, now_ns, 9)).unwrap();
        for r in &decision.ranked {
            prop_assert!(r.score.is_finite() && (0.0..=1.0).contains(&r.propensity));
            prop_assert!((0.0..=1.0).contains(&r.approval));
            prop_assert!((0.0..=0.5).contains(&r.approval_sd));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut router = Router::new(config(&[]).as_bytes()).unwrap();
        prop_assert!(Router::new(&bytes).is_err());
        prop_assert!(router.replay(&bytes).is_err());
        prop_assert!(router.restore(&bytes, 0).is_err());
        prop_assert!(router.observe("acc_0", &bytes, Outcome::Approved, 0).is_err());
    }
}
