//! How two sides stand to each other: a pure function of what is here, what is there, and what was exchanged last.
//!
//! Where in the flow: before every push and pull, and all of a status. Never touches a file.

use greenlight_store::portable::{Head, Present};
use serde::Serialize;

use super::memory::{Exchanged, Memory, OfDatabase};
use super::meta::Meta;

/// How the local database and the remote stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Both are as they were when they were exchanged last.
    Equal,
    /// Only the local database has moved: a push loses nothing.
    Ahead,
    /// Only the remote has moved, or there is no local database: a pull loses nothing.
    Behind,
    /// Both have moved, or they never met: whichever wins, the other's changes give way.
    Diverged,
    /// The remote holds nothing.
    Empty,
}

impl Relation {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Ahead => "ahead",
            Self::Behind => "behind",
            Self::Diverged => "diverged",
            Self::Empty => "empty",
        }
    }
}

/// Both sides, and what follows.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) relation: Relation,
    /// Why, where it is not plain.
    pub(super) why: Option<String>,
    pub(super) present: Option<Present>,
    pub(super) there: Option<Meta>,
    /// What both had in common last.
    pub(super) base: Option<Exchanged>,
    /// That is an attempt which arrived and was not confirmed.
    pub(super) unconfirmed: bool,
    /// The remote holds something else than this project.
    pub(super) foreign: Option<String>,
    /// Nothing is there where something was exchanged: this generation.
    pub(super) gone: Option<u64>,
}

impl Known {
    /// Whether a merge may be tried: the database here is a replica, of this project. What the remote holds is looked
    /// at once it is here.
    pub(super) fn may_merge(&self) -> bool {
        self.foreign.is_none() && self.schema_name().is_some()
    }

    /// Whether both sides' changes can be kept, as far as it is known: the remote says that it is of the same schema.
    pub(super) fn is_mergeable(&self) -> bool {
        let there = self.there.as_ref().and_then(|there| there.schema_name.as_deref());
        self.may_merge() && self.schema_name() == there
    }

    fn schema_name(&self) -> Option<&str> {
        self.present.as_ref().and_then(Present::schema_name)
    }

    /// Whether a push can only be a forced one: what is here does not come from what is there.
    pub(super) fn is_forced_out(&self) -> bool {
        matches!(self.relation, Relation::Behind | Relation::Diverged) || self.foreign.is_some()
    }
}

/// Judges. `shown` is the remote as a person sees it.
pub(super) fn judge(
    present: Option<Present>,
    there: Option<Meta>,
    memory: OfDatabase,
    project: &str,
    shown: &str,
) -> Known {
    let mut known = Known {
        relation: Relation::Empty,
        why: None,
        present,
        there,
        base: None,
        unconfirmed: false,
        foreign: None,
        gone: None,
    };
    let Some(there) = &known.there else {
        known.gone = memory.with_place(shown).map(|last| last.meta.generation);
        known.why = known.gone.map(|number| {
            format!("generation {number} was exchanged with this place, and nothing is there now: is it mounted?")
        });
        return known;
    };
    if there.project != project {
        known.foreign = Some(format!("it holds project `{}`, and this is `{project}`", there.project));
    }
    let Some(present) = &known.present else {
        known.relation = Relation::Behind;
        return known;
    };
    let (base, unconfirmed) = base(memory.of(&there.history), present, there);
    let (relation, why) = match &base {
        None => (Relation::Diverged, Some("the two were never exchanged with each other")),
        Some(base) => {
            let remote_moved = !base.meta.is_same(there);
            let local_moved = !present.is_at(&base.head);
            if !present.descends_from(&base.head) {
                let why =
                    "the database here does not come from what was exchanged last: it was put back, or is another";
                (Relation::Diverged, Some(why))
            } else if remote_moved && !there.comes_from(&base.meta) {
                (Relation::Diverged, Some("the remote does not come from what was exchanged last"))
            } else {
                match (local_moved, remote_moved) {
                    (false, false) => (Relation::Equal, None),
                    (true, false) => (Relation::Ahead, None),
                    (false, true) => (Relation::Behind, None),
                    (true, true) => (Relation::Diverged, Some("both have moved since")),
                }
            }
        }
    };
    known.relation = relation;
    known.why = why.map(str::to_owned).map(|why| match (present.schema_name(), there.schema_name.as_deref()) {
        (Some(here), Some(there)) if here != there => {
            format!("{why}, and follow different schemas (`{here}` here, `{there}` there)")
        }
        _ => why,
    });
    known.base = base;
    known.unconfirmed = unconfirmed;
    known
}

/// What both had in common last. An attempt that was cut off counts if it shows that it arrived: a push in the remote, a
/// pull in the database here.
fn base(memory: Memory, present: &Present, there: &Meta) -> (Option<Exchanged>, bool) {
    let Memory { last, pushing, pulling } = memory;
    let arrived_there = pushing.filter(|attempt| attempt.meta.is_same(there));
    let arrived_here = pulling.filter(|attempt| match &attempt.head {
        Head::Replica { .. } => present.descends_from(&attempt.head),
        Head::Plain { .. } => present.is_at(&attempt.head),
    });
    let arrived = arrived_there.or(arrived_here);
    let unconfirmed = arrived.is_some();
    (arrived.or(last), unconfirmed)
}
