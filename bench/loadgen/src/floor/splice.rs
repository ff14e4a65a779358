//! The floor of bulk: the gateway's floor with splice(2) and pipes of 1 MiB from a pool.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::sni;

const PIPE_LEN: usize = 1 << 20;

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn take() -> io::Result<Pipe> {
        if let Some(pipe) = POOL.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write, PIPE_LEN)?;
        Ok(Pipe { read, write })
    }

    /// Only an empty one is given back.
    fn give_back(self) {
        POOL.with_borrow_mut(|pool| pool.push(self));
    }
}

pub async fn serve(mut client: TcpStream, origin: SocketAddr) -> Result<()> {
    let Some(upstream) = sni::upstream(&mut client, origin).await? else { return Ok(()) };
    tokio::try_join!(pump(&client, &upstream), pump(&upstream, &client))?;
    Ok(())
}

async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        from.readable().await?;
        let pipe = Pipe::take()?;
        let fill = || Ok(splice(from, None, &pipe.write, None, PIPE_LEN, flags)?);
        let mut held = match from.try_io(Interest::READABLE, fill) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        while held > 0 {
            held -= to.async_io(Interest::WRITABLE, || Ok(splice(&pipe.read, None, to, None, held, flags)?)).await?;
        }
        pipe.give_back();
    }
    SockRef::from(to).shutdown(Shutdown::Write)
}
