//! The arguments of `xsame dupes`, named as duperemove names them where it has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{parse_duration, parse_size};

#[derive(Debug, Args)]
pub(crate) struct DupesArguments {
    /// Files and folders; - for a list on stdin, one a line.
    #[arg(value_name = "PATH", required_unless_present = "fdupes")]
    pub(crate) paths: Vec<PathBuf>,
    /// Look into folders in folders, too; never into other filesystems.
    #[arg(short = 'r')]
    pub(crate) recursive: bool,
    /// Dedupe; without it, tell what would be done (-d, as in duperemove, is the same).
    #[arg(short = 'D', short_alias = 'd')]
    pub(crate) dedupe: bool,
    /// Change nothing, even with -D: tell what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Stay on one filesystem. That is always so; the option is there for scripts.
    #[arg(short = 'x')]
    pub(crate) one_filesystem: bool,
    /// The list on stdin ends names with zero bytes instead of lines.
    #[arg(short = '0', long = "null")]
    pub(crate) null: bool,
    /// Read what fdupes prints on stdin as a list of files; the groups are found anew.
    #[arg(long)]
    pub(crate) fdupes: bool,
    /// Leave paths out that match, and what is below them; may be given several times. A pattern
    /// without a slash is about the last part of a path.
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Leave smaller files out.
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub(crate) min_size: u64,
    /// How data is told apart: by the filesystem's checksums (csum: root, btrfs), by reading, or
    /// whichever there is.
    #[arg(long, value_enum, default_value_t = ScanWord::Auto)]
    pub(crate) scan: ScanWord,
    /// Whether leftovers of partly duplicated extents are written anew, so that the extents go:
    /// auto where at least twice as much is freed as is written, max until every block is stored
    /// once.
    #[arg(long, value_enum, default_value_t = RewriteWord::Auto)]
    pub(crate) rewrite: RewriteWord,
    /// The shortest run of equal blocks that is worth it; shorter ones are left alone. Runs begin
    /// and end at any block [default: one block].
    #[arg(short = 'b', value_name = "SIZE", default_value = "0", hide_default_value = true,
          value_parser = parse_size)]
    pub(crate) block_size: u64,
    /// How many files are read at a time; from 2 on, twice as many parts of a tree are searched at
    /// once, up to 8 [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) io_threads: Option<u32>,
    /// How many threads hash at most; who hashes reads, too, so that the smaller of both numbers
    /// counts. Matching and planning take one [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cpu_threads: Option<u32>,
    /// As in duperemove, a list of: same, nosame (whether what is there twice in one file only
    /// counts; it does). What has no meaning here is accepted and told: fiemap (what is shared is
    /// always known beforehand), partial (runs begin at any block, extents are planned whole, see
    /// --rewrite), rescan_files (see --hashfile); each with a no before it.
    #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
    pub(crate) dedupe_options: Vec<DedupeWord>,
    /// Remember in this file what was found out, and ask and read the next time only what has
    /// changed since, and plan only if anything has; it is made if it is not there. It is about one
    /// filesystem, and best lies on another one.
    #[arg(long, value_name = "FILE")]
    pub(crate) hashfile: Option<PathBuf>,
    /// The most memory for a plan, about: 150 bytes for each extent that could go, as much for each
    /// reference to it, 250 for each range that is moved. One that takes more is not made, and
    /// nothing is changed [default: half of what is available].
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) plan_memory: Option<u64>,
    /// Stop after this long, with the largest gains done first: 90s, 10m, 2h.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,
    /// Stop once this much is moved, with the largest gains done first.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) limit: Option<u64>,
    /// Have the disk serve others first.
    #[arg(long, value_enum)]
    pub(crate) io_class: Option<IoClass>,
    /// Print one JSON object instead of text; docs/dupes.md says what is in it.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the report as a page for a browser, too: one file, nothing is fetched.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print what is wrong only, and no progress.
    #[arg(short = 'q')]
    pub(crate) quiet: bool,
    /// List everything that is equal and all extents that go, not the largest only, and all that is
    /// no file.
    #[arg(short = 'v')]
    pub(crate) verbose: bool,
}

/// A word of duperemove's `--dedupe-options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum DedupeWord {
    Same,
    Nosame,
    Fiemap,
    Nofiemap,
    Partial,
    Nopartial,
    RescanFiles,
    NorescanFiles,
}

impl DedupeWord {
    /// Returns why it has no meaning here, if it has none.
    pub(crate) fn why_meaningless(self) -> Option<&'static str> {
        match self {
            DedupeWord::Same | DedupeWord::Nosame => None,
            DedupeWord::Fiemap | DedupeWord::Nofiemap => {
                Some("what is shared already is always left alone")
            }
            DedupeWord::Partial | DedupeWord::Nopartial => {
                Some("runs begin at any block, and what is freed are whole extents: see --rewrite")
            }
            DedupeWord::RescanFiles | DedupeWord::NorescanFiles => {
                Some("what has changed is always looked at, and nothing else with --hashfile")
            }
        }
    }
}

/// How data is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScanWord {
    Auto,
    Csum,
    Read,
}

/// Whether something is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RewriteWord {
    Never,
    Auto,
    Max,
}

/// A class of the I/O scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IoClass {
    Idle,
}
