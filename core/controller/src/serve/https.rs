//! HTTPS: on as long as certificates are given, or the property `REST/AutoHTTPS` asks for it (contract 1.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use berth_engine::tokens::{AUTO_HTTPS, says_yes};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::listen::{Connections, listen};
use super::{ControllerError, tls};
use crate::Controller;
use crate::config::{Config, Https};

/// How often it is looked whether certificates have changed, or whether what failed works now.
const LOOK: Duration = Duration::from_secs(15);

/// Listens.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ControllerError> {
    TcpListener::bind(address).await.map_err(|source| ControllerError::Listen { address, source })
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
    /// Serves until the controller stops. `ready`: the socket and the certificates that were given at the start.
    pub async fn run(self, ready: Option<(TcpListener, Arc<ServerConfig>)>) {
        let Some((listener, config)) = ready else { return self.by_property().await };
        let Some(files) = &self.config.https else { return };
        self.serve(listener, config, files, self.stop.clone()).await;
    }

    /// On and off as the property says. What cannot be turned on is told, and tried again.
    async fn by_property(&self) {
        let mut view = self.controller.follow();
        let mut told = false;
        loop {
            let wanted = says_yes(&view.borrow_and_update().cluster, AUTO_HTTPS);
            if wanted {
                match self.own().await {
                    Ok((listener, config, files)) => {
                        told = false;
                        let off = self.stop.child_token();
                        let switched_off = async {
                            while view.changed().await.is_ok() && says_yes(&view.borrow().cluster, AUTO_HTTPS) {}
                            off.cancel();
                        };
                        tokio::join!(self.serve(listener, config, &files, off.clone()), async {
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

    async fn own(&self) -> Result<(TcpListener, Arc<ServerConfig>, Https), ControllerError> {
        let files = tls::own(&self.config.data)?;
        let config = Arc::new(tls::server(&files)?);
        Ok((bind(self.config.https_listen).await?, config, files))
    }

    /// Serves with certificates until `stop`; they are read again when they change.
    async fn serve(&self, listener: TcpListener, config: Arc<ServerConfig>, files: &Https, stop: CancellationToken) {
        let port = listener.local_addr().map(|address| address.port()).ok();
        let gate = self.controller.gate();
        gate.set_https_port(port);
        tracing::info!(port, certificate = %files.certificate.display(), "HTTPS is on");
        let (renew, newest) = watch::channel(config);
        let renewing = async {
            let mut known = tls::written(files);
            loop {
                tokio::time::sleep(LOOK).await;
                let now = tls::written(files);
                if now == known {
                    continue;
                }
                match tls::server(files) {
                    Ok(config) => {
                        known = now;
                        renew.send_replace(Arc::new(config));
                        tracing::info!(certificate = %files.certificate.display(), "new certificates are in use");
                    }
                    // A file may be half written: the old ones serve until the new ones fit.
                    Err(error) => tracing::warn!(%error, "the new certificates cannot be used; the old ones still are"),
                }
            }
        };
        tokio::select! {
            () = listen(listener, Some(newest), Arc::clone(&self.connections), self.service.clone(), stop) => {}
            () = renewing => {}
        }
        gate.set_https_port(None);
        tracing::info!("HTTPS is off");
    }
}
