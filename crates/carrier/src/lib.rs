//! Byte pipes through the Kubernetes API server to a port of a pod.
//!
//! Carriers are the only connection between the laptop and the agent: no port is opened in the cluster and no route
//! leads into it. They use connections that the API server already allows, like `kubectl port-forward`. This crate knows
//! `kube::Client` and bytes. It must not know what the bytes mean: streams, names and sessions are built on top of it.
//!
//! [`open`] opens a [`Pipe`] of one
//! [`CarrierKind`]; a [`CarrierOpener`] tries the kinds in turn and remembers the one that worked.
//!
//! ```text
//! Pipe -> PortForward -> [WebSocket] -> TLS, TCP (kube, hyper) -> API server -> kubelet -> pod
//!         Dialogue        masks,                                  switches      dials
//!         SPDY frames     messages                                protocols     127.0.0.1:port
//! ```
//!
//! One pipe is one connection to the API server with one data stream in it. SPDY/3.1 as Kubernetes uses it has no flow
//! control: streams in one connection block each other, and a carrier whose reader stops is blocked as a whole. The user
//! of a pipe must share it fairly.

mod dialogue;
mod error;
mod exec;
mod opener;
mod pipe;
mod port_forward;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod silent;
mod spdy;
#[cfg(test)]
mod test_client;
mod upgrade;
mod waiters;
mod websocket;

pub use error::{CarrierError, Wait};
pub use opener::{CarrierOpener, HEAD_START};
pub use pipe::{Pipe, PipeReader, PipeWriter};
pub use port_forward::MAX_FRAME;
pub use upgrade::UPGRADE_TIMEOUT;

/// Target of a carrier: a TCP port on which a process in a pod listens, on 127.0.0.1 or ::1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    namespace: String,
    pod: String,
    port: u16,
    command: Option<ExecCommand>,
}

/// Command whose standard input and output take the place of a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ExecCommand {
    container: String,
    argv: Vec<String>,
}

impl Endpoint {
    /// Creates an endpoint for a port of a pod.
    ///
    /// # Errors
    /// Returns [`CarrierError::InvalidEndpoint`] when a name is not valid in Kubernetes (RFC 1123 labels, for pods with
    /// dots between them), or the port is 0. The names become part of a URL.
    pub fn new(namespace: &str, pod: &str, port: u16) -> Result<Self, CarrierError> {
        let invalid = |field, value: &str| {
            Err(CarrierError::InvalidEndpoint {
                field,
                value: value.to_owned(),
            })
        };
        if !is_label(namespace) {
            return invalid("namespace", namespace);
        }
        if pod.len() > MAX_POD_NAME || !pod.split('.').all(is_label) {
            return invalid("pod", pod);
        }
        if port == 0 {
            return invalid("port", "0");
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            port,
            command: None,
        })
    }

    /// Sets the command that connects its standard input and output to this port. Without one, [`CarrierKind::Exec`]
    /// cannot be used.
    #[must_use]
    pub fn with_command<I>(mut self, container: &str, argv: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let argv = argv.into_iter().map(Into::into).collect();
        self.command = Some(ExecCommand {
            container: container.to_owned(),
            argv,
        });
        self
    }

    /// Returns the pod's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the pod's name.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Returns the port in the pod.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Longest name of a pod: a DNS-1123 subdomain, RFC 1123 labels with dots between, 253 octets in all.
const MAX_POD_NAME: usize = 253;

/// Returns whether a name is an RFC 1123 label (2.1) as Kubernetes defines it: in lower case.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Method by which a carrier passes the API server, in the order in which the kinds are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CarrierKind {
    /// Port-forward over plain SPDY/3.1: the fastest kind, and available since port-forward exists. Some proxies block it.
    Spdy,
    /// Port-forward over SPDY/3.1 inside a WebSocket, since Kubernetes 1.31. About a fifth slower, because a client must
    /// mask what it sends and the API server unwraps it.
    WebSocket,
    /// Standard input and output of a command. Slow, needs `pods/exec`, and works where a node's port-forward does not.
    Exec,
}

impl CarrierKind {
    /// All kinds, best first.
    pub const ALL: [CarrierKind; 3] = [CarrierKind::Spdy, CarrierKind::WebSocket, CarrierKind::Exec];
}

/// Opens a carrier of this kind to `endpoint`.
///
/// On success the API server and the node have agreed to the protocol. The node connects to the port after that, without
/// a round trip: if the port refuses, the first read returns the error.
///
/// # Errors
/// Returns [`CarrierError`]. Every wait is limited, the longest by [`UPGRADE_TIMEOUT`].
pub async fn open(
    client: &kube::Client,
    endpoint: &Endpoint,
    kind: CarrierKind,
) -> Result<Pipe, CarrierError> {
    match kind {
        CarrierKind::Spdy => Ok(Pipe::spdy(upgrade::spdy(client, endpoint).await?, endpoint.port)),
        CarrierKind::WebSocket => {
            let wire = upgrade::websocket(client, endpoint).await?;
            Ok(Pipe::websocket(wire, endpoint.port).await)
        }
        CarrierKind::Exec => Ok(Pipe::exec(exec::start(client, endpoint).await?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_change_the_url_are_refused() {
        assert!(Endpoint::new("default", "web-0.a", 80).is_ok());
        for (namespace, pod, port) in [
            ("default", "web/../../secrets", 80),
            ("default", "web?x=1", 80),
            ("default", "web..a", 80),
            ("default", "", 80),
            ("default", "Web", 80),
            ("de.fault", "web", 80),
            ("-x", "web", 80),
            ("default", "web", 0),
        ] {
            let endpoint = Endpoint::new(namespace, pod, port);
            assert!(
                matches!(endpoint, Err(CarrierError::InvalidEndpoint { .. })),
                "{namespace}/{pod}:{port}"
            );
        }
    }
}
