//! What a URL's parameters say of the click that led to it: `utm_*` and the click ids of advertising systems.

use std::borrow::Cow;

use super::ClickIdType;
use super::url::{decode, filled, params};

/// The `utm_*` parameters of a URL, decoded; an empty one is absent. Of several of one name the first filled one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Utm<'a> {
    pub source: Option<Cow<'a, str>>,
    pub medium: Option<Cow<'a, str>>,
    pub campaign: Option<Cow<'a, str>>,
    pub term: Option<Cow<'a, str>>,
    pub content: Option<Cow<'a, str>>,
}

impl<'a> Utm<'a> {
    fn member(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        let (prefix, rest) = name.split_at_checked(4)?;
        if !prefix.eq_ignore_ascii_case("utm_") {
            return None;
        }
        let is = |other: &str| rest.eq_ignore_ascii_case(other);
        match () {
            () if is("source") => Some(&mut self.source),
            () if is("medium") => Some(&mut self.medium),
            () if is("campaign") => Some(&mut self.campaign),
            () if is("term") => Some(&mut self.term),
            () if is("content") => Some(&mut self.content),
            () => None,
        }
    }
}

/// The campaign and the click id of a query, in one pass over it.
pub(super) fn tags(query: &str) -> (Utm<'_>, Option<(ClickIdType, Cow<'_, str>)>) {
    let mut utm = Utm::default();
    let mut click: Option<(ClickIdType, Cow<'_, str>)> = None;
    for (name, value) in params(query) {
        if value.is_empty() {
            continue;
        }
        let name = decode(name);
        if let Some(member) = utm.member(&name) {
            if member.is_none() {
                *member = filled(value);
            }
        } else if let Some(kind) = ClickIdType::of_parameter(&name)
            && click.as_ref().is_none_or(|(known, _)| kind < *known)
            && let Some(value) = filled(value)
        {
            click = Some((kind, value));
        }
    }
    (utm, click)
}
