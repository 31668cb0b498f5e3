//! Providers as they document themselves: a server of our own that looks at each request as Google Analytics, Google Ads, Microsoft
//! Advertising, Meta, HubSpot, Slack or Twilio would, and answers as they do. What they would not understand is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub status: u16,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// What all of them remember.
#[derive(Default)]
pub struct World {
    pub asked: Vec<Asked>,
    /// What a provider would not have understood.
    pub wrong: Vec<String>,
    /// Order ids and click ids that Google Ads has.
    orders: BTreeSet<String>,
    tokens: u32,
    /// Click ids that Google Ads does not find, or finds too young.
    pub unknown: BTreeSet<String>,
    pub young: BTreeSet<String>,
    /// HubSpot: kind and id to properties, with the contact that it belongs to.
    pub things: BTreeMap<(String, u64), Value>,
    /// What a search does not show yet.
    hidden: BTreeSet<(String, u64)>,
}

pub struct Providers {
    pub address: SocketAddr,
    pub world: Arc<Mutex<World>>,
    closed: Arc<AtomicBool>,
}

impl Providers {
    pub fn start() -> Providers {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free address");
        let address = socket.local_addr().expect("an address");
        let (world, closed) = (Arc::new(Mutex::new(World::default())), Arc::new(AtomicBool::new(false)));
        let (all, over) = (world.clone(), closed.clone());
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let all = all.clone();
                std::thread::spawn(move || serve(&stream, &all));
            }
        });
        Providers { address, world, closed }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests whose path has these words in it, that were taken.
    pub fn taken(&self, words: &str) -> Vec<Asked> {
        let world = self.world.lock().expect("requests");
        world.asked.iter().filter(|it| it.path.contains(words) && it.status < 300).cloned().collect()
    }

    pub fn things(&self, kind: &str) -> Vec<Value> {
        let world = self.world.lock().expect("requests");
        world.things.iter().filter(|((of, _), _)| of == kind).map(|(_, thing)| thing.clone()).collect()
    }

    /// Nothing that came was other than documented.
    pub fn understood_everything(&self) {
        let world = self.world.lock().expect("requests");
        assert!(world.wrong.is_empty(), "{:#?}", world.wrong);
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, all: &Mutex<World>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let (method, rest) = line.split_once(' ')?;
    let (method, path) = (method.to_owned(), rest.split(' ').next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut asked = Asked { method, path, headers, body: String::from_utf8(body).expect("text"), status: 0 };
    let (status, answer) = {
        let mut world = all.lock().expect("requests");
        let (status, answer) = world.answer(&asked).unwrap_or_else(|wrong| {
            world.wrong.push(format!("{} {}: {wrong}: {}", asked.method, asked.path, asked.body));
            (400, json!({"error": {"message": wrong, "code": 100}, "message": wrong}))
        });
        asked.status = status;
        world.asked.push(asked);
        (status, answer)
    };
    let text = if answer.is_null() { String::new() } else { answer.to_string() };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .ok()
}

type Answered = Result<(u16, Value), String>;

fn must(condition: bool, wrong: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(wrong.to_owned()) }
}

impl World {
    fn answer(&mut self, asked: &Asked) -> Answered {
        let path = asked.path.as_str();
        match path {
            _ if path.starts_with("/mp/collect?") => google_analytics(asked),
            "/token" => self.token(asked),
            _ if path.ends_with(":uploadClickConversions") => self.google_ads(asked),
            "/CampaignManagement/v13/OfflineConversions/Apply" => microsoft(asked),
            _ if path.ends_with("/events") => meta(asked),
            _ if path.starts_with("/crm/v3/objects/") => self.hubspot(asked),
            _ if path.starts_with("/services/") => slack(asked),
            _ if path.starts_with("/2010-04-01/") => twilio(asked),
            _ => Err("nobody answers there".to_owned()),
        }
    }

    /// RFC 6749, section 6.
    fn token(&mut self, asked: &Asked) -> Answered {
        let form = asked.form();
        must(form.get("grant_type").is_some_and(|it| it == "refresh_token"), "grant_type")?;
        must(form.get("refresh_token").is_some_and(|it| it == "1//refresh"), "refresh_token")?;
        must(form.contains_key("client_id"), "client_id")?;
        self.tokens += 1;
        Ok((200, json!({"access_token": format!("token-{}", self.tokens), "expires_in": 3599, "token_type": "Bearer"})))
    }

    /// conversion_upload_service.proto, as JSON.
    fn google_ads(&mut self, asked: &Asked) -> Answered {
        must(asked.path == "/v26/customers/1234567890:uploadClickConversions", "path")?;
        must(asked.header("developer-token") == "dev", "developer-token")?;
        if !asked.header("authorization").starts_with("Bearer token-") {
            return Ok((
                401,
                json!({"error": {"code": 401, "message": "no credentials", "status": "UNAUTHENTICATED"}}),
            ));
        }
        let body = asked.json();
        must(body["partialFailure"] == json!(true), "partialFailure must be true")?;
        let conversion = &body["conversions"][0];
        let clicks: Vec<&str> = ["gclid", "gbraid", "wbraid"].iter().filter_map(|it| conversion[it].as_str()).collect();
        must(clicks.len() == 1, "one click id")?;
        must(conversion["conversionAction"] == json!("customers/1234567890/conversionActions/42"), "conversionAction")?;
        let time = conversion["conversionDateTime"].as_str().unwrap_or_default();
        let at = chrono::DateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%:z");
        must(time.len() == 25 && at.is_ok(), "conversionDateTime is no yyyy-mm-dd hh:mm:ss+|-hh:mm")?;
        must(
            ["GRANTED", "DENIED"].contains(&conversion["consent"]["adUserData"].as_str().unwrap_or_default()),
            "consent",
        )?;
        let order = conversion["orderId"].as_str().ok_or("orderId")?;
        let failed = |code: &str| {
            let error = json!({"errorCode": {"conversionUploadError": code}, "message": "told by the test"});
            let details = json!([{"@type": "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure", "errors": [error]}]);
            let failure = json!({"code": 3, "message": "told by the test", "details": details});
            Ok((200, json!({"partialFailureError": failure, "results": [{}]})))
        };
        match () {
            () if self.unknown.contains(clicks[0]) => failed("EVENT_NOT_FOUND"),
            () if self.young.contains(clicks[0]) => failed("TOO_RECENT_EVENT"),
            () if !self.orders.insert(order.to_owned()) => failed("ORDER_ID_ALREADY_IN_USE"),
            () => Ok((200, json!({"results": [conversion], "jobId": "1"}))),
        }
    }

    /// Objects, their search, and associations (developers.hubspot.com, CRM API v3).
    fn hubspot(&mut self, asked: &Asked) -> Answered {
        must(asked.header("authorization") == "Bearer pat-1", "authorization")?;
        let rest = asked.path.trim_start_matches("/crm/v3/objects/");
        let (kind, id) = rest.split_once('/').unwrap_or((rest, ""));
        must(["contacts", "deals", "tasks"].contains(&kind), "no such object")?;
        let body = asked.json();
        let key = |id: u64| (kind.to_owned(), id);
        match (asked.method.as_str(), id) {
            ("POST", "search") => {
                let found = self.search(kind, &body)?;
                // What was made before is found from the next search on.
                self.hidden.clear();
                let results: Vec<Value> = found.iter().map(|id| json!({"id": id.to_string()})).collect();
                Ok((200, json!({"total": results.len(), "results": results})))
            }
            ("POST", "") => {
                let mut thing = body["properties"].as_object().cloned().ok_or("properties")?;
                if kind == "tasks" {
                    must(thing.contains_key("hs_timestamp"), "hs_timestamp is required")?;
                }
                if kind != "contacts" {
                    let to = &body["associations"][0];
                    let wanted = if kind == "deals" { 3 } else { 204 };
                    must(to["types"][0]["associationTypeId"] == json!(wanted), "associationTypeId")?;
                    must(to["types"][0]["associationCategory"] == json!("HUBSPOT_DEFINED"), "associationCategory")?;
                    thing.insert("associations.contact".to_owned(), to["to"]["id"].clone());
                }
                let id = 100 + self.things.len() as u64;
                self.things.insert(key(id), Value::Object(thing));
                self.hidden.insert(key(id));
                Ok((201, json!({"id": id.to_string(), "properties": body["properties"]})))
            }
            ("PATCH", id) => {
                let id: u64 = id.parse().map_err(|_| "no id")?;
                let thing = self.things.get_mut(&key(id)).ok_or("no such thing")?;
                for (name, value) in body["properties"].as_object().ok_or("properties")? {
                    thing[name.as_str()] = value.clone();
                }
                Ok((200, json!({"id": id.to_string()})))
            }
            _ => Err("no such request".to_owned()),
        }
    }

    fn search(&self, kind: &str, body: &Value) -> Result<Vec<u64>, String> {
        let groups =
            body["filterGroups"].as_array().filter(|all| (1..=5).contains(&all.len())).ok_or("filterGroups")?;
        let met = |thing: &Value, filter: &Value| {
            let name = filter["propertyName"].as_str().unwrap_or_default();
            let value = thing.get(name).filter(|value| **value != json!(""));
            match filter["operator"].as_str().unwrap_or_default() {
                "EQ" => value == Some(&filter["value"]),
                "HAS_PROPERTY" => value.is_some(),
                _ => false,
            }
        };
        let all = |thing: &Value, group: &Value| {
            group["filters"].as_array().is_some_and(|filters| filters.iter().all(|filter| met(thing, filter)))
        };
        let own = self.things.iter().filter(|(key, _)| key.0 == kind && !self.hidden.contains(key));
        Ok(own.filter(|(_, thing)| groups.iter().any(|group| all(thing, group))).map(|(key, _)| key.1).collect())
    }
}

/// Measurement Protocol (GA4), reference and limitations. It answers 2xx whatever comes; the test is stricter.
fn google_analytics(asked: &Asked) -> Answered {
    must(asked.path == "/mp/collect?measurement_id=G-TEST&api_secret=s1", "measurement_id and api_secret")?;
    let body = asked.json();
    must(body["client_id"].as_str().is_some_and(|it| !it.is_empty()), "client_id")?;
    let age = chrono::Utc::now().timestamp_micros() - body["timestamp_micros"].as_i64().ok_or("timestamp_micros")?;
    must((0..72 * 3_600_000_000_i64).contains(&age), "timestamp_micros is too far back, or ahead")?;
    let events = body["events"].as_array().filter(|all| (1..=25).contains(&all.len())).ok_or("events")?;
    for event in events {
        let name = event["name"].as_str().ok_or("name")?;
        must(name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "an event's name")?;
        let params = event["params"].as_object().filter(|all| all.len() <= 25).ok_or("params")?;
        let fits = |value: &Value| value.is_number() || value.as_str().is_some_and(|it| it.chars().count() <= 100);
        must(params.iter().all(|(name, value)| name.len() <= 40 && fits(value)), "a parameter")?;
    }
    Ok((204, Value::Null))
}

/// ApplyOfflineConversions, version 13.
fn microsoft(asked: &Asked) -> Answered {
    for (name, value) in [("developertoken", "dev"), ("customerid", "1"), ("customeraccountid", "2")] {
        must(asked.header(name) == value, name)?;
    }
    must(asked.header("authorization").starts_with("Bearer token-"), "authorization")?;
    let body = asked.json();
    let conversions = body["OfflineConversions"].as_array().filter(|all| all.len() == 1).ok_or("OfflineConversions")?;
    let time = conversions[0]["ConversionTime"].as_str().unwrap_or_default();
    must(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "ConversionTime is no UTC time")?;
    must(conversions[0]["MicrosoftClickId"].is_string(), "MicrosoftClickId")?;
    must(conversions[0]["ConversionName"] == json!("calls"), "ConversionName")?;
    Ok((200, json!({"PartialErrors": [], "TrackingId": "x"})))
}

/// Conversions API: server event and customer information parameters.
fn meta(asked: &Asked) -> Answered {
    must(asked.path == "/v24.0/77/events", "path")?;
    let body = asked.json();
    must(body["access_token"] == json!("EAA"), "access_token")?;
    let event = &body["data"][0];
    let age = chrono::Utc::now().timestamp() - event["event_time"].as_i64().ok_or("event_time")?;
    must((0..7 * 86_400).contains(&age), "event_time is more than 7 days back, or no seconds")?;
    must(
        event["action_source"] == json!("phone_call") && event["event_name"].is_string(),
        "action_source, event_name",
    )?;
    let hashed = |value: &Value| {
        let is_hash =
            |it: &Value| it.as_str().is_some_and(|it| it.len() == 64 && it.bytes().all(|b| b.is_ascii_hexdigit()));
        value.is_null() || value.as_array().is_some_and(|all| all.iter().all(is_hash)) || is_hash(value)
    };
    must(hashed(&event["user_data"]["ph"]) && hashed(&event["user_data"]["external_id"]), "not hashed")?;
    if let Some(fbc) = event["user_data"]["fbc"].as_str() {
        let parts: Vec<&str> = fbc.splitn(4, '.').collect();
        must(parts.len() == 4 && parts[0] == "fb" && parts[1] == "1" && parts[2].len() == 13, "fbc")?;
    }
    Ok((200, json!({"events_received": 1, "messages": [], "fbtrace_id": "x"})))
}

/// Incoming webhooks.
fn slack(asked: &Asked) -> Answered {
    must(asked.header("content-type").starts_with("application/json"), "content-type")?;
    must(asked.json()["text"].as_str().is_some_and(|text| !text.is_empty()), "no_text")?;
    Ok((200, json!("ok")))
}

/// Messages resource, create.
fn twilio(asked: &Asked) -> Answered {
    must(asked.path == "/2010-04-01/Accounts/AC1/Messages.json", "path")?;
    let credentials = base64::engine::general_purpose::STANDARD.encode("AC1:token");
    must(asked.header("authorization") == format!("Basic {credentials}"), "authorization")?;
    must(asked.header("content-type") == "application/x-www-form-urlencoded", "content-type")?;
    let form = asked.form();
    for name in ["To", "From", "Body"] {
        must(form.get(name).is_some_and(|it| !it.is_empty()), name)?;
    }
    must(form["To"].starts_with('+') && form["Body"].chars().count() <= 1600, "To, Body")?;
    Ok((201, json!({"sid": "SM1", "status": "queued"})))
}
