//! How to mend a connection that does not come about: which setting it is.

use std::error::Error;
use std::io;
use std::path::Path;

use async_nats::rustls::{CertificateError, Error as TlsError};
use async_nats::{ConnectError, ConnectErrorKind, ServerError};

use super::{Credentials, NatsOptions};

/// Where the server refuses the login.
pub(super) fn of_login(credentials: &Credentials) -> String {
    match credentials {
        Credentials::None => {
            "it wants one, and none is given: set nats.user and nats.password_file, nats.token_file, or \
             nats.credentials_file"
                .to_owned()
        }
        Credentials::UserPassword { .. } => {
            "it has no such user, or another password: see nats.user and nats.password_file (or nats.password)"
                .to_owned()
        }
        Credentials::Token(_) => "it has another token: see nats.token_file (or nats.token)".to_owned(),
        Credentials::File(path) => format!(
            "it does not know the user of {}, or no longer: set nats.credentials_file to a .creds file of this server's",
            path.display()
        ),
    }
}

/// Where connecting failed for any reason.
pub(super) fn of_error(error: &ConnectError, options: &NatsOptions) -> String {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => of_login(&options.credentials),
        ConnectErrorKind::Dns => "see the host in nats.url".to_owned(),
        ConnectErrorKind::Tls => "see nats.ca, and the host in nats.url".to_owned(),
        _ => match tls_error(error) {
            Some(TlsError::InvalidCertificate(what)) => of_certificate(what, options.tls_ca.as_deref()),
            Some(_) => "see the tls block of the server's configuration, and its log".to_owned(),
            None if error.source().is_some_and(|cause| cause.is::<ServerError>()) => "see the server's log".to_owned(),
            None => "see that a NATS server listens there, or set nats.url to where one does".to_owned(),
        },
    }
}

fn of_certificate(what: &CertificateError, ca: Option<&Path>) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    match (what, ca) {
        (NotValidForName | NotValidForNameContext { .. }, _) => {
            "set nats.url to a host that the server's certificate names".to_owned()
        }
        (Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }, _) => {
            "renew the server's certificate, or mend the clock of this machine".to_owned()
        }
        (_, None) => "set nats.ca to the certificates (PEM) that the server's descends from".to_owned(),
        (_, Some(path)) => format!(
            "set nats.ca to the certificates (PEM) that the server's descends from: {} does not vouch for it",
            path.display()
        ),
    }
}

/// What TLS said, within errors of reading and writing.
fn tls_error(error: &ConnectError) -> Option<&TlsError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(told) = error.downcast_ref::<TlsError>() {
            return Some(told);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // What it wraps is not among its sources.
            Some(inner) => {
                let inner: &(dyn Error + 'static) = inner;
                Some(inner)
            }
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(credentials: Credentials, ca: Option<&str>) -> NatsOptions {
        NatsOptions { credentials, tls_ca: ca.map(Into::into), ..NatsOptions::new("nats://host:4222") }
    }

    #[test]
    fn a_refused_login_names_the_settings_that_it_was_made_with() {
        let refused =
            || ConnectError::with_source(ConnectErrorKind::AuthorizationViolation, ServerError::AuthorizationViolation);
        let user = Credentials::UserPassword { user: "ann".into(), password: "hush".into() };
        for (credentials, words) in [
            (Credentials::None, vec!["nats.password_file", "nats.token_file", "nats.credentials_file"]),
            (user, vec!["nats.user", "nats.password_file"]),
            (Credentials::Token("hush".into()), vec!["nats.token_file"]),
            (Credentials::File("/etc/x.creds".into()), vec!["nats.credentials_file", "/etc/x.creds"]),
        ] {
            let told = of_error(&refused(), &options(credentials, None));
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
            assert!(!told.contains("hush") && !told.contains("ann"), "{told}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_trusted_names_what_to_trust() {
        let refused = |what: CertificateError| {
            let wrapped = io::Error::new(io::ErrorKind::InvalidData, TlsError::InvalidCertificate(what));
            ConnectError::from(wrapped)
        };
        let told = of_error(&refused(CertificateError::UnknownIssuer), &options(Credentials::None, None));
        assert!(told.starts_with("set nats.ca "), "{told}");
        let told =
            of_error(&refused(CertificateError::UnknownIssuer), &options(Credentials::None, Some("/etc/ca.pem")));
        assert!(told.starts_with("set nats.ca ") && told.contains("/etc/ca.pem"), "{told}");
        for (what, word) in
            [(CertificateError::NotValidForName, "nats.url"), (CertificateError::Expired, "certificate")]
        {
            let told = of_error(&refused(what), &options(Credentials::None, Some("/etc/ca.pem")));
            assert!(told.contains(word) && !told.contains("nats.ca"), "{told}");
        }
    }

    #[test]
    fn a_server_that_is_away_is_told_by_its_address() {
        let away = ConnectError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        let unknown = ConnectError::new(ConnectErrorKind::Dns);
        for error in [away, unknown, ConnectError::new(ConnectErrorKind::TimedOut)] {
            let told = of_error(&error, &options(Credentials::None, None));
            assert!(told.contains("nats.url"), "{told}");
        }
        let full = ConnectError::with_source(ConnectErrorKind::Io, ServerError::Other("maximum connections".into()));
        assert_eq!(of_error(&full, &options(Credentials::None, None)), "see the server's log");
    }
}
