//! Pipes through which bulk moves by splice(2), without a copy into this process.
//!
//! Each thread has a pool of them, and a direction of a relay owns one only while there are bytes in it: what rests
//! owns nothing. A pipe that still holds bytes when it is dropped is closed, never lent again. Linux only: elsewhere
//! there is no pipe to be had, and everything is copied.
//!
//! What splice(2) reports of its source is no end and no standstill: it stops at urgent data for good. So nothing but
//! a plain read says that a source is empty or has ended.

#[cfg(target_os = "linux")]
pub(super) use linux::Pipe;

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::Pipe;

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    use rustix::io::Errno;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// What a pipe should hold. A user without privileges has 64 MiB of pipes by default, and may be refused; less
    /// than the last is not worth two calls.
    const SIZES: [usize; 3] = [1 << 20, 256 << 10, 64 << 10];

    /// Pipes out at a time, over all cores: half of what an unprivileged user may have, for other programs want
    /// pipes too. When all of a core's are out, its further bulk is copied.
    const ALL_OUT: usize = 32;

    /// Of them for a core, however many there are.
    const OUT: usize = 4;

    /// What a core keeps open for the next bulk.
    const KEPT: usize = 4;

    thread_local! {
        static POOL: Rc<Pool> = Rc::new(Pool::of_one_core());
    }

    struct Pool {
        bound: Cell<usize>,
        out: Cell<usize>,
        kept: RefCell<Vec<Ends>>,
    }

    struct Ends {
        read: OwnedFd,
        write: OwnedFd,
    }

    /// A pipe on loan from this thread's pool.
    pub(in crate::net) struct Pipe {
        /// `None` only while it is dropped.
        ends: Option<Ends>,
        held: usize,
        pool: Rc<Pool>,
    }

    impl Pool {
        fn of_one_core() -> Pool {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let bound = (ALL_OUT / cores).max(OUT);
            Pool { bound: Cell::new(bound), out: Cell::new(0), kept: RefCell::default() }
        }

        fn lend(self: Rc<Pool>) -> Option<Pipe> {
            if self.out.get() >= self.bound.get() {
                return None;
            }
            let kept = self.kept.borrow_mut().pop();
            let ends = kept.or_else(Ends::open)?;
            self.out.set(self.out.get() + 1);
            Some(Pipe { ends: Some(ends), held: 0, pool: self })
        }
    }

    impl Ends {
        /// `None` where descriptors have run out, or the kernel grants no pipe that is worth it.
        fn open() -> Option<Ends> {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            let granted = SIZES.iter().any(|size| fcntl_setpipe_size(&write, *size).is_ok());
            granted.then_some(Ends { read, write })
        }
    }

    impl Pipe {
        /// An empty one. `None` where none is to be had: then bytes are copied.
        pub(in crate::net) fn take() -> Option<Pipe> {
            POOL.with(Rc::clone).lend()
        }

        pub(in crate::net) fn is_empty(&self) -> bool {
            self.held == 0
        }

        /// Takes what is there, into an empty pipe: so a full pipe is not mistaken for an empty source. Zero where the
        /// source gave nothing, whatever that means, and where it cannot be spliced.
        ///
        /// # Errors
        ///
        /// Those of the source. It tells them once.
        pub(in crate::net) fn fill(&mut self, source: &TcpStream) -> io::Result<usize> {
            debug_assert!(self.is_empty(), "what is in a pipe goes out first");
            match splice(source, None, &self.ends().write, None, SIZES[0], flags()) {
                Ok(read) => {
                    self.held = read;
                    Ok(read)
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::NOMEM) => Ok(0),
                Err(error) => Err(error.into()),
            }
        }

        /// Gives the sink what it takes at once.
        pub(in crate::net) fn drain(&mut self, sink: &TcpStream) -> io::Result<usize> {
            let read = &self.ends().read;
            let written =
                sink.try_io(Interest::WRITABLE, || Ok(splice(read, None, sink, None, self.held, flags())?))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.held -= written;
            Ok(written)
        }

        fn ends(&self) -> &Ends {
            self.ends.as_ref().expect("a pipe has its ends until it is dropped")
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            self.pool.out.set(self.pool.out.get() - 1);
            let mut kept = self.pool.kept.borrow_mut();
            if self.held == 0 && kept.len() < KEPT {
                kept.extend(self.ends.take());
            }
        }
    }

    fn flags() -> SpliceFlags {
        SpliceFlags::MOVE | SpliceFlags::NONBLOCK
    }

    #[cfg(test)]
    impl Pipe {
        /// Lets this thread have no more than these out at a time, and none kept to begin with.
        pub(in crate::net) fn allow(bound: usize) {
            POOL.with(|pool| {
                pool.bound.set(bound);
                pool.kept.borrow_mut().clear();
            });
        }

        pub(in crate::net) fn count_out() -> usize {
            POOL.with(|pool| pool.out.get())
        }

        pub(in crate::net) fn count_kept() -> usize {
            POOL.with(|pool| pool.kept.borrow().len())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    use tokio::net::TcpStream;

    /// There is none.
    pub(in crate::net) enum Pipe {}

    impl Pipe {
        pub(in crate::net) fn take() -> Option<Pipe> {
            None
        }

        pub(in crate::net) fn is_empty(&self) -> bool {
            match *self {}
        }

        pub(in crate::net) fn fill(&mut self, _source: &TcpStream) -> io::Result<usize> {
            match *self {}
        }

        pub(in crate::net) fn drain(&mut self, _sink: &TcpStream) -> io::Result<usize> {
            match *self {}
        }
    }
}
