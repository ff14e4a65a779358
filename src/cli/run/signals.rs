//! What reaches Egret while a command runs: it is the command's, but for a second Ctrl-C.

use std::io;

/// One signal, and who else has had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// Ctrl-C, which a terminal sends to the command as well.
    Interrupt(Reached),
    /// To be passed on.
    #[cfg(unix)]
    Other(rustix::process::Signal, Reached),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// The terminal sent it to everybody in the foreground.
    Everybody,
    #[cfg(unix)]
    EgretAlone,
}

#[cfg(unix)]
pub(super) struct Signals(Vec<(rustix::process::Signal, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Signals {
    /// Inside of a runtime. Stopping and continuing stay as they are: the terminal stops the whole group.
    pub(super) fn new() -> io::Result<Signals> {
        use rustix::process::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        crate::cli::signals::outlive_limits_on_files()?;
        let caught = [
            (Signal::INT, SignalKind::interrupt()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::HUP, SignalKind::hangup()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
        ];
        let streams = caught.into_iter().map(|(number, kind)| Ok((number, signal(kind)?)));
        Ok(Signals(streams.collect::<io::Result<_>>()?))
    }

    pub(super) async fn next(&mut self) -> Arrived {
        use rustix::process::Signal;
        let number = std::future::poll_fn(|context| {
            let came = self.0.iter_mut().find_map(|(number, stream)| {
                matches!(stream.poll_recv(context), std::task::Poll::Ready(Some(()))).then_some(*number)
            });
            came.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await;
        match number {
            Signal::INT => Arrived::Interrupt(reached_by_key()),
            Signal::QUIT => Arrived::Other(number, reached_by_key()),
            number => Arrived::Other(number, Reached::EgretAlone),
        }
    }
}

/// A key on the terminal reaches its whole foreground group; without one, somebody meant this process.
#[cfg(unix)]
fn reached_by_key() -> Reached {
    let terminal = std::fs::File::open("/dev/tty").ok();
    let foreground = terminal.and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok());
    if foreground == Some(rustix::process::getpgrp()) { Reached::Everybody } else { Reached::EgretAlone }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    pub(super) async fn next(&mut self) -> Arrived {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing will ever come then.
            std::future::pending::<()>().await;
        }
        Arrived::Interrupt(Reached::Everybody)
    }
}
