//! Where services are written, for messages: their tables, and the steps in which these may be.

use std::ops::Range;

use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::At;

/// The table that services are in.
#[derive(Clone, Copy)]
pub(in crate::step) enum Home {
    /// In a deploy.
    Deploy,
    /// Before the services of a deploy.
    PreDeploy,
    /// After them.
    PostDeploy,
    /// Beside a step.
    Step,
}

/// The step that services belong to.
#[derive(Clone, Copy)]
pub(in crate::step) struct Owner<'s> {
    pub(in crate::step) step: &'s str,
    /// The steps whose services it has too, the nearest first.
    pub(in crate::step) bases: &'s [String],
}

/// Where a service is written.
#[derive(Clone, Copy)]
pub(in crate::step) struct Place<'s> {
    pub(in crate::step) home: Home,
    pub(in crate::step) owner: Owner<'s>,
    /// The service.
    pub(in crate::step) name: &'s At<String>,
}

impl Home {
    /// The path of a step's table of services.
    fn table(self, step: &str) -> Vec<&str> {
        match self {
            Self::Deploy => vec!["steps", step, "deploy", "services"],
            Self::PreDeploy => vec!["steps", step, "deploy", "pre_deploy"],
            Self::PostDeploy => vec!["steps", step, "deploy", "post_deploy"],
            Self::Step => vec!["steps", step, "services"],
        }
    }
}

impl<'s> Owner<'s> {
    /// The paths that a key may have below the table, that of the step itself first.
    fn paths<'p>(self, home: Home, key: &'p [&'p str]) -> impl Iterator<Item = Vec<&'p str>>
    where
        's: 'p,
    {
        let steps = std::iter::once(self.step).chain(self.bases.iter().map(String::as_str));
        steps.map(move |step| {
            let mut path = home.table(step);
            path.extend(key);
            path
        })
    }

    /// A key below the table is written somewhere.
    pub(in crate::step) fn has(self, cx: &Cx<'_>, home: Home, key: &[&str]) -> bool {
        self.paths(home, key).any(|path| cx.key(&path).is_some())
    }

    /// The place of a key below the table, or of the nearest above it that is written.
    pub(in crate::step) fn key_span(self, cx: &Cx<'_>, home: Home, key: &[&str]) -> Range<usize> {
        let nearest = (0..=key.len()).rev().find_map(|parts| {
            let part = key.get(..parts)?;
            let mut paths = self.paths(home, part);
            paths.find_map(|path| cx.key(&path))
        });
        let above = || cx.key_span(&home.table(self.step));
        nearest.map_or_else(above, |place| place.key)
    }
}

impl Place<'_> {
    fn below<'p>(&'p self, key: &[&'p str]) -> Vec<&'p str> {
        let mut path = vec![self.name.as_str()];
        path.extend(key);
        path
    }

    /// The path of one of the service's keys where the step itself says it.
    pub(in crate::step) fn path<'p>(&'p self, key: &[&'p str]) -> Vec<&'p str> {
        let mut path = self.home.table(self.owner.step);
        path.extend(self.below(key));
        path
    }

    /// The place of one of the service's keys.
    pub(in crate::step) fn key_span(&self, cx: &Cx<'_>, key: &[&str]) -> Range<usize> {
        self.owner.key_span(cx, self.home, &self.below(key))
    }

    /// Something was told of one of the service's keys already.
    pub(in crate::step) fn is_told(&self, cx: &Cx<'_>, key: &[&str]) -> bool {
        let key = self.below(key);
        let mut paths = self.owner.paths(self.home, &key);
        paths.any(|path| cx.is_told(&path))
    }

    /// Another step has the service too.
    fn is_inherited(&self, cx: &Cx<'_>) -> bool {
        let key = [self.name.as_str()];
        let mut paths = self.owner.paths(self.home, &key).skip(1);
        paths.any(|path| cx.key(&path).is_some())
    }

    /// A value that has to be there. Of a service that another step has too, it is said there.
    pub(in crate::step) fn required<'v, T>(
        &self,
        cx: &mut Cx<'_>,
        value: Option<&'v T>,
        key: &[&str],
    ) -> Option<&'v T> {
        if value.is_none() && !self.is_told(cx, key) && !self.is_inherited(cx) {
            let key_above = key.split_last().map_or(key, |(_, above)| above);
            let mut path = self.home.table(self.owner.step);
            path.extend(self.below(key));
            let (key, table) = path.split_last()?;
            let message = format!("`{}` needs `{key}`", table.join("."));
            let above = self.key_span(cx, key_above);
            cx.fault(Diagnostic::error(message, above));
        }
        value
    }
}
