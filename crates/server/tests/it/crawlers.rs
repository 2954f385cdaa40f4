//! Whether a crawler is the one it says it is, asked of name servers behind the door.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use simple_dns::rdata::{A, AAAA, PTR, RData};
use simple_dns::{CLASS, Name, Packet, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::net::UdpSocket;

use crate::server::{Server, until};

const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const BINGBOT: &str = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";
const GPTBOT: &str =
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)";

/// A name server that knows a few names, and remembers what it was asked.
#[derive(Clone)]
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// One that answers from this list of names and what they have; the name `broken` makes it fail.
    async fn start(records: &[(&str, &str)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: socket.local_addr().unwrap(), asked: Arc::default() };
        let mut known: HashMap<String, Vec<String>> = HashMap::new();
        for (name, has) in records {
            known.entry((*name).to_owned()).or_default().push((*has).to_owned());
        }
        let asked = Arc::clone(&server.asked);
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                let answer = answer(&bytes[..length], &known, &asked);
                // Somebody else's answer comes first, and is none.
                let mut forged = answer.clone();
                forged[0] ^= 1;
                socket.send_to(&forged, from).await.unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        server
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(question: &[u8], known: &HashMap<String, Vec<String>>, asked: &Mutex<Vec<String>>) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    let name = packet.questions[0].qname.to_string();
    asked.lock().unwrap().push(name.clone());
    let records = known.get(&name);
    if records.is_none() {
        *packet.rcode_mut() = RCODE::NameError;
    }
    for has in records.into_iter().flatten() {
        let rdata = match (packet.questions[0].qtype, has.parse::<IpAddr>()) {
            _ if has == "broken" => {
                *packet.rcode_mut() = RCODE::ServerFailure;
                break;
            }
            (QTYPE::TYPE(TYPE::PTR), Err(_)) => RData::PTR(PTR(Name::new_unchecked(has))),
            (QTYPE::TYPE(TYPE::A), Ok(IpAddr::V4(ip))) => RData::A(A { address: ip.into() }),
            (QTYPE::TYPE(TYPE::AAAA), Ok(IpAddr::V6(ip))) => RData::AAAA(AAAA { address: ip.into() }),
            _ => continue,
        };
        packet.answers.push(ResourceRecord::new(Name::new_unchecked(&name), CLASS::IN, 60, rdata));
    }
    packet.build_bytes_vec().unwrap()
}

/// What is said of the next event of a crawler at an address.
async fn verified(server: &Server, agent: &str, ip: &str) -> Value {
    let event = json!({ "method": "GET", "path": "/", "status": 200, "ip": ip, "user_agent": agent });
    server.send(&event).await;
    let kept = server.events(&format!("ip={ip}&_sort=-_sequence&_limit=1")).await.remove(0);
    assert_eq!(kept["client"]["kind"], "crawler", "{kept}");
    kept["client"]["verified"].clone()
}

/// What is said once the name server was asked, and that before it nothing is.
async fn settled(server: &Server, agent: &str, ip: &str) -> Value {
    assert_eq!(verified(server, agent, ip).await, json!(null), "{agent} {ip}: nobody waits for the answer");
    until("the answer", async || Some(verified(server, agent, ip).await).filter(|found| !found.is_null())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_vouch_for_crawlers() {
    let names = NameServer::start(&[
        ("1.66.249.66.in-addr.arpa", "Crawl-66-249-66-1.GoogleBot.com"),
        ("crawl-66-249-66-1.googlebot.com", "66.249.66.1"),
        // Anybody can say so of his address.
        ("8.8.8.8.in-addr.arpa", "crawl-66-249-66-1.googlebot.com"),
        ("7.8.8.8.in-addr.arpa", "crawl.googlebot.com.evil.example"),
        ("7.8.8.8.in-addr.arpa", "notgooglebot.com"),
        ("crawl.googlebot.com.evil.example", "8.8.8.7"),
        ("9.8.8.8.in-addr.arpa", "broken"),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.1.0.8.4.0.6.8.4.1.0.0.2.ip6.arpa", "other.google.com"),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.1.0.8.4.0.6.8.4.1.0.0.2.ip6.arpa", "crawl-v6.googlebot.com"),
        ("crawl-v6.googlebot.com", "2001:4860:4801:10::1"),
    ])
    .await;
    // The first server is away.
    let servers = format!("127.0.0.1:9,{}", names.address);
    let server = Server::start_with(&[("EVERLOG_NAME_SERVERS", &servers)]).await;
    for (agent, ip, expected) in [
        (GOOGLEBOT, "66.249.66.1", true),
        (BINGBOT, "66.249.66.1", false),
        (GOOGLEBOT, "8.8.8.8", false),
        (GOOGLEBOT, "8.8.8.7", false),
        (GOOGLEBOT, "8.8.8.6", false),
        (GOOGLEBOT, "2001:4860:4801:10::1", true),
    ] {
        assert_eq!(settled(&server, agent, ip).await, json!(expected), "{agent} {ip}");
    }
    assert!(!names.asked().iter().any(|name| name.contains("evil")), "only names that fit are asked for");
    // Who is inside, or has no names to know him by, is not asked for.
    let before = names.asked().len();
    for (agent, ip) in [(GOOGLEBOT, "10.0.0.7"), (GOOGLEBOT, "203.0.113.9"), (GPTBOT, "8.8.4.4")] {
        assert_eq!(verified(&server, agent, ip).await, json!(false), "{agent} {ip}");
    }
    // What was answered is kept.
    assert_eq!(verified(&server, GOOGLEBOT, "66.249.66.1").await, json!(true));
    assert_eq!(names.asked().len(), before);
    assert_eq!(verified(&server, GOOGLEBOT, "8.8.8.9").await, json!(null));
    until("the question", async || names.asked().iter().find(|name| *name == "9.8.8.8.in-addr.arpa").cloned()).await;
    assert_eq!(verified(&server, GOOGLEBOT, "8.8.8.9").await, json!(null), "nobody could say");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_name_servers_nothing_is_missing_and_nothing_said() {
    let server = Server::start_with(&[("EVERLOG_NAME_SERVERS", "127.0.0.1:9")]).await;
    for _ in 0..3 {
        assert_eq!(verified(&server, GOOGLEBOT, "66.249.66.1").await, json!(null));
    }
    assert!(!server.said().contains("name server"), "{}", server.said());
    let off = Server::start().await;
    assert_eq!(verified(&off, GOOGLEBOT, "66.249.66.1").await, json!(false));
}
