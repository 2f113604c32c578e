//! Identities in the cluster: certificates and kubeconfigs of its processes and users.

use std::fs;
use std::net::IpAddr;

use anyhow::Result;

use super::NAME;
use super::files::Files;
use crate::Addresses;
use crate::pki::{self, Authority, Identity};

impl Files {
    /// Writes certificates and kubeconfigs.
    pub(super) fn write_identities(&self, bed: &str, addresses: Addresses, domain: &str) -> Result<()> {
        let authority = Authority::new()?;
        fs::write(self.pki("ca.crt"), authority.certificate())?;
        // For tests that need other certificates.
        fs::write(self.pki("ca.key"), authority.key())?;
        let put = |name: &str, identity: &Identity| -> Result<()> {
            fs::write(self.pki(&format!("{name}.crt")), &identity.certificate)?;
            fs::write(self.pki(&format!("{name}.key")), &identity.key)?;
            Ok(())
        };
        let server = [
            IpAddr::V4(addresses.node()),
            IpAddr::V4(addresses.kubernetes()),
            IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        ];
        let full_name = format!("kubernetes.default.svc.{domain}");
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            &full_name,
        ];
        put(
            "api-server",
            &authority.server("kube-apiserver", &server, &names)?,
        )?;
        put(
            "kubelet-server",
            &authority.server(NAME, &[IpAddr::V4(addresses.node())], &[NAME])?,
        )?;
        put(
            "kubelet-client",
            &authority.client("kube-apiserver", Some("system:masters"))?,
        )?;
        let (private, public) = pki::token_key()?;
        fs::write(self.pki("tokens.key"), private)?;
        fs::write(self.pki("tokens.pub"), public)?;
        for (user, name, group, namespace) in [
            ("admin", "admin", Some("system:masters"), "default"),
            ("developer", "developer", None, "shop"),
            ("kubelet", "system:node:node", Some("system:nodes"), "default"),
        ] {
            let identity = authority.client(name, group)?;
            let config = pki::kubeconfig(
                bed,
                &addresses.api_server(),
                &authority,
                user,
                &identity,
                namespace,
            )?;
            fs::write(self.kubeconfig(user), config)?;
        }
        let expired = authority.expired_client("developer")?;
        let server = addresses.api_server();
        let config = pki::kubeconfig(bed, &server, &authority, "developer", &expired, "shop")?;
        fs::write(self.kubeconfig("expired"), config)?;
        Ok(())
    }
}
