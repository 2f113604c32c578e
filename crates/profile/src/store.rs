//! Store: the folder of profiles.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::id::ProfileId;
use crate::name::ProfileName;
use crate::schema::Profile;

/// Largest file that is read as a profile, in bytes. A hand-written one has some hundred bytes.
pub const MAX_FILE_BYTES: u64 = 256 * 1024;

const EXTENSION: &str = "toml";

/// The profiles of one user, one file each.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// One file of the folder: a profile or an error.
#[derive(Debug)]
pub struct Listed {
    /// The file's name without its ending; for a valid profile, its name.
    pub stem: String,
    /// The profile, or the error in the file.
    pub profile: Result<Profile, Error>,
}

impl Store {
    /// The user's store, in `$XDG_CONFIG_HOME/slipway/profiles` (XDG Base Directory Specification: a relative value counts
    /// as unset, and unset means `~/.config`). The folder is not created yet.
    ///
    /// # Errors
    /// [`Error::NoConfigHome`] if the environment names no such folder.
    pub fn of_user() -> Result<Self, Error> {
        let absolute = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let config =
            absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        Ok(Self::at(
            config.ok_or(Error::NoConfigHome)?.join("slipway/profiles"),
        ))
    }

    /// A store in `folder`, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder; it may not exist.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the file of the profile `name`, whether or not it exists.
    pub fn path(&self, name: &ProfileName) -> PathBuf {
        self.folder.join(format!("{name}.{EXTENSION}"))
    }

    /// Creates the folder (0700) if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn ensure_folder(&self) -> Result<(), Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(io_error("created", &self.folder))
    }

    /// Lists every `*.toml` of the folder, sorted by name; broken ones with their error. A missing folder counts as empty.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &self.folder)(error)),
        };
        let mut listed = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_error("read", &self.folder))?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            let Some(stem) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else {
                continue;
            };
            if stem.starts_with('.') {
                // Temporary files of this store or of an editor.
                continue;
            }
            let profile = stem
                .parse()
                .map_err(Error::Name)
                .and_then(|name| self.load(&name));
            listed.push(Listed { stem, profile });
        }
        listed.sort_by(|a, b| a.stem.cmp(&b.stem));
        Ok(listed)
    }

    /// Loads the profile `name`.
    ///
    /// # Errors
    /// [`Error::Missing`] if it does not exist; [`Error::Invalid`], [`Error::Version`], [`Error::TooLarge`] or
    /// [`Error::Io`] if its file is not a valid profile.
    pub fn load(&self, name: &ProfileName) -> Result<Profile, Error> {
        match read_bounded(&self.path(name)) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(Error::Missing(name.clone()))
            }
            text => {
                let mut profile = Profile::from_toml(name.clone(), &text?)?;
                // A copied file has the same id: both then use the identity of their names.
                if profile.id.is_some_and(|id| self.is_elsewhere(id, name)) {
                    profile.id = None;
                }
                Ok(profile)
            }
        }
    }

    /// Whether a profile other than `name` has this identity.
    fn is_elsewhere(&self, id: ProfileId, name: &ProfileName) -> bool {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let others = files.filter_map(|entry| {
            let path = entry.path();
            let other: ProfileName = path.file_stem()?.to_str()?.parse().ok()?;
            (path.extension()? == EXTENSION && other != *name).then_some((other, path))
        });
        others
            .filter_map(|(other, path)| Profile::from_toml(other, &read_bounded(&path).ok()?).ok())
            .any(|other| other.id == Some(id))
    }

    /// Saves a profile; replaces an existing one. A reader sees the old file or the new one, also after a crash.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, profile: &Profile) -> Result<(), Error> {
        self.replace(&profile.name, &profile.to_toml()?)
    }

    /// Saves a profile's text with its comments and order; replaces an existing one.
    ///
    /// # Errors
    /// Those of [`Profile::from_toml`], and [`Error::Io`] if the file cannot be written.
    pub fn save_text(&self, name: &ProfileName, text: &str) -> Result<Profile, Error> {
        let profile = Profile::from_toml(name.clone(), text)?;
        self.replace(name, text)?;
        Ok(profile)
    }

    fn replace(&self, name: &ProfileName, text: &str) -> Result<(), Error> {
        // A symbolic link, as of users who keep their settings in a repository, stays: its target is replaced.
        let path = self.path(name);
        let path = fs::canonicalize(&path).unwrap_or(path);
        self.write(&path, text)?
            .persist(&path)
            .map_err(|error| io_error("written", &path)(error.error))?;
        sync_folder_of(&path)
    }

    /// Saves a new profile with a new identity.
    ///
    /// # Errors
    /// [`Error::Exists`] if the name is in use, [`Error::Io`] if the file cannot be written.
    pub fn create(&self, profile: &Profile) -> Result<Profile, Error> {
        let profile = Profile {
            id: Some(ProfileId::random()),
            ..profile.clone()
        };
        let path = self.path(&profile.name);
        let written = self.write(&path, &profile.to_toml()?)?;
        written.persist_noclobber(&path).map_err(|error| {
            if error.error.kind() == io::ErrorKind::AlreadyExists {
                return Error::Exists(profile.name.clone());
            }
            io_error("written", &path)(error.error)
        })?;
        sync_folder_of(&path)?;
        Ok(profile)
    }

    /// Deletes the profile `name`, also if its file is broken.
    ///
    /// # Errors
    /// [`Error::Missing`] if it does not exist, [`Error::Io`] if the system refuses.
    pub fn delete(&self, name: &ProfileName) -> Result<(), Error> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|error| missing_or("deleted", name, &path, error))?;
        sync_folder_of(&path)
    }

    /// Renames the profile `from` to `to`. It keeps its identity, and so its data in other places.
    ///
    /// # Errors
    /// [`Error::Missing`] if `from` does not exist, [`Error::Exists`] if `to` exists, [`Error::Io`] if the system refuses.
    pub fn rename(&self, from: &ProfileName, to: &ProfileName) -> Result<(), Error> {
        let (old, new) = (self.path(from), self.path(to));
        let text = read_bounded(&old);
        if let Ok(text) = &text
            && let Ok(profile) = Profile::from_toml(from.clone(), text)
            && profile.id.is_none()
            && !new.exists()
        {
            // At the top, before any table. The rest of the text stays as the user wrote it.
            self.replace(from, &format!("id = \"{}\"\n{text}", profile.identity()))?;
        }
        // link(2), because rename(2) would replace a file that appeared meanwhile.
        fs::hard_link(&old, &new).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Error::Exists(to.clone());
            }
            missing_or("renamed", from, &old, error)
        })?;
        fs::remove_file(&old).map_err(io_error("renamed", &old))?;
        sync_folder_of(&new)
    }

    /// Parses a profile's text and saves it as a new profile `name`.
    ///
    /// # Errors
    /// Those of [`Profile::from_toml`] and [`Store::create`].
    pub fn import(&self, name: ProfileName, text: &str) -> Result<Profile, Error> {
        self.create(&Profile::from_toml(name, text)?)
    }

    /// Imports a file as a new profile; without a `name`, under the file's own name.
    ///
    /// # Errors
    /// Those of [`Store::import`]; [`Error::Name`] if the file's name is not valid for a profile, [`Error::Io`] and
    /// [`Error::TooLarge`] if it cannot be read.
    pub fn import_file(&self, path: &Path, name: Option<ProfileName>) -> Result<Profile, Error> {
        let name = match name {
            Some(name) => name,
            None => path.file_stem().unwrap_or_default().to_string_lossy().parse()?,
        };
        self.import(name, &read_bounded(path)?)
    }

    /// Returns the text of the profile `name`, for another user or a backup. It has no identity, because an import makes
    /// a new profile.
    ///
    /// # Errors
    /// Those of [`Store::load`].
    pub fn export(&self, name: &ProfileName) -> Result<String, Error> {
        let exported = Profile {
            id: None,
            ..self.load(name)?
        };
        exported.to_toml()
    }

    /// Writes `text` to a temporary file (mode 0600) beside `path`, and syncs it to disk.
    fn write(&self, path: &Path, text: &str) -> Result<NamedTempFile, Error> {
        self.ensure_folder()?;
        let folder = path.parent().unwrap_or(&self.folder);
        let mut file =
            NamedTempFile::with_prefix_in(".slipway-", folder).map_err(io_error("written", folder))?;
        file.write_all(text.as_bytes())
            .map_err(io_error("written", path))?;
        file.as_file().sync_all().map_err(io_error("written", path))?;
        Ok(file)
    }
}

fn read_bounded(path: &Path) -> Result<String, Error> {
    let failed = io_error("read", path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Err(failed(error)),
    };
    // Reads one byte more than allowed, because the size in the metadata may be wrong.
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(_) if u64::try_from(text.len()).is_ok_and(|len| len <= MAX_FILE_BYTES) => Ok(text),
        Ok(_) => Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        }),
        Err(error) => Err(failed(error)),
    }
}

/// Syncs the folder of a file, so that a change of names survives a power cut.
fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("written", folder))
}

fn missing_or(action: &'static str, name: &ProfileName, path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::Missing(name.clone());
    }
    io_error(action, path)(error)
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use slipway_problem::Fault;

    use super::*;
    use crate::Method;

    struct Fixture {
        store: Store,
        folder: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        Fixture {
            store: Store::at(folder.path().join("slipway/profiles")),
            folder,
        }
    }

    fn profile(name: &str) -> Profile {
        Profile::new(name.parse().unwrap())
    }

    fn name(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    #[test]
    fn a_missing_folder_is_an_empty_list() {
        assert!(fixture().store.list().unwrap().is_empty());
    }

    #[test]
    fn a_saved_profile_is_private_and_loads_again() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        store.create(&profile("shop")).unwrap();
        let mut shop = store.load(&name("shop")).unwrap();
        shop.protected = true;
        store.save(&shop).unwrap();
        assert_eq!(store.load(&shop.name).unwrap(), shop);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path(&shop.name)), 0o600);
        assert_eq!(mode(store.folder()), 0o700);
        assert_eq!(
            fs::read_dir(store.folder()).unwrap().count(),
            1,
            "a temporary file stayed behind"
        );
    }

    #[test]
    fn a_broken_file_hides_no_other() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        store.create(&profile("good")).unwrap();
        fs::write(store.folder().join("broken.toml"), "version = 1\nnope = 1\n").unwrap();
        fs::write(store.folder().join("Bad Name.toml"), "version = 1\n").unwrap();
        fs::write(store.folder().join("latin.toml"), b"version = 1 # \xe9\n").unwrap();
        fs::create_dir(store.folder().join("folder.toml")).unwrap();
        fs::write(store.folder().join(".swap.toml"), "").unwrap();
        fs::write(store.folder().join("notes.txt"), "").unwrap();
        let listed = store.list().unwrap();
        let found: Vec<_> = listed
            .iter()
            .map(|entry| {
                (
                    entry.stem.as_str(),
                    entry.profile.as_ref().map(|_| ()).map_err(Error::code),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("Bad Name", Err("profile-name-invalid")),
                ("broken", Err("profile-invalid")),
                ("folder", Err("profile-io")),
                ("good", Ok(())),
                ("latin", Err("profile-io")),
            ]
        );
    }

    #[test]
    fn a_saved_text_keeps_its_comments() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        store.create(&profile("shop")).unwrap();
        let text = "# ours\nversion = 1\nprotected = true\n";
        assert!(store.save_text(&name("shop"), text).unwrap().protected);
        assert_eq!(fs::read_to_string(store.path(&name("shop"))).unwrap(), text);
        assert!(store.save_text(&name("shop"), "version = 1\nnope = 1\n").is_err());
        assert_eq!(fs::read_to_string(store.path(&name("shop"))).unwrap(), text);
    }

    #[test]
    fn creating_never_replaces() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        let mut shop = profile("shop");
        store.create(&shop).unwrap();
        shop.method = Method::Container;
        assert!(matches!(store.create(&shop), Err(Error::Exists(_))));
        assert_eq!(store.load(&shop.name).unwrap().method, Method::VpnTcp);
    }

    #[test]
    fn renaming_never_replaces() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        store.create(&profile("a")).unwrap();
        store.create(&profile("b")).unwrap();
        assert!(matches!(
            store.rename(&name("a"), &name("b")),
            Err(Error::Exists(_))
        ));
        assert!(matches!(
            store.rename(&name("x"), &name("y")),
            Err(Error::Missing(_))
        ));
        store.rename(&name("a"), &name("c")).unwrap();
        let stems: Vec<_> = store
            .list()
            .unwrap()
            .into_iter()
            .map(|entry| entry.stem)
            .collect();
        assert_eq!(stems, ["b", "c"]);
    }

    #[test]
    fn a_renamed_profile_keeps_its_identity() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        let made = store.create(&profile("made")).unwrap();
        let written = "# ours\nversion = 1\n[cluster]\nnamespace = \"shop\"\n";
        fs::write(store.path(&name("written")), written).unwrap();
        let written = store.load(&name("written")).unwrap();
        for (from, to) in [(made, "made-2"), (written, "written-2")] {
            store.rename(&from.name, &name(to)).unwrap();
            assert_eq!(store.load(&name(to)).unwrap().identity(), from.identity());
        }
        let text = fs::read_to_string(store.path(&name("written-2"))).unwrap();
        assert!(text.contains("# ours"), "{text}");
    }

    #[test]
    fn a_copied_file_is_another_profile() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        store.create(&profile("shop")).unwrap();
        fs::copy(store.path(&name("shop")), store.path(&name("copy"))).unwrap();
        let identity = |of: &str| store.load(&name(of)).unwrap().identity();
        assert_ne!(identity("shop"), identity("copy"));
    }

    #[test]
    fn a_deleted_profile_is_missing() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        store.create(&profile("shop")).unwrap();
        store.delete(&name("shop")).unwrap();
        assert!(matches!(store.load(&name("shop")), Err(Error::Missing(_))));
        assert!(matches!(store.delete(&name("shop")), Err(Error::Missing(_))));
    }

    #[test]
    fn an_exported_profile_can_be_imported() {
        let Fixture { store, folder } = fixture();
        let mut shop = profile("shop");
        shop.also_proxy.push("db.corp.internal".parse().unwrap());
        store.create(&shop).unwrap();
        let file = folder.path().join("shop-copy.toml");
        fs::write(&file, store.export(&shop.name).unwrap()).unwrap();
        let imported = store.import_file(&file, None).unwrap();
        assert_ne!(imported.identity(), store.load(&shop.name).unwrap().identity());
        assert_eq!(
            imported,
            Profile {
                name: name("shop-copy"),
                id: imported.id,
                ..shop
            }
        );
        assert!(matches!(store.import_file(&file, None), Err(Error::Exists(_))));
        assert!(matches!(
            store.import(name("new"), "version = 1\nx = 1\n"),
            Err(Error::Invalid { .. })
        ));
        assert!(
            matches!(store.load(&name("new")), Err(Error::Missing(_))),
            "a refused import left a file"
        );
    }

    #[test]
    fn a_linked_profile_stays_a_link() {
        let Fixture { store, folder } = fixture();
        let mut shop = profile("shop");
        let target = folder.path().join("dotfiles-shop.toml");
        fs::write(&target, "version = 1\n").unwrap();
        fs::create_dir_all(store.folder()).unwrap();
        std::os::unix::fs::symlink(&target, store.path(&shop.name)).unwrap();
        shop.protected = true;
        store.save(&shop).unwrap();
        assert!(fs::symlink_metadata(store.path(&shop.name)).unwrap().is_symlink());
        assert!(fs::read_to_string(&target).unwrap().contains("protected = true"));
    }

    #[test]
    fn a_file_larger_than_any_profile_is_not_read() {
        let Fixture {
            store,
            folder: _folder,
        } = fixture();
        fs::create_dir_all(store.folder()).unwrap();
        fs::write(store.path(&name("big")), "#".repeat(300 * 1024)).unwrap();
        assert!(matches!(store.load(&name("big")), Err(Error::TooLarge { .. })));
    }
}
