//! Whether a chain of certificates leads to an authority that is trusted: signatures, dates, who may sign. Host names do not
//! matter, and certificates of X.509 version 1 will do, as `ovs-pki` and OpenSSL make them.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::asn1_rs::{Any, FromDer, Sequence};
use x509_parser::prelude::{ASN1Time, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// The longest chain.
const DEPTH: usize = 10;

/// Who is trusted.
#[derive(Debug)]
pub(super) enum Roots {
    Anybody,
    These(Vec<CertificateDer<'static>>),
}

/// Verifies by chain.
#[derive(Debug)]
pub(super) struct Chain {
    roots: Roots,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What the peer is, for certificates that say what they are for.
#[derive(Clone, Copy)]
enum Role {
    Server,
    Client,
}

fn refused(why: CertificateError) -> Error {
    Error::InvalidCertificate(why)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(refused(CertificateError::BadEncoding)),
    }
}

/// The content of the algorithm identifier that a sequence begins with.
fn algorithm(sequence: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(sequence).ok()?;
    let (_, first) = Sequence::from_der(outer.data).ok()?;
    Some(match first.content {
        std::borrow::Cow::Borrowed(bytes) => bytes,
        std::borrow::Cow::Owned(_) => return None,
    })
}

/// The content of the algorithm identifier of a certificate's signature: behind the signed part.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(certificate).ok()?;
    let (rest, _) = Any::from_der(outer.data).ok()?;
    let (_, identifier) = Any::from_der(rest).ok()?;
    Some(identifier.data)
}

/// Whether a certificate may be an issuer above `below` others (RFC 5280 sections 4.2.1.3 and 4.2.1.9). One that says nothing of
/// it may when it is trusted by itself, as those of version 1 are.
fn may_issue(certificate: &X509Certificate<'_>, trusted: bool, below: usize) -> bool {
    let signs = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    let is_ca = match certificate.basic_constraints() {
        Ok(None) => trusted,
        Ok(Some(limits)) => {
            let limits = limits.value;
            limits.ca && limits.path_len_constraint.is_none_or(|most| below <= most as usize)
        }
        Err(_) => false,
    };
    signs && is_ca
}

impl Chain {
    pub(super) fn new(roots: Roots, algorithms: WebPkiSupportedAlgorithms) -> Chain {
        Chain { roots, algorithms }
    }

    /// Whether `issuer` has signed `der`.
    fn signed_by(&self, der: &[u8], certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
        let key = &issuer.tbs_certificate.subject_pki;
        let (Some(key_kind), Some(kind)) = (algorithm(key.raw), signature_algorithm(der)) else { return false };
        let fits = |a: &&&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            a.public_key_alg_id().as_ref() == key_kind && a.signature_alg_id().as_ref() == kind
        };
        self.algorithms.all.iter().filter(fits).any(|a| {
            let signature = &certificate.signature_value.data;
            a.verify_signature(&key.subject_public_key.data, certificate.tbs_certificate.as_ref(), signature).is_ok()
        })
    }

    fn verify(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(), Error> {
        let Roots::These(roots) = &self.roots else { return Ok(()) };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let now = ASN1Time::from_timestamp(now).map_err(|_| refused(CertificateError::BadEncoding))?;
        let dated = |certificate: &X509Certificate<'_>| {
            let validity = certificate.validity();
            if now < validity.not_before {
                return Err(refused(CertificateError::NotValidYet));
            }
            if now > validity.not_after { Err(refused(CertificateError::Expired)) } else { Ok(()) }
        };
        let mut der: &[u8] = end;
        let mut current = parse(der)?;
        if let Ok(Some(usage)) = current.extended_key_usage() {
            let wanted = match role {
                Role::Server => usage.value.server_auth,
                Role::Client => usage.value.client_auth,
            };
            if !wanted && !usage.value.any {
                return Err(refused(CertificateError::InvalidPurpose));
            }
        }
        for below in 0..DEPTH {
            dated(&current)?;
            if roots.iter().any(|root| **root == *der) {
                return Ok(());
            }
            let mut bad_signature = false;
            for root in roots {
                // an authority that does not parse trusts nobody
                let Ok(root) = parse(root) else { continue };
                if root.subject().as_raw() == current.issuer().as_raw() && may_issue(&root, true, below) {
                    if self.signed_by(der, &current, &root) {
                        return dated(&root);
                    }
                    bad_signature = true;
                }
            }
            let next = others.iter().find_map(|other| {
                let parsed = parse(other).ok()?;
                let fits = may_issue(&parsed, false, below)
                    && **other != *der
                    && parsed.subject().as_raw() == current.issuer().as_raw()
                    && self.signed_by(der, &current, &parsed);
                fits.then_some((&**other, parsed))
            });
            match next {
                Some(next) => (der, current) = next,
                None if bad_signature => return Err(refused(CertificateError::BadSignature)),
                None => return Err(refused(CertificateError::UnknownIssuer)),
            }
        }
        Err(refused(CertificateError::UnknownIssuer))
    }

    /// Whether the peer has the key of its certificate.
    fn verify_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        only_first: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = parse(certificate)?;
        let key: &SubjectPublicKeyInfo<'_> = &certificate.tbs_certificate.subject_pki;
        let kind = algorithm(key.raw).ok_or_else(|| refused(CertificateError::BadEncoding))?;
        let found = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let all = found.map_or(&[][..], |(_, all)| all);
        let all = if only_first { all.get(..1).unwrap_or_default() } else { all };
        let valid = all.iter().any(|a| {
            a.public_key_alg_id().as_ref() == kind
                && a.verify_signature(&key.subject_public_key.data, message, signed.signature()).is_ok()
        });
        if valid { Ok(HandshakeSignatureValid::assertion()) } else { Err(refused(CertificateError::BadSignature)) }
    }
}

/// Schemes that TLS 1.3 still has: no PKCS #1 padding, no SHA-1.
fn is_of_13(scheme: SignatureScheme) -> bool {
    use SignatureScheme as S;
    matches!(
        scheme,
        S::ECDSA_NISTP256_SHA256
            | S::ECDSA_NISTP384_SHA384
            | S::ECDSA_NISTP521_SHA512
            | S::RSA_PSS_SHA256
            | S::RSA_PSS_SHA384
            | S::RSA_PSS_SHA512
            | S::ED25519
    )
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end, others, Role::Server, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !is_of_13(signed.scheme) {
            return Err(refused(CertificateError::BadSignature));
        }
        self.verify_handshake(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Chain {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.roots, Roots::These(_))
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end, others, Role::Client, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The public key in a certificate, as it is encoded there.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    Some(parse(der).ok()?.tbs_certificate.subject_pki.raw.to_vec())
}

/// The common name of a certificate's subject.
pub(super) fn common_name(der: &[u8]) -> Option<String> {
    let certificate = parse(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// Whether a certificate is signed by itself.
pub(super) fn is_self_signed(der: &[u8]) -> bool {
    let chain = Chain::new(Roots::Anybody, rustls::crypto::ring::default_provider().signature_verification_algorithms);
    parse(der).is_ok_and(|c| c.subject().as_raw() == c.issuer().as_raw() && chain.signed_by(der, &c, &c))
}

#[cfg(test)]
mod tests;
