//! What a program's resolver makes of a name before it asks: the laptop's search list (resolv.conf(5)).

use crate::name::Name;

/// The laptop's own search list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchList {
    /// What is put behind a name, in the order of asking.
    pub domains: Vec<Name>,
    /// A name with as many dots is asked as it is first, one with fewer last (`options ndots`).
    pub ndots: usize,
}

impl Default for SearchList {
    /// No domains: every name is asked as it is.
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            ndots: 1,
        }
    }
}

impl SearchList {
    /// The names that are asked for when a program gives its resolver `name`, in order, each with the domain behind it. The
    /// first that exists is what the program gets.
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
