//! Mirrors of repositories on this machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;
use support::{Origin, change, committer, git_with, origin, run, signature_options};
use tidegate_core::files::RepoFiles;
use tidegate_core::ids::CommitId;
use tidegate_git::{
    Change, CommitError, Committed, FirstCommit, GitError, Identity, Mirror, Reader, RemoteSettings, create_bare, keys::SigningKey,
    verify_commit,
};

async fn mirror(origin: &Origin) -> Mirror {
    Mirror::open(&origin.mirror_dir("a"), RemoteSettings::new(origin.url(), "main")).await.unwrap()
}

fn text(files: &RepoFiles, path: &str) -> String {
    String::from_utf8(files.get(&path.parse().unwrap()).unwrap().bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn poll_sees_a_push_and_fetches_nothing() {
    let origin = origin();
    let first = origin.commit(&[("a", "1")]);
    let mirror = mirror(&origin).await;
    assert_eq!(mirror.poll().await.unwrap(), first);
    assert_eq!(mirror.local_tip().await.unwrap(), None);
    assert_eq!(mirror.fetch().await.unwrap(), first);
    let second = origin.commit(&[("a", "2")]);
    assert_eq!(mirror.poll().await.unwrap(), second);
    assert_eq!(mirror.local_tip().await.unwrap(), Some(first));
}

#[tokio::test]
async fn the_first_fetch_brings_the_tip_only_and_later_ones_what_is_new() {
    let origin = origin();
    let first = origin.commit(&[("a", "1")]);
    let second = origin.commit(&[("stacks/shop/compose.yaml", "services: {}\n"), ("a", "2")]);
    let mirror = mirror(&origin).await;
    mirror.fetch().await.unwrap();
    let bare = origin.mirror_dir("a/mirror.git");
    assert_eq!(run(&bare, &["rev-list", "--count", second.as_str()]), "1");
    let files = mirror.files(&second).await.unwrap();
    assert_eq!((text(&files, "a"), text(&files, "stacks/shop/compose.yaml")), ("2".into(), "services: {}\n".into()));
    let third = origin.commit(&[("a", "3")]);
    mirror.fetch().await.unwrap();
    assert_eq!(run(&bare, &["rev-list", "--count", third.as_str()]), "2");
    assert_eq!(text(&mirror.files(&third).await.unwrap(), "a"), "3");
    // An older commit, as a lock may name it, is brought by id and needs no remote afterwards.
    assert_eq!(text(&mirror.files(&first).await.unwrap(), "a"), "1");
    std::fs::rename(&origin.bare, origin.root.path().join("gone")).unwrap();
    let again = Mirror::open(&origin.mirror_dir("a"), RemoteSettings::new(origin.url(), "main")).await.unwrap();
    assert_eq!(text(&again.files(&first).await.unwrap(), "a"), "1");
    assert!(again.poll().await.unwrap_err().is_away());
    run(&bare, &["fsck", "--connectivity-only"]);
}

#[tokio::test]
async fn the_next_snapshot_shares_what_did_not_change() {
    let origin = origin();
    let first = origin.commit(&[("stacks/a/x", "same"), ("stacks/b/y", "1")]);
    let mirror = mirror(&origin).await;
    mirror.fetch().await.unwrap();
    let before = mirror.files(&first).await.unwrap();
    let second = origin.commit(&[("stacks/b/y", "2")]);
    mirror.fetch().await.unwrap();
    let after = mirror.files(&second).await.unwrap();
    let bytes = |files: &RepoFiles, path: &str| files.get(&path.parse().unwrap()).unwrap().bytes.clone();
    assert!(std::sync::Arc::ptr_eq(&bytes(&before, "stacks/a/x"), &bytes(&after, "stacks/a/x")));
    assert_ne!(bytes(&before, "stacks/b/y"), bytes(&after, "stacks/b/y"));
}

#[tokio::test]
async fn descent_is_told_truly_over_cut_history_and_forced_pushes() {
    let origin = origin();
    let commits: Vec<CommitId> = (0..5).map(|n| origin.commit(&[("a", &n.to_string())])).collect();
    let mirror = mirror(&origin).await;
    mirror.fetch().await.unwrap();
    assert!(mirror.descends(&commits[4], &commits[4]).await.unwrap());
    assert!(mirror.descends(&commits[4], &commits[0]).await.unwrap(), "needs more history than was fetched");
    assert!(!mirror.descends(&commits[0], &commits[4]).await.unwrap());
    run(&origin.work, &["reset", "-q", "--hard", commits[2].as_str()]);
    let forced = origin.commit(&[("a", "evil")]);
    assert_eq!(mirror.fetch().await.unwrap(), forced);
    assert!(!mirror.descends(&forced, &commits[4]).await.unwrap());
    assert!(mirror.descends(&forced, &commits[2]).await.unwrap());
}

#[tokio::test]
async fn a_forced_push_onto_a_fresh_mirror_is_seen() {
    let origin = origin();
    origin.commit(&[("a", "1")]);
    let base = origin.commit(&[("a", "2")]);
    let trusted = origin.commit(&[("a", "3")]);
    let mirror = mirror(&origin).await;
    mirror.fetch().await.unwrap();
    run(&origin.work, &["reset", "-q", "--hard", base.as_str()]);
    let forced = origin.commit(&[("a", "evil")]);
    mirror.fetch().await.unwrap();
    assert!(!mirror.descends(&forced, &trusted).await.unwrap());
    run(&origin.work, &["checkout", "-q", "--orphan", "other"]);
    let unrelated = origin.commit(&[("a", "worse")]);
    mirror.fetch().await.unwrap();
    assert!(!mirror.descends(&unrelated, &trusted).await.unwrap());
}

#[tokio::test]
async fn links_submodules_and_large_files_are_refused_by_name_and_the_rest_is_read() {
    let origin = origin();
    let mirror = mirror(&origin).await;
    std::os::unix::fs::symlink("/etc/passwd", origin.work.join("stack.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc", origin.work.join("folder")).unwrap();
    std::fs::write(origin.work.join("big.bin"), vec![0; 1024 * 1024 + 1]).unwrap();
    std::fs::write(origin.work.join("a\nb"), "x").unwrap();
    std::fs::create_dir(origin.work.join("sub")).unwrap();
    origin.commit(&[("ok", "1"), ("inside/ok", "2")]);
    run(&origin.work, &["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", "a".repeat(40))]);
    run(&origin.work, &["commit", "-q", "-m", "a submodule"]);
    let tip = origin.push();
    mirror.fetch().await.unwrap();
    let files = mirror.files(&tip).await.unwrap();
    assert_eq!(files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["inside/ok", "ok"]);
    let refused: Vec<(&str, &str)> = files.refused().collect();
    let table =
        [("a\\nb", "control"), ("big.bin", "1048576"), ("folder", "symbolic link"), ("stack.yaml", "symbolic link"), ("sub", "submodule")];
    assert_eq!(refused.len(), table.len(), "{refused:?}");
    for ((path, reason), (expected, word)) in refused.iter().zip(table) {
        assert!(*path == expected && (word == "control" || reason.contains(word)), "{path}: {reason}");
    }
    // A commit on top of it is made all the same, and leaves what it cannot read as it is.
    let made =
        mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("releases/production.yaml", "release: 1\n")))).await.unwrap();
    let kept = run(&origin.bare, &["ls-tree", "-r", made.commit().as_str()]);
    assert!(kept.contains("120000 blob") && kept.contains("160000 commit") && kept.contains("releases/production.yaml"), "{kept}");
    run(&origin.bare, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_commit_is_authored_by_the_person_and_signed_by_the_bot() {
    let origin = origin();
    let base = origin.commit(&[("releases/old.yaml", "x"), ("keep", "1")]);
    let mirror = mirror(&origin).await;
    let bot = committer();
    let mut wanted = change("releases/production.yaml", "release: 1\n");
    wanted.writes.insert("releases/old.yaml".parse().unwrap(), None);
    let made = mirror.commit(&bot, |tip, _| Ok::<_, Infallible>((*tip == base).then(|| wanted.clone()))).await.unwrap();
    let Committed::Pushed { commit, onto, tries: 1 } = &made else { panic!("{made:?}") };
    assert_eq!(
        (*onto == base, mirror.poll().await.unwrap() == *commit, mirror.local_tip().await.unwrap().as_ref() == Some(commit)),
        (true, true, true)
    );
    let shown = run(&origin.bare, &["show", "-s", "--format=%an <%ae> %cn <%ce> %P", commit.as_str()]);
    assert_eq!(shown, format!("Bob Example <bob@example.org> tidegate-bot <bot@example.org> {base}"));
    assert_eq!(run(&origin.bare, &["ls-tree", "-r", "--name-only", commit.as_str()]), "keep\nreleases/production.yaml");
    let log = git_with(&origin.bare, &signature_options(origin.root.path(), &bot.key), &["log", "-1", "--show-signature"]);
    assert!(log.contains("Good \"git\" signature for bot@example.org"), "{log}");
    let raw = mirror.raw_commit(commit).await.unwrap();
    assert_eq!(verify_commit(&raw, &[bot.key.public()]).unwrap().parents, [base]);
    run(&origin.bare, &["fsck", "--strict"]);
}

#[tokio::test]
async fn nothing_to_do_makes_no_commit() {
    let origin = origin();
    let tip = origin.commit(&[("a", "1")]);
    let mirror = mirror(&origin).await;
    let none = mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(None)).await.unwrap();
    let same = mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "1")))).await.unwrap();
    assert_eq!((none, same), (Committed::Nothing { tip: tip.clone() }, Committed::Nothing { tip: tip.clone() }));
    let failed = mirror.commit(&committer(), |_, _| Err("no")).await;
    assert!(matches!(failed, Err(CommitError::Make("no"))));
    let conflict = mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a/b", "x")))).await;
    assert!(matches!(conflict, Err(CommitError::Change { .. })), "{conflict:?}");
    assert_eq!(mirror.poll().await.unwrap(), tip);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn committers_that_race_all_land() {
    let origin = origin();
    origin.commit(&[("count", "")]);
    let mut tasks = Vec::new();
    for number in 0..6 {
        let mirror = Mirror::open(&origin.mirror_dir(&number.to_string()), RemoteSettings::new(origin.url(), "main")).await.unwrap();
        tasks.push(tokio::spawn(async move {
            // Each adds its line to the same file, so a lost update shows.
            mirror
                .commit(&committer(), |_, files| Ok::<_, Infallible>(Some(change("count", &format!("{}{number}\n", text(files, "count"))))))
                .await
                .unwrap()
        }));
    }
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Committed::Pushed { .. }));
    }
    let mut lines: Vec<String> = run(&origin.bare, &["show", "main:count"]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(run(&origin.bare, &["rev-list", "--count", "--merges", "main"]), "0");
    run(&origin.bare, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_created_repository_can_be_followed_and_cloned() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("new.git");
    let mut files = RepoFiles::default();
    files.insert_text("stacks/shop/compose.yaml".parse().unwrap(), "services: {}\n");
    let key = SigningKey::generate().unwrap();
    let first = FirstCommit { branch: "main", files: &files, message: "first", identity: &Identity::new("A", "a@b"), key: Some(&key) };
    let commit = create_bare(&path, &first).unwrap();
    assert!(create_bare(&path, &first).is_err(), "an existing repository was overwritten");
    run(root.path(), &["clone", "-q", "new.git", "clone"]);
    assert_eq!(std::fs::read_to_string(root.path().join("clone/stacks/shop/compose.yaml")).unwrap(), "services: {}\n");
    let mirror = Mirror::open(&root.path().join("m"), RemoteSettings::new(path.display().to_string(), "main")).await.unwrap();
    assert_eq!(mirror.fetch().await.unwrap(), commit);
    assert_eq!(*mirror.files(&commit).await.unwrap(), files);
    assert!(matches!(
        Mirror::open(&root.path().join("m"), RemoteSettings::new(path.display().to_string(), "other")).await.unwrap().poll().await,
        Err(GitError::NoBranch { .. })
    ));
}

#[tokio::test]
async fn the_log_names_people_since_a_commit() {
    let origin = origin();
    let commits: Vec<CommitId> = (0..4).map(|n| origin.commit(&[("a", &n.to_string())])).collect();
    let mirror = mirror(&origin).await;
    mirror.fetch().await.unwrap();
    let log = mirror.log(Some(&commits[0]), &commits[3], 10).await.unwrap();
    assert_eq!(log.iter().map(|info| &info.id).collect::<Vec<_>>(), [&commits[3], &commits[2], &commits[1]]);
    assert_eq!((log[0].author.name(), log[0].subject().as_str()), ("Alice Example", "change a"));
    assert_eq!(mirror.log(Some(&commits[0]), &commits[3], 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_of_several_files_is_one_commit() {
    let origin = origin();
    origin.commit(&[("a/b", "1"), ("a/c", "1")]);
    let mirror = mirror(&origin).await;
    let writes =
        BTreeMap::from([("a/b".parse().unwrap(), None), ("a/c".parse().unwrap(), None), ("d/e/f".parse().unwrap(), Some(b"x".to_vec()))]);
    let wanted = Change { writes, message: "m".into(), author: Identity::new("B", "b@c") };
    mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(wanted.clone()))).await.unwrap();
    assert_eq!(run(&origin.bare, &["ls-tree", "-r", "--name-only", "main"]), "d/e/f");
    run(&origin.bare, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_checked_out_branch_is_not_moved_below_somebodys_feet() {
    let origin = origin();
    let tip = origin.commit(&[("a", "1")]);
    let settings = RemoteSettings::new(origin.work.display().to_string(), "main");
    let mirror = Mirror::open(&origin.mirror_dir("a"), settings).await.unwrap();
    assert_eq!(mirror.fetch().await.unwrap(), tip);
    let made = mirror.commit(&committer(), |_, _| Ok::<_, Infallible>(Some(change("a", "2")))).await;
    assert!(matches!(made, Err(CommitError::Git(GitError::Rejected { .. }))), "{made:?}");
    assert_eq!(run(&origin.work, &["status", "--porcelain"]), "");
}

#[test]
fn a_reader_knows_commits_by_any_name_and_writes_nothing() {
    let origin = origin();
    let first = origin.commit(&[("a", "1")]);
    let second = origin.commit(&[("a", "2")]);
    let mut reader = Reader::open(&origin.bare).unwrap().unwrap();
    for name in ["main", "refs/heads/main", second.as_str(), &second.as_str()[..8]] {
        assert_eq!(reader.resolve(name).unwrap(), second, "{name}");
    }
    assert_eq!(reader.resolve("main~1").unwrap(), first);
    assert_eq!((text(&reader.files(&first).unwrap(), "a"), text(&reader.files(&second).unwrap(), "a")), ("1".into(), "2".into()));
    for name in ["nowhere", "", "main:a", "--help", &"x".repeat(1000)] {
        assert!(matches!(reader.resolve(name), Err(GitError::UnknownName { .. })), "{name}");
    }
    let unknown: CommitId = "1".repeat(40).parse().unwrap();
    assert!(matches!(reader.files(&unknown), Err(GitError::MissingCommit { .. })));
    assert!(Reader::open(origin.root.path()).unwrap().is_none());
}
