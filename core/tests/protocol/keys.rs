//! Packed keys: one spelling for each key, and one key for each spelling.

use greenlight_core::PackedKey;
use greenlight_core::change::Value;
use greenlight_core::key::KeyError;
use greenlight_core::limits::{MAX_KEY_BYTES, MAX_KEY_COLUMNS};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::arbitrary::key_values;

proptest! {
    #[test]
    fn a_key_comes_back(values in key_values()) {
        let key = PackedKey::pack(&values).expect("a key within its limits");
        prop_assert_eq!(key.values(), values);
        prop_assert_eq!(PackedKey::new(key.as_bytes()), Ok(key));
    }

    #[test]
    fn two_keys_never_share_a_spelling(one in key_values(), other in key_values()) {
        let (packed, also) = (PackedKey::pack(&one), PackedKey::pack(&other));
        prop_assert_eq!(packed == also, format!("{one:?}") == format!("{other:?}"));
    }

    #[test]
    fn what_is_accepted_is_spelt_as_it_would_be_packed(bytes in spelling()) {
        if let Ok(key) = PackedKey::new(&bytes) {
            let again = PackedKey::pack(&key.values());
            prop_assert_eq!(again.as_ref().map(PackedKey::as_bytes), Ok(&bytes[..]));
        }
    }

    #[test]
    fn a_cut_or_lengthened_key_is_refused(values in key_values(), cut in any::<prop::sample::Index>(), more: u8) {
        let key = PackedKey::pack(&values).expect("a key within its limits");
        let bytes = key.as_bytes();
        prop_assert_eq!(PackedKey::new(&bytes[..cut.index(bytes.len())]), Err(KeyError::Length));
        prop_assert_eq!(PackedKey::new(&[bytes, &[more]].concat()), Err(KeyError::Length));
    }
}

/// Bytes that look like a key: a small count, then types with lengths.
fn spelling() -> impl Strategy<Value = Vec<u8>> {
    let column = (0..10u8, 0..8u8, prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..10))
        .prop_map(|(size, kind, rest)| [vec![(size << 3) | kind], rest].concat());
    (1..4u8, prop::collection::vec(column, 1..4)).prop_map(|(count, columns)| [vec![count], columns.concat()].concat())
}

#[test]
fn a_key_has_limits() {
    let blob = |bytes: usize| PackedKey::pack(&[Value::Blob(vec![1; bytes])]);
    assert!(blob(MAX_KEY_BYTES - 4).is_ok());
    assert_eq!(blob(MAX_KEY_BYTES - 3), Err(KeyError::TooLarge));
    let columns = |count: usize| PackedKey::pack(&vec![Value::Integer(0); count]);
    assert!(columns(MAX_KEY_COLUMNS).is_ok());
    assert_eq!(columns(MAX_KEY_COLUMNS + 1), Err(KeyError::TooLarge));
    assert_eq!(columns(300), Err(KeyError::TooLarge));
    assert_eq!(PackedKey::pack(&[Value::Null]), Err(KeyError::Null));
    assert_eq!(PackedKey::pack(&[Value::Real(f64::NAN)]), Err(KeyError::NotCanonical));
}
