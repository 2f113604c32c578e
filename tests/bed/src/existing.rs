//! Existing cluster instead of the bed's own: laptops reach its API server through a relay.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::processes;

/// An existing cluster, by its context in a kubeconfig.
#[derive(Debug, Clone)]
pub struct Existing {
    /// The context's name.
    pub context: String,
    /// The kubeconfig; without one, the one that kubectl reads.
    pub kubeconfig: Option<PathBuf>,
}

/// Values of its kubeconfig.
#[derive(Debug)]
pub(crate) struct Found {
    config: Value,
    /// `HOST:PORT`, as the host reaches it.
    pub(crate) address: String,
    /// The name that the API server's certificate is for.
    name: String,
}

impl Existing {
    /// Reads the kubeconfig, with all files that it refers to embedded.
    pub(crate) fn find(&self, kube: &Path) -> Result<Found> {
        let mut kubectl = Command::new(kube);
        kubectl.args([
            "kubectl",
            "config",
            "view",
            "--minify",
            "--flatten",
            "--output=json",
        ]);
        kubectl.args(["--context", &self.context]);
        if let Some(file) = &self.kubeconfig {
            kubectl.env("KUBECONFIG", file);
        }
        let config = processes::run(&mut kubectl)?;
        let config = serde_json::from_str(&config).context("kubectl did not print JSON")?;
        Found::read(config)
    }
}

impl Found {
    fn read(config: Value) -> Result<Self> {
        let cluster = &config["clusters"][0]["cluster"];
        let server = cluster["server"]
            .as_str()
            .context("the context names no API server")?;
        let authority = server
            .strip_prefix("https://")
            .and_then(|rest| rest.split('/').next())
            .with_context(|| format!("{server} is not an https address"))?;
        ensure!(
            config["users"][0]["user"]["exec"].is_null(),
            "a credential plugin would not work on a laptop without internet access: use a context with a certificate or a token"
        );
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            Some(_) | None => (authority, "443"),
        };
        let name = cluster["tls-server-name"].as_str().unwrap_or(host);
        let (address, name) = (format!("{host}:{port}"), name.trim_matches(['[', ']']).to_owned());
        Ok(Self {
            address,
            name,
            config,
        })
    }

    /// Returns a kubeconfig for clients that use the relay at `server`, with its own user or with a token.
    pub(crate) fn kubeconfig(
        &self,
        bed: &str,
        server: &str,
        namespace: &str,
        token: Option<&str>,
    ) -> Result<String> {
        let mut cluster = self.config["clusters"][0]["cluster"].clone();
        cluster["server"] = json!(server);
        cluster["tls-server-name"] = json!(self.name);
        let user = match token {
            Some(token) => json!({ "token": token }),
            None => self.config["users"][0]["user"].clone(),
        };
        Ok(serde_json::to_string_pretty(&json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": bed, "cluster": cluster }],
            "users": [{ "name": "user", "user": user }],
            "contexts": [{ "name": bed, "context": { "cluster": bed, "user": "user", "namespace": namespace } }],
            "current-context": bed,
        }))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(server: &str, user: &Value) -> Result<Found> {
        Found::read(json!({
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": "AA=="}}],
            "users": [{"name": "u", "user": user}],
        }))
    }

    #[test]
    fn the_relay_keeps_the_api_servers_certificate() {
        for (server, address, name) in [
            ("https://127.0.0.1:44321", "127.0.0.1:44321", "127.0.0.1"),
            (
                "https://api.example.test/k8s",
                "api.example.test:443",
                "api.example.test",
            ),
            ("https://[::1]:6443", "[::1]:6443", "::1"),
        ] {
            let found = found(server, &json!({"token": "own"})).unwrap();
            assert_eq!(found.address, address);
            let text = found
                .kubeconfig("bed", "https://192.168.77.1:6443", "shop", None)
                .unwrap();
            let config: Value = serde_json::from_str(&text).unwrap();
            let cluster = &config["clusters"][0]["cluster"];
            assert_eq!(cluster["server"], "https://192.168.77.1:6443");
            assert_eq!(cluster["tls-server-name"], name);
            assert_eq!(cluster["certificate-authority-data"], "AA==");
            assert_eq!(config["users"][0]["user"]["token"], "own");
        }
    }

    #[test]
    fn contexts_that_a_laptop_cannot_use_are_refused() {
        assert!(found("http://127.0.0.1:8080", &json!({})).is_err());
        let error = found("https://1.2.3.4", &json!({"exec": {"command": "cloud-login"}})).unwrap_err();
        assert!(error.to_string().contains("credential plugin"), "{error}");
    }
}
