/// The name of `known` that somebody who wrote `name` has probably meant.
///
/// Up to two letters may be wrong, missing, too many or exchanged, and one in a short name: among the members that
/// Bifrost has and we do not read, none is as close as that to one that we do.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let most = match name.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let distances = known.into_iter().map(|known| (strsim::osa_distance(name, known), known));
    distances.filter(|(distance, _)| (1..=most).contains(distance)).min().map(|(_, known)| known)
}

/// What to add to an error about `name`: nothing, or `; did you mean …?`.
pub(super) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let known = ["models", "weight", "value", "name", "id", "key_ids"];
        for (name, meant) in
            [("wieght", "weight"), ("weigth", "weight"), ("model", "models"), ("vlaue", "value")]
        {
            assert_eq!(nearest(name, known), Some(meant));
        }
        for other in ["weight", "keys", "nope", "ix", "description", "use_for_batch_api", ""] {
            assert_eq!(nearest(other, known), None, "{other}");
        }
    }
}
