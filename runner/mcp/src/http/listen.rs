//! Where the server listens: a port, or a socket that only its owner may open. It refuses addresses
//! that other machines reach unless that is asked for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hoist_model::reason::Trouble;
use tokio::net::{TcpListener, UnixListener};

use super::Stream;
use super::gate::PATH;

/// What an address of a socket begins with.
const UNIX: &str = "unix:";
/// What browsers and clients call this machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; any free port where it is 0.
    Port(SocketAddr),
    /// A socket.
    Socket(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            if path.is_empty() {
                return Err("a path is missing after `unix:`".to_owned());
            }
            return Ok(Self::Socket(PathBuf::from(path)));
        }
        let numbers = text.replace("localhost:", "127.0.0.1:");
        let address = numbers.parse().map(Self::Port);
        address.map_err(|_| "give ADDRESS:PORT, as 127.0.0.1:8808, or unix:PATH".to_owned())
    }
}

/// A place where clients may come.
pub struct Listener {
    at: At,
    hosts: Option<Vec<String>>,
}

enum At {
    Port(TcpListener, SocketAddr),
    Socket(UnixListener, PathBuf, u64),
}

impl Listener {
    /// Listens. `remote` lets other machines in, and `hosts` are the names by which they may call
    /// this one.
    ///
    /// # Errors
    /// When other machines would be let in unasked, or the address cannot be had.
    pub async fn open(listen: Listen, remote: bool, hosts: &[String]) -> Result<Self, Trouble> {
        match listen {
            Listen::Port(address) => {
                if !address.ip().is_loopback() && !remote {
                    return Err(Trouble::new(format!("{address} is open to other machines"))
                        .cause("whoever has the token could run pipelines here, and nothing on the way is encrypted")
                        .hint("listen on 127.0.0.1, or give --allow-remote and put a proxy with TLS before it"));
                }
                let bound = TcpListener::bind(address).await;
                let bound = bound.and_then(|bound| Ok((bound.local_addr()?, bound)));
                let (real, listener) = bound.map_err(|error| cannot(&address, error))?;
                let mut hosts: Vec<String> = hosts.to_vec();
                hosts.extend(LOCAL.map(ToOwned::to_owned));
                if !real.ip().is_unspecified() {
                    hosts.push(name(real.ip()));
                }
                Ok(Self {
                    at: At::Port(listener, real),
                    hosts: Some(hosts),
                })
            }
            Listen::Socket(path) => {
                let (listener, node) =
                    socket(&path).map_err(|error| cannot(&path.display(), error))?;
                Ok(Self {
                    at: At::Socket(listener, path, node),
                    // No name leads a browser to a socket.
                    hosts: None,
                })
            }
        }
    }

    /// The names by which clients may call it; `None` where any will do.
    pub(super) fn hosts(&self) -> Option<&[String]> {
        self.hosts.as_deref()
    }

    pub(super) async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match &self.at {
            At::Port(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            At::Socket(listener, _, _) => Box::new(listener.accept().await?.0),
        })
    }
}

impl fmt::Display for Listener {
    /// The address as clients are given it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Port(_, address) => write!(f, "http://{address}{PATH}"),
            At::Socket(_, path, _) => write!(f, "unix:{} ({PATH})", path.display()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let At::Socket(_, path, node) = &self.at {
            // Somebody else's is left alone.
            if path
                .symlink_metadata()
                .is_ok_and(|about| about.ino() == *node)
            {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn name(ip: IpAddr) -> String {
    ip.to_string()
}

fn cannot(place: &dyn fmt::Display, error: std::io::Error) -> Trouble {
    Trouble::new(format!("cannot listen on {place}"))
        .cause(error.to_string())
        .hint("give another address with --http; port 0 is any that is free")
}

/// Makes the socket in a folder that nobody else may enter and moves it to its place, so that it is
/// never open to others. One whose server is gone is replaced.
fn socket(path: &Path) -> std::io::Result<(UnixListener, u64)> {
    use std::io::{Error, ErrorKind};
    // A path too long for clients could still be moved to.
    std::os::unix::net::SocketAddr::from_pathname(path)?;
    if let Ok(about) = path.symlink_metadata() {
        if !about.file_type().is_socket() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "something else is there",
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(Error::new(
                ErrorKind::AddrInUse,
                "a server listens there already",
            ));
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::new(ErrorKind::NotFound, "its folder is not there"));
    }
    let private = tempfile::Builder::new().prefix(".h").tempdir_in(folder)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    let node = made.symlink_metadata()?.ino();
    std::fs::rename(&made, path)?;
    Ok((listener, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let port = Listen::from_str("localhost:0").unwrap();
        assert_eq!(port, Listen::Port("127.0.0.1:0".parse().unwrap()));
        let socket = Listen::from_str("unix:/run/x").unwrap();
        assert_eq!(socket, Listen::Socket(PathBuf::from("/run/x")));
        for wrong in ["", "8808", "unix:", "example.com:80", "127.0.0.1"] {
            assert!(Listen::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn other_machines_are_let_in_only_when_asked_for() {
        let all = || Listen::from_str("0.0.0.0:0").unwrap();
        let refused = Listener::open(all(), false, &[]).await.err().unwrap();
        assert!(refused.hint.unwrap().contains("--allow-remote"));
        let listener = Listener::open(all(), true, &["ci.example".to_owned()]).await;
        let hosts = listener.unwrap().hosts.clone().unwrap();
        assert!(hosts.contains(&"ci.example".to_owned()));
        assert!(!hosts.contains(&"0.0.0.0".to_owned()));
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let open = || Listener::open(Listen::Socket(path.clone()), false, &[]);
        let listener = open().await.unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let cause = open().await.err().unwrap().cause.unwrap();
        assert!(cause.contains("already"), "{cause}");
        drop(listener);
        assert!(!path.exists());
        // A server that was killed leaves its socket behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(open().await.is_ok());
        std::fs::write(&path, "mine").unwrap();
        assert!(open().await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
