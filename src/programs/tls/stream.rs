//! A connection by TLS on a TCP socket, that blocks or not as the socket does.

use super::verify::{common_name, is_self_signed};
use super::{client_config, server_config};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// A connection.
#[derive(Debug)]
pub struct Tls {
    pub(crate) socket: TcpStream,
    connection: Connection,
    /// Where the CA's certificate goes that the peer is to show.
    bootstraps: Option<PathBuf>,
    /// What ended it; told again to whoever asks again.
    failed: Option<String>,
}

fn protocol(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

/// In words of the field.
fn describe(error: &rustls::Error) -> String {
    use rustls::{Error, PeerIncompatible};
    match error {
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "TLS 1.0 and TLS 1.1 are refused, and the peer has nothing newer".into(),
        Error::NoCertificatesPresented => "the peer shows no certificate".into(),
        other => other.to_string(),
    }
}

impl Tls {
    /// The side that connected, to `host`.
    ///
    /// # Errors
    /// TLS cannot be used as it is configured.
    pub fn client(socket: TcpStream, host: &str) -> io::Result<Tls> {
        let (config, bootstraps) = client_config()?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, format!("{host}: bad host name")))?;
        let connection = ClientConnection::new(config, name).map_err(|e| protocol(e.to_string()))?;
        Ok(Tls { socket, connection: connection.into(), bootstraps, failed: None })
    }

    /// The side that was connected to.
    ///
    /// # Errors
    /// TLS cannot be used as it is configured.
    pub fn server(socket: TcpStream) -> io::Result<Tls> {
        let (config, bootstraps) = server_config()?;
        let connection = ServerConnection::new(config).map_err(|e| protocol(e.to_string()))?;
        Ok(Tls { socket, connection: connection.into(), bootstraps, failed: None })
    }

    /// Completes the handshake on a socket that blocks.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.flush_records()?;
            self.connection.read_tls(&mut self.socket).and_then(|n| match n {
                0 => Err(io::Error::from_raw_os_error(nix::libc::EPROTO)),
                n => Ok(n),
            })?;
            self.process()?;
        }
        self.flush_records()
    }

    /// The name of who is on the other side, by its certificate.
    pub fn identity(&self) -> Option<String> {
        self.connection.peer_certificates()?.first().and_then(|der| common_name(der))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether there is something decrypted that nobody has taken.
    pub fn has_buffered(&self) -> bool {
        !self.connection.is_handshaking() && !self.connection.wants_read()
    }

    /// Whether there is something that the socket has not taken.
    pub fn wants_to_send(&self) -> bool {
        self.connection.wants_write()
    }

    fn process(&mut self) -> io::Result<()> {
        if let Err(error) = self.connection.process_new_packets() {
            // the peer is told why
            let _ = self.flush_records();
            let text = describe(&error);
            log::warn!(target: "stream_ssl", "SSL handshake or record: {text}");
            self.failed = Some(text.clone());
            return Err(protocol(text));
        }
        if self.bootstraps.is_some() && !self.connection.is_handshaking() {
            self.bootstrap()?;
        }
        Ok(())
    }

    /// Keeps the CA's certificate that the peer has shown. This connection is over then: nobody has verified it.
    fn bootstrap(&mut self) -> io::Result<()> {
        let Some(file) = self.bootstraps.take() else { return Ok(()) };
        let _ = self.flush_records();
        let text = bootstrap(&file, self.connection.peer_certificates().unwrap_or_default());
        self.failed = Some(text);
        Err(io::Error::from_raw_os_error(nix::libc::EPROTO))
    }

    /// Hands the socket what it takes.
    fn flush_records(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |text| Err(protocol(text.clone())))
    }
}

/// Keeps the CA's certificate of a chain that a peer has shown; what came of it. Nobody has verified that peer.
pub fn bootstrap(file: &Path, chain: &[CertificateDer<'_>]) -> String {
    let found = chain.iter().rev().find(|der| is_self_signed(der));
    match found.map(|der| save(file, der)) {
        None => "could not bootstrap CA cert: the peer sends no self-signed certificate".to_owned(),
        Some(Err(e)) => format!("could not bootstrap CA cert: {}: {e}", file.display()),
        Some(Ok(())) => {
            let text = "successfully bootstrapped CA cert";
            log::info!(target: "stream_ssl", "{text} to {}", file.display());
            text.to_owned()
        }
    }
}

fn save(file: &Path, der: &CertificateDer<'_>) -> io::Result<()> {
    let mut to = std::fs::OpenOptions::new().write(true).create_new(true).open(file)?;
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let encoded = data_encoding::BASE64.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    to.write_all(text.as_bytes())
}

impl Read for Tls {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        loop {
            match self.connection.reader().read(into) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // an end without the peer's goodbye: the messages say where they end
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            match self.connection.read_tls(&mut self.socket) {
                Ok(0) if self.connection.is_handshaking() => {
                    return Err(io::Error::from_raw_os_error(nix::libc::EPROTO));
                }
                Ok(_) => {}
                Err(e) => {
                    let _ = self.flush_records();
                    return Err(e);
                }
            }
            self.process()?;
            match self.flush_records() {
                Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
                _ => {}
            }
        }
    }
}

impl Write for Tls {
    /// All that is taken goes to the socket sooner or later: [`Tls::wants_to_send`] tells of the rest.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.flush_records()?;
        let taken = self.connection.writer().write(bytes)?;
        match self.flush_records() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
            _ => {}
        }
        if taken == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_records()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        if self.failed.is_none() && !self.connection.is_handshaking() {
            self.connection.send_close_notify();
            let _ = self.socket.set_nonblocking(true);
            let _ = self.flush_records();
        }
    }
}
