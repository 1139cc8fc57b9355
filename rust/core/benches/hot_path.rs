//! What a payment costs in the core: medians and 99th percentiles of single calls.
//!
//!     cargo bench -p turnout-core            a table
//!     JSON=1 cargo bench -p turnout-core     and a JSON line for each figure
//!
//! Its own harness, because a statistics-driven one tells means of batches, and a payment meets
//! the slow call, not the mean. The clock's own cost (some 20 ns) is in every figure.
use std::hint::black_box;
use std::time::Instant;

use turnout_core::{Facts, Outcome, Router};

const NETWORKS: [&str; 4] = ["visa", "mastercard", "amex", "unionpay"];
const COUNTRIES: [&str; 8] = ["GB", "US", "DE", "FR", "HK", "SG", "BR", "IN"];

struct World {
    router: Router,
    ids: Vec<String>,
    bins: Vec<String>,
    now_ns: i64,
    draw: u64,
}

impl World {
    fn new(accounts: usize) -> Self {
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
            "objective":{{"kind":"value"}}}}]}}"#,
            described.join(",")
        );
        Self {
            router: Router::new(json.as_bytes()).expect("the configuration is valid"),
            ids,
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

    /// Nanoseconds of each decision and of each outcome learnt.
    fn run(&mut self, rounds: usize) -> (Vec<u64>, Vec<u64>) {
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

fn percentile(sorted: &[u64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 * 1e-3
}

fn tell(name: &str, value: f64, goal: Option<f64>) {
    let (goal, met) = match goal {
        Some(most) => (format!("\"<= {most}\""), (value <= most).to_string()),
        None => ("null".to_owned(), "null".to_owned()),
    };
    println!("{name:36} {value:8.2} us   {goal:8} {met}");
    if std::env::var("JSON").as_deref() == Ok("1") {
        let figure = format!(r#""name":"{name}","value":{value:.3},"unit":"us","goal":{goal}"#);
        println!(r#"{{{figure},"met":{met},"how":"cargo bench -p turnout-core"}}"#);
    }
}

fn main() {
    for accounts in [2, 10, 50, 200] {
        let mut world = World::new(accounts);
        world.run(20_000);
        let (mut decided, mut learnt) = world.run(100_000);
        decided.sort_unstable();
        learnt.sort_unstable();
        let goal = |most| (accounts == 10).then_some(most);
        let name = |what: &str| format!("core.{what}.accounts_{accounts}");
        tell(&name("decide_p50"), percentile(&decided, 0.5), goal(5.0));
        tell(&name("decide_p99"), percentile(&decided, 0.99), goal(20.0));
        tell(&name("finish_p50"), percentile(&learnt, 0.5), goal(2.0));
        tell(&name("finish_p99"), percentile(&learnt, 0.99), None);
        let bytes = world.router.segment_bytes() as f64 / world.router.segment_count() as f64;
        println!("{:36} {bytes:8.0} bytes", name("segment"));
    }
}
