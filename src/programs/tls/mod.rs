//! TLS of `ssl:` and `pssl:` by rustls, with the options of the stock programs. The settings are of the whole process, as
//! the stock programs have it; files are read again when they change, and connections that are there stay as they are.
//!
//! Who a peer is, is a matter of its chain of certificates alone, not of its host name. TLS 1.2 and 1.3; older ones are
//! refused.

mod stream;
mod verify;

pub use stream::{Tls, bootstrap};

use crate::options::{Known, Parsed, Takes, option};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use verify::{Chain, Roots};

/// Options of programs that connect by TLS.
pub const OPTIONS: [Known; 7] = [
    option("private-key", 'p', Takes::Value),
    option("certificate", 'c', Takes::Value),
    option("ca-cert", 'C', Takes::Value),
    option("bootstrap-ca-cert", '\0', Takes::Value),
    option("peer-ca-cert", '\0', Takes::Value),
    option("ssl-protocols", '\0', Takes::Value),
    option("ssl-ciphers", '\0', Takes::Value),
];

/// Files and what is allowed. An empty name is one that is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub private_key: String,
    pub certificate: String,
    /// `none` verifies nobody.
    pub ca_cert: String,
    /// A CA's certificate that is not there yet is taken from the first peer.
    pub bootstrap: bool,
    pub peer_ca_cert: String,
    pub protocols: String,
    pub ciphers: String,
}

impl Settings {
    /// As the options say.
    ///
    /// # Errors
    /// The option that cannot be, and why.
    pub fn new(parsed: &Parsed) -> Result<Settings, String> {
        let text = |name: &str| parsed.value(name).unwrap_or_default().to_owned();
        let bootstrap = parsed.has("bootstrap-ca-cert");
        if bootstrap && parsed.has("ca-cert") {
            return Err("--ca-cert and --bootstrap-ca-cert exclude each other".into());
        }
        let settings = Settings {
            private_key: text("private-key"),
            certificate: text("certificate"),
            ca_cert: text(if bootstrap { "bootstrap-ca-cert" } else { "ca-cert" }),
            bootstrap,
            peer_ca_cert: text("peer-ca-cert"),
            protocols: text("ssl-protocols"),
            ciphers: text("ssl-ciphers"),
        };
        versions(&settings.protocols)?;
        provider(&settings.ciphers)?;
        Ok(settings)
    }
}

/// When a file was changed, and its size.
type Stamp = Option<(SystemTime, u64)>;

/// Configurations made of the files as they were.
struct Made {
    stamps: [Stamp; 4],
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    /// The CA's certificate is still to come.
    bootstraps: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    settings: Settings,
    made: Option<Made>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Settings for all connections from now on.
pub fn configure(settings: Settings) {
    let mut state = state();
    let state = state.get_or_insert_default();
    if state.settings != settings {
        *state = State { settings, made: None };
    }
}

/// The programs' `main`: options to settings.
///
/// # Errors
/// The option that cannot be, and why.
pub fn configure_from(parsed: &Parsed) -> Result<(), String> {
    Settings::new(parsed).map(configure)
}

fn bad(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

fn stamp(file: &str) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The configurations, made anew when a file has changed. Where that fails what was good stays.
fn with<T>(take: impl FnOnce(&Made) -> T) -> io::Result<T> {
    let mut state = state();
    let State { settings, made } = state.get_or_insert_default();
    let files = [&settings.private_key, &settings.certificate, &settings.ca_cert, &settings.peer_ca_cert];
    let stamps = files.map(|file| stamp(file));
    if made.as_ref().is_none_or(|made| made.stamps != stamps) {
        match (make(settings, stamps), &mut *made) {
            (Ok(new), _) => *made = Some(new),
            (Err(error), None) => return Err(error),
            (Err(error), Some(made)) => {
                log::warn!(target: "stream_ssl", "{error}; the files read before stay in use");
                made.stamps = stamps;
            }
        }
    }
    made.as_ref().map(take).ok_or_else(|| bad("no TLS configuration"))
}

/// For who connects, and where the CA's certificate goes that the first peer is to show: see [`bootstrap`].
///
/// # Errors
/// TLS cannot be used as it is configured.
pub fn client_config() -> io::Result<(Arc<ClientConfig>, Option<PathBuf>)> {
    with(|made| (made.client.clone(), made.bootstraps.clone()))
}

/// The same for who is connected to.
///
/// # Errors
/// TLS cannot be used as it is configured.
pub fn server_config() -> io::Result<(Arc<ServerConfig>, Option<PathBuf>)> {
    with(|made| (made.server.clone(), made.bootstraps.clone()))
}

/// `TLSv1.2`, `TLSv1.3`; what is older is refused.
fn versions(text: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut versions = Vec::new();
    let mut old = Vec::new();
    for word in text.split([',', ' ', '\t']).filter(|w| !w.is_empty()) {
        match word {
            "TLSv1.2" => versions.push(&rustls::version::TLS12),
            "TLSv1.3" => versions.push(&rustls::version::TLS13),
            "TLSv1" | "TLSv1.1" | "SSLv2" | "SSLv3" => old.push(word),
            other => return Err(format!("{other}: SSL protocol not recognized")),
        }
    }
    match (versions.is_empty(), old.is_empty()) {
        (true, true) => Ok(rustls::DEFAULT_VERSIONS.to_vec()),
        (true, false) => Err(format!("--ssl-protocols: {} is refused, TLSv1.2 is the oldest", old.join(","))),
        _ => Ok(versions),
    }
}

/// Cipher suites by OpenSSL's names. Words for groups (`HIGH`, `DEFAULT`, `ALL`) are all suites that there are: none is weak.
fn provider(ciphers: &str) -> Result<CryptoProvider, String> {
    use rustls::CipherSuite as S;
    const NAMES: [(&str, S); 9] = [
        ("TLS_AES_256_GCM_SHA384", S::TLS13_AES_256_GCM_SHA384),
        ("TLS_AES_128_GCM_SHA256", S::TLS13_AES_128_GCM_SHA256),
        ("TLS_CHACHA20_POLY1305_SHA256", S::TLS13_CHACHA20_POLY1305_SHA256),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-RSA-AES256-GCM-SHA384", S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-RSA-AES128-GCM-SHA256", S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-RSA-CHACHA20-POLY1305", S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ];
    let mut provider = ring::default_provider();
    let mut wanted = Vec::new();
    for word in ciphers.split([':', ',', ' ']).filter(|w| !w.is_empty()) {
        if word.starts_with(['!', '-', '+', '@']) {
            // takes weak ones away, or orders
            continue;
        }
        if matches!(word, "HIGH" | "DEFAULT" | "ALL" | "ECDHE" | "AESGCM") {
            return Ok(provider);
        }
        let found = NAMES.iter().find(|(name, _)| *name == word);
        let (_, suite) = found.ok_or_else(|| format!("--ssl-ciphers: {word} is not supported"))?;
        wanted.push(*suite);
    }
    if !wanted.is_empty() {
        // the list is about TLS 1.2, as OpenSSL has it; suites of 1.3 stay where none is named
        let names_13 = wanted.iter().any(|s| format!("{s:?}").starts_with("TLS13"));
        let keep = |s: &rustls::SupportedCipherSuite| wanted.contains(&s.suite()) || (!names_13 && s.tls13().is_some());
        provider.cipher_suites.retain(keep);
    }
    Ok(provider)
}

fn certificates(file: &str, what: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let failed = |e: &dyn std::fmt::Display| bad(format!("{what} {file}: {e}"));
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|e| failed(&e))?.collect();
    let all = all.map_err(|e| failed(&e))?;
    if all.is_empty() { Err(failed(&"no certificate in it")) } else { Ok(all) }
}

fn make(settings: &Settings, stamps: [Stamp; 4]) -> io::Result<Made> {
    let Settings { private_key, certificate, ca_cert, .. } = settings;
    for (value, what) in [(private_key, "private key"), (certificate, "certificate"), (ca_cert, "CA certificate")] {
        if value.is_empty() {
            return Err(bad(format!("{what} must be configured to use SSL")));
        }
    }
    let mut chain = certificates(certificate, "certificate")?;
    if !settings.peer_ca_cert.is_empty() {
        chain.extend(certificates(&settings.peer_ca_cert, "peer CA certificate")?);
    }
    let key = PrivateKeyDer::from_pem_file(private_key).map_err(|e| bad(format!("private key {private_key}: {e}")))?;
    let missing = settings.bootstrap && !Path::new(ca_cert).exists();
    let roots = match ca_cert.as_str() {
        "none" => Roots::Anybody,
        _ if missing => Roots::Anybody,
        file => Roots::These(certificates(file, "CA certificate")?),
    };
    let provider = Arc::new(provider(&settings.ciphers).map_err(bad)?);
    let versions = versions(&settings.protocols).map_err(bad)?;
    let verifier = Arc::new(Chain::new(roots, provider.signature_verification_algorithms));
    // rustls's own check of the two knows X.509 version 3 alone
    let secret =
        provider.key_provider.load_private_key(key).map_err(|e| bad(format!("private key {private_key}: {e}")))?;
    let public = chain.first().and_then(|der| verify::public_key(der));
    if let (Some(of_key), Some(public)) = (secret.public_key(), public)
        && *of_key != *public
    {
        return Err(bad(format!("{private_key} is not the key of {certificate}")));
    }
    let identity = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, secret)));
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|e| bad(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(identity.clone());
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|e| bad(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    let bootstraps = missing.then(|| PathBuf::from(ca_cert));
    Ok(Made { stamps, client: Arc::new(client), server: Arc::new(server), bootstraps })
}

/// Whether TLS can be used as it is configured.
///
/// # Errors
/// What is missing or wrong.
pub fn check() -> io::Result<()> {
    with(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_and_ciphers() {
        assert_eq!(versions("").unwrap().len(), 2);
        assert_eq!(versions("TLSv1,TLSv1.1 TLSv1.2").unwrap(), [&rustls::version::TLS12]);
        assert!(versions("TLSv1.1").unwrap_err().contains("TLSv1.1 is refused"));
        assert!(versions("TLSv9").unwrap_err().contains("TLSv9"));
        let all = provider("HIGH:!aNULL:!MD5").unwrap().cipher_suites.len();
        assert_eq!(provider("").unwrap().cipher_suites.len(), all);
        assert_eq!(provider("ECDHE-RSA-AES256-GCM-SHA384").unwrap().cipher_suites.len(), 4);
        assert_eq!(provider("TLS_AES_128_GCM_SHA256").unwrap().cipher_suites.len(), 1);
        assert!(provider("RC4-MD5").unwrap_err().contains("RC4-MD5"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |settings: &Settings| make(settings, [None; 4]).err().unwrap().to_string();
        let mut settings = Settings::default();
        assert!(error(&settings).contains("private key must be configured"));
        settings.private_key = "/nonexistent/key".into();
        assert!(error(&settings).contains("certificate must be configured"));
        settings.certificate = "/nonexistent/cert".into();
        settings.ca_cert = "none".into();
        assert!(error(&settings).contains("/nonexistent/cert"));
    }
}
