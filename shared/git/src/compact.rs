//! Joining packs: libgit2 adds one per fetch and never collects, so the mirror would slow down without end.
//!
//! Nothing is thrown away: commits that a lock names must be had when git is away. The largest pack stays as it is
//! when it outweighs the others together, so that joining costs what came since and not the whole history.

use crate::error::{self, GitError};
use crate::local;
use crate::store::{Incoming, Store};
use git2::{Odb, Oid, Repository};
use std::fs;
use std::path::{Path, PathBuf};

/// How many loose objects there may be, roughly: judged by one of the 256 folders.
const LOOSE_MAX: usize = 2048;
/// The folder that stands for all.
const SAMPLE_FOLDER: &str = "17";

/// What is to be joined.
struct Chosen {
    /// Files of packs, without extension.
    packs: Vec<PathBuf>,
    loose: Vec<PathBuf>,
}

/// Is it time?
pub(crate) fn is_due(store: &Store, packs_max: usize) -> Result<bool, GitError> {
    let sample = fs::read_dir(store.git_dir().join("objects").join(SAMPLE_FOLDER)).map_or(0, Iterator::count);
    Ok(store.pack_count()? > packs_max || sample > LOOSE_MAX / 256)
}

/// Joins packs and loose objects into one new pack, then removes them. The caller keeps readers and transfers away.
/// A crash in between leaves objects twice, never less than once.
pub(crate) fn join(store: &Store) -> Result<(), GitError> {
    let failed = error::disk("joining packs", &store.dir);
    let objects = store.git_dir().join("objects");
    let chosen = choose(&objects).map_err(&failed)?;
    let aside = store.incoming()?;
    link(&chosen, &objects, &aside).map_err(&failed)?;
    let written = write_joined(store, &aside.dir).map_err(error::mirror("joining packs", &store.dir))??;
    let keep = |stem: &&PathBuf| written.as_deref().is_none_or(|name| !stem.ends_with(format!("pack-{name}")));
    for stem in chosen.packs.iter().filter(keep) {
        // The index first: a pack without one is not seen.
        fs::remove_file(stem.with_extension("idx")).and_then(|()| fs::remove_file(stem.with_extension("pack"))).map_err(&failed)?;
    }
    chosen.loose.iter().try_for_each(fs::remove_file).map_err(&failed)
}

fn choose(objects: &Path) -> std::io::Result<Chosen> {
    let mut packs: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(objects.join("pack"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pack") && path.with_extension("idx").exists() {
            packs.push((fs::metadata(&path)?.len(), path.with_extension("")));
        }
    }
    packs.sort();
    let others: u64 = packs.iter().rev().skip(1).map(|(size, _)| size).sum();
    if packs.last().is_some_and(|(size, _)| *size > others) {
        packs.pop();
    }
    let mut loose = Vec::new();
    for folder in (0..=u8::MAX).map(|byte| objects.join(format!("{byte:02x}"))).filter(|folder| folder.exists()) {
        for entry in fs::read_dir(folder)? {
            loose.push(entry?.path());
        }
    }
    Ok(Chosen { packs: packs.into_iter().map(|(_, stem)| stem).collect(), loose })
}

/// Puts hard links to what was chosen where an object database of its own can be opened on it.
fn link(chosen: &Chosen, objects: &Path, aside: &Incoming) -> std::io::Result<()> {
    let link = |file: &Path| {
        let place = aside.dir.join(file.strip_prefix(objects).unwrap_or(file));
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::hard_link(file, place)
    };
    for stem in &chosen.packs {
        link(&stem.with_extension("pack"))?;
        link(&stem.with_extension("idx"))?;
    }
    chosen.loose.iter().try_for_each(|file| link(file))
}

/// The name of the new pack; none when there was nothing to join.
fn write_joined(store: &Store, aside: &Path) -> Result<Result<Option<String>, GitError>, git2::Error> {
    let odb = Odb::new()?;
    odb.add_disk_alternate(&aside.to_string_lossy())?;
    let mut ids: Vec<Oid> = Vec::new();
    odb.foreach(|id| {
        ids.push(*id);
        true
    })?;
    let repository = Repository::from_odb(odb)?;
    let mut builder = repository.packbuilder()?;
    for id in ids {
        builder.insert_object(id, None)?;
    }
    Ok(local::take_in(store, &mut builder).map(|()| builder.name().ok().flatten().map(str::to_owned)))
}
