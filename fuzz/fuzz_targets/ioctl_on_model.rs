//! Any bytes as a call on the model of some kernel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::ioctl_on_model(bytes));
