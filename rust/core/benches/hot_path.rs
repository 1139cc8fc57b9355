//! The slow calls, and the bytes: 99th percentiles of single calls beside their medians.
//!
//!     cargo bench -p turnout-core --bench hot_path            a table
//!     JSON=1 cargo bench -p turnout-core --bench hot_path     and a JSON line for each figure
//!
//! Its own harness, because criterion (`medians`) tells means of batches, and a payment meets the
//! slow call, not the mean. The clock's own cost (some 20 ns) is in every figure.
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use world::{ACCOUNTS, RULES, WARM, World, ruleset};

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
        println!(r#"{{{figure},"met":{met},"how":"cargo bench --bench hot_path"}}"#);
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
    for accounts in ACCOUNTS {
        let mut world = World::new(accounts, "");
        world.run(WARM, false);
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
    for rules in RULES {
        let ruleset = ruleset(rules);
        let (mut world, bytes, compiled_us) = built(&ruleset);
        let bytes = bytes.saturating_sub(without);
        world.run(WARM, true);
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
