//! The lease in the API server: one attempt at a time, each with a time limit.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use super::decide::{Decision, decide};
use crate::apply::error::said;
use crate::names::FIELD_MANAGER;
use crate::settings::ElectionSettings;

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The lease is ours, from the moment when the attempt began.
    Held,
    /// It is another's.
    Anothers,
    /// It could not be told.
    Failed(String),
}

/// Looks at the lease and writes it.
pub(super) struct Elector {
    api: Api<Lease>,
    settings: ElectionSettings,
    /// The lease as it was seen last, and since when it is so.
    seen: Option<(Lease, Instant)>,
}

impl Elector {
    pub(super) fn new(client: Client, settings: ElectionSettings) -> Self {
        Self { api: Api::namespaced(client, &settings.namespace), settings, seen: None }
    }

    /// Takes or renews the lease if it may.
    pub(super) async fn attempt(&mut self) -> Attempt {
        let limit = self.settings.attempt;
        match timeout(limit, self.attempt_once()).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => Attempt::Failed(said(&error)),
            Err(_) => Attempt::Failed(format!("no answer within {} s", limit.as_secs())),
        }
    }

    async fn attempt_once(&mut self) -> kube::Result<Attempt> {
        let found = self.api.get_opt(&self.settings.name).await?;
        let unmoved = self.see(found.as_ref()).elapsed();
        let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
        let decision = match found {
            // One without a spec is free.
            Some(_) if spec.is_none() => Decision::Take,
            _ => decide(spec, &self.settings.identity, unmoved),
        };
        let written = match (decision, found) {
            (Decision::Wait, _) => return Ok(Attempt::Anothers),
            (Decision::Create, _) | (_, None) => {
                let lease = self.held(None);
                self.api.create(&PostParams::default(), &lease).await
            }
            (Decision::Take | Decision::Renew, Some(lease)) => {
                let lease = self.held(Some(lease));
                self.replace(&lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.see(Some(&lease));
                Ok(Attempt::Held)
            }
            // Somebody was faster; the next look says who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(match decision {
                Decision::Renew => Attempt::Failed("the lease was changed at the same moment".to_owned()),
                _ => Attempt::Anothers,
            }),
            Err(error) => Err(error),
        }
    }

    /// Gives the lease back, if it is ours.
    pub(super) async fn release(&mut self) {
        self.seen = None;
        match timeout(self.settings.attempt, self.release_once()).await {
            Ok(Ok(())) => tracing::info!(identity = self.settings.identity, "the lease has been given back"),
            Ok(Err(error)) => {
                tracing::warn!(because = said(&error), "the lease could not be given back; it runs out by itself");
            }
            Err(_) => tracing::warn!("the lease could not be given back in time; it runs out by itself"),
        }
    }

    /// A renewal that was cut off by the stop may arrive in between, and changes the lease's version: then it is looked at again.
    async fn release_once(&self) -> kube::Result<()> {
        loop {
            let Some(lease) = self.api.get_opt(&self.settings.name).await? else { return Ok(()) };
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_ref() != Some(&self.settings.identity) {
                return Ok(());
            }
            let free = Lease { spec: Some(LeaseSpec { holder_identity: Some(String::new()), ..spec }), ..lease };
            match self.replace(&free).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                written => return written.map(drop),
            }
        }
    }

    /// Its version stays in it: the API server refuses it if somebody else has written since.
    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.api.replace(&self.settings.name, &parameters, lease).await
    }

    /// Notes the lease; says since when it is as it is.
    fn see(&mut self, lease: Option<&Lease>) -> Instant {
        let now = Instant::now();
        let Some(lease) = lease else {
            self.seen = None;
            return now;
        };
        let same =
            self.seen.as_ref().filter(|(seen, _)| seen.metadata.resource_version == lease.metadata.resource_version);
        let since = same.map_or(now, |(_, since)| *since);
        self.seen = Some((lease.clone(), since));
        since
    }

    fn held(&self, lease: Option<Lease>) -> Lease {
        let Lease { metadata, spec } = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let is_ours = spec.holder_identity.as_ref() == Some(&self.settings.identity);
        let transitions = spec.lease_transitions.unwrap_or(0);
        Lease {
            metadata: ObjectMeta { managed_fields: None, ..metadata },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.settings.identity.clone()),
                lease_duration_seconds: i32::try_from(self.settings.duration.as_secs()).ok(),
                acquire_time: if is_ours { spec.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(if is_ours { transitions } else { transitions.saturating_add(1) }),
                ..spec
            }),
        }
    }
}
