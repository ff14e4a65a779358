//! Where connections lead while a session is rehearsed: to whoever set the stage of this thread, never into a network.
//!
//! Only of tests and fuzz targets. On a thread without a stage sockets are what they always are.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

/// Answers for the network.
pub(crate) struct Stage {
    /// What the kernel would say that a handed over connection was meant for.
    pub(crate) meant_for: SocketAddr,
    pub(crate) connect: Box<dyn Fn(SocketAddr) -> io::Result<TcpStream>>,
}

thread_local! {
    static STAGE: RefCell<Option<Rc<Stage>>> = const { RefCell::new(None) };
}

/// The stage stands until this is dropped.
pub(crate) struct Standing(());

pub(crate) fn set(stage: Stage) -> Standing {
    STAGE.set(Some(Rc::new(stage)));
    Standing(())
}

impl Drop for Standing {
    fn drop(&mut self) {
        STAGE.set(None);
    }
}

/// None where there is no stage.
pub(super) fn connect(addr: SocketAddr) -> Option<io::Result<TcpStream>> {
    let stage = STAGE.with_borrow(Clone::clone)?;
    Some((stage.connect)(addr))
}

pub(super) fn meant_for() -> Option<SocketAddr> {
    STAGE.with_borrow(|stage| stage.as_ref().map(|stage| stage.meant_for))
}
