//! A welcomed connection: the ranges of both directions.
//!
//! Where in the flow: inside the server's session, which hands out what is to be done. Never sends or asks by itself.

use std::collections::VecDeque;

use crate::change::Change;
use crate::fragments::{Fragmenter, Reassembly};
use crate::limits::WINDOW_PARTS;
use crate::position::{Bound, Cursor, SiteId, Version};
use crate::protocol::{Download, EncodedChanges, Hello, Ping, Receipt, ServerMessage, Upload, WriterState};
use crate::replica::{Author, Chunk, ReadPosition, ReadRequest, UploadPart};

/// A welcomed connection.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) site: SiteId,
    pub(super) agent: String,
    pub(super) may_write: bool,
    pub(super) head: Cursor,
    pub(super) writer: WriterState,
    pub(super) ping: Option<Ping>,
    /// Up to where the client's own changes are held once everything received is committed.
    held: Version,
    /// The range that is being received.
    upload: Option<Incoming>,
    /// Received parts, with their numbers, that wait for the one being applied; at most a window.
    queued: VecDeque<(u32, UploadPart)>,
    /// The part being applied. One at a time: a part must never be committed after an earlier one failed.
    pub(super) applying: Option<Receipt<Bound>>,
    /// Where the client stands once it has applied everything sent.
    sent: Cursor,
    /// Where it stands by its receipts.
    pub(super) confirmed: Cursor,
    /// The range that is being sent.
    download: Option<Outgoing>,
    /// Sent parts without a receipt, at most a window.
    pub(super) unconfirmed: VecDeque<Receipt<Cursor>>,
    /// Whether a range, even an empty one, was sent on this connection.
    greeted: bool,
    /// The number of the question that is being answered.
    pub(super) verifying: Option<u64>,
    pub(super) fragmenter: Fragmenter,
    pub(super) reassembly: Reassembly,
}

#[derive(Debug)]
struct Incoming {
    since: Bound,
    until: Bound,
    offer: bool,
    next: u32,
}

#[derive(Debug)]
struct Outgoing {
    since: Cursor,
    until: Option<Cursor>,
    after: Option<ReadPosition>,
    part: u32,
    reading: bool,
}

impl Live {
    pub(super) fn new(
        hello: &Hello,
        head: Cursor,
        held: Version,
        cursor: Cursor,
        writer: WriterState,
        may_write: bool,
    ) -> Self {
        Self {
            site: hello.site,
            agent: hello.agent.clone(),
            may_write,
            head,
            writer,
            ping: None,
            held,
            upload: None,
            queued: VecDeque::new(),
            applying: None,
            sent: cursor,
            confirmed: cursor,
            download: None,
            unconfirmed: VecDeque::new(),
            greeted: false,
            verifying: None,
            fragmenter: Fragmenter::default(),
            reassembly: Reassembly::default(),
        }
    }

    /// Checks a part against the range under way and queues it.
    pub(super) fn take_part(&mut self, upload: Upload<Vec<Change>>) -> Result<(), &'static str> {
        let range = match &mut self.upload {
            Some(range) => range,
            None if upload.since.version > self.held => return Err("an upload that leaves a gap"),
            None => {
                self.upload.insert(Incoming { since: upload.since, until: upload.until, offer: upload.offer, next: 0 })
            }
        };
        let expected = (range.since, range.until, range.offer, range.next);
        if (upload.since, upload.until, upload.offer, upload.part) != expected {
            return Err("a part that does not follow the one before");
        }
        if self.queued.len() >= WINDOW_PARTS as usize {
            return Err("more parts than the window allows");
        }
        if !upload.offer && upload.changes.iter().any(|change| change.site != self.site) {
            return Err("changes of another site outside an offer");
        }
        range.next += 1;
        if upload.last {
            self.held = upload.until.version;
            self.upload = None;
        }
        let part = UploadPart {
            site: self.site,
            since: upload.since.version,
            until: upload.until,
            last: upload.last,
            changes: upload.changes,
        };
        self.queued.push_back((upload.part, part));
        Ok(())
    }

    pub(super) fn next_to_apply(&mut self) -> Option<UploadPart> {
        if self.applying.is_some() {
            return None;
        }
        let (number, part) = self.queued.pop_front()?;
        self.applying = Some(Receipt { until: part.until, part: number, last: part.last });
        Some(part)
    }

    pub(super) fn next_read(&mut self) -> Option<ReadRequest> {
        if self.unconfirmed.len() >= WINDOW_PARTS as usize {
            return None;
        }
        if self.download.is_none() {
            if self.greeted && self.head.version <= self.sent.version {
                return None;
            }
            self.download = Some(Outgoing { since: self.sent, until: None, after: None, part: 0, reading: false });
        }
        let range = self.download.as_mut()?;
        if range.reading {
            return None;
        }
        range.reading = true;
        // What this connection brought need not come back. What the same site brought on an earlier one must: a copy
        // of this client may have written it, and a range that left it out would be lost to this one for ever.
        let author = if self.greeted { Author::Except(self.site) } else { Author::Any };
        Some(ReadRequest { since: range.since.version, until: range.until, after: range.after.clone(), author })
    }

    pub(super) fn chunk(&mut self, chunk: Chunk) -> Option<ServerMessage<EncodedChanges>> {
        let range = self.download.as_mut()?;
        range.reading = false;
        let last = chunk.next.is_none();
        let own = self.greeted && chunk.changes.only_site == Some(self.site);
        let receipt = Receipt { until: chunk.until, part: range.part, last };
        let message = ServerMessage::Download(Download {
            since: range.since,
            until: chunk.until,
            part: range.part,
            last,
            remaining: chunk.remaining,
            changes: if own { EncodedChanges::empty() } else { chunk.changes },
        });
        range.until = Some(chunk.until);
        range.after = chunk.next;
        range.part += 1;
        self.unconfirmed.push_back(receipt);
        if last {
            self.sent = chunk.until;
            self.greeted = true;
            self.download = None;
        }
        if chunk.until.version > self.head.version {
            self.head = chunk.until;
        }
        Some(message)
    }
}
