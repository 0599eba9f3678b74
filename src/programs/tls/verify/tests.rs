//! Chains made for the purpose: those that lead to a trusted authority, and those that nearly do.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::time::Duration;

/// An authority that issues, and its certificate.
struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params
}

const CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

impl Authority {
    fn root(params: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority { der: params.self_signed(&key).unwrap().into(), issuer: Issuer::new(params, key) }
    }

    fn below(&self, params: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority { der: params.signed_by(&key, &self.issuer).unwrap().into(), issuer: Issuer::new(params, key) }
    }

    fn leaf(&self) -> CertificateDer<'static> {
        self.below(params("leaf", IsCa::NoCa)).der
    }
}

/// What a client makes of `chain` when it trusts `root`.
fn verdict(root: &Authority, chain: &[&CertificateDer<'static>]) -> Result<(), CertificateError> {
    verdict_as(root, chain, Role::Server, UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
}

fn verdict_as(
    root: &Authority,
    chain: &[&CertificateDer<'static>],
    role: Role,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let verifier = Chain::new(Roots::These(vec![root.der.clone()]), algorithms);
    let others: Vec<_> = chain[1..].iter().map(|der| (*der).clone()).collect();
    verifier.verify(chain[0], &others, role, now).map_err(|e| match e {
        Error::InvalidCertificate(why) => why,
        other => panic!("{other}"),
    })
}

#[test]
fn chains_that_lead_to_the_root() {
    let root = Authority::root(params("root", CA));
    assert_eq!(verdict(&root, &[&root.leaf()]), Ok(()));
    assert_eq!(verdict(&root, &[&root.der]), Ok(()));
    let middle = root.below(params("middle", CA));
    assert_eq!(verdict(&root, &[&middle.leaf(), &middle.der]), Ok(()));
    // what is trusted by itself need not say that it is an authority
    let plain = Authority::root(params("plain", IsCa::NoCa));
    assert_eq!(verdict(&plain, &[&plain.leaf()]), Ok(()));
}

#[test]
fn chains_that_do_not() {
    let (root, other) = (Authority::root(params("root", CA)), Authority::root(params("other", CA)));
    assert_eq!(verdict(&root, &[&other.leaf()]), Err(CertificateError::UnknownIssuer));
    // an authority's name alone
    let impostor = Authority::root(params("root", CA));
    assert_eq!(verdict(&root, &[&impostor.leaf()]), Err(CertificateError::BadSignature));
    // the chain has to be shown, and whoever issues has to be allowed to
    let middle = root.below(params("middle", CA));
    assert_eq!(verdict(&root, &[&middle.leaf()]), Err(CertificateError::UnknownIssuer));
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let nobody = root.below(params("nobody", is_ca));
        assert_eq!(verdict(&root, &[&nobody.leaf(), &nobody.der]), Err(CertificateError::UnknownIssuer));
    }
    let mut signs_no_certificates = params("middle", CA);
    signs_no_certificates.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let middle = root.below(signs_no_certificates);
    assert_eq!(verdict(&root, &[&middle.leaf(), &middle.der]), Err(CertificateError::UnknownIssuer));
    let denies = Authority::root(params("root", IsCa::ExplicitNoCa));
    assert_eq!(verdict(&denies, &[&denies.leaf()]), Err(CertificateError::UnknownIssuer));
}

#[test]
fn as_many_as_an_authority_allows_below_it() {
    let root = Authority::root(params("root", IsCa::Ca(BasicConstraints::Constrained(1))));
    let middle = root.below(params("middle", CA));
    assert_eq!(verdict(&root, &[&middle.leaf(), &middle.der]), Ok(()));
    let lowest = middle.below(params("lowest", CA));
    let chain = [&lowest.leaf(), &lowest.der, &middle.der];
    assert_eq!(verdict(&root, &chain), Err(CertificateError::UnknownIssuer));
    let free = Authority::root(params("root", CA));
    let tight = free.below(params("middle", IsCa::Ca(BasicConstraints::Constrained(0))));
    assert_eq!(verdict(&free, &[&tight.leaf(), &tight.der]), Ok(()));
    let lowest = tight.below(params("lowest", CA));
    assert_eq!(verdict(&free, &[&lowest.leaf(), &lowest.der, &tight.der]), Err(CertificateError::UnknownIssuer));
}

#[test]
fn dates_and_purposes() {
    let root = Authority::root(params("root", CA));
    let mut dated = params("leaf", IsCa::NoCa);
    (dated.not_before, dated.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let leaf = root.below(dated).der;
    let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
    let on = |secs| verdict_as(&root, &[&leaf], Role::Server, at(secs));
    assert_eq!(on(1_590_000_000), Ok(()));
    assert_eq!(on(1_500_000_000), Err(CertificateError::NotValidYet));
    assert_eq!(on(1_700_000_000), Err(CertificateError::Expired));
    let mut serves = params("server", IsCa::NoCa);
    serves.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = root.below(serves).der;
    let as_a = |role| verdict_as(&root, &[&leaf], role, at(1_800_000_000));
    assert_eq!((as_a(Role::Server), as_a(Role::Client)), (Ok(()), Err(CertificateError::InvalidPurpose)));
}
