//! A client's database.
//!
//! Where in the flow: answers what a client's session asks. Every method changes all or nothing.

use fastrand::Rng;
use greenlight_core::replica::{
    Applied, Author, Chunk, ClientState, ClientStore, DigestPage, DigestScope, DownloadPart, Fault, Outbox,
    ReadPosition, ReadRequest, UploadPlan,
};
use greenlight_core::{Bound, Cursor, Lineage, PackedKey, SiteId, Tag};
use greenlight_store::{ClientDatabase, Schema};

use super::{Content, File, NOBODY, Torn, digest, full, out_of_order, own_above, tables, version};
use crate::stores::{ClientMachine, TableDigests};
use crate::workload::{Operation, TABLES};

/// An open database.
#[derive(Debug)]
pub(crate) struct ClientModel {
    file: File,
    schema: Schema,
    part_bytes: usize,
    random: Rng,
    full: bool,
}

impl ClientModel {
    pub(crate) fn open(file: File, schema: Schema, part_bytes: usize, mut random: Rng) -> Self {
        {
            let mut content = file.0.borrow_mut();
            if content.site == NOBODY {
                content.site = fresh_site(&mut random);
            }
        }
        Self { file, schema, part_bytes, random, full: false }
    }

    /// Changes the file, unless its disk is full.
    fn change<T>(&mut self, work: impl FnOnce(&mut Content, &mut Rng) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.full { Err(full()) } else { work(&mut self.file.0.borrow_mut(), &mut self.random) }
    }
}

pub(super) fn fresh_site(random: &mut Rng) -> SiteId {
    SiteId(random.u128(1..).to_be_bytes())
}

pub(super) fn fresh_tag(random: &mut Rng) -> Tag {
    Tag(random.u64(1..))
}

fn count(content: &Content) -> Outbox {
    let own = |(_, _, _, _, clock): &(_, _, _, _, super::Clock)| clock.site == content.site;
    let acknowledged = content.acknowledged.version;
    let head = content.rows.above(acknowledged.get()).filter(own).map(|(.., clock)| clock.version).max();
    Outbox {
        head: head.map_or(acknowledged, version),
        changes: own_above(content, acknowledged.get()),
        ..Outbox::default()
    }
}

/// Above everything here, and above what the server knows of this site.
fn next_version(content: &Content) -> u64 {
    content.rows.largest().max(content.acknowledged.version.get()) + 1
}

impl ClientMachine for ClientModel {
    fn write(&mut self, operations: &[Operation]) -> Result<Option<Outbox>, Fault> {
        self.change(|content, _| {
            let (version, site) = (next_version(content), content.site);
            content.rows.begin();
            if operations.iter().all(|operation| content.rows.operate(operation, version, site)) {
                content.rows.keep();
                Ok(Some(count(content)))
            } else {
                content.rows.undo();
                Ok(None)
            }
        })
    }

    fn digests(&mut self) -> Result<TableDigests, Fault> {
        Ok(tables(&self.file.content()))
    }

    fn set_full(&mut self, full: bool) -> rusqlite::Result<()> {
        self.full = full;
        Ok(())
    }

    fn real(&mut self) -> Option<&mut ClientDatabase> {
        None
    }
}

impl ClientStore for ClientModel {
    fn load(&mut self) -> Result<ClientState, Fault> {
        let content = self.file.content();
        Ok(ClientState {
            site_id: content.site,
            schema: self.schema.id().clone(),
            shape: self.schema.shape().clone(),
            lineage: content.followed,
            cursor: content.cursor,
            acknowledged: content.acknowledged,
            // Everybody may write there.
            read_only: false,
            outbox: count(&content),
        })
    }

    fn outbox(&mut self) -> Result<Outbox, Fault> {
        Ok(count(&self.file.content()))
    }

    fn adopt(&mut self, lineage: Lineage, held: Bound, _may_write: bool) -> Result<(), Fault> {
        self.change(|content, _| {
            if content.torn != Torn::No && content.followed.is_some_and(|followed| followed.epoch != lineage.epoch) {
                content.cursor = Cursor::ZERO;
                content.must_offer = true;
            }
            content.followed = Some(lineage);
            content.acknowledged = held;
            Ok(())
        })
    }

    fn was_sent(&mut self, bound: Bound) -> Result<bool, Fault> {
        Ok(bound == Bound::ZERO || self.file.content().sent.contains(&bound))
    }

    fn forget_cursor(&mut self) -> Result<(), Fault> {
        self.change(|content, _| {
            (content.torn, content.cursor, content.must_offer) = (Torn::Yes, Cursor::ZERO, true);
            Ok(())
        })
    }

    fn become_new_site(&mut self) -> Result<(), Fault> {
        self.change(|content, random| {
            let (old, new) = (content.site, fresh_site(random));
            content.rows.pass_on(old, new, content.acknowledged.version.get());
            content.site = new;
            content.sent.clear();
            (content.torn, content.cursor, content.acknowledged) = (Torn::Yes, Cursor::ZERO, Bound::ZERO);
            Ok(())
        })
    }

    fn begin_upload(&mut self) -> Result<UploadPlan, Fault> {
        self.change(|content, random| {
            let until = Bound { version: count(content).head, tag: fresh_tag(random) };
            content.sent.insert(until);
            content.offered = content.must_offer.then_some(until.tag);
            let (since, to, author) = if content.must_offer {
                (Bound::ZERO, version(content.rows.largest()), Author::Any)
            } else {
                (content.acknowledged, until.version, Author::Own)
            };
            let until_cursor = Some(Cursor { version: to, tag: until.tag });
            let read = ReadRequest { since: since.version.min(to), until: until_cursor, after: None, author };
            Ok(UploadPlan { since, until, offer: content.must_offer, read })
        })
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        let content = self.file.content();
        let head = Cursor { version: version(content.rows.largest()), ..Cursor::ZERO };
        Ok(content.rows.page(request, request.until.unwrap_or(head), content.site, self.part_bytes))
    }

    fn acknowledge(&mut self, bound: Bound) -> Result<Outbox, Fault> {
        if !self.was_sent(bound)? {
            return Err(out_of_order("a bound was acknowledged that was never sent"));
        }
        self.change(|content, _| {
            if bound.version < content.acknowledged.version {
                return Err(out_of_order("a bound was acknowledged that lies below the last one"));
            }
            content.must_offer &= content.offered != Some(bound.tag);
            content.acknowledged = bound;
            Ok(count(content))
        })
    }

    fn apply(&mut self, part: &DownloadPart) -> Result<(Applied, Outbox), Fault> {
        self.change(|content, _| {
            if content.cursor != part.since {
                return Err(out_of_order("the cursor is not where this range begins"));
            }
            let version = next_version(content);
            part.changes.iter().for_each(|change| content.rows.merge(change, version));
            content.torn = if !part.last { Torn::InParts } else { content.torn.after_last() };
            if part.last {
                content.cursor = part.until;
            }
            Ok((Applied::default(), count(content)))
        })
    }

    fn digest(&mut self, scope: &DigestScope, _after: Option<&ReadPosition>) -> Result<DigestPage, Fault> {
        Ok(DigestPage { sums: digest(&self.file.content(), scope).into_iter().collect(), next: None })
    }

    fn probe(&mut self) -> Result<(), Fault> {
        self.change(|_, _| Ok(()))
    }

    fn rewrite(&mut self, rows: &[(String, PackedKey)]) -> Result<Outbox, Fault> {
        self.change(|content, _| {
            let (version, site) = (next_version(content), content.site);
            for (name, key) in rows {
                if let Some(table) = TABLES.iter().position(|table| table.name == name) {
                    content.rows.rewrite(table, key, version, site);
                }
            }
            Ok(count(content))
        })
    }
}
