//! What a text that is not in the language gets told.

use scenario::{Scenario, parse_op, protocol, text};

/// Checks the message about a scenario.
#[track_caller]
fn check(text: &str, message: &str) {
    let error = Scenario::parse(text).expect_err("the text is wrong");
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_missing_word_is_told_at_the_end_of_the_line() {
    check(
        "file A\npwrite A",
        "line 2, column 9: expected an offset, found the end of the line",
    );
}

#[test]
fn a_wrong_word_is_told_where_it_stands() {
    check(
        "\n\npwrite A x",
        "line 3, column 10: expected an offset, found \"x\"",
    );
}

#[test]
fn an_unknown_verb_lists_the_verbs() {
    check(
        "frobnicate A",
        "line 1, column 1: expected one of file, dir, fifo, subvol, snapshot, delete, link, \
         rename, unlink, close, pwrite, dwrite, mwrite, truncate, falloc, fpunch, fzero, flush, \
         fiemap, fsync, sync, remount, tick, tree, chattr, chmod, chown, clone, dedupe, observe, found \"frobnicate\"",
    );
}

#[test]
fn columns_are_characters_and_not_bytes() {
    check(
        "pwrite A 0 4k hex=\u{20ac} \u{20ac}",
        "line 1, column 15: expected hex= and an even number of hexadecimal digits, \
         found \"hex=\u{20ac}\"",
    );
    check(
        "sync \u{20ac}\u{20ac} x",
        "line 1, column 6: expected the end of the line, found \"\u{20ac}\u{20ac}\"",
    );
}

#[test]
fn a_wrong_modifier_is_told_at_its_own_place() {
    check(
        "dedupe A:ro,wo 0 4k => B 0",
        "line 1, column 13: expected one of ro, wo, append, opath, second, romount, high, each \
         kind once, found \"wo\"",
    );
}

#[test]
fn a_number_beyond_64_bits_is_no_offset() {
    check(
        "truncate A 18446744073709551616",
        "line 1, column 12: expected a size, found \"18446744073709551616\"",
    );
    check(
        "truncate A 16777216t",
        "line 1, column 12: expected a size, found \"16777216t\"",
    );
}

#[test]
fn literal_bytes_have_to_be_as_many_as_said() {
    check(
        "pwrite A 0 3 hex=00ff",
        "line 1, column 14: expected 3 literal bytes, found 2",
    );
}

#[test]
fn contents_of_more_than_64_bits_are_refused() {
    check(
        "pwrite A 0 0xffffffffffffffff zero + 1 zero",
        "line 1, column 38: expected less than 2^64 bytes in all, found more",
    );
}

#[test]
fn too_many_elements_are_refused_before_they_take_memory() {
    check(
        "dedupe A 0 0 => B 0 x65535 B 0",
        "line 1, column 28: expected at most 65535 elements, found 65536",
    );
    check(
        "dedupe A 0 0 => B 0 x99999999999999999999",
        "line 1, column 21: expected x1 to x65535, found \"x99999999999999999999\"",
    );
    let many = "dedupe A 0 0 => B 0 x65535\n".repeat(17);
    let error = Scenario::parse(&many).expect_err("a million elements are too many");
    assert_eq!(error.line, 17);
}

#[test]
fn a_key_is_given_once() {
    check(
        "dedupe A 0 0 => count=1 count=2",
        "line 1, column 25: expected each key once, found a second count=",
    );
}

#[test]
fn results_need_their_operation_right_before_them() {
    let message = "expected an operation (results stand directly behind theirs), found \"=\"";
    check("  = ok", &format!("line 1, column 3: {message}"));
    check(
        "sync\n# why\n  = ok",
        &format!("line 3, column 3: {message}"),
    );
}

#[test]
fn a_block_of_results_that_can_never_apply_is_refused() {
    let message = "expected results that can apply: one block for a profile, the one for all last";
    check(
        "sync\n  = ok\n  =v4 EIO",
        &format!("line 3, column 3: {message}, found \"=v4\""),
    );
    check(
        "sync\n  =v4 EIO\n  =v5 EIO\n  =v4 ok",
        &format!("line 4, column 3: {message}, found \"=v4\""),
    );
}

#[test]
fn a_header_in_the_middle_is_refused() {
    check(
        "sync\nmkfs size=64g",
        "line 2, column 1: expected one mkfs line before all operations, found mkfs in the middle",
    );
}

#[test]
fn a_line_over_the_bound_is_refused() {
    let line = format!("sync{}", " ".repeat(text::LINE_LEN_MAX));
    let error = parse_op(&line).expect_err("the line is too long");
    assert_eq!(
        error.to_string(),
        "line 1, column 1: expected a line of at most 65536 bytes, found 65540 bytes"
    );
}

#[test]
fn a_text_of_too_many_lines_is_refused() {
    let error = Scenario::parse(&"\n".repeat(text::LINES_MAX + 1)).expect_err("too many lines");
    assert_eq!(
        error.to_string(),
        "line 1000001, column 1: expected at most 1000000 lines, found more"
    );
}

#[test]
fn replies_that_stop_in_the_middle_are_told_and_can_be_cut() {
    let exchanges = protocol::parse_exchanges("sync\nfile A\n  observe A\n").expect("it is right");
    let text = "  = ok\nend\n  = ok\n  = * abs";
    let error = protocol::parse_replies(text, &exchanges).expect_err("the text is cut");
    assert_eq!(error.line, 4);
    let (complete, nr_replies) = protocol::complete(text);
    assert_eq!((complete, nr_replies), ("  = ok\nend\n", 1));
    let replies = protocol::parse_replies(complete, &exchanges[..nr_replies]);
    assert_eq!(replies.map(|replies| replies.len()), Ok(1));
}

#[test]
fn a_reply_has_to_have_one_observation_for_each_probe() {
    let exchanges = protocol::parse_exchanges("file A\n  observe A\n").expect("it is right");
    let error = protocol::parse_replies("  = ok\nend\n", &exchanges).expect_err("one is missing");
    assert_eq!(
        error.to_string(),
        "line 2, column 1: expected 1 observations, found 0"
    );
}
