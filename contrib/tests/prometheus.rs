// SPDX-License-Identifier: GPL-2.0-or-later
//! The dashboard's expressions and the rules in a real Prometheus that scraped what kmend prints.

use crate::streams::{self, fix, missing, stream};
use crate::system::{name, Plan, System, RELEASE};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What kmend prints on four hosts.
fn pages() -> BTreeMap<String, String> {
    let patched = streams::at(System::new(), streams::NOW);
    let mut of = stream("1-10");
    of["level"] = json!("5.14.0-362.13.1");
    let why = "b.c: it needs CONFIG_B, which this kernel does not set";
    let fixes =
        [fix("a: check", &["CVE-2026-1001"], "1-9"), missing("b: not here", &["CVE-2026-1011"], "not-built", why)];
    streams::install(&patched, "1-10", &fixes, of);
    patched.kmend(&["load", "--all"]).ends(0);
    patched.kmend(&["shutdown-mark"]);
    let kernels = json!({RELEASE: {"version": "1-10"}});
    streams::note(&patched, "available.json", json!({"checked": "2026-11-23", "kernels": kernels}));
    let tags = "<tags><content>kmend</content><content>kmend-valid-until=2027-01-01T00:00:00Z</content></tags>";
    let index = format!("<repomd><revision>1795500000</revision>{tags}</repomd>");
    patched.put("var/cache/dnf/live-0123456789abcdef/repodata/repomd.xml", &index);
    let crashed = System::new();
    crashed.version("1-10");
    crashed.kmend(&["load", "--all"]).ends(0);
    crashed.boots_again();
    crashed.kmend(&["load", "--all"]);
    let functions = BTreeMap::from([(name("1-10"), vec!["vmlinux/type_show,17".to_string()])]);
    let stalled = System::with(Plan { functions, ..Plan::default() });
    stalled.version("1-10");
    stalled.loaded(&name("1-10"), true, true);
    stalled.task(812, 812, "collector", "0", "[<0>] msleep+0x2b/0x40\n[<0>] type_show+0x1b/0x40");
    let systems = [("patched", patched), ("bare", System::new()), ("crashed", crashed), ("stalled", stalled)];
    let print = |system: &System| system.kmend(&["status", "--prometheus"]).ends(0).out;
    systems.iter().map(|(name, system)| (format!("/{name}"), print(system))).collect()
}

/// Serves the pages; its port.
fn serve(pages: BTreeMap<String, String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let path = first.split(' ').nth(1).unwrap_or_default();
            let body = pages.get(path).map_or("", String::as_str);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

struct Server {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn new(scraped: u16, pages: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = |page: &String| {
            format!(
                "      - targets: ['127.0.0.1:{scraped}']\n        labels: {{__metrics_path__: '{page}', instance: '{}'}}\n",
                &page[1..]
            )
        };
        let targets: String = pages.iter().map(target).collect();
        let rules = fs::canonicalize(contrib("prometheus/kmend.rules.yml")).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n  - job_name: node\n    static_configs:\n{targets}",
            rules.display()
        );
        fs::write(dir.path().join("config.yml"), config).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", dir.path().join("config.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child =
            command.stdout(Stdio::null()).stderr(log).spawn().expect("prometheus is missing: cargo xtask contrib");
        Self { child, port, _dir: dir }
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
    }

    /// The result of an expression: labels and values.
    fn query(&self, expression: &str) -> Vec<Value> {
        let quoted: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={quoted}")).unwrap_or_default();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

#[test]
fn the_dashboard_shows_what_kmend_prints() {
    let pages = pages();
    let paths: Vec<String> = pages.keys().cloned().collect();
    let server = Server::new(serve(pages), &paths);
    server.wait("Prometheus does not start", || server.get("/api/v1/query?query=1").is_some());
    server.wait("nothing is scraped", || server.query("kmend_verdict == 1").len() == 4);
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(contrib("grafana/kmend.json")).unwrap()).unwrap();
    let mut shown = BTreeMap::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap().replace("$instance", ".*").replace("$job", ".*");
            let result = server.query(&expression);
            assert!(!result.is_empty(), "{}: {expression} gives nothing", panel["title"]);
            for label in promised(target["legendFormat"].as_str().unwrap()) {
                assert!(result.iter().all(|r| r["metric"][&label].is_string()), "{}: no label {label}", panel["title"]);
            }
            shown.insert((panel["title"].as_str().unwrap(), target["refId"].as_str().unwrap()), result);
        }
    }
    let number = |title: &str| shown[&(title, "A")][0]["value"][1].as_str().unwrap().parse::<f64>().unwrap();
    let numbers = ["Hosts", "Patched", "Not patched", "Reboot needed", "In transition", "Update waits"].map(number);
    assert_eq!(numbers, [4.0, 0.25, 1.0, 1.0, 1.0, 0.0]);
    let hosts = |title: &str, id: &str| {
        let mut all: Vec<_> =
            shown[&(title, id)].iter().map(|r| r["metric"]["instance"].as_str().unwrap().to_owned()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(hosts("Hosts that want attention", "A"), ["bare", "crashed", "stalled"]);
    assert_eq!(hosts("Live patches end", "A"), ["patched"]);
    assert_eq!(hosts("CVEs, failures, tasks, by host", "C").len(), 4);
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')).unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        let result = server.query(&selector.replace("$job", ".*"));
        assert!(!result.is_empty() && result.iter().all(|r| r["metric"][label].is_string()), "{query}");
    }
    // The rules without a wait fire, and no rule fails.
    let firing =
        || server.query("ALERTS{alertstate=\"firing\"}").iter().any(|r| r["metric"]["alertname"] == "KmendSetAside");
    server.wait("KmendSetAside does not fire", firing);
    let rules = server.get("/api/v1/rules").unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:#?}");
}

/// The labels in a legend.
fn promised(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().into()).collect()
}
