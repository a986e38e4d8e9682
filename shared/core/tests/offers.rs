//! What git offers a host, as tables: lock or tip, placement, content, removals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::calendar::Calendar;
use tidegate_core::compose::{ContainerModel, ImageRef, Service, StackModel};
use tidegate_core::desired::Naming;
use tidegate_core::ids::{CommitId, ContentId, Digest, EnvironmentName, HostName, ReleaseNumber, StackName};
use tidegate_core::lock::{Lock, LockedStack, ReleaseKind, SCHEMA};
use tidegate_core::offers::{Basis, ForHost, LockBasis, Present, Removal, offers};
use tidegate_core::plan::{Offer, Waiting};
use tidegate_core::repo::{ApprovalPolicy, BotIdentity, Environment, Host, Placement, Repo, Settings};

fn stack_name(name: &str) -> StackName {
    name.try_into().unwrap()
}

fn production() -> EnvironmentName {
    "production".try_into().unwrap()
}

fn host_name() -> HostName {
    "web-1".try_into().unwrap()
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn digest() -> Digest {
    format!("sha256:{}", "d".repeat(64)).parse().unwrap()
}

fn model(name: &str) -> StackModel {
    let image = ImageRef { registry: "registry.example".into(), repository: name.into(), tag: Some("1".into()), digest: None };
    let service = Service::new(ContainerModel::new(image));
    StackModel {
        name: stack_name(name),
        services: BTreeMap::from([("web".try_into().unwrap(), service)]),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
    }
}

fn images(name: &str) -> BTreeMap<String, Digest> {
    BTreeMap::from([(format!("registry.example/{name}:1"), digest())])
}

/// A repo with one host `web-1` (role: web) and one lock, built by naming stacks.
struct World {
    repo: Repo,
    lock: Lock,
    models: BTreeMap<StackName, Result<StackModel, String>>,
    present: BTreeMap<StackName, Present>,
}

fn world() -> World {
    let me =
        Host { name: host_name(), environment: production(), labels: BTreeMap::from([("role".into(), "web".into())]), events_key: None };
    let environment = Environment {
        name: production(),
        stacks: BTreeMap::new(),
        calendar: Calendar::default(),
        approvals: ApprovalPolicy::None,
        holds: Vec::new(),
        overrides: Vec::new(),
    };
    let repo = Repo {
        settings: Settings {
            environments: vec![production()],
            people: BTreeMap::new(),
            bot: BotIdentity { name: "bot".into(), email: "bot@example.org".into(), keys: Vec::new() },
            chat: Default::default(),
        },
        environments: vec![environment],
        hosts: BTreeMap::from([(host_name(), me)]),
        stacks: BTreeMap::new(),
        locks: BTreeMap::new(),
    };
    let lock = Lock {
        schema: SCHEMA,
        environment: production(),
        release: ReleaseNumber(7),
        kind: ReleaseKind::Release,
        commit: commit('a'),
        plan: ContentId::of_bytes(b"plan"),
        created_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        requested_by: None,
        reason: None,
        stacks: BTreeMap::new(),
        approvals: Vec::new(),
        holds: Vec::new(),
        freezes: Vec::new(),
        overrides: Vec::new(),
    };
    World { repo, lock, models: BTreeMap::new(), present: BTreeMap::new() }
}

impl World {
    fn placed(mut self, name: &str, labels: &[(&str, &str)]) -> Self {
        let hosts = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.repo.environments[0].stacks.insert(stack_name(name), Placement { hosts });
        self.repo.stacks.insert((production(), stack_name(name)), model(name));
        self
    }

    fn locked(mut self, name: &str) -> Self {
        let content = model(name).pinned(&images(name)).content();
        let entry = LockedStack { release: ReleaseNumber(5), commit: commit('b'), content, images: images(name) };
        self.lock.stacks.insert(stack_name(name), entry);
        self.models.insert(stack_name(name), Ok(model(name)));
        self
    }

    fn present(mut self, names: &[&str]) -> Self {
        self.present.extend(names.iter().map(|name| (stack_name(name), Present { containers: 2, removal: Removal::ByRule })));
        self
    }

    fn confirmed(mut self, name: &str) -> Self {
        self.present.insert(stack_name(name), Present { containers: 2, removal: Removal::Confirmed });
        self
    }

    fn offers(&self, basis: Basis<'_>) -> BTreeMap<StackName, Offer> {
        let (host, environment, naming) = (host_name(), production(), Naming { prefix: "p-".into() });
        offers(&basis, &ForHost { host: &host, environment: &environment, naming: &naming, present: &self.present })
    }

    fn by_lock(&self) -> BTreeMap<StackName, Offer> {
        self.offers(Basis::Lock(LockBasis { lock: &self.lock, repo: &self.repo, models: &self.models, newcomer: None }))
    }

    fn by_tip(&self) -> BTreeMap<StackName, Offer> {
        self.offers(Basis::Tip { commit: &commit('c'), repo: &self.repo })
    }
}

/// One line per offer.
fn shown(offers: &BTreeMap<StackName, Offer>) -> Vec<String> {
    let line = |offer: &Offer| match offer {
        Offer::Stack(desired) => {
            let release = desired.release.map_or("-".to_owned(), |r| r.to_string());
            format!("stack {} release {release} commit {}", desired.project, &desired.commit.as_str()[..1])
        }
        Offer::Nothing(_) => "nothing".to_owned(),
        Offer::Unknown(waiting) => waiting.as_ref().map_or("unknown", Waiting::code).to_owned(),
    };
    offers.iter().map(|(name, offer)| format!("{name}: {}", line(offer))).collect()
}

#[test]
fn a_lock_offers_what_it_names_where_its_commit_places_it() {
    let world = world().placed("shop", &[("role", "web")]).locked("shop").placed("db", &[("role", "db")]).locked("db").placed("new", &[]);
    assert_eq!(shown(&world.by_lock()), ["shop: stack p-shop release 5 commit b"]);
    let Offer::Stack(shop) = &world.by_lock()[&stack_name("shop")] else { panic!() };
    assert_eq!(shop.services[0].containers[0].model.image.digest, Some(digest()), "the lock's digests are filled in");
}

#[test]
fn without_a_lock_the_tip_is_offered_without_a_number() {
    let world = world().placed("shop", &[("role", "web")]).placed("db", &[("role", "db")]);
    assert_eq!(shown(&world.by_tip()), ["shop: stack p-shop release - commit c"]);
}

#[test]
fn another_content_than_the_approved_one_is_not_offered() {
    let mut world = world().placed("shop", &[]).locked("shop");
    world.lock.stacks.get_mut(&stack_name("shop")).unwrap().content = ContentId::of_bytes(b"other");
    assert_eq!(shown(&world.by_lock()), ["shop: content_mismatch"]);
    world.models.insert(stack_name("shop"), Err("compose.yaml:3: unknown key".into()));
    assert_eq!(shown(&world.by_lock()), ["shop: config_refused"]);
    world.models.clear();
    assert_eq!(shown(&world.by_lock()), ["shop: config_refused"]);
}

#[test]
fn a_digest_that_the_lock_lacks_is_another_content() {
    let mut world = world().placed("shop", &[]).locked("shop");
    world.lock.stacks.get_mut(&stack_name("shop")).unwrap().images.clear();
    assert_eq!(shown(&world.by_lock()), ["shop: content_mismatch"]);
}

#[test]
fn a_host_newer_than_the_lock_is_placed_by_its_own_file() {
    let mut world = world().placed("shop", &[("role", "web")]).locked("shop");
    let me = world.repo.hosts.remove(&host_name()).unwrap();
    assert_eq!(shown(&world.by_lock()), Vec::<String>::new());
    let basis = LockBasis { lock: &world.lock, repo: &world.repo, models: &world.models, newcomer: Some(&me) };
    assert_eq!(shown(&world.offers(Basis::Lock(basis))), ["shop: stack p-shop release 5 commit b"]);
}

#[test]
fn a_host_of_another_environment_is_offered_nothing_and_loses_nothing() {
    let mut world = world().placed("shop", &[]).locked("shop").present(&["shop"]);
    world.repo.hosts.get_mut(&host_name()).unwrap().environment = "staging".try_into().unwrap();
    assert_eq!(shown(&world.by_lock()), ["shop: config_refused"]);
    assert_eq!(shown(&world.by_tip()), ["shop: config_refused"]);
}

#[test]
fn what_cannot_be_told_leaves_everything_as_it_is() {
    let world = world().present(&["shop", "db"]);
    assert_eq!(shown(&world.offers(Basis::NoRelease { repo: &world.repo })), ["db: no_release", "shop: no_release"]);
    assert_eq!(shown(&world.offers(Basis::Unusable { cause: "x" })), ["db: config_refused", "shop: config_refused"]);
}

#[test]
fn the_lock_of_another_environment_offers_nothing() {
    let mut world = world().placed("shop", &[]).locked("shop").present(&["shop"]);
    world.lock.environment = "staging".try_into().unwrap();
    assert_eq!(shown(&world.by_lock()), ["shop: config_refused"]);
}

#[test]
fn what_would_be_placed_waits_for_the_first_release() {
    let world = world().placed("shop", &[]);
    assert_eq!(shown(&world.offers(Basis::NoRelease { repo: &world.repo })), ["shop: no_release"]);
}

#[test]
fn removals_are_held_when_they_are_many_or_all() {
    let four = ["a", "b", "c", "d"];
    let cases: [(&[&str], &[&str], &str); 7] = [
        (&["a"], &["a"], ""),                                                              // nothing goes
        (&["a"], &["a", "b"], "b: nothing"),                                               // one of two may go
        (&[], &["a"], "a: removal_held"),                                                  // all, though only one
        (&["new"], &["a"], "a: nothing"),                                                  // a rename
        (&["a", "b"], &four, "c: removal_held d: removal_held"),                           // two of four are 50 %
        (&["a", "b", "c", "e", "f"], &["a", "b", "c", "d", "g"], "d: nothing g: nothing"), // two of seven are 28 %
        (&[], &four, "a: removal_held b: removal_held c: removal_held d: removal_held"),
    ];
    for (placed, present, expected) in cases {
        let world = placed.iter().fold(world(), |world, name| world.placed(name, &[]).locked(name)).present(present);
        let gone: Vec<String> = shown(&world.by_lock()).into_iter().filter(|line| !line.contains("stack")).collect();
        assert_eq!(gone.join(" "), expected, "placed {placed:?}, present {present:?}");
    }
}

#[test]
fn a_confirmed_removal_goes_on() {
    let world = world().present(&["a"]).confirmed("b");
    assert_eq!(shown(&world.by_lock()), ["a: removal_held", "b: nothing"]);
}

#[test]
fn offers_do_not_depend_on_what_else_is_locked() {
    let small = world().placed("shop", &[]).locked("shop");
    let large = world().placed("shop", &[]).locked("shop").placed("api", &[]).locked("api");
    let hashes = |w: &World| match &w.by_lock()[&stack_name("shop")] {
        Offer::Stack(desired) => desired.services[0].containers.iter().map(|c| c.hash.clone()).collect::<BTreeSet<_>>(),
        _ => BTreeSet::new(),
    };
    assert_eq!(hashes(&small), hashes(&large));
    assert_eq!(hashes(&small).len(), 1);
}
