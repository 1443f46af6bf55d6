//! The values of secrets, read once before anything touches the engine. A secret that cannot be
//! masked is refused, and nothing here ever prints one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use hoist_model::plan::{Plan, SecretSource};
use hoist_model::reason::Trouble;
use hoist_model::redact::{Redactor, Unmaskable};
use secrecy::{ExposeSecret, SecretString};

use crate::backend::Login;

/// The values of secrets by name.
#[derive(Default)]
pub struct Secrets {
    values: BTreeMap<String, SecretString>,
    redactor: Redactor,
}

impl Secrets {
    /// Reads the secrets that the plan's steps and logins use: variables from `environment`, files
    /// relative to `root`, with one newline at a file's end taken off.
    ///
    /// # Errors
    /// Every secret that is missing, cannot be read or cannot be masked.
    pub fn read(
        plan: &Plan,
        root: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<Trouble>> {
        let (mut values, mut troubles) = (BTreeMap::new(), Vec::new());
        for name in plan.used_secrets() {
            match read(name, plan.secrets.get(name), root, environment) {
                Ok(value) => drop(values.insert(name.to_owned(), value)),
                Err(trouble) => troubles.push(trouble),
            }
        }
        // What this run does not use may still be met in its output; nobody waits for it, though.
        let others = plan
            .secrets
            .iter()
            .filter(|(name, _)| !values.contains_key(*name));
        let others =
            others.filter_map(|(name, source)| read(name, Some(source), root, environment).ok());
        let others: Vec<SecretString> = others.collect();
        let known = values.values().chain(&others);
        let redactor = Redactor::new(known.map(|value| value.expose_secret()));
        match redactor {
            Ok(redactor) if troubles.is_empty() => Ok(Self { values, redactor }),
            Ok(_) => Err(troubles),
            Err(error) => {
                troubles.push(too_many(error));
                Err(troubles)
            }
        }
    }

    /// Those of the plan's secrets that can be read here. Nothing is masked by them.
    #[must_use]
    pub fn readable(plan: &Plan, root: &Path, environment: &BTreeMap<String, String>) -> Self {
        let sources = plan.secrets.iter();
        let known = sources.filter_map(|(name, source)| {
            let value = read(name, Some(source), root, environment).ok()?;
            Some((name.clone(), value))
        });
        Self {
            values: known.collect(),
            redactor: Redactor::default(),
        }
    }

    /// Masks those of the plan's secrets that can be read here, for output that a deploy printed
    /// with them. What cannot be read cannot be masked, and is no error.
    ///
    /// # Errors
    /// When they cannot all be masked at once.
    pub fn known(
        plan: &Plan,
        root: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Redactor, Trouble> {
        let sources = plan.secrets.iter();
        let known =
            sources.filter_map(|(name, source)| read(name, Some(source), root, environment).ok());
        let known: Vec<SecretString> = known.collect();
        Redactor::new(known.iter().map(|value| value.expose_secret())).map_err(too_many)
    }

    /// The value of a secret of the plan.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.values.get(name)
    }

    /// Masks these secrets.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }

    /// The logins of the plan's `[registries]`.
    #[must_use]
    pub fn logins(&self, plan: &Plan) -> Vec<Login> {
        let logins = plan.registries.iter().filter_map(|(registry, login)| {
            Some(Login {
                registry: registry.clone(),
                username: login.username.clone(),
                password: self.get(&login.password)?.clone(),
            })
        });
        logins.collect()
    }
}

impl fmt::Debug for Secrets {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn too_many(error: Unmaskable) -> Trouble {
    Trouble::new("the secrets cannot all be masked at once")
        .cause(error.to_string())
        .hint("use fewer or shorter secrets")
}

fn read(
    name: &str,
    source: Option<&SecretSource>,
    root: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<SecretString, Trouble> {
    let (value, place) = match source {
        None => {
            return Err(
                Trouble::new(format!("the secret `{name}` has no source")).hint(format!(
                    "name one in [secrets]: {name} = {{ environment = \"NAME\" }}"
                )),
            );
        }
        Some(SecretSource::Environment(variable)) => {
            let value = environment.get(variable).cloned().ok_or_else(|| {
                Trouble::new(format!("the secret `{name}` is missing"))
                    .cause(format!("the environment has no {variable}"))
                    .hint(format!("set {variable} and run again"))
            })?;
            (value, variable)
        }
        Some(SecretSource::File(path)) => (read_file(name, path, root)?, path),
    };
    match Redactor::new([&value]) {
        Ok(_) => Ok(SecretString::from(value)),
        Err(error) => Err(
            Trouble::new(format!("the secret `{name}` cannot be masked"))
                .cause(format!("{place}: {error}"))
                .hint("give it a value that is not found in innocent text"),
        ),
    }
}

fn read_file(name: &str, path: &str, root: &Path) -> Result<String, Trouble> {
    let refused = |cause: String| {
        Trouble::new(format!("the secret `{name}` cannot be read"))
            .cause(format!("{path}: {cause}"))
            .hint(format!(
                "write its value into {path}, or name another source in [secrets]"
            ))
    };
    // One byte more than can be masked, so that a file without an end is refused and not read.
    let limit = u64::try_from(Redactor::LONGEST)
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    let mut bytes = Vec::new();
    File::open(root.join(path))
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| refused(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8 text".to_owned()))?;
    let text = text.strip_suffix('\n').map(str::to_owned).unwrap_or(text);
    Ok(text.strip_suffix('\r').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use hoist_model::plan::RegistryLogin;
    use hoist_model::unit::Unit;

    use super::*;
    use crate::fake::{container, plan, step};

    fn using(secrets: &[(&str, SecretSource)]) -> Plan {
        let mut unit = container();
        unit.secrets = secrets.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut plan = plan(&[]);
        plan.steps.push(step("a", &[], Unit::Container(unit)));
        let sources = secrets
            .iter()
            .map(|(name, source)| ((*name).to_owned(), source.clone()));
        plan.secrets = sources.collect();
        plan
    }

    fn environment(name: &str) -> SecretSource {
        SecretSource::Environment(name.to_owned())
    }

    fn file(path: &str) -> SecretSource {
        SecretSource::File(path.to_owned())
    }

    #[test]
    fn variables_and_files_are_read_and_masked() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("password"), "from a file\n\n").unwrap();
        let variables = BTreeMap::from([("TOKEN".to_owned(), "from a variable\n".to_owned())]);
        let mut plan = using(&[
            ("token", environment("TOKEN")),
            ("password", file("password")),
        ]);
        plan.secrets
            .insert("unused".to_owned(), environment("NOT_SET"));
        let login = RegistryLogin {
            username: "ci".to_owned(),
            password: "token".to_owned(),
        };
        plan.registries.insert("localhost:5000".to_owned(), login);
        let secrets = Secrets::read(&plan, root.path(), &variables).unwrap();
        let value = |name| secrets.get(name).map(ExposeSecret::expose_secret);
        assert_eq!(value("token"), Some("from a variable\n"));
        assert_eq!(
            value("password"),
            Some("from a file\n"),
            "one newline is the file's own"
        );
        assert_eq!(value("unused"), None);
        assert_eq!(
            secrets.redactor().redact("it came from a file."),
            "it came ***."
        );
        let logins = secrets.logins(&plan);
        assert_eq!(
            (logins[0].registry.as_str(), logins[0].username.as_str()),
            ("localhost:5000", "ci")
        );
        assert_eq!(logins[0].password.expose_secret(), "from a variable\n");
        let printed = format!("{secrets:?} {logins:?}");
        assert!(!printed.contains("from a"), "{printed}");
    }

    #[test]
    fn every_fault_is_said_with_its_source_and_never_with_a_value() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("short"), "hunter2\n").unwrap();
        std::fs::write(root.path().join("binary"), b"\xff\xfe\xfd hunter2hunter2").unwrap();
        std::fs::write(
            root.path().join("long"),
            vec![b'x'; Redactor::LONGEST + 100],
        )
        .unwrap();
        std::fs::create_dir(root.path().join("folder")).unwrap();
        let mut plan = using(&[
            ("a", environment("NOT_SET")),
            ("b", file("nowhere")),
            ("c", file("short")),
            ("d", file("binary")),
            ("e", file("long")),
            ("f", file("folder")),
            ("g", environment("EMPTY")),
        ]);
        let variables = BTreeMap::from([("EMPTY".to_owned(), String::new())]);
        let login = RegistryLogin {
            username: "ci".to_owned(),
            password: "h".to_owned(),
        };
        plan.registries.insert("localhost:5000".to_owned(), login);
        let troubles = Secrets::read(&plan, root.path(), &variables).unwrap_err();
        let said: Vec<_> = troubles
            .iter()
            .map(|trouble| trouble.what.as_str())
            .collect();
        assert_eq!(
            said,
            [
                "the secret `a` is missing",
                "the secret `b` cannot be read",
                "the secret `c` cannot be masked",
                "the secret `d` cannot be read",
                "the secret `e` cannot be masked",
                "the secret `f` cannot be read",
                "the secret `g` cannot be masked",
                "the secret `h` has no source",
            ]
        );
        assert!(troubles.iter().all(|trouble| trouble.hint.is_some()));
        let causes = [
            "NOT_SET", "nowhere", "short", "binary", "long", "folder", "EMPTY",
        ];
        for (trouble, place) in troubles.iter().zip(causes) {
            assert!(
                trouble.cause.as_ref().unwrap().contains(place),
                "{trouble:?}"
            );
        }
        assert!(!format!("{troubles:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_known_is_masked_and_the_rest_is_no_error() {
        let mut plan = plan(&[]);
        plan.secrets = [
            ("token", environment("TOKEN")),
            ("absent", environment("NOT_SET")),
        ]
        .map(|(name, source)| (name.to_owned(), source))
        .into();
        let variables = BTreeMap::from([("TOKEN".to_owned(), "correct horse".to_owned())]);
        let redactor = Secrets::known(&plan, Path::new("/"), &variables).unwrap();
        assert_eq!(redactor.redact("it is correct horse."), "it is ***.");
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let plan = using(&[("zero", file("/dev/zero"))]);
        let troubles = Secrets::read(&plan, Path::new("/"), &BTreeMap::new()).unwrap_err();
        assert_eq!(troubles[0].what, "the secret `zero` cannot be masked");
    }
}
