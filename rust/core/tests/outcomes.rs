//! What rules do to a decision: each outcome, their order, counters, replay and trial.
use serde_json::{Value, json};
use turnout_core::{Code, Decision, Error, Facts, FilterReason, Outcome, Router};

const S: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * S;
/// 2026-03-01, 00:00 UTC.
const MARCH: i64 = 1_772_323_200 * S;

fn config(rulesets: &[(&str, Value)]) -> String {
    let accounts: Vec<Value> = ["a", "b", "c"]
        .iter()
        .zip([30.0, 10.0, 20.0])
        .map(|(id, bps)| json!({"id": id, "fees": {"bps": bps}}))
        .collect();
    let profiles: Vec<Value> = rulesets
        .iter()
        .map(|(id, ruleset)| json!({"id": id, "tiers": [["a"], ["b"], ["c"]], "ruleset": ruleset}))
        .collect();
    json!({"accounts": accounts, "profiles": profiles}).to_string()
}

fn compiled(ruleset: &Value) -> Result<Router, Error> {
    Router::new(config(&[("p", ruleset.clone())]).as_bytes())
}

fn always(then: &Value) -> Value {
    json!({"mode": "first_match", "rules": [{"id": "all", "then": then}]})
}

fn with(then: &Value) -> Router {
    compiled(&always(then)).unwrap()
}

fn facts() -> Facts<'static> {
    Facts {
        amount_minor: Some(10_000),
        currency: Some("EUR"),
        sticky_key: Some("pay_1"),
        ..Facts::default()
    }
}

fn decide(router: &Router, facts: &Facts<'_>, now_ns: i64) -> Decision {
    let decision = router.decide("p", facts, now_ns, 1).unwrap();
    assert_eq!(
        router.replay(&decision.record()).unwrap().record(),
        decision.record()
    );
    decision
}

fn order(decision: &Decision) -> Vec<&str> {
    let ranked = decision.ranked.iter();
    ranked.map(|r| decision.account_id(r.account)).collect()
}

fn fallen(decision: &Decision) -> Vec<(&str, FilterReason)> {
    let filtered = decision.filtered.iter();
    filtered
        .map(|f| (decision.account_id(f.account), f.reason))
        .collect()
}

fn first(then: &Value) -> Vec<String> {
    let router = with(then);
    order(&decide(&router, &facts(), MARCH))
        .iter()
        .map(|id| (*id).to_owned())
        .collect()
}

fn approve(router: &mut Router, id: &str, facts: &Facts<'_>, now_ns: i64) {
    let decision = router.decide("p", facts, now_ns, 1).unwrap();
    let permit = router.begin(id, Some(&decision), true, now_ns).unwrap();
    router
        .finish(&permit, Outcome::Approved, 100.0, now_ns)
        .unwrap();
}

/// Opens an account's breaker.
fn break_account(router: &mut Router, id: &str, now_ns: i64) {
    for _ in 0..8 {
        let permit = router.begin(id, None, true, now_ns).unwrap();
        router
            .finish(&permit, Outcome::TechnicalError, 10.0, now_ns)
            .unwrap();
    }
}

#[test]
fn sets_and_tiers() {
    assert_eq!(first(&json!({"only": ["c", "a"]})), ["a", "c"]);
    assert_eq!(first(&json!({"exclude": ["a", "unheard_of"]})), ["b", "c"]);
    assert_eq!(first(&json!({"priority": [["c"], ["b"]]})), ["c", "b", "a"]);
    assert_eq!(first(&json!({"only": ["unheard_of"]})), [""; 0]);
    let router = with(&json!({"only": ["c", "a"], "exclude": ["c"]}));
    let reasons = [
        ("b", FilterReason::RuleOnly),
        ("c", FilterReason::RuleExclude),
    ];
    assert_eq!(fallen(&decide(&router, &facts(), MARCH)), reasons);
}

#[test]
fn weight_counts_within_a_tier() {
    let one_tier = json!([["a", "b", "c"]]);
    let then = json!({"priority": one_tier, "weight": {"c": 0.5, "b": 0.25}});
    assert_eq!(first(&then), ["c", "b", "a"]);
    let router = with(&then);
    let decision = decide(&router, &facts(), MARCH);
    let (best, plain) = (decision.ranked[0], decision.ranked[2]);
    assert!((best.score - plain.score - 0.5).abs() < 1e-12);
}

#[test]
fn a_split_is_sticky_exact_and_passes_over_the_ill() {
    let mut router = with(&json!({"split": {"c": 30, "a": 70, "unheard_of": 900}}));
    let mut firsts = [0; 3];
    for at in 0..4_000 {
        let key = format!("pay_{at}");
        let facts = Facts {
            sticky_key: Some(&key),
            ..facts()
        };
        let decision = router.decide("p", &facts, MARCH, at).unwrap();
        let again = router.decide("p", &facts, MARCH + DAY, at + 1).unwrap();
        assert_eq!(
            order(&decision),
            order(&again),
            "the same payment draws the same"
        );
        firsts[decision.ranked[0].account as usize] += 1;
        for r in &decision.ranked {
            assert!((r.propensity - [0.7, 0.0, 0.3][r.account as usize]).abs() < 1e-12);
        }
    }
    assert_eq!(firsts[1], 0);
    assert!((1_100..1_300).contains(&firsts[2]), "{firsts:?}");
    break_account(&mut router, "a", MARCH);
    let decision = decide(&router, &facts(), MARCH);
    assert_eq!(
        (order(&decision), decision.ranked[0].propensity),
        (vec!["c", "b", "a"], 1.0)
    );
    break_account(&mut router, "c", MARCH);
    assert_eq!(
        order(&decide(&router, &facts(), MARCH))[0],
        "b",
        "no share may be called"
    );
}

#[test]
fn the_cheapest_of_the_near_best_leads() {
    let one_tier = json!([["a", "b", "c"]]);
    let then = json!({"priority": one_tier, "cheapest_within_points": 2.0});
    assert_eq!(first(&then)[0], "b");
    let far = json!({"priority": one_tier, "cheapest_within_points": 2.0,
        "weight": {"b": -0.03}});
    assert_eq!(first(&far)[0], "c");
}

#[test]
fn a_cap_counts_approvals_of_its_day_and_profile() {
    let cap = json!([{"account": "a", "payments": 2, "per": "day"}]);
    let mut router = with(&json!({"cap": cap}));
    for _ in 0..2 {
        assert_eq!(order(&decide(&router, &facts(), MARCH))[0], "a");
        approve(&mut router, "a", &facts(), MARCH);
    }
    let reached = decide(&router, &facts(), MARCH);
    assert_eq!(fallen(&reached), [("a", FilterReason::RuleCap)]);
    assert_eq!(order(&decide(&router, &facts(), MARCH + DAY))[0], "a");
    // The record holds the count, so a router that counted nothing decides alike.
    let fresh = with(&json!({"cap": cap}));
    assert_eq!(
        fresh.replay(&reached.record()).unwrap().record(),
        reached.record()
    );
}

#[test]
fn a_cap_on_money_counts_its_currency() {
    let cap = json!([{"account": "a", "amount_minor": 20_000, "currency": "eur", "per": "month"}]);
    let mut router = with(&json!({"cap": cap}));
    let dollars = Facts {
        currency: Some("USD"),
        ..facts()
    };
    for (facts, led) in [
        (&dollars, "a"),
        (&facts(), "a"),
        (&facts(), "a"),
        (&facts(), "b"),
    ] {
        assert_eq!(order(&decide(&router, &self::facts(), MARCH))[0], led);
        approve(&mut router, "a", facts, MARCH + 20 * DAY);
    }
}

#[test]
fn a_late_approval_counts_too() {
    let cap = json!([{"account": "a", "payments": 1, "per": "month"}]);
    let mut router = with(&json!({"cap": cap}));
    let record = decide(&router, &facts(), MARCH).record();
    router
        .observe("a", &record, Outcome::IssuerDeclinedSoft, MARCH)
        .unwrap();
    assert_eq!(order(&decide(&router, &facts(), MARCH))[0], "a");
    router
        .observe("a", &record, Outcome::Approved, MARCH)
        .unwrap();
    assert_eq!(order(&decide(&router, &facts(), MARCH))[0], "b");
}

#[test]
fn versions_of_a_profile_share_their_counts_and_reloads_keep_them() {
    let cap = always(&json!({"cap": [{"account": "a", "payments": 1, "per": "month"}]}));
    let both = config(&[("p", cap.clone()), ("p#7", cap.clone()), ("q", cap.clone())]);
    let mut router = Router::new(both.as_bytes()).unwrap();
    approve(&mut router, "a", &facts(), MARCH);
    let led = |router: &Router, profile: &str| {
        let decision = router.decide(profile, &facts(), MARCH, 1).unwrap();
        order(&decision)[0].to_owned()
    };
    assert_eq!(
        [led(&router, "p"), led(&router, "p#7"), led(&router, "q")],
        ["b", "b", "a"]
    );
    let mut again = Router::new(both.as_bytes()).unwrap();
    again.restore(&router.save(), MARCH).unwrap();
    assert_eq!([led(&again, "p#7"), led(&again, "q")], ["b", "a"]);
    assert_eq!(again.save(), router.save());
    let one = config(&[("p", cap)]);
    let compiled = turnout_core::Snapshot::compile(one.as_bytes()).unwrap();
    router.install(std::sync::Arc::new(compiled));
    assert_eq!(led(&router, "p"), "b");
}

#[test]
fn a_commitment_leads_while_it_lags() {
    let commit = json!([{"account": "c", "payments": 31, "per": "month", "within_points": 1.0}]);
    let mut router = with(&json!({"commit": commit}));
    assert_eq!(
        order(&decide(&router, &facts(), MARCH))[0],
        "a",
        "nothing is due yet"
    );
    let late = MARCH + 3 * DAY / 2;
    assert_eq!(order(&decide(&router, &facts(), late)), ["c", "a", "b"]);
    approve(&mut router, "c", &facts(), late);
    assert_eq!(order(&decide(&router, &facts(), late))[0], "c");
    approve(&mut router, "c", &facts(), late);
    assert_eq!(
        order(&decide(&router, &facts(), late))[0],
        "a",
        "two of one and a half"
    );
    let far = with(&json!({"commit": commit, "weight": {"c": -0.02}}));
    assert_eq!(
        order(&decide(&far, &facts(), late))[0],
        "a",
        "too far below the best"
    );
    let mut ill = with(&json!({"commit": commit}));
    break_account(&mut ill, "c", late);
    assert_eq!(order(&decide(&ill, &facts(), late)), ["a", "b", "c"]);
}

#[test]
fn a_block_ranks_nothing_and_says_why() {
    let router = with(&json!({"block": "stolen cards", "only": ["a"]}));
    let decision = decide(&router, &facts(), MARCH);
    let blocked = decision.blocked.clone().unwrap();
    assert_eq!(
        (blocked.rule_id.as_str(), blocked.reason.as_str()),
        ("all", "stolen cards")
    );
    assert!(decision.ranked.is_empty() && !decision.degraded);
}

#[test]
fn otherwise_and_nothing() {
    let never = json!([{"fact": "amount_minor", "max": 1}]);
    let rules = json!([{"id": "never", "when": never, "then": {"only": ["b"]}}]);
    let router = compiled(&json!({"mode": "first_match", "rules": rules})).unwrap();
    assert_eq!(order(&decide(&router, &facts(), MARCH)), ["a", "b", "c"]);
    let otherwise = json!({"only": ["c"], "require_three_ds": true});
    let doc = json!({"mode": "accumulate", "rules": rules, "otherwise": otherwise});
    let decision = decide(&compiled(&doc).unwrap(), &facts(), MARCH);
    assert_eq!(
        (order(&decision), decision.require_three_ds),
        (vec!["c"], true)
    );
    assert_eq!(decision.matched_rules().count(), 0);
}

#[test]
fn accumulation_narrows_adds_and_keeps_the_first() {
    let doc = json!({"mode": "accumulate", "rules": [
        {"id": "one", "then": {"only": ["a", "b"], "weight": {"b": 0.01},
            "priority": [["a", "b"]]}},
        {"id": "two", "then": {"only": ["b", "c"], "weight": {"b": 0.02}, "priority": [["c"]]}},
        {"id": "three", "then": {"exclude": ["c"], "require_three_ds": true}},
    ]});
    let decision = decide(&compiled(&doc).unwrap(), &facts(), MARCH);
    assert_eq!(order(&decision), ["b"]);
    assert_eq!(
        decision.matched_rules().collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    assert!(decision.require_three_ds);
    let plain = decide(&with(&json!({"only": ["b"]})), &facts(), MARCH);
    assert!((decision.ranked[0].score - plain.ranked[0].score - 0.03).abs() < 1e-12);
}

#[test]
fn a_ruleset_has_its_own_objective() {
    let doc = json!({"mode": "first_match", "objective": {"kind": "cost"},
        "rules": [{"id": "all", "then": {"priority": [["a", "b", "c"]]}}]});
    assert_eq!(
        order(&decide(&compiled(&doc).unwrap(), &facts(), MARCH))[0],
        "b"
    );
}

#[test]
fn a_recorded_payment_is_tried_under_other_rules() {
    let mut router = with(&json!({"only": ["a", "b"]}));
    break_account(&mut router, "b", MARCH);
    let record = decide(&router, &facts(), MARCH).record();
    // Other accounts in another order, and rules that name one that was left out then.
    let other = json!({"accounts": [{"id": "new"}, {"id": "c"}, {"id": "b"}, {"id": "a"}],
        "profiles": [{"id": "shop/test#2", "tiers": [["new"], ["b"], ["c"], ["a"]],
            "ruleset": always(&json!({"exclude": ["a"]}))}]});
    let candidate = Router::new(other.to_string().as_bytes()).unwrap();
    let tried = candidate.try_ruleset(&record, "shop/test#2").unwrap();
    assert_eq!(order(&tried), ["c", "b"], "b was ill then");
    let reasons = [
        ("new", FilterReason::NoEvidence),
        ("a", FilterReason::RuleExclude),
    ];
    assert_eq!(fallen(&tried), reasons);
    assert_eq!(
        candidate.replay(&tried.record()).unwrap().record(),
        tried.record()
    );
    let unknown = candidate.try_ruleset(&record, "p").unwrap_err();
    assert_eq!(unknown.code, Code::UnknownProfile);
}

#[test]
fn errors_in_conditions_name_the_path() {
    let when = |condition: Value| {
        let rule = json!({"id": "r", "when": [condition], "then": {"only": ["a"]}});
        let ruleset = json!({"mode": "first_match", "rules": [rule]});
        compiled(&ruleset).unwrap_err().message
    };
    let at = "profiles[0].ruleset.rules[0].when[0]";
    for (condition, path) in [
        (json!({"fact": "network", "in": ["visa"]}), "missing: "),
        (
            json!({"fact": "time", "zone": "UTC", "from": "09:00", "missing": "match"}),
            "missing: ",
        ),
        (json!({"fact": "time", "from": "09:00"}), "zone: "),
        (
            json!({"fact": "time", "zone": "Europe/Atlantis", "from": "09:00"}),
            "zone: ",
        ),
        (
            json!({"fact": "time", "zone": "UTC", "from": "9:00"}),
            "from: ",
        ),
        (json!({"fact": "amount_minor", "min": 2, "max": 1}), "min: "),
        (json!({"fact": "amount_minor", "in": ["x"]}), "in: "),
        (
            json!({"fact": "metadata", "in": ["x"], "missing": "match"}),
            "key: ",
        ),
        (
            json!({"fact": "bin", "prefix": ["41x"], "missing": "match"}),
            "prefix[0]: ",
        ),
        (
            json!({"fact": "bin", "ranges": [["5", "4"]], "missing": "match"}),
            "ranges[0]: ",
        ),
        (
            json!({"fact": "bin", "ranges": [["5", "44"]], "missing": "match"}),
            "ranges[0]: ",
        ),
        (json!({"fact": "currency", "in": []}), "in: "),
        (
            json!({"fact": "currency", "key": "x", "in": ["EUR"]}),
            "key: ",
        ),
        (json!({"fact": "currency", "within": ["EUR"]}), "within: "),
        (json!({"fact": "weather"}), "fact: "),
    ] {
        let message = when(condition);
        assert!(message.starts_with(&format!("{at}.{path}")), "{message}");
    }
    assert!(when(json!({"fact": "currency"})).starts_with(&format!("{at}: ")));
}

#[test]
fn errors_in_outcomes_name_the_path() {
    let wrong = |ruleset: Value| compiled(&ruleset).unwrap_err().message;
    let then = |then: Value| wrong(always(&then));
    let at = "profiles[0].ruleset.rules[0].then";
    for (outcome, path) in [
        (json!({"split": {"a": 0}}), "split.a: "),
        (json!({"weight": {"a": 1.5}}), "weight.a: "),
        (json!({"priority": [["a"], ["a"]]}), "priority[1][0]: "),
        (json!({"cap": [{"account": "a", "per": "day"}]}), "cap[0]: "),
        (
            json!({"cap": [{"account": "a", "per": "year", "payments": 1}]}),
            "cap[0].per: ",
        ),
        (json!({"only": []}), "only: "),
        (json!({"block": ""}), "block: "),
        (
            json!({"cheapest_within_points": -1}),
            "cheapest_within_points: ",
        ),
    ] {
        let message = then(outcome);
        assert!(message.starts_with(&format!("{at}.{path}")), "{message}");
    }
    assert!(then(json!({})).starts_with(&format!("{at}: ")));
    let twice = json!({"id": "r", "then": {"only": ["a"]}});
    let message = wrong(json!({"mode": "first_match", "rules": [twice, twice]}));
    assert!(
        message.starts_with("profiles[0].ruleset.rules[1].id: "),
        "{message}"
    );
    let doubled = config(&[("p", always(&json!({"weight": {"a": 0.5}})))]);
    let doubled = doubled.replace(r#"{"a":0.5}"#, r#"{"a":0.5,"a":0.5}"#);
    let message = Router::new(doubled.as_bytes()).unwrap_err().message;
    assert!(
        message.contains("weight") && message.contains("twice"),
        "{message}"
    );
}
