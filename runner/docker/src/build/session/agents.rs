//! Agents for ssh, lent to instructions that ask for one. An instruction may list keys and have
//! something signed; it refuses to pass on anything else, so that no Dockerfile can add keys to an
//! agent, remove them or lock it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bollard::moby::sshforward::v1::ssh_server::Ssh as Service;
use bollard::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonic::{Request, Response, Status, Streaming};

/// The agent that is meant where none is named.
const DEFAULT: &str = "default";
/// How long an agent may take to take a connection.
const CONNECTING: Duration = Duration::from_secs(5);
/// Bytes of a message, as OpenSSH bounds them.
const LONGEST_MESSAGE: usize = 256 << 10;
/// The length before each message.
const LENGTH: usize = 4;

// Numbers of messages: <https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent>.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;

/// The agents of one build: their sockets by ID.
pub(super) struct Agents(pub(super) BTreeMap<String, PathBuf>);

impl Agents {
    async fn connect(&self, id: &str) -> Result<UnixStream, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let Some(path) = self.0.get(id) else {
            return Err(Status::not_found(format!(
                "the step lends no ssh agent `{id}`"
            )));
        };
        let failed = |why: &dyn std::fmt::Display| {
            let path = path.display();
            Status::unavailable(format!("the ssh agent at {path} does not answer: {why}"))
        };
        match tokio::time::timeout(CONNECTING, UnixStream::connect(path)).await {
            Ok(connected) => connected.map_err(|error| failed(&error)),
            Err(late) => Err(failed(&late)),
        }
    }
}

#[tonic::async_trait]
impl Service for Agents {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.connect(&request.into_inner().id).await?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = BoxStream<'static, Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let agent = self.connect(id).await?;
        let talk = Talk {
            asked: request
                .into_inner()
                .map(|piece| piece.map(|piece| piece.data))
                .boxed(),
            waiting: BytesMut::new(),
            agent,
        };
        let answers = stream::try_unfold(talk, |mut talk| async move {
            let answer = talk.next().await?;
            Ok(answer.map(|data| (BytesMessage { data }, talk)))
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// One connection of an instruction to an agent: a request and its answer after the other.
struct Talk {
    asked: BoxStream<'static, Result<Vec<u8>, Status>>,
    waiting: BytesMut,
    agent: UnixStream,
}

impl Talk {
    /// The answer to the next request, or `None` where there is none any more.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        let Some(request) = self.request().await? else {
            return Ok(None);
        };
        if !matches!(
            request.get(LENGTH),
            Some(&(REQUEST_IDENTITIES | SIGN_REQUEST))
        ) {
            return Ok(Some(message(&[FAILURE])));
        }
        let answer = self.ask(&request).await;
        answer
            .map(Some)
            .map_err(|error| Status::unavailable(format!("the ssh agent broke off: {error}")))
    }

    /// The next whole request, its length included.
    async fn request(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(mut length) = self.waiting.get(..LENGTH) {
                let whole = LENGTH
                    + bounded(length.get_u32()).map_err(|error| {
                        Status::invalid_argument(format!("a request to the ssh agent: {error}"))
                    })?;
                if self.waiting.len() >= whole {
                    return Ok(Some(self.waiting.split_to(whole).freeze()));
                }
            }
            match self.asked.next().await {
                Some(piece) => self.waiting.extend_from_slice(&piece?),
                None => return Ok(None),
            }
        }
    }

    async fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.agent.write_all(request).await?;
        let mut answer = vec![0; bounded(self.agent.read_u32().await?)?];
        self.agent.read_exact(&mut answer).await?;
        Ok(message(&answer))
    }
}

fn bounded(length: u32) -> io::Result<usize> {
    match usize::try_from(length) {
        Ok(length) if length <= LONGEST_MESSAGE => Ok(length),
        _ => Err(io::Error::other(format!("{length} bytes are too many"))),
    }
}

/// A message with its length before it.
fn message(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(content);
    message
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// An agent that answers each request with its own number and one more byte.
    fn agent(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u32().await {
                        let mut asked = vec![0; length as usize];
                        stream.read_exact(&mut asked).await.unwrap();
                        stream.write_all(&message(&[asked[0], 99])).await.unwrap();
                    }
                });
            }
        });
        path
    }

    async fn answers(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, Status> {
        let folder = tempfile::tempdir().unwrap();
        let agents = Agents(BTreeMap::from([(DEFAULT.to_owned(), agent(&folder))]));
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(piece.to_vec())).collect();
        let mut talk = Talk {
            asked: stream::iter(pieces).boxed(),
            waiting: BytesMut::new(),
            agent: agents.connect("").await?,
        };
        let mut answers = Vec::new();
        while let Some(answer) = talk.next().await? {
            answers.push(answer);
        }
        Ok(answers)
    }

    #[tokio::test]
    async fn keys_are_listed_and_used_and_nothing_else_is_done() {
        let list = message(&[REQUEST_IDENTITIES]);
        let sign = message(&[SIGN_REQUEST, 1, 2, 3]);
        // Remove all keys; lock; add a key.
        let (remove, lock, add) = (message(&[19]), message(&[22, 0]), message(&[17, 5]));
        let mut all = Vec::new();
        for one in [&list, &remove, &lock, &sign, &add, &list] {
            all.extend_from_slice(one);
        }
        let expected = [
            vec![REQUEST_IDENTITIES, 99],
            vec![FAILURE],
            vec![FAILURE],
            vec![SIGN_REQUEST, 99],
            vec![FAILURE],
            vec![REQUEST_IDENTITIES, 99],
        ]
        .map(|content| message(&content));
        assert_eq!(answers(&[&all]).await.unwrap(), expected);
        // However it comes in pieces.
        let pieces: Vec<&[u8]> = all.chunks(3).collect();
        assert_eq!(answers(&pieces).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn nonsense_and_absence_are_refused() {
        assert!(answers(&[&[255, 255, 255, 255, 11]]).await.is_err());
        assert_eq!(
            answers(&[&[0, 0, 0, 0]]).await.unwrap(),
            [message(&[FAILURE])]
        );
        assert!(answers(&[&[0, 0]]).await.unwrap().is_empty());
        let agents = Agents(BTreeMap::from([("gone".to_owned(), "/nowhere".into())]));
        for (id, why) in [("", "default"), ("other", "other"), ("gone", "/nowhere")] {
            let status = agents.connect(id).await.unwrap_err();
            assert!(status.message().contains(why), "{status}");
        }
    }
}
