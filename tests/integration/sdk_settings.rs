//! What the AWS SDK reads by itself: variables that are empty, carry a line's end or are wrong, proxies, and the hosts of queues' URLs.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::daemon::Daemon;
use crate::stack::{Directory, PROCESSOR, PRODUCERS, SENDER, Stack, eventually};
use crate::terminal::{Ended, Terminal};

/// Sends an empty object to a queue with these variables in place of a stack's own, or beside them.
async fn send(stack: &Stack, queue: &str, variables: &[(&'static str, &str)]) -> Ended {
    let mut environment = stack.environment();
    environment.retain(|(name, _)| !variables.iter().any(|(other, _)| other == name));
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Terminal::with(environment).run_on(PRODUCERS, &["send", "--queue", queue], "{}").await
}

async fn check_sent(stack: &Stack, variables: &[(&'static str, &str)]) {
    let ended = send(stack, "events", variables).await;
    assert_eq!((ended.status, ended.errors.as_str()), (0, ""), "{variables:?}");
}

#[tokio::test]
async fn an_empty_variable_of_the_sdk_counts_as_not_set_and_white_space_around_one_is_none_of_it() {
    let stack = Stack::start(&["events"]).await;
    let server = stack.server.endpoint_url();
    for variables in [
        [("AWS_ENDPOINT_URL", ""), ("AWS_ENDPOINT_URL_SQS", &server)],
        [("AWS_ENDPOINT_URL", &server), ("AWS_ENDPOINT_URL_SQS", "")],
        [("AWS_ENDPOINT_URL", &format!("{server}\n")), ("AWS_PROFILE", "")],
        [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-east-1")],
        [("AWS_REGION", "us-east-1\n"), ("AWS_SESSION_TOKEN", "")],
        [("AWS_ACCESS_KEY_ID", "test\n"), ("AWS_SECRET_ACCESS_KEY", "test\r\n")],
        [("AWS_SESSION_TOKEN", "test\n"), ("AWS_CONFIG_FILE", "")],
        // They are others': every client has its own way of trying again.
        [("AWS_MAX_ATTEMPTS", ""), ("AWS_RETRY_MODE", "soon")],
        [("HTTP_PROXY", ""), ("HTTPS_PROXY", "")],
    ] {
        check_sent(&stack, &variables).await;
    }
}

#[tokio::test]
async fn a_wrong_variable_of_the_sdk_is_named_before_anything_is_asked() {
    let stack = Stack::start(&["events"]).await;
    let url = "write a URL as https://sqs.eu-central-1.amazonaws.com or http://localhost:4566, or unset it";
    let credential = "is (not shown): it holds a space, a line's end or a letter beyond ASCII, which no credential has; write it anew";
    let proxy = "is (not shown): write the URL of an HTTP proxy, as http://proxy.example.com:3128, or unset it";
    for (name, value, told) in [
        ("AWS_ENDPOINT_URL", "nonsense", format!("is \"nonsense\": {url}")),
        ("AWS_ENDPOINT_URL_SQS", "127.0.0.1:4566", format!("is \"127.0.0.1:4566\": {url}")),
        ("AWS_ENDPOINT_URL", "http://", format!("is \"http://\": {url}")),
        ("AWS_ENDPOINT_URL", "http://a b", format!("is \"http://a b\": {url}")),
        ("AWS_REGION", "us east 1", "is \"us east 1\": write a region as eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "te\nst", credential.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "te st", credential.to_owned()),
        ("AWS_SESSION_TOKEN", "tést", credential.to_owned()),
        ("HTTPS_PROXY", "socks5://user:s3cret@proxy:1080", proxy.to_owned()),
        ("http_proxy", "::", proxy.to_owned()),
        ("ALL_PROXY", "http://", proxy.to_owned()),
    ] {
        let sentence = format!("the value of {name} {told}\n");
        let ended = send(&stack, "events", &[(name, value)]).await;
        assert_eq!((ended.status, ended.errors.as_str()), (78, sentence.as_str()), "{name} {value}");
        let mut environment = stack.environment();
        environment.retain(|(name, _)| *name != "LOG_FORMAT");
        environment.extend([("QUEUES", "events".to_owned()), (name, value.to_owned())]);
        let ended = Terminal::with(environment).run(PROCESSOR, &["run"]).await;
        assert_eq!((ended.status, ended.errors.as_str()), (78, sentence.as_str()), "{name} {value}");
    }
    let directory = Directory::create();
    for (value, quoted) in [("", "\"\""), ("nonsense", "\"nonsense\"")] {
        directory.write("config", &format!("[profile other]\nendpoint_url = {value}\n"));
        let file = directory.0.join("config").display().to_string();
        let ended = send(&stack, "events", &[("AWS_ENDPOINT_URL", ""), ("AWS_CONFIG_FILE", &file), ("AWS_PROFILE", "other")]).await;
        let told = format!("the endpoint_url of the AWS profile in use is {quoted}: write a URL as ");
        assert!(ended.status == 78 && ended.errors.starts_with(&told), "{ended:?}");
    }
}

#[tokio::test]
async fn an_unfit_credential_that_a_program_gives_is_told_and_does_not_end_the_process() {
    let stack = Stack::start(&["events"]).await;
    let directory = Directory::create();
    let check = async |key: &str, status: i32, told: &str| {
        directory.write("key", &format!(r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "test"}}"#));
        directory.write("config", &format!("[default]\ncredential_process = cat {}/key\n", directory.0.display()));
        let file = directory.0.join("config").display().to_string();
        let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        let ended = send(&stack, "events", &[none[0], none[1], ("AWS_CONFIG_FILE", &file), ("PATH", "/bin:/usr/bin")]).await;
        assert!(ended.status == status && ended.errors.contains(told), "{ended:?}");
    };
    check("test\\n", 0, "").await;
    check("te\\nst", 69, "the access key id holds a space, a line's end or a letter beyond ASCII, which no credential has; ").await;
}

#[tokio::test]
async fn the_arn_of_a_queue_is_told_how_to_be_written() {
    for (arn, right) in [
        (
            "arn:aws:sqs:eu-central-1:123456789012:events",
            "an ARN does not say where to ask for the queue; write its URL, https://sqs.eu-central-1.amazonaws.com/123456789012/events, or \
             its name, events, with AWS_REGION=eu-central-1",
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:123456789012:events.fifo",
            "an ARN does not say where to ask for the queue; write its URL, \
             https://sqs.cn-north-1.amazonaws.com.cn/123456789012/events.fifo, or its name, events.fifo, with AWS_REGION=cn-north-1",
        ),
        ("arn:aws:sns:eu-central-1:123456789012:topic", "an ARN of something else than a queue; write the queue's name or URL"),
    ] {
        let ended = Terminal::with(vec![("QUEUES", format!("{arn}=acme"))]).run(PROCESSOR, &["run"]).await;
        let sentence = format!("the value of QUEUES (--queues) is \"{arn}=acme\": in `{arn}=acme`, {right}\n");
        assert_eq!((ended.status, ended.errors), (78, sentence));
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_by_its_host_in_a_short_sentence() {
    let stack = Stack::start(&["events"]).await;
    let plain = stack.server.endpoint_url().replace("http://", "https://");
    let host = plain.trim_start_matches("https://");
    let end = "); check AWS_ENDPOINT_URL, the region and the network";
    for (endpoint_url, told) in [
        ("http://127.0.0.1:1", "SQS does not answer (connection: 127.0.0.1:1 refuses the connection".to_owned()),
        ("http://no-such-host.invalid", "SQS does not answer (connection: the name no-such-host.invalid cannot be looked up (".to_owned()),
        (&plain, format!("SQS does not answer (connection: what answers at {host} does not speak TLS; http:// would reach it")),
    ] {
        let daemon = stack.daemon("events?trust=any", &[("AWS_ENDPOINT_URL", endpoint_url)]).await;
        daemon.says(&format!("queue events: {told}")).await;
        let (_, readiness) = daemon.get("/readyz").await;
        assert!(readiness.contains(end) && !readiness.contains('{') && !readiness.contains("hyper"), "{readiness}");
        assert_eq!(daemon.stop().await, 0);
        let ended = send(&stack, "events", &[("AWS_ENDPOINT_URL", endpoint_url)]).await;
        assert!(ended.status == 69 && ended.errors.starts_with(&format!("the queue events cannot be used: {told}")), "{ended:?}");
    }
    let fips = send(&stack, "events", &[("AWS_USE_FIPS_ENDPOINT", "true")]).await;
    let told = "the queue events cannot be used: no request can be made (request: Invalid Configuration: FIPS and custom endpoint are not \
                supported); check AWS_REGION, AWS_ENDPOINT_URL and AWS_USE_FIPS_ENDPOINT\n";
    assert_eq!((fips.status, fips.errors.as_str()), (69, told));
}

/// An HTTP proxy that keeps what it was asked for; it passes requests on to one server, whatever host they name, and makes no tunnels.
struct HttpProxy {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl HttpProxy {
    async fn before(server: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (heads, server) = (Arc::new(Mutex::new(Vec::new())), server.trim_start_matches("http://").to_owned());
        let mut accepting = JoinSet::new();
        let kept = Arc::clone(&heads);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(converse(client, server.clone(), Arc::clone(&kept)));
            }
        });
        Self { url, heads, _accepting: accepting }
    }

    /// What it was asked for since it was asked this the last time.
    fn take(&self) -> String {
        std::mem::take(&mut *self.heads.lock().expect("the heads")).join("\n")
    }
}

async fn converse(mut client: TcpStream, server: String, heads: Arc<Mutex<Vec<String>>>) {
    let mut begun = Vec::new();
    while !begun.windows(4).any(|window| window == b"\r\n\r\n") {
        if client.read_buf(&mut begun).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&begun).into_owned();
    let is_tunnel = head.starts_with("CONNECT ");
    heads.lock().expect("the heads").push(head);
    if is_tunnel {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let mut server = TcpStream::connect(server).await.expect("the server listens");
    server.write_all(&begun).await.expect("the server reads");
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test]
async fn the_proxies_of_the_environment_are_heeded_as_by_other_clients() {
    let stack = Stack::start(&["events"]).await;
    let proxy = HttpProxy::before(&stack.server.endpoint_url()).await;
    let with_password = proxy.url.replace("http://", "http://user:s3cret@");
    let far = ("AWS_ENDPOINT_URL", "http://sqs.example.test");

    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        check_sent(&stack, &[far, (name, &with_password)]).await;
        let asked = proxy.take().to_lowercase();
        assert!(asked.contains("post http://sqs.example.test/ http/1.1\r\n"), "{name}: {asked}");
        assert!(asked.contains("proxy-authorization: basic dxnlcjpzm2nyzxq="), "{name}: {asked}");
    }

    let secure = ("AWS_ENDPOINT_URL", "https://sqs.example.test");
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let ended = send(&stack, "events", &[secure, (name, &proxy.url)]).await;
        assert!(ended.errors.contains("the proxy does not connect to sqs.example.test"), "{name}: {ended:?}");
        assert!(proxy.take().starts_with("CONNECT sqs.example.test:443 HTTP/1.1\r\n"), "{name}");
    }
    // An empty one in capitals does not hide the other.
    let ended = send(&stack, "events", &[secure, ("HTTPS_PROXY", ""), ("https_proxy", &proxy.url)]).await;
    assert!(ended.status == 69 && !proxy.take().is_empty(), "{ended:?}");

    for around in ["sqs.example.test", "example.test", ".example.test", "*"] {
        for (name, endpoint) in [("NO_PROXY", far), ("no_proxy", secure)] {
            let ended = send(&stack, "events", &[endpoint, ("ALL_PROXY", &proxy.url), (name, around)]).await;
            assert!(ended.errors.contains("the name sqs.example.test (or the proxy before it) cannot be looked up"), "{around}: {ended:?}");
            assert_eq!(proxy.take(), "", "{around}");
        }
    }
    check_sent(&stack, &[("HTTP_PROXY", &proxy.url)]).await;
    assert_eq!(proxy.take(), "", "what is on this machine needs no proxy");
}

#[tokio::test]
async fn a_queue_is_asked_at_its_urls_host_and_by_that_ones_region() {
    let stack = Stack::start(&["events"]).await;
    let proxy = HttpProxy::before(&stack.server.endpoint_url()).await;
    for (host, region) in [
        ("vpce-1.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("queue.amazonaws.com", "us-east-1"),
        ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
        ("sqs-fips.us-west-2.amazonaws.com", "us-west-2"),
        ("sqs.ap-south-1.api.aws", "ap-south-1"),
        ("sqs.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    ] {
        // Not where the variable points: the queue's URL says better.
        let mut environment = stack.environment();
        environment.extend([
            ("HTTP_PROXY", proxy.url.clone()),
            ("QUEUES", format!("http://{host}/000000000000/events?trust=any")),
            ("AWS_USE_FIPS_ENDPOINT", host.contains("fips").to_string()),
        ]);
        let daemon = Daemon::start(environment).await;
        let asked = eventually("the host is asked", async || Some(proxy.take()).filter(|asked| !asked.is_empty())).await;
        assert!(asked.contains(&format!("POST http://{host}/ HTTP/1.1\r\n")), "{asked}");
        assert!(asked.contains(&format!("/{region}/sqs/aws4_request")), "{asked}");
        assert_eq!(daemon.stop().await, 0);
        proxy.take();
    }
}

#[tokio::test]
async fn without_certificates_of_authorities_each_program_that_needs_them_says_so_and_the_others_go_on() {
    let stack = Stack::start(&["events"]).await;
    let nothing = Directory::create();
    nothing.write("empty.pem", "");
    let file = nothing.0.join("empty.pem").display().to_string();
    let directory = nothing.0.display().to_string();
    for (variables, told) in [
        (vec![("SSL_CERT_FILE", "/nowhere.pem")], "the value of SSL_CERT_FILE is \"/nowhere.pem\": ".to_owned()),
        (vec![("SSL_CERT_FILE", file.as_str())], format!("the value of SSL_CERT_FILE is {file:?}: ")),
        (
            vec![("SSL_CERT_FILE", file.as_str()), ("SSL_CERT_DIR", &directory)],
            format!("the value of SSL_CERT_FILE is {file:?} and the value of SSL_CERT_DIR is {directory:?}: "),
        ),
    ] {
        // This server is asked without TLS.
        check_sent(&stack, &variables).await;
        let sentence = format!(
            "{told}no certificate of an authority can be read there, without which no server is known by HTTPS; name a file of them in PEM, \
             or unset it to use the system's\n"
        );
        let ended = send(&stack, "events", &[variables.as_slice(), &[("AWS_ENDPOINT_URL", "")]].concat()).await;
        assert_eq!((ended.status, ended.errors.as_str()), (78, sentence.as_str()), "{variables:?}");
        let mut environment = stack.environment();
        environment.retain(|(name, _)| !["LOG_FORMAT", "AWS_ENDPOINT_URL"].contains(name));
        environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        environment.extend([("QUEUES", "events".to_owned()), ("LOG_FORMAT", "text".to_owned())]);
        for program in [PROCESSOR, SENDER] {
            let ended = Terminal::with(environment.clone()).run(program, &[]).await;
            assert_eq!((ended.status, ended.errors.as_str()), (78, sentence.as_str()), "{program} {variables:?}");
        }
    }
}
