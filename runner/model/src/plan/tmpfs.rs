//! Memory file systems as the file writes them: a path, and mount options as Docker and, behind it,
//! Linux take them. What an engine would only refuse when a step starts is refused here.

use super::cx::Cx;
use super::values::MOST_MEMORY;
use crate::diag::{Diagnostic, near};
use crate::spec::{At, OneOrMany};
use crate::unit::Tmpfs;

/// Options that stand alone. Docker knows those of propagation and of binds, too, which have no
/// meaning for memory.
const FLAGS: [&str; 21] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
];

/// Options with a value: `tmpfs(5)`.
const VALUES: [&str; 7] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
];

const HELP: &str = "options are written like `/cache:size=64m,mode=1777`";

impl Cx<'_> {
    /// Memory file systems: `/path` or `/path:options`.
    pub(crate) fn tmpfs(&mut self, all: Option<&OneOrMany>) -> Vec<Tmpfs> {
        let mut mounts: Vec<Tmpfs> = Vec::new();
        for at in self.literals(all.map(|all| &all.0)) {
            let (path, options) = at.value.split_once(':').unwrap_or((&at.value, ""));
            let path = At {
                span: at.span.clone(),
                value: path.to_owned(),
            };
            if let Err(fault) = check(options) {
                self.fault(fault.at(&at));
            }
            let Some(target) = self.container_path(&path) else {
                continue;
            };
            if mounts.iter().any(|mount| mount.target == target) {
                self.fault(Diagnostic::error(
                    format!("`{target}` is mounted twice"),
                    at.span.clone(),
                ));
            }
            mounts.push(Tmpfs {
                target,
                options: options.to_owned(),
            });
        }
        mounts
    }
}

/// What is wrong with an option, and what to try.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    message: String,
    help: String,
}

impl Fault {
    fn new(message: String, help: &str) -> Self {
        let help = help.to_owned();
        Self { message, help }
    }

    fn at(self, at: &At<String>) -> Diagnostic {
        Diagnostic::error(self.message, at.span.clone()).help(self.help)
    }
}

fn check(options: &str) -> Result<(), Fault> {
    if options.is_empty() {
        return Ok(());
    }
    options.split(',').try_for_each(check_option)
}

fn check_option(option: &str) -> Result<(), Fault> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) if VALUES.contains(&name) => (name, value),
        None if FLAGS.contains(&option) => return Ok(()),
        None if VALUES.contains(&option) => {
            let message = format!("the option `{option}` of a tmpfs has no value");
            return Err(Fault::new(message, HELP));
        }
        _ => return Err(unknown(option)),
    };
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let wrong = match name {
        "size" => !is_size(value),
        "mode" => u32::from_str_radix(value, 8).map_or(true, |mode| mode > 0o7777),
        "uid" | "gid" => !is_number(value),
        "nr_inodes" | "nr_blocks" => kernel_number(value).is_none(),
        // Which policies there are is the kernel's to say.
        _ => value.is_empty(),
    };
    if !wrong {
        return Ok(());
    }
    let help = match name {
        "size" => {
            "sizes are written like `size=64m` or `size=50%`, and no machine has more than 1 PiB"
        }
        "mode" => "modes are octal, such as `mode=1777`",
        "uid" | "gid" => "owners are numbers, such as `uid=1000`",
        _ => HELP,
    };
    let message = format!("`{option}` is not an option of a tmpfs");
    Err(Fault::new(message, help))
}

fn unknown(option: &str) -> Fault {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    let message = match option {
        "" => "an option of the tmpfs is empty".to_owned(),
        option => format!("a tmpfs has no option `{option}`"),
    };
    match near(name, VALUES.into_iter().chain(FLAGS)) {
        Some(meant) => Fault::new(message, &format!("did you mean `{meant}`?")),
        None => Fault::new(message, HELP),
    }
}

/// Bytes, or a part of the memory.
fn is_size(value: &str) -> bool {
    match value.strip_suffix('%') {
        Some(percent) => percent.parse::<u32>().is_ok(),
        None => kernel_number(value).is_some_and(|bytes| bytes <= MOST_MEMORY),
    }
}

/// A number as the kernel's `memparse` takes it: with `k`, `m`, `g` and so on after it.
fn kernel_number(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match value.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        "e" => 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_take_is_taken() {
        for options in [
            "",
            "size=64m",
            "size=65536",
            "size=50%",
            "size=1G,mode=1777,uid=1000,gid=1000",
            "rw,exec,nosuid,nodev",
            "mode=0700",
            "nr_inodes=10k,mpol=interleave:0-3",
        ] {
            assert_eq!(check(options), Ok(()), "{options}");
        }
    }

    #[test]
    fn what_engines_refuse_is_refused() {
        for (options, message) in [
            ("nonsense", "a tmpfs has no option `nonsense`"),
            ("sise=1m", "a tmpfs has no option `sise=1m`"),
            ("rw=1", "a tmpfs has no option `rw=1`"),
            ("bind", "a tmpfs has no option `bind`"),
            ("size", "the option `size` of a tmpfs has no value"),
            ("size=lots", "`size=lots` is not an option of a tmpfs"),
            (
                "size=15000000000g",
                "`size=15000000000g` is not an option of a tmpfs",
            ),
            ("size=%", "`size=%` is not an option of a tmpfs"),
            ("mode=999", "`mode=999` is not an option of a tmpfs"),
            ("mode=17777", "`mode=17777` is not an option of a tmpfs"),
            ("uid=root", "`uid=root` is not an option of a tmpfs"),
            ("rw,,ro", "an option of the tmpfs is empty"),
            ("size=1m,", "an option of the tmpfs is empty"),
        ] {
            assert_eq!(check(options).unwrap_err().message, message);
        }
        assert_eq!(check("sise=1m").unwrap_err().help, "did you mean `size`?");
    }
}
