//! Exec carrier: a command's standard input and output as the pipe.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, SimplexStream, WriteHalf};
use tokio::time::timeout;

use crate::error::{CarrierError, Wait};
use crate::upgrade::{UPGRADE_TIMEOUT, from_send, from_status};
use crate::{Endpoint, ExecCommand};

/// Size of kube's buffer for each direction, in bytes.
const BUFFER: usize = 256 * 1024;

/// Starts the endpoint's command in its pod.
pub(crate) async fn start(client: &kube::Client, endpoint: &Endpoint) -> Result<Command, CarrierError> {
    let Some(ExecCommand { container, argv }) = &endpoint.command else {
        return Err(CarrierError::NoCommand);
    };
    let params = AttachParams::default()
        .container(container)
        .stdin(true)
        .stdout(true)
        // Standard error is not read, and unread output would block the command.
        .stderr(false)
        .max_stdin_buf_size(BUFFER)
        .max_stdout_buf_size(BUFFER);
    let pods = Api::<Pod>::namespaced(client.clone(), &endpoint.namespace);
    let mut process = timeout(UPGRADE_TIMEOUT, pods.exec(&endpoint.pod, argv, &params))
        .await
        .map_err(|_| CarrierError::TimedOut { wait: Wait::Upgrade })?
        .map_err(refused)?;
    let (Some(stdin), Some(stdout), Some(status)) =
        (process.stdin(), process.stdout(), process.take_status())
    else {
        return Err(CarrierError::Protocol {
            what: "exec without the streams that were asked for",
        });
    };
    Ok(Command {
        stdin,
        stdout,
        status: Some(Box::pin(status)),
        failed: None,
        _process: process,
    })
}

fn refused(error: kube::Error) -> CarrierError {
    if let kube::Error::Api(answer) = error {
        let status = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return from_status(status, answer.message, "pods/exec", true);
    }
    if let kube::Error::UpgradeConnection(error) = error {
        return CarrierError::UpgradeRefused {
            status: StatusCode::BAD_GATEWAY,
            message: error.to_string(),
        };
    }
    from_send(&error)
}

/// A running command. Dropping it ends the connection, and with it the command's input.
pub(crate) struct Command {
    stdin: WriteHalf<SimplexStream>,
    stdout: ReadHalf<SimplexStream>,
    /// Future of the command's result; `None` once it is known.
    status: Option<BoxFuture<'static, Option<Status>>>,
    failed: Option<CarrierError>,
    /// Connection whose task moves the bytes until this is dropped.
    _process: AttachedProcess,
}

impl Command {
    /// Returns the command's result. Called when the output has ended.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(status) = &mut self.status {
            self.failed = match ready!(status.as_mut().poll(cx)) {
                None => Some(CarrierError::lost_silently()),
                Some(Status {
                    status: Some(result), ..
                }) if result == "Success" => None,
                Some(Status { message, .. }) => Some(CarrierError::from_node(message.unwrap_or_default())),
            };
            self.status = None;
        }
        Poll::Ready(self.failed.clone().map_or(Ok(()), |error| Err(error.into())))
    }
}

impl AsyncRead for Command {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stdout).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        this.poll_ended(cx)
    }
}

impl AsyncWrite for Command {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stdin.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}
