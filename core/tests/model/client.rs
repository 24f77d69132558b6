//! A client's database in memory.
//!
//! Where in the flow: answers what a client's session asks. Every method changes all or nothing.

use std::collections::HashSet;

use greenlight_core::replica::{
    Applied, Author, Chunk, ClientState, ClientStore, DigestPage, DigestScope, DownloadPart, Fault, FaultKind, Outbox,
    ReadPosition, ReadRequest, UploadPlan,
};
use greenlight_core::{Bound, Change, Cursor, Lineage, PackedKey, SchemaId, SchemaShape, SiteId, Tag, Value, Version};

use super::{BOOK, LATER, POISON, Rows, fault, schema};

/// A client's database. Cloning it copies the file.
#[derive(Clone, Debug)]
pub(crate) struct ClientModel {
    pub(crate) site: SiteId,
    pub(crate) rows: Rows,
    pub(crate) schema: SchemaId,
    pub(crate) shape: SchemaShape,
    pub(crate) cursor: Cursor,
    pub(crate) acknowledged: Bound,
    /// Every request fails like this while it is set.
    pub(crate) broken: Option<FaultKind>,
    lineage: Option<Lineage>,
    sent: HashSet<Bound>,
    must_offer: bool,
    read_only: bool,
    offered: Option<Tag>,
    quarantined: u64,
    held_aside: u64,
    tags: u64,
}

impl ClientModel {
    /// An empty database; `number` tells it from others.
    pub(crate) fn new(number: u8) -> Self {
        let (schema, shape) = schema();
        Self {
            site: SiteId([number; 16]),
            rows: Rows::default(),
            schema,
            shape,
            cursor: Cursor::ZERO,
            acknowledged: Bound::ZERO,
            broken: None,
            lineage: None,
            sent: HashSet::new(),
            must_offer: false,
            read_only: false,
            offered: None,
            quarantined: 0,
            held_aside: 0,
            tags: u64::from(number) << 32,
        }
    }

    /// From now on the copy draws other tags and ids than what it was copied from.
    pub(crate) fn diverge(&mut self) {
        self.tags += 1 << 48;
    }

    pub(crate) fn write(&mut self, key: i64, column: &str, value: &str) {
        self.rows.write(self.site, key, column, value);
    }

    pub(crate) fn delete(&mut self, key: i64) {
        self.rows.delete(self.site, key);
    }

    fn works(&self) -> Result<(), Fault> {
        self.broken.map_or(Ok(()), |kind| Err(fault(kind)))
    }

    fn count(&self) -> Outbox {
        let changes = self.rows.count_above(self.site, self.acknowledged.version);
        Outbox {
            head: self.rows.head_of(self.site).max(self.acknowledged.version),
            changes,
            bytes: 10 * changes,
            oldest_ms: None,
            quarantined: self.quarantined,
            held_aside: self.held_aside,
            left_out: 0,
        }
    }
}

/// Parts what can be applied from what is set aside, with the numbers of quarantined and held-aside changes.
pub(super) fn sort_out(changes: &[Change]) -> (Vec<Change>, Applied) {
    let mut applied = Applied::default();
    let taken = |change: &&Change| {
        let poison = change.value == Value::Text(POISON.into()) || &*change.table != BOOK;
        let later = &*change.column == LATER;
        applied.quarantined += u64::from(poison);
        applied.held_aside += u64::from(later);
        !poison && !later
    };
    (changes.iter().filter(taken).cloned().collect(), applied)
}

impl ClientStore for ClientModel {
    fn load(&mut self) -> Result<ClientState, Fault> {
        self.works()?;
        Ok(ClientState {
            site_id: self.site,
            schema: self.schema.clone(),
            shape: self.shape.clone(),
            lineage: self.lineage,
            cursor: self.cursor,
            acknowledged: self.acknowledged,
            read_only: self.read_only,
            outbox: self.count(),
        })
    }

    fn outbox(&mut self) -> Result<Outbox, Fault> {
        self.works().map(|()| self.count())
    }

    fn adopt(&mut self, lineage: Lineage, held: Bound, may_write: bool) -> Result<(), Fault> {
        self.works()?;
        self.read_only = !may_write;
        self.lineage = Some(lineage);
        self.acknowledged = held;
        Ok(())
    }

    fn was_sent(&mut self, bound: Bound) -> Result<bool, Fault> {
        self.works().map(|()| bound == Bound::ZERO || self.sent.contains(&bound))
    }

    fn forget_cursor(&mut self) -> Result<(), Fault> {
        self.works()?;
        self.must_offer = true;
        self.cursor = Cursor::ZERO;
        Ok(())
    }

    fn become_new_site(&mut self) -> Result<(), Fault> {
        self.works()?;
        self.tags += 1;
        let mut site = self.site;
        site.0[8..].copy_from_slice(&self.tags.to_be_bytes());
        self.rows.pass_on(self.site, site, self.acknowledged.version);
        self.site = site;
        self.sent.clear();
        self.cursor = Cursor::ZERO;
        self.acknowledged = Bound::ZERO;
        Ok(())
    }

    fn begin_upload(&mut self) -> Result<UploadPlan, Fault> {
        self.works()?;
        self.tags += 1;
        let until = Bound { version: self.count().head, tag: Tag(self.tags) };
        self.sent.insert(until);
        let offer = self.must_offer && !self.read_only;
        self.offered = offer.then_some(until.tag);
        let (since, to, author) = if offer {
            (Bound::ZERO, self.rows.head(), Author::Any)
        } else {
            (self.acknowledged, until.version, Author::Own)
        };
        let to = Cursor { version: to, tag: until.tag };
        let read = ReadRequest { since: since.version, until: Some(to), after: None, author };
        Ok(UploadPlan { since, until, offer, read })
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.works()?;
        Ok(self.rows.page(request, Cursor { version: Version::ZERO, tag: Tag::ZERO }, self.site))
    }

    fn acknowledge(&mut self, bound: Bound) -> Result<Outbox, Fault> {
        self.works()?;
        assert!(self.sent.contains(&bound), "{bound:?} was acknowledged and never sent");
        assert!(bound.version >= self.acknowledged.version, "an acknowledgement below the last");
        self.acknowledged = bound;
        if self.offered == Some(bound.tag) {
            self.must_offer = false;
        }
        Ok(self.count())
    }

    fn apply(&mut self, part: &DownloadPart) -> Result<(Applied, Outbox), Fault> {
        self.works()?;
        if part.since != self.cursor {
            return Err(fault(FaultKind::OutOfOrder));
        }
        let (changes, applied) = sort_out(&part.changes);
        self.rows.begin();
        self.rows.merge(self.rows.next_version(), &changes);
        self.quarantined += applied.quarantined;
        self.held_aside += applied.held_aside;
        if part.last {
            self.cursor = part.until;
        }
        Ok((applied, self.count()))
    }

    fn digest(&mut self, scope: &DigestScope, after: Option<&ReadPosition>) -> Result<DigestPage, Fault> {
        self.works().map(|()| self.rows.digest(scope, after))
    }

    fn probe(&mut self) -> Result<(), Fault> {
        self.works()
    }

    fn rewrite(&mut self, rows: &[(String, PackedKey)]) -> Result<Outbox, Fault> {
        self.works()?;
        for (_, key) in rows {
            self.rows.rewrite(self.site, key);
        }
        Ok(self.count())
    }
}
