//! The console as people meet it: who sees what, and what is said once.

use super::*;
use crate::notice::{News, Notice};
use crate::people::Actor;
use crate::request::{CandidateRef, Outcome};
use crate::view::View;
use tidegate_core::ids::{CommitId, ReleaseNumber};
use tidegate_core::policy::Subject;

struct World {
    page: mpsc::Sender<Asked>,
    domain: mpsc::Receiver<Asked>,
    store: Store,
    news: Arc<Notify>,
    said: Arc<Notify>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
    _view: watch::Sender<Arc<View>>,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = Store::open(&folder.path().join("bot.sqlite")).unwrap();
    let (page, requests) = mpsc::channel(4);
    let (to_domain, domain) = mpsc::channel(4);
    let (view_writer, view) = watch::channel(Arc::new(View::empty(Timestamp::UNIX_EPOCH)));
    let (news, said, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()), CancellationToken::new());
    let local = Local { page: requests, domain: to_domain, store: store.clone(), view, news: news.clone(), said: said.clone() };
    let running = tokio::spawn(local.run(stop.clone()));
    World { page, domain, store, news, said, stop, running, _folder: folder, _view: view_writer }
}

fn candidate() -> CandidateRef {
    let commit: CommitId = "e".repeat(40).parse().unwrap();
    CandidateRef { environment: "production".parse().unwrap(), release: ReleaseNumber(3), commit, stacks: Vec::new() }
}

impl World {
    /// Asks as alice, and answers for the domain.
    async fn ask(&mut self, ask: Ask, outcome: Outcome, person: Option<&str>) -> Reply {
        let (answer, answered) = oneshot::channel();
        let actor = Actor { platform: NAME.into(), user: "alice".into() };
        self.page.send((Request { actor, ask }, answer)).await.unwrap();
        let (_, reply) = self.domain.recv().await.unwrap();
        reply.send(Reply { outcome, words: "the answer".into(), person: person.map(|name| name.parse().unwrap()) }).unwrap();
        answered.await.unwrap()
    }

    async fn lines(&self) -> Vec<(Option<String>, Option<String>, String)> {
        let chat = self.store.chat(100).await.unwrap();
        chat.into_iter().map(|(_, said)| (said.speaker, said.private_to.map(String::from), said.text)).collect()
    }
}

#[tokio::test]
async fn what_changes_something_is_for_everybody_and_the_rest_for_the_person() {
    let mut world = world();
    let approve = Command::Approve { environment: Some("production".parse().unwrap()), candidate: None };
    let expected = Some(Subject { commit: candidate().commit, plan: "a".repeat(64).parse().unwrap() });
    let reply = world.ask(Ask::Command { command: approve, expected }, Outcome::Rejected(candidate()), Some("alice")).await;
    assert_eq!(reply.words, "the answer");
    world.ask(Ask::Line("help".into()), Outcome::Help, Some("alice")).await;
    world.ask(Ask::Line("help".into()), Outcome::Help, None).await;
    let (alice, private) = (Some("alice".to_owned()), Some("alice".to_owned()));
    let expected = [
        (alice.clone(), None, "approve production eeeeeeeeee".to_owned()),
        (None, None, "the answer".to_owned()),
        (alice, private.clone(), "help".to_owned()),
        (None, private, "the answer".to_owned()),
    ];
    assert_eq!(world.lines().await, expected);
    world.stop.cancel();
    world.running.await.unwrap();
}

#[tokio::test]
async fn news_appear_once_however_often_it_is_woken() {
    let world = world();
    let news = News::Released { candidate: candidate(), changes: Vec::new() };
    let notice = Notice { at: Timestamp::UNIX_EPOCH, environment: Some("production".parse().unwrap()), news };
    for _ in 0..3 {
        world.store.notify("the key".into(), notice.clone()).await.unwrap();
        world.news.notify_one();
        tokio::time::timeout(Duration::from_millis(200), world.said.notified()).await.ok();
    }
    let lines = world.lines().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].2.contains("release 3"), "{lines:?}");
    world.stop.cancel();
    world.running.await.unwrap();
}

#[tokio::test]
async fn a_request_that_the_domain_has_taken_is_written_down_before_the_end() {
    let mut world = world();
    let (answer, answered) = oneshot::channel();
    let actor = Actor { platform: NAME.into(), user: "alice".into() };
    world.page.send((Request { actor, ask: Ask::Line("approve".into()) }, answer)).await.unwrap();
    let (_, reply) = world.domain.recv().await.unwrap();
    drop(answered); // the browser was closed
    world.stop.cancel();
    reply.send(Reply { outcome: Outcome::Rejected(candidate()), words: "done".into(), person: None }).unwrap();
    world.running.await.unwrap();
    let chat = world.store.chat(100).await.unwrap();
    assert_eq!(chat.len(), 2);
}
