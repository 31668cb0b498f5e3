//! The quick way through an event as most programs write one: no spaces, nothing escaped, every member of the
//! contract. Whatever is otherwise is left to the reader that knows all of JSON, and says what is wrong.

use super::envelope::{Data, Envelope};
use super::kind::Kind;
use super::{Body, Heartbeat, LeaseGranted, LeaseReleased, LeaseRenewed, PageView, Text, WebEvent};
use crate::phone::Phone;
use crate::time::Time;

/// Reads an envelope with what is most frequent as its data. On `None`, `into` is half filled.
pub(super) fn read<'a>(text: &'a str, into: &mut Envelope<'a>) -> Option<()> {
    if !is_plain(text.as_bytes()) {
        return None;
    }
    let mut scan = Scan { text, at: 0 };
    scan.open()?;
    while let Some(name) = scan.name()? {
        match name {
            "specversion" => scan.text_into(&mut into.specversion)?,
            "id" => scan.text_into(&mut into.id)?,
            "source" => scan.text_into(&mut into.source)?,
            "account" => scan.text_into(&mut into.account)?,
            "type" => put(&mut into.kind, Kind::of(scan.text()?)?)?,
            "time" => put(&mut into.time, scan.time()?)?,
            "recordedtime" => put(&mut into.recorded, scan.time()?)?,
            "data" => {
                let body = scan.body(into.kind?)?;
                if !matches!(into.data, Data::Absent) {
                    return None;
                }
                into.data = Data::Read(body);
            }
            _ => return None,
        }
    }
    (scan.at == text.len()).then_some(())
}

/// Nothing is escaped, and there are no control characters. Without an early end: many bytes are looked at at once.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, b| plain & (*b >= 0x20) & (*b != b'\\'))
}

fn put<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, expected: u8) -> Option<()> {
        (self.byte()? == expected).then(|| self.at += 1)
    }

    fn open(&mut self) -> Option<()> {
        self.eat(b'{')
    }

    /// The next member's name, up to its value; at the end of an object nothing, and the scan stands behind it.
    #[expect(clippy::option_option, reason = "no plain JSON, or the end of it")]
    fn name(&mut self) -> Option<Option<&'a str>> {
        // Values end with a quote, a bracket or a brace that closes: a brace that opens is the object's own.
        let is_first = self.text.as_bytes().get(self.at.wrapping_sub(1)) == Some(&b'{');
        match self.byte()? {
            b'"' if is_first => {}
            b',' if !is_first => self.at += 1,
            b'}' => {
                self.at += 1;
                return Some(None);
            }
            _ => return None,
        }
        let name = self.text()?;
        self.eat(b':')?;
        Some(Some(name))
    }

    fn text(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let from = self.at;
        let length = memchr::memchr(b'"', &self.text.as_bytes()[from..])?;
        self.at = from + length + 1;
        self.text.get(from..from + length)
    }

    fn text_into(&mut self, slot: &mut Option<Text<'a>>) -> Option<()> {
        put(slot, self.text()?.into())
    }

    fn time(&mut self) -> Option<Time> {
        Time::parse(self.text()?).ok()
    }

    fn phone(&mut self) -> Option<Phone> {
        Phone::parse(self.text()?).ok()
    }

    fn phones(&mut self) -> Option<Vec<Phone>> {
        self.eat(b'[')?;
        let mut phones = Vec::new();
        if self.byte()? != b']' {
            phones.push(self.phone()?);
            while self.byte()? == b',' {
                self.at += 1;
                phones.push(self.phone()?);
            }
        }
        self.eat(b']')?;
        Some(phones)
    }

    fn body(&mut self, kind: Kind) -> Option<Body<'a>> {
        self.open()?;
        match kind {
            Kind::PageView => self.page_view(),
            Kind::WebEvent => self.web_event(),
            Kind::Heartbeat => self.heartbeat(),
            Kind::LeaseGranted => self.lease_granted(),
            Kind::LeaseRenewed => self.lease_renewed(),
            Kind::LeaseReleased => self.lease_released(),
            _ => None,
        }
    }

    fn page_view(&mut self) -> Option<Body<'a>> {
        let (mut visitor_id, mut url) = (None, None);
        let mut view = PageView::default();
        while let Some(name) = self.name()? {
            match name {
                "visitor_id" => self.text_into(&mut visitor_id)?,
                "session_id" => self.text_into(&mut view.session_id)?,
                "page_view_id" => self.text_into(&mut view.page_view_id)?,
                "url" => self.text_into(&mut url)?,
                "referrer" => self.text_into(&mut view.referrer)?,
                "title" => self.text_into(&mut view.title)?,
                "user_agent" => self.text_into(&mut view.user_agent)?,
                "ip" => self.text_into(&mut view.ip)?,
                "language" => self.text_into(&mut view.language)?,
                "numbers" => put(&mut view.numbers, self.phones()?)?,
                "experiment_id" => self.text_into(&mut view.experiment_id)?,
                "experiment_variant" => self.text_into(&mut view.experiment_variant)?,
                "client_id" => self.text_into(&mut view.client_id)?,
                "client_session_id" => self.text_into(&mut view.client_session_id)?,
                "user_id" => self.text_into(&mut view.user_id)?,
                _ => return None,
            }
        }
        (view.visitor_id, view.url) = (visitor_id?, url?);
        Some(Body::PageView(view))
    }

    fn web_event(&mut self) -> Option<Body<'a>> {
        let (mut visitor_id, mut event_name) = (None, None);
        let mut web = WebEvent::default();
        while let Some(name) = self.name()? {
            match name {
                "visitor_id" => self.text_into(&mut visitor_id)?,
                "session_id" => self.text_into(&mut web.session_id)?,
                "name" => self.text_into(&mut event_name)?,
                "url" => self.text_into(&mut web.url)?,
                "number" => put(&mut web.number, self.phone()?)?,
                "currency" => self.text_into(&mut web.currency)?,
                _ => return None,
            }
        }
        (web.visitor_id, web.name) = (visitor_id?, event_name?);
        Some(Body::WebEvent(web))
    }

    fn heartbeat(&mut self) -> Option<Body<'a>> {
        let (mut visitor_id, mut session_id) = (None, None);
        while let Some(name) = self.name()? {
            match name {
                "visitor_id" => self.text_into(&mut visitor_id)?,
                "session_id" => self.text_into(&mut session_id)?,
                _ => return None,
            }
        }
        Some(Body::Heartbeat(Heartbeat { visitor_id: visitor_id?, session_id }))
    }

    fn lease_granted(&mut self) -> Option<Body<'a>> {
        let (mut lease_id, mut pool, mut number, mut extension) = (None, None, None, None);
        let (mut visitor_id, mut session_id, mut expires_at) = (None, None, None);
        while let Some(name) = self.name()? {
            match name {
                "lease_id" => self.text_into(&mut lease_id)?,
                "pool" => self.text_into(&mut pool)?,
                "number" => put(&mut number, self.phone()?)?,
                "extension" => self.text_into(&mut extension)?,
                "visitor_id" => self.text_into(&mut visitor_id)?,
                "session_id" => self.text_into(&mut session_id)?,
                "expires_at" => put(&mut expires_at, self.time()?)?,
                _ => return None,
            }
        }
        Some(Body::LeaseGranted(LeaseGranted {
            lease_id: lease_id?,
            pool: pool?,
            number: number?,
            extension,
            visitor_id: visitor_id?,
            session_id,
            expires_at: expires_at?,
        }))
    }

    fn lease_renewed(&mut self) -> Option<Body<'a>> {
        let (mut lease_id, mut expires_at) = (None, None);
        while let Some(name) = self.name()? {
            match name {
                "lease_id" => self.text_into(&mut lease_id)?,
                "expires_at" => put(&mut expires_at, self.time()?)?,
                _ => return None,
            }
        }
        Some(Body::LeaseRenewed(LeaseRenewed { lease_id: lease_id?, expires_at: expires_at? }))
    }

    fn lease_released(&mut self) -> Option<Body<'a>> {
        let mut lease_id = None;
        while let Some(name) = self.name()? {
            match name {
                "lease_id" => self.text_into(&mut lease_id)?,
                _ => return None,
            }
        }
        Some(Body::LeaseReleased(LeaseReleased { lease_id: lease_id? }))
    }
}
