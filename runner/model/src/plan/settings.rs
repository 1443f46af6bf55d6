//! What a file says beside its steps and environments: secrets, logins, reports and tools.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cx::{Cx, KindKey};
use super::reference::Reference;
use super::{Entry, RegistryLogin, Reports, SecretSource};
use crate::diag::Diagnostic;
use crate::spec::{At, SecretSpec};
use crate::step::{deploy, scan};

/// A tool of hoist's own, an image that may be named.
struct Tool {
    name: &'static str,
    key: &'static str,
    variable: &'static str,
    help: &'static str,
    /// Versions that were published with stolen credentials, by this advisory.
    stolen: Option<(&'static [&'static str], &'static str)>,
}

const TRIVY: Tool = Tool {
    name: "Trivy",
    key: "trivy",
    variable: "HOIST_TOOLS_TRIVY",
    help: "name a version, best with its digest, such as `aquasec/trivy:0.74.0@sha256:...`",
    stolen: Some((&["0.69.4", "0.69.5", "0.69.6"], "GHSA-69fq-xp46-6x23")),
};

const HAPROXY: Tool = Tool {
    name: "HAProxy",
    key: "haproxy",
    variable: "HOIST_TOOLS_HAPROXY",
    help: "name a version, best with its digest, such as `haproxy:2.8.29-alpine@sha256:...`",
    stolen: None,
};

/// The tools that hoist itself runs, as far as the file's steps need them and nothing is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// What scans.
    pub(crate) scanner: Option<Scanner>,
    /// HAProxy's image.
    pub(crate) haproxy: Option<String>,
}

/// What scans.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    /// Trivy's image.
    pub(crate) trivy: String,
    /// Where its database comes from.
    pub(crate) trivy_db: TrivyDb,
}

/// Where Trivy's database comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrivyDb {
    /// Where Trivy itself looks.
    Default,
    /// A repository in a registry.
    Repository(String),
    /// A folder that holds `trivy.db`.
    Folder(String),
}

impl Cx<'_> {
    pub(super) fn read_secrets(&mut self) -> BTreeMap<String, SecretSource> {
        let spec = self.spec;
        let mut secrets = BTreeMap::new();
        for (name, secret) in &spec.secrets {
            self.name("a secret", name);
            if let Some(source) = self.secret(name, secret) {
                secrets.insert(name.value.clone(), source);
            }
        }
        secrets
    }

    fn secret(&mut self, name: &At<String>, secret: &SecretSpec) -> Option<SecretSource> {
        let fault = match (&secret.environment, &secret.file) {
            (Some(variable), None) => {
                let variable = self.literal_at(variable)?;
                if !variable.value.is_empty() && !variable.value.contains(['=', '\0']) {
                    return Some(SecretSource::Environment(variable.value));
                }
                let message = format!("`{}` is not the name of a variable", variable.value);
                Diagnostic::error(message, variable.span)
            }
            (None, Some(file)) => {
                return self
                    .project_path(file)
                    .map(|path| SecretSource::File(path.value));
            }
            (Some(variable), Some(file)) => {
                let message = format!("the secret `{}` has two sources", name.value);
                Diagnostic::error(message, file.span.clone())
                    .context(variable.span.clone(), "the other one")
                    .help("keep one of `environment` and `file`")
            }
            (None, None) if self.is_told(&["secrets", &name.value, "environment"]) => return None,
            (None, None) => {
                let message = format!("the secret `{}` has no source", name.value);
                Diagnostic::error(message, name.span.clone())
                    .help("say where it comes from: `{ environment = \"VARIABLE\" }` or `{ file = \"PATH\" }`")
            }
        };
        self.fault(fault);
        None
    }

    pub(super) fn read_registries(&mut self) -> BTreeMap<String, RegistryLogin> {
        let spec = self.spec;
        let mut logins = BTreeMap::new();
        for (host, login) in &spec.registries {
            let plain = host
                .value
                .split_once("://")
                .map_or(host.as_str(), |(_, rest)| rest);
            let plain = plain.split('/').next().unwrap_or_default();
            if plain.is_empty() || plain.contains(char::is_whitespace) || plain != host.value {
                let message = format!("`{}` is not the host of a registry", host.value);
                let fault = Diagnostic::error(message, host.span.clone());
                self.fault(
                    fault.help("hosts are written like `registry.example.com` or `localhost:5000`"),
                );
            }
            let table = ["registries", host.as_str()];
            let username =
                self.required(login.username.as_ref(), &[table[0], table[1], "username"]);
            let username = self.literal_opt(username);
            let password =
                self.required(login.password.as_ref(), &[table[0], table[1], "password"]);
            let password = password.and_then(|at| self.literal_at(at));
            if let Some(password) = &password {
                self.known_secret(password);
            }
            if let (Some(username), Some(password)) = (username, password) {
                let login = RegistryLogin {
                    username,
                    password: password.value,
                };
                logins.insert(host.value.clone(), login);
            }
        }
        logins
    }

    pub(super) fn read_reports(&mut self) -> Reports {
        let Some(spec) = self.spec.reports.as_ref() else {
            return Reports::default();
        };
        let reports = Reports {
            junit: self.read_report(spec.junit.as_ref(), "reports/junit.xml"),
            sarif: self.read_report(spec.sarif.as_ref(), "reports/scan.sarif"),
        };
        if let (Some(path), Some(at)) = (&reports.junit, &spec.sarif)
            && reports.sarif.as_ref() == Some(path)
        {
            let message = format!("two reports cannot both be `{path}`");
            let fault = Diagnostic::error(message, at.span.clone());
            self.fault(fault.help("name another file for one of them"));
        }
        reports
    }

    fn read_report(&mut self, at: Option<&At<String>>, example: &str) -> Option<String> {
        let path = self.project_path(at?)?;
        let problem = match self.entry(&path.value) {
            Entry::Missing | Entry::File => return Some(path.value),
            Entry::Folder => "is a folder",
            Entry::Outside => "is a link that leaves the project",
            Entry::Other | Entry::Unreadable => "cannot be written",
        };
        let message = format!("the report `{}` {problem}", path.value);
        let fault = Diagnostic::error(message, path.span);
        self.fault(fault.help(format!("name a file, such as `{example}`")));
        None
    }

    /// The tools, where a step needs them: what hoist's own settings say stands over the file,
    /// which is checked all the same.
    pub(super) fn read_tools(&mut self) -> Tools {
        let spec = self.spec.tools.as_ref();
        let trivy = self.tool_of_file(&TRIVY, spec.and_then(|tools| tools.trivy.as_ref()));
        let database = spec.and_then(|tools| tools.trivy_db.as_ref());
        let database = database.and_then(|at| self.literal_at(at));
        let database = database.and_then(|at| self.trivy_db(&at.value, Some(at.span)));
        let haproxy = self.tool_of_file(&HAPROXY, spec.and_then(|tools| tools.haproxy.as_ref()));
        let scanner = self
            .has(KindKey::Scan)
            .then(|| self.scanner(trivy, database));
        let haproxy = self.has(KindKey::Deploy).then(|| {
            let named = self.world.tools.haproxy.as_ref();
            self.tool(&HAPROXY, named, haproxy, deploy::HAPROXY)
        });
        Tools {
            scanner: scanner.flatten(),
            haproxy: haproxy.flatten(),
        }
    }

    fn has(&self, kind: KindKey) -> bool {
        (0..self.steps.len()).any(|at| self.kind_of(at) == Some(kind))
    }

    fn scanner(&mut self, trivy: Option<String>, database: Option<TrivyDb>) -> Option<Scanner> {
        let world = &self.world.tools;
        let trivy = self.tool(&TRIVY, world.trivy.as_ref(), trivy, scan::TRIVY)?;
        let trivy_db = match &world.trivy_db {
            Some(named) => self.trivy_db(named, None)?,
            None => database.unwrap_or(TrivyDb::Default),
        };
        Some(Scanner { trivy, trivy_db })
    }

    /// A tool's image: that of hoist's own settings, of the file, or else the default.
    fn tool(
        &mut self,
        tool: &Tool,
        named: Option<&String>,
        of_file: Option<String>,
        default: &str,
    ) -> Option<String> {
        let Some(image) = named else {
            return Some(of_file.unwrap_or_else(|| default.to_owned()));
        };
        if let Err(why) = tool.check(image) {
            let message = format!("{} cannot be `{image}`: {why}", tool.variable);
            self.fault(Diagnostic::error_without_place(message).help(tool.help));
            return None;
        }
        Some(image.clone())
    }

    fn tool_of_file(&mut self, tool: &Tool, at: Option<&At<String>>) -> Option<String> {
        let at = self.literal_at(at?)?;
        match tool.check(&at.value) {
            Err(why) => {
                let message = format!("`{}` cannot be `{}`", tool.key, at.value);
                let fault = Diagnostic::error(message, at.span).says(why);
                self.fault(fault.help(tool.help));
                return None;
            }
            Ok(Reference { digest: None, .. }) => {
                let message = format!("{}'s image is named without a digest", tool.name);
                self.fault(
                    Diagnostic::warning(message, at.span)
                        .help("a tag can be re-pointed; add `@sha256:` and the digest"),
                );
            }
            Ok(_) => {}
        }
        Some(at.value)
    }

    /// Where the database comes from; without a place it is a setting of hoist's own.
    fn trivy_db(&mut self, named: &str, span: Option<Range<usize>>) -> Option<TrivyDb> {
        let path = named
            .strip_prefix("./")
            .unwrap_or(named)
            .trim_end_matches('/')
            .to_owned();
        let is_path = named.starts_with(['/', '.']);
        let problem = match self.entry(&path) {
            Entry::Folder => {
                // What Trivy itself keeps has the database in a folder `db`.
                let folders = [path.clone(), format!("{path}/db")];
                let mut folders = folders.into_iter();
                match folders.find(|path| self.entry(&format!("{path}/trivy.db")) == Entry::File) {
                    Some(folder) => return Some(TrivyDb::Folder(folder)),
                    None => format!("the folder `{named}` has no `trivy.db`"),
                }
            }
            Entry::Missing if is_path => format!("the folder `{named}` does not exist"),
            Entry::Missing => match Reference::parse(named) {
                Ok(_) => return Some(TrivyDb::Repository(named.to_owned())),
                Err(why) => format!("`{named}` is neither a folder nor a repository: {why}"),
            },
            _ => format!("`{named}` is not a folder that can be read"),
        };
        let fault = match span {
            Some(span) => Diagnostic::error(problem, span),
            None => Diagnostic::error_without_place(format!("HOIST_TOOLS_TRIVY_DB: {problem}")),
        };
        self.fault(fault.help(
            "name a folder that holds `trivy.db`, or a repository such as `ghcr.io/aquasecurity/trivy-db:2`",
        ));
        None
    }
}

/// Files that are never part of a context or of a copy of the project.
pub(super) fn never_sent(
    secrets: &BTreeMap<String, SecretSource>,
    reports: &Reports,
) -> Vec<String> {
    let files = secrets.values().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Environment(_) => None,
    });
    let mut all: Vec<String> = files.chain(reports.paths().cloned()).collect();
    all.sort();
    all.dedup();
    all
}

impl Tool {
    /// The image, taken apart; or why it is refused.
    fn check(&self, image: &str) -> Result<Reference, String> {
        let reference = Reference::parse(image)?;
        let tag = reference.tag.as_deref().unwrap_or("latest");
        let version = tag.strip_prefix('v').unwrap_or(tag);
        let is = |stolen: &&&str| {
            let rest = version.strip_prefix(**stolen);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        if let Some((versions, advisory)) = self.stolen
            && let Some(stolen) = versions.iter().find(is)
        {
            let name = self.name;
            return Err(format!(
                "{name} {stolen} was published with stolen credentials ({advisory})"
            ));
        }
        if tag == "latest" && reference.digest.is_none() {
            return Err("what `latest` is changes without a word".into());
        }
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_have_to_be_pinned_and_their_own() {
        for (tool, default) in [(&TRIVY, scan::TRIVY), (&HAPROXY, deploy::HAPROXY)] {
            assert!(tool.check(default).unwrap().digest.is_some());
            let digest = default.split_once('@').unwrap().1;
            for image in [
                "tool:0.74.0",
                "localhost:5000/tool:0.69.3",
                "tool:0.69.40",
                &format!("tool@{digest}"),
            ] {
                assert!(tool.check(image).is_ok(), "{image}");
            }
            for image in ["tool", "tool:latest", "Tool:1"] {
                assert!(tool.check(image).is_err(), "{image}");
            }
            for image in [
                "tool:0.69.4",
                "x/tool:v0.69.5",
                "tool:0.69.6-amd64",
                &format!("tool:0.69.4@{digest}"),
            ] {
                assert_eq!(tool.check(image).is_err(), tool.stolen.is_some(), "{image}");
            }
        }
    }
}
