//! A commit where nothing has changed is none: two moments with the same transaction are of one
//! state. Whatever changes a file, a reference or a name is a transaction more. A walk from one
//! moment tells how far it is.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use backend_kernel::ground;
use backend_kernel::volume::{Options, Scan, Sight, open};
use volume::History;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("looking_is_no_transaction", looking),
    ("every_change_is_a_transaction_more", changing),
    ("a_walk_in_portions_tells_how_far_it_is", walking),
];

/// After so many commits there is no transaction any more that somebody else has begun.
const NR_COMMITS: usize = 20;

/// What happens to the filesystem, and how.
type Change = (&'static str, fn(&Path));

const CHANGES: &[Change] = &[
    ("a new file", |top| write(top, "new", 3)),
    ("new bytes", |top| {
        io("-c", "pwrite -S 4 16k 8k", top, "plain");
    }),
    ("the same bytes", |top| {
        io("-c", "pwrite -S 4 16k 8k", top, "plain");
    }),
    ("bytes past the page cache", |top| {
        io("-dc", "pwrite -S 5 16k 8k", top, "plain");
    }),
    ("bytes in place", |top| {
        io("-c", "pwrite -S 6 16k 8k", top, "nocow");
    }),
    ("the same bytes in place", |top| {
        io("-c", "pwrite -S 6 16k 8k", top, "nocow");
    }),
    ("bytes in place, past the page cache", |top| {
        io("-dc", "pwrite -S 7 16k 8k", top, "nocow");
    }),
    ("stores through a mapping", |top| {
        store(top, "plain");
    }),
    ("stores through a mapping, in place", |top| {
        store(top, "nocow");
    }),
    ("a length", |top| {
        let file = File::options().write(true).open(top.join("plain"));
        file.expect("a file").set_len(100_000).expect("a length");
    }),
    ("a flag", |top| run("chattr +i", top, &["twin"])),
    ("that flag again", |top| run("chattr -i", top, &["twin"])),
    ("a mode", |top| {
        let mode = Permissions::from_mode(0o600);
        fs::set_permissions(top.join("twin"), mode).expect("a mode");
    }),
    ("a time", |top| run("touch", top, &["twin"])),
    ("a name", |top| {
        fs::rename(top.join("new"), top.join("old")).expect("a name");
    }),
    ("one more name", |top| {
        fs::hard_link(top.join("old"), top.join("new")).expect("a name");
    }),
    ("a name less", |top| {
        fs::remove_file(top.join("old")).expect("a file");
    }),
    ("a link", |top| {
        symlink("plain", top.join("link")).expect("a link");
    }),
    ("a folder", |top| {
        fs::create_dir(top.join("folder")).expect("a folder");
    }),
    ("references of a clone", |top| {
        run("cp --reflink=always", top, &["plain", "clone"]);
    }),
    ("a copy", |top| {
        run("cp --reflink=never", top, &["plain", "equal"]);
    }),
    ("references of a dedupe", |top| {
        io("-c", "dedupe plain 0 0 64k", top, "equal");
    }),
    ("a file that is gone", |top| {
        fs::remove_file(top.join("clone")).expect("a file");
    }),
    ("space that is preallocated", |top| {
        run("fallocate -l 1m", top, &["prealloc"]);
    }),
    ("a hole", |top| {
        run("fallocate -p -o 4096 -l 4096", top, &["plain"]);
    }),
    ("a subvolume", |top| {
        run("btrfs -q subvolume create", top, &["volume"]);
    }),
    ("a snapshot", |top| {
        run("btrfs -q subvolume snapshot", top, &["volume", "snapshot"]);
    }),
    ("that it is read-only", |top| {
        run("btrfs property set -ts", top, &["snapshot", "ro", "true"]);
    }),
    ("a snapshot less", |top| {
        run("btrfs -q subvolume delete", top, &["snapshot"]);
    }),
    ("a file in another subvolume", |top| {
        write(top, "volume/file", 8);
    }),
    ("extents in pieces", |top| {
        run("btrfs filesystem defragment -f", top, &["plain"]);
    }),
    ("extents elsewhere", |top| {
        run("btrfs -q balance start -f -d", top, &[""]);
    }),
];

/// Makes some files and runs `work` with the folder of the filesystem.
fn on_files(work: impl FnOnce(&Path) + Send) {
    let result = ground::on_loopback(|top| {
        for (name, seed) in [("plain", 1), ("twin", 1)] {
            write(top, name, seed);
        }
        File::create(top.join("nocow")).expect("a file");
        run("chattr +C", top, &["nocow"]);
        write(top, "nocow", 2);
        commit(top);
        work(top);
    });
    result.expect("a loopback btrfs");
}

fn history(top: &Path) -> Box<dyn History> {
    let options = Options {
        paths: &[top.to_owned()],
        is_recursive: true,
        is_excluded: None,
        min_bytes: 0,
        scan: Scan::Auto,
        nr_io_threads: 1,
        on_found: &|| {},
    };
    match open(&options).expect("a volume").volume {
        Sight::Trees(volume) => volume,
        Sight::Maps(_) => panic!("this is root on btrfs"),
    }
}

fn commit(top: &Path) -> u64 {
    history(top).moment().expect("a commit").transid
}

fn bytes(seed: u8) -> Vec<u8> {
    (0..256 << 10)
        .map(|at: u32| (at * 7 + at / 251) as u8 ^ seed)
        .collect()
}

fn write(top: &Path, name: &str, seed: u8) {
    fs::write(top.join(name), bytes(seed)).expect("room");
}

/// Stores bytes of a file through a mapping.
fn store(top: &Path, name: &str) {
    let map = ["-c", "mmap -rw 0 64k"];
    ios(
        &[&map[..], &["-c", "mwrite -S 9 16k 8k"]].concat(),
        top,
        name,
    );
}

/// Has `xfs_io` do something to a file.
fn io(option: &str, command: &str, top: &Path, name: &str) {
    ios(&[option, command], top, name);
}

fn ios(arguments: &[&str], top: &Path, name: &str) {
    let mut xfs_io = Command::new("xfs_io");
    xfs_io.current_dir(top).args(arguments).arg(name);
    let output = xfs_io.output().expect("xfs_io starts");
    let is_done = output.status.success() && output.stderr.is_empty();
    assert!(is_done, "{xfs_io:?}: {output:?}");
}

fn run(words: &str, top: &Path, names: &[&str]) {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.current_dir(top).args(words);
    let output = command.args(names.iter().map(|name| match *name {
        "" => top.as_os_str(),
        name => name.as_ref(),
    }));
    let output = output.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn looking() {
    on_files(|top| {
        let before = commit(top);
        let looks: [(&str, &dyn Fn()); 8] = [
            ("another commit", &|| {}),
            ("a commit by name", &|| {
                run("btrfs filesystem sync", top, &[""]);
            }),
            ("reading", &|| {
                fs::read(top.join("plain")).expect("a file");
            }),
            ("listing", &|| {
                assert!(3 <= fs::read_dir(top).expect("a folder").count());
            }),
            ("asking for a map", &|| io("-c", "fiemap", top, "plain")),
            ("a folder that is there", &|| {
                fs::create_dir(top.join("plain")).expect_err("there is a file");
            }),
            ("a file that is not there", &|| {
                fs::remove_file(top.join("none")).expect_err("there is none");
            }),
            ("walking", &|| {
                let mut volume = history(top);
                let roots = volume.roots_in_scope();
                let told = volume.walk(roots[0], 0, u64::MAX, &mut |_| {});
                assert_eq!(told, Ok(None));
            }),
        ];
        for (says, look) in looks {
            look();
            assert_eq!(commit(top), before, "{says}");
        }
    });
}

fn walking() {
    on_files(|top| {
        let mut volume = history(top);
        let root = volume.roots_in_scope()[0];
        assert_eq!(volume.walked(), None, "there is none yet");
        let (mut from, mut shares) = (Some(0), vec![0.0]);
        while let Some(inode) = from {
            from = volume
                .walk(root, inode, 1, &mut |_| {})
                .expect("the tree is there");
            shares.extend(volume.walked());
        }
        assert!(3 < shares.len(), "{shares:?}");
        assert!(shares.is_sorted_by(|one, next| one < next), "{shares:?}");
        assert!(shares.last() <= Some(&1.0), "{shares:?}");
    });
}

fn changing() {
    on_files(|top| {
        for (says, change) in CHANGES {
            // A cleaner that is at work has transactions of its own.
            let is_calm = (0..NR_COMMITS).any(|_| commit(top) == commit(top));
            assert!(is_calm, "before {says}");
            let before = commit(top);
            change(top);
            let after = commit(top);
            assert!(before < after, "{says}: {before}, then {after}");
        }
    });
}
