//! Rust source with comments and literals blanked out, so that a search finds code only:
//! [`only_code`]. Lines keep their numbers and columns. It knows no more of Rust than that.

/// Returns the text with every byte of a comment or a string literal, but for newlines, as a
/// space.
pub(super) fn only_code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let len = blank_len(rest, at.checked_sub(1).map(|before| bytes[before]));
        match len {
            0 => {
                code.push(rest[0]);
                at += 1;
            }
            _ => {
                let blank = rest[..len].iter();
                code.extend(blank.map(|&byte| if byte == b'\n' { byte } else { b' ' }));
                at += len;
            }
        }
    }
    // Only whole characters were blanked: comments and literals begin and end with ASCII.
    String::from_utf8_lossy(&code).into_owned()
}

/// Returns how many bytes from here on are a comment or a literal; 0 if none begins here.
fn blank_len(rest: &[u8], before: Option<u8>) -> usize {
    let is_in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => find(rest, b"\n").unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => 1 + string_len(&rest[1..]),
        [b'r', b'"' | b'#', ..] if !is_in_word => raw_string_len(rest),
        [b'\'', ..] => char_len(rest),
        _ => 0,
    }
}

/// Returns the length of a comment that may have others inside.
fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// Returns the length of what follows an opening quote, with the closing one.
fn string_len(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Returns the length of `r"…"` or `r#"…"#`; 0 for a raw identifier.
fn raw_string_len(rest: &[u8]) -> usize {
    let nr_hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    let begin = 1 + nr_hashes;
    if rest.get(begin) != Some(&b'"') {
        return 0;
    }
    let mut end = vec![b'"'];
    end.resize(1 + nr_hashes, b'#');
    let body = &rest[begin + 1..];
    find(body, &end).map_or(rest.len(), |at| begin + 1 + at + end.len())
}

/// Returns the length of a character literal; 0 for a lifetime.
fn char_len(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        // The escaped character may be a quote itself.
        return rest
            .get(3..)
            .and_then(|tail| find(tail, b"'"))
            .map_or(0, |at| 3 + at + 1);
    }
    // One character of up to four bytes.
    let end = (2..=5).find(|&end| rest.get(end) == Some(&b'\''));
    let is_one =
        |end: usize| std::str::from_utf8(&rest[1..end]).is_ok_and(|text| text.chars().count() == 1);
    match end {
        Some(end) if is_one(end) => end + 1,
        _ => 0,
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::only_code;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(only_code(text).trim_end(), code);
    }

    #[test]
    fn comments_are_blanked() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
    }

    #[test]
    fn literals_are_blanked_and_lifetimes_are_not() {
        check(r#"f("a\"b", c)"#, "f(      , c)");
        check(r##"f(r#"a"b"#, c)"##, "f(        , c)");
        check(
            "fn f<'a>(b: &'a str, c: char)",
            "fn f<'a>(b: &'a str, c: char)",
        );
        check(r"m('\'', 'x', '\n')", "m(    ,    ,     )");
        check("r#type", "r#type");
    }
}
