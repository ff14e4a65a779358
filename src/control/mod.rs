//! What watches over a running proxy: the admin server and the reload of its policy, on a thread of their own.
//!
//! A scrape or a compilation of a million names takes nothing from the cores that serve flows. [`Oracle`] is the
//! question and answer that the admin server has in common with `egret check`.

mod admin;
mod arm;
mod health;
mod question;
mod reload;
mod wards;

#[cfg(any(test, fuzzing))]
pub use arm::rehearse_paths;
pub(crate) use question::{Answer, Asking, Detail, Oracle, RulePlace, StepLine, ThreatLine};
pub(crate) use reload::Origin;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::DnsConfig;
use crate::proxy::{Lifecycle, Shared};

use admin::{Admin, Gate};
use arm::Arm;
use reload::Reloader;
use wards::Wards;

/// An admin listener that nobody is served on yet.
pub(crate) struct AdminListener {
    listener: StdListener,
    addr: SocketAddr,
    token: Option<String>,
}

impl AdminListener {
    pub(crate) fn bind(addr: SocketAddr, token: Option<String>) -> io::Result<AdminListener> {
        let listener = StdListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        Ok(AdminListener { addr: listener.local_addr()?, listener, token })
    }

    /// With the port that was chosen for 0.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// The running thread. It ends when this is dropped.
pub(crate) struct Control {
    asked: Arc<Notify>,
    end: Option<DropGuard>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// `shared` is the proxy's, `origin` what its policy was loaded from.
    pub(crate) fn start(
        admin: Option<AdminListener>,
        shared: Arc<Shared>,
        lifecycle: Lifecycle,
        dns: DnsConfig,
        origin: Origin,
    ) -> io::Result<Control> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (asked, end) = (Arc::new(Notify::new()), CancellationToken::new());
        let limits = origin.config.health;
        let reloader = Arc::new(Reloader::new(shared.clone(), origin));
        let wards = Arc::new(Wards::new(limits, shared.clone(), reloader.clone()));
        let (notified, ended) = (asked.clone(), end.clone());
        let served = async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = reloader.watch_files() => {}
                () = reloader.obey(&notified) => {}
                () = wards.follow() => {}
                () = serve(admin, shared, lifecycle, dns, reloader.clone(), wards.clone()) => {}
            }
        };
        let run = move || {
            runtime.block_on(served);
            // A file system that hangs in the middle of a reload keeps nobody from going down.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("egret-control".to_owned()).spawn(run)?;
        Ok(Control { asked, end: Some(end.drop_guard()), thread: Some(thread) })
    }

    /// Asks for a reload, soon.
    pub(crate) fn reload(&self) {
        self.asked.notify_one();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.end.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the control thread ended in a panic");
        }
    }
}

/// For ever, with an admin listener or without.
async fn serve(
    admin: Option<AdminListener>,
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
    dns: DnsConfig,
    reloader: Arc<Reloader>,
    wards: Arc<Wards>,
) {
    let Some(AdminListener { listener, addr, token }) = admin else {
        return std::future::pending().await;
    };
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            let gate = Gate { listen: addr, token };
            let arm = Arm::new(shared.clone(), reloader.clone(), wards);
            let admin = Admin { shared, drain: lifecycle.drain, dns, gate, reloader, arm };
            admin::serve(listener, Arc::new(admin)).await;
        }
        Err(error) => {
            tracing::error!(%error, "the admin server cannot start");
            std::future::pending().await
        }
    }
}
