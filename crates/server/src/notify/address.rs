//! Which addresses a channel may reach: none that is private, unless its settings allow it.
//!
//! What is judged are the addresses that are really connected to: those written in a URL before a request, those of a
//! name at the moment they are looked up for the connection. A name that changes in between gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses of a name that are looked at; who has more is found by the first.
const ADDRESSES_MAX: usize = 32;

/// What is nobody's business outside, and what that is.
const PRIVATE: [(&str, &str); 33] = [
    ("0.0.0.0/8", "this very machine"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a private address of a provider"),
    ("127.0.0.0/8", "this very machine"),
    ("168.63.129.16/32", "an address where a cloud tells of its machines"),
    ("169.254.0.0/16", "an address of the link, where clouds tell of their machines"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a reserved address"),
    ("192.0.2.0/24", "an address for examples"),
    ("192.88.99.0/24", "a reserved address"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for measurements"),
    ("198.51.100.0/24", "an address for examples"),
    ("203.0.113.0/24", "an address for examples"),
    ("224.0.0.0/4", "an address of many"),
    ("240.0.0.0/4", "a reserved address"),
    ("::/128", "this very machine"),
    ("::1/128", "this very machine"),
    ("64:ff9b:1::/48", "a private address"),
    ("100::/64", "an address that leads nowhere"),
    // Teredo hides an IPv4 address that nobody can judge; the others of 2001::/23 are for protocols.
    ("2001::/23", "a reserved address"),
    ("2001:db8::/32", "an address for examples"),
    ("3fff::/20", "an address for examples"),
    ("fc00::/7", "a private address"),
    ("fe80::/10", "an address of the link"),
    ("fec0::/10", "a private address"),
    ("ff00::/8", "an address of many"),
    // All that is not handed out.
    ("::/3", "a reserved address"),
    ("4000::/2", "a reserved address"),
    ("8000::/2", "a reserved address"),
    ("c000::/3", "a reserved address"),
    ("e000::/4", "a reserved address"),
    ("f000::/4", "a reserved address"),
];

static RANGES: LazyLock<Vec<(IpNet, &str)>> = LazyLock::new(|| {
    let parsed = |(range, what): &(&str, &'static str)| {
        (range.parse().expect("the ranges above are written as ranges, which a test sees"), *what)
    };
    PRIVATE.iter().map(parsed).collect()
});

/// Why a connection is not even tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    /// It would lead inside.
    #[error("{host} is {address}, {what}: a channel reaches such addresses only with allow_private = true")]
    Private {
        /// The name asked for.
        host: String,
        /// What it leads to.
        address: IpAddr,
        /// What that is.
        what: &'static str,
    },
    /// There is no such name.
    #[error("{host} has no address: check how it is written")]
    Unknown {
        /// The name asked for.
        host: String,
    },
}

/// What is not public about an address; `None` when it is public.
pub(crate) fn privacy(address: IpAddr) -> Option<&'static str> {
    if let IpAddr::V6(six) = address
        && let Some(four) = inner(six)
    {
        return privacy(IpAddr::V4(four));
    }
    RANGES.iter().find(|(range, _)| range.contains(&address)).map(|(_, what)| *what)
}

/// The IPv4 address that packets for this one reach in the end.
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let joined = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        // Mapped, translated, and translated by the well-known gateway.
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => joined(g, h),
        // Compatible, as it was called once; the last two are no such address.
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => joined(g, h),
        // 6to4.
        [0x2002, high, low, ..] => joined(high, low),
        // ISATAP.
        [.., 0 | 0x200, 0x5efe] => joined(g, h),
        _ => None,
    }
}

/// The address that is written in a URL in the place of a name. None is looked up for such a one.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether a name can only be this machine.
pub(super) fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Refuses a host that is seen to be private before any name is looked up.
///
/// # Errors
/// When it is, and may not be reached.
pub(super) fn refuse_written(host: &str, allow_private: bool) -> Result<(), AddressError> {
    if allow_private {
        return Ok(());
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = if is_local_name(bare) { Some(Ipv4Addr::LOCALHOST.into()) } else { bare.parse::<IpAddr>().ok() };
    match address.and_then(|address| privacy(address).map(|what| (address, what))) {
        Some((address, what)) => Err(AddressError::Private { host: host.to_owned(), address, what }),
        None => Ok(()),
    }
}

/// The addresses that may be connected to.
///
/// # Errors
/// When there is none.
fn admit(host: &str, found: Vec<IpAddr>, allow_private: bool) -> Result<Vec<IpAddr>, AddressError> {
    let mut refused = None;
    let mut admitted = Vec::new();
    for address in found.into_iter().take(ADDRESSES_MAX) {
        match privacy(address) {
            Some(what) if !allow_private => {
                refused = Some(AddressError::Private { host: host.to_owned(), address, what });
            }
            _ => admitted.push(address),
        }
    }
    if admitted.is_empty() {
        return Err(refused.unwrap_or_else(|| AddressError::Unknown { host: host.to_owned() }));
    }
    Ok(admitted)
}

/// What knows the addresses of names.
pub(crate) trait Names: Send + Sync + 'static {
    /// All addresses of a name.
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The names as the system knows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// Looks names up, and tells only of addresses that may be reached.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) names: Arc<dyn Names>,
    pub(super) allow_private: bool,
}

impl Guard {
    /// The addresses of a name, or of an address written as such, that may be connected to.
    ///
    /// # Errors
    /// An [`AddressError`], or what the system says of the name.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(written) => vec![written],
            Err(_) => self.names.look_up(host.to_owned()).await?,
        };
        Ok(admit(host, found, self.allow_private)?)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "\
        1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 \
        169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
        223.255.255.255 168.63.129.15 2606:4700::1111 2a00:1450::1 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 \
        2002:101:101::1";
    const INSIDE: &str = "\
        0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 \
        127.255.255.254 168.63.129.16 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 \
        192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 \
        255.255.255.255 :: ::1 ::2 ::7f00:1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe \
        ::ffff:0:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1.1.1.1 2002:7f00:1::1 \
        2002:a9fe:a9fe::1 2002:c0a8:101:: 2001::1 2001:db8::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 \
        febf::1 ff02::1 100::1 4000::1 5f00::1 8000::1 c000::1 e000::1 f000::1 2a00::5efe:10.0.0.1 \
        2a00::200:5efe:7f00:1";

    fn check(addresses: &str, is_public: bool) {
        for address in addresses.split_whitespace() {
            let parsed = address.parse().unwrap();
            assert_eq!(privacy(parsed).is_none(), is_public, "{address}: {:?}", privacy(parsed));
        }
    }

    #[test]
    fn only_what_is_handed_out_to_everybody_is_public() {
        check(PUBLIC, true);
        check(INSIDE, false);
    }

    /// What may be written in a URL and how much of it is seen without looking a name up.
    #[test]
    fn a_literal_is_seen_however_it_is_written() {
        for (url, refused) in [
            ("http://127.0.0.1/", true),
            ("http://2130706433/", true),
            ("http://0x7f000001/", true),
            ("http://0177.0.0.1/", true),
            ("http://017700000001/", true),
            ("http://127.1/", true),
            ("http://0/", true),
            ("http://①②⑦.0.0.1/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://[0:0:0:0:0:ffff:a9fe:a9fe]/", true),
            ("http://[64:ff9b::7f00:1]/", true),
            ("http://localhost/", true),
            ("http://LOCALHOST./", true),
            ("http://a.localhost/", true),
            ("http://169.254.169.254/latest/meta-data", true),
            ("http://user@10.0.0.1:80/", true),
            ("http://1.1.1.1/", false),
            ("http://[2606:4700::1111]/", false),
            ("http://example.com/", false),
            ("http://localhost.example.com/", false),
        ] {
            let parsed = Url::parse(url).unwrap();
            let host = parsed.host_str().unwrap();
            assert_eq!(refuse_written(host, false).is_err(), refused, "{url} is {host}");
            assert_eq!(refuse_written(host, true), Ok(()));
        }
    }

    #[test]
    fn of_a_name_only_what_is_public_remains() {
        let parse = |addresses: &[&str]| addresses.iter().map(|one| one.parse().unwrap()).collect::<Vec<IpAddr>>();
        let public = parse(&["1.1.1.1"]);
        assert_eq!(admit("h", parse(&["10.0.0.1", "1.1.1.1", "::1"]), false), Ok(public));
        assert_eq!(admit("h", parse(&["10.0.0.1"]), true), Ok(parse(&["10.0.0.1"])));
        let error = admit("hooks.example", parse(&["10.0.0.1"]), false).unwrap_err().to_string();
        assert!(error.starts_with("hooks.example is 10.0.0.1, a private address: ") && error.contains("allow_private"));
        assert!(matches!(admit("h", Vec::new(), false), Err(AddressError::Unknown { .. })));
    }
}
