//! What a step is given of what earlier ones left: where each artifact goes, and where none can.
//! Whether a step leaves what it says is known only when it has run.

use std::collections::BTreeMap;

use super::cx::Cx;
use super::files::is_within;
use super::step_values::NAME_ONE;
use super::vars::Steps;
use crate::diag::Diagnostic;
use crate::spec::At;
use crate::text::{Piece, StepValue};
use crate::unit::{CacheVolume, Input, Tmpfs};

/// The container that inputs go into.
pub(crate) struct Inside<'i> {
    /// Where relative paths begin; absent where only the image knows.
    pub(crate) base: Option<&'i str>,
    /// Nothing can be put into its root.
    pub(crate) read_only: bool,
    /// What is mounted over its folders.
    pub(crate) tmpfs: &'i [Tmpfs],
    /// What outlives it.
    pub(crate) volumes: &'i [CacheVolume],
}

impl Cx<'_> {
    /// Artifacts by the paths that they go to.
    pub(crate) fn inputs(
        &mut self,
        all: Option<&BTreeMap<At<String>, At<String>>>,
        container: &Inside<'_>,
    ) -> Vec<Input> {
        let mut inputs: Vec<(Input, &At<String>)> = Vec::new();
        let mut sorted: Vec<_> = all.into_iter().flatten().collect();
        sorted.sort_by_key(|(target, _)| target.span.start);
        for (target, value) in sorted {
            let place = self.input_target(target, container);
            let Some((step, artifact)) = self.artifact(value) else {
                continue;
            };
            let Some(place) = place else { continue };
            let same = |(before, _): &&(Input, _)| bare(&before.target) == bare(&place);
            if let Some((_, first)) = inputs.iter().find(same) {
                let fault = format!("two inputs go to `{}`", target.value);
                let fault = Diagnostic::error(fault, target.span.clone());
                self.fault(fault.context(first.span.clone(), "first here"));
                continue;
            }
            let input = Input {
                target: place,
                step,
                artifact,
            };
            inputs.push((input, target));
        }
        let mut inputs: Vec<Input> = inputs.into_iter().map(|(input, _)| input).collect();
        // What goes into a folder comes after what makes it.
        inputs.sort_by(|a, b| bare(&a.target).cmp(bare(&b.target)));
        inputs
    }

    /// The step and the name of an artifact.
    fn artifact(&mut self, at: &At<String>) -> Option<(crate::ids::StepId, String)> {
        let text = self.expand(at, Steps::Artifact)?;
        if let [
            Piece::Step {
                step,
                value: StepValue::Artifact(name),
            },
        ] = text.0.as_slice()
        {
            return Some((step.clone(), name.clone()));
        }
        let message = format!("`{}` is no artifact", at.value);
        self.fault(Diagnostic::error(message, at.span.clone()).help(NAME_ONE));
        None
    }

    /// Where an input goes, without `.` and doubled slashes.
    fn input_target(&mut self, at: &At<String>, container: &Inside<'_>) -> Option<String> {
        let written = at.value.as_str();
        let slash = if written.ends_with('/') || matches!(written, "." | "") {
            "/"
        } else {
            ""
        };
        let fault = |message: String| Diagnostic::error(message, at.span.clone());
        if written.split('/').any(|part| part == "..") {
            self.fault(fault(format!("`{written}` has a `..`")));
            return None;
        }
        let whole = match container.base {
            _ if written.starts_with('/') => written.to_owned(),
            Some(base) => format!("{base}/{written}"),
            // Checked like the others, and what was put before it taken away again.
            None => format!("/{written}"),
        };
        let whole = At {
            span: at.span.clone(),
            value: whole,
        };
        let path = self.container_path(&whole)?;
        let relative = container.base.is_none() && !written.starts_with('/');
        let system = ["/proc", "/sys", "/dev", "/run/secrets"]
            .iter()
            .find(|folder| is_within(&path, folder));
        let tmpfs = container
            .tmpfs
            .iter()
            .find(|tmpfs| is_within(&path, &tmpfs.target));
        let mut volumes = container.volumes.iter();
        let volume = volumes.find(|volume| is_within(&path, &volume.target));
        let fault = if relative && container.read_only {
            fault(format!("where `{written}` is, only the image knows"))
                .help("with `read_only` name an absolute path, or set `working_dir`")
        } else if relative {
            let rest = path.trim_start_matches('/');
            let rest = if rest.is_empty() { "." } else { rest };
            return Some(format!("{rest}{slash}"));
        } else if path == "/" {
            fault("an input cannot go to `/`".into()).help("name a folder below it")
        } else if let Some(folder) = system {
            fault(format!("nothing can be put into `{folder}`"))
                .help("name a folder that the command reads")
        } else if let Some(tmpfs) = tmpfs {
            fault(format!(
                "`{}` is in memory, and empty when the command starts",
                tmpfs.target
            ))
            .help("name a folder outside of it")
        } else if let Some(volume) = volume {
            fault(format!(
                "`{path}` is in the volume `{}`, and would stay there",
                volume.name
            ))
            .help("name a folder outside of it")
        } else if container.read_only && slash.is_empty() && path.matches('/').count() == 1 {
            fault(format!("with `read_only` no file can be put at `{path}`"))
                .help("name a path in a folder")
        } else {
            return Some(format!("{path}{slash}"));
        };
        self.fault(fault);
        None
    }
}

/// A target without the slash at its end.
fn bare(target: &str) -> &str {
    target.strip_suffix('/').unwrap_or(target)
}
