//! What holds for any ruleset, whatever it asks for and whatever happened before.
use proptest::prelude::*;
use serde_json::{Value, json};
use turnout_core::{Decision, Facts, FilterReason, Gate, Outcome, Router};

const ACCOUNTS: usize = 5;
const COUNTRIES: [&str; 3] = ["DE", "US", "JP"];
/// 2026-03-01, 00:00 UTC.
const MARCH: i64 = 1_772_323_200 * S;
const S: i64 = 1_000_000_000;

#[derive(Clone, Debug)]
struct Call {
    account: usize,
    payment: Payment,
    outcome: usize,
    after_ms: i64,
}

#[derive(Clone, Debug)]
struct Payment {
    amount: Option<i64>,
    country: Option<usize>,
    shop: Option<usize>,
    sticky: u16,
    excluded: Vec<usize>,
}

fn ids() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(0..ACCOUNTS + 1, 1..4)
        .prop_map(|list| list.into_iter().map(|k| format!("acc_{k}")).collect())
}

/// Accounts each once, by what `number` makes of a draw.
fn by_account(number: fn(u8) -> Value) -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(0..ACCOUNTS + 1, any::<u8>(), 1..4).prop_map(move |map| {
        let numbers = map
            .into_iter()
            .map(|(k, draw)| (format!("acc_{k}"), number(draw)));
        Value::Object(numbers.collect())
    })
}

fn outcome() -> impl Strategy<Value = (&'static str, Value)> {
    let per = || prop::sample::select(vec!["day", "month"]);
    let account = || (0..ACCOUNTS).prop_map(|k| format!("acc_{k}"));
    let amounts = (account(), per(), 1..20_000_u64).prop_map(|(account, per, amount)| {
        json!([{"account": account, "per": per, "amount_minor": amount, "currency": "EUR"}])
    });
    let payments = (account(), per(), 1..9_u64).prop_map(
        |(account, per, most)| json!([{"account": account, "per": per, "payments": most}]),
    );
    let commit = (account(), per(), 1..900_u64, 0..9_u8).prop_map(|(account, per, due, within)| {
        json!([{"account": account, "per": per, "payments": due, "within_points": within}])
    });
    let tiers = Just((0..ACCOUNTS).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(|order| {
            let tiers = order[1..].chunks(2);
            let tiers = tiers.map(|t| t.iter().map(|k| format!("acc_{k}")).collect::<Vec<_>>());
            json!(tiers.collect::<Vec<_>>())
        });
    prop_oneof![
        ids().prop_map(|ids| ("only", json!(ids))),
        ids().prop_map(|ids| ("exclude", json!(ids))),
        tiers.prop_map(|tiers| ("priority", tiers)),
        by_account(|d| json!(1 + u32::from(d))).prop_map(|map| ("split", map)),
        by_account(|d| json!(f64::from(d) / 255.0 - 0.5)).prop_map(|map| ("weight", map)),
        prop_oneof![amounts, payments].prop_map(|cap| ("cap", cap)),
        commit.prop_map(|commit| ("commit", commit)),
        (0..9_u8).prop_map(|points| ("cheapest_within_points", json!(points))),
        Just(("require_three_ds", json!(true))),
    ]
}

fn outcomes() -> impl Strategy<Value = Value> {
    let some = proptest::collection::vec(outcome(), 1..4);
    (some, prop::bool::weighted(0.03)).prop_map(|(list, block)| {
        let mut then: serde_json::Map<String, Value> = list
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        if block {
            then.insert("block".to_owned(), json!("because"));
        }
        Value::Object(then)
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let missing = prop::sample::select(vec!["match", "no_match"]);
    let ask = prop_oneof![
        (0..3_usize).prop_map(|k| json!({"fact": "issuer_country", "in": [COUNTRIES[k]]})),
        (0..6_000_i64).prop_map(|min| json!({"fact": "amount_minor", "min": min})),
        Just(json!({"fact": "metadata", "key": "shop", "prefix": ["D"]})),
        (0..24_u8).prop_map(|hour| {
            json!({"fact": "time", "zone": "Europe/Berlin", "from": format!("{hour:02}:30")})
        }),
    ];
    (ask, any::<bool>(), missing).prop_map(|(mut ask, not, missing)| {
        ask["not"] = json!(not);
        if ask["fact"] != "time" {
            ask["missing"] = json!(missing);
        }
        ask
    })
}

fn ruleset() -> impl Strategy<Value = Value> {
    let rule = (proptest::collection::vec(condition(), 0..3), outcomes());
    (
        prop::sample::select(vec!["first_match", "accumulate"]),
        proptest::collection::vec(rule, 0..6),
        proptest::option::of(outcomes()),
    )
        .prop_map(|(mode, rules, otherwise)| {
            let rules: Vec<Value> = (0..)
                .zip(rules)
                .map(|(at, (when, then)): (u8, _)| {
                    json!({"id": format!("r{at}"), "when": when, "then": then})
                })
                .collect();
            json!({"mode": mode, "rules": rules, "otherwise": otherwise})
        })
}

fn payment() -> impl Strategy<Value = Payment> {
    (
        proptest::option::weighted(0.9, 0..6_000_i64),
        proptest::option::weighted(0.8, 0..3_usize),
        proptest::option::of(0..3_usize),
        any::<u16>(),
        proptest::collection::vec(0..ACCOUNTS, 0..2),
    )
        .prop_map(|(amount, country, shop, sticky, excluded)| Payment {
            amount,
            country,
            shop,
            sticky,
            excluded,
        })
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (0..ACCOUNTS, payment(), 0..6_usize, 0..7_200_000_i64);
    let call = call.prop_map(|(account, payment, outcome, after_ms)| Call {
        account,
        payment,
        outcome,
        after_ms,
    });
    proptest::collection::vec(call, 0..50)
}

fn config(ruleset: &Value, first_fee: f64) -> String {
    let accounts: Vec<Value> = (0..ACCOUNTS)
        .map(|k| {
            let bps = if k == 0 { first_fee } else { 40.0 * k as f64 };
            let limits = json!({"EUR": {"max_minor": 5_500 + 200 * k}});
            json!({"id": format!("acc_{k}"), "fees": {"bps": bps}, "amount_limits": limits})
        })
        .collect();
    let tiers = json!([["acc_0", "acc_1"], ["acc_2", "acc_3"], ["acc_4"]]);
    let objective = json!({"kind": "value"});
    json!({"accounts": accounts, "profiles": [
        {"id": "p", "tiers": tiers, "objective": objective, "ruleset": ruleset},
        {"id": "plain", "tiers": tiers, "objective": objective},
    ]})
    .to_string()
}

fn decide(router: &Router, profile: &str, payment: &Payment, now_ns: i64) -> Decision {
    let excluded: Vec<String> = payment
        .excluded
        .iter()
        .map(|k| format!("acc_{k}"))
        .collect();
    let sticky = format!("pay_{}", payment.sticky);
    let facts = Facts {
        amount_minor: payment.amount,
        currency: Some("EUR"),
        issuer_country: payment.country.map(|k| COUNTRIES[k]),
        metadata: payment
            .shop
            .map(|k| ("shop", COUNTRIES[k]))
            .into_iter()
            .collect(),
        sticky_key: Some(&sticky),
        excluded: excluded.iter().map(String::as_str).collect(),
        ..Facts::default()
    };
    router.decide(profile, &facts, now_ns, 3).unwrap()
}

/// Lives through the calls, from the day before March; returns the time at the end.
fn live(router: &mut Router, calls: &[Call]) -> i64 {
    let outcomes = [
        Outcome::Approved,
        Outcome::Approved,
        Outcome::Approved,
        Outcome::IssuerDeclinedSoft,
        Outcome::TechnicalError,
        Outcome::Timeout,
    ];
    let mut now_ns = MARCH - 43_200 * S;
    for call in calls {
        now_ns += call.after_ms * 1_000_000;
        let decision = decide(router, "p", &call.payment, now_ns);
        let id = format!("acc_{}", call.account);
        if let Ok(permit) = router.begin(&id, Some(&decision), false, now_ns) {
            router
                .finish(&permit, outcomes[call.outcome], 100.0, now_ns)
                .unwrap();
        }
    }
    now_ns
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_never_name_an_ineligible_account_and_their_chances_are_exact(
        ruleset in ruleset(), calls in calls(), payment in payment(),
    ) {
        let mut router = Router::new(config(&ruleset, 20.0).as_bytes()).unwrap();
        let now_ns = live(&mut router, &calls);
        let ruled = decide(&router, "p", &payment, now_ns);
        let plain = decide(&router, "plain", &payment, now_ns);
        let eligible: Vec<u16> = plain.ranked.iter().map(|r| r.account).collect();
        prop_assert!(ruled.ranked.iter().all(|r| eligible.contains(&r.account)));
        let by_rule = ruled.filtered.iter().filter(|f| f.reason >= FilterReason::RuleOnly).count();
        if ruled.blocked.is_some() {
            prop_assert!(ruled.ranked.is_empty());
        } else {
            prop_assert_eq!(ruled.ranked.len() + by_rule, eligible.len());
        }
        let callable = |gate| matches!(gate, Gate::Closed | Gate::Probe);
        if let Some(first) = ruled.ranked.first() {
            let total: f64 = ruled.ranked.iter().map(|r| r.propensity).sum();
            prop_assert!((total - 1.0).abs() < 1e-12, "{total}");
            prop_assert!(first.propensity > 0.0);
            let any = ruled.ranked.iter().any(|r| callable(r.gate));
            prop_assert_eq!(callable(first.gate), any, "an ill account before a well one");
            prop_assert_eq!(ruled.degraded, !any);
            prop_assert!(ruled.ranked.iter().all(|r| r.score.is_finite()));
        }
    }

    #[test]
    fn ruled_decisions_replay_and_survive_a_restart_to_the_byte(
        ruleset in ruleset(), calls in calls(), payment in payment(), pause_s in 0..400_000_i64,
    ) {
        let json = config(&ruleset, 20.0);
        let mut router = Router::new(json.as_bytes()).unwrap();
        let now_ns = live(&mut router, &calls) + pause_s * S;
        let decision = decide(&router, "p", &payment, now_ns);
        let record = decision.record();
        let fresh = Router::new(json.as_bytes()).unwrap();
        let again = fresh.replay(&record).unwrap();
        prop_assert_eq!(&again.record(), &record);
        prop_assert_eq!(&again.ranked, &decision.ranked);
        prop_assert_eq!(again.matched_rules().collect::<Vec<_>>(),
            decision.matched_rules().collect::<Vec<_>>());
        // The same rules tried on the record decide alike; none at all find all accounts known.
        prop_assert_eq!(&fresh.try_ruleset(&record, "p").unwrap().ranked, &decision.ranked);
        let plain = decide(&router, "plain", &payment, now_ns);
        let tried = fresh.try_ruleset(&record, "plain").unwrap();
        prop_assert_eq!(&tried.ranked, &plain.ranked);
        let mut restored = Router::new(json.as_bytes()).unwrap();
        restored.restore(&router.save(), now_ns).unwrap();
        prop_assert_eq!(decide(&restored, "p", &payment, now_ns).record(), record);
        let mut twice = Router::new(json.as_bytes()).unwrap();
        twice.restore(&restored.save(), now_ns).unwrap();
        prop_assert_eq!(twice.save(), restored.save());
    }

    /// One absurd reading neither moves the calendar nor resets a count.
    #[test]
    fn an_absurd_clock_changes_no_ruled_decision(
        ruleset in ruleset(), calls in calls(), payment in payment(),
        absurd in proptest::sample::select(vec![
            i64::MIN, i64::MAX, 0, -S, -315_360_000 * S, MARCH + 3_153_600_000 * S,
        ]),
    ) {
        let mut router = Router::new(config(&ruleset, 20.0).as_bytes()).unwrap();
        let mut now_ns = live(&mut router, &calls);
        if calls.is_empty() {
            // A clock that was never read has nothing to be believed by.
            router.begin("acc_0", None, true, now_ns).unwrap();
            now_ns += S;
        }
        let before = decide(&router, "p", &payment, now_ns);
        let dazed = decide(&router, "p", &payment, absurd);
        prop_assert_eq!(dazed.ranked, before.ranked.clone());
        prop_assert_eq!(dazed.filtered, before.filtered.clone());
        if let Ok(permit) = router.begin("acc_1", None, true, absurd) {
            router.finish(&permit, Outcome::Abandoned, f64::NAN, now_ns).unwrap();
        }
        let after = decide(&router, "p", &payment, now_ns);
        prop_assert_eq!(after.ranked, before.ranked);
    }

    /// A dearer account is not chosen more often, whatever rules say of fees.
    #[test]
    fn a_higher_fee_never_wins_ruled_payments(
        ruleset in ruleset(), calls in calls(), payment in payment(),
        fee in 0.0..400.0_f64, dearer in 0.0..400.0_f64,
    ) {
        let chance = |fee: f64| {
            let mut router = Router::new(config(&ruleset, fee).as_bytes()).unwrap();
            let now_ns = live(&mut router, &calls);
            let decision = decide(&router, "p", &payment, now_ns);
            let mine = decision.ranked.iter().find(|r| r.account == 0);
            mine.map_or(0.0, |mine| mine.propensity)
        };
        let (cheap, dear) = (chance(fee), chance(fee + dearer));
        prop_assert!(dear <= cheap + 1e-9, "{cheap} {dear}");
    }
}
