//! Asks name servers for the names of an address and the addresses of a name: one question, one answer, over UDP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};
use tokio::net::UdpSocket;

/// How long a server may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Servers that are asked, one after the other, until one answers: as many as the system asks.
const SERVERS_MAX: usize = 3;

/// Bytes of an answer. Nobody said that more are taken, so that longer ones come cut off.
const ANSWER_BYTES_MAX: usize = 4096;

const PORT: u16 = 53;

/// Where the system says which servers it asks.
const SYSTEM_FILE: &str = "/etc/resolv.conf";

/// Nobody said yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameServers {
    /// Nobody.
    None,
    /// Whom the system asks, as it is when somebody is asked.
    System,
    /// These.
    These(Vec<SocketAddr>),
}

impl FromStr for NameServers {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "none" => return Ok(Self::None),
            "system" => return Ok(Self::System),
            _ => {}
        }
        let one = |part: &str| {
            let alone = part.trim().parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
            alone.or_else(|_| part.trim().parse::<SocketAddr>()).ok()
        };
        match text.split(',').map(one).collect::<Option<Vec<_>>>() {
            Some(servers) => Ok(Self::These(servers)),
            None => bail!("expected system, none, or addresses such as 192.0.2.53, found {text:?}"),
        }
    }
}

impl fmt::Display for NameServers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::System => formatter.write_str("system"),
            Self::These(servers) => {
                let print = |server: &SocketAddr| match server.port() {
                    PORT => server.ip().to_string(),
                    _ => server.to_string(),
                };
                formatter.write_str(&servers.iter().map(print).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl NameServers {
    /// The names that an address is given by whoever has it, in small letters.
    pub(super) async fn names_of(&self, ip: IpAddr) -> Result<Vec<String>, Unanswered> {
        let found = self.ask(&reverse(ip), TYPE::PTR).await?;
        let names = found.into_iter().filter_map(|record| match record {
            Record::Name(name) => Some(name.to_ascii_lowercase()),
            Record::Address(_) => None,
        });
        // A dot within a part of a name would make it look like one of another domain.
        let is_plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        Ok(names.filter(is_plain).collect())
    }

    /// The addresses of a name, of one family.
    pub(super) async fn addresses_of(&self, name: &str, is_v6: bool) -> Result<Vec<IpAddr>, Unanswered> {
        let found = self.ask(name, if is_v6 { TYPE::AAAA } else { TYPE::A }).await?;
        let addresses = found.into_iter().filter_map(|record| match record {
            Record::Address(address) => Some(address),
            Record::Name(_) => None,
        });
        Ok(addresses.collect())
    }

    /// What a name has, of the first server that knows: nothing if there is no such name.
    async fn ask(&self, name: &str, kind: TYPE) -> Result<Vec<Record>, Unanswered> {
        for server in self.addresses().await.into_iter().take(SERVERS_MAX) {
            match tokio::time::timeout(ANSWER_TIME, ask_one(server, name, kind)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => tracing::debug!("the name server {server} does not tell of {name}: {error:#}"),
                Err(_) => tracing::debug!("the name server {server} says nothing of {name}"),
            }
        }
        Err(Unanswered)
    }

    async fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::None => Vec::new(),
            Self::System => of_system(&tokio::fs::read_to_string(SYSTEM_FILE).await.unwrap_or_default()),
            Self::These(servers) => servers.clone(),
        }
    }
}

/// The servers that a file of the system names.
fn of_system(text: &str) -> Vec<SocketAddr> {
    let named = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    };
    text.lines().filter_map(named).collect()
}

/// What a name has.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    Name(String),
    Address(IpAddr),
}

/// The name under which the names of an address stand.
fn reverse(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            digits.map(|digit| format!("{digit:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

async fn ask_one(server: SocketAddr, name: &str, kind: TYPE) -> anyhow::Result<Vec<Record>> {
    // Only who sees the question knows its number and the port that it came from.
    let number = crate::outward::chance() as u16;
    let mut packet = Packet::new_query(number);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name)?, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    let own: IpAddr = if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(server).await?;
    socket.send(&packet.build_bytes_vec()?).await?;
    let mut bytes = [0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut bytes).await?;
        // What somebody else made up is passed over, and the answer still waited for.
        if let Some(answer) = answer_to(&packet, &bytes[..length]) {
            return read(&answer, kind);
        }
    }
}

/// The answer to a question, if it is one.
fn answer_to<'b>(asked: &Packet<'_>, bytes: &'b [u8]) -> Option<Packet<'b>> {
    let answer = Packet::parse(bytes).ok()?;
    let (question, answered) = (asked.questions.first()?, answer.questions.first()?);
    let is_same = answer.id() == asked.id() && answered.qname == question.qname && answered.qtype == question.qtype;
    (is_same && answer.has_flags(PacketFlag::RESPONSE)).then_some(answer)
}

/// What an answer says. Names that stand for others are followed by the server, which answers with both.
fn read(answer: &Packet<'_>, kind: TYPE) -> anyhow::Result<Vec<Record>> {
    match answer.rcode() {
        RCODE::NameError => return Ok(Vec::new()),
        RCODE::NoError if !answer.has_flags(PacketFlag::TRUNCATION) => {}
        RCODE::NoError => bail!("the answer is too long"),
        refused => bail!("it answers {refused:?}"),
    }
    let found = answer.answers.iter().filter_map(|record| match &record.rdata {
        RData::PTR(name) if kind == TYPE::PTR => Some(Record::Name(name.to_string())),
        RData::A(found) if kind == TYPE::A => Some(Record::Address(Ipv4Addr::from(found.address).into())),
        RData::AAAA(found) if kind == TYPE::AAAA => Some(Record::Address(Ipv6Addr::from(found.address).into())),
        _ => None,
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, PTR};

    use super::*;

    fn question() -> Packet<'static> {
        let mut packet = Packet::new_query(7);
        let name = Name::new("1.66.249.66.in-addr.arpa").unwrap();
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::PTR), CLASS::IN.into(), false));
        packet
    }

    /// An answer with a name, and an address that nobody asked for.
    fn answer() -> Vec<u8> {
        let mut packet = question().into_reply();
        let name = packet.questions[0].qname.clone();
        let has = [RData::PTR(PTR(Name::new_unchecked("crawl.googlebot.com"))), RData::A(A { address: 7 })];
        packet.answers.extend(has.map(|rdata| ResourceRecord::new(name.clone(), CLASS::IN, 60, rdata)));
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn an_answer_is_one_to_the_question() {
        let bytes = answer();
        let read_as = |kind| read(&answer_to(&question(), &bytes).unwrap(), kind).unwrap();
        assert_eq!(read_as(TYPE::PTR), [Record::Name("crawl.googlebot.com".to_owned())]);
        assert_eq!(read_as(TYPE::A), [Record::Address(IpAddr::from([0, 0, 0, 7]))]);
        let mut others = [question(), question()];
        others[0].set_id(8);
        others[1].questions[0].qname = Name::new("2.66.249.66.in-addr.arpa").unwrap();
        assert!(others.iter().all(|other| answer_to(other, &bytes).is_none()));
        assert!(answer_to(&question(), &question().build_bytes_vec().unwrap()).is_none(), "it is the question itself");
        let check = |flags: u16, expected: Option<usize>| {
            let mut bytes = answer();
            bytes[2..4].copy_from_slice(&flags.to_be_bytes());
            let found = read(&answer_to(&question(), &bytes).unwrap(), TYPE::PTR).ok();
            assert_eq!(found.map(|found| found.len()), expected, "{flags:x}");
        };
        check(0x8180, Some(1));
        check(0x8183, Some(0));
        // Cut off, failed, refused.
        for flags in [0x8380, 0x8182, 0x8185] {
            check(flags, None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(changes in proptest::collection::vec((0..200_usize, any::<u8>()), 0..8), end in 0..200_usize) {
            let mut bytes = answer();
            bytes.truncate(end);
            for (place, byte) in changes {
                if let Some(at) = bytes.get_mut(place) {
                    *at = byte;
                }
            }
            if let Some(answer) = answer_to(&question(), &bytes) {
                let _ = read(&answer, TYPE::PTR);
            }
        }
    }

    #[test]
    fn who_is_asked() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<NameServers>().ok().map(|servers| servers.to_string());
            assert_eq!(read.as_deref(), expected, "{text:?}");
        };
        check("none", Some("none"));
        check("system", Some("system"));
        check("192.0.2.53, 127.0.0.1:5353", Some("192.0.2.53,127.0.0.1:5353"));
        check("2001:db8::53,[::1]:5353", Some("2001:db8::53,[::1]:5353"));
        check("", None);
        check("dns.example", None);
        let file = "# nameserver 1.1.1.1\nsearch example\nnameserver 192.0.2.53\nnameserver\t::1\nnameserver fe80::1%2\nnameserver";
        assert_eq!(of_system(file), ["192.0.2.53:53", "[::1]:53"].map(|server| server.parse().unwrap()));
    }

    #[test]
    fn where_the_names_of_an_address_stand() {
        let check = |ip: &str, expected: &str| assert_eq!(reverse(ip.parse().unwrap()), expected, "{ip}");
        check("66.249.66.1", "1.66.249.66.in-addr.arpa");
        check("2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
