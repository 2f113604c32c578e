//! Conversion of the libraries' nested errors to [`ApiError`].
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the libraries may grow"
)]

use std::error::Error as StdError;
use std::io;

use kube::core::Status;
use rustls::CertificateError;

use super::{Access, ApiError, CertificateProblem};
use crate::client::Silent;
use crate::login::LoginError;

/// Largest number of causes in a chain, in case a cause refers to itself.
const CAUSES: usize = 16;

/// Converts an error of the Kubernetes client. `access` is the permission that the request needed.
pub fn classify(access: Access, error: kube::Error) -> ApiError {
    match error {
        kube::Error::Api(status) => from_status(access, *status),
        error => from_causes(&error),
    }
}

fn from_status(access: Access, status: Status) -> ApiError {
    let Status {
        code,
        message,
        reason,
        ..
    } = status;
    match code {
        401 => ApiError::Credentials {
            detail: message,
            plugin: None,
        },
        403 if is_authorization(&message) => ApiError::Forbidden { access, message },
        404 => ApiError::NotFound { message },
        status => ApiError::Refused {
            status,
            reason,
            message,
        },
    }
}

/// Returns whether a 403 comes from an authorizer and not from admission. Only authorizers name the user and the verb
/// (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`).
fn is_authorization(message: &str) -> bool {
    message.contains(" cannot ") && message.contains("User \"")
}

fn from_causes(error: &(dyn StdError + 'static)) -> ApiError {
    let mut cause = Some(error);
    let mut last = error.to_string();
    for _ in 0..CAUSES {
        let Some(error) = cause else { break };
        if let Some(found) = from_cause(error) {
            return found;
        }
        last = error.to_string();
        cause = error.source();
    }
    ApiError::Broken { detail: last }
}

fn from_cause(error: &(dyn StdError + 'static)) -> Option<ApiError> {
    if let Some(error) = error.downcast_ref::<LoginError>() {
        return Some(error.clone().into());
    }
    if let Some(silent) = error.downcast_ref::<Silent>() {
        let detail = silent.to_string();
        return Some(match silent {
            Silent::Proxy => ApiError::Proxy { detail },
            Silent::Server => ApiError::Connect { detail },
        });
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(from_tls(error));
    }
    let text = error.to_string();
    // The HTTP client's error types for the resolver and the proxy are private, so only their texts can be used.
    if text.starts_with("dns error") || text.contains("failed to lookup address") {
        let detail = error.source().map_or(text, |cause| cause.to_string());
        return Some(ApiError::Resolve { detail });
    }
    if text.starts_with("tunnel error") || text.starts_with("SOCKS error") {
        // The library does not pass on why a SOCKS proxy cannot be reached.
        let detail = if text == "SOCKS error: failed to create underlying connection" {
            "it cannot be reached".to_owned()
        } else {
            root_of(error)
        };
        return Some(ApiError::Proxy { detail });
    }
    let error = error.downcast_ref::<io::Error>()?;
    match error.get_ref() {
        // An error inside an `io::Error` is not among its sources, and libraries nest them.
        Some(inner) => from_cause(inner).or_else(|| from_io(error)),
        None => from_io(error),
    }
}

/// Returns the text of the first cause.
fn root_of(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    for _ in 0..CAUSES {
        match root.source() {
            Some(cause) => root = cause,
            None => break,
        }
    }
    root.to_string()
}

fn from_io(error: &io::Error) -> Option<ApiError> {
    use io::ErrorKind as Kind;
    let detail = error.to_string();
    match error.kind() {
        Kind::ConnectionRefused
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable
        | Kind::PermissionDenied
        | Kind::TimedOut => Some(ApiError::Connect { detail }),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
            Some(ApiError::Broken { detail })
        }
        _ => None,
    }
}

fn from_tls(error: &rustls::Error) -> ApiError {
    let detail = error.to_string();
    match error {
        rustls::Error::InvalidCertificate(certificate) => ApiError::Certificate {
            problem: certificate_problem(certificate),
            detail,
        },
        // The alert is about the client certificate: that is how a server refuses one.
        rustls::Error::AlertReceived(_) => ApiError::Credentials { detail, plugin: None },
        _ => ApiError::Tls { detail },
    }
}

fn certificate_problem(error: &CertificateError) -> CertificateProblem {
    match error {
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid
        }
        _ => CertificateProblem::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::{Api, ListParams};
    use slipway_problem::Fault;

    use slipway_scripted_api::{Script, failure, rbac};

    use super::*;
    use crate::request::{REQUEST_PATIENCE, ask};

    const PODS: &str = "/api/v1/namespaces/dev/pods";

    fn access() -> Access {
        Access::within("dev", "list", "", "pods")
    }

    async fn list(client: kube::Client) -> ApiError {
        let pods: Api<Pod> = Api::namespaced(client, "dev");
        ask(access(), pods.list(&ListParams::default()))
            .await
            .unwrap_err()
    }

    async fn answered(status: u16, body: serde_json::Value) -> ApiError {
        list(Script::new().on("GET", PODS, status, body).client()).await
    }

    #[tokio::test]
    async fn rbac_names_what_is_missing_and_where() {
        let error = answered(403, rbac("list", "pods", "", "dev")).await;
        assert_eq!(error.to_string(), "you may not list pods in namespace dev");
        assert_eq!((error.code(), error.is_passing()), ("forbidden", false));
        assert!(error.remedy().contains("list pods in namespace dev"));
    }

    #[tokio::test]
    async fn admission_differs_from_rbac_although_both_are_403() {
        let body = failure(
            403,
            "Forbidden",
            "pods \"x\" is forbidden: exceeded quota: small, requested: pods=1",
        );
        let error = answered(403, body).await;
        assert!(
            matches!(&error, ApiError::Refused { status: 403, message, .. } if message.contains("exceeded quota"))
        );
    }

    #[tokio::test]
    async fn refused_credentials_ask_for_a_new_login() {
        let error = answered(401, failure(401, "Unauthorized", "Unauthorized")).await;
        assert_eq!(error.code(), "credentials-refused");
        assert!(error.remedy().contains("Log in"));
    }

    #[tokio::test]
    async fn a_busy_server_is_a_failure_that_passes() {
        let error = answered(503, failure(503, "ServiceUnavailable", "etcd is on holiday")).await;
        assert!(error.is_passing(), "{error}");
        assert!(error.to_string().contains("etcd is on holiday"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up_in_time() {
        let error = list(Script::new().on_never("GET", PODS).client()).await;
        assert!(matches!(error, ApiError::Timeout { waited } if waited == REQUEST_PATIENCE));
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable() {
        // Bound but not listening, so that no other program takes the port meanwhile.
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        drop(held);
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let error = list(kube::Client::try_from(config).unwrap()).await;
        assert!(matches!(error, ApiError::Connect { .. }), "{error:?}");
        assert!(error.is_passing());
    }

    #[tokio::test]
    async fn a_server_without_tls_is_recognized() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        });
        let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
        config.accept_invalid_certs = true;
        let error = list(kube::Client::try_from(config).unwrap()).await;
        assert!(matches!(error, ApiError::Tls { .. }), "{error:?}");
        server.await.unwrap();
    }

    #[test]
    fn each_certificate_problem_is_recognized() {
        for (certificate, problem) in [
            (CertificateError::UnknownIssuer, CertificateProblem::UnknownIssuer),
            (CertificateError::NotValidForName, CertificateProblem::WrongName),
            (CertificateError::Expired, CertificateProblem::Expired),
            (CertificateError::NotValidYet, CertificateProblem::NotYetValid),
            (CertificateError::BadSignature, CertificateProblem::Invalid),
        ] {
            let inner = io::Error::other(rustls::Error::InvalidCertificate(certificate));
            let error = classify(access(), kube::Error::Service(Box::new(io::Error::other(inner))));
            assert!(
                matches!(error, ApiError::Certificate { problem: found, .. } if found == problem),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_refused_client_certificate_is_a_login_problem() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
        let error = classify(access(), kube::Error::Service(Box::new(io::Error::other(alert))));
        assert_eq!(error.code(), "credentials-refused");
    }
}
