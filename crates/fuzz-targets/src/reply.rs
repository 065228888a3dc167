//! Requests as bytes, without a kernel: [`decode_request`], and what a reply may change.

use uapi::dedupe::{self, DedupeElement};

/// Reads any bytes as a request and writes results into it: nothing panics, and nothing but the
/// out fields changes.
pub fn decode_request(bytes: &[u8]) {
    let mut reply = bytes.to_vec();
    let whole_elements = dedupe::elements(bytes).map(<[DedupeElement]>::len);
    let claimed = dedupe::header(bytes).map_or(0, |header| usize::from(header.dest_count.get()));
    // One more than is claimed, whether it is there or not.
    for element_idx in 0..=claimed {
        let value = dedupe::element(bytes, element_idx).map_or(0, |e| e.dest_offset.get());
        let status = value as i32;
        let written = dedupe::write_result(&mut reply, element_idx, value, status);
        let is_there = dedupe::element(bytes, element_idx).is_ok();
        assert_eq!(written.is_ok(), is_there, "element {element_idx}");
        let read = dedupe::element(&reply, element_idx).ok();
        assert!(read.is_none_or(|e| e.bytes_deduped == value && e.status == status));
        if !is_there {
            break;
        }
    }
    if let Ok(nr_elements) = whole_elements {
        assert_eq!(nr_elements, claimed);
        assert_eq!(
            bytes.len().min(dedupe::request_len(claimed as u16)),
            dedupe::request_len(claimed as u16)
        );
    }
    assert_differs_in_out_fields_only(bytes, &reply);
    assert_eq!(dedupe::normalised_reply(bytes, &reply).len(), reply.len());
}

/// Asserts that a reply is its request with other results.
///
/// # Panics
///
/// If it is not.
pub(crate) fn assert_differs_in_out_fields_only(request: &[u8], reply: &[u8]) {
    assert_eq!(without_results(request), without_results(reply));
}

/// Returns the bytes with zero in the out fields of every whole element.
fn without_results(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut element_idx = 0;
    while dedupe::write_result(&mut bytes, element_idx, 0, 0).is_ok() {
        element_idx += 1;
    }
    bytes
}
