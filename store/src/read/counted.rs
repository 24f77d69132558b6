//! How much of a range is left, remembered from page to page, so that progress costs one count and not one a page.
//!
//! Where in the flow: beside a store's reads. Never decides what is read: an estimate that is off shows in a
//! progress bar and nowhere else.

use std::collections::VecDeque;

use greenlight_core::Cursor;
use greenlight_core::replica::{Author, ReadPosition, ReadRequest};

use crate::limits::COUNTED_RANGES;

/// The ranges whose reading is under way, the one read last at the end.
#[derive(Debug, Default)]
pub(crate) struct Counted(VecDeque<(Cursor, Author, ReadPosition, u64)>);

impl Counted {
    /// What is left behind the place where the request goes on, if its range was counted.
    pub(crate) fn left(&mut self, request: &ReadRequest, until: Cursor) -> Option<u64> {
        let after = request.after.as_ref()?;
        let known = |entry: &(Cursor, Author, ReadPosition, u64)| {
            entry.0 == until && entry.1 == request.author && entry.2 == *after
        };
        // Not taken out: a page that was lost on its way is read again.
        self.0.iter().find(|entry| known(entry)).map(|entry| entry.3)
    }

    /// Remembers what is left behind `next`.
    pub(crate) fn remember(&mut self, request: &ReadRequest, until: Cursor, next: Option<&ReadPosition>, left: u64) {
        let Some(next) = next else { return };
        if self.0.len() >= COUNTED_RANGES {
            self.0.pop_front();
        }
        self.0.push_back((until, request.author, next.clone(), left));
    }
}
