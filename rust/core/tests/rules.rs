//! Rules match as a plain reading of the document says: bitmaps against a straight-line matcher.
use proptest::prelude::*;
use serde_json::{Value, json};
use turnout_core::{Code, Facts, Router};

const WORDS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const WORD_FACTS: [&str; 9] = [
    "currency",
    "method",
    "capture_method",
    "network",
    "funding",
    "channel",
    "three_ds",
    "issuer_country",
    "billing_country",
];
const KEYS: [&str; 3] = ["shop", "basket", "agent"];
const VALUES: [&str; 5] = ["", "n", "no", "north", "South"];
/// Zones without summer time and their minutes east of UTC: more than have bitmaps.
const ZONES: [(&str, i64); 6] = [
    ("UTC", 0),
    ("Asia/Tokyo", 540),
    ("Asia/Kolkata", 330),
    ("Asia/Dubai", 240),
    ("Asia/Bangkok", 420),
    ("Africa/Lagos", 60),
];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTE_NS: i64 = 60_000_000_000;

#[derive(Clone, Debug)]
enum Ask {
    Word(usize, Vec<usize>),
    Number(bool, Option<i64>, Option<i64>),
    Bin(Vec<String>, Vec<(String, String)>),
    Recurring(bool),
    Metadata(usize, Vec<usize>, Vec<usize>),
    Time(usize, Vec<usize>, Option<i64>, Option<i64>),
}

#[derive(Clone, Debug)]
struct Condition {
    ask: Ask,
    not: bool,
    missing: bool,
}

#[derive(Clone, Debug)]
struct Payment {
    words: [Option<usize>; 9],
    amount: Option<i64>,
    risk: Option<u8>,
    bin: Option<String>,
    recurring: Option<bool>,
    metadata: [Option<usize>; 3],
    now_ns: i64,
}

fn digits(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(4..6_u8, length)
        .prop_map(|digits| digits.iter().map(|d| char::from(b'0' + d)).collect())
}

fn range() -> impl Strategy<Value = (String, String)> {
    (1..9_usize).prop_flat_map(|length| {
        let number = || digits(length..length + 1);
        (number(), number()).prop_map(|(a, b)| if a <= b { (a, b) } else { (b, a) })
    })
}

fn bounds() -> impl Strategy<Value = (Option<i64>, Option<i64>)> {
    let bound = || prop_oneof![8 => 0..30_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    (proptest::option::of(bound()), proptest::option::of(bound())).prop_map(|(a, b)| {
        match (a, b) {
            (None, None) => (Some(10), None),
            (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
            one => one,
        }
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let some = |of: usize| proptest::collection::vec(0..of, 0..3);
    let bins = (
        proptest::collection::vec(digits(1..9), 0..3),
        proptest::collection::vec(range(), 0..2),
    );
    let clock = || proptest::option::of(0..1440_i64);
    prop_oneof![
        4 => (0..9_usize, proptest::collection::vec(0..4_usize, 1..4))
            .prop_map(|(fact, words)| Ask::Word(fact, words)),
        3 => (any::<bool>(), bounds()).prop_map(|(risk, (a, b))| Ask::Number(risk, a, b)),
        3 => bins.prop_map(|(mut prefix, ranges)| {
            if prefix.is_empty() && ranges.is_empty() {
                prefix.push("45".to_owned());
            }
            Ask::Bin(prefix, ranges)
        }),
        1 => any::<bool>().prop_map(Ask::Recurring),
        4 => (0..3_usize, some(5), some(5)).prop_map(|(key, mut words, prefix)| {
            // An empty beginning says nothing, so none is taken.
            let prefix: Vec<usize> = prefix.into_iter().filter(|p| *p != 0).collect();
            if words.is_empty() && prefix.is_empty() {
                words.push(3);
            }
            Ask::Metadata(key, words, prefix)
        }),
        2 => (0..ZONES.len(), some(7), clock(), clock()).prop_map(|(zone, days, from, until)| {
            let nothing = days.is_empty() && from.is_none() && until.is_none();
            let empty = from.unwrap_or(0) == until.unwrap_or(1440);
            if nothing || empty {
                return Ask::Time(zone, vec![1, 3], Some(600), Some(300));
            }
            Ask::Time(zone, days, from, until)
        }),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    (ask(), any::<bool>(), any::<bool>()).prop_map(|(ask, not, missing)| Condition {
        ask,
        not,
        missing,
    })
}

fn rules(most: usize) -> impl Strategy<Value = Vec<Vec<Condition>>> {
    proptest::collection::vec(proptest::collection::vec(condition(), 0..4), 0..most)
}

fn payment() -> impl Strategy<Value = Payment> {
    let word = || proptest::option::weighted(0.7, 0..4_usize);
    (
        proptest::array::uniform9(word()),
        proptest::option::weighted(0.8, -1..31_i64),
        proptest::option::weighted(0.8, 0..31_u8),
        proptest::option::weighted(0.9, prop_oneof![digits(1..9), digits(6..7), digits(8..9)]),
        any::<Option<bool>>(),
        proptest::array::uniform3(proptest::option::of(0..5_usize)),
        -40_000..40_000_i64,
    )
        .prop_map(
            |(words, amount, risk, bin, recurring, metadata, minutes)| Payment {
                words,
                amount,
                risk,
                bin,
                recurring,
                metadata,
                now_ns: minutes * MINUTE_NS,
            },
        )
}

fn clock(minute: i64) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl Condition {
    fn json(&self) -> Value {
        let all = |list: &[usize], of: &[&str]| -> Vec<String> {
            list.iter().map(|k| of[*k].to_owned()).collect()
        };
        let mut said = match &self.ask {
            // Case does not matter.
            Ask::Word(fact, words) => {
                let words = all(words, &["ALPHA", "Beta", "gamma", "dElta"]);
                json!({"fact": WORD_FACTS[*fact], "in": words})
            }
            Ask::Number(risk, min, max) => {
                let fact = if *risk { "risk_score" } else { "amount_minor" };
                json!({"fact": fact, "min": min, "max": max})
            }
            Ask::Bin(prefix, ranges) => {
                let mut said = json!({"fact": "bin"});
                if !prefix.is_empty() {
                    said["prefix"] = json!(prefix);
                }
                if !ranges.is_empty() {
                    said["ranges"] = json!(ranges);
                }
                said
            }
            Ask::Recurring(is) => json!({"fact": "recurring", "is": is}),
            Ask::Metadata(key, words, prefix) => {
                let mut said = json!({"fact": "metadata", "key": KEYS[*key]});
                if !words.is_empty() {
                    said["in"] = json!(all(words, &VALUES));
                }
                if !prefix.is_empty() {
                    said["prefix"] = json!(all(prefix, &VALUES));
                }
                said
            }
            Ask::Time(zone, days, from, until) => {
                let mut said = json!({"fact": "time", "zone": ZONES[*zone].0});
                if !days.is_empty() {
                    said["days"] = json!(all(days, &DAYS));
                }
                for (name, at) in [("from", from), ("until", until)] {
                    if let Some(at) = at {
                        said[name] = json!(clock(*at));
                    }
                }
                said
            }
        };
        said["not"] = json!(self.not);
        if !matches!(self.ask, Ask::Time(..)) {
            said["missing"] = json!(if self.missing { "match" } else { "no_match" });
        }
        said
    }

    fn holds(&self, payment: &Payment) -> bool {
        let known: Option<bool> = match &self.ask {
            Ask::Word(fact, words) => payment.words[*fact].map(|word| words.contains(&word)),
            Ask::Number(risk, min, max) => {
                let value = if *risk {
                    payment.risk.map(i64::from)
                } else {
                    payment.amount
                };
                value.map(|v| min.is_none_or(|min| v >= min) && max.is_none_or(|max| v <= max))
            }
            Ask::Bin(prefix, ranges) => payment.bin.as_ref().map(|bin| {
                prefix.iter().any(|p| bin.starts_with(p.as_str()))
                    || ranges.iter().any(|(first, last)| {
                        let lead = bin.get(..first.len());
                        lead.is_some_and(|lead| (first.as_str()..=last).contains(&lead))
                    })
            }),
            Ask::Recurring(is) => payment.recurring.map(|recurring| recurring == *is),
            Ask::Metadata(key, words, prefix) => payment.metadata[*key].map(|value| {
                words.contains(&value)
                    || prefix.iter().any(|p| VALUES[value].starts_with(VALUES[*p]))
            }),
            Ask::Time(zone, days, from, until) => {
                let local = payment.now_ns.div_euclid(MINUTE_NS) + ZONES[*zone].1;
                let (from, until) = (from.unwrap_or(0), until.unwrap_or(1440));
                // By the calendar, day for day: does a window that began then hold now?
                let begins = [local.div_euclid(1440), local.div_euclid(1440) - 1];
                let length = if from < until {
                    until - from
                } else {
                    until + 1440 - from
                };
                Some(begins.iter().any(|day| {
                    let weekday = (day + 3).rem_euclid(7) as usize;
                    let begin = day * 1440 + from;
                    (days.is_empty() || days.contains(&weekday))
                        && (begin..begin + length).contains(&local)
                }))
            }
        };
        known.map_or(self.missing, |known| known != self.not)
    }
}

fn router(mode: &str, rules: &[Vec<Condition>]) -> Router {
    let rules: Vec<Value> = (0..)
        .zip(rules)
        .map(|(at, conditions): (usize, _)| {
            let when: Vec<Value> = conditions.iter().map(Condition::json).collect();
            json!({"id": format!("r{at}"), "when": when, "then": {"require_three_ds": true}})
        })
        .collect();
    with_ruleset(&json!({"mode": mode, "rules": rules})).unwrap()
}

fn with_ruleset(ruleset: &Value) -> Result<Router, turnout_core::Error> {
    let config = json!({
        "accounts": [{"id": "acc_0"}],
        "profiles": [{"id": "p", "tiers": [["acc_0"]], "ruleset": ruleset}],
    });
    Router::new(config.to_string().as_bytes())
}

fn matched(router: &Router, payment: &Payment) -> Vec<usize> {
    let word = |fact: usize| payment.words[fact].map(|word| WORDS[word]);
    let metadata = KEYS.iter().zip(payment.metadata);
    let facts = Facts {
        amount_minor: payment.amount,
        currency: word(0),
        method: word(1),
        capture_method: word(2),
        network: word(3),
        funding: word(4),
        channel: word(5),
        three_ds: word(6),
        issuer_country: word(7),
        billing_country: word(8),
        bin: payment.bin.as_deref(),
        recurring: payment.recurring,
        risk_score: payment.risk,
        metadata: metadata
            .filter_map(|(key, value)| Some((*key, VALUES[value?])))
            .collect(),
        ..Facts::default()
    };
    let decision = router.decide("p", &facts, payment.now_ns, 1).unwrap();
    let matched: Vec<usize> = decision
        .matched_rules()
        .map(|id| id[1..].parse().unwrap())
        .collect();
    assert_eq!(decision.require_three_ds, !matched.is_empty());
    assert_eq!(
        router.replay(&decision.record()).unwrap().record(),
        decision.record()
    );
    matched
}

fn expected(rules: &[Vec<Condition>], payment: &Payment) -> Vec<usize> {
    let holds = |rule: &usize| {
        rules[*rule]
            .iter()
            .all(|condition| condition.holds(payment))
    };
    (0..rules.len()).filter(holds).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bitmaps_match_as_the_document_reads(
        rules in rules(80),
        payments in proptest::collection::vec(payment(), 1..8),
    ) {
        let all = router("accumulate", &rules);
        let first = router("first_match", &rules);
        for payment in &payments {
            let expected = expected(&rules, payment);
            prop_assert_eq!(&matched(&all, payment), &expected);
            let one: Vec<usize> = expected.into_iter().take(1).collect();
            prop_assert_eq!(matched(&first, payment), one);
        }
    }

    /// Whatever bytes come in, the answer is a router or an error that names a place.
    #[test]
    fn mutated_documents_never_panic(
        rules in rules(4),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6,
        ),
    ) {
        let rules: Vec<Value> = rules
            .iter()
            .map(|c| json!({"id": "r", "when": c.iter().map(Condition::json).collect::<Vec<_>>(),
                "then": {"only": ["acc_0"], "split": {"acc_0": 7}, "weight": {"acc_0": 0.25},
                    "priority": [["acc_0"]], "exclude": ["acc_1"], "cheapest_within_points": 1.5,
                    "cap": [{"account": "acc_0", "payments": 5, "per": "day"}],
                    "commit": [{"account": "acc_0", "payments": 9, "per": "month",
                        "within_points": 1.0}], "block": "no", "require_three_ds": false}}))
            .collect();
        let ruleset = json!({"mode": "accumulate", "rules": rules, "otherwise": {"block": "x"}});
        let config = json!({"accounts": [{"id": "acc_0"}],
            "profiles": [{"id": "p", "tiers": [["acc_0"]], "ruleset": ruleset}]});
        let mut bytes = config.to_string().into_bytes();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\"[]{}:,0-"[byte as usize % 9]),
            }
        }
        if let Err(error) = Router::new(&bytes) {
            prop_assert_eq!(error.code, Code::InvalidConfig);
            let path = error.message.split_once(": ").map(|(path, _)| path);
            prop_assert!(path.is_some_and(|path| !path.is_empty()), "{}", error.message);
        }
    }
}

/// Enough ranges that their bitmaps are shared between neighbours and rules checked one by one.
#[test]
fn thousands_of_rules_match_exactly() {
    let mut draw = 7_u64;
    let mut next = |below: u64| {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        draw % below
    };
    let mut rules = Vec::new();
    for at in 0..6_000 {
        let (a, b) = (next(1_000_000) as i64, next(1_000_000) as i64);
        let bin = |number: u64| format!("{number:08}");
        let (first, last) = (next(100_000_000), next(100_000_000));
        let ranges = vec![(bin(first.min(last)), bin(first.max(last)))];
        let ask = match at % 6 {
            0 => Ask::Bin(vec![], ranges),
            1 => Ask::Word(next(9) as usize, vec![next(4) as usize]),
            2 => Ask::Metadata(next(3) as usize, vec![next(5) as usize], vec![]),
            _ => Ask::Number(false, Some(a.min(b)), Some(a.max(b))),
        };
        rules.push(vec![Condition {
            ask,
            not: next(4) == 0,
            missing: next(2) == 0,
        }]);
    }
    let router = router("accumulate", &rules);
    for _ in 0..40 {
        let payment = Payment {
            words: [(); 9].map(|()| (next(4) > 0).then(|| next(4) as usize)),
            amount: (next(20) > 0).then(|| next(1_000_000) as i64),
            risk: None,
            bin: (next(20) > 0).then(|| format!("{:08}", next(100_000_000))),
            recurring: None,
            metadata: [(); 3].map(|()| (next(2) > 0).then(|| next(5) as usize)),
            now_ns: 0,
        };
        assert_eq!(matched(&router, &payment), expected(&rules, &payment));
    }
}
