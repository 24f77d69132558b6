//! A server's database in memory.
//!
//! Where in the flow: answers what the server's sessions ask. Cloning it is a backup.

use std::collections::{BTreeMap, HashMap};

use greenlight_core::replica::{
    Applied, Chunk, DigestScope, DigestSum, Digests, Fault, FaultKind, PeerFacts, ReadRequest, ServerFacts,
    ServerStore, UploadPart,
};
use greenlight_core::{Bound, Cursor, Epoch, Lineage, SchemaId, SchemaShape, SiteId, Tag, Version};

use super::client::sort_out;
use super::{Rows, fault, schema};

/// A server's database.
#[derive(Clone, Debug)]
pub(crate) struct ServerModel {
    pub(crate) lineage: Lineage,
    pub(crate) schema: SchemaId,
    pub(crate) shape: SchemaShape,
    pub(crate) rows: Rows,
    /// No commit succeeds while it is set.
    pub(crate) broken: Option<FaultKind>,
    held: HashMap<SiteId, Bound>,
    quarantined: u64,
    tags: BTreeMap<Version, Tag>,
    next_tag: u64,
}

impl ServerModel {
    pub(crate) fn new() -> Self {
        let (schema, shape) = schema();
        Self {
            lineage: Lineage { site_id: SiteId([0xee; 16]), epoch: Epoch(1) },
            schema,
            shape,
            rows: Rows::default(),
            broken: None,
            held: HashMap::new(),
            quarantined: 0,
            tags: BTreeMap::new(),
            next_tag: 1_000,
        }
    }

    /// The newest version and its tag.
    pub(crate) fn head(&self) -> Cursor {
        let last = self.tags.last_key_value().map(|(&version, &tag)| Cursor { version, tag });
        last.unwrap_or(Cursor::ZERO)
    }

    /// A write by the server's own app.
    pub(crate) fn write(&mut self, key: i64, column: &str, value: &str) {
        self.rows.write(self.lineage.site_id, key, column, value);
        self.note_commit();
    }

    /// This backup is put back in the place of `lost`: same site, new epoch, other tags from now on.
    pub(crate) fn put_back(&mut self, lost: &ServerModel) {
        self.lineage.epoch = Epoch(lost.lineage.epoch.0 + 1);
        self.next_tag = lost.next_tag + 1_000;
    }

    /// Another database with the same schema.
    pub(crate) fn reset(&mut self) {
        let site_id = SiteId(self.lineage.site_id.0.map(|byte| byte.wrapping_add(1)));
        *self = Self { lineage: Lineage { site_id, epoch: Epoch(9) }, next_tag: self.next_tag, ..Self::new() };
    }

    fn note_commit(&mut self) {
        if self.rows.head() > self.head().version {
            self.next_tag += 1;
            self.tags.insert(self.rows.head(), Tag(self.next_tag));
        }
    }

    fn apply_one(&mut self, version: u64, part: &UploadPart) -> Result<Applied, Fault> {
        if part.since > self.held.get(&part.site).map_or(Version::ZERO, |held| held.version) {
            return Err(fault(FaultKind::OutOfOrder));
        }
        let (changes, applied) = sort_out(&part.changes);
        self.quarantined += applied.quarantined;
        self.rows.merge(version, &changes);
        if part.last {
            self.held.insert(part.site, part.until);
        }
        Ok(applied)
    }
}

impl ServerStore for ServerModel {
    fn facts(&mut self) -> Result<ServerFacts, Fault> {
        let (schema, shape) = (self.schema.clone(), self.shape.clone());
        Ok(ServerFacts { lineage: self.lineage, schema, shape, head: self.head() })
    }

    fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        let held = self.held.get(&site).copied().unwrap_or(Bound::ZERO);
        let cursor_known = cursor == Cursor::ZERO || self.tags.get(&cursor.version) == Some(&cursor.tag);
        Ok(PeerFacts { held, cursor_known })
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        Ok(self.rows.page(request, self.head(), self.lineage.site_id))
    }

    fn apply(&mut self, parts: &[UploadPart]) -> Result<Vec<Result<Applied, Fault>>, Fault> {
        if let Some(kind) = self.broken {
            return Err(fault(kind));
        }
        let version = self.rows.next_version();
        self.rows.begin();
        let done = parts.iter().map(|part| self.apply_one(version, part)).collect();
        self.note_commit();
        Ok(done)
    }

    fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault> {
        if self.quarantined > 0 {
            return Ok(Digests { at: self.head(), sums: None });
        }
        let mut sums = BTreeMap::<Vec<u8>, DigestSum>::new();
        let mut after = None;
        loop {
            let page = self.rows.digest(scope, after.as_ref());
            for (name, sum) in page.sums {
                let entry = sums.entry(name).or_default();
                *entry = entry.wrapping_add(sum);
            }
            after = page.next;
            if after.is_none() {
                return Ok(Digests { at: self.head(), sums: Some(sums.into_iter().collect()) });
            }
        }
    }
}
