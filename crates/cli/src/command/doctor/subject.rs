//! Subject of a check: a saved profile, the text of one, or none.

use std::io;
use std::path::Path;

use slipway_profile::{Error, Profile, ProfileId, ProfileName, Store, read_bounded, read_text};

/// A profile to check.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) profile: Profile,
    /// Its identity, if sessions and other profiles can know it.
    pub(super) identity: Option<ProfileId>,
    /// Whether a credential plugin may ask its user at the terminal.
    pub(super) terminal: bool,
}

impl Subject {
    /// Reads the saved profile of this name, or the profile's text in a file; `-` is standard input. The text of a named
    /// profile counts in place of the saved one.
    ///
    /// # Errors
    /// Those of [`Store::load`] and [`Profile::from_toml`].
    pub(super) fn read(named: Option<&ProfileName>, file: Option<&Path>) -> Result<Self, Error> {
        let (profile, has_identity, terminal) = match (named, file) {
            (Some(name), None) => (Store::of_user()?.load(name)?, true, true),
            (None, None) => (Profile::unsaved(), false, true),
            (named, Some(file)) => {
                let is_standard_input = file == Path::new("-");
                let text = if is_standard_input {
                    read_bounded(io::stdin().lock(), Path::new("standard input"))?
                } else {
                    read_text(file)?
                };
                let profile = Profile::from_toml(name_for(named, file), &text)?;
                let has_identity = named.is_some() || profile.id.is_some();
                (profile, has_identity, !is_standard_input)
            }
        };
        Ok(Self {
            identity: has_identity.then(|| profile.identity()),
            profile,
            terminal,
        })
    }
}

/// Returns the name for a profile's text: the given one, or the file's.
fn name_for(named: Option<&ProfileName>, file: &Path) -> ProfileName {
    let of_file = || file.file_stem()?.to_str()?.parse().ok();
    named
        .cloned()
        .or_else(of_file)
        .unwrap_or_else(|| Profile::unsaved().name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_name_that_is_given_or_the_files() {
        let name = |named: Option<&str>, file: &str| {
            let named = named.map(|name| name.parse().unwrap());
            name_for(named.as_ref(), Path::new(file)).to_string()
        };
        assert_eq!(name(Some("shop"), "-"), "shop");
        assert_eq!(name(None, "/tmp/blog.toml"), "blog");
        assert_eq!(name(None, "-"), Profile::unsaved().name.to_string());
        assert_eq!(
            name(None, "/tmp/My Blog.toml"),
            Profile::unsaved().name.to_string()
        );
    }

    #[test]
    fn a_text_without_an_end_is_refused() {
        let endless = io::repeat(b'#');
        let refused = read_bounded(endless, Path::new("standard input")).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
    }

    #[test]
    fn only_a_named_profile_or_its_id_is_known_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.toml");
        std::fs::write(&file, "version = 1\n").unwrap();
        let read = |named: Option<&ProfileName>| Subject::read(named, Some(&file)).unwrap();
        assert_eq!(read(None).identity, None);
        let name: ProfileName = "shop".parse().unwrap();
        assert_eq!(read(Some(&name)).identity, Some(ProfileId::of_name(&name)));
    }
}
