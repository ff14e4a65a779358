//! What the command sees of the file system: all of it, but for `/proc` and the sockets of name services. Root's
//! command sees the kernel's own files only, where it could otherwise write them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};
use rustix::process::geteuid;

use super::refusal::Refusal;

/// Daemons that the C library asks for names behind the back of DNS. Where they do not answer, it asks DNS.
const NAME_SERVICES: [&str; 4] =
    ["/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/var/run/nscd/socket", "/run/avahi-daemon/socket"];

/// Of `/proc`, as containers have it: by the first one, a file names the program that the kernel runs outside.
const KERNEL_SETTINGS: [&str; 5] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// File systems in which root tells the kernel what to do, to run a program of its choice for example.
const KERNEL_FILE_SYSTEMS: [&str; 12] = [
    "sysfs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "selinuxfs",
    "configfs",
    "bpf",
    "efivarfs",
    "pstore",
    "binfmt_misc",
];

const HARMLESS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Root's power over files reaches through each of these, so that without them there is no jail. An ordinary user has
/// it as far as it may be done: a container that hides parts of `/proc` forbids a new one, and the old one does. It
/// shows processes that the command has no power over, and its own under their outer numbers.
pub(super) fn arrange() -> Result<(), Refusal> {
    let done = inwards_only().and_then(|()| own_proc());
    if geteuid().is_root() {
        done.and_then(|()| guard_kernel()).map_err(|error| Refusal::of_mounts(&error))?;
    }
    Ok(())
}

/// Unless this holds, what follows could reach the mounts outside.
fn inwards_only() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

fn own_proc() -> io::Result<()> {
    let mounted = mount("proc", "/proc", "proc", HARMLESS, None);
    for socket in NAME_SERVICES.iter().filter(|socket| Path::new(socket).exists()) {
        let _ = mount_bind("/dev/null", *socket);
    }
    Ok(mounted?)
}

fn guard_kernel() -> io::Result<()> {
    for settings in KERNEL_SETTINGS.map(Path::new).into_iter().filter(|path| path.exists()) {
        mount_bind(settings, settings)?;
        read_only(settings, HARMLESS)?;
    }
    if Path::new("/dev/kmsg").exists() {
        mount_bind("/dev/null", "/dev/kmsg")?;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    mounts.lines().filter_map(Mount::parse).try_for_each(|mount| mount.guard())
}

/// A mount that is gone, or that another one lies over, leads nowhere.
fn read_only(point: &Path, had: MountFlags) -> io::Result<()> {
    match mount_remount(point, MountFlags::BIND | MountFlags::RDONLY | had, "") {
        Ok(()) | Err(Errno::NOENT | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// Those that may not be taken off again where somebody with more rights set them.
    flags: MountFlags,
    kind: String,
}

impl Mount {
    /// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda rw`
    fn parse(line: &str) -> Option<Mount> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(4);
        let (point, options) = (fields.next()?, fields.next()?);
        let flags = options.split(',').map(flag).fold(MountFlags::empty(), MountFlags::union);
        let kind = file_system.split(' ').next()?.to_owned();
        Some(Mount { point: unescaped(point), flags, kind })
    }

    fn guard(&self) -> io::Result<()> {
        // The one at this place is new, and lies over the old one and all that was in that.
        if self.point.starts_with("/proc") {
            return Ok(());
        }
        if self.kind == "proc" {
            return cover(&self.point);
        }
        if KERNEL_FILE_SYSTEMS.contains(&self.kind.as_str()) || self.point.starts_with("/sys") {
            return read_only(&self.point, self.flags);
        }
        Ok(())
    }
}

/// A `/proc` of other processes than the command's: nothing is to be seen of it.
fn cover(point: &Path) -> io::Result<()> {
    let covered = match mount("none", point, "tmpfs", HARMLESS | MountFlags::RDONLY, Some(c"mode=0555")) {
        Err(Errno::NOTDIR) => mount_bind("/dev/null", point),
        done => done,
    };
    match covered {
        // Out of reach already.
        Err(Errno::NOENT) => Ok(()),
        done => Ok(done?),
    }
}

fn flag(option: &str) -> MountFlags {
    match option {
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    }
}

/// Blanks, line ends and backslashes are a backslash and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let escaped = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.extend(escaped);
        bytes.extend(part.as_bytes().get(3..).unwrap_or_default());
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_what_is_escaped_in_it() {
        let line = r"42 27 0:21 / /mnt/a\040b\134c rw,nosuid,relatime shared:1 master:2 - proc proc rw";
        let point = r"/mnt/a b\c".into();
        let flags = MountFlags::NOSUID | MountFlags::RELATIME;
        assert_eq!(Mount::parse(line), Some(Mount { point, flags, kind: "proc".to_owned() }));
        assert_eq!(Mount::parse("42 27 0:21 / /mnt"), None);
    }
}
