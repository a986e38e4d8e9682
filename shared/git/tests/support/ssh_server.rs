//! A real `sshd` for the current user on a free port of the loopback interface.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidegate_git::keys::SigningKey;
use tidegate_git::{Credentials, SshCredentials};

/// How long the server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

pub struct SshServer {
    sshd: Child,
    port: u16,
    dir: PathBuf,
    key_file: PathBuf,
}

impl SshServer {
    /// Host keys of two kinds, so that a client that pins one must ask for it; one user key that may get in.
    pub fn start(dir: &Path) -> SshServer {
        let dir = dir.join("ssh");
        std::fs::create_dir_all(&dir).unwrap();
        // The folder that sshd, started as root, leaves its privileges in.
        let _ = std::fs::create_dir_all("/run/sshd");
        for kind in ["ecdsa", "ed25519"] {
            let file = dir.join(format!("host_{kind}"));
            let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&file).status().unwrap();
            assert!(made.success());
        }
        let key = SigningKey::generate().unwrap();
        let key_file = dir.join("user_key");
        key.save(&key_file).unwrap();
        std::fs::write(dir.join("authorized_keys"), format!("{}\n", key.public_openssh())).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = dir.display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_ecdsa\nHostKey {at}/host_ed25519\nAuthorizedKeysFile {at}/authorized_keys\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nMaxStartups 100\n"
        );
        std::fs::write(dir.join("sshd_config"), config).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let sshd = sshd.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config")).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let server = SshServer { sshd, port, dir, key_file };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < START_PATIENCE, "sshd does not listen: {}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub fn url(&self, repository: &Path) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        format!("ssh://{}@127.0.0.1:{}{}", String::from_utf8(user).unwrap().trim(), self.port, repository.display())
    }

    /// The public key of the given kind as `ssh-keyscan` prints it, without the host.
    pub fn host_key(&self, kind: &str) -> String {
        std::fs::read_to_string(self.dir.join(format!("host_{kind}.pub"))).unwrap().trim().to_owned()
    }

    pub fn credentials(&self) -> Credentials {
        self.credentials_with(&self.host_key("ed25519"))
    }

    pub fn credentials_with(&self, host_key: &str) -> Credentials {
        Credentials::Ssh(SshCredentials { key_file: self.key_file.clone(), host_key: host_key.to_owned() })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// How many logins there were.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Stops listening; sessions that are open stay.
    pub fn stop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.stop();
    }
}
