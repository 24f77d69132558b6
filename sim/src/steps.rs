//! From a schedule's steps to what happens in the world.
//!
//! Where in the flow: between the schedule and the machines. Never draws a random number for what a step says itself.

use crate::event::Event;
use crate::network::Way;
use crate::oracle::Violation;
use crate::schedule::Step;
use crate::world::World;

/// Most machines that twins may make.
const MOST_CLIENTS: usize = 6;

impl World {
    /// Does a step. What has nothing to act on is not counted.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), Violation> {
        self.note(|_| format!("-- {step:?}"));
        let done = match step {
            Step::Wait => true,
            Step::Write { client, writes } => self.write(self.client(*client), writes).map(|()| true)?,
            Step::Pause { client } => self.pause(self.client(*client)).map(|()| true)?,
            Step::Resume { client } => self.resume(self.client(*client)).map(|()| true)?,
            Step::Retry { client } => self.retry(self.client(*client)).map(|()| true)?,
            Step::CrashClient { client, off_ms } => {
                self.crash_client(self.client(*client), *off_ms);
                true
            }
            Step::CrashClientAtApply { client, off_ms } => {
                self.crash_client_at_apply(self.client(*client), *off_ms);
                true
            }
            Step::FullClient { client, ms } => self.fill_client(self.client(*client), *ms).map(|()| true)?,
            Step::Twin { client } => {
                let room = self.clients.len() < MOST_CLIENTS;
                if room {
                    self.add_client(Some(self.client(*client)))?;
                }
                room
            }
            Step::Nuke { client } => self.nuke(self.client(*client)).map(|()| true)?,
            Step::Jump { client, ms } => {
                self.jump(self.client(*client), *ms);
                true
            }
            Step::Sleep { client, ms } => {
                self.sleep(self.client(*client), *ms);
                true
            }
            _ if step.is_of_network() => self.step_network(step),
            _ => self.step_server(step)?,
        };
        if done {
            *self.counts.steps.entry(step.name()).or_default() += 1;
        }
        self.check()
    }

    fn step_network(&mut self, step: &Step) -> bool {
        match *step {
            Step::Latency { client, ms } => {
                let client = self.client(client);
                self.clients[client].link.latency_ms = ms;
                true
            }
            Step::SlowLine { client, bytes_per_second } => {
                let client = self.client(client);
                self.clients[client].link.bytes_per_second = Some(bytes_per_second);
                true
            }
            Step::Offline { client, ms, black_hole } => {
                let (client, until) = (self.client(client), self.now.after_ms(ms));
                let link = &mut self.clients[client].link;
                link.offline_until = link.offline_until.max(until);
                link.black_hole = black_hole;
                if let Some(wire) = self.clients[client].wire {
                    let learns = (!black_hole).then_some(0);
                    self.cut(wire, learns, learns);
                }
                self.at(until, Event::Online(client));
                true
            }
            Step::Cut { client, client_learns_ms, server_learns_ms } => self.on_wire(client, |world, wire| {
                world.cut(wire, client_learns_ms, server_learns_ms);
                true
            }),
            Step::CutAfter { client, down, messages } => self.on_wire(client, |world, wire| {
                world.cut_after(wire, way(down), messages);
                true
            }),
            Step::HalfOpen { client, down } => self.on_wire(client, |world, wire| {
                world.silence(wire, way(down));
                true
            }),
            Step::Stale { client, down, count } => {
                self.on_wire(client, |world, wire| world.send_stale(wire, way(down), count) > 0)
            }
            _ => false,
        }
    }

    fn step_server(&mut self, step: &Step) -> Result<bool, Violation> {
        let up = self.server.database.is_some();
        match step {
            Step::Exec { writes } => self.exec(writes),
            Step::External { writes, noticed_ms } => self.write_externally(writes, *noticed_ms)?,
            Step::CrashServer { off_ms, silent } => self.crash_server(*off_ms, *silent),
            Step::CrashServerAtCommit { off_ms } => self.crash_server_at_commit(*off_ms),
            Step::FreezeServer { ms } => self.freeze_server(*ms),
            Step::SlowReads { ms } => self.slow_reads(*ms),
            Step::SlowWriter { ms } => self.server.writer_ms = *ms,
            Step::FullServer { ms } => self.fill_server(*ms)?,
            Step::Backup => self.back_up()?,
            Step::Restore { off_ms } => return self.restore(*off_ms),
            Step::Reset => self.reset()?,
            Step::JumpServer { ms } => self.server.clock.jump(*ms),
            _ => return Ok(false),
        }
        Ok(up)
    }

    fn on_wire(&mut self, client: usize, act: impl FnOnce(&mut Self, crate::network::WireId) -> bool) -> bool {
        let client = self.client(client);
        match self.clients[client].wire {
            Some(wire) => act(self, wire),
            None => false,
        }
    }

    fn client(&self, client: usize) -> usize {
        client % self.clients.len()
    }

    /// All faults end: what stands still goes on, what is full has room, what is paused is resumed.
    pub(crate) fn heal(&mut self, loudly: bool) -> Result<(), Violation> {
        self.note(|_| format!("-- all faults end, loudly: {loudly}"));
        self.server.heal();
        self.thaw_server()?;
        self.free_server()?;
        self.start_server()?;
        for client in 0..self.clients.len() {
            self.clients[client].heal(self.now);
            self.client_wakes(client)?;
            self.free_client(client)?;
            self.start_client(client)?;
            if let Some(wire) = self.clients[client].wire {
                self.spare(wire);
                // The server's machine answers for a process that is gone, too.
                if loudly && (self.is_damaged(wire) || !self.server.sessions.contains_key(&wire)) {
                    self.cut(wire, Some(0), Some(0));
                    self.after(0, Event::DownClosed(wire, 1006, "the network is back".to_owned()));
                }
            }
            self.resume(client)?;
        }
        self.run_until(self.now)?;
        if loudly {
            // Browsers tell that the network is back, and whoever was dialling into nothing meanwhile dials anew.
            for client in 0..self.clients.len() {
                self.retry(client)?;
            }
        }
        self.run_until(self.now)
    }
}

fn way(down: bool) -> Way {
    if down { Way::Down } else { Way::Up }
}
