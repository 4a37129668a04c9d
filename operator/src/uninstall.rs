//! `penstock-operator check-uninstall`: whether the operator may go. The chart asks before `helm uninstall`.
//!
//! A Pipeline with the finalizer waits, when it is deleted, for an operator to delete what it owns in AWS. Without one it
//! waits for ever, and its namespace with it.

use std::fmt::Write as _;

use futures::future::BoxFuture;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::apply::error::said;
use crate::client::{Limits, limited};
use crate::names::FINALIZER;
use crate::pipeline::Pipeline;

/// Pipelines in one answer of the API server.
const PAGE: u32 = 500;
/// Pipelines that are named in a refusal.
const NAMED: usize = 10;

/// Why the operator must stay.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// Pipelines wait for it, or would.
    #[error("{}", refusal(.0))]
    Held(Vec<String>),
    /// It could not be found out.
    #[error("the Pipelines could not be listed: {}. `helm uninstall --no-hooks` does not ask", said(.0))]
    Unknown(#[source] Box<kube::Error>),
}

/// Finds out whether no Pipeline needs the operator any more: in these namespaces, or in all when there are none. I/O.
///
/// It asks with the rights of the operator, whose rights in a namespace go with that. So of one that it may not look into
/// nothing keeps it: it could do nothing there either.
///
/// # Errors
/// When one does, or it cannot be found out.
pub fn check<'a>(client: Client, namespaces: &'a [String]) -> BoxFuture<'a, Result<(), UninstallError>> {
    Box::pin(async move {
        let client = limited(client, Limits::default());
        let scopes: Vec<Api<Pipeline>> = match namespaces {
            [] => vec![Api::all(client)],
            named => named.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
        };
        let mut held = Vec::new();
        for scope in scopes {
            match held_in(&scope).await {
                Ok(names) => held.extend(names),
                Err(kube::Error::Api(status)) if status.code == 403 && !namespaces.is_empty() => {
                    tracing::warn!(
                        because = status.message,
                        "a namespace that the operator may not look into is left out"
                    );
                }
                Err(error) => return Err(UninstallError::Unknown(Box::new(error))),
            }
        }
        if held.is_empty() { Ok(()) } else { Err(UninstallError::Held(held)) }
    })
}

/// `namespace/name` of those that have the finalizer.
async fn held_in(scope: &Api<Pipeline>) -> Result<Vec<String>, kube::Error> {
    let mut held = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = match scope.list_metadata(&page).await {
            Ok(list) => list,
            // Whoever deleted the definition has deleted all Pipelines.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(held),
            Err(error) => return Err(error),
        };
        let has_finalizer = |names: &Option<Vec<String>>| names.iter().flatten().any(|name| name == FINALIZER);
        held.extend(list.items.into_iter().filter(|one| has_finalizer(&one.metadata.finalizers)).map(|one| {
            let text = |text: Option<String>| text.unwrap_or_default();
            format!("{}/{}", text(one.metadata.namespace), text(one.metadata.name))
        }));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(held),
        }
    }
}

fn refusal(held: &[String]) -> String {
    let mut text = format!(
        "{} of the Pipelines still own streams or tables that are deleted with them, which only the operator does:\n",
        held.len()
    );
    for name in held.iter().take(NAMED) {
        let _ = writeln!(text, "  {name}");
    }
    if held.len() > NAMED {
        let _ = writeln!(text, "  and {} more", held.len() - NAMED);
    }
    text.push_str(
        "Delete them and wait until they are gone: kubectl delete pipelines --namespace NAMESPACE NAME\n\
         Or let what they own in AWS stay: set `deletionPolicy: Retain` in them.\n\
         Then uninstall again. `helm uninstall --no-hooks` does not ask, and leaves them stuck when they are deleted.",
    );
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use http::{Request, Response};
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;

    /// An API server that gives these answers, one after the other, and the paths that it was asked for.
    fn server(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (noted, answers) = (Arc::clone(&asked), Arc::new(Mutex::new(answers)));
        let service = tower::service_fn(move |request: Request<Body>| {
            noted.lock().push(request.uri().to_string());
            let (status, body) = answers.lock().remove(0);
            async move { Response::builder().status(status).body(Body::from(body.to_string().into_bytes())) }
        });
        (Client::new(service, "default"), asked)
    }

    fn page(names: &[(&str, &[&str])], token: &str) -> (u16, Value) {
        let items = names.iter().map(
            |(name, finalizers)| json!({ "metadata": { "name": name, "namespace": "shop", "finalizers": finalizers } }),
        );
        let list = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
            "metadata": { "continue": token }, "items": items.collect::<Vec<_>>(),
        });
        (200, list)
    }

    #[tokio::test]
    async fn pipelines_with_the_finalizer_hold_the_operator_on_whatever_page_they_are() {
        let (client, asked) =
            server(vec![page(&[("free", &["somebody.else/waits"])], "next"), page(&[("orders", &[FINALIZER])], "")]);
        let error = check(client, &[]).await.unwrap_err();
        let UninstallError::Held(held) = &error else { panic!("{error}") };
        assert_eq!(held, &["shop/orders"]);
        assert!(error.to_string().contains("kubectl delete pipelines"), "{error}");
        assert!(asked.lock()[1].contains("continue=next"), "{asked:?}");
    }

    #[tokio::test]
    async fn without_pipelines_or_their_definition_it_may_go() {
        let (client, _) = server(vec![page(&[("free", &[])], "")]);
        check(client, &[]).await.unwrap();
        let missing =
            json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "?" });
        let (client, _) = server(vec![(404, missing)]);
        check(client, &[]).await.unwrap();
    }

    #[tokio::test]
    async fn named_namespaces_are_asked_for_one_by_one() {
        let (client, asked) = server(vec![page(&[], ""), page(&[("orders", &[FINALIZER])], "")]);
        assert!(check(client, &["bank".to_owned(), "shop".to_owned()]).await.is_err());
        let asked = asked.lock();
        assert!(asked[0].contains("/namespaces/bank/pipelines") && asked[1].contains("/namespaces/shop/pipelines"));
    }

    fn refused() -> (u16, Value) {
        (403, json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no" }))
    }

    #[tokio::test]
    async fn a_named_namespace_in_which_the_operator_may_do_nothing_does_not_hold_it() {
        let namespaces = ["bank".to_owned(), "shop".to_owned()];
        let (client, asked) = server(vec![refused(), page(&[], "")]);
        check(client, &namespaces).await.unwrap();
        assert_eq!(asked.lock().len(), 2);
        let (client, _) = server(vec![refused(), page(&[("orders", &[FINALIZER])], "")]);
        assert!(matches!(check(client, &namespaces).await.unwrap_err(), UninstallError::Held(held) if held.len() == 1));
    }

    #[tokio::test]
    async fn what_cannot_be_found_out_is_no_leave() {
        let (client, _) = server(vec![refused()]);
        let error = check(client, &[]).await.unwrap_err();
        assert!(matches!(error, UninstallError::Unknown(_)) && error.to_string().contains("--no-hooks"), "{error}");
    }

    #[test]
    fn a_refusal_names_some_and_counts_the_rest() {
        let many: Vec<_> = (0..25).map(|number| format!("shop/p{number}")).collect();
        let text = refusal(&many);
        assert!(text.starts_with("25 of the Pipelines") && text.contains("  and 15 more\n"), "{text}");
    }
}
