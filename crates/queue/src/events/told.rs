use hermod_types::JobId;

/// A transition of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// Counts the job's transitions.
    pub seq: u64,
    /// Where it is in its life now.
    pub state: JobState,
    /// 200, or the code of what failed it; 0 unless it has ended.
    pub code: u16,
}

/// Where a job is in its life, in the words of the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits for a worker, or for a retry time.
    Waiting,
    /// A worker runs it.
    Running,
    /// It runs, and is to be cancelled.
    Cancelling,
    /// Nothing more will happen to it.
    Ended,
}

impl JobState {
    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "waiting" => Self::Waiting,
            "running" => Self::Running,
            "cancelling" => Self::Cancelling,
            "ended" => Self::Ended,
            _ => return None,
        })
    }
}

/// A line of a message, as scripts publish it: `<job id> <seq> <state> <code> <owner>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) id: JobId,
    pub(super) event: JobEvent,
    /// Empty for none.
    pub(super) owner: &'a str,
}

impl<'a> Told<'a> {
    /// None for what is no such line.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let id = words.next()?.parse().ok()?;
        let seq = words.next()?.parse().ok()?;
        let state = JobState::of_word(words.next()?)?;
        let code = words.next()?.parse().ok()?;
        Some(Self { id, event: JobEvent { seq, state, code }, owner: words.next().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn a_line_is_read_whatever_its_owner_is_called() {
        for (owner, rest) in [("", ""), ("", " "), ("vk-1", " vk-1"), ("a b  c", " a b  c")] {
            let line = format!("{ID} 3 ended 200{rest}");
            let told = Told::read(&line).unwrap();
            assert_eq!((told.id.to_string(), told.owner), (ID.to_owned(), owner));
            assert_eq!(told.event, JobEvent { seq: 3, state: JobState::Ended, code: 200 });
        }
        let states = ["waiting", "running", "cancelling"];
        let read = states.map(|state| Told::read(&format!("{ID} 1 {state} 0 ")).unwrap().event.state);
        assert_eq!(read, [JobState::Waiting, JobState::Running, JobState::Cancelling]);
    }

    #[test]
    fn what_is_no_line_is_passed_over() {
        for line in ["", "x", ID, &format!("{ID} 1"), &format!("{ID} x ended 200"), &format!("{ID} 1 gone 0")]
        {
            assert_eq!(Told::read(line), None, "{line}");
        }
    }
}
