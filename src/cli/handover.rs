//! The kernel's rules while `egret serve` is a gateway: written at the start, kept in step with the policy's DNAT
//! rules, removed at the end. Where they are left to others, or there is no gateway, nothing is done.

#[cfg(target_os = "linux")]
pub(super) use linux::{Claim, HandOver};

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::HandOver;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use anyhow::{Context, bail};

    use crate::config::{GatewayConfig, KernelRules};
    use crate::net::nft::{self, Installed, NftError, Spec, Standing};
    use crate::policy::RuleSet;

    use super::super::UsageError;
    use super::super::output::Printer;

    pub(in crate::cli) struct HandOver {
        gateway: GatewayConfig,
        written: Option<Written>,
    }

    struct Written {
        installed: Installed,
        spec: Spec,
        _claim: Claim,
    }

    /// The right to write rules, which one Egret in a network namespace has. A name in that namespace: it goes with the
    /// process, however that ends.
    pub(in crate::cli) struct Claim(#[expect(dead_code, reason = "held, not read")] UnixListener);

    const CLAIM: &str = "egret-gateway-rules";

    impl Claim {
        pub(in crate::cli) fn take() -> anyhow::Result<Claim> {
            match SocketAddr::from_abstract_name(CLAIM).and_then(|name| UnixListener::bind_addr(&name)) {
                Ok(held) => Ok(Claim(held)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
                    "another egret writes the gateway's rules here\n  = mend: stop it, or start this one with \
                     --gateway-rules leave"
                ),
                Err(error) => Err(error).context("cannot claim the gateway's rules"),
            }
        }
    }

    impl HandOver {
        /// Writes the rules that lead to these listeners.
        pub(in crate::cli) fn install(
            gateway: GatewayConfig,
            rules: &RuleSet,
            printer: &mut Printer,
        ) -> anyhow::Result<HandOver> {
            let managed = !gateway.listen.is_empty() && gateway.rules == KernelRules::Manage;
            let written = if managed { Some(Written::new(&gateway, rules, printer)?) } else { None };
            Ok(HandOver { gateway, written })
        }

        /// The policy has changed: its DNAT destinations are handed over too.
        pub(in crate::cli) fn follow(&mut self, rules: &RuleSet, printer: &mut Printer) {
            let Some(written) = &mut self.written else { return };
            let Ok(spec) = Spec::of(&self.gateway, rules) else { return };
            if spec == written.spec {
                return;
            }
            match written.installed.replace(&spec) {
                Ok(()) => written.spec = spec,
                Err(error) => printer.warn(&not_followed(written.installed.standing(), &error)),
            }
        }

        pub(in crate::cli) fn remove(self, printer: &mut Printer) {
            if let Some(Err(error)) = self.written.map(|written| written.installed.remove()) {
                printer.warn(&format!("the gateway's rules may still be there: {error}\n  = mend: egret gateway down"));
            }
        }
    }

    /// What is in force where the rules could not follow the policy.
    fn not_followed(standing: Result<Standing, NftError>, error: &NftError) -> String {
        let up = "\n  = mend: egret gateway up";
        match standing {
            Ok(Standing::Own) => format!("the gateway's rules are still those of the former policy: {error}"),
            Ok(Standing::Others) => {
                format!("the gateway's rules are those that somebody else wrote meanwhile: {error}")
            }
            Ok(Standing::Nothing) => {
                format!("the gateway's rules are gone, and what is forwarded goes unfiltered: {error}{up}")
            }
            Err(_) => format!("the gateway's rules could not follow the policy: {error}\n  = mend: egret gateway show"),
        }
    }

    impl Written {
        fn new(gateway: &GatewayConfig, rules: &RuleSet, printer: &mut Printer) -> anyhow::Result<Written> {
            let spec = Spec::of(gateway, rules).map_err(|error| UsageError(error.to_string()))?;
            let claim = Claim::take()?;
            nft::warnings(&spec).iter().for_each(|warning| printer.warn(warning));
            Ok(Written { installed: Installed::install(&spec)?, spec, _claim: claim })
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_in_force_is_told() {
            let check = |standing, expected: &str| {
                let told = not_followed(standing, &NftError::NotNumbered);
                assert!(told.starts_with(expected), "{told}");
            };
            check(Ok(Standing::Own), "the gateway's rules are still those of the former policy: nft does not say");
            check(Ok(Standing::Others), "the gateway's rules are those that somebody else wrote meanwhile: ");
            check(Ok(Standing::Nothing), "the gateway's rules are gone, and what is forwarded goes unfiltered: ");
            check(Err(NftError::NotNumbered), "the gateway's rules could not follow the policy: ");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use crate::config::GatewayConfig;
    use crate::policy::RuleSet;

    use super::super::output::Printer;

    /// There is nothing to write: a gateway takes Linux.
    pub(in crate::cli) struct HandOver;

    impl HandOver {
        pub(in crate::cli) fn install(_: GatewayConfig, _: &RuleSet, _: &mut Printer) -> anyhow::Result<HandOver> {
            Ok(HandOver)
        }

        pub(in crate::cli) fn follow(&mut self, _: &RuleSet, _: &mut Printer) {}

        pub(in crate::cli) fn remove(self, _: &mut Printer) {}
    }
}
