//! What a push by force replaces: the remote keeps it, whole, as a remote of its own.
//!
//! Where in the flow: in a push over what this side does not come from, before the step that decides. It lies in a folder
//! of the remote's (in a bucket: below a name) `before-push.N`, under its usual names, so that a pull gets it back. Never
//! removes one: nobody but a person can tell which of them is somebody's only copy.

use super::SyncError;
use super::meta::Meta;

/// How many a remote keeps. A push that would have to keep one more is refused.
pub(super) const KEPT: u32 = 8;
/// What their names begin with.
const NAME: &str = "before-push";
/// The name of one that is being made.
pub(super) const KEPT_PART: &str = "before-push.part";

/// What is under one of the names.
pub(super) enum Found {
    /// Nothing: it is free.
    Nothing,
    /// A snapshot, which can be pulled as far as can be told without reading it.
    Snapshot(Box<Meta>),
    /// Something, of which nothing is known.
    Unclear,
}

/// Where what is there is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The name in the remote.
    pub(super) name: String,
    /// It is there already: a push that died or was refused had come that far.
    pub(super) is_filled: bool,
}

/// All names, the first one first.
pub(super) fn names() -> impl Iterator<Item = String> {
    (1..=KEPT).map(|number| format!("{NAME}.{number}"))
}

/// Chooses where to keep what is there, by what is under each of the names. `shown` is the remote as a person sees it.
///
/// # Errors
/// [`SyncError::KeptFull`].
pub(super) fn choose(there: &Meta, shown: &str, found: &[Found]) -> Result<Slot, SyncError> {
    let slot = |is_filled| move |name| Slot { name, is_filled };
    let find =
        |is_it: &dyn Fn(&Found) -> bool| names().zip(found).find(|(_, found)| is_it(found)).map(|(name, _)| name);
    let same = find(&|found| matches!(found, Found::Snapshot(meta) if meta.is_same(there))).map(slot(true));
    let free = || find(&|found| matches!(found, Found::Nothing)).map(slot(false));
    same.or_else(free).ok_or_else(|| {
        // RFC 3339 in UTC: what sorts first is the earliest.
        let pushed = |found: &Found| match found {
            Found::Snapshot(meta) => Some(meta.last_synced_at.clone()),
            Found::Nothing | Found::Unclear => None,
        };
        let dated = names().zip(found).filter_map(|(name, found)| Some((pushed(found)?, name)));
        SyncError::KeptFull { remote: shown.to_owned(), oldest: dated.min().map(|(_, name)| name) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::meta::sample;

    fn meta(generation: u64, last_synced_at: &str) -> Meta {
        Meta { generation, last_synced_at: last_synced_at.to_owned(), ..sample() }
    }

    #[test]
    fn the_first_free_one_is_taken_unless_it_is_kept_already() {
        let there = meta(5, "2026-01-05T00:00:00Z");
        let of = |found: &[Found]| choose(&there, "it", found).map(|slot| (slot.name, slot.is_filled)).ok();
        let other = || Found::Snapshot(Box::new(meta(4, "2026-01-04T00:00:00Z")));
        assert_eq!(of(&[other(), Found::Unclear, Found::Nothing]), Some(("before-push.3".to_owned(), false)));
        let same = Found::Snapshot(Box::new(there.clone()));
        assert_eq!(of(&[Found::Nothing, other(), same]), Some(("before-push.3".to_owned(), true)));
    }

    #[test]
    fn where_none_is_free_the_earliest_is_told() {
        let mut found: Vec<_> =
            (1..=KEPT).map(|day| Found::Snapshot(Box::new(meta(1, &format!("2026-01-1{day}T00:00:00Z"))))).collect();
        found[3] = Found::Snapshot(Box::new(meta(9, "2026-01-01T00:00:00Z")));
        found[5] = Found::Unclear;
        let told = choose(&meta(2, ""), "it", &found).unwrap_err();
        assert!(told.to_string().contains("`before-push.4`"), "{told}");
    }
}
