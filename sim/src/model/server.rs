//! A server's database.
//!
//! Where in the flow: answers what the server's sessions ask, and commits what its writer hands in.

use fastrand::Rng;
use greenlight_core::replica::{
    Applied, Chunk, DigestScope, Digests, Fault, FaultKind, PeerFacts, ReadRequest, ServerFacts, ServerStore,
    UploadPart,
};
use greenlight_core::{Bound, Cursor, Epoch, Lineage, SiteId, Version};
use greenlight_store::{Schema, ServerDatabase};

use super::client::{fresh_site, fresh_tag};
use super::{Content, File, NOBODY, digest, full, out_of_order, tables, version};
use crate::stores::{Committed, ServerMachine, TableDigests, Task};

/// An open database.
#[derive(Debug)]
pub(crate) struct ServerModel {
    file: File,
    schema: Schema,
    part_bytes: usize,
    random: Rng,
    full: bool,
}

impl ServerModel {
    pub(crate) fn open(file: File, schema: Schema, part_bytes: usize, mut random: Rng) -> Self {
        {
            let mut content = file.0.borrow_mut();
            if content.site == NOBODY {
                content.site = fresh_site(&mut random);
                content.epoch = Epoch(random.u64(..));
            }
        }
        let mut server = Self { file, schema, part_bytes, random, full: false };
        // What others wrote while nobody was here.
        server.move_head();
        server
    }

    /// Everything that is here gets a place in the history. Whether there was something new.
    fn move_head(&mut self) -> bool {
        let mut content = self.file.0.borrow_mut();
        let largest = version(content.rows.largest());
        if largest <= content.head.version {
            return false;
        }
        content.head = Cursor { version: largest, tag: fresh_tag(&mut self.random) };
        let Cursor { version, tag } = content.head;
        content.tags.insert(version, tag);
        true
    }

    fn works(&self) -> Result<(), Fault> {
        if self.full { Err(full()) } else { Ok(()) }
    }
}

fn upload(content: &mut Content, part: &UploadPart, version: u64) -> Result<Applied, Fault> {
    if part.since > content.held.get(&part.site).map_or(Version::ZERO, |held| held.version) {
        return Err(out_of_order("an upload that leaves a gap"));
    }
    part.changes.iter().for_each(|change| content.rows.merge(change, version));
    if part.last {
        content.held.insert(part.site, part.until);
    }
    Ok(Applied::default())
}

impl ServerMachine for ServerModel {
    fn commit(&mut self, tasks: &[Task]) -> Result<Committed, Fault> {
        self.works()?;
        let before = self.file.content().head;
        let done = {
            let mut content = self.file.0.borrow_mut();
            let version = content.rows.largest().max(before.version.get()) + 1;
            let site = content.site;
            let mut run = |task: &Task| match task {
                Task::Upload(part) => Some(upload(&mut content, part, version)),
                Task::Exec(operation) => {
                    content.rows.begin();
                    if content.rows.operate(operation, version, site) {
                        content.rows.keep();
                    } else {
                        content.rows.undo();
                    }
                    None
                }
            };
            tasks.iter().map(&mut run).collect()
        };
        self.move_head();
        Ok(Committed { done, before, head: self.file.content().head })
    }

    fn head(&mut self) -> Result<Cursor, Fault> {
        Ok(self.file.content().head)
    }

    fn probe(&mut self) -> Result<(), Fault> {
        self.works()
    }

    fn notice_external(&mut self) -> Result<bool, Fault> {
        let content = self.file.content();
        let is_new = version(content.rows.largest()) > content.head.version;
        drop(content);
        if is_new {
            self.works()?;
        }
        Ok(self.move_head())
    }

    fn renew_epoch(&mut self) -> Result<Lineage, Fault> {
        let mut content = self.file.0.borrow_mut();
        content.epoch = Epoch(self.random.u64(..));
        Ok(Lineage { site_id: content.site, epoch: content.epoch })
    }

    fn reset(&mut self) -> Result<Lineage, Fault> {
        self.works()?;
        let mut content = self.file.0.borrow_mut();
        let (site, epoch) = (fresh_site(&mut self.random), Epoch(self.random.u64(..)));
        *content = Content::of(site, epoch);
        Ok(Lineage { site_id: site, epoch })
    }

    fn digests(&mut self) -> Result<TableDigests, Fault> {
        Ok(tables(&self.file.content()))
    }

    fn set_full(&mut self, full: bool) -> rusqlite::Result<()> {
        self.full = full;
        Ok(())
    }

    fn real(&mut self) -> Option<&mut ServerDatabase> {
        None
    }
}

impl ServerStore for ServerModel {
    fn facts(&mut self) -> Result<ServerFacts, Fault> {
        let content = self.file.content();
        let lineage = Lineage { site_id: content.site, epoch: content.epoch };
        let (schema, shape) = (self.schema.id().clone(), self.schema.shape().clone());
        Ok(ServerFacts { lineage, schema, shape, head: content.head })
    }

    fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        let content = self.file.content();
        let held = content.held.get(&site).copied().unwrap_or(Bound::ZERO);
        let cursor_known = cursor == Cursor::ZERO || content.tags.get(&cursor.version) == Some(&cursor.tag);
        Ok(PeerFacts { held, cursor_known })
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        let content = self.file.content();
        if version(content.rows.largest()) > content.head.version {
            let message = "another process has written what is not part of the history yet".to_owned();
            return Err(Fault { kind: FaultKind::Busy, message });
        }
        Ok(content.rows.page(request, request.until.unwrap_or(content.head), content.site, self.part_bytes))
    }

    fn apply(&mut self, parts: &[UploadPart]) -> Result<Vec<Result<Applied, Fault>>, Fault> {
        let tasks: Vec<Task> = parts.iter().cloned().map(Task::Upload).collect();
        Ok(self.commit(&tasks)?.done.into_iter().flatten().collect())
    }

    fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault> {
        let content = self.file.content();
        let at = content.head;
        // Somebody else wrote, and it has no place in the history yet.
        let is_known = version(content.rows.largest()) <= at.version;
        Ok(Digests { at, sums: is_known.then(|| digest(&content, scope).into_iter().collect()) })
    }
}
