//! "Did you mean": the nearest of the names that would have been right.

/// The nearest name, if it is near enough to be a likely slip: one change in three characters, at most three, and
/// none in shorter names.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let budget = (written.chars().count() / 3).min(3);
    known
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|&(changes, name)| changes <= budget || (!written.is_empty() && name.eq_ignore_ascii_case(written)))
        .min()
        .map(|(_, name)| name)
}

/// A hint for a name that is not among the known ones: the nearest, or all of them when they are few.
pub fn hint_among<'a>(written: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match did_you_mean(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no {what} yet"),
        None => {
            const SHOWN: usize = 12;
            let listed: Vec<String> = known.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
            let more = if known.len() > SHOWN { ", …" } else { "" };
            format!("known: {}{more}", listed.join(", "))
        }
    }
}

/// Edits between two names (insert, delete, replace, swap of neighbours), with long names cut: they are no slips.
fn distance(left: &str, right: &str) -> usize {
    const LONGEST: usize = 64;
    let left: Vec<char> = left.chars().take(LONGEST).collect();
    let right: Vec<char> = right.chars().take(LONGEST).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, &a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in right.iter().enumerate() {
            let replace = above[j] + usize::from(a != b);
            let mut best = replace.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == right[j - 1] && left[i - 1] == b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["environment", "entrypoint", "env_file", "image"];
        assert_eq!(did_you_mean("enviroment", known), Some("environment"));
        assert_eq!(did_you_mean("imgae", known), Some("image"));
        assert_eq!(did_you_mean("Image", known), Some("image"));
        assert_eq!(did_you_mean("volumes", known), None);
        assert_eq!(did_you_mean("", known), None);
        assert_eq!(hint_among("zzz", ["a", "b"], "role"), "known: `a`, `b`");
        assert_eq!(hint_among("zzz", [], "role"), "there is no role yet");
    }
}
