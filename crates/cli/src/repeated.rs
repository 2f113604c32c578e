//! Options that may be given several times.

/// Appends the values that a list does not have.
pub(crate) fn add_missing<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}
