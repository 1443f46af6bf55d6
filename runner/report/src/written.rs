//! Reports that are files. A run is rendered once, at its end, and a reader sees the whole report or
//! none: nothing here appends, and nothing here knows a format.

use std::path::PathBuf;

use hoist_model::event::RunEvent;
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::RunState;

use crate::{junit, sarif};

/// Renders a run.
type Render = fn(&RunState) -> Result<String, ReportError>;

/// Writes a run to a file at its end.
#[derive(Debug)]
pub struct Written {
    name: &'static str,
    path: PathBuf,
    render: Render,
}

impl Written {
    /// As JUnit XML to that file; its folders are made.
    #[must_use]
    pub fn junit(path: PathBuf) -> Self {
        let name = "the JUnit report";
        let render = junit::text;
        Self { name, path, render }
    }

    /// The findings as SARIF to that file; its folders are made.
    #[must_use]
    pub fn sarif(path: PathBuf) -> Self {
        let name = "the SARIF report";
        let render = |state: &RunState| Ok(sarif::text(state));
        Self { name, path, render }
    }
}

impl Reporter for Written {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_event(&mut self, _: &RunState, _: &RunEvent) -> Result<(), ReportError> {
        Ok(())
    }

    fn finish(&mut self, state: &RunState) -> Result<(), ReportError> {
        let shown = self.path.display();
        let said = |error: std::io::Error| ReportError(format!("cannot write {shown}: {error}"));
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(said)?;
        }
        let text = (self.render)(state)?;
        let mut partial = self.path.clone().into_os_string();
        partial.push(".part");
        std::fs::write(&partial, text).map_err(said)?;
        std::fs::rename(&partial, &self.path).map_err(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_put_in_its_place_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports/scan.sarif");
        for _ in 0..2 {
            let mut report = Written::sarif(path.clone());
            report.finish(&RunState::default()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"2.1.0\""), "{text}");
        let beside = path.parent().unwrap().read_dir().unwrap();
        assert_eq!(beside.count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let mut report = Written::junit(folder.path().join("file/unit.xml"));
        let error = report.finish(&RunState::default()).unwrap_err();
        assert!(error.0.contains("file/unit.xml"), "{}", error.0);
    }
}
