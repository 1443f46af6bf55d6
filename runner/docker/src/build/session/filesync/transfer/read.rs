//! Reads the files that an engine asks for, on blocking threads. It refuses whatever is not the
//! file of the size that the engine was told of.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bollard::fsutil::types::Packet;
use bollard::fsutil::types::packet::PacketType;
use hoist_engine::walk::{changed, unreadable};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::super::Dir;
use super::{Asking, Call, Halt, packet};

/// Bytes of a file in one packet.
const PIECE: usize = 128 << 10;

impl Call {
    /// Answers one after the other until there are no more.
    pub(super) fn read(&self, asked: &Mutex<mpsc::UnboundedReceiver<Asking>>) -> Result<(), Halt> {
        loop {
            // Whoever waits for the next holds the lock, and the others wait for it.
            let next = asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .blocking_recv();
            let Some(asking) = next else {
                return Ok(());
            };
            self.answer(asking)?;
        }
    }

    fn answer(&self, Asking { number: id, size }: Asking) -> Result<(), Halt> {
        let path = self.ledger().path(id).unwrap_or_default();
        match &*self.transfer.dir {
            Dir::Folder { folder, .. } => {
                self.transfer.sent.asked();
                let at = folder.path.join(&path);
                self.file(&at, &path, size, id)
            }
            Dir::Files(files) => {
                let content = files.get(&path).map(AsRef::as_ref).unwrap_or_default();
                self.pieces(content, &path, size, id, |_| {})
            }
        }
    }

    fn file(&self, at: &Path, shown: &str, size: u64, id: u32) -> Result<(), Halt> {
        // A pipe that took the file's place would block an open that waits, a link lead elsewhere.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.cast_signed())
            .open(at);
        let file = match opened {
            Ok(file) => file,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                return Err(changed(shown, "it is no plain file any more").into());
            }
            Err(error) => return Err(unreadable(shown, &error).into()),
        };
        let metadata = file.metadata().map_err(|error| unreadable(shown, &error))?;
        if !metadata.is_file() {
            return Err(changed(shown, "it is no plain file any more").into());
        }
        self.pieces(&file, shown, size, id, |count| {
            self.transfer.sent.gave(count);
        })
    }

    /// Sends all of a file and its end; `sent` hears of each piece.
    fn pieces(
        &self,
        mut file: impl Read,
        shown: &str,
        size: u64,
        id: u32,
        sent: impl Fn(usize),
    ) -> Result<(), Halt> {
        let mut left = size;
        let mut last = Vec::new();
        while left > 0 {
            let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let mut data = vec![0; most];
            file.read_exact(&mut data)
                .map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => changed(shown, "it shrank while it was sent"),
                    _ => unreadable(shown, &error),
                })?;
            sent(most);
            left -= u64::try_from(most).unwrap_or(left);
            let piece = data_of(id, data);
            if left > 0 {
                self.send(vec![piece])?;
            } else {
                last.push(piece);
            }
        }
        match file.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(changed(shown, "it grew while it was sent").into()),
            Err(error) => return Err(unreadable(shown, &error).into()),
        }
        // A piece without bytes is the end.
        last.push(data_of(id, Vec::new()));
        self.send(last)
    }
}

fn data_of(id: u32, data: Vec<u8>) -> Packet {
    Packet {
        id,
        data,
        ..packet(PacketType::PacketData)
    }
}
