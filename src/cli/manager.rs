//! What is said to a service manager that asked to be told (sd_notify(3), `Type=notify`). Others hear nothing.

use std::net::SocketAddr;

use super::banner::Listening;

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

/// Connections are accepted.
pub(super) fn ready(addrs: &Listening) {
    let all = addrs.all();
    let listening: Vec<String> = all.iter().map(SocketAddr::to_string).collect();
    say_ready(&format!("listening on {}", listening.join(", ")));
}

/// No new connections; those that there are come to their end.
pub(super) fn stopping() {
    #[cfg(target_os = "linux")]
    say(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

#[cfg(target_os = "linux")]
fn say_ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

#[cfg(not(target_os = "linux"))]
fn say_ready(_: &str) {}

/// A manager that does not hear is no reason not to serve.
#[cfg(target_os = "linux")]
fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager could not be told: {error}");
    }
}
