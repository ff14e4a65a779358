//! System calls that lead around the network namespace, or out of the jail by the caller's terminal: refused, by a
//! filter that the command and everything it starts cannot take off.
//!
//! - Sockets of families that are no network, or that a network namespace covers, are made; of all others (VSOCK,
//!   Bluetooth, TIPC …) none is. A family that is missing is what programs are prepared for.
//! - `io_uring` opens sockets by itself, past any filter, and is not there at all.
//! - TIOCSTI and TIOCLINUX would type into the terminal, where the caller's shell reads it afterwards.
//!
//! A call by another ABI has other numbers: x32's are not there, and a 32-bit program is killed (SIGSYS). This is for
//! x86-64 and 64-bit ARM. Elsewhere there is no filter, and what is written above holds for none of it.

use std::io;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn apply() -> io::Result<()> {
    filters::apply().map_err(io::Error::other)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn apply() -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod filters {
    use std::collections::BTreeMap;

    use nix::libc::{SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, SYS_ioctl, SYS_socket};
    use rustix::io::Errno;
    use rustix::net::AddressFamily;
    use seccompiler::{
        BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
    };

    #[cfg(target_arch = "x86_64")]
    const ARCH: TargetArch = TargetArch::x86_64;
    #[cfg(target_arch = "aarch64")]
    const ARCH: TargetArch = TargetArch::aarch64;

    /// Ciphers of the kernel, and no network.
    const ALG: AddressFamily = AddressFamily::from_raw(38);

    /// PACKET is here as the kernel refuses it by itself, for want of a right, and tells that better.
    const FAMILIES: [AddressFamily; 6] = [
        AddressFamily::UNIX,
        AddressFamily::INET,
        AddressFamily::INET6,
        AddressFamily::NETLINK,
        AddressFamily::PACKET,
        ALG,
    ];

    /// As asm-generic/ioctls.h has them.
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541c;

    /// Calls, each with the rules of which any makes it refused; without one it always is.
    type Refused = Vec<(i64, Vec<SeccompRule>)>;

    /// A filter has one error; of several, all hold. Each forbids gaining privileges, too, as it has to.
    pub(super) fn apply() -> Result<(), Error> {
        let rings = [SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register];
        let rings = rings.map(|call| (call, Vec::new())).to_vec();
        let sockets = vec![(SYS_socket, vec![other_families()?])];
        let terminals = vec![(SYS_ioctl, vec![request(TIOCSTI)?, request(TIOCLINUX)?])];
        let programs = [
            program(sockets, Errno::AFNOSUPPORT)?,
            program(terminals, Errno::PERM)?,
            without_x32(program(rings, Errno::NOSYS)?),
        ];
        programs.iter().try_for_each(|program| apply_filter(program))
    }

    fn program(refused: Refused, error: Errno) -> Result<BpfProgram, BackendError> {
        let refused: BTreeMap<_, _> = refused.into_iter().collect();
        SeccompFilter::new(refused, SeccompAction::Allow, refusal(error), ARCH)?.try_into()
    }

    fn refusal(error: Errno) -> SeccompAction {
        SeccompAction::Errno(error.raw_os_error().cast_unsigned())
    }

    /// Any family but these.
    fn other_families() -> Result<SeccompRule, BackendError> {
        let is_not = |family: &AddressFamily| word(0, SeccompCmpOp::Ne, family.as_raw().into());
        SeccompRule::new(FAMILIES.iter().map(is_not).collect::<Result<_, _>>()?)
    }

    fn request(number: u64) -> Result<SeccompRule, BackendError> {
        SeccompRule::new(vec![word(1, SeccompCmpOp::Eq, number)?])
    }

    /// The kernel reads 32 bits of these arguments, so no more are compared.
    fn word(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    }

    /// To the kernel x32 is x86-64, with a bit in the number. No call of the other ABIs has a number that large.
    fn without_x32(program: BpfProgram) -> BpfProgram {
        /// BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JGE | BPF_K and BPF_RET | BPF_K.
        const LOAD: u16 = 0x20;
        const JUMP_IF_AT_LEAST: u16 = 0x35;
        const RETURN: u16 = 0x06;
        const X32: u32 = 0x4000_0000;
        let instruction = |code, jf, k| sock_filter { code, jt: 0, jf, k };
        // The number is what the kernel's record of a call begins with.
        let number = instruction(LOAD, 0, 0);
        let is_x32 = instruction(JUMP_IF_AT_LEAST, 1, X32);
        let refused = instruction(RETURN, 0, u32::from(refusal(Errno::NOSYS)));
        [number, is_x32, refused].into_iter().chain(program).collect()
    }
}
