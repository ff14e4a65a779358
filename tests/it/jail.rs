//! What holds the command of `egret run` beside its network: system calls, mounts, descriptors. Egret runs in a network
//! namespace of the test's own, so that what gets past the jail reaches nobody. Takes root.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use super::support::DEADLINE;
use super::support::command::{Answer, finish};
use super::support::netns::{self, NetNs};
use super::support::origin::{Origin, echo};
use super::support::run::{RunLab, shell};

/// Who the command is, where it is not root.
const NOBODY: u32 = 65534;

/// What everybody may run: of a folder of root's, a program of somebody else's would not be found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    Nobody,
}

const USERS: [User; 2] = [User::Root, User::Nobody];

/// A folder to run in, and a network around Egret's own.
struct Cell {
    lab: RunLab,
    outside: NetNs,
}

impl Cell {
    /// None, and said so, where namespaces are not to be had.
    fn new() -> Option<Cell> {
        if !netns::is_possible() {
            return None;
        }
        let lab = RunLab::new();
        lab.open_to(NOBODY);
        Some(Cell { lab, outside: NetNs::new("outside") })
    }

    /// A program as that user, in the outer network.
    fn command(&self, user: User, program: &str) -> Command {
        let mut command = match user {
            User::Root => self.outside.command(program),
            User::Nobody => {
                let mut command = self.outside.command("setpriv");
                let id = NOBODY.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", program]);
                command
            }
        };
        command.current_dir(self.lab.path(".")).env("HOME", self.lab.path(".")).env("PATH", PATH);
        command
    }

    fn egret(&self, user: User, flags: &[&str]) -> Command {
        let mut command = self.command(user, &self.lab.program());
        command.args(["run", "--allow=https://ok.test"]).args(flags);
        command
    }

    fn hold(&self, user: User, script: &str) -> Answer {
        shell(&mut self.egret(user, &[]), script)
    }

    fn python(&self, user: User, text: &str) -> Answer {
        fs::write(self.lab.path("script.py"), text).unwrap();
        finish(self.egret(user, &[]).args(["--", "python3", "script.py"]), "")
    }
}

const SOCKETS: &str = r"
import errno, socket
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, 38, 40, 31, 42, 43, 30, 39):
    kind = socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM
    try:
        socket.socket(family, kind)
        print(family, 'made')
    except OSError as error:
        print(family, errno.errorcode[error.errno])
";

/// Network namespaces do not cover every family; what is left are those that they do, and those that are no network.
#[test]
fn sockets_of_other_families_are_not_made() {
    let Some(cell) = Cell::new() else { return };
    for user in USERS {
        let answer = cell.python(user, SOCKETS);
        let of = |family: &str| {
            let line = answer.out.lines().find_map(|line| line.strip_prefix(&format!("{family} ")));
            line.unwrap_or_else(|| panic!("{family}: {answer:?}")).to_owned()
        };
        for family in ["1", "2", "10", "16"] {
            assert_eq!(of(family), "made", "{user:?} {family}");
        }
        // AF_VSOCK, AF_BLUETOOTH, AF_QIPCRTR, AF_SMC, AF_TIPC, AF_NFC.
        for family in ["40", "31", "42", "43", "30", "39"] {
            assert_eq!(of(family), "EAFNOSUPPORT", "{user:?} {family}");
        }
    }
}

/// Calls by number: a ring (io_uring) opens sockets by no system call that a filter sees, and the x32 ABI has numbers of its own.
const RAW_CALLS: &str = r"
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
calls = {'ring': 425, 'enter': 426, 'register': 427}
if platform.machine() == 'x86_64':
    calls['x32'] = 0x40000000 + 41
for name, number in calls.items():
    result = libc.syscall(number, 40, 1, 0, 0, 0, 0)
    print(name, result if result >= 0 else errno.errorcode[ctypes.get_errno()])
";

#[test]
fn no_ring_and_no_other_abi_makes_sockets() {
    let Some(cell) = Cell::new() else { return };
    let x32 = if cfg!(target_arch = "x86_64") { "x32 ENOSYS\n" } else { "" };
    for user in USERS {
        let answer = cell.python(user, RAW_CALLS);
        assert_eq!(answer.out, format!("ring ENOSYS\nenter ENOSYS\nregister ENOSYS\n{x32}"), "{user:?} {}", answer.err);
    }
}

/// On a terminal of its own: what is pushed into it the caller's shell would run. The high half of a request is nothing to the kernel.
const PUSH: &str = r"
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for request in (0x5412, 0x100005412, 0x541c):
    result = libc.syscall(SYS_IOCTL, 0, ctypes.c_ulong(request), ctypes.byref(ctypes.c_char(b'x')))
    print('pushed' if result == 0 else errno.errorcode[ctypes.get_errno()])
";

#[test]
fn nothing_is_pushed_into_the_callers_terminal() {
    let Some(cell) = Cell::new() else { return };
    let number = if cfg!(target_arch = "x86_64") { "16" } else { "29" };
    fs::write(cell.lab.path("push.py"), PUSH.replace("SYS_IOCTL", number)).unwrap();
    let spawn = format!("import pty; pty.spawn(['{}', 'run', '--', 'python3', 'push.py'])", cell.lab.program());
    for user in USERS {
        let answer = finish(cell.command(user, "python3").args(["-c", &spawn]), "");
        assert!(answer.out.starts_with("EPERM\r\nEPERM\r\nEPERM\r\n"), "{user:?} {answer:?}");
    }
}

/// Programs that ask for much.
#[test]
fn ordinary_programs_miss_nothing() {
    let Some(cell) = Cell::new() else { return };
    let scripts = [
        "python3 -c 'import asyncio, multiprocessing as m; m.Queue(); asyncio.run(asyncio.sleep(0)); print(1)'",
        "curl --version >/dev/null && echo 1",
        "git init -q repository && git -C repository status >/dev/null && echo 1",
        "ip address show >/dev/null && echo 1",
        "if command -v node >/dev/null; then node -p '[1].length'; else echo 1; fi",
        "if command -v java >/dev/null; then java -version 2>/dev/null && echo 1; else echo 1; fi",
    ];
    for (user, script) in USERS.into_iter().flat_map(|user| scripts.map(|script| (user, script))) {
        let answer = cell.hold(user, &format!("rm -rf repository; {script}"));
        assert_eq!((answer.code, answer.out.as_str()), (0, "1\n"), "{user:?} {script}: {}", answer.err);
    }
}

/// What each of these mounts is, and where a device leads. Nothing is written.
const LOOK: &str = r"
import os
for path in ('/proc/sys', '/proc/sysrq-trigger', '/proc/irq', '/proc/bus', '/sys'):
    if os.path.exists(path) and not os.statvfs(path).f_flag & os.ST_RDONLY:
        print(path, 'writable')
for line in open('/proc/self/mountinfo'):
    point, kind = line.split()[4], line.split(' - ')[1].split()[0]
    if kind.startswith('cgroup') and not os.statvfs(point).f_flag & os.ST_RDONLY:
        print(point, 'writable')
print('kmsg', os.stat('/dev/kmsg').st_rdev == os.stat('/dev/null').st_rdev)
try:
    os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)
except OSError as error:
    print(error.strerror)
";

#[test]
fn root_tells_the_kernel_nothing() {
    let Some(cell) = Cell::new() else { return };
    let answer = cell.python(User::Root, LOOK);
    assert_eq!((answer.code, answer.out.as_str()), (0, "kmsg True\nRead-only file system\n"), "{}", answer.err);
}

/// In a user namespace of its own it has all rights, and these mounts are locked: neither taken off, nor made writable,
/// nor made anew.
#[test]
fn root_gets_no_other_proc_in_a_namespace_of_its_own() {
    let Some(cell) = Cell::new() else { return };
    let tries = "umount /proc/sys; mount -o remount,rw,bind /proc/sys; mount -t proc proc new
        mount -t sysfs sysfs new; mount -t cgroup2 none new
        test -w /proc/sys/kernel/core_pattern || echo held; ls new";
    let answer = cell.hold(User::Root, &format!("mkdir new; unshare -Urmpf --kill-child sh -c '{tries}'"));
    assert_eq!(answer.out, "held\n", "{}", answer.err);
    assert_eq!(answer.err.matches("permission denied").count(), 4, "{}", answer.err);
}

/// A script before it, in mounts of its own.
fn in_mounts(cell: &Cell, script: &str) -> Answer {
    let mut command = cell.command(User::Root, "unshare");
    finish(command.args(["-m", "--propagation", "private", "sh", "-ec", script, "sh"]).arg(cell.lab.program()), "")
}

#[test]
fn root_sees_its_own_processes_only() {
    let Some(cell) = Cell::new() else { return };
    let script = "mkdir second 'the third' && : > uptime && mount -t proc proc second
        mount --bind /proc 'the third' && mount --bind /proc/uptime uptime
        exec \"$1\" run --allow=https://ok.test -- sh -c 'ls second \"the third\"; cat uptime; echo \"of $PPID\"'";
    let answer = in_mounts(&cell, script);
    assert_eq!(answer.out, "second:\n\nthe third:\nof 1\n", "{answer:?}");
}

/// `/` is no mount point there, so nothing below it can be made the command's own.
#[test]
fn root_of_a_chroot_is_told_what_to_do() {
    let Some(cell) = Cell::new() else { return };
    let script = "for name in usr bin sbin lib lib64 etc proc dev; do
            if [ -e /$name ]; then mkdir -p tree/$name; mount --rbind /$name tree/$name; fi
        done
        cp \"$1\" tree/egret && exec chroot tree /egret run --allow=https://ok.test -- echo ran";
    let answer = in_mounts(&cell, script);
    assert_eq!((answer.code, answer.out.as_str()), (4, ""), "{}", answer.err);
    assert!(answer.err.contains("cannot guard the kernel's files"), "{}", answer.err);
    assert!(answer.err.contains("in a chroot: mount --bind its folder on itself"), "{}", answer.err);
}

const FROM: &str = r"
import errno, socket
def attempt(kind, source, to):
    v6 = ':' in to[0]
    one = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind)
    # What is sent to an address that nobody has gets no answer, of a refusal neither.
    one.settimeout(1 if source == '2001:db8::5' else 10)
    try:
        if source:
            one.setsockopt(*((41, 78, 1) if v6 else (0, 15, 1)))
            one.bind((source, 0))
        one.connect(to)
        one.send(b'ping')
        print(source, one.recv(64).decode())
    except OSError as error:
        print(source, errno.errorcode.get(error.errno, error))
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for source in ('', '192.0.0.8', '127.0.0.9', '198.51.100.5'):
        attempt(kind, source, ('192.0.2.7', 9001))
    for source in ('', '100:0:0:1::8', '2001:db8::5', '::1'):
        attempt(kind, source, ('2001:db8::7', 9001))
for source in ('', '127.0.0.9'):
    attempt(socket.SOCK_STREAM, source, ('127.0.0.1', 9001))
";

/// Rules by source are about where a command is, and it is at one place.
#[test]
fn no_command_chooses_its_source() {
    let Some(cell) = Cell::new() else { return };
    cell.outside.ip("addr add 192.0.2.7/32 dev lo\naddr add 2001:db8::7/128 dev lo nodad\n");
    cell.outside.ip6("route add local default dev lo\n");
    let places = ["192.0.2.7:9001", "[2001:db8::7]:9001", "127.0.0.1:9001"];
    let _origins = cell.outside.enter(|| places.map(|place| Origin::start_on(place, echo)));
    places[..2].iter().for_each(|place| cell.outside.enter(|| udp_echo(place)));
    fs::write(cell.lab.path("from.py"), FROM).unwrap();
    let mut command = cell.command(User::Nobody, &cell.lab.program());
    command.args(["run", "--allow=tcp://192.0.2.7:9001", "--allow=udp://192.0.2.7:9001"]);
    command.args(["--allow=tcp://[2001:db8::7]:9001", "--allow=udp://[2001:db8::7]:9001", "--host-port=9001"]);
    let answer = finish(command.args(["--report=report.json", "--", "python3", "from.py"]), "");
    let (tcp, udp) = (ends(&answer.out, 0..8), ends(&answer.out, 8..16));
    let refused = "refused";
    let expected = ["ping", "ping", refused, refused, "ping", "ping", refused, refused];
    assert_eq!((tcp, udp), (expected.to_vec(), expected.to_vec()), "{answer:?}");
    assert_eq!(ends(&answer.out, 16..18), ["ping", refused], "{answer:?}");
    assert_eq!(cell.lab.json("report.json")["allowed"]["flows"], 9);
}

/// For as long as the test runs.
fn udp_echo(place: &str) {
    let socket = UdpSocket::bind(place).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from).unwrap();
        }
    });
}

fn ends(out: &str, lines: std::ops::Range<usize>) -> Vec<&str> {
    let lines = out.lines().skip(lines.start).take(lines.len());
    lines.map(|line| if line.ends_with("ping") { "ping" } else { kind(line) }).collect()
}

fn kind(line: &str) -> &str {
    let refusals = ["ECONNREFUSED", "EPERM", "ENETUNREACH", "timed out"];
    if refusals.iter().any(|refusal| line.ends_with(refusal)) { "refused" } else { line }
}

#[test]
fn a_socket_of_the_callers_stays_with_it_and_files_do_not() {
    let Some(cell) = Cell::new() else { return };
    cell.outside.ip("addr add 192.0.2.7/32 dev lo\n");
    let origin = cell.outside.enter(|| Origin::start_on("192.0.2.7:9001", echo));
    fs::write(cell.lab.path("file"), "of a file\n").unwrap();
    let script = "exec 7<>/dev/tcp/192.0.2.7/9001 8<file 9< <(echo of a pipe)
        exec \"$0\" run --allow=https://ok.test -- bash -c 'cat <&8; cat <&9; echo out >&7'";
    for user in USERS {
        let answer = finish(cell.command(user, "bash").args(["-c", script, &cell.lab.program()]), "");
        assert_eq!(answer.out, "of a file\nof a pipe\n", "{user:?} {}", answer.err);
        assert!(answer.err.contains("7: Bad file descriptor"), "{user:?} {}", answer.err);
    }
    assert_eq!(origin.connections(), 2, "the caller's own");
}

/// A folder of the search path that may not be read is no tool without the right to run it.
#[test]
fn a_missing_tool_is_missing_whatever_the_search_path() {
    let Some(cell) = Cell::new() else { return };
    let script =
        "mkdir -m 700 closed && cp \"$(command -v ip)\" ip && mount -t tmpfs none /usr/sbin && mv ip /usr/sbin/
        PATH=$PWD/closed:/usr/bin:/bin exec setpriv --reuid 65534 --regid 65534 --clear-groups \\
            \"$1\" run --allow=https://ok.test -- true";
    let answer = in_mounts(&cell, script);
    assert_eq!(answer.code, 4, "{}", answer.err);
    assert!(answer.err.contains("there is no `nft` here"), "{}", answer.err);
    assert!(answer.err.contains("install the package nftables"), "{}", answer.err);
}
