//! The server over a pair of streams, one client at their other ends. When the client is gone or a
//! signal comes, all runs end at once: a host kills what does not end within two seconds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hoist_model::reason::{Signal, Trouble};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// How long runs may take to end once the client is gone.
const PATIENCE: Duration = Duration::from_millis(1_700);

/// Serves one client until its stream ends or a signal comes, and ends all runs then.
///
/// # Errors
/// When the client speaks something else.
pub async fn stdio<R, W>(
    server: Server,
    input: R,
    output: W,
    mut signals: mpsc::Receiver<Signal>,
) -> Result<(), Trouble>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let gone = CancellationToken::new();
    let input = Watched {
        inner: input,
        gone: gone.clone(),
    };
    let runs = server.clone();
    let serving = async move {
        let service = server.serve((input, output)).await?;
        let _ = service.waiting().await;
        Ok::<(), ServerInitializeError>(())
    };
    // rmcp gives calls five seconds after the end of its input, which is more than hosts wait.
    let result = tokio::select! {
        result = serving => result.or_else(spoken),
        () = gone.cancelled() => Ok(()),
        Some(_) = signals.recv() => Ok(()),
    };
    runs.end(PATIENCE).await;
    result
}

/// A client that goes before it has said hello is no fault.
fn spoken(error: ServerInitializeError) -> Result<(), Trouble> {
    match error {
        ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled => Ok(()),
        error => Err(Trouble::new("the client does not speak MCP")
            .cause(crate::text::short(&error.to_string(), 300))
            .hint("`hoist mcp` is started by an MCP client; runner/docs/mcp.md shows how")),
    }
}

/// A stream that tells of its end.
struct Watched<R> {
    inner: R,
    gone: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let over = match &polled {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if over {
            self.gone.cancel();
        }
        polled
    }
}
