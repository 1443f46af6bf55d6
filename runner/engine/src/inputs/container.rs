//! The parts of a container: whatever its command could see of its surroundings, and what is made of
//! what it leaves. Each key of the file is named here, so that a new one cannot be forgotten. These
//! are none, for they do not change what a step that passed came to: time-outs, retries, grace, and
//! conditions.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use hoist_model::image::ImageSource;
use hoist_model::inputs::{Input, Part, Unsettled};
use hoist_model::plan::PlannedStep;
use hoist_model::text::Text;
use hoist_model::unit::{
    self, Command, ContainerUnit, ImageArchive, Limits, Network, Security, SourceCopy, StepService,
    Tmpfs, ToolData, ToolDataSource,
};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::key::Key;
use crate::backend::ContextFolder;
use crate::context::UnitContext;
use crate::images;
use crate::tool_data;
use crate::unit::container::{folder, kept_artifact};
use crate::unit::halt::Halt;

/// Changes whenever what is hashed, or how a container is run, does.
const VERSION: &str = "1";
/// The longest command that is shown whole, bytes.
const SHORT: usize = 100;

/// What is told of a container without reading files.
pub(super) struct Told {
    /// All parts but the folders.
    pub(super) rest: Vec<Input>,
    pub(super) unsettled: Vec<Unsettled>,
    /// What is still to be read.
    pub(super) folders: Vec<(Part, ContextFolder)>,
}

/// The parts of a step's container.
///
/// # Errors
/// When something that it needs is not there: the step cannot run either.
pub(super) async fn parts(
    context: &UnitContext,
    key: &Key,
    step: &PlannedStep,
    unit: &ContainerUnit,
) -> Result<Told, Halt> {
    let info = context.backend.info().await;
    let info = info.map_err(|error| Halt::surroundings("the engine is not known", &error))?;
    let mut parts = Parts {
        context,
        key,
        told: Told {
            rest: Vec::new(),
            unsettled: Vec::new(),
            folders: Vec::new(),
        },
    };
    parts.shown(Part::Platform, &info.platform);
    // Its files lie, and its results stand, under this name.
    let name = context.artifacts.file_name().unwrap_or_default();
    let name = format!("{VERSION} {} {}", step.id, name.to_string_lossy());
    parts.hidden(Part::Option("name".to_owned()), &name);
    parts.option("kind", &step.kind);
    parts.container(unit).await?;
    Ok(parts.told)
}

struct Parts<'a> {
    context: &'a UnitContext,
    key: &'a Key,
    told: Told,
}

impl Parts<'_> {
    async fn container(&mut self, unit: &ContainerUnit) -> Result<(), Halt> {
        let ContainerUnit {
            image,
            command,
            environment,
            working_dir,
            user,
            network,
            security,
            limits,
            tmpfs,
            secrets,
            source,
            inputs,
            volumes,
            image_archive,
            tool_data,
            services,
            harvest,
            stop: _,
            always_runs: _,
        } = unit;
        let beside = services.iter().map(|service| &service.image);
        let mut images = self.images(std::iter::once(image).chain(beside)).await?;
        let ids = images.split_off(1);
        for id in &images {
            self.shown(Part::Image, id);
        }
        self.command(command);
        for (name, value) in self.texts(environment)? {
            self.hidden(Part::Variable(name), &value);
        }
        self.surroundings(
            "",
            working_dir.as_ref(),
            user.as_ref(),
            security,
            limits,
            tmpfs,
        );
        let network = match network {
            Network::None => "none",
            Network::Bridge => "bridge",
        };
        self.shown(Part::Network, network);
        self.known("", "secrets", (!secrets.is_empty()).then_some(secrets));
        let beside = services.iter().flat_map(|service| &service.secrets);
        self.secrets(secrets.iter().chain(beside).collect());
        self.masking();
        if let Some(source) = source {
            self.source(source)?;
        }
        for input in inputs {
            self.given(input)?;
        }
        self.known("", "volumes", (!volumes.is_empty()).then_some(volumes));
        if let Some(archive) = image_archive {
            self.archive(archive).await?;
        }
        if let Some(data) = tool_data {
            self.data(data).await?;
        }
        for (service, image) in services.iter().zip(&ids) {
            self.service(service, image)?;
        }
        self.option("artifacts", harvest);
        Ok(())
    }

    fn command(&mut self, command: &Command) {
        let short = match command {
            Command::Shell(script) => script.trim().to_owned(),
            Command::Exec(argv) => argv.join(" "),
        };
        let input = self.key.hidden(Part::Command, &json(command));
        let is_short = short.len() <= SHORT && !short.contains('\n');
        self.told.rest.push(Input {
            shown: is_short.then_some(short),
            ..input
        });
    }

    fn surroundings(
        &mut self,
        of: &str,
        working_dir: Option<&String>,
        user: Option<&String>,
        security: &Security,
        limits: &Limits,
        tmpfs: &[Tmpfs],
    ) {
        let Security {
            cap_add,
            read_only,
            seccomp,
            apparmor,
            userns,
        } = security;
        let Limits {
            cpus,
            memory,
            pids,
            shm_size,
            memory_reservation,
            memory_swap,
            memory_swappiness,
            cpu_shares,
            cpu_quota,
            cpu_period,
            cpuset,
            blkio,
            ulimits,
            oom_score_adj,
        } = limits;
        self.known(of, "working_dir", working_dir);
        self.known(of, "user", user);
        self.known(of, "cap_add", (!cap_add.is_empty()).then_some(cap_add));
        self.known(of, "read_only", read_only.then_some(true));
        self.known(of, "cpus", cpus.as_ref());
        self.known(of, "memory", memory.as_ref());
        self.known(of, "pids", pids.as_ref());
        self.known(of, "shm_size", shm_size.as_ref());
        self.known(of, "memory_reservation", memory_reservation.as_ref());
        self.known(of, "memory_swap", memory_swap.as_ref());
        self.known(of, "memory_swappiness", memory_swappiness.as_ref());
        self.known(of, "cpu_shares", cpu_shares.as_ref());
        self.known(of, "cpu_quota", cpu_quota.as_ref());
        self.known(of, "cpu_period", cpu_period.as_ref());
        self.known(of, "cpuset", cpuset.as_ref());
        self.known(of, "blkio", (!blkio.is_default()).then_some(blkio));
        self.known(of, "ulimits", (!ulimits.is_empty()).then_some(ulimits));
        self.known(of, "oom_score_adj", oom_score_adj.as_ref());
        self.known(of, "seccomp", seccomp.as_ref());
        self.known(of, "apparmor", apparmor.as_ref());
        self.known(of, "userns", userns.as_ref());
        self.known(of, "tmpfs", (!tmpfs.is_empty()).then_some(tmpfs));
    }

    /// What a step left was masked, and a secret that is new may stand in it.
    fn masking(&mut self) {
        let mut all = String::new();
        for name in self.context.plan.secrets.keys() {
            let value = self.context.secrets.get(name);
            let value = value.map_or("", |value| value.expose_secret());
            all.push_str(&format!("{} {value}\n", value.len()));
        }
        if !all.is_empty() {
            self.hidden(Part::Option("masking".to_owned()), &all);
        }
    }

    fn secrets(&mut self, names: BTreeSet<&String>) {
        for name in names {
            let value = self.context.secrets.get(name);
            let value = value.map(|value| value.expose_secret().to_owned());
            self.hidden(Part::Secret(name.clone()), &value.unwrap_or_default());
        }
    }

    fn source(&mut self, source: &SourceCopy) -> Result<(), Halt> {
        let SourceCopy {
            // What it leaves out is seen by what is left.
            ignorefile: _,
            target,
        } = source;
        let never = &self.context.plan.never_sent;
        let folder = folder(&self.context.root, never, source).map_err(Halt::configuration)?;
        self.told.folders.push((Part::Source, folder));
        self.option("source", target);
        Ok(())
    }

    fn given(&mut self, input: &unit::Input) -> Result<(), Halt> {
        let unit::Input {
            target,
            step,
            artifact,
        } = input;
        let kept = kept_artifact(self.context, input)?;
        // A single file may go in under its own name.
        let name = kept.path.rsplit('/').next();
        let part = Part::Given(target.clone(), format!("{artifact} of {step}"));
        self.hidden(part, &json(&(name, &kept.digest)));
        Ok(())
    }

    async fn archive(&mut self, archive: &ImageArchive) -> Result<(), Halt> {
        let ImageArchive {
            image,
            folder,
            file,
        } = archive;
        for id in self.images(std::iter::once(image)).await? {
            self.shown(Part::Scanned, &id);
        }
        self.option("image_archive", &(folder, file));
        Ok(())
    }

    async fn data(&mut self, data: &ToolData) -> Result<(), Halt> {
        let ToolData {
            title,
            name,
            target,
            source,
            // It decides which data is used.
            max_age: _,
        } = data;
        let part = Part::Data(title.clone());
        self.option("tool_data", &(name, target, source));
        match source {
            ToolDataSource::Folder(path) => {
                let folder = tool_data::folder(self.context, path);
                self.told.folders.push((part, folder));
            }
            ToolDataSource::Update { .. } => match tool_data::current(self.context, data).await? {
                Some(volume) => self.hidden(part, &volume),
                None => self.told.unsettled.push(Unsettled::Data(title.clone())),
            },
        }
        Ok(())
    }

    fn service(&mut self, service: &StepService, id: &str) -> Result<(), Halt> {
        let StepService {
            name,
            image: _,
            command,
            entrypoint,
            environment,
            working_dir,
            user,
            security,
            limits,
            tmpfs,
            secrets,
            healthcheck,
            depends_on,
            stop_grace_period: _,
            stop_signal: _,
        } = service;
        let of = format!("services.{name}.");
        self.shown(Part::Service(name.clone()), id);
        for (variable, value) in self.texts(environment)? {
            let part = Part::Option(format!("{of}environment.{variable}"));
            self.hidden(part, &value);
        }
        self.known(&of, "command", command.as_ref());
        self.known(&of, "entrypoint", entrypoint.as_ref());
        let (working_dir, user) = (working_dir.as_ref(), user.as_ref());
        self.surroundings(&of, working_dir, user, security, limits, tmpfs);
        self.known(&of, "secrets", (!secrets.is_empty()).then_some(secrets));
        self.option(&format!("{of}healthcheck"), healthcheck);
        let depends_on = (!depends_on.is_empty()).then_some(depends_on);
        self.known(&of, "depends_on", depends_on);
        Ok(())
    }

    /// The engine's IDs of images; those that it lacks are pulled.
    async fn images(&self, all: impl Iterator<Item = &ImageSource>) -> Result<Vec<String>, Halt> {
        let resolved = all.map(|image| images::resolve(self.context, image));
        let resolved = try_join_all(resolved).await?;
        Ok(resolved.into_iter().map(|found| found.image.id).collect())
    }

    fn texts(&self, all: &BTreeMap<String, Text>) -> Result<Vec<(String, String)>, Halt> {
        let texts = all.iter().map(|(name, value)| {
            let value = images::text(self.context, value)?;
            Ok((name.clone(), value))
        });
        texts.collect()
    }

    fn hidden(&mut self, part: Part, text: &str) {
        self.told.rest.push(self.key.hidden(part, text));
    }

    fn shown(&mut self, part: Part, text: &str) {
        self.told.rest.push(self.key.shown(part, text));
    }

    fn option(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.shown(Part::Option(name.to_owned()), &json(value));
    }

    fn known(&mut self, of: &str, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.option(&format!("{of}{name}"), &value);
        }
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
