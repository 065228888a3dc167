//! How the time of `xsame dupes` grows with what is there twice: a quarter, half and all of a
//! million equal blocks, and of 200 copies of one file.
//!
//! Quadratic time with many equals is what users of such tools meet most. What is compared is
//! time with half as much: processors' seconds, for those are ours alone. No data is in the page
//! cache when a run begins: else a part would be there, and all of it not.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::filesystem::Scratch as Filesystem;
use super::measure::{Usage, usage};
use super::tools::xsame;
use crate::command::output;

/// Twice as much may take so many times as long: were it quadratic, it would be four.
const TIMES_MAX: f64 = 3.0;
/// Seconds that are not compared: what a start takes, and what a clock tells apart.
const SHORT_S: f64 = 0.05;
const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;

/// What there is much of.
struct Kind {
    name: &'static str,
    /// How many in all.
    nr: u64,
    /// Bytes of one.
    bytes: u64,
    write: fn(&Path, u64) -> std::io::Result<()>,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "equal blocks",
        nr: 1_000_000,
        bytes: BLOCK,
        write: equal_blocks,
    },
    Kind {
        name: "copies of 64 MiB",
        nr: 200,
        bytes: 64 * MIB,
        write: copies,
    },
];

/// In this order on one filesystem.
const COMMANDS: [(&str, &[&str]); 3] = [
    ("find", &["dupes", "-rq"]),
    ("never", &["dupes", "-rDq", "--rewrite=never"]),
    ("max", &["dupes", "-rDq", "--rewrite=max"]),
];

/// Measures, prints, and returns what was printed; `percent` of everything is made.
///
/// # Errors
///
/// If there is no room, a run fails, or time does not grow linearly.
pub(super) fn run(folder: &Path, percent: u64) -> Result<String, String> {
    let mut is_linear = true;
    let mut said = String::new();
    for kind in &KINDS {
        let nr_all = kind.nr * percent / 100;
        let mut before: [Option<Usage>; COMMANDS.len()] = Default::default();
        for part in [4, 2, 1] {
            let nr = nr_all / part;
            let filesystem = Filesystem::new(folder, nr * kind.bytes * 3 / 2 + 2048 * MIB)?;
            let set = filesystem.point().join("set");
            let made = fs::create_dir(&set).and_then(|()| (kind.write)(&set, nr));
            made.map_err(|error| format!("write {nr} {}: {error}", kind.name))?;
            filesystem.sync()?;
            for ((name, arguments), before) in COMMANDS.iter().zip(&mut before) {
                let used = filesystem.used_bytes()?;
                forget_pages(&set)?;
                let mut command = Command::new(xsame());
                let now = usage(command.args(*arguments).arg(&set), folder)?;
                let times = before.as_ref().map(|before| times(before, &now));
                is_linear &= times.is_none_or(|times| times <= TIMES_MAX);
                let line = format!(
                    "{nr:>9} {:16} {name:6} {:8.2} s, {:7.2} s of processors, {:5} MB peak, {:8.1} \
                     MB used before, {:8.1} after{}",
                    kind.name,
                    now.seconds,
                    now.cpu_s,
                    now.peak_kib / 1000,
                    used as f64 / 1e6,
                    filesystem.used_bytes()? as f64 / 1e6,
                    times.map_or(String::new(), |it| format!(", {it:.2} times that of half")),
                );
                println!("{line}");
                said += &(line + "\n");
                *before = Some(now);
            }
        }
    }
    match is_linear {
        true => Ok(said),
        false => Err(format!(
            "twice as much takes more than {TIMES_MAX} times as long"
        )),
    }
}

/// Drops the pages of the files in a folder from the page cache.
fn forget_pages(folder: &Path) -> Result<(), String> {
    let wrong = |error| format!("list {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let mut input = OsString::from("if=");
        input.push(path);
        let mut dd = Command::new("dd");
        dd.arg(input);
        output(dd.args(["iflag=nocache", "count=0", "status=none"]))?;
    }
    Ok(())
}

fn times(half: &Usage, whole: &Usage) -> f64 {
    (whole.cpu_s + SHORT_S) / (half.cpu_s + SHORT_S)
}

/// Returns bytes that no compression and no checksum takes for something else.
fn block(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..BLOCK).map(|_| byte()).collect()
}

fn equal_blocks(folder: &Path, nr: u64) -> std::io::Result<()> {
    let many = block(1).repeat(256);
    let mut file = File::create(folder.join("blocks"))?;
    for _ in 0..nr / 256 {
        file.write_all(&many)?;
    }
    file.write_all(&block(1).repeat((nr % 256) as usize))
}

fn copies(folder: &Path, nr: u64) -> std::io::Result<()> {
    let content: Vec<u8> = (0..64 * MIB / BLOCK)
        .flat_map(|n| block(n * 2 + 3))
        .collect();
    for copy_idx in 0..nr {
        fs::write(folder.join(format!("copy-{copy_idx:03}")), &content)?;
    }
    Ok(())
}
