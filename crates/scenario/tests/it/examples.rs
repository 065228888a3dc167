//! Scenarios and operations as they look.

use scenario::{Op, Scenario, parse_op};

const EXAMPLE: &str = "\
# A checksummed range may not share an extent with an unchecksummed one.
mkfs size=64g sectorsize=4k

file A nocow
file B

pwrite A 0 16k 0x61 + 4k seed=7@0 + 3 hex=00ff10 + 1m zero
  = ok
# Both sides are flushed before the check.
dedupe A 0 16k => B 0 %closed 0 B:ro,second 4095 reserved=1 x130 count=2 as=user
  =v4 EPERM
  = B EINVAL [nodatasum-mismatch]
  = %closed EBADF [dest-fd]
clone A:high 0x8000000000000000 0xffffffffffffffff => . 0
chattr A +i
chmod A 0644
observe A B
  = A absent
# The end.
";

#[test]
fn a_canonical_scenario_prints_as_it_was() {
    let scenario = Scenario::parse(EXAMPLE).expect("the example is right");
    assert_eq!(scenario.to_string(), EXAMPLE);
}

#[test]
fn the_example_of_the_document_is_canonical() {
    let document = include_str!("../../../../docs/scenario.md");
    let (_, rest) = document
        .split_once("```scenario\n")
        .expect("there is an example");
    let (example, _) = rest.split_once("```").expect("the example ends");
    let scenario = Scenario::parse(example).expect("the example is right");
    assert_eq!(scenario.to_string(), example);
}

#[test]
fn an_operation_prints_in_canonical_form() {
    for (text, canonical) in [
        ("  file\tA  ", "file A"),
        ("truncate A 16384", "truncate A 16k"),
        ("truncate A 0x1000", "truncate A 4k"),
        ("truncate A 1024K", "truncate A 1m"),
        ("truncate A 16773120", "truncate A 16380k"),
        (
            "truncate A 9223372036854775807",
            "truncate A 0x7fffffffffffffff",
        ),
        (
            "truncate A 18446744073709551615",
            "truncate A 0xffffffffffffffff",
        ),
        ("truncate A 1023t", "truncate A 1023t"),
        ("pwrite A 0 0 seed=1@1", "pwrite A 0 0 zero"),
        ("pwrite A 0 1 0x61 + 1 0x61", "pwrite A 0 2 0x61"),
        ("pwrite A 0 1 0x00", "pwrite A 0 1 zero"),
        (
            "dedupe A 0 0 => B 0 B 0 B 4k",
            "dedupe A 0 0 => B 0 x2 B 4k",
        ),
        (
            "dedupe A 0 0 => B 0 x1 as=root memory=whole",
            "dedupe A 0 0 => B 0",
        ),
        (
            "dedupe A 0 0 => B 0 as=user count=7",
            "dedupe A 0 0 => B 0 count=7 as=user",
        ),
        (
            "dedupe ./x5:second,ro 0 0 =>",
            "dedupe ./x5:ro,second 0 0 =>",
        ),
        (
            "dedupe A 0 0 => ./x5 0 x5 ./x5 4k",
            "dedupe A 0 0 => ./x5 0 x5 ./x5 4k",
        ),
        (
            "dedupe A 0 0 => B 0 memory=pointer:8",
            "dedupe A 0 0 => B 0 memory=pointer:8",
        ),
        ("chmod A 7", "chmod A 0007"),
        ("observe", "observe"),
    ] {
        assert_eq!(
            parse_op(text).map(|op| op.to_string()).as_deref(),
            Ok(canonical),
            "{text}"
        );
    }
}

#[test]
fn a_file_without_header_gets_the_default_geometry() {
    let scenario = Scenario::parse("# first\nsync\r\n").expect("the text is right");
    assert_eq!(
        scenario.to_string(),
        "mkfs size=64g sectorsize=4k\n# first\nsync\n"
    );
}

#[test]
fn a_comment_without_mark_is_printed_with_one() {
    let mut scenario = Scenario::of_ops(scenario::Geometry::default(), [Op::Sync]);
    scenario.comments.push("seed 7\nsteps 3".to_owned());
    assert_eq!(
        scenario.to_string(),
        "# seed 7\n# steps 3\nmkfs size=64g sectorsize=4k\nsync\n"
    );
}

#[test]
fn the_first_block_that_applies_to_a_profile_is_expected() {
    let scenario = Scenario::parse("sync\n  =v4 EIO\n  = ok\ntick\n").expect("the text is right");
    assert_eq!(
        scenario.lines[0].expected_for("v4"),
        Some(&["EIO".to_owned()][..])
    );
    assert_eq!(
        scenario.lines[0].expected_for("linux-6.1"),
        Some(&["ok".to_owned()][..])
    );
    assert_eq!(scenario.lines[1].expected_for("v4"), None);
}

#[test]
fn what_mkfs_is_told_is_said_only_where_it_is_not_the_default() {
    let printed = |text: &str| Scenario::parse(text).map(|scenario| scenario.geometry.to_string());
    let usual = "mkfs size=64g sectorsize=4k";
    assert_eq!(printed("mkfs data=checked\n").as_deref(), Ok(usual));
    for mode in ["nodatasum", "nodatacow"] {
        let line = format!("{usual} data={mode}");
        assert_eq!(printed(&line), Ok(line.clone()));
    }
    assert_eq!(
        printed("mkfs nodesize=16k csum=crc32c\n").as_deref(),
        Ok(usual)
    );
    let line = format!("{usual} nodesize=4k csum=blake2");
    assert_eq!(printed(&line), Ok(line.clone()));
    let line = format!("{usual} compress=lzo");
    assert_eq!(printed(&line), Ok(line.clone()));
    assert_eq!(printed("mkfs compress=none\n").as_deref(), Ok(usual));
    let error = printed("mkfs data=nodatacow compress=zstd\n").expect_err("one of both");
    assert!(error.to_string().contains("take back"), "{error}");
    let error = printed("mkfs data=cow\n").expect_err("there is no such mode");
    assert!(error.to_string().contains("data=nodatasum"), "{error}");
}
