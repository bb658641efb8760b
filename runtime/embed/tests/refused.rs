//! What a compiler says about a file that is no network, and that it looks
//! again when the file has changed: a package is written and built for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const NETWORK: &[u8] = include_bytes!("../../format/tests/golden/bare.bitat");
const OTHER: &[u8] = include_bytes!("../../format/tests/golden/everything.bitat");

const PROGRAM: &str = r#"mod model {
    bitat_embed::include_model!("net.bitat");
}

fn main() {
    model::network().run(&[0; model::INPUT_BYTES], &mut model::Arena::new());
}
"#;

/// A package that embeds the file `net.bitat` beside its manifest.
struct Package(PathBuf);

impl Package {
    fn new(name: &str) -> Package {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = '{name}'\nedition = '2024'\n[workspace]\n[dependencies]\n\
             bitat-runtime.path = '{0}'\nbitat-embed.path = '{0}/embed'\n",
            runtime.display()
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        // The versions that are here already: nothing is fetched.
        fs::copy(runtime.parent().unwrap().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        Package(folder)
    }

    fn network(&self, bytes: &[u8]) {
        fs::write(self.0.join("net.bitat"), bytes).unwrap();
    }

    /// Checks the program; what the compiler says if it refuses it.
    fn check(&self, program: &str) -> Result<(), String> {
        fs::write(self.0.join("src/main.rs"), program).unwrap();
        let output = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(["check", "--offline", "--quiet", "--color=never"])
            .current_dir(&self.0)
            // All of it here, whatever the tests themselves are built for.
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            .env("RUSTFLAGS", "-Dwarnings")
            .env_remove("CARGO_BUILD_TARGET")
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn refuses(&self, program: &str, expected: &[&str]) {
        let said = self.check(program).expect_err("it was compiled");
        for text in expected {
            assert!(said.contains(text), "no `{text}` in:\n{said}");
        }
        // One error, at the macro's argument, and none in what it expands to.
        assert!(said.contains("src/main.rs:2:"), "{said}");
        assert_eq!(said.matches("include_model!").count(), 1, "{said}");
    }
}

#[test]
fn a_file_that_is_no_network_does_not_compile_and_a_changed_one_is_seen() {
    let package = Package::new("embed-refused");
    package.network(NETWORK);
    package.check(PROGRAM).unwrap();

    let damaged = |at: usize| {
        let mut bytes = NETWORK.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let half = &NETWORK[..NETWORK.len() / 2];
    let cases: [(&[u8], &[&str]); 8] = [
        (b"", &["the file ends too early"]),
        (half, &["the file ends too early; copy or download it again"]),
        (&damaged(NETWORK.len() - 1), &["byte 16: the checksum does not match"]),
        (&damaged(8), &["byte 8: another format version"]),
        (b"\x08\x07\x12\x07pytorch", &["byte 0: not a packed bitat network"]),
        // Shifted by a byte: aligned in memory, but nothing stands where it must.
        (&[b"\n", NETWORK].concat(), &["byte 0: not a packed bitat network"]),
        (&[NETWORK, b"\n"].concat(), &["there are bytes after the end of the file"]),
        (b"\x89BITAT\r\n", &["the file ends too early"]),
    ];
    for (bytes, expected) in cases {
        package.network(bytes);
        package.refuses(PROGRAM, expected);
        package.refuses(PROGRAM, &["embed-refused/net.bitat: "]);
        // A good file again, so that each case is a change that cargo must see.
        package.network(NETWORK);
        package.check(PROGRAM).unwrap();
    }

    // A good file in place of another: lengths follow.
    let lengths = PROGRAM.replace("fn main", "const _: [(); 1] = [(); model::LAYERS];\nfn main");
    package.check(&lengths).unwrap();
    package.network(OTHER);
    let said = package.check(&lengths).expect_err("the other network has more layers");
    assert!(said.contains("E0308"), "{said}");
    package.check(PROGRAM).unwrap();
}

#[test]
fn an_option_that_there_is_not_is_named() {
    let package = Package::new("embed-options");
    package.network(NETWORK);
    for good in ["\"net.bitat\",", "\"net.bitat\", whole", "\"net.bitat\", whole,"] {
        package.check(&PROGRAM.replace("\"net.bitat\"", good)).unwrap();
    }
    let none = ["there is no option `rows`; say `whole` for whole layers"];
    for (bad, expected) in [
        ("\"net.bitat\", rows", &none[..]),
        ("\"net.bitat\" whole", &["expected `,`"]),
        ("\"net.bitat\", \"whole\"", &["expected identifier"]),
        ("\"net.bitat\", whole, whole", &["unexpected token"]),
    ] {
        package.refuses(&PROGRAM.replace("\"net.bitat\"", bad), expected);
    }
}

#[test]
fn a_path_that_leads_nowhere_says_where_it_was_sought() {
    let package = Package::new("embed-sought");
    package.refuses(
        &PROGRAM.replace("net.bitat", "no/such.bitat"),
        &[
            "embed-sought/no/such.bitat: ",
            "the path starts from the folder of the crate's Cargo.toml",
        ],
    );
    package.refuses(&PROGRAM.replace("net.bitat", "src"), &["embed-sought/src: "]);
    package.refuses(&PROGRAM.replace("\"net.bitat\"", "net"), &["expected string literal"]);
}
