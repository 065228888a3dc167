//! A scenario as a stand-alone shell script: [`render`]. It shows the scenario on a mounted btrfs
//! by `xfs_io`, coreutils and `btrfs`, without this project.
//!
//! What `xfs_io` cannot say (reserved fields, odd descriptors, memory that ends) goes through a
//! small Python program in the script. Nothing here knows what any operation answers.

mod calls;
mod contents;

use std::collections::BTreeMap;

use scenario::text::Scenario;
use scenario::{Name, Op};

use calls::Call;

/// The program for requests that `xfs_io` cannot make.
const RAW: &str = include_str!("script/raw.py");
/// The program for bytes that coreutils cannot make.
const PATTERN: &str = include_str!("script/pattern.py");

/// What a script says beside its operations.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The first comment: where it comes from.
    pub origin: &'a str,
    /// What is expected and what was observed, printed at the end.
    pub conclusion: &'a str,
}

/// Returns the script; to be called as `sh NAME DIRECTORY` with a directory on btrfs, by root.
pub fn render(scenario: &Scenario, account: Account<'_>) -> String {
    let ops: Vec<&Op> = scenario.ops().collect();
    let mut script = Script {
        text: String::new(),
        nr_files: 0,
        held: BTreeMap::new(),
    };
    script.head(&ops, account.origin);
    for op in &ops {
        script.op(op);
    }
    script.tail(&ops, account.conclusion);
    script.text
}

/// A script in the making.
struct Script {
    text: String,
    /// Files with contents written so far.
    nr_files: u32,
    /// The numbers of the shell's descriptors on files that were unlinked.
    held: BTreeMap<Name, u32>,
}

impl Script {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self, ops: &[&Op], origin: &str) {
        self.line("#!/bin/sh");
        for line in origin.lines() {
            self.line(format!("# {line}").trim_end());
        }
        self.line("# usage, as root: sh THIS-FILE DIRECTORY-ON-BTRFS");
        self.line("set -eu");
        self.line("directory=${1:?usage: sh \"$0\" DIRECTORY-ON-BTRFS}");
        self.line("work=$(mktemp -d)");
        self.line("trap 'rm -rf \"$work\"' EXIT");
        self.line("top=$(mktemp -d \"$directory/xsame-repro-XXXXXX\")");
        let has_subvolumes = ops.iter().any(|op| {
            matches!(
                op,
                Op::Subvol { .. } | Op::Snapshot { .. } | Op::Delete { .. }
            )
        });
        if has_subvolumes {
            // Only a subvolume can be the source of a snapshot.
            self.line("btrfs subvolume create \"$top/top\" >/dev/null");
            self.line("cd \"$top/top\"");
        } else {
            self.line("cd \"$top\"");
        }
        self.line("");
        self.line("# Unlike here, xsame keeps its descriptors open; a close can start writeback.");
        self.line("# A call that is refused is an answer, too.");
        self.line("try() { \"$@\" || echo \"  exit status $?\"; }");
        if ops.iter().any(|op| contents::needs_pattern(op)) {
            self.program("pattern.py", PATTERN);
        }
        if ops.iter().any(|op| calls::needs_raw(op)) {
            self.program("raw.py", RAW);
        }
    }

    fn program(&mut self, name: &str, text: &str) {
        self.line("");
        self.line(&format!("cat >\"$work/{name}\" <<'END'"));
        self.text.push_str(text);
        self.line("END");
    }

    fn op(&mut self, op: &Op) {
        self.line("");
        self.line(&format!("echo '+ {op}'"));
        if let Some(name) = op.made_name() {
            self.close(name);
        }
        match op {
            Op::File { name, is_nocow } => {
                self.tried(&format!("touch ./{name}"));
                if *is_nocow {
                    self.tried(&format!("chattr +C ./{name}"));
                }
            }
            Op::Dir { name } => self.tried(&format!("mkdir ./{name}")),
            Op::Fifo { name } => self.tried(&format!("mkfifo ./{name}")),
            Op::Subvol { name } => self.tried(&format!("btrfs subvolume create ./{name}")),
            Op::Snapshot {
                source,
                target,
                is_readonly,
            } => {
                let flag = if *is_readonly { " -r" } else { "" };
                self.tried(&format!(
                    "btrfs subvolume snapshot{flag} ./{source} ./{target}"
                ));
            }
            Op::Delete { name } => {
                self.tried(&format!("btrfs subvolume delete --commit-each ./{name}"));
                self.tried("btrfs subvolume sync .");
            }
            Op::Link { source, target } => self.tried(&format!("ln ./{source} ./{target}")),
            Op::Rename { source, target } => {
                self.tried(&format!("mv -T ./{source} ./{target}"));
            }
            Op::Unlink { name, is_held } => self.unlink(name, *is_held),
            Op::Close { name } => self.close(name),
            Op::Write {
                name,
                offset,
                content,
            } => self.write(name, *offset, content, "xfs_io"),
            Op::DirectWrite {
                name,
                offset,
                content,
            } => {
                self.flush(name);
                self.write(name, *offset, content, "xfs_io -d");
                self.flush(name);
            }
            Op::MappedWrite {
                name,
                offset,
                content,
            } => self.store(name, *offset, content),
            Op::Truncate { name, size } => self.xfs_io(name, &format!("truncate {size}")),
            Op::Fallocate {
                name,
                offset,
                len,
                keeps_size,
            } => {
                let flag = if *keeps_size { "-k " } else { "" };
                self.xfs_io(name, &format!("falloc {flag}{offset} {len}"));
            }
            Op::Punch { name, offset, len } => {
                self.xfs_io(name, &format!("fpunch {offset} {len}"));
            }
            Op::Zero {
                name,
                offset,
                len,
                keeps_size,
            } => {
                let flag = if *keeps_size { "-k " } else { "" };
                self.xfs_io(name, &format!("fzero {flag}{offset} {len}"));
            }
            Op::Flush { name } => {
                self.line("# The fiemap of xfs_io writes back and waits, without a commit.");
                self.flush(name);
            }
            Op::Fiemap { name } => self.tried(&format!("xfs_io -r -c 'fiemap -v' ./{name}")),
            Op::Fsync { name } => self.xfs_io(name, "fsync"),
            Op::Sync => self.tried("sync -f ."),
            Op::Remount { is_readonly } => self.remount(*is_readonly),
            Op::Tick => self.line("sleep 0.1"),
            Op::Tree => {
                self.tried("sync -f .");
                self.line("device=$(findmnt -n -o SOURCE --target . | sed 's/\\[.*//')");
                let dump = "btrfs inspect-internal dump-tree --hide-names \"$device\"";
                self.line(&format!("{dump} | grep -A6 EXTENT_DATA"));
            }
            Op::Chattr {
                name,
                attribute,
                is_set,
            } => {
                let sign = if *is_set { '+' } else { '-' };
                self.tried(&format!("chattr {sign}{} ./{name}", attribute.letter()));
            }
            Op::Chmod { name, mode } => self.tried(&format!("chmod {mode:04o} ./{name}")),
            Op::Chown { name, uid } => self.tried(&format!("chown {uid}:{uid} ./{name}")),
            Op::Clone(call) => self.calls(&calls::clone(call)),
            Op::Dedupe(call) => self.calls(&calls::dedupe(call)),
            Op::Observe { names } => names.iter().for_each(|name| self.observe(name)),
        }
    }

    /// A held file stays open in the shell; a link of its name leads there.
    fn unlink(&mut self, name: &Name, is_held: bool) {
        let free = (3..10).find(|fd| !self.held.values().any(|held| held == fd));
        match free {
            Some(fd) if is_held => {
                self.line(&format!("exec {fd}<>./{name}"));
                self.tried(&format!("rm -f ./{name}"));
                self.tried(&format!("ln -s /proc/$$/fd/{fd} ./{name}"));
                self.held.insert(name.clone(), fd);
            }
            _ => {
                self.close(name);
                self.tried(&format!("rm -f ./{name}"));
            }
        }
    }

    fn close(&mut self, name: &Name) {
        if let Some(fd) = self.held.remove(name) {
            self.line(&format!("rm -f ./{name}"));
            self.line(&format!("exec {fd}<&-"));
        }
    }

    /// Nothing may be open for writing on what becomes read-only.
    fn remount(&mut self, is_readonly: bool) {
        let option = if is_readonly { "ro" } else { "rw" };
        if is_readonly {
            let held: Vec<Name> = self.held.keys().cloned().collect();
            held.iter().for_each(|name| self.close(name));
        }
        self.tried(&format!(
            "mount -o remount,{option} \"$(findmnt -n -o TARGET --target .)\""
        ));
    }

    /// A command whose failure does not end the script.
    fn tried(&mut self, command: &str) {
        self.line(&format!("try {command}"));
    }

    fn xfs_io(&mut self, name: &Name, command: &str) {
        self.tried(&format!("xfs_io -c '{command}' ./{name}"));
    }

    fn calls(&mut self, calls: &[Call]) {
        for call in calls {
            match call {
                Call::Comment(text) => self.line(&format!("# {text}")),
                Call::Command(command) => self.tried(command),
            }
        }
    }

    /// Writes back a file and waits.
    fn flush(&mut self, name: &Name) {
        self.tried(&format!("xfs_io -r -c fiemap ./{name} >/dev/null"));
    }

    /// Stores bytes through a mapping; a store that reaches behind the page of EOF ends in SIGBUS.
    fn store(&mut self, name: &Name, offset: u64, content: &data::Content) {
        let len = content.len();
        let (start, skip) = (offset - offset % 4096, offset % 4096);
        if let Some(byte) = contents::byte(content) {
            let map = format!("-c 'mmap -rw {start} {}'", skip + len);
            let store = format!("-c 'mwrite -S {byte:#04x} {offset} {len}' -c 'msync -s'");
            self.tried(&format!("xfs_io {map} {store} ./{name}"));
        } else if !content.is_empty() {
            let path = self.bytes(content);
            let program = "import mmap, sys; f = open(sys.argv[1], \"r+b\"); \
                           b = open(sys.argv[2], \"rb\").read(); o = int(sys.argv[3]); \
                           m = mmap.mmap(f.fileno(), o % 4096 + len(b), offset=o - o % 4096); \
                           m[o % 4096:] = b; m.flush()";
            self.tried(&format!("python3 -c '{program}' ./{name} {path} {offset}"));
        }
        self.flush(name);
        self.tried("sync -f .");
    }

    fn write(&mut self, name: &Name, offset: u64, content: &data::Content, xfs_io: &str) {
        if let Some(command) = contents::pwrite(offset, content) {
            self.tried(&format!("{xfs_io} -c '{command}' ./{name}"));
            return;
        }
        if content.is_empty() {
            self.line(": # A write of nothing is nothing.");
            return;
        }
        self.bytes(content);
        let len = content.len();
        let command = format!(
            "pwrite -q -b {len} -i $work/bytes-{} {offset} {len}",
            self.nr_files
        );
        self.tried(&format!("{xfs_io} -c \"{command}\" ./{name}"));
    }

    /// Writes the lines that put bytes into a file, and returns that file's quoted path.
    fn bytes(&mut self, content: &data::Content) -> String {
        self.nr_files += 1;
        let path = format!("\"$work/bytes-{}\"", self.nr_files);
        self.line("{");
        for run in content.runs() {
            self.line(&format!("  {}", contents::producer(run)));
        }
        self.line(&format!("}} >{path}"));
        path
    }

    fn observe(&mut self, name: &Name) {
        self.tried(&format!(
            "stat -c '%n: %F size=%s blocks=%b mode=%a uid=%u' ./{name}"
        ));
        self.line(&format!("if [ -f ./{name} ]; then"));
        self.line(&format!("  try sha256sum ./{name}"));
        self.line("  # Unlike xfs_io, filefrag does not write back before it looks.");
        self.line("  if command -v filefrag >/dev/null; then");
        self.line(&format!("    try filefrag -b4096 -v ./{name}"));
        self.line("  fi");
        self.line(&format!("  try xfs_io -r -c 'fiemap -v' ./{name}"));
        self.line("fi");
    }

    fn tail(&mut self, ops: &[&Op], conclusion: &str) {
        self.line("");
        self.line("echo");
        if let Some(comparison) = ops.iter().rev().find_map(|op| calls::comparison(op)) {
            self.line("echo '== the ranges of the last call'");
            self.tried(&comparison);
        }
        let last = ops
            .iter()
            .rev()
            .find(|op| !matches!(op, Op::Observe { .. }));
        for name in last.map(|op| op.names()).unwrap_or_default() {
            self.line(&format!("echo '== {name}'"));
            self.observe(name);
        }
        self.line("cat <<'END'");
        self.line("");
        for line in conclusion.lines() {
            self.line(line.trim_end());
        }
        self.line("END");
        self.line("echo \"the files are in $top\"");
    }
}

#[cfg(test)]
mod tests;
