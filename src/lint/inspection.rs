//! What application rules want to see or change inside of requests: URLs, TLS inspection, headers, categories.

use crate::flow::Protocol;
use crate::policy::{ApplicationRule, HeaderInsertion, InsertionError, PolicyRules, RuleSet, Rules, Tier};

use super::catalogue as c;
use super::finding::{Check, Finding};
use super::place::Place;

/// Categories that Azure leaves encrypted, lower-case.
const NEVER: [&str; 4] = ["education", "finance", "government", "healthandmedicine"];

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    for place in Place::all(set) {
        let Rules::Application(_, rules) = &place.collection.rules else { continue };
        for rule in rules {
            let at = InRule { place, rule };
            found.extend(at.urls());
            found.extend(at.nothing_to_terminate());
            found.extend(at.never_inspected());
            found.extend(at.tiers());
            at.headers(found);
        }
    }
    found.extend(set.policies.iter().filter_map(without_certificate));
}

#[derive(Clone, Copy)]
struct InRule<'a> {
    place: Place<'a>,
    rule: &'a ApplicationRule,
}

impl InRule<'_> {
    fn say(&self, check: &'static Check, what: impl Into<String>) -> Finding {
        self.place.rule(check, &self.rule.name, &self.rule.about, what)
    }

    fn is_for(&self, protocol: Protocol) -> bool {
        self.rule.protocols.iter().any(|it| it.protocol == protocol)
    }

    fn urls(&self) -> Option<Finding> {
        let url = self.rule.urls.first()?;
        let blind = self.is_for(Protocol::Https) && !self.rule.terminate_tls;
        let what = || format!("`{url}` cannot be seen in HTTPS that is not decrypted");
        let mend = "set terminateTLS (Premium), or write `targetFqdns` with the host alone";
        blind.then(|| self.say(&c::URL_WITHOUT_TLS_INSPECTION, what()).about(url).about("targetUrls").mend(mend))
    }

    fn nothing_to_terminate(&self) -> Option<Finding> {
        let idle = self.rule.terminate_tls && !self.is_for(Protocol::Https);
        let say = || self.say(&c::TERMINATE_TLS_WITHOUT_HTTPS, "the rule terminates TLS and does not name Https");
        idle.then(|| say().about("terminateTLS").about("terminate_tls").mend("add Https:443, or leave the switch out"))
    }

    fn never_inspected(&self) -> Option<Finding> {
        let never = |name: &str| NEVER.contains(&name.to_ascii_lowercase().as_str());
        let category = self.rule.categories.iter().find(|category| never(&category.name))?;
        let what = format!("the category `{}` is never decrypted", category.name);
        let say = || self.say(&c::CATEGORY_NEVER_INSPECTED, what).about(&category.name);
        self.rule.terminate_tls.then(|| say().mend("list the names that have to be inspected by themselves"))
    }

    /// Where the policy says which tier it is of.
    fn tiers(&self) -> Option<Finding> {
        let tier = self.place.policy.settings.tier?;
        let rule = self.rule;
        if let (Some(url), true) = (rule.urls.first(), tier < Tier::Premium) {
            let what = format!("the target URL `{url}` wants Premium; the policy is {tier}");
            return Some(self.say(&c::NEEDS_PREMIUM, what).about(url).mend("write `targetFqdns`, or change the tier"));
        }
        if rule.terminate_tls && tier < Tier::Premium {
            let what = format!("TLS inspection wants Premium; the policy is {tier}");
            let say = self.say(&c::NEEDS_PREMIUM, what).about("terminateTLS").about("terminate_tls");
            return Some(say.mend("leave it out, or change the tier"));
        }
        let category = rule.categories.first().filter(|_| tier == Tier::Basic)?;
        let what = format!("the web category `{}` wants Standard; the policy is Basic", category.name);
        Some(self.say(&c::NOT_IN_BASIC, what).about(&category.name).mend("list names, or change the tier"))
    }

    /// What is no name or no value is no better than a reserved one: Azure refuses the rule.
    fn refused(&self, header: &HeaderInsertion, refusal: &InsertionError) -> Finding {
        let (check, mend) = match refusal {
            InsertionError::LongName(_) | InsertionError::LongValue(_) => (&c::HEADER_TOO_LARGE, "shorten it"),
            InsertionError::Reserved(_) | InsertionError::NotAName(_) | InsertionError::NotAValue(_) => {
                (&c::RESERVED_HEADER, "leave it out")
            }
        };
        let what = match refusal {
            InsertionError::Reserved(_) => format!("the header `{}` is reserved", header.name),
            refusal => format!("a header cannot be inserted: {refusal}"),
        };
        self.say(check, what).about("httpHeadersToInsert").about("http_headers").mend(mend)
    }

    fn headers(&self, found: &mut Vec<Finding>) {
        let headers = &self.rule.headers;
        for (header, refusal) in headers.iter().filter_map(|header| Some((header, header.refusal()?))) {
            found.push(self.refused(header, &refusal));
        }
        let all: usize = headers.iter().map(|it| it.name.len() + it.value.len()).sum();
        let most = HeaderInsertion::MAX_OF_RULE;
        if all > most {
            let what = format!("the rule inserts {all} bytes of headers; {most} is the most");
            found.push(self.say(&c::HEADER_TOO_LARGE, what).mend("shorten them"));
        }
        if let (Some(header), true, false) = (headers.first(), self.is_for(Protocol::Https), self.rule.terminate_tls) {
            let what = format!("`{}` is not inserted into HTTPS: the rule does not terminate TLS", header.name);
            let say = self.say(&c::HEADER_NOT_INSERTED, what).about("httpHeadersToInsert").about("http_headers");
            found.push(say.mend("set terminateTLS (Premium), or take Https out of the rule"));
        }
    }
}

/// Only where the policy says what it has: a file of rules alone does not.
fn without_certificate(policy: &PolicyRules) -> Option<Finding> {
    policy.settings.tier?;
    let has = policy.settings.kept.iter().any(|(name, _)| name.eq_ignore_ascii_case("transportSecurity"));
    let (place, rule) = Place::of_policy(policy).find_map(|place| match &place.collection.rules {
        Rules::Application(_, rules) => Some((place, rules.iter().find(|rule| rule.terminate_tls)?)),
        _ => None,
    })?;
    let what = "the rule terminates TLS, and the policy names no CA certificate";
    let say = || place.rule(&c::INSPECTION_WITHOUT_CERTIFICATE, &rule.name, &rule.about, what);
    let say = || say().about("terminateTLS").about("terminate_tls");
    (!has).then(|| say().mend("name a certificate of the key vault in `transportSecurity`"))
}
