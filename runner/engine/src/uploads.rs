//! What a builder wants of a build's folders, and when it has read it. Whoever sends them tells it
//! here, so that nobody who asks whether they held still waits for what is made of them. It refuses to
//! guess: a builder of which nothing is told may read until its build ends, and all that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use hoist_model::inputs::Part;
use tokio::sync::watch;

/// What is read for one build. A copy tells of the same build.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    counts: watch::Sender<Count>,
    wanted: Arc<Mutex<Wanted>>,
}

/// By folder the paths below it that a builder wants to see, with what is in them; `None` for all.
pub(crate) type Wanted = BTreeMap<Part, Option<BTreeSet<String>>>;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    begun: u64,
    ended: u64,
    /// Something was read besides ignore files.
    content: bool,
    /// The build is over.
    closed: bool,
}

impl Uploads {
    /// A folder begins to be read. That ends when what this gives is dropped.
    pub fn begin(&self, folder: Part) -> Upload {
        self.counts.send_modify(|count| {
            count.begun += 1;
            count.content = true;
        });
        self.upload(folder)
    }

    /// The same, where only an ignore file is wanted: what the builder is after is yet to come.
    pub fn begin_rules(&self, folder: Part) -> Upload {
        self.counts.send_modify(|count| count.begun += 1);
        self.upload(folder)
    }

    fn upload(&self, folder: Part) -> Upload {
        Upload {
            uploads: self.clone(),
            folder,
        }
    }

    /// What was said so far of what is wanted.
    pub(crate) fn wanted(&self) -> Wanted {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.clone()
    }

    /// The build is over: nothing more is read.
    pub(crate) fn close(&self) {
        self.counts.send_modify(|count| count.closed = true);
    }

    /// Waits until what is in a folder was read and none is being read, or the build is over. Gives how many
    /// were begun by then.
    pub(crate) async fn quiet(&self) -> u64 {
        self.once(|count| count.content && count.begun == count.ended)
            .await
    }

    /// Waits until the build is over. Gives how many folders were read.
    pub(crate) async fn all(&self) -> u64 {
        self.once(|_| false).await
    }

    async fn once(&self, is: impl Fn(&Count) -> bool) -> u64 {
        let mut counts = self.counts.subscribe();
        let count = counts.wait_for(|count| count.closed || is(count)).await;
        // It cannot fail: this is one of those that send.
        count.map_or(0, |count| count.begun)
    }
}

/// A folder that is being read.
#[derive(Debug)]
pub struct Upload {
    uploads: Uploads,
    folder: Part,
}

impl Upload {
    /// Says which paths below the folder are wanted, with what is in them; `None` for all. Said before
    /// anything of it is read.
    pub fn wants(&self, paths: Option<&BTreeSet<String>>) {
        let wanted = &self.uploads.wanted;
        let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let known = wanted.entry(self.folder.clone());
        let known = known.or_insert_with(|| Some(BTreeSet::new()));
        match (known.as_mut(), paths) {
            (Some(known), Some(paths)) => known.extend(paths.iter().cloned()),
            _ => *known = None,
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.counts.send_modify(|count| count.ended += 1);
    }
}
