//! HTTPS: on as long as certificates are given, or the property `REST/AutoHTTPS` asks for it (contract 1.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use berth_engine::tokens::{AUTO_HTTPS, says_yes};
use berth_trust::{Files, Seen};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::listen::{Connections, listen};
use super::{ControllerError, tls};
use crate::Controller;
use crate::config::Config;

/// How often it is looked whether what failed works now.
const LOOK: Duration = Duration::from_secs(15);

/// A socket and certificates, before anybody is served.
pub struct Ready {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    /// What the files looked like.
    seen: Seen,
}

impl Ready {
    /// Where it listens.
    pub fn port(&self) -> Option<u16> {
        self.listener.local_addr().map(|address| address.port()).ok()
    }
}

/// Listens, and reads the certificates.
///
/// # Errors
/// An address that cannot be listened on, certificates that cannot be used.
pub async fn bind(address: SocketAddr, files: &Files) -> Result<Ready, ControllerError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ControllerError::Listen { address, source })?;
    let seen = berth_trust::written(files);
    Ok(Ready { listener, config: tls::server(files)?, seen })
}

/// The encrypted side of the REST API.
pub struct Secure<'a, S> {
    pub config: &'a Config,
    pub controller: Controller,
    pub connections: Arc<Connections>,
    pub service: S,
    pub stop: CancellationToken,
}

impl<S> Secure<'_, S>
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// The socket and the certificates of the controller's own, if the property asks for them; plain requests are sent there from then on.
    pub async fn asked_for(&self) -> Option<(Ready, Files)> {
        if self.config.https.is_some() || !says_yes(&self.controller.view().cluster, AUTO_HTTPS) {
            return None;
        }
        // Why it cannot be is told by the next try.
        let (ready, files) = self.own().await.ok()?;
        self.controller.gate().set_https_port(ready.port());
        Some((ready, files))
    }

    /// Serves until the controller stops. `ready`: the socket, and the certificates that were given at the start; `own`: those of the
    /// controller's own.
    pub async fn run(self, ready: Option<Ready>, own: Option<(Ready, Files)>) {
        let Some(ready) = ready else { return self.by_property(own).await };
        let Some(files) = &self.config.https else { return };
        self.serve(ready, files, self.stop.clone()).await;
    }

    /// On and off as the property says. What cannot be turned on is told, and tried again.
    async fn by_property(&self, mut first: Option<(Ready, Files)>) {
        let mut view = self.controller.follow();
        let mut told = false;
        loop {
            let wanted = says_yes(&view.borrow_and_update().cluster, AUTO_HTTPS);
            if wanted {
                let own = match first.take() {
                    Some(own) => Ok(own),
                    None => self.own().await,
                };
                match own {
                    Ok((ready, files)) => {
                        told = false;
                        let off = self.stop.child_token();
                        let switched_off = async {
                            while view.changed().await.is_ok() && says_yes(&view.borrow().cluster, AUTO_HTTPS) {}
                            off.cancel();
                        };
                        tokio::join!(self.serve(ready, &files, off.clone()), async {
                            tokio::select! {
                                () = switched_off => {}
                                () = off.cancelled() => {}
                            }
                        });
                        if self.stop.is_cancelled() {
                            return;
                        }
                        continue;
                    }
                    Err(error) if !told => {
                        told = true;
                        tracing::error!(%error, "HTTPS cannot be turned on; it is tried again");
                    }
                    Err(_) => {}
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = view.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK), if wanted => {}
            }
        }
    }

    async fn own(&self) -> Result<(Ready, Files), ControllerError> {
        let files = tls::own(&self.config.data)?;
        Ok((bind(self.config.https_listen, &files).await?, files))
    }

    /// Serves with certificates until `stop`; they are read again when they change.
    async fn serve(&self, ready: Ready, files: &Files, stop: CancellationToken) {
        let port = ready.port();
        let Ready { listener, config, seen } = ready;
        let gate = self.controller.gate();
        gate.set_https_port(port);
        tracing::info!(port, certificate = %files.certificate.file.display(), "HTTPS is on");
        let (renew, newest) = watch::channel(config);
        tokio::select! {
            () = listen(listener, Some(newest), Arc::clone(&self.connections), self.service.clone(), stop) => {}
            () = berth_trust::renew(files, &tls::PROTOCOLS, seen, &self.config.renew, &renew) => {}
        }
        gate.set_https_port(None);
        tracing::info!("HTTPS is off");
    }
}
