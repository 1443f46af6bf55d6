//! What volumes take on an engine's disk. The client library reads this answer in its newest form
//! alone, so it is asked for and read here in both. It refuses to guess: a volume that the engine
//! does not measure is not among them.

use std::collections::BTreeMap;

use bytes::Bytes;
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind};
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use serde::Deserialize;

use crate::DockerBackend;
use crate::call::{self, CHANGE};
use crate::errors::{self, Result};

/// Bytes of an answer that are read: every volume has a piece in it.
const LONGEST: usize = 64 << 20;

impl DockerBackend {
    pub(crate) async fn volume_usage(&self) -> Result<BTreeMap<String, u64>> {
        let (major, minor) = self.api.version;
        let path = format!("/v{major}.{minor}/system/df?type=volume&verbose=1");
        match tokio::time::timeout(CHANGE, self.get(&path)).await {
            Ok(Ok(answer)) => read(&answer),
            Ok(Err(error)) => Err(self.dialer.explain(error).await),
            Err(_) => Err(call::late(CHANGE)),
        }
    }

    /// The body of an answer.
    async fn get(&self, path: &str) -> Result<Bytes> {
        let broken = |error: &(dyn std::error::Error + 'static)| errors::of_transport(error, false);
        let io = self.dialer.dial().await.map_err(|error| broken(&error))?;
        let (mut sender, connection) = http1::handshake(io).await.map_err(|e| broken(&e))?;
        let request = Request::get(path).header(HOST, "docker");
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| BackendError::new(Kind::Engine, error.to_string()))?;
        let call = async {
            let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| errors::of_transport(error.as_ref(), false))?;
            let body = body.to_bytes();
            if !status.is_success() {
                let said = String::from_utf8_lossy(&body).trim().to_owned();
                let kind = errors::of_answer(status.as_u16(), &said);
                return Err(BackendError::new(kind, said));
            }
            Ok(body)
        };
        tokio::pin!(call);
        tokio::select! {
            answer = &mut call => answer,
            // Where the engine closes after its answer, that is there to be read.
            _ = connection => call.await,
        }
    }
}

/// An answer in the form of API 1.52 and newer, or in the one before.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    volume_usage: Option<Usage>,
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    items: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    usage_data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    /// Less than 0 where it is not known.
    size: i64,
}

fn read(answer: &[u8]) -> Result<BTreeMap<String, u64>> {
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|error| BackendError::new(Kind::Engine, error.to_string()))?;
    let newest = answer.volume_usage.and_then(|usage| usage.items);
    let volumes = newest.or(answer.volumes).unwrap_or_default();
    let sizes = volumes.into_iter().filter_map(|volume| {
        let size = u64::try_from(volume.usage_data?.size).ok()?;
        Some((volume.name, size))
    });
    Ok(sizes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let volumes = r#"[{"Name":"a","UsageData":{"Size":7,"RefCount":0}},
            {"Name":"far","UsageData":{"Size":-1,"RefCount":-1}},{"Name":"b"}]"#;
        for form in [
            format!(r#"{{"LayersSize":0,"Volumes":{volumes}}}"#),
            format!(r#"{{"VolumeUsage":{{"TotalCount":3,"Items":{volumes}}}}}"#),
        ] {
            let sizes = read(form.as_bytes()).unwrap();
            assert_eq!(sizes, BTreeMap::from([("a".to_owned(), 7)]));
        }
        assert!(read(b"{}").unwrap().is_empty());
        assert!(read(b"nonsense").is_err());
    }
}
