//! The command line of `egret-bench attack`. Because of these tests a test of the workspace builds the program, which
//! the tests of Egret run.

use std::process::{Command, Output, Stdio};

fn attack(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_egret-bench")).arg("attack").args(args).output().unwrap()
}

#[test]
fn what_is_used_wrongly_ends_with_2() {
    for args in
        [&[][..], &["--family", "none"], &["--case", "none"], &["--proxy", "nowhere"], &["--corpus", "/nowhere"]]
    {
        let ended = attack(args);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {ended:?}");
    }
}

#[test]
fn cases_and_what_to_configure_are_told_without_sending_anything() {
    let listed = attack(&["--list"]);
    let list = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.status.success() && list.lines().count() > 800, "{list}");
    let told = attack(&["--setup"]);
    let setup = String::from_utf8(told.stdout).unwrap();
    assert!(setup.contains("allow https://ok.test:443") && setup.contains("127.0.0.1 evil.test"), "{setup}");
}

/// As `egret-bench attack --list | head` has it.
#[test]
fn nobody_has_to_read_to_the_end() {
    for args in [["--list"], ["--setup"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret-bench"));
        let ended = command.arg("attack").args(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let ended = ended.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !said.contains("panicked"), "{args:?}: {}: {said}", ended.status);
    }
}

/// Nothing that is denied comes through where nobody is: that is no verdict.
#[test]
fn what_is_not_there_is_an_error() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let origin = ["--origin-http", "127.0.0.1:0", "--origin-tls", "127.0.0.1:0"];
    for who in ["--proxy", "--socks", "--gateway", "--dns"] {
        let ended = attack(&[&[who, &nobody][..], &origin].concat());
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{who}: {ended:?}");
        assert!(said.contains(&nobody) && said.lines().count() == 1 && ended.stdout.is_empty(), "{who}: {said}");
    }
}

#[test]
fn who_can_do_nothing_of_it_has_not_succeeded() {
    let somebody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = somebody.local_addr().unwrap().to_string();
    let ended = attack(&[
        "--proxy",
        &proxy,
        "--case",
        "dns-36-allowed",
        "--origin-http",
        "127.0.0.1:0",
        "--origin-tls",
        "127.0.0.1:0",
    ]);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(said.contains("no case is applicable"), "{said}");
}

#[test]
fn what_there_is_to_choose_from_is_told() {
    for (args, words) in [
        (["--peer", "g3proxy"], "haproxy, sniproxy, dnsmasq, installed]"),
        (["--family", "nosuch"], "there is no family nosuch, but address, control, dns,"),
        (["--proxy", "localhost:3128"], "'--proxy <IP:PORT>'"),
    ] {
        let said = String::from_utf8(attack(&args).stderr).unwrap();
        assert!(said.contains(words), "{args:?}: {said}");
    }
}
