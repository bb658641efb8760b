//! What a command leaves behind when it cannot finish: a full disk, Ctrl-C,
//! standard output that takes nothing, an output in the place of an input.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::command::{data, refused};
use common::folder;

/// A folder with the shipped float network and data.
struct Bench {
    dir: PathBuf,
    data: String,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let dir = folder(name);
        let images = dir.join("data");
        fs::create_dir(&images).unwrap();
        let data = data(&images);
        fs::write(dir.join("net.onnx"), bitat_models::artefacts::fashion_mnist_float()).unwrap();
        Bench { dir, data }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A short conversion of `net.onnx`: three epochs of four steps.
    fn convert(&self, more: &[&str]) -> Vec<String> {
        let net = self.path("net.onnx");
        let fixed = ["convert", &net, "--data", &self.data, "--mean", "73", "--std", "90"];
        let short = ["--steps", "12", "--batch", "16", "--train-limit", "64", "--limit", "200"];
        fixed.iter().chain(&short).chain(more).map(|s| (*s).to_owned()).collect()
    }

    /// Everything there is now, sorted, less `net.onnx` and the data.
    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<String> = names.map(|n| n.into_string().unwrap()).collect();
        names.retain(|n| n != "data" && n != "net.onnx");
        names.sort();
        names
    }
}

fn refused_all(args: &[String], code: i32, words: &[&str]) {
    refused(&args.iter().map(String::as_str).collect::<Vec<_>>(), code, words);
}

#[test]
fn an_output_that_cannot_be_is_refused_before_the_work() {
    let bench = Bench::new("outputs-refused");
    fs::create_dir(bench.dir.join("folder")).unwrap();
    let folder = bench.path("folder");
    let inside = bench.path("no/such/net.bitat");
    let convert = |more: &[&str]| bench.convert(more);
    refused_all(&convert(&["-o", &folder]), 1, &["folder", "is a folder"]);
    refused_all(&convert(&["-o", &inside]), 1, &["no/such/net.bitat", "make it first"]);
    let net = bench.path("net.bitat");
    let checkpoint = ["-o", &net, "--checkpoint", &folder];
    refused_all(&convert(&checkpoint), 1, &["folder", "is a folder"]);
    refused(&["train", "--data", &bench.data, "-o", &folder], 1, &["folder", "is a folder"]);

    let report = bench.dir.join("demo/report.html");
    fs::create_dir_all(&report).unwrap();
    let demo = bench.path("demo");
    refused(&["demo", "-o", &demo], 1, &["report.html", "is a folder"]);
    assert_eq!(fs::read_dir(&demo).unwrap().count(), 1, "nothing beside the report's folder");
    assert_eq!(bench.left(), ["demo", "folder"]);
}

/// A checkpoint is removed at the end of its run: a run whose checkpoint was
/// its output once reported success and left nothing, and one whose checkpoint
/// was the float network removed that.
#[test]
fn no_output_takes_the_place_of_an_input_or_of_another_output() {
    let bench = Bench::new("outputs-same");
    let (onnx, net) = (bench.path("net.onnx"), bench.path("net.bitat"));
    let other_name = bench.path("data/../net.onnx");
    let convert = |more: &[&str]| bench.convert(more);
    refused_all(&convert(&["-o", &onnx]), 2, &["--output", "MODEL is the same file"]);
    refused_all(&convert(&["-o", &other_name]), 2, &["--output", "MODEL is the same file"]);
    let checkpoint = ["-o", &net, "--checkpoint", &onnx];
    refused_all(&convert(&checkpoint), 2, &["--checkpoint", "MODEL is the same file"]);
    let checkpoint = ["-o", &net, "--checkpoint", &net];
    refused_all(&convert(&checkpoint), 2, &["--checkpoint", "--output is the same file"]);
    let names = bench.path("data/classes.txt");
    refused_all(&convert(&["-o", &names, "--names", &names]), 2, &["--names is the same file"]);
    assert_eq!(fs::read(&onnx).unwrap(), bitat_models::artefacts::fashion_mnist_float());
    assert!(bench.left().is_empty());
}

#[test]
fn a_checkpoint_of_other_inputs_or_none_at_all_is_refused() {
    let bench = Bench::new("outputs-foreign");
    let (net, checkpoint) = (bench.path("net.bitat"), bench.path("state"));
    let resume = bench.convert(&["-o", &net, "--checkpoint", &checkpoint, "--resume"]);
    refused_all(&resume, 1, &["--resume", "state", "leave --resume out"]);
    fs::write(&checkpoint, b"bitatck\x01 and then something else").unwrap();
    refused_all(&resume, 1, &["--resume", "state", "leave --resume out"]);
    assert_eq!(bench.left(), ["state"]);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use common::command::{BITAT, bitat, stderr, stdout};
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Output, Stdio};

    /// Runs the command where no file may grow beyond 8 or 16 KiB (shells
    /// count in blocks of 512 or 1024 bytes): a write fails in the middle of a
    /// file, as on a full disk.
    fn on_a_full_disk(args: &[String]) -> Output {
        let script = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", BITAT]).args(args);
        command.output().expect("a shell starts")
    }

    /// Asserts that a full disk was met at `file`.
    fn met(output: &Output, file: &str) -> String {
        let text = stderr(output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stdout(output).is_empty() && !text.contains("panicked"), "{text}");
        let error = text.lines().last().unwrap_or_default().to_owned();
        assert!(error.starts_with("error:") && error.contains(file), "{text}");
        error
    }

    /// Presses Ctrl-C once a line of standard error begins with `line`.
    fn stopped_after(args: &[String], line: &str) {
        let mut command = Command::new(BITAT);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|l| l.starts_with(line)), "no line '{line}…' came");
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let last = lines.last().unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{last}");
        assert!(last.contains("the same command with --resume goes on from"), "{last}");
        assert!(output.stdout.is_empty());
    }

    #[test]
    fn ctrl_c_and_a_full_disk_cost_no_work_and_change_no_byte() {
        let bench = Bench::new("outputs-stopped");
        let whole = bench.path("whole.bitat");
        let args: Vec<String> = bench.convert(&["-o", &whole]);
        let made = bitat(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(made.status.success(), "{}", stderr(&made));

        let net = bench.path("net.bitat");
        let start = bench.convert(&["-o", &net]);
        let resume = bench.convert(&["-o", &net, "--resume"]);
        // A checkpoint that cannot be kept.
        met(&on_a_full_disk(&start), "net.bitat.checkpoint");
        assert_eq!(bench.left(), ["whole.bitat"]);
        // Stopped in the middle; the next checkpoint cannot be kept, the one before stays.
        stopped_after(&start, "epoch  1.0");
        met(&on_a_full_disk(&resume), "net.bitat.checkpoint");
        assert_eq!(bench.left(), ["net.bitat.checkpoint", "whole.bitat"]);
        // Other inputs than those it was made with.
        let other = bench.convert(&["-o", &net, "--resume", "--depthwise", "1"]);
        refused_all(&other, 1, &["net.bitat.checkpoint", "another --depthwise or --keep"]);
        let fewer = ["--train-limit", "63"];
        let mut other = resume.clone();
        let at = other.iter().position(|a| a == fewer[0]).unwrap();
        other[at + 1] = fewer[1].into();
        refused_all(&other, 1, &["net.bitat.checkpoint", "another set of training images"]);
        // Stopped after the last step, before the proof has ended; then the output does not fit.
        stopped_after(&resume, "epoch  3.0");
        let error = met(&on_a_full_disk(&resume), "net.bitat: cannot be written");
        assert!(error.contains("--resume"), "{error}");
        assert_eq!(bench.left(), ["net.bitat.checkpoint", "whole.bitat"]);

        let made = bitat(&resume.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(made.status.success(), "{}", stderr(&made));
        assert_eq!(bench.left(), ["net.bitat", "whole.bitat"]);
        assert_eq!(fs::read(&net).unwrap(), fs::read(&whole).unwrap());
    }

    /// A batch of pictures of nothing in ten classes, as IDX files in `dir`.
    fn noise(dir: &Path) -> String {
        const IMAGES: usize = 128;
        let dir = dir.join("noise");
        fs::create_dir(&dir).unwrap();
        let header = |sizes: &[usize]| {
            let sizes: Vec<u8> = sizes.iter().flat_map(|n| (*n as u32).to_be_bytes()).collect();
            [0, 0, 8].into_iter().chain([sizes.len() as u8 / 4]).chain(sizes).collect::<Vec<u8>>()
        };
        let mut random = bitat_data::Random::new(&[5]);
        let pixels = (0..IMAGES * 28 * 28).map(|_| random.below(256) as u8);
        let images = [header(&[IMAGES, 28, 28]), pixels.collect()].concat();
        let labels = [header(&[IMAGES]), (0..IMAGES).map(|i| (i % 10) as u8).collect()].concat();
        for split in ["train", "t10k"] {
            fs::write(dir.join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
            fs::write(dir.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
        }
        dir.display().to_string()
    }

    #[test]
    fn train_and_demo_leave_no_part_of_a_file_on_a_full_disk() {
        let bench = Bench::new("outputs-full");
        let noise = noise(&bench.dir.join("data"));
        let own = |args: &[&str]| args.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let onnx = bench.path("made.onnx");
        let train = ["train", "--data", &noise, "-o", &onnx, "--width", "0.25"];
        let short = ["--steps", "1", "--batch", "8", "--train-limit", "8", "--limit", "8"];
        met(&on_a_full_disk(&own(&[&train[..], &short].concat())), "made.onnx.checkpoint");
        assert!(bench.left().is_empty());

        let demo = bench.path("demo");
        let args = ["demo", "-o", &demo, "--data", &noise, "--steps", "1", "--limit", "8"];
        met(&on_a_full_disk(&own(&args)), "float.onnx");
        assert_eq!(fs::read_dir(&demo).unwrap().count(), 0);
    }

    #[test]
    fn a_reader_that_had_enough_is_no_error() {
        let dir = folder("outputs-pipe");
        let net = dir.join("net.bitat");
        fs::write(&net, bitat_models::artefacts::fashion_mnist_packed()).unwrap();
        for more in [&[][..], &["--json"]] {
            let mut command = Command::new(BITAT);
            command.arg("inspect").arg(&net).args(more);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(output.stderr.is_empty(), "{}", stderr(&output));
        }
    }

    /// Linux has a file that is always full.
    #[cfg(target_os = "linux")]
    #[test]
    fn full_standard_streams_are_an_error_without_a_panic() {
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let bench = Bench::new("outputs-streams");
        let net = bench.path("net.bitat");
        fs::write(&net, bitat_models::artefacts::fashion_mnist_packed()).unwrap();
        let (data, missing) = (bench.data.as_str(), bench.path("missing"));
        let commands = [
            vec!["inspect", &net],
            vec!["eval", &net, "--data", data, "--limit", "20"],
            vec!["bench", &net, "--runs", "2"],
        ];
        for args in commands {
            for more in [&[][..], &["--json"]] {
                let mut command = Command::new(BITAT);
                let output = command.args(&args).args(more).stdout(full()).output().unwrap();
                met(&output, "standard output");
            }
        }
        let mut command = Command::new(BITAT);
        let output = command.args(["inspect", &missing]).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "a panic would be 101");
    }

    #[test]
    fn a_device_is_not_replaced_by_a_file() {
        let bench = Bench::new("outputs-device");
        refused_all(&bench.convert(&["-o", "/dev/null"]), 1, &["/dev/null", "ordinary file"]);
        assert!(!Path::new("/dev/null").is_file());
    }
}
