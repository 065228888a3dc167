//! A small domain: four files, sixteen blocks, few numbers. Every list of choices is an operation.
//!
//! A choice of 0 is always the simplest, so that lists of choices shrink to simple operations.

use data::Content;
use scenario::{
    Access, Attribute, CallMemory, Caller, CloneCall, DedupeCall, DedupeTarget, Fd, Mount, Name,
    Op, Target,
};

/// Length of a block in bytes.
const BLOCK_LEN: u64 = 4096;
/// The files.
const FILES: [&str; 4] = ["A", "B", "C", "D"];
/// How many blocks are written at most from the start of a file on.
const NR_BLOCKS: u8 = 16;
/// Numbers at which kernels change their mind, bytes.
const EDGES: [u64; 12] = [
    0,
    1,
    4095,
    4097,
    (1 << 20) - 4096,
    1 << 20,
    (16 << 20) + 4096,
    40 << 20,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX,
];

/// A source of choices.
pub(crate) trait Choices {
    /// Returns a number below `end`, which is not 0; 0 if there are no more choices.
    fn below(&mut self, end: u8) -> u8;
}

/// Returns what comes before every list: the four files, three of them with equal bytes.
pub(crate) fn prelude() -> Vec<Op> {
    let mut ops: Vec<Op> = FILES
        .iter()
        .map(|text| Op::File {
            name: name(text),
            is_nocow: *text == "D",
        })
        .collect();
    for text in &FILES[..3] {
        let content = Content::pattern(1, 0, u64::from(NR_BLOCKS) * BLOCK_LEN);
        ops.push(Op::Write {
            name: name(text),
            offset: 0,
            content,
        });
    }
    ops
}

/// Returns the operation for the next choices.
pub(crate) fn op(choices: &mut impl Choices) -> Op {
    match choices.below(40) {
        0..8 => {
            let offset = block(choices);
            let (offset, content) = bytes(choices, offset);
            Op::Write {
                name: file(choices),
                offset,
                content,
            }
        }
        8..20 => Op::Dedupe(dedupe(choices)),
        20..22 => Op::Clone(CloneCall {
            source: fd(choices),
            source_offset: number(choices),
            len: number(choices),
            target: fd(choices),
            target_offset: small_number(choices),
        }),
        22 | 23 => Op::Truncate {
            name: file(choices),
            size: small_number(choices),
        },
        24 | 25 => Op::Punch {
            name: file(choices),
            offset: small_number(choices),
            len: small_number(choices),
        },
        26 => Op::Fallocate {
            name: file(choices),
            offset: small_number(choices),
            len: small_number(choices),
            keeps_size: choices.below(2) == 1,
        },
        27 | 28 => Op::Flush {
            name: file(choices),
        },
        29 => Op::Fsync {
            name: file(choices),
        },
        30 | 31 => Op::Sync,
        32 => Op::File {
            name: any_name(choices),
            is_nocow: choices.below(2) == 1,
        },
        33 => Op::Unlink {
            name: any_name(choices),
            is_held: choices.below(3) == 2,
        },
        34 => Op::Snapshot {
            source: if choices.below(3) < 2 {
                Name::top()
            } else {
                any_name(choices)
            },
            target: name("S"),
            is_readonly: choices.below(2) == 1,
        },
        35 => Op::Subvol { name: name("V") },
        36 => Op::Chattr {
            name: file(choices),
            attribute: match choices.below(3) {
                0 => Attribute::Nocow,
                1 => Attribute::Immutable,
                _ => Attribute::Append,
            },
            is_set: choices.below(2) == 1,
        },
        37 => Op::Chmod {
            name: file(choices),
            mode: [0o644, 0o666, 0o600, 0o4755][usize::from(choices.below(4))],
        },
        38 => Op::Chown {
            name: file(choices),
            uid: if choices.below(2) == 0 {
                0
            } else {
                Caller::USER_UID
            },
        },
        _ => match choices.below(14) {
            0 => Op::Tick,
            1 => Op::Dir { name: name("E") },
            2 => Op::Fifo { name: name("F") },
            3 => Op::Link {
                source: any_name(choices),
                target: any_name(choices),
            },
            4 | 5 => Op::Rename {
                source: any_name(choices),
                target: any_name(choices),
            },
            6 => Op::Close {
                name: any_name(choices),
            },
            7 => {
                let offset = block(choices);
                let (offset, content) = bytes(choices, offset);
                Op::DirectWrite {
                    name: file(choices),
                    offset,
                    content,
                }
            }
            8 => {
                let offset = block(choices);
                let (offset, content) = bytes(choices, offset);
                Op::MappedWrite {
                    name: file(choices),
                    offset,
                    content,
                }
            }
            10 => Op::Remount {
                is_readonly: choices.below(2) == 1,
            },
            9 => Op::Fiemap {
                name: file(choices),
            },
            11 => Op::Delete {
                name: any_name(choices),
            },
            12 => Op::Tree,
            _ => Op::Zero {
                name: file(choices),
                offset: small_number(choices),
                len: small_number(choices),
                keeps_size: choices.below(2) == 1,
            },
        },
    }
}

fn dedupe(choices: &mut impl Choices) -> DedupeCall {
    let source_offset = number(choices);
    let (source, mut target) = (fd(choices), fd(choices));
    if source.target == target.target && choices.below(4) < 3 {
        // Ranges within one file mostly overlap.
        target = Fd::file(name(if source == Fd::file(name("B")) {
            "A"
        } else {
            "B"
        }));
    }
    let mut call = DedupeCall::new(
        source,
        source_offset,
        length(choices),
        target,
        // Mostly where the source is: equal bytes are at equal offsets.
        if choices.below(4) < 3 {
            source_offset
        } else {
            number(choices)
        },
    );
    for _ in 0..choices.below(8).saturating_sub(5) {
        let (fd, offset) = (fd(choices), number(choices));
        call.targets.push(DedupeTarget {
            fd,
            offset,
            reserved: 0,
        });
    }
    match choices.below(64) {
        58 => call.reserved1 = 1,
        59 => call.targets[0].reserved = 1,
        60 => call.caller = Caller::User,
        61 => call.memory = CallMemory::ReadonlyAfter(u16::from(choices.below(4))),
        62 => call.memory = CallMemory::UnmappedAfter(u16::from(choices.below(4))),
        63 => call.targets.clear(),
        _ => {}
    }
    call
}

fn fd(choices: &mut impl Choices) -> Fd {
    let name = file(choices);
    let plain = Fd::file(name.clone());
    match choices.below(64) {
        52..56 => Fd::with_access(name, Access::ReadOnly),
        56 | 57 => Fd {
            mount: Mount::Second,
            ..plain
        },
        58 => Fd {
            mount: Mount::ReadOnly,
            ..Fd::with_access(name, Access::ReadOnly)
        },
        59 => Fd::with_access(name, Access::WriteOnly),
        60 | 61 => Fd::file(any_name(choices)),
        62 => Fd::special(Target::Closed),
        63 => Fd::special(Target::Null),
        _ => plain,
    }
}

fn file(choices: &mut impl Choices) -> Name {
    // The last one is the file without checksums: what it meets is mostly refused.
    const ROLLS: [usize; 10] = [0, 1, 2, 0, 1, 2, 0, 1, 2, 3];
    name(FILES[ROLLS[usize::from(choices.below(ROLLS.len() as u8))]])
}

fn any_name(choices: &mut impl Choices) -> Name {
    match choices.below(8) {
        4 => name("S"),
        5 => name("S/A"),
        6 => name("V"),
        7 => name("E"),
        _ => file(choices),
    }
}

fn bytes(choices: &mut impl Choices, offset: u64) -> (u64, Content) {
    let len = u64::from(choices.below(8) + 1) * BLOCK_LEN;
    match choices.below(8) {
        0..=3 => (offset, Content::pattern(1, offset, len)),
        4 => (offset, Content::pattern(2, offset, len)),
        5 => (offset, Content::byte(0x61, len)),
        6 => (offset + 100, Content::byte(0x62, 1)),
        _ => (
            offset,
            Content::byte(0x63, u64::from(choices.below(255)) + 1),
        ),
    }
}

fn block(choices: &mut impl Choices) -> u64 {
    u64::from(choices.below(NR_BLOCKS)) * BLOCK_LEN
}

fn length(choices: &mut impl Choices) -> u64 {
    match choices.below(16) {
        0..=13 => u64::from(choices.below(4) + 1) * BLOCK_LEN,
        14 => u64::from(choices.below(16)) * 1000,
        _ => edge(choices),
    }
}

fn number(choices: &mut impl Choices) -> u64 {
    if choices.below(16) < 15 {
        block(choices)
    } else {
        edge(choices)
    }
}

fn small_number(choices: &mut impl Choices) -> u64 {
    if choices.below(4) < 3 {
        block(choices)
    } else {
        block(choices) + u64::from(choices.below(255))
    }
}

fn edge(choices: &mut impl Choices) -> u64 {
    EDGES[usize::from(choices.below(EDGES.len() as u8))]
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of the small domain are names")
}
