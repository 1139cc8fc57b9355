//! The router as its callers meet it: calls that begin and finish, illness and recovery, reload.
use std::sync::Arc;

use turnout_core::{
    Code, Decision, Facts, Gate, Outcome, Permit, Phase, Refusal, Router, Snapshot,
};

const S: i64 = 1_000_000_000;
const TWO: &str = r#"{"accounts": [{"id": "a", "max_in_flight": 3}, {"id": "b"}],
    "profiles": [{"id": "p", "tiers": [["a"], ["b"]]}]}"#;

fn facts() -> Facts<'static> {
    Facts {
        amount_minor: Some(1000),
        currency: Some("EUR"),
        network: Some("visa"),
        issuer_country: Some("DE"),
        bin: Some("400000"),
        ..Facts::default()
    }
}

fn first(decision: &Decision) -> &str {
    decision.account_id(decision.ranked[0].account)
}

fn decide(router: &Router, now_ns: i64) -> Decision {
    router.decide("p", &facts(), now_ns, 1).unwrap()
}

fn begin(router: &mut Router, id: &str, now_ns: i64) -> Result<Permit, Refusal> {
    let decision = decide(router, now_ns);
    router.begin(id, Some(&decision), false, now_ns)
}

fn call(router: &mut Router, id: &str, outcome: Outcome, now_ns: i64) {
    let permit = begin(router, id, now_ns).unwrap();
    router.finish(&permit, outcome, 200.0, now_ns).unwrap();
}

fn phase(router: &Router, id: &str, now_ns: i64) -> Phase {
    let all = router.health(now_ns);
    all.iter()
        .find(|h| h.account_id == id)
        .unwrap()
        .breaker
        .phase
}

#[test]
fn an_outage_is_left_probed_and_forgiven() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for _ in 0..4 {
        assert_eq!(first(&decide(&router, 0)), "a");
        call(&mut router, "a", Outcome::TechnicalError, 0);
    }
    assert_eq!(phase(&router, "a", 0), Phase::Open);
    assert_eq!(first(&decide(&router, 0)), "b");
    let refused = begin(&mut router, "a", S).unwrap_err();
    assert!(matches!(refused, Refusal::BreakerOpen { retry_in_s, .. } if retry_in_s == 4.0));

    // Half-open: one probe at a time, and the payment that brings it is ranked to it.
    let probed = decide(&router, 6 * S);
    assert_eq!((first(&probed), probed.ranked[0].gate), ("a", Gate::Probe));
    let probe = router.begin("a", Some(&probed), false, 6 * S).unwrap();
    assert!(probe.probe);
    assert_eq!(first(&decide(&router, 6 * S)), "b");
    assert_eq!(
        begin(&mut router, "a", 6 * S).unwrap_err(),
        Refusal::ProbesBusy
    );
    router
        .finish(&probe, Outcome::IssuerDeclinedSoft, 200.0, 6 * S)
        .unwrap();
    assert_eq!(phase(&router, "a", 6 * S), Phase::HalfOpen);
    call(&mut router, "a", Outcome::Approved, 7 * S);
    assert_eq!(phase(&router, "a", 7 * S), Phase::Closed);
    assert_eq!(first(&decide(&router, 7 * S)), "a");
}

#[test]
fn issuers_declines_never_open_a_breaker() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for k in 0..500 {
        let kinds = [Outcome::IssuerDeclinedSoft, Outcome::IssuerDeclinedHard];
        call(&mut router, "a", kinds[k % 2], k as i64 * S);
    }
    assert_eq!(phase(&router, "a", 500 * S), Phase::Closed);
    let health = &router.health(500 * S)[0];
    assert!(health.failure_rate < 0.005 && health.approval < 0.1);
}

#[test]
fn open_calls_that_hang_open_the_breaker_before_their_timeout() {
    let json = TWO.replace("\"max_in_flight\": 3", "\"max_in_flight\": 0");
    let mut router = Router::new(json.as_bytes()).unwrap();
    let permits: Vec<Permit> = (0..4)
        .map(|_| begin(&mut router, "a", 0).unwrap())
        .collect();
    assert_eq!(first(&decide(&router, 4 * S)), "a");
    assert_eq!(first(&decide(&router, 6 * S)), "b");
    assert!(begin(&mut router, "a", 6 * S).is_err());
    for permit in &permits {
        router
            .finish(permit, Outcome::Timeout, 10_000.0, 10 * S)
            .unwrap();
    }
    assert_eq!(router.health(10 * S)[0].in_flight, 0);
}

#[test]
fn the_cap_refuses_and_ranks_last_but_required_calls_pass() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    let permits: Vec<Permit> = (0..3)
        .map(|_| begin(&mut router, "a", 0).unwrap())
        .collect();
    assert_eq!(begin(&mut router, "a", 0).unwrap_err(), Refusal::AtCapacity);
    assert_eq!(first(&decide(&router, 0)), "b");
    let capture = router.begin("a", None, true, 0).unwrap();
    assert_eq!(router.health(0)[0].in_flight, 4);
    for permit in permits.iter().chain([&capture]) {
        router.finish(permit, Outcome::Abandoned, 1.0, 0).unwrap();
    }
    assert_eq!(first(&decide(&router, 0)), "a");
    let again = router
        .finish(&capture, Outcome::Approved, 1.0, 0)
        .unwrap_err();
    assert_eq!(again.code, Code::UnknownPermit);
}

#[test]
fn a_rate_limit_ranks_last_refuses_and_says_when() {
    let json = TWO.replace(
        "\"max_in_flight\": 3",
        "\"rate_limit\": {\"per_s\": 2, \"burst\": 3}",
    );
    let mut router = Router::new(json.as_bytes()).unwrap();
    for _ in 0..3 {
        call(&mut router, "a", Outcome::Approved, 0);
    }
    let limited = decide(&router, 0);
    assert_eq!(first(&limited), "b");
    assert_eq!(limited.ranked[1].gate, Gate::RateLimited);
    let refused = begin(&mut router, "a", 0).unwrap_err();
    assert_eq!(refused, Refusal::RateLimited { retry_in_s: 0.5 });
    assert!(router.begin("a", None, true, 0).is_ok());
    assert_eq!(first(&decide(&router, 2 * S)), "a");
}

#[test]
fn an_adaptive_cap_follows_how_the_load_is_borne() {
    let json = TWO.replace("\"max_in_flight\": 3", "\"adaptive_in_flight\": true");
    let mut router = Router::new(json.as_bytes()).unwrap();
    let cap = |router: &Router, now_ns| router.health(now_ns)[0].max_in_flight;
    let before = cap(&router, 0);
    call(&mut router, "a", Outcome::Approved, 0);
    for k in 1..3 {
        let permit = begin(&mut router, "a", k * S).unwrap();
        router
            .finish(&permit, Outcome::Approved, 4_000.0, (k + 4) * S)
            .unwrap();
    }
    assert!(cap(&router, 9 * S) < before);
}

#[test]
fn a_second_attempt_teaches_about_both_accounts() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for k in 0..100 {
        let decision = decide(&router, k * S);
        for (id, outcome) in [("a", Outcome::IssuerDeclinedSoft), ("b", Outcome::Approved)] {
            let permit = router.begin(id, Some(&decision), false, k * S).unwrap();
            router.finish(&permit, outcome, 200.0, k * S).unwrap();
        }
    }
    let ranked = decide(&router, 100 * S).ranked;
    assert!(ranked[1].approval - ranked[0].approval > 0.3, "{ranked:?}");
    assert!(ranked[0].approval_sd > 0.0);
}

#[test]
fn a_second_decline_says_less_than_a_first_one() {
    let learnt = |as_cascades: bool| {
        let mut router = Router::new(TWO.as_bytes()).unwrap();
        for k in 0..20 {
            let mut decision = decide(&router, k * S);
            for id in ["a", "b"] {
                let permit = router.begin(id, Some(&decision), false, k * S).unwrap();
                router
                    .finish(&permit, Outcome::IssuerDeclinedSoft, 200.0, k * S)
                    .unwrap();
                if !as_cascades {
                    decision = decide(&router, k * S);
                }
            }
        }
        decide(&router, 20 * S).ranked[1].approval
    };
    let (cascades, payments) = (learnt(true), learnt(false));
    assert!(cascades - payments > 0.02, "{cascades} {payments}");
}

#[test]
fn when_all_are_ill_the_least_ill_serves_and_may_be_called() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for _ in 0..4 {
        call(&mut router, "a", Outcome::TechnicalError, 0);
    }
    for _ in 0..20 {
        call(&mut router, "b", Outcome::Approved, 0);
    }
    for _ in 0..4 {
        call(&mut router, "b", Outcome::Timeout, 0);
    }
    let decision = decide(&router, S);
    assert!(decision.degraded);
    assert_eq!(first(&decision), "b");
    assert!(router.begin("b", None, false, S).is_err());
    assert!(router.begin("b", Some(&decision), false, S).is_ok());
}

#[test]
fn a_lost_permit_does_not_hold_its_place_for_ever() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    let lost: Vec<Permit> = (0..3)
        .map(|_| begin(&mut router, "a", 0).unwrap())
        .collect();
    assert_eq!(begin(&mut router, "a", S).unwrap_err(), Refusal::AtCapacity);
    assert!(router.begin("a", None, true, 700 * S).is_ok());
    assert_eq!(router.health(700 * S)[0].in_flight, 1);
    // Its outcome still counts when it comes after all.
    router
        .finish(&lost[0], Outcome::Approved, 9.0, 701 * S)
        .unwrap();
    assert!(router.health(701 * S)[0].answers > 0.9);
}

#[test]
fn a_reload_keeps_those_that_stay_and_forgets_those_that_go() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for _ in 0..4 {
        call(&mut router, "a", Outcome::TechnicalError, 0);
    }
    call(&mut router, "b", Outcome::Approved, 0);
    let open = begin(&mut router, "b", 0).unwrap();
    let without_b = TWO.replace("\"b\"", "\"c\"");
    let install = |router: &mut Router, json: &str| {
        router.install(Arc::new(Snapshot::compile(json.as_bytes()).unwrap()));
    };
    install(&mut router, &without_b);
    assert_eq!(phase(&router, "a", 0), Phase::Open);
    // c took b's place in memory, but none of its past, nor its open call.
    assert_eq!(
        (router.health(0)[1].answers, router.health(0)[1].in_flight),
        (0.0, 0)
    );
    router
        .finish(&open, Outcome::TechnicalError, 5.0, 0)
        .unwrap();
    assert_eq!(router.health(0)[1].failure_rate, 0.005);
    assert_eq!(
        router.begin("b", None, true, 0).unwrap_err(),
        Refusal::UnknownAccount
    );
    install(&mut router, TWO);
    assert_eq!(phase(&router, "a", 0), Phase::Open);
}

#[test]
fn a_restart_is_not_a_cold_start() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for _ in 0..4 {
        call(&mut router, "a", Outcome::TechnicalError, 100 * S);
    }
    call(&mut router, "b", Outcome::IssuerDeclinedSoft, 100 * S);
    let _open = begin(&mut router, "b", 100 * S).unwrap();
    let saved = router.save();

    let mut again = Router::new(TWO.as_bytes()).unwrap();
    again.restore(&saved, 103 * S).unwrap();
    assert_eq!(again.health(103 * S), router.health(103 * S));
    assert_eq!(phase(&again, "a", 103 * S), Phase::Open);
    assert_eq!(phase(&again, "a", 106 * S), Phase::HalfOpen);
    // Calls of the dead process hold their place for a while, and accuse nobody.
    assert_eq!(again.health(120 * S)[1].overdue, 0);

    let mut other = Router::new(TWO.replace("\"a\"", "\"z\"").as_bytes()).unwrap();
    other.restore(&saved, 103 * S).unwrap();
    assert_eq!(phase(&other, "z", 103 * S), Phase::Closed);
    assert!(other.health(103 * S)[1].answers > 0.9);
}

#[test]
fn restoring_again_and_again_does_not_multiply_open_calls() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    let _open = begin(&mut router, "b", 0).unwrap();
    for _ in 0..20 {
        let saved = router.save();
        router.restore(&saved, S).unwrap();
        assert!(router.health(S)[1].in_flight <= 2);
    }
}

#[test]
fn an_account_that_answers_too_slowly_is_left() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    for _ in 0..4 {
        let permit = router.begin("a", None, true, 0).unwrap();
        router
            .finish(&permit, Outcome::Approved, 9_000.0, S)
            .unwrap();
    }
    let breaker = router.health(S)[0].breaker;
    assert_eq!(
        (breaker.phase, breaker.reason.as_str()),
        (Phase::Open, "slowness")
    );
    assert_eq!(first(&decide(&router, S)), "b");
}

#[test]
fn rates_and_adaptive_caps_survive_a_restart() {
    let json = r#"{"accounts": [
        {"id": "a", "rate_limit": {"per_s": 1, "burst": 2}},
        {"id": "b", "adaptive_in_flight": true}], "profiles": []}"#;
    let mut router = Router::new(json.as_bytes()).unwrap();
    for _ in 0..2 {
        let permit = router.begin("a", None, false, 0).unwrap();
        router.finish(&permit, Outcome::Approved, 100.0, 0).unwrap();
    }
    let permit = router.begin("b", None, false, 0).unwrap();
    router
        .finish(&permit, Outcome::TechnicalError, 100.0, 0)
        .unwrap();
    let cap = router.health(0)[1].max_in_flight;
    assert!(cap < 32);
    let mut again = Router::new(json.as_bytes()).unwrap();
    again.restore(&router.save(), S / 2).unwrap();
    assert_eq!(again.health(0)[1].max_in_flight, cap);
    let refused = again.begin("a", None, false, S / 2).unwrap_err();
    assert!(
        matches!(refused, Refusal::RateLimited { .. }),
        "{refused:?}"
    );
    assert!(again.begin("a", None, false, 2 * S).is_ok());
}

#[test]
fn a_damaged_state_changes_nothing() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    call(&mut router, "a", Outcome::Approved, 0);
    let (saved, before) = (router.save(), router.health(S));
    for at in 0..saved.len() {
        let mut bad = saved.clone();
        bad[at] ^= 0x40;
        assert_eq!(
            router.restore(&bad, 0).unwrap_err().code,
            Code::CorruptState
        );
        assert!(router.restore(&saved[..at], 0).is_err());
    }
    assert_eq!((router.health(S), router.save()), (before, saved));
}

#[test]
fn late_answers_are_learnt_from_the_record() {
    let mut router = Router::new(TWO.as_bytes()).unwrap();
    let decision = decide(&router, 0);
    let permit = router.begin("a", Some(&decision), false, 0).unwrap();
    router
        .finish(&permit, Outcome::Timeout, 10_000.0, 10 * S)
        .unwrap();
    let before = router.health(60 * S)[0].clone();
    router
        .observe("a", &decision.record(), Outcome::Approved, 60 * S)
        .unwrap();
    let after = router.health(60 * S)[0].clone();
    assert!(after.approval > before.approval && after.answers > 0.99);
    assert_eq!(after.failure_rate, before.failure_rate);
    let gone = router.observe("x", &decision.record(), Outcome::Approved, 60 * S);
    assert_eq!(gone.unwrap_err().code, Code::UnknownAccount);
    assert!(
        router
            .observe("a", b"nonsense", Outcome::Approved, 60 * S)
            .is_err()
    );
}

#[test]
fn a_record_of_another_configuration_is_refused() {
    let router = Router::new(TWO.as_bytes()).unwrap();
    let other = Router::new(TWO.replace('3', "4").as_bytes()).unwrap();
    let record = decide(&router, 0).record();
    assert_eq!(other.replay(&record).unwrap_err().code, Code::OtherSnapshot);
    let unknown = router.decide("q", &facts(), 0, 1).unwrap_err();
    assert_eq!(unknown.code, Code::UnknownProfile);
}
