//! Clients of test servers.

use slipway_api_server::kubeconfig::{Choice, Sources, choose};

/// Returns a client of the server at `url`, which has no login and may have any certificate.
pub(crate) async fn client_of(url: &str) -> kube::Client {
    client_by(&format!("server: '{url}', insecure-skip-tls-verify: true")).await
}

/// Returns a client of a cluster with these fields of the kubeconfig.
pub(crate) async fn client_by(cluster: &str) -> kube::Client {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = format!(
        "current-context: test
clusters: [{{name: test, cluster: {{{cluster}}}}}]
contexts: [{{name: test, context: {{cluster: test}}}}]
"
    );
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let target = choose(&sources, &Choice::default()).unwrap();
    target.client().await.unwrap()
}
