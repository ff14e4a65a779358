//! Counts what is allocated: live bytes and their peak, around divan's own counts for each benchmark.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATOR: Counting = Counting(AllocProfiler::system());

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn live() -> usize {
    LIVE.load(Relaxed)
}

pub(crate) fn peak() -> usize {
    PEAK.load(Relaxed)
}

pub(crate) fn reset_peak() {
    PEAK.store(live(), Relaxed);
}

struct Counting(AllocProfiler<std::alloc::System>);

#[allow(unsafe_code, reason = "a global allocator cannot be had without; every call is passed on as it came")]
// SAFETY: each method hands its arguments to the allocator inside, and returns what that returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises about `block` and `layout` are passed on.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises about `block`, `layout` and `size` are passed on.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

fn grown(by: usize) {
    PEAK.fetch_max(LIVE.fetch_add(by, Relaxed) + by, Relaxed);
}
