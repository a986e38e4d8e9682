//! What `tidegate import` says and writes of its own.

use super::count;
use std::path::Path;
use tidegate_core::findings::Finding;
use tidegate_core::ids::{EnvironmentName, HostName, ServiceName, StackName};

/// For a finding that says by itself what would be right.
pub const GENERAL_HINT: &str = "mend it and import again; docs/compose-support.md lists what each attribute takes";

/// Nothing was written.
pub fn refused(errors: usize) -> String {
    format!("refused: {}; nothing was written", count(errors, "error"))
}

/// A run before this one did not come to its end.
pub fn interrupted(folder: &Path, left: &Path) -> String {
    format!(
        "an earlier run was interrupted in {} and left {} behind: remove it, and what came beside it (git does not know it yet), \
         then import again; nothing was written now",
        folder.display(),
        left.display()
    )
}

/// A file has another name now.
pub fn renamed(from: &str, to: &str) -> String {
    format!("{from} is {to} now")
}

/// A key that has no meaning here.
pub fn unneeded(file: &str, line: u32, key: &str) -> String {
    match key {
        "name" => format!("{file}:{line}: `name` is in a comment: the stack's folder is the project's name"),
        _ => format!("{file}:{line}: `{key}` is in a comment: it has no meaning"),
    }
}

/// An image is built elsewhere.
pub fn build(file: &str, line: u32, service: &str) -> String {
    format!(
        "{file}:{line}: `build` of {service} is in a comment: images come from a registry, so its image must be built and pushed \
         elsewhere; for laptops `build` may stand in compose.override.yaml"
    )
}

/// A fixed name that says nothing new.
pub fn own_name(file: &str, line: u32, service: &str) -> String {
    format!(
        "{file}:{line}: `container_name` of {service} is in a comment: other containers find it by that name anyway, and without it \
         a new version can start beside the old one"
    )
}

/// A fixed name that was kept.
pub fn fixed_name(service: &ServiceName, name: &str) -> String {
    format!(
        "{service} keeps its fixed name `{name}`: its old container stops before the new one starts; remove `container_name` if nothing needs it"
    )
}

/// A file of the project that is mounted.
pub fn read_only(service: &ServiceName, path: &str, target: &str) -> String {
    format!("{service}: `{path}` at {target} is read-only now, as it is in git; for data that {service} writes use a named volume")
}

/// A path of the host.
pub fn host_path(service: &ServiceName, path: &str) -> String {
    format!("{service}: {path} is a path of the host: it must be there on every host that runs the stack")
}

/// A moving tag.
pub fn latest(service: &ServiceName, image: &str) -> String {
    format!("{service}: {image} names no version: what it stands for is looked up once per release; name a version to see it in review")
}

/// Values that are readable now.
pub fn values_in_git(path: &str) -> String {
    format!("{path} is in git now, for everybody who reads the config repo: take out what is secret")
}

/// A warning of the reader.
pub fn warning(finding: &Finding) -> String {
    format!("{}:{}: {}", finding.place.file, finding.place.line, finding.message)
}

/// What became of it.
pub fn report(folder: &Path, stack: &StackName, notes: &[String], existing: bool) -> String {
    let mut text = format!("{stack} is in {}\n", folder.join("stacks").join(stack.as_str()).display());
    for note in notes {
        text.push_str(&format!("  - {note}\n"));
    }
    text.push_str(&match existing {
        true => {
            format!("Next: add `{stack}: {{}}` to `stacks` in a file of `environments`, then `tidegate validate {}`.\n", folder.display())
        }
        false => format!("Next: `tidegate plan {}`; then name your hosts in `hosts` and commit.\n", folder.display()),
    });
    text
}

/// The files of a new config repo.
pub fn new_repo(environment: &EnvironmentName, host: &HostName, stack: &StackName) -> [(String, String); 3] {
    [
        ("tidegate.yaml".into(), format!("schema: 1\nenvironments: [{environment}] # in the order of promotion\n")),
        (
            format!("environments/{environment}.yaml"),
            format!(
                "schema: 1\nstacks:\n  {stack}: {{}} # on every host of this environment\nwindows: always # releases may start at any time\n"
            ),
        ),
        (format!("hosts/{host}.yaml"), format!("schema: 1\nenvironment: {environment}\n")),
    ]
}
