//! Frames made to harm: the decoder never panics, and never allocates by a number that a stranger sent.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use greenlight_core::PackedKey;
use greenlight_core::protocol::{ClientMessage, ServerMessage};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::arbitrary::{client_message, server_message};
use crate::frame::{Frame, bytes, hello, upload, varint};
use crate::roundtrip::{to_send, to_serve};

/// Counts what each thread holds, so that a test can tell the most that a call held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call is the system allocator's own; counting touches only plain cells of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were held at once for `call`, beyond what was held before.
fn most_held(call: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    call();
    usize::try_from(MOST.get() - before).unwrap_or(0)
}

/// No byte of a frame may cost more than this: a change in memory is some forty times its shortest spelling, and a
/// list of them may be twice as large as it is full.
const MOST_PER_BYTE: usize = 160;

fn decode_both(frame: &[u8]) {
    drop(ClientMessage::decode(frame));
    drop(ServerMessage::decode(frame));
}

fn check_cost(frame: &[u8]) -> Result<(), TestCaseError> {
    let held = most_held(|| decode_both(frame));
    prop_assert!(held <= MOST_PER_BYTE * frame.len() + 64, "{} bytes cost {held}", frame.len());
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(frame in prop::collection::vec(any::<u8>(), 0..300), kind in 0..15u8) {
        check_cost(&frame)?;
        check_cost(&[vec![kind], frame.clone()].concat())?;
        drop(PackedKey::new(&frame));
    }

    #[test]
    fn a_message_with_bytes_overwritten(
        message in prop_oneof![
            client_message().prop_map(|message| to_send(&message).encode()),
            server_message().prop_map(|message| to_serve(&message).encode()),
        ],
        spots in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut frame = message;
        for (at, byte) in spots {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        check_cost(&frame)?;
    }
}

#[test]
fn the_allocator_counts() {
    assert!(most_held(|| drop(vec![0u8; 100_000])) >= 100_000);
    assert_eq!(most_held(|| ()), 0);
}

#[test]
fn a_large_number_alone_costs_nothing() {
    let counts = [1, 127, 512, 4_096, 16_384, 16_385, u64::from(u32::MAX), u64::MAX];
    let frames = |count: u64| {
        let lengths = ["token", "agent", "schema name", "shape"].map(|field| hello().with(field, varint(count)));
        let tables = ["names", "sites", "changes", "key", "value"].map(|field| upload().with(field, varint(count)));
        let text = upload().with("flags", [3 << 4]).with("value", varint(count));
        let blob = upload().with("flags", [4 << 4]).with("value", varint(count));
        let long_key = upload().with("key", bytes(&[&[1, 0x43][..], &count.to_be_bytes()].concat()));
        [&lengths[..], &tables[..], &[text, blob, long_key]].concat()
    };
    for count in counts {
        for frame in frames(count) {
            let bytes = frame.bytes();
            let held = most_held(|| decode_both(&bytes));
            assert!(held <= MOST_PER_BYTE * bytes.len(), "{held} bytes for {bytes:02x?}");
        }
    }
}

#[test]
fn the_densest_frames_stay_within_bounds() {
    let changes = [crate::frame::zigzag(5), [0x0f, 0, 0].repeat(16_383)].concat();
    let densest_changes = upload().with("changes", varint(16_384)).with("value", changes);
    let table = |at: u64| [bytes(format!("{at:03}").as_bytes()), vec![1, 0, 1, 0]].concat();
    let shape = [varint(512), (0..512).flat_map(table).collect()].concat();
    let densest_shape = hello().with("shape", shape);
    for frame in [densest_changes, densest_shape] {
        let bytes = Frame::bytes(&frame);
        assert!(ClientMessage::decode(&bytes).is_ok());
        let held = most_held(|| decode_both(&bytes));
        assert!(held <= MOST_PER_BYTE * bytes.len(), "{held} for {} bytes", bytes.len());
    }
}
