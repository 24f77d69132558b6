//! The sockets on one database: who they are, what they last reported, and a line to each.
//!
//! Where in the flow: a socket registers before it is welcomed and leaves when it ends; the status page reads.
//! Never more than one socket of a site: a later one takes over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use greenlight_core::SiteId;
use greenlight_core::protocol::{Refuse, RefuseCode};
use greenlight_core::server::PeerReport;
use tokio::sync::mpsc;

use crate::limits::CONTROL_QUEUE;

/// A word to a socket from outside its own connection.
#[derive(Clone, Debug)]
pub enum Control {
    /// Refuse from now on.
    Refuse(Refuse),
    /// The database was reset.
    Reset,
    /// Another file came into the database's place; whoever dials again finds that one.
    Replaced,
    /// The database is given up for a restore; whoever dials again finds what was put back.
    GivenUp,
    /// The database's writer has ended; whoever dials again opens it again.
    Lost,
}

/// What the roster knows of a socket.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its site.
    pub site: SiteId,
    /// When it came, milliseconds since 1970.
    pub since_ms: i64,
    /// What it last reported; `None` before its welcome.
    pub report: Option<PeerReport>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    control: mpsc::Sender<Control>,
}

/// The sockets on one database, by the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    by_number: HashMap<u64, Entry>,
}

impl Roster {
    /// Adds a socket; an older one of the same site is told that it was superseded.
    pub fn register(&self, site: SiteId) -> Registration {
        let (control, words) = mpsc::channel(CONTROL_QUEUE);
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        let superseded = Control::Refuse(Refuse {
            code: RefuseCode::Superseded,
            sentence: "another connection of the same database took over".to_owned(),
        });
        entries.by_number.retain(|_, entry| {
            let same = entry.member.site == site;
            if same {
                tell(entry, superseded.clone());
            }
            !same
        });
        let member = Member { site, since_ms: crate::clock::wall_ms(), report: None };
        entries.by_number.insert(number, Entry { member, control });
        Registration { roster: self.clone(), number, words }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().by_number.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says the same to all.
    pub fn tell_all(&self, control: &Control) {
        for entry in self.lock().by_number.values() {
            tell(entry, control.clone());
        }
    }

    /// Who is there, in the order in which they came.
    pub fn members(&self) -> Vec<Member> {
        let entries = self.lock();
        let mut numbers: Vec<_> = entries.by_number.keys().copied().collect();
        numbers.sort_unstable();
        numbers.iter().filter_map(|number| Some(entries.by_number.get(number)?.member.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing in here can leave the map half changed, so a panic elsewhere doesn't matter.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A full line means that the socket has words enough to end by already.
fn tell(entry: &Entry, control: Control) {
    if entry.control.try_send(control).is_err() {
        tracing::debug!(site = %entry.member.site, "a socket is ending already");
    }
}

/// A socket's place in the roster; dropping it leaves.
#[derive(Debug)]
pub struct Registration {
    roster: Roster,
    number: u64,
    words: mpsc::Receiver<Control>,
}

impl Registration {
    /// The next word from outside. Waits for ever where none comes.
    pub async fn word(&mut self) -> Control {
        match self.words.recv().await {
            Some(control) => control,
            None => std::future::pending().await,
        }
    }

    /// Records what the socket reports.
    pub fn report(&self, report: Option<PeerReport>) {
        if let Some(entry) = self.roster.lock().by_number.get_mut(&self.number) {
            entry.member.report = report;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.roster.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_socket_of_a_site_takes_over() {
        let roster = Roster::default();
        let mut first = roster.register(SiteId([1; 16]));
        let other = roster.register(SiteId([2; 16]));
        let second = roster.register(SiteId([1; 16]));
        let word = tokio::time::timeout(std::time::Duration::from_secs(10), first.word()).await;
        let Control::Refuse(refuse) = word.expect("a word at once") else { panic!("not a refusal") };
        assert_eq!(refuse.code, RefuseCode::Superseded);
        assert_eq!(roster.len(), 2);
        drop(first);
        assert_eq!(roster.len(), 2, "the one that was superseded must not take the later one's place along");
        drop((second, other));
        assert!(roster.is_empty());
    }
}
