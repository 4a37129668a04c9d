//! What a design uses in a month: what is paid for, and the calls that it makes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Something that has a price. The order is that of the printed table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meter {
    ShardHour,
    PutUnit,
    ExtendedRetention,
    LongTermRetention,
    FanOutGb,
    FanOutShardHour,
    OnDemandStreamHour,
    OnDemandGbIn,
    OnDemandGbOut,
    OnDemandFanOutGb,
    OnDemandExtendedRetention,
    FirehoseGb,
    FirehosePartitionedGb,
    FirehoseObject,
    ItemWrite,
    ItemRead,
    WriteCapacityHour,
    ReadCapacityHour,
    ItemGbMonth,
    RecoveryGbMonth,
    ObjectWrite,
    ObjectGbMonth,
    GatewayRequest,
    LambdaRequest,
    LambdaGbSecond,
    VcpuHour,
    MemoryGbHour,
    ClusterHour,
    BalancerHour,
    BalancerCapacityHour,
    EndpointHour,
    EndpointGb,
}

impl Meter {
    pub(super) const ALL: [Self; 32] = [
        Self::ShardHour,
        Self::PutUnit,
        Self::ExtendedRetention,
        Self::LongTermRetention,
        Self::FanOutGb,
        Self::FanOutShardHour,
        Self::OnDemandStreamHour,
        Self::OnDemandGbIn,
        Self::OnDemandGbOut,
        Self::OnDemandFanOutGb,
        Self::OnDemandExtendedRetention,
        Self::FirehoseGb,
        Self::FirehosePartitionedGb,
        Self::FirehoseObject,
        Self::ItemWrite,
        Self::ItemRead,
        Self::WriteCapacityHour,
        Self::ReadCapacityHour,
        Self::ItemGbMonth,
        Self::RecoveryGbMonth,
        Self::ObjectWrite,
        Self::ObjectGbMonth,
        Self::GatewayRequest,
        Self::LambdaRequest,
        Self::LambdaGbSecond,
        Self::VcpuHour,
        Self::MemoryGbHour,
        Self::ClusterHour,
        Self::BalancerHour,
        Self::BalancerCapacityHour,
        Self::EndpointHour,
        Self::EndpointGb,
    ];

    /// Its name in a price table.
    pub(super) fn id(self) -> &'static str {
        self.facts().0
    }

    /// The service, as AWS's bill names it.
    pub(super) fn service(self) -> &'static str {
        self.facts().1
    }

    /// What is counted.
    pub(super) fn what(self) -> &'static str {
        self.facts().2
    }

    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ShardHour => ("kinesis.shard_hour", "Kinesis", "shard hours"),
            Self::PutUnit => ("kinesis.put_unit", "Kinesis", "PUT payload units of 25 KB"),
            Self::ExtendedRetention => {
                ("kinesis.extended_retention_shard_hour", "Kinesis", "shard hours with extended retention")
            }
            Self::LongTermRetention => ("kinesis.long_term_gb_month", "Kinesis", "GB-months kept beyond 7 days"),
            Self::FanOutGb => ("kinesis.fan_out_gb", "Kinesis", "GB read by fan-out"),
            Self::FanOutShardHour => ("kinesis.fan_out_shard_hour", "Kinesis", "fan-out consumer-shard hours"),
            Self::OnDemandStreamHour => ("kinesis.on_demand_stream_hour", "Kinesis", "on-demand stream hours"),
            Self::OnDemandGbIn => ("kinesis.on_demand_gb_in", "Kinesis", "on-demand GB in"),
            Self::OnDemandGbOut => ("kinesis.on_demand_gb_out", "Kinesis", "on-demand GB out"),
            Self::OnDemandFanOutGb => ("kinesis.on_demand_fan_out_gb", "Kinesis", "on-demand GB read by fan-out"),
            Self::OnDemandExtendedRetention => {
                ("kinesis.on_demand_extended_gb_month", "Kinesis", "on-demand GB-months kept beyond a day")
            }
            Self::FirehoseGb => ("firehose.gb", "Firehose", "GB in steps of 5 KB a record"),
            Self::FirehosePartitionedGb => ("firehose.partitioned_gb", "Firehose", "GB partitioned"),
            Self::FirehoseObject => ("firehose.partition_object", "Firehose", "objects of partitions"),
            Self::ItemWrite => ("dynamodb.write_unit", "DynamoDB", "write request units"),
            Self::ItemRead => ("dynamodb.read_unit", "DynamoDB", "read request units"),
            Self::WriteCapacityHour => ("dynamodb.write_capacity_hour", "DynamoDB", "write capacity unit hours"),
            Self::ReadCapacityHour => ("dynamodb.read_capacity_hour", "DynamoDB", "read capacity unit hours"),
            Self::ItemGbMonth => ("dynamodb.gb_month", "DynamoDB", "GB-months of items"),
            Self::RecoveryGbMonth => ("dynamodb.recovery_gb_month", "DynamoDB", "GB-months of continuous backups"),
            Self::ObjectWrite => ("s3.write", "S3", "PUT, POST and LIST requests"),
            Self::ObjectGbMonth => ("s3.gb_month", "S3", "GB-months of objects"),
            Self::GatewayRequest => ("api_gateway.http_request", "API Gateway", "HTTP API requests"),
            Self::LambdaRequest => ("lambda.request", "Lambda", "requests"),
            Self::LambdaGbSecond => ("lambda.gb_second", "Lambda", "GB-seconds"),
            Self::VcpuHour => ("fargate.vcpu_hour", "Fargate", "vCPU hours"),
            Self::MemoryGbHour => ("fargate.gb_hour", "Fargate", "GB hours"),
            Self::ClusterHour => ("eks.cluster_hour", "EKS", "cluster hours"),
            Self::BalancerHour => ("load_balancer.hour", "Load balancer", "hours"),
            Self::BalancerCapacityHour => ("load_balancer.capacity_hour", "Load balancer", "capacity unit hours"),
            Self::EndpointHour => ("endpoint.hour", "PrivateLink", "endpoint hours"),
            Self::EndpointGb => ("endpoint.gb", "PrivateLink", "GB"),
        }
    }

    /// The meter of this name.
    pub(super) fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.id() == id)
    }
}

impl Serialize for Meter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// What a design uses in a month.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Usage {
    units: BTreeMap<Meter, f64>,
    calls: BTreeMap<&'static str, f64>,
}

impl Usage {
    /// Uses so much more of something that has a price.
    pub(super) fn pay(&mut self, meter: Meter, quantity: f64) {
        if quantity > 0.0 {
            *self.units.entry(meter).or_default() += quantity;
        }
    }

    /// Makes so many more calls, named as the embedded engines count them.
    pub(super) fn call(&mut self, operation: &'static str, count: f64) {
        if count > 0.0 {
            *self.calls.entry(operation).or_default() += count;
        }
    }

    pub(super) fn units(&self) -> &BTreeMap<Meter, f64> {
        &self.units
    }

    pub(super) fn calls(&self) -> &BTreeMap<&'static str, f64> {
        &self.calls
    }

    /// How much of one thing.
    #[cfg(test)]
    pub(super) fn of(&self, meter: Meter) -> f64 {
        self.units.get(&meter).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_meter_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<_> = Meter::ALL.into_iter().map(Meter::id).collect();
        assert_eq!(names.len(), Meter::ALL.len());
        assert!(Meter::ALL.into_iter().all(|meter| Meter::named(meter.id()) == Some(meter)));
        assert!(Meter::ALL.is_sorted(), "the table is printed in this order");
    }
}
