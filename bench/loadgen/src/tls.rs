//! The certificates of a run and both ends of TLS: an authority made anew by each process, trusted by the clients here
//! and by nobody else.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::workload::HelloKind;

/// The names that the origin has a certificate for.
const NAMES: [&str; 3] = ["ok.test", "*.ok.test", "127.0.0.1"];

pub struct Identity {
    authority: CertifiedIssuer<'static, KeyPair>,
    leaf: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    /// The same one for as long as this process runs.
    pub fn get() -> Result<&'static Identity> {
        static IDENTITY: OnceLock<Identity> = OnceLock::new();
        if let Some(identity) = IDENTITY.get() {
            return Ok(identity);
        }
        let made = Identity::make().context("making certificates")?;
        Ok(IDENTITY.get_or_init(|| made))
    }

    fn make() -> Result<Identity> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "egret-bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(NAMES.map(String::from))?.signed_by(&key, &authority)?;
        Ok(Identity { authority, leaf: leaf.der().clone(), key })
    }

    /// Key and certificate of the authority, for a proxy that ends TLS itself.
    pub fn ca_pem(&self) -> String {
        self.authority.key().serialize_pem() + &self.authority.pem()
    }

    pub fn ca_certificate_pem(&self) -> String {
        self.authority.pem()
    }

    /// No session is resumed: each handshake is a whole one.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        let mut config = config.with_single_cert(vec![self.leaf.clone()], key)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    pub fn connector(&self, hello: HelloKind) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(provider(hello)))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Clients offer one share of a key, as browsers do where they have met the server before.
fn provider(hello: HelloKind) -> CryptoProvider {
    let kx_groups = match hello {
        HelloKind::Classic => vec![aws_lc_rs::kx_group::X25519],
        HelloKind::PostQuantum => vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519],
    };
    CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }
}
