//! What the command sees of the file system: all of it, but for `/proc` and the sockets of name services.

use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

/// Daemons that the C library asks for names behind the back of DNS. Where they do not answer, it asks DNS.
const NAME_SERVICES: [&str; 4] =
    ["/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/var/run/nscd/socket", "/run/avahi-daemon/socket"];

/// As far as it may be done. A container that hides parts of `/proc` forbids a new one, and the old one does: it
/// shows processes that the command has no power over, and its own under their outer numbers.
pub(super) fn arrange() {
    // Unless this holds, what follows could reach the mounts outside.
    let inwards = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    if mount_change("/", inwards).is_err() {
        return;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let _ = mount("proc", "/proc", "proc", flags, None);
    for socket in NAME_SERVICES.iter().filter(|socket| Path::new(socket).exists()) {
        let _ = mount_bind("/dev/null", *socket);
    }
}
