//! No bytes upset the decoder; what it takes is JSON by the standard reader too, and reads back as it was written.
#![no_main]

use callweave_core::event::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match decode(bytes, None) {
        Ok(event) => {
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok());
            assert_eq!(decode(event.to_json().as_bytes(), None).as_ref(), Ok(&event));
        }
        Err(rejected) => assert_eq!(rejected.raw, bytes),
    }
});
