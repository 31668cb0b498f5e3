//! Configurations good and bad, and what is said of them.

use std::path::Path;
use std::time::Duration;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads a file of this text, with these variables, from a folder that also holds some files to refer to.
fn load_text(text: &str, pairs: &[(&str, &str)], flags: Flags) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("scratch files");
    put("c.toml", text);
    put("acme.keys", "# of acme\nkey-of-acme-in-a-file\n\n second-key-in-a-file \n");
    put("empty", "\n");
    put("secret", "hush-hush\n");
    put("acme.json", r#"{"timezone": "Europe/Berlin", "target_seconds": 45}"#);
    put("bad.json", r#"{"timezone": "Europe/Berlin""#);
    put("wrong.toml", "timezone = \"Mars/Olympus\"\ntarget_seconds = -1\n");
    put("places.mmdb", "x");
    let flags = Flags { config: Some(folder.path().join("c.toml")), ..flags };
    let strip = |mistake: &Mistake| mistake.to_string().replace(&format!("{}/", folder.path().display()), "");
    load(&flags, &variables(pairs)).map_err(|mistakes| mistakes.0.iter().map(strip).collect())
}

#[test]
fn mistakes_are_told_with_place_and_mending() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
    let table: &[Case] = &[
        ("", &[], &[]),
        ("partitions = 0", &[], &["c.toml:1: partitions: 0 is out of range; give 1 to 1024"]),
        ("\npartitions = \"many\"", &[], &["c.toml:2: partitions: \"many\" is not a whole number; give 1 to 1024"]),
        ("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]", &[("CALLWEAVE_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")], &[]),
        (
            "trusted_proxies = [\"10.0.0.0/40\"]",
            &[],
            &["c.toml:1: trusted_proxies: \"10.0.0.0/40\" is no address or network such as 10.0.0.7, 10.0.0.0/8 or \
                 2001:db8::/32; give an address, or a network such as 10.0.0.0/8"],
        ),
        ("partitons = 4", &[], &["c.toml:1: partitons: there is no such member; did you mean partitions?"]),
        (
            "[limit]\nbody_bytes = 1",
            &[],
            &["c.toml:2: limit.body_bytes: there is no such member; did you mean limits.body_bytes?"],
        ),
        ("public_url = \"https://t.example/\"\n[accounts.acme]\ntwilio_auth_token = \"x\"", &[], &[]),
        (
            "[accounts.acme]\ntwilio_auth_token = \"x\"\nfreeswitch_credentials = \"x\"",
            &[],
            &[
                "c.toml:2: accounts.acme.twilio_auth_token: needs to know the address that the provider was told, for that is \
                 what it signs; give public_url",
                "c.toml:3: accounts.acme.freeswitch_credentials: has no colon; write it like USER:PASSWORD",
            ],
        ),
        (
            "public_url = \"calls.example.com\"",
            &[],
            &["c.toml:1: public_url: \"calls.example.com\" is no URL (relative URL without a base); write it like \
                 https://calls.example.com"],
        ),
        (
            "[[accounts.acme.follow]]\nformat = \"fax\"",
            &[],
            &[
                "c.toml:1: accounts.acme.follow: table 1 has the format \"fax\"; give asterisk, asterisk-cel, ami or 3cx",
            ],
        ),
        (
            "[retention]\n[elsewhere]",
            &[],
            &["c.toml:2: elsewhere: there is no such member; take it out; docs/configuration.md has all members"],
        ),
        (
            "body_bytes = 65536",
            &[],
            &["c.toml:1: body_bytes: there is no such member; did you mean limits.body_bytes?"],
        ),
        (
            "[limits]\nbody_bytes = \"16 Mebi\"",
            &[],
            &[
                "c.toml:2: limits.body_bytes: \"16 Mebi\" is not a number of bytes; write it like 16777216 or \"16 MiB\"",
            ],
        ),
        (
            "[limits]\nbody_bytes = \"200 MiB\"",
            &[],
            &[
                "c.toml:2: limits.body_bytes: holds fewer than two bodies of limits.body_bytes, packed and unpacked; raise it, or lower that",
            ],
        ),
        (
            "listen = \"8090\"",
            &[],
            &[
                "c.toml:1: listen.collect: \"8090\" is not an address and a port; write it like 127.0.0.1:8090 or [::]:8090",
            ],
        ),
        (
            "log = \"loud\"\n[x",
            &[],
            &["c.toml:2: not TOML: unclosed table, expected `]`; see https://toml.io for the syntax"],
        ),
        (
            "log = \"loud\"",
            &[],
            &[
                "c.toml:1: log.level: \"loud\" is not a log level: no such level. Give off, error, warn, info, debug or trace, or a filter such as info,callweave::collect=debug",
            ],
        ),
        ("log = 3", &[], &["c.toml:1: log.level: is a number; give text in quotes"]),
        (
            "lake = \"s3://bucket/lake\"",
            &[],
            &["c.toml:1: lake: s3:// cannot be written yet; give a path or a file:// URL"],
        ),
        (
            "lake = \"file://lake\"",
            &[],
            &["c.toml:1: lake: \"file://lake\" has no absolute path; write it like file:///srv/lake"],
        ),
        ("lake = \" \"", &[], &["c.toml:1: lake: is empty; give a value or leave it out"]),
        ("nats = \"http://x\"", &[], &["c.toml:1: nats.url: http:// is not NATS; write it like nats://127.0.0.1:4222"]),
        (
            "nats = \"nats://u:hush@x\"",
            &[],
            &["c.toml:1: nats.url: holds a user or token; give nats.user and nats.password_file, or nats.token_file"],
        ),
        ("nats = \"a, nats://a.example:4222, tls://[::1]:4222/, 10.0.0.1:65535\"", &[], &[]),
        (
            "\nnats.url = \"nats://127.0.0.1:abc\"",
            &[],
            &[
                "c.toml:2: nats.url: \"nats://127.0.0.1:abc\" is no server's address (invalid port number); write it like \
                 nats://127.0.0.1:4222",
            ],
        ),
        (
            "nats = \"nats://a:4222, b:70000\"",
            &[],
            &["c.toml:1: nats.url: \"b:70000\" is no server's address (invalid port number); write it like \
                 nats://127.0.0.1:4222"],
        ),
        (
            "nats = \"a:0\"",
            &[],
            &["c.toml:1: nats.url: \"a:0\" has no port of 1 to 65535; write it like nats://127.0.0.1:4222"],
        ),
        (
            "nats = \"nats://:4222\"",
            &[],
            &["c.toml:1: nats.url: \"nats://:4222\" is no server's address (empty host); write it like \
                 nats://127.0.0.1:4222"],
        ),
        (
            "nats = \"nats:///x\"",
            &[],
            &["c.toml:1: nats.url: \"nats:///x\" names no server; write it like nats://127.0.0.1:4222"],
        ),
        (
            "nats = \"wss://a\"",
            &[],
            &["c.toml:1: nats.url: wss:// is not spoken here; write it like nats://127.0.0.1:4222"],
        ),
        (
            "[nats]\nuser = \"u\"",
            &[],
            &[
                "c.toml:2: nats.user: has no server to be used with; give nats.url",
                "c.toml:2: nats.user: has no password; give nats.password_file",
            ],
        ),
        (
            "[nats]\nurl = \"x\"\ntoken = \"hush\"\ntoken_file = \"secret\"",
            &[],
            &["c.toml:3: nats.token: stands beside nats.token_file; keep one of them"],
        ),
        (
            "[nats]\nurl = \"x\"\ntoken_file = \"none\"",
            &[],
            &[
                "c.toml:3: nats.token_file: none cannot be read: No such file or directory (os error 2); give a file that this user may read",
            ],
        ),
        (
            "[nats]\nurl = \"x\"\ntoken_file = \"empty\"",
            &[],
            &["c.toml:3: nats.token_file: empty is empty; put the secret into it"],
        ),
        (
            "places = \"secret\"",
            &[],
            &["c.toml:1: places: secret is not a .mmdb file; give a database in MaxMind's format"],
        ),
        (
            "[accounts.acme]\nkeys = [\"short\"]",
            &[],
            &["c.toml:2: accounts.acme.keys: key 1 is shorter than 16 characters; make one with: openssl rand -hex 24"],
        ),
        (
            "[accounts.acme]\nkeys = [\"sixteen characters\"]",
            &[],
            &[
                "c.toml:2: accounts.acme.keys: key 1 does not fit a header; give 16 to 1024 visible ASCII characters without spaces",
            ],
        ),
        (
            "[accounts.acme]\nkeys = []",
            &[],
            &["c.toml:2: accounts.acme.keys: holds no key; make one with: openssl rand -hex 24"],
        ),
        (
            "[accounts.\"a b\"]\nkeys = [\"sixteen-characters\"]",
            &[],
            &["c.toml:2: accounts.a b: \"a b\" cannot name an account; give 1 to 64 letters, digits and - _ ."],
        ),
        (
            "[accounts.acme]\nkey = \"x\"",
            &[],
            &["c.toml:2: accounts.acme.key: there is no such member; did you mean accounts.acme.keys?"],
        ),
        (
            "[accounts.a]\nkeys=[\"the-same-key-twice\"]\n[accounts.b]\nkeys=[\"the-same-key-twice\"]",
            &[],
            &["c.toml:4: accounts.b.keys: key 1 is a key of account a already; give each key once"],
        ),
        (
            "[accounts.a]\nsettings = \"bad.json\"",
            &[],
            &[
                "c.toml:2: accounts.a.settings: bad.json cannot be read: EOF while parsing an object at line 1 column 28; give JSON, or TOML in a file named .toml",
            ],
        ),
        (
            "",
            &[("CALLWEAVE_PARTITONS", "3")],
            &["variable CALLWEAVE_PARTITONS: partitons: there is no such member; did you mean CALLWEAVE_PARTITIONS?"],
        ),
        (
            "nat = \"x\"",
            &[("CALLWEAVE_POSTGRS", "off"), ("CALLWEAVE_LAEK", "x")],
            &[
                "c.toml:1: nat: there is no such member; did you mean nats?",
                "variable CALLWEAVE_LAEK: laek: there is no such member; did you mean CALLWEAVE_LAKE?",
                "variable CALLWEAVE_POSTGRS: postgrs: there is no such member; did you mean CALLWEAVE_POSTGRES?",
            ],
        ),
        (
            "",
            &[("CALLWEAVE_LIMITS__EVENTS", "-1")],
            &["variable CALLWEAVE_LIMITS__EVENTS: limits.events: \"-1\" is not a whole number; give 1 to 10000000"],
        ),
        (
            "",
            &[("CALLWEAVE_BODY_BYTES", "1"), ("CALLWEAVE_LISTEN_ADMIN", "off")],
            &[
                "variable CALLWEAVE_BODY_BYTES: body_bytes: there is no such member; did you mean CALLWEAVE_LIMITS__BODY_BYTES?",
                "variable CALLWEAVE_LISTEN_ADMIN: listen_admin: there is no such member; did you mean \
                 CALLWEAVE_LISTEN__ADMIN?",
            ],
        ),
        ("", &[("CALLWEAVE_BIN", "/x/callweave"), ("CALLWEAVE_URL", "x"), ("CALLWEAVE_PATH", "x")], &[]),
        ("", &[("CALLWEAVE_PORT_8090_TCP", "tcp://10.0.0.1:8090"), ("CALLWEAVE_TEST_NATS", "x"), ("HOME", "/")], &[]),
        ("", &[("CALLWEAVE_CONFIG", "nowhere.toml")], &[]),
    ];
    for (text, pairs, expected) in table {
        let told = load_text(text, pairs, Flags::default()).err().unwrap_or_default();
        assert_eq!(told, *expected, "{text}");
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = "partitions = 0\n[accounts.acme]\nsettings = \"wrong.toml\"\nkeys = [\"a\"]\n[log]\nformat = \"xml\"\n";
    let flags = Flags { listen: Some("nowhere".into()), ..Flags::default() };
    let told = load_text(text, &[("CALLWEAVE_COMMIT__ROWS", "0")], flags).expect_err("seven mistakes");
    let starts = [
        "c.toml:1: partitions: ",
        "c.toml:3: accounts.acme.settings: wrong.toml: timezone",
        "c.toml:3: accounts.acme.settings: wrong.toml: target_seconds",
        "c.toml:4: accounts.acme.keys: ",
        "c.toml:6: log.format: ",
        "variable CALLWEAVE_COMMIT__ROWS: commit.rows: ",
        "flag --listen: listen.collect: ",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told} does not start with {start}");
    }
}

#[test]
fn mistakes_of_shape_in_settings_are_told_at_once() {
    let text = "[accounts.acme.settings]\ntimezone = \"Mars\"\nholidays = [\"2026-02-30\"]\n\
                numbers = [{ number = \"1\", kind = \"static\" }]\ntarget_seconds = \"30\"\n";
    let told = load_text(text, &[], Flags::default()).expect_err("four mistakes");
    let words = ["timezone: \"Mars\"", "holidays[0]: ", "numbers[0].number: ", "target_seconds: is the text \"30\""];
    assert_eq!(told.len(), words.len(), "{told:#?}");
    for words in words {
        assert!(told.iter().any(|told| told.contains(words)), "{words}: {told:#?}");
    }
}

#[test]
fn a_secret_of_the_file_gives_way_to_a_variable_that_names_its_file_and_the_other_way_round() {
    let text = "[nats]\nurl = \"x\"\nuser = \"u\"\npassword = \"of the file\"\n[accounts.acme]\nfreeswitch_credentials_file = \"secret\"\n";
    let pairs =
        [("CALLWEAVE_NATS__PASSWORD_FILE", "secret"), ("CALLWEAVE_ACCOUNTS__ACME__FREESWITCH_CREDENTIALS", "a:b")];
    let told = load_text(text, &pairs, Flags::default());
    // A variable's path is relative to the working folder, where there is no such file: it was read all the same.
    let told = told.err().unwrap_or_default();
    assert!(!told.iter().any(|told| told.contains("stands beside")), "{told:#?}");
    assert!(told.iter().any(|told| told.starts_with("variable CALLWEAVE_NATS__PASSWORD_FILE: ")), "{told:#?}");
    let pairs = [pairs[0], ("CALLWEAVE_NATS__PASSWORD", "hush")];
    let told = load_text(text, &pairs, Flags::default()).err().unwrap_or_default();
    assert!(told.iter().any(|told| told.contains("stands beside nats.password_file")), "{told:#?}");
}

#[test]
fn a_later_layer_wins_and_the_rest_stays() {
    let text = "lake = \"lake-of-file\"\npartitions = 8\nnats = \"nats://file:4222\"\n[accounts.acme]\nkeys_file = \
                \"acme.keys\"\nsettings = \"acme.json\"\n[limits]\nbody_bytes = \"1MiB\"\nhead_seconds = 5\n";
    let pairs = [
        ("CALLWEAVE_NATS", "nats://variable:4222"),
        ("CALLWEAVE_NATS__TOKEN", "hush-hush"),
        ("CALLWEAVE_PARTITIONS", "16"),
        ("CALLWEAVE_ACCOUNTS__BETA__KEYS", "first-key-of-beta,other-key-of-beta"),
        ("CALLWEAVE_RETENTION__LOG_BYTES", "0"),
        ("CALLWEAVE_ADMIN", "127.0.0.1:9999"),
    ];
    let flags = Flags { partitions: Some("32".into()), listen: Some("localhost:0".into()), ..Flags::default() };
    let config = load_text(text, &pairs, flags).expect("a good configuration");
    assert_eq!(config.partitions, Some(32));
    assert!(config.lake().ends_with("/lake-of-file"), "relative to the file: {}", config.lake());
    let nats = config.nats.as_ref().expect("NATS is configured");
    assert_eq!(
        (nats.url.as_str(), nats.token.as_ref().map(Secret::reveal)),
        ("nats://variable:4222", Some("hush-hush"))
    );
    assert_eq!(config.limits, Limits { body_bytes: 1 << 20, head: Duration::from_secs(5), ..Limits::default() });
    assert_eq!(config.retention.log_bytes, None);
    assert_eq!(config.listen.collect.to_string(), "127.0.0.1:0");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:9999");
    let acme = &config.accounts["acme"];
    assert_eq!(acme.keys.len(), 2);
    assert_eq!(acme.settings.as_ref().map(|settings| settings.target_seconds), Some(45.0));
    assert_eq!(config.accounts["beta"].keys.len(), 2);
    assert!(!format!("{config:?}").contains("hush"), "secrets are not shown");
}

#[test]
fn defaults_are_as_documented() {
    let mut config = Config::default();
    for member in members::MEMBERS.iter().filter(|member| !member.default.is_empty()) {
        let value = serde_json::Value::String(member.default.to_owned());
        let given = given::Given { value: &value, origin: &entries::Origin::Default };
        (member.set)(&mut config, &given).unwrap_or_else(|what| panic!("{}: {what}", member.name));
        assert_eq!(config, Config::default(), "the default of {} is not {}", member.name, member.default);
    }
}

#[test]
fn the_example_is_right() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let folder = tempfile::tempdir().expect("a scratch folder");
    std::fs::copy(deploy.join("callweave.toml"), folder.path().join("callweave.toml")).expect("the example is there");
    std::fs::copy(deploy.join("acme.keys.example"), folder.path().join("acme.keys")).expect("its keys are there");
    let flags = Flags { config: Some(folder.path().join("callweave.toml")), ..Flags::default() };
    let report = check(&flags, &[], |_| Vec::new());
    assert!(report.is_right(), "{report}");
    assert!(report.to_string().contains("ok     account acme: 1 keys, settings given\n"), "{report}");
}

#[test]
fn what_is_hardly_meant_is_told_and_no_mistake() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("c.toml");
    let text = r#"
        retention.log_days = 1
        [accounts.acme]
        keys = ["a-key-of-acme-itself"]
        settings = { pools = [{ name = "p", hold_minutes = 1440, cooldown_minutes = 60, on_exhausted = "share" }], routes = [{ pool = "p", city = "Bern" }] }
    "#;
    std::fs::write(&file, text).expect("a scratch file");
    let ours = variables(&[("CALLWEAVE_BIN", "/x/callweave")]);
    let flags = Flags { config: Some(file), ..Flags::default() };
    let report = check(&flags, &ours, |_| Vec::new());
    assert!(report.is_right(), "{report}");
    assert_eq!(load(&flags, &ours).expect("right").doubtful.len(), 3, "what a start warns of");
    // Beside a mistake, too.
    let wrong = variables(&[("CALLWEAVE_BIN", "/x/callweave"), ("CALLWEAVE_PARTITIONS", "many")]);
    let other = check(&flags, &wrong, |_| Vec::new());
    assert_eq!((other.wrong.len(), other.doubtful), (1, report.doubtful.clone()));
    let report = report.to_string();
    for words in [
        "variable CALLWEAVE_BIN: bin: there is no such member; it is left alone",
        "accounts.acme.settings: pools[0]: no number belongs to the pool \"p\"",
        "accounts.acme.settings: has routes by country, region or city, and none is ever known; name a database with places",
        "retention.log_days: is shorter than a number of pool \"p\" of account acme is held and rests, 1500 minutes: it \
         would go to another visitor too early; give 2 days or more",
    ] {
        let line = report.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {report}"));
        assert!(line.starts_with("warn   "), "{line}");
    }
}

/// What `up` would not start with is told before it is tried.
#[test]
fn what_nothing_starts_with_is_told() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(at("file"), "").expect("a scratch file");
    let account = "[accounts.acme]\nkeys = [\"a-key-of-acme-itself\"]\n";
    let (data, lake) =
        (format!("data = \"{}/x\"\n{account}", at("file")), format!("lake = \"{}\"\n{account}", at("file")));
    let apart = format!("listen = {{ collect = \"0.0.0.0:9000\", postgres = \"127.0.0.1:9001\" }}\n{account}");
    for (text, expected) in [
        (
            "listen.collect = \"0.0.0.0:9000\"",
            vec!["listen.collect: no account is configured, and 0.0.0.0:9000 is open"],
        ),
        (
            &*format!(
                "listen = {{ collect = \"0.0.0.0:9000\", admin = \"0.0.0.0:9000\", postgres = \"127.0.0.1:9000\" }}\n{account}"
            ),
            vec!["listen.postgres: 127.0.0.1:9000 is the address of listen.collect, too; give another port"],
        ),
        (&*apart, vec![]),
        (
            &*format!("query.tls_key = \"{}\"\n{account}", at("file")),
            vec!["query.tls_key: has no certificate; give query.tls_certificate"],
        ),
        (&*data, vec!["data: ", "is a file, not a folder; give another folder"]),
        (&*lake, vec!["lake: ", "is a file, not a folder; give another folder"]),
    ] {
        let file = folder.path().join("c.toml");
        std::fs::write(&file, text).expect("a scratch file");
        let report = check(&Flags { config: Some(file), ..Flags::default() }, &[], |_| Vec::new());
        assert_eq!(report.is_right(), expected.is_empty(), "{text}: {report}");
        let told = report.to_string();
        assert!(expected.iter().all(|words| told.contains(words)), "{text}: {told}");
    }
    let report = check(&Flags::default(), &[], |_| vec!["accounts.acme.settings: the webhook x: y".to_owned()]);
    let told = report.to_string();
    assert!(
        !report.is_right()
            && told.ends_with("wrong  accounts.acme.settings: the webhook x: y\nThe configuration has 1 mistake.\n"),
        "{told}"
    );
    // Beside other mistakes, too.
    let wrong = Flags { listen: Some("nowhere".into()), ..Flags::default() };
    assert!(check(&wrong, &[], |_| vec!["x".to_owned()]).to_string().ends_with("has 2 mistakes.\n"));
}

#[test]
fn the_page_is_in_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("CALLWEAVE_BLESS").is_some() {
        std::fs::write(&path, page()).expect("docs/configuration.md can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page(),
        "docs/configuration.md is out of step: run CALLWEAVE_BLESS=1 cargo test the_page_is_in_step"
    );
}

#[test]
fn a_first_run_makes_one_key_and_keeps_it() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let fresh = || Config { data: folder.path().join("data"), ..Config::default() };
    let mut config = fresh();
    let first = FirstRun::prepare(&mut config).expect("a first run").expect("an account was made");
    assert!(first.made);
    assert_eq!(config.accounts[DEFAULT_ACCOUNT], first.account);
    let key = first.account.keys[0].reveal();
    assert!(
        key.len() > 60 && !first.welcome(config.listen.collect, None).contains(key),
        "the key itself is not printed"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&first.key_file).expect("the key's file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = FirstRun::prepare(&mut fresh()).expect("a second run").expect("an account again");
    assert!(!again.made && again.account.keys == first.account.keys, "the key stays");
    let password = std::fs::read_to_string(&first.password_file).expect("the password's file");
    for account in [&first.account, &again.account] {
        let verifier: Verifier = account.logins[0].verifier.parse().expect("a verifier");
        assert!(verifier.fits(password.trim()), "the password stays");
    }
    assert!(FirstRun::prepare(&mut config).expect("configured now").is_none());

    let mut open = fresh();
    open.listen.collect = "0.0.0.0:8090".parse().expect("an address");
    let told = FirstRun::prepare(&mut open).expect_err("other machines could post").to_string();
    assert!(told.starts_with("no account is configured, and 0.0.0.0:8090 is open to other machines; "), "{told}");
}
