// SPDX-License-Identifier: GPL-2.0-or-later
//! Live patches that packages and images have in /usr/lib/kpatch: they are installed without a copy in /var.

use super::ko::Ko;
use super::system::{file, name, System, RELEASE};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A version of the stream, as a package or an image brings it.
fn packaged(system: &System, version: &str) -> PathBuf {
    let folder = system.root().join("usr/lib/kpatch").join(RELEASE);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(file(version));
    fs::write(&path, Ko::with_manifest(&name(version), RELEASE, &["a fix"]).bytes()).unwrap();
    path
}

#[test]
fn an_image_with_an_empty_var_has_its_live_patches_loaded() {
    let system = System::new();
    packaged(&system, "1-1");
    packaged(&system, "1-2");
    system.kmend(&["status"]).ends(3).says("installed but not loaded");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.asked(), [format!("load /usr/lib/kpatch/{RELEASE}/{}", file("1-2"))]);
    let said = system.kmend(&["status"]).ends(0);
    said.says(&format!("loaded: {} [enabled], version 1-2\n", name("1-2")));
    system.kmend(&["list"]).says(&format!("{} ({RELEASE})\n{} ({RELEASE})\n", name("1-1"), name("1-2")));
    system.kmend(&["info", &name("1-2")]).ends(0).says(&format!("/usr/lib/kpatch/{RELEASE}/"));
    // The breaker knows them like any other.
    system.boots_again();
    system.kmend(&["load", "--all"]).ends(0).complains("is set aside");
    assert_eq!(system.in_force(), [(name("1-1"), true)]);
}

#[test]
fn places_are_one_store() {
    let system = System::new();
    // The same in both: once, from /var.
    let path = packaged(&system, "1-1");
    system.kmend(&["install", path.to_str().unwrap()]).ends(0);
    let said = system.kmend(&["list"]).ends(0);
    assert_eq!(said.out.matches(&format!("({RELEASE})")).count(), 1, "{}", said.out);
    assert_eq!(system.kmend(&["load", "--all"]).ends(0).err, "");
    assert_eq!(system.asked(), [format!("load /var/lib/kpatch/{RELEASE}/{}", file("1-1"))]);
    // The newest of both.
    system.reboots();
    packaged(&system, "1-3");
    system.version("1-2");
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-3"), true)]);
    // Other kernels are listed, too; hidden files and what is no folder are passed over.
    system.put("usr/lib/kpatch/6.1.0/.hidden.ko", "");
    system.put("usr/lib/kpatch/readme", "");
    system.put("usr/lib/kpatch/6.2.0/x.ko", "");
    let said = system.kmend(&["list"]).ends(0);
    assert!(said.out.contains("x (6.2.0)\n") && !said.out.contains("6.1.0"), "{}", said.out);
}

#[test]
fn what_others_may_write_to_is_not_loaded() {
    let system = System::new();
    let path = packaged(&system, "1-1");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    system.kmend(&["load", "--all"]).ends(1).complains("users other than root can write to it");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666, "kmend changes nothing in /usr");
}

#[test]
fn what_was_uninstalled_stays_out_while_its_package_stays() {
    let system = System::new();
    packaged(&system, "1-1");
    let path = packaged(&system, "1-2");
    for module in [file("1-2"), name("1-2")] {
        system.kmend(&["install", path.to_str().unwrap()]).ends(0);
        system.kmend(&["uninstall", &module]).ends(0).says("as long as its package is installed");
        assert!(path.exists() && !system.folder(RELEASE).exists());
        system.kmend(&["load", "--all"]).ends(0);
        assert_eq!(system.in_force(), [(name("1-1"), true)]);
        let said = system.kmend(&["list"]).ends(0);
        assert!(!said.out.contains(&name("1-2")), "{}", said.out);
        system.kmend(&["uninstall", &module]).ends(1).complains("is not installed");
        system.reboots();
    }
    // Installed again, it counts again.
    system.kmend(&["install", path.to_str().unwrap()]).ends(0);
    assert_eq!(system.note("uninstalled.json")["uninstalled"], serde_json::json!([]));
    // What went with its package is forgotten with the next change.
    system.kmend(&["uninstall", &name("1-2")]).ends(0);
    fs::remove_file(&path).unwrap();
    system.kmend(&["uninstall", &name("1-1")]).ends(0);
    let note = system.note("uninstalled.json");
    assert_eq!(note["uninstalled"], serde_json::json!([{"module": name("1-1"), "release": RELEASE}]));
}

#[test]
fn without_room_for_a_copy_the_package_has_the_module() {
    let system = System::new();
    let path = packaged(&system, "1-2");
    // Nothing can be put there, whoever tries.
    system.put("var/lib/kpatch", "in the way");
    let said = system.kmend(&["install", path.to_str().unwrap()]).ends(0);
    said.complains("is not copied, and is loaded from where it is");
    let copy = system.folder(RELEASE).join(file("1-2"));
    system.kmend(&["load", copy.to_str().unwrap()]).ends(0);
    assert_eq!(system.asked(), [format!("load /usr/lib/kpatch/{RELEASE}/{}", file("1-2"))]);
    system.kmend(&["unload", &name("1-2")]).ends(0);
    system.kmend(&["load", "--all"]).ends(0);
    assert_eq!(system.in_force(), [(name("1-2"), true)]);
    // What is no package's has to be copied.
    let own = system.file("own.ko", &Ko::new("own", RELEASE).bytes());
    system.kmend(&["install", &own]).ends(1);
}
