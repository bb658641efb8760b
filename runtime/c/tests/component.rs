//! The folder that firmware copies: what each build system looks for in it.

mod common;

use std::fs;
use std::process::Command;

use common::{archive, compiler, folder, here, succeed, write};

fn text(path: &str) -> String {
    fs::read_to_string(here(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Arduino refuses a library whose properties lack one of these.
#[test]
fn arduino_finds_its_properties() {
    let text = text("component/library.properties");
    let mut properties = text.lines().map(|line| line.split_once('=').expect("name=value"));
    let of = |wanted: &str| text.lines().find_map(|l| l.strip_prefix(&format!("{wanted}=")));
    for name in ["author", "maintainer", "sentence", "paragraph", "category"] {
        assert!(of(name).is_some_and(|value| !value.is_empty()), "{name}");
    }
    let known = ["name", "version", "author", "maintainer", "sentence", "paragraph", "category"];
    let more = ["url", "architectures", "includes", "precompiled", "ldflags"];
    assert!(properties.all(|(name, _)| known.contains(&name) || more.contains(&name)));
    assert_eq!(of("name"), Some("bitat"));
    assert_eq!(of("version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(of("includes"), Some("bitat.h"));
    assert_eq!((of("precompiled"), of("ldflags")), (Some("true"), Some("-lbitat")));
    assert!(here("component/src/bitat.h").is_file());
}

#[test]
fn esp_idf_and_zephyr_find_their_manifests() {
    let version = format!("version: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(text("component/idf_component.yml").lines().next(), Some(version.as_str()));

    // The manifest's paths are from the module's folder.
    let module = text("component/zephyr/module.yml");
    assert!(module.contains("  cmake: zephyr\n  kconfig: zephyr/Kconfig\n"), "{module}");
    let (kconfig, cmake) =
        (text("component/zephyr/Kconfig"), text("component/zephyr/CMakeLists.txt"));
    let options: Vec<_> = kconfig.lines().filter_map(|l| l.strip_prefix("config ")).collect();
    assert_eq!(options, ["BITAT", "BITAT_LIBRARY"]);
    for option in options {
        assert!(cmake.contains(&format!("CONFIG_{option}")), "{option} is asked for");
    }
}

/// What `bitat export --c net.h` declares, for a network of one grey 2x2 image.
const EXPORTED: &str = "#include <stdint.h>\n\
    #define NET_ARENA_BYTES 96\n#define NET_IMAGE_BYTES 4\n#define NET_CLASSES 2\n\
    static const uint8_t net_model[48] = {0};\n";

/// The code that the documentation shows compiles, links, and refuses a model
/// that is none.
#[test]
fn the_code_in_the_documentation_compiles() {
    let dir = folder("documentation");
    write(&dir, "net.h", EXPORTED.as_bytes());
    for page in ["component/README.md", "../../README.md"] {
        let page_text = text(page);
        let code = page_text.split("```c\n").nth(1).and_then(|rest| rest.split("```").next());
        let code = code.unwrap_or_else(|| panic!("{page} shows C"));
        let main = "\nint main(void) {\n    static uint8_t image[NET_IMAGE_BYTES];\n    \
                    return classify(image) == -1 ? 0 : 1;\n}\n";
        let source = write(&dir, "shown.c", format!("{code}{main}").as_bytes());
        let mut cc = compiler("cc", "c99");
        cc.arg("-I").arg(&dir).arg(source).arg(archive()).arg("-o").arg(dir.join("shown"));
        succeed(cc.args(["-lpthread", "-ldl", "-lm"]));
        succeed(&mut Command::new(dir.join("shown")));
    }
}
