//! An HTTPS origin for real clients: files by path, with a certificate of an authority of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::DEADLINE;

/// Serves until the process ends.
pub struct Https {
    pub addr: SocketAddr,
    /// The authority's certificate, PEM.
    pub ca: PathBuf,
}

impl Https {
    /// `files` by path, for these names, on loopback; the authority's certificate is written into `folder`.
    pub fn start(names: &[&str], files: HashMap<String, Vec<u8>>, folder: &Path) -> Https {
        Https::start_on("127.0.0.1:0", names, files, folder)
    }

    pub fn start_on(addr: &str, names: &[&str], files: HashMap<String, Vec<u8>>, folder: &Path) -> Https {
        let (config, pem) = certified(names);
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, pem).expect("the folder can be written");
        let listener = TcpListener::bind(addr).expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let files = Arc::new(files);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, files) = (config.clone(), files.clone());
                // A client that breaks off is that client's affair.
                std::thread::spawn(move || serve(stream, config, &files).ok());
            }
        });
        Https { addr, ca }
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, files: &HashMap<String, Vec<u8>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::from("-");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let target = request.split(' ').nth(1).unwrap_or("/");
        let path = target.split('?').next().unwrap_or("/");
        let (status, body) = match files.get(path) {
            Some(body) => ("200 OK", body.as_slice()),
            None => ("404 Not Found", &b"no such file"[..]),
        };
        let kind = if path.ends_with('/') { "text/html" } else { "application/octet-stream" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        let out = reader.get_mut();
        out.write_all(head.as_bytes())?;
        if !request.starts_with("HEAD") {
            out.write_all(body)?;
        }
        out.flush()?;
    }
}

/// A server's configuration, and the PEM of the authority that vouches for it.
fn certified(names: &[&str]) -> (Arc<ServerConfig>, String) {
    let ca_key = KeyPair::generate().expect("a key can be made");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names are fine");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    ca.distinguished_name.push(DnType::CommonName, "Egret's tests");
    let ca_certificate = ca.self_signed(&ca_key).expect("the key signs");
    let key = KeyPair::generate().expect("a key can be made");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut leaf = CertificateParams::new(names).expect("these are names");
    leaf.distinguished_name.push(DnType::CommonName, "an origin");
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("the authority signs");
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf.der().clone()], der.into());
    (Arc::new(config.expect("key and certificate belong together")), ca_certificate.pem())
}
