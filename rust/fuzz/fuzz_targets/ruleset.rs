//! Any text where a ruleset stands: it is compiled and decides, or is an error; never a panic.
#![no_main]
use libfuzzer_sys::fuzz_target;
use turnout_core::{Facts, Router};

fuzz_target!(|ruleset: &str| {
    let profile = format!(r#"{{"id":"p","tiers":[["a"],["b"]],"ruleset":{ruleset}}}"#);
    let config = format!(r#"{{"accounts":[{{"id":"a"}},{{"id":"b"}}],"profiles":[{profile}]}}"#);
    if let Ok(router) = Router::new(config.as_bytes()) {
        router
            .decide("p", &Facts::default(), 0, 1)
            .expect("the profile exists");
    }
});
