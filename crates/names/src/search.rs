//! Search list of the laptop's resolver (resolv.conf(5)): the names that it asks for in place of a short one.

use crate::name::Name;

/// Search domains of the laptop, and when they are used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchList {
    /// The search domains, in the order in which they are appended.
    pub domains: Vec<Name>,
    /// Number of dots from which on a name is asked for as it is first, and last with fewer (`options ndots`).
    pub ndots: usize,
}

impl Default for SearchList {
    /// No search domains: every name is asked for as it is.
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            ndots: 1,
        }
    }
}

impl SearchList {
    /// Returns the names that a resolver asks for when a program gives it `name`, in order, each with the search domain
    /// that was appended. The program gets the first that exists.
    pub(crate) fn asked_for<'a>(&'a self, name: &'a Name) -> Vec<(Name, Option<&'a Name>)> {
        let searched = self
            .domains
            .iter()
            .filter_map(|domain| Some((name.join(domain).ok()?, Some(domain))));
        let as_it_is = (name.clone(), None);
        if name.label_count() > self.ndots {
            std::iter::once(as_it_is).chain(searched).collect()
        } else {
            searched.chain([as_it_is]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(list: &SearchList, name: &str) -> Vec<String> {
        let name = name.parse().unwrap();
        list.asked_for(&name)
            .into_iter()
            .map(|(asked, _domain)| asked.to_string())
            .collect()
    }

    #[test]
    fn search_domains_come_first_for_names_with_few_dots() {
        let mut list = SearchList {
            domains: ["corp.internal", "lan"]
                .map(|name| name.parse().unwrap())
                .to_vec(),
            ndots: 1,
        };
        assert_eq!(asked(&list, "db"), ["db.corp.internal", "db.lan", "db"]);
        assert_eq!(
            asked(&list, "db.shop"),
            ["db.shop", "db.shop.corp.internal", "db.shop.lan"]
        );
        list.ndots = 5;
        assert_eq!(
            asked(&list, "db.shop"),
            ["db.shop.corp.internal", "db.shop.lan", "db.shop"]
        );
        assert_eq!(asked(&SearchList::default(), "db"), ["db"]);
    }
}
