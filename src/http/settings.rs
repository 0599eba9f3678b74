//! What the configuration's `[metrics]` asks for, with the files that it names read and checked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::Config;

/// The shortest token: sixteen letters and digits are more than anybody guesses through a socket.
const TOKEN_MIN: usize = 16;

/// Everything that serving needs.
#[derive(Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// What a client must show.
    pub(super) token: Option<Arc<str>>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// A client must have a certificate, which TLS sees to.
    pub(super) certificates: bool,
}

impl Settings {
    /// Reads the files. Nothing when the endpoint is switched off.
    ///
    /// # Errors
    /// The key whose file cannot be read or used, and why.
    pub fn load(config: &Config) -> Result<Option<Settings>, String> {
        let m = &config.metrics;
        if !m.enable {
            return Ok(None);
        }
        let token = match &m.token_file {
            Some(file) => Some(token(&config.file(file)).map_err(|e| format!("metrics.token-file: {e}"))?),
            None => None,
        };
        let tls = match (&m.tls_cert, &m.tls_key) {
            (Some(cert), Some(key)) => {
                let ca = m.tls_client_ca.as_ref().map(|f| config.file(f));
                Some(tls(&config.file(cert), &config.file(key), ca.as_deref())?)
            }
            _ => None,
        };
        Ok(Some(Settings { listen: m.listen, token, tls, certificates: m.tls_client_ca.is_some() }))
    }
}

/// A file's only line.
fn token(file: &Path) -> Result<Arc<str>, String> {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let text = std::fs::read_to_string(file).map_err(|e| named(&e))?;
    let token = text.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if token.len() < TOKEN_MIN || !token.bytes().all(plain) {
        return Err(named(&format!("expected one line of at least {TOKEN_MIN} letters, digits, '-', '.', '_' or '~'")));
    }
    Ok(token.into())
}

fn tls(cert: &Path, key: &Path, ca: Option<&Path>) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("metrics.tls-cert: {e}"))?;
    let builder = match ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let failed = |e: &dyn std::fmt::Display| format!("metrics.tls-client-ca: {}: {e}", ca.display());
            let mut roots = RootCertStore::empty();
            for cert in certificates(ca).map_err(|e| failed(&e))? {
                roots.add(cert).map_err(|e| failed(&e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| failed(&e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(cert).map_err(|e| format!("metrics.tls-cert: {}: {e}", cert.display()))?;
    let failed = |e: &dyn std::fmt::Display| format!("metrics.tls-key: {}: {e}", key.display());
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| failed(&e))?;
    builder.with_single_cert(chain, secret).map(Arc::new).map_err(|e| failed(&e))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let all: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_plain() {
        let file = std::env::temp_dir().join(format!("ironbridge-token-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            token(&file)
        };
        assert_eq!(&*read("0123456789abcdef\n").unwrap(), "0123456789abcdef");
        for bad in ["", "short", "0123456789abcde", "0123456789abcdef ghi", "0123456789abcdef;"] {
            assert!(read(bad).unwrap_err().contains("at least 16"), "{bad:?}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(token(&file).is_err());
    }
}
