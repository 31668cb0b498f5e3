//! XML 1.0, as much of it as TwiML needs: elements, attributes and text, all of it escaped.

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

#[derive(Debug)]
pub(super) struct Xml {
    text: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// A document with this root.
    pub fn new(root: &'static str) -> Xml {
        let mut xml = Xml { text: DECLARATION.to_owned(), open: Vec::new() };
        xml.open(root, &[]);
        xml
    }

    pub fn open(&mut self, name: &'static str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.text.push('>');
        self.open.push(name);
    }

    pub fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
    }

    pub fn empty(&mut self, name: &'static str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.text.push_str("/>");
    }

    /// An element with nothing but text in it.
    pub fn text(&mut self, name: &'static str, attributes: &[(&str, &str)], text: &str) {
        self.start(name, attributes);
        self.text.push('>');
        escape(text, &mut self.text);
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }

    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.text.push('<');
        self.text.push_str(name);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
    }
}

/// Line breaks are written as references, so that they survive in attributes; characters that XML cannot hold
/// (section 2.2) are left out.
fn escape(text: &str, into: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&apos;"),
            '\t' | '\n' | '\r' => into.push_str(&format!("&#{};", u32::from(letter))),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => into.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader makes of escaped text.
    fn unescaped(text: &str) -> String {
        let pairs = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&apos;", "'"),
            ("&#9;", "\t"),
            ("&#10;", "\n"),
            ("&#13;", "\r"),
            ("&amp;", "&"),
        ];
        pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    #[test]
    fn documents_are_whole() {
        let mut xml = Xml::new("Response");
        xml.open("Dial", &[("action", "https://a.example/?a=1&b=\"2\"")]);
        xml.text("Number", &[], "<Hangup/>\u{0}");
        xml.close();
        xml.empty("Hangup", &[]);
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Dial \
                        action=\"https://a.example/?a=1&amp;b=&quot;2&quot;\"><Number>&lt;Hangup/&gt;</Number></Dial><Hangup/></Response>";
        assert_eq!(xml.finish(), expected);
    }

    proptest! {
        #[test]
        fn text_cannot_leave_its_place(text in any::<String>()) {
            let mut written = String::new();
            escape(&text, &mut written);
            prop_assert!(!written.contains(['<', '>', '"', '\'', '\n', '\r', '\t', '\0']));
            let kept: String = text.chars().filter(|c| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')).collect();
            prop_assert_eq!(unescaped(&written), kept);
        }
    }
}
