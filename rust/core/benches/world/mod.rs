//! The payments, accounts and rules that both benches measure with.
use std::hint::black_box;
use std::time::Instant;

use turnout_core::{Facts, Outcome, Router};

/// How many accounts and rules are measured.
pub const ACCOUNTS: [usize; 4] = [2, 10, 50, 200];
pub const RULES: [usize; 5] = [0, 10, 100, 1_000, 10_000];
/// Payments before those that count.
pub const WARM: usize = 20_000;

const NETWORKS: [&str; 4] = ["visa", "mastercard", "amex", "unionpay"];
const COUNTRIES: [&str; 8] = ["GB", "US", "DE", "FR", "HK", "SG", "BR", "IN"];

/// Rules as merchants write them: country, amount, BIN, shop and hours, mixed.
pub fn ruleset(rules: usize) -> String {
    let mut draw = 99_u64;
    let mut next = |below: u64| {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        draw % below
    };
    let mut list = Vec::new();
    for at in 0..rules {
        let (low, bin) = (next(90_000), 400_000 + next(768));
        let (country, shop) = (COUNTRIES[next(8) as usize], next(400));
        let mut when = vec![format!(
            r#"{{"fact":"issuer_country","in":["{country}"],"missing":"no_match"}},
            {{"fact":"amount_minor","min":{low},"max":{}}}"#,
            low + 2_000
        )];
        match next(3) {
            0 => when.push(format!(
                r#"{{"fact":"bin","prefix":["{bin}"],"missing":"no_match"}}"#
            )),
            1 => when.push(format!(
                r#"{{"fact":"metadata","key":"shop","in":["shop_{shop}"],"missing":"no_match"}}"#
            )),
            _ => when.push(format!(
                r#"{{"fact":"time","zone":"Europe/Berlin","from":"{:02}:30"}}"#,
                next(24)
            )),
        }
        list.push(format!(
            r#"{{"id":"r{at}","when":[{}],"then":{{"priority":[["acc_001"],["acc_000"]]}}}}"#,
            when.join(",")
        ));
    }
    format!(
        r#","ruleset":{{"mode":"first_match","rules":[{}]}}"#,
        list.join(",")
    )
}

pub struct World {
    pub router: Router,
    ids: Vec<String>,
    bins: Vec<String>,
    shops: Vec<String>,
    now_ns: i64,
    draw: u64,
}

impl World {
    pub fn new(accounts: usize, ruleset: &str) -> Self {
        let ids: Vec<String> = (0..accounts).map(|k| format!("acc_{k:03}")).collect();
        let described: Vec<String> = ids
            .iter()
            .map(|id| {
                format!(
                    r#"{{"id":"{id}","fees":{{"bps":80,"fixed_minor":10,"cross_border_bps":60,
                    "home_country":"GB"}}}}"#
                )
            })
            .collect();
        let json = format!(
            r#"{{"accounts":[{}],"profiles":[{{"id":"p","tiers":[{ids:?}],
            "objective":{{"kind":"value"}}{ruleset}}}]}}"#,
            described.join(",")
        );
        Self {
            router: Router::new(json.as_bytes()).expect("the configuration is valid"),
            ids,
            shops: (0..400).map(|k| format!("shop_{k}")).collect(),
            bins: (0..768).map(|k| format!("{:06}", 400_000 + k)).collect(),
            now_ns: 0,
            draw: 1,
        }
    }

    fn next(&mut self) -> u64 {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        self.draw
    }

    /// Nanoseconds of each decision and of each outcome learnt; `told` payments have metadata.
    pub fn run(&mut self, rounds: usize, told: bool) -> (Vec<u64>, Vec<u64>) {
        let (mut decided, mut learnt) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (a, b) = (self.next() as usize, self.next());
            self.now_ns += 1_000_000;
            let facts = Facts {
                amount_minor: Some((a % 100_000) as i64),
                currency: Some("EUR"),
                method: Some("card"),
                network: Some(NETWORKS[a % 4]),
                funding: Some("credit"),
                bin: Some(&self.bins[a % 768]),
                issuer_country: Some(COUNTRIES[a / 4 % 8]),
                metadata: match told {
                    true => vec![("shop", self.shops[a / 32 % 400].as_str()), ("order", "1")],
                    false => Vec::new(),
                },
                ..Facts::default()
            };
            let begun = Instant::now();
            let decision = self.router.decide("p", &facts, self.now_ns, b);
            let decision = black_box(decision).expect("the profile exists");
            decided.push(begun.elapsed().as_nanos() as u64);
            let id = &self.ids[decision.ranked[0].account as usize];
            let permit = self.router.begin(id, Some(&decision), true, self.now_ns);
            let permit = permit.expect("a required call is not refused");
            let outcome = if b % 100 < 87 {
                Outcome::Approved
            } else {
                Outcome::IssuerDeclinedSoft
            };
            let begun = Instant::now();
            let done = self.router.finish(&permit, outcome, 300.0, self.now_ns);
            black_box(done).expect("it is finished once");
            learnt.push(begun.elapsed().as_nanos() as u64);
        }
        (decided, learnt)
    }
}
