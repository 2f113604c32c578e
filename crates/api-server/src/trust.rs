//! Trust in the API server's certificate, and the certificate that the user logs in with.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Certificates that the API server's one is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of the kubeconfig.
    Anchors(Vec<CertificateDer<'static>>),
    /// The authorities of this computer, because the kubeconfig names none.
    System,
    /// Any certificate (`insecure-skip-tls-verify`).
    Anything,
}

/// Error in a certificate or key of the kubeconfig.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("it contains no certificate in PEM format")]
    NoCertificate,
    #[error("it contains no private key in PEM format")]
    NoKey,
    #[error("its private key is not usable: {0}")]
    Key(rustls::Error),
    #[error("the certificates of this computer are not usable: {0}")]
    System(rustls::Error),
}

/// Parses the authorities of a cluster. Blocks that are no certificates are skipped, as in Go.
pub(crate) fn anchors(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect();
    if found.is_empty() {
        return Err(TrustError::NoCertificate);
    }
    Ok(found)
}

/// Parses the certificate and key that a user logs in with.
///
/// Whether they fit each other is left to the server: rustls would compare them, and refuse to parse a certificate of
/// version 1, which API servers accept.
pub(crate) fn identity(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, TrustError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .filter_map(Result::ok)
        .collect();
    if chain.is_empty() {
        return Err(TrustError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TrustError::NoKey)?;
    let key = ring::sign::any_supported_type(&key).map_err(TrustError::Key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Returns the TLS settings of connections to the API server.
pub(crate) fn tls(trust: &Trust, identity: Option<Arc<CertifiedKey>>) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anchors(anchors) => Arc::new(Pinned::new(anchors, provider.clone())),
        Trust::System => {
            Arc::new(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(TrustError::System)?)
        }
        Trust::Anything => Arc::new(Unverified(provider.clone())),
    };
    let settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::System)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match identity {
        Some(identity) => settings.with_client_cert_resolver(Arc::new(Presented(identity))),
        None => settings.with_no_client_auth(),
    })
}

/// The certificate that a user logs in with, whatever authorities the server asks for.
#[derive(Debug)]
struct Presented(Arc<CertifiedKey>);

impl ResolvesClientCert for Presented {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Verifier that also accepts the anchors themselves.
///
/// Go accepts a server certificate that is among the anchors, whoever signed it and whether or not it is marked as an
/// authority (`crypto/x509`, `Certificate.Verify`). WebPKI wants an anchor above it. Both check its name and dates.
#[derive(Debug)]
struct Pinned {
    anchors: Vec<CertificateDer<'static>>,
    /// `None` if none of the anchors can sign.
    chains: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(anchors: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(anchors.iter().cloned());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        Self {
            anchors: anchors.to_vec(),
            chains: chains.build().ok(),
            provider,
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chains) = &self.chains else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let error =
            match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                Ok(verified) => return Ok(verified),
                Err(error) => error,
            };
        let is_anchor = self.anchors.iter().any(|anchor| anchor == end_entity);
        if is_anchor && is_about_the_signer(&error) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        Err(error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Returns whether nothing but the signer of a certificate was wrong. WebPKI checks the dates before.
fn is_about_the_signer(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(error) = error else {
        return false;
    };
    if let CertificateError::Other(other) = error {
        let cause = other.0.downcast_ref::<webpki::Error>();
        return matches!(cause, Some(webpki::Error::CaUsedAsEndEntity));
    }
    // An anchor that is named like its issuer is tried as its own signer.
    matches!(
        error,
        CertificateError::UnknownIssuer | CertificateError::BadSignature
    )
}

/// Accepts any certificate whose key the server has.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        KeyUsagePurpose,
    };

    use super::*;

    const NAME: &str = "kube.example";

    fn parameters(is_ca: IsCa) -> CertificateParams {
        let mut parameters = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        parameters.is_ca = is_ca;
        parameters
    }

    fn self_signed(parameters: CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().clone()
    }

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let parameters = parameters(IsCa::Ca(BasicConstraints::Unconstrained));
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn signed_by(issuer: &Issuer<'_, KeyPair>) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        parameters(IsCa::NoCa)
            .signed_by(&key, issuer)
            .unwrap()
            .der()
            .clone()
    }

    fn verify(
        anchors: &[CertificateDer<'static>],
        certificate: &CertificateDer<'static>,
        name: &str,
    ) -> Result<(), rustls::Error> {
        let verifier = Pinned::new(anchors, Arc::new(ring::default_provider()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(certificate, &[], &name, &[], UnixTime::now())
            .map(drop)
    }

    #[test]
    fn a_certificate_below_an_anchor_is_trusted() {
        let authority = authority();
        let leaf = signed_by(&authority);
        verify(&[authority.der().clone()], &leaf, NAME).unwrap();
        verify(&[self_signed(parameters(IsCa::NoCa))], &leaf, NAME).unwrap_err();
    }

    #[test]
    fn the_servers_own_certificate_is_an_anchor() {
        let leaf = signed_by(&authority());
        verify(std::slice::from_ref(&leaf), &leaf, NAME).unwrap();
        verify(&[signed_by(&authority())], &leaf, NAME).unwrap_err();
    }

    #[test]
    fn a_self_signed_certificate_marked_as_ca_is_trusted() {
        let mut marked = parameters(IsCa::Ca(BasicConstraints::Unconstrained));
        let plain = self_signed(marked.clone());
        marked.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        marked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for certificate in [plain, self_signed(marked)] {
            verify(std::slice::from_ref(&certificate), &certificate, NAME).unwrap();
            verify(&[], &certificate, NAME).unwrap_err();
        }
    }

    #[test]
    fn a_pinned_certificate_needs_the_right_name_and_date() {
        let certificate = self_signed(parameters(IsCa::Ca(BasicConstraints::Unconstrained)));
        let anchors = [certificate.clone()];
        verify(&anchors, &certificate, "other.example").unwrap_err();
        let verifier = Pinned::new(&anchors, Arc::new(ring::default_provider()));
        let name = ServerName::try_from(NAME).unwrap();
        // The default dates of rcgen end in the year 4096.
        let late = UnixTime::since_unix_epoch(Duration::from_secs(1 << 37));
        let error = verifier
            .verify_server_cert(&certificate, &[], &name, &[], late)
            .unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }

    #[test]
    fn text_around_certificates_is_skipped() {
        let pem = authority().pem();
        let around = format!("subject=CN\n{pem}\n# end\n");
        assert_eq!(anchors(around.as_bytes()).unwrap().len(), 1);
        assert!(anchors(b"none").is_err());
    }
}
