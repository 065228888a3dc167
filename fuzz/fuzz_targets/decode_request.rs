//! Any bytes as a request, decoded and answered without a kernel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::decode_request(bytes));
