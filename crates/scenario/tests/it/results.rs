//! Result lines as they look, and how they compare.

use std::borrow::Cow;

use data::Digest;
use scenario::{
    Answer, CallEnd, DedupeTarget, ElementAnswer, FileKind, Labels, MapFlags, MapRun, Name, Notes,
    Observation, Outcome, Places, Stat, Storage, parse_op, protocol, render_answer,
    render_observation, results_match,
};
use uapi::Errno;

/// Checks the lines of an answer to `op`.
#[track_caller]
fn check(op: &str, answer: &Answer, lines: &[&str]) {
    let op = parse_op(op).expect("the operation is right");
    assert_eq!(render_answer(answer, &op), lines);
}

fn dedupe(end: CallEnd, elements: &[(i32, u64)]) -> Outcome {
    let element = |&(status, bytes_deduped)| ElementAnswer {
        status,
        bytes_deduped,
    };
    Outcome::Dedupe {
        end,
        elements: elements.iter().map(element).collect(),
        bytes: vec![1],
    }
}

#[test]
fn outcomes_of_calls_are_one_line() {
    check("sync", &Outcome::Done.into(), &["ok"]);
    check("sync", &Outcome::Failed(Errno::EINVAL).into(), &["EINVAL"]);
    check("sync", &Outcome::Short(4096).into(), &["short 4k"]);
    check(
        "sync",
        &Outcome::NotOpened(Errno::EROFS).into(),
        &["not-opened EROFS"],
    );
    check("sync", &Outcome::Hangs.into(), &["hangs"]);
    check("sync", &Outcome::Panics.into(), &["panics"]);
    check("observe A", &Outcome::Done.into(), &[]);
}

#[test]
fn elements_are_a_line_each_with_their_descriptor_and_rule() {
    let (sent_status, sent_bytes) = (
        DedupeTarget::UNTOUCHED_STATUS,
        DedupeTarget::UNTOUCHED_BYTES,
    );
    let elements = [
        (0, 16384),
        (1, 0),
        (-22, 0),
        (sent_status, sent_bytes),
        (1, 1 << 20),
    ];
    let mut answer: Answer = dedupe(CallEnd::Returned, &elements).into();
    answer.rules = vec![None, None, Some(Cow::Borrowed("overlap"))];
    check(
        "dedupe A 0 16k => B 0 C:ro 0 A 4k %closed 0 B 0",
        &answer,
        &[
            "B same 16k",
            "C:ro differs",
            "A EINVAL [overlap]",
            "%closed untouched",
            "B differs 1m",
        ],
    );
    let odd = dedupe(
        CallEnd::Returned,
        &[(-22, 77), (77, 0), (sent_status, 0), (2, sent_bytes)],
    );
    check(
        "dedupe A 0 16k => B 0 x4",
        &odd.into(),
        &[
            "B EINVAL 77",
            "B status=77 bytes=0 x2",
            "B status=2 bytes=57005",
        ],
    );
}

#[test]
fn a_refused_call_has_a_line_before_its_elements() {
    let mut answer: Answer = dedupe(CallEnd::Failed(Errno::EINVAL), &[(0, 0); 3]).into();
    answer.rules = vec![Some(Cow::Borrowed("reserved"))];
    answer.complaints = vec!["WARNING: at fs\\x\u{7}".to_owned()];
    let lines = [
        "EINVAL [reserved]",
        "B same 0 x3",
        "log WARNING: at fs\\\\x\\u{7}",
    ];
    check("dedupe A 0 16k => B 0 x3", &answer, &lines);
    check(
        "dedupe A 0 16k =>",
        &dedupe(CallEnd::Returned, &[]).into(),
        &["ok"],
    );
}

#[test]
fn notes_can_be_ignored_in_comparisons() {
    let model = ["B EINVAL [overlap]", "B EINVAL x2 [unaligned]", "log a [b]"];
    let kernel = ["B EINVAL x3", "log a [b]"];
    assert!(results_match(&model, &kernel, Notes::Ignored));
    assert!(!results_match(&model, &kernel, Notes::Compared));
    assert!(results_match(&model, &model, Notes::Compared));
    assert!(!results_match(&["log a [b]"], &["log a"], Notes::Ignored));
    assert!(!results_match(
        &["A 0..4k x1"],
        &["A 0..4k x2"],
        Notes::Ignored
    ));
}

fn run(offset: u64, len: u64, storage: u64) -> MapRun {
    MapRun {
        offset,
        len,
        storage: Some(Storage(storage)),
        flags: MapFlags::default(),
    }
}

fn file(map: Vec<MapRun>) -> Observation {
    let stat = Stat {
        kind: FileKind::Regular,
        size: 16384,
        blocks: 32,
        mode: 0o644,
        uid: 0,
        mtime_changed: false,
        ctime_changed: true,
    };
    Observation::File {
        stat,
        content: Digest::from_raw(0xabc),
        map,
    }
}

/// Returns the map lines of files A, B, ... seen one after the other.
fn labelled(maps: Vec<Vec<MapRun>>) -> Vec<String> {
    let mut labels = Labels::new();
    let mut lines = Vec::new();
    for (letter, map) in ["A", "B", "C"].into_iter().zip(maps) {
        let name = Name::new(letter).expect("a letter is a name");
        let seen = render_observation(&name, &file(map), Places::Labelled(&mut labels));
        lines.extend(seen.into_iter().skip(1));
    }
    lines
}

#[test]
fn observations_tell_the_inode_and_then_its_map() {
    let name = Name::new("A").expect("a letter is a name");
    let mut delalloc = MapRun {
        storage: None,
        ..run(4096, 4096, 0)
    };
    delalloc.flags.is_delalloc = true;
    let mut shared = run(0, 4096, 13_631_488);
    shared.flags = MapFlags {
        is_shared: true,
        is_unwritten: true,
        ..MapFlags::default()
    };
    let seen = file(vec![shared, delalloc]);
    assert_eq!(
        render_observation(&name, &seen, Places::Raw),
        [
            "A file size=16k blocks=32 mode=0644 uid=0 mtime=kept ctime=changed \
             content=00000000000000000000000000000abc",
            "A 0..4k @13631488 shared unwritten",
            "A 4k..8k delalloc",
        ]
    );
    let unreadable = Observation::Unreadable(Errno::EIO);
    assert_eq!(
        render_observation(&name, &unreadable, Places::Raw),
        ["A unreadable EIO"]
    );
    assert_eq!(
        render_observation(&name, &Observation::Absent, Places::Raw),
        ["A absent"]
    );
}

#[test]
fn labels_name_storage_by_first_appearance() {
    let maps = vec![
        vec![run(0, 16384, 1 << 20)],
        vec![
            run(0, 4096, 7 << 20),
            run(4096, 8192, (1 << 20) + 4096),
            run(32768, 4096, 9 << 20),
        ],
    ];
    assert_eq!(
        labelled(maps),
        [
            "A 0..16k x0",
            "B 0..4k x1",
            "B 4k..12k x0+4k",
            "B 32k..36k x2"
        ]
    );
}

#[test]
fn labels_do_not_tell_where_an_allocator_put_things() {
    // One backend has both extents side by side and reports one run, the other has them apart.
    let joined = vec![
        vec![run(0, 32768, 1 << 20)],
        vec![run(0, 16384, (1 << 20) + 16384)],
    ];
    let apart = vec![
        vec![run(0, 16384, 5 << 20), run(16384, 16384, 1 << 20)],
        vec![run(0, 16384, 1 << 20)],
    ];
    assert_eq!(labelled(joined.clone()), ["A 0..32k x0", "B 0..16k x0+16k"]);
    assert_eq!(labelled(joined), labelled(apart));
}

#[test]
fn a_reply_prints_exactly_and_without_names() {
    let exchanges =
        protocol::parse_exchanges("dedupe A 0 4k => B 0 x2\n  observe A\n  observe B shape=4k\n");
    let exchanges = exchanges.expect("the batch is right");
    let text = "  = EINVAL\n  = * same 4k x2\n  = bytes 01ff\n  = effect cut-extent\n  = log x \n  \
                = * absent\n  = * dir mode=0755 uid=0 mtime=kept ctime=kept\nend\n";
    let replies = protocol::parse_replies(text, &exchanges).expect("the replies are right");
    assert_eq!(protocol::print_replies(&replies), text);
    assert_eq!(replies[0].answer.complaints, ["x "]);
}
