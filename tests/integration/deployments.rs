//! What is deployed: files that no test can run here, held to what they promise.

/// A file in `deployments/`.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deployments").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of the compose file that describes a service.
fn service(name: &str) -> String {
    let compose = file("compose.yaml");
    let (_, after) = compose.split_once(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no service {name}"));
    let is_within = |line: &&str| line.is_empty() || line.starts_with("    ");
    after.lines().take_while(is_within).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_image_has_no_catalog_and_whoever_tries_it_out_mounts_the_sample() {
    let dockerfile = file("Dockerfile");
    let copied: Vec<_> = dockerfile.lines().filter(|line| line.starts_with("COPY ") || line.starts_with("ADD ")).collect();
    assert_eq!(copied, ["COPY . .", "COPY --from=build /out/processor /out/producers /out/sender /"]);
    let mount = "\"../schemas:/schemas:ro\"";
    let catalog = service("catalog");
    assert!(catalog.contains("\"apply\", \"/schemas\"]") && catalog.contains(mount), "{catalog}");
    let producers = service("producers");
    assert!(producers.contains("working_dir: /\n") && producers.contains(mount), "{producers}");
    assert!(!service("processor").contains("schemas"), "the daemon reads the catalog from the database alone");
}

#[test]
fn the_sender_is_deployed_beside_the_daemon_in_the_same_sandbox() {
    let unit = |name: &str| file(name);
    let sandbox =
        |text: &str| text.split_once("# The sandbox.").map(|(_, rest)| rest.lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    let [daemon, sender] = ["event-processor.service", "event-processor-sender.service"].map(unit);
    assert!(sandbox(&daemon).is_some() && sandbox(&daemon) == sandbox(&sender), "{sender}");
    assert!(sender.contains("\nExecStart=/usr/local/bin/sender\n"), "{sender}");
    let service = service("sender");
    assert!(service.contains("entrypoint: [\"/sender\"]") && service.contains("LISTEN_ADDRESS: 0.0.0.0:9465"), "{service}");
    assert!(file("Dockerfile").contains("--bin sender"));
}
