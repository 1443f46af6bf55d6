//! Puts the project's source and the archives of images into containers that have not started.

use std::fs::File;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use hoist_model::reason::Trouble;
use hoist_model::survey::Hint;
use hoist_model::unit::{ImageArchive, SourceCopy};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::backend::{ByteStream, ContextFolder};
use crate::context::UnitContext;
use crate::images;
use crate::unit::halt::{Halt, unless_stopped};
use crate::walk::entries::{Content, Entry, tar_of};
use crate::walk::{self, IgnoreSource, Owner, Tally, TarOptions, tar_stream};

/// Unpacks a tar into a container, from its root on.
pub(super) async fn upload(
    context: &UnitContext,
    container: &str,
    tar: ByteStream,
    what: &str,
) -> Result<(), Halt> {
    let sent = async {
        let sent = context.backend.upload(container, "/", tar).await;
        sent.map_err(|error| Halt::surroundings(what, &error))
    };
    unless_stopped(context, sent).await
}

/// Sends a copy of the project. It comes as a folder at the root, so that the folder has its owner.
pub(super) async fn source(
    context: &UnitContext,
    source: &SourceCopy,
    owner: Owner,
    container: &str,
) -> Result<(), Halt> {
    context.phase("copying the source");
    let folder = folder(&context.root, &context.plan.never_sent, source);
    let ContextFolder { path, ignore, .. } = folder.map_err(Halt::configuration)?;
    let tally = Tally::default();
    let options = TarOptions {
        prefix: format!("{}/", source.target.trim_matches('/')),
        owner,
        tally: tally.clone(),
        ..TarOptions::default()
    };
    let tar = tar_stream(&path, ignore, options);
    let sent = upload(context, container, tar, "the source could not be copied").await;
    // Where the walk failed, the engine only knows that the upload broke.
    match (sent, tally.failure()) {
        (Err(Halt::Stopped), _) => Err(Halt::Stopped),
        (_, Some(failure)) => Err(Halt::configuration(failure)),
        (Err(halt), None) => Err(halt),
        (Ok(()), None) => {
            warn_of_links(context, &tally);
            Ok(())
        }
    }
}

/// What a step gets a copy of, and what is left out of it.
///
/// # Errors
/// When its ignore file cannot be used.
pub(crate) fn folder(
    root: &Path,
    never: &[String],
    source: &SourceCopy,
) -> Result<ContextFolder, Trouble> {
    let ignore = match &source.ignorefile {
        Some(name) => IgnoreSource::Named(name.clone()),
        None => IgnoreSource::FirstOf(vec![".dockerignore".to_owned()]),
    };
    let ignore = walk::rules(root, ".", &ignore, never)?;
    Ok(ContextFolder::new(root, ignore))
}

/// Says which links lead out of what was sent.
fn warn_of_links(context: &UnitContext, tally: &Tally) {
    for link in tally.outside() {
        let Hint { message, hint } = leads_out(&link);
        context.warn(message, Some(hint));
    }
}

/// What is to be said of a link that leads out of what a step gets.
pub(crate) fn leads_out(link: &str) -> Hint {
    Hint {
        message: format!(
            "`{link}` is a link that leads out of the folder; what it leads to is not sent"
        ),
        hint: "put a copy in its place, or leave it out with .dockerignore".to_owned(),
    }
}

/// Sends the archive of an image. A tar needs its length beforehand and engines do not tell it, so
/// it rests on disk in between, in a file without a name.
pub(super) async fn archive(
    context: &UnitContext,
    archive: &ImageArchive,
    owner: Owner,
    loader: &str,
) -> Result<(), Halt> {
    let image = unless_stopped(context, images::resolve(context, &archive.image)).await?;
    context.phase(format!("exporting {}", image.shown));
    let folder = context.run_folder.clone();
    let spooled = unless_stopped(context, async {
        let what = format!("{} could not be exported", image.shown);
        let stream = context.backend.export_image(&image.image.id).await;
        let stream = stream.map_err(|error| Halt::surroundings(&what, &error))?;
        spool(stream, folder, &what).await
    });
    let (file, size) = spooled.await?;
    let path = format!("{}/{}", archive.folder.trim_end_matches('/'), archive.file);
    let content = Content::File(file, size);
    let entries = vec![
        Entry::folder(&archive.folder, owner),
        Entry {
            path,
            owner,
            mode: 0o444,
            content,
        },
    ];
    upload(
        context,
        loader,
        tar_of(entries),
        "the image's archive could not be laid down",
    )
    .await
}

async fn spool(mut stream: ByteStream, folder: PathBuf, what: &str) -> Result<(File, u64), Halt> {
    let disk = |error: std::io::Error| {
        Halt::trouble(
            Trouble::new(what)
                .cause(format!(
                    "it cannot be written to {}: {error}",
                    folder.display()
                ))
                .hint("the whole image has to fit there for a while"),
        )
    };
    let file = tempfile::tempfile_in(&folder).map_err(disk)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut size = 0_u64;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Halt::surroundings(what, &error))?;
        size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        file.write_all(&piece).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    file.rewind().await.map_err(disk)?;
    Ok((file.into_std().await, size))
}
