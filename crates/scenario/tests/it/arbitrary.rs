//! Arbitrary values of the language. They are wild on purpose: it does not matter whether an
//! operation makes sense, only whether it survives its text.

use std::borrow::Cow;

use data::{Content, Digest};
use ondisk::{ChecksumKind, Compression};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use scenario::{
    Access, Answer, Attribute, CallEnd, CallMemory, Caller, CloneCall, DataMode, DedupeCall,
    DedupeTarget, Effect, ElementAnswer, Exchange, Fd, FileKind, Geometry, Line, MapFlags, MapRun,
    Mount, Name, Observation, Op, Outcome, Probe, Reply, ResultBlock, Scenario, Stat, Storage,
    Target,
};
use uapi::Errno;

use crate::arbitrary_trees::trees;

pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..20,
        (0_u64..64).prop_map(|bit| 1 << bit),
        (0_u64..64).prop_map(|bit| (1_u64 << bit).wrapping_sub(1)),
        (0_u64..1 << 20).prop_map(|block| block << 12),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

pub(crate) fn name() -> impl Strategy<Value = Name> {
    let odd = vec![
        "A", "B", ".", "S1/A", "x5", "0", "ok", "log", "end", "-", "mkfs",
    ];
    prop_oneof![
        select(odd).prop_map(str::to_owned),
        "[A-Za-z0-9_-]{1,8}(/[A-Za-z0-9_-]{1,3}){0,2}",
    ]
    .prop_map(|text| Name::new(&text).expect("all of them are names"))
}

pub(crate) fn fd() -> impl Strategy<Value = Fd> {
    let target = prop_oneof![
        6 => name().prop_map(Target::Name),
        1 => select(vec![
            Target::Closed,
            Target::MinusOne,
            Target::Null,
            Target::PipeRead,
            Target::PipeWrite,
            Target::Socket,
            Target::Tmpfs,
            Target::Proc,
        ]),
    ];
    let access = select(vec![
        Access::ReadWrite,
        Access::ReadOnly,
        Access::WriteOnly,
        Access::Append,
        Access::Path,
    ]);
    let mount = select(vec![Mount::First, Mount::Second, Mount::ReadOnly]);
    (target, access, mount, any::<bool>()).prop_map(|(target, access, mount, has_high_bit)| Fd {
        target,
        access,
        mount,
        has_high_bit,
    })
}

/// Contents are short, so that comparing them does not read 2^63 bytes.
fn content() -> impl Strategy<Value = Content> {
    let run = prop_oneof![
        (any::<u8>(), 0_u64..9000).prop_map(|(byte, len)| Content::byte(byte, len)),
        (0_u64..9000).prop_map(Content::zeros),
        (number(), number(), 0_u64..9000)
            .prop_map(|(seed, at, len)| Content::pattern(seed, at, len)),
        vec(any::<u8>(), 0..40).prop_map(Content::literal),
    ];
    vec(run, 0..4).prop_map(|runs| {
        let mut content = Content::new();
        runs.into_iter().for_each(|run| content.append(run));
        content
    })
}

fn dedupe() -> impl Strategy<Value = DedupeCall> {
    let reserved = || prop_oneof![3 => Just(0_u32), 1 => any::<u32>()];
    let target = (fd(), number(), reserved()).prop_map(|(fd, offset, reserved)| DedupeTarget {
        fd,
        offset,
        reserved,
    });
    let targets = vec(
        (target, prop_oneof![4 => Just(1_usize), 1 => 1_usize..140]),
        0..4,
    );
    let memory = prop_oneof![
        4 => Just(CallMemory::Whole),
        1 => any::<u16>().prop_map(CallMemory::UnmappedAfter),
        1 => any::<u16>().prop_map(CallMemory::ReadonlyAfter),
        1 => Just(CallMemory::HalfHeader),
        1 => any::<u16>().prop_map(CallMemory::Pointer),
    ];
    let caller = select(vec![Caller::Root, Caller::User]);
    let reserved1 = prop_oneof![3 => Just(0_u16), 1 => any::<u16>()];
    let header = (option::of(any::<u16>()), reserved1, reserved());
    (fd(), number(), number(), targets, header, caller, memory).prop_map(
        |(source, source_offset, len, targets, (count, reserved1, reserved2), caller, memory)| {
            let targets = targets
                .into_iter()
                .flat_map(|(target, nr_times)| std::iter::repeat_n(target, nr_times))
                .collect();
            DedupeCall {
                source,
                source_offset,
                len,
                targets,
                count,
                reserved1,
                reserved2,
                caller,
                memory,
            }
        },
    )
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let attribute = || {
        select(vec![
            Attribute::Nocow,
            Attribute::Immutable,
            Attribute::Append,
        ])
    };
    let on_files = prop_oneof![
        (name(), any::<bool>()).prop_map(|(name, is_nocow)| Op::File { name, is_nocow }),
        name().prop_map(|name| Op::Dir { name }),
        name().prop_map(|name| Op::Fifo { name }),
        name().prop_map(|name| Op::Subvol { name }),
        (name(), name(), any::<bool>()).prop_map(|(source, target, is_readonly)| Op::Snapshot {
            source,
            target,
            is_readonly
        }),
        name().prop_map(|name| Op::Delete { name }),
        (name(), name()).prop_map(|(source, target)| Op::Link { source, target }),
        (name(), name()).prop_map(|(source, target)| Op::Rename { source, target }),
        (name(), any::<bool>()).prop_map(|(name, is_held)| Op::Unlink { name, is_held }),
        name().prop_map(|name| Op::Close { name }),
        (name(), number(), content()).prop_map(|(name, offset, content)| Op::Write {
            name,
            offset,
            content
        }),
        (name(), number()).prop_map(|(name, size)| Op::Truncate { name, size }),
        (name(), number(), number(), any::<bool>()).prop_map(|(name, offset, len, keeps_size)| {
            Op::Fallocate {
                name,
                offset,
                len,
                keeps_size,
            }
        }),
    ];
    let others = prop_oneof![
        (name(), number(), content()).prop_map(|(name, offset, content)| Op::DirectWrite {
            name,
            offset,
            content
        }),
        (name(), number(), content()).prop_map(|(name, offset, content)| Op::MappedWrite {
            name,
            offset,
            content
        }),
        (name(), number(), number()).prop_map(|(name, offset, len)| Op::Punch {
            name,
            offset,
            len
        }),
        (name(), number(), number(), any::<bool>()).prop_map(|(name, offset, len, keeps_size)| {
            Op::Zero {
                name,
                offset,
                len,
                keeps_size,
            }
        }),
        name().prop_map(|name| Op::Flush { name }),
        name().prop_map(|name| Op::Fiemap { name }),
        name().prop_map(|name| Op::Fsync { name }),
        Just(Op::Sync),
        any::<bool>().prop_map(|is_readonly| Op::Remount { is_readonly }),
        Just(Op::Tick),
        Just(Op::Tree),
        (name(), attribute(), any::<bool>()).prop_map(|(name, attribute, is_set)| Op::Chattr {
            name,
            attribute,
            is_set
        }),
        (name(), 0_u16..0o10000).prop_map(|(name, mode)| Op::Chmod { name, mode }),
        (name(), any::<u32>()).prop_map(|(name, uid)| Op::Chown { name, uid }),
        (fd(), number(), number(), fd(), number()).prop_map(
            |(source, source_offset, len, target, target_offset)| {
                Op::Clone(CloneCall {
                    source,
                    source_offset,
                    len,
                    target,
                    target_offset,
                })
            }
        ),
        vec(name(), 0..4).prop_map(|names| Op::Observe { names }),
    ];
    prop_oneof![on_files, others, dedupe().prop_map(Op::Dedupe)]
}

fn comments() -> impl Strategy<Value = Vec<String>> {
    vec("(#( ?[ -~\u{e4}\u{20ac}]{0,20}[!-~])?)?", 0..3)
}

fn results() -> impl Strategy<Value = Vec<ResultBlock>> {
    let lines = || vec("[!-~]([ -~]{0,20}[!-~])?", 1..3);
    let guarded = vec(("(v4|linux-)[0-9.]{1,4}", lines()), 0..3);
    (guarded, option::of(lines())).prop_map(|(guarded, lines)| {
        let mut blocks: Vec<ResultBlock> = Vec::new();
        for (guard, lines) in guarded {
            if blocks
                .iter()
                .all(|block| block.guard.as_ref() != Some(&guard))
            {
                blocks.push(ResultBlock {
                    guard: Some(guard),
                    lines,
                });
            }
        }
        blocks.extend(lines.map(|lines| ResultBlock { guard: None, lines }));
        blocks
    })
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let line = (comments(), op(), results()).prop_map(|(comments, op, results)| Line {
        comments,
        op,
        results,
    });
    let checksums = select(&ChecksumKind::ALL[..]);
    let data = prop_oneof![
        select(&DataMode::ALL[..]).prop_map(|data| (data, Compression::None)),
        select(&Compression::ALL[..]).prop_map(|compress| (DataMode::Checked, compress)),
    ];
    let bytes = (number(), any::<u32>(), any::<u32>());
    let geometry = (bytes, checksums, data, any::<[bool; 2]>()).prop_map(
        |((device_bytes, sector_bytes, node_bytes), checksum, data, [is_mixed, has_quota])| {
            Geometry {
                device_bytes,
                sector_bytes,
                node_bytes: if is_mixed { sector_bytes } else { node_bytes },
                is_mixed,
                checksum,
                data: data.0,
                compress: data.1,
                has_quota,
            }
        },
    );
    (comments(), geometry, vec(line, 0..6), comments()).prop_map(
        |(comments, geometry, lines, end_comments)| Scenario {
            comments,
            geometry,
            lines,
            end_comments,
        },
    )
}

fn probe() -> impl Strategy<Value = Probe> {
    (name(), option::of(number())).prop_map(|(name, expected_shape)| Probe {
        name,
        expected_shape,
    })
}

fn errno() -> impl Strategy<Value = Errno> {
    prop_oneof![1_i32..134, 1_i32..=i32::MAX].prop_map(|raw| Errno::new(raw).expect("positive"))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let status = prop_oneof![Just(0), Just(1), Just(77), -133..0_i32, any::<i32>()];
    let bytes_deduped = prop_oneof![Just(0_u64), Just(0xdead), number()];
    let element = (status, bytes_deduped).prop_map(|(status, bytes_deduped)| ElementAnswer {
        status,
        bytes_deduped,
    });
    let elements = vec(
        (element, prop_oneof![4 => Just(1_usize), 1 => 1_usize..140]),
        0..4,
    );
    let end = prop_oneof![Just(CallEnd::Returned), errno().prop_map(CallEnd::Failed)];
    prop_oneof![
        Just(Outcome::Done),
        errno().prop_map(Outcome::Failed),
        number().prop_map(Outcome::Short),
        errno().prop_map(Outcome::NotOpened),
        trees().prop_map(|trees| Outcome::Trees(Box::new(trees))),
        Just(Outcome::Hangs),
        Just(Outcome::Panics),
        (end, elements, vec(any::<u8>(), 0..60)).prop_map(|(end, elements, bytes)| {
            let elements = elements
                .into_iter()
                .flat_map(|(element, nr_times)| std::iter::repeat_n(element, nr_times))
                .collect();
            Outcome::Dedupe {
                end,
                elements,
                bytes,
            }
        }),
    ]
}

pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    let rules = vec(
        option::of("[a-z][a-z0-9-]{0,12}".prop_map(Cow::Owned)),
        0..4,
    );
    let effect =
        any::<[bool; 3]>().prop_map(|[moved_reference, met_dirty_pages, cut_extent]| Effect {
            moved_reference,
            met_dirty_pages,
            cut_extent,
        });
    (outcome(), rules, vec(any::<String>(), 0..3), effect).prop_map(
        |(outcome, rules, complaints, effect)| Answer {
            outcome,
            rules,
            complaints,
            effect,
            adopted: Vec::new(),
        },
    )
}

fn stat(kind: FileKind) -> impl Strategy<Value = Stat> {
    (
        number(),
        number(),
        0_u16..0o10000,
        any::<u32>(),
        any::<[bool; 2]>(),
    )
        .prop_map(
            move |(size, blocks, mode, uid, [mtime_changed, ctime_changed])| Stat {
                kind,
                size,
                blocks,
                mode,
                uid,
                mtime_changed,
                ctime_changed,
            },
        )
}

fn map_run() -> impl Strategy<Value = MapRun> {
    (
        number(),
        number(),
        option::of(number().prop_map(Storage)),
        any::<[bool; 6]>(),
    )
        .prop_map(|(offset, len, storage, flags)| {
            let [
                is_delalloc,
                is_unwritten,
                is_shared,
                is_share_open,
                is_inline,
                is_encoded,
            ] = flags;
            let flags = MapFlags {
                is_delalloc,
                is_unwritten,
                is_shared,
                is_share_open,
                is_inline,
                is_encoded,
            };
            MapRun {
                offset,
                len,
                storage,
                flags,
            }
        })
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        Just(Observation::Absent),
        errno().prop_map(Observation::Unreadable),
        (stat(FileKind::Regular), any::<u128>(), vec(map_run(), 0..5)).prop_map(
            |(stat, digest, map)| {
                Observation::File {
                    stat,
                    content: Digest::from_raw(digest),
                    map,
                }
            }
        ),
        stat(FileKind::Directory).prop_map(|stat| Observation::Other { stat }),
        stat(FileKind::Fifo).prop_map(|stat| Observation::Other { stat }),
    ]
}

/// Exchanges with a reply to each.
pub(crate) fn conversation() -> impl Strategy<Value = (Vec<Exchange>, Vec<Reply>)> {
    let pair =
        (op(), vec((probe(), observation()), 0..4), answer()).prop_map(|(op, looks, answer)| {
            let (probes, observations) = looks.into_iter().unzip();
            (
                Exchange { op, probes },
                Reply {
                    answer,
                    observations,
                    layouts: Vec::new(),
                },
            )
        });
    vec(pair, 0..5).prop_map(|pairs| pairs.into_iter().unzip())
}

pub(crate) fn map() -> impl Strategy<Value = Vec<MapRun>> {
    vec(map_run(), 0..6)
}
