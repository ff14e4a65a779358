//! Giving up what a process may do and does not need: capabilities, and gaining any by what it runs. Linux only.
//!
//! The kernel keeps these a thread, and threads inherit them: this has its place before the first one is started.

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Leaves the calling thread, and whatever it starts, at most these capabilities (capabilities(7)). None is gained, by a
/// set-user-ID program either. Programs that it runs keep what is ambient of them; root's have all that is left.
///
/// # Errors
/// Of the kernel, which refuses none of this but where a filter of system calls does.
pub(crate) fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    drop_from_bounding_set(kept)?;
    drop_from_ambient_set(kept)?;
    let had = capabilities(None)?;
    let left = CapabilitySets {
        effective: had.effective & kept,
        permitted: had.permitted & kept,
        inheritable: had.inheritable & kept,
    };
    if left != had {
        set_capabilities(None, left)?;
    }
    set_no_new_privs(true)?;
    Ok(())
}

/// All but these, whether they have a name yet or not. Without CAP_SETPCAP the set stays as it is, and means nothing:
/// it bounds what is gained, and nothing will be.
fn drop_from_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    for capability in all().filter(|it| !kept.contains(*it)) {
        match remove_capability_from_bounding_set(capability) {
            // The first is beyond the last one that this kernel knows.
            Err(Errno::INVAL | Errno::PERM) => break,
            done => done?,
        }
    }
    Ok(())
}

fn drop_from_ambient_set(kept: CapabilitySet) -> io::Result<()> {
    if kept.is_empty() {
        return Ok(clear_ambient_capability_set()?);
    }
    for capability in all().filter(|it| !kept.contains(*it)) {
        match configure_capability_in_ambient_set(capability, false) {
            Err(Errno::INVAL) => break,
            done => done?,
        }
    }
    Ok(())
}

fn all() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit))
}
