//! Tests of store.

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

#[test]
fn a_profile_that_is_not_valid_keeps_its_identity() {
    let Fixture {
        store,
        folder: _folder,
    } = fixture();
    let shop = store.create(&profile("shop")).unwrap();
    let broken = format!("{}nope = 1\n", shop.to_toml().unwrap());
    fs::write(store.path(&shop.name), broken).unwrap();
    assert_eq!(store.identity(&shop.name).unwrap(), shop.identity());
    fs::write(store.path(&name("written")), "version = 1\n").unwrap();
    let written = ProfileId::of_name(&name("written"));
    assert_eq!(store.identity(&name("written")).unwrap(), written);
    let known = store.identities().unwrap().unwrap();
    assert!(known.contains(&shop.identity()) && known.contains(&written));
    fs::write(store.path(&name("latin")), b"id = \"\xe9\"\n").unwrap();
    assert_eq!(store.identities().unwrap(), None);
}
