//! What is fuzzed: functions of any bytes that panic if a law is broken.
//!
//! `fuzz/` hands them to libFuzzer, one target each, and `tests/corpora.rs` replays the committed
//! corpora with them, so that plain `cargo test` sees every input that ever mattered. Neither the
//! fuzzer nor where inputs lie is known here.

#![forbid(unsafe_code)]

mod ioctl_on_model;
mod prepared;
mod reply;

use scenario::Scenario;

pub use ioctl_on_model::ioctl_on_model;
pub use reply::decode_request;

/// A function of any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("decode_request", decode_request),
    ("ioctl_on_model", ioctl_on_model),
    ("scenario", scenario_text),
];

/// Reads any bytes as a scenario: a text that can be read prints as one that says the same, and
/// that one prints as itself.
pub fn scenario_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(parsed) = Scenario::parse(text) else {
        return;
    };
    let printed = parsed.to_string();
    let again = Scenario::parse(&printed).expect("what was printed can be read");
    assert_eq!(again, parsed, "printed as\n{printed}");
    assert_eq!(again.to_string(), printed);
}
