//! The server's writer in the simulation: the queue to it, its commits, and what it tells the sessions.
//!
//! Where in the flow: step 5 of a write. Never answers before the commit.

use greenlight_core::replica::Applied;

use super::*;

impl World {
    /// The server's own app writes: queued as any client's part.
    pub(crate) fn exec(&mut self, writes: &[Write]) {
        for operation in writes.iter().flat_map(Write::operations) {
            self.enqueue(Job { task: Task::Exec(operation), wire: None });
        }
    }

    pub(super) fn enqueue(&mut self, job: Job) {
        if self.server.database.is_none() {
            return;
        }
        self.server.queue.push_back(job);
        if !self.server.commit_due {
            self.server.commit_due = true;
            let ms = self.server.writer_ms + self.rng.u64(..=COMMIT_MS);
            self.after(ms, Event::Commit(self.server.life));
        }
    }

    /// The writer commits what is queued, tells everyone the head, and then answers.
    pub(crate) fn commit(&mut self, life: Life) -> Result<(), Violation> {
        if life != self.server.life {
            return Ok(());
        }
        self.server.commit_due = false;
        let count = self.server.queue.len().min(BATCH);
        let jobs: Vec<Job> = self.server.queue.drain(..count).collect();
        let (tasks, wires): (Vec<Task>, Vec<Option<WireId>>) = jobs.into_iter().map(|job| (job.task, job.wire)).unzip();
        self.server.now(self.now);
        let Some(database) = &mut self.server.database else { return Ok(()) };
        let result = database.commit(&tasks);
        if let (Ok(committed), Some(Breakage::VersionReusedByServer)) = (&result, self.breakage) {
            breakage::reuse_server_version(&mut **database, committed)?;
        }
        self.capture(0)?;
        if result.is_ok()
            && let Some(off_ms) = self.server.crash_at_commit.take()
        {
            self.crash_server(off_ms, false);
            return Ok(());
        }
        match result {
            Ok(committed) => {
                self.counts.commits += 1;
                self.note(|_| format!("server commits {} works: head {:?}", tasks.len(), committed.head));
                self.committed()?;
                for (done, wire) in committed.done.into_iter().zip(wires) {
                    if let (Some(result), Some(wire)) = (done, wire) {
                        self.answer(result, wire)?;
                    }
                }
            }
            Err(fault) => {
                self.note(|_| format!("server fails to commit {} works: {fault}", tasks.len()));
                self.failed(&fault)?;
                for wire in wires.into_iter().flatten() {
                    self.answer(Err(fault.clone()), wire)?;
                }
            }
        }
        if !self.server.queue.is_empty() && self.server.life == life {
            self.server.commit_due = true;
            self.after(1 + self.server.writer_ms, Event::Commit(life));
        }
        Ok(())
    }

    fn answer(&mut self, result: Result<Applied, Fault>, wire: WireId) -> Result<(), Violation> {
        if let Err(fault) = &result {
            self.expect_fault("apply a part", fault)?;
        }
        if self.breakage == Some(Breakage::AcknowledgedBeforeCommit) {
            return Ok(());
        }
        let now = self.server.now(self.now);
        if let Some(seat) = self.server.sessions.get_mut(&wire) {
            seat.session.handle_applied(now, result);
        }
        self.drain_session(wire)
    }

    /// After anything that committed: the head goes out, and the writer's word is good.
    pub(super) fn committed(&mut self) -> Result<(), Violation> {
        self.server.last_commit = self.now;
        self.server.writer = WriterState::Commits;
        let Some(database) = &mut self.server.database else { return Ok(()) };
        let head = database.head().map_err(|fault| self.fault("read the head", &fault))?;
        self.tell_all(|session, now| {
            session.handle_writer(now, WriterState::Commits);
            session.handle_head(now, head);
        })
    }

    pub(super) fn failed(&mut self, fault: &Fault) -> Result<(), Violation> {
        self.expect_fault("commit", fault)?;
        self.server.writer = match fault.kind {
            FaultKind::Full => WriterState::Full,
            FaultKind::Busy => WriterState::Busy,
            _ => WriterState::Failing,
        };
        let writer = self.server.writer;
        self.tell_all(|session, now| session.handle_writer(now, writer))
    }

    pub(super) fn tell_all(&mut self, tell: impl Fn(&mut ServerSession, Now)) -> Result<(), Violation> {
        let now = self.server.now(self.now);
        for wire in self.server.sessions.keys().copied().collect::<Vec<_>>() {
            if let Some(seat) = self.server.sessions.get_mut(&wire) {
                tell(&mut seat.session, now);
            }
            self.drain_session(wire)?;
        }
        Ok(())
    }
}
