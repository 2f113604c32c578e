//! Similar names: which of several names was perhaps meant by a misspelled one.

/// Similarity (Jaro-Winkler, 0 to 1) from which on a name is suggested for an unknown one.
const SIMILAR: f64 = 0.8;

/// Returns the name that is most similar to a name that does not exist, if one is similar enough to have been meant.
pub fn nearest<'a>(asked: &str, existing: impl Iterator<Item = &'a str>) -> Option<String> {
    let asked = asked.to_lowercase();
    let scored = existing.map(|name| (strsim::jaro_winkler(&asked, &name.to_lowercase()), name));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= SIMILAR).then(|| best.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_was_meant() {
        let names = ["shop", "shop-test", "kube-system"];
        let meant = |asked| nearest(asked, names.into_iter());
        assert_eq!(meant("shpo").as_deref(), Some("shop"));
        assert_eq!(meant("shop-tset").as_deref(), Some("shop-test"));
        assert_eq!(meant("payments"), None);
        assert_eq!(nearest("shop", std::iter::empty()), None);
    }
}
