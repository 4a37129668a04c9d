//! Routes of APIs as the stage would compile them.

use penstock_api::check::Path;
use penstock_api::plan::ApiStage;

use super::Report;

pub(super) fn check(report: &mut Report<'_>, name: &str, stage: &ApiStage) {
    let Err(errors) = penstock_query::check(stage) else { return };
    let index = report.pipeline.spec.apis.iter().flatten().position(|api| api.name == name).unwrap_or(0);
    for error in errors {
        let route = Path::of("spec.apis").index(index).key("routes").index(error.route);
        report.error("bad_route", &route.join(&Path::of(&error.field)), error.message, error.cure);
    }
}
