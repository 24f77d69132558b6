//! The fuzzer: libFuzzer with the target that `GREENLIGHT_FUZZ` names. Built and started by `scripts/fuzz`.
#![no_main]

use std::sync::OnceLock;

use greenlight_fuzz::{Target, target};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("GREENLIGHT_FUZZ").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("there is no target `{name}`"))
    });
    (chosen.run)(data);
});
