//! Whom to believe that a broker is what it says, and how to say who one is. Pure.

use std::sync::Arc;

use rumqttc_v5::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc_v5::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc_v5::tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Makes what TLS needs of PEM texts: `ca` for those to believe (`None`: whom this machine believes), `client` with
/// certificate and key.
///
/// # Errors
/// Says which of them is of no use.
pub(super) fn config(
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca {
        Some(pem) => of_file(&pem)?,
        None => of_machine()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates("mqtt.client_cert_file", &cert)?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|_| "mqtt.client_key_file holds no private key in PEM".to_owned())?;
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                format!("mqtt.client_cert_file and mqtt.client_key_file do not go together: {e}")
            })?
        }
    };
    Ok(Arc::new(config))
}

fn of_file(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("mqtt.ca_file", pem)? {
        roots
            .add(certificate)
            .map_err(|e| format!("mqtt.ca_file holds a certificate that cannot be used: {e}"))?;
    }
    Ok(roots)
}

fn of_machine() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(
            "this machine has no list of whom to believe: install ca-certificates, or name mqtt.ca_file"
                .to_owned(),
        ),
        false => Ok(roots),
    }
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("{key} holds no certificate in PEM")),
        Err(e) => Err(format!("{key} is no PEM: {e:?}")),
    }
}
