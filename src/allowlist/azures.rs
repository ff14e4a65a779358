//! Names that Azure knows, whether or not anybody outside knows what they stand for.
//!
//! Sources: azure-docs, fqdn-tags.md and protect-office-365.md (2026-03), web-categories.md (2021-07); the spelling of
//! categories from templates. `ChildInappropriate`, `SchoolCheating`, `PrivateIPAddresses` and `GreetingCards` are
//! spelt like the others: no template with them was found.

/// But for those of Microsoft 365, which [`is_fqdn_tag`] knows by their parts.
pub(super) const FQDN_TAGS: &[&str] = &[
    "AppServiceEnvironment",
    "AzureBackup",
    "AzureHDInsight",
    "AzureKubernetesService",
    "MicrosoftActiveProtectionService",
    "MicrosoftIntune",
    "Windows365",
    "WindowsDiagnostics",
    "WindowsUpdate",
    "WindowsVirtualDesktop",
    "citrixHdxPlusForWindows365",
];

/// One page says this, another that.
const M365_PREFIXES: &[&str] = &["Office365", "Microsoft365"];
const M365_PRODUCTS: &[&str] = &["Exchange", "Skype", "SharePoint", "Common"];
const M365_CATEGORIES: &[&str] = &["Optimize", "Allow", "Default"];
const M365_NEEDS: &[&str] = &["Required", "NotRequired"];

pub(super) const WEB_CATEGORIES: &[&str] = &[
    "AdvertisementsAndPopUps",
    "AlcoholAndTobacco",
    "Arts",
    "Business",
    "Chat",
    "ChildAbuseImages",
    "ChildInappropriate",
    "ComputersAndTechnology",
    "CriminalActivity",
    "Cults",
    "DatingAndPersonals",
    "DownloadSites",
    "Education",
    "Entertainment",
    "FashionAndBeauty",
    "Finance",
    "ForumsAndNewsgroups",
    "Gambling",
    "Games",
    "General",
    "Government",
    "GreetingCards",
    "Hacking",
    "HateAndIntolerance",
    "HealthAndMedicine",
    "IllegalDrug",
    "IllegalSoftware",
    "ImageSharing",
    "InformationSecurity",
    "InstantMessaging",
    "JobSearch",
    "LeisureAndRecreation",
    "LingerieAndSwimsuits",
    "Marijuana",
    "NatureAndConservation",
    "News",
    "NonprofitsAndNGOs",
    "Nudity",
    "PeerToPeer",
    "PersonalSites",
    "PoliticsAndLaw",
    "PornographyAndSexuallyExplicit",
    "PrivateIPAddresses",
    "ProfessionalNetworking",
    "RealEstate",
    "Religion",
    "RestaurantsAndDining",
    "SchoolCheating",
    "SearchEnginesAndPortals",
    "SelfHarm",
    "SexEducation",
    "Shopping",
    "SocialNetworking",
    "Sports",
    "StreamingMediaAndDownloads",
    "Tasteless",
    "Translators",
    "Transportation",
    "Travel",
    "Uncategorized",
    "Violence",
    "Weapons",
    "WebBasedEmail",
    "WebRepositoryAndStorage",
];

pub(super) fn is_fqdn_tag(name: &str) -> bool {
    has(FQDN_TAGS, name) || is_m365(name)
}

/// `Office365.Skype.Optimize`, `Office365.Common.Default.Required`
fn is_m365(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [prefix, product, category, need @ ..] => {
            has(M365_PREFIXES, prefix)
                && has(M365_PRODUCTS, product)
                && has(M365_CATEGORIES, category)
                && (need.is_empty() || matches!(need, [need] if has(M365_NEEDS, need)))
        }
        _ => false,
    }
}

pub(super) fn is_web_category(name: &str) -> bool {
    has(WEB_CATEGORIES, name)
}

fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowlist::{fqdn_tag_names, web_category_names};

    #[test]
    fn names_are_sorted_and_what_is_listed_is_among_them() {
        for names in [FQDN_TAGS, WEB_CATEGORIES] {
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        }
        assert!(fqdn_tag_names().into_iter().all(|name| FQDN_TAGS.contains(&name)));
        assert!(web_category_names().into_iter().all(|name| WEB_CATEGORIES.contains(&name)));
    }
}
