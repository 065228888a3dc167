//! A filesystem on which a dedupe has much to meet, with open descriptors: [`machine`].

use std::sync::LazyLock;

use model::{Machine, OpenAt, OpenFile, Sequential};
use rules::{PROFILE_NAMES, Profile};
use scenario::fd::{Access, Mount, Target};
use scenario::{Backend, Scenario};

/// How the files come to be. All of them begin alike, so that an arbitrary pair may be the same.
const FILES: &str = include_str!("prepared.scn");

/// What is open from descriptor 3 on: files by name, access and mount.
const FILES_OPEN: &[(&str, Access, Mount)] = &[
    ("long", Access::ReadWrite, Mount::First),
    ("differs-late", Access::ReadWrite, Mount::First),
    ("nocow", Access::ReadWrite, Mount::First),
    ("nocow-too", Access::ReadWrite, Mount::First),
    ("hole", Access::ReadWrite, Mount::First),
    ("prealloc", Access::ReadWrite, Mount::First),
    ("inline", Access::ReadWrite, Mount::First),
    ("inline-too", Access::ReadWrite, Mount::First),
    ("tail", Access::ReadWrite, Mount::First),
    ("tail-too", Access::ReadWrite, Mount::First),
    ("zeros", Access::ReadWrite, Mount::First),
    ("empty", Access::ReadWrite, Mount::First),
    ("volume/file", Access::ReadWrite, Mount::First),
    ("snapshot/file", Access::ReadOnly, Mount::First),
    ("immutable", Access::ReadOnly, Mount::First),
    ("own", Access::ReadWrite, Mount::First),
    ("dir", Access::ReadOnly, Mount::First),
    ("fifo", Access::ReadWrite, Mount::First),
    ("tail", Access::ReadOnly, Mount::First),
    ("tail", Access::WriteOnly, Mount::First),
    ("tail-too", Access::Append, Mount::First),
    ("tail", Access::Path, Mount::First),
    ("tail", Access::ReadWrite, Mount::Second),
    ("tail-too", Access::ReadOnly, Mount::ReadOnly),
];

/// What is open behind them.
const SPECIAL_OPEN: &[Target] = &[
    Target::Null,
    Target::PipeRead,
    Target::PipeWrite,
    Target::Socket,
    Target::Tmpfs,
    Target::Proc,
];

static MACHINES: LazyLock<Vec<Machine>> =
    LazyLock::new(|| PROFILE_NAMES.iter().map(|name| prepare(name)).collect());

/// Returns a machine of the profile with this number, modulo how many there are.
pub(crate) fn machine(profile_idx: u8) -> Machine {
    MACHINES[usize::from(profile_idx) % MACHINES.len()].clone()
}

fn prepare(profile: &str) -> Machine {
    let profile = Profile::by_name(profile).expect("a name of the list");
    let scenario = Scenario::parse(FILES).expect("a scenario");
    let mut sequential = Sequential::new(profile);
    for op in scenario.ops() {
        let answer = sequential.apply(op).expect("the model can always be asked");
        assert_eq!(answer.outcome, scenario::Outcome::Done, "{op}");
    }
    let mut machine = sequential.machine().clone();
    // Those that the operations opened would stand before ours.
    for fd in 0..64 {
        machine.close(fd);
    }
    for &(name, access, mount) in FILES_OPEN {
        let inode = machine
            .fs_mut()
            .lookup(name)
            .expect("a file of the scenario");
        let at = OpenAt::Inode(inode);
        machine.open(OpenFile { at, access, mount });
    }
    for at in SPECIAL_OPEN.iter().filter_map(OpenAt::special) {
        let (access, mount) = (Access::ReadWrite, Mount::First);
        machine.open(OpenFile { at, access, mount });
    }
    machine
}
