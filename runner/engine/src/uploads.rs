//! When a builder has read what it wants of a build's folders. Whoever sends them tells it here, so
//! that nobody who asks whether they held still waits for what is made of them. It refuses to guess:
//! a builder of which nothing is told may read until its build ends.

use tokio::sync::watch;

/// What is read for one build. A copy tells of the same build.
#[derive(Clone, Debug, Default)]
pub struct Uploads(watch::Sender<Count>);

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
    pub fn begin(&self) -> Upload {
        self.0.send_modify(|count| {
            count.begun += 1;
            count.content = true;
        });
        Upload(self.clone())
    }

    /// The same, where only an ignore file is wanted: what the builder is after is yet to come.
    pub fn begin_rules(&self) -> Upload {
        self.0.send_modify(|count| count.begun += 1);
        Upload(self.clone())
    }

    /// The build is over: nothing more is read.
    pub(crate) fn close(&self) {
        self.0.send_modify(|count| count.closed = true);
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
        let mut counts = self.0.subscribe();
        let count = counts.wait_for(|count| count.closed || is(count)).await;
        // It cannot fail: this is one of those that send.
        count.map_or(0, |count| count.begun)
    }
}

/// A folder that is being read.
#[derive(Debug)]
pub struct Upload(Uploads);

impl Drop for Upload {
    fn drop(&mut self) {
        let Self(Uploads(counts)) = self;
        counts.send_modify(|count| count.ended += 1);
    }
}
