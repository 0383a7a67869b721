//! Finds stop strings in text that arrives in pieces, and holds back text that may become one.

/// Searches the text of one generation for stop strings.
#[derive(Debug, Clone)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    /// Text that is held back: empty, or a proper prefix of a stop string.
    held: String,
    stopped: bool,
}

impl StopMatcher {
    /// Searches for these strings. None of them is empty.
    pub(crate) fn new(stops: Vec<String>) -> StopMatcher {
        StopMatcher { stops, held: String::new(), stopped: false }
    }

    /// Takes the next piece. Returns the text before any possible stop string, and whether a stop string
    /// follows it. After a stop string all further text is dropped.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        if self.stopped {
            return (String::new(), true);
        }
        self.held.push_str(piece);
        let short = |stop: &&String| stop.len() <= self.held.len();
        let found = self.stops.iter().filter(short).filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            self.stopped = true;
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let held = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, held), false)
    }

    /// Ends the text. Returns what was held back.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The length of the longest suffix of `text` that is a proper prefix of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest).rev().find(|&len| text.as_bytes().ends_with(&stop.as_bytes()[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text let out for these pieces, and whether it was stopped.
    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut text = String::new();
        for piece in pieces {
            let (certain, stopped) = matcher.push(piece);
            text += &certain;
            if stopped {
                return (text, true);
            }
        }
        (text + &matcher.finish(), false)
    }

    #[test]
    fn a_stop_string_is_cut_wherever_the_pieces_break() {
        let text = "The end.<|end_story|> More";
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            for middle in 0..=tail.len() {
                let (tail, last) = tail.split_at(middle);
                assert_eq!(run(&["<|end_story|>"], &[head, tail, last]), ("The end.".into(), true));
            }
        }
    }

    #[test]
    fn nothing_is_let_out_that_may_become_a_stop_string() {
        let mut matcher = StopMatcher::new(vec!["aab".into()]);
        assert_eq!(matcher.push("aa"), ("".into(), false));
        assert_eq!(matcher.push("a"), ("a".into(), false));
        assert_eq!(matcher.push("c"), ("aac".into(), false));
        assert_eq!(matcher.push("xa"), ("x".into(), false));
        assert_eq!(matcher.finish(), "a");
    }

    #[test]
    fn the_earliest_of_several_stop_strings_wins() {
        assert_eq!(run(&["cd", "b"], &["ab", "cd"]), ("a".into(), true));
        assert_eq!(run(&["bcd", "b"], &["a", "bcd"]), ("a".into(), true));
        assert_eq!(run(&["nothing"], &["a", "no"]), ("ano".into(), false));
    }

    #[test]
    fn characters_of_several_bytes_are_never_cut() {
        // The stop begins with the first byte of the last character of the text, and is another character.
        assert_eq!(run(&["日x"], &["a旤", "日", "y"]), ("a旤日y".into(), false));
        assert_eq!(run(&["é"], &["è", "é"]), ("è".into(), true));
    }
}
