//! What a step would send, looked at without sending it, and what of that is worth a hint. The
//! rules, the walk and the refusals are those of a run; an engine is neither asked nor needed.

mod signs;

use std::path::Path;

use hoist_model::ignore::Rule;
use hoist_model::plan::{Plan, PlannedStep};
use hoist_model::reason::Trouble;
use hoist_model::survey::{Entry, EntryKind, Hint, LeftOut, Role, Survey, SurveyedFolder, Why};
use hoist_model::unit::Unit;
use walkdir::WalkDir;

use crate::backend::ContextFolder;
use crate::unit;
use crate::walk::{Found, Kind, Visit, buildable_link, leads_out, visit};

pub use signs::Signs;

/// Entries of folders that are left out which are looked at for their sizes, all together.
const LOOKS: usize = 50_000;

/// The step is sent something of the project's folders.
#[must_use]
pub fn is_sent_something(step: &PlannedStep) -> bool {
    match &step.unit {
        Unit::Build(_) => true,
        Unit::Container(unit) => unit.source.is_some(),
        Unit::Push(_) | Unit::Release(_) => false,
    }
}

/// Looks at all that the step would be sent. What is left out is only looked at where that is asked
/// for, since the sizes of whole folders take their time.
///
/// # Errors
/// What would end a run before anything is sent, in the same words.
pub fn survey(
    root: &Path,
    plan: &Plan,
    step: &PlannedStep,
    left_out: bool,
) -> Result<Survey, Trouble> {
    let mut looks = LOOKS;
    let mut folders = Vec::new();
    for (role, path, folder) in sent(root, plan, step)? {
        let looks = left_out.then_some(&mut looks);
        folders.push(look(role, path, &folder, looks)?);
    }
    Ok(Survey {
        step: step.id.clone(),
        folders,
    })
}

/// The folders that the step would be sent, and what is left out of each.
///
/// # Errors
/// What would end a run before anything is sent, in the same words.
pub fn folders(
    root: &Path,
    plan: &Plan,
    step: &PlannedStep,
) -> Result<Vec<ContextFolder>, Trouble> {
    let sent = sent(root, plan, step)?.into_iter();
    Ok(sent.map(|(_, _, folder)| folder).collect())
}

/// Each folder with what it is to the step and its path in the file.
fn sent(
    root: &Path,
    plan: &Plan,
    step: &PlannedStep,
) -> Result<Vec<(Role, String, ContextFolder)>, Trouble> {
    let never = &plan.never_sent;
    let mut sent = Vec::new();
    match &step.unit {
        Unit::Build(unit) => {
            let (context, named) = unit::build::folders(root, never, unit)?;
            sent.push((Role::Context, unit.context.clone(), context));
            for (name, folder) in named {
                let path = unit.contexts.get(&name).cloned().unwrap_or_default();
                sent.push((Role::Named(name), path, folder));
            }
        }
        Unit::Container(unit) => {
            if let Some(source) = &unit.source {
                let folder = unit::container::folder(root, never, source)?;
                sent.push((Role::Source, ".".to_owned(), folder));
            }
        }
        Unit::Push(_) | Unit::Release(_) => {}
    }
    Ok(sent)
}

fn look(
    role: Role,
    path: String,
    folder: &ContextFolder,
    mut looks: Option<&mut usize>,
) -> Result<SurveyedFolder, Trouble> {
    let mut signs = Signs::default();
    let mut entries = Vec::new();
    let mut left_out = Vec::new();
    let mut outside = Vec::new();
    visit::<Trouble>(&folder.path, &folder.ignore, |visit| {
        match visit {
            Visit::Kept(found) => {
                let Some(kind) = kind(&found, &role, &mut outside)? else {
                    return Ok(());
                };
                let bytes = match kind {
                    EntryKind::File { bytes } => bytes,
                    EntryKind::Folder | EntryKind::Link { .. } => 0,
                };
                signs.see(found.shown, found.kind, bytes);
                entries.push(Entry {
                    path: found.shown.to_owned(),
                    kind,
                });
            }
            Visit::LeftOut(found, rule) => {
                if let Some(looks) = &mut looks {
                    left_out.push(LeftOut {
                        path: found.shown.to_owned(),
                        folder: found.kind == Kind::Folder,
                        bytes: size(&found, looks),
                        why: why(rule),
                    });
                }
            }
            Visit::Special(found) => left_out.push(LeftOut {
                path: found.shown.to_owned(),
                folder: false,
                bytes: None,
                why: Why::Special,
            }),
        }
        Ok(())
    })?;
    let ignorefile = folder.ignore.name().map(str::to_owned);
    let what = match &role {
        Role::Context => format!("the context `{path}`"),
        Role::Named(name) => format!("the context `{name}`"),
        Role::Source => "the copy of the project".to_owned(),
    };
    let mut hints = signs.hints(&what, ignorefile.as_deref());
    hints.extend(outside);
    Ok(SurveyedFolder {
        role,
        path,
        ignorefile,
        entries,
        left_out,
        hints,
    })
}

/// What is sent for something that is part of the folder. Builds refuse links that lead out;
/// of a copy they are told.
fn kind(
    found: &Found<'_>,
    role: &Role,
    outside: &mut Vec<Hint>,
) -> Result<Option<EntryKind>, Trouble> {
    Ok(Some(match found.kind {
        Kind::File => EntryKind::File {
            bytes: found.metadata()?.len(),
        },
        Kind::Folder => EntryKind::Folder,
        Kind::Link => {
            let target = match role {
                Role::Context | Role::Named(_) => buildable_link(found)?,
                Role::Source => found.link()?,
            };
            if *role == Role::Source && leads_out(found.path, &target) && outside.len() < 5 {
                outside.push(unit::container::leads_out(found.shown));
            }
            EntryKind::Link {
                target: target.to_string_lossy().into_owned(),
            }
        }
        Kind::Special => return Ok(None),
    }))
}

fn why(rule: &Rule) -> Why {
    match &rule.why {
        Some(why) => Why::Never(why.clone()),
        None => Why::Rule {
            line: rule.line,
            pattern: rule.pattern.clone(),
        },
    }
}

/// The bytes of what is left out, links for nothing; `None` where `looks` were used up on it, or
/// something cannot be looked at.
fn size(found: &Found<'_>, looks: &mut usize) -> Option<u64> {
    let mut bytes = 0_u64;
    for entry in WalkDir::new(found.at).follow_links(false) {
        *looks = looks.checked_sub(1)?;
        let entry = entry.ok()?;
        if entry.file_type().is_file() {
            bytes = bytes.saturating_add(entry.metadata().ok()?.len());
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
