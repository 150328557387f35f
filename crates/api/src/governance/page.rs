//! Which of many are asked for.

use actix_web::HttpRequest;
use actix_web::web::Query as Parsed;
use serde_json::{Value, json};

use crate::error::ApiError;

/// Bifrost's.
const DEFAULT_LIMIT: usize = 25;
const LARGEST_LIMIT: usize = 100;

/// The words behind the `?`.
pub(super) struct Query(Vec<(String, String)>);

/// Which of those that pass the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// None for all.
    limit: Option<usize>,
    offset: usize,
}

/// What a page shows.
#[derive(Debug)]
pub(super) struct Paged<'a, T> {
    pub(super) shown: Vec<&'a T>,
    total: usize,
    page: Page,
}

impl Query {
    /// # Errors
    /// If it is none.
    pub(super) fn of(http: &HttpRequest) -> Result<Self, ApiError> {
        let parsed = Parsed::<Vec<(String, String)>>::from_query(http.query_string());
        parsed.map(|parsed| Self(parsed.into_inner())).map_err(|_| ApiError::invalid("invalid query"))
    }

    /// The first that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let values = self.0.iter().filter(|(its, value)| its == name && !value.is_empty());
        values.map(|(_, value)| value.as_str()).next()
    }

    /// Without a page and without one of these filters, all.
    ///
    /// # Errors
    /// For what is no natural number.
    pub(super) fn page(&self, filters: &[&str]) -> Result<Page, ApiError> {
        let number = |name: &str| {
            let Some(text) = self.text(name) else { return Ok(None) };
            let number: i64 = text
                .parse()
                .map_err(|_| ApiError::invalid(format!("Invalid {name} parameter: must be a number")))?;
            let wrong = |_| ApiError::invalid(format!("Invalid {name} parameter: must be non-negative"));
            usize::try_from(number).map(Some).map_err(wrong)
        };
        let (limit, offset) = (number("limit")?, number("offset")?);
        let is_all =
            limit.is_none() && offset.is_none() && !filters.iter().any(|name| self.text(name).is_some());
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT);
        Ok(Page { limit: (!is_all).then_some(limit), offset: offset.unwrap_or_default() })
    }

    /// Whether one of the texts has in it what is searched for, in upper or lower case; so it is where nothing is.
    pub(super) fn finds(&self, texts: &[&str]) -> bool {
        self.text("search").is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            texts.iter().any(|text| text.to_lowercase().contains(&wanted))
        })
    }

    /// Whether an id is the one that is asked for; so it is where none is.
    pub(super) fn is(&self, name: &str, id: Option<&str>) -> bool {
        self.text(name).is_none_or(|wanted| id == Some(wanted))
    }
}

impl Page {
    pub(super) fn of<'a, T>(self, found: Vec<&'a T>) -> Paged<'a, T> {
        let total = found.len();
        let limit = self.limit.unwrap_or(usize::MAX);
        let shown = found.into_iter().skip(self.offset).take(limit).collect();
        Paged { shown, total, page: self }
    }
}

impl<T> Paged<'_, T> {
    /// The answer; `name` is the list's.
    pub(super) fn answer(&self, name: &str, shown: Vec<Value>) -> Value {
        json!({
            name: shown,
            "count": self.shown.len(),
            "total_count": self.total,
            "limit": self.page.limit.unwrap_or(self.total),
            "offset": self.page.offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&TestRequest::with_uri(&format!("/?{text}")).to_http_request()).unwrap()
    }

    #[test]
    fn without_a_word_all_are_shown() {
        let page = |text: &str| query(text).page(&["search"]).unwrap();
        assert_eq!(page(""), Page { limit: None, offset: 0 });
        assert_eq!(page("from_memory=true"), Page { limit: None, offset: 0 });
        assert_eq!(page("search=x"), Page { limit: Some(25), offset: 0 });
        assert_eq!(page("limit=1000&offset=3"), Page { limit: Some(100), offset: 3 });
        assert_eq!(page("limit=0"), Page { limit: Some(25), offset: 0 });
        let refused = |text: &str| query(text).page(&[]).unwrap_err().to_string();
        assert_eq!(refused("limit=x"), "Invalid limit parameter: must be a number");
        assert_eq!(refused("offset=-1"), "Invalid offset parameter: must be non-negative");
        let paged = page("limit=2&offset=1").of(vec![&1, &2, &3, &4]);
        assert_eq!(paged.shown, [&2, &3]);
        let answer = paged.answer("numbers", vec![json!(2), json!(3)]);
        assert_eq!(answer, json!({"numbers": [2, 3], "count": 2, "total_count": 4, "limit": 2, "offset": 1}));
    }

    #[test]
    fn what_is_searched_for_is_found_in_any_case() {
        assert!(query("").finds(&["x"]) && query("search=RES").finds(&["my research"]));
        assert!(!query("search=z").finds(&["x", "y"]));
        assert!(query("").is("team_id", None) && query("team_id=t").is("team_id", Some("t")));
        assert!(!query("team_id=t").is("team_id", None));
    }
}
