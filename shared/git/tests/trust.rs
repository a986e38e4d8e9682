//! The signer policy over a range of commits: what may be followed is followed, and each known way around it is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use jiff::Timestamp;
use std::path::PathBuf;
use support::{Origin, git, origin, run};
use tidegate_core::ids::CommitId;
use tidegate_core::trust::Rule;
use tidegate_git::keys::SigningKey;
use tidegate_git::{Judged, Mirror, RemoteSettings};

/// People, the bot, and somebody whom no policy names; each with a key.
struct Room {
    origin: Origin,
    mirror: Mirror,
    keys: Vec<(&'static str, SigningKey)>,
}

const PEOPLE: [&str; 4] = ["owner", "alice", "bot", "mallory"];

impl Room {
    /// A repo whose policy names owner (everything), alice (stacks and environments) and the bot (releases).
    async fn new() -> (Room, CommitId) {
        let origin = origin();
        let keys: Vec<_> = PEOPLE.into_iter().map(|name| (name, SigningKey::generate().unwrap())).collect();
        for (name, key) in &keys {
            key.save(&origin.root.path().join(name)).unwrap();
        }
        let mirror = Mirror::open(&origin.mirror_dir("a"), RemoteSettings::new(origin.url(), "main")).await.unwrap();
        let room = Room { origin, mirror, keys };
        let policy = room.policy(1, "");
        let first =
            room.commit("owner", &[("trust.yaml", &policy), ("stacks/shop/compose.yaml", "one\n"), ("tidegate.yaml", "schema: 1\n")]);
        (room, first)
    }

    fn key(&self, name: &str) -> String {
        self.keys.iter().find(|(known, _)| *known == name).unwrap().1.public_openssh()
    }

    fn policy(&self, version: u64, more: &str) -> String {
        let signer = |name: &str, role: &str| format!("  {name}: {{ key: \"{}\", roles: [{role}] }}\n", self.key(name));
        format!(
            "schema: 1\nversion: {version}\nsigners:\n{}{}{}roles:\n  owner: {{ paths: [/] }}\n  engineer: {{ paths: [stacks/, environments/] }}\n  \
             bot: {{ paths: [releases/] }}\n{more}",
            signer("owner", "owner"),
            signer("alice", "engineer"),
            signer("bot", "bot"),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.origin.root.path().join(name)
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.origin.work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        run(&self.origin.work, &["add", "-A"]);
    }

    /// Signs by git's own command line; nobody: unsigned.
    fn git_as(&self, who: &str, args: &[&str]) {
        let key = format!("user.signingkey={}", self.file(who).display());
        let sign = format!("commit.gpgsign={}", who != "nobody");
        let output = git(&self.origin.work).args(["-c", "gpg.format=ssh", "-c", &key, "-c", &sign]).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn commit(&self, who: &str, files: &[(&str, &str)]) -> CommitId {
        self.write(files);
        self.git_as(who, &["commit", "-q", "--allow-empty", "-m", "change"]);
        self.origin.push()
    }

    async fn judge(&self, from: &CommitId) -> Judged {
        self.judge_at(from, Timestamp::now()).await
    }

    async fn judge_at(&self, from: &CommitId, now: Timestamp) -> Judged {
        let tip = self.mirror.fetch().await.unwrap();
        self.mirror.judge(from, &tip, now).await.unwrap()
    }

    /// The whole range is refused at `commit`, and what came before it is good.
    async fn refused(&self, from: &CommitId, good: &CommitId, commit: &CommitId) -> Rule {
        let judged = self.judge(from).await;
        let refusal = judged.refused.unwrap_or_else(|| panic!("{commit} was trusted"));
        assert_eq!((&judged.good, &refusal.commit), (good, commit), "{}", refusal.rule);
        refusal.rule
    }
}

#[tokio::test]
async fn each_role_changes_its_own_part_and_the_policy_moves_on() {
    let (room, first) = Room::new().await;
    room.commit("alice", &[("stacks/shop/compose.yaml", "two\n")]);
    room.commit("bot", &[("releases/production.yaml", "lock\n")]);
    let policy = room.policy(2, "merges: exact\n");
    room.commit("owner", &[("trust.yaml", &policy), ("hosts/web-1.yaml", "host\n")]);
    let last = room.commit("alice", &[("environments/production.yaml", "windows\n")]);
    assert_eq!(room.judge(&first).await, Judged { good: last, refused: None, policy_version: Some(2) });
}

#[tokio::test]
async fn an_honest_signature_on_top_launders_nothing() {
    let (room, first) = Room::new().await;
    for evil in ["nobody", "mallory"] {
        let good = room.commit("alice", &[("stacks/shop/compose.yaml", &format!("before {evil}\n"))]);
        let bad = room.commit(evil, &[("stacks/shop/compose.yaml", &format!("by {evil}\n"))]);
        room.commit("bot", &[("releases/production.yaml", &format!("approved {evil}\n"))]);
        assert!(matches!(room.refused(&first, &good, &bad).await, Rule::Signature(_)));
        run(&room.origin.work, &["reset", "-q", "--hard", good.as_str()]);
    }
}

#[tokio::test]
async fn the_bot_changes_releases_only_and_nobody_grants_themselves_anything() {
    let (room, first) = Room::new().await;
    let cases: [(&str, &str, String); 5] = [
        ("bot", "stacks/shop/compose.yaml", "evil\n".into()),
        ("bot", "releases-old/x", "evil\n".into()),
        ("alice", "tidegate.yaml", "evil\n".into()),
        ("alice", "trust.yaml", room.policy(2, "").replace("[engineer]", "[owner]")),
        ("bot", "trust.yaml", room.policy(2, "")),
    ];
    for (who, path, text) in cases {
        let bad = room.commit(who, &[(path, &text)]);
        let rule = room.refused(&first, &first, &bad).await;
        assert!(matches!(&rule, Rule::Path { signer, path: named } if signer.as_str() == who && named == path), "{rule}");
        run(&room.origin.work, &["reset", "-q", "--hard", first.as_str()]);
    }
    // A rename takes the file away from where it was: both places count.
    room.git_as("bot", &["mv", "-k", "stacks/shop/compose.yaml", "moved"]);
    std::fs::create_dir_all(room.origin.work.join("releases")).unwrap();
    room.git_as("bot", &["mv", "moved", "releases/moved"]);
    let bad = room.commit("bot", &[]);
    assert!(matches!(room.refused(&first, &first, &bad).await, Rule::Path { .. }));
}

#[tokio::test]
async fn a_policy_goes_one_version_on_and_never_away_and_leaves_somebody_who_may_change_it() {
    let (room, first) = Room::new().await;
    let again = room.policy(1, "# the same version\n");
    let jump = room.policy(3, "");
    let broken = room.policy(2, "surprise: true\n");
    let nobody_left = room.policy(2, "").replace("paths: [/]", "paths: [stacks/]");
    let ended = room.policy(2, "").replace("roles: [owner] }", "roles: [owner], until: 2020-01-01T00:00:00Z }");
    for (text, what) in [(&again, "same"), (&jump, "jump"), (&broken, "broken"), (&nobody_left, "nobody"), (&ended, "ended")] {
        let bad = room.commit("owner", &[("trust.yaml", text)]);
        let rule = room.refused(&first, &first, &bad).await;
        let fits = match what {
            "same" => matches!(rule, Rule::PolicyVersion { from: 1, to: 1 }),
            "jump" => matches!(rule, Rule::PolicyVersion { from: 1, to: 3 }),
            "broken" => matches!(rule, Rule::PolicyBroken(_)),
            _ => rule == Rule::PolicyLocksOut,
        };
        assert!(fits, "{what}: {rule}");
        run(&room.origin.work, &["reset", "-q", "--hard", first.as_str()]);
    }
    std::fs::remove_file(room.origin.work.join("trust.yaml")).unwrap();
    let bad = room.commit("owner", &[]);
    assert_eq!(room.refused(&first, &first, &bad).await, Rule::PolicyRemoved);
    run(&room.origin.work, &["reset", "-q", "--hard", first.as_str()]);
    // An old policy does not come back as it was.
    let next = room.policy(2, "");
    let second = room.commit("owner", &[("trust.yaml", &next)]);
    let old = room.policy(1, "");
    let bad = room.commit("owner", &[("trust.yaml", &old)]);
    assert!(matches!(room.refused(&first, &second, &bad).await, Rule::PolicyVersion { from: 2, to: 1 }));
}

#[tokio::test]
async fn a_removed_key_counts_no_more_and_forking_before_its_removal_does_not_help() {
    let (room, first) = Room::new().await;
    let without_alice: String =
        room.policy(2, "merges: exact\n").lines().filter(|line| !line.contains("alice")).map(|line| format!("{line}\n")).collect();
    let removed = room.commit("owner", &[("trust.yaml", &without_alice)]);
    let bad = room.commit("alice", &[("stacks/shop/compose.yaml", "evil\n")]);
    assert!(matches!(room.refused(&first, &removed, &bad).await, Rule::Signature(_)));
    // She forks where her key still counted, and a forge merges the branch.
    run(&room.origin.work, &["checkout", "-q", "-b", "side", first.as_str()]);
    room.write(&[("stacks/shop/compose.yaml", "evil\n")]);
    room.git_as("alice", &["commit", "-q", "-m", "evil"]);
    let side = room.origin.head();
    run(&room.origin.work, &["checkout", "-q", "-B", "main", removed.as_str()]);
    room.git_as("nobody", &["merge", "-q", "--no-ff", "-m", "Merge", "side"]);
    room.origin.push();
    assert!(matches!(room.refused(&first, &removed, &side).await, Rule::Signature(_)));
}

#[tokio::test]
async fn a_key_ends_by_the_clock_of_who_judges_and_a_back_dated_commit_does_not_help() {
    let (room, _) = Room::new().await;
    let until = "until: 2040-01-01T00:00:00Z }";
    let policy = room.policy(2, "").replace("roles: [engineer] }", &format!("roles: [engineer], {until}"));
    let start = room.commit("owner", &[("trust.yaml", &policy)]);
    room.write(&[("stacks/shop/compose.yaml", "late\n")]);
    let key = format!("user.signingkey={}", room.file("alice").display());
    let made = git(&room.origin.work)
        .env("GIT_COMMITTER_DATE", "2019-01-01T00:00:00Z")
        .args(["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S", "-m", "back-dated"])
        .status();
    assert!(made.unwrap().success());
    let late = room.origin.push();
    let judged = room.judge_at(&start, "2039-12-31T23:59:59Z".parse().unwrap()).await;
    assert_eq!((judged.refused, judged.good), (None, late.clone()));
    let refusal = room.judge_at(&start, "2040-01-01T00:00:00Z".parse().unwrap()).await.refused.unwrap();
    assert!(matches!(refusal.rule, Rule::KeyEnded { .. }) && refusal.commit == late);
}

#[tokio::test]
async fn a_commit_from_the_future_waits() {
    let (room, first) = Room::new().await;
    let tip = room.commit("alice", &[("stacks/shop/compose.yaml", "two\n")]);
    let now = Timestamp::now();
    let early = room.judge_at(&first, now - jiff::SignedDuration::from_mins(10)).await;
    assert!(matches!(early.refused.map(|refusal| refusal.rule), Some(Rule::FromTheFuture(_))));
    assert_eq!(room.judge_at(&first, now - jiff::SignedDuration::from_mins(3)).await.good, tip);
}

/// A branch with a commit of its own, merged by who holds no key, as a forge's button does.
fn merged_by_a_forge(room: &Room, who: &str, path: &str) -> CommitId {
    let work = &room.origin.work;
    run(work, &["checkout", "-q", "-B", "feature", "main"]);
    room.write(&[(path, "feature\n")]);
    room.git_as(who, &["commit", "-q", "-m", "feature"]);
    run(work, &["checkout", "-q", "main"]);
    room.commit("alice", &[("environments/production.yaml", "meanwhile\n")]);
    room.git_as("nobody", &["merge", "-q", "--no-ff", "-m", "Merge pull request #1", "feature"]);
    room.origin.push()
}

#[tokio::test]
async fn the_merge_button_of_a_forge_works_when_the_policy_says_exact() {
    let (room, first) = Room::new().await;
    let merge = merged_by_a_forge(&room, "alice", "stacks/shop/compose.yaml");
    assert!(matches!(room.judge(&first).await.refused.unwrap().rule, Rule::MergeUnsigned(_)), "by default a merge is signed");
    run(&room.origin.work, &["reset", "-q", "--hard", first.as_str()]);
    let exact = room.policy(2, "merges: exact\n");
    let start = room.commit("owner", &[("trust.yaml", &exact)]);
    let again = merged_by_a_forge(&room, "alice", "stacks/shop/compose.yaml");
    assert_ne!(merge, again);
    assert_eq!(room.judge(&start).await, Judged { good: again, refused: None, policy_version: Some(2) });
}

#[tokio::test]
async fn a_merge_brings_in_nothing_that_its_sides_may_not() {
    let (room, _) = Room::new().await;
    let exact = room.policy(2, "merges: exact\n");
    let start = room.commit("owner", &[("trust.yaml", &exact)]);
    for (who, path) in [("mallory", "stacks/shop/compose.yaml"), ("nobody", "stacks/shop/compose.yaml"), ("alice", "tidegate.yaml")] {
        merged_by_a_forge(&room, who, path);
        let side = run(&room.origin.work, &["rev-parse", "feature"]).parse().unwrap();
        let refusal = room.judge(&start).await.refused.unwrap();
        assert_eq!(refusal.commit, side, "{who} {path}: {}", refusal.rule);
        run(&room.origin.work, &["reset", "-q", "--hard", start.as_str()]);
    }
    // An evil merge: both sides are honest, and the merge adds something of its own.
    merged_by_a_forge(&room, "alice", "stacks/shop/compose.yaml");
    room.write(&[("stacks/shop/compose.yaml", "slipped in\n")]);
    room.git_as("nobody", &["commit", "-q", "--amend", "--no-edit"]);
    let evil = room.origin.push();
    let refusal = room.judge(&start).await.refused.unwrap();
    assert_eq!((refusal.commit, refusal.rule), (evil, Rule::MergeNotExact));
    // The same by somebody who may change it is their commit like any other.
    room.git_as("owner", &["commit", "-q", "--amend", "--no-edit"]);
    let owned = room.origin.push();
    assert_eq!(room.judge(&start).await.good, owned);
}

#[tokio::test]
async fn the_branch_cannot_be_swapped_under_its_own_name() {
    let (room, first) = Room::new().await;
    let trusted = room.commit("alice", &[("stacks/shop/compose.yaml", "trusted\n")]);
    // A merge whose first parent is somebody's side branch, and whose second is what was trusted.
    run(&room.origin.work, &["checkout", "-q", "-B", "side", first.as_str()]);
    room.write(&[("stacks/shop/other.yaml", "side\n")]);
    room.git_as("alice", &["commit", "-q", "-m", "side"]);
    room.git_as("alice", &["merge", "-q", "--no-ff", "-m", "swap", trusted.as_str()]);
    let swapped = room.origin.push();
    assert_eq!(room.refused(&trusted, &trusted, &swapped).await, Rule::NotFirstParent);
}

#[tokio::test]
async fn without_a_policy_everything_counts_until_there_is_one() {
    let origin = origin();
    let first = origin.commit(&[("a", "1")]);
    let second = origin.commit(&[("a", "2")]);
    let mirror = Mirror::open(&origin.mirror_dir("a"), RemoteSettings::new(origin.url(), "main")).await.unwrap();
    let tip = mirror.fetch().await.unwrap();
    assert_eq!(
        mirror.judge(&first, &tip, Timestamp::now()).await.unwrap(),
        Judged { good: second.clone(), refused: None, policy_version: None }
    );
    assert_eq!(mirror.policy_at(&tip).await.unwrap(), None);
    let broken = origin.commit(&[("trust.yaml", "schema: 1\n")]);
    let tip = mirror.fetch().await.unwrap();
    let judged = mirror.judge(&first, &tip, Timestamp::now()).await.unwrap();
    assert_eq!((judged.good, judged.refused.unwrap().commit), (second, broken));
    assert!(mirror.policy_at(&tip).await.unwrap().unwrap().is_err());
}

/// Commits a tree as it is, with these parents and by whom, without a look at the work tree.
fn plumb(room: &Room, who: &str, tree: &str, parents: &[&str]) -> String {
    let work = &room.origin.work;
    let parents: Vec<&str> = parents.iter().flat_map(|parent| ["-p", parent]).collect();
    let key = format!("user.signingkey={}", room.file(who).display());
    let mut git = git(work);
    git.args(["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-m", "plumbed"]);
    if who != "nobody" {
        git.arg("-S");
    }
    let output = git.args(parents).arg(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn tree_of(room: &Room, commit: &str) -> String {
    run(&room.origin.work, &["rev-parse", &format!("{commit}^{{tree}}")])
}

fn push_as_main(room: &Room, commit: &str) -> CommitId {
    run(&room.origin.work, &["push", "-q", "--force", "origin", &format!("{commit}:refs/heads/main")]);
    commit.try_into().unwrap()
}

/// A merge that drops a side, and a second one that brings the dropped side back as if it had counted.
#[tokio::test]
async fn what_a_merge_left_behind_does_not_come_back_through_another() {
    let (room, _) = Room::new().await;
    let exact = room.policy(2, "merges: exact\n");
    let start = room.commit("owner", &[("trust.yaml", &exact)]);
    let main = start.as_str();
    let evil_policy = room.policy(3, "").replace(&room.key("owner"), &room.key("mallory"));
    room.write(&[("trust.yaml", &evil_policy), ("stacks/shop/compose.yaml", "evil\n")]);
    let evil_tree = run(&room.origin.work, &["write-tree"]);
    run(&room.origin.work, &["reset", "-q", "--hard", main]);
    let evil = plumb(&room, "nobody", &evil_tree, &[main]);
    let drops = plumb(&room, "bot", &tree_of(&room, main), &[main, &evil]);
    let inner = plumb(&room, "bot", &evil_tree, &[&evil, &drops]);
    let outer = plumb(&room, "nobody", &evil_tree, &[&drops, &inner]);
    push_as_main(&room, &outer);
    assert_eq!(room.judge(&start).await.good, start);
    // A lock can only name what is on the branch's own line.
    let (tip, evil): (CommitId, CommitId) = (outer.as_str().try_into().unwrap(), evil.as_str().try_into().unwrap());
    assert!(room.mirror.descends(&tip, &evil).await.unwrap() && !room.mirror.is_on_line(&tip, &evil).await.unwrap());
    assert!(room.mirror.is_on_line(&tip, &start).await.unwrap());
    // Nor does an older state of the branch, by a merge that the bot signs.
    let newer = room.commit("alice", &[("stacks/shop/compose.yaml", "newer\n")]);
    let back = plumb(&room, "bot", &tree_of(&room, main), &[main, newer.as_str()]);
    let outer = plumb(&room, "nobody", &tree_of(&room, main), &[newer.as_str(), &back]);
    push_as_main(&room, &outer);
    assert_eq!(room.judge(&start).await.good, newer);
}

#[tokio::test]
async fn a_removed_key_does_not_come_back_by_a_merge_the_other_way_round() {
    let (room, _) = Room::new().await;
    let exact = room.policy(2, "merges: exact\n");
    let start = room.commit("owner", &[("trust.yaml", &exact)]);
    let without: String =
        room.policy(3, "merges: exact\n").lines().filter(|line| !line.contains("alice")).map(|line| format!("{line}\n")).collect();
    let removed = room.commit("owner", &[("trust.yaml", &without)]);
    run(&room.origin.work, &["checkout", "-q", "-B", "side", start.as_str()]);
    room.write(&[("stacks/shop/compose.yaml", "evil\n")]);
    room.git_as("alice", &["commit", "-q", "-m", "evil"]);
    room.git_as("nobody", &["merge", "-q", "--no-ff", "-m", "the other way", removed.as_str()]);
    room.origin.push();
    // A host that has not seen the removal follows what alice made when her key counted, and not the merge.
    let refusal = room.judge(&start).await.refused.unwrap();
    assert_eq!(refusal.rule, Rule::MergeOfPolicy);
}

/// Ten small folders that name the next one ten times over: ten thousand million files in a few kilobytes.
#[tokio::test]
async fn a_bomb_of_folders_is_refused_at_once_whoever_made_it() {
    let (room, first) = Room::new().await;
    let work = &room.origin.work;
    let mktree = |text: &str| {
        let mut child = git(work).arg("mktree").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
    };
    std::fs::write(room.file("blob"), "x").unwrap();
    let blob = run(work, &["hash-object", "-w", room.file("blob").to_str().unwrap()]);
    let mut tree = mktree(&(0..10).map(|n| format!("100644 blob {blob}\tf{n}\n")).collect::<String>());
    for _ in 0..9 {
        tree = mktree(&(0..10).map(|n| format!("040000 tree {tree}\td{n}\n")).collect::<String>());
    }
    let listed = run(work, &["ls-tree", first.as_str()]);
    let bomb = mktree(&format!("{listed}\n040000 tree {tree}\tzz\n"));
    let began = std::time::Instant::now();
    for (who, rule) in [("nobody", "the commit is not signed"), ("owner", "it changes more than 20000 paths")] {
        // As a network transfer brings it; from a folder on this machine libgit2 packs it itself, and that takes for ever.
        let commit: CommitId = plumb(&room, who, &bomb, &[first.as_str()]).as_str().try_into().unwrap();
        room.mirror.fetch().await.unwrap();
        run(&room.origin.mirror_dir("a/mirror.git"), &["fetch", "-q", work.to_str().unwrap(), commit.as_str()]);
        let refusal = room.mirror.judge(&first, &commit, Timestamp::now()).await.unwrap().refused.unwrap();
        assert_eq!((refusal.commit, refusal.rule.to_string().as_str()), (commit, rule));
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
}

/// An empty folder, or a second entry of one name, is no way to change what nobody looks at.
#[tokio::test]
async fn an_empty_folder_counts_as_a_change() {
    let (room, first) = Room::new().await;
    let work = &room.origin.work;
    let empty = run(work, &["hash-object", "-t", "tree", "-w", "/dev/null"]);
    let listed = run(work, &["ls-tree", first.as_str()]);
    let mut child = git(work).arg("mktree").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let text = format!("{listed}\n040000 tree {empty}\tenvironments\n");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let tree = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned();
    let commit = push_as_main(&room, &plumb(&room, "bot", &tree, &[first.as_str()]));
    assert!(matches!(room.refused(&first, &first, &commit).await, Rule::Path { .. }));
}
