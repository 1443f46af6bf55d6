//! Volumes: plain calls. It refuses to look into them.

use std::collections::HashMap;

use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use hoist_engine::backend::{LabelFilter, Labels, VolumeInfo};

use crate::DockerBackend;
use crate::call::{self, CHANGE, LOOK};
use crate::containers::{has_all, label_filters};
use crate::errors::Result;
use crate::names;

impl DockerBackend {
    /// `options` are those of the engine's own driver.
    pub(crate) async fn volume_create(
        &self,
        name: &str,
        labels: &Labels,
        options: HashMap<String, String>,
    ) -> Result<()> {
        let request = VolumeCreateRequest {
            driver_opts: (!options.is_empty()).then_some(options),
            name: Some(name.to_owned()),
            labels: Some(labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        call::within(CHANGE, self.docker.create_volume(request)).await?;
        Ok(())
    }

    pub(crate) async fn volume_inspect(&self, name: &str) -> Result<Option<VolumeInfo>> {
        let name = names::piece(name)?;
        let answer = call::within(LOOK, self.docker.inspect_volume(name)).await;
        Ok(call::found(answer)?.map(info))
    }

    pub(crate) async fn volume_remove(&self, name: &str) -> Result<()> {
        let name = names::piece(name)?;
        let call = self.docker.remove_volume(name, None::<RemoveVolumeOptions>);
        call::gone_is_fine(call::within(CHANGE, call).await)
    }

    pub(crate) async fn volume_list(&self, labels: LabelFilter<'_>) -> Result<Vec<VolumeInfo>> {
        let options = ListVolumesOptionsBuilder::default()
            .filters(&label_filters(labels))
            .build();
        let listed = call::within(LOOK, self.docker.list_volumes(Some(options))).await?;
        let listed = listed.volumes.unwrap_or_default().into_iter().map(info);
        Ok(listed
            .filter(|volume| has_all(&volume.labels, labels))
            .collect())
    }
}

fn info(volume: Volume) -> VolumeInfo {
    let created = volume
        .created_at
        .and_then(|at| jiff::Timestamp::from_second(at.unix_timestamp()).ok());
    VolumeInfo {
        name: volume.name,
        labels: volume.labels.into_iter().collect(),
        created_at: created.map(|at| at.to_string()).unwrap_or_default(),
    }
}
