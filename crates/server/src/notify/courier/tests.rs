use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::notify::HttpMessage;

fn job(id: u64, channel: &str) -> Job {
    let settings = serde_json::json!({"kind": "slack", "url": "https://hooks.example/x"});
    let channel = Arc::new(Channel::parse(channel, &settings, None).unwrap());
    let message = HttpMessage { body: id.to_string().into_bytes(), content_type: String::new(), headers: Vec::new() };
    Job { id, channel, message: Message::Http(message) }
}

/// Keeps jobs until they arrived, and tells of each outcome.
struct Kept {
    jobs: Mutex<Vec<Job>>,
    told: mpsc::UnboundedSender<(u64, bool)>,
    refuses: AtomicBool,
}

impl Outbox for Kept {
    fn due(&self, busy: &HashSet<String>, limit: usize) -> anyhow::Result<Vec<Job>> {
        let jobs = self.jobs.lock().unwrap();
        Ok(jobs.iter().filter(|job| !busy.contains(&job.channel.name)).take(limit).cloned().collect())
    }

    fn settled(&self, job: &Job, outcome: &Result<Delivered, NotDelivered>) -> anyhow::Result<()> {
        if self.refuses.swap(false, Ordering::Relaxed) {
            bail!("the disk is full");
        }
        let is_over = outcome.as_ref().err().is_none_or(|failed| failed.permanent);
        self.jobs.lock().unwrap().retain(|one| one.id != job.id || !is_over);
        self.told.send((job.id, outcome.is_ok())).ok();
        Ok(())
    }
}

/// Channels behave as they are called.
#[derive(Default)]
struct Post {
    release: Notify,
    sent: Mutex<Vec<u64>>,
}

impl Deliver for Post {
    async fn deliver(&self, channel: &Channel, message: &Message) -> Result<Delivered, NotDelivered> {
        let Message::Http(message) = message else { panic!() };
        let id: u64 = String::from_utf8(message.body.clone()).unwrap().parse().unwrap();
        let times = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(id);
            sent.iter().filter(|one| **one == id).count()
        };
        match channel.name.as_str() {
            "slow" => self.release.notified().await,
            "broken" => return Err(NotDelivered::never("gone")),
            "flaky" if times == 1 => return Err(NotDelivered::later("away")),
            "mad" if times == 1 => panic!("on purpose"),
            _ => {}
        }
        Ok(Delivered::default())
    }
}

struct Running {
    outbox: Arc<Kept>,
    post: Arc<Post>,
    told: mpsc::UnboundedReceiver<(u64, bool)>,
    posted: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn run(jobs: &[(u64, &str)]) -> Running {
    let (told, receiver) = mpsc::unbounded_channel();
    let jobs = Mutex::new(jobs.iter().map(|(id, channel)| job(*id, channel)).collect());
    let outbox = Arc::new(Kept { jobs, told, refuses: AtomicBool::new(false) });
    let post = Arc::new(Post::default());
    let (posted, stopping) = (watch::Sender::new(0), watch::Sender::new(false));
    let signals = Signals { posted: posted.subscribe(), stopping: stopping.subscribe() };
    let mut courier = Courier::new(Arc::clone(&outbox) as Arc<dyn Outbox>, Arc::clone(&post), signals);
    courier.rest = Duration::from_millis(1);
    Running { outbox, post, told: receiver, posted, stopping, task: tokio::spawn(courier.run()) }
}

impl Running {
    /// The next outcomes, sorted: channels are served beside each other.
    async fn outcomes(&mut self, count: usize) -> Vec<(u64, bool)> {
        let mut found = Vec::new();
        while found.len() < count {
            found.push(self.told.recv().await.unwrap());
        }
        found.sort_unstable();
        found
    }

    async fn stop(self) -> (Arc<Kept>, Arc<Post>) {
        self.stopping.send_replace(true);
        self.task.await.unwrap();
        (self.outbox, self.post)
    }
}

#[tokio::test]
async fn one_slow_channel_delays_no_other() {
    let mut running = run(&[(1, "slow"), (2, "slow"), (3, "quick"), (4, "quick"), (5, "broken"), (6, "broken")]);
    assert_eq!(running.outcomes(4).await, [(3, true), (4, true), (5, false), (6, false)]);
    running.outbox.jobs.lock().unwrap().push(job(7, "quick"));
    running.posted.send_modify(|count| *count += 1);
    assert_eq!(running.outcomes(1).await, [(7, true)]);
    running.post.release.notify_one();
    assert_eq!(running.outcomes(1).await, [(1, true)]);
    running.post.release.notify_one();
    assert_eq!(running.outcomes(1).await, [(2, true)]);
    let (outbox, post) = running.stop().await;
    assert!(outbox.jobs.lock().unwrap().is_empty());
    let sent = post.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 7, "each is sent once: {sent:?}");
}

#[tokio::test]
async fn what_failed_is_sent_again_and_before_what_came_after_it() {
    let mut running = run(&[(1, "flaky"), (2, "flaky")]);
    assert_eq!(running.outcomes(1).await, [(1, false)]);
    // Two is not tried until the outbox hands both out again.
    assert_eq!(running.outcomes(2).await, [(1, true), (2, false)]);
    assert_eq!(running.outcomes(1).await, [(2, true)]);
    assert_eq!(*running.stop().await.1.sent.lock().unwrap(), [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_became_of_a_notice_is_kept_before_the_next_goes() {
    let mut running = run(&[(1, "quick"), (2, "quick")]);
    running.outbox.refuses.store(true, Ordering::Relaxed);
    assert_eq!(running.outcomes(2).await, [(1, true), (2, true)]);
    assert_eq!(*running.stop().await.1.sent.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_mistake_of_ours_stops_nothing() {
    let mut running = run(&[(1, "mad"), (2, "quick")]);
    assert_eq!(running.outcomes(2).await, [(1, true), (2, true)]);
    running.stop().await;
}

#[tokio::test]
async fn more_channels_than_are_served_at_once_are_served_too() {
    let names: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    let jobs: Vec<(u64, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
    let mut running = run(&jobs);
    assert_eq!(running.outcomes(40).await.len(), 40);
    running.stop().await;
}

#[tokio::test]
async fn a_stop_ends_what_is_under_way_and_starts_nothing() {
    let running = run(&[(1, "slow"), (2, "slow")]);
    while running.post.sent.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    running.post.release.notify_one();
    running.stopping.send_replace(true);
    let (outbox, post) = running.stop().await;
    assert_eq!(*post.sent.lock().unwrap(), [1]);
    assert_eq!(outbox.jobs.lock().unwrap().len(), 1, "what is left is due after the next start");
}

#[test]
fn a_thread_of_its_own_sends_and_ends() {
    let (told, mut receiver) = mpsc::unbounded_channel();
    let jobs = Mutex::new(vec![job(1, "quick")]);
    let outbox = Arc::new(Kept { jobs, told, refuses: AtomicBool::new(false) });
    let (posted, stopping) = (watch::Sender::new(0), watch::Sender::new(false));
    let signals = Signals { posted: posted.subscribe(), stopping: stopping.subscribe() };
    let notifying = start(outbox, Arc::new(Post::default()), signals).unwrap();
    assert_eq!(receiver.blocking_recv(), Some((1, true)));
    stopping.send_replace(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(notifying.end());
}
