//! `xsame dupes` and `xsame same` on real filesystems where things go wrong: killed and asked to
//! end at any moment, with others writing beside them, among files of all kinds, as any user, on
//! any filesystem. No byte of any file may change, and what is reported must be so.
//!
//! Needs root, a loop device and mkfs.btrfs; without them every test is reported as ignored with
//! the reason, and so is one that needs a program that is not there.
//!
//! `XSAME_KILLS` says how often a run is killed, `XSAME_STOPS` how often it is asked to end,
//! `XSAME_WRITERS_MS` how long others write beside it, `XSAME_REPLAYS` how many trees of the model
//! are tried, `XSAME_SEED` which; the defaults keep `cargo test` short.

mod asked;
mod beside;
mod elsewhere;
mod extent_same;
mod killed;
mod kinds;
#[path = "../loopback/mod.rs"]
mod loopback;
mod replay;
mod running;
#[path = "../seen/mod.rs"]
mod seen;
mod tree;
mod users;

/// A test: its name, a sentence; what it does; the programs that it needs beside `btrfs`.
pub(crate) type Test = (&'static str, fn(), &'static [&'static str]);

fn main() {
    let tests = [
        killed::TESTS,
        asked::TESTS,
        beside::TESTS,
        kinds::TESTS,
        users::TESTS,
        elsewhere::TESTS,
        extent_same::TESTS,
        replay::TESTS,
    ]
    .concat();
    loopback::run(tests.into_iter().map(|(name, test, programs)| {
        let missing = programs.iter().find(|program| !running::is_there(program));
        let missing = missing.map(|program| format!("no program {program} in the path"));
        (name, test, missing)
    }));
}
