//! What can be written on the command line: [`Arguments`].

mod dupes;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scenario::text::Size;
use scenario::{ChecksumKind, Compression, DataMode};

use crate::witness::WitnessName;
pub(crate) use dupes::{DedupeWord, DupesArguments, IoClass, RewriteWord, ScanWord};

/// An executable model of btrfs extent-same, held against real kernels.
#[derive(Debug, Parser)]
#[command(name = "xsame", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run random operations on two witnesses side by side and compare everything they show.
    ///
    /// Exit code: 0 they agree, 1 a divergence, 2 wrong use, something missing, or a run that
    /// proves nothing (with --bisect: 125).
    Diff(DiffArguments),
    /// Make one extent-same call on real files: share LEN bytes of FILE1 with FILE2 and so on.
    ///
    /// Exit code: 0 the call was made and every destination has its answer, whatever it is; with
    /// --strict, 1 if one differs or was refused; 2 wrong use, or the call itself failed. With
    /// --compat: 0 the call was made, 1 wrong use, otherwise 256 less the errno.
    Same(SameArguments),
    /// Find duplicates in files and folders of one filesystem, say what can be freed, and free it.
    ///
    /// Space is given back only where whole extents go, so these are what is planned: which go,
    /// which references are moved for that, and, with --rewrite, which leftovers are written anew.
    /// The kernel compares before it shares; no file is ever written into. As root on btrfs the
    /// filesystem's own checksums are used and no file is opened to be looked at.
    ///
    /// Memory: 60 bytes for each extent, at most 5 for each block that has an equal, and 512 MiB to
    /// sort in, with more than that spilled to $TMPDIR: 1 TiB of blocks of 4 KiB in extents of
    /// 128 KiB takes less than 2 GiB, and some 10 GB there. A plan takes up to --plan-memory more.
    ///
    /// Without root, btrfs does not show where extents begin and end: what is told to be freed is
    /// the most that it can be then.
    ///
    /// Exit code: 0 all was looked at and done, 1 a file was left out, something was not moved, the
    /// page of --html could not be written, or --time or --limit ended the run, 2 wrong use or
    /// nothing can be done at all, 128 and its number if a signal ended it (130 for Ctrl-C): what
    /// was done until then is told.
    Dupes(DupesArguments),
    /// Run a scenario file and print each operation with its result.
    ///
    /// Exit code: 0 everything is as the file expects, 1 something is not, 2 it cannot be run.
    Run(RunArguments),
    /// Run a scenario file on the model and on another witness, and print what it leaves in the
    /// trees side by side: subvolumes, inode items, file extent items, data extents with their
    /// checksums and resolved references. Lines that differ begin with an exclamation mark.
    ///
    /// Of a mounted subvolume or of an image (which is mounted read-only), print what its trees
    /// say.
    ///
    /// Exit code: 0 the trees are the same, 1 they differ, 2 wrong use, something missing, or
    /// damaged trees.
    Tree(TreeArguments),
    /// Print scenario files in canonical form, in place.
    ///
    /// Exit code: 0 done (with --check: nothing to do), 1 with --check if a file is not canonical,
    /// 2 a file cannot be read or is no scenario.
    Fmt(FmtArguments),
    /// Time model and kernel on the same calls, from request bytes to reply bytes.
    ///
    /// Exit code: 0 every ratio is on its target, 1 one is not, 2 wrong use, something missing, or
    /// both did not answer alike.
    Bench(BenchArguments),
    /// Tell what a rule says, where the kernel decides it and who can show it.
    Explain(ExplainArguments),
    /// For the program itself: guard and init of a User Mode Linux kernel.
    #[command(hide = true)]
    Agent(AgentArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The witness that is compared: auto, model, mount, mount=DIR, uml, uml=VERSION, uml=PATH,
    /// reference.
    ///
    /// auto is the running kernel if this is root and a btrfs can be mounted, else a User Mode
    /// Linux kernel if one is found, else the embedded reference.
    #[arg(long, default_value = "auto", value_name = "BACKEND")]
    pub(crate) backend: WitnessName,
    /// Compare with this witness instead of the model.
    #[arg(long, value_name = "BACKEND", conflicts_with_all = ["profile", "mutant"])]
    pub(crate) against: Option<WitnessName>,
    /// The kernel that the model plays; auto is the one nearest to the backend's release.
    #[arg(long, default_value = "auto", value_name = "auto|NAME")]
    pub(crate) profile: String,
    /// A bug of history to put into the model; may be given several times.
    #[arg(long, value_name = "ID")]
    pub(crate) mutant: Vec<String>,
    /// The seed of the random operations; a random one is printed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many operations to compare [default: 2000, without limit if --time is given].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// Compare the trees themselves every K operations, and check the filesystem in the end; 0 for
    /// neither.
    #[arg(long, value_name = "K", default_value_t = 50)]
    pub(crate) deep_every: u64,
    /// The checksums of the filesystem: crc32c, xxhash, sha256, blake2.
    #[arg(long, value_name = "KIND", default_value = "crc32c", value_parser = parse_checksum)]
    pub(crate) csum: ChecksumKind,
    /// The size of its nodes: 4k to 64k.
    #[arg(long, value_name = "SIZE", default_value = "16k", value_parser = parse_node_bytes)]
    pub(crate) nodesize: u32,
    /// How new files hold their data, a mount option: checked, nodatasum, nodatacow.
    #[arg(long, value_name = "MODE", default_value = "checked", value_parser = parse_data)]
    pub(crate) data: DataMode,
    /// How new files are compressed, even where it does not look worth it: none, zlib, lzo, zstd.
    /// The model adopts what a kernel's compressor made of the data.
    #[arg(long, value_name = "KIND", default_value = "none", value_parser = parse_compress)]
    #[arg(conflicts_with = "data")]
    pub(crate) compress: Compression,
    /// Count quota groups, and compare what they count with the trees.
    #[arg(long)]
    pub(crate) quota: bool,
    /// Have up to N snapshots at a time, made and deleted at random; files are few and small.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) snapshots: Option<u8>,
    /// Run on a filesystem of 16 MiB that becomes full (mkfs.btrfs --mixed): the model adopts where
    /// a kernel finds no space. Takes a mount.
    #[arg(long, conflicts_with_all = ["nodesize", "data", "compress", "quota", "snapshots"])]
    pub(crate) small: bool,
    /// How long to run: 90s, 10m, 2h.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time: Option<Duration>,
    /// Print a JSON object before the last line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the filesystem image of a mount.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Exit with 125 instead of 2, for git bisect run.
    #[arg(long)]
    pub(crate) bisect: bool,
    /// The folder for the files that show a divergence.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SameArguments {
    /// LEN FILE OFFSET FILE OFFSET ...: how many bytes, the source, then one or more destinations;
    /// sizes take k, m, g and t.
    #[arg(value_name = "LEN FILE OFFSET", num_args = 0..)]
    pub(crate) words: Vec<OsString>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 1 if a destination differs or was refused.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Speak as btrfs-extent-same of duperemove does, for scripts that start it: numbers are plain
    /// bytes, output and exit code are its.
    #[arg(long, conflicts_with = "json")]
    pub(crate) compat: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The scenario; `-` is stdin.
    pub(crate) file: PathBuf,
    /// Who carries it out, as for diff.
    #[arg(long, default_value = "model", value_name = "BACKEND")]
    pub(crate) backend: WitnessName,
    /// The profile whose expectations count; the kernel that the model plays.
    #[arg(long, default_value = "auto", value_name = "auto|NAME")]
    pub(crate) profile: String,
}

#[derive(Debug, Args)]
pub(crate) struct TreeArguments {
    /// The scenario, `-` for stdin; or the top of a subvolume on a mounted btrfs, or an image of
    /// one, whose trees are printed alone.
    pub(crate) file: PathBuf,
    /// The witness beside the model, as for diff [default: auto].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<WitnessName>,
    /// The kernel that the model plays; auto is the one nearest to the backend's release
    /// [default: auto].
    #[arg(long, value_name = "auto|NAME")]
    pub(crate) profile: Option<String>,
    /// A bug of history to put into the model; may be given several times.
    #[arg(long, value_name = "ID")]
    pub(crate) mutant: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FmtArguments {
    /// Scenario files; `-` is stdin, to stdout.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Change nothing, tell which files would change.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// The kernel that is timed: auto, mount, mount=DIR.
    #[arg(long, default_value = "mount", value_name = "BACKEND")]
    pub(crate) backend: WitnessName,
    /// The kernel that the model plays; auto is the one nearest to the running one.
    #[arg(long, default_value = "auto", value_name = "auto|NAME")]
    pub(crate) profile: String,
    /// How many rounds, each on fresh files of 10,000 extents.
    #[arg(long, default_value_t = 9, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure how size and speed of the model grow with the number of extents instead.
    #[arg(long, conflicts_with_all = ["json", "rounds", "profile"])]
    pub(crate) scale: bool,
    /// The largest number of extents, growing tenfold from 1,000; 10^7 take 3 GiB of memory.
    #[arg(long, default_value_t = 10_000_000, value_name = "N", requires = "scale",
          value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) extents: u64,
    /// Write a plot of the growth to this file.
    #[arg(long, value_name = "FILE", requires = "scale")]
    pub(crate) svg: Option<PathBuf>,
    /// Time a first run of dupes with a hashfile on this folder, later ones with nothing changed
    /// and with files of its own changed, and an empty pass over the trees instead; nothing is
    /// deduped.
    #[arg(long, value_name = "FOLDER",
          conflicts_with_all = ["json", "rounds", "profile", "scale", "backend"])]
    pub(crate) again: Option<PathBuf>,
    /// For the program itself: one size.
    #[arg(long, hide = true, requires = "scale")]
    pub(crate) scale_of: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The id of a rule or a mutant, as it stands in brackets behind a result; without one, all
    /// ids are listed.
    pub(crate) rule: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

impl Arguments {
    /// Returns whether exit code 2 must be 125.
    pub(crate) fn is_bisecting(&self) -> bool {
        matches!(&self.command, Command::Diff(arguments) if arguments.bisect)
    }
}

/// Returns the number of bytes that a size says.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    Size::parse(text).ok_or_else(|| {
        format!("{text:?} is no size: write bytes as 4096, 0x1000, 4k, 16m, 1g or 1t")
    })
}

fn parse_checksum(text: &str) -> Result<ChecksumKind, String> {
    ChecksumKind::by_name(text).ok_or_else(|| {
        let names = ChecksumKind::ALL.map(ChecksumKind::name).join(", ");
        format!("{text:?} is none of {names}")
    })
}

fn parse_compress(text: &str) -> Result<Compression, String> {
    Compression::by_name(text).ok_or_else(|| {
        let names = Compression::ALL.map(Compression::name).join(", ");
        format!("{text:?} is none of {names}")
    })
}

fn parse_node_bytes(text: &str) -> Result<u32, String> {
    let size = parse_size(text)?;
    u32::try_from(size)
        .ok()
        .filter(|size| size.is_power_of_two() && (4 << 10..=64 << 10).contains(size))
        .ok_or_else(|| format!("{text:?} is none of 4k, 8k, 16k, 32k, 64k"))
}

fn parse_data(text: &str) -> Result<DataMode, String> {
    DataMode::by_name(text).ok_or_else(|| {
        let names = DataMode::ALL.map(DataMode::name).join(", ");
        format!("{text:?} is none of {names}")
    })
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 90s, 10m or 2h");
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_minutes_or_hours() {
        assert_eq!(parse_duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        assert!(parse_duration("10d").is_err());
        assert!(parse_duration("").is_err());
        assert!(parse_duration("18446744073709551615h").is_err());
    }

    #[test]
    fn a_duration_is_its_number_times_its_unit_or_refused() {
        fn holds(number: u64) -> bool {
            [("", 1), ("s", 1), ("m", 60), ("h", 3600)]
                .into_iter()
                .all(|(unit, factor)| {
                    let seconds = number.checked_mul(factor).map(Duration::from_secs);
                    parse_duration(&format!("{number}{unit}")).ok() == seconds
                })
        }
        quickcheck::quickcheck(holds as fn(u64) -> bool);
    }

    #[test]
    fn no_text_makes_parsing_of_numbers_panic() {
        fn holds(text: String) -> bool {
            let named =
                |why: Option<String>| why.is_none_or(|why| why.contains(&format!("{text:?}")));
            named(parse_duration(&text).err()) && named(parse_size(&text).err())
        }
        quickcheck::quickcheck(holds as fn(String) -> bool);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
