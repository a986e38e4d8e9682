//! Things that go wrong on demand: at a request, chosen by method and a part of the path, once, some times or always;
//! or at random from a seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;

/// What goes wrong at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; the answer has this status and no JSON, as from a proxy before Discord.
    Answer(u16),
    /// It is done, and the answer is an error with this status.
    AppliedThen(u16),
    /// It is done, and the connection is cut before the answer.
    AppliedThenCut,
    /// Nothing is done, and the connection is cut.
    Cut,
    /// No answer ever comes.
    Hang,
    /// It is done after this long.
    Late(Duration),
    /// The route's bucket is said to be used up for so many seconds, and is.
    RouteLimited(u64),
    /// The whole bot has to wait for so many seconds.
    GlobalLimited(u64),
    /// Something shared with others is used up: 429 that does not count against the bot.
    SharedLimited(u64),
    /// It is done, and the answer's rate-limit headers are no integers.
    BadHeaders,
    /// It is done, and the answer is no JSON.
    Garbage,
}

/// Which requests.
#[derive(Debug, Clone)]
struct Aim {
    method: String,
    part: String,
    fault: Fault,
    /// How often still; none: always.
    left: Option<u32>,
}

impl Aim {
    /// A part that ends in `$` stands at the end of the path.
    fn fits(&self, path: &str) -> bool {
        self.part.strip_suffix('$').map_or_else(|| path.contains(&self.part), |end| path.ends_with(end))
    }
}

/// Random faults, from a seed.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// The same seed and the same requests in the same order make the same faults.
    pub seed: u64,
    /// Of a thousand requests, so many are hit.
    pub per_thousand: u32,
    /// What hits them.
    pub faults: Vec<Fault>,
}

/// What goes wrong, and how often it did.
#[derive(Debug, Default)]
pub(super) struct Faults {
    aims: Vec<Aim>,
    chaos: Option<(Chaos, StdRng)>,
    pub done: u64,
}

impl Faults {
    pub fn aim(&mut self, method: &str, part: &str, fault: Fault, times: Option<u32>) {
        self.aims.push(Aim { method: method.to_owned(), part: part.to_owned(), fault, left: times });
    }

    pub fn chaos(&mut self, chaos: Option<Chaos>) {
        self.chaos = chaos.map(|chaos| {
            let random = StdRng::seed_from_u64(chaos.seed);
            (chaos, random)
        });
    }

    pub fn clear(&mut self) {
        self.aims.clear();
        self.chaos = None;
    }

    /// What goes wrong at this request.
    pub fn at(&mut self, method: &str, path: &str) -> Option<Fault> {
        let hit = self.aims.iter_mut().find(|aim| (aim.method == "*" || aim.method == method) && aim.fits(path) && aim.left != Some(0));
        let fault = match (hit, &mut self.chaos) {
            (Some(aim), _) => {
                aim.left = aim.left.map(|left| left - 1);
                Some(aim.fault.clone())
            }
            (None, Some((chaos, random))) => {
                let hit = random.random_range(0..1000) < chaos.per_thousand;
                if hit { chaos.faults.choose(random).cloned() } else { None }
            }
            (None, None) => None,
        };
        self.done += u64::from(fault.is_some());
        fault
    }
}
