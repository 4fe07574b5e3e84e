//! The real Caddy or nginx with the example of `etc/`, in which only addresses and paths are changed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use integration_tests::binaries;
use integration_tests::certificates::Authority;
use integration_tests::process::Process;
use integration_tests::sandbox::Sandbox;
use integration_tests::until::{PATIENCE, wait_until};

/// The name by which clients address the proxy, which every machine can resolve.
pub(crate) const NAME: &str = "localhost";

/// The proxy program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Caddy,
    Nginx,
}

/// A running proxy.
pub(crate) struct Front {
    process: Process,
    port: u16,
}

/// The receiver's address for a proxy.
pub(crate) enum Upstream<'a> {
    Socket(&'a Path),
    /// `127.0.0.1:PORT`
    Address(&'a str),
}

/// Maximum number of ports that are tried, because another program may take a free port first.
const TRIES: usize = 5;

impl Front {
    /// Starts the proxy and waits until it accepts connections.
    pub(crate) fn start(
        sandbox: &Sandbox,
        kind: Kind,
        authority: &Authority,
        upstream: &Upstream<'_>,
    ) -> Self {
        authority.server(NAME);
        (0..TRIES)
            .find_map(|_| {
                let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
                let example = example(kind, authority, upstream, port);
                let process = match kind {
                    Kind::Caddy => caddy(sandbox, &example),
                    Kind::Nginx => nginx(sandbox, &example),
                };
                process.map(|process| Self { process, port })
            })
            .unwrap_or_else(|| panic!("{TRIES} ports were taken by others"))
    }

    /// Asks the proxy to end, as the service manager does.
    pub(crate) fn stop(mut self) {
        let status = self.process.terminate();
        assert!(status.success(), "the proxy ended with {status}:\n{}", self.process.log());
    }

    /// Returns its address for clients.
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// Returns its address without scheme and name, for a relay in front of it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Returns the URL of a port of the loopback interface.
pub(crate) fn url(port: u16) -> String {
    format!("https://{NAME}:{port}")
}

/// Returns the example with the addresses and paths of the test. Fails if a text to be replaced is missing.
fn example(kind: Kind, authority: &Authority, upstream: &Upstream<'_>, port: u16) -> String {
    let file = |name: &str| authority.ca().with_file_name(name).display().to_string();
    let (path, mut places) = match kind {
        Kind::Caddy => (
            "etc/caddy/Caddyfile",
            vec![
                ("https://collector.wg {", format!("{} {{", url(port))),
                ("bind 0.0.0.0", "bind 127.0.0.1".to_owned()),
            ],
        ),
        Kind::Nginx => (
            "etc/nginx/cis490.conf",
            vec![
                ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
                ("server_name collector.wg;", format!("server_name {NAME};")),
            ],
        ),
    };
    places.extend([
        ("/etc/cis490/collector.pem", file(&format!("{NAME}.pem"))),
        ("/etc/cis490/collector.key", file(&format!("{NAME}.key"))),
        ("/etc/cis490/ca.pem", file("ca.pem")),
        match (kind, upstream) {
            (Kind::Caddy, Upstream::Socket(path)) => (
                "reverse_proxy unix//run/cis490/receiver.sock",
                format!("reverse_proxy unix/{}", path.display()),
            ),
            (Kind::Caddy, Upstream::Address(address)) => {
                ("reverse_proxy unix//run/cis490/receiver.sock", format!("reverse_proxy {address}"))
            }
            (Kind::Nginx, Upstream::Socket(path)) => {
                ("server unix:/run/cis490/receiver.sock", format!("server unix:{}", path.display()))
            }
            (Kind::Nginx, Upstream::Address(address)) => {
                ("server unix:/run/cis490/receiver.sock", format!("server {address}"))
            }
        },
    ]);
    let mut text = fs::read_to_string(binaries::workspace().join(path)).unwrap();
    for (from, to) in places {
        assert_eq!(text.matches(from).count(), 1, "`{path}` does not have `{from}` once");
        text = text.replace(from, &to);
    }
    text
}

/// Starts Caddy; `None` if its port is taken.
fn caddy(sandbox: &Sandbox, example: &str) -> Option<Process> {
    let config = sandbox.free("Caddyfile", "");
    fs::write(&config, example).unwrap();
    let mut command = sandbox.command("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
    let mut process = Process::start(sandbox, "caddy", command);
    started(&mut process, |log| log.contains("serving initial configuration")).then_some(process)
}

/// Starts nginx; `None` if its port is taken. nginx needs the rest of a configuration around the example, as in
/// Debian's package. It writes its pid once it has its port.
fn nginx(sandbox: &Sandbox, example: &str) -> Option<Process> {
    let dir = sandbox.free("nginx", "");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("cis490.conf"), example).unwrap();
    fs::write(dir.join("nginx.conf"), NGINX_CONF).unwrap();
    let mut command = sandbox.command("nginx");
    command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(&dir);
    let mut process = Process::start(sandbox, "nginx", command);
    let pid = dir.join("nginx.pid");
    started(&mut process, |_| fs::read(&pid).is_ok_and(|text| !text.is_empty())).then_some(process)
}

/// The relevant parts of Debian's nginx.conf, with every path below the prefix. The `user` line lets the workers run as
/// root, because another user could not access the sandbox. It does nothing if the test does not run as root.
const NGINX_CONF: &str = "\
daemon off;
user root;
pid nginx.pid;
error_log stderr info;
events { worker_connections 128; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    ssl_prefer_server_ciphers on;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include cis490.conf;
}
";

/// Waits for a proxy to be ready. Returns false if it ended because another program has its port.
fn started(process: &mut Process, is_ready: impl Fn(&str) -> bool) -> bool {
    wait_until("the proxy is ready", PATIENCE, || {
        let (status, log) = (process.status(), process.log());
        let Some(status) = status else { return is_ready(&log).then_some(true) };
        assert!(log.to_lowercase().contains("address already in use"), "the proxy ended ({status}):\n{log}");
        Some(false)
    })
}
