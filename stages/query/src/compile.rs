//! From the configuration of routes to what a request needs: templates that are read, parameters that are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use penstock_api::plan::{ApiStage, RoutePlan};
use penstock_api::spec::{Answer, KeyType, Operator, ParameterType, TotalFunction};

use crate::template::Template;

/// Something in a route that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route {path:?}: {message}")]
pub struct CompileError {
    /// The place of the route among its api's.
    pub route: usize,
    /// Its path.
    pub path: String,
    /// The field at fault, seen from the route, such as `sort.prefix` or `filters[0].value`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub cure: String,
}

/// Finds out whether the stage would start.
///
/// # Errors
/// Everything that is wrong with its routes.
pub fn check(stage: &ApiStage) -> Result<(), Vec<CompileError>> {
    compile(stage).map(|_| ())
}

/// All routes, no two of which a request may match.
pub(crate) fn compile(stage: &ApiStage) -> Result<Vec<Arc<Route>>, Vec<CompileError>> {
    let (mut routes, mut errors) = (Vec::<Arc<Route>>::new(), Vec::new());
    for (index, plan) in stage.routes.iter().enumerate() {
        match Route::compile(index, plan) {
            Ok(route) => {
                errors.extend(routes.iter().find(|other| other.overlaps(&route)).map(|other| {
                    let message = format!("a request may match both `{}` and `{}`", plan.path, other.plan.path);
                    let at = Place { index, path: &plan.path };
                    at.error("path", message, "let the two differ in a part that is a text in both")
                }));
                routes.push(Arc::new(route));
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(routes) } else { Err(errors) }
}

/// A route that can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) plan: RoutePlan,
    pub(crate) segments: Vec<Segment>,
    pub(crate) partitions: Vec<Template>,
    pub(crate) sort: SortTemplate,
    pub(crate) filters: Vec<Condition>,
    /// All parameters: those of the path first, each in the order in which they are met.
    pub(crate) parameters: Vec<ParameterRule>,
    /// Name and attribute of each column; `None`: all attributes.
    pub(crate) columns: Option<Vec<(String, String)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Text(String),
    Parameter(String),
}

#[derive(Debug, Clone)]
pub(crate) enum SortTemplate {
    All,
    Equals(Template),
    Prefix(Template),
    Between(Option<Template>, Option<Template>),
    NewerThan(Template),
}

#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) attribute: String,
    pub(crate) operator: Operator,
    pub(crate) value: Template,
}

/// What is known of a parameter.
#[derive(Debug, Clone)]
pub(crate) struct ParameterRule {
    pub(crate) name: String,
    pub(crate) in_path: bool,
    pub(crate) required: bool,
    pub(crate) kind: ParameterType,
    pub(crate) values: Vec<String>,
    pub(crate) default: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) example: Option<String>,
}

impl Route {
    pub(crate) fn compile(index: usize, plan: &RoutePlan) -> Result<Self, CompileError> {
        let at = Place { index, path: &plan.path };
        let segments = segments(&plan.path);
        let several = plan.partitions.len() > 1;
        let partitions = plan
            .partitions
            .iter()
            .enumerate()
            .map(|(index, text)| {
                at.template(&if several { format!("partitions[{index}]") } else { "partition".to_owned() }, text)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let sort = sort(at, plan)?;
        let filters = plan.filters.iter().enumerate().map(|(index, filter)| {
            let value = at.template(&format!("filters[{index}].value"), &filter.value)?;
            Ok(Condition { attribute: filter.attribute.clone(), operator: filter.operator, value })
        });
        let filters = filters.collect::<Result<Vec<_>, _>>()?;
        let parameters = parameters(at, plan, &segments, &partitions, &sort, &filters)?;
        check_names(at, plan)?;
        let columns = columns(plan);
        check_order(at, plan, columns.as_deref())?;
        Ok(Self { plan: plan.clone(), segments, partitions, sort, filters, parameters, columns })
    }

    /// Whether a path may match both: where one has a text, the other has the same or a parameter.
    fn overlaps(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Text(left), Segment::Text(right)) => left == right,
                _ => true,
            })
    }

    /// Whether the answer can only be given once everything is read.
    pub(crate) fn is_whole(&self) -> bool {
        !self.plan.totals.is_empty() || self.plan.order_by.is_some()
    }

    /// The columns of a table of answers, where they are known.
    pub(crate) fn column_names(&self) -> Option<Vec<&str>> {
        if self.plan.answer == Answer::Totals {
            return Some(self.plan.totals.iter().map(|total| total.name.as_str()).collect());
        }
        let columns = self.columns.as_ref()?.iter().map(|(name, _)| name.as_str());
        let totals = self.plan.totals.iter().map(|total| total.name.as_str()).filter(|_| self.is_grouped());
        Some(columns.chain(totals).collect())
    }

    pub(crate) fn is_grouped(&self) -> bool {
        !self.plan.group_by.is_empty()
    }
}

/// Whose error it is.
#[derive(Clone, Copy)]
struct Place<'a> {
    index: usize,
    path: &'a str,
}

impl Place<'_> {
    fn error(self, field: &str, message: String, cure: &str) -> CompileError {
        CompileError {
            route: self.index,
            path: self.path.to_owned(),
            field: field.to_owned(),
            message,
            cure: cure.to_owned(),
        }
    }

    fn template(self, field: &str, text: &str) -> Result<Template, CompileError> {
        let cure = "write parameters as `{name}`, such as `{InvoiceNo}`";
        Template::parse(text).map_err(|message| self.error(field, message, cure))
    }
}

fn segments(path: &str) -> Vec<Segment> {
    let parts = path.split('/').skip(1);
    parts
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => Segment::Parameter(name.to_owned()),
            None => Segment::Text(part.to_owned()),
        })
        .collect()
}

fn sort(at: Place<'_>, plan: &RoutePlan) -> Result<SortTemplate, CompileError> {
    let Some(sort) = &plan.sort else { return Ok(SortTemplate::All) };
    let read = |field: &str, text: &Option<String>| {
        text.as_ref().map(|text| at.template(&format!("sort.{field}"), text)).transpose()
    };
    if let Some(equals) = read("equals", &sort.equals)? {
        return Ok(SortTemplate::Equals(equals));
    }
    if let Some(prefix) = read("prefix", &sort.prefix)? {
        return Ok(SortTemplate::Prefix(prefix));
    }
    if let Some(newer_than) = read("newerThan", &sort.newer_than)? {
        return Ok(SortTemplate::NewerThan(newer_than));
    }
    match &sort.between {
        Some(between) => {
            Ok(SortTemplate::Between(read("between.from", &between.from)?, read("between.to", &between.to)?))
        }
        None => Ok(SortTemplate::All),
    }
}

impl SortTemplate {
    fn templates(&self) -> Vec<&Template> {
        match self {
            Self::All => Vec::new(),
            Self::Equals(one) | Self::Prefix(one) | Self::NewerThan(one) => vec![one],
            Self::Between(from, to) => from.iter().chain(to).collect(),
        }
    }
}

/// Names that every route has.
pub(crate) const OF_EVERY_ROUTE: [&str; 4] = ["limit", "next", "format", "consistent"];

fn parameters(
    at: Place<'_>,
    plan: &RoutePlan,
    segments: &[Segment],
    partitions: &[Template],
    sort: &SortTemplate,
    filters: &[Condition],
) -> Result<Vec<ParameterRule>, CompileError> {
    let mut needed: BTreeMap<String, Need> = BTreeMap::new();
    let mut order = Vec::new();
    let mut meet = |name: &str, required: bool, in_path: bool, number: bool| {
        let need = needed.entry(name.to_owned()).or_insert_with(|| {
            order.push(name.to_owned());
            Need::default()
        });
        need.required |= required;
        need.in_path |= in_path;
        need.number |= number;
    };
    for segment in segments {
        if let Segment::Parameter(name) = segment {
            meet(name, true, true, false);
        }
    }
    for template in partitions {
        let number = plan.partition_key.key_type == KeyType::N && template.alone().is_some();
        template.parameters().for_each(|name| meet(name, true, false, number));
    }
    let number = plan.sort_key.as_ref().is_some_and(|key| key.key_type == KeyType::N);
    let must = matches!(sort, SortTemplate::Equals(_)) && plan.answer == Answer::Item;
    for template in sort.templates() {
        template.parameters().for_each(|name| meet(name, must, false, number && template.alone().is_some()));
    }
    for filter in filters {
        filter.value.parameters().for_each(|name| meet(name, false, false, false));
    }
    if let Some(name) = OF_EVERY_ROUTE.iter().find(|name| needed.contains_key(**name)) {
        let message = format!("`{{{name}}}` is a parameter of every route, with a meaning of its own");
        return Err(at.error("path", message, "give the parameter another name"));
    }
    for (index, declared) in plan.parameters.iter().enumerate() {
        let field = format!("parameters[{index}]");
        let Some(need) = needed.get(&declared.name) else {
            let message = format!("the parameter `{}` stands in no path and no template of the route", declared.name);
            let cure = "use it as `{name}` in the path, `partition`, `sort` or `filters`, or remove it";
            return Err(at.error(&field, message, cure));
        };
        if need.in_path && declared.default.is_some() {
            let message = format!("the parameter `{}` is part of the path, so it is always sent", declared.name);
            return Err(at.error(&format!("{field}.default"), message, "remove `default`"));
        }
    }
    let rules = order.into_iter().map(|name| rule(plan, &needed, name)).collect::<Vec<_>>();
    for (index, declared) in plan.parameters.iter().enumerate() {
        let rule = rules.iter().find(|rule| rule.name == declared.name);
        let told = declared.values.iter().flatten().chain(&declared.default).chain(&declared.example);
        for value in told {
            if let Some(expected) = rule.and_then(|rule| rule.refuses(value)) {
                let message = format!("the value `{value}` of `{}` is not {expected}", declared.name);
                return Err(at.error(&format!("parameters[{index}]"), message, "change the value or the `type`"));
            }
        }
    }
    Ok(rules)
}

#[derive(Debug, Default)]
struct Need {
    required: bool,
    in_path: bool,
    number: bool,
}

fn rule(plan: &RoutePlan, needed: &BTreeMap<String, Need>, name: String) -> ParameterRule {
    let declared = plan.parameters.iter().find(|declared| declared.name == name);
    let need = needed.get(&name);
    let by_key = if need.is_some_and(|need| need.number) { ParameterType::Number } else { ParameterType::String };
    let default = declared.and_then(|declared| declared.default.clone());
    ParameterRule {
        in_path: need.is_some_and(|need| need.in_path),
        required: need.is_some_and(|need| need.required) && default.is_none(),
        kind: declared.and_then(|declared| declared.parameter_type).unwrap_or(by_key),
        values: declared.and_then(|declared| declared.values.clone()).unwrap_or_default(),
        description: declared.and_then(|declared| declared.description.clone()),
        example: declared.and_then(|declared| declared.example.clone()),
        default,
        name,
    }
}

/// Two columns of one name would hide one another.
fn check_names(at: Place<'_>, plan: &RoutePlan) -> Result<(), CompileError> {
    if plan.group_by.is_empty() {
        return Ok(());
    }
    for (index, total) in plan.totals.iter().enumerate() {
        let taken = plan.fields.iter().any(|field| field.name == total.name)
            || (plan.fields.is_empty() && plan.group_by.contains(&total.name));
        if taken {
            let message = format!("the total `{}` has the name of a field of the answer", total.name);
            return Err(at.error(&format!("totals[{index}].name"), message, "give it another name"));
        }
    }
    Ok(())
}

fn columns(plan: &RoutePlan) -> Option<Vec<(String, String)>> {
    if !plan.fields.is_empty() {
        let column = |field: &penstock_api::spec::Field| {
            (field.name.clone(), field.attribute.clone().unwrap_or_else(|| field.name.clone()))
        };
        return Some(plan.fields.iter().map(column).collect());
    }
    if plan.group_by.is_empty() {
        return None;
    }
    Some(plan.group_by.iter().map(|name| (name.clone(), name.clone())).collect())
}

fn check_order(at: Place<'_>, plan: &RoutePlan, columns: Option<&[(String, String)]>) -> Result<(), CompileError> {
    let Some(wanted) = &plan.order_by else { return Ok(()) };
    let is_total = !plan.group_by.is_empty() && plan.totals.iter().any(|total| total.name == *wanted);
    if is_total || columns.is_none_or(|columns| columns.iter().any(|(name, _)| name == wanted)) {
        return Ok(());
    }
    let message = format!("the answer has no field `{wanted}` to be ordered by");
    Err(at.error("orderBy", message, "name one of `fields`, or of `totals` beside `groupBy`"))
}

/// The attributes that a route looks at, when it does not answer all of them.
pub(crate) fn attributes(route: &Route) -> Option<Vec<&str>> {
    let plan = &route.plan;
    let mut names: Vec<&str> = match &route.columns {
        Some(columns) => columns.iter().map(|(_, attribute)| attribute.as_str()).collect(),
        None if plan.answer == Answer::Totals => Vec::new(),
        None => return None,
    };
    names.extend(plan.sort_key.iter().map(|key| key.name.as_str()));
    names.extend(plan.group_by.iter().map(String::as_str));
    names.extend(route.filters.iter().map(|filter| filter.attribute.as_str()));
    let added = plan.totals.iter().filter(|total| total.function != TotalFunction::Count);
    names.extend(added.filter_map(|total| total.attribute.as_deref()));
    if names.is_empty() {
        names.push(&plan.partition_key.name);
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}
