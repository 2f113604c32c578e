//! Store: the folder of profiles.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::Error;
use crate::extras::Change;
use crate::extras_in_text;
use crate::file::id_in;
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
        let mut profile = Profile::from_toml(name.clone(), &self.text(name)?)?;
        // A copied file has the same id: both then use the identity of their names.
        if profile.id.is_some_and(|id| self.is_elsewhere(id, name)) {
            profile.id = None;
        }
        Ok(profile)
    }

    /// Returns the text of the profile `name`, also if it is not valid.
    ///
    /// # Errors
    /// [`Error::Missing`] if it does not exist; [`Error::TooLarge`] or [`Error::Io`] if it cannot be read.
    pub fn text(&self, name: &ProfileName) -> Result<String, Error> {
        match read_text(&self.path(name)) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(Error::Missing(name.clone()))
            }
            read => read,
        }
    }

    /// Returns the identity of the profile `name`, also if its file is otherwise not valid.
    ///
    /// # Errors
    /// [`Error::Missing`] if it does not exist; [`Error::TooLarge`] or [`Error::Io`] if it cannot be read.
    pub fn identity(&self, name: &ProfileName) -> Result<ProfileId, Error> {
        let id = id_in(&self.text(name)?).flatten();
        let own = id.filter(|id| !self.is_elsewhere(*id, name));
        Ok(own.unwrap_or_else(|| ProfileId::of_name(name)))
    }

    /// Returns the identities of all profiles, also of those that are not valid. `None` if a file hides its identity.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn identities(&self) -> Result<Option<BTreeSet<ProfileId>>, Error> {
        let mut identities = BTreeSet::new();
        for Listed { stem, .. } in self.list()? {
            let Ok(name) = stem.parse() else { continue };
            match read_text(&self.path(&name)).ok().as_deref().and_then(id_in) {
                // A copied file has the identity of its name.
                Some(id) => identities.extend(id.into_iter().chain([ProfileId::of_name(&name)])),
                None => return Ok(None),
            }
        }
        Ok(Some(identities))
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
            .filter_map(|(other, path)| Profile::from_toml(other, &read_text(&path).ok()?).ok())
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

    /// Makes a change in the file of the profile `name`, and keeps its comments and order. Returns the part of the change
    /// that was not so already.
    ///
    /// # Errors
    /// Those of [`Store::load`], and [`Error::Io`] if the file cannot be written.
    pub fn change(&self, name: &ProfileName, change: &Change) -> Result<Change, Error> {
        let text = self.text(name)?;
        let (after, done) = extras_in_text::changed(name, &text, change)?;
        if after != text {
            self.replace(name, &after)?;
        }
        Ok(done)
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
        let text = read_text(&old);
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
        self.import(name, &read_text(path)?)
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

/// Reads the text of a file that may be a profile.
///
/// # Errors
/// [`Error::TooLarge`] if it is none by its size, [`Error::Io`] if it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let file = File::open(path).map_err(io_error("read", path))?;
    read_bounded(file, path)
}

/// Reads a text that may be a profile. `path` names it in errors.
///
/// # Errors
/// As [`read_text`].
pub fn read_bounded(from: impl Read, path: &Path) -> Result<String, Error> {
    // Reads one byte more than allowed, because the size in the metadata may be wrong.
    let mut text = String::new();
    match from.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(_) if u64::try_from(text.len()).is_ok_and(|len| len <= MAX_FILE_BYTES) => Ok(text),
        Ok(_) => Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        }),
        Err(error) => Err(io_error("read", path)(error)),
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
mod tests;
