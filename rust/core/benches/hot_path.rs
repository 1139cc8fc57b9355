//! What a payment costs in the core: medians and 99th percentiles of single calls.
//!
//!     cargo bench -p turnout-core            a table
//!     JSON=1 cargo bench -p turnout-core     and a JSON line for each figure
//!
//! Its own harness, because a statistics-driven one tells means of batches, and a payment meets
//! the slow call, not the mean. The clock's own cost (some 20 ns) is in every figure.
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use turnout_core::{Facts, Outcome, Router};

const NETWORKS: [&str; 4] = ["visa", "mastercard", "amex", "unionpay"];
const COUNTRIES: [&str; 8] = ["GB", "US", "DE", "FR", "HK", "SG", "BR", "IN"];

/// Counts the bytes in use, so that what a rule takes is measured and not reckoned.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rules as merchants write them: country, amount, BIN, shop and hours, mixed.
fn ruleset(rules: usize) -> String {
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

struct World {
    router: Router,
    ids: Vec<String>,
    bins: Vec<String>,
    shops: Vec<String>,
    now_ns: i64,
    draw: u64,
}

impl World {
    fn new(accounts: usize, ruleset: &str) -> Self {
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
    fn run(&mut self, rounds: usize, told: bool) -> (Vec<u64>, Vec<u64>) {
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

/// Ten accounts with a ruleset, the bytes that they take and the microseconds it took.
fn built(ruleset: &str) -> (World, usize, f64) {
    let before = IN_USE.load(Ordering::Relaxed);
    let begun = Instant::now();
    let world = World::new(10, ruleset);
    let compiled_us = begun.elapsed().as_nanos() as f64 * 1e-3;
    (world, IN_USE.load(Ordering::Relaxed) - before, compiled_us)
}

fn main() {
    for accounts in [2, 10, 50, 200] {
        let mut world = World::new(accounts, "");
        world.run(20_000, false);
        let (mut decided, mut learnt) = world.run(100_000, false);
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
    let (_, without, _) = built(&ruleset(0));
    let mut few = 0.0;
    for rules in [0, 10, 100, 1_000, 10_000] {
        let ruleset = ruleset(rules);
        let (mut world, bytes, compiled_us) = built(&ruleset);
        let bytes = bytes.saturating_sub(without);
        world.run(20_000, true);
        let mut decided = world.run(100_000, true).0;
        decided.sort_unstable();
        let (p50, p99) = (percentile(&decided, 0.5), percentile(&decided, 0.99));
        if rules == 10 {
            few = p50;
        }
        // A hundred rules meet the same goals as none, and 10,000 take at most twice what 10 do.
        let hundred = |most| (rules == 100).then_some(most);
        let most = if rules == 10_000 {
            Some(2.0 * few)
        } else {
            hundred(5.0)
        };
        let name = |what: &str| format!("core.{what}.rules_{rules}");
        tell(&name("decide_p50"), p50, most);
        tell(&name("decide_p99"), p99, hundred(20.0));
        tell(&name("compile"), compiled_us, None);
        if rules > 0 {
            println!(
                "{:36} {:8.0} bytes",
                name("rule"),
                bytes as f64 / rules as f64
            );
        }
    }
}
